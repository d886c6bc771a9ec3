# What protoc-c leaves out of services: the table of methods, typed stubs and tables of handlers, by
# rpc.awk, from the same .proto files.
find_program(AWK NAMES mawk gawk awk REQUIRED)

# drover_rpc_run(EMIT OUT PROTO...): OUT is written as a whole or not at all.
function(drover_rpc_run emit out)
	set(script ${PROJECT_SOURCE_DIR}/proto/rpc.awk)
	add_custom_command(OUTPUT ${out}
		COMMAND ${AWK} -v emit=${emit} -f ${script} ${ARGN} > ${out}.new
		COMMAND ${CMAKE_COMMAND} -E rename ${out}.new ${out}
		DEPENDS ${script} ${ARGN}
		VERBATIM)
endfunction()

# drover_rpc_sources(TABLE STUBS ROOT name...): for the services of ROOT/<name>.proto. TABLE: the .c
# file with the one table of methods. STUBS: "proto/<name>.rpc.h" and its .c file for each.
function(drover_rpc_sources table stubs root)
	set(out ${PROJECT_BINARY_DIR}/proto)
	set(protos)
	set(sources)
	foreach(name ${ARGN})
		set(proto ${root}/${name}.proto)
		list(APPEND protos ${proto})
		drover_rpc_run(header ${out}/${name}.rpc.h ${proto})
		drover_rpc_run(source ${out}/${name}.rpc.c ${proto})
		list(APPEND sources ${out}/${name}.rpc.c ${out}/${name}.rpc.h)
	endforeach()
	drover_rpc_run(table ${out}/method_table.c ${protos})
	set(${table} ${out}/method_table.c PARENT_SCOPE)
	set(${stubs} ${sources} PARENT_SCOPE)
endfunction()
