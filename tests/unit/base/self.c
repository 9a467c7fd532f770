#include "base/self.h"

#include "base/metrics.h"
#include "base/os.h"
#include "base/trace.h"

#include "unit.h"

static void self__first_call_makes_a_foreign_record(void **state)
{
	(void)state;
	self_set(NULL);
	assert_null(self_or_null());
	struct self *s = self();
	assert_ptr_equal(self(), s);
	assert_ptr_equal(self_or_null(), s);
	assert_int_equal(s->slot, SELF_SLOT_SHARED);
	assert_string_equal(s->thread->name, "foreign");
	assert_ptr_equal(s->counters, metrics_cells(0));
	assert_ptr_equal(s->trace, trace_ring_of(0));
	assert_null(s->core);
}

static void *self_of_thread(void *arg)
{
	*(struct self **)arg = self();
	status_ignore(fail(STATUS_IO, "the other thread's"));
	return NULL;
}

static void self__each_kernel_thread_has_its_own(void **state)
{
	struct self *other = NULL;
	pthread_t thread;

	(void)state;
	status_ignore(fail(STATUS_BUSY, "mine"));
	assert_ok(os_thread_start(self_of_thread, &other, "other", &thread));
	os_thread_join(thread);
	assert_non_null(other);
	assert_ptr_not_equal(other, self());
	assert_string_equal(diag_text(), "mine");
}

static void self_init__slots_differ_and_come_back(void **state)
{
	struct self_thread thread = {.name = "t"};
	struct self a, b, c;

	(void)state;
	self_init(&a, &thread);
	self_init(&b, &thread);
	assert_int_not_equal(a.slot, SELF_SLOT_SHARED);
	assert_int_not_equal(a.slot, b.slot);
	assert_ptr_equal(a.counters, metrics_cells(a.slot));
	assert_ptr_equal(a.trace, trace_ring_of(a.slot));
	uint32_t freed = a.slot;
	self_fini(&a);
	assert_int_equal(a.slot, SELF_SLOT_SHARED);
	self_init(&c, &thread);
	assert_int_equal(c.slot, freed);
	assert_true(self_slots_used() >= b.slot + 1);
	self_fini(&b);
	self_fini(&c);
	self_fini(&c); /* of the shared slot: nothing to give back */
}

static void self_init__shared_slot_when_all_are_taken(void **state)
{
	static struct self all[SELF_SLOTS];
	struct self_thread thread = {.name = "t"};

	(void)state;
	for (int i = 1; i < SELF_SLOTS; i++) {
		self_init(&all[i], &thread);
		assert_int_equal(all[i].slot, i);
	}
	self_init(&all[0], &thread);
	assert_int_equal(all[0].slot, SELF_SLOT_SHARED);
	assert_int_equal(self_slots_used(), SELF_SLOTS);
	for (int i = 0; i < SELF_SLOTS; i++)
		self_fini(&all[i]);
	self_init(&all[0], &thread);
	assert_int_equal(all[0].slot, 1);
	self_fini(&all[0]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(self__first_call_makes_a_foreign_record),
		cmocka_unit_test(self__each_kernel_thread_has_its_own),
		cmocka_unit_test(self_init__slots_differ_and_come_back),
		cmocka_unit_test(self_init__shared_slot_when_all_are_taken),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
