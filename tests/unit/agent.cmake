drover_test(NAME test_convergence LABEL unit SOURCES unit/test_convergence.c LIBS drover_agent)
drover_test(NAME test_kubevirt_rules LABEL unit SOURCES unit/test_kubevirt_rules.c LIBS drover_agent)
drover_test(NAME test_wire LABEL unit SOURCES unit/test_wire.c LIBS drover_agent)
drover_test(NAME test_source_copy LABEL unit SOURCES unit/test_source_copy.c LIBS drover_agent)
