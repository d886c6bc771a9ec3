# The gates, and the proof that each can fail (gates.bats).
foreach(gate format cppcheck shell layering spdx words length)
	drover_command_test(NAME lint_${gate} LABEL lint TIMEOUT 600 COMMAND tests/lint/${gate})
endforeach()
drover_command_test(NAME lint_tidy LABEL lint TIMEOUT 1800
	COMMAND tests/lint/tidy ${PROJECT_SOURCE_DIR} ${PROJECT_BINARY_DIR})
drover_command_test(NAME lint_tidy_deep LABEL lint SLOW TIMEOUT 3600
	COMMAND tests/lint/tidy --deep ${PROJECT_SOURCE_DIR} ${PROJECT_BINARY_DIR})
# It builds the release preset, which nothing else here does.
drover_command_test(NAME lint_release LABEL lint SLOW TIMEOUT 1200 COMMAND tests/lint/release)
drover_command_test(NAME lint_gates_can_fail LABEL lint TIMEOUT 120
	COMMAND bats tests/lint/gates.bats)
drover_command_test(NAME lint_tools LABEL lint TIMEOUT 120 COMMAND bats tests/lint/tools.bats)
drover_command_test(NAME lint_bench LABEL lint TIMEOUT 60 COMMAND bats tests/lint/bench.bats)
cmake_host_system_information(RESULT cores QUERY NUMBER_OF_LOGICAL_CORES)
set_tests_properties(lint_tidy lint_tidy_deep lint_cppcheck PROPERTIES PROCESSORS ${cores})
drover_command_test(NAME lint_kernel_tools LABEL lint TIMEOUT 300
	COMMAND bats tests/lint/kernel.bats)
