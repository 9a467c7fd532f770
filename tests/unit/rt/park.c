#include "rt_unit.h"

/* ---- sleeping and being woken by everything -------------------------------------------------- */

static bool sleeps(const struct rt_core *c)
{
	return atomic_u32_load(&c->parked, ORDER_ACQUIRE) != 0;
}

static void until_asleep(struct rt *rt)
{
	for (uint32_t i = 0; i < rt->core_count; i++)
		while (!sleeps(&rt->cores[i]))
			sched_yield();
}

static void count(void *arg)
{
	unit_count(arg);
}

#define ROUNDS 300

static void core_kick__by_a_spawn(void **state)
{
	struct rt *rt = unit_start(2);
	struct atomic_u32 ran = {0};

	(void)state;
	for (uint32_t i = 0; i < ROUNDS; i++) {
		struct rt_attr attr = {.core = i % 2, .detached = true};

		if (i % 4 < 2) /* otherwise at about the time at which it falls asleep */
			until_asleep(rt);
		assert_ok(rt_spawn(rt, &attr, count, &ran, NULL));
		unit_until(&ran, i + 1);
	}
	rt_stop(rt);
}

struct waiting {
	struct rt_wait ticket;
	struct atomic_u32 waits;
	struct atomic_u32 woken;
};

static void wait_over_and_over(void *arg)
{
	struct waiting *w = arg;

	for (uint32_t i = 0; i < ROUNDS; i++) {
		w->ticket = rt_wait_begin("a kick");
		unit_count(&w->waits);
		CHECK_OK(rt_wait(w->ticket, CLOCK_NEVER));
		unit_count(&w->woken);
	}
}

static void core_kick__by_a_wake(void **state)
{
	struct rt *rt = unit_start(1);
	struct waiting w = {0};

	(void)state;
	assert_ok(rt_spawn(rt, NULL, wait_over_and_over, &w, NULL));
	for (uint32_t i = 0; i < ROUNDS; i++) {
		unit_until(&w.waits, i + 1);
		if (i % 2)
			until_asleep(rt);
		assert_true(rt_wake(w.ticket));
		unit_until(&w.woken, i + 1);
	}
	rt_stop(rt);
}

/* With nothing to do all cores fall asleep and stay so. */
static void core_park__idle(void **state)
{
	struct rt *rt = unit_start(2);
	struct rt_stats stats;

	(void)state;
	until_asleep(rt);
	rt_stats(rt, &stats);
	assert_int_equal(stats.threads_alive, 0);
	rt_stop(rt);
}

/* ---- a sleeper of somebody else's ------------------------------------------------------------ */

struct bed {
	struct atomic_u32 word;
	struct atomic_u32 sleeps;
	struct atomic_u32 wakes;
};

static void bed_sleep(void *arg, uint64_t deadline)
{
	struct bed *b = arg;

	unit_count(&b->sleeps);
	kthread_sleep(&b->word, 0, deadline);
	atomic_u32_store(&b->word, 0, ORDER_RELAXED);
}

static void bed_wake(void *arg)
{
	struct bed *b = arg;

	unit_count(&b->wakes);
	atomic_u32_store(&b->word, 1, ORDER_RELEASE);
	kthread_wake(&b->word, 1);
}

static void set_sleeper(void *arg)
{
	struct rt_sleeper sleeper = {.sleep = bed_sleep, .wake = bed_wake, .arg = arg};

	rt_sleeper_set(arg ? &sleeper : NULL);
}

static void rt_sleeper_set__is_used_until_put_back(void **state)
{
	struct rt *rt = unit_start(1);
	struct bed bed = {0};
	struct atomic_u32 ran = {0};
	uint32_t sleeps_before;

	(void)state;
	assert_ok(rt_call(rt, set_sleeper, &bed));
	for (uint32_t i = 0; i < 50; i++) {
		unit_until(&bed.sleeps, i + 1);
		until_asleep(rt);
		assert_ok(rt_call(rt, count, &ran));
	}
	assert_true(atomic_u32_load(&bed.wakes, ORDER_ACQUIRE) > 0);
	assert_ok(rt_call(rt, set_sleeper, NULL));
	sleeps_before = atomic_u32_load(&bed.sleeps, ORDER_ACQUIRE);
	until_asleep(rt);
	assert_ok(rt_call(rt, count, &ran));
	until_asleep(rt);
	assert_int_equal(atomic_u32_load(&bed.sleeps, ORDER_ACQUIRE), sleeps_before);
	rt_stop(rt);
	assert_int_equal(atomic_u32_load(&ran, ORDER_ACQUIRE), 51);
}

/* One that returns early, for no reason, is as good. */
static void light_sleep(void *arg, uint64_t deadline)
{
	(void)deadline;
	unit_count(arg);
	sched_yield();
}

static void light_wake(void *arg)
{
	(void)arg;
}

static void set_light_sleeper(void *arg)
{
	struct rt_sleeper sleeper = {.sleep = light_sleep, .wake = light_wake, .arg = arg};

	rt_sleeper_set(&sleeper);
}

static void sleep_lightly(void *arg)
{
	for (int i = 0; i < 20; i++)
		CHECK_OK(rt_sleep(NS_PER_MS / 4));
	unit_count(arg);
}

static void rt_sleeper_set__may_return_early(void **state)
{
	struct rt *rt = unit_start(1);
	struct atomic_u32 slept = {0}, ran = {0};

	(void)state;
	assert_ok(rt_call(rt, set_light_sleeper, &slept));
	assert_ok(rt_call(rt, sleep_lightly, &ran));
	assert_ok(rt_call(rt, count, &ran));
	assert_true(atomic_u32_load(&slept, ORDER_ACQUIRE) > 0);
	rt_stop(rt);
	assert_int_equal(atomic_u32_load(&ran, ORDER_ACQUIRE), 2);
}

/* ---- hooks ----------------------------------------------------------------------------------- */

struct hooked {
	struct rt_hook hook;
	uint32_t polls;
	uint32_t events;
};

static uint32_t poll_hook(void *arg)
{
	struct hooked *h = arg;

	h->polls++;
	if (h->events == 0)
		return 0;
	h->events--;
	return 1;
}

static uint32_t poll_and_remove(void *arg)
{
	struct hooked *h = arg;

	h->polls++;
	rt_hook_remove(&h->hook);
	return 0;
}

static void until_polled(const struct hooked *h, uint32_t polls)
{
	while (h->polls < polls)
		unit_yield();
}

static void hooks(void *arg)
{
	struct hooked a = {0}, b = {0}, once = {0};

	(void)arg;
	a.hook = (struct rt_hook){.poll = poll_hook, .arg = &a, .name = "a"};
	b.hook = (struct rt_hook){.poll = poll_hook, .arg = &b, .name = "b"};
	once.hook = (struct rt_hook){.poll = poll_and_remove, .arg = &once, .name = "once"};
	rt_hook_add(&a.hook);
	rt_hook_add(&once.hook);
	rt_hook_add(&b.hook);
	b.events = 5;
	until_polled(&a, 10);
	until_polled(&b, 10);
	CHECK(once.polls == 1);
	CHECK(b.events == 0);
	/* the core looks also while nobody runs */
	uint32_t before = a.polls;
	CHECK_OK(rt_sleep(NS_PER_MS));
	CHECK(a.polls > before);
	rt_hook_remove(&a.hook);
	before = a.polls;
	until_polled(&b, b.polls + 10);
	CHECK(a.polls == before);
	rt_hook_remove(&b.hook);
}

static void rt_hook_add__and_remove(void **state)
{
	(void)state;
	unit_run(1, hooks, NULL);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(core_kick__by_a_spawn),
		cmocka_unit_test(core_kick__by_a_wake),
		cmocka_unit_test(core_park__idle),
		cmocka_unit_test(rt_sleeper_set__is_used_until_put_back),
		cmocka_unit_test(rt_sleeper_set__may_return_early),
		cmocka_unit_test(rt_hook_add__and_remove),
	};
	return unit_main(tests, argc, argv);
}
