/*
 * Measuring in a process of its own, for figures that belong to a whole process: what it keeps
 * resident, what it burns while idle.
 */
#pragma once

#include "base/status.h"

#include <stddef.h>
#include <sys/types.h>

#define BENCH_CHILD_VALUES 4

struct bench_child {
	pid_t pid; /* 0: none */
	int fd;    /* what it measured comes from here */
};

/*
 * Measures in a child of this process, on its only thread, with no memory (mem/mem.h) and no
 * runtime started: fills `values` or fails.
 */
typedef struct status (*bench_child_fn)(const void *arg, double values[BENCH_CHILD_VALUES]);

/*
 * Starts measure(arg) in a child. Call it while this process has one thread and has not started its
 * memory. Give the child to bench_child_read() or bench_child_end(). STATUS_LIMIT and others when
 * the system refuses.
 */
struct status bench_child_start(bench_child_fn measure, const void *arg, struct bench_child *ret);

/* Waits for the child's end and takes what it measured, or the failure and its text. */
struct status bench_child_read(struct bench_child *c, double values[BENCH_CHILD_VALUES]);

/* Ends a child whose values nobody wants any more; nothing if there is none. */
void bench_child_end(struct bench_child *c);
