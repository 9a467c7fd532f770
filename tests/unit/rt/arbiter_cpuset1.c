#include "arbiter_cgroups.h"

#include "base/clock.h"

static struct cgroups *c;
static struct arbiter_files files;
static struct arbiter_place *place;
static struct arbiter_peer peer;
static struct cpus all;

static int setup(void **state)
{
	(void)state;
	c = cgroups_create(1);
	files = cgroups_files(c);
	peer = cgroups_peer();
	assert_ok(os_affinity_get(0, &all));
	cgroups_enter(c, cgroups_get(c, "/own"), getpid());
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	close(peer.proc);
	free(c);
	return 0;
}

static void open_with(bool manage_all)
{
	struct arbiter_place_config config = cgroups_config(c, &files);

	config.manage_all = manage_all;
	assert_ok(arbiter_place_open(&config, &place));
}

static const char *cpus_in(const char *folder)
{
	struct cgroups_folder *found = cgroups_find(c, folder);

	return found ? found->cpus : "(no such folder)";
}

static void v1__a_fence_follows_the_grants(void **state)
{
	struct cpus two = cgroups_cpus();
	uint32_t first = cpus_nth(&two, 0), last = cpus_nth(&two, cpus_count(&two) - 1);
	char one[16], both[32];

	(void)state;
	snprintf(one, sizeof(one), "%u", first);
	cpus_format(&two, both, sizeof(both));
	open_with(false);
	assert_contains(arbiter_place_text(place), "cgroup v1");
	assert_ok(arbiter_place_join(place, 1, &peer));
	assert_ok(arbiter_place_adopt(place, 1, 0, os_gettid()));
	assert_true(cgroups_has(c, "/tarn-arbiter/process-1", os_gettid()));
	assert_ok(arbiter_place_grant(place, 1, 0, first));
	assert_string_equal(cpus_in("/tarn-arbiter/process-1"), one);
	assert_int_equal(os_cpu_current(), first);

	/* given back and granted to the same: nothing is written */
	uint32_t calls = c->calls;

	arbiter_place_return(place, first);
	assert_ok(arbiter_place_grant(place, 1, 0, first));
	assert_int_equal(c->calls, calls);

	if (last != first) {
		arbiter_place_return(place, first);
		assert_ok(arbiter_place_grant(place, 1, 0, last));
		assert_string_equal(cpus_in("/tarn-arbiter/process-1"), both);
		arbiter_place_revoke(place, last);
		assert_string_equal(cpus_in("/tarn-arbiter/process-1"), one);
	}
	arbiter_place_leave(place, 1);
	assert_true(cgroups_has(c, "/own", os_gettid()));
	assert_null(cgroups_find(c, "/tarn-arbiter/process-1"));
	arbiter_place_close(place);
	assert_int_equal(cgroups_count(c), 2);
}

static void v1__a_core_goes_from_fence_to_fence(void **state)
{
	struct cpus two = cgroups_cpus();
	uint32_t cpu = cpus_nth(&two, 0);
	char one[16];

	(void)state;
	snprintf(one, sizeof(one), "%u", cpu);
	open_with(false);
	assert_ok(arbiter_place_join(place, 0, &peer));
	assert_ok(arbiter_place_join(place, 1, &peer));
	assert_ok(arbiter_place_adopt(place, 0, 0, os_gettid()));
	assert_ok(arbiter_place_grant(place, 0, 0, cpu));
	arbiter_place_return(place, cpu);
	assert_string_equal(cpus_in("/tarn-arbiter/process-0"), one);
	assert_ok(arbiter_place_adopt(place, 1, 0, os_gettid()));
	assert_ok(arbiter_place_grant(place, 1, 0, cpu));
	assert_string_not_equal(cpus_in("/tarn-arbiter/process-0"), "");
	assert_string_equal(cpus_in("/tarn-arbiter/process-1"), one);
	arbiter_place_leave(place, 0);
	arbiter_place_leave(place, 1);
	arbiter_place_close(place);
	assert_int_equal(cgroups_count(c), 2);
}

static void v1__manage_all_moves_the_others_and_back(void **state)
{
	struct cpus two = cgroups_cpus();
	uint32_t cpu = cpus_nth(&two, cpus_count(&two) - 1);
	struct cpus rest = all;
	char others[64];

	(void)state;
	cgroups_enter(c, cgroups_get(c, ""), 1);
	open_with(true);
	assert_true(cgroups_has(c, "/tarn-arbiter/others", 1));
	assert_true(cgroups_has(c, "/own", getpid())); /* those in cpusets of their own stay */
	assert_ok(arbiter_place_join(place, 0, &peer));
	assert_ok(arbiter_place_adopt(place, 0, 0, os_gettid()));
	assert_ok(arbiter_place_grant(place, 0, 0, cpu));
	if (cpus_count(&all) > 1) {
		cpus_remove(&rest, cpu);
		cpus_format(&rest, others, sizeof(others));
		assert_string_equal(cpus_in("/tarn-arbiter/others"), others);
		/* what nobody has is the others' again, after a while */
		arbiter_place_return(place, cpu);
		uint64_t now = clock_ns();

		assert_true(arbiter_place_tick(place, now) > now);
		assert_string_equal(cpus_in("/tarn-arbiter/others"), others);
		assert_int_equal(arbiter_place_tick(place, now + NS_PER_S), CLOCK_NEVER);
		cpus_format(&all, others, sizeof(others));
		assert_string_equal(cpus_in("/tarn-arbiter/others"), others);
	}
	arbiter_place_close(place);
	assert_true(cgroups_has(c, "", 1));
	assert_int_equal(cgroups_count(c), 2);
}

static void v1__cleans_up_after_a_crash(void **state)
{
	static const char *const left[] = {"/tarn-arbiter", "/tarn-arbiter/process-7",
					   "/tarn-arbiter/others"};

	(void)state;
	for (int i = 0; i < 3; i++)
		cgroups_add(c, left[i]);
	cgroups_enter(c, cgroups_get(c, left[1]), 77);
	cgroups_enter(c, cgroups_get(c, left[2]), 78);
	open_with(false);
	assert_true(cgroups_has(c, "", 77));
	assert_true(cgroups_has(c, "", 78));
	assert_int_equal(cgroups_count(c), 3);
	arbiter_place_close(place);
	assert_int_equal(cgroups_count(c), 2);
}

static void v1__clean_leaves_nothing(void **state)
{
	struct arbiter_place_config config = cgroups_config(c, &files);

	(void)state;
	arbiter_place_clean(&config); /* nothing to do */
	assert_int_equal(cgroups_count(c), 2);
	cgroups_add(c, "/tarn-arbiter");
	cgroups_add(c, "/tarn-arbiter/process-1");
	cgroups_enter(c, cgroups_get(c, "/tarn-arbiter/process-1"), 77);
	arbiter_place_clean(&config);
	assert_true(cgroups_has(c, "", 77));
	assert_int_equal(cgroups_count(c), 2);
}

static void v1__a_folder_in_use_is_removed_later(void **state)
{
	(void)state;
	open_with(false);
	assert_ok(arbiter_place_join(place, 0, &peer));
	cgroups_enter(c, cgroups_get(c, "/tarn-arbiter/process-0"),
		      99); /* started by nobody known */
	arbiter_place_leave(place, 0);
	assert_non_null(cgroups_find(c, "/tarn-arbiter/process-0"));

	uint64_t again = arbiter_place_tick(place, clock_ns());

	assert_true(again != CLOCK_NEVER);
	cgroups_enter(c, cgroups_get(c, ""), 99); /* it has ended */
	assert_int_equal(arbiter_place_tick(place, again), CLOCK_NEVER);
	assert_null(cgroups_find(c, "/tarn-arbiter/process-0"));
	arbiter_place_close(place);
}

static void v1__the_nth_call_fails(void **state)
{
	(void)state;
	cgroups_each_call_fails(1);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(v1__a_fence_follows_the_grants),
		CASE(v1__a_core_goes_from_fence_to_fence),
		CASE(v1__manage_all_moves_the_others_and_back),
		CASE(v1__cleans_up_after_a_crash),
		CASE(v1__clean_leaves_nothing),
		CASE(v1__a_folder_in_use_is_removed_later),
		cmocka_unit_test(v1__the_nth_call_fails),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
