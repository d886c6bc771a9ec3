/* SPDX-License-Identifier: Apache-2.0 */
/* See target_images.h. A set is all images of one attempt; it lives until they are removed or given away.
 * At most one errand or one series of records of a set is under way. */
#include "agent/target/target_images.h"

#include "agent/failpoints.h"
#include "common/alloc.h"
#include "common/clock.h"
#include "common/log.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What could not be removed, or may be in use, is looked at again. */
#define AGAIN_MS 5000

struct image_set {
	struct agent *agent;
	struct attempt_name attempt;
	char vm_uuid[VM_UUID_BYTES];
	struct storage_image images[VM_DISKS_MAX];
	size_t n;
	bool ended; /* to be removed */
	bool lived; /* its guest was seen running here: never to be removed, durable or not */
	bool kept;  /* given away; durable once it is freed */
	bool busy;
	bool told;        /* that something is left */
	struct error why; /* it could not be removed when that was last tried */
	uint64_t again_ms;

	/* Records on their way to the journal. */
	size_t n_records;
	int rc;
	struct error error;
	void (*recorded)(struct image_set *set);

	/* Whoever waits. */
	void (*done)(int rc, const struct error *err, void *context);
	void *context;
	struct image_set *next;
};

static struct image_set *find(const struct agent *agent, const struct attempt_name *attempt)
{
	for (struct image_set *s = agent->image_sets; s; s = s->next) {
		if (attempt_name_equal(&s->attempt, attempt))
			return s;
	}
	return NULL;
}

static struct image_set *set_new(struct agent *agent, const struct attempt_name *attempt,
                                 const char *vm_uuid)
{
	struct image_set *s = xnew(struct image_set);

	s->agent = agent;
	s->attempt = *attempt;
	snprintf(s->vm_uuid, sizeof(s->vm_uuid), "%s", vm_uuid);
	s->next = agent->image_sets;
	agent->image_sets = s;
	return s;
}

static void set_forget(struct image_set *set)
{
	for (struct image_set **at = &set->agent->image_sets; *at; at = &(*at)->next) {
		if (*at == set) {
			*at = set->next;
			free(set);
			return;
		}
	}
}

static void answer(struct image_set *set)
{
	void (*done)(int rc, const struct error *err, void *context) = set->done;

	set->done = NULL;
	if (done)
		done(set->rc, &set->error, set->context);
}

/* --- records --- */

static void in_journal(int rc, const struct error *err, void *context)
{
	struct image_set *set = context;

	if (rc < 0 && set->rc == 0) {
		set->rc = rc;
		set->error = *err;
	}
	if (--set->n_records == 0)
		set->recorded(set);
}

/* One record for each image, then @recorded with the worst outcome in rc. */
static void record(struct image_set *set, enum journal_record_kind kind,
                   void (*recorded)(struct image_set *set))
{
	set->rc = 0;
	set->recorded = recorded;
	set->n_records = set->n;
	for (size_t i = 0, n = set->n; i < n; i++) {
		const struct storage_image *image = &set->images[i];
		struct journal_write w = { .kind = kind };

		w.thing.attempt = set->attempt;
		w.thing.kind = JOURNAL_IMAGE;
		memcpy(w.thing.path, image->path, sizeof(w.thing.path));
		memcpy(w.thing.vm_uuid, set->vm_uuid, sizeof(w.thing.vm_uuid));
		w.thing.device = image->device;
		w.thing.inode = image->inode;
		w.thing.birth_ns = image->birth_ns;
		journal_keeper_write(set->agent->journal, &w, in_journal, set);
	}
}

/* --- errands --- */

enum work { WORK_CREATE, WORK_PUBLISH, WORK_REMOVE };

struct image_errand {
	struct errand errand;
	struct agent *agent;
	struct hypervisor *hypervisor;
	enum work what;
	struct attempt_name attempt;
	char vm_uuid[VM_UUID_BYTES];
	struct storage_image images[VM_DISKS_MAX];
	size_t n;
	bool runs; /* WORK_REMOVE: the guest runs here */
	int rc;
	struct error error;
};

/* Only what libvirt certainly does not use: a guest that is not listed, or is not active. */
static int check_unused(struct image_errand *w)
{
	struct vm_summary vm;
	int rc = w->hypervisor->ops->find(w->hypervisor, w->vm_uuid, &vm, &w->error);

	if (rc == -ERROR_NOT_FOUND || (rc == 0 && !vm.active)) {
		error_clear(&w->error);
		return 0;
	}
	if (rc < 0)
		return rc;
	w->runs = vm.state == VM_RUNNING;
	return error_set(&w->error, ERROR_BUSY, "guest %s is %s here", vm.name,
	                 vm_run_state_name(vm.state));
}

static int remove_all(struct image_errand *w)
{
	int worst = check_unused(w);
	struct error err;

	if (worst < 0)
		return worst;
	for (size_t i = 0; i < w->n; i++) {
		int rc = storage_image_remove(&w->images[i], &w->attempt, &err);

		/* Somebody else's file is nothing that is left of us. */
		if (rc == -ERROR_EXISTS) {
			log_warning("%s", err.text);
		} else if (rc < 0) {
			worst = rc;
			w->error = err;
		}
	}
	return worst;
}

static void image_work(struct errand *e)
{
	struct image_errand *w = (struct image_errand *)e;

	switch (w->what) {
	case WORK_CREATE:
		w->rc = FAILPOINT_ERROR(target_before_images_made, &w->error);
		for (size_t i = 0; i < w->n && w->rc == 0; i++)
			w->rc = storage_image_create(&w->images[i], &w->attempt, &w->error);
		FAILPOINT(target_after_images_made);
		break;
	case WORK_PUBLISH:
		for (size_t i = 0; i < w->n && w->rc == 0; i++)
			w->rc = storage_image_publish(&w->images[i], &w->attempt, &w->error);
		FAILPOINT(target_after_images_named);
		break;
	case WORK_REMOVE:
		w->rc = remove_all(w);
		FAILPOINT(target_after_images_removed);
		break;
	}
}

static void work_done(struct errand *e);

static void dispatch(struct image_set *set, enum work what)
{
	struct image_errand *w = xnew(struct image_errand);

	w->errand.work = image_work;
	w->errand.done = work_done;
	w->agent = set->agent;
	w->hypervisor = set->agent->hypervisor;
	w->what = what;
	w->attempt = set->attempt;
	memcpy(w->vm_uuid, set->vm_uuid, sizeof(w->vm_uuid));
	memcpy(w->images, set->images, sizeof(w->images));
	w->n = set->n;
	set->busy = true;
	courier_send(set->agent->couriers, &w->errand);
}

/* --- making --- */

static void made_or_not(struct image_set *set)
{
	set->busy = false;
	answer(set);
}

static void identities_recorded(struct image_set *set)
{
	if (set->rc < 0)
		made_or_not(set);
	else
		dispatch(set, WORK_PUBLISH);
}

static void paths_recorded(struct image_set *set)
{
	FAILPOINT(target_after_images_journaled);
	if (set->rc < 0)
		made_or_not(set);
	else
		dispatch(set, WORK_CREATE);
}

void target_images_make(struct agent *agent, const struct attempt_name *attempt,
                        const char *vm_uuid, const struct storage_image *images, size_t n,
                        void (*done)(int rc, const struct error *err, void *context), void *context)
{
	struct image_set *set = set_new(agent, attempt, vm_uuid);

	memcpy(set->images, images, n * sizeof(*images));
	set->n = n;
	set->done = done;
	set->context = context;
	set->busy = true;
	record(set, JOURNAL_WRITE_MADE, paths_recorded);
}

/* --- removing, and giving away --- */

static void removal_recorded(struct image_set *set)
{
	if (set->rc == 0) {
		set_forget(set);
		return;
	}
	/* Not durable: looked for, and written down, once more. */
	log_error("journal: %s", set->error.text);
	set->busy = false;
	set->again_ms = clock_now_ms() + AGAIN_MS;
}

static void given_away(struct image_set *set)
{
	bool ended = set->ended;

	set->busy = false;
	set->kept = set->rc == 0;
	answer(set);
	if (set->kept)
		set_forget(set);
	else if (ended)
		set->again_ms = clock_now_ms() + AGAIN_MS;
}

void target_images_keep(struct agent *agent, const struct attempt_name *attempt,
                        void (*done)(int rc, const struct error *err, void *context), void *context)
{
	struct image_set *set = find(agent, attempt);
	struct error err;

	if (!set) {
		if (done)
			done(0, NULL, context);
		return;
	}
	if (set->busy) {
		error_set(&err, ERROR_BUSY, "the images of guest %s are being looked at",
		          set->vm_uuid);
		if (done)
			done(-ERROR_BUSY, &err, context);
		return;
	}
	set->busy = true;
	set->done = done;
	set->context = context;
	for (size_t i = 0; i < set->n; i++)
		log_info("%s is the guest's from now on", set->images[i].path);
	record(set, JOURNAL_WRITE_REMOVED, given_away);
}

static void removed(struct image_set *set, const struct image_errand *w)
{
	if (w->rc == 0) {
		for (size_t i = 0; i < set->n; i++)
			log_info("%s, made for a move that did not come here, is removed",
			         set->images[i].path);
		record(set, JOURNAL_WRITE_REMOVED, removal_recorded);
		return;
	}
	set->busy = false;
	set->why = w->error;
	set->again_ms = clock_now_ms() + AGAIN_MS;
	set->lived |= w->runs;
	if (w->runs) {
		target_images_keep(set->agent, &set->attempt, NULL, NULL);
		return;
	}
	if (!set->told)
		log_warning("%s, made for a move that has ended, is not removed yet: %s; by hand, "
		            "if the guest is not here: rm %s",
		            set->images[0].path, w->error.text, set->images[0].path);
	set->told = true;
}

static void work_done(struct errand *e)
{
	struct image_errand *w = (struct image_errand *)e;
	struct image_set *set = find(w->agent, &w->attempt);

	/* Nobody else takes a set that is busy out of the list. */
	if (w->what == WORK_REMOVE) {
		removed(set, w);
		free(w);
		return;
	}
	set->rc = w->rc;
	set->error = w->error;
	if (w->what == WORK_CREATE && w->rc == 0) {
		memcpy(set->images, w->images, sizeof(set->images));
		record(set, JOURNAL_WRITE_MADE, identities_recorded);
	} else {
		/* What was made before the failure is found by its name. */
		made_or_not(set);
	}
	free(w);
}

/* Made by a later attempt under the same name: that one speaks for it. */
static bool is_made_again(const struct image_set *set)
{
	for (const struct image_set *s = set->agent->image_sets; s; s = s->next) {
		for (size_t i = 0; s != set && !s->ended && i < s->n; i++)
			for (size_t n = 0; n < set->n; n++)
				if (strcmp(s->images[i].path, set->images[n].path) == 0)
					return true;
	}
	return false;
}

static void try_removal(struct image_set *set)
{
	if (set->busy || !set->ended || set->agent->stopping || set->agent->safe_mode ||
	    clock_now_ms() < set->again_ms || is_made_again(set))
		return;
	if (set->lived)
		target_images_keep(set->agent, &set->attempt, NULL, NULL);
	else
		dispatch(set, WORK_REMOVE);
}

void target_images_end(struct agent *agent, const struct attempt_name *attempt)
{
	struct image_set *set = find(agent, attempt);

	if (!set)
		return;
	set->ended = true;
	try_removal(set);
}

bool target_images_are_kept(const struct agent *agent, const struct attempt_name *attempt)
{
	return find(agent, attempt) == NULL;
}

bool target_images_find_left(const struct agent *agent, const struct attempt_name *attempt,
                             char *ret_text, size_t bytes)
{
	const struct image_set *set = find(agent, attempt);

	if (!set)
		return false;
	snprintf(ret_text, bytes, "%.200s, made for the move: %.100s", set->images[0].path,
	         set->why.code != ERROR_NONE ? set->why.text
	         : set->ended                ? "about to be removed"
	                                     : "its attempt has not ended here");
	return true;
}

static bool is_garbage(const struct image_set *set, const struct id *operation)
{
	return set->ended && (!operation || id_equal(&set->attempt.operation, operation));
}

size_t target_images_list_ended(const struct agent *agent, const struct id *operation,
                                struct image_leftover *ret, size_t max)
{
	size_t n = 0;

	for (const struct image_set *s = agent->image_sets; s && n < max; s = s->next) {
		if (!is_garbage(s, operation))
			continue;
		ret[n].attempt = s->attempt;
		memcpy(ret[n++].path, s->images[0].path, sizeof(ret->path));
	}
	return n;
}

void target_images_try(struct agent *agent, const struct id *operation)
{
	for (struct image_set *s = agent->image_sets, *next; s; s = next) {
		next = s->next;
		if (is_garbage(s, operation)) {
			s->again_ms = 0;
			try_removal(s);
		}
	}
}

void target_images_guests_listed(struct agent *agent)
{
	if (!agent->inventory.valid)
		return;
	for (struct image_set *s = agent->image_sets, *next; s; s = next) {
		const struct inventory_vm *vm = inventory_find(&agent->inventory, s->vm_uuid);

		next = s->next;
		if (!vm || vm->summary.state != VM_RUNNING)
			continue;
		s->lived = true;
		if (!s->busy)
			target_images_keep(agent, &s->attempt, NULL, NULL);
	}
}

void target_images_tick(struct agent *agent)
{
	for (struct image_set *s = agent->image_sets, *next; s; s = next) {
		next = s->next;
		try_removal(s);
	}
}

void target_images_adopt(struct agent *agent, const struct journal_state *past)
{
	for (size_t i = 0; i < past->n_things; i++) {
		const struct journal_thing *t = &past->things[i];
		struct image_set *set;
		struct storage_image *image;

		if (t->kind != JOURNAL_IMAGE)
			continue;
		set = find(agent, &t->attempt);
		if (!set) {
			set = set_new(agent, &t->attempt, t->vm_uuid);
			/* In safe mode nothing is removed: what is missing in the journal may say
			 * that the guest has them. */
			set->ended = !agent->safe_mode &&
			             !reservations_find(agent->reservations, &t->attempt);
			set->again_ms = clock_now_ms() + AGAIN_MS;
		}
		if (set->n == VM_DISKS_MAX)
			continue;
		image = &set->images[set->n++];
		memcpy(image->path, t->path, sizeof(image->path));
		image->device = t->device;
		image->inode = t->inode;
		image->birth_ns = t->birth_ns;
	}
}

void target_images_stop(struct agent *agent)
{
	for (struct image_set *s = agent->image_sets, *next; s; s = next) {
		next = s->next;
		free(s);
	}
	agent->image_sets = NULL;
}
