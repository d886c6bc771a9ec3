drover_fuzz(NAME fuzz_domain_xml SOURCES fuzz/fuzz_domain_xml.c LIBS drover_hypervisor)
