/*
 * Small devices for firmware and test programs:
 *
 *   isa-debugcon    what is written to its port goes to a stream; reading it
 *                   gives 0xe9, by which software finds it
 *   isa-debug-exit  writing v ends the program with status 2v + 1
 *   pvpanic         the guest reports that it has crashed
 *   pc-testdev      ports E0h-E3h hold what was written; writing to port
 *                   2000h + n sets interrupt line n; memory at FF000000h
 *
 * Not modelled: pc-testdev's port D1h (memory size) and E4h (page flush).
 * Source: the protocols are fixed by their users: SeaBIOS, Linux
 * drivers/misc/pvpanic, kvm-unit-tests x86.
 */
#include "hw/char/debug.h"

#include <string.h>

#include "hw/core/chr.h"

/* ---- isa-debugcon ---- */

struct debugcon {
	struct dev dev;
	uint32_t iobase, readback;
	struct chr *chr;
	struct port_range *ports;
};

static uint32_t con_read(void *dev)
{
	return ((struct debugcon *)dev)->readback;
}

static void con_write(void *dev, uint32_t v, uint32_t old)
{
	(void)old;
	chr_putc(((struct debugcon *)dev)->chr, (uint8_t)v);
}

static bool con_init(void *dev, struct err *e)
{
	struct debugcon *c = dev;
	static const struct chr_front front = { NULL, NULL, NULL };

	if (c->chr) {
		struct chr *port = chr_attach(c->chr, &front, c);

		if (!port)
			return err_set(e, "chardev '%s' is in use", c->chr->id);
		c->chr = port;
	}
	c->ports = port_map(c->dev.m, (uint16_t)c->iobase, 1, &dev_port_ops, c, "debugcon");
	return true;
}

static void con_fini(void *dev)
{
	struct debugcon *c = dev;

	if (c->ports)
		chr_detach(c->chr);
	port_unmap(c->dev.m, c->ports);
}

static const struct reg con_regs[] = {
	/*off bank name    stored    reset write clears on read   on write */
	{ 0, 0,   "data", REG_NONE, 0,    0,    0,     con_read, con_write },
	{ 0 }
};
static const struct prop con_props[] = {
	PROP(U32, debugcon, iobase,   "iobase",   0xe9, "its I/O port"),
	PROP(U32, debugcon, readback, "readback", 0xe9, "what reading it gives"),
	PROP(CHR, debugcon, chr,      "chardev",  0,    "where bytes go"),
	{ 0 }
};
const struct dev_type debugcon_type = {
	.name = "isa-debugcon", .bus = "isa", .help = "debug console port",
	.size = sizeof(struct debugcon), .version = 1,
	.regs = con_regs, .props = con_props, .init = con_init, .fini = con_fini,
};

/* ---- isa-debug-exit ---- */

struct debug_exit {
	struct dev dev;
	uint32_t iobase, iosize;
	struct port_range *ports;
};

static uint32_t exit_read(void *dev, uint16_t off, int size)
{
	(void)dev, (void)off, (void)size;
	return 0;
}

static void exit_write(void *dev, uint16_t off, int size, uint32_t v)
{
	struct debug_exit *x = dev;

	(void)off, (void)size;
	machine_request(x->dev.m, MACHINE_EXIT, (int)(v << 1 | 1));
}

static const struct port_ops exit_ops = { exit_read, exit_write, 4, 1 };

static bool exit_init(void *dev, struct err *e)
{
	struct debug_exit *x = dev;

	if (x->iosize < 1 || x->iosize > 16)
		return err_set(e, "iosize is 1 to 16");
	x->ports = port_map(x->dev.m, (uint16_t)x->iobase, x->iosize, &exit_ops, x, "debug-exit");
	return true;
}

static void exit_fini(void *dev)
{
	struct debug_exit *x = dev;

	port_unmap(x->dev.m, x->ports);
}

static const struct prop exit_props[] = {
	PROP(U32, debug_exit, iobase, "iobase", 0x501, "first I/O port"),
	PROP(U32, debug_exit, iosize, "iosize", 2,     "number of ports"),
	{ 0 }
};
const struct dev_type debug_exit_type = {
	.name = "isa-debug-exit", .bus = "isa", .help = "a port that ends the emulator",
	.size = sizeof(struct debug_exit), .version = 1,
	.props = exit_props, .init = exit_init, .fini = exit_fini,
};

/* ---- pvpanic ---- */

enum { PANICKED = 0x01, CRASH_LOADED = 0x02 };

struct pvpanic {
	struct dev dev;
	uint16_t ioport;
	uint8_t events;
	struct port_range *ports;
};

static uint32_t panic_read(void *dev)
{
	return ((struct pvpanic *)dev)->events;
}

static void panic_write(void *dev, uint32_t v, uint32_t old)
{
	struct pvpanic *p = dev;

	(void)old;
	if (v & ~(PANICKED | CRASH_LOADED))
		log_guest("pvpanic: unknown event %02x", v);
	if (v & p->events & PANICKED)
		machine_request(p->dev.m, MACHINE_PANIC, 0);
	if (v & p->events & CRASH_LOADED)
		machine_request(p->dev.m, MACHINE_CRASH_LOADED, 0);
}

static bool panic_init(void *dev, struct err *e)
{
	struct pvpanic *p = dev;

	(void)e;
	p->ports = port_map(p->dev.m, p->ioport, 1, &dev_port_ops, p, "pvpanic");
	return true;
}

static void panic_fini(void *dev)
{
	struct pvpanic *p = dev;

	port_unmap(p->dev.m, p->ports);
}

static const struct reg panic_regs[] = {
	{ 0, 0, "event", REG_NONE, 0, 0, 0, panic_read, panic_write },
	{ 0 }
};
static const struct prop panic_props[] = {
	PROP(U16, pvpanic, ioport, "ioport", 0x505, "its I/O port"),
	PROP(U8,  pvpanic, events, "events", PANICKED | CRASH_LOADED, "events the guest may report"),
	{ 0 }
};
const struct dev_type pvpanic_type = {
	.name = "pvpanic", .bus = "isa", .help = "reports a crash of the guest",
	.size = sizeof(struct pvpanic), .version = 1,
	.regs = panic_regs, .props = panic_props, .init = panic_init, .fini = panic_fini,
};

/* ---- pc-testdev ---- */

#define TEST_MEM_PA	0xff000000u
#define TEST_MEM_SIZE	0x10000u

struct testdev {
	struct dev dev;
	uint8_t data[4];
	uint8_t mem[TEST_MEM_SIZE];
	struct port_range *ports[2];
	struct mmio *mmio;
};

static uint32_t test_read(void *dev, uint16_t off, int size)
{
	const struct testdev *t = dev;

	return (uint32_t)ld_n(t->data + off, size);
}

static void test_write(void *dev, uint16_t off, int size, uint32_t v)
{
	struct testdev *t = dev;

	for (int i = 0; i < size; i++)
		t->data[off + i] = (uint8_t)(v >> 8 * i);
}

static uint32_t line_read(void *dev, uint16_t off, int size)
{
	(void)dev, (void)off;
	return (uint32_t)size_mask(size);
}

static void line_write(void *dev, uint16_t off, int size, uint32_t v)
{
	struct machine *m = ((struct testdev *)dev)->dev.m;

	(void)size;
	if (m->gsi[off].fn)
		irq_set(m->gsi[off], v != 0);
	else if (off < MACHINE_N_ISA_IRQS)
		irq_set(m->isa_irq[off], v != 0);
}

static uint64_t mem_read(void *dev, uint64_t off, int size)
{
	const struct testdev *t = dev;

	return off + size <= TEST_MEM_SIZE ? ld_n(t->mem + off, size) : size_mask(size);
}

static void mem_write(void *dev, uint64_t off, int size, uint64_t v)
{
	struct testdev *t = dev;

	if (off + size <= TEST_MEM_SIZE)
		st_n(t->mem + off, size, v);
}

static const struct port_ops test_ops = { test_read, test_write, 4, 1 };
static const struct port_ops line_ops = { line_read, line_write, 4, 1 };
static const struct mmio_ops mem_ops = { mem_read, mem_write, 8 };

static bool test_init(void *dev, struct err *e)
{
	struct testdev *t = dev;
	struct machine *m = t->dev.m;

	t->ports[0] = port_map(m, 0xe0, 4, &test_ops, t, "testdev");
	t->ports[1] = port_map(m, 0x2000, MACHINE_N_GSIS, &line_ops, t, "testdev-irq");
	t->mmio = mmio_map(m, TEST_MEM_PA, TEST_MEM_SIZE, 1, &mem_ops, t, "testdev-mem", e);
	return t->mmio != NULL;
}

static void test_fini(void *dev)
{
	struct testdev *t = dev;

	port_unmap(t->dev.m, t->ports[0]);
	port_unmap(t->dev.m, t->ports[1]);
	mmio_unmap(t->dev.m, t->mmio);
}

static const struct state test_state[] = { STATE(testdev, data), STATE(testdev, mem), { 0 } };

const struct dev_type testdev_type = {
	.name = "pc-testdev", .bus = "isa", .help = "device of kvm-unit-tests",
	.size = sizeof(struct testdev), .version = 1,
	.state = test_state, .init = test_init, .fini = test_fini,
};
