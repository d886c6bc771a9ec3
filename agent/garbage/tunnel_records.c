/* SPDX-License-Identifier: Apache-2.0 */
/* See tunnel_records.h. Its process is stopped and its files are removed before that is written down, and an
 * agent may end in between. The next one sweeps by what directories there are, so of such a tunnel it would
 * hear nothing any more: the record would stay for ever, and count with what waits to be removed.
 *
 * The files are on a tmpfs of this host: one that is not there is gone. Owner thread, but for the look. */
#include "agent/garbage/tunnel_records.h"

#include "agent/source/source.h"
#include "common/alloc.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

struct forgetting {
	struct errand errand;
	struct agent *agent;
	struct journal_thing *tunnels; /* owned */
	size_t n;
};

static bool is_over(struct agent *agent, const struct attempt_name *attempt)
{
	const struct source_attempt *a = source_find(agent, attempt);

	return (!a || a->stage == SOURCE_ENDED) && !reservations_find(agent->reservations, attempt);
}

static void look(struct errand *e)
{
	struct forgetting *f = (struct forgetting *)e;
	size_t gone = 0;

	for (size_t i = 0; i < f->n; i++) {
		if (access(f->tunnels[i].path, F_OK) < 0 && errno == ENOENT)
			f->tunnels[gone++] = f->tunnels[i];
	}
	f->n = gone;
}

static void looked(struct errand *e)
{
	struct forgetting *f = (struct forgetting *)e;

	for (size_t i = 0; i < f->n; i++) {
		struct journal_write w = { .kind = JOURNAL_WRITE_REMOVED, .thing = f->tunnels[i] };

		journal_keeper_write(f->agent->journal, &w, NULL, NULL);
	}
	free(f->tunnels);
	free(f);
}

void tunnel_records_forget(struct agent *agent, const struct journal_state *past)
{
	struct forgetting *f = xnew(struct forgetting);

	f->errand.work = look;
	f->errand.done = looked;
	f->agent = agent;
	f->tunnels = xcalloc(past->n_things, sizeof(*f->tunnels));
	for (size_t i = 0; i < past->n_things; i++) {
		const struct journal_thing *t = &past->things[i];

		if (t->kind == JOURNAL_TUNNEL && is_over(agent, &t->attempt))
			f->tunnels[f->n++] = *t;
	}
	courier_send(agent->couriers, &f->errand);
}
