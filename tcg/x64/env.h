/*
 * What generated code and its stubs keep per vCPU beside struct cpu, at fixed
 * offsets from gs: the instruction-page table that guards links, the jump
 * caches, and the state of one slow memory access.
 */
#ifndef TCG_X64_ENV_H
#define TCG_X64_ENV_H

#include "cpu/cpu.h"
#include "tcg/uop.h"

#define ITLB_BITS	13
#define ITLB_SIZE	(1u << ITLB_BITS)
#define ITLB_SLOT(va)	((uint32_t)((va) >> 12) & (ITLB_SIZE - 1))
#define JC_TABLES	24	/* modes with an inline jump cache of their own: a Linux that runs 64-bit programs has met twelve, with its firmware's */
#define JC_BITS		12
#define JC_SIZE		(1u << JC_BITS)
#define JC_MODE_BITS	6	/* places of struct x64_env's jc_of */
#define JC_MODE_MUL	0x9e3779b1u
#define JC_MODE(mode)	((mode) * JC_MODE_MUL >> (32 - JC_MODE_BITS))

/*
 * Inside a region the host register of guest register `out` holds guest register
 * `in`, which stands in memory elsewhere. The value of `out` is in env->aside.
 */
#define X64_MAX_SWAPS	4
struct x64_swap {
	uint8_t in : 4, out : 4;
};

#define PLUG_SLOTS 8

/*
 * Where shared probes whose range crossed a page have gone on without sharing, by the return address of
 * their slow path, so that C is asked once.
 */
#define FALLBACK_BITS	9
#define FALLBACK_SLOT(ret) ((ret) >> 3 & ((1u << FALLBACK_BITS) - 1))

/* Why generated code came back to the run loop. */
enum x64_reason {
	X64_LOOKUP,		/* cpu->rip is not translated, or a request is pending */
	X64_LINK,		/* an exit has no target yet; cpu->rip is set */
	X64_REQUEST,		/* a poll saw cpu->request; cpu->rip is set */
	X64_NOSHARE,		/* cpu->rip has no translation without shared proofs yet */
	X64_HOST_FAULT,		/* #DE, #MF or #XM of the host; details in env */
};

/* What an empty slot of a jump cache holds: a RIP that belongs into another one, as any RIP may be jumped to. */
#define JC_EMPTY(slot)	((uint64_t)((slot) ^ 1))
#define JC_NO_MODE	UINT32_MAX

#define PEND_PHYSICAL	NMMU
#define PEND_DEVICE	(NMMU + 1)

struct x64_env {
	struct cpu *self;
	uint64_t host_rsp;	/* of the frame that entered the cache */
	uint64_t fault_pc;	/* host address inside a block whose access is being done in C, or 0 */
	uint64_t fault_flags;	/* host RFLAGS at a host fault */
	int fault_trap;		/* host exception vector of a host fault */
	uint32_t raced;		/* the address C is given is wrong: x64_make_address() */
	uint32_t pend;		/* bytes waiting in cpu->bounce to be written, 0: none */
	uint64_t pend_va;
	uint32_t pend_idx;	/* enum mmu_idx, or PEND_PHYSICAL: pend_va is a physical address,
					   or PEND_DEVICE: in the page of struct tcg's pend_dev */
	uint8_t *pend_host[2];	/* where its two parts go if both pages are plain memory, or NULL */
	uint32_t held;		/* requests taken out of cpu->request while they are blocked */
	uint64_t stack_limit;	/* the host stack of return addresses may grow down to here */
	uint64_t aside[X64_MAX_SWAPS];	/* guest registers that a region's own have displaced */
	uint64_t proof[PROBE_PLACES - 1];	/* shared proofs that are not in T0's register */
	uint32_t jc_mode[JC_TABLES];	/* mode of each jump cache, or JC_NO_MODE: never used so far */
	/* The reverse, of modes met lately: first slot of a mode's jump cache, as the caches stand one behind the other. */
	struct {
		uint32_t mode, first;
	} jc_of[1u << JC_MODE_BITS];
	uint32_t itlb[ITLB_SIZE];	/* id of the code page mapped there now, 0: unknown */
	uint64_t fallback_ret;		/* of the one that is to be noted, or 0 */
	uint32_t n_fallbacks;		/* noted since none was; 0: all slots are empty, whose ret is 0 */
	uint64_t fallback_at[1u << FALLBACK_BITS];
	const uint8_t *fallback_code[1u << FALLBACK_BITS];
	/* cpu_call_out(): the guest's vector registers meanwhile. */
	uint8_t vec[16][32] __attribute__((aligned(64)));
	uint32_t mxcsr;
	bool vec_aside;			/* they stand there, and nowhere else */
	/* tcg/plug.h */
	uint8_t *plug;			/* the vCPU's counters and streams */
	uint64_t plug_va[PLUG_SLOTS];	/* where the instruction under way accesses memory */
	uint8_t jc_met[JC_TABLES][JC_SIZE / 8];	/* a bit for each slot: filled by a jump, call or return, not by what may come from anywhere */
	/* Last, as only those in use are touched: tcg_jc_name() */
	uint64_t jc_tag[JC_TABLES][JC_SIZE];
	const uint8_t *jc_code[JC_TABLES][JC_SIZE];
};
_Static_assert(sizeof(struct x64_env) <= CPU_ACCEL_MEM, "cpu->accel_mem is too small");

static inline struct x64_env *x64_env(struct cpu *c)
{
	return (struct x64_env *)(void *)c->accel_mem;
}

/* cpu->regs as C inside a region left them, put right. Light. */
static inline void x64_unswap(struct cpu *c, const struct x64_swap *s, unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		c->regs[s[i].in] = c->regs[s[i].out];
		c->regs[s[i].out] = x64_env(c)->aside[i];
	}
}

/* The tag of the first entry of a table; others are TLB_OFF() bytes behind it. */
static inline int32_t tlb_tag(unsigned idx, bool write)
{
	return (int32_t)(offsetof(struct cpu, tlb) + idx * sizeof(struct tlb) +
			 (write ? offsetof(struct tlb, w) : offsetof(struct tlb, r)));
}

#define CPU_OFF(f)	((int32_t)offsetof(struct cpu, f))
#define ENV_OFF(f)	((int32_t)(offsetof(struct cpu, accel_mem) + offsetof(struct x64_env, f)))

#endif
