/*
 * A small web server on a thread of its own: one page, the libraries it loads, and
 * WebSockets that are byte streams. It knows nothing of machines.
 */
#ifndef UI_WEB_SERVER_H
#define UI_WEB_SERVER_H

#include <stddef.h>

#include "base/error.h"

#define WEB_STREAMS	8

/* A stream every viewer sees the same of: what comes out goes to all, with what came before they were there. */
struct web_stream {
	char name[32];			/* at /stream/NAME */
	int fd;				/* does not block; the server's from then on */
};

/* A folder of files for everybody. */
struct web_folder {
	const char *at, *path;		/* "/novnc", "/usr/share/novnc"; live as long as the server */
};

struct web_config {
	const char *address;		/* to listen at */
	int port, last_port;		/* the first free one */
	const char *token;		/* the page and the streams are for who names it: ?token= */
	const char *page;		/* HTML; lives as long as the server */
	size_t page_len;
	struct web_stream streams[WEB_STREAMS];
	int n_streams;
	const struct web_folder *folders;	/* ends with { NULL } */
	/* A connection for one viewer, at /screen: a socket that does not block, or -1. The server's thread. */
	int (*screen)(void *opaque);
	void *opaque;
};

struct web_server;
/* NULL with err filled; the streams' descriptors are closed in either case. */
struct web_server *web_server_new(const struct web_config *c, struct err *e);
void web_server_free(struct web_server *s);
int web_server_port(const struct web_server *s);

#endif
