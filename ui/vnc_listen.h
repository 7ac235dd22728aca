/* Sockets a VNC server listens on; between ui/vnc*.c only. */
#ifndef UI_VNC_LISTEN_H
#define UI_VNC_LISTEN_H

#include "base/error.h"

#define VNC_LISTENERS	4

struct vnc_listen {
	int fd[VNC_LISTENERS], n;
	char name[400];			/* as the user would write it */
	char unlink_path[108];
};

/* "HOST:N", trying displays up to `to` (-1: only N), or "unix:PATH". */
bool vnc_listen_open(struct vnc_listen *l, const char *where, int to, struct err *e);
void vnc_listen_close(struct vnc_listen *l);

#endif
