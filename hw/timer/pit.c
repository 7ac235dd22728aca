/*
 * 8254 programmable interval timer at ports 40h-43h, and the gate and speaker
 * bits of port 61h.
 *
 * A counter is a start time and a reload value; count and output are functions
 * of guest time, so nothing runs while nobody looks. Only counter 0 has a timer,
 * for its interrupt: one event per period. In the periodic modes the interrupt
 * line falls and rises again at the start of each period, instead of following
 * the output's low phase.
 *
 * Not modelled: the clock cycle between writing a count and loading it, NMI
 * sources of port 61h.
 * Source: Intel 8254 data sheet, September 1993; IBM AT Technical Reference
 * for port 61h.
 */
#include "hw/timer/pit.h"

enum {
	RW_LATCH = 0, RW_LSB = 1, RW_MSB = 2, RW_WORD = 3,
	MAX_LATE = 64,			/* periods that are made up for */
	GATE2 = 0x01, SPEAKER = 0x02, REFRESH = 0x10, OUT2 = 0x20,
};

struct counter {
	uint64_t start;		/* guest ns at which counting (re)started */
	uint64_t held;		/* ticks counted before a closed gate stopped it */
	uint32_t reload;	/* 1 .. 65536 */
	uint32_t next_reload;	/* written during a period of mode 2 or 3; 0: none */
	uint16_t latch;
	uint8_t status;		/* latched by read-back */
	uint8_t control;	/* RW, mode and BCD as written */
	uint8_t mode;		/* 0..5 */
	uint8_t low;		/* first byte of a two-byte write */
	bool write_high, read_high;	/* second byte is next */
	uint8_t latched;	/* bytes of `latch` still to be read */
	bool status_latched;
	bool loaded;		/* a count was written since the control word */
	bool gate;
	bool armed;		/* modes 1 and 5: a trigger came */
	uint8_t pad[3];
};

struct pit {
	struct dev dev;
	struct counter ch[3];
	struct timer timer;	/* counter 0 */
	uint64_t due;		/* when it was to fire */
	bool out0;
	uint8_t port61;
	struct irq irq;
	void (*on_speaker)(void *opaque, bool on);
	void *speaker_opaque;
	struct port_range *ports[2];
};

/* ---- time ---- */

static uint64_t now(const struct pit *p)
{
	return clock_now(&p->dev.m->clock);
}

static uint64_t to_ticks(uint64_t ns) { return muldiv64(ns, PIT_HZ, NS_PER_SEC); }
/* The first nanosecond at which `ticks` have passed. */
static uint64_t to_ns(uint64_t ticks)
{
	return (uint64_t)(((unsigned __int128)ticks * NS_PER_SEC + PIT_HZ - 1) / PIT_HZ);
}

static bool periodic(const struct counter *c)
{
	return c->mode == 2 || c->mode == 3;
}

static bool counting(const struct counter *c)
{
	return c->loaded && (c->mode == 1 || c->mode == 5 ? c->armed : c->gate);
}

/* Ticks since the count was loaded. */
static uint64_t elapsed(const struct counter *c, uint64_t t)
{
	return c->held + (counting(c) ? to_ticks(t - c->start) : 0);
}

/* A count written in the middle of a period takes over at its end. */
static void settle(struct counter *c, uint64_t t)
{
	uint64_t done;

	if (!c->next_reload || !counting(c))
		return;
	done = elapsed(c, t);
	if (done < c->reload)
		return;
	c->start += to_ns(c->reload - c->held);
	c->held = 0;
	c->reload = c->next_reload;
	c->next_reload = 0;
}

/* Let `start` be the beginning of the period that t lies in. */
static void begin_period(struct counter *c, uint64_t t)
{
	uint64_t whole;

	settle(c, t);
	whole = elapsed(c, t) / c->reload * c->reload;
	if (!whole)
		return;
	if (counting(c))
		c->start += to_ns(whole - c->held);
	c->held = counting(c) ? 0 : c->held - whole;
}

static bool output(const struct counter *c, uint64_t t)
{
	uint64_t n = elapsed(c, t);

	if (!c->loaded)
		return c->mode != 0;
	switch (c->mode) {
	case 0:
		return n >= c->reload;
	case 1:
		return !c->armed || n >= c->reload;
	case 2:
		return !c->gate || n % c->reload != c->reload - 1;
	case 3:
		return !c->gate || n % c->reload < (c->reload + 1) / 2;
	default:
		return n != c->reload;
	}
}

static uint16_t to_bcd(uint32_t v)
{
	v %= 10000;
	return (uint16_t)(v / 1000 << 12 | v / 100 % 10 << 8 | v / 10 % 10 << 4 | v % 10);
}

static uint32_t from_bcd(uint32_t v)
{
	return (v >> 12 & 15) * 1000 + (v >> 8 & 15) * 100 + (v >> 4 & 15) * 10 + (v & 15);
}

static bool bcd(const struct counter *c)
{
	return c->control & 1;
}

static uint16_t count(const struct counter *c, uint64_t t)
{
	uint64_t n = elapsed(c, t);
	uint32_t wrap = bcd(c) ? 10000 : 0x10000, v;

	switch (c->mode) {
	case 2:
		v = (uint32_t)(c->reload - n % c->reload);
		break;
	case 3:
		v = (uint32_t)(c->reload - 2 * (n % c->reload) % c->reload) & ~1u;
		break;
	default:
		v = (uint32_t)((c->reload + wrap - n % wrap) % wrap);
	}
	return bcd(c) ? to_bcd(v) : (uint16_t)v;
}

/* ---- counter 0's interrupt ---- */

static void arm(struct pit *p)
{
	struct counter *c = &p->ch[0];
	uint64_t n, end = c->reload + (c->mode >= 4);	/* modes 4, 5: the end of the strobe */

	if (!counting(c)) {
		timer_del(&p->timer);
		return;
	}
	n = elapsed(c, now(p));
	if (periodic(c))
		end = (n / c->reload + 1) * c->reload;
	p->due = n < end ? c->start + to_ns(end - c->held) : TIME_NEVER;
	timer_mod(&p->timer, p->due);
}

static void set_out0(struct pit *p, bool level)
{
	p->out0 = level;
	irq_set(p->irq, level);
}

static void on_timer(void *opaque)
{
	struct pit *p = opaque;
	struct counter *c = &p->ch[0];

	uint64_t late = to_ticks(now(p) - p->due), rises = 1;

	settle(c, now(p));
	if (periodic(c))			/* the loop may be late by periods */
		rises = min_u64(late / c->reload + 1, MAX_LATE);
	for (; rises; rises--) {
		if (c->mode != 0 && c->mode != 1)
			set_out0(p, false);
		set_out0(p, true);
	}
	arm(p);
}

/* Counter 0 was programmed. */
static void restart0(struct pit *p)
{
	set_out0(p, output(&p->ch[0], now(p)));
	arm(p);
}

/* ---- programming ---- */

static void load(struct pit *p, struct counter *c, uint32_t v)
{
	uint32_t n = bcd(c) ? from_bcd(v) : v;

	if (!n)
		n = bcd(c) ? 10000 : 0x10000;
	if (n == 1 && periodic(c))
		n = bcd(c) ? 10001 : 0x10001;	/* a count of 1 is illegal; real parts run through zero */
	if (c->loaded && periodic(c)) {
		begin_period(c, now(p));
		c->next_reload = n;
	} else {
		c->reload = n;
		c->start = now(p);
		c->held = 0;
		c->loaded = true;
		c->next_reload = 0;
	}
	if (c == &p->ch[0])
		restart0(p);
}

static void counter_write(struct pit *p, struct counter *c, uint8_t v)
{
	switch (c->control >> 4 & 3) {
	case RW_LSB:
		load(p, c, v);
		break;
	case RW_MSB:
		load(p, c, (uint32_t)v << 8);
		break;
	case RW_WORD:
		if (c->write_high) {
			c->write_high = false;
			load(p, c, (uint32_t)v << 8 | c->low);
			break;
		}
		c->low = v;
		c->write_high = true;
		if (c->mode == 0) {		/* the first byte stops the count */
			c->loaded = false;
			if (c == &p->ch[0])
				restart0(p);
		}
	}
}

static uint8_t counter_read(struct pit *p, struct counter *c)
{
	uint16_t v;

	settle(c, now(p));
	if (c->status_latched) {
		c->status_latched = false;
		return c->status;
	}
	if (c->latched) {
		bool high = c->latched == 1 && (c->control >> 4 & 3) != RW_LSB;

		c->latched--;
		return (uint8_t)(high ? c->latch >> 8 : c->latch);
	}
	v = count(c, now(p));
	switch (c->control >> 4 & 3) {
	case RW_LSB:
		return (uint8_t)v;
	case RW_MSB:
		return (uint8_t)(v >> 8);
	default:
		c->read_high = !c->read_high;
		return (uint8_t)(c->read_high ? v : v >> 8);
	}
}

static void latch_count(struct pit *p, struct counter *c)
{
	if (c->latched)
		return;
	settle(c, now(p));
	c->latch = count(c, now(p));
	c->latched = (c->control >> 4 & 3) == RW_WORD ? 2 : 1;
}

static void latch_status(struct pit *p, struct counter *c)
{
	if (c->status_latched)
		return;
	settle(c, now(p));
	c->status = (uint8_t)(output(c, now(p)) << 7 | !c->loaded << 6 | (c->control & 0x3f));
	c->status_latched = true;
}

static void read_back(struct pit *p, uint8_t v)
{
	for (int i = 0; i < 3; i++) {
		if (!(v >> (i + 1) & 1))
			continue;
		if (!(v & 0x20))
			latch_count(p, &p->ch[i]);
		if (!(v & 0x10))
			latch_status(p, &p->ch[i]);
	}
}

static void control_write(struct pit *p, uint8_t v)
{
	struct counter *c;

	if (v >> 6 == 3) {
		read_back(p, v);
		return;
	}
	c = &p->ch[v >> 6];
	if ((v >> 4 & 3) == RW_LATCH) {
		latch_count(p, c);
		return;
	}
	c->control = v & 0x3f;
	c->mode = v >> 1 & 7;
	if (c->mode > 5)
		c->mode -= 4;			/* 6 and 7 are 2 and 3 */
	c->loaded = c->armed = false;
	c->write_high = c->read_high = c->status_latched = false;
	c->latched = 0;
	c->held = 0;
	c->next_reload = 0;
	if (c == &p->ch[0])
		restart0(p);
}

/* ---- the gate of counter 2 ---- */

static void set_gate(struct pit *p, struct counter *c, bool on)
{
	uint64_t t = now(p);

	if (c->gate == on)
		return;
	settle(c, t);
	if (!on)
		c->held = elapsed(c, t);
	c->gate = on;
	if (!on)
		return;
	c->start = t;
	if (c->mode != 0 && c->mode != 4)	/* a rising gate starts over */
		c->held = 0;
	if (c->mode == 1 || c->mode == 5)
		c->armed = true;
}

static uint32_t port61_read(struct pit *p)
{
	uint64_t t = now(p);

	settle(&p->ch[2], t);
	/* Memory refresh toggles every 15 us. */
	return p->port61 | (t / 15085 & 1 ? REFRESH : 0) | (output(&p->ch[2], t) ? OUT2 : 0);
}

/* Counter 2 or port 61h is about to change. */
static void speaker_changes(struct pit *p, uint8_t port61)
{
	settle(&p->ch[2], now(p));
	if (p->on_speaker)
		p->on_speaker(p->speaker_opaque, port61 & SPEAKER);
}

static void port61_write(struct pit *p, uint8_t v)
{
	speaker_changes(p, v);
	p->port61 = v & 0x0f;
	set_gate(p, &p->ch[2], v & GATE2);
}

bool pit_speaker_level(struct dev *d, uint64_t t)
{
	const struct pit *p = (struct pit *)d;

	return p->port61 & SPEAKER && output(&p->ch[2], t);
}

/* ---- ports ---- */

static uint32_t pit_read(void *dev, uint16_t off, int size)
{
	struct pit *p = dev;

	(void)size;
	return off < 3 ? counter_read(p, &p->ch[off]) : 0;
}

static void pit_write(void *dev, uint16_t off, int size, uint32_t v)
{
	struct pit *p = dev;

	(void)size;
	if (off >= 2)
		speaker_changes(p, p->port61);
	if (off == 3)
		control_write(p, (uint8_t)v);
	else
		counter_write(p, &p->ch[off], (uint8_t)v);
}

static uint32_t speaker_read(void *dev, uint16_t off, int size)
{
	(void)off, (void)size;
	return port61_read(dev);
}

static void speaker_write(void *dev, uint16_t off, int size, uint32_t v)
{
	(void)off, (void)size;
	port61_write(dev, (uint8_t)v);
}

static const struct port_ops pit_ops = { pit_read, pit_write, 1, 1 };
static const struct port_ops speaker_ops = { speaker_read, speaker_write, 1, 1 };

/* ---- the device ---- */

void pit_connect(struct dev *d, struct irq out)
{
	((struct pit *)d)->irq = out;
}

void pit_connect_speaker(struct dev *d, void (*changing)(void *opaque, bool on), void *opaque)
{
	struct pit *p = (struct pit *)d;

	p->on_speaker = changing;
	p->speaker_opaque = opaque;
}

static bool pit_init(void *dev, struct err *e)
{
	struct pit *p = dev;

	(void)e;
	timer_init(&p->timer, &p->dev.m->clock, on_timer, p);
	p->ports[0] = port_map(p->dev.m, 0x40, 4, &pit_ops, p, "pit");
	p->ports[1] = port_map(p->dev.m, 0x61, 1, &speaker_ops, p, "speaker");
	return true;
}

static void pit_fini(void *dev)
{
	struct pit *p = dev;

	timer_del(&p->timer);
	port_unmap(p->dev.m, p->ports[0]);
	port_unmap(p->dev.m, p->ports[1]);
}

static void pit_reset(void *dev)
{
	struct pit *p = dev;

	speaker_changes(p, 0);
	for (int i = 0; i < 3; i++)
		p->ch[i] = (struct counter){ .reload = 0x10000, .mode = 3, .control = 0x36, .gate = i != 2,
					     .start = now(p) };
	p->port61 = 0;
	timer_del(&p->timer);
	set_out0(p, false);
}

static bool pit_loaded(void *dev, struct err *e)
{
	struct pit *p = dev;

	for (int i = 0; i < 3; i++) {
		struct counter *c = &p->ch[i];
		bool *const bools[] = { &c->write_high, &c->read_high, &c->status_latched, &c->loaded, &c->gate, &c->armed };

		for (size_t k = 0; k < ARRAY_LEN(bools); k++)
			fix_bool(bools[k]);
		if (!c->reload || c->mode > 5 || c->latched > 2)
			return err_set(e, "counter %d is impossible", i);
	}
	arm(p);
	speaker_changes(p, p->port61);
	return true;
}

static const struct state pit_state[] = {
	STATE(pit, ch), STATE(pit, out0), STATE(pit, port61), { 0 }
};
static const struct prop pit_props[] = {
	PROP(IRQ, pit, irq, "irq", 0, "ISA interrupt line"),
	{ 0 }
};

const struct dev_type pit_type = {
	.name = "isa-pit", .bus = "system", .help = "8254 interval timer and speaker gate",
	.size = sizeof(struct pit), .version = 1,
	.state = pit_state, .props = pit_props,
	.init = pit_init, .fini = pit_fini, .reset = pit_reset, .loaded = pit_loaded,
};
