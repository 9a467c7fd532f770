/*
 * Virtual time. It jumps to the next deadline when nobody can run. While somebody runs, each step
 * takes a little (so that code that spins sees time pass), and spins that change nothing take more
 * and more, so that a processor which polls for a second of virtual time does not need a billion
 * steps for it.
 *
 * There are at most SIM_PROCESSORS_MAX deadlines: looking at all of them beats a heap.
 */
#include "sim/sim_int.h"

#define CLOCK_READ_NS 1
#define RELAX_NS      20
#define WARP_MOST_NS  (100 * NS_PER_MS)
#define QUIET_SPINS   64
#define QUIET_DOUBLES 16 /* quiet spins after which the length of one doubles */
#define QUIET_SHIFT   20 /* at most a millisecond for one */

void time_deadlines_changed(struct sim *s)
{
	uint64_t first = CLOCK_NEVER;

	for (uint32_t i = 0; i < s->limit; i++) {
		if (s->processors[i].deadline < first)
			first = s->processors[i].deadline;
	}
	s->deadline_first = first;
}

void time_expire(struct sim *s)
{
	for (uint32_t i = 0; i < s->limit; i++) {
		struct processor *p = &s->processors[i];

		if (p->deadline > s->now)
			continue;
		p->deadline = CLOCK_NEVER;
		processor_unblock(s, p);
	}
	time_deadlines_changed(s);
}

/*
 * A kernel thread may be kept waiting for its processor while others sleep towards their deadlines.
 * What lies further away than such a delay does not come before its time.
 */
void time_warp(struct sim *s)
{
	if (s->now < s->deadline_first && s->deadline_first - s->now < WARP_MOST_NS &&
	    random_below(s, 65536) < s->warp)
		s->now = s->deadline_first;
}

void sim_relax(void)
{
	struct sim *s = sim_now_running;

	if (!s)
		return;
	uint64_t length = RELAX_NS;

	if (++s->quiet > QUIET_SPINS) {
		uint32_t shift = (s->quiet - QUIET_SPINS) / QUIET_DOUBLES;

		length <<= shift < QUIET_SHIFT ? shift : QUIET_SHIFT;
		if (s->deadline_first - s->now < length && s->deadline_first > s->now)
			length = s->deadline_first - s->now;
	}
	s->now += length;
	s->steps++;
	event_fold(s, EVENT_RELAX, 0, 0);
	processor_give_way(s);
}

uint64_t sim_clock_cycles(void)
{
	struct sim *s = sim_now_running;

	if (!s)
		return 0;
	s->now += CLOCK_READ_NS + random_below(s, (uint32_t)s->step_ns);
	event_fold(s, EVENT_CLOCK, 0, s->now);
	return s->now;
}

uint64_t sim_now(void)
{
	return sim_now_running ? sim_now_running->now : 0;
}
