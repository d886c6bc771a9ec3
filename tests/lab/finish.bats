#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# The worst moment of a migration: the destination has been told to finish, and its answer is lost.
# Without a guard libvirt then runs the guest on both hosts (measured). Nothing the destination sends
# on the management network arrives from mid-copy on: neither libvirt's answers nor its agent's; what
# the source sends still gets there, the order to finish as well.

# shellcheck disable=SC2016,SC2030,SC2031 # conditions are evaluated by wait_until

load drover.bash

setup_file() { drover_lab finish 2; }
teardown_file() { lab_down; }
setup() { drover_reset; }
teardown() {
	heal 2>/dev/null || true
	lab_show_failure
}

mute() { lab shell host2 iptables -I OUTPUT -o mg0 -d 10.77.0.1 -j DROP; }
heal() { lab shell host2 iptables -D OUTPUT -o mg0 -d 10.77.0.1 -j DROP; }

# Runs nowhere twice, as often as it can be looked at.
assert_not_twice() { # GUEST
	[[ $(guest_state "$1" host1) != running || $(guest_state "$1" host2) != running ]] ||
		fail "$1 runs on both hosts"
}

# A move of GUEST to host2 whose last answers are lost, until libvirt on the source has given up.
lose_the_answer() { # GUEST VM_OPTION...
	lab vm "$1" host1 --memory 96MiB --working-set 48MiB "${@:2}"
	wait_until "drover vms $1 -o json | jq -e '.vms[0].movable' >/dev/null" 10
	lab link host1 migration rate 100mbit
	drover -q migrate "$1" --to host2 --detach
	wait_mid_copy "$1" host1 8000000
	mute
	# The copy arrives while nobody hears of it.
	wait_until "[[ \$(guest_state $1 host1) != running ]]" 20
	deadline=$((SECONDS + 60))
	# libvirt's keepalive takes half a minute; then the source has decided, and its job is gone.
	until [[ $SECONDS -gt $deadline ]] || lab virsh host1 domjobinfo "$1" 2>/dev/null | grep -q 'None'; do
		assert_not_twice "$1"
		sleep 0.2
	done
	assert_not_twice "$1"
	heal
	until [[ -z $(drover migrations --active -o name) || $SECONDS -gt $((deadline + 60)) ]]; do
		assert_not_twice "$1"
		sleep 0.2
	done
}

@test "F01, F50: a LUN without locks: the guest stays and the paused copy is removed, or it arrives and nothing is left" {
	lose_the_answer lonely --storage lun
	[ "$(migration_get lonely .report.guard)" = GUARD_TWO_STEP ]
	if [ "$(migration_get lonely .state)" = DONE ]; then
		assert_all_well lonely@host2
	else
		[ "$(migration_get lonely .state)" = FAILED ]
		assert_all_well lonely@host1
		lab link host1 migration rate 1gbit
		run -0 drover migrate lonely --to host2
		assert_all_well lonely@host2
	fi
}

# bats test_tags=slow
@test "F01: no disk at all, and persistent: as a LUN without locks" {
	lose_the_answer diskless --persistent
	[ "$(migration_get diskless .report.guard)" = GUARD_TWO_STEP ]
	[[ $(migration_get diskless .state) == DONE || $(migration_get diskless .state) == FAILED ]]
	assert_all_well diskless
}

# bats test_tags=slow
@test "F02: a file that both hosts see: QEMU's own lock keeps the source from going on" {
	lose_the_answer shared --storage file
	[ "$(migration_get shared .report.guard)" = GUARD_IMAGE_LOCK ]
	[ "$(migration_get shared .state)" = DONE ]
	assert_all_well shared@host2
}
