drover_test(NAME test_migration LABEL unit SOURCES unit/test_migration.c LIBS drover_core)
drover_test(NAME test_rate_history LABEL unit SOURCES unit/test_rate_history.c LIBS drover_core)
drover_test(NAME test_prediction LABEL unit SOURCES unit/test_prediction.c LIBS drover_core)
drover_test(NAME test_prediction_sampled LABEL unit SOURCES unit/test_prediction_sampled.c
	LIBS drover_core drover_agent)
foreach(module attempts attempts_kept attempts_path bring_back calibration claims deadline
		drain_history drain_requests drain_set fence fleet intent launch_ahead node_labels
		plan retry step tune waiting)
	drover_test(NAME test_${module} LABEL unit SOURCES unit/test_${module}.c unit/core_world.c
		LIBS drover_core)
endforeach()
foreach(module classes denials lacks)
	drover_test(NAME test_drain_${module} LABEL unit SOURCES unit/test_drain_${module}.c
		unit/offers_world.c unit/core_world.c LIBS drover_core)
endforeach()
drover_test(NAME test_drain LABEL unit
	SOURCES unit/test_drain.c unit/drain_world.c unit/core_world.c
	LIBS drover_core)
drover_test(NAME test_refusals LABEL unit SOURCES unit/test_refusals.c unit/drain_world.c
	unit/core_world.c LIBS drover_core)
drover_test(NAME test_drain_asked LABEL unit SOURCES unit/test_drain_asked.c unit/drain_world.c
	unit/core_world.c unit/policy_fixture.c LIBS drover_core)
drover_test(NAME test_fleet_path LABEL unit SOURCES unit/test_fleet_path.c LIBS drover_core)
drover_test(NAME test_packing LABEL unit SOURCES unit/test_packing.c unit/proof_checker.c
	LIBS drover_core)
drover_test(NAME test_capacity LABEL unit SOURCES unit/test_capacity.c unit/core_world.c
	LIBS drover_core drover_kernel)
drover_test(NAME test_power LABEL unit SOURCES unit/test_power.c unit/test_power_back.c
	unit/power_world.c unit/core_world.c LIBS drover_core)
foreach(module policy policy_wish drain_policies)
	drover_test(NAME test_${module} LABEL unit SOURCES unit/test_${module}.c unit/core_world.c
		unit/policy_fixture.c unit/power_world.c LIBS drover_core)
endforeach()
