/*
 * Requests of drives: order, start, end, and what becomes of failed ones.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/bits.h"
#include "base/log.h"
#include "hw/backend/drive_priv.h"

/* ---- order ---- */

static bool changes(const struct drive_req *r)
{
	return r->op == DRIVE_WRITE || r->op == DRIVE_DISCARD || r->op == DRIVE_ZERO
		|| (r->op == DRIVE_READ && block_copies_on_read(r->drive->image));
}

static bool conflict(const struct drive_req *a, const struct drive_req *b)
{
	return a->op != DRIVE_FLUSH && b->op != DRIVE_FLUSH && a->at < b->at + b->n && b->at < a->at + a->n
		&& (changes(a) || changes(b));
}

/* Does r have to wait for something that was submitted before? */
static bool must_wait(const struct drive *d, const struct drive_req *r)
{
	for (const struct drive_req *a = d->active; a; a = a->next_active)
		if (conflict(a, r))
			return true;
	for (const struct drive_req *w = d->waiting.first; w && w != r; w = w->next)
		if (conflict(w, r))
			return true;
	return false;
}

/* Requests keep their order whatever becomes of them: behind one that waits for `cont` r waits for it, too. */
static bool stops_with_another(struct drive *d, struct drive_req *r)
{
	const struct drive_req *s = d->stopped.first;

	while (s && !conflict(s, r))
		s = s->next;
	if (!s)
		return false;
	drive_list_del(&d->waiting, r);
	drive_list_add(&d->stopped, r);
	r->state = DRIVE_STOPPED;
	return true;
}

/* ---- tracing ---- */

static const char *const op_names[DRIVE_N_OPS] = {
	[DRIVE_READ] = "read", [DRIVE_WRITE] = "write", [DRIVE_FLUSH] = "flush", [DRIVE_DISCARD] = "discard",
	[DRIVE_ZERO] = "zero",
};

void drive_trace_names(struct machine *m, struct trace_names *l)
{
	for (struct drive *d = drive_next(m, NULL); d; d = drive_next(m, d))
		for (int op = 0; op < DRIVE_N_OPS; op++)
			trace_name(l, d->id, NULL, op_names[op]);
}

static void trace_request(const struct drive *d, const struct drive_req *r)
{
	struct machine *m = d->set->m;

	if (r->op == DRIVE_FLUSH)
		trace_point(m, d->id, NULL, op_names[r->op], "all");
	else
		trace_point(m, d->id, NULL, op_names[r->op], "sector %" PRIu64 " count %u", r->at, r->n);
}

/* ---- start ---- */

static void activate(struct drive *d, struct drive_req *r)
{
	r->next_active = d->active;
	d->active = r;
	r->is_active = true;
	d->nactive++;
}

static void deactivate(struct drive *d, struct drive_req *r)
{
	struct drive_req **p = &d->active;
	while (*p != r)
		p = &(*p)->next_active;
	*p = r->next_active;
	r->is_active = false;
	d->nactive--;
}

void drive_kick(struct drive *d)
{
	uint64_t wait = TIME_NEVER;

	for (struct drive_req *r = d->waiting.first, *next; r && d->nactive < DRIVE_MAX_ACTIVE; r = next) {
		next = r->next;
		if (stops_with_another(d, r) || must_wait(d, r) || !drive_limit_admit(d, r, &wait))
			continue;
		drive_list_del(&d->waiting, r);
		activate(d, r);
		if (!drive_prompt(d, r))
			drive_pool_add(d->set, r);
	}
	drive_limit_wait(d, wait);
}

/* A request that no image has to be asked about. */
static bool refuse(struct drive *d, struct drive_req *r)
{
	struct block *b = d->image;

	if (!b)
		err_set(&r->err, "drive '%s' has no medium", d->id);
	else if (r->op != DRIVE_FLUSH && (r->at > block_sectors(b) || r->n > block_sectors(b) - r->at))
		err_set(&r->err, "'%s': a request behind the end of the disk", block_file(b));
	else if (changes(r) && r->op != DRIVE_READ && block_readonly(b))
		err_set(&r->err, "'%s' is read-only", block_file(b));
	else
		return false;
	r->invalid = true;
	return true;
}

void drive_submit(struct drive *d, struct drive_req *r)
{
	r->drive = d;
	r->ok = r->invalid = false;
	r->error = 0;
	r->err.msg[0] = 0;
	r->err.code = 0;
	r->since = drive_now(d->set);
	if (trace_on(d->set->m))
		trace_request(d, r);
	if (refuse(d, r)) {
		activate(d, r);
		drive_pool_finished(d->set, r);
		return;
	}
	r->state = DRIVE_WAITING;
	drive_list_add(&d->waiting, r);
	drive_kick(d);
}

/* ---- end ---- */

static void count(struct drive *d, const struct drive_req *r)
{
	struct drive_op_stats *o = &d->stats.op[r->op];
	uint64_t now = drive_now(d->set), bytes = r->op == DRIVE_FLUSH ? 0 : (uint64_t)r->n * SECTOR;

	d->stats.last_access = now;
	if (r->invalid) {
		o->invalid++;
		return;
	}
	o->ns += now - r->since;
	if (!r->ok) {
		o->failed++;
		return;
	}
	o->ops++;
	o->bytes += bytes;
	if (r->op == DRIVE_WRITE)
		d->stats.wr_highest = max_u64(d->stats.wr_highest, r->at * SECTOR + bytes);
}

static enum drive_policy policy_for(const struct drive *d, const struct drive_req *r)
{
	enum drive_policy p = r->op == DRIVE_READ ? d->rerror : d->werror;
	if (p == DRIVE_AUTO)
		p = r->op == DRIVE_READ ? DRIVE_REPORT : DRIVE_ENOSPC;
	return p != DRIVE_ENOSPC ? p : r->error == ENOSPC ? DRIVE_STOP : DRIVE_REPORT;
}

/* The host failed. True: the device learns of it (or is told that all is well). */
static bool failed(struct drive *d, struct drive_req *r)
{
	r->error = r->err.code;
	enum drive_policy action = policy_for(d, r);

	snprintf(d->last_error, sizeof(d->last_error), "%s", r->err.msg);
	if (d->set->on_error)
		d->set->on_error(d->set->error_opaque, d, r, action);
	if (action == DRIVE_IGNORE) {
		r->ok = true;
		return true;
	}
	warn("drive %s: %s%s", d->id, r->err.msg,
	     action == DRIVE_STOP ? "; the machine stops, and tries again on `cont`" : "");
	if (action == DRIVE_REPORT)
		return true;
	r->state = DRIVE_STOPPED;
	drive_list_add(&d->stopped, r);
	machine_request(d->set->m, MACHINE_IO_ERROR, 0);
	return false;
}

/* A read that ended too soon: some of it may be there, and copies of the guest's memory are to have that, too. */
static void spoiled(struct drive *d, const struct drive_req *r)
{
	for (int i = 0; r->op == DRIVE_READ && i < r->niov; i++)
		phys_host_written(d->set->m->phys, r->iov[i].iov_base, r->iov[i].iov_len);
}

static void finish(struct drive_req *r)
{
	struct drive *d = r->drive;

	deactivate(d, r);
	r->state = DRIVE_IDLE;
	count(d, r);
	if (!r->ok)
		spoiled(d, r);
	bool tell = r->ok || r->invalid || failed(d, r);
	drive_kick(d);
	if (tell)
		r->done(r);
}

bool drive_reap(struct drive_set *s)
{
	struct drive_req *r;
	unsigned n = drive_pool_ndone(s), left = n;

	while (left-- && (r = drive_pool_take_done(s)))		/* one may cancel another */
		finish(r);
	return n;
}

void drive_cancel(struct drive_req *r)
{
	struct drive *d = r->drive;

	if (!d)
		return;
	if (r->is_active) {
		drive_pool_remove(d->set, r);
		deactivate(d, r);
		spoiled(d, r);
	} else if (r->state == DRIVE_WAITING) {
		drive_list_del(&d->waiting, r);
	} else if (r->state == DRIVE_STOPPED) {
		drive_list_del(&d->stopped, r);
	}
	r->state = DRIVE_IDLE;
	drive_kick(d);
}

/* ---- draining ---- */

bool drive_busy(const struct drive *d)
{
	return d->active || d->waiting.first;
}

bool drive_stopped(const struct drive *d)
{
	return d->stopped.first;
}

static bool any_busy(const struct drive_set *s, const struct drive *only)
{
	for (const struct drive *d = s->drives; d; d = d->next)
		if ((!only || d == only) && drive_busy(d))
			return true;
	return false;
}

void drive_drain(struct machine *m, struct drive *only)
{
	struct drive_set *s = m->drives;

	if (!s || !any_busy(s, only))
		return;
	drive_pool_hurry(s, true);
	s->draining++;
	for (struct drive *d = s->drives; d; d = d->next)
		drive_kick(d);
	while (any_busy(s, only))
		if (!drive_reap(s))
			drive_pool_wait(s);
	if (!--s->draining)
		drive_pool_hurry(s, false);
}

bool drive_can_save(struct machine *m, struct err *e)
{
	for (struct drive *d = drive_next(m, NULL); d; d = drive_next(m, d))
		if (drive_stopped(d))
			return err_set(e, "drive '%s' has a request that failed (%s) and waits for `cont`", d->id,
				       d->last_error);
	return true;
}

void drive_retry(struct machine *m)
{
	for (struct drive *d = m->drives ? m->drives->drives : NULL; d; d = d->next) {
		struct drive_req *r = d->stopped.first;
		drive_list_init(&d->stopped);
		for (struct drive_req *next; r; r = next) {
			next = r->next;
			drive_submit(d, r);
		}
	}
}

/* ---- waiting for one ---- */

struct waited {
	struct drive_req r;
	bool over;
};

static void waited_done(struct drive_req *r)
{
	((struct waited *)r)->over = true;
}

bool drive_transfer(struct drive *d, enum drive_op op, uint64_t at, void *buf, uint32_t n, struct err *e)
{
	struct iovec v = { buf, (size_t)n * SECTOR };
	struct waited w = { .r = { .op = op, .at = at, .n = n, .iov = &v, .niov = 1, .done = waited_done } };

	drive_submit(d, &w.r);
	drive_drain(d->set->m, d);
	if (!w.over)		/* its policy is to wait for people, who are not there yet */
		drive_cancel(&w.r);
	if (!w.over || !w.r.ok)
		*e = w.r.err;
	return w.over && w.r.ok;
}
