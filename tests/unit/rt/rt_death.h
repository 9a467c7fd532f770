/*
 * Tests of what ends the process: a child of this program runs it, and what it wrote is kept.
 */
#pragma once

#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "rt_unit.h"

static char death_report[256 * 1024];

/* Runs body(arg) in a child; returns how it ended, and death_report has its standard error. */
static inline int death_run(void (*body)(void *), void *arg)
{
	size_t used = 0;
	ssize_t got;
	int ends[2], how;

	assert_int_equal(pipe(ends), 0);
	pid_t child = fork();
	assert_true(child >= 0);
	if (child == 0) {
		struct rlimit no_core = {0};

		setrlimit(RLIMIT_CORE, &no_core);
		dup2(ends[1], STDERR_FILENO);
		close(ends[0]);
		body(arg);
		_exit(0);
	}
	close(ends[1]);
	while ((got = read(ends[0], death_report + used, sizeof(death_report) - 1 - used)) > 0)
		used += (size_t)got;
	death_report[used] = '\0';
	close(ends[0]);
	assert_int_equal(waitpid(child, &how, 0), child);
	return how;
}

/* The child must die by the signal. */
static inline void assert_dies(void (*body)(void *), void *arg, int signal)
{
	int how = death_run(body, arg);

	if (!WIFSIGNALED(how) || WTERMSIG(how) != signal)
		fail_msg("ended with 0x%x instead of signal %d:\n%s", how, signal, death_report);
}
