drover_test(NAME test_convergence LABEL unit SOURCES unit/test_convergence.c LIBS drover_agent)
drover_test(NAME test_wire LABEL unit SOURCES unit/test_wire.c LIBS drover_agent)
