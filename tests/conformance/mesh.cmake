# The mesh: one suite of calls per transport, and what only one transport can show.
drover_proto_sources(MESH_TEST_MESSAGES ${CMAKE_CURRENT_SOURCE_DIR}/conformance/mesh test)
add_library(drover_mesh_test_messages STATIC ${MESH_TEST_MESSAGES})
target_link_libraries(drover_mesh_test_messages PUBLIC PkgConfig::PROTOBUF_C)
set(MESH_HARNESS conformance/mesh/harness.c conformance/mesh/pki.c)
set(MESH_LIBS drover_mesh drover_mesh_test_messages PkgConfig::OPENSSL)

drover_test(NAME test_mesh_calls LABEL conformance LIBS ${MESH_LIBS} ARGS inproc
	SOURCES conformance/mesh/test_mesh_calls.c ${MESH_HARNESS})
foreach(transport ipc tcp)
	add_test(NAME test_mesh_calls_${transport} COMMAND test_mesh_calls ${transport})
	drover_test_properties(test_mesh_calls_${transport} conformance "" "")
endforeach()
