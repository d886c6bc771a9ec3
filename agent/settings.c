/* SPDX-License-Identifier: Apache-2.0 */
/* The agent's configuration keys. The tables of defaults and keys are all there is to know. */
#include "agent/settings.h"

#include "common/alloc.h"
#include "common/labels.h"
#include "common/units.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What is read as text and means more than one value is kept here until it is understood. */
struct raw_settings {
	struct agent_settings settings;
	char *ports;
	char *overcommit;
	char *cpu_overcommit;
};

#define AT(field) offsetof(struct raw_settings, settings.field)

/* clang-format off */
static const struct config_key keys[] = {
	{ "node",                 CONFIG_STRING, AT(node), .required = true },
	{ "cluster",              CONFIG_STRING, AT(cluster), .required = true },
	{ "run_dir",              CONFIG_STRING, AT(run_dir) },
	{ "state_dir",            CONFIG_STRING, AT(state_dir) },
	{ "coordinators",         CONFIG_LIST,   AT(coordinators), .required = true },
	{ "listen",               CONFIG_STRING, AT(listen), .required = true },
	SERVING_CONFIG_KEYS(AT),
	{ "tls/qemu",             CONFIG_STRING, AT(tls_qemu) },
	{ "tls/libvirt",          CONFIG_STRING, AT(tls_libvirt) },
	{ "libvirt/uri",          CONFIG_STRING, AT(libvirt_uri) },
	{ "libvirt/socket",       CONFIG_STRING, AT(libvirt_socket) },
	{ "memory/capacity",      CONFIG_BYTES,  AT(memory_capacity_bytes) },
	{ "memory/reserve",       CONFIG_BYTES,  AT(memory_reserve_bytes) },
	{ "memory/overcommit",    CONFIG_STRING, offsetof(struct raw_settings, overcommit) },
	{ "cpu/overcommit",       CONFIG_STRING, offsetof(struct raw_settings, cpu_overcommit) },
	{ "labels",               CONFIG_LIST,   AT(labels) },
	{ "interfaces",           CONFIG_LIST,   AT(interfaces) },
	{ "migration/address",    CONFIG_STRING, AT(migration_address), .required = true },
	{ "migration/interface",  CONFIG_STRING, AT(migration_interface), .required = true },
	{ "migration/ports",      CONFIG_STRING, offsetof(struct raw_settings, ports) },
	{ "migration/tls",        CONFIG_BOOL,   AT(migration_tls) },
	{ "migration/link",       CONFIG_RATE,   AT(link_bytes_per_s) },
	{ "migration/probe",      CONFIG_BOOL,   AT(probe) },
	{ "migration/parallelInbound",  CONFIG_UINT,     AT(parallel_inbound), .min = 1, .max = 64 },
	{ "migration/parallelOutbound", CONFIG_UINT,     AT(parallel_outbound), .min = 1, .max = 64 },
	{ "migration/minBandwidth",     CONFIG_RATE,     AT(min_bytes_per_s) },
	{ "migration/maxTwoStepPause",  CONFIG_DURATION, AT(max_two_step_pause_ms), .min = 1, .max = 600000 },
	{ "migration/maxRoundTrip",     CONFIG_DURATION, AT(max_round_trip_ms), .min = 1, .max = 10000 },
};
/* clang-format on */

static void set_defaults(struct raw_settings *raw)
{
	*raw = (struct raw_settings){
		.settings = {
			.run_dir = xstrdup("/run/drover"),
			.state_dir = xstrdup("/var/lib/drover"),
			.libvirt_uri = xstrdup("qemu:///system"),
			.libvirt_socket = xstrdup("/run/libvirt/libvirt-sock"),
			/* Kernel, libvirtd, agent and page cache of a small host. */
			.memory_reserve_bytes = 1 * GIB,
			.migration_tls = true,
			.probe = true,
			/* As the coordinator's: the field's default out, and in what two ports
			 * carry. */
			.parallel_inbound = 2,
			.parallel_outbound = 2,
			/* A GiB in 128 s: inside the 150 s that the field gives to each. */
			.min_bytes_per_s = 8 * MIB,
			/* What others support at most between the hosts of a move. */
			.max_round_trip_ms = 150,
			/* Connections and clusters of guests outlast that. */
			.max_two_step_pause_ms = 5000,
		},
		/* The two ports that the field opens in firewalls for migration. */
		.ports = xstrdup("49152-49153"),
		.overcommit = xstrdup("1.0"),
		/* How many vCPUs are too many depends on what they do: an administrator knows. */
		.cpu_overcommit = xstrdup("0"),
	};
	serving_settings_init(&raw->settings.serving);
	/* Of other agents, their tunnels, and coordinators. */
	raw->settings.serving.max_connections = 512;
	raw->settings.serving.max_connections_per_address = 64;
}

/* "49152-49153" or one port. */
static int parse_ports(const char *text, struct agent_settings *s, struct error *err)
{
	unsigned first, last;
	char rest;

	if (sscanf(text, "%5u-%5u%c", &first, &last, &rest) != 2) {
		if (sscanf(text, "%5u%c", &first, &rest) != 1)
			return error_set(
				err, ERROR_INVALID,
				"migration/ports: \"%s\" is not a range; write 49152-49153", text);
		last = first;
	}
	if (first < 1024 || last > 65535 || first > last || last - first >= 64)
		return error_set(err, ERROR_INVALID,
		                 "migration/ports: %s must lie in 1024-65535, in ascending order, "
		                 "and hold at most 64 ports",
		                 text);
	s->port_first = first;
	s->port_last = last;
	return 0;
}

/* "1.5", at most @most and at most two decimals; false for anything else. */
static bool parse_ratio(const char *text, uint32_t most, uint32_t *ret_percent)
{
	unsigned whole, part = 0;
	char digits[3] = "", rest;
	int n = sscanf(text, "%2u.%2[0-9]%c", &whole, digits, &rest);

	if (n == 2)
		part = (unsigned)(digits[0] - '0') * 10 +
		       (digits[1] ? (unsigned)(digits[1] - '0') : 0);
	else if (sscanf(text, "%2u%c", &whole, &rest) != 1)
		n = 0;
	*ret_percent = whole * 100 + part;
	return n >= 1 && n <= 2 && *ret_percent <= most * 100;
}

/* What guests are promised of the RAM that is there for them, and of the CPUs. */
static int parse_overcommit(const char *memory, const char *cpu, struct agent_settings *s,
                            struct error *err)
{
	if (!parse_ratio(memory, 10, &s->memory_overcommit_percent) ||
	    s->memory_overcommit_percent < 100)
		return error_set(
			err, ERROR_INVALID,
			"memory/overcommit: \"%s\" is not a ratio from 1.0 to 10.0 with at "
			"most two decimals",
			memory);
	if (!parse_ratio(cpu, 64, &s->cpu_overcommit_percent))
		return error_set(err, ERROR_INVALID,
		                 "cpu/overcommit: \"%s\" is not a ratio up to 64.0 with at most "
		                 "two decimals, nor 0 for no limit",
		                 cpu);
	return 0;
}

static int check(const struct agent_settings *s, struct error *err)
{
	char labels[LABELS_BYTES] = "";
	struct in6_addr any;
	bool changed;

	if (inet_pton(AF_INET, s->migration_address, &any) != 1 &&
	    inet_pton(AF_INET6, s->migration_address, &any) != 1)
		return error_set(err, ERROR_INVALID,
		                 "migration/address: \"%s\" is not an IP address; names are not "
		                 "taken, because both hosts must agree on one address",
		                 s->migration_address);
	if (strncmp(s->listen, "tcp://", 6) != 0)
		return error_set(err, ERROR_INVALID,
		                 "listen: \"%s\" must be a tcp:// address that other agents reach, "
		                 "for example tcp://10.0.0.1:7788",
		                 s->listen);
	for (size_t i = 0; i < s->coordinators.count; i++) {
		if (strncmp(s->coordinators.items[i], "tcp://", 6) != 0)
			return error_set(err, ERROR_INVALID,
			                 "coordinators: \"%s\" must be a tcp:// address",
			                 s->coordinators.items[i]);
	}
	for (size_t i = 0; i < s->labels.count; i++) {
		if (labels_change(labels, s->labels.items[i], &changed, err) < 0)
			return error_context(err, "labels");
	}
	if (s->memory_capacity_bytes && s->memory_reserve_bytes >= s->memory_capacity_bytes)
		return error_set(err, ERROR_INVALID,
		                 "memory/reserve must be smaller than memory/capacity");
	return 0;
}

int agent_settings_load(const char *path, struct agent_settings *ret, struct error *err)
{
	struct raw_settings raw;
	int rc;

	set_defaults(&raw);
	rc = config_load(path, keys, ARRAY_SIZE(keys), &raw, err);
	if (rc == 0) {
		rc = parse_ports(raw.ports, &raw.settings, err);
		if (rc == 0)
			rc = parse_overcommit(raw.overcommit, raw.cpu_overcommit, &raw.settings,
			                      err);
		if (rc == 0)
			rc = check(&raw.settings, err);
		if (rc < 0)
			error_context(err, "%s", path);
	}
	if (rc == 0 && !raw.settings.serving.audit_file)
		raw.settings.serving.audit_file = xasprintf("%s/audit.log", raw.settings.state_dir);
	free(raw.ports);
	free(raw.overcommit);
	free(raw.cpu_overcommit);
	if (rc < 0) {
		agent_settings_deinit(&raw.settings);
		return rc;
	}
	*ret = raw.settings;
	return 0;
}

void agent_settings_deinit(struct agent_settings *settings)
{
	struct raw_settings raw = { .settings = *settings };

	config_free(keys, ARRAY_SIZE(keys), &raw);
	*settings = (struct agent_settings){ 0 };
}
