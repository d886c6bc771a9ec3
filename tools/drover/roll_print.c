/* SPDX-License-Identifier: Apache-2.0 */
/* What a rolling operation says: a line for each step as it happens, and with -o json one object of all that
 * happened. */
#include "tools/drover/roll.h"

#include "common/alloc.h"
#include "common/cleanup.h"
#include "common/clock.h"
#include "proto/json.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

static void write_turn(FILE *to, const struct roll_turn *turn)
{
	fprintf(to, ",\"turn\":%u,\"moves\":%zu,\"shutDown\":%zu,\"noPlace\":%zu,\"givenUp\":%zu",
	        turn->number, turn->moves, turn->shut_down, turn->no_place, turn->given_up);
	fputs(",\"refusal\":", to);
	json_write_string(to, turn->refusal ? turn->refusal : "");
}

static void write_step(FILE *to, const struct roll *roll, const char *node, const char *event,
                       const char *text, uint64_t wall_ms, const struct roll_turn *turn)
{
	fprintf(to, "{\"wallMs\":%llu,\"roll\":", (unsigned long long)wall_ms);
	json_write_string(to, roll->label);
	fputs(",\"node\":", to);
	json_write_string(to, node);
	fputs(",\"event\":", to);
	json_write_string(to, event);
	fputs(",\"text\":", to);
	json_write_string(to, text);
	if (turn)
		write_turn(to, turn);
	fputc('}', to);
}

static void keep_step(struct roll *roll, const char *node, const char *event, const char *text,
                      uint64_t wall_ms)
{
	if (!roll->steps)
		roll->steps = open_memstream(&roll->steps_text, &roll->steps_bytes);
	if (!roll->steps)
		abort();
	fputs(roll->n_steps++ ? "," : "", roll->steps);
	write_step(roll->steps, roll, node, event, text, wall_ms, NULL);
}

/* What a coordinator says may have several lines. */
static void say_lines(struct session *s, uint64_t wall_ms, const char *node, char *text)
{
	char when[CLOCK_TEXT_BYTES];
	const char *line = strsep(&text, "\n");

	session_say(s, "%s %s%s%s", clock_format_wall(wall_ms, when), node, *node ? ": " : "",
	            line);
	while ((line = strsep(&text, "\n")) != NULL)
		session_say(s, "  %s", line);
}

void roll_tell(struct roll *roll, const char *node, const char *event, const char *format, ...)
{
	_cleanup_free_ char *text = NULL;
	uint64_t wall_ms = clock_wall_ms();
	va_list args;

	va_start(args, format);
	if (vasprintf(&text, format, args) < 0)
		abort();
	va_end(args);
	if (roll->s->out.format == OUTPUT_JSONL) {
		write_step(roll->s->out.file, roll, node, event, text, wall_ms, NULL);
		fputc('\n', roll->s->out.file);
		fflush(roll->s->out.file);
		return;
	}
	if (roll->s->out.format == OUTPUT_JSON)
		keep_step(roll, node, event, text, wall_ms);
	say_lines(roll->s, wall_ms, node, text);
}

void roll_print_turn(const struct roll *roll, const struct roll_host *host, const char *text)
{
	write_step(roll->s->out.file, roll, host->name, "plan", text, clock_wall_ms(), &host->turn);
	fputc('\n', roll->s->out.file);
}

static const char *state_of(const struct roll *roll, enum exit_code code)
{
	if (roll->s->options->dry_run)
		return code == EXIT_DONE ? "possible" : "refused";
	if (code == EXIT_DONE)
		return "completed";
	return code == EXIT_INTERRUPTED ? "interrupted" : "stopped";
}

void roll_print_json(struct roll *roll, enum exit_code code)
{
	bool dry_run = roll->s->options->dry_run;
	FILE *to = roll->s->out.file;

	fputs("{\"roll\":", to);
	json_write_string(to, roll->label);
	fprintf(to, ",\"dryRun\":%s,\"state\":\"%s\",\"failedNode\":", dry_run ? "true" : "false",
	        state_of(roll, code));
	json_write_string(to, roll->failed_node ? roll->failed_node : "");
	fputs(",\"nodes\":[", to);
	for (size_t i = 0; i < roll->count; i++) {
		const struct roll_host *host = &roll->hosts[i];
		/* Once all are, nothing is kept of it. */
		enum roll_stage stage = code == EXIT_DONE && !dry_run ? ROLL_DONE : host->stage;

		fprintf(to, "%s{\"node\":", i ? "," : "");
		json_write_string(to, host->name);
		fputs(",\"stage\":", to);
		json_write_string(to,
		                  stage == ROLL_NOT_BEGUN ? "not begun" : roll_stage_name(stage));
		if (dry_run)
			write_turn(to, &host->turn);
		fputc('}', to);
	}
	fputs("],\"steps\":[", to);
	if (roll->steps)
		fflush(roll->steps);
	fprintf(to, "%s]}\n", roll->steps ? roll->steps_text : "");
}

void roll_print_deinit(struct roll *roll)
{
	if (roll->steps)
		fclose(roll->steps);
	free(roll->steps_text);
}
