# shellcheck shell=bash
# SPDX-License-Identifier: Apache-2.0
# The command line against fake_coordinator. Waits are for lines, with a deadline.

setup() {
	drover=$DROVER_BUILD_DIR/tools/drover/drover
	export DROVER_SERVER=ipc://$BATS_TEST_TMPDIR/coordinator.sock
	export LC_ALL=C.UTF-8
	unset NO_COLOR DROVER_CA DROVER_CERT DROVER_KEY COLUMNS
	coordinator=
}

teardown() {
	[ -z "$coordinator" ] || { kill "$coordinator" && wait "$coordinator"; }
}

# Starts it, with the arguments given or at $DROVER_SERVER; what it says is read from descriptor 7.
start_coordinator() {
	[ $# -gt 0 ] || set -- "$DROVER_SERVER"
	mkfifo "$BATS_TEST_TMPDIR/says"
	"$DROVER_BUILD_DIR/tests/fake_coordinator" "$@" >"$BATS_TEST_TMPDIR/says" 3>&- &
	coordinator=$!
	exec 7<"$BATS_TEST_TMPDIR/says"
	wait_for 7 ready
}

# Reads lines from a descriptor until one contains the text; all of them are kept in $seen.
wait_for() {
	local line
	seen=
	while read -r -t 20 line <&"$1"; do
		seen+=$line$'\n'
		case $line in *"$2"*) return 0 ;; esac
	done
	echo "waited for \"$2\", saw: $seen"
	return 1
}
