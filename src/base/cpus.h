/*
 * A set of processors, by the kernel's numbers.
 */
#pragma once

#include "base/compiler.h"
#include "base/status.h"

#include <stdbool.h>

#define CPUS_MAX 1024
struct cpus {
	uint64_t words[CPUS_MAX / 64];
};

/* Whether the processor is in the set; false for numbers that no set can have. */
static inline bool cpus_has(const struct cpus *set, uint32_t cpu)
{
	return cpu < CPUS_MAX && (set->words[cpu / 64] >> (cpu % 64) & 1);
}

/* Puts it in; nothing happens with a number that no set can have. */
static inline void cpus_add(struct cpus *set, uint32_t cpu)
{
	if (cpu < CPUS_MAX)
		set->words[cpu / 64] |= 1ull << (cpu % 64);
}

/* Takes it out, if it is in. */
static inline void cpus_remove(struct cpus *set, uint32_t cpu)
{
	if (cpu < CPUS_MAX)
		set->words[cpu / 64] &= ~(1ull << (cpu % 64));
}

/* How many processors the set has. */
uint32_t cpus_count(const struct cpus *set);

/* The n-th processor of the set, from 0; CPUS_MAX if there are fewer. */
uint32_t cpus_nth(const struct cpus *set, uint32_t n);

/*
 * Reads the kernel's form of a set, "0-3,7"; an empty text (and a newline behind it) is the empty
 * set. INVALID for anything else.
 */
struct status cpus_parse(const char *text, struct cpus *ret_set);

/* Writes that form into text[size]; what does not fit is cut. */
void cpus_format(const struct cpus *set, char *text, size_t size);
