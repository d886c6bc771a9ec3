/* SPDX-License-Identifier: Apache-2.0 */
/* drover: the command line. Parses, runs the command, and makes sure that what was printed arrived. */
#include "tools/drover/command.h"
#include "tools/drover/help.h"

#include <errno.h>
#include <langinfo.h>
#include <locale.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

int main(int argc, char **argv)
{
	struct invocation invocation;
	struct error err = { 0 };
	enum exit_code code;

	/* Characters only: numbers are printed and read the same everywhere. */
	setlocale(LC_CTYPE, "");
	/* Where no terminal is in the way, text is UTF-8 whatever the locale, and measured as such. */
	if (!isatty(STDOUT_FILENO) && !isatty(STDERR_FILENO) &&
	    strcmp(nl_langinfo(CODESET), "UTF-8") != 0)
		setlocale(LC_CTYPE, "C.UTF-8");
	if (command_parse(argc, argv, &invocation, &err) < 0) {
		fprintf(stderr, "drover: %s\n", err.text);
		if (invocation.command && invocation.command->group)
			fprintf(stderr, "  all about it   drover help %s\n",
			        invocation.command->name);
		else
			fprintf(stderr, "  all commands   drover help\n");
		return EXIT_USAGE;
	}
	if (invocation.options.help) {
		bool overview = strcmp(invocation.command->name, "help") == 0;

		help_print(stdout, overview ? NULL : invocation.command);
		code = EXIT_DONE;
	} else {
		code = invocation.command->run(&invocation);
	}
	if (fflush(stdout) != 0 || ferror(stdout)) {
		fprintf(stderr, "drover: writing the answer: %s\n", strerror(errno));
		return EXIT_FAILED;
	}
	return (int)code;
}
