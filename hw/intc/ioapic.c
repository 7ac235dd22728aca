/*
 * 82093AA I/O APIC: 24 inputs, each with a redirection entry, behind an index and
 * a data register at FEC00000h; plus the EOI register of later versions.
 *
 * An edge-triggered input sends a message when its line goes active; an edge that
 * comes while the entry is masked is lost, as on the chip. A level-triggered input sends while the line is active,
 * remote IRR is clear and the mask is off, and again after the EOI if the line is
 * still active.
 *
 * Not modelled: delivery status (always idle), the arbitration bus.
 * Source: Intel 82093AA data sheet, May 1996; 82371EB/ICH data sheets for the EOI
 * register at 40h.
 */
#include "hw/intc/ioapic.h"

enum {
	IOREGSEL = 0x00, IOWIN = 0x10, IOEOI = 0x40,
	REG_ID = 0, REG_VERSION = 1, REG_ARB = 2, REG_TABLE = 0x10,
	VERSION = 0x20,
	MODE_SMI = 2, MODE_NMI = 4, MODE_INIT = 5, MODE_EXTINT = 7,
};

#define RTE_VECTOR	0xffull
#define RTE_MODE(e)	((unsigned)((e) >> 8 & 7))
#define RTE_LOGICAL	BIT(11)
#define RTE_STATUS	BIT(12)
#define RTE_LOW		BIT(13)
#define RTE_REMOTE_IRR	BIT(14)
#define RTE_LEVEL	BIT(15)
#define RTE_MASK	BIT(16)
#define RTE_READ_ONLY	(RTE_STATUS | RTE_REMOTE_IRR)
#define RTE_USED	0xff0000000001ffffull

struct ioapic {
	struct dev dev;
	uint64_t base;			/* property */
	uint8_t select, id;
	uint32_t line;			/* wire levels */
	uint64_t entry[IOAPIC_PINS];
	struct mmio *mmio;
	void (*send)(void *opaque, uint64_t addr, uint32_t data);
	void *send_opaque;
};

/* ---- sending ---- */

/* The polarity bit matters only in tables that agree with the board: lines are active high here. */
static bool active(const struct ioapic *a, int n)
{
	return a->line >> n & 1;
}

static void send(struct ioapic *a, int n)
{
	uint64_t e = a->entry[n];
	uint64_t addr = 0xfee00000u | (e >> 56) << 12 | (e & RTE_LOGICAL ? 4 : 0);
	uint32_t data = (uint32_t)((e & (RTE_VECTOR | 0x700)) | (e & RTE_LEVEL ? 0xc000 : 0));

	if (RTE_MODE(e) == MODE_EXTINT)
		return;
	if (a->send)
		a->send(a->send_opaque, addr, data);
	else
		machine_msi(a->dev.m, addr, data);
}

/* Does this kind of delivery wait for an EOI? */
static bool has_eoi(uint64_t e)
{
	return RTE_MODE(e) < MODE_SMI;
}

/* A level-triggered input may have something to send. */
static void service_level(struct ioapic *a, int n)
{
	uint64_t *e = &a->entry[n];

	if (!(*e & RTE_LEVEL) || *e & (RTE_MASK | RTE_REMOTE_IRR) || !active(a, n))
		return;
	if (has_eoi(*e))
		*e |= RTE_REMOTE_IRR;
	send(a, n);
}

static void input(void *opaque, int n, int level)
{
	struct ioapic *a = opaque;

	if (active(a, n) == (level != 0))
		return;
	a->line ^= 1u << n;
	if (a->entry[n] & RTE_LEVEL)
		service_level(a, n);
	else if (level && !(a->entry[n] & RTE_MASK))
		send(a, n);
}

static void eoi(struct ioapic *a, uint8_t vector)
{
	for (int n = 0; n < IOAPIC_PINS; n++) {
		uint64_t *e = &a->entry[n];

		if ((*e & RTE_VECTOR) != vector || !(*e & RTE_REMOTE_IRR))
			continue;
		*e &= ~RTE_REMOTE_IRR;
		service_level(a, n);
	}
}

/* ---- registers ---- */

static uint32_t window_read(const struct ioapic *a)
{
	unsigned i = a->select - REG_TABLE;

	switch (a->select) {
	case REG_ID: case REG_ARB:
		return (uint32_t)a->id << 24;
	case REG_VERSION:
		return (IOAPIC_PINS - 1) << 16 | VERSION;
	default:
		if (i < 2 * IOAPIC_PINS)
			return (uint32_t)(a->entry[i / 2] >> (i & 1 ? 32 : 0));
		return 0;
	}
}

static void entry_write(struct ioapic *a, unsigned i, uint32_t v)
{
	uint64_t *e = &a->entry[i / 2], keep = *e & RTE_READ_ONLY;

	*e = i & 1 ? (*e & 0xffffffffu) | (uint64_t)v << 32 : (*e & ~0xffffffffull) | v;
	*e = (*e & RTE_USED & ~RTE_READ_ONLY) | keep;
	/* Linux clears a stuck remote IRR by switching to edge and back. */
	if (!(*e & RTE_LEVEL))
		*e &= ~RTE_REMOTE_IRR;
	service_level(a, (int)(i / 2));
}

static void window_write(struct ioapic *a, uint32_t v)
{
	unsigned i = a->select - REG_TABLE;

	if (a->select == REG_ID)
		a->id = v >> 24 & 0x0f;
	else if (i < 2 * IOAPIC_PINS)
		entry_write(a, i, v);
}

static uint64_t ioapic_read(void *dev, uint64_t off, int size)
{
	const struct ioapic *a = dev;

	(void)size;
	switch (off & 0xff) {
	case IOREGSEL: return a->select;
	case IOWIN: return window_read(a);
	default: return 0;
	}
}

static void ioapic_write(void *dev, uint64_t off, int size, uint64_t v)
{
	struct ioapic *a = dev;

	(void)size;
	switch (off & 0xff) {
	case IOREGSEL: a->select = (uint8_t)v; break;
	case IOWIN: window_write(a, (uint32_t)v); break;
	case IOEOI: eoi(a, (uint8_t)v); break;
	}
}

static const struct mmio_ops ops = { ioapic_read, ioapic_write, 4 };

/* ---- the device ---- */

struct irq ioapic_in(struct dev *d, int n)
{
	return irq_make(input, d, n);
}

struct irq ioapic_isa(struct dev *d, int n)
{
	if (n == 2)
		return (struct irq){ 0 };
	return irq_make(input, d, n ? n : 2);
}

void ioapic_connect(struct dev *d, void (*fn)(void *opaque, uint64_t addr, uint32_t data), void *opaque)
{
	struct ioapic *a = (struct ioapic *)d;

	a->send = fn;
	a->send_opaque = opaque;
}

int ioapic_vector(const struct dev *d, int n)
{
	uint64_t e = ((const struct ioapic *)d)->entry[n];

	return e & (RTE_MASK | RTE_LEVEL) ? -1 : (int)(e & RTE_VECTOR);
}

void ioapic_eoi(struct dev *d, uint8_t vector)
{
	eoi((struct ioapic *)d, vector);
}

static bool ioapic_init(void *dev, struct err *e)
{
	struct ioapic *a = dev;

	a->mmio = mmio_map(a->dev.m, a->base, 0x1000, 1, &ops, a, "ioapic", e);
	return a->mmio != NULL;
}

static void ioapic_fini(void *dev)
{
	struct ioapic *a = dev;

	mmio_unmap(a->dev.m, a->mmio);
}

/* Lines belong to their sources. */
static void ioapic_reset(void *dev)
{
	struct ioapic *a = dev;

	a->select = a->id = 0;
	for (int n = 0; n < IOAPIC_PINS; n++)
		a->entry[n] = RTE_MASK;
}

static const struct state ioapic_state[] = {
	STATE(ioapic, select), STATE(ioapic, id), STATE(ioapic, line), STATE(ioapic, entry),
	{ 0 }
};
static const struct prop ioapic_props[] = {
	PROP(U64, ioapic, base, "base", 0xfec00000u, "physical address"),
	{ 0 }
};

const struct dev_type ioapic_type = {
	.name = "ioapic", .bus = "system", .help = "I/O APIC",
	.size = sizeof(struct ioapic), .version = 1,
	.state = ioapic_state, .props = ioapic_props,
	.init = ioapic_init, .fini = ioapic_fini, .reset = ioapic_reset,
};
