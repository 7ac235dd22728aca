/*
 * Short requests that the vCPU does itself whose access submits them.
 *
 * A guest that waits for each of its requests pays for two changes of threads, which take
 * longer than copying 128 KiB to or from the host's page cache. So such a request is
 * done behind the access that submits it, without the machine lock, and done() runs at once.
 * What done() submits then is done so, too, until it is much: some devices move large requests in pieces.
 * Reads are done so if the host has their sectors in memory. Whether a write will wait the
 * host does not tell beforehand; if one has slept, the workers have the drive's writes for a time
 * many times as long.
 */
#include <sys/resource.h>

#include "hw/backend/drive_priv.h"

#define PROMPT_SECTORS	256u		/* a copy of some ten microseconds */
#define PROMPT_COST	32u		/* of a request besides the copy, in sectors' copies */
#define PROMPT_MOST	2560u		/* of these behind one access */
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

/* What is too much, other vCPUs' included, goes to the workers. False: there was nothing. */
static bool do_those(struct drive_set *s, uint32_t *spent)
{
	struct drive_req *first = drive_pool_take_owed(s);

	for (struct drive_req *r = first; r; r = drive_pool_take_owed(s)) {
		bool much = *spent >= PROMPT_MOST;
		*spent += PROMPT_COST + r->n;
		if (!much || !drive_pool_pass_on(s, r))
			do_one(s, r);
	}
	return first;
}

/* Devices that move much in pieces submit the next one in done(): it is owed, too, while this is not too much. */
static void do_owed(void *opaque)
{
	struct drive_set *s = opaque;
	uint32_t spent = 0;

	while (do_those(s, &spent)) {
		machine_lock(s->m);
		s->reaping = spent < PROMPT_MOST ? REAPING_FOR_MORE : REAPING;
		drive_reap(s);
		s->reaping = REAPING_NOT;
		machine_unlock(s->m);
	}
}

bool drive_prompt(struct drive *d, struct drive_req *r)
{
	struct drive_set *s = d->set;
	bool suits = r->op == DRIVE_READ ? !d->watch || !d->watch->reads : r->op == DRIVE_WRITE && !d->watch && may_write(d);

	if (!suits || r->n > PROMPT_SECTORS || s->hold || s->draining || s->reaping == REAPING ||
	    (s->reaping == REAPING_NOT && !machine_late(s->m, do_owed, s)))
		return false;
	drive_pool_owe(s, r);
	return true;
}
