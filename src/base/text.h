/*
 * Text for people and from people: sizes, times, numbers and addresses as settings and flags have
 * them, and the escaping of bytes that may be anything.
 *
 * The parsers take the whole text or fail with INVALID and a detail that says what is wanted.
 */
#pragma once

#include "base/compiler.h"
#include "base/line.h"
#include "base/status.h"

#include <stdbool.h>

/* A place on the network, as "host:port"; an IPv6 address stands in brackets: "[::1]:6400". */
#define TEXT_HOST_BYTES     254
#define TEXT_ENDPOINT_BYTES (TEXT_HOST_BYTES + 9)
struct endpoint {
	char host[TEXT_HOST_BYTES]; /* a name or an address, without brackets */
	uint16_t port;
	bool ipv6; /* the host stood in brackets */
};

/* A decimal number. */
struct status text_parse_u64(const char *text, uint64_t *ret);
struct status text_parse_i64(const char *text, int64_t *ret);

/* "on", "true", "yes", "1", or "off", "false", "no", "0". */
struct status text_parse_bool(const char *text, bool *ret);

/* Bytes: "4096", "64K", "1.5G"; K M G T are powers of 1024. */
struct status text_parse_size(const char *text, uint64_t *ret_bytes);

/* A time with its unit: "100ns", "20us", "1.5ms", "30s"; "0" needs none. */
struct status text_parse_duration(const char *text, uint64_t *ret_ns);

/* "name:6400", "127.0.0.1:6400", "[::1]:6400"; the port is from 0 to 65535. */
struct status text_parse_endpoint(const char *text, struct endpoint *ret);

/* The number of bytes (ns) so that parsing gives the same again: "64M", "4097", "1500us". */
void text_size(struct line *l, uint64_t bytes);
void text_duration(struct line *l, uint64_t ns);

/* The same for reading: three or four digits, rounded: "1.46 GiB", "12.3 us". */
void text_size_round(struct line *l, uint64_t bytes);
void text_duration_round(struct line *l, uint64_t ns);

/* "host:port", with brackets where they are needed. */
void text_endpoint(struct line *l, const struct endpoint *e);

/*
 * Appends bytes so that they are printable and stay on one line: what is not printable UTF-8, and
 * the backslash, becomes \xNN or \\. Stops, with l->cut, while at least `keep` bytes are free.
 */
void text_escaped(struct line *l, const void *bytes, size_t count, size_t keep);

/*
 * The same as the inside of a JSON string: control characters, quotes and backslashes escaped, and
 * the replacement character for what is not UTF-8.
 */
void text_json(struct line *l, const void *bytes, size_t count, size_t keep);

/*
 * The number of edits (insertion, deletion, replacement, swap of neighbours) between two words of
 * at most 63 bytes; SIZE_MAX for longer ones. For "did you mean".
 */
size_t text_distance(const char *a, const char *b);
