# shellcheck shell=bash
# SPDX-License-Identifier: Apache-2.0
# What the gates share. A gate is called with the folder to look at (this repository unless told)
# and prints one line per finding:  FILE:LINE: what is wrong. It ends with 0 for "clean", 1 for
# "findings", 77 for "cannot look here" with the reason; a folder without any file to look at is an
# error (2), because a gate that sees nothing would always be open.

set -euo pipefail

gate_home=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
gate_name=$(basename "$0")

# Changes into the folder to look at.
gate_enter() {
	cd "${1:-$gate_home}"
}

# Prints the files that match the given find(1) expression, relative to here, one per line. Files
# are found, not asked from git: a gate also works in an unpacked archive, and for root in a clone
# that belongs to somebody else.
gate_find() {
	find . \( -path ./.git -o -path ./build -o -path ./.cache \) -prune -o \
		-type f \( "$@" \) -print | sed 's|^\./||' | LC_ALL=C sort
}

gate_c_files() {
	gate_find -name '*.c' -o -name '*.h'
}

# Scripts: by their ending, or by their first line.
gate_shell_files() {
	local file first
	gate_find -name '*.sh' -o -name '*.bats' -o ! -name '*.*' -o -path './.ci/*' |
		while IFS= read -r file; do
			case $file in *.sh | *.bats) echo "$file" && continue ;; esac
			IFS= read -r first 2>/dev/null <"$file" || true
			case $first in
			'#!/bin/sh'* | '#!/bin/bash'* | '#!/usr/bin/env bash'* | '#!/usr/bin/env bats'*)
				echo "$file"
				;;
			esac
		done
}

# Ends with 2 when there is nothing to look at.
gate_need_files() {
	if [ "$1" -eq 0 ]; then
		echo "$gate_name: no files to look at in $PWD"
		exit 2
	fi
}

# Ends with 77 where a tool is missing or has another version than the one the gate is made for.
gate_skip() {
	echo "$gate_name: skipped: $*"
	exit 77
}

gate_need_tool() {
	command -v "$1" >/dev/null || {
		echo "$gate_name: $1 is not installed; tools/install does that"
		exit 2
	}
}

# gate_verdict FINDINGS [TOOL_RC]: prints the findings, if any, and ends with the verdict. A tool that
# failed without any finding did not look.
gate_verdict() {
	if [ -n "$1" ]; then
		printf '%s\n' "$1"
		exit 1
	fi
	if [ "${2:-0}" -ne 0 ]; then
		echo "$gate_name: the tool failed ($2) and found nothing"
		exit 2
	fi
	exit 0
}
