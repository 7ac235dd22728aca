/* Where VNC viewers knock. */
#include "ui/vnc_listen.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "hw/backend/sock.h"
#include "ui/keyval.h"

#define FIRST_PORT	5900

static bool add(struct vnc_listen *l, int family, const struct sockaddr *sa, socklen_t len)
{
	int one = 1, fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), keep;

	if (fd < 0)
		return false;
	if (family != AF_UNIX)
		setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (family == AF_INET6)
		setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &one, sizeof(one));
	if (bind(fd, sa, len) || listen(fd, 8)) {
		keep = errno;
		close(fd);
		errno = keep;
		return false;
	}
	l->fd[l->n++] = fd;
	return true;
}

static bool open_unix(struct vnc_listen *l, const char *path, struct err *e)
{
	struct sockaddr_un un = { .sun_family = AF_UNIX };

	if (!*path || strlen(path) >= sizeof(un.sun_path))
		return err_set(e, "unix:%s: the path is %s for a socket", path, *path ? "too long" : "missing");
	strcpy(un.sun_path, path);
	if (!sock_make_way(path, e))
		return false;
	if (!add(l, AF_UNIX, (struct sockaddr *)&un, sizeof(un)))
		return err_errno(e, "cannot listen on %s", path);
	strcpy(l->unlink_path, path);
	snprintf(l->name, sizeof(l->name), "unix:%s", path);
	return true;
}

/* All addresses of the host; errno says why not even one works. */
static bool open_display(struct vnc_listen *l, const char *host, unsigned number, struct err *e)
{
	struct addrinfo hints = { .ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE }, *list;
	char port[16];
	int r;

	snprintf(port, sizeof(port), "%u", FIRST_PORT + number);
	r = getaddrinfo(*host ? host : NULL, port, &hints, &list);
	if (r) {
		errno = 0;
		return err_set(e, "%s: %s", host, gai_strerror(r));
	}
	for (struct addrinfo *a = list; a && l->n < VNC_LISTENERS; a = a->ai_next)
		if (!add(l, a->ai_family, a->ai_addr, a->ai_addrlen) && errno == EADDRINUSE)
			break;
	r = errno;
	freeaddrinfo(list);
	if (l->n)
		return true;
	errno = r;
	return err_errno(e, "cannot listen on %s:%u (port %s)", host, number, port);
}

static bool open_tcp(struct vnc_listen *l, const char *where, int to, struct err *e)
{
	const char *colon = strrchr(where, ':');
	char host[256];
	uint64_t n;

	if (!colon || !parse_num(colon + 1, &n) || n > 65535 - FIRST_PORT)
		return err_set(e, "'%s': expected HOST:N with a display number N from 0 to %d, or unix:PATH",
			       where, 65535 - FIRST_PORT);
	snprintf(host, sizeof(host), "%.*s", (int)(colon - where), where);
	if (*host == '[' && host[strlen(host) - 1] == ']') {	/* [IPv6] */
		memmove(host, host + 1, strlen(host));
		host[strlen(host) - 1] = 0;
	}
	do {
		if (open_display(l, host, (unsigned)n, e)) {
			snprintf(l->name, sizeof(l->name), "%.*s:%u", (int)(colon - where), where, (unsigned)n);
			return true;
		}
	} while (errno == EADDRINUSE && (int)++n <= to);
	return false;
}

bool vnc_listen_open(struct vnc_listen *l, const char *where, int to, struct err *e)
{
	*l = (struct vnc_listen){ 0 };
	return strncmp(where, "unix:", 5) ? open_tcp(l, where, to, e) : open_unix(l, where + 5, e);
}

void vnc_listen_close(struct vnc_listen *l)
{
	while (l->n)
		close(l->fd[--l->n]);
	if (*l->unlink_path)
		unlink(l->unlink_path);
	*l->unlink_path = 0;
}
