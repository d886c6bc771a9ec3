# The process that carries libvirt's control connection: its frames, and pairs of real processes.
drover_test(NAME test_tunnel_frame LABEL unit SOURCES unit/test_tunnel_frame.c LIBS drover_tunnel)
foreach(name tunnel tunnel_process tunnel_trust)
	drover_test(NAME test_${name} LABEL unit SOURCES unit/test_${name}.c unit/tunnel_world.c
		LIBS drover_tunnel_client ARGS $<TARGET_FILE:drover-tunnel>)
	if(TARGET test_${name})
		add_dependencies(test_${name} drover-tunnel)
	endif()
endforeach()
