#include "rt/policy.h"

#include "rt_unit.h"

/* That as many cores are used as the load needs; how many that is: load.c. */

static struct atomic_u32 enough;

static void keep_busy(void *arg)
{
	(void)arg;
	while (atomic_u32_load(&enough, ORDER_ACQUIRE) == 0)
		rt_yield();
}

static void until_cores(struct rt *rt, uint32_t cores)
{
	while (rt_class_cores(rt, RT_CLASS_SHARED) != cores)
		sched_yield();
}

static void control__gives_cores_up_and_takes_them_back(void **state)
{
	struct rt *rt;

	(void)state;
	atomic_u32_store(&enough, 0, ORDER_RELAXED);
	assert_ok(rt_start(&(struct rt_config){.cores = 3, .elastic = true}, &rt));
	until_cores(rt, 1); /* nothing to do: one is enough */
	for (int i = 0; i < 12; i++)
		assert_ok(rt_spawn(rt, NULL, keep_busy, NULL, NULL));
	until_cores(rt, 3);
	atomic_u32_store(&enough, 1, ORDER_RELEASE);
	until_cores(rt, 1);
	rt_stop(rt);
}

static void control__stops_at_once(void **state)
{
	(void)state;
	for (int i = 0; i < 50; i++) {
		struct rt *rt;

		/* its looks are up to a second apart: it is woken */
		assert_ok(rt_start(
			&(struct rt_config){.cores = 1, .elastic = true, .watchdog_ns = NS_PER_S},
			&rt));
		rt_stop(rt);
	}
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(control__gives_cores_up_and_takes_them_back),
		cmocka_unit_test(control__stops_at_once),
	};
	return unit_main(tests, argc, argv);
}
