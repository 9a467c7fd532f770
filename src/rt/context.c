#include "rt/context.h"

#include "base/assert.h"

#include <stdbool.h>
#include <string.h>

#if WITH_ASAN
#include <pthread.h>
#include <sanitizer/common_interface_defs.h>
#endif
#if WITH_TSAN
#include <sanitizer/tsan_interface.h>
#endif

#if defined(__x86_64__)
enum { FRAME_WORDS = 7, FRAME_ENTRY = 3, FRAME_ARG = 2, FRAME_RETURN = 6 };
#elif defined(__aarch64__)
enum { FRAME_WORDS = 20, FRAME_ENTRY = 2, FRAME_ARG = 3, FRAME_RETURN = 1 };
#endif

void context_reinit(struct context *c, void *bottom, size_t bytes, size_t top_offset,
		    void (*entry)(void *), void *arg)
{
	uintptr_t top = ((uintptr_t)bottom + bytes - top_offset - 16) & ~(uintptr_t)15;
	uintptr_t *frame = (uintptr_t *)top - FRAME_WORDS;

	memset(frame, 0, FRAME_WORDS * sizeof(*frame));
	frame[FRAME_ENTRY] = (uintptr_t)entry;
	frame[FRAME_ARG] = (uintptr_t)arg;
	frame[FRAME_RETURN] = (uintptr_t)context_start_asm;
	c->sp = frame;
#if WITH_ASAN
	c->asan_fake_stack = NULL;
	c->stack_bottom = bottom;
	c->stack_bytes = bytes;
#endif
}

void context_init(struct context *c, void *bottom, size_t bytes, size_t top_offset,
		  void (*entry)(void *), void *arg)
{
	*c = (struct context){0};
#if WITH_TSAN
	c->tsan_fiber = __tsan_create_fiber(0);
#endif
	context_reinit(c, bottom, bytes, top_offset, entry, arg);
}

void context_init_native(struct context *c)
{
	*c = (struct context){0};
#if WITH_ASAN
	pthread_attr_t attr;
	void *bottom;

	ASSERT(pthread_getattr_np(pthread_self(), &attr) == 0);
	ASSERT(pthread_attr_getstack(&attr, &bottom, &c->stack_bytes) == 0);
	c->stack_bottom = bottom;
	pthread_attr_destroy(&attr);
#endif
#if WITH_TSAN
	c->tsan_fiber = __tsan_get_current_fiber();
#endif
}

void context_fini(struct context *c)
{
#if WITH_TSAN
	/* a kernel thread's own fiber ends with the thread */
	if (c->tsan_fiber && c->tsan_fiber != __tsan_get_current_fiber())
		__tsan_destroy_fiber(c->tsan_fiber);
	c->tsan_fiber = NULL;
#endif
	c->sp = NULL;
}

#if WITH_ASAN || WITH_TSAN

static void switch_sanitized(struct context *from, struct context *to, bool last)
{
#if WITH_ASAN
	__sanitizer_start_switch_fiber(last ? NULL : &from->asan_fake_stack, to->stack_bottom,
				       to->stack_bytes);
#endif
#if WITH_TSAN
	__tsan_switch_to_fiber(to->tsan_fiber, 0);
#endif
	(void)last;
	context_switch_asm(&from->sp, to->sp);
#if WITH_ASAN
	__sanitizer_finish_switch_fiber(from->asan_fake_stack, NULL, NULL);
#endif
}

void context_switch(struct context *from, struct context *to)
{
	switch_sanitized(from, to, false);
}

void context_switch_last(struct context *from, struct context *to)
{
	switch_sanitized(from, to, true);
}

void context_entered(void)
{
#if WITH_ASAN
	__sanitizer_finish_switch_fiber(NULL, NULL, NULL);
#endif
}

#endif
