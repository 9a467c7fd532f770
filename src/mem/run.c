#include "mem/run.h"

#include "base/assert.h"
#include "base/diag.h"
#include "base/os.h"
#include "mem/grow.h"

/* How many chunks of a bucket are tried before one from a bucket that surely fits. */
#define BUCKET_TRIES 8

/* ---- bits of a chunk ---- */

/* The bits of word `w` that lie in [first, end). */
static uint64_t word_mask(uint32_t w, uint32_t first, uint32_t end)
{
	uint32_t low = w * 64;
	uint64_t mask = ~0ull;

	if (first > low)
		mask &= ~0ull << (first - low);
	if (end < low + 64)
		mask &= ~(~0ull << (end - low));
	return mask;
}

static void bits_set(uint64_t *words, uint32_t first, uint32_t end)
{
	for (uint32_t w = first / 64; w <= (end - 1) / 64; w++)
		words[w] |= word_mask(w, first, end);
}

static void bits_clear(uint64_t *words, uint32_t first, uint32_t end)
{
	for (uint32_t w = first / 64; w <= (end - 1) / 64; w++)
		words[w] &= ~word_mask(w, first, end);
}

static uint32_t bits_count(const uint64_t *words, uint32_t first, uint32_t end)
{
	uint32_t count = 0;

	for (uint32_t w = first / 64; w <= (end - 1) / 64; w++)
		count += (uint32_t)__builtin_popcountll(words[w] & word_mask(w, first, end));
	return count;
}

/* The first page from `from` on whose bit is not that of `flip` (0: first set, ~0: first clear). */
static uint32_t bits_next(const uint64_t *words, uint32_t from, uint64_t flip)
{
	uint32_t w = from / 64;

	if (from >= CHUNK_PAGES)
		return CHUNK_PAGES;
	uint64_t word = (words[w] ^ flip) & (~0ull << (from % 64));
	while (word == 0) {
		if (++w == CHUNK_WORDS)
			return CHUNK_PAGES;
		word = words[w] ^ flip;
	}
	return w * 64 + (uint32_t)__builtin_ctzll(word);
}

/* The first page of the row of clear bits that ends before `end`. */
static uint32_t bits_row_start(const uint64_t *words, uint32_t end)
{
	while (end > 0) {
		uint32_t w = (end - 1) / 64;
		uint64_t word = words[w] & word_mask(w, 0, end);

		if (word)
			return w * 64 + 64 - (uint32_t)__builtin_clzll(word);
		end = w * 64;
	}
	return 0;
}

/* ---- buckets ---- */

/* Four for each doubling of the longest free run, 1 to 512 pages. */
static uint32_t bucket_of(uint32_t run)
{
	if (run < 4)
		return run;
	uint32_t doubling = 31 - (uint32_t)__builtin_clz(run);

	return (doubling - 1) * 4 + ((run >> (doubling - 2)) & 3);
}

/* Puts a USED chunk where its run_max says; full ones are in no bucket. */
static void bucket_insert(struct mem_part *part, struct chunk *c)
{
	if (c->run_max == 0) {
		list_init(&c->link);
		return;
	}
	c->bucket = (uint8_t)bucket_of(c->run_max);
	list_push(&part->bucket[c->bucket], &c->link);
	part->bucket_map |= 1ull << c->bucket;
}

static void bucket_update(struct mem_part *part, struct chunk *c, uint32_t run_max)
{
	bool was_in = c->run_max > 0;

	c->run_max = (uint16_t)run_max;
	if (was_in && run_max > 0 && bucket_of(run_max) == c->bucket)
		return;
	list_remove(&c->link);
	bucket_insert(part, c);
}

/* ---- pages of a chunk ---- */

static size_t chunk_index(const struct mem_part *part, const struct chunk *c)
{
	return (size_t)(c - part->chunks);
}

static char *chunk_base(const struct mem_part *part, const struct chunk *c)
{
	return part->base + (chunk_index(part, c) << CHUNK_SHIFT);
}

/*
 * The first page of a free run of `pages` at an aligned place; CHUNK_PAGES if there is none, and
 * then *ret_longest is the length of the longest free run.
 */
static uint32_t chunk_find(const struct chunk *c, uint32_t pages, uint32_t align,
			   uint32_t *ret_longest)
{
	uint32_t longest = 0;

	for (uint32_t at = 0; at < CHUNK_PAGES;) {
		uint32_t start = bits_next(c->used, at, ~0ull);
		uint32_t end = bits_next(c->used, start, 0);
		uint32_t aligned = (start + align - 1) & ~(align - 1);

		if (aligned + pages <= end)
			return aligned;
		if (end - start > longest)
			longest = end - start;
		at = end;
	}
	*ret_longest = longest;
	return CHUNK_PAGES;
}

/*
 * Marks pages as used. *ret_absent grows by how many of them have no memory; those are the caller's
 * to fill. False, with nothing changed, if the limit allows no memory for them.
 */
static bool chunk_use(struct mem_part *part, struct chunk *c, uint32_t first, uint32_t end,
		      uint32_t *ret_absent)
{
	if (c->pages_absent) {
		uint32_t absent = bits_count(c->absent, first, end);

		if (absent && !arena_limit_take((uint64_t)absent * MEM_PAGE_BYTES))
			return false;
		bits_clear(c->absent, first, end);
		c->pages_absent = (uint16_t)(c->pages_absent - absent);
		part->pages_absent -= absent;
		*ret_absent += absent;
	}
	bits_set(c->used, first, end);
	c->pages_free = (uint16_t)(c->pages_free - (end - first));
	part->pages_used += end - first;
	part->pages_taken += end - first;
	if (c->pages_free == 0)
		bucket_update(part, c, 0);
	return true;
}

/* ---- vacant chunks ---- */

static void vacant_set(struct mem_part *part, size_t i)
{
	part->vacant[i / 64] |= 1ull << (i % 64);
	if (i < part->vacant_hint)
		part->vacant_hint = i;
}

static bool vacant_get(const struct mem_part *part, size_t i)
{
	return part->vacant[i / 64] >> (i % 64) & 1;
}

/* Puts a chunk without used pages where others will find it. */
static void chunk_vacate(struct mem_part *part, struct chunk *c)
{
	c->state = CHUNK_VACANT;
	vacant_set(part, chunk_index(part, c));
	if (!c->touched) {
		list_push(&part->returned, &c->link);
	} else if (c->pages_absent) {
		list_append(&part->ready, &c->link);
	} else {
		list_push(&part->ready, &c->link);
		part->ready_count++;
	}
}

/* Makes a vacant chunk the caller's. */
static void chunk_seize(struct mem_part *part, size_t i)
{
	struct chunk *c = &part->chunks[i];

	ASSERT(c->state == CHUNK_VACANT);
	while (part->fresh <= i) {
		struct chunk *fresh = &part->chunks[part->fresh++];

		list_init(&fresh->link);
		if (fresh != c)
			list_append(&part->returned, &fresh->link);
	}
	list_remove(&c->link);
	if (c->touched && c->pages_absent == 0)
		part->ready_count--;
	c->state = CHUNK_BUSY;
	part->vacant[i / 64] &= ~(1ull << (i % 64));
}

/* Makes a chunk that has been seized and has memory one of whose pages some can be used. */
static void chunk_open(struct mem_part *part, struct chunk *c)
{
	c->state = CHUNK_USED;
	c->pages_free = CHUNK_PAGES;
	c->run_max = CHUNK_PAGES;
	bucket_insert(part, c);
}

/* The first of `count` vacant chunks in a row, aligned; chunk_count if there is no such row. */
static size_t vacant_find(struct mem_part *part, size_t count, size_t align)
{
	size_t i = part->vacant_hint;

	while (i < part->chunk_count && !vacant_get(part, i))
		i = (part->vacant[i / 64] >> (i % 64)) == 0 ? (i / 64 + 1) * 64 : i + 1;
	part->vacant_hint = i;
	for (;;) {
		size_t n = 0;

		i = (i + align - 1) & ~(align - 1);
		if (i + count > part->chunk_count)
			return part->chunk_count;
		while (n < count && vacant_get(part, i + n))
			n++;
		if (n == count)
			return i;
		i += n + 1;
	}
}

/* Chunks that one request has seized: those needed, and those that a page of 1 GiB brings along. */
struct seizure {
	size_t need;
	size_t need_end;
	size_t first;
	size_t end;
};

/* Whether the group from `first` has no memory at all and nobody uses or fills it. */
static bool group_free(const struct mem_part *part, size_t first, size_t skip, size_t skip_end)
{
	for (size_t i = first; i < first + GROUP_CHUNKS; i++) {
		const struct chunk *c = &part->chunks[i];

		if (c->touched || c->fallback)
			return false;
		if ((i < skip || i >= skip_end) && c->state != CHUNK_VACANT)
			return false;
	}
	return true;
}

/* Seizes [need, need_end), and around it what a page of 1 GiB would fill as well. */
static struct seizure seize(struct mem_part *part, size_t need, size_t need_end)
{
	struct seizure s = {need, need_end, need, need_end};

	if (part->backing == MEM_BACKING_HUGE_1G) {
		size_t first_group = need / GROUP_CHUNKS * GROUP_CHUNKS;
		size_t last_group = (need_end - 1) / GROUP_CHUNKS * GROUP_CHUNKS;

		if (group_free(part, first_group, need, need_end))
			s.first = first_group;
		if (group_free(part, last_group, need, need_end))
			s.end = last_group + GROUP_CHUNKS;
	}
	for (size_t i = s.first; i < s.end; i++)
		chunk_seize(part, i);
	return s;
}

/* Puts all seized chunks but those needed back; on failure those too. The lock is held. */
static void seizure_release(struct mem_part *part, const struct seizure *s, bool failed)
{
	for (size_t i = s->first; i < s->end; i++)
		if (failed || i < s->need || i >= s->need_end)
			chunk_vacate(part, &part->chunks[i]);
}

/*
 * Gets `count` chunks in a row with memory, BUSY and the caller's. The lock is held at entry and
 * exit, and not while the kernel is asked.
 */
static struct status chunks_get(struct mem_part *part, size_t count, size_t align,
				size_t *ret_first)
{
	struct status status = OK;
	size_t first;

	if (count == 1 && align == 1 && !list_empty(&part->ready)) {
		first = chunk_index(part, LIST_FIRST(&part->ready, struct chunk, link));
		chunk_seize(part, first);
		*ret_first = first;
		return OK;
	}
	if (count == 1 && align == 1 && !list_empty(&part->returned))
		first = chunk_index(part, LIST_FIRST(&part->returned, struct chunk, link));
	else
		first = vacant_find(part, count, align);
	if (first == part->chunk_count) {
		spinlock_unlock(&part->lock);
		status = fail(STATUS_NO_MEMORY,
			      "address space for %zu MiB in a row is used up: raise --memory",
			      count * 2);
		spinlock_lock(&part->lock);
		return status;
	}

	struct seizure s = seize(part, first, first + count);
	bool grow = false;

	for (size_t i = first; i < first + count; i++)
		grow |= !part->chunks[i].touched;
	if (grow) {
		spinlock_unlock(&part->lock);
		grow_count_inline();
		status = arena_commit(part, s.first, s.end - s.first, s.need, s.need_end);
		spinlock_lock(&part->lock);
	}
	seizure_release(part, &s, !status_ok(status));
	if (status_ok(status))
		*ret_first = first;
	return status;
}

/* ---- runs ---- */

/* A place for a run in a chunk that is in use; NULL if there is none. */
static char *take_from_buckets(struct mem_part *part, uint32_t pages, uint32_t align,
			       uint32_t *ret_absent)
{
	uint64_t map = part->bucket_map & (~0ull << bucket_of(pages));

	for (; map; map &= map - 1) {
		uint32_t b = (uint32_t)__builtin_ctzll(map);
		uint32_t tries = 0;

		if (list_empty(&part->bucket[b])) {
			part->bucket_map &= ~(1ull << b);
			continue;
		}
		list_for_each_safe (l, &part->bucket[b]) {
			struct chunk *c = CONTAINER_OF(l, struct chunk, link);
			uint32_t longest = 0;

			if (c->run_max < pages)
				continue;
			uint32_t at = chunk_find(c, pages, align, &longest);
			if (at == CHUNK_PAGES)
				bucket_update(part, c, longest);
			else if (chunk_use(part, c, at, at + pages, ret_absent))
				return chunk_base(part, c) + ((size_t)at << MEM_PAGE_SHIFT);
			if (++tries == BUCKET_TRIES)
				break;
		}
	}
	return NULL;
}

/* Marks the pages of a run as free again. The lock is held. */
static void give_locked(struct mem_part *part, size_t first_page, size_t pages)
{
	while (pages > 0) {
		struct chunk *c = &part->chunks[first_page / CHUNK_PAGES];
		uint32_t first = (uint32_t)(first_page % CHUNK_PAGES);
		uint32_t here = CHUNK_PAGES - first < pages ? CHUNK_PAGES - first : (uint32_t)pages;

		ASSERT(c->state == CHUNK_USED && bits_count(c->used, first, first + here) == here);
		bits_clear(c->used, first, first + here);
		c->pages_free = (uint16_t)(c->pages_free + here);
		part->pages_used -= here;
		if (c->pages_free == CHUNK_PAGES) {
			list_remove(&c->link);
			c->run_max = 0;
			chunk_vacate(part, c);
		} else {
			uint32_t start = bits_row_start(c->used, first);
			uint32_t end = bits_next(c->used, first + here, 0);

			if (end - start > c->run_max)
				bucket_update(part, c, end - start);
		}
		first_page += here;
		pages -= here;
	}
}

/* A run that begins with a chunk of its own. The lock is held as in chunks_get(). */
static struct status take_chunks(struct mem_part *part, size_t pages, size_t align_pages,
				 char **ret_run, uint32_t *ret_absent)
{
	size_t count = (pages + CHUNK_PAGES - 1) / CHUNK_PAGES;
	size_t align = align_pages > CHUNK_PAGES ? align_pages / CHUNK_PAGES : 1;
	size_t first = 0;

	TRY(chunks_get(part, count, align, &first));
	for (size_t i = 0; i < count; i++) {
		struct chunk *c = &part->chunks[first + i];
		size_t here = i + 1 < count ? CHUNK_PAGES : pages - i * CHUNK_PAGES;

		chunk_open(part, c);
		if (chunk_use(part, c, 0, (uint32_t)here, ret_absent))
			continue;
		/* filling the pages that it has given back would pass the limit */
		list_remove(&c->link);
		for (size_t j = i; j < count; j++)
			chunk_vacate(part, &part->chunks[first + j]);
		give_locked(part, first * CHUNK_PAGES, i * CHUNK_PAGES);
		return arena_limit_reached();
	}
	*ret_run = chunk_base(part, &part->chunks[first]);
	return OK;
}

static size_t page_in_part(const struct mem_part *part, const char *run)
{
	return (size_t)(run - part->base) >> MEM_PAGE_SHIFT;
}

/* Gives the memory of pages that the caller holds as used to the kernel, and the pages back. */
static bool give_without_memory(struct mem_part *part, char *run, size_t pages)
{
	size_t first = page_in_part(part, run);
	bool dropped = arena_purge_pages(part, run, pages << MEM_PAGE_SHIFT);

	spinlock_lock(&part->lock);
	for (size_t at = first; dropped && at < first + pages;) {
		struct chunk *c = &part->chunks[at / CHUNK_PAGES];
		uint32_t in_chunk = (uint32_t)(at % CHUNK_PAGES);
		size_t left = first + pages - at;
		uint32_t here = CHUNK_PAGES - in_chunk < left ? CHUNK_PAGES - in_chunk
							      : (uint32_t)left;

		bits_set(c->absent, in_chunk, in_chunk + here);
		c->pages_absent = (uint16_t)(c->pages_absent + here);
		part->pages_absent += here;
		at += here;
	}
	give_locked(part, first, pages);
	spinlock_unlock(&part->lock);
	return dropped;
}

/* Fills the absent pages of a run. On failure it is given back, and the detail is that of it. */
static struct status run_fill(struct mem_part *part, char *run, size_t pages)
{
	struct status status = os_populate(run, pages << MEM_PAGE_SHIFT);

	if (!status_ok(status)) {
		struct diag kept = *diag_self();

		give_without_memory(part, run, pages);
		*diag_self() = kept;
	}
	return status;
}

/* One try of run_alloc(). */
static struct status run_try(struct mem_part *part, size_t pages, size_t align_pages,
			     char **ret_run)
{
	struct status status = OK;
	uint32_t absent = 0;
	char *run = NULL;

	spinlock_lock(&part->lock);
	if (pages <= CHUNK_PAGES && align_pages <= CHUNK_PAGES)
		run = take_from_buckets(part, (uint32_t)pages, (uint32_t)align_pages, &absent);
	if (!run)
		status = take_chunks(part, pages, align_pages, &run, &absent);
	bool low = grow_low(part);
	spinlock_unlock(&part->lock);
	grow_kick(low, false);
	if (status_ok(status) && absent)
		status = run_fill(part, run, pages);
	if (status_ok(status))
		*ret_run = run;
	return status;
}

struct status run_alloc(struct mem_part *part, size_t pages, size_t align_pages, char **ret_run)
{
	struct status status;

	if (pages > part->chunk_count * CHUNK_PAGES)
		return fail(STATUS_NO_MEMORY, "%zu MiB are more than the arena's %zu MiB",
			    pages >> 8, part->chunk_count * 2);
	status = run_try(part, pages, align_pages, ret_run);
	if (status_is(status, STATUS_NO_MEMORY)) {
		struct diag kept = *diag_self();

		if (grow_reclaim((uint64_t)pages << MEM_PAGE_SHIFT))
			return run_try(part, pages, align_pages, ret_run);
		*diag_self() = kept;
	}
	return status;
}

uint32_t run_alloc_many(struct mem_part *part, size_t pages, void **ret_runs, uint32_t want)
{
	uint32_t got = 0;
	uint32_t absent = 0;
	char *run = NULL;

	spinlock_lock(&part->lock);
	while (got < want && absent == 0) {
		run = take_from_buckets(part, (uint32_t)pages, 1, &absent);
		if (!run)
			break;
		ret_runs[got++] = run;
	}
	spinlock_unlock(&part->lock);
	if (absent && !status_ok(run_fill(part, run, pages)))
		got--;
	if (got == 0 && status_ok(run_alloc(part, pages, 1, &run)))
		ret_runs[got++] = run;
	return got;
}

void run_free(char *run, size_t pages)
{
	struct mem_part *part = arena_part_of(run);

	spinlock_lock(&part->lock);
	give_locked(part, page_in_part(part, run), pages);
	bool high = grow_high(part);
	spinlock_unlock(&part->lock);
	grow_kick(false, high);
}

/* ---- for the grower ---- */

bool run_chunk_ahead(struct mem_part *part)
{
	struct status status;
	size_t first;

	spinlock_lock(&part->lock);
	/* past those that are ready: chunks_get() would take one of them */
	if (!list_empty(&part->returned))
		first = chunk_index(part, LIST_FIRST(&part->returned, struct chunk, link));
	else
		first = part->fresh;
	if (first == part->chunk_count) {
		spinlock_unlock(&part->lock);
		return false;
	}
	struct seizure s = seize(part, first, first + 1);
	spinlock_unlock(&part->lock);
	status = arena_commit(part, s.first, s.end - s.first, s.need, s.need_end);
	spinlock_lock(&part->lock);
	seizure_release(part, &s, true);
	spinlock_unlock(&part->lock);
	return status_ok(status);
}

/* A page of 1 GiB no chunk of which is used; chunk_count if there is none. The lock is held. */
static size_t idle_group(const struct mem_part *part)
{
	for (size_t first = 0; first < part->fresh; first += GROUP_CHUNKS) {
		size_t i = first;

		while (i < first + GROUP_CHUNKS && chunk_in_group(part, &part->chunks[i]) &&
		       part->chunks[i].state == CHUNK_VACANT)
			i++;
		if (i == first + GROUP_CHUNKS)
			return first;
	}
	return part->chunk_count;
}

/* The first chunk of a piece to give back, and its length; chunk_count: none. The lock is held. */
static size_t idle_piece(struct mem_part *part, uint64_t keep, size_t *ret_count)
{
	*ret_count = GROUP_CHUNKS;
	if (part->backing == MEM_BACKING_HUGE_1G && part->ready_count >= keep + GROUP_CHUNKS) {
		size_t first = idle_group(part);

		if (first < part->chunk_count)
			return first;
	}
	*ret_count = 1;
	/* from the end: those that have already given some pages back */
	for (struct list *l = part->ready.prev; l != &part->ready; l = l->prev) {
		struct chunk *c = CONTAINER_OF(l, struct chunk, link);

		if (!chunk_in_group(part, c) && (c->pages_absent || part->ready_count > keep))
			return chunk_index(part, c);
	}
	return part->chunk_count;
}

bool run_chunk_give_back(struct mem_part *part, uint64_t keep)
{
	size_t count;

	spinlock_lock(&part->lock);
	size_t first = idle_piece(part, keep, &count);
	bool found = first < part->chunk_count;
	for (size_t i = first; found && i < first + count; i++)
		chunk_seize(part, i);
	spinlock_unlock(&part->lock);
	if (!found)
		return false;

	bool given = arena_give_back(part, first, count);
	spinlock_lock(&part->lock);
	for (size_t i = first; i < first + count; i++)
		chunk_vacate(part, &part->chunks[i]);
	spinlock_unlock(&part->lock);
	return given;
}

/*
 * Finds, in a chunk in use, free pages in a row that have memory, and marks them as used. False if
 * the chunk has none. The lock is held.
 */
static bool purge_take(struct mem_part *part, struct chunk *c, size_t run_min, uint32_t *ret_first,
		       uint32_t *ret_end)
{
	uint64_t taken[CHUNK_WORDS];

	if (c->pages_free <= c->pages_absent)
		return false;
	for (uint32_t w = 0; w < CHUNK_WORDS; w++)
		taken[w] = c->used[w] | c->absent[w];
	for (uint32_t at = 0; at < CHUNK_PAGES;) {
		uint32_t start = bits_next(taken, at, ~0ull);
		uint32_t end = bits_next(taken, start, 0);
		uint32_t none = 0;

		if (end - start >= run_min && start < end) {
			chunk_use(part, c, start, end, &none);
			*ret_first = start;
			*ret_end = end;
			return true;
		}
		at = end;
	}
	return false;
}

size_t run_purge(struct mem_part *part, size_t pages, size_t run_min)
{
	size_t purged = 0;

	if (!arena_can_purge(part))
		return 0;
	/* by number and not by bucket: the lists change while the lock is not held */
	for (size_t i = 0; i < part->chunk_count && purged < pages; i++) {
		struct chunk *c = &part->chunks[i];
		uint32_t first, end;
		bool found = true;

		while (found && purged < pages) {
			spinlock_lock(&part->lock);
			bool more = i < part->fresh;
			found = more && c->state == CHUNK_USED &&
				purge_take(part, c, run_min, &first, &end);
			spinlock_unlock(&part->lock);
			if (!more)
				return purged;
			if (!found)
				break;
			char *at = chunk_base(part, c) + ((size_t)first << MEM_PAGE_SHIFT);
			if (!give_without_memory(part, at, end - first))
				return purged;
			purged += end - first;
		}
	}
	return purged;
}
