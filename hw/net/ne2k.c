/*
 * NE2000: a DP8390 network controller with 16 KiB of memory of its own, which the driver
 * reaches through one port ("remote DMA"). On PCI it is a Realtek RTL8029.
 *
 *	0x00-0x0f  registers in four pages, by CR bits 6 and 7
 *	0x10-0x17  data	    0x18-0x1f  reading resets
 *
 *	memory  0x0000  address PROM, each byte twice
 *	        0x4000  64 pages of 256 bytes: frames to send, and a ring of frames that came in,
 *	                each behind { status, next page, length u16 }
 *
 * Frames come in while the driver is done with all that it has been told of: a few, as soon as
 * it acknowledges the interrupt for those before. Drivers acknowledge behind their last look into
 * the ring, and at most so many frames later, so what came in between would stay there. Who does not
 * acknowledge gets them one by one, as fast as 10 Mbit/s bring them.
 *
 * Not modelled: loopback (such frames vanish), collisions and other errors, the check
 * sequence behind frames in memory, the send-packet command, EEPROM and the RTL8029's
 * configuration.
 * Source: National DP8390D/NS32490D data sheet, July 1995; Realtek RTL8029AS data sheet,
 * 1997.
 */
#include "hw/net/ne2k.h"

#include <string.h>

#include "hw/backend/net.h"

#define N_PORTS		32u
#define N_PCI_PORTS	256u
#define DATA		0x10u
#define RESET		0x18u
#define RAM_START	0x4000u
#define RAM_END		0x8000u
#define PROM_SIZE	32u
#define PAGE		256u
#define HEADER		4u
#define FCS		4u
#define LEAST_FRAME	60u
#define MOST_FRAME	1518u
#define BYTE_NS		800u		/* on the wire */
#define GAP		20u		/* bytes: preamble, pause between frames */
#define BURST		8u		/* frames that come at once */

enum { CR_STP = 0x01, CR_STA = 0x02, CR_TXP = 0x04, CR_READ = 0x08, CR_WRITE = 0x10, CR_NO_DMA = 0x20 };
enum { ISR_PRX = 0x01, ISR_PTX = 0x02, ISR_OVW = 0x10, ISR_RDC = 0x40, ISR_RST = 0x80 };
enum { RCR_BROADCAST = 0x04, RCR_MULTICAST = 0x08, RCR_ALL = 0x10, RCR_MONITOR = 0x20 };
enum { DCR_WORDS = 0x01, TCR_LOOPBACK = 0x06, TSR_PTX = 0x01, RSR_PRX = 0x01, RSR_GROUP = 0x20 };

struct ne2k {
	struct pci_dev pci;		/* of an ISA card only pci.dev is used */
	struct net *net;		/* property */
	uint8_t mac[6];			/* property */
	uint16_t iobase;		/* property of the ISA card, as irq */
	struct irq irq;
	struct port_range *ports;
	struct timer wire;		/* the wire would need so long for what has come */
	unsigned burst;			/* more frames may come at once */
	uint8_t cr, isr, imr, rcr, tcr, dcr, tsr, rsr;
	uint8_t pstart, pstop, bnry, curr, tpsr, tbcr0, tbcr1;
	uint8_t par[6], mar[8];
	uint16_t rsar, rbcr;		/* remote DMA: next address, bytes left */
	uint8_t ram[RAM_END - RAM_START];
};

static bool is_pci(const struct ne2k *d)
{
	return d->pci.dev.type == &ne2k_pci_type;
}

static void ne2k_update(void *dev)
{
	struct ne2k *d = dev;
	bool level = d->isr & d->imr & 0x7f;

	if (is_pci(d))
		pci_set_irq(&d->pci, level);
	else
		irq_set(d->irq, level);
}

/* ---- its memory ---- */

static uint8_t *ram_at(struct ne2k *d, uint32_t at)
{
	return at >= RAM_START && at < RAM_END ? &d->ram[at - RAM_START] : NULL;
}

/* PROM: the address, and the letter by which drivers know a card of 16 bits. */
static uint8_t mem_read(struct ne2k *d, uint16_t at)
{
	const uint8_t *p = ram_at(d, at);

	if (at < PROM_SIZE)
		return at / 2 < 6 ? d->mac[at / 2] : at / 2 >= 14 ? 'W' : 0;
	return p ? *p : 0xff;
}

static void mem_write(struct ne2k *d, uint16_t at, uint8_t v)
{
	uint8_t *p = ram_at(d, at);

	if (p)
		*p = v;
}

/* Behind a byte of remote DMA. */
static void dma_advance(struct ne2k *d)
{
	d->rsar++;
	if (d->rsar == d->pstop * PAGE)
		d->rsar = (uint16_t)(d->pstart * PAGE);
	if (d->rbcr && !--d->rbcr)
		d->isr |= ISR_RDC;
}

/* In word mode even an access of a byte moves two. */
static int bytes_of(const struct ne2k *d, int size)
{
	return d->dcr & DCR_WORDS && size == 1 ? 2 : size;
}

static uint32_t data_read(struct ne2k *d, int size)
{
	uint32_t v = 0;

	size = bytes_of(d, size);
	for (int i = 0; i < size; i++) {
		v |= (d->rbcr ? mem_read(d, d->rsar) : 0xffu) << 8 * i;
		if (d->rbcr)
			dma_advance(d);
	}
	return v;
}

static void data_write(struct ne2k *d, int size, uint32_t v)
{
	size = bytes_of(d, size);
	for (int i = 0; i < size && d->rbcr; i++) {
		mem_write(d, d->rsar, (uint8_t)(v >> 8 * i));
		dma_advance(d);
	}
}

/*
 * Of n accesses to the data port those that move only bytes of its RAM which lie side by side, and are not the last of
 * the remote DMA: `at` is where. In word mode an access of a byte moves two, and is no such.
 */
static unsigned plain_accesses(struct ne2k *d, int size, unsigned n, uint8_t **at)
{
	uint32_t end = d->pstop * PAGE > d->rsar && d->pstop * PAGE < RAM_END ? d->pstop * PAGE : RAM_END, room;

	*at = ram_at(d, d->rsar);
	if (!*at || !d->rbcr || bytes_of(d, size) != size)
		return 0;
	room = (uint32_t)min_u64(end - 1u - d->rsar, d->rbcr - 1u) / (unsigned)size;
	return room < n ? room : n;
}

static void moved(struct ne2k *d, uint32_t bytes)
{
	d->rsar = (uint16_t)(d->rsar + bytes);
	d->rbcr = (uint16_t)(d->rbcr - bytes);
}

/* ---- receiving ---- */

static bool ring_is_sound(const struct ne2k *d)
{
	return d->pstart >= RAM_START / PAGE && d->pstop <= RAM_END / PAGE && d->pstart < d->pstop
		&& d->curr >= d->pstart && d->curr < d->pstop;
}

/* Pages up to the boundary; where it is the current page, all are free. */
static unsigned free_pages(const struct ne2k *d)
{
	unsigned all = d->pstop - d->pstart, from = d->curr, to = d->bnry;

	return from < to ? to - from : all > from - to ? all - (from - to) : 0;
}

/* The upper six bits of the check sum choose one of 64. */
static bool in_hash(const struct ne2k *d, const uint8_t *to)
{
	uint32_t crc = ~0u;

	for (int i = 0; i < 48; i++) {
		uint32_t bit = (crc >> 31) ^ (to[i / 8] >> i % 8 & 1u);
		crc = crc << 1 ^ (bit ? 0x04c11db7u : 0);
	}
	return d->mar[crc >> 29] >> (crc >> 26 & 7) & 1;
}

static bool wanted(const struct ne2k *d, const uint8_t *to)
{
	static const uint8_t broadcast[6] = { 0xff, 0xff, 0xff, 0xff, 0xff, 0xff };

	if (d->rcr & RCR_MONITOR)
		return false;
	if (!memcmp(to, broadcast, 6))
		return d->rcr & RCR_BROADCAST;
	if (to[0] & 1)
		return d->rcr & RCR_ALL || (d->rcr & RCR_MULTICAST && in_hash(d, to));
	return d->rcr & RCR_ALL || !memcmp(to, d->par, 6);
}

static void ring_put(struct ne2k *d, uint32_t *at, const uint8_t *p, size_t n)
{
	for (; n--; p++) {
		d->ram[*at - RAM_START] = *p;
		if (++*at == d->pstop * PAGE)
			*at = d->pstart * PAGE;
	}
}

static unsigned pages_of(size_t n)
{
	return (unsigned)((HEADER + max_u64(n, LEAST_FRAME) + FCS + PAGE - 1) / PAGE);
}

static void put_frame(struct ne2k *d, const uint8_t *frame, size_t n)
{
	static const uint8_t padding[LEAST_FRAME];
	size_t len = max_u64(n, LEAST_FRAME);
	unsigned next = d->curr + pages_of(n);
	uint32_t at = d->curr * PAGE;
	uint8_t header[HEADER];

	if (next >= d->pstop)
		next -= d->pstop - d->pstart;
	d->rsr = RSR_PRX | (frame[0] & 1 ? RSR_GROUP : 0);
	header[0] = d->rsr;
	header[1] = (uint8_t)next;
	st16(header + 2, (uint16_t)(len + FCS));
	ring_put(d, &at, header, HEADER);
	ring_put(d, &at, frame, n);
	ring_put(d, &at, padding, len - n);
	d->curr = (uint8_t)next;
	d->isr |= ISR_PRX;
	ne2k_update(d);
}

static void wire_needs(struct ne2k *d, uint64_t from, size_t n)
{
	timer_mod(&d->wire, from + (GAP + max_u64(n, LEAST_FRAME) + FCS) * BYTE_NS);
}

static void wait_for_wire(struct ne2k *d, size_t n)
{
	wire_needs(d, clock_now(d->wire.clock), n);
}

/* Frames that wait may come, but not while the driver is about to acknowledge others. */
static void may_receive(struct ne2k *d)
{
	if (!(d->cr & CR_STP) && !timer_pending(&d->wire))
		wait_for_wire(d, 0);
}

static void wire_is_free(void *opaque)
{
	net_flush(((struct ne2k *)opaque)->net);
}

/* Before the wire is free only what the driver is sure to find. */
static bool may_come(const struct ne2k *d)
{
	return !timer_pending(&d->wire) || !(d->isr & ISR_PRX) || d->burst;
}

/* A ring filled to the brim would look empty. It overflows by what the wire brings, not by what comes early. */
static bool no_room(struct ne2k *d)
{
	if (!timer_pending(&d->wire)) {
		d->isr |= ISR_OVW;
		ne2k_update(d);
	}
	return false;
}

static bool ne2k_input(void *opaque, const uint8_t *frame, size_t n)
{
	struct ne2k *d = opaque;

	if (d->cr & CR_STP || d->tcr & TCR_LOOPBACK || !may_come(d))
		return false;
	if (n < 14 || n > MOST_FRAME || !wanted(d, frame))
		return true;
	if (!ring_is_sound(d)) {
		log_guest("%s: a receive ring from page %#x to %#x, at %#x", d->pci.dev.id, d->pstart, d->pstop, d->curr);
		return true;
	}
	if (free_pages(d) <= pages_of(n))
		return no_room(d);
	put_frame(d, frame, n);
	if (d->burst && d->burst-- < BURST)
		wire_needs(d, d->wire.deadline, n);
	else
		wait_for_wire(d, n);
	return true;
}

static const struct net_front front = { .input = ne2k_input };

/* ---- sending ---- */

static void send(struct ne2k *d)
{
	uint32_t at = d->tpsr * PAGE, n = d->tbcr0 | (uint32_t)d->tbcr1 << 8;

	if (at < RAM_START || at + n > RAM_END)
		log_guest("%s: a frame of %u bytes at %#x, outside its memory", d->pci.dev.id, n, at);
	else if (!(d->tcr & TCR_LOOPBACK))
		net_send(d->net, d->ram + (at - RAM_START), n);
	d->tsr = TSR_PTX;
	d->isr |= ISR_PTX;
}

/* ---- registers ---- */

static void soft_reset(struct ne2k *d)
{
	d->cr = CR_STP | CR_NO_DMA;
	d->isr = ISR_RST;
	d->imr = d->tcr = d->rcr = 0;
	d->rbcr = 0;
}

static void cr_write(void *dev, uint32_t v, uint32_t old)
{
	struct ne2k *d = dev;

	(void)old;
	if (v & CR_STP)
		d->isr |= ISR_RST;
	else if (v & CR_STA)
		d->isr &= (uint8_t)~ISR_RST;
	if (v & (CR_READ | CR_WRITE) && !(v & CR_NO_DMA) && !d->rbcr)
		d->isr |= ISR_RDC;
	d->cr = (uint8_t)(v & ~CR_TXP);
	if (v & CR_TXP && !(v & CR_STP))
		send(d);
	may_receive(d);
}

static void isr_write(void *dev, uint32_t v, uint32_t old)
{
	struct ne2k *d = dev;

	(void)v;
	if (!(old & ~d->isr & ISR_PRX))
		return;
	d->burst = BURST;
	net_flush(d->net);
	d->burst = 0;
}

static void bnry_write(void *dev, uint32_t v, uint32_t old)
{
	(void)v, (void)old;
	may_receive(dev);
}

static void tcr_write(void *dev, uint32_t v, uint32_t old)
{
	(void)v, (void)old;
	may_receive(dev);
}

static uint32_t clda0_read(void *dev) { return (uint8_t)((struct ne2k *)dev)->rsar; }
static uint32_t clda1_read(void *dev) { return ((struct ne2k *)dev)->rsar >> 8; }
static uint32_t tsr_read(void *dev) { return ((struct ne2k *)dev)->tsr; }
static uint32_t rsr_read(void *dev) { return ((struct ne2k *)dev)->rsr; }
static uint32_t zero_read(void *dev) { (void)dev; return 0; }
static uint32_t pstart_read(void *dev) { return ((struct ne2k *)dev)->pstart; }
static uint32_t pstop_read(void *dev) { return ((struct ne2k *)dev)->pstop; }
static uint32_t tpsr_read(void *dev) { return ((struct ne2k *)dev)->tpsr; }
static uint32_t rcr_read(void *dev) { return ((struct ne2k *)dev)->rcr | 0xc0; }
static uint32_t tcr_read(void *dev) { return ((struct ne2k *)dev)->tcr | 0xe0; }
static uint32_t dcr_read(void *dev) { return ((struct ne2k *)dev)->dcr | 0x80; }
static uint32_t imr_read(void *dev) { return ((struct ne2k *)dev)->imr | 0x80; }
/* "RTL8029": its two bytes of identity stand where others have nothing to read. */
static uint32_t id0_read(void *dev) { return is_pci(dev) ? 'P' : 0xff; }
static uint32_t id1_read(void *dev) { return is_pci(dev) ? 'C' : 0xff; }
static uint32_t duplex_read(void *dev) { return is_pci(dev) ? 0x40 : 0; }

static void rsar0_write(void *dev, uint32_t v, uint32_t old) { struct ne2k *d = dev; (void)old; d->rsar = (uint16_t)((d->rsar & 0xff00) | v); }
static void rsar1_write(void *dev, uint32_t v, uint32_t old) { struct ne2k *d = dev; (void)old; d->rsar = (uint16_t)((d->rsar & 0xff) | v << 8); }
static void rbcr0_write(void *dev, uint32_t v, uint32_t old) { struct ne2k *d = dev; (void)old; d->rbcr = (uint16_t)((d->rbcr & 0xff00) | v); }
static void rbcr1_write(void *dev, uint32_t v, uint32_t old) { struct ne2k *d = dev; (void)old; d->rbcr = (uint16_t)((d->rbcr & 0xff) | v << 8); }

#define F(f) offsetof(struct ne2k, f)
static const struct reg ne2k_regs[] = {
	/*off   bank     name      stored    reset write clears on read      on write */
	{ 0x00, REG_ANY, "cr",     F(cr),    0x21, 0xff, 0,     NULL,        cr_write },
	{ 0x01, 0,       "pstart", F(pstart), 0,   0xff, 0,     clda0_read },
	{ 0x02, 0,       "pstop",  F(pstop), 0,    0xff, 0,     clda1_read },
	{ 0x03, 0,       "bnry",   F(bnry),  0,    0xff, 0,     NULL,        bnry_write },
	{ 0x04, 0,       "tpsr",   F(tpsr),  0,    0xff, 0,     tsr_read },
	{ 0x05, 0,       "tbcr0",  F(tbcr0), 0,    0xff, 0,     zero_read },
	{ 0x06, 0,       "tbcr1",  F(tbcr1), 0,    0xff, 0,     zero_read },
	{ 0x07, 0,       "isr",    F(isr),   0x80, 0,    0,     NULL,        isr_write, 1, 0x7f },
	{ 0x08, 0,       "rsar0",  REG_NONE, 0,    0,    0,     clda0_read,  rsar0_write },
	{ 0x09, 0,       "rsar1",  REG_NONE, 0,    0,    0,     clda1_read,  rsar1_write },
	{ 0x0a, 0,       "rbcr0",  REG_NONE, 0,    0,    0,     id0_read,    rbcr0_write },
	{ 0x0b, 0,       "rbcr1",  REG_NONE, 0,    0,    0,     id1_read,    rbcr1_write },
	{ 0x0c, 0,       "rcr",    F(rcr),   0,    0x3f, 0,     rsr_read },
	{ 0x0d, 0,       "tcr",    F(tcr),   0,    0x1f, 0,     zero_read,   tcr_write },
	{ 0x0e, 0,       "dcr",    F(dcr),   0,    0x7f, 0,     zero_read },
	{ 0x0f, 0,       "imr",    F(imr),   0,    0x7f, 0,     zero_read },
	{ 0x01, 1,       "par0",   F(par[0]), 0,   0xff, 0 },
	{ 0x02, 1,       "par1",   F(par[1]), 0,   0xff, 0 },
	{ 0x03, 1,       "par2",   F(par[2]), 0,   0xff, 0 },
	{ 0x04, 1,       "par3",   F(par[3]), 0,   0xff, 0 },
	{ 0x05, 1,       "par4",   F(par[4]), 0,   0xff, 0 },
	{ 0x06, 1,       "par5",   F(par[5]), 0,   0xff, 0 },
	{ 0x07, 1,       "curr",   F(curr),  0,    0xff, 0 },
	{ 0x08, 1,       "mar0",   F(mar[0]), 0,   0xff, 0 },
	{ 0x09, 1,       "mar1",   F(mar[1]), 0,   0xff, 0 },
	{ 0x0a, 1,       "mar2",   F(mar[2]), 0,   0xff, 0 },
	{ 0x0b, 1,       "mar3",   F(mar[3]), 0,   0xff, 0 },
	{ 0x0c, 1,       "mar4",   F(mar[4]), 0,   0xff, 0 },
	{ 0x0d, 1,       "mar5",   F(mar[5]), 0,   0xff, 0 },
	{ 0x0e, 1,       "mar6",   F(mar[6]), 0,   0xff, 0 },
	{ 0x0f, 1,       "mar7",   F(mar[7]), 0,   0xff, 0 },
	{ 0x01, 2,       "pstart-r", REG_NONE, 0,  0,    0,     pstart_read },
	{ 0x02, 2,       "pstop-r", REG_NONE, 0,   0,    0,     pstop_read },
	{ 0x04, 2,       "tpsr-r", REG_NONE, 0,    0,    0,     tpsr_read },
	{ 0x0c, 2,       "rcr-r",  REG_NONE, 0,    0,    0,     rcr_read },
	{ 0x0d, 2,       "tcr-r",  REG_NONE, 0,    0,    0,     tcr_read },
	{ 0x0e, 2,       "dcr-r",  REG_NONE, 0,    0,    0,     dcr_read },
	{ 0x0f, 2,       "imr-r",  REG_NONE, 0,    0,    0,     imr_read },
	{ 0x03, 3,       "config0", REG_NONE, 0,   0,    0,     zero_read },
	{ 0x05, 3,       "config2", REG_NONE, 0,   0,    0,     duplex_read },
	{ 0x06, 3,       "config3", REG_NONE, 0,   0,    0,     duplex_read },
	{ 0 }
};

static unsigned ne2k_bank(void *dev, unsigned off)
{
	(void)off;
	return ((struct ne2k *)dev)->cr >> 6;
}

static uint32_t io_read(void *opaque, uint16_t off, int size)
{
	struct ne2k *d = opaque;
	uint32_t v = (uint32_t)size_mask(size);

	if (off < DATA)
		return dev_reg_read(&d->pci.dev, off, size);
	if (off < RESET)
		v = data_read(d, size);
	else if (off < N_PORTS)
		soft_reset(d);
	ne2k_update(d);
	return v;
}

static void io_write(void *opaque, uint16_t off, int size, uint32_t v)
{
	struct ne2k *d = opaque;

	if (off < DATA)
		dev_reg_write(&d->pci.dev, off, size, v);
	else if (off < RESET)
		data_write(d, size, v);
	ne2k_update(d);
}

static unsigned io_read_run(void *opaque, uint16_t off, int size, uint8_t *buf, unsigned n)
{
	struct ne2k *d = opaque;
	uint8_t *at;
	unsigned k = off >= DATA && off < RESET ? plain_accesses(d, size, n, &at) : 0;

	if (!k)
		return 0;
	memcpy(buf, at, k * (size_t)size);
	moved(d, k * (uint32_t)size);
	return k;
}

static unsigned io_write_run(void *opaque, uint16_t off, int size, const uint8_t *buf, unsigned n)
{
	struct ne2k *d = opaque;
	uint8_t *at;
	unsigned k = off >= DATA && off < RESET ? plain_accesses(d, size, n, &at) : 0;

	if (!k)
		return 0;
	memcpy(at, buf, k * (size_t)size);
	moved(d, k * (uint32_t)size);
	return k;
}

static const struct port_ops io_ops = {
	.read = io_read, .write = io_write, .max_size = 4, .read_run = io_read_run, .write_run = io_write_run,
};

/* ---- life ---- */

static bool join(struct ne2k *d, struct err *e)
{
	return !d->net || net_attach(d->net, &front, d, e);
}

static void prepare(struct ne2k *d)
{
	static const uint8_t none[6];

	timer_init(&d->wire, &d->pci.dev.m->clock, wire_is_free, d);
	if (!memcmp(d->mac, none, 6))
		net_default_mac(d->pci.dev.m, d->mac);
}

static bool pci_init(void *dev, struct err *e)
{
	static const struct pci_ids ids = { 0x10ec, 0x8029, 0x1af4, 0x1100, 0x020000, 0x00, 1, false };
	struct ne2k *d = dev;

	prepare(d);
	return pci_attach(&d->pci, &ids, e) && pci_bar_io(&d->pci, 0, N_PCI_PORTS, &io_ops, d, e)
		&& pci_romfile(&d->pci, e) && join(d, e);
}

static void pci_fini(void *dev)
{
	struct ne2k *d = dev;

	timer_del(&d->wire);
	net_detach(d->net, d);
	pci_detach(&d->pci);
}

static bool isa_init(void *dev, struct err *e)
{
	struct ne2k *d = dev;

	prepare(d);
	d->ports = port_map(d->pci.dev.m, d->iobase, N_PORTS, &io_ops, d, "ne2k");
	return join(d, e);
}

static void isa_fini(void *dev)
{
	struct ne2k *d = dev;

	timer_del(&d->wire);
	net_detach(d->net, d);
	port_unmap(d->pci.dev.m, d->ports);
	irq_set(d->irq, 0);
}

static void ne2k_reset(void *dev)
{
	struct ne2k *d = dev;

	if (is_pci(d))
		pci_reset(&d->pci);
	timer_del(&d->wire);
	d->tsr = d->rsr = 0;
	d->rsar = d->rbcr = 0;
	memset(d->ram, 0, sizeof(d->ram));
}

static bool ne2k_loaded(void *dev, struct err *e)
{
	struct ne2k *d = dev;

	(void)e;
	return !is_pci(d) || pci_loaded(&d->pci);
}

static const struct state ne2k_state[] = {
	STATE(ne2k, tsr), STATE(ne2k, rsr), STATE(ne2k, rsar), STATE(ne2k, rbcr), STATE(ne2k, ram),
	STATE_TIMER(ne2k, wire), { 0 }
};
#define NE2K_PROPS \
	PROP_REF("netdev", ne2k, net, "netdev", "the network, a -netdev's id"), \
	PROP(MAC, ne2k, mac, "mac", 0, "the card's address; default: 52:54:00:12:34:56 and up")
static const struct prop pci_card_props[] = {
	NE2K_PROPS, PROP_BOOTINDEX, PCI_PROP_ROMFILE, { 0 }
};
static const struct prop isa_card_props[] = {
	NE2K_PROPS,
	PROP(U16, ne2k, iobase, "iobase", 0x300, "first of 32 I/O ports"),
	PROP(IRQ, ne2k, irq, "irq", 9, "ISA interrupt line"),
	{ 0 }
};

static void boot_path(const void *dev, char *buf)
{
	pci_boot_path(dev, buf);
	dev_boot_path_add(buf, "/ethernet-phy@0");
}

#define COMMON \
	.size = sizeof(struct ne2k), .version = 1, .regs = ne2k_regs, .state = ne2k_state, .bank = ne2k_bank, \
	.reset = ne2k_reset, .update = ne2k_update, .loaded = ne2k_loaded
const struct dev_type ne2k_pci_type = {
	.name = "ne2k_pci", .bus = "pci", .help = "NE2000 network card (RTL8029)", COMMON,
	.props = pci_card_props, .bus_props = pci_props, .bus_state = pci_state, .init = pci_init, .fini = pci_fini,
	.boot_path = boot_path, .boot_letter = 'n', .boot_rom = "pxe-ne2k_pci.rom",
};
const struct dev_type ne2k_isa_type = {
	.name = "ne2k_isa", .bus = "isa", .help = "NE2000 network card", COMMON,
	.props = isa_card_props, .init = isa_init, .fini = isa_fini,
};
