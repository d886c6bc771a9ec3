/* SPDX-License-Identifier: Apache-2.0 */
/* drover-coordinator: options, wiring, order of start and stop. */
#include "common/daemon.h"
#include "common/log.h"
#include "coordinator/coordinator.h"
#include "coordinator/failpoints.h"

#include <libgen.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <systemd/sd-daemon.h>

static const struct daemon_about about = {
	.program = "drover-coordinator",
	.purpose = "Plans and schedules migrations, and keeps what people want.",
	.config = "/etc/drover/coordinator.yaml",
	.failpoints = FAILPOINTS_OF(coordinator_failpoints),
};

struct running {
	struct loop *loop;
	struct coordinator *coordinator; /* NULL: not yet */
	bool draining;
};

static void drained(void *context)
{
	const struct running *r = context;

	loop_stop(r->loop);
}

/* The first time it lets end what is under way; the second time it does not wait. */
static void stop(int signal_number, void *context)
{
	struct running *r = context;

	log_info("%s: stopping; migrations and agents go on, drains wait for the next start",
	         strsignal(signal_number));
	if (!r->coordinator || r->draining) {
		loop_stop(r->loop);
		return;
	}
	r->draining = true;
	sd_notify(0, "STOPPING=1");
	coordinator_drain(r->coordinator, drained, r);
}

static int open_store(const struct coordinator_settings *s, struct store **ret,
                      struct store_contents *contents, struct error *err)
{
	int rc = store_sqlite_open(s->store_sqlite, ret, err);

	if (rc < 0)
		return rc;
	rc = store_load(*ret, contents, err);
	if (rc < 0)
		store_close(*ret);
	return rc;
}

static int run(const struct coordinator_settings *settings, const char *path)
{
	struct loop *loop = loop_new();
	struct running running = { .loop = loop };
	struct coordinator_options options = {
		.settings = settings, .settings_path = path, .loop = loop, .audit = true
	};
	struct store_contents contents = { 0 };
	struct error err;
	int status = EXIT_FAILURE;

	loop_watch_signal(loop, SIGTERM, stop, &running);
	loop_watch_signal(loop, SIGINT, stop, &running);
	signal(SIGPIPE, SIG_IGN);
	loop_share(loop);
	options.contents = &contents;
	if (open_store(settings, &options.store, &contents, &err) < 0 ||
	    coordinator_start(&options, &running.coordinator, &err) < 0) {
		log_error("%s", err.text);
	} else {
		sd_notify(0, "READY=1");
		log_info("coordinator %s of cluster %s, version %s", settings->name,
		         settings->cluster, DROVER_VERSION);
		loop_run(loop);
		sd_notify(0, "STOPPING=1");
		status = EXIT_SUCCESS;
		if (running.coordinator->fatal.code != ERROR_NONE) {
			log_error("ending, to start again from the store: %s",
			          running.coordinator->fatal.text);
			status = EXIT_FAILURE;
		}
		coordinator_stop(running.coordinator);
	}
	store_contents_deinit(&contents);
	loop_free(loop);
	return status;
}

int main(int argc, char **argv)
{
	struct daemon_arguments arguments;
	struct coordinator_settings settings;
	struct error err;
	char who[64], beside[PATH_MAX];
	int status = daemon_parse(&about, argc, argv, &arguments);

	if (status >= 0)
		return status;
	if (coordinator_settings_load(arguments.config, &settings, &err) < 0) {
		fprintf(stderr, "drover-coordinator: %s\n", err.text);
		return 2;
	}
	if (arguments.check) {
		printf("%s: good, coordinator %s of cluster %s\n", arguments.config, settings.name,
		       settings.cluster);
		coordinator_settings_deinit(&settings);
		return EXIT_SUCCESS;
	}
	snprintf(beside, sizeof(beside), "%s", settings.store_sqlite);
	if (failpoints_begin(&coordinator_failpoints, dirname(beside), &err) < 0) {
		fprintf(stderr, "drover-coordinator: %s\n", err.text);
		return 2;
	}
	snprintf(who, sizeof(who), "coordinator %.40s", settings.name);
	log_open(who, arguments.debug ? LOG_LEVEL_DEBUG : LOG_LEVEL_INFO);
	daemon_raise_limits();
	status = run(&settings, arguments.config);
	coordinator_settings_deinit(&settings);
	return status;
}
