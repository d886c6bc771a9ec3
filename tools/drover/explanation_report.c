/* SPDX-License-Identifier: Apache-2.0 */
/* What "drover explain migration/N" says of an attempt as its agent reports it: how far it is, how its
 * connections are doing, what it took, and what was compared and looked for afterwards. */
#include "tools/drover/explanation.h"

#include "common/alloc.h"
#include "common/cleanup.h"
#include "common/error.h"
#include "tools/drover/render.h"
#include "tools/drover/text.h"

#include <string.h>
#include <time.h>

/* Names of agent/link/connection_quality.h. One of a later version is shown as it came. */
static const char *limit_words(const char *name)
{
	static const struct {
		const char *name, *words;
	} all[] = {
		{ "cap", "the bandwidth it is allowed" },
		{ "sender", "the sender: at times it has nothing to send" },
		{ "receiver", "the receiver: it takes no more" },
		{ "window", "the send buffer of the source" },
		{ "network", "the network: as much as it lets through" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(all); i++) {
		if (strcmp(all[i].name, name) == 0)
			return all[i].words;
	}
	return name;
}

static void connection_print(const struct output *o, const Drover__V1__Connection *c)
{
	char text[OUTPUT_TEXT_BYTES], line[3 * OUTPUT_TEXT_BYTES];

	snprintf(line, sizeof(line), "%u, round trip %.3f ms (at best %.3f ms), %.2f %% sent again",
	         c->connections, (double)c->rtt_us / 1000, (double)c->min_rtt_us / 1000,
	         (double)c->resent_ppm / 10000);
	explanation_fact(o, "connections", line);
	explanation_fact(o, "limited by", limit_words(c->limited_by));
	if (!c->usual_bytes_per_s)
		return;
	snprintf(line, sizeof(line), "%s%s", output_rate(o, c->usual_bytes_per_s, text),
	         c->collapsed ? ": COLLAPSED, look at the network between the hosts" : "");
	explanation_fact(o, "usual here", line);
}

/* "held at 25 Mbit/s so that web1 is out first, until about 02:10:15" */
static void hold_print(const struct output *o, const Drover__V1__Hold *h)
{
	char text[OUTPUT_TEXT_BYTES], left[OUTPUT_TEXT_BYTES];
	char line[3 * OUTPUT_TEXT_BYTES + 256];
	char until[16] = "";
	time_t end = time(NULL) + (time_t)((h->left_ms + 999) / 1000);
	struct tm tm;

	if (localtime_r(&end, &tm))
		strftime(until, sizeof(until), "%H:%M:%S", &tm);
	snprintf(line, sizeof(line), "at %s so that %.255s (%s left) is out first; until about %s",
	         output_rate(o, h->bytes_per_s, text), h->first_vm,
	         output_duration(o, h->left_ms, left), until);
	explanation_fact(o, "held", line);
}

static void end_print(const struct output *o, const Drover__V1__Progress *p, const char *vm)
{
	char text[OUTPUT_TEXT_BYTES];
	_cleanup_free_ char *line = NULL, *words = NULL, *why = NULL;

	output_duration(o, p->eta_ms, text);
	if (progress_gives_up(p)) {
		words = progress_end_words(o, p, vm, text);
		explanation_fact(o, "no end", words);
		return;
	}
	why = text_escape(p->later_why, o->ascii);
	line = xasprintf("in %s %s (an estimate)%s%s", output_get_glyphs(o)->about, text,
	                 *why ? ", later than was said: " : "", why);
	explanation_fact(o, "ends", line);
}

static void progress_print(const struct output *o, const Drover__V1__Progress *p, const char *vm,
                           bool over)
{
	char text[OUTPUT_TEXT_BYTES], line[3 * OUTPUT_TEXT_BYTES];

	if (p->iteration)
		explanation_say(o, "  %-14s %u", "passes", p->iteration);
	if (p->memory_total_bytes) {
		char total[OUTPUT_TEXT_BYTES], left[OUTPUT_TEXT_BYTES];

		snprintf(line, sizeof(line), "%s, processed %s, remaining %s",
		         output_bytes(o, p->memory_total_bytes, total),
		         output_bytes(o, p->memory_processed_bytes, text),
		         output_bytes(o, p->memory_remaining_bytes, left));
		explanation_fact(o, "memory", line);
	}
	snprintf(line, sizeof(line), "%s%s%s%s", output_rate(o, p->transfer_bytes_per_s, text),
	         *p->rate_source ? " (counted by " : "", p->rate_source,
	         *p->rate_source ? ")" : "");
	explanation_fact(o, over ? "last rate" : "rate", line);
	if (p->hold && !over)
		hold_print(o, p->hold);
	if (p->connection)
		connection_print(o, p->connection);
	explanation_fact(o, "dirty rate", output_rate(o, p->dirty_bytes_per_s, text));
	if (!over && p->eta_known)
		end_print(o, p, vm);
}

/* "mi0 100 %, 118 MiB/s"; a rate only while it moves. */
static void path_print(const struct output *o, const Drover__V1__PathProof *path, bool over)
{
	char line[8 * OUTPUT_TEXT_BYTES] = "", text[OUTPUT_TEXT_BYTES];
	size_t used = 0;

	if (!path)
		return;
	for (size_t i = 0; i < path->n_interfaces && used < sizeof(line); i++) {
		const Drover__V1__PathInterface *one = path->interfaces[i];

		used += (size_t)snprintf(line + used, sizeof(line) - used, "%s%s %u %%, %s",
		                         used ? "; " : "", one->name, one->percent,
		                         over ? output_bytes(o, one->wire_bytes, text)
		                              : output_rate(o, one->bytes_per_s, text));
	}
	if (path->n_interfaces && path->verdict == DROVER__V1__PATH_PROOF__VERDICT__PROVED) {
		explanation_fact(o, "path", line);
		if (path->deviated)
			explanation_fact(o, "", "NOT ALL OF IT on the migration network");
		return;
	}
	if (path->verdict == DROVER__V1__PATH_PROOF__VERDICT__UNKNOWN) {
		explanation_fact(o, "path", path->n_interfaces ? line : path->text);
		if (path->n_interfaces)
			explanation_fact(o, "", path->text);
		return;
	}
	explanation_fact(o, "path", "NOT THE MIGRATION NETWORK");
	explanation_fact(o, "", line);
	explanation_fact(o, "", path->text);
}

static void disks_print(const struct output *o, const Drover__V1__AttemptReport *r, bool over)
{
	char done[OUTPUT_TEXT_BYTES], total[OUTPUT_TEXT_BYTES], left[OUTPUT_TEXT_BYTES];
	char line[4 * OUTPUT_TEXT_BYTES];

	if (!r->disk_total_bytes)
		return;
	snprintf(line, sizeof(line), over ? "%s copied of %s" : "%s copied of %s, remaining %s",
	         output_bytes(o, r->disk_processed_bytes, done),
	         output_bytes(o, r->disk_total_bytes, total),
	         output_bytes(o, r->disk_remaining_bytes, left));
	explanation_fact(o, "disks", line);
}

/* Of records that are older than the figures there is nothing to say. */
static void times_print(const struct output *o, const Drover__V1__StageTimes *t)
{
	char before[OUTPUT_TEXT_BYTES], moving[OUTPUT_TEXT_BYTES], after[OUTPUT_TEXT_BYTES];
	char clean[OUTPUT_TEXT_BYTES], prepared[OUTPUT_TEXT_BYTES];
	char line[4 * OUTPUT_TEXT_BYTES + 80];

	if (!t || !t->moving_ms)
		return;
	snprintf(line, sizeof(line),
	         "%s before libvirt was asked, %s its move, %s until it was proved, %s cleaning up",
	         output_duration(o, t->describing_ms + t->admitting_ms + t->linking_ms, before),
	         output_duration(o, t->moving_ms, moving),
	         output_duration(o, t->resolving_ms, after),
	         output_duration(o, t->cleaning_ms, clean));
	explanation_fact(o, "of it", line);
	if (!t->prepared_ms)
		return;
	snprintf(line, sizeof(line), "%s prepared, until it had a slot",
	         output_duration(o, t->prepared_ms, prepared));
	explanation_fact(o, "besides", line);
}

/* In one line; and what differs, and what could not be compared, in one each. */
static void verification_print(const struct output *o, const Drover__V1__AttemptReport *r)
{
	char line[VERIFICATION_SUMMARY_BYTES];

	explanation_fact(o, "verified", verification_summary(r, line));
	for (size_t i = 0; i < r->n_verification; i++) {
		const Drover__V1__Check *c = r->verification[i];

		if (c->verdict == DROVER__V1__CHECK__VERDICT__PASS)
			continue;
		snprintf(line, sizeof(line), "%s: %s, required %s", c->id, c->measured,
		         c->required);
		explanation_fact(o, "", line);
	}
	if (*r->not_verified && r->n_verification)
		explanation_fact(o, "not verified", r->not_verified);
}

void explanation_print_report(const struct output *o, const Drover__V1__AttemptReport *r, bool over)
{
	char text[OUTPUT_TEXT_BYTES], summary[CHECKS_SUMMARY_BYTES];
	struct remnant_counts counts = { 0 };

	/* Zeros of an attempt that never sent anything were not measured. */
	if (r->progress && (r->progress->elapsed_ms || r->progress->memory_processed_bytes))
		progress_print(o, r->progress, r->vm_name, over);
	path_print(o, r->path, over);
	disks_print(o, r, over);
	if (over) {
		explanation_fact(o, "duration", output_duration(o, r->duration_ms, text));
		times_print(o, r->times);
		if (r->held_ms) {
			char line[OUTPUT_TEXT_BYTES + 40];

			snprintf(line, sizeof(line), "%s, for others of its host",
			         output_duration(o, r->held_ms, text));
			explanation_fact(o, "was held", line);
		}
		if (r->state == DROVER__V1__MIGRATION_STATE__DONE)
			explanation_fact(o, "downtime", output_duration(o, r->downtime_ms, text));
		explanation_fact(o, "sent", output_bytes(o, r->transferred_bytes, text));
	}
	explanation_fact(o, "on the wire",
	                 r->wire_bytes ? output_bytes(o, r->wire_bytes, text) : "not measured");
	if (r->n_checks) {
		explanation_fact(o, "guard", guard_name(r->guard));
		explanation_fact(o, "checks", checks_summary(r->checks, r->n_checks, summary));
	}
	if (r->state == DROVER__V1__MIGRATION_STATE__DONE)
		verification_print(o, r);
	if (r->error_code)
		explanation_fact(o, "error", error_code_name((enum error_code)r->error_code));
	if (r->tombstoned)
		explanation_fact(o, "tombstoned", "yes: this attempt will never act again");
	if (r->n_remnants)
		remnants_print(o, 14, r->remnants, r->n_remnants);
	remnants_count(r->remnants, r->n_remnants, &counts);
	for (size_t i = 0; i < r->n_leftovers && !counts.left; i++)
		explanation_fact(o, i == 0 ? "left behind" : "", r->leftovers[i]);
	for (size_t i = 0; i < r->n_decisions; i++)
		explanation_fact(o, i == 0 ? "decisions" : "", r->decisions[i]);
	for (size_t i = 0; i < r->n_notes; i++)
		explanation_fact(o, i == 0 ? "note" : "", r->notes[i]);
	if (r->n_checks) {
		fputc('\n', o->file);
		checks_print(o, r->checks, r->n_checks);
	}
	if (r->n_verification) {
		fputc('\n', o->file);
		explanation_say(o, "At %s, compared with what had left %s:", r->target_node,
		                r->source_node);
		checks_print(o, r->verification, r->n_verification);
	}
}
