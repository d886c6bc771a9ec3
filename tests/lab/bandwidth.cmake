# SPDX-License-Identifier: Apache-2.0
# What tests/lab/bandwidth.bats compares with iperf3, QEMU and the kernel.
add_executable(lab_counters lab/counters.c)
target_link_libraries(lab_counters PRIVATE drover_ebpf drover_common drover_flags)
