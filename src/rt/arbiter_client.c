/*
 * The page stands at one address for the whole life of the client, so that a core's look at it is
 * one load and no pointer has to change. What is mapped there changes: the arbiter's page, or the
 * local one when there is no arbiter. Grants of the two never have the same word (LOCAL), and
 * which page a grant is of is decided under the mutex (park_end).
 *
 * The two also exist at addresses of their own (`local`, `remote`). Waking goes through those: a
 * futex is found by the file behind the address, and who fell asleep just before the page was
 * exchanged sleeps on the old file.
 */
#include "rt/arbiter_client.h"

#include "base/assert.h"
#include "base/clock.h"
#include "base/diag.h"
#include "base/os.h"
#include "rt/arbiter.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>

#define RETRY_NS NS_PER_S
#define WAIT_NS  NS_PER_S
#define LOCAL    (1ull << 62)     /* in the generation of grants that the client gives itself */
#define STOPPED  (UINT64_MAX - 1) /* a word: even, so that who waits stops waiting */

enum link {
	LINK_NONE,    /* local grants */
	LINK_GREETED, /* HELLO was sent; still local grants */
	LINK_UP,
};

struct seat {
	struct arbiter_slot slot;
	bool parked; /* its thread waits, or is about to notice that it need not any more */
	uint64_t
		returned; /* the word that it came with, which is no new grant; set by its thread */
	uint32_t tid;
};

struct arbiter_client {
	struct arbiter_client_config config;
	char path[ARBITER_PATH_BYTES];
	char name[ARBITER_NAME_BYTES];
	pthread_mutex_t mutex; /* guards all below; held briefly, never while waiting */
	enum link link;
	bool stopping;
	int epoll, timer, socket, local_fd; /* socket: -1 while LINK_NONE */
	uint32_t slots;                     /* that the arbiter gave us */
	uint32_t wanted[ARBITER_PRIORITIES];
	uint64_t local_generation;
	struct arbiter_page *page;   /* the address that cores look at */
	struct arbiter_page *local;  /* ours, writable */
	struct arbiter_page *remote; /* the arbiter's, NULL unless LINK_UP */
	struct arbiter_client_stats stats;
	struct seat seat[ARBITER_SLOTS_MAX];
};

enum { KEY_SOCKET, KEY_TIMER };

static void lost(struct arbiter_client *client);

static void lock(struct arbiter_client *client)
{
	pthread_mutex_lock(&client->mutex);
}

static void unlock(struct arbiter_client *client)
{
	pthread_mutex_unlock(&client->mutex);
}

static const struct atomic_u32 *futex_of(const struct arbiter_page *page, uint32_t slot)
{
	return (const struct atomic_u32 *)(const void *)&page->slot[slot].word;
}

static void wake_all(struct arbiter_client *client, const struct arbiter_page *page)
{
	for (uint32_t s = 0; s < client->config.slots; s++)
		os_futex_wake_shared(futex_of(page, s), 1);
}

static uint64_t word_of(const struct arbiter_page *page, uint32_t slot)
{
	return atomic_u64_load(&page->slot[slot].word, ORDER_ACQUIRE);
}

/*
 * Whether the word grants a core to a thread that came with `returned` (0: with nothing). Also one
 * that has been asked back since, or taken: who was too slow to notice must come and offer itself
 * anew, or it would wait for ever.
 */
static bool grants(uint64_t word, uint64_t returned)
{
	return word != ARBITER_WORD_NONE &&
	       (word | ARBITER_WORD_WANTED) != (returned | ARBITER_WORD_WANTED);
}

/* ---- sending --------------------------------------------------------------------------------- */

/* A message that cannot be sent ends the link: the arbiter is dead or does not read. */
static void tell(struct arbiter_client *client, const void *message, size_t bytes)
{
	if (client->link != LINK_NONE &&
	    arbiter_os_send(client->socket, message, bytes, -1) != ARBITER_IO_DONE)
		lost(client);
}

static void tell_request(struct arbiter_client *client)
{
	struct arbiter_wire_request message = {.head = arbiter_wire_head(ARBITER_REQUEST)};

	memcpy(message.wanted, client->wanted, sizeof(message.wanted));
	tell(client, &message, sizeof(message));
}

/* The generation to give back with a word: none if it was a local grant. */
static uint64_t generation_of(uint64_t word)
{
	uint64_t generation = word >> 1;

	return generation & LOCAL ? 0 : generation;
}

static void tell_park(struct arbiter_client *client, uint32_t slot)
{
	const struct seat *seat = &client->seat[slot];
	struct arbiter_wire_park message = {
		.head = arbiter_wire_head(ARBITER_PARK),
		.slot = slot,
		.tid = seat->tid,
		.returned = generation_of(seat->returned),
	};

	/* beyond what the arbiter allows a thread stays parked while it is there */
	if (slot < client->slots)
		tell(client, &message, sizeof(message));
}

/* ---- local grants ---------------------------------------------------------------------------- */

static void local_set(struct arbiter_client *client, uint32_t slot, uint64_t word)
{
	/* release: as the arbiter does */
	atomic_u64_store(&client->local->slot[slot].word, word, ORDER_RELEASE);
	os_futex_wake_shared(futex_of(client->local, slot), 1);
}

/* Makes as many slots run as the requests add up to, if so many threads are there. */
static void local_balance(struct arbiter_client *client)
{
	uint64_t wanted = 0;
	uint32_t running = 0;

	for (uint32_t p = 0; p < ARBITER_PRIORITIES; p++)
		wanted += client->wanted[p];
	for (uint32_t s = 0; s < client->config.slots; s++)
		running += !(word_of(client->local, s) & ARBITER_WORD_WANTED);
	for (uint32_t s = 0; s < client->config.slots && running < wanted; s++) {
		if (!client->seat[s].parked || !(word_of(client->local, s) & ARBITER_WORD_WANTED))
			continue;
		local_set(client, s, ARBITER_WORD(LOCAL | ++client->local_generation));
		running++;
	}
	for (uint32_t s = client->config.slots; s-- > 0 && running > wanted;) {
		uint64_t word = word_of(client->local, s);

		if (word & ARBITER_WORD_WANTED)
			continue;
		local_set(client, s, word | ARBITER_WORD_WANTED);
		running--;
	}
}

/* ---- exchanging pages ------------------------------------------------------------------------ */

/*
 * What the local page must say so that everything goes on as it is: who runs has the word that he
 * holds, who waits has none.
 */
static void local_take_over(struct arbiter_client *client)
{
	for (uint32_t s = 0; s < client->config.slots; s++) {
		const struct seat *seat = &client->seat[s];
		uint64_t word = word_of(client->page, s);
		uint64_t held = atomic_u64_load(&seat->slot.held, ORDER_RELAXED);
		uint64_t next = ARBITER_WORD_NONE;

		if (client->stopping)
			next = STOPPED;
		else if (seat->parked && grants(word, seat->returned))
			next = word & ~ARBITER_WORD_WANTED; /* it is about to notice */
		else if (!seat->parked && held != 0)
			next = held; /* also if it was asked back: nobody wants it any more */
		atomic_u64_store(&client->local->slot[s].word, next, ORDER_RELEASE);
		atomic_u32_store(
			&client->local->slot[s].cpu,
			next == word ? atomic_u32_load(&client->page->slot[s].cpu, ORDER_RELAXED)
				     : ARBITER_CPU_ANY,
			ORDER_RELAXED);
	}
}

/* From the arbiter's page to the local one. */
static void page_local(struct arbiter_client *client)
{
	struct arbiter_page *before = client->remote;

	local_take_over(client);
	/* the address is mapped already and the mapping is of the same kind: there is nothing to
	 * run out of */
	if (!status_ok(arbiter_os_map_over(client->page, ARBITER_PAGE_BYTES, client->local_fd)))
		PANIC("the arbiter's page cannot be exchanged: %s", diag_text());
	client->remote = NULL;
	wake_all(client, before);
	wake_all(client, client->local);
	status_ignore(os_unmap(before, ARBITER_PAGE_BYTES)); /* fails only at the mapping limit */
	if (!client->stopping)
		local_balance(client);
}

/* ---- the link -------------------------------------------------------------------------------- */

static void retry_later(struct arbiter_client *client)
{
	if (!client->stopping && client->config.retry_ns != CLOCK_NEVER)
		arbiter_os_timer_set(client->timer, client->config.retry_ns);
}

/* Ends the link, by whatever cause; grants are local from now on. */
static void lost(struct arbiter_client *client)
{
	enum link link = client->link;

	if (link == LINK_NONE)
		return;
	client->link = LINK_NONE;
	client->stats.cores_max = 0;
	arbiter_os_unwatch(client->epoll, client->socket);
	os_close(client->socket);
	client->socket = -1;
	if (link == LINK_UP)
		page_local(client);
	retry_later(client);
}

/* Connects and says HELLO; the answer comes through the descriptor. */
static void greet(struct arbiter_client *client)
{
	struct arbiter_wire_hello hello = {
		.head = arbiter_wire_head(ARBITER_HELLO),
		.version_min = ARBITER_WIRE_VERSION_MIN,
		.version_max = ARBITER_WIRE_VERSION,
		.slots = client->config.slots,
	};

	if (!client->config.path)
		arbiter_path_default(true, client->path); /* where one may have come up since */
	if (!status_ok(arbiter_os_connect(client->path, &client->socket)) ||
	    !status_ok(arbiter_os_watch(client->epoll, client->socket, KEY_SOCKET))) {
		os_close(client->socket);
		client->socket = -1;
		retry_later(client);
		return;
	}
	client->link = LINK_GREETED;
	memcpy(hello.name, client->name, sizeof(hello.name));
	/* the timer now says when the answer is overdue */
	arbiter_os_timer_set(client->timer, client->config.wait_ns);
	tell(client, &hello, sizeof(hello));
}

static struct status on_welcome(struct arbiter_client *client,
				const struct arbiter_wire_welcome *welcome, int fd)
{
	void *at;

	if (client->link != LINK_GREETED)
		return fail(STATUS_CORRUPT, "arbiter: WELCOME twice");
	if (fd < 0 || !arbiter_os_memfd_safe(fd, ARBITER_PAGE_BYTES))
		return fail(STATUS_CORRUPT, "arbiter: WELCOME without a page of %u bytes, sealed",
			    ARBITER_PAGE_BYTES);
	TRY(os_map_file(NULL, ARBITER_PAGE_BYTES, fd, 0, false, &at));

	struct status status = arbiter_os_map_over(client->page, ARBITER_PAGE_BYTES, fd);

	if (!status_ok(status)) {
		status_ignore(os_unmap(at, ARBITER_PAGE_BYTES)); /* the status says more */
		return status;
	}
	client->remote = at;
	client->link = LINK_UP;
	client->slots = welcome->slots;
	client->stats.connections++;
	client->stats.cores_max = welcome->cores_max;
	client->stats.refused[0] = '\0';
	arbiter_os_timer_set(client->timer, 0);
	/* who waits on the local page looks again and then waits on the arbiter's */
	wake_all(client, client->local);
	tell_request(client);
	/* also those that were granted a core locally and have not noticed: now they cannot */
	for (uint32_t s = 0; s < client->config.slots; s++)
		if (client->seat[s].parked)
			tell_park(client, s);
	return OK;
}

static struct status on_message(struct arbiter_client *client,
				const union arbiter_wire_message *message, size_t bytes, int fd)
{
	TRY(arbiter_wire_check(message, bytes, ARBITER_FROM_ARBITER));
	switch (message->head.type) {
	case ARBITER_WELCOME: return on_welcome(client, &message->welcome, fd);
	case ARBITER_GRANTED: client->stats.grants++; return OK;
	case ARBITER_RELEASE: client->stats.releases++; return OK;
	case ARBITER_REVOKED: client->stats.revokes++; return OK;
	default: /* REFUSED: the end of the connection follows */
		memcpy(client->stats.refused, message->refused.text, ARBITER_TEXT_BYTES);
		return OK;
	}
}

/* Reads all that the arbiter has said. */
static void listen_to(struct arbiter_client *client)
{
	union arbiter_wire_message message;
	size_t bytes;
	int fd = -1;

	while (client->link != LINK_NONE) {
		enum arbiter_io io =
			arbiter_os_receive(client->socket, &message, sizeof(message), &bytes, &fd);
		bool bad = io != ARBITER_IO_DONE;

		if (io == ARBITER_IO_LATER)
			return;
		if (!bad)
			bad = !status_ok(on_message(client, &message, bytes, fd));
		os_close(fd);
		if (bad)
			lost(client);
	}
}

bool arbiter_client_wait(struct arbiter_client *client, uint64_t deadline)
{
	struct arbiter_ready ready[2];

	/* level-triggered: what is found here is found again by the poll */
	if (arbiter_os_wait(client->epoll, ready, ARRAY_SIZE(ready), deadline) == 0)
		return false;
	arbiter_client_poll(client);
	return true;
}

void arbiter_client_poll(struct arbiter_client *client)
{
	struct arbiter_ready ready[2];

	lock(client);

	uint32_t count = arbiter_os_wait(client->epoll, ready, ARRAY_SIZE(ready), 0);

	for (uint32_t i = 0; i < count; i++) {
		if (ready[i].key == KEY_SOCKET) {
			listen_to(client);
			continue;
		}
		arbiter_os_timer_set(client->timer, 0);
		if (client->link == LINK_GREETED)
			lost(client); /* no answer in time */
		else if (client->link == LINK_NONE && !client->stopping)
			greet(client);
	}
	unlock(client);
}

/* ---- beginning and end ----------------------------------------------------------------------- */

static struct status client_open(struct arbiter_client *client)
{
	void *at;

	TRY(arbiter_os_epoll(&client->epoll));
	TRY(arbiter_os_timer(&client->timer));
	TRY(arbiter_os_watch(client->epoll, client->timer, KEY_TIMER));
	TRY(os_memfd("tarn-cores", 0, ARBITER_PAGE_BYTES, &client->local_fd));
	TRY(os_map_file(NULL, ARBITER_PAGE_BYTES, client->local_fd, 0, true, &at));
	client->local = at;
	TRY(os_map_file(NULL, ARBITER_PAGE_BYTES, client->local_fd, 0, false, &at));
	client->page = at;
	for (uint32_t s = 0; s < ARBITER_SLOTS_MAX; s++) {
		atomic_u64_store(&client->local->slot[s].word, ARBITER_WORD_NONE, ORDER_RELAXED);
		atomic_u32_store(&client->local->slot[s].cpu, ARBITER_CPU_ANY, ORDER_RELAXED);
		client->seat[s].slot.word = &client->page->slot[s].word;
	}
	return OK;
}

static void client_close(struct arbiter_client *client)
{
	struct arbiter_page *pages[] = {client->page, client->local, client->remote};

	for (size_t i = 0; i < ARRAY_SIZE(pages); i++)
		if (pages[i])
			/* fails only at the limit on mappings */
			status_ignore(os_unmap(pages[i], ARBITER_PAGE_BYTES));
	os_close(client->socket);
	os_close(client->local_fd);
	os_close(client->timer);
	os_close(client->epoll);
	pthread_mutex_destroy(&client->mutex);
	status_ignore(os_unmap(client, sizeof(*client))); /* as above */
}

static struct status client_make(const struct arbiter_client_config *config,
				 struct arbiter_client **ret)
{
	struct arbiter_client *client;
	void *at;

	if (config->slots == 0 || config->slots > ARBITER_SLOTS_MAX)
		return fail(STATUS_INVALID, "arbiter: %u slots, 1 to %u can be", config->slots,
			    ARBITER_SLOTS_MAX);
	if (config->path && strlen(config->path) >= ARBITER_PATH_BYTES)
		return fail(STATUS_INVALID, "arbiter: %s: a socket's name has at most %d bytes",
			    config->path, ARBITER_PATH_BYTES - 1);
	TRY(os_map(sizeof(*client), 0, &at));
	client = at;
	client->config = *config;
	if (!client->config.retry_ns)
		client->config.retry_ns = RETRY_NS;
	if (!client->config.wait_ns)
		client->config.wait_ns = WAIT_NS;
	snprintf(client->path, sizeof(client->path), "%s", config->path ? config->path : "");
	snprintf(client->name, sizeof(client->name), "%s", config->name ? config->name : "tarn");
	pthread_mutex_init(&client->mutex, NULL);
	client->epoll = client->timer = client->socket = client->local_fd = -1;
	*ret = client;
	return OK;
}

struct status arbiter_connect(const struct arbiter_client_config *config,
			      struct arbiter_client **ret)
{
	struct arbiter_client *client;

	TRY(client_make(config, &client));

	struct status status = client_open(client);

	if (!status_ok(status)) {
		client_close(client);
		return status;
	}

	uint64_t deadline = clock_deadline(client->config.wait_ns);
	struct arbiter_ready ready[2];

	greet(client);
	while (client->link == LINK_GREETED && clock_ns() < deadline) {
		arbiter_os_wait(client->epoll, ready, ARRAY_SIZE(ready), deadline);
		arbiter_client_poll(client);
	}
	*ret = client;
	return OK;
}

void arbiter_disconnect(struct arbiter_client *client)
{
	client_close(client);
}

void arbiter_client_stop(struct arbiter_client *client)
{
	lock(client);
	client->stopping = true;
	arbiter_os_timer_set(client->timer, 0);
	if (client->link == LINK_UP) {
		lost(client);
	} else {
		lost(client);
		for (uint32_t s = 0; s < client->config.slots; s++)
			local_set(client, s, STOPPED);
	}
	unlock(client);
}

/* ---- cores ----------------------------------------------------------------------------------- */

void arbiter_request(struct arbiter_client *client, const uint32_t wanted[ARBITER_PRIORITIES])
{
	lock(client);
	memcpy(client->wanted, wanted, sizeof(client->wanted));
	if (client->link == LINK_UP)
		tell_request(client);
	else if (!client->stopping)
		local_balance(client);
	unlock(client);
}

/* The slot's core, if it has one, comes back. Returns the word under which it was held. */
static uint64_t core_leave(struct seat *seat)
{
	uint64_t held = atomic_u64_load(&seat->slot.held, ORDER_RELAXED);

	atomic_u64_store(&seat->slot.held, 0, ORDER_RELAXED);
	return held;
}

/* Offers the slot's thread. False when the client stops. */
static bool park_begin(struct arbiter_client *client, uint32_t slot)
{
	struct seat *seat = &client->seat[slot];

	lock(client);

	bool stopping = client->stopping;

	ASSERT(stopping || !seat->parked);
	seat->returned = core_leave(seat);
	seat->tid = (uint32_t)os_gettid();
	seat->parked = !stopping;
	if (client->link == LINK_UP) {
		tell_park(client, slot);
	} else if (!stopping) {
		local_set(client, slot, ARBITER_WORD_NONE);
		local_balance(client);
	}
	unlock(client);
	return !stopping;
}

/*
 * Takes the grant that `word` was. False if the page was exchanged since it was read: then it is
 * worth nothing, and the slot was offered anew or has a grant of the new page.
 */
static bool park_end(struct arbiter_client *client, uint32_t slot, uint64_t word)
{
	struct seat *seat = &client->seat[slot];

	lock(client);

	bool good = (word_of(client->page, slot) | ARBITER_WORD_WANTED) ==
		    (word | ARBITER_WORD_WANTED);

	if (good) {
		seat->parked = false;
		atomic_u64_store(&seat->slot.held, word & ~ARBITER_WORD_WANTED, ORDER_RELAXED);
	}
	unlock(client);
	return good;
}

bool arbiter_core_offer(struct arbiter_client *client, uint32_t slot)
{
	ASSERT(slot < client->config.slots);
	return park_begin(client, slot);
}

bool arbiter_core_claim(struct arbiter_client *client, uint32_t slot, struct arbiter_grant *ret)
{
	const struct arbiter_page_slot *at = &client->page->slot[slot];
	uint64_t word = word_of(client->page, slot);

	if (!grants(word, client->seat[slot].returned) || word == STOPPED ||
	    !park_end(client, slot, word))
		return false;
	*ret = (struct arbiter_grant){
		.cpu = word & LOCAL << 1 ? ARBITER_CPU_ANY
					 : atomic_u32_load(&at->cpu, ORDER_RELAXED),
		.generation = word >> 1,
	};
	return true;
}

struct status arbiter_core_park(struct arbiter_client *client, uint32_t slot,
				struct arbiter_grant *ret)
{
	bool offered = arbiter_core_offer(client, slot);

	while (offered && !arbiter_core_claim(client, slot, ret)) {
		uint64_t word = word_of(client->page, slot);

		if (word == STOPPED)
			offered = false;
		else if (!grants(word, client->seat[slot].returned))
			os_futex_wait_shared(futex_of(client->page, slot), (uint32_t)word,
					     CLOCK_NEVER);
	}
	return offered ? OK : fail(STATUS_CANCELLED, "arbiter: the client stops");
}

void arbiter_core_return(struct arbiter_client *client, uint32_t slot)
{
	struct arbiter_wire_return message = {
		.head = arbiter_wire_head(ARBITER_RETURN),
		.slot = slot,
	};

	ASSERT(slot < client->config.slots);
	lock(client);
	message.generation = generation_of(core_leave(&client->seat[slot]));
	if (client->link == LINK_UP) {
		if (slot < client->slots)
			tell(client, &message, sizeof(message));
	} else if (!client->stopping) {
		local_set(client, slot, ARBITER_WORD_NONE);
		local_balance(client);
	}
	unlock(client);
}

const struct arbiter_slot *arbiter_slot(const struct arbiter_client *client, uint32_t slot)
{
	ASSERT(slot < client->config.slots);
	return &client->seat[slot].slot;
}

/* ---- looking --------------------------------------------------------------------------------- */

int arbiter_client_fd(const struct arbiter_client *client)
{
	return client->epoll;
}

bool arbiter_client_connected(struct arbiter_client *client)
{
	lock(client);

	bool up = client->link == LINK_UP;

	unlock(client);
	return up;
}

void arbiter_client_stats(struct arbiter_client *client, struct arbiter_client_stats *ret)
{
	lock(client);
	*ret = client->stats;
	unlock(client);
}
