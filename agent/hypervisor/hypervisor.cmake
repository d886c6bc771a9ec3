# The values that cross the seam have names, which the kernel writes into its checks.
add_library(drover_hypervisor_values STATIC ${CMAKE_CURRENT_LIST_DIR}/hypervisor.c)
target_link_libraries(drover_hypervisor_values PUBLIC drover_common)

# The seam to libvirt: hypervisor.h, its two implementations, and what they share.
add_library(drover_hypervisor STATIC
	${CMAKE_CURRENT_LIST_DIR}/host_signature.c
	${CMAKE_CURRENT_LIST_DIR}/domain_xml.c
	${CMAKE_CURRENT_LIST_DIR}/domain_blockers.c
	${CMAKE_CURRENT_LIST_DIR}/domain_capabilities.c
	${CMAKE_CURRENT_LIST_DIR}/domain_disks.c
	${CMAKE_CURRENT_LIST_DIR}/domain_needs.c
	${CMAKE_CURRENT_LIST_DIR}/domain_places.c
	${CMAKE_CURRENT_LIST_DIR}/domain_tree.c
	${CMAKE_CURRENT_LIST_DIR}/meminfo.c
	${CMAKE_CURRENT_LIST_DIR}/hypervisor_libvirt.c
	${CMAKE_CURRENT_LIST_DIR}/hypervisor_libvirt_loop.c
	${CMAKE_CURRENT_LIST_DIR}/hypervisor_libvirt_lend.c
	${CMAKE_CURRENT_LIST_DIR}/hypervisor_libvirt_watch.c
	${CMAKE_CURRENT_LIST_DIR}/hypervisor_libvirt_inventory.c
	${CMAKE_CURRENT_LIST_DIR}/hypervisor_libvirt_devices.c
	${CMAKE_CURRENT_LIST_DIR}/hypervisor_libvirt_dirty.c
	${CMAKE_CURRENT_LIST_DIR}/hypervisor_libvirt_host.c
	${CMAKE_CURRENT_LIST_DIR}/hypervisor_libvirt_network.c
	${CMAKE_CURRENT_LIST_DIR}/hypervisor_libvirt_offers.c
	${CMAKE_CURRENT_LIST_DIR}/hypervisor_libvirt_migrate.c
	${CMAKE_CURRENT_LIST_DIR}/hypervisor_libvirt_power.c)
target_link_libraries(drover_hypervisor PUBLIC drover_kernel drover_hypervisor_values drover_common PRIVATE PkgConfig::LIBXML
	PkgConfig::LIBVIRT)

# Its twin in memory, for tests of what stands on the seam.
add_library(drover_hypervisor_fake STATIC
	${CMAKE_CURRENT_LIST_DIR}/hypervisor_fake.c
	${CMAKE_CURRENT_LIST_DIR}/hypervisor_fake_admission.c
	${CMAKE_CURRENT_LIST_DIR}/hypervisor_fake_commands.c
	${CMAKE_CURRENT_LIST_DIR}/hypervisor_fake_dirty.c
	${CMAKE_CURRENT_LIST_DIR}/hypervisor_fake_faults.c
	${CMAKE_CURRENT_LIST_DIR}/hypervisor_fake_make.c
	${CMAKE_CURRENT_LIST_DIR}/hypervisor_fake_move.c
	${CMAKE_CURRENT_LIST_DIR}/hypervisor_fake_power.c
	${CMAKE_CURRENT_LIST_DIR}/hypervisor_fake_world.c)
target_link_libraries(drover_hypervisor_fake PUBLIC drover_hypervisor)
