/*
 * A process's connection to the core arbiter (rt/arbiter.h).
 *
 * What the runtime does with it. `slots` is the number of its kernel threads for cores, one slot
 * each; a slot's calls come from that kernel thread, when no user thread runs on it.
 *
 *	control thread                       kernel thread of slot s
 *	--------------                       -----------------------
 *	arbiter_connect(&config, &client)
 *	arbiter_request(client, wanted)      arbiter_core_park(client, s, &grant)
 *	                                       OK: run. grant.cpu: it is pinned there;
 *	                                       ARBITER_CPU_ANY: there is no arbiter, pin it
 *	                                       as the mode says
 *	watch arbiter_client_fd(client);     in the dispatcher, once per pass:
 *	when readable                          if (arbiter_release_wanted(slot))
 *	  arbiter_client_poll(client)              move the user threads elsewhere,
 *	                                           arbiter_core_park(client, s, &grant)
 *	arbiter_client_stop(client)            CANCELLED: the kernel thread ends
 *	join the kernel threads
 *	arbiter_disconnect(client)
 *
 * To have fewer cores for a while (a policy), arbiter_request() for fewer and obey the flag: the
 * arbiter chooses which one goes. A core may also park unasked; then its request should be lowered
 * first, else it is given a core again at once.
 *
 * Without an arbiter, before it starts and after it died, everything works the same: the client
 * itself grants as many slots as the requests add up to, lowest first, with cpu ARBITER_CPU_ANY,
 * and looks for the arbiter every retry_ns. When one is found, arbiter_release_wanted() becomes
 * true for all slots, each parks and is granted a core by it. When it dies, who runs goes on
 * running where it is.
 *
 * Locks: one mutex of kernel threads, held for a send() of some bytes, never while waiting.
 */
#pragma once

#include "rt/arbiter_wire.h"

struct arbiter_client;

#define ARBITER_CPU_ANY UINT32_MAX

struct arbiter_client_config {
	const char *path;  /* of the arbiter's socket; NULL: arbiter_path_default() */
	const char *name;  /* for the arbiter's reports; NULL: "tarn" */
	uint32_t slots;    /* 1 to ARBITER_SLOTS_MAX */
	uint64_t retry_ns; /* how often to look for an arbiter; 0: 1 s; CLOCK_NEVER: only now */
	uint64_t wait_ns;  /* how long connecting waits for an answer; 0: 1 s */
};

struct arbiter_grant {
	uint32_t cpu;        /* the thread runs there and nowhere else; ARBITER_CPU_ANY */
	uint64_t generation; /* tells grants apart; grows with each of a connection */
};

/* What a core looks at; kept by the client, at one place for its whole life. */
struct arbiter_slot {
	const struct atomic_u64 *word; /* in the page */
	struct atomic_u64 held;        /* what the word was when the core was granted; 0: parked */
};

/*
 * Makes a client and looks for the arbiter once; OK without an arbiter too. INVALID: slots out of
 * range; else what the system said when it refused descriptors or memory. May block for wait_ns.
 */
struct status arbiter_connect(const struct arbiter_client_config *config,
			      struct arbiter_client **ret);

/* Frees it. No thread may be in any of its calls: arbiter_client_stop() gets them out. */
void arbiter_disconnect(struct arbiter_client *client);

/*
 * How many cores the process wants at each priority, 0 the most urgent; replaces what it wanted
 * before. Any kernel thread, at any time; does not block.
 */
void arbiter_request(struct arbiter_client *client, const uint32_t wanted[ARBITER_PRIORITIES]);

/*
 * Gives back the core that the slot has, if any, offers the calling kernel thread for another, and
 * blocks it until it is granted one. CANCELLED after arbiter_client_stop().
 */
struct status arbiter_core_park(struct arbiter_client *client, uint32_t slot,
				struct arbiter_grant *ret);

/*
 * The two halves of arbiter_core_park(), for a kernel thread that sleeps in a place of its own. The
 * first gives back and offers; false after arbiter_client_stop(). The second says whether a core
 * has been granted since; the control thread wakes the slots' threads to ask after each
 * arbiter_client_poll() and arbiter_request(). Neither blocks. Both from the slot's kernel thread.
 */
bool arbiter_core_offer(struct arbiter_client *client, uint32_t slot);
bool arbiter_core_claim(struct arbiter_client *client, uint32_t slot, struct arbiter_grant *ret);

/*
 * Gives the slot's core back without offering the thread for another, because it ends. Harmless if
 * the slot has none. The slot may be parked again later, also from another kernel thread.
 */
void arbiter_core_return(struct arbiter_client *client, uint32_t slot);

/* The slot's record for arbiter_release_wanted(). */
const struct arbiter_slot *arbiter_slot(const struct arbiter_client *client, uint32_t slot);

/*
 * Whether the slot's core is wanted back, or gone already: its kernel thread should park soon. One
 * load of the shared page.
 */
static ALWAYS_INLINE bool arbiter_release_wanted(const struct arbiter_slot *slot)
{
	/* acquire: it may be followed by looking at what the client wrote, as slot->held */
	return atomic_u64_load(slot->word, ORDER_ACQUIRE) !=
	       atomic_u64_load(&slot->held, ORDER_RELAXED);
}

/*
 * A descriptor to watch (poll, epoll): readable when arbiter_client_poll() has something to do. The
 * same for the whole life of the client.
 */
int arbiter_client_fd(const struct arbiter_client *client);

/*
 * Reads what the arbiter says, notices its death, looks for it again. The control thread calls it
 * when the descriptor is readable; it may be called at any time. Does not block.
 */
void arbiter_client_poll(struct arbiter_client *client);

/* Blocks until there is something to read, and reads it: true; false at the deadline (clock_ns). */
bool arbiter_client_wait(struct arbiter_client *client, uint64_t deadline);

/* From now on every park ends with CANCELLED, and all cores are given back. */
void arbiter_client_stop(struct arbiter_client *client);

/* Whether an arbiter gives the cores. */
bool arbiter_client_connected(struct arbiter_client *client);

struct arbiter_client_stats {
	uint64_t grants;      /* by the arbiter */
	uint64_t releases;    /* that it asked for */
	uint64_t revokes;     /* that it did by force: the core was not given back in time */
	uint64_t connections; /* to an arbiter, ever */
	uint32_t cores_max;   /* that this process can get; 0 without an arbiter */
	char refused[ARBITER_TEXT_BYTES]; /* what the arbiter said when it last hung up; "" */
};

/* What has happened so far, as far as arbiter_client_poll() has read it. */
void arbiter_client_stats(struct arbiter_client *client, struct arbiter_client_stats *ret);
