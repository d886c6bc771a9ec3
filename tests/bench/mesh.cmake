# Run by tests/bench/mesh, which builds gRPC's side itself; built on demand only.
add_executable(bench_mesh EXCLUDE_FROM_ALL ${CMAKE_CURRENT_LIST_DIR}/bench_mesh.c)
target_link_libraries(bench_mesh PRIVATE drover_mesh_test drover_mesh drover_common drover_flags)
