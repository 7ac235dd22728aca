/*
 * Machine-check errors from outside: what a bank reports, and the exception.
 */
#ifndef CPU_MCE_H
#define CPU_MCE_H

#include "cpu/cpu.h"

#define MCE_BANKS	10

struct mce {
	unsigned bank;
	uint64_t status, mcg_status, addr, misc;
};

/*
 * The error happens on c, whose thread is parked between two instructions. False
 * with err filled: no such bank, or a status that is not valid. One whose
 * reporting the guest has switched off is dropped with a warning.
 */
bool mce_inject(struct cpu *c, const struct mce *m, struct err *e);

#endif
