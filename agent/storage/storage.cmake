# Is it the same disk on both hosts? Proofs made at the source and verified at the destination.
add_library(drover_storage STATIC
	${CMAKE_CURRENT_LIST_DIR}/storage_device.c
	${CMAKE_CURRENT_LIST_DIR}/storage_image.c
	${CMAKE_CURRENT_LIST_DIR}/storage_proof.c
	${CMAKE_CURRENT_LIST_DIR}/storage_proof_wire.c
	${CMAKE_CURRENT_LIST_DIR}/storage_verify.c)
target_link_libraries(drover_storage PUBLIC drover_kernel drover_common drover_messages)
