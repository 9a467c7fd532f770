/*
 * Tarn's memory: huge pages where there are some, a cache per thread, a limit, and names for who
 * holds what.
 *
 * A complete program, compiled and run by the tests:
 *
 *	#include <tarn/memory.h>
 *	#include <stdio.h>
 *	#include <string.h>
 *
 *	static struct tarn_memory_tag blocks = TARN_MEMORY_TAG("example.blocks");
 *
 *	int main(void)
 *	{
 *		struct tarn_memory_config config = {.limit_bytes = 256 << 20};
 *		struct tarn_memory_region region;
 *
 *		if (tarn_memory_start(&config).code != TARN_OK) {
 *			fprintf(stderr, "%s\n", tarn_last_error());
 *			return 1;
 *		}
 *		tarn_memory_thread_attach();
 *
 *		char *name = tarn_memory_alloc(100, &blocks);
 *		char *block = tarn_memory_buffer(TARN_MEMORY_SHAREABLE, 1 << 20, 4096, &blocks);
 *
 *		if (!name || !block) {
 *			fprintf(stderr, "%s\n", tarn_last_error());
 *			return 1;
 *		}
 *		strcpy(name, "a block that other processes can map");
 *		if (tarn_memory_region_of(block, &region).code == TARN_OK)
 *			printf("%s: %llu bytes of file %d\n", name,
 *			       (unsigned long long)region.bytes, region.fd);
 *		tarn_memory_free(block);
 *		tarn_memory_free(name);
 *		tarn_memory_thread_detach();
 *		return tarn_memory_stop() == 0 ? 0 : 1;
 *	}
 *
 * All functions may be called by all threads, and none suspends. Memory is one for the process: a
 * program that starts it shares it with the services that it embeds.
 */
#ifndef TARN_MEMORY_H
#define TARN_MEMORY_H

#include <tarn/api.h>
#include <tarn/status.h>

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

TARN_BEGIN_DECLS

enum tarn_memory_kind {
	TARN_MEMORY_PRIVATE,  /* of this process only */
	TARN_MEMORY_SHAREABLE /* a memory file that other processes can map */
};

enum tarn_memory_backing {
	TARN_MEMORY_BEST,    /* of what there is */
	TARN_MEMORY_HUGE_1G, /* reserved pages of 1 GiB */
	TARN_MEMORY_HUGE_2M, /* reserved pages of 2 MiB */
	TARN_MEMORY_THP,     /* transparent huge pages; private memory only */
	TARN_MEMORY_4K
};

/* Zeroes ask for what is best. */
struct tarn_memory_config {
	uint64_t limit_bytes; /* of resident memory; 0: a quarter of the machine's */
	enum tarn_memory_backing private_backing;
	enum tarn_memory_backing shareable_backing;
};

/* Whose memory it is: one static object for each use, told apart by tarn_memory_dump(). */
struct tarn_memory_tag {
	const char *name;
	uint32_t inside; /* private, 0 */
};

#define TARN_MEMORY_TAG(text)                                                                      \
	{                                                                                          \
		(text), 0                                                                          \
	}

/*
 * Starts it. `config` may be NULL. EXISTS: it is started (by this program or by a service that it
 * embeds); INVALID, UNSUPPORTED, NO_MEMORY: tarn_last_error() says what would be right.
 */
TARN_API struct tarn_status tarn_memory_start(const struct tarn_memory_config *config);

/*
 * Ends it and unmaps everything. All threads must have detached. Returns the bytes that were never
 * freed. For whoever started it.
 */
TARN_API uint64_t tarn_memory_stop(void);

/*
 * Gives the calling kernel thread a cache of its own: without one it works, slower. Cores and
 * guests of a runtime have one. Detach before the thread ends. NO_MEMORY, INVALID: memory is not
 * started.
 */
TARN_API struct tarn_status tarn_memory_thread_attach(void);

/* Takes the cache away again. */
TARN_API void tarn_memory_thread_detach(void);

/*
 * At least `bytes` bytes, aligned to 16, of undefined content. NULL: out of memory, and
 * tarn_last_error() says how much is allowed. `tag` may be NULL.
 */
TARN_API void *tarn_memory_alloc(size_t bytes, struct tarn_memory_tag *tag);

/* The same, zeroed. */
TARN_API void *tarn_memory_alloc_zero(size_t bytes, struct tarn_memory_tag *tag);

/* The same, aligned to a power of two of at most 1 GiB. */
TARN_API void *tarn_memory_alloc_aligned(size_t bytes, size_t align, struct tarn_memory_tag *tag);

/*
 * An object of `bytes` with the content of `p` (may be NULL) in its place; NULL: `p` is as it was.
 */
TARN_API void *tarn_memory_realloc(void *p, size_t bytes, struct tarn_memory_tag *tag);

/*
 * Whole pages of a kind, aligned to at least 4096, fit for direct I/O and, of shareable memory, for
 * others to map.
 */
TARN_API void *tarn_memory_buffer(enum tarn_memory_kind kind, size_t bytes, size_t align,
				  struct tarn_memory_tag *tag);

/* Gives any of them back; NULL is allowed. A pointer that is none of them ends the process. */
TARN_API void tarn_memory_free(void *p);

/* The bytes that may be used at `p`. */
TARN_API size_t tarn_memory_size(const void *p);

/* A range of a memory file; the descriptor is borrowed until tarn_memory_stop(). */
struct tarn_memory_region {
	int fd;
	uint64_t offset;
	uint64_t bytes;
};

/* Where an object of shareable memory lies from `p` on. INVALID: `p` is not in such. */
TARN_API struct tarn_status tarn_memory_region_of(const void *p, struct tarn_memory_region *ret);

/* What memory of a kind is made of: "transparent huge pages". */
TARN_API const char *tarn_memory_backing_text(enum tarn_memory_kind kind);

struct tarn_memory_stats {
	uint64_t limit_bytes;
	uint64_t resident_bytes; /* used, cached or free */
	uint64_t used_bytes;     /* handed out; slabs of small objects count whole */
	uint64_t cached_bytes;   /* free objects that caches keep, of used_bytes */
};

/* Figures of this moment. */
TARN_API void tarn_memory_stats(struct tarn_memory_stats *ret);

/* Writes who holds what: by tag, by size class, by cache, by arena. */
TARN_API void tarn_memory_dump(FILE *to);

TARN_END_DECLS

#endif
