foreach(module planner planner_oracle planner_properties)
	drover_test(NAME test_${module} LABEL unit TIMEOUT 240
		SOURCES unit/test_${module}.c unit/plan_checker.c unit/plan_fixture.c LIBS drover_planner)
endforeach()
drover_test(NAME test_drain_plan LABEL unit SOURCES unit/test_drain_plan.c unit/core_world.c LIBS drover_core)
