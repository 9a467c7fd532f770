#include "rt/kthread.h"

#include "rt_unit.h"

struct started {
	struct kthread kthread;
	struct self self;
	struct self_thread self_thread;
	struct atomic_u32 word;
	uint32_t plain;
	uint32_t processor;
	bool saw_self;
	int tid;
};

static void note(void *arg)
{
	struct started *s = arg;
	struct cpus cpus;

	s->plain++;
	s->tid = os_gettid();
	s->saw_self = self_or_null() == &s->self;
	CHECK_OK(os_affinity_get(0, &cpus));
	s->processor = cpus_count(&cpus) == 1 ? cpus_nth(&cpus, 0) : KTHREAD_ANYWHERE;
}

static void kthread_start__runs_with_its_record(void **state)
{
	struct started s = {0};

	(void)state;
	s.self_thread.name = "record";
	self_init(&s.self, &s.self_thread);
	s.kthread = (struct kthread){.main = note,
				     .arg = &s,
				     .name = "a name of more than 15 bytes",
				     .self = &s.self,
				     .processor = KTHREAD_ANYWHERE};
	assert_ok(kthread_start(&s.kthread));
	kthread_join(&s.kthread);
	assert_int_equal(s.plain, 1);
	assert_true(s.saw_self);
	assert_int_equal(atomic_u64_quiet_load(&s.kthread.tid, ORDER_RELAXED), s.tid);
	self_fini(&s.self);
}

static void kthread_start__on_a_processor(void **state)
{
	struct cpus allowed;

	(void)state;
	assert_ok(os_affinity_get(0, &allowed));
	for (uint32_t i = 0; i < cpus_count(&allowed); i++) {
		struct started s = {0};

		s.kthread = (struct kthread){.main = note,
					     .arg = &s,
					     .name = "pinned",
					     .processor = cpus_nth(&allowed, i)};
		assert_ok(kthread_start(&s.kthread));
		kthread_join(&s.kthread);
		assert_int_equal(s.processor, cpus_nth(&allowed, i));
	}
}

/* A processor that cannot be had does not keep the thread from running. */
static void kthread_start__processor_that_is_gone(void **state)
{
	struct started s = {0};

	(void)state;
	s.kthread = (struct kthread){.main = note, .arg = &s, .name = "gone", .processor = 200};
	os_fault_set(OS_CALL_BIT(OS_CALL_AFFINITY), 0, false);
	assert_ok(kthread_start(&s.kthread));
	kthread_join(&s.kthread);
	assert_true(os_fault_clear() > 0);
	assert_int_equal(s.plain, 1);
}

static void kthread_start__refused_by_the_system(void **state)
{
	struct started s = {0};

	(void)state;
	s.kthread = (struct kthread){
		.main = note, .arg = &s, .name = "none", .processor = KTHREAD_ANYWHERE};
	os_fault_set(OS_CALL_BIT(OS_CALL_THREAD), 0, false);
	assert_status(kthread_start(&s.kthread), LIMIT);
	assert_int_equal(os_fault_clear(), 1);
	assert_int_equal(s.plain, 0);
}

static void sleep_on_word(void *arg)
{
	struct started *s = arg;

	while (atomic_u32_load(&s->word, ORDER_ACQUIRE) == 0)
		kthread_sleep(&s->word, 0, CLOCK_NEVER);
	s->plain++;
}

static void kthread_wake__ends_the_sleep(void **state)
{
	(void)state;
	for (int i = 0; i < 200; i++) {
		struct started s = {0};

		s.kthread = (struct kthread){.main = sleep_on_word,
					     .arg = &s,
					     .name = "sleeper",
					     .processor = KTHREAD_ANYWHERE};
		assert_ok(kthread_start(&s.kthread));
		if (i % 2)
			sched_yield();
		atomic_u32_store(&s.word, 1, ORDER_RELEASE);
		kthread_wake(&s.word, 1);
		kthread_join(&s.kthread);
		assert_int_equal(s.plain, 1);
	}
}

static void kthread_sleep__deadline_and_wrong_value(void **state)
{
	struct atomic_u32 word = {0};
	uint64_t deadline = clock_deadline(NS_PER_MS);

	(void)state;
	kthread_sleep(&word, 1, CLOCK_NEVER); /* not what was expected: no sleep */
	kthread_sleep(&word, 0, 1);           /* long past */
	while (clock_ns() < deadline)
		kthread_sleep(&word, 0, deadline);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(kthread_start__runs_with_its_record),
		cmocka_unit_test(kthread_start__on_a_processor),
		cmocka_unit_test(kthread_start__processor_that_is_gone),
		cmocka_unit_test(kthread_start__refused_by_the_system),
		cmocka_unit_test(kthread_wake__ends_the_sleep),
		cmocka_unit_test(kthread_sleep__deadline_and_wrong_value),
	};
	return unit_main(tests, argc, argv);
}
