foreach(module planner planner_properties)
	drover_test(NAME test_${module} LABEL unit TIMEOUT 240
		SOURCES unit/test_${module}.c unit/plan_checker.c unit/plan_fixture.c LIBS drover_planner)
endforeach()
