#include "rt/arbiter_os.h"

#include "base/clock.h"
#include "base/os.h"
#include "unit.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static char folder[64], path[100], lock_path[108];

static int setup(void **state)
{
	(void)state;
	snprintf(folder, sizeof(folder), "/tmp/tarn-os-XXXXXX");
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

static void pair_make(int pair[2])
{
	assert_int_equal(
		socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair), 0);
}

static void arbiter_os_listen__one_at_a_path(void **state)
{
	struct arbiter_os_socket_file file = {.path = path, .mode = 0660};
	int listener, lock, other, client, socket;
	struct stat found;

	(void)state;
	assert_status(arbiter_os_connect(path, &client), NOT_FOUND);
	assert_ok(arbiter_os_listen(&file, &listener, &lock));
	assert_int_equal(stat(path, &found), 0);
	assert_int_equal(found.st_mode & 07777, 0660);
	assert_status(arbiter_os_listen(&file, &other, &other), EXISTS);
	assert_int_equal(arbiter_os_accept(listener, &socket), ARBITER_IO_LATER);
	assert_ok(arbiter_os_connect(path, &client));
	assert_int_equal(arbiter_os_accept(listener, &socket), ARBITER_IO_DONE);
	os_close(socket);
	os_close(client);
	os_close(listener);
	/* a dead one leaves the file; it is not in the way */
	assert_status(arbiter_os_connect(path, &client), CLOSED);
	os_close(lock);
	assert_ok(arbiter_os_listen(&file, &listener, &lock));
	os_close(listener);
	os_close(lock);
}

static void arbiter_os_listen__a_path_too_long(void **state)
{
	char longer[200];
	struct arbiter_os_socket_file file = {.path = longer, .mode = 0600};
	int fd;

	(void)state;
	memset(longer, 'x', sizeof(longer));
	longer[sizeof(longer) - 1] = '\0';
	assert_status(arbiter_os_listen(&file, &fd, &fd), INVALID);
	assert_status(arbiter_os_connect(longer, &fd), INVALID);
}

static void arbiter_os_receive__packets_and_ends(void **state)
{
	int pair[2], fd = -1;
	char buffer[8];
	size_t bytes;

	(void)state;
	pair_make(pair);
	assert_int_equal(arbiter_os_receive(pair[0], buffer, 8, &bytes, NULL), ARBITER_IO_LATER);
	assert_int_equal(arbiter_os_send(pair[1], "12345678", 8, -1), ARBITER_IO_DONE);
	assert_int_equal(arbiter_os_send(pair[1], "123456789", 9, -1), ARBITER_IO_DONE);
	assert_int_equal(arbiter_os_send(pair[1], "1", 1, pair[0]), ARBITER_IO_DONE);
	assert_int_equal(arbiter_os_receive(pair[0], buffer, 8, &bytes, &fd), ARBITER_IO_DONE);
	assert_int_equal(bytes, 8);
	assert_int_equal(fd, -1);
	assert_int_equal(arbiter_os_receive(pair[0], buffer, 8, &bytes, &fd), ARBITER_IO_BAD);
	assert_int_equal(arbiter_os_receive(pair[0], buffer, 8, &bytes, &fd), ARBITER_IO_DONE);
	assert_int_equal(bytes, 1);
	assert_true(fd >= 0);
	os_close(fd);
	os_close(pair[1]);
	assert_int_equal(arbiter_os_receive(pair[0], buffer, 8, &bytes, NULL), ARBITER_IO_CLOSED);
	/* and no SIGPIPE */
	assert_int_equal(arbiter_os_send(pair[0], "1", 1, -1), ARBITER_IO_CLOSED);
	os_close(pair[0]);
}

static void arbiter_os_send__does_not_block(void **state)
{
	int pair[2];
	enum arbiter_io io = ARBITER_IO_DONE;

	(void)state;
	pair_make(pair);
	for (int i = 0; i < 1000000 && io == ARBITER_IO_DONE; i++)
		io = arbiter_os_send(pair[0], "12345678", 8, -1);
	assert_int_equal(io, ARBITER_IO_LATER);
	os_close(pair[0]);
	os_close(pair[1]);
}

static void arbiter_os_peer__knows_who_it_is(void **state)
{
	struct arbiter_peer peer;
	int pair[2];

	(void)state;
	pair_make(pair);
	assert_ok(arbiter_os_peer(pair[0], &peer));
	assert_int_equal(peer.pid, getpid());
	assert_int_equal(peer.uid, getuid());
	assert_true(arbiter_os_peer_has(&peer, os_gettid()));
	assert_false(arbiter_os_peer_has(&peer, 1));
	assert_false(arbiter_os_peer_has(&peer, 0));
	assert_false(arbiter_os_peer_has(&peer, -1));
	os_close(peer.proc);
	os_close(pair[0]);
	os_close(pair[1]);
}

/* The peer of a connection is who made it, also when it is dead and another has its socket. */
static void arbiter_os_peer__that_has_ended(void **state)
{
	struct arbiter_os_socket_file file = {.path = path, .mode = 0600};
	struct arbiter_peer peer;
	int listener, lock, socket;

	(void)state;
	assert_ok(arbiter_os_listen(&file, &listener, &lock));

	pid_t child = fork();

	if (child == 0) {
		int client;

		_exit(status_ok(arbiter_os_connect(path, &client)) ? 0 : 1);
	}
	assert_int_equal(waitpid(child, NULL, 0), child);
	assert_int_equal(arbiter_os_accept(listener, &socket), ARBITER_IO_DONE);
	assert_false(status_ok(arbiter_os_peer(socket, &peer)));
	os_close(socket);
	os_close(listener);
	os_close(lock);
}

static void arbiter_os_wait__input_end_and_deadline(void **state)
{
	struct arbiter_ready ready[4];
	int epoll, pair[2], timer;

	(void)state;
	pair_make(pair);
	assert_ok(arbiter_os_epoll(&epoll));
	assert_ok(arbiter_os_timer(&timer));
	assert_ok(arbiter_os_watch(epoll, pair[0], 5));
	assert_ok(arbiter_os_watch(epoll, timer, 6));
	assert_int_equal(arbiter_os_wait(epoll, ready, 4, 0), 0);
	assert_int_equal(arbiter_os_wait(epoll, ready, 4, clock_ns() + NS_PER_MS), 0);
	arbiter_os_timer_set(timer, 1);
	assert_int_equal(arbiter_os_wait(epoll, ready, 4, CLOCK_NEVER), 1);
	assert_int_equal(ready[0].key, 6);
	assert_true(ready[0].input);
	arbiter_os_timer_set(timer, 0);
	assert_int_equal(arbiter_os_wait(epoll, ready, 4, 0), 0);
	assert_int_equal(arbiter_os_send(pair[1], "1", 1, -1), ARBITER_IO_DONE);
	assert_int_equal(arbiter_os_wait(epoll, ready, 4, CLOCK_NEVER), 1);
	assert_int_equal(ready[0].key, 5);
	assert_true(ready[0].input && !ready[0].ended);
	os_close(pair[1]);
	assert_int_equal(arbiter_os_wait(epoll, ready, 4, CLOCK_NEVER), 1);
	assert_true(ready[0].input && ready[0].ended);
	arbiter_os_unwatch(epoll, pair[0]);
	assert_int_equal(arbiter_os_wait(epoll, ready, 4, 0), 0);
	os_close(pair[0]);
	os_close(timer);
	os_close(epoll);
}

static void arbiter_os_folder__make_lock_remove(void **state)
{
	char inner[100];
	int lock, other;

	(void)state;
	snprintf(inner, sizeof(inner), "%s/inner", folder);
	assert_ok(arbiter_os_folder_make(inner));
	assert_status(arbiter_os_folder_make(inner), EXISTS);
	assert_ok(arbiter_os_lock(inner, &lock));
	assert_status(arbiter_os_lock(inner, &other), BUSY);
	os_close(lock);
	assert_ok(arbiter_os_folder_remove(inner));
	assert_status(arbiter_os_folder_remove(inner), NOT_FOUND);
}

static void arbiter_os_socket_remove__sockets_only(void **state)
{
	int fd;

	(void)state;
	arbiter_os_socket_remove(path);
	assert_ok(os_open(path, O_CREAT | O_RDWR, 0600, &fd));
	os_close(fd);
	arbiter_os_socket_remove(path);
	assert_int_equal(access(path, F_OK), 0);
}

static void arbiter_os_memfd_publish__read_only_and_of_one_size(void **state)
{
	void *mine, *theirs;
	int fd;

	(void)state;
	assert_ok(os_memfd("unit", 0, 4096, &fd));
	assert_ok(os_map_file(NULL, 4096, fd, 0, true, &mine));
	assert_false(arbiter_os_memfd_safe(fd, 4096));
	assert_ok(arbiter_os_memfd_publish(fd));
	assert_true(arbiter_os_memfd_safe(fd, 4096));
	assert_false(arbiter_os_memfd_safe(fd, 8192));
	assert_false(status_ok(os_map_file(NULL, 4096, fd, 0, true, &theirs)));
	assert_ok(os_map_file(NULL, 4096, fd, 0, false, &theirs));
	*(char *)mine = 'x';
	assert_int_equal(*(const char *)theirs, 'x');
	assert_int_not_equal(ftruncate(fd, 0), 0);
	assert_ok(os_unmap(mine, 4096));
	assert_ok(os_unmap(theirs, 4096));
	os_close(fd);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(arbiter_os_listen__one_at_a_path),
		CASE(arbiter_os_listen__a_path_too_long),
		CASE(arbiter_os_receive__packets_and_ends),
		CASE(arbiter_os_send__does_not_block),
		CASE(arbiter_os_peer__knows_who_it_is),
		CASE(arbiter_os_peer__that_has_ended),
		CASE(arbiter_os_wait__input_end_and_deadline),
		CASE(arbiter_os_folder__make_lock_remove),
		CASE(arbiter_os_socket_remove__sockets_only),
		CASE(arbiter_os_memfd_publish__read_only_and_of_one_size),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
