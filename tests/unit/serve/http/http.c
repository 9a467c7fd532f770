#include "serve/http/http.h"

#include "mem/mem.h"
#include "rt/rt.h"
#include "unit.h"

#include <sys/socket.h>
#include <unistd.h>

/* A door on a free port of the loopback, asked over plain sockets: the bytes are the interface. */

static struct http *http;
static char reply[1 << 12];

static void say(void *arg, const struct http_request *request, struct http_response *response)
{
	fprintf(response->body, "%s %s [%s]", (const char *)arg, request->path, request->tail);
}

static void refuse(void *arg, const struct http_request *request, struct http_response *response)
{
	(void)arg;
	(void)request;
	response->status = HTTP_UNAVAILABLE;
	response->type = "application/json";
	fputs("{}", response->body);
}

static void flood(void *arg, const struct http_request *request, struct http_response *response)
{
	char block[4096];

	(void)arg;
	(void)request;
	memset(block, 'x', sizeof(block));
	for (uint32_t bytes = 0; bytes <= HTTP_BODY_BYTES_MAX; bytes += sizeof(block))
		fwrite(block, 1, sizeof(block), response->body);
}

static char here[] = "here";
static char longer[] = "longer";
static char core[] = "core";

static void say_core(void *arg, const struct http_request *request, struct http_response *response)
{
	(void)request;
	/* suspends, which only a user thread may */
	assert_true(rt_self().value != 0);
	rt_yield();
	fprintf(response->body, "%s", (const char *)arg);
}

static struct rt *rt;

static int door_open(void **state)
{
	const struct http_route routes[] = {
		{.path = "/here", .handle = say, .arg = here},
		{.path = "/v1/", .prefix = true, .handle = say, .arg = here},
		{.path = "/v1/longer/", .prefix = true, .handle = say, .arg = longer},
		{.path = "/busy", .handle = refuse},
		{.path = "/flood", .handle = flood},
		{.path = "/core", .on_core = true, .handle = say_core, .arg = core},
	};
	const struct endpoint endpoint = {.host = "127.0.0.1"};
	struct http_config config = {.idle_s = 5};

	(void)state;
	assert_ok(mem_start(NULL));
	assert_ok(rt_start(&(struct rt_config){.cores = 1}, &rt));
	config.rt = rt;
	assert_ok(address_resolve(&endpoint, &config.address));
	assert_ok(http_create(&config, &http));
	for (size_t i = 0; i < ARRAY_SIZE(routes); i++)
		assert_ok(http_route_add(http, &routes[i]));
	assert_ok(http_start(http));
	return 0;
}

static int door_close(void **state)
{
	(void)state;
	http_stop(http);
	rt_stop(rt);
	assert_int_equal(mem_stop(), 0);
	return 0;
}

static int dial(void)
{
	const struct address *address = http_address(http);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_int_equal(connect(fd, (const struct sockaddr *)&address->socket, address->bytes), 0);
	return fd;
}

/* Asks, and keeps all that comes back in `reply` until the door closes the connection. */
static void ask(const char *line, const char *more)
{
	char text[512];
	int fd = dial();
	size_t have = 0;
	ssize_t n;

	snprintf(text, sizeof(text), "%s HTTP/1.1\r\nHost: x\r\nConnection: close\r\n%s", line,
		 more);
	assert_int_equal(send(fd, text, strlen(text), MSG_NOSIGNAL), (ssize_t)strlen(text));
	while ((n = recv(fd, reply + have, sizeof(reply) - 1 - have, 0)) > 0)
		have += (size_t)n;
	reply[have] = 0;
	close(fd);
}

/* Sends bytes and hangs up: what comes back does not matter, that the door lives on does. */
static void poke(const char *bytes, size_t count)
{
	int fd = dial();

	(void)!send(fd, bytes, count, MSG_NOSIGNAL);
	close(fd);
}

static void http_start__routes(void **state)
{
	(void)state;
	ask("GET /here", "\r\n");
	assert_contains(reply, "HTTP/1.1 200 ");
	assert_contains(reply, "here /here []");
	ask("GET /v1/a/b?c=d", "\r\n");
	assert_contains(reply, "here /v1/a/b [a/b]");
	ask("GET /v1/longer/x", "\r\n");
	assert_contains(reply, "longer /v1/longer/x [x]");
}

static void http_start__what_the_handler_says(void **state)
{
	(void)state;
	ask("GET /busy", "\r\n");
	assert_contains(reply, "HTTP/1.1 503 ");
	assert_contains(reply, "Content-Type: application/json\r\n");
	assert_contains(reply, "\r\n\r\n{}");
}

static void http_start__on_core(void **state)
{
	(void)state;
	ask("GET /core", "\r\n");
	assert_contains(reply, "HTTP/1.1 200 ");
	assert_contains(reply, "\r\n\r\ncore");
}

static void http_start__head_has_no_body(void **state)
{
	(void)state;
	ask("HEAD /here", "\r\n");
	assert_contains(reply, "HTTP/1.1 200 ");
	assert_lacks(reply, "here /here");
}

static void http_start__refusals(void **state)
{
	(void)state;
	ask("GET /nowhere", "\r\n");
	assert_contains(reply, "HTTP/1.1 404 ");
	ask("GET /herehere", "\r\n");
	assert_contains(reply, "HTTP/1.1 404 ");
	ask("DELETE /here", "\r\n");
	assert_contains(reply, "HTTP/1.1 405 ");
	assert_contains(reply, "Allow: GET, HEAD\r\n");
	ask("POST /here", "Content-Length: 3\r\n\r\nabc");
	assert_contains(reply, "HTTP/1.1 405 ");
	ask("GET /here", "Content-Length: 3\r\n\r\nabc");
	assert_contains(reply, "HTTP/1.1 413 ");
	assert_lacks(reply, "here /here");
}

static void http_start__reply_too_long(void **state)
{
	(void)state;
	ask("GET /flood", "\r\n");
	assert_contains(reply, "HTTP/1.1 500 ");
}

static void http_start__garbage(void **state)
{
	char bytes[1 << 16];
	uint32_t seed = 1;

	(void)state;
	for (size_t i = 0; i < sizeof(bytes); i++) {
		seed = seed * 1664525 + 1013904223;
		bytes[i] = (char)(seed >> 24);
	}
	poke(bytes, 4096);
	poke("\r\n\r\n\r\n", 6);
	poke("GET\r\n\r\n", 7);
	poke("GET /here HTTP/1.1\r\nHost", 24);
	poke("", 0);
	/* a header longer than a connection may have */
	memset(bytes, 'a', sizeof(bytes));
	memcpy(bytes, "GET /here HTTP/1.1\r\nX: ", 23);
	poke(bytes, sizeof(bytes));
	/* and it still answers */
	http_start__routes(state);
}

static void http_route_add__refuses(void **state)
{
	static char paths[HTTP_ROUTES_MAX + 1][8];
	struct http_config config = {0};
	struct http *other;

	(void)state;
	assert_ok(http_create(&config, &other));
	for (uint32_t i = 0; i <= HTTP_ROUTES_MAX; i++) {
		struct http_route route = {.path = paths[i], .handle = say};

		snprintf(paths[i], sizeof(paths[i]), "/%u", i);
		if (i < HTTP_ROUTES_MAX)
			assert_ok(http_route_add(other, &route));
		else
			assert_status(http_route_add(other, &route), LIMIT);
	}
	http_stop(other);
	assert_ok(http_create(&config, &other));
	assert_ok(http_route_add(other, &(struct http_route){.path = "/a", .handle = say}));
	assert_status(http_route_add(other, &(struct http_route){.path = "/a", .handle = say}),
		      EXISTS);
	http_stop(other);
}

static void http_start__port_in_use(void **state)
{
	struct http_config config = {.address = *http_address(http)};
	struct http *other;

	(void)state;
	assert_ok(http_create(&config, &other));
	assert_status(http_start(other), EXISTS);
	http_stop(other);
}

static void http_stop__nothing(void **state)
{
	(void)state;
	http_stop(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(http_route_add__refuses),
		cmocka_unit_test(http_start__routes),
		cmocka_unit_test(http_start__what_the_handler_says),
		cmocka_unit_test(http_start__on_core),
		cmocka_unit_test(http_start__head_has_no_body),
		cmocka_unit_test(http_start__refusals),
		cmocka_unit_test(http_start__reply_too_long),
		cmocka_unit_test(http_start__garbage),
		cmocka_unit_test(http_start__port_in_use),
		cmocka_unit_test(http_stop__nothing),
	};

	return cmocka_run_group_tests_name("serve/http", tests, door_open, door_close);
}
