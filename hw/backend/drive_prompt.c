/*
 * Short requests that the vCPU does itself whose access submits them.
 *
 * A guest that waits for each of its requests pays for two changes of threads, which take
 * longer than copying 128 KiB to or from the host's page cache. So such a request is
 * done behind the access that submits it, without the machine lock, and done() runs at once.
 * Reads are done so if the host has their sectors in memory. Whether a write will wait the
 * host does not tell beforehand; if one has slept, the workers have the drive's writes for a time
 * many times as long.
 */
#include <sys/resource.h>

#include "hw/backend/drive_priv.h"

#define PROMPT_SECTORS	256u		/* a copy of some ten microseconds */
#define PROMPT_COST	32u		/* of a request besides the copy, in sectors' copies */
#define PROMPT_MOST	1280u		/* of these behind one access */
#define PAID_BACK	50u		/* what sleeping writes may cost: one part in so many */

static bool may_write(const struct drive *d)
{
	const struct block *b = d->image;

	return d->nactive == 1 && !b->writethrough && !b->opened.direct && drive_now(d->set) >= d->prompt_from;
}

static long times_slept(void)
{
	struct rusage u;

	return getrusage(RUSAGE_THREAD, &u) ? 0 : u.ru_nvcsw;
}

static void write_now(struct drive *d, struct drive_req *r)
{
	uint64_t since = drive_now(d->set);
	long slept = times_slept();

	r->ok = drive_pool_transfer(r);
	if (times_slept() != slept) {
		uint64_t now = drive_now(d->set);
		d->prompt_from = now + (now - since) * PAID_BACK;
	}
}

static void do_one(struct drive_set *s, struct drive_req *r)
{
	struct drive *d = r->drive;

	if (r->op == DRIVE_WRITE)
		write_now(d, r);
	else if (block_read_now(d->image, r->at, r->iov, r->niov, r->n))
		r->ok = true;
	else if (drive_pool_pass_on(s, r))
		return;
	else
		r->ok = drive_pool_transfer(r);
	drive_pool_owed_done(s, r);
}

/* This ends: what done() submits goes to the workers, and so does what is too much, other vCPUs' included. */
static void do_owed(void *opaque)
{
	struct drive_set *s = opaque;
	uint32_t spent = 0;

	for (struct drive_req *r; (r = drive_pool_take_owed(s));) {
		uint32_t before = spent;
		spent += PROMPT_COST + r->n;
		if (before < PROMPT_MOST || !drive_pool_pass_on(s, r))
			do_one(s, r);
	}
	machine_lock(s->m);
	s->reaping = true;
	drive_reap(s);
	s->reaping = false;
	machine_unlock(s->m);
}

bool drive_prompt(struct drive *d, struct drive_req *r)
{
	struct drive_set *s = d->set;
	bool suits = r->op == DRIVE_READ ? !d->watch || !d->watch->reads : r->op == DRIVE_WRITE && !d->watch && may_write(d);

	if (!suits || r->n > PROMPT_SECTORS || s->hold || s->draining || s->reaping || !machine_late(s->m, do_owed, s))
		return false;
	drive_pool_owe(s, r);
	return true;
}
