#include "base/crc.h"

#include <isa-l/crc.h>

/* The polynomial with its bits reversed: bit 31 is x^0. */
#define POLYNOMIAL 0x82f63b78u
#define ONE        0x80000000u

/* ISA-L takes the length as an int. */
#define CHUNK_BYTES (1u << 30)

uint32_t crc32c_extend(uint32_t crc, const void *bytes, size_t count)
{
	/* ISA-L reads only, but does not say so in its type */
	unsigned char *at = (unsigned char *)(uintptr_t)bytes;

	crc = ~crc;
	while (count > 0) {
		size_t part = count < CHUNK_BYTES ? count : CHUNK_BYTES;

		crc = crc32_iscsi(at, (int)part, crc);
		at += part;
		count -= part;
	}
	return ~crc;
}

uint32_t crc32c(const void *bytes, size_t count)
{
	return crc32c_extend(0, bytes, count);
}

/* a(x) times b(x) modulo the polynomial. */
static uint32_t multiply(uint32_t a, uint32_t b)
{
	uint32_t product = 0;

	for (uint32_t bit = ONE; bit; bit >>= 1) {
		if (a & bit)
			product ^= b;
		b = b & 1 ? (b >> 1) ^ POLYNOMIAL : b >> 1;
	}
	return product;
}

/*
 * Appending B multiplies A's checksum by x^(8 * length of B); squaring gives the powers. (As
 * crc32_combine of zlib does since 1.2.12.)
 */
uint32_t crc32c_combine(uint32_t crc_a, uint32_t crc_b, uint64_t count_b)
{
	uint32_t shift = ONE;
	uint32_t power = ONE >> 8; /* x^8: one byte */

	for (; count_b > 0; count_b >>= 1) {
		if (count_b & 1)
			shift = multiply(shift, power);
		power = multiply(power, power);
	}
	return multiply(shift, crc_a) ^ crc_b;
}
