#include "mem/raw.h"

#include "mem/tag.h"
#include "mem_unit.h"

static void free_it(void *arg)
{
	raw_free(arg);
}

static void free_twice(void *arg)
{
	raw_free(arg);
	raw_free(arg);
}

static void raw_free__foreign(void **state)
{
	static int here;
	int there;
	void *heap = malloc(16);

	(void)state;
	unit_dies(free_it, &here, "a foreign pointer");
	unit_dies(free_it, &there, "a foreign pointer");
	unit_dies(free_it, heap, "a foreign pointer");
	free(heap);
}

static void raw_free__never_handed_out(void **state)
{
	char *p = raw_alloc(100, 16, TAG_OTHER);

	(void)state;
	unit_dies(free_it, p + 64 * MIB, "which is not allocated");
	raw_free(p);
}

static void raw_free__inside_a_run(void **state)
{
	char *cached = raw_alloc(20000, 16, TAG_OTHER), *large = raw_alloc(5 * MIB, 16, TAG_OTHER);

	(void)state;
	unit_dies(free_it, cached + 16, "points into a run of 20480 bytes at");
	unit_dies(free_it, cached + 4096, "points into a run of 20480 bytes at");
	unit_dies(free_it, large + 3 * MIB + 1, "points into a run of 5242880 bytes at");
	assert_contains(unit_report, "(tag other)");
	raw_free(cached);
	raw_free(large);
}

static void raw_free__twice(void **state)
{
	char *cached = raw_alloc(20000, 16, TAG_OTHER), *large = raw_alloc(5 * MIB, 16, TAG_OTHER);

	(void)state;
	unit_dies(free_twice, cached, "double free of");
	unit_dies(free_twice, large, "which is not allocated (freed before");
	raw_free(cached);
	raw_free(large);
}

static void raw_alloc__alignment(void **state)
{
	(void)state;
	for (size_t align = 16; align <= 64 * MIB; align *= 2) {
		void *p = raw_alloc(align > 16 ? 5000 : 50, align, TAG_OTHER);

		assert_non_null(p);
		assert_int_equal((uintptr_t)p % align, 0);
		raw_free(p);
	}
}

static void raw_size__of_all_sorts(void **state)
{
	void *small = raw_alloc(100, 16, 0), *run = raw_alloc(5000, 16, TAG_OTHER);
	void *large = raw_run_alloc(MEM_SHAREABLE, 100000, 4096, TAG_OTHER);

	(void)state;
	assert_int_equal(raw_size(small), 112);
	assert_int_equal(raw_size(run), 8192);
	assert_int_equal(raw_size(large), 102400);
	raw_free(small);
	raw_free(run);
	raw_free(large);
}

static void raw_run_alloc__too_large(void **state)
{
	(void)state;
	assert_null(raw_run_alloc(MEM_PRIVATE, SIZE_MAX, 4096, TAG_OTHER));
	assert_contains(diag_text(), "more than");
	assert_null(raw_run_alloc(MEM_PRIVATE, 600 * MIB, 4096, TAG_OTHER));
	assert_contains(diag_text(), "memory limit of 256 MiB reached");
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, unit_start, unit_stop)
	const struct CMUnitTest tests[] = {
		CASE(raw_free__foreign),        CASE(raw_free__never_handed_out),
		CASE(raw_free__inside_a_run),   CASE(raw_free__twice),
		CASE(raw_alloc__alignment),     CASE(raw_size__of_all_sorts),
		CASE(raw_run_alloc__too_large),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
