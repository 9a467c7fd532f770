/*
 * The histogram against sorted arrays: random values of all magnitudes, recorded in parts that are
 * merged. Counts, extremes and mean must be exact, percentiles within the documented bound.
 */
#include "base/histogram.h"

#include "model.h"

#define VALUES_MAX 5000
#define PARTS      3
#define ROUNDS     200

static uint64_t values[VALUES_MAX];
static struct histogram parts[PARTS];

static int compare(const void *a, const void *b)
{
	const uint64_t *x = a, *y = b;

	return (*x > *y) - (*x < *y);
}

static void check_percentile(const struct histogram *h, size_t count, double percent)
{
	size_t rank = (size_t)(percent / 100 * (double)count);

	if ((double)rank < percent / 100 * (double)count)
		rank++;
	uint64_t exact = values[rank == 0 ? 0 : rank - 1];
	uint64_t answer = histogram_percentile(h, percent);

	MODEL_CHECK(answer >= exact);
	MODEL_CHECK(answer - exact <= exact / 64);
}

static void round_of(struct random *r)
{
	static const double percents[] = {0, 0.1, 1, 10, 25, 50, 75, 90, 99, 99.9, 99.99, 100};
	size_t count = 1 + random_below(r, VALUES_MAX);
	uint64_t bits = random_between(r, 1, 64);
	double sum = 0;

	for (size_t i = 0; i < PARTS; i++)
		histogram_init(&parts[i]);
	for (size_t i = 0; i < count; i++) {
		values[i] = random_u64(r) >> (64 - random_between(r, 1, bits));
		sum += (double)values[i];
		histogram_record(&parts[random_below(r, PARTS)], values[i]);
	}
	for (size_t i = 1; i < PARTS; i++)
		histogram_merge(&parts[0], &parts[i]);
	qsort(values, count, sizeof(values[0]), compare);
	MODEL_CHECK(histogram_count(&parts[0]) == count);
	MODEL_CHECK(histogram_min(&parts[0]) == values[0]);
	MODEL_CHECK(histogram_max(&parts[0]) == values[count - 1]);
	double mean = histogram_mean(&parts[0]), expected = sum / (double)count;
	MODEL_CHECK(mean >= expected * 0.999999 && mean <= expected * 1.000001);
	for (size_t i = 0; i < ARRAY_SIZE(percents); i++)
		check_percentile(&parts[0], count, percents[i]);
	for (int i = 0; i < 20; i++)
		check_percentile(&parts[0], count, random_double(r) * 100);
}

int main(int argc, char **argv)
{
	struct random r;

	model_begin(argc, argv, &r);
	for (int i = 0; i < ROUNDS; i++)
		round_of(&r);
	return 0;
}
