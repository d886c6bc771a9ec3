/* SPDX-License-Identifier: Apache-2.0 */
/* Admission on the guest itself: is it well enough to be moved, and can this host give it the vCPUs and
 * the clock that it runs with. Pure. */
#include "agent/kernel/admission_internal.h"
#include "common/alloc.h"

#include <stdio.h>
#include <string.h>

/* ---- health ---- */

/* What stands in the way, by libvirt's word for the state; NULL @word: any other. */
static const struct {
	enum vm_run_state state;
	const char *word;
	const char *remedy;
} ailments[] = {
	{ VM_RUNNING, "shutting down", "it ends by itself; wait until it is shut off" },
	{ VM_RUNNING, "post-copy failed",
	  "half of its memory is on another host: drover explain there, before anything else" },
	{ VM_PAUSED, "I/O error",
	  "find what failed under its disks (virsh domblkerror), mend it, then: virsh resume" },
	{ VM_PAUSED, "watchdog", "its watchdog fired: look at its console, then: virsh resume" },
	{ VM_PAUSED, "saving", "wait until it is saved, or: virsh domjobabort" },
	{ VM_PAUSED, "dumping", "wait for the dump, or: virsh domjobabort" },
	{ VM_PAUSED, "creating snapshot", "wait for the snapshot, or: virsh domjobabort" },
	{ VM_PAUSED, "shutting down", "it ends by itself; wait until it is shut off" },
	{ VM_PAUSED, "starting up", "wait until it has started" },
	{ VM_PAUSED, "crashed", "look at its console and log, then: virsh reset or destroy" },
	{ VM_PAUSED, "migrating",
	  "it is being moved, or a move of it stopped half-way: drover "
	  "explain, and virsh domstate on both hosts" },
	{ VM_PAUSED, "post-copy", "it is being moved by somebody else: wait" },
	{ VM_PAUSED, "post-copy failed",
	  "half of its memory is on another host: drover explain there, before anything else" },
	{ VM_PAUSED, "suspended by the guest", "wake it first: virsh dompmwakeup" },
	{ VM_INCOMING, NULL, "it is still arriving on its host: wait" },
	{ VM_SHUTOFF, NULL, "start it, or move its definition by hand: virsh dumpxml, define" },
	{ VM_CRASHED, NULL, "look at its console and log, then: virsh reset or destroy" },
	{ VM_UNKNOWN, NULL, "see whether its QEMU answers: virsh domstate, and its log there" },
};

static const char *find_ailment(const struct vm_summary *s)
{
	for (size_t i = 0; i < ARRAY_SIZE(ailments); i++)
		if (ailments[i].state == s->state &&
		    (!ailments[i].word || strcmp(ailments[i].word, s->reason) == 0))
			return ailments[i].remedy;
	/* Words of a newer libvirt: a pause counts as a person's only if it says so. */
	if (s->state == VM_PAUSED && s->pause_reason != VM_PAUSE_USER &&
	    strcmp(s->reason, "from snapshot") != 0)
		return "find out why it is paused: virsh domstate --reason there, then resume it";
	return NULL;
}

void admission_judge_guest(const struct admission_input *in, struct check_list *list)
{
	const struct vm_description *vm = in->vm;
	const struct vm_summary *s = &vm->summary;
	struct check *c = admission_add(list, "guest");
	const char *ailment = find_ailment(s);

	admission_required(c, "running, or paused by a person; no job of somebody else's");
	if (!s->reason[0]) {
		admission_not_measured(c, "its host's agent does not say; see its version");
		return;
	}
	admission_measured(c, "%s (%s)", vm_run_state_name(s->state), s->reason);
	if (ailment) {
		admission_remedy(c, "%s", ailment);
	} else if (s->job_out) {
		admission_measured(c, "%s, and somebody else's migration of it runs",
		                   vm_run_state_name(s->state));
		admission_remedy(c, "wait for that, or end it on its host: virsh domjobabort");
	} else if (vm->job_other) {
		admission_measured(c, "%s, and a backup, dump, save or snapshot of it runs",
		                   vm_run_state_name(s->state));
		admission_remedy(c, "wait for it, or end it on its host: virsh domjobabort");
	} else if (vm->disk_error[0]) {
		admission_measured(c, "%s, with an I/O error on disk %s",
		                   vm_run_state_name(s->state), vm->disk_error);
		admission_remedy(c, "find what failed under that disk: virsh domblkerror");
	} else if (vm->agent_channel == VM_AGENT_DISCONNECTED && s->state == VM_RUNNING) {
		admission_measured(c, "running (%s), but its guest agent does not answer",
		                   s->reason);
		c->verdict = CHECK_WARN;
		admission_remedy(c, "it moves all the same; see whether the guest is well, and "
		                    "qemu-guest-agent runs in it");
	} else {
		c->verdict = CHECK_PASS;
	}
}

/* ---- vCPUs ---- */

void admission_judge_vcpus(const struct admission_input *in, struct check_list *list)
{
	const struct vm_description *vm = in->vm;
	const struct vcpu_totals *t = &in->vcpus;
	uint32_t most = in->capabilities.vcpus_max, own = vm->summary.vcpus;
	uint32_t maximum = vm->vcpus_maximum > own ? vm->vcpus_maximum : own;
	uint64_t promised = (uint64_t)t->guests + t->reserved;
	struct check *c = admission_add(list, "vcpus");

	admission_required(c, "%u vCPUs in use, %u at most", own, maximum);
	if (!in->capabilities_known || !most || !t->cpus) {
		admission_not_measured(c, in->capabilities_why);
		return;
	}
	if (maximum > most) {
		admission_measured(c, "QEMU here gives a %.40s at most %u", vm->machine, most);
		admission_remedy(c, "choose a node with a newer QEMU, or lower the guest's <vcpu>");
		return;
	}
	if (!in->already_reserved && own > vcpus_get_room(t)) {
		admission_measured(c, "%llu of %llu promised: %u CPUs x %u.%02u; %u on their way",
		                   (unsigned long long)promised,
		                   (unsigned long long)vcpus_get_limit(t), t->cpus,
		                   t->overcommit_percent / 100, t->overcommit_percent % 100,
		                   t->reserved);
		admission_remedy(c, "move a guest away from here, choose another node, or raise "
		                    "cpu/overcommit of this agent");
		return;
	}
	admission_measured(c, "%u CPUs, %llu vCPUs promised, at most %u for one guest", t->cpus,
	                   (unsigned long long)promised, most);
	c->verdict = CHECK_PASS;
	if (own > t->cpus) {
		c->verdict = CHECK_WARN;
		admission_remedy(c, "the guest has more vCPUs than this host has CPUs: it will be "
		                    "slower here than on a larger one");
	}
}

/* ---- TSC ---- */

/* libvirt's and KVM's own tolerance: what NTP can correct. */
#define TSC_TOLERANCE_PPM 250

static bool is_within_tolerance(uint64_t hz, uint64_t wanted_hz)
{
	uint64_t apart = hz > wanted_hz ? hz - wanted_hz : wanted_hz - hz;

	return apart <= wanted_hz / 1000000 * TSC_TOLERANCE_PPM;
}

void admission_judge_tsc(const struct admission_input *in, struct check_list *list)
{
	struct check *c = admission_add(list, "tsc");
	uint64_t wanted_hz = in->vm->tsc_hz, hz = in->capabilities.tsc_hz;

	if (!wanted_hz) {
		admission_measured(c, "the guest was promised no frequency");
		c->verdict = CHECK_PASS;
		return;
	}
	admission_required(c, "%llu kHz within %d ppm, or a TSC that can be scaled",
	                   (unsigned long long)wanted_hz / 1000, TSC_TOLERANCE_PPM);
	if (!in->capabilities_known || !hz) {
		admission_not_measured(c, in->capabilities_known
		                                  ? "libvirt here does not know its host's TSC"
		                                  : in->capabilities_why);
		return;
	}
	admission_measured(c, "%llu kHz, %s", (unsigned long long)hz / 1000,
	                   in->capabilities.tsc_scaling ? "can be scaled" : "cannot be scaled");
	if (in->capabilities.tsc_scaling || is_within_tolerance(hz, wanted_hz))
		c->verdict = CHECK_PASS;
	else
		admission_remedy(c, "choose a node whose processor runs at that frequency, or one "
		                    "that scales its TSC");
}
