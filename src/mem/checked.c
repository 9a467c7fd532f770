#include "mem/checked.h"

#include "base/assert.h"
#include "base/os.h"
#include "mem/arena.h"
#include "mem/poison.h"
#include "mem/pool.h"
#include "mem/raw.h"
#include "mem/tag.h"

#include <string.h>

#define POISON_NEW    0xa5 /* bytes of an object that nobody has written yet */
#define POISON_FREE   0x5a /* bytes of a free object */
#define POISON_BORDER 0xfd
#define BORDER_MIN    16u
#define FILL_MAX      ((size_t)64 << 10) /* of a run, so that large ones do not cost seconds */

#define MAGIC_LIVE 0x7a1e5ab1e0b1ec75ull
#define MAGIC_FREE 0xdeadf4eedb10c0deull

struct header {
	uint64_t magic; /* MAGIC_… xor the header's address */
	uint32_t tag;
	uint32_t bytes;
	const void *freed_by; /* return address */
	uint8_t border[24];
};

_Static_assert(sizeof(struct header) == 48, "the object behind it is aligned to 16");

/* What a run's header says, out of line. */
struct dress {
	uint64_t bytes;
	const void *freed_by;
	uint32_t tag;
	uint32_t reserved;
};

static struct dress *dresses; /* by page number */

static size_t dresses_bytes(void)
{
	return (arena.bytes >> MEM_PAGE_SHIFT) * sizeof(struct dress);
}

struct status checked_start(void)
{
	void *at;

	if (!MEM_CHECKED)
		return OK;
	TRY(os_map(dresses_bytes(), MEM_PAGE_BYTES, &at));
	dresses = at;
	return OK;
}

void checked_stop(void)
{
	if (MEM_CHECKED)
		status_ignore(
			os_unmap(dresses, dresses_bytes())); /* else: nobody uses it any more */
}

static uint64_t magic_of(const struct header *h, uint64_t magic)
{
	return magic ^ (uint64_t)(uintptr_t)h;
}

/* The first byte of [p, p + bytes) that is not `value`; `bytes` if all are. */
static size_t fill_broken(const void *p, size_t bytes, uint8_t value)
{
	const uint8_t *at = p;
	size_t i = 0;

	while (i < bytes && at[i] == value)
		i++;
	return i;
}

/* ---- small objects ---- */

static bool is_small(size_t bytes)
{
	return bytes <= MEM_SLAB_BYTES_MAX - sizeof(struct header) - BORDER_MIN;
}

/* Looks a block over that was free before: has anybody written to it? */
static void small_check_free(const struct header *h, size_t block_bytes)
{
	const uint8_t *object = (const uint8_t *)(h + 1);
	size_t bytes = block_bytes - sizeof(*h);
	size_t broken;

	if (h->magic != magic_of(h, MAGIC_FREE))
		return;
	broken = fill_broken(object, bytes, POISON_FREE);
	if (broken < bytes)
		PANIC("%p was written to at offset %zu after it had been freed (tag %s, freed by "
		      "%p)",
		      (const void *)object, broken, tag_name(h->tag), h->freed_by);
}

static void *small_dress(struct header *h, size_t bytes, uint32_t tag)
{
	size_t block_bytes = mem_class_bytes(mem_class_of_small(bytes + sizeof(*h) + BORDER_MIN));
	uint8_t *object = (uint8_t *)(h + 1);

	open_range(h, block_bytes);
	small_check_free(h, block_bytes);
	*h = (struct header){
		.magic = magic_of(h, MAGIC_LIVE),
		.tag = tag,
		.bytes = (uint32_t)bytes,
	};
	memset(h->border, POISON_BORDER, sizeof(h->border));
	memset(object, POISON_NEW, bytes);
	memset(object + bytes, POISON_BORDER, block_bytes - sizeof(*h) - bytes);
	poison_range(h, block_bytes);
	unpoison_range(object, bytes);
	tag_add(tag, (int64_t)bytes, 1);
	return object;
}

static void small_free(void *p, const void *caller)
{
	struct header *h = pool_object_start(p);
	uint8_t *object = (uint8_t *)(h + 1);
	size_t block_bytes = raw_size(h);

	open_range(h, block_bytes);
	if (h->magic == magic_of(h, MAGIC_FREE))
		PANIC("double free of %p (tag %s, %u bytes), which was freed by %p and now by %p",
		      p, tag_name(h->tag), h->bytes, h->freed_by, caller);
	if (p != object)
		PANIC("free of %p, which points into an object of %u bytes at %p (tag %s), by %p",
		      p, h->bytes, (void *)object, tag_name(h->tag), caller);
	if (h->magic != magic_of(h, MAGIC_LIVE) ||
	    fill_broken(h->border, sizeof(h->border), POISON_BORDER) < sizeof(h->border))
		PANIC("somebody wrote before the start of %p, which is freed by %p", p, caller);

	size_t rest = block_bytes - sizeof(*h) - h->bytes;
	size_t broken = fill_broken(object + h->bytes, rest, POISON_BORDER);

	if (broken < rest)
		PANIC("somebody wrote past the end of %p (tag %s, %u bytes), at offset %zu; it is "
		      "freed by %p",
		      p, tag_name(h->tag), h->bytes, h->bytes + broken, caller);
	h->magic = magic_of(h, MAGIC_FREE);
	h->freed_by = caller;
	memset(object, POISON_FREE, block_bytes - sizeof(*h));
	tag_add(h->tag, -(int64_t)h->bytes, -1);
	poison_range(h, block_bytes);
	raw_free(h);
}

/* ---- runs ---- */

size_t checked_run_pages(size_t bytes)
{
	return (bytes + BORDER_MIN + MEM_PAGE_BYTES - 1) >> MEM_PAGE_SHIFT;
}

void checked_dress_run(void *run, size_t bytes, struct mem_tag *tag)
{
	size_t page = arena_page_of(run);
	size_t run_bytes = raw_size(run);
	uint8_t *at = run;

	open_range(run, run_bytes);
	dresses[page] = (struct dress){.bytes = bytes, .tag = tag_id(tag)};
	memset(at, POISON_NEW, bytes < FILL_MAX ? bytes : FILL_MAX);
	memset(at + bytes, POISON_BORDER, run_bytes - bytes);
	poison_range(at + bytes, run_bytes - bytes);
	unpoison_range(at, bytes); /* whoever reads what it has not written is told */
}

static void run_free_checked(void *p, const void *caller)
{
	struct dress *dress = &dresses[arena_page_of(p)];
	uint8_t *at = p;

	if (((uintptr_t)p & (MEM_PAGE_BYTES - 1)) == 0 && dress->freed_by)
		PANIC("double free of %p (tag %s, %llu bytes), which was freed by %p and now by %p",
		      p, tag_name(dress->tag), (unsigned long long)dress->bytes, dress->freed_by,
		      caller);

	size_t run_bytes = raw_size(p);
	size_t rest = run_bytes - dress->bytes;

	open_range(p, run_bytes);
	size_t broken = fill_broken(at + dress->bytes, rest, POISON_BORDER);
	if (broken < rest)
		PANIC("somebody wrote past the end of %p (tag %s, %llu bytes), at offset %llu; it "
		      "is "
		      "freed by %p",
		      p, tag_name(dress->tag), (unsigned long long)dress->bytes,
		      (unsigned long long)(dress->bytes + broken), caller);
	memset(at, POISON_FREE, run_bytes < FILL_MAX ? run_bytes : FILL_MAX);
	dress->freed_by = caller;
	poison_range(p, run_bytes);
	raw_free(p);
}

/* ---- both ---- */

/* Whether `p` is on a page of a slab. */
static bool on_slab(const void *p)
{
	uint32_t class = arena_has(p) ? arena.page_class[arena_page_of(p)] : MEM_CLASS_NONE;

	return class != MEM_CLASS_NONE && class <= MEM_CLASS_SLAB_LAST;
}

void *checked_alloc(size_t bytes, size_t align, struct mem_tag *tag)
{
	void *p;

	if (align <= 16 && is_small(bytes)) {
		p = raw_alloc(bytes + sizeof(struct header) + BORDER_MIN, 16, 0);
		return p ? small_dress(p, bytes, tag_id(tag)) : NULL;
	}
	if (bytes > arena.bytes)
		return raw_run_alloc(MEM_PRIVATE, bytes, align,
				     tag_id(tag)); /* it says what is wrong */
	p = raw_alloc(checked_run_pages(bytes) << MEM_PAGE_SHIFT, align, tag_id(tag));
	if (p)
		checked_dress_run(p, bytes, tag);
	return p;
}

void checked_free(void *p, const void *caller)
{
	if (on_slab(p))
		small_free(p, caller);
	else if (arena_has(p))
		run_free_checked(p, caller);
	else
		raw_free(p);
}

size_t checked_size(const void *p)
{
	if (!on_slab(p))
		return arena_has(p) && raw_size(p) ? dresses[arena_page_of(p)].bytes : raw_size(p);

	struct header *h = pool_object_start(p);
	open_range(h, sizeof(*h));
	size_t bytes = h->bytes;
	poison_range(h, sizeof(*h));
	return bytes;
}
