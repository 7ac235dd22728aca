/* Commands that act on the machine as a whole, and what QMP says about itself. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "config.h"
#include "cpu/cpu.h"
#include "hw/core/dev.h"
#include "hw/pc/pc.h"
#include "ui/commands.h"
#include "ui/monitor.h"
#include "ui/qmp.h"
#include "ui/schema.h"
#include "ui/vm.h"

/* ---- run control ---- */

struct value *cmd_quit(struct cmd *c, const struct value *args)
{
	(void)args;
	vm_quit(c->vm, 0, VM_BY_QUIT);
	return val_dict();
}

struct value *cmd_stop(struct cmd *c, const struct value *args)
{
	(void)args;
	if (vm_running(c->vm))
		vm_stop(c->vm, VM_PAUSED);
	return val_dict();
}

struct value *cmd_cont(struct cmd *c, const struct value *args)
{
	struct err e;

	(void)args;
	if (!vm_may_cont(c->vm, &e))
		return cmd_fail(c, CMD_GENERIC, "%s", e.msg);
	vm_cont(c->vm);
	return val_dict();
}

struct value *cmd_system_reset(struct cmd *c, const struct value *args)
{
	(void)args;
	vm_reset(c->vm, VM_BY_COMMAND);
	return val_dict();
}

struct value *cmd_system_powerdown(struct cmd *c, const struct value *args)
{
	(void)args;
	vm_powerdown(c->vm);
	return val_dict();
}

struct value *cmd_system_wakeup(struct cmd *c, const struct value *args)
{
	(void)args;
	if (c->vm->status != VM_SUSPENDED)
		return cmd_fail(c, CMD_GENERIC, "Unable to wake up: guest is not in suspended state");
	pc_power_button(c->vm->pc);
	return val_dict();
}

struct value *cmd_inject_nmi(struct cmd *c, const struct value *args)
{
	(void)args;
	vm_nmi(c->vm);
	return val_dict();
}

/* Which of the words an argument is; was: it is not given. The schema lets only those words through. */
static int word_of(const struct value *args, const char *name, int was, const char *const *words)
{
	const char *given = val_get_str(args, name, "");

	for (int i = 0; words[i]; i++)
		if (!strcmp(words[i], given))
			return i;
	return was;
}

struct value *cmd_watchdog_set_action(struct cmd *c, const struct value *args)
{
	struct vm *vm = c->vm;

	vm->watchdog = (enum vm_watchdog)word_of(args, "action", (int)vm->watchdog, vm_watchdog_words);
	return val_dict();
}

struct value *cmd_set_action(struct cmd *c, const struct value *args)
{
	struct vm *vm = c->vm;

	vm->no_reboot = word_of(args, "reboot", vm->no_reboot, vm_reboot_words);
	vm->no_shutdown = word_of(args, "shutdown", vm->no_shutdown, vm_shutdown_words);
	vm->panic = (enum vm_panic)word_of(args, "panic", (int)vm->panic, vm_panic_words);
	vm->watchdog = (enum vm_watchdog)word_of(args, "watchdog", (int)vm->watchdog, vm_watchdog_words);
	return val_dict();
}

/* ---- what runs ---- */

struct value *cmd_query_status(struct cmd *c, const struct value *args)
{
	struct value *v = val_dict();

	(void)args;
	val_add_bool(v, "running", vm_running(c->vm));
	val_add_bool(v, "singlestep", false);
	val_add_str(v, "status", vm_status_word(c->vm->status));
	return v;
}

void show_status(const struct value *v, FILE *out)
{
	const char *status = val_get_str(v, "status", "");
	bool plain = !strcmp(status, "running") || !strcmp(status, "paused");

	if (plain)
		fprintf(out, "VM status: %s\n", status);
	else
		fprintf(out, "VM status: paused (%s)\n", status);
}

struct value *cmd_query_name(struct cmd *c, const struct value *args)
{
	struct value *v = val_dict();

	(void)args;
	if (c->vm->name)
		val_add_str(v, "name", c->vm->name);
	return v;
}

void show_name(const struct value *v, FILE *out)
{
	const char *name = val_get_str(v, "name", NULL);

	if (name)
		fprintf(out, "%s\n", name);
}

struct value *cmd_query_uuid(struct cmd *c, const struct value *args)
{
	static const uint8_t none[16];
	const uint8_t *u = c->vm->cfg && c->vm->cfg->has_uuid ? c->vm->cfg->uuid : none;
	struct value *v = val_dict();

	(void)args;
	val_add(v, "UUID", val_strf("%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-%02x%02x%02x%02x%02x%02x",
				    u[0], u[1], u[2], u[3], u[4], u[5], u[6], u[7], u[8], u[9], u[10], u[11],
				    u[12], u[13], u[14], u[15]));
	return v;
}

void show_uuid(const struct value *v, FILE *out)
{
	fprintf(out, "%s\n", val_get_str(v, "UUID", ""));
}

struct value *cmd_query_version(struct cmd *c, const struct value *args)
{
	(void)c, (void)args;
	return qmp_version();
}

void show_version(const struct value *v, FILE *out)
{
	(void)v;
	fprintf(out, "%s\n", CONFIG_VERSION);
}

struct value *cmd_query_kvm(struct cmd *c, const struct value *args)
{
	struct value *v = val_dict();
	bool kvm = c->vm->ops && !strcmp(c->vm->ops->name, "kvm");

	(void)args;
	val_add_bool(v, "enabled", kvm);
	val_add_bool(v, "present", kvm);
	return v;
}

void show_kvm(const struct value *v, FILE *out)
{
	fprintf(out, "kvm support: %s\n", val_get_bool(v, "enabled", false) ? "enabled" :
		val_get_bool(v, "present", false) ? "disabled" : "not compiled");
}

struct value *cmd_query_target(struct cmd *c, const struct value *args)
{
	struct value *v = val_dict();

	(void)c, (void)args;
	val_add_str(v, "arch", "x86_64");
	return v;
}

/* ---- about QMP ---- */

struct value *cmd_query_commands(struct cmd *c, const struct value *args)
{
	struct value *list = val_list();

	(void)c, (void)args;
	for (unsigned i = 0; i < n_commands; i++) {
		if (!commands[i].qmp)
			continue;
		struct value *v = val_dict();
		val_add_str(v, "name", commands[i].qmp);
		val_append(list, v);
	}
	return list;
}

struct value *cmd_query_events(struct cmd *c, const struct value *args)
{
	struct value *list = val_list();

	(void)c, (void)args;
	for (unsigned i = 0; i < n_command_events; i++) {
		struct value *v = val_dict();
		val_add_str(v, "name", command_events[i].name);
		val_append(list, v);
	}
	return list;
}

struct value *cmd_human_monitor_command(struct cmd *c, const struct value *args)
{
	int cpu = cmd_cpu(c, args, "cpu-index");
	struct monitor *mon = cpu < 0 ? NULL : monitor_new_silent(c->vm);
	struct value *result = NULL;
	char *text = NULL;
	size_t n = 0;
	FILE *out = mon ? open_memstream(&text, &n) : NULL;

	if (out) {
		monitor_choose_cpu(mon, cpu);
		monitor_execute(mon, val_get_str(args, "command-line", ""), out);
		fclose(out);
		result = val_str(text);
		free(text);
	}
	monitor_free(mon);
	return result;
}

/* ---- screen ---- */

struct value *cmd_screendump(struct cmd *c, const struct value *args)
{
	const char *format = val_get_str(args, "format", "");
	enum surface_format f = !strcmp(format, "png") ? SURFACE_PNG :
				!strcmp(format, "ppm") ? SURFACE_PPM : SURFACE_BY_NAME;

	return cmd_result(pc_screendump(c->vm->pc, val_get_str(args, "filename", ""), f, &c->err));
}
