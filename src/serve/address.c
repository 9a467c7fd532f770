#include "serve/address.h"

#include "base/diag.h"

#include <arpa/inet.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

static const struct sockaddr_in *as_v4(const struct address *address)
{
	return (const struct sockaddr_in *)(const void *)&address->socket;
}

static const struct sockaddr_in6 *as_v6(const struct address *address)
{
	return (const struct sockaddr_in6 *)(const void *)&address->socket;
}

bool address_is_loopback(const struct address *address)
{
	const struct in6_addr *v6 = &as_v6(address)->sin6_addr;

	if (address->socket.ss_family == AF_INET)
		return ntohl(as_v4(address)->sin_addr.s_addr) >> 24 == 127;
	return IN6_IS_ADDR_LOOPBACK(v6) || (IN6_IS_ADDR_V4MAPPED(v6) && v6->s6_addr[12] == 127);
}

uint16_t address_port(const struct address *address)
{
	return ntohs(address->socket.ss_family == AF_INET ? as_v4(address)->sin_port
							  : as_v6(address)->sin6_port);
}

void address_renumber(struct address *address)
{
	char host[INET6_ADDRSTRLEN] = "";

	if (address->socket.ss_family == AF_INET) {
		inet_ntop(AF_INET, &as_v4(address)->sin_addr, host, sizeof(host));
		snprintf(address->text, sizeof(address->text), "%s:%u", host,
			 address_port(address));
		return;
	}
	inet_ntop(AF_INET6, &as_v6(address)->sin6_addr, host, sizeof(host));
	snprintf(address->text, sizeof(address->text), "[%s]:%u", host, address_port(address));
}

struct status address_resolve(const struct endpoint *endpoint, struct address *ret)
{
	const struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV};
	struct addrinfo *found;
	char port[8];
	int error;

	snprintf(port, sizeof(port), "%u", endpoint->port);
	error = getaddrinfo(endpoint->host, port, &hints, &found);
	if (error)
		return fail(STATUS_INVALID,
			    "%s is no address and no name that this machine knows: %s",
			    endpoint->host, gai_strerror(error));
	memset(ret, 0, sizeof(*ret));
	memcpy(&ret->socket, found->ai_addr, found->ai_addrlen);
	ret->bytes = found->ai_addrlen;
	freeaddrinfo(found);
	address_renumber(ret);
	return OK;
}
