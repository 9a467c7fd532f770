#include "mem/pool.h"

#include "base/assert.h"
#include "base/diag.h"
#include "base/os.h"
#include "mem/poison.h"
#include "mem/run.h"

#include <string.h>

#define SLAB_PAGES_MIN     4u
#define SLAB_PAGES_MAX     16u
#define MAGAZINE_BYTES_MAX (32u << 10)
#define DEPOT_BYTES_MAX    (512u << 10)
#define DEPOT_MAGAZINES    32u

static struct {
	struct pool pool[NODES_MAX][MEM_CLASS_RUN_LAST + 1];
	struct slab *slabs; /* by id */
	size_t slab_limit;
	struct spinlock slab_lock;
	uint32_t slab_fresh;
	struct list slab_free; /* descriptors that were used before */
	char *table;           /* for magazines and caches; takes memory as it is used */
	size_t table_bytes;
	struct atomic_u64 table_used;
} l2;

struct pool *pool_of(uint32_t class, uint32_t node)
{
	return &l2.pool[node][class];
}

/* ---- start ---- */

/* Pages of a slab: the fewest from SLAB_PAGES_MIN on that leave at most a hundredth over. */
static uint32_t slab_pages_for(uint32_t bytes)
{
	if (bytes == 16)
		return SLAB_OBJECTS * 16 / MEM_PAGE_BYTES;
	for (uint32_t pages = SLAB_PAGES_MIN; pages < SLAB_PAGES_MAX; pages++) {
		uint32_t total = pages << MEM_PAGE_SHIFT;

		if (total % bytes * 100 <= total && total / bytes >= 8)
			return pages;
	}
	return SLAB_PAGES_MAX;
}

static void pool_init(struct pool *pool, uint32_t class, uint32_t node)
{
	uint32_t bytes = mem_class_bytes(class);
	uint32_t rounds = MAGAZINE_BYTES_MAX / bytes;

	rounds = rounds > MAGAZINE_ROUNDS ? MAGAZINE_ROUNDS : rounds < 1 ? 1 : rounds;
	*pool = (struct pool){
		.class = class,
		.node = node,
		.bytes = bytes,
		.reciprocal = (uint32_t)((((uint64_t)1 << 32) + bytes - 1) / bytes),
		.rounds = rounds,
		.full_max = DEPOT_BYTES_MAX / (rounds * bytes),
	};
	if (pool->full_max > DEPOT_MAGAZINES)
		pool->full_max = DEPOT_MAGAZINES;
	if (class <= MEM_CLASS_SLAB_LAST) {
		pool->slab_pages = slab_pages_for(bytes);
		pool->capacity = (pool->slab_pages << MEM_PAGE_SHIFT) / bytes;
	}
	for (uint32_t i = 0; i < SLAB_BUCKETS; i++)
		list_init(&pool->partial[i]);
}

struct status pool_start(void)
{
	void *at;

	memset(&l2, 0, sizeof(l2));
	/* as many as the limit allows of the smallest: two pages each */
	l2.slab_limit = (arena.config.limit_bytes >> MEM_PAGE_SHIFT) / 2;
	if (l2.slab_limit > UINT32_MAX)
		l2.slab_limit = UINT32_MAX;
	l2.table_bytes = ((size_t)16 << 20) + arena.config.limit_bytes / 64;
	TRY(os_map(l2.slab_limit * sizeof(struct slab), MEM_PAGE_BYTES, &at));
	l2.slabs = at;

	struct status status = os_map(l2.table_bytes, MEM_PAGE_BYTES, &at);
	if (!status_ok(status)) {
		status_ignore(os_unmap(l2.slabs, l2.slab_limit * sizeof(struct slab)));
		return status;
	}
	l2.table = at;
	list_init(&l2.slab_free);
	for (uint32_t node = 0; node < arena.node_count; node++)
		for (uint32_t class = 1; class <= MEM_CLASS_RUN_LAST; class += 1)
			pool_init(pool_of(class, node), class, node);
	return OK;
}

void pool_stop(void)
{
	/* what cannot be unmapped is address space that nobody uses any more */
	status_ignore(os_unmap(l2.slabs, l2.slab_limit * sizeof(struct slab)));
	status_ignore(os_unmap(l2.table, l2.table_bytes));
}

void *pool_table_alloc(size_t bytes)
{
	size_t rounded = (bytes + CACHE_LINE - 1) & ~(size_t)(CACHE_LINE - 1);
	uint64_t at = atomic_u64_add(&l2.table_used, rounded, ORDER_RELAXED);

	if (at + rounded > l2.table_bytes) {
		atomic_u64_add(&l2.table_used, -(uint64_t)rounded, ORDER_RELAXED);
		return NULL;
	}
	return l2.table + at;
}

uint64_t pool_table_bytes(void)
{
	spinlock_lock(&l2.slab_lock);
	uint64_t slabs = l2.slab_fresh * sizeof(struct slab);
	spinlock_unlock(&l2.slab_lock);
	return slabs + atomic_u64_load(&l2.table_used, ORDER_RELAXED);
}

/* ---- slabs ---- */

static struct slab *descriptor_get(void)
{
	struct slab *slab = NULL;

	spinlock_lock(&l2.slab_lock);
	struct list *l = list_pop(&l2.slab_free);
	if (l) {
		slab = CONTAINER_OF(l, struct slab, link);
	} else if (l2.slab_fresh < l2.slab_limit) {
		slab = &l2.slabs[l2.slab_fresh];
		slab->id = l2.slab_fresh++;
	}
	spinlock_unlock(&l2.slab_lock);
	return slab;
}

static void descriptor_put(struct slab *slab)
{
	spinlock_lock(&l2.slab_lock);
	list_push(&l2.slab_free, &slab->link);
	spinlock_unlock(&l2.slab_lock);
}

/* The slab that lives on a page of a slab's class. */
static struct slab *slab_on_page(size_t page)
{
	return &l2.slabs[arena.page_run[page]];
}

void *pool_object_start(const void *p)
{
	const struct slab *slab = slab_on_page(arena_page_of(p));
	uint32_t bytes = slab->pool->bytes;
	size_t offset = (size_t)((const char *)p - slab->base);

	return slab->base + offset / bytes * bytes;
}

/* Makes a slab whose objects are all free. NULL: out of memory. No lock is held. */
static struct slab *slab_create(struct pool *pool)
{
	struct slab *slab = descriptor_get();
	char *run;

	if (!slab) {
		status_ignore(fail(STATUS_NO_MEMORY, "%zu slabs are the most", l2.slab_limit));
		return NULL;
	}
	if (!status_ok(run_alloc(arena_part(MEM_PRIVATE, pool->node), pool->slab_pages, 1, &run))) {
		descriptor_put(slab);
		return NULL;
	}

	size_t page = arena_page_of(run);
	memset(arena.page_class + page, (int)pool->class, pool->slab_pages);
	for (uint32_t i = 0; i < pool->slab_pages; i++)
		arena.page_run[page + i] = slab->id;
	slab->base = run;
	slab->pool = pool;
	slab->free = (uint16_t)pool->capacity;
	slab->bucket = 0;
	list_init(&slab->link);
	memset(slab->free_bits, 0, sizeof(slab->free_bits));
	for (uint32_t i = 0; i < pool->capacity; i++)
		slab->free_bits[i / 64] |= 1ull << (i % 64);
#if MEM_CHECKED
	/* what lay here before must not pass for a header */
	unpoison_range(run, (size_t)pool->slab_pages << MEM_PAGE_SHIFT);
	memset(run, 0, (size_t)pool->slab_pages << MEM_PAGE_SHIFT);
	poison_range(run, (size_t)pool->slab_pages << MEM_PAGE_SHIFT);
#endif
	return slab;
}

/* Gives the pages of a slab back none of whose objects is in use. No lock is held. */
static void slab_destroy(struct slab *slab)
{
	size_t page = arena_page_of(slab->base);
	uint32_t pages = slab->pool->slab_pages;
	char *run = slab->base;

	memset(arena.page_class + page, MEM_CLASS_NONE, pages);
	descriptor_put(slab);
	run_free(run, pages);
}

/* Puts the slab in the list that its number of free objects asks for. The pool's lock is held. */
static void slab_rank(struct slab *slab)
{
	struct pool *pool = slab->pool;

	list_remove(&slab->link);
	if (slab->free == 0)
		return;
	slab->bucket = (uint8_t)((slab->free - 1u) * SLAB_BUCKETS / pool->capacity);
	list_push(&pool->partial[slab->bucket], &slab->link);
}

/* Takes up to `want` objects of a slab. The pool's lock is held. */
static uint32_t slab_take(struct slab *slab, void **ret_objects, uint32_t want)
{
	uint32_t got = 0;

	for (uint32_t w = 0; got < want && got < slab->free; w++) {
		uint64_t bits = slab->free_bits[w];

		while (bits && got < want) {
			uint32_t i = w * 64 + (uint32_t)__builtin_ctzll(bits);

			bits &= bits - 1;
			ret_objects[got++] = slab->base + (size_t)i * slab->pool->bytes;
		}
		slab->free_bits[w] = bits;
	}
	slab->free = (uint16_t)(slab->free - got);
	slab->pool->taken += got;
	slab_rank(slab);
	return got;
}

static struct slab *fullest_slab(struct pool *pool)
{
	for (uint32_t i = 0; i < SLAB_BUCKETS; i++)
		if (!list_empty(&pool->partial[i]))
			return LIST_FIRST(&pool->partial[i], struct slab, link);
	return NULL;
}

static uint32_t slabs_take(struct pool *pool, void **ret_objects, uint32_t want)
{
	uint32_t got = 0;

	spinlock_lock(&pool->lock);
	while (got < want) {
		struct slab *slab = fullest_slab(pool);

		if (!slab)
			break;
		got += slab_take(slab, ret_objects + got, want - got);
	}
	spinlock_unlock(&pool->lock);
	if (got > 0)
		return got;

	struct slab *slab = slab_create(pool);
	if (!slab)
		return 0;
	spinlock_lock(&pool->lock);
	pool->slabs++;
	got = slab_take(slab, ret_objects, want);
	spinlock_unlock(&pool->lock);
	return got;
}

/* Marks an object as free. Ends the process if it is none, or free. The pool's lock is held. */
static void slab_put(struct slab *slab, char *object)
{
	struct pool *pool = slab->pool;
	uint32_t offset = (uint32_t)(object - slab->base);
	uint32_t i = (uint32_t)((uint64_t)offset * pool->reciprocal >> 32);
	uint64_t bit = 1ull << (i % 64);

	if (unlikely(i * pool->bytes != offset || i >= pool->capacity))
		PANIC("free of %p, which points into an object of %u bytes at %p", (void *)object,
		      pool->bytes, (void *)(slab->base + (size_t)i * pool->bytes));
	if (unlikely(slab->free_bits[i / 64] & bit))
		PANIC("double free of %p, an object of class %u bytes", (void *)object,
		      pool->bytes);
	slab->free_bits[i / 64] |= bit;
	slab->free++;
	pool->taken--;
	/* sets of the lists are coarse, so most objects leave their slab where it is */
	if (slab->free == 1 || slab->bucket != (slab->free - 1u) * SLAB_BUCKETS / pool->capacity)
		slab_rank(slab);
}

static void slabs_put(void *const *objects, uint32_t count)
{
	struct pool *locked = NULL;
	struct list empty;

	list_init(&empty);
	for (uint32_t i = 0; i < count; i++) {
		struct slab *slab = slab_on_page(arena_page_of(objects[i]));
		struct pool *pool = slab->pool;

		if (pool != locked) {
			if (locked)
				spinlock_unlock(&locked->lock);
			locked = pool;
			spinlock_lock(&pool->lock);
		}
		slab_put(slab, objects[i]);
		if (slab->free == pool->capacity) {
			list_remove(&slab->link);
			list_push(&empty, &slab->link);
			pool->slabs--;
		}
	}
	if (locked)
		spinlock_unlock(&locked->lock);
	for (struct list *l; (l = list_pop(&empty));)
		slab_destroy(CONTAINER_OF(l, struct slab, link));
}

/* ---- runs of one to sixteen pages ---- */

static uint32_t runs_take(struct pool *pool, void **ret_objects, uint32_t want)
{
	uint32_t pages = pool->bytes >> MEM_PAGE_SHIFT;
	uint32_t got =
		run_alloc_many(arena_part(MEM_PRIVATE, pool->node), pages, ret_objects, want);

	for (uint32_t i = 0; i < got; i++) {
		size_t page = arena_page_of(ret_objects[i]);

		arena.page_class[page] = (uint8_t)pool->class;
		arena.page_run[page] = pages;
		arena.page_tag[page] = 0;
		for (uint32_t n = 1; n < pages; n++) {
			arena.page_class[page + n] = MEM_CLASS_INTERIOR;
			arena.page_run[page + n] = n;
		}
	}
	spinlock_lock(&pool->lock);
	pool->taken += got;
	spinlock_unlock(&pool->lock);
	return got;
}

static void runs_put(struct pool *pool, void *const *objects, uint32_t count)
{
	uint32_t pages = pool->bytes >> MEM_PAGE_SHIFT;

	for (uint32_t i = 0; i < count; i++) {
		memset(arena.page_class + arena_page_of(objects[i]), MEM_CLASS_NONE, pages);
		run_free(objects[i], pages);
	}
	spinlock_lock(&pool->lock);
	pool->taken -= count;
	spinlock_unlock(&pool->lock);
}

uint32_t pool_take(struct pool *pool, void **ret_objects, uint32_t want)
{
	return pool->class <= MEM_CLASS_SLAB_LAST ? slabs_take(pool, ret_objects, want)
						  : runs_take(pool, ret_objects, want);
}

void pool_put(struct pool *pool, void *const *objects, uint32_t count)
{
	if (pool->class <= MEM_CLASS_SLAB_LAST)
		slabs_put(objects, count);
	else
		runs_put(pool, objects, count);
}

/* ---- depot ---- */

struct magazine *pool_magazine(struct pool *pool)
{
	spinlock_lock(&pool->lock);
	struct magazine *m = pool->empty;
	if (m)
		pool->empty = m->next;
	spinlock_unlock(&pool->lock);
	if (!m)
		m = pool_table_alloc(sizeof(*m));
	if (m)
		m->rounds = 0;
	return m;
}

void pool_magazine_put(struct pool *pool, struct magazine *m)
{
	if (m->rounds > 0)
		pool_put(pool, m->object, m->rounds);
	m->rounds = 0;
	spinlock_lock(&pool->lock);
	m->next = pool->empty;
	pool->empty = m;
	spinlock_unlock(&pool->lock);
}

struct magazine *pool_exchange_empty(struct pool *pool, struct magazine *empty)
{
	spinlock_lock(&pool->lock);
	struct magazine *full = pool->full;
	if (full) {
		pool->full = full->next;
		pool->full_count--;
		if (pool->full_count < pool->full_min)
			pool->full_min = pool->full_count;
		if (empty) {
			empty->next = pool->empty;
			pool->empty = empty;
		}
	}
	spinlock_unlock(&pool->lock);
	return full;
}

struct magazine *pool_exchange_full(struct pool *pool, struct magazine *full)
{
	struct magazine *empty = NULL;

	spinlock_lock(&pool->lock);
	bool room = pool->full_count < pool->full_max;
	if (room) {
		empty = pool->empty;
		if (empty) {
			pool->empty = empty->next;
		} else {
			spinlock_unlock(&pool->lock);
			empty = pool_table_alloc(sizeof(*empty));
			spinlock_lock(&pool->lock);
		}
	}
	if (empty) {
		/* the depot may have filled meanwhile, by one at most for each core: no matter */
		full->next = pool->full;
		pool->full = full;
		pool->full_count++;
	}
	spinlock_unlock(&pool->lock);
	if (empty) {
		empty->rounds = 0;
		return empty;
	}
	if (room)
		return NULL;
	pool_put(pool, full->object, full->rounds);
	full->rounds = 0;
	return full;
}

bool pool_reap(struct pool *pool, bool all)
{
	bool any = false;

	spinlock_lock(&pool->lock);
	uint32_t count = all ? pool->full_count : pool->full_min;
	pool->full_min = pool->full_count > count ? pool->full_count - count : 0;
	spinlock_unlock(&pool->lock);
	while (count-- > 0) {
		struct magazine *full = pool_exchange_empty(pool, NULL);

		if (!full)
			break;
		pool_magazine_put(pool, full);
		any = true;
	}
	return any;
}

uint64_t pool_depot_objects(struct pool *pool)
{
	uint64_t objects = 0;

	spinlock_lock(&pool->lock);
	for (const struct magazine *m = pool->full; m; m = m->next)
		objects += m->rounds;
	spinlock_unlock(&pool->lock);
	return objects;
}
