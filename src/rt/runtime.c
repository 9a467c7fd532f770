/*
 * Starting and stopping: a runtime's cores, and the table that ids find their runtime through.
 */
#include "base/crash.h"
#include "base/os.h"
#include "base/trace.h"
#include "mem/mem.h"
#include "rt/borrow.h"
#include "rt/rt_int.h"

#include <pthread.h>

/*
 * By the number in an id. A runtime is entered when its slots exist and taken out before they go.
 */
static struct atomic_ptr runtimes[RUNTIMES_MAX];

struct rt *runtime_of(uint32_t number)
{
	return number < RUNTIMES_MAX ? atomic_ptr_load(&runtimes[number], ORDER_ACQUIRE) : NULL;
}

struct rt_thread *thread_of(struct rt_id id)
{
	struct rt *rt = runtime_of((uint32_t)(id.value >> ID_INDEX_BITS) & (RUNTIMES_MAX - 1));
	uint32_t index = (uint32_t)(id.value & ((1u << ID_INDEX_BITS) - 1));

	/* a slot that was never made has generation 0, which no id has */
	return rt && index > 0 && index <= rt->slots.max ? &rt->slots.threads[index - 1] : NULL;
}

static struct status number_take(struct rt *rt)
{
	for (uint32_t i = 0; i < RUNTIMES_MAX; i++) {
		void *none = NULL;

		rt->number = i;
		if (atomic_ptr_cas(&runtimes[i], &none, rt, ORDER_RELEASE))
			return OK;
	}
	return fail(STATUS_LIMIT, "rt: %u runtimes in one process are the most", RUNTIMES_MAX);
}

/*
 * A fork copies the memory of the runtime and the thread that called it, and none of the others: in
 * the child nothing would ever run. The child's thread is told that it is no core, and everything
 * that a foreign thread may call refuses.
 */
static struct atomic_u32 forks;

static void in_child(void)
{
	atomic_u32_add(&forks, 1, ORDER_RELAXED);
	self_set(NULL);
}

__attribute__((constructor)) static void fork_watch(void)
{
	pthread_atfork(NULL, NULL, in_child);
}

struct status runtime_check_fork(const struct rt *rt)
{
	if (rt->forks != atomic_u32_load(&forks, ORDER_RELAXED))
		return fail(STATUS_UNSUPPORTED, "rt: this process was forked from the one that "
						"started the runtime; start one of its own");
	return OK;
}

/* ---- configuration --------------------------------------------------------------------------- */

/* The processors that were named: each there, and each named once. */
static struct status cpus_check(const struct rt_config *config, const struct cpus *allowed)
{
	struct cpus named = {0};

	for (uint32_t i = 0; i < config->cores; i++) {
		if (!cpus_has(allowed, config->cpus[i]))
			return fail(STATUS_INVALID,
				    "cores: processor %u is not one of those that the "
				    "process may use",
				    config->cpus[i]);
		if (cpus_has(&named, config->cpus[i]))
			return fail(STATUS_INVALID, "cores: processor %u is named twice",
				    config->cpus[i]);
		cpus_add(&named, config->cpus[i]);
	}
	return OK;
}

static struct status mode_check(const struct rt_config *config)
{
	if (config->mode != RT_SHARED && config->mode != RT_DEDICATED &&
	    config->mode != RT_EXCLUSIVE)
		return fail(STATUS_INVALID, "core-mode: %d, must be shared, dedicated or exclusive",
			    (int)config->mode);
	if (config->embedded && config->mode != RT_SHARED)
		return fail(STATUS_INVALID,
			    "core-mode: an embedded runtime is shared: it neither pins nor spins");
	if (config->embedded && config->cpus)
		return fail(STATUS_INVALID,
			    "cores: an embedded runtime is not pinned: give a number of cores and "
			    "no processors");
	return OK;
}

static struct status config_complete(struct rt_config *config, struct cpus *allowed)
{
	TRY(os_affinity_get(0, allowed));
	if (config->cores == 0 && config->cpus)
		return fail(STATUS_INVALID, "cores: 0, but processors are named: say how many");
	if (config->cores == 0)
		config->cores = cpus_count(allowed);
	if (config->cores == 0 || config->cores > RT_CORES_MAX)
		return fail(STATUS_INVALID, "cores: %u, must be 1 to %d", config->cores,
			    RT_CORES_MAX);
	TRY(mode_check(config));
	if (config->mode != RT_SHARED && !config->cpus && config->cores > cpus_count(allowed))
		return fail(STATUS_INVALID,
			    "cores: %u to be pinned, but the process may use %u processors",
			    config->cores, cpus_count(allowed));
	if (config->priority > 7)
		return fail(STATUS_INVALID, "priority: %u, must be 0 to 7", config->priority);
	return config->cpus ? cpus_check(config, allowed) : OK;
}

static uint32_t processor_of(const struct rt_config *config, const struct cpus *allowed, uint32_t i)
{
	if (config->cpus)
		return config->cpus[i];
	if (config->mode == RT_SHARED)
		return KTHREAD_ANYWHERE;
	return cpus_nth(allowed, i);
}

/* ---- cores ----------------------------------------------------------------------------------- */

/* An idle core looks around every microsecond or so. */
#define PREEMPTED_NS (300 * NS_PER_US)

static void core_init(struct rt *rt, uint32_t number, uint32_t processor)
{
	struct rt_core *c = &rt->cores[number];

	c->rt = rt;
	c->number = number;
	c->processor = processor;
	c->random = (rt->config.seed + number + 1) * 0x9e3779b97f4a7c15ull | 1;
	c->countdown_start = 16;
	c->preempted_cycles = clock_ns_to_cycles(PREEMPTED_NS);
	c->self_thread.name = "dispatcher";
	self_init(&c->self, &c->self_thread);
	c->self.core = c;
	status_ignore(mem_cache_attach(&c->self)); /* without one, allocating is slower */
	for (uint32_t i = 0; i < SPAWN_CELLS; i++)
		atomic_u64_store(&c->spawn[i].turn, UINT64_MAX, ORDER_RELAXED);
	core_sleeper_reset(c);
	c->kthread = (struct kthread){
		.main = core_main,
		.arg = c,
		.name = "tarn-core",
		.self = &c->self,
		.processor = processor,
	};
}

static void core_fini(struct rt_core *c)
{
	mem_cache_detach(&c->self);
	self_fini(&c->self);
}

static void cores_stop(struct rt *rt, uint32_t started)
{
	for (uint32_t i = 0; i < started; i++) {
		atomic_u32_store(&rt->cores[i].stopping, 1, ORDER_SEQ_CST);
		core_kick(&rt->cores[i]);
	}
	for (uint32_t i = 0; i < started; i++)
		kthread_join(&rt->cores[i].kthread);
}

static struct status cores_start(struct rt *rt)
{
	for (uint32_t i = 0; i < rt->core_count; i++) {
		struct status s = kthread_start(&rt->cores[i].kthread);

		if (!status_ok(s)) {
			cores_stop(rt, i);
			return s;
		}
	}
	return OK;
}

/* ---- the whole ------------------------------------------------------------------------------- */

static size_t runtime_bytes(uint32_t cores)
{
	return sizeof(struct rt) + cores * sizeof(struct rt_core);
}

/* Everything but the kernel threads; undone by runtime_free(). */
static struct status runtime_make(const struct rt_config *config, const struct cpus *allowed,
				  struct rt **ret)
{
	void *at;
	struct rt *rt;

	TRY(os_map(runtime_bytes(config->cores), CACHE_LINE, &at));
	rt = at;
	rt->config = *config;
	rt->core_count = config->cores;
	rt->forks = atomic_u32_load(&forks, ORDER_RELAXED);
	rt->cores = (struct rt_core *)(rt + 1);
	list_init(&rt->guests);

	struct status s = slots_init(&rt->slots, config);

	if (status_ok(s)) {
		s = number_take(rt);
		if (status_ok(s)) {
			for (uint32_t i = 0; i < rt->core_count; i++)
				core_init(rt, i, processor_of(config, allowed, i));
			policy_init(rt, borrow_cores_at_start(config));
			*ret = rt;
			return OK;
		}
		slots_fini(&rt->slots);
	}
	status_ignore(os_unmap(at, runtime_bytes(config->cores)));
	return s;
}

static void runtime_free(struct rt *rt)
{
	for (uint32_t i = 0; i < rt->core_count; i++)
		core_fini(&rt->cores[i]);
	atomic_ptr_store(&runtimes[rt->number], NULL, ORDER_RELEASE);
	slots_fini(&rt->slots);
	status_ignore(os_unmap(rt, runtime_bytes(rt->core_count)));
}

/* Everything that runs; what was started is stopped again if the rest cannot be. */
static struct status parts_start(struct rt *rt)
{
	struct status s = offload_create(rt);

	if (!status_ok(s))
		return s;
	s = borrow_start(rt);
	if (status_ok(s)) {
		s = cores_start(rt);
		if (status_ok(s)) {
			s = control_start(rt);
			if (status_ok(s))
				return s;
			cores_stop(rt, rt->core_count);
		}
		borrow_stop(rt);
	}
	offload_destroy(rt);
	return s;
}

struct status rt_start(const struct rt_config *config, struct rt **ret)
{
	struct rt_config complete = *config;
	struct cpus allowed;
	struct rt *rt;

	TRY(config_complete(&complete, &allowed));
	if (complete.seed == 0)
		complete.seed = clock_cycles();
	TRY(runtime_make(&complete, &allowed, &rt));
	rt->config.cpus = NULL; /* borrowed for this call only */

	status_ignore(crash_hook_add(dump_crash)); /* the report says less without */

	struct status s = parts_start(rt);

	if (!status_ok(s)) {
		runtime_free(rt);
		return s;
	}
	*ret = rt;
	return OK;
}

/* Threads spawned and not yet buried. Ends are read first, so the sum is never too small. */
uint64_t runtime_alive(const struct rt *rt)
{
	uint64_t buried = 0;
	uint64_t spawned = 0;

	for (uint32_t i = 0; i < rt->core_count; i++)
		buried += atomic_u64_load(&rt->cores[i].buried, ORDER_ACQUIRE);
	for (uint32_t i = 0; i < rt->core_count; i++)
		spawned += atomic_u64_load(&rt->cores[i].spawned, ORDER_ACQUIRE);
	return spawned + atomic_u64_load(&rt->spawned_outside, ORDER_ACQUIRE) - buried;
}

/*
 * Marks a thread that the stop has not found before; false if it has, or if it has ended. Each is
 * cancelled once: one that has taken the request back is cleaning up, and may wait for that.
 */
static bool stop_finds(struct rt_thread *t, uint64_t *life)
{
	*life = atomic_u64_load(&t->life, ORDER_ACQUIRE);
	do {
		if (*life & (LIFE_STOPPED | LIFE_ENDED))
			return false;
	} while (!atomic_u64_cas(&t->life, life, *life | LIFE_STOPPED, ORDER_RELAXED));
	return true;
}

static void cancel_all(struct rt *rt)
{
	uint32_t made = atomic_u32_load(&rt->slots.fresh, ORDER_ACQUIRE);

	for (uint32_t i = 0; i < made; i++) {
		struct rt_thread *t = &rt->slots.threads[i];
		uint64_t life;

		if (atomic_ptr_load(&t->core, ORDER_RELAXED) != NULL && stop_finds(t, &life))
			status_ignore(rt_cancel(thread_id_at(t, life)));
	}
}

void rt_stop(struct rt *rt)
{
	ASSERT(rt_current() != rt);
	if (!status_ok(runtime_check_fork(rt)))
		return; /* the cores are the parent's, and so is the rest */
	atomic_u32_store(&rt->stopping, 1, ORDER_SEQ_CST);
	for (;;) {
		uint32_t ended = atomic_u32_load(&rt->ended_word, ORDER_ACQUIRE);

		if (runtime_alive(rt) == 0)
			break;
		/* again each time: threads that were on their way when it was last done */
		cancel_all(rt);
		kthread_sleep(&rt->ended_word, ended, clock_deadline(NS_PER_MS));
	}
	control_stop(rt);
	cores_stop(rt, rt->core_count);
	borrow_stop(rt);
	offload_destroy(rt);
	runtime_free(rt);
}

struct rt *rt_current(void)
{
	struct self *s = self();
	struct rt_core *c = s->core;

	return c ? c->rt : NULL;
}

uint32_t rt_cores(const struct rt *rt)
{
	return rt->core_count;
}

uint32_t rt_core_number(void)
{
	struct rt_core *c = core_self();

	return c ? c->number : RT_CORE_ANY;
}
