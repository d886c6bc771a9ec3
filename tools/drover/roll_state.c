/* SPDX-License-Identifier: Apache-2.0 */
/* How far a rolling operation is, host by host: a label of each, "roll/1f0c2a3b=done".
 *
 * So it is in the coordinator's store, survives this command, its machine and the coordinator, can be
 * taken up from another machine, and is seen in "drover nodes -o wide". The key is made from what was
 * selected, so that the same words mean the same operation, also with a hook that was mended. */
#include "tools/drover/roll.h"

#include "common/alloc.h"
#include "common/crc32c.h"
#include "common/labels.h"
#include "tools/drover/coordinator.ask.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const stage_names[] = {
	[ROLL_NOT_BEGUN] = "",
	[ROLL_DRAINING] = "draining",
	[ROLL_BACK] = "back",
	[ROLL_DONE] = "done",
};

const char *roll_stage_name(enum roll_stage stage)
{
	return stage_names[stage];
}

static void name_roll(struct roll *roll, const struct word_list *words)
{
	const char *selector = roll->s->options->selector;
	uint32_t crc = 0;

	for (size_t i = 0; i < words->count; i++)
		crc = crc32c(crc, words->items[i], strlen(words->items[i]) + 1);
	if (selector)
		crc = crc32c(crc, selector, strlen(selector));
	snprintf(roll->label, sizeof(roll->label), "roll/%08x", crc);
}

static enum roll_stage read_stage(const struct roll *roll, const Drover__V1__Node *node)
{
	size_t key = strlen(roll->label);

	for (size_t i = 0; i < node->n_given_labels; i++) {
		const char *label = node->given_labels[i];

		if (strncmp(label, roll->label, key) != 0 || label[key] != '=')
			continue;
		for (enum roll_stage stage = ROLL_DRAINING; stage < ROLL_STAGES; stage++) {
			if (strcmp(label + key + 1, stage_names[stage]) == 0)
				return stage;
		}
	}
	return ROLL_NOT_BEGUN;
}

static bool is_named(struct roll *roll, const struct word_list *words, const char *name,
                     bool *found)
{
	bool named = words->count == 0;

	for (size_t i = 0; i < words->count; i++) {
		const char *word = session_name_of_kind(roll->s, "node", words->items[i]);

		if (word && strcmp(word, name) == 0)
			named = found[i] = true;
	}
	return named;
}

static int compare_hosts(const void *a, const void *b)
{
	const struct roll_host *left = a, *right = b;

	return strcmp(left->name, right->name);
}

enum exit_code roll_state_load(struct roll *roll, const struct word_list *words)
{
	Drover__V1__ListRequest request = DROVER__V1__LIST_REQUEST__INIT;
	bool found[WORDS_MAX] = { false };
	enum exit_code code;

	name_roll(roll, words);
	/* Names and labels together select what has both. */
	if (roll->s->options->selector)
		request.selector = (char *)roll->s->options->selector;
	code = session_ask_list_nodes(roll->s, "listing the nodes", &request, &roll->list);
	if (code != EXIT_DONE)
		return code;
	if (*roll->list->note)
		session_say(roll->s, "%s", roll->list->note);
	roll->hosts = xcalloc(roll->list->n_nodes + 1, sizeof(*roll->hosts));
	for (size_t i = 0; i < roll->list->n_nodes; i++) {
		const Drover__V1__Node *node = roll->list->nodes[i];

		if (!is_named(roll, words, node->name, found))
			continue;
		roll->hosts[roll->count].name = node->name;
		roll->hosts[roll->count].stage = read_stage(roll, node);
		roll->hosts[roll->count].begun = roll->hosts[roll->count].stage != ROLL_NOT_BEGUN;
		roll->count++;
	}
	for (size_t i = 0; i < words->count; i++) {
		if (!found[i]) {
			fprintf(roll->s->err.file, "drover: there is no such node%s: %s\n",
			        roll->s->options->selector ? " with these labels" : "",
			        words->items[i]);
			fprintf(roll->s->err.file, "  which there are   drover nodes -o wide\n");
			return EXIT_NOT_FOUND;
		}
	}
	if (!roll->count) {
		fprintf(roll->s->err.file, "drover: no node has these labels; which there are: "
		                           "drover nodes -o wide\n");
		return EXIT_NOT_FOUND;
	}
	qsort(roll->hosts, roll->count, sizeof(*roll->hosts), compare_hosts);
	return EXIT_DONE;
}

void roll_state_deinit(struct roll *roll)
{
	session_free_reply(&roll->list);
	for (size_t i = 0; i < roll->count; i++)
		free(roll->hosts[i].turn.refusal);
	free(roll->hosts);
}

static int change(struct roll *roll, const struct roll_host *host, enum roll_stage stage,
                  struct error *err)
{
	Drover__V1__LabelRequest request = DROVER__V1__LABEL_REQUEST__INIT;
	_cleanup_reply_ Drover__V1__NodeReply *reply = NULL;
	char label[LABEL_BYTES], *changes[] = { label };

	snprintf(label, sizeof(label), "%s%s%s", roll->label, stage == ROLL_NOT_BEGUN ? "-" : "=",
	         stage_names[stage]);
	request.node = (char *)host->name;
	request.changes = changes;
	request.n_changes = 1;
	return coordinator_ask_label(roll->s->client, &request, &reply, err);
}

enum exit_code roll_state_save(struct roll *roll, struct roll_host *host, enum roll_stage stage)
{
	struct error err = { 0 };

	if (change(roll, host, stage, &err) < 0)
		return client_is_interrupted(roll->s->client)
		               ? EXIT_INTERRUPTED
		               : session_fail(roll->s, "noting how far the rolling operation is",
		                              &err);
	host->stage = stage;
	return EXIT_DONE;
}

int roll_state_save_hook(struct roll *roll, struct roll_host *host, uint64_t patience_ms,
                         struct error *err)
{
	int rc;

	client_set_patience(roll->s->client, patience_ms);
	rc = change(roll, host, ROLL_BACK, err);
	client_set_patience(roll->s->client, 0);
	if (rc == 0)
		host->stage = ROLL_BACK;
	return rc;
}

enum exit_code roll_state_forget(struct roll *roll)
{
	enum exit_code worst = EXIT_DONE;

	for (size_t i = 0; i < roll->count; i++) {
		enum exit_code code = roll->hosts[i].stage == ROLL_NOT_BEGUN
		                              ? EXIT_DONE
		                              : roll_state_save(roll, &roll->hosts[i],
		                                                ROLL_NOT_BEGUN);

		if (code != EXIT_DONE)
			worst = code;
		roll->hosts[i].begun = false;
	}
	return worst;
}
