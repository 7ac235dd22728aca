/*
 * What the processor offers guests that know they run on an emulator: the KVM
 * interface (signature in CPUID leaf 0x40000000), which Linux, the BSDs and
 * firmware speak already. Light.
 */
#ifndef CPU_PV_H
#define CPU_PV_H

#include "cpu/cpu.h"

/* VMCALL and VMMCALL: the call in RAX. #UD if the interface is hidden (kvm=off). */
void cpu_hypercall(struct cpu *c);

/* MSR_KVM_SYSTEM_TIME: write the clock's parameters to where the guest wants them. */
void pv_write_clock(struct cpu *c);
/* MSR_KVM_WALL_CLOCK: write the time of day at system time 0 to physical address pa. */
void pv_write_wall(struct cpu *c, uint64_t pa);

/* System time as the clock tells it, in nanoseconds. */
uint64_t pv_clock_ns(struct cpu *c);

#endif
