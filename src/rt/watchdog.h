/*
 * Reports of a user thread that does not let its core go.
 */
#pragma once

#include "base/compiler.h"

struct rt;
struct rt_core;

/* Readies the process for reports with backtraces, unless the runtime is embedded. */
void watchdog_init(struct rt *rt);

/*
 * How long the core's kernel thread has waited for a processor in its life: a core that the kernel
 * does not let run is not held by anybody. 0 where the kernel does not say.
 */
uint64_t watchdog_delay_ns(const struct rt_core *c);

/* Lets the calling kernel thread, a core, be asked where it stands. */
void watchdog_thread_init(void);

/*
 * Says on standard error which thread has held the core for `held_ns`, and where it stands. The
 * backtrace is written by the core's own kernel thread, from a signal; an embedded runtime takes no
 * signals and gives the name only.
 */
void watchdog_report(struct rt *rt, struct rt_core *c, uint64_t held_ns);
