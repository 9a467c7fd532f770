/*
 * `tarn version`: what this build is, and what it finds to use here.
 */
#include "base/version.h"
#include "base/diag.h"
#include "base/machine.h"
#include "base/os.h"
#include "mem/mem.h"
#include "tarn/command.h"
#include "tarn/holdback.h"
#include "tarn/options.h"

#include <jansson.h>
#include <microhttpd.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#if defined(__clang__)
#define COMPILER "clang " __clang_version__
#else
#define COMPILER "gcc " __VERSION__
#endif

#if defined(__x86_64__)
#define PROCESSOR "x86-64"
#else
#define PROCESSOR "aarch64"
#endif

/* Adds a member that json_string() or json_array() has just made. */
static void set(json_t *object, const char *key, json_t *value)
{
	json_object_set_new(object, key, value);
}

/* What does the same work in several ways: the way that is used here. */
static json_t *back_ends(void)
{
	json_t *found = json_object();
	char http[64];

	snprintf(http, sizeof(http), "libmicrohttpd %s", MHD_get_version());
	set(found, "context_switch", json_string(PROCESSOR));
	set(found, "sleeping_cores", json_string("futex"));
	set(found, "stack_guards",
	    json_string(os_guard_light() ? "light (MADV_GUARD_INSTALL)"
					 : "mappings (mprotect), 32,000 stacks at most"));
	set(found, "http", json_string(http));
	return found;
}

static json_t *huge_pages(void)
{
	struct machine_pool pools[MACHINE_POOLS_MAX];
	size_t count = machine_pools("", pools);
	json_t *found = json_object();

	set(found, "transparent", json_string(machine_thp_name(machine_thp(""))));
	set(found, "transparent_shared", json_string(machine_thp_name(machine_thp_shared(""))));
	for (size_t i = 0; i < count; i++) {
		char name[48];
		char text[64];

		snprintf(name, sizeof(name), "pools_of_%llu_kib",
			 (unsigned long long)(pools[i].page_bytes >> 10));
		snprintf(text, sizeof(text), "%llu reserved, %llu free",
			 (unsigned long long)pools[i].pages, (unsigned long long)pools[i].free);
		set(found, name, json_string(text));
	}
	return found;
}

/* What memory would be made of: mem says it when it runs. */
static json_t *memory(void)
{
	json_t *found = json_object();

	if (!status_ok(mem_start(NULL))) {
		set(found, "none", json_string(diag_text()));
		return found;
	}
	set(found, "private", json_string(mem_backing_text(mem_backing(MEM_PRIVATE))));
	set(found, "shareable", json_string(mem_backing_text(mem_backing(MEM_SHAREABLE))));
	mem_stop();
	return found;
}

static json_t *held_back_by(void)
{
	const struct holdback_need need = {.memory_bytes = machine_memory_limit("") / 4,
					   .open_files = HOLDBACK_OPEN_FILES,
					   .cores = 1};
	struct holdback found;
	json_t *list = json_array();

	holdback_find("", &need, &found);
	for (uint32_t i = 0; i < found.count; i++)
		json_array_append_new(list, json_pack("{s:s, s:s, s:s}", "what", found.item[i].what,
						      "found", found.item[i].found, "fix",
						      found.item[i].fix));
	return list;
}

static void print_row(const char *key, const char *value)
{
	char line[512];

	snprintf(line, sizeof(line), "  %-21s %s", key, value);
	for (char *at = line + 2; at < line + 23; at++) {
		if (*at == '_')
			*at = ' ';
	}
	command_print_wrapped(stdout, line, 0, 24);
}

static void print_part(const char *title, json_t *part)
{
	const char *key;
	json_t *value;

	printf("%s\n", title);
	json_object_foreach(part, key, value) print_row(key, json_string_value(value));
}

static void print_text(const json_t *version)
{
	const json_t *list = json_object_get(version, "holds_back");
	size_t i;
	json_t *item;

	printf("tarn %s (%s), %s\n", version_text, version_commit, COMPILER);
	print_part("back-ends", json_object_get(version, "back_ends"));
	print_part("memory", json_object_get(version, "memory"));
	print_part("huge pages", json_object_get(version, "huge_pages"));
	if (json_array_size(list) > 0)
		printf("what holds it back\n");
	json_array_foreach(list, i, item)
	{
		print_row(json_string_value(json_object_get(item, "what")),
			  json_string_value(json_object_get(item, "found")));
		print_row("", json_string_value(json_object_get(item, "fix")));
	}
}

static enum command_exit version_main(int argc, char **argv)
{
	bool json = false;
	const struct option options[] = {
		{"json", OPTION_SWITCH, &json, 0, 0},
		{NULL, OPTION_SWITCH, NULL, 0, 0},
	};
	const char *words[16];
	json_t *version;
	uint32_t count;

	if (argc > (int)ARRAY_SIZE(words))
		return command_wrong_usage("version", "too many arguments");
	if (!status_ok(options_parse(options, argc, argv, words, &count)))
		return command_wrong_usage("version", "%s", diag_text());
	if (count > 0)
		return command_wrong_usage("version", "takes flags only, not \"%s\"", words[0]);
	version = json_object();
	set(version, "version", json_string(version_text));
	set(version, "commit", json_string(version_commit));
	set(version, "compiler", json_string(COMPILER));
	set(version, "back_ends", back_ends());
	set(version, "memory", memory());
	set(version, "huge_pages", huge_pages());
	set(version, "holds_back", held_back_by());
	if (json) {
		json_dumpf(version, stdout, JSON_COMPACT);
		putchar('\n');
	} else {
		print_text(version);
	}
	json_decref(version);
	return COMMAND_DONE;
}

const struct command command_version = {
	.name = "version",
	.summary = "says what this build is and what it can use here",
	.usage = "[--json]",
	.help = "Prints version and commit, the back-ends that are used on this machine, what\n"
		"memory is made of, the huge pages that there are, and what holds Tarn back,\n"
		"with the fix.\n"
		"\n"
		"  --json         one object on one line\n"
		"\n"
		"Example: tarn version --json\n",
	.main = version_main,
};
