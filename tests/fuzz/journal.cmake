drover_fuzz(NAME fuzz_journal SOURCES fuzz/fuzz_journal.c LIBS drover_journal)
