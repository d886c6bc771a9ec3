# Two real agents in one process, for all tests of them.
set(sources agents.c agents_orders.c agents_report.c agents_story.c agents_tunnels.c)
list(TRANSFORM sources PREPEND ${CMAKE_CURRENT_LIST_DIR}/)
add_library(drover_agents_test STATIC EXCLUDE_FROM_ALL ${sources})
target_link_libraries(drover_agents_test PUBLIC drover_agent drover_hypervisor_fake drover_flags
	PkgConfig::CMOCKA)

foreach(module agents agents_admission agents_copy agents_ends agents_fence agents_foreign
		agents_halves agents_hold agents_journal agents_ladder agents_lanes agents_pace
		agents_postcopy agents_power agents_remnants agents_suspend agents_tune
		agents_verify)
	drover_test(NAME test_${module} LABEL sim WAITS TIMEOUT 300 SOURCES sim/test_${module}.c
		LIBS drover_agents_test)
endforeach()
drover_test(NAME test_agent_start LABEL sim WAITS TIMEOUT 60 SOURCES sim/test_agent_start.c
	LIBS drover_agent drover_hypervisor_fake)
drover_test(NAME test_agents_power_late LABEL sim TIMEOUT 300 SOURCES sim/test_agents_power_late.c
	LIBS drover_agents_test)
target_link_options(test_agents_power_late PRIVATE -Wl,--wrap=fake_start -Wl,--wrap=fake_shut_down
	-Wl,--wrap=vm_description_deinit)
# The destination's agent may be one that does not know the method yet.
target_link_options(test_agents_verify PRIVATE -Wl,--wrap=target_verify)
# The destination's file system is another one than the source's.
foreach(name storage_image_look storage_image_create storage_image_publish storage_image_remove
		storage_proof_verify journal_state_write_removed)
	target_link_options(test_agents_copy PRIVATE -Wl,--wrap=${name})
endforeach()
