/*
 * Inside of arbiter_place: what the back-ends share.
 */
#pragma once

#include "rt/arbiter_place.h"
#include "rt/arbiter_plan.h"

#define PLACE_PATH_BYTES 256
#define PLACE_NONE       UINT32_MAX
#define PLACE_LIST_BYTES (1u << 20) /* of a list of tasks: some 140,000 */

struct place_process {
	bool here;
	bool folder; /* its cgroup exists, maybe from before it came */
	bool fenced; /* a thread of it has been moved there */
	const struct arbiter_peer *peer;
	struct cpus fence;    /* processors in its cgroup; empty: those for who has none */
	struct cpus original; /* its first thread's affinity before it came */
	uint64_t remove_at;   /* next attempt to remove the folder; CLOCK_NEVER */
	uint64_t remove_wait;
	char origin[PLACE_PATH_BYTES]; /* its cgroup before, below the mount */
	pid_t tid[ARBITER_SLOTS_MAX];  /* 0: never offered */
};

/* Of one processor. */
struct place_cpu {
	uint32_t process; /* whose fence has it, whose thread was pinned last; PLACE_NONE */
	uint32_t slot;
	bool granted;
};

/* A kind of fence. */
struct place_fence {
	/* Removes what an arbiter left behind that could not end in order, unless it lives. */
	void (*clean)(struct arbiter_place *place);
	/* Finds out whether it can be used and prepares; changes nothing on failure. */
	struct status (*open)(struct arbiter_place *place);
	/* Undoes open(), after all processes have left. */
	void (*close)(struct arbiter_place *place);
	struct status (*join)(struct arbiter_place *place, uint32_t process);
	/* Puts its threads back (if it lives) and removes its folder. BUSY: not yet possible. */
	struct status (*leave)(struct arbiter_place *place, uint32_t process, bool lives);
	struct status (*adopt)(struct arbiter_place *place, uint32_t process, pid_t tid);
	/* Makes the cgroup of the process have the processors of its `fence`. */
	struct status (*set)(struct arbiter_place *place, uint32_t process);
	/* Makes all other processes have place->others; NULL: not needed. */
	struct status (*set_others)(struct arbiter_place *place);
};

extern const struct place_fence place_fence_v1;
extern const struct place_fence place_fence_v2;

struct arbiter_place {
	size_t bytes; /* of this object */
	enum arbiter_backend backend;
	const struct place_fence *fence; /* NULL: none */
	struct arbiter_files files;
	bool real; /* files are the machine's */
	bool manage_all;
	uint32_t processes_max;
	int lock;        /* of our folder; -1 */
	struct cpus all; /* processors that the system lets us use */
	struct cpus managed;
	struct cpus granted;
	struct cpus others; /* where those without a grant may run */
	uint64_t spread_at; /* when `others` takes in what is free; CLOCK_NEVER */
	char folder[64];
	char mount_v1[PLACE_PATH_BYTES];
	char mount_v2[PLACE_PATH_BYTES];
	char mems[PLACE_PATH_BYTES]; /* memory nodes, for v1 */
	char text[512];
	struct place_cpu cpu[CPUS_MAX];
	struct place_process process[ARBITER_PROCESSES_MAX];
	char list[PLACE_LIST_BYTES];
};

/* Writes `text` to the control file `name` of `folder` below `mount`. */
struct status place_write(struct arbiter_place *place, const char *folder, const char *name,
			  const char *text);

/* Reads a control file's text into text[size]. */
struct status place_read(struct arbiter_place *place, const char *folder, const char *name,
			 char *text, size_t size);

/* Writes a set of processors. */
struct status place_write_cpus(struct arbiter_place *place, const char *folder, const char *name,
			       const struct cpus *set);

/*
 * Moves everything that is listed in `from`/`name` to `to`/`name`, again until the list is empty or
 * nothing more can be moved (kernel threads, zombies).
 */
void place_drain(struct arbiter_place *place, const char *from, const char *to, const char *name);

/* Where a process without a grant runs: not on granted processors, unless there are no others. */
struct cpus place_idle_cpus(const struct arbiter_place *place);
