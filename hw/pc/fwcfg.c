/*
 * fw_cfg device: selector port 0x510, data port 0x511, DMA address 0x514.
 *
 * The position in the selected item advances with every byte; behind its end
 * zeros come. Absent keys are empty items. A DMA descriptor is executed when
 * the low half of its address is written, and its control word then becomes 0
 * or ERROR.
 *
 * Not modelled: writable files (a write transfer reports an error).
 * Source: the interface documented for QEMU's "fw_cfg" device, which SeaBIOS,
 * OVMF and Linux rely on.
 */
#include "hw/pc/fwcfg.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"

#define MAX_ITEMS	0x100		/* common keys */
#define MAX_LOCAL	0x10		/* keys from 0x8000 */
#define KEY_LOCAL	0x8000u
#define KEY_WRITE	0x4000u		/* old write channel; no effect */
#define KEY_NONE	0xffffu

#define MAX_ZEROS	0x100000u	/* that one transfer makes behind an item's end */
#define NAME_LEN	56
#define DIR_ENTRY	64
#define DMA_SIGNATURE	0x51454d5520434647ull	/* "QEMU CFG" */
#define ID_TRADITIONAL	1u
#define ID_DMA		2u

#define PORT_SELECTOR	0x510
#define PORT_DMA	0x514

/* Where an item's bytes are that are not in memory. */
struct source {
	int fd;
	uint64_t at;
	struct stat was;		/* when it was opened */
	bool told;			/* of a change since then */
	char path[];
};

struct item {
	uint8_t *data;			/* or NULL */
	struct source *file;		/* or NULL */
	uint32_t n;
	void (*on_select)(void *opaque);
	void *opaque;
};

struct fwcfg {
	struct dev dev;
	struct item item[MAX_ITEMS], local[MAX_LOCAL];
	int nfiles;
	struct port_range *ports, *dma_ports;
	uint16_t key;
	uint32_t pos;
	uint64_t dma;
};

static struct item *find(struct fwcfg *f, uint16_t key)
{
	unsigned n = key & ~(KEY_LOCAL | KEY_WRITE);
	if (key & KEY_LOCAL)
		return n < MAX_LOCAL ? &f->local[n] : NULL;
	return n < MAX_ITEMS ? &f->item[n] : NULL;
}

/* ---- building ---- */

static void item_fini(struct item *i)
{
	free(i->data);
	i->data = NULL;
	if (i->file)
		close(i->file->fd);
	free(i->file);
	i->file = NULL;
}

void fwcfg_give(struct fwcfg *f, uint16_t key, void *data, uint32_t n)
{
	struct item *i = find(f, key);

	item_fini(i);
	i->data = data;
	i->n = n;
}

bool fwcfg_give_file(struct fwcfg *f, uint16_t key, const char *path, uint64_t at, uint32_t n, struct err *e)
{
	struct source *s = calloc(1, sizeof(*s) + strlen(path) + 1);
	struct item *i = find(f, key);

	if (!s)
		return err_set(e, "out of memory");
	s->fd = open(path, O_RDONLY | O_CLOEXEC);
	if (s->fd < 0 || fstat(s->fd, &s->was)) {
		err_errno(e, "'%s'", path);
		if (s->fd >= 0)
			close(s->fd);
		free(s);
		return false;
	}
	s->at = at;
	strcpy(s->path, path);
	item_fini(i);
	i->file = s;
	i->n = n;
	return true;
}

void fwcfg_add(struct fwcfg *f, uint16_t key, const void *data, uint32_t n)
{
	uint8_t *copy = malloc(n ? n : 1);
	if (!copy)
		return;
	if (n)
		memcpy(copy, data, n);
	fwcfg_give(f, key, copy, n);
}

void fwcfg_add16(struct fwcfg *f, uint16_t key, uint16_t v)
{
	fwcfg_add(f, key, &v, sizeof(v));
}

void fwcfg_add32(struct fwcfg *f, uint16_t key, uint32_t v)
{
	fwcfg_add(f, key, &v, sizeof(v));
}

void fwcfg_add64(struct fwcfg *f, uint16_t key, uint64_t v)
{
	fwcfg_add(f, key, &v, sizeof(v));
}

/* What the file does not have (any more) is zeros. */
static void read_source(const struct source *s, uint32_t pos, uint8_t *to, uint32_t n)
{
	ssize_t r = 1;

	while (n && r > 0) {
		r = pread(s->fd, to, n, (off_t)(s->at + pos));
		if (r > 0) {
			to += r;
			pos += (uint32_t)r;
			n -= (uint32_t)r;
		}
	}
	memset(to, 0, n);
}

uint32_t fwcfg_read(struct fwcfg *f, uint16_t key, uint32_t pos, void *to, uint32_t n)
{
	const struct item *i = find(f, key);

	if (!i || pos >= i->n)
		return 0;
	if (n > i->n - pos)
		n = i->n - pos;
	if (i->file)
		read_source(i->file, pos, to, n);
	else
		memcpy(to, i->data + pos, n);
	return n;
}

/* Append to the directory: size, key, reserved, name; big-endian. */
static void list_file(struct fwcfg *f, const char *name, uint16_t key, uint32_t n)
{
	uint32_t len = 4 + (uint32_t)(f->nfiles + 1) * DIR_ENTRY;
	uint8_t *dir = calloc(1, len);
	if (!dir)
		return;
	memcpy(dir, f->item[FWCFG_FILE_DIR].data, f->item[FWCFG_FILE_DIR].n);
	uint8_t *e = dir + len - DIR_ENTRY;
	st32(e, __builtin_bswap32(n));
	st16(e + 4, __builtin_bswap16(key));
	memcpy(e + 8, name, strnlen(name, NAME_LEN - 1));
	f->nfiles++;
	st32(dir, __builtin_bswap32((uint32_t)f->nfiles));
	fwcfg_give(f, FWCFG_FILE_DIR, dir, len);
}

/* The directory entry of a file, or NULL. */
static uint8_t *file_entry(struct fwcfg *f, const char *name)
{
	uint8_t *dir = f->item[FWCFG_FILE_DIR].data;

	for (int i = 0; i < f->nfiles; i++) {
		uint8_t *e = dir + 4 + i * DIR_ENTRY;
		if (!strncmp((const char *)e + 8, name, NAME_LEN))
			return e;
	}
	return NULL;
}

uint16_t fwcfg_add_file(struct fwcfg *f, const char *name, const void *data, uint32_t n)
{
	uint16_t key = (uint16_t)(FWCFG_FILE_FIRST + f->nfiles);
	uint8_t *old = file_entry(f, name);

	if (old) {
		key = __builtin_bswap16(ld16(old + 4));
		st32(old, __builtin_bswap32(n));
		fwcfg_add(f, key, data, n);
		return key;
	}
	if (key >= MAX_ITEMS)
		return 0;
	fwcfg_add(f, key, data, n);
	list_file(f, name, key, n);
	return key;
}

void fwcfg_on_select(struct fwcfg *f, const char *name, void (*fn)(void *opaque), void *opaque)
{
	const uint8_t *entry = file_entry(f, name);
	struct item *i = entry ? find(f, __builtin_bswap16(ld16(entry + 4))) : NULL;

	if (i) {
		i->on_select = fn;
		i->opaque = opaque;
	}
}

/* ---- selector and data port ---- */

/* The guest starts with files as they are now; the other pieces of what it gets are as they were. */
static void tell_change(struct source *s)
{
	struct stat now;

	if (s->told || (!fstat(s->fd, &now) && now.st_size == s->was.st_size &&
			now.st_mtim.tv_sec == s->was.st_mtim.tv_sec && now.st_mtim.tv_nsec == s->was.st_mtim.tv_nsec))
		return;
	s->told = true;
	warn("'%s' has changed since it was opened; start anew to use it", s->path);
}

static void select_key(struct fwcfg *f, uint16_t key)
{
	const struct item *i = find(f, key);

	f->key = key;
	f->pos = 0;
	if (i && i->file)
		tell_change(i->file);
	if (i && i->on_select)
		i->on_select(i->opaque);
}

static uint32_t data_read(void *opaque, uint16_t off, int size)
{
	struct fwcfg *f = opaque;
	uint8_t v = 0;

	if (size != 1 || off != 1)
		return 0;
	fwcfg_read(f, f->key, f->pos++, &v, 1);
	return v;
}

static void selector_write(void *opaque, uint16_t off, int size, uint32_t v)
{
	if (off == 0 && size == 2)
		select_key(opaque, (uint16_t)v);
}

static const struct port_ops selector_ops = { data_read, selector_write, 2, 1 };

/* ---- DMA ---- */

/* Item bytes, then a bounded number of zeros, into guest memory. False: that was too far. */
static bool transfer(struct fwcfg *f, uint64_t to, uint32_t n)
{
	uint8_t buf[16384];
	uint32_t k = 0, m = 1;

	for (; n && m; to += m, f->pos += m, n -= m) {
		m = fwcfg_read(f, f->key, f->pos, buf, n < sizeof(buf) ? n : (uint32_t)sizeof(buf));
		if (m)
			dma_write(f->dev.m, to, buf, m);
	}
	if (n > MAX_ZEROS)
		return false;
	memset(buf, 0, sizeof(buf));
	for (; k < n; k += m) {
		m = n - k < sizeof(buf) ? n - k : (uint32_t)sizeof(buf);
		dma_write(f->dev.m, to + k, buf, m);
	}
	return true;
}

static void dma_run(struct fwcfg *f)
{
	uint64_t at = f->dma;
	uint8_t d[16];

	f->dma = 0;
	dma_read(f->dev.m, at, d, sizeof(d));
	uint32_t control = __builtin_bswap32(ld32(d)), n = __builtin_bswap32(ld32(d + 4));
	uint64_t addr = __builtin_bswap64(ld64(d + 8));
	uint32_t result = 0;

	if (control & FWCFG_DMA_SELECT)
		select_key(f, (uint16_t)(control >> 16));
	if (control & FWCFG_DMA_READ)
		result = transfer(f, addr, n) ? 0 : FWCFG_DMA_ERROR;
	else if (control & FWCFG_DMA_WRITE)
		result = FWCFG_DMA_ERROR;
	else if (control & FWCFG_DMA_SKIP)
		f->pos = n > UINT32_MAX - f->pos ? UINT32_MAX : f->pos + n;
	st32(d, __builtin_bswap32(result));
	dma_write(f->dev.m, at, d, 4);
}

/* Two big-endian halves: swapped to what the guest sees on a little-endian port. */
static uint32_t dma_port_read(void *opaque, uint16_t off, int size)
{
	uint64_t sig = __builtin_bswap64(DMA_SIGNATURE);
	(void)opaque;
	return (uint32_t)(sig >> 8 * off & size_mask(size));
}

static void dma_port_write(void *opaque, uint16_t off, int size, uint32_t v)
{
	struct fwcfg *f = opaque;
	if (size != 4)
		return;
	if (off == 0) {
		f->dma = (uint64_t)__builtin_bswap32(v) << 32;
	} else if (off == 4) {
		f->dma |= __builtin_bswap32(v);
		dma_run(f);
	}
}

static const struct port_ops dma_ops = { dma_port_read, dma_port_write, 4, 1 };

/* ---- device ---- */

static bool fwcfg_init(void *dev, struct err *e)
{
	struct fwcfg *f = dev;
	const uint32_t none = 0;
	(void)e;
	f->ports = port_map(f->dev.m, PORT_SELECTOR, 2, &selector_ops, f, "fw_cfg");
	f->dma_ports = port_map(f->dev.m, PORT_DMA, 8, &dma_ops, f, "fw_cfg-dma");
	fwcfg_add(f, FWCFG_SIGNATURE, "QEMU", 4);
	fwcfg_add32(f, FWCFG_ID, ID_TRADITIONAL | ID_DMA);
	fwcfg_add(f, FWCFG_FILE_DIR, &none, 4);
	return true;
}

static void fwcfg_fini(void *dev)
{
	struct fwcfg *f = dev;
	port_unmap(f->dev.m, f->ports);
	port_unmap(f->dev.m, f->dma_ports);
	for (int i = 0; i < MAX_ITEMS; i++)
		item_fini(&f->item[i]);
	for (int i = 0; i < MAX_LOCAL; i++)
		item_fini(&f->local[i]);
}

static void fwcfg_reset(void *dev)
{
	struct fwcfg *f = dev;
	select_key(f, KEY_NONE);
	f->dma = 0;
}

static const struct state fwcfg_state[] = {
	STATE(fwcfg, key), STATE(fwcfg, pos), STATE(fwcfg, dma), { 0 }
};

const struct dev_type fwcfg_type = {
	.name = "fw_cfg", .bus = "system", .help = "firmware configuration interface",
	.size = sizeof(struct fwcfg), .version = 1, .state = fwcfg_state,
	.init = fwcfg_init, .fini = fwcfg_fini, .reset = fwcfg_reset,
};
