/*
 * L2, pools: for each class and NUMA node the slabs that objects are cut from, and the depot of
 * full magazines that caches exchange for empty ones.
 *
 * A slab is a run of pages cut into objects of one class, described out of line: which are free is
 * a bitmap, so handing out and taking back touches no object. Objects come from the fullest slab
 * that has one, so that the others may become empty and go back to the arena.
 *
 * A magazine is an array of pointers to free objects (Bonwick, "Magazines and Vmem", 2001). A cache
 * fills and empties two of its own without a lock; the depot is behind the pool's lock, taken once
 * for each magazine, wherever its objects were allocated and freed.
 *
 * Classes from MEM_CLASS_RUN_FIRST on have a depot and no slabs: their objects are runs.
 */
#pragma once

#include "base/list.h"
#include "base/spinlock.h"
#include "mem/arena.h"

#define MAGAZINE_ROUNDS 62
#define SLAB_OBJECTS    512u
#define SLAB_BUCKETS    4u

struct magazine {
	struct magazine *next;
	uint32_t rounds;
	uint32_t reserved;
	void *object[MAGAZINE_ROUNDS];
};

struct slab {
	struct list link; /* in a pool's partial list, unless no object is free */
	char *base;
	struct pool *pool;
	uint32_t id;
	uint16_t free; /* objects */
	uint8_t bucket;
	uint64_t free_bits[SLAB_OBJECTS / 64];
} CACHE_ALIGNED;

struct pool {
	struct spinlock lock CACHE_ALIGNED;
	struct magazine *full;
	struct magazine *empty;
	uint32_t full_count;
	uint32_t full_min;                 /* the least since the last pool_reap() */
	struct list partial[SLAB_BUCKETS]; /* slabs with free objects, the fullest in front */
	uint64_t slabs;
	uint64_t taken; /* objects out of slabs: living, in caches and in the depot */

	/* constant after the start */
	uint32_t class CACHE_ALIGNED;
	uint32_t node;
	uint32_t bytes;      /* of an object */
	uint32_t reciprocal; /* 2^32 / bytes, rounded up */
	uint32_t capacity;   /* objects in a slab */
	uint32_t slab_pages;
	uint32_t rounds; /* objects in a full magazine */
	uint32_t full_max;
};

/* The pool of a class from 1 to MEM_CLASS_RUN_LAST on a node. */
struct pool *pool_of(uint32_t class, uint32_t node);

/* Maps the tables. */
struct status pool_start(void);
void pool_stop(void);

/*
 * Takes up to `want` objects, past caches and depot. Returns how many; 0: out of memory, the detail
 * is in diag. May enter the kernel.
 */
uint32_t pool_take(struct pool *pool, void **ret_objects, uint32_t want);

/* Puts objects of one class back, of any node. Ends the process on a bad pointer. */
void pool_put(struct pool *pool, void *const *objects, uint32_t count);

/* An empty magazine; NULL if there is no memory for one. */
struct magazine *pool_magazine(struct pool *pool);

/* Puts a magazine away, with what is in it. */
void pool_magazine_put(struct pool *pool, struct magazine *m);

/*
 * Exchanges an empty magazine (NULL: nothing) for a full one. NULL: the depot has none, `empty` is
 * still the caller's.
 */
struct magazine *pool_exchange_empty(struct pool *pool, struct magazine *empty);

/*
 * Exchanges a full magazine for an empty one; when the depot is full it comes back emptied into
 * the slabs. NULL: there is no memory for another magazine, and `full` is still the caller's, full.
 */
struct magazine *pool_exchange_full(struct pool *pool, struct magazine *full);

/*
 * Empties magazines that lay in the depot unused since the last call (`all`: every one) into the
 * slabs. Whether there were any.
 */
bool pool_reap(struct pool *pool, bool all);

/* Objects that lie in the depot, and the bytes of all tables that were allocated. For mem_stats. */
uint64_t pool_depot_objects(struct pool *pool);
uint64_t pool_table_bytes(void);

/* Zeroed memory for mem's own records, never given back. NULL: none is left. */
void *pool_table_alloc(size_t bytes);

/* The start of the object that `p`, on a page of a slab's class, points into. */
void *pool_object_start(const void *p);
