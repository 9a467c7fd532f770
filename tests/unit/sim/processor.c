#include "unit.h"

#include "base/assert.h"
#include "base/atomic.h"
#include "base/clock.h"
#include "base/self.h"
#include "rt/kthread.h"
#include "sim/sim.h"

#include <pthread.h>

#define SEEDS 100

static struct sim_report report;

static struct {
	struct atomic_u32 word;
	struct atomic_u32 order;
	uint64_t number;
} shared;

static void run(uint64_t seed, void (*body)(void *))
{
	memset(&shared, 0, sizeof(shared));
	sim_run(&(struct sim_config){.seed = seed, .body = body, .steps_max = 100000}, &report);
}

static void run_ok(uint64_t seed, void (*body)(void *))
{
	run(seed, body);
	if (report.verdict != SIM_OK)
		fail_msg("%s", report.text);
}

static void start(struct kthread *t, void (*entry)(void *), const char *name)
{
	*t = (struct kthread){.main = entry, .name = name, .processor = KTHREAD_ANYWHERE};
	sim_check(status_ok(kthread_start(t)), "%s", diag_text());
}

/* ---- the run --------------------------------------------------------------------------------- */

static void party_append(void *arg)
{
	(void)arg;
	for (uint32_t i = 0; i < 4; i++)
		atomic_u32_add(&shared.order, 1, ORDER_RELAXED);
}

static void party_shift(void *arg)
{
	(void)arg;
	for (uint32_t i = 0; i < 4; i++) {
		uint32_t found = atomic_u32_load(&shared.order, ORDER_RELAXED);

		while (!atomic_u32_cas(&shared.order, &found, found * 2, ORDER_RELAXED))
			;
	}
}

static void mixed_body(void *arg)
{
	struct kthread a;
	struct kthread b;

	(void)arg;
	start(&a, party_append, "append");
	start(&b, party_shift, "shift");
	kthread_join(&a);
	kthread_join(&b);
}

static void sim_run__same_seed_same_hash(void **state)
{
	(void)state;
	for (uint64_t seed = 0; seed < SEEDS; seed++) {
		run_ok(seed, mixed_body);
		struct sim_report first = report;
		run_ok(seed, mixed_body);
		assert_int_equal(first.hash, report.hash);
		assert_int_equal(first.steps, report.steps);
		assert_int_equal(first.time_ns, report.time_ns);
	}
}

static void sim_run__seeds_give_many_orders(void **state)
{
	bool seen[256] = {false};
	uint32_t results = 0;

	(void)state;
	for (uint64_t seed = 0; seed < 20 * SEEDS; seed++) {
		run_ok(seed, mixed_body);
		uint32_t result = shared.order.value;

		assert_true(result < ARRAY_SIZE(seen));
		results += !seen[result];
		seen[result] = true;
	}
	/* there are 44; the rarest need each of eight switches at one certain step */
	assert_true(results > 25);
}

/* ---- findings -------------------------------------------------------------------------------- */

static void fail_body(void *arg)
{
	(void)arg;
	sim_fail("the number is %d", 7);
}

static void assert_body(void *arg)
{
	(void)arg;
	ASSERT(sim_now() == 12345678);
}

static void panic_body(void *arg)
{
	(void)arg;
	PANIC("nothing is %s", "right");
}

static void sim_fail__ends_the_run(void **state)
{
	(void)state;
	run(1, fail_body);
	assert_int_equal(report.verdict, SIM_ASSERTION);
	assert_contains(report.text, "the number is 7");
	assert_contains(report.text, "fail_body");
}

static void assertion__becomes_a_finding(void **state)
{
	(void)state;
	run(1, assert_body);
	assert_int_equal(report.verdict, SIM_ASSERTION);
	assert_contains(report.text, "sim_now() == 12345678");
	run(1, panic_body);
	assert_int_equal(report.verdict, SIM_ASSERTION);
	assert_contains(report.text, "nothing is right");
}

static void sleep_forever(void *arg)
{
	(void)arg;
	while (atomic_u32_load(&shared.word, ORDER_ACQUIRE) == 0)
		kthread_sleep(&shared.word, 0, CLOCK_NEVER);
}

static void deadlock_body(void *arg)
{
	struct kthread t;

	(void)arg;
	start(&t, sleep_forever, "sleeper");
	kthread_join(&t);
}

static void deadlock__is_found_and_told(void **state)
{
	(void)state;
	for (uint64_t seed = 0; seed < SEEDS; seed++) {
		run(seed, deadlock_body);
		assert_int_equal(report.verdict, SIM_DEADLOCK);
	}
	assert_contains(report.text, "processor 1 (sleeper): asleep on atomic 1");
	assert_contains(report.text, "sleep_forever");
	assert_contains(report.text, "processor 0 (body): joins processor 1");
}

static void spin_body(void *arg)
{
	(void)arg;
	for (;;)
		cpu_relax();
}

static void retry_body(void *arg)
{
	(void)arg;
	for (;;)
		atomic_u32_add(&shared.word, 1, ORDER_RELAXED);
}

static void livelock__is_found(void **state)
{
	(void)state;
	run(1, spin_body);
	assert_int_equal(report.verdict, SIM_LIVELOCK);
	run(1, retry_body);
	assert_int_equal(report.verdict, SIM_LIVELOCK);
	assert_contains(report.text, "retry_body");
}

static struct kthread left;

static void leftover_body(void *arg)
{
	(void)arg;
	start(&left, party_append, "left");
}

static void leftover__is_found(void **state)
{
	(void)state;
	run(1, leftover_body);
	assert_int_equal(report.verdict, SIM_LEFTOVER);
	assert_contains(report.text, "left");
}

/* ---- time ------------------------------------------------------------------------------------ */

static void hour_body(void *arg)
{
	uint64_t deadline = clock_deadline(3000 * NS_PER_S);

	(void)arg;
	while (clock_ns() < deadline)
		kthread_sleep(&shared.word, 0, deadline);
	shared.number = clock_ns() - deadline;
}

static void time__jumps_when_everybody_sleeps(void **state)
{
	(void)state;
	for (uint64_t seed = 0; seed < SEEDS; seed++) {
		run_ok(seed, hour_body);
		assert_true(report.steps < 50);
		assert_true(shared.number < NS_PER_US);
	}
}

static void poll_body(void *arg)
{
	uint64_t deadline = clock_deadline(NS_PER_S);

	(void)arg;
	while (clock_ns() < deadline)
		cpu_relax();
}

static void time__passes_for_who_spins(void **state)
{
	(void)state;
	for (uint64_t seed = 0; seed < SEEDS; seed++)
		run_ok(seed, poll_body);
}

/* ---- kernel threads -------------------------------------------------------------------------- */

static void nothing(void *arg)
{
	(void)arg;
}

static void many_body(void *arg)
{
	struct kthread threads[SIM_PROCESSORS_MAX];
	uint32_t count = 0;

	(void)arg;
	for (uint32_t round = 0; round < 3; round++) {
		for (count = 0; count < SIM_PROCESSORS_MAX; count++) {
			threads[count] = (struct kthread){.main = nothing, .name = "many"};
			if (!status_ok(kthread_start(&threads[count])))
				break;
		}
		sim_check(count == SIM_PROCESSORS_MAX - 1, "started %u", count);
		sim_check(diag_self()->code == STATUS_LIMIT, "%s", diag_text());
		while (count--)
			kthread_join(&threads[count]);
	}
}

static void kthread_start__ends_at_the_limit_and_reuses(void **state)
{
	(void)state;
	run_ok(3, many_body);
}

static void kthread_start__fails_outside(void **state)
{
	struct kthread t = {.main = nothing, .name = "outside"};

	(void)state;
	assert_status(kthread_start(&t), UNSUPPORTED);
}

static struct self_thread named = {.name = "named"};
static struct self named_self = {.thread = &named};

static void named_main(void *arg)
{
	(void)arg;
	for (uint32_t i = 0; i < 20; i++) {
		sim_check(self() == &named_self, "lost its own record");
		atomic_u32_add(&shared.word, 1, ORDER_RELAXED);
	}
}

static void self_body(void *arg)
{
	struct kthread t = {.main = named_main, .name = "named", .self = &named_self};
	const struct self *mine = self();

	(void)arg;
	sim_check(status_ok(kthread_start(&t)), "start");
	for (uint32_t i = 0; i < 20; i++) {
		sim_check(self() == mine && mine != &named_self, "has another's record");
		atomic_u32_add(&shared.word, 1, ORDER_RELAXED);
	}
	kthread_join(&t);
}

static void self__goes_with_the_processor(void **state)
{
	(void)state;
	struct self *before = self();

	for (uint64_t seed = 0; seed < SEEDS; seed++)
		run_ok(seed, self_body);
	assert_ptr_equal(self(), before);
}

static void woken(void *arg)
{
	(void)arg;
	while (atomic_u32_load(&shared.word, ORDER_ACQUIRE) == 0)
		kthread_sleep(&shared.word, 0, CLOCK_NEVER);
	shared.number++;
}

static void wake_body(void *arg)
{
	struct kthread t;

	(void)arg;
	start(&t, woken, "woken");
	atomic_u32_store(&shared.word, 1, ORDER_RELEASE);
	kthread_wake(&shared.word, 1);
	kthread_join(&t);
	sim_check(shared.number == 1, "not woken");
}

static void kthread_wake__ends_a_sleep(void **state)
{
	(void)state;
	for (uint64_t seed = 0; seed < SEEDS; seed++)
		run_ok(seed, wake_body);
}

/* ---- mutexes --------------------------------------------------------------------------------- */

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;

static void mutex_party(void *arg)
{
	(void)arg;
	for (uint32_t i = 0; i < 5; i++) {
		if (i % 2 == 0 || pthread_mutex_trylock(&mutex) != 0)
			pthread_mutex_lock(&mutex);
		SHARED_WRITE(&shared.number, sizeof(shared.number));
		uint64_t before = shared.number;
		atomic_u32_add(&shared.word, 1, ORDER_RELAXED);
		shared.number = before + 1;
		pthread_mutex_unlock(&mutex);
	}
}

static void mutex_body(void *arg)
{
	struct kthread a;
	struct kthread b;

	(void)arg;
	start(&a, mutex_party, "a");
	start(&b, mutex_party, "b");
	kthread_join(&a);
	kthread_join(&b);
	sim_check(shared.number == 10, "two were in at once");
}

static void mutex__orders_and_waits_in_virtual_time(void **state)
{
	(void)state;
	for (uint64_t seed = 0; seed < SEEDS; seed++)
		run_ok(seed, mutex_body);
}

static void choose_body(void *arg)
{
	uint32_t seen = 0;

	(void)arg;
	for (uint32_t i = 0; i < 200; i++) {
		uint32_t chosen = kthread_choose(5);

		sim_check(chosen < 5, "chose %u of 5", chosen);
		seen |= 1u << chosen;
	}
	sim_check(seen == 31, "200 choices of 5 gave the set %x", seen);
	sim_check(kthread_choose(1) == 0, "one choice");
}

static void kthread_choose__takes_each(void **state)
{
	(void)state;
	run_ok(1, choose_body);
	assert_int_equal(kthread_choose(7), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(sim_run__same_seed_same_hash),
		cmocka_unit_test(sim_run__seeds_give_many_orders),
		cmocka_unit_test(sim_fail__ends_the_run),
		cmocka_unit_test(assertion__becomes_a_finding),
		cmocka_unit_test(deadlock__is_found_and_told),
		cmocka_unit_test(livelock__is_found),
		cmocka_unit_test(leftover__is_found),
		cmocka_unit_test(time__jumps_when_everybody_sleeps),
		cmocka_unit_test(time__passes_for_who_spins),
		cmocka_unit_test(kthread_start__ends_at_the_limit_and_reuses),
		cmocka_unit_test(kthread_start__fails_outside),
		cmocka_unit_test(self__goes_with_the_processor),
		cmocka_unit_test(kthread_wake__ends_a_sleep),
		cmocka_unit_test(mutex__orders_and_waits_in_virtual_time),
		cmocka_unit_test(kthread_choose__takes_each),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
