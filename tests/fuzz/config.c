/*
 * The configuration file's parser: no input may crash it, every refusal must say why, and what was
 * accepted must survive being written by config_dump() and read again.
 */
#include "base/config_int.h"
#include "base/diag.h"

#include "fuzz.h"

#include <stdlib.h>
#include <string.h>

static const char *const levels[] = {"debug", "info", "error", NULL};

#define FUZZ_SETTINGS(X, S)                                                                        \
	X(S, data, STRING, "data", .max = 40, .meaning = "m")                                      \
	X(S, memory, SIZE, "memory", .max = 1ull << 40, .meaning = "m")                            \
	X(S, threads, INT, "threads", .max = 64, .meaning = "m")                                   \
	X(S, wait, DURATION, "wait-time", .meaning = "m")                                          \
	X(S, level, ENUM, "log-level", .initial = "info", .choices = levels, .meaning = "m")       \
	X(S, quiet, BOOL, "quiet", .meaning = "m")                                                 \
	X(S, peers, LIST, "peers", .meaning = "m")                                                 \
	X(S, listen, ENDPOINT, "listen", .initial = "off", .may_be_off = true, .meaning = "m")     \
	X(S, secret, SECRET, "token", .meaning = "m")

CONFIG_STRUCT(fuzz_config, FUZZ_SETTINGS);

static const struct config_setting settings[] = CONFIG_TABLE(fuzz_config, FUZZ_SETTINGS);

static const struct config_schema schema = {
	.program = "fuzz",
	.settings = settings,
	.count = ARRAY_SIZE(settings),
	.values_bytes = sizeof(struct fuzz_config),
};

static void require(bool condition)
{
	if (!condition)
		abort();
}

static struct config *fresh(void)
{
	struct config *c = config_new(&schema);

	require(c != NULL && status_ok(config_apply_defaults(c)));
	return c;
}

/* Written and read again, every value but the secret must be the same. */
static void read_back(const struct config *c)
{
	char *text = NULL;
	size_t bytes = 0;
	FILE *to = open_memstream(&text, &bytes);
	struct config *again = fresh();

	config_dump(c, to);
	fclose(to);
	require(status_ok(config_apply_text(again, "dump", text, bytes)));
	for (size_t i = 0; i < schema.count; i++)
		require(settings[i].type == CONFIG_SECRET ||
			strcmp(c->origins[i].text, again->origins[i].text) == 0);
	config_destroy(again);
	free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t count)
{
	struct config *c = fresh();
	struct status status = config_apply_text(c, "fuzz", (const char *)bytes, count);

	if (status_ok(status))
		read_back(c);
	else
		require(strncmp(diag_text(), "fuzz:", 5) == 0 && strchr(diag_text(), '\n') == NULL);
	config_destroy(c);
	return 0;
}
