#include "rt/arbiter_int.h"

#include "base/assert.h"
#include "base/clock.h"
#include "base/diag.h"
#include "base/metrics.h"
#include "base/os.h"

#include <stdio.h>
#include <string.h>

#define HELLO_NS         NS_PER_S
#define MESSAGES_AT_ONCE 16 /* then it is somebody else's turn */

METRIC_COUNTER(grants, "tarn_arbiter_grants_total", "Cores given to clients");
METRIC_COUNTER(asks, "tarn_arbiter_releases_total", "Cores asked back");
METRIC_COUNTER(revokes, "tarn_arbiter_revokes_total",
	       "Cores taken by force after the grace period");
METRIC_COUNTER(drops, "tarn_arbiter_drops_total", "Clients dropped for what they did");

static struct status page_make(struct session *session, int *ret_fd)
{
	void *at;
	int fd;

	TRY(os_memfd("tarn-arbiter", 0, ARBITER_PAGE_BYTES, &fd));

	struct status status = os_map_file(NULL, ARBITER_PAGE_BYTES, fd, 0, true, &at);

	if (status_ok(status)) {
		session->page = at;
		status = arbiter_os_memfd_publish(fd);
	}
	if (!status_ok(status)) {
		os_close(fd);
		return status;
	}
	session->page->magic = ARBITER_WIRE_MAGIC;
	session->page->version = ARBITER_WIRE_VERSION;
	session->page->slots = session->slots;
	for (uint32_t s = 0; s < ARBITER_SLOTS_MAX; s++)
		atomic_u64_store(&session->page->slot[s].word, ARBITER_WORD_NONE, ORDER_RELAXED);
	*ret_fd = fd;
	return OK;
}

/* ---- sending --------------------------------------------------------------------------------- */

static void refuse(int socket, struct status status, const char *why)
{
	struct arbiter_wire_refused message = {
		.head = arbiter_wire_head(ARBITER_REFUSED),
		.code = (uint32_t)status.code,
	};

	snprintf(message.text, sizeof(message.text), "%.*s", (int)sizeof(message.text) - 1, why);
	/* a courtesy: who does not read it gets the end of the connection */
	(void)arbiter_os_send(socket, &message, sizeof(message), -1);
}

static struct status tell(struct session *session, const void *message, size_t bytes, int fd)
{
	switch (arbiter_os_send(session->socket, message, bytes, fd)) {
	case ARBITER_IO_DONE: return OK;
	case ARBITER_IO_LATER: return fail(STATUS_LIMIT, "it does not read what it is told");
	case ARBITER_IO_FULL:
		return fail(STATUS_NO_MEMORY, "the kernel has no memory to tell it anything");
	default: return fail(STATUS_CLOSED, "the client has gone");
	}
}

static struct status tell_event(struct arbiter *arbiter, struct session *session,
				enum arbiter_wire_type type, const struct arbiter_action *action)
{
	struct arbiter_wire_event message = {
		.head = arbiter_wire_head(type),
		.slot = action->slot,
		.cpu = arbiter->cpu[action->core],
		.generation = action->generation,
	};

	return tell(session, &message, sizeof(message), -1);
}

/* ---- beginning and end ----------------------------------------------------------------------- */

static uint32_t sessions_of_uid(const struct arbiter *arbiter, uint32_t uid)
{
	uint32_t count = 0;

	for (uint32_t i = 0; i < arbiter->config.clients_max; i++)
		count += arbiter->session[i].socket >= 0 && arbiter->session[i].peer.uid == uid;
	return count;
}

static struct status session_admit(struct arbiter *arbiter, int socket, struct session **ret)
{
	struct session *session = NULL;
	struct arbiter_peer peer;

	for (uint32_t i = 0; i < arbiter->config.clients_max && !session; i++)
		if (arbiter->session[i].socket < 0)
			session = &arbiter->session[i];
	if (!session)
		return fail(STATUS_LIMIT, "%u clients are connected, the limit",
			    arbiter->config.clients_max);
	TRY(arbiter_os_peer(socket, &peer));

	struct status status = OK;

	if (sessions_of_uid(arbiter, peer.uid) >= arbiter->config.clients_per_uid_max)
		status = fail(STATUS_LIMIT, "user %u has %u clients, its limit", peer.uid,
			      arbiter->config.clients_per_uid_max);
	else
		status = arbiter_os_watch(arbiter->epoll, socket,
					  (uint64_t)(session - arbiter->session) |
						  (arbiter->serial_last + 1) << 32);
	if (!status_ok(status)) {
		os_close(peer.proc);
		return status;
	}
	*session = (struct session){
		.socket = socket,
		.serial = ++arbiter->serial_last & UINT32_MAX,
		.hello_by = clock_deadline(HELLO_NS),
		.peer = peer,
		.messages_left = arbiter->config.messages_per_s_max,
		.messages_at = clock_ns(),
	};
	memset(session->core, 0xff, sizeof(session->core));
	*ret = session;
	return OK;
}

void session_begin(struct arbiter *arbiter, int socket)
{
	struct session *session;
	struct status status = session_admit(arbiter, socket, &session);

	if (!status_ok(status)) {
		arbiter_say(arbiter, ARBITER_REPORT_WARNING, "a client was refused: %s",
			    diag_text());
		refuse(socket, status, diag_text());
		os_close(socket);
	}
}

void session_end(struct arbiter *arbiter, struct session *session, const char *why)
{
	if (why) {
		metric_add(&drops, 1);
		arbiter_say(arbiter, ARBITER_REPORT_WARNING,
			    "client \"%s\" (process %d, user %u) was dropped: %s", session->name,
			    (int)session->peer.pid, session->peer.uid, why);
	} else if (session->joined) {
		arbiter_say(arbiter, ARBITER_REPORT_INFO, "client \"%s\" (process %d) left",
			    session->name, (int)session->peer.pid);
	}
	if (session->joined) {
		arbiter_plan_leave(arbiter->plan, session->process);
		arbiter_place_leave(arbiter->place, session->process);
		arbiter->session_of[session->process] = SESSION_NONE;
	}
	if (session->page)
		/* fails only at the limit on mappings */
		status_ignore(os_unmap(session->page, ARBITER_PAGE_BYTES));
	arbiter_os_unwatch(arbiter->epoll, session->socket);
	os_close(session->socket);
	os_close(session->peer.proc);
	*session = (struct session){.socket = -1};
}

static void session_drop(struct arbiter *arbiter, struct session *session, struct status status)
{
	char why[DIAG_TEXT_BYTES];

	if (status_is(status, STATUS_CLOSED)) { /* it went while it was being told something */
		session_end(arbiter, session, NULL);
		return;
	}
	/* ending the session may set the detail anew */
	snprintf(why, sizeof(why), "%s", diag_text());
	refuse(session->socket, status, why);
	session_end(arbiter, session, why);
}

uint64_t session_expire(struct arbiter *arbiter, uint64_t now)
{
	uint64_t next = CLOCK_NEVER;

	for (uint32_t i = 0; i < arbiter->config.clients_max; i++) {
		struct session *session = &arbiter->session[i];

		if (session->socket < 0 || session->joined)
			continue;
		if (now >= session->hello_by)
			session_drop(arbiter, session,
				     fail(STATUS_TIMEOUT, "it said nothing for a second"));
		else if (session->hello_by < next)
			next = session->hello_by;
	}
	return next;
}

/* ---- messages -------------------------------------------------------------------------------- */

static struct arbiter_limits limits_of(const struct arbiter *arbiter, uint32_t uid)
{
	const struct arbiter_config *config = &arbiter->config;
	struct arbiter_limits limits = {
		.uid = uid,
		.cores_max = config->cores_per_client_max,
		.cores_per_uid_max = arbiter->core_count,
		.processes_per_uid_max = config->clients_per_uid_max,
	};

	for (uint32_t i = 0; i < config->rule_count; i++) {
		if (config->rules[i].uid != uid)
			continue;
		limits.priority_best = config->rules[i].priority_best;
		limits.cores_per_uid_max = config->rules[i].cores_max;
		break;
	}
	if (limits.cores_max > limits.cores_per_uid_max)
		limits.cores_max = limits.cores_per_uid_max;
	return limits;
}

static struct status welcome(struct arbiter *arbiter, struct session *session,
			     const struct arbiter_limits *limits)
{
	struct arbiter_wire_welcome message = {
		.head = arbiter_wire_head(ARBITER_WELCOME),
		.slots = session->slots,
		.page_bytes = ARBITER_PAGE_BYTES,
		.cores = arbiter->core_count,
		.cores_max = limits->cores_max,
		.priority_best = limits->priority_best,
		.grace_us = (uint32_t)(arbiter->config.grace_ns / NS_PER_US),
	};
	int fd;

	TRY(page_make(session, &fd));

	struct status status = tell(session, &message, sizeof(message), fd);

	os_close(fd);
	return status;
}

static struct status on_hello(struct arbiter *arbiter, struct session *session,
			      const struct arbiter_wire_hello *hello)
{
	struct arbiter_limits limits = limits_of(arbiter, session->peer.uid);

	if (session->joined)
		return fail(STATUS_INVALID, "it says HELLO twice");
	if (hello->version_min > ARBITER_WIRE_VERSION ||
	    hello->version_max < ARBITER_WIRE_VERSION_MIN)
		return fail(STATUS_UNSUPPORTED, "it speaks versions %u to %u, the arbiter %u to %u",
			    hello->version_min, hello->version_max, ARBITER_WIRE_VERSION_MIN,
			    ARBITER_WIRE_VERSION);
	session->slots = hello->slots;
	for (size_t i = 0; hello->name[i]; i++) /* it will be printed */
		session->name[i] = hello->name[i] >= ' ' && hello->name[i] < 127 &&
						   hello->name[i] != '"'
					   ? hello->name[i]
					   : '?';
	TRY(arbiter_plan_join(arbiter->plan, &limits, session->slots, &session->process));

	struct status status = arbiter_place_join(arbiter->place, session->process, &session->peer);

	if (!status_ok(status)) {
		arbiter_plan_leave(arbiter->plan, session->process);
		return status;
	}
	session->joined = true;
	session->hello_by = CLOCK_NEVER;
	arbiter->session_of[session->process] = (uint32_t)(session - arbiter->session);
	arbiter_say(arbiter, ARBITER_REPORT_INFO,
		    "client \"%s\" (process %d, user %u) joined with %u threads", session->name,
		    (int)session->peer.pid, session->peer.uid, session->slots);
	return welcome(arbiter, session, &limits);
}

/* The plan took the core of this slot back, if it held one under this generation. */
static void core_returned(struct arbiter *arbiter, struct session *session, uint32_t slot)
{
	if (session->core[slot] == SESSION_NONE)
		return;
	arbiter_place_return(arbiter->place, arbiter->cpu[session->core[slot]]);
	session->core[slot] = SESSION_NONE;
	/* release: nothing goes with it, but whoever sees it sees all words before */
	atomic_u64_store(&session->page->slot[slot].word, ARBITER_WORD_NONE, ORDER_RELEASE);
}

static struct status on_park(struct arbiter *arbiter, struct session *session,
			     const struct arbiter_wire_park *park)
{
	TRY(arbiter_plan_park(arbiter->plan, session->process, park->slot, park->returned));
	core_returned(arbiter, session, park->slot);
	return arbiter_place_adopt(arbiter->place, session->process, park->slot, (pid_t)park->tid);
}

static struct status on_return(struct arbiter *arbiter, struct session *session,
			       const struct arbiter_wire_return *message)
{
	TRY(arbiter_plan_return(arbiter->plan, session->process, message->slot,
				message->generation));
	core_returned(arbiter, session, message->slot);
	arbiter_place_disown(arbiter->place, session->process, message->slot);
	return OK;
}

static struct status on_message(struct arbiter *arbiter, struct session *session,
				const union arbiter_wire_message *message, size_t bytes)
{
	TRY(arbiter_wire_check(message, bytes, ARBITER_FROM_CLIENT));
	if (message->head.type != ARBITER_HELLO && !session->joined)
		return fail(STATUS_INVALID, "it did not begin with HELLO");
	switch (message->head.type) {
	case ARBITER_HELLO: return on_hello(arbiter, session, &message->hello);
	case ARBITER_REQUEST:
		arbiter_plan_request(arbiter->plan, session->process, message->request.wanted);
		return OK;
	case ARBITER_PARK: return on_park(arbiter, session, &message->park);
	default: return on_return(arbiter, session, &message->returned);
	}
}

/* Counts a message; LIMIT when the client sends more than it may for longer than a second. */
static struct status rate_check(struct arbiter *arbiter, struct session *session)
{
	uint64_t rate = arbiter->config.messages_per_s_max;

	if (session->messages_left == 0) {
		uint64_t now = clock_ns();
		uint64_t ns = now - session->messages_at;

		session->messages_left = ns >= NS_PER_S ? rate : rate * ns / NS_PER_S;
		session->messages_at = now;
	}
	if (session->messages_left == 0)
		return fail(STATUS_LIMIT, "it sends more than %llu messages a second",
			    (unsigned long long)rate);
	session->messages_left--;
	return OK;
}

void session_input(struct arbiter *arbiter, struct session *session)
{
	union arbiter_wire_message message;
	struct status status = OK;
	size_t bytes;

	for (int i = 0; i < MESSAGES_AT_ONCE && status_ok(status); i++) {
		switch (arbiter_os_receive(session->socket, &message, sizeof(message), &bytes,
					   NULL)) {
		case ARBITER_IO_LATER:
		case ARBITER_IO_FULL: return;
		case ARBITER_IO_CLOSED: session_end(arbiter, session, NULL); return;
		case ARBITER_IO_BAD:
			status = fail(STATUS_CORRUPT, "it sent more than %u bytes in a message",
				      ARBITER_WIRE_BYTES_MAX);
			break;
		case ARBITER_IO_DONE:
			status = rate_check(arbiter, session);
			if (status_ok(status))
				status = on_message(arbiter, session, &message, bytes);
			break;
		}
	}
	if (!status_ok(status))
		session_drop(arbiter, session, status);
}

/* ---- decisions ------------------------------------------------------------------------------- */

static struct status act_grant(struct arbiter *arbiter, struct session *session,
			       const struct arbiter_action *action)
{
	struct arbiter_page_slot *slot = &session->page->slot[action->slot];
	uint32_t cpu = arbiter->cpu[action->core];

	session->core[action->slot] = action->core;
	TRY(arbiter_place_grant(arbiter->place, session->process, action->slot, cpu));
	metric_add(&grants, 1);
	atomic_u32_store(&slot->cpu, cpu, ORDER_RELAXED);
	/* release: who sees the generation sees the processor, and runs on it */
	atomic_u64_store(&slot->word, ARBITER_WORD(action->generation), ORDER_RELEASE);
	os_futex_wake_shared((const struct atomic_u32 *)(const void *)&slot->word, 1);
	return tell_event(arbiter, session, ARBITER_GRANTED, action);
}

void session_act(struct arbiter *arbiter, const struct arbiter_action *action)
{
	struct session *session = &arbiter->session[arbiter->session_of[action->process]];
	struct status status = OK;

	ASSERT(session->joined && session->process == action->process);
	switch (action->kind) {
	case ARBITER_ACTION_GRANT: status = act_grant(arbiter, session, action); break;
	case ARBITER_ACTION_ASK:
		metric_add(&asks, 1);
		/* release: as above */
		atomic_u64_store(&session->page->slot[action->slot].word,
				 ARBITER_WORD(action->generation) | ARBITER_WORD_WANTED,
				 ORDER_RELEASE);
		status = tell_event(arbiter, session, ARBITER_RELEASE, action);
		break;
	case ARBITER_ACTION_REVOKE:
		metric_add(&revokes, 1);
		session->core[action->slot] = SESSION_NONE;
		/* the word stays "wanted": a thread that did not even notice the grant finds it */
		arbiter_place_revoke(arbiter->place, arbiter->cpu[action->core]);
		status = tell_event(arbiter, session, ARBITER_REVOKED, action);
		break;
	}
	if (!status_ok(status))
		session_drop(arbiter, session, status);
}
