/*
 * The log: one line for each thing that an operator should know, as text or as a JSON object.
 *
 *	log_warn("disk %s is %u %% full", path, percent);
 *
 *	2026-01-02T03:04:05.123456Z WARN  [disk-1] disk /data is 91 % full (store.c:17)
 *	{"time":"2026-…","level":"warn","thread":"disk-1","text":"disk …","where":"store.c:17"}
 *
 * What decides what to do about an error logs it, once; library code returns a status instead.
 * May be called by any thread, user threads too (it takes about 6 KiB of stack), but not in a
 * signal handler. It never suspends, and never blocks for long: a line is one write(2) to a
 * descriptor that is ready; if it is not ready within LOG_PATIENCE_MS the line is lost and counted,
 * and the next one that gets through says how many were.
 *
 * Each call site writes LOG_BURST lines at once and then LOG_PER_SECOND; what is above is
 * suppressed, and its next line says how many were.
 *
 * Whatever the text contains, it stays one line: control characters are escaped.
 */
#pragma once

#include "base/atomic.h"
#include "base/compiler.h"
#include "base/status.h"

#define LOG_BURST       20
#define LOG_PER_SECOND  5
#define LOG_PATIENCE_MS 20
#define LOG_LINE_BYTES  4096 /* what a pipe takes in one piece (PIPE_BUF) */
#define LOG_TEXT_BYTES  1024 /* of a message, before escaping */

enum log_level {
	LOG_LEVEL_DEBUG,
	LOG_LEVEL_INFO,
	LOG_LEVEL_WARN,
	LOG_LEVEL_ERROR,
};

enum log_format {
	LOG_FORMAT_TEXT,
	LOG_FORMAT_JSON,
};

struct log_config {
	enum log_level level; /* lines below are dropped */
	enum log_format format;
	const char *path; /* NULL: standard error; borrowed for the call */
};

/* A place in the code that logs. */
struct log_site {
	const char *file;
	int line;
	struct atomic_u64 full_ns;    /* when its bucket of tokens is full again */
	struct atomic_u64 suppressed; /* since its last line */
};

#define log_debug(...) LOG_(LOG_LEVEL_DEBUG, __VA_ARGS__)
#define log_info(...)  LOG_(LOG_LEVEL_INFO, __VA_ARGS__)
#define log_warn(...)  LOG_(LOG_LEVEL_WARN, __VA_ARGS__)
#define log_error(...) LOG_(LOG_LEVEL_ERROR, __VA_ARGS__)

#define LOG_(level, ...)                                                                           \
	do {                                                                                       \
		static struct log_site log_site_ = {.file = __FILE__, .line = __LINE__};           \
		if (log_enabled(level))                                                            \
			log_write(&log_site_, (level), __VA_ARGS__);                               \
	} while (0)

/*
 * Sets level, format and file; before it is called: info, text, standard error. A file that cannot
 * be opened leaves everything as it was. Not safe against itself and log_reopen().
 */
struct status log_configure(const struct log_config *config);

/* Opens the file of that name anew, after somebody has moved the old one away. May block. */
struct status log_reopen(void);

/* Whether lines of the level are written. */
bool log_enabled(enum log_level level);

/* What the macros call. `site` is borrowed for ever. */
void log_write(struct log_site *site, enum log_level level, const char *format, ...) PRINTF(3, 4);

/* "debug", "info", "warn", "error". */
const char *log_level_name(enum log_level level);
