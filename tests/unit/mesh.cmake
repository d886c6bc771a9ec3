# proto/ and proto/mesh/, file by file.
drover_test(NAME test_json LABEL unit SOURCES unit/test_json.c
	LIBS drover_proto PkgConfig::JANSSON)
drover_test(NAME test_json_read LABEL unit SOURCES unit/test_json_read.c LIBS drover_proto)
drover_test(NAME test_methods LABEL unit SOURCES unit/test_methods.c LIBS drover_mesh)
foreach(module frame gate message pieces)
	drover_test(NAME test_mesh_${module} LABEL unit SOURCES unit/test_mesh_${module}.c
		LIBS drover_mesh)
endforeach()
drover_command_test(NAME rpc_generator LABEL unit COMMAND bats tests/unit/rpc_generator.bats)
foreach(module audit audit_repeat audit_text)
	drover_test(NAME test_${module} LABEL unit SOURCES unit/test_${module}.c unit/audit_world.c
		LIBS drover_audit drover_proto)
endforeach()
drover_test(NAME test_fuzz_messages LABEL unit
	SOURCES unit/test_fuzz_messages.c fuzz/messages.c LIBS drover_proto)
