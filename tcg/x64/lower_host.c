/*
 * The guest's own vector and x87 instructions, executed as they are.
 *
 * Vector registers are the host's of the same number, so only general-register
 * operands and the memory operand (always [r14]) are encoded anew. A guest
 * register in a memory slot is replaced by r15. mxcsr and the x87 control word
 * are the guest's too: an unmasked exception arrives as a host signal, and the
 * side table tells whose it is.
 */
#include "tcg/x64/lower.h"

struct fields {
	int reg, rm;		/* numbers for the encoding */
	int8_t load, store;	/* guest register to bring into / take out of r15, or -1 */
	int imm, imm2;		/* immediate bytes, or -1 */
};

static int gpr_field(const struct lower *l, struct fields *f, const struct opd *o, bool dest)
{
	int r = host_reg(l, o->reg);

	if (r >= 0)
		return r;
	if (dest)
		f->store = (int8_t)o->reg;
	else
		f->load = (int8_t)o->reg;
	return H_TMP;
}

static void find_fields(const struct lower *l, const struct insn *in, struct fields *f)
{
	const struct insn_row *row = insn_row(in);

	f->reg = INSN_REG(in) | (in->rex & 4) << 1;
	f->rm = INSN_RM(in) | (in->rex & 1) << 3;
	f->load = f->store = -1;
	f->imm = f->imm2 = -1;
	for (int k = 0; k < in->nopd; k++) {
		uint8_t place = opd_info[row->opd[k]].place;

		if (in->opd[k].kind == OPD_IMM2)
			f->imm2 = (uint8_t)in->imm2;
		else if (place == PL_IMM || place == PL_IMMS)
			f->imm = (uint8_t)in->imm;
		else if (place == PL_IS4)
			f->imm = in->opd[k].reg << 4;
		if (in->opd[k].kind != OPD_REG)
			continue;
		if (place == PL_REG)
			f->reg = gpr_field(l, f, &in->opd[k], k == 0);
		else if (place == PL_RM || place == PL_RMR)
			f->rm = gpr_field(l, f, &in->opd[k], k == 0);
	}
}

static unsigned legacy_opcode(const struct insn *in)
{
	static const unsigned pfx[] = { [IP_66] = X_66, [IP_F3] = X_F3, [IP_F2] = X_F2, [IP_OPSIZE] = 0 };
	const struct insn_row *row = insn_row(in);
	uint32_t op = OP_BASE(row->opcode);
	unsigned map = op > 0xffff ? (op >> 8 & 0xff) == 0x38 ? X_0F38 : X_0F3A : X_0F;

	return (op & 0xff) | map | (row->pfx < sizeof(pfx) / sizeof(pfx[0]) ? pfx[row->pfx] : 0);
}

static void encode_vex(struct lower *l, const struct insn *in, const struct fields *f, struct hop rm)
{
	static const uint8_t pp[] = { [IP_66] = 1, [IP_F3] = 2, [IP_F2] = 3, [IP_OPSIZE] = 0 };
	const struct insn_row *row = insn_row(in);
	uint32_t op = OP_BASE(row->opcode);
	int map = op > 0xffff ? (op >> 8 & 0xff) == 0x38 ? 2 : 3 : 1;
	bool is64 = (l->ir->mode & MODE_CODE) == MODE_CODE64;
	int w = is64 ? in->rex >> 3 & 1 : (row->attr & A_W1) != 0;	/* no 64-bit operands elsewhere */

	ins_vex(&l->c, map, pp[row->pfx], w, in->vex_l, (int)(op & 0xff), f->reg, in->vex_v, rm);
}

/* emms, vzeroupper, vzeroall. The host's would clear 16 registers where the guest's clear 8. */
static void no_operands(struct lower *l, const struct insn *in)
{
	struct code *c = &l->c;

	if (!in->vex) {
		e8(c, 0x0f);
		e8(c, 0x77);
	} else if ((l->ir->mode & MODE_CODE) == MODE_CODE64) {
		e8(c, 0xc5);
		e8(c, (unsigned)(0xf8 | in->vex_l << 2));
		e8(c, 0x77);
	} else {
		for (int r = 0; r < 8; r++)	/* vmovaps r, r; vxorps r, r, r */
			ins_vex(c, 1, 0, 0, 0, in->vex_l ? 0x57 : 0x28, r, in->vex_l ? r : 0, hop_reg(r));
	}
}

void lower_vec(struct lower *l, const struct uop *u)
{
	const struct insn *in = &l->ir->insns[u->aux];
	struct fields f;
	struct hop rm;

	if (uop_flags_read(u, l->ir->insns) | uop_flags_written(u, l->ir->insns))
		flags_op(l, u);
	find_fields(l, in, &f);
	rm = u->a == OP_M ? operand(l, OP_M) : hop_reg(f.rm);
	if (f.load >= 0)
		load(&l->c, 8, H_TMP, operand(l, f.load));
	side_mark(l, u);
	if (!in->has_modrm)
		no_operands(l, in);
	else if (in->vex)
		encode_vex(l, in, &f, rm);
	else
		ins(&l->c, legacy_opcode(in), in->rex & 8 ? 8 : 4, f.reg, rm);
	if (f.imm >= 0)
		e8(&l->c, (unsigned)f.imm);
	if (f.imm2 >= 0)
		e8(&l->c, (unsigned)f.imm2);
	if (f.store >= 0)
		store(&l->c, 8, operand(l, f.store), H_TMP);
}

void lower_x87(struct lower *l, const struct uop *u)
{
	const struct insn *in = &l->ir->insns[u->aux];
	unsigned op = OP_BASE(insn_row(in)->opcode) & 0xff;

	if (uop_flags_read(u, l->ir->insns) | uop_flags_written(u, l->ir->insns))
		flags_op(l, u);
	side_mark(l, u);
	if (u->a == OP_M) {
		ins(&l->c, op, 4, INSN_REG(in), operand(l, OP_M));
	} else {
		e8(&l->c, op);
		if (in->has_modrm)	/* not fwait */
			e8(&l->c, in->modrm);
	}
}

void lower_rdtsc(struct lower *l, const struct uop *u)
{
	struct code *c = &l->c;

	flags_clobber(l, u);
	e8(c, 0x0f);
	e8(c, 0x31);
	ins_imm(c, 0xc1, 8, 4, hop_reg(RDX), 1, 32);		/* shl rdx, 32 */
	alu_rm(c, ALU_OR, 8, RDX, hop_reg(RAX));
	alu_rm(c, ALU_ADD, 8, RDX, hop_gs(CPU_OFF(tsc_offset)));
	mov_rr(c, 4, RAX, RDX);
	ins_imm(c, 0xc1, 8, 5, hop_reg(RDX), 1, 32);		/* shr rdx, 32 */
}

void lower_fence(struct lower *l, const struct uop *u)
{
	e8(&l->c, 0x0f);
	e8(&l->c, 0xae);
	e8(&l->c, (unsigned)(0xc0 | (u->imm & 7) << 3));
}
