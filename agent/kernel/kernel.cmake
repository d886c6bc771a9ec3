# The safety kernel: pure functions and tables, no I/O, no clock. Everything dangerous asks it.
add_library(drover_kernel STATIC
	${CMAKE_CURRENT_LIST_DIR}/admission.c
	${CMAKE_CURRENT_LIST_DIR}/admission_guest.c
	${CMAKE_CURRENT_LIST_DIR}/admission_host.c
	${CMAKE_CURRENT_LIST_DIR}/admission_disks.c
	${CMAKE_CURRENT_LIST_DIR}/admission_link.c
	${CMAKE_CURRENT_LIST_DIR}/admission_memory.c
	${CMAKE_CURRENT_LIST_DIR}/admission_network.c
	${CMAKE_CURRENT_LIST_DIR}/admission_postcopy.c
	${CMAKE_CURRENT_LIST_DIR}/admission_start.c
	${CMAKE_CURRENT_LIST_DIR}/attempt.c
	${CMAKE_CURRENT_LIST_DIR}/fences.c
	${CMAKE_CURRENT_LIST_DIR}/garbage.c
	${CMAKE_CURRENT_LIST_DIR}/guard.c
	${CMAKE_CURRENT_LIST_DIR}/ladder.c
	${CMAKE_CURRENT_LIST_DIR}/lanes.c
	${CMAKE_CURRENT_LIST_DIR}/overhead.c
	${CMAKE_CURRENT_LIST_DIR}/pace.c
	${CMAKE_CURRENT_LIST_DIR}/reasons.c
	${CMAKE_CURRENT_LIST_DIR}/recovery.c
	${CMAKE_CURRENT_LIST_DIR}/remnants.c
	${CMAKE_CURRENT_LIST_DIR}/reservations.c
	${CMAKE_CURRENT_LIST_DIR}/reservations_room.c
	${CMAKE_CURRENT_LIST_DIR}/resolve.c
	${CMAKE_CURRENT_LIST_DIR}/verification.c
	${CMAKE_CURRENT_LIST_DIR}/verification_text.c)
target_link_libraries(drover_kernel PUBLIC drover_ports drover_hypervisor_values drover_common)
