#include "base/log.h"

#include "base/clock.h"
#include "base/diag.h"
#include "base/line.h"
#include "base/metrics.h"
#include "base/os.h"
#include "base/self.h"
#include "base/text.h"

#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define INTERVAL_NS (NS_PER_S / LOG_PER_SECOND)
#define FILE_FLAGS  (O_WRONLY | O_CREAT | O_APPEND | O_NOCTTY)
#define FILE_MODE   0640

METRIC_COUNTER(lines_written, "tarn_log_lines_total", "Lines that were written to the log");
METRIC_COUNTER(lines_suppressed, "tarn_log_suppressed_total",
	       "Lines above the rate limit of their call site");
METRIC_COUNTER(lines_lost, "tarn_log_lost_total", "Lines that the log's file or pipe did not take");

static struct atomic_u64 log_level = ATOMIC(LOG_LEVEL_INFO);
static struct atomic_u64 log_format = ATOMIC(LOG_FORMAT_TEXT);
static struct atomic_u64 log_fd = ATOMIC(STDERR_FILENO);
static struct atomic_u64 lost;    /* lines since the last that got through */
static struct atomic_u64 stalled; /* 1: the last line did not get through; do not wait again */

/* Once opened it is never closed: another thread may just be writing to it. */
static int file_fd = -1;

/* Of the file that is in use, for log_reopen(); changed by log_configure() only. */
static char log_path[4096];

const char *log_level_name(enum log_level level)
{
	static const char *const names[] = {"debug", "info", "warn", "error"};

	return names[level];
}

bool log_enabled(enum log_level level)
{
	return level >= atomic_u64_quiet_load(&log_level, ORDER_RELAXED);
}

/* Opens the file and sends the lines there. The descriptor's number stays valid throughout. */
static struct status use_file(const char *path)
{
	if (file_fd >= 0)
		TRY(os_reopen(file_fd, path, FILE_FLAGS, FILE_MODE));
	else
		TRY(os_open(path, FILE_FLAGS, FILE_MODE, &file_fd));
	atomic_u64_quiet_store(&log_fd, (uint64_t)file_fd, ORDER_RELEASE);
	return OK;
}

struct status log_configure(const struct log_config *config)
{
	if (config->path && strlen(config->path) >= sizeof(log_path))
		return fail(STATUS_INVALID, "log file: its path is longer than %zu bytes",
			    sizeof(log_path) - 1);
	if (config->path) {
		TRY(use_file(config->path));
		memmove(log_path, config->path, strlen(config->path) + 1);
	} else {
		atomic_u64_quiet_store(&log_fd, STDERR_FILENO, ORDER_RELEASE);
		log_path[0] = '\0';
	}
	atomic_u64_quiet_store(&log_level, config->level, ORDER_RELAXED);
	atomic_u64_quiet_store(&log_format, config->format, ORDER_RELAXED);
	return OK;
}

struct status log_reopen(void)
{
	return log_path[0] ? use_file(log_path) : OK;
}

/*
 * A token bucket as one number: the time at which it will be full again (the "generic cell rate
 * algorithm"). A line moves it by an interval; it may lie at most a burst ahead.
 */
static bool take_token(struct log_site *site)
{
	uint64_t now = clock_ns();
	uint64_t full = atomic_u64_quiet_load(&site->full_ns, ORDER_RELAXED);

	for (;;) {
		uint64_t from = full > now ? full : now;

		if (from - now > (LOG_BURST - 1) * INTERVAL_NS)
			return false;
		if (atomic_u64_quiet_cas(&site->full_ns, &full, from + INTERVAL_NS, ORDER_RELAXED))
			return true;
	}
}

static uint64_t take_count(struct atomic_u64 *count)
{
	uint64_t n = atomic_u64_quiet_load(count, ORDER_RELAXED);

	while (n && !atomic_u64_quiet_cas(count, &n, 0, ORDER_RELAXED))
		;
	return n;
}

/*
 * "2026-01-02T03:04:05.123456Z". The date as in Howard Hinnant's "chrono-compatible low-level date
 * algorithms": gmtime_r() takes a lock that another thread may hold for long.
 */
static void put_time(struct line *l, uint64_t wall_ns)
{
	uint64_t seconds = wall_ns / NS_PER_S;
	uint64_t days = seconds / 86400 + 719468; /* since 0000-03-01 */
	uint64_t era = days / 146097;
	uint64_t day = days % 146097;
	uint64_t year = (day - day / 1460 + day / 36524 - day / 146096) / 365;
	uint64_t of_year = day - (365 * year + year / 4 - year / 100);
	uint64_t month = (5 * of_year + 2) / 153; /* 0 is March */

	line_u64_padded(l, year + era * 400 + (month >= 10), 4);
	line_char(l, '-');
	line_u64_padded(l, month < 10 ? month + 3 : month - 9, 2);
	line_char(l, '-');
	line_u64_padded(l, of_year - (153 * month + 2) / 5 + 1, 2);
	line_char(l, 'T');
	line_u64_padded(l, seconds / 3600 % 24, 2);
	line_char(l, ':');
	line_u64_padded(l, seconds / 60 % 60, 2);
	line_char(l, ':');
	line_u64_padded(l, seconds % 60, 2);
	line_char(l, '.');
	line_u64_padded(l, wall_ns % NS_PER_S / NS_PER_US, 6);
	line_char(l, 'Z');
}

/* All that a line is made of. */
struct entry {
	const struct log_site *site;
	enum log_level level;
	const char *text;
	uint64_t suppressed;
	uint64_t lost;
};

/* Room for what follows the message: place and counts. */
#define TAIL_BYTES 512

static void put_text(struct line *l, const struct entry *e)
{
	static const char *const names[] = {"DEBUG", "INFO ", "WARN ", "ERROR"};
	const char *thread = self()->thread->name;

	put_time(l, clock_wall_ns());
	line_char(l, ' ');
	line_text(l, names[e->level]);
	line_text(l, " [");
	text_escaped(l, thread, strlen(thread), LOG_LINE_BYTES - 256);
	line_text(l, "] ");
	text_escaped(l, e->text, strlen(e->text), TAIL_BYTES);
	line_text(l, " (");
	text_escaped(l, e->site->file, strlen(e->site->file), 256);
	line_char(l, ':');
	line_i64(l, e->site->line);
	if (e->suppressed) {
		line_text(l, ", ");
		line_u64(l, e->suppressed);
		line_text(l, " more like this suppressed");
	}
	if (e->lost) {
		line_text(l, ", ");
		line_u64(l, e->lost);
		line_text(l, " lines lost before this one");
	}
	line_text(l, ")\n");
}

static void put_json(struct line *l, const struct entry *e)
{
	const char *thread = self()->thread->name;

	line_text(l, "{\"time\":\"");
	put_time(l, clock_wall_ns());
	line_text(l, "\",\"level\":\"");
	line_text(l, log_level_name(e->level));
	line_text(l, "\",\"thread\":\"");
	text_json(l, thread, strlen(thread), LOG_LINE_BYTES - 256);
	line_text(l, "\",\"text\":\"");
	text_json(l, e->text, strlen(e->text), TAIL_BYTES);
	line_text(l, "\",\"where\":\"");
	text_json(l, e->site->file, strlen(e->site->file), 256);
	line_char(l, ':');
	line_i64(l, e->site->line);
	line_char(l, '"');
	if (e->suppressed) {
		line_text(l, ",\"suppressed\":");
		line_u64(l, e->suppressed);
	}
	if (e->lost) {
		line_text(l, ",\"lost\":");
		line_u64(l, e->lost);
	}
	line_text(l, "}\n");
}

static void put(const struct entry *e)
{
	int patience = atomic_u64_quiet_load(&stalled, ORDER_RELAXED) ? 0 : LOG_PATIENCE_MS;
	int fd = (int)atomic_u64_quiet_load(&log_fd, ORDER_ACQUIRE);
	char text[LOG_LINE_BYTES + 1];
	struct line l;

	line_init(&l, text, sizeof(text));
	if (atomic_u64_quiet_load(&log_format, ORDER_RELAXED) == LOG_FORMAT_JSON)
		put_json(&l, e);
	else
		put_text(&l, e);

	bool done = os_write_patient(fd, l.text, l.used, patience);

	atomic_u64_quiet_store(&stalled, !done, ORDER_RELAXED);
	if (!done)
		atomic_u64_quiet_add(&lost, e->lost + 1, ORDER_RELAXED);
	metric_add(done ? &lines_written : &lines_lost, 1);
}

void log_write(struct log_site *site, enum log_level level, const char *format, ...)
{
	char text[LOG_TEXT_BYTES];
	struct entry e = {.site = site, .level = level, .text = text};
	va_list args;

	if (!take_token(site)) {
		atomic_u64_quiet_add(&site->suppressed, 1, ORDER_RELAXED);
		metric_add(&lines_suppressed, 1);
		return;
	}
	e.suppressed = take_count(&site->suppressed);
	e.lost = take_count(&lost);
	va_start(args, format);
	if (vsnprintf(text, sizeof(text), format, args) < 0)
		text[0] = '\0';
	va_end(args);
	put(&e);
}
