# The destination side of a migration, the judge of its end, and the agent's journal.
drover_proto_sources(JOURNAL_PROTO_SOURCES ${CMAKE_CURRENT_LIST_DIR} journal)
add_library(drover_journal_messages STATIC ${JOURNAL_PROTO_SOURCES})
target_include_directories(drover_journal_messages PUBLIC ${PROJECT_BINARY_DIR})
target_link_libraries(drover_journal_messages PUBLIC PkgConfig::PROTOBUF_C)
if(DROVER_SANITIZE)
	target_compile_options(drover_journal_messages PRIVATE -fsanitize=${DROVER_SANITIZE})
endif()

add_library(drover_attempt STATIC
	${CMAKE_CURRENT_LIST_DIR}/attempt.c
	${CMAKE_CURRENT_LIST_DIR}/crc32c.c)
target_link_libraries(drover_attempt PUBLIC drover_common)

add_library(drover_admission STATIC
	${CMAKE_CURRENT_LIST_DIR}/admission.c
	${CMAKE_CURRENT_LIST_DIR}/admission_memory.c
	${CMAKE_CURRENT_LIST_DIR}/guard.c
	${CMAKE_CURRENT_LIST_DIR}/port_holder.c
	${CMAKE_CURRENT_LIST_DIR}/ports.c
	${CMAKE_CURRENT_LIST_DIR}/reservations.c
	${CMAKE_CURRENT_LIST_DIR}/resolve.c
	${CMAKE_CURRENT_LIST_DIR}/storage_device.c
	${CMAKE_CURRENT_LIST_DIR}/storage_proof.c
	${CMAKE_CURRENT_LIST_DIR}/storage_proof_wire.c
	${CMAKE_CURRENT_LIST_DIR}/storage_verify.c)
target_link_libraries(drover_admission PUBLIC drover_attempt drover_common drover_messages)

add_library(drover_journal STATIC
	${CMAKE_CURRENT_LIST_DIR}/journal.c
	${CMAKE_CURRENT_LIST_DIR}/journal_codec.c
	${CMAKE_CURRENT_LIST_DIR}/journal_scan.c
	${CMAKE_CURRENT_LIST_DIR}/journal_state.c)
target_link_libraries(drover_journal PUBLIC drover_admission PRIVATE drover_journal_messages)
