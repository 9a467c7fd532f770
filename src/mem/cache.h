/*
 * L3, caches: each core and each guest keeps free objects of each class in two magazines of its
 * own. The owner alone takes and puts; the counts may be read by others.
 */
#pragma once

#include "mem/mem.h"
#include "mem/pool.h"
#include "mem/tag.h"

/* The part of a cache that the fast path does not see. */
struct mem_cache_more {
	struct list link; /* in the list of all caches, or of those to be reused */
	struct mem_cache *cache;
	const struct self *owner; /* borrows; NULL in the list of those to be reused */
	uint32_t node;
	struct mem_bin run_bin[MEM_RUN_CLASSES];
	struct tag_counts tags;
};

/* The bin of a class from MEM_CLASS_RUN_FIRST to MEM_CLASS_RUN_LAST. */
static ALWAYS_INLINE struct mem_bin *cache_run_bin(struct mem_cache *cache, uint32_t class)
{
	return &cache->more->run_bin[class - MEM_CLASS_RUN_FIRST];
}

/* The top object of a bin, NULL if the loaded magazine is empty. For the owner. */
static ALWAYS_INLINE void *bin_pop(struct mem_bin *bin)
{
	uint64_t rounds = atomic_u64_quiet_load(&bin->rounds, ORDER_RELAXED);

	if (unlikely(rounds == 0))
		return NULL;
	atomic_u64_quiet_store(&bin->rounds, rounds - 1, ORDER_RELAXED);
	return bin->object[rounds - 1];
}

/* Puts an object on top; false if the loaded magazine is full. For the owner. */
static ALWAYS_INLINE bool bin_push(struct mem_bin *bin, void *object)
{
	uint64_t rounds = atomic_u64_quiet_load(&bin->rounds, ORDER_RELAXED);

	if (unlikely(rounds >= bin->rounds_max))
		return false;
	bin->object[rounds] = object;
	atomic_u64_quiet_store(&bin->rounds, rounds + 1, ORDER_RELAXED);
	return true;
}

/* An object of a class up to MEM_CLASS_RUN_LAST for the calling thread; NULL: out of memory. */
void *cache_take(uint32_t class);

/* Takes an object of that class back. */
void cache_put(uint32_t class, void *object);

/* Calls visit(arg, cache) for each attached cache, under a lock: it must not block or allocate. */
void cache_for_each(void (*visit)(void *arg, struct mem_cache *cache), void *arg);

/* How many are attached. */
uint32_t cache_count(void);

/* The bytes of free objects that a cache holds, right about now. */
uint64_t cache_held_bytes(struct mem_cache *cache);

/* Forgets the records of caches of the last start. For mem_start(). */
void cache_reset(void);
