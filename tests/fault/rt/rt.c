/*
 * The runtime when the system refuses: a piece of work is done again and again while the n-th call
 * of the operating system fails, for n = 0, 1, 2 … until it is not reached any more; once for a
 * single failure and once for all from the n-th on. Each time every call gives OK or its documented
 * status, what was begun is undone, and the same work goes through afterwards.
 */
#include "rt/policy.h"
#include "rt/sync.h"

#include <dirent.h>

#include "rt/rt_unit.h"

/* All but the giving back: where that fails, what could not be given back is lost. */
#define CALLS (OS_CALL_ANY & ~OS_CALL_BIT(OS_CALL_UNMAP))

/* ---- leaks ----------------------------------------------------------------------------------- */

struct holding {
	uint64_t mapped_bytes;
	uint32_t threads;
};

static uint32_t threads_count(void)
{
	uint32_t count = 0;
	DIR *dir = opendir("/proc/self/task");

	assert_non_null(dir);
	for (struct dirent *e; (e = readdir(dir)) != NULL;)
		count += e->d_name[0] != '.';
	closedir(dir);
	return count;
}

static uint64_t mapped_bytes(void)
{
	char line[512];
	uint64_t bytes = 0;
	FILE *file = fopen("/proc/self/maps", "re");

	assert_non_null(file);
	while (fgets(line, sizeof(line), file)) {
		char *end;
		uint64_t from = strtoull(line, &end, 16);

		bytes += strtoull(end + 1, NULL, 16) - from;
	}
	fclose(file);
	return bytes;
}

static struct holding holding(void)
{
	return (struct holding){.mapped_bytes = mapped_bytes(), .threads = threads_count()};
}

/* Threads that have been joined may be seen for a moment still. */
static void assert_nothing_leaked(const struct holding *before)
{
	while (threads_count() != before->threads)
		sched_yield();
#if !WITH_ASAN && !WITH_TSAN /* they map memory as they please, and ASan tells leaks by itself */
	uint64_t now = mapped_bytes();

	if (now != before->mapped_bytes)
		fail_msg("%lld bytes more are mapped than before",
			 (long long)(now - before->mapped_bytes));
#endif
}

/* ---- the sweep ------------------------------------------------------------------------------- */

/* Returns what the work came to; a failure is checked against the statuses that may be. */
typedef struct status work(void);

static bool may_be(struct status s)
{
	return status_ok(s) || status_is(s, STATUS_NO_MEMORY) || status_is(s, STATUS_LIMIT) ||
	       /* the system does not say on which processors we may run */
	       status_is(s, STATUS_IO);
}

/* How many calls the work makes that can fail. */
static uint64_t sweep_with(work *w, uint32_t calls, bool forever)
{
	for (uint64_t n = 0;; n++) {
		os_fault_set(calls, n, forever);
		struct status s = w();
		bool reached = os_fault_clear() > 0;

		if (!may_be(s))
			fail_msg("call %lu: %s: %s", n, status_name(s.code), diag_text());
		if (!status_ok(s))
			assert_true(strlen(diag_text()) > 0);
		if (!reached) {
			assert_int_equal(s.code, STATUS_OK);
			return n;
		}
	}
}

static void sweep(work *w, uint64_t least)
{
	struct holding before;

	/* the C library keeps stacks of threads that have ended: let it have all that it wants */
	for (int i = 0; i < 3; i++)
		assert_ok(w());
	before = holding();
	assert_true(sweep_with(w, CALLS, false) >= least);
	assert_nothing_leaked(&before);
	assert_true(sweep_with(w, CALLS, true) >= least);
	assert_nothing_leaked(&before);
	/* nothing is given back any more: no crash, no error where none can be told */
	sweep_with(w, OS_CALL_BIT(OS_CALL_UNMAP), true);
	assert_ok(w());
}

/* ---- starting and stopping ------------------------------------------------------------------- */

static struct status start_and_stop(const struct rt_config *config)
{
	struct rt *rt;

	TRY(rt_start(config, &rt));
	rt_stop(rt);
	return OK;
}

static struct status start_plain(void)
{
	return start_and_stop(&(struct rt_config){.cores = 2, .threads_max = 5000});
}

static struct status start_pinned_and_watched(void)
{
	return start_and_stop(&(struct rt_config){
		.cores = 1, .mode = RT_DEDICATED, .watchdog_ns = NS_PER_S, .elastic = true});
}

static void rt_start__each_call_failing(void **state)
{
	(void)state;
	sweep(start_plain, 5);
	sweep(start_pinned_and_watched, 5);
}

/* ---- threads --------------------------------------------------------------------------------- */

#define MANY 150

static void count(void *arg)
{
	unit_count(arg);
}

static void block(void *arg)
{
	CHECK_STATUS(rt_sem_wait(arg, CLOCK_NEVER), CANCELLED);
}

/* More threads than slots are at hand: guards must be made. Those that exist must work. */
static struct status spawn_many(void)
{
	struct rt_sem never = {0};
	struct status last = OK;
	struct rt *rt;

	TRY(rt_start(&(struct rt_config){.cores = 1, .threads_max = 5000}, &rt));
	for (int i = 0; i < MANY; i++) {
		struct status s = rt_spawn(rt, NULL, block, &never, NULL);

		if (!status_ok(s))
			last = s;
	}
	rt_stop(rt);
	return last;
}

static void rt_spawn__each_call_failing(void **state)
{
	(void)state;
	/* a guard for each slot */
	sweep(spawn_many, MANY);
}

/* ---- guests, calls and offloaded calls ------------------------------------------------------- */

static struct rt *shared;

static struct status guest_and_call(void)
{
	struct atomic_u32 ran = {0};
	struct rt_guest *g;
	struct status s;

	TRY(rt_guest_register(shared, "guest", &g));
	s = rt_call(shared, count, &ran);
	assert_int_equal(atomic_u32_load(&ran, ORDER_ACQUIRE), status_ok(s));
	if (!status_ok(s)) {
		/* the detail is the guest's and goes with it */
		struct diag detail = *diag_self();

		rt_guest_unregister(g);
		*diag_self() = detail;
		return s;
	}
	rt_guest_unregister(g);
	return s;
}

static void rt_guest_register__each_call_failing(void **state)
{
	(void)state;
	shared = unit_start(2);
	sweep(guest_and_call, 1);
	rt_stop(shared);
}

struct offloading {
	struct atomic_u32 ran;
	struct status status;
};

static void offload_from_a_thread(void *arg)
{
	struct offloading *o = arg;

	o->status = rt_offload(count, &o->ran);
}

/* In a runtime of its own: its pool has no kernel thread yet. */
static struct status offload_once(void)
{
	struct offloading o = {.status = OK};
	struct status s;
	struct rt *rt;

	TRY(rt_start(&(struct rt_config){.cores = 1, .threads_max = 5000}, &rt));
	s = rt_call(rt, offload_from_a_thread, &o);
	rt_stop(rt);
	TRY(s);
	assert_int_equal(atomic_u32_load(&o.ran, ORDER_ACQUIRE), status_ok(o.status));
	if (!status_ok(o.status))
		return fail(o.status.code, "as the thread said");
	return OK;
}

static void rt_offload__each_call_failing(void **state)
{
	(void)state;
	sweep(offload_once, 6);
}

/* ---- classes, timers and everything that asks the system for nothing ------------------------- */

struct quiet {
	struct rt_mutex mutex;
	struct rt_cond cond;
	struct rt_channel channel;
	void *slots[2];
	struct rt_group group;
};

static void use_everything(void *arg)
{
	struct quiet *q = arg;
	void *item;

	rt_mutex_lock(&q->mutex);
	CHECK_STATUS(rt_cond_wait(&q->cond, &q->mutex, clock_deadline(1000)), TIMEOUT);
	rt_mutex_unlock(&q->mutex);
	CHECK_OK(rt_channel_send(&q->channel, q, CLOCK_NEVER));
	CHECK_OK(rt_channel_receive(&q->channel, &item, CLOCK_NEVER));
	CHECK_OK(rt_sleep(1000));
	rt_yield();
	rt_group_done(&q->group);
}

static void spawn_users(void *arg)
{
	struct quiet *q = arg;

	rt_group_add(&q->group, 4);
	for (uint32_t i = 0; i < 4; i++) {
		struct rt_attr attr = {.core = i % 2, .detached = true};

		/* slots are at hand */
		CHECK_OK(rt_spawn(rt_current(), &attr, use_everything, q, NULL));
	}
	CHECK_OK(rt_group_wait(&q->group, CLOCK_NEVER));
}

/* With all calls failing: what waits and wakes does not notice. */
static void sync__asks_the_system_for_nothing(void **state)
{
	struct quiet q = {0};
	struct rt *rt = unit_start(2);
	uint8_t class;

	(void)state;
	q.channel = RT_CHANNEL(q.slots);
	unit_run_in(rt, spawn_users, &q);
	os_fault_set(OS_CALL_ANY, 0, true);
	for (int i = 0; i < 100; i++)
		unit_run_in(rt, spawn_users, &q);
	assert_ok(rt_class_create(rt, "own", RT_CLASS_KIND_ISOLATED, 1, &class));
	assert_ok(rt_class_resize(rt, class, 1));
	os_fault_clear();
	rt_stop(rt);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(rt_start__each_call_failing),
		cmocka_unit_test(rt_spawn__each_call_failing),
		cmocka_unit_test(rt_guest_register__each_call_failing),
		cmocka_unit_test(rt_offload__each_call_failing),
		cmocka_unit_test(sync__asks_the_system_for_nothing),
	};
	return unit_main(tests, argc, argv);
}
