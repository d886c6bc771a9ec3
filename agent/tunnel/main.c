/* SPDX-License-Identifier: Apache-2.0 */
/* drover-tunnel: one end of the control connection between two libvirtds, for one attempt.
 *
 * A process of its own, so that a migration outlives the agent that started it. Started by
 * agent/tunnel/spawn.c: forks away from its parent, which returns as soon as this end is ready (0)
 * or has failed (1, reason in the status file; 2, not even that far: reason on stderr).
 */
#include "agent/tunnel/failpoints.h"
#include "agent/tunnel/process.h"
#include "common/cleanup.h"
#include "common/units.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const char usage[] =
	"usage: drover-tunnel --side source --listen-unix PATH --connect ADDRESS:PORT COMMON...\n"
	"       drover-tunnel --side target --listen ADDRESS:PORT --connect-unix PATH COMMON...\n"
	"COMMON: --operation HEX --attempt NUMBER --cluster NAME --expect agent/NODE\n"
	"        --ca FILE --cert FILE --key FILE [--crl FILE] --status FILE\n"
	"        [--wait 30s] [--foreground]\n"
	"Carries one libvirt connection between two hosts. Started by drover-agent.\n";

struct arguments {
	struct tunnel_process_options o;
	const char *side, *operation, *attempt, *status_path, *wait;
	bool foreground;
};

__attribute__((format(printf, 1, 2), noreturn)) static void refuse(const char *format, ...)
{
	va_list args;

	fputs("drover-tunnel: ", stderr);
	va_start(args, format);
	vfprintf(stderr, format, args);
	va_end(args);
	fputs("\n", stderr);
	exit(2);
}

static void need(const char *value, const char *name)
{
	if (!value || !*value)
		refuse("--%s is missing (see --help)", name);
}

static void reject(const char *value, const char *name, const char *side)
{
	if (value)
		refuse("--%s does not belong to --side %s", name, side);
}

static void parse(int argc, char **argv, struct arguments *a)
{
	enum {
		SIDE = 1,
		OPERATION,
		ATTEMPT,
		CLUSTER,
		EXPECT,
		CA,
		CERT,
		KEY,
		CRL,
		STATUS,
		LISTEN_UNIX,
		CONNECT,
		LISTEN,
		CONNECT_UNIX,
		WAIT,
		FOREGROUND,
		FAILPOINTS,
		HELP,
		OPTIONS
	};
	static const struct option options[] = {
		{ "side", required_argument, NULL, SIDE },
		{ "operation", required_argument, NULL, OPERATION },
		{ "attempt", required_argument, NULL, ATTEMPT },
		{ "cluster", required_argument, NULL, CLUSTER },
		{ "expect", required_argument, NULL, EXPECT },
		{ "ca", required_argument, NULL, CA },
		{ "cert", required_argument, NULL, CERT },
		{ "key", required_argument, NULL, KEY },
		{ "crl", required_argument, NULL, CRL },
		{ "status", required_argument, NULL, STATUS },
		{ "listen-unix", required_argument, NULL, LISTEN_UNIX },
		{ "connect", required_argument, NULL, CONNECT },
		{ "listen", required_argument, NULL, LISTEN },
		{ "connect-unix", required_argument, NULL, CONNECT_UNIX },
		{ "wait", required_argument, NULL, WAIT },
		{ "foreground", no_argument, NULL, FOREGROUND },
#ifdef DROVER_FAILPOINTS
		{ "failpoints", no_argument, NULL, FAILPOINTS },
#endif
		{ "help", no_argument, NULL, HELP },
		{ NULL, 0, NULL, 0 },
	};
	const char **const values[OPTIONS] = {
		[SIDE] = &a->side,
		[OPERATION] = &a->operation,
		[ATTEMPT] = &a->attempt,
		[CLUSTER] = &a->o.cluster,
		[EXPECT] = &a->o.expect,
		[CA] = &a->o.ca_path,
		[CERT] = &a->o.cert_path,
		[KEY] = &a->o.key_path,
		[CRL] = &a->o.crl_path,
		[STATUS] = &a->status_path,
		[LISTEN_UNIX] = &a->o.listen_unix,
		[CONNECT] = &a->o.connect,
		[LISTEN] = &a->o.listen,
		[CONNECT_UNIX] = &a->o.connect_unix,
		[WAIT] = &a->wait,
	};
	int c;

	while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (c == HELP) {
			fputs(usage, stdout);
			exit(0);
		}
#ifdef DROVER_FAILPOINTS
		if (c == FAILPOINTS) {
			failpoints_print(&tunnel_failpoints);
			exit(0);
		}
#endif
		if (c == FOREGROUND)
			a->foreground = true;
		else if (c > 0 && c < OPTIONS && values[c])
			*values[c] = optarg;
		else
			refuse("see --help");
	}
	if (optind < argc)
		refuse("\"%s\" is not an option (see --help)", argv[optind]);
}

static void check(struct arguments *a)
{
	char name[ID_TEXT_BYTES + 16];
	struct error err;

	need(a->side, "side");
	a->o.source = strcmp(a->side, "source") == 0;
	if (!a->o.source && strcmp(a->side, "target") != 0)
		refuse("--side is \"%s\": source and target are possible", a->side);
	need(a->operation, "operation");
	need(a->attempt, "attempt");
	need(a->o.cluster, "cluster");
	need(a->o.expect, "expect");
	need(a->o.ca_path, "ca");
	need(a->o.cert_path, "cert");
	need(a->o.key_path, "key");
	need(a->status_path, "status");
	if (a->o.source) {
		need(a->o.listen_unix, "listen-unix");
		need(a->o.connect, "connect");
		reject(a->o.listen, "listen", a->side);
		reject(a->o.connect_unix, "connect-unix", a->side);
	} else {
		need(a->o.listen, "listen");
		need(a->o.connect_unix, "connect-unix");
		reject(a->o.listen_unix, "listen-unix", a->side);
		reject(a->o.connect, "connect", a->side);
	}
	snprintf(name, sizeof(name), "%.33s-%.8s", a->operation, a->attempt);
	if (attempt_name_parse(name, &a->o.attempt) < 0)
		refuse("--operation is 32 hex digits and --attempt a number from 1, not \"%.40s\" "
		       "and "
		       "\"%.20s\"",
		       a->operation, a->attempt);
	a->o.wait_ms = TUNNEL_WAIT_MS;
	if (a->wait &&
	    (units_parse_duration(a->wait, &a->o.wait_ms, &err) < 0 || a->o.wait_ms == 0))
		refuse("--wait %s: a duration like 30s", a->wait);
}

static int open_status(const char *path)
{
	int fd;

	/* A new file: whoever has the old one open keeps the old one. */
	unlink(path);
	fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0)
		refuse("cannot create %s: %s", path, strerror(errno));
	return fd;
}

static void say_ready(void *context)
{
	int *fd = context;

	if (*fd < 0)
		return;
	(void)!write(*fd, "r", 1);
	close(*fd);
	*fd = -1;
}

/* The parent's half: waits for the child to be ready, or to be gone. */
static int wait_until_ready(int fd)
{
	char byte;
	ssize_t n;

	do
		n = read(fd, &byte, 1);
	while (n < 0 && errno == EINTR);
	return n == 1 ? 0 : 1;
}

/* What we inherited is nobody's business here but stderr, which is a log or /dev/null. */
static void leave_parent(void)
{
	_cleanup_close_ int null = open("/dev/null", O_RDWR | O_CLOEXEC);

	setsid();
	if (chdir("/") < 0 || null < 0)
		return;
	dup2(null, STDIN_FILENO);
	dup2(null, STDOUT_FILENO);
}

int main(int argc, char **argv)
{
	struct arguments a = { .o.status_fd = -1 };
	int ready[2] = { -1, -1 };
	struct error err;
	int rc;

	if (close_range(3, ~0U, 0) < 0)
		refuse("closing what was inherited: %s", strerror(errno));
	if (failpoints_begin(&tunnel_failpoints, NULL, &err) < 0)
		refuse("%s", err.text);
	umask(0077);
	parse(argc, argv, &a);
	check(&a);
	a.o.status_fd = open_status(a.status_path);
	if (!a.foreground) {
		pid_t pid;

		if (pipe2(ready, O_CLOEXEC) < 0)
			refuse("making a pipe: %s", strerror(errno));
		pid = fork();
		if (pid < 0)
			refuse("forking: %s", strerror(errno));
		if (pid > 0) {
			close(ready[1]);
			return wait_until_ready(ready[0]);
		}
		close(ready[0]);
		leave_parent();
	}
	a.o.ready = say_ready;
	a.o.context = &ready[1];
	rc = tunnel_process_run(&a.o, &err);
	if (rc < 0 && a.foreground)
		fprintf(stderr, "drover-tunnel: %s\n", err.text);
	cleanup_close_fd(&ready[1]);
	close(a.o.status_fd);
	return rc < 0 ? 1 : 0;
}
