#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# A measurement's gate is one only if it can fail: on a figure that is too high, on one that is not there,
# and on what is none. Here measurements judge figures that nobody measured.

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

	# Twenty cycles with a little noise: control 1, drover's programs half a percent, nftables two.
	awk 'BEGIN {
		split("control 1 tcx 1.005 clsact 1.005 nftables 1.02 sniffing 1.1", v)
		for (load = 0; load < 2; load++)
			for (cycle = 1; cycle <= 20; cycle++)
				for (i = 1; i < 10; i += 2) {
					noise = 1 + (cycle * 7 % 11 - 5) / 2000
					rate = 1e9 / (load ? v[i + 1] : 1)
					printf "slice %s %d %s %.0f %.0f 0 1000000000 500000000\n", load ? "cpu-bound" : "link-limited",
						cycle, v[i], rate * noise, 500000000 * rate / 1e9 * v[i + 1]
				}
		print "packet empty 16.0 17.0\npacket migration 43.0 44.0\npacket other 28.0 29.0\nread 64 11000"
	}' >"$figures.ebpf"
}

judge_ebpf() { "$root/tools/bench" ebpf --figures "$figures.ebpf" --gate; }

# Bytes, or CPU, of a variant under a load, in percent of what they are.
make_ebpf() { # LOAD VARIANT bytes|cpu PERCENT
	awk -v l="$1" -v v="$2" -v f="$3" -v p="$4" '$2 == l && $4 == v { $(f == "bytes" ? 5 : 6) *= p / 100 } { print }' \
		CONVFMT=%.0f "$figures.ebpf" >"$figures.new"
	mv "$figures.new" "$figures.ebpf"
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

@test "ebpf: figures within the goals pass" {
	run -0 judge_ebpf
	[[ $output == *"9 of 9 goals are reached"* && $output != *MISSED* ]]
}

@test "ebpf: two percent of link-limited throughput fail" {
	make_ebpf link-limited tcx bytes 98
	run -1 judge_ebpf
	[[ $output == *"tcx, link-limited: throughput"*"0.980"*MISSED* && $output == *"8 of 9"* ]]
}

@test "ebpf: being dearer than nftables fails, in CPU and in throughput" {
	make_ebpf cpu-bound clsact cpu 105
	run -1 judge_ebpf
	[[ $output == *"clsact, CPU-bound: CPU for a byte beside nftables"*MISSED* ]]
	make_ebpf cpu-bound tcx bytes 95
	run -1 judge_ebpf
	[[ $output == *"tcx, CPU-bound: throughput beside nftables"*MISSED* ]]
}

@test "ebpf: a packet that is too dear fails, and so does a slow reading" {
	sed -i 's/^packet migration .*/packet migration 57.0 58.0/; s/^read 64 .*/read 64 201000/' "$figures.ebpf"
	run -1 judge_ebpf
	[[ $output == *"a migration frame, to an empty program"*"3.56"*MISSED* && $output == *"a reading, us"*MISSED* ]]
}

@test "ebpf: what is too noisy to tell is not reached" {
	awk '$4 == "nftables" && $3 % 2 { $5 = sprintf("%.0f", $5 * 1.5) } $4 == "nftables" && $3 % 2 == 0 { $5 = sprintf("%.0f", $5 / 1.5) } { print }' "$figures.ebpf" >"$figures.new"
	mv "$figures.new" "$figures.ebpf"
	run -1 judge_ebpf
	[[ $output == *"TOO BUSY TO TELL"* ]]
}

@test "ebpf: what was not measured fails, and so does what is no figure" {
	sed -i '/nftables/d; /^read/d' "$figures.ebpf"
	run -1 judge_ebpf
	[[ $output == *"beside nftables"*"NOT MEASURED"* && $output == *"a reading, us"*"NOT MEASURED"* ]]
	echo "slice cpu-bound 1 tcx much 1 1 1 1" >>"$figures.ebpf"
	run -1 judge_ebpf
	[[ $output == *"is no figure"* ]]
	: >"$figures.ebpf"
	run -1 judge_ebpf
}

@test "ebpf: without --gate a missed goal is told, and no failure" {
	make_ebpf link-limited tcx bytes 90
	run -0 "$root/tools/bench" ebpf --figures "$figures.ebpf"
	[[ $output == *MISSED* ]]
}

# --- bench plan ---

plan_figures() {
	plan=$BATS_TEST_TMPDIR/plan
	cat >"$plan" <<-END
		ucc15 mean 1.01
		ucc15 max 1.14
		ucc15 worse 0
		large moves 10153
		large cpu_ms 30
		large rss_mib 37
		large ratio 1
		replan p99_ms 4
		replan fair_p99_ms 4
		mix drover5.ratio 1.01
		mix drover4.physical 1.02
		mix drover5.bytes 1
		mix drover4.bytes 1
		mix drover.end_to_kubevirt 0.66
		mix drover.end_to_nova 0.5
		mix drover.end_to_proxmox 0.6
		mix drover.end_to_vmware 0.5
		ends drover5.mean 0.001
		ends drover4.mean 0.004
		ends ahead5.mean 0.007
		ends drover5.worst_last 0.003
		ends drover4.worst_last 0.001
		tight cases 135
		tight blocked 0
		cycles unsolved 0
		cycles unproved 0
		cycles extra_detours 0
	END
}
judge_plan() { "$root/tools/bench" plan --figures "$plan" --gate; }

@test "plan: figures within the goals pass" {
	plan_figures
	run -0 judge_plan
	[[ $output == *"goals_reached=27 goals_missed=0"* ]]
}

@test "plan: each goal that is missed fails" {
	local row
	for row in 'ucc15 mean 1.021' 'ucc15 max 1.16' 'ucc15 worse 1' 'large moves 9999' 'large cpu_ms 51' \
		'large rss_mib 65' 'large ratio 1.04' 'replan p99_ms 5.1' 'replan fair_p99_ms 5.1' \
		'mix drover5.ratio 1.04' 'mix drover4.physical 1.06' 'mix drover4.bytes 1.03' 'mix drover5.bytes 1.03' \
		'mix drover.end_to_kubevirt 0.71' 'mix drover.end_to_nova 0.71' \
		'mix drover.end_to_proxmox 0.71' 'mix drover.end_to_vmware 0.71' 'ends drover5.mean 0.02' 'ends drover4.mean 0.02' \
		'ends ahead5.mean 0.02' \
		'ends drover5.worst_last 0.06' 'ends drover4.worst_last 0.06' 'tight cases 134' 'tight blocked 1' \
		'cycles unsolved 1' 'cycles unproved 1' 'cycles extra_detours 2'; do
		plan_figures
		sed -i "s/^${row% *} .*/$row/" "$plan"
		run -1 judge_plan
		[[ $output == *MISSED* ]]
	done
}

@test "plan: what was not measured, and what is no figure, fails" {
	plan_figures
	sed -i '/^tight blocked/d' "$plan"
	run -1 judge_plan
	[[ $output == *"NOT MEASURED"* ]]
	plan_figures
	echo 'ucc15 mean nan' >>"$plan"
	run -1 judge_plan
	[[ $output == *"is no figure"* ]]
}

# Thirty light moves, ten heavy ones and four that do not converge: percent, MiB, end, ms it took, ms foretold,
# lowest, highest, what was foretold, pauses, bytes, certain, rates.
prediction_figures() {
	moves=$BATS_TEST_TMPDIR/moves
	{
		for _ in {1..30}; do echo "20 64 DONE 4000 4400 3000 6000 CONVERGES 90 100 70000000 71000000 true 4000000 19000000"; done
		for _ in {1..10}; do echo "70 64 DONE 9000 11000 7000 14000 CONVERGES 300 300 170000000 180000000 true 13000000 19000000"; done
		for _ in {1..4}; do echo "130 64 FAILED 15000 15000 0 0 GIVES_UP 0 0 280000000 280000000 true 25000000 19000000"; done
	} >"$moves"
}

judge_prediction() { "$root/tools/bench" prediction --figures "$moves" --gate; }

@test "prediction: figures within the goals pass, and without --gate a missed goal is told" {
	prediction_figures
	run -0 judge_prediction
	[[ $output == *"light_error_percent=10.0"*"heavy_within_percent=100"*"recognised=4 false_alarms=0 not_certain=0" ]]
	sed -i 's/ 4000 4400 / 4000 4700 /' "$moves"
	run -0 "$root/tools/bench" prediction --figures "$moves"
	[[ $output == *"at most 15 %: MISSED"* ]]
}

@test "prediction: each goal that is missed fails, and so does what was not measured" {
	prediction_figures
	sed -i 's/ 4000 4400 / 4000 4700 /' "$moves"
	run -1 judge_prediction
	[[ $output == *"at most 15 %: MISSED"* ]]
	prediction_figures
	sed -i '31,32s/ 7000 14000 / 9500 14000 /' "$moves"
	run -1 judge_prediction
	[[ $output == *"within the interval: MISSED"* ]]
	prediction_figures
	sed -i '44s/GIVES_UP/CONVERGES/' "$moves"
	run -1 judge_prediction
	[[ $output == *"expected not to: MISSED"* ]]
	prediction_figures
	sed -i '1s/CONVERGES/GIVES_UP/' "$moves"
	run -1 judge_prediction
	[[ $output == *"expected not to: MISSED"* ]]
	prediction_figures
	sed -i '/FAILED/d' "$moves"
	run -1 judge_prediction
	[[ $output == *"NOT MEASURED"* ]]
}

@test "prediction: what is not certain is no false alarm, no miss is excused by it, and it counts within the interval" {
	prediction_figures
	sed -i '31s/ 11000 7000 14000 CONVERGES\(.*\) true / 60000 7000 61000 GIVES_UP\1 false /; 44s/ true / false /' "$moves"
	run -0 judge_prediction
	[[ $output == *"not certain, expected not to "*" 1 "*" 1"* ]]
	[[ $output == *"heavy_within_percent=100"*"recognised=4 false_alarms=0 not_certain=2" ]]
	sed -i '44s/GIVES_UP/CONVERGES/' "$moves"
	run -1 judge_prediction
	[[ $output == *"expected not to: MISSED"*"recognised=3 false_alarms=0 not_certain=2" ]]
	prediction_figures
	sed -i '31,32s/ 11000 7000 14000 CONVERGES\(.*\) true / 60000 52000 61000 GIVES_UP\1 false /' "$moves"
	run -1 judge_prediction
	[[ $output == *"within the interval: MISSED"* ]]
}

@test "prediction: who is certain of nothing fails, of what converges and of what does not" {
	prediction_figures
	sed -i 's/ true / false /' "$moves"
	run -1 judge_prediction
	[[ $output == *"expected not to: reached"*"not certain 44 of 44;"*"(0 of 4): MISSED"* ]]
	prediction_figures
	sed -i '1,8s/ true / false /' "$moves"
	run -1 judge_prediction
	[[ $output == *"not certain 8 of 44;"*"(22 of 30)"*": MISSED"* ]]
	prediction_figures
	sed -i '35,39s/ 7000 14000 CONVERGES\(.*\) true / 7000 61000 GIVES_UP\1 false /' "$moves"
	run -1 judge_prediction
	[[ $output == *"expected not to: MISSED"*"heavy_within_percent=100"*"false_alarms=0 not_certain=5" ]]
	prediction_figures
	sed -i '42,44s/ true / false /' "$moves"
	run -1 judge_prediction
	[[ $output == *"(1 of 4): MISSED"* ]]
}

@test "every measurement explains itself, and owes no figures for it" {
	for name in $("$root/tools/bench"); do
		run -0 "$root/tools/bench" "$name" --help
		[[ $output == *"tools/bench $name"* && $output != *'did not end'* ]]
	done
}
