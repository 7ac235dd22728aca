/*
 * The one list of commands (commands.def) behind the human monitor and QMP.
 *
 * A command is a function from a dictionary of arguments to a value; its row
 * describes both (ui/schema.h). QMP checks arguments by the row and sends the
 * value; the human monitor makes the dictionary from words by the same row and
 * prints the value by the row's show function. Rows of the human monitor alone
 * have a function that gets the words and prints.
 *
 * Main loop's thread, machine lock.
 */
#ifndef UI_COMMAND_H
#define UI_COMMAND_H

#include <stdio.h>

#include "base/error.h"
#include "base/spell.h"
#include "base/value.h"

struct vm;
struct monitor;
struct qmp;
struct mon_args;

enum cmd_class {
	CMD_GENERIC, CMD_NOT_FOUND, CMD_DEVICE_NOT_FOUND, CMD_DEVICE_NOT_ACTIVE, CMD_KVM_MISSING,
};
/* As QMP spells it. */
const char *cmd_class_name(enum cmd_class c);

/* One execution. */
struct cmd {
	struct vm *vm;
	struct monitor *mon;	/* who asks: a human monitor */
	struct qmp *qmp;	/* or a program, or neither */
	int cpu;		/* what commands without a processor's number mean */
	enum cmd_class class;	/* of the error */
	struct err err;
};

/* NULL: failed, cmd->err says why. args have been checked. */
typedef struct value *cmd_fn(struct cmd *c, const struct value *args);
typedef void cmd_show_fn(const struct value *v, FILE *out);
typedef void cmd_words_fn(struct monitor *mon, const struct mon_args *a, FILE *out);

struct command {
	const char *qmp;	/* name in QMP, or NULL */
	const char *human;	/* name (of a subject: behind "info"), or NULL */
	const char *alias;
	bool subject;
	const char *args;	/* members */
	const char *returns;	/* type; NULL: an empty dictionary */
	cmd_fn *fn;
	cmd_show_fn *show;	/* NULL: nothing to print */
	const char *params;	/* rows of the human monitor alone */
	int min;
	cmd_words_fn *words;
	const char *help;
};
extern const struct command commands[];
extern const unsigned n_commands;

struct command_event {
	const char *name, *members, *help;
};
extern const struct command_event command_events[];
extern const unsigned n_command_events;

const struct command *command_find_qmp(const char *name);
/* By name or alias; what is near goes to *near. */
const struct command *command_find_human(const char *name, bool subject, struct spell *near);
/* How its arguments are typed: "filename [device] [-f format]". Returns buf. */
const char *command_params(const struct command *c, char *buf, size_t n);

struct member;
/* Can this argument be typed in the human monitor? Lists and structures cannot. */
bool command_member_typed(const struct member *m);

/* The descriptor of that name (getfd), the caller's from now on; -1: there is none. */
int commands_take_fd(struct vm *vm, const char *name);
void commands_close_fds(struct vm *vm);
/* Errors of drives become events from now on. */
void commands_watch_drives(struct vm *vm);

struct dev;
/* A balloon's properties that change, by name; NULL, false: it has none of that name. */
struct value *balloon_property(const struct dev *d, const char *name);
bool balloon_set_property(struct dev *d, const char *name, const struct value *v);

/* Check the arguments (NULL: none) and execute. */
struct value *command_run(struct cmd *c, const struct command *row, const struct value *args);

/* For commands. Always returns NULL. */
struct value *cmd_fail(struct cmd *c, enum cmd_class class, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
/* Done, or err is filled. */
static inline struct value *cmd_result(bool ok)
{
	return ok ? val_dict() : NULL;
}
/* The vCPU of an optional argument; -1 with err filled: no such. */
int cmd_cpu(struct cmd *c, const struct value *args, const char *name);

#endif
