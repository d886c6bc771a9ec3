#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# How memory and disks travel, on real hosts: over several connections and compressed, where asked for; disks
# that are chosen, and images without what they are built on; storage on an administrator's word. What
# excludes each other, and what was seen to be another disk, is refused before anything is made.

# shellcheck disable=SC2016,SC2030,SC2031 # conditions are evaluated by wait_until

load drover.bash

setup_file() { drover_lab transfer 2; }
teardown_file() { lab_down; }
setup() {
	drover_reset
	local host
	for host in host1 host2; do lab shell "$host" mkdir -p /srv/drover/local; done
}
teardown() {
	local host
	for host in host1 host2; do
		lab shell "$host" sh -c 'mountpoint -q /srv/drover/shared/word.img && umount /srv/drover/shared/word.img || true'
	done
	[[ -z ${word-} ]] || rm -f "$word"
	lab_end_test
}

seen() { wait_until "drover vms $1 -o json 2>/dev/null | jq -e '.vms[0].movable' >/dev/null" 10; }
qemu_has() { # GUEST KEY, of its migration parameters on host1
	lab virsh host1 qemu-monitor-command "$1" '{"execute":"query-migrate-parameters"}' | jq -r ".return.\"$2\""
}
qemu_can() { # GUEST CAPABILITY
	lab virsh host1 qemu-monitor-command "$1" '{"execute":"query-migrate-capabilities"}' |
		jq -e ".return[] | select(.capability == \"$2\") | .state" >/dev/null
}
connections() { lab shell host1 ss -Htn state established 'dport = :49152' | wc -l; }

# guest_with NAME DISK...: on host1, with disks "hda=PATH=FORMAT".
guest_with() {
	local name=$1 disk rest xml=$BATS_TEST_TMPDIR/$1.xml disks=
	shift
	for disk in "$@"; do
		rest=${disk#*=}
		disks+="<disk type='file' device='disk'><source file='${rest%=*}'/>"
		disks+="<driver name='qemu' type='${rest##*=}' cache='none'/><target dev='${disk%%=*}' bus='ide'/></disk>"
	done
	# The lab's own guest makes what all need, and its description with it.
	lab vm "$name" host1 --memory 64MiB --working-set 8MiB --xml-only | sed "s|<interface|$disks<interface|" >"$xml"
	lab virsh host1 create "$xml"
	wait_until "[ -e '$LAB_STATE/console/$name.log' ] && grep -q '^hb ' '$LAB_STATE/console/$name.log'" 30
	seen "$name"
}
# The image of the tiny guest is put in place with the first one.
setup_image() { lab vm first host1 --memory 64MiB --working-set 8MiB && lab rm first; }

@test "memory travels over several connections, compressed, and both are shown with where they come from" {
	lab vm wide host1 --memory 96MiB --working-set 64MiB --storage file
	seen wide
	lab link host1 migration rate 80mbit
	drover -q migrate wide --to host2 --parallel-connections 3 --compression xbzrle --detach
	wait_mid_copy wide host1 262144
	qemu_can wide multifd
	qemu_can wide xbzrle
	[ "$(qemu_has wide multifd-channels)" = 3 ]
	(($(connections) >= 4)) || fail "$(connections) connections"
	lab link host1 migration rate none
	wait_until '[ "$(migration_get wide .state)" = DONE ]' 30
	assert_all_well wide@host2
	run -0 drover explain "migration/$(migration_get wide .number)"
	[[ $output == *"parallelConnections"*"3 "*"asked for with it"* && $output == *"compression "*xbzrle* ]]
	# All of them, counted and on the migration network only.
	(($(migration_get wide '.report.wireBytes | tonumber') > 60000000))
}

@test "several connections and post-copy are refused together, with the reason, and nothing begins" {
	lab vm both host1 --memory 64MiB --storage file
	seen both
	run -2 drover migrate both --to host2 --parallel-connections 2 --allow-post-copy
	[[ $output == *"exclude each other"*"--no-post-copy"* ]]
	run -2 drover migrate both --to host2 --parallel-connections 2 --ladder post-copy
	[[ $output == *"exclude each other"* ]]
	run -2 drover migrate both --to host2 --parallel-connections 2 --compression mt
	[[ $output == *"exclude each other"* ]]
	[ "$(drover migrations --vm both -o json | jq '.migrations | length')" = 0 ]
	[ "$(qemu_starts both host2)" = 0 ]
}

@test "an image that is built on a shared one is copied without it, and disks can be chosen" {
	setup_image
	lab shell host1 sh -c 'cd /srv/drover &&
		qemu-img create -q -f qcow2 shared/base.qcow2 32M &&
		qemu-io -f qcow2 -c "write -P 7 16M 8M" shared/base.qcow2 >/dev/null &&
		qemu-img create -q -f qcow2 -F qcow2 -b /srv/drover/shared/base.qcow2 local/top.qcow2 &&
		qemu-img create -q -f qcow2 local/two.qcow2 16M'
	guest_with chain hda=/srv/drover/local/top.qcow2=qcow2 hdb=/srv/drover/local/two.qcow2=qcow2
	run -4 drover migrate chain --to host2 --copy-disks --dry-run
	[[ $output == *"it is built on another image: --incremental"* ]]
	run -4 drover migrate chain --to host2 --incremental --copy-disk hda --dry-run
	[[ $output == *"--copy-disk hdb"* ]]
	run -4 drover migrate chain --to host2 --incremental --copy-disk hda --copy-disk hdb --copy-disk hdz --dry-run
	[[ $output == *disk/hdz*"no such disk"* ]]
	[ -z "$(lab shell host2 find /srv/drover/local -mindepth 1)" ]
	run -0 drover migrate chain --to host2 --incremental --copy-disk hda --copy-disk hdb
	[ "$(migration_get chain .report.guard)" = GUARD_TWO_STEP ]
	local image
	image=$(host_dir host2)/srv/local/top.qcow2
	[ "$(qemu-img info -U --output json "$image" | jq -r '."backing-filename"')" = /srv/drover/shared/base.qcow2 ]
	# What the base has was not copied, and is read there.
	(($(du -k "$image" | cut -f1) < 4096))
	run -0 lab shell host2 qemu-io -r -U -f qcow2 -c 'read -P 7 16M 8M' /srv/drover/local/top.qcow2
	[[ $output != *failed* ]]
	run -0 drover explain "migration/$(migration_get chain .number)"
	[[ $output == *"copyDisks"*"yes: hda,hdb, incremental"* ]]
	[ "$(vm_node chain)" = host2 ]
	# Where the base is another one, the move is refused before anything is made.
	lab virsh host2 destroy chain
	lab shell host2 sh -c 'rm /srv/drover/local/*; cp /srv/drover/shared/base.qcow2 /srv/drover/local/base.qcow2'
	lab shell host1 sh -c 'cd /srv/drover/local && cp ../shared/base.qcow2 . && rm top.qcow2 &&
		qemu-img create -q -f qcow2 -F qcow2 -b /srv/drover/local/base.qcow2 top.qcow2'
	guest_with other hda=/srv/drover/local/top.qcow2=qcow2
	run -4 drover migrate other --to host2 --incremental --dry-run
	[[ $output == *"disk/hda[1]"*FAIL* ]]
	lab virsh host1 destroy other
	lab shell host1 sh -c 'rm /srv/drover/local/* /srv/drover/shared/base.qcow2'
	lab shell host2 sh -c 'rm /srv/drover/local/*'
}

@test "storage that cannot be proved moves on an administrator's word alone, which is logged; another disk never" {
	setup_image
	# One file, mounted by itself on both hosts: what lies beside it proves nothing.
	word=/dev/shm/drover-$DROVER_LAB-word.img
	truncate -s 16M "$word"
	local host
	touch "$LAB_STATE/shared/word.img" 2>/dev/null || lab shell host1 touch /srv/drover/shared/word.img
	for host in host1 host2; do lab shell "$host" mount --bind "$word" /srv/drover/shared/word.img; done
	guest_with word hda=/srv/drover/shared/word.img=raw
	run -4 drover migrate word --to host2 --dry-run
	[[ $output == *"mounted by itself"* ]]
	run -0 drover migrate word --to host2 --unsafe
	[ "$(vm_node word)" = host2 ]
	[ "$(migration_get word .report.guard)" = GUARD_TWO_STEP ]
	drover events | grep -q 'word: .* says that its storage is the same on both hosts'
	grep -q 'word -> host2: its storage is not proved' "$(host_dir host1)/agent.log"
	run -0 drover explain "migration/$(migration_get word .number)"
	[[ $output == *unsafe*"an administrator said so"*disk/hda*warn* ]]
	# Another file under that name is no lack of proof.
	lab shell host1 umount /srv/drover/shared/word.img
	lab shell host1 sh -c 'rm -f /srv/drover/local/own.img; truncate -s 16M /srv/drover/local/own.img'
	lab shell host2 sh -c 'rm -f /srv/drover/local/own.img; truncate -s 16M /srv/drover/local/own.img'
	lab virsh host2 destroy word
	guest_with own hda=/srv/drover/local/own.img=raw
	run -4 drover migrate own --to host2 --unsafe --dry-run
	[[ $output == *"is another directory here"* ]]
	lab virsh host1 destroy own
	lab shell host1 rm /srv/drover/local/own.img
	lab shell host2 rm /srv/drover/local/own.img
}

# The dry run says TEXT.
refuses() { # GUEST TEXT
	run -4 drover migrate "$1" --to host2 --dry-run
	[[ $(grep -c "$2" <<<"$output") -ge 1 ]] || fail "not \"$2\": $output"
}

@test "a wrong certificate, a missing route or a used port is named in one line, and nothing begins" {
	# shellcheck source=tests/certificates.bash
	. "$REPO/tests/certificates.bash"
	local other to good
	other=$BATS_TEST_TMPDIR/other to=$(host_dir host2)/etc-pki/libvirt-migrate good=$BATS_TEST_TMPDIR/good
	lab vm still host1 --memory 64MiB --storage file
	seen still
	cp -a "$to" "$good"

	# Another host's certificate; one of another authority, with its own and with ours beside it.
	cp "$(host_dir host1)/etc-pki/libvirt-migrate/"server-*.pem "$to/"
	refuses still 'tls: server-cert.pem does not name 10.78.0.2'
	pki_ca "$other" "another migration CA"
	pki_leaf "$other" host2 "DNS:host2,IP:10.78.0.2"
	cp "$other/host2.pem" "$to/server-cert.pem"
	cp "$other/host2-key.pem" "$to/server-key.pem"
	refuses still 'tls: server-cert.pem is signed by none of the authorities of ca-cert.pem'
	cp "$other/ca.pem" "$to/ca-cert.pem"
	refuses still 'tls: the source does not know the authority that signed server-cert.pem'
	pki_leaf "$other" host2 "DNS:host2,IP:10.78.0.2" serverAuth,clientAuth -1
	cp "$other/host2.pem" "$to/server-cert.pem"
	cp "$other/host2-key.pem" "$to/server-key.pem"
	refuses still 'tls: server-cert.pem ended at 20'
	rm -r "$to" && cp -a "$good" "$to"

	# The source's own way.
	lab shell host1 ip route del 10.78.0.0/24
	run drover migrate still --to host2
	lab shell host1 ip route add 10.78.0.0/24 dev mi0 src 10.78.0.1
	[ "$status" -ne 0 ] || fail "$output"
	[[ $output == *"does not reach 10.78.0.2 from 10.78.0.1"*"nothing was started"* ]] || fail "$output"

	# Both ports in other hands.
	lab shell host2 perl -MIO::Socket::INET -e '
		my @s = map { IO::Socket::INET->new(LocalAddr => "10.78.0.2", LocalPort => $_, Listen => 1, ReuseAddr => 1) or die } 49152, 49153;
		$0 = "squatter"; sleep 30' 3>&- &
	local squatter=$!
	wait_until '[ -n "$(lab shell host2 ss -Hltn "sport = :49153")" ]' 10
	refuses still 'port: 49152 is held by'
	kill "$squatter"
	[ "$(qemu_starts still host2)" = 0 ]
	wait_until '[ -z "$(lab shell host2 ss -Hltn "sport = :49152")" ]' 10 || lab shell host2 fuser -k 49152/tcp
	run -0 drover migrate still --to host2
	assert_all_well still@host2
}
