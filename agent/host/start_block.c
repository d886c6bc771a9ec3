/* SPDX-License-Identifier: Apache-2.0 */
/* The file that libvirt's qemu hook (tools/hook/drover-qemu-hook) looks at before a guest starts.
 *
 *	RUN_DIR/no-starts    is there only while this host is drained or in maintenance by a drain
 *	    host host1
 *	    why  it is being drained: new memory
 *	    may  build7            allowed to stay, or admitted before and on its way in
 *
 * A file and no question to the agent: the hook runs inside libvirtd, under the guest's lock, and must
 * neither wait nor depend on anybody. It is written before the count that may call the host empty. An
 * agent that was killed leaves the file, since the drain goes on and the next agent keeps it right; one
 * that is stopped removes it, since without drover nothing may keep a guest from starting. It is on a
 * tmpfs: writing it takes no disk, so the owner does it itself. */
#include "agent/host/start_block.h"

#include "common/alloc.h"
#include "common/log.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char *file_path(const struct agent *agent, const char *suffix)
{
	return xasprintf("%s/no-starts%s", agent->settings->run_dir, suffix);
}

/* One line each, whatever the operator wrote. */
static void put_line(FILE *to, const char *word, const char *text)
{
	fprintf(to, "%s ", word);
	for (; *text; text++)
		fputc((unsigned char)*text < ' ' ? ' ' : *text, to);
	fputc('\n', to);
}

static char *wanted_text(const struct agent *agent)
{
	const struct journal_drain_mark *mark = &agent->drain_mark;
	const struct reservation *all;
	char *text = NULL, *why;
	size_t bytes, count;
	FILE *to;

	if (!mark->draining && !mark->maintenance)
		return NULL;
	to = open_memstream(&text, &bytes);
	if (!to)
		abort(); /* out of memory */
	why = xasprintf("it is %s%s%s",
	                mark->draining ? "being drained" : "in maintenance, emptied by a drain",
	                mark->reason[0] ? ": " : "", mark->reason);
	put_line(to, "host", agent->settings->node);
	put_line(to, "why", why);
	free(why);
	for (size_t i = 0; i < mark->n_leave; i++)
		put_line(to, "may", mark->leave[i]);
	all = reservations_get_all(agent->reservations, &count);
	for (size_t i = 0; i < count; i++)
		put_line(to, "may", all[i].vm_name);
	fclose(to);
	return text;
}

static int replace_file(const struct agent *agent, const char *text, struct error *err)
{
	char *path = file_path(agent, ""), *fresh = file_path(agent, ".new");
	FILE *file = fopen(fresh, "we");
	int rc = 0;

	if (!file || fputs(text, file) < 0)
		rc = error_set_errno(err, ERROR_SYSTEM, errno, "writing %s", fresh);
	if (file && fclose(file) < 0 && rc == 0)
		rc = error_set_errno(err, ERROR_SYSTEM, errno, "writing %s", fresh);
	if (rc == 0 && rename(fresh, path) < 0)
		rc = error_set_errno(err, ERROR_SYSTEM, errno, "renaming %s", fresh);
	free(path);
	free(fresh);
	return rc;
}

static int remove_file(const struct agent *agent, struct error *err)
{
	char *path = file_path(agent, "");
	int rc = 0;

	if (unlink(path) < 0 && errno != ENOENT)
		rc = error_set_errno(err, ERROR_SYSTEM, errno, "removing %s", path);
	free(path);
	return rc;
}

void start_block_update(struct agent *agent)
{
	char *wanted = wanted_text(agent);
	struct error err;
	int rc;

	if (agent->start_block_known && !wanted == !agent->start_block &&
	    (!wanted || strcmp(wanted, agent->start_block) == 0)) {
		free(wanted);
		return;
	}
	rc = wanted ? replace_file(agent, wanted, &err) : remove_file(agent, &err);
	if (rc < 0) {
		/* Tried again in a second; a guest that starts meanwhile is seen in the inventory. */
		if (!agent->start_block_failed)
			log_error("starts of guests are not as they should be: %s", err.text);
		agent->start_block_failed = true;
		free(wanted);
		return;
	}
	free(agent->start_block);
	agent->start_block = wanted;
	agent->start_block_known = true;
	agent->start_block_failed = false;
}

void start_block_stop(struct agent *agent)
{
	struct error err;

	if (agent->start_block_known && remove_file(agent, &err) < 0)
		log_warning("%s", err.text);
	free(agent->start_block);
	agent->start_block = NULL;
	agent->start_block_known = false;
}
