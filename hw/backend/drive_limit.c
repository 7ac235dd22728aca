/*
 * Limits of bytes and operations per second.
 *
 * Each limit is a bucket that leaks at the rate allowed. A request pours in what it
 * is, if the bucket is not above its brim; a large one may overflow it, and the next
 * waits the longer. The bucket holds a tenth of a second's worth, or the burst rate's worth for
 * the length of a burst where there is one (bps-max, bps-max-length).
 *
 * Not modelled: groups of drives.
 */
#include "base/bits.h"
#include "hw/backend/drive_priv.h"
#include "hw/core/loop.h"

static void leak(struct drive_bucket *b, uint64_t now)
{
	b->level -= b->rate * (double)(now - b->when) / (double)NS_PER_SEC;
	if (b->level < 0)
		b->level = 0;
	b->when = now;
}

/* How many ns until something may be poured in. */
static uint64_t until(struct drive_bucket *b, uint64_t now)
{
	if (b->rate <= 0)
		return 0;
	leak(b, now);
	if (b->level <= b->room)
		return 0;
	return (uint64_t)((b->level - b->room) / b->rate * (double)NS_PER_SEC) + 1;
}

static enum drive_direction direction(const struct drive_req *r)
{
	return r->op == DRIVE_READ ? DRIVE_IN : DRIVE_OUT;
}

static double operations(const struct drive *d, double bytes)
{
	double size = (double)d->limits.iops_size;
	return size > 0 && bytes > size ? bytes / size : 1;
}

bool drive_limit_admit(struct drive *d, const struct drive_req *r, uint64_t *wait)
{
	const int which[2] = { DRIVE_BOTH, direction(r) };
	uint64_t now, ns = 0;

	if (!d->limited || d->set->draining || (r->op != DRIVE_READ && r->op != DRIVE_WRITE))
		return true;
	now = drive_now(d->set);
	for (int i = 0; i < 2; i++)
		ns = max_u64(ns, max_u64(until(&d->bytes[which[i]], now), until(&d->ops[which[i]], now)));
	if (ns) {
		*wait = min_u64(*wait, ns);
		return false;
	}
	double bytes = (double)r->n * SECTOR;
	for (int i = 0; i < 2; i++) {
		d->bytes[which[i]].level += bytes;
		d->ops[which[i]].level += operations(d, bytes);
	}
	return true;
}

void drive_limit_wait(struct drive *d, uint64_t ns)
{
	if (ns != TIME_NEVER && d->limit_timer.clock)
		timer_mod(&d->limit_timer, clock_now(d->limit_timer.clock) + ns);
}

static void again(void *opaque)
{
	drive_kick(opaque);
}

void drive_limit_init(struct drive *d)
{
	struct loop *l = d->set->m->loop;
	if (l)
		timer_init(&d->limit_timer, loop_host_clock(l), again, d);
}

void drive_limit_fini(struct drive *d)
{
	timer_del(&d->limit_timer);
}

static void fill(struct drive_bucket *b, double rate, double max, double seconds, uint64_t now)
{
	double room = max > 0 ? max * (seconds > 0 ? seconds : 1) : rate / 10;

	*b = (struct drive_bucket){ .rate = rate, .room = room, .when = now };
}

static bool check(const char *what, const double v[3], const double max[3], const double length[3], struct err *e)
{
	if (v[0] > 0 && (v[1] > 0 || v[2] > 0))
		return err_set(e, "%s: give either a limit for both directions or one for each", what);
	for (int i = 0; i < 3; i++) {
		if (max[i] > 0 && v[i] <= 0)
			return err_set(e, "%s: a burst limit needs the ordinary limit, too", what);
		if (max[i] > 0 && max[i] < v[i])
			return err_set(e, "%s: a burst limit must not be below the ordinary one", what);
		if (length[i] > 1 && max[i] <= 0)
			return err_set(e, "%s: the length of a burst needs its limit, too", what);
	}
	return true;
}

bool drive_set_limits(struct drive *d, const struct drive_limits *l, struct err *e)
{
	uint64_t now = drive_now(d->set);

	if (!check("bps", l->bps, l->bps_max, l->bps_length, e) || !check("iops", l->iops, l->iops_max, l->iops_length, e))
		return false;
	if (l->iops_size && l->iops[0] <= 0 && l->iops[1] <= 0 && l->iops[2] <= 0)
		return err_set(e, "iops_size needs a limit of operations, iops");
	d->limits = *l;
	d->limited = false;
	for (int i = 0; i < 3; i++) {
		fill(&d->bytes[i], l->bps[i], l->bps_max[i], l->bps_length[i], now);
		fill(&d->ops[i], l->iops[i], l->iops_max[i], l->iops_length[i], now);
		d->limited |= l->bps[i] > 0 || l->iops[i] > 0;
	}
	drive_kick(d);
	return true;
}

const struct drive_limits *drive_limits(const struct drive *d)
{
	return &d->limits;
}
