/*
 * The local APIC's timer. It is worked out from guest time when its count is read.
 *
 * Source: SDM vol. 3A, 11.5.4 "APIC Timer".
 */
#include "hw/intc/lapic_priv.h"

#include "cpu/tsc.h"

enum { LVT_MODE_SHIFT = 17, ONE_SHOT = 0, PERIODIC = 1, TSC_DEADLINE = 2 };

#define MIN_PERIOD	(20 * NS_PER_US)	/* shorter periods would only stall the host */

static unsigned timer_mode(const struct lapic *l)
{
	return l->lvt[LVT_TIMER] >> LVT_MODE_SHIFT & 3;
}

static unsigned divide_shift(const struct lapic *l)
{
	return (((l->divide & 3) | (l->divide >> 1 & 4)) + 1) & 7;
}

/* Nanoseconds of one count. */
static uint64_t count_ns(const struct lapic *l)
{
	return (uint64_t)(NS_PER_SEC / LAPIC_HZ) << divide_shift(l);
}

static uint64_t period(const struct lapic *l)
{
	return l->initial * count_ns(l);
}

/* Nanoseconds until the TSC reaches the deadline. */
static uint64_t until_deadline(const struct lapic *l)
{
	int64_t left;

	if (!l->cpu || !l->cpu->tsc_khz)
		return 0;
	left = (int64_t)(l->tsc_deadline - tsc_own(l->cpu));
	if (left <= 0)
		return 0;
	return muldiv64((uint64_t)left, 1000000, l->cpu->tsc_khz) + 1;
}

/* Arm the timer for the next interrupt, if one can come. */
void lapic_arm(struct lapic *l)
{
	uint64_t t = TIME_NEVER, p = period(l);

	if (l->lvt[LVT_TIMER] & LVT_MASK || l->spent)
		goto out;
	switch (timer_mode(l)) {
	case ONE_SHOT:
		if (p && lapic_now(l) < l->start + p)
			t = l->start + p;
		break;
	case PERIODIC:
		if (p)
			t = l->start + ((lapic_now(l) - l->start) / p + 1) * p;
		if (p && p < MIN_PERIOD)
			t = max_u64(t, lapic_now(l) + MIN_PERIOD);
		break;
	case TSC_DEADLINE:
		if (l->tsc_deadline)
			t = lapic_now(l) + until_deadline(l);
	}
out:
	timer_mod(&l->timer, t);
}

static void timer_due(struct lapic *l)
{
	if (timer_mode(l) == TSC_DEADLINE) {
		if (!l->tsc_deadline)
			return;
		if (until_deadline(l)) {	/* the two clocks differ by a little */
			lapic_arm(l);
			return;
		}
		l->tsc_deadline = 0;
	} else if (timer_mode(l) == PERIODIC) {
		lapic_arm(l);
	}
	if (!(l->lvt[LVT_TIMER] & LVT_MASK))
		lapic_accept(l, l->lvt[LVT_TIMER] & 0xff, false);
}

/* The processor may have set or stopped its timer since it was due. */
void lapic_on_timer(void *opaque)
{
	struct lapic *l = opaque;

	lapic_lock(l);
	if (!timer_pending(&l->timer) && (l->initial || timer_mode(l) == TSC_DEADLINE))
		timer_due(l);
	lapic_unlock(l);
}

uint32_t lapic_current_read(void *dev)
{
	struct lapic *l = dev;
	uint64_t gone = (lapic_now(l) - l->start) / count_ns(l);

	if (!l->initial || l->spent || timer_mode(l) == TSC_DEADLINE)
		return 0;
	if (timer_mode(l) == PERIODIC)
		return l->initial - (uint32_t)(gone % l->initial);
	return gone >= l->initial ? 0 : l->initial - (uint32_t)gone;
}

void lapic_initial_write(void *dev, uint32_t v, uint32_t old)
{
	struct lapic *l = dev;

	(void)v, (void)old;
	if (timer_mode(l) == TSC_DEADLINE)
		return;
	l->start = lapic_now(l);
	l->spent = false;
	lapic_arm(l);
}

void lapic_divide_write(void *dev, uint32_t v, uint32_t old)
{
	struct lapic *l = dev;

	/* The count goes on from where it is, at the new rate. */
	if ((v ^ old) & 0xb) {
		uint32_t new_divide = l->divide;
		uint64_t gone;

		l->divide = old;
		gone = l->initial ? l->initial - lapic_current_read(l) : 0;
		l->divide = new_divide;
		l->start = lapic_now(l) - gone * count_ns(l);
		lapic_arm(l);
	}
}

/* Between one-shot and periodic the count goes on from where it is. */
static void keep_count(struct lapic *l, bool was_periodic)
{
	uint64_t gone = lapic_now(l) - l->start;

	if (was_periodic)
		l->start += gone / period(l) * period(l);
	else if (gone >= period(l))
		l->spent = true;
}

void lapic_lvt_timer_write(void *dev, uint32_t v, uint32_t old)
{
	struct lapic *l = dev;

	lapic_lvt_write(dev, v, old);
	if ((v ^ old) >> LVT_MODE_SHIFT & 2) {		/* to or from TSC deadline: disarmed */
		l->tsc_deadline = 0;
		l->initial = 0;
	} else if ((v ^ old) >> LVT_MODE_SHIFT & 1 && l->initial) {
		keep_count(l, old >> LVT_MODE_SHIFT & 1);
	}
	lapic_arm(l);
}

void lapic_set_deadline(struct lapic *l, uint64_t tsc)
{
	if (timer_mode(l) != TSC_DEADLINE)
		return;
	l->tsc_deadline = tsc;
	if (tsc && !until_deadline(l))
		timer_due(l);
	lapic_arm(l);
}
