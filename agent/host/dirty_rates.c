/* SPDX-License-Identifier: Apache-2.0 */
/* See dirty_rates.h. */
#include "agent/host/dirty_rates.h"

#include "common/alloc.h"
#include "common/units.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const uint32_t windows_s[DIRTY_WINDOWS] = { 1, 4, 16 };

/* Within a round. */
static const unsigned order[] = { 0, 1, 0, 2, 0 };

/* The first rounds follow each other sooner: a mean of several is worth waiting for. */
/* What a guest does while it starts is no measure of what it does. */
#define SETTLE_MS         5000
#define EARLY_ROUNDS      3
#define EARLY_INTERVAL_MS 2000
#define INTERVAL_MS       300000
#define RETRY_MS          60000
/* An answer that does not come so long after its window never will. */
#define PATIENCE_MS 15000
/* Of an orderly stop: a question takes some milliseconds. */
#define STOP_WAIT_MS 1000
/* What each page that QEMU looks at stands for. */
#define PAGE_SHARE ((double)GIB / DIRTY_PAGES_PER_GIB)
/* Of QEMU's memory, not the guest's: its own and its libraries' (measured: 42 MiB more than what such a
 * guest's move sends). */
#define QEMU_OWN_BYTES (40 * MIB)

/* What laying the outer ones aside costs: the standard error of what is left, to that of the mean of all. */
#define ASIDE_ERROR 1.1

enum stage { STAGE_IDLE, STAGE_STARTING, STAGE_SAMPLING, STAGE_READING };

struct guest {
	char uuid[VM_UUID_BYTES]; /* key */
	struct memory_use use;
	double samples[DIRTY_WINDOWS][DIRTY_SAMPLES_KEPT];
	uint64_t taken[DIRTY_WINDOWS]; /* samples ever */
	unsigned step, window, rounds; /* in the order, its window; full turns */
	uint64_t next_ms;              /* when it is due */
	enum stage stage;
	uint64_t read_ms; /* when its window is over */
	bool moved;       /* meanwhile: what is found is void */
	bool listed;      /* private: seen in this tick */
	uint64_t memory_bytes, hugepage_bytes;
	UT_hash_handle hh;
};

struct dirty_rates {
	struct hypervisor *hypervisor; /* borrowed */
	struct courier_pool *courier;  /* its own, of one thread; NULL: stopped */
	void (*measured)(const char *uuid, void *context);
	void *context;
	struct guest *guests;
	unsigned busy;
	uint64_t now_ms;
};

struct sampling {
	struct errand errand;
	struct dirty_rates *rates;
	struct hypervisor *hypervisor;
	char uuid[VM_UUID_BYTES];
	uint32_t window_s;
	struct vm_dirty_rate found;
	int rc;
	struct error error;
};

double dirty_rates_error_bytes(uint64_t memory_bytes, uint32_t seconds, double bytes)
{
	double memory = (double)memory_bytes;
	double pages = fmax(memory / (double)GIB * DIRTY_PAGES_PER_GIB, 1);
	double share = memory > 0 ? fmin(bytes / memory, 1) : 0;
	/* libvirt tells whole MiB/s: up to half of one is lost in each second. */
	double rounding = (double)MIB * seconds / sqrt(12);

	return hypot(memory * sqrt((share * (1 - share) + 1 / pages) / pages), rounding);
}

double dirty_rates_bytes(uint64_t bytes_per_s, uint32_t seconds)
{
	double bytes = (double)bytes_per_s * seconds, most = (double)MIB * seconds - PAGE_SHARE;

	/* Nothing at all is nothing most often. */
	return bytes_per_s && most > 0 ? bytes + most / 2 : bytes;
}

static struct guest *find(const struct dirty_rates *d, const char *uuid)
{
	struct guest *g;

	HASH_FIND_STR(d->guests, uuid, g);
	return g;
}

const struct memory_use *dirty_rates_find(const struct dirty_rates *d, const char *uuid)
{
	const struct guest *g = d ? find(d, uuid) : NULL;

	return g ? &g->use : NULL;
}

/* --- one sampling --- */

static void stop(struct dirty_rates *d, struct guest *g, uint64_t next_ms)
{
	g->stage = STAGE_IDLE;
	g->next_ms = next_ms;
	g->moved = false;
	d->busy--;
}

static void give_up(struct dirty_rates *d, struct guest *g, const char *why)
{
	bool news = strncmp(g->use.problem, why, sizeof(g->use.problem) - 1) != 0;

	snprintf(g->use.problem, sizeof(g->use.problem), "%.*s", (int)sizeof(g->use.problem) - 1,
	         why);
	stop(d, g, d->now_ms + RETRY_MS);
	if (news && d->measured)
		d->measured(g->uuid, d->context);
}

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

/* The mean of those in the middle: a guest that has just started, or did something once, is not always like
 * that; and the middle one alone would be a third further off than their mean. */
static double middle_of(const double *samples, uint32_t count)
{
	double sorted[DIRTY_SAMPLES_KEPT], sum = 0;
	uint32_t aside = (count + 1) / 4;

	memcpy(sorted, samples, count * sizeof(*sorted));
	qsort(sorted, count, sizeof(*sorted), compare);
	for (uint32_t i = aside; i < count - aside; i++)
		sum += sorted[i];
	return sum / (count - 2 * aside);
}

static void take_sample(struct guest *g, double bytes, uint64_t now_ms)
{
	struct dirty_window *w = &g->use.windows[g->window];
	double sum = 0, squares = 0, n, error, middle;

	g->samples[g->window][g->taken[g->window]++ % DIRTY_SAMPLES_KEPT] = bytes;
	w->seconds = windows_s[g->window];
	w->samples = g->taken[g->window] < DIRTY_SAMPLES_KEPT ? (uint32_t)g->taken[g->window]
	                                                      : DIRTY_SAMPLES_KEPT;
	n = w->samples;
	middle = middle_of(g->samples[g->window], w->samples);
	for (uint32_t i = 0; i < w->samples; i++)
		sum += g->samples[g->window][i];
	for (uint32_t i = 0; i < w->samples; i++)
		squares += pow(g->samples[g->window][i] - sum / n, 2);
	/* By the pages looked at, and where the guest itself is unsteady by what was seen of that. */
	error = dirty_rates_error_bytes(g->memory_bytes, w->seconds, middle) / sqrt(n);
	if (n > 1)
		error = fmax(error, sqrt(squares / (n - 1) / n));
	if (n > 2)
		error *= ASIDE_ERROR;
	w->bytes = (uint64_t)middle;
	w->error_bytes = (uint64_t)error;
	w->at_ms = now_ms;
}

static void take_found(struct dirty_rates *d, struct guest *g, const struct vm_dirty_rate *found)
{
	/* Pages of hugetlbfs are in no process's resident size. */
	if (found->resident_bytes > QEMU_OWN_BYTES && !g->hugepage_bytes) {
		g->use.touched_bytes = found->resident_bytes - QEMU_OWN_BYTES;
		if (g->use.touched_bytes > g->memory_bytes)
			g->use.touched_bytes = g->memory_bytes;
	}
	take_sample(g, dirty_rates_bytes(found->bytes_per_s, windows_s[g->window]), d->now_ms);
	g->use.problem[0] = '\0';
	g->step = (g->step + 1) % ARRAY_SIZE(order);
	g->window = order[g->step];
	if (g->step)
		stop(d, g, d->now_ms);
	else
		stop(d, g,
		     d->now_ms + (++g->rounds < EARLY_ROUNDS ? EARLY_INTERVAL_MS : INTERVAL_MS));
	if (d->measured)
		d->measured(g->uuid, d->context);
}

/* --- errands --- */

static void start_work(struct errand *e)
{
	struct sampling *s = (struct sampling *)e;

	s->rc = s->hypervisor->ops->start_dirty_rate(s->hypervisor, s->uuid, s->window_s,
	                                             &s->error);
}

static void start_done(struct errand *e)
{
	struct sampling *s = (struct sampling *)e;
	struct guest *g = find(s->rates, s->uuid);

	if (g && s->rc < 0) {
		give_up(s->rates, g, s->error.text);
	} else if (g) {
		g->stage = STAGE_SAMPLING;
		g->read_ms = s->rates->now_ms + (uint64_t)s->window_s * 1000 + 500;
	}
	free(s);
}

static void read_work(struct errand *e)
{
	struct sampling *s = (struct sampling *)e;

	s->rc = s->hypervisor->ops->dirty_rate(s->hypervisor, s->uuid, &s->found, &s->error);
}

static void read_done(struct errand *e)
{
	struct sampling *s = (struct sampling *)e;
	struct dirty_rates *d = s->rates;
	struct guest *g = find(d, s->uuid);

	/* Busy with somebody else's question: asked again in a second, like one that samples still. */
	if (g && s->rc < 0 && s->error.code != ERROR_BUSY)
		give_up(d, g, s->error.text);
	else if (g && g->moved)
		stop(d, g, d->now_ms);
	else if (g && s->found.measured && s->found.window_s == s->window_s)
		take_found(d, g, &s->found);
	else if (g && d->now_ms > g->read_ms + PATIENCE_MS)
		give_up(d, g,
		        s->rc < 0 ? s->error.text
		                  : "QEMU has sampled its pages and tells no result");
	else if (g)
		g->stage = STAGE_SAMPLING; /* it takes its time: asked again in a second */
	free(s);
}

static void send(struct dirty_rates *d, struct guest *g, enum stage stage)
{
	struct sampling *s = xnew(struct sampling);

	s->errand.work = stage == STAGE_STARTING ? start_work : read_work;
	s->errand.done = stage == STAGE_STARTING ? start_done : read_done;
	s->rates = d;
	s->hypervisor = d->hypervisor;
	s->window_s = windows_s[g->window];
	memcpy(s->uuid, g->uuid, sizeof(s->uuid));
	g->stage = stage;
	courier_send(d->courier, &s->errand);
}

/* --- who is next --- */

static bool may_be_sampled(const struct inventory_vm *vm)
{
	return vm->summary.active && vm->summary.state == VM_RUNNING && !vm->summary.job_out &&
	       vm->summary.postcopy == VM_POSTCOPY_NONE;
}

static struct guest *find_due(struct dirty_rates *d)
{
	struct guest *due = NULL, *g, *next;

	HASH_ITER (hh, d->guests, g, next) {
		if (g->stage == STAGE_IDLE && !g->moved && g->next_ms <= d->now_ms &&
		    (!due || g->next_ms < due->next_ms))
			due = g;
	}
	return due;
}

static void look_at_guests(struct dirty_rates *d, const struct inventory *inventory,
                           bool (*moves)(const char *uuid, void *context), void *context)
{
	struct guest *g, *next;

	HASH_ITER (hh, d->guests, g, next)
		g->listed = false;
	for (const struct inventory_vm *vm = inventory->vms; vm; vm = vm->hh.next) {
		bool still = may_be_sampled(vm) && !moves(vm->uuid, context);

		g = find(d, vm->uuid);
		if (!g && !still)
			continue;
		if (!g) {
			g = xnew(struct guest);
			memcpy(g->uuid, vm->uuid, sizeof(g->uuid));
			g->next_ms = d->now_ms + SETTLE_MS;
			HASH_ADD_STR(d->guests, uuid, g);
		}
		g->listed = vm->summary.active;
		/* One that is sampled now: that is void. One that is not, waits. */
		g->moved = g->stage == STAGE_IDLE ? !still : g->moved || !still;
		g->memory_bytes = vm->summary.memory_bytes;
		g->hugepage_bytes = vm->hugepage_bytes;
	}
	HASH_ITER (hh, d->guests, g, next) {
		if (g->listed || g->stage != STAGE_IDLE)
			continue;
		HASH_DEL(d->guests, g);
		free(g);
	}
}

void dirty_rates_tick(struct dirty_rates *d, const struct inventory *inventory,
                      bool (*moves)(const char *uuid, void *context), void *context,
                      uint64_t now_ms)
{
	struct guest *g, *next;

	d->now_ms = now_ms;
	/* A list that is not valid says nothing of who moves. */
	if (!inventory->valid)
		return;
	look_at_guests(d, inventory, moves, context);
	HASH_ITER (hh, d->guests, g, next) {
		if (g->stage == STAGE_SAMPLING && now_ms >= g->read_ms)
			send(d, g, STAGE_READING);
	}
	while (d->busy < DIRTY_RATES_AT_A_TIME) {
		g = find_due(d);
		if (!g)
			break;
		d->busy++;
		send(d, g, STAGE_STARTING);
	}
}

struct dirty_rates *dirty_rates_new(struct hypervisor *h, struct loop *loop,
                                    void (*measured)(const char *uuid, void *context),
                                    void *context)
{
	struct dirty_rates *d = xnew(struct dirty_rates);

	d->hypervisor = h;
	d->courier = courier_pool_new(loop, 1);
	d->measured = measured;
	d->context = context;
	return d;
}

bool dirty_rates_stop(struct dirty_rates *d)
{
	if (!d || !d->courier)
		return true;
	if (!courier_pool_free_within(d->courier, STOP_WAIT_MS))
		return false;
	d->courier = NULL;
	return true;
}

void dirty_rates_free(struct dirty_rates *d)
{
	struct guest *g, *next;

	if (!d)
		return;
	HASH_ITER (hh, d->guests, g, next) {
		HASH_DEL(d->guests, g);
		free(g);
	}
	free(d);
}
