/*
 * The human monitor: commands on a byte stream, QEMU's names and arguments.
 * Main loop's thread, machine lock.
 */
#ifndef UI_MONITOR_H
#define UI_MONITOR_H

#include <stdio.h>

#include "base/error.h"

struct vm;
struct chr;
struct monitor;

/* Takes a place on the stream. vm and c outlive it. */
struct monitor *monitor_new(struct vm *vm, struct chr *c, struct err *e);
void monitor_free(struct monitor *mon);

/* Execute one line as if it had been typed; what it prints goes to `out`. */
void monitor_execute(struct monitor *mon, const char *line, FILE *out);
/* A monitor without a stream, for the above. */
struct monitor *monitor_new_silent(struct vm *vm);
/* The processor its commands mean. */
void monitor_choose_cpu(struct monitor *mon, int index);

#endif
