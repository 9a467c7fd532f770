#include "rt_unit.h"

/* ASan and TSan keep records of their own for each stack; TSan ends at 8,128 of them. */
#if WITH_ASAN || WITH_TSAN
#define MANY_BLOCKED 2000
#define MANY_CREATED 20000
#else
#define MANY_BLOCKED 12000
#define MANY_CREATED 100000
#endif

static void nothing(void *arg)
{
	(void)arg;
}

static void count(void *arg)
{
	unit_count(arg);
}

/* Waits until *arg is not 0 without holding the core. */
static void wait_for_word(void *arg)
{
	unit_until(arg, 1);
}

/* ---- spawn ----------------------------------------------------------------------------------- */

struct seen {
	uint32_t core;
	struct rt_id self;
	struct rt *rt;
	uint32_t plain;
};

static void see(void *arg)
{
	struct seen *s = arg;

	s->core = rt_core_number();
	s->self = rt_self();
	s->rt = rt_current();
	s->plain++;
}

static void spawn_on_each_core(void *arg)
{
	(void)arg;
	for (uint32_t core = 0; core < rt_cores(rt_current()); core++) {
		struct seen s = {0};
		struct rt_id id = unit_spawn(core, see, &s);

		CHECK_OK(rt_join(id));
		CHECK(s.core == core);
		CHECK(s.self.value == id.value);
		CHECK(s.rt == rt_current());
		CHECK(s.plain == 1);
	}
}

static void rt_spawn__on_a_named_core(void **state)
{
	(void)state;
	unit_run(3, spawn_on_each_core, NULL);
}

#define SPREAD 64

/* The less loaded core is chosen, and a blocked thread is load. */
static void rt_spawn__spreads_over_the_cores(void **state)
{
	struct rt *rt = unit_start(2);
	struct atomic_u32 go = {0};
	uint32_t on[2] = {0};
	struct rt_id ids[SPREAD];

	(void)state;
	for (int i = 0; i < SPREAD; i++)
		assert_ok(rt_spawn(rt, NULL, wait_for_word, &go, &ids[i]));
	for (int i = 0; i < SPREAD; i++) {
		struct rt_core *c;

		/* set when its core has taken it in */
		while ((c = atomic_ptr_load(&thread_of(ids[i])->core, ORDER_ACQUIRE)) == NULL)
			unit_yield();
		on[c->number]++;
	}
	assert_int_equal(on[0], SPREAD / 2);
	assert_int_equal(on[1], SPREAD / 2);
	unit_count(&go);
	rt_stop(rt);
}

static void rt_spawn__wrong_attributes(void **state)
{
	struct rt *rt = unit_start(2);
	struct rt_id id = {77};

	(void)state;
	assert_status(rt_spawn(rt, &(struct rt_attr){.core = 2}, nothing, NULL, &id), INVALID);
	assert_contains(diag_text(), "core 2, the runtime has 0 to 1");
	assert_status(rt_spawn(rt, &(struct rt_attr){.core = RT_CORE_ANY, .class = 3}, nothing,
			       NULL, &id),
		      INVALID);
	assert_contains(diag_text(), "class 3 does not exist");
	assert_status(rt_spawn(rt, &(struct rt_attr){.core = RT_CORE_ANY, .class = 255}, nothing,
			       NULL, &id),
		      INVALID);
	assert_int_equal(id.value, 77);
	rt_stop(rt);
}

struct spawner {
	struct rt *rt;
	struct atomic_u32 *ran;
};

#define FOREIGN_SPAWNS 2000

static void *spawn_from_outside(void *arg)
{
	struct spawner *s = arg;
	struct rt_attr attr = {.core = RT_CORE_ANY, .detached = true};

	for (int i = 0; i < FOREIGN_SPAWNS; i++)
		CHECK_OK(rt_spawn(s->rt, &attr, count, s->ran, NULL));
	return NULL;
}

static void rt_spawn__from_foreign_threads_at_once(void **state)
{
	struct rt *rt = unit_start(2);
	struct atomic_u32 ran = {0};
	struct spawner s = {.rt = rt, .ran = &ran};
	pthread_t threads[3];

	(void)state;
	for (int i = 0; i < 3; i++)
		assert_ok(os_thread_start(spawn_from_outside, &s, "spawner", &threads[i]));
	for (int i = 0; i < 3; i++)
		os_thread_join(threads[i]);
	unit_until(&ran, 3 * FOREIGN_SPAWNS);
	rt_stop(rt);
}

/* A thread of one runtime creates threads in another. */
static void spawn_in(void *arg)
{
	spawn_from_outside(arg);
}

static void rt_spawn__into_another_runtime(void **state)
{
	struct rt *rt = unit_start(1);
	struct rt *other = unit_start(2);
	struct atomic_u32 ran = {0};
	struct spawner s = {.rt = other, .ran = &ran};

	(void)state;
	assert_ok(rt_call(rt, spawn_in, &s));
	unit_until(&ran, FOREIGN_SPAWNS);
	rt_stop(rt);
	rt_stop(other);
}

/* ---- the limit ------------------------------------------------------------------------------- */

/* Blocks until it is cancelled. */
static void block(void *arg)
{
	unit_count(arg);
	CHECK_STATUS(rt_wait(rt_wait_begin("the end"), CLOCK_NEVER), CANCELLED);
}

#define LIMITED 200

/* Spawns blocked threads until that is refused and returns how many there are. */
static uint32_t spawn_to_the_limit(struct rt *rt, struct rt_id *ids, uint32_t most)
{
	struct atomic_u32 blocked = {0};
	uint32_t alive = 0;
	struct status s = OK;

	while (alive < most) {
		s = rt_spawn(rt, NULL, block, &blocked, &ids[alive]);
		if (!status_ok(s))
			break;
		alive++;
	}
	assert_int_equal(s.code, STATUS_LIMIT);
	assert_contains(diag_text(), "raise threads_max");
	unit_until(&blocked, alive);
	return alive;
}

static void rt_spawn__up_to_the_limit_and_again(void **state)
{
	static struct rt_id ids[LIMITED * 10];
	struct rt *rt;

	(void)state;
	assert_ok(
		rt_start(&(struct rt_config){.cores = 2, .seed = 1, .threads_max = LIMITED}, &rt));
	for (int round = 0; round < 3; round++) {
		uint32_t alive = spawn_to_the_limit(rt, ids, LIMITED * 10);

		assert_true(alive >= LIMITED);
		for (uint32_t i = 0; i < alive; i++) {
			assert_ok(rt_cancel(ids[i]));
			assert_ok(rt_detach(ids[i]));
		}
		while (runtime_alive(rt) > 0)
			unit_yield();
	}
	rt_stop(rt);
}

/* ---- join ------------------------------------------------------------------------------------ */

static void join_ended_and_running(void *arg)
{
	struct seen s = {0};
	struct rt_id id = unit_spawn(0, see, &s);

	(void)arg;
	rt_yield(); /* it ends */
	CHECK(s.plain == 1);
	CHECK_OK(rt_join(id));
	CHECK_STATUS(rt_join(id), STALE);

	id = unit_spawn(0, see, &s);
	CHECK_OK(rt_join(id)); /* before it begins */
	CHECK(s.plain == 2);
	CHECK_STATUS(rt_join(id), STALE);
	CHECK_STATUS(rt_detach(id), STALE);
}

static void rt_join__once(void **state)
{
	(void)state;
	unit_run(1, join_ended_and_running, NULL);
}

static void join_wrong_ids(void *arg)
{
	(void)arg;
	CHECK_STATUS(rt_join(rt_self()), DEADLOCK);
	CHECK_STATUS(rt_join((struct rt_id){0}), STALE);
	CHECK_STATUS(rt_join((struct rt_id){1}), STALE);
	CHECK_STATUS(rt_join((struct rt_id){UINT64_MAX}), STALE);
	/* another runtime's number */
	CHECK_STATUS(rt_join((struct rt_id){rt_self().value ^ 5ull << ID_INDEX_BITS}), STALE);
	/* a slot that was never used, and another generation of this one */
	CHECK_STATUS(rt_join((struct rt_id){rt_self().value + 50000}), STALE);
	CHECK_STATUS(rt_join((struct rt_id){rt_self().value + (1ull << 32)}), STALE);
	CHECK_STATUS(rt_detach((struct rt_id){0}), STALE);
}

static void rt_join__of_what_is_not_there(void **state)
{
	(void)state;
	unit_run(1, join_wrong_ids, NULL);
}

struct joining {
	struct rt_id id;
	uint64_t deadline;
	struct status status;
};

static void join_it(void *arg)
{
	struct joining *j = arg;
	uint64_t before = rt_deadline_set(j->deadline);

	j->status = rt_join(j->id);
	rt_deadline_restore(before);
}

static void join_twice(void *arg)
{
	struct atomic_u32 blocked = {0};
	struct rt_id id = unit_spawn(1, block, &blocked);
	struct joining first = {.id = id, .deadline = CLOCK_NEVER};
	struct rt_id joiner = unit_spawn(0, join_it, &first);

	(void)arg;
	unit_until_blocked(joiner);
	CHECK_STATUS(rt_join(id), EXISTS);
	CHECK_STATUS(rt_detach(id), EXISTS);
	CHECK_OK(rt_cancel(id));
	CHECK_OK(rt_join(joiner));
	CHECK_OK(first.status);
	CHECK_STATUS(rt_join(id), STALE);
}

static void rt_join__two_joiners(void **state)
{
	(void)state;
	unit_run(2, join_twice, NULL);
}

static void join_and_give_up(void *arg)
{
	struct atomic_u32 blocked = {0};
	struct rt_id id = unit_spawn(1, block, &blocked);
	struct joining j = {.id = id, .deadline = 1};
	struct rt_id joiner;

	(void)arg;
	for (int i = 0; i < 3; i++) {
		uint64_t before = rt_deadline_set(clock_deadline(1000));

		CHECK_STATUS(rt_join(id), TIMEOUT);
		rt_deadline_restore(before);
	}
	joiner = unit_spawn(0, join_it, &j);
	CHECK_OK(rt_join(joiner));
	CHECK_STATUS(j.status, TIMEOUT);

	/* given up by cancellation */
	j.deadline = CLOCK_NEVER;
	joiner = unit_spawn(0, join_it, &j);
	unit_until_blocked(joiner);
	CHECK_OK(rt_cancel(joiner));
	CHECK_OK(rt_join(joiner));
	CHECK_STATUS(j.status, CANCELLED);

	CHECK_OK(rt_cancel(id));
	CHECK_OK(rt_join(id));
	CHECK_STATUS(rt_join(id), STALE);
}

static void rt_join__again_after_giving_up(void **state)
{
	(void)state;
	unit_run(2, join_and_give_up, NULL);
}

#define RACE_ROUNDS (WITH_TSAN || TARN_DEBUG ? 400 : 3000)

/*
 * The deadline comes about when the thread ends: either the join was right or it can be repeated.
 */
static void join_at_the_end(void *arg)
{
	(void)arg;
	for (uint64_t i = 0; i < RACE_ROUNDS; i++) {
		struct rt_id id = unit_spawn(1, nothing, NULL);
		uint64_t before = rt_deadline_set(clock_deadline(i * 13 % 2000));
		struct status s = rt_join(id);

		rt_deadline_restore(before);
		if (!status_ok(s)) {
			CHECK_STATUS(s, TIMEOUT);
			CHECK_OK(rt_join(id));
		}
		CHECK_STATUS(rt_join(id), STALE);
	}
}

static void rt_join__deadline_against_the_end(void **state)
{
	(void)state;
	unit_run(2, join_at_the_end, NULL);
}

static void join_sees(void *arg)
{
	struct seen s;

	(void)arg;
	/* what the thread wrote is plain memory: ThreadSanitizer would tell */
	for (uint32_t i = 0; i < RACE_ROUNDS; i++) {
		s = (struct seen){0};
		CHECK_OK(rt_join(unit_spawn(i % 2, see, &s)));
		CHECK(s.core == i % 2 && s.plain == 1);
	}
}

static void rt_join__sees_what_the_thread_did(void **state)
{
	(void)state;
	unit_run(2, join_sees, NULL);
}

/* ---- detach ---------------------------------------------------------------------------------- */

static void detach_at_each_time(void *arg)
{
	struct atomic_u32 ran = {0};
	struct rt_attr detached = {.core = 0, .detached = true};
	struct rt_id id;

	(void)arg;
	CHECK_OK(rt_spawn(rt_current(), &detached, count, &ran, &id));
	CHECK_STATUS(rt_join(id), STALE);
	CHECK_STATUS(rt_detach(id), STALE);
	unit_until(&ran, 1);

	id = unit_spawn(0, count, &ran); /* before it begins */
	CHECK_OK(rt_detach(id));
	CHECK_STATUS(rt_join(id), STALE);
	CHECK_STATUS(rt_detach(id), STALE);
	unit_until(&ran, 2);

	id = unit_spawn(0, count, &ran);
	unit_until(&ran, 3);
	rt_yield();
	CHECK_OK(rt_detach(id)); /* after its end */
	CHECK_STATUS(rt_detach(id), STALE);
	CHECK_STATUS(rt_join(id), STALE);
	while (runtime_alive(rt_current()) > 1)
		rt_yield();
}

static void rt_detach__before_during_and_after(void **state)
{
	(void)state;
	unit_run(1, detach_at_each_time, NULL);
}

static void detach_races(void *arg)
{
	struct atomic_u32 ran = {0};

	(void)arg;
	for (uint32_t i = 0; i < RACE_ROUNDS; i++) {
		struct rt_id id = unit_spawn(1, count, &ran);

		for (uint32_t spin = 0; spin < i % 128; spin++)
			cpu_relax();
		CHECK_OK(rt_detach(id));
		CHECK_STATUS(rt_join(id), STALE);
	}
	unit_until(&ran, RACE_ROUNDS);
	while (runtime_alive(rt_current()) > 1)
		unit_yield();
}

static void rt_detach__against_the_end(void **state)
{
	(void)state;
	unit_run(2, detach_races, NULL);
}

static void *detach_from_outside(void *arg)
{
	struct joining *j = arg;

	j->status = rt_detach(j->id);
	return NULL;
}

/* An ended thread's slot is given back by whoever detaches it: also by a foreign thread. */
static void rt_detach__from_a_foreign_thread(void **state)
{
	struct rt *rt = unit_start(1);
	struct atomic_u32 ran = {0};

	(void)state;
	for (uint32_t i = 0; i < 100; i++) {
		struct joining j;
		pthread_t thread;

		assert_ok(rt_spawn(rt, NULL, count, &ran, &j.id));
		if (i % 2) {
			while (runtime_alive(rt) > 0)
				unit_yield();
		}
		assert_ok(os_thread_start(detach_from_outside, &j, "detach", &thread));
		os_thread_join(thread);
		assert_int_equal(j.status.code, STATUS_OK);
		assert_status(rt_detach(j.id), STALE);
	}
	rt_stop(rt);
	assert_int_equal(atomic_u32_load(&ran, ORDER_ACQUIRE), 100);
}

/* ---- ids ------------------------------------------------------------------------------------- */

static void ids_after_reuse(void *arg)
{
	struct rt_id first = unit_spawn(0, nothing, NULL);
	struct rt_thread *slot = thread_of(first);
	struct rt_id later = first;

	(void)arg;
	CHECK_OK(rt_join(first));
	for (int i = 0; i < 100; i++) {
		struct rt_id id = unit_spawn(0, nothing, NULL);

		/* the slot that was used last is used first, so its stack is warm */
		CHECK(thread_of(id) == slot);
		CHECK(id.value != first.value && id.value != later.value);
		CHECK_STATUS(rt_join(first), STALE);
		CHECK_STATUS(rt_cancel(first), STALE);
		CHECK_STATUS(rt_detach(first), STALE);
		CHECK_STATUS(rt_cancel(later), STALE);
		later = id;
		CHECK_OK(rt_join(id));
	}
}

static void rt_id__is_stale_after_reuse(void **state)
{
	(void)state;
	unit_run(1, ids_after_reuse, NULL);
}

/* An id of a runtime that is gone, while its number is used by another. */
static void rt_id__of_a_runtime_that_has_stopped(void **state)
{
	struct atomic_u32 ran = {0};
	struct rt *rt = unit_start(1);
	struct rt_id id;

	(void)state;
	assert_ok(rt_spawn(rt, NULL, count, &ran, &id));
	unit_until(&ran, 1);
	rt_stop(rt);
	assert_status(rt_cancel(id), STALE);
	assert_status(rt_detach(id), STALE);
}

static void rt_self__outside_of_threads(void **state)
{
	(void)state;
	assert_int_equal(rt_self().value, 0);
	assert_int_equal(rt_core_number(), RT_CORE_ANY);
	assert_null(rt_current());
}

static void name_it(void *arg)
{
	CHECK(strcmp(self()->thread->name, arg) == 0);
	rt_name_set("renamed");
	CHECK(strcmp(self()->thread->name, "renamed") == 0);
}

static void names(void *arg)
{
	static char first[] = "first name", none[] = "thread";
	struct rt_attr attr = {.core = 0, .name = first};
	struct rt_id id;

	(void)arg;
	CHECK_OK(rt_spawn(rt_current(), &attr, name_it, first, &id));
	CHECK_OK(rt_join(id));
	CHECK_OK(rt_join(unit_spawn(0, name_it, none)));
}

static void rt_name_set__and_the_name_at_first(void **state)
{
	(void)state;
	unit_run(1, names, NULL);
}

/* A thread's last failure is its own, and a new thread has none. */
static void fail_and_look(void *arg)
{
	CHECK(diag_text()[0] == '\0');
	status_ignore(fail(STATUS_IO, "failure of %s", (const char *)arg));
	rt_yield();
	CHECK(strstr(diag_text(), arg) != NULL);
}

static void diags(void *arg)
{
	static char one[] = "one", two[] = "two", three[] = "three";
	struct rt_id a = unit_spawn(0, fail_and_look, one);
	struct rt_id b = unit_spawn(0, fail_and_look, two);

	(void)arg;
	CHECK_OK(rt_join(a));
	CHECK_OK(rt_join(b));
	CHECK_OK(rt_join(unit_spawn(0, fail_and_look, three)));
}

static void diag__of_each_thread(void **state)
{
	(void)state;
	unit_run(1, diags, NULL);
}

/* ---- many ------------------------------------------------------------------------------------ */

static void wait_for_wake(void *arg)
{
	struct rt_wait *ticket = arg;

	*ticket = rt_wait_begin("many");
	CHECK_OK(rt_wait(*ticket, CLOCK_NEVER));
}

static struct rt_wait tickets[MANY_BLOCKED];
static struct rt_id many_ids[MANY_BLOCKED];

static void block_many(void *arg)
{
	struct seen s = {0};

	(void)arg;
	for (int i = 0; i < MANY_BLOCKED; i++)
		many_ids[i] = unit_spawn(RT_CORE_ANY, wait_for_wake, &tickets[i]);
	for (int i = 0; i < MANY_BLOCKED; i++)
		unit_until_blocked(many_ids[i]);
	/* all the others go on as if they were not there */
	for (uint32_t i = 0; i < 100; i++)
		CHECK_OK(rt_join(unit_spawn(i % 2, see, &s)));
	for (int i = 0; i < MANY_BLOCKED; i++)
		CHECK(rt_wake(tickets[i]));
	for (int i = 0; i < MANY_BLOCKED; i++)
		CHECK_OK(rt_join(many_ids[i]));
}

static void rt_spawn__many_blocked_threads(void **state)
{
	(void)state;
	unit_run(2, block_many, NULL);
}

static void create_many(void *arg)
{
	struct rt *rt = rt_current();
	struct atomic_u32 ran = {0};
	struct rt_attr detached = {.core = RT_CORE_ANY, .detached = true};

	(void)arg;
	for (uint32_t i = 0; i < MANY_CREATED / 2; i++) {
		CHECK_OK(rt_spawn(rt, &detached, count, &ran, NULL));
		if (i % 32 == 0)
			unit_until(&ran, i - i % 512);
	}
	for (uint32_t i = 0; i < MANY_CREATED / 2; i++)
		CHECK_OK(rt_join(unit_spawn(i % 16 == 0, count, &ran)));
	unit_until(&ran, MANY_CREATED);
	/* slots are used again: a tenth of the threads never existed at one time */
	CHECK(atomic_u32_load(&rt->slots.fresh, ORDER_ACQUIRE) < MANY_CREATED / 10);
}

static void rt_spawn__many_over_time(void **state)
{
	(void)state;
	unit_run(2, create_many, NULL);
}

/* ---- exit ------------------------------------------------------------------------------------ */

/* Hidden from the compiler, which may know too well that nobody comes back. */
static void (*volatile leave)(void) = rt_exit;

static NOINLINE void exit_deep(int depth, struct atomic_u32 *word)
{
	volatile char frame[200];

	frame[0] = (char)depth;
	if (depth > 0) {
		exit_deep(depth - 1, word);
	} else {
		unit_count(word);
		leave();
	}
	frame[1] = frame[0];
}

static void exit_from_within(void *arg)
{
	exit_deep(20, arg);
	PANIC("back from rt_exit");
}

static void exits(void *arg)
{
	struct atomic_u32 ran = {0};
	struct seen s = {0};

	(void)arg;
	for (uint32_t i = 0; i < 100; i++) {
		CHECK_OK(rt_join(unit_spawn(0, exit_from_within, &ran)));
		/* the stack serves the next as if nothing had happened */
		CHECK_OK(rt_join(unit_spawn(0, see, &s)));
	}
	CHECK(atomic_u32_load(&ran, ORDER_ACQUIRE) == 100);
	CHECK(s.plain == 100);
}

static void rt_exit__from_within(void **state)
{
	(void)state;
	unit_run(1, exits, NULL);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(rt_spawn__on_a_named_core),
		cmocka_unit_test(rt_spawn__spreads_over_the_cores),
		cmocka_unit_test(rt_spawn__wrong_attributes),
		cmocka_unit_test(rt_spawn__from_foreign_threads_at_once),
		cmocka_unit_test(rt_spawn__into_another_runtime),
		cmocka_unit_test(rt_spawn__up_to_the_limit_and_again),
		cmocka_unit_test(rt_join__once),
		cmocka_unit_test(rt_join__of_what_is_not_there),
		cmocka_unit_test(rt_join__two_joiners),
		cmocka_unit_test(rt_join__again_after_giving_up),
		cmocka_unit_test(rt_join__deadline_against_the_end),
		cmocka_unit_test(rt_join__sees_what_the_thread_did),
		cmocka_unit_test(rt_detach__before_during_and_after),
		cmocka_unit_test(rt_detach__against_the_end),
		cmocka_unit_test(rt_detach__from_a_foreign_thread),
		cmocka_unit_test(rt_id__is_stale_after_reuse),
		cmocka_unit_test(rt_id__of_a_runtime_that_has_stopped),
		cmocka_unit_test(rt_self__outside_of_threads),
		cmocka_unit_test(rt_name_set__and_the_name_at_first),
		cmocka_unit_test(diag__of_each_thread),
		cmocka_unit_test(rt_spawn__many_blocked_threads),
		cmocka_unit_test(rt_spawn__many_over_time),
		cmocka_unit_test(rt_exit__from_within),
	};
	return unit_main(tests, argc, argv);
}
