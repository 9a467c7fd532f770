/*
 * Tags: who holds how much. Runs of a page and more count in release builds, everything does in
 * debug builds. Each cache counts for itself, with plain additions; mem_dump() adds them up.
 */
#pragma once

#include "mem/mem.h"

#define TAGS_MAX  256u /* ids 1 to this - 1; what comes later counts as "other" */
#define TAG_OTHER 1u

/* Of one cache these may be "negative": only sums mean anything. */
struct tag_counts {
	struct {
		struct atomic_u64 bytes;
		struct atomic_u64 objects;
	} cell[TAGS_MAX];
};

/* The id of a tag, given on first use. NULL is TAG_OTHER. */
uint32_t tag_id(struct mem_tag *tag);

/* The name of an id; "other" for those that do not exist. */
const char *tag_name(uint32_t id);

/* How many ids are in use, and so the end of loops over tags. */
uint32_t tag_count(void);

/* The same for the owner of the counts: plain additions. */
static ALWAYS_INLINE void tag_add_own(struct tag_counts *counts, uint32_t id, int64_t bytes,
				      int64_t objects)
{
	struct atomic_u64 *b = &counts->cell[id].bytes, *o = &counts->cell[id].objects;

	atomic_u64_quiet_store(b, atomic_u64_quiet_load(b, ORDER_RELAXED) + (uint64_t)bytes,
			       ORDER_RELAXED);
	atomic_u64_quiet_store(o, atomic_u64_quiet_load(o, ORDER_RELAXED) + (uint64_t)objects,
			       ORDER_RELAXED);
}

/* Counts that objects were added (or, with negative numbers, went), for the calling thread. */
void tag_add(uint32_t id, int64_t bytes, int64_t objects);

/* The sum over all caches, living and gone. */
void tag_sum(uint32_t id, int64_t *ret_bytes, int64_t *ret_objects);

/* Moves the counts of a cache that goes away to those of all; its owner does not run. */
void tag_fold(struct tag_counts *counts);

/* Forgets all counts, not the ids. For mem_start(). */
void tag_reset(void);
