#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# What is not dead but does not answer, while a guest moves: a QEMU, a libvirtd, a link that carries next to
# nothing, and a person who moves the guest by hand.

# shellcheck disable=SC2016,SC2030,SC2031 # conditions are evaluated by wait_until

load drover.bash

setup_file() { drover_lab stopped 2; }
teardown_file() { lab_down; }
setup() {
	drover_reset
	STOPPED=()
	lab link host1 migration rate 40mbit
}
teardown() {
	local pid
	for pid in "${STOPPED[@]}"; do kill -CONT "$pid" 2>/dev/null || true; done
	lab_end_test
}

stop_process() { # PID
	STOPPED+=("$1")
	kill -STOP "$1"
}
go_on() { kill -CONT "$1"; }

# on_host HOST COMM: the process of that name there.
on_host() {
	local pid
	for pid in $(ip netns pids "drover-$DROVER_LAB-$1"); do
		[[ $(cat "/proc/$pid/comm" 2>/dev/null) != "$2" ]] || printf '%s\n' "$pid"
	done | head -n1
}
qemu_on() { # GUEST HOST
	qemu_pids "$1" | while read -r pid; do
		[[ ! /proc/$pid/ns/net -ef /run/netns/drover-$DROVER_LAB-$2 ]] || printf '%s\n' "$pid"
	done
}
migration_is() { [[ $(migration_get "$1" .state) == "$2" ]]; } # GUEST STATE

begin() { # GUEST [VM_OPTION...]: in mid-copy, with more to come
	lab vm "$1" host1 --memory 96MiB --working-set 64MiB "${@:2}"
	wait_until "drover vms $1 -o json | jq -e '.vms[0].movable' >/dev/null" 10
	drover -q migrate "$1" --to host2 --detach
	wait_mid_copy "$1" host1
}

# bats test_tags=slow
@test "F09: the destination's QEMU is stopped for a minute: the move is given up, the guest stays, nothing is left" {
	local pid
	begin held
	pid=$(qemu_on held host2)
	stop_process "$pid"
	# Its libvirtd cannot end it before it goes on; the guest here runs meanwhile.
	wait_until 'lab drover log host1 | grep -q "held.*giving up: no byte moved"' 90
	assert_counter_goes_on held
	go_on "$pid"
	wait_until 'migration_is held FAILED' 60
	assert_all_well held@host1
}

# bats test_tags=slow
@test "F10: the source's libvirtd is stopped for 20 s: the guest moves once, or stays" {
	local pid
	begin slow
	pid=$(on_host host1 libvirtd)
	stop_process "$pid"
	sleep 20 # the case itself
	go_on "$pid"
	wait_until 'migration_is slow DONE || migration_is slow FAILED' 60
	(($(qemu_starts_everywhere slow) == 2))
	assert_all_well slow
}

# bats test_tags=slow
@test "F11: a guest that reboots in mid-copy arrives all the same" {
	begin again
	# libvirt's own command waits for the end of the move; a guest does not.
	lab virsh host1 qemu-monitor-command again '{"execute":"system_reset"}' >/dev/null
	wait_until 'migration_is again DONE' 60
	assert_runs_only_on again host2
	assert_counter_goes_on again
	wait_until '[ -z "$(leftovers)" ]' 15
}

# bats test_tags=slow
@test "F11: a guest that powers off in mid-copy has powered off: said so, started nowhere, nothing is left" {
	begin leaves
	# What its own kernel would write to sleep for good (PIIX4's PM1a_CNT: SLP_EN, S5).
	lab virsh host1 qemu-monitor-command leaves --hmp 'o /w 0x604 0x2000' >/dev/null
	wait_until 'migration_is leaves FAILED' 30
	[[ $(migration_get leaves .reason) == *"powered off at its source"* ]] || fail "$(migration_get leaves .reason)"
	[ -z "$(lab virsh host1 -q list --all --name)$(lab virsh host2 -q list --all --name)" ]
	[ -z "$(qemu_pids leaves)" ]
	wait_until '[ -z "$(leftovers)" ]' 15 || fail "left over: $(leftovers)"
}

# bats test_tags=slow
@test "F12: what a person destroys at the destination in mid-copy is only the copy: the guest goes on, and that is said" {
	begin copied
	lab virsh host2 -q destroy copied || kill -KILL "$(qemu_on copied host2)"
	wait_until 'migration_is copied FAILED' 30
	assert_all_well copied@host1
}

# bats test_tags=slow
@test "F12: a guest that a person pauses in mid-copy arrives paused, and runs when that person says so" {
	begin paused --storage lun
	lab virsh host1 -q suspend paused
	wait_until 'migration_is paused DONE' 60
	[ "$(guest_state paused host2)" = paused ]
	lab virsh host2 -q resume paused
	assert_all_well paused@host2
}

# bats test_tags=slow
@test "F13: a move that a person began by hand is seen, and drover begins none beside it" {
	lab vm hand host1 --memory 96MiB --working-set 64MiB
	wait_until "drover vms hand -o json | jq -e '.vms[0].movable' >/dev/null" 10
	managed_move hand host1 host2 >/dev/null 2>&1 &
	wait_mid_copy hand host1
	run ! drover migrate hand --to host2 --dry-run
	# Refused by the destination, or before, when the agent here has seen whose job it is.
	[[ $output == *"active guest of this uuid"* || $output == *"a job that is not drover's runs on it"* ]] || fail "$output"
	run ! drover migrate hand --to host2 --timeout 5s
	[[ $(drover vms hand -o wide) == *"a job that is not drover's runs on it"* ]] || fail "$(drover vms hand -o wide)"
	wait
	[ "$(qemu_starts_everywhere hand)" = 2 ]
	assert_all_well hand@host2
}

# agent_says HOST FIELD: of its own health, asked of it from the other host.
agent_says() {
	timeout 1 "$LAB" shell host2 "$DROVER_BUILD_DIR/tools/drover/drover" rpc call "tcp://10.77.0.${1#host}:7788" \
		drover.v1.Health/Check --ca /etc/drover/ca.pem --cert /etc/drover/agent.pem \
		--key /etc/drover/agent-key.pem | jq -r "$2"
}

# bats test_tags=slow
@test "F31: a libvirtd that accepts and never answers: its host is shown so, and the agent goes on answering" {
	local pid until
	lab vm calm host1 --memory 64MiB
	pid=$(on_host host1 libvirtd)
	stop_process "$pid"
	wait_until '[ "$(node_get host1 .state)" = no-libvirt ]' 60
	[[ $(node_get host1 .reason) == *"does not answer"* ]] || fail "$(node_get host1 .reason)"
	drover events | grep -q "libvirt on host1 cannot be asked"
	until=$((SECONDS + 300)) # the case itself
	while ((SECONDS < until)); do
		[ "$(agent_says host1 .state)" = NOT_SERVING ] || fail "no answer of the agent within 1 s, or a wrong one"
		[[ $(agent_says host1 '.reasons | join(" ")') == *libvirt* ]]
		[ "$(vm_node calm)" = host1 ]
		sleep 15
	done
	# A move there or away is refused, or waits, and does not hang.
	run timeout 30 "$DROVER_BUILD_DIR/tools/drover/drover" migrate calm --to host2 --dry-run
	[[ $status != 0 && $status != 124 && $output == *libvirt* ]] || fail "$status: $output"
	go_on "$pid"
	wait_until all_ready 30
	assert_all_well calm@host1
}

# bats test_tags=slow
@test "F31: a libvirtd that stops for seconds again and again does not take the agent with it" {
	local pid
	lab vm calm host1 --memory 64MiB
	for _ in 1 2 3 4 5 6; do
		pid=$(on_host host1 libvirtd)
		stop_process "$pid"
		wait_until '[ "$(node_get host1 .state)" = no-libvirt ]' 30
		sleep 6 # the case itself: calls wait meanwhile
		go_on "$pid"
		wait_until all_ready 30
	done
	# Nobody has died and been started again.
	run lab drover log host1
	[ "$(grep -c "agent .* of host1 listens" <<<"$output")" = 1 ] || fail "$output"
	[[ $output != *"ended by signal"* ]] || fail "$output"
	assert_all_well calm@host1
}

# bats test_tags=slow
@test "F49: a migration network of 1 Mbit/s: no end is promised, and a cancel takes less than 5 s" {
	local began
	begin thin
	lab link host1 migration rate 1mbit
	wait_until "drover migrations --vm thin -o json | jq -e '.migrations[0].report.progress.transferBytesPerS | tonumber < 1000000' >/dev/null" 20
	began=$SECONDS
	drover -q cancel vm/thin
	wait_until 'migration_is thin CANCELLED' 10
	((SECONDS - began <= 6)) || fail "the cancel took $((SECONDS - began)) s"
	assert_all_well thin@host1
}
