/* SPDX-License-Identifier: Apache-2.0 */
/*
 * reap - starts one program of a lab host as a daemon and stays its reaper.
 *
 * A host of the lab has no init of its own. What its daemons leave behind
 * (libvirtd's QEMUs, an agent's tunnels) would go to the machine's PID 1, and
 * one that reaps lazily makes libvirt wait up to two seconds for each QEMU it
 * stops. So each daemon gets a parent that is a child subreaper: orphans come
 * to it and are reaped at once. It never signals anybody: when the daemon dies,
 * what it had started lives on, as on a real host. It ends with its last child.
 *
 *   tools/lab ── fork ──► reaper (setsid, subreaper) ── fork ──► the daemon
 *       ▲                    │ writes the pid file                  │ exec
 *       └── pipe: "started" or the error text ◄────────────────────┘
 *
 * The caller returns when the daemon has been executed or the reason why not is
 * known. Descriptors above stderr are closed, so no daemon holds a lab's lock.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static const char usage_text[] =
	"usage: reap -p PIDFILE -o LOG [-g CGROUP_DIR] -- PROGRAM [ARG]...\n"
	"       reap -p PIDFILE -o LOG [-g CGROUP_DIR] --hold NAME\n"
	"--hold runs nothing: the reaper itself waits for ever and so keeps the\n"
	"namespaces it was started in.\n";

static int report_fd = -1;

/* Tells the waiting caller why nothing was started, and ends this process. */
static void __attribute__((noreturn, format(printf, 1, 2))) fail(const char *format, ...)
{
	char text[512];
	va_list args;
	int length;

	va_start(args, format);
	length = vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	if (length >= (int)sizeof(text))
		length = (int)sizeof(text) - 1;
	/* If the caller is gone too there is nobody left to tell. */
	if (length > 0 && write(report_fd, text, (size_t)length) < 0)
		_exit(2);
	_exit(1);
}

static void write_pid(const char *path, pid_t pid)
{
	char temporary[4096];
	FILE *file;

	if (snprintf(temporary, sizeof(temporary), "%s.new", path) >= (int)sizeof(temporary))
		fail("pid file path is too long: %s", path);
	file = fopen(temporary, "we");
	if (!file || fprintf(file, "%d\n", (int)pid) < 0 || fclose(file) != 0)
		fail("cannot write %s: %s", temporary, strerror(errno));
	/* Renamed, so that a reader never sees half a number. */
	if (rename(temporary, path) < 0)
		fail("cannot rename %s to %s: %s", temporary, path, strerror(errno));
}

static void join_cgroup(const char *directory)
{
	char path[4096];
	FILE *file;

	if (snprintf(path, sizeof(path), "%s/cgroup.procs", directory) >= (int)sizeof(path))
		fail("cgroup path is too long: %s", directory);
	file = fopen(path, "we");
	if (!file || fprintf(file, "%d\n", (int)getpid()) < 0 || fclose(file) != 0)
		fail("cannot join cgroup %s: %s", directory, strerror(errno));
}

/* The log gets stdout and stderr; descriptors above 2, but the report pipe, are closed. */
static void redirect(const char *log)
{
	int null_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	int log_fd = open(log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0640);

	if (null_fd < 0 || log_fd < 0)
		fail("cannot open %s: %s", log_fd < 0 ? log : "/dev/null", strerror(errno));
	if (dup2(null_fd, 0) < 0 || dup2(log_fd, 1) < 0 || dup2(log_fd, 2) < 0 ||
	    dup3(report_fd, 3, O_CLOEXEC) < 0)
		fail("cannot redirect to %s: %s", log, strerror(errno));
	report_fd = 3;
	if (close_range(4, ~0U, 0) < 0)
		fail("cannot close inherited descriptors: %s", strerror(errno));
}

static void log_end(const char *name, pid_t pid, int status)
{
	struct timespec now;
	struct tm tm;
	char at[32];

	clock_gettime(CLOCK_REALTIME, &now);
	gmtime_r(&now.tv_sec, &tm);
	strftime(at, sizeof(at), "%Y-%m-%dT%H:%M:%S", &tm);
	fprintf(stderr, "%s.%03ldZ reap: %s (pid %d) %s %d\n", at, now.tv_nsec / 1000000, name,
	        (int)pid, WIFSIGNALED(status) ? "was ended by signal" : "exited with status",
	        WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
}

/* Runs in the reaper: starts the daemon, then buries every child until none is left. */
static void __attribute__((noreturn)) supervise(const char *pid_file, char **argv)
{
	sigset_t none;
	pid_t daemon, pid;
	int status;

	daemon = fork();
	if (daemon < 0)
		fail("cannot fork: %s", strerror(errno));
	if (daemon == 0) {
		/* A group of its own: a Ctrl-C in the terminal of `tools/lab` is not for it. */
		if (setsid() < 0)
			fail("cannot start a session: %s", strerror(errno));
		sigemptyset(&none);
		sigprocmask(SIG_SETMASK, &none, NULL);
		execvp(argv[0], argv);
		fail("cannot run %s: %s", argv[0], strerror(errno));
	}
	write_pid(pid_file, daemon);
	close(report_fd);
	for (;;) {
		pid = wait(&status);
		if (pid == daemon)
			log_end(argv[0], pid, status);
		if (pid < 0 && errno != EINTR)
			exit(0);
	}
}

static void __attribute__((noreturn)) hold(const char *pid_file)
{
	write_pid(pid_file, getpid());
	close(report_fd);
	signal(SIGCHLD, SIG_IGN);
	for (;;)
		pause();
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{ "hold", required_argument, NULL, 'H' },
		{ "help", no_argument, NULL, 'h' },
		{ NULL, 0, NULL, 0 },
	};
	const char *pid_file = NULL, *log = NULL, *cgroup = NULL, *held = NULL;
	char text[512];
	size_t used = 0;
	ssize_t got;
	int ends[2], option;
	pid_t reaper;

	while ((option = getopt_long(argc, argv, "+p:o:g:", options, NULL)) != -1) {
		switch (option) {
		case 'p':
			pid_file = optarg;
			break;
		case 'o':
			log = optarg;
			break;
		case 'g':
			cgroup = optarg;
			break;
		case 'H':
			held = optarg;
			break;
		case 'h':
			fputs(usage_text, stdout);
			return 0;
		default:
			fputs(usage_text, stderr);
			return 2;
		}
	}
	if (!pid_file || !log || (held != NULL) == (optind < argc)) {
		fputs(usage_text, stderr);
		return 2;
	}
	if (pipe2(ends, O_CLOEXEC) < 0 || (reaper = fork()) < 0) {
		fprintf(stderr, "reap: cannot start: %s\n", strerror(errno));
		return 1;
	}
	if (reaper == 0) {
		report_fd = ends[1];
		if (setsid() < 0 || prctl(PR_SET_CHILD_SUBREAPER, 1) < 0)
			fail("cannot become a reaper: %s", strerror(errno));
		redirect(log);
		if (cgroup)
			join_cgroup(cgroup);
		if (held)
			hold(pid_file);
		supervise(pid_file, argv + optind);
	}
	/* End of file without a word: every holder of the pipe has executed or closed it. */
	close(ends[1]);
	while (used < sizeof(text) - 1) {
		got = read(ends[0], text + used, sizeof(text) - 1 - used);
		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0)
			break;
		used += (size_t)got;
	}
	if (used > 0) {
		fprintf(stderr, "reap: %.*s\n", (int)used, text);
		return 1;
	}
	return 0;
}
