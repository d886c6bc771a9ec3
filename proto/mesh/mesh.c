/* SPDX-License-Identifier: Apache-2.0 */
/* The mesh as a whole: options, certificates, and the end of everything. Owner thread. */
#include "proto/mesh/internal.h"

#include "common/alloc.h"
#include "common/cleanup.h"
#include "common/log.h"
#include "proto/mesh/identity.h"
#include "proto/mesh/tls.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <utlist.h>

DEFINE_CLEANUP(struct mesh *, mesh_free);

static int set_name(char *to, const char *from, const char *what, struct error *err)
{
	if (!from || !from[0])
		return 0;
	if (!identity_name_is_valid(from))
		return error_set(err, ERROR_INVALID,
		                 "the %s \"%s\" must be 1 to %d letters, digits and .-_:@", what,
		                 from, MESH_NAME_BYTES - 1);
	snprintf(to, MESH_NAME_BYTES, "%s", from);
	return 0;
}

/* Who we are: as told, and as our certificate says. */
static int set_identity(struct mesh *mesh, const struct mesh_options *options, struct error *err)
{
	const struct mesh_identity *proved = mesh->tls ? tls_get_identity(mesh->tls) : NULL;
	char told[IDENTITY_TEXT_BYTES], is[IDENTITY_TEXT_BYTES];
	struct mesh_identity id = { .role = options->role };
	int rc = set_name(id.name, options->name, "name", err);

	if (rc == 0)
		rc = set_name(id.cluster, options->cluster, "cluster's name", err);
	if (rc < 0)
		return rc;
	if (proved && id.role == MESH_ROLE_NONE)
		id.role = proved->role;
	if (proved && !id.name[0])
		memcpy(id.name, proved->name, sizeof(id.name));
	if (proved && !id.cluster[0])
		memcpy(id.cluster, proved->cluster, sizeof(id.cluster));
	if (proved && (id.role != proved->role || strcmp(id.name, proved->name) != 0 ||
	               strcmp(id.cluster, proved->cluster) != 0))
		return error_set(err, ERROR_IDENTITY,
		                 "we are to be %s, but the certificate %s is that of %s",
		                 identity_format(&id, told), options->tls_certificate,
		                 identity_format(proved, is));
	mesh->self = id;
	return 0;
}

/* Whoever renews certificates writes several files; if we come in the middle, or they are no good,
 * the old ones stay in use and we look again when something has changed again. */
static void refresh_tls(void *context)
{
	struct mesh *mesh = context;
	char until[64];
	struct error err;

	loop_timer_start(mesh->loop, &mesh->tls_timer, mesh->tls_refresh_ms);
	if (!tls_is_outdated(mesh->tls))
		return;
	if (tls_reload(mesh->tls, &err) < 0) {
		log_warning("mesh: the certificates that were loaded before stay in use: %s",
		            err.text);
		return;
	}
	mesh->tls_generation++;
	tls_format_expiry(mesh->tls, until, sizeof(until));
	log_info("mesh: took new certificate files; our own is valid until %s", until);
}

void mesh_look_at_files(struct mesh *mesh)
{
	if (mesh->tls)
		refresh_tls(mesh);
}

bool mesh_uses_files(const struct mesh *mesh)
{
	return mesh->tls && tls_is_current(mesh->tls);
}

/* A method that somebody forgot is found by the first start, not by the first caller. */
static int check_services(const struct mesh_service *const *services, struct error *err)
{
	for (size_t i = 0; services && services[i]; i++) {
		const struct mesh_service *s = services[i];
		const char *missing = s->find_missing ? s->find_missing(s->table) : NULL;

		if (missing)
			return error_set(err, ERROR_INVALID, "nothing here handles %s/%s",
			                 s->descriptor->name, missing);
	}
	return 0;
}

static uint32_t or_default(uint32_t value, uint32_t otherwise)
{
	return value ? value : otherwise;
}

static uint32_t at_most(uint32_t value, uint32_t most)
{
	return value < most ? value : most;
}

/* Of our file descriptors, what may be given to whoever connects: the process has to go on with the
 * rest when they are all taken. */
static uint32_t count_descriptors_for_peers(void)
{
	struct rlimit files;

	if (getrlimit(RLIMIT_NOFILE, &files) < 0 || files.rlim_cur > UINT32_MAX)
		return UINT32_MAX;
	if (files.rlim_cur / 4 + MESH_OWN_DESCRIPTORS < files.rlim_cur)
		return (uint32_t)files.rlim_cur - MESH_OWN_DESCRIPTORS;
	return (uint32_t)files.rlim_cur / 4;
}

/* With few descriptors there are more handshakes than connections that they could be, and half of these
 * are left to peers that are known. */
static void fit_limits(struct gate_limits *l)
{
	uint32_t most = count_descriptors_for_peers();

	if (l->connections <= most)
		return;
	log_warning("mesh: the limit of file descriptors allows for %u connections, not for %u: "
	            "raise it (LimitNOFILE=)",
	            most, l->connections);
	l->connections = most;
	l->connections_per_address = at_most(l->connections_per_address, most);
	l->handshakes = at_most(l->handshakes, most / 2);
	l->handshakes_per_address = at_most(l->handshakes_per_address, most / 4);
}

static void set_limits(struct mesh *mesh, const struct mesh_options *o)
{
	mesh->limits = (struct gate_limits){
		.connections = or_default(o->max_connections, MESH_CONNECTIONS),
		.connections_per_address = or_default(o->max_connections_per_address,
		                                      MESH_CONNECTIONS_PER_ADDRESS),
		.handshakes = or_default(o->max_handshakes, MESH_HANDSHAKES),
		.handshakes_per_address = or_default(o->max_handshakes_per_address,
		                                     MESH_HANDSHAKES_PER_ADDRESS),
	};
	fit_limits(&mesh->limits);
}

void mesh_get_counts(const struct mesh *mesh, struct mesh_counts *ret)
{
	*ret = mesh->counts;
}

struct mesh *mesh_new(const struct mesh_options *options, struct error *err)
{
	_cleanup_(mesh_freep) struct mesh *mesh = xnew(struct mesh);

	assert(options->loop);
	mesh->loop = options->loop;
	mesh->max_message_bytes = options->max_message_bytes ? options->max_message_bytes
	                                                     : MESH_MAX_MESSAGE_BYTES;
	mesh->keepalive_ms = options->keepalive_ms ? options->keepalive_ms : MESH_KEEPALIVE_MS;
	mesh->handshake_ms = options->handshake_ms ? options->handshake_ms : MESH_HANDSHAKE_MS;
	mesh->services = options->services;
	mesh->service_context = options->service_context;
	mesh->extra_methods = options->extra_methods;
	mesh->n_extra_methods = options->n_extra_methods;
	mesh->connected = options->connected;
	mesh->disconnected = options->disconnected;
	mesh->context = options->context;
	mesh->audit = options->audit;
	set_limits(mesh, options);
	mesh->boot_id = id_new();
	arena_init(&mesh->headers);
	arena_init(&mesh->payloads);
	arena_init(&mesh->details);
	mesh->links.loop = mesh->loop;
	mesh->links.max_frame_bytes = mesh->max_message_bytes + FRAME_HEADER_MAX;

	if (options->tls_ca || options->tls_certificate || options->tls_key) {
		if (!options->tls_ca || !options->tls_certificate || !options->tls_key) {
			error_set(err, ERROR_INVALID,
			          "TLS needs all three: a CA, a certificate and its key");
			return NULL;
		}
		mesh->tls = tls_new(&(struct tls_files){ .ca = options->tls_ca,
		                                         .certificate = options->tls_certificate,
		                                         .key = options->tls_key,
		                                         .crl = options->tls_crl },
		                    err);
		if (!mesh->tls)
			return NULL;
		mesh->tls_refresh_ms = options->tls_refresh_ms ? options->tls_refresh_ms
		                                               : MESH_TLS_REFRESH_MS;
		mesh->tls_timer = (struct loop_timer){ .fire = refresh_tls, .context = mesh };
		loop_timer_start(mesh->loop, &mesh->tls_timer, mesh->tls_refresh_ms);
	}
	mesh->links.tls = mesh->tls;
	if (set_identity(mesh, options, err) < 0 || check_services(mesh->services, err) < 0)
		return NULL;
	return take_pointer(mesh);
}

void mesh_free(struct mesh *mesh)
{
	struct mesh_connection *c, *next_connection;
	struct mesh_listener *l, *next_listener;
	struct error why;

	if (!mesh)
		return;
	mesh->stopping = true;
	drain_stop(mesh);
	error_set(&why, ERROR_CANCELLED, "this process is closing its connections");
	DL_FOREACH (mesh->connections, c)
		connection_fail(c, &why);
	DL_FOREACH_SAFE (mesh->connections, c, next_connection)
		connection_finish(c);
	DL_FOREACH_SAFE (mesh->listeners, l, next_listener)
		listener_free(l);
	while (mesh->dialers)
		mesh_dialer_free(mesh->dialers);
	call_fail_stillborn(mesh);
	serve_forget_abandoned(mesh);
	replays_deinit(&mesh->replays);
	link_group_close(&mesh->links);
	if (mesh->tls)
		loop_timer_stop(mesh->loop, &mesh->tls_timer);
	tls_free(mesh->tls);
	arena_deinit(&mesh->headers);
	arena_deinit(&mesh->payloads);
	arena_deinit(&mesh->details);
	free(mesh);
}

const struct method *mesh_find_method(const struct mesh *mesh, const char *name)
{
	for (size_t i = 0; i < mesh->n_extra_methods; i++) {
		if (strcmp(mesh->extra_methods[i].name, name) == 0)
			return &mesh->extra_methods[i];
	}
	return method_find(name);
}
