/*
 * FXSAVE, XSAVE, FSTENV and their opposites, between guest memory and the
 * image in c->xsave (standard XSAVE layout). The vector and x87 state must have
 * been put there; the caller takes it back afterwards. They may raise, then
 * nothing has changed but, for stores, memory.
 *
 * x87 and SSE state always count as in use; AVX state does when the upper
 * halves are not all zero. The code and data segment selectors of the last x87
 * instruction are saved as zero, as processors with that CPUID bit do.
 *
 * Not modelled: supervisor state components (IA32_XSS has no bits), the
 * modified-since optimisation of XSAVEOPT and XSAVES, XFD.
 * Source: SDM vol. 1 chapters 8.1, 10.5, 13; vol. 2 for each instruction.
 */
#include <string.h>

#include "cpu/cpuid.h"
#include "cpu/mmu.h"
#include "cpu/system.h"
#include "cpu/xstate.h"

/* Offsets in the image. */
enum {
	X_FCW = 0, X_FSW = 2, X_FTW = 4, X_FOP = 6, X_FIP = 8, X_FDP = 16, X_MXCSR = 24, X_MASK = 28,
	X_ST = 32, X_XMM = 160, X_XMM_END = 416, X_BV = 512,
};
#define MXCSR_MASK	0xffffu
#define MXCSR_RESET	0x1f80u
#define EFER_FFXSR	BIT(14)

static void gp_if(struct cpu *c, bool bad)
{
	if (bad)
		cpu_raise_err(c, EXC_GP, 0);
}

/* Eight xmm registers outside 64-bit code, sixteen in it. */
static int xmm_bytes(const struct cpu *c)
{
	return cpu_is64(c) ? 256 : 128;
}

/* ---- the x87 part's two formats of the instruction and data pointers ---- */

static void put_pointers(const struct cpu *c, uint8_t *b, bool rexw)
{
	memcpy(b, c->xsave, X_MXCSR);
	b[X_FTW + 1] = 0;
	if (!rexw) {
		st32(b + X_FIP + 4, 0);
		st32(b + X_FDP + 4, 0);
	}
}

/* ES and B follow from the flags and masks. */
static uint16_t with_summary(uint16_t fsw, uint16_t fcw)
{
	fsw &= 0x7f7f;
	return fsw & ~fcw & 0x3f ? fsw | 0x8080 : fsw;
}

static void take_x87(struct cpu *c, const uint8_t *b, bool rexw)
{
	memcpy(c->xsave, b, X_MXCSR);
	c->xsave[X_FTW + 1] = 0;
	uint16_t fcw = (ld16(b + X_FCW) & 0x1f7f) | 0x40;
	st16(c->xsave + X_FCW, fcw);
	st16(c->xsave + X_FSW, with_summary(ld16(b + X_FSW), fcw));
	if (!rexw) {
		st32(c->xsave + X_FIP + 4, 0);
		st32(c->xsave + X_FDP + 4, 0);
	}
	memcpy(c->xsave + X_ST, b + X_ST, 128);
}

static void init_x87(struct cpu *c)
{
	memset(c->xsave, 0, X_MXCSR);
	st16(c->xsave + X_FCW, 0x37f);
	memset(c->xsave + X_ST, 0, 128);
}

/* ---- FXSAVE ---- */

static bool skips_xmm(const struct cpu *c)
{
	return c->efer & EFER_FFXSR && cpu_is64(c) && !cpu_cpl(c);
}

void cpu_fxsave(struct cpu *c, uint64_t va, bool rexw)
{
	uint8_t b[X_XMM_END];
	int n = skips_xmm(c) ? X_XMM : X_XMM + xmm_bytes(c);

	gp_if(c, va & 15);
	memcpy(b, c->xsave, sizeof(b));
	put_pointers(c, b, rexw);
	st32(b + X_MASK, MXCSR_MASK);
	mmu_st_buf(c, va, b, n, cpu_mmu_idx(c));
}

void cpu_fxrstor(struct cpu *c, uint64_t va, bool rexw)
{
	uint8_t b[X_XMM_END];
	int n = skips_xmm(c) ? X_XMM : X_XMM + xmm_bytes(c);

	gp_if(c, va & 15);
	mmu_check(c, va, 512, MMU_READ, cpu_mmu_idx(c));
	mmu_ld_buf(c, va, b, n, cpu_mmu_idx(c));
	gp_if(c, c->cr4 & CR4_OSFXSR && ld32(b + X_MXCSR) & ~MXCSR_MASK);
	take_x87(c, b, rexw);
	if (!(c->cr4 & CR4_OSFXSR))
		return;
	memcpy(c->xsave + X_MXCSR, b + X_MXCSR, 4);
	memcpy(c->xsave + X_XMM, b + X_XMM, n - X_XMM);
}

/* ---- XSAVE ---- */

bool xsave_loadable(const uint8_t area[XSAVE_SIZE])
{
	uint64_t rest = ld32(area + X_MXCSR) & ~MXCSR_MASK;

	for (unsigned at = XSAVE_HEADER_END - 56; at < XSAVE_HEADER_END; at += 8)
		rest |= ld64(area + at);
	return !rest && !(ld64(area + XSAVE_HEADER_END - 64) & ~(XF_X87 | XF_SSE | XF_AVX));
}

static void check_xsave(struct cpu *c, uint64_t va)
{
	if (!(c->cr4 & CR4_OSXSAVE))
		cpu_raise(c, EXC_UD);
	if (c->cr0 & CR0_TS)
		cpu_raise(c, EXC_NM);
	gp_if(c, va & 63);
}

/* What one instruction writes: all of it is checked before any of it is written. */
struct pieces {
	unsigned n;
	struct {
		const void *from;
		uint32_t at, bytes;
	} p[8];
};

static void add(struct pieces *s, uint32_t at, const void *from, int bytes)
{
	s->p[s->n].at = at;
	s->p[s->n].from = from;
	s->p[s->n++].bytes = (uint32_t)bytes;
}

static void store(struct cpu *c, uint64_t va, const struct pieces *s)
{
	enum mmu_idx idx = cpu_mmu_idx(c);

	for (unsigned i = 0; i < s->n; i++)
		mmu_check(c, va + s->p[i].at, (int)s->p[i].bytes, MMU_WRITE, idx);
	for (unsigned i = 0; i < s->n; i++)
		mmu_st_buf(c, va + s->p[i].at, s->p[i].from, (int)s->p[i].bytes, idx);
}

void cpu_xsave(struct cpu *c, uint64_t va, uint64_t mask, bool rexw, int kind)
{
	bool compact = kind >= 2;
	uint64_t want = mask & (c->xcr0 | (kind == 3 ? c->xss : 0)), used = xsave_in_use(c);
	uint64_t save = kind ? want & used : want;	/* all but XSAVE leave out what is not in use */
	uint64_t comp = compact ? want | XCOMP_COMPACT : 0, pkru = c->pkru;
	struct pieces s = { 0 };
	uint8_t x87[X_MXCSR], mxcsr[8], header[16];

	check_xsave(c, va);
	gp_if(c, kind == 3 && cpu_cpl(c));
	if (save & XF_X87) {
		put_pointers(c, x87, rexw);
		add(&s, 0, x87, X_MXCSR);
		add(&s, X_ST, c->xsave + X_ST, 128);
	}
	if (want & XF_SSE || (want & XF_AVX && !compact)) {
		st32(mxcsr, ld32(c->xsave + X_MXCSR));
		st32(mxcsr + 4, MXCSR_MASK);
		add(&s, X_MXCSR, mxcsr, 8);
	}
	if (save & XF_SSE)
		add(&s, X_XMM, c->xsave + X_XMM, xmm_bytes(c));
	if (save & XF_AVX)
		add(&s, xsave_offset(c, 2, comp), c->xsave + XSAVE_YMM, xmm_bytes(c));
	if (save & XF_PKRU)
		add(&s, xsave_offset(c, 9, comp), &pkru, 8);
	uint64_t old = compact ? 0 : mmu_ld(c, va + X_BV, 8, cpu_mmu_idx(c));
	st64(header, (old & ~want) | (want & used));
	st64(header + 8, comp);
	add(&s, X_BV, header, compact ? 16 : 8);
	store(c, va, &s);
}

/* What XRSTOR and XRSTORS demand of the header h; its XCOMP_BV. */
static uint64_t check_header(struct cpu *c, const uint8_t *h, bool supervisor)
{
	uint64_t bv = ld64(h), comp = ld64(h + 8);
	uint64_t may = c->xcr0 | (supervisor ? c->xss : 0);

	gp_if(c, bv & ~may);
	if (!(comp & XCOMP_COMPACT)) {
		gp_if(c, supervisor || comp || ld64(h + 16));
		return 0;
	}
	gp_if(c, !cpu_has(c, CPUID_XSAVEC) || comp & ~XCOMP_COMPACT & ~may || bv & ~comp);
	for (int i = 16; i < 64; i += 8)
		gp_if(c, ld64(h + i) != 0);
	return comp;
}

static void take(uint8_t *to, const uint8_t *from, int n, bool have)
{
	if (have)
		memcpy(to, from, (size_t)n);
	else
		memset(to, 0, (size_t)n);
}

/* The memory operand of XRSTOR, read before anything changes. */
struct image {
	uint8_t legacy[XSAVE_HEADER_END], ymm[256];
	uint64_t comp, have, pkru;
};

static void load_image(struct cpu *c, uint64_t va, uint64_t mask, bool supervisor, struct image *m)
{
	enum mmu_idx idx = cpu_mmu_idx(c);

	mmu_ld_buf(c, va, m->legacy, sizeof(m->legacy), idx);
	m->comp = check_header(c, m->legacy + X_BV, supervisor);
	m->have = ld64(m->legacy + X_BV) & mask;
	if (m->have & XF_AVX)
		mmu_ld_buf(c, va + xsave_offset(c, 2, m->comp), m->ymm, xmm_bytes(c), idx);
	if (m->have & XF_PKRU)
		m->pkru = mmu_ld(c, va + xsave_offset(c, 9, m->comp), 4, idx);
}

void cpu_xrstor(struct cpu *c, uint64_t va, uint64_t mask, bool rexw, bool supervisor)
{
	uint64_t want = mask & (c->xcr0 | (supervisor ? c->xss : 0));
	struct image m = { .pkru = 0 };

	check_xsave(c, va);
	gp_if(c, supervisor && cpu_cpl(c));
	load_image(c, va, want, supervisor, &m);
	/* MXCSR comes along with SSE or AVX in the standard format, with SSE in the compacted one. */
	bool mxcsr = m.comp ? m.have & XF_SSE : want & (XF_SSE | XF_AVX);
	gp_if(c, mxcsr && ld32(m.legacy + X_MXCSR) & ~MXCSR_MASK);

	if (m.have & XF_X87)
		take_x87(c, m.legacy, rexw);
	else if (want & XF_X87)
		init_x87(c);
	if (mxcsr)
		memcpy(c->xsave + X_MXCSR, m.legacy + X_MXCSR, 4);
	else if (want & XF_SSE)
		st32(c->xsave + X_MXCSR, MXCSR_RESET);
	if (want & XF_SSE)
		take(c->xsave + X_XMM, m.legacy + X_XMM, xmm_bytes(c), m.have & XF_SSE);
	if (want & XF_AVX)
		take(c->xsave + XSAVE_YMM, m.ymm, xmm_bytes(c), m.have & XF_AVX);
	if (want & XF_PKRU) {
		c->pkru = (uint32_t)m.pkru;
		mmu_keys_changed(c);
	}
}

/* ---- FSTENV ---- */

static unsigned top_of(uint16_t fsw)
{
	return fsw >> 11 & 7;
}

/* The two-bit tag of a register that is not empty: 0 valid, 1 zero, 2 special. */
static unsigned tag_of(const uint8_t *st)
{
	unsigned exponent = ld16(st + 8) & 0x7fff;
	uint64_t mantissa = ld64(st);

	if (exponent == 0)
		return mantissa ? 2 : 1;
	return exponent == 0x7fff || !(mantissa >> 63) ? 2 : 0;
}

uint16_t x87_tags(const struct cpu *c)
{
	unsigned top = top_of(ld16(c->xsave + X_FSW));
	uint16_t tags = 0;

	for (unsigned r = 0; r < 8; r++) {
		const uint8_t *st = c->xsave + X_ST + 16 * ((r - top) & 7);
		unsigned t = c->xsave[X_FTW] >> r & 1 ? tag_of(st) : 3;
		tags |= (uint16_t)(t << 2 * r);
	}
	return tags;
}

static uint8_t short_tags(uint16_t tags)
{
	uint8_t v = 0;

	for (unsigned r = 0; r < 8; r++)
		if ((tags >> 2 * r & 3) != 3)
			v |= (uint8_t)(1u << r);
	return v;
}

/* Real and virtual-8086 mode store linear pointers, protected mode offset and selector. */
static bool linear_format(const struct cpu *c)
{
	return !(c->mode & MODE_PE) || c->mode & MODE_VM;
}

static int env_size(int opsize)
{
	return opsize == 2 ? 14 : 28;
}

static void make_env16(const struct cpu *c, uint8_t *b)
{
	uint32_t ip = ld32(c->xsave + X_FIP), dp = ld32(c->xsave + X_FDP);
	uint16_t op = ld16(c->xsave + X_FOP) & 0x7ff;

	st16(b, ld16(c->xsave + X_FCW));
	st16(b + 2, ld16(c->xsave + X_FSW));
	st16(b + 4, x87_tags(c));
	st16(b + 6, (uint16_t)ip);
	st16(b + 8, linear_format(c) ? (uint16_t)((ip >> 4 & 0xf000) | op) : 0);
	st16(b + 10, (uint16_t)dp);
	st16(b + 12, linear_format(c) ? (uint16_t)(dp >> 4 & 0xf000) : 0);
}

static void make_env32(const struct cpu *c, uint8_t *b)
{
	uint32_t ip = ld32(c->xsave + X_FIP), dp = ld32(c->xsave + X_FDP);
	uint32_t op = ld16(c->xsave + X_FOP) & 0x7ff;

	st32(b, 0xffff0000u | ld16(c->xsave + X_FCW));
	st32(b + 4, 0xffff0000u | ld16(c->xsave + X_FSW));
	st32(b + 8, 0xffff0000u | x87_tags(c));
	if (linear_format(c)) {
		st32(b + 12, 0xffff0000u | (ip & 0xffff));
		st32(b + 16, (ip >> 4 & 0x0ffff000) | op);
		st32(b + 20, 0xffff0000u | (dp & 0xffff));
		st32(b + 24, dp >> 4 & 0x0ffff000);
	} else {
		st32(b + 12, ip);
		st32(b + 16, op << 16);
		st32(b + 20, dp);
		st32(b + 24, 0xffff0000u);
	}
}

static void take_env_pointers(struct cpu *c, const uint8_t *b, int opsize)
{
	uint32_t ip, dp, op;

	if (opsize == 2) {
		op = ld16(b + 8);
		ip = ld16(b + 6) | (linear_format(c) ? (op & 0xf000) << 4 : 0);
		dp = ld16(b + 10) | (linear_format(c) ? (ld16(b + 12) & 0xf000u) << 4 : 0);
		op = linear_format(c) ? op : 0;
	} else if (linear_format(c)) {
		op = ld32(b + 16);
		ip = ld16(b + 12) | (op & 0x0ffff000) << 4;
		dp = ld16(b + 20) | (ld32(b + 24) & 0x0ffff000) << 4;
	} else {
		op = ld16(b + 18);
		ip = ld32(b + 12);
		dp = ld32(b + 20);
	}
	st16(c->xsave + X_FOP, op & 0x7ff);
	st64(c->xsave + X_FIP, ip);
	st64(c->xsave + X_FDP, dp);
}

/* The image holds the stack from its top: a new top turns it, the registers stay. */
static void turn_stack(struct cpu *c, unsigned old_top, unsigned new_top)
{
	uint8_t old[128];

	memcpy(old, c->xsave + X_ST, sizeof(old));
	for (unsigned i = 0; i < 8; i++)
		memcpy(c->xsave + X_ST + 16 * i, old + 16 * ((i + new_top - old_top) & 7), 16);
}

void cpu_fstenv(struct cpu *c, uint64_t va, int opsize, bool all_regs)
{
	uint8_t b[28 + 80];
	int n = env_size(opsize);

	if (opsize == 2)
		make_env16(c, b);
	else
		make_env32(c, b);
	if (all_regs) {
		for (int i = 0; i < 8; i++)
			memcpy(b + n + 10 * i, c->xsave + X_ST + 16 * i, 10);
		n += 80;
	}
	mmu_st_buf(c, va, b, n, cpu_mmu_idx(c));
	if (all_regs) {
		uint8_t regs[128];
		memcpy(regs, c->xsave + X_ST, sizeof(regs));
		unsigned top = top_of(ld16(c->xsave + X_FSW));
		init_x87(c);
		memcpy(c->xsave + X_ST, regs, sizeof(regs));
		turn_stack(c, top, 0);
		return;
	}
	uint16_t fcw = ld16(c->xsave + X_FCW) | 0x3f;
	st16(c->xsave + X_FCW, fcw);
	st16(c->xsave + X_FSW, with_summary(ld16(c->xsave + X_FSW), fcw));
}

void cpu_fldenv(struct cpu *c, uint64_t va, int opsize, bool all_regs)
{
	uint8_t b[28 + 80];
	int n = env_size(opsize), step = opsize == 2 ? 2 : 4;

	mmu_ld_buf(c, va, b, all_regs ? n + 80 : n, cpu_mmu_idx(c));
	uint16_t fcw = ld16(b) & 0x1f7f, old = ld16(c->xsave + X_FSW);
	uint16_t fsw = with_summary(ld16(b + step), fcw);
	st16(c->xsave + X_FCW, fcw | 0x40);
	st16(c->xsave + X_FSW, fsw);
	c->xsave[X_FTW] = short_tags(ld16(b + 2 * step));
	take_env_pointers(c, b, opsize);
	if (!all_regs) {
		turn_stack(c, top_of(old), top_of(fsw));
		return;
	}
	for (int i = 0; i < 8; i++) {
		memcpy(c->xsave + X_ST + 16 * i, b + n + 10 * i, 10);
		memset(c->xsave + X_ST + 16 * i + 10, 0, 6);
	}
}
