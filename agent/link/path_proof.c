/* SPDX-License-Identifier: Apache-2.0 */
/* See path_proof.h. Two readings make a window; a window in which a counter went back (an interface was
 * made anew) says nothing. */
#include "agent/link/path_proof.h"

#include "common/alloc.h"
#include "common/units.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

const char *path_verdict_name(enum path_verdict verdict)
{
	static const char *const names[] = {
		[PATH_UNKNOWN] = "unknown",
		[PATH_PROVED] = "proved",
		[PATH_ELSEWHERE] = "elsewhere",
		[PATH_MISSING] = "missing",
	};
	static_assert(ARRAY_SIZE(names) == PATH_VERDICTS, "a verdict without a name");

	assert((unsigned)verdict < PATH_VERDICTS);
	return names[verdict];
}

/* What passed between two readings. */
struct window {
	uint64_t span_ms;
	uint64_t qemu_bytes;
	uint64_t on_path_bytes;             /* payload */
	uint64_t memory_seen_bytes;         /* by the interface that saw most of it */
	uint64_t wire_bytes;                /* likewise */
	const struct path_count *elsewhere; /* that carried most of the others, or NULL */
	uint64_t elsewhere_bytes, elsewhere_wire_bytes;
};

static const struct path_count *find(const struct path_reading *reading, const char *name)
{
	for (size_t i = 0; i < reading->n; i++)
		if (strcmp(reading->counts[i].name, name) == 0)
			return &reading->counts[i];
	return NULL;
}

static const struct path_count *find_migration(const struct path_reading *reading)
{
	for (size_t i = 0; i < reading->n; i++)
		if (reading->counts[i].migration)
			return &reading->counts[i];
	return NULL;
}

/* A count that appears begins at 0 of this migration. False: it went back. */
static bool passed(const struct path_count *before, const struct path_count *after,
                   struct path_count *ret)
{
	*ret = *after;
	if (!before)
		return true;
	if (after->payload_bytes < before->payload_bytes ||
	    after->wire_bytes < before->wire_bytes || after->memory_bytes < before->memory_bytes)
		return false;
	ret->payload_bytes -= before->payload_bytes;
	ret->wire_bytes -= before->wire_bytes;
	ret->memory_bytes -= before->memory_bytes;
	return true;
}

static struct path_interface *take(struct path_proof *proof, const struct path_count *count)
{
	struct path_interface *i;

	for (size_t n = 0; n < proof->n; n++)
		if (strcmp(proof->interfaces[n].name, count->name) == 0)
			return &proof->interfaces[n];
	if (proof->n == PATH_PROOF_INTERFACES || (!count->migration && !count->wire_bytes))
		return NULL;
	i = &proof->interfaces[proof->n++];
	*i = (struct path_interface){ .migration = count->migration };
	memcpy(i->name, count->name, sizeof(i->name));
	return i;
}

/* Adds up what passed on each interface. False: a counter went back. */
static bool measure(struct path_proof *proof, const struct path_reading *now, struct window *ret)
{
	struct path_count more[PATH_PROOF_INTERFACES];
	struct window w = { .span_ms = now->at_ms - proof->last.at_ms };

	for (size_t i = 0; i < now->n; i++)
		if (!passed(find(&proof->last, now->counts[i].name), &now->counts[i], &more[i]))
			return false;
	if (now->qemu_bytes > proof->last.qemu_bytes)
		w.qemu_bytes = now->qemu_bytes - proof->last.qemu_bytes;
	for (size_t i = 0; i < now->n; i++) {
		const struct path_count *m = &more[i];
		struct path_interface *interface = take(proof, m);

		if (interface) {
			interface->wire_bytes += m->wire_bytes;
			interface->bytes_per_s = m->wire_bytes * 1000 / w.span_ms;
		}
		if (m->memory_bytes > w.memory_seen_bytes)
			w.memory_seen_bytes = m->memory_bytes;
		if (m->wire_bytes > w.wire_bytes)
			w.wire_bytes = m->wire_bytes;
		if (m->migration) {
			w.on_path_bytes = m->payload_bytes;
		} else if (m->payload_bytes > w.elsewhere_bytes) {
			w.elsewhere = &now->counts[i];
			w.elsewhere_bytes = m->payload_bytes;
			w.elsewhere_wire_bytes = m->wire_bytes;
		}
	}
	proof->seen_wire_bytes += w.wire_bytes;
	for (size_t i = 0; i < proof->n && proof->seen_wire_bytes; i++)
		proof->interfaces[i].percent = (unsigned)(proof->interfaces[i].wire_bytes * 100 /
		                                          proof->seen_wire_bytes);
	*ret = w;
	return true;
}

static const char *route_words(const struct path_reading *now, const char *migration, char *ret,
                               size_t bytes)
{
	if (!now->route || !now->route[0])
		snprintf(ret, bytes, "the interface that it takes is not watched");
	else if (strcmp(now->route, migration) == 0)
		snprintf(ret, bytes, "the kernel's route for it is over %s", now->route);
	else
		snprintf(ret, bytes, "the kernel's route for it is over %s, which is not watched",
		         now->route);
	return ret;
}

static void say_unknown(struct path_proof *proof, const char *why)
{
	proof->verdict = PATH_UNKNOWN;
	snprintf(proof->text, sizeof(proof->text), "%s", why);
}

static void say(struct path_proof *proof, enum path_verdict verdict, const struct window *w,
                const struct path_reading *now)
{
	const char *migration = find_migration(now)->name;
	char on_path[UNITS_TEXT_BYTES], other[UNITS_TEXT_BYTES], route[96];

	units_format_speed(w->on_path_bytes * 1000 / w->span_ms, on_path);
	if (w->on_path_bytes == 0)
		snprintf(on_path, sizeof(on_path), "nothing");
	if (verdict == PATH_ELSEWHERE)
		snprintf(proof->text, sizeof(proof->text),
		         "it goes over %s at %s, and %s carries %s of it", w->elsewhere->name,
		         units_format_speed(w->elsewhere_wire_bytes * 1000 / w->span_ms, other),
		         migration, on_path);
	else if (verdict == PATH_MISSING)
		snprintf(proof->text, sizeof(proof->text),
		         "QEMU sends %s, and %s carries %s of it: %s",
		         units_format_speed(w->qemu_bytes * 1000 / w->span_ms, other), migration,
		         on_path, route_words(now, migration, route, sizeof(route)));
	else
		snprintf(proof->text, sizeof(proof->text), "%s carries it at %s", migration,
		         on_path);
	proof->verdict = verdict;
	proof->deviated |= path_proof_deviates(proof);
}

static void judge(struct path_proof *proof, const struct window *w, const struct path_reading *now)
{
	uint64_t buffers = (uint64_t)PATH_PROOF_BUFFER_BYTES *
	                   (now->connections ? now->connections : 1);
	bool elsewhere = w->elsewhere_bytes >= PATH_PROOF_LEAST_BYTES &&
	                 w->on_path_bytes < w->elsewhere_bytes / 2;
	bool missing;

	proof->unseen_bytes += w->qemu_bytes;
	proof->unseen_bytes -= w->memory_seen_bytes < proof->unseen_bytes ? w->memory_seen_bytes
	                                                                  : proof->unseen_bytes;
	missing = !elsewhere && w->qemu_bytes >= PATH_PROOF_LEAST_BYTES &&
	          w->memory_seen_bytes < w->qemu_bytes / 2 && proof->unseen_bytes > buffers;

	if (elsewhere) {
		proof->elsewhere_ms += w->span_ms;
		proof->good_ms = 0;
	} else if (missing) {
		proof->missing_ms += w->span_ms;
		proof->good_ms = 0;
	} else if (w->on_path_bytes >= PATH_PROOF_LEAST_BYTES) {
		proof->elsewhere_ms = proof->missing_ms = 0;
		proof->good_ms += w->span_ms;
	}
	/* A window in which little was sent is no evidence either way. */
	if (elsewhere && proof->elsewhere_ms >= PATH_PROOF_ELSEWHERE_MS)
		say(proof, PATH_ELSEWHERE, w, now);
	else if (missing && proof->missing_ms >= PATH_PROOF_MISSING_MS)
		say(proof, PATH_MISSING, w, now);
	else if (proof->good_ms && !elsewhere && !missing &&
	         w->on_path_bytes >= PATH_PROOF_LEAST_BYTES &&
	         (!path_proof_deviates(proof) || proof->good_ms >= PATH_PROOF_GOOD_MS))
		say(proof, PATH_PROVED, w, now);
}

void path_proof_update(struct path_proof *proof, const struct path_reading *reading)
{
	const struct path_count *migration = find_migration(reading);
	char why[PATH_PROOF_TEXT_BYTES];
	struct window w;

	if (!reading->measured || !migration || !migration->counted) {
		snprintf(why, sizeof(why),
		         "not measured: %s is not counted by eBPF, which alone tells migrations "
		         "apart",
		         migration ? migration->name : "the migration interface");
		say_unknown(proof, why);
		proof->began = false;
		proof->elsewhere_ms = proof->missing_ms = proof->good_ms = 0;
		proof->unseen_bytes = 0;
		return;
	}
	if (!proof->began) {
		proof->began = true;
		proof->last = *reading;
		proof->last.route = NULL;
		say_unknown(proof, "not measured yet");
		return;
	}
	if (reading->at_ms < proof->last.at_ms + PATH_PROOF_WINDOW_MIN_MS)
		return;
	if (measure(proof, reading, &w))
		judge(proof, &w, reading);
	proof->last = *reading;
	proof->last.route = NULL; /* the caller's */
}

bool path_proof_must_stop(const struct path_proof *proof, bool policy_stops, bool switched)
{
	return policy_stops && !switched && path_proof_deviates(proof);
}
