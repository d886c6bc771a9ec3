# Run by tests/bench/dryrun; built on demand only.
add_executable(bench_dryrun EXCLUDE_FROM_ALL ${CMAKE_CURRENT_LIST_DIR}/bench_dryrun.c
	${CMAKE_CURRENT_LIST_DIR}/../unit/core_world.c)
target_link_libraries(bench_dryrun PRIVATE drover_coordinator drover_flags PkgConfig::CMOCKA)
