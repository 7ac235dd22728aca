/*
 * MC146818A real-time clock with 128 bytes of CMOS memory, ports 70h-71h.
 *
 * The date is not counted: it is the machine's wall clock plus an offset that
 * setting the date changes. The ten date bytes are made when they are read.
 * Interrupt flags are worked out when register C is read or when an enabled
 * interrupt is due; a timer runs only for an interrupt that is enabled and not
 * pending yet, so a guest that ignores one gets no more events from it.
 *
 * Not modelled: daylight saving, square-wave output, the NMI mask in port 70h,
 * bit 7 (remembered, without effect), oscillators other than 32.768 kHz.
 * Source: Motorola MC146818A data sheet, 1984; the century byte 32h is the AT's.
 */
#include "hw/timer/rtc.h"

#include <string.h>
#include <time.h>

#include "base/value.h"
enum {
	SECOND, SECOND_ALARM, MINUTE, MINUTE_ALARM, HOUR, HOUR_ALARM, WEEKDAY, DAY, MONTH, YEAR,
	REG_A, REG_B, REG_C, REG_D, CENTURY = 0x32,

	A_UIP = 0x80, A_DIVIDER = 0x70, A_RATE = 0x0f, DIVIDER_32K = 0x20, DIVIDER_RESET = 0x60,
	B_SET = 0x80, B_PIE = 0x40, B_AIE = 0x20, B_UIE = 0x10, B_BINARY = 0x04, B_24H = 0x02,
	C_IRQF = 0x80, C_PF = 0x40, C_AF = 0x20, C_UF = 0x10,
	D_VALID = 0x80,
	ANY = 0xc0,		/* alarm bytes from here on match everything */
	PM = 0x80,
};

#define HALF_SEC	(NS_PER_SEC / 2)
#define UIP_NS		(244 * NS_PER_US)
#define CRYSTAL		32768u
#define NEVER		INT64_MAX

struct rtc {
	struct dev dev;
	uint8_t index;
	uint8_t cmos[128];		/* date bytes are valid only while the clock is stopped */
	int64_t offset;			/* ns: our date = wall clock + offset */
	int64_t seen_sec;		/* last second whose UF and AF are accounted for */
	uint64_t seen_tick;		/* the same for PF, in 32768ths of guest time */
	struct timer timer;
	struct irq irq;
	struct port_range *ports;
};

/* ---- the date ---- */

static int64_t date_ns(const struct rtc *r)
{
	return clock_wall(&r->dev.m->clock) + r->offset;
}

static int64_t floor_sec(int64_t ns)
{
	int64_t s = ns / (int64_t)NS_PER_SEC;

	return s - (ns % (int64_t)NS_PER_SEC < 0);
}

/* Divider chain running and SET clear? */
static bool running(const struct rtc *r)
{
	return !(r->cmos[REG_B] & B_SET) && (r->cmos[REG_A] & A_DIVIDER) < DIVIDER_RESET;
}

static uint8_t encode(const struct rtc *r, int v)
{
	return (uint8_t)(r->cmos[REG_B] & B_BINARY ? v : v / 10 << 4 | v % 10);
}

static int decode(const struct rtc *r, uint8_t v)
{
	return r->cmos[REG_B] & B_BINARY ? v : (v >> 4) * 10 + (v & 15);
}

static uint8_t encode_hour(const struct rtc *r, int h)
{
	if (r->cmos[REG_B] & B_24H)
		return encode(r, h);
	return encode(r, h % 12 ? h % 12 : 12) | (h >= 12 ? PM : 0);
}

static int decode_hour(const struct rtc *r, uint8_t v)
{
	if (r->cmos[REG_B] & B_24H)
		return decode(r, v);
	return decode(r, v & ~PM) % 12 + (v & PM ? 12 : 0);
}

/* The date as bytes, into cmos[]. */
static void show_date(struct rtc *r)
{
	time_t t = (time_t)floor_sec(date_ns(r));
	struct tm tm;

	gmtime_r(&t, &tm);
	r->cmos[SECOND] = encode(r, tm.tm_sec);
	r->cmos[MINUTE] = encode(r, tm.tm_min);
	r->cmos[HOUR] = encode_hour(r, tm.tm_hour);
	r->cmos[WEEKDAY] = encode(r, tm.tm_wday + 1);
	r->cmos[DAY] = encode(r, tm.tm_mday);
	r->cmos[MONTH] = encode(r, tm.tm_mon + 1);
	r->cmos[YEAR] = encode(r, tm.tm_year % 100);
	r->cmos[CENTURY] = encode(r, tm.tm_year / 100 + 19);
}

/* Seconds between this clock and what it began with; programs keep them for the next start. */
static void tell_change(const struct rtc *r)
{
	struct value *v = val_dict();

	val_add_int(v, "offset", floor_sec(r->offset + (int64_t)NS_PER_SEC / 2));
	val_add(v, "qom-path", val_strf("/machine/unattached/%s", r->dev.id));
	machine_event(r->dev.m, "RTC_CHANGE", v);
}

/* The bytes in cmos[] are the date from now on; `fraction` ns into the second. */
static void take_date(struct rtc *r, int64_t fraction)
{
	struct tm tm = {
		.tm_sec = decode(r, r->cmos[SECOND]), .tm_min = decode(r, r->cmos[MINUTE]),
		.tm_hour = decode_hour(r, r->cmos[HOUR]), .tm_mday = decode(r, r->cmos[DAY]),
		.tm_mon = decode(r, r->cmos[MONTH]) - 1,
		.tm_year = decode(r, r->cmos[YEAR]) + decode(r, r->cmos[CENTURY]) * 100 - 1900,
	};
	int64_t ns = (int64_t)timegm(&tm) * (int64_t)NS_PER_SEC + fraction;

	int64_t before = r->offset;

	r->offset = ns - clock_wall(&r->dev.m->clock);
	r->seen_sec = floor_sec(ns);
	if (floor_sec(r->offset + (int64_t)NS_PER_SEC / 2) != floor_sec(before + (int64_t)NS_PER_SEC / 2))
		tell_change(r);
}

static bool is_date(unsigned i)
{
	return i == SECOND || i == MINUTE || i == HOUR || (i >= WEEKDAY && i <= YEAR) || i == CENTURY;
}

/* ---- what is due ---- */

/* Ticks of 1/32768 s between periodic interrupts; 0: none. */
static uint32_t period(const struct rtc *r)
{
	unsigned rate = r->cmos[REG_A] & A_RATE;

	if (!rate || (r->cmos[REG_A] & A_DIVIDER) != DIVIDER_32K)
		return 0;
	return rate <= 2 ? 1u << (rate + 6) : 1u << (rate - 1);
}

static uint64_t ticks(const struct rtc *r)
{
	return muldiv64(clock_now(&r->dev.m->clock), CRYSTAL, NS_PER_SEC);
}

static bool alarm_matches(uint8_t alarm, uint8_t v)
{
	return alarm >= ANY || alarm == v;
}

/* First second after `sec` at which the alarm strikes, or NEVER. */
static int64_t next_alarm(const struct rtc *r, int64_t sec)
{
	int64_t t = sec + 1;

	/* Skips whole hours and minutes, so at most 24 + 60 + 60 steps. */
	for (int i = 0; i < 200; i++) {
		int64_t day = ((t % 86400) + 86400) % 86400;

		if (!alarm_matches(r->cmos[HOUR_ALARM], encode_hour(r, (int)(day / 3600))))
			t += 3600 - day % 3600;
		else if (!alarm_matches(r->cmos[MINUTE_ALARM], encode(r, (int)(day / 60 % 60))))
			t += 60 - day % 60;
		else if (!alarm_matches(r->cmos[SECOND_ALARM], encode(r, (int)(day % 60))))
			t++;
		else
			return t;
	}
	return NEVER;
}

/* Bring register C up to date. */
static void collect(struct rtc *r)
{
	uint32_t n = period(r);
	uint64_t tick = ticks(r);
	int64_t sec;

	if (n && tick / n != r->seen_tick / n)
		r->cmos[REG_C] |= C_PF;
	r->seen_tick = tick;
	if (!running(r))
		return;
	sec = floor_sec(date_ns(r));
	if (sec <= r->seen_sec) {
		r->seen_sec = sec;	/* the wall clock may have been set back */
		return;
	}
	r->cmos[REG_C] |= C_UF;
	if (next_alarm(r, r->seen_sec) <= sec)
		r->cmos[REG_C] |= C_AF;
	r->seen_sec = sec;
}

/* Guest time at which the date reaches `sec`. */
static uint64_t when(const struct rtc *r, int64_t sec)
{
	int64_t left = sec * (int64_t)NS_PER_SEC - date_ns(r);

	return clock_now(&r->dev.m->clock) + (uint64_t)(left > 0 ? left : 0);
}

/* The next enabled interrupt that is not pending already. */
static uint64_t next_event(const struct rtc *r)
{
	uint8_t want = r->cmos[REG_B] & ~r->cmos[REG_C];
	uint64_t t = TIME_NEVER;
	uint32_t n = period(r);

	if (want & B_PIE && n) {
		uint64_t tick = (r->seen_tick / n + 1) * n;

		t = muldiv64(tick, NS_PER_SEC, CRYSTAL) + 1;
	}
	if (want & B_UIE && running(r))
		t = min_u64(t, when(r, r->seen_sec + 1));
	if (want & B_AIE && running(r)) {
		int64_t sec = next_alarm(r, r->seen_sec);

		if (sec != NEVER)
			t = min_u64(t, when(r, sec));
	}
	return t;
}

static void rtc_update(void *dev)
{
	struct rtc *r = dev;
	bool on = r->cmos[REG_C] & r->cmos[REG_B] & (C_PF | C_AF | C_UF);

	r->cmos[REG_C] = (r->cmos[REG_C] & ~C_IRQF) | (on ? C_IRQF : 0);
	timer_mod(&r->timer, next_event(r));
	irq_set(r->irq, on);
}

static void on_timer(void *opaque)
{
	collect(opaque);
	rtc_update(opaque);
}

/* ---- registers ---- */

static bool updating(const struct rtc *r)
{
	int64_t into = date_ns(r) - floor_sec(date_ns(r)) * (int64_t)NS_PER_SEC;

	return running(r) && into >= (int64_t)(NS_PER_SEC - UIP_NS);
}

static void write_a(struct rtc *r, uint8_t v)
{
	bool was = running(r);

	if (was)
		show_date(r);
	r->cmos[REG_A] = v & ~A_UIP;
	/* The first update comes half a second after the divider starts. */
	if (!was && running(r))
		take_date(r, HALF_SEC);
	r->seen_tick = ticks(r);
}

static void write_b(struct rtc *r, uint8_t v)
{
	bool was = running(r);

	if (was)
		show_date(r);
	if (v & B_SET)
		v &= ~B_UIE;
	r->cmos[REG_B] = v;
	if (!was && running(r))
		take_date(r, 0);
	else if (was && running(r))
		show_date(r);			/* perhaps in another format */
}

static void write_cmos(struct rtc *r, unsigned i, uint8_t v)
{
	int64_t into = date_ns(r) - floor_sec(date_ns(r)) * (int64_t)NS_PER_SEC;

	if (i == REG_C || i == REG_D)
		return;
	collect(r);
	if (i == REG_A) {
		write_a(r, v);
	} else if (i == REG_B) {
		write_b(r, v);
	} else if (is_date(i) && running(r)) {
		show_date(r);
		r->cmos[i] = v;
		take_date(r, i == SECOND ? 0 : into);
	} else {
		r->cmos[i] = v;
	}
}

static uint8_t read_cmos(struct rtc *r, unsigned i)
{
	uint8_t v;

	if (is_date(i) && running(r))
		show_date(r);
	if (i == REG_A)
		return r->cmos[REG_A] | (updating(r) ? A_UIP : 0);
	if (i != REG_C)
		return r->cmos[i];
	collect(r);
	rtc_update(r);
	v = r->cmos[REG_C];
	r->cmos[REG_C] = 0;
	return v;
}

static uint32_t data_read(void *dev)
{
	struct rtc *r = dev;

	return read_cmos(r, r->index & 0x7f);
}

static void data_write(void *dev, uint32_t v, uint32_t old)
{
	struct rtc *r = dev;

	(void)old;
	write_cmos(r, r->index & 0x7f, (uint8_t)v);
}

static uint32_t index_read(void *dev)
{
	(void)dev;
	return 0xff;			/* write-only */
}

/* ---- the device ---- */

void rtc_connect(struct dev *d, struct irq out)
{
	((struct rtc *)d)->irq = out;
}

void rtc_cmos_set(struct dev *d, unsigned index, uint8_t v)
{
	((struct rtc *)d)->cmos[index & 0x7f] = v;
}

static bool rtc_init(void *dev, struct err *e)
{
	struct rtc *r = dev;

	(void)e;
	r->cmos[REG_A] = DIVIDER_32K | 6;
	r->cmos[REG_B] = B_24H;
	r->cmos[REG_D] = D_VALID;
	r->seen_sec = floor_sec(date_ns(r));
	timer_init(&r->timer, &r->dev.m->clock, on_timer, r);
	r->ports = port_map(r->dev.m, 0x70, 2, &dev_port_ops, r, "rtc");
	return true;
}

static void rtc_fini(void *dev)
{
	struct rtc *r = dev;

	timer_del(&r->timer);
	port_unmap(r->dev.m, r->ports);
}

/* The battery keeps date and memory. */
static void rtc_reset(void *dev)
{
	struct rtc *r = dev;

	r->cmos[REG_B] &= ~(B_PIE | B_AIE | B_UIE);
	r->cmos[REG_C] = 0;
}

static const struct reg rtc_regs[] = {
	/*off bank name    stored                        reset write clears on read     on write */
	{ 0, 0, "index", offsetof(struct rtc, index), 0,    0xff, 0,     index_read, NULL },
	{ 1, 0, "data",  REG_NONE,                    0,    0,    0,     data_read,  data_write },
	{ 0 }
};
static const struct state rtc_state[] = {
	STATE(rtc, cmos), STATE(rtc, offset), STATE(rtc, seen_sec), STATE(rtc, seen_tick), { 0 }
};
static const struct prop rtc_props[] = {
	PROP(IRQ, rtc, irq, "irq", 8, "ISA interrupt line"),
	{ 0 }
};

const struct dev_type rtc_type = {
	.name = "mc146818rtc", .bus = "system", .help = "real-time clock and CMOS memory",
	.size = sizeof(struct rtc), .version = 1,
	.regs = rtc_regs, .state = rtc_state, .props = rtc_props,
	.init = rtc_init, .fini = rtc_fini, .reset = rtc_reset, .update = rtc_update,
};
