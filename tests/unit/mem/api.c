#include "tarn/memory.h"

#include "mem_unit.h"

static struct tarn_memory_tag tag = TARN_MEMORY_TAG("test.api");

static int start(void **state)
{
	struct tarn_memory_config config = {.limit_bytes = 64 * MIB};

	(void)state;
	assert_int_equal(tarn_memory_start(&config).code, TARN_OK);
	assert_int_equal(tarn_memory_thread_attach().code, TARN_OK);
	return 0;
}

static int stop(void **state)
{
	(void)state;
	tarn_memory_thread_detach();
	assert_int_equal(tarn_memory_stop(), 0);
	return 0;
}

static void tarn_memory__every_function(void **state)
{
	struct tarn_memory_region region;
	struct tarn_memory_stats stats;

	(void)state;
	assert_int_equal(tarn_memory_start(NULL).code, TARN_EXISTS);
	assert_int_equal(tarn_memory_thread_attach().code, TARN_OK); /* has one */
	char *p = tarn_memory_alloc(100, &tag), *zero = tarn_memory_alloc_zero(100, NULL);
	char *aligned = tarn_memory_alloc_aligned(100, 256, &tag);
	char *shared = tarn_memory_buffer(TARN_MEMORY_SHAREABLE, MIB, 1, &tag);
	assert_non_null(p);
	assert_int_equal(zero[99], 0);
	assert_int_equal((uintptr_t)aligned % 256, 0);
	assert_true(tarn_memory_size(p) >= 100);
	memset(p, 5, 100);
	p = tarn_memory_realloc(p, 1000, &tag);
	assert_int_equal(p[99], 5);
	assert_int_equal(tarn_memory_region_of(shared, &region).code, TARN_OK);
	assert_true(region.bytes >= MIB);
	assert_int_equal(tarn_memory_region_of(p, &region).code, TARN_INVALID);
	tarn_memory_stats(&stats);
	assert_int_equal(stats.limit_bytes, 64 * MIB);
	assert_true(stats.used_bytes >= MIB && stats.resident_bytes >= stats.used_bytes);
	assert_true(strlen(tarn_memory_backing_text(TARN_MEMORY_PRIVATE)) > 3);
	assert_null(tarn_memory_buffer((enum tarn_memory_kind)7, 1, 1, &tag));
	assert_contains(tarn_last_error(), "kind 7");
	assert_null(tarn_memory_alloc(65 * MIB, &tag));
	assert_contains(tarn_last_error(), "raise --memory");
	FILE *to = tmpfile();
	tarn_memory_dump(to);
	assert_true(ftell(to) > 100);
	fclose(to);
	tarn_memory_free(p);
	tarn_memory_free(zero);
	tarn_memory_free(aligned);
	tarn_memory_free(shared);
	tarn_memory_free(NULL);
}

static void tarn_memory__not_started(void **state)
{
	(void)state;
	assert_int_equal(tarn_memory_thread_attach().code, TARN_INVALID);
	assert_null(tarn_memory_alloc(1, &tag));
	assert_int_equal(tarn_memory_stop(), 0);
	struct tarn_memory_config config = {.shareable_backing = TARN_MEMORY_THP};
	assert_int_equal(tarn_memory_start(&config).code, TARN_INVALID);
}

/* Who has a slot was given a cache by the runtime, and keeps it. */
static void tarn_memory_thread_detach__not_of_others(void **state)
{
	(void)state;
	tarn_memory_thread_detach();
	self_init(&unit_self, &unit_thread);
	self_set(&unit_self);
	assert_ok(mem_cache_attach(&unit_self));
	tarn_memory_thread_detach();
	assert_non_null(unit_self.mem);
	mem_cache_detach(&unit_self);
	self_set(NULL);
	self_fini(&unit_self);
	assert_int_equal(tarn_memory_thread_attach().code, TARN_OK);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(tarn_memory__every_function, start, stop),
		cmocka_unit_test(tarn_memory__not_started),
		cmocka_unit_test_setup_teardown(tarn_memory_thread_detach__not_of_others, start,
						stop),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
