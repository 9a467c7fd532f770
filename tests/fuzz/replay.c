/*
 * Stands in for libFuzzer in builds without it: runs the target once on each file of a folder, and
 * on every prefix of it, because inputs that end too early are what parsers get wrong most.
 */
#include "fuzz.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>

#define INPUT_BYTES_MAX 65536

/* A copy of just the right size, so that ASan sees every step past the end. */
static void run_copy(const uint8_t *data, size_t bytes)
{
	uint8_t *copy = malloc(bytes ? bytes : 1);

	if (!copy)
		abort();
	for (size_t i = 0; i < bytes; i++)
		copy[i] = data[i];
	LLVMFuzzerTestOneInput(copy, bytes);
	free(copy);
}

static int run_file(const char *folder, const char *name)
{
	static uint8_t input[INPUT_BYTES_MAX];
	char path[4096];

	snprintf(path, sizeof(path), "%s/%s", folder, name);
	FILE *file = fopen(path, "rb");

	if (!file) {
		fprintf(stderr, "%s cannot be read\n", path);
		return 1;
	}
	size_t bytes = fread(input, 1, sizeof(input), file);

	fclose(file);
	for (size_t prefix = 0; prefix <= bytes; prefix++)
		run_copy(input, prefix);
	return 0;
}

int main(int count, char **arguments)
{
	if (count != 2) {
		fprintf(stderr, "usage: %s CORPUS-FOLDER\n", arguments[0]);
		return 2;
	}
	DIR *folder = opendir(arguments[1]);

	if (!folder) {
		fprintf(stderr, "%s is no folder\n", arguments[1]);
		return 1;
	}
	int failed = 0;
	int files = 0;

	for (struct dirent *entry = readdir(folder); entry; entry = readdir(folder)) {
		if (entry->d_name[0] == '.')
			continue;
		failed |= run_file(arguments[1], entry->d_name);
		files++;
	}
	closedir(folder);
	if (files == 0)
		fprintf(stderr, "%s holds no inputs\n", arguments[1]);
	return failed || files == 0;
}
