/* SPDX-License-Identifier: Apache-2.0 */
/* See verification.h. */
#include "agent/kernel/verification.h"

#include "agent/kernel/admission_internal.h"
#include "common/units.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* State, identity, definition, vcpus, memory. */
#define BEFORE_DISKS 5
/* Interfaces that nobody expects are listed while there is room for what comes after them. */
#define ROOM_FOR_THE_REST 4
static_assert(BEFORE_DISKS + 2 * VM_DISKS_MAX + VM_INTERFACES_MAX + ROOM_FOR_THE_REST <= CHECKS_MAX,
              "no room for disks that nobody expects");

/* The end of a path tells more than its beginning. */
#define PATH_SHOWN 60
static const char *tail(const char *path)
{
	size_t n = strlen(path);

	return n > PATH_SHOWN ? path + n - PATH_SHOWN : path;
}

static void set_verdict(struct check *c, bool same)
{
	c->verdict = same ? CHECK_PASS : CHECK_FAIL;
	if (same)
		c->remedy[0] = '\0';
}

static void judge_state(const struct verification_input *in, struct check_list *list)
{
	struct check *c = admission_add(list, "state");
	const struct vm_summary *vm = in->found ? &in->found->summary : NULL;

	admission_required(c, in->paused ? "paused, as a person had left it" : "running");
	if (!vm) {
		admission_measured(c, "not active on %.64s", in->node);
		admission_remedy(c, "look what became of it: virsh domstate --reason %.64s",
		                 in->left->summary.name);
		return;
	}
	admission_measured(c, "%s%s%s%s", vm_run_state_name(vm->state), vm->reason[0] ? " (" : "",
	                   vm->reason, vm->reason[0] ? ")" : "");
	admission_remedy(c,
	                 in->paused ? "it was resumed meanwhile: virsh suspend %.64s, if that "
	                              "was not wanted"
	                            : "if nobody has paused it: virsh resume %.64s",
	                 in->left->summary.name);
	set_verdict(c, vm->state == (in->paused ? VM_PAUSED : VM_RUNNING));
}

static void judge_identity(const struct verification_input *in, struct check_list *list)
{
	const struct vm_summary *left = &in->left->summary, *vm = &in->found->summary;
	struct check *c = admission_add(list, "identity");

	admission_required(c, "%.64s, %s", left->name, left->uuid);
	admission_measured(c, "%.64s, %s", vm->name, vm->uuid);
	admission_remedy(c, "something renamed it on its way: a hook of libvirt's?");
	set_verdict(c, strcmp(left->name, vm->name) == 0 && strcasecmp(left->uuid, vm->uuid) == 0);
}

static const char *definition_text(bool persistent, bool autostart)
{
	if (!persistent)
		return "transient: without a definition";
	return autostart ? "defined, autostart on" : "defined, autostart off";
}

/* Without its definition it is gone with its next shutdown; without autostart, with the host's. */
static void judge_definition(const struct verification_input *in, struct check_list *list)
{
	const struct vm_summary *vm = &in->found->summary;
	struct check *c = admission_add(list, "definition");
	bool autostart = in->autostart && in->persistent;

	admission_required(c, "%s", definition_text(in->persistent, autostart));
	admission_measured(c, "%s", definition_text(vm->persistent, vm->autostart));
	if (in->persistent && !vm->persistent)
		admission_remedy(c, "on %.40s: virsh dumpxml %.40s >f && virsh define f", in->node,
		                 vm->name);
	else if (!in->persistent)
		admission_remedy(c, "if it is not to stay defined on %.40s: virsh undefine %.40s",
		                 in->node, vm->name);
	else
		admission_remedy(c, "on %.40s: virsh autostart%s %.64s", in->node,
		                 autostart ? "" : " --disable", vm->name);
	set_verdict(c, vm->persistent == in->persistent &&
	                       (!vm->persistent || vm->autostart == autostart));
}

static void judge_sizes(const struct verification_input *in, struct check_list *list)
{
	const struct vm_summary *left = &in->left->summary, *vm = &in->found->summary;
	struct check *c = admission_add(list, "vcpus");
	char text[UNITS_TEXT_BYTES];

	admission_required(c, "%" PRIu32 " of at most %" PRIu32, left->vcpus,
	                   in->left->vcpus_maximum);
	admission_measured(c, "%" PRIu32 " of at most %" PRIu32, vm->vcpus,
	                   in->found->vcpus_maximum);
	admission_remedy(c, "if nobody has changed them: virsh setvcpus %.64s %" PRIu32, vm->name,
	                 left->vcpus);
	set_verdict(c, left->vcpus == vm->vcpus &&
	                       in->left->vcpus_maximum == in->found->vcpus_maximum);

	c = admission_add(list, "memory");
	admission_required(c, "%s", units_format_bytes(left->memory_bytes, text));
	admission_measured(c, "%s", units_format_bytes(vm->memory_bytes, text));
	admission_remedy(c, "its XML was changed on its way: a hook of libvirt's?");
	set_verdict(c, left->memory_bytes == vm->memory_bytes);
}

/* --- disks --- */

static const struct vm_disk *find_disk(const struct vm_description *d, const char *target)
{
	for (size_t i = 0; i < d->n_disks && i < VM_DISKS_MAX; i++) {
		if (strcmp(d->disks[i].target, target) == 0)
			return &d->disks[i];
	}
	return NULL;
}

#define DISK_TEXT_BYTES 120

static const char *describe_disk(const struct vm_disk *d, uint64_t size_bytes, char *ret)
{
	char size[UNITS_TEXT_BYTES];

	if (strcmp(d->type, "none") == 0)
		snprintf(ret, DISK_TEXT_BYTES, "an empty %.15s", d->device);
	else
		snprintf(ret, DISK_TEXT_BYTES, "%s, %s%s%s%s", tail(d->source),
		         d->format[0] ? d->format : "format not told", size_bytes ? ", " : "",
		         size_bytes ? units_format_bytes(size_bytes, size) : "",
		         d->read_only ? ", read-only" : "");
	return ret;
}

/* The images that one is built on are opened with it, and have no state of their own. */
static bool is_backing(const struct vm_disk *d)
{
	return strchr(d->target, '[') != NULL;
}

static bool is_same_disk(const struct vm_disk *a, const struct vm_disk *b)
{
	return strcmp(a->type, b->type) == 0 && strcmp(a->source, b->source) == 0 &&
	       strcmp(a->format, b->format) == 0 && strcmp(a->device, b->device) == 0 &&
	       a->read_only == b->read_only;
}

static void judge_disk(const struct verification_input *in, const struct vm_disk *left,
                       struct check *c)
{
	const struct vm_disk *found = find_disk(in->found, left->target);
	bool has_state = found && !is_backing(left) && strcmp(found->type, "none") != 0;
	const struct vm_disk_state *state = has_state && in->devices
	                                            ? &in->devices->disks[found - in->found->disks]
	                                            : NULL;
	uint64_t size_bytes = state ? state->size_bytes : 0;
	char text[DISK_TEXT_BYTES];

	admission_required(c, "%s", describe_disk(left, left->size_bytes, text));
	admission_remedy(c, "compare: virsh domblklist --details %.64s, on %.40s",
	                 in->left->summary.name, in->node);
	if (!found) {
		admission_measured(c, "the guest has no such disk");
		return;
	}
	describe_disk(found, size_bytes, text);
	if (!has_state) {
		admission_measured(c, "%s", text);
		set_verdict(c, is_same_disk(left, found));
	} else if (!state) {
		admission_measured(c, "%s; what QEMU has was not measured: %.60s", text,
		                   in->devices_why);
	} else if (!state->opened) {
		admission_measured(c, "%s; not opened by QEMU: %.60s", text, state->why);
	} else {
		admission_measured(c, "%s, opened by QEMU", text);
		set_verdict(c, is_same_disk(left, found) &&
		                       (!left->size_bytes || left->size_bytes == size_bytes));
	}
}

static void judge_disks(const struct verification_input *in, struct check_list *list)
{
	for (size_t i = 0; i < in->left->n_disks && i < VM_DISKS_MAX; i++) {
		struct check *c = admission_add(list, "");

		snprintf(c->id, sizeof(c->id), "disk/%s", in->left->disks[i].target);
		judge_disk(in, &in->left->disks[i], c);
	}
	for (size_t i = 0; i < in->found->n_disks && i < VM_DISKS_MAX; i++) {
		const struct vm_disk *d = &in->found->disks[i];
		char text[DISK_TEXT_BYTES];
		struct check *c;

		if (find_disk(in->left, d->target))
			continue;
		c = admission_add(list, "");
		snprintf(c->id, sizeof(c->id), "disk/%s", d->target);
		admission_required(c, "no such disk");
		admission_measured(c, "%s", describe_disk(d, 0, text));
		admission_remedy(c, "if nobody has added it: virsh detach-disk %.64s %s",
		                 in->left->summary.name, d->target);
	}
}

/* --- interfaces --- */

static const struct vm_interface *find_interface(const struct vm_description *d, const char *mac)
{
	for (size_t i = 0; i < d->n_interfaces && i < VM_INTERFACES_MAX; i++) {
		if (strcasecmp(d->interfaces[i].mac, mac) == 0)
			return &d->interfaces[i];
	}
	return NULL;
}

/* The device its tap belongs to, where the kernel tells such a thing; NULL: there is none to compare
 * with. Of Open vSwitch the kernel knows ports but not their bridge. */
static const char *wanted_device(const struct verification_input *in, const struct vm_interface *n)
{
	const struct network_finding *f = &in->networks[n - in->found->interfaces];

	if (strcmp(n->virtual_port, "openvswitch") == 0 || !f->needed || !f->measured ||
	    f->facts.kind == NETWORK_OPEN_VSWITCH)
		return NULL;
	if (strcmp(n->type, "bridge") == 0 || strcmp(n->type, "direct") == 0)
		return n->source;
	if (strcmp(n->type, "network") == 0 && f->facts.device[0])
		return f->facts.device;
	return NULL;
}

static void judge_interface(const struct verification_input *in, const struct vm_interface *left,
                            struct check *c)
{
	const struct vm_interface *found = find_interface(in->found, left->mac);
	const struct vm_plug *plug;
	const char *wanted;
	bool same;

	admission_required(c, "%s %.60s%s, link %s", left->type, left->source,
	                   left->source[0] ? "" : "interface", left->link_down ? "down" : "up");
	admission_remedy(c, "compare: virsh domiflist %.64s, on %.40s", in->left->summary.name,
	                 in->node);
	if (!found) {
		admission_measured(c, "the guest has no such interface");
		return;
	}
	same = strcmp(left->type, found->type) == 0 && strcmp(left->source, found->source) == 0 &&
	       left->link_down == found->link_down;
	if (left->link_down != found->link_down)
		admission_remedy(c, "if nobody has done that: virsh domif-setlink %.64s %s %s",
		                 in->left->summary.name, found->mac,
		                 left->link_down ? "down" : "up");
	wanted = wanted_device(in, found);
	plug = in->devices ? &in->devices->plugs[found - in->found->interfaces] : NULL;
	if (!wanted) {
		admission_measured(c, "%s %.60s%s, link %s", found->type, found->source,
		                   found->source[0] ? "" : "interface",
		                   found->link_down ? "down" : "up");
	} else if (!plug || !plug->known) {
		same = false;
		admission_measured(c, "%s %.60s, link %s; its tap was not measured: %.60s",
		                   found->type, found->source, found->link_down ? "down" : "up",
		                   plug ? plug->why : in->devices_why);
	} else if (strcmp(plug->device, wanted) != 0) {
		same = false;
		admission_measured(c, "%s %.60s, link %s; its tap %s is in %s", found->type,
		                   found->source, found->link_down ? "down" : "up", found->target,
		                   plug->device[0] ? plug->device : "no bridge");
		admission_remedy(c, "on %.40s: ip link set %s master %s", in->node, found->target,
		                 wanted);
	} else {
		admission_measured(c, "%s %.60s, link %s; its tap %s is in %s", found->type,
		                   found->source, found->link_down ? "down" : "up", found->target,
		                   plug->device);
	}
	set_verdict(c, same);
}

static void judge_interfaces(const struct verification_input *in, struct check_list *list)
{
	for (size_t i = 0; i < in->left->n_interfaces && i < VM_INTERFACES_MAX; i++) {
		struct check *c = admission_add(list, "");

		snprintf(c->id, sizeof(c->id), "network/%s", in->left->interfaces[i].mac);
		judge_interface(in, &in->left->interfaces[i], c);
	}
	for (size_t i = 0; i < in->found->n_interfaces && i < VM_INTERFACES_MAX; i++) {
		const struct vm_interface *n = &in->found->interfaces[i];
		struct check *c;

		if (find_interface(in->left, n->mac) ||
		    list->count + ROOM_FOR_THE_REST >= CHECKS_MAX)
			continue;
		c = admission_add(list, "");
		snprintf(c->id, sizeof(c->id), "network/%s", n->mac);
		admission_required(c, "no such interface");
		admission_measured(c, "%s %.100s", n->type, n->source);
		admission_remedy(c,
		                 "if nobody has added it: virsh detach-interface %.64s %s --mac %s",
		                 in->left->summary.name, n->type, n->mac);
	}
}

/* --- the clock --- */

static void judge_clock(const struct verification_input *in, struct verification *v)
{
	const struct vm_devices *d = in->devices;
	char off[UNITS_TEXT_BYTES];
	struct check *c;

	if (!d || d->clock == VM_CLOCK_NOT_ASKED) {
		snprintf(v->not_verified, sizeof(v->not_verified), "the guest's clock: %s",
		         !d ? "its devices could not be looked at"
		         : in->found->agent_channel == VM_AGENT_NONE
		                 ? "the guest has no agent to ask"
		                 : "the guest's agent is not connected");
		return;
	}
	if (d->clock == VM_CLOCK_SILENT) {
		snprintf(v->not_verified, sizeof(v->not_verified), "the guest's clock: %.128s",
		         d->clock_why);
		return;
	}
	c = admission_add(&v->checks, "clock");
	admission_required(c, "within %d s of %.64s's", VERIFICATION_CLOCK_MOST_MS / 1000,
	                   in->node);
	units_format_duration((uint64_t)llabs(d->clock_ahead_ms), off);
	admission_measured(c, "%s %s", off, d->clock_ahead_ms < 0 ? "behind" : "ahead");
	c->verdict = llabs(d->clock_ahead_ms) <= VERIFICATION_CLOCK_MOST_MS ? CHECK_PASS
	                                                                    : CHECK_WARN;
	if (c->verdict != CHECK_PASS)
		admission_remedy(c, "if it was right before: virsh domtime --sync %.64s",
		                 in->found->summary.name);
}

void verification_judge(const struct verification_input *in, struct verification *ret)
{
	*ret = (struct verification){ 0 };
	judge_state(in, &ret->checks);
	if (!in->found)
		return;
	judge_identity(in, &ret->checks);
	judge_definition(in, &ret->checks);
	judge_sizes(in, &ret->checks);
	judge_disks(in, &ret->checks);
	judge_interfaces(in, &ret->checks);
	judge_clock(in, ret);
}

void verification_judge_source(const char *node, const struct vm_summary *vm, const char *why,
                               struct check *ret)
{
	struct check_list list = { 0 };
	struct check *c = admission_add(&list, "source");

	admission_required(c, "no guest, no definition and no autostart left on %.64s", node);
	if (why) {
		admission_remedy(c, "look there: virsh list --all");
		admission_not_measured(c, why);
	} else if (!vm) {
		c->verdict = CHECK_PASS;
		admission_measured(c, "none is left");
	} else {
		admission_measured(c, "it is %s there, %s", vm_run_state_name(vm->state),
		                   definition_text(vm->persistent, vm->autostart));
		admission_remedy(c, "it must not be started there: on %.40s: virsh undefine %.64s",
		                 node, vm->name);
	}
	*ret = *c;
}

size_t verification_count_passed(const struct check_list *checks)
{
	size_t n = 0;

	for (size_t i = 0; i < checks->count; i++)
		n += checks->items[i].verdict == CHECK_PASS;
	return n;
}
