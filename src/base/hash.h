/*
 * Hashes of keys: XXH3 (64 bits) of libxxhash. Not for secrets, not against an adversary who knows
 * the seed. The values are part of formats on disk and wire: they never change.
 */
#pragma once

#include "base/compiler.h"

#include <xxhash.h>

/* The hash of bytes[count]. */
static inline uint64_t hash_bytes(const void *bytes, size_t count)
{
	return XXH3_64bits(bytes, count);
}

/* The same, one of a family that `seed` selects. */
static inline uint64_t hash_bytes_seeded(const void *bytes, size_t count, uint64_t seed)
{
	return XXH3_64bits_withSeed(bytes, count, seed);
}

/* The hash of an integer: that of its eight bytes in little-endian order. */
static inline uint64_t hash_u64(uint64_t v)
{
	return XXH3_64bits(&v, sizeof(v));
}
