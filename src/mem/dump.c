#include "mem/dump.h"

#include "base/metrics.h"
#include "mem/arena.h"
#include "mem/cache.h"
#include "mem/grow.h"

#include <string.h>

static uint64_t part_sum(uint64_t (*of)(const struct mem_part *part), enum mem_kind kind)
{
	uint64_t sum = 0;

	for (uint32_t node = 0; node < arena.node_count; node++) {
		struct mem_part *part = arena_part(kind, node);

		spinlock_lock(&part->lock);
		sum += of(part);
		spinlock_unlock(&part->lock);
	}
	return sum;
}

static uint64_t part_used(const struct mem_part *part)
{
	return part->pages_used << MEM_PAGE_SHIFT;
}

static uint64_t part_resident(const struct mem_part *part)
{
	return (part->chunks_touched << CHUNK_SHIFT) - (part->pages_absent << MEM_PAGE_SHIFT);
}

static void held_visit(void *arg, struct mem_cache *cache)
{
	*(uint64_t *)arg += cache_held_bytes(cache);
}

/* Free objects in caches and depots, in bytes. */
static uint64_t cached_bytes(void)
{
	uint64_t bytes = 0;

	cache_for_each(held_visit, &bytes);
	for (uint32_t node = 0; node < arena.node_count; node++)
		for (uint32_t class = 1; class <= MEM_CLASS_RUN_LAST; class += 1)
			bytes += pool_depot_objects(pool_of(class, node)) * mem_class_bytes(class);
	return bytes;
}

void mem_stats(struct mem_stats *ret_stats)
{
	memset(ret_stats, 0, sizeof(*ret_stats));
	if (!arena.base)
		return;
	ret_stats->limit_bytes = arena.config.limit_bytes;
	for (int kind = 0; kind < MEM_KINDS; kind++) {
		ret_stats->resident_bytes += part_sum(part_resident, (enum mem_kind)kind);
		ret_stats->used_bytes += part_sum(part_used, (enum mem_kind)kind);
	}
	ret_stats->free_bytes = ret_stats->resident_bytes > ret_stats->used_bytes
					? ret_stats->resident_bytes - ret_stats->used_bytes
					: 0;
	ret_stats->cached_bytes = cached_bytes();
	ret_stats->table_bytes = pool_table_bytes() +
				 ret_stats->resident_bytes / MEM_PAGE_BYTES * 7;
	ret_stats->grown_inline = grow_inline_count();
	ret_stats->caches = cache_count();
}

/* ---- metrics ---- */

enum gauge { GAUGE_LIMIT, GAUGE_RESIDENT, GAUGE_USED, GAUGE_CACHED, GAUGE_CACHES };

static double gauge_read(const void *arg)
{
	struct mem_stats stats;

	mem_stats(&stats);
	switch (*(const enum gauge *)arg) {
	case GAUGE_LIMIT: return (double)stats.limit_bytes;
	case GAUGE_RESIDENT: return (double)stats.resident_bytes;
	case GAUGE_USED: return (double)stats.used_bytes;
	case GAUGE_CACHED: return (double)stats.cached_bytes;
	default: return (double)stats.caches;
	}
}

/* 1 for the backing that a kind has: tarn_mem_backing{kind,backing} is an info metric. */
static double backing_read(const void *arg)
{
	return (double)mem_backing(*(const enum mem_kind *)arg);
}

static const enum gauge gauge_limit = GAUGE_LIMIT, gauge_resident = GAUGE_RESIDENT,
			gauge_used = GAUGE_USED, gauge_cached = GAUGE_CACHED,
			gauge_caches = GAUGE_CACHES;
static const enum mem_kind kind_private = MEM_PRIVATE, kind_shareable = MEM_SHAREABLE;

METRIC_GAUGE(metric_limit, "tarn_mem_limit_bytes", gauge_read, &gauge_limit,
	     "Memory that may be taken from the system");
METRIC_GAUGE(metric_resident, "tarn_mem_resident_bytes", gauge_read, &gauge_resident,
	     "Memory taken from the system");
METRIC_GAUGE(metric_used, "tarn_mem_used_bytes", gauge_read, &gauge_used,
	     "Memory in runs that are handed out; slabs count whole");
METRIC_GAUGE(metric_cached, "tarn_mem_cached_bytes", gauge_read, &gauge_cached,
	     "Free objects in caches and depots");
METRIC_GAUGE(metric_caches, "tarn_mem_caches", gauge_read, &gauge_caches,
	     "Caches of cores and guests");
METRIC_GAUGE(metric_backing_private, "tarn_mem_backing_private", backing_read, &kind_private,
	     "Pages of private memory: 1 of 1 GiB, 2 of 2 MiB, 3 transparent huge, 4 of 4 KiB");
METRIC_GAUGE(metric_backing_shareable, "tarn_mem_backing_shareable", backing_read, &kind_shareable,
	     "Pages of shareable memory: 1 of 1 GiB, 2 of 2 MiB, 3 transparent huge, 4 of 4 KiB");

/* ---- for people ---- */

static void dump_parts(FILE *to)
{
	for (uint32_t i = 0; i < arena.part_count; i++) {
		struct mem_part *part = &arena.part[i];

		spinlock_lock(&part->lock);
		uint64_t resident = part_resident(part), used = part_used(part);
		uint64_t touched = part->chunks_touched, ready = part->ready_count;
		spinlock_unlock(&part->lock);
		fprintf(to,
			"arena %-9s node %u: %s, %llu MiB resident, %llu MiB in runs, %llu chunks "
			"of 2 MiB touched, "
			"%llu ready\n",
			part->kind == MEM_PRIVATE ? "private" : "shareable", part->node,
			mem_backing_text(part->backing), (unsigned long long)(resident >> 20),
			(unsigned long long)(used >> 20), (unsigned long long)touched,
			(unsigned long long)ready);
	}
}

static void dump_tags(FILE *to)
{
	for (uint32_t id = TAG_OTHER; id < tag_count(); id++) {
		int64_t bytes, objects;

		tag_sum(id, &bytes, &objects);
		if (bytes != 0 || objects != 0)
			fprintf(to, "tag %-24s %14lld bytes in %lld objects\n", tag_name(id),
				(long long)bytes, (long long)objects);
	}
}

static void dump_classes(FILE *to)
{
	for (uint32_t node = 0; node < arena.node_count; node++) {
		for (uint32_t class = 1; class <= MEM_CLASS_RUN_LAST; class += 1) {
			struct pool *pool = pool_of(class, node);

			spinlock_lock(&pool->lock);
			uint64_t slabs = pool->slabs, taken = pool->taken;
			spinlock_unlock(&pool->lock);
			if (taken == 0 && slabs == 0)
				continue;
			fprintf(to,
				"class %6u bytes node %u: %10llu objects out of %llu slabs, %llu "
				"in the depot\n",
				pool->bytes, node, (unsigned long long)taken,
				(unsigned long long)slabs,
				(unsigned long long)pool_depot_objects(pool));
		}
	}
}

/* A copy of what the list of caches says: nothing is printed under its lock. */
struct cache_lines {
	uint32_t count;
	struct {
		uint32_t slot;
		uint64_t bytes;
	} line[SELF_SLOTS];
};

static void cache_visit(void *arg, struct mem_cache *cache)
{
	struct cache_lines *lines = arg;

	if (lines->count == ARRAY_SIZE(lines->line))
		return;
	lines->line[lines->count].slot = cache->more->owner->slot;
	lines->line[lines->count++].bytes = cache_held_bytes(cache);
}

static void dump_caches(FILE *to)
{
	struct cache_lines lines = {0};

	cache_for_each(cache_visit, &lines);
	for (uint32_t i = 0; i < lines.count; i++)
		fprintf(to, "cache of slot %u: %llu KiB of free objects\n", lines.line[i].slot,
			(unsigned long long)(lines.line[i].bytes >> 10));
}

void mem_dump(FILE *to)
{
	struct mem_stats stats;

	if (!arena.base) {
		fprintf(to, "memory: not started\n");
		return;
	}
	mem_stats(&stats);
	fprintf(to,
		"memory: %llu of %llu MiB resident, %llu MiB in runs, %llu KiB of free objects "
		"cached, %llu KiB of tables\n",
		(unsigned long long)(stats.resident_bytes >> 20),
		(unsigned long long)(stats.limit_bytes >> 20),
		(unsigned long long)(stats.used_bytes >> 20),
		(unsigned long long)(stats.cached_bytes >> 10),
		(unsigned long long)(stats.table_bytes >> 10));
	dump_parts(to);
	dump_tags(to);
	dump_classes(to);
	dump_caches(to);
}

uint64_t dump_leaks(void)
{
	uint64_t bytes = 0;
	int64_t tagged, objects;

	/* the debug build counts all by tag, the release build small objects by class */
	for (uint32_t node = 0; node < arena.node_count && !MEM_CHECKED; node++) {
		for (uint32_t class = 1; class <= MEM_CLASS_SLAB_LAST; class += 1) {
			struct pool *pool = pool_of(class, node);

			bytes += (pool->taken - pool_depot_objects(pool)) * pool->bytes;
		}
	}
	for (uint32_t id = TAG_OTHER; id < tag_count(); id++) {
		tag_sum(id, &tagged, &objects);
		bytes += (uint64_t)tagged;
		if (MEM_CHECKED && objects != 0)
			fprintf(stderr, "memory: leaked by %s: %lld bytes in %lld objects\n",
				tag_name(id), (long long)tagged, (long long)objects);
	}
	return bytes;
}
