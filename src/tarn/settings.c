#include "tarn/settings.h"

#include "base/cpus.h"
#include "base/diag.h"
#include "base/machine.h"
#include "base/os.h"
#include "serve/address.h"

#include <ctype.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>
#include <unistd.h>

#define SECRET_BYTES_MIN 16

extern char **environ;

static const char *const settings_durabilities[] = {"none", "checkpoint", "log", "replicated",
						    NULL};
static const char *const settings_core_modes[] = {"shared", "dedicated", "exclusive", NULL};
static const char *const settings_log_levels[] = {"debug", "info", "warn", "error", NULL};
static const char *const settings_log_formats[] = {"text", "json", NULL};

/* ---- defaults that are found out ------------------------------------------------------------- */

static void settings_memory_default(struct line *l)
{
	uint64_t bytes = machine_memory_limit("") / 4;

	if (bytes < MEMORY_BYTES_MIN)
		bytes = MEMORY_BYTES_MIN;
	text_size(l, bytes & ~((1ull << 20) - 1));
}

/* The directory whose free space counts: the table's defaults know no other settings. Written by
 * settings_load() before the table is read for good. */
static char data_directory[PATH_MAX] = ".";

/* Free space where the data directory is, or will be: of the nearest part that exists. */
static void settings_disk_default(struct line *l)
{
	char path[PATH_MAX];
	struct statvfs info;
	uint64_t bytes = 0;

	memcpy(path, data_directory, sizeof(path));
	while (statvfs(path, &info)) {
		char *slash = strrchr(path, '/');

		if (slash && slash != path)
			*slash = 0;
		else
			memcpy(path, slash ? "/" : ".", 2);
		if (path[1] == 0) {
			if (statvfs(path, &info))
				memset(&info, 0, sizeof(info));
			break;
		}
	}
	bytes = (uint64_t)info.f_bavail * info.f_frsize / 2;
	text_size(l, bytes & ~((1ull << 20) - 1));
}

static uint32_t cores_allowed(struct cpus *ret)
{
	uint32_t count;

	if (!status_ok(os_affinity_get(0, ret))) {
		memset(ret, 0, sizeof(*ret));
		cpus_add(ret, 0);
	}
	count = cpus_count(ret);
	return count < RT_CORES_MAX ? count : RT_CORES_MAX;
}

static void settings_cores_default(struct line *l)
{
	struct cpus allowed;

	line_u64(l, cores_allowed(&allowed));
}

static bool is_name(const char *text)
{
	for (; *text; text++) {
		if (!isalnum((unsigned char)*text) && !strchr("-_.", *text))
			return false;
	}
	return true;
}

static void settings_name_default(struct line *l)
{
	char host[65];

	if (gethostname(host, sizeof(host)) || !host[0])
		memcpy(host, "tarn", 5);
	host[sizeof(host) - 1] = 0;
	line_text(l, is_name(host) ? host : "tarn");
}

/* ---- checks of one setting ------------------------------------------------------------------- */

static struct status cores_listed(const char *text, const struct cpus *allowed,
				  struct settings_cores *ret)
{
	char list[256];
	struct cpus wanted;

	cpus_format(allowed, list, sizeof(list));
	if (!status_ok(cpus_parse(text, &wanted)) || cpus_count(&wanted) == 0)
		return fail(STATUS_INVALID, "\"%.60s\" is neither a number nor a list like 0-3,8",
			    text);
	ret->count = cpus_count(&wanted);
	ret->listed = true;
	if (ret->count > RT_CORES_MAX)
		return fail(STATUS_INVALID, "%u cores, %u are the most", ret->count, RT_CORES_MAX);
	for (uint32_t i = 0; i < ret->count; i++) {
		ret->cpus[i] = cpus_nth(&wanted, i);
		if (!cpus_has(allowed, ret->cpus[i]))
			return fail(STATUS_INVALID,
				    "processor %u is not for this process, these are: %.80s",
				    ret->cpus[i], list);
	}
	return OK;
}

struct status settings_cores(const char *text, struct settings_cores *ret)
{
	struct cpus allowed;
	uint32_t most = cores_allowed(&allowed);
	uint64_t count;

	memset(ret, 0, sizeof(*ret));
	if (text[strspn(text, "0123456789")])
		return cores_listed(text, &allowed, ret);
	if (!status_ok(text_parse_u64(text, &count)) || count < 1 || count > most)
		return fail(STATUS_INVALID, "%.20s cores, this process may use 1 to %u", text,
			    most);
	ret->count = (uint32_t)count;
	return OK;
}

static struct status settings_cores_check(const char *text)
{
	struct settings_cores cores;

	return settings_cores(text, &cores);
}

static struct status settings_name_check(const char *text)
{
	if (!is_name(text))
		return fail(STATUS_INVALID, "\"%.64s\": letters, digits and -_. are right", text);
	return OK;
}

/* One or more HOST:PORT with commas between them. */
static struct status endpoints_check(const char *text, bool several)
{
	char copy[4096];
	char *rest = copy;
	char *one;

	if (snprintf(copy, sizeof(copy), "%s", text) >= (int)sizeof(copy))
		return fail(STATUS_INVALID, "the list is too long");
	while ((one = strsep(&rest, ",")) != NULL) {
		struct endpoint endpoint;

		TRY(text_parse_endpoint(one, &endpoint));
		if (rest && !several)
			return fail(STATUS_INVALID, "tarn:// takes one HOST:PORT");
	}
	return OK;
}

static struct status settings_meta_check(const char *text)
{
	if (strcmp(text, "embedded") == 0)
		return OK;
	if (strncmp(text, "tarn://", 7) == 0)
		return endpoints_check(text + 7, false);
	if (strncmp(text, "etcd://", 7) == 0)
		return endpoints_check(text + 7, true);
	return fail(STATUS_INVALID,
		    "\"%.60s\": embedded, tarn://HOST:PORT or etcd://HOST:PORT[,...] is right",
		    text);
}

/* ---- contradictions -------------------------------------------------------------------------- */

static struct status check_file(const struct config *c, const char *name, const char *path)
{
	if (*path && access(path, R_OK))
		return config_fail(c, name, "%.150s cannot be read", path);
	return OK;
}

static struct status check_secret(const struct config *c, const char *path)
{
	char text[4097];
	size_t bytes;

	if (!*path)
		return OK;
	TRY(check_file(c, "secret", path));
	if (!status_ok(os_file_read(path, text, sizeof(text), &bytes)))
		return config_fail(c, "secret", "%.120s: a file of %u to 4096 bytes is right", path,
				   SECRET_BYTES_MIN);
	while (bytes > 0 && strchr(" \t\r\n", text[bytes - 1]))
		bytes--;
	memset(text, 0, sizeof(text));
	if (bytes < SECRET_BYTES_MIN)
		return config_fail(c, "secret",
				   "%.100s holds %zu bytes: a secret has %u or more, e.g. of "
				   "openssl rand -hex 32",
				   path, bytes, SECRET_BYTES_MIN);
	return OK;
}

static struct status check_tls(const struct config *c, const struct settings *s)
{
	const char *const names[] = {"tls-cert", "tls-key", "tls-ca"};
	const char *const paths[] = {s->tls_cert, s->tls_key, s->tls_ca};
	bool any = *s->tls_cert || *s->tls_key || *s->tls_ca;

	for (size_t i = 0; any && i < ARRAY_SIZE(names); i++) {
		if (!*paths[i])
			return config_fail(c, names[i],
					   "is missing: TLS needs --tls-cert, --tls-key and "
					   "--tls-ca together");
		TRY(check_file(c, names[i], paths[i]));
	}
	return OK;
}

/* Without a secret and without TLS nobody may come in from outside. */
static struct status check_door(const struct config *c, const char *name,
				const struct config_endpoint *door, bool guarded)
{
	struct address address;

	if (!door->on)
		return OK;
	if (!status_ok(address_resolve(&door->at, &address)))
		return config_fail(c, name, "%.100s is no address and no host that is known here",
				   door->at.host);
	if (!guarded && !address_is_loopback(&address))
		return config_fail(c, name,
				   "%s can be reached from outside: give --secret or --tls-cert, "
				   "--tls-key and --tls-ca, or listen on 127.0.0.1",
				   address.text);
	return OK;
}

static struct status settings_check(const struct config *c, const void *values)
{
	const struct settings *s = values;
	bool guarded = *s->secret || *s->tls_cert;

	if (s->priority > 0 && strcmp(s->arbiter, "off") == 0)
		return config_fail(c, "priority", "is for the arbiter: give --arbiter, too");
	TRY(check_tls(c, s));
	TRY(check_secret(c, s->secret));
	TRY(check_door(c, "listen", &s->listen, guarded));
	TRY(check_door(c, "resp", &s->resp, guarded));
	return check_door(c, "http", &s->http, guarded);
}

/* ---- the table ------------------------------------------------------------------------------- */

static const struct config_setting table[] = CONFIG_TABLE(settings, SETTINGS_SERVE);

/* variables that begin with TARN_ and belong to other commands and to the scripts */
static const char *const other_variables[] = {"TARN_AT", "TARN_INSTALL", NULL};

const struct config_schema settings_schema = {
	.program = "tarn serve",
	.settings = table,
	.count = ARRAY_SIZE(table),
	.values_bytes = sizeof(struct settings),
	.other_variables = other_variables,
	.check = settings_check,
};

struct status settings_load(int argc, char *const *argv, struct config **ret)
{
	struct config *first;
	const struct settings *s;

	/* twice: the default of --disk hangs on --data */
	TRY(config_create(&settings_schema, argc, argv, environ, &first));
	s = config_values(first);
	if (!config_help_wanted(first))
		snprintf(data_directory, sizeof(data_directory), "%s", s->data);
	config_destroy(first);
	return config_create(&settings_schema, argc, argv, environ, ret);
}
