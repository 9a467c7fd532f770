/*
 * The bitmap against an array of bools, with maps of all lengths around the edges of words.
 */
#include "base/bitmap.h"

#include "model.h"

#define BITS_MAX 400
#define ROUNDS   300
#define STEPS    300

static uint64_t map[BITMAP_WORDS(BITS_MAX)];
static bool reference[BITS_MAX];

static size_t reference_find(size_t bits, size_t from, bool value)
{
	while (from < bits && reference[from] != value)
		from++;
	return from < bits ? from : bits;
}

static size_t reference_run(size_t bits, size_t from, size_t count)
{
	for (; from + count <= bits; from++)
		if (reference_find(from + count, from, true) == from + count)
			return from;
	return bits;
}

static size_t reference_count(size_t first, size_t count)
{
	size_t set = 0;

	for (size_t i = 0; i < count; i++)
		set += reference[first + i];
	return set;
}

static void change(struct random *r, size_t bits)
{
	size_t first = random_below(r, bits);
	size_t count = random_below(r, random_one_in(r, 4) ? bits - first + 1 : 2);
	bool value = random_one_in(r, 2);

	if (value)
		bitmap_set_range(map, first, count);
	else
		bitmap_clear_range(map, first, count);
	for (size_t i = 0; i < count; i++)
		reference[first + i] = value;
	value = random_one_in(r, 2);
	if (value)
		bitmap_set(map, first);
	else
		bitmap_clear(map, first);
	reference[first] = value;
}

static void compare(struct random *r, size_t bits)
{
	size_t from = random_below(r, bits + 1);
	size_t count = random_between(r, 1, 1 + random_below(r, 70));

	MODEL_CHECK(bitmap_find_set(map, bits, from) == reference_find(bits, from, true));
	MODEL_CHECK(bitmap_find_clear(map, bits, from) == reference_find(bits, from, false));
	MODEL_CHECK(bitmap_find_clear_run(map, bits, from, count) ==
		    reference_run(bits, from, count));
	count = random_below(r, bits - from + 1);
	MODEL_CHECK(bitmap_count_range(map, from, count) == reference_count(from, count));
	for (size_t i = 0; i < bits; i++)
		MODEL_CHECK(bitmap_get(map, i) == reference[i]);
}

int main(int argc, char **argv)
{
	struct random r;

	model_begin(argc, argv, &r);
	for (int round = 0; round < ROUNDS; round++) {
		size_t bits = random_between(&r, 1, BITS_MAX);

		/* bits behind the end may be anything and must not matter */
		random_bytes(&r, map, sizeof(map));
		for (size_t i = 0; i < bits; i++)
			reference[i] = bitmap_get(map, i);
		for (int step = 0; step < STEPS; step++) {
			change(&r, bits);
			compare(&r, bits);
		}
	}
	return 0;
}
