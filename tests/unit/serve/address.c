#include "serve/address.h"

#include "unit.h"

#include <netinet/in.h>
#include <unistd.h>

static struct status resolve(const char *host, uint16_t port, struct address *ret)
{
	struct endpoint endpoint = {.port = port};

	snprintf(endpoint.host, sizeof(endpoint.host), "%s", host);
	return address_resolve(&endpoint, ret);
}

static void address_resolve__numbers(void **state)
{
	struct address a;

	(void)state;
	assert_ok(resolve("127.0.0.1", 6480, &a));
	assert_string_equal(a.text, "127.0.0.1:6480");
	assert_int_equal(address_port(&a), 6480);
	assert_ok(resolve("::1", 0, &a));
	assert_string_equal(a.text, "[::1]:0");
	assert_int_equal(address_port(&a), 0);
}

static void address_resolve__no_such_host(void **state)
{
	struct address a;

	(void)state;
	assert_status(resolve("not a host", 1, &a), INVALID);
	assert_contains(diag_text(), "not a host");
	assert_status(resolve("256.1.1.1", 1, &a), INVALID);
}

static void address_is_loopback__kinds(void **state)
{
	static const struct {
		const char *host;
		bool loopback;
	} cases[] = {
		{"127.0.0.1", true},        {"127.8.8.8", true},         {"::1", true},
		{"::ffff:127.0.0.1", true}, {"0.0.0.0", false},          {"::", false},
		{"10.0.0.1", false},        {"::ffff:10.0.0.1", false},  {"fe80::1", false},
		{"128.0.0.1", false},       {"::ffff:128.0.0.1", false},
	};
	struct address a;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		assert_ok(resolve(cases[i].host, 1, &a));
		assert_int_equal(address_is_loopback(&a), cases[i].loopback);
	}
}

static void address_listen__port_0_becomes_a_port(void **state)
{
	struct address a;
	int fd;

	(void)state;
	assert_ok(resolve("127.0.0.1", 0, &a));
	assert_ok(address_listen(&a, &fd));
	assert_int_not_equal(address_port(&a), 0);
	assert_contains(a.text, "127.0.0.1:");
	address_close(fd);
}

static void address_listen__in_use(void **state)
{
	struct address a;
	struct address again;
	int fd;
	int other;

	(void)state;
	assert_ok(resolve("127.0.0.1", 0, &a));
	assert_ok(address_listen(&a, &fd));
	again = a;
	assert_status(address_listen(&again, &other), EXISTS);
	assert_contains(diag_text(), a.text);
	assert_contains(diag_text(), "in use");
	address_close(fd);
	/* and it is free again */
	assert_ok(address_listen(&again, &other));
	address_close(other);
}

static void address_listen__not_of_this_machine(void **state)
{
	struct address a;
	int fd;

	(void)state;
	/* TEST-NET-1: nobody has it */
	assert_ok(resolve("192.0.2.1", 0, &a));
	assert_status(address_listen(&a, &fd), INVALID);
	assert_contains(diag_text(), "192.0.2.1:0");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(address_resolve__numbers),
		cmocka_unit_test(address_resolve__no_such_host),
		cmocka_unit_test(address_is_loopback__kinds),
		cmocka_unit_test(address_listen__port_0_becomes_a_port),
		cmocka_unit_test(address_listen__in_use),
		cmocka_unit_test(address_listen__not_of_this_machine),
	};

	return cmocka_run_group_tests_name("serve/address", tests, NULL, NULL);
}
