/*
 * Who runs next. No single way of choosing finds all bugs, so the seed draws one of three:
 *
 * uniform  Any runnable processor, after runs of a random mean length from 1 to 32 steps. Finds
 *          what needs many switches close together.
 * PCT      Probabilistic concurrency testing (Burckhardt, Kothari, Musuvathi and Nagarakatte, "A
 *          randomized scheduler with probabilistic guarantees of finding bugs", ASPLOS 2010). Has
 *          random priorities; the highest runnable one runs; at d - 1 random steps the running one
 *          falls to the bottom. A bug of depth d in a run of k steps of n processors is found with
 *          a probability of at least 1 / (n * k^(d-1)). Finds what needs one processor to stand
 *          still at the wrong place for long. A spin puts the spinner at the bottom, else it would
 *          spin for ever; so does holding the processor for too long.
 * long     Runs of 64 to 2048 steps: processors get far ahead of each other.
 */
#include "sim/sim_int.h"

#define PCT_HOLD_MOST 20000 /* steps: latch-free code that retries without cpu_relax() */

static const uint32_t stale_chances[] = {0, 32, 128, 224};

static void pct_init(struct sim *s)
{
	uint64_t usual = s->config->steps_usual;
	uint32_t points = 1 + random_below(s, CHANGE_POINTS_MAX);

	/* without knowing the length, any order of magnitude is as good as another */
	if (usual == 0)
		usual = 64ull << random_below(s, 11);
	for (uint32_t i = 0; i < CHANGE_POINTS_MAX; i++)
		s->change_at[i] = i < points ? random_next(s) % usual : UINT64_MAX;
	s->priority_low = UINT32_MAX;
}

static enum sim_strategy strategy_draw(struct sim *s)
{
	static const enum sim_strategy drawn[] = {SIM_STRATEGY_UNIFORM, SIM_STRATEGY_UNIFORM,
						  SIM_STRATEGY_PCT, SIM_STRATEGY_PCT,
						  SIM_STRATEGY_LONG};
	uint32_t i = random_below(s, ARRAY_SIZE(drawn));

	return s->config->strategy == SIM_STRATEGY_SEEDED ? drawn[i] : s->config->strategy;
}

static uint64_t run_mean_draw(struct sim *s)
{
	uint32_t one = random_below(s, 6);
	uint32_t two = random_below(s, 6);

	if (s->strategy == SIM_STRATEGY_LONG)
		return 64ull << (one + two) / 2;
	/* rather short: most mistakes need two switches a few steps apart */
	return 1ull << (one < two ? one : two);
}

void strategy_init(struct sim *s)
{
	s->strategy = strategy_draw(s);
	s->run_mean = run_mean_draw(s);
	pct_init(s);
	s->step_ns = 1ull << random_below(s, 7);
	s->warp = random_below(s, 2) ? 0 : 16u << random_below(s, 8);
	s->spurious = random_below(s, 2) ? 0 : 16;
	s->stale = stale_chances[random_below(s, ARRAY_SIZE(stale_chances))];
	s->stale_window = 16ull << random_below(s, 8);
	if (s->config->memory == SIM_MEMORY_SEQUENTIAL)
		s->stale = 0;
	else if (s->config->memory == SIM_MEMORY_WEAK)
		s->stale = 128;
	s->decide_at = 0;
}

uint64_t strategy_priority(struct sim *s)
{
	/* above all the low ones, which count down from UINT32_MAX */
	return (1ull << 32) | random_next(s) >> 1;
}

static struct processor *nth_runnable(struct sim *s, uint32_t mask, uint32_t n)
{
	while (n--)
		mask &= mask - 1;
	return &s->processors[__builtin_ctz(mask)];
}

/* How many steps until the next decision: geometric around the mean, cheaply. */
static uint64_t run_length(struct sim *s)
{
	if (s->run_mean == 1)
		return 1;
	return 1 + random_below(s, (uint32_t)(2 * s->run_mean));
}

static struct processor *choose_random(struct sim *s, bool spinning)
{
	uint32_t mask = s->runnable;
	uint32_t others = mask & ~(1u << s->current->index);

	if (spinning && others)
		mask = others;
	s->decide_at = s->steps + run_length(s);
	return nth_runnable(s, mask, random_below(s, (uint32_t)__builtin_popcount(mask)));
}

/* Forgets the change points that have come; says whether there was one. */
static bool change_points_pass(struct sim *s)
{
	bool passed = false;

	for (uint32_t i = 0; i < CHANGE_POINTS_MAX; i++) {
		if (s->change_at[i] > s->steps)
			continue;
		s->change_at[i] = UINT64_MAX;
		passed = true;
	}
	return passed;
}

static struct processor *choose_pct(struct sim *s, bool spinning)
{
	struct processor *best = NULL;
	bool held_long = s->steps - s->held_since >= PCT_HOLD_MOST;

	if (change_points_pass(s) || spinning || held_long) {
		s->current->priority = s->priority_low--;
		s->held_since = s->steps;
	}
	for (uint32_t left = s->runnable; left; left &= left - 1) {
		struct processor *p = &s->processors[__builtin_ctz(left)];

		if (!best || p->priority > best->priority)
			best = p;
	}
	s->decide_at = s->steps + PCT_HOLD_MOST;
	for (uint32_t i = 0; i < CHANGE_POINTS_MAX; i++) {
		if (s->change_at[i] < s->decide_at)
			s->decide_at = s->change_at[i];
	}
	return best;
}

struct processor *strategy_choose(struct sim *s, bool spinning)
{
	struct processor *p = s->strategy == SIM_STRATEGY_PCT ? choose_pct(s, spinning)
							      : choose_random(s, spinning);

	if (s->decide_at > s->steps_max)
		s->decide_at = s->steps_max;
	return p;
}

uint32_t kthread_choose(uint32_t count)
{
	struct sim *s = sim_now_running;

	if (!s || count < 2)
		return 0;
	uint32_t chosen = random_below(s, count);

	event_fold(s, EVENT_CHOOSE, chosen, count);
	return chosen;
}
