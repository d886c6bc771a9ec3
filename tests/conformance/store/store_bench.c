/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/conformance/store/store_bench.h"

#include "common/alloc.h"

#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

int store_bench_open(struct store_bench *bench, struct store **ret, struct error *err)
{
	return bench->sqlite ? store_sqlite_open(bench->path, ret, err)
	                     : store_memory_open(bench->disk, ret, err);
}

void store_bench_reopen(struct store_bench *bench)
{
	struct error err = { 0 };

	store_close(bench->store);
	bench->store = NULL;
	if (store_bench_open(bench, &bench->store, &err) < 0)
		fail_msg("%s", err.text);
}

int store_bench_setup_sqlite(void **state)
{
	struct store_bench *bench = xnew(struct store_bench);

	bench->sqlite = true;
	snprintf(bench->directory, sizeof(bench->directory), "/tmp/drover-store-XXXXXX");
	assert_non_null(mkdtemp(bench->directory));
	snprintf(bench->path, sizeof(bench->path), "%s/coordinator.db", bench->directory);
	store_bench_reopen(bench);
	*state = bench;
	return 0;
}

int store_bench_setup_memory(void **state)
{
	struct store_bench *bench = xnew(struct store_bench);

	bench->disk = store_memory_disk_new();
	store_bench_reopen(bench);
	*state = bench;
	return 0;
}

int store_bench_teardown(void **state)
{
	struct store_bench *bench = *state;

	store_close(bench->store);
	store_memory_disk_free(bench->disk);
	if (bench->sqlite) {
		DIR *dir = opendir(bench->directory);
		struct dirent *entry;

		while (dir && (entry = readdir(dir))) {
			if (entry->d_name[0] != '.')
				unlinkat(dirfd(dir), entry->d_name, 0);
		}
		if (dir)
			closedir(dir);
		rmdir(bench->directory);
	}
	free(bench);
	return 0;
}

static struct id id_of(uint64_t number, uint8_t kind)
{
	struct id id = { { 0 } };

	memcpy(id.bytes, &number, sizeof(number));
	id.bytes[ID_BYTES - 1] = kind;
	return id;
}

struct migration_record store_bench_migration(uint64_t number, const char *vm, const char *source,
                                              const char *target)
{
	static struct remnant remnants[] = {
		{ "tunnel", "host1", REMNANT_GONE, "", "" },
		{ "lease", "host2", REMNANT_LEFT, "it \"holds\"", "drover gc host2" },
	};
	struct migration_record m = {
		.number = number,
		.attempt = { .operation = id_of(number, 1), .number = 3, .epoch = 7 },
		.request_id = id_of(number, 2),
		.state = MIGRATION_RUNNING,
		.cancel_requested = true,
		.drain_number = 9,
		.need_bytes = 300 << 20,
		.memory_bytes = 256 << 20,
		.settings = { .bandwidth_bytes_per_s = 1,
		              .max_downtime_ms = 2,
		              .completion_timeout_ms_per_gib = 3,
		              .progress_timeout_ms = 4,
		              .tls = true,
		              .unsafe = true,
		              .stop_off_network = true,
		              .shortest_first = true,
		              .copy_disks = true,
		              .transfer = { .connections = 4,
		                            .compression = COMPRESSION_XBZRLE,
		                            .copy_incremental = true,
		                            .copy_only = "vda,vdb" },
		              .strategy = { .ladder = LADDER_VERY_LARGE,
		                            .allow_disruption = true } },
		.prediction = { .end = PREDICTION_SWITCHES,
		                .certain = true,
		                .low_end = PREDICTION_CONVERGES,
		                .high_end = PREDICTION_GIVES_UP,
		                .expected_ms = 21,
		                .low_ms = 22,
		                .high_ms = 23,
		                .high_known = true,
		                .transfer_ms = 24,
		                .transfer_low_ms = 25,
		                .transfer_high_ms = 26,
		                .bytes = 27,
		                .downtime_ms = 28,
		                .downtime_high_ms = 29,
		                .passes = 30,
		                .enough_bytes_per_s = 31,
		                .bandwidth_bytes_per_s = 32,
		                .dirty_bytes_per_s = 33,
		                .touched_bytes = 34 },
		.created_wall_ms = 1700000000000,
		.ended_wall_ms = 1700000001000,
	};
	struct check check = { .id = "memory",
		               .verdict = CHECK_FAIL,
		               .measured = "212 MiB free",
		               .required = "320 MiB",
		               .remedy = "wait",
		               .reason = "Insufficient" };

	text_copy(m.vm_uuid, sizeof(m.vm_uuid), vm);
	text_copy(m.vm_name, sizeof(m.vm_name), vm);
	text_copy(m.source, sizeof(m.source), source);
	text_copy(m.target, sizeof(m.target), target);
	text_copy(m.wanted_target, sizeof(m.wanted_target), "wanted");
	text_copy(m.reason, sizeof(m.reason), "because \"it\" said\nso, \xc3\xa4");
	m.report.attempt = m.attempt;
	m.report.state = MIGRATION_RUNNING;
	text_copy(m.report.vm_uuid, sizeof(m.report.vm_uuid), vm);
	text_copy(m.report.vm_name, sizeof(m.report.vm_name), vm);
	text_copy(m.report.source, sizeof(m.report.source), source);
	text_copy(m.report.target, sizeof(m.report.target), target);
	text_copy(m.report.reason, sizeof(m.report.reason), "copying");
	m.report.error_code = 5;
	checks_add(&m.report.checks, &check);
	m.report.guard = GUARD_LOCK_MANAGER;
	m.report.progress.percent = 61;
	m.report.progress.iteration = 2;
	m.report.progress.memory_total_bytes = 11;
	m.report.progress.memory_processed_bytes = 12;
	m.report.duration_ms = 13;
	m.report.downtime_ms = 14;
	m.report.times = (struct stage_times){
		.describing_ms = 21,
		.admitting_ms = 22,
		.linking_ms = 23,
		.moving_ms = 24,
		.prepared_ms = 27,
		.resolving_ms = 25,
		.cleaning_ms = 26,
	};
	m.report.transferred_bytes = 15;
	m.report.wire_bytes = 16;
	m.report.path = (struct path_proof){
		.verdict = PATH_ELSEWHERE,
		.deviated = true,
		.text = "it goes over mg0",
		.n = 1,
		.interfaces = { { .name = "mg0",
		                  .migration = true,
		                  .wire_bytes = 31,
		                  .bytes_per_s = 32,
		                  .percent = 33 } },
	};
	m.report.tombstoned = true;
	names_add(&m.report.leftovers, "a file");
	remnants_copy(&m.report.remnants, &(struct remnants){ remnants, ARRAY_SIZE(remnants) });
	m.report.progress.transfer_bytes_per_s = 125000000;
	m.report.progress.dirty_bytes_per_s = 4096;
	text_copy(m.report.progress.rate_source, sizeof(m.report.progress.rate_source), "ebpf");
	names_add(&m.report.notes, "an image");
	checks_add(&m.report.verification, &(struct check){ .id = "definition",
	                                                    .verdict = CHECK_FAIL,
	                                                    .measured = "autostart off",
	                                                    .required = "autostart on",
	                                                    .remedy = "virsh autostart web" });
	m.report.held_ms = 4567;
	text_copy(m.report.not_verified, sizeof(m.report.not_verified), "the guest's clock");
	m.report.progress.disk_total_bytes = 17;
	m.report.progress.disk_processed_bytes = 18;
	m.report.memory_verified = true;
	return m;
}

struct drain_record store_bench_drain(uint64_t number, const char *node)
{
	struct drain_record drain = { .number = number,
		                      .id = id_of(number, 3),
		                      .request_id = id_of(number, 4),
		                      .state = DRAIN_BLOCKED,
		                      .leave_unmovable = true,
		                      .copy_disks = true,
		                      .strategy = { .ladder = LADDER_POST_COPY,
		                                    .allow_auto_converge = true },
		                      .parallel = 3,
		                      .bandwidth_bytes_per_s = 5,
		                      .max_downtime_ms = 15,
		                      .completion_timeout_ms_per_gib = 16,
		                      .progress_timeout_ms = 17,
		                      .shutdown_timeout_ms = 18,
		                      .by_wall_ms = 19,
		                      .deadline_told = DEADLINE_TOLD_PASSED,
		                      .created_wall_ms = 6,
		                      .ended_wall_ms = 7,
		                      .left_count = 8 };

	text_copy(drain.node, sizeof(drain.node), node);
	text_copy(drain.reason, sizeof(drain.reason), "new disks");
	names_add(&drain.leave, "build7");
	names_add(&drain.leave, "o'brien");
	for (enum shutdown_phase phase = 0; phase < SHUTDOWN_PHASES; phase++)
		*drain_record_add_shutdown(&drain, "7f1d",
		                           "db's") = (struct shutdown){ .phase = phase,
			                                                .uuid = "7f1d",
			                                                .name = "db's",
			                                                .need_bytes = 21,
			                                                .orders = 22,
			                                                .boot_id = id_of(number, 5),
			                                                .asks = 23,
			                                                .asked_wall_ms = 24,
			                                                .off_wall_ms = 25 };
	return drain;
}

int store_bench_put(struct store_bench *bench, uint64_t epoch, struct migration_record *m,
                    const struct caps *takes)
{
	struct batch *batch = xnew(struct batch);
	struct put *put = batch_add(batch, PUT_MIGRATION);
	struct error err = { 0 };
	int rc;

	batch->epoch = epoch;
	put->migration = *m;
	*m = (struct migration_record){ 0 };
	if (takes) {
		put->takes_slot = true;
		put->caps = *takes;
		put->migration.holds_slot = true;
	}
	rc = store_write(bench->store, batch, &err);
	assert_int_equal(rc, -(int)err.code);
	batch_free(batch);
	return rc;
}
