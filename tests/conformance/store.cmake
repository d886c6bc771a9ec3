drover_test(NAME test_store LABEL conformance
	SOURCES conformance/store/test_store.c conformance/store/store_bench.c LIBS drover_store)
drover_test(NAME test_store_file LABEL conformance
	SOURCES conformance/store/test_store_file.c conformance/store/store_bench.c
	LIBS drover_store SQLite::SQLite3)
