# The owner and its edges.
add_library(drover_coordinator STATIC
	agents.c agents_calls.c coordinator.c facts_read.c failpoints.c identity.c identity_admin.c
	settings.c
	# What calls are answered with: questions from the fleet, orders by the core.
	service/export.c service/garbage.c service/health.c service/links.c service/probe.c
	service/requests.c service/service.c service/service_orders.c service/service_plan.c
	service/service_policies.c service/watchers.c
	# The fleet as messages and sentences.
	view/capacity_view.c view/view.c view/view_path.c view/view_plan.c view/view_prediction.c view/view_settings.c
	view/view_traffic.c view/view_vm.c
	store/store_thread.c)
target_link_libraries(drover_coordinator PUBLIC drover_core drover_store drover_mesh drover_pki
	drover_messages drover_config drover_common)

add_executable(drover-coordinator main.c)
target_link_libraries(drover-coordinator PRIVATE drover_coordinator PkgConfig::SYSTEMD)
