# The store behind its seam: SQLite for real, memory for the simulation.
add_library(drover_store STATIC store/store_json.c store/store_memory.c store/store_sqlite.c
	store/store_sqlite_open.c store/store_sqlite_rows.c)
target_link_libraries(drover_store PUBLIC drover_core PRIVATE SQLite::SQLite3 PkgConfig::JANSSON)
