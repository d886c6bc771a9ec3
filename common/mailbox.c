/* SPDX-License-Identifier: Apache-2.0 */
/* See mailbox.h. The lock guards the two list pointers and is held for a few loads only; it is the
 * one lock that couriers and the owner share. */
#include "common/mailbox.h"

#include "common/alloc.h"

#include <assert.h>
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

struct mailbox {
	int event_fd;
	pthread_mutex_t lock;
	struct message *first, **last; /* under lock */
};

struct mailbox *mailbox_new(void)
{
	struct mailbox *box = xnew(struct mailbox);

	box->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	assert(box->event_fd >= 0);
	pthread_mutex_init(&box->lock, NULL);
	box->last = &box->first;
	return box;
}

static struct message *take_all(struct mailbox *box)
{
	struct message *first;
	uint64_t posted;

	/* Empty the eventfd before the list: a ring in between wakes us once too often, which is
	 * harmless. The other order could lose a wakeup. */
	(void)!read(box->event_fd, &posted, sizeof(posted));

	pthread_mutex_lock(&box->lock);
	first = box->first;
	box->first = NULL;
	box->last = &box->first;
	pthread_mutex_unlock(&box->lock);
	return first;
}

void mailbox_free(struct mailbox *box)
{
	if (!box)
		return;
	for (struct message *m = take_all(box), *next; m; m = next) {
		next = m->next;
		if (m->drop)
			m->drop(m);
		else
			free(m);
	}
	close(box->event_fd);
	pthread_mutex_destroy(&box->lock);
	free(box);
}

void mailbox_post(struct mailbox *box, struct message *m)
{
	static const uint64_t one = 1;

	assert(m->run);
	m->next = NULL;
	pthread_mutex_lock(&box->lock);
	/* Who comes to a box that is not empty need not ring: somebody has, and the owner has not
	 * looked yet. Inside the lock: the owner may free the box once it has run the last message,
	 * and must not be able to do so between the list and the eventfd. */
	if (!box->first)
		(void)!write(box->event_fd, &one, sizeof(one));
	*box->last = m;
	box->last = &m->next;
	pthread_mutex_unlock(&box->lock);
}

size_t mailbox_run(struct mailbox *box)
{
	size_t count = 0;

	for (struct message *m = take_all(box), *next; m; m = next, count++) {
		next = m->next;
		m->run(m);
	}
	return count;
}

bool mailbox_is_empty(struct mailbox *box)
{
	bool empty;

	pthread_mutex_lock(&box->lock);
	empty = !box->first;
	pthread_mutex_unlock(&box->lock);
	return empty;
}

int mailbox_get_fd(const struct mailbox *box)
{
	return box->event_fd;
}
