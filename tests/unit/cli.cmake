# SPDX-License-Identifier: Apache-2.0
# The command line: parser, text, rendering; and the client against a coordinator made of replies.
foreach(module text command render explain prediction progress roll)
	drover_test(NAME test_cli_${module} LABEL unit SOURCES unit/test_cli_${module}.c
		LIBS drover_cli)
endforeach()
drover_test(NAME test_libvirt_restart LABEL unit SOURCES unit/test_libvirt_restart.c
	LIBS drover_common)
drover_test(NAME test_local LABEL unit SOURCES unit/test_local.c LIBS drover_cli)
drover_test(NAME test_cli_by LABEL unit SOURCES unit/test_cli_by.c LIBS drover_cli)
