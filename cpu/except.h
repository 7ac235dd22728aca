/*
 * Delivery of exceptions and interrupts, and return from them.
 * Source: SDM vol. 3A chapter 6, vol. 2 INT n/IRET. Light.
 */
#ifndef CPU_EXCEPT_H
#define CPU_EXCEPT_H

#include "cpu/cpu.h"

enum event_kind {
	EVENT_EXCEPTION,	/* also INT1 (F1) */
	EVENT_INTERRUPT,
	EVENT_SOFT_INT,		/* INT n (CD); INT3 and INTO may come as this, too, if one byte long */
	EVENT_NMI,
	EVENT_SOFT_TRAP,	/* INT3 (CC), INTO (CE): no IOPL check or redirection in virtual-8086 mode */
};

/*
 * Deliver what cpu_raise() recorded: contributory faults become #DF, a fault
 * during #DF calls board.shutdown. Called by the run loop, after the unwind.
 * A fault during delivery is handled by calling it again.
 */
void cpu_deliver_pending(struct cpu *c);
/* Deliver through IDT or IVT; may raise (unwinds). next_rip: return address of a software interrupt. */
void cpu_deliver(struct cpu *c, int vector, enum event_kind kind, bool has_error, uint32_t error);
/* The same with another return address than c->rip. */
void cpu_deliver_at(struct cpu *c, int vector, enum event_kind kind, bool has_error, uint32_t error,
		    uint64_t ret);
/* Triple fault: only NMI, SMI, INIT and RESET end this state. */
void cpu_shut_down(struct cpu *c);
/* INT n / INT3 / INTO / INT1 with c->rip at the instruction and its length; checks VME and IOPL. */
void cpu_soft_int(struct cpu *c, int vector, int insn_len, enum event_kind kind);
/* IRET with operand size 2, 4 or 8. next: address of the instruction behind it, which a nested task keeps. */
void cpu_iret(struct cpu *c, int opsize, uint64_t next);

/*
 * Look at c->request between instructions: SMI, INIT, NMI, INTR in order of
 * priority. Delivers at most one. True if guest state changed.
 */
bool cpu_handle_requests(struct cpu *c);
/* Would this vCPU, halted, wake up now? */
bool cpu_has_work(const struct cpu *c);
/* Trap #DB after an instruction with TF set or with pending dr6 bits; behind MOV SS they wait. */
void cpu_single_step_trap(struct cpu *c);
/* SMM: enter on SMI, leave on RSM (#UD outside). */
void smm_enter(struct cpu *c);
void smm_rsm(struct cpu *c);

#endif
