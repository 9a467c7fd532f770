/*
 * Who gets which core: the arbiter's decisions as a state machine, without I/O and without a clock.
 *
 * Events go in (a process joins, asks, offers a kernel thread, gives a core back); then
 * arbiter_plan_step() is called until it has no more to say, and each call decides one thing: give
 * this core to that slot, ask for it back, take it by force. The rules, strongest first:
 *
 *	1. A core belongs to one slot at most. A slot that was asked for its core gives it back, or
 *	   loses it when the grace period is over: the deadline belongs to the grant and is
 *	   forgotten with it, so it cannot take the grant that comes after.
 *	2. Cores go to the more urgent priority first, strictly. Within one, they go round, one for
 *	   each process in turn; each keeps within its own limit and its user's.
 *	3. A process counts with what it can use: as many cores as it holds or has threads waiting.
 *	4. When at some priority a process has none while another has one, the places change every
 *	   `turn_ns`. Otherwise who has a core keeps it.
 *	5. A slot gets the core that it had before, if that is free; else one whose sibling (another
 *	   hardware thread of the same physical core) is its own process's, else one whose siblings
 *	   are free. Cores without such siblings are given up first.
 *
 * A slot's life:
 *
 *	           park              grant              ask
 *	EMPTY ------------> WAITING ------> RUNNING ---------> ASKED
 *	  ^  <------------          <------                      |
 *	  |      return       park     |      return / park      |
 *	  +----------------------------+-------------------------+  revoke: grace is over
 *
 * Not shared between threads.
 */
#pragma once

#include "rt/arbiter_wire.h"

#define ARBITER_CORES_MAX     256
#define ARBITER_PROCESSES_MAX 1024

struct arbiter_plan;

struct arbiter_plan_config {
	uint32_t cores;               /* 1 to ARBITER_CORES_MAX; numbered from 0 */
	const uint32_t *core_sibling; /* cores of one physical core share a number; NULL: none do */
	uint32_t processes_max;       /* 1 to ARBITER_PROCESSES_MAX */
	uint64_t grace_ns;
	uint64_t turn_ns;          /* 0: places never change */
	uint64_t generation_first; /* of the first grant, less one */
};

/* What a process may have. */
struct arbiter_limits {
	uint32_t uid;
	uint32_t priority_best;     /* what it asks for more urgently counts as this */
	uint32_t cores_max;         /* of the process */
	uint32_t cores_per_uid_max; /* of all processes of its user */
	uint32_t processes_per_uid_max;
};

enum arbiter_action_kind {
	ARBITER_ACTION_GRANT,  /* `core` is the slot's now, under `generation` */
	ARBITER_ACTION_ASK,    /* ask the slot to give `core` back */
	ARBITER_ACTION_REVOKE, /* the grace is over: it is nobody's now, throw its thread off */
};

struct arbiter_action {
	enum arbiter_action_kind kind;
	uint32_t process;
	uint32_t slot;
	uint32_t core;
	uint64_t generation;
};

/* Makes a plan in which every core is free. INVALID for a config out of range, NO_MEMORY. */
struct status arbiter_plan_create(const struct arbiter_plan_config *config,
				  struct arbiter_plan **ret);
void arbiter_plan_destroy(struct arbiter_plan *plan);

/*
 * A process with `slots` slots (1 to ARBITER_SLOTS_MAX) comes. *ret_process, below processes_max,
 * names it until it leaves. LIMIT: processes_max are here, or its user's share of them.
 */
struct status arbiter_plan_join(struct arbiter_plan *plan, const struct arbiter_limits *limits,
				uint32_t slots, uint32_t *ret_process);

/* It goes; its cores are free at once. */
void arbiter_plan_leave(struct arbiter_plan *plan, uint32_t process);

/* From now on it wants so many cores at each priority. */
void arbiter_plan_request(struct arbiter_plan *plan, uint32_t process,
			  const uint32_t wanted[ARBITER_PRIORITIES]);

/*
 * The slot's thread waits for a core; the core that it had under generation `returned` is free. A
 * generation that was revoked meanwhile is no error. INVALID: no such slot, it waits already, or
 * it holds a core under another generation.
 */
struct status arbiter_plan_park(struct arbiter_plan *plan, uint32_t process, uint32_t slot,
				uint64_t returned);

/* The slot neither holds a core nor waits for one any more. INVALID as above. */
struct status arbiter_plan_return(struct arbiter_plan *plan, uint32_t process, uint32_t slot,
				  uint64_t generation);

/*
 * Decides one thing and takes it as done. False when there is nothing to do before the next event
 * or arbiter_plan_deadline(). `now` never goes back.
 */
bool arbiter_plan_step(struct arbiter_plan *plan, uint64_t now, struct arbiter_action *ret);

/* When arbiter_plan_step() must be called again, whatever happens; CLOCK_NEVER for never. */
uint64_t arbiter_plan_deadline(const struct arbiter_plan *plan);

/* How many cores nobody has. */
uint32_t arbiter_plan_free(const struct arbiter_plan *plan);
