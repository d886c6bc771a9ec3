/* SPDX-License-Identifier: Apache-2.0 */
/* See hypervisor_libvirt.h. libvirt's event loop: one per process, on a thread of its own. Keepalive,
 * events and the news of closed connections need it. It is never stopped: libvirt has one loop for
 * good, and lets go of closed connections in it a moment later. */
#include "agent/hypervisor/hypervisor_libvirt.h"

#include <assert.h>
#include <signal.h>
#include <stdlib.h>

#ifdef __SANITIZE_THREAD__
#define THREAD_SANITIZER 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define THREAD_SANITIZER 1
#endif
#endif

#ifdef THREAD_SANITIZER
/* glib's locks and libvirt's reference counts are futexes and atomics of code that is not
 * instrumented; what they protect looks unprotected to the sanitizer. Our own code is not left out:
 * its callbacks meet it under its own lock. */
const char *__tsan_default_suppressions(void);
const char *__tsan_default_suppressions(void)
{
	return "called_from_lib:libglib-2.0.so\n"
	       "called_from_lib:libvirt.so\n"
	       "called_from_lib:libtirpc.so\n";
}
#endif

static void *run_loop(void *unused)
{
	(void)unused;
	/* It returns -1 only if nothing was registered, which start_loop rules out. */
	while (virEventRunDefaultImpl() >= 0)
		continue;
	abort();
}

static void ignore_error(void *unused, virErrorPtr error)
{
	(void)unused;
	(void)error;
}

static void start_loop_once(void)
{
	sigset_t all, before;
	pthread_t thread;
	int failed;

	/* Without this libvirt prints each error to stderr, besides returning it. */
	virSetErrorFunc(NULL, ignore_error);
	failed = virInitialize() < 0 || virEventRegisterDefaultImpl() < 0;
	assert(!failed);
	/* Signals are the owner thread's. */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	failed = pthread_create(&thread, NULL, run_loop, NULL);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	assert(!failed);
	/* Runs until the process ends: connections are closed in it a moment after they are let
	 * go. */
	pthread_detach(thread);
}

void libvirt_start_loop(void)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;

	pthread_once(&once, start_loop_once);
}
