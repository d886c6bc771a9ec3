# The safety kernel, the ports and proofs it judges by, the agent's journal.
foreach(module admission admission_guest admission_host admission_network reasons)
	drover_test(NAME test_${module} LABEL unit SOURCES unit/test_${module}.c
		unit/admission_fixture.c LIBS drover_kernel)
endforeach()
foreach(module admission_disks admission_link fences garbage ladder_moments lanes recovery remnants
		reservations reservations_room guard resolve)
	drover_test(NAME test_${module} LABEL unit SOURCES unit/test_${module}.c
		LIBS drover_kernel)
endforeach()
# With the limits, which measure the passes for it.
drover_test(NAME test_ladder LABEL unit SOURCES unit/test_ladder.c LIBS drover_agent)
foreach(module verification verification_devices)
	drover_test(NAME test_${module} LABEL unit SOURCES unit/test_${module}.c
		unit/verification_fixture.c LIBS drover_kernel)
endforeach()
drover_test(NAME test_pace LABEL unit SOURCES unit/test_pace.c LIBS drover_kernel)
drover_test(NAME test_ports LABEL unit SOURCES unit/test_ports.c LIBS drover_ports)
drover_test(NAME test_storage_proof LABEL unit SOURCES unit/test_storage_proof.c
	LIBS drover_storage)
drover_test(NAME test_storage_image LABEL unit SOURCES unit/test_storage_image.c
	LIBS drover_storage)
foreach(module attempt journal journal_codec)
	drover_test(NAME test_${module} LABEL unit SOURCES unit/test_${module}.c
		LIBS drover_journal)
endforeach()
foreach(module journal_state journal_bounds)
	drover_test(NAME test_${module} LABEL unit
		SOURCES unit/test_${module}.c unit/journal_world.c
		LIBS drover_journal)
endforeach()
drover_test(NAME test_round_trip LABEL unit SOURCES unit/test_round_trip.c LIBS drover_agent)
drover_test(NAME test_host_places LABEL unit SOURCES unit/test_host_places.c LIBS drover_agent)
drover_test(NAME test_hugepages LABEL unit SOURCES unit/test_hugepages.c LIBS drover_agent)
drover_test(NAME test_agent_settings LABEL unit SOURCES unit/test_agent_settings.c
	LIBS drover_agent)
drover_test(NAME test_host_memory LABEL unit SOURCES unit/test_host_memory.c LIBS drover_hypervisor)
# On a disk whose calls fail: they are ours.
drover_test(NAME test_journal_disk LABEL unit SOURCES unit/test_journal_disk.c LIBS drover_journal)
foreach(call pwrite pread fsync fdatasync ftruncate rename link open fstat)
	target_link_options(test_journal_disk PRIVATE -Wl,--wrap=${call})
endforeach()
