/* SPDX-License-Identifier: Apache-2.0 */
/* "drover place": where a guest of that size would go. Nothing is reserved by asking. */
#include "tools/drover/commands.h"

#include "common/cleanup.h"
#include "common/units.h"
#include "tools/drover/coordinator.ask.h"
#include "tools/drover/render.h"
#include "tools/drover/session.h"
#include "tools/drover/text.h"

static int read_request(struct session *s, Drover__V1__PlaceRequest *request, struct error *err)
{
	const struct options *options = s->options;

	if (!options->memory && !options->like)
		return error_set(err, ERROR_INVALID,
		                 "how large is the guest? Say --memory 8GiB, or --like VM");
	if (options->memory) {
		if (units_parse_bytes(options->memory, &request->memory_bytes, err) < 0)
			return error_context(err, "--memory");
		if (request->memory_bytes < MIB)
			return error_set(err, ERROR_INVALID,
			                 "--memory: a guest has at least 1MiB of memory; write the "
			                 "unit, as in "
			                 "8GiB");
	}
	request->vcpus = (uint32_t)options->vcpus;
	return 0;
}

static enum exit_code ask(struct session *s, const Drover__V1__PlaceRequest *request)
{
	_cleanup_reply_ Drover__V1__PlaceReply *reply = NULL;
	struct error err;

	if (coordinator_ask_place(s->client, request, &reply, &err) < 0) {
		if (client_is_interrupted(s->client))
			return EXIT_INTERRUPTED;
		return session_fail_object(s, "asking", "vm", request->like, &err);
	}
	if (s->out.format == OUTPUT_JSON)
		output_message(&s->out, &reply->base);
	else
		place_print(&s->out, reply);
	return *reply->node ? EXIT_DONE : EXIT_REFUSED;
}

enum exit_code place_run(const struct invocation *invocation)
{
	Drover__V1__PlaceRequest request = DROVER__V1__PLACE_REQUEST__INIT;
	struct session s;
	struct error err = { 0 };
	enum exit_code code;

	session_init(&s, invocation);
	if (read_request(&s, &request, &err) < 0) {
		_cleanup_free_ char *why = text_escape(err.text, s.err.ascii);

		fprintf(s.err.file, "drover: %s\n", why);
		return EXIT_USAGE;
	}
	if (invocation->options.like) {
		request.like = (char *)session_name_of_kind(&s, "vm", invocation->options.like);
		if (!request.like)
			return EXIT_USAGE;
	}
	code = session_open(&s, invocation);
	if (code == EXIT_DONE)
		code = ask(&s, &request);
	session_close(&s);
	return code;
}
