#include "base/crash.h"

#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#include "rt_death.h"

/* ---- the pool, without cores ----------------------------------------------------------------- */

static struct rt *pool;

static int pool_setup(void **state)
{
	void *at;

	(void)state;
	assert_ok(os_map(sizeof(struct rt), CACHE_LINE, &at));
	pool = at;
	pool->config = (struct rt_config){.cores = 1, .threads_max = 100, .stack_bytes = 65536};
	assert_ok(slots_init(&pool->slots, &pool->config));
	return 0;
}

static int pool_teardown(void **state)
{
	(void)state;
	slots_fini(&pool->slots);
	assert_ok(os_unmap(pool, sizeof(struct rt)));
	return 0;
}

static void slots_take__up_to_the_limit(void **state)
{
	struct rt_thread *list, *all = NULL;
	uint32_t got, total = 0;

	(void)state;
	while ((got = slots_take(pool, 7, &list)) > 0) {
		uint32_t linked = 0;

		for (struct rt_thread *t = list, *next; linked < got; t = next, linked++) {
			next = t->next;
			assert_true(t->index < pool->slots.max);
			assert_ptr_equal(t->rt, pool);
			t->next = all;
			all = t;
		}
		total += got;
	}
	assert_int_equal(total, pool->slots.max);
	assert_true(total >= 100);
	/* all are different: each index is seen once */
	bool seen[1024] = {0};
	for (struct rt_thread *t = all; t; t = t->next) {
		assert_false(seen[t->index]);
		seen[t->index] = true;
	}
	slots_give(&pool->slots, all, total);
	assert_int_equal(atomic_u32_load(&pool->slots.free_count, ORDER_RELAXED), total);
	assert_int_equal(slots_take(pool, 7, &list), 7);
	slots_give(&pool->slots, list, 7);
}

static void slots_stack__inside_and_apart(void **state)
{
	struct rt_thread *list;
	size_t page = os_page_bytes();

	(void)state;
	assert_int_equal(slots_take(pool, 3, &list), 3);
	for (struct rt_thread *t = list; t; t = t->next) {
		size_t bytes;
		char *bottom = slots_stack(&pool->slots, t, &bytes);
		bool guard = true;

		assert_int_equal(bytes, 65536 - page);
		memset(bottom, 1, bytes);
		assert_ptr_equal(slots_find(&pool->slots, bottom, &guard), t);
		assert_false(guard);
		assert_ptr_equal(slots_find(&pool->slots, bottom + bytes - 1, &guard), t);
		assert_false(guard);
		assert_ptr_equal(slots_find(&pool->slots, bottom - 1, &guard), t);
		assert_true(guard);
		assert_ptr_equal(slots_find(&pool->slots, bottom - page, &guard), t);
		assert_true(guard);
		/* what is guarded is not there */
		char byte;
		assert_true(os_memory_peek(&byte, bottom, 1));
		assert_false(os_memory_peek(&byte, bottom - 1, 1));
	}
	slots_give(&pool->slots, list, 3);
}

static void slots_find__nowhere(void **state)
{
	struct rt_thread *list;
	bool guard;
	int here;

	(void)state;
	assert_int_equal(slots_take(pool, 1, &list), 1);
	assert_null(slots_find(&pool->slots, NULL, &guard));
	assert_null(slots_find(&pool->slots, &here, &guard));
	assert_null(slots_find(&pool->slots, pool->slots.stacks - 1, &guard));
	assert_null(slots_find(&pool->slots,
			       pool->slots.stacks + pool->slots.max * pool->slots.stack_bytes,
			       &guard));
	/* a slot that was never used has no thread */
	assert_null(slots_find(&pool->slots, pool->slots.stacks + 50 * pool->slots.stack_bytes,
			       &guard));
	slots_give(&pool->slots, list, 1);
}

/* A guard that cannot be had ends the taking and nothing else. */
static void slots_take__without_guards(void **state)
{
	struct rt_thread *list;

	(void)state;
	os_fault_set(OS_CALL_BIT(OS_CALL_ADVISE), 2, true);
	assert_int_equal(slots_take(pool, 5, &list), 2);
	slots_give(&pool->slots, list, 2);
	assert_int_equal(slots_take(pool, 5, &list), 2);
	slots_give(&pool->slots, list, 2);
	assert_true(os_fault_clear() > 0);
	assert_int_equal(slots_take(pool, 2, &list), 2);
	slots_give(&pool->slots, list, 2);
	assert_int_equal(slots_take(pool, 5, &list), 2);
	assert_int_equal(slots_take(pool, 5, &list), 5);
}

static void slots_init__what_cannot_be(void **state)
{
	struct slots s;
	struct rt_config config = {.cores = 1, .threads_max = 100};

	(void)state;
	config.stack_bytes = 8192;
	assert_status(slots_init(&s, &config), INVALID);
	assert_contains(diag_text(), "stack_bytes: 8192, must be a power of two from 16384");
	config.stack_bytes = 65537;
	assert_status(slots_init(&s, &config), INVALID);
	config.stack_bytes = 65536 * 3;
	assert_status(slots_init(&s, &config), INVALID);
	config.stack_bytes = 65536;
	config.threads_max = UINT32_MAX;
	assert_status(slots_init(&s, &config), INVALID);
	assert_contains(diag_text(), "threads_max: 4294967295, the most is ");
}

/* More than there is address space: also where the product would come to little in 64 bits. */
static void slots_init__more_than_the_address_space(void **state)
{
	struct slots s;

	(void)state;
	for (uint32_t bits = 44; bits < 64; bits++) {
		for (uint32_t less = 0; less < 512; less += 64) {
			struct rt_config config = {.cores = 1,
						   .threads_max = (1u << 18) - less,
						   .stack_bytes = (size_t)1 << bits};

			assert_status(slots_init(&s, &config), NO_MEMORY);
		}
	}
}

/* ---- a stack that is too small --------------------------------------------------------------- */

#if !WITH_ASAN && !WITH_TSAN
static volatile int bottomless = 1;

static NOINLINE uint64_t recurse(volatile char *above)
{
	volatile char frame[512];

	frame[0] = (char)(above[0] + 1);
	if (!bottomless)
		return 0;
	return recurse(frame) + (uint64_t)frame[0];
}

static void overflow(void *arg)
{
	volatile char first = 0;

	(void)arg;
	PANIC("came back with %lu", recurse(&first));
}

/* A frame that is larger than the guard: the compiler probes each page on the way. */
static NOINLINE void jump_over(void *arg)
{
	volatile char frame[60000];

	(void)arg;
	frame[0] = 1;
	frame[sizeof(frame) - 1] = 1;
	overflow(arg);
}

static void overflow_in_a_thread(void *body)
{
	struct rt_attr attr = {.core = RT_CORE_ANY, .name = "deep diver"};
	struct rt *rt;
	struct rt_id id;

	status_ignore(crash_init());
	CHECK_OK(rt_start(&(struct rt_config){.cores = 2, .stack_bytes = 32768}, &rt));
	CHECK_OK(rt_spawn(rt, &attr, (void (*)(void *))(uintptr_t)body, NULL, &id));
	for (;;)
		sched_yield();
}

static void stack_overflow__is_reported_by_name(void **state)
{
	(void)state;
	assert_dies(overflow_in_a_thread, (void *)(uintptr_t)overflow, SIGSEGV);
	assert_contains(death_report, "stack overflow of thread \"deep diver\", id 0x");
	assert_contains(death_report, " recurse");
	assert_contains(death_report, "tarn: end of the crash report\n");
}

static void stack_overflow__by_one_large_frame(void **state)
{
	(void)state;
	assert_dies(overflow_in_a_thread, (void *)(uintptr_t)jump_over, SIGSEGV);
	assert_contains(death_report, "stack overflow of thread \"deep diver\", id 0x");
	assert_contains(death_report, " jump_over");
}

static void live_on(void *arg)
{
	unit_until(arg, 1);
}

static NOINLINE void write_below(void *arg)
{
	struct rt_thread *t = arg;
	size_t bytes;
	char *bottom = slots_stack(&t->rt->slots, t, &bytes);

	*(volatile char *)(bottom - 1) = 1;
}

/* Somebody else's guard: the report names whose it is, and who touched it. */
static void touch_a_guard(void *arg)
{
	static struct atomic_u32 never;
	struct rt_attr victim = {.core = 0, .name = "victim"};
	struct rt_attr culprit = {.core = 0, .name = "culprit"};
	struct rt *rt;
	struct rt_id id;

	(void)arg;
	status_ignore(crash_init());
	CHECK_OK(rt_start(&(struct rt_config){.cores = 1}, &rt));
	CHECK_OK(rt_spawn(rt, &victim, live_on, &never, &id));
	CHECK_OK(rt_spawn(rt, &culprit, write_below, thread_of(id), &id));
	for (;;)
		sched_yield();
}

static void stack_guard__of_another_thread(void **state)
{
	(void)state;
	assert_dies(touch_a_guard, NULL, SIGSEGV);
	assert_contains(death_report, "user thread \"culprit\", id 0x");
	assert_contains(death_report, "stack overflow of thread \"victim\", id 0x");
	assert_contains(death_report, " write_below");
}

/* ---- where the kernel has no light guards ---------------------------------------------------- */

/*
 * Makes madvise(MADV_GUARD_INSTALL) fail as on kernels before 6.13, for this process and its image.
 */
static void refuse_light_guards(void)
{
	enum { GUARD_INSTALL = 102 };
	struct sock_filter filter[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_madvise, 0, 3),
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[2])),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, GUARD_INSTALL, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EINVAL),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog program = {.len = ARRAY_SIZE(filter), .filter = filter};

	CHECK(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0);
	CHECK(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0);
}

/* A new image: this one may have found out what the kernel has. */
static void run_without_light_guards(void *what)
{
	refuse_light_guards();
	execl("/proc/self/exe", "slots", "--without-light-guards", (char *)what, (char *)NULL);
	PANIC("cannot run /proc/self/exe");
}

static void block(void *arg)
{
	unit_count(arg);
	CHECK_STATUS(rt_wait(rt_wait_begin("the end"), CLOCK_NEVER), CANCELLED);
}

/* Each guard is a mapping, and the kernel has 65,530 of them: then it is a status. */
static void spawn_until_refused(void)
{
	struct rt_attr attr = {.core = RT_CORE_ANY, .detached = true};
	struct atomic_u32 blocked = {0};
	struct rt *rt = unit_start(2);
	uint32_t alive = 0;
	struct status s;

	while (status_ok(s = rt_spawn(rt, &attr, block, &blocked, NULL)))
		alive++;
	CHECK_STATUS(s, LIMIT);
	CHECK(alive > 1000);
	unit_until(&blocked, alive);
	rt_stop(rt);
}

static int without_light_guards(const char *what)
{
	if (os_guard_light())
		return 1;
	if (strcmp(what, "limit") == 0)
		spawn_until_refused();
	else
		overflow_in_a_thread((void *)(uintptr_t)overflow);
	return 0;
}

static void stack_guard__by_mprotect(void **state)
{
	static char overflowing[] = "overflow";

	(void)state;
	assert_dies(run_without_light_guards, overflowing, SIGSEGV);
	assert_contains(death_report, "stack overflow of thread \"deep diver\", id 0x");
}

static void stack_guard__by_mprotect_up_to_the_limit(void **state)
{
	static char limit[] = "limit";
	int how = death_run(run_without_light_guards, limit);

	(void)state;
	if (how != 0)
		fail_msg("ended with 0x%x:\n%s", how, death_report);
}
#endif

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
#define WITH_POOL(test) cmocka_unit_test_setup_teardown(test, pool_setup, pool_teardown)
		WITH_POOL(slots_take__up_to_the_limit),
		WITH_POOL(slots_stack__inside_and_apart),
		WITH_POOL(slots_find__nowhere),
		WITH_POOL(slots_take__without_guards),
		cmocka_unit_test(slots_init__what_cannot_be),
		cmocka_unit_test(slots_init__more_than_the_address_space),
#if !WITH_ASAN && !WITH_TSAN
		cmocka_unit_test(stack_overflow__is_reported_by_name),
		cmocka_unit_test(stack_overflow__by_one_large_frame),
		cmocka_unit_test(stack_guard__of_another_thread),
		cmocka_unit_test(stack_guard__by_mprotect),
		cmocka_unit_test(stack_guard__by_mprotect_up_to_the_limit),
#endif
	};

#if !WITH_ASAN && !WITH_TSAN
	if (argc == 3 && strcmp(argv[1], "--without-light-guards") == 0)
		return without_light_guards(argv[2]);
#endif
	return unit_main(tests, argc, argv);
}
