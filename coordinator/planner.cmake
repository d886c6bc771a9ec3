# Pure as the core, and independent of it.
add_subdirectory(${CMAKE_CURRENT_SOURCE_DIR}/planner)
