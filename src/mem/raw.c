#include "mem/raw.h"

#include "base/assert.h"
#include "base/diag.h"
#include "mem/cache.h"
#include "mem/run.h"

#include <string.h>

static size_t pages_for(size_t bytes)
{
	return bytes == 0 ? 1 : (bytes + MEM_PAGE_BYTES - 1) >> MEM_PAGE_SHIFT;
}

/* Says whose a run is. Only its owner looks at these. */
static ALWAYS_INLINE void *run_claim(void *run, size_t bytes, uint32_t tag)
{
	struct mem_cache *cache = mem_cache_here();

	arena.page_tag[arena_page_of(run)] = (uint16_t)tag;
	if (likely(cache != NULL))
		tag_add_own(&cache->more->tags, tag, (int64_t)bytes, 1);
	else
		tag_add(tag, (int64_t)bytes, 1);
	return run;
}

void *raw_run_alloc(enum mem_kind kind, size_t bytes, size_t align, uint32_t tag)
{
	size_t pages = pages_for(bytes);
	size_t align_pages = align > MEM_PAGE_BYTES ? align >> MEM_PAGE_SHIFT : 1;
	struct mem_cache *cache = mem_cache_here();
	char *run;

	if (bytes > arena.part_bytes) {
		status_ignore(fail(STATUS_NO_MEMORY, "%zu bytes are more than an arena's %zu",
				   bytes, arena.part_bytes));
		return NULL;
	}
	if (!status_ok(run_alloc(arena_part(kind, cache ? cache->more->node : 0), pages,
				 align_pages, &run)))
		return NULL;

	size_t page = arena_page_of(run);
	arena.page_class[page] = MEM_CLASS_LARGE;
	arena.page_run[page] = (uint32_t)pages;
	memset(arena.page_class + page + 1, MEM_CLASS_INTERIOR, pages - 1);
	for (size_t i = 1; i < pages; i++)
		arena.page_run[page + i] = (uint32_t)i;
	return run_claim(run, pages << MEM_PAGE_SHIFT, tag);
}

void *raw_alloc(size_t bytes, size_t align, uint32_t tag)
{
	if (bytes <= MEM_SLAB_BYTES_MAX && align <= 16)
		return cache_take(mem_class_of_small(bytes));
	if (bytes > MEM_CLASS_BYTES_MAX || align > MEM_PAGE_BYTES)
		return raw_run_alloc(MEM_PRIVATE, bytes, align, tag);

	uint32_t class = mem_class_of(bytes < MEM_PAGE_BYTES ? MEM_PAGE_BYTES : bytes);
	struct mem_cache *cache = mem_cache_here();
	void *run = likely(cache != NULL) ? bin_pop(cache_run_bin(cache, class)) : NULL;

	if (unlikely(!run))
		run = cache_take(class);
	return run ? run_claim(run, mem_class_bytes(class), tag) : NULL;
}

static COLD NORETURN void bad_free(const void *p)
{
	size_t page = arena_page_of(p);
	uint32_t class = arena.page_class[page];

	if (class == MEM_CLASS_NONE)
		PANIC("free of %p, which is not allocated (freed before, or never handed out)", p);
	if (class == MEM_CLASS_INTERIOR)
		page -= arena.page_run[page];

	const char *start = arena.base + (page << MEM_PAGE_SHIFT);
	size_t bytes = (size_t)arena.page_run[page] << MEM_PAGE_SHIFT;

	if (p == start)
		PANIC("double free of %p, a run of %zu bytes", p, bytes);
	PANIC("free of %p, which points into a run of %zu bytes at %p (tag %s)", p, bytes,
	      (const void *)start, tag_name(arena.page_tag[page]));
}

static COLD NORETURN void foreign_free(const void *p)
{
	if (!arena.base)
		PANIC("free of %p, but memory is not started", p);
	PANIC("free of %p, a foreign pointer: not memory that mem_alloc() gave (%p to %p)", p,
	      (void *)arena.base, (void *)(arena.base + arena.bytes));
}

/* The class of a pointer that should be an object's start; small objects are not looked at. */
static uint32_t class_checked(const void *p)
{
	if (unlikely(!arena_has(p)))
		foreign_free(p);

	size_t page = arena_page_of(p);
	uint32_t class = arena.page_class[page];

	if (unlikely(class == MEM_CLASS_NONE || class == MEM_CLASS_INTERIOR))
		bad_free(p);
	if (class >= MEM_CLASS_RUN_FIRST &&
	    unlikely(((uintptr_t)p & (MEM_PAGE_BYTES - 1)) || arena.page_tag[page] == 0))
		bad_free(p);
	return class;
}

void raw_free(void *p)
{
	uint32_t class = class_checked(p);

	if (class <= MEM_CLASS_SLAB_LAST) {
		cache_put(class, p);
		return;
	}

	size_t page = arena_page_of(p);
	uint32_t tag = arena.page_tag[page];
	struct mem_cache *cache = mem_cache_here();

	arena.page_tag[page] = 0;
	if (class == MEM_CLASS_LARGE) {
		size_t pages = arena.page_run[page];

		tag_add(tag, -(int64_t)(pages << MEM_PAGE_SHIFT), -1);
		memset(arena.page_class + page, MEM_CLASS_NONE, pages);
		run_free(p, pages);
		return;
	}
	if (likely(cache != NULL)) {
		tag_add_own(&cache->more->tags, tag, -(int64_t)mem_class_bytes(class), -1);
		if (likely(bin_push(cache_run_bin(cache, class), p)))
			return;
	} else {
		tag_add(tag, -(int64_t)mem_class_bytes(class), -1);
	}
	cache_put(class, p);
}

size_t raw_size(const void *p)
{
	uint32_t class = class_checked(p);

	if (class <= MEM_CLASS_SLAB_LAST)
		return mem_class_bytes(class);
	return (size_t)arena.page_run[arena_page_of(p)] << MEM_PAGE_SHIFT;
}
