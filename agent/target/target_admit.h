/* SPDX-License-Identifier: Apache-2.0 */
/* Private to target_admit*.c: one question for admission on its way through the three of them.
 *
 *	target_admit.c		owner	read, judge, take, journal, answer
 *	target_admit_measure.c	courier	look at everything that is asked for
 *	target_admit_tunnel.c	both	the process that the source's tunnel connects to
 *
 * A struct admit belongs to one thread at a time: it is an errand.
 */
#pragma once

#include "agent/link/migration_tls.h"
#include "agent/target/target.h"
#include "agent/target/target_copy.h"

struct admit {
	struct errand errand;
	struct agent *agent;
	struct mesh_incoming *in; /* NULL: nobody waits any more */
	bool dry_run, tls, no_guard, unsafe;
	uint64_t lease_ttl_ms;
	char source_node[128];
	char source_address[64];
	uint64_t limit_bytes_per_s;
	struct path_estimate path; /* as the source has it */
	uint64_t max_downtime_ms;
	bool post_copy;
	char lock_manager[32];
	struct versions source_versions;

	/* The guest, as sent. */
	struct attempt_name name;
	struct vm_description vm;
	struct storage_proof proofs[VM_DISKS_MAX];
	struct storage_proof lockspace_proof;

	/* Copies of the owner's, for the courier. */
	struct port_pool pool;
	uint16_t leased_ports[2 * RESERVATIONS_MAX]; /* two for each lease at most */
	size_t n_leased_ports;

	/* Measured. */
	struct host_facts facts;
	struct check cpu, machine;
	struct guest_capabilities capabilities;
	bool capabilities_known;
	char capabilities_why[160];
	struct firmware_finding firmware;
	struct place_finding places[VM_PLACES_MAX];
	struct storage_finding disks[VM_DISKS_MAX];
	struct target_copy copy;
	struct storage_finding lockspace;
	struct network_finding networks[VM_INTERFACES_MAX];
	struct port_survey port;
	struct hugepage_finding hugepages;
	struct round_trip round_trip;
	struct conflict_finding conflict;
	char cpu_why[160];
	bool tls_ready;
	struct migration_tls source_tls;
	char tls_problem[160];

	/* Judged. */
	struct check_list checks;
	enum guard guard;
	bool admitted;
	uint16_t reserved_port;
	uint64_t share_bytes_per_s;

	/* Made. */
	struct tunnel tunnel;
	char tunnel_address[TARGET_TUNNEL_ADDRESS_BYTES];
	char directory[VM_PATH_BYTES];
	int tunnel_rc;
	struct error tunnel_error;
};

/* Courier: fills "Measured". */
void target_admit_measure(struct errand *e);
/* Courier: the ports again, with what is leased by now. */
void target_admit_survey_ports(struct errand *e);

/* Owner: what was taken gets its tunnel, and then the question its answer. */
void target_admit_start_tunnel(struct admit *a);

/* Owner: both end @a. */
void target_admit_reply(struct admit *a);
void target_admit_fail(struct admit *a, const struct error *err);
