#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# What limits a migration, and a path that carries far less than it usually does, on links that are really
# shaped: told with the usual and the present rate, and never of a move that is held back by something else.

# shellcheck disable=SC2016,SC2030,SC2031 # conditions are evaluated by wait_until

load drover.bash

setup_file() { drover_lab collapse 2; }
teardown_file() { lab_down; }
setup() { drover_reset; }
teardown() { lab_end_test; }

connection_get() { migration_get "$1" ".report.progress.connection.$2"; } # GUEST FIELD
events_of() { drover events "migration/$(migration_get "$1" .number)"; }
explain_migration() { drover explain "migration/$(migration_get "$1" .number)"; }
copied() { migration_get "$1" '.report.progress.memoryProcessedBytes | tonumber'; }

# A guest of 256 MiB on its way to host2 at RATE.
begin_move() { # GUEST RATE
	lab vm "$1" host1 --memory 320MiB --working-set 256MiB
	wait_until "drover vms $1 -o json | jq -e '.vms[0].movable' >/dev/null" 60
	lab link host1 migration rate "$2"
	drover -q migrate "$1" --to host2 --detach
	wait_mid_copy "$1" host1
}

# What the path usually carries is known, once the network has limited it for ten seconds.
learned() { [ "$(connection_get "$1" 'usualBytesPerS // 0 | tonumber > 8000000')" = true ]; }

# bats test_tags=slow
@test "a path that carries a tenth of the usual is told with both rates while it does, and that it has recovered" {
	begin_move sinking 96mbit
	wait_until '[ "$(connection_get sinking limitedBy)" = network ]' 60
	wait_until 'learned sinking' 60
	run ! grep -q collapsed <<<"$(events_of sinking)"
	lab link host1 migration rate 8mbit
	wait_until 'events_of sinking | grep -q "warning.*the network from host1 to host2 has collapsed: it carries .* Mbit/s, usually .* Mbit/s"' 60
	[ "$(connection_get sinking collapsed)" = true ]
	explain_migration sinking | grep -q 'COLLAPSED, look at the network between the hosts'
	explain_migration sinking | grep -q 'limited by *the network'
	events_of sinking | grep collapsed >&3
	lab link host1 migration rate 96mbit
	wait_until 'events_of sinking | grep -q "info.*the network from host1 to host2 has recovered"' 60
	lab link host1 migration rate 1gbit
	wait_until '[ "$(migration_get sinking .state)" = DONE ]' 120
	# Once each, and the path was the right one all the time.
	[ "$(events_of sinking | grep -c 'has collapsed')" = 1 ]
	[ "$(migration_get sinking .report.path.verdict)" = PROVED ]
	assert_all_well sinking@host2
}

# bats test_tags=slow
@test "a move that its own limit holds back far below the usual of its path is no collapse" {
	local before
	begin_move capped 96mbit
	wait_until 'learned capped' 60
	drover -q tune capped --bandwidth 1MiB/s
	wait_until '[ "$(connection_get capped limitedBy)" = cap ]' 60
	# Twice as long as a collapse takes to be called one.
	before=$(copied capped)
	wait_until "((\$(copied capped) > $before + 10 * 1048576))" 60
	[ "$(connection_get capped limitedBy)" = cap ]
	[ "$(connection_get capped 'collapsed // false')" = false ]
	drover -q tune capped --bandwidth none
	lab link host1 migration rate 1gbit
	wait_until '[ "$(migration_get capped .state)" = DONE ]' 120
	run ! grep -q collapsed <<<"$(events_of capped)"
	assert_all_well capped@host2
}
