drover_test(NAME test_agent_start LABEL sim WAITS TIMEOUT 60
	SOURCES sim/test_agent_start.c
	LIBS drover_agent drover_hypervisor_fake)
drover_test(NAME test_agents LABEL sim WAITS TIMEOUT 300
	SOURCES sim/test_agents.c sim/agents_story.c sim/agents.c
	LIBS drover_agent drover_hypervisor_fake)
drover_test(NAME test_agents_admission LABEL sim WAITS TIMEOUT 300
	SOURCES sim/test_agents_admission.c sim/agents_story.c sim/agents.c
	LIBS drover_agent drover_hypervisor_fake)
drover_test(NAME test_agents_ends LABEL sim WAITS TIMEOUT 300
	SOURCES sim/test_agents_ends.c sim/agents_story.c sim/agents.c
	LIBS drover_agent drover_hypervisor_fake)
drover_test(NAME test_agents_fence LABEL sim WAITS TIMEOUT 300
	SOURCES sim/test_agents_fence.c sim/agents_story.c sim/agents.c
	LIBS drover_agent drover_hypervisor_fake)
drover_test(NAME test_agents_journal LABEL sim WAITS TIMEOUT 300
	SOURCES sim/test_agents_journal.c sim/agents_story.c sim/agents.c
	LIBS drover_agent drover_hypervisor_fake)
drover_test(NAME test_agents_hold LABEL sim WAITS TIMEOUT 300
	SOURCES sim/test_agents_hold.c sim/agents_story.c sim/agents.c
	LIBS drover_agent drover_hypervisor_fake)
drover_test(NAME test_agents_ladder LABEL sim WAITS TIMEOUT 300
	SOURCES sim/test_agents_ladder.c sim/agents_story.c sim/agents.c
	LIBS drover_agent drover_hypervisor_fake)
drover_test(NAME test_agents_halves LABEL sim WAITS TIMEOUT 300
	SOURCES sim/test_agents_halves.c sim/agents_story.c sim/agents.c
	LIBS drover_agent drover_hypervisor_fake)
drover_test(NAME test_agents_postcopy LABEL sim WAITS TIMEOUT 300
	SOURCES sim/test_agents_postcopy.c sim/agents_story.c sim/agents.c
	LIBS drover_agent drover_hypervisor_fake)
drover_test(NAME test_agents_suspend LABEL sim WAITS TIMEOUT 300
	SOURCES sim/test_agents_suspend.c sim/agents_story.c sim/agents.c
	LIBS drover_agent drover_hypervisor_fake)
drover_test(NAME test_agents_lanes LABEL sim WAITS TIMEOUT 300
	SOURCES sim/test_agents_lanes.c sim/agents.c
	LIBS drover_agent drover_hypervisor_fake)
drover_test(NAME test_agents_pace LABEL sim WAITS TIMEOUT 300
	SOURCES sim/test_agents_pace.c sim/agents_story.c sim/agents.c
	LIBS drover_agent drover_hypervisor_fake)
drover_test(NAME test_agents_power LABEL sim WAITS TIMEOUT 300
	SOURCES sim/test_agents_power.c sim/agents.c
	LIBS drover_agent drover_hypervisor_fake)
drover_test(NAME test_agents_power_late LABEL sim TIMEOUT 300
	SOURCES sim/test_agents_power_late.c sim/agents.c
	LIBS drover_agent drover_hypervisor_fake)
target_link_options(test_agents_power_late PRIVATE -Wl,--wrap=fake_start -Wl,--wrap=fake_shut_down
	-Wl,--wrap=vm_description_deinit)
drover_test(NAME test_agents_remnants LABEL sim WAITS TIMEOUT 300
	SOURCES sim/test_agents_remnants.c sim/agents_story.c sim/agents.c
	LIBS drover_agent drover_hypervisor_fake)
drover_test(NAME test_agents_tune LABEL sim WAITS TIMEOUT 300
	SOURCES sim/test_agents_tune.c sim/agents_story.c sim/agents.c
	LIBS drover_agent drover_hypervisor_fake)
# The destination's agent may be one that does not know the method yet.
drover_test(NAME test_agents_verify LABEL sim WAITS TIMEOUT 300
	SOURCES sim/test_agents_verify.c sim/agents_story.c sim/agents.c
	LIBS drover_agent drover_hypervisor_fake)
target_link_options(test_agents_verify PRIVATE -Wl,--wrap=target_verify)
# The destination's file system is another one than the source's.
drover_test(NAME test_agents_copy LABEL sim WAITS TIMEOUT 300
	SOURCES sim/test_agents_copy.c sim/agents_story.c sim/agents.c
	LIBS drover_agent drover_hypervisor_fake)
foreach(name storage_image_look storage_image_create storage_image_publish storage_image_remove
		storage_proof_verify)
	target_link_options(test_agents_copy PRIVATE -Wl,--wrap=${name})
endforeach()
drover_test(NAME test_agents_foreign LABEL sim WAITS TIMEOUT 300
	SOURCES sim/test_agents_foreign.c sim/agents.c
	LIBS drover_agent drover_hypervisor_fake)
