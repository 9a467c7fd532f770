#include "mem/run.h"

#include "base/os.h"
#include "mem_unit.h"

static struct mem_part *part(void)
{
	return arena_part(MEM_PRIVATE, 0);
}

static char *take(size_t pages, size_t align_pages)
{
	char *run = NULL;

	assert_ok(run_alloc(part(), pages, align_pages, &run));
	unpoison_range(run, pages << MEM_PAGE_SHIFT);
	memset(run, 1, pages << MEM_PAGE_SHIFT);
	return run;
}

static uint64_t pages_used(void)
{
	return part()->pages_used;
}

static void run_alloc__exactly_as_long_as_asked(void **state)
{
	(void)state;
	char *long_run = take(325, 1); /* 1.3 MB */
	char *rest = take(CHUNK_PAGES - 325, 1);

	assert_int_equal(pages_used(), CHUNK_PAGES);
	assert_int_equal(part()->chunks_touched, 1);
	assert_ptr_equal(rest, long_run + 325 * MEM_PAGE_BYTES);
	run_free(long_run, 325);
	run_free(rest, CHUNK_PAGES - 325);
	assert_int_equal(pages_used(), 0);
}

static void run_alloc__tightest_hole(void **state)
{
	char *runs[CHUNK_PAGES / 8];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(runs); i++)
		runs[i] = take(8, 1);
	char *other = take(100, 1);
	/* a hole of 8 in the full chunk, and 412 free pages in the other one */
	run_free(runs[17], 8);
	char *eight = take(8, 1);
	assert_ptr_equal(eight, runs[17]);
	/* holes side by side are one hole */
	run_free(runs[30], 8);
	run_free(runs[32], 8);
	run_free(runs[31], 8);
	char *merged = take(24, 1);
	assert_ptr_equal(merged, runs[30]);
	run_free(merged, 24);
	run_free(other, 100);
	for (size_t i = 0; i < ARRAY_SIZE(runs); i++)
		if (i < 30 || i > 32)
			run_free(runs[i], 8);
	assert_int_equal(pages_used(), 0);
}

static void run_alloc__aligned(void **state)
{
	(void)state;
	char *off = take(1, 1);

	for (size_t align = 1; align <= 4096; align *= 2) {
		char *run = take(3, align);

		assert_int_equal((uintptr_t)run % (align << MEM_PAGE_SHIFT), 0);
		run_free(run, 3);
	}
	run_free(off, 1);
}

static void run_alloc__many_chunks(void **state)
{
	(void)state;
	char *run = take(CHUNK_PAGES * 3 + 5, 1);

	assert_int_equal(part()->chunks_touched, 4);
	/* the rest of the last chunk is not lost */
	char *rest = take(CHUNK_PAGES - 5, 1);
	assert_int_equal(part()->chunks_touched, 4);
	run_free(run, CHUNK_PAGES * 3 + 5);
	/* three vacant chunks in a row again */
	char *again = take(CHUNK_PAGES * 3, 1);
	assert_int_equal(part()->chunks_touched, 4);
	run_free(rest, CHUNK_PAGES - 5);
	run_free(again, CHUNK_PAGES * 3);
}

static void run_alloc__limit_and_recovery(void **state)
{
	char *held[128];
	char *none = NULL;
	size_t count = 0;

	(void)state;
	while (count < ARRAY_SIZE(held) &&
	       status_ok(run_alloc(part(), CHUNK_PAGES, 1, &held[count])))
		count++;
	assert_int_equal(count, 128); /* 256 MiB */
	assert_status(run_alloc(part(), 1, 1, &none), NO_MEMORY);
	assert_contains(diag_text(), "memory limit of 256 MiB reached: raise --memory");
	assert_status(run_alloc(part(), (size_t)1 << 40, 1, &none), NO_MEMORY);
	run_free(held[--count], CHUNK_PAGES);
	run_free(take(7, 1), 7);
	/* the other arena gets what this one has free */
	assert_ok(run_alloc(arena_part(MEM_SHAREABLE, 0), CHUNK_PAGES, 1, &none));
	run_free(none, CHUNK_PAGES);
	while (count > 0)
		run_free(held[--count], CHUNK_PAGES);
}

/* What the other arena has free, in whole chunks and in pages of one in use, is not lost to us. */
static void run_alloc__takes_from_the_other_arena(void **state)
{
	struct mem_part *other = arena_part(MEM_SHAREABLE, 0);
	char *first = NULL, *held = NULL, *ours[128];
	size_t count = 0;

	(void)state;
	assert_ok(run_alloc(other, CHUNK_PAGES * 60 + 5, 1, &first));
	assert_ok(run_alloc(other, 1, 1, &held));
	run_free(first, CHUNK_PAGES * 60 + 5);
	/* down to less than a chunk below the limit */
	assert_true(arena_limit_take(MIB));
	while (count < ARRAY_SIZE(ours) &&
	       status_ok(run_alloc(part(), CHUNK_PAGES, 1, &ours[count])))
		count++;
	assert_int_equal(count, 127);
	arena_limit_give(MIB);
	run_free(held, 1);
	while (count > 0)
		run_free(ours[--count], CHUNK_PAGES);
}

static void run_alloc_many__as_many_as_fit(void **state)
{
	void *runs[64];
	uint32_t got = run_alloc_many(part(), 3, runs, 64);

	(void)state;
	assert_int_equal(got, 1); /* the first opens a chunk */
	got += run_alloc_many(part(), 3, runs + 1, 63);
	assert_int_equal(got, 64);
	assert_int_equal(pages_used(), 64 * 3);
	for (uint32_t i = 0; i < got; i++) {
		unpoison_range(runs[i], 3 * MEM_PAGE_BYTES);
		memset(runs[i], (int)i, 3 * MEM_PAGE_BYTES);
		run_free(runs[i], 3);
	}
}

static void run_purge__and_take_again(void **state)
{
	uint64_t before;

	(void)state;
	char *low = take(100, 1), *mid = take(300, 1), *high = take(112, 1);

	run_free(mid, 300);
	before = atomic_u64_load(&arena.resident, ORDER_RELAXED);
	assert_int_equal(run_purge(part(), SIZE_MAX, 1), 300);
	assert_int_equal(before - atomic_u64_load(&arena.resident, ORDER_RELAXED),
			 300 * MEM_PAGE_BYTES);
	assert_int_equal(run_purge(part(), SIZE_MAX, 1), 0);
	/* neighbours kept what they had; purged pages are zeroed and come back with memory */
	assert_int_equal(low[100 * MEM_PAGE_BYTES - 1], 1);
	assert_int_equal(high[0], 1);
	char *part_of_it = NULL;
	assert_ok(run_alloc(part(), 150, 1, &part_of_it));
	assert_ptr_equal(part_of_it, mid);
	assert_int_equal(part_of_it[0] | part_of_it[150 * MEM_PAGE_BYTES - 1], 0);
	assert_int_equal(before - atomic_u64_load(&arena.resident, ORDER_RELAXED),
			 150 * MEM_PAGE_BYTES);
	run_free(part_of_it, 150);
	run_free(low, 100);
	run_free(high, 112);
}

static void run_purge__populate_fails(void **state)
{
	(void)state;
	char *low = take(10, 1), *mid = take(500, 1), *run = NULL;

	run_free(mid, 500);
	assert_int_equal(run_purge(part(), SIZE_MAX, 1), 500 + 2);
	os_fault_set(OS_CALL_BIT(OS_CALL_COMMIT), 0, true);
	assert_status(run_alloc(part(), 400, 1, &run), NO_MEMORY);
	os_fault_clear();
	assert_null(mem_check());
	assert_ok(run_alloc(part(), 400, 1, &run));
	run_free(run, 400);
	run_free(low, 10);
}

static void run_chunk_give_back__and_ahead(void **state)
{
	(void)state;
	assert_true(run_chunk_ahead(part()));
	assert_true(run_chunk_ahead(part()));
	assert_int_equal(part()->ready_count, 2);
	assert_false(run_chunk_give_back(part(), 2));
	assert_true(run_chunk_give_back(part(), 1));
	assert_int_equal(part()->chunks_touched, 1);
	/* a request takes the ready one and does not wait */
	char *run = take(1, 1);
	assert_int_equal(part()->chunks_touched, 1);
	run_free(run, 1);
	assert_true(run_chunk_give_back(part(), 0));
	assert_false(run_chunk_give_back(part(), 0));
	assert_int_equal(atomic_u64_load(&arena.resident, ORDER_RELAXED), 0);
}

static void run_chunk_give_back__refused_by_the_system(void **state)
{
	(void)state;
	assert_true(run_chunk_ahead(part()));
	os_fault_set(OS_CALL_BIT(OS_CALL_ADVISE), 0, true);
	assert_false(run_chunk_give_back(part(), 0));
	os_fault_clear();
	assert_int_equal(part()->ready_count, 1);
	assert_true(run_chunk_give_back(part(), 0));
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, unit_start, unit_stop)
	const struct CMUnitTest tests[] = {
		CASE(run_alloc__exactly_as_long_as_asked),
		CASE(run_alloc__tightest_hole),
		CASE(run_alloc__aligned),
		CASE(run_alloc__many_chunks),
		CASE(run_alloc__limit_and_recovery),
		CASE(run_alloc__takes_from_the_other_arena),
		CASE(run_alloc_many__as_many_as_fit),
		CASE(run_purge__and_take_again),
		CASE(run_purge__populate_fails),
		CASE(run_chunk_give_back__and_ahead),
		CASE(run_chunk_give_back__refused_by_the_system),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
