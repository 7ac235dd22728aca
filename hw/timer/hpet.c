/*
 * IA-PC HPET: one 64-bit counter of 100 MHz and three comparators at FED00000h.
 *
 * The counter is guest time; a comparator is a timer on it. All 64-bit registers
 * appear as two rows of 32 bits. In legacy replacement mode comparators 0 and 1
 * drive ISA lines 0 and 8 and the 8254's and the clock's own lines are cut off.
 *
 * A comparator written a moment too late (within LATE_TICKS) fires at once instead
 * of after the counter has gone round: an emulated guest is slower between reading
 * the counter and writing the comparator than any real one.
 *
 * A periodic comparator whose interrupt is disabled, as Linux leaves it, wakes nobody: its register is brought up
 * to date when somebody reads it, and once a second.
 *
 * Not modelled: FSB (message) delivery; comparators that fire more often than every
 * 20 us.
 * Source: Intel, IA-PC HPET Specification 1.0a, October 2004.
 */
#include "hw/timer/hpet.h"

enum {
	N_TIMERS = 3, TICK_NS = 10, PERIOD_FS = TICK_NS * 1000000,
	CFG_ENABLE = 1, CFG_LEGACY = 2,
	T_LEVEL = 0x02, T_ENABLE = 0x04, T_PERIODIC = 0x08, T_PERIODIC_CAP = 0x10, T_SIZE_CAP = 0x20,
	T_VAL_SET = 0x40, T_32BIT = 0x100, T_ROUTE_SHIFT = 9,
	T_WRITABLE = T_LEVEL | T_ENABLE | T_PERIODIC | T_VAL_SET | T_32BIT | 0x1f << T_ROUTE_SHIFT,
	/* Revision 1, 64 bits, legacy replacement, vendor 8086h. */
	CAPS = 0x01 | (N_TIMERS - 1) << 8 | 1 << 13 | 1 << 15 | (int)0x80860000,
	LATE_TICKS = 1 << 20, MIN_TICKS = 20000 / TICK_NS,
	MAX_LATE = 64,			/* periods that are made up for */
	SELDOM_TICKS = 1000000000 / TICK_NS,
};

struct comparator {
	uint64_t cmp;
	uint64_t period;
	uint32_t config;
	uint64_t fsb;
};

struct hpet {
	struct dev dev;
	uint64_t base;			/* properties */
	uint32_t intcap;
	struct irq irq0, irq8;

	uint32_t config;
	uint32_t status;		/* level-triggered interrupts that are pending */
	uint64_t counter;		/* value at `start`, or of the halted counter */
	uint64_t start;			/* guest ns */
	struct comparator t[N_TIMERS];
	uint8_t legacy_level;		/* lines of the 8254 and the clock */
	uint32_t driven;		/* level-triggered lines that are up now, bit per comparator */
	uint32_t seldom;		/* cmp may be periods ago, see settle(); bit per comparator */
	struct timer timer[N_TIMERS];
	struct mmio *mmio;
};

/* ---- counter ---- */

static uint64_t now(const struct hpet *h)
{
	return clock_now(&h->dev.m->clock);
}

static uint64_t count(const struct hpet *h)
{
	return h->config & CFG_ENABLE ? h->counter + (now(h) - h->start) / TICK_NS : h->counter;
}

static uint64_t size_of(const struct comparator *t)
{
	return t->config & T_32BIT ? 0xffffffffu : UINT64_MAX;
}

/* ---- lines ---- */

static bool legacy(const struct hpet *h)
{
	return h->config & CFG_LEGACY;
}

/* Where comparator i's interrupt goes: 0 and 8 stand for the legacy lines. */
static struct irq line_of(struct hpet *h, int i)
{
	unsigned route = h->t[i].config >> T_ROUTE_SHIFT & 0x1f;

	if (legacy(h) && i < 2)
		return i ? h->irq8 : h->irq0;
	return route < MACHINE_N_GSIS ? dev_gsi(&h->dev, (int)route) : (struct irq){ 0 };
}

static void hpet_update(void *dev)
{
	struct hpet *h = dev;

	for (int i = 0; i < N_TIMERS; i++) {
		bool want = h->status >> i & 1 && h->t[i].config & T_ENABLE;

		if (want == (h->driven >> i & 1))
			continue;
		h->driven ^= 1u << i;
		irq_set(line_of(h, i), want);
	}
}

static void strike(struct hpet *h, int i)
{
	if (h->t[i].config & T_LEVEL)
		h->status |= 1u << i;
	else if (h->t[i].config & T_ENABLE)
		irq_pulse(line_of(h, i));
	hpet_update(h);
}

/* ---- comparators ---- */

/* Nobody notices when it matches. A kernel that has found a better clock leaves it so, with its period. */
static bool unheard(const struct comparator *t)
{
	return !(t->config & (T_ENABLE | T_LEVEL));
}

static void arm(struct hpet *h, int i)
{
	struct comparator *t = &h->t[i];
	uint64_t left, at;

	h->seldom &= ~(1u << i);
	if (!(h->config & CFG_ENABLE) || (unheard(t) && !(t->config & T_PERIODIC))) {
		timer_del(&h->timer[i]);
		return;
	}
	left = (t->cmp - count(h)) & size_of(t);
	if (t->config & T_PERIODIC && left < MIN_TICKS && t->period < MIN_TICKS)
		left = MIN_TICKS;
	if (!left)
		left = size_of(t);
	if (unheard(t) && t->period && t->period < SELDOM_TICKS && left <= max_u64(t->period, MIN_TICKS)) {
		left += SELDOM_TICKS;
		h->seldom |= 1u << i;
	}
	at = count(h) - h->counter;		/* ticks since start */
	if (left > UINT64_MAX / (2 * TICK_NS) || at + left < at)
		timer_del(&h->timer[i]);
	else
		timer_mod(&h->timer[i], h->start + (at + left) * TICK_NS);
}

/* The loop may be late by periods: they count. */
static void on_timer(struct hpet *h, int i)
{
	struct comparator *t = &h->t[i];
	uint64_t n = 1;

	if (t->config & T_PERIODIC && t->period) {
		n += ((count(h) - t->cmp) & size_of(t)) / t->period;
		t->cmp = (t->cmp + n * t->period) & size_of(t);
		if (t->period < MIN_TICKS)
			n = 1;
	}
	arm(h, i);
	for (n = min_u64(n, MAX_LATE); n; n--)
		strike(h, i);
}

/* cmp becomes what it is by now. */
static void settle(struct hpet *h, int i)
{
	struct comparator *t = &h->t[i];
	uint64_t late = (count(h) - t->cmp) & size_of(t);

	if (!(h->seldom >> i & 1) || late > size_of(t) / 2)
		return;
	t->cmp = (t->cmp + (late / t->period + 1) * t->period) & size_of(t);
	arm(h, i);
}

static void settle_all(struct hpet *h)
{
	for (int i = 0; i < N_TIMERS; i++)
		settle(h, i);
}

static void on_timer0(void *h) { on_timer(h, 0); }
static void on_timer1(void *h) { on_timer(h, 1); }
static void on_timer2(void *h) { on_timer(h, 2); }

static void arm_all(struct hpet *h)
{
	for (int i = 0; i < N_TIMERS; i++)
		arm(h, i);
}

/* Half of a 64-bit value. */
static void put_half(uint64_t *v, bool high, uint32_t half)
{
	*v = high ? (*v & 0xffffffffu) | (uint64_t)half << 32 : (*v & ~0xffffffffull) | half;
}

static void write_comparator(struct hpet *h, int i, bool high, uint32_t v)
{
	struct comparator *t = &h->t[i];
	uint64_t late;

	settle(h, i);
	if (t->config & T_32BIT && high)
		return;
	if (t->config & T_PERIODIC)
		put_half(&t->period, high, v);
	if (!(t->config & T_PERIODIC) || t->config & T_VAL_SET)
		put_half(&t->cmp, high, v);
	if (t->config & T_32BIT) {
		t->cmp &= 0xffffffffu;
		t->period &= 0xffffffffu;
	}
	/* The second half of a 64-bit write still counts as the same one. */
	if (high || t->config & T_32BIT)
		t->config &= ~T_VAL_SET;
	late = (count(h) - t->cmp) & size_of(t);
	if (h->config & CFG_ENABLE && !(t->config & T_PERIODIC) && late < LATE_TICKS)
		strike(h, i);
	arm(h, i);
}

static void write_timer_config(struct hpet *h, int i, uint32_t old)
{
	struct comparator *t = &h->t[i];
	uint32_t now_config = t->config;

	t->config = old;
	settle(h, i);
	if (h->driven >> i & 1 && (now_config ^ old) & (0x1fu << T_ROUTE_SHIFT)) {
		irq_set(line_of(h, i), 0);		/* the old line falls first */
		h->driven &= ~(1u << i);
	}
	t->config = now_config;
	if (!(t->config & T_LEVEL))
		h->status &= ~(1u << i);
	if (t->config & T_32BIT)
		t->cmp &= 0xffffffffu;
	arm(h, i);
}

/* ---- registers ---- */

static void config_write(void *dev, uint32_t v, uint32_t old)
{
	struct hpet *h = dev;

	if (v & ~old & CFG_ENABLE) {
		h->start = now(h);
	} else if (old & ~v & CFG_ENABLE) {
		h->config = old;
		settle_all(h);
		h->counter = count(h);
		h->config = v & (CFG_ENABLE | CFG_LEGACY);
	}
	if ((v ^ old) & CFG_LEGACY) {		/* whoever owns the lines now shows his level */
		irq_set(h->irq0, !legacy(h) && h->legacy_level & 1);
		irq_set(h->irq8, !legacy(h) && h->legacy_level & 2);
	}
	if ((v ^ old) & CFG_ENABLE)
		arm_all(h);
}

static void counter_write(struct hpet *h, bool high, uint32_t v)
{
	settle_all(h);
	if (h->config & CFG_ENABLE) {
		log_guest("hpet: counter written while it runs");
		h->counter = count(h);
		h->start = now(h);
	}
	put_half(&h->counter, high, v);
	arm_all(h);
}

static uint32_t caps_read(void *dev) { (void)dev; return (uint32_t)CAPS; }
static uint32_t period_read(void *dev) { (void)dev; return PERIOD_FS; }
static uint32_t count_lo_read(void *dev) { return (uint32_t)count(dev); }
static uint32_t count_hi_read(void *dev) { return (uint32_t)(count(dev) >> 32); }
static void count_lo_write(void *dev, uint32_t v, uint32_t old) { (void)old; counter_write(dev, false, v); }
static void count_hi_write(void *dev, uint32_t v, uint32_t old) { (void)old; counter_write(dev, true, v); }

static uint64_t comparator(struct hpet *h, int i)
{
	settle(h, i);
	return h->t[i].cmp;
}

#define TIMER_FUNCTIONS(i)								\
static uint32_t config##i##_read(void *dev)						\
{											\
	return ((struct hpet *)dev)->t[i].config | T_PERIODIC_CAP | T_SIZE_CAP;		\
}											\
static void config##i##_write(void *dev, uint32_t v, uint32_t old)			\
{											\
	(void)v;									\
	write_timer_config(dev, i, old);						\
}											\
static uint32_t cap##i##_read(void *dev) { return ((struct hpet *)dev)->intcap; }	\
static uint32_t cmp##i##_lo_read(void *dev) { return (uint32_t)comparator(dev, i); }	\
static uint32_t cmp##i##_hi_read(void *dev) { return (uint32_t)(comparator(dev, i) >> 32); } \
static void cmp##i##_lo_write(void *dev, uint32_t v, uint32_t old)			\
{											\
	(void)old;									\
	write_comparator(dev, i, false, v);						\
}											\
static void cmp##i##_hi_write(void *dev, uint32_t v, uint32_t old)			\
{											\
	(void)old;									\
	write_comparator(dev, i, true, v);						\
}
TIMER_FUNCTIONS(0)
TIMER_FUNCTIONS(1)
TIMER_FUNCTIONS(2)

/* ---- the device ---- */

static void legacy_set(void *opaque, int n, int level)
{
	struct hpet *h = opaque;

	h->legacy_level = (uint8_t)((h->legacy_level & ~(1u << n)) | (level ? 1u << n : 0));
	if (!legacy(h))
		irq_set(n ? h->irq8 : h->irq0, level);
}

struct irq hpet_legacy_in(struct dev *d, int n)
{
	return irq_make(legacy_set, d, n);
}

static bool hpet_init(void *dev, struct err *e)
{
	struct hpet *h = dev;
	static void (*const fn[N_TIMERS])(void *) = { on_timer0, on_timer1, on_timer2 };

	for (int i = 0; i < N_TIMERS; i++)
		timer_init(&h->timer[i], &h->dev.m->clock, fn[i], h);
	h->mmio = mmio_map(h->dev.m, h->base, 0x1000, 1, &dev_mmio_ops, h, "hpet", e);
	return h->mmio != NULL;
}

static void hpet_fini(void *dev)
{
	struct hpet *h = dev;

	for (int i = 0; i < N_TIMERS; i++)
		timer_del(&h->timer[i]);
	mmio_unmap(h->dev.m, h->mmio);
}

static void hpet_reset(void *dev)
{
	struct hpet *h = dev;

	h->status = 0;
	h->seldom = 0;
	hpet_update(h);
	h->counter = 0;
	h->start = now(h);
	for (int i = 0; i < N_TIMERS; i++) {
		h->t[i] = (struct comparator){ .cmp = UINT64_MAX };
		timer_del(&h->timer[i]);
	}
}

static bool hpet_loaded(void *dev, struct err *e)
{
	struct hpet *h = dev;

	(void)e;
	for (int i = 0; i < N_TIMERS; i++) {
		struct comparator *t = &h->t[i];

		h->seldom &= ~(1u << i);
		if (unheard(t) && t->config & T_PERIODIC && t->period && ((count(h) - t->cmp) & size_of(t)) <= 2 * SELDOM_TICKS)
			h->seldom |= 1u << i;
	}
	settle_all(h);
	arm_all(h);
	return true;
}

#define F(f) offsetof(struct hpet, f)
#define TIMER(i)												\
	{ 0x100 + 0x20 * i, 0, "t" #i "_config", F(t[i].config), 0, T_WRITABLE, 0, config##i##_read,		\
	  config##i##_write, 4 },										\
	{ 0x104 + 0x20 * i, 0, "t" #i "_route",  REG_NONE, 0, 0, 0, cap##i##_read, NULL, 4 },			\
	{ 0x108 + 0x20 * i, 0, "t" #i "_cmp",    REG_NONE, 0, 0, 0, cmp##i##_lo_read, cmp##i##_lo_write, 4 },	\
	{ 0x10c + 0x20 * i, 0, "t" #i "_cmp_hi", REG_NONE, 0, 0, 0, cmp##i##_hi_read, cmp##i##_hi_write, 4 },	\
	{ 0x110 + 0x20 * i, 0, "t" #i "_fsb",    F(t[i].fsb), 0, 0, 0, NULL, NULL, 4 },				\
	{ 0x114 + 0x20 * i, 0, "t" #i "_fsb_hi", F(t[i].fsb) + 4, 0, 0, 0, NULL, NULL, 4 }
static const struct reg hpet_regs[] = {
	/*off   bank name          stored     reset write                    clears on read        on write       size */
	{ 0x0f0, 0, "counter",     REG_NONE,  0,    0,                       0, count_lo_read, count_lo_write, 4 },
	{ 0x0f4, 0, "counter_hi",  REG_NONE,  0,    0,                       0, count_hi_read, count_hi_write, 4 },
	{ 0x000, 0, "caps",        REG_NONE,  0,    0,                       0, caps_read,     NULL,           4 },
	{ 0x004, 0, "period",      REG_NONE,  0,    0,                       0, period_read,   NULL,           4 },
	{ 0x010, 0, "config",      F(config), 0,    CFG_ENABLE | CFG_LEGACY, 0, NULL,          config_write,   4 },
	{ 0x020, 0, "status",      F(status), 0,    0,                       0, NULL,          NULL,           4, 0xffffffff },
	TIMER(0), TIMER(1), TIMER(2),
	{ 0 }
};
static const struct state hpet_state[] = {
	STATE(hpet, counter), STATE(hpet, start), STATE(hpet, t), STATE(hpet, legacy_level), STATE(hpet, driven),
	{ 0 }
};
static const struct prop hpet_props[] = {
	PROP(U64, hpet, base,   "base",   0xfed00000u, "physical address"),
	PROP(U32, hpet, intcap, "intcap", 0x00ff0104,  "I/O APIC inputs that comparators may use"),
	PROP(IRQ, hpet, irq0,   "irq0",   0,           "legacy line of comparator 0"),
	PROP(IRQ, hpet, irq8,   "irq8",   8,           "legacy line of comparator 1"),
	{ 0 }
};

const struct dev_type hpet_type = {
	.name = "hpet", .bus = "system", .help = "high precision event timer",
	.size = sizeof(struct hpet), .version = 1,
	.regs = hpet_regs, .state = hpet_state, .props = hpet_props,
	.init = hpet_init, .fini = hpet_fini, .reset = hpet_reset, .update = hpet_update, .loaded = hpet_loaded,
};
