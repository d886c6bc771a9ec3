/* SPDX-License-Identifier: Apache-2.0 */
/* The command line of drover, once.
 *
 *	             +--> command_parse       what was typed, checked
 *	tables in ---+--> help_print          drover help, -h
 *	command.c    +--> help_print_scdoc    the man pages
 *	             +--> help_print_bash     completion
 *
 * A command names the options it takes; an option that a command does not take is refused, so none
 * is ever ignored. Parsing has no effect but on its result, and touches nothing outside.
 */
#pragma once

#include "common/error.h"
#include "tools/drover/exit.h"
#include "tools/drover/output.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum option_id {
	OPTION_SERVER,
	OPTION_CA,
	OPTION_CERT,
	OPTION_KEY,
	OPTION_OUTPUT,
	OPTION_NO_HEADERS,
	OPTION_BYTES,
	OPTION_QUIET,
	OPTION_TIMEOUT,
	OPTION_COLOR,
	OPTION_HELP,
	OPTION_VERSION,
	OPTION_DRY_RUN,
	OPTION_DETACH,
	OPTION_LEAVE,
	OPTION_SHUTDOWN,
	OPTION_SHUTDOWN_TIMEOUT,
	OPTION_UNMOVABLE,
	OPTION_YES,
	OPTION_NO_INPUT,
	OPTION_PARALLEL,
	OPTION_BANDWIDTH,
	OPTION_MAX_DOWNTIME,
	OPTION_COMPLETION_TIMEOUT,
	OPTION_PROGRESS_TIMEOUT,
	OPTION_TUNE_BANDWIDTH,
	OPTION_TUNE_DOWNTIME,
	OPTION_SWITCH_NOW,
	OPTION_PAUSE_NOW,
	OPTION_FORGET,
	OPTION_NO_GUARD,
	OPTION_COPY_DISKS,
	OPTION_COPY_DISK,
	OPTION_INCREMENTAL,
	OPTION_UNSAFE,
	OPTION_CONNECTIONS,
	OPTION_COMPRESSION,
	OPTION_LADDER,
	OPTION_AUTO_CONVERGE,
	OPTION_POST_COPY,
	OPTION_PAUSE,
	OPTION_NO_AUTO_CONVERGE,
	OPTION_NO_POST_COPY,
	OPTION_NO_PAUSE,
	OPTION_REASON,
	OPTION_TO,
	OPTION_NODE,
	OPTION_VM,
	OPTION_ACTIVE,
	OPTION_FAILED,
	OPTION_ONLY_UNMOVABLE,
	OPTION_LIMIT,
	OPTION_FOLLOW,
	OPTION_VERIFY,
	OPTION_CLUSTER,
	OPTION_NAME,
	OPTION_ADDRESS,
	OPTION_MIGRATION_ADDRESS,
	OPTION_MIGRATION_INTERFACE,
	OPTION_MIGRATION_NETWORK,
	OPTION_COORDINATOR_ONLY,
	OPTION_TOKEN_NODE,
	OPTION_TTL,
	OPTION_USES,
	OPTION_LIFE,
	OPTION_PREFIX,
	OPTION_DAYS,
	OPTION_INTO,
	OPTION_EVEN_OWN,
	OPTION_SELECTOR,
	OPTION_BRING_BACK,
	OPTION_HOOK,
	OPTION_MAX_UNAVAILABLE,
	OPTION_HOOK_TIMEOUT,
	OPTION_READY_TIMEOUT,
	OPTION_RESTART,
	OPTION_BY,
	OPTION_GUEST,
	OPTION_MEMORY,
	OPTION_VCPUS,
	OPTION_LIKE,
	OPTION_PLAN,
	OPTION_SOFT,
	OPTION_NODES,
	OPTION_IGNORE_POLICIES,
	OPTIONS
};

enum unmovable { UNMOVABLE_ASK, UNMOVABLE_REFUSE, UNMOVABLE_LEAVE };

#define WORDS_MAX 64

struct word_list {
	const char *items[WORDS_MAX]; /* borrowed from argv */
	size_t count;
};

/* Everything that options can say. Strings are borrowed from argv or the environment. */
struct options {
	const char *server;
	const char *ca, *cert, *key;
	enum output_format format;
	bool no_headers, bytes, quiet;
	uint64_t timeout_ms; /* 0 = none given */
	enum output_when colour;
	bool help, version;
	bool dry_run, detach, yes, no_input;
	struct word_list leave, shut_down;
	uint64_t shutdown_timeout_ms; /* 0 = the cluster's */
	enum unmovable unmovable;
	uint64_t parallel; /* 0 = the cluster's */
	uint64_t bandwidth_bytes_per_s;
	uint64_t max_downtime_ms;
	uint64_t completion_timeout_ms_per_gib, progress_timeout_ms; /* 0 = the cluster's */
	const char *tune_bandwidth, *tune_downtime;                  /* with their units */
	bool switch_now, pause_now, forget;
	bool no_guard;
	bool copy_disks, incremental, unsafe;
	struct word_list copy_only;
	uint64_t connections;     /* 0 = the cluster's */
	unsigned int compression; /* enum compression; 0 = the cluster's, COMPRESSIONS = none */
	unsigned int ladder;      /* enum ladder_name; 0 = the cluster's, LADDERS = none */
	bool allow_auto_converge, allow_post_copy, allow_pause;
	bool forbid_auto_converge, forbid_post_copy, forbid_pause;
	const char *reason, *to, *node, *vm;
	bool active, failed, only_unmovable, follow, verify;
	uint64_t limit;
	const char *cluster, *name, *address, *migration_address, *migration_interface;
	const char *migration_network, *prefix;
	bool coordinator_only;
	uint64_t ttl_ms, uses, life_ms, days; /* 0 = none given */
	const char *into;
	bool even_own;
	const char *selector;
	bool bring_back;
	const char *hook;
	uint64_t max_unavailable, hook_timeout_ms, ready_timeout_ms; /* 0 = the default */
	bool restart;
	const char *by, *plan, *nodes;
	bool soft, ignore_policies;
	const char *guest, *memory, *like; /* sizes with their units */
	uint64_t vcpus;                    /* 0 = none given */
};

enum option_type {
	OPTION_FLAG,     /* bool, no value */
	OPTION_TEXT,     /* const char * */
	OPTION_WORDS,    /* struct word_list, may be repeated */
	OPTION_NUMBER,   /* uint64_t, at least 1 */
	OPTION_DURATION, /* uint64_t, milliseconds, at least 1 */
	OPTION_RATE,     /* uint64_t, bytes per second */
	OPTION_CHOICE,   /* an enum, by the position in choices */
};

/* What completion offers for an argument. */
enum completion {
	COMPLETE_NOTHING,
	COMPLETE_NODES,
	COMPLETE_VMS,
	COMPLETE_MIGRATIONS,
	COMPLETE_DRAINS,
	COMPLETE_POLICIES,
	COMPLETE_ANY,    /* KIND/NAME of any kind */
	COMPLETE_WATCH,  /* drain/N, migration/N */
	COMPLETE_CANCEL, /* drain/N, migration/N, vm/NAME */
	COMPLETE_COMMANDS,
	COMPLETE_SHELLS,
	COMPLETE_FILES,
	COMPLETE_OWN, /* a word that nobody can offer */
	COMPLETIONS
};

struct option {
	enum option_id id;
	char letter;          /* 0 = none */
	const char *name;     /* without the dashes */
	const char *argument; /* "DUR"; NULL for flags */
	enum option_type type;
	size_t offset; /* into struct options */
	const char *help;
	const char *environment;    /* variable that stands in for it, or NULL */
	const char *const *choices; /* OPTION_CHOICE: NULL-terminated */
	enum completion completion;
};

struct invocation;

struct command {
	const char *name;      /* "drain", "maintenance enter" */
	const char *arguments; /* "NODE", "[NAME...]"; "" = none */
	unsigned words_min, words_max;
	unsigned __int128 options; /* bits by option_id */
	unsigned formats;          /* bits by output_format */
	const char *group;         /* heading in the help; NULL = hidden */
	const char *summary;
	const char *description;          /* paragraphs, separated by an empty line; or NULL */
	const char *examples;             /* lines of "command  # what for"; or NULL */
	const char *alias_of;             /* another row, which then says the rest */
	enum completion completion;       /* of its first word */
	enum completion completion_after; /* of the others; COMPLETE_NOTHING = as the first */
	enum exit_code (*run)(const struct invocation *invocation);
};

#define GIVEN_MAX (3 * WORDS_MAX)

/* What was typed. */
struct invocation {
	const struct command *command;
	struct options options;
	struct word_list words; /* after the command */
	struct {
		const struct option *option;
		const char *value; /* NULL of a flag */
	} given[GIVEN_MAX];        /* the options of the command line, as they stood there */
	size_t n_given;
};

#define OPTION_BIT(id) ((unsigned __int128)1 << (id))

/* Fills @ret from @argv. -ERROR_INVALID with what is wrong and, where a word is close to a right
 * one, what was probably meant; @ret->command is then the command as far as it was understood, or
 * NULL. */
int command_parse(int argc, char *const *argv, struct invocation *ret, struct error *err);

/* The command as it was typed, as words of a shell, without the options in @without: for a command that is
 * proposed to the reader. Owned. */
char *command_repeat(const struct invocation *invocation, unsigned __int128 without);

/* Whether @address can be asked, with the certificate that @options have; @of: "a coordinator". */
int command_check_address(const struct options *options, const char *address, const char *of,
                          struct error *err);

/* The row called @name, aliases resolved; NULL when there is none. */
const struct command *command_find(const char *name);

const struct command *command_get_all(size_t *ret_count);
const struct option *command_get_options(size_t *ret_count);

/* The option called @name as @command understands it (the same name may mean something else in two
 * commands); @command NULL: the first of that name. */
const struct option *command_find_option(const struct command *command, const char *name);
