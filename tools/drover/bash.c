/* SPDX-License-Identifier: Apache-2.0 */
/* Completion for bash, made from the rows of command_table.c: a script that knows commands, options and
 * choices by heart and asks "drover __complete" for names. */
#include "tools/drover/help.h"

#include <string.h>

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
		if (o->letter)
			fprintf(to, "-%c|", o->letter);
		fprintf(to, "--%s) ", o->name);
		if (o->choices) {
			fputs("words=\"", to);
			for (size_t c = 0; o->choices[c]; c++)
				fprintf(to, "%s%s", o->choices[c], o->choices[c + 1] ? " " : "");
			fputs("\" ;;\n", to);
		} else if (completion_words[o->completion]) {
			fprintf(to, "words=\"%s\" ;;\n", completion_words[o->completion]);
		} else if (o->completion == COMPLETE_FILES) {
			fputs("COMPREPLY=($(compgen -f -- \"$current\")); return ;;\n", to);
		} else {
			fputs("return ;;\n", to);
		}
	}
	fputs("\t*) words=\"$flags\"; [[ $current == -* ]] || words=\"$names\" ;;\n\tesac\n", to);
}

void help_print_bash(FILE *to)
{
	size_t n, n_options;
	const struct command *all = command_get_all(&n);
	const struct option *options = command_get_options(&n_options);

	fputs("# bash completion for drover, made by: drover completion bash\n"
	      "_drover_names() {\n"
	      "\ttimeout 0.3 drover __complete \"$1\" 2>/dev/null\n"
	      "}\n"
	      "_drover() {\n"
	      "\tlocal current=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD-1]}\n"
	      "\tlocal command= flags= names= words= word\n"
	      "\tfor word in \"${COMP_WORDS[@]:1:COMP_CWORD-1}\"; do\n"
	      "\t\tcase $word in -*) ;; *) command=$word; break ;; esac\n"
	      "\tdone\n"
	      "\tcase $command in\n\t'') names=\"",
	      to);
	for (size_t i = 0; i < n; i++) {
		if (all[i].group)
			fprintf(to, "%s ", all[i].name);
	}
	fputs("\"; flags=\"--server --help --version\" ;;\n", to);
	for (size_t i = 0; i < n; i++) {
		const struct command *row = &all[i];
		const struct command *means = command_find(row->name);

		/* Of "maintenance enter" only the first word is looked at; bash offers the nodes. */
		if ((!row->group && !row->alias_of) || strchr(row->name, ' '))
			continue;
		fprintf(to, "\t%s) flags=\"", row->name);
		for (size_t o = 0; o < n_options; o++) {
			if (means->options & OPTION_BIT(options[o].id))
				fprintf(to, "--%s ", options[o].name);
		}
		fputc('"', to);
		if (means->completion == COMPLETE_COMMANDS) {
			fputs("; names=\"", to);
			for (size_t c = 0; c < n; c++) {
				if (all[c].group)
					fprintf(to, "%s ", all[c].name);
			}
			fputc('"', to);
		} else if (completion_words[means->completion]) {
			/* Asked for only when a name is wanted: it costs a call. */
			fprintf(to, "; [[ $current == -* ]] || names=\"%s\"",
			        completion_words[means->completion]);
		}
		fputs(" ;;\n", to);
	}
	fputs("\tesac\n", to);
	bash_option_values(to);
	fputs("\tCOMPREPLY=($(compgen -W \"$words\" -- \"$current\"))\n"
	      "}\n"
	      "complete -F _drover drover\n",
	      to);
}
