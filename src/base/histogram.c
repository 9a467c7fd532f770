#include "base/histogram.h"

#include <string.h>

void histogram_init(struct histogram *h)
{
	memset(h, 0, sizeof(*h));
	h->min = UINT64_MAX;
}

uint64_t histogram_bucket_max(uint32_t bucket)
{
	if (bucket < 2u << HISTOGRAM_BITS)
		return bucket;

	uint32_t shift = (bucket >> HISTOGRAM_BITS) - 1;
	uint64_t leading = bucket - ((uint64_t)shift << HISTOGRAM_BITS);

	/* wraps to UINT64_MAX for the last bucket */
	return ((leading + 1) << shift) - 1;
}

void histogram_merge(struct histogram *to, const struct histogram *from)
{
	for (uint32_t i = 0; i < HISTOGRAM_BUCKETS; i++)
		to->counts[i] += from->counts[i];
	to->sum += from->sum;
	if (from->min < to->min)
		to->min = from->min;
	if (from->max > to->max)
		to->max = from->max;
}

uint64_t histogram_count(const struct histogram *h)
{
	uint64_t count = 0;

	for (uint32_t i = 0; i < HISTOGRAM_BUCKETS; i++)
		count += h->counts[i];
	return count;
}

double histogram_mean(const struct histogram *h)
{
	uint64_t count = histogram_count(h);

	return count ? (double)h->sum / (double)count : 0;
}

uint64_t histogram_min(const struct histogram *h)
{
	return h->min <= h->max ? h->min : 0;
}

uint64_t histogram_max(const struct histogram *h)
{
	return h->max;
}

/* From 1 to count, of the value that is asked for. */
static uint64_t rank_of(double percent, uint64_t count)
{
	double exact = percent / 100 * (double)count;

	if (!(exact > 1))
		return 1;
	if (exact >= (double)count)
		return count;

	uint64_t rank = (uint64_t)exact;

	return (double)rank < exact ? rank + 1 : rank;
}

uint64_t histogram_percentile(const struct histogram *h, double percent)
{
	uint64_t count = histogram_count(h);
	uint64_t left = rank_of(percent, count);

	if (count == 0)
		return 0;
	for (uint32_t i = 0; i < HISTOGRAM_BUCKETS; i++) {
		if (h->counts[i] >= left) {
			uint64_t value = histogram_bucket_max(i);

			return value < h->max ? value : h->max;
		}
		left -= h->counts[i];
	}
	return h->max;
}
