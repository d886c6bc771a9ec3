/* SPDX-License-Identifier: Apache-2.0 */
/* Of a document what is no fact of a host: what people want (limits, settings, labels, policies, a guest's
 * next migration), and what the coordinator has learned (what was refused, how fast hosts sent, what
 * predictions were worth). All of it is checked before any of it counts. */
#include "tools/simulator/world.h"

#include "common/alloc.h"
#include "coordinator/core/move/refusals.h"
#include "coordinator/core/policy/policy.h"
#include "coordinator/core/recall.h"
#include "proto/transfer_message.h"

#include <ctype.h>
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* --- limits and settings --- */

static void read_caps(struct world *w, const Drover__V1__FleetLimits *limits)
{
	const struct caps *asked = &w->options.caps;

	w->core.caps = *asked;
	if (!limits)
		return;
	w->core.caps.cluster = asked->cluster ? asked->cluster : limits->cluster;
	w->core.caps.outbound = asked->outbound ? asked->outbound : limits->outbound;
	w->core.caps.inbound = asked->inbound ? asked->inbound : limits->inbound;
	w->core.caps.preparing = w->options.preparing_given ? asked->preparing : limits->preparing;
}

static int read_settings(struct world *w, const Drover__V1__FleetState *state, struct error *err)
{
	const Drover__V1__MigrationSettings *from = state->settings;
	struct migration_settings *s = &w->core.settings;

	/* Documents of format 1 do not say; it is what coordinators do unless they are told otherwise. */
	s->shortest_first = !w->options.fair;
	if (!from)
		return 0;
	if (from->ladder < 0 || (unsigned)from->ladder >= LADDERS)
		return error_set(err, ERROR_INVALID,
		                 "settings.ladder: %d is no ladder that is known here",
		                 (int)from->ladder);
	if (transfer_message_read(from->transfer, &s->transfer, err) < 0)
		return error_context(err, "settings.transfer");
	s->bandwidth_bytes_per_s = from->bandwidth_bytes_per_s;
	s->max_downtime_ms = from->max_downtime_ms;
	s->completion_timeout_ms_per_gib = from->completion_timeout_ms_per_gib;
	s->progress_timeout_ms = from->progress_timeout_ms;
	s->tls = from->tls;
	s->no_guard = from->no_guard;
	s->unsafe = from->unsafe;
	s->copy_disks = from->copy_disks;
	s->stop_off_network = from->stop_off_network;
	if (state->format > 1)
		s->shortest_first = from->shortest_first && !w->options.fair;
	s->strategy.ladder = (enum ladder_name)from->ladder;
	s->strategy.allow_auto_converge = from->allow_auto_converge;
	s->strategy.allow_post_copy = from->allow_post_copy;
	s->strategy.allow_disruption = from->allow_workload_disruption;
	return 0;
}

/* --- a node's --- */

static int check_labels(char *const *labels, size_t count, const char *what, struct error *err)
{
	for (size_t i = 0; i < count; i++) {
		if (label_check(labels[i], err) < 0)
			return error_context(err, "%s[%zu]", what, i);
	}
	return 0;
}

static int check_denials(const Drover__V1__Node *from, struct error *err)
{
	for (size_t i = 0; i < from->n_denials; i++) {
		const Drover__V1__Denial *d = from->denials[i];

		if (!d->check || !d->check->id[0])
			return error_set(
				err, ERROR_INVALID,
				"denials[%zu].check is missing: what was refused is not known", i);
		if (!d->digest || d->digest > DIGEST_MAX)
			return error_set(err, ERROR_INVALID,
			                 "denials[%zu].digest is %" PRIu64 ", which no guest has",
			                 i, d->digest);
	}
	return 0;
}

int intent_read_node(const Drover__V1__Node *from, struct node_record *record, struct error *err)
{
	bool changed;

	if (check_labels(from->host->labels, from->host->n_labels, "host.labels", err) < 0 ||
	    check_labels(from->given_labels, from->n_given_labels, "given_labels", err) < 0 ||
	    check_denials(from, err) < 0)
		return -(int)err->code;
	for (size_t i = 0; i < from->n_given_labels; i++) {
		if (labels_change(record->labels, from->given_labels[i], &changed, err) < 0)
			return error_context(err, "given_labels[%zu]", i);
	}
	return 0;
}

/* --- guests' --- */

static int read_guest(struct world *w, size_t i, struct error *err)
{
	const Drover__V1__Vm *from = w->document->vms[i];
	struct vm_record *kept = &w->kept[w->n_kept];

	for (size_t r = 0; r < from->n_refusals; r++) {
		if (world_find_host(w, from->refusals[r]->node) == NOWHERE)
			return error_set(
				err, ERROR_INVALID,
				"vms[%zu].refusals[%zu].node: %.64s is not among the nodes", i, r,
				from->refusals[r]->node);
	}
	if (from->copies[0] && strcmp(from->copies, "none") != 0 &&
	    strcmp(from->copies, "some") != 0)
		return error_set(err, ERROR_INVALID,
		                 "vms[%zu].copies is \"none\", \"some\" or empty, not \"%.40s\"", i,
		                 from->copies);
	if (!from->next)
		return 0;
	text_copy(kept->uuid, sizeof(kept->uuid), from->uuid);
	text_copy(kept->name, sizeof(kept->name), from->name);
	kept->bandwidth_given = from->next->bandwidth_given;
	kept->bandwidth_bytes_per_s = from->next->bandwidth_bytes_per_s;
	kept->max_downtime_given = from->next->max_downtime_given;
	kept->max_downtime_ms = from->next->max_downtime_ms;
	text_copy(kept->by, sizeof(kept->by), from->next->by);
	w->n_kept++;
	return 0;
}

/* --- policies --- */

static int check_name(const char *name, struct error *err)
{
	bool good = isalnum((unsigned char)name[0]) && strlen(name) < POLICY_NAME_BYTES;

	for (size_t i = 0; good && name[i]; i++)
		good = isalnum((unsigned char)name[i]) || strchr("-_.", name[i]);
	return good ? 0
	            : error_set(err, ERROR_INVALID, "name: \"%.60s\" is no name for a policy",
	                        name);
}

static int read_members(const Drover__V1__Policy *from, struct policy_record *to, struct error *err)
{
	size_t least = to->kind == POLICY_ON ? 1 : 2;

	for (size_t i = 0; i < from->n_vms; i++) {
		if (strlen(from->vms[i]->uuid) != VM_UUID_BYTES - 1)
			return error_set(err, ERROR_INVALID,
			                 "vms[%zu].uuid: \"%.64s\" is not a UUID", i,
			                 from->vms[i]->uuid);
		if (names_contain(&to->vms, from->vms[i]->uuid))
			return error_set(err, ERROR_INVALID, "vms[%zu].uuid: %.40s is there twice",
			                 i, from->vms[i]->uuid);
		names_add(&to->vms, from->vms[i]->uuid);
		names_add(&to->vm_names, from->vms[i]->name);
	}
	return to->vms.count >= least
	               ? 0
	               : error_set(err, ERROR_INVALID, "vms: a policy \"%s\" has at least %zu",
	                           from->kind, least);
}

static int read_where(const struct world *w, const Drover__V1__Policy *from,
                      struct policy_record *to, struct error *err)
{
	bool named = from->n_nodes || from->selector[0];

	if (to->kind != POLICY_ON)
		return named ? error_set(err, ERROR_INVALID,
		                         "nodes, selector: only a policy \"on\" names hosts")
		             : 0;
	if (!from->n_nodes == !from->selector[0])
		return error_set(err, ERROR_INVALID,
		                 "a policy \"on\" has either nodes or a selector");
	for (size_t i = 0; i < from->n_nodes; i++) {
		if (world_find_host(w, from->nodes[i]) == NOWHERE)
			return error_set(err, ERROR_INVALID,
			                 "nodes[%zu]: %.64s is not among the nodes of the document",
			                 i, from->nodes[i]);
		names_add(&to->nodes, from->nodes[i]);
	}
	if (!from->selector[0])
		return 0;
	if (strlen(from->selector) >= sizeof(to->selector) ||
	    selector_check(from->selector, err) < 0)
		return error_set(err, ERROR_INVALID, "selector: \"%.100s\" selects by no labels",
		                 from->selector);
	text_copy(to->selector, sizeof(to->selector), from->selector);
	return 0;
}

static int read_policy(struct world *w, const Drover__V1__Policy *from, struct policy_record *to,
                       struct error *err)
{
	if (check_name(from->name, err) < 0)
		return -(int)err->code;
	to->kind = policy_kind_parse(from->kind);
	if (to->kind == POLICY_KINDS)
		return error_set(err, ERROR_INVALID,
		                 "kind is \"apart\", \"together\" or \"on\", not \"%.40s\"",
		                 from->kind);
	text_copy(to->name, sizeof(to->name), from->name);
	text_copy(to->by, sizeof(to->by), from->by);
	to->soft = from->soft;
	to->wall_ms = from->wall_ms;
	to->violated_wall_ms = from->violated_wall_ms;
	if (read_members(from, to, err) < 0 || read_where(w, from, to, err) < 0)
		return -(int)err->code;
	return 0;
}

static int compare_policies(const void *a, const void *b)
{
	const struct policy_record *x = a, *y = b;

	return strcmp(x->name, y->name);
}

static int read_policies(struct world *w, struct error *err)
{
	const Drover__V1__FleetState *state = w->document;

	w->policies = xcalloc(state->n_policies + 1, sizeof(*w->policies));
	for (size_t i = 0; i < state->n_policies; i++) {
		/* Counted at once: what is half read is given back, too. */
		if (read_policy(w, state->policies[i], &w->policies[w->n_policies++], err) < 0)
			return error_context(err, "policies[%zu] (%.60s)", i,
			                     state->policies[i]->name);
	}
	qsort(w->policies, w->n_policies, sizeof(*w->policies), compare_policies);
	for (size_t i = 1; i < w->n_policies; i++) {
		if (compare_policies(&w->policies[i - 1], &w->policies[i]) == 0)
			return error_set(err, ERROR_INVALID, "policies: %.60s is there twice",
			                 w->policies[i].name);
	}
	return 0;
}

/* --- experience --- */

static int check_experience(const Drover__V1__FleetState *state, struct error *err)
{
	for (size_t i = 0; i < state->n_experience; i++) {
		const Drover__V1__Experience *e = state->experience[i];
		const double sums[] = { e->w, e->x, e->y, e->xx, e->xy, e->squares, e->squares_w };

		for (size_t k = 0; k < ARRAY_SIZE(sums); k++) {
			if (!isfinite(sums[k]) || sums[k] < 0)
				return error_set(
					err, ERROR_INVALID,
					"experience[%zu] (%.64s to %.64s): a sum is %g, and none "
					"is below 0",
					i, e->source, e->target, sums[k]);
		}
		if (strlen(e->source) >= NODE_NAME_BYTES || strlen(e->target) >= NODE_NAME_BYTES ||
		    !e->source[0] != !e->target[0])
			return error_set(err, ERROR_INVALID,
			                 "experience[%zu] has a source and a target, or neither",
			                 i);
	}
	return 0;
}

int intent_read(struct world *w, const Drover__V1__FleetState *state, struct error *err)
{
	w->document = state;
	text_copy(w->core.cluster, sizeof(w->core.cluster), state->cluster);
	read_caps(w, state->limits);
	if (read_settings(w, state, err) < 0 || check_experience(state, err) < 0)
		return -(int)err->code;
	w->kept = xcalloc(state->n_vms + 1, sizeof(*w->kept));
	for (size_t i = 0; i < state->n_vms; i++) {
		if (read_guest(w, i, err) < 0)
			return -(int)err->code;
	}
	return read_policies(w, err);
}

/* --- what was learned --- */

static void read_check(const Drover__V1__Check *from, struct check *to)
{
	*to = (struct check){ .verdict = CHECK_FAIL };
	text_copy(to->id, sizeof(to->id), from->id);
	text_copy(to->measured, sizeof(to->measured), from->measured);
	text_copy(to->required, sizeof(to->required), from->required);
	text_copy(to->remedy, sizeof(to->remedy), from->remedy);
}

static void recall_node(struct world *w, const Drover__V1__Node *from)
{
	struct node *node = fleet_find_node(w->fleet, from->name);

	if (!node)
		return;
	node->measured_bytes_per_s = from->measured_bytes_per_s;
	for (size_t i = 0; i < from->n_denials; i++) {
		struct recalled_denial denial = { .digest = from->denials[i]->digest,
			                          .left_ms = from->denials[i]->left_ms };

		/* An older export names no home, and nobody knows whose guests it speaks for. The
		 * model's hosts say it again when they are asked (intent_find_denial). */
		if (!from->denials[i]->home[0])
			continue;
		text_copy(denial.home, sizeof(denial.home), from->denials[i]->home);
		read_check(from->denials[i]->check, &denial.check);
		recall_denial(node, &denial, w->now_ms);
	}
}

static void recall_answer(struct world *w, struct vm *vm, const Drover__V1__Refusal *from)
{
	const struct node *node = fleet_find_node(w->fleet, from->node);
	struct checks checks = { 0 };
	struct recalled_refusal refusal = { .why = from->why,
		                            .fault = from->fault,
		                            .left_ms = from->left_ms,
		                            .known_ms = from->known_ms,
		                            .checks = from->lasting ? &checks : NULL };

	for (size_t i = 0; i < from->n_checks; i++) {
		struct check check;

		read_check(from->checks[i], &check);
		if ((enum check_verdict)from->checks[i]->verdict >= CHECK_FAIL)
			checks_add(&checks, &check);
	}
	if (node)
		recall_refusal(vm, node, &refusal, w->now_ms);
	checks_deinit(&checks);
}

static void recall_guest(struct world *w, const Drover__V1__Vm *from)
{
	struct vm *vm = fleet_find_vm(w->fleet, from->uuid);

	if (!vm)
		return;
	if (from->copies[0])
		vm->copies = strcmp(from->copies, "none") == 0 ? COPIES_NONE : COPIES_SOME;
	for (size_t i = 0; i < from->n_refusals; i++)
		recall_answer(w, vm, from->refusals[i]);
}

void intent_recall(struct world *w)
{
	const Drover__V1__FleetState *state = w->document;

	for (size_t i = 0; i < state->n_nodes; i++)
		recall_node(w, state->nodes[i]);
	for (size_t i = 0; i < state->n_vms; i++)
		recall_guest(w, state->vms[i]);
	for (size_t i = 0; i < state->n_experience; i++) {
		const Drover__V1__Experience *e = state->experience[i];
		struct recalled_experience to = { .sums = { .w = e->w,
			                                    .x = e->x,
			                                    .y = e->y,
			                                    .xx = e->xx,
			                                    .xy = e->xy,
			                                    .squares = e->squares,
			                                    .squares_w = e->squares_w,
			                                    .count = e->count } };

		text_copy(to.source, sizeof(to.source), e->source);
		text_copy(to.target, sizeof(to.target), e->target);
		recall_experience(w->fleet, &to);
	}
}

const Drover__V1__Denial *intent_find_denial(const struct world *w, size_t guest, size_t host)
{
	const Drover__V1__Node *node = w->hosts[host].document;
	const struct guest_needs *needs = &w->guests[guest].facts.needs;

	for (size_t i = 0; needs->known && node && i < node->n_denials; i++) {
		if (node->denials[i]->digest == needs->digest)
			return node->denials[i];
	}
	return NULL;
}

/* The check for which it would not be told otherwise: not one that passes by itself, nor a disk if disks are
 * copied now and it had room for the copy. */
const Drover__V1__Check *intent_find_refusal(const struct world *w, size_t guest, size_t host,
                                             bool copy_disks)
{
	const Drover__V1__Vm *vm = w->guests[guest].document;

	for (size_t i = 0; vm && i < vm->n_refusals; i++) {
		const Drover__V1__Refusal *r = vm->refusals[i];

		if (!r->lasting || strcmp(r->node, w->hosts[host].name) != 0)
			continue;
		for (size_t k = 0; k < r->n_checks; k++) {
			struct check check;
			struct checks one = { .items = &check, .count = 1 };

			read_check(r->checks[k], &check);
			if ((enum check_verdict)r->checks[k]->verdict >= CHECK_FAIL &&
			    refusals_are_lasting(&one) &&
			    !(copy_disks && refusals_offer_copy(&check)))
				return r->checks[k];
		}
	}
	return NULL;
}
