#include "tarn/data_dir.h"

#include "unit.h"

#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static char root[] = "/tmp/tarn-data-dir-XXXXXX";
static char path[256];

static int root_make(void **state)
{
	(void)state;
	return mkdtemp(root) ? 0 : -1;
}

static int root_remove(void **state)
{
	static const char *const left[] = {"deep/er/data/lock", "deep/er/data", "deep/er", "deep",
					   "file"};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(left); i++) {
		snprintf(path, sizeof(path), "%s/%s", root, left[i]);
		(void)remove(path);
	}
	return rmdir(root);
}

static void data_dir_open__makes_all_of_it(void **state)
{
	struct data_dir dir;
	struct stat info;

	(void)state;
	snprintf(path, sizeof(path), "%s/deep//er/data/", root);
	assert_ok(data_dir_open(path, &dir));
	snprintf(path, sizeof(path), "%s/deep/er/data/lock", root);
	assert_int_equal(stat(path, &info), 0);
	data_dir_close(&dir);
	/* again, now that it is there */
	snprintf(path, sizeof(path), "%s/deep/er/data", root);
	assert_ok(data_dir_open(path, &dir));
	data_dir_close(&dir);
}

static void data_dir_open__second_is_refused(void **state)
{
	struct data_dir dir;
	struct data_dir other;
	char pid[32];

	(void)state;
	snprintf(path, sizeof(path), "%s/deep/er/data", root);
	assert_ok(data_dir_open(path, &dir));
	assert_status(data_dir_open(path, &other), BUSY);
	snprintf(pid, sizeof(pid), "process %d", (int)getpid());
	assert_contains(diag_text(), pid);
	data_dir_close(&dir);
	assert_ok(data_dir_open(path, &dir));
	data_dir_close(&dir);
}

static void data_dir_open__lock_ends_with_its_process(void **state)
{
	struct data_dir dir;
	int status;
	pid_t child;

	(void)state;
	snprintf(path, sizeof(path), "%s/deep/er/data", root);
	child = fork();
	if (child == 0)
		_exit(status_ok(data_dir_open(path, &dir)) ? 0 : 1);
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
	assert_ok(data_dir_open(path, &dir));
	data_dir_close(&dir);
}

static void data_dir_open__not_a_directory(void **state)
{
	struct data_dir dir;
	FILE *file;
	char long_path[5000];

	(void)state;
	snprintf(path, sizeof(path), "%s/file", root);
	file = fopen(path, "we");
	assert_non_null(file);
	fclose(file);
	assert_false(status_ok(data_dir_open(path, &dir)));
	assert_contains(diag_text(), "file");
	memset(long_path, 'x', sizeof(long_path) - 1);
	long_path[sizeof(long_path) - 1] = 0;
	assert_status(data_dir_open(long_path, &dir), INVALID);
	assert_status(data_dir_open("", &dir), INVALID);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(data_dir_open__makes_all_of_it),
		cmocka_unit_test(data_dir_open__second_is_refused),
		cmocka_unit_test(data_dir_open__lock_ends_with_its_process),
		cmocka_unit_test(data_dir_open__not_a_directory),
	};

	return cmocka_run_group_tests_name("tarn/data_dir", tests, root_make, root_remove);
}
