drover_test(NAME test_traffic_program LABEL unit SOURCES unit/test_traffic_program.c
	LIBS drover_traffic_skeleton drover_common)
drover_test(NAME test_bandwidth LABEL unit SOURCES unit/test_bandwidth.c LIBS drover_bandwidth)
drover_test(NAME test_guest_interface LABEL unit
	SOURCES unit/test_guest_interface.c unit/traffic_fixture.c unit/veth_peer.c
	LIBS drover_bandwidth drover_ebpf drover_common)
drover_test(NAME test_connection_quality LABEL unit SOURCES unit/test_connection_quality.c
	LIBS drover_bandwidth)
drover_test(NAME test_path_estimate LABEL unit SOURCES unit/test_path_estimate.c
	LIBS drover_bandwidth)
drover_test(NAME test_path_proof LABEL unit SOURCES unit/test_path_proof.c LIBS drover_bandwidth)
drover_test(NAME test_tcp_diag LABEL unit SOURCES unit/test_tcp_diag.c
	LIBS drover_ebpf drover_common)
drover_test(NAME test_traffic LABEL unit
	SOURCES unit/test_traffic.c unit/traffic_fixture.c unit/veth_peer.c
	LIBS drover_ebpf drover_common)
foreach(module traffic_attach traffic_refused)
	drover_test(NAME test_${module} LABEL unit
		SOURCES unit/test_${module}.c unit/traffic_left.c unit/traffic_fixture.c
		unit/veth_peer.c
		LIBS drover_bandwidth drover_ebpf drover_common)
endforeach()
