/* What does not depend on cgroups; those are in arbiter_cpuset1.c and arbiter_cpuset2.c. */
#include "rt/arbiter_place.h"

#include "arbiter_cgroups.h"
#include "base/clock.h"

#include <pthread.h>
#include <sched.h>

static struct arbiter_place *place;
static struct arbiter_peer peer;
static struct cpus all;

static int setup(void **state)
{
	struct arbiter_place_config config = {.backend = ARBITER_BACKEND_AFFINITY,
					      .processes_max = 2};

	(void)state;
	peer = cgroups_peer();
	assert_ok(os_affinity_get(0, &all));
	config.managed = all;
	assert_ok(arbiter_place_open(&config, &place));
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	arbiter_place_close(place);
	close(peer.proc);
	assert_ok(os_affinity_set(0, &all));
	return 0;
}

static struct cpus affinity(void)
{
	struct cpus set = {0};

	assert_ok(os_affinity_get(0, &set));
	return set;
}

static void arbiter_place_open__processors_that_are_not_there(void **state)
{
	struct arbiter_place_config config = {.processes_max = 1};
	struct arbiter_place *none;

	(void)state;
	assert_status(arbiter_place_open(&config, &none), INVALID);
	cpus_add(&config.managed, CPUS_MAX - 1);
	assert_status(arbiter_place_open(&config, &none), INVALID);
	assert_contains(diag_text(), "1023");
}

static void arbiter_place_open__says_why_it_falls_back(void **state)
{
	struct cgroups *c = cgroups_create(1);
	struct arbiter_files files = cgroups_files(c);
	struct arbiter_place_config config = cgroups_config(c, &files);
	struct arbiter_place *other;

	(void)state;
	config.backend = ARBITER_BACKEND_AUTO;
	c->fail_at = 0;
	assert_ok(arbiter_place_open(&config, &other));
	assert_int_equal(arbiter_place_backend(other), ARBITER_BACKEND_AFFINITY);
	assert_contains(arbiter_place_text(other), "affinity");
	assert_contains(arbiter_place_text(other), "made to fail");
	arbiter_place_close(other);
	/* a cpuset that may not be written, asked for by name */
	config.backend = ARBITER_BACKEND_CPUSET_V1;
	c->fail_at = 3;
	assert_status(arbiter_place_open(&config, &other), IO);
	assert_int_equal(cgroups_count(c), 2);
	free(c);
}

static void arbiter_place_adopt__only_its_own_threads(void **state)
{
	(void)state;
	assert_ok(arbiter_place_join(place, 0, &peer));
	assert_status(arbiter_place_adopt(place, 0, 0, 0), DENIED);
	assert_status(arbiter_place_adopt(place, 0, 0, -1), DENIED);
	assert_status(arbiter_place_adopt(place, 0, 0, 1), DENIED);
	assert_ok(arbiter_place_adopt(place, 0, 0, os_gettid()));
	assert_ok(arbiter_place_adopt(place, 0, 0, os_gettid()));
	assert_status(arbiter_place_adopt(place, 0, 1, os_gettid()), INVALID);
	arbiter_place_disown(place, 0, 0);
	assert_ok(arbiter_place_adopt(place, 0, 1, os_gettid()));
}

static void arbiter_place_grant__pins_and_leave_undoes(void **state)
{
	uint32_t cpu = cpus_nth(&all, cpus_count(&all) - 1);
	struct cpus now;

	(void)state;
	assert_ok(arbiter_place_join(place, 0, &peer));
	assert_ok(arbiter_place_adopt(place, 0, 0, os_gettid()));
	assert_ok(arbiter_place_grant(place, 0, 0, cpu));
	now = affinity();
	assert_int_equal(cpus_count(&now), 1);
	assert_true(cpus_has(&now, cpu));
	arbiter_place_leave(place, 0);
	now = affinity();
	assert_memory_equal(&now, &all, sizeof(all));
}

static void arbiter_place_revoke__throws_off(void **state)
{
	uint32_t cpu = cpus_nth(&all, 0);
	struct cpus now;

	(void)state;
	assert_ok(arbiter_place_join(place, 0, &peer));
	assert_ok(arbiter_place_adopt(place, 0, 0, os_gettid()));
	assert_ok(arbiter_place_grant(place, 0, 0, cpu));
	arbiter_place_revoke(place, cpu);
	now = affinity();
	assert_memory_equal(&now, &all, sizeof(all)); /* nothing is granted to anybody */
}

static void arbiter_place_grant__evicts_who_went_without_moving(void **state)
{
	uint32_t cpu = cpus_nth(&all, 0);
	struct cpus now;

	(void)state;
	assert_ok(arbiter_place_join(place, 0, &peer));
	assert_ok(arbiter_place_join(place, 1, &peer));
	assert_ok(arbiter_place_adopt(place, 0, 0, os_gettid()));
	assert_ok(arbiter_place_grant(place, 0, 0, cpu));
	arbiter_place_return(place, cpu); /* it says so, and goes on running there */

	/* the other client's thread; its number has to be real, so it is one of this process */
	pid_t other = os_gettid();

	assert_ok(arbiter_place_adopt(place, 1, 0, other));
	assert_ok(arbiter_place_grant(place, 1, 0, cpu));
	now = affinity();
	assert_int_equal(cpus_count(&now), 1);
	arbiter_place_leave(place, 0); /* has nothing any more: the other's pinning stays */
	arbiter_place_revoke(place, cpu);
}

static void *tid_of_self(void *arg)
{
	*(pid_t *)arg = os_gettid();
	return NULL;
}

static void arbiter_place_grant__a_thread_that_has_ended(void **state)
{
	pthread_t thread;
	pid_t tid = 0;

	(void)state;
	assert_ok(arbiter_place_join(place, 0, &peer));
	assert_int_equal(pthread_create(&thread, NULL, tid_of_self, &tid), 0);
	pthread_join(thread, NULL);
	/* joined, it may still be on its way out of the kernel */
	while (arbiter_os_peer_has(&peer, tid))
		sched_yield();
	assert_status(arbiter_place_adopt(place, 0, 0, tid), DENIED);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(arbiter_place_open__processors_that_are_not_there),
		cmocka_unit_test(arbiter_place_open__says_why_it_falls_back),
		CASE(arbiter_place_adopt__only_its_own_threads),
		CASE(arbiter_place_grant__pins_and_leave_undoes),
		CASE(arbiter_place_revoke__throws_off),
		CASE(arbiter_place_grant__evicts_who_went_without_moving),
		CASE(arbiter_place_grant__a_thread_that_has_ended),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
