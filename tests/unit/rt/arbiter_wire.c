#include "rt/arbiter_wire.h"

#include "unit.h"

static struct status check(const void *bytes, size_t count, enum arbiter_side from)
{
	union arbiter_wire_message message;

	memset(&message, 0xa5, sizeof(message));
	memcpy(&message, bytes, count < sizeof(message) ? count : sizeof(message));
	return arbiter_wire_check(&message, count, from);
}

static struct arbiter_wire_hello hello_good(void)
{
	return (struct arbiter_wire_hello){
		.head = arbiter_wire_head(ARBITER_HELLO),
		.version_min = 1,
		.version_max = 1,
		.slots = 2,
		.name = "kv",
	};
}

/* ---- arbiter_wire_head: golden bytes --------------------------------------------------------- */

static void arbiter_wire_head__golden_hello(void **state)
{
	static const uint8_t golden[64] = {
		'T', 'A', 'R', 'B', 1, 0, 1, 0, 64, 0, 0, 0, 0, 0, 0, 0, /* head */
		1,   0,   0,   0,   1, 0, 0, 0, 2,  0, 0, 0, 0, 0, 0, 0, 'k', 'v',
	};
	struct arbiter_wire_hello message = hello_good();

	(void)state;
	assert_memory_equal(&message, golden, sizeof(golden));
	assert_ok(check(golden, sizeof(golden), ARBITER_FROM_CLIENT));
}

static void arbiter_wire_head__golden_request(void **state)
{
	static const uint8_t golden[48] = {
		'T', 'A', 'R', 'B', 1, 0, 2, 0, 48, 0, 0, 0, 0, 0, 0, 0, 4, 3, 2, 1,
	};
	struct arbiter_wire_request message = {
		.head = arbiter_wire_head(ARBITER_REQUEST),
		.wanted = {0x01020304},
	};

	(void)state;
	assert_memory_equal(&message, golden, sizeof(golden));
	assert_ok(check(golden, sizeof(golden), ARBITER_FROM_CLIENT));
}

static void arbiter_wire_head__golden_park(void **state)
{
	static const uint8_t golden[32] = {
		'T', 'A', 'R', 'B', 1, 0, 3, 0, 32, 0, 0, 0, 0, 0, 0, 0,
		7,   0,   0,   0,   2, 1, 0, 0, 8,  7, 6, 5, 4, 3, 2, 1,
	};
	struct arbiter_wire_park message = {
		.head = arbiter_wire_head(ARBITER_PARK),
		.slot = 7,
		.tid = 258,
		.returned = 0x0102030405060708,
	};

	(void)state;
	assert_memory_equal(&message, golden, sizeof(golden));
	assert_ok(check(golden, sizeof(golden), ARBITER_FROM_CLIENT));
}

static void arbiter_wire_head__golden_return(void **state)
{
	static const uint8_t golden[32] = {
		'T', 'A', 'R', 'B', 1, 0, 4, 0, 32, 0, 0, 0, 0, 0, 0, 0,
		9,   0,   0,   0,   0, 0, 0, 0, 1,  0, 0, 0, 0, 0, 0, 0,
	};
	struct arbiter_wire_return message = {
		.head = arbiter_wire_head(ARBITER_RETURN), .slot = 9, .generation = 1};

	(void)state;
	assert_memory_equal(&message, golden, sizeof(golden));
	assert_ok(check(golden, sizeof(golden), ARBITER_FROM_CLIENT));
}

static void arbiter_wire_head__golden_welcome(void **state)
{
	static const uint8_t golden[40] = {
		'T', 'A', 'R', 'B', 1, 0, 16, 0, 40, 0, 0, 0, 0, 0, 0, 0, 2,    0,    0, 0,
		0,   32,  0,   0,   6, 0, 0,  0, 4,  0, 0, 0, 3, 0, 0, 0, 0x10, 0x27, 0, 0,
	};
	struct arbiter_wire_welcome message = {
		.head = arbiter_wire_head(ARBITER_WELCOME),
		.slots = 2,
		.page_bytes = 8192,
		.cores = 6,
		.cores_max = 4,
		.priority_best = 3,
		.grace_us = 10000,
	};

	(void)state;
	assert_memory_equal(&message, golden, sizeof(golden));
	assert_ok(check(golden, sizeof(golden), ARBITER_FROM_ARBITER));
}

static void arbiter_wire_head__golden_events(void **state)
{
	uint8_t golden[32] = {
		'T', 'A', 'R', 'B', 1, 0, 0, 0, 32, 0, 0, 0, 0, 0, 0, 0,
		5,   0,   0,   0,   3, 0, 0, 0, 42, 0, 0, 0, 0, 0, 0, 0,
	};

	(void)state;
	for (uint16_t type = ARBITER_GRANTED; type <= ARBITER_REVOKED; type++) {
		struct arbiter_wire_event message = {
			.head = arbiter_wire_head((enum arbiter_wire_type)type),
			.slot = 5,
			.cpu = 3,
			.generation = 42,
		};

		golden[6] = (uint8_t)type;
		assert_memory_equal(&message, golden, sizeof(golden));
		assert_ok(check(golden, sizeof(golden), ARBITER_FROM_ARBITER));
	}
}

static void arbiter_wire_head__golden_refused(void **state)
{
	static const uint8_t golden[128] = {
		'T', 'A', 'R', 'B', 1, 0, 20, 0, 128, 0, 0,   0,   0,   0,
		0,   0,   12,  0,   0, 0, 0,  0, 0,   0, 'f', 'u', 'l', 'l',
	};
	struct arbiter_wire_refused message = {
		.head = arbiter_wire_head(ARBITER_REFUSED),
		.code = STATUS_LIMIT,
		.text = "full",
	};

	(void)state;
	assert_memory_equal(&message, golden, sizeof(golden));
	assert_ok(check(golden, sizeof(golden), ARBITER_FROM_ARBITER));
}

static void arbiter_page__golden_offsets(void **state)
{
	struct arbiter_page page = {0};
	uint8_t *bytes = (uint8_t *)&page;

	(void)state;
	atomic_u64_store(&page.slot[2].word, ARBITER_WORD(3) | ARBITER_WORD_WANTED, ORDER_RELAXED);
	atomic_u32_store(&page.slot[2].cpu, 9, ORDER_RELAXED);
	assert_int_equal(bytes[64 + 2 * 16], 7);
	assert_int_equal(bytes[64 + 2 * 16 + 8], 9);
}

/* ---- arbiter_wire_check ---------------------------------------------------------------------- */

static void arbiter_wire_check__every_wrong_byte_of_a_head(void **state)
{
	struct arbiter_wire_hello good = hello_good();

	(void)state;
	for (size_t at = 0; at < sizeof(good.head); at++)
		for (int bit = 0; bit < 8; bit++) {
			struct arbiter_wire_hello bad = good;

			((uint8_t *)&bad)[at] ^= (uint8_t)(1 << bit);
			assert_status(check(&bad, sizeof(bad), ARBITER_FROM_CLIENT), CORRUPT);
		}
}

static void arbiter_wire_check__every_wrong_length(void **state)
{
	union arbiter_wire_message message = {.hello = hello_good()};

	(void)state;
	for (size_t bytes = 0; bytes <= 256; bytes++)
		if (bytes != sizeof(message.hello))
			assert_status(arbiter_wire_check(&message, bytes, ARBITER_FROM_CLIENT),
				      CORRUPT);
}

static void arbiter_wire_check__sides_have_their_own_messages(void **state)
{
	struct arbiter_wire_hello hello = hello_good();
	struct arbiter_wire_event event = {.head = arbiter_wire_head(ARBITER_GRANTED)};

	(void)state;
	assert_status(check(&hello, sizeof(hello), ARBITER_FROM_ARBITER), CORRUPT);
	assert_status(check(&event, sizeof(event), ARBITER_FROM_CLIENT), CORRUPT);
}

static void arbiter_wire_check__hello_out_of_range(void **state)
{
	struct arbiter_wire_hello bad = hello_good();

	(void)state;
	bad.slots = 0;
	assert_status(check(&bad, sizeof(bad), ARBITER_FROM_CLIENT), CORRUPT);
	bad.slots = ARBITER_SLOTS_MAX + 1;
	assert_status(check(&bad, sizeof(bad), ARBITER_FROM_CLIENT), CORRUPT);
	bad = hello_good();
	bad.version_min = 2;
	assert_status(check(&bad, sizeof(bad), ARBITER_FROM_CLIENT), CORRUPT);
	bad = hello_good();
	memset(bad.name, 'x', sizeof(bad.name));
	assert_status(check(&bad, sizeof(bad), ARBITER_FROM_CLIENT), CORRUPT);
}

static void arbiter_wire_check__slots_out_of_range(void **state)
{
	struct arbiter_wire_park park = {.head = arbiter_wire_head(ARBITER_PARK),
					 .slot = ARBITER_SLOTS_MAX};
	struct arbiter_wire_return message = {.head = arbiter_wire_head(ARBITER_RETURN),
					      .slot = UINT32_MAX};
	struct arbiter_wire_event event = {.head = arbiter_wire_head(ARBITER_RELEASE),
					   .slot = ARBITER_SLOTS_MAX};

	(void)state;
	assert_status(check(&park, sizeof(park), ARBITER_FROM_CLIENT), CORRUPT);
	assert_status(check(&message, sizeof(message), ARBITER_FROM_CLIENT), CORRUPT);
	assert_status(check(&event, sizeof(event), ARBITER_FROM_ARBITER), CORRUPT);
}

static void arbiter_wire_check__what_an_arbiter_may_not_say(void **state)
{
	struct arbiter_wire_welcome welcome = {.head = arbiter_wire_head(ARBITER_WELCOME),
					       .slots = 1,
					       .page_bytes = ARBITER_PAGE_BYTES - 1};
	struct arbiter_wire_refused refused = {.head = arbiter_wire_head(ARBITER_REFUSED)};

	(void)state;
	assert_status(check(&welcome, sizeof(welcome), ARBITER_FROM_ARBITER), CORRUPT);
	welcome.page_bytes = ARBITER_PAGE_BYTES;
	assert_ok(check(&welcome, sizeof(welcome), ARBITER_FROM_ARBITER));
	welcome.slots = 0;
	assert_status(check(&welcome, sizeof(welcome), ARBITER_FROM_ARBITER), CORRUPT);
	memset(refused.text, 'x', sizeof(refused.text));
	assert_status(check(&refused, sizeof(refused), ARBITER_FROM_ARBITER), CORRUPT);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(arbiter_wire_head__golden_hello),
		cmocka_unit_test(arbiter_wire_head__golden_request),
		cmocka_unit_test(arbiter_wire_head__golden_park),
		cmocka_unit_test(arbiter_wire_head__golden_return),
		cmocka_unit_test(arbiter_wire_head__golden_welcome),
		cmocka_unit_test(arbiter_wire_head__golden_events),
		cmocka_unit_test(arbiter_wire_head__golden_refused),
		cmocka_unit_test(arbiter_page__golden_offsets),
		cmocka_unit_test(arbiter_wire_check__every_wrong_byte_of_a_head),
		cmocka_unit_test(arbiter_wire_check__every_wrong_length),
		cmocka_unit_test(arbiter_wire_check__sides_have_their_own_messages),
		cmocka_unit_test(arbiter_wire_check__hello_out_of_range),
		cmocka_unit_test(arbiter_wire_check__slots_out_of_range),
		cmocka_unit_test(arbiter_wire_check__what_an_arbiter_may_not_say),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
