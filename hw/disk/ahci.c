/*
 * AHCI: SATA ports whose commands are lists in memory. The host sets a bit of PxCI for
 * a slot of the list; the controller fetches the command, moves its data from and to
 * the regions it names, and reports by FISes written to memory and interrupts.
 *
 * Queued commands (NCQ) run side by side, any other alone. An error stops a port until
 * software restarts it.
 *
 * Not modelled: port multipliers, power states of the link, command completion
 * coalescing, enclosure management, staggered spin-up, the legacy IDE interface.
 * Source: Serial ATA AHCI 1.3.1 Specification; Serial ATA 2.6, 10.3 (FISes); Intel ICH9
 * datasheet for the PCI function.
 */
#include "hw/disk/ahci_priv.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MMIO_SIZE	0x1000u
#define PORTS_AT	0x100u
#define PORT_SIZE	0x80u

/* Capabilities: 64-bit, queueing, AHCI only, list override, 32 slots, first generation. */
#define CAP		(BIT(31) | BIT(30) | BIT(24) | 1u << 20 | BIT(18) | (AHCI_SLOTS - 1) << 8 | (AHCI_PORTS - 1))
#define VERSION		0x00010300u
#define GHC_HR		BIT(0)
#define GHC_IE		BIT(1)
#define GHC_AE		BIT(31)

#define CMD_ST		BIT(0)
#define CMD_SUD		BIT(1)
#define CMD_POD		BIT(2)
#define CMD_CLO		BIT(3)
#define CMD_FRE		BIT(4)
#define CMD_FR		BIT(14)
#define CMD_CR		BIT(15)
#define CMD_ATAPI	BIT(24)
#define CMD_KEPT	(CMD_ST | CMD_SUD | CMD_POD | CMD_FRE | CMD_ATAPI | BIT(25))	/* links change their state at once */

#define IS_DHRS		BIT(0)
#define IS_PSS		BIT(1)
#define IS_SDBS		BIT(3)
#define IS_PCS		BIT(6)
#define IS_TFES		BIT(30)
#define IE_BITS		0xfdc000ffu
#define IS_CLEAR	0xfd8000afu
#define SERR_X		BIT(26)		/* exchanged */

#define SSTS_UP		0x113u		/* device and link there, first generation, active */
#define SIG_DISK	0x00000101u
#define SIG_CD		0xeb140101u

enum { RX_PIO = 0x20, RX_D2H = 0x40, RX_SDB = 0x58 };
enum { FIS_H2D = 0x27, FIS_D2H = 0x34, FIS_PIO = 0x5f, FIS_SDB = 0xa1 };
#define FIS_I		0x40u
#define CTL_SRST	0x04u
#define MOST_REGIONS	65536u

/* ---- interrupts ---- */

static void ahci_update(void *dev)
{
	struct ahci *h = dev;

	for (unsigned i = 0; i < AHCI_PORTS; i++)
		if (h->port[i].r.is & h->port[i].r.ie)
			h->is |= 1u << i;
	pci_set_irq(&h->pci, h->ghc & GHC_IE && h->is);
}

static void report(struct ahci_port *p, uint32_t bits)
{
	p->r.is |= bits;
	ahci_update(p->hba);
}

/* ---- FISes to the host ---- */

static void put_fis(struct ahci_port *p, unsigned at, const uint8_t *fis, unsigned n)
{
	if (p->r.cmd & CMD_FRE)
		pci_dma_write(&p->hba->pci, p->r.fb + at, fis, n);
}

/* Register - Device to Host, with the address and count of the command. */
static void put_d2h(struct ahci_port *p, const uint8_t *from)
{
	uint8_t fis[20] = { FIS_D2H, FIS_I, (uint8_t)p->r.tfd, (uint8_t)(p->r.tfd >> 8) };

	memcpy(fis + FIS_LBA, from + FIS_LBA, 7);
	fis[FIS_COUNT] = from[FIS_COUNT];
	fis[FIS_COUNT_EXT] = from[FIS_COUNT_EXT];
	put_fis(p, RX_D2H, fis, sizeof(fis));
}

static void put_pio_setup(struct ahci_cmd *c)
{
	uint8_t fis[20] = { FIS_PIO, FIS_I | 0x20, ST_DRDY | ST_DSC | ST_DRQ, 0 };

	memcpy(fis + FIS_LBA, c->fis + FIS_LBA, 7);
	fis[FIS_COUNT] = c->fis[FIS_COUNT];
	fis[15] = (uint8_t)c->port->r.tfd;		/* status at the end */
	st16(fis + 16, (uint16_t)c->moved);
	put_fis(c->port, RX_PIO, fis, sizeof(fis));
}

static void put_set_bits(struct ahci_port *p, uint32_t bits)
{
	uint8_t fis[8] = { FIS_SDB, FIS_I, (uint8_t)(p->r.tfd & 0x77), (uint8_t)(p->r.tfd >> 8) };

	st32(fis + 4, bits);
	put_fis(p, RX_SDB, fis, sizeof(fis));
}

/* After a reset the device tells what it is. */
static void put_signature(struct ahci_port *p)
{
	uint8_t fis[AHCI_CFIS] = { 0 };

	p->r.sig = p->cdrom ? SIG_CD : SIG_DISK;
	p->r.tfd = (p->cdrom ? 0u : ST_DRDY | ST_DSC) | 1u << 8;
	fis[FIS_LBA] = fis[FIS_COUNT] = 1;
	fis[FIS_LBA + 1] = (uint8_t)(p->r.sig >> 16);
	fis[FIS_LBA + 2] = (uint8_t)(p->r.sig >> 24);
	put_d2h(p, fis);
}

/* ---- memory of a command ---- */

/* The region at hand: where it goes on, how much of it is left. False: there are no more. */
static bool region(struct ahci_cmd *c, uint64_t *pa, uint32_t *n)
{
	uint8_t e[16];

	for (; c->region < c->n_regions; c->region++, c->used = 0) {
		uint32_t size;
		if (!pci_dma_read(&c->port->hba->pci, c->table + 16u * c->region, e, sizeof(e)))
			return false;
		size = (ld32(e + 12) & 0x3fffff) + 1;
		if (c->used < size) {
			*pa = (ld64(e) & ~1ull) + c->used;
			*n = size - c->used;
			return true;
		}
	}
	return false;
}

uint64_t ahci_gather(struct ahci_cmd *c, uint64_t n, uint32_t unit, bool to_guest)
{
	uint32_t region_was = c->region, used_was = c->used, k;
	uint64_t done = 0, pa;

	sg_begin(&c->sg, c->port->hba->pci.dev.m, to_guest);
	while (done < n && region(c, &pa, &k)) {
		k = (uint32_t)min_u64(k, n - done);
		if (!sg_add(&c->sg, pa, k))
			break;
		done += k;
		c->used += k;
	}
	if (done == n || !(done % unit))
		return done;
	c->region = region_was;		/* the rest of a unit goes with the next piece */
	c->used = used_was;
	return ahci_gather(c, done - done % unit, unit, to_guest);
}

void ahci_answer(struct ahci_cmd *c, const void *p, uint32_t n)
{
	uint64_t got = ahci_gather(c, n, 1, true);

	sg_put(&c->sg, 0, p, got);
	sg_written(&c->sg, got);
	c->moved += (uint32_t)got;
}

/* ---- commands ---- */

static void run_port(struct ahci_port *p);

static void stop_command(struct ahci_cmd *c)
{
	if (!c->running)
		return;
	drive_cancel(&c->r);
	if (c->port->cdrom)
		scsi_cancel(&c->port->scsi);
	c->running = false;
}

static void stop_all(struct ahci_port *p)
{
	for (unsigned i = 0; i < AHCI_SLOTS; i++)
		stop_command(&p->cmd[i]);
	p->running = 0;
	p->alone = AHCI_NO_SLOT;
}

static void put_count(const struct ahci_cmd *c)
{
	uint8_t n[4];

	st32(n, c->moved);
	pci_dma_write(&c->port->hba->pci, c->port->r.clb + 32u * c->slot + 4, n, sizeof(n));
}

/* A queued one: its bit of SActive goes. A device that fails one gives up all. */
static void queued_done(struct ahci_cmd *c, uint8_t error)
{
	struct ahci_port *p = c->port;
	uint32_t bit = 1u << c->slot;

	if (error) {
		stop_all(p);
		p->r.failed_tag = c->slot;
		p->r.failed_error = error;
		put_set_bits(p, 0);
		report(p, IS_SDBS | IS_TFES);
		return;
	}
	p->r.sact &= ~bit;
	put_set_bits(p, bit);
	report(p, IS_SDBS);
}

static void single_done(struct ahci_cmd *c, uint8_t error)
{
	struct ahci_port *p = c->port;

	put_count(c);
	if (error) {
		put_d2h(p, c->fis);
		report(p, IS_DHRS | IS_TFES);
		return;
	}
	p->r.ci &= ~(1u << c->slot);
	if (c->pio_in) {
		put_pio_setup(c);
		report(p, IS_PSS);
	} else {
		put_d2h(p, c->fis);
		report(p, IS_DHRS);
	}
}

void ahci_done(struct ahci_cmd *c, uint8_t error)
{
	struct ahci_port *p = c->port;

	c->running = false;
	p->running &= ~(1u << c->slot);
	p->r.tfd = ST_DRDY | ST_DSC | (error ? ST_ERR | (uint32_t)error << 8 : 0);
	if (c->ncq) {
		queued_done(c, error);
	} else {
		p->alone = AHCI_NO_SLOT;
		single_done(c, error);
	}
	run_port(p);
}

/* Not a command: the control register was written. Setting and clearing SRST resets the device. */
static void control_fis(struct ahci_cmd *c)
{
	struct ahci_port *p = c->port;
	bool srst = c->fis[FIS_CONTROL] & CTL_SRST;

	p->r.ci &= ~(1u << c->slot);
	if (p->r.resetting && !srst) {
		if (p->cdrom)
			scsi_unit_reset(&p->unit);
		put_signature(p);
	}
	p->r.resetting = srst;
}

/* Read the slot's command. False: memory cannot be reached now. */
static bool fetch(struct ahci_port *p, unsigned slot, uint8_t *packet)
{
	struct ahci_cmd *c = &p->cmd[slot];
	struct pci_dev *pci = &p->hba->pci;
	uint8_t head[16];
	uint64_t at;

	if (!pci_dma_read(pci, p->r.clb + 32u * slot, head, sizeof(head)))
		return false;
	at = ld64(head + 8) & ~0x7full;
	c->n_regions = ld16(head + 2);
	c->write = head[0] & 0x40;
	c->table = at + 0x80;
	c->region = c->used = c->moved = 0;
	c->ncq = c->pio_in = false;
	return pci_dma_read(pci, at, c->fis, sizeof(c->fis)) && pci_dma_read(pci, at + 0x40, packet, 16);
}

static bool halted(const struct ahci_port *p)
{
	return !(p->r.cmd & CMD_ST) || p->r.tfd & ST_ERR || !p->present;
}

/* False: it has to wait. */
static bool start(struct ahci_port *p, unsigned slot)
{
	struct ahci_cmd *c = &p->cmd[slot];
	uint8_t packet[16];

	if (p->alone != AHCI_NO_SLOT || !fetch(p, slot, packet))
		return false;
	if (c->fis[0] != FIS_H2D || !(c->fis[FIS_FLAGS] & 0x80)) {
		control_fis(c);
		return true;
	}
	c->ncq = !p->cdrom && ahci_is_queued(c->fis[FIS_COMMAND]);
	if (!c->ncq && p->running)
		return false;
	c->running = true;
	p->running |= 1u << slot;
	if (c->ncq) {
		p->r.ci &= ~(1u << slot);
	} else {
		p->alone = (uint8_t)slot;
		p->r.tfd |= ST_BSY;
	}
	ahci_execute(c, packet);
	return true;
}

/* Start what can be; a command that ends at once calls this again from within. */
static void run_port(struct ahci_port *p)
{
	for (unsigned i = 0; i < AHCI_SLOTS && !halted(p); i++)
		if (p->r.ci & ~p->running & 1u << i)
			start(p, i);
}

/* ---- ports' registers ---- */

static void link_reset(struct ahci_port *p)
{
	stop_all(p);
	p->r.ci = p->r.sact = 0;
	p->r.resetting = 0;
	p->r.failed_tag = AHCI_NO_SLOT;
	p->r.ssts = 0;
	p->r.sig = 0xffffffffu;
	p->r.tfd = 0x7f;
	if (!p->present)
		return;
	p->r.ssts = SSTS_UP;
	p->r.serr |= SERR_X;
	p->r.is |= IS_PCS;
	if (p->cdrom)
		scsi_unit_reset(&p->unit);
	put_signature(p);
}

static void cmd_write(struct ahci_port *p, uint32_t v)
{
	uint32_t old = p->r.cmd;

	p->r.cmd = (v & CMD_KEPT) | (v & CMD_FRE ? CMD_FR : 0) | (v & CMD_ST ? CMD_CR : 0);
	if (v & CMD_CLO)
		p->r.tfd &= ~(uint32_t)(ST_BSY | ST_DRQ);
	if (!(v & CMD_ST)) {
		stop_all(p);
		p->r.ci = p->r.sact = 0;
		p->r.tfd &= ~(uint32_t)ST_BSY;
	} else if (!(old & CMD_ST)) {
		p->r.tfd &= ~(uint32_t)ST_ERR;
	}
	if (v & CMD_FRE && !(old & CMD_FRE) && p->present && !(p->r.cmd & CMD_ST))
		put_signature(p);
	run_port(p);
}

static void sctl_write(struct ahci_port *p, uint32_t v)
{
	uint32_t old = p->r.sctl;

	p->r.sctl = v & 0xfff;
	if ((old & 15) == 1 && (v & 15) == 0)	/* COMRESET ends */
		link_reset(p);
	if ((v & 15) == 4)
		p->r.ssts = 4;			/* switched off */
}

static uint32_t port_get(const struct ahci_port *p, unsigned off)
{
	switch (off) {
	case 0x00: return (uint32_t)p->r.clb;
	case 0x04: return (uint32_t)(p->r.clb >> 32);
	case 0x08: return (uint32_t)p->r.fb;
	case 0x0c: return (uint32_t)(p->r.fb >> 32);
	case 0x10: return p->r.is;
	case 0x14: return p->r.ie;
	case 0x18: return p->r.cmd;
	case 0x20: return p->r.tfd;
	case 0x24: return p->r.sig;
	case 0x28: return p->r.ssts;
	case 0x2c: return p->r.sctl;
	case 0x30: return p->r.serr;
	case 0x34: return p->r.sact;
	case 0x38: return p->r.ci;
	default:   return 0;
	}
}

static void set_half(uint64_t *reg, bool high, uint32_t v)
{
	*reg = high ? (*reg & 0xffffffffull) | (uint64_t)v << 32 : (*reg & ~0xffffffffull) | v;
}

static void port_put(struct ahci_port *p, unsigned off, uint32_t v)
{
	switch (off) {
	case 0x00: case 0x04:
		set_half(&p->r.clb, off & 4, off & 4 ? v : v & ~0x3ffu);
		break;
	case 0x08: case 0x0c:
		set_half(&p->r.fb, off & 4, off & 4 ? v : v & ~0xffu);
		break;
	case 0x10:
		p->r.is &= ~(v & IS_CLEAR);
		break;
	case 0x14:
		p->r.ie = v & IE_BITS;
		break;
	case 0x18:
		cmd_write(p, v);
		break;
	case 0x2c:
		sctl_write(p, v);
		break;
	case 0x30:
		p->r.serr &= ~v;
		if (v & SERR_X)
			p->r.is &= ~IS_PCS;
		break;
	case 0x34:
		p->r.sact |= p->r.cmd & CMD_ST ? v : 0;
		break;
	case 0x38:
		p->r.ci |= p->r.cmd & CMD_ST ? v : 0;
		run_port(p);
		break;
	}
}

/* ---- the controller's registers ---- */

static void port_reset(struct ahci_port *p)
{
	stop_all(p);
	p->r = (struct ahci_regs){ .cmd = CMD_SUD | CMD_POD, .write_cache = 1 };
	link_reset(p);
}

static void hba_reset(struct ahci *h)
{
	h->ghc = GHC_AE;
	h->is = 0;
	for (int i = 0; i < AHCI_PORTS; i++)
		port_reset(&h->port[i]);
}

static uint32_t hba_read(const struct ahci *h, unsigned off)
{
	switch (off) {
	case 0x00: return CAP;
	case 0x04: return h->ghc;
	case 0x08: return h->is;
	case 0x0c: return (1u << AHCI_PORTS) - 1;
	case 0x10: return VERSION;
	default:   return 0;
	}
}

static void hba_write(struct ahci *h, unsigned off, uint32_t v)
{
	switch (off) {
	case 0x04:
		if (v & GHC_HR)
			hba_reset(h);
		else
			h->ghc = (v & GHC_IE) | GHC_AE;
		break;
	case 0x08:			/* what is still pending interrupts again */
		h->is &= ~v;
		pci_set_irq(&h->pci, false);
		break;
	}
}

static uint64_t ahci_read(void *opaque, uint64_t off, int size)
{
	const struct ahci *h = opaque;
	unsigned reg = (unsigned)off & ~3u, port = (reg - PORTS_AT) / PORT_SIZE;
	uint32_t v = 0;

	if (reg < PORTS_AT)
		v = hba_read(h, reg);
	else if (port < AHCI_PORTS)
		v = port_get(&h->port[port], reg % PORT_SIZE);
	return v >> 8 * (off & 3) & size_mask(size);
}

/* Narrower writes are not defined by the specification. */
static void ahci_write(void *opaque, uint64_t off, int size, uint64_t v)
{
	struct ahci *h = opaque;
	unsigned reg = (unsigned)off, port = (reg - PORTS_AT) / PORT_SIZE;

	if (reg & 3 || size < 4) {
		log_guest("%s: %d bytes written at %#x", h->pci.dev.id, size, reg);
		return;
	}
	if (reg < PORTS_AT)
		hba_write(h, reg, (uint32_t)v);
	else if (port < AHCI_PORTS)
		port_put(&h->port[port], reg % PORT_SIZE, (uint32_t)v);
	ahci_update(h);
}

static const struct mmio_ops ahci_ops = { ahci_read, ahci_write, 4 };

/* ---- drives ---- */

static const struct drive_user disk_user = { .name = "a SATA disk" };

bool ahci_attach(struct dev *dev, int n, struct drive *drive, bool cdrom, const char *serial, struct err *e)
{
	struct ahci *h = (struct ahci *)dev;
	struct ahci_port *p = n >= 0 && n < AHCI_PORTS ? &h->port[n] : NULL;

	if (!p || p->present)
		return err_set(e, "SATA port %d is taken or does not exist", n);
	if (!cdrom && (!drive_present(drive) || drive_readonly(drive)))
		return err_set(e, drive_present(drive) ? "'%s': a SATA disk cannot be read-only"
			       : "'%s': a disk needs an image file", drive_id(drive));
	p->drive = drive;
	p->cdrom = cdrom;
	if (serial)
		snprintf(p->serial, sizeof(p->serial), "%s", serial);
	else
		snprintf(p->serial, sizeof(p->serial), "RH%05d", n + 1);
	if (cdrom) {
		p->unit = (struct scsi_unit){
			.dev = dev, .drive = drive, .vendor = "RHEA", .product = "DVD-ROM", .version = "1.0", .serial = p->serial,
		};
		p->scsi = (struct scsi_req){ .unit = &p->unit, .done = ahci_scsi_moved };
		p->unit.cd = true;
		p->present = scsi_unit_init(&p->unit, e);
	} else {
		p->present = drive_attach(drive, &disk_user, p, e);
	}
	if (p->present)
		port_reset(p);
	return p->present;
}

void ahci_detach(struct dev *dev, int n)
{
	struct ahci_port *p = &((struct ahci *)dev)->port[n];

	if (!p->present)
		return;
	stop_all(p);
	if (p->cdrom)
		scsi_unit_fini(&p->unit);
	else
		drive_detach(p->drive);
	p->present = p->cdrom = false;
	p->drive = NULL;
}

static const struct ata_controller places = { ahci_attach, ahci_detach };

/* ---- the device ---- */

static bool ahci_init(void *dev, struct err *e)
{
	static const struct pci_ids ids = {
		.vendor = 0x8086, .device = 0x2922, .subvendor = 0x1af4, .subdevice = 0x1100,
		.class = 0x010601, .revision = 2, .int_pin = 1,
	};
	struct ahci *h = dev;

	for (unsigned i = 0; i < AHCI_PORTS; i++) {
		struct ahci_port *p = &h->port[i];
		p->hba = h;
		p->n = i;
		p->alone = AHCI_NO_SLOT;
		p->cmd = calloc(AHCI_SLOTS, sizeof(*p->cmd));
		for (unsigned k = 0; p->cmd && k < AHCI_SLOTS; k++) {
			p->cmd[k].port = p;
			p->cmd[k].slot = (uint8_t)k;
		}
	}
	for (unsigned i = 0; i < AHCI_PORTS; i++)
		if (!h->port[i].cmd)
			return err_set(e, "no memory for SATA ports");
	if (!pci_attach(&h->pci, &ids, e) || !pci_bar_mmio(&h->pci, 5, MMIO_SIZE, &ahci_ops, h, e))
		return false;
	pci_set_config(&h->pci, 0x90, 1, 0x40, 0);	/* MAP: AHCI mode */
	pci_add_msi(&h->pci);
	for (unsigned i = 0; i < AHCI_PORTS; i++) {
		h->bus[i] = (struct ata_bus){ .controller = &places, .number = i, .units = 1 };
		ata_bus_init(&h->bus[i], &h->pci.dev);
	}
	return true;
}

static void port_fini(struct ahci_port *p)
{
	if (!p->cmd)
		return;
	stop_all(p);
	ahci_detach(&p->hba->pci.dev, (int)p->n);
	for (unsigned i = 0; i < AHCI_SLOTS; i++)
		sg_fini(&p->cmd[i].sg);
	free(p->cmd);
}

static void ahci_fini(void *dev)
{
	struct ahci *h = dev;

	for (int i = 0; i < AHCI_PORTS; i++)
		ata_bus_fini(&h->bus[i]);
	for (int i = 0; i < AHCI_PORTS; i++)
		port_fini(&h->port[i]);
	pci_detach(&h->pci);
}

static void ahci_reset(void *dev)
{
	struct ahci *h = dev;

	pci_reset(&h->pci);
	hba_reset(h);
}

/* What was under way (it waits for a disk that failed) begins again. */
static bool port_loaded(struct ahci_port *p, struct err *e)
{
	stop_all(p);
	if (p->cdrom && !scsi_unit_loaded(&p->unit, e))
		return false;
	p->r.tfd &= ~(uint32_t)ST_BSY;
	p->r.ci |= p->r.cmd & CMD_ST ? p->r.sact : 0;
	run_port(p);
	return true;
}

static bool ahci_loaded(void *dev, struct err *e)
{
	struct ahci *h = dev;
	bool ok = pci_loaded(&h->pci);

	for (int i = 0; i < AHCI_PORTS && ok; i++)
		ok = port_loaded(&h->port[i], e);
	return ok;
}

#define PORT_STATE(i) STATE_AS(ahci, port[i].r, "port" #i), STATE_AS(ahci, port[i].unit.attention, "attention" #i), \
	STATE_AS(ahci, port[i].unit.locked, "locked" #i), STATE_AS(ahci, port[i].unit.tray_open, "tray_open" #i), \
	STATE_AS(ahci, port[i].unit.media_event, "media_event" #i), STATE_AS(ahci, port[i].unit.write_cache, "write_cache" #i), \
	STATE_AS(ahci, port[i].unit.n_sense, "n_sense" #i), STATE_AS(ahci, port[i].unit.sense, "sense" #i)
static const struct state ahci_state[] = {
	STATE(ahci, ghc), STATE(ahci, is),
	PORT_STATE(0), PORT_STATE(1), PORT_STATE(2), PORT_STATE(3), PORT_STATE(4), PORT_STATE(5), { 0 }
};

const struct dev_type ahci_type = {
	.name = "ich9-ahci", .alias = "ahci", .bus = "pci", .help = "SATA controller with six ports",
	.size = sizeof(struct ahci), .version = 1, .state = ahci_state, .bus_props = pci_props, .bus_state = pci_state,
	.init = ahci_init, .fini = ahci_fini, .reset = ahci_reset, .update = ahci_update, .loaded = ahci_loaded,
	.boot_path = pci_boot_path,
};
