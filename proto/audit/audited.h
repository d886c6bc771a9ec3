/* SPDX-License-Identifier: Apache-2.0 */
/* Which calls are written to the audit log, and what of them. Pure.
 *
 * A method is audited unless it is known to only look: so a new one is audited from its first day.
 * Of its messages only fields with the names of objects, identifiers and reasons are written:
 * whatever else a message may carry, now or later, stays out. */
#pragma once

#include "proto/audit/audit_text.h"

#include <protobuf-c/protobuf-c.h>
#include <stdbool.h>

/* @method: "drover.v1.Agent/Admit". */
bool audited_method(const char *method);

/* Into @t: what the request is about, for example "node":"host1","request_id":"0a..". */
void audited_request(const ProtobufCMessage *request, struct audit_text *t);

/* Into @t: what came of it, for example "number":7. True: the reply says that it was refused. */
bool audited_reply(const ProtobufCMessage *reply, struct audit_text *t);
