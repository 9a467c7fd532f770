#include "mem/dump.h"

#include "base/metrics.h"
#include "mem_unit.h"

static char text[64 * 1024];

static const char *written(void (*write)(FILE *to))
{
	FILE *to = fmemopen(text, sizeof(text), "w");

	assert_non_null(to);
	write(to);
	fclose(to);
	return text;
}

static void mem_dump__who_holds_what(void **state)
{
	static struct mem_tag tag = MEM_TAG("test.dump");
	void *large = mem_alloc(1000000, &tag), *small = mem_alloc(60, &tag);

	(void)state;
	written(mem_dump);
	assert_contains(text, "of 256 MiB resident");
	assert_contains(text, "arena private   node 0");
	assert_contains(text, "arena shareable node 0");
	assert_contains(text, mem_backing_text(mem_backing(MEM_PRIVATE)));
	assert_contains(text, "tag test.dump");
	assert_contains(text, "cache of slot");
	assert_contains(text, "objects out of");
	mem_free(large);
	mem_free(small);
}

static void mem_dump__not_started(void **state)
{
	struct mem_stats stats;

	(void)state;
	assert_contains(written(mem_dump), "not started");
	mem_stats(&stats);
	assert_int_equal(stats.limit_bytes, 0);
}

static void mem_stats__add_up(void **state)
{
	struct mem_stats before, after;

	(void)state;
	mem_stats(&before);
	assert_int_equal(before.limit_bytes, 256 * MIB);
	assert_int_equal(before.caches, 1);
	void *p = mem_alloc(10 * MIB, &unit_tag);
	mem_stats(&after);
	assert_in_range(after.used_bytes - before.used_bytes, 10 * MIB, 10 * MIB + 8192);
	assert_true(after.resident_bytes >= after.used_bytes);
	assert_int_equal(after.free_bytes, after.resident_bytes - after.used_bytes);
	assert_true(after.grown_inline > before.grown_inline);
	mem_free(p);
	mem_free(mem_alloc(50, &unit_tag));
	mem_stats(&after);
	assert_true(after.cached_bytes > 0);
}

static void metrics__of_mem(void **state)
{
	(void)state;
	written(metrics_write);
	assert_contains(text, "tarn_mem_limit_bytes 268435456");
	assert_contains(text, "tarn_mem_resident_bytes");
	assert_contains(text, "tarn_mem_grow_inline_total");
	assert_contains(text, "tarn_mem_backing_private");
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, unit_start, unit_stop)
	const struct CMUnitTest tests[] = {
		CASE(mem_dump__who_holds_what),
		cmocka_unit_test(mem_dump__not_started),
		CASE(mem_stats__add_up),
		CASE(metrics__of_mem),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
