/* SPDX-License-Identifier: Apache-2.0 */
/* Dry runs: describes a guest and asks a destination to check it, which reserves nothing. Of no
 * attempt: a preview keeps its own state and removes its own proofs. Owner thread, but for what its
 * couriers do. */
#include "agent/source/source.h"

#include "agent/link/probe.h"
#include "agent/source/source_describe.h"
#include "agent/wire.h"
#include "common/alloc.h"
#include "common/cleanup.h"
#include "common/log.h"
#include "proto/transfer_message.h"

#include <stdio.h>
#include <stdlib.h>

struct preview {
	struct errand errand;
	struct agent *agent;
	struct mesh_incoming *in; /* NULL: nobody waits any more */
	char uuid[VM_UUID_BYTES];
	char target_node[128];
	char target_address[128];
	struct attempt_name name;
	struct source_wish wish;
	struct source_description description;
};

struct preview_end {
	struct errand errand;
	struct storage_proof *proofs; /* owned */
	size_t n_proofs;
};

static void preview_clean(struct errand *e)
{
	struct preview_end *end = (struct preview_end *)e;
	struct error err;

	for (size_t i = 0; i < end->n_proofs; i++) {
		if (storage_proof_clean(&end->proofs[i], &err) < 0)
			log_warning("%s", err.text);
	}
}

static void preview_cleaned(struct errand *e)
{
	struct preview_end *end = (struct preview_end *)e;

	free(end->proofs);
	free(end);
}

static void preview_free(struct preview *p)
{
	struct preview_end *end = xnew(struct preview_end);

	end->errand.work = preview_clean;
	end->errand.done = preview_cleaned;
	end->proofs = take_pointer(p->description.proofs);
	end->n_proofs = p->description.n_proofs;
	courier_send(p->agent->couriers, &end->errand);
	source_description_deinit(&p->description);
	free(p);
}

static void preview_answered(const struct mesh_result *result, const Drover__V1__AdmitReply *reply,
                             void *context)
{
	struct preview *p = context;

	if (p->in && result->status == MESH_OK)
		mesh_reply(p->in, &reply->base);
	else if (p->in)
		mesh_fail(p->in, result->status, &result->error);
	preview_free(p);
}

static void preview_ask(struct mesh_connection *c, const struct error *err, void *context)
{
	struct preview *p = context;
	Drover__V1__AdmitRequest *request;

	if (!c || !p->in) {
		if (p->in)
			mesh_fail_error(p->in, err);
		preview_free(p);
		return;
	}
	request = source_admit_request_new(&p->description, &p->name, p->agent->settings, &p->wish);
	/* Nobody is to check a guest for a coordinator that has given up waiting. */
	agent_call_admit_with(c, request,
	                      &(struct mesh_call_options){ .timeout_ms = SOURCE_ADMIT_TIMEOUT_MS,
	                                                   .parent = p->in },
	                      preview_answered, p);
	wire_free(request);
}

static void preview_work(struct errand *e)
{
	struct preview *p = (struct preview *)e;

	source_description_gather(&p->description, p->agent->hypervisor, p->uuid, &p->name);
}

/* Measured or not. */
static void preview_measured(const struct probe_result *result, void *context)
{
	struct preview *p = context;
	uint64_t connect_ms = SOURCE_CONNECT_TIMEOUT_MS, left_ms;

	(void)result;
	if (!p->in) {
		preview_free(p);
		return;
	}
	paths_estimate(p->agent, p->target_node, &p->wish.path);
	left_ms = mesh_incoming_get_timeout_ms(p->in);
	if (left_ms > 0 && left_ms < connect_ms)
		connect_ms = left_ms;
	peers_with_connection(p->agent, p->target_node, p->target_address, connect_ms, preview_ask,
	                      p);
}

static void preview_gathered(struct errand *e)
{
	struct preview *p = (struct preview *)e;

	if (p->description.rc < 0 || !p->in) {
		if (p->in)
			mesh_fail_error(p->in, &p->description.error);
		preview_free(p);
		return;
	}
	probe_path_if_stale(p->agent, p->target_node, p->target_address, preview_measured, p);
}

static void preview_unwanted(void *context)
{
	((struct preview *)context)->in = NULL;
}

void source_preview(struct agent *agent, struct mesh_incoming *in,
                    const Drover__V1__PreviewRequest *request)
{
	struct transfer transfer;
	struct preview *p;
	struct error err;

	if (agent_see_epoch(agent, request->epoch, &err) < 0 ||
	    transfer_message_read(request->transfer, &transfer, &err) < 0) {
		mesh_fail_error(in, &err);
		return;
	}
	p = xnew(struct preview);
	p->errand.work = preview_work;
	p->errand.done = preview_gathered;
	p->agent = agent;
	p->in = in;
	p->wish = (struct source_wish){ .dry_run = true,
		                        .tls = agent->settings->migration_tls,
		                        .no_guard = request->no_guard,
		                        .unsafe = request->unsafe,
		                        .copy_disks = request->copy_disks,
		                        .transfer = transfer,
		                        .post_copy = request->post_copy,
		                        .max_downtime_ms = request->max_downtime_ms };
	snprintf(p->uuid, sizeof(p->uuid), "%s", request->vm_uuid);
	snprintf(p->target_node, sizeof(p->target_node), "%s", request->target_node);
	snprintf(p->target_address, sizeof(p->target_address), "%s", request->target_address);
	/* An operation of its own: its proofs must not meet those of a real attempt. */
	p->name = (struct attempt_name){ .operation = id_new(),
		                         .number = 1,
		                         .epoch = request->epoch };
	mesh_incoming_on_cancel(in, preview_unwanted, p);
	courier_send(agent->couriers, &p->errand);
}
