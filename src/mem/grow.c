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
#define SLACK_BYTES_MIN ((uint64_t)1 << 20)
#define PURGE_RUN_PAGES 8u    /* a long row of free pages */
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

/* How many whole chunks are made ready when fewer than half of them are. The lock is held. */
static uint64_t ahead_chunks(const struct mem_part *part)
{
	uint64_t bytes = used_bytes(part) / 32;

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

/* How many whole chunks stay ready when memory is given back. */
static uint64_t kept_chunks(const struct mem_part *part)
{
	return (ahead_chunks(part) + 1) / 2;
}

/* Resident bytes that are more than used, kept ready and some slack. The lock is held. */
static uint64_t excess_bytes(const struct mem_part *part)
{
	uint64_t used = used_bytes(part);
	uint64_t slack = used / 128 > SLACK_BYTES_MIN ? used / 128 : SLACK_BYTES_MIN;
	uint64_t keep = used + slack + (kept_chunks(part) << CHUNK_SHIFT);
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
	/* at the limit there is nothing to be touched ahead, and nobody need be woken */
	return part->ready_count < kept_chunks(part) &&
	       arena.config.limit_bytes - atomic_u64_load(&arena.resident, ORDER_RELAXED) >=
		       CHUNK_BYTES;
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
		if (grow_low(part))
			part->filling = true;
		else if (part->ready_count >= ahead_chunks(part))
			part->filling = false;
		bool fill = part->filling;
		spinlock_unlock(&part->lock);
		if (fill && run_chunk_ahead(part)) {
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

/*
 * Gives back one piece, or some pages, of a part that has more than `keep` bytes too many. Returns
 * how many bytes.
 */
static uint64_t part_give_back(struct mem_part *part, uint64_t keep)
{
	uint64_t excess = excess_of(part);
	uint64_t before = atomic_u64_load(&arena.resident, ORDER_RELAXED);
	bool done;

	if (excess <= keep)
		return 0;
	spinlock_lock(&part->lock);
	uint64_t kept = kept_chunks(part);
	part->filling = false;
	spinlock_unlock(&part->lock);
	done = run_chunk_give_back(part, kept);
	if (!done) {
		uint64_t pages = (excess - keep + MEM_PAGE_BYTES - 1) >> MEM_PAGE_SHIFT;

		pages = pages < PURGE_PAGES ? pages : PURGE_PAGES;
		/* long rows first: they cost the fewest calls and mappings */
		done = run_purge(part, pages, PURGE_RUN_PAGES) > 0 || run_purge(part, pages, 1) > 0;
	}
	if (!done)
		return 0;

	uint64_t after = atomic_u64_load(&arena.resident, ORDER_RELAXED);
	uint64_t bytes = before > after ? before - after : 1;

	metric_add(&metric_given_back, bytes);
	return bytes;
}

bool mem_maintain(bool give_back)
{
	if (!arena.base)
		return false;
	if (step_ahead())
		return true;
	if (!give_back)
		return false;
	bool more = reap_all(false);

	for (uint32_t i = 0; i < arena.part_count && !more; i++)
		more = part_give_back(&arena.part[i], 0) > 0;
	return more;
}

/* What could be taken without passing the limit if all free memory were given back. */
static uint64_t within_reach(void)
{
	uint64_t reach = arena.config.limit_bytes - atomic_u64_load(&arena.resident, ORDER_RELAXED);

	for (uint32_t i = 0; i < arena.part_count; i++) {
		struct mem_part *part = &arena.part[i];

		spinlock_lock(&part->lock);
		reach += resident_bytes(part) - used_bytes(part);
		spinlock_unlock(&part->lock);
	}
	return reach;
}

bool grow_reclaim(uint64_t bytes)
{
	uint64_t limit = arena.config.limit_bytes;
	/* a small request may need a chunk of its own */
	uint64_t want = (bytes + CHUNK_BYTES - 1) & ~(uint64_t)(CHUNK_BYTES - 1);
	bool any = reap_all(true);

	/* a hopeless request must not cost a walk over all chunks */
	if (within_reach() < bytes)
		return any;
	for (uint32_t i = 0; i < arena.part_count; i++) {
		struct mem_part *part = &arena.part[i];

		while (limit - atomic_u64_load(&arena.resident, ORDER_RELAXED) < want &&
		       run_chunk_give_back(part, 0))
			any = true;
		while (limit - atomic_u64_load(&arena.resident, ORDER_RELAXED) < want &&
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

/* What each part has handed out so far, in pages. */
static void note_taken(uint64_t *ret_taken)
{
	for (uint32_t i = 0; i < arena.part_count; i++) {
		struct mem_part *part = &arena.part[i];

		spinlock_lock(&part->lock);
		ret_taken[i] = part->pages_taken;
		spinlock_unlock(&part->lock);
	}
}

/*
 * Gives back what is free beyond what was taken from the part since `before`: free pages that a
 * busy part will want again within the next period stay. Whether it is worth to come back.
 */
static bool give_back_unneeded(const uint64_t *before)
{
	uint64_t now[PARTS_MAX];
	bool busy = false;

	note_taken(now);
	for (uint32_t i = 0; i < arena.part_count; i++) {
		struct mem_part *part = &arena.part[i];
		uint64_t keep = (now[i] - before[i]) << MEM_PAGE_SHIFT;

		while (!stopping() && part_give_back(part, keep) > 0)
			;
		busy |= keep > 0 && excess_of(part) > 0;
	}
	return busy;
}

/* Sleeps until the deadline; serves those who need memory ahead in between. */
static void sleep_until(uint64_t deadline)
{
	while (!stopping()) {
		uint32_t kicked = GROW_KICKED;

		/* acquire, and before the look: a kick after it makes the sleep end at once */
		atomic_u32_cas(&grower.word, &kicked, GROW_IDLE, ORDER_ACQUIRE);
		while (step_ahead() && !stopping())
			;
		if (deadline != CLOCK_NEVER ? clock_ns() >= deadline
					    : atomic_u32_load(&grower.high, ORDER_RELAXED))
			return;
		os_futex_wait(&grower.word, GROW_IDLE, deadline);
	}
}

static void *grower_main(void *arg)
{
	uint64_t taken[PARTS_MAX];

	(void)arg;
	while (!stopping()) {
		bool again = true;

		sleep_until(CLOCK_NEVER);
		while (again && !stopping()) {
			note_taken(taken);
			sleep_until(clock_deadline(arena.config.give_back_ns));
			if (stopping())
				break;
			again = reap_all(false);
			again |= give_back_unneeded(taken);
		}
		/* relaxed: whoever sees it late kicks at the next free */
		atomic_u32_store(&grower.high, 0, ORDER_RELAXED);
	}
	return NULL;
}

struct status grow_start(void)
{
	atomic_u32_store(&grower.word, GROW_KICKED, ORDER_RELAXED);
	atomic_u32_store(&grower.high, 0, ORDER_RELAXED);
	atomic_u64_store(&grower.inline_count, 0, ORDER_RELAXED);
	grower.running = false;
	/* under the simulator there are no threads but its own */
	if (!arena.config.background || TARN_SIM)
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
