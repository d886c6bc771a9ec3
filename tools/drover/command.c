/* SPDX-License-Identifier: Apache-2.0 */
/* The parser. Options may stand anywhere, also before the command; "--" ends them. It reads argv
 * once, from left to right, and judges at the end, when the command is known. */
#include "tools/drover/command.h"

#include "common/alloc.h"
#include "common/cleanup.h"
#include "tools/drover/option.h"
#include "tools/drover/text.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SERVER_DEFAULT "ipc:///run/drover/coordinator.sock"

static const struct command *find_row(const char *name)
{
	size_t n;
	const struct command *all = command_get_all(&n);

	for (size_t i = 0; i < n; i++) {
		if (strcmp(all[i].name, name) == 0)
			return &all[i];
	}
	return NULL;
}

const struct command *command_find(const char *name)
{
	const struct command *command = find_row(name);

	if (command && command->alias_of)
		command = find_row(command->alias_of);
	return command;
}

static bool takes(const struct command *command, const struct option *option)
{
	return !command || (command->options & OPTION_BIT(option->id));
}

const struct option *command_find_option(const struct command *command, const char *name)
{
	size_t n;
	const struct option *all = command_get_options(&n);
	const struct option *first = NULL;

	for (size_t i = 0; i < n; i++) {
		if (strcmp(all[i].name, name) != 0)
			continue;
		if (takes(command, &all[i]))
			return &all[i];
		if (!first)
			first = &all[i];
	}
	return first;
}

static const struct option *find_letter(char letter)
{
	size_t n;
	const struct option *all = command_get_options(&n);

	for (size_t i = 0; i < n; i++) {
		if (all[i].letter == letter)
			return &all[i];
	}
	return NULL;
}

/* --- what was probably meant --- */

static const char *command_name_at(size_t i, void *context)
{
	size_t n;
	const struct command *all = command_get_all(&n);

	(void)context;
	if (i >= n)
		return NULL;
	return all[i].group || all[i].alias_of ? all[i].name : "";
}

static const char *option_name_at(size_t i, void *context)
{
	size_t n;
	const struct option *all = command_get_options(&n);

	if (i >= n)
		return NULL;
	return takes(context, &all[i]) ? all[i].name : "";
}

static int unknown_command(const char *word, struct error *err)
{
	_cleanup_free_ char *shown = text_escape(word, false);
	const char *meant = text_closest(word, command_name_at, NULL);

	if (meant && *meant)
		return error_set(err, ERROR_INVALID,
		                 "there is no command \"%s\"; did you mean \"%s\"?", shown, meant);
	return error_set(err, ERROR_INVALID, "there is no command \"%s\"", shown);
}

static int unknown_option(const struct command *command, const char *given, struct error *err)
{
	_cleanup_free_ char *name = xstrndup(given, strcspn(given, "="));
	_cleanup_free_ char *shown = text_escape(name, false);
	const char *bare = name + strspn(name, "-");
	const char *meant = NULL;

	if (*bare && name[1] == '-')
		meant = text_closest(bare, option_name_at, (void *)command);
	if (meant && *meant)
		return error_set(err, ERROR_INVALID,
		                 "there is no option \"%s\"; did you mean \"--%s\"?", shown, meant);
	return error_set(err, ERROR_INVALID, "there is no option \"%s\"", shown);
}

/* --- argv --- */

struct parser {
	int argc;
	char *const *argv;
	int at; /* the argument in hand */
	struct invocation *result;
	const struct command *row; /* as typed: aliases are not resolved */
	const char *half;          /* "maintenance": the first word of a command of two */
	unsigned __int128 given;
};

static const struct command *current(const struct parser *p)
{
	return p->result->command;
}

static int take_option(struct parser *p, const struct option *option, const char *value,
                       struct error *err)
{
	if (option->argument && !value) {
		if (p->at + 1 >= p->argc)
			return error_set(err, ERROR_INVALID, "--%s needs a value: %s", option->name,
			                 option->argument);
		value = p->argv[++p->at];
	}
	if (p->result->n_given == GIVEN_MAX)
		return error_set(err, ERROR_TOO_LARGE, "more than %d options", GIVEN_MAX);
	p->given |= OPTION_BIT(option->id);
	p->result->given[p->result->n_given].option = option;
	p->result->given[p->result->n_given++].value = value;
	return option_set(&p->result->options, option, value, err);
}

static int take_long(struct parser *p, const char *argument, struct error *err)
{
	_cleanup_free_ char *name = xstrndup(argument + 2, strcspn(argument + 2, "="));
	const struct option *option = command_find_option(current(p), name);
	const char *equals = strchr(argument, '=');

	if (!option)
		return unknown_option(current(p), argument, err);
	if (equals && !option->argument)
		return error_set(err, ERROR_INVALID, "--%s takes no value", option->name);
	return take_option(p, option, equals ? equals + 1 : NULL, err);
}

/* "-y", "-qy", "-mTEXT", "-m TEXT". */
static int take_letters(struct parser *p, const char *argument, struct error *err)
{
	for (const char *letter = argument + 1; *letter; letter++) {
		const struct option *option = find_letter(*letter);
		int rc;

		if (!option)
			return unknown_option(current(p), argument, err);
		if (option->argument)
			return take_option(p, option, letter[1] ? letter + 1 : NULL, err);
		rc = take_option(p, option, NULL, err);
		if (rc < 0)
			return rc;
	}
	return 0;
}

static bool begins_command(const char *word)
{
	size_t n, bytes = strlen(word);
	const struct command *all = command_get_all(&n);

	for (size_t i = 0; i < n; i++) {
		if (strncmp(all[i].name, word, bytes) == 0 && all[i].name[bytes] == ' ')
			return true;
	}
	return false;
}

static int take_word(struct parser *p, const char *word, struct error *err)
{
	struct word_list *words = &p->result->words;

	if (!p->row) {
		_cleanup_free_ char *name = p->half ? xasprintf("%s %s", p->half, word)
		                                    : xstrdup(word);

		p->row = *word ? find_row(name) : NULL;
		if (!p->row && !p->half && begins_command(word)) {
			p->half = word;
			return 0;
		}
		if (!p->row)
			return unknown_command(name, err);
		p->result->command = command_find(name);
		return 0;
	}
	if (words->count == WORDS_MAX)
		return error_set(err, ERROR_TOO_LARGE, "more than %d arguments", WORDS_MAX);
	words->items[words->count++] = word;
	return 0;
}

/* "token create, token list": what can be made of a first word, in @ret_text; returns it. */
static char *second_words(const char *half, char ret_text[160])
{
	size_t n, bytes = strlen(half), used = 0;
	const struct command *all = command_get_all(&n);

	ret_text[0] = '\0';
	for (size_t i = 0; i < n && used < 160; i++) {
		if (strncmp(all[i].name, half, bytes) == 0 && all[i].name[bytes] == ' ')
			used += (size_t)snprintf(ret_text + used, 160 - used, "%s%s",
			                         used ? ", " : "", all[i].name);
	}
	return ret_text;
}

static int read_arguments(struct parser *p, struct error *err)
{
	char words[160];
	bool options_over = false;

	for (p->at = 1; p->at < p->argc; p->at++) {
		const char *argument = p->argv[p->at];
		int rc;

		if (options_over || argument[0] != '-' || !argument[1])
			rc = take_word(p, argument, err);
		else if (strcmp(argument, "--") == 0)
			options_over = true, rc = 0;
		else if (argument[1] == '-')
			rc = take_long(p, argument, err);
		else
			rc = take_letters(p, argument, err);
		if (rc < 0)
			return rc;
	}
	if (p->half && !p->row)
		return error_set(err, ERROR_INVALID, "\"%s\" is a half command: %s", p->half,
		                 second_words(p->half, words));
	return 0;
}

/* --- judging what was read --- */

static int check_options(const struct parser *p, struct error *err)
{
	const struct command *command = current(p);
	size_t n;
	const struct option *all = command_get_options(&n);

	for (size_t i = 0; i < n; i++) {
		if ((p->given & OPTION_BIT(all[i].id)) && !takes(command, &all[i]))
			return error_set(err, ERROR_INVALID, "drover %s does not take --%s",
			                 command->name, all[i].name);
	}
	if ((p->given & OPTION_BIT(OPTION_OUTPUT)) &&
	    !(command->formats & 1u << p->result->options.format)) {
		char accepted[80] = "";

		for (unsigned i = 0; i < OUTPUT_FORMATS; i++) {
			if (command->formats & 1u << i)
				snprintf(accepted + strlen(accepted),
				         sizeof(accepted) - strlen(accepted), "%s%s",
				         *accepted ? ", " : "", output_format_name(i));
		}
		return error_set(err, ERROR_INVALID, "drover %s cannot print as %s, only as %s",
		                 command->name, output_format_name(p->result->options.format),
		                 accepted);
	}
	return 0;
}

static int check_words(const struct invocation *invocation, struct error *err)
{
	const struct command *command = invocation->command;
	const struct word_list *words = &invocation->words;

	if (words->count < command->words_min)
		return error_set(err, ERROR_INVALID, "drover %s needs %s", command->name,
		                 command->arguments);
	if (words->count > command->words_max) {
		_cleanup_free_ char *shown = text_escape(words->items[command->words_max], false);

		if (command->words_max == 0)
			return error_set(err, ERROR_INVALID,
			                 "drover %s takes no arguments, but got \"%s\"",
			                 command->name, shown);
		return error_set(err, ERROR_INVALID,
		                 "drover %s takes %s and no more; \"%s\" is "
		                 "too much",
		                 command->name, command->arguments, shown);
	}
	for (size_t i = 0; i < words->count; i++) {
		int rc = option_check_text(command->arguments, words->items[i], err);

		if (rc < 0)
			return rc;
	}
	return 0;
}

static int apply_environment(struct parser *p, struct error *err)
{
	size_t n;
	const struct option *all = command_get_options(&n);

	for (size_t i = 0; i < n; i++) {
		const char *value = all[i].environment ? getenv(all[i].environment) : NULL;
		int rc;

		if (!value || !*value || (p->given & OPTION_BIT(all[i].id)) ||
		    !takes(current(p), &all[i]))
			continue;
		rc = option_set(&p->result->options, &all[i], value, err);
		if (rc < 0)
			return error_context(err, "%s in the environment", all[i].environment);
	}
	return 0;
}

int command_check_address(const struct options *o, const char *address, const char *of,
                          struct error *err)
{
	bool tcp = strncmp(address, "tcp://", 6) == 0;
	_cleanup_free_ char *shown = text_escape(address, false);

	if (!tcp && strncmp(address, "ipc://", 6) != 0)
		return error_set(err, ERROR_INVALID,
		                 "\"%s\" is not an address of %s; write ipc:///PATH or "
		                 "tcp://HOST:PORT",
		                 shown, of);
	if (tcp && (!o->ca || !o->cert || !o->key))
		return error_set(err, ERROR_INVALID,
		                 "%s needs your operator certificate: --ca, --cert and --key, or "
		                 "DROVER_CA, DROVER_CERT and DROVER_KEY",
		                 shown);
	return 0;
}

static int check_together(const struct parser *p, struct error *err)
{
	const struct options *o = &p->result->options;
	int rc = 0;

	if (current(p)->options & OPTION_BIT(OPTION_SERVER))
		rc = command_check_address(o, o->server, "a coordinator", err);
	if (rc < 0)
		return rc;
	if (o->dry_run && o->detach)
		return error_set(err, ERROR_INVALID,
		                 "--dry-run and --detach exclude each other: nothing is started");
	if (o->dry_run && o->plan)
		return error_set(
			err, ERROR_INVALID,
			"--dry-run and --plan exclude each other: that plan has been shown");
	if (o->yes && o->unmovable == UNMOVABLE_REFUSE)
		return error_set(err, ERROR_INVALID,
		                 "--yes and --unmovable refuse contradict each other");
	if (o->follow && o->format == OUTPUT_JSON)
		return error_set(err, ERROR_INVALID,
		                 "--follow has no end, so it cannot be one JSON document; use "
		                 "-o jsonl");
	return 0;
}

char *command_repeat(const struct invocation *invocation, unsigned __int128 without)
{
	char *text = xasprintf("drover %s", invocation->command->name);

	for (size_t i = 0; i < invocation->words.count; i++) {
		_cleanup_free_ char *word = text_shell_word(invocation->words.items[i]);
		_cleanup_free_ char *shorter = text;

		text = xasprintf("%s %s", shorter, word);
	}
	for (size_t i = 0; i < invocation->n_given; i++) {
		const struct option *option = invocation->given[i].option;
		const char *value = invocation->given[i].value;
		_cleanup_free_ char *word = value ? text_shell_word(value) : xstrdup("");
		_cleanup_free_ char *shorter = text;

		if (without & OPTION_BIT(option->id)) {
			text = take_pointer(shorter);
			continue;
		}
		text = option->letter ? xasprintf("%s -%c%s%s", shorter, option->letter,
		                                  value ? " " : "", word)
		                      : xasprintf("%s --%s%s%s", shorter, option->name,
		                                  value ? " " : "", word);
	}
	return text;
}

int command_parse(int argc, char *const *argv, struct invocation *ret, struct error *err)
{
	struct parser p = { .argc = argc, .argv = argv, .result = ret };
	int rc;

	*ret = (struct invocation){ .options.server = SERVER_DEFAULT };
	rc = read_arguments(&p, err);
	if (rc < 0)
		return rc;
	if (ret->options.version && !p.row)
		ret->command = command_find("version");
	else if (ret->options.help && !p.row)
		ret->command = command_find("help");
	else if (!p.row)
		ret->command = command_find("status");
	if (ret->options.help && (ret->command->options & OPTION_BIT(OPTION_HELP)))
		return 0;
	if (ret->options.version && !p.row)
		return 0;
	rc = check_options(&p, err);
	if (rc == 0)
		rc = check_words(ret, err);
	if (rc == 0)
		rc = apply_environment(&p, err);
	if (rc == 0)
		rc = check_together(&p, err);
	return rc;
}
