/* SPDX-License-Identifier: Apache-2.0 */
/* See hypervisor_libvirt.h. What a guest really has, where its XML says what was wanted: disks as QEMU
 * has opened them, taps as the kernel has plugged them, the clock as the guest's agent reads it. Any
 * thread.
 *
 * One question at a time, for a single device that cannot be told about must not hide the others. The
 * kernel is asked over rtnetlink, not by sysfs, which may show another namespace's devices. */
#include "agent/hypervisor/hypervisor_libvirt.h"

#include "common/cleanup.h"

#include <errno.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

/* ---- disks ---- */

/* Only of an active guest is that QEMU's answer; of a disk that it has not opened libvirt has none. */
static void look_at_disk(virDomainPtr domain, const struct vm_disk *disk, struct vm_disk_state *ret)
{
	virDomainBlockInfo info;

	if (strcmp(disk->type, "none") == 0 || strchr(disk->target, '['))
		return;
	if (virDomainGetBlockInfo(domain, disk->target, &info, 0) < 0) {
		snprintf(ret->why, sizeof(ret->why), "%.120s", virGetLastErrorMessage());
		return;
	}
	ret->opened = true;
	ret->size_bytes = info.capacity;
}

/* ---- taps ---- */

/* One device in one datagram: its answer is far below this. */
#define ANSWER_BYTES 16384

struct link_question {
	struct nlmsghdr header;
	struct ifinfomsg link;
	char attributes[RTA_SPACE(IFNAMSIZ)];
};

static int ask_link(const char *name, char *answer, ssize_t *ret_bytes)
{
	_cleanup_close_ int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
	struct link_question q = { .header = { .nlmsg_len = NLMSG_LENGTH(sizeof(q.link)),
		                               .nlmsg_type = RTM_GETLINK,
		                               .nlmsg_flags = NLM_F_REQUEST } };
	struct rtattr *attribute = (struct rtattr *)q.attributes;

	if (fd < 0)
		return -errno;
	attribute->rta_type = IFLA_IFNAME;
	attribute->rta_len = (unsigned short)RTA_LENGTH(strlen(name) + 1);
	memcpy(RTA_DATA(attribute), name, strlen(name) + 1);
	q.header.nlmsg_len += RTA_ALIGN(attribute->rta_len);
	if (send(fd, &q, q.header.nlmsg_len, 0) < 0)
		return -errno;
	*ret_bytes = recv(fd, answer, ANSWER_BYTES, 0);
	return *ret_bytes < 0 ? -errno : 0;
}

/* The bridge above the tap, or what a macvtap sits on. 0, or -errno. */
static int find_device_of(const char *tap, char *ret, size_t bytes)
{
	_Alignas(struct nlmsghdr) char answer[ANSWER_BYTES];
	struct nlmsghdr *header = (struct nlmsghdr *)answer;
	ssize_t n = 0;
	unsigned int above = 0, below = 0, index;
	char name[IF_NAMESIZE] = "";
	int rc = ask_link(tap, answer, &n);

	if (rc < 0)
		return rc;
	if (!NLMSG_OK(header, (size_t)n))
		return -EBADMSG;
	if (header->nlmsg_type == NLMSG_ERROR)
		return ((struct nlmsgerr *)NLMSG_DATA(header))->error;
	if (header->nlmsg_type != RTM_NEWLINK)
		return -EBADMSG;
	n = (ssize_t)IFLA_PAYLOAD(header);
	for (struct rtattr *a = IFLA_RTA(NLMSG_DATA(header)); RTA_OK(a, n); a = RTA_NEXT(a, n)) {
		if (a->rta_type == IFLA_MASTER)
			memcpy(&above, RTA_DATA(a), sizeof(above));
		else if (a->rta_type == IFLA_LINK)
			memcpy(&below, RTA_DATA(a), sizeof(below));
	}
	index = above ? above : below;
	if (index && !if_indextoname(index, name))
		return -errno;
	snprintf(ret, bytes, "%s", name);
	return 0;
}

static void look_at_plug(const struct vm_interface *interface, struct vm_plug *ret)
{
	const char *tap = interface->target;
	int rc;

	if (!tap[0] || strlen(tap) >= IFNAMSIZ) {
		snprintf(ret->why, sizeof(ret->why), "it has no tap");
		return;
	}
	rc = find_device_of(tap, ret->device, sizeof(ret->device));
	if (rc < 0)
		snprintf(ret->why, sizeof(ret->why), "%s: %s", tap, strerror(-rc));
	else
		ret->known = true;
}

/* ---- the clock ---- */

static int64_t read_clock_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* libvirt gives a guest's agent five seconds for a sign of life. */
static void ask_for_clock(virDomainPtr domain, struct vm_devices *ret)
{
	int64_t before_ms = read_clock_ms(), guest_ms;
	long long seconds = 0;
	unsigned int nanoseconds = 0;

	if (virDomainGetTime(domain, &seconds, &nanoseconds, 0) < 0) {
		ret->clock = VM_CLOCK_SILENT;
		snprintf(ret->clock_why, sizeof(ret->clock_why), "%.120s",
		         virGetLastErrorMessage());
		return;
	}
	guest_ms = (int64_t)seconds * 1000 + nanoseconds / 1000000;
	ret->clock = VM_CLOCK_KNOWN;
	/* It was read at some time in between. */
	ret->clock_ahead_ms = guest_ms - before_ms - (read_clock_ms() - before_ms) / 2;
}

int libvirt_devices(struct hypervisor *h, const struct vm_description *d, bool ask_clock,
                    struct vm_devices *ret, struct error *err)
{
	_cleanup_connection_ virConnectPtr connection = NULL;
	_cleanup_domain_ virDomainPtr domain = NULL;
	int result = libvirt_find_domain(libvirt_of(h), d->summary.uuid, &connection, &domain, err);
	int active;

	if (result)
		return result;
	active = virDomainIsActive(domain);
	if (active < 0)
		return libvirt_error(err, connection, LIBVIRT_QUESTION, "reading guest %.64s",
		                     d->summary.name);
	if (!active)
		return error_set(err, ERROR_NOT_FOUND, "guest %.64s is not active",
		                 d->summary.name);
	memset(ret, 0, sizeof(*ret));
	for (size_t i = 0; i < d->n_disks && i < VM_DISKS_MAX; i++)
		look_at_disk(domain, &d->disks[i], &ret->disks[i]);
	for (size_t i = 0; i < d->n_interfaces && i < VM_INTERFACES_MAX; i++)
		look_at_plug(&d->interfaces[i], &ret->plugs[i]);
	if (ask_clock && d->agent_channel == VM_AGENT_CONNECTED)
		ask_for_clock(domain, ret);
	return 0;
}
