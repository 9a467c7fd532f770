/*
 * The client without an arbiter, and with one that is played by the test, word by word, well and
 * badly. With the real one: tests/integration/arbiter.c.
 */
#include "rt/arbiter_client.h"

#include "base/clock.h"
#include "base/os.h"
#include "rt/arbiter_os.h"
#include "unit.h"

#include <poll.h>
#include <pthread.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

static char folder[64], path[100], lock_path[108];

static int setup(void **state)
{
	(void)state;
	snprintf(folder, sizeof(folder), "/tmp/tarn-client-XXXXXX");
	assert_non_null(mkdtemp(folder));
	snprintf(path, sizeof(path), "%s/socket", folder);
	snprintf(lock_path, sizeof(lock_path), "%s.lock", path);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	unlink(path);
	unlink(lock_path);
	rmdir(folder);
	return 0;
}

/* ---- a core ---------------------------------------------------------------------------------- */

struct core {
	struct arbiter_client *client;
	uint32_t slot;
	pthread_t thread;
	struct arbiter_grant grant;
	struct status status;
};

static void *park(void *arg)
{
	struct core *core = arg;

	core->status = arbiter_core_park(core->client, core->slot, &core->grant);
	return NULL;
}

static void core_park(struct core *core)
{
	assert_int_equal(pthread_create(&core->thread, NULL, park, core), 0);
}

static struct status core_wait(struct core *core)
{
	pthread_join(core->thread, NULL);
	return core->status;
}

static bool wanted(const struct core *core)
{
	return arbiter_release_wanted(arbiter_slot(core->client, core->slot));
}

static struct arbiter_client *client_of(uint32_t slots)
{
	struct arbiter_client_config config = {
		.path = path, .slots = slots, .retry_ns = NS_PER_MS, .wait_ns = NS_PER_S};
	struct arbiter_client *client;

	assert_ok(arbiter_connect(&config, &client));
	return client;
}

static void want(struct arbiter_client *client, uint32_t cores)
{
	uint32_t of[ARBITER_PRIORITIES] = {[2] = cores};

	arbiter_request(client, of);
}

/* ---- alone ----------------------------------------------------------------------------------- */

static void arbiter_connect__bad_configurations(void **state)
{
	char longer[200];
	struct arbiter_client_config config = {.path = path};
	struct arbiter_client *client;

	(void)state;
	assert_status(arbiter_connect(&config, &client), INVALID);
	config.slots = ARBITER_SLOTS_MAX + 1;
	assert_status(arbiter_connect(&config, &client), INVALID);
	config.slots = 1;
	memset(longer, 'x', sizeof(longer));
	longer[sizeof(longer) - 1] = '\0';
	config.path = longer;
	assert_status(arbiter_connect(&config, &client), INVALID);
}

static void arbiter_core_park__granted_by_itself_when_wanted(void **state)
{
	struct arbiter_client *client = client_of(2);
	struct core a = {.client = client, .slot = 0}, b = {.client = client, .slot = 1};

	(void)state;
	assert_false(arbiter_client_connected(client));
	want(client, 1);
	core_park(&b); /* whoever is there */
	assert_ok(core_wait(&b));
	assert_int_equal(b.grant.cpu, ARBITER_CPU_ANY);
	assert_false(wanted(&b));
	want(client, 2);
	core_park(&a);
	assert_ok(core_wait(&a));
	assert_true(a.grant.generation > b.grant.generation);

	/* less is wanted: the highest slot is asked */
	want(client, 1);
	assert_false(wanted(&a));
	assert_true(wanted(&b));
	core_park(&b);
	want(client, 2);
	assert_ok(core_wait(&b));
	assert_false(wanted(&b));

	/* a core that parks unasked makes room for another */
	want(client, 1);
	core_park(&b);
	core_park(&a);
	assert_ok(core_wait(&a));
	want(client, 2);
	assert_ok(core_wait(&b));
	arbiter_core_return(client, 0);
	arbiter_core_return(client, 1);
	arbiter_disconnect(client);
}

static void arbiter_client_stop__ends_all_parks(void **state)
{
	struct arbiter_client *client = client_of(3);
	struct core waiting = {.client = client, .slot = 0},
		    running = {.client = client, .slot = 1};
	struct core late = {.client = client, .slot = 2};

	(void)state;
	want(client, 1);
	core_park(&running);
	assert_ok(core_wait(&running));
	core_park(&waiting);
	arbiter_client_stop(client);
	assert_status(core_wait(&waiting), CANCELLED);
	assert_true(wanted(&running));
	for (int i = 0; i < 2; i++) {
		core_park(&running);
		assert_status(core_wait(&running), CANCELLED);
		core_park(&waiting);
		assert_status(core_wait(&waiting), CANCELLED);
	}
	core_park(&late);
	assert_status(core_wait(&late), CANCELLED);
	want(client, 3); /* harmless */
	arbiter_client_poll(client);
	arbiter_disconnect(client);
}

/* ---- an arbiter that the test plays ---------------------------------------------------------- */

struct fake {
	int listener, lock, socket;
	struct arbiter_page *page;
};

static struct fake fake_listen(void)
{
	struct fake fake = {.socket = -1};
	struct arbiter_os_socket_file file = {.path = path, .mode = 0600};

	assert_ok(arbiter_os_listen(&file, &fake.listener, &fake.lock));
	return fake;
}

static void fake_close(struct fake *fake)
{
	os_close(fake->socket);
	os_close(fake->listener);
	os_close(fake->lock);
	unlink(path);
	if (fake->page)
		munmap(fake->page, ARBITER_PAGE_BYTES);
}

static union arbiter_wire_message fake_receive(struct fake *fake, enum arbiter_wire_type type)
{
	struct pollfd input = {.fd = fake->socket, .events = POLLIN};
	union arbiter_wire_message message;
	size_t bytes;

	assert_int_equal(poll(&input, 1, -1), 1);
	assert_int_equal(arbiter_os_receive(fake->socket, &message, sizeof(message), &bytes, NULL),
			 ARBITER_IO_DONE);
	assert_ok(arbiter_wire_check(&message, bytes, ARBITER_FROM_CLIENT));
	assert_int_equal(message.head.type, type);
	return message;
}

static void fake_send(struct fake *fake, const void *message, size_t bytes, int fd)
{
	assert_int_equal(arbiter_os_send(fake->socket, message, bytes, fd), ARBITER_IO_DONE);
}

static void fake_accept(struct fake *fake)
{
	struct pollfd input = {.fd = fake->listener, .events = POLLIN};

	assert_int_equal(poll(&input, 1, -1), 1);
	assert_int_equal(arbiter_os_accept(fake->listener, &fake->socket), ARBITER_IO_DONE);
	assert_int_equal(fake_receive(fake, ARBITER_HELLO).hello.version_min, 1);
}

static struct arbiter_wire_welcome welcome_of(uint32_t slots)
{
	return (struct arbiter_wire_welcome){
		.head = arbiter_wire_head(ARBITER_WELCOME),
		.slots = slots,
		.page_bytes = ARBITER_PAGE_BYTES,
		.cores = 4,
		.cores_max = 4,
		.grace_us = 10000,
	};
}

static void fake_welcome(struct fake *fake, uint32_t slots)
{
	struct arbiter_wire_welcome welcome = welcome_of(slots);
	void *at;
	int fd;

	assert_ok(os_memfd("fake", 0, ARBITER_PAGE_BYTES, &fd));
	assert_ok(os_map_file(NULL, ARBITER_PAGE_BYTES, fd, 0, true, &at));
	fake->page = at;
	for (uint32_t s = 0; s < ARBITER_SLOTS_MAX; s++)
		atomic_u64_store(&fake->page->slot[s].word, ARBITER_WORD_NONE, ORDER_RELAXED);
	assert_ok(arbiter_os_memfd_publish(fd));
	fake_send(fake, &welcome, sizeof(welcome), fd);
	close(fd);
}

static void fake_word(struct fake *fake, uint32_t slot, uint64_t word)
{
	struct arbiter_page_slot *at = &fake->page->slot[slot];

	atomic_u32_store(&at->cpu, 7, ORDER_RELAXED);
	atomic_u64_store(&at->word, word, ORDER_RELEASE);
	os_futex_wake_shared((const struct atomic_u32 *)(const void *)&at->word, 1);
}

/* Lets the client read until it is linked, or is not any more. */
static void client_await(struct arbiter_client *client, bool connected)
{
	struct pollfd input = {.fd = arbiter_client_fd(client), .events = POLLIN};

	while (arbiter_client_connected(client) != connected) {
		assert_int_equal(poll(&input, 1, -1), 1);
		arbiter_client_poll(client);
	}
}

/* An arbiter comes, and the client finds it. */
static void client_link(struct arbiter_client *client, struct fake *fake, uint32_t slots)
{
	struct pollfd input = {.fd = arbiter_client_fd(client), .events = POLLIN};

	*fake = fake_listen();
	assert_int_equal(poll(&input, 1, -1), 1);
	arbiter_client_poll(client);
	fake_accept(fake);
	fake_welcome(fake, slots);
	client_await(client, true);
}

/* A client that began alone, linked to an arbiter that came later. */
static struct arbiter_client *client_linked(struct fake *fake, uint32_t slots)
{
	struct arbiter_client *client = client_of(slots);

	client_link(client, fake, slots);
	return client;
}

static void arbiter_core_claim__what_waits_is_offered_anew(void **state)
{
	struct arbiter_client *client = client_of(1);
	struct arbiter_grant grant;
	struct fake fake;

	(void)state;
	assert_true(arbiter_core_offer(client, 0));
	assert_false(arbiter_core_claim(client, 0, &grant));
	client_link(client, &fake, 1);
	fake_receive(&fake, ARBITER_REQUEST);
	assert_int_equal(fake_receive(&fake, ARBITER_PARK).park.slot, 0);
	assert_false(arbiter_core_claim(client, 0, &grant));
	fake_word(&fake, 0, ARBITER_WORD(9));
	assert_true(arbiter_core_claim(client, 0, &grant));
	assert_int_equal(grant.generation, 9);
	arbiter_client_stop(client);
	assert_false(arbiter_core_offer(client, 0));
	arbiter_disconnect(client);
	fake_close(&fake);
}

/* Granted by the client itself, not noticed before an arbiter came: the arbiter decides then. */
static void arbiter_core_claim__a_local_grant_that_came_too_late(void **state)
{
	struct arbiter_client *client = client_of(1);
	struct arbiter_grant grant;
	struct fake fake;

	(void)state;
	assert_true(arbiter_core_offer(client, 0));
	want(client, 1);
	client_link(client, &fake, 1);
	assert_int_equal(fake_receive(&fake, ARBITER_REQUEST).request.wanted[2], 1);
	fake_receive(&fake, ARBITER_PARK);
	assert_false(arbiter_core_claim(client, 0, &grant));
	fake_close(&fake);
	client_await(client, false);
	assert_true(arbiter_core_claim(client, 0, &grant));
	assert_int_equal(grant.cpu, ARBITER_CPU_ANY);
	arbiter_client_stop(client);
	arbiter_disconnect(client);
}

static void arbiter_client_poll__finds_an_arbiter_and_obeys_it(void **state)
{
	struct arbiter_client *client = client_of(2);
	struct pollfd input = {.fd = arbiter_client_fd(client), .events = POLLIN};
	struct core a = {.client = client, .slot = 0}, b = {.client = client, .slot = 1};
	struct fake fake;
	union arbiter_wire_message message;

	(void)state;
	want(client, 1);
	core_park(&a);
	assert_ok(core_wait(&a));
	core_park(&b);
	fake = fake_listen();
	assert_int_equal(poll(&input, 1, -1), 1);
	arbiter_client_poll(client);
	fake_accept(&fake);
	assert_false(wanted(&a)); /* nothing changes before it answers */
	fake_welcome(&fake, 2);
	client_await(client, true);
	assert_int_equal(fake_receive(&fake, ARBITER_REQUEST).request.wanted[2], 1);
	/* b may or may not have been on its way to sleep; it is offered all the same */
	message = fake_receive(&fake, ARBITER_PARK);
	assert_int_equal(message.park.slot, 1);
	assert_int_equal(message.park.returned, 0);

	/* a runs on a core that the arbiter knows nothing of: it parks too */
	assert_true(wanted(&a));
	core_park(&a);
	message = fake_receive(&fake, ARBITER_PARK);
	assert_int_equal(message.park.slot, 0);
	assert_int_equal(message.park.returned, 0);

	fake_word(&fake, 1, ARBITER_WORD(100));
	assert_ok(core_wait(&b));
	assert_int_equal(b.grant.cpu, 7);
	assert_int_equal(b.grant.generation, 100);
	assert_false(wanted(&b));
	fake_word(&fake, 1, ARBITER_WORD(100) | ARBITER_WORD_WANTED);
	assert_true(wanted(&b));
	core_park(&b);
	assert_int_equal(fake_receive(&fake, ARBITER_PARK).park.returned, 100);

	arbiter_client_stop(client);
	assert_status(core_wait(&a), CANCELLED);
	assert_status(core_wait(&b), CANCELLED);
	arbiter_disconnect(client);
	fake_close(&fake);
}

static void arbiter_core_park__a_grant_that_was_taken_before_it_was_noticed(void **state)
{
	struct fake fake;
	struct arbiter_client *client = client_linked(&fake, 1);
	struct core core = {.client = client};

	(void)state;
	fake_receive(&fake, ARBITER_REQUEST);
	core_park(&core);
	fake_receive(&fake, ARBITER_PARK);
	/* granted, asked back and taken: what the page says in the end */
	fake_word(&fake, 0, ARBITER_WORD(5) | ARBITER_WORD_WANTED);
	assert_ok(core_wait(&core));
	assert_true(wanted(&core));
	core_park(&core);
	assert_int_equal(fake_receive(&fake, ARBITER_PARK).park.returned, 5);
	fake_word(&fake, 0, ARBITER_WORD(6));
	assert_ok(core_wait(&core));
	assert_false(wanted(&core));
	arbiter_core_return(client, 0);
	assert_int_equal(fake_receive(&fake, ARBITER_RETURN).returned.generation, 6);
	arbiter_client_stop(client);
	arbiter_disconnect(client);
	fake_close(&fake);
}

static void arbiter_core_park__unasked(void **state)
{
	struct fake fake;
	struct arbiter_client *client = client_linked(&fake, 1);
	struct core core = {.client = client};

	(void)state;
	fake_receive(&fake, ARBITER_REQUEST);
	core_park(&core);
	fake_receive(&fake, ARBITER_PARK);
	fake_word(&fake, 0, ARBITER_WORD(5));
	assert_ok(core_wait(&core));
	/* the word still says 5 when the thread goes to sleep; that is no new grant */
	core_park(&core);
	assert_int_equal(fake_receive(&fake, ARBITER_PARK).park.returned, 5);
	fake_word(&fake, 0, ARBITER_WORD_NONE);
	fake_word(&fake, 0, ARBITER_WORD(6));
	assert_ok(core_wait(&core));
	assert_int_equal(core.grant.generation, 6);
	arbiter_client_stop(client);
	arbiter_disconnect(client);
	fake_close(&fake);
}

static void arbiter_client_poll__goes_on_when_the_arbiter_dies(void **state)
{
	struct fake fake;
	struct arbiter_client *client = client_linked(&fake, 3);
	struct core runs = {.client = client, .slot = 0}, asked = {.client = client, .slot = 1};
	struct core waits = {.client = client, .slot = 2};

	(void)state;
	fake_receive(&fake, ARBITER_REQUEST);
	want(client, 2);
	fake_receive(&fake, ARBITER_REQUEST);
	core_park(&runs);
	core_park(&asked);
	fake_receive(&fake, ARBITER_PARK);
	fake_receive(&fake, ARBITER_PARK);
	fake_word(&fake, 0, ARBITER_WORD(5));
	fake_word(&fake, 1, ARBITER_WORD(6));
	assert_ok(core_wait(&runs));
	assert_ok(core_wait(&asked));
	core_park(&waits);
	fake_receive(&fake, ARBITER_PARK);
	fake_word(&fake, 1, ARBITER_WORD(6) | ARBITER_WORD_WANTED);
	assert_true(wanted(&asked));

	fake_close(&fake);
	client_await(client, false);
	/* two are wanted and two run: nobody has to go, who waits goes on waiting */
	assert_false(wanted(&runs));
	assert_false(wanted(&asked));
	want(client, 3);
	assert_ok(core_wait(&waits));
	assert_int_equal(waits.grant.cpu, ARBITER_CPU_ANY);
	arbiter_client_stop(client);
	arbiter_disconnect(client);
}

static void arbiter_core_park__notices_the_death_itself(void **state)
{
	struct fake fake;
	struct arbiter_client *client = client_linked(&fake, 1);
	struct core core = {.client = client};

	(void)state;
	want(client, 1);
	fake_close(&fake);
	core_park(&core); /* nobody polls; sending fails */
	assert_ok(core_wait(&core));
	assert_int_equal(core.grant.cpu, ARBITER_CPU_ANY);
	arbiter_client_stop(client);
	arbiter_disconnect(client);
}

/* ---- an arbiter that misbehaves -------------------------------------------------------------- */

/* What it sends instead of WELCOME; the client must be alone afterwards. */
static void bad_answer(const void *message, size_t bytes, int fd)
{
	struct fake fake = fake_listen();
	struct arbiter_client_config config = {
		.path = path, .slots = 1, .retry_ns = CLOCK_NEVER, .wait_ns = NS_PER_MS};
	struct arbiter_client *client;
	struct core core;

	assert_ok(arbiter_connect(&config, &client)); /* no answer in time */
	assert_false(arbiter_client_connected(client));
	arbiter_disconnect(client);
	fake_accept(&fake);
	os_close(fake.socket);

	config.retry_ns = NS_PER_MS;
	config.wait_ns = NS_PER_S;
	unlink(path);
	assert_ok(arbiter_connect(&config, &client));

	struct pollfd input = {.fd = arbiter_client_fd(client), .events = POLLIN};

	os_close(fake.listener);
	os_close(fake.lock);
	fake = fake_listen();
	assert_int_equal(poll(&input, 1, -1), 1);
	arbiter_client_poll(client);
	fake_accept(&fake);
	fake_send(&fake, message, bytes, fd);
	assert_int_equal(poll(&input, 1, -1), 1);
	arbiter_client_poll(client);
	assert_false(arbiter_client_connected(client));

	core = (struct core){.client = client};
	want(client, 1);
	core_park(&core);
	assert_ok(core_wait(&core));
	arbiter_client_stop(client);
	arbiter_disconnect(client);
	fake_close(&fake);
}

static void arbiter_client_poll__bad_answers(void **state)
{
	char garbage[300];
	int fd;
	struct arbiter_wire_welcome welcome = welcome_of(1);
	struct arbiter_wire_event event = {.head = arbiter_wire_head(ARBITER_GRANTED),
					   .slot = ARBITER_SLOTS_MAX};
	struct arbiter_wire_refused refused = {.head = arbiter_wire_head(ARBITER_REFUSED),
					       .text = "no"};

	(void)state;
	memset(garbage, 'x', sizeof(garbage));
	bad_answer(garbage, 64, -1);
	bad_answer(garbage, sizeof(garbage), -1);
	bad_answer(&welcome, sizeof(welcome), -1); /* no page */
	bad_answer(&welcome, sizeof(welcome), 0);  /* not a page */
	assert_ok(os_memfd("fake", 0, ARBITER_PAGE_BYTES, &fd));
	bad_answer(&welcome, sizeof(welcome), fd); /* one that could be shortened */
	os_close(fd);
	assert_ok(os_memfd("fake", 0, ARBITER_PAGE_BYTES / 2, &fd));
	assert_ok(os_memfd_seal(fd));
	bad_answer(&welcome, sizeof(welcome), fd); /* too short */
	os_close(fd);
	bad_answer(&event, sizeof(event), -1);
	bad_answer(&refused, sizeof(refused), -1);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(arbiter_connect__bad_configurations),
		CASE(arbiter_core_park__granted_by_itself_when_wanted),
		CASE(arbiter_client_stop__ends_all_parks),
		CASE(arbiter_core_claim__what_waits_is_offered_anew),
		CASE(arbiter_core_claim__a_local_grant_that_came_too_late),
		CASE(arbiter_client_poll__finds_an_arbiter_and_obeys_it),
		CASE(arbiter_core_park__a_grant_that_was_taken_before_it_was_noticed),
		CASE(arbiter_core_park__unasked),
		CASE(arbiter_client_poll__goes_on_when_the_arbiter_dies),
		CASE(arbiter_core_park__notices_the_death_itself),
		CASE(arbiter_client_poll__bad_answers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
