#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# proto/rpc.awk: what it makes of a service, and that whatever is missing or odd in one ends the build
# with the line that is to blame.

# Every test of bats is a subshell.
# shellcheck disable=SC2030,SC2031

setup() {
	cd "$BATS_TEST_DIRNAME/../.." || return 1
	awk=$(command -v mawk || command -v gawk || command -v awk)
	proto=$BATS_TEST_TMPDIR/thing.proto
}

# The text of the service's body comes from stdin.
thing() {
	{
		printf 'syntax = "proto3";\npackage drover.v1;\nservice Thing {\n'
		cat
		printf '}\n'
	} >"$proto"
}

emit() {
	run "$awk" -v emit="$1" -f proto/rpc.awk "$proto"
	echo "$output"
}

refused() {
	emit table
	[ "$status" -ne 0 ]
	[[ $output == *"$proto:$1: "*"$2"* ]]
	[[ $output != *"struct method"* ]]
}

@test "a method has its messages, its stream and its roles" {
	thing <<'END'
  // What it is for.
  // roles: operator admin
  rpc FindThing(FindRequest) returns (FindReply);

  // roles: viewer
  // A comment may follow.
  rpc WatchThings(FindRequest)
      returns (stream ThingChange);
END
	emit table
	[ "$status" -eq 0 ]
	[[ $output == *'"drover.v1.Thing/FindThing", &drover__v1__find_request__descriptor, &drover__v1__find_reply__descriptor, false, MESH_ROLE_OPERATOR | MESH_ROLE_ADMIN '* ]]
	[[ $output == *'"drover.v1.Thing/WatchThings", &drover__v1__find_request__descriptor, &drover__v1__thing_change__descriptor, true, MESH_ROLE_VIEWER '* ]]
	emit header
	[[ $output == *"struct mesh_call *thing_call_find_thing("*"const Drover__V1__FindReply *reply"* ]]
	[[ $output == *"void (*watch_things)(struct mesh_incoming *in, const Drover__V1__FindRequest *request"* ]]
}

@test "a method that does not say who may call it ends the build" {
	thing <<'END'
  // roles: admin
  rpc One(A) returns (B);
  rpc Two(A) returns (B);
END
	refused 6 "rpc Two does not say who may call it"
}

@test "a role that does not exist ends the build" {
	thing <<<"  // roles: operator everybody"
	refused 4 'there is no role "everybody"'
}

@test "nobody, twice the same and two lines of roles end the build" {
	thing <<<"  // roles:"
	refused 4 "nobody may call this"
	thing <<<"  // roles: admin admin"
	refused 4 "role admin stands there twice"
	printf '  // roles: admin\n  // roles: agent\n' | thing
	refused 5 "a second line of roles"
}

@test "what it does not understand ends the build" {
	printf '  // roles: admin\n  rpc One(stream A) returns (B);\n' | thing
	refused 5 "not understood"
	printf '  // roles: admin\n  rpc One(other.A) returns (B);\n' | thing
	refused 5 "of its own package"
	printf '  // roles: admin\n  option deprecated = true;\n' | thing
	refused 5 "not understood"
	printf '  // roles: admin\n' | thing
	refused 5 "an unfinished rpc"
}

@test "a file without any method ends the build" {
	printf 'syntax = "proto3";\n' >"$proto"
	emit table
	[ "$status" -ne 0 ]
	[[ $output == *"no rpc at all"* ]]
}

# The handlers of the Agent service with one row added to or taken from those of agent/service.c.
compile() {
	local build=${DROVER_BUILD_DIR:-build/dev}

	cp agent/service.c "$BATS_TEST_TMPDIR/service.c"
	sed -i "$1" "$BATS_TEST_TMPDIR/service.c"
	run "${CC:-cc}" -std=gnu11 -fsyntax-only -D_GNU_SOURCE -I. -I"$build" -I"$build/proto" \
		"$BATS_TEST_TMPDIR/service.c"
	echo "$output"
}

@test "a handler for a method that is not in the .proto does not compile" {
	compile ''
	[ "$status" -eq 0 ]
	compile 's/^\t\.admit = .*/&\n\t.permit = handle_admit,/'
	[ "$status" -ne 0 ]
	[[ $output == *"permit"* ]]
}
