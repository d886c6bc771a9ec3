# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# drover - for tests of drover on real hosts: a lab with its daemons, a clean start of every test,
# moments in the middle of a copy, and what must hold when a test is over.
#
# What drover claims is never the proof of what drover did: where a guest runs is asked of every
# host's own libvirt and of the QEMU processes; that it ran once and lost nothing is told by its own
# heartbeats, of which two running copies would write each number twice.

load lib.bash

# drover_lab NAME HOSTS [UP_OPTION...]: for setup_file. One lab for all tests of the file.
drover_lab() {
	lab_name "$1"
	shift
	lab_up "$@"
	oracles_start
	lab_drover_start
	wait_until all_ready 15
}

# ---- what must never be, at any moment ----

# lab_oracles (tests/lab/oracles.c) watches every QEMU of the lab from its first guest to its last.
oracles_start() {
	"$DROVER_BUILD_DIR/tests/lab_oracles" "$DROVER_LAB" >>"$LAB_STATE/oracles.log" 2>&1 3>&- &
	printf '%s\n' $! >"$LAB_STATE/oracles.pid"
}

# oracles_expect ORACLE: this test breaks it on purpose, and it must be seen to.
oracles_expect() { printf '%s\n' "$1" >>"$LAB_STATE/oracles.expected"; }
# oracles_allow ORACLE: it may be broken for a moment that is too short to be seen each time.
oracles_allow() { printf '%s\n' "$1" >>"$LAB_STATE/oracles.allowed"; }

oracles_begin_test() {
	truncate -s 0 "$LAB_STATE/oracles.log"
	rm -f "$LAB_STATE/oracles.expected" "$LAB_STATE/oracles.allowed"
}

oracles_check() {
	local expected=$LAB_STATE/oracles.expected allowed=$LAB_STATE/oracles.allowed
	local log=$LAB_STATE/oracles.log oracle
	[[ $(cat "/proc/$(cat "$LAB_STATE/oracles.pid")/comm" 2>/dev/null) == lab_oracles ]] ||
		fail "the oracles do not watch: $(cat "$log")" || return 1
	touch "$expected" "$allowed"
	while read -r oracle; do
		grep -q "^$oracle " "$log" || fail "$oracle was broken on purpose, and the oracles saw nothing" || return 1
	done <"$expected"
	! grep -v -f <(sed 's/.*/^& /' "$expected" "$allowed") "$log" || fail "an oracle was broken (above)"
}

# For teardown.
lab_end_test() {
	lab_show_failure
	oracles_check
}

# For setup: whatever the test before left, even when it failed, is gone.
drover_reset() {
	local host guest
	oracles_begin_test
	for host in $(lab_hosts); do
		for guest in $(lab virsh "$host" -q list --all --name); do
			lab virsh "$host" -q destroy "$guest" >/dev/null 2>&1 || true
			lab virsh "$host" -q undefine "$guest" >/dev/null 2>&1 || true
		done
		lab link "$host" mgmt up
		lab link "$host" migration up
		lab link "$host" migration rate 1gbit
	done
	find "$LAB_STATE/guests" -type f -name '*.xml' -printf '%f\n' | while read -r guest; do
		lab rm "${guest%.xml}" >/dev/null 2>&1 || true
	done
	lab_drover_start >/dev/null 2>&1
	wait_until 'drover status >/dev/null 2>&1' 15
	for guest in $(drover drains -o json | jq -r '.drains[] | select(.endedWallMs == 0) | .number'); do
		drover -q cancel "drain/$guest" >/dev/null || true
	done
	for guest in $(drover migrations --active -o json | jq -r '.migrations[].number'); do
		drover -q cancel "migration/$guest" >/dev/null || true
	done
	for host in $(lab_hosts); do
		drover -q undrain "$host" >/dev/null 2>&1 || drover -q uncordon "$host" >/dev/null 2>&1 || true
	done
	wait_until all_ready 20
	wait_until '[ "$(drover vms -o json | jq ".vms | length")" = 0 ]' 20
}

lab_hosts() { lab status -o json | jq -r '.hosts[].name'; }

all_ready() { drover nodes -o json 2>/dev/null | jq -e '(.nodes | length > 0) and all(.nodes[]; .state == "ready")' >/dev/null; }

# ---- what drover says ----

# The newest migration of a guest; jq FILTER on it: migration_get GUEST FILTER
migration_get() { drover migrations --vm "$1" -o json | jq -r ".migrations[0] | $2"; }
node_get() { drover nodes "$1" -o json | jq -r ".nodes[0] | $2"; } # NODE FILTER
drain_get() { drover drains -o json | jq -r ".drains[0] | $1"; }     # FILTER, of the newest
drain_vm_get() { drain_get ".vms[] | select(.name == \"$1\") | $2"; } # GUEST FILTER
vm_node() { drover vms "$1" -o json | jq -r '.vms[0].node'; }

# ---- what libvirt and the kernel say ----

# The copy of GUEST away from HOST has carried at least BYTES (2 MiB), by libvirt's word.
is_copying() {
	local said
	said=$(lab virsh "$2" qemu-monitor-command "$1" '{"execute":"query-migrate"}' 2>/dev/null) || return 1
	jq -e --argjson least "${3:-2097152}" \
		'.return.status == "active" and .return.ram.transferred > $least' <<<"$said" >/dev/null
}
wait_mid_copy() { wait_until "is_copying $1 $2 ${3:-}" 20; } # GUEST HOST [BYTES]

# link_bytes HOST INTERFACE: sent and received since the link was made.
link_bytes() { lab shell "$1" sh -c "cat /sys/class/net/$2/statistics/[rt]x_bytes" | awk '{ n += $1 } END { print n }'; }

# How often a QEMU was started for GUEST on HOST: once to boot, once for each copy that came in.
qemu_starts() { lab shell "$2" cat "/var/log/libvirt/qemu/$1.log" 2>/dev/null | grep -c ': starting up' || true; }
qemu_starts_everywhere() {
	local host sum=0
	for host in $(lab_hosts); do sum=$((sum + $(qemu_starts "$1" "$host"))); done
	printf '%s\n' "$sum"
}

# ---- a host's memory ----

# Its memory cgroup; nothing if this machine has none.
host_cgroup() {
	local dir
	for dir in "/sys/fs/cgroup/drover-$DROVER_LAB-$1" "/sys/fs/cgroup/memory/drover-$DROVER_LAB-$1"; do
		[[ ! -d $dir ]] || printf '%s\n' "$dir"
	done
}

# Grows inside HOST's cgroup until the kernel has ended process PID, which is the first it takes.
hog_until_gone() { # HOST PID
	echo 1000 >"/proc/$2/oom_score_adj"
	(
		echo "$BASHPID" >"$(host_cgroup "$1")/cgroup.procs"
		exec perl -e '
			for (1 .. 400) {
				last unless kill 0, $ARGV[0];
				push @held, "x" x ((4 << 20) + $_);
				select undef, undef, undef, 0.02;
			}' "$2" 3>&-
	) || [ $? = 137 ] # the kernel took it as well, while the memory of the first was being freed
	wait_until "! kill -0 $2" 15
}

# ---- what must hold in the end ----

# What drover made for migrations and has not removed, as lines; nothing is as it should be.
leftovers() {
	local host
	for host in $(lab_hosts); do
		lab shell "$host" find /run/drover/attempts /run/drover/inbound -mindepth 1 2>/dev/null |
			sed "s|^|$host: |"
		lab virsh "$host" -q list --all --name | while read -r guest; do
			[[ -z $guest || $(guest_state "$guest" "$host") == running ||
				-e $LAB_STATE/guests/$guest.xml && $(guest_state "$guest" "$host") == "shut off" ]] ||
				printf '%s: guest %s is %s\n' "$host" "$guest" "$(guest_state "$guest" "$host")"
		done
		ip netns pids "drover-$DROVER_LAB-$host" | while read -r pid; do
			[[ $(cat "/proc/$pid/comm" 2>/dev/null) != drover-tunnel* ]] || printf '%s: drover-tunnel %s\n' "$host" "$pid"
		done
		lab shell "$host" ss -Hltnp 'sport >= :49152 and sport <= :49153' | sed "s|^|$host: listens: |"
	done
	find "$LAB_STATE/shared" -name '.drover*' -printf 'proof: %p\n'
	drover nodes -o json | jq -r '.nodes[] | select(.host.memoryReservedBytes != "0" and .host.memoryReservedBytes != 0 or
		.host.portsInUse != 0 or .host.slotsIn != 0 or .host.slotsOut != 0) |
		"\(.name): reserved \(.host.memoryReservedBytes), ports \(.host.portsInUse), slots \(.host.slotsIn) in \(.host.slotsOut) out"'
}

# The oracles: every GUEST runs exactly once (and on HOST, where it is written GUEST@HOST), has never
# stopped, restarted, run twice or lost memory; drover knows where it is; nothing is left over.
assert_all_well() {
	local word guest host wanted running pids
	for word in "$@"; do
		guest=${word%@*} running=
		for host in $(lab_hosts); do
			[[ $(guest_state "$guest" "$host") != running ]] || running+=" $host"
		done
		wanted=${word#"$guest"}
		[[ $running == " "* && $running != *" "*" "* ]] ||
			fail "$guest runs on:${running:- no host}" || return 1
		[[ -z $wanted || $wanted == "@${running# }" ]] ||
			fail "$guest runs on$running, not on ${wanted#@}" || return 1
		pids=$(qemu_pids "$guest" | wc -l)
		[[ $pids == 1 ]] || fail "$guest has $pids QEMU processes" || return 1
		assert_counter_goes_on "$guest" || return 1
		assert_guest_intact "$guest" || return 1
		wait_until "[ \"\$(vm_node $guest)\" = ${running# } ]" 10 || return 1
	done
	wait_until '[ -z "$(leftovers)" ]' 15 || fail "left over: $(leftovers)"
}
