drover_fuzz(NAME fuzz_frame SOURCES fuzz/fuzz_frame.c LIBS drover_mesh)
drover_fuzz(NAME fuzz_message SOURCES fuzz/fuzz_message.c LIBS drover_mesh)
drover_fuzz(NAME fuzz_json SOURCES fuzz/fuzz_json.c LIBS drover_proto)
