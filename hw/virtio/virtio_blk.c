/*
 * virtio-blk: a disk. A request is a header (type, sector), data, and a byte for the
 * status, the last one the device may write.
 *
 *	type	0 read, 1 write, 4 flush, 8 identity, 11 discard, 13 write zeroes
 *
 * Transfers complete within the notification. Request sizes are bounded by the limits
 * the device announces: SEG_MAX segments of at most SIZE_MAX bytes.
 *
 * Not modelled: several queues, secure erase, zoned disks, SCSI commands, lifetime.
 * Source: Virtio 1.2, 5.2.
 */
#include "hw/virtio/virtio_blk.h"

#include <stdlib.h>
#include <string.h>

#include "hw/backend/block.h"

#define F_SIZE_MAX	BIT(1)
#define F_SEG_MAX	BIT(2)
#define F_RO		BIT(5)
#define F_BLK_SIZE	BIT(6)
#define F_FLUSH		BIT(9)
#define F_TOPOLOGY	BIT(10)
#define F_DISCARD	BIT(13)
#define F_WRITE_ZEROES	BIT(14)

enum { T_IN = 0, T_OUT = 1, T_FLUSH = 4, T_GET_ID = 8, T_DISCARD = 11, T_WRITE_ZEROES = 13 };
enum { S_OK = 0, S_IOERR = 1, S_UNSUPP = 2 };

/* 5.2.4: offsets in the device configuration */
enum {
	C_CAPACITY = 0, C_SIZE_MAX = 8, C_SEG_MAX = 12, C_BLK_SIZE = 20, C_ALIGN_EXP = 25,
	C_MIN_IO = 26, C_OPT_IO = 28, C_MAX_DISCARD = 36, C_MAX_DISCARD_SEG = 40, C_DISCARD_ALIGN = 44,
	C_MAX_ZEROES = 48, C_MAX_ZEROES_SEG = 52, C_ZEROES_MAY_UNMAP = 56, C_LEN = 60,
};

#define QUEUE_SIZE	256u
#define SEG_MAX		(QUEUE_SIZE - 2)
#define SIZE_MAX_BYTES	(1u << 20)
#define ID_LEN		20u
#define HEADER_LEN	16u
#define PIECE_SECTORS	256u		/* moved at once */
#define MAX_RANGES	16u		/* of a discard or write-zeroes request */
#define RANGE_LEN	16u
#define MAX_RANGE_SECTORS (1u << 15)
#define FLAG_UNMAP	1u

struct virtio_blk {
	struct virtio v;
	struct block *block;		/* property */
	char *serial;			/* property */
	uint8_t *piece;
};

static const struct virtio_class blk_class;

/* ---- requests ---- */

static uint8_t failed(struct virtio_blk *d, const struct err *e)
{
	warn("%s: %s", d->v.pci.dev.id, e->msg);
	return S_IOERR;
}

/* A transfer the driver may ask for: whole sectors, inside the disk. */
static bool in_disk(const struct virtio_blk *d, uint64_t sector, uint64_t bytes)
{
	uint64_t n = bytes / SECTOR, all = block_sectors(d->block);
	return !(bytes % SECTOR) && bytes <= (uint64_t)SEG_MAX * SIZE_MAX_BYTES && n <= all && sector <= all - n;
}

static uint8_t read_disk(struct virtio_blk *d, const struct vbuf *b, uint64_t sector, uint32_t *written)
{
	uint64_t bytes = b->in_len - 1;
	struct err e;

	if (!in_disk(d, sector, bytes))
		return S_IOERR;
	for (uint64_t at = 0; at < bytes; at += PIECE_SECTORS * SECTOR) {
		uint64_t k = min_u64(bytes - at, PIECE_SECTORS * SECTOR);
		if (!block_read(d->block, sector + at / SECTOR, d->piece, (uint32_t)(k / SECTOR), &e))
			return failed(d, &e);
		if (!vbuf_write(&d->v, b, at, d->piece, k))
			return S_IOERR;
		*written = (uint32_t)(at + k);
	}
	return S_OK;
}

static uint8_t write_disk(struct virtio_blk *d, const struct vbuf *b, uint64_t sector)
{
	uint64_t bytes = b->out_len - HEADER_LEN;
	struct err e;

	if (block_readonly(d->block) || !in_disk(d, sector, bytes))
		return S_IOERR;
	for (uint64_t at = 0; at < bytes; at += PIECE_SECTORS * SECTOR) {
		uint64_t k = min_u64(bytes - at, PIECE_SECTORS * SECTOR);
		if (!vbuf_read(&d->v, b, HEADER_LEN + at, d->piece, k))
			return S_IOERR;
		if (!block_write(d->block, sector + at / SECTOR, d->piece, (uint32_t)(k / SECTOR), &e))
			return failed(d, &e);
	}
	/* Without FLUSH the driver takes a completed write for a safe one. */
	if (!virtio_has(&d->v, F_FLUSH) && !block_flush(d->block, &e))
		return failed(d, &e);
	return S_OK;
}

static uint8_t flush_disk(struct virtio_blk *d)
{
	struct err e;
	return block_flush(d->block, &e) ? S_OK : failed(d, &e);
}

static uint8_t tell_id(struct virtio_blk *d, const struct vbuf *b, uint32_t *written)
{
	char id[ID_LEN] = { 0 };
	uint64_t n = min_u64(b->in_len - 1, ID_LEN);

	if (d->serial)
		memcpy(id, d->serial, strnlen(d->serial, ID_LEN));
	*written = (uint32_t)n;
	return vbuf_write(&d->v, b, 0, id, n) ? S_OK : S_IOERR;
}

/* Discard and write zeroes: a list of { sector u64, sectors u32, flags u32 }. */
static uint8_t ranges(struct virtio_blk *d, const struct vbuf *b, bool zero)
{
	uint64_t len = b->out_len - HEADER_LEN;
	uint8_t r[RANGE_LEN];
	struct err e;

	if (block_readonly(d->block) || !len || len % RANGE_LEN || len > MAX_RANGES * RANGE_LEN)
		return S_IOERR;
	for (uint64_t at = 0; at < len; at += RANGE_LEN) {
		if (!vbuf_read(&d->v, b, HEADER_LEN + at, r, RANGE_LEN))
			return S_IOERR;
		uint32_t n = ld32(r + 8), flags = ld32(r + 12);
		if (flags & ~(zero ? FLAG_UNMAP : 0))
			return S_UNSUPP;
		if (n > MAX_RANGE_SECTORS || !in_disk(d, ld64(r), (uint64_t)n * SECTOR))
			return S_IOERR;
		if (!(zero ? block_write_zeroes(d->block, ld64(r), n, flags & FLAG_UNMAP, &e)
			   : block_discard(d->block, ld64(r), n, &e)))
			return failed(d, &e);
	}
	return S_OK;
}

static uint8_t request(struct virtio_blk *d, const struct vbuf *b, uint32_t *written)
{
	uint8_t h[HEADER_LEN];

	if (!vbuf_read(&d->v, b, 0, h, HEADER_LEN))
		return S_IOERR;
	switch (ld32(h)) {
	case T_IN: return read_disk(d, b, ld64(h + 8), written);
	case T_OUT: return write_disk(d, b, ld64(h + 8));
	case T_FLUSH: return flush_disk(d);
	case T_GET_ID: return tell_id(d, b, written);
	case T_DISCARD: return ranges(d, b, false);
	case T_WRITE_ZEROES: return ranges(d, b, true);
	default: return S_UNSUPP;
	}
}

static bool serve(struct virtio *v, unsigned q)
{
	struct virtio_blk *d = (struct virtio_blk *)v;
	struct vbuf *b = &v->buf;
	uint32_t written = 0;

	if (b->out_len < HEADER_LEN || !b->in_len)
		return virtio_broken(v, "a block request without header or status");
	uint8_t status = request(d, b, &written);
	if (!vbuf_write(v, b, b->in_len - 1, &status, 1))
		return false;
	virtq_push(v, q, b, written + 1);
	return true;
}

static void blk_run(struct virtio *v, unsigned q)
{
	virtio_serve(v, q, serve);
}

/* ---- life ---- */

static void fill_config(struct virtio_blk *d)
{
	uint8_t *c = d->v.config;

	st64(c + C_CAPACITY, block_sectors(d->block));
	st32(c + C_SIZE_MAX, SIZE_MAX_BYTES);
	st32(c + C_SEG_MAX, SEG_MAX);
	st32(c + C_BLK_SIZE, SECTOR);
	st16(c + C_MIN_IO, 1);
	st32(c + C_MAX_DISCARD, MAX_RANGE_SECTORS);
	st32(c + C_MAX_DISCARD_SEG, MAX_RANGES);
	st32(c + C_DISCARD_ALIGN, 1);
	st32(c + C_MAX_ZEROES, MAX_RANGE_SECTORS);
	st32(c + C_MAX_ZEROES_SEG, MAX_RANGES);
	c[C_ZEROES_MAY_UNMAP] = 1;
}

static bool blk_init(void *dev, struct err *e)
{
	struct virtio_blk *d = dev;

	if (!d->block)
		return err_set(e, "a disk needs drive=ID of a -drive if=none,id=ID");
	d->piece = malloc(PIECE_SECTORS * SECTOR);
	if (!d->piece)
		return err_set(e, "no memory");
	fill_config(d);
	return virtio_init(&d->v, &blk_class, block_readonly(d->block) ? F_RO : F_DISCARD | F_WRITE_ZEROES, e);
}

static void blk_fini(void *dev)
{
	struct virtio_blk *d = dev;

	virtio_fini(&d->v);
	free(d->piece);
	d->piece = NULL;
}

static void blk_reset(void *dev)
{
	virtio_reset(dev);
}

static bool blk_loaded(void *dev, struct err *e)
{
	fill_config(dev);
	return virtio_loaded(dev, e);
}

static const struct virtio_class blk_class = {
	.id = 2, .legacy_id = 0x1001, .pci_class = 0x010000,
	.features = F_SIZE_MAX | F_SEG_MAX | F_BLK_SIZE | F_FLUSH | F_TOPOLOGY,
	.n_queues = 1, .queue_size = QUEUE_SIZE, .config_len = C_LEN, .run = blk_run,
};

static const struct prop blk_props[] = {
	PROP_REF("drive", virtio_blk, block, "drive", "the image, a -drive's id"),
	PROP_TEXT(virtio_blk, serial, "serial", NULL, "what the disk calls itself"),
	{ 0 }
};

const struct dev_type virtio_blk_type = {
	.name = "virtio-blk-pci", .alias = "virtio-blk", .bus = "pci", .help = "a disk",
	.size = sizeof(struct virtio_blk), .version = 1, .props = blk_props,
	.bus_props = virtio_props, .bus_state = virtio_state,
	.init = blk_init, .fini = blk_fini, .reset = blk_reset, .loaded = blk_loaded,
};
