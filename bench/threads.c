#include "bench/threads.h"

#include "base/diag.h"
#include "base/os.h"
#include "bench/limits.h"
#include "bench/threads_int.h"

#include <string.h>

#define BLOCKED_MANY  10000
#define BATCH         1000
#define THREADS_CORES 2

/* ---- taking times ---------------------------------------------------------------------------- */

/* Kept from round to round: touching the memory would take longer than measuring. */
static struct threads_samples samples[2];

void threads_gap(uint64_t ns)
{
	/* the high bits of a product with 2^64 over the golden ratio are as good as drawn */
	uint64_t drawn = clock_cycles() * 0x9e3779b97f4a7c15ull >> 32;
	uint64_t until = clock_cycles() + clock_ns_to_cycles(ns + drawn % ns);

	while (clock_cycles() < until)
		cpu_relax();
}

bool threads_sample(struct threads_trip *trip, uint64_t from_cycles, uint64_t to_cycles)
{
	struct threads_samples *s = trip->samples;

	/* a counter that is behind makes a short time negative; in the mean of both ways it cancels
	 * out, so it is kept as it is */
	s->ns[s->count++] = to_cycles >= from_cycles
				    ? (double)clock_cycles_to_ns(to_cycles - from_cycles)
				    : -(double)clock_cycles_to_ns(from_cycles - to_cycles);
	return s->count < THREADS_SAMPLES_MAX && clock_ns() < trip->until;
}

struct status threads_both_ways(struct bench_round *round, void (*measure)(void *trip),
				bool on_core)
{
	double median = 0;
	double late = 0;

	for (uint32_t way = 0; way < 2; way++) {
		struct threads_trip trip = {.round = round,
					    /* the peers know nothing of it */
					    .rt = on_core ? round->state : NULL,
					    .from = way,
					    .to = 1 - way,
					    .samples = &samples[way],
					    .until = clock_ns() + round->budget_ns / 2,
					    .status = OK};

		trip.samples->count = 0;
		if (on_core) {
			TRY(threads_run_on(trip.rt, trip.from, measure, &trip));
		} else {
			bench_pin(round->settings, trip.from);
			measure(&trip);
		}
		TRY(trip.status);
		if (trip.samples->count == 0)
			return OK; /* nothing could be measured: the value is null */
		median += bench_quantile(trip.samples->ns, trip.samples->count, 0.5) / 2;
		late += bench_quantile(trip.samples->ns, trip.samples->count, 0.99) / 2;
	}
	bench_record(round, BENCH_NS, median);
	bench_record(round, BENCH_P99_NS, late);
	return OK;
}

bool threads_more(const struct threads_batches *b)
{
	return b->samples->count == 0 ||
	       (b->samples->count < THREADS_SAMPLES_MAX && clock_ns() < b->until);
}

void threads_batch(struct threads_batches *b, uint64_t from_cycles, uint64_t operations)
{
	/* cycles are multiplied first: an operation lasts a few nanoseconds */
	b->samples->ns[b->samples->count++] =
		(double)clock_cycles_to_ns((clock_cycles() - from_cycles) * 1000) / 1000 /
		(double)operations;
}

struct status threads_in_batches(struct bench_round *round, void (*measure)(void *batches),
				 bool on_core)
{
	struct threads_batches b = {.round = round,
				    .rt = round->state,
				    .samples = &samples[0],
				    .until = clock_ns() + round->budget_ns,
				    .status = OK};

	b.samples->count = 0;
	if (on_core) {
		TRY(threads_run_on(b.rt, 0, measure, &b));
	} else {
		bench_pin(round->settings, 0);
		measure(&b);
	}
	TRY(b.status);
	bench_record(round, BENCH_NS, bench_quantile(b.samples->ns, b.samples->count, 0.5));
	bench_record(round, BENCH_P99_NS, bench_quantile(b.samples->ns, b.samples->count, 0.99));
	return OK;
}

/* ---- the runtime ----------------------------------------------------------------------------- */

struct run_on {
	struct rt *rt;
	uint32_t core;
	void (*fn)(void *);
	void *arg;
	struct status status;
};

static void run_on_main(void *arg)
{
	struct run_on *run = arg;
	struct rt_attr attr = {.name = "bench", .core = run->core};
	struct rt_id id;

	run->status = rt_spawn(run->rt, &attr, run->fn, run->arg, &id);
	if (status_ok(run->status))
		run->status = rt_join(id);
}

struct status threads_run_on(struct rt *rt, uint32_t core, void (*fn)(void *), void *arg)
{
	struct run_on run = {.rt = rt, .core = core, .fn = fn, .arg = arg};

	TRY(rt_call(rt, run_on_main, &run));
	return run.status;
}

/*
 * Pinned cores that spin for a while and then sleep: while a peer has its turn they are asleep and
 * disturb it as little as any process that has nothing to do. It is started before the first round
 * and stopped after the last one.
 */
static struct status runtime_start(struct bench_round *round, uint32_t cores)
{
	struct rt_config config = {
		.cores = cores, .cpus = round->settings->cpus, .mode = RT_DEDICATED};
	struct rt *rt;

	if (round->settings->cores < cores)
		return fail(STATUS_UNSUPPORTED, "needs %u processors, may use %u", cores,
			    round->settings->cores);
	TRY(rt_start(&config, &rt));
	round->state = rt;
	return OK;
}

static struct status setup_one(struct bench_round *round)
{
	return runtime_start(round, 1);
}

static struct status setup_two(struct bench_round *round)
{
	return runtime_start(round, THREADS_CORES);
}

static void teardown(struct bench_round *round)
{
	rt_stop(round->state);
}

/* One of many who block until they are cancelled at the end. */
static void blocked_main(void *blocked)
{
	struct rt_wait w = rt_wait_begin("the end of the case");

	atomic_u32_add(blocked, 1, ORDER_RELAXED);
	status_ignore(rt_wait(w, CLOCK_NEVER)); /* cancelled: that is what it waits for */
}

static struct status setup_blocked(struct bench_round *round)
{
	static struct atomic_u32 blocked;

	TRY(setup_two(round));
	atomic_u32_store(&blocked, 0, ORDER_RELAXED);
	for (uint32_t i = 0; i < BLOCKED_MANY; i++) {
		struct rt_attr attr = {
			.name = "blocked", .core = i % THREADS_CORES, .detached = true};
		struct status s = rt_spawn(round->state, &attr, blocked_main, &blocked, NULL);

		if (!status_ok(s)) {
			teardown(round);
			return s;
		}
	}
	while (atomic_u32_load(&blocked, ORDER_RELAXED) < BLOCKED_MANY)
		os_sleep_ns(NS_PER_MS);
	return OK;
}

/* ---- creating on another core ---------------------------------------------------------------- */

/* What the new thread says about its first instruction. */
static struct {
	CACHE_ALIGNED struct atomic_u64 at; /* cycles; 0: not yet */
	struct atomic_u32 core;
} first;

static void first_instruction(void *arg)
{
	uint64_t now = clock_cycles();

	(void)arg;
	atomic_u32_store(&first.core, rt_core_number(), ORDER_RELAXED);
	atomic_u64_store(&first.at, now, ORDER_RELEASE);
}

/* One creation; true if it is to be counted. */
static bool create_once(struct threads_trip *trip, const struct rt_attr *attr, uint64_t *ret_called,
			uint64_t *ret_first)
{
	uint64_t at;

	atomic_u64_store(&first.at, 0, ORDER_RELAXED);
	threads_gap(THREADS_GAP_NS);
	*ret_called = clock_cycles();
	trip->status = rt_spawn(trip->rt, attr, first_instruction, NULL, NULL);
	if (!status_ok(trip->status))
		return false;
	while ((at = atomic_u64_load(&first.at, ORDER_ACQUIRE)) == 0) {
		/* a thread that the policy put here needs the core */
		if (attr->core == RT_CORE_ANY)
			rt_yield();
		else
			cpu_relax();
	}
	*ret_first = at;
	return atomic_u32_load(&first.core, ORDER_RELAXED) == trip->to;
}

static void create_remote(void *arg)
{
	struct threads_trip *trip = arg;
	bool chosen = trip->round->which->param[0];
	struct rt_attr attr = {.name = "new", .core = chosen ? RT_CORE_ANY : trip->to};
	uint64_t called;
	uint64_t at;

	attr.detached = true;
	do {
		bool counts = create_once(trip, &attr, &called, &at);

		if (!status_ok(trip->status) || (counts && !threads_sample(trip, called, at)))
			return;
	} while (clock_ns() < trip->until);
}

/* param[0]: whether the policy chooses the core; what it puts on the creator's does not count */
static struct status create_remote_ours(struct bench_round *round)
{
	return threads_both_ways(round, create_remote, true);
}

/* ---- on one core ----------------------------------------------------------------------------- */

static uint64_t nothings; /* only threads of core 0 touch it, one after the other */

static void nothing(void *arg)
{
	(void)arg;
	nothings++;
}

static bool ran_all(struct threads_batches *b, uint64_t before)
{
	if (nothings - before == BATCH)
		return true;
	b->status = fail(STATUS_BUG, "of %u new threads %llu ran when the creator went on", BATCH,
			 (unsigned long long)(nothings - before));
	return false;
}

/* Creates a detached thread and yields: it runs, ends, and the creator goes on. */
static void create_local(void *arg)
{
	struct threads_batches *b = arg;
	struct rt_attr attr = {.name = "new", .core = 0, .detached = true};

	while (threads_more(b)) {
		uint64_t before = nothings;
		uint64_t start = clock_cycles();

		for (uint32_t i = 0; i < BATCH; i++) {
			b->status = rt_spawn(b->rt, &attr, nothing, NULL, NULL);
			if (!status_ok(b->status))
				return;
			rt_yield();
		}
		threads_batch(b, start, BATCH);
		if (!ran_all(b, before))
			return;
	}
}

static struct status create_local_ours(struct bench_round *round)
{
	return threads_in_batches(round, create_local, true);
}

static void create_join_local(void *arg)
{
	struct threads_batches *b = arg;
	struct rt_attr attr = {.name = "new", .core = 0};

	while (threads_more(b)) {
		uint64_t before = nothings;
		uint64_t start = clock_cycles();

		for (uint32_t i = 0; i < BATCH; i++) {
			struct rt_id id;

			b->status = rt_spawn(b->rt, &attr, nothing, NULL, &id);
			if (status_ok(b->status))
				b->status = rt_join(id);
			if (!status_ok(b->status))
				return;
		}
		threads_batch(b, start, BATCH);
		if (!ran_all(b, before))
			return;
	}
}

static struct status create_join_local_ours(struct bench_round *round)
{
	return threads_in_batches(round, create_join_local, true);
}

/* The other thread of the core; both are of core 0, so plain words do. */
static struct {
	bool stop;
	uint64_t yields;
} other;

static void other_main(void *arg)
{
	(void)arg;
	while (!other.stop) {
		other.yields++;
		rt_yield();
	}
}

static void yield_batches(struct threads_batches *b)
{
	while (threads_more(b)) {
		uint64_t before = other.yields;
		uint64_t start = clock_cycles();

		for (uint32_t i = 0; i < BATCH; i++)
			rt_yield();
		/* each of our yields is a switch there and, by its yield, one back */
		threads_batch(b, start, BATCH + (other.yields - before));
		bench_keep(&other);
	}
}

static void yield_to_other(void *arg)
{
	struct threads_batches *b = arg;
	struct rt_attr attr = {.name = "other", .core = 0};
	struct rt_id id;

	other.stop = false;
	b->status = rt_spawn(b->rt, &attr, other_main, NULL, &id);
	if (!status_ok(b->status))
		return;
	rt_yield();
	yield_batches(b);
	other.stop = true;
	b->status = rt_join(id);
}

static struct status yield_ours(struct bench_round *round)
{
	return threads_in_batches(round, yield_to_other, true);
}

static void yield_alone(void *arg)
{
	struct threads_batches *b = arg;

	while (threads_more(b)) {
		uint64_t start = clock_cycles();

		for (uint32_t i = 0; i < BATCH; i++)
			rt_yield();
		threads_batch(b, start, BATCH);
	}
}

static struct status yield_null_ours(struct bench_round *round)
{
	return threads_in_batches(round, yield_alone, true);
}

/* ---- the table ------------------------------------------------------------------------------- */

#define HANDOVER                                                                                   \
	{                                                                                          \
		BENCH_LIMIT, "cache-line hand-over", limits_handover                               \
	}

static const struct bench_case cases[] = {
	{.name = "create_remote",
	 .about = "creator's call to first instruction on another core",
	 .headline = BENCH_NS,
	 .seconds = 2,
	 .setup = setup_two,
	 .teardown = teardown,
	 .sides = {{BENCH_OURS, NULL, create_remote_ours},
		   HANDOVER,
		   {BENCH_PEER, "pthread_create", threads_create_peer},
		   {BENCH_PEER, "pthread_create anywhere", threads_create_anywhere_peer}}},
	{.name = "create_remote_10k_blocked",
	 .about = "the same with 10,000 blocked threads",
	 .headline = BENCH_NS,
	 .seconds = 2,
	 .setup = setup_blocked,
	 .teardown = teardown,
	 /* the peer has no blocked threads beside it: that makes it no slower */
	 .sides = {{BENCH_OURS, NULL, create_remote_ours},
		   HANDOVER,
		   {BENCH_PEER, "pthread_create", threads_create_peer}}},
	{.name = "create_remote_balanced",
	 .about = "the same, on the less loaded of two random cores",
	 .headline = BENCH_NS,
	 .seconds = 2,
	 .setup = setup_two,
	 .teardown = teardown,
	 .sides = {{BENCH_OURS, NULL, create_remote_ours},
		   HANDOVER,
		   {BENCH_PEER, "pthread_create", threads_create_anywhere_peer}},
	 .param = {1}},
	{.name = "create_local",
	 .about = "create, run empty, return to the creator",
	 .headline = BENCH_NS,
	 .seconds = 1,
	 .setup = setup_one,
	 .teardown = teardown,
	 .sides = {{BENCH_OURS, NULL, create_local_ours},
		   {BENCH_PEER, "pthread create+join", threads_join_peer}}},
	{.name = "create_join_local",
	 .about = "the same with an id that the creator joins",
	 .headline = BENCH_NS,
	 .seconds = 1,
	 .setup = setup_one,
	 .teardown = teardown,
	 .sides = {{BENCH_OURS, NULL, create_join_local_ours},
		   {BENCH_PEER, "pthread create+join", threads_join_peer}}},
	{.name = "yield",
	 .about = "switch to another ready thread, one way",
	 .headline = BENCH_NS,
	 .seconds = 1,
	 .setup = setup_one,
	 .teardown = teardown,
	 .sides = {{BENCH_OURS, NULL, yield_ours},
		   {BENCH_PEER, "sched_yield", threads_yield_peer}}},
	{.name = "yield_null",
	 .about = "yield with nobody else ready",
	 .headline = BENCH_NS,
	 .seconds = 1,
	 .setup = setup_one,
	 .teardown = teardown,
	 .sides = {{BENCH_OURS, NULL, yield_null_ours},
		   {BENCH_PEER, "sched_yield", threads_yield_null_peer}}},
	{.name = "wake_remote",
	 .about = "wake to running on another, awake core",
	 .headline = BENCH_NS,
	 .seconds = 2,
	 .setup = setup_two,
	 .teardown = teardown,
	 .sides = {{BENCH_OURS, NULL, threads_wake_ours},
		   HANDOVER,
		   {BENCH_PEER, "pthread condition", threads_cond_peer}},
	 .param = {1}},
	{.name = "wake_remote_of_8",
	 .about = "the same, the longest blocked of 8 threads",
	 .headline = BENCH_NS,
	 .seconds = 2,
	 .setup = setup_two,
	 .teardown = teardown,
	 .sides = {{BENCH_OURS, NULL, threads_wake_ours},
		   HANDOVER,
		   {BENCH_PEER, "pthread condition", threads_cond_peer}},
	 .param = {8}},
	{.name = "cond_remote",
	 .about = "condition notify to running on another, awake core",
	 .headline = BENCH_NS,
	 .seconds = 2,
	 .setup = setup_two,
	 .teardown = teardown,
	 .sides = {{BENCH_OURS, NULL, threads_cond_ours},
		   HANDOVER,
		   {BENCH_PEER, "pthread condition", threads_cond_peer}}},
	{.name = "wake_parked",
	 .about = "wake to running on a sleeping core",
	 .headline = BENCH_NS,
	 .seconds = 5,
	 .setup = setup_two,
	 .teardown = teardown,
	 .sides = {{BENCH_OURS, NULL, threads_parked_ours},
		   {BENCH_PEER, "futex", threads_futex_peer}}},
	{.name = "idle_cpu",
	 .about = "a started, idle runtime over 5 s, of one core",
	 .headline = BENCH_PERCENT,
	 .setup = threads_idle_setup,
	 .teardown = threads_idle_teardown,
	 .sides = {{BENCH_OURS, NULL, threads_idle_ours}},
	 .rounds = BENCH_ROUNDS,
	 .no_warm_up = true},
	{.name = NULL},
};

const struct bench bench_threads = {"threads", "user threads and cores", cases};
