#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# An agent that gets less than it needs, on real hosts: the kernel ends it for want of memory, it has next to
# no file descriptors. Its guests and their moves do not notice.

# shellcheck disable=SC2016,SC2030,SC2031 # conditions are evaluated by wait_until

load failpoints.bash

setup_file() { drover_lab limits 2; }
teardown_file() { lab_down; }
setup() { drover_reset; }
teardown() { lab_end_test; }

agent_pid() { cat "$LAB_STATE/hosts/$1/agent.pid"; }
migration_is() { [[ $(migration_get "$1" .state) == "$2" ]]; } # GUEST STATE

# bats test_tags=slow
@test "F30: the kernel ends an agent for want of memory, at either end of a move: it comes back and takes up the move" {
	local host
	[ -n "$(host_cgroup host1)" ] || skip "no memory cgroup on this machine"
	for host in host1 host2; do
		new_guest "oom$host" host1 --memory 96MiB --working-set 64MiB
		lab link host1 migration rate 20mbit
		drover -q migrate "oom$host" --to host2 --detach
		wait_mid_copy "oom$host" host1
		hog_until_gone "$host" "$(agent_pid "$host")"
		is_copying "oom$host" host1 || fail "the move was over before the agent was"
		lab drover start "$host"
		wait_until 'all_ready' 10
		wait_until "migration_is oom$host DONE" 60
		[ "$(qemu_starts_everywhere "oom$host")" = 2 ]
		assert_all_well "oom$host@host2"
		lab rm "oom$host"
		lab link host1 migration rate 1gbit
	done
}

# hold_connections HOST COUNT: COUNT connections from there to the agent of host1 that say nothing, until the
# process in $! is ended. Those that are closed are opened anew.
hold_connections() {
	"$LAB" shell "$1" timeout 120 perl -MIO::Socket::INET -e '
		for (my $i = 0;; $i = ($i + 1) % $ARGV[0]) {
			$s[$i] = IO::Socket::INET->new(PeerAddr => "10.77.0.1", PeerPort => 7788, Timeout => 2);
			select undef, undef, undef, 0.02;
		}' "$2" >/dev/null 2>&1 3>&- &
}

descriptors() { find "/proc/$(agent_pid host1)/fd" -mindepth 1 2>/dev/null | wc -l; }

# bats test_tags=slow
@test "F30: an agent with 64 file descriptors sheds what it cannot serve, and guests move to and from its host" {
	local pid before holders=() holder
	new_guest tight host1
	lab drover stop host1
	(ulimit -n 64 && lab drover start host1)
	wait_until all_ready 15
	pid=$(agent_pid host1)
	grep -q "^Max open files *64 *64" "/proc/$pid/limits"
	# Agents that have met stay connected.
	run -0 drover migrate tight --to host2
	run -0 drover migrate tight --to host1
	before=$(descriptors)
	for holder in host2 coordinator host2 coordinator host2 coordinator; do
		hold_connections "$holder" 60
		holders+=($!)
	done
	wait_until '(($(descriptors) >= before + 4))' 10
	echo "# $before descriptors at rest, $(descriptors) under 360 connections" >&3
	run drover migrate tight --to host2
	echo "# under the connections: $(migration_get tight '"\(.state) \(.reason)"')" >&3
	[ "$status" = 0 ] || fail "$output"
	for holder in "${holders[@]}"; do kill "$holder"; done
	wait "${holders[@]}" || true
	kill -0 "$pid" || fail "the agent has ended"
	wait_until all_ready 30
	run -0 drover migrate tight --to host1
	run -0 drover migrate tight --to host2
	[ "$(agent_pid host1)" = "$pid" ]
	# One more: what asks the kernel for the connections of a move stays open from the first that lasts.
	wait_until "((\$(descriptors) <= $before + 1))" 30 || fail "$before descriptors before, $(descriptors) after"
	assert_all_well tight@host2
	# The limit goes with the process.
	lab drover restart host1
}
