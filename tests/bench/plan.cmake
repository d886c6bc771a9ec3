# Run by tests/bench/plan; built on demand only.
add_executable(bench_plan EXCLUDE_FROM_ALL ${CMAKE_CURRENT_LIST_DIR}/bench_plan.c
	${CMAKE_CURRENT_LIST_DIR}/bench_plan_ends.c ${CMAKE_CURRENT_LIST_DIR}/bench_plan_ucc15.c)
target_link_libraries(bench_plan PRIVATE drover_planner drover_kernel drover_simulator drover_flags PkgConfig::JANSSON)
