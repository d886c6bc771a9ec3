#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# What clang-tidy says of one file: tidy_file.sh HOME BUILD_FOLDER FILE [deep]
#
# It is kept in BUILD_FOLDER/tidy under a hash of all that went into it: the file and what it
# includes, with comments, how it is compiled, the checks, the tool and this script.
# Where the hash cannot be made, nothing is kept and clang-tidy looks.
set -euo pipefail

home=$1 build=$2 file=$3 depth=${4:-usual}

# How many states of one function the analyzer follows: clang's own 225,000 take four times the
# processor, for a few long functions in which it then finds the same.
nodes=20000
arguments=(--quiet -p "$build" --config-file="$home/.clang-tidy" --extra-arg=-Wno-unknown-warning-option)
if [ "$depth" != deep ]; then
	for word in -Xclang -analyzer-config -Xclang max-nodes=$nodes; do arguments+=(--extra-arg="$word"); done
fi

# Prints the commands that compile the file, as a shell reads them.
compile_commands() {
	awk -v wanted="\"file\": \"$file\"" '
		/^ *"command": / { command = $0 }
		index($0, wanted) { print command }' "$build/compile_commands.json" |
		sed -e 's/^ *"command": "//' -e 's/",\{0,1\}$//' -e 's/\\\(.\)/\1/g'
}

# Everything that decides what will be found.
read_all() {
	local command words i n=0
	clang-tidy --version
	printf '%s\n' "${arguments[@]}"
	cat "$home/.clang-tidy" "$home/tests/lint/tidy_file.sh"
	while IFS= read -r command; do
		eval "words=($command)"
		printf '%s\n' "${words[@]}"
		for i in "${!words[@]}"; do
			if [ "${words[i]-}" = -o ]; then unset "words[i]" "words[i + 1]"; fi
		done
		"${words[@]}" -E -CC -w || return 1
		n=$((n + 1))
	done < <(compile_commands)
	[ "$n" -gt 0 ]
}

kept=
seen=$(mktemp)
if (cd "$build" && read_all) >"$seen" 2>/dev/null; then
	mkdir -p "$build/tidy"
	kept=$build/tidy/$(sha256sum <"$seen" | cut -d' ' -f1)
fi
rm -f "$seen"
if [ -n "$kept" ] && [ -f "$kept" ]; then
	cat "$kept"
	exit 0
fi

rc=0
output=$(clang-tidy "${arguments[@]}" "$file" 2>/dev/null) || rc=$?
findings=$(grep -E '^/.*: (warning|error): ' <<<"$output" || true)
if [ "$rc" -ne 0 ] && [ -z "$findings" ]; then
	# This may be gone the next time.
	echo "$file:1: error: clang-tidy ended with $rc and found nothing"
	exit 0
fi
[ -z "$findings" ] || echo "$findings"
if [ -n "$kept" ]; then
	# Whole, or not at all.
	{ [ -z "$findings" ] || echo "$findings"; } >"$kept.$$"
	mv "$kept.$$" "$kept"
fi
