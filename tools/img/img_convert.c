/*
 * rhea-img convert: images to one image.
 *
 * Threads take pieces in order, read them, look for zeros and compress, each for itself;
 * they write in order of the pieces, so that the result does not depend on who was
 * first (-W: whoever is ready). What reads as zeros without being stored is not read; stored
 * zeros are found in units of -S bytes and not stored again.
 */
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/bits.h"
#include "tools/img/img.h"

#define PIECE	4096u			/* sectors at once: 2 MiB */
#define WORKERS	16

struct copy {
	const struct args *a;
	struct block *to;
	struct block **from;
	bool fresh;			/* what is not written reads as zeros */
	uint32_t unit;			/* sectors: compressed clusters, or the unit of looking for zeros */
	uint64_t all;			/* sectors */

	pthread_mutex_t lock;		/* what follows */
	pthread_cond_t turn_over;
	int source;			/* the piece to take next: of from[source] ... */
	uint64_t at, base;		/* ... sector there, and where it goes: base + at */
	uint64_t taken, turn;		/* pieces; whose turn it is to write */
	bool failed;
	struct err err;
};

struct piece {
	struct block *from;
	uint64_t at, to, number;
	uint32_t n;
	bool skip;			/* zeros that need not be written */
};

struct worker {
	struct copy *c;
	pthread_t thread;
	uint8_t *buf, *old, *zip;
	size_t *zipped;			/* by unit: bytes in zip, 0: not compressed */
	struct err err;
};

/* ---- taking pieces ---- */

/* How long the next one is and whether it need not be read. */
static bool measure_piece(struct copy *c, struct piece *p, uint64_t sectors, struct err *e)
{
	uint64_t n = sectors - c->at;
	bool zero;

	if (!zeros_at(p->from, c->at, &n, &zero, e))
		return false;
	n = min_u64(n, PIECE);
	if (c->a->compress && (n % c->unit || p->to % c->unit)) {	/* whole clusters only */
		n = min_u64(sectors - c->at, PIECE - p->to % c->unit);
		zero = false;
	}
	p->n = (uint32_t)n;
	p->skip = zero && c->a->sparse && c->fresh;
	return true;
}

/* False: there are no more, or something has failed. */
static bool take(struct copy *c, struct piece *p)
{
	pthread_mutex_lock(&c->lock);
	bool more = false;
	while (!c->failed && c->source < c->a->n - 1) {
		p->from = c->from[c->source];
		uint64_t sectors = block_sectors(p->from);
		if (c->at >= sectors) {
			c->base += sectors;
			c->at = 0;
			c->source++;
			continue;
		}
		p->at = c->at;
		p->to = c->base + c->at;
		p->number = c->taken++;
		more = measure_piece(c, p, sectors, &c->err);
		c->failed = !more;
		c->at += more ? p->n : 0;
		break;
	}
	pthread_mutex_unlock(&c->lock);
	return more;
}

/* ---- writing ---- */

/* Is what stands in the target already the same? Only asked where a backing image shows through. */
static bool same_already(struct worker *w, uint64_t at, const uint8_t *p, uint32_t n, bool *same, struct err *e)
{
	*same = false;
	if (!block_backing(w->c->to) || w->c->a->no_create)
		return true;
	if (!block_read(w->c->to, at, w->old, n, e))
		return false;
	*same = !memcmp(p, w->old, (size_t)n * SECTOR);
	return true;
}

static bool put(struct worker *w, uint64_t at, const uint8_t *p, uint32_t n, bool zero, struct err *e)
{
	struct copy *c = w->c;
	size_t unit = (size_t)(p - w->buf) / SECTOR / c->unit;
	bool same;

	if (zero && c->fresh)
		return true;
	if (zero && !block_backing(c->to))
		return block_write_zeroes(c->to, at, n, true, e);
	if (!same_already(w, at, p, n, &same, e))
		return false;
	if (same)
		return true;
	if (zero)
		return block_write_zeroes(c->to, at, n, true, e);
	if (c->a->compress && w->zipped[unit])
		return qcow2_write_zipped(c->to, at, w->zip + (p - w->buf), w->zipped[unit], e);
	return block_write(c->to, at, p, n, e);
}

static bool unit_is_zero(const struct worker *w, uint32_t i, uint32_t n)
{
	return w->c->a->sparse && all_zero(w->buf + (size_t)i * SECTOR, min_u64(n - i, w->c->unit) * SECTOR);
}

/* n sectors of data in buf: units that are zeros and units that are not, runs of the latter at once. */
static bool put_data(struct worker *w, uint64_t at, uint32_t n, struct err *e)
{
	uint32_t unit = w->c->unit, most = w->c->a->compress ? unit : PIECE;

	for (uint32_t i = 0, k; i < n; i += k) {
		bool zero = unit_is_zero(w, i, n);
		k = (uint32_t)min_u64(n - i, unit);
		while (i + k < n && k < most && zero == unit_is_zero(w, i + k, n))
			k = (uint32_t)min_u64(n - i, k + unit);
		if (!put(w, at + i, w->buf + (size_t)i * SECTOR, k, zero, e))
			return false;
	}
	return true;
}

static void compress(struct worker *w, const struct piece *p)
{
	uint32_t unit = w->c->unit;

	for (uint32_t i = 0; i < p->n; i += unit) {
		size_t byte = (size_t)i * SECTOR;
		w->zipped[i / unit] = p->n - i < unit || unit_is_zero(w, i, p->n) ? 0
			: qcow2_zip(w->c->to, w->buf + byte, w->zip + byte);
	}
}

/* ---- threads ---- */

static void wait_for_turn(struct copy *c, const struct piece *p)
{
	pthread_mutex_lock(&c->lock);
	while (c->turn != p->number && !c->failed && !c->a->out_of_order)
		pthread_cond_wait(&c->turn_over, &c->lock);
	pthread_mutex_unlock(&c->lock);
}

static void turn_over(struct worker *w, const struct piece *p, bool ok)
{
	struct copy *c = w->c;

	pthread_mutex_lock(&c->lock);
	if (!ok && !c->failed) {
		c->failed = true;
		c->err = w->err;
	}
	c->turn++;
	progress(c->a, p->to + p->n, c->all);
	pthread_cond_broadcast(&c->turn_over);
	pthread_mutex_unlock(&c->lock);
}

static void *work(void *arg)
{
	struct worker *w = arg;
	struct piece p;

	while (take(w->c, &p)) {
		bool ok = p.skip || block_read(p.from, p.at, w->buf, p.n, &w->err);
		if (ok && !p.skip && w->c->a->compress)
			compress(w, &p);
		wait_for_turn(w->c, &p);
		ok = ok && (p.skip || put_data(w, p.to, p.n, &w->err));
		turn_over(w, &p, ok);
	}
	return NULL;
}

static bool worker_init(struct worker *w, struct copy *c)
{
	size_t n = (size_t)PIECE * SECTOR;

	*w = (struct worker){ .c = c, .buf = malloc(n), .old = malloc(n), .zip = malloc(n),
			      .zipped = calloc(PIECE, sizeof(*w->zipped)) };
	return w->buf && w->old && w->zip && w->zipped;
}

static void worker_fini(struct worker *w)
{
	free(w->buf);
	free(w->old);
	free(w->zip);
	free(w->zipped);
}

/* As many as -m says; without it as there are processors, from four (they wait for the disk, too) to eight. */
static int count_workers(const struct args *a)
{
	long cpus = sysconf(_SC_NPROCESSORS_ONLN), n = a->workers ? a->workers : cpus < 4 ? 4 : cpus < 8 ? cpus : 8;

	return n < 1 ? 1 : n > WORKERS ? WORKERS : (int)n;
}

static bool copy_all(struct copy *c, struct err *e)
{
	struct worker w[WORKERS];
	int n = count_workers(c->a), started = 0;
	bool ok = true;

	for (int i = 0; i < n; i++)
		ok &= worker_init(&w[i], c);
	if (!ok)
		err_set(&c->err, "no memory");
	while (ok && started < n && !pthread_create(&w[started].thread, NULL, work, &w[started]))
		started++;
	if (ok && !started)
		work(&w[0]);
	for (int i = 0; i < started; i++)
		pthread_join(w[i].thread, NULL);
	for (int i = 0; i < n; i++)
		worker_fini(&w[i]);
	*e = c->err;
	return ok && !c->failed;
}

/* ---- the images ---- */

static struct block *open_source(const struct args *a, const char *file, struct err *e)
{
	struct block *b = open_image(a, file, a->f, false, e);
	const char *name = a->l;

	if (!b || !name)
		return b;
	if (!strncmp(name, "snapshot.name=", 14) || !strncmp(name, "snapshot.id=", 12))
		name = strchr(name, '=') + 1;
	if (qcow2_snapshot_show(b, name, e))
		return b;
	block_close(b);
	return NULL;
}

static bool open_target(struct copy *c, uint64_t sectors, struct err *e)
{
	const struct args *a = c->a;
	const char *format = a->O ? a->O : "raw";
	struct new_image n = { .file = a->file[a->n - 1], .format = format, .size = sectors * SECTOR, .backing = a->b,
			       .backing_format = a->F, .quiet = true, .options = a->o };
	struct qcow2_info i = { 0 };

	if (!a->no_create && !new_image(&n, e))
		return false;
	if (!(c->to = open_image(a, n.file, a->no_create ? a->O : format, true, e)))
		return false;
	bool q = qcow2_info(c->to, &i, &(struct err){ 0 });
	if (a->compress && !q)
		return err_set(e, "Compression not supported for this file format");
	if (block_sectors(c->to) < sectors)
		return err_set(e, "'%s' is smaller than what is to be copied", n.file);
	c->fresh = !a->no_create && !block_backing(c->to);
	c->unit = a->compress ? i.cluster_size / SECTOR : (uint32_t)max_u64(1, min_u64(a->sparse / SECTOR, PIECE));
	return true;
}

static bool convert(struct copy *c, struct err *e)
{
	for (int i = 0; i < c->a->n - 1; i++) {
		if (!(c->from[i] = open_source(c->a, c->a->file[i], e)))
			return false;
		c->all += block_sectors(c->from[i]);
	}
	if (!open_target(c, c->all, e))
		return false;
	progress(c->a, 0, c->all ? c->all : 1);
	return copy_all(c, e) && block_flush(c->to, e);
}

int cmd_convert(const struct args *a)
{
	struct copy c = { .a = a, .from = calloc((size_t)a->n, sizeof(*c.from)), .lock = PTHREAD_MUTEX_INITIALIZER,
			  .turn_over = PTHREAD_COND_INITIALIZER };
	struct err e = { "no memory" };
	bool ok = c.from && convert(&c, &e);

	block_close(c.to);
	for (int i = 0; c.from && i < a->n - 1; i++)
		block_close(c.from[i]);
	free(c.from);
	return ok ? 0 : fail(&e);
}
