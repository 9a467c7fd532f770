/* A check that has never found anything is not trusted: each kind of damage must be seen. */
#include "mem/check.h"

#include "mem/arena.h"
#include "mem/pool.h"
#include "mem_unit.h"

/* Damages *at, expects to hear `words`, and repairs it. */
#define DAMAGE(at, wrong, words)                                                                   \
	do {                                                                                       \
		__typeof__(at) was_ = (at);                                                        \
		(at) = (__typeof__(at))(wrong);                                                    \
		assert_non_null(mem_check());                                                      \
		assert_contains(mem_check(), words);                                               \
		(at) = was_;                                                                       \
		assert_null(mem_check());                                                          \
	} while (0)

static void mem_check__sees_damage(void **state)
{
	struct mem_part *part = arena_part(MEM_PRIVATE, 0);
	struct pool *pool = pool_of(mem_class_of(64), 0);
	void *run = mem_alloc(100000, &unit_tag), *object;

	(void)state;
	assert_int_equal(pool_take(pool, &object, 1), 1);
	assert_null(mem_check());
	DAMAGE(part->chunks[0].state, CHUNK_BUSY, "busy");
	DAMAGE(part->vacant[0], part->vacant[0] | 1, "vacancy");
	DAMAGE(part->chunks[0].used[7], ~0ull, "free pages");
	DAMAGE(part->chunks[0].absent[7], 1, "absent pages");
	DAMAGE(part->chunks[0].run_max, 1, "longer free run");
	DAMAGE(part->pages_used, 1, "not those of its chunks");
	DAMAGE(part->ready_count, 9, "ready chunks");
	DAMAGE(part->chunks[0].bucket, 1, "not its own");
	DAMAGE(pool->taken, 77, "do not add up");
	DAMAGE(pool->full_count, 77, "depot");
	DAMAGE(CONTAINER_OF(pool->partial[3].next, struct slab, link)->free, 3, "slab");
	assert_true(arena_limit_take(4096));
	assert_contains(mem_check(), "limit");
	arena_limit_give(4096);
	pool_put(pool, &object, 1);
	mem_free(run);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(mem_check__sees_damage, unit_start, unit_stop),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
