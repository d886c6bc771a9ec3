# SPDX-License-Identifier: Apache-2.0
# The hostile peer of tests/lab/hostile.bats.
add_executable(lab_attacker lab/attacker.c lab/attacker_agent.c lab/attacker_bomb.c lab/attacker_capture.c
	lab/attacker_order.c lab/attacker_peer.c)
target_link_libraries(lab_attacker PRIVATE drover_mesh PkgConfig::OPENSSL drover_flags)
