drover_test(NAME test_agents LABEL sim TIMEOUT 300
	SOURCES sim/test_agents.c sim/agents.c
	LIBS drover_agent drover_hypervisor_fake)
drover_test(NAME test_agents_admission LABEL sim TIMEOUT 300
	SOURCES sim/test_agents_admission.c sim/agents.c
	LIBS drover_agent drover_hypervisor_fake)
drover_test(NAME test_agents_ends LABEL sim TIMEOUT 300
	SOURCES sim/test_agents_ends.c sim/agents.c
	LIBS drover_agent drover_hypervisor_fake)
drover_test(NAME test_agents_fence LABEL sim TIMEOUT 300
	SOURCES sim/test_agents_fence.c sim/agents.c
	LIBS drover_agent drover_hypervisor_fake)
drover_test(NAME test_agents_journal LABEL sim TIMEOUT 300
	SOURCES sim/test_agents_journal.c sim/agents.c
	LIBS drover_agent drover_hypervisor_fake)
