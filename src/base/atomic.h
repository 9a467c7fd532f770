/*
 * Atomics: the C11 operations under names of ours, so that the simulator can stand in between.
 *
 * In the real build each wrapper is the compiler's builtin. In the build for the simulator
 * (TARN_SIM) each calls a sim_atomic_ function, which sim/ defines at link time: it may switch to
 * another simulated core there, delay a store in the core's store buffer, and keep the
 * happens-before relation, so that latch-free code is interleaved, reordered and checked.
 * Code that is shared between cores uses these and nothing else (a check enforces it).
 *
 * Orders are written out at every call: a reader should see why an order suffices.
 */
#pragma once

#include "base/compiler.h"

#include <stdbool.h>

enum order {
	ORDER_RELAXED = __ATOMIC_RELAXED,
	ORDER_ACQUIRE = __ATOMIC_ACQUIRE,
	ORDER_RELEASE = __ATOMIC_RELEASE,
	ORDER_ACQ_REL = __ATOMIC_ACQ_REL,
	ORDER_SEQ_CST = __ATOMIC_SEQ_CST,
};

/* Plain members must not be touched outside of this header; initialise with = {0} or ATOMIC(v). */
struct atomic_u32 {
	uint32_t value;
};

struct atomic_u64 {
	uint64_t value;
};

struct atomic_ptr {
	void *value;
};

#define ATOMIC(initial)                                                                            \
	{                                                                                          \
		.value = (initial)                                                                 \
	}

#if TARN_SIM
enum sim_rmw { SIM_EXCHANGE, SIM_ADD, SIM_OR, SIM_AND };

/* Defined by sim/atomic.c. `width` is 4 or 8 bytes; values travel zero-extended. */
uint64_t sim_atomic_load(const void *at, unsigned width, enum order order);
void sim_atomic_store(void *at, unsigned width, uint64_t value, enum order order);
uint64_t sim_atomic_rmw(void *at, unsigned width, enum sim_rmw op, uint64_t operand,
			enum order order);
bool sim_atomic_cas(void *at, unsigned width, uint64_t *expected, uint64_t desired,
		    enum order order);
void sim_atomic_fence(enum order order);
/* Plain accesses to data that atomics guard: the simulator reports those that race. */
void sim_plain_access(const void *at, size_t bytes, bool write, const char *what);
#define SHARED_READ(at, bytes)  sim_plain_access((at), (bytes), false, __func__)
#define SHARED_WRITE(at, bytes) sim_plain_access((at), (bytes), true, __func__)

#define ATOMIC_OP(real, simulated) (simulated)
#else
#define SHARED_READ(at, bytes)     ((void)0)
#define SHARED_WRITE(at, bytes)    ((void)0)
#define ATOMIC_OP(real, simulated) (real)
#endif

/* The operations of one type; `type` is what the value is, `w` its width. */
#define ATOMIC_DEFINE(name, type, as_u64, from_u64, w)                                             \
	static ALWAYS_INLINE type name##_load(const struct name *a, enum order order)              \
	{                                                                                          \
		return ATOMIC_OP(__atomic_load_n(&a->value, (int)order),                           \
				 from_u64(sim_atomic_load(&a->value, w, order)));                  \
	}                                                                                          \
	static ALWAYS_INLINE void name##_store(struct name *a, type v, enum order order)           \
	{                                                                                          \
		ATOMIC_OP(__atomic_store_n(&a->value, v, (int)order),                              \
			  sim_atomic_store(&a->value, w, as_u64(v), order));                       \
	}                                                                                          \
	static ALWAYS_INLINE type name##_exchange(struct name *a, type v, enum order order)        \
	{                                                                                          \
		return ATOMIC_OP(                                                                  \
			__atomic_exchange_n(&a->value, v, (int)order),                             \
			from_u64(sim_atomic_rmw(&a->value, w, SIM_EXCHANGE, as_u64(v), order)));   \
	}

#define ATOMIC_SAME_(v)    (v)
#define ATOMIC_TO_U32_(v)  ((uint32_t)(v))
#define ATOMIC_PTR_U64_(v) ((uint64_t)(uintptr_t)(v))
#define ATOMIC_U64_PTR_(v) ((void *)(uintptr_t)(v))

ATOMIC_DEFINE(atomic_u32, uint32_t, ATOMIC_SAME_, ATOMIC_TO_U32_, 4);
ATOMIC_DEFINE(atomic_u64, uint64_t, ATOMIC_SAME_, ATOMIC_SAME_, 8);
ATOMIC_DEFINE(atomic_ptr, void *, ATOMIC_PTR_U64_, ATOMIC_U64_PTR_, 8);

/* The order of a failed compare-and-swap: as strong as the successful one without its release. */
static ALWAYS_INLINE int atomic_failure_order(enum order order)
{
	switch (order) {
	case ORDER_SEQ_CST: return __ATOMIC_SEQ_CST;
	case ORDER_RELAXED:
	case ORDER_RELEASE: return __ATOMIC_RELAXED;
	default: return __ATOMIC_ACQUIRE;
	}
}

/* On failure *expected holds what was found. Strong: fails only if the value differs. */
static ALWAYS_INLINE bool atomic_u32_cas(struct atomic_u32 *a, uint32_t *expected, uint32_t desired,
					 enum order order)
{
#if TARN_SIM
	uint64_t found = *expected;
	bool done = sim_atomic_cas(&a->value, 4, &found, desired, order);
	*expected = (uint32_t)found;
	return done;
#else
	return __atomic_compare_exchange_n(&a->value, expected, desired, false, (int)order,
					   atomic_failure_order(order));
#endif
}

/* The same. */
static ALWAYS_INLINE bool atomic_u64_cas(struct atomic_u64 *a, uint64_t *expected, uint64_t desired,
					 enum order order)
{
#if TARN_SIM
	return sim_atomic_cas(&a->value, 8, expected, desired, order);
#else
	return __atomic_compare_exchange_n(&a->value, expected, desired, false, (int)order,
					   atomic_failure_order(order));
#endif
}

/* The same. */
static ALWAYS_INLINE bool atomic_ptr_cas(struct atomic_ptr *a, void **expected, void *desired,
					 enum order order)
{
#if TARN_SIM
	uint64_t found = (uint64_t)(uintptr_t)*expected;
	bool done = sim_atomic_cas(&a->value, 8, &found, (uint64_t)(uintptr_t)desired, order);
	*expected = (void *)(uintptr_t)found;
	return done;
#else
	return __atomic_compare_exchange_n(&a->value, expected, desired, false, (int)order,
					   atomic_failure_order(order));
#endif
}

/* Arithmetic; each returns the value before. */
#define ATOMIC_DEFINE_RMW(name, type, op, builtin, simulated, w)                                   \
	static ALWAYS_INLINE type name##_##op(struct name *a, type v, enum order order)            \
	{                                                                                          \
		return ATOMIC_OP(builtin(&a->value, v, (int)order),                                \
				 (type)sim_atomic_rmw(&a->value, w, simulated, v, order));         \
	}

ATOMIC_DEFINE_RMW(atomic_u32, uint32_t, add, __atomic_fetch_add, SIM_ADD, 4);
ATOMIC_DEFINE_RMW(atomic_u32, uint32_t, or, __atomic_fetch_or, SIM_OR, 4);
ATOMIC_DEFINE_RMW(atomic_u32, uint32_t, and, __atomic_fetch_and, SIM_AND, 4);
ATOMIC_DEFINE_RMW(atomic_u64, uint64_t, add, __atomic_fetch_add, SIM_ADD, 8);
ATOMIC_DEFINE_RMW(atomic_u64, uint64_t, or, __atomic_fetch_or, SIM_OR, 8);
ATOMIC_DEFINE_RMW(atomic_u64, uint64_t, and, __atomic_fetch_and, SIM_AND, 8);

/*
 * For those who only watch (trace, metrics, log, crash report): the same operations, but never a
 * point at which the simulator switches, so that watching does not change what is watched, and a
 * crash report can be made at any point.
 */
static ALWAYS_INLINE uint64_t atomic_u64_quiet_load(const struct atomic_u64 *a, enum order order)
{
	return __atomic_load_n(&a->value, (int)order);
}

/* The store of a watcher. */
static ALWAYS_INLINE void atomic_u64_quiet_store(struct atomic_u64 *a, uint64_t v, enum order order)
{
	__atomic_store_n(&a->value, v, (int)order);
}

/* The addition of a watcher; returns the value before. */
static ALWAYS_INLINE uint64_t atomic_u64_quiet_add(struct atomic_u64 *a, uint64_t v,
						   enum order order)
{
	return __atomic_fetch_add(&a->value, v, (int)order);
}

/* On failure *expected holds what was found. */
static ALWAYS_INLINE bool atomic_u64_quiet_cas(struct atomic_u64 *a, uint64_t *expected,
					       uint64_t desired, enum order order)
{
	return __atomic_compare_exchange_n(&a->value, expected, desired, false, (int)order,
					   atomic_failure_order(order));
}

/* The load of a watcher. */
static ALWAYS_INLINE void *atomic_ptr_quiet_load(const struct atomic_ptr *a, enum order order)
{
	return __atomic_load_n(&a->value, (int)order);
}

/* On failure *expected holds what was found. */
static ALWAYS_INLINE bool atomic_ptr_quiet_cas(struct atomic_ptr *a, void **expected, void *desired,
					       enum order order)
{
	return __atomic_compare_exchange_n(&a->value, expected, desired, false, (int)order,
					   atomic_failure_order(order));
}

/* The fence of a watcher. */
static ALWAYS_INLINE void atomic_quiet_fence(enum order order)
{
	__atomic_thread_fence((int)order);
}

/* Orders what stands before it against what stands behind it. */
static ALWAYS_INLINE void atomic_fence(enum order order)
{
#if TARN_SIM
	sim_atomic_fence(order);
#else
	__atomic_thread_fence((int)order);
#endif
}
