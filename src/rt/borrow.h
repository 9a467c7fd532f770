/*
 * Cores that are borrowed from the arbiter: what a core and the control thread do about them.
 *
 * A core that has been granted a processor serves class 0. When the processor is wanted back the
 * core serves nobody, its threads move, and its kernel thread is offered for another one; it goes
 * on looking after its hooks and timers in the meantime, and sleeps as any idle core. The last core
 * of class 0 never stops: without a processor of its own it runs where the kernel lets it.
 */
#pragma once

#include "rt/rt_int.h"

/* Connects, if the configuration names an arbiter; works without one that runs. */
struct status borrow_start(struct rt *rt);

/* After the cores have ended. */
void borrow_stop(struct rt *rt);

/* How many cores serve from the start: with an arbiter the first one only. */
uint32_t borrow_cores_at_start(const struct rt_config *config);

/* One look, by the core itself, in its look around. */
void borrow_look(struct rt_core *c);

/* Asks for that many cores. By the control thread. */
void borrow_request(struct rt *rt, uint32_t cores);

/* Waits for what the arbiter says until the deadline, and lets the cores look. Control thread. */
void borrow_wait(struct rt *rt, uint64_t deadline);
