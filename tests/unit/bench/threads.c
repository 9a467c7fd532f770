#include "bench/threads.h"

#include "base/diag.h"
#include "bench/threads_int.h"

#include "unit.h"

#include <string.h>

const struct bench *const bench_table[] = {NULL};

static struct bench_settings settings;

static struct bench_round a_round(void)
{
	bench_settings_init(&settings);
	return (struct bench_round){.settings = &settings};
}

/* ---- taking times ---------------------------------------------------------------------------- */

#define TOOK_NS 10000
#define SKEW_NS 30000 /* the second processor's counter is ahead, by more than a trip takes */

static void skewed(void *arg)
{
	struct threads_trip *trip = arg;
	uint64_t skew = clock_ns_to_cycles(SKEW_NS);
	uint64_t called = 1000000000 + (trip->from == 1 ? skew : 0);
	uint64_t arrived = 1000000000 + clock_ns_to_cycles(TOOK_NS) + (trip->to == 1 ? skew : 0);

	assert_true(trip->from != trip->to);
	threads_sample(trip, called, arrived);
}

static void threads_both_ways__cancels_counters_that_disagree(void **state)
{
	struct bench_round round = a_round();

	(void)state;
	assert_true(status_ok(threads_both_ways(&round, skewed, false)));
	assert_true(round.recorded[BENCH_NS]);
	assert_float_equal(round.value[BENCH_NS], TOOK_NS, 2);
	assert_true(round.recorded[BENCH_P99_NS]);
}

static void nothing_taken(void *arg)
{
	(void)arg;
}

static void threads_both_ways__records_nothing_of_nothing(void **state)
{
	struct bench_round round = a_round();

	(void)state;
	assert_true(status_ok(threads_both_ways(&round, nothing_taken, false)));
	assert_false(round.recorded[BENCH_NS]);
}

static void failing(void *arg)
{
	struct threads_trip *trip = arg;

	trip->status = fail(STATUS_LIMIT, "no more threads");
}

static void threads_both_ways__fails_as_the_measurement_does(void **state)
{
	struct bench_round round = a_round();

	(void)state;
	assert_true(status_is(threads_both_ways(&round, failing, false), STATUS_LIMIT));
}

static void three_batches(void *arg)
{
	struct threads_batches *b = arg;

	for (uint32_t i = 0; i < 3; i++) {
		assert_true(i > 0 || threads_more(b)); /* one there is, however short the time */
		threads_batch(b, clock_cycles(), 1);
	}
	b->samples->ns[0] = 7;
	b->samples->ns[1] = 1000;
	b->samples->ns[2] = 5;
}

static void threads_in_batches__takes_the_median(void **state)
{
	struct bench_round round = a_round();

	(void)state;
	assert_true(status_ok(threads_in_batches(&round, three_batches, false)));
	assert_float_equal(round.value[BENCH_NS], 7, 0);
	assert_float_equal(round.value[BENCH_P99_NS], 1000, 0);
}

/* ---- waking ---------------------------------------------------------------------------------- */

static struct threads_sleeper sleepers[2];
static uint32_t wakes[2];

/* A sleeper that is woken and blocks again all at once. */
static void wake_at_once(struct threads_sleeper *s)
{
	wakes[s - sleepers]++;
	threads_sleeper_woken(s);
	threads_sleeper_waits(s);
}

static void threads_wake__takes_turns_and_ends_all(void **state)
{
	static struct threads_samples samples;
	struct threads_sleeper *const two[2] = {&sleepers[0], &sleepers[1]};
	struct threads_way way = {.wake = wake_at_once, .gap_ns = 1};
	struct threads_trip trip = {.samples = &samples, .until = CLOCK_NEVER};

	(void)state;
	samples.count = THREADS_SAMPLES_MAX - 4; /* the time never ends: there is room for four */
	threads_sleeper_waits(&sleepers[0]);
	threads_sleeper_waits(&sleepers[1]);
	threads_wake(&trip, &way, two, 2);
	assert_int_equal(samples.count, THREADS_SAMPLES_MAX);
	/* two that were measured, and one for its end */
	assert_int_equal(wakes[0], 3);
	assert_int_equal(wakes[1], 3);
	assert_false(threads_sleeper_woken(&sleepers[0]));
	assert_false(threads_sleeper_woken(&sleepers[1]));
}

/* ---- the table ------------------------------------------------------------------------------- */

static const struct bench_side *side_of(const struct bench_case *c, enum bench_role role)
{
	for (uint32_t i = 0; i < BENCH_SIDES_MAX && c->sides[i].round; i++) {
		if (c->sides[i].role == role)
			return &c->sides[i];
	}
	return NULL;
}

static void bench_threads__has_what_was_promised(void **state)
{
	static const struct {
		const char *name;
		enum bench_metric headline;
		bool limit;
		const char *peer;
	} promised[] = {
		{"create_remote", BENCH_NS, true, "pthread_create"},
		{"create_remote_10k_blocked", BENCH_NS, true, "pthread_create"},
		{"create_local", BENCH_NS, false, "pthread create+join"},
		{"yield", BENCH_NS, false, "sched_yield"},
		{"yield_null", BENCH_NS, false, "sched_yield"},
		{"wake_remote", BENCH_NS, true, "pthread condition"},
		{"cond_remote", BENCH_NS, true, "pthread condition"},
		{"wake_parked", BENCH_NS, false, "futex"},
		{"idle_cpu", BENCH_PERCENT, false, NULL},
	};

	(void)state;
	for (uint32_t i = 0; i < ARRAY_SIZE(promised); i++) {
		const struct bench_case *c = bench_threads.cases;
		const struct bench_side *peer;

		while (c->name && strcmp(c->name, promised[i].name) != 0)
			c++;
		assert_non_null(c->name);
		assert_int_equal(c->headline, promised[i].headline);
		assert_non_null(side_of(c, BENCH_OURS));
		assert_int_equal(side_of(c, BENCH_LIMIT) != NULL, promised[i].limit);
		peer = side_of(c, BENCH_PEER);
		if (promised[i].peer)
			assert_string_equal(peer->name, promised[i].peer);
		else
			assert_null(peer);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(threads_both_ways__cancels_counters_that_disagree),
		cmocka_unit_test(threads_both_ways__records_nothing_of_nothing),
		cmocka_unit_test(threads_both_ways__fails_as_the_measurement_does),
		cmocka_unit_test(threads_in_batches__takes_the_median),
		cmocka_unit_test(threads_wake__takes_turns_and_ends_all),
		cmocka_unit_test(bench_threads__has_what_was_promised),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
