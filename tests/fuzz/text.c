/*
 * The parsers and escapers of base/text.h and base/cpus.h: no crash; what a parser accepts must be
 * the same after being formatted and parsed again; what is escaped must be printable, on one line.
 */
#include "base/text.h"
#include "base/cpus.h"

#include "fuzz.h"

#include <iconv.h>
#include <stdlib.h>
#include <string.h>

static void require(bool condition)
{
	if (!condition)
		abort();
}

/* A size without a fraction, computed by other means; false if it does not fit. */
static bool size_by_other_means(const char *text, uint64_t *ret)
{
	static const char units[] = "KMGT";
	size_t digits = strspn(text, "0123456789");
	const char *unit = text[digits] ? strchr(units, text[digits]) : NULL;
	unsigned __int128 v = strtoull(text, NULL, 10);

	if (digits > 19)
		return false;
	if (unit)
		v <<= 10 * (unit - units + 1);
	*ret = (uint64_t)v;
	return v <= UINT64_MAX;
}

static void try_numbers(const char *text)
{
	uint64_t v, again;
	char buffer[64];
	struct line l;

	line_init(&l, buffer, sizeof(buffer));
	if (status_ok(text_parse_size(text, &v))) {
		text_size(&l, v);
		require(status_ok(text_parse_size(buffer, &again)) && again == v);
		if (!strchr(text, '.') && size_by_other_means(text, &again))
			require(again == v);
		else
			require(strchr(text, '.') || strspn(text, "0123456789") > 19);
	}
	line_clear(&l);
	if (status_ok(text_parse_duration(text, &v))) {
		text_duration(&l, v);
		require(status_ok(text_parse_duration(buffer, &again)) && again == v);
	}
	line_clear(&l);
	if (status_ok(text_parse_u64(text, &v))) {
		line_u64(&l, v);
		require(status_ok(text_parse_u64(buffer, &again)) && again == v);
	}
}

static void try_endpoint(const char *text)
{
	char buffer[TEXT_ENDPOINT_BYTES];
	struct endpoint e, again;
	struct line l;

	if (!status_ok(text_parse_endpoint(text, &e)))
		return;
	line_init(&l, buffer, sizeof(buffer));
	text_endpoint(&l, &e);
	require(!l.cut && status_ok(text_parse_endpoint(buffer, &again)));
	require(strcmp(e.host, again.host) == 0 && e.port == again.port && e.ipv6 == again.ipv6);
}

static void try_cpus(const char *text)
{
	static char buffer[8192];
	struct cpus set, again;

	if (!status_ok(cpus_parse(text, &set)))
		return;
	cpus_format(&set, buffer, sizeof(buffer));
	require(status_ok(cpus_parse(buffer, &again)) && memcmp(&set, &again, sizeof(set)) == 0);
}

/* Whether the C library takes it for UTF-8. */
static bool is_utf8(char *text, size_t count)
{
	static iconv_t converter;
	static char wide[4 * 32768];
	size_t room = sizeof(wide);
	char *to = wide;

	if (!converter)
		converter = iconv_open("UTF-32LE", "UTF-8");
	require(converter != (iconv_t)-1);
	return iconv(converter, &text, &count, &to, &room) != (size_t)-1;
}

static void try_escapes(const void *bytes, size_t count)
{
	static char buffer[32768];
	struct line l;

	line_init(&l, buffer, sizeof(buffer));
	text_escaped(&l, bytes, count, 0);
	for (size_t i = 0; i < l.used; i++)
		require((unsigned char)buffer[i] >= 0x20 && buffer[i] != 0x7f);
	require(is_utf8(buffer, l.used));
	line_clear(&l);
	text_json(&l, bytes, count, 0);
	for (size_t i = 0; i < l.used; i++) {
		require((unsigned char)buffer[i] >= 0x20 && buffer[i] != '"');
		if (buffer[i] == '\\')
			i++;
	}
	require(is_utf8(buffer, l.used));
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t count)
{
	char *text = malloc(count + 1);

	require(text != NULL);
	memcpy(text, bytes, count);
	text[count] = '\0';
	try_numbers(text);
	try_endpoint(text);
	try_cpus(text);
	try_escapes(bytes, count);
	text_distance(text, "log-level");
	free(text);
	return 0;
}
