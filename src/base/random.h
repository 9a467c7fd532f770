/*
 * Seeded random numbers: xoshiro256** 1.0 by Blackman and Vigna (prng.di.unimi.it), seeded through
 * SplitMix64. The same seed gives the same numbers on every machine. Not for secrets: those come
 * from os_random().
 */
#pragma once

#include "base/compiler.h"

#include <stdbool.h>

struct random {
	uint64_t s[4];
};

/* Any seed will do, 0 too. */
void random_init(struct random *r, uint64_t seed);

/* x turned left by k bits, 0 < k < 64. */
static ALWAYS_INLINE uint64_t random_rotl(uint64_t x, int k)
{
	return (x << k) | (x >> (64 - k));
}

/* 64 random bits. */
static ALWAYS_INLINE uint64_t random_u64(struct random *r)
{
	uint64_t result = random_rotl(r->s[1] * 5, 7) * 9;
	uint64_t t = r->s[1] << 17;

	r->s[2] ^= r->s[0];
	r->s[3] ^= r->s[1];
	r->s[1] ^= r->s[2];
	r->s[0] ^= r->s[3];
	r->s[2] ^= t;
	r->s[3] = random_rotl(r->s[3], 45);
	return result;
}

/*
 * A number from 0 to below - 1, each as likely as the others; `below` must not be 0. (Lemire, "Fast
 * random integer generation in an interval", 2019.)
 */
static inline uint64_t random_below(struct random *r, uint64_t below)
{
	unsigned __int128 m = (unsigned __int128)random_u64(r) * below;

	if (unlikely((uint64_t)m < below)) {
		uint64_t threshold = (0 - below) % below;

		while ((uint64_t)m < threshold)
			m = (unsigned __int128)random_u64(r) * below;
	}
	return (uint64_t)(m >> 64);
}

/* From `first` to `last`, both included; first must not be above last. */
static inline uint64_t random_between(struct random *r, uint64_t first, uint64_t last)
{
	uint64_t below = last - first + 1;

	return below == 0 ? random_u64(r) : first + random_below(r, below);
}

/* From 0 to below 1, in steps of 2^-53. */
static inline double random_double(struct random *r)
{
	return (double)(random_u64(r) >> 11) * 0x1p-53;
}

/* True once in `times`; `times` must not be 0. */
static inline bool random_one_in(struct random *r, uint64_t times)
{
	return random_below(r, times) == 0;
}

/* A generator of its own for a part of the work, so that parts do not disturb each other. */
void random_fork(struct random *from, struct random *ret_child);

/* Fills a buffer. */
void random_bytes(struct random *r, void *to, size_t count);
