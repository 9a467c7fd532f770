/*
 * The whole runtime under the simulator: user threads on two to four simulated cores that use
 * everything at once, with every promise of rt.h and sync.h checked that can be checked from
 * outside.
 */
#include "scenario.h"

#include "base/atomic.h"
#include "base/clock.h"
#include "base/diag.h"
#include "rt/kthread.h"
#include "rt/policy.h"
#include "rt/rt.h"
#include "rt/sync.h"

#include <string.h>

#define WORKERS_MOST 5
#define CORES_MOST   4
#define ITEMS        256
#define SEM_UNITS    2
#define BUFFER_CELLS 2
#define SHORT_NS     (20 * NS_PER_US)

struct mix;

static struct world {
	struct rt *rt;
	const struct mix *mix;
	uint8_t exclusive; /* class */
	uint8_t isolated;  /* class */

	struct rt_mutex mutex;
	uint64_t locked; /* plain, under the mutex */
	struct atomic_u64 locked_times;

	/* a bounded buffer of the mutex and two conditions */
	struct rt_mutex buffer_mutex;
	struct rt_cond not_full;
	struct rt_cond not_empty;
	uint64_t buffered;
	struct atomic_u64 put;
	struct atomic_u64 got;

	struct rt_rwlock rwlock;
	uint64_t left; /* equal to `right` outside of a write hold */
	uint64_t right;

	struct rt_sem sem;
	struct atomic_u32 sem_held;

	struct rt_channel channel;
	void *channel_slots[3];
	struct atomic_u32 items; /* numbers given out; item n travels as the pointer n + 1 */
	struct atomic_u32 sent[ITEMS];
	struct atomic_u32 received[ITEMS];

	/* tokens that go around: who waits without a deadline gets one in the end */
	struct rt_mutex token_mutex;
	struct rt_cond token_there;
	uint64_t tokens;
	struct rt_sem token_sem;
	struct rt_channel token_channel;
	void *token_slots[1];

	struct rt_group group;
	struct atomic_u32 detached_ran;
	struct atomic_u32 detached_made;
} world;

static uint64_t soon(void)
{
	return clock_deadline(sim_random(SHORT_NS));
}

/* Sometimes never, for waits that somebody ends for certain. */
static uint64_t soon_or_never(void)
{
	return sim_random(2) ? soon() : CLOCK_NEVER;
}

static void check_ok(struct status s, const char *what)
{
	sim_check(status_ok(s), "%s: %s: %s", what, status_name(s.code), diag_text());
}

/* The status must be OK, or TIMEOUT where there was a deadline. True if OK. */
static bool check_timed(struct status s, const char *what)
{
	if (!status_is(s, STATUS_TIMEOUT))
		check_ok(s, what);
	return status_ok(s);
}

/* ---- locks ----------------------------------------------------------------------------------- */

static void op_mutex(struct world *w)
{
	if (sim_random(3) == 0) {
		if (!check_timed(rt_mutex_lock_until(&w->mutex, soon()), "mutex"))
			return;
	} else if (sim_random(4) != 0 || !rt_mutex_try(&w->mutex)) {
		rt_mutex_lock(&w->mutex);
	}
	SHARED_WRITE(&w->locked, sizeof(w->locked));

	uint64_t before = w->locked;

	if (sim_random(3) == 0)
		rt_yield();
	w->locked = before + 1;
	atomic_u64_add(&w->locked_times, 1, ORDER_RELAXED);
	rt_mutex_unlock(&w->mutex);
}

static void op_put(struct world *w)
{
	bool room = true;

	rt_mutex_lock(&w->buffer_mutex);
	SHARED_READ(&w->buffered, sizeof(w->buffered));
	while (room && w->buffered == BUFFER_CELLS)
		room = check_timed(rt_cond_wait(&w->not_full, &w->buffer_mutex, soon()), "put");
	if (room) {
		SHARED_WRITE(&w->buffered, sizeof(w->buffered));
		w->buffered++;
		sim_check(w->buffered <= BUFFER_CELLS, "the buffer holds %lu", w->buffered);
		atomic_u64_add(&w->put, 1, ORDER_RELAXED);
		rt_cond_notify(&w->not_empty);
	}
	rt_mutex_unlock(&w->buffer_mutex);
}

static void op_get(struct world *w)
{
	bool any = true;

	rt_mutex_lock(&w->buffer_mutex);
	SHARED_READ(&w->buffered, sizeof(w->buffered));
	while (any && w->buffered == 0)
		any = check_timed(rt_cond_wait(&w->not_empty, &w->buffer_mutex, soon()), "get");
	if (any) {
		SHARED_WRITE(&w->buffered, sizeof(w->buffered));
		w->buffered--;
		atomic_u64_add(&w->got, 1, ORDER_RELAXED);
		if (sim_random(2))
			rt_cond_notify(&w->not_full);
		else
			rt_cond_notify_all(&w->not_full);
	}
	rt_mutex_unlock(&w->buffer_mutex);
}

static void op_read(struct world *w)
{
	if (!check_timed(rt_rwlock_read(&w->rwlock, soon_or_never()), "read lock"))
		return;
	SHARED_READ(&w->left, sizeof(w->left));
	SHARED_READ(&w->right, sizeof(w->right));

	uint64_t left = w->left;

	if (sim_random(3) == 0)
		rt_yield();
	sim_check(left == w->right, "a writer wrote under a reader");
	rt_rwlock_unlock(&w->rwlock);
}

static void op_write(struct world *w)
{
	if (!check_timed(rt_rwlock_write(&w->rwlock, soon_or_never()), "write lock"))
		return;
	SHARED_WRITE(&w->left, sizeof(w->left));
	w->left++;
	if (sim_random(3) == 0)
		rt_yield();
	SHARED_WRITE(&w->right, sizeof(w->right));
	w->right++;
	rt_rwlock_unlock(&w->rwlock);
}

static void op_sem(struct world *w)
{
	if (!rt_sem_try(&w->sem) &&
	    !check_timed(rt_sem_wait(&w->sem, soon_or_never()), "semaphore"))
		return;

	uint32_t others = atomic_u32_add(&w->sem_held, 1, ORDER_RELAXED);

	sim_check(others < SEM_UNITS, "%u hold %d units", others + 1, SEM_UNITS);
	if (sim_random(2))
		rt_yield();
	atomic_u32_add(&w->sem_held, (uint32_t)-1, ORDER_RELAXED);
	rt_sem_post(&w->sem);
}

/* ---- the channel ----------------------------------------------------------------------------- */

static void op_send(struct world *w)
{
	uint32_t item = atomic_u32_add(&w->items, 1, ORDER_RELAXED);

	if (item >= ITEMS)
		return;
	void *p = (void *)(uintptr_t)(item + 1);
	struct status s = sim_random(4) == 0 ? rt_channel_try_send(&w->channel, p)
					     : rt_channel_send(&w->channel, p, soon());

	if (status_is(s, STATUS_BUSY))
		return;
	if (check_timed(s, "send"))
		atomic_u32_store(&w->sent[item], 1, ORDER_RELAXED);
}

static void item_received(struct world *w, const void *p)
{
	uint32_t item = (uint32_t)(uintptr_t)p - 1;

	sim_check(item < ITEMS, "received item %u, which was never sent", item);
	sim_check(atomic_u32_exchange(&w->received[item], 1, ORDER_RELAXED) == 0,
		  "item %u was received twice", item);
}

static void op_receive(struct world *w)
{
	void *p = NULL;
	struct status s = sim_random(4) == 0 ? rt_channel_try_receive(&w->channel, &p)
					     : rt_channel_receive(&w->channel, &p, soon());

	if (status_is(s, STATUS_BUSY))
		return;
	if (check_timed(s, "receive"))
		item_received(w, p);
}

static void channel_check(struct world *w)
{
	void *p;
	struct status s;

	rt_channel_close(&w->channel);
	while (status_ok(s = rt_channel_receive(&w->channel, &p, CLOCK_NEVER)))
		item_received(w, p);
	sim_check(status_is(s, STATUS_CLOSED), "closed channel: %s", status_name(s.code));
	for (uint32_t i = 0; i < ITEMS; i++) {
		bool sent = atomic_u32_load(&w->sent[i], ORDER_RELAXED);
		bool received = atomic_u32_load(&w->received[i], ORDER_RELAXED);

		sim_check(sent == received, "item %u was %s", i,
			  sent ? "sent and lost" : "received although its send failed");
	}
}

/* ---- threads --------------------------------------------------------------------------------- */

struct child {
	uint64_t result; /* plain: the join must order it */
	struct status ended;
	struct rt_sem never;
	struct atomic_ptr ticket; /* struct rt_wait of the parent */
};

static struct rt_attr anywhere(const char *name)
{
	struct rt_attr attr = {.name = name, .core = RT_CORE_ANY};

	if (sim_random(2))
		attr.core = sim_random(rt_cores(world.rt));
	return attr;
}

static struct rt_id spawn(const char *name, void (*entry)(void *), void *arg)
{
	struct rt_attr attr = anywhere(name);
	struct rt_id id;

	check_ok(rt_spawn(world.rt, &attr, entry, arg, &id), "spawn");
	return id;
}

static void child_main(void *arg)
{
	struct child *c = arg;

	if (sim_random(2))
		rt_yield();
	SHARED_WRITE(&c->result, sizeof(c->result));
	c->result = 7;
}

static void op_join(struct world *w)
{
	struct child c = {0};
	struct rt_id id = spawn("child", child_main, &c);
	uint64_t before = rt_deadline_set(sim_random(3) == 0 ? soon() : CLOCK_NEVER);
	struct status s = rt_join(id);

	(void)w;
	rt_deadline_restore(before);
	if (!check_timed(s, "join"))
		check_ok(rt_join(id), "second join");
	SHARED_READ(&c.result, sizeof(c.result));
	sim_check(c.result == 7, "joined before the end");
	sim_check(status_is(rt_join(id), STATUS_STALE), "joined twice");
	sim_forget(&c, sizeof(c));
}

static void endless_main(void *arg)
{
	struct child *c = arg;
	struct status s = sim_random(2) ? rt_sem_wait(&c->never, CLOCK_NEVER)
					: rt_sleep(1000 * NS_PER_S);

	SHARED_WRITE(&c->ended, sizeof(c->ended));
	c->ended = s;
}

static void op_cancel(struct world *w)
{
	struct child c = {0};
	struct rt_id id = spawn("endless", endless_main, &c);

	(void)w;
	for (uint32_t i = sim_random(4); i > 0; i--)
		rt_yield();
	check_ok(rt_cancel(id), "cancel");
	check_ok(rt_join(id), "join of a cancelled thread");
	SHARED_READ(&c.ended, sizeof(c.ended));
	sim_check(status_is(c.ended, STATUS_CANCELLED), "cancelled: %s", status_name(c.ended.code));
	sim_check(status_is(rt_cancel(id), STATUS_STALE), "cancelled after the end");
	sim_forget(&c, sizeof(c));
}

static void detached_main(void *arg)
{
	struct world *w = arg;

	if (sim_random(2))
		check_ok(rt_sleep(sim_random(SHORT_NS)), "sleep");
	atomic_u32_add(&w->detached_ran, 1, ORDER_RELAXED);
	rt_group_done(&w->group);
}

static void op_detached(struct world *w)
{
	struct rt_attr attr = anywhere("detached");
	struct rt_id id;

	attr.detached = sim_random(2);
	rt_group_add(&w->group, 1);
	atomic_u32_add(&w->detached_made, 1, ORDER_RELAXED);
	check_ok(rt_spawn(w->rt, &attr, detached_main, w, &id), "spawn detached");
	if (!attr.detached)
		check_ok(rt_detach(id), "detach");
}

static void op_sleep(struct world *w)
{
	uint64_t ns = sim_random(SHORT_NS);
	uint64_t before = clock_ns();

	(void)w;
	check_ok(rt_sleep(ns), "sleep");
	sim_check(clock_ns() - before >= ns, "slept %lu ns of %lu", clock_ns() - before, ns);
}

static void op_deadline(struct world *w)
{
	uint64_t deadline = soon();
	uint64_t before = rt_deadline_set(deadline);
	struct status s = rt_sleep(1000 * NS_PER_S);

	(void)w;
	rt_deadline_restore(before);
	sim_check(status_is(s, STATUS_TIMEOUT), "sleep beyond a deadline: %s", status_name(s.code));
	sim_check(clock_ns() >= deadline, "timed out early");
}

static void offloaded(void *arg)
{
	uint64_t *result = arg;

	SHARED_WRITE(result, sizeof(*result));
	*result = 11;
}

static void op_offload(struct world *w)
{
	uint64_t result = 0;

	(void)w;
	SHARED_WRITE(&result, sizeof(result));
	check_ok(rt_offload(offloaded, &result), "offload");
	SHARED_READ(&result, sizeof(result));
	sim_check(result == 11, "offload returned before the call had");
	sim_forget(&result, sizeof(result));
}

struct waker {
	struct rt_wait ticket;
	uint64_t said; /* plain: the wake must order it */
	struct atomic_u32 woke;
};

static void waker_main(void *arg)
{
	struct waker *k = arg;

	if (sim_random(2))
		rt_yield();
	SHARED_WRITE(&k->said, sizeof(k->said));
	k->said = 5;
	atomic_u32_store(&k->woke, rt_wake(k->ticket), ORDER_RELAXED);
}

/* Either the wake or the deadline ends the wait, and both sides agree which. */
static void op_wake(struct world *w)
{
	struct waker k = {.ticket = rt_wait_begin("waker")};
	struct rt_id id = spawn("waker", waker_main, &k);
	struct status s = rt_wait(k.ticket, soon_or_never());

	(void)w;
	if (check_timed(s, "wait")) {
		SHARED_READ(&k.said, sizeof(k.said));
		sim_check(k.said == 5, "woken before what was said");
	}
	check_ok(rt_join(id), "join of a waker");
	sim_check(atomic_u32_load(&k.woke, ORDER_RELAXED) == (uint32_t)status_ok(s),
		  "the waker and the woken disagree: %s", status_name(s.code));
	sim_forget(&k, sizeof(k));
}

static void op_yield(struct world *w)
{
	(void)w;
	rt_yield();
}

/* ---- tokens ---------------------------------------------------------------------------------- */

/*
 * Of each kind of object: one side gives a token and the other waits for one without a deadline,
 * while third parties wait with one, and put back what they get. A wake-up that goes to somebody
 * whose wait has just timed out must go on to the next, or somebody waits for ever.
 */
static void monitor_give(void *arg)
{
	struct world *w = arg;

	rt_mutex_lock(&w->token_mutex);
	SHARED_WRITE(&w->tokens, sizeof(w->tokens));
	w->tokens++;
	rt_mutex_unlock(&w->token_mutex);
	rt_cond_notify(&w->token_there);
}

static bool monitor_take(struct world *w, uint64_t deadline)
{
	bool taken = false;
	struct status s = OK;

	rt_mutex_lock(&w->token_mutex);
	while (w->tokens == 0 && status_ok(s))
		s = rt_cond_wait(&w->token_there, &w->token_mutex, deadline);
	/* not looked at again after a time-out: the notification must have gone to somebody else */
	if (status_ok(s)) {
		SHARED_WRITE(&w->tokens, sizeof(w->tokens));
		w->tokens--;
		taken = true;
	}
	rt_mutex_unlock(&w->token_mutex);
	return taken;
}

static void sem_give(void *arg)
{
	struct world *w = arg;

	rt_sem_post(&w->token_sem);
}

static bool sem_take(struct world *w, uint64_t deadline)
{
	return status_ok(rt_sem_wait(&w->token_sem, deadline));
}

static void channel_give(void *arg)
{
	struct world *w = arg;

	check_ok(rt_channel_send(&w->token_channel, w, CLOCK_NEVER), "token sent");
}

static bool channel_take(struct world *w, uint64_t deadline)
{
	void *p = NULL;

	if (!status_ok(rt_channel_receive(&w->token_channel, &p, deadline)))
		return false;
	sim_check(p == w, "received another token than was sent");
	return true;
}

static void token_pass(struct world *w, void (*give)(void *),
		       bool (*take)(struct world *, uint64_t deadline))
{
	if (sim_random(2)) {
		struct rt_id id = spawn("giver", give, w);

		sim_check(take(w, CLOCK_NEVER), "a wait without end ended");
		check_ok(rt_join(id), "join of a giver");
	} else if (take(w, soon())) {
		give(w);
	}
}

static void op_monitor(struct world *w)
{
	token_pass(w, monitor_give, monitor_take);
}

static void op_token_sem(struct world *w)
{
	token_pass(w, sem_give, sem_take);
}

static void op_token_channel(struct world *w)
{
	token_pass(w, channel_give, channel_take);
}

/* ---- classes --------------------------------------------------------------------------------- */

/* Threads move while cores change hands; whatever is refused is refused for a reason. */
static void op_resize(struct world *w)
{
	uint8_t class = (uint8_t)(sim_random(2) ? RT_CLASS_SHARED : w->isolated);
	struct status s = rt_class_resize(w->rt, class, 1 + sim_random(rt_cores(w->rt)));

	sim_check(status_ok(s) || status_is(s, STATUS_LIMIT), "resize: %s", diag_text());
}

/* A thread of the exclusive or the isolated class. */
static void op_class(struct world *w)
{
	struct child c = {0};
	struct rt_attr attr = {.name = "classed", .core = RT_CORE_ANY};
	struct rt_id id;

	attr.class = sim_random(2) ? w->exclusive : w->isolated;

	struct status s = rt_spawn(w->rt, &attr, child_main, &c, &id);

	if (status_is(s, STATUS_LIMIT))
		return;
	check_ok(s, "spawn in a class");
	check_ok(rt_join(id), "join of a classed thread");
	SHARED_READ(&c.result, sizeof(c.result));
	sim_check(c.result == 7, "joined before the end");
	sim_forget(&c, sizeof(c));
}

/* ---- the stress ------------------------------------------------------------------------------ */

typedef void op(struct world *);

static op *const all_ops[] = {
	op_mutex,   op_mutex, op_put,           op_get,           op_put,       op_get,
	op_read,    op_write, op_sem,           op_send,          op_send,      op_receive,
	op_receive, op_join,  op_cancel,        op_detached,      op_sleep,     op_deadline,
	op_offload, op_wake,  op_monitor,       op_monitor,       op_token_sem, op_token_sem,
	op_resize,  op_class, op_token_channel, op_token_channel, op_yield,
};

static op *const lock_ops[] = {op_mutex, op_read, op_write, op_write, op_sem, op_put, op_get};
static op *const token_ops[] = {op_monitor, op_token_sem, op_token_channel};
static op *const life_ops[] = {op_join, op_cancel, op_detached, op_wake, op_deadline, op_yield};
static op *const class_ops[] = {op_resize, op_class, op_join, op_yield, op_wake, op_mutex};

static op *const park_ops[] = {op_join, op_wake, op_token_sem, op_sleep};

/* A mix of operations: the more there are, the seldomer two of a kind meet. */
struct mix {
	op *const *ops;
	uint32_t count;
	uint32_t ops_most; /* that one worker does */
	bool parks;        /* idle cores go to sleep at once */
};

#define MIX(table, most)                                                                           \
	{                                                                                          \
		.ops = (table), .count = ARRAY_SIZE(table), .ops_most = (most)                     \
	}

static struct mix mix_all = MIX(all_ops, 8);
static struct mix mix_locks = MIX(lock_ops, 12);
static struct mix mix_tokens = MIX(token_ops, 12);
static struct mix mix_life = MIX(life_ops, 8);
static struct mix mix_classes = MIX(class_ops, 8);
static struct mix mix_parks = {
	.ops = park_ops, .count = ARRAY_SIZE(park_ops), .ops_most = 12, .parks = true};

static void worker_main(void *arg)
{
	struct world *w = arg;
	uint32_t count = 1 + sim_random(w->mix->ops_most);

	for (uint32_t i = 0; i < count; i++)
		w->mix->ops[sim_random(w->mix->count)](w);
}

static void stress_main(void *arg)
{
	struct world *w = arg;
	struct rt_id workers[WORKERS_MOST];
	uint32_t count = 2 + sim_random(WORKERS_MOST - 1);

	for (uint32_t i = 0; i < count; i++)
		workers[i] = spawn("worker", worker_main, w);
	for (uint32_t i = 0; i < count; i++)
		check_ok(rt_join(workers[i]), "join of a worker");
}

/* When nobody else is there any more. */
static void balance_main(void *arg)
{
	struct world *w = arg;

	check_ok(rt_group_wait(&w->group, CLOCK_NEVER), "group");
	channel_check(w);
	sim_check(atomic_u32_load(&w->detached_ran, ORDER_RELAXED) ==
			  atomic_u32_load(&w->detached_made, ORDER_RELAXED),
		  "a detached thread did not run");
	rt_mutex_lock(&w->mutex);
	SHARED_READ(&w->locked, sizeof(w->locked));
	sim_check(w->locked == atomic_u64_load(&w->locked_times, ORDER_RELAXED),
		  "the mutex let two in");
	rt_mutex_unlock(&w->mutex);
	rt_mutex_lock(&w->buffer_mutex);
	sim_check(w->buffered + atomic_u64_load(&w->got, ORDER_RELAXED) ==
			  atomic_u64_load(&w->put, ORDER_RELAXED),
		  "the buffer lost something");
	rt_mutex_unlock(&w->buffer_mutex);
	sim_check(w->tokens == 0 && !rt_sem_try(&w->token_sem), "a token is left");
}

/* A foreign kernel thread that works with the runtime while the stress goes on. */
static void foreign_main(void *arg)
{
	struct world *w = arg;
	struct rt_guest *guest;

	check_ok(rt_guest_register(w->rt, "guest", &guest), "guest");
	for (uint32_t i = sim_random(3); i > 0; i--)
		check_ok(rt_call(w->rt, worker_main, w), "call");
	rt_guest_unregister(guest);
}

static void world_start(struct world *w, struct mix *mix)
{
	struct rt_config config = {
		.cores = 2 + sim_random(CORES_MOST - 1),
		.threads_max = 512,
		.stack_bytes = 65536,
		.seed = 1 + sim_random(1000),
		.mode = sim_random(4) == 0 ? RT_EXCLUSIVE : RT_SHARED,
		.elastic = sim_random(4) == 0,
	};

	if (mix->parks)
		config.mode = RT_SHARED;
	config.embedded = config.mode == RT_SHARED && (mix->parks || sim_random(4) == 0);
	memset(w, 0, sizeof(*w));
	w->mix = mix;
	w->sem = RT_SEM(SEM_UNITS);
	w->channel = RT_CHANNEL(w->channel_slots);
	w->token_channel = RT_CHANNEL(w->token_slots);
	check_ok(rt_start(&config, &w->rt), "start");
	check_ok(rt_class_create(w->rt, "exclusive", RT_CLASS_KIND_EXCLUSIVE, 0, &w->exclusive),
		 "exclusive class");
	check_ok(rt_class_create(w->rt, "isolated", RT_CLASS_KIND_ISOLATED, 1, &w->isolated),
		 "isolated class");
}

static void threads_body(void *arg)
{
	struct world *w = &world;
	struct kthread foreign = {
		.main = foreign_main, .arg = w, .name = "foreign", .processor = KTHREAD_ANYWHERE};
	bool with_foreign = sim_random(2);

	world_start(w, arg);
	if (with_foreign)
		check_ok(kthread_start(&foreign), "foreign");
	check_ok(rt_call(w->rt, stress_main, w), "stress");
	if (with_foreign)
		kthread_join(&foreign);
	check_ok(rt_call(w->rt, balance_main, w), "balance");
	rt_stop(w->rt);
	w->rt = NULL;
}

static void threads_dump(void *arg, FILE *out)
{
	(void)arg;
	if (world.rt)
		rt_dump(world.rt, out);
}

#define STRESS(id, text, which)                                                                    \
	{                                                                                          \
		.name = (id), .about = (text), .body = threads_body, .arg = &(which),              \
		.dump = threads_dump, .seeds = 1000, .steps_max = 3000000, .steps_usual = 10000,   \
		.time_ns_max = 100 * NS_PER_S                                                      \
	}

const struct scenario scenarios_threads[] = {
	STRESS("threads", "the runtime: everything at once on two to four cores", mix_all),
	STRESS("threads-locks", "mutex, condition, semaphore, reader-writer lock", mix_locks),
	STRESS("threads-tokens", "wake-ups that must reach somebody", mix_tokens),
	STRESS("threads-life", "spawn, join, detach, cancel, wake, deadlines", mix_life),
	STRESS("threads-parks", "cores that sleep whenever they can", mix_parks),
	STRESS("threads-classes", "cores change hands while threads run", mix_classes),
};
const size_t scenarios_threads_count = ARRAY_SIZE(scenarios_threads);
