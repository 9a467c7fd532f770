/*
 * Guests: kernel threads that are not ours and work with the runtime all the same.
 */
#include "base/os.h"
#include "mem/mem.h"
#include "rt/rt_int.h"

struct rt_guest {
	struct self self;
	struct self_thread self_thread;
	struct self *before; /* what the kernel thread had */
	struct rt *rt;
	struct list link; /* rt->guests, under rt->guests_lock */
};

struct status rt_guest_register(struct rt *rt, const char *name, struct rt_guest **ret)
{
	void *at;

	if (core_self())
		return fail(STATUS_INVALID, "guest %s: the caller is a core of a runtime", name);
	TRY(runtime_check_fork(rt));
	TRY(os_map(sizeof(struct rt_guest), CACHE_LINE, &at));

	struct rt_guest *g = at;

	g->self_thread.name = name;
	g->rt = rt;
	g->before = self_or_null();
	self_init(&g->self, &g->self_thread);
	status_ignore(mem_cache_attach(&g->self)); /* without one, allocating is slower */
	list_init(&g->link);
	spinlock_lock(&rt->guests_lock);
	list_append(&rt->guests, &g->link);
	spinlock_unlock(&rt->guests_lock);
	self_set(&g->self);
	*ret = g;
	return OK;
}

void rt_guest_unregister(struct rt_guest *g)
{
	ASSERT(self_or_null() == &g->self);
	spinlock_lock(&g->rt->guests_lock);
	list_remove(&g->link);
	spinlock_unlock(&g->rt->guests_lock);
	self_set(g->before);
	mem_cache_detach(&g->self);
	self_fini(&g->self);
	status_ignore(os_unmap(g, sizeof(*g)));
}

struct call {
	void (*fn)(void *);
	void *arg;
	struct atomic_u32 done;
};

static void call_main(void *arg)
{
	struct call *call = arg;

	call->fn(call->arg);
	/* the caller may return from here on: the wake below only names the address */
	atomic_u32_store(&call->done, 1, ORDER_RELEASE);
	kthread_wake(&call->done, 1);
}

struct status rt_call(struct rt *rt, void (*fn)(void *), void *arg)
{
	struct call call = {.fn = fn, .arg = arg};
	struct rt_attr attr = {.name = "call", .core = RT_CORE_ANY, .detached = true};

	if (core_self())
		return fail(STATUS_INVALID,
			    "call: from a core it would stop the core; spawn and join");
	TRY(rt_spawn(rt, &attr, call_main, &call, NULL));
	while (atomic_u32_load(&call.done, ORDER_ACQUIRE) == 0)
		kthread_sleep(&call.done, 0, CLOCK_NEVER);
	return OK;
}
