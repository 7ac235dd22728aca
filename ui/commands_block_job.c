/*
 * Commands that begin jobs on drives' images.
 *
 * Not modelled: filter nodes by name, on-error policies (a failure ends the job), bitmaps.
 */
#include <stdlib.h>
#include <string.h>

#include "hw/backend/block_job.h"
#include "hw/backend/qcow2.h"
#include "hw/core/bus.h"
#include "ui/commands.h"
#include "ui/job.h"
#include "ui/monitor_priv.h"
#include "ui/node.h"
#include "ui/vm.h"

/* ---- events ---- */

static void tell(const struct job *j, const char *event)
{
	struct value *v = val_dict();
	uint64_t done = j->done, all = j->all;

	if (j->block)
		block_job_progress(j->block, &done, &all);
	val_add_str(v, "type", j->type);
	val_add_str(v, "device", j->id);
	val_add_int(v, "len", (int64_t)all);
	val_add_int(v, "offset", (int64_t)done);
	val_add_int(v, "speed", (int64_t)j->speed);
	if (*j->err.msg)
		val_add_str(v, "error", j->err.msg);
	machine_event(j->vm->m, event, v);
}

static void ready(void *opaque)
{
	struct job *j = opaque;

	j->is_ready = true;
	job_set_status(j, JOB_READY);
	tell(j, "BLOCK_JOB_READY");
}

static void over(void *opaque, bool cancelled, const struct err *e)
{
	struct job *j = opaque;
	struct err none = { "" };

	block_job_progress(j->block, &j->done, &j->all);
	j->block = NULL;
	j->err = *e;
	tell(j, cancelled ? "BLOCK_JOB_CANCELLED" : "BLOCK_JOB_COMPLETED");
	job_concluded(j, cancelled ? &none : e);
}

/* ---- beginning ---- */

static struct value *begin(struct cmd *c, const struct value *args, const char *type, struct block_job_spec *s)
{
	int64_t speed = val_get_int(args, "speed", 0);
	struct job *j;

	if (speed < 0)
		return cmd_fail(c, CMD_GENERIC, "Parameter 'speed' expects bytes a second, or 0 for no limit");
	if (!val_get_bool(args, "auto-finalize", true))
		return cmd_fail(c, CMD_GENERIC, "jobs end by themselves: leave auto-finalize=false out");
	j = job_new(c->vm, val_get_str(args, "job-id", drive_id(s->drive)), type, val_get_bool(args, "auto-dismiss", true),
		    &c->err);
	if (!j)
		return NULL;
	s->rate = j->speed = (uint64_t)speed;
	s->ready = ready;
	s->done = over;
	s->opaque = j;
	j->block = block_job_start(s, &c->err);
	if (!j->block) {
		job_free(j);
		return NULL;
	}
	job_set_status(j, JOB_RUNNING);
	return val_dict();
}

/* The image of the drive's chain that members name, by node or by file; *b as it was if they don't. */
static bool choose(struct cmd *c, const struct value *args, struct drive *d, const char *node, const char *file,
		   struct block **b)
{
	const char *n = val_get_str(args, node, NULL), *f = val_get_str(args, file, NULL);
	struct block *first = drive_image(d), *found;

	if (!n && !f)
		return true;
	found = n ? block_find_node(first, n) : block_find_file(first, f);
	if (n && !found && !strcmp(n, drive_id(d)) && !first->node)
		found = first;
	if (!found) {
		cmd_fail(c, CMD_GENERIC, "Can't find '%.200s' in the backing chain", n ? n : f);
		return false;
	}
	*b = found;
	return true;
}

static struct drive *drive_of(struct cmd *c, const struct value *args)
{
	struct drive *d;
	struct err e;

	d = node_drive(c->vm, val_get_str(args, "device", ""), &e);
	if (!d)
		cmd_fail(c, CMD_GENERIC, "%s", e.msg);
	return d;
}

struct value *cmd_block_commit(struct cmd *c, const struct value *args)
{
	struct block_job_spec s = { .kind = BLOCK_COMMIT, .drive = drive_of(c, args) };

	if (!s.drive)
		return cmd_fail(c, CMD_DEVICE_NOT_FOUND, "Device '%.200s' not found", val_get_str(args, "device", ""));
	s.top = s.base = drive_image(s.drive);
	while (s.base->backing)
		s.base = s.base->backing;
	if (!choose(c, args, s.drive, "top-node", "top", &s.top) || !choose(c, args, s.drive, "base-node", "base", &s.base))
		return NULL;
	s.backing = val_get_str(args, "backing-file", NULL);
	return begin(c, args, "commit", &s);
}

struct value *cmd_block_stream(struct cmd *c, const struct value *args)
{
	struct block_job_spec s = { .kind = BLOCK_STREAM, .drive = drive_of(c, args) };

	if (!s.drive || !choose(c, args, s.drive, "base-node", "base", &s.base))
		return NULL;
	s.backing = val_get_str(args, "backing-file", NULL);
	return begin(c, args, "stream", &s);
}

/* ---- copies ---- */

static bool sync_is(struct cmd *c, const struct value *args, bool *whole)
{
	const char *sync = val_get_str(args, "sync", "full");

	*whole = !strcmp(sync, "full");
	if (*whole || !strcmp(sync, "top"))
		return true;
	cmd_fail(c, CMD_GENERIC, "sync=%s is not there; full and top are", sync);
	return false;
}

/* "absolute-paths": the image is made; "existing": it is there. */
static struct block *open_target(const struct value *args, struct drive *d, bool whole, struct err *e)
{
	struct block *from = drive_image(d), *under = block_backing(from);
	struct qcow2_create q = QCOW2_CREATE_DEFAULT;
	const char *file = val_get_str(args, "target", ""), *format = val_get_str(args, "format", block_format(from));
	struct block_options o = { .file = file, .format = format, .node = val_get_str(args, "node-name", NULL) };

	q.size = block_sectors(from) * SECTOR;
	q.backing = whole || !under ? NULL : block_file(under);
	q.backing_format = q.backing ? block_format(under) : NULL;
	if (!strcmp(val_get_str(args, "mode", "absolute-paths"), "existing"))
		return block_open(&o, e);
	if (strcmp(format, "qcow2")) {
		err_set(e, "'%s': only qcow2 images are made; make a %s image before, and say mode=existing", file, format);
		return NULL;
	}
	return qcow2_create_possible(file, &q, e) && qcow2_create(file, &q, e) ? block_open(&o, e) : NULL;
}

static const char *const copy_types[] = { [BLOCK_BACKUP] = "backup", [BLOCK_MIRROR] = "mirror" };

/* Into a file. */
static struct value *copy(struct cmd *c, const struct value *args, enum block_job_kind kind)
{
	struct block_job_spec s = { .kind = kind, .drive = drive_of(c, args) };
	struct value *result;

	if (!s.drive || !sync_is(c, args, &s.whole) || !(s.target = open_target(args, s.drive, s.whole, &c->err)))
		return NULL;
	result = begin(c, args, copy_types[kind], &s);
	if (!result)
		block_close(s.target);
	return result;
}

/* Into a node, which is one no longer if the job begins. */
static struct value *copy_to_node(struct cmd *c, const struct value *args, enum block_job_kind kind)
{
	struct block_job_spec s = { .kind = kind, .drive = drive_of(c, args) };
	const char *name = val_get_str(args, "target", "");
	struct value *result;
	struct err ignored;
	struct drive *to;

	if (!s.drive || !sync_is(c, args, &s.whole))
		return NULL;
	if (node_drive(c->vm, name, &ignored) == s.drive)
		return cmd_fail(c, CMD_GENERIC, "a node cannot be copied into itself");
	to = node_unused(c->vm, name, &c->err);
	if (!to)
		return NULL;
	s.target = drive_image(to);
	result = begin(c, args, copy_types[kind], &s);
	if (result)
		drive_take_apart(to);	/* the image is the job's */
	return result;
}

struct value *cmd_blockdev_backup(struct cmd *c, const struct value *args)
{
	return copy_to_node(c, args, BLOCK_BACKUP);
}

struct value *cmd_drive_backup(struct cmd *c, const struct value *args)
{
	return copy(c, args, BLOCK_BACKUP);
}

struct value *cmd_blockdev_mirror(struct cmd *c, const struct value *args)
{
	return copy_to_node(c, args, BLOCK_MIRROR);
}

struct value *cmd_drive_mirror(struct cmd *c, const struct value *args)
{
	return copy(c, args, BLOCK_MIRROR);
}

/* ---- for people ---- */

/* "[-n] [-f] device FILE [format]" as arguments of a command for programs, which calls the second word `file`. */
static void by_words(struct monitor *mon, const char *name, const char *qmp, const char *file, const struct mon_args *a,
		     FILE *out)
{
	const char *const words[] = { "device", file, "format" };
	struct cmd c = { .vm = mon->vm, .mon = mon };
	struct value *args = val_dict(), *result = NULL;
	bool whole = false, there = false, copies = !strcmp(file, "target");
	struct spell near;
	unsigned n = 0;

	for (int i = 0; i < a->n && n <= ARRAY_LEN(words); i++)
		if (!strcmp(a->word[i], "-n"))
			there = true;
		else if (copies && !strcmp(a->word[i], "-f"))
			whole = true;
		else if (n++ < ARRAY_LEN(words))
			val_add_str(args, words[n - 1], a->word[i]);
	val_add_str(args, "mode", there ? "existing" : "absolute-paths");
	if (copies)
		val_add_str(args, "sync", whole ? "full" : "top");
	if (n < 2 || n > ARRAY_LEN(words))
		fprintf(out, "%s: expected %s\n", name, command_find_human(name, false, &near)->params);
	else if (!(result = command_run(&c, command_find_qmp(qmp), args)))
		fprintf(out, "%s: %s\n", name, c.err.msg);
	val_free(result);
	val_free(args);
}

void mon_drive_backup(struct monitor *mon, const struct mon_args *a, FILE *out)
{
	by_words(mon, "drive_backup", "drive-backup", "target", a, out);
}

void mon_drive_mirror(struct monitor *mon, const struct mon_args *a, FILE *out)
{
	by_words(mon, "drive_mirror", "drive-mirror", "target", a, out);
}

void mon_snapshot_blkdev(struct monitor *mon, const struct mon_args *a, FILE *out)
{
	by_words(mon, "snapshot_blkdev", "blockdev-snapshot-sync", "snapshot-file", a, out);
}

static bool commit_drive(struct drive *d, FILE *out)
{
	struct err e = { "" };

	if (drive_commit(d, &e))
		return true;
	fprintf(out, "commit: '%s': %s\n", drive_id(d), e.msg);
	return false;
}

void mon_commit(struct monitor *mon, const struct mon_args *a, FILE *out)
{
	struct vm *vm = mon->vm;
	struct drive *d = NULL;
	struct err e;

	if (strcmp(a->word[0], "all")) {
		d = node_drive(vm, a->word[0], &e);
		if (d)
			commit_drive(d, out);
		else
			fprintf(out, "commit: %s\n", e.msg);
		return;
	}
	while ((d = drive_next(vm->m, d)))
		if (drive_present(d) && (drive_image(d)->overlay || (!drive_readonly(d) && drive_image(d)->backing)) &&
		    !commit_drive(d, out))
			return;
}
