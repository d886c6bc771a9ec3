drover_test(NAME test_coordinator LABEL unit SOURCES unit/test_coordinator.c
	LIBS drover_coordinator)
