/* SPDX-License-Identifier: Apache-2.0 */
/* "drover top links": asked for once a second and drawn in place on a terminal, printed once elsewhere. */
#include "tools/drover/commands.h"

#include "common/alloc.h"
#include "common/cleanup.h"
#include "tools/drover/coordinator.ask.h"
#include "tools/drover/live.h"
#include "tools/drover/render.h"
#include "tools/drover/session.h"

#include <stdlib.h>
#include <string.h>

#define REFRESH_MS 1000
#define POINTS     20 /* of ten minutes: half a minute each */

static bool never(void *context)
{
	(void)context;
	return false;
}

/* What is printed, as lines of a frame; the last says what there is no room for. */
static void take_lines(char *text, size_t rows, struct frame *frame)
{
	size_t left = 0;

	frame->lines = xcalloc(rows + 1, sizeof(*frame->lines));
	for (char *line = strtok(text, "\n"); line; line = strtok(NULL, "\n")) {
		if (frame->count < rows)
			frame->lines[frame->count++] = xstrdup(line);
		else
			left++;
	}
	if (left) {
		free(frame->lines[frame->count - 1]);
		frame->lines[frame->count - 1] = xasprintf("and %zu more", left + 1);
	}
}

static void draw(struct session *s, struct live *live, const Drover__V1__LinkList *list)
{
	_cleanup_free_ char *buffer = NULL;
	struct output to = s->out;
	struct frame frame = { 0 };
	size_t bytes = 0;

	to.file = open_memstream(&buffer, &bytes);
	if (!to.file)
		abort();
	to.columns = output_get_columns(&s->out) - 1;
	links_print(&to, list->links, list->n_links, true);
	fclose(to.file);
	take_lines(buffer, live_get_rows(live), &frame);
	live_draw(live, &frame);
	frame_deinit(&frame);
}

/* Once; then again and again if @live. */
static enum exit_code follow(struct session *s, const Drover__V1__LinksRequest *request,
                             struct live *live)
{
	for (;;) {
		_cleanup_reply_ Drover__V1__LinkList *list = NULL;
		enum exit_code code = session_ask_list_links(s, "listing the links", request,
		                                             &list);

		if (code != EXIT_DONE)
			return live && code == EXIT_INTERRUPTED ? EXIT_DONE : code;
		if (s->out.format == OUTPUT_JSON)
			output_message(&s->out, &list->base);
		else if (live)
			draw(s, live, list);
		else
			links_print(&s->out, list->links, list->n_links, false);
		if (!live) {
			if (list->n_links == 0 && s->out.format != OUTPUT_JSON)
				session_say(s, "No interface is counted anywhere.");
			if (list->left_out && s->out.format != OUTPUT_JSON)
				session_say(s, "%u more are not shown.", list->left_out);
			return EXIT_DONE;
		}
		client_wait(s->client, REFRESH_MS, never, NULL);
		if (client_is_interrupted(s->client) || client_is_overdue(s->client))
			return EXIT_DONE;
	}
}

enum exit_code top_links_run(const struct invocation *invocation)
{
	Drover__V1__LinksRequest request = DROVER__V1__LINKS_REQUEST__INIT;
	const struct options *options = &invocation->options;
	struct session s;
	struct live live;
	enum exit_code code = session_open(&s, invocation);
	bool on_terminal = s.out.terminal && s.out.format != OUTPUT_JSON;

	if (code == EXIT_DONE && options->node) {
		const char *node = session_name_of_kind(&s, "node", options->node);

		request.node = (char *)(node ? node : "");
		request.all = true;
		code = node ? EXIT_DONE : EXIT_USAGE;
	}
	request.points = POINTS;
	request.limit = (uint32_t)options->limit;
	live_init(&live, &s.out);
	if (code == EXIT_DONE)
		code = follow(&s, &request, on_terminal ? &live : NULL);
	live_leave(&live);
	session_close(&s);
	return code;
}
