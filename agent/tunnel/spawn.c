/* SPDX-License-Identifier: Apache-2.0 */
/* See spawn.h. Couriers only; no state. */
#include "agent/tunnel/spawn.h"

#include "agent/tunnel/process.h"
#include "common/cleanup.h"
#include "common/clock.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define READY_MS      5000
#define ARGUMENTS_MAX 32

/* pidfd_open and pidfd_send_signal as the kernel has them since 5.3: glibc 2.36 declares them. */

static int find_executable(const char *given, char *ret, size_t bytes, struct error *err)
{
	ssize_t n;
	char *slash;

	if (given) {
		snprintf(ret, bytes, "%s", given);
		return 0;
	}
	n = readlink("/proc/self/exe", ret, bytes - 1);
	if (n < 0)
		return error_set_errno(err, ERROR_SYSTEM, errno, "finding drover-tunnel");
	ret[n] = '\0';
	slash = strrchr(ret, '/');
	if (!slash || (size_t)(slash - ret) + sizeof("/drover-tunnel") > bytes)
		return error_set(err, ERROR_SYSTEM, "finding drover-tunnel beside %s", ret);
	memcpy(slash, "/drover-tunnel", sizeof("/drover-tunnel"));
	return 0;
}

struct arguments {
	char *items[ARGUMENTS_MAX];
	size_t n;
};

static void add(struct arguments *a, const char *option, const char *value)
{
	a->items[a->n++] = (char *)option;
	a->items[a->n++] = (char *)value;
}

/* The only descriptors that it gets. */
static int prepare_stdio(posix_spawn_file_actions_t *actions, const char *log_path)
{
	int rc = posix_spawn_file_actions_init(actions);

	if (rc == 0)
		rc = posix_spawn_file_actions_addopen(actions, STDIN_FILENO, "/dev/null", O_RDONLY,
		                                      0);
	if (rc == 0)
		rc = posix_spawn_file_actions_addopen(actions, STDOUT_FILENO, "/dev/null", O_WRONLY,
		                                      0);
	if (rc == 0)
		rc = posix_spawn_file_actions_addopen(actions, STDERR_FILENO,
		                                      log_path ? log_path : "/dev/null",
		                                      O_WRONLY | O_CREAT | O_APPEND, 0600);
	return rc;
}

static int start(const char *executable, const struct arguments *a, const char *log_path,
                 pid_t *ret_pid, struct error *err)
{
	posix_spawn_file_actions_t actions;
	posix_spawnattr_t attributes;
	sigset_t none, all;
	int rc;

	/* Our signal mask and dispositions are not its own: it must hear SIGTERM. */
	sigemptyset(&none);
	sigfillset(&all);
	posix_spawnattr_init(&attributes);
	posix_spawnattr_setsigmask(&attributes, &none);
	posix_spawnattr_setsigdefault(&attributes, &all);
	posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSID | POSIX_SPAWN_SETSIGMASK |
	                                              POSIX_SPAWN_SETSIGDEF);
	rc = prepare_stdio(&actions, log_path);
	if (rc == 0)
		rc = posix_spawn(ret_pid, executable, &actions, &attributes, a->items, environ);
	posix_spawn_file_actions_destroy(&actions);
	posix_spawnattr_destroy(&attributes);
	if (rc)
		return error_set_errno(err, rc == ENOENT ? ERROR_NOT_FOUND : ERROR_SYSTEM, rc,
		                       "starting %s", executable);
	return 0;
}

/* The starter ends when the tunnel is ready or has failed. -ERROR_TIMEOUT: neither. */
static int wait_for_starter(pid_t pid, int *ret_code, struct error *err)
{
	_cleanup_close_ int pidfd = pidfd_open(pid, 0);
	struct pollfd ended = { .fd = pidfd, .events = POLLIN };
	int rc = 0, status;

	if (pidfd < 0 || poll(&ended, 1, READY_MS) == 0) {
		rc = error_set(err, ERROR_TIMEOUT, "the tunnel was not ready within %d s",
		               READY_MS / 1000);
		kill(pid, SIGKILL); /* our child, not yet waited for: its pid is its own */
	}
	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return error_set_errno(err, ERROR_SYSTEM, errno,
			                       "waiting for drover-tunnel");
	*ret_code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
	return rc;
}

static int read_own_status(const struct tunnel_options *o, struct tunnel *t,
                           struct tunnel_status *ret, struct error *err)
{
	int rc = tunnel_status_read(o->status_path, ret, err);

	if (rc < 0)
		return rc;
	t->pid = (pid_t)ret->pid;
	t->start_ticks = ret->start_ticks;
	return 0;
}

static void build_arguments(const struct tunnel_options *o, const char *executable,
                            const char *operation, const char *number, const char *wait_text,
                            struct arguments *ret)
{
	struct arguments a = { { (char *)executable }, 1 };

	add(&a, "--side", o->side == TUNNEL_SOURCE ? "source" : "target");
	add(&a, "--operation", operation);
	add(&a, "--attempt", number);
	add(&a, "--cluster", o->cluster);
	add(&a, "--expect", o->expect);
	add(&a, "--ca", o->ca_path);
	add(&a, "--cert", o->cert_path);
	add(&a, "--key", o->key_path);
	if (o->crl_path)
		add(&a, "--crl", o->crl_path);
	add(&a, "--status", o->status_path);
	add(&a, "--wait", wait_text);
	if (o->side == TUNNEL_SOURCE) {
		add(&a, "--listen-unix", o->listen_unix);
		add(&a, "--connect", o->connect);
	} else {
		add(&a, "--listen", o->listen);
		add(&a, "--connect-unix", o->connect_unix);
	}
	*ret = a;
}

int tunnel_spawn(const struct tunnel_options *o, struct tunnel *ret,
                 struct tunnel_status *ret_status, struct error *err)
{
	char executable[4096], operation[ID_TEXT_BYTES], number[16], wait_text[32];
	struct tunnel_status status = { 0 };
	struct tunnel t = { 0 };
	struct arguments a;
	struct error why;
	int rc, code = 0;
	pid_t pid;

	if (strlen(o->status_path) >= sizeof(t.status_path))
		return error_set(err, ERROR_INVALID,
		                 "the path of the tunnel's status is over %zu bytes",
		                 sizeof(t.status_path) - 1);
	memcpy(t.status_path, o->status_path, strlen(o->status_path) + 1);
	rc = find_executable(o->executable, executable, sizeof(executable), err);
	if (rc < 0)
		return rc;
	/* Never read the status of an earlier one. */
	unlink(o->status_path);
	snprintf(number, sizeof(number), "%u", o->attempt.number);
	snprintf(wait_text, sizeof(wait_text), "%llums",
	         (unsigned long long)(o->wait_ms ? o->wait_ms : TUNNEL_WAIT_MS));
	build_arguments(o, executable, id_format(&o->attempt.operation, operation), number,
	                wait_text, &a);
	rc = start(executable, &a, o->log_path, &pid, err);
	if (rc < 0)
		return rc;
	rc = wait_for_starter(pid, &code, err);
	if (rc == 0 && code == 0) {
		rc = read_own_status(o, &t, &status, err);
		if (rc == 0) {
			*ret = t;
			*ret_status = status;
			return 0;
		}
	} else if (rc == 0 && read_own_status(o, &t, &status, &why) == 0 && status.error_text[0]) {
		rc = error_set(err, (enum error_code)status.error_code, "%s", status.error_text);
	} else if (rc == 0) {
		rc = error_set(err, ERROR_SYSTEM, "drover-tunnel ended with code %d%s%s", code,
		               o->log_path ? ", see " : "", o->log_path ? o->log_path : "");
	}
	/* Whatever came so far is not left running. */
	if (!t.pid)
		read_own_status(o, &t, &status, &why);
	if (t.pid)
		tunnel_stop(&t, 0, NULL);
	unlink(o->status_path);
	return rc;
}

/* A pidfd of that very process, or -1. */
static int open_process(const struct tunnel *t)
{
	_cleanup_close_ int pidfd = t->pid > 0 ? pidfd_open(t->pid, 0) : -1;
	uint64_t ticks;

	/* In this order: what is asked for now cannot be reused any more while we hold it. */
	if (pidfd < 0 || tunnel_process_start_ticks(t->pid, &ticks) < 0 || ticks != t->start_ticks)
		return -1;
	return take_fd(pidfd);
}

static bool has_ended(int pidfd, uint64_t wait_ms)
{
	struct pollfd ended = { .fd = pidfd, .events = POLLIN };

	return poll(&ended, 1, (int)wait_ms) == 1;
}

bool tunnel_is_alive(const struct tunnel *t)
{
	_cleanup_close_ int pidfd = open_process(t);

	return pidfd >= 0 && !has_ended(pidfd, 0);
}

int tunnel_read_status(const struct tunnel *t, struct tunnel_status *ret_status, struct error *err)
{
	bool alive = tunnel_is_alive(t);
	struct tunnel_status s;
	int rc = tunnel_status_read(t->status_path, &s, err);

	if (rc < 0)
		return rc;
	if (s.pid != (uint32_t)t->pid || s.start_ticks != t->start_ticks)
		return error_set(err, ERROR_INVALID, "%s belongs to another tunnel",
		                 t->status_path);
	*ret_status = s;
	/* Alive was asked first: what it wrote at its end is there when it was gone then. */
	if (!alive && s.state != TUNNEL_CLOSED && s.state != TUNNEL_FAILED)
		return error_set(err, ERROR_NOT_FOUND, "the tunnel process %d died while %s",
		                 (int)t->pid, tunnel_state_name((enum tunnel_state)s.state));
	return 0;
}

int tunnel_stop(const struct tunnel *t, uint64_t grace_ms, struct error *err)
{
	_cleanup_close_ int pidfd = open_process(t);

	if (pidfd >= 0) {
		if (grace_ms && pidfd_send_signal(pidfd, SIGTERM, NULL, 0) == 0)
			has_ended(pidfd, grace_ms);
		if (!has_ended(pidfd, 0) &&
		    ((pidfd_send_signal(pidfd, SIGKILL, NULL, 0) < 0 && errno != ESRCH) ||
		     !has_ended(pidfd, 5000)))
			return error_set(err, ERROR_SYSTEM, "the tunnel process %d does not end",
			                 (int)t->pid);
	}
	if (unlink(t->status_path) < 0 && errno != ENOENT)
		return error_set_errno(err, ERROR_SYSTEM, errno, "removing %s", t->status_path);
	return 0;
}
