# drover_proto_sources(VARIABLE ROOT name...): compiles ROOT/<name>.proto to C in the build directory
# and leaves the generated .c files in VARIABLE. The headers are included by the path from the
# repository's root: "proto/<name>.pb-c.h".
function(drover_proto_sources variable root)
	set(sources)
	file(RELATIVE_PATH folder ${PROJECT_SOURCE_DIR} ${root})
	file(GLOB imports CONFIGURE_DEPENDS ${root}/*.proto)
	foreach(name ${ARGN})
		set(out ${PROJECT_BINARY_DIR}/${folder})
		get_filename_component(subfolder ${out}/${name} DIRECTORY)
		file(MAKE_DIRECTORY ${subfolder})
		add_custom_command(
			OUTPUT ${out}/${name}.pb-c.c ${out}/${name}.pb-c.h
			COMMAND ${PROTOC_C} --proto_path=${root} --c_out=${out} ${root}/${name}.proto
			DEPENDS ${imports} ${root}/${name}.proto
			VERBATIM)
		list(APPEND sources ${out}/${name}.pb-c.c)
	endforeach()
	set(${variable} ${sources} PARENT_SCOPE)
endfunction()
