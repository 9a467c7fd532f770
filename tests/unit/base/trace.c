#include "base/trace.h"

#include "base/clock.h"
#include "base/os.h"

#include <sys/mman.h>
#include <unistd.h>

#include "unit.h"

/* A slot of its own, as a core has it. */
struct owner {
	struct self self;
	struct self_thread thread;
	struct self *before;
};

static void owner_begin(struct owner *o)
{
	*o = (struct owner){.thread.name = "test", .before = self()};
	self_init(&o->self, &o->thread);
	self_set(&o->self);
}

static void owner_end(struct owner *o)
{
	self_set(o->before);
	self_fini(&o->self);
}

static char *dump(uint64_t count)
{
	static char text[64 * 1024];
	FILE *to = fmemopen(text, sizeof(text), "w");

	trace_dump(to, count);
	fclose(to);
	return text;
}

static void trace__words_and_text(void **state)
{
	struct owner o;
	const int *pointer = (const int *)0x1234;

	(void)state;
	owner_begin(&o);
	TRACE("none");
	TRACE("one %d", -1);
	TRACE("four %u %lu %s %p", 1u, 2ul, "three", (const void *)pointer);
	assert_contains(dump(3), "none\n");
	assert_contains(dump(3), "one -1\n");
	assert_contains(dump(3), "four 1 2 three 0x0000000000001234\n");
	owner_end(&o);
}

static void trace__ring_keeps_the_last(void **state)
{
	struct trace_cursor cursor;
	struct trace_record r;
	struct owner o;
	unsigned seen = 0;

	(void)state;
	owner_begin(&o);
	for (unsigned i = 0; i < 3 * TRACE_EVENTS + 5; i++)
		TRACE("event %u", i);
	trace_cursor_init(&cursor, UINT64_MAX);
	while (trace_cursor_next(&cursor, &r)) {
		if (r.slot != o.self.slot)
			continue;
		assert_int_equal(r.words[0], 2 * TRACE_EVENTS + 5 + seen);
		seen++;
	}
	assert_int_equal(seen, TRACE_EVENTS);
	owner_end(&o);
}

static void trace_cursor_init__counts_over_slots(void **state)
{
	struct trace_cursor cursor;
	struct trace_record r;
	struct owner a, b;

	(void)state;
	owner_begin(&a);
	TRACE("a %d", 1);
	owner_begin(&b);
	TRACE("b %d", 2);
	self_set(&a.self);
	TRACE("a %d", 3);
	self_set(&b.self);
	TRACE("b %d", 4);
	TRACE("b %d", 5);
	trace_cursor_init(&cursor, 4);
	for (uint64_t expected = 2; expected <= 5; expected++) {
		assert_true(trace_cursor_next(&cursor, &r));
		assert_int_equal(r.words[0], expected);
		assert_int_equal(r.slot, expected == 3 ? a.self.slot : b.self.slot);
	}
	assert_false(trace_cursor_next(&cursor, &r));
	owner_end(&b);
	owner_end(&a);
}

static void trace_cursor_next__times_do_not_go_back(void **state)
{
	struct trace_cursor cursor;
	struct trace_record r;
	struct owner o;
	uint64_t before = 0;

	(void)state;
	TRACE("shared");
	owner_begin(&o);
	for (int i = 0; i < 100; i++)
		TRACE("own");
	owner_end(&o);
	TRACE("shared");
	trace_cursor_init(&cursor, UINT64_MAX);
	while (trace_cursor_next(&cursor, &r)) {
		assert_true(r.cycles >= before);
		before = r.cycles;
	}
	assert_true(before > 0);
}

static void trace_cursor_next__leaves_out_what_was_overwritten(void **state)
{
	struct trace_cursor cursor;
	struct trace_record r;
	struct owner o;

	(void)state;
	owner_begin(&o);
	TRACE("old %d", 1);
	TRACE("old %d", 2);
	trace_cursor_init(&cursor, 2);
	for (int i = 0; i < TRACE_EVENTS - 1; i++)
		TRACE("new %d", 100);
	assert_true(trace_cursor_next(&cursor, &r));
	assert_int_equal(r.words[0], 2);
	assert_false(trace_cursor_next(&cursor, &r));
	owner_end(&o);
}

static void trace_cursor_next__leaves_out_what_is_being_written(void **state)
{
	struct trace_cursor cursor;
	struct trace_record r;
	struct owner o;

	(void)state;
	owner_begin(&o);
	TRACE("done %d", 1);
	TRACE("torn %d", 2);
	TRACE("done %d", 3);
	/* as another thread would find the event in the middle of its writing */
	uint64_t n = atomic_u64_quiet_load(&o.self.trace->next, ORDER_RELAXED) - 2;
	atomic_u64_quiet_store(&o.self.trace->events[n % TRACE_EVENTS].sequence, 0, ORDER_RELAXED);
	trace_cursor_init(&cursor, 2);
	assert_true(trace_cursor_next(&cursor, &r));
	assert_int_equal(r.words[0], 1);
	assert_true(trace_cursor_next(&cursor, &r));
	assert_int_equal(r.words[0], 3);
	assert_false(trace_cursor_next(&cursor, &r));
	owner_end(&o);
}

struct writer {
	pthread_t thread;
	uint32_t id;
	bool own_slot;
};

static void *write_many(void *arg)
{
	struct writer *w = arg;
	struct owner o;

	if (w->own_slot)
		owner_begin(&o);
	for (uint64_t i = 0; i < 20000; i++)
		TRACE("%lu %lu %lu %lu", i, i * 3, (uint64_t)w->id, i ^ w->id);
	if (w->own_slot)
		owner_end(&o);
	return NULL;
}

/* Read while others write: no event may be a mixture of two. */
static void trace__events_are_whole_for_readers(void **state)
{
	struct writer writers[] = {{.id = 1, .own_slot = true}, {.id = 2, .own_slot = true}};
	struct trace_cursor cursor;
	struct trace_record r;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(writers); i++)
		assert_ok(os_thread_start(write_many, &writers[i], "writer", &writers[i].thread));
	for (int round = 0; round < 20; round++) {
		trace_cursor_init(&cursor, 500);
		while (trace_cursor_next(&cursor, &r)) {
			if (strcmp(r.format, "%lu %lu %lu %lu") != 0)
				continue;
			assert_int_equal(r.words[1], r.words[0] * 3);
			assert_int_equal(r.words[3], r.words[0] ^ r.words[2]);
		}
	}
	for (size_t i = 0; i < ARRAY_SIZE(writers); i++)
		os_thread_join(writers[i].thread);
}

/* On the shared slot each event gets a place of its own. */
static void trace__shared_slot_loses_nothing(void **state)
{
	uint64_t before = atomic_u64_quiet_load(&trace_ring_of(0)->next, ORDER_RELAXED);
	struct writer writers[] = {{.id = 1}, {.id = 2}};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(writers); i++)
		assert_ok(os_thread_start(write_many, &writers[i], "writer", &writers[i].thread));
	for (size_t i = 0; i < ARRAY_SIZE(writers); i++)
		os_thread_join(writers[i].thread);
	assert_int_equal(atomic_u64_quiet_load(&trace_ring_of(0)->next, ORDER_RELAXED),
			 before + 2 * 20000);
}

static void trace_dump_fd__same_as_stream(void **state)
{
	char text[4096] = "";
	int fd = memfd_create("trace", MFD_CLOEXEC);
	struct owner o;

	(void)state;
	owner_begin(&o);
	for (int i = 0; i < 20; i++)
		TRACE("line %d", i);
	trace_dump_fd(fd, 10);
	assert_true(pread(fd, text, sizeof(text) - 1, 0) > 0);
	assert_string_equal(text, dump(10));
	close(fd);
	owner_end(&o);
}

static void trace_dump__long_lines_are_cut(void **state)
{
	static char longest[600];
	struct owner o;

	(void)state;
	memset(longest, 'x', sizeof(longest) - 1);
	owner_begin(&o);
	TRACE("%s", longest);
	TRACE("after");
	assert_contains(dump(2), "xxx\n");
	assert_contains(dump(2), "after\n");
	owner_end(&o);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(trace__words_and_text),
		cmocka_unit_test(trace__ring_keeps_the_last),
		cmocka_unit_test(trace_cursor_init__counts_over_slots),
		cmocka_unit_test(trace_cursor_next__times_do_not_go_back),
		cmocka_unit_test(trace_cursor_next__leaves_out_what_was_overwritten),
		cmocka_unit_test(trace_cursor_next__leaves_out_what_is_being_written),
		cmocka_unit_test(trace__events_are_whole_for_readers),
		cmocka_unit_test(trace__shared_slot_loses_nothing),
		cmocka_unit_test(trace_dump_fd__same_as_stream),
		cmocka_unit_test(trace_dump__long_lines_are_cut),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
