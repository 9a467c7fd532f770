/*
 * The control thread: a kernel thread beside the cores that looks at them now and then. It reports
 * a user thread that holds its core too long, and lets the policy use as many cores as the load
 * needs.
 *
 * It looks every 50 ms while there is work, and ever more seldom while there is none: an idle
 * process is quiet (Law 7).
 */
#include "base/clock.h"
#include "base/os.h"
#include "base/trace.h"
#include "rt/borrow.h"
#include "rt/load.h"
#include "rt/rt_int.h"
#include "rt/watchdog.h"

#define WINDOW_IDLE_NS (1 * NS_PER_S)

/* What a core's counters said at the last look. */
struct core_seen {
	uint64_t looks;
	uint64_t since; /* clock_ns() when they were first seen unchanged; 0: they have changed */
	uint64_t delay_ns; /* what the kernel thread had waited for a processor by then */
	uint64_t busy_ns;
	uint64_t runnable_ns;
	bool reported;
};

struct control {
	struct kthread kthread;
	struct self self;
	struct self_thread self_thread;
	struct atomic_u32 stopping; /* sleeps on it */
	struct load_history history;
	uint64_t window_begin;
	struct core_seen seen[RT_CORES_MAX];
};

/*
 * A core that neither looks around nor sleeps is in the hands of one thread, which runs or blocks
 * in the kernel; unless it is the kernel that does not let it run.
 */
static void core_watch_over(struct rt *rt, struct rt_core *c, struct core_seen *seen, uint64_t now)
{
	uint64_t looks = atomic_u64_load(&c->stats.looks, ORDER_RELAXED);

	if (looks != seen->looks || atomic_u32_load(&c->parked, ORDER_RELAXED)) {
		seen->looks = looks;
		seen->since = 0;
		seen->reported = false;
	} else if (seen->since == 0) {
		seen->since = now;
		seen->delay_ns = watchdog_delay_ns(c);
	} else if (!seen->reported && now - seen->since >= rt->config.watchdog_ns) {
		uint64_t held_ns = now - seen->since - (watchdog_delay_ns(c) - seen->delay_ns);

		if (held_ns < rt->config.watchdog_ns)
			return;
		seen->reported = true;
		watchdog_report(rt, c, held_ns);
	}
}

/* Adds what the core did since the last look to the window. */
static void window_add(struct load_window *window, struct rt_core *c, struct core_seen *seen,
		       double length_ns)
{
	uint64_t busy = atomic_u64_load(&c->stats.busy_ns, ORDER_RELAXED);
	uint64_t runnable = atomic_u64_load(&c->stats.runnable_ns, ORDER_RELAXED);

	window->utilised += (double)(busy - seen->busy_ns) / length_ns;
	window->runnable += (double)(runnable - seen->runnable_ns) / length_ns;
	seen->busy_ns = busy;
	seen->runnable_ns = runnable;
}

/* Uses one core more or one less, if the load says so. */
static void cores_adapt(struct rt *rt, struct control *control, const struct load_window *window)
{
	uint32_t wanted = load_cores_wanted(&control->history, window, 1, rt->core_count);

	if (wanted == window->cores)
		return;
	TRACE("rt: %u cores, %lu %% utilised: now %u", window->cores,
	      (uint64_t)(window->utilised * 100), wanted);
	if (rt->arbiter)
		borrow_request(rt, wanted);
	else
		/* refused when other classes have taken the cores: as many as there are */
		status_ignore(rt_class_resize(rt, RT_CLASS_SHARED, wanted));
}

/* One look at all cores; returns how long to wait for the next. */
static uint64_t look(struct rt *rt, struct control *control)
{
	struct load_window window = {.cores = rt_class_cores(rt, RT_CLASS_SHARED)};
	uint64_t now = clock_ns();
	double length = (double)(now - control->window_begin + 1);
	bool awake = false;

	control->window_begin = now;
	for (uint32_t i = 0; i < rt->core_count; i++) {
		struct rt_core *c = &rt->cores[i];

		awake |= atomic_u32_load(&c->parked, ORDER_RELAXED) == 0;
		if (rt->config.watchdog_ns)
			core_watch_over(rt, c, &control->seen[i], now);
		window_add(&window, c, &control->seen[i], length);
	}
	if (rt->config.elastic)
		cores_adapt(rt, control, &window);
	return awake ? LOAD_WINDOW_NS : WINDOW_IDLE_NS;
}

static void control_main(void *arg)
{
	struct rt *rt = arg;
	struct control *control = rt->control;

	control->window_begin = clock_ns();
	while (atomic_u32_load(&control->stopping, ORDER_ACQUIRE) == 0) {
		uint64_t wait_ns = look(rt, control);

		if (rt->arbiter)
			/* cannot be woken to stop, so it never waits long */
			borrow_wait(rt, clock_deadline(LOAD_WINDOW_NS));
		else
			kthread_sleep(&control->stopping, 0, clock_deadline(wait_ns));
	}
}

struct status control_start(struct rt *rt)
{
	void *at;

	if (rt->config.watchdog_ns == 0 && !rt->config.elastic && !rt->arbiter)
		return OK;
	TRY(os_map(sizeof(struct control), CACHE_LINE, &at));

	struct control *control = at;

	rt->control = control;
	control->self_thread.name = "control";
	self_init(&control->self, &control->self_thread);
	control->kthread = (struct kthread){
		.main = control_main,
		.arg = rt,
		.name = "tarn-control",
		.self = &control->self,
		.processor = KTHREAD_ANYWHERE,
	};
	watchdog_init(rt);

	struct status s = kthread_start(&control->kthread);

	if (!status_ok(s)) {
		self_fini(&control->self);
		status_ignore(os_unmap(control, sizeof(*control)));
		rt->control = NULL;
	}
	return s;
}

void control_stop(struct rt *rt)
{
	struct control *control = rt->control;

	if (!control)
		return;
	atomic_u32_store(&control->stopping, 1, ORDER_RELEASE);
	kthread_wake(&control->stopping, 1);
	kthread_join(&control->kthread);
	self_fini(&control->self);
	status_ignore(os_unmap(control, sizeof(*control)));
	rt->control = NULL;
}
