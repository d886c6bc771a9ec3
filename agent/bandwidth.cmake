# Rates out of the counters of ebpf/: arithmetic only.
add_library(drover_bandwidth STATIC ${CMAKE_CURRENT_LIST_DIR}/bandwidth.c)
target_link_libraries(drover_bandwidth PUBLIC drover_common m)
