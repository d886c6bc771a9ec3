/* SPDX-License-Identifier: Apache-2.0 */
/* After the move: is what arrived what had left, and is nothing of it left here? Asked while the attempt
 * cleans up, so that neither waits for the other, and before the reservation is given back, by which the
 * destination knows whom it answers.
 *
 *	RESOLVING, done --> CLEANING: tunnel, files .....................................--.
 *	                              find here --> Verify there --> text for the journal --+--> release, ENDED
 *	                              ^  |          ^  |
 *	                              '--'  again   '--'  until VERIFY_MOST_MS: then "not verified", and why
 *
 * The guest runs all the while; nothing is undone and nothing destroyed for a difference. Owner thread,
 * but for libvirt's call. */
#include "agent/source/source.h"

#include "agent/failpoints.h"
#include "agent/kernel/verification.h"
#include "agent/wire.h"
#include "common/alloc.h"
#include "common/clock.h"
#include "common/log.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* An agent that dies is back in a few seconds. One that is not keeps nobody waiting for longer. */
#define VERIFY_MOST_MS    10000
#define VERIFY_AGAIN_MS   500
#define VERIFY_CONNECT_MS 3000
/* libvirt waits five seconds for a guest's agent that is silent. */
#define VERIFY_CALL_MS 9000

struct find_errand {
	struct source_errand base;
	struct hypervisor *hypervisor;
	char uuid[VM_UUID_BYTES];
	int rc;
	struct vm_summary vm;
	struct error error;
};

static void ask(struct source_attempt *a);
static void find(struct source_attempt *a);

static void tell_differences(const struct source_attempt *a, const struct verification *v)
{
	if (v->checks.count == 0)
		log_info("%s -> %s: not verified: %s", a->order.vm_name, a->order.target_node,
		         v->not_verified);
	for (size_t i = 0; i < v->checks.count; i++) {
		const struct check *c = &v->checks.items[i];

		if (c->verdict != CHECK_PASS)
			log_warning("%s -> %s: it arrived with a difference: %s: %s, required %s",
			            a->order.vm_name, a->order.target_node, c->id, c->measured,
			            c->required);
	}
}

static void end(struct source_attempt *a, const struct verification *v)
{
	FAILPOINT(source_after_verify);
	tell_differences(a, v);
	verification_format(v, a->order.verification, sizeof(a->order.verification));
	source_verified(a);
}

/* What could not be compared is no difference; that something is left here would be one. */
static void give_up(struct source_attempt *a, const char *why)
{
	struct verification v = { 0 };

	snprintf(v.not_verified, sizeof(v.not_verified), "%.250s", why);
	if (a->left_here.verdict != CHECK_PASS)
		v.checks.items[v.checks.count++] = a->left_here;
	end(a, &v);
}

static bool is_overdue(const struct source_attempt *a)
{
	return clock_now_ms() - a->stage_since_ms > VERIFY_MOST_MS;
}

static void again(struct source_attempt *a, void (*fire)(void *context))
{
	a->verify_timer.fire = fire;
	a->verify_timer.context = a;
	loop_timer_start(a->agent->loop, &a->verify_timer, VERIFY_AGAIN_MS);
}

static void ask_again(void *context)
{
	ask(context);
}

static void failed(struct source_attempt *a, const struct error *why)
{
	char text[VERIFICATION_WHY_BYTES];

	if (is_overdue(a)) {
		snprintf(text, sizeof(text), "%.64s did not answer: %.160s", a->order.target_node,
		         why->text);
		give_up(a, text);
		return;
	}
	again(a, ask_again);
}

static void take_answer(struct source_attempt *a, const Drover__V1__VerifyReply *reply)
{
	struct verification v = { 0 };
	struct error err;

	if (wire_checks_read(reply->checks, reply->n_checks, &v.checks, &err) < 0 ||
	    v.checks.count == 0 || v.checks.count == CHECKS_MAX) {
		give_up(a, "the destination's answer makes no sense");
		return;
	}
	snprintf(v.not_verified, sizeof(v.not_verified), "%.250s", reply->not_verified);
	v.checks.items[v.checks.count++] = a->left_here;
	end(a, &v);
}

static void answered(const struct mesh_result *result, const Drover__V1__VerifyReply *reply,
                     void *context)
{
	struct source_attempt *a = context;
	char why[VERIFICATION_WHY_BYTES];

	a->errands--;
	if (a->stage != SOURCE_CLEANING)
		return; /* we are being stopped */
	switch (result->status) {
	case MESH_OK:
		take_answer(a, reply);
		break;
	case MESH_UNIMPLEMENTED:
		snprintf(why, sizeof(why), "the agent of %.128s is older, and cannot compare",
		         a->order.target_node);
		give_up(a, why);
		break;
	case MESH_UNAVAILABLE:
	case MESH_DEADLINE_EXCEEDED:
	case MESH_CANCELLED:
		failed(a, &result->error);
		break;
	default:
		give_up(a, result->error.text);
		break;
	}
}

static void connected(struct mesh_connection *c, const struct error *err, void *context)
{
	struct source_attempt *a = context;
	Drover__V1__VerifyRequest request = DROVER__V1__VERIFY_REQUEST__INIT;

	if (!c || a->stage != SOURCE_CLEANING) {
		a->errands--;
		if (a->stage == SOURCE_CLEANING)
			failed(a, err);
		return;
	}
	request.attempt = wire_attempt_new(&a->order.attempt);
	request.vm_uuid = a->order.vm_uuid;
	request.source_node = a->agent->settings->node;
	request.vm = a->left;
	request.paused = a->order.paused;
	request.persistent = a->order.persistent;
	request.autostart = a->order.autostart;
	FAILPOINT(source_before_verify);
	agent_call_verify(c, &request, VERIFY_CALL_MS, answered, a);
	wire_free(request.attempt);
}

static void ask(struct source_attempt *a)
{
	a->errands++;
	peers_with_connection(a->agent, a->order.target_node, a->order.target_address,
	                      VERIFY_CONNECT_MS, connected, a);
}

static void find_work(struct errand *e)
{
	struct find_errand *f = (struct find_errand *)e;

	f->rc = f->hypervisor->ops->find(f->hypervisor, f->uuid, &f->vm, &f->error);
}

static void find_again(void *context)
{
	find(context);
}

static void found(struct errand *e)
{
	struct find_errand *f = (struct find_errand *)e;
	struct source_attempt *a = f->base.attempt;
	bool silent = f->rc < 0 && f->rc != -ERROR_NOT_FOUND;

	if (!source_home(&f->base, SOURCE_CLEANING)) {
		free(f);
		return;
	}
	/* An agent that has just begun has no connection to libvirt yet. */
	if (silent && !is_overdue(a)) {
		free(f);
		again(a, find_again);
		return;
	}
	verification_judge_source(a->agent->settings->node, f->rc == 0 ? &f->vm : NULL,
	                          silent ? f->error.text : NULL, &a->left_here);
	free(f);
	if (a->target_fenced)
		give_up(a, "its destination was declared dead");
	else
		ask(a);
}

static void find(struct source_attempt *a)
{
	struct find_errand *f = xnew(struct find_errand);

	f->base.errand.work = find_work;
	f->base.errand.done = found;
	f->hypervisor = a->agent->hypervisor;
	memcpy(f->uuid, a->order.vm_uuid, sizeof(f->uuid));
	source_send(a, &f->base, a->agent->couriers);
}

void source_verify(struct source_attempt *a)
{
	a->verifying = true;
	find(a);
}
