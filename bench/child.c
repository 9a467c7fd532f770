#include "bench/child.h"

#include "base/diag.h"
#include "base/os.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

/* What a child says, in one write that fits a pipe. */
struct report {
	enum status_code code;
	double values[BENCH_CHILD_VALUES];
	char text[DIAG_TEXT_BYTES];
};

NORETURN static void child_main(bench_child_fn measure, const void *arg, int fd)
{
	struct report report = {0};
	struct status s;

	/* nobody is left behind when the bench is interrupted */
	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	s = measure(arg, report.values);
	report.code = s.code;
	if (!status_ok(s))
		memcpy(report.text, diag_text(), strnlen(diag_text(), sizeof(report.text) - 1));
	s = os_write_all(fd, &report, sizeof(report));
	/* not exit(): what standard output had buffered is the parent's to print */
	_exit(status_ok(s) ? 0 : 1);
}

struct status bench_child_start(bench_child_fn measure, const void *arg, struct bench_child *ret)
{
	int fds[2];
	pid_t pid;

	if (pipe(fds) != 0)
		return fail_errno(errno, "making a pipe to a child");
	pid = fork();
	if (pid == 0) {
		close(fds[0]);
		child_main(measure, arg, fds[1]);
	}
	close(fds[1]);
	if (pid < 0) {
		int error = errno;

		close(fds[0]);
		return fail_errno(error, "starting a child");
	}
	*ret = (struct bench_child){.pid = pid, .fd = fds[0]};
	return OK;
}

static void reap(struct bench_child *c)
{
	close(c->fd);
	while (waitpid(c->pid, NULL, 0) < 0 && errno == EINTR)
		;
	c->pid = 0;
}

struct status bench_child_read(struct bench_child *c, double values[BENCH_CHILD_VALUES])
{
	struct report report;
	size_t have = 0;
	ssize_t got;

	do {
		got = read(c->fd, (char *)&report + have, sizeof(report) - have);
		if (got > 0)
			have += (size_t)got;
	} while (have < sizeof(report) && (got > 0 || (got < 0 && errno == EINTR)));
	reap(c);
	if (have < sizeof(report))
		return fail(STATUS_IO, "the child that measures ended before it was done");
	if (report.code != STATUS_OK)
		return fail(report.code, "%s", report.text);
	memcpy(values, report.values, sizeof(report.values));
	return OK;
}

void bench_child_end(struct bench_child *c)
{
	if (c->pid == 0)
		return;
	kill(c->pid, SIGKILL);
	reap(c);
}
