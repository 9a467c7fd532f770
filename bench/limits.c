#include "bench/limits.h"

#include "base/atomic.h"
#include "base/diag.h"
#include "bench/limits_int.h"

#include <linux/futex.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define KIB ((uint64_t)1024)
#define MIB (1024 * KIB)

/* ---- threads --------------------------------------------------------------------------------- */

static void *thread_main(void *arg)
{
	struct limits_thread *t = arg;

	t->main(t->arg);
	return NULL;
}

struct status limits_thread_start(struct limits_thread *t)
{
	const struct bench_settings *settings = t->settings;
	pthread_attr_t attr;
	cpu_set_t set;
	int error;

	/* bound from the start: on its creator's processor it would wait until that one rests */
	CPU_ZERO(&set);
	CPU_SET(settings->cpus[t->index % settings->cores], &set);
	pthread_attr_init(&attr);
	pthread_attr_setaffinity_np(&attr, sizeof(set), &set);
	error = pthread_create(&t->handle, &attr, thread_main, t);
	pthread_attr_destroy(&attr);
	if (error)
		return fail_errno(error, "limits: starting a thread");
	return OK;
}

void limits_thread_join(struct limits_thread *t)
{
	pthread_join(t->handle, NULL);
}

static struct status need_two_processors(const struct bench_round *round)
{
	if (round->settings->cores < 2)
		return fail(STATUS_UNSUPPORTED, "needs two processors, this process may use one");
	return OK;
}

/* ---- cache-line hand-over -------------------------------------------------------------------- */

#define HANDOVER_BATCH       100
#define HANDOVER_SAMPLES_MAX 65536

struct handover {
	struct atomic_u64 CACHE_ALIGNED ball; /* odd: the far side's turn */
	struct atomic_u32 CACHE_ALIGNED stop;
};

static void handover_far(void *arg)
{
	struct handover *h = arg;
	uint64_t turn = 1;

	for (;;) {
		while (atomic_u64_load(&h->ball, ORDER_ACQUIRE) != turn) {
			if (atomic_u32_load(&h->stop, ORDER_RELAXED))
				return;
		}
		atomic_u64_store(&h->ball, turn + 1, ORDER_RELEASE);
		turn += 2;
	}
}

/* Hands the line over and back HANDOVER_BATCH times; returns the time of one way in nanoseconds. */
static double handover_batch(struct handover *h, uint64_t *turn)
{
	uint64_t start = clock_ns();

	for (uint32_t i = 0; i < HANDOVER_BATCH; i++) {
		atomic_u64_store(&h->ball, ++*turn, ORDER_RELEASE);
		while (atomic_u64_load(&h->ball, ORDER_ACQUIRE) == *turn)
			;
		++*turn;
	}
	return (double)(clock_ns() - start) / (2 * HANDOVER_BATCH);
}

struct status limits_handover(struct bench_round *round)
{
	static double samples[HANDOVER_SAMPLES_MAX];
	struct handover h = {0};
	struct limits_thread far = {
		.settings = round->settings, .index = 1, .main = handover_far, .arg = &h};
	uint64_t start = clock_ns();
	uint64_t turn = 0;
	size_t count = 0;

	TRY(need_two_processors(round));
	bench_pin(round->settings, 0);
	TRY(limits_thread_start(&far));
	(void)handover_batch(&h, &turn); /* the far side is now running */
	/* the median of short batches: one that another process interrupted does not count */
	do
		samples[count++] = handover_batch(&h, &turn);
	while (count < HANDOVER_SAMPLES_MAX && clock_ns() - start < round->budget_ns);
	atomic_u32_store(&h.stop, 1, ORDER_RELAXED);
	limits_thread_join(&far);
	bench_record(round, BENCH_NS, bench_quantile(samples, count, 0.5));
	return OK;
}

/* ---- what costs a call ----------------------------------------------------------------------- */

struct status limits_syscall(struct bench_round *round)
{
	uint64_t start = clock_ns();
	uint64_t calls = 0;
	uint64_t took;

	do {
		for (uint32_t i = 0; i < 1000; i++)
			(void)syscall(SYS_getppid);
		calls += 1000;
		took = clock_ns() - start;
	} while (took < round->budget_ns);
	bench_record(round, BENCH_NS, (double)took / (double)calls);
	return OK;
}

/* param[0]: 0 the cycle counter, 1 clock_gettime */
static struct status clock_read(struct bench_round *round)
{
	uint64_t start = clock_ns();
	uint64_t calls = 0;
	uint64_t took;

	do {
		struct timespec now;

		for (uint32_t i = 0; i < 1000; i++) {
			uint64_t cycles;

			if (round->which->param[0] == 0) {
				cycles = clock_cycles();
				bench_keep(&cycles);
			} else {
				clock_gettime(CLOCK_MONOTONIC, &now);
				bench_keep(&now);
			}
		}
		calls += 1000;
		took = clock_ns() - start;
	} while (took < round->budget_ns);
	bench_record(round, BENCH_NS, (double)took / (double)calls);
	return OK;
}

/* ---- waking a sleeper ------------------------------------------------------------------------ */

#define WAKE_SAMPLES_MAX 4096
#define WAKE_IDLE_NS     (200 * NS_PER_US)

enum { WAKE_ASLEEP = 0, WAKE_CALLED = 1, WAKE_STOP = 2 };

struct wake {
	struct atomic_u32 CACHE_ALIGNED word;
	struct atomic_u64 CACHE_ALIGNED woken_at; /* 0 until the sleeper runs */
};

static void futex(struct atomic_u32 *word, int operation, uint32_t value)
{
	(void)syscall(SYS_futex, word, operation | FUTEX_PRIVATE_FLAG, value, NULL, NULL, 0);
}

static void wake_sleeper(void *arg)
{
	struct wake *w = arg;

	for (;;) {
		uint32_t word = atomic_u32_load(&w->word, ORDER_ACQUIRE);

		if (word == WAKE_STOP)
			return;
		if (word == WAKE_CALLED) {
			uint64_t now = clock_ns();

			atomic_u32_store(&w->word, WAKE_ASLEEP, ORDER_RELAXED);
			atomic_u64_store(&w->woken_at, now, ORDER_RELEASE);
			continue;
		}
		futex(&w->word, FUTEX_WAIT, WAKE_ASLEEP);
	}
}

/* One wake-up, in nanoseconds. Spins meanwhile: sleeping would add the waker's own slowness. */
static double wake_once(struct wake *w)
{
	uint64_t called = clock_ns() + WAKE_IDLE_NS;
	uint64_t woken;

	while (clock_ns() < called)
		;
	atomic_u64_store(&w->woken_at, 0, ORDER_RELAXED);
	called = clock_ns();
	atomic_u32_store(&w->word, WAKE_CALLED, ORDER_RELEASE);
	futex(&w->word, FUTEX_WAKE, 1);
	do
		woken = atomic_u64_load(&w->woken_at, ORDER_ACQUIRE);
	while (woken == 0);
	return woken > called ? (double)(woken - called) : 0;
}

struct status limits_futex_wake(struct bench_round *round)
{
	static double samples[WAKE_SAMPLES_MAX];
	struct wake w = {0};
	struct limits_thread sleeper = {
		.settings = round->settings, .index = 1, .main = wake_sleeper, .arg = &w};
	uint64_t start = clock_ns();
	size_t count = 0;

	TRY(need_two_processors(round));
	bench_pin(round->settings, 0);
	TRY(limits_thread_start(&sleeper));
	do
		samples[count++] = wake_once(&w);
	while (count < WAKE_SAMPLES_MAX && clock_ns() - start < round->budget_ns);
	atomic_u32_store(&w.word, WAKE_STOP, ORDER_RELEASE);
	futex(&w.word, FUTEX_WAKE, 1);
	limits_thread_join(&sleeper);
	bench_record(round, BENCH_NS, bench_quantile(samples, count, 0.5));
	bench_record(round, BENCH_P99_NS, bench_quantile(samples, count, 0.99));
	return OK;
}

/* ---- copying --------------------------------------------------------------------------------- */

struct copier {
	struct limits_thread thread;
	char *from;
	char *to;
	size_t bytes;
	uint64_t budget_ns;
	double rate; /* bytes per second */
};

static void copier_main(void *arg)
{
	struct copier *c = arg;
	size_t block = c->bytes < MIB ? c->bytes : MIB;
	uint64_t copied = 0;
	uint64_t start;
	uint64_t took;
	size_t at = 0;

	start = clock_ns();
	do {
		memcpy(c->to + at, c->from + at, block);
		bench_keep(c->to + at);
		copied += block;
		at = at + 2 * block <= c->bytes ? at + block : 0;
		took = clock_ns() - start;
	} while (took < c->budget_ns);
	c->rate = (double)copied * 1e9 / (double)took;
}

/* Anonymous memory that is there already; NULL if there is none. */
static char *touched_memory(size_t bytes)
{
	char *memory =
		mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (memory == MAP_FAILED)
		return NULL;
	(void)madvise(memory, bytes, MADV_HUGEPAGE); /* a help, not a need */
	memset(memory, 0x5a, bytes);
	return memory;
}

/* Two buffers of at least `bytes`, kept from round to round: touching them takes longer than
 * measuring. False if there is no memory. */
static bool copy_buffers(size_t bytes, char **ret_from, char **ret_to)
{
	static char *from;
	static char *to;
	static size_t have;

	if (have < bytes) {
		if (from)
			munmap(from, have);
		if (to)
			munmap(to, have);
		have = bytes;
		from = touched_memory(bytes);
		to = touched_memory(bytes);
	}
	*ret_from = from;
	*ret_to = to;
	return from && to;
}

double limits_copy(const struct bench_settings *settings, size_t bytes, uint32_t threads,
		   uint64_t budget_ns)
{
	struct copier *copiers = calloc(threads, sizeof(*copiers));
	size_t share = bytes / threads;
	uint32_t started = 1;
	double rate = 0;
	char *from;
	char *to;

	if (!copiers || !copy_buffers(bytes, &from, &to)) {
		free(copiers);
		return 0;
	}
	for (uint32_t i = 0; i < threads; i++) {
		struct copier *c = &copiers[i];

		c->thread = (struct limits_thread){
			.settings = settings, .index = i, .main = copier_main, .arg = c};
		c->from = from + i * share;
		c->to = to + i * share;
		c->bytes = share;
		c->budget_ns = budget_ns;
	}
	/* the caller is the first copier, the others are threads; they measure side by side but for
	 * the moment that a start takes */
	while (started < threads && status_ok(limits_thread_start(&copiers[started].thread)))
		started++;
	bench_pin(settings, 0);
	copier_main(&copiers[0]);
	for (uint32_t i = 0; i < started; i++) {
		if (i > 0)
			limits_thread_join(&copiers[i].thread);
		rate += copiers[i].rate;
	}
	free(copiers);
	return rate;
}

/* param[0]: bytes in all per thread, or of all threads if param[2]; param[1]: 0 all processors */
static struct status copy_round(struct bench_round *round)
{
	const uint64_t *param = round->which->param;
	uint32_t threads = param[1] ? (uint32_t)param[1] : round->settings->cores;
	size_t bytes = param[2] ? param[0] : param[0] * threads;
	double rate = limits_copy(round->settings, bytes, threads, round->budget_ns);

	if (rate == 0)
		return fail(STATUS_NO_MEMORY, "limits: no memory for two buffers of %zu bytes",
			    bytes);
	bench_record(round, BENCH_BYTES_PER_S, rate);
	return OK;
}

/* ---- first touch of a page ------------------------------------------------------------------- */

static bool huge_pages_refused(void)
{
	char text[64] = "";
	FILE *f = fopen("/sys/kernel/mm/transparent_hugepage/enabled", "re");
	bool never = !f || !fgets(text, sizeof(text), f) || strstr(text, "[never]") != NULL;

	if (f)
		fclose(f);
	return never;
}

/* param[0]: bytes per page */
static struct status page_touch(struct bench_round *round)
{
	size_t page = round->which->param[0];
	size_t bytes = page >= 2 * MIB ? 64 * MIB : 8 * MIB;
	uint64_t took = 0;
	uint64_t pages = 0;

	if (page >= 2 * MIB && huge_pages_refused())
		return fail(STATUS_UNSUPPORTED, "transparent huge pages are off");
	do {
		char *memory = mmap(NULL, bytes + page, PROT_READ | PROT_WRITE,
				    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		char *first;
		uint64_t start;

		if (memory == MAP_FAILED)
			return fail(STATUS_NO_MEMORY, "limits: no memory for %zu bytes", bytes);
		first = memory + (page - (uintptr_t)memory % page) % page;
		(void)madvise(memory, bytes + page,
			      page >= 2 * MIB ? MADV_HUGEPAGE : MADV_NOHUGEPAGE);
		start = clock_ns();
		for (size_t at = 0; at < bytes; at += page)
			((volatile char *)first)[at] = 1;
		took += clock_ns() - start;
		pages += bytes / page;
		munmap(memory, bytes + page);
	} while (took < round->budget_ns);
	bench_record(round, BENCH_NS, (double)took / (double)pages);
	return OK;
}

/* ---- the table ------------------------------------------------------------------------------- */

static const struct bench_case cases[] = {
	{.name = "copy_hot_1",
	 .about = "memcpy of 256 KiB that is in the caches, one processor",
	 .headline = BENCH_BYTES_PER_S,
	 .sides = {{BENCH_OURS, NULL, copy_round}},
	 .param = {256 * KIB, 1}},
	{.name = "copy_hot_all",
	 .about = "the same on all processors at once, 256 KiB each",
	 .headline = BENCH_BYTES_PER_S,
	 .sides = {{BENCH_OURS, NULL, copy_round}},
	 .param = {256 * KIB, 0}},
	{.name = "copy_cold_1",
	 .about = "memcpy of 512 MiB in blocks of 1 MiB, one processor",
	 .headline = BENCH_BYTES_PER_S,
	 .sides = {{BENCH_OURS, NULL, copy_round}},
	 .param = {512 * MIB, 1, 1}},
	{.name = "copy_cold_all",
	 .about = "the same on all processors at once, 512 MiB in all",
	 .headline = BENCH_BYTES_PER_S,
	 .sides = {{BENCH_OURS, NULL, copy_round}},
	 .param = {512 * MIB, 0, 1}},
	{.name = "handover",
	 .about = "a cache line from one processor to another, one way",
	 .headline = BENCH_NS,
	 .sides = {{BENCH_OURS, NULL, limits_handover}}},
	{.name = "syscall",
	 .about = "a system call that does nothing",
	 .headline = BENCH_NS,
	 .sides = {{BENCH_OURS, NULL, limits_syscall}}},
	{.name = "wake",
	 .about = "futex wake to running on a sleeping processor, one way",
	 .headline = BENCH_NS,
	 .sides = {{BENCH_OURS, NULL, limits_futex_wake}}},
	{.name = "clock_cycles",
	 .about = "reading the cycle counter",
	 .headline = BENCH_NS,
	 .sides = {{BENCH_OURS, NULL, clock_read}}},
	{.name = "clock_gettime",
	 .about = "reading the system's monotonic clock",
	 .headline = BENCH_NS,
	 .sides = {{BENCH_OURS, NULL, clock_read}},
	 .param = {1}},
	{.name = "touch_4k",
	 .about = "first touch of a page of 4 KiB",
	 .headline = BENCH_NS,
	 .sides = {{BENCH_OURS, NULL, page_touch}},
	 .param = {4 * KIB}},
	{.name = "touch_2m",
	 .about = "first touch of a transparent huge page of 2 MiB",
	 .headline = BENCH_NS,
	 .sides = {{BENCH_OURS, NULL, page_touch}},
	 .param = {2 * MIB}},
	{.name = "tcp_round_trip",
	 .about = "64 bytes over loopback TCP and back, both ends sleep",
	 .headline = BENCH_NS,
	 .sides = {{BENCH_OURS, NULL, limits_tcp_round_trip}},
	 .param = {64, 0}},
	{.name = "tcp_round_trip_spin",
	 .about = "the same, both ends poll the socket",
	 .headline = BENCH_NS,
	 .sides = {{BENCH_OURS, NULL, limits_tcp_round_trip}},
	 .param = {64, 1}},
	{.name = "tcp_stream",
	 .about = "one loopback TCP connection, sends of 256 KiB",
	 .headline = BENCH_BYTES_PER_S,
	 .sides = {{BENCH_OURS, NULL, limits_tcp_stream}},
	 .param = {256 * KIB}},
	{.name = "disk_randread_4k_qd1",
	 .about = "direct reads of 4 KiB in --data, one at a time",
	 .headline = BENCH_OPS_PER_S,
	 .setup = limits_disk_setup,
	 .sides = {{BENCH_OURS, NULL, limits_disk}},
	 .param = {4 * KIB, 1, 0, 1}},
	{.name = "disk_randread_4k_qd32",
	 .about = "direct reads of 4 KiB, 32 at a time",
	 .headline = BENCH_OPS_PER_S,
	 .setup = limits_disk_setup,
	 .sides = {{BENCH_OURS, NULL, limits_disk}},
	 .param = {4 * KIB, 32, 0, 1}},
	{.name = "disk_randwrite_4k_qd32",
	 .about = "direct writes of 4 KiB, 32 at a time",
	 .headline = BENCH_OPS_PER_S,
	 .setup = limits_disk_setup,
	 .sides = {{BENCH_OURS, NULL, limits_disk}},
	 .param = {4 * KIB, 32, 1, 1}},
	{.name = "disk_seqread",
	 .about = "direct reads of 1 MiB in order, 4 at a time",
	 .headline = BENCH_BYTES_PER_S,
	 .setup = limits_disk_setup,
	 .sides = {{BENCH_OURS, NULL, limits_disk}},
	 .param = {MIB, 4, 0, 0}},
	{.name = "disk_seqwrite",
	 .about = "direct writes of 1 MiB in order, 4 at a time",
	 .headline = BENCH_BYTES_PER_S,
	 .setup = limits_disk_setup,
	 .sides = {{BENCH_OURS, NULL, limits_disk}},
	 .param = {MIB, 4, 1, 0}},
	{.name = NULL},
};

const struct bench bench_limits = {"limits", "what this machine can do at best", cases};
