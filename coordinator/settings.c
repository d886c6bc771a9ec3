/* SPDX-License-Identifier: Apache-2.0 */
/* The coordinator's configuration keys and defaults. */
#include "coordinator/settings.h"

#include "common/alloc.h"
#include "common/log.h"
#include "common/units.h"

#include <string.h>

#define AT(field) offsetof(struct coordinator_settings, field)

/* clang-format off */
static const struct config_key keys[] = {
	{ "name",                                    CONFIG_STRING,   AT(name), .required = true },
	{ "cluster",                                 CONFIG_STRING,   AT(cluster), .required = true },
	{ "listen",                                  CONFIG_LIST,     AT(listen), .required = true },
	{ "store/sqlite",                            CONFIG_STRING,   AT(store_sqlite) },
	SERVING_CONFIG_KEYS(AT),
	{ "join/listen",                             CONFIG_STRING,   AT(join_listen) },
	{ "join/authority",                          CONFIG_STRING,   AT(join_authority) },
	{ "limits/parallelMigrationsPerCluster",     CONFIG_UINT,     AT(migrations_per_cluster), .min = 1, .max = 1000, .noted = AT(set.migrations_per_cluster) },
	{ "limits/parallelOutboundMigrationsPerNode", CONFIG_UINT,    AT(outbound_per_node), .min = 1, .max = 64, .noted = AT(set.outbound_per_node) },
	{ "limits/parallelInboundMigrationsPerNode", CONFIG_UINT,     AT(inbound_per_node), .min = 1, .max = 64, .noted = AT(set.inbound_per_node) },
	{ "limits/preparingMigrationsPerNode",     CONFIG_UINT,     AT(preparing_per_node), .max = 4, .noted = AT(set.preparing_per_node) },
	{ "limits/completionTimeoutPerGiB",          CONFIG_DURATION, AT(completion_timeout_per_gib_ms), .noted = AT(set.completion_timeout) },
	{ "limits/progressTimeout",                  CONFIG_DURATION, AT(progress_timeout_ms), .noted = AT(set.progress_timeout) },
	{ "limits/bandwidthPerMigration",            CONFIG_RATE,     AT(bandwidth_per_migration_bytes_per_s), .noted = AT(set.bandwidth) },
	{ "limits/maxDowntime",                      CONFIG_DURATION, AT(max_downtime_ms), .min = 1, .max = 2000000, .noted = AT(set.max_downtime) },
	{ "limits/maxDowntimeMs",                    CONFIG_UINT,     AT(max_downtime_as_ms), .min = 1, .max = 2000000, .noted = AT(set.max_downtime_as_ms) },
	{ "limits/ladder",                           CONFIG_STRING,   AT(ladder), .noted = AT(set.ladder) },
	{ "limits/allowAutoConverge",                CONFIG_BOOL,     AT(strategy.allow_auto_converge), .noted = AT(set.auto_converge) },
	{ "limits/allowPostCopy",                    CONFIG_BOOL,     AT(strategy.allow_post_copy), .noted = AT(set.post_copy) },
	{ "limits/allowWorkloadDisruption",          CONFIG_BOOL,     AT(strategy.allow_disruption), .noted = AT(set.disruption) },
	{ "limits/parallelConnections",              CONFIG_UINT,     AT(connections), .min = 1, .max = TRANSFER_CONNECTIONS_MAX, .noted = AT(set.connections) },
	{ "limits/compression",                      CONFIG_STRING,   AT(compression_name), .noted = AT(set.compression) },
	{ "limits/offMigrationNetwork",              CONFIG_STRING,   AT(off_network), .noted = AT(set.off_network) },
	{ "limits/lanes",                            CONFIG_STRING,   AT(lanes), .noted = AT(set.lanes) },
	{ "limits/shutdownTimeout",                  CONFIG_DURATION, AT(shutdown_timeout_ms), .min = 1000, .max = 86400000, .noted = AT(set.shutdown_timeout) },
	{ "migration/tls",                           CONFIG_BOOL,     AT(migration_tls), .noted = AT(set.tls) },
};
/* clang-format on */

static int read_ladder(struct coordinator_settings *s, struct error *err)
{
	if (s->ladder && strategy_parse_ladder(s->ladder, &s->strategy.ladder, err) < 0)
		return error_context(err, "limits/ladder");
	return 0;
}

/* As in KubeVirt: whoever forbids disruption in so many words wants a move given up when its time is over,
 * post-copy or not. Left out, it forbids nothing; and a drain or a move may permit post-copy by name. */
static void read_permissions(struct coordinator_settings *s)
{
	if (!s->set.disruption || s->strategy.allow_disruption || !s->strategy.allow_post_copy)
		return;
	log_warning(
		"limits/allowPostCopy has no effect while limits/allowWorkloadDisruption is "
		"false: a move whose time is over is given up, as in KubeVirt; leave the latter "
		"out to have post-copy without pauses");
	s->strategy.allow_post_copy = false;
}

static int read_transfer(struct coordinator_settings *s, struct error *err)
{
	s->transfer.connections = (uint32_t)s->connections;
	if (s->compression_name &&
	    compression_parse(s->compression_name, &s->transfer.compression, err) < 0)
		return error_context(err, "limits/compression");
	if (transfer_check(&s->transfer, false, strategy_permits_post_copy(&s->strategy), err) < 0)
		return error_context(err, "limits");
	return 0;
}

static int read_off_network(struct coordinator_settings *s, struct error *err)
{
	s->stop_off_network = s->off_network && strcmp(s->off_network, "stop") == 0;
	if (s->off_network && !s->stop_off_network && strcmp(s->off_network, "warn") != 0)
		return error_set(err, ERROR_INVALID,
		                 "limits/offMigrationNetwork: \"%.32s\" is neither warn nor stop",
		                 s->off_network);
	return 0;
}

static int read_lanes(struct coordinator_settings *s, struct error *err)
{
	s->shortest_first = !s->lanes || strcmp(s->lanes, "shortest-first") == 0;
	if (!s->shortest_first && strcmp(s->lanes, "fair") != 0)
		return error_set(err, ERROR_INVALID,
		                 "limits/lanes: \"%.32s\" is neither shortest-first nor fair",
		                 s->lanes);
	return 0;
}

/* KubeVirt's own name for it has the unit in it. */
static int read_downtime(struct coordinator_settings *s, struct error *err)
{
	if (!s->set.max_downtime_as_ms)
		return 0;
	if (s->set.max_downtime)
		return error_set(
			err, ERROR_INVALID,
			"limits/maxDowntime and limits/maxDowntimeMs are the same: leave one "
			"out");
	s->max_downtime_ms = s->max_downtime_as_ms;
	s->set.max_downtime = true;
	return 0;
}

static int check(const struct coordinator_settings *s, struct error *err)
{
	for (size_t i = 0; i < s->listen.count; i++) {
		const char *url = s->listen.items[i];

		if (strncmp(url, "tcp://", 6) != 0 && strncmp(url, "ipc://", 6) != 0)
			return error_set(err, ERROR_INVALID,
			                 "listen: \"%s\" must begin with tcp:// or ipc://", url);
	}
	if (s->listen.count == 0)
		return error_set(err, ERROR_INVALID, "listen: at least one address is needed");
	if (s->join_listen && strncmp(s->join_listen, "tcp://", 6) != 0)
		return error_set(err, ERROR_INVALID,
		                 "join/listen: \"%s\" must begin with tcp://; leave it out, and no "
		                 "host can join",
		                 s->join_listen);
	if (!strchr(s->store_sqlite, '/'))
		return error_set(err, ERROR_INVALID, "store/sqlite: \"%s\" must be a whole path",
		                 s->store_sqlite);
	return 0;
}

int coordinator_settings_load(const char *path, struct coordinator_settings *ret, struct error *err)
{
	/* Defaults of the limits: the field's (OpenShift Virtualization's documents); the inbound
	 * cap, which they lack, is what two migration ports carry. maxDowntime is QEMU's own. */
	struct coordinator_settings s = {
		.store_sqlite = xstrdup("/var/lib/drover/coordinator.db"),
		.join_authority = xstrdup("/var/lib/drover/pki"),
		.migrations_per_cluster = 5,
		.outbound_per_node = 2,
		.inbound_per_node = 2,
		.preparing_per_node = 1,
		.completion_timeout_per_gib_ms = 800 * 1000,
		.progress_timeout_ms = 150 * 1000,
		.bandwidth_per_migration_bytes_per_s = 0,
		.max_downtime_ms = 300,
		.shutdown_timeout_ms = 300 * 1000,
		.migration_tls = true,
	};
	int rc;

	serving_settings_init(&s.serving);
	/* 3,000 agents, and a thousand people and scripts; of one jump host 128. */
	s.serving.max_connections = 4096;
	s.serving.max_connections_per_address = 128;
	s.serving.max_handshakes = 512;
	rc = config_load(path, keys, ARRAY_SIZE(keys), &s, err);
	if (rc == 0) {
		rc = check(&s, err);
		if (rc == 0)
			rc = read_ladder(&s, err);
		if (rc == 0)
			rc = read_downtime(&s, err);
		if (rc == 0)
			rc = read_off_network(&s, err);
		if (rc == 0)
			rc = read_lanes(&s, err);
		read_permissions(&s);
		if (rc == 0)
			rc = read_transfer(&s, err);
		if (rc < 0)
			error_context(err, "%s", path);
	}
	/* Not audit.log: an agent's may be in the same directory. */
	if (rc == 0 && !s.serving.audit_file)
		s.serving.audit_file = xasprintf(
			"%.*s/coordinator-audit.log",
			(int)(strrchr(s.store_sqlite, '/') - s.store_sqlite), s.store_sqlite);
	if (rc < 0) {
		coordinator_settings_deinit(&s);
		return rc;
	}
	*ret = s;
	return 0;
}

void coordinator_settings_deinit(struct coordinator_settings *settings)
{
	config_free(keys, ARRAY_SIZE(keys), settings);
}
