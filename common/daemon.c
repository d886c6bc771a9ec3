/* SPDX-License-Identifier: Apache-2.0 */
/* See daemon.h. */
#include "common/daemon.h"

#include "common/failpoint.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>

static void print_usage(const struct daemon_about *about, FILE *to)
{
	fprintf(to,
	        "usage: %s [--config FILE] [--debug] [--check]\n"
	        "\n"
	        "%s Runs in the foreground.\n"
	        "\n"
	        "  --config FILE   default %s\n"
	        "  --check         read the configuration, say what is wrong with it, and end\n"
	        "  --debug         log more\n"
	        "  --help, --version\n",
	        about->program, about->purpose, about->config);
	if (about->needs)
		fprintf(to, "\n%s\n", about->needs);
#ifdef DROVER_FAILPOINTS
	fputs("  --failpoints    list the places where tests can make it die\n", to);
#endif
}

void daemon_raise_limits(void)
{
	struct rlimit files;

	if (getrlimit(RLIMIT_NOFILE, &files) < 0)
		return;
	files.rlim_cur = files.rlim_max;
	/* It stays as it was, and a listener waits when there are none left. */
	(void)setrlimit(RLIMIT_NOFILE, &files);
}

int daemon_parse(const struct daemon_about *about, int argc, char **argv,
                 struct daemon_arguments *ret)
{
	static const struct option options[] = {
		{ "config", required_argument, NULL, 'c' },
		{ "debug", no_argument, NULL, 'd' },
		{ "check", no_argument, NULL, 'k' },
		{ "help", no_argument, NULL, 'h' },
		{ "version", no_argument, NULL, 'v' },
#ifdef DROVER_FAILPOINTS
		{ "failpoints", no_argument, NULL, 'f' },
#endif
		{ 0 },
	};
	int c;

	*ret = (struct daemon_arguments){ .config = about->config };
	while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
		switch (c) {
		case 'c':
			ret->config = optarg;
			break;
		case 'd':
			ret->debug = true;
			break;
		case 'k':
			ret->check = true;
			break;
		case 'h':
			print_usage(about, stdout);
			return EXIT_SUCCESS;
		case 'v':
			printf("%s %s\n", about->program, DROVER_VERSION);
			return EXIT_SUCCESS;
#ifdef DROVER_FAILPOINTS
		case 'f':
			failpoints_print(about->failpoints);
			return EXIT_SUCCESS;
#endif
		default:
			print_usage(about, stderr);
			return 2;
		}
	}
	if (optind < argc) {
		fprintf(stderr, "%s: unexpected argument \"%s\"\n", about->program, argv[optind]);
		print_usage(about, stderr);
		return 2;
	}
	return -1;
}
