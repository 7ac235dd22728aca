/*
 * The server's side of gdb's remote protocol: bytes in, bytes out. Whoever makes
 * one brings the connection and says how the machine stops and goes on.
 *
 * Every vCPU is a thread of one process: p1.1 is vCPU 0. The machine stops and
 * goes on as a whole, but threads may be left standing or step by themselves.
 *
 * All functions, and those of gdb_host, run on one thread; vCPUs stand when their
 * state is looked at.
 */
#ifndef CPU_GDBSTUB_H
#define CPU_GDBSTUB_H

#include <stdio.h>

#include "cpu/cpu.h"
#include "cpu/gdbregs.h"

struct gdbstub;

struct gdb_host {
	void *opaque;
	int ncpus;
	struct cpu *(*cpu)(void *opaque, int i);
	void (*write)(void *opaque, const void *p, size_t n);
	bool (*running)(void *opaque);
	/* Stop all vCPUs; gdbstub_stopped() is called before it returns. */
	void (*stop)(void *opaque);
	/* Let those go on whose `runs` is set; without `time` guest time stands. */
	void (*resume)(void *opaque, const bool *runs, bool time);
	/* A command for the monitor. */
	void (*monitor)(void *opaque, const char *line, FILE *out);
	void (*reset)(void *opaque);
	void (*quit)(void *opaque);
	/* The debugger has let go: all vCPUs may run again whenever the machine does. */
	void (*released)(void *opaque);
};

struct gdbstub *gdbstub_new(const struct gdb_host *host);
/* The processor is always seen like that, instead of as gdb_view_now() says when a debugger comes. */
void gdbstub_set_view(struct gdbstub *g, enum gdb_view view);
/* Takes breakpoints away; the machine stays as it is. */
void gdbstub_free(struct gdbstub *g);

/* Somebody has connected: the machine stops. */
void gdbstub_opened(struct gdbstub *g);
/* Nobody is there any more: breakpoints go. */
void gdbstub_closed(struct gdbstub *g);
void gdbstub_input(struct gdbstub *g, const uint8_t *p, size_t n);
/* The machine has stopped; `signal` in gdb's numbers, unless a vCPU says why by itself (cpu->dbg). */
void gdbstub_stopped(struct gdbstub *g, int signal);
/* The program ends. */
void gdbstub_exit(struct gdbstub *g, int status);

enum { GDB_SIGINT = 2, GDB_SIGQUIT = 3, GDB_SIGTRAP = 5, GDB_SIGABRT = 6 };

#endif
