/* SPDX-License-Identifier: Apache-2.0 */
/* Help and man pages, made from the rows of command_table.c. */
#include "tools/drover/help.h"

#include "common/alloc.h"
#include "common/cleanup.h"
#include "tools/drover/commands.h"
#include "tools/drover/text.h"

#include <stdlib.h>
#include <string.h>

#define HELP_COLUMNS 90
#define INDENT_MAX   30

/* Prints @text from column @at on, broken at spaces; further lines begin at @indent. */
static void print_wrapped(FILE *to, const char *text, size_t at, size_t indent)
{
	while (*text) {
		size_t word = strcspn(text, " \n");

		if (at + word > HELP_COLUMNS && at > indent) {
			fprintf(to, "\n%*s", (int)indent, "");
			at = indent;
		}
		fprintf(to, "%.*s", (int)word, text);
		at += word;
		text += word;
		if (*text == '\n') {
			fprintf(to, "\n%s%*s", text[1] == '\n' ? "\n" : "", (int)indent, "");
			at = indent;
			text += strspn(text, "\n");
		} else if (*text == ' ') {
			text++;
			if (at + 1 + strcspn(text, " \n") <= HELP_COLUMNS) {
				fputc(' ', to);
				at++;
			} else {
				fprintf(to, "\n%*s", (int)indent, "");
				at = indent;
			}
		}
	}
	fputc('\n', to);
}

static void format_option(const struct option *option, char *ret_text, size_t bytes)
{
	if (option->letter)
		snprintf(ret_text, bytes, "-%c, --%s%s%s", option->letter, option->name,
		         option->argument ? " " : "", option->argument ? option->argument : "");
	else
		snprintf(ret_text, bytes, "--%s%s%s", option->name, option->argument ? " " : "",
		         option->argument ? option->argument : "");
}

/* The help of @option as @command means it: choices and environment included. Owned. */
static char *describe_option(const struct command *command, const struct option *option)
{
	char choices[96] = "", environment[48] = "";

	if (option->id == OPTION_OUTPUT) {
		for (unsigned i = 0; i < OUTPUT_FORMATS; i++) {
			if (command && !(command->formats & 1u << i))
				continue;
			snprintf(choices + strlen(choices), sizeof(choices) - strlen(choices),
			         "%s%s", *choices ? ", " : ": ", output_format_name(i));
		}
		strncat(choices, " (default table)", sizeof(choices) - strlen(choices) - 1);
	}
	if (option->environment)
		snprintf(environment, sizeof(environment), " [%s]", option->environment);
	return xasprintf("%s%s%s", option->help, choices, environment);
}

static void print_option(FILE *to, const struct command *command, const struct option *option)
{
	_cleanup_free_ char *help = describe_option(command, option);
	char text[64];

	format_option(option, text, sizeof(text));
	fprintf(to, "  %s%-*s  ", option->letter ? "" : "    ", option->letter ? 30 : 26, text);
	print_wrapped(to, help, 34, 34);
}

void help_print_usage(FILE *to, const struct command *command)
{
	fprintf(to, "usage: drover %s%s%s%s\n", command->name, *command->arguments ? " " : "",
	        command->arguments, command->options ? " [options]" : "");
}

static const char *common_note(const struct command *command)
{
	if (command->options & OPTION_BIT(OPTION_SERVER))
		return "common to all commands that ask the coordinator";
	return "common to all commands";
}

static bool is_common(enum option_id id)
{
	return id <= OPTION_KEY || id == OPTION_TIMEOUT || id == OPTION_COLOR || id == OPTION_HELP;
}

static void print_options(FILE *to, const struct command *command, bool common)
{
	size_t n;
	const struct option *all = command_get_options(&n);

	for (size_t i = 0; i < n; i++) {
		if ((command->options & OPTION_BIT(all[i].id)) && is_common(all[i].id) == common)
			print_option(to, command, &all[i]);
	}
}

/* What is written for an argument that has units: once, below the options that take it. */
static const struct {
	const char *argument, *help;
} units[] = {
	{ "DUR", "a number with its unit: 500ms, 90s, 15m, 1h30m, 2d; one without is refused" },
	{ "RATE", "bits or bytes a second: 2Gbit/s, 500Mbit/s, 64MiB/s" },
	{ "SIZE", "8GiB, 512MiB; 8G is 8 000 000 000 bytes" },
	{ "TIME",
	  "02:30 (the next one, as this machine's clock has it), \"2026-11-22 02:30\", or from "
	  "now on: 45m, 2h" },
};

/* @command: NULL, any. */
static bool takes_argument(const struct command *command, const char *argument)
{
	size_t n;
	const struct option *all = command_get_options(&n);

	for (size_t i = 0; i < n; i++) {
		if ((!command || (command->options & OPTION_BIT(all[i].id))) && all[i].argument &&
		    strcmp(all[i].argument, argument) == 0)
			return true;
	}
	return false;
}

static void print_units(FILE *to, const struct command *command)
{
	bool first = true;

	for (size_t i = 0; i < ARRAY_SIZE(units); i++) {
		if (!takes_argument(command, units[i].argument))
			continue;
		fprintf(to, "%s  %-30s  ", first ? "\nhow to write it\n" : "", units[i].argument);
		print_wrapped(to, units[i].help, 34, 34);
		first = false;
	}
}

static void print_command(FILE *to, const struct command *command)
{
	size_t n;
	const struct command *all = command_get_all(&n);
	bool first = true;

	fprintf(to, "drover %s: %s\n\n", command->name, command->summary);
	help_print_usage(to, command);
	if (command->description) {
		fputc('\n', to);
		print_wrapped(to, command->description, 0, 0);
	}
	if (command->options & ~OPTION_BIT(OPTION_HELP)) {
		fputs("\noptions\n", to);
		print_options(to, command, false);
		fprintf(to, "\n%s\n", common_note(command));
		print_options(to, command, true);
		print_units(to, command);
	}
	for (size_t i = 0; i < n; i++) {
		if (!all[i].alias_of || strcmp(all[i].alias_of, command->name) != 0)
			continue;
		fprintf(to, "%s%s", first ? "\nalso understood as: drover " : ", drover ",
		        all[i].name);
		first = false;
	}
	if (!first)
		fputc('\n', to);
	if (command->examples) {
		fputs("\nexamples\n  ", to);
		for (const char *c = command->examples; *c; c++)
			fputs((char[]){ *c, 0 }, to), fputs(*c == '\n' ? "  " : "", to);
		fputc('\n', to);
	}
}

static void print_summary(FILE *to, const struct command *command)
{
	char head[64];

	snprintf(head, sizeof(head), "%s%s%s", command->name, *command->arguments ? " " : "",
	         command->arguments);
	if (strlen(head) > INDENT_MAX)
		fprintf(to, "  %s\n  %*s  %s\n", head, INDENT_MAX, "", command->summary);
	else
		fprintf(to, "  %-*s  %s\n", INDENT_MAX, head, command->summary);
}

bool help_print_family(FILE *to, const char *word)
{
	size_t n, bytes = strlen(word), found = 0;
	const struct command *all = command_get_all(&n);

	for (size_t i = 0; i < n; i++) {
		if (!all[i].group || strncmp(all[i].name, word, bytes) != 0 ||
		    all[i].name[bytes] != ' ')
			continue;
		if (!found++)
			fprintf(to, "drover %s has these commands:\n\n", word);
		print_summary(to, &all[i]);
	}
	if (found)
		fprintf(to, "\ndrover help %s COMMAND explains one.\n", word);
	return found > 0;
}

static void print_overview(FILE *to)
{
	size_t n;
	const struct command *all = command_get_all(&n);
	const char *group = NULL, *text;
	enum exit_code code;

	fputs("drover moves running virtual machines between plain libvirt hosts.\n\n"
	      "usage: drover [COMMAND] [options]        without a command: drover status\n",
	      to);
	for (size_t i = 0; i < n; i++) {
		if (!all[i].group)
			continue;
		if (!group || strcmp(group, all[i].group) != 0) {
			group = all[i].group;
			fprintf(to, "\n%s\n", group);
		}
		print_summary(to, &all[i]);
	}
	fputs("\nWherever a NODE or VM is asked for, node/NAME and vm/NAME will do, too.\n\n"
	      "exit status\n",
	      to);
	for (unsigned i = 0; (text = exit_describe(i, &code)); i++)
		fprintf(to, "  %3d  %s\n", (int)code, text);
	fputs("\ndrover help COMMAND explains a command and its options.\n", to);
}

void help_print(FILE *to, const struct command *command)
{
	if (command)
		print_command(to, command);
	else
		print_overview(to);
}

/* --- man pages --- */

/* scdoc takes these for markup. */
static void put_scdoc(FILE *to, const char *text)
{
	for (; *text; text++) {
		if (strchr("_*\\#<>[]", *text) || (*text == '.' && text[1] == 0))
			fputc('\\', to);
		fputc(*text, to);
	}
}

static void scdoc_option(FILE *to, const struct command *command, const struct option *option)
{
	_cleanup_free_ char *help = describe_option(command, option);

	if (option->letter)
		fprintf(to, "*-%c*, ", option->letter);
	fprintf(to, "*--%s*", option->name);
	if (option->argument)
		fprintf(to, " _%s_", option->argument);
	fputs("\n\t", to);
	put_scdoc(to, help);
	fputs("\n\n", to);
}

static void scdoc_units(FILE *to, const struct command *command)
{
	for (size_t i = 0; i < ARRAY_SIZE(units); i++) {
		if (!takes_argument(command, units[i].argument))
			continue;
		fprintf(to, "_%s_\n\t", units[i].argument);
		put_scdoc(to, units[i].help);
		fputs("\n\n", to);
	}
}

static void scdoc_exit_status(FILE *to)
{
	const char *text;
	enum exit_code code;

	fputs("# EXIT STATUS\n\n", to);
	for (unsigned i = 0; (text = exit_describe(i, &code)); i++) {
		fprintf(to, "*%d*\n\t", (int)code);
		put_scdoc(to, text);
		fputs("\n\n", to);
	}
}

static void scdoc_command(FILE *to, const struct command *command)
{
	size_t n;
	const struct option *all = command_get_options(&n);
	_cleanup_free_ char *page = xstrdup(command->name);

	for (char *space = page; (space = strchr(space, ' ')) != NULL;)
		*space = '-';
	fprintf(to, "drover-%s(1)\n\n# NAME\n\ndrover-%s - ", page, page);
	put_scdoc(to, command->summary);
	fprintf(to, "\n\n# SYNOPSIS\n\n*drover %s* ", command->name);
	put_scdoc(to, command->arguments);
	fputs(" [options]\n\n# DESCRIPTION\n\n", to);
	put_scdoc(to, command->description ? command->description : command->summary);
	fputs("\n\n# OPTIONS\n\n", to);
	for (size_t i = 0; i < n; i++) {
		if (command->options & OPTION_BIT(all[i].id))
			scdoc_option(to, command, &all[i]);
	}
	scdoc_units(to, command);
	scdoc_exit_status(to);
	if (command->examples)
		fprintf(to, "# EXAMPLES\n\n```\n%s\n```\n\n", command->examples);
	fputs("# SEE ALSO\n\n*drover*(1)\n", to);
}

static void scdoc_overview(FILE *to)
{
	size_t n, n_options;
	const struct command *all = command_get_all(&n);
	const struct option *options = command_get_options(&n_options);

	fputs("drover(1)\n\n# NAME\n\ndrover - live migration for plain libvirt hosts\n\n"
	      "# SYNOPSIS\n\n*drover* [command] [options]\n\n# DESCRIPTION\n\n"
	      "drover asks its coordinator to move running virtual machines between hosts and "
	      "shows "
	      "how it goes. Data goes to standard output, messages and progress to standard error. "
	      "Without a command it shows the status.\n\n# COMMANDS\n\n",
	      to);
	for (size_t i = 0; i < n; i++) {
		if (!all[i].group)
			continue;
		fprintf(to, "*%s* ", all[i].name);
		put_scdoc(to, all[i].arguments);
		fputs("\n\t", to);
		put_scdoc(to, all[i].summary);
		fputs("\n\n", to);
	}
	fputs("# OPTIONS\n\nEach command takes those that its own page lists.\n\n", to);
	for (size_t i = 0; i < n_options; i++)
		scdoc_option(to, NULL, &options[i]);
	scdoc_units(to, NULL);
	scdoc_exit_status(to);
	fputs("# ENVIRONMENT\n\n", to);
	for (size_t i = 0; i < n_options; i++) {
		if (options[i].environment) {
			fputs("*", to);
			put_scdoc(to, options[i].environment);
			fprintf(to, "*\n\tas *--%s*\n\n", options[i].name);
		}
	}
	fputs("*NO\\_COLOR*, *DROVER\\_NO\\_COLOR*\n\tno colours\n", to);
}

void help_print_scdoc(FILE *to, const struct command *command)
{
	if (command)
		scdoc_command(to, command);
	else
		scdoc_overview(to);
}

/* --- commands --- */

/* The command that the words name; NULL words = the overview. False if there is none such. */
static bool find_named(const struct word_list *words, const struct command **ret_command)
{
	_cleanup_free_ char *name = NULL;

	*ret_command = NULL;
	if (words->count == 0)
		return true;
	name = words->count == 1 ? xstrdup(words->items[0])
	                         : xasprintf("%s %s", words->items[0], words->items[1]);
	*ret_command = command_find(name);
	return *ret_command != NULL;
}

static enum exit_code run_for_named(const struct invocation *invocation,
                                    void (*print)(FILE *to, const struct command *command))
{
	const struct command *command;

	if (!find_named(&invocation->words, &command)) {
		_cleanup_free_ char *shown = text_escape(invocation->words.items[0], false);

		fprintf(stderr,
		        "drover: there is no command \"%s\"\n  all commands   drover help\n",
		        shown);
		return EXIT_USAGE;
	}
	print(stdout, command);
	return EXIT_DONE;
}

enum exit_code help_run(const struct invocation *invocation)
{
	/* "policy" is the first half of several. */
	if (invocation->words.count == 1 && !command_find(invocation->words.items[0]) &&
	    help_print_family(stdout, invocation->words.items[0]))
		return EXIT_DONE;
	return run_for_named(invocation, help_print);
}

enum exit_code man_run(const struct invocation *invocation)
{
	return run_for_named(invocation, help_print_scdoc);
}

enum exit_code commands_run(const struct invocation *invocation)
{
	size_t n;
	const struct command *all = command_get_all(&n);

	(void)invocation;
	for (size_t i = 0; i < n; i++) {
		if (all[i].group)
			puts(all[i].name);
	}
	return EXIT_DONE;
}

enum exit_code version_run(const struct invocation *invocation)
{
	puts(invocation->options.format == OUTPUT_JSON ? "{\"version\":\"" DROVER_VERSION "\"}"
	                                               : "drover " DROVER_VERSION);
	return EXIT_DONE;
}

enum exit_code completion_run(const struct invocation *invocation)
{
	if (strcmp(invocation->words.items[0], "bash") != 0) {
		fprintf(stderr, "drover: completion is made for bash only\n");
		return EXIT_USAGE;
	}
	help_print_bash(stdout);
	return EXIT_DONE;
}
