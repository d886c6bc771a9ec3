# The pure core: no I/O, no clock. What it may include is held by the layering lint.
add_subdirectory(${CMAKE_CURRENT_SOURCE_DIR}/core)
