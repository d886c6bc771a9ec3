# SPDX-License-Identifier: Apache-2.0
drover_command_test(NAME lab_reservations LABEL lab TIMEOUT 600
	COMMAND bats tests/lab/reservations.bats)
