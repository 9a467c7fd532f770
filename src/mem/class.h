/*
 * Size classes: what a request is rounded up to.
 *
 *	class   1 … 4    16, 32, 48, 64 bytes
 *	class   5 … 27   four for each doubling: 80, 96, 112, 128, 160, … 3072, 3584   (slabs)
 *	class  28 … 43   1, 2, 3, … 16 pages of 4 KiB                                  (runs)
 *
 * Every class is a multiple of 16, so every object is aligned to 16. From one page on, an object
 * is a run of whole pages: the waste is half a page on average where four classes for each
 * doubling would waste a twelfth, the object is aligned for direct I/O, and when it is free its
 * pages can be given back to the operating system whatever its neighbours do.
 */
#pragma once

#include "base/compiler.h"

#define MEM_PAGE_SHIFT 12
#define MEM_PAGE_BYTES ((size_t)1 << MEM_PAGE_SHIFT)

#define MEM_CLASS_NONE      0  /* of a page: nothing lives here */
#define MEM_CLASS_SLAB_LAST 27 /* classes 1 to this are objects in slabs */
#define MEM_CLASS_RUN_FIRST 28
#define MEM_CLASS_RUN_LAST  43 /* classes up to this are kept in caches */
#define MEM_CLASS_LARGE     44 /* of a page: the head of a run that no cache keeps */
#define MEM_CLASS_INTERIOR  45 /* of a page: a run's, but not its first */
#define MEM_CLASSES         46
#define MEM_RUN_CLASSES     (MEM_CLASS_RUN_LAST - MEM_CLASS_RUN_FIRST + 1)
#define MEM_SLAB_BYTES_MAX  3584
#define MEM_CLASS_BYTES_MAX (MEM_RUN_CLASSES * MEM_PAGE_BYTES)

/* The smallest class of slabs whose objects hold `bytes`, which is at most MEM_SLAB_BYTES_MAX. */
static ALWAYS_INLINE uint32_t mem_class_of_small(size_t bytes)
{
	if (bytes <= 64)
		return (uint32_t)((bytes + 15) >> 4) + (bytes == 0);

	uint64_t last = bytes - 1;
	uint32_t doubling = 63 - (uint32_t)__builtin_clzll(last);

	return (uint32_t)((last >> (doubling - 2)) & 3) + (doubling - 6) * 4 + 5;
}

/* The smallest class whose objects hold `bytes`, which is at most MEM_CLASS_BYTES_MAX. */
static ALWAYS_INLINE uint32_t mem_class_of(size_t bytes)
{
	if (bytes <= MEM_SLAB_BYTES_MAX)
		return mem_class_of_small(bytes);
	return MEM_CLASS_RUN_FIRST - 1 + (uint32_t)((bytes + MEM_PAGE_BYTES - 1) >> MEM_PAGE_SHIFT);
}

/* The size of the objects of a class from 1 to MEM_CLASS_RUN_LAST, in bytes. */
static inline uint32_t mem_class_bytes(uint32_t class)
{
	if (class <= 4)
		return class * 16;
	if (class > MEM_CLASS_SLAB_LAST)
		return (class - MEM_CLASS_RUN_FIRST + 1) << MEM_PAGE_SHIFT;

	uint32_t doubling = (class - 5) / 4;

	return (80 + (class - 5) % 4 * 16) << doubling;
}
