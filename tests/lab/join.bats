#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Hosts that joined with the one command, and nothing else: what the join wrote encrypts migrations, and
# still does after every authority and certificate was replaced under it. What was taken back is let in
# no more: not in the mesh, and not by QEMU.
#
# What of it can be shown without guests is in tests/cli/revoke.bats and tests/lab/cluster.bats, each time.
# bats file_tags=slow

# wait_until evaluates its text again and again.
# shellcheck disable=SC2016

load drover.bash

setup_file() { drover_lab join 2; }
teardown_file() { lab_down; }
setup() { drover_reset; }
teardown() {
	lab shell host1 sh -c "! mountpoint -q $tls/ca-cert.pem || umount $tls/ca-cert.pem"
	lab_end_test
}

tls=/etc/pki/libvirt-migrate

boot() { # GUEST HOST OPTIONS...
	lab vm "$@"
	wait_until "drover vms $1 -o json | jq -e '.vms[0].movable' >/dev/null" 10
}

serial_of() { lab shell "$1" openssl x509 -noout -serial -in "$2" | cut -d= -f2; } # HOST FILE

has_list_with() { lab shell "$1" openssl crl -noout -text -in "$2" 2>/dev/null | grep -q "$3"; } # HOST FILE SERIAL

@test "the certificates of the join encrypt a migration; those of a stranger let none through" {
	boot letter host1 --memory 32MiB
	run -0 drover migrate letter --to host2
	[ "$(migration_get letter .settings.tls)" = true ]
	assert_all_well letter@host2
	# QEMU itself looks at them: an authority that it does not know stops the move, not the guest. The
	# agent would put its own back; over a mount it cannot.
	lab shell host1 sh -c "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout /dev/null \
		-subj /CN=stranger -days 1 -out /run/stranger.pem 2>/dev/null && mount --bind /run/stranger.pem $tls/ca-cert.pem"
	run ! drover migrate letter --to host1
	assert_all_well letter@host2
	lab shell host1 umount "$tls/ca-cert.pem"
	run -0 drover migrate letter --to host1
}

person() { # NAME WORDS...: as whoever has the files of pki issue, on a host
	lab shell host1 "$DROVER_BUILD_DIR/tools/drover/drover" "${@:2}" -H tcp://10.77.0.100:7780 --timeout 60s \
		--ca "$BATS_TEST_TMPDIR/$1-ca.pem" --cert "$BATS_TEST_TMPDIR/$1.pem" --key "$BATS_TEST_TMPDIR/$1-key.pem"
}

@test "F74: an operator drains a host, a viewer only looks" {
	boot letter host1 --memory 32MiB
	drover -q pki issue operator ann --into "$BATS_TEST_TMPDIR"
	drover -q pki issue viewer wall --into "$BATS_TEST_TMPDIR"
	run -0 person wall vms
	[[ $output == *letter* ]]
	run -8 person wall drain host1
	[[ $output == *"allowed: operator, admin"* ]]
	run -0 person ann drain host1
	assert_all_well letter@host2
	run -0 person ann undrain host1
	drover -q pki revoke operator/ann --yes
	refused() { run -3 person ann vms; }
	wait_until refused 10
	run -0 person wall vms
}

@test "F76: QEMU refuses a certificate that was revoked; a rotation during a move replaces all, and it moves encrypted again" {
	boot parcel host1 --memory 96MiB --working-set 64MiB
	run -0 drover migrate parcel --to host2
	revoked=$(serial_of host2 "$tls/client-cert.pem")
	run -0 drover pki revoke "$revoked" --yes
	wait_until "has_list_with host1 $tls/ca-crl.pem $revoked" 10
	run ! drover migrate parcel --to host1
	assert_all_well parcel@host2
	run -0 lab shell coordinator "$DROVER_BUILD_DIR/tools/drover/drover" pki rotate --yes --timeout 120s
	[ "$(serial_of host2 "$tls/server-cert.pem")" != "$revoked" ]
	lab link host2 migration rate 80mbit
	drover -q migrate parcel --to host1 --detach
	wait_mid_copy parcel host2
	run -0 lab shell coordinator "$DROVER_BUILD_DIR/tools/drover/drover" pki rotate --yes --timeout 120s
	lab link host2 migration rate 1gbit
	wait_until '[ "$(migration_get parcel .state)" = DONE ]' 60
	assert_all_well parcel@host1
	run -0 drover migrate parcel --to host2
	[ "$(migration_get parcel .settings.tls)" = true ]
	assert_all_well parcel@host2
}

@test "F75: a host whose certificate is revoked is cut off within ten seconds; its guests and their moves go on" {
	boot letter host1 --memory 32MiB
	boot parcel host2 --memory 32MiB
	run -0 drover pki revoke host2 --yes -m "left on a train"
	SECONDS=0
	wait_until '[ "$(node_get host2 .state)" = unreachable ]' 30
	# What it says of itself counts no more; the coordinator calls a host unreachable after ten seconds
	# of silence, which began when the connection was cut.
	[ "$SECONDS" -le 20 ]
	drover -q migrate letter --to host2 --detach
	wait_until 'migration_get letter .reason | grep -q "host2 unreachable"' 10
	drover -q cancel vm/letter
	[ "$(guest_state letter host1)" = running ]
	[ "$(guest_state parcel host2)" = running ]
}
