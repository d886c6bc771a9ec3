/* SPDX-License-Identifier: Apache-2.0 */
/* See failpoint.h. Empty in a build without failpoints.
 *
 * Under one lock, because couriers pass points as well; it is never held while the process is stopped,
 * or the threads that run again after SIGCONT would wait for nothing. */
#include "common/failpoint.h"

#ifdef DROVER_FAILPOINTS

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define FILE_VARIABLE "DROVER_FAILPOINT_FILE"
#define SPEC_BYTES    160

enum act { ACT_NONE, ACT_KILL, ACT_STOP, ACT_ERROR, ACTS };

static const char *const act_names[] = {
	[ACT_NONE] = "none", [ACT_KILL] = "kill", [ACT_STOP] = "stop", [ACT_ERROR] = "error"
};
static_assert(sizeof(act_names) / sizeof(act_names[0]) == ACTS, "every action has a name");

struct armed {
	const struct failpoint *point; /* NULL: none of ours */
	unsigned long on;              /* the passage that counts */
	enum act act;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static _Atomic(const struct failpoint_table *) table; /* NULL: nothing fires */
static char file[4096], fired[4096 + 8];              /* under lock, as all below; "" = none */
static struct armed by_environment;
static struct armed by_file;
static struct stat file_was; /* which arming by_file is */
static unsigned long passed_environment, passed_file;

static const struct failpoint *find_point(const char *name)
{
	const struct failpoint_table *t = table;

	for (size_t i = 0; t && i < t->count; i++) {
		if (strcmp(t->points[i].name, name) == 0)
			return &t->points[i];
	}
	return NULL;
}

static enum act find_act(const char *name)
{
	for (enum act a = ACT_KILL; a < ACTS; a++) {
		if (strcmp(act_names[a], name) == 0)
			return a;
	}
	return ACT_NONE;
}

/* -ERROR_NOT_FOUND: no point of this program; it may be one of another that shares the file. */
static int parse(const char *text, struct armed *ret, struct error *err)
{
	struct armed a = { .on = 1, .act = ACT_KILL };
	char spec[SPEC_BYTES], *action, *number, *end;

	snprintf(spec, sizeof(spec), "%s", text);
	spec[strcspn(spec, "\n")] = '\0';
	action = strchr(spec, '=');
	if (action) {
		*action++ = '\0';
		a.act = find_act(action);
		if (a.act == ACT_NONE)
			return error_set(
				err, ERROR_INVALID,
				"failpoint action \"%s\": kill, stop and error are possible",
				action);
	}
	number = strchr(spec, ':');
	if (number) {
		*number++ = '\0';
		errno = 0;
		a.on = strtoul(number, &end, 10);
		if (errno || *end || a.on == 0)
			return error_set(err, ERROR_INVALID,
			                 "failpoint passage \"%s\" is not a number from 1", number);
	}
	a.point = find_point(spec);
	if (!a.point)
		return error_set(err, ERROR_NOT_FOUND,
		                 "no failpoint \"%s\" here; --failpoints lists them", spec);
	if (a.act == ACT_ERROR && a.point->kind != FAILPOINT_FAILS)
		return error_set(err, ERROR_INVALID, "at failpoint %s nothing can fail", spec);
	*ret = a;
	return 0;
}

int failpoints_begin(const struct failpoint_table *of, const char *directory, struct error *err)
{
	const char *spec = getenv("DROVER_FAILPOINT"), *inherited = getenv(FILE_VARIABLE);
	int rc = 0;

	/* Tests begin again in a process whose threads pass points already. */
	pthread_mutex_lock(&lock);
	table = of;
	if (directory) {
		snprintf(file, sizeof(file), "%s/failpoint", directory);
		setenv(FILE_VARIABLE, file, 1);
	} else {
		snprintf(file, sizeof(file), "%s", inherited ? inherited : "");
	}
	snprintf(fired, sizeof(fired), "%s.fired", file);
	if (spec && *spec) {
		rc = parse(spec, &by_environment, err);
		/* Inherited from a parent that has it: not for us. */
		if (rc == -ERROR_NOT_FOUND && inherited)
			rc = 0;
	}
	pthread_mutex_unlock(&lock);
	return rc;
}

void failpoints_print(const struct failpoint_table *of)
{
	for (size_t i = 0; i < of->count; i++)
		printf("%s\t%s\t%s\n", of->points[i].name,
		       of->points[i].kind == FAILPOINT_FAILS ? "kill,stop,error" : "kill,stop",
		       of->points[i].sentence);
}

/* The size as well: whoever writes the file makes it first, and both in one tick of the file system's
 * clock. */
static bool is_other_arming(const struct stat *now)
{
	return now->st_ino != file_was.st_ino || now->st_size != file_was.st_size ||
	       now->st_mtim.tv_sec != file_was.st_mtim.tv_sec ||
	       now->st_mtim.tv_nsec != file_was.st_mtim.tv_nsec;
}

/* Looks whether the file arms something else than before. */
static void read_file(void)
{
	char text[SPEC_BYTES] = "";
	struct stat now;
	ssize_t n;
	int fd;

	if (!file[0])
		return;
	fd = open(file, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0 || fstat(fd, &now) < 0) {
		by_file.point = NULL;
	} else if (is_other_arming(&now)) {
		struct error err;

		file_was = now;
		passed_file = 0;
		by_file.point = NULL;
		n = read(fd, text, sizeof(text) - 1);
		if (n > 0 && parse(text, &by_file, &err) == -ERROR_INVALID)
			dprintf(STDERR_FILENO, "%s: %s\n", file, err.text);
	}
	if (fd >= 0)
		close(fd);
}

/* Of all processes that share the file one fires. */
static bool claim_file(void)
{
	int fd;

	if (rename(file, fired) < 0)
		return false;
	by_file.point = NULL;
	fd = open(fired, O_WRONLY | O_APPEND | O_CLOEXEC | O_NOFOLLOW);
	if (fd >= 0) {
		dprintf(fd, "pid %d\n", (int)getpid());
		close(fd);
	}
	return true;
}

static enum act count_passage(const char *name)
{
	enum act act = ACT_NONE;

	if (by_environment.point && strcmp(by_environment.point->name, name) == 0 &&
	    ++passed_environment == by_environment.on)
		act = by_environment.act;
	read_file();
	if (by_file.point && strcmp(by_file.point->name, name) == 0 &&
	    ++passed_file == by_file.on && claim_file())
		act = by_file.act;
	return act;
}

int failpoint_pass_fallible(const char *name, struct error *err)
{
	enum act act;

	if (!table)
		return 0;
	pthread_mutex_lock(&lock);
	act = count_passage(name);
	pthread_mutex_unlock(&lock);
	if (act == ACT_NONE)
		return 0;
	dprintf(STDERR_FILENO, "failpoint %s: %s\n", name, act_names[act]);
	if (act == ACT_ERROR)
		return error_set(err, ERROR_SYSTEM, "failpoint %s: made to fail", name);
	kill(getpid(), act == ACT_STOP ? SIGSTOP : SIGKILL);
	return 0;
}

void failpoint_pass(const char *name)
{
	(void)failpoint_pass_fallible(name, NULL);
}

#endif
