# What survives a crash of the agent, and the thread that writes it.
drover_proto_sources(JOURNAL_PROTO_SOURCES ${CMAKE_CURRENT_LIST_DIR} journal)
add_library(drover_journal_messages STATIC ${JOURNAL_PROTO_SOURCES})
target_include_directories(drover_journal_messages PUBLIC ${PROJECT_BINARY_DIR})
target_link_libraries(drover_journal_messages PUBLIC PkgConfig::PROTOBUF_C)
if(DROVER_SANITIZE)
	target_compile_options(drover_journal_messages PRIVATE -fsanitize=${DROVER_SANITIZE})
endif()

add_library(drover_journal STATIC
	${CMAKE_CURRENT_LIST_DIR}/journal.c
	${CMAKE_CURRENT_LIST_DIR}/journal_codec.c
	${CMAKE_CURRENT_LIST_DIR}/journal_quarantine.c
	${CMAKE_CURRENT_LIST_DIR}/journal_scan.c
	${CMAKE_CURRENT_LIST_DIR}/journal_state.c)
target_link_libraries(drover_journal PUBLIC drover_kernel PRIVATE drover_journal_messages)
