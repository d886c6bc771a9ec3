/* SPDX-License-Identifier: Apache-2.0 */
/* Completion for bash, made from the rows of command_table.c: a script that knows commands, options and
 * choices by heart and asks "drover __complete" for names.
 *
 * bash takes "tcp://host1:7780" and "--output=json" apart at : and =; what follows one of those
 * belongs to the word before. */
#include "tools/drover/help.h"

#include <string.h>

/* Not by way of compgen -W, which would run a file that is called $(reboot). */
#define FILES "compopt -o filenames 2>/dev/null; COMPREPLY=($(compgen -f -- \"$current\"))"

static const char *const completion_words[COMPLETIONS] = {
	[COMPLETE_NODES] = "$(_drover_names nodes)",
	[COMPLETE_VMS] = "$(_drover_names vms)",
	[COMPLETE_MIGRATIONS] = "$(_drover_names migrations)",
	[COMPLETE_DRAINS] = "$(_drover_names drains)",
	[COMPLETE_POLICIES] = "$(_drover_names policies)",
	[COMPLETE_ANY] = "$(_drover_names any)",
	[COMPLETE_WATCH] = "$(_drover_names watch)",
	[COMPLETE_CANCEL] = "$(_drover_names cancel)",
	[COMPLETE_SHELLS] = "bash",
};

/* "-o|--output". */
static void print_option_names(FILE *to, const struct option *o)
{
	if (o->letter)
		fprintf(to, "-%c|", o->letter);
	fprintf(to, "--%s", o->name);
}

static void bash_option_values(FILE *to)
{
	size_t n;
	const struct option *all = command_get_options(&n);

	fputs("\tcase $previous in\n", to);
	for (size_t i = 0; i < n; i++) {
		const struct option *o = &all[i];

		if (!o->argument)
			continue;
		fputc('\t', to);
		print_option_names(to, o);
		fputs(") ", to);
		if (o->id == OPTION_OUTPUT) {
			fputs("words=$formats ;;\n", to);
		} else if (o->choices) {
			fputs("words=\"", to);
			for (size_t c = 0; o->choices[c]; c++)
				fprintf(to, "%s%s", o->choices[c], o->choices[c + 1] ? " " : "");
			fputs("\" ;;\n", to);
		} else if (completion_words[o->completion]) {
			fprintf(to, "words=\"%s\" ;;\n", completion_words[o->completion]);
		} else if (o->completion == COMPLETE_FILES) {
			fputs(FILES "; return ;;\n", to);
		} else {
			fputs("return ;;\n", to);
		}
	}
	fputs("\t*) words=\"$flags\"; [[ $current == -* ]] || words=\"$names\" ;;\n\tesac\n", to);
}

/* --- the words of commands --- */

/* Of a command that people are told about, or of what is another name for one. */
static bool is_offered(const struct command *row)
{
	return row->group || row->alias_of;
}

/* Whether @row is the first that begins with the first of its two words. */
static bool begins_family(size_t row)
{
	size_t n;
	const struct command *all = command_get_all(&n);
	size_t bytes = strcspn(all[row].name, " ");

	if (!is_offered(&all[row]) || !all[row].name[bytes])
		return false;
	for (size_t i = 0; i < row; i++) {
		if (is_offered(&all[i]) && strncmp(all[i].name, all[row].name, bytes + 1) == 0)
			return false;
	}
	return true;
}

/* "status nodes vms ... top policy": each once, and no other names of commands. */
static void print_first_words(FILE *to)
{
	size_t n;
	const struct command *all = command_get_all(&n);

	for (size_t i = 0; i < n; i++) {
		size_t bytes = strcspn(all[i].name, " ");

		if (all[i].group && (!all[i].name[bytes] || begins_family(i)))
			fprintf(to, "%.*s ", (int)bytes, all[i].name);
	}
}

/* "apart together on remove", of "policy". */
static void print_second_words(FILE *to, const char *first, size_t bytes)
{
	size_t n;
	const struct command *all = command_get_all(&n);

	for (size_t i = 0; i < n; i++) {
		if (is_offered(&all[i]) && strncmp(all[i].name, first, bytes) == 0 &&
		    all[i].name[bytes] == ' ')
			fprintf(to, "%s ", all[i].name + bytes + 1);
	}
}

/* One case for the first words of commands of two: of the command itself, and of its help. */
static void print_families(FILE *to)
{
	size_t n;
	const struct command *all = command_get_all(&n);

	for (size_t i = 0; i < n; i++) {
		size_t bytes = strcspn(all[i].name, " ");

		if (!begins_family(i))
			continue;
		fprintf(to, "\t%.*s|\"help %.*s\") flags=\"--help\"; ((at)) || names=\"",
		        (int)bytes, all[i].name, (int)bytes, all[i].name);
		print_second_words(to, all[i].name, bytes);
		fputs("\" ;;\n", to);
	}
}

/* Names are asked for only when one is wanted: it costs a call. */
static void print_names(FILE *to, const struct command *command)
{
	const char *first = completion_words[command->completion];
	enum completion after = command->completion_after ? command->completion_after
	                                                  : command->completion;
	const char *others = command->words_max > 1 ? completion_words[after] : NULL;

	if (command->completion == COMPLETE_FILES) {
		fputs("; [[ $current == -* ]] || { " FILES "; return; }", to);
		return;
	}
	if (!first && !others)
		return;
	fputs("; [[ $current == -* ]] || case $at in ", to);
	if (first)
		fprintf(to, "0) names=\"%s\" ;; ", first);
	if (others && command->words_max < WORDS_MAX)
		fprintf(to, "[1-%u]) names=\"%s\" ;; ", command->words_max - 1, others);
	else if (others)
		fprintf(to, "[1-9]*) names=\"%s\" ;; ", others);
	fputs("esac", to);
}

static void print_command_case(FILE *to, const struct command *row)
{
	const struct command *command = command_find(row->name);
	size_t n;
	const struct option *options = command_get_options(&n);

	fprintf(to, "\t\"%s\") flags=\"", row->name);
	for (size_t i = 0; i < n; i++) {
		if (command->options & OPTION_BIT(options[i].id))
			fprintf(to, "--%s ", options[i].name);
	}
	fputc('"', to);
	if (command->formats) {
		fputs("; formats=\"", to);
		for (unsigned i = 0; i < OUTPUT_FORMATS; i++) {
			if (command->formats & 1u << i)
				fprintf(to, "%s ", output_format_name(i));
		}
		fputc('"', to);
	}
	if (command->completion == COMPLETE_COMMANDS) {
		fputs("; names=\"", to);
		print_first_words(to);
		fputc('"', to);
	} else {
		print_names(to, command);
	}
	fputs(" ;;\n", to);
}

/* Whether the next word is its value; not for a name that is a flag of another command. */
static bool takes_value(const struct option *option)
{
	size_t n;
	const struct option *all = command_get_options(&n);

	for (size_t i = 0; i < n; i++) {
		if (!all[i].argument && strcmp(all[i].name, option->name) == 0)
			return false;
	}
	return option->argument;
}

/* What of a line are the words of its command, and how many words come after those. */
static void print_reading(FILE *to)
{
	size_t n;
	const struct option *options = command_get_options(&n);
	const struct command *all;
	bool first = true;

	fputs("\tlocal current=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD-1]}\n"
	      "\tlocal command= at=0 value= flags= formats= names= words= word\n"
	      "\tif [[ $previous == = ]]; then previous=${COMP_WORDS[COMP_CWORD-2]}; fi\n"
	      "\tif [[ $current == = ]]; then current=; fi\n"
	      "\tfor word in \"${COMP_WORDS[@]:1:COMP_CWORD-1}\"; do\n"
	      "\t\tif [[ $word == [=:]* ]]; then value=1; continue; fi\n"
	      "\t\tif [[ $value ]]; then value=; continue; fi\n"
	      "\t\tcase $word in\n"
	      "\t\t",
	      to);
	for (size_t i = 0; i < n; i++) {
		if (!takes_value(&options[i]))
			continue;
		fputs(first ? "" : "|", to);
		print_option_names(to, &options[i]);
		first = false;
	}
	fputs(") value=1 ;;\n"
	      "\t\t-*) ;;\n"
	      "\t\t*)\tcase $command in\n"
	      "\t\t\t''|help",
	      to);
	all = command_get_all(&n);
	for (size_t i = 0; i < n; i++) {
		if (begins_family(i))
			fprintf(to, "|%.*s", (int)strcspn(all[i].name, " "), all[i].name);
	}
	fputs(") command=${command:+$command }$word ;;\n"
	      "\t\t\t*) at=$((at+1)) ;;\n"
	      "\t\t\tesac ;;\n"
	      "\t\tesac\n"
	      "\tdone\n",
	      to);
}

void help_print_bash(FILE *to)
{
	size_t n;
	const struct command *all = command_get_all(&n);

	fputs("# bash completion for drover, made by: drover completion bash\n"
	      "_drover_names() {\n"
	      "\ttimeout 0.3 drover __complete \"$1\" 2>/dev/null\n"
	      "}\n"
	      "_drover() {\n",
	      to);
	print_reading(to);
	fputs("\tcase $command in\n\t'') names=\"", to);
	print_first_words(to);
	fputs("\"; flags=\"--server --help --version\" ;;\n", to);
	for (size_t i = 0; i < n; i++) {
		if (is_offered(&all[i]))
			print_command_case(to, &all[i]);
	}
	print_families(to);
	fputs("\tesac\n", to);
	bash_option_values(to);
	fputs("\tCOMPREPLY=($(compgen -W \"$words\" -- \"$current\"))\n"
	      "}\n"
	      "complete -F _drover drover\n",
	      to);
}
