#include "mem/tag.h"

#include "base/spinlock.h"
#include "mem/cache.h"

#include <string.h>

static struct {
	struct spinlock lock;
	const char *name[TAGS_MAX];
	struct atomic_u32 count;  /* ids below it are in use */
	struct tag_counts shared; /* of threads without a cache */
} tags = {
	.name = {"none", "other"},
	.count = ATOMIC(TAG_OTHER + 1),
};

static COLD uint32_t tag_register(struct mem_tag *tag)
{
	spinlock_lock(&tags.lock);
	uint32_t id = atomic_u32_load(&tag->id, ORDER_RELAXED);
	uint32_t next = atomic_u32_load(&tags.count, ORDER_RELAXED);

	if (id == 0) {
		id = next < TAGS_MAX ? next : TAG_OTHER;
		if (id == next) {
			tags.name[id] = tag->name;
			/* release: who sees the count sees the name */
			atomic_u32_store(&tags.count, next + 1, ORDER_RELEASE);
		}
		atomic_u32_store(&tag->id, id, ORDER_RELEASE);
	}
	spinlock_unlock(&tags.lock);
	return id;
}

uint32_t tag_id(struct mem_tag *tag)
{
	if (!tag)
		return TAG_OTHER;
	uint32_t id = atomic_u32_load(&tag->id, ORDER_ACQUIRE);

	return likely(id != 0) ? id : tag_register(tag);
}

uint32_t tag_count(void)
{
	return atomic_u32_load(&tags.count, ORDER_ACQUIRE);
}

const char *tag_name(uint32_t id)
{
	return id < tag_count() ? tags.name[id] : tags.name[TAG_OTHER];
}

void tag_add(uint32_t id, int64_t bytes, int64_t objects)
{
	struct mem_cache *cache = mem_cache_here();

	if (cache) {
		tag_add_own(&cache->more->tags, id, bytes, objects);
	} else {
		atomic_u64_quiet_add(&tags.shared.cell[id].bytes, (uint64_t)bytes, ORDER_RELAXED);
		atomic_u64_quiet_add(&tags.shared.cell[id].objects, (uint64_t)objects,
				     ORDER_RELAXED);
	}
}

struct tag_total {
	uint32_t id;
	uint64_t bytes;
	uint64_t objects;
};

static void total_add(struct tag_total *total, const struct tag_counts *counts)
{
	total->bytes += atomic_u64_quiet_load(&counts->cell[total->id].bytes, ORDER_RELAXED);
	total->objects += atomic_u64_quiet_load(&counts->cell[total->id].objects, ORDER_RELAXED);
}

static void total_visit(void *arg, struct mem_cache *cache)
{
	total_add(arg, &cache->more->tags);
}

void tag_sum(uint32_t id, int64_t *ret_bytes, int64_t *ret_objects)
{
	struct tag_total total = {.id = id};

	total_add(&total, &tags.shared);
	cache_for_each(total_visit, &total);
	*ret_bytes = (int64_t)total.bytes;
	*ret_objects = (int64_t)total.objects;
}

static void cell_fold(struct atomic_u64 *from, struct atomic_u64 *to)
{
	uint64_t n = atomic_u64_quiet_load(from, ORDER_RELAXED);

	atomic_u64_quiet_store(from, 0, ORDER_RELAXED);
	atomic_u64_quiet_add(to, n, ORDER_RELAXED);
}

void tag_fold(struct tag_counts *counts)
{
	for (uint32_t id = 0; id < TAGS_MAX; id++) {
		cell_fold(&counts->cell[id].bytes, &tags.shared.cell[id].bytes);
		cell_fold(&counts->cell[id].objects, &tags.shared.cell[id].objects);
	}
}

void tag_reset(void)
{
	memset(&tags.shared, 0, sizeof(tags.shared));
}
