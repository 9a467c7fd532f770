#include "mem/grow.h"

#include "base/clock.h"
#include "base/diag.h"
#include "base/metrics.h"
#include "base/os.h"
#include "base/trace.h"
#include "mem/pool.h"
#include "mem/run.h"

METRIC_COUNTER(metric_grow_inline, "tarn_mem_grow_inline_total",
	       "Times that an allocation had to wait for memory from the system");
METRIC_COUNTER(metric_ahead, "tarn_mem_grow_ahead_total",
	       "Pieces of memory that were touched before they were asked for");
METRIC_COUNTER(metric_given_back, "tarn_mem_given_back_bytes_total",
	       "Bytes that were given back to the system");

#define AHEAD_BYTES_MIN ((uint64_t)4 << 20)
#define SLACK_BYTES_MIN ((uint64_t)4 << 20)
#define PURGE_RUN_PAGES 4u    /* shorter rows of free pages are not worth a call */
#define PURGE_PAGES     2048u /* in one step */

/* What the grower's word says: it sleeps on GROW_IDLE. */
enum { GROW_IDLE, GROW_KICKED, GROW_STOP };

static struct {
	struct atomic_u32 word;
	struct atomic_u32 high; /* a give-back is under way: no need to kick again */
	struct atomic_u64 inline_count;
	pthread_t thread;
	bool running;
} grower;

/* ---- watermarks ---- */

static uint64_t used_bytes(const struct mem_part *part)
{
	return part->pages_used * MEM_PAGE_BYTES;
}

static uint64_t resident_bytes(const struct mem_part *part)
{
	return (part->chunks_touched << CHUNK_SHIFT) - part->pages_absent * MEM_PAGE_BYTES;
}

/* How many whole chunks should be ready. The lock is held. */
static uint64_t ahead_chunks(const struct mem_part *part)
{
	uint64_t bytes = used_bytes(part) / 16;

	if (part->pages_used == 0 && part->kind == MEM_SHAREABLE)
		return 0; /* not everybody shares; the first who does pays */
	if (bytes < AHEAD_BYTES_MIN)
		bytes = AHEAD_BYTES_MIN;
	if (bytes > arena.config.ahead_bytes)
		bytes = arena.config.ahead_bytes;
	/* not the last of the limit, which others may need more */
	if (bytes > arena.config.limit_bytes / 16)
		bytes = arena.config.limit_bytes / 16;
	return bytes >> CHUNK_SHIFT;
}

/* Resident bytes that are more than used, ready and some slack. The lock is held. */
static uint64_t excess_bytes(const struct mem_part *part)
{
	uint64_t used = used_bytes(part);
	uint64_t slack = used / 16 > SLACK_BYTES_MIN ? used / 16 : SLACK_BYTES_MIN;
	uint64_t keep = used + slack + (ahead_chunks(part) << CHUNK_SHIFT);
	uint64_t resident = resident_bytes(part);

	return resident > keep ? resident - keep : 0;
}

void grow_kick(bool low, bool high)
{
	uint32_t idle = GROW_IDLE;

	if (likely(!low && !high) || !grower.running)
		return;
	if (!low && (atomic_u32_load(&grower.high, ORDER_RELAXED) ||
		     atomic_u32_exchange(&grower.high, 1, ORDER_RELAXED)))
		return;
	/* release: who is woken sees what we saw; one wake-up for all until it has looked */
	if (atomic_u32_cas(&grower.word, &idle, GROW_KICKED, ORDER_RELEASE))
		os_futex_wake(&grower.word, 1);
}

bool grow_low(const struct mem_part *part)
{
	return part->ready_count < (ahead_chunks(part) + 1) / 2;
}

bool grow_high(const struct mem_part *part)
{
	return excess_bytes(part) > 0;
}

void grow_count_inline(void)
{
	metric_add(&metric_grow_inline, 1);
	atomic_u64_add(&grower.inline_count, 1, ORDER_RELAXED);
}

uint64_t grow_inline_count(void)
{
	return atomic_u64_load(&grower.inline_count, ORDER_RELAXED);
}

/* ---- steps ---- */

/* Touches one chunk ahead where one is missing. Whether it did. */
static bool step_ahead(void)
{
	for (uint32_t i = 0; i < arena.part_count; i++) {
		struct mem_part *part = &arena.part[i];

		spinlock_lock(&part->lock);
		bool low = part->ready_count < ahead_chunks(part);
		spinlock_unlock(&part->lock);
		if (low && run_chunk_ahead(part)) {
			metric_add(&metric_ahead, 1);
			return true;
		}
	}
	return false;
}

static bool reap_all(bool all)
{
	bool any = false;

	for (uint32_t node = 0; node < arena.node_count; node++)
		for (uint32_t class = 1; class <= MEM_CLASS_RUN_LAST; class += 1)
			any |= pool_reap(pool_of(class, node), all);
	return any;
}

static uint64_t excess_of(struct mem_part *part)
{
	spinlock_lock(&part->lock);
	uint64_t excess = excess_bytes(part);
	spinlock_unlock(&part->lock);
	return excess;
}

/* Gives back one piece, or some pages, of a part that has too many. Whether it did. */
static bool step_give_back(void)
{
	for (uint32_t i = 0; i < arena.part_count; i++) {
		struct mem_part *part = &arena.part[i];
		uint64_t excess = excess_of(part);
		uint64_t before = atomic_u64_load(&arena.resident, ORDER_RELAXED);
		bool done = false;

		if (excess == 0)
			continue;
		spinlock_lock(&part->lock);
		bool spare = part->ready_count > ahead_chunks(part) ||
			     (!list_empty(&part->ready) && part->ready_count == 0);
		spinlock_unlock(&part->lock);
		if (spare)
			done = run_chunk_give_back(part);
		if (!done) {
			uint64_t pages = excess >> MEM_PAGE_SHIFT;

			done = run_purge(part, pages < PURGE_PAGES ? pages : PURGE_PAGES,
					 PURGE_RUN_PAGES) > 0;
		}
		if (done) {
			uint64_t after = atomic_u64_load(&arena.resident, ORDER_RELAXED);

			metric_add(&metric_given_back, before > after ? before - after : 0);
			return true;
		}
	}
	return false;
}

static bool any_excess(void)
{
	for (uint32_t i = 0; i < arena.part_count; i++)
		if (excess_of(&arena.part[i]) > 0)
			return true;
	return false;
}

bool mem_maintain(bool give_back)
{
	if (!arena.base)
		return false;
	if (step_ahead())
		return true;
	if (!give_back)
		return false;
	bool reaped = reap_all(false);

	return step_give_back() || reaped;
}

bool grow_reclaim(uint64_t bytes)
{
	uint64_t limit = arena.config.limit_bytes;
	bool any = reap_all(true);

	for (uint32_t i = 0; i < arena.part_count; i++) {
		struct mem_part *part = &arena.part[i];

		while (limit - atomic_u64_load(&arena.resident, ORDER_RELAXED) < bytes &&
		       run_chunk_give_back(part))
			any = true;
		while (limit - atomic_u64_load(&arena.resident, ORDER_RELAXED) < bytes &&
		       run_purge(part, PURGE_PAGES, 1) > 0)
			any = true;
	}
	TRACE("mem: reclaimed for %lu bytes: %lu", bytes, (uint64_t)any);
	return any;
}

/* ---- the thread ---- */

static bool stopping(void)
{
	return atomic_u32_load(&grower.word, ORDER_ACQUIRE) == GROW_STOP;
}

/*
 * Gives back what has been free for a while: waits, and if it is still too much lets it go step by
 * step. Kicks that ask for memory ahead are served in between.
 */
static void give_back_later(void)
{
	uint64_t deadline = clock_deadline(arena.config.give_back_ns);

	while (!stopping()) {
		uint32_t kicked = GROW_KICKED;

		while (step_ahead() && !stopping())
			;
		if (clock_ns() >= deadline)
			break;
		atomic_u32_cas(&grower.word, &kicked, GROW_IDLE, ORDER_ACQUIRE);
		os_futex_wait(&grower.word, GROW_IDLE, deadline);
	}
	/* the depots once more: what lay there unused during the wait */
	reap_all(false);
	while (!stopping() && any_excess() && step_give_back())
		;
	atomic_u32_store(&grower.high, 0, ORDER_RELAXED);
}

static void *grower_main(void *arg)
{
	(void)arg;
	while (!stopping()) {
		uint32_t kicked = GROW_KICKED;

		/* acquire, and before the look: a kick after it makes the sleep end at once */
		atomic_u32_cas(&grower.word, &kicked, GROW_IDLE, ORDER_ACQUIRE);
		while (step_ahead() && !stopping())
			;
		if (atomic_u32_load(&grower.high, ORDER_RELAXED))
			give_back_later();
		os_futex_wait(&grower.word, GROW_IDLE, CLOCK_NEVER);
	}
	return NULL;
}

struct status grow_start(void)
{
	atomic_u32_store(&grower.word, GROW_KICKED, ORDER_RELAXED);
	atomic_u32_store(&grower.high, 0, ORDER_RELAXED);
	atomic_u64_store(&grower.inline_count, 0, ORDER_RELAXED);
	grower.running = false;
	if (!arena.config.background)
		return OK;
	TRY(os_thread_start(grower_main, NULL, "tarn-mem", &grower.thread));
	grower.running = true;
	return OK;
}

void grow_stop(void)
{
	if (!grower.running)
		return;
	atomic_u32_store(&grower.word, GROW_STOP, ORDER_RELEASE);
	os_futex_wake(&grower.word, 1);
	os_thread_join(grower.thread);
	grower.running = false;
}
