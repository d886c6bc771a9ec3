/* SPDX-License-Identifier: Apache-2.0 */
/* drover-simulate: a drain of a fleet from a file, without the cluster. See tools/simulate. */
#include "tools/simulator/world.h"

#include "common/alloc.h"
#include "common/cleanup.h"
#include "common/units.h"
#include "coordinator/core/plan/plan.h"
#include "proto/json.h"

#include <errno.h>
#include <getopt.h>
#include <stdlib.h>
#include <string.h>

#define DRAINS_MAX 4096
/* As many as a coordinator's limits/preparingMigrationsPerNode may say. */
#define PREPARING_MOST 4

static const char usage[] =
	"usage: drover-simulate --state FILE --drain NODE [--drain NODE ...]\n"
	"       drover-simulate --generate hosts=N,vms=N,seed=N[,fill=PERCENT][,link=RATE]\n"
	"                       [,kinds=PERCENT][,policies=PERCENT]\n"
	"\n"
	"FILE is a document of drover export, \"-\" is standard input. Nodes that are being "
	"drained in\n"
	"it are drained on, besides those that are named.\n"
	"\n"
	"  --seed N           of what is drawn by chance (default 1)\n"
	"  --fail N           of 1000 attempts, N break\n"
	"  --refuse N         of 1000 admissions, N are refused though there is room\n"
	"  --dirty RATE       how fast guests write of which nobody knows it, as 20MiB/s (default "
	"0)\n"
	"  --link RATE        every node's link, as 25Gbit/s (default: as in the file, else 1 "
	"Gbit/s)\n"
	"  --rates HOW        production (default): limits of the coordinator and its lanes are "
	"kept; "
	"fair:\n"
	"                     every migration has an equal share\n"
	"  --cluster N, --outbound N, --inbound N   migrations at a time, instead of those in the "
	"file\n"
	"  --preparing N      prepared ahead of their slot, of one node; 0 = none (default: as in "
	"the file)\n"
	"  --prepare DUR      what can be done ahead takes so long: admission, tunnel (default: "
	"150ms)\n"
	"  --until DUR        simulate no more than this (default: a week)\n"
	"  --trace FILE       each event as a line of JSON; \"-\" is standard output\n"
	"  -o json            figures and guests as JSON\n"
	"\n"
	"--generate draws guests of 2 to 64 GiB (35, 25, 20, 12, 6, 2 of 100), three of four quiet "
	"(up to\n"
	"5 MB/s written, the others up to 200 MB/s); kinds=20: so many of 100 guests are special, "
	"two of\n"
	"five each by machine type pc-q35-8.2 (60 of 100 nodes have it) and by bridge br1 (50 of "
	"100), one of\n"
	"five sees its node's CPU (70 and 30 of 100 nodes are alike); nodes have labels rack=rN, "
	"eight to a\n"
	"rack, and disk=ssd (50 of 100) or disk=hdd; policies=10: so many of 100 guests are in "
	"one, half of\n"
	"them apart (2 to 4 guests), a quarter together (2), a quarter on disk=ssd; one of two is "
	"soft. Hard\n"
	"ones hold in the beginning. kinds=0,policies=0: all nodes are alike.\n"
	"\n"
	"Policies of the file are kept by the core, and judged on the simulated nodes after each "
	"event; how\n"
	"many hold is among the figures. Migrations of one node go shortest first where the file's "
	"limits/lanes\n"
	"say so, as its agent would let them.\n"
	"\n"
	"The status is 0 if every node was emptied, 4 if not, 1 or 2 if the file or a word is "
	"wrong, 5 if\na hard policy was broken, which is a mistake of drover's.\n";

struct arguments {
	struct world_options options;
	const char *state, *generate, *trace;
	const char *drains[DRAINS_MAX];
	size_t n_drains;
	bool json;
};

enum {
	ARG_STATE = 256,
	ARG_GENERATE,
	ARG_DRAIN,
	ARG_SEED,
	ARG_FAIL,
	ARG_REFUSE,
	ARG_DIRTY,
	ARG_LINK,
	ARG_RATES,
	ARG_CLUSTER,
	ARG_OUTBOUND,
	ARG_INBOUND,
	ARG_PREPARING,
	ARG_PREPARE,
	ARG_UNTIL,
	ARG_TRACE,
};

static const struct option long_options[] = {
	{ "state", required_argument, NULL, ARG_STATE },
	{ "generate", required_argument, NULL, ARG_GENERATE },
	{ "drain", required_argument, NULL, ARG_DRAIN },
	{ "seed", required_argument, NULL, ARG_SEED },
	{ "fail", required_argument, NULL, ARG_FAIL },
	{ "refuse", required_argument, NULL, ARG_REFUSE },
	{ "dirty", required_argument, NULL, ARG_DIRTY },
	{ "link", required_argument, NULL, ARG_LINK },
	{ "rates", required_argument, NULL, ARG_RATES },
	{ "cluster", required_argument, NULL, ARG_CLUSTER },
	{ "outbound", required_argument, NULL, ARG_OUTBOUND },
	{ "inbound", required_argument, NULL, ARG_INBOUND },
	{ "preparing", required_argument, NULL, ARG_PREPARING },
	{ "prepare", required_argument, NULL, ARG_PREPARE },
	{ "until", required_argument, NULL, ARG_UNTIL },
	{ "trace", required_argument, NULL, ARG_TRACE },
	{ "output", required_argument, NULL, 'o' },
	{ "help", no_argument, NULL, 'h' },
	{ 0 },
};

static int read_number(const char *name, const char *text, uint64_t least, uint64_t most,
                       uint64_t *ret, struct error *err)
{
	char *end;
	unsigned long long n;

	errno = 0;
	n = strtoull(text, &end, 10);
	if (*text < '0' || *text > '9' || *end || errno || n < least || n > most)
		return error_set(err, ERROR_INVALID,
		                 "--%s must be a whole number from %llu to %llu, and is \"%.40s\"",
		                 name, (unsigned long long)least, (unsigned long long)most, text);
	*ret = n;
	return 0;
}

static int read_small(const char *name, const char *text, uint64_t least, uint64_t most,
                      uint32_t *ret, struct error *err)
{
	uint64_t n = 0;
	int rc = read_number(name, text, least, most, &n, err);

	if (rc == 0)
		*ret = (uint32_t)n;
	return rc;
}

static int read_rates(const char *text, bool *ret_fair, struct error *err)
{
	*ret_fair = strcmp(text, "fair") == 0;
	if (*ret_fair || strcmp(text, "production") == 0)
		return 0;
	return error_set(err, ERROR_INVALID, "--rates is fair or production, not \"%.40s\"", text);
}

static int take(struct arguments *a, int id, const char *text, struct error *err)
{
	struct world_options *o = &a->options;

	switch (id) {
	case ARG_STATE:
		a->state = text;
		return 0;
	case ARG_GENERATE:
		a->generate = text;
		return 0;
	case ARG_TRACE:
		a->trace = text;
		return 0;
	case ARG_DRAIN:
		if (a->n_drains == DRAINS_MAX)
			return error_set(err, ERROR_TOO_LARGE, "more than %d drains", DRAINS_MAX);
		a->drains[a->n_drains++] = text;
		return 0;
	case ARG_SEED:
		return read_number("seed", text, 0, UINT64_MAX, &o->seed, err);
	case ARG_FAIL:
		return read_small("fail", text, 0, 1000, &o->fail_per_mille, err);
	case ARG_REFUSE:
		return read_small("refuse", text, 0, 1000, &o->refuse_per_mille, err);
	case ARG_DIRTY:
		return units_parse_rate(text, &o->dirty_bytes_per_s, err) < 0
		               ? error_context(err, "--dirty")
		               : 0;
	case ARG_LINK:
		return units_parse_rate(text, &o->link_bytes_per_s, err) < 0
		               ? error_context(err, "--link")
		               : 0;
	case ARG_RATES:
		return read_rates(text, &o->fair, err);
	case ARG_CLUSTER:
		return read_small("cluster", text, 1, 100000, &o->caps.cluster, err);
	case ARG_OUTBOUND:
		return read_small("outbound", text, 1, 1000, &o->caps.outbound, err);
	case ARG_INBOUND:
		return read_small("inbound", text, 1, 1000, &o->caps.inbound, err);
	case ARG_PREPARING:
		o->preparing_given = true;
		return read_small("preparing", text, 0, PREPARING_MOST, &o->caps.preparing, err);
	case ARG_PREPARE:
		return units_parse_duration(text, &o->prepare_ms, err) < 0
		               ? error_context(err, "--prepare")
		               : 0;
	case ARG_UNTIL:
		return units_parse_duration(text, &o->most_ms, err) < 0
		               ? error_context(err, "--until")
		               : 0;
	default:
		a->json = strcmp(text, "json") == 0;
		return a->json ? 0
		               : error_set(err, ERROR_INVALID, "-o takes json, not \"%.40s\"",
		                           text);
	}
}

static int read_arguments(int argc, char **argv, struct arguments *a, struct error *err)
{
	int id;

	while ((id = getopt_long(argc, argv, "o:h", long_options, NULL)) >= 0) {
		if (id == 'h') {
			fputs(usage, stdout);
			exit(0);
		}
		if (id == '?')
			return error_set(err, ERROR_INVALID, "see drover-simulate --help");
		if (take(a, id, optarg, err) < 0)
			return -(int)err->code;
	}
	if (optind < argc)
		return error_set(err, ERROR_INVALID, "\"%.40s\" is one word too many",
		                 argv[optind]);
	if (!a->state == !a->generate)
		return error_set(err, ERROR_INVALID, "either --state FILE or --generate WHAT");
	if (a->trace && a->json && strcmp(a->trace, "-") == 0)
		return error_set(err, ERROR_INVALID,
		                 "--trace - and -o json would both write to standard output");
	return 0;
}

static void free_message(void *message)
{
	protobuf_c_message_free_unpacked(message, NULL);
}

static int make_document(const char *what, struct error *err)
{
	Drover__V1__FleetState *state;
	int rc = generate(what, &state, err);

	if (rc < 0)
		return rc;
	json_write(stdout, &state->base, false);
	putchar('\n');
	free_message(state);
	return fflush(stdout) == 0 ? 0 : error_set(err, ERROR_SYSTEM, "writing failed");
}

/* Those that are being drained in the document go on. */
static int add_running(struct arguments *a, const Drover__V1__FleetState *state, struct error *err)
{
	for (size_t i = 0; i < state->n_nodes; i++) {
		if (strcmp(state->nodes[i]->state, "draining") == 0 &&
		    take(a, ARG_DRAIN, state->nodes[i]->name, err) < 0)
			return -(int)err->code;
	}
	if (a->n_drains == 0)
		return error_set(err, ERROR_INVALID,
		                 "no node is being drained in the file: say --drain NODE");
	for (size_t i = 0; i < a->n_drains; i++) {
		for (size_t k = 0; k < i; k++) {
			if (strcmp(a->drains[i], a->drains[k]) == 0) {
				a->drains[i--] = a->drains[--a->n_drains];
				break;
			}
		}
	}
	return 0;
}

static void show(const struct arguments *a, const struct world *w, char *const *notes,
                 size_t n_notes, int *ret_status)
{
	Drover__V1__Simulation *m = figures_new(w, notes, n_notes);

	*ret_status = w->broken[0] ? 5 : strcmp(m->outcome, "completed") == 0 && !m->left ? 0 : 4;
	if (a->json) {
		json_write(stdout, &m->base, true);
		putchar('\n');
	} else {
		figures_print(a->trace && strcmp(a->trace, "-") == 0 ? stderr : stdout, m);
	}
	free_message(m);
}

static int simulate(struct arguments *a, int *ret_status, struct error *err)
{
	Drover__V1__FleetState *state;
	char **notes = NULL;
	size_t n_notes = 0;
	struct world w;
	int rc = state_read(a->state, &state, err);

	if (rc < 0)
		return rc;
	world_init(&w, &a->options);
	rc = add_running(a, state, err);
	if (rc == 0)
		rc = world_build(&w, state, &notes, &n_notes, err);
	if (rc == 0)
		rc = world_run(&w, a->drains, a->n_drains, err);
	if (rc == 0)
		show(a, &w, notes, n_notes, ret_status);
	world_deinit(&w);
	free_message(state);
	for (size_t i = 0; i < n_notes; i++)
		free(notes[i]);
	free(notes);
	return rc;
}

int main(int argc, char **argv)
{
	struct arguments a = { .options = { .seed = 1, .prepare_ms = PLAN_PREPARE_MS } };
	struct error err = { 0 };
	int status = 0;
	int rc = read_arguments(argc, argv, &a, &err);

	if (rc < 0) {
		fprintf(stderr, "drover-simulate: %s\n", err.text);
		return 2;
	}
	if (a.trace)
		a.options.trace = strcmp(a.trace, "-") == 0 ? stdout : fopen(a.trace, "we");
	if (a.trace && !a.options.trace) {
		fprintf(stderr, "drover-simulate: %s: %s\n", a.trace, strerror(errno));
		return 1;
	}
	rc = a.generate ? make_document(a.generate, &err) : simulate(&a, &status, &err);
	if (a.options.trace && fflush(a.options.trace) != 0)
		rc = error_set(&err, ERROR_SYSTEM, "%.200s: %s", a.trace, strerror(errno));
	if (a.options.trace && a.options.trace != stdout)
		fclose(a.options.trace);
	if (rc < 0) {
		fprintf(stderr, "drover-simulate: %s\n", err.text);
		return 1;
	}
	return status;
}
