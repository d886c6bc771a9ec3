/* SPDX-License-Identifier: Apache-2.0 */
/* The way to an owner.
 *
 *	courier threads                      owner
 *	  mailbox_post(box, &m->message) -->  mailbox_run(box): m->run(m), in the order posted
 *
 * Any thread may post; only the owner runs. A posted message belongs to the owner: the poster keeps
 * no pointer to it. Posting never blocks for longer than a few loads, so it is safe in callbacks of
 * libraries that must not be held up. The eventfd is readable while the box is not empty, so a
 * mailbox sits in an epoll set like a socket.
 *
 * A message embeds struct message first and says what running it means:
 *
 *	struct vm_changed { struct message message; struct vm vm; };
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

struct message {
	struct message *next;
	void (*run)(struct message *m);  /* the owner; frees @m */
	void (*drop)(struct message *m); /* frees @m unrun, when the box is closed; NULL: free() */
};

struct mailbox;

struct mailbox *mailbox_new(void);

/* Drops what is left. No thread may post any more: join the couriers first. */
void mailbox_free(struct mailbox *box);

/* Takes ownership of @m. */
void mailbox_post(struct mailbox *box, struct message *m);

/* Owner only: runs all messages that are in the box now; returns how many. Messages posted by
 * those that run wait for the next call, so a chain of messages cannot starve the loop. */
size_t mailbox_run(struct mailbox *box);

/* Any thread; it may be otherwise a moment later. */
bool mailbox_is_empty(struct mailbox *box);

/* Borrowed: for epoll. */
int mailbox_get_fd(const struct mailbox *box);
