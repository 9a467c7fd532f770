#include "rt_unit.h"

/* Where a waiting thread leaves its ticket, and how its wait ended. */
struct waiter {
	struct rt_wait ticket;
	uint64_t deadline;
	struct status status;
	struct atomic_u32 waits; /* 1: the ticket is there */
	uint32_t value;
};

static void wait_once(void *arg)
{
	struct waiter *w = arg;

	w->ticket = rt_wait_begin("test");
	atomic_u32_store(&w->waits, 1, ORDER_RELEASE);
	w->status = rt_wait(w->ticket, w->deadline);
}

static void wait_once_hard(void *arg)
{
	struct waiter *w = arg;

	w->ticket = wait_begin_hard("test");
	atomic_u32_store(&w->waits, 1, ORDER_RELEASE);
	w->status = rt_wait(w->ticket, w->deadline);
}

static struct waiter waiter_forever(void)
{
	return (struct waiter){.deadline = CLOCK_NEVER, .status = {STATUS_BUG}};
}

/* ---- waking ---------------------------------------------------------------------------------- */

static void wake_early(void *arg)
{
	struct rt_wait w = rt_wait_begin("test");

	(void)arg;
	CHECK(rt_wake(w));
	CHECK_OK(rt_wait(w, CLOCK_NEVER));
	/* an early wake counts even when the deadline has passed already */
	w = rt_wait_begin("test");
	CHECK(rt_wake(w));
	CHECK_OK(rt_wait(w, 1));
}

static void rt_wake__before_the_wait(void **state)
{
	(void)state;
	unit_run(1, wake_early, NULL);
}

static void wake_late(void *arg)
{
	struct rt_wait first = rt_wait_begin("test");

	(void)arg;
	CHECK(rt_wake(first));
	CHECK_OK(rt_wait(first, CLOCK_NEVER));
	CHECK(!rt_wake(first));

	struct rt_wait second = rt_wait_begin("test");

	CHECK(!rt_wake(first));
	CHECK_STATUS(rt_wait(second, clock_ns()), TIMEOUT);
	CHECK(!rt_wake(second));

	struct rt_wait abandoned = rt_wait_begin("test");
	struct rt_wait third = rt_wait_begin("test");

	/* one that was begun and never waited for is overtaken by the next */
	CHECK(!rt_wake(abandoned));
	CHECK(rt_wake(third));
	CHECK(!rt_wake(third));
	CHECK_OK(rt_wait(third, CLOCK_NEVER));
}

static void rt_wake__of_an_earlier_wait_is_stale(void **state)
{
	(void)state;
	unit_run(1, wake_late, NULL);
}

static void wake_blocked_on(uint32_t core)
{
	struct waiter w = waiter_forever();
	struct rt_id id = unit_spawn(core, wait_once, &w);

	unit_until_blocked(id);
	w.value = 7;
	CHECK(rt_wake(w.ticket));
	CHECK(!rt_wake(w.ticket));
	CHECK_OK(rt_join(id));
	CHECK_OK(w.status);
	CHECK(!rt_wake(w.ticket));
}

static void wake_blocked(void *arg)
{
	(void)arg;
	for (int i = 0; i < 200; i++) {
		wake_blocked_on(0);
		wake_blocked_on(1);
	}
}

static void rt_wake__wakes_once_on_each_core(void **state)
{
	(void)state;
	unit_run(2, wake_blocked, NULL);
}

/* The ticket outlives its thread: records are never given back while the runtime lives. */
static void wake_ended(void *arg)
{
	struct waiter w = waiter_forever();
	struct waiter next = waiter_forever();
	struct rt_id id = unit_spawn(0, wait_once, &w);

	(void)arg;
	unit_until_blocked(id);
	CHECK(rt_wake(w.ticket));
	CHECK_OK(rt_join(id));

	/* the same slot again */
	id = unit_spawn(0, wait_once, &next);
	unit_until_blocked(id);
	CHECK(next.ticket.thread == w.ticket.thread);
	CHECK(!rt_wake(w.ticket));
	CHECK(unit_blocked(id));
	CHECK(rt_wake(next.ticket));
	CHECK_OK(rt_join(id));
}

static void rt_wake__of_a_thread_that_has_ended_is_stale(void **state)
{
	(void)state;
	unit_run(1, wake_ended, NULL);
}

static void rt_wake__from_a_foreign_thread(void **state)
{
	struct rt *rt = unit_start(2);
	struct waiter w[2];
	struct rt_id ids[2];

	(void)state;
	for (uint32_t i = 0; i < 2; i++) {
		struct rt_attr attr = {.core = i, .name = "waiter"};

		w[i] = waiter_forever();
		assert_ok(rt_spawn(rt, &attr, wait_once, &w[i], &ids[i]));
	}
	for (uint32_t i = 0; i < 2; i++) {
		unit_until_blocked(ids[i]);
		assert_true(rt_wake(w[i].ticket));
		assert_false(rt_wake(w[i].ticket));
	}
	rt_stop(rt);
	assert_int_equal(w[0].status.code, STATUS_OK);
	assert_int_equal(w[1].status.code, STATUS_OK);
}

struct hook_wake {
	struct rt_hook hook;
	struct rt_timer timer;
	struct waiter *waiter;
	bool done;
};

static uint32_t hook_wakes(void *arg)
{
	struct hook_wake *h = arg;

	if (h->done || atomic_u32_load(&h->waiter->waits, ORDER_ACQUIRE) == 0)
		return 0;
	h->done = rt_wake(h->waiter->ticket);
	return h->done;
}

static void timer_wakes(void *arg)
{
	struct hook_wake *h = arg;

	h->done = rt_wake(h->waiter->ticket);
}

static void wake_from_hooks(void *arg)
{
	struct waiter w = waiter_forever();
	struct hook_wake h = {.waiter = &w};
	struct rt_id id;

	(void)arg;
	h.hook = (struct rt_hook){.poll = hook_wakes, .arg = &h, .name = "test"};
	rt_hook_add(&h.hook);
	id = unit_spawn(0, wait_once, &w);
	CHECK_OK(rt_join(id));
	CHECK(h.done);
	rt_hook_remove(&h.hook);

	w = waiter_forever();
	h.done = false;
	h.timer = (struct rt_timer){.fire = timer_wakes, .arg = &h};
	id = unit_spawn(0, wait_once, &w);
	unit_until_blocked(id);
	rt_timer_arm(&h.timer, clock_ns());
	CHECK_OK(rt_join(id));
	CHECK(h.done);
	CHECK(!rt_timer_disarm(&h.timer));
}

static void rt_wake__from_a_hook_and_a_timer(void **state)
{
	(void)state;
	unit_run(1, wake_from_hooks, NULL);
}

/* ---- races: of all who would end a wait exactly one does ------------------------------------- */

#define RACE_ROUNDS (WITH_TSAN || TARN_DEBUG ? 500 : 3000)

struct race {
	struct waiter waiter;
	struct atomic_u32 round; /* the racers may go for this round's ticket */
	struct atomic_u32 wins;
	struct atomic_u32 tries;
	struct rt_id id;
	struct atomic_u64 deadline;
	uint32_t racers;
};

static void race_wake(struct race *r)
{
	for (uint32_t round = 1; round <= RACE_ROUNDS; round++) {
		unit_until(&r->round, round);
		if (rt_wake(r->waiter.ticket))
			unit_count(&r->wins);
		unit_count(&r->tries);
	}
}

static void race_wake_user(void *arg)
{
	race_wake(arg);
}

static void *race_wake_kernel(void *arg)
{
	race_wake(arg);
	return NULL;
}

static void race_cancel(void *arg)
{
	struct race *r = arg;

	for (uint32_t round = 1; round <= RACE_ROUNDS; round++) {
		unit_until(&r->round, round);
		CHECK_OK(rt_cancel(r->id));
		unit_count(&r->tries);
	}
}

/* The one that is raced for. `wins` counts wakes; a time-out or a cancellation is no wake. */
static void race_rounds(struct race *r, uint64_t (*deadline)(uint32_t round))
{
	uint32_t woken = 0;

	for (uint32_t round = 1; round <= RACE_ROUNDS; round++) {
		r->waiter.ticket = rt_wait_begin("race");
		atomic_u32_store(&r->round, round, ORDER_RELEASE);

		struct status s = rt_wait(r->waiter.ticket, deadline(round));

		woken += status_ok(s);
		CHECK(status_ok(s) || status_is(s, STATUS_TIMEOUT) ||
		      status_is(s, STATUS_CANCELLED));
		unit_until(&r->tries, round * r->racers);
		CHECK(atomic_u32_load(&r->wins, ORDER_ACQUIRE) == woken);
		rt_cancel_clear();
	}
}

static uint64_t deadline_never(uint32_t round)
{
	(void)round;
	return CLOCK_NEVER;
}

/* Around the time that a wake takes: some rounds time out and some do not. */
static uint64_t deadline_near(uint32_t round)
{
	return clock_deadline(round * 7 % 3000);
}

static void race_of_wakers(void *arg)
{
	struct race *r = arg;
	struct rt_id ids[2];

	ids[0] = unit_spawn(0, race_wake_user, r);
	ids[1] = unit_spawn(1, race_wake_user, r);
	race_rounds(r, deadline_never);
	CHECK(atomic_u32_load(&r->wins, ORDER_ACQUIRE) == RACE_ROUNDS);
	CHECK_OK(rt_join(ids[0]));
	CHECK_OK(rt_join(ids[1]));
}

static void rt_wake__of_many_wakers_one_wins(void **state)
{
	static struct race r;
	pthread_t foreign;

	(void)state;
	r.racers = 3;
	assert_ok(os_thread_start(race_wake_kernel, &r, "waker", &foreign));
	unit_run(2, race_of_wakers, &r);
	os_thread_join(foreign);
}

static void race_of_all(void *arg)
{
	struct race *r = arg;
	struct rt_id ids[3];

	r->id = rt_self();
	ids[0] = unit_spawn(1, race_wake_user, r);
	ids[1] = unit_spawn(1, race_cancel, r);
	ids[2] = unit_spawn(0, race_wake_user, r);
	race_rounds(r, deadline_near);
	for (int i = 0; i < 3; i++)
		CHECK_OK(rt_join(ids[i]));
}

static void rt_wake__against_deadline_and_cancel(void **state)
{
	static struct race r;

	(void)state;
	r.racers = 3;
	unit_run(2, race_of_all, &r);
}

/* ---- deadlines ------------------------------------------------------------------------------- */

static void deadlines(void *arg)
{
	struct rt_wait w = rt_wait_begin("test");

	(void)arg;
	CHECK_STATUS(rt_wait(w, 0), TIMEOUT);
	w = rt_wait_begin("test");
	CHECK_STATUS(rt_wait(w, clock_deadline(NS_PER_MS)), TIMEOUT);
	CHECK(!rt_wake(w));
}

static void rt_wait__timeout(void **state)
{
	(void)state;
	unit_run(1, deadlines, NULL);
}

static void own_deadline(void *arg)
{
	uint64_t soon = clock_deadline(NS_PER_MS);
	uint64_t before = rt_deadline_set(soon);

	(void)arg;
	CHECK(before == CLOCK_NEVER);
	/* a later one changes nothing: the earliest bounds what is called from here */
	CHECK(rt_deadline_set(soon + NS_PER_S) == soon);
	rt_deadline_restore(soon);
	CHECK_STATUS(rt_wait(rt_wait_begin("test"), CLOCK_NEVER), TIMEOUT);
	CHECK_STATUS(rt_wait(rt_wait_begin("test"), clock_deadline(60 * NS_PER_S)), TIMEOUT);
	CHECK_STATUS(rt_sleep(60 * NS_PER_S), TIMEOUT);
	rt_deadline_restore(before);

	before = rt_deadline_set(clock_deadline(60 * NS_PER_S));
	CHECK_STATUS(rt_wait(rt_wait_begin("test"), clock_ns()), TIMEOUT);
	CHECK_OK(rt_sleep(1));
	CHECK_OK(rt_sleep(0));
	rt_deadline_restore(before);
	CHECK(rt_deadline_set(CLOCK_NEVER) == CLOCK_NEVER);
}

static void rt_deadline_set__bounds_every_wait(void **state)
{
	(void)state;
	unit_run(1, own_deadline, NULL);
}

static void deadline_of_another(void *arg)
{
	CHECK(rt_deadline_set(CLOCK_NEVER) == CLOCK_NEVER);
	(void)arg;
}

static void deadline_is_not_inherited(void *arg)
{
	uint64_t before = rt_deadline_set(clock_deadline(60 * NS_PER_S));
	struct rt_id id = unit_spawn(0, deadline_of_another, NULL);

	(void)arg;
	CHECK_OK(rt_join(id));
	rt_deadline_restore(before);
}

static void rt_deadline_set__of_one_thread_only(void **state)
{
	(void)state;
	unit_run(1, deadline_is_not_inherited, NULL);
}

#define SLEEPERS 64

static struct atomic_u32 slept;

static void sleep_some(void *arg)
{
	uint64_t ns = (uint64_t)(uintptr_t)arg;
	uint64_t until = clock_deadline(ns);

	CHECK_OK(rt_sleep(ns));
	CHECK(clock_ns() >= until);
	unit_count(&slept);
}

static void sleep_many(void *arg)
{
	struct rt_id ids[SLEEPERS];

	(void)arg;
	atomic_u32_store(&slept, 0, ORDER_RELAXED);
	for (uintptr_t i = 0; i < SLEEPERS; i++)
		ids[i] = unit_spawn(RT_CORE_ANY, sleep_some, (void *)(i * 37 % SLEEPERS * 20000));
	for (int i = 0; i < SLEEPERS; i++)
		CHECK_OK(rt_join(ids[i]));
	CHECK(atomic_u32_load(&slept, ORDER_RELAXED) == SLEEPERS);
}

static void rt_sleep__never_too_short(void **state)
{
	(void)state;
	unit_run(2, sleep_many, NULL);
}

/* ---- cancellation ---------------------------------------------------------------------------- */

static void cancel_before(void *arg)
{
	(void)arg;
	CHECK(!rt_cancelled());
	CHECK_OK(rt_cancel(rt_self()));
	CHECK(rt_cancelled());
	CHECK_STATUS(rt_wait(rt_wait_begin("test"), CLOCK_NEVER), CANCELLED);
	CHECK_STATUS(rt_sleep(60 * NS_PER_S), CANCELLED);
	rt_cancel_clear();
	CHECK(!rt_cancelled());
	CHECK_OK(rt_sleep(1));

	/* between the beginning of the wait and the wait */
	struct rt_wait w = rt_wait_begin("test");

	CHECK_OK(rt_cancel(rt_self()));
	CHECK(!rt_wake(w));
	CHECK_STATUS(rt_wait(w, CLOCK_NEVER), CANCELLED);
	/* woken before it was cancelled: nothing that was given is lost */
	w = rt_wait_begin("test");
	CHECK(rt_wake(w));
	CHECK_OK(rt_cancel(rt_self()));
	CHECK_OK(rt_wait(w, CLOCK_NEVER));
	CHECK_STATUS(rt_wait(rt_wait_begin("test"), CLOCK_NEVER), CANCELLED);
	rt_cancel_clear();
}

static void rt_cancel__before_the_wait(void **state)
{
	(void)state;
	unit_run(1, cancel_before, NULL);
}

static void cancel_during(void *arg)
{
	struct waiter w;

	(void)arg;
	for (uint32_t i = 0; i < 400; i++) {
		w = waiter_forever();
		w.deadline = i % 4 < 2 ? CLOCK_NEVER : clock_deadline(60 * NS_PER_S);

		struct rt_id id = unit_spawn(i % 2, wait_once, &w);

		unit_until_blocked(id);
		CHECK_OK(rt_cancel(id));
		CHECK_OK(rt_join(id));
		CHECK_STATUS(w.status, CANCELLED);
		CHECK(!rt_wake(w.ticket));
		CHECK_STATUS(rt_cancel(id), STALE);
	}
}

static void rt_cancel__ends_a_wait(void **state)
{
	(void)state;
	unit_run(2, cancel_during, NULL);
}

/* Wherever the thread stands when it is cancelled, it does not sleep for ever. */
static void cancel_at_any_point(void *arg)
{
	struct waiter w;

	(void)arg;
	for (uint32_t i = 0; i < RACE_ROUNDS; i++) {
		w = waiter_forever();

		struct rt_id id = unit_spawn(1, wait_once, &w);

		for (uint32_t spin = 0; spin < i % 256; spin++)
			cpu_relax();
		CHECK_OK(rt_cancel(id));
		CHECK_OK(rt_join(id));
		CHECK_STATUS(w.status, CANCELLED);
	}
}

static void rt_cancel__at_any_point_of_its_life(void **state)
{
	(void)state;
	unit_run(2, cancel_at_any_point, NULL);
}

static void nothing(void *arg)
{
	(void)arg;
}

static void cancel_after(void *arg)
{
	struct rt_id id = unit_spawn(0, nothing, NULL);

	(void)arg;
	/* not yet started: it will find the request */
	CHECK_OK(rt_cancel(id));
	CHECK_OK(rt_join(id));
	CHECK_STATUS(rt_cancel(id), STALE);
	CHECK_STATUS(rt_cancel((struct rt_id){0}), STALE);
	CHECK_STATUS(rt_cancel((struct rt_id){UINT64_MAX}), STALE);

	/* ended and not yet joined */
	id = unit_spawn(0, nothing, NULL);
	rt_yield();
	CHECK_STATUS(rt_cancel(id), STALE);
	CHECK_OK(rt_join(id));
}

static void rt_cancel__after_the_end(void **state)
{
	(void)state;
	unit_run(1, cancel_after, NULL);
}

/* A slot's next thread does not inherit the request. */
static void cancel_is_forgotten(void *arg)
{
	struct waiter w = waiter_forever();
	struct rt_id id = unit_spawn(0, wait_once, &w);

	(void)arg;
	CHECK_OK(rt_cancel(id));
	CHECK_OK(rt_join(id));

	struct rt_thread *slot = w.ticket.thread;

	w = waiter_forever();
	id = unit_spawn(0, wait_once, &w);
	unit_until_blocked(id);
	CHECK(w.ticket.thread == slot);
	CHECK(rt_wake(w.ticket));
	CHECK_OK(rt_join(id));
	CHECK_OK(w.status);
}

static void rt_cancel__ends_with_its_thread(void **state)
{
	(void)state;
	unit_run(1, cancel_is_forgotten, NULL);
}

/* ---- waits that only a wake ends ------------------------------------------------------------- */

static void hard_wait(void *arg)
{
	struct waiter w = waiter_forever();

	(void)arg;
	/* the deadline has passed from the start */
	w.deadline = 1;

	struct rt_id id = unit_spawn(0, wait_once_hard, &w);

	unit_until_blocked(id);
	CHECK_OK(rt_cancel(id));
	CHECK_OK(rt_sleep(NS_PER_MS));
	CHECK(unit_blocked(id));
	CHECK(rt_wake(w.ticket));
	CHECK(!rt_wake(w.ticket));
	CHECK_OK(rt_join(id));
	CHECK_OK(w.status);

	/* cancelled before it begins */
	w = waiter_forever();
	id = unit_spawn(0, wait_once_hard, &w);
	CHECK_OK(rt_cancel(id));
	unit_until_blocked(id);
	CHECK(rt_wake(w.ticket));
	CHECK_OK(rt_join(id));
	CHECK_OK(w.status);
}

static void wait_begin_hard__neither_deadline_nor_cancel(void **state)
{
	(void)state;
	unit_run(1, hard_wait, NULL);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(rt_wake__before_the_wait),
		cmocka_unit_test(rt_wake__of_an_earlier_wait_is_stale),
		cmocka_unit_test(rt_wake__wakes_once_on_each_core),
		cmocka_unit_test(rt_wake__of_a_thread_that_has_ended_is_stale),
		cmocka_unit_test(rt_wake__from_a_foreign_thread),
		cmocka_unit_test(rt_wake__from_a_hook_and_a_timer),
		cmocka_unit_test(rt_wake__of_many_wakers_one_wins),
		cmocka_unit_test(rt_wake__against_deadline_and_cancel),
		cmocka_unit_test(rt_wait__timeout),
		cmocka_unit_test(rt_deadline_set__bounds_every_wait),
		cmocka_unit_test(rt_deadline_set__of_one_thread_only),
		cmocka_unit_test(rt_sleep__never_too_short),
		cmocka_unit_test(rt_cancel__before_the_wait),
		cmocka_unit_test(rt_cancel__ends_a_wait),
		cmocka_unit_test(rt_cancel__at_any_point_of_its_life),
		cmocka_unit_test(rt_cancel__after_the_end),
		cmocka_unit_test(rt_cancel__ends_with_its_thread),
		cmocka_unit_test(wait_begin_hard__neither_deadline_nor_cancel),
	};
	return unit_main(tests, argc, argv);
}
