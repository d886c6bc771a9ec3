/* SPDX-License-Identifier: Apache-2.0 */
/* Guests of a rolling operation that are shut down on their host's turn, because --shutdown names them.
 *
 * Each is found once, by its uuid, before anything is begun: of one name there must be one guest, on all of
 * the hosts, since who is stopped is nobody's guess. On a host's turn those are named to its drain that are
 * there then; one that somebody has moved to a host that is done needs not be stopped any more. */
#include "tools/drover/roll.h"

#include "common/alloc.h"
#include "common/cleanup.h"
#include "tools/drover/coordinator.ask.h"
#include "tools/drover/text.h"

#include <stdlib.h>
#include <string.h>

static enum exit_code list_guests(struct roll *roll, Drover__V1__VmList **ret_list)
{
	Drover__V1__ListRequest request = DROVER__V1__LIST_REQUEST__INIT;

	return session_ask_list_vms(roll->s, "listing the guests", &request, ret_list);
}

/* It runs there, or is off and defined there. */
static bool is_on(const Drover__V1__Vm *vm, const char *node)
{
	if (*vm->node)
		return strcmp(vm->node, node) == 0;
	for (size_t i = 0; i < vm->n_seen_on; i++) {
		if (strcmp(vm->seen_on[i], node) == 0)
			return true;
	}
	return false;
}

static const struct roll_host *find_host(const struct roll *roll, const Drover__V1__Vm *vm)
{
	for (size_t i = 0; i < roll->count; i++) {
		if (is_on(vm, roll->hosts[i].name))
			return &roll->hosts[i];
	}
	return NULL;
}

static enum exit_code say_not_there(struct roll *roll, const char *name,
                                    const Drover__V1__Vm *elsewhere)
{
	_cleanup_free_ char *shown = text_escape(name, roll->s->err.ascii);
	_cleanup_free_ char *node = elsewhere && *elsewhere->node
	                                    ? text_escape(elsewhere->node, roll->s->err.ascii)
	                                    : NULL;

	fprintf(roll->s->err.file,
	        "drover: none of these nodes has a guest %s to shut down%s%s; which there are: "
	        "drover vms\n",
	        shown, node ? "; it is on " : "", node ? node : "");
	return EXIT_NOT_FOUND;
}

static enum exit_code find_guest(struct roll *roll, const Drover__V1__VmList *list,
                                 const char *word, char **ret_uuid)
{
	const char *name = session_name_of_kind(roll->s, "vm", word);
	const Drover__V1__Vm *found = NULL, *elsewhere = NULL;

	if (!name)
		return EXIT_USAGE;
	for (size_t i = 0; i < list->n_vms; i++) {
		const Drover__V1__Vm *vm = list->vms[i];

		if (strcmp(vm->name, name) != 0 && strcmp(vm->uuid, name) != 0)
			continue;
		if (!find_host(roll, vm)) {
			elsewhere = vm;
			continue;
		}
		if (found) {
			_cleanup_free_ char *shown = text_escape(name, roll->s->err.ascii);

			fprintf(roll->s->err.file,
			        "drover: %s and %s each have a guest %s; which one is to be shut "
			        "down? name its uuid: drover vms -o wide\n",
			        find_host(roll, found)->name, find_host(roll, vm)->name, shown);
			return EXIT_REFUSED;
		}
		found = vm;
	}
	if (!found)
		return say_not_there(roll, name, elsewhere);
	*ret_uuid = xstrdup(found->uuid);
	return EXIT_DONE;
}

enum exit_code roll_guests_load(struct roll *roll)
{
	const struct word_list *words = &roll->s->options->shut_down;
	_cleanup_reply_ Drover__V1__VmList *list = NULL;
	enum exit_code code = words->count ? list_guests(roll, &list) : EXIT_DONE;

	for (size_t i = 0; i < words->count && code == EXIT_DONE; i++)
		code = find_guest(roll, list, words->items[i], &roll->shut_down[i]);
	return code;
}

void roll_guests_deinit(struct roll *roll)
{
	for (size_t i = 0; i < WORDS_MAX; i++)
		free(roll->shut_down[i]);
}

static const Drover__V1__Vm *find_uuid(const Drover__V1__VmList *list, const char *uuid)
{
	for (size_t i = 0; i < list->n_vms; i++) {
		if (strcmp(list->vms[i]->uuid, uuid) == 0)
			return list->vms[i];
	}
	return NULL;
}

static bool is_on_any(const Drover__V1__Vm *vm, struct roll_host **group, size_t count)
{
	for (size_t i = 0; vm && i < count; i++) {
		if (is_on(vm, group[i]->name))
			return true;
	}
	return false;
}

enum exit_code roll_guests_pick(struct roll *roll, struct roll_host **group, size_t count,
                                char **ret, size_t *ret_n)
{
	size_t named = roll->s->options->shut_down.count, n = 0;
	_cleanup_reply_ Drover__V1__VmList *list = NULL;
	enum exit_code code = named ? list_guests(roll, &list) : EXIT_DONE;

	for (size_t i = 0; i < named && code == EXIT_DONE; i++) {
		if (is_on_any(find_uuid(list, roll->shut_down[i]), group, count))
			ret[n++] = roll->shut_down[i];
	}
	*ret_n = n;
	return code;
}

/* The coordinator's word, host by host: what it says besides, of room, is for the host's turn. */
enum exit_code roll_guests_check(struct roll *roll)
{
	size_t named = roll->s->options->shut_down.count;
	_cleanup_reply_ Drover__V1__VmList *list = NULL;
	enum exit_code code = named ? list_guests(roll, &list) : EXIT_DONE;

	for (size_t i = 0; named && i < roll->count && code == EXIT_DONE; i++) {
		struct roll_host *host = &roll->hosts[i];
		_cleanup_reply_ Drover__V1__DrainReply *reply = NULL;
		bool concerned = false;

		for (size_t n = 0; n < named; n++)
			concerned |= is_on_any(find_uuid(list, roll->shut_down[n]), &host, 1);
		if (concerned && host->stage == ROLL_NOT_BEGUN)
			code = roll_ask_drain(roll, &host, 1, true, &reply);
	}
	return code;
}

static bool shuts_down(const Drover__V1__DrainList *list, const char *uuid)
{
	for (size_t i = 0; i < list->n_drains; i++) {
		const Drover__V1__Drain *d = list->drains[i];

		for (size_t v = 0; v < d->n_vms; v++) {
			if (*d->vms[v]->power && strcmp(d->vms[v]->uuid, uuid) == 0)
				return true;
		}
	}
	return false;
}

enum exit_code roll_guests_check_drains(struct roll *roll, struct roll_host **group, size_t count)
{
	Drover__V1__ListRequest request = DROVER__V1__LIST_REQUEST__INIT;
	const struct word_list *words = &roll->s->options->shut_down;
	_cleanup_reply_ Drover__V1__DrainList *drains = NULL;
	_cleanup_reply_ Drover__V1__VmList *list = NULL;
	enum exit_code code = words->count ? list_guests(roll, &list) : EXIT_DONE;

	request.active_only = true;
	if (words->count && code == EXIT_DONE)
		code = session_ask_list_drains(roll->s, "listing the drains", &request, &drains);
	if (code != EXIT_DONE)
		roll->failed_node = group[0]->name;
	for (size_t i = 0; i < words->count && code == EXIT_DONE; i++) {
		const Drover__V1__Vm *vm = find_uuid(list, roll->shut_down[i]);

		/* Who is off already needs not be shut down. */
		if (!is_on_any(vm, group, count) || !*vm->node ||
		    shuts_down(drains, roll->shut_down[i]))
			continue;
		roll_tell(roll, vm->node, "refused",
		          "is being drained already, and %s was not named then. To have it shut "
		          "down: end that drain (drover drains --node %s; drover cancel drain/N), "
		          "and the same command once more",
		          words->items[i], vm->node);
		roll->failed_node = group[0]->name;
		code = EXIT_REFUSED;
	}
	return code;
}
