#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# What the destination's agent refuses, on real hosts: it says what it measured, who is in the way and
# what to do; nothing is touched; and what was waiting goes on by itself when the obstacle is gone.

# shellcheck disable=SC2016,SC2030,SC2031 # conditions are evaluated by wait_until

load drover.bash

# 448 MiB for guests on host2; one of the lab's guests of 128 MiB counts 192 with its overhead.
setup_file() { drover_lab admission 2 --memory host2=512MiB; }
teardown_file() { lab_down; }
setup() { drover_reset; }
teardown() {
	free_ports
	lab_end_test
}

seen() { wait_until "drover vms $1 -o json 2>/dev/null | jq -e '.vms[0].movable' >/dev/null" 10; }

# hold_port PORT: a process of somebody else's listens on it on host2.
hold_port() {
	lab shell host2 perl -MIO::Socket::INET -e '
		exit if fork;
		$0 = "backup-daemon";
		$s = IO::Socket::INET->new(LocalAddr => "10.78.0.2", LocalPort => $ARGV[0], Listen => 1, ReuseAddr => 1) or die $@;
		sleep 600' "$1" </dev/null >/dev/null 2>&1 3>&-
	wait_until "[ -n \"\$(port_holder $1)\" ]" 5
}
port_holder() { lab shell host2 ss -Hltnp "sport = :$1" | sed -n 's/.*pid=\([0-9]*\).*/\1/p'; }
free_ports() {
	local port pid
	for port in 49152 49153; do
		pid=$(port_holder "$port")
		[[ -z $pid || $(tr '\0' ' ' <"/proc/$pid/cmdline") != backup-daemon* ]] || kill "$pid"
	done
}

# GUEST is still where it was, and host2 has seen nothing of it but a question.
assert_untouched() {
	assert_all_well "$1@host1"
	[ "$(qemu_starts "$1" host2)" = 0 ]
	[ "$(migration_get "$1" '.report.progress.memoryProcessedBytes // 0 | tonumber')" = 0 ]
}

@test "F60: of two guests with room for one, one moves and the other waits, says for what, and moves when there is room" {
	lab vm ballast host2 --memory 128MiB
	lab vm ram1 host1 --memory 128MiB
	lab vm ram2 host1 --memory 128MiB
	for guest in ballast ram1 ram2; do seen "$guest"; done
	drover -q drain host1 --detach --no-input
	wait_until '[ "$(drover vms --node host2 -o json | jq ".vms | length")" = 2 ]' 20
	wait_until '[ -z "$(drover migrations --active -o json | jq -r ".migrations[] | select(.state == \"RUNNING\" or .state == \"SWITCHING\").number")" ]' 20
	moved=$(lab virsh host2 -q list --name | grep ram)
	waits=$(lab virsh host1 -q list --name | grep ram)
	[ "$moved" != "$waits" ]
	# With numbers: what it needs and what there is.
	wait_until '[[ $(drain_vm_get $waits .reason) == *"short of memory"* ]]' 10
	run -0 drover explain "vm/$waits"
	[[ $output == *memory*192\ MiB* ]]
	[ "$(drain_get .endedWallMs)" = 0 ]
	[ "$(qemu_starts "$waits" host2)" = 0 ]

	lab rm ballast
	wait_until '[ "$(drain_get .state)" = completed ]' 40
	assert_all_well "$moved@host2" "$waits@host2"
}

@test "F16: a port held by somebody else is passed over, and admission says who holds it" {
	lab vm oneport host1 --memory 64MiB
	seen oneport
	hold_port 49152
	run -0 drover migrate oneport --to host2
	[ "$(migration_get oneport '.report.checks[] | select(.id == "port") | .measured | contains("49153 free")')" = true ]
	free_ports
	assert_all_well oneport@host2
}

@test "F16: with every port held admission names the process and what to do, and nothing is touched" {
	lab vm noport host1 --memory 64MiB
	seen noport
	hold_port 49152
	hold_port 49153
	holder=$(port_holder 49152)
	run -4 drover migrate noport --to host2 --dry-run
	[[ $output == *port* && $output == *backup-daemon* && $output == *"$holder"* ]]
	drover -q migrate noport --to host2 --detach
	wait_until '[[ $(migration_get noport .reason) == *port*backup-daemon* ]]' 10
	run -0 drover explain "vm/noport"
	[[ $output == *"$holder"* ]]
	[ "$(migration_get noport '[.report.checks[] | select(.id == "port") | .remedy] | first | length > 10')" = true ]
	[ "$(qemu_starts noport host2)" = 0 ]
	assert_counter_goes_on noport
	[ -z "$(lab shell host2 find /run/drover/inbound -mindepth 1)" ]

	free_ports
	wait_until '[ "$(migration_get noport .state)" = DONE ]' 40
	assert_all_well noport@host2
}

@test "F17: a guest of the same name on the destination refuses the move" {
	lab vm twin host1 --memory 64MiB
	seen twin
	lab vm twin host1 --memory 64MiB --xml-only >"$BATS_TEST_TMPDIR/twin.xml"
	lab virsh host2 -q define "$BATS_TEST_TMPDIR/twin.xml"
	other=$(lab virsh host2 -q domuuid twin)
	own=$(lab virsh host1 -q domuuid twin)
	run -4 drover migrate "$own" --to host2 --dry-run
	[[ $output == *name* && $output == *"$other"* ]]
	run -4 drover drain host1 --dry-run
	[[ $output == *"not move"*name* ]]
	[ "$(lab virsh host2 -q domuuid twin)" = "$other" ]
	lab virsh host2 -q undefine twin
	[ "$(guest_state twin host1)" = running ]
	run ! lab shell host2 test -e /var/log/libvirt/qemu/twin.log
}

@test "a cordoned node takes no guest, by either door" {
	lab vm shy host1 --memory 64MiB
	seen shy
	drover -q cordon host2 -m "new disks"
	run -4 drover migrate shy --to host2 --dry-run
	[[ $output == *cordoned* ]]
	run -4 drover drain host1 --dry-run
	[[ $output == *"not move"*cordoned* ]]
	# Everything else is asked as well, and nothing is reserved by asking.
	run -4 drover why-not shy host2
	[[ ${lines[0]} == "shy cannot move to host2 now: node"* ]]
	[[ $output == *"new disks"*passes:*memory*port* ]]
	[ "$(node_get host2 .host.slotsIn)" = 0 ]
	assert_untouched shy
	drover -q uncordon host2
	run -0 drover why-not shy host2
	run -0 drover migrate shy --to host2
	assert_all_well shy@host2
}

@test "a bridge that is missing on the destination refuses the move, naming it" {
	lab vm wired host1 --memory 64MiB
	seen wired
	lab shell host2 ip link set br0 name br7
	run drover migrate wired --to host2 --dry-run
	lab shell host2 ip link set br7 name br0
	[ "$status" = 4 ]
	[[ $output == *network*br0* ]]
	assert_untouched wired
}

@test "what a guest's XML names of its host, and the destination lacks, refuses the move by name" {
	lab vm tied host1 --memory 64MiB --xml-only >"$BATS_TEST_TMPDIR/tied.xml"
	sed -i -e "s|<memballoon|<graphics type='vnc' autoport='yes' listen='10.99.0.1'/>&|" \
		-e "s|<memballoon|<serial type='file'><source path='/srv/drover/local/lines/a.log' append='on'/></serial>&|" \
		-e "s|<memballoon|<channel type='unix'><target type='virtio' name='org.qemu.guest_agent.0'/></channel>&|" \
		-e "s|</interface>|<mtu size='1500'/>&|" "$BATS_TEST_TMPDIR/tied.xml"
	lab shell host1 sh -c 'ip address replace 10.99.0.1/32 dev lo && mkdir -p /srv/drover/local/lines'
	lab virsh host1 -q create "$BATS_TEST_TMPDIR/tied.xml"
	seen tied
	lab shell host2 ip link set br0 mtu 1400
	run drover migrate tied --to host2 --dry-run
	lab shell host2 ip link set br0 mtu 1500
	[ "$status" = 4 ] || fail "$output"
	for words in graphics/vnc 10.99.0.1 /srv/drover/local/lines "MTU of 1400" "guest agent does not answer"; do
		[[ $output == *"$words"* ]] || fail "$words is not in $output"
	done
	[ "$(qemu_starts tied host2)" = 0 ]
	lab shell host2 sh -c 'ip address replace 10.99.0.1/32 dev lo && mkdir -p /srv/drover/local/lines'
	run -0 drover migrate tied --to host2
	[ "$(guest_state tied host2)" = running ]
	lab virsh host2 -q destroy tied
}

@test "F17: the same guest, defined at the destination, is no obstacle; one that runs there is a second copy" {
	lab vm same host1 --memory 64MiB
	seen same
	lab virsh host1 -q dumpxml same --migratable >"$BATS_TEST_TMPDIR/same.xml"
	lab virsh host2 -q create --paused "$BATS_TEST_TMPDIR/same.xml"
	run -4 drover why-not same host2
	[[ $output == *conflict/uuid* ]] || fail "$output"
	run -4 drover drain host1 --dry-run
	[ "$(guest_state same host1)" = running ]
	lab virsh host2 -q destroy same
	lab virsh host2 -q define "$BATS_TEST_TMPDIR/same.xml"
	wait_until 'drover why-not same host2 >/dev/null' 15
	run -0 drover migrate same --to host2
	assert_counter_goes_on same
	assert_guest_intact same
}

@test "F19, F20: a disk that is another file at the destination, or that cannot be written there, stays where it is" {
	lab vm alone host1 --memory 64MiB --storage local
	seen alone
	lab shell host2 sh -c 'mkdir -p /srv/drover/local && head -c 1M /dev/urandom >/srv/drover/local/alone.img'
	before=$(lab shell host2 sha256sum /srv/drover/local/alone.img)
	run -4 drover migrate alone --to host2 --dry-run
	[[ $output == *disk/* ]] || fail "$output"
	[ "$(lab shell host2 sha256sum /srv/drover/local/alone.img)" = "$before" ]
	lab shell host2 rm /srv/drover/local/alone.img
	assert_untouched alone

	lab vm readonly host1 --memory 64MiB --storage file
	seen readonly
	lab shell host2 mount --bind /srv/drover/shared /srv/drover/shared
	lab shell host2 mount -o remount,ro,bind /srv/drover/shared
	run drover migrate readonly --to host2 --dry-run
	lab shell host2 umount /srv/drover/shared
	[ "$status" = 4 ] || fail "$output"
	[ "$(guest_state readonly host1)" = running ]
	run -0 drover migrate readonly --to host2
	assert_all_well readonly@host2
}
