/*
 * Commands about images by name: adding and making them, putting one on top of another
 * (snapshots of disks), several of that at once.
 *
 * Not modelled: images of other formats than raw and qcow2; other actions of transactions.
 */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "hw/backend/qcow2.h"
#include "hw/core/loop.h"
#include "ui/commands.h"
#include "ui/job.h"
#include "ui/json.h"
#include "ui/node.h"
#include "ui/vm.h"

struct value *cmd_blockdev_add(struct cmd *c, const struct value *args)
{
	char *text = json_text(args, false);
	bool ok = text ? node_add(c->vm, text, &c->err) : err_set(&c->err, "no memory");

	free(text);
	return cmd_result(ok);
}

struct value *cmd_blockdev_del(struct cmd *c, const struct value *args)
{
	return cmd_result(node_del(c->vm, val_get_str(args, "node-name", ""), &c->err));
}

/* ---- blockdev-create ---- */

struct create {
	struct job *job;
	struct value *options;
};

static bool create_file(const char *path, uint64_t size, struct err *e)
{
	int fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	bool ok = fd >= 0 && !ftruncate(fd, (off_t)size);

	if (!ok)
		err_errno(e, "'%s'", path);
	if (fd >= 0)
		close(fd);
	return ok;
}

static bool create_qcow2(struct vm *vm, const struct value *o, struct err *e)
{
	const char *file = node_file(vm, val_get_str(o, "file", ""), e);
	struct qcow2_create q = QCOW2_CREATE_DEFAULT;

	q.size = (uint64_t)val_get_int(o, "size", 0);
	q.cluster_size = (uint32_t)val_get_int(o, "cluster-size", q.cluster_size);
	q.refcount_bits = (unsigned)val_get_int(o, "refcount-bits", q.refcount_bits);
	q.lazy_refcounts = val_get_bool(o, "lazy-refcounts", false);
	q.version = !strcmp(val_get_str(o, "version", "v3"), "v2") ? 2 : 3;
	q.backing = val_get_str(o, "backing-file", NULL);
	q.backing_format = val_get_str(o, "backing-fmt", NULL);
	return file && qcow2_create_possible(file, &q, e) && qcow2_create(file, &q, e);
}

static bool create(struct vm *vm, const struct value *o, struct err *e)
{
	const char *driver = val_get_str(o, "driver", "");

	if (val_get_int(o, "size", 0) < 0)
		return err_set(e, "Parameter 'size' expects a size");
	if (!strcmp(driver, "file"))
		return create_file(val_get_str(o, "filename", ""), (uint64_t)val_get_int(o, "size", 0), e);
	if (!strcmp(driver, "qcow2"))
		return create_qcow2(vm, o, e);
	if (!strcmp(driver, "raw")) {
		const char *file = node_file(vm, val_get_str(o, "file", ""), e);
		return file && create_file(file, (uint64_t)val_get_int(o, "size", 0), e);
	}
	return err_set(e, "images of driver '%.100s' cannot be made; there are file, raw and qcow2", driver);
}

static void create_now(void *opaque)
{
	struct create *w = opaque;
	struct err e = { "" };

	job_set_status(w->job, JOB_RUNNING);
	w->job->done = 1;
	if (create(w->job->vm, w->options, &e))
		e.msg[0] = 0;
	job_concluded(w->job, &e);
	val_free(w->options);
	free(w);
}

struct value *cmd_blockdev_create(struct cmd *c, const struct value *args)
{
	struct create *w = calloc(1, sizeof(*w));

	if (!w)
		return cmd_fail(c, CMD_GENERIC, "no memory");
	w->job = job_new(c->vm, val_get_str(args, "job-id", ""), "create", false, &c->err);
	if (!w->job) {
		free(w);
		return NULL;
	}
	w->job->all = 1;
	w->options = val_copy(val_get(args, "options"));
	loop_call(c->vm->loop, create_now, w);
	return val_dict();
}

/* ---- an image on top of another ---- */

/* What becomes of one disk. Prepared for all disks first, then done, which cannot fail. */
struct overlay {
	struct drive *drive;
	const char *node;		/* of an image that a program has added, */
	struct drive *taken;		/* and what has it until then */
	struct block *made;		/* or one that was opened here */
};

static bool prepare_added(struct vm *vm, const struct value *data, struct overlay *o, struct err *e)
{
	struct drive *d, *top;
	struct block *b, *under;

	o->drive = node_drive(vm, val_get_str(data, "node", ""), e);
	o->node = val_get_str(data, "overlay", "");
	b = o->drive ? node_find(vm, o->node, &d, e) : NULL;
	if (!b)
		return false;
	o->taken = d;
	top = o->drive;
	under = drive_image(top);
	if (d == top || drive_user(d) || b != drive_image(d))
		return err_set(e, "The overlay '%.200s' is already in use", o->node);
	if (block_backing(b))
		return err_set(e, "The overlay '%.200s' already has a backing image: add it with backing=null", o->node);
	if (strcmp(block_format(b), "qcow2"))
		return err_set(e, "The overlay '%.200s' does not support backing images", o->node);
	if (block_sectors(b) < block_sectors(under))
		return err_set(e, "The overlay '%.200s' is smaller than the disk", o->node);
	return drive_may_work_on(top, e) && drive_may_change(d, e);
}

static bool make_overlay(const struct block *under, const struct value *data, struct err *e)
{
	struct qcow2_create q = QCOW2_CREATE_DEFAULT;
	char *path = realpath(block_file(under), NULL);
	const char *file = val_get_str(data, "snapshot-file", "");
	bool ok;

	q.size = block_sectors(under) * SECTOR;
	q.backing = path ? path : block_file(under);
	q.backing_format = block_format(under);
	ok = qcow2_create_possible(file, &q, e) && qcow2_create(file, &q, e);
	free(path);
	return ok;
}

static bool prepare_made(struct vm *vm, const struct value *data, struct overlay *o, struct err *e)
{
	const char *name = val_get_str(data, "device", val_get_str(data, "node-name", ""));
	const char *format = val_get_str(data, "format", "qcow2");
	struct block_options open = {
		.file = val_get_str(data, "snapshot-file", ""), .format = "qcow2", .no_backing = true,
		.node = val_get_str(data, "snapshot-node-name", NULL),
	};

	o->drive = node_drive(vm, name, e);
	if (!o->drive || !drive_may_work_on(o->drive, e))
		return false;
	if (strcmp(format, "qcow2"))
		return err_set(e, "format '%.100s' does not support backing images; qcow2 does", format);
	drive_drain(vm->m, o->drive);
	if (strcmp(val_get_str(data, "mode", "absolute-paths"), "existing") && !make_overlay(drive_image(o->drive), data, e))
		return false;
	o->made = block_open(&open, e);
	return o->made;
}

static bool prepare(struct vm *vm, const char *type, const struct value *data, struct overlay *o, struct err *e)
{
	if (!data || data->kind != VAL_DICT)
		return err_set(e, "Parameter 'data' is missing");
	if (!strcmp(type, "blockdev-snapshot"))
		return prepare_added(vm, data, o, e);
	if (!strcmp(type, "blockdev-snapshot-sync"))
		return prepare_made(vm, data, o, e);
	return err_set(e, "transactions do blockdev-snapshot and blockdev-snapshot-sync, not '%.100s'", type);
}

static void put_on(struct vm *vm, struct overlay *o)
{
	struct err ignored;
	struct block *b = o->made ? o->made : node_take(vm, o->node, &ignored);

	drive_drain(vm->m, o->drive);
	block_flush(drive_image(o->drive), &ignored);
	block_put_on(b, drive_image(o->drive));
	drive_swap_image(o->drive, b);
	block_reopen(&b->backing, false, &ignored);	/* not written any more: others may read it */
}

/* Each drive gets one image, and each image goes to one. */
static bool clash(const struct overlay *a, const struct overlay *b)
{
	return a->drive == b->drive || a->drive == b->taken || (a->taken && (a->taken == b->drive || a->taken == b->taken));
}

/* All of them or none. */
static bool put_all(struct vm *vm, const struct value *actions, struct err *e)
{
	struct overlay *o = calloc(actions->n + 1, sizeof(*o));
	size_t n = 0;
	bool ok = o || err_set(e, "no memory");

	for (; ok && n < actions->n; n++) {
		const struct value *a = actions->item[n];

		ok = prepare(vm, val_get_str(a, "type", ""), val_get(a, "data"), &o[n], e);
		for (size_t i = 0; ok && i < n; i++)
			if (clash(&o[i], &o[n]))
				ok = err_set(e, "drive '%s' or its overlay is named twice", drive_id(o[n].drive));
	}
	for (size_t i = 0; i < n; i++) {
		if (ok)
			put_on(vm, &o[i]);
		else
			block_close(o[i].made);
	}
	free(o);
	return ok;
}

static struct value *one(struct cmd *c, const char *type, const struct value *args)
{
	struct value *list = val_list(), *action = val_dict();
	bool ok;

	val_add_str(action, "type", type);
	val_add(action, "data", val_copy(args));
	val_append(list, action);
	ok = put_all(c->vm, list, &c->err);
	val_free(list);
	return cmd_result(ok);
}

struct value *cmd_blockdev_snapshot(struct cmd *c, const struct value *args)
{
	return one(c, "blockdev-snapshot", args);
}

struct value *cmd_blockdev_snapshot_sync(struct cmd *c, const struct value *args)
{
	return one(c, "blockdev-snapshot-sync", args);
}

struct value *cmd_transaction(struct cmd *c, const struct value *args)
{
	return cmd_result(put_all(c->vm, val_get(args, "actions"), &c->err));
}
