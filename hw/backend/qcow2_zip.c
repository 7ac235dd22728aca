/*
 * Compressed clusters: deflate without a header, or zstd where the library is there.
 * They stand at byte offsets, several to a cluster, and may go on in the next one.
 */
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "config.h"
#ifdef CONFIG_ZSTD
#include <zstd.h>
#endif

#include "hw/backend/qcow2_priv.h"

#define WINDOW_BITS	12	/* what other readers of the format expect */

bool qcow2_zip_supported(uint8_t type)
{
#ifdef CONFIG_ZSTD
	return type <= 1;
#else
	return type == 0;
#endif
}

struct qcow2_range qcow2_zip_range(const struct qcow2 *q, uint64_t entry)
{
	unsigned x = 62 - (q->cluster_bits - 8);
	uint64_t offset = entry & (BIT(x) - 1), sectors = bits(entry, 61, (int)x) + 1;
	return (struct qcow2_range){ offset, sectors * SECTOR - offset % SECTOR };
}

static bool inflate_cluster(const struct qcow2 *q, uint8_t *zip, size_t n, uint8_t *to)
{
	z_stream z = { .next_in = zip, .avail_in = (uInt)n, .next_out = to, .avail_out = q->cluster_size };
	if (inflateInit2(&z, -15) != Z_OK)
		return false;
	int r = inflate(&z, Z_FINISH);
	inflateEnd(&z);
	/* The data may end before the last sector does: a full cluster is what counts. */
	return (r == Z_STREAM_END || r == Z_BUF_ERROR || r == Z_OK) && z.avail_out == 0;
}

static size_t deflate_cluster(const struct qcow2 *q, const void *from, uint8_t *zip)
{
	z_stream z = { .next_in = (void *)from, .avail_in = q->cluster_size,
		       .next_out = zip, .avail_out = q->cluster_size - 1 };
	if (deflateInit2(&z, Z_DEFAULT_COMPRESSION, Z_DEFLATED, -WINDOW_BITS, 9, Z_DEFAULT_STRATEGY) != Z_OK)
		return 0;
	int r = deflate(&z, Z_FINISH);
	size_t n = q->cluster_size - 1 - z.avail_out;
	deflateEnd(&z);
	return r == Z_STREAM_END ? n : 0;
}

#ifdef CONFIG_ZSTD
static bool zstd_unpack(const struct qcow2 *q, uint8_t *zip, size_t n, uint8_t *to)
{
	ZSTD_inBuffer in = { zip, n, 0 };
	ZSTD_outBuffer out = { to, q->cluster_size, 0 };
	ZSTD_DCtx *z = ZSTD_createDCtx();
	size_t before, r = z ? 0 : 1;

	do {
		before = in.pos + out.pos;
		r = z ? ZSTD_decompressStream(z, &out, &in) : 1;
	} while (z && !ZSTD_isError(r) && out.pos < out.size && in.pos + out.pos > before);
	ZSTD_freeDCtx(z);
	return z && !ZSTD_isError(r) && out.pos == out.size;
}

static size_t zstd_pack(const struct qcow2 *q, const void *from, uint8_t *zip)
{
	size_t n = ZSTD_compress(zip, q->cluster_size - 1, from, q->cluster_size, ZSTD_CLEVEL_DEFAULT);
	return ZSTD_isError(n) ? 0 : n;
}
#else
static bool zstd_unpack(const struct qcow2 *q, uint8_t *zip, size_t n, uint8_t *to)
{
	(void)q, (void)zip, (void)n, (void)to;
	return false;
}

static size_t zstd_pack(const struct qcow2 *q, const void *from, uint8_t *zip)
{
	(void)q, (void)from, (void)zip;
	return 0;
}
#endif

/* Without the lock: a cluster's contents, to be freed, or NULL. */
static uint8_t *unzip(struct qcow2 *q, struct qcow2_range r, struct err *e)
{
	uint8_t *zip = malloc(r.bytes), *to = malloc(q->cluster_size);
	bool ok = zip && to ? block_file_read(&q->f, r.offset, zip, r.bytes, e)
			    : err_set(e, "'%s': no memory", q->block.file);

	if (ok && !(q->compression ? zstd_unpack : inflate_cluster)(q, zip, r.bytes, to))
		ok = err_set(e, "'%s': the compressed cluster at 0x%llx cannot be read", q->block.file,
			     (unsigned long long)r.offset);
	free(zip);
	if (ok)
		return to;
	free(to);
	return NULL;
}

static void put_part(const uint8_t *cluster, uint32_t off, const struct iovec *iov, int niov)
{
	iov_put(iov, niov, cluster + off);
}

bool qcow2_read_zipped(struct qcow2 *q, uint64_t entry, uint32_t off, const struct iovec *iov, int niov,
		       struct err *e)
{
	struct qcow2_range r = qcow2_zip_range(q, entry);
	uint64_t gone = q->zip_gone;

	if (entry == q->unzipped_entry) {
		put_part(q->unzipped, off, iov, niov);
		return true;
	}
	if (r.bytes > 2 * (uint64_t)q->cluster_size || r.offset > OFFSET_MASK)
		return qcow2_corrupt(q, e, "a compressed cluster at an impossible offset", r.offset);
	qcow2_leave(q);
	uint8_t *p = unzip(q, r, e);
	if (p)
		put_part(p, off, iov, niov);
	qcow2_enter(q);
	if (!p)
		return false;
	if (gone == q->zip_gone) {	/* else its place may be another's by now */
		uint8_t *old = q->unzipped;
		q->unzipped = p;
		q->unzipped_entry = entry;
		p = old;
	}
	free(p);
	return true;
}

/* Room for n bytes: behind the last compressed cluster if it fits there. 0: err. */
static uint64_t place(struct qcow2 *q, size_t n, struct err *e)
{
	uint64_t at = q->zip_at, room = at ? q->cluster_size - at % q->cluster_size : 0, next, count = 0;

	if (at && !qcow2_refcount_get(q, at >> q->cluster_bits, &count, e))
		return 0;
	if (at && n <= room && count < qcow2_refcount_max(q))
		return qcow2_refcount_add(q, at >> q->cluster_bits, 1, e) ? at : 0;
	if (!(next = qcow2_alloc(q, 1, e)))
		return 0;
	if (!at || next != align_up(at, q->cluster_size) || count >= qcow2_refcount_max(q))
		return next;
	return qcow2_refcount_add(q, at >> q->cluster_bits, 1, e) ? at : 0;
}

static bool store(struct qcow2 *q, uint64_t cluster, const uint8_t *zip, size_t n, struct err *e)
{
	unsigned x = 62 - (q->cluster_bits - 8);
	uint64_t at = place(q, n, e);

	if (!at)
		return false;
	uint64_t sectors = (at + n - 1) / SECTOR - at / SECTOR;
	if (at >= BIT(x))
		return err_set(e, "'%s': the image is too large for compressed clusters", q->block.file);
	if (!qcow2_write_bytes(q, at, zip, n, e))
		return false;
	q->zip_at = (at + n) % q->cluster_size ? at + n : 0;
	return qcow2_set_entry(q, cluster, FLAG_COMPRESSED | sectors << x | at, true, e);
}

size_t qcow2_zip(struct block *b, const void *cluster, uint8_t *zip)
{
	const struct qcow2 *q = to_qcow2(b);

	return (q->compression ? zstd_pack : deflate_cluster)(q, cluster, zip);
}

bool qcow2_write_zipped(struct block *b, uint64_t at, const uint8_t *zip, size_t n, struct err *e)
{
	struct qcow2 *q = to_qcow2(b);

	pthread_mutex_lock(&q->lock);
	bool ok = qcow2_begin_write(q, e) && store(q, at * SECTOR >> q->cluster_bits, zip, n, e) && qcow2_settle(q, e);
	pthread_mutex_unlock(&q->lock);
	return ok;
}

bool qcow2_write_compressed(struct block *b, uint64_t at, const void *buf, uint32_t n, struct err *e)
{
	struct qcow2_info i;

	if (!qcow2_info(b, &i, e))
		return false;
	uint8_t *zip = malloc(i.cluster_size);
	if (!zip)
		return err_set(e, "'%s': no memory", b->file);
	size_t size = (uint64_t)n * SECTOR == i.cluster_size ? qcow2_zip(b, buf, zip) : 0;
	bool ok = !size || qcow2_write_zipped(b, at, zip, size, e);
	free(zip);
	return size ? ok : block_write(b, at, buf, n, e);
}
