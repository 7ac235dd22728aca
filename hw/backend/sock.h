/*
 * Sockets that never stop the main loop: making way for a path, answering callers,
 * calling others for a bounded time.
 */
#ifndef HW_BACKEND_SOCK_H
#define HW_BACKEND_SOCK_H

#include <stdbool.h>
#include <sys/socket.h>

#include "base/error.h"
#include "hw/core/loop.h"

/* Remove the socket that a program before this one left at path. Anything else stays: an error. */
bool sock_make_way(const char *path, struct err *e);
/*
 * Whoever calls the listening fd, which w watches, as a descriptor that does not block; -1: nobody.
 * While the host has none left the caller stays in the queue, and w rests.
 */
int sock_accept(struct loop *l, struct loop_fd *w, int fd);
/* Connect fd, which does not block; ten seconds at most. False: errno. */
bool sock_connect(int fd, const struct sockaddr *to, socklen_t len);
/* fd does not block from now on; it is the caller's alone. */
void sock_no_block(int fd);
/* Host without the brackets around an IPv6 address, in place. */
void sock_strip_brackets(char *host);

#endif
