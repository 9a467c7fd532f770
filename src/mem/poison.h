/*
 * What the checkers know of our blocks: AddressSanitizer and (in the debug build) Valgrind see free
 * memory as not to be touched, and a living object as exactly as long as it was asked for.
 */
#pragma once

#include "base/compiler.h"

#if WITH_ASAN
#include <sanitizer/asan_interface.h>
#endif
#if TARN_DEBUG && defined(__has_include)
#if __has_include(<valgrind/memcheck.h>)
#include <valgrind/memcheck.h>
#define WITH_VALGRIND 1
#endif
#endif
#ifndef WITH_VALGRIND
#define WITH_VALGRIND 0
#endif

/* Nobody may touch [p, p + bytes) now. */
static inline void poison_range(void *p, size_t bytes)
{
	(void)p;
	(void)bytes;
#if WITH_ASAN
	ASAN_POISON_MEMORY_REGION(p, bytes);
#endif
#if WITH_VALGRIND
	VALGRIND_MAKE_MEM_NOACCESS(p, bytes);
#endif
}

/* [p, p + bytes) may be written, and read after that. */
static inline void unpoison_range(void *p, size_t bytes)
{
	(void)p;
	(void)bytes;
#if WITH_ASAN
	ASAN_UNPOISON_MEMORY_REGION(p, bytes);
#endif
#if WITH_VALGRIND
	VALGRIND_MAKE_MEM_UNDEFINED(p, bytes);
#endif
}

/* mem itself looks at [p, p + bytes), whoever may. */
static inline void open_range(void *p, size_t bytes)
{
	unpoison_range(p, bytes);
#if WITH_VALGRIND
	VALGRIND_MAKE_MEM_DEFINED(p, bytes);
#endif
}
