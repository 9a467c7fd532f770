#include "rt/arbiter_os.h"

#include "base/clock.h"
#include "base/diag.h"
#include "base/os.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <sys/un.h>
#include <unistd.h>

#ifndef SO_PEERPIDFD
#define SO_PEERPIDFD 77 /* Linux 6.5 */
#endif

#define LISTEN_BACKLOG 128

/* The errno value of a system call's result: 0 if it went through. */
static int error_of(long result)
{
	return result == -1 ? errno : 0;
}

/* ---- sockets ---- */

static struct status address_of(const char *path, struct sockaddr_un *ret)
{
	*ret = (struct sockaddr_un){.sun_family = AF_UNIX};
	if (strlen(path) >= sizeof(ret->sun_path))
		return fail(STATUS_INVALID, "%s: the name of a socket has at most %zu bytes", path,
			    sizeof(ret->sun_path) - 1);
	memcpy(ret->sun_path, path, strlen(path) + 1);
	return OK;
}

static struct status socket_make(int *ret_fd)
{
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	int error = error_of(fd);

	if (error)
		return fail_errno(error, "arbiter: no socket");
	*ret_fd = fd;
	return OK;
}

/* Between bind and listen nobody can connect: the mode is set before anybody gets in. */
static struct status bind_and_listen(int fd, const struct arbiter_os_socket_file *file)
{
	struct sockaddr_un address;
	const char *path = file->path;

	TRY(address_of(path, &address));
	arbiter_os_socket_remove(path);

	int error = error_of(bind(fd, (struct sockaddr *)&address, sizeof(address)));

	if (!error && file->gid)
		error = error_of(lchown(path, (uid_t)-1, file->gid));
	if (!error)
		error = error_of(chmod(path, file->mode));
	if (!error)
		error = error_of(listen(fd, LISTEN_BACKLOG));
	return error ? fail_errno(error, "%s: cannot listen", path) : OK;
}

static struct status lock_path(const char *path, int *ret_lock)
{
	char name[sizeof(((struct sockaddr_un *)0)->sun_path) + 8];
	int fd;

	snprintf(name, sizeof(name), "%s.lock", path);
	TRY(os_open(name, O_RDWR | O_CREAT | O_NOFOLLOW, 0600, &fd));

	int error = error_of(flock(fd, LOCK_EX | LOCK_NB));

	if (error) {
		os_close(fd);
		return error == EWOULDBLOCK
			       ? fail(STATUS_EXISTS, "%s: another arbiter listens there", path)
			       : fail_errno(error, "%s: cannot be locked", name);
	}
	*ret_lock = fd;
	return OK;
}

struct status arbiter_os_listen(const struct arbiter_os_socket_file *file, int *ret_fd,
				int *ret_lock)
{
	struct sockaddr_un address;
	int fd, lock;

	TRY(address_of(file->path, &address)); /* before the lock file is named after it */
	TRY(lock_path(file->path, &lock));

	struct status status = socket_make(&fd);

	if (status_ok(status)) {
		status = bind_and_listen(fd, file);
		if (!status_ok(status))
			os_close(fd);
	}
	if (!status_ok(status)) {
		os_close(lock);
		return status;
	}
	*ret_fd = fd;
	*ret_lock = lock;
	return OK;
}

struct status arbiter_os_connect(const char *path, int *ret_fd)
{
	struct sockaddr_un address;
	int fd;

	TRY(address_of(path, &address));
	TRY(socket_make(&fd));

	int error = error_of(connect(fd, (struct sockaddr *)&address, sizeof(address)));

	if (error) {
		os_close(fd);
		if (error == ECONNREFUSED)
			return fail(STATUS_CLOSED, "%s: no arbiter listens there", path);
		if (error == EAGAIN)
			return fail(STATUS_BUSY, "%s: the arbiter's queue is full", path);
		return fail_errno(error, "%s: cannot connect to the arbiter", path);
	}
	*ret_fd = fd;
	return OK;
}

enum arbiter_io arbiter_os_accept(int listener, int *ret_fd)
{
	int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	int error = error_of(fd);

	switch (error) {
	case 0: *ret_fd = fd; return ARBITER_IO_DONE;
	case EMFILE:
	case ENFILE:
	case ENOBUFS:
	case ENOMEM: return ARBITER_IO_FULL;
	default: return ARBITER_IO_LATER; /* also: it hung up while it waited */
	}
}

/* Room for one descriptor beside a packet. */
union control {
	struct cmsghdr head;
	char bytes[CMSG_SPACE(sizeof(int))];
};

static enum arbiter_io io_of(int error)
{
	switch (error) {
	case 0: return ARBITER_IO_DONE;
	case EAGAIN:
	case EINTR: return ARBITER_IO_LATER;
	case ENOBUFS:
	case ENOMEM:
	case ETOOMANYREFS: return ARBITER_IO_FULL;
	default: return ARBITER_IO_CLOSED;
	}
}

enum arbiter_io arbiter_os_send(int socket, const void *message, size_t bytes, int fd)
{
	struct iovec piece = {.iov_base = (void *)(uintptr_t)message, .iov_len = bytes};
	struct msghdr packet = {.msg_iov = &piece, .msg_iovlen = 1};
	union control control = {0};

	if (fd >= 0) {
		control.head = (struct cmsghdr){.cmsg_len = CMSG_LEN(sizeof(int)),
						.cmsg_level = SOL_SOCKET,
						.cmsg_type = SCM_RIGHTS};
		memcpy(CMSG_DATA(&control.head), &fd, sizeof(fd));
		packet.msg_control = &control;
		packet.msg_controllen = sizeof(control.bytes);
	}
	return io_of(error_of(sendmsg(socket, &packet, MSG_NOSIGNAL | MSG_DONTWAIT)));
}

enum arbiter_io arbiter_os_receive(int socket, void *message, size_t size, size_t *ret_bytes,
				   int *ret_fd)
{
	struct iovec piece = {.iov_base = message, .iov_len = size};
	struct msghdr packet = {.msg_iov = &piece, .msg_iovlen = 1};
	union control control = {0};

	if (ret_fd) {
		packet.msg_control = &control;
		packet.msg_controllen = sizeof(control.bytes);
		*ret_fd = -1;
	}

	ssize_t got = recvmsg(socket, &packet, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	enum arbiter_io io = io_of(error_of(got));

	if (io != ARBITER_IO_DONE)
		return io;
	if (ret_fd && packet.msg_controllen >= CMSG_LEN(sizeof(int)) &&
	    control.head.cmsg_level == SOL_SOCKET && control.head.cmsg_type == SCM_RIGHTS)
		memcpy(ret_fd, CMSG_DATA(&control.head), sizeof(*ret_fd));
	if (packet.msg_flags & MSG_TRUNC)
		return ARBITER_IO_BAD;
	*ret_bytes = (size_t)got;
	/* an empty packet looks like the end; no message is empty, so both end the connection */
	return got == 0 ? ARBITER_IO_CLOSED : ARBITER_IO_DONE;
}

/* 1 if the kernel vouches that the peer lives, 0 if it has ended, -1 if it cannot say. */
static int peer_lives(int socket)
{
	socklen_t size = sizeof(int);
	int pidfd = -1;

	if (getsockopt(socket, SOL_SOCKET, SO_PEERPIDFD, &pidfd, &size) != 0)
		return -1;

	struct pollfd ended = {.fd = pidfd, .events = POLLIN};
	int lives = poll(&ended, 1, 0) == 0;

	os_close(pidfd);
	return lives;
}

struct status arbiter_os_peer(int socket, struct arbiter_peer *ret)
{
	struct ucred who;
	socklen_t size = sizeof(who);
	char path[32];
	struct stat folder;
	int proc;
	int error = error_of(getsockopt(socket, SOL_SOCKET, SO_PEERCRED, &who, &size));

	if (error)
		return fail_errno(error, "arbiter: the kernel does not say who connected");
	snprintf(path, sizeof(path), "/proc/%d", (int)who.pid);
	TRY(os_open(path, O_PATH | O_DIRECTORY, 0, &proc));

	/* the folder was opened by number; was the number still the peer's? Alive afterwards says
	 * yes. Older kernels: a process of the same user has it, over which the peer has power
	 * anyway. */
	int lives = peer_lives(socket);

	if (lives < 0)
		lives = fstat(proc, &folder) == 0 && folder.st_uid == who.uid;
	if (!lives) {
		os_close(proc);
		return fail(STATUS_DENIED, "arbiter: process %d has ended", (int)who.pid);
	}
	*ret = (struct arbiter_peer){.pid = who.pid, .uid = who.uid, .proc = proc};
	return OK;
}

bool arbiter_os_peer_has(const struct arbiter_peer *peer, pid_t tid)
{
	char path[32];

	snprintf(path, sizeof(path), "task/%d", (int)tid);
	return tid > 0 && faccessat(peer->proc, path, F_OK, 0) == 0;
}

/* ---- waiting ---- */

struct status arbiter_os_epoll(int *ret_fd)
{
	int fd = epoll_create1(EPOLL_CLOEXEC);
	int error = error_of(fd);

	if (error)
		return fail_errno(error, "arbiter: no epoll");
	*ret_fd = fd;
	return OK;
}

struct status arbiter_os_watch(int epoll, int fd, uint64_t key)
{
	struct epoll_event event = {.events = EPOLLIN | EPOLLRDHUP, .data.u64 = key};
	int error = error_of(epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event));

	return error ? fail_errno(error, "arbiter: a descriptor cannot be watched") : OK;
}

void arbiter_os_unwatch(int epoll, int fd)
{
	/* fails only for what is not watched */
	(void)epoll_ctl(epoll, EPOLL_CTL_DEL, fd, NULL);
}

uint32_t arbiter_os_wait(int epoll, struct arbiter_ready *ready, uint32_t count, uint64_t deadline)
{
	struct epoll_event events[64];
	struct timespec left, *timeout = NULL;

	if (deadline != CLOCK_NEVER) {
		uint64_t now = clock_ns();
		uint64_t ns = deadline > now ? deadline - now : 0;

		left = (struct timespec){.tv_sec = (time_t)(ns / NS_PER_S),
					 .tv_nsec = (long)(ns % NS_PER_S)};
		timeout = &left;
	}
	if (count > ARRAY_SIZE(events))
		count = ARRAY_SIZE(events);

	int got = epoll_pwait2(epoll, events, (int)count, timeout, NULL);

	for (int i = 0; i < got; i++)
		ready[i] = (struct arbiter_ready){
			.key = events[i].data.u64,
			.input = events[i].events & EPOLLIN,
			.ended = events[i].events & (EPOLLHUP | EPOLLRDHUP | EPOLLERR),
		};
	return got > 0 ? (uint32_t)got : 0;
}

struct status arbiter_os_timer(int *ret_fd)
{
	int fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	int error = error_of(fd);

	if (error)
		return fail_errno(error, "arbiter: no timer");
	*ret_fd = fd;
	return OK;
}

void arbiter_os_timer_set(int fd, uint64_t ns)
{
	struct itimerspec when = {
		.it_value = {.tv_sec = (time_t)(ns / NS_PER_S), .tv_nsec = (long)(ns % NS_PER_S)}};

	/* setting it anew also drops an expiry that nobody read; neither can fail */
	(void)timerfd_settime(fd, 0, &when, NULL);
}

/* ---- files ---- */

struct status arbiter_os_folder_make(const char *path)
{
	int error = error_of(mkdir(path, 0755));

	return error ? fail_errno(error, "%s: cannot be made", path) : OK;
}

struct status arbiter_os_folder_remove(const char *path)
{
	int error = error_of(rmdir(path));

	if (error == EBUSY)
		return fail(STATUS_BUSY, "%s: still in use", path);
	return error ? fail_errno(error, "%s: cannot be removed", path) : OK;
}

struct status arbiter_os_lock(const char *path, int *ret_fd)
{
	int fd;

	TRY(os_open(path, O_RDONLY, 0, &fd));

	int error = error_of(flock(fd, LOCK_EX | LOCK_NB));

	if (error) {
		os_close(fd);
		return error == EWOULDBLOCK
			       ? fail(STATUS_BUSY, "%s: in use by another arbiter", path)
			       : fail_errno(error, "%s: cannot be locked", path);
	}
	*ret_fd = fd;
	return OK;
}

void arbiter_os_socket_remove(const char *path)
{
	struct stat there;

	/* a mistyped path must not cost anybody a file; bind() says if something is still there */
	if (lstat(path, &there) == 0 && S_ISSOCK(there.st_mode))
		(void)unlink(path);
}

struct status arbiter_os_memfd_publish(int fd)
{
	int error = error_of(fcntl(fd, F_ADD_SEALS, F_SEAL_FUTURE_WRITE));

	if (error)
		return fail_errno(error, "arbiter: the page cannot be sealed");
	return os_memfd_seal(fd);
}

struct status arbiter_os_map_over(const void *at, size_t bytes, int fd)
{
	/* not mmap(): ThreadSanitizer takes that for a write to the memory, which would race */
	int error = error_of(syscall(SYS_mmap, at, bytes, (long)PROT_READ,
				     (long)(MAP_SHARED | MAP_FIXED), (long)fd, 0L));

	return error ? fail_errno(error, "arbiter: the page cannot be exchanged") : OK;
}

bool arbiter_os_memfd_safe(int fd, uint64_t bytes)
{
	struct stat file;
	int seals = fcntl(fd, F_GET_SEALS);

	return seals != -1 && (seals & F_SEAL_SHRINK) && fstat(fd, &file) == 0 &&
	       (uint64_t)file.st_size == bytes;
}

uint32_t arbiter_os_uid(void)
{
	return (uint32_t)geteuid();
}
