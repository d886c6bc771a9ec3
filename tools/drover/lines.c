/* SPDX-License-Identifier: Apache-2.0 */
/* Progress for pipes and logs: one line per change of state, RFC 3339 time first, then the subject,
 * then words and key=value. Values with spaces are quoted, so that a line can be taken apart.
 *
 *	2026-01-12T14:45:42Z migration/101 web1 node1->node2 done duration=11.2s downtime=41ms ...
 */
#include "tools/drover/progress_private.h"

#include "common/alloc.h"
#include "common/cleanup.h"
#include "common/clock.h"
#include "common/units.h"
#include "tools/drover/render.h"
#include "tools/drover/text.h"

#include <stdarg.h>
#include <string.h>

static void __attribute__((format(printf, 3, 4)))
line(const struct output *o, uint64_t wall_ms, const char *format, ...)
{
	_cleanup_free_ char *text = NULL, *shown = NULL;
	char when[CLOCK_TEXT_BYTES];
	va_list args;

	va_start(args, format);
	if (vasprintf(&text, format, args) < 0)
		abort();
	va_end(args);
	/* Lines are for programs, too: the same in every locale. */
	shown = text_escape(text, false);
	fprintf(o->file, "%s %s\n", clock_format_wall(wall_ms, when), shown);
	/* Each line is news: who reads it through a pipe must not wait for a full buffer. */
	fflush(o->file);
}

/* " reason=\"...\"", or nothing. Owned. */
static char *with_reason(const char *reason)
{
	_cleanup_free_ char *quoted = NULL;
	char *to;

	if (!*reason)
		return xstrdup("");
	quoted = to = xmalloc(strlen(reason) * 2 + 1);
	for (; *reason; reason++) {
		if (*reason == '"' || *reason == '\\')
			*to++ = '\\';
		*to++ = *reason;
	}
	*to = 0;
	return xasprintf(" reason=\"%s\"", quoted);
}

/* "11.2s", "41ms", "8.9GiB": without the space, to be one word. */
static char *compact(char *text)
{
	char *to = text;

	for (const char *from = text; *from; from++) {
		if (*from != ' ')
			*to++ = *from;
	}
	*to = 0;
	return text;
}

static void line_drain_start(const struct output *o, const Drover__V1__Drain *d, uint64_t wall_ms)
{
	char eta[48] = "", bytes[OUTPUT_TEXT_BYTES];

	if (d->eta_known)
		snprintf(eta, sizeof(eta), " eta=%llus",
		         (unsigned long long)(d->eta_ms + 999) / 1000);
	line(o, wall_ms, "drain/%llu %s started vms=%zu memory=%s%s", (unsigned long long)d->number,
	     d->node, d->n_vms, compact(output_bytes(o, d->bytes_total, bytes)), eta);
}

static void line_drain_state(const struct output *o, const Drover__V1__Drain *d, uint64_t wall_ms)
{
	_cleanup_free_ char *reason = with_reason(d->reason);

	line(o, wall_ms, "drain/%llu %s %s%s", (unsigned long long)d->number, d->node, d->state,
	     reason);
}

void lines_drain_end(const struct output *o, const Drover__V1__Drain *d, uint64_t wall_ms)
{
	struct drain_counts counts = drain_count(d);

	line(o, wall_ms, "drain/%llu %s %s moved=%u left=%u stopped=%u duration=%llus",
	     (unsigned long long)d->number, d->node,
	     strcmp(d->state, "completed") == 0 ? "done" : d->state, counts.moved,
	     counts.total - counts.moved - counts.stopped, counts.stopped,
	     (unsigned long long)(d->elapsed_ms + 500) / 1000);
}

static const Drover__V1__DrainVm *find_vm(const Drover__V1__Drain *d, const char *uuid)
{
	for (size_t i = 0; d && i < d->n_vms; i++) {
		if (strcmp(d->vms[i]->uuid, uuid) == 0)
			return d->vms[i];
	}
	return NULL;
}

/* Moving and moved are told by the migrations' own lines. */
static void line_drain_vm(const struct output *o, const Drover__V1__Drain *d,
                          const Drover__V1__DrainVm *before, const Drover__V1__DrainVm *now,
                          uint64_t wall_ms)
{
	_cleanup_free_ char *reason = with_reason(drain_vm_reason(now));
	const char *word;

	if (strcmp(now->state, "moving") == 0 || strcmp(now->state, "moved") == 0)
		return;
	/* The numbers in a reason change all the time; that there is one is the news. */
	if (before && strcmp(before->state, now->state) == 0 && (*before->reason || !*now->reason))
		return;
	if (strcmp(now->state, "waiting") == 0) {
		if (!*now->reason)
			return;
		word = "waits";
	} else {
		word = now->state;
	}
	line(o, wall_ms, "drain/%llu %s %s%s", (unsigned long long)d->number, now->name, word,
	     reason);
}

void lines_drain(const struct output *o, const Drover__V1__Drain *before,
                 const Drover__V1__Drain *now, uint64_t wall_ms)
{
	if (!before)
		line_drain_start(o, now, wall_ms);
	for (size_t i = 0; i < now->n_vms; i++)
		line_drain_vm(o, now, find_vm(before, now->vms[i]->uuid), now->vms[i], wall_ms);
	/* Its end is told last: see progress_end. */
	if (drain_is_over(now))
		return;
	if (before ? strcmp(before->state, now->state) != 0
	           : strcmp(now->state, "running") != 0 && strcmp(now->state, "planned") != 0)
		line_drain_state(o, now, wall_ms);
}

static void line_migration_end(const struct output *o, const Drover__V1__Migration *m,
                               const char *subject, uint64_t wall_ms)
{
	char duration[UNITS_TEXT_BYTES] = "", downtime[UNITS_TEXT_BYTES] = "";
	char bytes[UNITS_TEXT_BYTES] = "";

	if (!m->report) {
		line(o, wall_ms, "%s done", subject);
		return;
	}
	line(o, wall_ms, "%s done duration=%s downtime=%s bytes=%s guard=%s", subject,
	     compact(units_format_duration(m->report->duration_ms, duration)),
	     compact(units_format_duration(m->report->downtime_ms, downtime)),
	     compact(units_format_bytes(m->report->transferred_bytes, bytes)),
	     m->report->guard == DROVER__V1__GUARD__GUARD_IMAGE_LOCK ? "image-lock"
	     : m->report->guard == DROVER__V1__GUARD__GUARD_LOCK_MANAGER
	             ? "lock-manager"
	             : guard_name(m->report->guard));
}

void lines_migration(const struct output *o, const Drover__V1__Migration *before,
                     const Drover__V1__Migration *now, uint64_t wall_ms)
{
	_cleanup_free_ char *subject = NULL, *reason = with_reason(now->reason);

	if (before && before->state == now->state && before->attempt_number == now->attempt_number)
		return;
	subject = xasprintf("migration/%llu %s %s->%s", (unsigned long long)now->number,
	                    now->vm_name, now->source, *now->target ? now->target : "?");
	if (before && before->attempt_number && before->attempt_number != now->attempt_number)
		line(o, wall_ms, "%s attempt=%u%s", subject, now->attempt_number, reason);
	switch (now->state) {
	case DROVER__V1__MIGRATION_STATE__DONE:
		line_migration_end(o, now, subject, wall_ms);
		break;
	case DROVER__V1__MIGRATION_STATE__RUNNING:
		line(o, wall_ms, "%s started", subject);
		break;
	default:
		line(o, wall_ms, "%s %s%s", subject, migration_state_name(now->state), reason);
		break;
	}
}

void lines_event(const struct output *o, const Drover__V1__Event *event)
{
	/* All but alarms is told by the lines of states already. */
	if (strcmp(event->severity, "alarm") != 0)
		return;
	line(o, event->wall_ms, "%s %s: %s", event->subject, event->severity, event->text);
}
