# The owner and its edges.
add_library(drover_coordinator STATIC
	agents.c agents_calls.c coordinator.c facts_read.c failpoints.c garbage.c health.c links.c identity.c identity_admin.c probe.c requests.c service.c service_orders.c settings.c store_thread.c view.c view_path.c view_prediction.c view_traffic.c view_settings.c view_vm.c
	watchers.c
	capacity_view.c export.c service_plan.c service_policies.c)
target_link_libraries(drover_coordinator PUBLIC drover_core drover_store drover_mesh drover_pki
	drover_messages drover_config drover_common)

add_executable(drover-coordinator main.c)
target_link_libraries(drover-coordinator PRIVATE drover_coordinator PkgConfig::SYSTEMD)
