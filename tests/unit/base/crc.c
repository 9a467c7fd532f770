#include "base/crc.h"

#include "unit.h"

/* RFC 3720, appendix B.4; the checksums stand there as bytes in the order of transmission. */
static void crc32c__rfc_3720(void **state)
{
	static const unsigned char read_pdu[48] = {
		0x01, 0xc0, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
		0x00, 0x00, 0x00, 0x00, 0x14, 0x00, 0x00, 0x00, 0x00, 0x00, 0x04, 0x00,
		0x00, 0x00, 0x00, 0x14, 0x00, 0x00, 0x00, 0x18, 0x28, 0x00, 0x00, 0x00,
		0x00, 0x00, 0x00, 0x00, 0x02, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
	};
	unsigned char bytes[32];

	(void)state;
	memset(bytes, 0, sizeof(bytes));
	assert_int_equal(crc32c(bytes, 32), 0x8a9136aa);
	memset(bytes, 0xff, sizeof(bytes));
	assert_int_equal(crc32c(bytes, 32), 0x62a8ab43);
	for (unsigned char i = 0; i < 32; i++)
		bytes[i] = i;
	assert_int_equal(crc32c(bytes, 32), 0x46dd794e);
	for (unsigned char i = 0; i < 32; i++)
		bytes[i] = (unsigned char)(31 - i);
	assert_int_equal(crc32c(bytes, 32), 0x113fdb5c);
	assert_int_equal(crc32c(read_pdu, 48), 0xd9963a56);
}

static void crc32c__check_value(void **state)
{
	(void)state;
	assert_int_equal(crc32c("123456789", 9), 0xe3069283);
	assert_int_equal(crc32c("", 0), 0);
}

static void crc32c_extend__in_pieces(void **state)
{
	static const char digits[] = "123456789";

	(void)state;
	for (size_t cut = 0; cut <= 9; cut++)
		assert_int_equal(crc32c_extend(crc32c(digits, cut), &digits[cut], 9 - cut),
				 0xe3069283);
}

static void crc32c_combine__same_as_extend(void **state)
{
	static unsigned char bytes[5000];

	(void)state;
	for (size_t i = 0; i < sizeof(bytes); i++)
		bytes[i] = (unsigned char)(i * 7 + (i >> 8));
	for (size_t cut = 0; cut <= sizeof(bytes); cut += 13)
		assert_int_equal(crc32c_combine(crc32c(bytes, cut),
						crc32c(bytes + cut, sizeof(bytes) - cut),
						sizeof(bytes) - cut),
				 crc32c(bytes, sizeof(bytes)));
}

static void crc32c_combine__long_zeros(void **state)
{
	static const unsigned char zeros[1 << 20];
	uint32_t crc = crc32c("x", 1);
	uint32_t extended = crc;

	(void)state;
	for (int i = 0; i < 5; i++)
		extended = crc32c_extend(extended, zeros, sizeof(zeros));
	uint32_t of_zeros = 0;
	for (int i = 0; i < 5; i++)
		of_zeros = crc32c_extend(of_zeros, zeros, sizeof(zeros));
	assert_int_equal(crc32c_combine(crc, of_zeros, 5ull << 20), extended);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(crc32c__rfc_3720),
		cmocka_unit_test(crc32c__check_value),
		cmocka_unit_test(crc32c_extend__in_pieces),
		cmocka_unit_test(crc32c_combine__same_as_extend),
		cmocka_unit_test(crc32c_combine__long_zeros),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
