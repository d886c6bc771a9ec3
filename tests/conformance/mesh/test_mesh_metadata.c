/* SPDX-License-Identifier: Apache-2.0 */
/* What travels beside messages: metadata, headers, trailers, details of a failure. */
#include "tests/conformance/mesh/harness.h"

#include "common/alloc.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const uint8_t binary[] = { 0xab, 0x00, 0xab, 0xff, 0x0a };
static const struct mesh_metadata_item echo_items[] = {
	{ ECHO_INITIAL, "test_initial_metadata_value", 27 },
	{ ECHO_TRAILING, binary, sizeof(binary) },
};
static const struct mesh_metadata echo = { echo_items, ARRAY_SIZE(echo_items) };

struct seen {
	struct outcome o;
	unsigned headers;
	unsigned messages_before_headers;
	bool headers_right, trailers_right;
	struct mesh_call *cancel_at_headers;
	size_t n_details, detail_bytes;
	uint32_t left_out;
	bool detail_found;
	enum error_code missing_code;
};

static bool is_only(const struct mesh_metadata *m, const struct mesh_metadata_item *expected)
{
	const struct mesh_metadata_item *item = mesh_metadata_find(m, expected->key);

	return m->count == 1 && item && item->bytes == expected->bytes &&
	       memcmp(item->value, expected->value, item->bytes) == 0;
}

static void take_headers(const struct mesh_metadata *headers, void *context)
{
	struct seen *seen = context;

	seen->headers++;
	seen->messages_before_headers = seen->o.messages;
	seen->headers_right = is_only(headers, &echo_items[0]);
	if (seen->cancel_at_headers)
		mesh_call_cancel(seen->cancel_at_headers);
}

static void take_message(const ProtobufCMessage *m, void *context)
{
	outcome_message(m, &((struct seen *)context)->o);
}

static void take_end(const struct mesh_result *result, void *context)
{
	struct seen *seen = context;
	const Drover__Test__Reply *detail;
	struct error err;

	seen->trailers_right = is_only(&result->trailers, &echo_items[1]);
	seen->n_details = result->n_details;
	seen->left_out = result->details_left_out;
	detail = (const Drover__Test__Reply *)mesh_result_find_detail(
		result, &drover__test__reply__descriptor, &err);
	seen->detail_found = detail != NULL;
	if (detail)
		seen->detail_bytes = detail->payload.len;
	assert_null(mesh_result_find_detail(result, &drover__test__empty__descriptor, &err));
	seen->missing_code = err.code;
	outcome_done(result, &seen->o);
}

static struct mesh_call *begin(struct harness *h, const char *method,
                               const Drover__Test__Request *request,
                               const struct mesh_metadata *metadata, bool stream, struct seen *seen)
{
	struct mesh_call_options options = { .timeout_ms = WAIT_MS,
		                             .metadata = metadata,
		                             .headers = take_headers,
		                             .message = stream ? take_message : NULL };

	return mesh_call_with(h->client.connection, method, &request->base, &options, take_end,
	                      seen);
}

/* What the caller sends comes to the handler; its headers come first, its trailers with the end; text
 * and any bytes alike. With a unary call ... */
static void test_custom_metadata_unary(void **state)
{
	struct harness *h = *state;
	Drover__Test__Request *request = request_new(271828, 314159);
	struct seen seen = { 0 };

	begin(h, "drover.test.Test/UnaryCall", request, &echo, false, &seen);
	harness_wait_flag(h, &seen.o.done);
	assert_int_equal(seen.o.status, MESH_OK);
	assert_int_equal(seen.o.reply_bytes, 314159);
	assert_int_equal(seen.headers, 1);
	assert_true(seen.headers_right);
	assert_true(seen.trailers_right);
	request_free(request);
}

/* ... and with a stream. */
static void test_custom_metadata_stream(void **state)
{
	static uint32_t sizes[] = { 31415, 9 };
	struct harness *h = *state;
	Drover__Test__Request request = DROVER__TEST__REQUEST__INIT;
	struct seen seen = { 0 };

	request.sizes = sizes;
	request.n_sizes = 2;
	begin(h, "drover.test.Test/StreamCall", &request, &echo, true, &seen);
	harness_wait_flag(h, &seen.o.done);
	assert_int_equal(seen.o.status, MESH_OK);
	assert_int_equal(seen.o.messages, 2);
	assert_int_equal(seen.headers, 1);
	assert_int_equal(seen.messages_before_headers, 0);
	assert_true(seen.headers_right && seen.trailers_right);
}

/* A failure has trailers, too. */
static void test_trailers_of_a_failure(void **state)
{
	struct harness *h = *state;
	Drover__Test__Request request = DROVER__TEST__REQUEST__INIT;
	struct seen seen = { 0 };

	request.status = MESH_NOT_FOUND;
	request.text = (char *)"no such thing";
	begin(h, "drover.test.Test/UnaryCall", &request, &echo, false, &seen);
	harness_wait_flag(h, &seen.o.done);
	assert_int_equal(seen.o.status, MESH_NOT_FOUND);
	assert_string_equal(seen.o.error.text, "no such thing");
	assert_true(seen.trailers_right);
	assert_int_equal(seen.n_details, 0);
	assert_false(seen.detail_found);
}

/* Whoever asked for nothing hears of nothing. */
static void test_no_metadata(void **state)
{
	struct harness *h = *state;
	Drover__Test__Request *request = request_new(1, 1);
	struct seen seen = { 0 };

	begin(h, "drover.test.Test/UnaryCall", request, NULL, false, &seen);
	harness_wait_flag(h, &seen.o.done);
	assert_int_equal(seen.o.status, MESH_OK);
	assert_int_equal(seen.headers, 0);
	assert_false(seen.trailers_right);
	request_free(request);
}

/* A caller may have seen enough with the headers. */
static void test_cancel_at_headers(void **state)
{
	struct harness *h = *state;
	Drover__Test__Request *request = request_new(1, 3000000);
	struct seen seen = { 0 };

	seen.cancel_at_headers = begin(h, "drover.test.Test/UnaryCall", request, &echo, false,
	                               &seen);
	harness_wait_flag(h, &seen.o.done);
	assert_int_equal(seen.headers, 1);
	assert_int_equal(seen.o.times, 1);
	assert_int_equal(seen.o.status, MESH_CANCELLED);
	request_free(request);
}

static void check_refused(struct harness *h, const struct mesh_metadata *metadata, const char *why)
{
	Drover__Test__Request *request = request_new(1, 1);
	struct seen seen = { 0 };

	begin(h, "drover.test.Test/UnaryCall", request, metadata, false, &seen);
	harness_wait_flag(h, &seen.o.done);
	assert_int_equal(seen.o.status, MESH_INVALID_ARGUMENT);
	assert_true(seen.o.never_sent);
	assert_non_null(strstr(seen.o.error.text, why));
	request_free(request);
}

/* Keys have their form and come once; there is a limit to their number and to the bytes of it all. At
 * the limit it goes through, beyond it is not even sent. */
static void test_limits_of_metadata(void **state)
{
	struct harness *h = *state;
	Drover__Test__Request *request = request_new(1, 1);
	struct mesh_metadata_item items[MESH_METADATA_MAX + 1];
	char names[MESH_METADATA_MAX + 1][MESH_METADATA_KEY_BYTES + 2], value[4097];
	struct seen seen = { 0 };

	memset(value, 'v', sizeof(value));
	for (size_t i = 0; i < ARRAY_SIZE(items); i++) {
		snprintf(names[i], sizeof(names[i]), "key-%02zu", i);
		items[i] = (struct mesh_metadata_item){ names[i], value, 4096 / 32 - 6 };
	}
	begin(h, "drover.test.Test/UnaryCall", request,
	      &(struct mesh_metadata){ items, MESH_METADATA_MAX }, false, &seen);
	harness_wait_flag(h, &seen.o.done);
	assert_int_equal(seen.o.status, MESH_OK);

	check_refused(h, &(struct mesh_metadata){ items, MESH_METADATA_MAX + 1 }, "33 keys");
	items[0].bytes++;
	check_refused(h, &(struct mesh_metadata){ items, MESH_METADATA_MAX },
	              "more than 4096 bytes");
	items[0].bytes = SIZE_MAX;
	check_refused(h, &(struct mesh_metadata){ items, 1 }, "more than 4096 bytes");
	items[0].bytes = 1;
	items[0].key = "Upper";
	check_refused(h, &(struct mesh_metadata){ items, 1 }, "the key \"Upper\"");
	items[0].key = "";
	check_refused(h, &(struct mesh_metadata){ items, 1 }, "the key \"\"");
	memset(names[0], 'k', MESH_METADATA_KEY_BYTES + 1);
	names[0][MESH_METADATA_KEY_BYTES + 1] = '\0';
	items[0].key = names[0];
	check_refused(h, &(struct mesh_metadata){ items, 1 }, "must be 1 to 64");
	items[0].key = items[1].key;
	items[1].bytes = 1;
	check_refused(h, &(struct mesh_metadata){ items, 2 }, "is there twice");
	assert_int_equal(h->client.disconnects, 0);
	request_free(request);
}

static void fail_with(struct harness *h, uint32_t details, uint32_t bytes, struct seen *seen)
{
	Drover__Test__Request request = DROVER__TEST__REQUEST__INIT;

	*seen = (struct seen){ 0 };
	request.status = MESH_FAILED_PRECONDITION;
	request.text = (char *)"3 checks say no";
	request.details = details;
	request.reply_bytes = bytes;
	begin(h, "drover.test.Test/UnaryCall", &request, &echo, false, seen);
	harness_wait_flag(h, &seen->o.done);
	assert_int_equal(seen->o.status, MESH_FAILED_PRECONDITION);
	assert_int_equal(seen->o.error.code, ERROR_REFUSED);
	assert_string_equal(seen->o.error.text, "3 checks say no");
	assert_true(seen->trailers_right);
	assert_int_equal(seen->missing_code, ERROR_NONE);
}

/* A failure can carry messages that say more than its sentence, more than a frame's header holds. */
static void test_rich_status(void **state)
{
	struct harness *h = *state;
	struct seen seen;

	fail_with(h, 3, 20000, &seen);
	assert_int_equal(seen.n_details, 3);
	assert_int_equal(seen.left_out, 0);
	assert_true(seen.detail_found);
	assert_int_equal(seen.detail_bytes, 20000);
}

/* What is too much of it is left out, and the caller knows how many those are; status and sentence
 * come all the same. */
static void test_too_many_details(void **state)
{
	struct harness *h = *state;
	struct seen seen;

	fail_with(h, 20, 10, &seen);
	assert_int_equal(seen.n_details, MESH_DETAILS_MAX);
	assert_int_equal(seen.left_out, 20 - MESH_DETAILS_MAX);
	fail_with(h, 5, 20000, &seen);
	assert_int_equal(seen.n_details, 3);
	assert_int_equal(seen.left_out, 2);
	fail_with(h, 2, 100000, &seen);
	assert_int_equal(seen.n_details, 0);
	assert_int_equal(seen.left_out, 2);
	assert_false(seen.detail_found);
}

int main(int argc, char **argv)
{
	static const struct CMUnitTest tests[] = {
#define CASE(name) cmocka_unit_test_setup_teardown(name, harness_setup, harness_teardown)
		CASE(test_custom_metadata_unary), CASE(test_custom_metadata_stream),
		CASE(test_trailers_of_a_failure), CASE(test_no_metadata),
		CASE(test_cancel_at_headers),     CASE(test_limits_of_metadata),
		CASE(test_rich_status),           CASE(test_too_many_details),
	};

	if (argc > 1)
		harness_transport = argv[1];
	return cmocka_run_group_tests(tests, NULL, NULL);
}
