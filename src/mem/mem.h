/*
 * Memory: everything that Tarn holds comes from here.
 *
 *	mem_start(NULL);
 *	static struct mem_tag tag = MEM_TAG("kv.index");
 *	void *p = mem_alloc(100, &tag);           // NULL: diag_text() says why
 *	mem_free(p);
 *	mem_stop();
 *
 * Two arenas: private memory, and shareable memory that other processes can map. Runs of pages
 * are cut from chunks of 2 MiB, slabs of objects from runs; each core and each guest has a cache of
 * free objects of its own, so that most calls touch nothing that is shared. See README.md.
 *
 * Threads: all functions may be called by all threads, and none of them suspends. mem_alloc() and
 * mem_free() may enter the kernel when an arena grows on the spot; the grower makes that rare.
 */
#pragma once

#include "base/atomic.h"
#include "base/self.h"
#include "base/status.h"
#include "mem/class.h"

#include <stdbool.h>
#include <stdio.h>

enum mem_kind {
	MEM_PRIVATE,   /* of this process only */
	MEM_SHAREABLE, /* a memory file: others can map it (mem_region_of) */
	MEM_KINDS,
};

enum mem_backing {
	MEM_BACKING_AUTO,    /* the best that there is */
	MEM_BACKING_HUGE_1G, /* reserved pages of 1 GiB */
	MEM_BACKING_HUGE_2M, /* reserved pages of 2 MiB */
	MEM_BACKING_THP,     /* transparent huge pages (private memory only) */
	MEM_BACKING_4K,
	MEM_BACKINGS,
};

struct mem_config {
	uint64_t limit_bytes; /* of resident memory of both arenas; 0: a quarter of the machine's */
	uint64_t reserve_bytes; /* address space of each arena; 0: 64 GiB or 4 x limit */
	uint64_t ahead_bytes;   /* free memory that the grower keeps touched, at most */
	uint64_t give_back_ns;  /* how long memory is free before it is given back */
	enum mem_backing backing[MEM_KINDS];
	bool background; /* a kernel thread does the upkeep; else call mem_maintain() */
};

/* The configuration of mem_start(NULL). */
#define MEM_CONFIG_DEFAULT                                                                         \
	{                                                                                          \
		.ahead_bytes = 64ull << 20, .give_back_ns = 1000000000ull, .background = true      \
	}

/* Whose memory it is: a static object for each use that a reader of mem_dump() wants to tell. */
struct mem_tag {
	const char *name;     /* "floor.what"; borrows for ever */
	struct atomic_u32 id; /* 0 until its first use */
};

#define MEM_TAG(text)                                                                              \
	{                                                                                          \
		.name = (text)                                                                     \
	}

/*
 * Starts the memory of this process. NULL: MEM_CONFIG_DEFAULT. Reserves address space; takes memory
 * only when asked (the grower, in the background). STATUS_INVALID for a configuration that cannot
 * be, STATUS_UNSUPPORTED if a forced backing is not to be had, STATUS_NO_MEMORY if the system
 * refuses the address space. mem_start() when started is a STATUS_EXISTS.
 */
struct status mem_start(const struct mem_config *config);

/*
 * Ends it: everything is unmapped, whoever still holds some. All caches must have been detached
 * (else the process ends). Returns the bytes that were never freed; the debug build also writes who
 * held them to standard error.
 */
uint64_t mem_stop(void);

/* Gives the record a cache of its own. STATUS_NO_MEMORY: it works without, slower. */
struct status mem_cache_attach(struct self *s);

/* Takes the cache away; what it held goes back. No-op if it has none. `s` must not be running. */
void mem_cache_detach(struct self *s);

/*
 * At least `bytes` bytes, aligned to 16, of undefined content (0 bytes: a distinct pointer). NULL:
 * out of memory; the detail is in diag. Release with mem_free().
 */
static ALWAYS_INLINE void *mem_alloc(size_t bytes, struct mem_tag *tag);

/* The same, zeroed. */
void *mem_alloc_zero(size_t bytes, struct mem_tag *tag);

/* The same, aligned to `align`, a power of two of at most 1 GiB. */
void *mem_alloc_aligned(size_t bytes, size_t align, struct mem_tag *tag);

/*
 * An object of `bytes` with the content of `p` (as much as fits) in place of `p`, which may be
 * NULL, from the same arena. On failure NULL, and `p` is as it was. Of private memory it keeps no
 * alignment above 16.
 */
void *mem_realloc(void *p, size_t bytes, struct mem_tag *tag);

/*
 * Whole pages from the arena of `kind`: at least `bytes`, aligned to `align` (a power of two; less
 * than 4096 counts as 4096), fit for direct I/O. NULL: out of memory. Release with mem_free().
 */
void *mem_buffer_alloc(enum mem_kind kind, size_t bytes, size_t align, struct mem_tag *tag);

/*
 * Gives an object back; NULL is allowed. A pointer that is not the start of a living object ends
 * the process with a report that names it: at once where its page tells, for small objects of the
 * release build when they leave the cache, for all of them at once in the debug build.
 */
static ALWAYS_INLINE void mem_free(void *p);

/* The bytes that may be used at `p`: what was asked for, or a little more. */
size_t mem_size(const void *p);

/* A range of a memory file. `fd` is borrowed until mem_stop(). */
struct mem_region {
	int fd;
	uint64_t offset;
	uint64_t bytes;
};

/*
 * Where `p`, inside an object of shareable memory, lies in its memory file, and how many bytes from
 * there on are of the same object and file: all the rest of the object, unless reserved huge pages
 * ran out in the midst of it. STATUS_INVALID if `p` is not in shareable memory.
 */
struct status mem_region_of(const void *p, struct mem_region *ret_region);

/* A piece of memory that has come: at least one huge page, always given back as a whole. */
struct mem_piece {
	void *base;
	size_t bytes;
	int fd; /* of its memory file, -1: anonymous */
	uint64_t offset;
};

/* What a subscriber hears. Called on any thread; must not suspend, allocate or free. */
struct mem_subscription {
	/* A piece has come. A failure makes the growth fail. */
	struct status (*on_add)(void *ctx, const struct mem_piece *piece);
	/* A piece is about to go. False: not now. True: it must not be touched any more. */
	bool (*on_remove)(void *ctx, const struct mem_piece *piece);
	/* Pieces may be emptied in part (their free pages given back and taken again). */
	bool tolerates_purge;
};

/*
 * Tells `callbacks` of each piece of `kind` that exists (before this returns), comes or goes. Both
 * pointers are borrowed until mem_unsubscribe(). STATUS_NO_MEMORY, or what on_add() returned: then
 * on_remove() was called for what had been told.
 */
struct status mem_subscribe(enum mem_kind kind, struct mem_subscription *callbacks, void *ctx);

/* Ends a subscription; on_remove() is called for each piece and cannot refuse. */
void mem_unsubscribe(enum mem_kind kind, struct mem_subscription *callbacks, void *ctx);

/* What an arena is made of now, and the text of it ("2 MiB transparent huge pages"). */
enum mem_backing mem_backing(enum mem_kind kind);
const char *mem_backing_text(enum mem_backing backing);

struct mem_stats {
	uint64_t limit_bytes;
	uint64_t resident_bytes; /* has memory: used, cached or free */
	uint64_t used_bytes;     /* in runs that are handed out; slabs count whole */
	uint64_t cached_bytes;   /* free objects in caches and depots, of used_bytes */
	uint64_t free_bytes;     /* resident, not in runs */
	uint64_t table_bytes;    /* of mem's own tables, roughly; beside the limit */
	uint64_t grown_inline;   /* times that a request had to wait for growth */
	uint32_t caches;
};

/* Figures of this moment, each right by itself. */
void mem_stats(struct mem_stats *ret_stats);

/* Who holds what: by tag, by class, by cache, by arena. For people. */
void mem_dump(FILE *to);

/*
 * One bounded step of upkeep: touch ahead, take back from the depots, give back what is free.
 * `give_back`: without waiting for give_back_ns. True: there is more to do. Enters the kernel.
 */
bool mem_maintain(bool give_back);

/*
 * Makes the system reserve at least `count` huge pages of 2 MiB (vm.nr_hugepages), for `tarn serve
 * --hugepages`. Call before mem_start(). STATUS_DENIED when not root, STATUS_LIMIT when fewer could
 * be found: both texts say what helps.
 */
struct status mem_hugepages_reserve(uint64_t count);

/* ------------------------------------------------------------------ inside, for inlining only */

/* Where the fast path finds the class of an address. Written at start and stop only. */
struct mem_map {
	uintptr_t base;
	size_t bytes;
	const uint8_t *page_class;
};

extern struct mem_map mem_map;

/* A cache's stock of one class: an array of free objects, the top is the next one out. */
struct mem_bin {
	struct atomic_u64 rounds; /* written by the owner, read by mem_dump() */
	uint64_t rounds_max;
	void **object;
	struct magazine *previous; /* full or empty or NULL */
};

struct mem_cache {
	struct mem_bin bin[MEM_CLASSES]; /* those of runs stay empty: runs count by tag */
	struct mem_cache_more *more;
};

/* Whether every call takes the long way, where objects are dressed and checked. */
#define MEM_CHECKED (TARN_DEBUG || WITH_ASAN)

/* mem_alloc() where the loaded magazine is empty, the object large, or every call is checked. */
void *mem_alloc_slow(size_t bytes, struct mem_tag *tag);

/* mem_free() where the magazine is full, the object large, foreign, NULL or to be checked. */
void mem_free_slow(void *p);

/* The calling thread's cache; NULL if it has none. */
static ALWAYS_INLINE struct mem_cache *mem_cache_here(void)
{
	struct self *s = self_or_null();

	return likely(s != NULL) ? s->mem : NULL;
}

static ALWAYS_INLINE void *mem_alloc(size_t bytes, struct mem_tag *tag)
{
	if (!MEM_CHECKED && likely(bytes <= MEM_SLAB_BYTES_MAX)) {
		struct mem_cache *cache = mem_cache_here();

		if (likely(cache != NULL)) {
			struct mem_bin *bin = &cache->bin[mem_class_of_small(bytes)];
			uint64_t rounds = atomic_u64_quiet_load(&bin->rounds, ORDER_RELAXED);

			if (likely(rounds > 0)) {
				atomic_u64_quiet_store(&bin->rounds, rounds - 1, ORDER_RELAXED);
				return bin->object[rounds - 1];
			}
		}
	}
	return mem_alloc_slow(bytes, tag);
}

static ALWAYS_INLINE void mem_free(void *p)
{
	size_t offset = (uintptr_t)p - mem_map.base;

	if (!MEM_CHECKED && likely(offset < mem_map.bytes)) {
		struct mem_cache *cache = mem_cache_here();

		if (likely(cache != NULL)) {
			uint32_t class = mem_map.page_class[offset >> MEM_PAGE_SHIFT];
			struct mem_bin *bin = &cache->bin[class];
			uint64_t rounds = atomic_u64_quiet_load(&bin->rounds, ORDER_RELAXED);

			if (likely(rounds < bin->rounds_max)) {
				bin->object[rounds] = p;
				atomic_u64_quiet_store(&bin->rounds, rounds + 1, ORDER_RELAXED);
				return;
			}
		}
	}
	mem_free_slow(p);
}
