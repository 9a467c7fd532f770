/*
 * What the tests of mem share: a small memory without a grower, and children that must die.
 */
#pragma once

#include "base/crash.h"
#include "base/self.h"
#include "mem/check.h"
#include "mem/mem.h"
#include "mem/poison.h"

#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "unit.h"

#define MIB ((size_t)1 << 20)

static struct mem_tag unit_tag UNUSED = MEM_TAG("unit");
static struct self unit_self UNUSED;
static struct self_thread unit_thread UNUSED = {.name = "unit"};

/* 256 MiB, small address space, upkeep by hand. */
static inline struct mem_config unit_config(void)
{
	return (struct mem_config){
		.limit_bytes = 256 * MIB,
		.reserve_bytes = 1024 * MIB,
		.ahead_bytes = 8 * MIB,
	};
}

static inline int unit_start_with(const struct mem_config *config)
{
	assert_ok(mem_start(config));
	self_init(&unit_self, &unit_thread);
	self_set(&unit_self);
	assert_ok(mem_cache_attach(&unit_self));
	return 0;
}

/* A fixture for each case: starts memory and attaches a cache to the running thread. */
static inline int unit_start(void **state)
{
	struct mem_config config = unit_config();

	(void)state;
	return unit_start_with(&config);
}

/* Takes everything down; nothing may have leaked, and the structure must be sound. */
static inline int unit_stop(void **state)
{
	(void)state;
	mem_cache_detach(&unit_self);
	self_set(NULL);
	self_fini(&unit_self);
	assert_string_equal(mem_check() ? mem_check() : "sound", "sound");
	assert_int_equal(mem_stop(), 0);
	return 0;
}

static char unit_report[64 * 1024] UNUSED;

/* Runs body(arg) in a child, which must die by SIGABRT with `words` in its crash report. */
static inline void unit_dies(void (*body)(void *arg), void *arg, const char *words)
{
	int ends[2], how;
	size_t used = 0;
	ssize_t got;

	assert_int_equal(pipe(ends), 0);
	pid_t child = fork();
	assert_true(child >= 0);
	if (child == 0) {
		struct rlimit no_core = {0};

		setrlimit(RLIMIT_CORE, &no_core);
		dup2(ends[1], STDERR_FILENO);
		close(ends[0]);
		status_ignore(crash_init());
		body(arg);
		_exit(0);
	}
	close(ends[1]);
	while (used < sizeof(unit_report) - 1 &&
	       (got = read(ends[0], unit_report + used, sizeof(unit_report) - 1 - used)) > 0)
		used += (size_t)got;
	unit_report[used] = '\0';
	close(ends[0]);
	assert_int_equal(waitpid(child, &how, 0), child);
	/* the sanitizer ends the process by itself, where it was first to see */
	if (WITH_ASAN && WIFEXITED(how) && WEXITSTATUS(how) != 0)
		how = SIGABRT;
	if (!WIFSIGNALED(how) || WTERMSIG(how) != SIGABRT)
		fail_msg("ended with 0x%x instead of SIGABRT:\n%s", how, unit_report);
	assert_contains(unit_report, words);
}
