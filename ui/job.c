/* Jobs: the list, their states, events (job.h). */
#include "ui/job.h"

#include <stdlib.h>
#include <string.h>

#include "hw/backend/block_job.h"
#include "hw/core/bus.h"
#include "ui/vm.h"

const char *job_status_word(enum job_status s)
{
	static const char *const words[] = {
		[JOB_CREATED] = "created", [JOB_RUNNING] = "running", [JOB_PAUSED] = "paused", [JOB_READY] = "ready",
		[JOB_STANDBY] = "standby", [JOB_ABORTING] = "aborting", [JOB_CONCLUDED] = "concluded", [JOB_NULL] = "null",
	};

	return words[s];
}

struct job *job_find(struct vm *vm, const char *id)
{
	struct job *j = vm->jobs;

	while (j && strcmp(j->id, id))
		j = j->next;
	return j;
}

struct job *job_new(struct vm *vm, const char *id, const char *type, bool auto_dismiss, struct err *e)
{
	struct job *j;

	if (!*id) {
		err_set(e, "Invalid job ID ''");
		return NULL;
	}
	if (job_find(vm, id)) {
		err_set(e, "Job ID '%.200s' already in use", id);
		return NULL;
	}
	j = calloc(1, sizeof(*j));
	if (!j || !(j->id = strdup(id))) {
		free(j);
		err_set(e, "no memory");
		return NULL;
	}
	j->vm = vm;
	j->type = type;
	j->auto_dismiss = auto_dismiss;
	j->next = vm->jobs;
	vm->jobs = j;
	job_set_status(j, JOB_CREATED);
	return j;
}

void job_set_status(struct job *j, enum job_status status)
{
	struct value *v = val_dict();

	j->status = status;
	val_add_str(v, "status", job_status_word(status));
	val_add_str(v, "id", j->id);
	machine_event(j->vm->m, "JOB_STATUS_CHANGE", v);
}

void job_free(struct job *j)
{
	struct job **p = &j->vm->jobs;

	while (*p != j)
		p = &(*p)->next;
	*p = j->next;
	job_set_status(j, JOB_NULL);
	free(j->id);
	free(j);
}

void job_concluded(struct job *j, const struct err *e)
{
	j->block = NULL;
	j->err = *e;
	if (*e->msg)
		job_set_status(j, JOB_ABORTING);
	job_set_status(j, JOB_CONCLUDED);
	if (j->auto_dismiss)
		job_free(j);
}

void jobs_abandon(struct vm *vm)
{
	for (struct job *j = vm->jobs, *next; j; j = next) {
		next = j->next;
		if (j->block)
			block_job_abandon(j->block);
	}
	while (vm->jobs)
		job_free(vm->jobs);
}
