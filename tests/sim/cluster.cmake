# Production agents and coordinators on a virtual clock, in one thread. Threads become fibers and the
# clock the world's by the linker's --wrap; loop.c, log.c, journal.c and transport_inproc.c are left in
# their libraries because world/ defines all of what they do.
#
# Not under ThreadSanitizer: there is one thread, and nothing for it to find.
if(NOT DROVER_SANITIZE MATCHES "thread")
	set(SIM_CLUSTER sim/world/world_events.c sim/world/world_threads.c sim/world/world_loop.c
		sim/world/world_net.c sim/world/world_disk.c sim/cluster.c sim/leaders.c sim/cluster_hands.c
		sim/cluster_faults.c sim/cluster_check.c)

	# Agent and coordinator each have a watchers.c; only here do they meet in one program.
	get_target_property(SIM_COORDINATOR_SOURCES drover_coordinator SOURCES)
	get_target_property(SIM_COORDINATOR_DIR drover_coordinator SOURCE_DIR)
	list(TRANSFORM SIM_COORDINATOR_SOURCES PREPEND ${SIM_COORDINATOR_DIR}/)
	add_library(drover_sim_coordinator STATIC ${SIM_COORDINATOR_SOURCES})
	target_compile_definitions(drover_sim_coordinator PRIVATE
		watchers_add=coordinator_watchers_add watchers_stop=coordinator_watchers_stop
		watchers_wake=coordinator_watchers_wake)
	target_link_libraries(drover_sim_coordinator PUBLIC drover_core drover_store drover_pki drover_mesh
		drover_messages drover_config drover_common PRIVATE drover_flags)

	drover_test(NAME sim_agents LABEL sim TIMEOUT 300 SOURCES sim/sim_agents.c ${SIM_CLUSTER}
		LIBS drover_agent drover_hypervisor_fake drover_sim_coordinator ARGS --seeds 1-200)
	foreach(name pthread_create pthread_join pthread_cond_wait pthread_cond_signal
			pthread_cond_broadcast clock_gettime getrandom resolve
			reservations_take reservations_restore ports_survey traffic_open)
		target_link_options(sim_agents PRIVATE -Wl,--wrap=${name})
	endforeach()

	set_tests_properties(sim_agents PROPERTIES ENVIRONMENT ASAN_OPTIONS=detect_leaks=0)

	# The checkers can fail: each mistake planted on purpose is found within so many seeds.
	foreach(bug commit-early trust-call fail-on-silence forget-journal forget-lease book-twice)
		add_test(NAME sim_agents_finds_${bug}
			COMMAND sim_agents --seeds 1-200 --bug ${bug} --expect-violation
			WORKING_DIRECTORY ${PROJECT_SOURCE_DIR})
		drover_test_properties(sim_agents_finds_${bug} sim "" 120)
		# Processes that are killed free nothing, and a run that found something ends at once.
		set_tests_properties(sim_agents_finds_${bug} PROPERTIES ENVIRONMENT ASAN_OPTIONS=detect_leaks=0)
	endforeach()
endif()
