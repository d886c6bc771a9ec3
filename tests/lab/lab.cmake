# SPDX-License-Identifier: Apache-2.0
# The lab itself; needs root, libvirt and QEMU.
drover_command_test(NAME lab_itself LABEL lab TIMEOUT 600 COMMAND bats tests/lab/lab.bats)
