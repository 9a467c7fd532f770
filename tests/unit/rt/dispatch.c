#include "rt_unit.h"

static void count(void *arg)
{
	unit_count(arg);
}

/* ---- arrivals from other cores --------------------------------------------------------------- */

/* Holds its core until *arg is not 0. */
static void hold_core(void *arg)
{
	struct atomic_u32 *word = arg;

	unit_count(word);
	while (atomic_u32_load(word, ORDER_ACQUIRE) < 2)
		sched_yield();
}

/* While its core looks away more threads come than its ring has cells. */
static void spawn_on_a_busy_core(void *arg)
{
	enum { COUNT = 10 * SPAWN_CELLS };
	static struct rt_id ids[COUNT];
	struct atomic_u32 held = {0}, ran = {0};
	struct rt_id holder = unit_spawn(1, hold_core, &held);

	(void)arg;
	unit_until(&held, 1);
	for (int i = 0; i < COUNT; i++)
		ids[i] = unit_spawn(1, count, &ran);
	CHECK(atomic_u32_load(&ran, ORDER_ACQUIRE) == 0);
	unit_count(&held);
	for (int i = 0; i < COUNT; i++)
		CHECK_OK(rt_join(ids[i]));
	CHECK(atomic_u32_load(&ran, ORDER_ACQUIRE) == COUNT);
	CHECK_OK(rt_join(holder));
}

static void rt_spawn__more_than_the_ring_holds(void **state)
{
	(void)state;
	unit_run(2, spawn_on_a_busy_core, NULL);
}

/* ---- yield ----------------------------------------------------------------------------------- */

struct turn {
	uint32_t me;
	uint32_t *at;
	bool ok;
};

static void take_turns(void *arg)
{
	struct turn *t = arg;

	t->ok = true;
	for (uint32_t i = 0; i < 1000; i++) {
		t->ok = t->ok && *t->at % 3 == t->me;
		++*t->at;
		rt_yield();
	}
}

static void yields(void *arg)
{
	uint32_t at = 0;
	struct turn turns[3];
	struct rt_id ids[3];

	(void)arg;
	for (uint32_t i = 0; i < 3; i++) {
		turns[i] = (struct turn){.me = i, .at = &at};
		ids[i] = unit_spawn(0, take_turns, &turns[i]);
	}
	for (uint32_t i = 0; i < 3; i++) {
		CHECK_OK(rt_join(ids[i]));
		CHECK(turns[i].ok);
	}
	CHECK(at == 3000);
}

/* While this thread waits for the first, three take turns, in the order in which they came. */
static void rt_yield__in_turn(void **state)
{
	(void)state;
	unit_run(1, yields, NULL);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(rt_spawn__more_than_the_ring_holds),
		cmocka_unit_test(rt_yield__in_turn),
	};
	return unit_main(tests, argc, argv);
}
