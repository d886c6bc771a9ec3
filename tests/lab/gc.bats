#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# What a migration could leave is looked for on both hosts when it is over, however it ended; what is left
# is named, and drover gc removes it when it can be. What drover says is held against what libvirt and the
# kernel say (leftovers, drover.bash).

# shellcheck disable=SC2016,SC2030,SC2031 # conditions are evaluated by wait_until

load failpoints.bash

setup_file() { drover_lab gc 2; }
teardown_file() { lab_down; }
setup() {
	drover_reset
	lab shell host2 mkdir -p /srv/drover/local
}
teardown() {
	lab_end_test
	disarm host1
	disarm host2
}

guest() { # NAME [OPTION...]
	lab vm "$1" host1 --memory 64MiB --working-set 8MiB "${@:2}"
	wait_until "drover vms $1 -o json | jq -e '.vms[0].movable' >/dev/null" 10
}

ended() { [[ $(migration_get "$1" .endedWallMs) != 0 ]]; }
number() { migration_get "$1" .number; }

# All that was looked for is gone, on both hosts, at least COUNT things; and it is so.
assert_clean() { # GUEST COUNT
	local open count
	wait_until "ended $1" 40
	open=$(migration_get "$1" '.report.remnants[] | select(.verdict != "GONE") | "\(.thing) \(.node) \(.text)"')
	count=$(migration_get "$1" '.report.remnants | length')
	[[ -z $open ]] || fail "drover says that something is left of $1: $open"
	((count >= $2)) || fail "only $count things were looked for after $1"
	[[ -z $(leftovers) ]] || fail "drover says that nothing is left of $1, but: $(leftovers)"
	run -0 drover show "migration/$(number "$1")"
	[[ $output =~ clean\ +$count/$count ]] || fail "$output"
}

@test "after a move and after a cancelled one both hosts were looked at, and drover says clean n/n; gc finds nothing" {
	guest mover --persistent
	lab link host1 migration rate 20mbit
	drover -q migrate mover --to host2 --detach
	wait_mid_copy mover host1
	drover -q cancel vm/mover
	assert_clean mover 10
	lab link host1 migration rate 1gbit
	run -0 drover migrate mover --to host2
	[[ $output =~ clean\ +([0-9]+)/([0-9]+) && ${BASH_REMATCH[1]} == "${BASH_REMATCH[2]}" ]] || fail "$output"
	assert_clean mover 9
	run -0 drover gc
	[[ $output == "Nothing is left"*"2 of 2 nodes looked at." ]] || fail "$output"
	assert_all_well mover@host2
}

@test "what cannot be removed is named with the host, the reason and what to do; gc removes it, and only it" {
	local directory log
	guest stuck
	lab link host1 migration rate 20mbit
	drover -q migrate stuck --to host2 --detach
	wait_mid_copy stuck host1
	# Somebody's file in the way of the directory's end.
	directory=$(lab shell host2 find /run/drover/inbound -mindepth 1 -maxdepth 1)
	lab shell host2 touch "$directory/mine"
	lab link host1 migration rate 1gbit
	run -0 drover watch "migration/$(number stuck)"
	[[ $output == *"1 left"*"directory on host2: $directory"*"drover gc host2"* ]] || fail "$output"
	# As long as it lies there, gc says so, and touches nothing of a move that is under way.
	guest other
	lab link host1 migration rate 20mbit
	drover -q migrate other --to host2 --detach
	wait_mid_copy other host1
	run -0 drover gc host2 --dry-run
	[[ $output == *"1 would be removed, 0 would be left; 1 of 1 nodes looked at."* ]] || fail "$output"
	run -5 drover gc
	[[ $output == *"LEFT"*"0 removed, 1 left; 2 of 2 nodes looked at."*"Directory not empty"* ]] || fail "$output"
	run -4 drover gc "migration/$(number other)"
	lab shell host2 rm "$directory/mine"
	run -0 drover gc "migration/$(number stuck)" -o json
	[ "$(jq -r '.items[] | "\(.thing) \(.node) \(.outcome)"' <<<"$output")" = "directory host2 REMOVED" ] || fail "$output"
	run -0 drover gc
	[[ $output == "Nothing is left"* ]] || fail "$output"
	lab link host1 migration rate 1gbit
	run -0 drover watch "migration/$(number other)"
	assert_clean other 9
	assert_clean stuck 9
	assert_all_well stuck@host2 other@host2
	# Who had it removed is in the audit chain.
	log=$LAB_STATE/hosts/coordinator/var-drover/coordinator-audit.log
	[ -e "$log" ] || log=$(find "$LAB_STATE" -name 'coordinator-audit.log' | head -1)
	run -0 drover audit "$log"
	[[ $output == *CollectGarbage* ]] || fail "$output"
}

# bats test_tags=slow
@test "a host that is silent at the end is not called clean: what nobody could look at says so, until it is back" {
	guest alone
	arm host1 source_before_release=stop
	drover -q migrate alone --to host2 --detach
	wait_until 'has_fired host1' 30
	lab drover stop host2
	kill -CONT "$(fired_pid host1)"
	wait_until 'ended alone' 40
	[[ $(migration_get alone '[.report.remnants[] | select(.verdict != "GONE")] | length') -gt 0 ]]
	run -0 drover show "migration/$(number alone)"
	[[ $output == *"not looked at"*"not looked"*"host2"* ]] || fail "$output"
	run -5 drover gc
	[[ $output == *"not looked on host2: its agent is not connected"* ]] || fail "$output"
	lab_drover_start >/dev/null 2>&1
	wait_until all_ready 20
	wait_until '[ -z "$(migration_get alone ".report.remnants[] | select(.verdict != \"GONE\") | .thing")" ]' 30
	assert_clean alone 9
	assert_all_well alone@host2
}

# Cancelled where PROGRAM's NODE stands still at POINT: it stays or goes, and nothing is left either way.
cancel_at() { # GUEST POINT [MIGRATE_OPTION...]
	arm host1 "$2=stop"
	drover -q migrate "$1" --to host2 --detach "${@:3}"
	wait_until 'has_fired host1' 30
	drover -q cancel "vm/$1" || true
	kill -CONT "$(fired_pid host1)"
	wait_until "ended $1" 60
}

# bats test_tags=slow
@test "cancelled while it is prepared: before the question to the destination, after its answer, when the tunnels stand" {
	local point nth=0
	for point in source_after_proofs_made source_after_admit source_after_linked source_before_migrate; do
		nth=$((nth + 1))
		guest "early$nth"
		cancel_at "early$nth" "$point"
		assert_clean "early$nth" 4
		assert_all_well "early$nth"
	done
	run -0 drover gc
}

# bats test_tags=slow
@test "cancelled at the switchover, and while it is judged: it stayed or it went, and nothing is left" {
	local point nth=0
	for point in source_at_switchover source_after_migrate source_before_judging; do
		nth=$((nth + 1))
		guest "last$nth" --storage lun
		cancel_at "last$nth" "$point"
		assert_clean "last$nth" 9
		assert_all_well "last$nth"
	done
	run -0 drover gc
}

# bats test_tags=slow
@test "cancelled while a disk is copied: the image, its export and its port are gone" {
	guest copied --storage local --qcow2 --disk 64MiB
	lab virsh host1 qemu-monitor-command copied --hmp 'qemu-io -d ide0-0-0 "write -P 0x5a 8M 32M"'
	lab link host1 migration rate 40mbit
	drover -q migrate copied --to host2 --copy-disks --detach
	wait_until 'lab virsh host1 domjobinfo copied 2>/dev/null | grep -q "File processed: *[1-9]"' 30
	drover -q cancel vm/copied
	assert_clean copied 13
	[ "$(migration_get copied '[.report.remnants[] | select(.thing == "images" or .thing == "nbd-export")] | length')" = 2 ]
	[ -z "$(lab shell host2 find /srv/drover/local -mindepth 1)" ]
	assert_all_well copied@host1
}

# bats test_tags=slow
@test "cancelled after the switch to post-copy: refused, it goes on, and nothing is left of it" {
	lab vm late host1 --memory 96MiB --working-set 48MiB --dirty 40MiB/s --storage file
	wait_until "drover vms late -o json | jq -e '.vms[0].movable' >/dev/null" 10
	drover -q migrate late --to host2 --ladder post-copy --max-downtime 20ms --detach
	wait_until '[ "$(guest_state late host2)" = running ]' 60
	lab link host1 migration rate 1mbit
	drover -q cancel vm/late || true
	lab link host1 migration rate 1gbit
	assert_clean late 9
	[ "$(migration_get late .state)" = DONE ]
	assert_all_well late@host2
}
