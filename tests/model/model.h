/*
 * What every model test shares: the seed, and a check that names it when it fails.
 */
#pragma once

#include "base/clock.h"
#include "base/random.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static uint64_t model_seed;

/* Takes `--seed N` from the command line, or the clock; prints it and seeds the generator. */
static inline void model_begin(int argc, char **argv, struct random *ret_random)
{
	model_seed = argc == 3 && strcmp(argv[1], "--seed") == 0 ? strtoull(argv[2], NULL, 0)
								 : clock_wall_ns();
	printf("seed %llu\n", (unsigned long long)model_seed);
	random_init(ret_random, model_seed);
}

/* Ends the test as failed, with the seed, unless the condition holds. */
#define MODEL_CHECK(condition)                                                                     \
	do {                                                                                       \
		if (!(condition)) {                                                                \
			printf("%s:%d: %s does not hold; repeat with --seed %llu\n", __FILE__,     \
			       __LINE__, #condition, (unsigned long long)model_seed);              \
			exit(1);                                                                   \
		}                                                                                  \
	} while (0)
