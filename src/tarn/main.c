#include "tarn/command.h"

const struct command *const command_table[] = {
	&command_serve, &command_arbiter, &command_limits,
	&command_bench, &command_version, &command_help,
	NULL,
};

int main(int argc, char **argv)
{
	return (int)command_main(argc, argv);
}
