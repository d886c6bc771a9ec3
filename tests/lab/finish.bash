# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# finish - for tests that lose libvirt's answer at the end of a migration from host1 to host2.

# Half a kilobyte in a second, from the first on: a link's own rate has a burst that lets an answer
# pass at once.
slow_down() { lab shell host2 tc qdisc replace dev mg0 root tbf rate 4kbit burst 1600 limit 200000; }
heal() {
	lab shell host2 tc qdisc del dev mg0 root
	lab shell host2 iptables -F OUTPUT
}

# Runs nowhere twice, as often as it can be looked at.
assert_not_twice() { # GUEST
	[[ $(guest_state "$1" host1) != running || $(guest_state "$1" host2) != running ]] ||
		fail "$1 runs on both hosts"
}

begin_move() { # GUEST [VM_OPTION...]
	lab vm "$1" host1 --memory 96MiB --working-set 48MiB "${@:2}"
	wait_until "drover vms $1 -o json | jq -e '.vms[0].movable' >/dev/null" 10
	lab link host1 migration rate 100mbit
	drover -q migrate "$1" --to host2 --detach
	wait_mid_copy "$1" host1 4000000
}

tunnels_kill() {
	local host pid
	for host in host1 host2; do
		for pid in $(ip netns pids "drover-$DROVER_LAB-$host"); do
			[[ $(cat "/proc/$pid/comm" 2>/dev/null) != drover-tunnel* ]] || kill -KILL "$pid"
		done
	done
}

# What libvirt on the destination says once it was told to finish: it runs, or waits for drover.
is_complete() { # GUEST
	[[ $(lab virsh host2 domstate "$1" --reason 2>/dev/null | head -n1) =~ ^(running|paused\ \(user\)) ]]
}

# A move of GUEST whose last answer is lost; when this returns drover has settled it.
lose_the_answer() { # GUEST [VM_OPTION...]
	begin_move "$@"
	slow_down
	wait_until "is_complete $1" 30
	assert_not_twice "$1"
	tunnels_kill
	heal
	local deadline=$((SECONDS + 60))
	until [[ -z $(drover migrations --active -o name) ]]; do
		assert_not_twice "$1" || return 1
		((SECONDS < deadline)) || fail "not settled: $(drover migrations -o wide)" || return 1
		sleep 0.2
	done
}

# ---- without a guard ----

# The move of a new GUEST without any guard, up to where its answer can be lost.
begin_unguarded() { # GUEST
	lab vm "$1" host1 --memory 96MiB --working-set 48MiB --storage lun
	wait_until "drover vms $1 -o json | jq -e '.vms[0].movable' >/dev/null" 10
	lab link host1 migration rate 100mbit
	run -0 drover migrate "$1" --to host2 --no-guard --dry-run
	[[ "$output" == *"switched off by an administrator"* ]]
	drover -q migrate "$1" --to host2 --no-guard --detach
	wait_mid_copy "$1" host1 4000000
	slow_down
	wait_until "is_complete $1" 30
}

# Paused at its source by drover; libvirt's own reason for it would be "migrating".
is_held() { [[ $(lab virsh host1 domstate "$1" --reason | head -n1) == "paused (user)" ]]; }

# It ran twice: nothing was destroyed, and a person is told so.
assert_a_person_decides() { # GUEST
	[ "$(guest_state "$1" host2)" = running ] || fail "$1 does not run on host2" || return 1
	wait_until "[ \"\$(migration_get $1 .state)\" = UNRESOLVED ]" 10 || return 1
	wait_until "[[ \"\$(migration_get $1 .reason)\" == *'ran on both hosts'* ]]" 5 ||
		fail "$(migration_get "$1" .reason)" || return 1
	drover events -o json | jq -e --arg guest "$1" '.events[] |
		select(.severity == "alarm" and (.text | startswith($guest + ": the guest ran on both hosts")))' >/dev/null ||
		fail "no alarm: $(drover events)"
}
