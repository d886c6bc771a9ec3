# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# cluster - the lab's hosts become a cluster of drover's as real ones do: "drover init" on the
# coordinator's host, and the line that it prints, without a word changed, on every other.
#
# It comes before libvirtd's first start, which then finds QEMU's certificates where join has put
# them. The coordinator runs for that time only: a lab that is up has none of drover's daemons yet.

# cluster_require_build DIRECTORY
cluster_require_build() {
	local program
	for program in tools/drover/drover coordinator/drover-coordinator; do
		[[ -x $1/$program ]] || die "no program $1/$program: build drover first, name its build" \
			"directory with --build, or take hosts without drover with --bare"
	done
}

# cluster_run NODE BUILD LINE: as somebody would type it there.
cluster_run() {
	inside "$1" env -u DROVER_PREFIX PATH="$2/tools/drover:$PATH" sh -c "$3"
}

# Makes the cluster and opens its door.
cluster_init() { # BUILD
	local build=$1 log
	log=$(dir_of coordinator)/init-cluster.log
	(
		umask 077
		cluster_run coordinator "$build" "drover init --cluster lab --name c1 \
			--address $COORDINATOR_ADDRESS --migration-network $MIGRATION_NET.0/24 \
			--coordinator-only --uses $(cat "$STATE/host-count")" \
			>"$STATE/join-line" 2>"$log"
	) || die "drover init failed: $(cat "$log")"
	# Reached from outside its host, too.
	ln -s hosts/coordinator/run/drover/coordinator.sock "$STATE/coordinator.sock"
	daemon_start coordinator coordinator "$build/coordinator/drover-coordinator" \
		--config /etc/drover/coordinator.yaml
}

cluster_join() { # HOST BUILD RATE
	local host=$1 log
	log=$(dir_of "$host")/join.log
	cluster_run "$host" "$2" "$(cat "$STATE/join-line")" >"$log" 2>&1 ||
		die "$host could not join: $(cat "$log" "$(dir_of coordinator)/coordinator.log")"
	cluster_add_settings "$host" "$3"
}

# What a lab's host is and a real one is not: small, with a link that is slower than it says.
cluster_add_settings() { # HOST RATE
	local file
	file=$(dir_of "$1")/etc-drover/agent.yaml
	# The file ends within "migration:".
	[[ $2 == none ]] || say "  link: $(link_text "$2")" >>"$file"
	# Tests make links slower than anybody would admit a move to, and a probe at each first move
	# would take the time of all of them: those who are about either switch it on.
	[[ ${DROVER_LAB_PROBE:-} == yes ]] || say $'  probe: false\n  minBandwidth: 0' >>"$file"
	say "memory: {capacity: $(size_text "$(cat "$(dir_of "$1")/capacity-kib")"), reserve: 64MiB}" >>"$file"
}

# tc's "1gbit" as the "1Gbit/s" of drover.
link_text() {
	local text=${1,,}
	text=${text/gbit/Gbit}
	say "${text/mbit/Mbit}/s"
}

size_text() {
	if (($1 % 1048576 == 0)); then
		say "$(($1 / 1048576))GiB"
	elif (($1 % 1024 == 0)); then
		say "$(($1 / 1024))MiB"
	else
		say "$1KiB"
	fi
}

# Closes the door again; the token is used up.
cluster_end() {
	rm -f "$STATE/join-line"
	daemon_signal coordinator coordinator TERM
}
