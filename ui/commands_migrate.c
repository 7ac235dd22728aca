/*
 * Commands about the machine's state on its way to another program.
 *
 * Not modelled: capabilities other than events, and parameters other than the two below.
 */
#include "ui/migrate.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "hw/core/loop.h"
#include "hw/core/prop.h"
#include "ui/commands.h"
#include "ui/monitor_priv.h"
#include "ui/vm.h"

#define DOWNTIME_MS	300		/* what a few hundred pages stay below */

/* ---- how far it is ---- */

static void add_ram(struct value *v, const struct save_stats *st, uint64_t left)
{
	struct value *ram = val_add(v, "ram", val_dict());
	double s = (double)st->total_ns / 1e9;

	val_add_int(ram, "transferred", (int64_t)st->out.bytes);
	val_add_int(ram, "remaining", (int64_t)left);
	val_add_int(ram, "total", (int64_t)st->out.ram_total);
	val_add_int(ram, "duplicate", (int64_t)st->out.zero_pages);
	val_add_int(ram, "skipped", 0);
	val_add_int(ram, "normal", (int64_t)st->out.data_pages);
	val_add_int(ram, "normal-bytes", (int64_t)st->out.data_pages * 4096);
	val_add_int(ram, "dirty-pages-rate", 0);
	val_add(ram, "mbps", val_num(s > 0 ? (double)st->out.bytes * 8 / 1e6 / s : 0));
	val_add_int(ram, "dirty-sync-count", st->rounds);
	val_add_int(ram, "postcopy-requests", 0);
	val_add_int(ram, "page-size", 4096);
	val_add_int(ram, "multifd-bytes", 0);
	val_add_int(ram, "pages-per-second", s > 0 ? (int64_t)((double)(st->out.zero_pages + st->out.data_pages) / s) : 0);
}

static bool is_over(enum save_state s)
{
	return s == SAVE_NONE || s >= SAVE_COMPLETED;
}

struct value *cmd_query_migrate(struct cmd *c, const struct value *args)
{
	const struct migration *m = &c->vm->migration;
	struct value *v = val_dict();
	uint64_t left;
	struct save_stats st = save_progress(c->vm, &left);
	bool out = m->out_state != SAVE_NONE;
	enum save_state state = out ? m->out_state : m->in_state;
	const struct err *e = out ? &m->out_err : &m->in_err;

	(void)args;
	if (state == SAVE_NONE)
		return v;
	val_add_str(v, "status", save_state_word(state));
	if (state == SAVE_FAILED)
		val_add_str(v, "error-desc", e->msg);
	if (!out || state == SAVE_SETUP)
		return v;
	val_add_int(v, "total-time", (int64_t)(st.total_ns / NS_PER_MS));
	val_add_int(v, "setup-time", 0);
	if (is_over(state))
		val_add_int(v, "downtime", (int64_t)(st.pause_ns / NS_PER_MS));
	else
		val_add_int(v, "expected-downtime", m->downtime_ms ? m->downtime_ms : DOWNTIME_MS);
	add_ram(v, &st, left);
	return v;
}

/* ---- run control ---- */

static void nothing(void *opaque, bool ok, const struct err *e)
{
	(void)opaque, (void)ok, (void)e;	/* query-migrate tells */
}

struct value *cmd_migrate(struct cmd *c, const struct value *args)
{
	if (val_get_bool(args, "blk", false) || val_get_bool(args, "inc", false))
		return cmd_fail(c, CMD_GENERIC, "disks are not copied along: let both sides see the same images");
	if (val_get_bool(args, "resume", false))
		return cmd_fail(c, CMD_GENERIC, "there is no postcopy migration to resume");
	return cmd_result(migrate_out(c->vm, val_get_str(args, "uri", ""), true, nothing, NULL, &c->err));
}

struct value *cmd_migrate_cancel(struct cmd *c, const struct value *args)
{
	(void)args;
	migrate_cancel(c->vm);
	return val_dict();
}

static void came(void *opaque, bool ok, const struct err *e)
{
	struct vm *vm = opaque;

	(void)e;
	if (ok && vm->migration.go_on)
		vm_cont(vm);
}

struct value *cmd_migrate_incoming(struct cmd *c, const struct value *args)
{
	if (c->vm->status != VM_INMIGRATE)
		return cmd_fail(c, CMD_GENERIC, "'-incoming' was not specified on the command line");
	return cmd_result(migrate_in_start(c->vm, val_get_str(args, "uri", ""), came, c->vm, &c->err));
}

/* ---- settings ---- */

struct value *cmd_query_migrate_capabilities(struct cmd *c, const struct value *args)
{
	struct value *list = val_list(), *v = val_dict();

	(void)args;
	val_add_str(v, "capability", "events");
	val_add_bool(v, "state", c->vm->migration.events);
	val_append(list, v);
	return list;
}

void show_migrate_capabilities(const struct value *v, FILE *out)
{
	for (size_t i = 0; i < v->n; i++)
		fprintf(out, "%s: %s\n", val_get_str(v->item[i], "capability", ""),
			val_get_bool(v->item[i], "state", false) ? "on" : "off");
}

struct value *cmd_migrate_set_capabilities(struct cmd *c, const struct value *args)
{
	const struct value *list = val_get(args, "capabilities");

	for (size_t i = 0; i < list->n; i++)
		c->vm->migration.events = val_get_bool(list->item[i], "state", false);
	return val_dict();
}

struct value *cmd_query_migrate_parameters(struct cmd *c, const struct value *args)
{
	const struct migration *m = &c->vm->migration;
	struct value *v = val_dict();

	(void)args;
	val_add_int(v, "max-bandwidth", (int64_t)m->max_bandwidth);
	val_add_int(v, "downtime-limit", m->downtime_ms ? m->downtime_ms : DOWNTIME_MS);
	return v;
}

void show_migrate_parameters(const struct value *v, FILE *out)
{
	for (size_t i = 0; i < v->n; i++)
		fprintf(out, "%s: %lld\n", v->key[i], (long long)v->item[i]->i);
}

struct value *cmd_migrate_set_parameters(struct cmd *c, const struct value *args)
{
	struct migration *m = &c->vm->migration;
	int64_t rate = val_get_int(args, "max-bandwidth", (int64_t)m->max_bandwidth);
	int64_t ms = val_get_int(args, "downtime-limit", m->downtime_ms);

	if (rate < 0)
		return cmd_fail(c, CMD_GENERIC, "Parameter 'max-bandwidth' expects bytes a second, or 0 for no limit");
	if (ms < 0 || ms > 2000000)
		return cmd_fail(c, CMD_GENERIC, "Parameter 'downtime-limit' expects 0 to 2000000 milliseconds");
	m->max_bandwidth = (uint64_t)rate;
	m->downtime_ms = (unsigned)ms;
	return val_dict();
}

/* ---- by people, one by one ---- */

static void run(struct monitor *mon, const char *command, struct value *args, FILE *out)
{
	struct cmd c = { .vm = mon->vm, .mon = mon };
	struct value *v = command_run(&c, command_find_qmp(command), args);

	if (!v)
		fprintf(out, "%s\n", c.err.msg);
	val_free(v);
	val_free(args);
}

/* A rate without a suffix is in MiB, as QEMU has it. */
void mon_migrate_set_parameter(struct monitor *mon, const struct mon_args *a, FILE *out)
{
	const char *name = a->word[0], *text = a->word[1];
	bool rate = !strcmp(name, "max-bandwidth");
	struct value *args;
	uint64_t v;

	if (!rate && strcmp(name, "downtime-limit")) {
		fprintf(out, "migrate_set_parameter: '%s' is none; there are max-bandwidth and downtime-limit\n", name);
		return;
	}
	if (!prop_parse_size(text, &v) || v > INT64_MAX >> 20) {
		fprintf(out, "migrate_set_parameter: '%s' is no value for %s\n", text, name);
		return;
	}
	if (rate && !text[strspn(text, "0123456789")])
		v <<= 20;
	args = val_dict();
	val_add_int(args, name, (int64_t)v);
	run(mon, "migrate-set-parameters", args, out);
}

void mon_migrate_set_capability(struct monitor *mon, const struct mon_args *a, FILE *out)
{
	bool on = !strcmp(a->word[1], "on");
	struct value *args, *one;

	if (!on && strcmp(a->word[1], "off")) {
		fprintf(out, "migrate_set_capability: expected on or off\n");
		return;
	}
	args = val_dict();
	one = val_dict();
	val_add_str(one, "capability", a->word[0]);
	val_add_bool(one, "state", on);
	val_append(val_add(args, "capabilities", val_list()), one);
	run(mon, "migrate-set-capabilities", args, out);
}
