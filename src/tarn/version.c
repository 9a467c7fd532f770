#include "tarn/command.h"

static enum command_exit version_main(int argc, char **argv)
{
	(void)argc;
	(void)argv;
	puts("tarn 0.1.0");
	return COMMAND_DONE;
}

const struct command command_version = {
	.name = "version",
	.summary = "says what this build is and what it can use here",
	.usage = "",
	.help = "Example: tarn version\n",
	.main = version_main,
};
