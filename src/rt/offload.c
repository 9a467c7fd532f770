/*
 * Calls that block run here: kernel threads of a bounded pool, started as they are needed. A user
 * thread that hands a call over waits like for anything else, and its core goes on.
 */
#include "base/os.h"
#include "mem/mem.h"
#include "rt/rt_int.h"

#define OFFLOAD_WORKERS 16
#define OFFLOAD_QUEUE   1024

struct offload_job {
	void (*fn)(void *);
	void *arg;
	struct rt_wait done;
	struct queue_link link;
	bool refused; /* instead of run, because there is no worker */
};

struct offload_worker {
	struct kthread kthread;
	struct self self;
	struct self_thread self_thread;
	bool used; /* (lock) */
};

struct offload {
	struct spinlock lock;
	struct queue jobs;        /* (lock) */
	uint32_t queued;          /* (lock) */
	uint32_t workers_free;    /* that sleep or are about to look at the queue (lock) */
	uint32_t workers_count;   /* that exist (lock) */
	bool stopping;            /* (lock) */
	struct atomic_u32 signal; /* changes with every job; workers sleep on it */
	struct offload_worker workers[OFFLOAD_WORKERS];
};

/* The next job, NULL when the pool stops and the queue is empty. Blocks the kernel thread. */
static struct offload_job *job_next(struct offload *o)
{
	for (;;) {
		uint32_t signal = atomic_u32_load(&o->signal, ORDER_ACQUIRE);

		spinlock_lock(&o->lock);
		struct queue_link *link = queue_pop(&o->jobs);
		bool stopping = o->stopping;
		if (link) {
			o->queued--;
			o->workers_free--;
		}
		spinlock_unlock(&o->lock);

		if (link)
			return CONTAINER_OF(link, struct offload_job, link);
		if (stopping)
			return NULL;
		kthread_sleep(&o->signal, signal, CLOCK_NEVER);
	}
}

static void worker_main(void *arg)
{
	struct offload *o = arg;
	struct offload_job *job;

	while ((job = job_next(o)) != NULL) {
		struct rt_wait done = job->done;

		job->fn(job->arg);
		spinlock_lock(&o->lock);
		o->workers_free++;
		spinlock_unlock(&o->lock);
		/* the job lives on its waiter's stack: not to be touched from here on */
		ASSERT(rt_wake(done));
	}
}

static void worker_fini(struct offload_worker *w)
{
	mem_cache_detach(&w->self);
	self_fini(&w->self);
}

static struct status worker_start(struct offload *o, struct offload_worker *w)
{
	w->self_thread.name = "offload";
	self_init(&w->self, &w->self_thread);
	status_ignore(mem_cache_attach(&w->self)); /* without one, allocating is slower */
	w->kthread = (struct kthread){
		.main = worker_main,
		.arg = o,
		.name = "tarn-offload",
		.self = &w->self,
		.processor = KTHREAD_ANYWHERE,
	};

	struct status s = kthread_start(&w->kthread);

	if (!status_ok(s))
		worker_fini(w);
	return s;
}

/* Place for one more worker, NULL if there are enough. Lock held. */
static struct offload_worker *worker_take(struct offload *o)
{
	if (o->workers_free > o->queued)
		return NULL;
	for (uint32_t i = 0; i < OFFLOAD_WORKERS; i++) {
		struct offload_worker *w = &o->workers[i];

		if (!w->used) {
			w->used = true;
			o->workers_count++;
			o->workers_free++;
			return w;
		}
	}
	return NULL;
}

static void wake_worker(struct offload *o, uint32_t count)
{
	atomic_u32_add(&o->signal, 1, ORDER_RELEASE);
	kthread_wake(&o->signal, count);
}

/*
 * The system gave no kernel thread. Others will do the jobs; if there are no others, nobody waits
 * for what nobody will do: neither the caller nor those who counted on this worker.
 */
static void worker_missing(struct offload *o, struct offload_worker *w)
{
	struct queue refused = {0};
	struct queue_link *link;

	spinlock_lock(&o->lock);
	w->used = false;
	o->workers_count--;
	o->workers_free--;
	if (o->workers_count == 0) {
		refused = o->jobs;
		o->jobs = (struct queue){0};
		o->queued = 0;
	}
	spinlock_unlock(&o->lock);
	while ((link = queue_pop(&refused)) != NULL) {
		struct offload_job *job = CONTAINER_OF(link, struct offload_job, link);
		struct rt_wait done = job->done;

		job->refused = true;
		ASSERT(rt_wake(done));
	}
}

/* Queues the job, and starts one more worker if all are busy. */
static struct status job_submit(struct offload *o, struct offload_job *job)
{
	spinlock_lock(&o->lock);
	if (o->queued == OFFLOAD_QUEUE) {
		spinlock_unlock(&o->lock);
		return fail(STATUS_BUSY, "offload: %d calls wait already", OFFLOAD_QUEUE);
	}
	struct offload_worker *w = worker_take(o);
	o->queued++;
	queue_append(&o->jobs, &job->link);
	spinlock_unlock(&o->lock);

	if (w && !status_ok(worker_start(o, w)))
		worker_missing(o, w);
	wake_worker(o, 1);
	return OK;
}

SUSPENDS struct status rt_offload(void (*fn)(void *), void *arg)
{
	struct rt_core *c = core_self();

	ASSERT(c != NULL && c->current != NULL);

	struct offload_job job = {.fn = fn, .arg = arg, .done = wait_begin_hard("offload")};

	TRY(job_submit(c->rt->offload, &job));
	TRY(rt_wait(job.done, CLOCK_NEVER));
	if (job.refused)
		return fail(STATUS_LIMIT, "offload: the system gives no kernel thread for it");
	return OK;
}

struct status offload_create(struct rt *rt)
{
	void *at;

	TRY(os_map(sizeof(struct offload), CACHE_LINE, &at));
	rt->offload = at;
	return OK;
}

void offload_destroy(struct rt *rt)
{
	struct offload *o = rt->offload;

	spinlock_lock(&o->lock);
	o->stopping = true;
	spinlock_unlock(&o->lock);
	wake_worker(o, OFFLOAD_WORKERS);
	for (uint32_t i = 0; i < OFFLOAD_WORKERS; i++) {
		if (!o->workers[i].used)
			continue;
		kthread_join(&o->workers[i].kthread);
		worker_fini(&o->workers[i]);
	}
	status_ignore(os_unmap(o, sizeof(*o)));
}
