/*
 * Looking into a runtime: for people (rt_dump), for metrics (rt_stats) and for crash reports.
 */
#include "base/crash.h"
#include "base/line.h"
#include "base/metrics.h"
#include "base/os.h"
#include "rt/rt_int.h"

/* What is shown of a thread, read while it may be running: each word by itself is right. */
struct thread_view {
	uint64_t id;
	const char *name;
	const char *state;
	const char *reason; /* "" unless it waits */
	uint32_t core;
	uint64_t since_ns; /* how long it has waited, to the precision of its core's looks */
};

/* Of a thread that may be running: who runs is a word that its core changes at each switch. */
__attribute__((no_sanitize("thread"))) static const char *state_name(uint64_t wait,
								     const struct rt_thread *t,
								     uint64_t life)
{
	if (life & LIFE_ENDED)
		return "ended";
	switch (wait & WAIT_STATE_MASK) {
	case WAIT_WATCHED:
	case WAIT_BLOCKED: return "waits";
	default: break;
	}

	struct rt_core *c = atomic_ptr_load(&t->core, ORDER_RELAXED);

	return c && c->current == t ? "runs" : "ready";
}

/* Names and reasons are static strings that change under our eyes: any of them will do. */
__attribute__((no_sanitize("thread"))) static bool thread_look(struct rt_thread *t,
							       struct thread_view *ret)
{
	struct rt_core *c = atomic_ptr_load(&t->core, ORDER_RELAXED);
	uint64_t life = atomic_u64_load(&t->life, ORDER_ACQUIRE);
	uint64_t wait = atomic_u64_load(&t->wait, ORDER_ACQUIRE);
	const char *reason = t->wait_reason;

	if (!c)
		return false;
	*ret = (struct thread_view){
		.id = thread_id_at(t, life).value,
		.name = t->self.name,
		.state = state_name(wait, t, life),
		.reason = "",
		.core = c->number,
	};
	if (reason && ret->state[0] == 'w') {
		ret->reason = reason;
		ret->since_ns = clock_cycles_to_ns(clock_cycles() - t->wait_since);
	}
	return true;
}

void rt_stats(struct rt *rt, struct rt_stats *ret)
{
	*ret = (struct rt_stats){.threads_alive = runtime_alive(rt)};
	ret->threads_created = atomic_u64_load(&rt->spawned_outside, ORDER_RELAXED);
	for (uint32_t i = 0; i < rt->core_count; i++) {
		struct rt_core *c = &rt->cores[i];

		ret->threads_created += atomic_u64_load(&c->spawned, ORDER_RELAXED);
		ret->switches += atomic_u64_load(&c->stats.switches, ORDER_RELAXED);
		ret->parks += atomic_u64_load(&c->stats.parks, ORDER_RELAXED);
		ret->wakes_remote += atomic_u64_load(&c->stats.wakes_remote, ORDER_RELAXED);
		ret->kicks += atomic_u64_load(&c->stats.kicks, ORDER_RELAXED);
		ret->busy_ns += atomic_u64_load(&c->stats.busy_ns, ORDER_RELAXED);
		ret->idle_ns += atomic_u64_load(&c->stats.idle_ns, ORDER_RELAXED);
		ret->parked_ns += atomic_u64_load(&c->stats.parked_ns, ORDER_RELAXED);
	}
}

/* ---- metrics --------------------------------------------------------------------------------- */

/* Over all runtimes of the process; `arg` is the place of a number in struct rt_stats. */
static double stats_sum(const void *arg)
{
	size_t offset = (size_t)(uintptr_t)arg;
	uint64_t sum = 0;

	for (uint32_t n = 0; n < RUNTIMES_MAX; n++) {
		struct rt *rt = runtime_of(n);
		struct rt_stats stats;

		if (!rt)
			continue;
		rt_stats(rt, &stats);
		sum += *(const uint64_t *)(const void *)((const char *)&stats + offset);
	}
	return (double)sum;
}

static double stats_sum_seconds(const void *arg)
{
	return stats_sum(arg) / (double)NS_PER_S;
}

#define STAT(member) ((const void *)offsetof(struct rt_stats, member))

METRIC_GAUGE(threads_gauge, "tarn_rt_threads", stats_sum, STAT(threads_alive),
	     "User threads that exist");
METRIC_GAUGE(created_gauge, "tarn_rt_threads_created", stats_sum, STAT(threads_created),
	     "User threads that were ever created");
METRIC_GAUGE(switches_gauge, "tarn_rt_switches", stats_sum, STAT(switches),
	     "Switches from one user thread to another");
METRIC_GAUGE(parks_gauge, "tarn_rt_parks", stats_sum, STAT(parks),
	     "Times that a core went to sleep");
METRIC_GAUGE(kicks_gauge, "tarn_rt_kicks", stats_sum, STAT(kicks),
	     "System calls that woke a sleeping core");
METRIC_GAUGE(wakes_gauge, "tarn_rt_wakes_remote", stats_sum, STAT(wakes_remote),
	     "Threads woken through another core's stack");
METRIC_GAUGE(busy_gauge, "tarn_rt_busy_seconds", stats_sum_seconds, STAT(busy_ns),
	     "Time that cores ran user threads");
METRIC_GAUGE(idle_gauge, "tarn_rt_idle_seconds", stats_sum_seconds, STAT(idle_ns),
	     "Time that cores polled without finding work");
METRIC_GAUGE(parked_gauge, "tarn_rt_parked_seconds", stats_sum_seconds, STAT(parked_ns),
	     "Time that cores slept");

/* ---- dumps ----------------------------------------------------------------------------------- */

static void dump_core(struct rt_core *c, FILE *out)
{
	fprintf(out, "core %3u  %-6s  classes %#x  switches %lu  parks %lu  busy %lu ms\n",
		c->number, atomic_u32_load(&c->parked, ORDER_RELAXED) ? "sleeps" : "awake",
		atomic_u32_load(&c->serves, ORDER_RELAXED),
		(unsigned long)atomic_u64_load(&c->stats.switches, ORDER_RELAXED),
		(unsigned long)atomic_u64_load(&c->stats.parks, ORDER_RELAXED),
		(unsigned long)(atomic_u64_load(&c->stats.busy_ns, ORDER_RELAXED) / NS_PER_MS));
}

void rt_dump(struct rt *rt, FILE *out)
{
	uint32_t made = atomic_u32_load(&rt->slots.fresh, ORDER_ACQUIRE);

	for (uint32_t i = 0; i < rt->core_count; i++)
		dump_core(&rt->cores[i], out);
	for (uint32_t i = 0; i < made; i++) {
		struct thread_view v;

		if (!thread_look(&rt->slots.threads[i], &v))
			continue;
		fprintf(out, "thread %#lx  %-20s  core %3u  %-5s", (unsigned long)v.id, v.name,
			v.core, v.state);
		if (v.reason[0])
			fprintf(out, "  for %s, %lu ms", v.reason,
				(unsigned long)(v.since_ns / NS_PER_MS));
		fputc('\n', out);
	}
}

/* ---- crash reports --------------------------------------------------------------------------- */

static void crash_line(int fd, const struct rt_thread *t, const char *what)
{
	char text[256];
	struct line l;

	line_init(&l, text, sizeof(text));
	line_text(&l, what);
	line_text(&l, " thread \"");
	line_text(&l, t->self.name);
	line_text(&l, "\", id 0x");
	line_hex(&l, thread_id(t).value);
	line_text(&l, "\n");
	os_write_text(fd, text, l.used);
}

/* Names the thread that ran, and the one whose stack overflowed if that is what happened. */
void dump_crash(int fd, const struct crash *crash)
{
	struct rt_core *c = core_self();
	bool guard = false;

	if (c && c->current)
		crash_line(fd, c->current, "user");
	for (uint32_t n = 0; crash->has_address && n < RUNTIMES_MAX; n++) {
		struct rt *rt = runtime_of(n);
		struct rt_thread *t = rt ? slots_find(&rt->slots, crash->address, &guard) : NULL;

		if (t && guard)
			crash_line(fd, t, "stack overflow of");
		else if (t)
			crash_line(fd, t, "the address lies on the stack of");
	}
}
