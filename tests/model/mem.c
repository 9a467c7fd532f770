/*
 * Memory against a plain reference: random operations by one thread, each object filled with a
 * pattern of its own, which must be whole when it is looked at. Objects must not overlap (two
 * patterns would be seen), must be aligned and long enough; from time to time the system refuses
 * requests, the limit is met, upkeep runs, and the structure's own check is asked.
 */
#include "model.h"

#include "base/os.h"
#include "mem/check.h"
#include "mem/mem.h"

#define OBJECTS    6000u
#define OPERATIONS 400000u
#define LIMIT      ((uint64_t)96 << 20)

struct object {
	unsigned char *p;
	size_t bytes;
	unsigned char pattern;
	bool shareable;
};

static struct object objects[OBJECTS];
static struct random r;
static struct mem_tag tag = MEM_TAG("model");
static uint64_t refused;

/* Sizes that are equally likely by their logarithm, 1 B to 4 MiB, small ones more often. */
static size_t random_size(void)
{
	uint64_t bits = random_below(&r, random_below(&r, 8) == 0 ? 23 : 15);

	return (size_t)(((uint64_t)1 << bits) + random_below(&r, (uint64_t)1 << bits)) - 1;
}

static void fill(struct object *o)
{
	o->pattern = (unsigned char)random_u64(&r);
	memset(o->p, o->pattern, o->bytes);
}

/* Looks at every byte of small objects, and at both ends and some of the middle of large ones. */
static void look(const struct object *o, size_t bytes)
{
	size_t step = bytes > 4096 ? bytes / 512 : 1;

	for (size_t i = 0; i < bytes; i += step)
		MODEL_CHECK(o->p[i] == o->pattern);
	MODEL_CHECK(bytes == 0 || o->p[bytes - 1] == o->pattern);
}

static void take(struct object *o)
{
	size_t align = (size_t)1 << random_below(&r, 14);
	size_t bytes = random_size();
	size_t least = 16;

	o->shareable = false;
	switch (random_below(&r, 8)) {
	case 0:
		o->p = mem_alloc_aligned(bytes, align, &tag);
		least = align;
		break;
	case 1:
		o->shareable = random_below(&r, 2) == 0;
		o->p = mem_buffer_alloc(o->shareable ? MEM_SHAREABLE : MEM_PRIVATE, bytes, align,
					&tag);
		least = align < 4096 ? 4096 : align;
		break;
	case 2:
		o->p = mem_alloc_zero(bytes, &tag);
		for (size_t i = 0; o->p && i < bytes; i += bytes / 64 + 1)
			MODEL_CHECK(o->p[i] == 0);
		break;
	default: o->p = mem_alloc(bytes, &tag);
	}
	if (!o->p) {
		MODEL_CHECK(diag_self()->code == STATUS_NO_MEMORY);
		refused++;
		return;
	}
	o->bytes = bytes;
	MODEL_CHECK((uintptr_t)o->p % least == 0);
	MODEL_CHECK(mem_size(o->p) >= bytes);
	fill(o);
}

static void give(struct object *o)
{
	look(o, o->bytes);
	mem_free(o->p);
	o->p = NULL;
}

static void resize(struct object *o)
{
	size_t bytes = random_size();
	unsigned char *p = mem_realloc(o->p, bytes, &tag);

	if (!p) {
		refused++;
		look(o, o->bytes);
		return;
	}
	o->p = p;
	look(o, bytes < o->bytes ? bytes : o->bytes);
	o->bytes = bytes;
	fill(o);
}

static void check_region(const struct object *o)
{
	struct mem_region region;

	if (!o->shareable)
		return;
	MODEL_CHECK(status_ok(mem_region_of(o->p, &region)));
	MODEL_CHECK(region.bytes >= o->bytes);
}

/* Upkeep, the system's refusals, and the check; each seldom. */
static void between(uint32_t i)
{
	if (random_below(&r, 200) == 0)
		mem_maintain(random_below(&r, 2) == 0);
	if (random_below(&r, 500) == 0)
		os_fault_set(OS_CALL_BIT(OS_CALL_COMMIT) | OS_CALL_BIT(OS_CALL_ADVISE) |
				     OS_CALL_BIT(OS_CALL_RESIZE),
			     random_below(&r, 4), random_below(&r, 2) == 0);
	if (random_below(&r, 100) == 0)
		os_fault_clear();
	if (i % 5000 == 0) {
		const char *wrong = mem_check();

		if (wrong)
			printf("%s\n", wrong);
		MODEL_CHECK(!wrong);
	}
}

static void run(void)
{
	for (uint32_t i = 0; i < OPERATIONS; i++) {
		/* waves: now more is taken than given, now the other way round */
		uint64_t many = i / 40000 % 2 ? OBJECTS / 8 : OBJECTS;
		struct object *o = &objects[random_below(&r, OBJECTS)];
		bool shrink = (uint64_t)(o - objects) >= many;

		between(i);
		if (o->p && !shrink && random_below(&r, 6) == 0)
			resize(o);
		else if (o->p)
			give(o);
		else if (!shrink)
			take(o);
		if (o->p)
			check_region(o);
	}
}

int main(int argc, char **argv)
{
	static struct self me;
	static struct self_thread thread = {.name = "model"};
	struct mem_config config = {
		.limit_bytes = LIMIT,
		.reserve_bytes = LIMIT * 8,
		.ahead_bytes = 8 << 20,
	};

	model_begin(argc, argv, &r);
	MODEL_CHECK(status_ok(mem_start(&config)));
	self_init(&me, &thread);
	self_set(&me);
	MODEL_CHECK(status_ok(mem_cache_attach(&me)));
	run();
	os_fault_clear();
	for (uint32_t i = 0; i < OBJECTS; i++)
		if (objects[i].p)
			give(&objects[i]);
	while (mem_maintain(true))
		;
	MODEL_CHECK(!mem_check());

	struct mem_stats stats;

	mem_stats(&stats);
	MODEL_CHECK(stats.resident_bytes <= (uint64_t)24 << 20);
	mem_cache_detach(&me);
	self_set(NULL);
	self_fini(&me);
	MODEL_CHECK(mem_stop() == 0);
	printf("%llu requests were refused, as they should be\n", (unsigned long long)refused);
	return 0;
}
