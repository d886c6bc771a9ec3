/* SPDX-License-Identifier: Apache-2.0 */
/* See remnants.h, which has the table. Pure. */
#include "agent/kernel/remnants.h"

#include "common/alloc.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

static const char *const thing_names[] = {
	[REMNANT_GUEST] = "guest",
	[REMNANT_DEFINITION] = "definition",
	[REMNANT_JOB] = "job",
	[REMNANT_PAUSE] = "pause",
	[REMNANT_AUTOSTART] = "autostart",
	[REMNANT_TUNNEL] = "tunnel",
	[REMNANT_DIRECTORY] = "directory",
	[REMNANT_PROOFS] = "proofs",
	[REMNANT_LEASE] = "lease",
	[REMNANT_PORT] = "port",
	[REMNANT_EXPORT] = "nbd-export",
	[REMNANT_IMAGES] = "images",
	[REMNANT_START_BLOCK] = "start-block",
};
static_assert(ARRAY_SIZE(thing_names) == REMNANT_THINGS, "a thing without a name");

const char *remnant_thing_name(enum remnant_thing thing)
{
	assert((unsigned)thing < REMNANT_THINGS);
	return thing_names[thing];
}

/* Where each could be: the table of remnants.h. */
#define AT(side, end) (1u << ((side)*REMNANTS_ENDS + (end)))
#define SOURCE_CAME   AT(REMNANTS_SOURCE, REMNANTS_CAME)
#define SOURCE_STAYED AT(REMNANTS_SOURCE, REMNANTS_STAYED)
#define TARGET_CAME   AT(REMNANTS_TARGET, REMNANTS_CAME)
#define TARGET_STAYED AT(REMNANTS_TARGET, REMNANTS_STAYED)
#define SOURCE_ANY    (SOURCE_CAME | SOURCE_STAYED | AT(REMNANTS_SOURCE, REMNANTS_UNKNOWN))
#define TARGET_ANY    (TARGET_CAME | TARGET_STAYED | AT(REMNANTS_TARGET, REMNANTS_UNKNOWN))

static const unsigned places[] = {
	[REMNANT_GUEST] = SOURCE_CAME | TARGET_STAYED,
	[REMNANT_DEFINITION] = SOURCE_CAME | TARGET_STAYED,
	[REMNANT_JOB] = SOURCE_STAYED,
	[REMNANT_PAUSE] = SOURCE_STAYED,
	[REMNANT_AUTOSTART] = SOURCE_STAYED | TARGET_CAME,
	[REMNANT_TUNNEL] = SOURCE_ANY | TARGET_ANY,
	[REMNANT_DIRECTORY] = SOURCE_ANY | TARGET_ANY,
	[REMNANT_PROOFS] = SOURCE_ANY,
	[REMNANT_LEASE] = TARGET_ANY,
	[REMNANT_PORT] = TARGET_ANY,
	[REMNANT_EXPORT] = TARGET_ANY,
	[REMNANT_IMAGES] = TARGET_ANY,
	[REMNANT_START_BLOCK] = TARGET_ANY,
};
static_assert(ARRAY_SIZE(places) == REMNANT_THINGS, "a thing without a place");

/* Nobody knows where the guest is: it may be here, rightly or not, and that is not ours to say. */
static bool is_of_the_guest(enum remnant_thing thing)
{
	return thing == REMNANT_GUEST || thing == REMNANT_DEFINITION;
}

bool remnant_applies(enum remnant_thing thing, const struct remnants_input *in)
{
	if (in->end == REMNANTS_UNKNOWN && is_of_the_guest(thing))
		return true;
	if (!(places[thing] & AT(in->side, in->end)))
		return false;
	switch (thing) {
	case REMNANT_AUTOSTART:
		return in->autostart;
	case REMNANT_PROOFS:
		return in->places;
	case REMNANT_EXPORT:
	case REMNANT_IMAGES:
		return in->copied;
	default:
		return true;
	}
}

static void put(struct remnant *r, enum remnant_verdict verdict, const char *text,
                const char *remedy)
{
	r->verdict = verdict;
	snprintf(r->text, sizeof(r->text), "%s", text);
	snprintf(r->remedy, sizeof(r->remedy), "%s", remedy);
}

/* The text is written into it by the caller. */
static void put_left(struct remnant *r, const char *remedy)
{
	r->verdict = REMNANT_LEFT;
	snprintf(r->remedy, sizeof(r->remedy), "%s", remedy);
}

static void judge_guest(const struct remnants_input *in, struct remnant *r)
{
	char remedy[REMNANT_TEXT_BYTES];

	if (!in->listed || !in->vm.active || (in->late && in->vm.state == VM_RUNNING)) {
		put(r, REMNANT_GONE, "", "");
		return;
	}
	snprintf(r->text, sizeof(r->text), "%.64s is %s (%.40s) on %.64s, and belongs to %.64s",
	         in->vm_name, vm_run_state_name(in->vm.state), in->vm.reason, in->node,
	         in->other_node);
	snprintf(remedy, sizeof(remedy),
	         "once it is certain that it runs on %.64s (virsh domstate --reason %.64s): virsh "
	         "destroy %.64s on %.64s",
	         in->other_node, in->vm_name, in->vm_name, in->node);
	put_left(r, remedy);
}

/* Somebody might start it. */
static void judge_definition(const struct remnants_input *in, struct remnant *r)
{
	char remedy[REMNANT_TEXT_BYTES];

	if (!in->listed || in->vm.active) {
		put(r, REMNANT_GONE, "", "");
		return;
	}
	snprintf(r->text, sizeof(r->text),
	         "%.64s is defined on %.64s, and must not be started there: it belongs to %.64s",
	         in->vm_name, in->node, in->other_node);
	snprintf(remedy, sizeof(remedy), "virsh undefine %.64s on %.64s", in->vm_name, in->node);
	put_left(r, remedy);
}

static void judge_job(const struct remnants_input *in, struct remnant *r)
{
	char remedy[REMNANT_TEXT_BYTES];

	if (!in->listed || !in->vm.active || (in->job_known && !in->job_runs)) {
		put(r, REMNANT_GONE, "", "");
		return;
	}
	if (!in->job_known) {
		put(r, REMNANT_NOT_LOOKED, "libvirt does not tell whether a job runs", "");
		return;
	}
	snprintf(r->text, sizeof(r->text), "a migration of %.64s still runs on %.64s", in->vm_name,
	         in->node);
	snprintf(remedy, sizeof(remedy),
	         "virsh domjobinfo %.64s, then virsh domjobabort %.64s on %.64s", in->vm_name,
	         in->vm_name, in->node);
	put_left(r, remedy);
}

/* A person's pause is the person's. */
static bool is_paused_by_move(const struct remnants_input *in)
{
	if (!in->listed || !in->vm.active || in->vm.state != VM_PAUSED || in->paused)
		return false;
	return in->vm.pause_reason == VM_PAUSE_MIGRATION ||
	       in->vm.pause_reason == VM_PAUSE_POSTCOPY_FAILED ||
	       (in->vm.pause_reason == VM_PAUSE_USER && in->paused_by_us);
}

static void judge_pause(const struct remnants_input *in, struct remnant *r)
{
	char remedy[REMNANT_TEXT_BYTES];

	if (!is_paused_by_move(in)) {
		put(r, REMNANT_GONE, "", "");
		return;
	}
	snprintf(r->text, sizeof(r->text), "%.64s is paused (%.40s) on %.64s by the move",
	         in->vm_name, in->vm.reason, in->node);
	snprintf(remedy, sizeof(remedy),
	         "once it is certain that it does not run on %.64s, and did not: virsh resume "
	         "%.64s on "
	         "%.64s",
	         in->other_node, in->vm_name, in->node);
	put_left(r, remedy);
}

static void judge_autostart(const struct remnants_input *in, struct remnant *r)
{
	char remedy[REMNANT_TEXT_BYTES];

	if (in->listed && in->vm.autostart) {
		put(r, REMNANT_GONE, "", "");
	} else if (!in->listed) {
		put(r, REMNANT_GONE, "the guest is not here any more", "");
	} else {
		snprintf(r->text, sizeof(r->text),
		         "autostart of %.64s was on before the move, and is off on %.64s",
		         in->vm_name, in->node);
		snprintf(remedy, sizeof(remedy), "virsh autostart %.64s on %.64s", in->vm_name,
		         in->node);
		put_left(r, remedy);
	}
}

static void judge_sight(const struct remnants_input *in, enum remnant_thing thing,
                        struct remnant *r)
{
	const struct remnant_sight *s = &in->sights[thing];
	bool port = thing == REMNANT_PORT || thing == REMNANT_EXPORT;
	char remedy[REMNANT_TEXT_BYTES];

	switch (s->sight) {
	case SIGHT_NONE:
		put(r, REMNANT_GONE, s->text, "");
		break;
	case SIGHT_THERE:
		snprintf(r->text, sizeof(r->text), "%s", s->text);
		snprintf(remedy, sizeof(remedy), "drover gc %.64s", in->node);
		put_left(r, port ? "it is free when what holds it ends" : remedy);
		break;
	case SIGHT_NOT_LOOKED:
		put(r, REMNANT_NOT_LOOKED, s->text[0] ? s->text : "nobody looked", "");
		break;
	}
}

static void judge(const struct remnants_input *in, enum remnant_thing thing, struct remnant *r)
{
	if (thing > REMNANT_AUTOSTART) {
		judge_sight(in, thing, r);
		return;
	}
	if (in->end == REMNANTS_UNKNOWN) {
		put(r, REMNANT_NOT_LOOKED,
		    "a host was declared dead meanwhile, and where the guest is was settled "
		    "without "
		    "this attempt",
		    "");
		return;
	}
	if (!in->libvirt_answers) {
		snprintf(r->text, sizeof(r->text), "libvirt on %.64s does not answer: %.200s",
		         in->node, in->libvirt_problem);
		return;
	}
	switch (thing) {
	case REMNANT_GUEST:
		judge_guest(in, r);
		break;
	case REMNANT_DEFINITION:
		judge_definition(in, r);
		break;
	case REMNANT_JOB:
		judge_job(in, r);
		break;
	case REMNANT_PAUSE:
		judge_pause(in, r);
		break;
	default:
		judge_autostart(in, r);
		break;
	}
}

size_t remnants_judge(const struct remnants_input *in, struct remnant *ret)
{
	size_t n = 0;

	for (enum remnant_thing thing = 0; thing < REMNANT_THINGS; thing++) {
		struct remnant r = { .verdict = REMNANT_NOT_LOOKED };

		if (!remnant_applies(thing, in))
			continue;
		snprintf(r.thing, sizeof(r.thing), "%s", thing_names[thing]);
		snprintf(r.node, sizeof(r.node), "%s", in->node);
		judge(in, thing, &r);
		ret[n++] = r;
	}
	return n;
}

size_t remnants_not_looked(const struct remnants_input *in, const char *why, struct remnant *ret)
{
	struct remnants_input blind = *in;
	size_t n;

	blind.libvirt_answers = false;
	blind.libvirt_problem = why;
	memset(blind.sights, 0, sizeof(blind.sights));
	n = remnants_judge(&blind, ret);
	for (size_t i = 0; i < n; i++)
		snprintf(ret[i].text, sizeof(ret[i].text), "%s", why);
	return n;
}

static struct remnant *find(struct remnant *items, size_t n, const struct remnant *like)
{
	for (size_t i = 0; i < n; i++) {
		if (strcmp(items[i].thing, like->thing) == 0 &&
		    strcmp(items[i].node, like->node) == 0)
			return &items[i];
	}
	return NULL;
}

void remnants_merge(struct remnant *kept, size_t *n_kept, const struct remnant *later,
                    size_t n_later)
{
	for (size_t i = 0; i < n_later; i++) {
		struct remnant *before = find(kept, *n_kept, &later[i]);

		/* That somebody could not look again says nothing new of what was seen. */
		if (before && later[i].verdict == REMNANT_NOT_LOOKED &&
		    before->verdict == REMNANT_LEFT)
			continue;
		if (before && before->verdict != REMNANT_GONE)
			*before = later[i];
		else if (!before && *n_kept < REMNANTS_MAX)
			kept[(*n_kept)++] = later[i];
	}
}

size_t remnants_count_open(const struct remnant *items, size_t n)
{
	size_t open = 0;

	for (size_t i = 0; i < n; i++)
		open += items[i].verdict != REMNANT_GONE;
	return open;
}
