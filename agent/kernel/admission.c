/* SPDX-License-Identifier: Apache-2.0 */
/* See admission.h. Pure: what was measured goes in, checks come out, in the order of the header.
 *
 * Each check starts as failed and has to earn its PASS, so a forgotten branch refuses a guest
 * instead of losing it.
 */
#include "agent/kernel/admission.h"

#include "agent/kernel/admission_internal.h"
#include "agent/kernel/reasons.h"
#include "common/alloc.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* limits, guest, memory, hugepages, vcpus, cpu, tsc, machine, version, firmware, graphics, serial, port,
 * slot, bandwidth, latency, guard, conflict/uuid, conflict/name, node, tls. */
#define FIXED_CHECKS 21
static_assert(FIXED_CHECKS + VM_DISKS_MAX + VM_INTERFACES_MAX + 1 <= CHECKS_MAX,
              "every guest within the limits has room for its checks and one blocker");

struct check *admission_add(struct check_list *list, const char *id)
{
	struct check *c;

	assert(list->count < CHECKS_MAX);
	c = &list->items[list->count++];
	memset(c, 0, sizeof(*c));
	c->verdict = CHECK_FAIL;
	snprintf(c->id, sizeof(c->id), "%s", id);
	return c;
}

#define DEFINE_TEXT(function, field)                                 \
	void function(struct check *c, const char *format, ...)      \
	{                                                            \
		va_list args;                                        \
                                                                     \
		va_start(args, format);                              \
		vsnprintf(c->field, sizeof(c->field), format, args); \
		va_end(args);                                        \
	}

DEFINE_TEXT(admission_measured, measured)
DEFINE_TEXT(admission_required, required)
DEFINE_TEXT(admission_remedy, remedy)

void admission_not_measured(struct check *c, const char *why)
{
	c->verdict = CHECK_FAIL;
	admission_measured(c, why[0] ? "not measured: %s" : "not measured%s", why);
	if (!c->remedy[0])
		admission_remedy(
			c, "see this host's agent and libvirtd logs; it is asked again at the "
			   "next try");
}

/* cpu and machine are judged by the hypervisor; what it could not say fails. */
static void take_over(struct check_list *list, const char *id, const struct check *from,
                      const char *why)
{
	struct check *c = admission_add(list, id);

	if (from->verdict == CHECK_UNSPECIFIED || from->verdict > CHECK_BLOCK) {
		snprintf(c->required, sizeof(c->required), "%s", from->required);
		admission_not_measured(c, why);
		return;
	}
	*c = *from;
	snprintf(c->id, sizeof(c->id), "%s", id);
}

static void judge_port(const struct admission_input *in, struct check_list *list)
{
	struct check *c = admission_add(list, "port");
	const struct port_survey *p = &in->port;
	unsigned int pool = p->pool.last - p->pool.first + 1u;

	admission_required(c, "%s free of %u-%u on %s", in->copies_disks ? "two" : "one",
	                   p->pool.first, p->pool.last, p->address);
	if (in->already_reserved) {
		admission_measured(c,
		                   in->reserved_disk_port ? "%u and %u reserved for this attempt"
		                                          : "%u reserved for this attempt",
		                   in->reserved_port, in->reserved_disk_port);
		c->verdict = CHECK_PASS;
		return;
	}
	if (!p->measured) {
		if (p->error.code) {
			admission_measured(c, "%.190s", p->error.text);
			admission_remedy(
				c, "set migration/address of this agent to the address of its "
				   "migration interface");
		} else {
			admission_not_measured(c, "");
		}
		return;
	}
	if (in->copies_disks ? p->second_free_port : p->free_port) {
		admission_measured(c, "%u free; %u of %u free, %u leased", p->free_port, p->n_free,
		                   pool, p->n_leased);
		c->verdict = CHECK_PASS;
		return;
	}
	if (p->first_taken.taken) {
		ports_explain(&p->first_taken, c->measured, sizeof(c->measured));
		ports_explain_remedy(&p->first_taken, &p->pool, c->remedy, sizeof(c->remedy));
		return;
	}
	if (p->free_port)
		admission_measured(c, "%u alone is free of %u, %u leased", p->free_port, pool,
		                   p->n_leased);
	else
		admission_measured(c, "all %u leased to other migrations", pool);
	admission_remedy(c, "%swait for another migration, or widen the port pool of this agent",
	                 in->copies_disks ? "memory and disks take one each: " : "");
}

static void judge_conflicts(const struct admission_input *in, struct check_list *list)
{
	const struct conflict_finding *f = &in->conflict;
	struct check *c = admission_add(list, "conflict/uuid");

	admission_required(c, "no guest %s here", in->vm->summary.uuid);
	if (!f->measured) {
		admission_not_measured(c, f->why);
	} else if (f->uuid_active && in->already_reserved) {
		admission_measured(c, "arriving here by this attempt");
		c->verdict = CHECK_PASS;
	} else if (f->uuid_active) {
		admission_measured(c, "a guest with this UUID is active here: maybe a second copy");
		admission_remedy(
			c,
			"find out which of the two is the right one before anything else: virsh "
			"domstate %s on both hosts",
			in->vm->summary.uuid);
	} else if (f->uuid_inactive) {
		admission_measured(c, "a shut-off definition of it is here%s",
		                   f->uuid_autostart ? ", which this host starts when it boots"
		                                     : "");
		c->verdict = CHECK_WARN;
		admission_remedy(c,
		                 f->uuid_autostart
		                         ? "the move replaces it and leaves its autostart on; "
		                           "lest a boot of this host starts a second copy before: "
		                           "virsh autostart --disable"
		                         : "nothing is to be done: the move replaces it");
	} else {
		admission_measured(c, "none");
		c->verdict = CHECK_PASS;
	}

	c = admission_add(list, "conflict/name");
	admission_required(c, "no other guest of this name here");
	if (!f->measured) {
		admission_not_measured(c, f->why);
	} else if (f->name_taken) {
		admission_measured(c, "the name belongs to guest %s here", f->name_uuid);
		admission_remedy(c, "rename one of them (virsh domrename, while shut off)");
	} else {
		admission_measured(c, "none");
		c->verdict = CHECK_PASS;
	}
}

static void judge_node(const struct admission_input *in, struct check_list *list)
{
	struct check *c = admission_add(list, "node");
	const char *because = in->node_reason ? in->node_reason : "";

	admission_required(c, "a node that takes guests");
	if (strcmp(in->node, in->source_node) == 0) {
		admission_measured(c, "%.60s is where the guest is", in->node);
		admission_remedy(c, "choose another destination");
	} else if (in->draining) {
		admission_measured(c, "%.60s is draining%s%.90s", in->node, because[0] ? ": " : "",
		                   because);
		admission_remedy(c, "drover undrain %.60s, or choose another node", in->node);
	} else if (in->maintenance) {
		admission_measured(c, "%.60s is in maintenance%s%.90s", in->node,
		                   because[0] ? ": " : "", because);
		admission_remedy(c, "drover undrain %.60s, or choose another node", in->node);
	} else if (in->cordoned) {
		admission_measured(c, "%.60s is cordoned%s%.90s", in->node, because[0] ? ": " : "",
		                   because);
		admission_remedy(c, "drover uncordon %.60s, or choose another node", in->node);
	} else if (!in->incoming_allowed) {
		admission_measured(c, "the agent of %.60s only observes%s%.90s", in->node,
		                   because[0] ? ": " : "", because);
		admission_remedy(c, "see its log for what it waits for");
	} else {
		admission_measured(c, "%.60s takes guests", in->node);
		c->verdict = CHECK_PASS;
	}
}

static void judge_tls(const struct admission_input *in, struct check_list *list)
{
	struct check *c = admission_add(list, "tls");

	if (!in->tls_required) {
		admission_measured(c,
		                   "not asked for: RAM crosses the migration network unencrypted");
		c->verdict = CHECK_PASS;
		return;
	}
	admission_required(c, "certificates for QEMU's migration TLS");
	if (in->tls_ready) {
		admission_measured(c, "present and valid");
		c->verdict = CHECK_PASS;
		return;
	}
	admission_measured(c, "%s", in->tls_problem);
	admission_remedy(
		c, "have good ca-cert, server-cert, server-key, client-cert and client-key of one "
		   "authority on both hosts, where qemu.conf's migrate_tls_x509_cert_dir points "
		   "(drover join does; drover pki status); a libvirtd that does not know the "
		   "directory is restarted: guests go on");
}

/* What the source found in the guest itself. The last place tells how many found none. */
static void pass_through(const struct check_list *blockers, struct check_list *list)
{
	size_t room = CHECKS_MAX - list->count;
	size_t shown = blockers->count <= room ? blockers->count : room - 1;
	struct check *c;

	assert(blockers->count <= CHECKS_MAX);
	for (size_t i = 0; i < shown; i++) {
		list->items[list->count] = blockers->items[i];
		/* It is in this list because it blocks; a peer does not get to call it passed. */
		if (list->items[list->count].verdict == CHECK_UNSPECIFIED)
			list->items[list->count].verdict = CHECK_BLOCK;
		list->count++;
	}
	if (shown == blockers->count)
		return;
	c = admission_add(list, "blockers");
	c->verdict = CHECK_BLOCK;
	admission_measured(c, "%zu more, the first is %s", blockers->count - shown,
	                   blockers->items[shown].id);
	admission_remedy(c, "ask the source: drover explain");
}

/* What refuses has KubeVirt's word for it, where there is one. */
static void give_reason(struct check *c)
{
	if (c->verdict >= CHECK_FAIL && !c->reason[0])
		snprintf(c->reason, sizeof(c->reason), "%s", reason_word(reason_of_check(c->id)));
}

void admission_judge(const struct admission_input *in, struct check_list *ret)
{
	ret->count = 0;
	admission_judge_limits(in, ret);
	admission_judge_guest(in, ret);
	admission_judge_memory(in, ret);
	admission_judge_hugepages(in, ret);
	admission_judge_vcpus(in, ret);
	take_over(ret, "cpu", &in->cpu, in->cpu_why);
	admission_judge_tsc(in, ret);
	take_over(ret, "machine", &in->machine, in->cpu_why);
	admission_judge_version(in, ret);
	admission_judge_firmware(in, ret);
	admission_judge_places(in, ret);
	judge_port(in, ret);
	admission_judge_slot(in, ret);
	admission_judge_bandwidth(in, ret);
	admission_judge_latency(in, ret);
	admission_judge_disks(in, ret);
	admission_judge_networks(in, ret);
	take_over(ret, "guard", &in->guard_check, "");
	if (in->guard == GUARD_NONE &&
	    !(in->guard_waived && in->guard_check.verdict == CHECK_WARN) &&
	    in->guard_check.verdict < CHECK_FAIL)
		ret->items[ret->count - 1].verdict = CHECK_FAIL;
	judge_conflicts(in, ret);
	judge_node(in, ret);
	judge_tls(in, ret);
	admission_judge_postcopy(in, ret);
	for (size_t i = 0; i < ret->count; i++)
		give_reason(&ret->items[i]);
	pass_through(&in->vm->blockers, ret);
}

bool admission_passes(const struct check_list *checks)
{
	for (size_t i = 0; i < checks->count; i++)
		if (checks->items[i].verdict != CHECK_PASS &&
		    checks->items[i].verdict != CHECK_WARN)
			return false;
	return checks->count > 0;
}
