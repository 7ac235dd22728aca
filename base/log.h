/*
 * Logging: areas switched by name at run time (-d), one destination (-D).
 *
 * Any thread may log; a line is written whole. log_on() is a load and a bit
 * test, so callers may guard expensive formatting with it. Nothing here may be
 * called with guest vector state live in host registers (see cpu/cpu.h).
 */
#ifndef BASE_LOG_H
#define BASE_LOG_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "base/error.h"

enum log_area {
	LOG_IN_ASM, LOG_UOP, LOG_UOP_OPT, LOG_OUT_ASM, LOG_INT, LOG_EXEC,
	LOG_MMU, LOG_GUEST_ERRORS, LOG_UNIMP, LOG_CPU_RESET, LOG_PAGE, LOG_STATS, LOG_PLUGIN,
	LOG_NAREAS
};

struct log_area_info {
	const char *name, *help;
};
extern const struct log_area_info log_areas[LOG_NAREAS];

extern uint32_t log_mask;	/* bit per area; set once at start or by the monitor */

static inline bool log_on(enum log_area a)
{
	return log_mask >> a & 1;
}

/* Parse "int,exec,..." into log_mask. False names the unknown word. */
bool log_set_areas(const char *list, struct err *e);
/* Send the log to a file instead of standard error. */
bool log_open(const char *path, struct err *e);
/* Parse "start..end,start+size,start-size" (hex or decimal) for log_in_range(). */
bool log_set_filter(const char *ranges, struct err *e);
/* True if no filter is set or the guest address lies in one of its ranges. */
bool log_in_range(uint64_t va);
/* Write one piece of text, whole, if the area is on. */
void log_to(enum log_area a, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* Write one piece of text, whole, whatever areas are on: for who has a switch of its own. */
void log_always(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
/* "The guest did something odd": area guest_errors, at most a few a second from one place. */
void log_guest(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
/* A message for the user on standard error, "rhea: " in front, newline added. */
void warn(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

#endif
