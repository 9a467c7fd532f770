#include "base/diag.h"
#include "base/trace.h"
#include "rt/rt_int.h"

/* ---- lists, under the lock ------------------------------------------------------------------- */

static uint32_t class_count(const struct policy_class *class)
{
	return atomic_u32_load(&class->count, ORDER_RELAXED);
}

static enum rt_class_kind class_kind(const struct policy_class *class)
{
	return (enum rt_class_kind)atomic_u32_load(&class->kind, ORDER_ACQUIRE);
}

/* Sets which classes a core serves, and sees to it that the core hears of it. */
static void core_serve(struct rt_core *c, uint32_t classes)
{
	TRACE("rt: core %u serves classes %#x", c->number, classes);
	/* seq_cst: a core that is about to sleep looks at this after it said so (core_park) */
	atomic_u32_store(&c->serves, classes, ORDER_SEQ_CST);
	core_kick(c);
}

static void class_add(struct rt *rt, uint8_t number, uint32_t core)
{
	struct policy_class *class = &rt->policy.classes[number];
	uint32_t count = class_count(class);

	atomic_u32_store(&class->cores[count], core, ORDER_RELAXED);
	atomic_u32_store(&class->count, count + 1, ORDER_RELEASE);
	core_serve(&rt->cores[core], 1u << number);
}

/* Takes the core at `position` out of the class's list and returns its number. */
static uint32_t class_remove(struct rt *rt, uint8_t number, uint32_t position)
{
	struct policy_class *class = &rt->policy.classes[number];
	uint32_t last = class_count(class) - 1;
	uint32_t core = atomic_u32_load(&class->cores[position], ORDER_RELAXED);

	atomic_u32_store(&class->cores[position],
			 atomic_u32_load(&class->cores[last], ORDER_RELAXED), ORDER_RELAXED);
	atomic_u32_store(&class->count, last, ORDER_RELEASE);
	return core;
}

/* A core for somebody else: one that serves nobody, else the last of class 0. */
static struct status core_take(struct rt *rt, uint32_t *ret_core)
{
	struct policy *p = &rt->policy;
	uint32_t shared = class_count(&p->classes[RT_CLASS_SHARED]);

	if (p->idle_count > 0) {
		*ret_core = p->idle[--p->idle_count];
		return OK;
	}
	if (shared < 2)
		return fail(STATUS_LIMIT, "cores: all but one are taken; class 0 keeps the last");
	*ret_core = class_remove(rt, RT_CLASS_SHARED, shared - 1);
	return OK;
}

void policy_init(struct rt *rt, uint32_t count)
{
	struct policy_class *shared = &rt->policy.classes[RT_CLASS_SHARED];

	shared->name = "shared";
	atomic_u32_store(&shared->kind, RT_CLASS_KIND_SHARED, ORDER_RELAXED);
	for (uint32_t i = 0; i < count; i++) {
		class_add(rt, RT_CLASS_SHARED, i);
		rt->cores[i].serves_seen = 1u << RT_CLASS_SHARED;
	}
}

/* ---- cores that come and go ------------------------------------------------------------------ */

void policy_core_add(struct rt *rt, struct rt_core *c)
{
	spinlock_lock(&rt->policy.lock);
	if (atomic_u32_load(&c->serves, ORDER_RELAXED) == 0)
		class_add(rt, RT_CLASS_SHARED, c->number);
	spinlock_unlock(&rt->policy.lock);
}

/* Takes the core out of a list of numbers; false if it is not there. */
static bool idle_remove(struct policy *p, uint32_t core)
{
	for (uint32_t i = 0; i < p->idle_count; i++) {
		if (p->idle[i] != core)
			continue;
		p->idle[i] = p->idle[--p->idle_count];
		return true;
	}
	return false;
}

bool policy_core_remove(struct rt *rt, struct rt_core *c)
{
	struct policy *p = &rt->policy;
	bool last = false;

	spinlock_lock(&p->lock);
	if (!idle_remove(p, c->number)) {
		for (uint8_t n = 0; n < RT_CLASSES_MAX; n++) {
			uint32_t count = class_count(&p->classes[n]);

			for (uint32_t i = 0; i < count; i++) {
				if (atomic_u32_load(&p->classes[n].cores[i], ORDER_RELAXED) !=
				    c->number)
					continue;
				last = n == RT_CLASS_SHARED && count == 1;
				if (!last)
					class_remove(rt, n, i);
				break;
			}
		}
		if (!last)
			core_serve(c, 0);
	}
	spinlock_unlock(&p->lock);
	return !last;
}

/* ---- classes --------------------------------------------------------------------------------- */

static struct status resize_locked(struct rt *rt, uint8_t number, uint32_t cores)
{
	struct policy *p = &rt->policy;
	struct policy_class *class = &p->classes[number];

	if (number != RT_CLASS_SHARED && cores > class_count(class)) {
		uint32_t wanted = cores - class_count(class);
		uint32_t spare = p->idle_count + class_count(&p->classes[RT_CLASS_SHARED]) - 1;

		if (wanted > spare)
			return fail(STATUS_LIMIT, "class %s: %u more cores, but %u can be spared",
				    class->name, wanted, spare);
	}
	while (class_count(class) < cores) {
		uint32_t core;

		if (number == RT_CLASS_SHARED && p->idle_count == 0)
			return fail(STATUS_LIMIT,
				    "class shared: %u cores, but other classes have all "
				    "but %u",
				    cores, class_count(class));
		TRY(core_take(rt, &core));
		class_add(rt, number, core);
	}
	while (class_count(class) > cores) {
		uint32_t core = class_remove(rt, number, class_count(class) - 1);

		if (number == RT_CLASS_SHARED) {
			p->idle[p->idle_count++] = core;
			core_serve(&rt->cores[core], 0);
		} else {
			class_add(rt, RT_CLASS_SHARED, core);
		}
	}
	return OK;
}

struct status rt_class_resize(struct rt *rt, uint8_t class, uint32_t cores)
{
	enum rt_class_kind kind = class < RT_CLASSES_MAX ? class_kind(&rt->policy.classes[class])
							 : RT_CLASS_KIND_NONE;

	if (kind != RT_CLASS_KIND_SHARED && kind != RT_CLASS_KIND_ISOLATED)
		return fail(STATUS_INVALID, "class %u: does not exist or has no number of cores",
			    class);
	if (cores == 0 || cores > rt->core_count)
		return fail(STATUS_INVALID, "class %s: %u cores, must be 1 to %u",
			    rt->policy.classes[class].name, cores, rt->core_count);

	spinlock_lock(&rt->policy.lock);
	struct status s = resize_locked(rt, class, cores);
	spinlock_unlock(&rt->policy.lock);
	return s;
}

static struct status create_locked(struct rt *rt, const char *name, enum rt_class_kind kind,
				   uint32_t cores, uint8_t *ret_class)
{
	struct policy *p = &rt->policy;

	for (uint8_t i = 1; i < RT_CLASSES_MAX; i++) {
		if (class_kind(&p->classes[i]) != RT_CLASS_KIND_NONE)
			continue;
		p->classes[i].name = name;
		TRY(resize_locked(rt, i, cores));
		atomic_u32_store(&p->classes[i].kind, kind, ORDER_RELEASE);
		*ret_class = i;
		return OK;
	}
	return fail(STATUS_LIMIT, "class %s: there are %d already, the most there can be", name,
		    RT_CLASSES_MAX);
}

struct status rt_class_create(struct rt *rt, const char *name, enum rt_class_kind kind,
			      uint32_t cores, uint8_t *ret_class)
{
	if (kind != RT_CLASS_KIND_ISOLATED && kind != RT_CLASS_KIND_EXCLUSIVE)
		return fail(STATUS_INVALID, "class %s: kind %d, must be isolated or exclusive",
			    name, (int)kind);
	if (kind == RT_CLASS_KIND_ISOLATED && (cores == 0 || cores >= rt->core_count))
		return fail(STATUS_INVALID, "class %s: %u cores, must be 1 to %u", name, cores,
			    rt->core_count - 1);
	if (kind == RT_CLASS_KIND_EXCLUSIVE && cores != 0)
		return fail(STATUS_INVALID,
			    "class %s: an exclusive class takes cores by itself, not %u", name,
			    cores);

	spinlock_lock(&rt->policy.lock);
	struct status s = create_locked(rt, name, kind, cores, ret_class);
	spinlock_unlock(&rt->policy.lock);
	return s;
}

uint32_t rt_class_cores(struct rt *rt, uint8_t class)
{
	return class < RT_CLASSES_MAX ? class_count(&rt->policy.classes[class]) : 0;
}

bool policy_class_exists(const struct rt *rt, uint8_t class)
{
	return class < RT_CLASSES_MAX &&
	       class_kind(&rt->policy.classes[class]) != RT_CLASS_KIND_NONE;
}

bool policy_is_exclusive(const struct rt *rt, uint8_t class)
{
	return class != RT_CLASS_SHARED &&
	       class_kind(&rt->policy.classes[class]) == RT_CLASS_KIND_EXCLUSIVE;
}

/* ---- placing --------------------------------------------------------------------------------- */

/* xorshift64 (Marsaglia 2003): two cores out of a list need no better randomness. */
static ALWAYS_INLINE uint64_t random_next(uint64_t *state)
{
	uint64_t x = *state;

	x ^= x << 13;
	x ^= x >> 7;
	x ^= x << 17;
	*state = x;
	return x;
}

/* Modulo 2^32, as its parts are. */
static ALWAYS_INLINE uint32_t load_of(const struct rt_core *c)
{
	return atomic_u32_load(&c->spawned_here, ORDER_RELAXED) +
	       atomic_u32_load(&c->pushed, ORDER_RELAXED) -
	       atomic_u32_load(&c->gone, ORDER_RELAXED);
}

struct rt_core *policy_core(struct rt *rt, uint8_t number, uint64_t *random)
{
	const struct policy_class *class = &rt->policy.classes[number];
	uint32_t count = atomic_u32_load(&class->count, ORDER_ACQUIRE);

	if (count == 0)
		return NULL;

	/* two different positions, by multiplication instead of division */
	uint64_t r = random_next(random);
	uint32_t a = (uint32_t)((r & 0xffffffff) * count >> 32);
	uint32_t b = count > 1 ? (uint32_t)((r >> 32) * (count - 1) >> 32) : 0;

	b += b >= a && count > 1;

	struct rt_core *first = &rt->cores[atomic_u32_load(&class->cores[a], ORDER_RELAXED)];
	struct rt_core *second = &rt->cores[atomic_u32_load(&class->cores[b], ORDER_RELAXED)];

	/* read one after the other, so it may be seen below zero: as a difference it is right */
	return (int32_t)(load_of(second) - load_of(first)) < 0 ? second : first;
}

/* A core for one thread; the core serves only that class until policy_exclusive_give(). */
static struct status exclusive_take(struct rt *rt, uint8_t class, struct rt_core **ret)
{
	uint32_t core = 0;

	spinlock_lock(&rt->policy.lock);
	struct status s = core_take(rt, &core);
	if (status_ok(s))
		core_serve(&rt->cores[core], 1u << class);
	spinlock_unlock(&rt->policy.lock);
	TRY(s);
	*ret = &rt->cores[core];
	return OK;
}

void policy_exclusive_give(struct rt *rt, struct rt_core *c)
{
	spinlock_lock(&rt->policy.lock);
	class_add(rt, RT_CLASS_SHARED, c->number);
	spinlock_unlock(&rt->policy.lock);
}

struct status policy_place(struct rt *rt, uint8_t class, struct rt_core *me, struct rt_core **ret)
{
	uint64_t outside;
	uint64_t *random = &outside;

	if (unlikely(policy_is_exclusive(rt, class)))
		return exclusive_take(rt, class, ret);
	if (likely(me != NULL))
		random = &me->random;
	else
		outside = clock_cycles() * 0x9e3779b97f4a7c15ull | 1;
	*ret = policy_core(rt, class, random);
	return *ret ? OK : fail(STATUS_LIMIT, "spawn: class %u has no core", class);
}
