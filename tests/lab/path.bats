#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Which way the bytes of a migration take, on real hosts: counted on each interface by eBPF, told at once
# when it is not the migration network, and stopped where the cluster wants that.

# shellcheck disable=SC2016,SC2030,SC2031 # conditions are evaluated by wait_until

load drover.bash

setup_file() { drover_lab path 2; }
teardown_file() { lab_down; }
setup() {
	drover_reset
	lab link host1 mgmt rate none
	ip -n "drover-$DROVER_LAB-host1" route del 10.78.0.2/32 2>/dev/null || true
}
teardown() { lab_end_test; }

# A guest on host1 whose way to host2's migration address is the management network.
astray() { # GUEST
	lab vm "$1" host1 --memory 160MiB --working-set 128MiB
	wait_until "drover vms $1 -o json | jq -e '.vms[0].movable' >/dev/null" 30
	lab link host1 mgmt rate 80mbit
	ip -n "drover-$DROVER_LAB-host1" route add 10.78.0.2/32 via 10.77.0.2 dev mg0
}

path_of() { migration_get "$1" ".report.path.$2"; } # GUEST FIELD
explain_migration() { drover explain "migration/$(migration_get "$1" .number)"; }
warned() { drover events | grep -q "$1.*not on the migration network.*$2"; } # GUEST TEXT

# bats test_tags=slow
@test "a migration on the migration network is proved to be: all of its bytes are seen there" {
	lab vm straight host1 --memory 96MiB --working-set 64MiB
	wait_until "drover vms straight -o json | jq -e '.vms[0].movable' >/dev/null" 30
	lab link host1 migration rate 80mbit
	drover -q migrate straight --to host2 --detach
	wait_until '[ "$(path_of straight verdict)" = PROVED ]' 60
	explain_migration straight | grep -q 'path  *mi0 100 %, .*bit/s'
	# Who looks at the links sees it, too: nearly all that they carry is this migration.
	wait_until 'drover top links -o json | jq -e ".links | length == 2 and all(.[]; .migration and .known and .source == \"ebpf-tcx\") and all(.[]; .migrationRxBytesPerS + .migrationTxBytesPerS > 0.9 * (.rxBytesPerS + .txBytesPerS))" >/dev/null' 30
	drover top links --node host1 | grep -Eq '^host1 +mi0 +.*bit/s +[0-9]+ % '
	drover show node/host1 | grep -Eq '^mi0 +10 min +[0-9.]+ .?bit/s'
	lab link host1 migration rate 1gbit
	wait_until '[ "$(migration_get straight .state)" = DONE ]' 90
	[ "$(path_of straight deviated)" != true ]
	explain_migration straight | grep -q 'path  *mi0 100 %, .*MiB'
	run ! warned straight .
	assert_all_well straight@host2
}

# bats test_tags=slow
@test "a migration whose bytes leave by an interface that nobody watches is told, with the route that they take" {
	astray lost
	drover -q migrate lost --to host2 --detach
	wait_until 'warned lost "QEMU sends .*route for it is over mg0, which is not watched"' 60
	[ "$(path_of lost verdict)" = MISSING ]
	explain_migration lost | grep -q 'NOT THE MIGRATION NETWORK'
	lab link host1 mgmt rate none
	# It is told, and no more: that is the cluster's policy here.
	wait_until '[ "$(migration_get lost .state)" = DONE ]' 120
	explain_migration lost | grep -q 'offMigrationNetwork  *warn  *built-in default'
	assert_all_well lost@host2
}

# bats test_tags=slow
@test "on an interface that is watched it is named with its rate; and where policy says so the move is stopped, and the guest stays" {
	printf 'interfaces: [mg0]\n' >>"$LAB_STATE/hosts/host1/etc-drover/agent.yaml"
	printf 'limits: {offMigrationNetwork: stop}\n' >>"$LAB_STATE/hosts/coordinator/etc-drover/coordinator.yaml"
	lab drover restart host1
	lab drover restart coordinator
	wait_until all_ready 60
	astray stopped
	drover -q migrate stopped --to host2 --detach
	wait_until '[ "$(migration_get stopped .state)" = FAILED ]' 90
	[[ $(migration_get stopped .reason) == *"it goes over mg0 at "*"bit/s, and mi0 carries nothing of it"* ]]
	[[ $(migration_get stopped .reason) == *"ip route get 10.78.0.2 on host1"* ]]
	warned stopped 'it goes over mg0 at'
	explain_migration stopped | grep -q 'mg0 100 %'
	explain_migration stopped | grep -q "offMigrationNetwork  *stop  *the cluster's limits/ (coordinator.yaml)"
	# With the route in order it moves.
	ip -n "drover-$DROVER_LAB-host1" route del 10.78.0.2/32
	run -0 drover migrate stopped --to host2
	[ "$(path_of stopped verdict)" = PROVED ]
	assert_all_well stopped@host2
}
