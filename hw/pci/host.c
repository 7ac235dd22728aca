/*
 * Host bridges: configuration mechanism 1, PAM, SMRAM.
 *
 * A doubleword at port 0xcf8 selects bus, function and register, 0xcfc-0xcff
 * access it. The PAM registers decide for thirteen areas between 768 KiB and
 * 1 MiB whether reads and writes go to RAM or to the ISA side, where the
 * firmware's ROM is. The SMRAM register opens RAM below the VGA window to SMM
 * code, or to everybody.
 *
 *	PAM0   bits 5:4  f0000-fffff
 *	PAM1   bits 1:0  c0000-c3fff   bits 5:4  c4000-c7fff
 *	...    16 KiB each
 *	PAM6   bits 1:0  e8000-ebfff   bits 5:4  ec000-effff
 *	(bit 0 of each pair: reads from RAM, bit 1: writes to RAM)
 *
 * Not modelled: SMRAM for one of several processors, writes to RAM below an
 * area whose reads come from ROM (they are lost).
 * Source: Intel 82441FX (PMC) data sheet, October 1996: 3.1 (configuration),
 * 3.2.18 PAM, 3.2.21 SMRAM; Intel 3 Series chipset data sheet (316966), 5.1.
 */
#include "hw/pci/host.h"

#define PAM_READ	1u
#define PAM_WRITE	2u

#define SMRAM_BASE	0xa0000u
#define SMRAM_SIZE	0x20000u
#define ROM_BASE	0xe0000u
#define ROM_SIZE	0x20000u

#define PRIO_PAM	2
#define PRIO_SMRAM	4

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
static unsigned area_control(const struct pci_host *h, int i)
{
	uint8_t pam = h->pci.config[h->pam_reg + (i + 1) / 2];
	return (i % 2 ? pam : pam >> 4) & 3;
}

static struct phys_range area_range(const struct pci_host *h, int i)
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

static void pam_update(struct pci_host *h)
{
	struct phys *p = h->pci.dev.m->phys;
	if (!h->ram)
		return;
	phys_begin(p);
	for (int i = 0; i < PCI_HOST_NAREAS; i++) {
		struct phys_range r = area_range(h, i);
		phys_map_redirect(p, h->area[i], &r);
	}
	phys_end(p);
}

/* ---- SMRAM ---- */

bool pci_host_smram_open(const struct pci_host *h)
{
	uint8_t v = h->pci.config[h->smram_reg];
	return v & SMRAM_ENABLE && (v & SMRAM_OPEN || (h->in_smm && !(v & SMRAM_CLOSED)));
}

static void smram_update(struct pci_host *h)
{
	if (h->smram)
		phys_map_set(h->pci.dev.m->phys, h->smram, SMRAM_BASE, pci_host_smram_open(h));
	if (h->smram_changed)
		h->smram_changed(h);
}

/* Locking clears D_OPEN and makes the register read-only until reset. */
static void smram_written(struct pci_host *h)
{
	if (h->pci.config[h->smram_reg] & SMRAM_LOCK) {
		h->pci.config[h->smram_reg] &= (uint8_t)~SMRAM_OPEN;
		h->pci.wmask[h->smram_reg] = 0;
	}
	smram_update(h);
}

void pci_host_smm(struct dev *dev, bool in_smm)
{
	struct pci_host *h = (struct pci_host *)dev;
	h->in_smm = in_smm;
	phys_begin(dev->m->phys);
	smram_update(h);
	phys_end(dev->m->phys);
}

void pci_host_written(struct pci_host *h, unsigned off, int n)
{
	if (pci_touches(off, n, h->pam_reg, PCI_HOST_NPAM))
		pam_update(h);
	if (pci_touches(off, n, h->smram_reg, 1))
		smram_written(h);
}

/* ---- configuration ports ---- */

static uint32_t ports_read(void *opaque, uint16_t off, int size)
{
	struct pci_host *h = opaque;
	if (off < 4)
		return off == 0 && size == 4 ? h->address : (uint32_t)size_mask(size);
	if (!(h->address & BIT(31)))
		return (uint32_t)size_mask(size);
	return pci_config_read(&h->bus, h->address >> 16 & 0xff, h->address >> 8 & 0xff,
			       (h->address & 0xfc) + (off & 3u), size);
}

static void ports_write(void *opaque, uint16_t off, int size, uint32_t v)
{
	struct pci_host *h = opaque;
	if (off < 4) {
		if (off == 0 && size == 4)
			h->address = v & 0x80fffffc;
	} else if (h->address & BIT(31)) {
		pci_config_write(&h->bus, h->address >> 16 & 0xff, h->address >> 8 & 0xff,
				 (h->address & 0xfc) + (off & 3u), size, v);
	}
}

static const struct port_ops ports_ops = { ports_read, ports_write, 4, 1 };

/* ---- for the board ---- */

bool pci_host_connect(struct dev *dev, struct ram *ram, struct ram *rom, uint64_t low, struct err *e)
{
	struct pci_host *h = (struct pci_host *)dev;
	struct phys *p = dev->m->phys;
	struct phys_range smram = {
		.pa = SMRAM_BASE, .size = SMRAM_SIZE, .prio = PRIO_SMRAM, .rram = ram, .wram = ram,
		.off = SMRAM_BASE, .name = "smram",
	};

	h->ram = ram;
	h->rom = rom;
	h->low = low;
	for (int i = 0; i < PCI_HOST_NAREAS; i++) {
		struct phys_range r = area_range(h, i);
		h->area[i] = phys_map(p, &r, e);
		if (!h->area[i])
			return false;
	}
	h->smram = phys_map(p, &smram, e);
	if (h->smram)
		smram_update(h);
	return h->smram;
}

/* ---- life ---- */

bool pci_host_init(struct pci_host *h, const struct pci_ids *ids, uint8_t pam_reg, uint8_t smram_reg,
		   bool express, struct err *e)
{
	struct machine *m = h->pci.dev.m;

	h->pam_reg = pam_reg;
	h->smram_reg = smram_reg;
	pci_bus_init(&h->bus, m);
	m->pci = &h->bus;
	h->bus.express = express;
	pci_bus_name(&h->bus, express ? "pcie.0" : "pci.0");
	h->ports = port_map(m, 0xcf8, 8, &ports_ops, h, "pci-config");
	if (!pci_attach(&h->pci, ids, e))
		return false;
	for (unsigned i = 0; i < PCI_HOST_NPAM; i++)
		pci_set_config(&h->pci, pam_reg + i, 1, 0, i ? 0x33 : 0x30);
	pci_keep_config(&h->pci, pam_reg, PCI_HOST_NPAM);
	pci_set_config(&h->pci, smram_reg, 1, SMRAM_RESET, SMRAM_WMASK);
	return true;
}

void pci_host_fini(struct pci_host *h)
{
	port_unmap(h->pci.dev.m, h->ports);
	pci_detach(&h->pci);
	machine_del_backend(h->pci.dev.m, "pci-bus", h->bus.express ? "pcie.0" : "pci.0");
	h->pci.dev.m->pci = NULL;
}

void pci_host_reset(struct pci_host *h)
{
	h->address = 0;
	h->in_smm = false;
	h->pci.wmask[h->smram_reg] = SMRAM_WMASK;
	pci_reset(&h->pci);
	pam_update(h);
	smram_update(h);
}

bool pci_host_loaded(struct pci_host *h)
{
	h->pci.wmask[h->smram_reg] = h->pci.config[h->smram_reg] & SMRAM_LOCK ? 0 : SMRAM_WMASK;
	pam_update(h);
	smram_update(h);
	return pci_loaded(&h->pci);
}
