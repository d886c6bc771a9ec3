#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# A guest that has moved is compared on its destination with what had left, on real hosts; and what is kept
# of its migration is whole, and outlives those who kept it.

# shellcheck disable=SC2016,SC2030,SC2031 # conditions are evaluated by wait_until

load failpoints.bash

setup_file() { drover_lab verify 2; }
teardown_file() { lab_down; }
setup() { drover_reset; }
teardown() {
	disarm host1
	disarm host2
	lab_end_test
}

# A guest with a disk, an interface, a definition and autostart.
whole_guest() { # NAME
	new_guest "$1" host1 --persistent
	lab virsh host1 -q autostart "$1"
	wait_until "drover vms $1 -o json | jq -e '.vms[0].state.autostart' >/dev/null" 10
}

# What drover keeps of GUEST's migration, for people and as JSON, without what is counted from now.
history_of() {
	local migration
	migration=migration/$(migration_get "$1" .number)
	drover show "$migration"
	drover explain "$migration" -o json | jq -S '.migration | del(.revision, .report.progress.etaMs, .report.progress.expectedDowntimeMs)'
}

verification_get() { migration_get "$1" ".report.verification[] | select(.id | startswith(\"$2\")) | $3"; } # GUEST ID FILTER

# bats test_tags=slow
@test "a guest that moved is verified at its destination, and its whole history outlives a restart of all who kept it" {
	whole_guest whole
	run -0 drover migrate whole --to host2 --max-downtime 350ms
	[[ $output == *"verified   8/8"* ]]
	assert_all_well whole@host2
	[[ $(lab virsh host2 dominfo whole) =~ Autostart:\ +enable ]]

	# Each check says what it measured.
	[[ $(verification_get whole state .measured) == running* ]]
	[[ $(verification_get whole identity .measured) == "whole, $(lab virsh host2 -q domuuid whole)" ]]
	[ "$(verification_get whole definition .measured)" = "defined, autostart on" ]
	[[ $(verification_get whole disk/hda .measured) == "/srv/drover/lun/whole, raw, 16 MiB, opened by QEMU" ]]
	[[ $(verification_get whole network/52:54:00 .measured) == "bridge br0, link up; its tap vnet"*" is in br0" ]]
	[ "$(verification_get whole source .measured)" = "none is left" ]
	# The tiny guest has no agent: its clock is not asked, and that is said.
	[ "$(migration_get whole .report.notVerified)" = "the guest's clock: the guest has no agent to ask" ]
	drover events | grep -q 'whole: host1 -> host2 done in .*, verified 8/8'

	# Settings and whose they are, checks, passes, guard, downtime, bytes, outcome.
	history_of whole >"$BATS_TEST_TMPDIR/before"
	grep -q 'maxDowntime *350 ms *asked for with it (drover migrate)' "$BATS_TEST_TMPDIR/before"
	grep -q 'completionTimeoutPerGiB *13 min 20 s per GiB *built-in default' "$BATS_TEST_TMPDIR/before"
	grep -q 'tls *yes *the cluster.s migration/tls' "$BATS_TEST_TMPDIR/before"
	grep -q 'noGuard *no *built-in default' "$BATS_TEST_TMPDIR/before"
	grep -q '^  state  *done$' "$BATS_TEST_TMPDIR/before"
	grep -q '^  passes  *[1-9]' "$BATS_TEST_TMPDIR/before"
	grep -q '^  guard  *two-step' "$BATS_TEST_TMPDIR/before"
	grep -q '^  downtime  *[1-9][0-9]* ms' "$BATS_TEST_TMPDIR/before"
	grep -q '^  sent  *[1-9].* MiB' "$BATS_TEST_TMPDIR/before"
	grep -q '^  on the wire  *[1-9].* MiB' "$BATS_TEST_TMPDIR/before"
	grep -q '^  verified  *8/8$' "$BATS_TEST_TMPDIR/before"
	grep -q '^  memory  *pass ' "$BATS_TEST_TMPDIR/before"

	lab drover restart host1 >/dev/null
	lab drover restart host2 >/dev/null
	lab drover restart coordinator >/dev/null
	wait_until all_ready 20
	history_of whole >"$BATS_TEST_TMPDIR/after"
	diff "$BATS_TEST_TMPDIR/before" "$BATS_TEST_TMPDIR/after"
}

# Between the guest's arrival and the look at it, the agent that is to look stands still.
@test "a cable that is pulled and a tap that left its bridge are told as differences, and nothing is undone" {
	local tap mac
	new_guest differs host1
	arm host2 target_before_verify=stop
	drover -q migrate differs --to host2 --detach
	wait_until 'has_fired host2 && [[ -n $(fired_pid host2) ]]' 20
	[ "$(guest_state differs host2)" = running ]
	read -r tap _ _ _ mac < <(lab virsh host2 -q domiflist differs)
	lab virsh host2 -q domif-setlink differs "$mac" down
	lab shell host2 ip link set "$tap" nomaster
	kill -CONT "$(fired_pid host2)"
	wait_until '[ "$(migration_get differs .state)" = DONE ]' 20

	[ "$(migration_get differs .reason)" = "moved, with differences: network/$mac" ]
	[ "$(verification_get differs network/ .verdict)" = FAIL ]
	[ "$(verification_get differs network/ .measured)" = "bridge br0, link down; its tap $tap is in no bridge" ]
	[ "$(verification_get differs network/ .required)" = "bridge br0, link up" ]
	run -0 drover show "migration/$(migration_get differs .number)"
	[[ $output == *"verified       7/8: it moved, with differences"*"network/$mac: bridge br0, link down"* ]]
	drover events | grep "warning.*differs moved to host2 with a difference: network/$mac" |
		grep -q "on host2: ip link set $tap master br0"
	assert_all_well differs@host2
}

# bats test_tags=slow
# The next agent of the source has no connection to libvirt yet when it asks what is left there: that is no
# difference.
@test "either agent dies before the guest was looked at: the next one sees to it" {
	local host point
	while read -r host point; do
		new_guest "later-$host" host1
		arm "$host" "$point"
		drover -q migrate "later-$host" --to host2 --detach
		wait_until "has_died $host" 20
		lab_drover_start "$host" >/dev/null
		wait_until "[ \"\$(migration_get later-$host .state)\" = DONE ]" 30
		[ "$(migration_get "later-$host" '.report.verification | map(select(.verdict != "PASS")) | tojson')" = "[]" ]
		[ "$(migration_get "later-$host" '.report.verification | length')" = 8 ]
		assert_all_well "later-$host@host2"
		disarm "$host"
	done < <(printf '%s\n' 'host1 source_before_verify' 'host2 target_before_verify')
}

# bats test_tags=slow
@test "a guest on a libvirt network is found in that network's bridge; an agent that does not answer is no difference" {
	local host
	printf '%s\n' "<network><name>flat</name><forward mode='bridge'/><bridge name='br0'/></network>" >"$BATS_TEST_TMPDIR/flat.xml"
	# One name, and on each host the bridge that stands for it there.
	lab virsh host1 -q net-create "$BATS_TEST_TMPDIR/flat.xml"
	lab shell host2 ip link add br1 type bridge
	lab shell host2 ip link set br1 up
	sed -i s/br0/br1/ "$BATS_TEST_TMPDIR/flat.xml"
	lab virsh host2 -q net-create "$BATS_TEST_TMPDIR/flat.xml"
	# The image that it starts from is put there with the first guest.
	new_guest first host2
	lab vm onflat host1 --memory 64MiB --xml-only | sed \
		-e "s|<interface type='bridge'><source bridge='br0'/>|<interface type='network'><source network='flat'/>|" \
		-e "s|</devices>|<channel type='unix'><target type='virtio' name='org.qemu.guest_agent.0'/></channel></devices>|" \
		>"$BATS_TEST_TMPDIR/onflat.xml"
	lab virsh host1 -q create "$BATS_TEST_TMPDIR/onflat.xml"
	wait_until "drover vms onflat -o json 2>/dev/null | jq -e '.vms[0].movable' >/dev/null" 15
	run -0 drover migrate onflat --to host2
	[[ $output == *"verified   7/7"* ]]
	[[ $(verification_get onflat network/ .measured) == "network flat, link up; its tap vnet"*" is in br1" ]]
	[ "$(verification_get onflat definition .measured)" = "transient: without a definition" ]
	[ "$(migration_get onflat .report.notVerified)" = "the guest's clock: the guest's agent is not connected" ]
	lab virsh host2 -q destroy onflat
	for host in host1 host2; do
		lab virsh "$host" -q net-destroy flat
	done
	lab shell host2 ip link delete br1
}
