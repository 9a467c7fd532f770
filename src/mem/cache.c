#include "mem/cache.h"

#include "base/assert.h"
#include "base/diag.h"

#include <string.h>

static struct {
	struct spinlock lock;
	struct list attached;
	struct list idle; /* records of caches that were detached */
	uint32_t count;
} caches;

/* ---- bins ---- */

static uint64_t bin_rounds(const struct mem_bin *bin)
{
	return atomic_u64_quiet_load(&bin->rounds, ORDER_RELAXED);
}

static struct magazine *bin_loaded(const struct mem_bin *bin)
{
	return bin->object ? CONTAINER_OF(bin->object, struct magazine, object) : NULL;
}

/* Makes `m` the magazine that the fast path works on; NULL: none, everything takes the long way. */
static void bin_load(struct mem_bin *bin, struct magazine *m, uint32_t rounds_max)
{
	bin->object = m ? m->object : NULL;
	bin->rounds_max = m ? rounds_max : 0;
	atomic_u64_quiet_store(&bin->rounds, m ? m->rounds : 0, ORDER_RELAXED);
}

/* Takes the loaded magazine out, with its count written down. */
static struct magazine *bin_unload(struct mem_bin *bin)
{
	struct magazine *m = bin_loaded(bin);

	if (m)
		m->rounds = (uint32_t)bin_rounds(bin);
	bin_load(bin, NULL, 0);
	return m;
}

static void bin_swap(struct mem_bin *bin, uint32_t rounds_max)
{
	struct magazine *m = bin_unload(bin);

	bin_load(bin, bin->previous, rounds_max);
	bin->previous = m;
}

static struct mem_bin *bin_of(struct mem_cache *cache, uint32_t class)
{
	return class < MEM_CLASS_RUN_FIRST ? &cache->bin[class] : cache_run_bin(cache, class);
}

/* Gets objects into an empty bin. False: out of memory (or of memory for magazines). */
static bool bin_refill(struct mem_bin *bin, struct pool *pool)
{
	struct magazine *m = bin_unload(bin);
	struct magazine *full = pool_exchange_empty(pool, m);

	if (full) {
		bin_load(bin, full, pool->rounds);
		return true;
	}
	if (!m)
		m = pool_magazine(pool);
	if (!m)
		return false;
	m->rounds = pool_take(pool, m->object, pool->rounds);
	bin_load(bin, m, pool->rounds);
	return m->rounds > 0;
}

/* Makes room in a bin that is full or has no magazine. False: no memory for a magazine. */
static bool bin_drain(struct mem_bin *bin, struct pool *pool)
{
	struct magazine *m = bin_unload(bin);

	if (!m) {
		bin_load(bin, pool_magazine(pool), pool->rounds);
		return bin->object != NULL;
	}
	/* the loaded one, full, is kept as the previous one: it is the warmer of the two */
	if (!bin->previous) {
		bin->previous = m;
		m = pool_magazine(pool);
	} else {
		struct magazine *before = bin->previous;

		bin->previous = m;
		m = pool_exchange_full(pool, before);
		if (!m) {
			pool_put(pool, before->object, before->rounds);
			before->rounds = 0;
			m = before;
		}
	}
	bin_load(bin, m, pool->rounds);
	return m != NULL;
}

void *cache_take(uint32_t class)
{
	struct mem_cache *cache = mem_cache_here();
	struct pool *pool = pool_of(class, cache ? cache->more->node : 0);
	void *object = NULL;

	if (cache) {
		struct mem_bin *bin = bin_of(cache, class);

		if (bin_rounds(bin) == 0 && bin->previous && bin->previous->rounds > 0)
			bin_swap(bin, pool->rounds);
		if (bin_rounds(bin) > 0 || bin_refill(bin, pool))
			return bin_pop(bin);
	}
	return pool_take(pool, &object, 1) ? object : NULL;
}

void cache_put(uint32_t class, void *object)
{
	struct mem_cache *cache = mem_cache_here();
	struct pool *pool = pool_of(class, cache ? cache->more->node : 0);

	if (cache) {
		struct mem_bin *bin = bin_of(cache, class);

		if (bin_rounds(bin) == bin->rounds_max && bin->object && bin->previous &&
		    bin->previous->rounds == 0)
			bin_swap(bin, pool->rounds);
		if ((bin_rounds(bin) < bin->rounds_max || bin_drain(bin, pool)) &&
		    bin_push(bin, object))
			return;
	}
	pool_put(pool, &object, 1);
}

/* ---- attaching ---- */

void cache_reset(void)
{
	memset(&caches, 0, sizeof(caches));
	list_init(&caches.attached);
	list_init(&caches.idle);
}

static struct mem_cache *cache_create(void)
{
	struct mem_cache *cache = pool_table_alloc(sizeof(*cache));
	struct mem_cache_more *more = pool_table_alloc(sizeof(*more));

	if (!cache || !more)
		return NULL;
	cache->more = more;
	more->cache = cache;
	list_init(&more->link);
	return cache;
}

struct status mem_cache_attach(struct self *s)
{
	struct mem_cache *cache = NULL;

	if (!arena.base)
		return fail(STATUS_INVALID, "memory is not started: call mem_start() first");
	ASSERT(!s->mem);
	spinlock_lock(&caches.lock);
	struct list *l = list_pop(&caches.idle);
	spinlock_unlock(&caches.lock);
	cache = l ? CONTAINER_OF(l, struct mem_cache_more, link)->cache : cache_create();
	if (!cache)
		return fail(STATUS_NO_MEMORY, "no memory for another cache");
	cache->more->owner = s;
	cache->more->node = arena_node_here();
	spinlock_lock(&caches.lock);
	list_append(&caches.attached, &cache->more->link);
	caches.count++;
	spinlock_unlock(&caches.lock);
	s->mem = cache;
	return OK;
}

void mem_cache_detach(struct self *s)
{
	struct mem_cache *cache = s->mem;

	if (!cache)
		return;
	ASSERT(cache->more->owner == s);
	s->mem = NULL;
	for (uint32_t class = 1; class <= MEM_CLASS_RUN_LAST; class += 1) {
		struct pool *pool = pool_of(class, cache->more->node);
		struct mem_bin *bin = bin_of(cache, class);
		struct magazine *loaded = bin_unload(bin);

		if (loaded)
			pool_magazine_put(pool, loaded);
		if (bin->previous)
			pool_magazine_put(pool, bin->previous);
		bin->previous = NULL;
	}
	spinlock_lock(&caches.lock);
	tag_fold(&cache->more->tags);
	list_remove(&cache->more->link);
	cache->more->owner = NULL;
	list_push(&caches.idle, &cache->more->link);
	caches.count--;
	spinlock_unlock(&caches.lock);
}

void cache_for_each(void (*visit)(void *arg, struct mem_cache *cache), void *arg)
{
	spinlock_lock(&caches.lock);
	list_for_each (l, &caches.attached)
		visit(arg, CONTAINER_OF(l, struct mem_cache_more, link)->cache);
	spinlock_unlock(&caches.lock);
}

uint32_t cache_count(void)
{
	spinlock_lock(&caches.lock);
	uint32_t count = caches.count;
	spinlock_unlock(&caches.lock);
	return count;
}

uint64_t cache_held_bytes(struct mem_cache *cache)
{
	uint64_t bytes = 0;

	for (uint32_t class = 1; class <= MEM_CLASS_RUN_LAST; class += 1)
		bytes += bin_rounds(bin_of(cache, class)) * mem_class_bytes(class);
	return bytes;
}
