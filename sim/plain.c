/*
 * Every plain access of the library, without an annotation: in the build for the simulator the
 * compiler instruments the code as it does for ThreadSanitizer (-fsanitize=thread), and the
 * functions that it calls are these instead of that library's. So a field that is handed from core
 * to core without release and acquire is found in every run that passes there, whatever the order
 * was.
 *
 * Plain accesses are no switch points and no part of the hash: code without races cannot tell in
 * which order they were made. The names are the compiler's.
 */
#include "sim/sim_int.h"

void __tsan_init(void);
void __tsan_func_entry(void *caller);
void __tsan_func_exit(void);

void __tsan_init(void)
{
}

void __tsan_func_entry(void *caller)
{
	(void)caller;
}

void __tsan_func_exit(void)
{
}

static ALWAYS_INLINE void access_made(const void *at, size_t bytes, bool write, const void *pc)
{
	/* the one thread-local variable is switched with the processor: each has its own */
	if (sim_now_running && at != &self_current)
		race_access(sim_now_running, at, bytes, write, pc);
}

#define ACCESS(name, bytes, write)                                                                 \
	void name(const void *at);                                                                 \
	void name(const void *at)                                                                  \
	{                                                                                          \
		access_made(at, bytes, write, __builtin_return_address(0));                        \
	}

#define ACCESSES(bytes)                                                                            \
	ACCESS(__tsan_read##bytes, bytes, false)                                                   \
	ACCESS(__tsan_write##bytes, bytes, true)                                                   \
	ACCESS(__tsan_unaligned_read##bytes, bytes, false)                                         \
	ACCESS(__tsan_unaligned_write##bytes, bytes, true)                                         \
	ACCESS(__tsan_volatile_read##bytes, bytes, false)                                          \
	ACCESS(__tsan_volatile_write##bytes, bytes, true)

ACCESSES(1)
ACCESSES(2)
ACCESSES(4)
ACCESSES(8)
ACCESSES(16)

void __tsan_read_range(const void *at, size_t bytes);
void __tsan_write_range(const void *at, size_t bytes);

void __tsan_read_range(const void *at, size_t bytes)
{
	access_made(at, bytes, false, __builtin_return_address(0));
}

void __tsan_write_range(const void *at, size_t bytes)
{
	access_made(at, bytes, true, __builtin_return_address(0));
}

/* clang's names for what gcc leaves to the C library */
void *__tsan_memcpy(void *to, const void *from, size_t bytes);
void *__tsan_memmove(void *to, const void *from, size_t bytes);
void *__tsan_memset(void *at, int value, size_t bytes);

void *__tsan_memcpy(void *to, const void *from, size_t bytes)
{
	access_made(from, bytes, false, __builtin_return_address(0));
	access_made(to, bytes, true, __builtin_return_address(0));
	return __builtin_memcpy(to, from, bytes);
}

void *__tsan_memmove(void *to, const void *from, size_t bytes)
{
	access_made(from, bytes, false, __builtin_return_address(0));
	access_made(to, bytes, true, __builtin_return_address(0));
	return __builtin_memmove(to, from, bytes);
}

void *__tsan_memset(void *at, int value, size_t bytes)
{
	access_made(at, bytes, true, __builtin_return_address(0));
	return __builtin_memset(at, value, bytes);
}

/*
 * The builtins behind the quiet wrappers of base/atomic.h, which are for who only watches: no
 * switch points, and not seen by the model.
 */
#define QUIET(bits, type)                                                                          \
	type __tsan_atomic##bits##_load(const type *at, int order);                                \
	type __tsan_atomic##bits##_load(const type *at, int order)                                 \
	{                                                                                          \
		(void)order;                                                                       \
		return __atomic_load_n(at, __ATOMIC_SEQ_CST);                                      \
	}                                                                                          \
	void __tsan_atomic##bits##_store(type *at, type v, int order);                             \
	void __tsan_atomic##bits##_store(type *at, type v, int order)                              \
	{                                                                                          \
		(void)order;                                                                       \
		__atomic_store_n(at, v, __ATOMIC_SEQ_CST);                                         \
	}                                                                                          \
	QUIET_RMW(bits, type, exchange, __atomic_exchange_n)                                       \
	QUIET_RMW(bits, type, fetch_add, __atomic_fetch_add)                                       \
	QUIET_RMW(bits, type, fetch_sub, __atomic_fetch_sub)                                       \
	QUIET_RMW(bits, type, fetch_and, __atomic_fetch_and)                                       \
	QUIET_RMW(bits, type, fetch_or, __atomic_fetch_or)                                         \
	int __tsan_atomic##bits##_compare_exchange_strong(type *at, type *expected, type v,        \
							  int order, int failure);                 \
	int __tsan_atomic##bits##_compare_exchange_strong(type *at, type *expected, type v,        \
							  int order, int failure)                  \
	{                                                                                          \
		(void)order, (void)failure;                                                        \
		return __atomic_compare_exchange_n(at, expected, v, false, __ATOMIC_SEQ_CST,       \
						   __ATOMIC_SEQ_CST);                              \
	}                                                                                          \
	/* clang's form: gives back what was found */                                              \
	type __tsan_atomic##bits##_compare_exchange_val(type *at, type expected, type v,           \
							int order, int failure);                   \
	type __tsan_atomic##bits##_compare_exchange_val(type *at, type expected, type v,           \
							int order, int failure)                    \
	{                                                                                          \
		(void)order, (void)failure;                                                        \
		__atomic_compare_exchange_n(at, &expected, v, false, __ATOMIC_SEQ_CST,             \
					    __ATOMIC_SEQ_CST);                                     \
		return expected;                                                                   \
	}

#define QUIET_RMW(bits, type, operation, builtin)                                                  \
	type __tsan_atomic##bits##_##operation(type *at, type v, int order);                       \
	type __tsan_atomic##bits##_##operation(type *at, type v, int order)                        \
	{                                                                                          \
		(void)order;                                                                       \
		return builtin(at, v, __ATOMIC_SEQ_CST);                                           \
	}

QUIET(8, uint8_t)
QUIET(32, uint32_t)
QUIET(64, uint64_t)

void __tsan_atomic_thread_fence(int order);
void __tsan_atomic_signal_fence(int order);

void __tsan_atomic_thread_fence(int order)
{
	(void)order;
}

void __tsan_atomic_signal_fence(int order)
{
	(void)order;
}
