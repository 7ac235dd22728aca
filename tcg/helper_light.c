/*
 * Helpers for system instructions: the thin layer between translated code and
 * the functions of cpu/system.h, cpu/seg.h and cpu/except.h, which do the work.
 *
 * Light: runs while the guest's vector state stands in the host's registers.
 * Source: SDM vol. 2 for each instruction.
 */
#include "cpu/except.h"
#include "cpu/mmu.h"
#include "cpu/pv.h"
#include "cpu/seen.h"
#include "cpu/seg.h"
#include "cpu/system.h"
#include "tcg/cache.h"
#include "tcg/helper.h"

#define H(name) uint64_t h_##name(struct cpu *c, uint64_t a, uint64_t b, uint64_t imm)
#define UNUSED (void)c, (void)a, (void)b, (void)imm

static void put_edx_eax(struct cpu *c, uint64_t v)
{
	c->regs[RAX] = (uint32_t)v;
	c->regs[RDX] = v >> 32;
}

static uint64_t edx_eax(const struct cpu *c)
{
	return c->regs[RDX] << 32 | (uint32_t)c->regs[RAX];
}

static void set_zf(struct cpu *c, bool on)
{
	c->cc = (c->cc & ~(FL_ZF << 8)) | (on ? FL_ZF << 8 : 0);
}

H(linear)
{
	UNUSED;
	return seg_check(c, imm & 0xff, a, imm >> 8 & 0xffff, imm >> 24 & 3);
}

/* Both operands are checked, and read, before anything is written; the source goes first, as on AMD's. */
H(movdir64b)
{
	uint64_t data[8], to;

	mmu_ld_buf(c, seg_check(c, imm & 0xff, a, 64, MMU_READ), data, 64, cpu_mmu_idx(c));
	to = seg_check(c, ES, b, 64, MMU_WRITE);
	if (to & 63)
		cpu_raise_err(c, EXC_GP, 0);
	mmu_st_buf(c, to, data, 64, cpu_mmu_idx(c));
	return 0;
}

/* ---- descriptor tables, selectors ---- */

/* Linear address of a descriptor-table operand; the operand size is in imm's second byte. */
static uint64_t dt_operand(struct cpu *c, uint64_t off, uint64_t imm, int how)
{
	return seg_check(c, imm & 0xff, off, (imm >> 8 & 0xff) == 8 ? 10 : 6, how);
}

static uint64_t load_dt(struct cpu *c, struct dtr *d, uint64_t off, uint64_t imm)
{
	cpu_load_dt(c, d, dt_operand(c, off, imm, MMU_READ), imm >> 8 & 0xff);
	return 0;
}

static uint64_t store_dt(struct cpu *c, const struct dtr *d, uint64_t off, uint64_t imm)
{
	cpu_store_dt(c, d, dt_operand(c, off, imm, MMU_WRITE), imm >> 8 & 0xff);
	return 0;
}

H(lgdt) { UNUSED; return load_dt(c, &c->gdtr, a, imm); }
H(lidt) { UNUSED; return load_dt(c, &c->idtr, a, imm); }
H(sgdt) { UNUSED; return store_dt(c, &c->gdtr, a, imm); }
H(sidt) { UNUSED; return store_dt(c, &c->idtr, a, imm); }
H(lldt) { UNUSED; seg_lldt(c, (uint16_t)a); return 0; }
H(ltr) { UNUSED; seg_ltr(c, (uint16_t)a); return 0; }
H(sldt) { UNUSED; return cpu_str_sldt_smsw(c, 0); }
H(str) { UNUSED; return cpu_str_sldt_smsw(c, 1); }

/* A register destination gets all of CR0, as real processors do. */
H(smsw)
{
	UNUSED;
	cpu_str_sldt_smsw(c, 4);
	return c->cr0;
}

/* v as the result of an instruction of that operand size into a register that holds old. */
static uint64_t merge(uint64_t old, uint64_t v, int opsize)
{
	return opsize == 2 ? (old & ~0xffffull) | (uint16_t)v : v;
}

H(lar)
{
	uint32_t rights = 0;
	bool ok = seg_lar(c, (uint16_t)a, &rights);

	set_zf(c, ok);
	return ok ? merge(b, rights, (int)imm) : b;
}

H(lsl)
{
	uint32_t limit = 0;
	bool ok = seg_lsl(c, (uint16_t)a, &limit);

	set_zf(c, ok);
	return ok ? merge(b, limit, (int)imm) : b;
}

H(verify)
{
	UNUSED;
	set_zf(c, seg_verify(c, (uint16_t)a, imm));
	return 0;
}

/* ---- control, debug and model-specific registers ---- */

H(lmsw) { UNUSED; cpu_lmsw(c, (uint16_t)a); return 0; }
H(clts) { UNUSED; cpu_clts(c); return 0; }
H(read_cr) { UNUSED; return cpu_read_cr(c, (int)imm); }
H(write_cr) { UNUSED; cpu_write_cr(c, (int)imm, a); tcg_serialize(c); return 0; }
H(read_dr) { UNUSED; return cpu_read_dr(c, (int)imm); }
H(write_dr) { UNUSED; cpu_write_dr(c, (int)imm, a); return 0; }
H(rdmsr) { UNUSED; put_edx_eax(c, cpu_rdmsr(c, (uint32_t)c->regs[RCX])); return 0; }
H(wrmsr) { UNUSED; cpu_wrmsr(c, (uint32_t)c->regs[RCX], edx_eax(c)); tcg_serialize(c); return 0; }
H(rdpmc) { UNUSED; put_edx_eax(c, cpu_rdpmc(c, (uint32_t)c->regs[RCX])); return 0; }
H(xgetbv) { UNUSED; put_edx_eax(c, cpu_xgetbv(c, (uint32_t)c->regs[RCX])); return 0; }
H(xsetbv) { UNUSED; cpu_xsetbv(c, (uint32_t)c->regs[RCX], edx_eax(c)); return 0; }
H(rdpkru) { UNUSED; put_edx_eax(c, cpu_rdpkru(c)); return 0; }
H(wrpkru) { UNUSED; cpu_wrpkru(c); return 0; }
H(rdtsc) { UNUSED; put_edx_eax(c, cpu_rdtsc(c)); return 0; }

static void need_fsgsbase(struct cpu *c)
{
	if (!(c->cr4 & CR4_FSGSBASE))
		cpu_raise(c, EXC_UD);
}

H(rdbase)
{
	UNUSED;
	need_fsgsbase(c);
	return c->segs[imm & 7].base;
}

H(wrbase)
{
	UNUSED;
	need_fsgsbase(c);
	if (!mmu_canonical_reg(c, a))
		cpu_raise_err(c, EXC_GP, 0);
	c->segs[imm & 7].base = a;
	return 0;
}

H(cpuid)
{
	uint32_t out[4];

	UNUSED;
	tcg_serialize(c);
	cpu_cpuid(c, (uint32_t)c->regs[RAX], (uint32_t)c->regs[RCX], out);
	c->regs[RAX] = out[0];
	c->regs[RBX] = out[1];
	c->regs[RCX] = out[2];
	c->regs[RDX] = out[3];
	return 0;
}

H(hypercall) { UNUSED; cpu_hypercall(c); return 0; }

/* ---- translations, sleep ---- */

/* INVLPG checks neither limits nor permissions (SDM vol. 2A). */
H(invlpg)
{
	unsigned seg = imm & 7;
	uint64_t base = cpu_is64(c) && seg != FS && seg != GS ? 0 : c->segs[seg].base;

	UNUSED;
	cpu_invlpg(c, cpu_is64(c) ? base + a : (uint32_t)(base + a));
	tcg_serialize(c);
	return 0;
}

H(invpcid)
{
	uint64_t type = cpu_is64(c) ? b : (uint32_t)b;

	cpu_invpcid(c, type, seg_check(c, imm & 0xff, a, 16, MMU_READ));
	return 0;
}

H(pause) { UNUSED; cpu_pause(c); return 0; }
H(serialize) { UNUSED; tcg_serialize(c); return 0; }
H(hlt) { UNUSED; cpu_hlt(c); return 0; }

H(monitor)
{
	UNUSED;
	cpu_monitor(c, seg_check(c, imm & 0xff, a, 1, MMU_READ));
	return 0;
}

/* An interrupt that was put aside ends a wait that breaks on masked ones (ECX bit 0). */
H(mwait)
{
	UNUSED;
	if (!(c->regs[RCX] & 1 && x64_env(c)->held))
		cpu_mwait(c);
	return 0;
}

/* ---- fast system calls ---- */

H(syscall) { UNUSED; cpu_syscall(c, imm); return 0; }
H(sysret) { UNUSED; cpu_sysret(c, (int)imm); return 0; }
H(sysenter) { UNUSED; cpu_sysenter(c); return 0; }
H(sysexit) { UNUSED; cpu_sysexit(c, (int)imm); return 0; }
H(rsm) { UNUSED; smm_rsm(c); tcg_serialize(c); return 0; }

/* ---- ports ---- */

H(in) { UNUSED; return cpu_in(c, (uint16_t)a, (int)imm); }
H(out) { UNUSED; cpu_out(c, (uint16_t)a, (int)imm, (uint32_t)b); return 0; }
