/*
 * Mutexes of kernel threads, which slow control paths use. The linker puts these in front of the
 * real functions (see wrap.c): a real wait would stop all processors at once. The real mutex says
 * whether it is held; who knows what of whom goes from each holder to the next.
 */
#include "sim/sim_int.h"
#include "sim/table.h"

#include <pthread.h>

#define MUTEXES_MAX 4096

struct mutex {
	uintptr_t at; /* first: see table.h */
	uint32_t number;
	struct view view; /* of the last holder */
};

static struct table mutexes;

int __real_pthread_mutex_lock(pthread_mutex_t *m);
int __wrap_pthread_mutex_lock(pthread_mutex_t *m);
int __real_pthread_mutex_trylock(pthread_mutex_t *m);
int __wrap_pthread_mutex_trylock(pthread_mutex_t *m);
int __real_pthread_mutex_unlock(pthread_mutex_t *m);
int __wrap_pthread_mutex_unlock(pthread_mutex_t *m);

void mutex_reset(void)
{
	table_reset(&mutexes, sizeof(struct mutex), MUTEXES_MAX);
}

static struct mutex *mutex_get(struct sim *s, const pthread_mutex_t *m)
{
	struct mutex *known = table_find(&mutexes, (uintptr_t)m);

	if (known)
		return known;
	known = table_add(&mutexes, (uintptr_t)m);
	if (!known)
		finding(s, SIM_LIVELOCK, "more than %d mutexes in one run", MUTEXES_MAX);
	known->number = mutexes.used;
	return known;
}

static void locked(struct sim *s, const pthread_mutex_t *m)
{
	struct mutex *known = mutex_get(s, m);

	view_join(&s->current->view, &known->view);
	event_fold(s, EVENT_LOCK, known->number, 0);
}

int __wrap_pthread_mutex_trylock(pthread_mutex_t *m)
{
	struct sim *s = sim_now_running;

	if (!s)
		return __real_pthread_mutex_trylock(m);
	step(s);

	int error = __real_pthread_mutex_trylock(m);

	if (error == 0)
		locked(s, m);
	return error;
}

int __wrap_pthread_mutex_lock(pthread_mutex_t *m)
{
	struct sim *s = sim_now_running;

	if (!s)
		return __real_pthread_mutex_lock(m);
	step(s);
	while (__real_pthread_mutex_trylock(m) != 0) {
		struct processor *p = s->current;

		p->state = PROCESSOR_LOCKING;
		p->waits_for = m;
		frames_take(p->frames);
		processor_block(s);
		p->waits_for = NULL;
	}
	locked(s, m);
	return 0;
}

int __wrap_pthread_mutex_unlock(pthread_mutex_t *m)
{
	struct sim *s = sim_now_running;

	if (!s)
		return __real_pthread_mutex_unlock(m);

	struct mutex *known = mutex_get(s, m);

	known->view = s->current->view;
	processor_tick(s->current);
	event_fold(s, EVENT_UNLOCK, known->number, 0);

	int error = __real_pthread_mutex_unlock(m);

	for (uint32_t i = 0; i < s->limit; i++) {
		struct processor *p = &s->processors[i];

		if (p->state == PROCESSOR_LOCKING && p->waits_for == m)
			processor_unblock(s, p);
	}
	s->quiet = 0;
	step(s);
	return error;
}
