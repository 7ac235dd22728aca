/*
 * ICH9 watchdog: counts down from TCO_TMR in ticks of 0.6 s while TCO1_CNT bit 11 is
 * clear. A write to TCO_RLD starts it again. Running out sets TIMEOUT and starts it
 * once more; running out a second time gives the guest up, unless the chipset
 * configuration (GCS, No Reboot) forbids that.
 *
 * Not modelled: SMIs of the block, messages, the lock bit.
 * Source: Intel ICH9 family data sheet (316972-004), 13.9; 10.1.56 (GCS).
 */
#include "hw/pci/ich9_tco.h"

#define TICK_NS		(600 * NS_PER_MS)
#define STS1_TIMEOUT	0x0008u
#define STS2_SECOND	0x0002u
#define CNT1_HALT	0x0800u
#define LEAST		4u		/* ticks; lower values of TCO_TMR are ignored */

static uint64_t period(const struct ich9_tco *t)
{
	return (t->tmr < LEAST ? LEAST : t->tmr) * TICK_NS;
}

static void start(struct ich9_tco *t)
{
	if (t->cnt1 & CNT1_HALT)
		timer_del(&t->timer);
	else
		timer_mod(&t->timer, clock_now(&t->m->clock) + period(t));
}

static void run_out(void *opaque)
{
	struct ich9_tco *t = opaque;

	if (t->sts1 & STS1_TIMEOUT) {
		t->sts2 |= STS2_SECOND;
		if (!t->no_reboot)
			machine_request(t->m, MACHINE_WATCHDOG, 0);
	}
	t->sts1 |= STS1_TIMEOUT;
	start(t);
}

uint32_t tco_left(const struct ich9_tco *t)
{
	uint64_t now = clock_now(&t->m->clock);

	if (!timer_pending(&t->timer))
		return t->rld & 0x3ff;
	return t->timer.deadline > now ? (uint32_t)((t->timer.deadline - now + TICK_NS - 1) / TICK_NS) & 0x3ff : 0;
}

void tco_reload(struct ich9_tco *t)
{
	t->sts1 &= (uint16_t)~STS1_TIMEOUT;
	start(t);
}

void tco_control(struct ich9_tco *t, uint16_t old)
{
	if ((t->cnt1 ^ old) & CNT1_HALT)
		start(t);
}

void tco_init(struct ich9_tco *t, struct machine *m)
{
	t->m = m;
	timer_init(&t->timer, &m->clock, run_out, t);
}

void tco_fini(struct ich9_tco *t)
{
	timer_del(&t->timer);
}

/* The strap that forbids reboots is set, as on boards whose firmware does not use the timer. */
void tco_reset(struct ich9_tco *t)
{
	t->no_reboot = true;
	timer_del(&t->timer);
}
