#include "tarn/options.h"

#include "base/diag.h"
#include "base/text.h"
#include "tarn/command.h"

#include <stdio.h>
#include <string.h>

#define OPTIONS_MAX 32

/* A time; seconds if it has no unit. */
static struct status parse_seconds(const char *text, double *ret)
{
	char with_unit[32];
	uint64_t ns;

	if (text[strspn(text, "0123456789.")] == 0 && strlen(text) < sizeof(with_unit) - 1) {
		snprintf(with_unit, sizeof(with_unit), "%ss", text);
		text = with_unit;
	}
	TRY(text_parse_duration(text, &ns));
	*ret = (double)ns / 1e9;
	return OK;
}

static struct status set_number(const struct option *o, const char *text)
{
	bool is_time = o->kind == OPTION_SECONDS;
	uint64_t count = 0;
	double number = 0;
	struct status s;

	s = is_time ? parse_seconds(text, &number) : text_parse_size(text, &count);
	if (!status_ok(s))
		return fail(STATUS_INVALID, "--%s: \"%s\" is not a %s, e.g. %s", o->name, text,
			    is_time ? "time" : "number", is_time ? "2, 500ms" : "4, 10M");
	if (!is_time)
		number = (double)count;
	if (number < o->least || number > o->most)
		return fail(STATUS_INVALID, "--%s: %s is out of range, %.10g to %.10g%s is right",
			    o->name, text, o->least, o->most, is_time ? " seconds" : "");
	if (is_time)
		*(double *)o->to = number;
	else
		*(uint64_t *)o->to = count;
	return OK;
}

static const struct option *find(const struct option *options, const char *name, size_t bytes)
{
	for (const struct option *o = options; o->name; o++) {
		if (strlen(o->name) == bytes && memcmp(o->name, name, bytes) == 0)
			return o;
	}
	return NULL;
}

static struct status unknown(const struct option *options, const char *name, size_t bytes)
{
	const char *names[OPTIONS_MAX] = {0};
	char word[64];
	uint32_t count = 0;
	const char *near;

	for (const struct option *o = options; o->name && count < OPTIONS_MAX; o++)
		names[count++] = o->name;
	bytes = bytes < sizeof(word) ? bytes : sizeof(word) - 1;
	memcpy(word, name, bytes);
	word[bytes] = 0;
	near = command_nearest(word, names, count);
	if (near)
		return fail(STATUS_INVALID, "unknown flag --%s, did you mean --%s?", word, near);
	return fail(STATUS_INVALID, "unknown flag --%s, see --help", word);
}

/* One flag; *at moves on when the flag takes the next argument as its value. */
static struct status parse_flag(const struct option *options, int argc, char **argv, int *at)
{
	const char *name = argv[*at] + 2;
	const char *equals = strchr(name, '=');
	size_t bytes = equals ? (size_t)(equals - name) : strlen(name);
	const struct option *o = find(options, name, bytes);
	const char *value = equals ? equals + 1 : NULL;

	if (!o)
		return unknown(options, name, bytes);
	if (o->kind == OPTION_SWITCH) {
		if (value)
			return fail(STATUS_INVALID, "--%s takes no value", o->name);
		*(bool *)o->to = true;
		return OK;
	}
	if (!value && *at + 1 < argc)
		value = argv[++*at];
	if (!value || !*value)
		return fail(STATUS_INVALID, "--%s needs a value", o->name);
	if (o->kind == OPTION_TEXT) {
		*(const char **)o->to = value;
		return OK;
	}
	return set_number(o, value);
}

struct status options_parse(const struct option *options, int argc, char **argv, const char **words,
			    uint32_t *ret_words)
{
	uint32_t count = 0;
	bool flags = true;

	for (int at = 1; at < argc; at++) {
		if (flags && strcmp(argv[at], "--") == 0)
			flags = false;
		else if (flags && strncmp(argv[at], "--", 2) == 0)
			TRY(parse_flag(options, argc, argv, &at));
		else if (flags && argv[at][0] == '-' && argv[at][1])
			return fail(STATUS_INVALID, "unknown flag %s, flags begin with two dashes",
				    argv[at]);
		else
			words[count++] = argv[at];
	}
	*ret_words = count;
	return OK;
}
