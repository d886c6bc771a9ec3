# One suite for every implementation of agent/hypervisor/hypervisor.h.
set(suite)
foreach(part suite suite_cases suite_watch suite_facts suite_dirty suite_move suite_disks suite_postcopy suite_power suite_lost)
	list(APPEND suite conformance/hypervisor/${part}.c)
endforeach()

drover_test(NAME test_hypervisor_fake LABEL conformance LIBS drover_hypervisor_fake
	SOURCES ${suite} conformance/hypervisor/test_hypervisor_fake.c)

# Needs two real hosts, so it is run by a script that brings up a lab.
if(TARGET drover_hypervisor)
	list(TRANSFORM suite PREPEND ${PROJECT_SOURCE_DIR}/tests/)
	add_executable(test_hypervisor_libvirt ${suite}
		${PROJECT_SOURCE_DIR}/tests/conformance/hypervisor/test_hypervisor_libvirt.c)
	target_link_libraries(test_hypervisor_libvirt PRIVATE drover_hypervisor drover_flags
		PkgConfig::CMOCKA)
	drover_command_test(NAME test_hypervisor_libvirt_in_lab LABEL lab TIMEOUT 300
		COMMAND tests/conformance/hypervisor/libvirt.sh $<TARGET_FILE:test_hypervisor_libvirt>)
endif()
