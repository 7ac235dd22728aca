/*
 * The debugger's connection: a stub (cpu/gdbstub.h) between a byte stream and the
 * machine. One at a time. Main loop's thread, machine lock.
 */
#ifndef UI_GDB_H
#define UI_GDB_H

#include "base/error.h"

struct vm;

/*
 * Serve a debugger at tcp:HOST:PORT, unix:PATH, chardev:ID or another stream, in
 * place of what was there; "none": serve nobody.
 */
bool gdb_serve(struct vm *vm, const char *where, struct err *e);
/* The program ends. */
void gdb_end(struct vm *vm, int status);
/* Is the debugger on standard input and output, where an interrupt means "stop the guest"? */
bool gdb_on_stdio(const struct vm *vm);

#endif
