/* rhea-img measure: how much room an image needs. bench: how fast one is read or written. */
#include <inttypes.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/bits.h"
#include "tools/img/img.h"

/* ---- measure ---- */

static uint64_t clusters(uint64_t bytes, uint64_t size)
{
	return (bytes + size - 1) / size;
}

/* Clusters that are no data of a full image: header, tables, and what counts all of these. */
static uint64_t overhead(uint64_t bytes, const struct qcow2_create *c)
{
	uint64_t cs = c->cluster_size, data = clusters(bytes, cs), l2 = clusters(data * 8, cs);
	uint64_t fixed = 1 + l2 + clusters(clusters(bytes, cs * (cs / 8)) * 8, cs), blocks = 0, table = 0;

	for (;;) {
		uint64_t all = data + fixed + blocks + table, b = clusters(all * c->refcount_bits, cs * 8);
		uint64_t t = clusters(b * 8, cs);
		if (b == blocks && t == table)
			return fixed + blocks + table;
		blocks = b;
		table = t;
	}
}

/* Bytes of clusters that hold data anywhere in the chain. */
static bool count_data(struct block *b, uint32_t cluster, uint64_t *bytes, struct err *e)
{
	uint64_t unit = cluster / SECTOR, counted = 0;	/* up to here */

	*bytes = 0;
	for (uint64_t at = 0, n; at < block_sectors(b); at += n) {
		bool zero;
		n = block_sectors(b) - at;
		if (!zeros_at(b, at, &n, &zero, e))
			return false;
		uint64_t from = max_u64(align_down(at, unit), counted), to = align_up(at + n, unit);
		if (zero || to <= from)
			continue;
		*bytes += (to - from) * SECTOR;
		counted = to;
	}
	return true;
}

static int print_measure(const struct args *a, uint64_t required, uint64_t full, bool bitmaps)
{
	if (a->json)
		printf("{\n%s    \"required\": %" PRIu64 ",\n    \"fully-allocated\": %" PRIu64 "\n}\n",
		       bitmaps ? "    \"bitmaps\": 0,\n" : "", required, full);
	else
		printf("required size: %" PRIu64 "\nfully allocated size: %" PRIu64 "\n%s", required, full,
		       bitmaps ? "bitmaps size: 0\n" : "");
	return 0;
}

static bool open_measured(const struct args *a, struct block **b, uint64_t *size, struct err *e)
{
	*b = NULL;
	if (a->n && a->has_length)
		return err_set(e, "measure: give either --size or a file");
	if (!a->n && !a->has_length)
		return err_set(e, "measure: give --size or a file");
	*size = align_up(a->length, SECTOR);
	if (a->n && !(*b = open_image(a, a->file[0], a->f, false, e)))
		return false;
	if (*b)
		*size = block_sectors(*b) * SECTOR;
	return true;
}

int cmd_measure(const struct args *a)
{
	struct qcow2_create c = QCOW2_CREATE_DEFAULT;
	const char *format = a->O ? a->O : "raw";
	struct qcow2_info i = { 0 };
	uint64_t size = 0, data;
	struct block *b = NULL;
	struct err e;

	bool qcow2 = !strcmp(format, "qcow2");
	if (!qcow2 && strcmp(format, "raw"))
		return fail_with("Unknown file format '%s' (raw and qcow2 are known)", format);
	if (!parse_new_options(a->o, qcow2, &c, &e) || !open_measured(a, &b, &size, &e))
		return fail(&e);
	if (!qcow2) {
		block_close(b);
		return print_measure(a, size, size, false);
	}
	data = 0;
	bool ok = !b || count_data(b, c.cluster_size, &data, &e);
	bool bitmaps = ok && b && qcow2_info(b, &i, &e) && i.version >= 3;
	block_close(b);
	if (!ok)
		return fail(&e);
	uint64_t meta = overhead(size, &c) * c.cluster_size, all = align_up(size, c.cluster_size);
	bool full = c.prealloc == QCOW2_PREALLOC_FALLOC || c.prealloc == QCOW2_PREALLOC_FULL;
	return print_measure(a, meta + (full ? all : data), meta + all, bitmaps);
}

/* ---- bench ---- */

struct bench {
	const struct args *a;
	struct block *b;
	uint64_t first, step, range;	/* bytes */
	uint32_t size;
	pthread_mutex_t lock;
	long left, done;
	uint64_t at;
	struct err err;
	bool failed;
};

/* The next offset. False: enough. */
static bool next_offset(struct bench *k, uint64_t *at)
{
	pthread_mutex_lock(&k->lock);
	bool more = k->left-- > 0 && !k->failed;
	*at = k->at;
	k->at += k->step;
	if (k->at + k->size > k->range)
		k->at = 0;
	pthread_mutex_unlock(&k->lock);
	return more;
}

static bool flush_due(struct bench *k)
{
	pthread_mutex_lock(&k->lock);
	bool due = k->a->flush_interval && ++k->done % k->a->flush_interval == 0;
	pthread_mutex_unlock(&k->lock);
	return due;
}

static void *bench_work(void *arg)
{
	struct bench *k = arg;
	struct err e = { "no memory" };
	void *buf;
	uint64_t at;
	bool ok = !posix_memalign(&buf, 4096, k->size);

	if (ok)
		memset(buf, k->a->pattern, k->size);
	while (ok && next_offset(k, &at)) {
		uint32_t n = k->size / SECTOR;
		ok = k->a->write ? block_write(k->b, at / SECTOR, buf, n, &e) : block_read(k->b, at / SECTOR, buf, n, &e);
		ok = ok && (!flush_due(k) || block_flush(k->b, &e));
	}
	if (!ok) {
		pthread_mutex_lock(&k->lock);
		k->failed = true;
		k->err = e;
		pthread_mutex_unlock(&k->lock);
	} else {
		free(buf);
	}
	return NULL;
}

static double seconds(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static bool bench_setup(struct bench *k, struct err *e)
{
	const struct args *a = k->a;

	k->size = (uint32_t)(a->buffer ? a->buffer : 4096);
	k->step = a->step ? a->step : k->size;
	if (k->size % SECTOR || k->step % SECTOR || a->start % SECTOR)
		return err_set(e, "bench: offset, buffer size and step are multiples of %u bytes here", SECTOR);
	if (!(k->b = open_image(a, a->file[0], a->f, a->write, e)))
		return false;
	k->at = a->start;
	k->range = block_sectors(k->b) * SECTOR;
	k->left = a->count ? a->count : 75000;
	if (k->size > k->range || a->start > k->range - k->size)
		return err_set(e, "bench: the image is too small");
	return true;
}

int cmd_bench(const struct args *a)
{
	struct bench k = { .a = a, .lock = PTHREAD_MUTEX_INITIALIZER };
	int depth = a->depth ? a->depth : 64, started = 0;
	pthread_t thread[256];
	struct err e;

	if (!bench_setup(&k, &e)) {
		block_close(k.b);
		return fail(&e);
	}
	printf("Sending %ld %s requests, %u bytes each, %d in parallel (starting at offset %" PRIu64
	       ", step size %" PRIu64 ")\n", k.left, a->write ? "write" : "read", k.size, depth, a->start, k.step);
	if (a->flush_interval)
		printf("Sending flush every %d requests\n", a->flush_interval);
	double t = seconds();
	while (started < depth && !pthread_create(&thread[started], NULL, bench_work, &k))
		started++;
	for (int i = 0; i < started; i++)
		pthread_join(thread[i], NULL);
	if (!k.failed)
		printf("Run completed in %.3f seconds.\n", seconds() - t);
	block_close(k.b);
	return k.failed ? fail(&k.err) : 0;
}
