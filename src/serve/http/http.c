#include "serve/http/http.h"

#include "base/assert.h"
#include "base/clock.h"
#include "base/diag.h"
#include "base/metrics.h"
#include "mem/mem.h"
#include "rt/rt.h"

#include <microhttpd.h>
#include <string.h>

#define THREADS             2
#define CONNECTIONS_DEFAULT 2048
#define IDLE_DEFAULT_S      30
/* Of one connection, for its request line, headers and reply headers. */
#define CONNECTION_BYTES    (16u << 10)

struct http {
	struct http_config config;
	struct http_route routes[HTTP_ROUTES_MAX];
	uint32_t route_count;
	struct MHD_Daemon *daemon;
};

static struct mem_tag tag_door = MEM_TAG("http.door");
static struct mem_tag tag_body = MEM_TAG("http.body");

METRIC_COUNTER(requests_total, "tarn_http_requests_total", "Requests that were answered");
METRIC_COUNTER(errors_total, "tarn_http_errors_total",
	       "Requests that were answered with 4xx or 5xx");
METRIC_HISTOGRAM(request_seconds, "tarn_http_request_seconds", METRIC_SECONDS,
		 "Time that handlers take");

/* ---- the body -------------------------------------------------------------------------------- */

/* A reply that grows while its handler writes. */
struct body {
	char *text;
	size_t bytes;
	size_t room;
	bool refused; /* too long, or no memory */
};

static ssize_t body_write(void *arg, const char *text, size_t bytes)
{
	struct body *body = arg;

	if (bytes > HTTP_BODY_BYTES_MAX - body->bytes)
		body->refused = true;
	if (!body->refused && body->bytes + bytes > body->room) {
		size_t room = 2 * (body->bytes + bytes);
		char *larger = mem_realloc(body->text, room, &tag_body);

		if (larger) {
			body->text = larger;
			body->room = room;
		} else {
			body->refused = true;
		}
	}
	if (body->refused)
		return 0;
	memcpy(body->text + body->bytes, text, bytes);
	body->bytes += bytes;
	return (ssize_t)bytes;
}

static void body_free(void *text)
{
	mem_free(text);
}

/* ---- replies --------------------------------------------------------------------------------- */

static enum MHD_Result send_reply(struct MHD_Connection *connection, enum http_status status,
				  const char *type, struct MHD_Response *reply)
{
	enum MHD_Result result;

	if (!reply)
		return MHD_NO;
	metric_add(&requests_total, 1);
	if (status >= 400)
		metric_add(&errors_total, 1);
	/* a header that does not fit is only missing */
	(void)MHD_add_response_header(reply, MHD_HTTP_HEADER_CONTENT_TYPE, type);
	(void)MHD_add_response_header(reply, MHD_HTTP_HEADER_CACHE_CONTROL, "no-store");
	(void)MHD_add_response_header(reply, "X-Content-Type-Options", "nosniff");
	if (status == HTTP_NOT_ALLOWED)
		(void)MHD_add_response_header(reply, MHD_HTTP_HEADER_ALLOW, "GET, HEAD");
	if (status == HTTP_TOO_LARGE)
		(void)MHD_add_response_header(reply, MHD_HTTP_HEADER_CONNECTION, "close");
	result = MHD_queue_response(connection, status, reply);
	MHD_destroy_response(reply);
	return result;
}

/* A line of ours; `text` is static. */
static enum MHD_Result send_line(struct MHD_Connection *connection, enum http_status status,
				 char *text)
{
	struct MHD_Response *reply =
		MHD_create_response_from_buffer(strlen(text), text, MHD_RESPMEM_PERSISTENT);

	return send_reply(connection, status, "text/plain; charset=utf-8", reply);
}

static enum MHD_Result send_body(struct MHD_Connection *connection,
				 const struct http_response *response, struct body *body)
{
	static char too_long[] = "the reply is too long, or there is no memory for it\n";
	struct MHD_Response *reply;

	if (body->refused) {
		mem_free(body->text);
		return send_line(connection, HTTP_ERROR, too_long);
	}
	reply = MHD_create_response_from_buffer_with_free_callback(body->bytes, body->text,
								   body_free);
	if (!reply)
		mem_free(body->text);
	return send_reply(connection, response->status, response->type, reply);
}

/* ---- routes ---------------------------------------------------------------------------------- */

static bool matches(const struct http_route *route, const char *path)
{
	size_t bytes = strlen(route->path);

	return strncmp(route->path, path, bytes) == 0 && (route->prefix || path[bytes] == 0);
}

/* The longest one that matches. NULL if none does. */
static const struct http_route *find_route(const struct http *http, const char *path)
{
	const struct http_route *best = NULL;

	for (uint32_t i = 0; i < http->route_count; i++) {
		const struct http_route *route = &http->routes[i];

		if (matches(route, path) && (!best || strlen(route->path) > strlen(best->path)))
			best = route;
	}
	return best;
}

struct call {
	const struct http_route *route;
	struct http_request request;
	struct http_response *response;
};

static void call_run(void *arg)
{
	struct call *call = arg;

	call->route->handle(call->route->arg, &call->request, call->response);
}

/* STATUS_BUSY and the like from the runtime: the node stops, or has too much to do. */
static struct status call_route(const struct http *http, struct call *call)
{
	if (call->route->on_core)
		return rt_call(http->config.rt, call_run, call);
	call_run(call);
	return OK;
}

static enum MHD_Result answer(struct http *http, struct MHD_Connection *connection,
			      const struct http_route *route, const char *path)
{
	static char no_memory[] = "no memory for a reply\n";
	static char busy[] = "the node is too busy, or stopping\n";
	static const cookie_io_functions_t functions = {.write = body_write};
	struct body body = {0};
	struct http_response response = {.status = HTTP_OK, .type = "text/plain; charset=utf-8"};
	struct call call = {.route = route,
			    .request = {.path = path, .tail = path + strlen(route->path)},
			    .response = &response};
	uint64_t start = clock_ns();
	struct status s;

	response.body = fopencookie(&body, "w", functions);
	if (!response.body)
		return send_line(connection, HTTP_UNAVAILABLE, no_memory);
	s = call_route(http, &call);
	if (fclose(response.body) != 0)
		body.refused = true;
	metric_observe(&request_seconds, clock_ns() - start);
	if (!status_ok(s)) {
		mem_free(body.text);
		return send_line(connection, HTTP_UNAVAILABLE, busy);
	}
	return send_body(connection, &response, &body);
}

static bool has_body(struct MHD_Connection *connection)
{
	const char *length = MHD_lookup_connection_value(connection, MHD_HEADER_KIND,
							 MHD_HTTP_HEADER_CONTENT_LENGTH);

	return (length && strcmp(length, "0") != 0) ||
	       MHD_lookup_connection_value(connection, MHD_HEADER_KIND,
					   MHD_HTTP_HEADER_TRANSFER_ENCODING);
}

/* The library's callback: called when the headers are there, and again when the request is. */
static enum MHD_Result on_request(void *arg, struct MHD_Connection *connection, const char *path,
				  const char *method, const char *version, const char *upload,
				  size_t *upload_bytes, void **seen)
{
	static char headers_seen;
	static char not_found[] = "nothing here; / shows the node\n";
	static char not_allowed[] = "GET and HEAD only\n";
	static char no_body[] = "requests with a body are not taken here\n";
	struct http *http = arg;
	const struct http_route *route = find_route(http, path);

	(void)version;
	(void)upload;
	(void)upload_bytes;
	/* at the first call a refusal spares the client the sending of its body */
	if (!route)
		return send_line(connection, HTTP_NOT_FOUND, not_found);
	if (strcmp(method, MHD_HTTP_METHOD_GET) != 0 && strcmp(method, MHD_HTTP_METHOD_HEAD) != 0)
		return send_line(connection, HTTP_NOT_ALLOWED, not_allowed);
	if (has_body(connection))
		return send_line(connection, HTTP_TOO_LARGE, no_body);
	if (!*seen) {
		*seen = &headers_seen;
		return MHD_YES;
	}
	return answer(http, connection, route, path);
}

/* ---- life ------------------------------------------------------------------------------------ */

static void on_panic(void *arg, const char *file, unsigned line, const char *reason)
{
	(void)arg;
	PANIC("libmicrohttpd: %s:%u: %s", file, line, reason ? reason : "no reason given");
}

struct status http_create(const struct http_config *config, struct http **ret)
{
	struct http *http = mem_alloc_zero(sizeof(*http), &tag_door);

	if (!http)
		return fail(STATUS_NO_MEMORY, "http: no memory for the door");
	http->config = *config;
	if (http->config.connections_max == 0)
		http->config.connections_max = CONNECTIONS_DEFAULT;
	if (http->config.idle_s == 0)
		http->config.idle_s = IDLE_DEFAULT_S;
	*ret = http;
	return OK;
}

struct status http_route_add(struct http *http, const struct http_route *route)
{
	ASSERT(!http->daemon);
	ASSERT(!route->on_core || http->config.rt);
	if (http->route_count == HTTP_ROUTES_MAX)
		return fail(STATUS_LIMIT, "http: %u routes are the limit", HTTP_ROUTES_MAX);
	for (uint32_t i = 0; i < http->route_count; i++) {
		if (strcmp(http->routes[i].path, route->path) == 0)
			return fail(STATUS_EXISTS, "http: %s has an owner already", route->path);
	}
	http->routes[http->route_count++] = *route;
	return OK;
}

struct status http_start(struct http *http)
{
	int socket_fd;

	TRY(address_listen(&http->config.address, &socket_fd));
	MHD_set_panic_func(on_panic, NULL);
	http->daemon = MHD_start_daemon(
		MHD_USE_EPOLL_INTERNAL_THREAD, 0, NULL, NULL, on_request, http,
		MHD_OPTION_LISTEN_SOCKET, socket_fd, MHD_OPTION_THREAD_POOL_SIZE, THREADS,
		MHD_OPTION_CONNECTION_LIMIT, http->config.connections_max,
		MHD_OPTION_CONNECTION_TIMEOUT, http->config.idle_s,
		MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)CONNECTION_BYTES, MHD_OPTION_END);
	if (!http->daemon) {
		address_close(socket_fd);
		return fail(STATUS_IO,
			    "http: libmicrohttpd could not start on %s (threads or "
			    "open files at their limit?)",
			    http->config.address.text);
	}
	return OK;
}

const struct address *http_address(const struct http *http)
{
	return &http->config.address;
}

void http_stop(struct http *http)
{
	if (!http)
		return;
	if (http->daemon)
		MHD_stop_daemon(http->daemon);
	mem_free(http);
}
