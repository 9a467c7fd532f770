#include "rt/watchdog.h"

#include "rt_death.h"

/* Where a child keeps the core until it has been reported. */
static NOINLINE void spin_in_here(const struct atomic_u32 *word)
{
	while (atomic_u32_load(word, ORDER_ACQUIRE) == 0)
		;
}

static struct atomic_u32 never;

static void hog(void *arg)
{
	spin_in_here(arg);
}

static void start_hog(bool embedded)
{
	struct rt_config config = {.cores = 1, .watchdog_ns = 20 * NS_PER_MS, .embedded = embedded};
	struct rt_attr attr = {.core = 0, .name = "the hog"};
	struct rt *rt;
	struct rt_id id;

	CHECK_OK(rt_start(&config, &rt));
	CHECK_OK(rt_spawn(rt, &attr, hog, &never, &id));
	for (;;)
		sched_yield();
}

static void start_hog_of_our_own(void *arg)
{
	(void)arg;
	start_hog(false);
}

static void start_hog_in_a_guest(void *arg)
{
	(void)arg;
	start_hog(true);
}

/* Runs the body in a child that is killed as soon as it has written the text. */
static void assert_reports(void (*body)(void *), const char *part)
{
	size_t used = 0;
	ssize_t got;
	int ends[2], how;

	assert_int_equal(pipe(ends), 0);
	pid_t child = fork();
	assert_true(child >= 0);
	if (child == 0) {
		dup2(ends[1], STDERR_FILENO);
		close(ends[0]);
		body(NULL);
		_exit(0);
	}
	close(ends[1]);
	death_report[0] = '\0';
	while (!strstr(death_report, part) &&
	       (got = read(ends[0], death_report + used, sizeof(death_report) - 1 - used)) > 0) {
		used += (size_t)got;
		death_report[used] = '\0';
	}
	close(ends[0]);
	kill(child, SIGKILL);
	assert_int_equal(waitpid(child, &how, 0), child);
	assert_contains(death_report, part);
}

static void watchdog_report__names_who_holds_the_core(void **state)
{
	(void)state;
#if WITH_TSAN
	skip(); /* it keeps signals back until the thread calls the C library */
#endif
	assert_reports(start_hog_of_our_own, " context_start_asm");
	assert_contains(death_report, "tarn: core 0 has been held for ");
	assert_contains(death_report, "  by thread the hog, which stands at\n");
	assert_contains(death_report, " spin_in_here");
}

/* In somebody else's program no signal is sent; the core is named all the same. */
static void watchdog_report__embedded_without_signals(void **state)
{
	(void)state;
	assert_reports(start_hog_in_a_guest, "tarn: core 0 has been held for ");
	assert_lacks(death_report, "by thread");
}

static void yield_for_a_while(void *arg)
{
	uint64_t until = clock_deadline(60 * NS_PER_MS);

	(void)arg;
	while (clock_ns() < until)
		rt_yield();
	CHECK_OK(rt_sleep(60 * NS_PER_MS));
}

static void run_a_good_citizen(void *arg)
{
	struct rt_config config = {.cores = 1, .watchdog_ns = 3600 * NS_PER_S};
	struct rt *rt;

	(void)arg;
	CHECK_OK(rt_start(&config, &rt));
	CHECK_OK(rt_call(rt, yield_for_a_while, NULL));
	rt_stop(rt);
}

static void watchdog_report__nobody_without_cause(void **state)
{
	(void)state;
	assert_int_equal(death_run(run_a_good_citizen, NULL), 0);
	assert_string_equal(death_report, "");
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(watchdog_report__names_who_holds_the_core),
		cmocka_unit_test(watchdog_report__embedded_without_signals),
		cmocka_unit_test(watchdog_report__nobody_without_cause),
	};
	return unit_main(tests, argc, argv);
}
