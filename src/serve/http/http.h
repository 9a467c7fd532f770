/*
 * The HTTP door: what listens, and which owner answers which path.
 *
 *	TRY(http_create(&(struct http_config){.address = address}, &http));
 *	TRY(http_route_add(http, &(struct http_route){.path = "/healthz", .handle = healthz}));
 *	TRY(http_start(http));
 *	…
 *	http_stop(http);
 *
 * libmicrohttpd stands behind it, with kernel threads of its own: nothing here runs on a core
 * unless a route asks for it. GET and HEAD are the methods; other paths and methods get 404 and
 * 405.
 */
#pragma once

#include "base/status.h"
#include "serve/address.h"

#include <stdbool.h>
#include <stdio.h>

struct http;
struct rt;

enum http_status {
	HTTP_OK = 200,
	HTTP_NOT_FOUND = 404,
	HTTP_NOT_ALLOWED = 405,
	HTTP_TOO_LARGE = 413,
	HTTP_ERROR = 500,
	HTTP_UNAVAILABLE = 503,
};

struct http_request {
	const char *path; /* decoded, without the query; borrowed during the call */
	const char *tail; /* what follows the route's own path; "" unless it is a prefix */
};

/* To fill in: status 200, "text/plain; charset=utf-8" and an empty body are there already. */
struct http_response {
	enum http_status status;
	const char *type; /* static */
	/* what is written is the body; past HTTP_BODY_BYTES_MAX the client gets a 500 instead */
	FILE *body;
};

#define HTTP_BODY_BYTES_MAX (16u << 20)

typedef void (*http_handler)(void *arg, const struct http_request *request,
			     struct http_response *response);

struct http_route {
	const char *path; /* static; begins with "/" */
	bool prefix;      /* also what begins with `path` */
	bool on_core;     /* the handler may suspend: it runs on a user thread of config.rt */
	http_handler handle;
	void *arg; /* borrowed until http_stop() */
};

struct http_config {
	struct address address;
	struct rt *rt;            /* for routes with on_core; may be NULL if there are none */
	uint32_t connections_max; /* 0: 2048. Further ones are closed at once. */
	uint32_t idle_s;          /* closes connections that say nothing; 0: 30 */
};

#define HTTP_ROUTES_MAX 64

/*
 * Makes a door that does not listen yet. STATUS_NO_MEMORY.
 */
struct status http_create(const struct http_config *config, struct http **ret);

/*
 * Adds a route; a later one of the same path is STATUS_EXISTS, one too many STATUS_LIMIT. Before
 * http_start() only.
 */
struct status http_route_add(struct http *http, const struct http_route *route);

/* Listens and answers from now on. What address_listen() says; STATUS_IO if the library refuses. */
struct status http_start(struct http *http);

/* Where it listens: after http_start() with the port that it got. Borrowed until http_stop(). */
const struct address *http_address(const struct http *http);

/* Stops listening, ends all connections, waits for running handlers, and frees the door. NULL does
 * nothing. */
void http_stop(struct http *http);
