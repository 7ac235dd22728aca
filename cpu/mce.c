/*
 * Machine-check errors, as the monitor's `mce` makes them. A corrected error is
 * only noted in its bank; an uncorrected one raises #MC, too, or shuts the
 * processor down if it cannot take one (CR4.MCE clear, or MCIP set already).
 *
 * Not modelled: CMCI, local machine checks, overwrite rules finer than "an
 * uncorrected error stays".
 * Source: SDM vol. 3B 15.3.1 (MCG_CTL, MCG_STATUS), 15.3.2.2 (IA32_MCi_STATUS), 15.10.
 */
#include "cpu/mce.h"

#include "base/log.h"
#include "cpu/cpuid.h"

#define STATUS_VAL	BIT(63)
#define STATUS_OVER	BIT(62)
#define STATUS_UC	BIT(61)
#define MCG_MCIP	BIT(2)

enum { CTL, STATUS, ADDR, MISC };

static void note(uint64_t *bank, const struct mce *m, uint64_t extra)
{
	bank[STATUS] = m->status | extra;
	bank[ADDR] = m->addr;
	bank[MISC] = m->misc;
}

static void uncorrected(struct cpu *c, uint64_t *bank, const struct mce *m)
{
	if (~c->mcg_ctl || ~bank[CTL]) {
		warn("processor %d does not report uncorrected errors of bank %u", c->index, m->bank);
		return;
	}
	if (c->mcg_status & MCG_MCIP || !(c->cr4 & CR4_MCE)) {
		log_guest("machine check that cannot be taken\n");
		c->halted = true;
		if (c->board.shutdown)
			c->board.shutdown(c->board.opaque, c);
		return;
	}
	note(bank, m, bank[STATUS] & STATUS_VAL ? STATUS_OVER : 0);
	c->mcg_status = m->mcg_status;
	c->exc_vector = EXC_MC;
	c->exc_has_error = false;
}

bool mce_inject(struct cpu *c, const struct mce *m, struct err *e)
{
	uint64_t *bank = &c->mc_bank[4 * (m->bank % MCE_BANKS)];

	if (!cpu_has(c, CPUID_MCA))
		return err_set(e, "this CPU model has no machine-check architecture");
	if (m->bank >= MCE_BANKS)
		return err_set(e, "there are banks 0 to %d", MCE_BANKS - 1);
	if (!(m->status & STATUS_VAL))
		return err_set(e, "the status must have bit 63 (valid) set");
	if (m->status & STATUS_UC)
		uncorrected(c, bank, m);
	else if ((bank[STATUS] & (STATUS_VAL | STATUS_UC)) == (STATUS_VAL | STATUS_UC))
		bank[STATUS] |= STATUS_OVER;
	else
		note(bank, m, bank[STATUS] & STATUS_VAL ? STATUS_OVER : 0);
	return true;
}
