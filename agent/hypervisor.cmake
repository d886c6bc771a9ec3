# The seam to libvirt: hypervisor.h, its two implementations, and what they share.
add_library(drover_hypervisor STATIC
	${CMAKE_CURRENT_LIST_DIR}/hypervisor.c
	${CMAKE_CURRENT_LIST_DIR}/overhead.c
	${CMAKE_CURRENT_LIST_DIR}/domain_xml.c
	${CMAKE_CURRENT_LIST_DIR}/domain_blockers.c)
target_link_libraries(drover_hypervisor PUBLIC drover_common PRIVATE PkgConfig::LIBXML
	PkgConfig::LIBVIRT)
