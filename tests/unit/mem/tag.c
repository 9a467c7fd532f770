#include "mem/tag.h"

#include "mem_unit.h"

static int64_t bytes_of(uint32_t id)
{
	int64_t bytes, objects;

	tag_sum(id, &bytes, &objects);
	return bytes;
}

static void tag_id__once(void **state)
{
	static struct mem_tag one = MEM_TAG("test.one"), two = MEM_TAG("test.two");
	uint32_t id = tag_id(&one);

	(void)state;
	assert_true(id > TAG_OTHER);
	assert_int_equal(tag_id(&one), id);
	assert_int_not_equal(tag_id(&two), id);
	assert_string_equal(tag_name(id), "test.one");
	assert_int_equal(tag_id(NULL), TAG_OTHER);
	assert_string_equal(tag_name(TAGS_MAX + 7), "other");
}

static void tag_add__sums_over_caches(void **state)
{
	static struct mem_tag tag = MEM_TAG("test.sum");
	uint32_t id = tag_id(&tag);

	(void)state;
	tag_add(id, 1000, 1);
	self_set(NULL); /* one without a cache frees what the other had */
	tag_add(id, -400, -1);
	self_set(&unit_self);
	assert_int_equal(bytes_of(id), 600);
	/* the counts outlive the cache */
	mem_cache_detach(&unit_self);
	assert_int_equal(bytes_of(id), 600);
	assert_ok(mem_cache_attach(&unit_self));
	tag_add(id, -600, 0);
	assert_int_equal(bytes_of(id), 0);
}

static void tag_id__too_many(void **state)
{
	static struct mem_tag many[TAGS_MAX + 10];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(many); i++) {
		many[i].name = "test.many";
		tag_id(&many[i]);
	}
	assert_int_equal(tag_count(), TAGS_MAX);
	assert_int_equal(tag_id(&many[TAGS_MAX + 9]), TAG_OTHER);
	/* what comes late is still counted, as "other" */
	void *p = mem_alloc(100000, &many[TAGS_MAX + 9]);
	assert_true(bytes_of(TAG_OTHER) >= 100000);
	mem_free(p);
	assert_int_equal(bytes_of(TAG_OTHER), 0);
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, unit_start, unit_stop)
	const struct CMUnitTest tests[] = {
		CASE(tag_id__once),
		CASE(tag_add__sums_over_caches),
		CASE(tag_id__too_many),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
