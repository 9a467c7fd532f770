/*
 * Assertions: on in release builds, for states that cannot be. Never for what comes from a disk, a
 * network, a user or a configuration file: that is checked and answered with a status.
 */
#pragma once

#include "base/compiler.h"

/* Ends the process with a crash report (base/crash.h) if `condition` does not hold. */
#define ASSERT(condition)                                                                          \
	do {                                                                                       \
		if (unlikely(!(condition)))                                                        \
			assert_failed(__FILE__, __LINE__, #condition);                             \
	} while (0)

/* An assertion that costs too much for release builds. Its condition is compiled in both. */
#define ASSERT_DEBUG(condition)                                                                    \
	do {                                                                                       \
		if (TARN_DEBUG)                                                                    \
			ASSERT(condition);                                                         \
	} while (0)

/* Ends the process with a crash report and a message that names the culprit. */
#define PANIC(...) panic(__FILE__, __LINE__, __VA_ARGS__)

/* What ASSERT() calls when its condition does not hold: reports and ends the process. */
NORETURN COLD void assert_failed(const char *file, int line, const char *condition);
/* What PANIC() calls: the same with a text as printf() has it. */
NORETURN COLD void panic(const char *file, int line, const char *format, ...) PRINTF(3, 4);
