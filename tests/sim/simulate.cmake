# SPDX-License-Identifier: Apache-2.0
# A drain of a fleet from a file (tools/simulate --state), and what capacity says beforehand against
# what comes of it.
drover_test(NAME test_fluid LABEL unit SOURCES sim/test_fluid.c LIBS drover_simulator)
drover_test(NAME test_capacity_holds LABEL sim TIMEOUT 300 SOURCES sim/test_capacity_holds.c
	LIBS drover_simulator)
drover_command_test(NAME simulate LABEL sim TIMEOUT 180 COMMAND bats tests/sim/simulate.bats)
