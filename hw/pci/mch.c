/*
 * Q35 (82G33/P35/Q35) memory controller hub, device 0: host bridge.
 *
 *	0x60 PCIEXBAR  where configuration space is mapped: bit 0 on, bits 2:1
 *	               256, 128 or 64 MiB, one MiB a bus
 *	0x90 PAM0-PAM6, 0x9d SMRAM (hw/pci/host.c)
 *	0x9e ESMRAMC   bit 0 T_EN, bits 2:1 size of TSEG (1, 2, 8 MiB), bit 7 H_SMRAME
 *
 * TSEG is the top of the RAM below 4 GiB: while it is enabled nobody but SMM code
 * sees it. With H_SMRAME the RAM behind the VGA window appears at 0xfeda0000 for SMM
 * code, not in the window. Locking SMRAM locks ESMRAMC as well.
 *
 * A store to the mapped configuration space may move memory, so it is executed alone.
 *
 * When the machine wakes from S3 configuration space is mapped where it last was: SeaBIOS
 * still accesses it there, opens SMRAM so, and then switches the mapping off by itself.
 *
 * Not modelled: DRAM registers, DMI, MCHBAR and EPBAR (they only store), the
 * graphics and manageability functions, devices' DMA to TSEG while a processor is in
 * SMM (it is not kept out).
 * Source: Intel 3 Series Express Chipset Family data sheet (316966-002), 5.1.
 */
#include "hw/pci/mch.h"

#define PCIEXBAR	0x60
#define PCIEXBAR_ON	1u
#define PAM0		0x90
#define SMRAM		0x9d
#define ESMRAMC		0x9e
#define ESMRAMC_T_EN	0x01u
#define ESMRAMC_HIGH	0x80u
#define ESMRAMC_RESET	0x38u
#define ESMRAMC_WMASK	0x87u

#define HIGH_SMRAM	0xfeda0000u
#define SMRAM_BASE	0xa0000u
#define SMRAM_SIZE	0x20000u
#define MIB		(1ull << 20)

#define PRIO_ECAM	1
#define PRIO_TSEG	3
#define NTSEG		3

struct mch {
	struct pci_host host;
	struct mmio *ecam[3];		/* one a size; at most one is mapped */
	struct phys_map *tseg[NTSEG];	/* nothing there: one a size */
	struct phys_map *high;
	uint64_t ecam_was;		/* the last PCIEXBAR that mapped something since the machine started */
};

static const unsigned ecam_buses[] = { 256, 128, 64 };
static const unsigned tseg_mib[NTSEG] = { 1, 2, 8 };

/* ---- configuration space in memory ---- */

static uint64_t ecam_read(void *opaque, uint64_t off, int size)
{
	struct mch *d = opaque;
	return pci_config_read(&d->host.bus, (int)(off >> 20), off >> 12 & 0xff, off & 0xfff, size);
}

static void ecam_write(void *opaque, uint64_t off, int size, uint64_t v)
{
	struct mch *d = opaque;
	pci_config_write(&d->host.bus, (int)(off >> 20), off >> 12 & 0xff, off & 0xfff, size, (uint32_t)v);
}

static const struct mmio_ops ecam_ops = { ecam_read, ecam_write, 4, true };

bool mch_ecam(const struct dev *dev, uint64_t *base, unsigned *buses)
{
	const struct mch *d = (const struct mch *)dev;
	uint64_t v = ld64(d->host.pci.config + PCIEXBAR);
	unsigned length = v >> 1 & 3;

	if (!(v & PCIEXBAR_ON) || length > 2)
		return false;
	*buses = ecam_buses[length];
	*base = v & 0xfffffff000 & ~(*buses * MIB - 1);
	return true;
}

static void ecam_update(struct mch *d)
{
	uint64_t base = 0;
	unsigned buses = 0;

	if (mch_ecam(&d->host.pci.dev, &base, &buses))
		d->ecam_was = ld64(d->host.pci.config + PCIEXBAR);
	for (int i = 0; i < 3; i++)
		mmio_set(d->host.pci.dev.m, d->ecam[i], base, buses == ecam_buses[i]);
}

/* ---- TSEG and high SMRAM ---- */

static void smram_changed(struct pci_host *h)
{
	struct mch *d = (struct mch *)h;
	struct phys *p = h->pci.dev.m->phys;
	uint8_t v = h->pci.config[ESMRAMC];
	bool open = pci_host_smram_open(h), high = v & ESMRAMC_HIGH;
	bool hidden = h->pci.config[SMRAM] & SMRAM_ENABLE && v & ESMRAMC_T_EN && !open;

	for (unsigned i = 0; i < NTSEG; i++)
		if (d->tseg[i])
			phys_map_set(p, d->tseg[i], h->low - tseg_mib[i] * MIB, hidden && (v >> 1 & 3) == i);
	if (!d->high)
		return;
	phys_map_set(p, d->high, HIGH_SMRAM, open && high);
	phys_map_set(p, h->smram, SMRAM_BASE, open && !high);
}

static bool map_tseg(struct mch *d, struct err *e)
{
	struct pci_host *h = &d->host;
	struct phys *p = h->pci.dev.m->phys;

	for (int i = 0; i < NTSEG; i++) {
		uint64_t size = tseg_mib[i] * MIB;
		struct phys_range r = {
			.pa = h->low - size, .size = size, .prio = PRIO_TSEG, .nowrite = true, .name = "tseg-hidden",
		};
		if (h->low > size && !(d->tseg[i] = phys_map(p, &r, e)))
			return false;
	}
	struct phys_range high = {
		.pa = HIGH_SMRAM, .size = SMRAM_SIZE, .prio = PRIO_TSEG, .rram = h->ram, .wram = h->ram,
		.off = SMRAM_BASE, .name = "smram-high",
	};
	d->high = phys_map(p, &high, e);
	return d->high;
}

bool mch_connect(struct dev *dev, struct ram *ram, struct ram *rom, uint64_t low, struct err *e)
{
	struct mch *d = (struct mch *)dev;

	if (!pci_host_connect(dev, ram, rom, low, e) || !map_tseg(d, e))
		return false;
	smram_changed(&d->host);
	return true;
}

/* ---- device ---- */

static void lock_update(struct mch *d)
{
	bool locked = d->host.pci.config[SMRAM] & SMRAM_LOCK;
	d->host.pci.wmask[ESMRAMC] = locked ? 0 : ESMRAMC_WMASK;
}

static void mch_config_written(struct pci_dev *p, unsigned off, int n)
{
	struct mch *d = (struct mch *)p;

	if (pci_touches(off, n, PCIEXBAR, 8))
		ecam_update(d);
	pci_host_written(&d->host, off, n);
	if (pci_touches(off, n, ESMRAMC, 1))
		smram_changed(&d->host);
	lock_update(d);
}

static bool mch_init(void *dev, struct err *e)
{
	static const struct pci_ids ids = { 0x8086, 0x29c0, 0x1af4, 0x1100, 0x060000, 0x00, 0, false };
	struct mch *d = dev;
	struct pci_dev *p = &d->host.pci;

	if (!pci_host_init(&d->host, &ids, PAM0, SMRAM, true, e))
		return false;
	p->config_written = mch_config_written;
	d->host.smram_changed = smram_changed;
	pci_set_config(p, 0x40, 4, 0, 0xffffffff);		/* EPBAR, MCHBAR, DMIBAR: stored */
	pci_set_config(p, 0x48, 4, 0, 0xffffffff);
	pci_set_config(p, 0x50, 2, 0, 0xffff);			/* stored, as where there is no larger TSEG */
	pci_set_config(p, PCIEXBAR, 4, 0, 0xfc000007);
	pci_set_config(p, PCIEXBAR + 4, 4, 0, 0x0f);
	pci_set_config(p, 0x68, 4, 0, 0xffffffff);
	pci_set_config(p, ESMRAMC, 1, ESMRAMC_RESET, ESMRAMC_WMASK);
	pci_set_config(p, 0x52, 2, 0x0030, 0x03f2);		/* graphics memory: stored */
	pci_set_config(p, 0xa0, 4, 0, 0xffffffff);		/* top of memory: stored */
	for (unsigned at = 0xa4; at <= 0xac; at += 4)		/* where firmware puts TSEG, and stolen memory: stored */
		pci_set_config(p, at, 4, 0, 0xfff00000);
	pci_set_config(p, 0xb0, 2, 0, 0xfff0);
	for (int i = 0; i < 3; i++) {
		d->ecam[i] = mmio_map(p->dev.m, 0, ecam_buses[i] * MIB, PRIO_ECAM, &ecam_ops, d, "pcie-config", e);
		if (!d->ecam[i])
			return false;
		mmio_set(p->dev.m, d->ecam[i], 0, false);
	}
	return true;
}

static void mch_fini(void *dev)
{
	struct mch *d = dev;

	for (int i = 0; i < 3; i++)
		mmio_unmap(d->host.pci.dev.m, d->ecam[i]);
	pci_host_fini(&d->host);
}

static void mch_reset(void *dev)
{
	struct mch *d = dev;

	pci_host_reset(&d->host);
	if (d->host.pci.dev.m->waking)
		st64(d->host.pci.config + PCIEXBAR, d->ecam_was);
	else
		d->ecam_was = 0;
	lock_update(d);
	ecam_update(d);
}

static bool mch_loaded(void *dev, struct err *e)
{
	struct mch *d = dev;

	(void)e;
	lock_update(d);
	ecam_update(d);
	return pci_host_loaded(&d->host);
}

static const struct state mch_state[] = {
	PCI_HOST_STATE, STATE(mch, ecam_was), { 0 }
};

const struct dev_type mch_type = {
	.name = "mch", .bus = "system", .help = "Q35 host bridge",
	.size = sizeof(struct mch), .version = 2, .state = mch_state,
	.bus_props = pci_props, .bus_state = pci_state,
	.init = mch_init, .fini = mch_fini, .reset = mch_reset, .loaded = mch_loaded,
};
