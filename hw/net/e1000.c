/*
 * Intel 82540EM, a gigabit network card: registers, interrupts, and the receiver.
 *
 * BAR 0 is 128 KiB of registers, BAR 1 reaches the same ones through a pair of I/O
 * ports. Descriptor rings in memory belong to the device from head up to tail; a frame
 * fills as many receive buffers as it needs, with its frame check sequence behind it
 * unless the driver has it stripped.
 *
 * Not modelled: statistics (they read as zero), VLAN tags, interrupt throttling and
 * receive delays (an interrupt comes at once), receive checksums, flow control, wake-up,
 * the boot ROM.
 * Source: Intel PCI/PCI-X Family of Gigabit Ethernet Controllers Software Developer's
 * Manual, 3.2 (receiving), 13 (registers).
 */
#include "hw/net/e1000_priv.h"

#include <string.h>
#include <zlib.h>

#define REGS_SIZE	0x20000u
#define IO_SIZE		64u

#define CTRL_RST	BIT(26)
#define CTRL_PHY_RST	BIT(31)
#define STATUS_UP	0x83u		/* full duplex, link up, gigabit */

#define RCTL_EN		BIT(1)
#define RCTL_UPE	BIT(3)
#define RCTL_MPE	BIT(4)
#define RCTL_LPE	BIT(5)
#define RCTL_RDMTS(v)	((v) >> 8 & 3)
#define RCTL_MO(v)	((v) >> 12 & 3)
#define RCTL_BAM	BIT(15)
#define RCTL_BSIZE(v)	((v) >> 16 & 3)
#define RCTL_BSEX	BIT(25)
#define RCTL_SECRC	BIT(26)

#define RX_DD		0x01u
#define RX_EOP		0x02u
#define RX_IXSM		0x04u		/* no checksum was looked at */

#define RA_VALID	BIT(31)
#define MAX_FRAME	1522u		/* with check sequence, unless LPE */
#define FCS		4u

enum { MTA = 0x5200, RA = 0x5400, VFTA = 0x5600 };

/* ---- interrupts ---- */

static void e1000_update(void *dev)
{
	struct e1000 *d = dev;
	pci_set_irq(&d->pci, d->icr & d->ims);
}

void e1000_cause(struct e1000 *d, uint32_t bits)
{
	d->icr |= bits;
	e1000_update(d);
}

static void ics_write(void *dev, uint32_t v, uint32_t old)
{
	(void)old;
	((struct e1000 *)dev)->icr |= v & 0x1ffff;
}

static void ims_write(void *dev, uint32_t v, uint32_t old)
{
	(void)old;
	((struct e1000 *)dev)->ims |= v & 0x1ffff;
}

static void imc_write(void *dev, uint32_t v, uint32_t old)
{
	(void)old;
	((struct e1000 *)dev)->ims &= ~v;
}

/* ---- receiving ---- */

static uint32_t ring_size(const struct e1000_ring *r)
{
	return r->len / E1000_DESC;
}

static uint32_t buffer_size(uint32_t rctl)
{
	uint32_t size = 2048u >> RCTL_BSIZE(rctl);
	return rctl & RCTL_BSEX ? (size * 16 > 16384 ? 16384 : size * 16) : size;
}

static bool in_multicast_table(const struct e1000 *d, const uint8_t *mac)
{
	static const uint8_t shift[4] = { 4, 3, 2, 0 };
	uint32_t hash = (uint32_t)ld16(mac + 4) >> shift[RCTL_MO(d->rctl)] & 0xfff;
	return d->mta[hash >> 5] >> (hash & 31) & 1;
}

static bool wanted(const struct e1000 *d, const uint8_t *mac)
{
	static const uint8_t broadcast[6] = { 0xff, 0xff, 0xff, 0xff, 0xff, 0xff };

	if (!memcmp(mac, broadcast, 6) && d->rctl & RCTL_BAM)
		return true;
	if (d->rctl & (mac[0] & 1 ? RCTL_MPE : RCTL_UPE))
		return true;
	for (int i = 0; i < 16; i++)
		if (d->ra[2 * i + 1] & RA_VALID && ld32(mac) == d->ra[2 * i] && ld16(mac + 4) == (uint16_t)d->ra[2 * i + 1])
			return true;
	return mac[0] & 1 && in_multicast_table(d, mac);
}

static uint32_t descriptors_left(const struct e1000_ring *r)
{
	uint32_t n = ring_size(r);
	return r->tail >= r->head ? r->tail - r->head : n - r->head + r->tail;
}

/* One buffer's piece of the frame; the descriptor is given back. */
static void put_piece(struct e1000 *d, const uint8_t *p, uint32_t k, bool last)
{
	struct e1000_ring *r = &d->rx;
	uint64_t at = ((uint64_t)r->base_hi << 32 | r->base_lo) + E1000_DESC * r->head;
	uint8_t desc[E1000_DESC];

	pci_dma_read(&d->pci, at, desc, sizeof(desc));
	pci_dma_write(&d->pci, ld64(desc), p, k);
	st16(desc + 8, (uint16_t)k);
	st16(desc + 10, 0);
	desc[12] = RX_DD | RX_IXSM | (last ? RX_EOP : 0);
	desc[13] = 0;
	st16(desc + 14, 0);
	pci_dma_write(&d->pci, at, desc, sizeof(desc));
	r->head = r->head + 1 < ring_size(r) ? r->head + 1 : 0;
}

static bool receiver_on(const struct e1000 *d)
{
	return d->rctl & RCTL_EN && pci_command(&d->pci) & PCI_CMD_MASTER && ring_size(&d->rx)
		&& d->rx.tail < ring_size(&d->rx);
}

static bool e1000_input(void *opaque, const uint8_t *frame, size_t len)
{
	struct e1000 *d = opaque;
	uint8_t buf[NET_MAX_FRAME + FCS];
	uint32_t size = buffer_size(d->rctl);
	size_t n = len < 60 ? 60 : len;		/* short frames come padded from the wire */

	if (!receiver_on(d) || len < 14 || !wanted(d, frame) || (n + FCS > MAX_FRAME && !(d->rctl & RCTL_LPE)))
		return true;
	memcpy(buf, frame, len);
	memset(buf + len, 0, n - len);
	if (!(d->rctl & RCTL_SECRC)) {
		st32(buf + n, (uint32_t)crc32(0, buf, (uInt)n));
		n += FCS;
	}
	if (d->rx.head >= ring_size(&d->rx))
		d->rx.head = 0;
	if (descriptors_left(&d->rx) < (n + size - 1) / size) {
		e1000_cause(d, E1000_RXO);
		return false;
	}
	for (size_t at = 0; at < n; at += size)
		put_piece(d, buf + at, (uint32_t)min_u64(size, n - at), at + size >= n);
	bool low = descriptors_left(&d->rx) <= ring_size(&d->rx) >> (1 + RCTL_RDMTS(d->rctl));
	e1000_cause(d, E1000_RXT0 | (low ? E1000_RXDMT0 : 0));
	return true;
}

static void e1000_link(void *opaque)
{
	struct e1000 *d = opaque;

	e1000_phy_link(d, net_up(d->net));
	e1000_cause(d, E1000_LSC);
}

static const struct net_front front = { e1000_input, e1000_link };

/* ---- registers ---- */

static void soft_reset(struct e1000 *d);

static void ctrl_write(void *dev, uint32_t v, uint32_t old)
{
	struct e1000 *d = dev;
	bool up = v & BIT(6) && !(old & BIT(6));	/* SLU: the link comes up */

	if (v & CTRL_RST)
		soft_reset(d);
	else if (v & CTRL_PHY_RST)
		e1000_phy_reset(d);
	else if (up)
		d->icr |= E1000_LSC;
}

static uint32_t status_read(void *dev)
{
	return net_up(((struct e1000 *)dev)->net) ? STATUS_UP : STATUS_UP & ~2u;
}

static void rctl_write(void *dev, uint32_t v, uint32_t old)
{
	struct e1000 *d = dev;
	if (v & RCTL_EN && !(old & RCTL_EN))
		net_flush(d->net);
}

static void rdt_write(void *dev, uint32_t v, uint32_t old)
{
	(void)v, (void)old;
	net_flush(((struct e1000 *)dev)->net);
}

static void send_write(void *dev, uint32_t v, uint32_t old)
{
	(void)v, (void)old;
	e1000_send(dev);
}

#define F(f) offsetof(struct e1000, f)
#define ALL 0xffffffffu
static const struct reg e1000_regs[] = {
	/* off    bank     name       stored           reset write        clr   on read          on write          size */
	{ 0x00c0, REG_ANY, "icr",     F(icr),          0,    0,           ALL,  NULL,            NULL,             4, ALL },
	{ 0x00d0, REG_ANY, "ims",     F(ims),          0,    0,           0,    NULL,            ims_write,        4 },
	{ 0x00d8, REG_ANY, "imc",     REG_NONE,        0,    0,           0,    NULL,            imc_write,        4 },
	{ 0x3818, REG_ANY, "tdt",     F(tx.tail),      0,    0xffff,      0,    NULL,            send_write,       4 },
	{ 0x2818, REG_ANY, "rdt",     F(rx.tail),      0,    0xffff,      0,    NULL,            rdt_write,        4 },
	{ 0x2810, REG_ANY, "rdh",     F(rx.head),      0,    0xffff,      0,    NULL,            NULL,             4 },
	{ 0x3810, REG_ANY, "tdh",     F(tx.head),      0,    0xffff,      0,    NULL,            NULL,             4 },
	{ 0x0000, REG_ANY, "ctrl",    F(ctrl),         0x140240, 0x7bfffe7d, 0, NULL,            ctrl_write,       4 },
	{ 0x0008, REG_ANY, "status",  REG_NONE,        0,    0,           0,    status_read,     NULL,             4 },
	{ 0x0010, REG_ANY, "eecd",    F(eecd),         0,    0x77,        0,    e1000_eecd_read, e1000_eecd_write, 4 },
	{ 0x0014, REG_ANY, "eerd",    F(eerd),         0,    0xff00,      0,    NULL,            e1000_eerd_write, 4 },
	{ 0x0018, REG_ANY, "ctrl_ext", F(ctrl_ext),    0,    0xfffffff7,  0,    NULL,            NULL,             4 },
	{ 0x0020, REG_ANY, "mdic",    F(mdic),         0x10000000, 0,     0,    NULL,            e1000_mdic_write, 4 },
	{ 0x00c8, REG_ANY, "ics",     REG_NONE,        0,    0,           0,    NULL,            ics_write,        4 },
	{ 0x0100, REG_ANY, "rctl",    F(rctl),         0,    0x07fffffe,  0,    NULL,            rctl_write,       4 },
	{ 0x0400, REG_ANY, "tctl",    F(tctl),         0,    0x03fffffa,  0,    NULL,            send_write,       4 },
	{ 0x2800, REG_ANY, "rdbal",   F(rx.base_lo),   0,    0xfffffff0,  0,    NULL,            NULL,             4 },
	{ 0x2804, REG_ANY, "rdbah",   F(rx.base_hi),   0,    ALL,         0,    NULL,            NULL,             4 },
	{ 0x2808, REG_ANY, "rdlen",   F(rx.len),       0,    0xfff80,     0,    NULL,            NULL,             4 },
	{ 0x3800, REG_ANY, "tdbal",   F(tx.base_lo),   0,    0xfffffff0,  0,    NULL,            NULL,             4 },
	{ 0x3804, REG_ANY, "tdbah",   F(tx.base_hi),   0,    ALL,         0,    NULL,            NULL,             4 },
	{ 0x3808, REG_ANY, "tdlen",   F(tx.len),       0,    0xfff80,     0,    NULL,            NULL,             4 },
	{ 0x0028, REG_ANY, "fcal",    F(plain[0]),     0,    ALL,         0,    NULL,            NULL,             4 },
	{ 0x002c, REG_ANY, "fcah",    F(plain[1]),     0,    0xffff,      0,    NULL,            NULL,             4 },
	{ 0x0030, REG_ANY, "fct",     F(plain[2]),     0,    0xffff,      0,    NULL,            NULL,             4 },
	{ 0x0038, REG_ANY, "vet",     F(plain[3]),     0x8100, 0xffff,    0,    NULL,            NULL,             4 },
	{ 0x00c4, REG_ANY, "itr",     F(plain[4]),     0,    0xffff,      0,    NULL,            NULL,             4 },
	{ 0x0170, REG_ANY, "fcttv",   F(plain[5]),     0,    0xffff,      0,    NULL,            NULL,             4 },
	{ 0x0178, REG_ANY, "txcw",    F(plain[6]),     0,    ALL,         0,    NULL,            NULL,             4 },
	{ 0x0410, REG_ANY, "tipg",    F(plain[7]),     0,    0x3fffffff,  0,    NULL,            NULL,             4 },
	{ 0x0458, REG_ANY, "ait",     F(plain[8]),     0,    0xffff,      0,    NULL,            NULL,             4 },
	{ 0x0e00, REG_ANY, "ledctl",  F(plain[9]),     0x07068302, ALL,   0,    NULL,            NULL,             4 },
	{ 0x1000, REG_ANY, "pba",     F(plain[10]),    0x00100030, 0xffff, 0,   NULL,            NULL,             4 },
	{ 0x2160, REG_ANY, "fcrtl",   F(plain[11]),    0,    ALL,         0,    NULL,            NULL,             4 },
	{ 0x2168, REG_ANY, "fcrth",   F(plain[12]),    0,    0xfff8,      0,    NULL,            NULL,             4 },
	{ 0x2820, REG_ANY, "rdtr",    F(plain[13]),    0,    0xffff,      0,    NULL,            NULL,             4 },
	{ 0x2828, REG_ANY, "rxdctl",  F(plain[14]),    0x01010000, ALL,   0,    NULL,            NULL,             4 },
	{ 0x282c, REG_ANY, "radv",    F(plain[15]),    0,    0xffff,      0,    NULL,            NULL,             4 },
	{ 0x2c00, REG_ANY, "rsrpd",   F(plain[16]),    0,    0xfff,       0,    NULL,            NULL,             4 },
	{ 0x3820, REG_ANY, "tidv",    F(plain[17]),    0,    0xffff,      0,    NULL,            NULL,             4 },
	{ 0x3828, REG_ANY, "txdctl",  F(plain[18]),    0,    ALL,         0,    NULL,            NULL,             4 },
	{ 0x382c, REG_ANY, "tadv",    F(plain[19]),    0,    0xffff,      0,    NULL,            NULL,             4 },
	{ 0x5000, REG_ANY, "rxcsum",  F(plain[20]),    0,    0x7ff,       0,    NULL,            NULL,             4 },
	{ 0x5800, REG_ANY, "wuc",     F(plain[21]),    0,    0xf,         0,    NULL,            NULL,             4 },
	{ 0x5808, REG_ANY, "wufc",    F(plain[22]),    0,    0xf00ff,     0,    NULL,            NULL,             4 },
	{ 0x5820, REG_ANY, "manc",    F(plain[23]),    0,    ALL,         0,    NULL,            NULL,             4 },
	{ 0 }
};

/* Tables of addresses; NULL: no table there. */
static uint32_t *table_at(struct e1000 *d, uint64_t off)
{
	if (off - MTA < sizeof(d->mta))
		return &d->mta[(off - MTA) / 4];
	if (off - RA < sizeof(d->ra))
		return &d->ra[(off - RA) / 4];
	if (off - VFTA < sizeof(d->vfta))
		return &d->vfta[(off - VFTA) / 4];
	return NULL;
}

static bool is_reg(uint64_t off)
{
	for (const struct reg *r = e1000_regs; r->name; r++)
		if (r->off == off)
			return true;
	return false;
}

/* Registers are 32 bits wide and so are accesses; the rest reads as zero. */
static uint64_t regs_read(void *opaque, uint64_t off, int size)
{
	struct e1000 *d = opaque;
	uint64_t at = off & ~3ull;
	const uint32_t *t = table_at(d, at);
	uint32_t v = t ? *t : is_reg(at) ? dev_reg_read(&d->pci.dev, (unsigned)at, 4) : 0;

	return v >> 8 * (off & 3) & size_mask(size);
}

static void regs_write(void *opaque, uint64_t off, int size, uint64_t v)
{
	struct e1000 *d = opaque;
	uint32_t *t = table_at(d, off);

	if (size != 4 || off & 3)
		log_guest("%s: a write of %d bytes at %#llx", d->pci.dev.id, size, (unsigned long long)off);
	else if (t)
		*t = (uint32_t)v;
	else if (is_reg(off))
		dev_reg_write(&d->pci.dev, (unsigned)off, 4, (uint32_t)v);
}

static const struct mmio_ops regs_ops = { regs_read, regs_write, 4 };

/* 13.2.2, I/O mapped: an address, then the register's value. */
static uint32_t io_read(void *opaque, uint16_t off, int size)
{
	struct e1000 *d = opaque;

	if (off == 0)
		return d->ioaddr;
	return off == 4 && d->ioaddr < REGS_SIZE ? (uint32_t)regs_read(d, d->ioaddr, size) : 0;
}

static void io_write(void *opaque, uint16_t off, int size, uint32_t v)
{
	struct e1000 *d = opaque;

	if (off == 0)
		d->ioaddr = v;
	else if (off == 4 && d->ioaddr < REGS_SIZE)
		regs_write(d, d->ioaddr, size, v);
}

static const struct port_ops io_ops = { io_read, io_write, 4, 1 };

/* ---- life ---- */

static void reset_state(struct e1000 *d)
{
	timer_del(&d->later);
	memset(d->mta, 0, sizeof(d->mta));
	memset(d->ra, 0, sizeof(d->ra));
	memset(d->vfta, 0, sizeof(d->vfta));
	d->ra[0] = ld32(d->mac);
	d->ra[1] = ld16(d->mac + 4) | RA_VALID;
	d->ee_bits = d->ee_out_left = d->in_frame = 0;
	d->frame_len = 0;
	d->tso = d->sum = (struct e1000_context){ 0 };
	d->ioaddr = 0;
	e1000_phy_reset(d);
}

static void soft_reset(struct e1000 *d)
{
	for (const struct reg *r = e1000_regs; r->name; r++)
		reg_poke(&d->pci.dev, r, r->reset);
	reset_state(d);
}

static void e1000_reset(void *dev)
{
	struct e1000 *d = dev;

	pci_reset(&d->pci);
	reset_state(d);
}

static void go_on(void *opaque)
{
	e1000_send(opaque);
}

static bool e1000_init(void *dev, struct err *e)
{
	static const struct pci_ids ids = { 0x8086, 0x100e, 0x8086, 0x001e, 0x020000, 0x03, 1, false };
	static const uint8_t none[6];
	struct e1000 *d = dev;

	timer_init(&d->later, &d->pci.dev.m->clock, go_on, d);
	if (!memcmp(d->mac, none, 6))
		net_default_mac(d->pci.dev.m, d->mac);
	e1000_eeprom_fill(d);
	if (!pci_attach(&d->pci, &ids, e) || !pci_bar_mmio(&d->pci, 0, REGS_SIZE, &regs_ops, d, e)
	    || !pci_bar_io(&d->pci, 1, IO_SIZE, &io_ops, d, e) || !pci_romfile(&d->pci, e))
		return false;
	return !d->net || net_attach(d->net, &front, d, e);
}

static void e1000_fini(void *dev)
{
	struct e1000 *d = dev;

	timer_del(&d->later);
	net_detach(d->net, d);
	pci_detach(&d->pci);
}

static bool e1000_loaded(void *dev, struct err *e)
{
	struct e1000 *d = dev;

	if (d->frame_len > NET_MAX_FRAME)
		return err_set(e, "the saved frame is damaged");
	return pci_loaded(&d->pci);
}

static const struct state e1000_state[] = {
	STATE(e1000, ioaddr), STATE(e1000, mta), STATE(e1000, ra), STATE(e1000, vfta), STATE(e1000, phy),
	STATE(e1000, ee_bits), STATE(e1000, ee_out_left), STATE(e1000, ee_in), STATE(e1000, ee_out),
	STATE(e1000, tso), STATE(e1000, sum), STATE(e1000, in_frame), STATE(e1000, segment),
	STATE(e1000, popts), STATE(e1000, too_long), STATE(e1000, frame_len), STATE(e1000, frame),
	STATE_TIMER(e1000, later), { 0 }
};
static const struct prop e1000_props[] = {
	PROP_REF("netdev", e1000, net, "netdev", "the network, a -netdev's id"),
	PROP(MAC, e1000, mac, "mac", 0, "the card's address; default: 52:54:00:12:34:56 and up"),
	PROP_BOOTINDEX, PCI_PROP_ROMFILE, { 0 }
};

static void e1000_boot_path(const void *dev, char *buf)
{
	pci_boot_path(dev, buf);
	dev_boot_path_add(buf, "/ethernet-phy@0");
}

const struct dev_type e1000_type = {
	.name = "e1000", .alias = "e1000-82540em", .bus = "pci", .help = "Intel gigabit network card",
	.size = sizeof(struct e1000), .version = 1, .regs = e1000_regs, .state = e1000_state, .props = e1000_props,
	.bus_props = pci_props, .bus_state = pci_state, .init = e1000_init, .fini = e1000_fini,
	.reset = e1000_reset, .update = e1000_update, .loaded = e1000_loaded,
	.boot_path = e1000_boot_path, .boot_letter = 'n', .boot_rom = "pxe-e1000.rom",
};
