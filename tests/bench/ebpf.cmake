# Run by tests/bench/ebpf; built on demand only.
add_executable(bench_ebpf EXCLUDE_FROM_ALL ${CMAKE_CURRENT_LIST_DIR}/bench_ebpf.c
	${CMAKE_CURRENT_LIST_DIR}/traffic_programs.c)
target_link_libraries(bench_ebpf PRIVATE drover_traffic_skeleton drover_ebpf drover_common
	drover_flags)
add_executable(bench_slices EXCLUDE_FROM_ALL ${CMAKE_CURRENT_LIST_DIR}/bench_slices.c
	${CMAKE_CURRENT_LIST_DIR}/slices_variants.c ${CMAKE_CURRENT_LIST_DIR}/traffic_programs.c)
target_link_libraries(bench_slices PRIVATE drover_traffic_skeleton drover_ebpf drover_common
	drover_flags)
