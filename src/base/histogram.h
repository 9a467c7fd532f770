/*
 * Histograms of latencies and sizes: log-linear buckets as HdrHistogram has them, over all 64-bit
 * values, in fixed memory (30 KiB), without allocation, mergeable.
 *
 * Values below 64 are exact. Above, each power of two is cut into 64 buckets, so that a bucket is
 * at most 1/64 of its values wide. A percentile is its bucket's highest value, but at most the
 * maximum: never below the true one, and at most 1/64 (1.6 %) above it. Minimum, maximum, count and
 * mean are exact.
 *
 * Not safe between threads: give each core its own and merge.
 */
#pragma once

#include "base/compiler.h"

#define HISTOGRAM_BITS    6 /* 2^6 buckets for each power of two */
#define HISTOGRAM_BUCKETS ((64 - HISTOGRAM_BITS + 1) << HISTOGRAM_BITS)

struct histogram {
	uint64_t min; /* UINT64_MAX while empty */
	uint64_t max;
	unsigned __int128 sum;
	uint64_t counts[HISTOGRAM_BUCKETS];
};

/* Makes it empty. */
void histogram_init(struct histogram *h);

/* The bucket of a value; grows with it. */
static ALWAYS_INLINE uint32_t histogram_bucket(uint64_t value)
{
	if (value < 1u << HISTOGRAM_BITS)
		return (uint32_t)value;

	/* the leading bits of the value: a 1, then HISTOGRAM_BITS more */
	uint32_t shift = 63 - HISTOGRAM_BITS - (uint32_t)__builtin_clzll(value);

	return (shift << HISTOGRAM_BITS) + (uint32_t)(value >> shift);
}

/* The highest value of a bucket (below HISTOGRAM_BUCKETS). */
uint64_t histogram_bucket_max(uint32_t bucket);

/* Counts one value. About 2 ns. */
static ALWAYS_INLINE void histogram_record(struct histogram *h, uint64_t value)
{
	h->counts[histogram_bucket(value)]++;
	h->sum += value;
	if (value < h->min)
		h->min = value;
	if (value > h->max)
		h->max = value;
}

/* Adds all that `from` has counted to `to`. */
void histogram_merge(struct histogram *to, const struct histogram *from);

/* How many values were counted. */
uint64_t histogram_count(const struct histogram *h);

/* The exact mean; 0 when empty. */
double histogram_mean(const struct histogram *h);

/* The least and the greatest value; 0 when empty. */
uint64_t histogram_min(const struct histogram *h);
uint64_t histogram_max(const struct histogram *h);

/*
 * The value that `percent` of the values do not exceed: the one at rank ceil(percent / 100 * count)
 * of the sorted values, with the error above. 0 when empty; percent is taken into 0…100.
 */
uint64_t histogram_percentile(const struct histogram *h, double percent);
