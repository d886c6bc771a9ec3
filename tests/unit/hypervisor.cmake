drover_test(NAME test_domain_xml LABEL unit SOURCES unit/test_domain_xml.c LIBS drover_hypervisor)
drover_test(NAME test_domain_needs LABEL unit SOURCES unit/test_domain_needs.c
	LIBS drover_hypervisor)
drover_test(NAME test_libvirt_network LABEL unit SOURCES unit/test_libvirt_network.c
	LIBS drover_hypervisor)
drover_test(NAME test_libvirt_conf LABEL unit SOURCES unit/test_libvirt_conf.c
	LIBS drover_hypervisor)
drover_test(NAME test_hypervisor_faults LABEL unit SOURCES unit/test_hypervisor_faults.c
	LIBS drover_hypervisor_fake)
drover_test(NAME test_host_signature LABEL unit SOURCES unit/test_host_signature.c
	LIBS drover_hypervisor)
