/*
 * Start-up IPIs, and their sender's patience.
 *
 * A processor that waits for a start-up IPI is at work within a microsecond or so of its being sent. A vCPU's thread
 * may get a host processor only much later, while the sender goes on. Firmware relies on the former: SeaBIOS 1.16
 * puts the processors' trampoline into low memory, sends the IPI to all, and when it wakes from S3 takes
 * the trampoline away again at once, for it waits until as many processors have come as it counted at power-on.
 * So the sender waits until those it has started have done an instruction, but not for ever.
 *
 * Source: SDM vol. 3A, 9.4.4 "MP Initialization Example", 11.6.1 "Interrupt Command Register".
 */
#ifndef CPU_START_H
#define CPU_START_H

#include "cpu/cpu.h"

/* A start-up IPI arrives, with that vector (code at vector << 12). Any thread. */
void cpu_start_ipi(struct cpu *c, uint8_t vector);
/* It has been dealt with, or does not count any more. Any thread; light. */
static inline void cpu_end_start_ipi(struct cpu *c)
{
	atomic_store(&c->starting, 0);
}

/*
 * For the sender (REQ_STARTED): sleep until no other vCPU has a start-up IPI to deal with that is less than a second old, and
 * take the request back; or until somebody wants this vCPU to do something else (REQ_EXIT, REQ_CALL), with the request
 * kept. By its own thread, without the machine lock.
 */
void cpu_await_started(struct cpu *c);

#endif
