/*
 * How the arbiter makes its decisions true: which processors a client's kernel threads run on.
 *
 * Every granted thread is pinned to its processor with sched_setaffinity(), which costs under a
 * microsecond. Where the system lets us, a *fence* stands around that: a cpuset per client process
 * which holds exactly the processors granted to it, so that neither it nor its pthreads get at
 * others by setting their own affinity.
 *
 * Why one cpuset per process and not one per processor, as CoreArbiter has it: moving a thread from
 * one cpuset to another takes the kernel an RCU grace period, 8 ms here when nothing else moves;
 * changing the processors of a cpuset takes 16 us. So a thread is moved once, when it is first
 * offered, and grants rewrite one line of text.
 *
 * Three back-ends, chosen at the start (arbiter_place_text() says which and why):
 *
 *	v1        cpuset of cgroup v1: threads are moved singly, processes stay where they are
 *	v2        cpuset partitions of cgroup v2, threaded. A client's whole process has to be moved
 *	          out of its own cgroup for that, and loses that one's limits meanwhile: only with
 *	          manage_all
 *	affinity  no fence: clients are trusted to leave their affinity alone
 *
 * manage_all also keeps everybody else off granted processors: v2 does so by itself (a partition
 * takes its processors from all other cgroups); under v1 all processes of the root cpuset are moved
 * to one of ours and back at the end. Without it other processes may use granted processors too.
 *
 * Nothing here blocks for long except the moves named above.
 */
#pragma once

#include "base/cpus.h"
#include "rt/arbiter_os.h"

struct arbiter_place;

enum arbiter_backend {
	ARBITER_BACKEND_AUTO, /* the strongest fence that can be had */
	ARBITER_BACKEND_CPUSET_V1,
	ARBITER_BACKEND_CPUSET_V2,
	ARBITER_BACKEND_AFFINITY,
};

/* The control files of cgroups; a seam for tests. Paths are absolute. */
struct arbiter_files {
	/* the text, NUL-terminated; LIMIT if it does not fit into size */
	struct status (*read)(void *arg, const char *path, char *text, size_t size);
	struct status (*write)(void *arg, const char *path, const char *text);
	struct status (*make)(void *arg, const char *path);   /* a folder; EXISTS */
	struct status (*remove)(void *arg, const char *path); /* a folder; BUSY */
	void *arg;
};

struct arbiter_place_config {
	enum arbiter_backend backend;
	struct cpus managed; /* processors to give out */
	bool manage_all;
	uint32_t processes_max; /* 1 to ARBITER_PROCESSES_MAX */
	const char *folder;     /* name of our cgroups; NULL: "tarn-arbiter" */
	const char *mount_v1;   /* of the hierarchies; NULL: as /proc/mounts says */
	const char *mount_v2;
	const struct arbiter_files *files; /* NULL: the machine's; borrows until closed */
};

/*
 * Removes what a crashed arbiter left, of whatever back-end. To be called before anybody asks which
 * processors there are: those that were granted then are hidden until now. The config's processors
 * do not matter.
 */
void arbiter_place_clean(const struct arbiter_place_config *config);

/*
 * Chooses the back-end, removes what a crashed arbiter left, prepares. A back-end that was asked
 * for by name and cannot be had is an error that says why (DENIED, UNSUPPORTED); AUTO always finds
 * one.
 */
struct status arbiter_place_open(const struct arbiter_place_config *config,
				 struct arbiter_place **ret);

/* Puts every thread and process back where it was, removes our cgroups. */
void arbiter_place_close(struct arbiter_place *place);

/* One line for people: which back-end, and why not a stronger one. Valid until closed. */
const char *arbiter_place_text(const struct arbiter_place *place);

/* The back-end that was chosen; never AUTO. */
enum arbiter_backend arbiter_place_backend(const struct arbiter_place *place);

/*
 * A process (a number below processes_max that is not here) comes. `peer` is borrowed until it
 * leaves.
 */
struct status arbiter_place_join(struct arbiter_place *place, uint32_t process,
				 const struct arbiter_peer *peer);

/* It goes, alive or dead. What cannot be removed yet is tried again by arbiter_place_tick(). */
void arbiter_place_leave(struct arbiter_place *place, uint32_t process);

/*
 * The slot's thread from now on is `tid`. DENIED: it is no thread of the process, or the system
 * does not let us move it.
 */
struct status arbiter_place_adopt(struct arbiter_place *place, uint32_t process, uint32_t slot,
				  pid_t tid);

/* The slot has no thread any more; its thread, should it live, may run where it could before. */
void arbiter_place_disown(struct arbiter_place *place, uint32_t process, uint32_t slot);

/*
 * Makes the slot's thread run on `cpu` and only there, and, as far as the back-end goes, makes
 * that impossible for threads of others. On failure nothing is promised about the thread.
 */
struct status arbiter_place_grant(struct arbiter_place *place, uint32_t process, uint32_t slot,
				  uint32_t cpu);

/*
 * The process has given `cpu` back. Nothing is done before it is granted anew: mostly it goes to
 * the same thread.
 */
void arbiter_place_return(struct arbiter_place *place, uint32_t cpu);

/* Throws the process off `cpu`, by force; its thread goes on elsewhere. */
void arbiter_place_revoke(struct arbiter_place *place, uint32_t cpu);

/*
 * Does what was put off: removes cgroups of processes that are gone, gives processors that nobody
 * has had for a while back to the others. Returns when to call again, CLOCK_NEVER for never.
 */
uint64_t arbiter_place_tick(struct arbiter_place *place, uint64_t now);
