# SPDX-License-Identifier: Apache-2.0
# What watches every lab while its tests run (tests/lab/drover.bash), and the proof that it sees.
add_executable(lab_oracles lab/oracles.c)
target_link_libraries(lab_oracles PRIVATE drover_flags)
drover_command_test(NAME lab_oracles_see LABEL lab TIMEOUT 300 COMMAND bats tests/lab/oracles.bats)
