/* SPDX-License-Identifier: Apache-2.0 */
/* "drover __complete KIND": names for the shell, one a line, quickly or not at all.
 *
 * bash expands the words that it is offered: a guest that is called $(reboot) would be run. So only
 * names of harmless characters are offered; the others have to be typed.
 */
#include "tools/drover/commands.h"

#include "proto/coordinator.pb-c.h"
#include "tools/drover/session.h"

#include <string.h>

#define HARMLESS "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-.@+:"

static void offer(const char *prefix, const char *name)
{
	if (*name && name[0] != '-' && strspn(name, HARMLESS) == strlen(name))
		printf("%s%s\n", prefix, name);
}

static ProtobufCMessage *list(struct session *s, const char *method, bool active)
{
	Drover__V1__ListRequest request = DROVER__V1__LIST_REQUEST__INIT;
	ProtobufCMessage *reply = NULL;

	request.active_only = active;
	(void)client_call(s->client, method, &request.base, &reply, NULL);
	return reply;
}

static void offer_nodes(struct session *s, const char *prefix)
{
	_cleanup_reply_ ProtobufCMessage *reply = list(s, "ListNodes", false);
	const Drover__V1__NodeList *nodes = (const Drover__V1__NodeList *)reply;

	for (size_t i = 0; nodes && i < nodes->n_nodes; i++)
		offer(prefix, nodes->nodes[i]->name);
}

static void offer_vms(struct session *s, const char *prefix)
{
	_cleanup_reply_ ProtobufCMessage *reply = list(s, "ListVms", false);
	const Drover__V1__VmList *vms = (const Drover__V1__VmList *)reply;

	for (size_t i = 0; vms && i < vms->n_vms; i++)
		offer(prefix, vms->vms[i]->name);
}

static void offer_migrations(struct session *s, bool active)
{
	_cleanup_reply_ ProtobufCMessage *reply = list(s, "ListMigrations", active);
	const Drover__V1__MigrationList *migrations = (const Drover__V1__MigrationList *)reply;

	for (size_t i = 0; migrations && i < migrations->n_migrations; i++)
		printf("migration/%llu\n", (unsigned long long)migrations->migrations[i]->number);
}

static void offer_drains(struct session *s, bool active)
{
	_cleanup_reply_ ProtobufCMessage *reply = list(s, "ListDrains", active);
	const Drover__V1__DrainList *drains = (const Drover__V1__DrainList *)reply;

	for (size_t i = 0; drains && i < drains->n_drains; i++)
		printf("drain/%llu\n", (unsigned long long)drains->drains[i]->number);
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
	session_close(&s);
	return EXIT_DONE;
}
