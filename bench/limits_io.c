#include "base/diag.h"
#include "bench/limits_int.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/aio_abi.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

/* ---- loopback TCP ---------------------------------------------------------------------------- */

static struct status pair_connect(int listener, struct limits_pair *pair)
{
	struct sockaddr_in address = {.sin_family = AF_INET,
				      .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t bytes = sizeof(address);
	int on = 1;

	if (bind(listener, (struct sockaddr *)&address, bytes) || listen(listener, 1) ||
	    getsockname(listener, (struct sockaddr *)&address, &bytes))
		return fail_errno(errno, "limits: listening on 127.0.0.1");
	pair->near = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (pair->near < 0)
		return fail_errno(errno, "limits: opening a socket");
	if (connect(pair->near, (struct sockaddr *)&address, sizeof(address)))
		return fail_errno(errno, "limits: connecting over loopback");
	pair->far = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
	if (pair->far < 0)
		return fail_errno(errno, "limits: accepting over loopback");
	(void)setsockopt(pair->near, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	(void)setsockopt(pair->far, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	return OK;
}

static void pair_close(struct limits_pair *pair)
{
	if (pair->near >= 0)
		close(pair->near);
	if (pair->far >= 0)
		close(pair->far);
}

static struct status pair_open(struct limits_pair *pair)
{
	int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct status s;

	*pair = (struct limits_pair){-1, -1};
	if (listener < 0)
		return fail_errno(errno, "limits: opening a socket");
	s = pair_connect(listener, pair);
	close(listener);
	if (!status_ok(s))
		pair_close(pair);
	return s;
}

struct echo {
	int socket;
	size_t bytes;
	bool spin;
};

/* Takes a whole message. False at the end of the stream or on an error. */
static bool message_take(const struct echo *e, char *message)
{
	size_t have = 0;

	while (have < e->bytes) {
		ssize_t n = recv(e->socket, message + have, e->bytes - have,
				 e->spin ? MSG_DONTWAIT : 0);

		if (n > 0)
			have += (size_t)n;
		else if (n == 0 || !e->spin || (errno != EAGAIN && errno != EINTR))
			return false;
	}
	return true;
}

static bool message_send(const struct echo *e, const char *message)
{
	return send(e->socket, message, e->bytes, MSG_NOSIGNAL) == (ssize_t)e->bytes;
}

static void echo_main(void *arg)
{
	const struct echo *e = arg;
	char message[4096];

	while (message_take(e, message) && message_send(e, message))
		;
}

struct status limits_tcp_round_trip(struct bench_round *round)
{
	struct limits_pair pair;
	char message[4096] = {0};
	struct echo near = {.bytes = round->which->param[0], .spin = round->which->param[1] != 0};
	struct echo far = near;
	struct limits_thread echo = {
		.settings = round->settings, .index = 1, .main = echo_main, .arg = &far};
	uint64_t trips = 0;
	uint64_t start;
	uint64_t took = 0;
	struct status s = OK;

	if (near.spin && round->settings->cores < 2)
		return fail(STATUS_UNSUPPORTED, "needs two processors, this process may use one");
	TRY(pair_open(&pair));
	near.socket = pair.near;
	far.socket = pair.far;
	bench_pin(round->settings, 0);
	s = limits_thread_start(&echo);
	if (!status_ok(s)) {
		pair_close(&pair);
		return s;
	}
	start = clock_ns();
	while (took < round->budget_ns) {
		if (!message_send(&near, message) || !message_take(&near, message)) {
			s = fail(STATUS_IO, "limits: the loopback connection broke");
			break;
		}
		trips++;
		took = clock_ns() - start;
	}
	shutdown(pair.near, SHUT_RDWR);
	limits_thread_join(&echo);
	pair_close(&pair);
	bench_record(round, BENCH_NS, trips ? (double)took / (double)trips : 0);
	return s;
}

struct stream {
	int socket;
	size_t block;
	uint64_t received;
	uint64_t ended_at;
};

static void stream_main(void *arg)
{
	struct stream *stream = arg;
	char *block = malloc(stream->block);
	ssize_t n;

	if (!block)
		return;
	while ((n = recv(stream->socket, block, stream->block, 0)) > 0)
		stream->received += (uint64_t)n;
	stream->ended_at = clock_ns();
	free(block);
}

struct status limits_tcp_stream(struct bench_round *round)
{
	struct limits_pair pair;
	struct stream stream = {.block = round->which->param[0]};
	struct limits_thread receiver = {
		.settings = round->settings, .index = 1, .main = stream_main, .arg = &stream};
	char *block = calloc(1, stream.block);
	uint64_t start;
	struct status s;

	if (!block)
		return fail(STATUS_NO_MEMORY, "limits: no memory for %zu bytes", stream.block);
	s = pair_open(&pair);
	if (!status_ok(s)) {
		free(block);
		return s;
	}
	stream.socket = pair.far;
	bench_pin(round->settings, 0);
	start = clock_ns();
	s = limits_thread_start(&receiver);
	if (status_ok(s)) {
		while (clock_ns() - start < round->budget_ns &&
		       send(pair.near, block, stream.block, MSG_NOSIGNAL) > 0)
			;
		shutdown(pair.near, SHUT_WR);
		limits_thread_join(&receiver);
	}
	pair_close(&pair);
	free(block);
	if (status_ok(s) && stream.ended_at > start)
		bench_record(round, BENCH_BYTES_PER_S,
			     (double)stream.received * 1e9 / (double)(stream.ended_at - start));
	return s;
}

/* ---- disk ------------------------------------------------------------------------------------ */

#define DISK_BYTES     (256ull << 20)
#define DISK_BLOCK     (1ull << 20)
#define DISK_DEPTH_MAX 32
#define DISK_FILL_NS   (3 * NS_PER_S) /* a slow disk gets a smaller file */

/*
 * One file for all cases of a run. It has no name from the start, so that nothing is left behind
 * whatever happens, and it stays open until the process ends. Kernel AIO and not io_uring:
 * sandboxes that forbid the one allow the other, and for direct I/O on one file both reach the
 * device's limit.
 */
static struct disk {
	int file;
	uint64_t bytes; /* 0 until the file is there */
	aio_context_t context;
	char *buffers; /* DISK_DEPTH_MAX of DISK_BLOCK */
	uint64_t random;
	uint64_t next; /* of the sequential requests */
} disk;

static struct status disk_fill(const char *directory)
{
	uint64_t start = clock_ns();
	uint64_t at = 0;

	disk.file = open(directory, O_TMPFILE | O_RDWR | O_DIRECT | O_CLOEXEC, 0600);
	if (disk.file < 0) {
		int error = errno;

		if (error == EINVAL || error == EOPNOTSUPP)
			return fail(STATUS_UNSUPPORTED,
				    "%s has no direct I/O: name a directory on a disk with --data",
				    directory);
		return fail_errno(error, "making a temporary file in %s", directory);
	}
	while (at < DISK_BYTES && clock_ns() - start < DISK_FILL_NS) {
		ssize_t n = pwrite(disk.file, disk.buffers, DISK_BLOCK, (off_t)at);

		if (n < 0)
			return fail_errno(errno, "writing a temporary file in %s", directory);
		if ((uint64_t)n < DISK_BLOCK)
			break;
		at += DISK_BLOCK;
	}
	if (fsync(disk.file))
		return fail_errno(errno, "syncing a temporary file in %s", directory);
	if (at < DISK_DEPTH_MAX * DISK_BLOCK)
		return fail(STATUS_NO_SPACE, "%s takes %llu MiB only, 32 are needed", directory,
			    (unsigned long long)(at >> 20));
	disk.bytes = at;
	return OK;
}

struct status limits_disk_setup(struct bench_round *round)
{
	disk.next = 0;
	if (disk.bytes)
		return OK;
	disk.random = clock_cycles() | 1;
	if (!disk.buffers) {
		disk.buffers = aligned_alloc(DISK_BLOCK, DISK_DEPTH_MAX * DISK_BLOCK);
		if (!disk.buffers)
			return fail(STATUS_NO_MEMORY, "limits: no memory for disk buffers");
		/* not zeros: some disks and hosts make nothing of those */
		for (size_t i = 0; i < DISK_DEPTH_MAX * DISK_BLOCK; i++)
			disk.buffers[i] = (char)((i * 2654435761u) >> 13);
	}
	if (!disk.context && syscall(SYS_io_setup, DISK_DEPTH_MAX, &disk.context) != 0) {
		disk.context = 0;
		return fail(STATUS_UNSUPPORTED, "this system has no asynchronous disk I/O");
	}
	return disk_fill(round->settings->data);
}

static uint64_t disk_place(uint64_t bytes, bool random)
{
	uint64_t places = disk.bytes / bytes;
	uint64_t place;

	if (!random)
		return disk.next++ % places * bytes;
	/* xorshift64 */
	disk.random ^= disk.random << 13;
	disk.random ^= disk.random >> 7;
	disk.random ^= disk.random << 17;
	place = disk.random % places;
	return place * bytes;
}

static struct status disk_submit(const uint64_t *param, struct iocb *control, uint64_t slot)
{
	struct iocb *list[1] = {control};

	*control = (struct iocb){
		.aio_data = slot,
		.aio_lio_opcode = param[2] ? IOCB_CMD_PWRITE : IOCB_CMD_PREAD,
		.aio_fildes = (uint32_t)disk.file,
		.aio_buf = (uint64_t)(uintptr_t)(disk.buffers + slot * DISK_BLOCK),
		.aio_nbytes = param[0],
		.aio_offset = (int64_t)disk_place(param[0], param[3] != 0),
	};
	if (syscall(SYS_io_submit, disk.context, 1, list) != 1)
		return fail_errno(errno, "submitting disk I/O");
	return OK;
}

struct status limits_disk(struct bench_round *round)
{
	const uint64_t *param = round->which->param;
	struct iocb control[DISK_DEPTH_MAX];
	struct io_event events[DISK_DEPTH_MAX];
	uint64_t start = clock_ns();
	uint64_t flying = 0;
	uint64_t done = 0;
	uint64_t took = 0;
	struct status s = OK;

	while (flying < param[1]) {
		s = disk_submit(param, &control[flying], flying);
		if (!status_ok(s))
			break;
		flying++;
	}
	while (flying > 0) {
		long n = syscall(SYS_io_getevents, disk.context, 1, flying, events, NULL);

		if (n < 0)
			return fail_errno(errno, "waiting for disk I/O");
		for (long i = 0; i < n; i++) {
			uint64_t slot = events[i].data;

			flying--;
			done++;
			if (events[i].res != (int64_t)param[0])
				s = fail(STATUS_IO, "disk I/O ended with %lld",
					 (long long)events[i].res);
			if (status_ok(s) && took < round->budget_ns) {
				s = disk_submit(param, &control[slot], slot);
				flying += status_ok(s) ? 1 : 0;
			}
		}
		took = clock_ns() - start;
	}
	if (round->which->headline == BENCH_OPS_PER_S)
		bench_record(round, BENCH_OPS_PER_S, (double)done * 1e9 / (double)took);
	else
		bench_record(round, BENCH_BYTES_PER_S,
			     (double)(done * param[0]) * 1e9 / (double)took);
	return s;
}
