/*
 * Two 8259A programmable interrupt controllers: the first at ports 20h-21h, the
 * second at A0h-A1h behind the first's input 2, and their edge/level registers
 * at 4D0h-4D1h.
 *
 * A request is latched in IRR: by a rising edge, or while the line is high if
 * the input is level-triggered. An edge once latched stays until acknowledged,
 * even if the line falls. INT is derived from IRR, IMR, ISR and the priority
 * rotation after every change.
 *
 * Not modelled: 8080/8085 mode (ICW4.uPM = 0 works like 8086 mode), buffered
 * mode, other cascades than the AT's, the spurious request of an edge that
 * falls before it is acknowledged.
 * Source: Intel 8259A data sheet, December 1988; 82371SB data sheet, 2.5.3
 * (ELCR).
 */
#include "hw/intc/pic.h"

enum {
	ICW1_IC4 = 0x01, ICW1_LTIM = 0x08, ICW1 = 0x10,
	ICW4_AEOI = 0x02, ICW4_SFNM = 0x10,
	OCW3 = 0x08, OCW3_RIS = 0x01, OCW3_RR = 0x02, OCW3_POLL = 0x04, OCW3_SMM = 0x20, OCW3_ESMM = 0x40,
	OCW2_EOI = 0x20, OCW2_SL = 0x40, OCW2_R = 0x80,
	CASCADE = 2,
};

struct chip {
	uint8_t irr, imr, isr;
	uint8_t line;			/* input levels */
	uint8_t elcr;			/* 1: level-triggered */
	uint8_t base;			/* vector of input 0 */
	uint8_t lowest;			/* input of lowest priority; 7 after ICW1 */
	uint8_t icw;			/* the next initialization word expected at A0 = 1; 0: none */
	uint8_t icw1, icw4;
	bool read_isr, poll, special_mask, rotate_aeoi;
};

struct pic {
	struct dev dev;
	struct chip chip[2];
	bool out_level;
	struct irq out;
	struct port_range *ports[3];
};

/* ---- one chip ---- */


static uint8_t level_inputs(const struct chip *c)
{
	return c->icw1 & ICW1_LTIM ? 0xff : c->elcr;
}

/* 0 is the highest priority; 8: no bit is set. */
static int priority(const struct chip *c, uint8_t set)
{
	int p = 0;

	while (p < 8 && !(set >> ((c->lowest + 1 + p) & 7) & 1))
		p++;
	return p;
}

static int input_of(const struct chip *c, int prio)
{
	return (c->lowest + 1 + prio) & 7;
}

/* The input that would interrupt now, or -1. */
static int request(const struct chip *c, bool first)
{
	int want = priority(c, c->irr & ~c->imr), busy;
	uint8_t isr = c->isr;

	if (want == 8)
		return -1;
	if (c->special_mask)
		isr &= ~c->imr;
	/* Special fully nested: the second chip may interrupt itself. */
	if (first && c->icw4 & ICW4_SFNM)
		isr &= ~(1u << CASCADE);
	busy = priority(c, isr);
	return want < busy ? input_of(c, want) : -1;
}

static void set_line(struct chip *c, int n, bool level)
{
	uint8_t bit = (uint8_t)(1u << n);
	bool rises = level && !(c->line & bit);

	c->line = level ? c->line | bit : c->line & ~bit;
	if (level_inputs(c) & bit)
		c->irr = level ? c->irr | bit : c->irr & ~bit;
	else if (rises)
		c->irr |= bit;
}

/* The cascade acts like a level: INTA makes the second chip drop INT and raise it again for the next request. */
static void pic_update(void *dev)
{
	struct pic *p = dev;
	struct chip *first = &p->chip[0];
	uint8_t bit = 1u << CASCADE;

	if (request(&p->chip[1], false) >= 0) {
		first->line |= bit;
		first->irr |= bit;
	} else {
		first->line &= ~bit;
		first->irr &= ~bit;
	}
	p->out_level = request(first, true) >= 0;
	irq_set(p->out, p->out_level);
}

static void accept(struct chip *c, int n)
{
	uint8_t bit = (uint8_t)(1u << n);

	if (!(level_inputs(c) & bit))
		c->irr &= ~bit;
	if (!(c->icw4 & ICW4_AEOI))
		c->isr |= bit;
	else if (c->rotate_aeoi)
		c->lowest = (uint8_t)n;
}

static int ack_chip(struct pic *p, int i)
{
	struct chip *c = &p->chip[i];
	int n = request(c, i == 0);

	if (n < 0)
		return 7;		/* spurious: no ISR bit */
	accept(c, n);
	return n;
}

int pic_intack(struct dev *d)
{
	struct pic *p = (struct pic *)d;
	int n = ack_chip(p, 0), vector = p->chip[0].base + n;

	if (n == CASCADE)
		vector = p->chip[1].base + ack_chip(p, 1);
	pic_update(p);
	return vector;
}

int pic_vector(const struct dev *d, int n)
{
	const struct chip *c = &((const struct pic *)d)->chip[0];

	return c->imr >> n & 1 ? -1 : c->base + n;
}

/* ---- programming ---- */

static void init_chip(struct chip *c, uint8_t v)
{
	c->icw1 = v;
	c->icw = 2;
	c->imr = c->isr = 0;
	c->irr = c->line & level_inputs(c);
	c->lowest = 7;
	c->read_isr = c->poll = c->special_mask = c->rotate_aeoi = false;
	if (!(v & ICW1_IC4))
		c->icw4 = 0;
}

static void end_of_interrupt(struct chip *c, int n)
{
	c->isr &= ~(1u << n);
}

static void ocw2(struct chip *c, uint8_t v)
{
	uint8_t isr = c->special_mask ? c->isr & ~c->imr : c->isr;
	int p = priority(c, isr), n = v & OCW2_SL ? v & 7 : p < 8 ? input_of(c, p) : -1;

	switch (v & (OCW2_R | OCW2_SL | OCW2_EOI)) {
	case 0:					/* rotate in automatic EOI: clear */
	case OCW2_R:				/* set */
		c->rotate_aeoi = v & OCW2_R;
		break;
	case OCW2_SL:				/* no operation */
		break;
	case OCW2_R | OCW2_SL:			/* set priority */
		c->lowest = (uint8_t)n;
		break;
	default:				/* the EOIs */
		if (n < 0)
			break;
		end_of_interrupt(c, n);
		if (v & OCW2_R)
			c->lowest = (uint8_t)n;
	}
}

static void ocw3(struct chip *c, uint8_t v)
{
	if (v & OCW3_POLL)
		c->poll = true;
	if (v & OCW3_RR)
		c->read_isr = v & OCW3_RIS;
	if (v & OCW3_ESMM)
		c->special_mask = v & OCW3_SMM;
}

static void write_a0(struct chip *c, uint8_t v)
{
	if (v & ICW1)
		init_chip(c, v);
	else if (v & OCW3)
		ocw3(c, v);
	else
		ocw2(c, v);
}

static void write_a1(struct chip *c, uint8_t v)
{
	switch (c->icw) {
	case 0:
		c->imr = v;
		break;
	case 2:
		c->base = v & 0xf8;
		c->icw = c->icw1 & 2 ? (c->icw1 & ICW1_IC4 ? 4 : 0) : 3;	/* SNGL skips ICW3 */
		break;
	case 3:
		c->icw = c->icw1 & ICW1_IC4 ? 4 : 0;
		break;
	default:
		c->icw4 = v;
		c->icw = 0;
	}
}

/* A poll is an INTA cycle whose answer is read: bit 7 says whether there was a request. */
static uint8_t poll(struct pic *p, int i)
{
	int n = request(&p->chip[i], i == 0);

	p->chip[i].poll = false;
	if (n < 0)
		return 0;
	accept(&p->chip[i], n);
	return (uint8_t)(0x80 | n);
}

static uint32_t chip_read(struct pic *p, int i, uint16_t off)
{
	struct chip *c = &p->chip[i];
	uint8_t v;

	if (c->poll)
		v = poll(p, i);
	else if (off)
		return c->imr;
	else
		return c->read_isr ? c->isr : c->irr;
	pic_update(p);
	return v;
}

static void chip_write(struct pic *p, int i, uint16_t off, uint8_t v)
{
	if (off)
		write_a1(&p->chip[i], v);
	else
		write_a0(&p->chip[i], v);
	pic_update(p);
}

static uint32_t read0(void *dev, uint16_t off, int size) { (void)size; return chip_read(dev, 0, off); }
static uint32_t read1(void *dev, uint16_t off, int size) { (void)size; return chip_read(dev, 1, off); }
static void write0(void *dev, uint16_t off, int size, uint32_t v) { (void)size; chip_write(dev, 0, off, (uint8_t)v); }
static void write1(void *dev, uint16_t off, int size, uint32_t v) { (void)size; chip_write(dev, 1, off, (uint8_t)v); }

static const struct port_ops chip_ops[2] = { { read0, write0, 1, 1 }, { read1, write1, 1, 1 } };

/* ---- the device ---- */

static void input(void *opaque, int n, int level)
{
	struct pic *p = opaque;

	if ((p->chip[n >> 3].line >> (n & 7) & 1) == (level != 0))
		return;
	set_line(&p->chip[n >> 3], n & 7, level);
	pic_update(p);
}

struct irq pic_in(struct dev *d, int n)
{
	return n == CASCADE ? (struct irq){ 0 } : irq_make(input, d, n);
}

void pic_connect(struct dev *d, struct irq out)
{
	((struct pic *)d)->out = out;
}

static void elcr_written(void *dev, uint32_t v, uint32_t old)
{
	struct pic *p = dev;

	(void)v, (void)old;
	for (int i = 0; i < 2; i++) {
		struct chip *c = &p->chip[i];

		c->irr = (c->irr & ~c->elcr) | (c->line & c->elcr);
	}
}

static bool pic_init(void *dev, struct err *e)
{
	struct pic *p = dev;
	struct machine *m = p->dev.m;

	(void)e;
	p->ports[0] = port_map(m, 0x20, 2, &chip_ops[0], p, "pic0");
	p->ports[1] = port_map(m, 0xa0, 2, &chip_ops[1], p, "pic1");
	p->ports[2] = port_map(m, 0x4d0, 2, &dev_port_ops, p, "elcr");
	return true;
}

static void pic_fini(void *dev)
{
	struct pic *p = dev;

	for (int i = 0; i < 3; i++)
		port_unmap(p->dev.m, p->ports[i]);
}

/* Line levels belong to the sources and stay. */
static void pic_reset(void *dev)
{
	struct pic *p = dev;

	for (int i = 0; i < 2; i++) {
		uint8_t line = p->chip[i].line;

		p->chip[i] = (struct chip){ .line = line, .lowest = 7 };
	}
}

static bool pic_loaded(void *dev, struct err *e)
{
	struct pic *p = dev;

	(void)e;
	for (int i = 0; i < 2; i++) {
		struct chip *c = &p->chip[i];
		c->lowest &= 7;
		fix_bool(&c->read_isr);
		fix_bool(&c->poll);
		fix_bool(&c->special_mask);
		fix_bool(&c->rotate_aeoi);
	}
	return true;
}

#define F(f) offsetof(struct pic, f)
static const struct reg pic_regs[] = {
	/*off bank name     stored           reset write clears on read on write */
	{ 0, 0, "elcr0", F(chip[0].elcr), 0,    0xf8, 0,     NULL,   elcr_written },
	{ 1, 0, "elcr1", F(chip[1].elcr), 0,    0xde, 0,     NULL,   elcr_written },
	{ 0 }
};
static const struct state pic_state[] = { STATE(pic, chip), { 0 } };

_Static_assert(sizeof(struct chip) == 14, "saved as it stands: bytes only");

const struct dev_type pic_type = {
	.name = "isa-i8259", .bus = "system", .help = "pair of 8259A interrupt controllers",
	.size = sizeof(struct pic), .version = 1,
	.regs = pic_regs, .state = pic_state,
	.init = pic_init, .fini = pic_fini, .reset = pic_reset, .update = pic_update, .loaded = pic_loaded,
};
