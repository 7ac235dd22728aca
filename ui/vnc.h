/*
 * The screen for VNC viewers (RFB protocol). Main loop's thread, machine lock.
 */
#ifndef UI_VNC_H
#define UI_VNC_H

#include "base/error.h"
#include "base/value.h"

struct display;
struct loop;
struct vnc;

/*
 * Listen at `spec`: "HOST:N" (TCP port 5900 + N; no host: all addresses) or
 * "unix:PATH", then ",password=on", ",to=N" (the first free display up to N),
 * ",share=allow-exclusive|force-shared|ignore".
 */
struct vnc *vnc_new(struct display *d, struct loop *l, const char *spec, const char *title, struct err *e);
void vnc_free(struct vnc *v);

/* A connection as if from a viewer: a socket that does not block, or -1. Any thread. */
int vnc_connect(struct vnc *v);

/* For viewers from now on; at most eight characters count. False: no password was asked for. */
bool vnc_set_password(struct vnc *v, const char *password, struct err *e);
/* Where viewers connect: "127.0.0.1:5900". */
const char *vnc_address(const struct vnc *v);
/* For `info vnc`: QEMU's VncInfo. */
struct value *vnc_info(struct vnc *v);

#endif
