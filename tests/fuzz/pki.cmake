drover_fuzz(NAME fuzz_token SOURCES fuzz/fuzz_token.c LIBS drover_pki)
