/* SPDX-License-Identifier: Apache-2.0 */
/* See audit.h. The writer holds the lock only to take what is queued, never while it writes. */
#include "proto/audit/audit.h"

#include "common/alloc.h"
#include "common/clock.h"
#include "common/log.h"
#include "proto/audit/audit_file.h"
#include "proto/audit/audit_repeat.h"
#include "proto/audit/audit_text.h"

#include <inttypes.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define ROTATE_BYTES ((uint64_t)16 * 1024 * 1024)
#define KEEP         10
#define QUEUE_LINES  2048
#define REOPEN_MS    5000
#define WAKE_MS      1000 /* to tell of repeated refusals, and to try a broken file again */

struct line {
	struct line *next;
	char fields[]; /* of an audit_text */
};

struct audit {
	char *self;
	size_t queue_lines;
	pthread_t thread;

	pthread_mutex_t lock;
	pthread_cond_t wake, idle;
	/* under lock */
	struct line *queue, **queue_end;
	size_t n_queued;
	bool busy, stopping;
	uint64_t lost_untold;
	struct audit_counts counts;
	struct audit_repeat repeats[2]; /* of refusals; of those that are noise */

	/* writer only */
	struct audit_file file;
	uint64_t reopen_ms; /* not before */
	bool failing;       /* and it was told */
};

static void add_time(struct audit_text *t)
{
	char time[CLOCK_TEXT_BYTES];

	audit_text_add(t, "time", clock_format_wall(clock_wall_ms(), time));
}

/* --- writer --- */

static void lose(struct audit *a, uint64_t lines, const struct error *why)
{
	if (!a->failing)
		log_error("audit: lines are being lost: %s; calls go on", why->text);
	a->failing = true;
	pthread_mutex_lock(&a->lock);
	a->lost_untold += lines;
	a->counts.lost += lines;
	pthread_mutex_unlock(&a->lock);
}

static bool append(struct audit *a, const char *fields, struct error *err)
{
	if (audit_file_append(&a->file, fields, err) < 0)
		return false;
	pthread_mutex_lock(&a->lock);
	a->counts.written++;
	pthread_mutex_unlock(&a->lock);
	return true;
}

static bool append_note(struct audit *a, const char *kind, const char *count_name, uint64_t count,
                        const char *address, struct error *err)
{
	struct audit_text t;

	audit_text_init(&t);
	add_time(&t);
	audit_text_add(&t, "at", a->self);
	audit_text_add(&t, "kind", kind);
	audit_text_add(&t, "address", address);
	audit_text_add_number(&t, count_name, count);
	return append(a, t.data, err);
}

static bool tell_recovery(struct audit *a, const struct audit_recovery *r, struct error *err)
{
	if (r->torn_bytes > 0) {
		log_warning("audit: %" PRIu64 " bytes of a line that a crash had cut short were "
		            "removed from %s",
		            r->torn_bytes, a->file.path);
		if (!append_note(a, "recovered", "torn_bytes", r->torn_bytes, NULL, err))
			return false;
	}
	if (r->damaged) {
		log_error("audit: %s was changed by somebody; drover audit %s --verify tells where",
		          a->file.path, a->file.path);
		if (!append_note(a, "damaged", "after_seq", a->file.chain.seq, NULL, err))
			return false;
	}
	return true;
}

static bool is_open(struct audit *a, struct error *err)
{
	uint64_t now_ms = clock_now_ms();
	struct audit_recovery recovery;

	if (a->file.fd >= 0)
		return true;
	if (now_ms < a->reopen_ms) {
		error_set(err, ERROR_SYSTEM, "the audit log is not open");
		return false;
	}
	a->reopen_ms = now_ms + REOPEN_MS;
	return audit_file_open(&a->file, &recovery, err) == 0 && tell_recovery(a, &recovery, err);
}

/* How many lines are missing stands before what comes after them. */
static bool tell_lost(struct audit *a, struct error *err)
{
	uint64_t lost;

	pthread_mutex_lock(&a->lock);
	lost = a->lost_untold;
	pthread_mutex_unlock(&a->lock);
	if (lost == 0)
		return true;
	if (!append_note(a, "lost", "lines", lost, NULL, err))
		return false;
	pthread_mutex_lock(&a->lock);
	a->lost_untold -= lost;
	pthread_mutex_unlock(&a->lock);
	log_warning("audit: %" PRIu64 " lines could not be written and are missing", lost);
	a->failing = false;
	return true;
}

static void write_list(struct audit *a, struct line *list)
{
	bool good, wrote = false;
	struct error err;

	good = is_open(a, &err) && tell_lost(a, &err);
	while (list) {
		struct line *line = list;

		list = line->next;
		if (good)
			good = append(a, line->fields, &err);
		wrote |= good;
		if (!good)
			lose(a, 1, &err);
		free(line);
	}
	if (wrote && a->file.fd >= 0 && audit_file_sync(&a->file, &err) < 0)
		log_error("audit: %s", err.text);
}

static void write_repeats(struct audit *a, bool all)
{
	char address[AUDIT_REPEAT_ADDRESS_BYTES];
	uint64_t count;
	struct error err;
	bool found;

	do {
		pthread_mutex_lock(&a->lock);
		found = audit_repeat_take(&a->repeats[0], clock_now_ms(), all, address, &count) ||
		        audit_repeat_take(&a->repeats[1], clock_now_ms(), all, address, &count);
		pthread_mutex_unlock(&a->lock);
		if (found && !(is_open(a, &err) &&
		               append_note(a, "refused-again", "times", count, address, &err)))
			lose(a, 1, &err);
	} while (found);
}

static void wait_a_while(struct audit *a)
{
	struct timespec until;

	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_sec += WAKE_MS / 1000;
	(void)pthread_cond_timedwait(&a->wake, &a->lock, &until);
}

static void *write_lines(void *context)
{
	struct audit *a = context;
	bool stopping = false;

	/* The file is opened, and what a crash left is told, also when nobody calls. */
	write_list(a, NULL);
	pthread_mutex_lock(&a->lock);
	while (!stopping) {
		struct line *list;

		if (!a->queue && !a->stopping)
			wait_a_while(a);
		stopping = a->stopping;
		list = a->queue;
		a->queue = NULL;
		a->queue_end = &a->queue;
		a->n_queued = 0;
		a->busy = true;
		pthread_mutex_unlock(&a->lock);
		write_list(a, list);
		write_repeats(a, stopping);
		pthread_mutex_lock(&a->lock);
		a->busy = false;
		pthread_cond_broadcast(&a->idle);
	}
	pthread_mutex_unlock(&a->lock);
	return NULL;
}

/* --- the owner's side --- */

struct audit *audit_start(const struct audit_options *options)
{
	struct audit *a = xnew(struct audit);
	pthread_condattr_t monotonic;
	sigset_t all, before;
	int rc;

	a->self = xstrdup(options->self);
	a->queue_lines = options->queue_lines ? options->queue_lines : QUEUE_LINES;
	a->queue_end = &a->queue;
	audit_file_init(&a->file, options->path,
	                options->rotate_bytes ? options->rotate_bytes : ROTATE_BYTES,
	                options->keep ? options->keep : KEEP);
	pthread_mutex_init(&a->lock, NULL);
	pthread_condattr_init(&monotonic);
	pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
	pthread_cond_init(&a->wake, &monotonic);
	pthread_cond_init(&a->idle, NULL);
	pthread_condattr_destroy(&monotonic);
	/* Signals are for the owner. */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	rc = pthread_create(&a->thread, NULL, write_lines, a);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (rc != 0)
		abort(); /* as for memory: a process that cannot have a thread is none */
	return a;
}

void audit_stop(struct audit *a)
{
	if (!a)
		return;
	pthread_mutex_lock(&a->lock);
	a->stopping = true;
	pthread_cond_signal(&a->wake);
	pthread_mutex_unlock(&a->lock);
	pthread_join(a->thread, NULL);
	audit_file_deinit(&a->file);
	pthread_cond_destroy(&a->wake);
	pthread_cond_destroy(&a->idle);
	pthread_mutex_destroy(&a->lock);
	free(a->self);
	free(a);
}

static void enqueue(struct audit *a, const struct audit_text *t, bool refused)
{
	size_t room = refused ? a->queue_lines / 2 : a->queue_lines;
	struct line *line;

	if (a->n_queued >= room) {
		a->lost_untold++;
		a->counts.lost++;
		return;
	}
	line = xmalloc(sizeof(*line) + t->bytes + 1);
	line->next = NULL;
	memcpy(line->fields, t->data, t->bytes + 1);
	*a->queue_end = line;
	a->queue_end = &line->next;
	a->n_queued++;
	pthread_cond_signal(&a->wake);
}

static void describe(struct audit *a, const struct audit_record *r, struct audit_text *t)
{
	audit_text_init(t);
	add_time(t);
	audit_text_add(t, "at", a->self);
	audit_text_add(t, "kind", r->refused ? "refused" : "call");
	audit_text_add(t, "role", r->role);
	audit_text_add(t, "who", r->name);
	audit_text_add(t, "address", r->address);
	audit_text_add(t, "method", r->method);
	audit_text_add(t, "call", r->call);
	audit_text_add(t, "outcome", r->outcome);
	audit_text_add(t, "reason", r->reason);
	audit_text_add_object(t, "object", r->object);
	audit_text_add_object(t, "result", r->result);
	audit_text_end(t);
}

/* The method that noise is about may be a name that the peer made up: that tells no kinds apart. */
static bool may_write(struct audit *a, const struct audit_record *r)
{
	char kind[256];

	snprintf(kind, sizeof(kind), "%s %s %s", r->outcome ? r->outcome : "",
	         r->method && !r->noise ? r->method : "", r->about ? r->about : "");
	return audit_repeat_may_write(&a->repeats[r->noise], r->address ? r->address : "", kind,
	                              clock_now_ms());
}

void audit_write(struct audit *a, const struct audit_record *record)
{
	struct audit_text t;
	bool write = true;

	if (!a)
		return;
	pthread_mutex_lock(&a->lock);
	if (record->refused)
		write = may_write(a, record);
	a->counts.repeated += !write;
	pthread_mutex_unlock(&a->lock);
	if (!write)
		return;
	describe(a, record, &t);
	pthread_mutex_lock(&a->lock);
	enqueue(a, &t, record->refused);
	pthread_mutex_unlock(&a->lock);
}

void audit_get_counts(struct audit *a, struct audit_counts *ret)
{
	pthread_mutex_lock(&a->lock);
	*ret = a->counts;
	pthread_mutex_unlock(&a->lock);
}

void audit_flush(struct audit *a)
{
	if (!a)
		return;
	pthread_mutex_lock(&a->lock);
	while (a->queue || a->busy)
		pthread_cond_wait(&a->idle, &a->lock);
	pthread_mutex_unlock(&a->lock);
}
