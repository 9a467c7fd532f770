/*
 * The core arbiter: gives whole cores to the processes of a machine, by priority, and takes them
 * back. After CoreArbiter (Arachne, OSDI 2018); `tarn arbiter` is this function with flags.
 *
 *	client                                                arbiter
 *	park(slot, tid) --------- socket ------------------>  a kernel thread is on offer
 *	                <-------- page: word = 2g ----------  pins the thread, wakes it
 *	runs, looks at the word
 *	now and then    <-------- page: word = 2g + 1 ------  wants it back: grace period begins
 *	park(slot, tid, g) ------ socket ------------------>  the core is free
 *	                                                      or the grace is over: thrown off
 *
 * Who gets what: rt/arbiter_plan.h. How it is made true: rt/arbiter_place.h. What is said:
 * rt/arbiter_wire.h and docs/protocol/arbiter.md. The other end: rt/arbiter_client.h.
 *
 * What a client may do to the arbiter: nothing. Packets are checked, clients, messages and waiting
 * packets have limits, who breaks a rule is dropped with a line that says why. A client names its
 * own threads only, by their numbers, which are looked up below the /proc folder of the process
 * that connected; it never gets more than its limits; it cannot write the page.
 */
#pragma once

#include "rt/arbiter_place.h"

enum arbiter_report {
	ARBITER_REPORT_INFO,
	ARBITER_REPORT_WARNING, /* a client was dropped, something could not be done */
};

/* What a user's processes may have; the first rule for the user counts. */
struct arbiter_rule {
	uint32_t uid;
	uint32_t priority_best; /* more urgent requests count as this; 0 is the most urgent */
	uint32_t cores_max;     /* of all processes of the user together; 0: none at all */
};

#define ARBITER_PATH_BYTES 108

struct arbiter_config {
	const char *path; /* of the socket; NULL: arbiter_path_default() */
	mode_t mode;      /* of the socket's file, 0600 or 0660; 0: 0600 */
	uint32_t gid;     /* the group of the file with 0660; 0: the process's */
	struct cpus cpus; /* to give out; empty: all but the first core */
	enum arbiter_backend backend;
	bool manage_all;      /* keep other processes off granted cores: see rt/arbiter_place.h */
	uint64_t grace_ns;    /* 0: 10 ms */
	uint64_t turn_ns;     /* 0: 100 ms; how long some hold cores while others have none */
	uint32_t clients_max; /* 0: 64, at most 1024 */
	uint32_t clients_per_uid_max;     /* 0: half of clients_max */
	uint32_t cores_per_client_max;    /* 0: no limit */
	uint32_t messages_per_s_max;      /* of one client; 0: 20,000 */
	const struct arbiter_rule *rules; /* users without one: any priority, all cores */
	uint32_t rule_count;
	/* told what happens, a line at a time, at most some 20 a second; on the arbiter's thread */
	void (*report)(void *arg, enum arbiter_report kind, const char *text);
	void *report_arg;
	/* for tests: NULL is what a machine has */
	const char *sys;    /* /sys/devices/system/cpu */
	const char *folder; /* of the cgroups: tarn-arbiter */
	const char *mount_v1;
	const char *mount_v2;
};

/*
 * Serves until `stop_fd` (an eventfd, or whatever becomes readable) has input, then puts every
 * thread back and returns OK. Blocks its kernel thread. INVALID: a config that cannot be; EXISTS:
 * another arbiter has the path; otherwise what the system said when it refused something at the
 * start. Afterwards nothing of a client's doing ends it.
 */
struct status arbiter_run(const struct arbiter_config *config, int stop_fd);

/*
 * Where the arbiter listens when nobody says otherwise: /run/tarn/arbiter.sock for root,
 * $XDG_RUNTIME_DIR/tarn-arbiter.sock for others; with `existing`, for clients, the second only if
 * it is there. Writes to path[ARBITER_PATH_BYTES].
 */
void arbiter_path_default(bool existing, char *path);

/*
 * Which processors are hardware threads of one core: ret_sibling[i] is the lowest processor of the
 * core of the i-th of `cpus`. Reads /sys (`sys`: another folder); what it does not know shares with
 * nobody. For up to ARBITER_CORES_MAX processors.
 */
void arbiter_topology(const char *sys, const struct cpus *cpus, uint32_t *ret_sibling);
