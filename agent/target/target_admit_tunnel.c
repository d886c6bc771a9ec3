/* SPDX-License-Identifier: Apache-2.0 */
/* The destination's end of the tunnel, for a guest that was admitted and is in the journal. See
 * target_admit.h. Made on a courier, taken in by the owner. */
#include "agent/target/target_admit.h"

#include "agent/failpoints.h"
#include "common/alloc.h"
#include "common/log.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/* Where other agents reach us, on another port; owned by the caller. */
static char *listen_address(const struct agent_settings *s, uint32_t port)
{
	const char *host = strstr(s->listen, "://");
	const char *colon;

	host = host ? host + 3 : s->listen;
	colon = strrchr(host, ':');
	return xasprintf("%.*s:%u", (int)(colon ? colon - host : (long)strlen(host)), host, port);
}

int target_tunnel_spawn(struct agent *agent, const struct attempt_name *name,
                        const char *source_node, const char *directory, struct tunnel *ret,
                        char ret_address[static TARGET_TUNNEL_ADDRESS_BYTES], struct error *err)
{
	const struct agent_settings *s = agent->settings; /* constant after the start */
	char *expect = xasprintf("agent/%s", source_node);
	char *status_path = xasprintf("%s/status", directory);
	char *log_path = xasprintf("%s/tunnel.log", directory);
	char *listen = listen_address(s, 0), *address;
	struct tunnel_status status;
	struct tunnel_options o = {
		.side = TUNNEL_TARGET,
		.attempt = *name,
		.cluster = s->cluster,
		.expect = expect,
		.ca_path = s->serving.tls_ca,
		.cert_path = s->serving.tls_certificate,
		.key_path = s->serving.tls_key,
		.crl_path = s->serving.tls_crl,
		.status_path = status_path,
		.connect_unix = s->libvirt_socket,
		.log_path = log_path,
		.listen = listen,
	};
	int rc;

	if (mkdir(directory, 0700) < 0 && errno != EEXIST)
		rc = error_set_errno(err, ERROR_SYSTEM, errno, "creating %s", directory);
	else
		rc = FAILPOINT_ERROR(target_before_tunnel_made, err);
	if (rc == 0)
		rc = agent->tunnels->spawn(&o, ret, &status, err);
	FAILPOINT(target_after_tunnel_made);
	if (rc == 0) {
		address = listen_address(s, status.port);
		snprintf(ret_address, TARGET_TUNNEL_ADDRESS_BYTES, "%s", address);
		free(address);
	}
	free(expect);
	free(status_path);
	free(log_path);
	free(listen);
	return rc;
}

static void tunnel_work(struct errand *e)
{
	struct admit *a = (struct admit *)e;

	a->tunnel_rc = target_tunnel_spawn(a->agent, &a->name, a->source_node, a->directory,
	                                   &a->tunnel, a->tunnel_address, &a->tunnel_error);
}

void inbound_journal_tunnel(struct agent *agent, const struct inbound *inbound,
                            enum journal_record_kind made_or_removed)
{
	struct journal_write w = { .kind = made_or_removed };

	w.thing.attempt = inbound->attempt;
	w.thing.kind = JOURNAL_TUNNEL;
	w.thing.pid = (uint32_t)inbound->tunnel.pid;
	w.thing.start_ticks = inbound->tunnel.start_ticks;
	snprintf(w.thing.path, sizeof(w.thing.path), "%s", inbound->tunnel.status_path);
	journal_keeper_write(agent->journal, &w, NULL, NULL);
}

static void tunnel_started(struct errand *e)
{
	struct admit *a = (struct admit *)e;
	struct agent *agent = a->agent;
	struct inbound *inbound;

	if (a->tunnel_rc < 0) {
		struct error why = a->tunnel_error;

		error_context(&why, "the tunnel on %s", agent->settings->node);
		inbound_get(agent, &a->name); /* its directory may be there */
		inbound_end(agent, &a->name);
		target_admit_fail(a, &why);
		return;
	}
	inbound = inbound_get(agent, &a->name);
	inbound->guard = a->guard;
	if (!inbound->admitted) {
		inbound->admitted = xmemdup(&a->vm, sizeof(a->vm));
		inbound->admitted->cpu_xml = NULL; /* compared by nobody */
	}
	inbound->oom_kills = a->facts.oom_kills;
	inbound->oom_kills_known = true;
	inbound->tunnel = a->tunnel;
	inbound->tunnel_made = true;
	memcpy(inbound->directory, a->directory, sizeof(inbound->directory));
	memcpy(inbound->tunnel_address, a->tunnel_address, sizeof(inbound->tunnel_address));
	inbound_journal_tunnel(agent, inbound, JOURNAL_WRITE_MADE);
	if (!reservations_find(agent->reservations, &a->name)) {
		struct error why;

		/* Released while its tunnel was being started. */
		error_set(&why, ERROR_STALE, "the attempt has ended on %s", agent->settings->node);
		inbound_end(agent, &a->name);
		target_admit_fail(a, &why);
		return;
	}
	inbound_expect_bytes(agent, inbound, a->source_address, a->reserved_port, a->copy.port);
	log_info("admitted %s from %s: port %u, guard %s", a->vm.summary.name, a->source_node,
	         a->reserved_port, guard_name(a->guard));
	FAILPOINT(target_before_admit_reply);
	target_admit_reply(a);
}

void target_admit_start_tunnel(struct admit *a)
{
	char text[ATTEMPT_TEXT_BYTES];

	snprintf(a->directory, sizeof(a->directory), "%s/inbound/%s", a->agent->settings->run_dir,
	         attempt_name_format(&a->name, text));
	a->errand.work = tunnel_work;
	a->errand.done = tunnel_started;
	courier_send(a->agent->couriers, &a->errand);
}
