/*
 * The system calls of a listening socket, apart from address.c because they convert errno.
 */
#include "base/diag.h"
#include "serve/address.h"

#include <errno.h>
#include <netinet/in.h>
#include <unistd.h>

#define LISTEN_BACKLOG 1024

static struct status refused(const struct address *address, int error)
{
	switch (error) {
	case EADDRINUSE:
		return fail(STATUS_EXISTS,
			    "%s is in use by another program: stop it, or choose "
			    "another port (0 for any free one)",
			    address->text);
	case EACCES:
		return fail(STATUS_DENIED, "%s: ports below 1024 are for root; choose a higher one",
			    address->text);
	case EADDRNOTAVAIL:
		return fail(STATUS_INVALID, "%s is not an address of this machine", address->text);
	default: return fail_errno(error, "listening on %s", address->text);
	}
}

static struct status bind_and_listen(struct address *address, int socket_fd)
{
	const int on = 1;

	/* connections of a node that has just ended must not keep the next one out */
	(void)setsockopt(socket_fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (address->socket.ss_family == AF_INET6)
		(void)setsockopt(socket_fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on));
	if (bind(socket_fd, (const struct sockaddr *)&address->socket, address->bytes))
		return refused(address, errno);
	if (listen(socket_fd, LISTEN_BACKLOG))
		return refused(address, errno);
	if (getsockname(socket_fd, (struct sockaddr *)&address->socket, &address->bytes))
		return refused(address, errno);
	return OK;
}

struct status address_listen(struct address *address, int *ret_socket)
{
	int socket_fd =
		socket(address->socket.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	struct status s;

	if (socket_fd < 0)
		return refused(address, errno);
	s = bind_and_listen(address, socket_fd);
	if (!status_ok(s)) {
		close(socket_fd);
		return s;
	}
	address_renumber(address);
	*ret_socket = socket_fd;
	return OK;
}

void address_close(int socket_fd)
{
	close(socket_fd);
}
