#include "base/config.h"

#include "base/assert.h"
#include "base/config_int.h"
#include "base/diag.h"
#include "base/os.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#define VARIABLE_PREFIX "TARN_"
#define PLACE_BYTES     128

/* ---- names ---- */

static char plain(char c)
{
	if (c == '_')
		return '-';
	return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
}

static bool name_is(const char *name, const char *given, size_t length, bool any_case)
{
	for (size_t i = 0; i < length; i++) {
		char c = any_case ? plain(given[i]) : given[i] == '_' ? '-' : given[i];

		if (name[i] == '\0' || name[i] != c)
			return false;
	}
	return name[length] == '\0';
}

static size_t find(const struct config_schema *schema, const char *name, size_t length,
		   bool any_case)
{
	for (size_t i = 0; i < schema->count; i++)
		if (name_is(schema->settings[i].name, name, length, any_case))
			return i;
	return schema->count;
}

size_t config_find(const struct config_schema *schema, const char *name, size_t length)
{
	return find(schema, name, length, false);
}

/* The name that is nearest to the given one, if it is near enough to be meant. */
static const char *nearest(const struct config_schema *schema, const char *name)
{
	size_t best_distance = strlen(name) / 3 + 1;
	const char *best = NULL;

	for (size_t i = 0; i < schema->count; i++) {
		size_t distance = text_distance(name, schema->settings[i].name);

		if (distance <= best_distance) {
			best_distance = distance;
			best = schema->settings[i].name;
		}
	}
	return best;
}

struct status config_fail_unknown(const struct config_schema *schema, const char *place,
				  const char *what, const char *name, size_t length)
{
	char raw[64], shown[128];
	const char *bare = raw, *near;
	struct line l;

	if (length >= sizeof(raw))
		length = sizeof(raw) - 1;
	for (size_t i = 0; i < length; i++)
		raw[i] = plain(name[i]);
	raw[length] = '\0';
	/* as the table has it: without a flag's dashes or a variable's prefix */
	if (strncmp(raw, "--", 2) == 0)
		bare += 2;
	else if (strncmp(raw, "tarn-", 5) == 0)
		bare += 5;
	near = nearest(schema, bare);
	line_init(&l, shown, sizeof(shown));
	text_escaped(&l, name, length, 0);
	if (near)
		return fail(STATUS_INVALID, "%s: %s \"%s\" is unknown; did you mean \"%s\"?", place,
			    what, shown, near);
	return fail(STATUS_INVALID, "%s: %s \"%s\" is unknown; --dump-config lists all", place,
		    what, shown);
}

static size_t index_of(const struct config *c, const char *name)
{
	size_t i = config_find(c->schema, name, strlen(name));

	ASSERT(i < c->schema->count);
	return i;
}

/* ---- one value ---- */

/* The detail of the last failure with place and name before it. */
static struct status fail_at(const char *place, const char *name)
{
	char text[DIAG_TEXT_BYTES];

	snprintf(text, sizeof(text), "%s", diag_text());
	return fail(diag_self()->code, "%s: %s: %s", place, name, text);
}

static struct status fail_memory(void)
{
	return fail(STATUS_NO_MEMORY, "configuration: no memory");
}

static void origin_free(struct config_origin *o)
{
	free(o->place);
	free(o->text);
	*o = (struct config_origin){0};
}

struct status config_apply(struct config *c, size_t index, struct config_found found)
{
	const struct config_setting *s = &c->schema->settings[index];
	struct config_origin *origin = &c->origins[index];
	struct config_origin fresh = {.source = found.source};
	/* large enough for every type, aligned as the caller's struct */
	union {
		struct config_endpoint endpoint;
		struct config_list list;
		uint64_t number;
	} value = {0};

	if (origin->source == found.source)
		return fail(STATUS_INVALID, "%s: %s is given twice (before: %s); say it once",
			    found.place, s->name, origin->place);
	fresh.text = strndup(found.text, found.bytes);
	fresh.place = strdup(found.place);
	if (!fresh.text || !fresh.place) {
		origin_free(&fresh);
		return fail_memory();
	}
	if (!status_ok(config_value_parse(s, fresh.text, &value))) {
		origin_free(&fresh);
		return fail_at(found.place, s->name);
	}
	static const size_t sizes[] = {
		[CONFIG_BOOL] = sizeof(bool),
		[CONFIG_INT] = sizeof(uint64_t),
		[CONFIG_SIZE] = sizeof(uint64_t),
		[CONFIG_DURATION] = sizeof(uint64_t),
		[CONFIG_STRING] = sizeof(char *),
		[CONFIG_SECRET] = sizeof(char *),
		[CONFIG_ENUM] = sizeof(uint32_t),
		[CONFIG_LIST] = sizeof(struct config_list),
		[CONFIG_ENDPOINT] = sizeof(struct config_endpoint),
	};
	config_value_free(s, c->values + s->offset);
	memcpy(c->values + s->offset, &value, sizes[s->type]);
	origin_free(origin);
	*origin = fresh;
	return OK;
}

struct status config_apply_defaults(struct config *c)
{
	for (size_t i = 0; i < c->schema->count; i++) {
		const struct config_setting *s = &c->schema->settings[i];
		char text[512];
		struct line l;

		line_init(&l, text, sizeof(text));
		if (s->compute)
			s->compute(&l);
		else
			line_text(&l, config_initial(s));
		TRY(config_apply(c, i,
				 (struct config_found){.text = l.text,
						       .bytes = l.used,
						       .source = CONFIG_SOURCE_DEFAULT,
						       .place = "default"}));
	}
	return OK;
}

/* ---- the file ---- */

/* A line of the file, cut into what matters. */
struct file_line {
	const char *key;
	size_t key_length;
	char *value; /* in a buffer that may be changed */
	size_t value_length;
};

/* Takes "…" off a value, and backslashes before quotes and backslashes. NULL if it does not end. */
static char *unquote(char *at, size_t length, size_t *ret_length)
{
	char *to = at;
	size_t i = 1;

	for (; i < length && at[i] != '"'; i++) {
		if (at[i] == '\\' && i + 1 < length && (at[i + 1] == '"' || at[i + 1] == '\\'))
			i++;
		*to++ = at[i];
	}
	if (i + 1 != length)
		return NULL;
	*ret_length = (size_t)(to - at);
	return at;
}

/* The length of the value without a comment behind it (a # after a blank) and without blanks. */
static size_t value_end(const char *at, size_t length)
{
	for (size_t i = 0; i < length; i++)
		if (at[i] == '#' && (i == 0 || at[i - 1] == ' ' || at[i - 1] == '\t')) {
			length = i;
			break;
		}
	while (length > 0 && (at[length - 1] == ' ' || at[length - 1] == '\t'))
		length--;
	return length;
}

/* The length of a quoted value: behind the closing quote only blanks and a comment may follow. */
static size_t quoted_end(const char *at, size_t length)
{
	size_t i = 1;

	while (i < length && at[i] != '"')
		i += at[i] == '\\' ? 2 : 1;
	if (i >= length)
		return length;
	return i + 1 + value_end(at + i + 1, length - i - 1);
}

/* False, with what is wrong, if it is no `key = value`. */
static const char *line_split(char *text, size_t length, struct file_line *ret)
{
	char *equals = memchr(text, '=', length);
	char *value;
	size_t left;

	if (!equals)
		return "\"key = value\" is wanted";
	value = equals + 1;
	left = length - (size_t)(value - text);
	while (left > 0 && (*value == ' ' || *value == '\t')) {
		value++;
		left--;
	}
	*ret = (struct file_line){.key = text, .key_length = (size_t)(equals - text)};
	while (ret->key_length > 0 && strchr(" \t", text[ret->key_length - 1]))
		ret->key_length--;
	if (ret->key_length == 0)
		return "a key is wanted before the =";
	if (left > 0 && *value == '"') {
		ret->value = unquote(value, quoted_end(value, left), &ret->value_length);
		return ret->value ? NULL : "the quoted value must end with a quote";
	}
	ret->value = value;
	ret->value_length = value_end(value, left);
	return NULL;
}

static struct status apply_line(struct config *c, const char *place, char *text, size_t length)
{
	struct file_line line;
	const char *wrong;
	size_t index;

	while (length > 0 && (text[length - 1] == '\r' || text[length - 1] == ' '))
		length--;
	while (length > 0 && (*text == ' ' || *text == '\t')) {
		text++;
		length--;
	}
	if (length == 0 || *text == '#')
		return OK;
	for (size_t i = 0; i < length; i++)
		if (((unsigned char)text[i] < 0x20 && text[i] != '\t') || text[i] == 0x7f)
			return fail(STATUS_INVALID,
				    "%s: has a control character (0x%02x); plain text is wanted",
				    place, (unsigned char)text[i]);
	wrong = line_split(text, length, &line);
	if (wrong)
		return fail(STATUS_INVALID, "%s: %s", place, wrong);
	index = config_find(c->schema, line.key, line.key_length);
	if (index == c->schema->count)
		return config_fail_unknown(c->schema, place, "key", line.key, line.key_length);
	return config_apply(c, index,
			    (struct config_found){.text = line.value,
						  .bytes = line.value_length,
						  .source = CONFIG_SOURCE_FILE,
						  .place = place});
}

struct status config_apply_text(struct config *c, const char *name, const char *text, size_t bytes)
{
	struct status status = OK;
	char *copy = malloc(bytes + 1);
	unsigned number = 0;
	size_t at = 0;

	if (!copy)
		return fail_memory();
	memcpy(copy, text, bytes);
	copy[bytes] = '\0';
	while (at < bytes && status_ok(status)) {
		char *end = memchr(copy + at, '\n', bytes - at);
		size_t length = end ? (size_t)(end - copy) - at : bytes - at;
		char place[PLACE_BYTES];

		snprintf(place, sizeof(place), "%.100s:%u", name, ++number);
		status = apply_line(c, place, copy + at, length);
		at += length + 1;
	}
	free(copy);
	return status;
}

static struct status apply_file(struct config *c)
{
	struct status status;
	size_t bytes;
	char *text;

	if (!c->file)
		return OK;
	text = malloc(CONFIG_FILE_BYTES);
	if (!text)
		return fail_memory();
	status = os_file_read(c->file, text, CONFIG_FILE_BYTES, &bytes);
	if (status_ok(status))
		status = config_apply_text(c, c->file, text, bytes);
	free(text);
	return status;
}

/* ---- the environment ---- */

/* What Kubernetes puts into every container beside a service that is called tarn or tarn-…. */
static bool is_service_link(const char *name, size_t length, const char *value)
{
	char text[128];

	snprintf(text, sizeof(text), "%.*s", (int)(length < 127 ? length : 127), name);
	return strstr(text, "_SERVICE_HOST") || strstr(text, "_SERVICE_PORT") ||
	       strstr(text, "_PORT_") ||
	       (length >= 5 && strcmp(text + length - 5, "_PORT") == 0 && strstr(value, "://"));
}

static bool is_listed(const char *const *list, const char *name, size_t length)
{
	for (; list && *list; list++)
		if (strncmp(*list, name, length) == 0 && (*list)[length] == '\0')
			return true;
	return false;
}

static struct status apply_variable(struct config *c, const char *variable)
{
	const char *equals = strchr(variable, '=');
	size_t prefix = strlen(VARIABLE_PREFIX);
	char place[PLACE_BYTES];
	size_t length, index;

	if (!equals || strncmp(variable, VARIABLE_PREFIX, prefix) != 0)
		return OK;
	length = (size_t)(equals - variable);
	index = find(c->schema, variable + prefix, length - prefix, true);
	if (index == c->schema->count) {
		if (name_is("config", variable + prefix, length - prefix, true) ||
		    is_listed(c->schema->other_variables, variable, length) ||
		    is_service_link(variable, length, equals + 1))
			return OK;
		return config_fail_unknown(c->schema, "environment", "variable", variable, length);
	}
	snprintf(place, sizeof(place), "%.*s", (int)(length < 100 ? length : 100), variable);
	return config_apply(c, index,
			    (struct config_found){.text = equals + 1,
						  .bytes = strlen(equals + 1),
						  .source = CONFIG_SOURCE_ENVIRONMENT,
						  .place = place});
}

static struct status apply_environment(struct config *c, char *const *environment)
{
	for (; environment && *environment; environment++)
		TRY(apply_variable(c, *environment));
	return OK;
}

/* ---- the command line ---- */

/* The arguments that are being run over. */
struct arguments {
	int count;
	char *const *texts;
	int at; /* the current one */
};

/* An argument, taken apart; `value` is NULL if it has none of its own. */
struct flag {
	const char *name; /* behind the dashes */
	size_t length;
	const char *value;
};

static struct flag flag_split(const char *argument)
{
	struct flag f = {.name = argument + 2};
	const char *equals = strchr(f.name, '=');

	f.length = equals ? (size_t)(equals - f.name) : strlen(f.name);
	f.value = equals ? equals + 1 : NULL;
	return f;
}

static bool flag_is(const struct flag *f, const char *name)
{
	return name_is(name, f->name, f->length, false);
}

/* `--no-x` of a boolean x. */
static size_t find_negated(const struct config_schema *schema, const struct flag *f)
{
	size_t i;

	if (f->value || f->length < 4 || strncmp(f->name, "no-", 3) != 0)
		return schema->count;
	i = config_find(schema, f->name + 3, f->length - 3);
	return i < schema->count && schema->settings[i].type == CONFIG_BOOL ? i : schema->count;
}

/* The flag's value, from behind its = or from the next argument, which it uses up. */
static struct status flag_value(struct flag *f, struct arguments *a)
{
	if (f->value)
		return OK;
	if (a->at + 1 >= a->count)
		return fail(STATUS_INVALID, "--%.*s: a value is wanted behind it",
			    (int)(f->length < 60 ? f->length : 60), f->name);
	f->value = a->texts[++a->at];
	return OK;
}

static struct status apply_flag(struct config *c, struct flag f, struct arguments *a)
{
	size_t index = config_find(c->schema, f.name, f.length);
	char place[PLACE_BYTES];

	if (index == c->schema->count) {
		index = find_negated(c->schema, &f);
		f.value = "off";
	} else if (c->schema->settings[index].type == CONFIG_BOOL && !f.value) {
		f.value = "on";
	}
	if (index == c->schema->count)
		return config_fail_unknown(c->schema, "command line", "flag", f.name - 2,
					   f.length + 2);
	TRY(flag_value(&f, a));
	snprintf(place, sizeof(place), "--%s", c->schema->settings[index].name);
	return config_apply(c, index,
			    (struct config_found){.text = f.value,
						  .bytes = strlen(f.value),
						  .source = CONFIG_SOURCE_FLAG,
						  .place = place});
}

/* The flags that every program has. Sets *ret_taken if this was one. */
static struct status take_common(struct config *c, struct flag f, struct arguments *a,
				 bool *ret_taken)
{
	*ret_taken = true;
	if (flag_is(&f, "help")) {
		c->help = true;
	} else if (flag_is(&f, "dump-config")) {
		c->dump = true;
	} else if (flag_is(&f, "config")) {
		TRY(flag_value(&f, a));
		/* seen again in the second run it is the same one */
		if (c->file_flag && c->file_flag != f.value)
			return fail(STATUS_INVALID, "--config: is given twice; one file is wanted");
		c->file_flag = f.value;
	} else {
		*ret_taken = false;
	}
	return OK;
}

/*
 * Runs over the arguments: once for the common flags, which must be known before the file is read,
 * and once for the settings, which are applied last.
 */
static struct status run_over(struct config *c, int argc, char *const *argv, bool settings)
{
	struct arguments a = {.count = argc, .texts = argv};
	bool flags = true;

	c->argument_count = 0;
	for (; a.at < argc; a.at++) {
		const char *argument = argv[a.at];
		bool taken;

		if (flags && strcmp(argument, "--") == 0) {
			flags = false;
		} else if (flags && strncmp(argument, "--", 2) == 0) {
			struct flag f = flag_split(argument);

			TRY(take_common(c, f, &a, &taken));
			if (taken)
				continue;
			if (settings)
				TRY(apply_flag(c, f, &a));
		} else if (settings) {
			if (!c->schema->takes_arguments)
				return fail(STATUS_INVALID,
					    "command line: \"%.60s\" is no flag; see --help",
					    argument);
			c->arguments[c->argument_count++] = argv[a.at];
		}
	}
	return OK;
}

/* ---- all of it ---- */

struct config *config_new(const struct config_schema *schema)
{
	struct config *c = calloc(1, sizeof(*c));

	if (!c)
		return NULL;
	c->schema = schema;
	c->values = calloc(1, schema->values_bytes + 1);
	c->origins = calloc(schema->count + 1, sizeof(*c->origins));
	if (!c->values || !c->origins) {
		config_destroy(c);
		return NULL;
	}
	return c;
}

static const char *variable_of(char *const *environment, const char *name)
{
	size_t length = strlen(name);

	for (; environment && *environment; environment++)
		if (strncmp(*environment, name, length) == 0 && (*environment)[length] == '=')
			return *environment + length + 1;
	return NULL;
}

static struct status load(struct config *c, int argc, char *const *argv, char *const *environment)
{
	c->arguments = calloc((size_t)argc + 1, sizeof(*c->arguments));
	if (!c->arguments)
		return fail_memory();
	TRY(run_over(c, argc, argv, false));
	if (c->help)
		return OK;
	c->file = c->file_flag ? c->file_flag : variable_of(environment, VARIABLE_PREFIX "CONFIG");
	TRY(config_apply_defaults(c));
	TRY(apply_file(c));
	TRY(apply_environment(c, environment));
	TRY(run_over(c, argc, argv, true));
	return c->schema->check ? c->schema->check(c, c->values) : OK;
}

struct status config_create(const struct config_schema *schema, int argc, char *const *argv,
			    char *const *environment, struct config **ret_config)
{
	struct config *c = config_new(schema);
	struct status status;

	if (!c)
		return fail_memory();
	status = load(c, argc, argv, environment);
	if (!status_ok(status)) {
		config_destroy(c);
		return status;
	}
	*ret_config = c;
	return OK;
}

void config_destroy(struct config *c)
{
	if (!c)
		return;
	for (size_t i = 0; c->origins && c->values && i < c->schema->count; i++) {
		config_value_free(&c->schema->settings[i],
				  c->values + c->schema->settings[i].offset);
		origin_free(&c->origins[i]);
	}
	free(c->values);
	free(c->origins);
	free(c->arguments);
	free(c);
}

const void *config_values(const struct config *c)
{
	return c->values;
}

char *const *config_arguments(const struct config *c, size_t *ret_count)
{
	*ret_count = c->argument_count;
	return c->arguments;
}

bool config_help_wanted(const struct config *c)
{
	return c->help;
}

bool config_dump_wanted(const struct config *c)
{
	return c->dump;
}

bool config_given(const struct config *c, const char *name)
{
	return c->origins[index_of(c, name)].source > CONFIG_SOURCE_DEFAULT;
}

const char *config_place(const struct config *c, const char *name)
{
	return c->origins[index_of(c, name)].place;
}

struct status config_fail(const struct config *c, const char *name, const char *format, ...)
{
	char text[DIAG_TEXT_BYTES];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	return fail(STATUS_INVALID, "%s: %s: %s", config_place(c, name), name, text);
}
