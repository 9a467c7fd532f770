/*
 * Where a door listens, and the socket that does.
 */
#pragma once

#include "base/status.h"
#include "base/text.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

#define ADDRESS_TEXT_BYTES 64

struct address {
	struct sockaddr_storage socket;
	socklen_t bytes;
	char text[ADDRESS_TEXT_BYTES]; /* in numbers: "127.0.0.1:6480", "[::1]:6480" */
};

/*
 * The address of HOST:PORT. Port 0 stands for any free one. STATUS_INVALID if there is no such
 * host. Asks the system's resolver for names and may block for it: not on a core.
 */
struct status address_resolve(const struct endpoint *endpoint, struct address *ret);

/* Whether only this machine can reach it. */
bool address_is_loopback(const struct address *address);

/* The port that it names, 0 for any. */
uint16_t address_port(const struct address *address);

/* Sets `text` anew from what `socket` holds. */
void address_renumber(struct address *address);

/*
 * Opens a TCP socket that listens there, and notes the port that it got if it was 0. STATUS_EXISTS:
 * another program listens there; STATUS_DENIED: the port is reserved; STATUS_INVALID: not an
 * address of this machine. Does not block.
 */
struct status address_listen(struct address *address, int *ret_socket);

/* Closes a socket that address_listen() opened. */
void address_close(int socket_fd);
