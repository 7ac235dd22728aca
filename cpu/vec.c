/*
 * Vector instructions in C: operands, MMX mode, floating-point exceptions. What an
 * instruction does with its operands is one function (vec_*.c), found in vec.def
 * by opcode and prefix.
 *
 * Operands are fetched as bytes, so one function serves SSE and VEX forms, memory
 * and registers, and mostly all vector lengths.
 *
 * Not modelled: what vec.def says.
 * Source: SDM vol. 1 chapters 9 (MMX), 10-14, 13.4 (layout of cpu->xsave).
 */
#include "cpu/vec_priv.h"

#include "cpu/vec_env.h"

enum { AT_FSW = 2, AT_FTW = 4, AT_MXCSR = 24, AT_ST = 32, AT_XSTATE_BV = 512, AT_YMM = 576 };
enum env { ENV_INT, ENV_SOFT, ENV_HOST };

struct vop {
	vec_fn *fn;
	enum env env;
};

/* ---- which function ---- */

#define MAP(op) ((op) >= 0x0f3a00 ? 2 : (op) >= 0x0f3800 ? 1 : 0)
enum { MP_N, MP_66, MP_F3, MP_F2 };	/* mandatory prefix */

static const struct vop vops[3][256][4] = {
#define V(op, pfx, name, env) [MAP(op)][(op) & 0xff][MP_##pfx] = { v_##name, ENV_##env },
#include "cpu/vec.def"
#undef V
};

static int prefix(const struct insn_row *row)
{
	switch (row->pfx) {
	case IP_66: return MP_66;
	case IP_F3: return MP_F3;
	case IP_F2: return MP_F2;
	default: return MP_N;
	}
}

static const struct vop *find(const struct insn *in)
{
	const struct insn_row *row = insn_row(in);
	const struct vop *v = vops[MAP(row->opcode)][row->opcode & 0xff];
	int p = prefix(row);

	return p == MP_N && !v[p].fn ? &v[MP_66] : &v[p];
}

/* ---- registers ---- */

static uint8_t *ymm_high(struct cpu *c, int n) { return c->xsave + AT_YMM + 16 * n; }
static uint8_t *mm(struct cpu *c, int n) { return c->xsave + AT_ST + 16 * n; }

/*
 * MMX mode: the top of the x87 stack becomes register 0, all registers valid. The
 * image has the registers in stack order, so they change places.
 */
void vec_enter_mmx(struct cpu *c)
{
	uint16_t fsw = ld16(c->xsave + AT_FSW);
	int top = fsw >> 11 & 7;
	uint8_t old[128];

	if (fsw & 0x80) {
		if (c->cr0 & CR0_NE)
			cpu_raise(c, EXC_MF);
		if (c->board.ferr)
			c->board.ferr(c->board.opaque, c);
	}
	memcpy(old, c->xsave + AT_ST, sizeof(old));
	for (int i = 0; top && i < 8; i++)
		memcpy(mm(c, (top + i) & 7), old + 16 * i, 16);
	st16(c->xsave + AT_FSW, fsw & ~0x3800);
	c->xsave[AT_FTW] = 0xff;
}

/* Operand k, the rest of v zero. */
static void fetch(struct vx *x, int k, uint8_t *mem, union vec *v)
{
	const struct opd *o = &x->in->opd[k];
	uint64_t *gpr = &x->c->regs[o->reg & 15];

	memset(v, 0, sizeof(*v));
	switch (o->kind) {
	case OPD_MM:
		memcpy(v, mm(x->c, o->reg), 8);
		break;
	case OPD_YMM:
		memcpy(v->b + 16, ymm_high(x->c, o->reg), 16);
		/* fall through */
	case OPD_XMM:
		memcpy(v, xmm(x->c, o->reg), 16);
		break;
	case OPD_MEM:
		memcpy(v, mem, o->size);
		break;
	case OPD_REG:
		v->q[0] = *gpr & size_mask(o->size);
		break;
	}
}

static void store(struct vx *x, uint8_t *mem)
{
	const struct opd *o = &x->in->opd[0];

	switch (o->kind) {
	case OPD_MM:
		memcpy(mm(x->c, o->reg), &x->r, 8);
		st16(mm(x->c, o->reg) + 8, 0xffff);
		break;
	case OPD_XMM: case OPD_YMM:
		memcpy(xmm(x->c, o->reg), &x->r, 16);
		if (o->kind == OPD_YMM)
			memcpy(ymm_high(x->c, o->reg), x->r.b + 16, 16);
		else if (x->vex)
			memset(ymm_high(x->c, o->reg), 0, 16);
		break;
	case OPD_MEM:
		memcpy(mem, &x->r, o->size);
		break;
	case OPD_REG:
		x->c->regs[o->reg & 15] = x->r.q[0] & size_mask(o->size == 8 ? 8 : 4);
		break;
	}
	st64(x->c->xsave + AT_XSTATE_BV, ld64(x->c->xsave + AT_XSTATE_BV) | 7);
}

/* ---- one instruction ---- */

/* The operands' places: see struct vx. */
static void gather_operands(struct vx *x, uint8_t *mem)
{
	const struct insn *in = x->in;
	int k[INSN_MAX_OPDS], n = 0, src;

	for (int i = 0; i < in->nopd; i++)
		if (in->opd[i].kind != OPD_IMM && in->opd[i].kind != OPD_IMM2)
			k[n++] = i;
	if (!n)
		return;
	bool three = x->vex && n >= 3;
	src = three ? k[2] : n >= 2 ? k[1] : k[0];
	fetch(x, three ? k[1] : k[0], mem, &x->a);
	fetch(x, src, mem, &x->b);
	x->from_mem = in->opd[src].kind == OPD_MEM;
	if (!x->vex)
		memcpy(&x->d, xmm(x->c, 0), 16);
	else
		fetch(x, n == 4 ? k[3] : k[0], mem, &x->d);
	if (!x->vex || three)
		x->r = x->a;
}

static int vector_length(const struct insn *in)
{
	int n = 8;

	if (in->vex)
		return in->vex_l ? 32 : 16;
	for (int i = 0; i < in->nopd; i++)
		if (in->opd[i].kind == OPD_XMM)
			n = 16;
	return n;
}

static bool has_mmx(const struct insn *in)
{
	for (int i = 0; i < in->nopd; i++)
		if (in->opd[i].kind == OPD_MM)
			return true;
	return false;
}

/*
 * Sticky flags, then #XM if one of this instruction's is unmasked; it must not have written
 * anything. Where one of invalid, denormal and divide-by-zero is, nothing was computed that
 * could overflow, underflow or be inexact (SDM vol. 1, 11.5.3.2).
 */
static void check_exceptions(struct vx *x)
{
	uint32_t unmasked = x->flags & ~(x->mxcsr >> 7) & MXCSR_FLAGS;

	if (unmasked & 7)
		x->flags &= 7;
	st32(x->c->xsave + AT_MXCSR, x->mxcsr | x->flags);
	if (unmasked)
		cpu_raise(x->c, x->c->cr4 & CR4_OSXMMEXCPT ? EXC_XM : EXC_UD);
}

static void run(struct vx *x, const struct vop *v)
{
	struct host_env saved;

	switch (v->env) {
	case ENV_INT:
		v->fn(x);
		return;
	case ENV_SOFT:
		v->fn(x);
		break;
	case ENV_HOST:
		host_env_enter(&saved, x->mxcsr);
		v->fn(x);
		x->flags |= host_env_leave(&saved);
		break;
	}
	check_exceptions(x);
}

static void emms(struct cpu *c)
{
	vec_enter_mmx(c);
	c->xsave[AT_FTW] = 0;
}

void vec_exec(struct cpu *c, const struct insn *in, uint8_t *mem)
{
	const struct insn_row *row = insn_row(in);
	const struct vop *v = find(in);
	struct vx x = {
		.c = c, .in = in, .n = vector_length(in), .vex = in->vex, .imm = (uint8_t)in->imm,
		.dbl = row->pfx == IP_66 || row->pfx == IP_F2,
		.scalar = row->pfx == IP_F3 || row->pfx == IP_F2, .mxcsr = ld32(c->xsave + AT_MXCSR),
	};

	if (row->does == DOES_stmxcsr) {
		st32(mem, x.mxcsr);
		return;
	}
	if (row->does == DOES_emms) {
		emms(c);
		return;
	}
	if (!v->fn)
		cpu_raise(c, EXC_UD);
	if (has_mmx(in))
		vec_enter_mmx(c);
	gather_operands(&x, mem);
	run(&x, v);
	if (x.sets_eflags)
		c->cc = cc_from_eflags(x.eflags);
	if (!x.no_result)
		store(&x, mem);
}
