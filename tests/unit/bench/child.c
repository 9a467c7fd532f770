#include "bench/child.h"

#include "base/diag.h"

#include "unit.h"

#include <signal.h>
#include <unistd.h>

static struct status three(const void *arg, double values[BENCH_CHILD_VALUES])
{
	values[0] = *(const double *)arg;
	values[1] = 2;
	return OK;
}

static struct status lacking(const void *arg, double values[BENCH_CHILD_VALUES])
{
	(void)arg;
	(void)values;
	return fail(STATUS_NOT_FOUND, "no such %s", "thing");
}

static struct status dying(const void *arg, double values[BENCH_CHILD_VALUES])
{
	(void)arg;
	(void)values;
	kill(getpid(), SIGKILL);
	return OK;
}

static struct status endless(const void *arg, double values[BENCH_CHILD_VALUES])
{
	(void)arg;
	(void)values;
	while (pause() < 0)
		;
	return OK;
}

static void bench_child_read__has_what_the_child_measured(void **state)
{
	double values[BENCH_CHILD_VALUES] = {0};
	struct bench_child child;
	double arg = 1.5;

	(void)state;
	assert_true(status_ok(bench_child_start(three, &arg, &child)));
	assert_true(status_ok(bench_child_read(&child, values)));
	assert_float_equal(values[0], 1.5, 0);
	assert_float_equal(values[1], 2, 0);
	assert_int_equal(child.pid, 0);
}

static void bench_child_read__has_the_childs_failure(void **state)
{
	double values[BENCH_CHILD_VALUES] = {7};
	struct bench_child child;

	(void)state;
	assert_true(status_ok(bench_child_start(lacking, NULL, &child)));
	assert_true(status_is(bench_child_read(&child, values), STATUS_NOT_FOUND));
	assert_string_equal(diag_text(), "no such thing");
	assert_float_equal(values[0], 7, 0);
}

static void bench_child_read__a_child_that_died_is_a_failure(void **state)
{
	double values[BENCH_CHILD_VALUES];
	struct bench_child child;

	(void)state;
	assert_true(status_ok(bench_child_start(dying, NULL, &child)));
	assert_true(status_is(bench_child_read(&child, values), STATUS_IO));
}

static void bench_child_end__ends_one_that_never_would(void **state)
{
	struct bench_child child;

	(void)state;
	assert_true(status_ok(bench_child_start(endless, NULL, &child)));
	bench_child_end(&child);
	assert_int_equal(child.pid, 0);
	bench_child_end(&child); /* there is none any more */
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(bench_child_read__has_what_the_child_measured),
		cmocka_unit_test(bench_child_read__has_the_childs_failure),
		cmocka_unit_test(bench_child_read__a_child_that_died_is_a_failure),
		cmocka_unit_test(bench_child_end__ends_one_that_never_would),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
