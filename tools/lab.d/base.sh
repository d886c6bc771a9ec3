# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash disable=SC2034 # most of these names are used by the other parts
# base - names, paths, messages, locks and small helpers of the lab.
#
# A lab is named by $DROVER_LAB. All that it has lies under one state directory
# and in namespaces whose names begin with the lab's, so that several labs can
# run side by side and `down` can find everything without trusting a record that
# a crash may have left half written.
#
#   /var/lib/drover-lab/NAME/        state; see paths below; gone after `down`
#   /var/lib/drover-lab/NAME.lock    held while a command changes the lab
#   /var/cache/drover-lab/           kept: guest images, reap, QEMU capabilities
#   drover-NAME-{switch,coordinator,host1..hostN}   network namespaces

LAB=${DROVER_LAB:-lab}
LABS_DIR=/var/lib/drover-lab
CACHE_DIR=/var/cache/drover-lab
STATE=$LABS_DIR/$LAB
LOCK_FILE=$LABS_DIR/$LAB.lock
MACHINE_LOCK_FILE=$LABS_DIR/.machine.lock
# What the lab mounts over inside its hosts; created empty on the machine where missing.
MOUNT_POINTS=(/etc/drover /etc/pki /var/lib/drover /srv/drover)
MOUNT_POINTS_MADE=$LABS_DIR/.mount-points-made
MAX_HOSTS=50

MGMT_NET=10.77.0
MIGRATION_NET=10.78.0
GUEST_NET=10.79.0
COORDINATOR_ADDRESS=$MGMT_NET.100
MIGRATION_PORTS=49152-49153

say() { printf '%s\n' "$*"; }
note() { printf 'lab: %s\n' "$*" >&2; }
die() { printf 'lab: error: %s\n' "$*" >&2; exit 1; }
usage_error() {
	printf 'lab: error: %s\n' "$1" >&2
	printf 'Run "tools/lab --help" for the commands.\n' >&2
	exit 2
}

# Milliseconds of a clock that only moves forward.
now_ms() {
	local up rest
	read -r up rest </proc/uptime
	printf '%s\n' $((10#${up/./} * 10))
}

seconds_of_ms() { printf '%d.%02d\n' $(($1 / 1000)) $(($1 % 1000 / 10)); }

# wait_until SECONDS COMMAND...: polls; false when the time is over.
wait_until() {
	local deadline
	deadline=$(($(now_ms) + $1 * 1000))
	shift
	until "$@"; do
		(($(now_ms) < deadline)) || return 1
		sleep 0.02
	done
}

# Waits for every background job of this shell; false if one of them failed.
wait_jobs() {
	local job failed=0
	for job in $(jobs -p); do wait "$job" || failed=1; done
	((failed == 0))
}

NAME_RULE='use a letter, then letters, digits or "-", at most 24'
is_name() { [[ $1 =~ ^[a-z][a-z0-9-]{0,23}$ ]]; }
is_count() { [[ $1 =~ ^[1-9][0-9]{0,5}$ ]]; }

require_lab_name() {
	is_name "$LAB" || usage_error "DROVER_LAB=\"$LAB\" is no lab name: $NAME_RULE"
}

require_root() {
	((EUID == 0)) || die "namespaces, mounts and loop devices need root: run it with sudo"
}

# require_commands COMMAND=PACKAGE...: names everything that is missing at once.
require_commands() {
	local pair missing=() packages=()
	for pair in "$@"; do
		if ! command -v "${pair%%=*}" >/dev/null; then
			missing+=("${pair%%=*}")
			packages+=("${pair#*=}")
		fi
	done
	((${#missing[@]} == 0)) || die "not found: ${missing[*]}; install: apt-get install ${packages[*]}"
}

# Prints KiB for "64MiB", "1GiB", "512KiB"; false for anything else.
parse_size_kib() {
	[[ $1 =~ ^([1-9][0-9]{0,8})(KiB|MiB|GiB)$ ]] || return 1
	case ${BASH_REMATCH[2]} in
	KiB) printf '%s\n' "${BASH_REMATCH[1]}" ;;
	MiB) printf '%s\n' $((BASH_REMATCH[1] * 1024)) ;;
	GiB) printf '%s\n' $((BASH_REMATCH[1] * 1024 * 1024)) ;;
	esac
}

is_link_rate() { [[ $1 == none || $1 =~ ^[1-9][0-9]{0,8}(kbit|mbit|gbit)$ ]]; }

# ---- the lab's parts ----

netns_of() { printf 'drover-%s-%s\n' "$LAB" "$1"; }
dir_of() { printf '%s/hosts/%s\n' "$STATE" "$1"; }

# Hosts of this lab in order, without the coordinator.
hosts() {
	local count i
	count=$(cat "$STATE/host-count" 2>/dev/null) || return 0
	for ((i = 1; i <= count; i++)); do say "host$i"; done
}

nodes() { hosts; [[ ! -e $STATE/host-count ]] || say coordinator; }

is_host() { [[ $1 =~ ^host[1-9][0-9]?$ ]] && [[ -d $(dir_of "$1") ]]; }
is_node() { is_host "$1" || [[ $1 == coordinator && -d $(dir_of coordinator) ]]; }

require_up() {
	[[ -e $STATE/ready ]] || die "lab \"$LAB\" is not up: run \"tools/lab up\" first"
}
require_host() {
	require_up
	is_host "$1" || die "no host \"$1\" in lab \"$LAB\": it has $(hosts | tr '\n' ' ')"
}
require_node() {
	require_up
	is_node "$1" || die "no host \"$1\" in lab \"$LAB\": it has $(nodes | tr '\n' ' ')"
}

# Prints the pid in FILE if that process lives in NODE's network namespace: after a
# reboot or a crash the number may belong to a stranger.
pid_in() {
	local node=$1 file=$2 pid
	pid=$(cat "$file" 2>/dev/null) || return 1
	[[ $pid =~ ^[0-9]+$ && /proc/$pid/ns/net -ef /run/netns/$(netns_of "$node") ]] || return 1
	printf '%s\n' "$pid"
}

# Runs COMMAND inside NODE: its network, mounts and name.
inside() {
	local node=$1 pid
	shift
	pid=$(pid_in "$node" "$(dir_of "$node")/init.pid") ||
		die "$node is not running: \"tools/lab down\" and \"tools/lab up\" rebuild the lab"
	nsenter -t "$pid" -m -u -n -- "$@"
}

libvirt_socket() { printf '%s/run/libvirt/libvirt-sock\n' "$(dir_of "$1")"; }
libvirt_uri() { printf 'qemu+unix:///system?socket=%s\n' "$(libvirt_socket "$1")"; }
virsh_on() {
	local host=$1
	shift
	virsh -q -c "$(libvirt_uri "$host")" "$@"
}

# ---- locks ----
#
# Descriptor 9 is inherited by everything a command starts but the daemons (reap
# closes it). So when a command is killed, its lock lasts until its last helper has
# ended, and the next command cannot run into it.

# lock exclusive|shared: `up` and `down` exclude everything, the others only these two.
lock() {
	local mode=$1 holders
	mkdir -p "$LABS_DIR"
	while :; do
		exec 9>>"$LOCK_FILE"
		if ! flock "--$mode" --timeout 60 9; then
			holders=$(fuser "$LOCK_FILE" 2>/dev/null | tr -s ' ') || true
			die "another tools/lab has been at work on lab \"$LAB\" for a minute" \
				"(pid${holders:- unknown}): wait for it or end it"
		fi
		# `down` removes the file: a lock on a removed one is worth nothing.
		[[ /proc/self/fd/9 -ef $LOCK_FILE ]] && return 0
		exec 9>&-
	done
}

unlock_and_forget() {
	rm -f "$LOCK_FILE"
	exec 9>&-
	rmdir "$LABS_DIR" 2>/dev/null || true
}
