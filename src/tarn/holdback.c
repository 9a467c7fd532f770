#include "tarn/holdback.h"

#include "base/cpus.h"
#include "base/diag.h"
#include "base/line.h"
#include "base/machine.h"
#include "base/os.h"
#include "base/text.h"

#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>

#define WORD_BYTES 64

/* What a check works with. */
struct look {
	const char *root;
	const struct holdback_need *need;
	struct holdback *found;
};

/* ---- helpers --------------------------------------------------------------------------------- */

/* Adds what holds back; the caller sets `fix` in what is returned. NULL if the list is full. */
static PRINTF(3, 4) struct holdback_item *add(const struct look *look, const char *what,
					      const char *format, ...)
{
	struct holdback_item *item;
	va_list args;

	if (look->found->count == HOLDBACK_MAX)
		return NULL;
	item = &look->found->item[look->found->count++];
	item->what = what;
	va_start(args, format);
	vsnprintf(item->found, sizeof(item->found), format, args);
	va_end(args);
	return item;
}

static PRINTF(2, 3) void fix(struct holdback_item *item, const char *format, ...)
{
	va_list args;

	if (!item)
		return;
	va_start(args, format);
	vsnprintf(item->fix, sizeof(item->fix), format, args);
	va_end(args);
}

/* Reads a word from a small file below the root. False if it cannot be read. */
static bool read_word(const struct look *look, const char *path, char text[WORD_BYTES])
{
	char whole[PATH_MAX];
	size_t bytes;

	if (snprintf(whole, sizeof(whole), "%s%s", look->root, path) >= (int)sizeof(whole))
		return false;
	if (!status_ok(os_file_read(whole, text, WORD_BYTES, &bytes)))
		return false;
	text[strcspn(text, " \n")] = 0;
	return true;
}

static void format_size(char *text, size_t bytes, uint64_t value)
{
	struct line l;

	line_init(&l, text, bytes);
	text_size_round(&l, value);
}

/* ---- limits of the process ------------------------------------------------------------------- */

static void check_open_files(const struct look *look)
{
	uint64_t soft;

	if (!status_ok(os_rlimit_raise(RLIMIT_NOFILE, look->need->open_files, &soft)))
		return;
	if (soft < look->need->open_files)
		fix(add(look, "open files", "%llu at most", (unsigned long long)soft),
		    "ulimit -Hn %llu as root (systemd: LimitNOFILE=%llu)",
		    (unsigned long long)look->need->open_files,
		    (unsigned long long)look->need->open_files);
}

static void check_locked_memory(const struct look *look)
{
	char limit[32];
	uint64_t soft;

	if (!status_ok(os_rlimit_raise(RLIMIT_MEMLOCK, UINT64_MAX, &soft)))
		return;
	if (soft >= look->need->memory_bytes)
		return;
	format_size(limit, sizeof(limit), soft);
	fix(add(look, "locked memory", "%s at most, registered buffers need more", limit),
	    "ulimit -l unlimited as root (systemd: LimitMEMLOCK=infinity)");
}

/* ---- memory ---------------------------------------------------------------------------------- */

static void check_transparent_huge_pages(const struct look *look)
{
	if (machine_thp(look->root) == MACHINE_THP_NEVER)
		fix(add(look, "huge pages", "transparent huge pages are off"),
		    "echo madvise > /sys/kernel/mm/transparent_hugepage/enabled");
}

static void check_reserved_huge_pages(const struct look *look)
{
	struct machine_pool pools[MACHINE_POOLS_MAX];
	size_t count = machine_pools(look->root, pools);

	if (machine_thp_shared(look->root) >= MACHINE_THP_MADVISE)
		return;
	for (size_t i = 0; i < count; i++) {
		if (pools[i].pages > 0)
			return;
	}
	fix(add(look, "shareable memory", "no huge pages are reserved, so it has small pages"),
	    "tarn serve --hugepages N as root, or sysctl vm.nr_hugepages=N");
}

static void check_overcommit(const struct look *look)
{
	char text[WORD_BYTES];

	if (!read_word(look, "/proc/sys/vm/overcommit_memory", text) || strcmp(text, "2") != 0)
		return;
	fix(add(look, "address space", "the kernel counts reserved addresses as memory"),
	    "sysctl vm.overcommit_memory=0");
}

/* ---- processors ------------------------------------------------------------------------------ */

static void check_quota(const struct look *look)
{
	uint64_t thousandths = machine_cpu_limit(look->root);

	if (thousandths / 1000 >= look->need->cores)
		return;
	fix(add(look, "processors", "the cgroup allows the time of %.2f, for %u cores",
		(double)thousandths / 1000, look->need->cores),
	    "raise cpu.max of the cgroup, or serve with --cores %llu",
	    (unsigned long long)(thousandths < 2000 ? 1 : thousandths / 1000));
}

/* Cores that never sleep need processors that nobody else needs. */
static void check_spinning(const struct look *look)
{
	struct cpus online = machine_cpus_online(look->root);
	uint32_t count = cpus_count(&online);

	if (!look->need->spins || count == 0 || look->need->cores < count)
		return;
	fix(add(look, "processors", "all %u spin, none is left for the system", look->need->cores),
	    "serve with --cores %u", look->need->cores > 1 ? look->need->cores - 1 : 1);
}

static void check_clock(const struct look *look)
{
	static const char *const slow[] = {"hpet", "acpi_pm", "jiffies", "refined-jiffies"};
	char text[WORD_BYTES];

	if (!read_word(look, "/sys/devices/system/clocksource/clocksource0/current_clocksource",
		       text))
		return;
	for (size_t i = 0; i < ARRAY_SIZE(slow); i++) {
		if (strcmp(text, slow[i]) == 0)
			fix(add(look, "clock", "the kernel's source is %s: slow to read", slow[i]),
			    "see dmesg for why it distrusts the cycle counter (tsc)");
	}
}

void holdback_find(const char *root, const struct holdback_need *need, struct holdback *ret)
{
	const struct look look = {.root = root, .need = need, .found = ret};

	ret->count = 0;
	check_overcommit(&look);
	check_transparent_huge_pages(&look);
	check_quota(&look);
	check_spinning(&look);
	check_open_files(&look);
	check_clock(&look);
	check_locked_memory(&look);
	check_reserved_huge_pages(&look);
}
