#include "base/bitmap.h"

/* The part of a range that lies in one word. */
struct piece {
	size_t word;
	uint64_t mask;
	size_t bits;
};

/* The first piece of the range; `count` is at least 1. */
static struct piece piece_of(size_t first, size_t count)
{
	size_t offset = first % 64;
	size_t bits = count < 64 - offset ? count : 64 - offset;

	return (struct piece){
		.word = first / 64,
		.mask = (UINT64_MAX >> (64 - bits)) << offset,
		.bits = bits,
	};
}

void bitmap_set_range(uint64_t *map, size_t first, size_t count)
{
	while (count > 0) {
		struct piece p = piece_of(first, count);

		map[p.word] |= p.mask;
		first += p.bits;
		count -= p.bits;
	}
}

void bitmap_clear_range(uint64_t *map, size_t first, size_t count)
{
	while (count > 0) {
		struct piece p = piece_of(first, count);

		map[p.word] &= ~p.mask;
		first += p.bits;
		count -= p.bits;
	}
}

size_t bitmap_count_range(const uint64_t *map, size_t first, size_t count)
{
	size_t set = 0;

	while (count > 0) {
		struct piece p = piece_of(first, count);

		set += (size_t)__builtin_popcountll(map[p.word] & p.mask);
		first += p.bits;
		count -= p.bits;
	}
	return set;
}

/* `flip` is UINT64_MAX to look for clear bits, 0 for set ones. */
static size_t find(const uint64_t *map, size_t bits, size_t from, uint64_t flip)
{
	while (from < bits) {
		struct piece p = piece_of(from, bits - from);
		uint64_t found = (map[p.word] ^ flip) & p.mask;

		if (found)
			return p.word * 64 + (size_t)__builtin_ctzll(found);
		from += p.bits;
	}
	return bits;
}

size_t bitmap_find_set(const uint64_t *map, size_t bits, size_t from)
{
	return find(map, bits, from, 0);
}

size_t bitmap_find_clear(const uint64_t *map, size_t bits, size_t from)
{
	return find(map, bits, from, UINT64_MAX);
}

size_t bitmap_find_clear_run(const uint64_t *map, size_t bits, size_t from, size_t count)
{
	for (;;) {
		size_t begin = bitmap_find_clear(map, bits, from);
		size_t end;

		if (bits - begin < count)
			return bits;
		end = bitmap_find_set(map, begin + count, begin);
		if (end - begin >= count)
			return begin;
		from = end;
	}
}
