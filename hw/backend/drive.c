/*
 * Drives: making them, their media, the device in front, what people ask of them.
 */
#include "hw/backend/drive.h"

#include <stdlib.h>
#include <string.h>

#include "base/value.h"
#include "hw/backend/drive_priv.h"

/* ---- life ---- */

static char *copy(const char *s)
{
	return s ? strdup(s) : NULL;
}

static bool open_medium(struct drive *d, const struct block_options *o, struct err *e)
{
	struct block_options now = *o;

	if (!o->file && !o->null_co)
		return true;
	now.let_go = d->set->elsewhere;
	d->image = block_open(&now, e);
	return d->image;
}

struct drive *drive_new(struct machine *m, const struct drive_options *o, struct err *e)
{
	struct drive_set *s = drive_set_of(m, e);

	if (!s)
		return NULL;
	if (drive_find(m, o->id)) {
		err_set(e, "there is a drive '%s' already", o->id);
		return NULL;
	}
	struct drive *d = calloc(1, sizeof(*d)), **tail = &s->drives;
	if (!d) {
		err_set(e, "no memory for a drive");
		return NULL;
	}
	*d = (struct drive){ .set = s, .id = copy(o->id), .serial = copy(o->serial), .cdrom = o->cdrom,
			     .rerror = o->rerror, .werror = o->werror };
	drive_list_init(&d->waiting);
	drive_list_init(&d->stopped);
	drive_limit_init(d);
	while (*tail)
		tail = &(*tail)->next;
	*tail = d;
	machine_add_backend(m, "drive", d->id, d);
	if (open_medium(d, &o->image, e) && drive_set_limits(d, &o->limits, e))
		return d;
	drive_free(d);
	return NULL;
}

struct drive *drive_find(struct machine *m, const char *id)
{
	return machine_find_backend(m, "drive", id);
}

struct drive *drive_next(struct machine *m, struct drive *after)
{
	return after ? after->next : m->drives ? m->drives->drives : NULL;
}

void drive_free(struct drive *d)
{
	struct drive_set *s = d->set;
	struct drive **p = &s->drives;

	drive_drain(s->m, d);
	drive_limit_fini(d);
	block_close(d->image);
	while (*p != d)
		p = &(*p)->next;
	*p = d->next;
	machine_del_backend(s->m, "drive", d->id);
	free(d->id);
	free(d->serial);
	free(d);
}

void drive_free_all(struct machine *m)
{
	struct drive_set *s = m->drives;

	if (!s)
		return;
	while (s->drives)
		drive_free(s->drives);
	drive_set_free(s);
}

/* ---- what it is ---- */

bool drive_present(const struct drive *d)
{
	return d->image;
}

uint64_t drive_sectors(const struct drive *d)
{
	return d->image ? block_sectors(d->image) : 0;
}

bool drive_readonly(const struct drive *d)
{
	return !d->image || block_readonly(d->image);
}

bool drive_is_cdrom(const struct drive *d)
{
	return d->cdrom;
}

const char *drive_id(const struct drive *d)
{
	return d->id;
}

const char *drive_serial(const struct drive *d)
{
	return d->serial;
}

struct block *drive_image(struct drive *d)
{
	return d->image;
}

struct block *drive_swap_image(struct drive *d, struct block *b)
{
	struct block *before = d->image;

	d->image = b;
	return before;
}

struct block *drive_take_apart(struct drive *d)
{
	struct block *b;

	drive_drain(d->set->m, d);
	b = drive_swap_image(d, NULL);
	drive_free(d);
	return b;
}

bool drive_let_go(struct machine *m, struct err *e)
{
	drive_drain(m, NULL);
	for (struct drive *d = NULL; (d = drive_next(m, d));)
		if (d->image && !d->watch && !block_let_go(&d->image, e))
			return false;
	return true;
}

bool drive_take_back(struct machine *m, struct err *e)
{
	for (struct drive *d = NULL; (d = drive_next(m, d));)
		if (d->image && !block_take_back(&d->image, e))
			return false;
	if (m->drives)
		m->drives->elsewhere = false;
	return true;
}

bool drive_begin_elsewhere(struct machine *m, struct err *e)
{
	struct drive_set *s = drive_set_of(m, e);

	if (s)
		s->elsewhere = true;
	return s;
}

void drive_set_watch(struct drive *d, const struct drive_watch *w)
{
	d->watch = w;
}

const struct drive_stats *drive_stats(const struct drive *d)
{
	return &d->stats;
}

uint64_t drive_idle_ns(const struct drive *d)
{
	return drive_now(d->set) - d->stats.last_access;
}

const char *drive_last_error(const struct drive *d)
{
	return d->last_error;
}

void drive_on_error(struct machine *m, void (*fn)(void *opaque, struct drive *d, const struct drive_req *r,
						  enum drive_policy action), void *opaque)
{
	struct err e;
	struct drive_set *s = drive_set_of(m, &e);

	if (s) {
		s->on_error = fn;
		s->error_opaque = opaque;
	}
}

/* ---- what becomes of failures ---- */

const char *const drive_policy_words[] = { "auto", "report", "ignore", "stop", "enospc", NULL };
const char *const drive_read_policy_words[] = { "auto", "report", "ignore", "stop", NULL };

static bool policy(const char *key, const char *word, const char *const *words, enum drive_policy *p, struct err *e)
{
	int i = 0;

	if (!word)
		return true;
	while (words[i] && strcmp(words[i], word))
		i++;
	if (!words[i])
		return err_set(e, "%s=%s: expected auto, report, ignore, stop%s", key, word,
			       words == drive_policy_words ? ", enospc" : "");
	if (i != DRIVE_AUTO)
		*p = (enum drive_policy)i;
	return true;
}

bool drive_wish(struct drive *d, const struct drive_wishes *w, struct err *e)
{
	return policy("rerror", w->rerror, drive_read_policy_words, &d->rerror, e)
		&& policy("werror", w->werror, drive_policy_words, &d->werror, e);
}

/* ---- the device in front ---- */

bool drive_attach(struct drive *d, const struct drive_user *u, void *opaque, struct err *e)
{
	if (d->user)
		return err_set(e, "drive '%s' is in use by %s", d->id, d->user->name);
	d->user = u;
	d->user_opaque = opaque;
	return true;
}

void drive_detach(struct drive *d)
{
	d->user = NULL;
	d->user_opaque = NULL;
}

const struct drive_user *drive_user(const struct drive *d)
{
	return d->user;
}

bool drive_locked(const struct drive *d)
{
	return d->user && d->user->locked && d->user->locked(d->user_opaque);
}

bool drive_tray_open(const struct drive *d)
{
	return d->user && d->user->tray_open && d->user->tray_open(d->user_opaque);
}

/* ---- media ---- */

bool drive_may_change(const struct drive *d, struct err *e)
{
	return !d->watch || err_set(e, "a job works on drive '%s': end it first (query-block-jobs)", d->id);
}

bool drive_may_work_on(const struct drive *d, struct err *e)
{
	if (d->image && d->image->let_go)
		return err_set(e, "the image of drive '%s' is the other side's of a migration", d->id);
	return drive_may_change(d, e);
}

void drive_tray_moved(struct drive *d, bool open)
{
	struct value *v = val_dict();

	val_add_str(v, "device", d->id);
	val_add_str(v, "id", d->id);
	val_add_bool(v, "tray-open", open);
	machine_event(d->set->m, "DEVICE_TRAY_MOVED", v);
}

static bool may_open(struct drive *d, bool force, struct err *e)
{
	if (!drive_locked(d) || force)
		return true;
	if (d->user->ask_eject)
		d->user->ask_eject(d->user_opaque);
	return err_set(e, "drive '%s' is locked by the guest; it was asked to let go", d->id);
}

bool drive_set_tray(struct drive *d, bool open, bool force, struct err *e)
{
	if (!d->user || !d->user->set_tray)
		return err_set(e, "drive '%s' does not have a tray", d->id);
	if (drive_tray_open(d) == open)
		return true;
	if (open && !may_open(d, force, e))
		return false;
	d->user->set_tray(d->user_opaque, open);
	drive_tray_moved(d, open);
	return true;
}

bool drive_change(struct drive *d, const struct block_options *image, bool force, struct err *e)
{
	struct block *now = NULL;

	if (d->user && !d->user->removable)
		return err_set(e, "drive '%s' is not removable", d->id);
	if (!may_open(d, force, e) || !drive_may_change(d, e))
		return false;
	/* The new one is opened first: if that fails nothing has happened. */
	if ((image->file || image->null_co) && !(now = block_open(image, e)))
		return false;
	drive_drain(d->set->m, d);
	block_close(d->image);
	d->image = now;
	if (d->user && d->user->changed)
		d->user->changed(d->user_opaque);
	return true;
}

bool drive_resize(struct drive *d, uint64_t bytes, struct err *e)
{
	if (!d->image)
		return err_set(e, "drive '%s' has no medium", d->id);
	if (!drive_may_work_on(d, e))
		return false;
	drive_drain(d->set->m, d);
	if (!block_resize(d->image, (bytes + SECTOR - 1) / SECTOR, e))
		return false;
	if (d->user && d->user->resized)
		d->user->resized(d->user_opaque);
	return true;
}
