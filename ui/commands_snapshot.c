/* Snapshots of one drive inside its image; those of the whole machine are in ui/snapshot.c. */
#include <stdlib.h>
#include <string.h>

#include "hw/backend/block.h"
#include "hw/backend/drive.h"
#include "hw/backend/qcow2.h"
#include "hw/core/bus.h"
#include "ui/commands.h"
#include "ui/monitor_priv.h"
#include "ui/node.h"
#include "ui/save.h"
#include "ui/vm.h"

/* The image, with nothing under way; NULL with err filled. */
static struct block *image_of(struct cmd *c, const struct value *args)
{
	struct drive *d = node_drive(c->vm, val_get_str(args, "device", ""), &c->err);
	struct block *b = d ? drive_image(d) : NULL;
	struct qcow2_info ignored;
	struct err why;

	if (!b)
		return NULL;
	if (block_readonly(b) || b->overlay)
		cmd_fail(c, CMD_GENERIC, "Device '%s' is read-only, or keeps its changes in memory", drive_id(d));
	else if (!qcow2_info(b, &ignored, &why))
		cmd_fail(c, CMD_GENERIC, "Block format '%s' used by device '%s' does not support internal snapshots",
			 block_format(b), drive_id(d));
	else if (save_busy(c->vm))
		cmd_fail(c, CMD_GENERIC, "the machine is being saved");
	else if (drive_may_work_on(d, &c->err)) {
		drive_drain(c->vm->m, d);
		return b;
	}
	return NULL;
}

struct value *cmd_blockdev_snapshot_internal_sync(struct cmd *c, const struct value *args)
{
	const char *name = val_get_str(args, "name", ""), *device = val_get_str(args, "device", "");
	struct block *b = image_of(c, args);
	struct err ignored;

	if (!b)
		return NULL;
	if (!*name)
		return cmd_fail(c, CMD_GENERIC, "Name is empty");
	if (qcow2_snapshot_find(b, name, &ignored))
		return cmd_fail(c, CMD_GENERIC, "Snapshot with name '%.200s' already exists on device '%.200s'", name, device);
	return cmd_result(qcow2_snapshot_create_vm(b, name, 0, clock_now(&c->vm->m->clock), &c->err));
}

static struct value *snapshot_value(const struct qcow2_snapshot *s)
{
	struct value *v = val_dict();

	val_add_str(v, "id", s->id);
	val_add_str(v, "name", s->name);
	val_add_int(v, "vm-state-size", (int64_t)s->vm_state_size);
	val_add_int(v, "date-sec", s->date_sec);
	val_add_int(v, "date-nsec", s->date_nsec);
	val_add_int(v, "vm-clock-sec", (int64_t)(s->vm_clock_nsec / NS_PER_SEC));
	val_add_int(v, "vm-clock-nsec", (int64_t)(s->vm_clock_nsec % NS_PER_SEC));
	return v;
}

/* By name, by id, or by both. */
static const struct qcow2_snapshot *choose(struct block *b, const char *id, const char *name)
{
	const struct qcow2_snapshot *s;

	for (unsigned i = 0; (s = qcow2_snapshot_get(b, i)); i++)
		if ((!id || !strcmp(s->id, id)) && (!name || !strcmp(s->name, name)))
			return s;
	return NULL;
}

struct value *cmd_blockdev_snapshot_delete_internal_sync(struct cmd *c, const struct value *args)
{
	const char *id = val_get_str(args, "id", NULL), *name = val_get_str(args, "name", NULL);
	struct block *b = image_of(c, args);
	const struct qcow2_snapshot *s;
	struct value *v;

	if (!b)
		return NULL;
	if (!id && !name)
		return cmd_fail(c, CMD_GENERIC, "Name or id must be provided");
	s = choose(b, id, name);
	if (!s)
		return cmd_fail(c, CMD_GENERIC, "Snapshot with id '%.100s' and name '%.200s' does not exist on device '%.200s'",
				id ? id : "null", name ? name : "null", val_get_str(args, "device", ""));
	v = snapshot_value(s);
	if (qcow2_snapshot_delete(b, val_get_str(v, "id", ""), &c->err))
		return v;
	val_free(v);
	return NULL;
}
