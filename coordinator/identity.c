/* SPDX-License-Identifier: Apache-2.0 */
/* Who becomes a member of the cluster, told to the administrator twice: in the log, and in the audit
 * chain. A host that joins has proved no name yet, so what it claims is not written as one. Owner
 * thread. */
#include "coordinator/coordinator.h"

#include "common/log.h"
#include "pki/join_server.h"
#include "proto/audit/audit.h"
#include "proto/audit/audit_text.h"

static void log_join(const struct join_event *e)
{
	const char *claim = e->claim ? e->claim : "nobody";

	if (e->code == ERROR_NONE)
		log_info("join: %s, as %s: joined", e->address, claim);
	else
		log_warning("join refused: %s, as %s: %s", e->address, claim, e->text);
}

void identity_join_told(const struct join_event *e, void *coordinator)
{
	const struct coordinator *c = coordinator;
	struct audit_text object;

	log_join(e);
	audit_text_init(&object);
	audit_text_add(&object, "claims", e->claim);
	audit_write(c->audit, &(struct audit_record){
				      .refused = e->code != ERROR_NONE,
				      .noise = e->code != ERROR_NONE,
				      .address = e->address,
				      .method = "join",
				      .object = object.data,
				      .outcome = mesh_status_name(mesh_status_from_error(e->code)),
				      .reason = e->code == ERROR_NONE ? NULL : e->text,
			      });
}
