#include "base/text.h"

#include "base/clock.h"
#include "base/diag.h"

#include <stdio.h>
#include <string.h>

struct unit {
	const char *name;
	uint64_t factor;
};

static const struct unit size_units[] = {
	{"", 1}, {"K", 1ull << 10}, {"M", 1ull << 20}, {"G", 1ull << 30}, {"T", 1ull << 40},
};

static const struct unit duration_units[] = {
	{"ns", 1},
	{"us", NS_PER_US},
	{"ms", NS_PER_MS},
	{"s", NS_PER_S},
};

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

/* A run of digits, at least one. NULL if there is none or it overflows, else where it ends. */
static const char *digits_read(const char *at, uint64_t *ret)
{
	uint64_t v = 0;

	if (!is_digit(*at))
		return NULL;
	for (; is_digit(*at); at++)
		if (__builtin_mul_overflow(v, 10, &v) ||
		    __builtin_add_overflow(v, (uint64_t)(*at - '0'), &v))
			return NULL;
	*ret = v;
	return at;
}

struct status text_parse_u64(const char *text, uint64_t *ret)
{
	uint64_t v = 0;
	const char *end = digits_read(text, &v);

	if (!end || *end)
		return fail(STATUS_INVALID, "\"%.40s\": a whole number is wanted", text);
	*ret = v;
	return OK;
}

struct status text_parse_i64(const char *text, int64_t *ret)
{
	bool negative = *text == '-';
	uint64_t limit = (uint64_t)INT64_MAX + negative;
	uint64_t v = 0;
	const char *end = digits_read(text + negative, &v);

	if (!end || *end || v > limit)
		return fail(STATUS_INVALID, "\"%.40s\": a whole number is wanted", text);
	*ret = negative ? (int64_t)(0 - v) : (int64_t)v;
	return OK;
}

struct status text_parse_bool(const char *text, bool *ret)
{
	static const char *const words[] = {"off", "on", "false", "true", "no", "yes", "0", "1"};

	for (size_t i = 0; i < ARRAY_SIZE(words); i++) {
		if (strcmp(text, words[i]) != 0)
			continue;
		*ret = i % 2;
		return OK;
	}
	return fail(STATUS_INVALID, "\"%.40s\": on or off is wanted", text);
}

/* ".25" times factor, rounded down. Digits behind the ninth do not count. */
static const char *fraction_read(const char *at, uint64_t factor, uint64_t *ret)
{
	uint64_t v = 0, scale = 1;

	if (!is_digit(at[1]))
		return NULL;
	for (at++; is_digit(*at); at++)
		if (scale < 1000000000) {
			v = v * 10 + (uint64_t)(*at - '0');
			scale *= 10;
		}
	*ret = (uint64_t)((unsigned __int128)v * factor / scale);
	return at;
}

static const struct unit *unit_find(const struct unit *units, size_t count, const char *name)
{
	for (size_t i = 0; i < count; i++)
		if (strcmp(units[i].name, name) == 0)
			return &units[i];
	return NULL;
}

/* A number with an optional fraction and one of the units behind it. */
static bool quantity_read(const char *text, const struct unit *units, size_t count, uint64_t *ret)
{
	const char *name = text + strspn(text, "0123456789.");
	const struct unit *unit = unit_find(units, count, name);
	uint64_t whole = 0, part = 0;
	const char *at = digits_read(text, &whole);

	if (!at || !unit)
		return false;
	if (*at == '.')
		at = fraction_read(at, unit->factor, &part);
	return at == name && !__builtin_mul_overflow(whole, unit->factor, &whole) &&
	       !__builtin_add_overflow(whole, part, ret);
}

struct status text_parse_size(const char *text, uint64_t *ret)
{
	uint64_t v;

	if (!quantity_read(text, size_units, ARRAY_SIZE(size_units), &v))
		return fail(STATUS_INVALID,
			    "\"%.40s\": a size like 4096, 64K, 1.5G is wanted (K M G T, binary)",
			    text);
	*ret = v;
	return OK;
}

struct status text_parse_duration(const char *text, uint64_t *ret)
{
	uint64_t v = 0;

	if (strcmp(text, "0") != 0 &&
	    !quantity_read(text, duration_units, ARRAY_SIZE(duration_units), &v))
		return fail(STATUS_INVALID,
			    "\"%.40s\": a time like 100us, 1.5ms, 30s is wanted (ns us ms s)",
			    text);
	*ret = v;
	return OK;
}

/* The host's part of an endpoint: [text, *ret_colon). False if there is none. */
static bool host_split(const char *text, struct endpoint *e, const char **ret_colon)
{
	const char *begin = text, *end;

	e->ipv6 = *text == '[';
	if (e->ipv6) {
		begin++;
		end = strchr(begin, ']');
		*ret_colon = end ? end + 1 : NULL;
	} else {
		end = strchr(begin, ':');
		*ret_colon = end;
	}
	if (!end || **ret_colon != ':' || end == begin || end - begin >= TEXT_HOST_BYTES)
		return false;
	memcpy(e->host, begin, (size_t)(end - begin));
	return true;
}

static bool host_valid(const struct endpoint *e)
{
	const char *allowed = e->ipv6 ? "0123456789abcdefABCDEF:.%"
				      : "0123456789abcdefghijklmnopqrstuvwxyz"
					"ABCDEFGHIJKLMNOPQRSTUVWXYZ-._*";
	/* behind a % comes the interface's name */
	size_t address = e->ipv6 ? strcspn(e->host, "%") : strlen(e->host);

	return strspn(e->host, allowed) >= address && (!e->ipv6 || strchr(e->host, ':'));
}

struct status text_parse_endpoint(const char *text, struct endpoint *ret)
{
	struct endpoint e = {0};
	const char *colon, *end;
	uint64_t port = 0;

	if (!host_split(text, &e, &colon) || !host_valid(&e) ||
	    !(end = digits_read(colon + 1, &port)) || *end || port > 65535)
		return fail(STATUS_INVALID,
			    "\"%.60s\": an address like 127.0.0.1:6400, name:6400 or [::1]:6400 is "
			    "wanted",
			    text);
	e.port = (uint16_t)port;
	*ret = e;
	return OK;
}

/* In the largest unit that needs no fraction. */
static void quantity(struct line *l, const struct unit *units, size_t count, uint64_t v)
{
	size_t best = 0;

	for (size_t i = 1; i < count && v > 0; i++)
		if (v % units[i].factor == 0)
			best = i;
	line_u64(l, v / units[best].factor);
	line_text(l, units[best].name);
}

void text_size(struct line *l, uint64_t bytes)
{
	quantity(l, size_units, ARRAY_SIZE(size_units), bytes);
}

void text_duration(struct line *l, uint64_t ns)
{
	quantity(l, duration_units, ARRAY_SIZE(duration_units), ns);
}

/* In the largest unit in which it is at least 1. */
static void quantity_round(struct line *l, const struct unit *units, size_t count, uint64_t v,
			   const char *const *names)
{
	size_t best = 0;
	char text[48];

	while (best + 1 < count && v >= units[best + 1].factor)
		best++;

	double shown = (double)v / (double)units[best].factor;
	int digits = best == 0 || shown >= 100 ? 0 : shown >= 10 ? 1 : 2;

	snprintf(text, sizeof(text), "%.*f %s", digits, shown, names[best]);
	line_text(l, text);
}

void text_size_round(struct line *l, uint64_t bytes)
{
	static const char *const names[] = {"B", "KiB", "MiB", "GiB", "TiB"};

	quantity_round(l, size_units, ARRAY_SIZE(size_units), bytes, names);
}

void text_duration_round(struct line *l, uint64_t ns)
{
	static const char *const names[] = {"ns", "us", "ms", "s"};

	quantity_round(l, duration_units, ARRAY_SIZE(duration_units), ns, names);
}

void text_endpoint(struct line *l, const struct endpoint *e)
{
	line_text(l, e->ipv6 ? "[" : "");
	line_text(l, e->host);
	line_text(l, e->ipv6 ? "]:" : ":");
	line_u64(l, e->port);
}

/*
 * The length of the UTF-8 sequence at `at` (the Unicode standard, table 3-7), 0 if there is none:
 * no overlong forms, no surrogates, nothing above U+10FFFF.
 */
static size_t utf8_length(const unsigned char *at, size_t left)
{
	unsigned char lead = at[0];
	unsigned char low = 0x80, high = 0xbf;
	size_t length = lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4;

	if (lead < 0x80)
		return 1;
	if (lead < 0xc2 || lead > 0xf4 || left < length)
		return 0;
	switch (lead) {
	case 0xe0: low = 0xa0; break;
	case 0xed: high = 0x9f; break;
	case 0xf0: low = 0x90; break;
	case 0xf4: high = 0x8f; break;
	default: break;
	}
	if (at[1] < low || at[1] > high)
		return 0;
	for (size_t i = 2; i < length; i++)
		if ((at[i] & 0xc0) != 0x80)
			return 0;
	return length;
}

/* Characters that a terminal or a reader of lines would act upon: C0, DEL, C1. */
static bool is_control(const unsigned char *at, size_t length)
{
	return (length == 1 && (*at < 0x20 || *at == 0x7f)) ||
	       (length == 2 && at[0] == 0xc2 && at[1] < 0xa0);
}

/* One character's escape, "" if it stands for itself; `length` is 0 for what is not UTF-8. */
typedef void escape_unit(char unit[8], const unsigned char *at, size_t length);

static void escape_text(char unit[8], const unsigned char *at, size_t length)
{
	if (length == 0)
		snprintf(unit, 8, "\\x%02x", at[0]);
	else if (*at == '\\')
		memcpy(unit, "\\\\", 3);
	else if (is_control(at, length))
		snprintf(unit, 8, "\\x%02x", length == 1 ? at[0] : at[1]);
	else
		unit[0] = '\0';
}

static void escape_json(char unit[8], const unsigned char *at, size_t length)
{
	if (length == 0)
		memcpy(unit, "\\ufffd", 7);
	else if (*at == '\\' || *at == '"')
		snprintf(unit, 8, "\\%c", *at);
	else if (*at == '\n')
		memcpy(unit, "\\n", 3);
	else if (is_control(at, length))
		snprintf(unit, 8, "\\u%04x", length == 1 ? at[0] : at[1]);
	else
		unit[0] = '\0';
}

static void escape(struct line *l, const void *bytes, size_t count, size_t keep,
		   escape_unit *escape_one)
{
	const unsigned char *at = bytes;

	while (count > 0) {
		size_t length = utf8_length(at, count);
		char unit[8];

		escape_one(unit, at, length);
		size_t size = unit[0] ? strlen(unit) : length;
		if (size + keep > line_room(l)) {
			l->cut = true;
			return;
		}
		line_bytes(l, unit[0] ? unit : (const char *)at, size);
		length += length == 0;
		at += length;
		count -= length;
	}
}

void text_escaped(struct line *l, const void *bytes, size_t count, size_t keep)
{
	escape(l, bytes, count, keep, escape_text);
}

void text_json(struct line *l, const void *bytes, size_t count, size_t keep)
{
	escape(l, bytes, count, keep, escape_json);
}

#define WORD_MAX 63

static size_t min(size_t a, size_t b)
{
	return a < b ? a : b;
}

/* Optimal string alignment, row by row: `before2` is there for the swaps. */
size_t text_distance(const char *a, const char *b)
{
	size_t rows[3][WORD_MAX + 1];
	size_t *before2 = rows[0], *before = rows[1], *row = rows[2];
	size_t length_a = strlen(a), length_b = strlen(b);

	if (length_a > WORD_MAX || length_b > WORD_MAX)
		return SIZE_MAX;
	for (size_t j = 0; j <= length_b; j++)
		row[j] = j;
	for (size_t i = 1; i <= length_a; i++) {
		size_t *oldest = before2;

		before2 = before;
		before = row;
		row = oldest;
		row[0] = i;
		for (size_t j = 1; j <= length_b; j++) {
			row[j] = min(min(before[j], row[j - 1]) + 1,
				     before[j - 1] + (a[i - 1] != b[j - 1]));
			if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
				row[j] = min(row[j], before2[j - 2] + 1);
		}
	}
	return row[length_b];
}
