#include "rt/watchdog.h"

#include "base/backtrace.h"
#include "base/line.h"
#include "base/os.h"
#include "rt/rt_int.h"

#if !TARN_SIM
#include "base/clock.h"

#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Ignored by default, so one that comes after the handler is gone does no harm. */
#define WATCHDOG_SIGNAL SIGURG
#define FRAMES_MOST     32

/* On the core's kernel thread, on top of whatever the user thread was doing. */
static void on_signal(int number, siginfo_t *info, void *ucontext)
{
	struct rt_core *c = core_self();
	uintptr_t frames[FRAMES_MOST];

	(void)number;
	(void)info;
	if (!c || !c->current)
		return;

	size_t count = backtrace_walk(backtrace_of_signal(ucontext), frames, FRAMES_MOST);

	os_write_text(2, "  by thread ", 12);
	os_write_text(2, c->current->self.name, strlen(c->current->self.name));
	os_write_text(2, ", which stands at\n", 18);
	backtrace_write(2, frames, count);
}

void watchdog_init(struct rt *rt)
{
	struct sigaction action = {.sa_flags = SA_SIGINFO | SA_RESTART | SA_ONSTACK};

	if (rt->config.embedded)
		return;
	action.sa_sigaction = on_signal;
	sigemptyset(&action.sa_mask);
	sigaction(WATCHDOG_SIGNAL, &action, NULL);
}

uint64_t watchdog_delay_ns(const struct rt_core *c)
{
	char path[64];
	char text[128];
	char *delay;
	size_t bytes;

	/* "run-time run-delay slices" */
	snprintf(path, sizeof(path), "/proc/self/task/%lu/schedstat",
		 (unsigned long)atomic_u64_quiet_load(&c->kthread.tid, ORDER_RELAXED));
	if (!status_ok(os_file_read(path, text, sizeof(text), &bytes)))
		return 0;
	delay = strchr(text, ' ');
	return delay ? strtoull(delay, NULL, 10) : 0;
}

void watchdog_thread_init(void)
{
	sigset_t ours;

	sigemptyset(&ours);
	sigaddset(&ours, WATCHDOG_SIGNAL);
	pthread_sigmask(SIG_UNBLOCK, &ours, NULL);
}

void watchdog_report(struct rt *rt, struct rt_core *c, uint64_t held_ns)
{
	char text[128];
	int length = snprintf(text, sizeof(text), "tarn: core %u has been held for %lu ms\n",
			      c->number, (unsigned long)(held_ns / NS_PER_MS));

	os_write_text(2, text, (size_t)length);
	if (!rt->config.embedded)
		pthread_kill((pthread_t)c->kthread.handle, WATCHDOG_SIGNAL);
}

#else

uint64_t watchdog_delay_ns(const struct rt_core *c)
{
	(void)c;
	return 0;
}

void watchdog_init(struct rt *rt)
{
	(void)rt;
}

void watchdog_thread_init(void)
{
}

/* Under the simulator time passes only when nobody holds a core. */
void watchdog_report(struct rt *rt, struct rt_core *c, uint64_t held_ns)
{
	(void)rt;
	(void)c;
	(void)held_ns;
}

#endif
