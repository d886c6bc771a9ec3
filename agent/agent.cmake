# The owner: everything of the agent that is neither a seam nor a pure part.
add_library(drover_agent STATIC
	agent.c convergence.c coordinators.c courier.c inventory.c journal_keeper.c leftovers.c peers.c service.c
	settings.c source.c source_adopt.c source_move.c source_prepare.c source_report.c source_resolve.c target.c
	target_admit.c watchers.c wire.c)
target_link_libraries(drover_agent PUBLIC drover_admission drover_journal drover_tunnel_client drover_hypervisor
	drover_bandwidth drover_ebpf drover_mesh drover_messages drover_config drover_common)

add_executable(drover-agent main.c)
target_link_libraries(drover-agent PRIVATE drover_agent PkgConfig::SYSTEMD)
