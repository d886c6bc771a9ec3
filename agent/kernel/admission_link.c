/* SPDX-License-Identifier: Apache-2.0 */
/* Admission on the way in: a slot, a share of the migration link, and the way between the two hosts.
 * Pure.
 *
 * Promises to all sources share this host's end alone: they are taken off what comes in here, never off
 * the way from one source, which others do not use.
 *
 * A share is a promise in the books, not a shaper: nobody is slowed down to it. It is what the move may
 * use at most (its limit), or an equal part of the link for each slot; and it must not be less than
 * the minimum, so that no admitted guest crawls because the link was promised away. The eBPF counters
 * say what others use now.
 *
 * What the path carries was measured, by migrations or by a probe, or it is not known. Then the link's
 * speed stands in: an administrator's word is taken, a device's is not relied upon. Nothing is refused
 * for a figure that is not believed (common/path.h): that is a warning, with the reason.
 */
#include "agent/kernel/admission_internal.h"
#include "common/units.h"

#include <stdio.h>
#include <string.h>

static uint64_t subtract(uint64_t from, uint64_t amount)
{
	return from > amount ? from - amount : 0;
}

static uint64_t lesser(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

void admission_judge_slot(const struct admission_input *in, struct check_list *list)
{
	struct check *c = admission_add(list, "slot");
	const struct lease_totals *l = &in->leases;

	admission_required(c, "one of %u inbound slots free", l->slots);
	if (in->already_reserved) {
		admission_measured(c, "one is reserved for this attempt");
		c->verdict = CHECK_PASS;
		return;
	}
	if (!l->slots) {
		admission_not_measured(c, "");
		return;
	}
	if (l->taken < l->slots) {
		admission_measured(c, "%u of %u taken%s%s", l->taken, l->slots,
		                   l->taken ? ": " : "", l->holders);
		c->verdict = CHECK_PASS;
		return;
	}
	admission_measured(c, "%u of %u taken: %s", l->taken, l->slots, l->holders);
	admission_remedy(c,
	                 "wait for one of them, or raise migration/parallelInbound of this agent");
}

static bool path_is_known(const struct link_finding *l)
{
	return l->path.method > PATH_LINK_SPEED;
}

/* What a move could have at most. */
static uint64_t capacity(const struct link_finding *l)
{
	return path_is_known(l) ? l->path.capacity_bytes_per_s : l->link_bytes_per_s;
}

/* What this host can receive at all, by what is known here: nothing that a source claims. 0 = unknown. */
static uint64_t receivable(const struct link_finding *l)
{
	return l->link_bytes_per_s ? l->link_bytes_per_s : l->received_bytes_per_s;
}

/* What others receive here now. Counters that do not tell moves apart have the promised ones inside. */
static uint64_t others_here(const struct admission_input *in)
{
	const struct link_finding *l = &in->link;

	return l->classified ? l->other_bytes_per_s
	                     : subtract(l->other_bytes_per_s, in->leases.promised_bytes_per_s);
}

/* Of a measured way, for one more move: what the way has, and nothing off for what was promised to other
 * sources, which do not send over it. */
static uint64_t free_on_path(const struct link_finding *l)
{
	return path_usable(l->path.available_bytes_per_s, l->path.capacity_bytes_per_s, 0);
}

/* What all sources share is this end. */
static uint64_t free_here(const struct admission_input *in)
{
	uint64_t all = receivable(&in->link);

	return path_usable(subtract(all, others_here(in)), path_is_known(&in->link) ? all : 0,
	                   in->leases.promised_bytes_per_s);
}

static bool path_is_narrower(const struct admission_input *in)
{
	return path_is_known(&in->link) &&
	       (!receivable(&in->link) || free_on_path(&in->link) <= free_here(in));
}

/* What is left for one more move. */
static uint64_t free_rate(const struct admission_input *in)
{
	return path_is_narrower(in) ? free_on_path(&in->link) : free_here(in);
}

static uint64_t wanted_rate(const struct admission_input *in)
{
	const struct link_finding *l = &in->link;

	if (l->limit_bytes_per_s)
		return lesser(l->limit_bytes_per_s, capacity(l));
	return capacity(l) / (in->leases.slots ? in->leases.slots : 1);
}

uint64_t admission_bandwidth_share(const struct admission_input *in)
{
	uint64_t share = in->link.limit_bytes_per_s, all = receivable(&in->link);

	if (capacity(&in->link))
		share = lesser(wanted_rate(in), free_rate(in));
	/* A source's claims take nothing from others that is not there. */
	return all ? lesser(share, all) : share;
}

/* "probe 12 s ago, 90 % sure" */
static void format_origin(const struct path_estimate *e, char *to, size_t bytes)
{
	char age[UNITS_TEXT_BYTES];

	snprintf(to, bytes, "%s %s ago, %u %% sure", path_method_name(e->method),
	         units_format_duration(e->age_ms, age), e->confidence_percent);
}

static void say_path(const struct admission_input *in, struct check *c)
{
	const struct path_estimate *e = &in->link.path;
	char room[UNITS_TEXT_BYTES], all[UNITS_TEXT_BYTES], others[UNITS_TEXT_BYTES];
	char origin[80];

	format_origin(e, origin, sizeof(origin));
	admission_measured(
		c, "%s free from %.40s: %s path (%s) - %s other traffic - %d %% reserve",
		units_format_rate(free_on_path(&in->link), room), in->source_node,
		units_format_rate(e->capacity_bytes_per_s, all), origin,
		units_format_rate(subtract(e->capacity_bytes_per_s, e->available_bytes_per_s),
	                          others),
		PATH_RESERVE_PERCENT);
}

static void say_here(const struct admission_input *in, struct check *c)
{
	char room[UNITS_TEXT_BYTES], all[UNITS_TEXT_BYTES], others[UNITS_TEXT_BYTES];
	char promised[UNITS_TEXT_BYTES];

	admission_measured(
		c, "%s free here: %s %s - %s other traffic - %d %% reserve - %s promised to %u",
		units_format_rate(free_here(in), room),
		units_format_rate(receivable(&in->link), all),
		in->link.link_bytes_per_s ? "link" : "received in a probe",
		units_format_rate(others_here(in), others), PATH_RESERVE_PERCENT,
		units_format_rate(in->leases.promised_bytes_per_s, promised), in->leases.taken);
}

/* The path was measured: what it carries, less what is there already; and what this end has left. */
static void judge_path(const struct admission_input *in, uint64_t required, struct check *c)
{
	const struct path_estimate *e = &in->link.path;

	if (path_is_narrower(in))
		say_path(in, c);
	else
		say_here(in, c);
	c->verdict = CHECK_PASS;
	if (free_rate(in) >= required)
		return;
	if (e->confidence_percent >= PATH_BELIEVED_PERCENT) {
		c->verdict = CHECK_FAIL;
		admission_remedy(c, "wait until the path is less busy, or lower "
		                    "migration/minBandwidth of this agent");
		return;
	}
	c->verdict = CHECK_WARN;
	admission_remedy(c,
	                 "nothing is refused for a figure that is less than %d %% sure (%s): "
	                 "drover probe %.40s %.40s",
	                 PATH_BELIEVED_PERCENT, e->why, in->source_node, in->node);
}

void admission_judge_bandwidth(const struct admission_input *in, struct check_list *list)
{
	struct check *c = admission_add(list, "bandwidth");
	const struct link_finding *l = &in->link;
	char link[UNITS_TEXT_BYTES], room[UNITS_TEXT_BYTES], others[UNITS_TEXT_BYTES];
	char promised[UNITS_TEXT_BYTES], least[UNITS_TEXT_BYTES];
	uint64_t required = l->minimum_bytes_per_s;

	if (l->limit_bytes_per_s)
		required = lesser(required, l->limit_bytes_per_s);
	admission_required(c, "%s%s", units_format_rate(required, least),
	                   required == l->minimum_bytes_per_s ? ", migration/minBandwidth here"
	                                                      : ", the move's own limit");
	if (in->already_reserved) {
		admission_measured(c, "%s reserved for this attempt",
		                   units_format_rate(in->reserved_bytes_per_s, promised));
		c->verdict = CHECK_PASS;
		return;
	}
	if (path_is_known(l)) {
		judge_path(in, required, c);
		return;
	}
	if (!l->link_bytes_per_s) {
		admission_measured(c, "what the migration link carries is unknown; %s promised%s%s",
		                   units_format_rate(in->leases.promised_bytes_per_s, promised),
		                   l->path.why[0] ? "; " : "", l->path.why);
		c->verdict = CHECK_WARN;
		admission_remedy(c,
		                 "see what it carries: drover probe %.40s %.40s; or set "
		                 "migration/link of this agent, for example 10Gbit/s",
		                 in->source_node, in->node);
		return;
	}
	admission_measured(c, "%s free: %s link - %s other traffic%s - %s promised to %u",
	                   units_format_rate(free_rate(in), room),
	                   units_format_rate(l->link_bytes_per_s, link),
	                   units_format_rate(l->other_bytes_per_s, others),
	                   !l->measured    ? " (not measured)"
	                   : l->classified ? ""
	                                   : " (with migrations)",
	                   units_format_rate(in->leases.promised_bytes_per_s, promised),
	                   in->leases.taken);
	if (free_rate(in) < required) {
		admission_remedy(c, "wait until the link is less busy, or lower "
		                    "migration/minBandwidth of this agent");
		return;
	}
	c->verdict = CHECK_PASS;
	if (!l->measured) {
		c->verdict = CHECK_WARN;
		admission_remedy(c,
		                 "see this agent's log for why the link's traffic is not counted");
	} else if (l->is_claimed) {
		c->verdict = CHECK_WARN;
		admission_remedy(
			c,
			"that is the device's own word%s%s: see what the path carries with "
			"drover probe %.40s %.40s, or set migration/link of this agent",
			l->path.why[0] ? "; " : "", l->path.why, in->source_node, in->node);
	}
}

static void format_round_trip(uint64_t us, char *to, size_t bytes)
{
	snprintf(to, bytes, "%llu.%llu ms", (unsigned long long)us / 1000,
	         (unsigned long long)us % 1000 / 100);
}

void admission_judge_latency(const struct admission_input *in, struct check_list *list)
{
	struct check *c = admission_add(list, "latency");
	const struct round_trip *r = &in->round_trip;
	char smallest[32], median[32];

	admission_required(c, "a round trip of at most %llu ms on the migration network",
	                   (unsigned long long)in->round_trip_limit_ms);
	switch (r->outcome) {
	case ROUND_TRIP_NOT_MEASURED:
		admission_not_measured(c, r->why);
		return;
	case ROUND_TRIP_UNREACHABLE:
		admission_measured(c, "the migration network does not reach %.40s: %.90s",
		                   r->address, r->why);
		admission_remedy(
			c, "look at migration/interface on both hosts: ip link, ip neigh, and "
			   "the switch between them");
		return;
	case ROUND_TRIP_NO_ANSWER:
		admission_measured(c, "unknown: %.40s answers nothing, as behind a firewall",
		                   r->address);
		c->verdict = CHECK_WARN;
		admission_remedy(c,
		                 "let TCP port %d answer with a reset on the migration network, or "
		                 "measure by hand: ping",
		                 ROUND_TRIP_PORT);
		return;
	case ROUND_TRIP_MEASURED:
		break;
	}
	format_round_trip(r->smallest_us, smallest, sizeof(smallest));
	format_round_trip(r->median_us, median, sizeof(median));
	admission_measured(c, "%s to %.40s, median %s of %u", smallest, r->address, median,
	                   r->n_answers);
	if (!in->round_trip_limit_ms || r->smallest_us <= in->round_trip_limit_ms * 1000) {
		c->verdict = CHECK_PASS;
		return;
	}
	admission_remedy(c, "find what delays the migration network, or raise "
	                    "migration/maxRoundTrip of this agent");
	/* Our own moves fill the queue: that passes. */
	if (in->leases.taken)
		c->verdict = CHECK_WARN;
}
