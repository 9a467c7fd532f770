/*
 * What the table of settings says to people: --dump-config, --help, the documentation.
 */
#include "base/config_int.h"

#include <string.h>

static const char *type_name(const struct config_setting *s)
{
	static const char *const names[] = {
		[CONFIG_BOOL] = "on|off", [CONFIG_INT] = "N",
		[CONFIG_SIZE] = "SIZE",   [CONFIG_DURATION] = "TIME",
		[CONFIG_STRING] = "TEXT", [CONFIG_SECRET] = "SECRET",
		[CONFIG_LIST] = "A,B,…",  [CONFIG_ENDPOINT] = "HOST:PORT",
	};

	return s->value ? s->value : names[s->type];
}

static void value_name(struct line *l, const struct config_setting *s)
{
	if (s->type == CONFIG_ENUM && !s->value) {
		for (size_t i = 0; s->choices[i]; i++) {
			line_text(l, i ? "|" : "");
			line_text(l, s->choices[i]);
		}
		return;
	}
	line_text(l, type_name(s));
	if (s->may_be_off)
		line_text(l, "|off");
}

/* The default in words. */
static const char *default_of(const struct config_setting *s)
{
	if (s->compute)
		return s->about ? s->about : "found out at the start";
	return config_initial(s)[0] ? config_initial(s) : "none";
}

/* A value as the file wants it: quoted where it would be read differently otherwise. */
static void print_value(FILE *to, const char *text)
{
	size_t length = strlen(text);
	bool quotes = length > 0 && (strchr(" \t\"", text[0]) || strchr(" \t", text[length - 1]) ||
				     strchr(text, '#'));

	if (!quotes) {
		fputs(text, to);
		return;
	}
	fputc('"', to);
	for (; *text; text++) {
		if (*text == '"' || *text == '\\')
			fputc('\\', to);
		fputc(*text, to);
	}
	fputc('"', to);
}

static void dump_setting(const struct config_setting *s, const struct config_origin *o, FILE *to)
{
	char range[256], value[256];
	struct line r, v;

	line_init(&r, range, sizeof(range));
	config_range(&r, s);
	line_init(&v, value, sizeof(value));
	value_name(&v, s);
	fprintf(to, "# %s\n# %s; default: %s%s%s%s%s; from: %s\n", s->meaning, value, default_of(s),
		r.used && s->type != CONFIG_ENUM ? "; range: " : "",
		s->type != CONFIG_ENUM ? range : "", s->role ? "; role: " : "",
		s->role ? s->role : "", o->place);
	if (s->type == CONFIG_SECRET) {
		fprintf(to, "# %s = (%s)\n", s->name, o->text[0] ? "set; hidden" : "not set");
		return;
	}
	fprintf(to, "%s = ", s->name);
	print_value(to, o->text);
	fputc('\n', to);
}

void config_dump(const struct config *c, FILE *to)
{
	for (size_t i = 0; i < c->schema->count; i++) {
		if (i > 0)
			fputc('\n', to);
		dump_setting(&c->schema->settings[i], &c->origins[i], to);
	}
}

void config_help(const struct config_schema *schema, FILE *to)
{
	static const struct config_setting common[] = {
		{.name = "config", .value = "FILE", .meaning = "read settings from a file"},
		{.name = "dump-config", .value = "", .meaning = "print all settings and end"},
		{.name = "help", .value = "", .meaning = "print this and end"},
	};

	for (size_t i = 0; i < schema->count + ARRAY_SIZE(common); i++) {
		const struct config_setting *s = i < schema->count ? &schema->settings[i]
								   : &common[i - schema->count];
		char text[256];
		struct line l;

		line_init(&l, text, sizeof(text));
		line_text(&l, "--");
		line_text(&l, s->name);
		line_char(&l, ' ');
		if (s->type != CONFIG_BOOL || s->value)
			value_name(&l, s);
		fprintf(to, "  %-28s %s", text, s->meaning);
		if (i < schema->count)
			fprintf(to, " (%s)", default_of(s));
		fputc('\n', to);
	}
}

/* Text inside a cell: a | would end it. */
static void print_cell(FILE *to, const char *text)
{
	for (; *text; text++) {
		if (*text == '|')
			fputc('\\', to);
		fputc(*text, to);
	}
}

void config_markdown(const struct config_schema *schema, FILE *to)
{
	fputs("| setting | value | default | range | role | meaning |\n"
	      "|---|---|---|---|---|---|\n",
	      to);
	for (size_t i = 0; i < schema->count; i++) {
		const struct config_setting *s = &schema->settings[i];
		char range[256], value[256];
		struct line l;

		line_init(&l, value, sizeof(value));
		value_name(&l, s);
		line_init(&l, range, sizeof(range));
		if (s->type != CONFIG_ENUM)
			config_range(&l, s);
		fprintf(to, "| `%s` | ", s->name);
		print_cell(to, value);
		fputs(" | ", to);
		print_cell(to, default_of(s));
		fprintf(to, " | %s | %s | ", range, s->role ? s->role : "all");
		print_cell(to, s->meaning);
		fputs(" |\n", to);
	}
}
