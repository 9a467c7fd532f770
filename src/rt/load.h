/*
 * How many cores does the load need? After Arachne's CoreLoadEstimator, with its constants: one
 * more when more than 1.5 threads are runnable per core on average; one less when the cores that
 * are busy would, with a margin, have been enough before the last step up. At most one step per
 * window.
 */
#pragma once

#include "rt/rt.h"

#define LOAD_WINDOW_NS    (50 * NS_PER_MS)
#define LOAD_FACTOR_UP    1.5
#define LOAD_HYSTERESIS   0.09
#define LOAD_UTILISED_MIN 0.01

/* What happened on all cores that serve, in one window. */
struct load_window {
	uint32_t cores;  /* that served */
	double runnable; /* threads that ran or were ready, on average, all cores together */
	double utilised; /* cores' worth of time spent running threads */
};

struct load_history {
	/* [n]: how many cores were utilised when n were found to be too few; 0: never */
	double utilised_at_step_up[RT_CORES_MAX + 1];
};

/*
 * How many cores the next window should have: window.cores, one more or one less, within `least`
 * and `most`. Remembers the steps up.
 */
uint32_t load_cores_wanted(struct load_history *history, const struct load_window *window,
			   uint32_t least, uint32_t most);
