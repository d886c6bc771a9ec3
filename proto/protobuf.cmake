# drover_proto_sources(VARIABLE name...): compiles proto/<name>.proto to C in the build directory and
# leaves the generated .c files in VARIABLE. Include the headers as "proto/<name>.pb-c.h".
function(drover_proto_sources variable)
	set(sources)
	foreach(name ${ARGN})
		set(out ${PROJECT_BINARY_DIR}/proto)
		file(MAKE_DIRECTORY ${out})
		add_custom_command(
			OUTPUT ${out}/${name}.pb-c.c ${out}/${name}.pb-c.h
			COMMAND ${PROTOC_C} --proto_path=${PROJECT_SOURCE_DIR}/proto --c_out=${out}
				${PROJECT_SOURCE_DIR}/proto/${name}.proto
			DEPENDS ${PROJECT_SOURCE_DIR}/proto/types.proto ${PROJECT_SOURCE_DIR}/proto/${name}.proto
			VERBATIM)
		list(APPEND sources ${out}/${name}.pb-c.c)
	endforeach()
	set(${variable} ${sources} PARENT_SCOPE)
endfunction()
