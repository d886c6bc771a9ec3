set(judged unit/plan_fixture.c unit/plan_checker.c unit/plan_proof_checker.c unit/plan_books.c)
foreach(module planner planner_oracle planner_properties)
	drover_test(NAME test_${module} LABEL unit TIMEOUT 240
		SOURCES unit/test_${module}.c ${judged} LIBS drover_planner)
endforeach()
drover_test(NAME test_drain_plan LABEL unit SOURCES unit/test_drain_plan.c unit/core_world.c
	LIBS drover_core)

# GLPK is an oracle for tests and nothing else, so builds do without it; the test then fails, and says why.
find_library(GLPK_LIBRARY glpk)
find_path(GLPK_INCLUDE_DIR glpk.h)
if(GLPK_LIBRARY AND GLPK_INCLUDE_DIR)
	drover_test(NAME test_planner_glpk LABEL unit TIMEOUT 240
		SOURCES unit/test_planner_glpk.c unit/mip.c ${judged} LIBS drover_planner)
	target_include_directories(test_planner_glpk SYSTEM PRIVATE ${GLPK_INCLUDE_DIR})
	target_link_libraries(test_planner_glpk PRIVATE ${GLPK_LIBRARY})
else()
	drover_command_test(NAME test_planner_glpk LABEL unit
		COMMAND sh -c "echo 'GLPK was not there when this was configured: tools/install test, then cmake again' >&2 && false")
endif()
