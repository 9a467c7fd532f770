/*
 * CRC-32C (Castagnoli; the one of iSCSI, ext4 and NVMe), through ISA-L. The usual form: begins with
 * all ones, ends inverted, so that crc32c("123456789") is 0xe3069283.
 */
#pragma once

#include "base/compiler.h"

/* The checksum of bytes[count]; 0 for none. */
uint32_t crc32c(const void *bytes, size_t count);

/* The checksum of what `crc` covers followed by bytes[count]. */
uint32_t crc32c_extend(uint32_t crc, const void *bytes, size_t count);

/* The checksum of A followed by B, from those of A and of B and the length of B. O(log length). */
uint32_t crc32c_combine(uint32_t crc_a, uint32_t crc_b, uint64_t count_b);
