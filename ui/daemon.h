/* -daemonize and -pidfile. */
#ifndef UI_DAEMON_H
#define UI_DAEMON_H

#include "ui/options.h"

/*
 * Before anything is opened. With -daemonize only the child returns; the parent
 * waits for daemon_ready() and exits 0, or 1 if the child ends before.
 */
bool daemon_fork(struct options *o, struct err *e);
/* The machine is there: write the pid file, let the parent go, leave the terminal. */
bool daemon_ready(struct options *o, struct err *e);
/* Remove the pid file. */
void daemon_end(struct options *o);

#endif
