# The destination side of a migration, the judge of its end, the agent's journal.
foreach(module admission reservations ports storage_proof guard resolve)
	drover_test(NAME test_${module} LABEL unit SOURCES unit/test_${module}.c
		LIBS drover_admission)
endforeach()
foreach(module journal journal_state)
	drover_test(NAME test_${module} LABEL unit SOURCES unit/test_${module}.c
		LIBS drover_journal)
endforeach()
