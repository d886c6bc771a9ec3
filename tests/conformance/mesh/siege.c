/* SPDX-License-Identifier: Apache-2.0 */
/* See siege.h. */
#include "tests/conformance/mesh/siege.h"

#include "common/alloc.h"
#include "common/cleanup.h"
#include "common/clock.h"
#include "proto/audit/audit_read.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

static int set_up(void **state, bool patient)
{
	struct siege *s = xnew(struct siege);
	struct mesh_options options;
	struct rlimit files;

	signal(SIGPIPE, SIG_IGN); /* as every program of ours */
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &files), 0);
	files.rlim_cur = files.rlim_max;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &files), 0);
	harness_open(&s->h, "tcp");
	snprintf(s->log, sizeof(s->log), "%s/audit.log", s->h.directory);
	s->audit = audit_start(&(struct audit_options){ .path = s->log, .self = "c1" });
	options = harness_options(&s->h, &s->h.server, MESH_ROLE_COORDINATOR, "c1");
	options.audit = s->audit;
	if (!patient) {
		options.handshake_ms = 3000;
		options.keepalive_ms = 1000;
	}
	harness_start(&s->h, &s->h.server, &options, true);
	*state = s;
	return 0;
}

int siege_setup(void **state)
{
	return set_up(state, false);
}

int siege_setup_patient(void **state)
{
	return set_up(state, true);
}

int siege_teardown(void **state)
{
	struct siege *s = *state;

	for (size_t i = 0; i < s->n_fds; i++)
		close(s->fds[i]);
	audit_stop(s->audit);
	harness_close(&s->h);
	free(s);
	return 0;
}

void siege_expect_served(struct siege *s)
{
	Drover__Test__Empty request = DROVER__TEST__EMPTY__INIT;
	struct side newcomer = { 0 };
	struct mesh_options options;
	uint64_t begin_ms;
	struct outcome o;

	options = harness_options(&s->h, &newcomer, MESH_ROLE_AGENT, "host2");
	harness_start(&s->h, &newcomer, &options, false);
	begin_ms = clock_now_ms();
	mesh_dial(newcomer.mesh, s->h.dial_url, MESH_ROLE_COORDINATOR, "c1");
	harness_wait_count(&s->h, &newcomer.connects, 1);
	harness_unary(&s->h, newcomer.connection, "drover.test.Test/EmptyCall", &request.base, &o);
	assert_int_equal(o.status, MESH_OK);
	assert_in_range(clock_now_ms() - begin_ms, 0, SIEGE_SERVED_MS);
	mesh_free(newcomer.mesh);
}

long siege_get_rss_kib(void)
{
	_cleanup_fclose_ FILE *f = fopen("/proc/self/statm", "re");
	long size, pages;

	assert_non_null(f);
	assert_int_equal(fscanf(f, "%ld %ld", &size, &pages), 2);
	return pages * (sysconf(_SC_PAGESIZE) / 1024);
}

void siege_forget_peak(void)
{
	_cleanup_fclose_ FILE *f = fopen("/proc/self/clear_refs", "we");

	assert_non_null(f);
	assert_true(fputs("5", f) >= 0);
}

long siege_get_peak_kib(void)
{
	_cleanup_fclose_ FILE *f = fopen("/proc/self/status", "re");
	char line[256];
	long kib = 0;

	assert_non_null(f);
	while (fgets(line, sizeof(line), f)) {
		if (sscanf(line, "VmHWM: %ld kB", &kib) == 1)
			break;
	}
	assert_true(kib > 0);
	return kib;
}

struct looking {
	struct siege *siege;
	const char *what;
	bool found;
};

static void look_at_line(const char *line, void *context)
{
	struct looking *l = context;

	l->found |= strstr(line, l->what) != NULL;
}

static bool is_in_log(void *context)
{
	struct looking *l = context;
	struct audit_verdict verdict;
	struct error err;

	audit_flush(l->siege->audit);
	assert_int_equal(audit_read(l->siege->log, look_at_line, l, &verdict, &err), 0);
	assert_int_equal(verdict.bad_line, 0);
	return l->found;
}

void siege_expect_in_log(struct siege *s, const char *what)
{
	struct looking l = { .siege = s, .what = what };

	if (!harness_wait(&s->h, is_in_log, &l))
		fail_msg("not in the audit log: %s", what);
}
