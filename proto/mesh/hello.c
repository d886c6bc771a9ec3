/* SPDX-License-Identifier: Apache-2.0 */
/* The first frame of each side: who it is and what it can take.
 *
 * The HELLO is a claim. What stands behind it depends on the transport: over tcp:// the certificate,
 * which must say the same; over ipc:// the kernel's word which user it is; in-process nothing is
 * needed. Whoever dialled also knows whom it wanted to reach. */
#include "proto/mesh/internal.h"

#include "proto/mesh/frame.pb-c.h"
#include "proto/mesh/identity.h"
#include "proto/mesh/message.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

void hello_send(struct mesh_connection *c)
{
	struct mesh *mesh = c->mesh;
	Drover__Mesh__Hello hello = DROVER__MESH__HELLO__INIT;
	struct chunk *preface = chunk_new(FRAME_PREFACE, FRAME_PREFACE_BYTES);

	hello.version_min = MESH_VERSION;
	hello.version_max = MESH_VERSION;
	hello.role = (char *)mesh_role_name(mesh->self.role);
	hello.name = mesh->self.name;
	hello.cluster = mesh->self.cluster;
	hello.boot_id.data = mesh->boot_id.bytes;
	hello.boot_id.len = ID_BYTES;
	hello.max_message_bytes = mesh->max_message_bytes;
	hello.max_streams = MESH_MAX_STREAMS;
	hello.keepalive_ms = mesh->keepalive_ms;
	hello.build = (char *)DROVER_VERSION;
	hello.window_bytes = MESH_WINDOW_BYTES;
	hello.piece_bytes = MESH_PIECE_BYTES;
	hello.features = MESH_FEATURES;

	c->sent_bytes += preface->bytes;
	link_send(c->link, preface);
	connection_send(c, FRAME_HELLO, 0, &hello.base);
}

static int check_certificate(const struct mesh_connection *c, struct mesh_identity *claim,
                             struct error *err)
{
	const struct mesh_identity *proved = &c->peer.identity;
	char says[IDENTITY_TEXT_BYTES], is[IDENTITY_TEXT_BYTES];

	if (proved->role == MESH_ROLE_NONE) {
		*err = c->peer.nameless;
		return -(int)err->code;
	}
	if (strcmp(proved->cluster, c->mesh->self.cluster) != 0)
		return error_set(err, ERROR_IDENTITY,
		                 "the certificate is of cluster \"%s\", this is cluster \"%s\"",
		                 proved->cluster, c->mesh->self.cluster);
	if (claim->role != proved->role || strcmp(claim->name, proved->name) != 0 ||
	    strcmp(claim->cluster, proved->cluster) != 0)
		return error_set(err, ERROR_IDENTITY,
		                 "it says that it is %s, but its certificate is that of %s",
		                 identity_format(claim, says), identity_format(proved, is));
	memcpy(claim->serial, proved->serial, sizeof(claim->serial));
	return 0;
}

/* Root, and the user that we are ourselves, can do anything to this process anyway: they may say
 * who they are, and are admin unless they say less. Others may look. */
static int check_uid(const struct mesh_connection *c, struct mesh_identity *claim,
                     struct error *err)
{
	bool trusted = c->peer.uid == 0 || c->peer.uid == geteuid();

	if (trusted && claim->role == MESH_ROLE_NONE)
		claim->role = MESH_ROLE_ADMIN;
	if (trusted)
		return 0;
	if (c->dialled || claim->role == MESH_ROLE_AGENT || claim->role == MESH_ROLE_COORDINATOR)
		return error_set(
			err, ERROR_IDENTITY,
			"it says that it is %s %s, but is a process of uid %u; over ipc:// "
			"only root and uid %u can be that",
			mesh_role_name(claim->role), claim->name, c->peer.uid, (unsigned)geteuid());
	claim->role = MESH_ROLE_VIEWER;
	return 0;
}

static int check_expected(const struct mesh_connection *c, const struct mesh_identity *claim,
                          struct error *err)
{
	const struct mesh_dialer *d = c->dialer;
	char is[IDENTITY_TEXT_BYTES];

	if (!d || ((d->expect_role == MESH_ROLE_NONE || claim->role == d->expect_role) &&
	           (!d->expect_name || strcmp(claim->name, d->expect_name) == 0)))
		return 0;
	return error_set(err, ERROR_IDENTITY, "%s should be %s%s%s, but %s answered there", d->url,
	                 mesh_role_name(d->expect_role), d->expect_name ? " " : "",
	                 d->expect_name ? d->expect_name : "", identity_format(claim, is));
}

static int check_claim(struct mesh_connection *c, const Drover__Mesh__Hello *hello,
                       struct mesh_identity *ret_identity, struct error *err)
{
	const char *cluster = c->mesh->self.cluster;
	struct mesh_identity id = { .role = mesh_role_from_name(hello->role) };
	int rc = 0;

	if (hello->version_min > MESH_VERSION || hello->version_max < MESH_VERSION)
		return error_set(err, ERROR_PROTOCOL,
		                 "it speaks versions %u to %u of drover's protocol, we speak %u; "
		                 "upgrade the older one",
		                 hello->version_min, hello->version_max, MESH_VERSION);
	if ((hello->name[0] && !identity_name_is_valid(hello->name)) ||
	    (hello->cluster[0] && !identity_name_is_valid(hello->cluster)))
		return error_set(err, ERROR_PROTOCOL,
		                 "its name or its cluster's has other characters than letters, "
		                 "digits and .-_:@");
	snprintf(id.name, sizeof(id.name), "%s", hello->name);
	snprintf(id.cluster, sizeof(id.cluster), "%s", hello->cluster);
	snprintf(id.address, sizeof(id.address), "%s", c->peer.identity.address);

	id.certified = c->peer.proof == LINK_PROOF_CERTIFICATE;
	if (id.certified)
		rc = check_certificate(c, &id, err);
	else if (c->peer.proof == LINK_PROOF_UID)
		rc = check_uid(c, &id, err);
	if (rc < 0)
		return rc;
	if (id.cluster[0] && cluster[0] && strcmp(id.cluster, cluster) != 0)
		return error_set(err, ERROR_IDENTITY, "it is of cluster \"%s\", this is \"%s\"",
		                 id.cluster, cluster);
	if (id.role == MESH_ROLE_NONE)
		return error_set(err, ERROR_IDENTITY, "it does not say which role it has");
	rc = check_expected(c, &id, err);
	if (rc == 0)
		*ret_identity = id;
	return rc;
}

int hello_take(struct mesh_connection *c, const struct frame *f, struct error *err)
{
	ProtobufCMessage *message;
	const Drover__Mesh__Hello *hello;
	int rc = message_decode(&drover__mesh__hello__descriptor, f->body, f->head.header_bytes,
	                        &c->mesh->headers, &message, err);

	if (rc < 0)
		return rc;
	hello = (const Drover__Mesh__Hello *)message;
	if (hello->piece_bytes > 0 && hello->piece_bytes < MESH_PIECE_LEAST_BYTES)
		return error_set(err, ERROR_PROTOCOL,
		                 "it wants messages in pieces of %u bytes; the least is %d",
		                 hello->piece_bytes, MESH_PIECE_LEAST_BYTES);
	rc = check_claim(c, hello, &c->identity, err);
	if (rc < 0)
		return rc;
	(void)id_from_bytes(hello->boot_id.data, hello->boot_id.len, &c->peer_boot);
	c->peer_max_message_bytes = hello->max_message_bytes;
	c->peer_max_streams = hello->max_streams;
	c->peer_features = hello->features;
	c->peer_window_bytes = hello->window_bytes;
	c->peer_piece_bytes = hello->piece_bytes ? hello->piece_bytes : UINT32_MAX;
	return 0;
}
