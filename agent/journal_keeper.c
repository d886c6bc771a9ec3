/* SPDX-License-Identifier: Apache-2.0 */
/* See journal_keeper.h. The journal and its fold belong to the one courier of this pool. */
#include "agent/journal_keeper.h"

#include "common/alloc.h"
#include "common/courier.h"
#include "common/log.h"

#include <stdlib.h>
#include <string.h>

/* A disk that is full for a day of moves. */
#define OWED_MAX 1024

struct journal_keeper {
	struct courier_pool *courier; /* one thread, so one write at a time, in order */
	struct journal *journal;      /* courier's */
	struct journal_state state;   /* courier's */
	/* Courier's: what has happened already (a lease given back, a thing removed) and the disk had
	 * no room for. They are written before anything later: else a port that was leased twice since
	 * would be found leased twice, and the guest that is on its way in would lose its lease. */
	struct journal_write *owed;
	size_t n_owed;
};

struct write_errand {
	struct errand errand;
	struct journal_keeper *keeper;
	struct journal_write what;
	void (*done)(int rc, const struct error *err, void *context);
	void *context;
	int rc;
	struct error error;
};

static int write_record(struct journal_keeper *k, const struct journal_write *w, struct error *err)
{
	switch (w->kind) {
	case JOURNAL_WRITE_ATTEMPT:
		return journal_state_write_attempt(&k->state, k->journal, &w->attempt, err);
	case JOURNAL_WRITE_TAKEN:
		return journal_state_write_taken(&k->state, k->journal, &w->taken, err);
	case JOURNAL_WRITE_RELEASED:
		return journal_state_write_released(&k->state, k->journal, &w->released, err);
	case JOURNAL_WRITE_MADE:
		return journal_state_write_made(&k->state, k->journal, &w->thing, err);
	case JOURNAL_WRITE_REMOVED:
		return journal_state_write_removed(&k->state, k->journal, &w->thing, err);
	case JOURNAL_WRITE_EPOCH:
		return journal_state_write_epoch(&k->state, k->journal, w->epoch, err);
	case JOURNAL_WRITE_DRAIN_MARK:
		return journal_state_write_drain_mark(&k->state, k->journal, &w->drain_mark, err);
	case JOURNAL_WRITE_FENCE:
		return journal_state_write_fence(&k->state, k->journal, &w->fence, err);
	}
	abort();
}

/* What a full disk held up, in its order. */
static int write_owed(struct journal_keeper *k, struct error *err)
{
	while (k->n_owed) {
		int rc = write_record(k, &k->owed[0], err);

		if (rc < 0)
			return rc;
		memmove(&k->owed[0], &k->owed[1], --k->n_owed * sizeof(k->owed[0]));
	}
	return 0;
}

static void work(struct errand *e)
{
	struct write_errand *w = (struct write_errand *)e;
	struct journal_keeper *k = w->keeper;

	w->rc = write_owed(k, &w->error);
	if (w->rc == 0)
		w->rc = write_record(k, &w->what, &w->error);
	if (w->rc == -ERROR_NO_SPACE && k->n_owed < OWED_MAX &&
	    (!w->done || w->what.kind == JOURNAL_WRITE_RELEASED)) {
		k->owed = xreallocarray(k->owed, k->n_owed + 1, sizeof(k->owed[0]));
		k->owed[k->n_owed++] = w->what;
	}
	if (w->rc == 0 && journal_state_wants_compaction(&w->keeper->state, w->keeper->journal)) {
		struct error ignored;

		/* A failed compaction leaves the longer journal, which says the same. */
		(void)journal_state_compact(&w->keeper->state, w->keeper->journal, &ignored);
	}
}

static void done(struct errand *e)
{
	struct write_errand *w = (struct write_errand *)e;

	if (w->done)
		w->done(w->rc, &w->error, w->context);
	else if (w->rc < 0)
		log_error("journal: %s", w->error.text);
	free(w);
}

static struct journal_state copy_state(const struct journal_state *from)
{
	struct journal_state to = *from;

#define COPY(array, count) to.array = xmemdup(from->array, from->count * sizeof(from->array[0]))
	COPY(attempts, n_attempts);
	COPY(reservations, n_reservations);
	COPY(released, n_released);
	COPY(things, n_things);
#undef COPY
	fences_copy(&to.fences, &from->fences);
	return to;
}

int journal_keeper_open(struct loop *loop, const char *path, struct journal_keeper **ret,
                        struct journal_state *ret_past, struct journal_report *ret_report,
                        struct error *err)
{
	struct journal_keeper *k = xnew(struct journal_keeper);
	int rc = journal_open(path, journal_state_apply, &k->state, &k->journal, ret_report, err);

	if (rc < 0) {
		journal_state_deinit(&k->state);
		free(k);
		return error_context(err, "opening the journal %s", path);
	}
	*ret_past = copy_state(&k->state);
	k->courier = courier_pool_new(loop, 1);
	*ret = k;
	return 0;
}

void journal_keeper_close(struct journal_keeper *k)
{
	if (!k)
		return;
	courier_pool_finish(k->courier);
	journal_close(k->journal);
	journal_state_deinit(&k->state);
	free(k->owed);
	free(k);
}

void journal_keeper_write(struct journal_keeper *k, const struct journal_write *what,
                          void (*when_done)(int rc, const struct error *err, void *context),
                          void *context)
{
	struct write_errand *w;

	if (!k)
		return;
	w = xnew(struct write_errand);
	w->errand.work = work;
	w->errand.done = done;
	w->keeper = k;
	w->what = *what;
	w->done = when_done;
	w->context = context;
	courier_send(k->courier, &w->errand);
}
