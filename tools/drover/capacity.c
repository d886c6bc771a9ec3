/* SPDX-License-Identifier: Apache-2.0 */
/* "drover capacity": reads what is asked for, asks, and says by its exit status whether the nodes that
 * were named can be drained together. What is printed is made in capacity_print.c. */
#include "tools/drover/commands.h"

#include "common/cleanup.h"
#include "common/units.h"
#include "tools/drover/coordinator.ask.h"
#include "tools/drover/render.h"
#include "tools/drover/session.h"
#include "tools/drover/text.h"

#include <stdlib.h>
#include <string.h>

#define VCPUS_MAX 4096

/* "8GiB", "8GiB,4cpu" */
static int read_guest(const char *text, Drover__V1__CapacityRequest *request, struct error *err)
{
	const char *comma = strchr(text, ',');
	_cleanup_free_ char *size = strndup(text, comma ? (size_t)(comma - text) : strlen(text));
	unsigned long vcpus = 0;
	uint64_t bytes = 0;
	char *end;

	if (!size || units_parse_bytes(size, &bytes, err) < 0)
		return error_context(err, "--guest");
	if (comma) {
		vcpus = strtoul(comma + 1, &end, 10);
		if (comma[1] < '0' || comma[1] > '9' || vcpus < 1 || vcpus > VCPUS_MAX ||
		    (strcmp(end, "cpu") != 0 && strcmp(end, "vcpu") != 0))
			return error_set(err, ERROR_INVALID,
			                 "--guest: after the comma stands a number of vCPUs from 1 "
			                 "to %d, as in 8GiB,4cpu",
			                 VCPUS_MAX);
	}
	if (bytes < MIB)
		return error_set(
			err, ERROR_INVALID,
			"--guest: a guest has at least 1MiB of memory; write the unit, as in "
			"8GiB");
	request->guest_memory_bytes = bytes;
	request->guest_vcpus = (uint32_t)vcpus;
	return 0;
}

static bool is_among(const Drover__V1__CapacityRequest *request, const char *node)
{
	for (size_t i = 0; i < request->n_nodes; i++) {
		if (strcmp(request->nodes[i], node) == 0)
			return true;
	}
	return false;
}

static bool is_yes(const Drover__V1__DrainCapacity *d)
{
	return strcmp(d->verdict, "yes") == 0;
}

static enum exit_code judge(const Drover__V1__Capacity *c, size_t named)
{
	if (named == 1 && c->n_nodes == 1)
		return is_yes(c->nodes[0]) ? EXIT_DONE : EXIT_REFUSED;
	return named > 1 && c->together && !is_yes(c->together) ? EXIT_REFUSED : EXIT_DONE;
}

static enum exit_code ask(struct session *s, Drover__V1__CapacityRequest *request)
{
	_cleanup_reply_ Drover__V1__Capacity *reply = NULL;
	struct error err;

	if (coordinator_ask_get_capacity(s->client, request, &reply, &err) < 0) {
		if (client_is_interrupted(s->client))
			return EXIT_INTERRUPTED;
		return session_fail_object(s, "asking", "node",
		                           request->n_nodes ? request->nodes[0] : "", &err);
	}
	if (s->out.format == OUTPUT_JSON)
		output_message(&s->out, &reply->base);
	else
		capacity_print(&s->out, reply, request->n_nodes > 0);
	return judge(reply, request->n_nodes);
}

enum exit_code capacity_run(const struct invocation *invocation)
{
	Drover__V1__CapacityRequest request = DROVER__V1__CAPACITY_REQUEST__INIT;
	char *nodes[WORDS_MAX];
	struct session s;
	struct error err = { 0 };
	enum exit_code code;

	session_init(&s, invocation);
	request.nodes = nodes;
	for (size_t i = 0; i < invocation->words.count; i++) {
		const char *node = session_name_of_kind(&s, "node", invocation->words.items[i]);

		if (!node)
			return EXIT_USAGE;
		if (!is_among(&request, node))
			nodes[request.n_nodes++] = (char *)node;
	}
	if (invocation->options.guest &&
	    read_guest(invocation->options.guest, &request, &err) < 0) {
		_cleanup_free_ char *why = text_escape(err.text, s.err.ascii);

		fprintf(s.err.file, "drover: %s\n", why);
		return EXIT_USAGE;
	}
	code = session_open(&s, invocation);
	if (code == EXIT_DONE)
		code = ask(&s, &request);
	session_close(&s);
	return code;
}
