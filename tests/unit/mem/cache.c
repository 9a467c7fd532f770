#include "mem/cache.h"

#include "base/os.h"
#include "mem_unit.h"

static struct mem_cache *cache(void)
{
	return unit_self.mem;
}

static void mem_cache_attach__takes_and_keeps(void **state)
{
	(void)state;
	assert_int_equal(cache_count(), 1);
	void *p = mem_alloc(64, &unit_tag);
	mem_free(p);
	/* last in, first out, and nothing has gone anywhere */
	assert_ptr_equal(mem_alloc(64, &unit_tag), p);
	assert_true(cache_held_bytes(cache()) > 0);
	mem_free(p);
}

static void mem_cache_detach__everything_goes_back(void **state)
{
	struct mem_stats stats;

	(void)state;
	for (size_t bytes = 1; bytes < 70000; bytes += bytes / 3 + 1)
		mem_free(mem_alloc(bytes, &unit_tag));
	mem_cache_detach(&unit_self);
	assert_null(unit_self.mem);
	assert_int_equal(cache_count(), 0);
	mem_stats(&stats);
	assert_int_equal(stats.used_bytes, 0);
	assert_int_equal(stats.cached_bytes, 0);
	mem_cache_detach(&unit_self); /* a second time is of no harm */
	assert_ok(mem_cache_attach(&unit_self));
}

/* A thread that never registered has the long way only, with the same results. */
static void cache_take__without_a_cache(void **state)
{
	void *p[100];

	(void)state;
	self_set(NULL);
	for (size_t i = 0; i < ARRAY_SIZE(p); i++) {
		p[i] = mem_alloc(i * 97, &unit_tag);
		assert_non_null(p[i]);
		memset(p[i], (int)i, i * 97);
	}
	self_set(&unit_self);
	for (size_t i = 0; i < ARRAY_SIZE(p); i += 2)
		mem_free(p[i]);
	self_set(NULL);
	for (size_t i = 1; i < ARRAY_SIZE(p); i += 2)
		mem_free(p[i]);
	self_set(&unit_self);
}

static void mem_cache_attach__not_started(void **state)
{
	struct self s = {0};

	(void)state;
	assert_status(mem_cache_attach(&s), INVALID);
	assert_null(s.mem);
}

/* ---- objects of one core that die on another ---- */

#define REMOTE_OBJECTS 20000u

static void *remote_object[REMOTE_OBJECTS];

static void *remote_free(void *arg)
{
	struct self_thread thread = {.name = "remote"};
	struct self me;

	(void)arg;
	self_init(&me, &thread);
	self_set(&me);
	if (!status_ok(mem_cache_attach(&me)))
		return NULL;
	for (uint32_t i = 0; i < REMOTE_OBJECTS; i++)
		mem_free(remote_object[i]);
	mem_cache_detach(&me);
	self_set(NULL);
	self_fini(&me);
	return remote_object;
}

static void cache_put__remote(void **state)
{
	struct pool *pool = pool_of(mem_class_of(64), 0);
	pthread_t thread;
	void *done = NULL;

	(void)state;
	for (uint32_t i = 0; i < REMOTE_OBJECTS; i++)
		remote_object[i] = mem_alloc(10, &unit_tag);
	assert_int_equal(pthread_create(&thread, NULL, remote_free, NULL), 0);
	pthread_join(thread, &done);
	assert_ptr_equal(done, remote_object);
	/* the depot has some, the slabs the rest; the first core gets them from there */
	assert_true(pool_depot_objects(pool) <= (uint64_t)pool->full_max * pool->rounds);
	mem_cache_detach(&unit_self);
	pool_reap(pool, true);
	assert_int_equal(pool->taken, 0);
	assert_ok(mem_cache_attach(&unit_self));
}

/* Filling and emptying across the borders of magazines loses and doubles nothing. */
static void cache_take__borders_of_magazines(void **state)
{
	static void *p[1000];

	(void)state;
	for (size_t depth = 1; depth <= ARRAY_SIZE(p); depth += depth / 7 + 1) {
		for (int round = 0; round < 3; round++) {
			for (size_t i = 0; i < depth; i++) {
				p[i] = mem_alloc(4096, &unit_tag);
				assert_non_null(p[i]);
				*(size_t *)p[i] = i;
			}
			for (size_t i = 0; i < depth; i++) {
				assert_int_equal(*(size_t *)p[i], i);
				mem_free(p[i]);
			}
		}
	}
	assert_null(mem_check());
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, unit_start, unit_stop)
	const struct CMUnitTest tests[] = {
		CASE(mem_cache_attach__takes_and_keeps),
		CASE(mem_cache_detach__everything_goes_back),
		CASE(cache_take__without_a_cache),
		cmocka_unit_test(mem_cache_attach__not_started),
		CASE(cache_put__remote),
		CASE(cache_take__borders_of_magazines),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
