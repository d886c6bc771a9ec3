/* SPDX-License-Identifier: Apache-2.0 */
/* See tests/unit/traffic_left.h. */
#include "tests/unit/traffic_left.h"

#include "common/clock.h"
#include "tests/unit/traffic_fixture.h"
#include "tests/unit/veth_peer.h"

#include <errno.h>
#include <net/if.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define DEADLINE_MS 5000

unsigned int left_count_tcx(int direction)
{
	/* The part of union bpf_attr that BPF_PROG_QUERY reads, with the number of its ABI. */
	struct {
		uint32_t ifindex, attach_type, query_flags, attach_flags;
		uint64_t ids;
		uint32_t count, padding;
		uint64_t more[4];
	} query = { .ifindex = if_nametoindex(VETH_OURS),
		    .attach_type = direction == TX ? 47 : 46 };
	const int bpf_prog_query = 16;

	if (syscall(SYS_bpf, bpf_prog_query, &query, sizeof(query)) < 0 && errno != ENOSPC)
		assert_int_equal(errno, ENOENT);
	return query.count;
}

int left_count_clsact(int direction)
{
	return direction == TX
	               ? veth_count_lines("tc filter show dev " VETH_OURS " egress", "drover_tx")
	               : veth_count_lines("tc filter show dev " VETH_OURS " ingress", "drover_rx");
}

void left_by_killed(enum traffic_source best, bool checks(void))
{
	int ready[2];
	bool seen;
	char byte;
	pid_t pid;

	assert_int_equal(pipe(ready), 0);
	pid = fork();
	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		fixture_open_and_watch(best);
		if (write(ready[1], "r", 1) != 1)
			_exit(1);
		for (;;)
			pause();
	}
	close(ready[1]);
	assert_int_equal(read(ready[0], &byte, 1), 1);
	close(ready[0]);
	seen = checks();
	assert_int_equal(kill(pid, SIGKILL), 0);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
	assert_true(seen);
}

bool left_is_at_tcx(void)
{
	return left_count_tcx(TX) == 1 && left_count_tcx(RX) == 1;
}

bool left_has_come_to_tcx(void)
{
	uint64_t deadline_ms = clock_now_ms() + DEADLINE_MS;

	while (!left_is_at_tcx())
		if (clock_now_ms() > deadline_ms)
			return false;
	return true;
}

bool left_is_at_clsact(void)
{
	return left_count_clsact(TX) == 1 && left_count_clsact(RX) == 1;
}
