/*
 * The guest processor's architectural state, and how code around it may touch it.
 *
 * struct cpu holds what the manuals call processor state and nothing derived
 * from an accelerator, except the software TLB, which cpu/mmu.c owns and every
 * software accelerator shares. Source for names and layouts: Intel SDM vol. 3A
 * chapters 2-6, AMD APM vol. 2.
 *
 * Threads: one vCPU thread owns a struct cpu. Others may only call
 * cpu_request() and cpu_kick().
 *
 * Live vector state. While translated code runs, the guest's xmm/ymm registers,
 * mxcsr and x87 stand in the host's own registers (`vec_live`). C that may be
 * reached then is either "light" (compiled with -mgeneral-regs-only, calls no
 * libc) or is called through cpu_heavy(), which puts the vector state into
 * cpu->xsave first and takes it back afterwards, or cpu_call_out(), which keeps
 * what C may destroy somewhere else. Everything in cpu/ that is
 * listed as light in Makefile.in obeys this.
 */
#ifndef CPU_CPU_H
#define CPU_CPU_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#include "base/bits.h"
#include "base/error.h"
#include "cpu/debug.h"

enum { RAX, RCX, RDX, RBX, RSP, RBP, RSI, RDI, R8, R9, R10, R11, R12, R13, R14, R15, NGPR };
enum { ES, CS, SS, DS, FS, GS, LDTR, TR, NSEG };

/* EFLAGS. */
#define FL_CF	0x0001u
#define FL_PF	0x0004u
#define FL_AF	0x0010u
#define FL_ZF	0x0040u
#define FL_SF	0x0080u
#define FL_TF	0x0100u
#define FL_IF	0x0200u
#define FL_DF	0x0400u
#define FL_OF	0x0800u
#define FL_IOPL	0x3000u
#define FL_NT	0x4000u
#define FL_RF	0x10000u
#define FL_VM	0x20000u
#define FL_AC	0x40000u
#define FL_VIF	0x80000u
#define FL_VIP	0x100000u
#define FL_ID	0x200000u
#define FL_ARITH (FL_CF | FL_PF | FL_AF | FL_ZF | FL_SF | FL_OF)

#define CR0_PE	0x1u
#define CR0_MP	0x2u
#define CR0_EM	0x4u
#define CR0_TS	0x8u
#define CR0_ET	0x10u
#define CR0_NE	0x20u
#define CR0_WP	0x10000u
#define CR0_AM	0x40000u
#define CR0_NW	0x20000000u
#define CR0_CD	0x40000000u
#define CR0_PG	0x80000000u

#define CR4_VME		BIT(0)
#define CR4_PVI		BIT(1)
#define CR4_TSD		BIT(2)
#define CR4_DE		BIT(3)
#define CR4_PSE		BIT(4)
#define CR4_PAE		BIT(5)
#define CR4_MCE		BIT(6)
#define CR4_PGE		BIT(7)
#define CR4_PCE		BIT(8)
#define CR4_OSFXSR	BIT(9)
#define CR4_OSXMMEXCPT	BIT(10)
#define CR4_UMIP	BIT(11)
#define CR4_LA57	BIT(12)
#define CR4_FSGSBASE	BIT(16)
#define CR4_PCIDE	BIT(17)
#define CR4_OSXSAVE	BIT(18)
#define CR4_SMEP	BIT(20)
#define CR4_SMAP	BIT(21)
#define CR4_PKE		BIT(22)
#define CR4_PKS		BIT(24)

#define EFER_SCE	BIT(0)
#define EFER_LME	BIT(8)
#define EFER_LMA	BIT(10)
#define EFER_NXE	BIT(11)
#define EFER_SVME	BIT(12)

/* Exception vectors. */
enum {
	EXC_DE = 0, EXC_DB = 1, EXC_NMI = 2, EXC_BP = 3, EXC_OF = 4, EXC_BR = 5,
	EXC_UD = 6, EXC_NM = 7, EXC_DF = 8, EXC_TS = 10, EXC_NP = 11, EXC_SS = 12,
	EXC_GP = 13, EXC_PF = 14, EXC_MF = 16, EXC_AC = 17, EXC_MC = 18, EXC_XM = 19, EXC_SX = 30,
	/* In cpu->exc_vector, not exceptions: work of cpu/svm.c for the run loop. */
	EXC_VMEXIT = 0x100, EXC_INJECT = 0x101,
};

/*
 * A segment register with its hidden part. `attr` is the second doubleword of
 * the descriptor shifted right by 8 and masked with 0xf0ff: type in bits 3..0,
 * S bit 4, DPL 6..5, P 7, AVL 12, L 13, D/B 14, G 15. `limit` is in bytes,
 * already scaled by G. A null selector loaded in protected mode has attr 0.
 */
struct seg {
	uint16_t sel;
	uint16_t attr;
	uint32_t limit;
	uint64_t base;
	/*
	 * Derived by seg_update() for generated code: one past the highest
	 * offset that a plain read or write through this register may touch, so
	 * n bytes at off are fine if off + n <= rlimit. 0 where there is no such
	 * simple bound (null, expand-down, execute-only): then seg_check() decides.
	 */
	uint64_t rlimit, wlimit;
};
#define SEG_TYPE(a)	((a) & 0xf)
#define SEG_S		0x10u
#define SEG_DPL(a)	((a) >> 5 & 3)
#define SEG_P		0x80u
#define SEG_L		0x2000u
#define SEG_DB		0x4000u
#define SEG_G		0x8000u

struct dtr {
	uint64_t base;
	uint16_t limit;
};

/*
 * The mode word: everything that makes the same bytes translate differently.
 * It is part of a block's key and kept up to date by cpu_update_mode().
 */
#define MODE_CODE	0x0003u		/* code size: 0 16-bit, 1 32-bit, 2 64-bit */
#define MODE_CODE16	0u
#define MODE_CODE32	1u
#define MODE_CODE64	2u
#define MODE_SS32	0x0004u		/* SS.B: 32-bit stack pointer (64-bit code: clear) */
#define MODE_CPL	0x0018u		/* CPL in bits 4..3 */
#define MODE_CPL_SHIFT	3
#define MODE_PE		0x0020u
#define MODE_VM		0x0040u		/* virtual-8086 */
#define MODE_LMA	0x0080u
#define MODE_FLAT	0x0100u		/* CS, DS, ES, SS: base 0, full limit, writable data */
#define MODE_TF		0x0200u		/* EFLAGS.TF */
#define MODE_MMU	0x0c00u		/* data accesses: enum mmu_idx in bits 11..10 */
#define MODE_MMU_SHIFT	10
#define MODE_EM		0x1000u		/* CR0.EM */
#define MODE_TS		0x2000u		/* CR0.TS */
#define MODE_MP		0x4000u		/* CR0.MP */
#define MODE_OSFXSR	0x8000u		/* CR4.OSFXSR */
#define MODE_OSXSAVE	0x10000u	/* CR4.OSXSAVE and XCR0 has SSE and AVX */
#define MODE_AC		0x20000u	/* alignment checking is in force (CR0.AM, EFLAGS.AC, CPL 3) */
#define MODE_IOPL_OK	0x40000u	/* CPL <= IOPL, or real mode: cli/sti/in/out need no check */
#define MODE_SMAP	0x80000u	/* CR4.SMAP, at CPL 0-2: EFLAGS.AC decides about MODE_MMU */
#define MODE_DEBUG	0x100000u	/* the guest's breakpoints or branch records, or stepping: one instruction a block */
#define MODE_DF		0x200000u	/* EFLAGS.DF: string instructions count down */
#define MODE_SVM	0x400000u	/* a guest of VMRUN: instructions may be intercepted */
#define MODE_LA57	0x800000u	/* 5-level paging: linear addresses of 57 bits */
#define MODE_COUNT	0x1000000u	/* performance counters want instructions of this CPL (cpu/pmu.h) */
#define MODE_AGAIN	0x10000000u	/* tcg only: the first instruction is begun again, its plugin hooks are done (tcg/plug.h) */
#define MODE_NOSHARE	0x20000000u	/* tcg only: no shared page proofs (tcg/opt_mem.c) */
#define MODE_REGION	0x40000000u	/* tcg only: a hot loop as one piece (tcg/region.c) */
#define MODE_TCG	(MODE_AGAIN | MODE_NOSHARE | MODE_REGION)

/* No bit has two meanings: the sum is the union. */
#define MODE_ALL(op) (MODE_CODE op MODE_SS32 op MODE_CPL op MODE_PE op MODE_VM op MODE_LMA op MODE_FLAT op \
		      MODE_TF op MODE_MMU op MODE_EM op MODE_TS op MODE_MP op MODE_OSFXSR op MODE_OSXSAVE op \
		      MODE_AC op MODE_IOPL_OK op MODE_SMAP op MODE_DEBUG op MODE_DF op MODE_SVM op MODE_LA57 op MODE_COUNT op MODE_TCG)
_Static_assert(MODE_ALL(+) == MODE_ALL(|), "no bit of the mode word has two meanings");

/* Which TLB a data access uses. */
enum mmu_idx {
	MMU_KERNEL,		/* CPL 0-2, SMAP in force */
	MMU_KERNEL_NOSMAP,	/* CPL 0-2, user pages allowed (no SMAP, or EFLAGS.AC) */
	MMU_USER,		/* CPL 3 */
	NMMU
};

/*
 * Software TLB entry. `tag` is the linear address of a page; an access of n
 * bytes at va hits if (va ^ tag) <= 4096 - n, unsigned. That one comparison
 * refuses other pages and accesses that cross the page's end. `host` is the
 * host address of the page's first byte. An empty slot holds the address of a
 * page that belongs into another slot, so nothing can hit it. Pages that need a
 * slow path (MMIO, code or dirty tracking on writes, watchpoints, A20) are
 * never entered.
 */
struct tlb_entry {
	uint64_t tag;
	uint64_t host;
};
#define TLB_BITS	13
#define TLB_SIZE	(1u << TLB_BITS)
#define TLB_EMPTY(slot)	((uint64_t)((slot) ^ 1) << 12)
#define TLB_SLOT(va)	((uint32_t)((va) >> 12) & (TLB_SIZE - 1))

struct tlb {
	struct tlb_entry r[TLB_SIZE];	/* pages whose reads may go straight to RAM */
	struct tlb_entry w[TLB_SIZE];	/* pages whose writes may, too */
};
/* Byte offset of va's entry in a table: rorx $TLB_ROR, and. */
#define TLB_ROR		(12 - 4)
#define TLB_MASK	((TLB_SIZE - 1) << 4)
#define TLB_OFF(va)	((uint32_t)((va) >> TLB_ROR) & TLB_MASK)
_Static_assert(sizeof(struct tlb_entry) == 1 << 4, "TLB_ROR and TLB_MASK fit the entries");

/* Where va's page is, if it is in the table. */
static inline struct tlb_entry *tlb_entry(struct tlb *t, uint64_t va, bool write)
{
	return &(write ? t->w : t->r)[TLB_SLOT(va)];
}

/*
 * Sites: the entry that one access of translated code found last, so that it need not
 * look it up. What an entry allows stays allowed when another takes its slot, but
 * nothing outlives mmu_drop_sites(). An empty site holds struct cpu's `nowhere`.
 */
struct tlb_site {
	uint64_t tag;		/* as of the entry */
	uint64_t add;		/* host address - linear address */
	uint32_t left;		/* misses until the accelerator looks how frequent they are */
	uint32_t since;		/* when it did that last: its own clock */
	uint64_t unused;	/* so that none crosses a cache line */
};
/*
 * A run of rounds of a loop whose accesses were looked up beforehand, all at once: registers
 * of the loop and what they may be while the pages stay the same, registers that must be as they were,
 * and what addresses are to be added to. It may be taken up again later; mmu_drop_sites() ends it,
 * by bounds that no value keeps to.
 */
#define RUN_REGS	4
#define RUN_SAME	6
#define RUN_PROOFS	8
struct tlb_run {
	uint64_t most[RUN_REGS], least[RUN_REGS];	/* signed in 64-bit code, else 32 bits unsigned */
	uint64_t first[RUN_REGS];	/* the registers when it was proven */
	uint64_t same[RUN_SAME];
	uint64_t at[RUN_PROOFS];
	uint32_t owner;			/* the accelerator's number of the loop; or of another one that needs the room, too */
	uint32_t unused[3];
};
#define TLB_RUNS	64u
#define RUN_OVER_MOST	0x8000000000000000u
#define RUN_OVER_LEAST	0x7fffffffffffffffu

#define TLB_SITES	512u
#define SITE_CHUNK	16u	/* so many have one byte of `used` */

/*
 * Requests to a vCPU (cpu->request). The vCPU looks at them at polls: back
 * edges, indirect exits, and between blocks that leave the cache.
 */
#define REQ_INTR	0x001u	/* the board's interrupt line is up: ask intack() */
#define REQ_NMI		0x002u		/* by cpu_nmi(), which counts them */
#define REQ_SMI		0x004u
#define REQ_INIT	0x008u
#define REQ_SIPI	0x010u	/* start-up IPI; vector in sipi_vector */
#define REQ_EXIT	0x020u	/* leave run(): stop, quit, debugger, another accelerator */
#define REQ_FLUSH	0x040u	/* somebody asks for a complete TLB flush */
#define REQ_VINTR	0x080u	/* a virtual interrupt of VMRUN's guest is pending */
#define REQ_RESET	0x100u
#define REQ_STARTED	0x200u	/* it has sent a start-up IPI: cpu_await_started() (cpu/start.h) */
#define REQ_CALL	0x400u	/* run the functions queued for this vCPU */
#define REQ_SAMPLE	0x1000u	/* the accelerator's own: note what is at work */
#define REQ_PMU		0x2000u		/* look at the performance counters (cpu/pmu.h) */
#define REQ_KICK	0x800u	/* another vCPU's hypercall ends HLT: see pv_kicked */

struct cpu;
struct phys;

/* Branch records, see cpu/lbr.h; `last` in the order of the MSRs. */
enum { LBR_FROM, LBR_TO, LBR_EXC_FROM, LBR_EXC_TO, NLBR };
struct lbr {
	uint64_t control;		/* DEBUGCTL */
	uint64_t last[NLBR];
};

/* What #VMEXIT brings back: the state at VMRUN that SVM keeps for the host. */
struct svm_host {
	struct seg es, cs, ss, ds;
	struct dtr gdtr, idtr;
	uint64_t efer, cr0, cr3, cr4, rip, rsp, rax, pat;
	uint32_t eflags;
	struct lbr lbr;			/* if svm.lbrv */
};

/* AMD's virtual machine extensions, see cpu/svm.h. */
struct svm {
	uint64_t hsave, vm_cr;		/* MSRs */
	/* Of the guest that runs or ran last, from its VMCB (names as in APM vol. 2, appendix B). */
	bool guest;			/* between VMRUN and #VMEXIT */
	bool np;			/* nested paging */
	bool lbrv;			/* branch records are the guest's own */
	uint32_t asid;
	uint32_t intercept[6];		/* bit n of all of them together is exit code n */
	uint32_t pause_count;		/* PAUSEs until an exit */
	uint64_t vmcb;			/* its physical address */
	uint64_t iopm, msrpm, ncr3, tsc_offset;
	uint64_t int_ctl;		/* V_TPR, V_IRQ, ... */
	uint64_t inject;		/* EVENTINJ, not delivered yet */
	uint64_t inject_rip;		/* and nRIP, for software interrupts */
	uint64_t event;			/* EXITINTINFO of the event being delivered, or 0 */
	uint64_t exit_code, exit_info1, exit_info2, exit_rip;	/* #VMEXIT for the run loop to make */
	struct svm_host host;
	/* Of the state SMM interrupted. */
	bool smm_guest, smm_gif;
};

/* Performance counters, see cpu/pmu.h. */
#define PMU_NGP		6
#define PMU_NCTR	(PMU_NGP + 3)
struct pmu {
	uint64_t ctl[PMU_NGP];		/* PERF_CTL, IA32_PERFEVTSEL */
	uint64_t ctr[PMU_NCTR];		/* general, then Intel's fixed ones: as of the last pmu_sync() */
	uint64_t fixed_ctl, global_ctl, global_status;	/* Intel */
	/* Written by the accelerator. By class: 0 for CPL 0, 1 for others. */
	int64_t left[2];		/* instructions until somebody looks; counts down */
	uint64_t branches[2];
	int64_t budget[2];		/* what `left` was at the last pmu_sync() */
	uint64_t since;			/* time of it */
	/* Derived from the control registers. */
	uint8_t classes;		/* bit per class whose instructions matter */
	bool on;			/* something counts */
	bool split;			/* cycles of one class are counted */
	bool interrupt;			/* an overflow has not interrupted yet */
};

/*
 * What the board gives a vCPU. Called on the vCPU's thread without the machine
 * lock; the board takes it. All are reached through cpu_call_out() or cpu_heavy(). CR8 and
 * MSRs also by a debugger, which has the lock, while the vCPU stands.
 */
struct cpu_board {
	void *opaque;
	uint32_t (*port_in)(void *opaque, uint16_t port, int size);
	void (*port_out)(void *opaque, uint16_t port, int size, uint32_t v);
	/*
	 * Up to n of them in a row, to or from buf; they end early when something is asked of c. How many
	 * there were, at least one. Both may be NULL.
	 */
	unsigned (*port_in_run)(void *opaque, struct cpu *c, uint16_t port, int size, void *buf, unsigned n);
	unsigned (*port_out_run)(void *opaque, struct cpu *c, uint16_t port, int size, const void *buf, unsigned n);
	/* Acknowledge an interrupt: its vector, or -1 if none is pending any more. */
	int (*intack)(void *opaque, struct cpu *c);
	/* Local APIC pieces the processor itself sees. */
	uint64_t (*get_cr8)(void *opaque, struct cpu *c);
	void (*set_cr8)(void *opaque, struct cpu *c, uint64_t v);
	/* Local-APIC MSRs (APIC base, TSC deadline, x2APIC 0x800-0x8ff). False: #GP. */
	bool (*msr_read)(void *opaque, struct cpu *c, uint32_t msr, uint64_t *v);
	bool (*msr_write)(void *opaque, struct cpu *c, uint32_t msr, uint64_t v);
	/* FERR#: unmasked x87 error with CR0.NE clear (IRQ 13). */
	void (*ferr)(void *opaque, struct cpu *c);
	/* A performance counter has overflowed and interrupts (may be NULL). */
	void (*perf_interrupt)(void *opaque, struct cpu *c);
	/* Guest time in nanoseconds, for TSC when it is not the host's (tsc_from_clock). */
	uint64_t (*now_ns)(void *opaque);
	/* The guest's wall clock, ns since 1970 (may be NULL: it is 1970). */
	uint64_t (*wall_ns)(void *opaque);
	/* Deliver an interrupt command's low word to the local APIC of `to` (may be NULL). */
	void (*send_ipi)(void *opaque, struct cpu *to, uint32_t icr);
	/* Triple fault or shutdown: ask the board for a reset. */
	void (*shutdown)(void *opaque, struct cpu *c);
	/* The vCPU goes to sleep (HLT, or a wait for a start-up IPI) or wakes up (may be NULL). */
	void (*halted)(void *opaque, struct cpu *c, bool halted);
	/* SMM entered or left: the board opens or closes SMRAM (may be NULL). */
	void (*smm)(void *opaque, struct cpu *c, bool in_smm);
};

/* Who the processor says it is: the model's answers, or the user's. */
struct cpu_id {
	char vendor[13];		/* 12 characters: ebx, edx, ecx of leaf 0 */
	char brand[49];
	uint16_t family, model, stepping;
	uint32_t level, xlevel;		/* highest leaves */
};

#define CPU_ACCEL_MEM	(1600u << 10)
#define XSAVE_SIZE	1088	/* legacy 512 + header 64 + AVX 256 + room to PKRU */

struct cpu {
	/* --- reached by generated code at fixed offsets; order is not important --- */
	uint64_t regs[NGPR];
	uint64_t rip;
	/*
	 * EFLAGS in two parts. `cc` holds the arithmetic flags as `lahf; seto`
	 * leave them: bits 15..8 = SF:ZF:0:AF:0:PF:1:CF, bit 0 = OF. `eflags`
	 * holds all others, bit 1 set, FL_ARITH clear. Use cpu_get_eflags().
	 * Generated code, and nobody else, may leave in `cc` a note of how the
	 * flags come about instead (NOTE_*), with operands in `note`.
	 */
	uint32_t cc;
	uint32_t eflags;
	_Atomic uint32_t request;	/* REQ_* */
	uint32_t mode;			/* MODE_*, see cpu_update_mode() */
	uint64_t tmp[4];		/* µop temporaries that have no host register */
	uint64_t note[2];		/* a and b of NOTE_*; whole registers */
	struct seg segs[NSEG];
	uint8_t bounce[64] __attribute__((aligned(64)));	/* operand of a slow access */
	uint64_t tsc_offset;		/* RDTSC = host TSC + this, modulo 2^64 */
	uint64_t tsc_own_offset;	/* the same without the share of a VMRUN guest */
	void *accel;			/* the accelerator's own per-vCPU data */
	bool vec_live;			/* vector and x87 state is in host registers */
	bool halted;
	bool shadow;			/* interrupts held off for one instruction (sti, mov ss) */
	bool shadow_db;			/* ... by MOV or POP SS: debug traps wait as well */
	bool rf_found;			/* by the instruction that is done alone, which clears it */
	_Atomic uint8_t nmis;		/* sent and not delivered yet */
	bool nmi_blocked;
	bool gif;			/* SVM's global interrupt flag; set where there is no SVM */
	bool in_smm;
	bool smm_nmi_blocked;		/* nmi_blocked as it was before SMM */
	bool is_bsp;
	_Atomic bool absent;		/* the board's: it does not exist (yet), and only sleeps */
	bool wait_sipi;			/* after INIT, until a start-up IPI */
	bool first;			/* ... and from there until it has done an instruction */

	/* --- system registers --- */
	struct dtr gdtr, idtr;
	uint64_t cr0, cr2, cr3, cr4, xcr0;
	uint64_t dr[8];
	uint64_t efer, star, lstar, cstar, sfmask, kernel_gs_base;
	uint64_t sysenter_cs, sysenter_esp, sysenter_eip;
	uint64_t tsc_aux, pat, misc_enable, spec_ctrl, tsc_adjust, feature_control, smbase;
	uint64_t mtrr_def, mtrr_fixed[11], mtrr_var[16];
	uint64_t pkrs;			/* rights of supervisor keys (IA32_PKRS) */
	uint32_t pkru;			/* rights of user keys: bit 2k no access, 2k + 1 no writes */
	uint64_t mcg_status, mcg_ctl, mc_bank[40] /* CTL, STATUS, ADDR, MISC of each */, bndcfgs, xss;
	uint64_t hwcr, syscfg, nb_cfg, de_cfg;	/* AMD */
	uint64_t tsc_written;		/* what the guest's writes have added to its TSC since power-on */
	uint64_t pv_clock, pv_wall, pv_poll;	/* MSRs of cpu/pv.h */
	uint64_t pdpte[4];		/* PAE page-directory pointers, loaded with CR3 */
	struct lbr lbr;
	struct svm svm;
	struct pmu pmu;

	/* --- x87, SSE, AVX in standard XSAVE layout (SDM vol. 1, 13.4) --- */
	uint8_t xsave[XSAVE_SIZE] __attribute__((aligned(64)));

	/* --- event delivery --- */
	int exc_vector;			/* pending: vector, or -1 */
	bool exc_has_error;
	uint32_t exc_error;
	uint64_t exc_cr2;
	int exc_delivering;		/* vector whose delivery is under way, or -1 */
	_Atomic uint8_t sipi_vector;
	_Atomic uint64_t starting;	/* host ns at which the start-up IPI came that it deals with; 0: none (cpu/start.h) */
	_Atomic bool pv_kicked;		/* a kick ends HLT, or the next HLT is none (cpu/pv.h) */
	uint32_t dr6_pending;		/* DR6 bits of breakpoints the current instruction met */

	/* --- identity --- */
	uint64_t monitor_pa, monitor_line;	/* MONITOR: the line, and a checksum of it then */
	bool monitoring;
	int index;			/* 0 .. n-1 */
	uint32_t apic_id;
	uint32_t phys_bits, virt_bits;
	unsigned ncpus;			/* in the machine */
	unsigned pauses;		/* executed, for cpu_pause() */
	unsigned cores, threads;	/* of a package, of a core: topology leaves */
	bool tsc_from_clock;		/* TSC = now_ns() * tsc_khz + tsc_offset; else host TSC * tsc_scale + tsc_offset */
	bool tsc_stands;		/* the machine does: RDTSC goes on from tsc_held (cpu/tsc.h) */
	uint64_t tsc_held;
	uint64_t tsc_khz;
	uint64_t tsc_scale;		/* guest ticks per host tick * 2^32; 0: the same */
	struct cpu_id id;
	uint32_t feat[32];		/* CPUID feature words, enum feat_word in cpu/cpuid.h */
	uint64_t insn_feat[2];		/* the same as enum insn_cpuid bits (cpu/insn.h) */

	/* --- surroundings --- */
	struct phys *phys;
	struct cpu_board board;
	const struct accel_ops *ops;
	/* Leave the current instruction for the run loop; set by run(). Light. */
	void (*unwind)(struct cpu *c) __attribute__((noreturn));
	/* Code at [pa, pa+n) is about to change or its mapping is; set by the accelerator. Light. */
	void (*code_written)(struct cpu *c, uint64_t pa, int n);
	/* A linear page's translation is forgotten (va), or all are (va == -1). Light. */
	void (*mapping_changed)(struct cpu *c, uint64_t va, bool keep_global);
	/* cpu_heavy() while vec_live; set by an accelerator that keeps vector state in host registers. */
	uint64_t (*heavy)(struct cpu *c, uint64_t (*fn)(uint64_t, uint64_t, uint64_t, uint64_t),
			  uint64_t a, uint64_t b, uint64_t x, uint64_t y);
	/* The same for cpu_call_out(). */
	uint64_t (*call_out)(struct cpu *c, uint64_t (*fn)(uint64_t, uint64_t, uint64_t, uint64_t),
			     uint64_t a, uint64_t b, uint64_t x, uint64_t y);
	struct cpu_debug dbg;		/* a debugger's wishes; not guest state */
	uint64_t n_instr_helpers;	/* statistics: C helper calls */
	_Atomic bool sleeping;		/* in cpu_wait() */
	_Atomic bool inside;		/* may be executing guest code (cpu/alone.h) */

	struct mmu *mmu;		/* cpu/mmu.c: page-walk caches, fill log */
	/* The accelerator's own data that generated code reaches at fixed offsets. */
	uint8_t accel_mem[CPU_ACCEL_MEM] __attribute__((aligned(64)));
	struct tlb tlb[NMMU] __attribute__((aligned(64)));
	struct tlb_site site[NMMU][2][TLB_SITES];	/* [1]: of accesses that write */
	uint8_t site_used[NMMU][2][TLB_SITES / SITE_CHUNK];	/* not all of them may be empty */
	struct tlb_run run[TLB_RUNS];
	uint8_t run_used[TLB_RUNS];	/* it may not have ended */
	uint32_t drops;			/* how often all of them were */
	/*
	 * A page that is not canonical, at random: no guest can know where to reach to meet an
	 * empty site, and if it did its access would be one the host refuses.
	 */
	uint64_t nowhere;
	clockid_t thread_clock;		/* of the thread that runs it; 0: none does */
	struct plugins *plugins;	/* tcg/plug.h, or NULL */
	struct cpu_seen *seen;		/* cpu/seen.h: who wants to know what C accesses, or NULL */
};

/* ---- life ---- */

struct cpu_config {
	const char *model;	/* "max", "qemu64", ... with ",+f,-f" behind it */
	int index;
	uint32_t apic_id;
	struct phys *phys;
	struct cpu_board board;
	unsigned ncpus;		/* in the machine; 0: one */
	unsigned cores, threads; /* of a package, of a core; 0: all in one package, one */
	uint64_t tsc_khz;	/* 0: measure the host's */
	bool tsc_from_clock;	/* TSC is made from board.now_ns (counted time), not the host's */
	bool x2apic;		/* the board's local APIC has x2APIC mode */
};
/* A vCPU in power-on state, or NULL with err filled. The caller owns it. */
struct cpu *cpu_new(const struct cpu_config *cfg, struct err *e);
void cpu_free(struct cpu *c);
/* RESET# (SDM vol. 3A, table 9-1). On the vCPU's thread or before it runs. */
void cpu_reset(struct cpu *c);
/* INIT#: like reset, but x87, SSE, TSC, most MSRs stay. An AP then waits for SIPI. */
void cpu_init_signal(struct cpu *c);

/* ---- flags and mode; light ---- */

static inline uint32_t cc_to_eflags(uint32_t cc)
{
	return (cc >> 8 & (FL_CF | FL_PF | FL_AF | FL_ZF | FL_SF)) | (cc & 1) << 11;
}

static inline uint32_t cc_from_eflags(uint32_t fl)
{
	return (fl & (FL_CF | FL_PF | FL_AF | FL_ZF | FL_SF)) << 8 | 0x200 | (fl >> 11 & 1);
}

/*
 * A note in cpu->cc: the flags are those of a & b, of a - b or a + b where one is known by the result, of a size.
 * Bit 3 of what LAHF leaves is 0, and tells notes from flags.
 */
enum {
	NOTE_AND,
	NOTE_SUB,		/* a - b */
	NOTE_DIFFERENCE,	/* (a + b) - b: a is the result */
	NOTE_SUM,		/* (a - b) + b */
	NOTE_TAKEN,		/* a - (a - b): b is the result */
	NOTE_GIVEN,		/* a + (b - a) */
};
#define NOTE		0x800u
#define NOTE_SIZE	3	/* shift: binary logarithm of the size */
#define NOTE_B		0x80u	/* b is note[1], else the signed upper half of cc */
/* The flags of a note as `cc` has them. */
uint32_t cpu_noted_cc(const struct cpu *c);

static inline uint32_t cpu_get_eflags(const struct cpu *c)
{
	return c->eflags | cc_to_eflags(c->cc & NOTE ? cpu_noted_cc(c) : c->cc);
}

/* `cc` of x - y and of x + y; both fit the size in bytes. */
uint32_t cc_of_sub(uint64_t x, uint64_t y, int size);
uint32_t cc_of_add(uint64_t x, uint64_t y, int size);

/* Sets all flags; reserved bits are forced, the mode word follows. */
void cpu_set_eflags(struct cpu *c, uint32_t v);
/* Recompute c->mode from the registers it depends on. Call after changing any of them. */
void cpu_update_mode(struct cpu *c);

/*
 * A repeated string instruction stops between elements: what comes now pushes an image with RF (SDM vol. 3B, 18.3.1.1) or,
 * on AMD's processors, with RF as the instruction found it, so that a breakpoint at it is not met again. Light.
 */
void cpu_note_unfinished(struct cpu *c);

static inline int cpu_cpl(const struct cpu *c)
{
	return c->mode >> MODE_CPL_SHIFT & 3;
}
static inline enum mmu_idx cpu_mmu_idx(const struct cpu *c)
{
	return (enum mmu_idx)(c->mode >> MODE_MMU_SHIFT & 3);
}
static inline bool cpu_is64(const struct cpu *c)
{
	return (c->mode & MODE_CODE) == MODE_CODE64;
}

/* ---- requests; any thread ---- */

/* Set request bits and make the vCPU notice: kicks it out of HLT or of the cache. */
void cpu_request(struct cpu *c, uint32_t bits);
/*
 * An NMI arrives. One can be in service and one more waits; so of those that
 * arrive before the first is taken, two count.
 */
void cpu_nmi(struct cpu *c);
static inline void cpu_clear_request(struct cpu *c, uint32_t bits)
{
	atomic_fetch_and(&c->request, ~bits);
}
/* Nanoseconds for which its thread has run on the host; 0: not known. Any thread. */
uint64_t cpu_ran_ns(const struct cpu *c);
/* Sleep until a request other than a masked one is there. vCPU thread. */
void cpu_wait(struct cpu *c);

/* ---- exceptions; light ---- */

/*
 * Raise a fault or trap from inside an instruction: records it and unwinds to
 * the run loop, which delivers it (cpu/except.c). c->rip must be that of the
 * instruction to restart (fault) or the next one (trap). Does not return.
 */
void cpu_raise(struct cpu *c, int vector) __attribute__((noreturn));
void cpu_raise_err(struct cpu *c, int vector, uint32_t error) __attribute__((noreturn));
void cpu_raise_pf(struct cpu *c, uint64_t va, uint32_t error) __attribute__((noreturn));

/* ---- vector state ---- */

/*
 * Call fn(a, b, x, y) with the guest's vector state in c->xsave if it is live,
 * and bring it back afterwards. From light code, for anything that may use
 * vector registers or libc. Set at start by the accelerator; without one that
 * keeps state live it is a plain call.
 */
uint64_t cpu_heavy(struct cpu *c, uint64_t (*fn)(uint64_t, uint64_t, uint64_t, uint64_t),
		   uint64_t a, uint64_t b, uint64_t x, uint64_t y);
/*
 * The same for what goes out to the board, many times cheaper: fn finds no vector state in c->xsave, and
 * neither uses the x87 (no long double) nor raises.
 */
uint64_t cpu_call_out(struct cpu *c, uint64_t (*fn)(uint64_t, uint64_t, uint64_t, uint64_t),
		      uint64_t a, uint64_t b, uint64_t x, uint64_t y);

#endif
