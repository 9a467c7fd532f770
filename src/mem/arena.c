#include "mem/arena.h"

#include "base/assert.h"
#include "base/diag.h"
#include "base/machine.h"
#include "base/os.h"
#include "base/trace.h"
#include "mem/pages.h"
#include "mem/poison.h"

#include <string.h>

#define BYTES_1G ((uint64_t)1 << 30)

#define RESERVE_BYTES_DEFAULT (64 * BYTES_1G)

struct arena arena = {.pieces_lock = PTHREAD_MUTEX_INITIALIZER};
struct mem_map mem_map;

/* ---- limit ---- */

bool arena_limit_take(uint64_t bytes)
{
	uint64_t now = atomic_u64_load(&arena.resident, ORDER_RELAXED);

	do {
		if (bytes > arena.config.limit_bytes - now)
			return false;
		/* relaxed: a count, it publishes nothing */
	} while (!atomic_u64_cas(&arena.resident, &now, now + bytes, ORDER_RELAXED));
	return true;
}

void arena_limit_give(uint64_t bytes)
{
	uint64_t before = atomic_u64_add(&arena.resident, -bytes, ORDER_RELAXED);

	ASSERT(before >= bytes);
}

struct status arena_limit_reached(void)
{
	return fail(STATUS_NO_MEMORY, "memory limit of %llu MiB reached: raise --memory",
		    (unsigned long long)(arena.config.limit_bytes >> 20));
}

/* ---- pieces ---- */

static struct mem_piece piece_of(const struct mem_part *part, size_t first, size_t count)
{
	bool second = part->chunks[first].fallback;

	return (struct mem_piece){
		.base = part->base + (first << CHUNK_SHIFT),
		.bytes = count << CHUNK_SHIFT,
		.fd = second ? part->fd_second : part->fd,
		.offset = (uint64_t)first << CHUNK_SHIFT,
	};
}

/* The length in chunks of the piece that begins at touched chunk `first`. */
static size_t piece_chunks(const struct mem_part *part, size_t first)
{
	return chunk_in_group(part, &part->chunks[first]) ? GROUP_CHUNKS : 1;
}

/* Says that a piece has memory or has none. pieces_lock is held. */
static void piece_mark(struct mem_part *part, size_t first, size_t count, bool touched)
{
	spinlock_lock(&part->lock);
	for (size_t i = 0; i < count; i++)
		part->chunks[first + i].touched = touched;
	part->chunks_touched = touched ? part->chunks_touched + count
				       : part->chunks_touched - count;
	spinlock_unlock(&part->lock);
}

/*
 * Tells all subscribers of a piece that comes and marks it as touched. pieces_lock is taken in
 * here, so that whoever subscribes meanwhile hears of the piece either from us or from the replay.
 */
static struct status piece_add(struct mem_part *part, size_t first, size_t count)
{
	struct mem_piece piece = piece_of(part, first, count);
	struct status status = OK;
	struct list *l;

	pthread_mutex_lock(&arena.pieces_lock);
	for (l = arena.subscribers.next; l != &arena.subscribers; l = l->next) {
		struct subscriber *s = CONTAINER_OF(l, struct subscriber, link);

		if (s->kind != part->kind)
			continue;
		status = s->callbacks->on_add(s->ctx, &piece);
		if (!status_ok(status))
			break;
	}
	if (status_ok(status)) {
		piece_mark(part, first, count, true);
	} else {
		for (l = l->prev; l != &arena.subscribers; l = l->prev) {
			struct subscriber *s = CONTAINER_OF(l, struct subscriber, link);

			if (s->kind == part->kind)
				s->callbacks->on_remove(s->ctx, &piece);
		}
	}
	pthread_mutex_unlock(&arena.pieces_lock);
	return status;
}

/* Asks all subscribers to let a piece go; if one refuses, those asked before get it again. */
static bool piece_remove(struct mem_part *part, size_t first, size_t count)
{
	struct mem_piece piece = piece_of(part, first, count);
	bool agreed = true;
	struct list *l;

	pthread_mutex_lock(&arena.pieces_lock);
	for (l = arena.subscribers.next; l != &arena.subscribers && agreed; l = l->next) {
		struct subscriber *s = CONTAINER_OF(l, struct subscriber, link);

		if (s->kind == part->kind)
			agreed = s->callbacks->on_remove(s->ctx, &piece);
	}
	if (agreed) {
		piece_mark(part, first, count, false);
	} else {
		/* l stands behind the one that refused */
		for (l = l->prev->prev; l != &arena.subscribers; l = l->prev) {
			struct subscriber *s = CONTAINER_OF(l, struct subscriber, link);

			/* what it had a moment ago and cannot have again, it goes without */
			if (s->kind == part->kind)
				status_ignore(s->callbacks->on_add(s->ctx, &piece));
		}
	}
	pthread_mutex_unlock(&arena.pieces_lock);
	return agreed;
}

/* Takes a piece back that was just told of, because another could not be had. */
static void piece_withdraw(struct mem_part *part, size_t first, size_t count)
{
	struct mem_piece piece = piece_of(part, first, count);

	pthread_mutex_lock(&arena.pieces_lock);
	list_for_each (l, &arena.subscribers) {
		struct subscriber *s = CONTAINER_OF(l, struct subscriber, link);

		if (s->kind == part->kind)
			s->callbacks->on_remove(s->ctx, &piece);
	}
	piece_mark(part, first, count, false);
	pthread_mutex_unlock(&arena.pieces_lock);
}

/* The end of the chunks that were ever touched. */
static size_t part_fresh(struct mem_part *part)
{
	spinlock_lock(&part->lock);
	size_t fresh = part->fresh;
	spinlock_unlock(&part->lock);
	return fresh;
}

/*
 * Calls on_add() (`add`) or on_remove() for each piece of the kind in parts [0, part_end), and in
 * part `part_end` for those before `chunk_end`. Stops at the first that on_add() refuses, and says
 * where. pieces_lock is held: no piece comes or goes.
 */
static struct status pieces_tell(struct subscriber *s, bool add, uint32_t *part_end,
				 size_t *chunk_end)
{
	for (uint32_t p = 0; p <= *part_end && p < arena.part_count; p++) {
		struct mem_part *part = &arena.part[p];
		size_t fresh = part_fresh(part);
		size_t end = p < *part_end || *chunk_end > fresh ? fresh : *chunk_end;

		for (size_t i = 0; i < end && part->kind == s->kind;) {
			size_t count = part->chunks[i].touched ? piece_chunks(part, i) : 1;
			struct mem_piece piece = piece_of(part, i, count);
			struct status status = OK;

			if (part->chunks[i].touched && add)
				status = s->callbacks->on_add(s->ctx, &piece);
			else if (part->chunks[i].touched)
				s->callbacks->on_remove(s->ctx, &piece);
			if (!status_ok(status)) {
				*part_end = p;
				*chunk_end = i;
				return status;
			}
			i += count;
		}
	}
	return OK;
}

/* on_remove() for each piece of the kind. pieces_lock is held. */
static void pieces_withdraw(struct subscriber *s)
{
	uint32_t part_end = arena.part_count;
	size_t chunk_end = 0;

	status_ignore(pieces_tell(s, false, &part_end, &chunk_end)); /* removing cannot fail */
}

/* on_add() for each piece of the kind; all or none. pieces_lock is held. */
static struct status pieces_replay(struct subscriber *s)
{
	uint32_t part_end = arena.part_count;
	size_t chunk_end = 0;
	struct status status = pieces_tell(s, true, &part_end, &chunk_end);

	if (!status_ok(status))
		status_ignore(pieces_tell(s, false, &part_end, &chunk_end));
	return status;
}

static struct list subscriber_free;
static struct subscriber subscriber_store[32];

static struct subscriber *subscriber_find(enum mem_kind kind, struct mem_subscription *callbacks,
					  void *ctx)
{
	list_for_each (l, &arena.subscribers) {
		struct subscriber *s = CONTAINER_OF(l, struct subscriber, link);

		if (s->kind == kind && s->callbacks == callbacks && s->ctx == ctx)
			return s;
	}
	return NULL;
}

struct status mem_subscribe(enum mem_kind kind, struct mem_subscription *callbacks, void *ctx)
{
	struct status status = OK;

	if (!arena.base)
		return fail(STATUS_INVALID, "memory is not started: call mem_start() first");
	pthread_mutex_lock(&arena.pieces_lock);
	struct list *l = list_pop(&subscriber_free);
	if (!l) {
		status = fail(STATUS_LIMIT, "%zu subscribers to memory are the most",
			      ARRAY_SIZE(subscriber_store));
	} else {
		struct subscriber *s = CONTAINER_OF(l, struct subscriber, link);

		s->kind = kind;
		s->callbacks = callbacks;
		s->ctx = ctx;
		/* before the replay: pages that a piece has when it is told of must stay */
		if (!callbacks->tolerates_purge)
			atomic_u32_add(&arena.subscriber_count[kind], 1, ORDER_SEQ_CST);
		status = pieces_replay(s);
		if (status_ok(status)) {
			list_append(&arena.subscribers, &s->link);
		} else {
			list_append(&subscriber_free, &s->link);
			if (!callbacks->tolerates_purge)
				atomic_u32_add(&arena.subscriber_count[kind], (uint32_t)-1,
					       ORDER_SEQ_CST);
		}
	}
	pthread_mutex_unlock(&arena.pieces_lock);
	return status;
}

void mem_unsubscribe(enum mem_kind kind, struct mem_subscription *callbacks, void *ctx)
{
	pthread_mutex_lock(&arena.pieces_lock);
	struct subscriber *s = subscriber_find(kind, callbacks, ctx);
	ASSERT(s);
	list_remove(&s->link);
	pieces_withdraw(s);
	list_append(&subscriber_free, &s->link);
	if (!callbacks->tolerates_purge)
		atomic_u32_add(&arena.subscriber_count[kind], (uint32_t)-1, ORDER_SEQ_CST);
	pthread_mutex_unlock(&arena.pieces_lock);
}

/* ---- memory comes ---- */

/* Gives the memory of chunks of one backing back; false: the kernel refused. */
static bool chunks_empty(struct mem_part *part, size_t first, size_t count, bool second)
{
	char *at = part->base + (first << CHUNK_SHIFT);
	size_t bytes = count << CHUNK_SHIFT;
	int fd = second ? part->fd_second : part->fd;
	struct status status = fd >= 0 ? os_file_punch(fd, first << CHUNK_SHIFT, bytes)
				       : os_discard(at, bytes);

	return status_ok(status);
}

/* The same in the wake of a failure, whose detail is the one to be told. */
static void chunks_empty_again(struct mem_part *part, size_t first, size_t count, bool second)
{
	struct diag kept = *diag_self();

	chunks_empty(part, first, count, second);
	*diag_self() = kept;
}

/* Asks the kernel for the memory of chunks that have none, all of one backing. */
static struct status chunks_fill(struct mem_part *part, size_t first, size_t count, bool second)
{
	char *at = part->base + (first << CHUNK_SHIFT);
	size_t bytes = count << CHUNK_SHIFT;

	if ((second ? part->fd_second : part->fd) < 0) {
		TRY(os_commit(at, bytes));
		/* without huge pages it is slower, not wrong */
		if ((second ? part->second : part->backing) == MEM_BACKING_THP)
			status_ignore(os_advise_huge(at, bytes));
	}

	/* not left to the first touch: where memory has run out that would be a signal */
	struct status status = os_populate(at, bytes);

	/* what a failed call has taken is not given back by it */
	if (!status_ok(status))
		chunks_empty_again(part, first, count, second);
	return status;
}

/*
 * Puts the second backing under chunks without memory, because the pool of the first has run out.
 * A page of 1 GiB cannot be mapped over in part, so all chunks of its group change together.
 */
static struct status fall_back(struct mem_part *part, size_t first, size_t count)
{
	struct status status = OK;

	if (part->backing == MEM_BACKING_HUGE_1G) {
		first = first / GROUP_CHUNKS * GROUP_CHUNKS;
		count = GROUP_CHUNKS;
	}
	pthread_mutex_lock(&arena.pieces_lock);
	/* somebody with another chunk of the group may have been here before */
	if (!part->chunks[first].fallback) {
		char *at = part->base + (first << CHUNK_SHIFT);
		size_t bytes = count << CHUNK_SHIFT;

		if (part->kind == MEM_SHAREABLE && part->fd_second < 0)
			status = os_memfd("tarn-shareable-4k", 0, part->chunk_count << CHUNK_SHIFT,
					  &part->fd_second);
		if (status_ok(status) && part->fd_second >= 0)
			status = pages_map_file(part->fd_second, first << CHUNK_SHIFT, at, bytes);
		else if (status_ok(status))
			status = pages_reserve_again(at, bytes);
		spinlock_lock(&part->lock);
		for (size_t i = first; i < first + count && status_ok(status); i++)
			part->chunks[i].fallback = true;
		spinlock_unlock(&part->lock);
	}
	pthread_mutex_unlock(&arena.pieces_lock);
	return status;
}

/* Gives chunks [first, first + count), BUSY and without memory, memory: one piece or `count`. */
static struct status chunks_commit(struct mem_part *part, size_t first, size_t count, bool group,
				   bool second)
{
	TRY(chunks_fill(part, first, count, second));
	poison_range(part->base + (first << CHUNK_SHIFT), count << CHUNK_SHIFT);
	if (group) {
		struct status status = piece_add(part, first, count);

		if (!status_ok(status))
			chunks_empty_again(part, first, count, second);
		return status;
	}
	for (size_t i = 0; i < count; i++) {
		struct status status = piece_add(part, first + i, 1);

		if (status_ok(status))
			continue;
		for (size_t j = 0; j < i; j++)
			piece_withdraw(part, first + j, 1);
		chunks_empty_again(part, first, count, second);
		return status;
	}
	return OK;
}

/* Commits a row of chunks, with the second backing where the first has run out. */
static struct status chunks_commit_any(struct mem_part *part, size_t first, size_t count)
{
	bool huge_1g = part->backing == MEM_BACKING_HUGE_1G;

	/* single chunks are asked of pages of 1 GiB only where the whole page could not be had */
	if (!huge_1g && !part->chunks[first].fallback) {
		struct status status = chunks_commit(part, first, count, false, false);

		/* not where a subscriber has refused: it would refuse the other kind as well */
		if (part->backing != MEM_BACKING_HUGE_2M || !status_is(status, STATUS_NO_MEMORY))
			return status;
	}
	TRY(fall_back(part, first, count));
	return chunks_commit(part, first, count, false, true);
}

/* The end of the row of chunks from `first` that have no memory and can get it together. */
static size_t row_end(const struct mem_part *part, size_t first, size_t end)
{
	size_t i = first;

	/* reserved pages run out one by one, so the change to the second backing does too */
	if (part->backing == MEM_BACKING_HUGE_2M && !part->chunks[first].fallback)
		return first + 1;
	if (part->backing == MEM_BACKING_HUGE_1G && end > (first / GROUP_CHUNKS + 1) * GROUP_CHUNKS)
		end = (first / GROUP_CHUNKS + 1) * GROUP_CHUNKS;
	while (i < end && !part->chunks[i].touched &&
	       (part->backing != MEM_BACKING_HUGE_2M || part->chunks[i].fallback))
		i++;
	return i;
}

static bool group_untouched(const struct mem_part *part, size_t first)
{
	for (size_t i = first; i < first + GROUP_CHUNKS; i++)
		if (part->chunks[i].touched || part->chunks[i].fallback)
			return false;
	return true;
}

struct status arena_commit(struct mem_part *part, size_t first, size_t count, size_t need,
			   size_t need_end)
{
	size_t end = first + count;

	for (size_t i = first; i < end;) {
		struct chunk *c = &part->chunks[i];
		struct status status = OK;
		size_t next;

		if (c->touched) {
			i++;
			continue;
		}
		if (part->backing == MEM_BACKING_HUGE_1G && i % GROUP_CHUNKS == 0 &&
		    i + GROUP_CHUNKS <= end && group_untouched(part, i) &&
		    arena_limit_take(BYTES_1G)) {
			if (status_ok(chunks_commit(part, i, GROUP_CHUNKS, true, false))) {
				i += GROUP_CHUNKS;
				continue;
			}
			arena_limit_give(BYTES_1G);
		}
		if (i < need || i >= need_end) {
			i++;
			continue;
		}
		next = row_end(part, i, need_end);
		if (!arena_limit_take((next - i) << CHUNK_SHIFT))
			return arena_limit_reached();
		status = chunks_commit_any(part, i, next - i);
		if (!status_ok(status)) {
			arena_limit_give((next - i) << CHUNK_SHIFT);
			return status;
		}
		i = next;
	}
	TRACE("mem: part %lu grew at chunk %lu by up to %lu", (uint64_t)(part - arena.part),
	      (uint64_t)first, (uint64_t)count);
	return OK;
}

/* ---- memory goes ---- */

bool arena_give_back(struct mem_part *part, size_t first, size_t count)
{
	uint64_t bytes = count << CHUNK_SHIFT;
	uint64_t absent = 0;

	if (!piece_remove(part, first, count))
		return false;
	if (!chunks_empty(part, first, count, part->chunks[first].fallback)) {
		/* who heard that it went must hear that it is still there */
		status_ignore(piece_add(part, first, count));
		return false;
	}
	spinlock_lock(&part->lock);
	for (size_t i = first; i < first + count; i++) {
		struct chunk *c = &part->chunks[i];

		absent += c->pages_absent;
		c->pages_absent = 0;
		memset(c->absent, 0, sizeof(c->absent));
	}
	part->pages_absent -= absent;
	spinlock_unlock(&part->lock);
	arena_limit_give(bytes - absent * MEM_PAGE_BYTES);
	return true;
}

bool arena_can_purge(const struct mem_part *part)
{
	return part->backing >= MEM_BACKING_THP && arena.os_page_bytes == MEM_PAGE_BYTES &&
	       atomic_u32_load(&arena.subscriber_count[part->kind], ORDER_SEQ_CST) == 0;
}

bool arena_purge_pages(struct mem_part *part, char *at, size_t bytes)
{
	struct status status;

	/* under the lock of subscriptions: none may begin between the question and the act */
	pthread_mutex_lock(&arena.pieces_lock);
	if (!arena_can_purge(part))
		status = (struct status){STATUS_BUSY};
	else if (part->fd >= 0)
		status = os_file_punch(part->fd, (size_t)(at - part->base), bytes);
	else
		status = os_discard(at, bytes);
	pthread_mutex_unlock(&arena.pieces_lock);
	if (!status_ok(status))
		return false;
	arena_limit_give(bytes);
	return true;
}

/* ---- start ---- */

static bool thp_usable(void)
{
	return machine_thp("") >= MACHINE_THP_MADVISE;
}

/* Pages of that size in the system's pool that nobody has or was promised. */
static uint64_t huge_free(uint64_t page_bytes)
{
	struct machine_pool pools[MACHINE_POOLS_MAX];
	size_t count = machine_pools("", pools);

	for (size_t i = 0; i < count; i++)
		if (pools[i].page_bytes == page_bytes)
			return pools[i].free;
	return 0;
}

static enum mem_backing backing_best(enum mem_kind kind, uint64_t limit)
{
	if (limit >= 2 * BYTES_1G && huge_free(BYTES_1G) > 0)
		return MEM_BACKING_HUGE_1G;
	if (huge_free(CHUNK_BYTES) > 0)
		return MEM_BACKING_HUGE_2M;
	if (kind == MEM_PRIVATE && thp_usable())
		return MEM_BACKING_THP;
	return MEM_BACKING_4K;
}

static struct status backing_choose(struct mem_part *part)
{
	enum mem_backing forced = arena.config.backing[part->kind];

	part->backing = forced;
	if (forced == MEM_BACKING_AUTO)
		part->backing = backing_best(part->kind, arena.config.limit_bytes);
	if (forced == MEM_BACKING_THP && part->kind == MEM_SHAREABLE)
		return fail(STATUS_INVALID,
			    "shareable memory cannot have transparent huge pages: reserve some or "
			    "take 4 KiB pages");
	if (forced == MEM_BACKING_THP && !thp_usable())
		return fail(STATUS_UNSUPPORTED, "transparent huge pages are off: echo madvise > "
						"/sys/kernel/mm/transparent_hugepage/enabled");
	if ((forced == MEM_BACKING_HUGE_1G && !huge_free(BYTES_1G)) ||
	    (forced == MEM_BACKING_HUGE_2M && !huge_free(CHUNK_BYTES)))
		return fail(STATUS_UNSUPPORTED, "no huge pages of %s are reserved",
			    forced == MEM_BACKING_HUGE_1G ? "1 GiB" : "2 MiB (see --hugepages)");
	if (part->backing <= MEM_BACKING_HUGE_2M)
		part->second = part->kind == MEM_PRIVATE && thp_usable() ? MEM_BACKING_THP
									 : MEM_BACKING_4K;
	return OK;
}

/* A memory file under the whole part, or anonymous memory. */
static struct status part_map(struct mem_part *part)
{
	size_t bytes = part->chunk_count << CHUNK_SHIFT;

	if (arena.node_count > 1)
		pages_prefer_node(part->base, bytes, arena.node_id[part->node]);
	if (part->backing <= MEM_BACKING_HUGE_2M || part->kind == MEM_SHAREABLE) {
		size_t page = part->backing == MEM_BACKING_HUGE_1G   ? BYTES_1G
			      : part->backing == MEM_BACKING_HUGE_2M ? CHUNK_BYTES
								     : 0;

		TRY(os_memfd(part->kind == MEM_PRIVATE ? "tarn-private" : "tarn-shareable", page,
			     bytes, &part->fd));
		TRY(pages_map_file(part->fd, 0, part->base, bytes));
		if (arena.node_count > 1)
			pages_prefer_node(part->base, bytes, arena.node_id[part->node]);
	}
	return OK;
}

static struct status part_start(struct mem_part *part, enum mem_kind kind, uint32_t node)
{
	size_t number = (size_t)(part - arena.part);
	size_t chunk_count = arena.part_bytes >> CHUNK_SHIFT;

	*part = (struct mem_part){
		.kind = kind,
		.node = node,
		.fd = -1,
		.fd_second = -1,
		.base = arena.base + number * arena.part_bytes,
		.chunk_count = chunk_count,
		.chunks = arena.chunks + number * chunk_count,
		.vacant = arena.vacant + number * (chunk_count / 64),
	};
	for (size_t i = 0; i < RUN_BUCKETS; i++)
		list_init(&part->bucket[i]);
	list_init(&part->ready);
	list_init(&part->returned);
	memset(part->vacant, 0xff, chunk_count / 8);
	TRY(backing_choose(part));
	return part_map(part);
}

/* Bytes of the tables for `pages` pages: class, run, tag; chunks; vacancy. */
static size_t tables_bytes(size_t pages)
{
	size_t chunks = pages / CHUNK_PAGES;

	return pages * (1 + 4 + 2) + chunks * sizeof(struct chunk) + chunks / 8;
}

static struct status tables_map(void)
{
	size_t pages = arena.bytes >> MEM_PAGE_SHIFT;
	void *table;

	TRY(os_map(tables_bytes(pages), MEM_PAGE_BYTES, &table));
	arena.chunks = table;
	arena.page_run = (uint32_t *)(void *)(arena.chunks + pages / CHUNK_PAGES);
	arena.vacant = (uint64_t *)(void *)(arena.page_run + pages);
	arena.page_tag = (uint16_t *)(void *)(arena.vacant + pages / CHUNK_PAGES / 64);
	arena.page_class = (uint8_t *)(arena.page_tag + pages);
	return OK;
}

/* As much address space as may be had, from what is wanted down to what the limit needs. */
static struct status reserve(uint64_t limit)
{
	uint64_t want = arena.config.reserve_bytes;
	uint64_t least = (limit + BYTES_1G - 1) & ~(BYTES_1G - 1);
	struct status status;
	void *base;

	if (want == 0)
		want = 4 * limit > RESERVE_BYTES_DEFAULT ? 4 * limit : RESERVE_BYTES_DEFAULT;
	want = (want + BYTES_1G - 1) & ~(BYTES_1G - 1);
	for (;;) {
		arena.part_bytes = want;
		arena.bytes = want * arena.part_count;
		status = os_reserve(arena.bytes, BYTES_1G, &base);
		if (status_ok(status)) {
			arena.base = base;
			status = tables_map();
			if (status_ok(status))
				return OK;
			status_ignore(os_unmap(arena.base, arena.bytes)); /* nothing was in it */
			arena.base = NULL;
		}
		if (want <= least)
			return status;
		want = (want / 2 + BYTES_1G - 1) & ~(BYTES_1G - 1);
		if (want < least)
			want = least;
	}
}

static struct status config_check(struct mem_config *config)
{
	if (config->limit_bytes == 0)
		config->limit_bytes = machine_memory_limit("") / 4;
	if (config->limit_bytes < 2 * CHUNK_BYTES || config->limit_bytes > (uint64_t)1 << 46)
		return fail(STATUS_INVALID,
			    "memory limit of %llu bytes: must be from 4 MiB to 64 TiB",
			    (unsigned long long)config->limit_bytes);
	for (int kind = 0; kind < MEM_KINDS; kind++)
		if ((unsigned)config->backing[kind] >= MEM_BACKINGS)
			return fail(STATUS_INVALID, "no such backing: %d",
				    (int)config->backing[kind]);
	return OK;
}

/* The machine's nodes; those past NODES_MAX share the memory of the first. */
static void nodes_find(void)
{
	struct machine_node nodes[MACHINE_NODES_MAX];
	size_t count = machine_nodes("", nodes);

	arena.node_count = 0;
	for (size_t i = 0; i < count && arena.node_count < NODES_MAX; i++)
		arena.node_id[arena.node_count++] = nodes[i].id;
}

uint32_t arena_node_here(void)
{
	if (arena.node_count == 1)
		return 0;

	uint32_t id = pages_node_here();

	for (uint32_t node = 0; node < arena.node_count; node++)
		if (arena.node_id[node] == id)
			return node;
	return 0;
}

struct status arena_start(const struct mem_config *config)
{
	arena.config = *config;
	TRY(config_check(&arena.config));
	arena.os_page_bytes = os_page_bytes();
	nodes_find();
	arena.part_count = arena.node_count * MEM_KINDS;
	atomic_u64_store(&arena.resident, 0, ORDER_RELAXED);
	list_init(&arena.subscribers);
	list_init(&subscriber_free);
	for (size_t i = 0; i < ARRAY_SIZE(subscriber_store); i++)
		list_append(&subscriber_free, &subscriber_store[i].link);
	TRY(reserve(arena.config.limit_bytes));
	for (uint32_t i = 0; i < arena.part_count; i++) {
		struct status status = part_start(&arena.part[i],
						  (enum mem_kind)(i / arena.node_count),
						  i % arena.node_count);

		if (!status_ok(status)) {
			arena.part_count = i + 1;
			arena_stop();
			return status;
		}
	}
	return OK;
}

void arena_stop(void)
{
	size_t pages = arena.bytes >> MEM_PAGE_SHIFT;

	for (uint32_t i = 0; i < arena.part_count; i++) {
		struct mem_part *part = &arena.part[i];

		/* the addresses will be somebody else's */
		unpoison_range(part->base, part->fresh << CHUNK_SHIFT);
		if (part->fd >= 0)
			os_close(part->fd);
		if (part->fd_second >= 0)
			os_close(part->fd_second);
	}
	/* what cannot be unmapped has become address space that nobody uses */
	status_ignore(os_unmap(arena.chunks, tables_bytes(pages)));
	status_ignore(os_unmap(arena.base, arena.bytes));
	arena.base = NULL;
	arena.bytes = 0;
}
