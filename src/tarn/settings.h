/*
 * The settings of a node: one table that makes the flags, the file's keys, the environment's
 * variables, the checks, --help, --dump-config and docs/serve.md.
 */
#pragma once

#include "base/config.h"
#include "rt/rt.h"

#define MEMORY_BYTES_MIN (64ull << 20)

#define SETTINGS_SERVE(X, S)                                                                       \
	X(S, data, STRING, "data", .initial = "./tarn-data", .value = "DIR", .min = 1,             \
	  .max = 4000, .meaning = "where the data lives; made if it is missing")                   \
	X(S, memory, SIZE, "memory", .compute = settings_memory_default,                           \
	  .about = "a quarter of the machine's", .min = MEMORY_BYTES_MIN,                          \
	  .meaning = "memory for everything; /status shows how it is divided")                     \
	X(S, disk, SIZE, "disk", .compute = settings_disk_default,                                 \
	  .about = "half of the free space of --data",                                             \
	  .meaning = "disk space to use; 0 turns the disk tier off")                               \
	X(S, durability, ENUM, "durability", .initial = "log", .choices = settings_durabilities,   \
	  .meaning = "what a reply of the store promises")                                         \
	X(S, cores, STRING, "cores", .compute = settings_cores_default,                            \
	  .about = "all that the process may use", .value = "N|LIST", .min = 1, .max = 4000,       \
	  .check = settings_cores_check,                                                           \
	  .meaning = "how many cores, or which processors: 4, or 0-3,8")                           \
	X(S, core_mode, ENUM, "core-mode", .initial = "shared", .choices = settings_core_modes,    \
	  .meaning = "shared sleeps early, dedicated is pinned, exclusive spins")                  \
	X(S, arbiter, STRING, "arbiter", .initial = "off", .value = "PATH|default|off", .min = 1,  \
	  .max = 107, .meaning = "socket of tarn arbiter, to ask for cores as the load needs")     \
	X(S, priority, INT, "priority", .initial = "0", .max = 7,                                  \
	  .meaning = "of what is asked of the arbiter; 0 is the most urgent")                      \
	X(S, hugepages, INT, "hugepages", .initial = "0", .max = 1u << 24,                         \
	  .meaning = "huge pages of 2 MiB to make the system reserve (root)")                      \
	X(S, listen, ENDPOINT, "listen", .initial = "127.0.0.1:6410",                              \
	  .meaning = "address of the fabric (tcp, and the shm hand-shake)")                        \
	X(S, resp, ENDPOINT, "resp", .initial = "127.0.0.1:6400", .may_be_off = true,              \
	  .meaning = "address for Redis clients")                                                  \
	X(S, http, ENDPOINT, "http", .initial = "127.0.0.1:6480", .may_be_off = true,              \
	  .meaning = "address of /healthz, /metrics, /status and the dashboard")                   \
	X(S, meta, STRING, "meta", .initial = "embedded", .value = "WHERE", .max = 4000,           \
	  .check = settings_meta_check,                                                            \
	  .meaning = "embedded, tarn://HOST:PORT or etcd://HOST:PORT[,...]")                       \
	X(S, name, STRING, "name", .compute = settings_name_default, .about = "the host's name",   \
	  .value = "NAME", .min = 1, .max = 64, .check = settings_name_check,                      \
	  .meaning = "of this node, in the cluster and in figures")                                \
	X(S, secret, STRING, "secret", .value = "FILE", .max = 4000,                               \
	  .meaning = "file with the cluster's secret")                                             \
	X(S, tls_cert, STRING, "tls-cert", .value = "FILE", .max = 4000,                           \
	  .meaning = "this node's certificate")                                                    \
	X(S, tls_key, STRING, "tls-key", .value = "FILE", .max = 4000,                             \
	  .meaning = "the key of the certificate")                                                 \
	X(S, tls_ca, STRING, "tls-ca", .value = "FILE", .max = 4000,                               \
	  .meaning = "who signs the certificates of the other side")                               \
	X(S, log_level, ENUM, "log-level", .initial = "info", .choices = settings_log_levels,      \
	  .meaning = "the least grave lines that are logged")                                      \
	X(S, log_format, ENUM, "log-format", .initial = "text", .choices = settings_log_formats,   \
	  .meaning = "of log lines")                                                               \
	X(S, log, STRING, "log", .value = "FILE", .max = 4000,                                     \
	  .meaning = "where the log goes; standard error if not given")

CONFIG_STRUCT(settings, SETTINGS_SERVE);

extern const struct config_schema settings_schema;

/*
 * Reads the settings of `tarn serve` from its arguments (without the command's name), the
 * environment and the file. INVALID with a line for the user. Resolves names and reads files, and
 * may block for it. Free with config_destroy().
 */
struct status settings_load(int argc, char *const *argv, struct config **ret);

/* The processors that --cores stands for. */
struct settings_cores {
	uint32_t count;
	bool listed;                 /* the numbers were given */
	uint32_t cpus[RT_CORES_MAX]; /* then these, `count` of them */
};

/* What --cores says. INVALID: not possible for this process; the text says what is. */
struct status settings_cores(const char *text, struct settings_cores *ret);
