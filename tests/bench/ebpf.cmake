# Run by tests/bench/ebpf; built on demand only.
add_executable(bench_ebpf EXCLUDE_FROM_ALL ${CMAKE_CURRENT_LIST_DIR}/bench_ebpf.c)
target_link_libraries(bench_ebpf PRIVATE drover_traffic_skeleton drover_common drover_flags)
