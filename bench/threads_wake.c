/*
 * Waking, and what the runtime costs while nobody is awake.
 */
#include "base/diag.h"
#include "base/os.h"
#include "bench/child.h"
#include "bench/threads_int.h"
#include "mem/mem.h"
#include "rt/sync.h"

#include <string.h>

#define SLEEPERS_MAX 8

/* ---- for all ways of waking ------------------------------------------------------------------ */

void threads_sleeper_waits(struct threads_sleeper *s)
{
	atomic_u32_store(&s->waits, 1, ORDER_RELEASE);
}

bool threads_sleeper_woken(struct threads_sleeper *s)
{
	uint64_t now = clock_cycles();

	atomic_u64_store(&s->woken_at, now, ORDER_RELEASE);
	return atomic_u32_load(&s->stop, ORDER_ACQUIRE) == 0;
}

/* How often a core that slept was woken by the calling core's threads. */
static uint64_t kicks(const struct threads_trip *trip)
{
	struct rt_stats stats;

	if (!trip->rt)
		return 0;
	rt_stats(trip->rt, &stats);
	return stats.kicks;
}

/* Returns when `s` blocks, or is so close to it that a wake-up cannot be lost. */
static void await_block(const struct threads_way *way, struct threads_sleeper *s)
{
	while (atomic_u32_load(&s->waits, ORDER_ACQUIRE) == 0)
		cpu_relax();
	atomic_u32_store(&s->waits, 0, ORDER_RELAXED);
	if (way->settle)
		way->settle(s);
}

/* One wake-up; false if it does not count. */
static bool wake_once(const struct threads_trip *trip, const struct threads_way *way,
		      struct threads_sleeper *s, uint64_t *ret_times)
{
	uint64_t before;

	await_block(way, s);
	before = kicks(trip);
	atomic_u64_store(&s->woken_at, 0, ORDER_RELAXED);
	threads_gap(way->gap_ns);
	ret_times[0] = clock_cycles();
	way->wake(s);
	while ((ret_times[1] = atomic_u64_load(&s->woken_at, ORDER_ACQUIRE)) == 0)
		cpu_relax();
	return !way->parked || !trip->rt || kicks(trip) > before;
}

void threads_wake(struct threads_trip *trip, const struct threads_way *way,
		  struct threads_sleeper *const *sleepers, uint32_t count)
{
	uint64_t times[2];
	uint32_t next = 0;
	bool more = true;

	while (more) {
		bool counts = wake_once(trip, way, sleepers[next++ % count], times);

		more = counts ? threads_sample(trip, times[0], times[1]) : clock_ns() < trip->until;
	}
	for (uint32_t i = 0; i < count; i++) {
		await_block(way, sleepers[i]);
		atomic_u32_store(&sleepers[i]->stop, 1, ORDER_RELEASE);
		way->wake(sleepers[i]);
	}
}

/* ---- user threads that wait ------------------------------------------------------------------ */

struct ticket_sleeper {
	struct threads_sleeper base;
	struct rt_wait ticket;                /* of the present wait; before `waits` is set */
	CACHE_ALIGNED struct rt_wait in_hand; /* the waker's copy */
	struct rt_id id;
};

static void ticket_sleeper_main(void *arg)
{
	struct ticket_sleeper *s = arg;

	do {
		s->ticket = rt_wait_begin("being woken");
		threads_sleeper_waits(&s->base);
		if (!status_ok(rt_wait(s->ticket, CLOCK_NEVER)))
			return;
	} while (threads_sleeper_woken(&s->base));
}

/* Whoever wakes has the ticket already: fetching it is not part of the wake-up. */
static void ticket_settle(struct threads_sleeper *base)
{
	struct ticket_sleeper *s = CONTAINER_OF(base, struct ticket_sleeper, base);

	s->in_hand = s->ticket;
}

static void ticket_wake(struct threads_sleeper *base)
{
	rt_wake(CONTAINER_OF(base, struct ticket_sleeper, base)->in_hand);
}

static struct status spawn_sleeper(struct threads_trip *trip, void (*entry)(void *), void *arg,
				   struct rt_id *ret_id)
{
	struct rt_attr attr = {.name = "sleeper", .core = trip->to};

	return rt_spawn(trip->rt, &attr, entry, arg, ret_id);
}

static void measure_tickets(struct threads_trip *trip, const struct threads_way *way,
			    uint32_t count)
{
	static struct ticket_sleeper sleepers[SLEEPERS_MAX];
	struct threads_sleeper *bases[SLEEPERS_MAX];
	uint32_t started = 0;

	memset(sleepers, 0, sizeof(sleepers));
	while (started < count && status_ok(trip->status)) {
		struct ticket_sleeper *s = &sleepers[started];

		trip->status = spawn_sleeper(trip, ticket_sleeper_main, s, &s->id);
		bases[started] = &s->base;
		started += status_ok(trip->status);
	}
	if (started > 0)
		threads_wake(trip, way, bases, started);
	for (uint32_t i = 0; i < started; i++)
		status_ignore(rt_join(sleepers[i].id)); /* nobody cancels the bench */
}

static void wake_tickets(void *trip)
{
	static const struct threads_way way = {
		.settle = ticket_settle, .wake = ticket_wake, .gap_ns = THREADS_GAP_NS};
	struct threads_trip *t = trip;

	measure_tickets(t, &way, (uint32_t)t->round->which->param[0]);
}

/* param[0]: how many sleep; the core watches only those closely that blocked last */
struct status threads_wake_ours(struct bench_round *round)
{
	return threads_both_ways(round, wake_tickets, true);
}

static void wake_parked(void *trip)
{
	static const struct threads_way way = {.settle = ticket_settle,
					       .wake = ticket_wake,
					       .gap_ns = THREADS_PARK_NS,
					       .parked = true};

	measure_tickets(trip, &way, 1);
}

struct status threads_parked_ours(struct bench_round *round)
{
	return threads_both_ways(round, wake_parked, true);
}

/* ---- condition ------------------------------------------------------------------------------- */

struct cond_sleeper {
	struct threads_sleeper base;
	CACHE_ALIGNED struct rt_mutex mutex;
	CACHE_ALIGNED struct rt_cond cond;
};

static void cond_sleeper_main(void *arg)
{
	struct cond_sleeper *s = arg;

	rt_mutex_lock(&s->mutex);
	do {
		threads_sleeper_waits(&s->base);
		if (!status_ok(rt_cond_wait(&s->cond, &s->mutex, CLOCK_NEVER)))
			break;
	} while (threads_sleeper_woken(&s->base));
	rt_mutex_unlock(&s->mutex);
}

/* Who gets the mutex knows that the sleeper is in its wait. */
static void cond_settle(struct threads_sleeper *base)
{
	struct cond_sleeper *s = CONTAINER_OF(base, struct cond_sleeper, base);

	rt_mutex_lock(&s->mutex);
	rt_mutex_unlock(&s->mutex);
}

static void cond_wake(struct threads_sleeper *base)
{
	rt_cond_notify(&CONTAINER_OF(base, struct cond_sleeper, base)->cond);
}

static void measure_cond(void *arg)
{
	static const struct threads_way way = {
		.settle = cond_settle, .wake = cond_wake, .gap_ns = THREADS_GAP_NS};
	static struct cond_sleeper sleeper;
	struct threads_sleeper *base = &sleeper.base;
	struct threads_trip *trip = arg;
	struct rt_id id;

	memset(&sleeper, 0, sizeof(sleeper));
	trip->status = spawn_sleeper(trip, cond_sleeper_main, &sleeper, &id);
	if (!status_ok(trip->status))
		return;
	threads_wake(trip, &way, &base, 1);
	trip->status = rt_join(id);
}

struct status threads_cond_ours(struct bench_round *round)
{
	return threads_both_ways(round, measure_cond, true);
}

/* ---- idle ------------------------------------------------------------------------------------ */

#define IDLE_NS      (5 * NS_PER_S)
#define IDLE_REST_NS (500 * NS_PER_MS)

/*
 * All rounds idle at the same time, each in a process of its own: five times five seconds would be
 * half of the bench, and processes that do next to nothing do not disturb each other.
 */
static struct {
	struct bench_child children[BENCH_ROUNDS];
	struct bench_settings settings;
	uint64_t ns;
} idle;

/* The percentage of one processor that a process burns with memory and runtime started as a node
 * starts them. */
static struct status idle_measure(const void *arg, double values[BENCH_CHILD_VALUES])
{
	struct rt_config config = {.cores = idle.settings.cores,
				   .cpus = idle.settings.cpus,
				   .watchdog_ns = 100 * NS_PER_MS};
	struct rt *rt;
	double used;
	uint64_t start;

	(void)arg;
	TRY(mem_start(NULL));
	TRY(rt_start(&config, &rt));
	/* starting is not idling: the cores spin once and memory is touched ahead */
	os_sleep_ns(IDLE_REST_NS < idle.ns ? IDLE_REST_NS : idle.ns);
	used = bench_cpu_seconds();
	start = clock_ns();
	os_sleep_ns(idle.ns);
	used = bench_cpu_seconds() - used;
	values[0] = used * 100 * (double)NS_PER_S / (double)(clock_ns() - start);
	rt_stop(rt);
	mem_stop();
	return OK;
}

void threads_idle_teardown(struct bench_round *round)
{
	(void)round;
	for (uint32_t i = 0; i < BENCH_ROUNDS; i++)
		bench_child_end(&idle.children[i]);
}

struct status threads_idle_setup(struct bench_round *round)
{
	idle.settings = *round->settings;
	idle.ns = (uint64_t)((double)IDLE_NS * round->settings->seconds / BENCH_SECONDS);
	for (uint32_t i = 0; i < BENCH_ROUNDS; i++) {
		struct status s = bench_child_start(idle_measure, NULL, &idle.children[i]);

		if (!status_ok(s)) {
			threads_idle_teardown(round);
			return s;
		}
	}
	return OK;
}

struct status threads_idle_ours(struct bench_round *round)
{
	double values[BENCH_CHILD_VALUES];

	TRY(bench_child_read(&idle.children[round->number], values));
	bench_record(round, BENCH_PERCENT, values[0]);
	return OK;
}
