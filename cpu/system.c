/*
 * Control and debug registers and the remaining system instructions (contract
 * in cpu/system.h). MSRs are in msr.c, CPUID in cpuid_light.c, x87 and vector
 * state images in xstate.c.
 *
 * Not modelled: VMXE and
 * what follows from it.
 * Source: SDM vol. 2 for each instruction, vol. 3A 2.5 (control registers), vol. 3B 18 (debug).
 */
#include "cpu/cpuid.h"
#include "cpu/except.h"
#include "cpu/mmu.h"
#include "cpu/pmu.h"
#include "cpu/seg.h"
#include "cpu/svm.h"
#include "cpu/system.h"
#include "cpu/tlb.h"
#include "cpu/tsc.h"
#include "cpu/xstate.h"

#define DR6_BD	0x2000u
#define DR7_GD	0x2000u

static void need_cpl0(struct cpu *c)
{
	if (cpu_cpl(c))
		cpu_raise_err(c, EXC_GP, 0);
}

static void gp_if(struct cpu *c, bool bad)
{
	if (bad)
		cpu_raise_err(c, EXC_GP, 0);
}

/* ---- control registers ---- */

static uint64_t heavy_get_cr8(uint64_t cpu, uint64_t b, uint64_t x, uint64_t y)
{
	struct cpu *c = (struct cpu *)cpu;
	(void)b, (void)x, (void)y;
	return c->board.get_cr8(c->board.opaque, c);
}

static uint64_t heavy_set_cr8(uint64_t cpu, uint64_t v, uint64_t x, uint64_t y)
{
	struct cpu *c = (struct cpu *)cpu;
	(void)x, (void)y;
	c->board.set_cr8(c->board.opaque, c, v);
	return 0;
}

/* A guest whose VMM masks interrupts by the virtual task priority. */
static bool v_tpr(const struct cpu *c)
{
	return c->svm.guest && c->svm.int_ctl & V_MASKING;
}

uint64_t cpu_read_cr(struct cpu *c, int n)
{
	need_cpl0(c);
	switch (n) {
	case 0: return c->cr0;
	case 2: return c->cr2;
	case 3: return c->cr3;
	case 4: return c->cr4;
	case 8:
		if (v_tpr(c))
			return c->svm.int_ctl & 15;
		return c->board.get_cr8 ? cpu_call_out(c, heavy_get_cr8, (uint64_t)c, 0, 0, 0) : 0;
	default: cpu_raise(c, EXC_UD);
	}
}

static bool pae_paging(const struct cpu *c)
{
	return c->cr0 & CR0_PG && c->cr4 & CR4_PAE && !(c->efer & EFER_LMA);
}

static void update_segments(struct cpu *c)
{
	for (int i = 0; i < NSEG; i++)
		seg_update(c, i);
}

/* Turning paging on: enters long mode if EFER.LME asks for it (SDM vol. 3A, 9.8.5). */
static void check_paging_on(struct cpu *c)
{
	if (!(c->efer & EFER_LME))
		return;
	gp_if(c, !(c->cr4 & CR4_PAE) || c->segs[CS].attr & SEG_L);
	gp_if(c, SEG_TYPE(c->segs[TR].attr) == 3 || SEG_TYPE(c->segs[TR].attr) == 1);
}

static void write_cr0(struct cpu *c, uint64_t v)
{
	uint64_t old = c->cr0, efer = c->efer;

	gp_if(c, v >> 32 || (v & CR0_PG && !(v & CR0_PE)) || (v & CR0_NW && !(v & CR0_CD)));
	v = (v & (CR0_PE | CR0_MP | CR0_EM | CR0_TS | CR0_NE | CR0_WP | CR0_AM | CR0_NW | CR0_CD | CR0_PG)) | CR0_ET;
	if (v & ~old & CR0_PG)
		check_paging_on(c);
	if (old & ~v & CR0_PG)
		gp_if(c, cpu_is64(c) || c->cr4 & CR4_PCIDE);
	if ((v ^ old) & CR0_PG) {
		c->efer &= ~EFER_LMA;
		if (v & CR0_PG && c->efer & EFER_LME)
			c->efer |= EFER_LMA;
	}
	c->cr0 = v;
	if ((v ^ old) & (CR0_PG | CR0_CD | CR0_NW) && pae_paging(c) && !mmu_load_pdptes(c)) {
		c->cr0 = old;
		c->efer = efer;
		cpu_raise_err(c, EXC_GP, 0);
	}
	if ((v ^ old) & (CR0_PE | CR0_PG))
		update_segments(c);
	if ((v ^ old) & (CR0_PE | CR0_PG))
		mmu_flush(c, false);
	else if (v & ~old & CR0_WP)
		mmu_wp_set(c);
	cpu_update_mode(c);
}

static void write_cr3(struct cpu *c, uint64_t v)
{
	uint64_t old = c->cr3;
	uint64_t keep = c->cr4 & CR4_PCIDE ? v & BIT(63) : 0;

	if (c->efer & EFER_LMA)
		gp_if(c, (v & ~keep) >> c->phys_bits);
	c->cr3 = v & ~keep;
	if (pae_paging(c) && !mmu_load_pdptes(c)) {
		c->cr3 = old;
		cpu_raise_err(c, EXC_GP, 0);
	}
	mmu_set_cr3(c, c->cr3 | keep);
}

uint64_t cpu_cr4_allowed(const struct cpu *c)
{
	static const struct {
		enum cpuid_feature f;
		uint64_t bits;
	} gates[] = {
		{ CPUID_VME, CR4_VME | CR4_PVI }, { CPUID_TSC, CR4_TSD }, { CPUID_DE, CR4_DE },
		{ CPUID_PSE, CR4_PSE }, { CPUID_PAE, CR4_PAE }, { CPUID_MCE, CR4_MCE },
		{ CPUID_PGE, CR4_PGE }, { CPUID_MMX, CR4_PCE }, { CPUID_FXSR, CR4_OSFXSR },
		{ CPUID_SSE, CR4_OSXMMEXCPT }, { CPUID_UMIP, CR4_UMIP }, { CPUID_FSGSBASE, CR4_FSGSBASE },
		{ CPUID_PCID, CR4_PCIDE }, { CPUID_XSAVE, CR4_OSXSAVE }, { CPUID_SMEP, CR4_SMEP },
		{ CPUID_SMAP, CR4_SMAP }, { CPUID_PKU, CR4_PKE },
		{ CPUID_PKS, CR4_PKS }, { CPUID_LA57, CR4_LA57 },
	};
	uint64_t v = 0;

	for (unsigned i = 0; i < ARRAY_LEN(gates); i++)
		if (cpu_has(c, gates[i].f))
			v |= gates[i].bits;
	return v;
}

static void write_cr4(struct cpu *c, uint64_t v)
{
	uint64_t old = c->cr4;

	gp_if(c, v & ~cpu_cr4_allowed(c));
	gp_if(c, c->efer & EFER_LMA && (!(v & CR4_PAE) || (v ^ old) & CR4_LA57));
	if (v & ~old & CR4_PCIDE)
		gp_if(c, !(c->efer & EFER_LMA) || c->cr3 & 0xfff);
	c->cr4 = v;
	if ((v ^ old) & (CR4_PAE | CR4_PGE | CR4_PSE | CR4_SMEP) && pae_paging(c) && !mmu_load_pdptes(c)) {
		c->cr4 = old;
		cpu_raise_err(c, EXC_GP, 0);
	}
	if ((v ^ old) & (CR4_PAE | CR4_PGE | CR4_PSE | CR4_SMEP | CR4_SMAP | CR4_PCIDE | CR4_PKE | CR4_PKS |
			CR4_LA57))
		mmu_flush(c, false);
	cpu_update_mode(c);
}

static void write_cr8(struct cpu *c, uint64_t v)
{
	gp_if(c, v & ~15ull);
	if (c->svm.guest) {		/* the virtual priority follows, masking or not (APM vol. 2, 15.21.2) */
		c->svm.int_ctl = (c->svm.int_ctl & ~V_TPR) | v;
		svm_update_vintr(c);
	}
	if (!v_tpr(c) && c->board.set_cr8)
		cpu_call_out(c, heavy_set_cr8, (uint64_t)c, v, 0, 0);
}

void cpu_write_cr(struct cpu *c, int n, uint64_t v)
{
	need_cpl0(c);
	switch (n) {
	case 0: write_cr0(c, v); break;
	case 2: c->cr2 = v; break;
	case 3: write_cr3(c, v); break;
	case 4: write_cr4(c, v); break;
	case 8: write_cr8(c, v); break;
	default: cpu_raise(c, EXC_UD);
	}
}

/* Low four bits; PE can be set but not cleared. */
void cpu_lmsw(struct cpu *c, uint16_t v)
{
	need_cpl0(c);
	write_cr0(c, (c->cr0 & ~0xeull) | (v & 0xf));
}

void cpu_clts(struct cpu *c)
{
	need_cpl0(c);
	c->cr0 &= ~(uint64_t)CR0_TS;
	cpu_update_mode(c);
}

/* ---- debug registers ---- */

static int dr_number(struct cpu *c, int n)
{
	if (n > 7 || ((n == 4 || n == 5) && c->cr4 & CR4_DE))
		cpu_raise(c, EXC_UD);
	need_cpl0(c);
	if (c->dr[7] & DR7_GD) {
		c->dr[6] |= DR6_BD;
		c->dr[7] &= ~(uint64_t)DR7_GD;
		cpu_raise(c, EXC_DB);
	}
	return n == 4 || n == 5 ? n + 2 : n;
}

uint64_t cpu_read_dr(struct cpu *c, int n)
{
	return c->dr[dr_number(c, n)];
}

uint64_t cpu_dr_value(int n, uint64_t v)
{
	if (n == 6)
		return (v & 0xe00f) | 0xffff0ff0u;
	return n == 7 ? (v & 0xffff23ff) | 0x400 : v;
}

void cpu_write_dr(struct cpu *c, int n, uint64_t v)
{
	n = dr_number(c, n);
	gp_if(c, n >= 6 && v >> 32);
	c->dr[n] = cpu_dr_value(n, v);
	if (n != 6) {
		mmu_update_watch(c);
		cpu_update_mode(c);
	}
}

void cpu_check_breakpoint(struct cpu *c, uint64_t va)
{
	uint64_t met = 0;

	if (!(c->dr[7] & 0xff) || c->eflags & FL_RF)
		return;
	for (int i = 0; i < 4; i++)
		if (c->dr[7] >> 2 * i & 3 && !(c->dr[7] >> (16 + 4 * i) & 0xf) && c->dr[i] == va)
			met |= 1u << i;
	if (!met)
		return;
	/* With what MOV SS has kept back: one trap, or the second would find the first's handler on its stack. */
	c->dr[6] = (c->dr[6] & ~0xfull) | met | (c->dr6_pending & 15);
	c->dr6_pending = 0;
	cpu_raise(c, EXC_DB);
}

/* ---- counters, extended control registers ---- */

uint64_t cpu_rdtsc(struct cpu *c)
{
	gp_if(c, c->cr4 & CR4_TSD && cpu_cpl(c));
	return tsc_now(c);
}

uint64_t cpu_rdpmc(struct cpu *c, uint32_t n)
{
	uint64_t v;

	gp_if(c, cpu_cpl(c) && !(c->cr4 & CR4_PCE));
	gp_if(c, !pmu_read(c, n, &v));
	return v;
}

uint64_t cpu_xgetbv(struct cpu *c, uint32_t n)
{
	if (!(c->cr4 & CR4_OSXSAVE))
		cpu_raise(c, EXC_UD);
	gp_if(c, n > 1 || (n == 1 && !cpu_has(c, CPUID_XGETBV1)));
	if (n == 0)
		return c->xcr0;
	return c->xcr0 & xsave_in_use(c);
}

void cpu_xsetbv(struct cpu *c, uint32_t n, uint64_t v)
{
	if (!(c->cr4 & CR4_OSXSAVE))
		cpu_raise(c, EXC_UD);
	need_cpl0(c);
	gp_if(c, n || !(v & 1) || v & ~xsave_features(c) || (v & 6) == 4);
	c->xcr0 = v;
	cpu_update_mode(c);
}

/* ---- waiting, TLB, segments' bases ---- */

void cpu_hlt(struct cpu *c)
{
	need_cpl0(c);
	c->halted = !atomic_exchange(&c->pv_kicked, false);
}

static uint64_t heavy_monitor(uint64_t cpu, uint64_t pa, uint64_t x, uint64_t y)
{
	(void)x, (void)y;
	return monitor_sum((struct cpu *)cpu, pa);
}

void cpu_monitor(struct cpu *c, uint64_t va)
{
	uint32_t pf;

	gp_if(c, (uint32_t)c->regs[RCX]);
	mmu_check(c, va, 1, MMU_READ, cpu_mmu_idx(c));
	c->monitoring = mmu_translate(c, va, MMU_READ, cpu_mmu_idx(c), &c->monitor_pa, &pf);
	if (c->monitoring)
		c->monitor_line = cpu_heavy(c, heavy_monitor, (uint64_t)c, c->monitor_pa, 0, 0);
}

static uint64_t heavy_mwait(uint64_t cpu, uint64_t b, uint64_t x, uint64_t y)
{
	(void)b, (void)x, (void)y;
	mwait_sleep((struct cpu *)cpu);
	return 0;
}

void cpu_mwait(struct cpu *c)
{
	if (!cpu_has(c, CPUID_MONITOR))
		cpu_raise(c, EXC_UD);
	need_cpl0(c);
	gp_if(c, (uint32_t)c->regs[RCX] & ~1u);
	if (c->monitoring)
		cpu_heavy(c, heavy_mwait, (uint64_t)c, 0, 0, 0);
	c->monitoring = false;
}

static uint64_t heavy_yield(uint64_t a, uint64_t b, uint64_t x, uint64_t y)
{
	(void)a, (void)b, (void)x, (void)y;
	pause_yield();
	return 0;
}

/*
 * A spinning vCPU waits for another, which the host may have stopped to run this
 * one: after about as long a spin as makes processors leave a virtual machine
 * (some 4,000 cycles) the host may choose again.
 */
#define PAUSES_TO_YIELD	64

void cpu_yield(struct cpu *c)
{
	cpu_heavy(c, heavy_yield, 0, 0, 0, 0);
}

void cpu_pause(struct cpu *c)
{
	__builtin_ia32_pause();
	if (c->ncpus > 1 && ++c->pauses % PAUSES_TO_YIELD == 0)
		cpu_yield(c);
}

/* ---- protection keys ---- */

static void need_keys(struct cpu *c)
{
	if (!(c->cr4 & CR4_PKE))
		cpu_raise(c, EXC_UD);
	gp_if(c, (uint32_t)c->regs[RCX] != 0);
}

uint32_t cpu_rdpkru(struct cpu *c)
{
	need_keys(c);
	return c->pkru;
}

void cpu_wrpkru(struct cpu *c)
{
	need_keys(c);
	gp_if(c, (uint32_t)c->regs[RDX] != 0);
	c->pkru = (uint32_t)c->regs[RAX];
	mmu_keys_changed(c);
}

void cpu_invlpg(struct cpu *c, uint64_t va)
{
	need_cpl0(c);
	if (mmu_canonical_reg(c, va))
		mmu_flush_page(c, va);
}

void cpu_invpcid(struct cpu *c, uint64_t type, uint64_t desc_va)
{
	uint64_t d[2];

	need_cpl0(c);
	mmu_ld_buf(c, desc_va, d, 16, cpu_mmu_idx(c));
	gp_if(c, type > 3 || d[0] >> 12 || !mmu_invpcid(c, (int)type, d[0], d[1]));
}

void cpu_swapgs(struct cpu *c)
{
	uint64_t base = c->segs[GS].base;

	need_cpl0(c);
	c->segs[GS].base = c->kernel_gs_base;
	c->kernel_gs_base = base;
}

/* ---- ports ---- */

static uint64_t heavy_in(uint64_t cpu, uint64_t port, uint64_t size, uint64_t unused)
{
	struct cpu *c = (struct cpu *)cpu;
	(void)unused;
	return c->board.port_in(c->board.opaque, (uint16_t)port, (int)size);
}

static uint64_t heavy_out(uint64_t cpu, uint64_t port, uint64_t size, uint64_t v)
{
	struct cpu *c = (struct cpu *)cpu;
	c->board.port_out(c->board.opaque, (uint16_t)port, (int)size, (uint32_t)v);
	return 0;
}

/* Breakpoints on ports (CR4.DE) trap after the instruction. */
static void note_io_watch(struct cpu *c, uint16_t port, int size)
{
	if (!(c->dr[7] & 0xff) || !(c->cr4 & CR4_DE))
		return;
	for (int i = 0; i < 4; i++) {
		unsigned len = (c->dr[7] >> (18 + 4 * i) & 3) + 1;
		if (!(c->dr[7] >> 2 * i & 3) || (c->dr[7] >> (16 + 4 * i) & 3) != 2)
			continue;
		uint64_t at = c->dr[i] & ~(uint64_t)(len == 3 ? 0 : len - 1);
		if (port < at + len && at < (uint64_t)port + size)
			c->dr6_pending |= 1u << i;
	}
}

void cpu_check_port(struct cpu *c, uint16_t port, int size)
{
	gp_if(c, !(c->mode & MODE_IOPL_OK) && !tss_io_allowed(c, port, size));
}

static void check_port(struct cpu *c, uint16_t port, int size)
{
	cpu_check_port(c, port, size);
	note_io_watch(c, port, size);
}

uint32_t cpu_in(struct cpu *c, uint16_t port, int size)
{
	check_port(c, port, size);
	if (!c->board.port_in)
		return (uint32_t)size_mask(size);
	return (uint32_t)(cpu_call_out(c, heavy_in, (uint64_t)c, port, size, 0) & size_mask(size));
}

void cpu_out(struct cpu *c, uint16_t port, int size, uint32_t v)
{
	check_port(c, port, size);
	if (c->board.port_out)
		cpu_call_out(c, heavy_out, (uint64_t)c, port, size, v & size_mask(size));
}

/* A REP INS or OUTS in the middle of its elements. */
struct port_run {
	uint16_t port;
	int size;
	void *buf;
	unsigned n;
};

static uint64_t heavy_in_run(uint64_t cpu, uint64_t run, uint64_t unused, uint64_t unused2)
{
	struct cpu *c = (struct cpu *)cpu;
	const struct port_run *r = (const struct port_run *)run;
	(void)unused, (void)unused2;
	return c->board.port_in_run(c->board.opaque, c, r->port, r->size, r->buf, r->n);
}

static uint64_t heavy_out_run(uint64_t cpu, uint64_t run, uint64_t unused, uint64_t unused2)
{
	struct cpu *c = (struct cpu *)cpu;
	const struct port_run *r = (const struct port_run *)run;
	(void)unused, (void)unused2;
	return c->board.port_out_run(c->board.opaque, c, r->port, r->size, r->buf, r->n);
}

/* Does somebody want to see each element? */
static bool one_by_one(const struct cpu *c)
{
	return c->dr6_pending || c->dbg.step || c->mode & MODE_TF;
}

unsigned cpu_in_run(struct cpu *c, uint16_t port, int size, void *buf, unsigned n)
{
	struct port_run r = { port, size, buf, n };

	check_port(c, port, size);
	if (c->board.port_in_run && !one_by_one(c))
		return (unsigned)cpu_heavy(c, heavy_in_run, (uint64_t)c, (uint64_t)&r, 0, 0);
	st_n(buf, size, cpu_in(c, port, size));
	return 1;
}

unsigned cpu_out_run(struct cpu *c, uint16_t port, int size, const void *buf, unsigned n)
{
	struct port_run r = { port, size, (void *)(uintptr_t)buf, n };

	check_port(c, port, size);
	if (c->board.port_out_run && !one_by_one(c))
		return (unsigned)cpu_heavy(c, heavy_out_run, (uint64_t)c, (uint64_t)&r, 0, 0);
	cpu_out(c, port, size, (uint32_t)ld_n(buf, size));
	return 1;
}

/* ---- flags ---- */

static bool iopl3(const struct cpu *c)
{
	return (c->eflags & FL_IOPL) == FL_IOPL;
}

static bool vm86(const struct cpu *c)
{
	return c->mode & MODE_VM;
}

/* May this code change IF? In virtual-8086 mode by IOPL 3. */
static bool if_writable(const struct cpu *c)
{
	return !(c->mode & MODE_PE) || cpu_cpl(c) <= (int)((c->eflags & FL_IOPL) >> 12);
}

uint32_t cpu_pushf_image(struct cpu *c, int opsize)
{
	uint32_t v = cpu_get_eflags(c) & ~(FL_RF | FL_VM);

	if (!vm86(c) || iopl3(c))
		return v;
	gp_if(c, opsize != 2 || !(c->cr4 & CR4_VME));
	return (v & ~FL_IF) | (v & FL_VIF ? FL_IF : 0) | FL_IOPL;
}

static void popf_vme(struct cpu *c, uint32_t v, int opsize)
{
	uint32_t old = cpu_get_eflags(c);

	gp_if(c, opsize != 2 || !(c->cr4 & CR4_VME));
	gp_if(c, v & FL_TF || (v & FL_IF && old & FL_VIP));
	uint32_t keep = 0xffff0000u | FL_IOPL | FL_IF;
	v = (old & keep & ~FL_VIF) | (v & ~keep) | (v & FL_IF ? FL_VIF : 0);
	cpu_set_eflags(c, v);
}

void cpu_popf(struct cpu *c, uint32_t v, int opsize)
{
	uint32_t old = cpu_get_eflags(c), keep = FL_VM | FL_VIF | FL_VIP;

	if (vm86(c) && !iopl3(c)) {
		popf_vme(c, v, opsize);
		return;
	}
	if (opsize == 2)
		keep |= 0xffff0000u;
	if (cpu_cpl(c))
		keep |= FL_IOPL;
	if (!if_writable(c))
		keep |= FL_IF;
	v = (old & keep) | (v & ~keep);
	cpu_set_eflags(c, opsize == 2 ? v : v & ~FL_RF);
}

/* CLI and STI act on VIF instead (VME in virtual-8086 mode, PVI at CPL 3)? Raises if on neither. */
static bool virtual_if(struct cpu *c)
{
	if (if_writable(c))
		return false;
	bool by_vme = vm86(c) && c->cr4 & CR4_VME;
	bool by_pvi = !vm86(c) && cpu_cpl(c) == 3 && c->cr4 & CR4_PVI;
	gp_if(c, !by_vme && !by_pvi);
	return true;
}

void cpu_cli(struct cpu *c)
{
	c->eflags &= virtual_if(c) ? ~FL_VIF : ~FL_IF;
}

void cpu_sti(struct cpu *c)
{
	if (virtual_if(c)) {
		gp_if(c, c->eflags & FL_VIP);
		c->eflags |= FL_VIF;
		return;
	}
	if (c->eflags & FL_IF)
		return;
	c->eflags |= FL_IF;
	c->shadow = true;
}

/* ---- descriptor-table registers, machine status ---- */

static void check_umip(struct cpu *c)
{
	gp_if(c, c->cr4 & CR4_UMIP && cpu_cpl(c));
}

void cpu_store_dt(struct cpu *c, const struct dtr *d, uint64_t va, int opsize)
{
	uint8_t b[10];

	(void)opsize;
	check_umip(c);
	st16(b, d->limit);
	st64(b + 2, d->base);
	mmu_st_buf(c, va, b, cpu_is64(c) ? 10 : 6, cpu_mmu_idx(c));
}

void cpu_load_dt(struct cpu *c, struct dtr *d, uint64_t va, int opsize)
{
	uint8_t b[10];
	uint64_t base;

	need_cpl0(c);
	mmu_ld_buf(c, va, b, cpu_is64(c) ? 10 : 6, cpu_mmu_idx(c));
	base = cpu_is64(c) ? ld64(b + 2) : ld32(b + 2) & (opsize == 2 ? 0xffffffu : 0xffffffffu);
	gp_if(c, cpu_is64(c) && !mmu_canonical_reg(c, base));
	d->limit = ld16(b);
	d->base = base;
}

uint16_t cpu_str_sldt_smsw(struct cpu *c, int which)
{
	check_umip(c);
	switch (which) {
	case 0: return c->segs[LDTR].sel;
	case 1: return c->segs[TR].sel;
	default: return (uint16_t)c->cr0;
	}
}
