#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Guests whose disk lies on their own host alone: with --copy-disks it goes along, and is theirs there;
# without, or without room, or over somebody's file, nothing is touched. Whatever breaks on the way, the
# guest goes on where it was, and what was made for it is gone.

# shellcheck disable=SC2016,SC2030,SC2031 # conditions are evaluated by wait_until

load failpoints.bash

setup_file() { drover_lab copy 2; }
teardown_file() { lab_down; }
setup() {
	drover_reset
	lab shell host2 mkdir -p /srv/drover/local
}
teardown() {
	lab_show_failure
	lab shell host2 sh -c 'mountpoint -q /srv/drover/local && umount /srv/drover/local || true'
	disarm host2
}

image_on() { printf '%s/srv/local/%s.img\n' "$(host_dir "$1")" "$2"; } # HOST GUEST
seen() { wait_until "drover vms $1 -o json 2>/dev/null | jq -e '.vms[0].movable' >/dev/null" 10; }
# What lies in host2's directory, names that begin with a dot too.
on_host2() { lab shell host2 find /srv/drover/local -mindepth 1 -printf '%f\n'; }

# A guest NAME on host1 with a disk of SIZE in qcow2, 2 MiB of which are known.
private_guest() { # NAME SIZE [OPTION...]
	lab vm "$1" host1 --memory 64MiB --working-set 8MiB --storage local --qcow2 --disk "$2" "${@:3}"
	seen "$1"
}

# Written through QEMU while the guest runs, far from where the guest writes.
mark_disk() { # GUEST OFFSET LENGTH
	local said
	# What it did is said to QEMU's own output; only an error comes back.
	said=$(lab virsh host1 qemu-monitor-command "$1" --hmp "qemu-io -d ide0-0-0 \"write -P 0x5a $2 $3\"")
	[[ $said != *[eE]rror* ]] || fail "$said"
}
has_mark() { # FILE OFFSET LENGTH
	local said
	said=$(qemu-io -r -U -f qcow2 -c "read -P 0x5a $2 $3" "$1" 2>&1 || true)
	[[ $said == *bytes* && $said != *failed* ]] || fail "$said"
}

# The disk of GUEST is being copied, by libvirt's word.
copies_disk() {
	lab virsh host1 domjobinfo "$1" 2>/dev/null | grep -q 'File processed: *[1-9]'
}
begin_slow_copy() { # GUEST
	private_guest "$1" 64MiB
	mark_disk "$1" 8M 32M
	lab link host1 migration rate 40mbit
	drover -q migrate "$1" --to host2 --copy-disks --detach
	wait_until "copies_disk $1" 20
}

assert_nothing_left() {
	wait_until '[ -z "$(on_host2)" ]' 15 || fail "on host2: $(on_host2)"
	wait_until '[ "$(node_get host2 ".host.leases | length")" = 0 ]' 10
	[ "$(node_get host2 .host.portsInUse)" = 0 ]
}

@test "a qcow2 disk on a private directory moves with its guest, and the source keeps its image" {
	private_guest mover 64MiB --persistent
	mark_disk mover 8M 2M
	run -0 drover migrate mover --to host2 --copy-disks --dry-run
	[[ $output == *two\ free\ of\ 49152-49153* && $output == *"for a copy: 64 MiB qcow2 at its largest"* ]]
	[ -z "$(on_host2)" ]
	run -0 drover migrate mover --to host2 --copy-disks
	[ "$(migration_get mover .report.guard)" = GUARD_TWO_STEP ]
	[ "$(on_host2)" = mover.img ]
	# The whole of it, as big as it was and no bigger.
	has_mark "$(image_on host2 mover)" 8M 2M
	[ "$(qemu-img info -U --output json "$(image_on host2 mover)" | jq -r '"\(.format) \(."virtual-size")"')" = "qcow2 67108864" ]
	(($(du -k "$(image_on host2 mover)" | cut -f1) < 16384))
	assert_all_well mover@host2
	# The guest's own sector is read back by the guest, and goes on.
	[ "$(counter_get mover disk)" -gt 0 ]
	# What is left is said, and left.
	[ -e "$(image_on host1 mover)" ]
	[[ $(migration_get mover '.report.notes[0]') == *"copied from host1"*"hda /srv/drover/local/mover.img"* ]]
	run -0 drover explain migration/"$(migration_get mover .number)"
	[[ $output == *note*"copied from host1"* ]]
	[ "$(migration_get mover '.report.diskProcessedBytes | tonumber > 2000000')" = true ]

	# Back again the old image is in the way: never overwritten, and the way out is named.
	before=$(sha256sum <"$(image_on host1 mover)")
	run -4 drover migrate mover --to host1 --copy-disks --dry-run
	[[ $output == *"another file of this name"*"overwrites nothing"* ]]
	[ "$(sha256sum <"$(image_on host1 mover)")" = "$before" ]
}

@test "a raw disk moves too, and without the option the remedy names it" {
	lab vm plain host1 --memory 64MiB --storage local
	seen plain
	run -4 drover migrate plain --to host2 --dry-run
	[[ $output == *disk/hda* && $output == *"drover migrate plain --copy-disks"* ]]
	[ -z "$(on_host2)" ]
	[ "$(qemu_starts plain host2)" = 0 ]
	run -0 drover migrate plain --to host2 --copy-disks
	assert_all_well plain@host2
}

@test "F20: without room for all that the disk can grow to, it is refused before anything is made" {
	private_guest big 64MiB
	lab shell host2 mount -t tmpfs -o size=40M tmpfs /srv/drover/local
	run -4 drover migrate big --to host2 --copy-disks --dry-run
	[[ $output == *"40 MiB free on tmpfs"*short* ]] || fail "$output"
	# Nor is the option offered where it would not help.
	run -4 drover migrate big --to host2 --dry-run
	[[ $output != *--copy-disks* ]]
	[ -z "$(on_host2)" ]
	lab shell host2 umount /srv/drover/local
	lab shell host2 mount -t tmpfs -o ro,size=100M tmpfs /srv/drover/local
	run -4 drover migrate big --to host2 --copy-disks --dry-run
	[[ $output == *"cannot be written to"* ]] || fail "$output"
	lab shell host2 umount /srv/drover/local
	[ "$(qemu_starts big host2)" = 0 ]
	assert_all_well big@host1
}

@test "F19: a file of that name is somebody's: refused, and not a byte of it changes" {
	private_guest named 64MiB
	lab shell host2 sh -c 'head -c 1M /dev/urandom >/srv/drover/local/named.img'
	before=$(sha256sum <"$(image_on host2 named)")
	run -4 drover migrate named --to host2 --copy-disks --dry-run
	[[ $output == *"another file of this name"* ]] || fail "$output"
	drover -q migrate named --to host2 --copy-disks --detach
	wait_until '[[ $(migration_get named .reason) == *"another file of this name"* ]]' 10
	[ "$(sha256sum <"$(image_on host2 named)")" = "$before" ]
	drover -q cancel vm/named >/dev/null 2>&1 || true
	[ "$(qemu_starts named host2)" = 0 ]
	lab shell host2 rm /srv/drover/local/named.img
	wait_until '[ -z "$(drover migrations --active -o name)" ]' 20
	assert_all_well named@host1
}

@test "while the disk is copied its room is promised, and shown; cancelled, image and promise are gone" {
	begin_slow_copy stays
	[ "$(node_get host2 '.host.leases[0] | (.diskBytes | tonumber) >= 67108864 and .diskPort == 49153 and .port == 49152')" = true ]
	[ "$(node_get host2 .host.portsInUse)" = 2 ]
	wait_until '[ "$(migration_get stays ".report.diskTotalBytes | tonumber > 0")" = true ]' 10
	run -0 drover explain migration/"$(migration_get stays .number)"
	[[ $output == *disks*copied\ of* ]] || fail "$output"
	run -0 drover explain node/host2
	[[ $output == *"ON THE WAY"*stays*host1*"64.7 MiB"*"49152 49153"* ]] || fail "$output"
	run -0 drover cancel vm/stays
	wait_until '[ "$(migration_get stays .state)" = CANCELLED ]' 20
	assert_nothing_left
	assert_all_well stays@host1
	[ -e "$(image_on host1 stays)" ]
	# Nothing is in the way of the next one.
	lab link host1 migration rate 1gbit
	run -0 drover migrate stays --to host2 --copy-disks
	has_mark "$(image_on host2 stays)" 8M 32M
	assert_all_well stays@host2
}

@test "a drain takes guests with private disks along when it is told to, and says so when it is not" {
	private_guest one 16MiB
	lab vm two host1 --memory 64MiB --storage file
	seen two
	run -4 drover drain host1 --dry-run
	[[ $output == *one*disk/hda* ]] || fail "$output"
	run -0 drover drain host1 --copy-disks
	[ "$(migration_get one '.report.guard')" = GUARD_TWO_STEP ]
	[ "$(on_host2)" = one.img ]
	assert_all_well one@host2 two@host2
}

@test "F29: the image cannot be written down as the guest's: the guest is not resumed before it can, and nothing is lost" {
	begin_slow_copy careful
	# From here to the commit nothing else is written on host2.
	arm host2 journal_before_append=error
	lab link host1 migration rate 1gbit
	wait_until '[ "$(migration_get careful .state)" = DONE ]' 40
	has_fired host2
	[[ $(lab drover log host2) == *"not resumed before its images are its own"* ]]
	has_mark "$(image_on host2 careful)" 8M 32M
	assert_all_well careful@host2
}

@test "F04: the destination's QEMU is killed while the disk is copied: the source goes on, the image is gone" {
	begin_slow_copy orphan
	for pid in $(qemu_pids orphan); do
		[[ ! /proc/$pid/ns/net -ef /run/netns/drover-$DROVER_LAB-host2 ]] || kill -KILL "$pid"
	done
	drover -q cancel vm/orphan >/dev/null || true
	wait_until '[ -z "$(drover migrations --active -o name)" ]' 30
	assert_nothing_left
	assert_all_well orphan@host1
}

# bats test_tags=slow
@test "F24: the destination's agent dies between making the image and the move: it is found and removed" {
	local point
	private_guest crash 64MiB
	for point in target_after_images_journaled target_after_images_made target_after_images_named; do
		arm host2 "$point"
		drover -q --timeout 3s migrate crash --to host2 --copy-disks --detach || true
		wait_until 'has_died host2' 60 || fail "$point: $(drover explain vm/crash)"
		disarm host2
		drover -q cancel vm/crash >/dev/null || true
		lab_drover_start host2 >/dev/null
		wait_until '[ -z "$(drover migrations --active -o name)" ]' 40
		assert_nothing_left
		wait_until all_ready 10
		assert_all_well crash@host1
	done
}
