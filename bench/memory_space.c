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
#define OBJECTS      32768          /* at the peak: 260 MB */
#define EXCHANGES    10             /* of each object, on average, before half of them go */
#define REST_NS      (3 * NS_PER_S) /* give-back takes two of its periods of a second */
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

/* Whose memory a child holds. */
struct residence {
	bool peer;
	uint64_t seed;
	uint64_t rest_ns;
};

/* What a child says: resident bytes over live ones. */
enum { AFTER_REST, AFTER_COLLECT };

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
	TRY(rest(&holder, what->rest_ns));
	TRY(resident_bytes(&after));
	values[AFTER_REST] = (double)(after - before) / (double)holder.live_bytes;
	if (a.collect)
		a.collect(true);
	TRY(resident_bytes(&after));
	values[AFTER_COLLECT] = (double)(after - before) / (double)holder.live_bytes;
	return OK;
}

static struct status peer_child(const struct residence *what, double values[BENCH_CHILD_VALUES])
{
	struct memory_allocator a;

	TRY(memory_peer(&a));
	/* what it kept of the measurements before belongs to no object of this one */
	a.collect(true);
	return measure(what, a, values);
}

/* Transparent huge pages, also where others are reserved: those are resident whether they are used
 * or not, and nobody wants them back. Pages of 4 KiB where the system has no others. */
static struct status start_memory(void)
{
	struct mem_config config = MEM_CONFIG_DEFAULT;
	struct status s;

	config.backing[MEM_PRIVATE] = MEM_BACKING_THP;
	s = mem_start(&config);
	if (status_is(s, STATUS_UNSUPPORTED)) {
		config.backing[MEM_PRIVATE] = MEM_BACKING_4K;
		s = mem_start(&config);
	}
	return s;
}

static struct status resident_child(const void *arg, double values[BENCH_CHILD_VALUES])
{
	const struct residence *what = arg;
	struct memory_guest guest;

	if (what->peer)
		return peer_child(what, values);
	TRY(start_memory());
	TRY(memory_guest_enter(&guest));
	return measure(what, MEMORY_OURS, values); /* the process ends: nothing is freed */
}

/*
 * All rounds of both sides at once, each in a process of its own: most of the time they rest, and
 * what is resident does not depend on who else runs.
 */
static struct {
	struct bench_child child;
	double values[BENCH_CHILD_VALUES];
} children[2][BENCH_ROUNDS];

void memory_resident_teardown(struct bench_round *round)
{
	(void)round;
	for (uint32_t i = 0; i < 2 * BENCH_ROUNDS; i++)
		bench_child_end(&children[i % 2][i / 2].child);
}

struct status memory_resident_setup(struct bench_round *round)
{
	struct residence what = {
		.rest_ns = (uint64_t)((double)REST_NS * round->settings->seconds / BENCH_SECONDS)};

	for (uint32_t i = 0; i < 2 * BENCH_ROUNDS; i++) {
		struct status s;

		what.peer = i % 2;
		what.seed = i / 2;
		s = bench_child_start(resident_child, &what, &children[i % 2][i / 2].child);
		if (!status_ok(s)) {
			memory_resident_teardown(round);
			return s;
		}
	}
	return OK;
}

static struct status resident(struct bench_round *round, bool peer)
{
	double *values = children[peer][round->number].values;

	TRY(bench_child_read(&children[peer][round->number].child, values));
	bench_record(round, BENCH_RATIO, values[AFTER_REST]);
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

/* After the side above, of the same child. */
struct status memory_resident_collected(struct bench_round *round)
{
	struct memory_allocator peer;

	TRY(memory_peer(&peer));
	bench_record(round, BENCH_RATIO, children[1][round->number].values[AFTER_COLLECT]);
	return OK;
}
