foreach(module alloc clock courier error fit id labels log loop loop_turn mailbox timers units utf8)
	drover_test(NAME test_${module} LABEL unit SOURCES unit/test_${module}.c LIBS drover_common)
endforeach()
drover_test(NAME test_config LABEL unit SOURCES unit/test_config.c LIBS drover_config)
if(DROVER_FAILPOINTS)
	drover_test(NAME test_failpoint LABEL unit SOURCES unit/test_failpoint.c LIBS drover_common)
endif()
drover_test(NAME test_fit_message LABEL unit SOURCES unit/test_fit_message.c
	LIBS drover_proto drover_common)
drover_test(NAME test_transfer LABEL unit SOURCES unit/test_transfer.c
	LIBS drover_proto drover_common)
