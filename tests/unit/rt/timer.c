#include "rt_unit.h"

/* The heap against a sorted model with random operations is tests/model/timer.c. */

static void timers_insert__earliest_first(void **state)
{
	struct rt_timer timers[8] = {0};
	struct rt_timer *heap = NULL;
	static const uint64_t deadlines[8] = {5, 3, 9, 3, 7, 1, 8, 2};

	(void)state;
	for (int i = 0; i < 8; i++) {
		timers[i].deadline = deadlines[i];
		timers_insert(&heap, &timers[i]);
	}
	for (uint64_t last = 0; heap;) {
		struct rt_timer *first = heap;

		assert_true(first->deadline >= last);
		last = first->deadline;
		timers_remove(&heap, first);
		assert_null(first->previous);
	}
}

static void timers_remove__root_leaf_and_between(void **state)
{
	(void)state;
	for (int gone = 0; gone < 5; gone++) {
		struct rt_timer timers[5] = {0};
		struct rt_timer *heap = NULL;

		for (int i = 0; i < 5; i++) {
			timers[i].deadline = (uint64_t)(i * 7 % 5);
			timers_insert(&heap, &timers[i]);
		}
		timers_remove(&heap, &timers[gone]);
		timers_insert(&heap, &timers[gone]);
		timers_remove(&heap, &timers[gone]);
		for (uint64_t expected = 0; expected < 5; expected++) {
			if (expected == timers[gone].deadline)
				continue;
			assert_int_equal(heap->deadline, expected);
			timers_remove(&heap, heap);
		}
		assert_null(heap);
	}
}

/* ---- on a core ------------------------------------------------------------------------------- */

struct fired {
	struct rt_timer timer;
	struct rt_timer *other; /* armed or disarmed by this one */
	uint64_t others_deadline;
	uint32_t times;
	uint32_t order;
	uint64_t again_ns;
};

static uint32_t fired_count;

static void note_fired(void *arg)
{
	struct fired *f = arg;

	CHECK(clock_ns() >= f->timer.deadline);
	f->times++;
	f->order = ++fired_count;
}

static void until_fired(uint32_t count)
{
	while (fired_count < count)
		unit_yield();
}

static void arm_some(void *arg)
{
	struct fired f[5] = {0};
	uint64_t now = clock_ns();

	(void)arg;
	fired_count = 0;
	for (uint64_t i = 0; i < 5; i++) {
		f[i].timer = (struct rt_timer){.fire = note_fired, .arg = &f[i]};
		rt_timer_arm(&f[i].timer, now + NS_PER_MS - i * 1000);
	}
	CHECK(rt_timer_disarm(&f[2].timer));
	CHECK(!rt_timer_disarm(&f[2].timer));
	until_fired(4);
	for (uint32_t i = 0; i < 5; i++)
		CHECK(f[i].times == (i != 2));
	/* by deadline, not by when they were armed */
	CHECK(f[4].order == 1 && f[3].order == 2 && f[1].order == 3 && f[0].order == 4);
	CHECK(!rt_timer_disarm(&f[0].timer));
	/* one that has fired can be armed again */
	rt_timer_arm(&f[0].timer, clock_ns());
	until_fired(5);
	CHECK(f[0].times == 2);
}

static void rt_timer_arm__fires_in_order(void **state)
{
	(void)state;
	unit_run(1, arm_some, NULL);
}

static void fire_arms_and_disarms(void *arg)
{
	struct fired *f = arg;

	note_fired(f);
	if (f->times < 3)
		rt_timer_arm(&f->timer, clock_ns() + f->again_ns);
	if (f->other && f->times == 1)
		CHECK(rt_timer_disarm(f->other));
}

static void fire_changes_timers(void *arg)
{
	struct fired other = {0};
	struct fired f = {.other = &other.timer, .again_ns = 1000};
	uint64_t now = clock_ns();

	(void)arg;
	fired_count = 0;
	other.timer = (struct rt_timer){.fire = note_fired, .arg = &other};
	f.timer = (struct rt_timer){.fire = fire_arms_and_disarms, .arg = &f};
	/* both are due at the same look; the first takes the second away */
	rt_timer_arm(&other.timer, now + 2);
	rt_timer_arm(&f.timer, now + 1);
	until_fired(3);
	CHECK(f.times == 3);
	CHECK(other.times == 0);
}

static void rt_timer_arm__from_a_timer(void **state)
{
	(void)state;
	unit_run(1, fire_changes_timers, NULL);
}

/* A core that sleeps is woken by its earliest timer, also when an earlier one comes later. */
static void sleep_and_fire(void *arg)
{
	struct fired late = {0}, soon = {0};

	(void)arg;
	fired_count = 0;
	late.timer = (struct rt_timer){.fire = note_fired, .arg = &late};
	soon.timer = (struct rt_timer){.fire = note_fired, .arg = &soon};
	rt_timer_arm(&late.timer, clock_ns() + 3600 * NS_PER_S);
	rt_timer_arm(&soon.timer, clock_ns() + 2 * NS_PER_MS);
	while (soon.times == 0)
		CHECK_OK(rt_sleep(NS_PER_MS / 2));
	CHECK(late.times == 0);
	CHECK(rt_timer_disarm(&late.timer));
}

static void timers_next__wakes_the_core(void **state)
{
	(void)state;
	unit_run(1, sleep_and_fire, NULL);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(timers_insert__earliest_first),
		cmocka_unit_test(timers_remove__root_leaf_and_between),
		cmocka_unit_test(rt_timer_arm__fires_in_order),
		cmocka_unit_test(rt_timer_arm__from_a_timer),
		cmocka_unit_test(timers_next__wakes_the_core),
	};
	return unit_main(tests, argc, argv);
}
