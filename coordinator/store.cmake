# The store behind its seam: SQLite for real, memory for the simulation.
add_library(drover_store STATIC store_json.c store_sqlite.c store_sqlite_open.c store_sqlite_rows.c
	store_memory.c)
target_link_libraries(drover_store PUBLIC drover_core PRIVATE SQLite::SQLite3 PkgConfig::JANSSON)
