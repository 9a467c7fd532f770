/*
 * The arbiter among clients that mean it no good, while one that behaves goes on being served. Each
 * single misdeed has its case in tests/unit/rt/arbiter_session.c; here they come in crowds, from
 * other processes, and against an arbiter that runs out of descriptors.
 */
#include "arbiter_daemon.h"

#include "base/random.h"
#include "rt/arbiter_os.h"

#include <sys/resource.h>
#include <sys/socket.h>

/* ---- the bad --------------------------------------------------------------------------------- */

static int connect_wait(const char *path)
{
	for (;;) {
		int socket;
		struct status status = arbiter_os_connect(path, &socket);

		if (status_ok(status))
			return socket;
		if (!status_is(status, STATUS_BUSY)) /* its queue is full of us */
			return -1;
		sched_yield();
	}
}

/* Waits until the arbiter has hung up. */
static void wait_dropped(int socket)
{
	union arbiter_wire_message message;
	struct pollfd end = {.fd = socket, .events = POLLIN};
	enum arbiter_io io = ARBITER_IO_DONE;
	size_t bytes;

	while (io != ARBITER_IO_CLOSED && poll(&end, 1, -1) == 1)
		io = arbiter_os_receive(socket, &message, sizeof(message), &bytes, NULL);
}

static bool say_hello(int socket)
{
	struct arbiter_wire_hello hello = {
		.head = arbiter_wire_head(ARBITER_HELLO),
		.version_min = 1,
		.version_max = 1,
		.slots = 1,
		.name = "hostile",
	};

	return arbiter_os_send(socket, &hello, sizeof(hello), -1) == ARBITER_IO_DONE;
}

/* Random bytes; valid heads with random bodies. */
static void garbage(const char *path, struct random *random)
{
	union arbiter_wire_message message;
	uint64_t *words = (uint64_t *)(void *)&message;
	int socket = connect_wait(path);

	if (random_below(random, 2))
		say_hello(socket);
	for (int i = 0; i < 100; i++) {
		for (size_t w = 0; w < sizeof(message) / 8; w++)
			words[w] = random_u64(random);

		enum arbiter_wire_type type =
			(enum arbiter_wire_type)(ARBITER_HELLO + random_below(random, 4));
		size_t bytes = arbiter_wire_bytes((uint16_t)type);

		if (random_below(random, 4))
			message.head = arbiter_wire_head(type);
		else
			bytes = 1 + random_below(random, sizeof(message));
		if (random_below(random, 2))
			message.park.slot = 0;
		if (arbiter_os_send(socket, &message, bytes, -1) == ARBITER_IO_CLOSED)
			break;
	}
	os_close(socket);
}

/* As many messages as go through, reading none. */
static void flood(const char *path)
{
	struct arbiter_wire_request request = {.head = arbiter_wire_head(ARBITER_REQUEST)};
	enum arbiter_io io = ARBITER_IO_DONE;
	int socket = connect_wait(path);

	say_hello(socket);
	for (int i = 0; i < 200000 && io != ARBITER_IO_CLOSED; i++) {
		request.wanted[7] = (uint32_t)i & 1;
		io = arbiter_os_send(socket, &request, sizeof(request), -1);
		if (io == ARBITER_IO_LATER)
			sched_yield();
	}
	os_close(socket);
}

/* Offers threads that are other processes'. */
static void thief(const char *path, uint32_t tid)
{
	struct arbiter_wire_park park = {.head = arbiter_wire_head(ARBITER_PARK), .tid = tid};
	int socket = connect_wait(path);

	say_hello(socket);
	if (arbiter_os_send(socket, &park, sizeof(park), -1) == ARBITER_IO_DONE)
		wait_dropped(socket);
	os_close(socket);
}

/* A child: everything bad, by turns, until it is killed. */
static int hostile_main(const char *path, const char *seed)
{
	struct random random;

	random_init(&random, strtoull(seed, NULL, 10));
	for (int i = 0;; i++) {
		if (i == 3) {
			puts("it has begun");
			fflush(stdout);
		}
		if (connect_wait(path) < 0) /* one more that says nothing; it stays open */
			return 1;
		garbage(path, &random);
		if (i % 8 == 0)
			flood(path);
		thief(path, (uint32_t)getppid());
		for (int fd = 3; fd < 256 && i % 64 == 63; fd++)
			os_close(fd);
	}
}

/* ---- the good -------------------------------------------------------------------------------- */

struct core {
	struct arbiter_client *client;
	uint64_t rounds;
	bool wrong; /* it was not the arbiter who granted */
};

static void *core_main(void *arg)
{
	struct core *core = arg;
	struct arbiter_grant grant;

	for (uint64_t i = 0; i < core->rounds; i++)
		if (!status_ok(arbiter_core_park(core->client, 0, &grant)) ||
		    grant.cpu == ARBITER_CPU_ANY)
			core->wrong = true;
	arbiter_core_return(core->client, 0);
	return NULL;
}

/* Many grants, each given back at once; the arbiter must be there for every one. */
static void be_served(const char *path, uint64_t rounds)
{
	struct arbiter_client_config config = {
		.path = path, .name = "good", .slots = 1, .wait_ns = 60 * NS_PER_S};
	struct arbiter_client *client;
	uint32_t wanted[ARBITER_PRIORITIES] = {[3] = 1};
	struct core core = {.rounds = rounds};
	pthread_t thread;

	assert_ok(arbiter_connect(&config, &client));
	/* it may have been turned away while the hostile ones held everything: it comes again */
	while (!arbiter_client_connected(client))
		arbiter_client_wait(client, clock_deadline(NS_PER_S));
	arbiter_request(client, wanted);
	core.client = client;
	assert_int_equal(pthread_create(&thread, NULL, core_main, &core), 0);
	while (pthread_tryjoin_np(thread, NULL) != 0) {
		struct pollfd input = {.fd = arbiter_client_fd(client), .events = POLLIN};

		poll(&input, 1, 1); /* the thread's end is not to be waited for */
		arbiter_client_poll(client);
	}
	assert_false(core.wrong);
	arbiter_client_stop(client);
	arbiter_disconnect(client);
}

static void hostile__clients_in_crowds(void **state)
{
	struct daemon *d = daemon_make(ARBITER_BACKEND_AUTO);
	FILE *said[2];
	pid_t pid[2];

	(void)state;
	d->config.clients_max = 1024;
	d->config.clients_per_uid_max = 1024;
	d->config.grace_ns = 10 * NS_PER_S;
	assert_true(daemon_start(d));
	for (unsigned i = 0; i < 2; i++) {
		char seed[32];
		const char *arguments[] = {"test", "hostile", d->path, seed, NULL};

		snprintf(seed, sizeof(seed), "%llu", (unsigned long long)clock_wall_ns() + i);
		print_message("# seed %s\n", seed);
		pid[i] = child_start(arguments, &said[i]);
	}
	be_served(d->path, 500);
	for (int i = 0; i < 2; i++)
		child_kill(pid[i], said[i]);
	be_served(d->path, 100);
	assert_contains(d->reports, "was dropped");
	daemon_stop(d);
	assert_ok(d->status);
	daemon_free(d);
}

/* ---- descriptors ----------------------------------------------------------------------------- */

/* A child: an arbiter with few descriptors. */
static int poor_main(const char *path)
{
	struct daemon *d = daemon_make(ARBITER_BACKEND_AFFINITY);
	struct rlimit few = {.rlim_cur = 32, .rlim_max = 32};

	rmdir(d->folder);
	d->config.path = path;
	d->config.clients_max = 1024;
	d->config.clients_per_uid_max = 1024;
	if (setrlimit(RLIMIT_NOFILE, &few) == 0 && daemon_start(d))
		child_ready();
	return 1;
}

static void hostile__out_of_descriptors(void **state)
{
	char folder[64] = "/tmp/tarn-poor-XXXXXX", path[80], lock[96];
	int socket[64];
	FILE *said;

	(void)state;
	assert_non_null(mkdtemp(folder));
	snprintf(path, sizeof(path), "%s/socket", folder);
	snprintf(lock, sizeof(lock), "%s.lock", path);

	const char *arguments[] = {"test", "poor", path, NULL};
	pid_t pid = child_start(arguments, &said);

	for (size_t i = 0; i < ARRAY_SIZE(socket); i++) {
		assert_ok(arbiter_os_connect(path, &socket[i]));
		say_hello(socket[i]);
	}
	for (size_t i = 0; i < ARRAY_SIZE(socket); i++)
		os_close(socket[i]);
	be_served(path, 100);
	child_kill(pid, said);
	unlink(path);
	unlink(lock);
	rmdir(folder);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(hostile__clients_in_crowds),
		cmocka_unit_test(hostile__out_of_descriptors),
	};

	if (argc == 4 && strcmp(argv[1], "hostile") == 0)
		return hostile_main(argv[2], argv[3]);
	if (argc == 3 && strcmp(argv[1], "poor") == 0)
		return poor_main(argv[2]);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
