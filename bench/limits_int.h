/*
 * The sides of the bench `limits` that need files and sockets, and the threads that all share.
 */
#pragma once

#include "bench/limits.h"

#include <pthread.h>

/* A kernel thread on the index-th processor that runs main(arg). */
struct limits_thread {
	pthread_t handle;
	const struct bench_settings *settings;
	uint32_t index;
	void (*main)(void *arg);
	void *arg;
};

/* STATUS_LIMIT when the system refuses. Fill in all but `handle` before. */
struct status limits_thread_start(struct limits_thread *t);
void limits_thread_join(struct limits_thread *t);

/* A TCP connection over loopback. */
struct limits_pair {
	int near;
	int far;
};

/* param[0]: bytes per message, param[1]: whether both ends spin instead of sleeping */
struct status limits_tcp_round_trip(struct bench_round *round);
/* param[0]: bytes per send */
struct status limits_tcp_stream(struct bench_round *round);

/*
 * Direct I/O on a temporary file in settings->data. param[0]: bytes per request, param[1]: requests
 * at once, param[2]: whether they write, param[3]: whether they are at random places.
 */
struct status limits_disk_setup(struct bench_round *round);
struct status limits_disk(struct bench_round *round);
