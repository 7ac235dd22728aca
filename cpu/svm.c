/*
 * SVM's world switch: VMRUN, #VMEXIT, VMLOAD, VMSAVE (contract in cpu/svm.h).
 *
 * VMRUN reads the VMCB once, checks what it has read, and goes on with that, so a
 * VMCB that another processor changes meanwhile does no harm. The host's state is
 * kept in struct cpu; the host save area's contents are the processor's affair and
 * stay untouched. VMCB clean bits are ignored: everything is loaded each time.
 *
 * Not modelled: AVIC, virtual GIF, virtual VMLOAD/VMSAVE, SEV,
 * TSC ratio, threshold of the PAUSE filter, write traps, breakpoints that are lost while
 * GIF is clear.
 * Source: AMD APM vol. 2, 15.5 to 15.8, 15.16, 15.23, appendix B.
 */
#include "cpu/svm.h"

#include "base/log.h"
#include "cpu/cpuid.h"
#include "cpu/desc.h"
#include "cpu/except.h"
#include "cpu/lbr.h"
#include "cpu/phys.h"
#include "cpu/system.h"
#include "cpu/tlb.h"

/* Fields of the VMCB that no table has. */
enum {
	VMCB_TLB_CONTROL = 0x05c, VMCB_INT_CTL = 0x060, VMCB_INT_STATE = 0x068, VMCB_EXIT_CODE = 0x070,
	VMCB_EXIT_INFO1 = 0x078, VMCB_EXIT_INFO2 = 0x080, VMCB_EXIT_INT_INFO = 0x088, VMCB_NP = 0x090,
	VMCB_EVENTINJ = 0x0a8, VMCB_VIRT_EXT = 0x0b8, VMCB_NEXT_RIP = 0x0c8, VMCB_N_BYTES = 0x0d0, VMCB_BYTES = 0x0d1,
	VMCB_CPL = 0x4cb, VMCB_EFER = 0x4d0, VMCB_CR4 = 0x548, VMCB_CR3 = 0x550, VMCB_CR0 = 0x558,
	VMCB_DR7 = 0x560, VMCB_DR6 = 0x568, VMCB_RFLAGS = 0x570, VMCB_CS_ATTR = 0x412, VMCB_G_PAT = 0x668,
};
#define EVENT_VALID	BIT(31)

enum set { CTL, RUN, OUT, LOAD, LBR };

/* Where a value stands in the VMCB and in struct cpu. */
static const struct field {
	uint8_t set;
	uint16_t off;
	uint8_t size, width;
	uint32_t field;
} fields[] = {
#define VMCB(set, off, size, f) { set, off, size, sizeof(((struct cpu *)0)->f), offsetof(struct cpu, f) },
#include "cpu/svm.def"
};

static const struct seg_field {
	uint8_t set;
	uint16_t off;
	uint8_t seg;
} seg_fields[] = {
#define VMCB_SEG(set, off, seg) { set, off, seg },
#include "cpu/svm.def"
};

/* Values that VMRUN checks before it takes any. */
struct checked {
	uint64_t efer, cr0, cr3, cr4, dr6, dr7, rflags, pat;
	uint32_t cs_attr;
};

static uint64_t vld(struct cpu *c, uint64_t pa, unsigned off, int size)
{
	return phys_ld(c, pa + off, size);
}

static void vst(struct cpu *c, uint64_t pa, unsigned off, int size, uint64_t v)
{
	phys_st(c, pa + off, size, v);
}

static void load_fields(struct cpu *c, uint64_t pa, enum set set)
{
	for (unsigned i = 0; i < ARRAY_LEN(fields); i++)
		if (fields[i].set == set)
			st_n((char *)c + fields[i].field, fields[i].width,
			     vld(c, pa, fields[i].off, fields[i].size));
}

static void store_fields(struct cpu *c, uint64_t pa, enum set set)
{
	for (unsigned i = 0; i < ARRAY_LEN(fields); i++)
		if (fields[i].set == set)
			vst(c, pa, fields[i].off, fields[i].size,
			    ld_n((const char *)c + fields[i].field, fields[i].width));
}

/* Addresses that are not canonical become so. */
static uint64_t canonical(const struct cpu *c, uint64_t va)
{
	return (uint64_t)sext(va, c->cr4 & CR4_LA57 ? 57 : 48);
}

/* Selector, attributes (bits 55..52 of a descriptor behind 47..40), limit, base. */
static void load_segs(struct cpu *c, uint64_t pa, enum set set)
{
	for (unsigned i = 0; i < ARRAY_LEN(seg_fields); i++) {
		const struct seg_field *f = &seg_fields[i];

		if (f->set != set)
			continue;
		uint32_t a = (uint32_t)vld(c, pa, f->off + 2u, 2);
		seg_make(&c->segs[f->seg], (uint16_t)vld(c, pa, f->off, 2), canonical(c, vld(c, pa, f->off + 8u, 8)),
			 (uint32_t)vld(c, pa, f->off + 4u, 4), (a & 0xff) | (a & 0xf00) << 4);
	}
}

static void store_segs(struct cpu *c, uint64_t pa, enum set set)
{
	for (unsigned i = 0; i < ARRAY_LEN(seg_fields); i++) {
		const struct seg_field *f = &seg_fields[i];
		const struct seg *s = &c->segs[f->seg];

		if (f->set != set)
			continue;
		vst(c, pa, f->off, 2, s->sel);
		vst(c, pa, f->off + 2u, 2, (s->attr & 0xff) | (s->attr >> 4 & 0xf00));
		vst(c, pa, f->off + 4u, 4, s->limit);
		vst(c, pa, f->off + 8u, 8, s->base);
	}
}

/* ---- VMLOAD, VMSAVE ---- */

void svm_vmload(struct cpu *c, uint64_t pa)
{
	load_fields(c, pa, LOAD);
	load_segs(c, pa, LOAD);
	c->kernel_gs_base = canonical(c, c->kernel_gs_base);
	c->lstar = canonical(c, c->lstar);
	c->cstar = canonical(c, c->cstar);
	c->sysenter_cs &= 0xffffffff;
	c->sfmask &= 0xffffffff;
	cpu_update_mode(c);
}

void svm_vmsave(struct cpu *c, uint64_t pa)
{
	store_fields(c, pa, LOAD);
	store_segs(c, pa, LOAD);
}

/* ---- VMRUN: what must be so ---- */

static bool pat_ok(uint64_t pat)
{
	for (int i = 0; i < 64; i += 8)
		if (!(0xf3 >> (pat >> i & 7) & 1) || (pat >> i & 0xf8))
			return false;
	return true;
}

static bool regs_ok(const struct cpu *c, const struct checked *r)
{
	bool lme = r->efer & EFER_LME, pg = r->cr0 & CR0_PG;

	if (!(r->efer & EFER_SVME) || r->efer & ~msr_efer_allowed(c))
		return false;
	if (r->cr0 >> 32 || (r->cr0 & CR0_NW && !(r->cr0 & CR0_CD)))
		return false;
	if (r->cr3 >> c->phys_bits || r->cr4 & ~cpu_cr4_allowed(c) || r->dr6 >> 32 || r->dr7 >> 32)
		return false;
	if (!lme || !pg)
		return true;
	if (!(r->cr4 & CR4_PAE) || !(r->cr0 & CR0_PE))
		return false;
	return (r->cs_attr & 0x600) != 0x600;		/* L and D */
}

static bool event_ok(uint64_t e)
{
	unsigned type = e >> 8 & 7, vector = e & 0xff;

	if (!(e & EVENT_VALID))
		return true;
	if (type == SVM_EVENT_EXCEPTION)
		return vector < 32 && vector != EXC_NMI;
	return type == SVM_EVENT_INTR || type == SVM_EVENT_NMI || type == SVM_EVENT_SOFT;
}

static bool fits(const struct cpu *c, uint64_t pa, uint64_t bytes)
{
	return (pa & ~0xfffull) + bytes <= BIT(c->phys_bits);
}

/* Processors ask for a page more than the map of MSRs has. */
static bool controls_ok(const struct cpu *c, const struct checked *r)
{
	const struct svm *s = &c->svm;

	if (!s->asid || !(s->intercept[SVM_VMRUN >> 5] & 1) || !event_ok(s->inject))
		return false;
	if (!fits(c, s->iopm, 3 * PAGE) || !fits(c, s->msrpm, 3 * PAGE))
		return false;
	return !s->np || (c->cr0 & CR0_PG && !(s->ncr3 >> c->phys_bits) && pat_ok(r->pat));
}

/* ---- VMRUN: the switch ---- */

static void read_checked(struct cpu *c, uint64_t pa, struct checked *r)
{
	r->efer = vld(c, pa, VMCB_EFER, 8);
	r->cr0 = vld(c, pa, VMCB_CR0, 8);
	r->cr3 = vld(c, pa, VMCB_CR3, 8);
	r->cr4 = vld(c, pa, VMCB_CR4, 8);
	r->dr6 = vld(c, pa, VMCB_DR6, 8);
	r->dr7 = vld(c, pa, VMCB_DR7, 8);
	r->rflags = vld(c, pa, VMCB_RFLAGS, 8);
	r->pat = vld(c, pa, VMCB_G_PAT, 8);
	r->cs_attr = (uint32_t)vld(c, pa, VMCB_CS_ATTR, 2);
}

static void save_host(struct cpu *c, uint64_t next)
{
	struct svm_host *h = &c->svm.host;

	h->es = c->segs[ES];
	h->cs = c->segs[CS];
	h->ss = c->segs[SS];
	h->ds = c->segs[DS];
	h->gdtr = c->gdtr;
	h->idtr = c->idtr;
	h->efer = c->efer;
	h->cr0 = c->cr0;
	h->cr3 = c->cr3;
	h->cr4 = c->cr4;
	h->rip = next;
	h->rsp = c->regs[RSP];
	h->rax = c->regs[RAX];
	h->pat = c->pat;
	h->eflags = cpu_get_eflags(c);
	h->lbr = c->lbr;
}

/* APM vol. 2, 15.16.1. */
static void flush_as_told(struct cpu *c, unsigned control)
{
	if (control == 1)
		mmu_flush_all(c);
	if (control)
		mmu_forget_space(c, c->svm.asid);
}

/* The privilege level has a field of its own; cpu_update_mode() looks at SS. */
static void load_cpl(struct cpu *c, uint64_t pa)
{
	struct seg *ss = &c->segs[SS];
	unsigned cpl = c->eflags & FL_VM ? 3 : vld(c, pa, VMCB_CPL, 1) & 3;

	if (c->cr0 & CR0_PE)
		ss->attr = (uint16_t)((ss->attr & ~ATTR_DPL(3)) | ATTR_DPL(cpl));
}

static void load_guest(struct cpu *c, uint64_t pa, const struct checked *r)
{
	c->efer = r->efer & ~EFER_LMA;
	if (r->efer & EFER_LME && r->cr0 & CR0_PG)
		c->efer |= EFER_LMA;
	c->cr0 = r->cr0 | CR0_ET;
	c->cr3 = c->efer & EFER_LMA ? r->cr3 : (uint32_t)r->cr3;
	c->cr4 = r->cr4;
	c->dr[6] = (r->dr6 & 0xe00f) | 0xffff0ff0u;
	c->dr[7] = (r->dr7 & 0xffff23ff) | 0x400;
	if (c->svm.np)
		c->pat = r->pat;
	load_fields(c, pa, RUN);
	load_segs(c, pa, RUN);
	if (c->svm.lbrv) {
		load_fields(c, pa, LBR);
		lbr_set_control(c, c->lbr.control);
	}
	put_eflags(c, (uint32_t)r->rflags);
	load_cpl(c, pa);
	c->shadow = vld(c, pa, VMCB_INT_STATE, 1) & 1;
}

static bool pae_pointers(const struct cpu *c)
{
	return c->cr0 & CR0_PG && c->cr4 & CR4_PAE && !(c->efer & EFER_LMA);
}

static void enter_guest(struct cpu *c, uint64_t pa, const struct checked *r)
{
	struct svm *s = &c->svm;

	flush_as_told(c, (unsigned)vld(c, pa, VMCB_TLB_CONTROL, 1));
	s->guest = true;
	s->event = 0;
	c->gif = true;
	c->tsc_offset = c->tsc_own_offset + s->tsc_offset;
	load_guest(c, pa, r);
	c->mmu->nested = s->np;
	mmu_switch_space(c, s->asid);
	mmu_update_watch(c);
	cpu_update_mode(c);
}

void svm_vmrun(struct cpu *c, uint64_t pa, uint64_t next)
{
	struct svm *s = &c->svm;
	struct checked r;
	bool stepped = c->eflags & FL_TF;

	s->vmcb = pa;
	load_fields(c, pa, CTL);
	s->np = vld(c, pa, VMCB_NP, 1) & 1 && cpu_has(c, CPUID_NPT);
	s->lbrv = vld(c, pa, VMCB_VIRT_EXT, 1) & 1 && cpu_has(c, CPUID_LBRV);
	read_checked(c, pa, &r);
	if (!regs_ok(c, &r) || !controls_ok(c, &r)) {
		vst(c, pa, VMCB_EXIT_CODE, 8, SVM_INVALID);
		c->gif = false;
		c->rip = next;
		return;
	}
	save_host(c, next);
	enter_guest(c, pa, &r);
	if (pae_pointers(c) && !mmu_load_pdptes(c)) {
		svm_vmexit(c, SVM_INVALID, 0, 0, 0);
		return;
	}
	if (stepped)			/* the trap of VMRUN itself is none of the guest's */
		c->dr6_pending = NO_STEP;
	if (s->inject & EVENT_VALID)
		c->exc_vector = EXC_INJECT;
	svm_update_vintr(c);
}

/* ---- #VMEXIT ---- */

/* Up to 15 bytes at CS:RIP, for what a data access ran into. */
static void store_bytes(struct cpu *c, uint64_t pa, bool wanted)
{
	uint64_t va = c->rip + (cpu_is64(c) ? 0 : c->segs[CS].base), at;
	int n = 0;

	for (; wanted && n < 15; n++) {
		uint64_t byte = cpu_is64(c) ? va + (unsigned)n : (uint32_t)(va + (unsigned)n);

		if (!mmu_probe(c, byte, &at))
			break;
		vst(c, pa, VMCB_BYTES + (unsigned)n, 1, phys_ld(c, at, 1));
	}
	vst(c, pa, VMCB_N_BYTES, 1, (unsigned)n);
}

static bool of_data(uint64_t code, uint64_t error)
{
	return (code == SVM_NPF || code == SVM_EXCEPTION + EXC_PF) && !(error & 0x10);
}

static void store_guest(struct cpu *c, uint64_t pa)
{
	store_fields(c, pa, RUN);
	store_fields(c, pa, OUT);
	store_segs(c, pa, RUN);
	if (c->svm.lbrv)
		store_fields(c, pa, LBR);
	vst(c, pa, VMCB_RFLAGS, 8, cpu_get_eflags(c));
	vst(c, pa, VMCB_CPL, 1, (unsigned)cpu_cpl(c));
	vst(c, pa, VMCB_INT_STATE, 1, c->shadow);
	vst(c, pa, VMCB_INT_CTL, 2, c->svm.int_ctl & 0xffff);
	vst(c, pa, VMCB_EVENTINJ, 8, 0);
	vst(c, pa, VMCB_EXIT_INT_INFO, 8, c->svm.event);
	if (c->svm.np)
		vst(c, pa, VMCB_G_PAT, 8, c->pat);
}

static void load_host(struct cpu *c)
{
	const struct svm_host *h = &c->svm.host;

	c->segs[ES] = h->es;
	c->segs[CS] = h->cs;
	c->segs[SS] = h->ss;
	c->segs[DS] = h->ds;
	c->gdtr = h->gdtr;
	c->idtr = h->idtr;
	c->efer = h->efer;
	c->cr0 = h->cr0 | CR0_PE;
	c->cr3 = h->cr3;
	c->cr4 = h->cr4;
	c->rip = h->rip;
	c->regs[RSP] = h->rsp;
	c->regs[RAX] = h->rax;
	c->pat = h->pat;
	c->dr[7] = 0x400;
	if (c->svm.lbrv)
		c->lbr = h->lbr;
	put_eflags(c, h->eflags & ~FL_VM);
}

/* Not a guest any more; the registers are still its own. */
static void stop_guest(struct cpu *c)
{
	c->svm.guest = false;
	c->tsc_offset = c->tsc_own_offset;
	c->svm.event = c->svm.inject = 0;
	c->mmu->nested = false;
	cpu_clear_request(c, REQ_VINTR);
}

static void shut_down(struct cpu *c)
{
	c->halted = true;
	cpu_shut_down(c);
}

static uint64_t log_exit(uint64_t pc, uint64_t code, uint64_t info1, uint64_t info2)
{
	const struct cpu *c = (const struct cpu *)(uintptr_t)pc;

	log_to(LOG_INT, "#VMEXIT %llx info %llx %llx event %llx at %04x:%llx flags %08x cr0 %llx efer %llx\n",
	       (unsigned long long)code, (unsigned long long)info1, (unsigned long long)info2,
	       (unsigned long long)c->svm.event, c->segs[CS].sel, (unsigned long long)c->rip,
	       cpu_get_eflags(c), (unsigned long long)c->cr0, (unsigned long long)c->efer);
	return 0;
}

void svm_vmexit(struct cpu *c, uint64_t code, uint64_t info1, uint64_t info2, uint64_t next)
{
	uint64_t pa = c->svm.vmcb;

	if (log_on(LOG_INT))
		cpu_heavy(c, log_exit, (uintptr_t)c, code, info1, info2);
	store_bytes(c, pa, of_data(code, info1) && cpu_has(c, CPUID_DECODEASSISTS));
	vst(c, pa, VMCB_EXIT_CODE, 8, code);
	vst(c, pa, VMCB_EXIT_INFO1, 8, info1);
	vst(c, pa, VMCB_EXIT_INFO2, 8, info2);
	vst(c, pa, VMCB_NEXT_RIP, 8, cpu_has(c, CPUID_NRIP) ? next : 0);
	store_guest(c, pa);
	stop_guest(c);
	load_host(c);
	c->gif = false;
	c->halted = c->shadow = c->shadow_db = false;
	c->exc_vector = c->exc_delivering = -1;
	c->dr6_pending = c->eflags & FL_TF ? STEP_NOW : 0;	/* the trap of VMRUN */
	mmu_switch_space(c, 0);
	mmu_update_watch(c);
	cpu_update_mode(c);
	if (pae_pointers(c) && !mmu_load_pdptes(c))
		shut_down(c);
}

void svm_exit(struct cpu *c, uint64_t code, uint64_t info1, uint64_t info2, uint64_t next)
{
	c->svm.exit_code = code;
	c->svm.exit_info1 = info1;
	c->svm.exit_info2 = info2;
	c->svm.exit_rip = next;
	c->exc_vector = EXC_VMEXIT;
	c->unwind(c);
}

void svm_pending(struct cpu *c, int vector)
{
	const struct svm *s = &c->svm;

	if (vector == EXC_INJECT)
		svm_inject(c);
	else
		svm_vmexit(c, s->exit_code, s->exit_info1, s->exit_info2, s->exit_rip);
}

/* ---- other ways out of a guest, and back ---- */

static void derive(struct seg *s)
{
	seg_make(s, s->sel, s->base, s->limit, s->attr);
}

void svm_loaded(struct cpu *c)
{
	struct svm_host *h = &c->svm.host;

	c->tsc_offset = c->tsc_own_offset + (c->svm.guest ? c->svm.tsc_offset : 0);
	derive(&h->es);
	derive(&h->cs);
	derive(&h->ss);
	derive(&h->ds);
}

void svm_reset(struct cpu *c)
{
	if (c->svm.guest) {
		stop_guest(c);
		mmu_switch_space(c, 0);
	}
	c->svm.smm_guest = false;
	c->gif = true;
}

/* The processor's own save area holds none of this; it cannot be changed from SMM. */
void svm_smm(struct cpu *c, bool in)
{
	struct svm *s = &c->svm;

	if (in) {
		s->smm_guest = s->guest;
		s->smm_gif = c->gif;
		s->guest = false;
		c->gif = false;
	} else {
		s->guest = s->smm_guest;
		c->gif = s->smm_gif;
		s->smm_guest = false;
	}
	c->mmu->nested = s->guest && s->np;
	mmu_switch_space(c, s->guest ? s->asid : 0);
	if (s->guest)
		svm_update_vintr(c);
}
