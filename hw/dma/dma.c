/*
 * Two 8237A DMA controllers with their page registers: channels 0-3 move bytes
 * (ports 00h-0Fh), channels 5-7 words (C0h-DFh, registers at even ports).
 *
 * A device asks for bytes to be moved and gets as many as the programmed count
 * allows; the request line and single bus cycles do not exist. The address
 * counts inside a 64 KiB page (128 KiB for words) and wraps there, as the page
 * register does not count.
 *
 * Not modelled: memory-to-memory transfers, cascade of other masters, compressed
 * timing, the request register as a source of transfers.
 * Source: Intel 8237A data sheet, September 1993; IBM AT Technical Reference
 * for the page registers.
 */
#include "hw/dma/dma.h"

enum {
	CMD_DISABLE = 0x04,
	MODE_TYPE = 0x0c, MODE_VERIFY = 0x00, MODE_WRITE = 0x04, MODE_READ = 0x08,
	MODE_AUTO = 0x10, MODE_DOWN = 0x20,
};

struct channel {
	uint16_t base_addr, base_count;
	uint16_t addr, count;		/* count: transfers left - 1 */
	uint8_t mode, page;
};

struct chip {
	struct channel ch[4];
	uint8_t command, status, mask, request, temp;
	uint8_t high;			/* byte flip-flop: the high byte is next */
};

struct dma {
	struct dev dev;
	struct chip chip[2];
	uint8_t page_spare[16];		/* page ports that select no channel */
	struct port_range *ports[3];
};

/* ---- transfers ---- */

static uint64_t address(const struct channel *c, bool words)
{
	return words ? (uint64_t)(c->page & 0xfe) << 16 | (uint64_t)c->addr << 1
		     : (uint64_t)c->page << 16 | c->addr;
}

/* One unit has moved. True: it was the last. */
static bool step(struct channel *c)
{
	c->addr += c->mode & MODE_DOWN ? -1 : 1;
	return c->count-- == 0;
}

static void terminal_count(struct chip *k, int i)
{
	struct channel *c = &k->ch[i];

	k->status |= 1u << i;
	k->request &= ~(1u << i);
	if (c->mode & MODE_AUTO) {
		c->addr = c->base_addr;
		c->count = c->base_count;
	} else {
		k->mask |= 1u << i;
	}
}

static int dma_move(void *opaque, int n_chan, void *buf, int n, bool to_mem, bool *tc)
{
	struct dma *d = opaque;
	bool words = n_chan >= 4;
	struct chip *k = &d->chip[words];
	struct channel *c = &k->ch[n_chan & 3];
	uint8_t type = c->mode & MODE_TYPE, *p = buf;
	int unit = words ? 2 : 1, done = 0;

	if (n_chan == 4 || k->mask >> (n_chan & 3) & 1 || k->command & CMD_DISABLE)
		return 0;
	if (type != MODE_VERIFY && (type == MODE_WRITE) != to_mem) {
		log_guest("dma: channel %d is programmed for the other direction", n_chan);
		return 0;
	}
	while (done + unit <= n && !*tc) {
		uint64_t pa = address(c, words);

		if (type == MODE_WRITE)
			dma_write(d->dev.m, pa, p + done, unit);
		else if (type == MODE_READ)
			dma_read(d->dev.m, pa, p + done, unit);
		done += unit;
		*tc = step(c);
	}
	if (*tc)
		terminal_count(k, n_chan & 3);
	return done;
}

/* ---- programming ---- */

static uint8_t read_half(struct chip *k, uint16_t v)
{
	k->high = !k->high;
	return (uint8_t)(k->high ? v : v >> 8);
}

static void write_half(struct chip *k, uint16_t *base, uint16_t *current, uint8_t v)
{
	*base = k->high ? (*base & 0x00ff) | v << 8 : (*base & 0xff00) | v;
	*current = *base;
	k->high = !k->high;
}

static void master_clear(struct chip *k)
{
	k->command = k->status = k->request = k->temp = k->high = 0;
	k->mask = 0x0f;
}

static uint8_t chip_read(struct chip *k, unsigned reg)
{
	struct channel *c = &k->ch[reg >> 1 & 3];
	uint8_t v;

	if (reg < 8)
		return read_half(k, reg & 1 ? c->count : c->addr);
	switch (reg) {
	case 8:				/* status: terminal counts are cleared by reading */
		v = k->status;
		k->status &= 0xf0;
		return v;
	case 0xd:
		return k->temp;
	case 0xf:
		return k->mask | 0xf0;
	default:
		return 0xff;
	}
}

static void set_bit(uint8_t *reg, uint8_t v)
{
	uint8_t bit = (uint8_t)(1u << (v & 3));

	*reg = v & 4 ? *reg | bit : *reg & ~bit;
}

static void chip_write(struct chip *k, unsigned reg, uint8_t v)
{
	struct channel *c = &k->ch[reg >> 1 & 3];

	if (reg < 8) {
		if (reg & 1)
			write_half(k, &c->base_count, &c->count, v);
		else
			write_half(k, &c->base_addr, &c->addr, v);
		return;
	}
	switch (reg) {
	case 0x8: k->command = v; break;
	case 0x9: set_bit(&k->request, v); break;
	case 0xa: set_bit(&k->mask, v); break;
	case 0xb: k->ch[v & 3].mode = v; break;
	case 0xc: k->high = 0; break;
	case 0xd: master_clear(k); break;
	case 0xe: k->mask = 0; break;
	case 0xf: k->mask = v & 0x0f; break;
	}
}

static uint32_t read0(void *dev, uint16_t off, int size)
{
	(void)size;
	return chip_read(&((struct dma *)dev)->chip[0], off);
}

static void write0(void *dev, uint16_t off, int size, uint32_t v)
{
	(void)size;
	chip_write(&((struct dma *)dev)->chip[0], off, (uint8_t)v);
}

static uint32_t read1(void *dev, uint16_t off, int size)
{
	(void)size;
	return chip_read(&((struct dma *)dev)->chip[1], off >> 1);
}

static void write1(void *dev, uint16_t off, int size, uint32_t v)
{
	(void)size;
	chip_write(&((struct dma *)dev)->chip[1], off >> 1, (uint8_t)v);
}

/* Page ports 80h-8Fh: which channel each belongs to (-1: a spare byte). */
static const int8_t page_channel[16] = {
	-1, 2, 3, 1, -1, -1, -1, 0, -1, 6, 7, 5, -1, -1, -1, 4,
};

static uint8_t *page(struct dma *d, uint16_t off)
{
	int n = page_channel[off];

	return n < 0 ? &d->page_spare[off] : &d->chip[n >> 2].ch[n & 3].page;
}

static uint32_t page_read(void *dev, uint16_t off, int size)
{
	(void)size;
	return *page(dev, off);
}

static void page_write(void *dev, uint16_t off, int size, uint32_t v)
{
	(void)size;
	*page(dev, off) = (uint8_t)v;
}

static const struct port_ops ops0 = { read0, write0, 1, 1 };
static const struct port_ops ops1 = { read1, write1, 1, 1 };
static const struct port_ops page_ops = { page_read, page_write, 1, 1 };

/* ---- the device ---- */

/* Port 92h stands among the page registers' mirrors: only 80h-8Fh are claimed. */
static bool dma_init(void *dev, struct err *e)
{
	struct dma *d = dev;
	struct machine *m = d->dev.m;

	(void)e;
	d->ports[0] = port_map(m, 0x00, 16, &ops0, d, "dma0");
	d->ports[1] = port_map(m, 0xc0, 32, &ops1, d, "dma1");
	d->ports[2] = port_map(m, 0x80, 16, &page_ops, d, "dma-page");
	for (int i = 0; i < 8; i++)
		m->dma[i] = (struct dma_chan){ dma_move, d };
	return true;
}

static void dma_fini(void *dev)
{
	struct dma *d = dev;

	for (int i = 0; i < 3; i++)
		port_unmap(d->dev.m, d->ports[i]);
	for (int i = 0; i < 8; i++)
		d->dev.m->dma[i] = (struct dma_chan){ 0 };
}

static void dma_reset(void *dev)
{
	struct dma *d = dev;

	master_clear(&d->chip[0]);
	master_clear(&d->chip[1]);
}

static const struct state dma_state[] = {
	STATE(dma, chip), STATE(dma, page_spare), { 0 }
};

const struct dev_type dma_type = {
	.name = "i8257", .bus = "system", .help = "pair of 8237A DMA controllers",
	.size = sizeof(struct dma), .version = 1,
	.state = dma_state, .init = dma_init, .fini = dma_fini, .reset = dma_reset,
};
