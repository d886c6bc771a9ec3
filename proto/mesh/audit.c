/* SPDX-License-Identifier: Apache-2.0 */
/* What of the mesh is written to the audit log. Owner thread; the writing is elsewhere.
 *
 * Each call with an effect is one line, when its outcome is known: answered, refused, or left by its
 * caller. Each refused call and each refused peer is one line, too. A peer that was never let in has
 * no proved name, and what it claims is not written as one: only its address is known. */
#include "proto/mesh/internal.h"

#include "common/alloc.h"
#include "proto/audit/audit.h"
#include "proto/audit/audited.h"

#include <stdio.h>

static bool is_refusal(enum mesh_status status)
{
	return status == MESH_PERMISSION_DENIED || status == MESH_UNAUTHENTICATED;
}

char *mesh_audit_request_new(const struct mesh *mesh, const char *method,
                             const ProtobufCMessage *request)
{
	struct audit_text t;

	if (!mesh->audit || !audited_method(method))
		return NULL;
	audit_text_init(&t);
	audited_request(request, &t);
	return xstrdup(t.data);
}

void mesh_audit_call(const struct mesh *mesh, const struct mesh_audit_call *call)
{
	struct audit_text result;
	bool said_no = false;
	char number[16];

	if (!mesh->audit || (!call->object && !call->not_begun && !is_refusal(call->status)))
		return;
	audit_text_init(&result);
	if (call->reply)
		said_no = audited_reply(call->reply, &result);
	snprintf(number, sizeof(number), "%u", call->stream);
	audit_write(mesh->audit,
	            &(struct audit_record){
			    .refused = call->not_begun || is_refusal(call->status),
			    .noise = !is_refusal(call->status),
			    .role = mesh_role_name(call->who->role),
			    .name = call->who->name,
			    .address = call->who->address,
			    .method = call->method,
			    .call = number,
			    .object = call->object,
			    .result = result.data,
			    .outcome = said_no ? "REFUSED" : mesh_status_name(call->status),
			    .reason = call->status != MESH_OK && call->err ? call->err->text : NULL,
		    });
}

/* Whoever only looked whether somebody listens, or lost its connection, was not refused. */
static bool is_at_fault(const struct mesh_connection *c)
{
	switch (c->why.code) {
	case ERROR_PROTOCOL:
	case ERROR_TOO_LARGE:
	case ERROR_IDENTITY:
		return c->announced || c->listener;
	case ERROR_TIMEOUT:
	case ERROR_BUSY:
		return !c->announced && c->listener;
	default:
		return false;
	}
}

void mesh_audit_end(const struct mesh_connection *c)
{
	bool known = c->announced;

	if (!c->mesh->audit || c->mesh->stopping || !is_at_fault(c))
		return;
	audit_write(c->mesh->audit, &(struct audit_record){
					    .refused = true,
					    .noise = !known,
					    .role = known ? mesh_role_name(c->identity.role) : NULL,
					    .name = known ? c->identity.name : NULL,
					    .address = known ? c->identity.address : c->address,
					    .outcome = known ? "CUT_OFF" : "NOT_LET_IN",
					    .reason = c->why.text,
					    .about = error_code_name(c->why.code),
				    });
}
