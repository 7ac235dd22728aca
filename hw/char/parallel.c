/*
 * Parallel port in its original, output-only mode, with a printer that is always
 * ready. A byte is printed when the strobe bit rises; the acknowledge interrupt
 * follows at once.
 *
 * Not modelled: bidirectional, EPP and ECP modes, paper end, printer errors.
 * Source: IBM Personal Computer Technical Reference, "Printer Adapter"; IEEE
 * 1284-1994, compatibility mode.
 */
#include "hw/char/parallel.h"

#include "hw/core/chr.h"

enum {
	CTL_STROBE = 0x01, CTL_INIT = 0x04, CTL_SELECT = 0x08, CTL_IRQ = 0x10,
	/* nBusy, nAck, Select, nError, and the two bits that read as one. */
	STATUS_READY = 0x80 | 0x40 | 0x10 | 0x08 | 0x07,
};

struct parallel {
	struct dev dev;
	uint16_t iobase;
	struct irq irq;
	struct chr *chr;
	struct port_range *ports;
	uint8_t data, status, control;
};

static uint32_t control_read(void *dev)
{
	return ((struct parallel *)dev)->control | 0xc0;
}

static void control_write(void *dev, uint32_t v, uint32_t old)
{
	struct parallel *p = dev;

	if (!(v & ~old & CTL_STROBE))
		return;
	chr_putc(p->chr, p->data);
	if (v & CTL_IRQ)
		irq_pulse(p->irq);
}

static bool parallel_init(void *dev, struct err *e)
{
	struct parallel *p = dev;
	static const struct chr_front front = { NULL, NULL, NULL };

	if (p->chr) {
		struct chr *port = chr_attach(p->chr, &front, p);

		if (!port)
			return err_set(e, "chardev '%s' is in use", p->chr->id);
		p->chr = port;
	}
	p->ports = port_map(p->dev.m, p->iobase, 3, &dev_port_ops, p, "parallel");
	return true;
}

static void parallel_fini(void *dev)
{
	struct parallel *p = dev;

	if (p->ports)
		chr_detach(p->chr);
	port_unmap(p->dev.m, p->ports);
}

#define F(f) offsetof(struct parallel, f)
static const struct reg parallel_regs[] = {
	/*off bank name       stored      reset                    write clears on read       on write */
	{ 0, 0,   "data",    F(data),    0,                       0xff, 0 },
	{ 1, 0,   "status",  F(status),  STATUS_READY,            0,    0 },
	{ 2, 0,   "control", F(control), CTL_INIT | CTL_SELECT,   0x3f, 0,     control_read, control_write },
	{ 0 }
};
static const struct prop parallel_props[] = {
	PROP(U16, parallel, iobase, "iobase",  0x378, "first of three I/O ports"),
	PROP(IRQ, parallel, irq,    "irq",     7,     "ISA interrupt line"),
	PROP(CHR, parallel, chr,    "chardev", 0,     "where printed bytes go"),
	{ 0 }
};

const struct dev_type parallel_type = {
	.name = "isa-parallel", .bus = "isa", .help = "parallel printer port",
	.size = sizeof(struct parallel), .version = 1,
	.regs = parallel_regs, .props = parallel_props,
	.init = parallel_init, .fini = parallel_fini,
};
