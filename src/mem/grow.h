/*
 * The grower: memory is touched before it is asked for, and what stays free goes back.
 *
 * It keeps touched chunks ready in each part that is in use (up to a 32nd of what is used, at least
 * 4 MiB, at most ahead_bytes; touched anew when fewer than half of that are left), so that the
 * first touch, 0.4 to 14 ms for 2 MiB, is not paid by a request. When more than that is free it
 * looks again after give_back_ns, and gives back what is free beyond what was taken meanwhile: a
 * busy part keeps the pages that it turns over, an idle one does not. What goes: objects in depots
 * that nobody asked for, whole chunks, free pages of chunks in use. Otherwise it sleeps, without a
 * time-out: an idle process is quiet.
 */
#pragma once

#include "mem/arena.h"

/* Starts the kernel thread, if the configuration wants one. */
struct status grow_start(void);

/* Ends it and waits for it. */
void grow_stop(void);

/* Whether the part has too few touched chunks, or much too much memory. Its lock is held. */
bool grow_low(const struct mem_part *part);
bool grow_high(const struct mem_part *part);

/* Wakes the grower if either was so and it is not awake. No lock is held. */
void grow_kick(bool low, bool high);

/* Counts a growth that a request had to wait for. */
void grow_count_inline(void);
uint64_t grow_inline_count(void);

/*
 * The limit is reached: takes back what is cached and gives free memory of all parts back until
 * `bytes` are below the limit. Whether anything came of it. Enters the kernel.
 */
bool grow_reclaim(uint64_t bytes);
