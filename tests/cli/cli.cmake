# SPDX-License-Identifier: Apache-2.0
# The command line against a coordinator whose answers are written down.
set(sources fake_coordinator.c fake_answers.c fake_policies.c fake_roll.c fake_story.c)
list(TRANSFORM sources PREPEND ${CMAKE_CURRENT_LIST_DIR}/)
add_executable(fake_coordinator ${sources})
target_link_libraries(fake_coordinator PRIVATE drover_mesh drover_common)
drover_command_test(NAME cli_drover LABEL unit TIMEOUT 180 COMMAND bats tests/cli/drover.bats)
drover_command_test(NAME cli_words LABEL unit TIMEOUT 120 COMMAND bats tests/cli/words.bats)
# One tool across restarts of the real coordinator.
drover_test(NAME test_cli_restart LABEL unit SOURCES cli/test_cli_restart.c
	LIBS drover_cli drover_mesh drover_common ARGS $<TARGET_FILE:drover-coordinator>)
# From nothing to a cluster, with real daemons.
drover_command_test(NAME cli_join LABEL unit TIMEOUT 180 COMMAND bats tests/cli/join.bats)
# Certificates renewed and authorities replaced under them.
drover_command_test(NAME cli_pki LABEL unit WAITS TIMEOUT 400 COMMAND bats tests/cli/pki.bats)
# Who may do what, and certificates that are taken back.
drover_command_test(NAME cli_revoke LABEL unit WAITS TIMEOUT 300 COMMAND bats tests/cli/revoke.bats)
