/*
 * What the arbiter and its clients say to each other (docs/protocol/arbiter.md).
 *
 * Two channels. A unix socket of type SOCK_SEQPACKET, one per process, carries the messages below:
 * one packet is one message, so there are no partial ones to put together. A memfd that the
 * arbiter hands over with WELCOME is the page: the arbiter writes it, clients can map it only for
 * reading (F_SEAL_FUTURE_WRITE), and whether a core is wanted back is one load from it.
 *
 * Both ends run on one machine under one kernel, hence fields are in the machine's order, which is
 * little-endian on all that Tarn builds for, and there is no checksum: what a checksum guards
 * against does not happen between two sockets of one kernel. What does happen, a client that lies,
 * is caught by arbiter_wire_check() and by the session's state.
 */
#pragma once

#include "base/atomic.h"
#include "base/status.h"

#include <assert.h>

static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "the wire format is little-endian");

#define ARBITER_WIRE_MAGIC       0x42524154u /* "TARB" */
#define ARBITER_WIRE_VERSION     1           /* spoken by this build, up to and including */
#define ARBITER_WIRE_VERSION_MIN 1
#define ARBITER_WIRE_BYTES_MAX   128 /* no message is longer */

#define ARBITER_PRIORITIES 8   /* 0 is the most urgent */
#define ARBITER_SLOTS_MAX  256 /* kernel threads that one process can offer */
#define ARBITER_NAME_BYTES 32
#define ARBITER_TEXT_BYTES 104

enum arbiter_wire_type {
	/* from the client */
	ARBITER_HELLO = 1,
	ARBITER_REQUEST = 2,
	ARBITER_PARK = 3,
	ARBITER_RETURN = 4,
	/* from the arbiter */
	ARBITER_WELCOME = 16,
	ARBITER_GRANTED = 17,
	ARBITER_RELEASE = 18,
	ARBITER_REVOKED = 19,
	ARBITER_REFUSED = 20,
};

struct arbiter_wire_head {
	uint32_t magic;
	uint16_t
		version; /* of the message: the one agreed on; in HELLO the oldest that is spoken */
	uint16_t type;
	uint32_t bytes; /* of the whole message */
	uint32_t reserved;
};

/* The first message of a connection, and only the first. */
struct arbiter_wire_hello {
	struct arbiter_wire_head head;
	uint32_t version_min;
	uint32_t version_max;
	uint32_t slots; /* how many kernel threads may be offered, at most ARBITER_SLOTS_MAX */
	uint32_t reserved;
	char name[ARBITER_NAME_BYTES]; /* for people; ends with a zero byte */
};

/* How many cores the process wants at each priority; replaces what it wanted before. */
struct arbiter_wire_request {
	struct arbiter_wire_head head;
	uint32_t wanted[ARBITER_PRIORITIES];
};

/* A kernel thread waits for a core; the core of grant `returned`, if not 0, comes back with it. */
struct arbiter_wire_park {
	struct arbiter_wire_head head;
	uint32_t slot;
	uint32_t tid;
	uint64_t returned;
};

/* The slot's core comes back, or its offer is withdrawn: its thread ends. */
struct arbiter_wire_return {
	struct arbiter_wire_head head;
	uint32_t slot;
	uint32_t reserved;
	uint64_t generation;
};

/* The answer to HELLO. Carries the page's memfd (SCM_RIGHTS). */
struct arbiter_wire_welcome {
	struct arbiter_wire_head head;
	uint32_t slots;         /* that may be used: as many as asked for, or fewer */
	uint32_t page_bytes;    /* of the memfd */
	uint32_t cores;         /* under management */
	uint32_t cores_max;     /* that this process can get at most */
	uint32_t priority_best; /* requests for a more urgent one count as this one */
	uint32_t grace_us;      /* from RELEASE to REVOKED */
};

/* GRANTED, RELEASE and REVOKED say on the socket what the page says, for whoever waits on it. */
struct arbiter_wire_event {
	struct arbiter_wire_head head;
	uint32_t slot;
	uint32_t cpu;
	uint64_t generation;
};

/* The last message before the arbiter closes: why. */
struct arbiter_wire_refused {
	struct arbiter_wire_head head;
	uint32_t code; /* enum status_code */
	uint32_t reserved;
	char text[ARBITER_TEXT_BYTES]; /* ends with a zero byte */
};

static_assert(sizeof(struct arbiter_wire_head) == 16, "wire");
static_assert(offsetof(struct arbiter_wire_head, version) == 4, "wire");
static_assert(offsetof(struct arbiter_wire_head, type) == 6, "wire");
static_assert(offsetof(struct arbiter_wire_head, bytes) == 8, "wire");
static_assert(sizeof(struct arbiter_wire_hello) == 64, "wire");
static_assert(offsetof(struct arbiter_wire_hello, slots) == 24, "wire");
static_assert(offsetof(struct arbiter_wire_hello, name) == 32, "wire");
static_assert(sizeof(struct arbiter_wire_request) == 48, "wire");
static_assert(sizeof(struct arbiter_wire_park) == 32, "wire");
static_assert(offsetof(struct arbiter_wire_park, returned) == 24, "wire");
static_assert(sizeof(struct arbiter_wire_return) == 32, "wire");
static_assert(offsetof(struct arbiter_wire_return, generation) == 24, "wire");
static_assert(sizeof(struct arbiter_wire_welcome) == 40, "wire");
static_assert(sizeof(struct arbiter_wire_event) == 32, "wire");
static_assert(offsetof(struct arbiter_wire_event, generation) == 24, "wire");
static_assert(sizeof(struct arbiter_wire_refused) == 128, "wire");

/* Any message, with room for the largest. */
union arbiter_wire_message {
	struct arbiter_wire_head head;
	struct arbiter_wire_hello hello;
	struct arbiter_wire_request request;
	struct arbiter_wire_park park;
	struct arbiter_wire_return returned;
	struct arbiter_wire_welcome welcome;
	struct arbiter_wire_event event;
	struct arbiter_wire_refused refused;
};

static_assert(sizeof(union arbiter_wire_message) == ARBITER_WIRE_BYTES_MAX, "wire");

/*
 * The page. A slot's word is 2 * generation while the core is the slot's, 2 * generation + 1 once
 * it is wanted back, which stays when it is taken by force, and 1 when it was given back and before
 * the first grant: a holder that compares the word with what it was when the core was granted sees
 * every change with one load. `cpu` is written before the word. Who waits for a grant sleeps on the
 * low half of the word (a futex). Generations grow, also from one arbiter to the next.
 */
#define ARBITER_WORD_NONE        1ull
#define ARBITER_WORD_WANTED      1ull
#define ARBITER_WORD(generation) ((uint64_t)(generation) << 1)

struct arbiter_page_slot {
	struct atomic_u64 word;
	struct atomic_u32 cpu;
	uint32_t reserved;
};

struct arbiter_page {
	uint32_t magic;
	uint32_t version;
	uint32_t slots;
	uint32_t reserved[13];
	struct arbiter_page_slot slot[ARBITER_SLOTS_MAX];
};

static_assert(sizeof(struct arbiter_page_slot) == 16, "page");
static_assert(offsetof(struct arbiter_page_slot, cpu) == 8, "page");
static_assert(offsetof(struct arbiter_page, slot) == 64, "page");

#define ARBITER_PAGE_BYTES 8192
static_assert(sizeof(struct arbiter_page) <= ARBITER_PAGE_BYTES, "page");

enum arbiter_side { ARBITER_FROM_CLIENT, ARBITER_FROM_ARBITER };

/*
 * Checks a packet of `bytes` bytes: magic, version, that the type is one which `from` sends, that
 * both lengths are that type's, slots and strings in bounds, reserved fields zero. STATUS_CORRUPT
 * names what is wrong. Only afterwards may the union's members be read.
 */
struct status arbiter_wire_check(const union arbiter_wire_message *message, size_t bytes,
				 enum arbiter_side from);

/* The length of a message of `type`; 0 if there is no such type. */
uint32_t arbiter_wire_bytes(uint16_t type);

/* The head of a message of `type`. */
struct arbiter_wire_head arbiter_wire_head(enum arbiter_wire_type type);
