/* SPDX-License-Identifier: Apache-2.0 */
/* What an agent is told by /etc/drover/agent.yaml. Read once at start; see settings.c for the keys
 * and their defaults. */
#pragma once

#include "common/config.h"
#include "proto/serving.h"

#include <stdbool.h>
#include <stdint.h>

struct agent_settings {
	char *node;
	char *cluster;
	char *run_dir;                   /* sockets and tunnels; gone after a reboot */
	char *state_dir;                 /* the journal; must survive a reboot */
	struct config_list coordinators; /* tcp:// addresses to dial */
	char *listen;                    /* where other agents reach this one */
	struct serving_settings serving;
	char *tls_qemu, *tls_libvirt; /* directories whose certificates are drover's; or NULL */

	char *libvirt_uri;
	char *libvirt_socket; /* where drover-tunnel connects on the destination side */

	uint64_t memory_capacity_bytes;     /* 0 = what the kernel says */
	uint64_t memory_reserve_bytes;      /* never promised to guests */
	uint32_t memory_overcommit_percent; /* of (capacity - reserve); 100 = 1.0 */
	uint32_t cpu_overcommit_percent;    /* vCPUs per CPU, 400 = 4.0; 0 = no limit */

	char *migration_address;
	char *migration_interface;
	struct config_list interfaces; /* others whose traffic is counted */
	uint64_t port_first, port_last;
	bool migration_tls;
	uint64_t link_bytes_per_s; /* what the migration network carries; 0 = ask the device */
	bool probe; /* see what it carries to a host, before a move there (agent/link/probe.h) */
	/* This host's own caps: a second fence behind the coordinator's. */
	uint64_t parallel_inbound, parallel_outbound;
	uint64_t min_bytes_per_s;       /* a move that cannot have this much is not admitted */
	uint64_t max_two_step_pause_ms; /* guests that would stand still for longer need a lock */
	uint64_t max_round_trip_ms;     /* to the source, on the migration network */
	struct config_list labels;      /* "rack=a": what operators select hosts by */
};

/* Defaults, then the file. */
int agent_settings_load(const char *path, struct agent_settings *ret, struct error *err);
void agent_settings_deinit(struct agent_settings *settings);
