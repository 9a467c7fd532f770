#include "unit.h"

#include "base/atomic.h"
#include "rt/kthread.h"
#include "sim/sim.h"

#define SEEDS 100

static struct {
	struct atomic_u32 flag;
	CACHE_ALIGNED uint32_t halves[2];
	uint64_t word;
} shared;

static struct sim_report report;

struct pair {
	void (*one)(void *);
	void (*two)(void *);
};

static void pair_body(void *arg)
{
	const struct pair *p = arg;
	struct kthread a = {.main = p->one, .name = "one", .processor = KTHREAD_ANYWHERE};
	struct kthread b = {.main = p->two, .name = "two", .processor = KTHREAD_ANYWHERE};

	memset(&shared, 0, sizeof(shared));
	SHARED_WRITE(&shared.word, sizeof(shared.word));
	sim_check(status_ok(kthread_start(&a)) && status_ok(kthread_start(&b)), "start");
	kthread_join(&a);
	kthread_join(&b);
	SHARED_READ(&shared.word, sizeof(shared.word));
}

/* How many seeds end with a race; every other finding fails the test. */
static uint32_t races(void (*one)(void *), void (*two)(void *))
{
	struct pair pair = {one, two};
	uint32_t found = 0;

	for (uint64_t seed = 0; seed < SEEDS; seed++) {
		sim_run(&(struct sim_config){.seed = seed, .body = pair_body, .arg = &pair},
			&report);
		if (report.verdict == SIM_RACE)
			found++;
		else if (report.verdict != SIM_OK)
			fail_msg("%s", report.text);
	}
	return found;
}

static void word_write(void *arg)
{
	(void)arg;
	SHARED_WRITE(&shared.word, sizeof(shared.word));
	shared.word++;
}

static void word_read(void *arg)
{
	(void)arg;
	SHARED_READ(&shared.word, sizeof(shared.word));
}

static void low_write(void *arg)
{
	(void)arg;
	SHARED_WRITE(&shared.halves[0], sizeof(shared.halves[0]));
}

static void high_write(void *arg)
{
	(void)arg;
	SHARED_WRITE(&shared.halves[1], sizeof(shared.halves[1]));
}

static void locked_write(void *arg)
{
	(void)arg;
	while (atomic_u32_exchange(&shared.flag, 1, ORDER_ACQUIRE))
		cpu_relax();
	word_write(NULL);
	atomic_u32_store(&shared.flag, 0, ORDER_RELEASE);
}

static void word_forget(void *arg)
{
	(void)arg;
	sim_forget(&shared.word, sizeof(shared.word));
	word_write(NULL);
	sim_forget(&shared.word, sizeof(shared.word));
}

static void sim_plain_access__finds_races_in_every_order(void **state)
{
	(void)state;
	/*
	 * whatever the order of the two, neither happens before the other: each seed must find it
	 */
	assert_int_equal(races(word_write, word_write), SEEDS);
	assert_int_equal(races(word_read, word_write), SEEDS);
	assert_int_equal(races(word_write, word_read), SEEDS);
	assert_contains(report.text, "word_write");
	assert_contains(report.text, "word_read");
}

static void sim_plain_access__allows_what_is_ordered(void **state)
{
	(void)state;
	assert_int_equal(races(word_read, word_read), 0);
	assert_int_equal(races(locked_write, locked_write), 0);
	assert_int_equal(races(low_write, high_write), 0);
}

static void sim_forget__makes_the_bytes_new(void **state)
{
	(void)state;
	assert_int_equal(races(word_forget, word_forget), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(sim_plain_access__finds_races_in_every_order),
		cmocka_unit_test(sim_plain_access__allows_what_is_ordered),
		cmocka_unit_test(sim_forget__makes_the_bytes_new),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
