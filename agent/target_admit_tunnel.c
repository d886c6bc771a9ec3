/* SPDX-License-Identifier: Apache-2.0 */
/* The destination's end of the tunnel, for a guest that was admitted and is in the journal. See
 * target_admit.h. Made on a courier, taken in by the owner. */
#include "agent/target_admit.h"

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

static void tunnel_work(struct errand *e)
{
	struct admit *a = (struct admit *)e;
	const struct agent_settings *s = a->agent->settings; /* constant after the start */
	char *expect = xasprintf("agent/%s", a->source_node);
	char *status_path = xasprintf("%s/status", a->directory);
	char *log_path = xasprintf("%s/tunnel.log", a->directory);
	char *listen;
	struct tunnel_options o = {
		.side = TUNNEL_TARGET,
		.attempt = a->name,
		.cluster = s->cluster,
		.expect = expect,
		.ca_path = s->tls_ca,
		.cert_path = s->tls_certificate,
		.key_path = s->tls_key,
		.status_path = status_path,
		.connect_unix = s->libvirt_socket,
		.log_path = log_path,
	};

	listen = listen_address(s, 0);
	o.listen = listen;
	if (mkdir(a->directory, 0700) < 0 && errno != EEXIST)
		a->tunnel_rc = error_set_errno(&a->tunnel_error, ERROR_SYSTEM, errno, "creating %s",
		                               a->directory);
	else
		a->tunnel_rc = FAILPOINT_ERROR(target_before_tunnel_made, &a->tunnel_error);
	if (a->tunnel_rc == 0)
		a->tunnel_rc = a->agent->tunnels->spawn(&o, &a->tunnel, &a->tunnel_status,
		                                        &a->tunnel_error);
	FAILPOINT(target_after_tunnel_made);
	free(expect);
	free(status_path);
	free(log_path);
	free(listen);
}

static void tunnel_started(struct errand *e)
{
	struct admit *a = (struct admit *)e;
	struct agent *agent = a->agent;
	struct inbound *inbound;
	struct journal_write w = { .kind = JOURNAL_WRITE_MADE };
	char *address;

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
	inbound->oom_kills = a->facts.oom_kills;
	inbound->oom_kills_known = true;
	inbound->tunnel = a->tunnel;
	inbound->tunnel_made = true;
	memcpy(inbound->directory, a->directory, sizeof(inbound->directory));
	address = listen_address(agent->settings, a->tunnel_status.port);
	snprintf(inbound->tunnel_address, sizeof(inbound->tunnel_address), "%s", address);
	free(address);
	w.thing.attempt = a->name;
	w.thing.kind = JOURNAL_TUNNEL;
	w.thing.pid = (uint32_t)a->tunnel.pid;
	w.thing.start_ticks = a->tunnel.start_ticks;
	snprintf(w.thing.path, sizeof(w.thing.path), "%s", a->tunnel.status_path);
	journal_keeper_write(agent->journal, &w, NULL, NULL);
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
