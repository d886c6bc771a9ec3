/* SPDX-License-Identifier: Apache-2.0 */
/* The ways to the destination, before the guest is touched: does the migration network reach it, and a tunnel
 * for libvirt's own conversation. Then, once it has its slot (source_hold.c), what is known is journaled, and
 * source_gate.c asks once more whether the reservation holds. Every failure simply ends in source_fail. Owner
 * thread; making is a courier's.
 *
 * QEMU would find out by itself that no packet comes through: after minutes, or with a word that names no
 * host. The port that it is to use answers with a refusal as long as nobody listens there, which proves the
 * way there and back. */
#include "agent/source/source.h"

#include "agent/failpoints.h"
#include "agent/link/probe.h"
#include "common/alloc.h"
#include "common/cleanup.h"
#include "common/clock.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define LINK_TIMEOUT_MS 10000
#define LINK_POLL_MS    10

struct link_errand {
	struct source_errand base;
	struct attempt_name name;
	char target_node[128];
	char tunnel_address[128];
	char migration_address[64];
	uint16_t port;
	struct storage_proof *proofs; /* owned: read by the destination, and now in the way */
	size_t n_proofs;
	struct error leftover;
	struct tunnel tunnel;
	int rc;
	struct error error;
};

int source_spawn_tunnel(struct agent *agent, const struct attempt_name *name,
                        const char *target_node, const char *address, struct tunnel *ret,
                        struct error *err)
{
	const struct agent_settings *s = agent->settings; /* constant after the start */
	char text[ATTEMPT_TEXT_BYTES];
	char *directory = xasprintf("%s/attempts/%s", s->run_dir, attempt_name_format(name, text));
	char *socket_path = xasprintf("%s/libvirt.sock", directory);
	char *status_path = xasprintf("%s/status", directory);
	char *log_path = xasprintf("%s/tunnel.log", directory);
	char *expect = xasprintf("agent/%s", target_node);
	struct tunnel_options o = {
		.side = TUNNEL_SOURCE,
		.attempt = *name,
		.cluster = s->cluster,
		.expect = expect,
		.ca_path = s->serving.tls_ca,
		.cert_path = s->serving.tls_certificate,
		.key_path = s->serving.tls_key,
		.crl_path = s->serving.tls_crl,
		.status_path = status_path,
		.listen_unix = socket_path,
		.connect = address,
		.log_path = log_path,
	};
	struct tunnel_status status;
	int rc;

	if (mkdir(directory, 0700) < 0 && errno != EEXIST)
		rc = error_set_errno(err, ERROR_SYSTEM, errno, "creating %s", directory);
	else
		rc = FAILPOINT_ERROR(source_before_tunnel_made, err);
	if (rc == 0)
		rc = agent->tunnels->spawn(&o, ret, &status, err);
	FAILPOINT(source_after_tunnel_made);
	free(directory);
	free(socket_path);
	free(status_path);
	free(log_path);
	free(expect);
	return rc;
}

static int probe(const struct agent *agent, const struct link_errand *l, struct error *err)
{
	const char *from = agent->settings->migration_address; /* constant after the start */
	char what[ERROR_TEXT_BYTES];

	if (agent->tunnels->probe(from, l->migration_address, l->port, err) == 0)
		return 0;
	snprintf(what, sizeof(what), "%.300s", err->text);
	return error_set(err, ERROR_UNREACHABLE,
	                 "%s (port %u of %s); nothing was started: look at the route and the "
	                 "firewall there, ip route get %s",
	                 what, l->port, l->target_node, l->migration_address);
}

static void link_work(struct errand *e)
{
	struct link_errand *l = (struct link_errand *)e;

	for (size_t i = 0; i < l->n_proofs; i++)
		(void)storage_proof_clean(&l->proofs[i], &l->leftover);
	l->rc = probe(l->base.attempt->agent, l, &l->error);
	if (l->rc == 0)
		l->rc = source_spawn_tunnel(l->base.attempt->agent, &l->name, l->target_node,
		                            l->tunnel_address, &l->tunnel, &l->error);
}

static void link_poll(void *context);

/* The order with what is known now: a later agent needs the guard to judge the outcome. */
static void move_when_journaled(int rc, const struct error *err, void *context)
{
	struct source_attempt *a = context;

	a->errands--;
	if (a->stage != SOURCE_LINKING)
		return;
	if (rc < 0)
		source_fail(a, DROVER__V1__MIGRATION_STATE__FAILED, err);
	else
		source_confirm(a);
}

void source_linked(struct source_attempt *a)
{
	struct journal_write w = { .kind = JOURNAL_WRITE_ATTEMPT };

	if (a->order.waits_for_slot) {
		source_hold(a);
		return;
	}
	a->order.guard = (uint32_t)a->guard;
	memcpy(a->order.migration_address, a->migration_address,
	       sizeof(a->order.migration_address));
	a->order.port = a->port;
	a->order.disk_port = a->disk_port;
	w.attempt = a->order;
	a->errands++;
	journal_keeper_write(a->agent->journal, &w, move_when_journaled, a);
}

static void linked(struct errand *e)
{
	struct link_errand *l = (struct link_errand *)e;
	struct source_attempt *a = l->base.attempt;
	bool wanted = source_home(&l->base, SOURCE_LINKING);

	if (l->leftover.code != ERROR_NONE)
		snprintf(a->leftover, sizeof(a->leftover), "%.250s", l->leftover.text);
	for (size_t i = 0; i < l->n_proofs; i++)
		source_journal_thing(a, JOURNAL_WRITE_REMOVED, JOURNAL_PROOF_FILE,
		                     l->proofs[i].nonce_path, NULL);
	free(l->proofs);
	if (l->rc == 0)
		source_journal_thing(a, JOURNAL_WRITE_MADE, JOURNAL_TUNNEL, l->tunnel.status_path,
		                     &l->tunnel);
	a->preparing = false;
	a->tunnel = l->tunnel;
	a->tunnel_made = l->rc == 0;
	if (!wanted) {
		source_clean(a);
	} else if (l->rc < 0) {
		if (l->error.code != ERROR_UNREACHABLE)
			error_context(&l->error, "starting the tunnel to %s", a->order.target_node);
		source_fail(a, DROVER__V1__MIGRATION_STATE__FAILED, &l->error);
	} else {
		a->timer.fire = link_poll;
		loop_timer_start(a->agent->loop, &a->timer, LINK_POLL_MS);
	}
	free(l);
}

/* The status file is a page in memory: reading it does not block. */
static void link_poll(void *context)
{
	struct source_attempt *a = context;
	struct tunnel_status status = { 0 };
	struct error err;
	int rc = a->agent->tunnels->read_status(&a->tunnel, &status, &err);

	if (rc == 0 && status.state == TUNNEL_LINKED) {
		FAILPOINT(source_after_linked);
		source_linked(a);
		return;
	}
	if (rc == 0 && status.state == TUNNEL_FAILED)
		rc = error_set(&err, (enum error_code)status.error_code, "%s", status.error_text);
	else if (rc == 0 && clock_now_ms() - a->stage_since_ms > LINK_TIMEOUT_MS)
		rc = error_set(&err, ERROR_TIMEOUT, "no answer at %s within %d s",
		               a->tunnel_address, LINK_TIMEOUT_MS / 1000);
	if (rc < 0) {
		error_context(&err, "tunnel to %s", a->order.target_node);
		source_fail(a, DROVER__V1__MIGRATION_STATE__FAILED, &err);
		return;
	}
	loop_timer_start(a->agent->loop, &a->timer, LINK_POLL_MS);
}

void source_link(struct source_attempt *a)
{
	struct link_errand *l = xnew(struct link_errand);

	probe_yield(a->agent);
	source_enter(a, SOURCE_LINKING);
	l->base.errand.work = link_work;
	l->base.errand.done = linked;
	l->name = a->order.attempt;
	snprintf(l->target_node, sizeof(l->target_node), "%s", a->order.target_node);
	snprintf(l->tunnel_address, sizeof(l->tunnel_address), "%s", a->tunnel_address);
	memcpy(l->migration_address, a->migration_address, sizeof(l->migration_address));
	l->port = a->port;
	l->proofs = take_pointer(a->proofs);
	l->n_proofs = a->n_proofs;
	a->n_proofs = 0;
	a->preparing = true;
	source_send(a, &l->base, a->agent->couriers);
}
