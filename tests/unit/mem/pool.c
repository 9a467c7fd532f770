#include "mem/pool.h"

#include "mem_unit.h"

static struct pool *pool64(void)
{
	return pool_of(mem_class_of(64), 0);
}

static void pool_take__distinct_objects(void **state)
{
	static void *objects[1000];
	uint32_t got = 0;

	(void)state;
	while (got < 1000)
		got += pool_take(pool64(), objects + got, 1000 - got);
	for (uint32_t i = 0; i < got; i++) {
		unpoison_range(objects[i], 64);
		memset(objects[i], (int)(i & 0xff), 64);
	}
	for (uint32_t i = 0; i < got; i++) {
		assert_int_equal((uintptr_t)objects[i] % 64, 0);
		assert_int_equal(*(unsigned char *)objects[i], i & 0xff);
	}
	assert_int_equal(pool64()->slabs, 4); /* of 256 */
	pool_put(pool64(), objects, got);
	assert_int_equal(pool64()->slabs, 0);
	assert_int_equal(pool64()->taken, 0);
}

static void pool_take__fullest_slab_first(void **state)
{
	static void *objects[512];

	(void)state;
	pool_take(pool64(), objects, 256);
	pool_take(pool64(), objects + 256, 256);
	assert_int_equal(pool64()->slabs, 2);
	/* the first slab loses all but a few, the second a few */
	pool_put(pool64(), objects, 200);
	pool_put(pool64(), objects + 256, 10);
	void *again[10];
	assert_int_equal(pool_take(pool64(), again, 10), 10);
	for (int i = 0; i < 10; i++)
		assert_ptr_equal(pool_object_start(again[i]), again[i]);
	/* the second is full again: what the first still holds can drain it */
	pool_put(pool64(), objects + 200, 56);
	assert_int_equal(pool64()->slabs, 1);
	pool_put(pool64(), again, 10);
	pool_put(pool64(), objects + 256 + 10, 246);
	assert_int_equal(pool64()->slabs, 0);
}

static void pool_take__every_class(void **state)
{
	(void)state;
	for (uint32_t class = 1; class <= MEM_CLASS_RUN_LAST; class += 1) {
		struct pool *pool = pool_of(class, 0);
		void *objects[200];
		uint32_t got = 0;

		while (got < 200)
			got += pool_take(pool, objects + got, 200 - got);
		for (uint32_t i = 0; i < got; i++) {
			unpoison_range(objects[i], pool->bytes);
			memset(objects[i], 0xee, pool->bytes);
			if (class <= MEM_CLASS_SLAB_LAST)
				assert_ptr_equal(
					pool_object_start((char *)objects[i] + pool->bytes - 1),
					objects[i]);
		}
		assert_null(mem_check());
		pool_put(pool, objects, got);
		assert_int_equal(pool->taken, 0);
	}
}

static void put_interior(void *arg)
{
	void *inside = (char *)arg + 8;

	pool_put(pool64(), &inside, 1);
}

static void put_twice(void *arg)
{
	pool_put(pool64(), &arg, 1);
	pool_put(pool64(), &arg, 1);
}

static void pool_put__bad_pointers(void **state)
{
	void *objects[2];

	(void)state;
	assert_int_equal(pool_take(pool64(), objects, 2), 2);
	unit_dies(put_interior, objects[0], "points into an object of 64 bytes at");
	unit_dies(put_twice, objects[0], "double free of");
	pool_put(pool64(), objects, 2);
}

static struct magazine *full_magazine(void)
{
	struct magazine *m = pool_magazine(pool64());

	assert_non_null(m);
	while (m->rounds < pool64()->rounds)
		m->rounds +=
			pool_take(pool64(), m->object + m->rounds, pool64()->rounds - m->rounds);
	return m;
}

static void pool_exchange__depot_is_bounded(void **state)
{
	uint32_t most = pool64()->full_max;

	(void)state;
	assert_null(pool_exchange_empty(pool64(), NULL));
	for (uint32_t i = 0; i < most; i++) {
		struct magazine *empty = pool_exchange_full(pool64(), full_magazine());

		assert_non_null(empty);
		assert_int_equal(empty->rounds, 0);
		pool_magazine_put(pool64(), empty);
	}
	assert_int_equal(pool64()->full_count, most);
	/* one more goes back into the slabs */
	uint64_t taken = pool64()->taken;
	struct magazine *over = full_magazine();
	assert_ptr_equal(pool_exchange_full(pool64(), over), over);
	assert_int_equal(over->rounds, 0);
	assert_int_equal(pool64()->taken, taken);
	struct magazine *full = pool_exchange_empty(pool64(), over);
	assert_int_equal(full->rounds, pool64()->rounds);
	pool_magazine_put(pool64(), full);
	assert_true(pool_reap(pool64(), true));
	assert_int_equal(pool64()->taken, 0);
}

static void pool_reap__what_lay_unused(void **state)
{
	(void)state;
	for (int i = 0; i < 3; i++)
		pool_magazine_put(pool64(), pool_exchange_full(pool64(), full_magazine()));
	assert_false(pool_reap(pool64(), false)); /* they came only now */
	pool_magazine_put(pool64(), pool_exchange_empty(pool64(), NULL));
	assert_true(pool_reap(pool64(), false)); /* two were not needed since */
	assert_int_equal(pool64()->full_count, 0);
	assert_false(pool_reap(pool64(), true));
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, unit_start, unit_stop)
	const struct CMUnitTest tests[] = {
		CASE(pool_take__distinct_objects),     CASE(pool_take__fullest_slab_first),
		CASE(pool_take__every_class),          CASE(pool_put__bad_pointers),
		CASE(pool_exchange__depot_is_bounded), CASE(pool_reap__what_lay_unused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
