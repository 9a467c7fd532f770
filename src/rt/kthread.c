#include "rt/kthread.h"

#if !TARN_SIM

#include "base/crash.h"
#include "base/os.h"

static void *run(void *arg)
{
	struct kthread *t = arg;
	struct cpus cpus = {0};

	atomic_u64_quiet_store(&t->tid, (uint64_t)os_gettid(), ORDER_RELAXED);
	if (t->self)
		self_set(t->self);
	if (t->processor != KTHREAD_ANYWHERE) {
		cpus_add(&cpus, t->processor);
		/* a processor that went away since it was chosen: run where the kernel says */
		status_ignore(os_affinity_set(0, &cpus));
	}
	/* without it the overflow of a user thread's stack ends the process, but in silence */
	status_ignore(crash_thread_init());
	t->main(t->arg);
	crash_thread_fini();
	self_set(NULL);
	return NULL;
}

struct status kthread_start(struct kthread *t)
{
	pthread_t thread;

	TRY(os_thread_start(run, t, t->name, &thread));
	t->handle = (uint64_t)thread;
	return OK;
}

void kthread_join(struct kthread *t)
{
	os_thread_join((pthread_t)t->handle);
}

void kthread_sleep(struct atomic_u32 *word, uint32_t expected, uint64_t deadline)
{
	(void)os_futex_wait(word, expected, deadline);
}

void kthread_wake(struct atomic_u32 *word, uint32_t count)
{
	(void)os_futex_wake(word, count);
}

#endif
