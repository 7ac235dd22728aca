/*
 * Disk images: bounds, write policy, and the overlay of -snapshot.
 *
 * The overlay keeps written chunks in memory, in a two-level table by chunk
 * number; a chunk is filled from the image when it is first written. Its lock
 * covers the table: chunks stay where they are until the image is closed.
 */
#include "hw/backend/block.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/bits.h"
#include "hw/backend/block_file.h"
#include "hw/backend/iov.h"

/* ---- overlay ---- */

#define CHUNK_SECTORS	128u		/* 64 KiB */
#define LEAF		1024u

struct block_overlay {
	pthread_mutex_t lock;
	uint64_t nleaves;
	uint8_t ***leaf;		/* leaf[i][j]: chunk i * LEAF + j, or NULL */
};

static struct block_overlay *overlay_new(uint64_t sectors)
{
	struct block_overlay *o = calloc(1, sizeof(*o));
	if (!o)
		return NULL;
	pthread_mutex_init(&o->lock, NULL);
	o->nleaves = sectors / CHUNK_SECTORS / LEAF + 1;
	o->leaf = calloc(o->nleaves, sizeof(*o->leaf));
	if (!o->leaf) {
		free(o);
		return NULL;
	}
	return o;
}

static void overlay_free(struct block_overlay *o)
{
	if (!o)
		return;
	for (uint64_t i = 0; i < o->nleaves; i++) {
		for (unsigned j = 0; o->leaf[i] && j < LEAF; j++)
			free(o->leaf[i][j]);
		free(o->leaf[i]);
	}
	pthread_mutex_destroy(&o->lock);
	free(o->leaf);
	free(o);
}

static uint8_t *overlay_find(struct block_overlay *o, uint64_t chunk)
{
	pthread_mutex_lock(&o->lock);
	uint8_t **leaf = o->leaf[chunk / LEAF], *p = leaf ? leaf[chunk % LEAF] : NULL;
	pthread_mutex_unlock(&o->lock);
	return p;
}

/* The chunk to write to, made from the image if it is new. */
static uint8_t *make_chunk(struct block *b, uint64_t chunk, struct err *e)
{
	uint8_t ***leaf = &b->overlay->leaf[chunk / LEAF];
	uint64_t first = chunk * CHUNK_SECTORS;
	uint32_t n = (uint32_t)min_u64(CHUNK_SECTORS, b->sectors - first);

	if (!*leaf)
		*leaf = calloc(LEAF, sizeof(**leaf));
	uint8_t *p = *leaf ? (*leaf)[chunk % LEAF] : NULL;
	if (p)
		return p;
	if (*leaf)
		p = malloc((size_t)CHUNK_SECTORS * SECTOR);
	if (!p) {
		err_set(e, "no memory for changes to '%s'", b->file);
		return NULL;
	}
	struct iovec v = { p, (size_t)n * SECTOR };
	if (!b->ops->readv(b, first, &v, 1, n, e)) {
		free(p);
		return NULL;
	}
	return (*leaf)[chunk % LEAF] = p;
}

static uint8_t *overlay_make(struct block *b, uint64_t chunk, struct err *e)
{
	pthread_mutex_lock(&b->overlay->lock);
	uint8_t *p = make_chunk(b, chunk, e);
	pthread_mutex_unlock(&b->overlay->lock);
	return p;
}

enum overlay_op { OVERLAY_READ, OVERLAY_READ_NOW, OVERLAY_WRITE };

/* Sectors of one chunk. */
static bool overlay_part(struct block *b, uint64_t at, const struct iovec *iov, int niov, uint32_t n, enum overlay_op op,
			 struct err *e)
{
	uint64_t chunk = at / CHUNK_SECTORS;
	uint8_t *p = op == OVERLAY_WRITE ? overlay_make(b, chunk, e) : overlay_find(b->overlay, chunk);
	uint8_t *first = p ? p + at % CHUNK_SECTORS * SECTOR : NULL;

	if (op == OVERLAY_WRITE && p)
		iov_get(iov, niov, first);
	else if (p)
		iov_put(iov, niov, first);
	else if (op == OVERLAY_READ)
		return b->ops->readv(b, at, iov, niov, n, e);
	else
		return op == OVERLAY_READ_NOW && b->ops->read_now(b, at, iov, niov, n);
	return true;
}

/* Go through a transfer chunk by chunk. */
static bool overlay_transfer(struct block *b, uint64_t at, const struct iovec *iov, int niov, uint32_t n, enum overlay_op op,
			     struct err *e)
{
	struct iovec part[IOV_PIECES];

	for (uint32_t done = 0, k; done < n; done += k, at += k) {
		k = (uint32_t)min_u64(n - done, CHUNK_SECTORS - at % CHUNK_SECTORS);
		int np = iov_slice(iov, niov, (size_t)done * SECTOR, (size_t)k * SECTOR, part);
		if (!overlay_part(b, at, part, np, k, op, e))
			return false;
	}
	return true;
}

/* ---- interface ---- */

#define MAX_CHAIN 64

static const struct format {
	const char *name;
	struct block *(*open)(const struct block_options *o, struct err *e);
} formats[] = {
	{ "null-co", block_null_open },
	{ "raw",   block_raw_open },
	{ "qcow2", block_qcow2_open },
};

bool block_cache_mode(struct block_options *o, const char *word)
{
	static const struct { const char *word; bool direct, writethrough, no_flush; } row[] = {
		{ "writeback" }, { "none", true }, { "writethrough", .writethrough = true },
		{ "directsync", true, true }, { "unsafe", .no_flush = true },
	};
	for (unsigned i = 0; i < ARRAY_LEN(row); i++) {
		if (strcmp(word, row[i].word))
			continue;
		o->direct = row[i].direct;
		o->writethrough = row[i].writethrough;
		o->no_flush = row[i].no_flush;
		return true;
	}
	return false;
}

const char *block_foreign(const void *head, size_t n)
{
	static const struct { uint8_t at, n; const char *bytes, *name; } row[] = {
		{ 0,    4, "KDMV",             "VMDK" },
		{ 0,    8, "conectix",         "VHD" },
		{ 0,    8, "vhdxfile",         "VHDX" },
		{ 0,    4, "QED",              "QED" },
		{ 0,    8, "QFI\xfb\0\0\0\1", "QCOW1" },
		{ 0x40, 4, "\x7f\x10\xda\xbe", "VDI" },
	};
	for (unsigned i = 0; i < ARRAY_LEN(row); i++)
		if (row[i].at + row[i].n <= n && !memcmp((const char *)head + row[i].at, row[i].bytes, row[i].n))
			return row[i].name;
	return NULL;
}

/* "nbd:", "https:" and others are files if there is one of that name. */
static bool no_such_file(const char *file, struct err *e)
{
	size_t n = strspn(file, "abcdefghijklmnopqrstuvwxyz0123456789+-.");
	int why = errno;

	if (why == ENOENT && n > 1 && file[n] == ':')
		return err_set(e, "'%s': no such file, and '%.*s:' is no protocol that is known; images are files, "
			       "host devices and null-co://", file, (int)n, file);
	errno = why;
	return err_errno(e, "'%s'", file);
}

/* Opening a pipe would wait for its other end for ever; terminals and /dev/zero have no sectors. */
static bool may_hold_image(const char *file, struct err *e)
{
	struct stat st;

	if (stat(file, &st) || S_ISREG(st.st_mode) || S_ISBLK(st.st_mode) || S_ISDIR(st.st_mode))
		return true;
	return err_set(e, "'%s' is no file and no block device", file);
}

const char *block_probe(const char *file, struct err *e)
{
	uint8_t head[BLOCK_PROBED] = { 0 };

	if (!may_hold_image(file, e))
		return NULL;
	int fd = open(file, O_RDONLY | O_CLOEXEC);

	if (fd < 0) {
		no_such_file(file, e);
		return NULL;
	}
	ssize_t n = pread(fd, head, sizeof(head), 0);
	close(fd);
	const char *foreign = n > 0 ? block_foreign(head, (size_t)n) : NULL;
	if (foreign) {
		err_set(e, "'%s' is a %s image; convert it: qemu-img convert -O qcow2 '%s' NEW.qcow2 (format=raw takes "
			"it as it is)", file, foreign, file);
		return NULL;
	}
	return n >= 4 && !memcmp(head, BLOCK_QCOW2_MAGIC, 4) ? "qcow2" : "raw";
}

char *block_backing_path(const char *file, const char *name)
{
	const char *slash = strrchr(file, '/');
	char *s;

	if (!strncmp(name, "file:", 5))
		name += 5;
	if (*name == '/' || !slash)
		return strdup(name);
	return asprintf(&s, "%.*s/%s", (int)(slash - file), file, name) < 0 ? NULL : s;
}

static const struct format *find_format(const struct block_options *o, struct err *e)
{
	if (o->null_co)
		return &formats[0];
	const char *name = !o->format ? block_probe(o->file, e) : may_hold_image(o->file, e) ? o->format : NULL;
	for (unsigned i = 0; name && i < ARRAY_LEN(formats); i++)
		if (!strcmp(name, formats[i].name))
			return &formats[i];
	if (name)
		err_set(e, "'%s': image format '%s' is not supported (raw, qcow2 and null-co are)", o->file, name);
	return NULL;
}

/* With auto_readonly: is it one of those that cannot be written at all? */
static bool never_written(const struct block_options *o)
{
	int fd = o->auto_readonly ? open(o->file, O_RDWR | O_CLOEXEC) : -1;

	if (fd >= 0)
		close(fd);
	return o->auto_readonly && fd < 0;
}

/* Images below by the names in their headers are opened as this one is; others have options of their own. */
static struct block *open_let_go(const struct block_options *o, struct err *e)
{
	struct block_options now = *o;
	struct block *b;

	now.let_go = false;
	now.readonly = true;
	if (never_written(o))
		return block_open(&now, e);
	now.unlocked = true;
	b = block_open(&now, e);
	if (!b)
		return NULL;
	b->let_go = true;
	b->opened.unlocked = o->unlocked;
	for (struct block *below = o->backing ? NULL : b->backing; below; below = below->backing)
		below->opened.unlocked = o->unlocked;
	return b;
}

struct block *block_open(const struct block_options *o, struct err *e)
{
	if (o->let_go && !o->readonly && !o->snapshot && !o->null_co)
		return open_let_go(o, e);
	if (o->depth > MAX_CHAIN) {
		err_set(e, "'%s': more than %d backing images", o->file, MAX_CHAIN);
		return NULL;
	}
	const struct format *f = find_format(o, e);
	struct block *b = f ? f->open(o, e) : NULL;
	if (!b)
		return NULL;
	b->writethrough = o->writethrough;
	b->no_flush = o->no_flush;
	b->no_discard = o->no_discard;
	b->detect_zeroes = o->detect_zeroes;
	b->copy_on_read = o->copy_on_read && b->backing && !b->readonly;
	b->node = o->node ? strdup(o->node) : NULL;
	b->file_node = o->file_node ? strdup(o->file_node) : NULL;
	b->opened = *o;
	b->opened.file = b->file;
	b->opened.format = b->ops->name;
	b->opened.probed |= !o->format;
	b->opened.node = b->opened.file_node = NULL;
	b->opened.backing = NULL;
	if (o->snapshot) {
		b->overlay = overlay_new(b->sectors);
		if (!b->overlay) {
			block_close(b);
			err_set(e, "'%s': no memory", o->file);
			return NULL;
		}
		b->readonly = o->readonly;
		b->copy_on_read = false;
	}
	return b;
}

void block_close(struct block *b)
{
	struct err ignored;
	if (!b)
		return;
	if (!b->readonly)
		block_flush(b, &ignored);
	overlay_free(b->overlay);
	struct block *backing = b->backing;
	free(b->node);
	free(b->file_node);
	b->ops->close(b);
	block_close(backing);
}

/* ---- chains ---- */

uint64_t block_overlay_extent(const struct block *b, uint64_t at, bool *changed)
{
	uint64_t n = CHUNK_SECTORS - at % CHUNK_SECTORS;

	*changed = overlay_find(b->overlay, at / CHUNK_SECTORS);
	return min_u64(n, b->sectors - at);
}

static bool lock(struct block *b, bool writable, struct err *e)
{
	return b->opened.unlocked || b->opened.locking == BLOCK_LOCK_OFF || !b->ops->fd ||
	       block_file_lock(b->ops->fd(b), b->file, writable, e);
}

/* It takes the place of another one of the same file. */
static void take_over(struct block *b, struct block *old)
{
	b->backing = old->backing;
	old->backing = NULL;
	b->node = old->node;
	b->file_node = old->file_node;
	old->node = old->file_node = NULL;
	b->opened.unlocked = old->opened.unlocked;
	b->opened.no_backing = old->opened.no_backing;
	b->copy_on_read = old->copy_on_read;
}

static bool open_anew(struct block **place, bool writable, bool unlocked, struct err *e)
{
	struct block *old = *place, *b;
	struct block_options o = old->opened;

	o.readonly = !writable;
	o.unlocked |= unlocked;
	o.no_backing = true;
	o.auto_readonly = false;
	if (!block_flush(old, e) || !(b = block_open(&o, e)))
		return false;
	take_over(b, old);
	block_close(old);
	*place = b;
	return true;
}

bool block_reopen(struct block **place, bool writable, struct err *e)
{
	struct block *old = *place;
	struct err ignored;

	if (old->overlay)
		return err_set(e, "'%s' keeps its changes in memory (snapshot=on)", old->file);
	if (old->readonly == !writable)
		return true;
	/* The new one waits for its locks, or the old one would be in its way. */
	if (!open_anew(place, writable, true, e))
		return false;
	if (lock(*place, writable, e))
		return true;
	if (writable)
		block_reopen(place, false, &ignored);
	return false;
}

bool block_let_go(struct block **place, struct err *e)
{
	if ((*place)->readonly || (*place)->overlay)
		return true;
	if (!open_anew(place, false, true, e))
		return false;
	(*place)->let_go = true;
	(*place)->copy_on_read = false;
	return true;
}

bool block_take_back(struct block **place, struct err *e)
{
	struct block *b;

	if (!(*place)->let_go)
		return true;
	for (b = (*place)->backing; b; b = b->backing)
		if (!lock(b, !b->readonly, e))
			return false;
	if (!open_anew(place, true, false, e))
		return false;
	b = *place;
	b->copy_on_read = b->opened.copy_on_read && b->backing;
	return true;
}

void block_put_on(struct block *b, struct block *below)
{
	b->backing = below;
	b->writethrough = below->writethrough;
	b->no_flush = below->no_flush;
	b->no_discard = below->no_discard;
	b->detect_zeroes = below->detect_zeroes;
	b->copy_on_read = false;
}

void block_close_above(struct block *top, struct block *base)
{
	for (struct block *b = top; b && b != base; b = b->backing)
		if (b->backing == base) {
			b->backing = NULL;
			break;
		}
	if (top != base)
		block_close(top);
}

struct block *block_find_node(struct block *b, const char *node)
{
	while (b && !(b->node && !strcmp(b->node, node)) && !(b->file_node && !strcmp(b->file_node, node)))
		b = b->backing;
	return b;
}

struct block *block_find_file(struct block *b, const char *file)
{
	while (b && strcmp(b->file, file))
		b = b->backing;
	return b;
}

bool block_is_above(const struct block *b, const struct block *below)
{
	while (b->backing && b->backing != below)
		b = b->backing;
	return b->backing;
}

uint64_t block_sectors(const struct block *b)
{
	return b->sectors;
}

bool block_readonly(const struct block *b)
{
	return b->readonly && !b->let_go;
}

const char *block_file(const struct block *b)
{
	return b->file;
}

static bool in_range(const struct block *b, uint64_t at, uint32_t n)
{
	return at <= b->sectors && n <= b->sectors - at;
}

/* Keep what comes from the chain below, as far as this image has nothing of its own. */
static bool keep_read(struct block *b, uint64_t at, const struct iovec *iov, int niov, uint32_t n, struct err *e)
{
	struct iovec part[IOV_PIECES];
	struct block_extent x;

	for (uint32_t done = 0; done < n; done += (uint32_t)x.sectors) {
		if (!b->ops->status(b, at + done, n - done, &x, e))
			return false;
		int np = iov_slice(iov, niov, (size_t)done * SECTOR, (size_t)x.sectors * SECTOR, part);
		if (!x.allocated && !b->ops->writev(b, at + done, part, np, (uint32_t)x.sectors, e))
			return false;
	}
	return true;
}

bool block_readv(struct block *b, uint64_t at, const struct iovec *iov, int niov, uint32_t n, struct err *e)
{
	if (!in_range(b, at, n))
		return err_set(e, "read behind the end of '%s'", b->file);
	if (niov > IOV_PIECES)
		return err_set(e, "'%s': a transfer of too many pieces", b->file);
	if (b->overlay)
		return overlay_transfer(b, at, iov, niov, n, OVERLAY_READ, e);
	return b->ops->readv(b, at, iov, niov, n, e)
		&& (!b->copy_on_read || keep_read(b, at, iov, niov, n, e));
}

bool block_read_now(struct block *b, uint64_t at, const struct iovec *iov, int niov, uint32_t n)
{
	if (!b->ops->read_now || b->copy_on_read || !in_range(b, at, n) || niov > IOV_PIECES)
		return false;
	if (b->overlay)
		return overlay_transfer(b, at, iov, niov, n, OVERLAY_READ_NOW, NULL);
	return b->ops->read_now(b, at, iov, niov, n);
}

/* Nothing to be kept in memory longer than the host's own cache does. */
static bool write_through(struct block *b, struct err *e)
{
	return !b->writethrough || b->no_flush || b->ops->flush(b, e);
}

static bool write_plain(struct block *b, uint64_t at, const struct iovec *iov, int niov, uint32_t n, struct err *e)
{
	if (b->overlay)
		return overlay_transfer(b, at, iov, niov, n, OVERLAY_WRITE, e);
	return b->ops->writev(b, at, iov, niov, n, e) && write_through(b, e);
}

bool block_writev(struct block *b, uint64_t at, const struct iovec *iov, int niov, uint32_t n, struct err *e)
{
	if (!in_range(b, at, n))
		return err_set(e, "write behind the end of '%s'", b->file);
	if (b->readonly)
		return err_set(e, "'%s' is read-only", b->file);
	if (niov > IOV_PIECES)
		return err_set(e, "'%s': a transfer of too many pieces", b->file);
	if (n && b->detect_zeroes && iov_is_zero(iov, niov))
		return block_write_zeroes(b, at, n, b->detect_zeroes == BLOCK_ZEROES_UNMAP, e);
	return write_plain(b, at, iov, niov, n, e);
}

bool block_read(struct block *b, uint64_t at, void *buf, uint32_t n, struct err *e)
{
	struct iovec v = { buf, (size_t)n * SECTOR };
	return block_readv(b, at, &v, 1, n, e);
}

bool block_write(struct block *b, uint64_t at, const void *buf, uint32_t n, struct err *e)
{
	struct iovec v = { (void *)buf, (size_t)n * SECTOR };
	return block_writev(b, at, &v, 1, n, e);
}

bool block_flush(struct block *b, struct err *e)
{
	return b->readonly || b->overlay || b->no_flush || b->ops->flush(b, e);
}

/* Zeros for the overlay. */
static bool store_zeros(struct block *b, uint64_t at, uint32_t n, struct err *e)
{
	static const uint8_t zeros[CHUNK_SECTORS * SECTOR];
	for (uint32_t k; n; at += k, n -= k) {
		k = (uint32_t)min_u64(n, CHUNK_SECTORS);
		struct iovec v = { (void *)zeros, (size_t)k * SECTOR };
		if (!write_plain(b, at, &v, 1, k, e))
			return false;
	}
	return true;
}

static bool drop(struct block *b, uint64_t at, uint32_t n, bool zero, bool unmap, struct err *e)
{
	if (!in_range(b, at, n))
		return err_set(e, "discard behind the end of '%s'", b->file);
	if (b->readonly)
		return err_set(e, "'%s' is read-only", b->file);
	if (!zero && b->no_discard)
		return true;
	if (b->overlay)
		return !zero || store_zeros(b, at, n, e);
	return b->ops->discard(b, at, n, zero, unmap && !b->no_discard, e) && write_through(b, e);
}

bool block_discard(struct block *b, uint64_t at, uint32_t n, struct err *e)
{
	return drop(b, at, n, false, true, e);
}

bool block_write_zeroes(struct block *b, uint64_t at, uint32_t n, bool unmap, struct err *e)
{
	return drop(b, at, n, true, unmap, e);
}

bool block_copies_on_read(const struct block *b)
{
	return b->copy_on_read;
}

const char *block_format(const struct block *b)
{
	return b->ops->name;
}

struct block *block_backing(const struct block *b)
{
	return b->backing;
}

bool block_status(struct block *b, uint64_t at, uint64_t n, struct block_extent *x, struct err *e)
{
	if (at >= b->sectors)
		return err_set(e, "status behind the end of '%s'", b->file);
	return b->ops->status(b, at, min_u64(n, b->sectors - at), x, e);
}

bool block_map(struct block *b, uint64_t at, uint64_t n, struct block_extent *x, struct err *e)
{
	for (int depth = 0;; depth++, b = b->backing) {
		if (!block_status(b, at, n, x, e))
			return false;
		x->image = b;
		x->depth = depth;
		if (x->allocated || !b->backing)
			break;
		n = x->sectors;
		if (at >= b->backing->sectors)
			break;
		n = min_u64(n, b->backing->sectors - at);
	}
	if (!x->allocated)
		x->zero = true;
	return true;
}

bool block_resize(struct block *b, uint64_t sectors, struct err *e)
{
	if (b->readonly)
		return err_set(e, "'%s' is read-only", b->file);
	return b->ops->resize(b, sectors, e);
}
