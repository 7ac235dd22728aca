/*
 * Snapshots inside disk images.
 *
 * Order. Saving: the state's clusters, then a snapshot in every other image, last in the one
 * with the state, whose table so names a snapshot only when all of it is there. Loading:
 * everything is checked, then devices, then disks, then memory.
 */
#include "ui/snapshot.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "hw/backend/drive.h"
#include "hw/backend/qcow2.h"
#include "hw/core/snapshot.h"
#include "ui/node.h"
#include "ui/vm.h"

#define MAX_DISKS	64
#define STAGE		(1u << 20)

/* ---- which disks ---- */

struct disks {
	struct block *b[MAX_DISKS];	/* writable ones; the first holds the state */
	const char *name[MAX_DISKS];
	unsigned n;
};

/* Was the drive chosen, by its name or its first image's? Without a choice all are. */
static bool is_chosen(struct drive *drive, const struct snapshot_choice *c)
{
	for (size_t i = 0; c && c->devices && i < c->devices->n; i++)
		if (!strcmp(c->devices->item[i]->s, drive_id(drive)) || !strcmp(c->devices->item[i]->s, node_name(drive)))
			return true;
	return !c || !c->devices;
}

/* The chosen image holds the state. */
static bool state_first(struct vm *vm, struct disks *d, const char *name, struct err *e)
{
	struct drive *drive = name ? node_drive(vm, name, e) : NULL;

	if (name && !drive)
		return false;
	for (unsigned i = 0; name && i < d->n; i++)
		if (d->b[i] == drive_image(drive)) {
			struct block *b = d->b[0];
			const char *was = d->name[0];

			d->b[0] = d->b[i];
			d->name[0] = d->name[i];
			d->b[i] = b;
			d->name[i] = was;
			return true;
		}
	return !name || err_set(e, "vmstate block device '%.200s' is not among the writable ones", name);
}

/* All writable images, if they can have snapshots. */
static bool find_disks(struct vm *vm, const struct snapshot_choice *c, struct disks *d, struct err *e)
{
	struct qcow2_info ignored;

	for (size_t i = 0; c && c->devices && i < c->devices->n; i++)
		if (!node_drive(vm, c->devices->item[i]->s, e))
			return false;
	d->n = 0;
	for (struct drive *drive = NULL; d->n < MAX_DISKS && (drive = drive_next(vm->m, drive));) {
		struct block *b = drive_image(drive);

		if (!b || (block_readonly(b) && !b->overlay) || !is_chosen(drive, c))
			continue;
		d->name[d->n] = drive_id(drive);
		if (b->overlay)
			return err_set(e, "drive %s ('%s') keeps its changes in memory (snapshot=on) and cannot have "
				       "snapshots", d->name[d->n], block_file(b));
		if (!drive_may_work_on(drive, e))
			return false;
		if (!qcow2_info(b, &ignored, e))
			return err_set(e, "drive %s ('%s') is %s and cannot have snapshots: convert it to qcow2, or make "
				       "it readonly=on", d->name[d->n], block_file(b), block_format(b));
		d->b[d->n++] = b;
	}
	if (d->n)
		return state_first(vm, d, c ? c->vmstate : NULL, e);
	return err_set(e, "no drive can hold a snapshot: one with a writable qcow2 image is needed "
			       "(or use migrate file:PATH)");
}

/* Does the image have it? */
static bool has(struct block *b, const char *tag)
{
	struct err ignored;

	return qcow2_snapshot_find(b, tag, &ignored);
}

static bool all_have(const struct disks *d, const char *tag, struct err *e)
{
	for (unsigned i = 0; i < d->n; i++)
		if (!has(d->b[i], tag))
			return err_set(e, "drive %s ('%s') has no snapshot '%s'", d->name[i], block_file(d->b[i]), tag);
	return true;
}

static bool delete_all(const struct disks *d, const char *tag, struct err *e)
{
	for (unsigned i = 0; i < d->n; i++)
		if (has(d->b[i], tag) && !qcow2_snapshot_delete(d->b[i], tag, e))
			return err_prefix(e, "drive %s", d->name[i]);
	return true;
}

/* ---- saving ---- */

/* One save; the stream goes to the image in larger pieces. */
struct stage {
	struct vm *vm;
	struct disks d;
	char tag[256];
	struct snapshot_choice which;	/* copies */
	void (*done)(void *opaque, bool ok, const struct err *e);
	void *opaque;
	uint64_t at;
	size_t n;
	uint8_t buf[STAGE];
};

static void stage_free(struct stage *s)
{
	free((char *)s->which.vmstate);
	val_free((struct value *)s->which.devices);
	free(s);
}

static bool stage_flush(struct stage *s, struct err *e)
{
	bool ok = !s->n || qcow2_vmstate_write(s->d.b[0], s->at, s->buf, s->n, e);

	s->at += s->n;
	s->n = 0;
	return ok;
}

static bool stage_write(void *opaque, const void *p, size_t n, struct err *e)
{
	struct stage *s = opaque;

	while (n) {
		size_t k = n < STAGE - s->n ? n : STAGE - s->n;

		memcpy(s->buf + s->n, p, k);
		s->n += k;
		p = (const char *)p + k;
		n -= k;
		if (s->n == STAGE && !stage_flush(s, e))
			return false;
	}
	return true;
}

static bool sync_all(void *opaque, struct err *e)
{
	struct stage *s = opaque;

	if (!stage_flush(s, e))
		return false;
	for (unsigned i = 0; i < s->d.n; i++)
		if (!block_flush(s->d.b[i], e))
			return err_prefix(e, "drive %s", s->d.name[i]);
	return true;
}

/* A snapshot in every image, or in none. */
static bool create_all(struct stage *s, struct err *e)
{
	const struct disks *d = &s->d;
	uint64_t now = clock_now(&s->vm->m->clock);
	struct err ignored;

	for (unsigned i = d->n; i-- > 0;)
		if (!qcow2_snapshot_create_vm(d->b[i], s->tag, i ? 0 : s->at, now, e)) {
			err_prefix(e, "drive %s", d->name[i]);
			while (++i < d->n)
				qcow2_snapshot_delete(d->b[i], s->tag, &ignored);
			return false;
		}
	return true;
}

/* Disks may have come, gone or changed since it began. */
static bool same_disks(struct stage *s, struct err *e)
{
	struct disks now;

	if (!find_disks(s->vm, &s->which, &now, e))
		return false;
	bool same = now.n == s->d.n;
	for (unsigned i = 0; same && i < now.n; i++)
		same = now.b[i] == s->d.b[i];
	return same || err_set(e, "drives changed while the machine was saved");
}

static bool make_good(void *opaque, struct err *e)
{
	struct stage *s = opaque;

	return same_disks(s, e) && stage_flush(s, e) && delete_all(&s->d, s->tag, e) && create_all(s, e);
}

static void saved(void *opaque, bool ok, const struct err *e)
{
	struct stage *s = opaque;
	struct err left = { "" }, ignored;

	if (same_disks(s, &ignored) && !qcow2_vmstate_end(s->d.b[0], &left) && ok) {
		ok = false;
		e = &left;
	}
	s->done(s->opaque, ok, e);
	stage_free(s);
}

static void make_tag(char *tag, size_t n)
{
	time_t t = time(NULL);
	struct tm tm;

	localtime_r(&t, &tm);
	strftime(tag, n, "vm-%Y%m%d%H%M%S", &tm);
}

static bool start(struct stage *s, const char *tag, bool live, struct err *e)
{
	struct save save = { .sink = { stage_write, s }, .sync = sync_all, .commit = make_good, .done = saved, .opaque = s };

	if (tag && strlen(tag) >= sizeof(s->tag))
		return err_set(e, "a tag has at most %zu characters", sizeof(s->tag) - 1);
	if (tag)
		strcpy(s->tag, tag);
	else
		make_tag(s->tag, sizeof(s->tag));
	if (save_busy(s->vm))
		return err_set(e, "the machine is being saved already");
	if (!find_disks(s->vm, &s->which, &s->d, e))
		return false;
	for (unsigned i = 0; s->which.devices && i < s->d.n; i++)
		if (has(s->d.b[i], s->tag))
			return err_set(e, "Snapshot '%s' already exists in one or more devices", s->tag);
	return qcow2_vmstate_begin(s->d.b[0], e) && save_start(s->vm, &save, live, e);
}

bool snapshot_save_vm(struct vm *vm, const char *tag, const struct snapshot_choice *which, bool live,
		      void (*done)(void *opaque, bool ok, const struct err *e), void *opaque, struct err *e)
{
	struct stage *s = calloc(1, sizeof(*s));

	if (!s)
		return err_set(e, "no memory");
	s->vm = vm;
	s->done = done;
	s->opaque = opaque;
	if (which) {
		s->which.vmstate = which->vmstate ? strdup(which->vmstate) : NULL;
		s->which.devices = val_copy(which->devices);
	}
	if (start(s, tag, live, e))
		return true;
	stage_free(s);
	return false;
}

/* ---- loading ---- */

bool snapshot_become(struct vm *vm, const struct snapshot_source *src, bool (*commit)(void *opaque, struct err *e),
		     void *opaque, bool *touched, struct err *e)
{
	struct snapshot_in *in = snapshot_open(vm->m, src, e);

	*touched = false;
	if (!in)
		return false;
	vm_freeze(vm);
	bool ok = snapshot_load(in, commit, opaque, touched, e);
	snapshot_in_free(in);
	if (ok)
		vm_loaded(vm);
	if (*touched && !ok)
		vm_stop(vm, VM_INTERNAL_ERROR);
	else
		vm_thaw(vm);
	return ok;
}

static bool state_read(void *opaque, uint64_t at, void *p, size_t n, struct err *e)
{
	return qcow2_vmstate_read(opaque, at, p, n, e);
}

struct apply {
	const struct disks *d;
	const char *tag;
};

static bool apply_all(void *opaque, struct err *e)
{
	const struct apply *a = opaque;

	for (unsigned i = 0; i < a->d->n; i++)
		if (!qcow2_snapshot_apply(a->d->b[i], a->tag, e))
			return err_prefix(e, "drive %s", a->d->name[i]);
	return true;
}

static bool sizes_fit(const struct disks *d, const char *tag, struct err *e)
{
	for (unsigned i = 0; i < d->n; i++) {
		const struct qcow2_snapshot *s = qcow2_snapshot_find(d->b[i], tag, e);

		if (!s)
			return false;
		if ((s->disk_size + SECTOR - 1) / SECTOR != block_sectors(d->b[i]))
			return err_set(e, "drive %s ('%s') has another size than in snapshot '%s'", d->name[i],
				       block_file(d->b[i]), tag);
	}
	return true;
}

bool snapshot_load_vm(struct vm *vm, const char *tag, const struct snapshot_choice *which, bool *touched, struct err *e)
{
	struct disks d;
	uint64_t size;

	*touched = false;
	if (save_busy(vm))
		return err_set(e, "the machine is being saved");
	if (!find_disks(vm, which, &d, e) || !all_have(&d, tag, e) || !sizes_fit(&d, tag, e))
		return false;
	struct qcow2_vmstate *v = qcow2_vmstate_open(d.b[0], tag, &size, e);
	if (!v)
		return false;
	struct snapshot_source src = { state_read, v, size };
	struct apply a = { &d, tag };
	bool ok = size ? snapshot_become(vm, &src, apply_all, &a, touched, e)
		       : err_set(e, "it is one of the disk only, without a machine's state");
	qcow2_vmstate_close(v);
	return ok || err_prefix(e, "snapshot '%s'", tag);
}

/* ---- the rest ---- */

bool snapshot_delete_vm(struct vm *vm, const char *tag, const struct snapshot_choice *which, struct err *e)
{
	struct disks d;
	bool any = false;

	if (save_busy(vm))
		return err_set(e, "the machine is being saved");
	if (!find_disks(vm, which, &d, e))
		return false;
	for (unsigned i = 0; i < d.n; i++)
		any |= has(d.b[i], tag);
	if (!any)
		return err_set(e, "there is no snapshot '%s'", tag);
	vm_freeze(vm);
	bool ok = delete_all(&d, tag, e);
	vm_thaw(vm);
	return ok;
}

static void size_text(uint64_t n, char *buf, size_t size)
{
	static const char unit[] = "BKMGT";
	double v = (double)n;
	int i = 0;

	for (; v >= 1000 && i < 4; i++)
		v /= 1024;
	snprintf(buf, size, i ? "%.3g %ciB" : "%.3g %c", v, unit[i]);
}

static void print_one(const struct qcow2_snapshot *s, FILE *out)
{
	time_t t = (time_t)s->date_sec;
	uint64_t ms = s->vm_clock_nsec / NS_PER_MS;
	char date[32], size[16], clock[32];
	struct tm tm;

	localtime_r(&t, &tm);
	strftime(date, sizeof(date), "%Y-%m-%d %H:%M:%S", &tm);
	size_text(s->vm_state_size, size, sizeof(size));
	snprintf(clock, sizeof(clock), "%02u:%02u:%02u.%03u", (unsigned)(ms / 3600000), (unsigned)(ms / 60000 % 60),
		 (unsigned)(ms / 1000 % 60), (unsigned)(ms % 1000));
	fprintf(out, "%-9s %-16s %9s %20s %13s\n", s->id, s->name, size, date, clock);
}

void snapshot_list(struct vm *vm, FILE *out)
{
	const struct qcow2_snapshot *s;
	struct disks d;
	struct err e;

	if (!find_disks(vm, NULL, &d, &e)) {
		fprintf(out, "%s\n", e.msg);
		return;
	}
	if (!qcow2_snapshot_get(d.b[0], 0)) {
		fprintf(out, "There is no snapshot.\n");
		return;
	}
	fprintf(out, "%-9s %-16s %9s %20s %13s\n", "ID", "TAG", "VM SIZE", "DATE", "VM CLOCK");
	for (unsigned i = 0; (s = qcow2_snapshot_get(d.b[0], i)); i++)
		print_one(s, out);
}
