/*
 * Switching between stacks: the only machine-dependent part of the runtime.
 *
 * A context is a suspended computation. It is one stack pointer: everything else that the calling
 * convention asks to keep lies on its stack. The floating-point control words (mxcsr, x87, fpcr)
 * are not kept: no user thread may change them. The switch ends in an indirect jump and not in a
 * return, because the processor's return predictor is wrong at every switch (2 ns against 10).
 */
#pragma once

#include "base/compiler.h"

struct context {
	void *sp; /* valid while suspended */
#if WITH_ASAN
	void *asan_fake_stack;
	const void *stack_bottom;
	size_t stack_bytes;
#endif
#if WITH_TSAN
	void *tsan_fiber;
#endif
};

/* Saves the running computation's stack pointer in *save and goes on where `load` was saved. */
void context_switch_asm(void **save, void *load);

/* Where a fresh context begins (assembly): calls the function that context_init() was given. */
void context_start_asm(void);

/*
 * Makes a context that will call entry(arg) on the stack [bottom, bottom + bytes) when first
 * switched to. `entry` must never return and must call context_entered() first. The stack is
 * borrowed until context_fini(). `top_offset` bytes (a multiple of 16) are left free at the top:
 * stacks that all begin at the same offset of a page fight for the same cache sets.
 */
void context_init(struct context *c, void *bottom, size_t bytes, size_t top_offset,
		  void (*entry)(void *), void *arg);

/* Readies an initialised context, whose computation has ended, for a new entry(arg). */
void context_reinit(struct context *c, void *bottom, size_t bytes, size_t top_offset,
		    void (*entry)(void *), void *arg);

/* Describes the running kernel thread's own stack, so that it can be switched away from. */
void context_init_native(struct context *c);

/* Forgets a context that will not run again. Its stack may be freed afterwards. */
void context_fini(struct context *c);

#if WITH_ASAN || WITH_TSAN
void context_switch(struct context *from, struct context *to);
void context_switch_last(struct context *from, struct context *to);
void context_entered(void);
#else

/* Suspends the running computation into `from` and continues `to`. */
static ALWAYS_INLINE void context_switch(struct context *from, struct context *to)
{
	context_switch_asm(&from->sp, to->sp);
}

/* The same when `from` has ended and will only be continued after a context_reinit(). */
static ALWAYS_INLINE void context_switch_last(struct context *from, struct context *to)
{
	context_switch_asm(&from->sp, to->sp);
}

/* The first thing a fresh context's entry function does. */
static ALWAYS_INLINE void context_entered(void)
{
}
#endif
