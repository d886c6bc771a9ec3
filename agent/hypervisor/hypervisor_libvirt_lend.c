/* SPDX-License-Identifier: Apache-2.0 */
/* See hypervisor_libvirt.h. Connections for questions and commands, lent to one thread at a time. Any
 * thread.
 *
 *	libvirt_get_connection --> a call or two --> _cleanup_connection_ gives it back
 *	                            |
 *	       it died under them --+--> the watcher begins anew, with all of them
 *
 * With a watcher there are as many as it has opened, and who finds none free waits. One that is dead is
 * not replaced alone: what it died of is the same for all, and opening one to a libvirtd that has
 * stopped blocks, which is the watcher's business and nobody else's.
 */
#include "agent/hypervisor/hypervisor_libvirt.h"

#include "common/alloc.h"

#include <assert.h>
#include <stdlib.h>

struct libvirt_loan {
	virConnectPtr connection;
	struct hypervisor_libvirt *owner;
	struct libvirt_loan *next;      /* of its owner */
	struct libvirt_loan *next_lent; /* of all that are lent, in the process */
	bool lent;
	bool withdrawn; /* it is nobody's any more, and is closed when it comes back */
};

/* Who gives a connection back has nothing but its handle: here is whose it is. Taken last. */
static pthread_mutex_t register_lock = PTHREAD_MUTEX_INITIALIZER;
static struct libvirt_loan *all_lent;

static void note_lent(struct libvirt_loan *loan)
{
	pthread_mutex_lock(&register_lock);
	loan->next_lent = all_lent;
	all_lent = loan;
	pthread_mutex_unlock(&register_lock);
}

/* The loan that @connection is, which is noted no longer; NULL: it was not lent. */
static struct libvirt_loan *note_returned(virConnectPtr connection)
{
	struct libvirt_loan *found = NULL;

	pthread_mutex_lock(&register_lock);
	for (struct libvirt_loan **at = &all_lent; *at; at = &(*at)->next_lent) {
		if ((*at)->connection == connection) {
			found = *at;
			*at = found->next_lent;
			break;
		}
	}
	pthread_mutex_unlock(&register_lock);
	return found;
}

static void loan_free(struct libvirt_loan *loan)
{
	virConnectClose(loan->connection);
	free(loan);
}

static int add(struct hypervisor_libvirt *h, struct libvirt_loan **loans, struct error *err)
{
	virConnectPtr connection;
	struct libvirt_loan *loan;
	int result = libvirt_open(h, LIBVIRT_KEEPALIVE_S, &connection, err);

	if (result)
		return result;
	loan = xnew(struct libvirt_loan);
	loan->connection = connection;
	loan->owner = h;
	loan->next = *loans;
	*loans = loan;
	return 0;
}

static void free_all(struct libvirt_loan *loans)
{
	while (loans) {
		struct libvirt_loan *next = loans->next;

		loan_free(loans);
		loans = next;
	}
}

int libvirt_lend(struct hypervisor_libvirt *h, struct error *err)
{
	struct libvirt_loan *loans = NULL;

	for (size_t i = 0; i < LIBVIRT_LOANS; i++) {
		int result = add(h, &loans, err);

		if (result) {
			free_all(loans);
			return result;
		}
	}
	pthread_mutex_lock(&h->lock);
	assert(!h->loans);
	h->loans = loans;
	h->lacking = false;
	pthread_cond_broadcast(&h->returned);
	pthread_mutex_unlock(&h->lock);
	return 0;
}

void libvirt_withdraw(struct hypervisor_libvirt *h)
{
	struct libvirt_loan *idle = NULL;

	pthread_mutex_lock(&h->lock);
	while (h->loans) {
		struct libvirt_loan *loan = h->loans;

		h->loans = loan->next;
		if (loan->lent) {
			loan->withdrawn = true;
			loan->next = NULL;
		} else {
			loan->next = idle;
			idle = loan;
		}
	}
	pthread_cond_broadcast(&h->returned);
	pthread_mutex_unlock(&h->lock);
	free_all(idle);
}

static struct libvirt_loan *find_idle(const struct hypervisor_libvirt *h)
{
	struct libvirt_loan *loan = h->loans;

	while (loan && loan->lent)
		loan = loan->next;
	return loan;
}

/* Of its owner's, under the lock. */
static void cut_out(struct hypervisor_libvirt *h, struct libvirt_loan *loan)
{
	for (struct libvirt_loan **at = &h->loans; *at; at = &(*at)->next) {
		if (*at == loan) {
			*at = loan->next;
			return;
		}
	}
}

void libvirt_give_back(virConnectPtr connection)
{
	struct libvirt_loan *loan = note_returned(connection);
	bool alive = virConnectIsAlive(connection) == 1, over;
	struct hypervisor_libvirt *h;

	if (!loan) {
		virConnectClose(connection);
		return;
	}
	h = loan->owner;
	pthread_mutex_lock(&h->lock);
	loan->lent = false;
	over = loan->withdrawn || !alive;
	if (!loan->withdrawn && !alive) {
		cut_out(h, loan);
		h->lacking = true;
		error_set(&h->why, ERROR_UNREACHABLE,
		          "the connection to %s is lost: libvirtd did not answer a call", h->uri);
		pthread_cond_broadcast(&h->wake);
	}
	pthread_cond_signal(&h->returned);
	pthread_mutex_unlock(&h->lock);
	if (over)
		loan_free(loan);
}

/* One for this thread, dead or alive. */
static int borrow(struct hypervisor_libvirt *h, struct libvirt_loan **ret, struct error *err)
{
	struct libvirt_loan *loan = NULL;
	int result = 0;

	pthread_mutex_lock(&h->lock);
	while (!result && !(loan = find_idle(h))) {
		if (h->watching && !h->loans)
			result = error_set(err, ERROR_UNREACHABLE, "%s",
			                   h->why.text[0] ? h->why.text
			                                  : "libvirt is not connected yet");
		else if (!h->watching)
			result = add(h, &h->loans, err);
		else
			pthread_cond_wait(&h->returned, &h->lock);
	}
	if (loan) {
		loan->lent = true;
		note_lent(loan);
		*ret = loan;
	}
	pthread_mutex_unlock(&h->lock);
	return result;
}

int libvirt_get_connection(struct hypervisor_libvirt *h, virConnectPtr *ret, struct error *err)
{
	struct libvirt_loan *loan;
	int result = borrow(h, &loan, err);

	/* It may have died while nobody used it: each is met so once. */
	while (!result && virConnectIsAlive(loan->connection) != 1) {
		libvirt_give_back(loan->connection);
		result = borrow(h, &loan, err);
	}
	if (!result)
		*ret = loan->connection;
	return result;
}
