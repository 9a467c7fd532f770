#include "bench/bench_int.h"

#include "unit.h"

const struct bench *const bench_table[] = {NULL};

static char output[4096];

static struct bench_number known(double value)
{
	return (struct bench_number){.known = true, .value = value};
}

static void bench_compare__above_one_is_better(void **state)
{
	(void)state;
	assert_float_equal(bench_compare(known(10), known(5), true).value, 2, 0);
	assert_float_equal(bench_compare(known(10), known(5), false).value, 0.5, 0);
	assert_false(bench_compare(known(10), known(0), true).known);
	assert_false(bench_compare(known(10), (struct bench_number){0}, true).known);
	assert_false(bench_compare((struct bench_number){0}, known(1), false).known);
	/* lower is better and ours is nothing at all: no ratio can say that */
	assert_false(bench_compare(known(0), known(5), false).known);
}

static void row(enum bench_metric metric, double value)
{
	struct bench_result result = {.bench = "b",
				      .name = "a_name_that_is_longer_than_its_column_is_wide",
				      .metric = metric,
				      .headline = true,
				      .value = known(value),
				      .of_limit = known(1234567),
				      .vs_peer = known(0.001),
				      .peer = "a peer whose name is long too"};
	FILE *file = fmemopen(output, sizeof(output), "w");

	bench_print_row(file, &result);
	fclose(file);
	assert_true(strlen(output) <= 81);
}

static void bench_print_row__units(void **state)
{
	(void)state;
	row(BENCH_NS, 231.4);
	assert_contains(output, " 231 ns");
	row(BENCH_NS, 31400);
	assert_contains(output, " 31.4 us");
	row(BENCH_BYTES_PER_S, 7.37e9);
	assert_contains(output, " 7.37 GB/s");
	row(BENCH_BYTES, 1536);
	assert_contains(output, " 1.50 KiB");
	row(BENCH_PERCENT, 0);
	assert_contains(output, " 0 %");
	for (uint32_t metric = 0; metric < BENCH_METRICS; metric++) {
		row((enum bench_metric)metric, 1e30);
		row((enum bench_metric)metric, 1e-30);
	}
}

static void bench_print_json__numbers_are_json(void **state)
{
	struct bench_result result = {.bench = "b", .name = "c", .metric = BENCH_BYTES_PER_S};
	FILE *file = fmemopen(output, sizeof(output), "w");

	(void)state;
	result.value = known(1.5e13);
	result.limit = known(0.000123456789);
	bench_print_json(file, &result);
	fclose(file);
	assert_contains(output, "\"value\": 15000000000000, \"limit\": 0.00012346, ");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(bench_compare__above_one_is_better),
		cmocka_unit_test(bench_print_json__numbers_are_json),
		cmocka_unit_test(bench_print_row__units),
	};

	return cmocka_run_group_tests_name("bench/print", tests, NULL, NULL);
}
