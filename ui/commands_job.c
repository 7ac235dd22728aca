/*
 * Commands about jobs of every kind, and the snapshots that are jobs.
 *
 * Not modelled: jobs that wait to be finalized (auto-finalize=false).
 */
#include <stdlib.h>
#include <string.h>

#include "hw/backend/block_job.h"
#include "hw/core/loop.h"
#include "ui/commands.h"
#include "ui/job.h"
#include "ui/snapshot.h"
#include "ui/vm.h"

/* ---- what there is ---- */

static void progress(const struct job *j, uint64_t *done, uint64_t *all)
{
	*done = j->done;
	*all = j->all;
	if (j->block)
		block_job_progress(j->block, done, all);
}

struct value *cmd_query_jobs(struct cmd *c, const struct value *args)
{
	struct value *list = val_list();
	uint64_t done, all;

	(void)args;
	for (const struct job *j = c->vm->jobs; j; j = j->next) {
		struct value *v = val_dict();

		progress(j, &done, &all);
		val_add_str(v, "id", j->id);
		val_add_str(v, "type", j->type);
		val_add_str(v, "status", job_status_word(j->status));
		val_add_int(v, "current-progress", (int64_t)done);
		val_add_int(v, "total-progress", (int64_t)all);
		if (*j->err.msg)
			val_add_str(v, "error", j->err.msg);
		val_append(list, v);
	}
	return list;
}

static bool is_block_job(const struct job *j)
{
	return strncmp(j->type, "snapshot-", 9) && strcmp(j->type, "create");
}

struct value *cmd_query_block_jobs(struct cmd *c, const struct value *args)
{
	struct value *list = val_list();
	uint64_t done, all;

	(void)args;
	for (const struct job *j = c->vm->jobs; j; j = j->next) {
		struct value *v;

		if (!is_block_job(j))
			continue;
		v = val_dict();
		progress(j, &done, &all);
		val_add_str(v, "type", j->type);
		val_add_str(v, "device", j->id);
		val_add_int(v, "len", (int64_t)all);
		val_add_int(v, "offset", (int64_t)done);
		val_add_bool(v, "busy", j->status == JOB_RUNNING);
		val_add_bool(v, "paused", j->status == JOB_PAUSED || j->status == JOB_STANDBY);
		val_add_int(v, "speed", (int64_t)j->speed);
		val_add_str(v, "io-status", "ok");
		val_add_bool(v, "ready", j->is_ready);
		val_add_str(v, "status", job_status_word(j->status));
		val_add_bool(v, "auto-finalize", true);
		val_add_bool(v, "auto-dismiss", j->auto_dismiss);
		if (*j->err.msg)
			val_add_str(v, "error", j->err.msg);
		val_append(list, v);
	}
	return list;
}

void show_block_jobs(const struct value *v, FILE *out)
{
	if (!v->n)
		fputs("No active jobs\n", out);
	for (size_t i = 0; i < v->n; i++)
		fprintf(out, "%s: type %s, %s, %lld of %lld bytes\n", val_get_str(v->item[i], "device", ""),
			val_get_str(v->item[i], "type", ""), val_get_str(v->item[i], "status", ""),
			(long long)val_get_int(v->item[i], "offset", 0), (long long)val_get_int(v->item[i], "len", 0));
}

/* ---- what can be done to one ---- */

static struct job *find(struct cmd *c, const struct value *args)
{
	const char *id = val_get_str(args, "id", val_get_str(args, "device", ""));
	struct job *j = job_find(c->vm, id);

	if (!j)
		cmd_fail(c, val_get(args, "id") ? CMD_GENERIC : CMD_DEVICE_NOT_ACTIVE, "Job '%.200s' not found", id);
	return j;
}

/* One that works on a drive. */
static struct job *find_working(struct cmd *c, const struct value *args)
{
	struct job *j = find(c, args);

	if (!j || j->block)
		return j;
	cmd_fail(c, CMD_GENERIC, "Job '%s' in state '%s' cannot accept that command", j->id, job_status_word(j->status));
	return NULL;
}

struct value *cmd_job_dismiss(struct cmd *c, const struct value *args)
{
	struct job *j = find(c, args);

	if (!j)
		return NULL;
	if (j->status != JOB_CONCLUDED)
		return cmd_fail(c, CMD_GENERIC, "Job '%s' in state '%s' cannot accept command verb 'dismiss'", j->id,
				job_status_word(j->status));
	job_free(j);
	return val_dict();
}

struct value *cmd_job_cancel(struct cmd *c, const struct value *args)
{
	struct job *j = find_working(c, args);
	bool by_id = val_get(args, "id");

	if (j)
		block_job_cancel(j->block, by_id || val_get_bool(args, "force", false));
	return cmd_result(j);
}

struct value *cmd_job_complete(struct cmd *c, const struct value *args)
{
	struct job *j = find_working(c, args);

	return cmd_result(j && block_job_complete(j->block, &c->err));
}

static struct value *pause_job(struct cmd *c, const struct value *args, bool on)
{
	struct job *j = find_working(c, args);
	bool paused = j && (j->status == JOB_PAUSED || j->status == JOB_STANDBY);

	if (!j)
		return NULL;
	if (paused == on)
		return cmd_fail(c, CMD_GENERIC, "Job '%s' is %s", j->id, on ? "paused already" : "not paused");
	block_job_pause(j->block, on);
	job_set_status(j, on ? j->is_ready ? JOB_STANDBY : JOB_PAUSED : j->is_ready ? JOB_READY : JOB_RUNNING);
	return val_dict();
}

struct value *cmd_job_pause(struct cmd *c, const struct value *args)
{
	return pause_job(c, args, true);
}

struct value *cmd_job_resume(struct cmd *c, const struct value *args)
{
	return pause_job(c, args, false);
}

struct value *cmd_block_job_set_speed(struct cmd *c, const struct value *args)
{
	struct job *j = find_working(c, args);
	int64_t speed = val_get_int(args, "speed", 0);

	if (j && speed < 0)
		return cmd_fail(c, CMD_GENERIC, "Parameter 'speed' expects bytes a second, or 0 for no limit");
	if (!j)
		return NULL;
	j->speed = (uint64_t)speed;
	block_job_set_rate(j->block, j->speed);
	return val_dict();
}

/* ---- snapshots ---- */

/* What a job about snapshots was asked for; it begins when its command has been answered. */
struct snapshot_work {
	struct job *job;
	char *tag;
	struct snapshot_choice which;
	struct value *devices;
	char *vmstate;
};

static void work_free(struct snapshot_work *w)
{
	free(w->tag);
	free(w->vmstate);
	val_free(w->devices);
	free(w);
}

static void over(struct snapshot_work *w, bool ok, const struct err *e)
{
	struct err none = { "" };

	w->job->done = w->job->all;
	job_concluded(w->job, ok ? &none : e);
	work_free(w);
}

static void saved(void *opaque, bool ok, const struct err *e)
{
	over(opaque, ok, e);
}

static void work(void *opaque)
{
	struct snapshot_work *w = opaque;
	struct vm *vm = w->job->vm;
	struct err e = { "" };
	bool touched;

	job_set_status(w->job, JOB_RUNNING);
	if (!strcmp(w->job->type, "snapshot-save")) {
		if (!snapshot_save_vm(vm, w->tag, &w->which, true, saved, w, &e))
			over(w, false, &e);
	} else if (!strcmp(w->job->type, "snapshot-load")) {
		over(w, snapshot_load_vm(vm, w->tag, &w->which, &touched, &e), &e);
	} else {
		over(w, snapshot_delete_vm(vm, w->tag, &w->which, &e), &e);
	}
}

static struct value *begin(struct cmd *c, const struct value *args, const char *type)
{
	struct snapshot_work *w = calloc(1, sizeof(*w));

	if (!w)
		return cmd_fail(c, CMD_GENERIC, "no memory");
	w->job = job_new(c->vm, val_get_str(args, "job-id", ""), type, false, &c->err);
	if (!w->job) {
		free(w);
		return NULL;
	}
	w->job->all = 1;
	w->tag = strdup(val_get_str(args, "tag", ""));
	w->devices = val_copy(val_get(args, "devices"));
	w->vmstate = val_get(args, "vmstate") ? strdup(val_get_str(args, "vmstate", "")) : NULL;
	w->which = (struct snapshot_choice){ w->vmstate, w->devices };
	loop_call(c->vm->loop, work, w);
	return val_dict();
}

struct value *cmd_snapshot_save(struct cmd *c, const struct value *args)
{
	return begin(c, args, "snapshot-save");
}

struct value *cmd_snapshot_load(struct cmd *c, const struct value *args)
{
	return begin(c, args, "snapshot-load");
}

struct value *cmd_snapshot_delete(struct cmd *c, const struct value *args)
{
	return begin(c, args, "snapshot-delete");
}
