/* SPDX-License-Identifier: Apache-2.0 */
/* "drover probe": what the migration network carries from one node to another. Status 0: measured now; 5:
 * an older figure is shown; 4: nothing is known. */
#include "tools/drover/commands.h"

#include "common/cleanup.h"
#include "common/units.h"
#include "tools/drover/coordinator.ask.h"
#include "tools/drover/render.h"
#include "tools/drover/session.h"
#include "tools/drover/text.h"

#include <stdlib.h>

static void print(const struct output *o, const char *source, const Drover__V1__ProbeReply *reply)
{
	const Drover__V1__PathEstimate *e = reply->path;
	_cleanup_free_ char *from = text_escape(source, o->ascii);
	_cleanup_free_ char *to = text_escape(e->node, o->ascii);
	_cleanup_free_ char *method = text_escape(e->method, o->ascii);
	_cleanup_free_ char *why = text_escape(e->why, o->ascii);
	_cleanup_free_ char *why_not = text_escape(reply->why_not, o->ascii);
	char rate[UNITS_TEXT_BYTES], all[UNITS_TEXT_BYTES], age[UNITS_TEXT_BYTES];
	char usable[UNITS_TEXT_BYTES], bytes[UNITS_TEXT_BYTES], took[UNITS_TEXT_BYTES];

	if (e->capacity_bytes_per_s) {
		fprintf(o->file, "%s -> %s: %s available of %s on the wire\n", from, to,
		        units_format_rate(e->available_bytes_per_s, rate),
		        units_format_rate(e->capacity_bytes_per_s, all));
		fprintf(o->file, "  method     %s, %s old, %u %% sure%s%s\n", method,
		        units_format_duration(e->age_ms, age), e->confidence_percent,
		        *why ? ": " : "", why);
		fprintf(o->file, "  usable     %s, with 10 %% of the path in reserve\n",
		        units_format_rate(reply->usable_bytes_per_s, usable));
	} else {
		fprintf(o->file, "%s -> %s: unknown: %s\n", from, to, why);
	}
	if (reply->measured)
		fprintf(o->file, "  probe      %s in %s\n", units_format_bytes(reply->bytes, bytes),
		        units_format_duration(reply->took_ms, took));
	else
		fprintf(o->file, "  not now    %s\n", why_not);
}

enum exit_code probe_run(const struct invocation *invocation)
{
	Drover__V1__ProbeRequest request = DROVER__V1__PROBE_REQUEST__INIT;
	_cleanup_reply_ Drover__V1__ProbeReply *reply = NULL;
	struct error err = { 0 };
	struct session s;
	enum exit_code code;

	session_init(&s, invocation);
	request.node = (char *)session_name_of_kind(&s, "node", invocation->words.items[0]);
	request.target = (char *)session_name_of_kind(&s, "node", invocation->words.items[1]);
	if (!request.node || !request.target)
		return EXIT_USAGE;
	code = session_open(&s, invocation);
	if (code == EXIT_DONE && coordinator_ask_probe_path(s.client, &request, &reply, &err) < 0)
		code = client_is_interrupted(s.client)
		               ? EXIT_INTERRUPTED
		               : session_fail_object(&s, "measuring the path", "node", request.node,
		                                     &err);
	if (reply && reply->path) {
		if (s.out.format == OUTPUT_JSON)
			output_message(&s.out, &reply->base);
		else
			print(&s.out, request.node, reply);
		if (!reply->measured)
			code = reply->path->capacity_bytes_per_s ? EXIT_PARTLY : EXIT_REFUSED;
	}
	session_close(&s);
	return code;
}
