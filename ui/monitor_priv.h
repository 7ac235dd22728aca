/* Between the monitor (monitor.c) and its commands (monitor_*.c). */
#ifndef UI_MONITOR_PRIV_H
#define UI_MONITOR_PRIV_H

#include <stdio.h>

#include "hw/core/chr.h"
#include "hw/core/clock.h"
#include "ui/commands.h"
#include "ui/editor.h"
#include "ui/monitor.h"
#include "ui/vm.h"

#define MON_LINE	EDITOR_LINE
#define MON_ARGS	16

struct mon_args {
	int n;			/* words behind the command */
	char *word[MON_ARGS];
	const char *rest;	/* everything behind the command, as typed */
	const char *fmt;	/* "10i" of x/10i; "" */
};

struct monitor {
	struct vm *vm;
	struct chr *chr;		/* NULL: silent */
	int cpu;			/* the one that register and memory commands mean */
	struct editor *editor;		/* NULL: silent */
	bool begun;			/* it has shown its prompt */
	bool greeted;
	bool waits;			/* a command is under way */
	/* What was typed while that was so, or while nobody read the answers. */
	uint8_t ahead[MON_LINE];
	int n_ahead;
};

/*
 * The command goes on after it has returned: no prompt before mon_goes_on(), which prints
 * what there is to say. False: nobody types here, the command must be over when it returns.
 */
bool mon_wait(struct monitor *mon);
void mon_goes_on(struct monitor *mon, const char *text);

/*
 * Words as the arguments that a command's row describes: "-x" letters anywhere,
 * the others in order, numbers as expressions. NULL: *out was told what is wrong.
 */
struct value *mon_make_args(struct monitor *mon, const struct command *row, const struct mon_args *a,
			    FILE *out);

struct cpu *mon_cpu(struct monitor *mon);

/*
 * A number, $register, or expression of them with ( ) * / % + - & | ^ and
 * unary - ~. The whole text must be one; *out is told why it is not.
 */
bool mon_expr(struct monitor *mon, const char *text, uint64_t *v, FILE *out);

#endif
