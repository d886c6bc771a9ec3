/* SPDX-License-Identifier: Apache-2.0 */
/* drover-agent: options, wiring, order of start and stop. */
#include "agent/agent.h"
#include "agent/failpoints.h"
#include "agent/source/source.h"
#include "common/daemon.h"
#include "common/log.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

static const struct daemon_about about = {
	.program = "drover-agent",
	.purpose = "The agent of one host: admits and migrates its guests.",
	.config = "/etc/drover/agent.yaml",
	.needs = "It runs as root. Of root's capabilities counting by eBPF needs CAP_BPF, "
		 "CAP_NET_ADMIN\n"
		 "and CAP_PERFMON, and neither the kernel's BTF nor a mounted file system. Where "
		 "one is\n"
		 "missing, the log names it once, and links are counted by the kernel's own "
		 "counters:\n"
		 "\"rtnl\" wherever such a figure is shown, up to 6 % low, and migrations not "
		 "apart.",
	.failpoints = FAILPOINTS_OF(agent_failpoints),
};

struct running {
	struct loop *loop;
	struct agent *agent; /* NULL: not yet */
	bool draining;
};

static void drained(void *context)
{
	const struct running *r = context;

	loop_stop(r->loop);
}

/* The first time it lets end the calls that are under way; the second time it does not wait. */
static void stop(int signal_number, void *context)
{
	struct running *r = context;

	log_info("%s: stopping; running migrations go on without this agent",
	         strsignal(signal_number));
	if (!r->agent || r->draining) {
		loop_stop(r->loop);
		return;
	}
	r->draining = true;
	sd_notify(0, "STOPPING=1");
	agent_drain(r->agent, drained, r);
}

static int run(const struct agent_settings *settings)
{
	struct loop *loop = loop_new();
	struct hypervisor *hypervisor;
	struct running running = { .loop = loop };
	struct agent *agent;
	struct error err;
	int rc, status = EXIT_FAILURE;

	loop_watch_signal(loop, SIGTERM, stop, &running);
	loop_watch_signal(loop, SIGINT, stop, &running);
	signal(SIGPIPE, SIG_IGN);
	loop_share(loop);
	hypervisor = hypervisor_libvirt_new(settings->libvirt_uri);
	rc = agent_start(&(struct agent_options){ .settings = settings,
	                                          .loop = loop,
	                                          .hypervisor = hypervisor,
	                                          .audit = true },
	                 &agent, &err);
	if (rc < 0) {
		log_error("%s", err.text);
	} else {
		running.agent = agent;
		sd_notify(0, "READY=1");
		log_info("agent %s of %s listens at %s", DROVER_VERSION, settings->node,
		         settings->listen);
		loop_run(loop);
		sd_notify(0, "STOPPING=1");
		status = EXIT_SUCCESS;
		agent_leave(agent);
		/* A thread may sit in libvirt's migration call for minutes. It must not be waited for,
		 * and what it drives goes on without it: the next agent takes it up. */
		if (source_count_active(agent) > 0)
			_exit(status);
	}
	if (!agent_stop(agent))
		_exit(status);
	hypervisor->ops->free(hypervisor);
	loop_free(loop);
	return status;
}

int main(int argc, char **argv)
{
	struct daemon_arguments arguments;
	struct agent_settings settings;
	struct error err;
	char who[64];
	int status = daemon_parse(&about, argc, argv, &arguments);

	if (status >= 0)
		return status;
	if (agent_settings_load(arguments.config, &settings, &err) < 0) {
		fprintf(stderr, "drover-agent: %s\n", err.text);
		return 2;
	}
	if (arguments.check) {
		printf("%s: good, node %s of cluster %s\n", arguments.config, settings.node,
		       settings.cluster);
		agent_settings_deinit(&settings);
		return EXIT_SUCCESS;
	}
	if (failpoints_begin(&agent_failpoints, settings.run_dir, &err) < 0) {
		fprintf(stderr, "drover-agent: %s\n", err.text);
		return 2;
	}
	snprintf(who, sizeof(who), "agent %.50s", settings.node);
	log_open(who, arguments.debug ? LOG_LEVEL_DEBUG : LOG_LEVEL_INFO);
	daemon_raise_limits();
	status = run(&settings);
	agent_settings_deinit(&settings);
	return status;
}
