/*
 * The public face of the runtime: include/tarn/runtime.h and status.h in terms of rt.h.
 */
#include "base/clock.h"
#include "base/diag.h"
#include "rt/rt.h"
#include "tarn/runtime.h"

#define SAME(public, ours) _Static_assert((int)(public) == (int)(ours), "codes are the same")
SAME(TARN_OK, STATUS_OK);
SAME(TARN_STALE, STATUS_STALE);
SAME(TARN_BUG, STATUS_BUG);
SAME(TARN_CORES_SHARED, RT_SHARED);
SAME(TARN_CORES_EXCLUSIVE, RT_EXCLUSIVE);

static struct tarn_status public_status(struct status s)
{
	return (struct tarn_status){(enum tarn_code)s.code};
}

static struct rt *ours(struct tarn_runtime *rt)
{
	return (struct rt *)rt;
}

const char *tarn_status_name(struct tarn_status status)
{
	return status_name((enum status_code)status.code);
}

const char *tarn_status_text(struct tarn_status status)
{
	return status_text((enum status_code)status.code);
}

const char *tarn_last_error(void)
{
	return diag_text();
}

struct tarn_status tarn_runtime_start(const struct tarn_runtime_config *config,
				      struct tarn_runtime **ret)
{
	struct rt_config c = {
		.cores = config->cores,
		.mode = (enum rt_mode)config->mode,
		.threads_max = config->threads_max,
		.stack_bytes = config->stack_bytes,
		.embedded = config->embedded,
		.elastic = config->elastic,
		.watchdog_ns = config->watchdog_ns,
	};
	struct rt *rt;
	struct status s = rt_start(&c, &rt);

	if (status_ok(s))
		*ret = (struct tarn_runtime *)rt;
	return public_status(s);
}

void tarn_runtime_stop(struct tarn_runtime *rt)
{
	rt_stop(ours(rt));
}

void tarn_runtime_dump(struct tarn_runtime *rt, FILE *out)
{
	rt_dump(ours(rt), out);
}

struct tarn_status tarn_spawn(struct tarn_runtime *rt, const struct tarn_thread_attr *attr,
			      void (*entry)(void *), void *arg, struct tarn_thread *ret)
{
	struct rt_attr a = RT_ATTR_DEFAULT;
	struct rt_id id = {0};

	if (attr) {
		a.name = attr->name;
		a.core = attr->pinned ? attr->core : RT_CORE_ANY;
		a.detached = attr->detached;
	}

	struct status s = rt_spawn(ours(rt), &a, entry, arg, &id);

	if (status_ok(s) && ret)
		ret->id = id.value;
	return public_status(s);
}

SUSPENDS struct tarn_status tarn_join(struct tarn_thread thread)
{
	return public_status(rt_join((struct rt_id){thread.id}));
}

struct tarn_status tarn_detach(struct tarn_thread thread)
{
	return public_status(rt_detach((struct rt_id){thread.id}));
}

struct tarn_status tarn_cancel(struct tarn_thread thread)
{
	return public_status(rt_cancel((struct rt_id){thread.id}));
}

struct tarn_thread tarn_self(void)
{
	return (struct tarn_thread){rt_self().value};
}

uint32_t tarn_core(void)
{
	return rt_core_number();
}

SUSPENDS void tarn_yield(void)
{
	rt_yield();
}

SUSPENDS struct tarn_status tarn_sleep(uint64_t ns)
{
	return public_status(rt_sleep(ns));
}

uint64_t tarn_now(void)
{
	return clock_ns();
}

SUSPENDS struct tarn_status tarn_offload(void (*fn)(void *), void *arg)
{
	return public_status(rt_offload(fn, arg));
}

struct tarn_status tarn_call(struct tarn_runtime *rt, void (*fn)(void *), void *arg)
{
	return public_status(rt_call(ours(rt), fn, arg));
}

struct tarn_wait tarn_wait_begin(const char *reason)
{
	struct rt_wait w = rt_wait_begin(reason);

	return (struct tarn_wait){.thread = w.thread, .sequence = w.sequence};
}

SUSPENDS struct tarn_status tarn_wait(struct tarn_wait wait, uint64_t deadline)
{
	struct rt_wait w = {.thread = wait.thread, .sequence = wait.sequence};

	return public_status(rt_wait(w, deadline));
}

bool tarn_wake(struct tarn_wait wait)
{
	return rt_wake((struct rt_wait){.thread = wait.thread, .sequence = wait.sequence});
}
