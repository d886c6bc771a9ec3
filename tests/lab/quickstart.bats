#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# tools/quickstart: from a clone to a drained host, and away again; what it cannot do it says before
# it has begun, and what fails is shown with its log and the next step.

load lib.bash

setup_file() {
	lab_name qs
}

teardown_file() {
	lab_down
}

quickstart() { "$REPO/tools/quickstart" "$@"; }

@test "it ends with host1 empty, its guests on other hosts, and what to try next" {
	run quickstart
	printf '%s\n' "$output"
	[ "$status" -eq 0 ]
	[[ $output == *"4 VMs moved"* ]]
	[ "$(grep -c ' booted once ' <<<"$output")" = 4 ]
	[ "$(grep -cE 'admitted .*memory, .*cpu, .*guard' <<<"$output")" -ge 1 ]
	# Each stage has one line when it begins and one when it ends.
	for stage in packages build lab drover guests; do
		[ "$(grep -cE "^[0-9T:-]+Z quickstart $stage (started|done)" <<<"$output")" = 2 ]
	done
	[ -z "$(lab virsh host1 -q list --name | tr -d '[:space:]')" ]
	for guest in web1 db1 mail1 cache1; do
		assert_guest_intact "$guest"
		assert_counter_goes_on "$guest"
	done
	# The commands that it names do what it says; the first line after them sets them up.
	eval "$(grep '^  export DROVER_LAB=' <<<"$output")"
	run -0 command drover explain migration/1
	run -0 command drover undrain host1
	run -0 command drover migrate web1 --to host1
	run -0 command drover migrations -o wide
	assert_runs_only_on web1 host1
	assert_guest_intact web1
}

@test "a stage that fails is named, with the end of its log and the next step" {
	mkdir "$BATS_TEST_TMPDIR/bin"
	printf '#!/bin/sh\necho "no compiler today" >&2\nexit 1\n' >"$BATS_TEST_TMPDIR/bin/cmake"
	chmod +x "$BATS_TEST_TMPDIR/bin/cmake"
	PATH=$BATS_TEST_TMPDIR/bin:$PATH run -1 quickstart
	[[ $output == *"failed: build"* ]]
	[[ $output == *"no compiler today"* ]]
	[[ $output == *"next step"* ]]
	# What was there before is neither hidden nor gone.
	[[ $output == *"the lab is left"* ]]
	run -0 lab status
}

@test "interrupted in a stage, it ends at once and nothing goes on behind it" {
	mkdir "$BATS_TEST_TMPDIR/bin"
	# shellcheck disable=SC2016 # the inner shell's own number
	printf '#!/bin/sh\necho $$ >%s/pid\nexec sleep 1000\n' "$BATS_TEST_TMPDIR" >"$BATS_TEST_TMPDIR/bin/cmake"
	chmod +x "$BATS_TEST_TMPDIR/bin/cmake"
	PATH=$BATS_TEST_TMPDIR/bin:$PATH "$REPO/tools/quickstart" >"$BATS_TEST_TMPDIR/out" 2>&1 3>&- &
	pid=$!
	wait_until "[ -s $BATS_TEST_TMPDIR/pid ]" 30
	kill -TERM "$pid"
	rc=0
	wait "$pid" || rc=$?
	[ "$rc" = 130 ]
	grep -q 'interrupted while at: build' "$BATS_TEST_TMPDIR/out"
	wait_until "! kill -0 $(cat "$BATS_TEST_TMPDIR/pid") 2>/dev/null" 10
}

@test "what it cannot do it refuses, and changes nothing" {
	before=$(lab status -o json | jq -S 'del(.hosts[].guests)')
	run -2 quickstart --frobnicate
	run -2 quickstart --purge
	run -0 quickstart --help
	[[ $output == *--down* ]]
	DROVER_LAB=../etc run -1 quickstart
	run -1 setpriv --reuid 65534 --regid 65534 --clear-groups "$REPO/tools/quickstart"
	[[ $output == *sudo* ]]
	printf 'ID=fedora\nVERSION_ID=40\n' >"$BATS_TEST_TMPDIR/os-release"
	# shellcheck disable=SC2016 # the inner shell's arguments
	run -1 unshare --mount sh -c 'mount --bind "$1" "$(realpath /etc/os-release)" && exec "$2"' \
		sh "$BATS_TEST_TMPDIR/os-release" "$REPO/tools/quickstart"
	[[ $output == *"Debian 12"* ]]
	[ "$before" = "$(lab status -o json | jq -S 'del(.hosts[].guests)')" ]
}

@test "a lab that it has not made is not touched" {
	other=$DROVER_LAB-o
	DROVER_LAB=$other lab up 1
	DROVER_LAB=$other run -1 quickstart
	[[ $output == *"not made by quickstart"* ]]
	DROVER_LAB=$other run -1 quickstart --down
	DROVER_LAB=$other run -0 lab status
	DROVER_LAB=$other lab down
}

@test "--down removes the lab and says what is left" {
	run -0 quickstart --down
	[[ $output == *"is down"* ]]
	[[ $output == *"left: build/release"* ]]
	[ ! -e "$LAB_STATE" ]
	run -1 lab status
	run -0 quickstart --down
}
