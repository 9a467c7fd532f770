#include "bench/memory_int.h"

#include "unit.h"

static void memory_size_drawn__is_log_uniform(void **state)
{
	uint32_t of_doubling[12] = {0};
	struct random r;

	(void)state;
	random_init(&r, 1);
	for (uint32_t i = 0; i < 120000; i++) {
		size_t bytes = memory_size_drawn(&r);

		assert_in_range(bytes, 16, 65536);
		of_doubling[63 - __builtin_clzll(bytes) - 4]++;
	}
	for (uint32_t i = 0; i < 12; i++)
		assert_in_range(of_doubling[i], 9500, 10500);
}

static void memory_guest_enter__gives_a_cache(void **state)
{
	struct memory_guest guest;
	struct mem_stats stats;
	void *p;

	(void)state;
	assert_true(status_ok(mem_start(NULL)));
	assert_true(status_ok(memory_guest_enter(&guest)));
	mem_stats(&stats);
	assert_int_equal(stats.caches, 1);
	p = MEMORY_OURS.alloc(64);
	assert_non_null(p);
	assert_true(MEMORY_OURS.usable(p) >= 64);
	MEMORY_OURS.release(p);
	memory_guest_leave(&guest);
	assert_int_equal(mem_stop(), 0);
}

/* Both outcomes are right: which one depends on what is installed. */
static void memory_peer__works_or_is_missing(void **state)
{
	struct memory_allocator peer;
	struct status s = memory_peer(&peer);
	void *p;

	(void)state;
	if (!status_ok(s)) {
		assert_true(status_is(s, STATUS_NOT_FOUND));
		return;
	}
	p = peer.alloc(100);
	assert_non_null(p);
	assert_true(peer.usable(p) >= 100);
	peer.release(p);
	peer.collect(true);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(memory_size_drawn__is_log_uniform),
		cmocka_unit_test(memory_guest_enter__gives_a_cache),
		cmocka_unit_test(memory_peer__works_or_is_missing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
