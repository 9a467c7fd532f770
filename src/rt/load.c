#include "rt/load.h"

#include "base/assert.h"

static bool too_few(const struct load_window *window)
{
	return window->runnable > LOAD_FACTOR_UP * window->cores;
}

/* Whether one core less would do: it did, with more load than this, when we last had one less. */
static bool too_many(const struct load_history *history, const struct load_window *window)
{
	uint32_t fewer = window->cores - 1;
	double enough_until = history->utilised_at_step_up[fewer];

	/* never stepped up from there: one less is enough while it would not be fully used */
	if (enough_until == 0)
		enough_until = fewer;
	enough_until -= LOAD_HYSTERESIS * fewer;
	if (enough_until < LOAD_UTILISED_MIN)
		enough_until = LOAD_UTILISED_MIN;
	return window->utilised < enough_until;
}

uint32_t load_cores_wanted(struct load_history *history, const struct load_window *window,
			   uint32_t least, uint32_t most)
{
	uint32_t cores = window->cores;

	ASSERT(least >= 1 && least <= most && most <= RT_CORES_MAX && cores <= RT_CORES_MAX);
	if (cores < least)
		return least;
	if (cores > most)
		return most;
	if (cores < most && too_few(window)) {
		history->utilised_at_step_up[cores] = window->utilised;
		return cores + 1;
	}
	if (cores > least && too_many(history, window))
		return cores - 1;
	return cores;
}
