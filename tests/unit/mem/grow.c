#include "mem/grow.h"

#include "base/os.h"
#include "mem/run.h"
#include "mem_unit.h"

#include <sched.h>

static struct mem_part *part(void)
{
	return arena_part(MEM_PRIVATE, 0);
}

static void mem_maintain__touches_ahead(void **state)
{
	int steps = 0;

	(void)state;
	while (mem_maintain(false))
		steps++;
	assert_int_equal(steps, 2); /* 4 MiB; the shareable arena is not in use */
	assert_int_equal(part()->ready_count, 2);
	assert_int_equal(grow_inline_count(), 0);
	mem_free(mem_alloc(100, &unit_tag));
	assert_int_equal(grow_inline_count(), 0);
	assert_false(mem_maintain(false)); /* half of them are enough */
	void *chunk = mem_alloc(2 * MIB - 4096, &unit_tag);
	assert_int_equal(part()->ready_count, 0);
	while (mem_maintain(false))
		;
	assert_int_equal(part()->ready_count, 2);
	assert_int_equal(grow_inline_count(), 0);
	mem_free(chunk);
	/* who asks for more than is ready pays, and it is counted */
	mem_free(mem_alloc(20 * MIB, &unit_tag));
	assert_int_equal(grow_inline_count(), 1);
}

static void mem_maintain__gives_back_chunks_and_pages(void **state)
{
	static void *p[2000];
	struct mem_stats peak, half;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(p); i++) {
		p[i] = mem_alloc(48000, &unit_tag);
		assert_non_null(p[i]);
		memset(p[i], (int)i, 48000);
	}
	mem_stats(&peak);
	/* every other one: no chunk becomes vacant */
	for (size_t i = 0; i < ARRAY_SIZE(p); i += 2)
		mem_free(p[i]);
	while (mem_maintain(true))
		;
	mem_stats(&half);
	assert_true(half.resident_bytes < peak.resident_bytes * 6 / 10);
	assert_null(mem_check());
	for (size_t i = 1; i < ARRAY_SIZE(p); i += 2) {
		for (size_t j = 0; j < 48000; j += 999)
			assert_int_equal(((unsigned char *)p[i])[j], i & 0xff);
		mem_free(p[i]);
	}
	while (mem_maintain(true))
		;
	mem_stats(&half);
	assert_true(half.resident_bytes <= 16 * MIB);
}

/* What is given back has really gone: the kernel's own count says so. */
static uint64_t process_resident(void)
{
	char text[128];
	size_t bytes;

	assert_ok(os_file_read("/proc/self/statm", text, sizeof(text), &bytes));
	return strtoull(strchr(text, ' '), NULL, 10) * os_page_bytes();
}

static void mem_maintain__resident_shrinks(void **state)
{
	uint64_t before = process_resident(), at_peak, after;
	void *p = mem_alloc(100 * MIB, &unit_tag);

	(void)state;
	assert_non_null(p);
	at_peak = process_resident();
	assert_true(at_peak >= before + 90 * MIB);
	mem_free(p);
	while (mem_maintain(true))
		;
	after = process_resident();
	assert_true(after < before + 40 * MIB);
}

static void grow_reclaim__before_refusing(void **state)
{
	static void *p[3000];
	size_t count = 0;

	(void)state;
	while (count < ARRAY_SIZE(p) && (p[count] = mem_alloc(64000, &unit_tag)))
		memset(p[count++], 1, 100);
	assert_true(count > 3500 * 60 / 64 || count == ARRAY_SIZE(p));
	for (size_t i = 0; i < count; i++)
		mem_free(p[i]);
	/* free pages and cached objects must not stand in the way of anybody */
	void *large = mem_buffer_alloc(MEM_SHAREABLE, 200 * MIB, 4096, &unit_tag);
	assert_non_null(large);
	mem_free(large);
}

/* Free objects in depots stand in the way of another class, until they are asked for. */
static void grow_reclaim__empties_depots(void **state)
{
	static void *p[300];
	size_t count = 0;
	void *rest = NULL, *last;

	(void)state;
	while (count < ARRAY_SIZE(p))
		assert_non_null(p[count++] = mem_alloc(4000, &unit_tag));
	/* all else, down to single pages, on a list through the objects */
	for (size_t bytes = 64000; bytes > 2000; bytes /= 2) {
		while ((last = mem_alloc(bytes, &unit_tag))) {
			*(void **)last = rest;
			rest = last;
		}
	}
	/* as many as cache and depot can hold together: none goes back to the arena by itself */
	for (size_t i = 100; i < 200; i++)
		mem_free(p[i]);
	last = mem_alloc(40000, &unit_tag);
	assert_non_null(last);
	mem_free(last);
	for (size_t i = 0; i < count; i++)
		if (i < 100 || i >= 200)
			mem_free(p[i]);
	while (rest) {
		last = *(void **)rest;
		mem_free(rest);
		rest = last;
	}
}

/* Waits, without a deadline of its own, until the grower has done something. */
static void wait_until(bool (*done)(void))
{
	while (!done())
		sched_yield();
}

static bool some_ready(void)
{
	spinlock_lock(&part()->lock);
	bool ready = part()->ready_count > 0;
	spinlock_unlock(&part()->lock);
	return ready;
}

static bool all_given_back(void)
{
	struct mem_stats stats;

	mem_stats(&stats);
	return stats.resident_bytes < 30 * MIB;
}

static void grow_start__in_the_background(void **state)
{
	struct mem_config config = unit_config();

	(void)state;
	config.background = true;
	config.give_back_ns = 1000000;
	unit_start_with(&config);
	wait_until(some_ready);
	for (int round = 0; round < 3; round++) {
		mem_free(mem_alloc(100 * MIB, &unit_tag));
		wait_until(all_given_back);
	}
	mem_cache_detach(&unit_self);
	self_set(NULL);
	self_fini(&unit_self);
	assert_int_equal(mem_stop(), 0);
}

static void grow_start__no_thread(void **state)
{
	struct mem_config config = unit_config();

	(void)state;
	config.background = true;
	os_fault_set(OS_CALL_BIT(OS_CALL_THREAD), 0, true);
	assert_status(mem_start(&config), LIMIT);
	os_fault_clear();
	assert_null(arena.base);
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, unit_start, unit_stop)
	const struct CMUnitTest tests[] = {
		CASE(mem_maintain__touches_ahead),
		CASE(mem_maintain__gives_back_chunks_and_pages),
		CASE(mem_maintain__resident_shrinks),
		CASE(grow_reclaim__before_refusing),
		CASE(grow_reclaim__empties_depots),
		cmocka_unit_test(grow_start__in_the_background),
		cmocka_unit_test(grow_start__no_thread),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
