#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# shellcheck disable=SC2016 # the dollar signs are text of the files that are made here
#
# A gate that cannot fail is no gate: each one is given a folder that is clean, which must pass, and
# the same with one bad file in it, which must be refused by name. A folder in which a gate finds
# nothing to look at is refused as well.

setup() {
	gates=$BATS_TEST_DIRNAME
	here=$BATS_TEST_TMPDIR/tree
	mkdir -p "$here/common" "$here/agent" "$here/coordinator/core" "$here/tests/unit" "$here/tools"
	cat >"$here/common/good.c" <<'END'
/* SPDX-License-Identifier: Apache-2.0 */
/* A clean file. */
#include "common/good.h"

#include <stddef.h>

size_t good_add(size_t a, size_t b)
{
	return a + b;
}
END
	cat >"$here/common/good.h" <<'END'
/* SPDX-License-Identifier: Apache-2.0 */
/* A clean header. */
#pragma once

#include <stddef.h>

size_t good_add(size_t a, size_t b);
END
	printf '%s\n' '#!/bin/bash' '# SPDX-License-Identifier: Apache-2.0' 'echo "$1"' >"$here/tools/good"
}

# Adds a file to the tree: its text comes from stdin, below a line with the licence.
add() {
	{
		echo '/* SPDX-License-Identifier: Apache-2.0 */'
		cat
	} >"$here/$1"
}

passes() {
	run "$@"
	echo "$output"
	[ "$status" -eq 0 ]
}

# refuses FILE COMMAND...: the gate fails with 1 and names the file.
refuses() {
	local file=$1
	shift
	run "$@"
	echo "$output"
	[ "$status" -eq 1 ]
	[[ $output == *"$file:"* ]]
}

# compile_commands.json as CMake writes it, for all C files of the tree.
commands() {
	mkdir -p "$here/build"
	{
		echo '['
		local file comma=''
		for file in "$here"/*/*.c; do
			printf '%s{\n  "directory": "%s",\n' "$comma" "$here/build"
			printf '  "command": "cc -I%s -D_GNU_SOURCE -c %s",\n' "$here" "$file"
			printf '  "file": "%s"\n}' "$file"
			comma=,
		done
		echo ']'
	} >"$here/build/compile_commands.json"
}

@test "every gate refuses a folder without files" {
	mkdir "$BATS_TEST_TMPDIR/empty"
	for gate in format cppcheck shell layering spdx words length tidy; do
		run "$gates/$gate" "$BATS_TEST_TMPDIR/empty"
		[ "$status" -eq 2 ]
	done
}

@test "every gate has a test here and is part of the suite" {
	for gate in "$gates"/*; do
		[ -x "$gate" ] && [[ $gate != *.* ]] || continue
		grep -q "^@test \"$(basename "$gate"): " "$BATS_TEST_FILENAME"
		grep -q "\b$(basename "$gate")\b" "$gates/gates.cmake"
	done
}

@test "format: spaces for tabs" {
	passes "$gates/format" "$here"
	printf '%s\n' 'int f(void);' 'int f(void)' '{' '    return 1;' '}' | add common/bad.c
	refuses common/bad.c "$gates/format" "$here"
}

@test "format: a brace in the wrong line of a header" {
	printf '%s\n' 'static inline int f(void) {' '	return 1;' '}' | add common/bad.h
	refuses common/bad.h "$gates/format" "$here"
}

@test "tidy: a NULL that is used" {
	commands
	passes "$gates/tidy" "$here" "$here/build"
	add common/bad.c <<'END'
int f(int a);
int f(int a)
{
	int *p = 0;

	if (a)
		p = &a;
	return *p;
}
END
	commands
	refuses common/bad.c "$gates/tidy" "$here" "$here/build"
	refuses common/bad.c "$gates/tidy" --deep "$here" "$here/build"
}

@test "tidy: the usual look leaves a mistake behind thousands of ways to a deep one" {
	# Twelve questions one after the other are 4,096 ways to the mistake at the end.
	{
		echo 'int asked(int);'
		echo 'int f(void);'
		echo 'int f(void)'
		echo '{'
		echo '	int a = 0, *p = 0;'
		for i in {0..11}; do echo "	if (asked($i)) a |= 1 << $i;"; done
		echo '	return a == 0xfff ? *p : 0;'
		echo '}'
	} | add common/bad.c
	commands
	passes "$gates/tidy" "$here" "$here/build"
	refuses common/bad.c "$gates/tidy" --deep "$here" "$here/build"
}

@test "tidy: a file that does not compile" {
	echo 'int f(void) { return nonsense; }' | add common/bad.c
	commands
	refuses common/bad.c "$gates/tidy" "$here" "$here/build"
}

@test "tidy: both sides the same" {
	add common/bad.c <<'END'
int f(int a);
int f(int a)
{
	return a & 1 && a & 1;
}
END
	commands
	refuses common/bad.c "$gates/tidy" "$here" "$here/build"
}

@test "tidy: what is kept of an earlier look does not hide what is new, in a header or a comment" {
	add common/bad.h <<'END'
static inline int one(int a)
{
	return a & 1;
}
END
	add common/bad.c <<'END'
#include "common/bad.h"
int f(int a);
int f(int a)
{
	return one(a) & 1 && one(a) & 1; /* NOLINT */
}
END
	commands
	passes "$gates/tidy" "$here" "$here/build"
	passes "$gates/tidy" "$here" "$here/build"
	sed -i 's/a & 1;/a \& 1 \&\& a \& 1;/' "$here/common/bad.h"
	refuses common/bad.h "$gates/tidy" "$here" "$here/build"
	refuses common/bad.h "$gates/tidy" "$here" "$here/build"
	sed -i 's/a & 1 && a & 1;/a \& 1;/' "$here/common/bad.h"
	passes "$gates/tidy" "$here" "$here/build"
	sed -i 's/ .. NOLINT ..$//' "$here/common/bad.c"
	refuses common/bad.c "$gates/tidy" "$here" "$here/build"
}

@test "tidy: no list of files" {
	run "$gates/tidy" "$here" "$here/nowhere"
	[ "$status" -eq 2 ]
}

@test "cppcheck: an array that is overrun" {
	passes "$gates/cppcheck" "$here"
	add common/bad.c <<'END'
int f(void);
int f(void)
{
	int a[4] = { 0 };

	return a[4];
}
END
	refuses common/bad.c "$gates/cppcheck" "$here"
}

@test "cppcheck: an array that is overrun, within a macro of a library" {
	add common/bad.c <<'END'
#include <uthash.h>
int f(struct x *head);
int f(struct x *head)
{
	struct x *at, *next;
	int sum = 0;

	HASH_ITER(hh, head, at, next) {
		int a[4] = { 0 };

		sum += a[4];
	}
	return sum;
}
END
	refuses common/bad.c "$gates/cppcheck" "$here"
}

@test "shell: an expansion without quotes, in a script with no ending" {
	passes "$gates/shell" "$here"
	printf '%s\n' '#!/bin/bash' 'rm $1' >"$here/tools/bad"
	refuses tools/bad "$gates/shell" "$here"
}

@test "shell: a mistake in a bats file" {
	printf '%s\n' '#!/usr/bin/env bats' '@test "x" {' 'rm $nothing' '}' >"$here/tests/unit/bad.bats"
	refuses tests/unit/bad.bats "$gates/shell" "$here"
}

@test "layering: each wrong arrow" {
	passes "$gates/layering" "$here"
	local row file include
	for row in \
		'common/bad.c "agent/journal/journal.h"' \
		'proto/bad.c "agent/journal/journal.h"' \
		'ebpf/bad.c "agent/journal/journal.h"' \
		'ebpf/bad.c "proto/agent.pb-c.h"' \
		'agent/bad.c "coordinator/core/plan.h"' \
		'agent/bad.c "tools/drover/text.h"' \
		'coordinator/bad.c "agent/journal/journal.h"' \
		'coordinator/bad.c "ebpf/traffic.h"' \
		'coordinator/core/bad.c "coordinator/store/store.h"' \
		'coordinator/store/bad.c "coordinator/view/view.h"' \
		'coordinator/view/bad.c "coordinator/coordinator.h"' \
		'coordinator/planner/bad.c "coordinator/core/fleet.h"' \
		'coordinator/planner/bad.c "common/clock.h"' \
		'coordinator/planner/bad.c <unistd.h>' \
		'coordinator/core/bad.c "proto/mesh/mesh.h"' \
		'coordinator/core/bad.c "proto/types.pb-c.h"' \
		'coordinator/core/bad.c "common/clock.h"' \
		'coordinator/core/bad.c "common/log.h"' \
		'coordinator/core/bad.c "common/loop.h"' \
		'tools/bad.c "agent/journal/journal.h"' \
		'tools/bad.c "coordinator/core/plan.h"' \
		'agent/bad.c "../common/error.h"' \
		'agent/bad.c "journal.h"' \
		'elsewhere/bad.c "common/error.h"' \
		'agent/kernel/bad.c "agent/agent.h"' \
		'agent/kernel/bad.c "agent/journal/journal.h"' \
		'agent/kernel/bad.c "common/clock.h"' \
		'agent/kernel/bad.c <unistd.h>' \
		'coordinator/core/bad.c <nng/nng.h>' \
		'coordinator/core/bad.c <time.h>' \
		'coordinator/core/bad.c <unistd.h>' \
		'coordinator/core/bad.c <sys/socket.h>' \
		'coordinator/bad.c <sqlite3.h>' \
		'coordinator/bad.c <libpq-fe.h>' \
		'coordinator/bad.c <libvirt/libvirt.h>' \
		'agent/bad.c <libvirt/libvirt.h>' \
		'agent/bad.c <openssl/ssl.h>' \
		'agent/bad.c <bpf/libbpf.h>' \
		'agent/bad.c <linux/bpf.h>' \
		'agent/bad.c <libxml/tree.h>' \
		'proto/bad.c <nng/nng.h>' \
		'common/bad.c <jansson.h>' \
		'common/bad.c <libfyaml.h>' \
		'common/bad.c <protobuf-c/protobuf-c.h>' \
		'common/bad.c <a_library_nobody_knows.h>'; do
		file=${row%% *} include=${row#* }
		mkdir -p "$here/$(dirname "$file")"
		echo "# include $include" | add "$file"
		refuses "$file" "$gates/layering" "$here"
		rm "$here/$file"
	done
	passes "$gates/layering" "$here"
}

@test "layering: the right arrows are open" {
	local row file
	for row in \
		'agent/a.c "ebpf/traffic.h"' \
		'agent/a.c "proto/agent.pb-c.h"' \
		'agent/hypervisor/hypervisor_libvirt.c <libvirt/libvirt.h>' \
		'agent/kernel/a.c "agent/hypervisor/hypervisor.h"' \
		'coordinator/a.c "coordinator/core/plan.h"' \
		'coordinator/core/a.c "common/units.h"' \
		'coordinator/core/a.c "coordinator/planner/planner.h"' \
		'coordinator/store/store_sqlite.c <sqlite3.h>' \
		'proto/mesh/a.c <nng/nng.h>' \
		'tools/drover/a.c "proto/mesh/mesh.h"' \
		'tests/unit/a.c "coordinator/core/plan.h"'; do
		file=${row%% *}
		mkdir -p "$here/$(dirname "$file")"
		echo "#include ${row#* }" | add "$file"
		passes "$gates/layering" "$here"
	done
}

@test "spdx: no licence, or one that is not ours" {
	passes "$gates/spdx" "$here"
	echo 'int a;' >"$here/common/bad.c"
	refuses common/bad.c "$gates/spdx" "$here"
	printf '%s\n' '/* SPDX-License-Identifier: GPL-3.0 */' >"$here/common/bad.c"
	refuses common/bad.c "$gates/spdx" "$here"
	rm "$here/common/bad.c"
	printf '%s\n' '#!/bin/sh' ':' >"$here/tools/bad"
	refuses tools/bad "$gates/spdx" "$here"
}

@test "spdx: a kernel object that the kernel would refuse" {
	mkdir "$here/ebpf"
	echo '/* SPDX-License-Identifier: GPL-2.0 */' >"$here/ebpf/good.bpf.c"
	passes "$gates/spdx" "$here"
	echo '/* SPDX-License-Identifier: Apache-2.0 */' >"$here/ebpf/bad.bpf.c"
	refuses ebpf/bad.bpf.c "$gates/spdx" "$here"
}

@test "words: plans, typedefs, sleeping tests, calls without limits, KubeVirt's words" {
	passes "$gates/words" "$here"
	local row file
	for row in \
		'common/bad.c /* TODO: later */' \
		'common/bad.c /* FIXME */' \
		'tools/bad # XXX' \
		'common/bad.h typedef struct x { int a; } x_t;' \
		'common/bad.h typedef enum y y;' \
		'tests/unit/bad.c void f(void) { usleep(10); }' \
		'common/bad.c void f(char *a) { sprintf(a, "x"); }' \
		'common/bad.c void f(char *a, char *b) { strcpy (a, b); }' \
		'agent/bad.c static const char *a = "DisksNotLiveMigratable";'; do
		file=${row%% *}
		echo "${row#* }" | add "$file"
		refuses "$file" "$gates/words" "$here"
		rm "$here/$file"
	done
	echo 'static const char template[] = "/tmp/a.XXXXXX";' | add common/fine.c
	mkdir -p "$here/agent/kernel"
	echo 'static const char *words[] = { "NotMigratable" };' | add agent/kernel/reasons.c
	passes "$gates/words" "$here"
}

@test "length: a file that grew too long" {
	passes "$gates/length" "$here"
	yes 'int f(void);' | head -n 450 | add common/long.c
	passes "$gates/length" "$here"
	[[ $output == *"common/long.c has 451 lines"* ]]
	yes 'int f(void);' | head -n 750 | add common/bad.c
	refuses common/bad.c "$gates/length" "$here"
}

@test "release: a build with failpoints is refused" {
	refuses "$DROVER_BUILD_DIR/agent/drover-agent" "$gates/release" "$DROVER_BUILD_DIR"
}
