/*
 * What the arbiter and its clients take from the operating system beyond base/os.h: sockets that
 * keep message boundaries, epoll, a timer, folders, the peer's identity.
 *
 * Called from plain kernel threads only, never from a user thread on a core.
 */
#pragma once

#include "base/status.h"

#include <sys/types.h>

/* ---- sockets ---- */

enum arbiter_io {
	ARBITER_IO_DONE,
	ARBITER_IO_LATER,  /* nothing there, or no room: wait for the descriptor */
	ARBITER_IO_CLOSED, /* the other side has gone */
	ARBITER_IO_FULL,   /* out of descriptors or memory: leave it for a while */
	ARBITER_IO_BAD,    /* the packet is longer than any message */
};

struct arbiter_os_socket_file {
	const char *path;
	mode_t mode;
	uint32_t gid; /* its group; 0: the process's */
};

/*
 * Makes a socket file and listens. Takes the lock `path`.lock first, held through *ret_lock, so
 * that one arbiter only serves a path; the socket of a dead one is replaced. EXISTS: another one
 * runs. INVALID: the path is longer than a socket's name can be.
 */
struct status arbiter_os_listen(const struct arbiter_os_socket_file *file, int *ret_fd,
				int *ret_lock);

/* Connects without waiting. NOT_FOUND or CLOSED: nobody listens; BUSY: its queue is full. */
struct status arbiter_os_connect(const char *path, int *ret_fd);

/* The next connection; LATER, FULL. Never blocks. */
enum arbiter_io arbiter_os_accept(int listener, int *ret_fd);

/* Sends one packet, with a descriptor unless fd is -1. Never blocks, never raises SIGPIPE. */
enum arbiter_io arbiter_os_send(int socket, const void *message, size_t bytes, int fd);

/*
 * Receives one packet into message[size]. A descriptor that comes along goes to *ret_fd (-1 if
 * none); with ret_fd NULL the kernel drops it. Never blocks.
 */
enum arbiter_io arbiter_os_receive(int socket, void *message, size_t size, size_t *ret_bytes,
				   int *ret_fd);

struct arbiter_peer {
	pid_t pid;
	uint32_t uid;
	int proc; /* the process's folder in /proc, held open: it never names another process */
};

/*
 * Who connected, as the kernel knows it. DENIED if the process has ended or cannot be told apart
 * from one that took its number.
 */
struct status arbiter_os_peer(int socket, struct arbiter_peer *ret);

/* Whether kernel thread `tid` belongs to the peer at this moment. */
bool arbiter_os_peer_has(const struct arbiter_peer *peer, pid_t tid);

/* ---- waiting ---- */

/* A set of watched descriptors. */
struct status arbiter_os_epoll(int *ret_fd);

/* Watches `fd` for input (and for its end, which is always told) under `key`. */
struct status arbiter_os_watch(int epoll, int fd, uint64_t key);

/* Ends watching. */
void arbiter_os_unwatch(int epoll, int fd);

struct arbiter_ready {
	uint64_t key;
	bool input;
	bool ended; /* the other side has gone; there may still be input */
};

/*
 * Waits until the deadline (clock_ns(); CLOCK_NEVER) for watched descriptors; says how many of
 * `ready` were filled. 0 also for no reason. Blocks the kernel thread.
 */
uint32_t arbiter_os_wait(int epoll, struct arbiter_ready *ready, uint32_t count, uint64_t deadline);

/* A timer to watch: input comes when it ends. */
struct status arbiter_os_timer(int *ret_fd);

/* Sets it to end in `ns`, or never (0). Drops what it had to say. */
void arbiter_os_timer_set(int fd, uint64_t ns);

/* ---- files ---- */

/* Makes a folder. EXISTS if it is there. */
struct status arbiter_os_folder_make(const char *path);

/* Removes an empty folder. BUSY when a cgroup is still in use. */
struct status arbiter_os_folder_remove(const char *path);

/* Takes the exclusive lock of a file or folder that exists. BUSY: another process has it. */
struct status arbiter_os_lock(const char *path, int *ret_fd);

/* Removes the file of a socket; leaves alone what is none. */
void arbiter_os_socket_remove(const char *path);

/* From now on a memfd can be mapped for reading only, and its size stays; own mappings stay. */
struct status arbiter_os_memfd_publish(int fd);

/*
 * Puts a file, read-only, in the place of what is mapped at `at`, for threads that are reading
 * there: each read finds the old or the new. NO_MEMORY.
 */
struct status arbiter_os_map_over(const void *at, size_t bytes, int fd);

/* Whether `fd` is a memfd of `bytes` bytes that nobody can shorten: reading it cannot fault. */
bool arbiter_os_memfd_safe(int fd, uint64_t bytes);

/* The process's user. */
uint32_t arbiter_os_uid(void);
