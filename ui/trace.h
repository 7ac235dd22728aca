/* Trace points (hw/core/trace.h) on the command line. */
#ifndef UI_TRACE_H
#define UI_TRACE_H

#include <stdio.h>

#include "hw/core/bus.h"

struct vm;

/* -trace [enable=]PATTERN,events=FILE,file=FILE; each may be NULL. */
struct opt_trace {
	const char *pattern, *events, *file;
};

/* Before there are devices: all that comes is traced. */
bool trace_begin(struct machine *m, const struct opt_trace *o, int n, struct err *e);
/* With the board complete: names nothing has are errors, patterns that match nothing are told. */
bool trace_check(struct machine *m, const struct opt_trace *o, int n, struct err *e);
/* "NAME : state 0|1", a line each; pattern NULL: all. */
void trace_print(struct machine *m, const char *pattern, FILE *out);
/* Commands are points, too, from now on. */
void commands_trace(struct vm *vm);

/* One begins, with these arguments; passwords do not go to logs. */
void trace_command(struct machine *m, const char *syntax, const char *name, const char *args);

#endif
