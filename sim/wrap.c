/*
 * What the linker puts in front of other functions (--wrap, see meson.build): assertions become
 * findings with a seed, and memory that is given back is forgotten.
 *
 * The names with two underscores are the linker's convention, not ours.
 */
#include "base/assert.h"
#include "base/os.h"
#include "sim/sim_int.h"

#include <malloc.h>
#include <stdarg.h>
#include <sys/mman.h>

#define PANIC_BYTES 512

NORETURN void __real_assert_failed(const char *file, int line, const char *condition);
NORETURN void __wrap_assert_failed(const char *file, int line, const char *condition);
NORETURN void __real_panic(const char *file, int line, const char *format, ...) PRINTF(3, 4);
NORETURN void __wrap_panic(const char *file, int line, const char *format, ...) PRINTF(3, 4);
void __real_free(void *p);
void __wrap_free(void *p);
struct status __real_os_affinity_get(pid_t tid, struct cpus *ret_set);
struct status __wrap_os_affinity_get(pid_t tid, struct cpus *ret_set);
void __real_context_init_native(struct context *c);
void __wrap_context_init_native(struct context *c);
int __real_munmap(void *at, size_t bytes);
int __wrap_munmap(void *at, size_t bytes);

NORETURN void __wrap_assert_failed(const char *file, int line, const char *condition)
{
	if (sim_now_running)
		finding(sim_now_running, SIM_ASSERTION, "%s:%d: assertion failed: %s", file, line,
			condition);
	__real_assert_failed(file, line, condition);
}

NORETURN void __wrap_panic(const char *file, int line, const char *format, ...)
{
	char text[PANIC_BYTES];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	if (sim_now_running)
		finding(sim_now_running, SIM_ASSERTION, "%s:%d: %s", file, line, text);
	__real_panic(file, line, "%s", text);
}

void __wrap_free(void *p)
{
	if (p && sim_now_running)
		sim_forget(p, malloc_usable_size(p));
	__real_free(p);
}

int __wrap_munmap(void *at, size_t bytes)
{
	sim_forget(at, bytes);
	return __real_munmap(at, bytes);
}

/*
 * A processor's own stack is not the kernel thread's: under ASan the runtime must be told the right
 * one.
 */
void __wrap_context_init_native(struct context *c)
{
	__real_context_init_native(c);
#if WITH_ASAN
	if (sim_now_running)
		processor_stack(sim_now_running->current, &c->stack_bottom, &c->stack_bytes);
#endif
}

/* The machine has as many processors as the simulation may have. */
struct status __wrap_os_affinity_get(pid_t tid, struct cpus *ret_set)
{
	if (!sim_now_running)
		return __real_os_affinity_get(tid, ret_set);
	*ret_set = (struct cpus){0};
	for (uint32_t i = 0; i < SIM_PROCESSORS_MAX; i++)
		cpus_add(ret_set, i);
	return OK;
}
