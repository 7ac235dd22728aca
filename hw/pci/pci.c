/*
 * PCI functions: headers, base addresses, interrupts, configuration access.
 *
 * A BAR is mapped while its enable bit in COMMAND is set and its address is
 * neither 0 nor all ones (what a guest writes to learn its size). Lines of the
 * functions are counted for each of the bus's outputs.
 *
 * Not modelled: parity and system errors, MSI with several messages, MSI's
 * per-vector masks.
 * Source: PCI Local Bus Specification 3.0, 6.1-6.2 (header), 6.8.1 (MSI).
 */
#include "hw/pci/pci.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

const struct prop pci_props[] = {
	PCI_PROPS, { 0 }
};
const struct state pci_state[] = {
	PCI_STATE, { 0 }
};

#define CAP_MSI		0x05
#define MSI_CTRL	2
#define MSI_ADDR	4
#define MSI_DATA	12
#define MSI_LEN		14
#define MSI_ENABLE	0x0001
#define MSI_64		0x0080
#define FIRST_CAP	0x40
#define MIN_ROM		4096u
#define MAX_ROM		(16 << 20)

/* ---- base addresses ---- */

static unsigned bar_reg(int bar)
{
	return bar == PCI_ROM_BAR ? PCI_ROM : PCI_BAR0 + 4 * (unsigned)bar;
}

static uint64_t bar_address(const struct pci_dev *p, int bar)
{
	const struct pci_bar *b = &p->bars[bar];
	unsigned reg = bar_reg(bar);
	uint64_t a = ld32(p->config + reg);
	if (b->is64)
		a |= (uint64_t)ld32(p->config + reg + 4) << 32;
	return a & ~(b->size - 1);
}

static bool bar_enabled(const struct pci_dev *p, int bar, uint64_t addr)
{
	const struct pci_bar *b = &p->bars[bar];
	uint16_t cmd = pci_command(p);
	if (b->kind == PCI_BAR_IO)
		return cmd & PCI_CMD_IO && addr && addr + b->size <= 0x10000 && pci_passes_io(p->bus, addr, b->size);
	if (bar == PCI_ROM_BAR && !(p->config[PCI_ROM] & 1))
		return false;
	uint64_t limit = b->is64 ? 1ull << 46 : 1ull << 32;
	return cmd & PCI_CMD_MEM && addr && addr < limit - b->size && pci_passes_mem(p->bus, addr, b->size);
}

static void bar_update(struct pci_dev *p, int bar)
{
	struct pci_bar *b = &p->bars[bar];
	if (b->kind == PCI_BAR_NONE)
		return;
	uint64_t addr = bar_address(p, bar);
	bool on = bar_enabled(p, bar, addr);
	if (on == b->on && (!on || addr == b->addr))
		return;
	b->on = on;
	b->addr = addr;
	switch (b->kind) {
	case PCI_BAR_IO:
		port_set(p->dev.m, b->port, (uint16_t)addr, on);
		break;
	case PCI_BAR_MMIO:
		mmio_set(p->dev.m, b->mmio, addr, on);
		break;
	default:
		phys_map_set(p->dev.m->phys, b->mem, addr, on);
		break;
	}
}

void pci_bars_update(struct pci_dev *p)
{
	phys_begin(p->dev.m->phys);
	for (int i = 0; i <= PCI_ROM_BAR; i++)
		bar_update(p, i);
	phys_end(p->dev.m->phys);
}

void pci_set_config(struct pci_dev *p, unsigned off, int n, uint32_t v, uint32_t wmask)
{
	assert(off + (unsigned)n <= sizeof(p->config));
	for (int i = 0; i < n; i++) {
		p->config[off + (unsigned)i] = (uint8_t)(v >> 8 * i);
		p->reset_config[off + (unsigned)i] = (uint8_t)(v >> 8 * i);
		p->wmask[off + (unsigned)i] = (uint8_t)(wmask >> 8 * i);
	}
}

void pci_keep_config(struct pci_dev *p, unsigned off, unsigned n)
{
	assert(p->n_kept < PCI_NKEPT && off + n <= sizeof(p->config));
	p->kept[p->n_kept].off = (uint16_t)off;
	p->kept[p->n_kept++].n = (uint16_t)n;
}

/* 6.2.5.1: type bits read-only, address bits below the size read as zero. */
static struct pci_bar *bar_define(struct pci_dev *p, int bar, enum pci_bar_kind kind, uint64_t size,
				  bool prefetch)
{
	struct pci_bar *b = &p->bars[bar];
	uint32_t mask = (uint32_t)~(size - 1);
	assert(size >= 4 && !(size & (size - 1)) && b->kind == PCI_BAR_NONE);
	*b = (struct pci_bar){ .kind = kind, .size = size, .prefetch = prefetch };
	if (bar == PCI_ROM_BAR)
		pci_set_config(p, PCI_ROM, 4, 0, (mask & ~0x7ffu) | 1);
	else if (kind == PCI_BAR_IO)
		pci_set_config(p, bar_reg(bar), 4, 1, mask & ~3u);
	else
		pci_set_config(p, bar_reg(bar), 4, prefetch ? 8 : 0, mask & ~15u);
	return b;
}

bool pci_bar_io(struct pci_dev *p, int bar, unsigned size, const struct port_ops *ops, void *opaque,
		struct err *e)
{
	struct pci_bar *b = bar_define(p, bar, PCI_BAR_IO, size, false);
	b->port = port_map(p->dev.m, 0, size, ops, opaque, p->dev.type->name);
	if (!b->port)
		return err_set(e, "cannot map ports");
	port_set(p->dev.m, b->port, 0, false);
	return true;
}

bool pci_bar_mmio(struct pci_dev *p, int bar, uint64_t size, const struct mmio_ops *ops, void *opaque,
		  struct err *e)
{
	struct pci_bar *b = bar_define(p, bar, PCI_BAR_MMIO, size, false);
	b->mmio = mmio_map(p->dev.m, 0, size, 1, ops, opaque, p->dev.type->name, e);
	if (!b->mmio)
		return false;
	mmio_set(p->dev.m, b->mmio, 0, false);
	return true;
}

static bool bar_memory(struct pci_dev *p, struct pci_bar *b, struct ram *r, bool readonly, struct err *e)
{
	struct phys_range range = {
		.pa = 0, .size = r->size, .prio = 1, .rram = r, .wram = readonly ? NULL : r,
		.nowrite = readonly, .name = r->name,
	};
	b->mem = phys_map(p->dev.m->phys, &range, e);
	if (!b->mem)
		return false;
	phys_map_set(p->dev.m->phys, b->mem, 0, false);
	return true;
}

bool pci_bar_ram(struct pci_dev *p, int bar, struct ram *r, bool prefetch, struct err *e)
{
	return bar_memory(p, bar_define(p, bar, PCI_BAR_MEM, r->size, prefetch), r, false, e);
}

static bool rom_bar(struct pci_dev *p, FILE *fp, struct err *e)
{
	struct stat st;
	uint64_t size = MIN_ROM;

	if (fstat(fileno(fp), &st))
		return err_errno(e, "romfile '%s'", p->romfile);
	if (!S_ISREG(st.st_mode) || !st.st_size || st.st_size > MAX_ROM)
		return err_set(e, "romfile '%s' is no expansion ROM: expected a file of up to %d MiB", p->romfile,
			       MAX_ROM >> 20);
	while (size < (uint64_t)st.st_size)
		size *= 2;
	p->rom = phys_ram_new(p->dev.m->phys, p->dev.type->name, size, e);
	if (!p->rom)
		return false;
	if (fread(p->rom->host, 1, (size_t)st.st_size, fp) != (size_t)st.st_size)
		return err_set(e, "romfile '%s': cannot be read", p->romfile);
	phys_ram_written(p->dev.m->phys, p->rom, 0, size);
	return bar_memory(p, bar_define(p, PCI_ROM_BAR, PCI_BAR_MEM, size, false), p->rom, true, e);
}

bool pci_romfile(struct pci_dev *p, struct err *e)
{
	if (!p->romfile || !*p->romfile)
		return true;
	FILE *fp = fopen(p->romfile, "rb");
	if (!fp)
		return err_errno(e, "romfile '%s'", p->romfile);
	bool ok = rom_bar(p, fp, e);
	fclose(fp);
	return ok;
}

/* ---- capabilities ---- */

uint8_t pci_add_cap(struct pci_dev *p, uint8_t id, uint8_t n)
{
	uint8_t at = p->cap_end;
	assert(at + n <= 256);
	pci_set_config(p, p->last_cap ? p->last_cap + 1u : PCI_CAP_PTR, 1, at, 0);
	pci_set_config(p, at, 2, id, 0);
	pci_set_config(p, PCI_STATUS, 2, ld16(p->config + PCI_STATUS) | PCI_STATUS_CAPS, 0);
	p->last_cap = at;
	p->cap_end = (uint8_t)align_up(at + n, 4);
	return at;
}

void pci_add_msi(struct pci_dev *p)
{
	p->msi_cap = pci_add_cap(p, CAP_MSI, MSI_LEN);
	pci_set_config(p, p->msi_cap + MSI_CTRL, 2, MSI_64, MSI_ENABLE);
	pci_set_config(p, p->msi_cap + MSI_ADDR, 4, 0, ~3u);
	pci_set_config(p, p->msi_cap + MSI_ADDR + 4, 4, 0, ~0u);
	pci_set_config(p, p->msi_cap + MSI_DATA, 2, 0, 0xffff);
}

bool pci_msi_enabled(const struct pci_dev *p)
{
	return p->msi_cap && p->config[p->msi_cap + MSI_CTRL] & MSI_ENABLE;
}

/* ---- interrupts ---- */

static bool drives_intx(const struct pci_dev *p)
{
	return p->intx && !pci_msi_enabled(p) && !pci_msix_enabled(p) && !(pci_command(p) & PCI_CMD_NOINTX);
}

/* A bridge turns pin p of slot n into its own pin (n + p) mod 4. */
static void pull(struct pci_dev *p, void *opaque)
{
	int *n = opaque, slot = p->devfn >> 3, pin = p->config[PCI_INT_PIN] - 1;
	struct pci_bus *b = p->bus;

	if (pin < 0 || !drives_intx(p))
		return;
	for (; b->bridge; b = b->bridge->bus) {
		pin = (slot + pin) & 3;
		slot = b->bridge->devfn >> 3;
	}
	if (b->map_irq)
		n[b->map_irq(slot, pin) % b->n_irqs]++;
}

/* Count the functions that pull each output, and drive it. */
void pci_irqs_update(struct pci_bus *b)
{
	int n[PCI_NIRQS] = { 0 };

	b = pci_root(b);
	pci_each(b, pull, n);
	for (int i = 0; i < PCI_NIRQS; i++) {
		bool was = b->n_asserted[i];
		b->n_asserted[i] = n[i];
		if (was != !!n[i])
			irq_set(b->irq[i], !!n[i]);
	}
}

static void send_msi(struct pci_dev *p)
{
	const uint8_t *c = p->config + p->msi_cap;
	if (pci_command(p) & PCI_CMD_MASTER)
		machine_msi(p->dev.m, ld64(c + MSI_ADDR), ld16(c + MSI_DATA));
}

void pci_set_irq(struct pci_dev *p, bool level)
{
	if (p->intx == level)
		return;
	p->intx = level;
	dev_irq_changed(&p->dev, level);
	uint16_t st = ld16(p->config + PCI_STATUS) & (uint16_t)~PCI_STATUS_INTX;
	st16(p->config + PCI_STATUS, st | (level ? PCI_STATUS_INTX : 0));
	if (level && pci_msi_enabled(p))
		send_msi(p);
	if (p->bus)
		pci_irqs_update(p->bus);
}

/* ---- configuration access ---- */

/* Down the bridges whose ranges of bus numbers hold this one. */
static struct pci_dev *find(struct pci_bus *b, int bus, int devfn)
{
	int number = b->bridge ? b->bridge->config[PCI_SECONDARY] : 0;

	if (bus == number)
		return b->fn[devfn & 0xff];
	for (int i = 0; i < 256; i++) {
		const struct pci_dev *p = b->fn[i];
		if (p && p->below && bus >= p->config[PCI_SECONDARY] && bus <= p->config[PCI_SUBORDINATE]
		    && p->config[PCI_SECONDARY] > number)
			return find(p->below, bus, devfn);
	}
	return NULL;
}

static unsigned config_size(const struct pci_dev *p)
{
	return p->express ? PCI_CONFIG_SIZE : 256;
}

uint32_t pci_config_read(struct pci_bus *b, int bus, int devfn, unsigned off, int n)
{
	struct pci_dev *p = find(b, bus, devfn);
	uint32_t v = 0;
	if (!p || off + (unsigned)n > config_size(p))
		return (uint32_t)size_mask(n);
	if (p->config_read)
		p->config_read(p, off, n);
	for (int i = 0; i < n; i++)
		v |= (uint32_t)p->config[off + (unsigned)i] << 8 * i;
	return v;
}

void pci_config_write(struct pci_bus *b, int bus, int devfn, unsigned off, int n, uint32_t v)
{
	struct pci_dev *p = find(b, bus, devfn);
	if (!p || off + (unsigned)n > config_size(p))
		return;
	for (int i = 0; i < n; i++) {
		unsigned o = off + (unsigned)i;
		uint8_t byte = (uint8_t)(v >> 8 * i);
		p->config[o] = (uint8_t)((p->config[o] & ~p->wmask[o]) | (byte & p->wmask[o]));
		p->config[o] &= (uint8_t)~(byte & p->w1c[o]);
	}
	pci_bars_update(p);
	pci_irqs_update(b);
	pci_msix_update(p);
	if (p->config_written)
		p->config_written(p, off, n);
}

/* ---- life ---- */

void pci_bus_init(struct pci_bus *b, struct machine *m)
{
	*b = (struct pci_bus){ .m = m, .n_irqs = 4, .n_slots = 32 };
}

static bool take_place(struct pci_dev *p, struct err *e)
{
	struct pci_bus *b = p->parent ? p->parent : p->dev.m->pci;
	if (!b)
		return err_set(e, "this board has no PCI bus");
	for (int slot = 0; p->devfn < 0 && slot < b->n_slots; slot++)
		if (!b->fn[slot * 8])
			p->devfn = slot * 8;
	if (p->devfn < 0 || p->devfn >= 8 * b->n_slots)
		return err_set(e, p->devfn < 0 ? "no free PCI slot" : "the bus has no slot %d", p->devfn >> 3);
	if (b->fn[p->devfn])
		return err_set(e, "PCI address %x.%x is taken by %s", (unsigned)p->devfn >> 3,
			       (unsigned)p->devfn & 7, b->fn[p->devfn]->dev.id);
	p->bus = b;
	b->fn[p->devfn] = p;
	return true;
}

bool pci_attach(struct pci_dev *p, const struct pci_ids *ids, struct err *e)
{
	if (!take_place(p, e))
		return false;
	p->cap_end = FIRST_CAP;
	pci_set_config(p, PCI_VENDOR, 2, ids->vendor, 0);
	pci_set_config(p, PCI_DEVICE, 2, ids->device, 0);
	pci_set_config(p, PCI_COMMAND, 2, 0,
		       PCI_CMD_IO | PCI_CMD_MEM | PCI_CMD_MASTER | PCI_CMD_NOINTX | 0x100);
	pci_set_config(p, PCI_REVISION, 1, ids->revision, 0);
	pci_set_config(p, PCI_CLASS, 3, ids->class, 0);
	pci_set_config(p, PCI_CACHE_LINE, 2, 0, 0xffff);
	pci_set_config(p, PCI_HEADER, 1, (ids->multifunction || p->multifunction ? PCI_MULTIFUNCTION : 0)
		       | (ids->bridge ? PCI_TYPE_BRIDGE : 0), 0);
	if (!ids->bridge) {
		pci_set_config(p, PCI_SUBVENDOR, 2, ids->subvendor, 0);
		pci_set_config(p, PCI_SUBDEVICE, 2, ids->subdevice, 0);
	}
	pci_set_config(p, PCI_INT_LINE, 1, 0, 0xff);
	pci_set_config(p, PCI_INT_PIN, 1, ids->int_pin, 0);
	p->dev.has_irq = ids->int_pin != 0;
	p->w1c[PCI_STATUS + 1] = 0xf9;
	return true;
}

static void reset_config(struct pci_dev *p)
{
	uint8_t was[PCI_CONFIG_SIZE];

	memcpy(was, p->config, sizeof(was));
	memcpy(p->config, p->reset_config, sizeof(p->config));
	for (unsigned i = 0; p->dev.m->waking && i < p->n_kept; i++)
		memcpy(p->config + p->kept[i].off, was + p->kept[i].off, p->kept[i].n);
}

void pci_reset(struct pci_dev *p)
{
	reset_config(p);
	pci_msix_reset(p);
	p->intx = false;
	pci_bars_update(p);
	if (p->bus)
		pci_irqs_update(p->bus);
}

bool pci_loaded(struct pci_dev *p)
{
	pci_bars_update(p);
	if (p->bus)
		pci_irqs_update(p->bus);
	return true;
}

void pci_detach(struct pci_dev *p)
{
	if (!p->bus)
		return;
	for (int i = 0; i <= PCI_ROM_BAR; i++) {
		struct pci_bar *b = &p->bars[i];
		if (b->kind == PCI_BAR_IO)
			port_unmap(p->dev.m, b->port);
		else if (b->kind == PCI_BAR_MMIO)
			mmio_unmap(p->dev.m, b->mmio);
		else if (b->kind == PCI_BAR_MEM && b->mem)
			phys_unmap(p->dev.m->phys, b->mem);
		b->kind = PCI_BAR_NONE;
	}
	phys_ram_drop(p->dev.m->phys, p->rom);
	p->rom = NULL;
	p->bus->fn[p->devfn] = NULL;
	pci_irqs_update(p->bus);
	p->bus = NULL;
}

void pci_eject(struct pci_bus *b, int slot)
{
	for (int fn = 0; fn < 8; fn++)
		if (b->fn[slot * 8 + fn] && !b->fn[slot * 8 + fn]->dev.type->fixed)
			dev_unplug(&b->fn[slot * 8 + fn]->dev);
}

/* ---- bus mastering ---- */

bool pci_dma_read(struct pci_dev *p, uint64_t pa, void *buf, uint64_t n)
{
	if (!(pci_command(p) & PCI_CMD_MASTER)) {
		memset(buf, 0xff, n);
		return false;
	}
	dma_read(p->dev.m, pa, buf, n);
	return true;
}

bool pci_dma_write(struct pci_dev *p, uint64_t pa, const void *buf, uint64_t n)
{
	if (!(pci_command(p) & PCI_CMD_MASTER))
		return false;
	dma_write(p->dev.m, pa, buf, n);
	return true;
}
