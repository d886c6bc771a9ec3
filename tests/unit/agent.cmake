drover_test(NAME test_convergence LABEL unit SOURCES unit/test_convergence.c LIBS drover_agent)
drover_test(NAME test_outlook LABEL unit SOURCES unit/test_outlook.c LIBS drover_agent)
drover_test(NAME test_kubevirt_rules LABEL unit SOURCES unit/test_kubevirt_rules.c
	LIBS drover_agent)
drover_test(NAME test_wire LABEL unit SOURCES unit/test_wire.c LIBS drover_agent)
drover_test(NAME test_source_copy LABEL unit SOURCES unit/test_source_copy.c LIBS drover_agent)
drover_test(NAME test_migration_tls LABEL unit SOURCES unit/test_migration_tls.c LIBS drover_agent)
drover_test(NAME test_dirty_rates LABEL unit SOURCES unit/test_dirty_rates.c
	LIBS drover_agent drover_hypervisor_fake)
drover_test(NAME test_path_probe LABEL unit SOURCES unit/test_path_probe.c LIBS drover_agent)
