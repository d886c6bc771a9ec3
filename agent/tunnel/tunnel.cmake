# drover-tunnel, the process that carries libvirt's control connection of one attempt, and what the
# agent needs to start it and to look at it. The executable lies beside drover-agent.
add_library(drover_tunnel_client STATIC
	${CMAKE_CURRENT_LIST_DIR}/spawn.c
	${CMAKE_CURRENT_LIST_DIR}/start_ticks.c
	${CMAKE_CURRENT_LIST_DIR}/status.c)
target_link_libraries(drover_tunnel_client PUBLIC drover_kernel)

add_library(drover_tunnel STATIC
	${CMAKE_CURRENT_LIST_DIR}/failpoints.c
	${CMAKE_CURRENT_LIST_DIR}/frame.c
	${CMAKE_CURRENT_LIST_DIR}/link.c
	${CMAKE_CURRENT_LIST_DIR}/local.c
	${CMAKE_CURRENT_LIST_DIR}/process.c
	${CMAKE_CURRENT_LIST_DIR}/relay.c
	${CMAKE_CURRENT_LIST_DIR}/tls.c)
target_link_libraries(drover_tunnel PUBLIC drover_tunnel_client PRIVATE PkgConfig::OPENSSL)

add_executable(drover-tunnel ${CMAKE_CURRENT_LIST_DIR}/main.c)
target_link_libraries(drover-tunnel PRIVATE drover_tunnel)
