# Run by tests/bench/reports; built on demand only.
add_executable(bench_reports EXCLUDE_FROM_ALL ${CMAKE_CURRENT_LIST_DIR}/bench_reports.c
	${CMAKE_CURRENT_LIST_DIR}/../unit/core_world.c)
target_link_libraries(bench_reports PRIVATE drover_coordinator drover_flags PkgConfig::CMOCKA)
