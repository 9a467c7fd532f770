#include "bench/busy.h"

#include "unit.h"

static void bench_busy_parse__sums_all_but_idle(void **state)
{
	double seconds = -1;

	(void)state;
	assert_true(bench_busy_parse("cpu  100 20 300 9999 8888 4 5 600 7 8\ncpu0 1 2\n", 100,
				     &seconds));
	assert_float_equal(seconds, 10.29, 1e-9);
}

static void bench_busy_parse__refuses_what_it_does_not_know(void **state)
{
	double seconds = -1;

	(void)state;
	assert_false(bench_busy_parse("", 100, &seconds));
	assert_false(bench_busy_parse("cpu 1 2 3 4\n", 100, &seconds));
	assert_false(bench_busy_parse("intr 1 2 3 4 5 6 7 8\n", 100, &seconds));
	assert_float_equal(seconds, -1, 0);
}

static void bench_busy_others__takes_off_what_is_ours(void **state)
{
	struct bench_busy from = {.clock = 10, .machine = 100, .own = 50};
	struct bench_busy to = {.clock = 14, .machine = 107, .own = 51};

	(void)state;
	assert_float_equal(bench_busy_others(&from, &to), 1.5, 1e-9);
	to.own = 60; /* ticks are coarse: ours may seem more than all */
	assert_float_equal(bench_busy_others(&from, &to), 0, 0);
	assert_float_equal(bench_busy_others(&from, &from), 0, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(bench_busy_parse__sums_all_but_idle),
		cmocka_unit_test(bench_busy_parse__refuses_what_it_does_not_know),
		cmocka_unit_test(bench_busy_others__takes_off_what_is_ours),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
