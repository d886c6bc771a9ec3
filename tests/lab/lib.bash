# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# lib - what tests on real hosts have in common: a lab of their own, waiting for a
# condition with a deadline, and what must hold for every guest whatever happens.
#
# A bats file loads it, calls lab_name and lab_up in setup_file, lab_down in
# teardown_file, and lab_show_failure in teardown if it runs drover. Every check
# prints what it saw when it fails.

bats_require_minimum_version 1.5.0

REPO=$(realpath "${BASH_SOURCE[0]%/*}/../..")
LAB=$REPO/tools/lab
# Where drover's programs are; tests that need them say so by calling lab_drover_start.
DROVER_BUILD_DIR=${DROVER_BUILD_DIR:-$REPO/build/dev}
export REPO LAB DROVER_BUILD_DIR

# lab_name PREFIX: a name of its own for this file's lab, so that suites run side by side.
lab_name() {
	export DROVER_LAB="$1-$$-$((SRANDOM % 1000))"
	export LAB_STATE=/var/lib/drover-lab/$DROVER_LAB
	export DROVER_SERVER=ipc://$LAB_STATE/coordinator.sock
}

lab() { "$LAB" "$@"; }
lab_up() { lab up "$@"; }
lab_down() { lab down; }

# What drover's daemons said, when the test that has just ended has failed.
lab_show_failure() {
	[[ -n ${BATS_TEST_COMPLETED-} ]] || lab drover log all || true
}

lab_drover_start() { lab drover start "${1:-all}" --build "$DROVER_BUILD_DIR"; }

# The drover command, at this lab's coordinator.
drover() { "$DROVER_BUILD_DIR/tools/drover/drover" "$@"; }

fail() {
	printf '%s\n' "$*" >&2
	return 1
}

# wait_until CONDITION SECONDS: evaluates CONDITION until it is true.
wait_until() {
	local condition=$1 seconds=$2 deadline
	deadline=$((SECONDS + seconds))
	until eval "$condition"; do
		((SECONDS <= deadline)) || fail "after $seconds s still not: $condition" || return 1
		sleep 0.05
	done
}

host_dir() { printf '%s/hosts/%s\n' "$LAB_STATE" "$1"; }
host_uri() { printf 'qemu+unix:///system?socket=%s/run/libvirt/libvirt-sock\n' "$(host_dir "$1")"; }
# GUEST HOST: nothing if it is not there; why it could not be asked is told beside what fails.
guest_state() {
	local said
	if said=$(lab virsh "$2" -q domstate "$1" 2>&1); then
		head -n1 <<<"$said"
	elif [[ $said != *"failed to get domain"* ]]; then
		printf 'domstate %s on %s: %s\n' "$1" "$2" "$said" >&2
	fi
}

# counter_get GUEST FIELD: of the last heartbeat: n, nonce, corrupt, disk_n, age_ms ...
counter_get() { lab counter "$1" | sed -n "s/^$2=//p"; }

# The guest has given more heartbeats after this call than before.
assert_counter_goes_on() {
	local before
	before=$(counter_get "$1" n)
	wait_until "((\$(counter_get $1 n) > $before + 1))" "${2:-10}"
}

# It never restarted, never ran twice, lost no memory, and its disk is its own.
assert_guest_intact() { lab counter "$1" --check >/dev/null; }

# assert_runs_only_on GUEST HOST: by the word of every host's own libvirt.
assert_runs_only_on() {
	local guest=$1 wanted=$2 host state
	for host in $(lab status -o json | jq -r '.hosts[].name'); do
		state=$(guest_state "$guest" "$host")
		if [[ $host == "$wanted" ]]; then
			[[ $state == running ]] || fail "$guest on $host is \"${state:-absent}\", not running" || return 1
		else
			[[ -z $state || $state == "shut off" ]] || fail "$guest on $host is \"$state\" too" || return 1
		fi
	done
}

# reaches HOST ADDRESS: a packet gets there and back; that nobody listens is an answer.
reaches() {
	local said
	said=$(lab shell "$1" timeout 2 bash -c "exec 3<>/dev/tcp/$2/9" 2>&1) && return 0
	[[ $said == *refused* ]]
}

# The QEMU processes of a guest on all hosts of the lab.
qemu_pids() { pgrep -f -- "qemu-system-x86_64 -name guest=$1," | while read -r pid; do
	for netns in /run/netns/drover-"$DROVER_LAB"-host*; do
		[[ ! /proc/$pid/ns/net -ef $netns ]] || printf '%s\n' "$pid"
	done
done; }

# managed_move GUEST FROM TO [VIRSH_FLAG...]: by virsh with two connections, without drover.
managed_move() {
	local guest=$1 from=$2 to=$3 address
	shift 3
	address=10.78.0.${to#host}
	timeout 120 "$LAB" virsh "$from" -q migrate --live "$guest" "$(host_uri "$to")" \
		--migrateuri "tcp://$address:49152" --listen-address "$address" --tls "$@"
}
