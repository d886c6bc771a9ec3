/* SPDX-License-Identifier: Apache-2.0 */
/* What a destination must know of a guest: gathered by a courier, asked with an AdmitRequest. Used by
 * moves (source_prepare.c) and by dry runs (source_preview.c).
 */
#pragma once

#include "agent/link/migration_tls.h"
#include "agent/settings.h"
#include "agent/storage/storage_proof.h"
#include "common/path.h"
#include "common/transfer.h"
#include "proto/agent.pb-c.h"

/* How long connecting to a destination and its answer may take. */
#define SOURCE_CONNECT_TIMEOUT_MS 10000
#define SOURCE_ADMIT_TIMEOUT_MS   30000

struct source_description {
	struct vm_description vm;
	struct host_facts facts;
	struct storage_proof *proofs; /* owned; one per disk, then the lockspace's */
	size_t n_proofs;
	bool has_lockspace;
	struct migration_tls tls; /* looked at if libvirt tells where they are */
	int rc; /* 0, or -ERROR_x with the reason: then only proofs have a meaning */
	struct error error;
};

/* Blocks: on a courier thread. Proof files are made even if something fails later; whoever takes
 * them over removes them. */
void source_description_gather(struct source_description *d, struct hypervisor *h, const char *uuid,
                               const struct attempt_name *name);
void source_description_deinit(struct source_description *d);

/* How the move is wanted. */
struct source_wish {
	bool dry_run; /* check and reserve nothing */
	bool tls, no_guard, copy_disks, post_copy, unsafe;
	struct transfer transfer;
	uint64_t bandwidth_bytes_per_s; /* 0 = no limit */
	uint64_t max_downtime_ms;       /* 0 = QEMU's own */
	struct path_estimate path;      /* to the destination */
};

/* wire_free. */
Drover__V1__AdmitRequest *source_admit_request_new(const struct source_description *d,
                                                   const struct attempt_name *name,
                                                   const struct agent_settings *own,
                                                   const struct source_wish *wish);
