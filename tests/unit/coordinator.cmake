foreach(module coordinator coordinator_questions)
	drover_test(NAME test_${module} LABEL unit
		SOURCES unit/test_${module}.c unit/coordinator_bench.c
		LIBS drover_coordinator)
endforeach()
drover_test(NAME test_export_round LABEL unit
	SOURCES unit/test_export_round.c unit/coordinator_bench.c
	LIBS drover_coordinator drover_simulator)
drover_test(NAME test_shutdown_timeout LABEL unit
	SOURCES unit/test_shutdown_timeout.c unit/coordinator_bench.c
	unit/power_world.c unit/core_world.c LIBS drover_coordinator)
drover_test(NAME test_links LABEL unit SOURCES unit/test_links.c unit/core_world.c
	LIBS drover_coordinator)
drover_test(NAME test_facts_read LABEL unit SOURCES unit/test_facts_read.c LIBS drover_coordinator)
drover_test(NAME test_coordinator_settings LABEL unit SOURCES unit/test_coordinator_settings.c
	LIBS drover_coordinator)
