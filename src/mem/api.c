/* include/tarn/memory.h on top of mem.h: the same functions under public names. */
#include "mem/mem.h"

#include "base/self.h"

#include "tarn/memory.h"

#define SAME(public, private)                                                                      \
	_Static_assert((int)(public) == (int)(private), #public " must be " #private)

SAME(TARN_MEMORY_PRIVATE, MEM_PRIVATE);
SAME(TARN_MEMORY_SHAREABLE, MEM_SHAREABLE);
SAME(TARN_MEMORY_BEST, MEM_BACKING_AUTO);
SAME(TARN_MEMORY_HUGE_1G, MEM_BACKING_HUGE_1G);
SAME(TARN_MEMORY_HUGE_2M, MEM_BACKING_HUGE_2M);
SAME(TARN_MEMORY_THP, MEM_BACKING_THP);
SAME(TARN_MEMORY_4K, MEM_BACKING_4K);
_Static_assert(sizeof(struct tarn_memory_tag) == sizeof(struct mem_tag) &&
		       offsetof(struct tarn_memory_tag, inside) == offsetof(struct mem_tag, id),
	       "a public tag is a tag");

static struct mem_tag *tag_inside(struct tarn_memory_tag *tag)
{
	static struct mem_tag unnamed = MEM_TAG("program");

	return tag ? (struct mem_tag *)(void *)tag : &unnamed;
}

static struct tarn_status outside(struct status s)
{
	return (struct tarn_status){(enum tarn_code)s.code};
}

struct tarn_status tarn_memory_start(const struct tarn_memory_config *config)
{
	struct mem_config inside = MEM_CONFIG_DEFAULT;

	if (config) {
		inside.limit_bytes = config->limit_bytes;
		inside.backing[MEM_PRIVATE] = (enum mem_backing)config->private_backing;
		inside.backing[MEM_SHAREABLE] = (enum mem_backing)config->shareable_backing;
	}
	return outside(mem_start(&inside));
}

uint64_t tarn_memory_stop(void)
{
	return mem_stop();
}

struct tarn_status tarn_memory_thread_attach(void)
{
	struct self *s = self();

	return s->mem ? outside(OK) : outside(mem_cache_attach(s));
}

void tarn_memory_thread_detach(void)
{
	struct self *s = self();

	/* cores and guests keep theirs: it was not given by tarn_memory_thread_attach() */
	if (!s->core && s->slot == SELF_SLOT_SHARED)
		mem_cache_detach(s);
}

void *tarn_memory_alloc(size_t bytes, struct tarn_memory_tag *tag)
{
	return mem_alloc(bytes, tag_inside(tag));
}

void *tarn_memory_alloc_zero(size_t bytes, struct tarn_memory_tag *tag)
{
	return mem_alloc_zero(bytes, tag_inside(tag));
}

void *tarn_memory_alloc_aligned(size_t bytes, size_t align, struct tarn_memory_tag *tag)
{
	return mem_alloc_aligned(bytes, align, tag_inside(tag));
}

void *tarn_memory_realloc(void *p, size_t bytes, struct tarn_memory_tag *tag)
{
	return mem_realloc(p, bytes, tag_inside(tag));
}

void *tarn_memory_buffer(enum tarn_memory_kind kind, size_t bytes, size_t align,
			 struct tarn_memory_tag *tag)
{
	if (kind != TARN_MEMORY_PRIVATE && kind != TARN_MEMORY_SHAREABLE) {
		status_ignore(fail(STATUS_INVALID, "memory of kind %d: there is none", (int)kind));
		return NULL;
	}
	return mem_buffer_alloc((enum mem_kind)kind, bytes, align, tag_inside(tag));
}

void tarn_memory_free(void *p)
{
	mem_free(p);
}

size_t tarn_memory_size(const void *p)
{
	return mem_size(p);
}

struct tarn_status tarn_memory_region_of(const void *p, struct tarn_memory_region *ret)
{
	struct mem_region region;
	struct status status = mem_region_of(p, &region);

	if (status_ok(status))
		*ret = (struct tarn_memory_region){region.fd, region.offset, region.bytes};
	return outside(status);
}

const char *tarn_memory_backing_text(enum tarn_memory_kind kind)
{
	return mem_backing_text(
		mem_backing(kind == TARN_MEMORY_SHAREABLE ? MEM_SHAREABLE : MEM_PRIVATE));
}

void tarn_memory_stats(struct tarn_memory_stats *ret)
{
	struct mem_stats stats;

	mem_stats(&stats);
	*ret = (struct tarn_memory_stats){
		.limit_bytes = stats.limit_bytes,
		.resident_bytes = stats.resident_bytes,
		.used_bytes = stats.used_bytes,
		.cached_bytes = stats.cached_bytes,
	};
}

void tarn_memory_dump(FILE *to)
{
	mem_dump(to);
}
