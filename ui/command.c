/* The list of commands as a table, and executing a row. */
#include "ui/command.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/bits.h"
#include "ui/commands.h"
#include "ui/schema.h"
#include "ui/vm.h"

#define SHOW(fn)	show_##fn
#define SILENT		NULL

const struct command commands[] = {
#define COMMAND(name, alias_, params_, min_, fn, help_) \
	{ .human = name, .alias = alias_, .params = params_, .min = min_, .words = mon_##fn, .help = help_ },
#define INFO(name, fn, help_) \
	{ .human = name, .subject = true, .params = "", .words = mon_info_##fn, .help = help_ },
#define QMP(name, args_, returns_, fn_, help_) \
	{ .qmp = name, .args = args_, .returns = returns_, .fn = cmd_##fn_, .help = help_ },
#define BOTH(name, human_, alias_, args_, returns_, fn_, show_, help_) \
	{ .qmp = name, .human = human_, .alias = alias_, .args = args_, .returns = returns_, .fn = cmd_##fn_, \
	  .show = show_, .help = help_ },
#define QUERY(name, subject_, args_, returns_, fn_, show_, help_) \
	{ .qmp = name, .human = subject_, .subject = true, .args = args_, .returns = returns_, \
	  .fn = cmd_##fn_, .show = show_, .help = help_ },
#define EVENT(name, members, help)
#include "ui/commands.def"
#undef COMMAND
#undef INFO
#undef QMP
#undef BOTH
#undef QUERY
#undef EVENT
};
const unsigned n_commands = ARRAY_LEN(commands);

const struct command_event command_events[] = {
#define COMMAND(name, alias, params, min, fn, help)
#define INFO(name, fn, help)
#define QMP(name, args, returns, fn, help)
#define BOTH(name, human, alias, args, returns, fn, show, help)
#define QUERY(name, subject, args, returns, fn, show, help)
#define EVENT(name, members, help) { name, members, help },
#include "ui/commands.def"
};
const unsigned n_command_events = ARRAY_LEN(command_events);

const char *cmd_class_name(enum cmd_class c)
{
	static const char *const names[] = {
		[CMD_GENERIC] = "GenericError", [CMD_NOT_FOUND] = "CommandNotFound",
		[CMD_DEVICE_NOT_FOUND] = "DeviceNotFound", [CMD_DEVICE_NOT_ACTIVE] = "DeviceNotActive",
		[CMD_KVM_MISSING] = "KVMMissingCap",
	};

	return names[c];
}

/* ---- finding ---- */

const struct command *command_find_qmp(const char *name)
{
	for (unsigned i = 0; i < n_commands; i++)
		if (commands[i].qmp && !strcmp(commands[i].qmp, name))
			return &commands[i];
	return NULL;
}

const struct command *command_find_human(const char *name, bool subject, struct spell *near)
{
	spell_init(near, name);
	for (unsigned i = 0; i < n_commands; i++) {
		const struct command *c = &commands[i];

		if (!c->human || c->subject != subject)
			continue;
		if (!strcmp(name, c->human) || (c->alias && !strcmp(name, c->alias)))
			return c;
		spell_try(near, c->human);
	}
	return NULL;
}

/* ---- how it is typed ---- */

const char *command_params(const struct command *c, char *buf, size_t n)
{
	const char *p = c->args;
	struct member m;
	size_t k = 0;

	if (c->params)
		return c->params;
	*buf = 0;
	if (p && strchr(p, '*')) {	/* the first member and whatever goes with it, in one word */
		schema_next(&p, &m);
		snprintf(buf, n, "%s[,key=value..]", m.name);
		return buf;
	}
	while (p && schema_next(&p, &m) && k < n) {
		const char *open = m.optional ? "[" : "", *close = m.optional ? "]" : "";

		if (!command_member_typed(&m))
			continue;
		if (!m.letter)
			k += (size_t)snprintf(buf + k, n - k, "%s%s%s%s", k ? " " : "", open, m.name, close);
		else
			k += (size_t)snprintf(buf + k, n - k, "%s[-%c%s%s]", k ? " " : "", m.letter,
					      strcmp(m.type, "bool") ? " " : "",
					      strcmp(m.type, "bool") ? m.name : "");
	}
	return buf;
}

bool command_member_typed(const struct member *m)
{
	const struct schema_type *t = schema_find(m->type);

	return *m->type != '[' && strcmp(m->type, "any") && (!t || t->kind == SCHEMA_ENUM);
}

/* ---- executing ---- */

struct value *command_run(struct cmd *c, const struct command *row, const struct value *args)
{
	struct value *none = args ? NULL : val_dict(), *result = NULL;

	c->class = CMD_GENERIC;
	c->err.msg[0] = 0;
	if (schema_check_members(args ? args : none, row->args, "", &c->err))
		result = row->fn(c, args ? args : none);
	val_free(none);
	return result;
}

struct value *cmd_fail(struct cmd *c, enum cmd_class class, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(c->err.msg, sizeof(c->err.msg), fmt, ap);
	va_end(ap);
	c->class = class;
	return NULL;
}

int cmd_cpu(struct cmd *c, const struct value *args, const char *name)
{
	int64_t i = val_get_int(args, name, c->cpu);

	if (i >= 0 && i < c->vm->ncpus)
		return (int)i;
	cmd_fail(c, CMD_GENERIC, "Invalid parameter '%s': processors are 0 to %d", name, c->vm->ncpus - 1);
	return -1;
}
