/*
 * String instructions: movs, cmps, stos, lods, scas.
 *
 * Without REP they are a few µops; the direction is known from the mode. With REP
 * one helper does as much as it can at once and returns 1 when the instruction is
 * finished; otherwise it is started again, so that interrupts come through.
 *
 * Source: SDM vol. 2, REP/REPE/REPNE and one entry an instruction; vol. 1 7.3.9.
 */
#include "tcg/front.h"
#include "tcg/rep.h"

static void advance(struct front *f, const struct insn *in, int reg)
{
	int n = in->opd[0].size;

	emit_add(f, in->adsize, reg, reg, f->ir->mode & MODE_DF ? -n : n);
}

/* The source's segment can be overridden, the destination's cannot. */
static int source_seg(const struct front *f, const struct insn *in)
{
	if (in->seg_override == NO_REG)
		return DS;
	if ((f->ir->mode & MODE_CODE) == MODE_CODE64 && in->seg_override < FS)
		return DS;
	return in->seg_override;
}

static void probe_source(struct front *f, const struct insn *in)
{
	emit_probe_at(f, PROBE_R, in->opd[0].size, source_seg(f, in), RSI, 0, in->adsize);
}

static void probe_dest(struct front *f, const struct insn *in, int kind)
{
	emit_probe_at(f, kind, in->opd[0].size, ES, RDI, 0, in->adsize);
}

/* True if it was a repeated instruction, and done here. */
static bool repeated(struct front *f, const struct insn *in, enum helper h)
{
	struct rep r = {
		.size = in->opd[0].size, .adsize = in->adsize, .seg = source_seg(f, in),
		.down = !!(f->ir->mode & MODE_DF), .until_equal = !!(in->pfx & PFX_REPNE),
	};

	if (!(in->pfx & (PFX_REP | PFX_REPNE)))
		return false;
	emit_call(f, h, OP_T0, OP_NONE, OP_NONE, rep_pack(r));
	emit(f, UOP_jrz, 8, OP_NONE, OP_T0, OP_NONE)->imm = f->ir->rip + f->ir->off[f->ir->n_insns - 1];
	return true;
}

void front_movs(struct front *f, const struct insn *in)
{
	int n = in->opd[0].size;

	if (repeated(f, in, HELPER_rep_movs))
		return;
	probe_source(f, in);
	emit(f, UOP_mov, n, OP_T0, OP_M, OP_NONE);
	probe_dest(f, in, PROBE_W);
	emit(f, UOP_mov, n, OP_M, OP_T0, OP_NONE);
	advance(f, in, RSI);
	advance(f, in, RDI);
}

void front_stos(struct front *f, const struct insn *in)
{
	if (repeated(f, in, HELPER_rep_stos))
		return;
	probe_dest(f, in, PROBE_W);
	emit(f, UOP_mov, in->opd[0].size, OP_M, RAX, OP_NONE);
	advance(f, in, RDI);
}

void front_lods(struct front *f, const struct insn *in)
{
	if (repeated(f, in, HELPER_rep_lods))
		return;
	probe_source(f, in);
	emit(f, UOP_mov, in->opd[0].size, RAX, OP_M, OP_NONE);
	advance(f, in, RSI);
}

void front_cmps(struct front *f, const struct insn *in)
{
	int n = in->opd[0].size;

	if (repeated(f, in, HELPER_rep_cmps))
		return;
	probe_source(f, in);
	emit(f, UOP_mov, n, OP_T0, OP_M, OP_NONE);
	probe_dest(f, in, PROBE_R);
	emit(f, UOP_cmp, n, OP_NONE, OP_T0, OP_M);
	advance(f, in, RSI);
	advance(f, in, RDI);
}

void front_scas(struct front *f, const struct insn *in)
{
	if (repeated(f, in, HELPER_rep_scas))
		return;
	probe_dest(f, in, PROBE_R);
	emit(f, UOP_cmp, in->opd[0].size, OP_NONE, RAX, OP_M);
	advance(f, in, RDI);
}
