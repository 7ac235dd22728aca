/* Monitor commands about saved state: snapshots in disks, and in files. */
#include <stdlib.h>
#include <string.h>

#include "ui/migrate.h"
#include "ui/monitor_priv.h"
#include "ui/snapshot.h"

/* A save somebody typed. */
struct typed {
	struct monitor *mon;
	const char *what;
	FILE *out;		/* while the command has not returned */
	bool over;
	bool deferred;		/* -incoming defer */
};

static void on_done(void *opaque, bool ok, const struct err *e)
{
	struct typed *t = opaque;
	char text[700] = "";

	if (!ok)
		snprintf(text, sizeof(text), "%s: %s\n", t->what, e->msg);
	t->over = true;
	if (t->out) {
		fputs(text, t->out);
		t->mon->waits = false;
		return;
	}
	mon_goes_on(t->mon, text);
	free(t);
}

static struct typed *typed_new(struct monitor *mon, const char *what, FILE *out)
{
	struct typed *t = calloc(1, sizeof(*t));

	if (t)
		*t = (struct typed){ .mon = mon, .what = what, .out = out };
	return t;
}

/* The command returns. */
static void typed_return(struct typed *t, bool started, const struct err *e)
{
	if (!started) {
		fprintf(t->out, "%s: %s\n", t->what, e->msg);
		t->mon->waits = false;
	}
	t->out = NULL;
	if (!started || t->over)
		free(t);
}

static void unseen(void *opaque, bool ok, const struct err *e)
{
	(void)opaque, (void)ok, (void)e;	/* info migrate tells */
}

static void migrate_detached(struct monitor *mon, const char *uri, FILE *out)
{
	struct err e = { "" };

	if (!migrate_out(mon->vm, uri, true, unseen, NULL, &e))
		fprintf(out, "migrate: %s\n", e.msg);
}

void mon_migrate(struct monitor *mon, const struct mon_args *a, FILE *out)
{
	bool detach = !strcmp(a->word[0], "-d");
	struct typed *t;
	struct err e = { "" };

	if (detach && a->n > 1) {
		migrate_detached(mon, a->word[1], out);
		return;
	}
	t = typed_new(mon, "migrate", out);
	if (t)
		typed_return(t, migrate_out(mon->vm, a->word[0], mon_wait(mon), on_done, t, &e), &e);
}

static void on_came(void *opaque, bool ok, const struct err *e)
{
	struct typed *t = opaque;
	struct vm *vm = t->mon->vm;

	if (ok && t->deferred && vm->migration.go_on)
		vm_cont(vm);
	on_done(t, ok, e);
}

/* Behind -incoming defer the machine goes on as it was told to. */
void mon_migrate_incoming(struct monitor *mon, const struct mon_args *a, FILE *out)
{
	struct typed *t = typed_new(mon, "migrate_incoming", out);
	struct err e = { "" };
	bool touched, ok;

	if (!t)
		return;
	t->deferred = mon->vm->status == VM_INMIGRATE;
	if (mon_wait(mon)) {
		ok = migrate_in_start(mon->vm, a->word[0], on_came, t, &e);
	} else {
		ok = migrate_in(mon->vm, a->word[0], &touched, &e);
		if (ok)
			on_came(t, true, &e);
	}
	typed_return(t, ok, &e);
}

void mon_savevm(struct monitor *mon, const struct mon_args *a, FILE *out)
{
	struct typed *t = typed_new(mon, "savevm", out);
	struct err e = { "" };

	if (t)
		typed_return(t, snapshot_save_vm(mon->vm, a->n ? a->word[0] : NULL, NULL, mon_wait(mon), on_done, t, &e), &e);
}

void mon_loadvm(struct monitor *mon, const struct mon_args *a, FILE *out)
{
	bool touched;
	struct err e;

	if (!snapshot_load_vm(mon->vm, a->word[0], NULL, &touched, &e))
		fprintf(out, "loadvm: %s\n", e.msg);
}

void mon_delvm(struct monitor *mon, const struct mon_args *a, FILE *out)
{
	struct err e;

	if (!snapshot_delete_vm(mon->vm, a->word[0], NULL, &e))
		fprintf(out, "delvm: %s\n", e.msg);
}

void mon_info_snapshots(struct monitor *mon, const struct mon_args *a, FILE *out)
{
	(void)a;
	snapshot_list(mon->vm, out);
}

void mon_info_migrate(struct monitor *mon, const struct mon_args *a, FILE *out)
{
	const struct vm *vm = mon->vm;
	uint64_t left;
	struct save_stats s = save_progress(vm, &left);
	enum save_state state = s.state != SAVE_NONE ? s.state : vm->migration.out_state != SAVE_NONE
				? vm->migration.out_state : vm->migration.in_state;
	const struct err *e = s.state != SAVE_NONE ? &s.err : vm->migration.out_state != SAVE_NONE
			      ? &vm->migration.out_err : &vm->migration.in_err;

	(void)a;
	fprintf(out, "Migration status: %s\n", save_state_word(state));
	if (state == SAVE_FAILED)
		fprintf(out, "error: %s\n", e->msg);
	if (s.state == SAVE_NONE)
		return;
	fprintf(out, "total time: %.1f ms\n", (double)s.total_ns / 1e6);
	if (s.state == SAVE_COMPLETED)
		fprintf(out, "downtime: %.1f ms\n", (double)s.pause_ns / 1e6);
	else
		fprintf(out, "remaining ram: %llu kbytes\n", (unsigned long long)left >> 10);
	fprintf(out, "transferred: %llu kbytes\ntotal ram: %llu kbytes\n"
		"zero pages: %llu\nother pages: %llu\nrounds: %u\n", (unsigned long long)s.out.bytes >> 10,
		(unsigned long long)s.out.ram_total >> 10, (unsigned long long)s.out.zero_pages,
		(unsigned long long)s.out.data_pages, s.rounds);
}
