# drover-tunnel, the process that carries libvirt's control connection of one attempt, and what the
# agent needs to start it and to look at it. The executable lies beside drover-agent.
add_library(drover_tunnel_client STATIC
	${CMAKE_CURRENT_LIST_DIR}/tunnel/spawn.c
	${CMAKE_CURRENT_LIST_DIR}/tunnel/start_ticks.c
	${CMAKE_CURRENT_LIST_DIR}/tunnel/status.c)
target_link_libraries(drover_tunnel_client PUBLIC drover_attempt)

add_library(drover_tunnel STATIC
	${CMAKE_CURRENT_LIST_DIR}/tunnel/frame.c
	${CMAKE_CURRENT_LIST_DIR}/tunnel/link.c
	${CMAKE_CURRENT_LIST_DIR}/tunnel/local.c
	${CMAKE_CURRENT_LIST_DIR}/tunnel/process.c
	${CMAKE_CURRENT_LIST_DIR}/tunnel/relay.c
	${CMAKE_CURRENT_LIST_DIR}/tunnel/tls.c)
target_link_libraries(drover_tunnel PUBLIC drover_tunnel_client PRIVATE PkgConfig::OPENSSL)

add_executable(drover-tunnel ${CMAKE_CURRENT_LIST_DIR}/tunnel/main.c)
target_link_libraries(drover-tunnel PRIVATE drover_tunnel)
