/*
 * PCI-to-PCI bridges: the type 1 header, and what it lets through.
 *
 * A bridge passes accesses whose address is in one of its windows, while the enable
 * bit in COMMAND is set: I/O in steps of 4 KiB, memory and prefetchable memory (64
 * bits) in steps of 1 MiB. A base above its limit closes a window. The base address
 * registers of functions behind it are mapped only inside.
 *
 * Not modelled: VGA and ISA enable of the bridge control register, error forwarding,
 * master aborts.
 * Source: PCI-to-PCI Bridge Architecture Specification 1.2, 3.2.
 */
#include "hw/pci/pci.h"

#define WINDOW_64	1u
#define CTRL_RESET	0x40u

struct pci_bus *pci_root(struct pci_bus *b)
{
	while (b->bridge)
		b = b->bridge->bus;
	return b;
}

void pci_bus_name(struct pci_bus *b, const char *name)
{
	machine_add_backend(b->m, "pci-bus", name, b);
}

void pci_each(struct pci_bus *b, void (*fn)(struct pci_dev *p, void *opaque), void *opaque)
{
	for (int i = 0; i < 256; i++) {
		struct pci_dev *p = b->fn[i];
		if (!p)
			continue;
		fn(p, opaque);
		if (p->below)
			pci_each(p->below, fn, opaque);
	}
}

/* ---- windows ---- */

struct window {
	uint64_t base, limit;
};

static struct window io_window(const uint8_t *c)
{
	return (struct window){
		(uint64_t)ld16(c + PCI_IO_BASE_HIGH) << 16 | (c[PCI_IO_BASE] & 0xf0u) << 8,
		(uint64_t)ld16(c + PCI_IO_LIMIT_HIGH) << 16 | (c[PCI_IO_LIMIT] & 0xf0u) << 8 | 0xfff,
	};
}

static struct window mem_window(const uint8_t *c)
{
	return (struct window){
		(uint64_t)(ld16(c + PCI_MEM_BASE) & 0xfff0u) << 16,
		(uint64_t)(ld16(c + PCI_MEM_LIMIT) & 0xfff0u) << 16 | 0xfffff,
	};
}

static struct window pref_window(const uint8_t *c)
{
	return (struct window){
		(uint64_t)ld32(c + PCI_PREF_BASE_HIGH) << 32 | (uint64_t)(ld16(c + PCI_PREF_BASE) & 0xfff0u) << 16,
		(uint64_t)ld32(c + PCI_PREF_LIMIT_HIGH) << 32 | (uint64_t)(ld16(c + PCI_PREF_LIMIT) & 0xfff0u) << 16
			| 0xfffff,
	};
}

static bool inside(struct window w, uint64_t addr, uint64_t size)
{
	return addr >= w.base && addr <= w.limit && size - 1 <= w.limit - addr;
}

bool pci_passes_io(const struct pci_bus *b, uint64_t addr, uint64_t size)
{
	for (; b && b->bridge; b = b->bridge->bus)
		if (!(pci_command(b->bridge) & PCI_CMD_IO) || !inside(io_window(b->bridge->config), addr, size))
			return false;
	return true;
}

bool pci_passes_mem(const struct pci_bus *b, uint64_t addr, uint64_t size)
{
	for (; b && b->bridge; b = b->bridge->bus) {
		const uint8_t *c = b->bridge->config;
		if (!(pci_command(b->bridge) & PCI_CMD_MEM)
		    || (!inside(mem_window(c), addr, size) && !inside(pref_window(c), addr, size)))
			return false;
	}
	return true;
}

/* Grow *r (an empty one has base > limit) by what p decodes above 4 GiB. */
static void add_high(struct pci_dev *p, void *opaque)
{
	struct window *r = opaque, w = pref_window(p->config);

	for (int i = 0; i < PCI_NBARS; i++)
		if (p->bars[i].on && p->bars[i].is64 && p->bars[i].addr >> 32) {
			r->base = min_u64(r->base, p->bars[i].addr);
			r->limit = max_u64(r->limit, p->bars[i].addr + p->bars[i].size - 1);
		}
	if (p->below && w.base <= w.limit && w.base >> 32) {
		r->base = min_u64(r->base, w.base);
		r->limit = max_u64(r->limit, w.limit);
	}
}

bool pci_high_window(struct pci_bus *b, uint64_t *first, uint64_t *last)
{
	struct window r = { UINT64_MAX, 0 };

	pci_each(b, add_high, &r);
	*first = r.base;
	*last = r.limit;
	return r.base <= r.limit;
}

/* ---- header ---- */

void pci_bridge_init(struct pci_dev *p, struct pci_bus *below)
{
	pci_bus_init(below, p->dev.m);
	below->bridge = p;
	p->below = below;
	pci_bus_name(below, p->dev.id);
	pci_set_config(p, PCI_PRIMARY, 4, 0, 0x00ffffff);
	pci_set_config(p, PCI_IO_BASE, 2, 0x0101, 0xf0f0);
	pci_set_config(p, PCI_MEM_BASE, 4, 0, 0xfff0fff0);
	pci_set_config(p, PCI_PREF_BASE, 4, WINDOW_64 << 16 | WINDOW_64, 0xfff0fff0);
	pci_set_config(p, PCI_PREF_BASE_HIGH, 4, 0, ~0u);
	pci_set_config(p, PCI_PREF_LIMIT_HIGH, 4, 0, ~0u);
	pci_set_config(p, PCI_IO_BASE_HIGH, 4, 0, ~0u);
	pci_set_config(p, PCI_BRIDGE_CTRL, 2, 0, 0x0043);
	p->w1c[PCI_SEC_STATUS + 1] = 0xf9;
}

static void update(struct pci_dev *p, void *opaque)
{
	(void)opaque;
	pci_bars_update(p);
}

static void reset_below(struct pci_dev *p, void *opaque)
{
	(void)opaque;
	dev_reset(&p->dev);
}

/* Windows, enable bits; a reset of the secondary bus. */
void pci_bridge_written(struct pci_dev *p, unsigned off, int n)
{
	bool reset = off <= PCI_BRIDGE_CTRL && off + (unsigned)n > PCI_BRIDGE_CTRL
		&& p->config[PCI_BRIDGE_CTRL] & CTRL_RESET;

	phys_begin(p->dev.m->phys);
	pci_each(p->below, reset ? reset_below : update, NULL);
	phys_end(p->dev.m->phys);
}

static void free_below(struct pci_bus *b)
{
	for (int i = 0; i < 256; i++)
		if (b->fn[i])
			dev_free(&b->fn[i]->dev);
}

void pci_bridge_fini(struct pci_dev *p)
{
	if (!p->below)
		return;
	free_below(p->below);
	machine_del_backend(p->dev.m, "pci-bus", p->dev.id);
	p->below = NULL;
}
