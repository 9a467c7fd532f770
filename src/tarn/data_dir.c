#include "tarn/data_dir.h"

#include "base/diag.h"
#include "base/os.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

/* One directory. That it is there already is fine; that something else is there comes out later. */
static struct status make_one(const char *path)
{
	if (mkdir(path, 0755) && errno != EEXIST)
		return fail_errno(errno, "--data: making %s", path);
	return OK;
}

static struct status make_all(const char *path)
{
	char part[PATH_MAX];
	size_t bytes = strlen(path);

	if (bytes == 0 || bytes >= sizeof(part))
		return fail(STATUS_INVALID, "--data: a path of %zu bytes, 1 to %zu are right",
			    bytes, sizeof(part) - 1);
	for (size_t i = 1; i <= bytes; i++) {
		if (path[i] != '/' && path[i] != 0)
			continue;
		memcpy(part, path, i);
		part[i] = 0;
		TRY(make_one(part));
	}
	return OK;
}

/* Names the process that wrote itself into the lock file. */
static struct status taken(const char *path, int lock)
{
	char pid[16] = "";
	ssize_t bytes = pread(lock, pid, sizeof(pid) - 1, 0);

	pid[bytes > 0 ? bytes : 0] = 0;
	pid[strspn(pid, "0123456789")] = 0;
	return fail(STATUS_BUSY,
		    "--data: %s is in use by another node (process %s): stop it, or choose "
		    "another directory",
		    path, *pid ? pid : "unknown");
}

static struct status lock_file(const char *path, int lock)
{
	char pid[16];
	int bytes;

	if (flock(lock, LOCK_EX | LOCK_NB)) {
		if (errno == EWOULDBLOCK)
			return taken(path, lock);
		return fail_errno(errno, "--data: locking %s", path);
	}
	bytes = snprintf(pid, sizeof(pid), "%d\n", (int)getpid());
	TRY(os_file_resize(lock, 0));
	return os_write_all(lock, pid, (size_t)bytes);
}

struct status data_dir_open(const char *path, struct data_dir *ret)
{
	char name[PATH_MAX];
	struct status s;
	int lock;

	TRY(make_all(path));
	if (snprintf(name, sizeof(name), "%s/lock", path) >= (int)sizeof(name))
		return fail(STATUS_INVALID, "--data: the path is too long");
	TRY(os_open(name, O_RDWR | O_CREAT, 0644, &lock));
	s = lock_file(path, lock);
	if (!status_ok(s)) {
		os_close(lock);
		return s;
	}
	ret->lock = lock;
	return OK;
}

void data_dir_close(struct data_dir *dir)
{
	os_close(dir->lock);
	dir->lock = -1;
}
