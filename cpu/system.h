/*
 * Control, debug and model-specific registers, CPUID, and the remaining system
 * instructions as C functions: one for each instruction, called by the front
 * ends of tcg/. They check privilege themselves unless said otherwise, raise
 * as the manual says, and keep c->mode right. Light, except where they go
 * through cpu_heavy() themselves.
 */
#ifndef CPU_SYSTEM_H
#define CPU_SYSTEM_H

#include "cpu/cpu.h"

uint64_t cpu_read_cr(struct cpu *c, int n);
/* CR4 bits this vCPU has. */
uint64_t cpu_cr4_allowed(const struct cpu *c);
void cpu_write_cr(struct cpu *c, int n, uint64_t v);
uint64_t cpu_read_dr(struct cpu *c, int n);
/*
 * Raise #DB if an instruction breakpoint of DR7 stands at linear address va and
 * RF is clear. For the run loop, before each instruction under MODE_DEBUG; RF is
 * its to clear once an instruction has completed.
 */
void cpu_check_breakpoint(struct cpu *c, uint64_t va);
void cpu_write_dr(struct cpu *c, int n, uint64_t v);
/* What debug register n holds when v is written to it: fixed bits stay. */
uint64_t cpu_dr_value(int n, uint64_t v);
void cpu_lmsw(struct cpu *c, uint16_t v);
void cpu_clts(struct cpu *c);

/* RDMSR/WRMSR of edx:eax as one number; #GP for unknown or reserved. */
uint64_t cpu_rdmsr(struct cpu *c, uint32_t msr);
void cpu_wrmsr(struct cpu *c, uint32_t msr, uint64_t v);
/* The same without privilege check or fault, for debuggers and state. */
/* EFER bits this vCPU lets software write; LMA is among them. */
uint64_t msr_efer_allowed(const struct cpu *c);
bool msr_get(struct cpu *c, uint32_t msr, uint64_t *v);
bool msr_set(struct cpu *c, uint32_t msr, uint64_t v);

/* CPUID of eax, ecx into the four registers. */
void cpu_cpuid(struct cpu *c, uint32_t leaf, uint32_t sub, uint32_t out[4]);

uint64_t cpu_rdtsc(struct cpu *c);	/* checks CR4.TSD */
uint64_t cpu_rdpmc(struct cpu *c, uint32_t n);
uint64_t cpu_xgetbv(struct cpu *c, uint32_t n);
void cpu_xsetbv(struct cpu *c, uint32_t n, uint64_t v);
uint32_t cpu_rdpkru(struct cpu *c);
void cpu_wrpkru(struct cpu *c);
void cpu_hlt(struct cpu *c);		/* sets c->halted; the run loop sleeps */
/* Watch the line of linear address va; wait until something else stands there, or a request comes, or a while. */
void cpu_monitor(struct cpu *c, uint64_t va);
void cpu_mwait(struct cpu *c);
/* Their halves that are not light, and that of PAUSE. */
uint64_t monitor_sum(struct cpu *c, uint64_t pa);
void mwait_sleep(struct cpu *c);
void pause_yield(void);
void cpu_pause(struct cpu *c);		/* now and then lets other threads run */
void cpu_yield(struct cpu *c);		/* lets other threads run */
void cpu_invlpg(struct cpu *c, uint64_t va);
void cpu_invpcid(struct cpu *c, uint64_t type, uint64_t desc_va);
void cpu_swapgs(struct cpu *c);
/* May the program reach the port, IOPL and the TSS's bitmap permitting? #GP if not. INS and OUTS ask before anything else. */
void cpu_check_port(struct cpu *c, uint16_t port, int size);
/* IN/OUT with the permission check (IOPL, I/O bitmap). size 1, 2, 4. */
uint32_t cpu_in(struct cpu *c, uint16_t port, int size);
void cpu_out(struct cpu *c, uint16_t port, int size, uint32_t v);
/* Up to n of them in a row, as in struct cpu_board. Whether it is allowed is asked once. */
unsigned cpu_in_run(struct cpu *c, uint16_t port, int size, void *buf, unsigned n);
unsigned cpu_out_run(struct cpu *c, uint16_t port, int size, const void *buf, unsigned n);
/* PUSHF/POPF images; popf applies the write rules of CPL, IOPL, VM86 (VME). */
uint32_t cpu_pushf_image(struct cpu *c, int opsize);
void cpu_popf(struct cpu *c, uint32_t v, int opsize);
void cpu_cli(struct cpu *c);
void cpu_sti(struct cpu *c);		/* sets c->shadow if IF was clear */
/* SGDT/SIDT/LGDT/LIDT with the linear address of the operand. */
void cpu_store_dt(struct cpu *c, const struct dtr *d, uint64_t va, int opsize);
void cpu_load_dt(struct cpu *c, struct dtr *d, uint64_t va, int opsize);
uint16_t cpu_str_sldt_smsw(struct cpu *c, int which);	/* 0 SLDT 1 STR 4 SMSW; UMIP checked */
/* FXSAVE/FXRSTOR/XSAVE/XRSTOR family on the memory image c->xsave (not live). */
void cpu_fxsave(struct cpu *c, uint64_t va, bool rexw);
void cpu_fxrstor(struct cpu *c, uint64_t va, bool rexw);
void cpu_xsave(struct cpu *c, uint64_t va, uint64_t mask, bool rexw, int kind /* 0 XSAVE 1 OPT 2 C 3 S */);
void cpu_xrstor(struct cpu *c, uint64_t va, uint64_t mask, bool rexw, bool supervisor);
/* FNSTENV/FLDENV/FNSAVE/FRSTOR in the format of mode and operand size. Not live. */
void cpu_fstenv(struct cpu *c, uint64_t va, int opsize, bool all_regs);
void cpu_fldenv(struct cpu *c, uint64_t va, int opsize, bool all_regs);

#endif
