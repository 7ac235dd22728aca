/* Trace points (hw/core/trace.h) as people and programs switch them; commands as points themselves. */
#include <string.h>

#include "base/log.h"
#include "ui/monitor_priv.h"
#include "ui/trace.h"

/* ---- commands as points ---- */

static void name_commands(struct machine *m, struct trace_names *l)
{
	(void)m;
	for (unsigned i = 0; i < n_commands; i++) {
		const struct command *c = &commands[i];

		if (c->qmp)
			trace_name(l, "qmp", NULL, c->qmp);
		if (c->human && !c->subject)
			trace_name(l, "monitor", NULL, c->human);
	}
}

void commands_trace(struct vm *vm)
{
	trace_add_source(vm->m, name_commands);
}

void trace_command(struct machine *m, const char *syntax, const char *name, const char *args)
{
	bool secret = strstr(args, "password") || strstr(name, "password");

	trace_point(m, syntax, NULL, name, "%s", secret ? "(with a password)" : args);
}

/* ---- the option ---- */

bool trace_begin(struct machine *m, const struct opt_trace *o, int n, struct err *e)
{
	for (int i = 0; i < n; i++) {
		if (o[i].pattern && !trace_set(m, o[i].pattern, true, e))
			return false;
		if ((o[i].events && !trace_set_from(m, o[i].events, e)) || (o[i].file && !trace_open(m, o[i].file, e)))
			return err_prefix(e, "-trace");
	}
	return true;
}

bool trace_check(struct machine *m, const struct opt_trace *o, int n, struct err *e)
{
	for (int i = 0; i < n; i++) {
		if (!o[i].pattern || trace_exists(m, o[i].pattern, e))
			continue;
		if (trace_is_name(o[i].pattern))
			return err_prefix(e, "-trace");
		warn("-trace: %s", e->msg);
	}
	return true;
}

void trace_print(struct machine *m, const char *pattern, FILE *out)
{
	struct trace_names l;

	trace_list(m, pattern, &l);
	for (size_t i = 0; i < l.n; i++)
		fprintf(out, "%s : state %d\n", l.name[i], trace_enabled(m, l.name[i]));
	trace_names_free(&l);
}

/* ---- commands ---- */

void mon_info_trace_events(struct monitor *mon, const struct mon_args *a, FILE *out)
{
	const char *pattern = a->n ? a->word[0] : NULL;
	struct err e;

	if (pattern && !trace_exists(mon->vm->m, pattern, &e))
		fprintf(out, "info trace-events: %s\n", e.msg);
	else
		trace_print(mon->vm->m, pattern, out);
}

struct value *cmd_trace_event_get_state(struct cmd *c, const struct value *args)
{
	const char *pattern = val_get_str(args, "name", "");
	struct machine *m = c->vm->m;
	struct value *list;
	struct trace_names l;

	if (!trace_exists(m, pattern, &c->err))
		return NULL;
	list = val_list();
	trace_list(m, pattern, &l);
	for (size_t i = 0; i < l.n; i++) {
		struct value *v = val_dict();

		val_add_str(v, "name", l.name[i]);
		val_add_str(v, "state", trace_enabled(m, l.name[i]) ? "enabled" : "disabled");
		val_add_bool(v, "vcpu", false);
		val_append(list, v);
	}
	trace_names_free(&l);
	return list;
}

struct value *cmd_trace_event_set_state(struct cmd *c, const struct value *args)
{
	const char *pattern = val_get_str(args, "name", "");
	struct machine *m = c->vm->m;

	return cmd_result(trace_exists(m, pattern, &c->err) &&
			  trace_set(m, pattern, val_get_bool(args, "enable", true), &c->err));
}
