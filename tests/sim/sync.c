/*
 * The patterns that everything else is built of, each with the mistake that it invites.
 */
#include "scenario.h"

#include "base/atomic.h"
#include "base/clock.h"
#include "base/status.h"
#include "rt/kthread.h"

#include <stdlib.h>
#include <string.h>

#define PARTIES_MAX 4

/* What a scenario is told: whether to make the mistake. */
static bool mistake_no = false;
static bool mistake_yes = true;

static bool mistaken(const void *arg)
{
	return *(const bool *)arg;
}

/* Runs main(args[i]) on a processor each, and waits for all. */
static void run_all(uint32_t count, void (*const mains[])(void *), void *arg)
{
	struct kthread threads[PARTIES_MAX];

	for (uint32_t i = 0; i < count; i++) {
		threads[i] = (struct kthread){.main = mains[i],
					      .arg = arg,
					      .name = "party",
					      .processor = KTHREAD_ANYWHERE};
		sim_check(status_ok(kthread_start(&threads[i])), "a kthread did not start");
	}
	for (uint32_t i = 0; i < count; i++)
		kthread_join(&threads[i]);
}

/* ---- Dekker: park and wake --------------------------------------------------------------------- */

/*
 * A core that wants to sleep says so and looks for work once more; a waker leaves work and looks
 * whether the core sleeps. Each must see the other's store or the fence is missing.
 */
struct park {
	bool mistake;
	struct atomic_u32 work;
	struct atomic_u32 parked;
	struct atomic_u32 futex;
};

static void park_sleeper(void *arg)
{
	struct park *p = arg;

	while (atomic_u32_load(&p->work, ORDER_ACQUIRE) == 0) {
		atomic_u32_store(&p->parked, 1, ORDER_RELAXED);
		if (!p->mistake)
			atomic_fence(ORDER_SEQ_CST);
		if (atomic_u32_load(&p->work, ORDER_ACQUIRE) == 0)
			kthread_sleep(&p->futex, 0, CLOCK_NEVER);
		atomic_u32_store(&p->futex, 0, ORDER_RELAXED);
		atomic_u32_store(&p->parked, 0, ORDER_RELAXED);
	}
}

static void park_waker(void *arg)
{
	struct park *p = arg;

	atomic_u32_store(&p->work, 1, ORDER_RELEASE);
	atomic_fence(ORDER_SEQ_CST);
	if (atomic_u32_load(&p->parked, ORDER_RELAXED)) {
		atomic_u32_store(&p->futex, 1, ORDER_RELEASE);
		kthread_wake(&p->futex, 1);
	}
}

static void park_body(void *arg)
{
	struct park p = {.mistake = mistaken(arg)};

	run_all(2, (void (*const[])(void *)){park_sleeper, park_waker}, &p);
}

const struct scenario scenarios_sync[] = {
	{.name = "park",
	 .about = "Dekker's handshake between a core that parks and its waker",
	 .body = park_body,
	 .arg = &mistake_no,
	 .seeds = 1000},
	{.name = "park-no-fence",
	 .about = "the same without the sleeper's sequentially consistent fence",
	 .body = park_body,
	 .arg = &mistake_yes,
	 .planted = true,
	 .finds = 1 << SIM_DEADLOCK,
	 .seeds = 200},
};
const size_t scenarios_sync_count = ARRAY_SIZE(scenarios_sync);
