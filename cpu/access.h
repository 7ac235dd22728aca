/*
 * Guest memory by linear address, fast: probe the software TLB inline, and go
 * to cpu/mmu.c only on a miss. Light. All of these raise #PF like mmu_ld().
 */
#ifndef CPU_ACCESS_H
#define CPU_ACCESS_H

#include "cpu/mmu.h"
#include "cpu/seen.h"

/* Host address of n bytes at va that may be read straight away, or NULL. */
static inline const uint8_t *acc_rptr(struct cpu *c, uint64_t va, int n, enum mmu_idx idx)
{
	const struct tlb_entry *e = tlb_entry(&c->tlb[idx], va, false);

	if ((va ^ e->tag) <= (uint64_t)(4096 - n))
		return (const uint8_t *)(uintptr_t)e->host + (va & 4095);
	return NULL;
}

static inline uint8_t *acc_wptr(struct cpu *c, uint64_t va, int n, enum mmu_idx idx)
{
	const struct tlb_entry *e = tlb_entry(&c->tlb[idx], va, true);

	if ((va ^ e->tag) <= (uint64_t)(4096 - n))
		return (uint8_t *)(uintptr_t)e->host + (va & 4095);
	return NULL;
}

static inline uint64_t acc_ld(struct cpu *c, uint64_t va, int n, enum mmu_idx idx)
{
	const uint8_t *p = acc_rptr(c, va, n, idx);

	if (!p)
		return mmu_ld(c, va, n, idx);
	cpu_see(c, va, n, MMU_READ);
	return ld_n(p, n);
}

static inline void acc_st(struct cpu *c, uint64_t va, int n, uint64_t v, enum mmu_idx idx)
{
	uint8_t *p = acc_wptr(c, va, n, idx);

	if (!p) {
		mmu_st(c, va, n, v, idx);
		return;
	}
	cpu_see(c, va, n, MMU_WRITE);
	st_n(p, n, v);
}

/*
 * The rights of the processor's own accesses to GDT, LDT, IDT and TSS: those of
 * a supervisor, and SMAP holds whatever EFLAGS.AC says (SDM vol. 3A, 4.6.1).
 */
static inline enum mmu_idx sys_idx(const struct cpu *c)
{
	return c->cr4 & CR4_SMAP ? MMU_KERNEL : MMU_KERNEL_NOSMAP;
}

static inline uint64_t sys_ld(struct cpu *c, uint64_t va, int n)
{
	return acc_ld(c, va, n, sys_idx(c));
}

static inline void sys_st(struct cpu *c, uint64_t va, int n, uint64_t v)
{
	acc_st(c, va, n, v, sys_idx(c));
}

#endif
