#include "mem/check.h"

#include "mem/arena.h"
#include "mem/cache.h"
#include "mem/pool.h"

static uint32_t bits(const uint64_t *words)
{
	uint32_t count = 0;

	for (uint32_t w = 0; w < CHUNK_WORDS; w++)
		count += (uint32_t)__builtin_popcountll(words[w]);
	return count;
}

/* The longest row of free pages. */
static uint32_t longest_free(const struct chunk *c)
{
	uint32_t longest = 0, row = 0;

	for (uint32_t i = 0; i < CHUNK_PAGES; i++) {
		row = c->used[i / 64] >> (i % 64) & 1 ? 0 : row + 1;
		if (row > longest)
			longest = row;
	}
	return longest;
}

static const char *check_chunk(const struct mem_part *part, size_t i)
{
	const struct chunk *c = &part->chunks[i];
	bool vacant = part->vacant[i / 64] >> (i % 64) & 1;

	if (c->state == CHUNK_BUSY)
		return "a chunk is busy, but nobody works";
	if (vacant != (c->state == CHUNK_VACANT))
		return "a chunk's vacancy bit is not its state";
	if (vacant && bits(c->used) != 0)
		return "a vacant chunk has used pages";
	if (bits(c->absent) != c->pages_absent)
		return "a chunk's count of absent pages is wrong";
	if (!c->touched && (c->pages_absent || c->state != CHUNK_VACANT))
		return "a chunk without memory is in use";
	for (uint32_t w = 0; w < CHUNK_WORDS; w++)
		if (c->used[w] & c->absent[w])
			return "a page is used and absent";
	if (c->state == CHUNK_USED && c->pages_free != CHUNK_PAGES - bits(c->used))
		return "a chunk's count of free pages is wrong";
	if (c->state == CHUNK_USED && longest_free(c) > c->run_max)
		return "a chunk has a longer free run than it says";
	return NULL;
}

/* What the lists of a part hold. */
static const char *check_lists(const struct mem_part *part)
{
	uint32_t whole = 0;

	list_for_each (l, &part->ready) {
		const struct chunk *c = CONTAINER_OF(l, struct chunk, link);

		if (c->state != CHUNK_VACANT || !c->touched)
			return "a chunk is in `ready` that is not";
		whole += c->pages_absent == 0;
	}
	if (whole != part->ready_count)
		return "the count of ready chunks is wrong";
	list_for_each (l, &part->returned) {
		const struct chunk *c = CONTAINER_OF(l, struct chunk, link);

		if (c->state != CHUNK_VACANT || c->touched)
			return "a chunk is in `returned` that is not";
	}
	for (uint32_t b = 0; b < RUN_BUCKETS; b++) {
		list_for_each (l, &part->bucket[b]) {
			const struct chunk *c = CONTAINER_OF(l, struct chunk, link);

			if (c->state != CHUNK_USED || c->bucket != b || c->run_max == 0)
				return "a chunk is in a bucket that is not its own";
			if (!(part->bucket_map >> b & 1))
				return "a bucket with chunks is not in the map";
		}
	}
	return NULL;
}

static const char *check_part(const struct mem_part *part, uint64_t *resident)
{
	uint64_t used = 0, absent = 0, touched = 0;

	for (size_t i = 0; i < part->fresh; i++) {
		const char *wrong = check_chunk(part, i);

		if (wrong)
			return wrong;
		used += bits(part->chunks[i].used);
		absent += part->chunks[i].pages_absent;
		touched += part->chunks[i].touched;
	}
	if (used != part->pages_used || absent != part->pages_absent ||
	    touched != part->chunks_touched)
		return "a part's counts are not those of its chunks";
	*resident += (touched << CHUNK_SHIFT) - (absent << MEM_PAGE_SHIFT);
	return check_lists(part);
}

static const char *check_slab(const struct slab *slab, uint32_t bucket)
{
	uint32_t free = 0;

	for (uint32_t w = 0; w < SLAB_OBJECTS / 64; w++)
		free += (uint32_t)__builtin_popcountll(slab->free_bits[w]);
	if (free != slab->free || free == 0 || slab->bucket != bucket)
		return "a slab's count or place is wrong";
	if (arena.page_class[arena_page_of(slab->base)] != slab->pool->class)
		return "a slab's page is of another class";
	return NULL;
}

static const char *check_pool(struct pool *pool)
{
	uint64_t free = 0;
	uint32_t full = 0;

	for (uint32_t b = 0; b < SLAB_BUCKETS; b++) {
		list_for_each (l, &pool->partial[b]) {
			const struct slab *slab = CONTAINER_OF(l, struct slab, link);
			const char *wrong = check_slab(slab, b);

			if (wrong)
				return wrong;
			free += slab->free;
		}
	}
	if (pool->class <= MEM_CLASS_SLAB_LAST &&
	    pool->taken + free != pool->slabs * pool->capacity)
		return "a pool's objects do not add up";
	for (const struct magazine *m = pool->full; m; m = m->next)
		full++;
	if (full != pool->full_count || pool->full_min > full)
		return "a depot's count is wrong";
	return NULL;
}

const char *mem_check(void)
{
	uint64_t resident = 0;
	const char *wrong = NULL;

	for (uint32_t i = 0; i < arena.part_count && !wrong; i++)
		wrong = check_part(&arena.part[i], &resident);
	if (!wrong && resident != atomic_u64_load(&arena.resident, ORDER_RELAXED))
		wrong = "what the limit counts is not what the parts hold";
	for (uint32_t node = 0; node < arena.node_count && !wrong; node++)
		for (uint32_t class = 1; class <= MEM_CLASS_RUN_LAST && !wrong; class += 1)
			wrong = check_pool(pool_of(class, node));
	return wrong;
}
