# SPDX-License-Identifier: Apache-2.0
drover_command_test(NAME lab_hands LABEL lab TIMEOUT 300 COMMAND bats tests/lab/hands.bats)
