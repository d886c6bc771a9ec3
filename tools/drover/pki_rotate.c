/* SPDX-License-Identifier: Apache-2.0 */
/* drover pki rotate, forget: the authority is replaced, on its own host. All that is decided and
 * remembered is the authority's (pki/rotation.h); here it is only asked to go on, until it has, so
 * that it does not matter when this is interrupted, nor how often it is begun. */
#include "common/alloc.h"
#include "common/cleanup.h"
#include "common/clock.h"
#include "pki/files.h"
#include "tools/drover/commands.h"
#include "tools/drover/setup.h"

#include <time.h>

#define YOUNG_MS ((uint64_t)24 * 60 * MINUTES_MS(1))
#define LOOK_MS  500
#define NAMED    5 /* of those in the way; the rest is a number */

struct rotate {
	struct session s;
	struct host_paths paths;
	uint64_t until_ms; /* UINT64_MAX: no end */
	size_t waits_said; /* as they were told last */
};

void pki_print_progress(FILE *to, const struct authority_progress *p)
{
	fprintf(to, "authority  generation %u signs; %s\n", p->rotation.signs,
	        rotation_describe(&p->rotation));
	for (size_t i = 0; i < p->n_waits && i < NAMED; i++)
		fprintf(to, "%s  %s %s %s\n", i ? "         " : "waits for",
		        mesh_role_name(p->waits[i].role), p->waits[i].name, p->waits[i].why);
	if (p->n_waits > NAMED)
		fprintf(to, "           and %zu more\n", p->n_waits - NAMED);
}

static void say_progress(const struct rotate *r, const struct authority_progress *p)
{
	if (!r->s.options->quiet)
		pki_print_progress(r->s.err.file, p);
}

/* Whoever types the command twice does not want a third authority. */
static int check_age(const struct rotate *r, const struct rotation *rotation, struct error *err)
{
	_cleanup_free_ char *name = rotation->signs == 1 ? xstrdup("ca.pem")
	                                                 : xasprintf("ca-%u.pem", rotation->signs);
	_cleanup_free_ char *path = xasprintf("%s/%s", r->paths.authority, name);
	_cleanup_free_ char *pem = NULL;
	struct certificate_facts facts = { 0 };
	uint64_t since_ms = rotation->since_ms, now_ms = clock_wall_ms();
	char when[CLOCK_TEXT_BYTES];
	int rc = files_read(path, &pem, err);

	if (rc == 0)
		rc = certificate_read(pem, &facts, err);
	if (rc < 0)
		return rc;
	if (since_ms < facts.not_before_ms)
		since_ms = facts.not_before_ms;
	if (r->s.options->yes || now_ms > since_ms + YOUNG_MS)
		return 0;
	return error_set(err, ERROR_REFUSED,
	                 "the authority is in its place since %s only, and all is in order; to "
	                 "replace it all the same: --yes",
	                 clock_format_wall(since_ms, when));
}

static int begin(struct rotate *r, struct error *err)
{
	_cleanup_(authority_progress_deinit) struct authority_progress p = { 0 };
	int rc = authority_get_progress(r->paths.authority, &p, err);

	if (rc < 0 || rotation_get_stage(&p.rotation) != ROTATION_NONE)
		return rc;
	rc = check_age(r, &p.rotation, err);
	if (rc == 0)
		rc = authority_begin_rotation(r->paths.authority, NULL, NULL, err);
	if (rc == 0)
		session_say(&r->s, "made       a new authority in %s: back it up",
		            r->paths.authority);
	return rc;
}

static void say_moved(struct rotate *r, const struct authority_progress *p)
{
	if (p->tokens_ended)
		session_say(&r->s,
		            "tokens     %zu that named the old authority have ended; make new ones "
		            "with \"drover token create\"",
		            p->tokens_ended);
	if (rotation_get_stage(&p->rotation) == ROTATION_RENEW)
		session_say(&r->s,
		            "trusted    everybody trusts the new authority; it signs from now "
		            "on");
}

static enum exit_code stop_waiting(struct rotate *r, const struct authority_progress *p)
{
	bool detach = r->s.options->detach;

	fprintf(r->s.err.file,
	        "drover: the authority: %s; %zu %s in the way, so the next stage does not begin\n",
	        rotation_describe(&p->rotation), p->n_waits,
	        p->n_waits == 1 ? "member is" : "members are");
	for (size_t i = 0; i < p->n_waits; i++)
		fprintf(r->s.err.file, "  %s %s %s\n", mesh_role_name(p->waits[i].role),
		        p->waits[i].name, p->waits[i].why);
	fprintf(r->s.err.file, "  next step  see that they run and are connected (drover nodes), "
	                       "then again: drover "
	                       "pki rotate; one that is gone for good: drover pki forget HOST\n");
	return detach ? EXIT_REFUSED : EXIT_TIMEOUT;
}

static enum exit_code go_on(struct rotate *r)
{
	const struct timespec pause = { .tv_nsec = LOOK_MS * 1000000L };

	for (;;) {
		_cleanup_(authority_progress_deinit) struct authority_progress p = { 0 };
		struct error err = { 0 };

		if (authority_rotate(r->paths.authority, &p, &err) < 0)
			return setup_fail(&r->s, "replacing the authority", &err);
		if (p.moved)
			say_moved(r, &p);
		if (rotation_get_stage(&p.rotation) == ROTATION_NONE) {
			session_say(&r->s,
			            "done       everybody has a certificate of the new authority; "
			            "the old one is trusted no more");
			session_say(&r->s,
			            "           copies of ca.pem and admin.pem on other machines "
			            "must be brought there anew");
			return EXIT_DONE;
		}
		if (!p.moved && (r->s.options->detach || clock_now_ms() >= r->until_ms))
			return stop_waiting(r, &p);
		if (!p.moved && p.n_waits != r->waits_said)
			say_progress(r, &p);
		r->waits_said = p.moved ? 0 : p.n_waits;
		if (p.moved && r->s.options->detach) {
			say_progress(r, &p);
			return EXIT_DONE;
		}
		nanosleep(&pause, NULL);
	}
}

enum exit_code pki_rotate_run(const struct invocation *invocation)
{
	struct rotate r = { .until_ms = UINT64_MAX };
	struct error err = { 0 };
	enum exit_code code = setup_begin(&r.s, invocation, &r.paths);

	if (code != EXIT_DONE)
		return code;
	if (invocation->options.timeout_ms)
		r.until_ms = clock_now_ms() + invocation->options.timeout_ms;
	code = begin(&r, &err) < 0 ? setup_fail(&r.s, "replacing the authority", &err) : go_on(&r);
	host_paths_deinit(&r.paths);
	return code;
}

enum exit_code pki_forget_run(const struct invocation *invocation)
{
	_cleanup_(host_paths_deinit) struct host_paths paths = { 0 };
	const char *name = invocation->words.items[0];
	struct session s;
	struct error err = { 0 };
	enum exit_code code = setup_begin(&s, invocation, &paths);

	if (code != EXIT_DONE)
		return code;
	if (authority_forget(paths.authority, name, &err) < 0)
		return setup_fail(&s, "forgetting a host", &err);
	session_say(&s, "Host %s is forgotten: it gets no new certificate and is not waited for.",
	            name);
	return EXIT_DONE;
}
