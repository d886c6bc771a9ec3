# SPDX-License-Identifier: Apache-2.0
# Hosts without drover, made a cluster by hand; needs root, libvirt and QEMU.
drover_command_test(NAME lab_cluster LABEL lab TIMEOUT 300 COMMAND bats tests/lab/cluster.bats)
