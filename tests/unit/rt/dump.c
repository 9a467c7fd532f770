#include "base/crash.h"

#include "rt/sync.h"
#include "rt_death.h"

static char text[64 * 1024];

static void dump(struct rt *rt)
{
	FILE *out = fmemopen(text, sizeof(text), "w");

	assert_non_null(out);
	rt_dump(rt, out);
	fclose(out);
}

struct shown {
	struct rt_mutex mutex;
	struct rt_sem sem;
	struct atomic_u32 go;
	struct atomic_u32 runs;
};

static void wait_for_sem(void *arg)
{
	struct shown *s = arg;

	CHECK_OK(rt_sem_wait(&s->sem, CLOCK_NEVER));
}

static void wait_for_mutex(void *arg)
{
	struct shown *s = arg;

	rt_mutex_lock(&s->mutex);
	rt_mutex_unlock(&s->mutex);
}

static void hold_mutex(void *arg)
{
	struct shown *s = arg;

	rt_mutex_lock(&s->mutex);
	unit_count(&s->runs);
	unit_until(&s->go, 1);
	rt_mutex_unlock(&s->mutex);
}

static void nothing(void *arg)
{
	(void)arg;
}

static struct rt_id spawn_named(struct rt *rt, const char *name, void (*entry)(void *), void *arg)
{
	struct rt_attr attr = {.core = 0, .name = name};
	struct rt_id id;

	assert_ok(rt_spawn(rt, &attr, entry, arg, &id));
	return id;
}

/* The thread's line in the dump. */
static char *line_of(const char *name)
{
	static char line[512];
	const char *at = strstr(text, name);

	assert_non_null(at);
	while (at > text && at[-1] != '\n')
		at--;
	snprintf(line, sizeof(line), "%.*s", (int)strcspn(at, "\n"), at);
	return line;
}

static void rt_dump__names_states_and_reasons(void **state)
{
	struct rt *rt = unit_start(2);
	struct shown s = {0};
	struct rt_id holder, ended;
	char id[32];

	(void)state;
	holder = spawn_named(rt, "the holder", hold_mutex, &s);
	unit_until(&s.runs, 1);
	unit_until_blocked(spawn_named(rt, "wants the mutex", wait_for_mutex, &s));
	unit_until_blocked(spawn_named(rt, "wants a unit", wait_for_sem, &s));
	ended = spawn_named(rt, "has ended", nothing, NULL);
	while (!(atomic_u64_load(&thread_of(ended)->life, ORDER_ACQUIRE) & LIFE_ENDED))
		unit_yield();
	dump(rt);
	assert_contains(text, "core   0  awake ");
	assert_contains(text, "core   1  ");
	assert_contains(line_of("wants the mutex"), "waits  for mutex, ");
	assert_contains(line_of("wants a unit"), "waits  for semaphore, ");
	assert_contains(line_of("has ended"), "  ended");
	assert_lacks(line_of("the holder"), "waits");
	snprintf(id, sizeof(id), "thread %#lx  ", holder.value);
	assert_contains(line_of("the holder"), id);
	unit_count(&s.go);
	rt_sem_post(&s.sem);
	rt_stop(rt);
}

static void *dump_over_and_over(void *arg)
{
	struct rt *rt = arg;
	FILE *out = fopen("/dev/null", "we");

	for (int i = 0; i < 300; i++)
		rt_dump(rt, out);
	fclose(out);
	return NULL;
}

static void short_life(void *arg)
{
	rt_yield();
	unit_count(arg);
}

/* While threads come and go. */
static void rt_dump__at_any_time(void **state)
{
	struct rt *rt = unit_start(2);
	struct atomic_u32 ran = {0};
	pthread_t thread;

	(void)state;
	assert_ok(os_thread_start(dump_over_and_over, rt, "dump", &thread));
	for (uint32_t i = 0; i < 5000; i++) {
		struct rt_attr attr = {.core = RT_CORE_ANY, .detached = true};

		assert_ok(rt_spawn(rt, &attr, short_life, &ran, NULL));
		if (i % 100 == 99)
			unit_until(&ran, i - 50);
	}
	os_thread_join(thread);
	rt_stop(rt);
	assert_int_equal(atomic_u32_load(&ran, ORDER_ACQUIRE), 5000);
}

static void rt_stats__counts(void **state)
{
	struct rt *rt = unit_start(2);
	struct shown s = {0};
	struct rt_stats before, after;

	(void)state;
	rt_stats(rt, &before);
	assert_int_equal(before.threads_alive, 0);
	assert_int_equal(before.threads_created, 0);
	spawn_named(rt, "one", hold_mutex, &s);
	unit_until(&s.runs, 1);
	for (int i = 0; i < 10; i++)
		assert_ok(rt_call(rt, nothing, NULL));
	rt_stats(rt, &after);
	assert_true(after.threads_alive >= 1);
	assert_int_equal(after.threads_created, 11);
	assert_true(after.busy_ns > before.busy_ns);
	unit_count(&s.go);
	rt_stop(rt);
}

/* ---- crash reports --------------------------------------------------------------------------- */

static void panic_in_a_thread(void *arg)
{
	(void)arg;
	PANIC("enough");
}

static void run_panic(void *arg)
{
	struct rt *rt = unit_start(1);
	struct rt_attr attr = {.core = 0, .name = "the culprit"};
	struct rt_id id;

	(void)arg;
	status_ignore(crash_init());
	CHECK_OK(rt_spawn(rt, &attr, panic_in_a_thread, NULL, &id));
	for (;;)
		sched_yield();
}

static void dump_crash__names_the_thread(void **state)
{
	(void)state;
	assert_dies(run_panic, NULL, SIGABRT);
	assert_contains(death_report, "tarn: CRASH: enough (");
	assert_contains(death_report, "thread the culprit\n");
	assert_contains(death_report, "user thread \"the culprit\", id 0x");
	assert_contains(death_report, " panic_in_a_thread");
	assert_contains(death_report, " thread_main");
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(rt_dump__names_states_and_reasons),
		cmocka_unit_test(rt_dump__at_any_time),
		cmocka_unit_test(rt_stats__counts),
		cmocka_unit_test(dump_crash__names_the_thread),
	};
	return unit_main(tests, argc, argv);
}
