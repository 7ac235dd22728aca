/*
 * Trace points: what passes between guest, devices and host, a line each, switched by name.
 *
 * Nobody declares a point: its name comes from the table that the access goes through.
 *
 *	DEVICE.REGISTER.read, .write	a row of the device's register table
 *	DEVICE.irq			its interrupt line changes
 *	RANGE.read, .write		ports or memory without a register table
 *	dma.read, dma.write, msi	devices as bus masters
 *	DRIVE.read, .write, .flush, ..	requests as they are submitted
 *	NETWORK.in, .out		frames to and from the card
 *	VIRTIO.notify, .signal, .status	of virtio devices: the driver's notifications, its interrupts, its steps
 *	monitor.COMMAND, qmp.COMMAND	as they begin
 *
 * Rules are patterns (* ? [..] of the shell) that switch on or off; of those that match a
 * name the last one decides. They hold for devices that come later, too. While no rule
 * switches anything on a point costs the test in trace_on(); names are made only then.
 *
 * Not modelled: points for what never comes here, so registers behind MSRs (x2APIC) and rings
 * and screens that are read straight from guest memory; arguments that select vCPUs.
 *
 * Machine lock.
 */
#ifndef HW_CORE_TRACE_H
#define HW_CORE_TRACE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "base/error.h"

struct machine;
struct trace_names;

#define TRACE_SOURCES	8
#define TRACE_NAME	192		/* bytes that the longest name fits in */

/* Adds the names of one kind of points there are now (trace_name()). */
typedef void trace_source(struct machine *m, struct trace_names *names);

struct trace_rule {
	char *pattern;
	bool on;
};
struct trace {
	_Atomic bool on;		/* some rule switches something on */
	struct trace_rule *rules;
	size_t n;
	FILE *file;			/* NULL: to the log */
	trace_source *source[TRACE_SOURCES];
};

/* ---- switching ---- */

/* "PATTERN" on, or "-PATTERN" off whatever `on` says. False: no memory for the rule. */
bool trace_set(struct machine *m, const char *pattern, bool on, struct err *e);
/* A rule a line; empty ones and those that begin with # count for nothing. */
bool trace_set_from(struct machine *m, const char *path, struct err *e);
/* Is there any such point now? Tells the nearest name if not. */
bool trace_exists(struct machine *m, const char *pattern, struct err *e);
/* Does the pattern stand for one name only? */
bool trace_is_name(const char *pattern);
bool trace_enabled(const struct machine *m, const char *name);
/* Write to a file of its own from now on. */
bool trace_open(struct machine *m, const char *path, struct err *e);
void trace_fini(struct machine *m);

/* ---- what there is ---- */

struct trace_names {
	char **name;			/* sorted, each once */
	size_t n, room;
};
/* The names that match; NULL: all. */
void trace_list(struct machine *m, const char *pattern, struct trace_names *out);
void trace_names_free(struct trace_names *l);
/* Have this source asked, too; once, however often it is said. */
void trace_add_source(struct machine *m, trace_source *s);
/* For sources: "who.what.how"; what and how may be NULL. */
void trace_name(struct trace_names *l, const char *who, const char *what, const char *how);

/* ---- firing ---- */

/* A line with the guest's time, the name and the text, if the name is on. */
void trace_point(struct machine *m, const char *who, const char *what, const char *how, const char *fmt, ...)
	__attribute__((format(printf, 5, 6), cold));
/* An access at an offset of a range. */
void trace_access(struct machine *m, const char *range, bool write, uint64_t off, int size, uint64_t v)
	__attribute__((cold));

#endif
