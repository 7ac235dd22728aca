/*
 * virtio-blk: a disk. A request is a header (type, sector), data, and a byte for the
 * status, the last one the device may write.
 *
 *	type	0 read, 1 write, 4 flush, 8 identity, 11 discard, 13 write zeroes
 *
 * What a driver offers is handed to the drive at once, data as they lie in guest memory,
 * up to as many requests as the queues have entries; each is given back when it is done,
 * in whatever order. Request sizes are bounded by the limits the device announces:
 * SEG_MAX segments of at most SIZE_MAX bytes.
 *
 * Not modelled: secure erase, zoned disks, SCSI commands, lifetime.
 * Source: Virtio 1.2, 5.2.
 */
#include "hw/virtio/virtio_blk.h"

#include <stdlib.h>
#include <string.h>

#include "hw/backend/drive.h"
#include "hw/core/sg.h"
#include "hw/virtio/virtio_pool.h"

#define F_SIZE_MAX	BIT(1)
#define F_SEG_MAX	BIT(2)
#define F_RO		BIT(5)
#define F_BLK_SIZE	BIT(6)
#define F_FLUSH		BIT(9)
#define F_TOPOLOGY	BIT(10)
#define F_CONFIG_WCE	BIT(11)
#define F_MQ		BIT(12)
#define F_DISCARD	BIT(13)
#define F_WRITE_ZEROES	BIT(14)

enum { T_IN = 0, T_OUT = 1, T_FLUSH = 4, T_GET_ID = 8, T_DISCARD = 11, T_WRITE_ZEROES = 13 };
enum { S_OK = 0, S_IOERR = 1, S_UNSUPP = 2 };
#define UNDER_WAY	(-1)		/* in the place of a status */

/* 5.2.4: offsets in the device configuration */
enum {
	C_CAPACITY = 0, C_SIZE_MAX = 8, C_SEG_MAX = 12, C_BLK_SIZE = 20, C_ALIGN_EXP = 25,
	C_MIN_IO = 26, C_OPT_IO = 28, C_WRITEBACK = 32, C_NUM_QUEUES = 34, C_MAX_DISCARD = 36,
	C_MAX_DISCARD_SEG = 40, C_DISCARD_ALIGN = 44, C_MAX_ZEROES = 48, C_MAX_ZEROES_SEG = 52,
	C_ZEROES_MAY_UNMAP = 56, C_LEN = 60,
};

#define QUEUE_SIZE	256u
#define SEG_MAX		(QUEUE_SIZE - 2)
#define SIZE_MAX_BYTES	(1u << 20)
#define ID_LEN		20u
#define HEADER_LEN	16u
#define MAX_RANGES	16u		/* of a discard or write-zeroes request */
#define RANGE_LEN	16u
#define MAX_RANGE_SECTORS (1u << 15)
#define FLAG_UNMAP	1u

struct virtio_blk {
	struct virtio v;
	struct drive *drive;		/* property */
	char *serial;			/* property */
	uint16_t num_queues;		/* property */
	bool write_cache;		/* property */
	struct drive_wishes wishes;	/* properties */
	struct virtio_pool pool;
};

struct request {
	struct virtio_item item;
	struct drive_req r;
	struct virtio_blk *d;
	struct sg sg;
	struct vbuf_head head;
	unsigned queue;
	uint64_t status_at;		/* guest address */
	bool flush;			/* a write that is to be permanent */
	unsigned range, n_ranges;	/* done, there are */
	struct range { uint64_t at; uint32_t n, flags; } ranges[MAX_RANGES];
};

static const struct virtio_class blk_class;

/* ---- requests under way ---- */

static struct request *new_request(struct virtio_blk *d, unsigned q)
{
	struct request *x = virtio_pool_take(&d->pool, sizeof(*x));

	if (!x)
		return NULL;
	x->d = d;
	x->queue = q;
	x->head = d->v.buf.head;
	x->status_at = vbuf_in_address(&d->v.buf, d->v.buf.in_len - 1);
	x->flush = false;
	x->range = x->n_ranges = 0;
	return x;
}

static void give_back(struct request *x)
{
	virtio_pool_give(&x->d->pool, &x->item);
}

static void cancel_all(struct virtio_blk *d)
{
	for (struct request *x; (x = (struct request *)d->pool.under_way); give_back(x))
		drive_cancel(&x->r);
}

/* The driver gets its buffer back. */
static void answer(struct request *x, uint8_t status, uint32_t written, bool interrupt)
{
	struct virtio *v = &x->d->v;
	unsigned q = x->queue;

	if (virtio_running(v) && v->q[q].enabled && virtio_mem_write(v, x->status_at, &status, 1)) {
		virtq_push_head(v, q, x->head, written + 1);
		if (interrupt)
			virtq_interrupt(v, q);
	}
	give_back(x);
}

/* Writes are permanent when they are done, unless the driver flushes itself. */
static bool writes_through(const struct virtio_blk *d)
{
	return virtio_has(&d->v, F_CONFIG_WCE) ? !d->v.config[C_WRITEBACK] : !virtio_has(&d->v, F_FLUSH);
}

static void start_range(struct request *x)
{
	const struct range *g = &x->ranges[x->range++];

	x->r.at = g->at;
	x->r.n = g->n;
	x->r.unmap = g->flags & FLAG_UNMAP;
	drive_submit(x->d->drive, &x->r);
}

static void done(struct drive_req *r)
{
	struct request *x = container_of(r, struct request, r);
	uint64_t read = r->ok && r->op == DRIVE_READ ? (uint64_t)r->n * SECTOR : 0;

	if (read)
		sg_written(&x->sg, read);
	if (r->ok && x->range < x->n_ranges) {
		start_range(x);
	} else if (r->ok && x->flush) {
		x->flush = false;
		r->op = DRIVE_FLUSH;
		drive_submit(x->d->drive, r);
	} else {
		answer(x, r->ok ? S_OK : S_IOERR, (uint32_t)read, true);
	}
}

/* ---- what drivers ask ---- */

/* A transfer the driver may ask for: whole sectors, inside the disk. */
static bool in_disk(const struct virtio_blk *d, uint64_t sector, uint64_t bytes)
{
	uint64_t n = bytes / SECTOR, all = drive_sectors(d->drive);
	return !(bytes % SECTOR) && bytes <= (uint64_t)SEG_MAX * SIZE_MAX_BYTES && n <= all && sector <= all - n;
}

static int transfer(struct request *x, uint64_t sector, bool write)
{
	struct virtio_blk *d = x->d;
	const struct vbuf *b = &d->v.buf;
	uint64_t bytes = write ? b->out_len - HEADER_LEN : b->in_len - 1;

	if ((write && drive_readonly(d->drive)) || !in_disk(d, sector, bytes))
		return S_IOERR;
	sg_begin(&x->sg, d->v.pci.dev.m, !write);
	x->sg.ram_only = true;
	if (!vbuf_sg(&d->v, b, !write, write ? HEADER_LEN : 0, bytes, &x->sg))
		return S_IOERR;
	x->flush = write && writes_through(d);
	x->r = (struct drive_req){ .op = write ? DRIVE_WRITE : DRIVE_READ, .at = sector,
				   .n = (uint32_t)(bytes / SECTOR), .iov = x->sg.iov, .niov = x->sg.n, .done = done };
	drive_submit(d->drive, &x->r);
	return UNDER_WAY;
}

static int flush(struct request *x)
{
	x->r = (struct drive_req){ .op = DRIVE_FLUSH, .done = done };
	drive_submit(x->d->drive, &x->r);
	return UNDER_WAY;
}

/* Discard and write zeroes: a list of { sector u64, sectors u32, flags u32 }. */
static int ranges(struct request *x, bool zero)
{
	struct virtio_blk *d = x->d;
	const struct vbuf *b = &d->v.buf;
	uint64_t len = b->out_len - HEADER_LEN;
	uint8_t p[RANGE_LEN];

	if (drive_readonly(d->drive) || !len || len % RANGE_LEN || len > MAX_RANGES * RANGE_LEN)
		return S_IOERR;
	for (uint64_t at = 0; at < len; at += RANGE_LEN) {
		if (!vbuf_read(&d->v, b, HEADER_LEN + at, p, RANGE_LEN))
			return S_IOERR;
		struct range g = { ld64(p), ld32(p + 8), ld32(p + 12) };
		if (g.flags & ~(zero ? FLAG_UNMAP : 0))
			return S_UNSUPP;
		if (g.n > MAX_RANGE_SECTORS || !in_disk(d, g.at, (uint64_t)g.n * SECTOR))
			return S_IOERR;
		x->ranges[x->n_ranges++] = g;
	}
	x->flush = writes_through(d);
	x->r = (struct drive_req){ .op = zero ? DRIVE_ZERO : DRIVE_DISCARD, .done = done };
	start_range(x);
	return UNDER_WAY;
}

static int tell_id(struct virtio_blk *d, uint32_t *written)
{
	const struct vbuf *b = &d->v.buf;
	const char *serial = d->serial ? d->serial : drive_serial(d->drive);
	char id[ID_LEN] = { 0 };
	uint64_t n = min_u64(b->in_len - 1, ID_LEN);

	if (serial)
		memcpy(id, serial, strnlen(serial, ID_LEN));
	*written = (uint32_t)n;
	return vbuf_write(&d->v, b, 0, id, n) ? S_OK : S_IOERR;
}

static int request(struct request *x, uint32_t *written)
{
	struct virtio_blk *d = x->d;
	uint8_t h[HEADER_LEN];

	if (!vbuf_read(&d->v, &d->v.buf, 0, h, HEADER_LEN))
		return S_IOERR;
	switch (ld32(h)) {
	case T_IN: return transfer(x, ld64(h + 8), false);
	case T_OUT: return transfer(x, ld64(h + 8), true);
	case T_FLUSH: return flush(x);
	case T_GET_ID: return tell_id(d, written);
	case T_DISCARD: return ranges(x, false);
	case T_WRITE_ZEROES: return ranges(x, true);
	default: return S_UNSUPP;
	}
}

static bool serve(struct virtio *v, unsigned q)
{
	struct virtio_blk *d = (struct virtio_blk *)v;
	uint32_t written = 0;

	if (v->buf.out_len < HEADER_LEN || !v->buf.in_len)
		return virtio_broken(v, "a block request without header or status");
	if (d->pool.n >= v->n_queues * QUEUE_SIZE)
		return virtio_broken(v, "more requests under way than the queues hold");
	struct request *x = new_request(d, q);
	if (!x)
		return virtio_broken(v, "no memory for its requests");
	int status = request(x, &written);
	if (status != UNDER_WAY)
		answer(x, (uint8_t)status, written, false);	/* virtio_serve() interrupts */
	return virtio_running(v);
}

static void blk_run(struct virtio *v, unsigned q)
{
	virtio_serve(v, q, serve);
}

/* ---- life ---- */

static void fill_config(struct virtio_blk *d)
{
	uint8_t *c = d->v.config;

	st64(c + C_CAPACITY, drive_sectors(d->drive));
	st32(c + C_SIZE_MAX, SIZE_MAX_BYTES);
	st32(c + C_SEG_MAX, SEG_MAX);
	st32(c + C_BLK_SIZE, SECTOR);
	st16(c + C_MIN_IO, 1);
	st16(c + C_NUM_QUEUES, (uint16_t)d->v.n_queues);
	st32(c + C_MAX_DISCARD, MAX_RANGE_SECTORS);
	st32(c + C_MAX_DISCARD_SEG, MAX_RANGES);
	st32(c + C_DISCARD_ALIGN, 1);
	st32(c + C_MAX_ZEROES, MAX_RANGE_SECTORS);
	st32(c + C_MAX_ZEROES_SEG, MAX_RANGES);
	c[C_ZEROES_MAY_UNMAP] = 1;
}

/* Only the write cache's mode may be changed. */
static void config_written(struct virtio *v, unsigned off, unsigned n)
{
	struct virtio_blk *d = (struct virtio_blk *)v;
	bool writeback = v->config[C_WRITEBACK] & 1;

	(void)off, (void)n;
	fill_config(d);
	v->config[C_WRITEBACK] = writeback;
}

static void resized(void *opaque)
{
	struct virtio_blk *d = opaque;

	fill_config(d);
	virtio_config_changed(&d->v);
}

static const struct drive_user user = { .name = "a virtio disk", .resized = resized };

static bool take_drive(struct virtio_blk *d, struct err *e)
{
	if (!drive_present(d->drive))
		return err_set(e, "drive '%s' has no image, which a disk needs", drive_id(d->drive));
	if (!d->num_queues || d->num_queues > VIRTIO_MAX_QUEUES)
		return err_set(e, "num-queues=%u: there may be 1 to %d", d->num_queues, VIRTIO_MAX_QUEUES);
	return drive_attach(d->drive, &user, d, e);
}

static bool blk_init(void *dev, struct err *e)
{
	struct virtio_blk *d = dev;
	uint64_t more;

	if (!d->drive)
		return err_set(e, "a disk needs drive=ID of a -drive if=none,id=ID");
	if (!take_drive(d, e)) {
		d->drive = NULL;		/* it may be another's */
		return false;
	}
	d->v.n_queues = d->num_queues;
	if (!drive_wish(d->drive, &d->wishes, e))
		return false;
	fill_config(d);
	more = (drive_readonly(d->drive) ? F_RO : F_DISCARD | F_WRITE_ZEROES) | (d->num_queues > 1 ? F_MQ : 0)
		| (d->write_cache ? F_FLUSH : 0);
	return virtio_init(&d->v, &blk_class, more, e);
}

static void blk_fini(void *dev)
{
	struct virtio_blk *d = dev;

	if (!d->drive)
		return;
	cancel_all(d);
	for (struct request *x; (x = virtio_pool_drop(&d->pool)); free(x))
		sg_fini(&x->sg);
	virtio_fini(&d->v);
	drive_detach(d->drive);
	d->drive = NULL;
}

/* By the machine or the driver. */
static void class_reset(struct virtio *v)
{
	struct virtio_blk *d = (struct virtio_blk *)v;

	cancel_all(d);
	v->config[C_WRITEBACK] = d->write_cache;
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
	.features = F_SIZE_MAX | F_SEG_MAX | F_BLK_SIZE | F_TOPOLOGY | F_CONFIG_WCE,
	.n_queues = 1, .queue_size = QUEUE_SIZE, .config_len = C_LEN, .run = blk_run, .reset = class_reset,
	.config_written = config_written,
};

#define BLK_PROPS \
	PROP_REF("drive", virtio_blk, drive, "drive", "the image, a -drive's id"), \
	PROP_TEXT(virtio_blk, serial, "serial", NULL, "what the disk calls itself"), \
	PROP(U16, virtio_blk, num_queues, "num-queues", 1, "how many queues the driver may use, 1 to 64"), \
	PROP(BOOL, virtio_blk, write_cache, "write-cache", 1, "tell the driver to flush what it wants to be permanent"), \
	PROP_DRIVE_WISHES(virtio_blk, wishes)
static const struct prop blk_props[] = {
	BLK_PROPS, PROP_BOOTINDEX, { 0 }
};
static const struct prop blk_bus_props[] = {
	BLK_PROPS, { 0 }
};

static void blk_boot_path(const void *dev, char *buf)
{
	pci_boot_path(dev, buf);
	dev_boot_path_add(buf, "/disk@0,0");
}

const struct dev_type virtio_blk_type = {
	.name = "virtio-blk-pci", .alias = "virtio-blk", .bus = "pci", .help = "a disk",
	.size = sizeof(struct virtio_blk), .version = 2, .props = blk_props,
	.bus_props = virtio_props, .bus_state = virtio_state,
	.init = blk_init, .fini = blk_fini, .reset = blk_reset, .loaded = blk_loaded,
	.boot_path = blk_boot_path, .boot_letter = 'c',
};

const struct dev_type virtio_blk_bus_type = {
	.name = "virtio-blk-device", .bus = "virtio-bus", .help = "a disk",
	.size = sizeof(struct virtio_blk), .version = 2, .props = blk_bus_props,
	.bus_props = virtio_bus_props, .bus_state = virtio_bus_state,
	.init = blk_init, .fini = blk_fini, .reset = blk_reset, .loaded = blk_loaded,
};
