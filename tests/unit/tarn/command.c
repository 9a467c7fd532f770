#include "tarn/command.h"

#include "unit.h"

#include <fcntl.h>
#include <unistd.h>

static int calls;
static int args;

static enum command_exit probe_main(int argc, char **argv)
{
	(void)argv;
	calls++;
	args = argc;
	return COMMAND_FAILED;
}

static const struct command probe = {
	.name = "probe",
	.summary = "is called",
	.usage = "",
	.help = "Example: tarn probe\n",
	.main = probe_main,
};

const struct command *const command_table[] = {&probe, &command_help, NULL};

/* Runs the program with its output thrown away: it would mix with what the tests report. */
static enum command_exit run_quietly(int argc, char **argv)
{
	int nowhere = open("/dev/null", O_WRONLY | O_CLOEXEC);
	int out = dup(STDOUT_FILENO);
	int err = dup(STDERR_FILENO);
	enum command_exit result;

	calls = 0;
	fflush(stdout);
	dup2(nowhere, STDOUT_FILENO);
	dup2(nowhere, STDERR_FILENO);
	result = command_main(argc, argv);
	fflush(stdout);
	dup2(out, STDOUT_FILENO);
	dup2(err, STDERR_FILENO);
	close(out);
	close(err);
	close(nowhere);
	return result;
}

static enum command_exit run(const char *a, const char *b)
{
	static char program[] = "tarn";
	static char first[32];
	static char second[32];
	char *argv[] = {program, first, second, NULL};

	if (a)
		snprintf(first, sizeof(first), "%s", a);
	if (b)
		snprintf(second, sizeof(second), "%s", b);
	return run_quietly(1 + (a != NULL) + (b != NULL), argv);
}

static void command_main__finds_the_command(void **state)
{
	(void)state;
	assert_int_equal(run("probe", "x"), COMMAND_FAILED);
	assert_int_equal(calls, 1);
	assert_int_equal(args, 2);
}

static void command_main__help_calls_nothing(void **state)
{
	(void)state;
	assert_int_equal(run("probe", "--help"), COMMAND_DONE);
	assert_int_equal(calls, 0);
	assert_int_equal(run("--help", NULL), COMMAND_DONE);
	assert_int_equal(run("help", "probe"), COMMAND_DONE);
	assert_int_equal(calls, 0);
}

static void command_main__double_dash_hides_help(void **state)
{
	static char program[] = "tarn";
	static char name[] = "probe";
	static char dashes[] = "--";
	static char help[] = "--help";
	char *argv[] = {program, name, dashes, help, NULL};

	(void)state;
	assert_int_equal(run_quietly(4, argv), COMMAND_FAILED);
	assert_int_equal(calls, 1);
}

static void command_main__wrong_usage(void **state)
{
	(void)state;
	assert_int_equal(run(NULL, NULL), COMMAND_WRONG_USAGE);
	assert_int_equal(run("prboe", NULL), COMMAND_WRONG_USAGE);
	assert_int_equal(run("help", "nothing"), COMMAND_WRONG_USAGE);
	assert_int_equal(calls, 0);
}

static void command_nearest__slips(void **state)
{
	static const char *const words[] = {"serve", "arbiter", "bench", "limits"};

	(void)state;
	assert_string_equal(command_nearest("sevre", words, 4), "serve");
	assert_string_equal(command_nearest("benhc", words, 4), "bench");
	assert_string_equal(command_nearest("benc", words, 4), "bench");
	assert_string_equal(command_nearest("arbitre", words, 4), "arbiter");
	assert_string_equal(command_nearest("limit", words, 4), "limits");
	assert_null(command_nearest("frobnicate", words, 4));
	assert_null(command_nearest("x", words, 4));
	assert_null(command_nearest("serve", words, 0));
}

static void command_nearest__long_words(void **state)
{
	char word[200];
	static const char *const words[] = {"serve"};

	(void)state;
	memset(word, 's', sizeof(word) - 1);
	word[sizeof(word) - 1] = 0;
	assert_null(command_nearest(word, words, 1));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(command_main__finds_the_command),
		cmocka_unit_test(command_main__help_calls_nothing),
		cmocka_unit_test(command_main__double_dash_hides_help),
		cmocka_unit_test(command_main__wrong_usage),
		cmocka_unit_test(command_nearest__slips),
		cmocka_unit_test(command_nearest__long_words),
	};

	return cmocka_run_group_tests_name("tarn/command", tests, NULL, NULL);
}
