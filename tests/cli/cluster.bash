# shellcheck shell=bash
# SPDX-License-Identifier: Apache-2.0
# Clusters of real daemons without libvirt: each "host" is a prefix and addresses of its own on the
# loopback interface.

setup() {
	drover=$DROVER_BUILD_DIR/tools/drover/drover
	export LC_ALL=C.UTF-8
	unset NO_COLOR DROVER_CA DROVER_CERT DROVER_KEY DROVER_SERVER DROVER_PREFIX COLUMNS
	# Addresses of this run's own: others may test on this machine, too.
	net=127.$((RANDOM % 200 + 20)).$((RANDOM % 250 + 1))
	daemons=()
}

teardown() {
	local pid
	for pid in "${daemons[@]}"; do
		if kill "$pid"; then wait "$pid" || true; fi
	done
}

at() { # N: the arguments that make a command host N's
	echo --prefix "$BATS_TEST_TMPDIR/host$1" --name "host$1" --address "$net.$1" \
		--migration-address "$net.10$1" --migration-interface lo
}

init() { # OPTIONS...
	# shellcheck disable=SC2046
	"$drover" init --cluster lab7 $(at 1) "$@"
}

token() { "$drover" token create -q --prefix "$BATS_TEST_TMPDIR/host1" "$@"; }

join() { # N TOKEN OPTIONS...
	# shellcheck disable=SC2046
	"$drover" join "$2" $(at "$1") "${@:3}"
}

start() { # N coordinator|agent
	local root=$BATS_TEST_TMPDIR/host$1
	[ "$2" = coordinator ] || grep -q ^libvirt: "$root/etc/drover/agent.yaml" ||
		printf 'libvirt: {uri: "qemu+unix:///system?socket=/nowhere", socket: /nowhere}\n' >>"$root/etc/drover/agent.yaml"
	"$DROVER_BUILD_DIR/$2/drover-$2" --config "$root/etc/drover/$2.yaml" >"$root/$2.log" 2>&1 3>&- &
	daemons+=($!)
}

until_true() { # COMMAND...
	local deadline=$((SECONDS + 40))
	until "$@"; do
		if [ "$SECONDS" -ge "$deadline" ]; then
			tail -n 20 "$BATS_TEST_TMPDIR"/host*/*.log
			return 1
		fi
		read -r -t 0.1 <> <(:) || true
	done
}

logged() { grep -qs -- "$2" "$BATS_TEST_TMPDIR/host1/$1.log"; }

# Of the coordinator's store: agents whose connection lives.
attached() { # NUMBER
	[ "$("$drover" -H "ipc://$BATS_TEST_TMPDIR/host1/run/drover/coordinator.sock" nodes -o json |
		jq '[.nodes[] | select(.agentVersion != "")] | length')" = "$1" ]
}
