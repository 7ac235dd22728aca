/*
 * Commands about drives. A drive is called by its id (ide1-cd0), by the id of the
 * device in front of it, or by people by the index of an IDE position.
 *
 * Not modelled: inserting block nodes (blockdev-insert-medium).
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "hw/backend/drive.h"
#include "hw/core/dev.h"
#include "hw/core/loop.h"
#include "ui/commands.h"
#include "ui/keyval.h"
#include "ui/monitor_priv.h"
#include "ui/node.h"
#include "ui/options_parse.h"
#include "ui/vm.h"

/* ---- finding ---- */

static bool refers_to(const struct dev *d, const struct drive *drive)
{
	for (const struct prop *p = d->type->props; p && p->name; p++)
		if (p->type == PROP_BACKEND && !strcmp(p->def_str, "drive") &&
		    *(struct drive *const *)((const char *)d + p->off) == drive)
			return true;
	return false;
}

/* The device that a property connects with the drive, or NULL. */
static const struct dev *device_of(const struct vm *vm, const struct drive *drive)
{
	for (const struct dev *d = vm->m->devs; d; d = d->next)
		if (refers_to(d, drive))
			return d;
	return NULL;
}

static struct drive *by_device(const struct vm *vm, const char *id)
{
	static const char behind[] = "/virtio-backend";
	char name[200];
	const char *slash;
	size_t n = strlen(id);

	if (n > strlen(behind) && !strcmp(id + n - strlen(behind), behind))
		n -= strlen(behind);
	snprintf(name, sizeof(name), "%.*s", (int)n, id);
	slash = strrchr(name, '/');
	const struct dev *dev = dev_find(vm->m, slash ? slash + 1 : name);

	for (struct drive *d = NULL; dev && (d = drive_next(vm->m, d));)
		if (refers_to(dev, d))
			return d;
	return NULL;
}

/* "2": the optical drive or disk at that IDE position. */
static struct drive *by_index(const struct vm *vm, const char *text)
{
	struct drive *d;
	char name[40];
	uint64_t n;

	if (!parse_num(text, &n) || n > 3)
		return NULL;
	snprintf(name, sizeof(name), "ide%d-cd%d", (int)n / 2, (int)n % 2);
	d = drive_find(vm->m, name);
	snprintf(name, sizeof(name), "ide%d-hd%d", (int)n / 2, (int)n % 2);
	return d ? d : drive_find(vm->m, name);
}

/* By the members "device" and "id" (of the device in front). */
static struct drive *find(struct cmd *c, const struct value *args)
{
	const char *name = val_get_str(args, "device", val_get_str(args, "node-name", NULL)), *id = val_get_str(args, "id", NULL);
	struct drive *d = NULL;
	struct err ignored;

	if (!name == !id) {
		cmd_fail(c, CMD_GENERIC, "Need exactly one of 'device' and 'id'");
		return NULL;
	}
	if (name)
		d = drive_find(c->vm->m, name);
	if (name && !d)
		d = node_drive(c->vm, name, &ignored);
	if (name && !d && c->mon)
		d = by_index(c->vm, name);
	if (!d)
		d = id && drive_find(c->vm->m, id) ? drive_find(c->vm->m, id) : by_device(c->vm, id ? id : name);
	if (!d)
		cmd_fail(c, CMD_DEVICE_NOT_FOUND, "Device '%.200s' not found", name ? name : id);
	return d;
}

/* ---- what there is ---- */

static void add_limits(struct value *v, const struct drive_limits *l)
{
	static const char *const names[2][3] = { { "bps", "bps_rd", "bps_wr" }, { "iops", "iops_rd", "iops_wr" } };

	for (int i = 0; i < 3; i++)
		val_add_int(v, names[0][i], (int64_t)l->bps[i]);
	for (int i = 0; i < 3; i++)
		val_add_int(v, names[1][i], (int64_t)l->iops[i]);
}

static struct value *image_info(const struct block *b, int depth)
{
	struct value *v = val_dict();
	const struct block *backing = block_backing(b);

	val_add_str(v, "filename", block_file(b));
	val_add_str(v, "format", block_format(b));
	val_add_int(v, "virtual-size", (int64_t)(block_sectors(b) * SECTOR));
	if (backing && depth < 64) {
		val_add_str(v, "backing-filename", block_file(backing));
		val_add(v, "backing-image", image_info(backing, depth + 1));
	}
	return v;
}

static int backing_depth(const struct block *b)
{
	int n = 0;

	while ((b = block_backing(b)))
		n++;
	return n;
}

/* An image of the drive's chain, or (b NULL) the first one. */
static struct value *inserted(struct drive *d, const struct block *b)
{
	const struct block *backing;
	struct value *v = val_dict(), *cache;

	val_add_str(v, "node-name", !b ? node_name(d) : b->node ? b->node : block_file(b));
	b = b ? b : drive_image(d);
	backing = block_backing(b);
	val_add_str(v, "file", block_file(b));
	val_add_bool(v, "ro", block_readonly(b));
	val_add_str(v, "drv", block_format(b));
	if (backing)
		val_add_str(v, "backing_file", block_file(backing));
	val_add_int(v, "backing_file_depth", backing_depth(b));
	val_add_bool(v, "encrypted", false);
	val_add_str(v, "detect_zeroes", "off");
	add_limits(v, drive_limits(d));
	val_add(v, "image", image_info(b, 0));
	cache = val_add(v, "cache", val_dict());
	val_add_bool(cache, "writeback", !b->writethrough);
	val_add_bool(cache, "direct", false);
	val_add_bool(cache, "no-flush", b->no_flush);
	val_add_int(v, "write_threshold", 0);
	return v;
}

/* What programs know by a node's name has no other. */
static const char *device_name(struct drive *d)
{
	return drive_present(d) && drive_image(d)->node ? "" : drive_id(d);
}

/* As QEMU has it: a virtio disk behind PCI is two objects. */
static void add_qdev(const struct vm *vm, struct value *v, const struct drive *d)
{
	const struct dev *dev = device_of(vm, d);

	if (dev)
		val_add(v, "qdev", val_strf("/machine/%s/%s%s", dev->user ? "peripheral" : "unattached", dev->id,
					    strcmp(dev->type->name, "virtio-blk-pci") ? "" : "/virtio-backend"));
}

struct value *cmd_query_block(struct cmd *c, const struct value *args)
{
	struct value *list = val_list();

	(void)args;
	for (struct drive *d = NULL; (d = drive_next(c->vm->m, d));) {
		const struct drive_user *user = drive_user(d);
		struct value *v = val_dict();

		val_add_str(v, "device", device_name(d));
		add_qdev(c->vm, v, d);
		val_add_str(v, "type", "unknown");
		val_add_bool(v, "removable", user && user->removable);
		val_add_bool(v, "locked", drive_locked(d));
		if (user && user->set_tray)
			val_add_bool(v, "tray_open", drive_tray_open(d));
		if (user)
			val_add_str(v, "io-status", drive_stopped(d) ? "failed" : "ok");
		if (drive_present(d))
			val_add(v, "inserted", inserted(d, NULL));
		val_append(list, v);
	}
	return list;
}

static uint64_t file_bytes(const char *file)
{
	struct stat st;

	return stat(file, &st) ? 0 : (uint64_t)st.st_size;
}

/* A file under an image. */
static struct value *file_node(const char *name, const char *file)
{
	static const char *const none[] = { "bps", "bps_rd", "bps_wr", "iops", "iops_rd", "iops_wr", "write_threshold" };
	struct value *v = val_dict(), *image, *cache;

	val_add_str(v, "file", file);
	val_add_str(v, "node-name", name);
	val_add_bool(v, "ro", false);
	val_add_str(v, "drv", "file");
	val_add_int(v, "backing_file_depth", 0);
	val_add_bool(v, "encrypted", false);
	val_add_str(v, "detect_zeroes", "off");
	for (size_t i = 0; i < ARRAY_LEN(none); i++)
		val_add_int(v, none[i], 0);
	image = val_add(v, "image", val_dict());
	val_add_str(image, "filename", file);
	val_add_str(image, "format", "file");
	val_add_int(image, "virtual-size", (int64_t)file_bytes(file));
	cache = val_add(v, "cache", val_dict());
	val_add_bool(cache, "writeback", true);
	val_add_bool(cache, "direct", false);
	val_add_bool(cache, "no-flush", false);
	return v;
}

struct value *cmd_query_named_block_nodes(struct cmd *c, const struct value *args)
{
	struct value *list = val_list();
	const char *name, *file;

	(void)args;
	for (struct drive *d = NULL; (d = drive_next(c->vm->m, d));)
		for (const struct block *b = drive_image(d); b; b = block_backing(b))
			val_append(list, inserted(d, b == drive_image(d) ? NULL : b));
	for (int i = 0; (name = node_nth_file(c->vm, i, &file)); i++)
		if (file)
			val_append(list, file_node(name, file));
	return list;
}

static void show_inserted(const struct value *in, FILE *out)
{
	const struct value *image = val_get(in, "image");

	fprintf(out, ": %s (%s%s)\n    Size:             %lld bytes\n", val_get_str(in, "file", ""),
		val_get_str(in, "drv", ""), val_get_bool(in, "ro", false) ? ", read-only" : "",
		(long long)val_get_int(image, "virtual-size", 0));
	if (val_get(in, "backing_file"))
		fprintf(out, "    Backing file:     %s (chain depth: %d)\n", val_get_str(in, "backing_file", ""),
			(int)val_get_int(in, "backing_file_depth", 0));
	if (val_get_int(in, "bps", 0) || val_get_int(in, "iops", 0))
		fprintf(out, "    I/O throttling:   bps=%lld iops=%lld\n", (long long)val_get_int(in, "bps", 0),
			(long long)val_get_int(in, "iops", 0));
}

static const char *name_shown(const struct value *d, const struct value *named)
{
	const char *device = val_get_str(d, "device", "");

	return *device ? device : val_get_str(named, "node-name", "");
}

void show_block(const struct value *v, FILE *out)
{
	for (size_t i = 0; i < v->n; i++) {
		const struct value *d = v->item[i], *in = val_get(d, "inserted");

		fputs(name_shown(d, in), out);
		if (in)
			show_inserted(in, out);
		else
			fputs(": [not inserted]\n", out);
		if (val_get(d, "qdev"))
			fprintf(out, "    Attached to:      %s\n", val_get_str(d, "qdev", ""));
		if (val_get_bool(d, "removable", false))
			fprintf(out, "    Removable device: %slocked, tray %s\n", val_get_bool(d, "locked", false) ? "" : "not ",
				val_get_bool(d, "tray_open", false) ? "open" : "closed");
		if (!strcmp(val_get_str(d, "io-status", "ok"), "failed"))
			fputs("    I/O status:       failed\n", out);
	}
}

static const struct { const char *name; enum drive_op op; } operations[] = {
	{ "rd", DRIVE_READ }, { "wr", DRIVE_WRITE }, { "flush", DRIVE_FLUSH }, { "unmap", DRIVE_DISCARD },
};

static void add_count(struct value *v, const char *prefix, const char *name, uint64_t n)
{
	char key[40];

	snprintf(key, sizeof(key), "%s%s", prefix, name);
	val_add_int(v, key, (int64_t)n);
}

static struct value *stats_of(const struct drive *d)
{
	const struct drive_stats *s = drive_stats(d);
	struct value *v = val_dict();

	for (size_t i = 0; i < ARRAY_LEN(operations); i++) {
		const struct drive_op_stats *o = &s->op[operations[i].op];
		const char *name = operations[i].name;
		bool flush = operations[i].op == DRIVE_FLUSH;

		if (!flush)
			add_count(v, name, "_bytes", o->bytes);
		add_count(v, name, "_operations", o->ops);
		add_count(v, name, "_total_time_ns", o->ns);
		if (!flush)
			add_count(v, name, "_merged", 0);
		add_count(v, "failed_", name, o->failed);
		add_count(v, "invalid_", name, o->invalid);
	}
	val_add_int(v, "wr_highest_offset", (int64_t)s->wr_highest);
	if (s->last_access)
		val_add_int(v, "idle_time_ns", (int64_t)drive_idle_ns(d));
	val_add_bool(v, "account_invalid", true);
	val_add_bool(v, "account_failed", true);
	val_add(v, "timed_stats", val_list());
	return v;
}

struct value *cmd_query_blockstats(struct cmd *c, const struct value *args)
{
	struct value *list = val_list();

	for (struct drive *d = NULL; !val_get_bool(args, "query-nodes", false) && (d = drive_next(c->vm->m, d));) {
		struct value *v = val_dict();

		val_add_str(v, "device", device_name(d));
		add_qdev(c->vm, v, d);
		if (drive_present(d))
			val_add_str(v, "node-name", node_name(d));
		val_add(v, "stats", stats_of(d));
		val_append(list, v);
	}
	return list;
}

void show_blockstats(const struct value *v, FILE *out)
{
	for (size_t i = 0; i < v->n; i++) {
		const struct value *s = val_get(v->item[i], "stats");

		fprintf(out, "%s:", name_shown(v->item[i], v->item[i]));
		for (size_t k = 0; k < s->n; k++)
			if (s->item[k]->kind == VAL_INT && !strstr(s->key[k], "_merged"))
				fprintf(out, " %s=%lld", s->key[k], (long long)s->item[k]->i);
		fputc('\n', out);
	}
}

/* ---- discs and trays ---- */

static bool change(struct cmd *c, struct drive *d, const struct value *args, const char *file)
{
	static const char *const modes[] = { "retain", "read-only", "read-write" };
	const char *mode = val_get_str(args, "read-only-mode", modes[0]);
	bool was_open = drive_tray_open(d), protected = drive_is_cdrom(d) || (drive_present(d) && drive_readonly(d));
	struct block_options o = {
		.file = file, .format = val_get_str(args, "format", NULL),
		.readonly = !strcmp(mode, modes[1]) || (!strcmp(mode, modes[0]) && protected),
	};

	if (!drive_change(d, file ? &o : &(struct block_options){ 0 }, val_get_bool(args, "force", false), &c->err))
		return false;
	if (was_open)
		drive_tray_moved(d, false);
	return true;
}

struct value *cmd_eject(struct cmd *c, const struct value *args)
{
	struct drive *d = find(c, args);

	return cmd_result(d && change(c, d, args, NULL));
}

struct value *cmd_blockdev_change_medium(struct cmd *c, const struct value *args)
{
	struct drive *d = find(c, args);

	return cmd_result(d && change(c, d, args, val_get_str(args, "filename", "")));
}

struct value *cmd_blockdev_remove_medium(struct cmd *c, const struct value *args)
{
	struct drive *d = find(c, args);

	if (d && !drive_tray_open(d) && drive_user(d) && drive_user(d)->set_tray)
		return cmd_fail(c, CMD_GENERIC, "Tray of device '%s' is not open", drive_id(d));
	return cmd_result(d && change(c, d, args, NULL));
}

struct value *cmd_blockdev_open_tray(struct cmd *c, const struct value *args)
{
	struct drive *d = find(c, args);

	return cmd_result(d && drive_set_tray(d, true, val_get_bool(args, "force", false), &c->err));
}

struct value *cmd_blockdev_close_tray(struct cmd *c, const struct value *args)
{
	struct drive *d = find(c, args);

	return cmd_result(d && drive_set_tray(d, false, false, &c->err));
}

/* For people: `change vnc password ..`, `change DRIVE FILE [FORMAT [MODE]]`. */
void mon_change(struct monitor *mon, const struct mon_args *a, FILE *out)
{
	static const char *const keys[] = { "device", "filename", "format", "read-only-mode" };
	struct cmd c = { .vm = mon->vm, .mon = mon };
	struct value *args = val_dict(), *result;

	if (!strcmp(a->word[0], "vnc")) {
		if (a->n == 3 && !strcmp(a->word[1], "password"))
			val_add_str(args, "password", a->word[2]);
		result = command_run(&c, command_find_qmp("change-vnc-password"), args);
	} else {
		for (int i = 0; i < a->n && i < (int)ARRAY_LEN(keys); i++)
			val_add_str(args, keys[i], a->word[i]);
		result = command_run(&c, command_find_qmp("blockdev-change-medium"), args);
	}
	if (!result)
		fprintf(out, "change: %s\n", c.err.msg);
	val_free(result);
	val_free(args);
}

/* ---- sizes and limits ---- */

struct value *cmd_block_resize(struct cmd *c, const struct value *args)
{
	const char *device = val_get_str(args, "device", ""), *node = val_get_str(args, "node-name", "");
	int64_t size = val_get_int(args, "size", 0);
	struct drive *d = *device || *node ? find(c, args) : NULL;

	if (!d)
		return cmd_fail(c, CMD_GENERIC, "Cannot find device='%.200s' nor node-name='%.200s'", device, node);
	if (size < 0)
		return cmd_fail(c, CMD_GENERIC, "Parameter 'size' expects a >0 size");
	return cmd_result(drive_resize(d, (uint64_t)size, &c->err));
}

struct value *cmd_block_set_io_throttle(struct cmd *c, const struct value *args)
{
	static const char *const bps[] = { "bps", "bps_rd", "bps_wr" }, *const iops[] = { "iops", "iops_rd", "iops_wr" };
	static const char *const bps_max[] = { "bps_max", "bps_rd_max", "bps_wr_max" };
	static const char *const iops_max[] = { "iops_max", "iops_rd_max", "iops_wr_max" };
	static const char *const bps_length[] = { "bps_max_length", "bps_rd_max_length", "bps_wr_max_length" };
	static const char *const iops_length[] = { "iops_max_length", "iops_rd_max_length", "iops_wr_max_length" };
	struct drive_limits l = { .iops_size = (uint64_t)val_get_int(args, "iops_size", 0) };
	struct drive *d = find(c, args);

	for (int i = 0; i < 3; i++) {
		l.bps[i] = (double)val_get_int(args, bps[i], 0);
		l.iops[i] = (double)val_get_int(args, iops[i], 0);
		l.bps_max[i] = (double)val_get_int(args, bps_max[i], 0);
		l.iops_max[i] = (double)val_get_int(args, iops_max[i], 0);
		l.bps_length[i] = (double)val_get_int(args, bps_length[i], 0);
		l.iops_length[i] = (double)val_get_int(args, iops_length[i], 0);
	}
	return cmd_result(d && drive_set_limits(d, &l, &c->err));
}

/* ---- drives that come and go ---- */

void mon_drive_add(struct monitor *mon, const struct mon_args *a, FILE *out)
{
	struct options *o = calloc(1, sizeof(*o));
	struct err e = { "" };

	if (!o)
		return;
	if (opt_drive(o, a->word[a->n - 1], out, &e) != OPT_GO)
		fprintf(out, "drive_add: %s\n", e.msg);
	else if (o->pc.drives[0].interface != PC_IF_NONE)
		fputs("drive_add: expected if=none; device_add then makes a disk of it\n", out);
	else if (!drive_new(mon->vm->m, &o->pc.drives[0].drive, &e))
		fprintf(out, "drive_add: %s\n", e.msg);
	else
		fputs("OK\n", out);
	free(o);
}

void mon_drive_del(struct monitor *mon, const struct mon_args *a, FILE *out)
{
	struct drive *d = drive_find(mon->vm->m, a->word[0]);
	struct err e;

	if (!d)
		fprintf(out, "drive_del: Device '%s' not found\n", a->word[0]);
	else if (!drive_may_change(d, &e))
		fprintf(out, "drive_del: %s\n", e.msg);
	else if (drive_user(d) || device_of(mon->vm, d))
		fprintf(out, "drive_del: '%s' is in use: device_del the device in front of it first\n", a->word[0]);
	else
		drive_free(d);
}

/* ---- errors ---- */

static void on_error(void *opaque, struct drive *d, const struct drive_req *r, enum drive_policy action)
{
	struct vm *vm = opaque;
	struct value *v = val_dict();

	val_add_str(v, "device", device_name(d));
	val_add_str(v, "node-name", node_name(d));
	val_add_str(v, "operation", r->op == DRIVE_READ ? "read" : "write");
	val_add_str(v, "action", action == DRIVE_STOP ? "stop" : action == DRIVE_IGNORE ? "ignore" : "report");
	val_add_bool(v, "nospace", r->error == ENOSPC);
	val_add_str(v, "reason", r->error ? strerror(r->error) : r->err.msg);
	machine_event(vm->m, "BLOCK_IO_ERROR", v);
}

void commands_watch_drives(struct vm *vm)
{
	drive_on_error(vm->m, on_error, vm);
}
