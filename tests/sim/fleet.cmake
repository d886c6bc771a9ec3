# One world, two uses: seeds with faults, and stories whose trace is compared as text.
set(SIM_WORLD sim/sim.c sim/sim_edge.c sim/sim_host.c sim/sim_agent.c sim/sim_check.c
	sim/sim_policy.c)
drover_test(NAME sim_fleet LABEL sim TIMEOUT 300 SOURCES sim/sim_fleet.c ${SIM_WORLD}
	LIBS drover_store)
drover_test(NAME test_stories LABEL sim SOURCES sim/test_stories.c ${SIM_WORLD} LIBS drover_store)
