#include "mem/mem.h"

#include "base/assert.h"
#include "base/diag.h"
#include "base/machine.h"
#include "mem/arena.h"
#include "mem/cache.h"
#include "mem/checked.h"
#include "mem/dump.h"
#include "mem/grow.h"
#include "mem/raw.h"

#include <string.h>

#define ALIGN_MAX ((size_t)1 << 30)

/* ---- start and stop ---- */

struct status mem_start(const struct mem_config *config)
{
	static const struct mem_config defaults = MEM_CONFIG_DEFAULT;
	struct status status;

	if (arena.base)
		return fail(STATUS_EXISTS, "memory is started already");
	TRY(arena_start(config ? config : &defaults));
	status = pool_start();
	if (!status_ok(status)) {
		arena_stop();
		return status;
	}
	status = checked_start();
	if (status_ok(status)) {
		cache_reset();
		tag_reset();
		status = grow_start();
		if (status_ok(status)) {
			mem_map = (struct mem_map){
				.base = (uintptr_t)arena.base,
				.bytes = arena.bytes,
				.page_class = arena.page_class,
			};
			return OK;
		}
		checked_stop();
	}
	pool_stop();
	arena_stop();
	return status;
}

uint64_t mem_stop(void)
{
	if (!arena.base)
		return 0;
	if (cache_count() > 0)
		PANIC("memory is stopped while %u threads have a cache of it: detach them first",
		      cache_count());
	grow_stop();
	uint64_t leaked = dump_leaks();
	mem_map = (struct mem_map){0};
	checked_stop();
	pool_stop();
	arena_stop();
	return leaked;
}

/* ---- allocation ---- */

static bool started(void)
{
	if (likely(arena.base != NULL))
		return true;
	status_ignore(fail(STATUS_INVALID, "memory is not started: call mem_start() first"));
	return false;
}

static bool align_valid(size_t align)
{
	if (likely(align > 0 && align <= ALIGN_MAX && (align & (align - 1)) == 0))
		return true;
	status_ignore(
		fail(STATUS_INVALID, "alignment %zu: must be a power of two up to 1 GiB", align));
	return false;
}

NOINLINE void *mem_alloc_slow(size_t bytes, struct mem_tag *tag)
{
	if (!started())
		return NULL;
	if (MEM_CHECKED)
		return checked_alloc(bytes, 16, tag);
	return raw_alloc(bytes, 16, bytes > MEM_SLAB_BYTES_MAX ? tag_id(tag) : 0);
}

void *mem_alloc_zero(size_t bytes, struct mem_tag *tag)
{
	void *p = mem_alloc(bytes, tag);

	return p ? memset(p, 0, bytes) : NULL;
}

void *mem_alloc_aligned(size_t bytes, size_t align, struct mem_tag *tag)
{
	if (!started() || !align_valid(align))
		return NULL;
	if (MEM_CHECKED)
		return checked_alloc(bytes, align, tag);
	/* objects of a slab are aligned to what their size is a multiple of, slabs to a page */
	if (align <= 1024 && bytes <= MEM_SLAB_BYTES_MAX) {
		for (uint32_t class = mem_class_of_small(bytes); class <= MEM_CLASS_SLAB_LAST;
		     class += 1)
			if (mem_class_bytes(class) % align == 0)
				return mem_alloc(mem_class_bytes(class), tag);
	}
	return raw_alloc(bytes < MEM_PAGE_BYTES ? MEM_PAGE_BYTES : bytes, align, tag_id(tag));
}

void *mem_buffer_alloc(enum mem_kind kind, size_t bytes, size_t align, struct mem_tag *tag)
{
	if (!started() || !align_valid(align))
		return NULL;
	if (kind == MEM_PRIVATE)
		return mem_alloc_aligned(bytes, align < MEM_PAGE_BYTES ? MEM_PAGE_BYTES : align,
					 tag);
	if (!MEM_CHECKED || bytes > arena.bytes)
		return raw_run_alloc(kind, bytes, align, tag_id(tag));

	void *run =
		raw_run_alloc(kind, checked_run_pages(bytes) << MEM_PAGE_SHIFT, align, tag_id(tag));

	if (run)
		checked_dress_run(run, bytes, tag);
	return run;
}

void *mem_realloc(void *p, size_t bytes, struct mem_tag *tag)
{
	if (!p)
		return mem_alloc(bytes, tag);

	size_t before = mem_size(p);

	/* what is at least half full stays where it is */
	if (bytes <= before && bytes >= before / 2 && !MEM_CHECKED)
		return p;

	bool shareable = arena_part_of(p)->kind == MEM_SHAREABLE;
	void *moved = shareable ? mem_buffer_alloc(MEM_SHAREABLE, bytes, MEM_PAGE_BYTES, tag)
				: mem_alloc(bytes, tag);

	if (!moved)
		return NULL;
	memcpy(moved, p, before < bytes ? before : bytes);
	mem_free(p);
	return moved;
}

NOINLINE void mem_free_slow(void *p)
{
	if (!p)
		return;
	if (MEM_CHECKED)
		checked_free(p, __builtin_return_address(0));
	else
		raw_free(p);
}

size_t mem_size(const void *p)
{
	return MEM_CHECKED ? checked_size(p) : raw_size(p);
}

/* ---- others who map it ---- */

struct status mem_region_of(const void *p, struct mem_region *ret_region)
{
	if (!arena.base || !arena_has(p) || arena_part_of(p)->kind != MEM_SHAREABLE)
		return fail(STATUS_INVALID, "%p is not in shareable memory: see mem_buffer_alloc()",
			    p);

	struct mem_part *part = arena_part_of(p);
	size_t page = arena_page_of(p);
	uint32_t class = arena.page_class[page];

	if (class == MEM_CLASS_NONE)
		return fail(STATUS_INVALID, "%p is free memory", p);
	if (class == MEM_CLASS_INTERIOR)
		page -= arena.page_run[page];

	const char *end = arena.base + ((page + arena.page_run[page]) << MEM_PAGE_SHIFT);
	size_t offset = (size_t)((const char *)p - part->base);
	bool second = part->chunks[offset >> CHUNK_SHIFT].fallback;

	/* as far as the same file goes: a large run may have begun in one and end in the other */
	const char *same = part->base + ((offset >> CHUNK_SHIFT) << CHUNK_SHIFT);
	while (same < end &&
	       part->chunks[(size_t)(same - part->base) >> CHUNK_SHIFT].fallback == second)
		same += CHUNK_BYTES;
	if (same < end)
		end = same;
	*ret_region = (struct mem_region){
		.fd = second ? part->fd_second : part->fd,
		.offset = offset,
		.bytes = (uint64_t)(end - (const char *)p),
	};
	return OK;
}

/* ---- what it is made of ---- */

enum mem_backing mem_backing(enum mem_kind kind)
{
	return arena.base ? arena_part(kind, 0)->backing : MEM_BACKING_AUTO;
}

const char *mem_backing_text(enum mem_backing backing)
{
	static const char *const text[MEM_BACKINGS] = {
		[MEM_BACKING_AUTO] = "not started",
		[MEM_BACKING_HUGE_1G] = "1 GiB huge pages",
		[MEM_BACKING_HUGE_2M] = "2 MiB huge pages",
		[MEM_BACKING_THP] = "transparent huge pages",
		[MEM_BACKING_4K] = "4 KiB pages",
	};

	return (unsigned)backing < MEM_BACKINGS ? text[backing] : "unknown";
}

struct status mem_hugepages_reserve(uint64_t count)
{
	uint64_t got = 0;
	struct status status = machine_pool_grow("", CHUNK_BYTES, count, &got);

	if (status_is(status, STATUS_DENIED))
		return fail(
			STATUS_DENIED,
			"huge pages can be reserved by root only: sudo sysctl vm.nr_hugepages=%llu",
			(unsigned long long)count);
	TRY(status);
	/* the kernel takes what it can find and calls that a success */
	if (got < count)
		return fail(STATUS_LIMIT,
			    "%llu of %llu huge pages could be reserved: memory is too full or too "
			    "scattered; reserve them soon after boot (vm.nr_hugepages)",
			    (unsigned long long)got, (unsigned long long)count);
	return OK;
}
