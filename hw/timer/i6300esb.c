/*
 * The watchdog timer of Intel's 6300ESB: two stages that count down one after the
 * other; the end of the first interrupts, the end of the second asks the machine to
 * do what its owner wants of a guest that hangs (normally a reset).
 *
 * Preload values and the reload command are taken only after 80h and 86h were
 * written to the reload register.
 *
 * Not modelled: SMI and ISA interrupts of the first stage (logged), the output pin.
 * Source: Intel 6300ESB I/O Controller Hub datasheet, chapter 12 ("Watchdog Timer").
 */
#include "hw/timer/i6300esb.h"

#include "hw/pci/pci.h"

#define CFG_CONFIG	0x60
#define CFG_LOCK	0x68
#define MMIO_SIZE	16u

#define CONFIG_INT(c)	((c) & 3)	/* 0: interrupt, 2: SMI, 3: nothing */
#define CONFIG_FAST	0x04u		/* ticks of 1 us, not 1 ms */
#define CONFIG_NO_OUT	0x20u		/* the second stage does nothing */
#define LOCK_LOCKED	0x01u
#define LOCK_ENABLE	0x02u
#define LOCK_FREE	0x04u		/* free-running: the second stage alone, over and over */

#define RELOAD_GO	0x0100u
#define RELOAD_TIMEOUT	0x0200u		/* the last reset was ours; written as 1: cleared */
#define PRELOAD_MASK	0xfffffu

/* 33 MHz through 15 or 5 bits. */
#define PCI_NS(ticks)	muldiv64(ticks, NS_PER_SEC, 33000000)

struct wdt {
	struct pci_dev pci;
	struct timer timer;
	uint32_t preload[2];
	uint8_t unlock;			/* how much of the sequence was written */
	uint8_t stage;			/* 0: stands, 1, 2 */
	uint8_t config, lock, timed_out, int_active;
};

/* ---- counting ---- */

static void start_stage(struct wdt *w, uint8_t stage)
{
	uint64_t tick = w->config & CONFIG_FAST ? 1u << 5 : 1u << 15;

	w->stage = stage;
	timer_mod(&w->timer, clock_now(&w->pci.dev.m->clock) + PCI_NS((uint64_t)(w->preload[stage - 1] + 1) * tick));
}

static void stand(struct wdt *w)
{
	w->stage = 0;
	timer_del(&w->timer);
}

static void begin(struct wdt *w)
{
	if (w->lock & LOCK_ENABLE)
		start_stage(w, w->lock & LOCK_FREE ? 2 : 1);
	else
		stand(w);
}

static void first_stage_over(struct wdt *w)
{
	if (CONFIG_INT(w->config) == 0)
		w->int_active = 1;
	else if (CONFIG_INT(w->config) != 3)
		log_guest("i6300esb: the first stage would end with an SMI");
	dev_update(&w->pci.dev);
	start_stage(w, 2);
}

static void second_stage_over(struct wdt *w)
{
	if (w->lock & LOCK_FREE) {
		first_stage_over(w);
		return;
	}
	stand(w);
	w->timed_out = 1;
	if (!(w->config & CONFIG_NO_OUT))
		machine_request(w->pci.dev.m, MACHINE_WATCHDOG, 0);
}

static void on_timer(void *opaque)
{
	struct wdt *w = opaque;

	if (w->stage == 1)
		first_stage_over(w);
	else
		second_stage_over(w);
}

static void wdt_update(void *dev)
{
	struct wdt *w = dev;

	pci_set_irq(&w->pci, w->int_active);
}

/* ---- registers ---- */

/* After the sequence one write is let through. */
static bool unlocked(struct wdt *w)
{
	bool yes = w->unlock == 2;

	w->unlock = 0;
	return yes;
}

static void set_preload(struct wdt *w, int i, uint32_t v)
{
	if (unlocked(w))
		w->preload[i] = v & PRELOAD_MASK;
}

static void preload1_write(void *dev, uint32_t v, uint32_t old)
{
	(void)old;
	set_preload(dev, 0, v);
}

static void preload2_write(void *dev, uint32_t v, uint32_t old)
{
	(void)old;
	set_preload(dev, 1, v);
}

static void gintsr_write(void *dev, uint32_t v, uint32_t old)
{
	(void)old;
	if (v & 1)
		((struct wdt *)dev)->int_active = 0;
}

static uint32_t gintsr_read(void *dev)
{
	return ((struct wdt *)dev)->int_active;
}

static uint32_t reload_read(void *dev)
{
	return ((struct wdt *)dev)->timed_out ? RELOAD_TIMEOUT : 0;
}

static void reload_write(void *dev, uint32_t v, uint32_t old)
{
	struct wdt *w = dev;

	(void)old;
	if (v == 0x80 || (v == 0x86 && w->unlock == 1)) {
		w->unlock = v == 0x80 ? 1 : 2;
		return;
	}
	if (!unlocked(w))
		return;
	if (v & RELOAD_TIMEOUT)
		w->timed_out = 0;
	if (v & RELOAD_GO)
		begin(w);
}

static const struct reg wdt_regs[] = {
	{ 0x0, REG_ANY, "preload1", REG_NONE, 0, 0, 0, NULL,        preload1_write, 4 },
	{ 0x4, REG_ANY, "preload2", REG_NONE, 0, 0, 0, NULL,        preload2_write, 4 },
	{ 0x8, REG_ANY, "gintsr",   REG_NONE, 0, 0, 0, gintsr_read, gintsr_write,   4 },
	{ 0xc, REG_ANY, "reload",   REG_NONE, 0, 0, 0, reload_read, reload_write,   2 },
	{ 0 }
};

static bool touches(unsigned off, int n, unsigned reg)
{
	return off <= reg && reg < off + (unsigned)n;
}

static void config_written(struct pci_dev *p, unsigned off, int n)
{
	struct wdt *w = (struct wdt *)p;
	uint8_t old = w->lock;

	if (touches(off, n, CFG_CONFIG))
		w->config = p->config[CFG_CONFIG];
	if (!touches(off, n, CFG_LOCK))
		return;
	if (old & LOCK_LOCKED)
		p->config[CFG_LOCK] = old;
	w->lock = p->config[CFG_LOCK];
	if ((w->lock ^ old) & LOCK_ENABLE)
		begin(w);
}

/* ---- the device ---- */

static bool wdt_init(void *dev, struct err *e)
{
	struct wdt *w = dev;
	static const struct pci_ids ids = {
		.vendor = 0x8086, .device = 0x25ab, .subvendor = 0x1af4, .subdevice = 0x1100,
		.class = 0x088000, .int_pin = 1,
	};

	timer_init(&w->timer, &w->pci.dev.m->clock, on_timer, w);
	w->pci.config_written = config_written;
	if (!pci_attach(&w->pci, &ids, e) || !pci_bar_mmio(&w->pci, 0, MMIO_SIZE, &dev_mmio_ops, w, e))
		return false;
	pci_set_config(&w->pci, CFG_CONFIG, 2, 0, CONFIG_FAST | CONFIG_NO_OUT | 3);
	pci_set_config(&w->pci, CFG_LOCK, 1, 0, LOCK_LOCKED | LOCK_ENABLE | LOCK_FREE);
	return true;
}

static void wdt_fini(void *dev)
{
	struct wdt *w = dev;

	timer_del(&w->timer);
	pci_detach(&w->pci);
}

/* That it was the watchdog's reset stays to be read. */
static void wdt_reset(void *dev)
{
	struct wdt *w = dev;

	pci_reset(&w->pci);
	stand(w);
	w->preload[0] = w->preload[1] = PRELOAD_MASK;
	w->config = w->lock = w->unlock = w->int_active = 0;
}

static bool wdt_loaded(void *dev, struct err *e)
{
	struct wdt *w = dev;

	if (w->stage > 2 || w->preload[0] > PRELOAD_MASK || w->preload[1] > PRELOAD_MASK)
		return err_set(e, "impossible stage or preload value");
	return pci_loaded(&w->pci);
}

static const struct state wdt_state[] = {
	STATE(wdt, preload), STATE(wdt, unlock), STATE(wdt, stage), STATE(wdt, config), STATE(wdt, lock),
	STATE(wdt, timed_out), STATE(wdt, int_active), STATE_TIMER(wdt, timer), { 0 }
};

const struct dev_type i6300esb_type = {
	.name = "i6300esb", .bus = "pci", .help = "Intel 6300ESB watchdog timer",
	.size = sizeof(struct wdt), .version = 1,
	.regs = wdt_regs, .state = wdt_state, .bus_props = pci_props, .bus_state = pci_state,
	.init = wdt_init, .fini = wdt_fini, .reset = wdt_reset, .update = wdt_update, .loaded = wdt_loaded,
};
