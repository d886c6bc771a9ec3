#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# What a destination has promised, on real hosts: kept through the death of its agent, given to one of
# two, looked at again before the start, freed when its source is dead, and not promised at all while
# the host is out of memory.

# shellcheck disable=SC2016,SC2030,SC2031 # conditions are evaluated by wait_until

load drover.bash

# 448 MiB for guests on host2; one of the lab's guests of 128 MiB counts 192 with its overhead.
setup_file() { drover_lab reservations 3 --memory host2=512MiB; }
teardown_file() { lab_down; }
setup() { drover_reset; }
teardown() {
	lab_end_test
	for host in host1 host2; do
		lab shell "$host" rm -f /run/drover/failpoint /run/drover/failpoint.fired
	done
}

seen() { wait_until "drover vms $1 -o json 2>/dev/null | jq -e '.vms[0].movable' >/dev/null" 10; }
arm() { lab shell "$1" sh -c "rm -f /run/drover/failpoint.fired; echo '$2' >/run/drover/failpoint"; } # HOST POINT
fired() { lab shell "$1" test -e /run/drover/failpoint.fired; }
agent_pid() { lab status -o json | jq -r ".hosts[] | select(.name == \"$1\") | .agent_pid"; }
lease_get() { node_get host2 ".host.leases | map(select(.vmName == \"$1\")) | $2"; } # GUEST FILTER

# bats test_tags=slow
@test "F24: the destination agent is killed between reservation and use: the reservation is there again, and ends with its lease" {
	lab vm kept host1 --memory 128MiB
	seen kept
	arm host2 target_after_take_journaled
	drover -q migrate kept --to host2 --detach
	wait_until 'fired host2' 10
	# Nobody is left who could give it back.
	lab drover kill host1
	lab drover start host2
	wait_until '[ "$(lease_get kept length)" = 1 ]' 10
	[ "$(node_get host2 '.host.memoryReservedBytes | tonumber')" = "$(lease_get kept '.[0].memoryBytes | tonumber')" ]
	[ "$(lease_get kept '.[0].memoryBytes | tonumber')" -gt $((128 * 1048576)) ]
	[ "$(lease_get kept '.[0].sourceNode')" = host1 ]
	[ "$(lease_get kept '.[0].port')" -ge 49152 ]
	[ "$(lease_get kept '.[0].inUse // false')" = false ]
	wait_until '[ "$(node_get host2 ".host.slotsIn // 0")" = 0 ]' 45
	[ "$(qemu_starts kept host2)" = 0 ]
	lab drover start host1
	drover -q cancel "migration/$(migration_get kept .number)" || true
	wait_until '[ -z "$(drover migrations --active -o name)" ]' 60
	assert_all_well kept
}

# bats test_tags=slow
@test "F53: of two guests that come at once from two hosts, with room for one, exactly one is admitted each time" {
	lab vm ballast host2 --memory 128MiB
	lab vm left host1 --memory 128MiB
	lab vm right host3 --memory 128MiB
	for guest in ballast left right; do seen $guest; done
	for round in 1 2 3; do
		began_left=$(qemu_starts left host2) began_right=$(qemu_starts right host2)
		drover -q migrate left --to host2 --detach &
		drover -q migrate right --to host2 --detach &
		wait
		wait_until '[ "$(lab virsh host2 -q list --name --state-running | grep -c -e left -e right)" = 1 ]' 30
		came=$(lab virsh host2 -q list --name --state-running | grep -e left -e right)
		waits=left home=host3
		[ "$came" = right ] || waits=right home=host1
		wait_until "[[ \$(migration_get $waits .reason) == *memory* ]]" 15
		run -0 drover explain "vm/$waits"
		[[ $output == *memory*192\ MiB* ]] || fail "round $round: $output"
		[ "$(($(qemu_starts left host2) + $(qemu_starts right host2)))" = "$((began_left + began_right + 1))" ] ||
			fail "round $round: more than one QEMU was started on host2"
		drover -q cancel "migration/$(migration_get "$waits" .number)"
		wait_until '[ -z "$(drover migrations --active -o name)" ]' 20
		drover -q migrate "$came" --to "$home"
	done
	assert_all_well left@host1 right@host3 ballast@host2
}

@test "F55: what is started by hand between reservation and start makes the reservation lost; nothing is started, with numbers" {
	lab vm late host1 --memory 128MiB
	seen late
	arm host1 source_after_linked=stop
	drover -q migrate late --to host2 --detach
	wait_until 'fired host1' 15
	lab vm eater host2 --memory 256MiB
	kill -CONT "$(agent_pid host1)"
	wait_until '[[ $(migration_get late .reason) == *host2* ]]' 15
	wait_until '[ "$(migration_get late "[.report.checks[] | select(.id == \"reservation\")] | length")" = 1 ]' 10
	text=$(migration_get late '.report.checks[] | select(.id == "reservation") | .measured')
	echo "# $text"
	[[ $text == *"192 MiB were promised"*"for guests"* ]]
	[ "$(migration_get late '.report.errorCode')" -gt 0 ]
	[ "$(qemu_starts late host2)" = 0 ]
	assert_counter_goes_on late
	wait_until '[ "$(node_get host2 ".host.slotsIn // 0")" = 0 ]' 10
	# The room comes back, and so does the guest's turn.
	lab rm eater
	wait_until '[ "$(migration_get late .state)" = DONE ]' 60
	assert_all_well late@host2
}

# The lab's guests have no balloon driver, so nothing is really taken from them: what libvirt is told to
# leave them is half of their maximum, and it is the maximum that counts.
@test "F56: a guest that is to have half of its maximum is refused for its maximum" {
	lab vm ballast host2 --memory 192MiB
	lab vm small host1 --memory 192MiB --xml-only |
		sed -e "s|<currentMemory.*</currentMemory>||" -e "s|</memory>|</memory><currentMemory unit='KiB'>98304</currentMemory>|" \
			-e "s|<memballoon[^>]*/>|<memballoon model='virtio'/>|" >"$BATS_TEST_TMPDIR/small.xml"
	lab virsh host1 -q create "$BATS_TEST_TMPDIR/small.xml"
	seen small
	seen ballast
	[[ $(lab virsh host1 -q dumpxml small) == *"<memory unit='KiB'>196608</memory>"* ]]
	run -4 drover migrate small --to host2 --dry-run
	[[ $output == *"short of memory"* || $output == *"192 MiB RAM"* ]]
	[ "$(qemu_starts small host2)" = 0 ]
}

# bats test_tags=slow
@test "F57: the source dies after the reservation: it is free again within 45 s" {
	lab vm orphan host1 --memory 128MiB
	seen orphan
	arm host1 source_after_admit
	drover -q migrate orphan --to host2 --detach
	wait_until 'fired host1' 15
	died=$SECONDS
	wait_until '[ "$(lease_get orphan length)" = 1 ]' 5
	wait_until '[ "$(node_get host2 ".host.slotsIn // 0")" = 0 ]' 45
	((SECONDS - died <= 45)) || fail "free after $((SECONDS - died)) s"
	[ "$(node_get host2 '.host.memoryReservedBytes // 0 | tonumber')" = 0 ]
	[ -z "$(lab shell host2 find /run/drover/inbound -mindepth 1)" ]
	[ "$(qemu_starts orphan host2)" = 0 ]
	lab drover start host1
	drover -q cancel "migration/$(migration_get orphan .number)" || true
	wait_until '[ -z "$(drover migrations --active -o name)" ]' 60
	assert_all_well orphan
}

# bats test_tags=slow
@test "F58: memory is eaten on the destination until its QEMU is ended: the guest runs on, and the host takes nobody for a while" {
	[ -n "$(host_cgroup host2)" ] || skip "no memory cgroup on this machine"
	lab vm fat host1 --memory 256MiB --working-set 192MiB
	lab vm next host1 --memory 64MiB
	seen fat
	seen next
	lab link host1 migration rate 80mbit
	drover -q migrate fat --to host2 --detach
	wait_mid_copy fat host1 30000000
	target=$(for pid in $(qemu_pids fat); do
		[[ ! /proc/$pid/ns/net -ef /run/netns/drover-$DROVER_LAB-host2 ]] || echo "$pid"
	done)
	[ -n "$target" ]
	hog_until_gone host2 "$target"
	wait_until '[[ $(node_get host2 ".host.pressure // \"\"") == *"out of memory"* ]]' 15
	[ "$(node_get host2 '.host.pressureMs | tonumber > 0')" = true ]
	wait_until '[ "$(migration_get fat .state)" = FAILED ]' 30
	run -4 drover migrate next --to host2 --dry-run
	[[ $output == *"out of memory"* ]]
	[ "$(qemu_starts next host2)" = 0 ]
	lab link host1 migration rate 1gbit
	# Another host takes it.
	run -0 drover migrate next --to host3
	assert_counter_goes_on fat
	assert_guest_intact fat
}
