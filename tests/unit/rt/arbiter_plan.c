/* Single rules; how they hold together under random events is tests/model/arbiter.c. */
#include "rt/arbiter_plan.h"

#include "base/clock.h"
#include "unit.h"

#define GRACE 1000u
#define TURN  100000u

static const struct arbiter_limits free_limits = {
	.cores_max = ARBITER_CORES_MAX,
	.cores_per_uid_max = ARBITER_CORES_MAX,
	.processes_per_uid_max = 100,
};

static struct arbiter_plan *plan_of(uint32_t cores, const uint32_t *sibling)
{
	struct arbiter_plan_config config = {
		.cores = cores,
		.core_sibling = sibling,
		.processes_max = 4,
		.grace_ns = GRACE,
		.turn_ns = TURN,
	};
	struct arbiter_plan *plan;

	assert_ok(arbiter_plan_create(&config, &plan));
	return plan;
}

/* A process that offers `slots` threads and wants as many cores. */
static uint32_t join(struct arbiter_plan *plan, uint32_t slots, uint32_t priority)
{
	uint32_t wanted[ARBITER_PRIORITIES] = {0};
	uint32_t process;

	wanted[priority] = slots;
	assert_ok(arbiter_plan_join(plan, &free_limits, slots, &process));
	arbiter_plan_request(plan, process, wanted);
	for (uint32_t s = 0; s < slots; s++)
		assert_ok(arbiter_plan_park(plan, process, s, 0));
	return process;
}

static void want(struct arbiter_plan *plan, uint32_t process, uint32_t priority, uint32_t cores)
{
	uint32_t wanted[ARBITER_PRIORITIES] = {0};

	wanted[priority] = cores;
	arbiter_plan_request(plan, process, wanted);
}

static struct arbiter_action step(struct arbiter_plan *plan, uint64_t now,
				  enum arbiter_action_kind kind)
{
	struct arbiter_action action = {0};

	if (!arbiter_plan_step(plan, now, &action))
		fail_msg("nothing is decided");
	assert_int_equal(action.kind, kind);
	return action;
}

static void quiet(struct arbiter_plan *plan, uint64_t now)
{
	struct arbiter_action action;

	assert_false(arbiter_plan_step(plan, now, &action));
}

/* ---- arbiter_plan_create --------------------------------------------------------------------- */

static void arbiter_plan_create__out_of_range(void **state)
{
	struct arbiter_plan_config config = {.cores = 0, .processes_max = 1};
	struct arbiter_plan *plan;

	(void)state;
	assert_status(arbiter_plan_create(&config, &plan), INVALID);
	config.cores = ARBITER_CORES_MAX + 1;
	assert_status(arbiter_plan_create(&config, &plan), INVALID);
	config.cores = 1;
	config.processes_max = 0;
	assert_status(arbiter_plan_create(&config, &plan), INVALID);
	config.processes_max = ARBITER_PROCESSES_MAX + 1;
	assert_status(arbiter_plan_create(&config, &plan), INVALID);
}

/* ---- arbiter_plan_join, arbiter_plan_leave --------------------------------------------------- */

static void arbiter_plan_join__limits(void **state)
{
	struct arbiter_plan *plan = plan_of(1, NULL);
	struct arbiter_limits two = free_limits;
	uint32_t process, first;

	(void)state;
	two.processes_per_uid_max = 2;
	assert_ok(arbiter_plan_join(plan, &two, 1, &first));
	assert_ok(arbiter_plan_join(plan, &two, 1, &process));
	assert_status(arbiter_plan_join(plan, &two, 1, &process), LIMIT);
	two.uid = 1;
	assert_ok(arbiter_plan_join(plan, &two, 1, &process));
	assert_ok(arbiter_plan_join(plan, &two, 1, &process));
	two.uid = 2;
	assert_status(arbiter_plan_join(plan, &two, 1, &process), LIMIT);
	arbiter_plan_leave(plan, first);
	assert_ok(arbiter_plan_join(plan, &two, 1, &process));
	assert_int_equal(process, first);
	arbiter_plan_destroy(plan);
}

static void arbiter_plan_leave__cores_are_free_at_once(void **state)
{
	struct arbiter_plan *plan = plan_of(2, NULL);
	uint32_t a = join(plan, 2, 0);

	(void)state;
	step(plan, 0, ARBITER_ACTION_GRANT);
	step(plan, 0, ARBITER_ACTION_GRANT);
	uint32_t b = join(plan, 2, 7);
	quiet(plan, 0);
	assert_int_equal(arbiter_plan_free(plan), 0);
	arbiter_plan_leave(plan, a);
	assert_int_equal(arbiter_plan_free(plan), 2);
	assert_int_equal(step(plan, 0, ARBITER_ACTION_GRANT).process, b);
	assert_int_equal(step(plan, 0, ARBITER_ACTION_GRANT).process, b);
	arbiter_plan_destroy(plan);
}

/* ---- arbiter_plan_park, arbiter_plan_return -------------------------------------------------- */

static void arbiter_plan_park__nonsense(void **state)
{
	struct arbiter_plan *plan = plan_of(1, NULL);
	uint32_t a = join(plan, 1, 0);

	(void)state;
	assert_status(arbiter_plan_park(plan, a, 0, 0), INVALID); /* twice */
	assert_status(arbiter_plan_park(plan, a, 1, 0), INVALID); /* no such slot */

	uint64_t generation = step(plan, 0, ARBITER_ACTION_GRANT).generation;

	assert_status(arbiter_plan_park(plan, a, 0, generation + 1), INVALID);
	assert_status(arbiter_plan_return(plan, a, 0, generation + 1), INVALID);
	assert_status(arbiter_plan_return(plan, a, 1, generation), INVALID);
	assert_int_equal(arbiter_plan_free(plan), 0);
	assert_ok(arbiter_plan_return(plan, a, 0, generation));
	assert_int_equal(arbiter_plan_free(plan), 1);
	arbiter_plan_destroy(plan);
}

static void arbiter_plan_return__withdraws_an_offer(void **state)
{
	struct arbiter_plan *plan = plan_of(1, NULL);
	uint32_t a = join(plan, 1, 0);

	(void)state;
	assert_ok(arbiter_plan_return(plan, a, 0, 0));
	quiet(plan, 0);
	assert_ok(arbiter_plan_return(plan, a, 0, 77)); /* harmless: there is nothing */
	assert_ok(arbiter_plan_park(plan, a, 0, 0));
	step(plan, 0, ARBITER_ACTION_GRANT);
	arbiter_plan_destroy(plan);
}

/* ---- arbiter_plan_step ----------------------------------------------------------------------- */

static void arbiter_plan_step__urgent_first(void **state)
{
	struct arbiter_plan *plan = plan_of(1, NULL);

	(void)state;
	join(plan, 1, 5);

	uint32_t b = join(plan, 1, 4);

	assert_int_equal(step(plan, 0, ARBITER_ACTION_GRANT).process, b);
	quiet(plan, 0);
	arbiter_plan_destroy(plan);
}

static void arbiter_plan_step__asks_waits_takes(void **state)
{
	struct arbiter_plan *plan = plan_of(1, NULL);
	uint32_t a = join(plan, 1, 5);
	uint64_t generation = step(plan, 0, ARBITER_ACTION_GRANT).generation;
	uint32_t b = join(plan, 1, 0);
	struct arbiter_action action = step(plan, 10, ARBITER_ACTION_ASK);

	(void)state;
	assert_int_equal(action.process, a);
	assert_int_equal(action.generation, generation);
	assert_int_equal(arbiter_plan_deadline(plan), 10 + GRACE);
	quiet(plan, 10 + GRACE - 1);
	action = step(plan, 10 + GRACE, ARBITER_ACTION_REVOKE);
	assert_int_equal(action.process, a);
	assert_int_equal(action.generation, generation);
	action = step(plan, 10 + GRACE, ARBITER_ACTION_GRANT);
	assert_int_equal(action.process, b);
	assert_true(action.generation > generation);
	/* the loser comes late and offers itself anew: no error, no core */
	assert_ok(arbiter_plan_park(plan, a, 0, generation));
	quiet(plan, 10 + GRACE);
	arbiter_plan_destroy(plan);
}

/* CoreArbiter's stale timer: a core that was given back in time and granted again to the same
 * process was taken away when the first grace period ended. */
static void arbiter_plan_step__an_old_deadline_takes_no_new_grant(void **state)
{
	struct arbiter_plan *plan = plan_of(1, NULL);
	uint32_t a = join(plan, 1, 5);
	uint32_t b;
	struct arbiter_action first = step(plan, 0, ARBITER_ACTION_GRANT), again;

	(void)state;
	b = join(plan, 1, 0);
	step(plan, 0, ARBITER_ACTION_ASK);
	want(plan, b, 0, 0);
	assert_ok(arbiter_plan_park(plan, a, 0, first.generation));
	again = step(plan, GRACE / 2, ARBITER_ACTION_GRANT);
	assert_int_equal(again.process, a);
	assert_int_equal(again.core, first.core);
	assert_true(again.generation > first.generation);
	assert_int_equal(arbiter_plan_deadline(plan), CLOCK_NEVER);
	quiet(plan, GRACE);
	quiet(plan, 10 * GRACE);

	/* asked again, the period counts from then */
	want(plan, b, 0, 1);
	assert_int_equal(step(plan, 20 * GRACE, ARBITER_ACTION_ASK).generation, again.generation);
	quiet(plan, 21 * GRACE - 1);
	step(plan, 21 * GRACE, ARBITER_ACTION_REVOKE);
	arbiter_plan_destroy(plan);
}

static void arbiter_plan_step__who_wants_less_is_asked(void **state)
{
	struct arbiter_plan *plan = plan_of(3, NULL);
	uint32_t a = join(plan, 3, 2);

	(void)state;
	for (int i = 0; i < 3; i++)
		step(plan, 0, ARBITER_ACTION_GRANT);
	want(plan, a, 2, 1);
	/* the youngest grants go first */
	assert_int_equal(step(plan, 0, ARBITER_ACTION_ASK).slot, 2);
	assert_int_equal(step(plan, 0, ARBITER_ACTION_ASK).slot, 1);
	quiet(plan, 0);
	arbiter_plan_destroy(plan);
}

static void arbiter_plan_step__one_each_within_a_priority(void **state)
{
	struct arbiter_plan *plan = plan_of(5, NULL);
	uint32_t a = join(plan, 4, 3), b = join(plan, 4, 3);
	uint32_t had[2] = {0};

	(void)state;
	for (int i = 0; i < 5; i++) {
		struct arbiter_action action = step(plan, 0, ARBITER_ACTION_GRANT);

		had[action.process == b]++;
	}
	assert_int_equal(had[0], 3);
	assert_int_equal(had[1], 2);
	assert_int_not_equal(a, b);
	/* nobody has none: places do not change */
	assert_int_equal(arbiter_plan_deadline(plan), CLOCK_NEVER);
	quiet(plan, 100 * TURN);
	arbiter_plan_destroy(plan);
}

static void arbiter_plan_step__turns_change_when_somebody_has_none(void **state)
{
	struct arbiter_plan *plan = plan_of(1, NULL);
	uint32_t a = join(plan, 1, 3), b = join(plan, 1, 3);
	struct arbiter_action action = step(plan, 0, ARBITER_ACTION_GRANT);

	(void)state;
	assert_int_equal(action.process, a);
	quiet(plan, 0);
	assert_int_equal(arbiter_plan_deadline(plan), TURN);
	quiet(plan, TURN - 1);
	assert_int_equal(step(plan, TURN, ARBITER_ACTION_ASK).process, a);
	assert_ok(arbiter_plan_park(plan, a, 0, action.generation));
	action = step(plan, TURN, ARBITER_ACTION_GRANT);
	assert_int_equal(action.process, b);
	quiet(plan, TURN);
	assert_int_equal(step(plan, 2 * TURN, ARBITER_ACTION_ASK).process, b);
	arbiter_plan_destroy(plan);
}

static void arbiter_plan_step__limits_of_process_and_user(void **state)
{
	struct arbiter_plan *plan = plan_of(4, NULL);
	struct arbiter_limits limits = free_limits;
	uint32_t wanted[ARBITER_PRIORITIES] = {4}, a, b;
	struct arbiter_action action;

	(void)state;
	limits.cores_max = 2;
	limits.cores_per_uid_max = 3;
	assert_ok(arbiter_plan_join(plan, &limits, 4, &a));
	assert_ok(arbiter_plan_join(plan, &limits, 4, &b));
	arbiter_plan_request(plan, a, wanted);
	arbiter_plan_request(plan, b, wanted);
	for (uint32_t s = 0; s < 4; s++) {
		assert_ok(arbiter_plan_park(plan, a, s, 0));
		assert_ok(arbiter_plan_park(plan, b, s, 0));
	}
	uint32_t had[2] = {0};

	while (arbiter_plan_step(plan, 0, &action))
		had[action.process == b]++;
	assert_int_equal(had[0], 2);
	assert_int_equal(had[1], 1);
	assert_int_equal(arbiter_plan_free(plan), 1);
	arbiter_plan_destroy(plan);
}

static void arbiter_plan_step__no_more_urgent_than_allowed(void **state)
{
	struct arbiter_plan *plan = plan_of(1, NULL);
	struct arbiter_limits limits = free_limits;
	uint32_t wanted[ARBITER_PRIORITIES] = {UINT32_MAX, UINT32_MAX}, a, b;

	(void)state;
	limits.priority_best = 4;
	assert_ok(arbiter_plan_join(plan, &limits, 1, &a));
	arbiter_plan_request(plan, a, wanted);
	assert_ok(arbiter_plan_park(plan, a, 0, 0));
	b = join(plan, 1, 3);
	assert_int_equal(step(plan, 0, ARBITER_ACTION_GRANT).process, b);
	quiet(plan, 0);
	arbiter_plan_destroy(plan);
}

static void arbiter_plan_step__a_slot_gets_its_core_again(void **state)
{
	struct arbiter_plan *plan = plan_of(4, NULL);
	uint32_t a = join(plan, 2, 0);
	uint64_t generation[2];
	uint32_t core[2];

	(void)state;
	for (int i = 0; i < 2; i++) {
		struct arbiter_action action = step(plan, 0, ARBITER_ACTION_GRANT);

		generation[action.slot] = action.generation;
		core[action.slot] = action.core;
	}
	assert_ok(arbiter_plan_park(plan, a, 1, generation[1]));
	assert_ok(arbiter_plan_park(plan, a, 0, generation[0]));
	for (int i = 0; i < 2; i++) {
		struct arbiter_action action = step(plan, 0, ARBITER_ACTION_GRANT);

		assert_int_equal(action.core, core[action.slot]);
	}
	arbiter_plan_destroy(plan);
}

static void arbiter_plan_step__siblings_stay_together(void **state)
{
	/* two hardware threads each: 0 and 2, 1 and 3 */
	static const uint32_t sibling[] = {0, 1, 0, 1};
	struct arbiter_plan *plan = plan_of(4, sibling);

	(void)state;
	join(plan, 2, 0);

	uint32_t first = step(plan, 0, ARBITER_ACTION_GRANT).core;
	uint32_t second = step(plan, 0, ARBITER_ACTION_GRANT).core;

	assert_int_equal(sibling[first], sibling[second]);
	arbiter_plan_destroy(plan);
}

static void arbiter_plan_step__a_physical_core_to_itself_if_possible(void **state)
{
	static const uint32_t sibling[] = {0, 0, 1, 1};
	struct arbiter_plan *plan = plan_of(4, sibling);

	(void)state;
	join(plan, 1, 0);
	join(plan, 1, 0);

	uint32_t first = step(plan, 0, ARBITER_ACTION_GRANT).core;
	uint32_t second = step(plan, 0, ARBITER_ACTION_GRANT).core;

	assert_int_not_equal(sibling[first], sibling[second]);
	arbiter_plan_destroy(plan);
}

static void arbiter_plan_step__generations_continue_where_told(void **state)
{
	struct arbiter_plan_config config = {
		.cores = 1, .processes_max = 1, .generation_first = 1000};
	struct arbiter_plan *plan;

	(void)state;
	assert_ok(arbiter_plan_create(&config, &plan));
	join(plan, 1, 0);
	assert_int_equal(step(plan, 0, ARBITER_ACTION_GRANT).generation, 1001);
	arbiter_plan_destroy(plan);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(arbiter_plan_create__out_of_range),
		cmocka_unit_test(arbiter_plan_join__limits),
		cmocka_unit_test(arbiter_plan_leave__cores_are_free_at_once),
		cmocka_unit_test(arbiter_plan_park__nonsense),
		cmocka_unit_test(arbiter_plan_return__withdraws_an_offer),
		cmocka_unit_test(arbiter_plan_step__urgent_first),
		cmocka_unit_test(arbiter_plan_step__asks_waits_takes),
		cmocka_unit_test(arbiter_plan_step__an_old_deadline_takes_no_new_grant),
		cmocka_unit_test(arbiter_plan_step__who_wants_less_is_asked),
		cmocka_unit_test(arbiter_plan_step__one_each_within_a_priority),
		cmocka_unit_test(arbiter_plan_step__turns_change_when_somebody_has_none),
		cmocka_unit_test(arbiter_plan_step__limits_of_process_and_user),
		cmocka_unit_test(arbiter_plan_step__no_more_urgent_than_allowed),
		cmocka_unit_test(arbiter_plan_step__a_slot_gets_its_core_again),
		cmocka_unit_test(arbiter_plan_step__siblings_stay_together),
		cmocka_unit_test(arbiter_plan_step__a_physical_core_to_itself_if_possible),
		cmocka_unit_test(arbiter_plan_step__generations_continue_where_told),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
