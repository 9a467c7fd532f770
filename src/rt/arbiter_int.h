/*
 * Inside of the arbiter: the sessions of its clients.
 */
#pragma once

#include "rt/arbiter.h"
#include "rt/arbiter_plan.h"

#define SESSION_NONE UINT32_MAX

struct session {
	int socket;        /* -1: no session */
	uint64_t serial;   /* tells a session from the one before it at the same place */
	uint64_t hello_by; /* CLOCK_NEVER once it has said HELLO */
	bool joined;       /* it is in the plan and placed */
	uint32_t process;  /* its number there */
	uint32_t slots;
	struct arbiter_peer peer;
	struct arbiter_page *page; /* written, never read */
	char name[ARBITER_NAME_BYTES];
	uint64_t messages_left; /* a bucket of messages that fills with time */
	uint64_t messages_at;
	uint32_t core[ARBITER_SLOTS_MAX]; /* that the slot holds; SESSION_NONE */
};

struct arbiter {
	struct arbiter_config config; /* defaults filled in */
	struct arbiter_plan *plan;
	struct arbiter_place *place;
	int epoll, listener, lock;
	char path[ARBITER_PATH_BYTES];
	bool listening;     /* the listener is watched */
	uint64_t listen_at; /* when to watch it again: descriptors had run out */
	uint32_t core_count;
	uint32_t cpu[ARBITER_CORES_MAX]; /* of each core */
	uint64_t serial_last;
	uint64_t report_at; /* the second that report_count is of */
	uint32_t report_count;
	uint32_t session_of[ARBITER_PROCESSES_MAX]; /* by the plan's number */
	struct session session[ARBITER_PROCESSES_MAX];
};

/* Tells config.report; drops what is too much for one second. */
void arbiter_say(struct arbiter *arbiter, enum arbiter_report kind, const char *format, ...)
	PRINTF(3, 4);

/* Takes over a connection, or refuses it and closes the socket. */
void session_begin(struct arbiter *arbiter, int socket);

/* Reads what the client sent, a bounded number of messages; may end the session. */
void session_input(struct arbiter *arbiter, struct session *session);

/* Ends sessions that have not said HELLO in time; returns when to call again. */
uint64_t session_expire(struct arbiter *arbiter, uint64_t now);

/* Ends a session: its cores are free. `why`: NULL if it went by itself. */
void session_end(struct arbiter *arbiter, struct session *session, const char *why);

/* Makes a decision of the plan true and tells the client; may end its session. */
void session_act(struct arbiter *arbiter, const struct arbiter_action *action);
