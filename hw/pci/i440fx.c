/*
 * i440FX (82441FX) host bridge.
 *
 * Configuration mechanism 1: a doubleword at 0xcf8 selects bus, function and
 * register, 0xcfc-0xcff access it. The PAM registers decide for thirteen areas
 * between 768 KiB and 1 MiB whether reads and writes go to RAM or to the ISA
 * side, where the firmware's ROM is. The SMRAM register opens RAM below the VGA
 * window to SMM code, or to everybody.
 *
 *	0x59 PAM0   bits 5:4  f0000-fffff
 *	0x5a PAM1   bits 1:0  c0000-c3fff   bits 5:4  c4000-c7fff
 *	...         16 KiB each
 *	0x5f PAM6   bits 1:0  e8000-ebfff   bits 5:4  ec000-effff
 *	(bit 0 of each pair: reads from RAM, bit 1: writes to RAM)
 *
 * Not modelled: DRAM timing and row registers (they only store), ECC and error
 * reporting, the fixed hole at 15 MiB, SMRAM for one of several processors,
 * writes to RAM below an area whose reads come from ROM (they are lost).
 * Source: Intel 82441FX (PMC) data sheet, October 1996: 3.1 (configuration),
 * 3.2.18 PAM, 3.2.21 SMRAM.
 */
#include "hw/pci/i440fx.h"

#define PAM0		0x59
#define NPAM		I440FX_NPAM
#define NAREAS		13
#define PAM_READ	1u
#define PAM_WRITE	2u

#define SMRAM		0x72
#define SMRAM_RESET	0x02
#define SMRAM_ENABLE	0x08u
#define SMRAM_LOCK	0x10u
#define SMRAM_CLOSED	0x20u
#define SMRAM_OPEN	0x40u
#define SMRAM_WMASK	0x78u
#define SMRAM_BASE	0xa0000u
#define SMRAM_SIZE	0x20000u

#define ROM_BASE	0xe0000u
#define ROM_SIZE	0x20000u

#define PRIO_PAM	2
#define PRIO_SMRAM	4

struct i440fx {
	struct pci_dev pci;
	struct pci_bus bus;
	struct port_range *ports;
	struct ram *ram, *rom;
	struct phys_map *area[NAREAS], *smram;
	uint32_t address;		/* 0xcf8 */
	bool in_smm;
};

/* ---- PAM ---- */

static uint32_t area_base(int i)
{
	return i == 0 ? 0xf0000 : 0xc0000 + 0x4000 * ((uint32_t)i - 1);
}

static uint32_t area_size(int i)
{
	return i == 0 ? 0x10000 : 0x4000;
}

/* The two control bits of area i. */
static unsigned area_control(const struct i440fx *h, int i)
{
	uint8_t pam = h->pci.config[PAM0 + (i + 1) / 2];
	return (i % 2 ? pam : pam >> 4) & 3;
}

static struct phys_range area_range(const struct i440fx *h, int i)
{
	unsigned control = area_control(h, i);
	uint32_t base = area_base(i);
	struct phys_range r = {
		.pa = base, .size = area_size(i), .prio = PRIO_PAM, .off = base, .name = "pam",
	};
	bool has_rom = h->rom && base >= ROM_BASE;

	if (control & PAM_READ) {
		r.rram = h->ram;
		r.wram = control & PAM_WRITE ? h->ram : NULL;
		r.nowrite = !r.wram;
	} else {
		r.rram = has_rom ? h->rom : NULL;
		r.off = has_rom ? h->rom->size - ROM_SIZE + (base - ROM_BASE) : base;
		r.nowrite = true;
	}
	return r;
}

static void pam_update(struct i440fx *h)
{
	struct phys *p = h->pci.dev.m->phys;
	if (!h->ram)
		return;
	phys_begin(p);
	for (int i = 0; i < NAREAS; i++) {
		struct phys_range r = area_range(h, i);
		phys_map_redirect(p, h->area[i], &r);
	}
	phys_end(p);
}

/* ---- SMRAM ---- */

static void smram_update(struct i440fx *h)
{
	uint8_t v = h->pci.config[SMRAM];
	bool open = v & SMRAM_ENABLE && (v & SMRAM_OPEN || (h->in_smm && !(v & SMRAM_CLOSED)));
	if (h->smram)
		phys_map_set(h->pci.dev.m->phys, h->smram, SMRAM_BASE, open);
}

/* Locking clears D_OPEN and makes the register read-only until reset. */
static void smram_written(struct i440fx *h)
{
	if (h->pci.config[SMRAM] & SMRAM_LOCK) {
		h->pci.config[SMRAM] &= (uint8_t)~SMRAM_OPEN;
		h->pci.wmask[SMRAM] = 0;
	}
	smram_update(h);
}

void i440fx_smm(struct dev *dev, bool in_smm)
{
	struct i440fx *h = (struct i440fx *)dev;
	h->in_smm = in_smm;
	smram_update(h);
}

static bool touches(unsigned off, int n, unsigned first, unsigned count)
{
	return off < first + count && off + (unsigned)n > first;
}

static void i440fx_config_written(struct pci_dev *p, unsigned off, int n)
{
	struct i440fx *h = (struct i440fx *)p;
	if (touches(off, n, PAM0, NPAM))
		pam_update(h);
	if (touches(off, n, SMRAM, 1))
		smram_written(h);
}

/* ---- configuration ports ---- */

static uint32_t ports_read(void *opaque, uint16_t off, int size)
{
	struct i440fx *h = opaque;
	if (off < 4)
		return off == 0 && size == 4 ? h->address : (uint32_t)size_mask(size);
	if (!(h->address & BIT(31)))
		return (uint32_t)size_mask(size);
	return pci_config_read(&h->bus, h->address >> 16 & 0xff, h->address >> 8 & 0xff,
			       (h->address & 0xfc) + (off & 3u), size);
}

static void ports_write(void *opaque, uint16_t off, int size, uint32_t v)
{
	struct i440fx *h = opaque;
	if (off < 4) {
		if (off == 0 && size == 4)
			h->address = v & 0x80fffffc;
	} else if (h->address & BIT(31)) {
		pci_config_write(&h->bus, h->address >> 16 & 0xff, h->address >> 8 & 0xff,
				 (h->address & 0xfc) + (off & 3u), size, v);
	}
}

static const struct port_ops ports_ops = { ports_read, ports_write, 4, 1 };

/* ---- device ---- */

bool i440fx_connect(struct dev *dev, struct ram *ram, struct ram *rom, struct err *e)
{
	struct i440fx *h = (struct i440fx *)dev;
	struct phys *p = dev->m->phys;
	struct phys_range smram = {
		.pa = SMRAM_BASE, .size = SMRAM_SIZE, .prio = PRIO_SMRAM, .rram = ram, .wram = ram,
		.off = SMRAM_BASE, .name = "smram",
	};

	h->ram = ram;
	h->rom = rom;
	for (int i = 0; i < NAREAS; i++) {
		struct phys_range r = area_range(h, i);
		h->area[i] = phys_map(p, &r, e);
		if (!h->area[i])
			return false;
	}
	h->smram = phys_map(p, &smram, e);
	smram_update(h);
	return h->smram;
}

static bool i440fx_init(void *dev, struct err *e)
{
	static const struct pci_ids ids = { 0x8086, 0x1237, 0x1af4, 0x1100, 0x060000, 0x02, 0, false };
	struct i440fx *h = dev;

	pci_bus_init(&h->bus, h->pci.dev.m);
	h->pci.dev.m->pci = &h->bus;
	h->ports = port_map(h->pci.dev.m, 0xcf8, 8, &ports_ops, h, "pci-config");
	if (!pci_attach(&h->pci, &ids, e))
		return false;
	h->pci.config_written = i440fx_config_written;
	for (unsigned i = 0; i < NPAM; i++)
		pci_set_config(&h->pci, PAM0 + i, 1, 0, i ? 0x33 : 0x30);
	pci_set_config(&h->pci, 0x50, 4, 0, 0xffffffff);	/* PMC configuration, DRAM control: stored */
	pci_set_config(&h->pci, 0x57, 2, 1, 0xffff);
	pci_set_config(&h->pci, 0x60, 4, 0, 0xffffffff);	/* DRAM row boundaries: stored */
	pci_set_config(&h->pci, 0x64, 4, 0, 0xffffffff);
	pci_set_config(&h->pci, SMRAM, 1, SMRAM_RESET, SMRAM_WMASK);
	return true;
}

static void i440fx_fini(void *dev)
{
	struct i440fx *h = dev;
	port_unmap(h->pci.dev.m, h->ports);
	pci_detach(&h->pci);
	h->pci.dev.m->pci = NULL;
}

static void i440fx_reset(void *dev)
{
	struct i440fx *h = dev;
	h->address = 0;
	h->in_smm = false;
	h->pci.wmask[SMRAM] = SMRAM_WMASK;
	pci_reset(&h->pci);
	pam_update(h);
	smram_update(h);
}

void i440fx_get_pam(const struct dev *dev, uint8_t pam[NPAM])
{
	const struct i440fx *h = (const struct i440fx *)dev;
	for (int i = 0; i < NPAM; i++)
		pam[i] = h->pci.config[PAM0 + i];
}

void i440fx_set_pam(struct dev *dev, const uint8_t pam[NPAM])
{
	struct i440fx *h = (struct i440fx *)dev;
	for (int i = 0; i < NPAM; i++)
		h->pci.config[PAM0 + i] = pam[i];
	pam_update(h);
}

static bool i440fx_loaded(void *dev, struct err *e)
{
	struct i440fx *h = dev;
	(void)e;
	h->pci.wmask[SMRAM] = h->pci.config[SMRAM] & SMRAM_LOCK ? 0 : SMRAM_WMASK;
	pam_update(h);
	smram_update(h);
	return pci_loaded(&h->pci);
}

static const struct state i440fx_state[] = {
	STATE(i440fx, address), STATE(i440fx, in_smm), { 0 }
};

const struct dev_type i440fx_type = {
	.name = "i440FX", .bus = "system", .help = "i440FX host bridge",
	.size = sizeof(struct i440fx), .version = 1, .state = i440fx_state,
	.bus_props = pci_props, .bus_state = pci_state,
	.init = i440fx_init, .fini = i440fx_fini, .reset = i440fx_reset, .loaded = i440fx_loaded,
};
