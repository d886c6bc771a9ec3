# Run by tests/bench/plan; built on demand only.
set(sources bench_plan.c bench_plan_drains.c bench_plan_ends.c
	bench_plan_peers.c bench_plan_tight.c bench_plan_ucc15.c)
list(TRANSFORM sources PREPEND ${CMAKE_CURRENT_LIST_DIR}/)
add_executable(bench_plan EXCLUDE_FROM_ALL ${sources})
target_link_libraries(bench_plan PRIVATE drover_planner drover_kernel drover_simulator drover_flags
	PkgConfig::JANSSON)
