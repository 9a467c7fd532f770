#include "arbiter_cgroups.h"

#include "base/clock.h"

static struct cgroups *c;
static struct arbiter_files files;
static struct arbiter_place *place;
static struct arbiter_peer peer;

static int setup(void **state)
{
	(void)state;
	c = cgroups_create(2);
	files = cgroups_files(c);
	peer = cgroups_peer();
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

static void v2__a_partition_follows_the_grants(void **state)
{
	struct arbiter_place_config config = cgroups_config(c, &files);
	uint32_t first = cpus_nth(&config.managed, 0);
	uint32_t last = cpus_nth(&config.managed, cpus_count(&config.managed) - 1);
	struct cgroups_folder *folder;
	char text[32];

	(void)state;
	assert_ok(arbiter_place_open(&config, &place));
	assert_contains(arbiter_place_text(place), "cgroup v2");
	assert_ok(arbiter_place_join(place, 0, &peer));
	/* its process is in the root while it is a client: threads cannot leave otherwise */
	assert_true(cgroups_has(c, "", getpid()));
	folder = cgroups_get(c, "/tarn-arbiter.0");
	assert_true(folder->threaded);
	assert_ok(arbiter_place_adopt(place, 0, 0, os_gettid()));
	assert_true(cgroups_has(c, "/tarn-arbiter.0", os_gettid()));
	assert_false(folder->partition);

	assert_ok(arbiter_place_grant(place, 0, 0, first));
	snprintf(text, sizeof(text), "%u", first);
	assert_string_equal(folder->cpus, text);
	assert_true(folder->partition);
	if (last != first) {
		arbiter_place_return(place, first);
		assert_ok(arbiter_place_grant(place, 0, 0, last));
		cpus_format(&config.managed, text, sizeof(text));
		assert_string_equal(folder->cpus, text);
		arbiter_place_revoke(place, last);
	} else {
		arbiter_place_return(place, first);
	}
	/* somebody else gets the first: the partition ends before the other begins */
	assert_ok(arbiter_place_join(place, 1, &peer));
	assert_ok(arbiter_place_adopt(place, 1, 3, os_gettid()));
	assert_ok(arbiter_place_grant(place, 1, 3, first));
	assert_false(folder->partition);
	assert_string_equal(folder->cpus, "");

	arbiter_place_leave(place, 1);
	arbiter_place_leave(place, 0);
	assert_true(cgroups_has(c, "/own", getpid()));
	arbiter_place_close(place);
	assert_int_equal(cgroups_count(c), 2);
}

static void v2__cleans_up_after_a_crash(void **state)
{
	struct arbiter_place_config config = cgroups_config(c, &files);

	(void)state;
	cgroups_add(c, "/tarn-arbiter");
	cgroups_add(c, "/tarn-arbiter.1")->threaded = true;
	cgroups_enter(c, cgroups_get(c, "/tarn-arbiter.1"), 77);
	assert_ok(arbiter_place_open(&config, &place));
	assert_true(cgroups_has(c, "", 77));
	assert_null(cgroups_find(c, "/tarn-arbiter.1"));
	arbiter_place_close(place);
	assert_int_equal(cgroups_count(c), 2);
}

static void v2__two_connections_of_one_process(void **state)
{
	struct arbiter_place_config config = cgroups_config(c, &files);

	(void)state;
	assert_ok(arbiter_place_open(&config, &place));
	assert_ok(arbiter_place_join(place, 0, &peer));
	assert_ok(arbiter_place_adopt(place, 0, 0, os_gettid()));
	assert_ok(arbiter_place_join(place, 1, &peer));
	/* the first one's thread stays where it is */
	assert_true(cgroups_has(c, "/tarn-arbiter.0", os_gettid()));
	arbiter_place_leave(place, 0);
	assert_true(cgroups_has(c, "", getpid()));
	arbiter_place_leave(place, 1);
	assert_true(cgroups_has(c, "/own", getpid()));
	arbiter_place_close(place);
	assert_int_equal(cgroups_count(c), 2);
}

static void v2__only_when_processes_may_be_moved(void **state)
{
	struct arbiter_place_config config = cgroups_config(c, &files);

	(void)state;
	config.manage_all = false;
	assert_status(arbiter_place_open(&config, &place), DENIED);
	assert_contains(diag_text(), "--manage-all");
	config.backend = ARBITER_BACKEND_AUTO;
	assert_ok(arbiter_place_open(&config, &place));
	assert_int_equal(arbiter_place_backend(place), ARBITER_BACKEND_AFFINITY);
	assert_contains(arbiter_place_text(place), "--manage-all");
	arbiter_place_close(place);
	assert_int_equal(cgroups_count(c), 2);
}

static void v2__the_nth_call_fails(void **state)
{
	(void)state;
	cgroups_each_call_fails(2);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(v2__a_partition_follows_the_grants),
		CASE(v2__cleans_up_after_a_crash),
		CASE(v2__two_connections_of_one_process),
		CASE(v2__only_when_processes_may_be_moved),
		cmocka_unit_test(v2__the_nth_call_fails),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
