# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# lab - what measurements on a lab's hosts have in common. Loaded by a bench that has set bench_name;
# it sets lab, build, state and drover, and DROVER_LAB and DROVER_SERVER for what it starts.
#
# bench_up builds drover, brings a lab up and sees to it that it goes again; $work is a directory of
# the run's own.

bench_name=${bench_name:?is set by the bench}
root=$(cd "${BASH_SOURCE[0]%/*}/../.." && pwd)
lab=$root/tools/lab
build=${DROVER_BUILD_DIR:-$root/build/release}
export DROVER_LAB=${DROVER_LAB:-bench-$$}
export state=/var/lib/drover-lab/$DROVER_LAB
export DROVER_SERVER=ipc://$state/coordinator.sock
drover=$build/tools/drover/drover
heartbeat_ms=100 # as a guest of the lab gives them unless told
keep=no
work=

say() { printf '%s\n' "$*"; }
die() {
	printf 'bench %s: %s\n' "$bench_name" "$*" >&2
	exit 1
}
usage_error() {
	printf 'bench %s: %s; see --help\n' "$bench_name" "$*" >&2
	exit 2
}
is_count() { [[ $1 =~ ^[1-9][0-9]?$ ]]; }

# calc EXPRESSION [FORMAT]
calc() { awk "BEGIN { printf \"${2:-%.2f}\", $1 }"; }

# median and worst of the numbers on stdin, one per line.
median() { sort -n | awk '{ v[NR] = $1 } END { if (!NR) exit 1; print (v[int((NR + 1) / 2)] + v[int(NR / 2) + 1]) / 2 }'; }
worst() { sort -n | tail -n 1; }

uri_of() { say "qemu+unix:///system?socket=$state/hosts/$1/run/libvirt/libvirt-sock"; }
export -f say uri_of

# wait_until SECONDS WHAT COMMAND...
wait_until() {
	local deadline=$((SECONDS + $1)) what=$2
	shift 2
	until "$@"; do
		[ "$SECONDS" -lt "$deadline" ] || die "this did not come about: $what"
		sleep 0.1
	done
}

# host_of GUEST: where it runs, by the word of every host's own libvirt; several are an alarm.
host_of() {
	local host found=()
	for host in "$state"/hosts/host*; do
		host=${host##*/}
		case $(virsh -q -c "$(uri_of "$host")" domstate "$1" 2>/dev/null || true) in
		'' | 'shut off') ;;
		*) found+=("$host") ;;
		esac
	done
	[ ${#found[@]} -eq 1 ] || die "$1 is on ${#found[@]} hosts: ${found[*]-}"
	say "${found[0]}"
}

drover_is_ready() {
	"$drover" nodes -o json 2>/dev/null | jq -e '(.nodes | length > 0) and all(.nodes[]; .state == "ready")' >/dev/null
}

# What drover says of the last move of GUEST that ended well; FIELD of its report.
report_of() { # GUEST FIELD
	"$drover" migrations -o json | jq -r --arg name "$1" --arg field "$2" '
		[.migrations[] | select(.vmName == $name and .state == "DONE")] | max_by(.number) | .report[$field]'
}

# watch_silence FILE GUEST...: until it is told to end, then writes a line "GUEST MS" per guest: the
# longest time between two of its heartbeats, less the interval.
watch_silence() {
	local name out=$1 consoles=()
	shift
	for name in "$@"; do consoles+=("$state/console/$name.log"); done
	exec perl -MTime::HiRes=time -e '
		my ($interval, $out, @files) = @ARGV;
		my ($guest, %last, %worst) = ("");
		my $pid = open(my $lines, "-|", "tail", "-n", "0", "-F", @files) or die;
		my $end = sub {
			kill("TERM", $pid);
			open(my $to, ">", $out) or die;
			printf $to "%s %.0f\n", $_, ($worst{$_} // 0) * 1000 for sort keys %last;
			close($to) or die;
			exit(0);
		};
		$SIG{TERM} = $end;
		($guest) = $files[0] =~ m{([^/]+)\.log$};
		while (my $line = <$lines>) {
			if ($line =~ m{^==> .*/([^/]+)\.log <==}) { $guest = $1; next }
			next unless $line =~ /^hb /;
			my $now = time;
			my $gap = defined $last{$guest} ? $now - $last{$guest} - $interval / 1000 : 0;
			$worst{$guest} = $gap if $gap > ($worst{$guest} // 0);
			$last{$guest} = $now;
		}' "$heartbeat_ms" "$out" "${consoles[@]}"
}

cleanup() {
	local rc=$?
	if [ "$rc" -ne 0 ] && [ -e "$state/ready" ]; then
		say "---- the end of the logs:" >&2
		tail -n 8 "$state"/hosts/*/{agent,coordinator}.log >&2 2>/dev/null || true
	fi
	jobs -p | xargs -r kill 2>/dev/null || true
	rm -rf "$work"
	if [ "$keep" = yes ]; then
		say "the lab \"$DROVER_LAB\" is left: DROVER_LAB=$DROVER_LAB tools/lab down removes it" >&2
	else
		"$lab" down >/dev/null || true
	fi
	exit "$rc"
}

# bench_up HOSTS [UP_OPTION...]
bench_up() {
	[ "$EUID" -eq 0 ] || die "the lab needs root: sudo tools/bench $bench_name"
	[ ! -e "$state" ] || die "there is a lab \"$DROVER_LAB\" already: name another one with DROVER_LAB"
	if [ ! -f "$build/CMakeCache.txt" ]; then
		cmake -G Ninja -S "$root" -B "$build" -DCMAKE_BUILD_TYPE=Release >&2
	fi
	cmake --build "$build" --target drover drover-coordinator drover-agent drover-tunnel >&2
	work=$(mktemp -d)
	trap cleanup EXIT
	trap 'exit 130' INT
	trap 'exit 143' TERM
	"$lab" up "$@" --build "$build"
	"$lab" drover start all --build "$build"
}
