# proto/ and proto/mesh/, file by file.
drover_test(NAME test_json LABEL unit SOURCES unit/test_json.c
	LIBS drover_proto PkgConfig::JANSSON)
