/*
 * What the compiler must be told: attributes and hints, each under one name for gcc and clang.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

/* A type whose value may not be dropped by a caller. */
#if defined(__clang__)
#define MUST_USE_TYPE __attribute__((warn_unused_result))
#else
#define MUST_USE_TYPE [[nodiscard]]
#endif

#define MUST_USE          __attribute__((warn_unused_result))
#define PRINTF(fmt, args) __attribute__((format(printf, fmt, args)))
#define NORETURN          __attribute__((noreturn))
#define NOINLINE          __attribute__((noinline))
#define COLD              __attribute__((cold, noinline))
#define ALWAYS_INLINE     inline __attribute__((always_inline))
#define CLEANUP(function) __attribute__((cleanup(function)))
#define UNUSED            __attribute__((unused))

/*
 * SUSPENDS stands in the declaration of every function that may suspend the user thread that calls
 * it. After such a call, look again: another thread may have run, and borrowed pointers have ended.
 */
#define SUSPENDS

#define likely(x)   __builtin_expect(!!(x), 1)
#define unlikely(x) __builtin_expect(!!(x), 0)

/* 64 bytes on every machine that we know of; aarch64 machines with 128 lose a little speed only. */
#define CACHE_LINE    64
#define CACHE_ALIGNED __attribute__((aligned(CACHE_LINE)))

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))

/* The object that holds `member` at `ptr`. */
#define CONTAINER_OF(ptr, type, member) ((type *)(void *)((char *)(ptr)-offsetof(type, member)))

#define prefetch_read(p)  __builtin_prefetch((p), 0, 3)
#define prefetch_write(p) __builtin_prefetch((p), 1, 3)

#if defined(__SANITIZE_ADDRESS__)
#define WITH_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define WITH_ASAN 1
#endif
#endif
#ifndef WITH_ASAN
#define WITH_ASAN 0
#endif

/* With TARN_SIM_PLAIN the same instrumentation serves the simulator: see sim/plain.c. */
#ifdef TARN_SIM_PLAIN
#define WITH_TSAN 0
#elif defined(__SANITIZE_THREAD__)
#define WITH_TSAN 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define WITH_TSAN 1
#endif
#endif
#ifndef WITH_TSAN
#define WITH_TSAN 0
#endif

/* 1 in the build of the library that the simulator drives (see base/atomic.h). */
#ifndef TARN_SIM
#define TARN_SIM 0
#endif

#if TARN_SIM
void sim_relax(void); /* defined by sim/: lets another simulated processor go on */
#endif

/* Tells the processor that this is a spin loop. */
static ALWAYS_INLINE void cpu_relax(void)
{
#if TARN_SIM
	sim_relax();
#elif defined(__x86_64__)
	__builtin_ia32_pause();
#elif defined(__aarch64__)
	__asm__ volatile("isb" ::: "memory");
#endif
}

/* 1 in debug builds: red zones, poison, owner tags, invariant checks that cost. */
#ifndef TARN_DEBUG
#define TARN_DEBUG 0
#endif
