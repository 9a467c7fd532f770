#include "bench/bench.h"

#include "unit.h"

/* The frame is driven by a bench whose sides count their calls and record what they are told. */

static struct {
	uint32_t ours;
	uint32_t peer;
	uint32_t setups;
	uint32_t teardowns;
	bool out_of_turn; /* a peer's round that did not follow one of ours */
} seen;

static struct status side_ours(struct bench_round *round)
{
	/* 100, 1, 2, 3, …: the warm-up's value must not count */
	static const double values[] = {900, 1, 2, 3, 4, 5, 6, 7, 8, 9};

	bench_record(round, BENCH_NS, values[seen.ours]);
	bench_record(round, BENCH_P99_NS, 20);
	seen.ours++;
	return OK;
}

static struct status side_limit(struct bench_round *round)
{
	bench_record(round, BENCH_NS, 2.5);
	return OK;
}

static struct status side_peer(struct bench_round *round)
{
	seen.peer++;
	if (seen.peer != seen.ours)
		seen.out_of_turn = true;
	bench_record(round, BENCH_NS, 50);
	return OK;
}

static struct status side_absent(struct bench_round *round)
{
	(void)round;
	return fail(STATUS_NOT_FOUND, "the peer is not installed");
}

static struct status side_broken(struct bench_round *round)
{
	(void)round;
	return fail(STATUS_IO, "it broke");
}

static struct status setup(struct bench_round *round)
{
	round->state = &seen;
	seen.setups++;
	return OK;
}

static struct status setup_impossible(struct bench_round *round)
{
	(void)round;
	return fail(STATUS_UNSUPPORTED, "not on this machine");
}

static void teardown(struct bench_round *round)
{
	assert_ptr_equal(round->state, &seen);
	seen.teardowns++;
}

static const struct bench_case cases[] = {
	{.name = "whole",
	 .about = "all sides",
	 .headline = BENCH_NS,
	 .setup = setup,
	 .teardown = teardown,
	 .sides = {{BENCH_OURS, NULL, side_ours},
		   {BENCH_LIMIT, "best", side_limit},
		   {BENCH_PEER, "other", side_peer},
		   {BENCH_PEER, "third", side_limit}}},
	{.name = "absent",
	 .about = "a peer is missing",
	 .headline = BENCH_NS,
	 .sides = {{BENCH_OURS, NULL, side_limit}, {BENCH_PEER, "gone", side_absent}}},
	{.name = "broken",
	 .about = "Tarn fails",
	 .headline = BENCH_NS,
	 .setup = setup,
	 .teardown = teardown,
	 .sides = {{BENCH_OURS, NULL, side_broken}}},
	{.name = "impossible",
	 .about = "the machine has not got it",
	 .headline = BENCH_NS,
	 .setup = setup_impossible,
	 .sides = {{BENCH_OURS, NULL, side_limit}}},
	{.name = NULL},
};

static const struct bench probe = {"probe", "a bench", cases};
const struct bench *const bench_table[] = {&probe, NULL};

static char output[8192];

/* Runs one case and keeps what it printed in `output`. Returns the failures. */
static uint32_t run(const char *glob, bool json, uint32_t *ret_matched)
{
	const char *const globs[] = {glob, NULL};
	struct bench_settings settings;
	FILE *file = fmemopen(output, sizeof(output), "w");
	uint32_t failed;

	memset(&seen, 0, sizeof(seen));
	memset(output, 0, sizeof(output));
	bench_settings_init(&settings);
	settings.seconds = 0.001;
	failed = bench_run(&probe, &settings, globs,
			   &(struct bench_output){.file = file, .json = json}, ret_matched);
	fclose(file);
	return failed;
}

static void bench_run__takes_turns_and_medians(void **state)
{
	uint32_t matched;

	(void)state;
	assert_int_equal(run("whole", true, &matched), 0);
	assert_int_equal(matched, 1);
	assert_int_equal(seen.setups, 1);
	assert_int_equal(seen.teardowns, 1);
	assert_int_equal(seen.ours, BENCH_ROUNDS_USUAL + 1);
	assert_false(seen.out_of_turn);
	assert_contains(output,
			"{\"bench\": \"probe\", \"case\": \"whole\", \"metric\": \"ns\", "
			"\"unit\": \"ns\", \"value\": 5, \"limit\": 2.5, \"of_limit\": 0.5, "
			"\"peer\": \"other\", \"peer_value\": 50, \"vs_peer\": 10}\n");
	/* each further peer and metric has a line of its own */
	assert_contains(output, "\"peer\": \"third\", \"peer_value\": 2.5, \"vs_peer\": 0.5}\n");
	assert_contains(output,
			"\"metric\": \"p99_ns\", \"unit\": \"ns\", \"value\": 20, \"limit\": null, "
			"\"of_limit\": null, \"peer\": null, \"peer_value\": null, "
			"\"vs_peer\": null}\n");
}

static void bench_run__absent_peer_is_null(void **state)
{
	uint32_t matched;

	(void)state;
	assert_int_equal(run("absent", true, &matched), 0);
	assert_contains(output, "\"value\": 2.5, \"limit\": null, \"of_limit\": null, \"peer\": "
				"null, \"peer_value\": null, \"vs_peer\": null}\n");
}

static void bench_run__failure_is_counted_and_cleaned_up(void **state)
{
	uint32_t matched;

	(void)state;
	assert_int_equal(run("broken", true, &matched), 1);
	assert_int_equal(seen.teardowns, 1);
	assert_string_equal(output, "");
}

static void bench_run__unsupported_case_is_null(void **state)
{
	uint32_t matched;

	(void)state;
	assert_int_equal(run("impossible", true, &matched), 0);
	assert_contains(output, "\"value\": null");
}

static void bench_run__globs(void **state)
{
	uint32_t matched;

	(void)state;
	run("*bsen*", true, &matched);
	assert_int_equal(matched, 1);
	run("nothing", true, &matched);
	assert_int_equal(matched, 0);
	run("[ab]*", true, &matched);
	assert_int_equal(matched, 2);
}

static void bench_run__table_fits_80_columns(void **state)
{
	uint32_t matched;

	(void)state;
	run("whole", false, &matched);
	for (const char *line = output; *line;) {
		size_t bytes = strcspn(line, "\n");

		assert_true(bytes <= 80);
		line += bytes + 1;
	}
}

static void bench_record__only_numbers(void **state)
{
	struct bench_round round = {0};
	double zero = 0;

	(void)state;
	bench_record(&round, BENCH_NS, 0);
	bench_record(&round, BENCH_OPS_PER_S, -1);
	bench_record(&round, BENCH_S, 1 / zero);
	bench_record(&round, BENCH_BYTES_PER_S, zero / zero);
	for (uint32_t i = 0; i < BENCH_METRICS; i++)
		assert_false(round.recorded[i]);
	bench_record(&round, BENCH_PERCENT, 0);
	assert_true(round.recorded[BENCH_PERCENT]);
}

static void bench_quantile__picks(void **state)
{
	double values[] = {5, 1, 4, 2, 3};

	(void)state;
	assert_float_equal(bench_quantile(values, 5, 0.5), 3, 0);
	assert_float_equal(bench_quantile(values, 5, 0), 1, 0);
	assert_float_equal(bench_quantile(values, 5, 1), 5, 0);
	assert_float_equal(bench_quantile(values, 5, 0.99), 5, 0);
	assert_float_equal(bench_quantile(values, 0, 0.5), 0, 0);
	assert_float_equal(bench_quantile(values, 1, 0.5), 1, 0);
}

static void bench_find__names(void **state)
{
	(void)state;
	assert_ptr_equal(bench_find("probe"), &probe);
	assert_null(bench_find("prob"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(bench_record__only_numbers),
		cmocka_unit_test(bench_quantile__picks),
		cmocka_unit_test(bench_find__names),
		cmocka_unit_test(bench_run__takes_turns_and_medians),
		cmocka_unit_test(bench_run__absent_peer_is_null),
		cmocka_unit_test(bench_run__failure_is_counted_and_cleaned_up),
		cmocka_unit_test(bench_run__unsupported_case_is_null),
		cmocka_unit_test(bench_run__globs),
		cmocka_unit_test(bench_run__table_fits_80_columns),
	};

	return cmocka_run_group_tests_name("bench/bench", tests, NULL, NULL);
}
