/* SPDX-License-Identifier: Apache-2.0 */
/* What a coordinator is told by /etc/drover/coordinator.yaml. Read once at start. The names of the
 * limits are KubeVirt's, which is where people know them from. */
#pragma once

#include "common/config.h"
#include "common/strategy.h"
#include "common/transfer.h"
#include "proto/serving.h"

#include <stdbool.h>
#include <stdint.h>

struct coordinator_settings {
	char *name;
	char *cluster;
	struct config_list listen; /* tcp:// for agents and remote tools, ipc:// for local ones */
	char *store_sqlite;        /* the file; its directory holds lock and journal, too */
	struct serving_settings serving;

	char *join_listen;    /* where hosts without a certificate join; NULL: nowhere */
	char *join_authority; /* directory, see pki/authority.h */

	uint64_t migrations_per_cluster;
	uint64_t outbound_per_node;
	uint64_t inbound_per_node;
	uint64_t preparing_per_node; /* beside outbound_per_node; 0 = none */
	uint64_t completion_timeout_per_gib_ms;
	uint64_t progress_timeout_ms;
	uint64_t bandwidth_per_migration_bytes_per_s; /* 0 = no limit */
	uint64_t max_downtime_ms;
	uint64_t max_downtime_as_ms;  /* private: as limits/maxDowntimeMs has it */
	uint64_t shutdown_timeout_ms; /* that a guest is given when a drain shuts it down */
	bool migration_tls;
	char *ladder;             /* its name; NULL: plain */
	struct strategy strategy; /* with what the ladder's name says */
	uint64_t connections;     /* of each migration; 0 = one */
	char *compression_name;   /* NULL: none */
	struct transfer transfer; /* both of them */
	char *off_network;        /* "warn", "stop"; NULL: warn */
	bool stop_off_network;
	char *lanes; /* "shortest-first", "fair"; NULL: shortest-first */
	bool shortest_first;

	/* Whether the file has them; otherwise they are built-in defaults. */
	struct {
		bool migrations_per_cluster, outbound_per_node, inbound_per_node;
		bool preparing_per_node;
		bool completion_timeout, progress_timeout, bandwidth, max_downtime;
		bool max_downtime_as_ms;
		bool ladder, auto_converge, post_copy, disruption, tls;
		bool connections, compression, off_network, lanes, shutdown_timeout;
	} set;
};

int coordinator_settings_load(const char *path, struct coordinator_settings *ret,
                              struct error *err);
void coordinator_settings_deinit(struct coordinator_settings *settings);
