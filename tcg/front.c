/*
 * Guest bytes to µops: where a block begins and ends, checks that hold for every
 * instruction of a kind, dispatch on the row, and what the emitters are built from.
 *
 * A block ends behind an instruction that transfers control or changes the mode
 * (A_END rows, f->done), when the caller's limit or the arena is reached, or in
 * front of an instruction that is not completely there. Where the next address is
 * known it ends with a jump there. A few conditional jumps forward may stand inside:
 * the block goes on where they are not taken.
 *
 * Source: SDM vol. 1 3.3.7, 6.5; vol. 2 "Exceptions" of each instruction; vol. 3A
 * 2.5 (CR0.EM, TS), 13.1 (CR4.OSFXSR, OSXSAVE).
 */
#include "tcg/front.h"

_Static_assert(NO_REG == (int)OP_NONE && (int)REG_AH == (int)OP_AH, "register numbers are operand codes");

static front_fn *const front_fns[N_DOES] = {
#define DOES(name) [DOES_##name] = front_##name,
#include "cpu/does.def"
#undef DOES
};

/* ---- building µops ---- */

struct uop *emit(struct front *f, enum uop_op op, int size, int d, int a, int b)
{
	struct uop *u = &f->ir->uops[f->ir->n_uops++];

	*u = (struct uop) {
		.op = op, .size = size, .d = d, .a = a, .b = b,
		.insn = f->ir->n_insns - 1,
	};
	return u;
}

struct uop *emit_imm(struct front *f, enum uop_op op, int size, int d, int a, int64_t imm)
{
	struct uop *u = emit(f, op, size, d, a, OP_IMM);

	u->imm = imm;
	return u;
}

static int adsize_bits(int adsize)
{
	return (adsize >> 2) << PROBE_ADSIZE;	/* 2, 4, 8 -> 0, 1, 2 */
}

static bool code64(const struct front *f)
{
	return (f->ir->mode & MODE_CODE) == MODE_CODE64;
}

/* Fill a, b, c, imm of a probe or lea from the instruction's memory operand. */
static void address(struct front *f, const struct insn *in, struct uop *u)
{
	int64_t disp = in->disp;

	u->a = in->base == RIP_REG ? OP_NONE : in->base;
	u->b = in->index;
	if (in->base == RIP_REG)
		disp += f->next;
	if (u->a == OP_NONE && u->b == OP_NONE)
		disp &= size_mask(in->adsize);
	u->imm = disp;
	u->c |= in->scale << PROBE_SCALE | adsize_bits(in->adsize);
}

void emit_probe(struct front *f, const struct insn *in, int kind, int n)
{
	struct uop *u = emit(f, UOP_probe, n, in->seg, OP_NONE, OP_NONE);

	u->c = kind;
	address(f, in, u);
}

void emit_probe_at(struct front *f, int kind, int n, int seg, int base, int64_t disp, int adsize)
{
	struct uop *u = emit(f, UOP_probe, n, seg, base, OP_NONE);

	u->c = kind | adsize_bits(adsize);
	u->imm = disp;
}

int use(struct front *f, const struct insn *in, int k, int kind)
{
	const struct opd *o = &in->opd[k];

	switch (o->kind) {
	case OPD_REG:
		return o->reg;
	case OPD_MEM:
		emit_probe(f, in, kind, o->size);
		return OP_M;
	default:
		return OP_IMM;
	}
}

int64_t signed_imm(const struct insn *in, int size)
{
	return sext(in->imm, 8 * size);
}

void emit_ea(struct front *f, const struct insn *in, int d)
{
	struct uop *u = emit(f, UOP_lea, 8, d, OP_NONE, OP_NONE);

	address(f, in, u);
}

void emit_add(struct front *f, int size, int d, int base, int64_t disp)
{
	struct uop *u = emit(f, UOP_lea, size, d, base, OP_NONE);

	u->imm = disp;
	u->c = adsize_bits(size);
}

void emit_add_rsp(struct front *f, int64_t n)
{
	emit_add(f, stack_size(f), RSP, RSP, n);
}

struct uop *emit_call(struct front *f, enum helper h, int d, int a, int b, int64_t imm)
{
	struct uop *u = emit(f, UOP_call, 8, d, a, b);

	u->aux = h;
	u->imm = imm;
	return u;
}

/* ---- leaving ---- */

void emit_raise(struct front *f, int vector)
{
	emit(f, UOP_raise, 0, OP_NONE, OP_NONE, OP_NONE)->imm = vector;
	f->done = true;
}

void emit_raise_err(struct front *f, int vector, uint16_t error)
{
	struct uop *u = emit(f, UOP_raise, 0, OP_NONE, OP_NONE, OP_NONE);

	u->imm = vector;
	u->c = 1;
	u->aux = error;
	f->done = true;
}

void emit_jmp(struct front *f, uint64_t rip)
{
	emit(f, UOP_jmp, 8, OP_NONE, OP_NONE, OP_NONE)->imm = rip;
	f->done = true;
}

void emit_exit_next(struct front *f)
{
	emit(f, UOP_setrip, 8, OP_NONE, OP_NONE, OP_NONE)->imm = f->next;
	emit(f, UOP_exit, 8, OP_NONE, OP_NONE, OP_NONE);
	f->done = true;
}

int stack_size(const struct front *f)
{
	return code64(f) ? 8 : f->ir->mode & MODE_SS32 ? 4 : 2;
}

/* ---- checks before an instruction ---- */

/* Vector and x87 instructions the operating system has not enabled: exception or -1. */
static int unit_fault(uint32_t attr, uint32_t mode)
{
	if (attr & A_FPU)
		return mode & (MODE_EM | MODE_TS) ? EXC_NM : -1;
	if (attr & A_SSE && attr & A_VEX) {
		if (!(mode & MODE_OSXSAVE))
			return EXC_UD;
	} else if (attr & A_SSE) {
		if (mode & MODE_EM || !(mode & MODE_OSFXSR))
			return EXC_UD;
	} else if (mode & MODE_EM) {
		return EXC_UD;
	}
	return mode & MODE_TS ? EXC_NM : -1;
}

/* True if the instruction cannot run in this mode; the exception has been emitted. */
static bool refused(struct front *f, const struct insn *in)
{
	uint32_t attr = insn_row(in)->attr, mode = f->ir->mode;
	int vector;

	if (!(attr & (A_PRIV | A_PE | A_FPU | A_MMX | A_SSE)))
		return false;
	if (attr & A_PE && (!(mode & MODE_PE) || mode & MODE_VM)) {
		emit_raise(f, EXC_UD);
		return true;
	}
	if (attr & A_PRIV && mode & MODE_CPL) {
		emit_raise_err(f, EXC_GP, 0);
		return true;
	}
	if (!(attr & (A_FPU | A_MMX | A_SSE)))
		return false;
	vector = unit_fault(attr, mode);
	if (vector >= 0)
		emit_raise(f, vector);
	return vector >= 0;
}

/* 16-bit code may be in a larger segment. */
uint64_t front_cut(const struct front *f, uint64_t rip)
{
	return code64(f) ? rip : (uint32_t)rip;
}

/* Does the instruction at rip reach behind the code segment's end? */
static bool beyond_limit(const struct front *f, uint64_t rip, unsigned len)
{
	return !code64(f) && !(f->ir->mode & MODE_FLAT) && rip + len - 1 > f->cs_limit;
}

/* ---- blocks ---- */

static void translate(struct front *f, const struct insn *in, enum insn_result res, uint64_t rip)
{
	if (res == INSN_TOO_LONG || beyond_limit(f, rip, res == INSN_OK ? in->len : 1))
		emit_raise_err(f, EXC_GP, 0);
	else if (res == INSN_INVALID)
		emit_raise(f, EXC_UD);
	else if (!refused(f, in)) {
		if (f->ir->mode & MODE_SVM)
			front_intercept(f, in);
		front_fns[insn_row(in)->does](f, in);
	}
}

/* The block ends although control flows on; an instruction may have left something to do. */
static void fall_through(struct front *f, bool poll, uint64_t rip)
{
	if (poll) {
		emit(f, UOP_poll, 8, OP_NONE, OP_NONE, OP_NONE)->imm = rip;
	} else if (f->poll_next) {
		emit_call(f, HELPER_set_shadow, OP_NONE, OP_NONE, OP_NONE, 0);
		f->next = rip;
		emit_exit_next(f);
		return;
	}
	emit_jmp(f, rip);
}

void front_start(struct front *f)
{
	f->ir->n_insns = f->ir->n_uops = 0;
	f->ir->off[0] = 0;
	f->done = f->poll_next = f->shadow = false;
	f->env.mode = f->ir->mode;
}

/* Inside of front_block()'s loop, as it is short and called for every instruction. */
static inline __attribute__((always_inline)) enum front_result one(struct front *f, const uint8_t *p, unsigned n,
								   int32_t at, bool *ends)
{
	struct ir *ir = f->ir;
	unsigned i = ir->n_insns++;
	struct insn *in = &ir->insns[i];
	enum insn_result res = insn_decode(p, n, &f->env, in);
	uint64_t rip = ir->rip + (uint64_t)at, next;

	if (res == INSN_TRUNCATED) {
		ir->n_insns = i;
		return FRONT_TRUNCATED;
	}
	f->shadow = f->poll_next;
	f->poll_next = false;
	ir->off[i] = at;
	at += res == INSN_OK || in->len ? in->len : 1;
	ir->off[i + 1] = at;
	next = ir->rip + (uint64_t)at;
	f->next = front_cut(f, next);
	translate(f, in, res, front_cut(f, rip));
	*ends = f->done || f->shadow || f->next != next || ir->n_uops > IR_MAX_UOPS - FRONT_MAX_UOPS ||
		(insn_row(in)->attr & A_END && !f->poll_next);
	return FRONT_OK;
}

static inline __attribute__((always_inline)) enum front_result step(struct front *f, const uint8_t *bytes, unsigned n,
								    unsigned *off, bool *ends)
{
	if (one(f, bytes + *off, n - *off, (int32_t)*off, ends) == FRONT_TRUNCATED)
		return FRONT_TRUNCATED;
	*off = (unsigned)f->ir->off[f->ir->n_insns];
	return FRONT_OK;
}

enum front_result front_insn(struct front *f, const uint8_t *bytes, unsigned n, unsigned *off, bool *ends)
{
	return step(f, bytes, n, off, ends);
}

enum front_result front_insn_at(struct front *f, const uint8_t *p, unsigned n, int32_t at, bool *ends)
{
	return one(f, p, n, at, ends);
}

void front_end(struct front *f, unsigned off)
{
	if (!f->done)
		fall_through(f, f->shadow && !f->poll_next, front_cut(f, f->ir->rip + off));
}

/*
 * So many conditional jumps may stand inside a block. More of them make it share
 * more proofs, but what follows is translated once more if it is jumped to.
 */
#define MAX_BRANCHES 2

/* The last instruction was a conditional jump forward and ended the block, which has room to go on. */
static bool may_go_on(const struct front *f)
{
	const struct ir *ir = f->ir;
	const struct uop *u = ir->uops + ir->n_uops - 1;

	return !f->straight && ir->n_uops > 1 && u->op == UOP_jmp && u->c == 0 && (uint64_t)u->imm == f->next &&
	       u[-1].op == UOP_jcc && (uint64_t)u[-1].imm > f->next && !f->shadow &&
	       f->next == ir->rip + (uint64_t)ir->off[ir->n_insns] && ir->n_uops < IR_MAX_UOPS - FRONT_MAX_UOPS;
}

/* Instead of leaving. */
static void go_on(struct front *f)
{
	f->ir->n_uops--;
	f->done = false;
}

enum front_result front_block(struct front *f, const uint8_t *bytes, unsigned n, unsigned max)
{
	struct ir *ir = f->ir;
	unsigned off = 0, branches = 0;
	bool ends = false;

	front_start(f);
	while (!ends && ir->n_insns < max && ir->n_insns < IR_MAX_INSNS && (!f->stop || off < f->stop))
		if (step(f, bytes, n, &off, &ends) == FRONT_TRUNCATED) {
			if (!ir->n_insns)
				return FRONT_TRUNCATED;
			break;
		} else if (ends && branches < MAX_BRANCHES && may_go_on(f)) {
			go_on(f);
			ends = false;
			branches++;
		}
	ir->len = off;
	front_end(f, off);
	return FRONT_OK;
}
