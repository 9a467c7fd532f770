/*
 * L0, the arenas: address space that is reserved once and filled piece by piece.
 *
 *	base                                                    base + bytes
 *	|  private, node 0  |  private, node 1  | shareable, node 0 | …   parts
 *	| chunk | chunk | … |                   |                   |     2 MiB
 *	| page | page | …                                                 4 KiB
 *
 * One part for each kind and NUMA node. Nothing that describes memory lies in the memory: chunks
 * are described in a table, pages in three (class, run, tag), so that objects of a page or more
 * are aligned for direct I/O, and what is described by a pointer is found by a shift and a load.
 *
 * A chunk's life:
 *
 *	            commit                    first page used
 *	  VACANT ----------> VACANT, touched ----------------> USED
 *	  ^  (BUSY while the kernel works)  <----------------
 *	  '---------- give back -----------'  last page freed
 *
 * Locks: a part's spin lock guards its chunks' states and lists and is held for bits and lists
 * only; the kernel is asked by whoever made the chunk BUSY (or holds its pages).
 */
#pragma once

#include "base/list.h"
#include "base/spinlock.h"
#include "base/status.h"
#include "mem/class.h"
#include "mem/mem.h"

#include <pthread.h>

#define CHUNK_SHIFT  21
#define CHUNK_BYTES  ((size_t)1 << CHUNK_SHIFT)
#define CHUNK_PAGES  512u
#define CHUNK_WORDS  (CHUNK_PAGES / 64)
#define GROUP_CHUNKS 512u /* of a page of 1 GiB */

#define NODES_MAX   8u
#define PARTS_MAX   (NODES_MAX * MEM_KINDS)
#define RUN_BUCKETS 37u

enum chunk_state {
	CHUNK_VACANT, /* no page is used */
	CHUNK_BUSY,   /* somebody asks the kernel about it */
	CHUNK_USED,   /* at least one page is used */
};

struct chunk {
	struct list link; /* USED: in a bucket if run_max > 0; VACANT: in `ready` or `returned` */
	uint64_t used[CHUNK_WORDS];   /* a bit for each page that is handed out */
	uint64_t absent[CHUNK_WORDS]; /* a bit for each free page that the kernel has back */
	uint16_t pages_free;          /* pages that are not used; valid in USED */
	uint16_t pages_absent;
	uint16_t run_max; /* no run of free pages is longer (it may be shorter) */
	uint8_t state;
	uint8_t bucket;
	bool touched;  /* it has memory */
	bool fallback; /* its memory is of the second-best backing, for good */
};

struct mem_part {
	struct spinlock lock CACHE_ALIGNED;
	uint64_t bucket_map;             /* bit n: bucket n may be non-empty */
	struct list bucket[RUN_BUCKETS]; /* USED chunks by run_max */
	struct list ready;               /* VACANT and touched; whole ones in front */
	struct list returned;            /* VACANT, not touched, below `fresh` */
	uint32_t ready_count;            /* whole ones in `ready` */
	bool filling;                    /* the grower makes more of them ready */
	size_t fresh;                    /* chunks from this one on have never been touched */
	size_t vacant_hint;              /* no chunk below it is vacant */
	uint64_t *vacant;                /* a bit for each chunk */
	uint64_t pages_used;
	uint64_t pages_taken; /* ever */
	uint64_t chunks_touched;
	uint64_t pages_absent;

	/* constant after the start */
	enum mem_kind kind CACHE_ALIGNED;
	uint32_t node;
	enum mem_backing backing; /* what is tried first */
	enum mem_backing second;  /* when that has run out */
	struct chunk *chunks;
	char *base;
	size_t chunk_count;
	int fd;        /* of `backing`; -1: anonymous */
	int fd_second; /* of `second`; -1: anonymous */
};

struct subscriber {
	struct list link;
	struct mem_subscription *callbacks;
	void *ctx;
	enum mem_kind kind;
};

struct arena {
	char *base; /* NULL: mem is not started */
	size_t bytes;
	size_t part_bytes;
	uint32_t part_count;
	uint32_t node_count;
	uint32_t node_id[NODES_MAX]; /* as the kernel calls them */
	size_t os_page_bytes;
	struct mem_config config;
	uint8_t *page_class; /* MEM_CLASS_… of each page */
	uint32_t *
		page_run; /* head: pages of the run; interior: pages since the head; slab: its id */
	uint16_t *page_tag; /* head of a run: its tag */
	struct chunk *chunks;
	uint64_t *vacant;
	struct atomic_u64 resident CACHE_ALIGNED; /* bytes; at most config.limit_bytes */
	pthread_mutex_t pieces_lock;              /* comings and goings; never on a fast path */
	struct list subscribers;
	struct atomic_u32 subscriber_count[MEM_KINDS];
	struct mem_part part[PARTS_MAX];
};

extern struct arena arena;

/* Reserves the address space and the tables and chooses the backings. Undoes all on failure. */
struct status arena_start(const struct mem_config *config);

/* Unmaps everything. */
void arena_stop(void);

/* The node (0 to node_count - 1) of the processor that runs the caller. */
uint32_t arena_node_here(void);

/* The part of a kind on a node that exists. */
static inline struct mem_part *arena_part(enum mem_kind kind, uint32_t node)
{
	return &arena.part[(uint32_t)kind * arena.node_count + node];
}

/* The part that an address inside the arenas belongs to. */
static inline struct mem_part *arena_part_of(const void *p)
{
	return &arena.part[(size_t)((const char *)p - arena.base) / arena.part_bytes];
}

/* Whether an address is inside the arenas. */
static inline bool arena_has(const void *p)
{
	return (size_t)((uintptr_t)p - (uintptr_t)arena.base) < arena.bytes;
}

/* The number of the page that an address inside the arenas lies in. */
static inline size_t arena_page_of(const void *p)
{
	return (size_t)((const char *)p - arena.base) >> MEM_PAGE_SHIFT;
}

/* Counts `bytes` as taken, unless that would pass the limit. */
bool arena_limit_take(uint64_t bytes);
void arena_limit_give(uint64_t bytes);

/* The failure that says so. */
struct status arena_limit_reached(void);

/*
 * Gives memory to the chunks among [first, first + count) that have none. All are BUSY and the
 * caller's. [need, need_end) are those that must have it; others get it only along with a page of
 * 1 GiB. May enter the kernel for long and calls the subscribers. On failure some may have it.
 */
struct status arena_commit(struct mem_part *part, size_t first, size_t count, size_t need,
			   size_t need_end);

/*
 * Takes memory away from the touched chunks [first, first + count), which are BUSY and the caller's
 * and one piece. False if a subscriber or the kernel refused: then nothing has changed.
 */
bool arena_give_back(struct mem_part *part, size_t first, size_t count);

/* Gives the kernel the memory of free pages back that the caller holds as used; false: refused. */
bool arena_purge_pages(struct mem_part *part, char *at, size_t bytes);

/* Whether pages within a chunk of this part can be given back one by one just now. */
bool arena_can_purge(const struct mem_part *part);

/* Whether the chunk is part of a page of 1 GiB, which comes and goes as a whole. */
static inline bool chunk_in_group(const struct mem_part *part, const struct chunk *c)
{
	return part->backing == MEM_BACKING_HUGE_1G && c->touched && !c->fallback;
}
