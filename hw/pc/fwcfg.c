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

#include <stdlib.h>
#include <string.h>

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

struct item {
	uint8_t *data;
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

void fwcfg_give(struct fwcfg *f, uint16_t key, void *data, uint32_t n)
{
	struct item *i = find(f, key);
	free(i->data);
	i->data = data;
	i->n = n;
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

const uint8_t *fwcfg_item(struct fwcfg *f, uint16_t key, uint32_t *n)
{
	const struct item *i = find(f, key);

	*n = i->n;
	return i->data;
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

static void select_key(struct fwcfg *f, uint16_t key)
{
	const struct item *i = find(f, key);

	f->key = key;
	f->pos = 0;
	if (i && i->on_select)
		i->on_select(i->opaque);
}

/* The bytes left in the selected item. */
static uint32_t rest(struct fwcfg *f, const uint8_t **p)
{
	const struct item *i = find(f, f->key);
	if (!i || f->pos >= i->n)
		return 0;
	*p = i->data + f->pos;
	return i->n - f->pos;
}

static uint32_t data_read(void *opaque, uint16_t off, int size)
{
	struct fwcfg *f = opaque;
	const uint8_t *p = NULL;
	if (size != 1 || off != 1)
		return 0;
	uint8_t v = rest(f, &p) ? *p : 0;
	f->pos++;
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
	static const uint8_t zeros[4096];
	const uint8_t *p = NULL;
	uint32_t have = rest(f, &p);
	uint32_t k = n < have ? n : have;
	if (k)
		dma_write(f->dev.m, to, p, k);
	f->pos += k;
	if (n - k > MAX_ZEROS)
		return false;
	while (k < n) {
		uint32_t z = n - k < sizeof(zeros) ? n - k : (uint32_t)sizeof(zeros);
		dma_write(f->dev.m, to + k, zeros, z);
		k += z;
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
		free(f->item[i].data);
	for (int i = 0; i < MAX_LOCAL; i++)
		free(f->local[i].data);
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
