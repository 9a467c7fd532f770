/*
 * Clients good and bad, spoken to in one thread: the test is the client, at the other end of a
 * socket pair, and calls the arbiter's functions as its loop would.
 */
#include "rt/arbiter_int.h"

#include "base/clock.h"
#include "base/os.h"
#include "unit.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

static struct arbiter arbiter;
static char said[8192];
static const struct arbiter_rule nobody_rule = {.uid = UINT32_MAX};

static void report(void *arg, enum arbiter_report kind, const char *text)
{
	size_t used = strlen(said);

	(void)arg;
	(void)kind;
	snprintf(said + used, sizeof(said) - used, "%s\n", text);
}

/* An arbiter with two cores, which may be the same processor where there is only one. */
static int setup(void **state)
{
	struct arbiter_plan_config plan = {
		.cores = 2, .processes_max = 4, .grace_ns = NS_PER_S, .turn_ns = NS_PER_S};
	struct arbiter_place_config place = {.backend = ARBITER_BACKEND_AFFINITY,
					     .processes_max = 4};
	struct cpus all;

	(void)state;
	memset(&arbiter, 0, sizeof(arbiter));
	said[0] = '\0';
	arbiter.config = (struct arbiter_config){
		.grace_ns = NS_PER_S,
		.clients_max = 4,
		.clients_per_uid_max = 3,
		.cores_per_client_max = 2,
		.messages_per_s_max = 200,
		.rules = &nobody_rule,
		.rule_count = 1,
		.report = report,
	};
	for (uint32_t i = 0; i < ARBITER_PROCESSES_MAX; i++) {
		arbiter.session[i].socket = -1;
		arbiter.session_of[i] = SESSION_NONE;
	}
	assert_ok(os_affinity_get(0, &all));
	arbiter.core_count = 2;
	for (uint32_t c = 0; c < 2; c++) {
		arbiter.cpu[c] = cpus_nth(&all, c % cpus_count(&all));
		cpus_add(&place.managed, arbiter.cpu[c]);
	}
	assert_ok(arbiter_plan_create(&plan, &arbiter.plan));
	assert_ok(arbiter_place_open(&place, &arbiter.place));
	assert_ok(arbiter_os_epoll(&arbiter.epoll));
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	for (uint32_t i = 0; i < arbiter.config.clients_max; i++)
		if (arbiter.session[i].socket >= 0)
			session_end(&arbiter, &arbiter.session[i], NULL);
	arbiter_place_close(arbiter.place);
	arbiter_plan_destroy(arbiter.plan);
	os_close(arbiter.epoll);
	return 0;
}

/* ---- the other end --------------------------------------------------------------------------- */

struct peer {
	int socket;
	struct session *session;
	const struct arbiter_page *page;
};

/* Connects; the session is NULL if the arbiter refused. */
static struct peer peer_connect(void)
{
	struct peer peer = {0};
	int pair[2];

	assert_int_equal(
		socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair), 0);
	session_begin(&arbiter, pair[0]);
	peer.socket = pair[1];
	for (uint32_t i = 0; i < ARBITER_PROCESSES_MAX; i++)
		if (arbiter.session[i].socket == pair[0])
			peer.session = &arbiter.session[i];
	return peer;
}

static void peer_close(struct peer *peer)
{
	close(peer->socket);
	if (peer->session && peer->session->socket >= 0)
		session_input(&arbiter, peer->session);
	if (peer->page)
		munmap((void *)(uintptr_t)peer->page, ARBITER_PAGE_BYTES);
}

static void peer_send(struct peer *peer, const void *message, size_t bytes)
{
	assert_int_equal(arbiter_os_send(peer->socket, message, bytes, -1), ARBITER_IO_DONE);
	session_input(&arbiter, peer->session);
}

static union arbiter_wire_message peer_receive(struct peer *peer, enum arbiter_wire_type type,
					       int *ret_fd)
{
	union arbiter_wire_message message;
	size_t bytes;

	assert_int_equal(
		arbiter_os_receive(peer->socket, &message, sizeof(message), &bytes, ret_fd),
		ARBITER_IO_DONE);
	assert_ok(arbiter_wire_check(&message, bytes, ARBITER_FROM_ARBITER));
	assert_int_equal(message.head.type, type);
	return message;
}

static struct arbiter_wire_hello hello_of(uint32_t slots)
{
	return (struct arbiter_wire_hello){
		.head = arbiter_wire_head(ARBITER_HELLO),
		.version_min = 1,
		.version_max = 1,
		.slots = slots,
		.name = "unit \"\n\x1b test",
	};
}

static struct peer peer_join(uint32_t slots)
{
	struct peer peer = peer_connect();
	struct arbiter_wire_hello hello = hello_of(slots);
	union arbiter_wire_message welcome;
	int fd;

	assert_non_null(peer.session);
	peer_send(&peer, &hello, sizeof(hello));
	welcome = peer_receive(&peer, ARBITER_WELCOME, &fd);
	assert_int_equal(welcome.welcome.slots, slots);
	assert_true(fd >= 0);
	/* the page can be read and neither written nor resized */
	assert_ptr_equal(mmap(NULL, ARBITER_PAGE_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0),
			 MAP_FAILED);
	assert_int_not_equal(ftruncate(fd, 0), 0);
	peer.page = mmap(NULL, ARBITER_PAGE_BYTES, PROT_READ, MAP_SHARED, fd, 0);
	assert_ptr_not_equal(peer.page, MAP_FAILED);
	close(fd);
	return peer;
}

static void peer_want(struct peer *peer, uint32_t priority, uint32_t cores)
{
	struct arbiter_wire_request request = {.head = arbiter_wire_head(ARBITER_REQUEST)};

	request.wanted[priority] = cores;
	peer_send(peer, &request, sizeof(request));
}

static void peer_park_as(struct peer *peer, uint32_t slot, uint64_t returned, uint32_t tid)
{
	struct arbiter_wire_park park = {.head = arbiter_wire_head(ARBITER_PARK),
					 .slot = slot,
					 .tid = tid,
					 .returned = returned};

	peer_send(peer, &park, sizeof(park));
}

static void peer_park(struct peer *peer, uint32_t slot, uint64_t returned)
{
	peer_park_as(peer, slot, returned, (uint32_t)os_gettid());
}

static void decide(uint64_t now)
{
	struct arbiter_action action;

	while (arbiter_plan_step(arbiter.plan, now, &action))
		session_act(&arbiter, &action);
}

static uint64_t word(const struct peer *peer, uint32_t slot)
{
	return atomic_u64_load(&peer->page->slot[slot].word, ORDER_ACQUIRE);
}

/* The session must be over, with a reason that contains `why`, told to the client too. */
static void assert_dropped(struct peer *peer, const char *why)
{
	union arbiter_wire_message message;
	size_t bytes;

	assert_int_equal(peer->session->socket, -1);
	assert_contains(said, why);
	do {
		assert_int_equal(
			arbiter_os_receive(peer->socket, &message, sizeof(message), &bytes, NULL),
			ARBITER_IO_DONE);
	} while (message.head.type != ARBITER_REFUSED);
	assert_contains(message.refused.text, why);
	assert_int_equal(arbiter_os_receive(peer->socket, &message, sizeof(message), &bytes, NULL),
			 ARBITER_IO_CLOSED);
	peer_close(peer);
	said[0] = '\0';
}

/* ---- the good ones --------------------------------------------------------------------------- */

static void session__the_life_of_a_grant(void **state)
{
	struct peer low = peer_join(1), high = peer_join(2);
	uint64_t generation, now = clock_ns();
	union arbiter_wire_message message;

	(void)state;
	assert_contains(said, "\"unit ??? test\""); /* what it calls itself is made printable */
	assert_int_equal(word(&low, 0), ARBITER_WORD_NONE);
	peer_want(&low, 5, 1);
	peer_park(&low, 0, 0);
	decide(now);
	message = peer_receive(&low, ARBITER_GRANTED, NULL);
	generation = message.event.generation;
	assert_int_equal(word(&low, 0), ARBITER_WORD(generation));
	assert_int_equal(atomic_u32_load(&low.page->slot[0].cpu, ORDER_RELAXED), message.event.cpu);
	assert_int_equal(os_cpu_current(), message.event.cpu);

	/* one core is reserved for somebody who never comes: the other is asked for */
	arbiter_plan_request(arbiter.plan, low.session->process,
			     (const uint32_t[ARBITER_PRIORITIES]){0});
	decide(now);
	message = peer_receive(&low, ARBITER_RELEASE, NULL);
	assert_int_equal(message.event.generation, generation);
	assert_int_equal(word(&low, 0), ARBITER_WORD(generation) | ARBITER_WORD_WANTED);
	peer_park(&low, 0, generation);
	assert_int_equal(word(&low, 0), ARBITER_WORD_NONE);
	assert_int_equal(arbiter_plan_free(arbiter.plan), 2);
	peer_close(&low);
	peer_close(&high);
	assert_contains(said, "left");
}

static void session__a_core_taken_by_force(void **state)
{
	struct peer peer = peer_join(1);
	uint64_t generation, now = clock_ns();

	(void)state;
	peer_want(&peer, 5, 1);
	peer_park(&peer, 0, 0);
	decide(now);
	generation = peer_receive(&peer, ARBITER_GRANTED, NULL).event.generation;
	peer_want(&peer, 5, 0);
	decide(now);
	peer_receive(&peer, ARBITER_RELEASE, NULL);
	decide(now + NS_PER_S);
	assert_int_equal(peer_receive(&peer, ARBITER_REVOKED, NULL).event.generation, generation);
	/* who was too slow to see the grant still sees that there was one, and that it is over */
	assert_int_equal(word(&peer, 0), ARBITER_WORD(generation) | ARBITER_WORD_WANTED);
	peer_want(&peer, 5, 1);
	peer_park(&peer, 0, generation);
	decide(now + NS_PER_S);
	assert_true(peer_receive(&peer, ARBITER_GRANTED, NULL).event.generation > generation);
	peer_close(&peer);
}

static void session__return_ends_an_offer(void **state)
{
	struct peer peer = peer_join(1);
	struct arbiter_wire_return message = {.head = arbiter_wire_head(ARBITER_RETURN)};

	(void)state;
	peer_want(&peer, 5, 1);
	peer_park(&peer, 0, 0);
	peer_send(&peer, &message, sizeof(message));
	decide(clock_ns());
	assert_int_equal(arbiter_plan_free(arbiter.plan), 2);
	peer_park(&peer, 0, 0);
	decide(clock_ns());
	assert_int_equal(arbiter_plan_free(arbiter.plan), 1);
	peer_close(&peer);
	assert_int_equal(arbiter_plan_free(arbiter.plan), 2);
}

static void session__rules_for_a_user(void **state)
{
	struct arbiter_rule rule = {.uid = arbiter_os_uid(), .priority_best = 4, .cores_max = 1};
	struct peer peer = peer_connect();
	struct arbiter_wire_hello hello = hello_of(2);
	union arbiter_wire_message welcome;
	int fd;

	(void)state;
	arbiter.config.rules = &rule;
	peer_send(&peer, &hello, sizeof(hello));
	welcome = peer_receive(&peer, ARBITER_WELCOME, &fd);
	close(fd);
	assert_int_equal(welcome.welcome.cores_max, 1);
	assert_int_equal(welcome.welcome.priority_best, 4);
	peer_want(&peer, 0, 2);
	peer_park(&peer, 0, 0);
	decide(clock_ns());
	assert_int_equal(arbiter_plan_free(arbiter.plan), 1);
	peer_close(&peer);
}

/* ---- the bad ones ---------------------------------------------------------------------------- */

static void session__garbage_is_dropped(void **state)
{
	static const char *const lengths[] = {"instead of 42524154", "the least is 16"};
	char garbage[ARBITER_WIRE_BYTES_MAX + 1];
	struct peer peer;

	(void)state;
	memset(garbage, 'x', sizeof(garbage));
	for (size_t i = 0; i < 2; i++) {
		peer = peer_connect();
		peer_send(&peer, garbage, i == 0 ? 64 : 3);
		assert_dropped(&peer, lengths[i]);
	}
	peer = peer_connect();
	peer_send(&peer, garbage, sizeof(garbage));
	assert_dropped(&peer, "more than 128 bytes");
	/* in the middle of a session its cores are free again */
	peer = peer_join(1);
	peer_want(&peer, 0, 1);
	peer_park(&peer, 0, 0);
	decide(clock_ns());
	assert_int_equal(arbiter_plan_free(arbiter.plan), 1);
	peer_send(&peer, garbage, 40);
	assert_dropped(&peer, "42524154");
	assert_int_equal(arbiter_plan_free(arbiter.plan), 2);
}

static void session__an_empty_packet_ends_it(void **state)
{
	struct peer peer = peer_join(1);

	(void)state;
	assert_int_equal(send(peer.socket, "", 0, 0), 0);
	session_input(&arbiter, peer.session);
	assert_int_equal(peer.session->socket, -1);
	peer_close(&peer);
}

static void session__hello_first_and_once(void **state)
{
	struct arbiter_wire_request request = {.head = arbiter_wire_head(ARBITER_REQUEST)};
	struct arbiter_wire_hello hello = hello_of(1);
	struct peer peer = peer_connect();

	(void)state;
	peer_send(&peer, &request, sizeof(request));
	assert_dropped(&peer, "did not begin with HELLO");
	peer = peer_join(1);
	peer_send(&peer, &hello, sizeof(hello));
	assert_dropped(&peer, "HELLO twice");
	peer = peer_connect();
	hello.version_min = hello.version_max = 9;
	peer_send(&peer, &hello, sizeof(hello));
	assert_dropped(&peer, "versions 9 to 9");
}

static void session__silence_is_dropped(void **state)
{
	struct peer peer = peer_connect();
	uint64_t now = clock_ns();

	(void)state;
	assert_true(session_expire(&arbiter, now) > now);
	assert_int_equal(session_expire(&arbiter, now + 2 * NS_PER_S), CLOCK_NEVER);
	assert_dropped(&peer, "said nothing");
}

static void session__cannot_name_threads_of_others(void **state)
{
	pid_t child = fork();
	struct cpus before, after;

	(void)state;
	if (child == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL); /* should the test fail */
		pause();
		_exit(0);
	}

	/* our child is ours to move, but not this client's thread; and nobody has number 0 */
	const uint32_t tids[] = {(uint32_t)child, 1, 0, 0x7fffffff, UINT32_MAX};

	assert_ok(os_affinity_get(child, &before));
	for (size_t i = 0; i < ARRAY_SIZE(tids); i++) {
		struct peer peer = peer_join(1);

		peer_want(&peer, 0, 1);
		peer_park_as(&peer, 0, 0, tids[i]);
		decide(clock_ns());
		assert_dropped(&peer, "has no thread");
	}
	assert_ok(os_affinity_get(child, &after));
	assert_memory_equal(&before, &after, sizeof(before));
	kill(child, SIGKILL);
	waitpid(child, NULL, 0);
}

static void session__one_thread_in_two_slots(void **state)
{
	struct peer peer = peer_join(2);

	(void)state;
	peer_park(&peer, 0, 0);
	peer_park(&peer, 1, 0);
	assert_dropped(&peer, "two slots");
}

static void session__slots_and_grants_that_are_not_its_own(void **state)
{
	struct peer peer = peer_join(1);

	(void)state;
	peer_park(&peer, 1, 0);
	assert_dropped(&peer, "slot 1, the client has 1");
	peer = peer_join(1);
	peer_park(&peer, 0, 0);
	peer_park(&peer, 0, 0);
	assert_dropped(&peer, "twice");
	peer = peer_join(1);
	peer_want(&peer, 0, 1);
	peer_park(&peer, 0, 0);
	decide(clock_ns());
	peer_park(&peer, 0, 12345678);
	assert_dropped(&peer, "grant 12345678 given back");
}

static void session__a_flood_is_dropped(void **state)
{
	struct peer peer = peer_join(1);

	(void)state;
	for (int i = 0; i < 100000 && peer.session->socket >= 0; i++)
		peer_want(&peer, 0, 1);
	assert_dropped(&peer, "more than 200 messages a second");
}

static void session__who_never_reads_is_dropped(void **state)
{
	struct peer peer = peer_join(1);
	uint64_t now = clock_ns();

	(void)state;
	arbiter.config.messages_per_s_max = UINT32_MAX;
	peer.session->messages_left = UINT32_MAX;
	peer_want(&peer, 0, 1);
	peer_park(&peer, 0, 0);
	for (int i = 0; i < 100000 && peer.session->socket >= 0; i++) {
		decide(now);
		if (peer.session->socket >= 0)
			peer_park(&peer, 0, word(&peer, 0) >> 1);
	}
	assert_int_equal(peer.session->socket, -1);
	assert_contains(said, "does not read");
	peer_close(&peer);
}

static void session__limits_on_clients(void **state)
{
	struct peer peers[4];
	union arbiter_wire_message message;

	(void)state;
	for (int i = 0; i < 3; i++)
		peers[i] = peer_join(1);
	peers[3] = peer_connect();
	assert_null(peers[3].session);
	message = peer_receive(&peers[3], ARBITER_REFUSED, NULL);
	assert_int_equal(message.refused.code, STATUS_LIMIT);
	assert_contains(message.refused.text, "3 clients, its limit");
	peer_close(&peers[3]);
	arbiter.config.clients_per_uid_max = 10;
	peers[3] = peer_join(1);

	struct peer more = peer_connect();

	assert_null(more.session);
	assert_contains(peer_receive(&more, ARBITER_REFUSED, NULL).refused.text, "4 clients");
	peer_close(&more);
	for (int i = 0; i < 4; i++)
		peer_close(&peers[i]);
}

static void session__descriptors_that_come_along_are_dropped(void **state)
{
	struct peer peer = peer_join(1);
	struct arbiter_wire_request request = {.head = arbiter_wire_head(ARBITER_REQUEST)};
	int before = dup(0), after;

	(void)state;
	close(before);
	for (int i = 0; i < 20; i++) {
		assert_int_equal(arbiter_os_send(peer.socket, &request, sizeof(request), 0),
				 ARBITER_IO_DONE);
		session_input(&arbiter, peer.session);
	}
	after = dup(0);
	close(after);
	assert_int_equal(before, after);
	peer_close(&peer);
}

/* It died between its last packet and the arbiter's answer: nothing that it did wrong. */
static void session__a_client_that_has_gone(void **state)
{
	struct peer peer = peer_join(1);

	(void)state;
	peer_want(&peer, 0, 1);
	peer_park(&peer, 0, 0);
	close(peer.socket);
	decide(clock_ns());
	assert_int_equal(peer.session->socket, -1);
	assert_int_equal(arbiter_plan_free(arbiter.plan), 2);
	assert_contains(said, "left");
	assert_lacks(said, "dropped");
	munmap((void *)(uintptr_t)peer.page, ARBITER_PAGE_BYTES);
}

static void session__nothing_is_leaked(void **state)
{
	int before = dup(0), after;

	(void)state;
	close(before);
	for (int i = 0; i < 50; i++) {
		struct peer peer = peer_join(2);

		peer_want(&peer, 0, 2);
		peer_park(&peer, 0, 0);
		decide(clock_ns());
		peer_close(&peer);
	}
	after = dup(0);
	close(after);
	assert_int_equal(before, after);
	assert_int_equal(arbiter_plan_free(arbiter.plan), 2);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(session__the_life_of_a_grant),
		CASE(session__a_core_taken_by_force),
		CASE(session__return_ends_an_offer),
		CASE(session__rules_for_a_user),
		CASE(session__garbage_is_dropped),
		CASE(session__an_empty_packet_ends_it),
		CASE(session__hello_first_and_once),
		CASE(session__silence_is_dropped),
		CASE(session__cannot_name_threads_of_others),
		CASE(session__one_thread_in_two_slots),
		CASE(session__slots_and_grants_that_are_not_its_own),
		CASE(session__a_flood_is_dropped),
		CASE(session__who_never_reads_is_dropped),
		CASE(session__limits_on_clients),
		CASE(session__descriptors_that_come_along_are_dropped),
		CASE(session__a_client_that_has_gone),
		CASE(session__nothing_is_leaked),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
