/* SPDX-License-Identifier: Apache-2.0 */
/* "drover __complete KIND": names for the shell, one a line, quickly or not at all.
 *
 * bash expands the words that it is offered: a guest that is called $(reboot) would be run. So only
 * names of harmless characters are offered; the others have to be typed.
 */
#include "tools/drover/commands.h"

#include "proto/coordinator.pb-c.h"
#include "tools/drover/coordinator.ask.h"
#include "tools/drover/session.h"

#include <string.h>

#define HARMLESS "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-.@+:"

static void offer(const char *prefix, const char *name)
{
	if (*name && name[0] != '-' && strspn(name, HARMLESS) == strlen(name))
		printf("%s%s\n", prefix, name);
}

static void offer_nodes(struct session *s, const char *prefix)
{
	Drover__V1__ListRequest request = DROVER__V1__LIST_REQUEST__INIT;
	_cleanup_reply_ Drover__V1__NodeList *nodes = NULL;

	(void)coordinator_ask_list_nodes(s->client, &request, &nodes, NULL);
	for (size_t i = 0; nodes && i < nodes->n_nodes; i++)
		offer(prefix, nodes->nodes[i]->name);
}

static void offer_vms(struct session *s, const char *prefix)
{
	Drover__V1__ListRequest request = DROVER__V1__LIST_REQUEST__INIT;
	_cleanup_reply_ Drover__V1__VmList *vms = NULL;

	(void)coordinator_ask_list_vms(s->client, &request, &vms, NULL);
	for (size_t i = 0; vms && i < vms->n_vms; i++)
		offer(prefix, vms->vms[i]->name);
}

static void offer_migrations(struct session *s, bool active)
{
	Drover__V1__ListRequest request = DROVER__V1__LIST_REQUEST__INIT;
	_cleanup_reply_ Drover__V1__MigrationList *migrations = NULL;

	request.active_only = active;
	(void)coordinator_ask_list_migrations(s->client, &request, &migrations, NULL);
	for (size_t i = 0; migrations && i < migrations->n_migrations; i++)
		printf("migration/%llu\n", (unsigned long long)migrations->migrations[i]->number);
}

static void offer_drains(struct session *s, bool active)
{
	Drover__V1__ListRequest request = DROVER__V1__LIST_REQUEST__INIT;
	_cleanup_reply_ Drover__V1__DrainList *drains = NULL;

	request.active_only = active;
	(void)coordinator_ask_list_drains(s->client, &request, &drains, NULL);
	for (size_t i = 0; drains && i < drains->n_drains; i++)
		printf("drain/%llu\n", (unsigned long long)drains->drains[i]->number);
}

static void offer_policies(struct session *s, const char *prefix)
{
	Drover__V1__PoliciesRequest request = DROVER__V1__POLICIES_REQUEST__INIT;
	_cleanup_reply_ Drover__V1__PolicyList *list = NULL;

	(void)coordinator_ask_list_policies(s->client, &request, &list, NULL);
	for (size_t i = 0; list && i < list->n_policies; i++)
		offer(prefix, list->policies[i]->name);
}

enum exit_code complete_run(const struct invocation *invocation)
{
	const char *kind = invocation->words.items[0];
	bool any = strcmp(kind, "any") == 0, cancel = strcmp(kind, "cancel") == 0;
	bool active = cancel || strcmp(kind, "watch") == 0;
	struct session s;

	/* Silent whatever happens: the user is in the middle of typing. */
	session_init(&s, invocation);
	if (client_open(s.options, MESH_ROLE_COORDINATOR, &s.client, NULL) < 0)
		return EXIT_UNREACHABLE;
	if (any || strcmp(kind, "nodes") == 0)
		offer_nodes(&s, any ? "node/" : "");
	if (any || cancel || strcmp(kind, "vms") == 0)
		offer_vms(&s, any || cancel ? "vm/" : "");
	if (any || active || strcmp(kind, "migrations") == 0)
		offer_migrations(&s, active);
	if (any || active || strcmp(kind, "drains") == 0)
		offer_drains(&s, active);
	if (any || strcmp(kind, "policies") == 0)
		offer_policies(&s, any ? "policy/" : "");
	session_close(&s);
	return EXIT_DONE;
}
