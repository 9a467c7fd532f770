/*
 * What the sides of the bench `memory` share: Tarn's memory and the peer as sets of functions.
 */
#pragma once

#include "base/random.h"
#include "base/self.h"
#include "bench/bench.h"
#include "mem/mem.h"

/*
 * An allocator. Where time is measured, Tarn's functions are inlined as they are for its users, and
 * the peer's are called through pointers as a program that links it would.
 */
struct memory_allocator {
	void *(*alloc)(size_t bytes);
	void (*release)(void *p);
	size_t (*usable)(const void *p);
	void (*collect)(bool force); /* gives back what it can at once; NULL: does so by itself */
};

extern struct mem_tag memory_tag;

static ALWAYS_INLINE void *memory_ours_alloc(size_t bytes)
{
	return mem_alloc(bytes, &memory_tag);
}

static ALWAYS_INLINE void memory_ours_release(void *p)
{
	mem_free(p);
}

#define MEMORY_OURS                                                                                \
	((struct memory_allocator){memory_ours_alloc, memory_ours_release, mem_size, NULL})

/* mimalloc, loaded when it is first asked for. STATUS_NOT_FOUND: it is not installed. */
struct status memory_peer(struct memory_allocator *ret);

/* A kernel thread that is known to Tarn and has a memory cache, as cores and guests have. */
struct memory_guest {
	struct self self;
	struct self_thread thread;
};

/* Makes the calling kernel thread such a guest. STATUS_NO_MEMORY. */
struct status memory_guest_enter(struct memory_guest *g);
void memory_guest_leave(struct memory_guest *g);

/* A size from 16 bytes to 64 KiB whose logarithm is equally distributed. */
size_t memory_size_drawn(struct random *r);

/* ---- space: memory_space.c ------------------------------------------------------------------- */

struct status memory_waste_ours(struct bench_round *round);
struct status memory_waste_peer(struct bench_round *round);
struct status memory_resident_setup(struct bench_round *round);
void memory_resident_teardown(struct bench_round *round);
struct status memory_resident_ours(struct bench_round *round);
struct status memory_resident_peer(struct bench_round *round);
struct status memory_resident_collected(struct bench_round *round);
