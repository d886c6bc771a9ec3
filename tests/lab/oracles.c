/* SPDX-License-Identifier: Apache-2.0 */
/* Watches a lab while its tests run, and writes down what must never be.
 *
 *	lab_oracles LAB       ends when the lab is gone
 *
 * Five times a second it looks at every QEMU of the lab's hosts, in /proc and nowhere else: neither
 * libvirt nor drover is asked, so neither can be wrong about it. Each violation is a line on stdout:
 *
 *	O1  two QEMUs with one UUID ran: the vCPUs of both used the CPU in three windows in a row. In the
 *	    first, the threads of one may just have begun; in the next may lie a switchover, with the
 *	    one running before it and the other after; in the third only one does. A window that was
 *	    looked at late says nothing, for it may hold all of a move. A guest of the lab beats every
 *	    200 ms, so one that runs is never still for long.
 *	O3  the RAM of a host's QEMUs, arriving ones included, is more than the host has less its
 *	    reserve
 *	O4  more guests are on their way than the caps allow, into one host or in all. On its way is a
 *	    QEMU that was started to take a guest in, and whose vCPUs have not run yet.
 *
 * A violation is written once, and again when it has been over and comes back. The other oracles (O2
 * the guest's own heartbeats, O5 an end for everything, O6 nothing left over) are judged at the end
 * of each test by assert_all_well.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#define HOSTS_MAX 16
#define QEMUS_MAX 256
#define VCPUS_MAX 16
#define WINDOW_MS 200
#define LATE_MS   (WINDOW_MS * 5 / 4)
#define ROW       3
/* Of CPU time in a window. vCPUs of a stopped guest use none, a beat takes some 400 us. */
#define RAN_NS ((uint64_t)50000)
/* As tools/lab.d/cluster.sh configures the agents, and the coordinator's default. */
#define RESERVE_KIB ((uint64_t)64 * 1024)
#define INBOUND_MAX 2
#define CLUSTER_MAX 5

struct host {
	char name[16];
	ino_t netns;
	uint64_t capacity_kib;
	bool is_over, was_over;       /* O3, for two windows before it is told */
	bool is_crowded, was_crowded; /* O4 */
};

struct qemu {
	pid_t pid;
	size_t host;
	char uuid[40], name[64];
	uint64_t memory_kib;
	bool incoming;
	pid_t vcpus[VCPUS_MAX];
	size_t n_vcpus;
	uint64_t vcpu_ns;
	bool ran, ran_before, ever_ran;
	unsigned row; /* of windows in which it ran, none of them late */
	bool alive;
	bool told; /* O1, with any other */
};

static struct host hosts[HOSTS_MAX];
static size_t n_hosts;
static struct qemu qemus[QEMUS_MAX];
static size_t n_qemus;
static bool cluster_over, cluster_was_over;

/* The whole of a small file, with a NUL at its end; bytes read, or -1. */
static ssize_t read_file(const char *path, char *to, size_t bytes)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n;

	if (fd < 0)
		return -1;
	n = read(fd, to, bytes - 1);
	close(fd);
	if (n >= 0)
		to[n] = '\0';
	return n;
}

static void violation(const char *oracle, const char *text)
{
	struct timespec now;
	struct tm tm;
	char clock[32];

	clock_gettime(CLOCK_REALTIME, &now);
	gmtime_r(&now.tv_sec, &tm);
	strftime(clock, sizeof(clock), "%H:%M:%S", &tm);
	printf("%s %s.%03ld %s\n", oracle, clock, now.tv_nsec / 1000000, text);
	fflush(stdout);
}

/* --- the lab --- */

static bool find_hosts(const char *lab)
{
	char path[512], text[64];
	struct stat st;

	for (n_hosts = 0; n_hosts < HOSTS_MAX; n_hosts++) {
		struct host *h = &hosts[n_hosts];

		snprintf(h->name, sizeof(h->name), "host%zu", n_hosts + 1);
		snprintf(path, sizeof(path), "/run/netns/drover-%s-%s", lab, h->name);
		if (stat(path, &st) < 0)
			break;
		h->netns = st.st_ino;
		snprintf(path, sizeof(path), "/var/lib/drover-lab/%s/hosts/%s/capacity-kib", lab,
		         h->name);
		if (read_file(path, text, sizeof(text)) < 0)
			return false;
		h->capacity_kib = strtoull(text, NULL, 10);
	}
	return n_hosts > 0;
}

static bool find_host(pid_t pid, size_t *ret)
{
	char path[64];
	struct stat st;

	snprintf(path, sizeof(path), "/proc/%d/ns/net", (int)pid);
	if (stat(path, &st) < 0)
		return false;
	for (size_t i = 0; i < n_hosts; i++) {
		if (hosts[i].netns == st.st_ino) {
			*ret = i;
			return true;
		}
	}
	return false;
}

/* --- one QEMU --- */

/* "size=131072k" or, from older libvirts, MiB: "128". */
static uint64_t parse_memory_kib(const char *text)
{
	char *end;
	uint64_t n = strtoull(text + strcspn(text, "0123456789"), &end, 10);

	return *end == 'k' ? n : n * 1024;
}

/* "-name guest=web,...", "-uuid ...", "-m size=131072k", "-incoming defer" */
static bool read_command_line(struct qemu *q)
{
	static char text[65536];
	char path[64];
	ssize_t n;

	snprintf(path, sizeof(path), "/proc/%d/cmdline", (int)q->pid);
	n = read_file(path, text, sizeof(text));
	if (n <= 0)
		return false;
	for (const char *word = text, *next; word < text + n; word = next) {
		next = word + strlen(word) + 1;
		if (next >= text + n)
			break;
		if (strcmp(word, "-uuid") == 0)
			snprintf(q->uuid, sizeof(q->uuid), "%s", next);
		else if (strcmp(word, "-incoming") == 0)
			q->incoming = true;
		else if (strcmp(word, "-m") == 0)
			q->memory_kib = parse_memory_kib(next);
		else if (strcmp(word, "-name") == 0 && strncmp(next, "guest=", 6) == 0)
			snprintf(q->name, sizeof(q->name), "%.*s", (int)strcspn(next + 6, ","),
			         next + 6);
	}
	return q->uuid[0] && q->memory_kib;
}

/* Their threads are named "CPU 0/TCG" and the like. */
static void find_vcpus(struct qemu *q)
{
	char path[64], name[32];
	struct dirent *entry;
	DIR *dir;

	snprintf(path, sizeof(path), "/proc/%d/task", (int)q->pid);
	dir = opendir(path);
	if (!dir)
		return;
	q->n_vcpus = 0;
	while ((entry = readdir(dir)) && q->n_vcpus < VCPUS_MAX) {
		char file[384];

		snprintf(file, sizeof(file), "%s/%s/comm", path, entry->d_name);
		if (entry->d_name[0] != '.' && read_file(file, name, sizeof(name)) > 0 &&
		    (strncmp(name, "CPU ", 4) == 0 || strncmp(name, "ALL CPU", 7) == 0))
			q->vcpus[q->n_vcpus++] = (pid_t)atoi(entry->d_name);
	}
	closedir(dir);
}

static void measure(struct qemu *q)
{
	char path[96], text[96];
	uint64_t ns = 0;

	if (!q->n_vcpus)
		find_vcpus(q);
	for (size_t i = 0; i < q->n_vcpus; i++) {
		snprintf(path, sizeof(path), "/proc/%d/task/%d/schedstat", (int)q->pid,
		         (int)q->vcpus[i]);
		if (read_file(path, text, sizeof(text)) > 0)
			ns += strtoull(text, NULL, 10);
	}
	q->ran_before = q->ran;
	q->ran = q->vcpu_ns && ns > q->vcpu_ns + RAN_NS;
	/* One window may be a new thread's own beginning. */
	q->ever_ran |= q->ran && q->ran_before;
	q->vcpu_ns = ns;
}

static struct qemu *find_qemu(pid_t pid)
{
	for (size_t i = 0; i < n_qemus; i++) {
		if (qemus[i].pid == pid)
			return &qemus[i];
	}
	return NULL;
}

static void look_at(pid_t pid)
{
	struct qemu *known = find_qemu(pid), fresh = { .pid = pid };
	char path[64], comm[32];

	snprintf(path, sizeof(path), "/proc/%d/comm", (int)pid);
	if (read_file(path, comm, sizeof(comm)) <= 0 || strncmp(comm, "qemu-system", 11) != 0)
		return;
	if (!known) {
		/* libvirt's probes of what QEMU can do have no UUID. */
		if (n_qemus == QEMUS_MAX || !find_host(pid, &fresh.host) ||
		    !read_command_line(&fresh))
			return;
		known = &qemus[n_qemus++];
		*known = fresh;
	}
	known->alive = true;
	measure(known);
}

static void look_at_all(void)
{
	DIR *dir = opendir("/proc");
	struct dirent *entry;

	for (size_t i = 0; i < n_qemus; i++)
		qemus[i].alive = false;
	while (dir && (entry = readdir(dir))) {
		if (entry->d_name[0] >= '1' && entry->d_name[0] <= '9')
			look_at((pid_t)atoi(entry->d_name));
	}
	if (dir)
		closedir(dir);
	for (size_t i = 0; i < n_qemus;) {
		if (qemus[i].alive)
			i++;
		else
			qemus[i] = qemus[--n_qemus];
	}
}

/* --- what must never be --- */

static void judge_twice(bool late)
{
	char text[256];

	for (size_t i = 0; i < n_qemus; i++)
		qemus[i].row = qemus[i].ran && !late ? qemus[i].row + 1 : 0;
	for (size_t i = 0; i < n_qemus; i++) {
		for (size_t j = i + 1; j < n_qemus; j++) {
			struct qemu *a = &qemus[i], *b = &qemus[j];
			bool both = strcmp(a->uuid, b->uuid) == 0 && a->row >= ROW && b->row >= ROW;

			if (both && !(a->told && b->told)) {
				snprintf(text, sizeof(text),
				         "%s runs on %s (process %d) and on %s (process %d)",
				         a->name, hosts[a->host].name, (int)a->pid,
				         hosts[b->host].name, (int)b->pid);
				violation("O1", text);
				a->told = b->told = true;
			}
		}
	}
}

static void judge_hosts(void)
{
	char text[256];
	size_t on_their_way = 0;

	for (size_t h = 0; h < n_hosts; h++) {
		struct host *host = &hosts[h];
		uint64_t memory_kib = 0, room_kib = host->capacity_kib - RESERVE_KIB;
		size_t arriving = 0;
		bool over, crowded;

		for (size_t i = 0; i < n_qemus; i++) {
			if (qemus[i].host != h)
				continue;
			memory_kib += qemus[i].memory_kib;
			arriving += qemus[i].incoming && !qemus[i].ever_ran;
		}
		on_their_way += arriving;
		over = memory_kib > room_kib;
		crowded = arriving > INBOUND_MAX;
		/* A QEMU that ends is in /proc for a moment longer than for anybody else. */
		if (over && host->was_over && !host->is_over) {
			snprintf(text, sizeof(text),
			         "%s: QEMUs of %llu MiB on a host with %llu MiB for them",
			         host->name, (unsigned long long)memory_kib / 1024,
			         (unsigned long long)room_kib / 1024);
			violation("O3", text);
		}
		if (crowded && host->was_crowded && !host->is_crowded) {
			snprintf(text, sizeof(text),
			         "%s: %zu guests on their way here, at most %d may be", host->name,
			         arriving, INBOUND_MAX);
			violation("O4", text);
		}
		host->is_over = over && host->was_over;
		host->is_crowded = crowded && host->was_crowded;
		host->was_over = over;
		host->was_crowded = crowded;
	}
	if (on_their_way > CLUSTER_MAX && cluster_was_over && !cluster_over) {
		snprintf(text, sizeof(text), "%zu guests on their way, at most %d may be",
		         on_their_way, CLUSTER_MAX);
		violation("O4", text);
	}
	cluster_over = on_their_way > CLUSTER_MAX && cluster_was_over;
	cluster_was_over = on_their_way > CLUSTER_MAX;
}

static uint64_t now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

int main(int argc, char **argv)
{
	struct timespec window = { .tv_nsec = WINDOW_MS * 1000000L };
	struct itimerspec beat = { .it_interval = window, .it_value = window };
	int clock = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC);
	uint64_t beats, looked_ms = 0;
	char path[512];

	if (argc != 2 || strchr(argv[1], '/')) {
		fprintf(stderr, "usage: lab_oracles LAB\n");
		return 2;
	}
	if (!find_hosts(argv[1])) {
		fprintf(stderr, "lab_oracles: no lab \"%s\" is up: tools/lab up\n", argv[1]);
		return 1;
	}
	snprintf(path, sizeof(path), "/run/netns/drover-%s-host1", argv[1]);
	if (clock < 0 || timerfd_settime(clock, 0, &beat, NULL) < 0) {
		perror("lab_oracles: timerfd");
		return 1;
	}
	while (access(path, F_OK) == 0 && read(clock, &beats, sizeof(beats)) == sizeof(beats)) {
		uint64_t began_ms = now_ms();

		look_at_all();
		/* The most that can lie between two readings of the same QEMU. */
		judge_twice(now_ms() - looked_ms > LATE_MS);
		looked_ms = began_ms;
		judge_hosts();
	}
	return 0;
}
