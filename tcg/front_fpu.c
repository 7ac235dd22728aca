/*
 * x87 instructions, and those that load and store whole pieces of x87 and SSE
 * state, to µops. Ordinary x87 instructions are the host's own: a probe for the
 * memory operand, then `x87`. State images depend on mode and operand size and
 * are too long for a probe: helpers write them byte for byte.
 *
 * Source: SDM vol. 1 chapter 8; vol. 2 FLDENV, FXSAVE, XSAVE.
 */
#include "tcg/front.h"
#include "tcg/helper.h"

#define NONE OP_NONE

/* Memory forms that write their operand: ModRM.reg as a bit, for opcodes D8..DF. */
static const uint8_t x87_stores[8] = {
	[1] = 1 << 2 | 1 << 3 | 1 << 6 | 1 << 7,	/* fst m32, fnstenv, fnstcw */
	[3] = 1 << 1 | 1 << 2 | 1 << 3 | 1 << 7,	/* fist(t)p m32, fstp m80 */
	[5] = 1 << 1 | 1 << 2 | 1 << 3 | 1 << 6 | 1 << 7,	/* fisttp m64, fst m64, fnsave, fnstsw */
	[7] = 1 << 1 | 1 << 2 | 1 << 3 | 1 << 6 | 1 << 7,	/* fist(t)p m16, fbstp, fistp m64 */
};

static int mem_operand(const struct insn *in)
{
	for (int k = 0; k < in->nopd; k++)
		if (in->opd[k].kind == OPD_MEM)
			return k;
	return -1;
}

static void host(struct front *f, enum uop_op op, int a)
{
	struct uop *u = emit(f, op, 8, NONE, a, NONE);

	u->aux = u->insn;
}

void front_x87(struct front *f, const struct insn *in)
{
	int k = mem_operand(in);

	if (k < 0) {
		host(f, UOP_x87, NONE);
		return;
	}
	bool store = x87_stores[insn_row(in)->opcode & 7] >> INSN_REG(in) & 1;
	/* An unmasked exception leaves memory as it was: what is written back must be what was there. */
	int kind = !store ? PROBE_R : insn_row(in)->does == DOES_x87 ? PROBE_RW : PROBE_W;
	emit_probe(f, in, kind, in->opd[k].size);
	host(f, UOP_x87, OP_M);
}

void front_fldcw(struct front *f, const struct insn *in) { front_x87(f, in); }
void front_fnstcw(struct front *f, const struct insn *in) { front_x87(f, in); }
void front_fnstsw(struct front *f, const struct insn *in) { front_x87(f, in); }
void front_fninit(struct front *f, const struct insn *in) { front_x87(f, in); }
void front_fnclex(struct front *f, const struct insn *in) { front_x87(f, in); }

/* CR0.MP makes WAIT look at CR0.TS; EM does not matter to it. */
void front_fwait(struct front *f, const struct insn *in)
{
	if ((f->ir->mode & (MODE_MP | MODE_TS)) == (MODE_MP | MODE_TS))
		emit_raise(f, EXC_NM);
	else
		front_x87(f, in);
}

static void call_mem(struct front *f, const struct insn *in, enum helper h, int opsize, int kind)
{
	emit_ea(f, in, OP_T0);
	emit_call(f, h, NONE, OP_T0, NONE, in->seg | opsize << 8 | kind << 16);
}

void front_fnstenv(struct front *f, const struct insn *in) { call_mem(f, in, HELPER_fstenv, in->opsize, 0); }
void front_fldenv(struct front *f, const struct insn *in) { call_mem(f, in, HELPER_fldenv, in->opsize, 0); }
void front_fnsave(struct front *f, const struct insn *in) { call_mem(f, in, HELPER_fstenv, in->opsize, 1); }
void front_frstor(struct front *f, const struct insn *in) { call_mem(f, in, HELPER_fldenv, in->opsize, 1); }

/* REX.W selects 64-bit instruction and data pointers. */
static int image(const struct insn *in)
{
	return in->rex & 8 ? 8 : 4;
}

void front_fxsave(struct front *f, const struct insn *in) { call_mem(f, in, HELPER_fxsave, image(in), 0); }
void front_fxrstor(struct front *f, const struct insn *in) { call_mem(f, in, HELPER_fxrstor, image(in), 0); }

/* For XSAVE and its kin CR4.OSXSAVE counts before CR0.TS: both are up to the helper. */
static void xstate(struct front *f, const struct insn *in, enum helper h, int kind)
{
	call_mem(f, in, h, image(in), kind);
}

void front_xsave(struct front *f, const struct insn *in) { xstate(f, in, HELPER_xsave, 0); }
void front_xsaveopt(struct front *f, const struct insn *in) { xstate(f, in, HELPER_xsave, 1); }
void front_xsavec(struct front *f, const struct insn *in) { xstate(f, in, HELPER_xsave, 2); }
void front_xsaves(struct front *f, const struct insn *in) { xstate(f, in, HELPER_xsave, 3); }
void front_xrstor(struct front *f, const struct insn *in) { xstate(f, in, HELPER_xrstor, 0); }
void front_xrstors(struct front *f, const struct insn *in) { xstate(f, in, HELPER_xrstor, 1); }

/* Reserved bits raise #GP, so the host's ldmxcsr never sees the guest's word unchecked. */
void front_ldmxcsr(struct front *f, const struct insn *in)
{
	emit_probe(f, in, PROBE_R, 4);
	emit(f, UOP_mov, 4, OP_T0, OP_M, NONE);
	emit_call(f, HELPER_ldmxcsr, NONE, OP_T0, NONE, 0);
}

void front_stmxcsr(struct front *f, const struct insn *in)
{
	emit_probe(f, in, PROBE_W, 4);
	host(f, UOP_vec, OP_M);
}
