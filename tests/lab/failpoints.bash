# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# failpoints - for tests that make a program die at a named place (common/failpoint.h) while a guest
# moves: arming, the moves that lead there, and what must hold when it is started again.
#
# That a program died at its point is read from the file it leaves behind, with its pid: a point that
# nothing passes is a finding, not a success.

# shellcheck disable=SC2034,SC2016 # conditions are evaluated by wait_until

load drover.bash

# Where NODE's programs look for what is armed.
failpoint_file() {
	case $1 in
	coordinator) printf '%s/hosts/coordinator/var-drover/failpoint\n' "$LAB_STATE" ;;
	*) printf '%s/hosts/%s/run/drover/failpoint\n' "$LAB_STATE" "$1" ;;
	esac
}

# arm NODE NAME[:N][=ACTION]
arm() {
	local file
	file=$(failpoint_file "$1")
	rm -f "$file.fired"
	printf '%s\n' "$2" >"$file.new"
	mv "$file.new" "$file"
}
disarm() { rm -f "$(failpoint_file "$1")" "$(failpoint_file "$1").fired"; }
has_fired() { [[ -e $(failpoint_file "$1").fired ]]; }
fired_pid() { sed -n 's/^pid //p' "$(failpoint_file "$1").fired" 2>/dev/null; }
has_died() { has_fired "$1" && [[ -n $(fired_pid "$1") && ! -e /proc/$(fired_pid "$1") ]]; }

# What a test of points leaves behind is taken away.
end_sweep() {
	local node
	for node in coordinator host1 host2; do disarm "$node"; done
	lab_end_test
}

# names PROGRAM [PREFIX]: all its points, or those whose names begin so.
names() { "$DROVER_BUILD_DIR/$1" --failpoints | cut -f1 | grep "^${2-}"; }

# Points that no move here passes, each with who does. What is not in this list and is not passed is
# a finding.
elsewhere() {
	case $1 in
	source_*_break | source_*_relink* | source_before_postcopy_resume | target_*_cut | target_*_relink*)
		[[ -z ${TORN-} ]] && echo "a post-copy must break for it: failpoints_recover.bats" ;;
	source_*_abort | target_*_destroy)
		[[ -z ${LOST-} ]] && echo "the answer to Finish must be lost for it: a test of its own" ;;
	source_*_suspend)
		echo "the guest must run twice for it: finish.bats" ;;
	source_*_resume)
		echo "libvirtd must die when the copy is complete: finish.bats" ;;
	source_*_destroy | source_*_undefine)
		echo "a lock must keep the source from going on: finish_locks.bats" ;;
	*) return 1 ;;
	esac
}

# ---- guests ----

# A new guest NAME on HOST that drover knows. Its disk is one that no lock crosses hosts with, so that
# its move takes the most steps: the two-step commit.
new_guest() { # NAME HOST [OPTION...]
	lab vm "$1" "$2" --memory 64MiB --working-set 8MiB --storage lun "${@:3}" || return 1
	wait_until "drover vms $1 -o json 2>/dev/null | jq -e '.vms[0].movable' >/dev/null" 15
}

# The one host that runs GUEST, by libvirt's word; nothing if it is none or several.
home_of() {
	local host found=()
	for host in $(lab_hosts); do
		[[ $(guest_state "$1" "$host") != running ]] || found+=("$host")
	done
	if ((${#found[@]} == 1)); then printf '%s\n' "${found[0]}"; fi
}

# A node that was to be drained is heard of, and not ready.
all_heard() { drover nodes -o json 2>/dev/null | jq -e '(.nodes | length > 0) and all(.nodes[]; .state != "unreachable")' >/dev/null; }
no_drain() { drover drains -o json 2>/dev/null | jq -e 'all(.drains[]?; .endedWallMs != 0)' >/dev/null; }

none_active() {
	local active
	active=$(drover migrations --active -o name 2>/dev/null) && [[ -z $active ]]
}

# Not a QEMU more than one to boot and one for each attempt to move it.
assert_starts() {
	local attempts starts
	attempts=$(drover migrations --vm "$1" -o json | jq '[.migrations[].attemptNumber // .migrations[].report.attempt.number // 1] | length')
	starts=$(qemu_starts_everywhere "$1")
	((starts <= 1 + attempts)) || fail "$starts QEMUs were started for $1, which was to move $attempts times"
}

# ---- the moves, each the shortest that leads there ----

# The command waits long for a coordinator that is gone; we start it again.
order_move() { drover -q --timeout 3s migrate "$1" --to "$3" --detach; } # GUEST FROM TO

# Copied for longer than a third of a lease, so that it is renewed.
order_long_move() {
	lab link "$2" migration rate 40mbit
	order_move "$@"
}

# It writes more than the link carries: there are steps to take.
order_stubborn_move() {
	lab link "$2" migration rate 160mbit
	drover -q --timeout 3s migrate "$1" --to "$3" --ladder suspend-if-needed --detach
}

# A disk that the destination does not see goes along.
order_copying_move() { drover -q --timeout 3s migrate "$1" --to "$3" --copy-disks --detach; }

# What was made for it is removed.
order_cancelled_copy() {
	lab link "$2" migration rate 20mbit
	order_copying_move "$@" || return 1
	wait_mid_copy "$1" "$2" 1000000 || return 1
	drover -q --timeout 3s cancel "vm/$1"
}

order_cancelled_move() {
	lab link "$2" migration rate 20mbit
	order_move "$@" || return 1
	wait_mid_copy "$1" "$2" 1000000 || return 1
	drover -q --timeout 3s cancel "vm/$1"
}

# A person changes it while it runs.
order_tuned_move() {
	lab link "$2" migration rate 40mbit
	order_move "$@" || return 1
	wait_mid_copy "$1" "$2" 4000000 || return 1
	drover -q --timeout 3s tune "vm/$1" --bandwidth 100MiB/s --max-downtime 400ms
}

# Its post-copy breaks: by libvirt's hand, or because nothing of its connection comes through any more, which
# libvirt does not notice.
order_torn_move() {
	local port
	lab link "$2" migration rate 160mbit
	drover -q --timeout 3s migrate "$1" --to "$3" --allow-post-copy --max-downtime 20ms --detach || return 1
	wait_mid_copy "$1" "$2" 1000000 || return 1
	# The agent looks at it twice a second.
	wait_until "drover -q --timeout 3s tune vm/$1 --post-copy 2>/dev/null" 10 || return 1
	wait_until "[ \"\$(guest_state $1 $3)\" = running ]" 60 || return 1
	lab link "$2" migration rate 1mbit
	if [[ $POINT == source_*_break ]]; then
		# Others get through: only the stream is dead, and does not know.
		port=$(lab shell "$2" ss -Htn state established dport = :49152 | awk '{ sub(/.*:/, "", $3); print $3; exit }')
		lab shell "$2" iptables -A OUTPUT -o mi0 -p tcp --sport "$port" -j DROP || return 1
		wait_until "has_died $2 || [ \"\$(migration_get $1 .state)\" = UNRESOLVED ]" 90 || return 1
		lab link "$2" migration rate 160mbit
		return 0
	fi
	lab virsh "$2" domjobabort "$1" --postcopy || return 1
	lab link "$2" migration rate 160mbit
}

# The order is lost with the coordinator: the next one asks the source, who has never heard of it.
order_lost_move() {
	arm coordinator coordinator_before_start_call
	order_move "$@" || true
	wait_until 'has_died coordinator' 15 || return 1
	[[ ${NODE-} == coordinator ]] || disarm coordinator
	[[ ${NODE-} != coordinator ]] || arm coordinator "$POINT"
	lab_drover_start coordinator >/dev/null
}

# The tunnel of the host whose agent is to live dies with the answer to Finish.
order_lost_finish() {
	case $NODE in
	"$2") arm "$3" "tunnel_out_stream:$LOST" ;;
	*) arm "$2" "tunnel_in_stream:$LOST" ;;
	esac
	order_move "$@"
}

# Which piece of what the destination's libvirt says is its answer to Finish: the last without which
# the move fails.
lost_answer() {
	local n guest
	for n in 14 13 12 11 10; do
		guest=lost$SRANDOM
		new_guest "$guest" host1 >&2 || return 1
		arm host2 "tunnel_out_stream:$n"
		drover -q --timeout 20s migrate "$guest" --to host2 >&2 || true
		wait_until none_active 30 || return 1
		disarm host2
		if [[ $(home_of "$guest") == host1 ]] && lab rm "$guest" >&2; then
			printf '%s\n' "$n"
			return 0
		fi
		lab rm "$guest" >&2
	done
	return 1
}

order_drain() { drover -q --timeout 3s drain "$2" --detach; }
order_dry_run() { drover -q --timeout 3s migrate "$1" --to "$3" --dry-run >/dev/null; }

# Which of them leads to a point; a new point is led to by a plain move, or seen not to be.
order_for() {
	case $1 in
	coordinator_*_cancel_*) echo order_cancelled_move ;;
	coordinator_*_probe_* | source_*_tombstone_*) echo order_lost_move ;;
	coordinator_*_mark_*) echo order_drain ;;
	source_*_ladder_*) echo order_stubborn_move ;;
	source_*_tune | source_*_tune_*) echo order_tuned_move ;;
	source_*_break | source_*_relink* | source_before_postcopy_resume | target_*_cut | target_*_relink*)
		echo order_torn_move
		;;
	coordinator_*_preview_*) echo order_dry_run ;;
	source_*_abort | target_*_destroy) echo order_lost_finish ;;
	source_*_autostart_on) echo order_cancelled_move ;; # it stays, and has its autostart back
	target_after_images_removed) echo order_cancelled_copy ;;
	target_*_images_*) echo order_copying_move ;;
	target_before_renew_reply) echo order_long_move ;;
	*) echo order_move ;;
	esac
}

options_for() {
	case $1 in
	*_autostart | *_autostart_o*) echo --persistent ;;
	*_images_*) printf '%s\n' --storage local ;;
	*_ladder_*) printf '%s\n' --working-set 16MiB --dirty 40MiB/s ;;
	target_before_renew_reply | source_*_tune | source_*_tune_*)
		printf '%s\n' --memory 96MiB --working-set 64MiB
		;;
	source_*_break | source_*_relink* | source_before_postcopy_resume | target_*_cut | target_*_relink*)
		printf '%s\n' --memory 96MiB --working-set 48MiB --dirty 40MiB/s --storage file
		;;
	esac
}

# ---- one point ----

# sweep_point NODE POINT GUEST: FROM is where the guest is, TO where it goes; NODE is one of them or
# the coordinator, whose program dies.
sweep_point() {
	local NODE=$1 POINT=$2 guest=$3 from=host1 to=host2 home began=$SECONDS
	local options=()
	mapfile -t options < <(options_for "$POINT")
	new_guest "$guest" "$from" "${options[@]}" || return 1
	if [[ $POINT == *_autostart || $POINT == *_autostart_o* ]]; then
		lab virsh "$from" -q autostart "$guest" || return 1
		wait_until "[ \"\$(drover vms $guest -o json | jq '.vms[0].state.autostart')\" = true ]" 15 || return 1
	fi

	[[ $(order_for "$POINT") == order_lost_move && $NODE == coordinator ]] || arm "$NODE" "$POINT"
	# The command may lose its coordinator, which is not its fault.
	"$(order_for "$POINT")" "$guest" "$from" "$to" || true
	wait_until "has_died $NODE" 30 || { disarm "$NODE"; fail "$POINT: nothing on $NODE has passed it and died"; return 1; }
	lab link "$from" migration rate 1gbit
	for home in "$from" "$to"; do [[ $home == "$NODE" ]] || disarm "$home"; done
	lab_drover_start "$NODE" >/dev/null || return 1

	# The truth, at once: who is there, and where the guest is.
	wait_until all_heard 10 || return 1
	wait_until none_active 90 || { fail "$POINT: $(drover migrations --active -o wide)"; return 1; }
	home=$(home_of "$guest")
	[[ -n $home ]] || { fail "$POINT: $guest runs on none of the hosts, or on several"; return 1; }
	wait_until "[ \"\$(vm_node $guest)\" = $home ]" 10 || return 1
	printf '# %-36s %-12s %s on %s after %d s\n' "$POINT" "$NODE" \
		"$(migration_get "$guest" '"\(.state // "NEVER") \(.reason // "")"' | cut -c1-70)" "$home" $((SECONDS - began)) >&3
	wait_until no_drain 30 || { fail "$POINT: $(drover drains)"; return 1; }
	drover -q undrain "$from" >/dev/null 2>&1 || true
	wait_until all_ready 10 || return 1
	if [[ $home == "$from" ]]; then
		drover -q migrate "$guest" --to "$to" --copy-disks || { fail "$POINT: and it cannot be moved any more"; return 1; }
	fi
	assert_starts "$guest" || return 1
	assert_all_well "$guest@$to" || return 1
	lab shell "$from" iptables -F OUTPUT
	lab rm "$guest" >/dev/null
}

# sweep NODE POINT...: all of them, also when one fails; each failure is told at the end.
sweep() {
	local node=$1 point failed=()
	shift
	for point in "$@"; do
		if elsewhere "$point" >/dev/null; then
			printf '# %-36s not here: %s\n' "$point" "$(elsewhere "$point")" >&3
			continue
		fi
		# shellcheck disable=SC2310 # sweep_point says itself what fails
		if ! sweep_point "$node" "$point" "g$SRANDOM"; then
			failed+=("$point")
			lab drover log all | tail -n 60
			disarm "$node"
			drover_reset || true
		fi
	done
	((${#failed[@]} == 0)) || fail "${#failed[@]} of $# failed on $node: ${failed[*]}"
}
