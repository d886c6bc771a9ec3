drover_fuzz(NAME fuzz_frame SOURCES fuzz/fuzz_frame.c LIBS drover_mesh)
drover_fuzz(NAME fuzz_message SOURCES fuzz/fuzz_message.c fuzz/messages.c LIBS drover_mesh)
drover_fuzz(NAME fuzz_session SOURCES fuzz/fuzz_session.c LIBS drover_mesh)
drover_fuzz(NAME fuzz_wire SOURCES fuzz/fuzz_wire.c LIBS drover_agent drover_coordinator)
drover_fuzz(NAME fuzz_certificate SOURCES fuzz/fuzz_certificate.c
	LIBS drover_pki PkgConfig::OPENSSL)
drover_fuzz(NAME fuzz_audit SOURCES fuzz/fuzz_audit.c LIBS drover_audit)
drover_fuzz(NAME fuzz_json SOURCES fuzz/fuzz_json.c LIBS drover_proto)
