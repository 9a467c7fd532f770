/*
 * Bitmaps over an array of 64-bit words of the caller: bit n is bit n % 64 of word n / 64. Lengths
 * and positions count bits. Not safe between threads.
 */
#pragma once

#include "base/compiler.h"

#include <stdbool.h>

/* The words that `bits` bits take. */
#define BITMAP_WORDS(bits) (((bits) + 63) / 64)

/* Whether the bit is set. */
static inline bool bitmap_get(const uint64_t *map, size_t bit)
{
	return map[bit / 64] >> (bit % 64) & 1;
}

/* Sets one bit. */
static inline void bitmap_set(uint64_t *map, size_t bit)
{
	map[bit / 64] |= 1ull << (bit % 64);
}

/* Clears one bit. */
static inline void bitmap_clear(uint64_t *map, size_t bit)
{
	map[bit / 64] &= ~(1ull << (bit % 64));
}

/* Sets or clears the bits from `first`, `count` of them. */
void bitmap_set_range(uint64_t *map, size_t first, size_t count);
void bitmap_clear_range(uint64_t *map, size_t first, size_t count);

/* How many of the bits from `first`, `count` of them, are set. */
size_t bitmap_count_range(const uint64_t *map, size_t first, size_t count);

/* The first set (clear) bit at `from` or after; `bits`, the map's length, if there is none. */
size_t bitmap_find_set(const uint64_t *map, size_t bits, size_t from);
size_t bitmap_find_clear(const uint64_t *map, size_t bits, size_t from);

/*
 * The first place at `from` or after where `count` (at least 1) bits in a row are clear; `bits` if
 * there is none.
 */
size_t bitmap_find_clear_run(const uint64_t *map, size_t bits, size_t from, size_t count);
