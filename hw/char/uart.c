/*
 * 16550A UART: one serial port behind eight I/O ports.
 *
 * Not modelled: baud rate (a byte leaves at once), parity and framing errors,
 * the receive time-out's delay (bytes below the trigger level report it at
 * once), OUT2 as gate of the interrupt.
 * Source: National PC16550D data sheet, June 1995; sections cited by title.
 */
#include "hw/char/uart.h"

#include "hw/core/chr.h"

enum {
	IER_RX = 0x01, IER_TX = 0x02, IER_LINE = 0x04, IER_MODEM = 0x08,
	IIR_NONE = 0x01, IIR_MODEM = 0x00, IIR_TX = 0x02, IIR_RX = 0x04, IIR_LINE = 0x06, IIR_TIMEOUT = 0x0c,
	IIR_FIFOS = 0xc0,
	FCR_ENABLE = 0x01, FCR_CLEAR_RX = 0x02, FCR_CLEAR_TX = 0x04,
	LCR_DLAB = 0x80,
	MCR_DTR = 0x01, MCR_RTS = 0x02, MCR_OUT1 = 0x04, MCR_OUT2 = 0x08, MCR_LOOP = 0x10,
	LSR_DR = 0x01, LSR_OE = 0x02, LSR_BI = 0x10, LSR_THRE = 0x20, LSR_TEMT = 0x40,
	MSR_DCTS = 0x01, MSR_DDSR = 0x02, MSR_TERI = 0x04, MSR_DDCD = 0x08,
	MSR_CTS = 0x10, MSR_DSR = 0x20, MSR_RI = 0x40, MSR_DCD = 0x80,
	FIFO_SIZE = 16,
};

struct uart {
	struct dev dev;
	uint32_t index;			/* property: which COM port, or none of them */
	uint16_t iobase;		/* property */
	struct irq irq;			/* property */
	struct chr *chr;		/* property: where bytes come from and go */
	struct port_range *ports;
	uint8_t ier, fcr, lcr, mcr, lsr, msr, scr, dll, dlm;
	bool tx_pending;		/* "transmitter empty" not yet acknowledged */
	bool peer;			/* somebody is at the other end */
	struct fifo8 rx;
};

static int rx_size(const struct uart *u)
{
	return u->fcr & FCR_ENABLE ? FIFO_SIZE : 1;
}

static int rx_trigger(const struct uart *u)
{
	static const uint8_t level[] = { 1, 4, 8, 14 };

	return u->fcr & FCR_ENABLE ? level[u->fcr >> 6] : 1;
}

/* "Interrupt Identification Register": highest priority first. */
static uint8_t cause(const struct uart *u)
{
	if (u->ier & IER_LINE && u->lsr & (LSR_OE | LSR_BI))
		return IIR_LINE;
	if (u->ier & IER_RX && u->lsr & LSR_DR)
		return fifo8_count(&u->rx) >= rx_trigger(u) ? IIR_RX : IIR_TIMEOUT;
	if (u->ier & IER_TX && u->tx_pending)
		return IIR_TX;
	if (u->ier & IER_MODEM && u->msr & 0x0f)
		return IIR_MODEM;
	return IIR_NONE;
}

static void uart_update(void *dev)
{
	struct uart *u = dev;

	u->lsr = (u->lsr & ~LSR_DR) | (fifo8_empty(&u->rx) ? 0 : LSR_DR);
	irq_set(u->irq, cause(u) != IIR_NONE);
}

/* ---- modem lines ---- */

/* "MODEM Status Register": levels and what has changed since it was read. */
static void set_modem(struct uart *u)
{
	uint8_t now, old = u->msr & 0xf0;

	if (u->mcr & MCR_LOOP)		/* RTS, DTR, OUT1, OUT2 come back as CTS, DSR, RI, DCD */
		now = (u->mcr & MCR_RTS ? MSR_CTS : 0) | (u->mcr & MCR_DTR ? MSR_DSR : 0) |
		      (u->mcr & MCR_OUT1 ? MSR_RI : 0) | (u->mcr & MCR_OUT2 ? MSR_DCD : 0);
	else
		now = u->peer ? MSR_CTS | MSR_DSR | MSR_DCD : 0;
	u->msr = now | (u->msr & 0x0f) | ((now ^ old) >> 4 & (MSR_DCTS | MSR_DDSR | MSR_DDCD)) |
		 (old & ~now & MSR_RI ? MSR_TERI : 0);
}

/* ---- data ---- */

static void receive(struct uart *u, uint8_t v)
{
	if (!fifo8_push(&u->rx, v, rx_size(u)))
		u->lsr |= LSR_OE;
}

static uint32_t rbr_read(void *dev)
{
	struct uart *u = dev;
	uint8_t v;

	if (fifo8_empty(&u->rx))
		return 0;
	v = fifo8_pop(&u->rx);
	if (!(u->mcr & MCR_LOOP))
		chr_accept_input(u->chr);
	return v;
}

static void thr_write(void *dev, uint32_t v, uint32_t old)
{
	struct uart *u = dev;

	(void)old;
	if (u->tx_pending) {		/* the line falls while the byte is on its way */
		u->tx_pending = false;
		uart_update(u);
	}
	u->tx_pending = true;
	if (u->mcr & MCR_LOOP)
		receive(u, (uint8_t)v);
	else
		chr_putc(u->chr, (uint8_t)v);
}

static uint32_t iir_read(void *dev)
{
	struct uart *u = dev;
	uint8_t id = cause(u);

	if (id == IIR_TX)		/* reading the cause acknowledges it */
		u->tx_pending = false;
	return id | (u->fcr & FCR_ENABLE ? IIR_FIFOS : 0);
}

static void ier_write(void *dev, uint32_t v, uint32_t old)
{
	struct uart *u = dev;

	if (v & ~old & IER_TX)		/* the transmitter is always empty */
		u->tx_pending = true;
}

static void fcr_write(void *dev, uint32_t v, uint32_t old)
{
	struct uart *u = dev;

	if (v & FCR_CLEAR_RX || (v ^ old) & FCR_ENABLE) {
		fifo8_clear(&u->rx);
		chr_accept_input(u->chr);
	}
	if (v & FCR_CLEAR_TX)
		u->tx_pending = true;
}

static void mcr_write(void *dev, uint32_t v, uint32_t old)
{
	(void)v, (void)old;
	set_modem(dev);
}

static unsigned uart_bank(void *dev, unsigned off)
{
	(void)off;
	return ((struct uart *)dev)->lcr & LCR_DLAB ? 1 : 0;
}

/* ---- the other end ---- */

static int uart_room(void *opaque)
{
	const struct uart *u = opaque;

	return u->mcr & MCR_LOOP ? 0 : rx_size(u) - fifo8_count(&u->rx);
}

static void uart_input(void *opaque, const uint8_t *p, int n)
{
	struct uart *u = opaque;

	while (n-- > 0)
		receive(u, *p++);
	uart_update(u);
}

static void uart_event(void *opaque, enum chr_event ev)
{
	struct uart *u = opaque;

	if (ev == CHR_BREAK) {
		receive(u, 0);
		u->lsr |= LSR_BI;
	} else if (ev == CHR_OPENED || ev == CHR_CLOSED) {
		u->peer = ev == CHR_OPENED;
		set_modem(u);
	}
	uart_update(u);
}

static const struct chr_front front = { uart_room, uart_input, uart_event };

/* ---- the device ---- */

static bool uart_init(void *dev, struct err *e)
{
	static const struct { uint16_t base; uint8_t irq; } com[] = {
		{ 0x3f8, 4 }, { 0x2f8, 3 }, { 0x3e8, 4 }, { 0x2e8, 3 },
	};
	struct uart *u = dev;

	if (u->index < ARRAY_LEN(com)) {
		u->iobase = com[u->index].base;
		u->irq = dev_isa_irq(&u->dev, com[u->index].irq);
	} else if (u->index != -1u) {
		return err_set(e, "index=%u: expected 0 to 3", u->index);
	}
	if (u->chr) {
		struct chr *port = chr_attach(u->chr, &front, u);

		if (!port)
			return err_set(e, "chardev '%s' is in use", u->chr->id);
		u->chr = port;
	}
	u->ports = port_map(u->dev.m, u->iobase, 8, &dev_port_ops, u, "serial");
	return true;
}

static void uart_fini(void *dev)
{
	struct uart *u = dev;

	if (u->ports)
		chr_detach(u->chr);
	port_unmap(u->dev.m, u->ports);
	irq_set(u->irq, 0);
}

/* Without a stream the lines look as if somebody were there. */
static void uart_reset(void *dev)
{
	struct uart *u = dev;

	u->peer = !u->chr || u->chr->open;
	fifo8_clear(&u->rx);
	u->tx_pending = false;
	set_modem(u);
	u->msr &= 0xf0;
	chr_accept_input(u->chr);
}

static bool uart_loaded(void *dev, struct err *e)
{
	struct uart *u = dev;

	return fifo8_valid(&u->rx) || err_set(e, "the receive fifo is impossible");
}

#define F(f) offsetof(struct uart, f)
static const struct reg uart_regs[] = {
	/*off bank     name    stored    reset write clears on read   on write */
	{ 0, 0,       "data", REG_NONE, 0,    0,    0,     rbr_read, thr_write },
	{ 5, REG_ANY, "lsr",  F(lsr),   0x60, 0,    LSR_OE | LSR_BI },
	{ 2, REG_ANY, "iir",  F(fcr),   0,    0xc9, 0,     iir_read, fcr_write },
	{ 1, 0,       "ier",  F(ier),   0,    0x0f, 0,     NULL,     ier_write },
	{ 0, 1,       "dll",  F(dll),   0x0c, 0xff, 0 },
	{ 1, 1,       "dlm",  F(dlm),   0,    0xff, 0 },
	{ 3, REG_ANY, "lcr",  F(lcr),   0,    0xff, 0 },
	{ 4, REG_ANY, "mcr",  F(mcr),   0,    0x1f, 0,     NULL,     mcr_write },
	{ 6, REG_ANY, "msr",  F(msr),   0xb0, 0,    0x0f },
	{ 7, REG_ANY, "scr",  F(scr),   0,    0xff, 0 },
	{ 0 }
};
static const struct state uart_state[] = {	/* what no register holds */
	STATE(uart, tx_pending), STATE(uart, rx), { 0 }
};
static const struct prop uart_props[] = {
	PROP(U32, uart, index,  "index",   -1u,   "0 to 3: at the ports and line of COM1 to COM4"),
	PROP(U16, uart, iobase, "iobase",  0x3f8, "first of eight I/O ports"),
	PROP(IRQ, uart, irq,    "irq",     4,     "ISA interrupt line"),
	PROP(CHR, uart, chr,    "chardev", 0,     "byte stream on the other end"),
	{ 0 }
};

const struct dev_type uart_type = {
	.name = "isa-serial", .bus = "isa", .help = "16550A serial port",
	.size = sizeof(struct uart), .version = 1,
	.regs = uart_regs, .state = uart_state, .props = uart_props,
	.bank = uart_bank, .init = uart_init, .fini = uart_fini, .reset = uart_reset,
	.update = uart_update, .loaded = uart_loaded,
};
