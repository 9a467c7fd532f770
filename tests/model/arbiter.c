/*
 * The arbiter's decisions under random events, held against rules that are checked from outside:
 * this file knows who was given what only from the actions, and judges by the rules in
 * rt/arbiter_plan.h, not by how they are computed.
 *
 * TARN_SEED=n runs one seed. The seed of a failure is printed.
 */
#include "rt/arbiter_plan.h"

#include "base/clock.h"

#include "unit.h"

#define CORES     6
#define PROCESSES 7
#define SLOTS     5
#define USERS     3
#define GRACE     10000u
#define TURN      100000u

/* ---- what is known from outside -------------------------------------------------------------- */

enum held { HELD_NOTHING, HELD_WAITING, HELD_CORE, HELD_ASKED };

struct seat {
	enum held held;
	uint32_t core;
	uint64_t generation;
	uint64_t asked_at;
};

struct client {
	bool here;
	struct arbiter_limits limits;
	uint32_t slots;
	uint32_t wanted[ARBITER_PRIORITIES];
	uint64_t stale; /* a generation that it once had */
	struct seat seat[SLOTS];
};

struct world {
	struct arbiter_plan *plan;
	uint64_t seed;
	uint64_t random;
	uint64_t now;
	uint64_t generation_last;
	struct client client[PROCESSES];
	bool taken[CORES];
	uint64_t grants, asks, revokes;
};

static uint64_t random_next(struct world *w)
{
	uint64_t z = (w->random += 0x9e3779b97f4a7c15u);

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
	return z ^ (z >> 31);
}

static uint32_t below(struct world *w, uint32_t limit)
{
	return (uint32_t)(random_next(w) % limit);
}

#define CHECK(w, condition)                                                                        \
	do {                                                                                       \
		if (!(condition))                                                                  \
			fail_msg("seed %llu at %llu: %s", (unsigned long long)(w)->seed,           \
				 (unsigned long long)(w)->now, #condition);                        \
	} while (0)

/* ---- actions --------------------------------------------------------------------------------- */

static void action_take(struct world *w, const struct arbiter_action *a)
{
	struct client *client = &w->client[a->process];
	struct seat *seat = &client->seat[a->slot];

	CHECK(w, a->process < PROCESSES && client->here && a->slot < client->slots);
	CHECK(w, a->core < CORES);
	switch (a->kind) {
	case ARBITER_ACTION_GRANT:
		w->grants++;
		CHECK(w, !w->taken[a->core]);
		CHECK(w, seat->held == HELD_WAITING);
		CHECK(w, a->generation > w->generation_last);
		w->generation_last = a->generation;
		w->taken[a->core] = true;
		*seat = (struct seat){HELD_CORE, a->core, a->generation, 0};
		break;
	case ARBITER_ACTION_ASK:
		w->asks++;
		CHECK(w, seat->held == HELD_CORE);
		CHECK(w, seat->generation == a->generation && seat->core == a->core);
		seat->held = HELD_ASKED;
		seat->asked_at = w->now;
		break;
	case ARBITER_ACTION_REVOKE:
		w->revokes++;
		/* only what was asked for, under that grant, and not before its time: a timer of an
		 * earlier grant would fail here */
		CHECK(w, seat->held == HELD_ASKED);
		CHECK(w, seat->generation == a->generation && seat->core == a->core);
		CHECK(w, w->now >= seat->asked_at + GRACE);
		w->taken[a->core] = false;
		client->stale = seat->generation;
		*seat = (struct seat){0};
		break;
	}
}

/* ---- rules ----------------------------------------------------------------------------------- */

static uint32_t count(const struct client *client, enum held held)
{
	uint32_t n = 0;

	for (uint32_t s = 0; s < client->slots; s++)
		n += client->seat[s].held == held;
	return n;
}

static uint32_t asked(const struct world *w)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < PROCESSES; i++)
		if (w->client[i].here)
			n += count(&w->client[i], HELD_ASKED);
	return n;
}

/* What the client could use of what it wants at priorities up to `p`. */
static uint32_t claim(const struct client *client, int p)
{
	uint32_t sum = 0;
	uint32_t can = count(client, HELD_CORE) + count(client, HELD_WAITING);

	for (int q = 0; q <= p; q++)
		sum += client->wanted[q];
	if (sum > client->limits.cores_max)
		sum = client->limits.cores_max;
	return sum < can ? sum : can;
}

static uint32_t uid_cores(const struct world *w, uint32_t uid)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < PROCESSES; i++)
		if (w->client[i].here && w->client[i].limits.uid == uid)
			n += count(&w->client[i], HELD_CORE);
	return n;
}

/* Rules 2 and 3 between a client that gets less than it claims at priority `p`, and another. */
static void rule_pair(struct world *w, const struct client *poor, const struct client *rich, int p)
{
	uint32_t has = count(rich, HELD_CORE);
	uint32_t poor_has = count(poor, HELD_CORE);
	uint32_t rich_above = p > 0 ? claim(rich, p - 1) : 0;
	uint32_t poor_above = p > 0 ? claim(poor, p - 1) : 0;

	/* nothing goes to a less urgent priority while a more urgent one lacks */
	CHECK(w, has <= claim(rich, p));
	/* and at one priority they differ by one at most */
	if (has > rich_above && poor_has >= poor_above)
		CHECK(w, has - rich_above <= poor_has - poor_above + 1);
}

static void rules_settled(struct world *w)
{
	uint32_t taken = 0;

	for (uint32_t c = 0; c < CORES; c++)
		taken += w->taken[c];
	for (uint32_t i = 0; i < PROCESSES; i++) {
		const struct client *poor = &w->client[i];

		if (!poor->here)
			continue;
		CHECK(w, count(poor, HELD_CORE) <= claim(poor, ARBITER_PRIORITIES - 1));
		CHECK(w, uid_cores(w, poor->limits.uid) <= poor->limits.cores_per_uid_max);
		bool full = uid_cores(w, poor->limits.uid) == poor->limits.cores_per_uid_max;

		for (int p = 0; p < ARBITER_PRIORITIES; p++) {
			if (count(poor, HELD_CORE) >= claim(poor, p))
				continue;
			/* who met its user's limit can envy its own user's processes only */
			CHECK(w, full || taken == CORES);
			for (uint32_t j = 0; j < PROCESSES; j++)
				if (w->client[j].here && j != i &&
				    (!full || w->client[j].limits.uid == poor->limits.uid))
					rule_pair(w, poor, &w->client[j], p);
		}
	}
}

static void settle(struct world *w)
{
	struct arbiter_action action;
	uint32_t steps = 0;

	while (arbiter_plan_step(w->plan, w->now, &action)) {
		action_take(w, &action);
		CHECK(w, ++steps < 1000);
	}
	CHECK(w, arbiter_plan_deadline(w->plan) > w->now);
	for (uint32_t i = 0; i < PROCESSES; i++)
		for (uint32_t s = 0; s < SLOTS; s++) {
			const struct seat *seat = &w->client[i].seat[s];

			if (w->client[i].here && seat->held == HELD_ASKED)
				CHECK(w, w->now < seat->asked_at + GRACE);
		}
	if (asked(w) == 0)
		rules_settled(w);
}

/* ---- events ---------------------------------------------------------------------------------- */

static void event_join(struct world *w)
{
	uint32_t uid = below(w, USERS);
	struct arbiter_limits limits = {
		.uid = uid,
		.priority_best = uid == 2 ? 3 : 0,
		.cores_max = uid == 1 ? 2 : CORES,
		.cores_per_uid_max = uid == 1 ? 3 : CORES,
		.processes_per_uid_max = 4,
	};
	uint32_t slots = 1 + below(w, SLOTS), number, here = 0, same = 0;

	for (uint32_t i = 0; i < PROCESSES; i++) {
		here += w->client[i].here;
		same += w->client[i].here && w->client[i].limits.uid == uid;
	}
	if (!status_ok(arbiter_plan_join(w->plan, &limits, slots, &number))) {
		CHECK(w, here == PROCESSES || same == 4);
		return;
	}
	CHECK(w, number < PROCESSES && !w->client[number].here && same < 4);
	w->client[number] = (struct client){.here = true, .limits = limits, .slots = slots};
}

static void event_leave(struct world *w, uint32_t number)
{
	struct client *client = &w->client[number];

	arbiter_plan_leave(w->plan, number);
	for (uint32_t s = 0; s < client->slots; s++)
		if (client->seat[s].held >= HELD_CORE)
			w->taken[client->seat[s].core] = false;
	client->here = false;
}

static void event_request(struct world *w, uint32_t number)
{
	struct client *client = &w->client[number];
	uint32_t wanted[ARBITER_PRIORITIES] = {0};

	memset(client->wanted, 0, sizeof(client->wanted));
	for (uint32_t n = below(w, 3); n > 0; n--) {
		uint32_t p = below(w, ARBITER_PRIORITIES);

		wanted[p] = below(w, 50) ? below(w, CORES + 1) : UINT32_MAX;
	}
	for (uint32_t p = 0; p < ARBITER_PRIORITIES; p++) {
		uint32_t as = p < client->limits.priority_best ? client->limits.priority_best : p;

		client->wanted[as] += wanted[p] < CORES ? wanted[p] : CORES;
	}
	arbiter_plan_request(w->plan, number, wanted);
}

static void event_park(struct world *w, uint32_t number, uint32_t s)
{
	struct client *client = &w->client[number];
	struct seat *seat = &client->seat[s];
	struct status status;

	if (s >= client->slots || seat->held == HELD_WAITING || below(w, 20) == 0) {
		/* nonsense: a slot that is not there, twice, somebody else's generation */
		uint64_t wrong = below(w, 2) ? seat->generation + 1 : client->stale;

		if (s < client->slots && seat->held == HELD_NOTHING)
			return;
		status = arbiter_plan_park(w->plan, number, s, wrong);
		CHECK(w, status_is(status, STATUS_INVALID));
		return;
	}
	status = arbiter_plan_park(w->plan, number, s,
				   seat->held == HELD_NOTHING ? client->stale : seat->generation);
	CHECK(w, status_ok(status));
	if (seat->held != HELD_NOTHING)
		w->taken[seat->core] = false;
	*seat = (struct seat){.held = HELD_WAITING};
}

static void event_return(struct world *w, uint32_t number, uint32_t s)
{
	struct client *client = &w->client[number];

	if (s >= client->slots)
		return;

	struct seat *seat = &client->seat[s];

	CHECK(w, status_ok(arbiter_plan_return(w->plan, number, s, seat->generation)));
	if (seat->held >= HELD_CORE)
		w->taken[seat->core] = false;
	*seat = (struct seat){0};
}

static void event(struct world *w)
{
	uint32_t number = below(w, PROCESSES);
	uint32_t s = below(w, SLOTS);
	uint32_t what = below(w, 100);

	if (!w->client[number].here)
		event_join(w);
	else if (what < 1)
		event_leave(w, number);
	else if (what < 15)
		event_request(w, number);
	else if (what < 75)
		event_park(w, number, s);
	else if (what < 80)
		event_return(w, number, s);
	else
		w->now += below(w, 2) ? below(w, GRACE / 2) : below(w, 2 * TURN);
}

static struct world *world_create(uint64_t seed)
{
	static const uint32_t sibling[CORES] = {0, 0, 1, 1, 2, 3};
	struct world *w = calloc(1, sizeof(*w));
	struct arbiter_plan_config config = {
		.cores = CORES,
		.core_sibling = sibling,
		.processes_max = PROCESSES,
		.grace_ns = GRACE,
		.turn_ns = seed % 3 ? TURN : 0,
	};

	assert_non_null(w);
	w->seed = seed;
	w->random = seed;
	assert_true(status_ok(arbiter_plan_create(&config, &w->plan)));
	return w;
}

static void world_destroy(struct world *w)
{
	arbiter_plan_destroy(w->plan);
	free(w);
}

static void seed_run(uint64_t seed, uint32_t events, uint64_t *totals)
{
	struct world *w = world_create(seed);

	for (uint32_t i = 0; i < events; i++) {
		event(w);
		settle(w);
	}
	totals[0] += w->grants;
	totals[1] += w->asks;
	totals[2] += w->revokes;
	world_destroy(w);
}

static void arbiter__random_events(void **state)
{
	const char *chosen = getenv("TARN_SEED");
	uint64_t totals[3] = {0};

	(void)state;
	if (chosen) {
		seed_run(strtoull(chosen, NULL, 0), 3000, totals);
		return;
	}
	uint64_t base = clock_wall_ns();

	print_message("# seeds %llu to %llu\n", (unsigned long long)base,
		      (unsigned long long)base + 199);
	for (uint64_t i = 0; i < 200; i++)
		seed_run(base + i, 3000, totals);
	print_message("# %llu grants, %llu asked back, %llu taken by force\n",
		      (unsigned long long)totals[0], (unsigned long long)totals[1],
		      (unsigned long long)totals[2]);
	/* the run must have gone where the rules are */
	assert_true(totals[0] > 1000 && totals[1] > 1000 && totals[2] > 1000);
}

/* ---- no starvation --------------------------------------------------------------------------- */

/* Everybody obeys at once; within two rounds of turns everybody has had a core. */
static void fair_run(uint32_t clients, uint64_t seed)
{
	struct world *w = world_create(seed);
	struct arbiter_plan_config config = {
		.cores = CORES, .processes_max = 64, .grace_ns = GRACE, .turn_ns = TURN};
	uint32_t wanted[ARBITER_PRIORITIES] = {[4] = 1 + (uint32_t)(seed % 3)};
	struct arbiter_limits limits = {
		.cores_max = CORES, .cores_per_uid_max = CORES, .processes_per_uid_max = 64};
	uint32_t had[64] = {0}, number;
	struct arbiter_action action;

	arbiter_plan_destroy(w->plan);
	assert_true(status_ok(arbiter_plan_create(&config, &w->plan)));
	for (uint32_t i = 0; i < clients; i++) {
		assert_true(status_ok(arbiter_plan_join(w->plan, &limits, 3, &number)));
		arbiter_plan_request(w->plan, number, wanted);
		for (uint32_t s = 0; s < 3; s++)
			assert_true(status_ok(arbiter_plan_park(w->plan, number, s, 0)));
	}
	for (uint32_t turn = 0; turn < 2 * (clients / CORES + 2); turn++) {
		while (arbiter_plan_step(w->plan, w->now, &action)) {
			assert_int_not_equal(action.kind, ARBITER_ACTION_REVOKE);
			if (action.kind == ARBITER_ACTION_GRANT)
				had[action.process]++;
			else
				assert_true(status_ok(arbiter_plan_park(
					w->plan, action.process, action.slot, action.generation)));
		}
		w->now += TURN;
	}
	for (uint32_t i = 0; i < clients; i++)
		if (had[i] == 0)
			fail_msg("%u clients, seed %llu: client %u never had a core", clients,
				 (unsigned long long)seed, i);
	world_destroy(w);
}

static void arbiter__nobody_starves_within_a_priority(void **state)
{
	(void)state;
	for (uint32_t clients = 1; clients <= 60; clients++)
		for (uint64_t seed = 0; seed < 3; seed++)
			fair_run(clients, seed);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(arbiter__random_events),
		cmocka_unit_test(arbiter__nobody_starves_within_a_priority),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
