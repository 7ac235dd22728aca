/*
 * The ICH9's watchdog ("TCO timer"), part of its power management block.
 */
#ifndef HW_PCI_ICH9_TCO_H
#define HW_PCI_ICH9_TCO_H

#include "hw/core/dev.h"

struct ich9_tco {
	struct machine *m;
	struct timer timer;
	uint16_t rld, sts1, sts2, cnt1, cnt2, msg, tmr;
	uint8_t dat_in, dat_out, wdcnt, irq_gen;
	bool no_reboot;			/* as the chipset configuration says */
};

/* Rows for the register table of a device that holds one at `at` (offset of the member). */
#define TCO_F(at, f) ((at) + offsetof(struct ich9_tco, f))
#define ICH9_TCO_REGS(at, rld_read, rld_write, cnt1_write) \
	{ 0x60, REG_ANY, "tco_rld",  TCO_F(at, rld),     4, 0x3ff, 0, rld_read, rld_write, 2 }, \
	{ 0x62, REG_ANY, "tco_in",   TCO_F(at, dat_in),  0, 0xff, 0 }, \
	{ 0x63, REG_ANY, "tco_out",  TCO_F(at, dat_out), 0, 0xff, 0 }, \
	{ 0x64, REG_ANY, "tco1_sts", TCO_F(at, sts1),    0, 0, 0, NULL, NULL, 2, 0xffff }, \
	{ 0x66, REG_ANY, "tco2_sts", TCO_F(at, sts2),    0, 0, 0, NULL, NULL, 2, 0xffff }, \
	{ 0x68, REG_ANY, "tco1_cnt", TCO_F(at, cnt1),    0, 0x1f00, 0, NULL, cnt1_write, 2 }, \
	{ 0x6a, REG_ANY, "tco2_cnt", TCO_F(at, cnt2),    8, 0x003f, 0, NULL, NULL, 2 }, \
	{ 0x6c, REG_ANY, "tco_msg",  TCO_F(at, msg),     0, 0xffff, 0, NULL, NULL, 2 }, \
	{ 0x6e, REG_ANY, "tco_wdcnt", TCO_F(at, wdcnt),  0, 0xff, 0 }, \
	{ 0x70, REG_ANY, "tco_irq",  TCO_F(at, irq_gen), 3, 0x03, 0 }, \
	{ 0x72, REG_ANY, "tco_tmr",  TCO_F(at, tmr),     4, 0x3ff, 0, NULL, NULL, 2 }
#define ICH9_TCO_STATE(t, f) STATE(t, f.no_reboot), STATE_TIMER(t, f.timer)

void tco_init(struct ich9_tco *t, struct machine *m);
void tco_fini(struct ich9_tco *t);
void tco_reset(struct ich9_tco *t);
/* Ticks that are left; start again; the halt bit may have changed. */
uint32_t tco_left(const struct ich9_tco *t);
void tco_reload(struct ich9_tco *t);
void tco_control(struct ich9_tco *t, uint16_t old);

#endif
