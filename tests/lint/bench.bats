#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# A measurement's gate is one only if it can fail: on a figure that is too high, on one that is not there,
# and on what is none. Here bench downtime judges figures that nobody measured.

bats_require_minimum_version 1.5.0

setup() {
	root=$(cd "$BATS_TEST_DIRNAME/../.." && pwd)
	figures=$BATS_TEST_TMPDIR/figures
	# Within a round the others take as long as the machine lets them; the ratios are those of drover.
	for guest in idle light heavy; do
		for round in 1 2 3; do
			for variant in virsh native drover; do
				echo "$guest $round $variant silence $((round * 40))"
				echo "$guest $round $variant downtime $((round * 50))"
				echo "$guest $round $variant free $((round * 3000))"
			done
		done
	done >"$figures"
}

judge() { "$root/tools/bench" downtime --figures "$figures" --gate; }

# A value of drover's in every round, in percent of the native one.
make() { # GUEST FIGURE PERCENT
	awk -v g="$1" -v f="$2" -v p="$3" '{ if ($1 == g && $3 == "drover" && $4 == f) $5 = $5 * p / 100; print }' \
		"$figures" >"$figures.new"
	mv "$figures.new" "$figures"
}

@test "downtime: figures within the goals pass" {
	make heavy downtime 109
	run -0 judge
	[[ $output == *"reached"* && $output != *MISSED* && $output != *"NOT MEASURED"* ]]
}

@test "downtime: a guest that stands still for too long fails, by either clock" {
	make light downtime 112
	run -1 judge
	[[ $output == *"light    downtime, ratio to native"*"1.12"*MISSED* ]]
	make light downtime 50
	make idle silence 120
	run -1 judge
	[[ $output == *"idle     silence, ratio to native"*MISSED* ]]
}

@test "downtime: a source that is free too late fails" {
	make idle free 120
	run -1 judge
	[[ $output == *"idle     free, overhead in ms"*"1200.00"*MISSED* ]]
}

@test "downtime: one bad round is not the median" {
	sed -i 's/^light 2 drover downtime .*/light 2 drover downtime 5000/' "$figures"
	run -0 judge
}

@test "downtime: what was not measured fails, and so does what is no figure" {
	sed -i '/^heavy . native/d' "$figures"
	run -1 judge
	[[ $output == *"heavy    silence, ratio to native"*"NOT MEASURED"* ]]
	echo "idle 1 drover silence" >>"$figures"
	run -1 judge
	[[ $output == *"is no figure"* ]]
	: >"$figures"
	run -1 judge
}

@test "downtime: without --gate a missed goal is told, and no failure" {
	make light downtime 112
	run -0 "$root/tools/bench" downtime --figures "$figures"
	[[ $output == *MISSED* ]]
}
