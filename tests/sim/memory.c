/*
 * The memory of mem under the simulator: caches, depots, slabs, runs and upkeep, used by several
 * processors at once. Objects travel between them; whoever has one owns all of its bytes, so two
 * owners at one time, or an owner that does not know what the last one did, are a race.
 */
#include "scenario.h"

#include "base/atomic.h"
#include "base/diag.h"
#include "base/self.h"
#include "mem/check.h"
#include "mem/mem.h"
#include "rt/kthread.h"

#include <string.h>

#define PARTIES_MOST 3
#define ROUNDS_MOST  400
#define HELD_MOST    12
#define PLACES       4
#define HEAD_BYTES   32 /* of an object: what is written and checked */

static struct mem_tag tag = MEM_TAG("sim.object");

static struct {
	struct atomic_ptr places[PLACES]; /* where objects change hands */
	struct atomic_u32 refused;
	bool tight;
} world;

struct party {
	struct self self;
	struct self_thread thread;
	struct kthread kthread;
	void *held[HELD_MOST];
	uint32_t count;
};

/* Mostly one class, so that magazines fill and empty; now and then anything else. */
static size_t size_draw(void)
{
	static const size_t sizes[] = {16, 100, 1000, 3500, 5000, 40000, 70000};

	if (world.tight && sim_random(4) == 0)
		return 400000;
	return sim_random(3) ? 64 : sizes[sim_random(ARRAY_SIZE(sizes))];
}

static size_t head_bytes(size_t bytes)
{
	return bytes < HEAD_BYTES ? bytes : HEAD_BYTES;
}

/* From here on the object is the caller's: nobody else may touch it. */
static void object_own(void *p)
{
	SHARED_WRITE(p, head_bytes(mem_size(p)));
	memset(p, 0x5c, head_bytes(mem_size(p)));
}

static void object_check(const void *p)
{
	const uint8_t *bytes = p;

	SHARED_READ(p, head_bytes(mem_size(p)));
	for (size_t i = 0; i < head_bytes(mem_size(p)); i++)
		sim_check(bytes[i] == 0x5c, "an object was changed while it was owned");
}

static void object_free(void *p)
{
	object_check(p);
	SHARED_WRITE(p, head_bytes(mem_size(p)));
	mem_free(p);
}

static void party_alloc(struct party *party)
{
	size_t bytes = size_draw();
	void *p;

	if (party->count == HELD_MOST)
		return;
	p = sim_random(8) ? mem_alloc(bytes, &tag) : mem_alloc_zero(bytes, &tag);
	if (!p) {
		sim_check(world.tight, "no memory: %s", diag_text());
		atomic_u32_add(&world.refused, 1, ORDER_RELAXED);
		return;
	}
	sim_check(mem_size(p) >= bytes, "asked for %zu bytes, got %zu", bytes, mem_size(p));
	object_own(p);
	party->held[party->count++] = p;
}

static void *party_drop(struct party *party)
{
	uint32_t i = sim_random(party->count);
	void *p = party->held[i];

	party->held[i] = party->held[--party->count];
	return p;
}

/* Leaves an object where somebody else finds it, and frees what lay there: a free from afar. */
static void party_exchange(struct party *party)
{
	struct atomic_ptr *place = &world.places[sim_random(PLACES)];
	void *p =
		atomic_ptr_exchange(place, party->count ? party_drop(party) : NULL, ORDER_ACQ_REL);

	if (p)
		object_free(p);
}

static void party_main(void *arg)
{
	struct party *party = arg;
	uint32_t rounds = 1 + sim_random(ROUNDS_MOST);

	for (uint32_t i = 0; i < rounds; i++) {
		switch (sim_random(8)) {
		case 0:
		case 1:
		case 2:
		case 3: party_alloc(party); break;
		case 4:
		case 5:
			if (party->count)
				object_free(party_drop(party));
			break;
		case 6: party_exchange(party); break;
		default:
			if (sim_random(8) == 0)
				mem_maintain(sim_random(2));
			break;
		}
	}
	while (party->count)
		object_free(party_drop(party));
}

static void party_start(struct party *party)
{
	party->thread.name = "party";
	self_init(&party->self, &party->thread);
	/* without a cache everything goes to the pools: legal, and another path */
	if (sim_random(4))
		sim_check(status_ok(mem_cache_attach(&party->self)), "%s", diag_text());
	party->kthread = (struct kthread){.main = party_main,
					  .arg = party,
					  .name = "party",
					  .self = &party->self,
					  .processor = KTHREAD_ANYWHERE};
	sim_check(status_ok(kthread_start(&party->kthread)), "%s", diag_text());
}

static void memory_body(void *arg)
{
	static struct party parties[PARTIES_MOST];
	uint32_t count = 2 + sim_random(PARTIES_MOST - 1);
	struct mem_config config = {
		.reserve_bytes = 64u << 20,
		.backing = {MEM_BACKING_4K, MEM_BACKING_4K},
	};

	memset(parties, 0, sizeof(parties));
	memset(&world, 0, sizeof(world));
	world.tight = *(const bool *)arg;
	config.limit_bytes = world.tight ? 4u << 20 : 32u << 20;
	sim_check(status_ok(mem_start(&config)), "%s", diag_text());
	for (uint32_t i = 0; i < count; i++)
		party_start(&parties[i]);
	for (uint32_t i = 0; i < count; i++) {
		kthread_join(&parties[i].kthread);
		mem_cache_detach(&parties[i].self);
		self_fini(&parties[i].self);
	}
	for (uint32_t i = 0; i < PLACES; i++)
		mem_free(atomic_ptr_exchange(&world.places[i], NULL, ORDER_ACQUIRE));

	const char *wrong = mem_check();
	uint64_t leaked = mem_stop();

	sim_check(!wrong, "%s", wrong);
	sim_check(leaked == 0, "%lu bytes were never freed", leaked);
}

static bool roomy = false;
static bool tight = true;

const struct scenario scenarios_memory[] = {
	{.name = "memory",
	 .about = "caches, depots, slabs and runs under several processors",
	 .body = memory_body,
	 .arg = &roomy,
	 .seeds = 500,
	 .steps_usual = 2000},
	{.name = "memory-tight",
	 .about = "the same at the limit: refusals, and memory that is given back meanwhile",
	 .body = memory_body,
	 .arg = &tight,
	 .seeds = 500,
	 .steps_usual = 2000},
};
const size_t scenarios_memory_count = ARRAY_SIZE(scenarios_memory);
