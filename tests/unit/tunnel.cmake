# The process that carries libvirt's control connection: its frames, and pairs of real processes.
drover_test(NAME test_tunnel_frame LABEL unit SOURCES unit/test_tunnel_frame.c LIBS drover_tunnel)
drover_test(NAME test_tunnel LABEL unit SOURCES unit/test_tunnel.c LIBS drover_tunnel_client
	ARGS $<TARGET_FILE:drover-tunnel>)
if(TARGET test_tunnel)
	add_dependencies(test_tunnel drover-tunnel)
endif()
