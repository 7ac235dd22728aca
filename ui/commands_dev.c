/*
 * Commands about devices: adding and taking them away, and QEMU's object paths
 * over the device table:
 *
 *	/machine/peripheral/ID		devices the user made
 *	/machine/unattached/ID		the board's; cpu[N]
 *	/chardevs/ID  /objects
 *
 * Not modelled: properties that change while the machine runs.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bits.h"
#include "hw/core/chr.h"
#include "hw/core/dev.h"
#include "hw/core/prop.h"
#include "hw/pc/pc.h"
#include "ui/command_text.h"
#include "ui/commands.h"
#include "ui/json.h"
#include "ui/commands_cpu.h"
#include "ui/options.h"
#include "ui/save.h"
#include "ui/vm.h"

/* ---- adding and removing ---- */

/* What is written of a machine ends with the devices that its first part told of. */
static bool may_plug_now(struct cmd *c, const char *command)
{
	return !save_busy(c->vm) || err_set(&c->err, "%s not allowed while migrating", command);
}

/* ISA devices and displays are there from the start. */
static bool may_plug(struct cmd *c, const struct dev_type *t)
{
	if (t && t->bus && !strcmp(t->bus, "isa"))
		return err_set(&c->err, "Bus 'isa.0' does not support hotplugging");
	return !t || !t->fixed || err_set(&c->err, "Device '%s' does not support hotplugging", t->name);
}

struct value *cmd_device_add(struct cmd *c, const struct value *args)
{
	const char *driver = val_get_str(args, "driver", ""), *id = val_get_str(args, "id", NULL);
	struct dev *d = NULL;
	char *text;

	if (!may_plug_now(c, "device_add"))
		return NULL;
	if (id && (dev_find(c->vm->m, id) || find_cpu(c->vm, id) >= 0))
		return cmd_fail(c, CMD_GENERIC, "Duplicate device ID '%s'", id);
	if (is_cpu_driver(driver))
		return add_cpu(c, driver, args);
	if (!may_plug(c, dev_type_find(c->vm->m, driver)))
		return NULL;
	text = command_text(args, "driver", &c->err);
	if (!text)
		return NULL;
	vm_hold(c->vm);
	d = dev_make_from(c->vm->m, text, &c->err);
	bool ok = d && pc_plugged(c->vm->pc, d, &c->err);
	vm_release(c->vm);
	free(text);
	return cmd_result(ok);
}

static struct dev *find_user_device(struct cmd *c, const char *id)
{
	const char *slash = strrchr(id, '/');
	struct dev *d = dev_find(c->vm->m, slash ? slash + 1 : id);

	if (!d)
		cmd_fail(c, CMD_DEVICE_NOT_FOUND, "Device '%.200s' not found", id);
	else if (!d->user)
		cmd_fail(c, CMD_GENERIC, "Device '%s' is part of the board", d->id);
	return d && d->user ? d : NULL;
}

struct value *cmd_device_del(struct cmd *c, const struct value *args)
{
	const char *id = val_get_str(args, "id", ""), *slash = strrchr(id, '/');
	int cpu = find_cpu(c->vm, slash ? slash + 1 : id);
	struct dev *d;

	if (!may_plug_now(c, "device_del"))
		return NULL;
	if (cpu >= 0)
		return del_cpu(c, cpu);
	d = find_user_device(c, id);
	if (!d || !may_plug(c, d->type))
		return NULL;
	vm_hold(c->vm);
	bool ok = pc_unplug(c->vm->pc, d, &c->err);
	vm_release(c->vm);
	return ok ? val_dict() : NULL;
}

/* ---- properties of types ---- */

static struct value *default_of(const struct prop *p)
{
	switch (p->type) {
	case PROP_BOOL:	return val_bool(p->def);
	case PROP_STR:	return p->def_str ? val_str(p->def_str) : NULL;
	case PROP_U8: case PROP_U16: case PROP_U32: case PROP_U64: case PROP_SIZE:
		return val_int((int64_t)p->def);
	default:	return NULL;
	}
}

static void add_props(struct value *list, const struct prop *p)
{
	for (; p && p->name; p++) {
		struct value *v = val_dict(), *def = default_of(p);

		val_add_str(v, "name", p->name);
		val_add_str(v, "type", prop_type_name(p));
		if (p->help)
			val_add_str(v, "description", p->help);
		if (def)
			val_add(v, "default-value", def);
		val_append(list, v);
	}
}

struct value *cmd_device_list_properties(struct cmd *c, const struct value *args)
{
	const char *name = val_get_str(args, "typename", "");
	const struct dev_type *t = dev_type_find(c->vm->m, name);
	struct value *list;

	if (!t)
		return cmd_fail(c, CMD_DEVICE_NOT_FOUND, "Device '%.200s' not found", name);
	list = val_list();
	add_props(list, t->props);
	add_props(list, t->bus_props);
	return list;
}

/* ---- types ---- */

static const struct { const char *name, *parent, *bus; } bases[] = {
	{ "object", NULL, NULL }, { "device", "object", NULL }, { "pci-device", "device", "pci" },
	{ "isa-device", "device", "isa" }, { "usb-device", "device", "usb" },
	{ "sys-bus-device", "device", "system" }, { "machine", "object", NULL }, { "accel", "object", NULL },
};

static const char *base_of(const struct dev_type *t)
{
	for (size_t i = 0; i < ARRAY_LEN(bases); i++)
		if (bases[i].bus && t->bus && !strcmp(bases[i].bus, t->bus))
			return bases[i].name;
	return "device";
}

static bool is_a(const char *name, const char *wanted)
{
	for (size_t i = 0; name && i < ARRAY_LEN(bases); i++) {
		if (!strcmp(name, wanted))
			return true;
		if (!strcmp(bases[i].name, name))
			return bases[i].parent && is_a(bases[i].parent, wanted);
	}
	return name && !strcmp(name, wanted);
}

static void add_type(struct value *list, const char *name, const char *parent, bool abstract)
{
	struct value *v = val_dict();

	val_add_str(v, "name", name);
	if (abstract)
		val_add_bool(v, "abstract", true);
	if (parent)
		val_add_str(v, "parent", parent);
	val_append(list, v);
}

struct value *cmd_qom_list_types(struct cmd *c, const struct value *args)
{
	const char *wanted = val_get_str(args, "implements", "object");
	struct value *list = val_list();
	struct opt_board b;
	char name[60];

	for (size_t i = 0; i < ARRAY_LEN(bases) && val_get_bool(args, "abstract", true); i++)
		if (is_a(bases[i].name, wanted))
			add_type(list, bases[i].name, bases[i].parent, true);
	if (is_a("accel", wanted))
		add_type(list, "tcg-accel", "accel", false);
	for (int i = 0; is_a("machine", wanted) && options_board(i, &b); i++) {
		snprintf(name, sizeof(name), "%s-machine", b.name);
		add_type(list, name, "machine", false);
	}
	for (const struct dev_type *const *t = c->vm->m->types; *t; t++)
		if (!strcmp((*t)->name, wanted) || is_a(base_of(*t), wanted))
			add_type(list, (*t)->name, base_of(*t), false);
	return list;
}

/* "NAME-machine": what -machine NAME takes. */
static struct value *board_properties(const char *name)
{
	const char *tail = strrchr(name, '-'), *option, *arg;
	struct opt_board b;

	for (int i = 0; tail && !strcmp(tail, "-machine") && options_board(i, &b); i++) {
		if (strlen(b.name) != (size_t)(tail - name) || strncmp(b.name, name, (size_t)(tail - name)))
			continue;
		for (unsigned k = 0; options_row(k, &option, &arg); k++)
			if (option && !strcmp(option, "machine"))
				return options_keys(arg);
	}
	return NULL;
}

struct value *cmd_qom_list_properties(struct cmd *c, const struct value *args)
{
	const char *name = val_get_str(args, "typename", "");

	if (dev_type_find(c->vm->m, name))
		return cmd_device_list_properties(c, args);
	struct value *board = board_properties(name);
	if (board)
		return board;
	/* Not there, but libvirt 9 takes for granted that it is, and crashes. */
	if (!strcmp(name, "memory-backend-file"))
		return val_list();
	for (size_t i = 0; i < ARRAY_LEN(bases); i++)
		if (!strcmp(bases[i].name, name))
			return val_list();
	return cmd_fail(c, CMD_DEVICE_NOT_FOUND, "Class '%.200s' not found", name);
}

/* ---- paths ---- */

static void add_child(struct value *list, const char *name, const char *type)
{
	struct value *v = val_dict();

	val_add_str(v, "name", name);
	val_add_str(v, "type", type);
	val_append(list, v);
}

static void add_device(struct value *list, const struct dev *d)
{
	char type[100];

	snprintf(type, sizeof(type), "child<%.80s>", d->type->name);
	add_child(list, d->id, type);
}

static void list_devices(struct cmd *c, struct value *list, bool user)
{
	char name[20];

	for (const struct dev *d = c->vm->m->devs; d; d = d->next)
		if (d->user == user)
			add_device(list, d);
	for (int i = 0; !user && i < c->vm->ncpus; i++) {
		snprintf(name, sizeof(name), "cpu[%d]", i);
		add_child(list, name, "child<x86_64-cpu>");
	}
}

static void list_chardevs(struct cmd *c, struct value *list)
{
	for (const struct chr *s = c->vm->m->chrs; s; s = s->next)
		add_child(list, s->id, "child<chardev>");
}

static void list_device(struct value *list, const struct dev *d)
{
	add_child(list, "type", "string");
	for (int which = 0; which < 2; which++)
		for (const struct prop *p = which ? d->type->bus_props : d->type->props; p && p->name; p++)
			add_child(list, p->name, prop_type_name(p));
}

/* A device's path, absolute or only its end; NULL: none such. */
static struct dev *find_device(struct cmd *c, const char *path)
{
	static const char user[] = "/machine/peripheral/", board[] = "/machine/unattached/";
	struct dev *d;

	if (!strncmp(path, user, sizeof(user) - 1))
		d = dev_find(c->vm->m, path + sizeof(user) - 1);
	else if (!strncmp(path, board, sizeof(board) - 1))
		d = dev_find(c->vm->m, path + sizeof(board) - 1);
	else
		d = dev_find(c->vm->m, path);
	return d;
}

static bool is_cpu(const struct vm *vm, const char *path)
{
	int i, end = 0;

	return sscanf(path, "/machine/unattached/cpu[%d]%n", &i, &end) == 1 && end && !path[end] && i >= 0 &&
	       i < vm->ncpus;
}

static struct value *no_such_path(struct cmd *c, const char *path)
{
	return cmd_fail(c, CMD_DEVICE_NOT_FOUND, "Device '%.200s' not found", path);
}

struct value *cmd_qom_list(struct cmd *c, const struct value *args)
{
	static const struct { const char *path, *children; } folders[] = {
		{ "/", "machine objects chardevs" }, { "/machine", "peripheral unattached" },
		{ "/machine/peripheral", "" }, { "/machine/unattached", "" }, { "/objects", "" }, { "/chardevs", "" },
	};
	const char *path = val_get_str(args, "path", "");
	struct value *list = val_list();
	struct dev *d = find_device(c, path);
	char word[40];

	if (d) {
		list_device(list, d);
		return list;
	}
	if (is_cpu(c->vm, path)) {
		add_child(list, "type", "string");
		return list;
	}
	for (size_t i = 0; i < ARRAY_LEN(folders); i++) {
		if (strcmp(folders[i].path, path))
			continue;
		add_child(list, "type", "string");
		for (const char *s = folders[i].children; sscanf(s, "%39s", word) == 1; s += strspn(s, " ") + strlen(word))
			add_child(list, word, "child<container>");
		if (!strcmp(path, "/machine/peripheral") || !strcmp(path, "/machine/unattached"))
			list_devices(c, list, path[9] == 'p');
		if (!strcmp(path, "/chardevs"))
			list_chardevs(c, list);
		return list;
	}
	val_free(list);
	return no_such_path(c, path);
}

static struct value *prop_value(const struct dev *d, const struct prop *p)
{
	const void *f = (const char *)d + p->off;
	char text[4096];

	switch (p->type) {
	case PROP_BOOL:	return val_bool(*(const bool *)f);
	case PROP_U8: case PROP_U16: case PROP_U32: case PROP_U64: case PROP_SIZE:
		return val_int((int64_t)ld_n(f, (int)p->size));
	default:
		dev_prop_text(d, p, text, sizeof(text));
		return val_str(text);
	}
}

void show_qom_list(const struct value *v, FILE *out)
{
	for (size_t i = 0; i < v->n; i++)
		fprintf(out, "%s (%s)\n", val_get_str(v->item[i], "name", ""), val_get_str(v->item[i], "type", ""));
}

void show_json(const struct value *v, FILE *out)
{
	char *text = json_text(v, true);

	fprintf(out, "%s\n", text ? text : "");
	free(text);
}

struct value *cmd_qom_get(struct cmd *c, const struct value *args)
{
	const char *path = val_get_str(args, "path", ""), *name = val_get_str(args, "property", "");
	const struct dev *d = find_device(c, path);
	const struct prop *p = d ? prop_find(d->type, name) : NULL;

	if (!d && *path == '/' && !strcmp(name, "type"))
		return val_str(is_cpu(c->vm, path) ? "x86_64-cpu" : "container");
	if (!d)
		return no_such_path(c, path);
	if (!strcmp(name, "type"))
		return val_str(d->type->name);
	struct value *live = p ? prop_value(d, p) : balloon_property(d, name);
	return live ? live : cmd_fail(c, CMD_GENERIC, "Property '%s.%.100s' not found", d->type->name, name);
}

struct value *cmd_qom_set(struct cmd *c, const struct value *args)
{
	const char *path = val_get_str(args, "path", ""), *name = val_get_str(args, "property", "");
	struct dev *d = find_device(c, path);

	if (!d)
		return no_such_path(c, path);
	if (balloon_set_property(d, name, val_get(args, "value")))
		return val_dict();
	if (!prop_find(d->type, name))
		return cmd_fail(c, CMD_GENERIC, "Property '%s.%.100s' not found", d->type->name, name);
	return cmd_fail(c, CMD_GENERIC, "Attempt to set property '%s' on device '%s' (type '%s') after it was realized",
			name, d->id, d->type->name);
}

