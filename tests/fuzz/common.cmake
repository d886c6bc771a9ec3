drover_fuzz(NAME fuzz_config SOURCES fuzz/fuzz_config.c LIBS drover_config)
drover_fuzz(NAME fuzz_units SOURCES fuzz/fuzz_units.c LIBS drover_common)
