/*
 * The values of settings: from text, with all checks, and what may be said about them.
 */
#include "base/config_int.h"

#include "base/diag.h"

#include <stdlib.h>
#include <string.h>

static void number_print(struct line *l, const struct config_setting *s, uint64_t v)
{
	if (s->type == CONFIG_SIZE)
		text_size(l, v);
	else if (s->type == CONFIG_DURATION)
		text_duration(l, v);
	else
		line_u64(l, v);
}

static void choices_print(struct line *l, const struct config_setting *s, const char *between)
{
	for (size_t i = 0; s->choices[i]; i++) {
		line_text(l, i ? between : "");
		line_text(l, s->choices[i]);
	}
}

void config_range(struct line *l, const struct config_setting *s)
{
	if (s->type == CONFIG_ENUM) {
		line_text(l, "one of ");
		choices_print(l, s, ", ");
		return;
	}
	if (s->min == 0 && s->max == 0)
		return;
	if (s->max == 0)
		line_text(l, "at least ");
	number_print(l, s, s->min);
	if (s->max) {
		line_text(l, " to ");
		number_print(l, s, s->max);
	}
	if (s->type == CONFIG_STRING || s->type == CONFIG_SECRET)
		line_text(l, " bytes");
	else if (s->type == CONFIG_LIST)
		line_text(l, " items");
}

static struct status check_range(const struct config_setting *s, const char *text, uint64_t v)
{
	char range[128];
	struct line l;

	if (v >= s->min && (s->max == 0 || v <= s->max))
		return OK;
	line_init(&l, range, sizeof(range));
	config_range(&l, s);
	return fail(STATUS_INVALID, "\"%.40s\" is out of range: %s",
		    s->type == CONFIG_SECRET ? "(hidden)" : text, range);
}

static struct status parse_number(const struct config_setting *s, const char *text, uint64_t *to)
{
	uint64_t v;

	if (s->type == CONFIG_SIZE)
		TRY(text_parse_size(text, &v));
	else if (s->type == CONFIG_DURATION)
		TRY(text_parse_duration(text, &v));
	else
		TRY(text_parse_u64(text, &v));
	TRY(check_range(s, text, v));
	*to = v;
	return OK;
}

static struct status parse_enum(const struct config_setting *s, const char *text, uint32_t *to)
{
	char choices[160];
	struct line l;

	for (uint32_t i = 0; s->choices[i]; i++) {
		if (strcmp(s->choices[i], text) != 0)
			continue;
		*to = i;
		return OK;
	}
	line_init(&l, choices, sizeof(choices));
	choices_print(&l, s, ", ");
	return fail(STATUS_INVALID, "\"%.40s\" is none of %s", text, choices);
}

static struct status parse_endpoint(const struct config_setting *s, const char *text,
				    struct config_endpoint *to)
{
	struct config_endpoint e = {.on = true};

	if (s->may_be_off && strcmp(text, "off") == 0) {
		*to = (struct config_endpoint){.on = false};
		return OK;
	}
	TRY(text_parse_endpoint(text, &e.at));
	*to = e;
	return OK;
}

static size_t items_count(const char *text)
{
	size_t count = *text ? 1 : 0;

	for (; *text; text++)
		count += *text == ',';
	return count;
}

/* Cuts the blanks at both ends off, in place. */
static char *trim(char *text)
{
	size_t length;

	text += strspn(text, " \t");
	length = strlen(text);
	while (length > 0 && strchr(" \t", text[length - 1]))
		text[--length] = '\0';
	return text;
}

/* One block holds the pointers and behind them the texts. */
static struct status parse_list(const struct config_setting *s, const char *text,
				struct config_list *to)
{
	struct config_list list = {.count = items_count(text)};
	char *at;

	TRY(check_range(s, text, list.count));
	list.items = malloc(list.count * sizeof(char *) + strlen(text) + 1);
	if (!list.items)
		return fail(STATUS_NO_MEMORY, "no memory for a list");
	at = (char *)(list.items + list.count);
	memcpy(at, text, strlen(text) + 1);
	for (size_t i = 0; i < list.count; i++) {
		char *item = strsep(&at, ",");

		list.items[i] = trim(item);
		if (list.items[i][0] == '\0') {
			free(list.items);
			return fail(STATUS_INVALID, "\"%.40s\" has an empty item", text);
		}
	}
	*to = list;
	return OK;
}

static struct status parse(const struct config_setting *s, char *text, void *to)
{
	switch (s->type) {
	case CONFIG_BOOL: return text_parse_bool(text, to);
	case CONFIG_INT:
	case CONFIG_SIZE:
	case CONFIG_DURATION: return parse_number(s, text, to);
	case CONFIG_ENUM: return parse_enum(s, text, to);
	case CONFIG_LIST: return parse_list(s, text, to);
	case CONFIG_ENDPOINT: return parse_endpoint(s, text, to);
	case CONFIG_STRING:
	case CONFIG_SECRET: break;
	}
	TRY(check_range(s, text, strlen(text)));
	*(char **)to = text;
	return OK;
}

struct status config_value_parse(const struct config_setting *s, char *text, void *to)
{
	/* the check comes first: a value that was stored owns memory */
	if (s->check)
		TRY(s->check(text));
	return parse(s, text, to);
}

const char *config_initial(const struct config_setting *s)
{
	if (s->initial)
		return s->initial;
	switch (s->type) {
	case CONFIG_BOOL:
	case CONFIG_ENDPOINT: return "off";
	case CONFIG_INT:
	case CONFIG_SIZE:
	case CONFIG_DURATION: return "0";
	case CONFIG_ENUM: return s->choices[0];
	case CONFIG_STRING:
	case CONFIG_SECRET:
	case CONFIG_LIST: break;
	}
	return "";
}

void config_value_free(const struct config_setting *s, void *value)
{
	if (s->type == CONFIG_LIST) {
		struct config_list *list = value;

		free(list->items);
		*list = (struct config_list){0};
	}
}
