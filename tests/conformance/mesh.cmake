# The mesh: suites that run once per transport, and what only one transport can show.
drover_proto_sources(MESH_TEST_MESSAGES ${CMAKE_CURRENT_SOURCE_DIR}/conformance/mesh test)
add_library(drover_mesh_test STATIC ${MESH_TEST_MESSAGES} conformance/mesh/harness.c
	conformance/mesh/pki.c conformance/mesh/raw.c conformance/mesh/siege.c)
target_link_libraries(drover_mesh_test PUBLIC drover_mesh PkgConfig::OPENSSL PkgConfig::CMOCKA)

# mesh_suite(name transport...)
function(mesh_suite name)
	drover_test(NAME test_mesh_${name} LABEL conformance LIBS drover_mesh_test ARGS ${ARGV1}
		SOURCES conformance/mesh/test_mesh_${name}.c)
	foreach(transport ${ARGV2} ${ARGV3})
		add_test(NAME test_mesh_${name}_${transport}
			COMMAND test_mesh_${name} ${transport}
			WORKING_DIRECTORY ${PROJECT_SOURCE_DIR})
		drover_test_properties(test_mesh_${name}_${transport} conformance "" "")
	endforeach()
endfunction()

mesh_suite(calls inproc ipc tcp)
mesh_suite(deadline inproc ipc tcp)
mesh_suite(drain inproc ipc tcp)
mesh_suite(metadata inproc ipc tcp)
mesh_suite(repeat inproc ipc tcp)
mesh_suite(hostile ipc tcp)
mesh_suite(life inproc ipc tcp)
mesh_suite(flow inproc ipc tcp)
mesh_suite(versions ipc tcp)
mesh_suite(listen ipc tcp)
mesh_suite(threads inproc ipc tcp)
mesh_suite(soak inproc ipc tcp)
# The same a hundred times as long.
add_test(NAME test_mesh_soak_long COMMAND test_mesh_soak tcp 100 WORKING_DIRECTORY ${PROJECT_SOURCE_DIR})
drover_test_properties(test_mesh_soak_long conformance slow 1200)

drover_test(NAME test_mesh_roles LABEL conformance LIBS drover_mesh_test
	SOURCES conformance/mesh/test_mesh_roles.c)
drover_test(NAME test_mesh_renewal LABEL conformance LIBS drover_mesh_test
	SOURCES conformance/mesh/test_mesh_renewal.c)
drover_test(NAME test_mesh_identity LABEL conformance LIBS drover_mesh_test
	SOURCES conformance/mesh/test_mesh_identity.c)
drover_test(NAME test_mesh_siege LABEL conformance LIBS drover_mesh_test
	SOURCES conformance/mesh/test_mesh_siege.c)
drover_test(NAME test_mesh_nonsense LABEL conformance LIBS drover_mesh_test
	SOURCES conformance/mesh/test_mesh_nonsense.c)
