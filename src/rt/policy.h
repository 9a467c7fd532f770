/*
 * Which cores run which threads.
 *
 * Every thread has a class; a class has a list of cores. Classes differ in how they share:
 *
 *	shared     class 0: runs on every core that no other class has taken
 *	isolated   has a number of cores of its own, which serve nobody else
 *	exclusive  each thread has a core to itself for as long as it lives
 *
 * Under all of them lies one act: the set of classes that a core serves changes, and threads that
 * it no longer serves move, when they next run, to a core that does. Class 0 keeps at least one
 * core: a request that would take its last one is refused.
 *
 * The policy also decides how many cores are used at all, by the load of the last window (after
 * Arachne's DefaultCorePolicy): see load.h.
 */
#pragma once

#include "base/status.h"
#include "rt/rt.h"

enum rt_class_kind {
	RT_CLASS_KIND_NONE,
	RT_CLASS_KIND_SHARED,
	RT_CLASS_KIND_ISOLATED,
	RT_CLASS_KIND_EXCLUSIVE,
};

/*
 * Makes a class. `cores`: how many an isolated class takes from class 0 now; must be 0 for an
 * exclusive class, which takes one for each thread. `name` must outlive the runtime. STATUS_INVALID
 * for a kind or a number that cannot be, STATUS_LIMIT: all RT_CLASSES_MAX exist, or class 0 would
 * be left without a core. From any thread.
 */
struct status rt_class_create(struct rt *rt, const char *name, enum rt_class_kind kind,
			      uint32_t cores, uint8_t *ret_class);

/*
 * Changes how many cores an isolated class has. Cores that it gives up go to class 0, and so do
 * cores that class 0 has in excess of `cores` when the class is 0: they then serve nobody and
 * sleep. STATUS_INVALID and STATUS_LIMIT as above. From any thread.
 */
struct status rt_class_resize(struct rt *rt, uint8_t class, uint32_t cores);

/* How many cores serve the class now. */
uint32_t rt_class_cores(struct rt *rt, uint8_t class);
