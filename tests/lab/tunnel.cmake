# drover-tunnel between real libvirtds; needs root, libvirt and QEMU.
drover_command_test(NAME lab_tunnel LABEL lab TIMEOUT 300 COMMAND bats tests/lab/tunnel.bats)
