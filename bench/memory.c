#include "bench/memory.h"

#include "base/atomic.h"
#include "base/diag.h"
#include "bench/limits_int.h"
#include "bench/memory_int.h"

#include <string.h>

#define OBJECT_BYTES 64

/* ---- one core -------------------------------------------------------------------------------- */

#define LIFO_DEPTH  100  /* objects that live at once */
#define LIFO_BATCH  10   /* times up and down between two looks at the clock */
#define MIX_LIVE    8192 /* objects that live at once: half a megabyte */
#define MIX_BATCH   1000
#define MIX_PLACES  (1 << 16)
#define BATCHES_MAX 65536

/* Means of batches in nanoseconds per pair. */
struct batches {
	size_t count;
	double ns[BATCHES_MAX];
};

static struct batches lifo_batches;
static struct batches mix_batches;

/* Whether there is room and time for another batch, after one that began at `start`. */
static bool batch_end(struct batches *b, uint64_t start, uint64_t pairs, uint64_t until)
{
	/* cycles are multiplied first: a pair lasts a few nanoseconds */
	b->ns[b->count++] = (double)clock_cycles_to_ns((clock_cycles() - start) * 1000) / 1000 /
			    (double)pairs;
	return b->count < BATCHES_MAX && clock_ns() < until;
}

/* What every user does first with an object. */
static ALWAYS_INLINE void use(void *object)
{
	*(volatile uint64_t *)object = 1;
}

/* Allocates LIFO_DEPTH objects and frees the latest first. */
static ALWAYS_INLINE void lifo_once(struct memory_allocator a, size_t bytes)
{
	void *object[LIFO_DEPTH];

	for (uint32_t i = 0; i < LIFO_DEPTH; i++) {
		object[i] = a.alloc(bytes);
		use(object[i]);
	}
	for (uint32_t i = LIFO_DEPTH; i-- > 0;)
		a.release(object[i]);
}

static ALWAYS_INLINE void lifo(struct memory_allocator a, size_t bytes, uint64_t until)
{
	uint64_t start;

	lifo_batches.count = 0;
	do {
		start = clock_cycles();
		for (uint32_t i = 0; i < LIFO_BATCH; i++)
			lifo_once(a, bytes);
	} while (batch_end(&lifo_batches, start, LIFO_BATCH * LIFO_DEPTH, until));
}

/* Which object goes next, drawn before the clock starts. */
static uint16_t mix_place[MIX_PLACES];
static void *mix_object[MIX_LIVE];

/* Frees an object drawn at random and allocates another one in its place. */
static ALWAYS_INLINE void mix(struct memory_allocator a, size_t bytes, uint64_t until)
{
	uint64_t start;
	uint16_t at = 0;

	mix_batches.count = 0;
	for (uint32_t i = 0; i < MIX_LIVE; i++) {
		mix_object[i] = a.alloc(bytes);
		use(mix_object[i]);
	}
	do {
		start = clock_cycles();
		for (uint32_t i = 0; i < MIX_BATCH; i++) {
			void **object = &mix_object[mix_place[at++]];

			a.release(*object);
			*object = a.alloc(bytes);
			use(*object);
		}
	} while (batch_end(&mix_batches, start, MIX_BATCH, until));
	for (uint32_t i = 0; i < MIX_LIVE; i++)
		a.release(mix_object[i]);
}

/* Half of the round each; the headline is the mean of both. */
static ALWAYS_INLINE struct status alloc_local(struct bench_round *round, struct memory_allocator a)
{
	uint64_t start = clock_ns();
	size_t bytes = OBJECT_BYTES;
	double of_lifo;
	double of_mix;

	/* not a constant for the compiler: a library's user often has none either */
	__asm__ volatile("" : "+r"(bytes));
	bench_pin(round->settings, 0);
	lifo(a, bytes, start + round->budget_ns / 2);
	mix(a, bytes, start + round->budget_ns);
	of_lifo = bench_quantile(lifo_batches.ns, lifo_batches.count, 0.5);
	of_mix = bench_quantile(mix_batches.ns, mix_batches.count, 0.5);
	bench_record(round, BENCH_NS, (of_lifo + of_mix) / 2);
	bench_record(round, BENCH_LIFO_NS, of_lifo);
	bench_record(round, BENCH_MIX_NS, of_mix);
	return OK;
}

static struct status alloc_local_ours(struct bench_round *round)
{
	return alloc_local(round, MEMORY_OURS);
}

static struct status alloc_local_peer(struct bench_round *round)
{
	struct memory_allocator peer;

	TRY(memory_peer(&peer));
	return alloc_local(round, peer);
}

/* ---- two cores ------------------------------------------------------------------------------- */

#define RING_SLOTS 4096
#define RING_SLACK 64 /* so many objects are passed on before the other side hears of them */
#define TURN       1000

/*
 * A ring between one producer and one consumer. Each tells the other where it stands only now and
 * then, and asks only when it thinks that it must wait, so that the allocators are measured and not
 * the ring.
 */
struct ring {
	CACHE_ALIGNED struct atomic_u64 filled; /* objects that the producer has passed on */
	CACHE_ALIGNED struct atomic_u64 emptied;
	CACHE_ALIGNED struct atomic_u32 ready; /* the consumer runs */
	struct atomic_u32 stop;
	CACHE_ALIGNED void *slot[RING_SLOTS];
};

static struct ring ring;

/* Waits until less than a whole ring lies between `filled` and what was emptied. */
static ALWAYS_INLINE uint64_t ring_wait_room(uint64_t filled)
{
	uint64_t emptied;

	while ((emptied = atomic_u64_load(&ring.emptied, ORDER_ACQUIRE)) + RING_SLOTS == filled)
		cpu_relax();
	return emptied;
}

/* Allocates objects and passes them on until the time is over; returns how many. */
static ALWAYS_INLINE uint64_t produce(struct memory_allocator a, size_t bytes, uint64_t until)
{
	uint64_t filled = 0;
	uint64_t emptied = 0;

	do {
		for (uint32_t i = 0; i < TURN; i++) {
			void *object = a.alloc(bytes);

			use(object);
			if (filled == emptied + RING_SLOTS) {
				atomic_u64_store(&ring.filled, filled, ORDER_RELEASE);
				emptied = ring_wait_room(filled);
			}
			ring.slot[filled++ % RING_SLOTS] = object;
			if (filled % RING_SLACK == 0)
				atomic_u64_store(&ring.filled, filled, ORDER_RELEASE);
		}
	} while (clock_ns() < until);
	atomic_u64_store(&ring.filled, filled, ORDER_RELEASE);
	return filled;
}

/* Frees what comes, until the producer has stopped and nothing is left. */
static ALWAYS_INLINE void consume(struct memory_allocator a)
{
	uint64_t emptied = 0;
	uint64_t sum = 0;

	atomic_u32_store(&ring.ready, 1, ORDER_RELEASE);
	for (;;) {
		/* before `filled`: what came before the stop is then seen */
		bool stop = atomic_u32_load(&ring.stop, ORDER_ACQUIRE);
		uint64_t filled = atomic_u64_load(&ring.filled, ORDER_ACQUIRE);

		if (filled == emptied && stop)
			break;
		if (filled == emptied)
			cpu_relax();
		while (emptied < filled) {
			void *object = ring.slot[emptied++ % RING_SLOTS];

			/* who gets an object reads it */
			sum += *(volatile uint64_t *)object;
			a.release(object);
			if (emptied % RING_SLACK == 0)
				atomic_u64_store(&ring.emptied, emptied, ORDER_RELEASE);
		}
		atomic_u64_store(&ring.emptied, emptied, ORDER_RELEASE);
	}
	bench_keep(&sum);
}

struct consumer {
	struct memory_allocator allocator;
	struct status status;
};

static void consume_ours(void *arg)
{
	struct memory_guest guest;
	struct consumer *c = arg;

	/* without a cache it works too, if slower; but the round has failed */
	c->status = memory_guest_enter(&guest);
	consume(MEMORY_OURS);
	if (status_ok(c->status))
		memory_guest_leave(&guest);
}

static void consume_peer(void *arg)
{
	struct consumer *c = arg;

	consume(c->allocator);
}

/* The producer is the caller, the consumer a thread that lasts as long as the round. */
static ALWAYS_INLINE struct status cross_core(struct bench_round *round, struct memory_allocator a,
					      void (*consumer_main)(void *))
{
	struct consumer consumer = {a, OK};
	struct limits_thread thread = {
		.settings = round->settings, .index = 1, .main = consumer_main, .arg = &consumer};
	size_t bytes = OBJECT_BYTES;
	uint64_t start;
	uint64_t objects;

	__asm__ volatile("" : "+r"(bytes)); /* as in alloc_local() */
	if (round->settings->cores < 2)
		return fail(STATUS_UNSUPPORTED, "needs 2 processors, may use 1");
	memset(&ring, 0, sizeof(ring));
	bench_pin(round->settings, 0);
	TRY(limits_thread_start(&thread));
	while (atomic_u32_load(&ring.ready, ORDER_ACQUIRE) == 0)
		cpu_relax();
	start = clock_ns();
	objects = produce(a, bytes, start + round->budget_ns);
	atomic_u32_store(&ring.stop, 1, ORDER_RELEASE);
	limits_thread_join(&thread);
	bench_record(round, BENCH_OPS_PER_S,
		     (double)objects * (double)NS_PER_S / (double)(clock_ns() - start));
	return consumer.status;
}

static struct status cross_core_ours(struct bench_round *round)
{
	return cross_core(round, MEMORY_OURS, consume_ours);
}

static struct status cross_core_peer(struct bench_round *round)
{
	struct memory_allocator peer;

	TRY(memory_peer(&peer));
	return cross_core(round, peer, consume_peer);
}

/* ---- the table ------------------------------------------------------------------------------- */

static struct memory_guest guest;

static struct status setup(struct bench_round *round)
{
	struct random r;
	struct status s;

	(void)round;
	random_init(&r, 1);
	for (uint32_t i = 0; i < MIX_PLACES; i++)
		mix_place[i] = (uint16_t)random_below(&r, MIX_LIVE);
	TRY(mem_start(NULL));
	s = memory_guest_enter(&guest);
	if (!status_ok(s))
		mem_stop();
	return s;
}

static void teardown(struct bench_round *round)
{
	(void)round;
	memory_guest_leave(&guest);
	mem_stop();
}

static const struct bench_case cases[] = {
	{.name = "alloc_local_64",
	 .about = "malloc and free of 64 bytes, LIFO and random mix, a pair",
	 .headline = BENCH_NS,
	 .seconds = 2,
	 .setup = setup,
	 .teardown = teardown,
	 .sides = {{BENCH_OURS, NULL, alloc_local_ours},
		   {BENCH_PEER, "mimalloc", alloc_local_peer}}},
	{.name = "alloc_cross_core",
	 .about = "one core allocates 64 bytes, another frees them",
	 .headline = BENCH_OPS_PER_S,
	 .seconds = 2,
	 .setup = setup,
	 .teardown = teardown,
	 .sides = {{BENCH_OURS, NULL, cross_core_ours}, {BENCH_PEER, "mimalloc", cross_core_peer}}},
	{.name = "internal_waste",
	 .about = "rounding up, log-uniform 16 B to 64 KiB, of what was asked",
	 .headline = BENCH_PERCENT,
	 .setup = setup,
	 .teardown = teardown,
	 .sides = {{BENCH_OURS, NULL, memory_waste_ours},
		   {BENCH_PEER, "mimalloc", memory_waste_peer}},
	 .seconds = 0.5},
	{.name = "resident_over_live",
	 .about = "after a random mix of these sizes shrinks to half",
	 .headline = BENCH_RATIO,
	 .setup = memory_resident_setup,
	 .teardown = memory_resident_teardown,
	 .sides = {{BENCH_OURS, NULL, memory_resident_ours},
		   {BENCH_PEER, "mimalloc", memory_resident_peer},
		   {BENCH_PEER, "mimalloc, collected", memory_resident_collected}},
	 .rounds = BENCH_ROUNDS,
	 .no_warm_up = true},
	{.name = NULL},
};

const struct bench bench_memory = {"memory", "allocation: time and space", cases};
