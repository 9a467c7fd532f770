#include "base/list.h"

#include "unit.h"

struct item {
	int number;
	struct list link;
	struct queue_link queued;
};

static struct item items[5];
static struct list head;
static struct queue queue;

static int setup(void **state)
{
	(void)state;
	list_init(&head);
	queue = (struct queue){0};
	for (int i = 0; i < 5; i++) {
		items[i].number = i;
		list_init(&items[i].link);
	}
	return 0;
}

/* The numbers in the list, forwards; checks that backwards is the reverse. */
static void assert_list(const char *expected)
{
	char forward[8] = "", backward[8] = "";
	size_t n = 0;

	list_for_each (at, &head)
		forward[n++] = (char)('0' + CONTAINER_OF(at, struct item, link)->number);
	assert_string_equal(forward, expected);
	for (struct list *at = head.prev; at != &head; at = at->prev)
		backward[--n] = (char)('0' + CONTAINER_OF(at, struct item, link)->number);
	assert_string_equal(backward, expected);
}

static void list_push__front(void **state)
{
	(void)state;
	assert_list("");
	list_push(&head, &items[1].link);
	list_push(&head, &items[0].link);
	assert_list("01");
	assert_ptr_equal(LIST_FIRST(&head, struct item, link), &items[0]);
}

static void list_append__end(void **state)
{
	(void)state;
	for (int i = 0; i < 3; i++)
		list_append(&head, &items[i].link);
	assert_list("012");
}

static void list_remove__any_place(void **state)
{
	(void)state;
	for (int i = 0; i < 5; i++)
		list_append(&head, &items[i].link);
	list_remove(&items[2].link);
	assert_list("0134");
	list_remove(&items[0].link);
	list_remove(&items[4].link);
	assert_list("13");
	assert_true(list_empty(&items[2].link));
}

static void list_remove__twice_is_harmless(void **state)
{
	(void)state;
	list_append(&head, &items[0].link);
	list_append(&head, &items[1].link);
	list_remove(&items[0].link);
	list_remove(&items[0].link);
	assert_list("1");
}

static void list_pop__until_empty(void **state)
{
	(void)state;
	list_append(&head, &items[0].link);
	list_append(&head, &items[1].link);
	assert_ptr_equal(list_pop(&head), &items[0].link);
	assert_true(list_empty(&items[0].link));
	assert_ptr_equal(list_pop(&head), &items[1].link);
	assert_null(list_pop(&head));
	assert_null(LIST_FIRST(&head, struct item, link));
}

static void list_for_each_safe__body_removes(void **state)
{
	(void)state;
	for (int i = 0; i < 5; i++)
		list_append(&head, &items[i].link);
	list_for_each_safe (at, &head)
		if (CONTAINER_OF(at, struct item, link)->number % 2)
			list_remove(at);
	assert_list("024");
}

static void assert_queue(const char *expected)
{
	char found[8] = "";
	size_t n = 0;

	for (struct queue_link *at = queue.first; at; at = at->next)
		found[n++] = (char)('0' + CONTAINER_OF(at, struct item, queued)->number);
	assert_string_equal(found, expected);
}

static void queue_append__first_in_first_out(void **state)
{
	(void)state;
	assert_true(queue_empty(&queue));
	for (int i = 0; i < 3; i++)
		queue_append(&queue, &items[i].queued);
	assert_false(queue_empty(&queue));
	for (int i = 0; i < 3; i++)
		assert_ptr_equal(queue_pop(&queue), &items[i].queued);
	assert_null(queue_pop(&queue));
	queue_append(&queue, &items[3].queued);
	assert_queue("3");
}

static void queue_remove__first_middle_last(void **state)
{
	(void)state;
	for (int i = 0; i < 4; i++)
		queue_append(&queue, &items[i].queued);
	assert_true(queue_remove(&queue, &items[1].queued));
	assert_queue("023");
	assert_true(queue_remove(&queue, &items[0].queued));
	assert_true(queue_remove(&queue, &items[3].queued));
	assert_queue("2");
	queue_append(&queue, &items[4].queued);
	assert_queue("24");
	assert_false(queue_remove(&queue, &items[0].queued));
}

static void queue_remove__the_only_one(void **state)
{
	(void)state;
	assert_false(queue_remove(&queue, &items[0].queued));
	queue_append(&queue, &items[0].queued);
	assert_true(queue_remove(&queue, &items[0].queued));
	assert_true(queue_empty(&queue));
	queue_append(&queue, &items[1].queued);
	assert_queue("1");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(list_push__front, setup),
		cmocka_unit_test_setup(list_append__end, setup),
		cmocka_unit_test_setup(list_remove__any_place, setup),
		cmocka_unit_test_setup(list_remove__twice_is_harmless, setup),
		cmocka_unit_test_setup(list_pop__until_empty, setup),
		cmocka_unit_test_setup(list_for_each_safe__body_removes, setup),
		cmocka_unit_test_setup(queue_append__first_in_first_out, setup),
		cmocka_unit_test_setup(queue_remove__first_middle_last, setup),
		cmocka_unit_test_setup(queue_remove__the_only_one, setup),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
