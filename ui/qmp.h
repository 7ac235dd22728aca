/*
 * QMP: the monitor for programs, JSON messages on a byte stream, as QEMU has it.
 *
 * Messages are executed in order, each before the next is looked at. What comes in
 * is bounded in length and depth; what is no message is answered with an error, and
 * the next line or byte 0xff begins afresh.
 *
 * Main loop's thread, machine lock; events may come from any thread with the lock.
 */
#ifndef UI_QMP_H
#define UI_QMP_H

#include "base/error.h"
#include "base/value.h"
#include "hw/core/clock.h"

struct vm;
struct chr;
struct qmp;

/* Takes a place on the stream and in vm->qmps. vm and c outlive it. */
struct qmp *qmp_new(struct vm *vm, struct chr *c, bool pretty, struct err *e);
void qmp_free(struct qmp *q);

/* Tell every client that has negotiated. Takes data (NULL: none) over. */
void qmp_event(struct vm *vm, const char *name, struct value *data);
/* One that is told once a second at most, while the guest may make it happen at any rate. */
struct slow_event {
	struct vm *vm;
	const char *name;
	char *id;			/* of the device, or "" */
	struct value *waiting;
	struct timer timer;
	struct slow_event *next;
};

/* Those that wait for their time. */
void qmp_forget_events(struct vm *vm);
struct chr *qmp_stream(struct qmp *q);
/* What query-version says; also in the greeting. */
struct value *qmp_version(void);

#endif
