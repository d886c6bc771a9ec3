foreach(module alloc clock error id log loop mailbox units utf8)
	drover_test(NAME test_${module} LABEL unit SOURCES unit/test_${module}.c LIBS drover_common)
endforeach()
drover_test(NAME test_config LABEL unit SOURCES unit/test_config.c LIBS drover_config)
