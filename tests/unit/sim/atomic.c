/*
 * Litmus tests: for each small program, the outcomes that C11 forbids must never show, and those
 * that only a weak memory has must show in some of many seeds. Names are those of the literature.
 */
#include "unit.h"

#include "base/atomic.h"
#include "rt/kthread.h"
#include "sim/sim.h"

#define SEEDS       600
#define PARTIES_MAX 4

/* The variables of one litmus program; `out` holds what the parties read. */
struct litmus {
	struct atomic_u32 x;
	struct atomic_u32 y;
	uint32_t out[8];
};

static struct litmus litmus;

struct program {
	void (*parties[PARTIES_MAX])(void *);
};

static void program_body(void *arg)
{
	const struct program *p = arg;
	struct kthread threads[PARTIES_MAX];
	uint32_t count = 0;

	memset(&litmus, 0, sizeof(litmus));
	for (; count < PARTIES_MAX && p->parties[count]; count++) {
		threads[count] = (struct kthread){
			.main = p->parties[count], .name = "party", .processor = KTHREAD_ANYWHERE};
		sim_check(status_ok(kthread_start(&threads[count])), "start");
	}
	while (count--)
		kthread_join(&threads[count]);
}

/* In how many seeds `outcome` holds at the end. */
static uint32_t occurs(const struct program *p, bool (*outcome)(void))
{
	static struct sim_report report;
	struct program copy = *p;
	uint32_t times = 0;

	for (uint64_t seed = 0; seed < SEEDS; seed++) {
		sim_run(&(struct sim_config){.seed = seed, .body = program_body, .arg = &copy},
			&report);
		if (report.verdict != SIM_OK)
			fail_msg("%s", report.text);
		times += outcome();
	}
	return times;
}

#define assert_shows(outcome, ...)                                                                 \
	assert_true(occurs(&(const struct program){{__VA_ARGS__}}, (outcome)) > 0)
#define assert_never(outcome, ...)                                                                 \
	assert_int_equal(occurs(&(const struct program){{__VA_ARGS__}}, (outcome)), 0)

/* One party of a program: a function with the statements. */
#define PARTY(name, ...)                                                                           \
	static void name(void *arg)                                                                \
	{                                                                                          \
		(void)arg;                                                                         \
		__VA_ARGS__                                                                        \
	}

#define LOAD(v, order)         atomic_u32_load(&litmus.v, ORDER_##order)
#define STORE(v, value, order) atomic_u32_store(&litmus.v, (value), ORDER_##order)
#define ADD(v, value, order)   atomic_u32_add(&litmus.v, (value), ORDER_##order)
#define FENCE(order)           atomic_fence(ORDER_##order)
#define OUT(i)                 litmus.out[i]

/* ---- SB: store buffering, Dekker's handshake ------------------------------------------------- */

static bool both_missed(void)
{
	return OUT(0) == 0 && OUT(1) == 0;
}

PARTY(sb_rlx_0, STORE(x, 1, RELAXED); OUT(0) = LOAD(y, RELAXED);)
PARTY(sb_rlx_1, STORE(y, 1, RELAXED); OUT(1) = LOAD(x, RELAXED);)
PARTY(sb_ra_0, STORE(x, 1, RELEASE); OUT(0) = LOAD(y, ACQUIRE);)
PARTY(sb_ra_1, STORE(y, 1, RELEASE); OUT(1) = LOAD(x, ACQUIRE);)
PARTY(sb_sc_0, STORE(x, 1, SEQ_CST); OUT(0) = LOAD(y, SEQ_CST);)
PARTY(sb_sc_1, STORE(y, 1, SEQ_CST); OUT(1) = LOAD(x, SEQ_CST);)
PARTY(sb_fence_0, STORE(x, 1, RELAXED); FENCE(SEQ_CST); OUT(0) = LOAD(y, RELAXED);)
PARTY(sb_fence_1, STORE(y, 1, RELAXED); FENCE(SEQ_CST); OUT(1) = LOAD(x, RELAXED);)
PARTY(sb_ar_0, STORE(x, 1, RELAXED); FENCE(ACQ_REL); OUT(0) = LOAD(y, RELAXED);)

static void store_buffering__shows_without_sequential_order(void **state)
{
	(void)state;
	assert_shows(both_missed, sb_rlx_0, sb_rlx_1);
	assert_shows(both_missed, sb_ra_0, sb_ra_1);
	assert_shows(both_missed, sb_fence_0, sb_rlx_1);
	assert_shows(both_missed, sb_ar_0, sb_fence_1);
	/* a sequentially consistent store orders nothing after itself but its like */
	assert_shows(both_missed, sb_sc_0, sb_rlx_1);
}

static void store_buffering__never_with_it(void **state)
{
	(void)state;
	assert_never(both_missed, sb_sc_0, sb_sc_1);
	assert_never(both_missed, sb_fence_0, sb_fence_1);
	/* C++20: a fence on one side orders with sequentially consistent accesses of the other */
	assert_never(both_missed, sb_fence_0, sb_sc_1);
}

/* An exchange is no fence for what stands around it, though it is on x86. */
static struct atomic_u32 other;
PARTY(sb_rmw_0, STORE(x, 1, RELAXED); atomic_u32_exchange(&other, 1, ORDER_SEQ_CST);
      OUT(0) = LOAD(y, RELAXED);)
PARTY(sb_rmw_1, STORE(y, 1, RELAXED); atomic_u32_exchange(&other, 1, ORDER_SEQ_CST);
      OUT(1) = LOAD(x, RELAXED);)

static void store_buffering__shows_with_an_exchange_of_one_side(void **state)
{
	(void)state;
	assert_shows(both_missed, sb_rmw_0, sb_fence_1);
	/* on both sides it helps: the later exchange reads from the earlier one */
	assert_never(both_missed, sb_rmw_0, sb_rmw_1);
}

/* ---- MP: message passing --------------------------------------------------------------------- */

static bool flag_without_data(void)
{
	return OUT(0) == 1 && OUT(1) == 0;
}

PARTY(mp_send_rlx, STORE(x, 1, RELAXED); STORE(y, 1, RELAXED);)
PARTY(mp_send_rel, STORE(x, 1, RELAXED); STORE(y, 1, RELEASE);)
PARTY(mp_send_fence, STORE(x, 1, RELAXED); FENCE(RELEASE); STORE(y, 1, RELAXED);)
PARTY(mp_take_rlx, OUT(0) = LOAD(y, RELAXED); OUT(1) = LOAD(x, RELAXED);)
PARTY(mp_take_acq, OUT(0) = LOAD(y, ACQUIRE); OUT(1) = LOAD(x, RELAXED);)
PARTY(mp_take_fence, OUT(0) = LOAD(y, RELAXED); FENCE(ACQUIRE); OUT(1) = LOAD(x, RELAXED);)
PARTY(mp_take_late, OUT(0) = LOAD(y, RELAXED); OUT(1) = LOAD(x, ACQUIRE);)

static void message_passing__shows_when_one_side_is_relaxed(void **state)
{
	(void)state;
	assert_shows(flag_without_data, mp_send_rlx, mp_take_acq);
	assert_shows(flag_without_data, mp_send_rel, mp_take_rlx);
	assert_shows(flag_without_data, mp_send_rel, mp_take_late);
}

static void message_passing__never_with_release_and_acquire(void **state)
{
	(void)state;
	assert_never(flag_without_data, mp_send_rel, mp_take_acq);
	assert_never(flag_without_data, mp_send_fence, mp_take_acq);
	assert_never(flag_without_data, mp_send_rel, mp_take_fence);
	assert_never(flag_without_data, mp_send_fence, mp_take_fence);
}

/* ---- release sequences ----------------------------------------------------------------------- */

static bool second_flag_without_data(void)
{
	return OUT(0) == 2 && OUT(1) == 0;
}

PARTY(rs_bump, while (LOAD(y, RELAXED) == 0) cpu_relax(); ADD(y, 1, RELAXED);)
PARTY(rs_overwrite, while (LOAD(y, RELAXED) == 0) cpu_relax(); STORE(y, 2, RELAXED);)

static void release_sequence__goes_through_modifications_only(void **state)
{
	(void)state;
	assert_never(second_flag_without_data, mp_send_rel, rs_bump, mp_take_acq);
	assert_shows(second_flag_without_data, mp_send_rel, rs_overwrite, mp_take_acq);
}

/* ---- coherence ------------------------------------------------------------------------------- */

static bool went_back(void)
{
	return OUT(0) > OUT(1);
}

PARTY(co_write, STORE(x, 1, RELAXED); STORE(x, 2, RELAXED); STORE(x, 3, RELAXED);)
PARTY(co_read, OUT(0) = LOAD(x, RELAXED); OUT(1) = LOAD(x, RELAXED);)
/* what one party has read, another who hears of it may not miss */
PARTY(co_hand, OUT(0) = LOAD(x, RELAXED); STORE(y, 1, RELEASE);)
PARTY(co_take, while (LOAD(y, ACQUIRE) == 0) cpu_relax(); OUT(1) = LOAD(x, RELAXED);)
PARTY(co_own, STORE(x, 5, RELAXED); OUT(0) = 5; OUT(1) = LOAD(x, RELAXED);)

static bool lost_own(void)
{
	return OUT(1) == 0;
}

static void coherence__a_reader_never_goes_back(void **state)
{
	(void)state;
	assert_never(went_back, co_write, co_read);
	assert_never(went_back, co_write, co_hand, co_take);
	assert_never(lost_own, co_own, co_own);
}

/* ---- IRIW: two readers, two writers ---------------------------------------------------------- */

static bool readers_disagree(void)
{
	return OUT(0) == 1 && OUT(1) == 0 && OUT(2) == 1 && OUT(3) == 0;
}

PARTY(iriw_x, STORE(x, 1, RELEASE);)
PARTY(iriw_y, STORE(y, 1, RELEASE);)
PARTY(iriw_xy, OUT(0) = LOAD(x, ACQUIRE); OUT(1) = LOAD(y, ACQUIRE);)
PARTY(iriw_yx, OUT(2) = LOAD(y, ACQUIRE); OUT(3) = LOAD(x, ACQUIRE);)
PARTY(iriw_sc_x, STORE(x, 1, SEQ_CST);)
PARTY(iriw_sc_y, STORE(y, 1, SEQ_CST);)
PARTY(iriw_sc_xy, OUT(0) = LOAD(x, SEQ_CST); OUT(1) = LOAD(y, SEQ_CST);)
PARTY(iriw_sc_yx, OUT(2) = LOAD(y, SEQ_CST); OUT(3) = LOAD(x, SEQ_CST);)
PARTY(iriw_f_xy, OUT(0) = LOAD(x, RELAXED); FENCE(SEQ_CST); OUT(1) = LOAD(y, RELAXED);)
PARTY(iriw_f_yx, OUT(2) = LOAD(y, RELAXED); FENCE(SEQ_CST); OUT(3) = LOAD(x, RELAXED);)

static void independent_reads__may_disagree_unless_sequential(void **state)
{
	(void)state;
	assert_shows(readers_disagree, iriw_x, iriw_y, iriw_xy, iriw_yx);
	assert_never(readers_disagree, iriw_sc_x, iriw_sc_y, iriw_sc_xy, iriw_sc_yx);
	assert_never(readers_disagree, iriw_x, iriw_y, iriw_f_xy, iriw_f_yx);
}

/* ---- read-modify-write ----------------------------------------------------------------------- */

static bool count_wrong(void)
{
	return litmus.x.value != 6;
}

PARTY(rmw_add, ADD(x, 1, RELAXED); ADD(x, 1, RELAXED);)
PARTY(
	rmw_cas, for (uint32_t i = 0; i < 2; i++) {
		uint32_t found = LOAD(x, RELAXED);
		while (!atomic_u32_cas(&litmus.x, &found, found + 1, ORDER_RELAXED))
			;
	})

static void modification__loses_nothing(void **state)
{
	(void)state;
	assert_never(count_wrong, rmw_add, rmw_cas, rmw_add);
}

/* ---- outside of a run ------------------------------------------------------------------------ */

static void outside__atomics_are_plain(void **state)
{
	struct atomic_u64 a = ATOMIC(5);
	uint64_t expected = 4;

	(void)state;
	assert_int_equal(atomic_u64_add(&a, 2, ORDER_RELAXED), 5);
	assert_false(atomic_u64_cas(&a, &expected, 1, ORDER_SEQ_CST));
	assert_int_equal(expected, 7);
	assert_true(atomic_u64_cas(&a, &expected, 1, ORDER_SEQ_CST));
	assert_int_equal(atomic_u64_or(&a, 6, ORDER_RELAXED), 1);
	assert_int_equal(atomic_u64_and(&a, 3, ORDER_RELAXED), 7);
	atomic_fence(ORDER_SEQ_CST);
	assert_int_equal(atomic_u64_load(&a, ORDER_RELAXED), 3);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(store_buffering__shows_without_sequential_order),
		cmocka_unit_test(store_buffering__never_with_it),
		cmocka_unit_test(store_buffering__shows_with_an_exchange_of_one_side),
		cmocka_unit_test(message_passing__shows_when_one_side_is_relaxed),
		cmocka_unit_test(message_passing__never_with_release_and_acquire),
		cmocka_unit_test(release_sequence__goes_through_modifications_only),
		cmocka_unit_test(coherence__a_reader_never_goes_back),
		cmocka_unit_test(independent_reads__may_disagree_unless_sequential),
		cmocka_unit_test(modification__loses_nothing),
		cmocka_unit_test(outside__atomics_are_plain),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
