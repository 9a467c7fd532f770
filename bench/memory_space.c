/*
 * Space: what rounding up wastes, and what a process keeps that it does not use.
 */
#include "base/diag.h"
#include "base/os.h"
#include "bench/child.h"
#include "bench/memory_int.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

/* ---- rounding up ----------------------------------------------------------------------------- */

#define WASTE_SIZES 20000

/* The bytes that were handed out and not asked for, in percent of those that were asked for. */
static struct status waste(struct bench_round *round, struct memory_allocator a)
{
	uint64_t asked = 0;
	uint64_t usable = 0;
	struct random r;

	/* the same sizes for all sides of a round */
	random_init(&r, round->number);
	for (uint32_t i = 0; i < WASTE_SIZES; i++) {
		size_t bytes = memory_size_drawn(&r);
		void *object = a.alloc(bytes);

		if (!object)
			return fail(STATUS_NO_MEMORY, "memory: no %zu bytes to be had", bytes);
		asked += bytes;
		usable += a.usable(object);
		a.release(object);
	}
	bench_record(round, BENCH_PERCENT, (double)(usable - asked) * 100 / (double)asked);
	return OK;
}

struct status memory_waste_ours(struct bench_round *round)
{
	return waste(round, MEMORY_OURS);
}

struct status memory_waste_peer(struct bench_round *round)
{
	struct memory_allocator peer;

	TRY(memory_peer(&peer));
	return waste(round, peer);
}

/* ---- what stays resident --------------------------------------------------------------------- */

#define PAGE_BYTES   4096
#define OBJECTS      16384 /* at the peak: 130 MB */
#define EXCHANGES    20    /* of each object, on average, before half of them go */
#define REST_NS      (3 * NS_PER_S)
#define REST_STEP_NS (10 * NS_PER_MS)
#define REST_CHANGES 4 /* objects that are exchanged in each step of the rest */

/* A process that holds objects of random sizes. */
struct holder {
	struct memory_allocator a;
	struct random random;
	char *object[OBJECTS];
	uint32_t bytes[OBJECTS];
	uint64_t live_bytes; /* as asked for */
};

static struct status hold(struct holder *h, uint32_t i)
{
	size_t bytes = memory_size_drawn(&h->random);
	char *object = h->a.alloc(bytes);

	if (!object)
		return fail(STATUS_NO_MEMORY, "memory: no %zu bytes to be had", bytes);
	/* whoever asks for memory uses it: all of its pages */
	for (size_t at = 0; at < bytes; at += PAGE_BYTES)
		((volatile char *)object)[at] = 1;
	((volatile char *)object)[bytes - 1] = 1;
	h->object[i] = object;
	h->bytes[i] = (uint32_t)bytes;
	h->live_bytes += bytes;
	return OK;
}

static void drop(struct holder *h, uint32_t i)
{
	h->live_bytes -= h->bytes[i];
	h->a.release(h->object[i]);
	h->object[i] = NULL;
}

/* Exchanges objects drawn from the first `count` for others. */
static struct status exchange(struct holder *h, uint32_t count, uint64_t times)
{
	for (uint64_t n = 0; n < times; n++) {
		uint32_t i = (uint32_t)random_below(&h->random, count);

		drop(h, i);
		TRY(hold(h, i));
	}
	return OK;
}

/* Fills, mixes, and drops half of the objects: which, is as random as their sizes and places. */
static struct status use_memory(struct holder *h)
{
	for (uint32_t i = 0; i < OBJECTS; i++)
		TRY(hold(h, i));
	TRY(exchange(h, OBJECTS, (uint64_t)OBJECTS * EXCHANGES));
	for (uint32_t i = OBJECTS / 2; i < OBJECTS; i++)
		drop(h, i);
	return OK;
}

/*
 * The time in which allocators give memory back, some by a thread of their own, some when they are
 * called: so the process goes on with a little work.
 */
static struct status rest(struct holder *h, uint64_t ns)
{
	uint64_t until = clock_ns() + ns;

	while (clock_ns() < until) {
		os_sleep_ns(REST_STEP_NS);
		TRY(exchange(h, OBJECTS / 2, REST_CHANGES));
	}
	return OK;
}

/* The resident bytes of this process, exactly, those of reserved huge pages too. */
static struct status resident_bytes(uint64_t *ret_bytes)
{
	static const char *const lines[] = {"\nRss:", "\nPrivate_Hugetlb:", "\nShared_Hugetlb:"};
	char text[4096];
	size_t bytes;

	TRY(os_file_read("/proc/self/smaps_rollup", text, sizeof(text), &bytes));
	*ret_bytes = 0;
	for (uint32_t i = 0; i < ARRAY_SIZE(lines); i++) {
		const char *line = strstr(text, lines[i]);

		if (!line)
			return fail(STATUS_UNSUPPORTED, "/proc/self/smaps_rollup: no line %s",
				    lines[i] + 1);
		*ret_bytes += strtoull(line + strlen(lines[i]), NULL, 10) * 1024;
	}
	return OK;
}

struct residence {
	bool peer;
	uint64_t seed;
	uint64_t rest_ns;
};

static struct status measure(const struct residence *what, struct memory_allocator a,
			     double values[BENCH_CHILD_VALUES])
{
	static struct holder holder;
	uint64_t before;
	uint64_t after;

	memset(&holder, 1, sizeof(holder)); /* its own pages are there from the start */
	holder.a = a;
	holder.live_bytes = 0;
	random_init(&holder.random, what->seed);
	TRY(resident_bytes(&before));
	TRY(use_memory(&holder));
	TRY(resident_bytes(&after));
	values[1] = (double)(after - before);
	TRY(rest(&holder, what->rest_ns));
	TRY(resident_bytes(&after));
	values[0] = (double)(after - before) / (double)holder.live_bytes;
	return OK;
}

static struct status resident_child(const void *arg, double values[BENCH_CHILD_VALUES])
{
	const struct residence *what = arg;
	struct memory_allocator a = MEMORY_OURS;
	struct memory_guest guest;

	if (what->peer) {
		TRY(memory_peer(&a));
		return measure(what, a, values);
	}
	TRY(mem_start(NULL));
	TRY(memory_guest_enter(&guest));
	return measure(what, a, values); /* the process ends: nothing needs to be freed */
}

static struct status resident(struct bench_round *round, bool peer)
{
	struct residence what = {.peer = peer, .seed = round->number};
	double values[BENCH_CHILD_VALUES];
	struct bench_child child;

	what.rest_ns = (uint64_t)((double)REST_NS * round->settings->seconds / BENCH_SECONDS);
	TRY(bench_child_start(resident_child, &what, &child));
	TRY(bench_child_read(&child, values));
	bench_record(round, BENCH_RATIO, values[0]);
	return OK;
}

struct status memory_resident_ours(struct bench_round *round)
{
	return resident(round, false);
}

struct status memory_resident_peer(struct bench_round *round)
{
	return resident(round, true);
}
