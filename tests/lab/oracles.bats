#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# The oracles see what they are there for: each is broken by hand, without drover.

# shellcheck disable=SC2016 # evaluated by the inner shell

load drover.bash

setup_file() {
	lab_name oracles
	lab_up 2 --memory host2=256MiB
	oracles_start
}
teardown_file() { lab_down; }
setup() { oracles_begin_test; }
teardown() {
	for guest in $(lab virsh host1 -q list --name) $(lab virsh host2 -q list --name); do
		lab virsh host1 -q destroy "$guest" 2>/dev/null || true
		lab virsh host2 -q destroy "$guest" 2>/dev/null || true
	done
	find "$LAB_STATE/guests" -type f -name '*.xml' -delete
	oracles_check
}

seen() { grep -q "^$1 .*$2" "$LAB_STATE/oracles.log"; }

@test "O1: the same guest started on two hosts is seen within five seconds; one that waits is no second one" {
	lab vm twin host1 --memory 32MiB --storage none
	lab virsh host1 dumpxml twin --migratable >"$BATS_TEST_TMPDIR/twin.xml"
	lab virsh host2 -q create "$BATS_TEST_TMPDIR/twin.xml" --paused
	sleep 1
	[ ! -s "$LAB_STATE/oracles.log" ] || fail "$(cat "$LAB_STATE/oracles.log")"
	oracles_expect O1
	lab virsh host2 -q resume twin
	wait_until 'seen O1 "twin runs on host"' 5
}

@test "O1: a managed migration is no second run" {
	lab vm mover host1 --memory 32MiB
	managed_move mover host1 host2
	managed_move mover host2 host1
	[ ! -s "$LAB_STATE/oracles.log" ] || fail "$(cat "$LAB_STATE/oracles.log")"
}

@test "O3: more RAM on a host than it has for guests is seen" {
	oracles_expect O3
	lab vm one host2 --memory 96MiB
	lab vm two host2 --memory 96MiB
	[ ! -s "$LAB_STATE/oracles.log" ]
	lab vm three host2 --memory 96MiB
	wait_until 'seen O3 "host2: QEMUs of 288 MiB"' 2
}

@test "O4: a third guest on its way into one host is seen" {
	local guest pids=()
	oracles_expect O4
	lab link host1 migration rate 20mbit
	for guest in a b c; do lab vm "$guest" host1 --memory 48MiB --working-set 32MiB; done
	for guest in a b c; do
		lab virsh host1 -q migrate --live "$guest" "$(host_uri host2)" --migrateuri \
			"tcp://10.78.0.2:4915$((2 + ${#pids[@]}))" --listen-address 10.78.0.2 --tls \
			>/dev/null 2>&1 3>&- &
		pids+=($!)
	done
	wait_until 'seen O4 "host2: 3 guests"' 20
	for guest in a b c; do lab virsh host1 -q domjobabort "$guest" || true; done
	wait "${pids[@]}" || true
	lab link host1 migration rate 1gbit
}

@test "when the oracles do not watch, no test passes" {
	run ! bash -c 'load() { source "$REPO/tests/lab/$1"; }; bats_require_minimum_version() { :; }
		load drover.bash
		LAB_STATE=$BATS_TEST_TMPDIR; printf "%s\n" 1 >"$LAB_STATE/oracles.pid"; : >"$LAB_STATE/oracles.log"
		oracles_check'
	[[ "$output" == *"do not watch"* ]]
}
