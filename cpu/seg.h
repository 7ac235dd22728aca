/*
 * Segment registers, descriptors, far transfers, task switch.
 * Source: SDM vol. 3A chapters 3, 5, 7; vol. 2 for each instruction. Light.
 *
 * Far transfers take c->rip at the instruction itself and `next`, the address
 * behind it; they set c->rip, and leave everything as it was if they raise.
 */
#ifndef CPU_SEG_H
#define CPU_SEG_H

#include "cpu/cpu.h"

/* Fill base, limit, attr of a segment register directly (reset, loaders, state) and derive the rest. */
void seg_set(struct cpu *c, int seg, uint16_t sel, uint64_t base, uint32_t limit, uint16_t attr);
/* Recompute the derived fields of one register. */
void seg_update(struct cpu *c, int seg);
/* MOV Sreg / POP Sreg / LDS..: full checks (#GP #NP #SS), real and virtual-8086 mode too. Not CS. */
void seg_load(struct cpu *c, int seg, uint16_t sel);
void seg_lldt(struct cpu *c, uint16_t sel);
void seg_ltr(struct cpu *c, uint16_t sel);
/*
 * A limit or type check failed inline, or has no simple bound: decide exactly.
 * Returns the linear address, or raises #GP(0) / #SS(0), or #AC if n is 2, 4 or 8
 * and alignment checks are in force. how: enum mmu_access.
 */
uint64_t seg_check(struct cpu *c, int seg, uint64_t off, int n, int how);

/*
 * May a near jump, call or return go to rip? If not it faults itself, all done but
 * the jump: #GP(0) at its address `at`, with what it has done to RSP undone.
 */
bool seg_target_ok(const struct cpu *c, uint64_t rip);
void seg_bad_target(struct cpu *c, uint64_t at) __attribute__((noreturn));

void far_jmp(struct cpu *c, uint16_t sel, uint64_t off, int opsize, uint64_t next);
void far_call(struct cpu *c, uint16_t sel, uint64_t off, int opsize, uint64_t next);
void far_ret(struct cpu *c, int opsize, uint16_t pop_bytes);

/* LAR, LSL, VERR, VERW: true sets ZF; *out gets the rights or limit. */
bool seg_lar(struct cpu *c, uint16_t sel, uint32_t *out);
bool seg_lsl(struct cpu *c, uint16_t sel, uint32_t *out);
bool seg_verify(struct cpu *c, uint16_t sel, bool write);

/* SYSCALL/SYSRET/SYSENTER/SYSEXIT; next = address behind the instruction. */
void cpu_syscall(struct cpu *c, uint64_t next);
void cpu_sysret(struct cpu *c, int opsize);
void cpu_sysenter(struct cpu *c);
void cpu_sysexit(struct cpu *c, int opsize);

enum task_why { TASK_JMP, TASK_CALL, TASK_IRET, TASK_GATE };
void task_switch(struct cpu *c, uint16_t tss_sel, enum task_why why, uint64_t next, bool push_err, uint32_t err);

/* Read ring's stack from the current TSS (SS:eSP or, in long mode, RSPn / ISTn). */
bool tss_io_allowed(struct cpu *c, uint16_t port, int size);

#endif
