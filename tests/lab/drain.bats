#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# A drain from its question to its summary, on real hosts: guests leave live over the right network,
# a dry run is one, and guests that cannot move are named before anything is touched.

# shellcheck disable=SC2016,SC2030,SC2031 # conditions are evaluated by wait_until

load drover.bash

setup_file() { drover_lab drain 3; }
teardown_file() { lab_down; }
setup() { drover_reset; }
teardown() { lab_end_test; }

# A guest that QEMU cannot migrate: it shares memory with something on this host.
unmovable_vm() { # NAME HOST
	local xml=$BATS_TEST_TMPDIR/$1.xml
	lab vm "$1" "$2" --memory 64MiB --xml-only |
		sed "s|</devices>|<shmem name='with-$1' role='peer'><model type='ivshmem-plain'/><size unit='M'>4</size></shmem></devices>|" >"$xml"
	cp "$xml" "$LAB_STATE/guests/$1.xml"
	echo none >"$LAB_STATE/guests/$1.storage"
	lab virsh "$2" -q create "$xml"
	wait_until "drover vms $1 -o json | jq -e '.vms[0].node == \"$2\"' >/dev/null" 10
}

# What anybody could see change; not what changes by itself, as the age of what was measured does.
everything() {
	local host
	for host in $(lab_hosts); do
		lab virsh "$host" -q list --all
		lab shell "$host" find /run/drover /srv/drover -type f
	done
	drover vms -o json | jq -S 'del(.revision) | del(.vms[].revision, .vms[].state.memoryUse, .vms[].state.traffic)'
	drover nodes -o json | jq -S '[.nodes[] | {name, state, vms, migrationsIn, migrationsOut}]'
	drover drains -o json | jq '.drains | length'
	drover migrations -o json | jq '.migrations | length'
}

@test "a drain moves every guest live over the migration network and leaves the host in maintenance" {
	lab vm plain host1 --memory 64MiB
	lab vm lun host1 --memory 64MiB --storage lun
	lab vm file host1 --memory 64MiB --storage file --persistent
	for guest in plain lun file; do assert_counter_goes_on "$guest"; done
	wait_until '[ "$(drover vms -o json | jq ".vms | length")" = 3 ]' 10
	data=$(link_bytes host1 mi0) control=$(link_bytes host1 mg0)

	run -0 drover drain host1
	[[ $output == *"host1 is empty and in maintenance"* ]]
	data=$(($(link_bytes host1 mi0) - data)) control=$(($(link_bytes host1 mg0) - control))

	assert_all_well plain lun file
	[ -z "$(lab virsh host1 -q list --all --name)" ]
	[ "$(node_get host1 .state)" = maintenance ]
	for guest in plain lun file; do
		[ "$(qemu_starts_everywhere "$guest")" = 2 ]
		[ "$(migration_get "$guest" .state)" = DONE ]
		[ "$(migration_get "$guest" '.report.guard != "GUARD_NONE"')" = true ]
	done
	[ "$(lab virsh "$(vm_node file)" -q dominfo file | awk '/^Persistent/ { print $2 }')" = yes ]

	# Three working sets of 16 MiB went over the migration link; the management link carried
	# words, heartbeats and libvirt's small messages.
	((data > 3 * 16 * 1048576)) || fail "only $data bytes on the migration network"
	((control < 4 * 1048576)) || fail "$control bytes on the management network"
	# What eBPF counted of each is what the link carried, within a twentieth.
	wire=$(drover migrations -o json | jq '[.migrations[].report.wireBytes | tonumber] | add')
	((wire > data * 9 / 10 && wire < data * 21 / 20)) || fail "counted $wire, the link carried $data"
	[[ $(node_get host2 '.host.interfaces[0].source') == ebpf* ]]

	run -0 drover undrain host1
	[ "$(node_get host1 .state)" = ready ]
}

@test "a dry run shows the plan and changes nothing" {
	lab vm one host1 --memory 64MiB --storage file
	lab vm two host1 --memory 64MiB
	wait_until '[ "$(drover vms -o json | jq ".vms | length")" = 2 ]' 10
	before=$(everything)
	run -0 drover drain host1 --dry-run
	[[ $output == *one* && $output == *two* && $output == *host[23]* ]]
	run -0 drover migrate one --dry-run
	# Its plan is explained, and is none any more when a guest has gone.
	plan=$(drover -q drain host1 --dry-run -o json | jq -r .planId)
	run -0 drover explain "plan/$plan"
	[[ $output == *"holds"*"yes"*"% of the physical bound"*"why there"*"why then"*"at once"* ]]
	[ "$before" = "$(everything)" ] || diff <(echo "$before") <(everything)
	assert_all_well one@host1 two@host1
	lab rm two
	wait_until '[ "$(drover vms -o json | jq ".vms | length")" = 1 ]' 10
	run -0 drover explain "plan/$plan"
	[[ $output == *"holds"*"NO"*"two does not run on host1 any more"* ]]
}

@test "a guest that cannot move makes the drain refuse beforehand, naming it and the flags" {
	lab vm fine host1 --memory 64MiB
	unmovable_vm shared host1
	before=$(everything)
	for dry in "" --dry-run; do
		run -4 drover drain host1 --no-input $dry
		[[ $output == *shared* && $output == *"shared memory"* ]]
		[[ $output == *"--leave shared"* ]]
	done
	[ "$before" = "$(everything)" ] || diff <(echo "$before") <(everything)
	[ "$(node_get host1 .state)" = ready ]

	# With the flag it does what it can, and says that it is not all.
	run -5 drover drain host1 --leave shared
	[[ $output == *artly* ]]
	assert_all_well fine shared@host1
	[ "$(vm_node fine)" != host1 ]
	[ "$(node_get host1 .state)" != ready ]
}

@test "--unmovable leave leaves those that cannot move, without naming each" {
	lab vm fine host1 --memory 64MiB
	unmovable_vm shared host1
	run -5 drover drain host1 --unmovable leave --yes
	[[ $output == *artly* ]]
	assert_all_well fine shared@host1
	[ "$(vm_node fine)" != host1 ]
}

# Everything that drover wrote down of its own is gone; the hosts know.
# bats test_tags=slow
@test "F39: a drain whose whole store is lost goes on, as it was asked for" {
	lab vm early host1 --memory 128MiB --working-set 32MiB
	lab vm late host1 --memory 64MiB
	lab vm stays host1 --memory 64MiB
	wait_until '[ "$(drover vms -o json | jq ".vms | length")" = 3 ]' 10
	lab link host1 migration rate 100mbit
	drover drain host1 --leave stays --parallel 1 -m "new memory" --detach
	wait_until 'is_copying early host1 || is_copying late host1' 20
	epoch=$(drover status -o json | jq -r .epoch)
	lab drover kill coordinator
	lab shell coordinator find /var/lib/drover -name '*.db*' -delete
	[ -z "$(lab shell coordinator find /var/lib/drover -name '*.db')" ]
	lab drover start coordinator
	wait_until '[ "$(node_get host1 .state)" = draining ]' 20
	(($(drover status -o json | jq -r .epoch) > epoch))
	[ "$(drain_get '.leave[0]')" = stays ]
	[ "$(drain_get .parallel)" = 1 ]
	[[ $(drover events) == *"the store does not know it; the drain goes on"* ]]
	lab link host1 migration rate 1gbit
	wait_until '[ "$(drain_get .state)" = partly ]' 60
	assert_all_well early late stays@host1
	for guest in early late; do
		[ "$(qemu_starts_everywhere "$guest")" = 2 ] ||
			fail "a QEMU for $guest was started $(qemu_starts_everywhere "$guest") times, not once here and once there"
	done
}

@test "F62: a guest started by hand on a draining host is noticed and moved, and the drain is not over before" {
	lab vm first host1 --memory 128MiB --working-set 32MiB
	wait_until '[ "$(drover vms -o json | jq ".vms | length")" = 1 ]' 10
	lab link host1 migration rate 50mbit
	drover drain host1 --detach
	wait_mid_copy first host1
	lab vm second host1 --memory 64MiB
	wait_until '[[ $(drover events vm/second) == *"was started on host1, which is being drained"* ]]' 5
	lab link host1 migration rate 1gbit
	wait_until '[ "$(drain_get .state)" = completed ]' 60
	[ -z "$(lab virsh host1 -q list --name)" ]
	assert_all_well first second

	# So it is on a host that is empty, and shown as what it is.
	lab vm third host1 --memory 64MiB
	wait_until '[[ $(drover events vm/third) == *"in maintenance and not empty any more"* ]]' 5
	assert_all_well third@host1
}

# bats test_tags=slow
@test "F62: with libvirt's hook nobody starts a guest on a host that is drained, and nothing else is refused" {
	lab hook host1 on
	wait_until all_ready 20
	lab vm first host1 --memory 128MiB --working-set 32MiB
	lab vm stays host1 --memory 64MiB --persistent
	wait_until '[ "$(drover vms -o json | jq ".vms | length")" = 2 ]' 10
	lab link host1 migration rate 50mbit
	drover drain host1 --leave stays -m "new memory" --detach
	wait_mid_copy first host1
	run lab vm second host1 --memory 64MiB
	[ "$status" != 0 ]
	[[ $output == *"second is not started on host1: it is being drained: new memory"* ]]
	[[ $output == *"drover undrain host1"* ]]
	# A libvirtd that restarts takes up its guests, and who may stay may start again.
	lab libvirtd host1 restart
	[ "$(guest_state stays host1)" = running ]
	lab virsh host1 -q destroy stays
	lab virsh host1 -q start stays
	lab link host1 migration rate 1gbit
	wait_until '[ "$(drain_get ".endedWallMs | tonumber > 0")" = true ]' 90
	run lab vm second host1 --memory 64MiB
	[ "$status" != 0 ]
	[[ $output == *"in maintenance"* ]]

	# The drain is over: starts and guests on their way in are as ever; so they are without drover.
	drover undrain host1
	lab vm second host1 --memory 64MiB
	drover migrate first --to host1
	assert_runs_only_on first host1
	drover drain host1 --leave stays --leave first --leave second --detach
	wait_until 'lab shell host1 test -e /run/drover/no-starts' 10
	lab drover stop host1
	lab vm third host1 --memory 64MiB
	lab drover start host1
	lab hook host1 off
}

@test "whether there is room, where a guest would go, and the whole drain on paper, without touching anything" {
	lab vm paper1 host1 --memory 64MiB
	lab vm paper2 host1 --memory 64MiB
	wait_until '[ "$(drover vms -o json | jq "[.vms[] | select(.movable)] | length")" = 2 ]' 30
	before=$(everything)

	run -0 drover capacity host1
	[[ $output == *"host1"*"yes"* && $output == *"paper1"*"host"* && $output == *"paper2"*"host"* ]]
	drover capacity --guest 64MiB,1cpu -o json |
		jq -e '(.nodes | length) == 3 and .exact and .room.guests > 0 and .spareBytes > 0'
	run -0 drover place --like paper1
	[[ $output == host[123]": the roomiest of "* ]]
	run -0 drover why-not paper1 host2
	[[ $output == *"drover would choose host"* ]]

	drover export "$BATS_TEST_TMPDIR/state.json"
	jq -e '.format == 2 and .cluster != "" and (.nodes | length) == 3 and (.vms | length) == 2 and
		.limits.cluster > 0' "$BATS_TEST_TMPDIR/state.json"
	run ! grep -iE 'BEGIN [A-Z ]*(KEY|CERTIFICATE)|drv1\.' "$BATS_TEST_TMPDIR/state.json"
	drover export | "$REPO/tools/simulate" --state - --drain host1 -o json |
		jq -e '.outcome == "completed" and .moved == 2 and .left == 0 and .makespanMs >= .boundMs'

	[ "$(everything)" = "$before" ]
}
