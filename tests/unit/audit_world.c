/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/audit_world.h"

#include "common/alloc.h"
#include "common/cleanup.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

static char directory[64];
char audit_world_path[96];

int audit_world_setup(void **state)
{
	(void)state;
	snprintf(directory, sizeof(directory), "/tmp/test_audit.XXXXXX");
	if (!mkdtemp(directory))
		return -1;
	snprintf(audit_world_path, sizeof(audit_world_path), "%s/audit.log", directory);
	return 0;
}

int audit_world_teardown(void **state)
{
	(void)state;
	unlink(audit_world_path);
	for (unsigned n = 1; n < 100; n++) {
		_cleanup_free_ char *name = xasprintf("%s.%u", audit_world_path, n);

		unlink(name);
	}
	return rmdir(directory);
}

struct audit *audit_world_start(uint64_t rotate_bytes, unsigned keep, size_t queue_lines)
{
	return audit_start(&(struct audit_options){ .path = audit_world_path,
	                                            .self = "agent host1",
	                                            .rotate_bytes = rotate_bytes,
	                                            .keep = keep,
	                                            .queue_lines = queue_lines });
}

void audit_world_call(struct audit *a, const char *who)
{
	audit_write(a, &(struct audit_record){ .role = "operator",
	                                       .name = who,
	                                       .address = "10.0.0.9:4000",
	                                       .method = "drover.v1.Coordinator/Drain",
	                                       .object = "\"node\":\"host1\"",
	                                       .outcome = "OK" });
}

void audit_world_refuse(struct audit *a, const char *address)
{
	audit_write(a, &(struct audit_record){ .refused = true,
	                                       .address = address,
	                                       .outcome = "NOT_LET_IN",
	                                       .reason = "the peer does not speak TLS 1.3" });
}

struct audit_verdict audit_world_verify(void)
{
	struct audit_verdict verdict;
	struct error err;

	if (audit_read(audit_world_path, NULL, NULL, &verdict, &err) < 0)
		fail_msg("%s", err.text);
	return verdict;
}

char *audit_world_read(void)
{
	_cleanup_close_ int fd = open(audit_world_path, O_RDONLY | O_CLOEXEC);
	struct stat st;
	char *text;

	assert_true(fd >= 0);
	assert_int_equal(fstat(fd, &st), 0);
	text = xcalloc(1, (size_t)st.st_size + 1);
	assert_int_equal(read(fd, text, (size_t)st.st_size), st.st_size);
	return text;
}

void audit_world_put(const char *text, size_t bytes)
{
	_cleanup_close_ int fd = open(audit_world_path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC,
	                              0600);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, bytes), bytes);
}

void audit_world_write_three(void)
{
	struct audit *a = audit_world_start(0, 0, 0);

	audit_world_call(a, "ann");
	audit_world_call(a, "bob");
	audit_world_call(a, "cem");
	audit_stop(a);
}
