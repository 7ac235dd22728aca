/*
 * MMX, SSE and AVX instructions to µops: a probe for the memory operand, then
 * `vec`, the instruction itself. Those that touch memory by elements, under a
 * mask, are helpers.
 *
 * Source: SDM vol. 2; vol. 1 chapters 9-14.
 */
#include "tcg/front.h"
#include "tcg/helper.h"

#define NONE OP_NONE

static void host(struct front *f, int a)
{
	struct uop *u = emit(f, UOP_vec, 8, NONE, a, NONE);

	u->aux = u->insn;
}

/* Operand 0 in memory is a plain store: no vector instruction reads and writes memory. */
void front_vec(struct front *f, const struct insn *in)
{
	for (int k = 0; k < in->nopd; k++) {
		if (in->opd[k].kind != OPD_MEM)
			continue;
		int kind = k == 0 ? PROBE_W : PROBE_R;
		if (insn_row(in)->attr & A_ALIGN)
			kind |= PROBE_ALIGN;
		emit_probe(f, in, kind, in->opd[k].size);
		host(f, OP_M);
		return;
	}
	host(f, NONE);
}

/* The same to the front end: the back ends look at the operands themselves. */
void front_vec_gpr(struct front *f, const struct insn *in) { front_vec(f, in); }
void front_vec_pcmpstr(struct front *f, const struct insn *in) { front_vec(f, in); }
void front_emms(struct front *f, const struct insn *in) { front_vec(f, in); }

static unsigned ad_code(const struct insn *in)
{
	return in->adsize == 8 ? 2 : in->adsize == 4 ? 1 : 0;
}

/* The i-th operand that is no memory. */
static const struct opd *reg_opd(const struct insn *in, int i)
{
	int k = 0;

	while (in->opd[k].kind == OPD_MEM || i-- > 0)
		k++;
	return &in->opd[k];
}

/* Registers: data, mask. The memory operand is DS:rDI, DS overridable. */
void front_vec_maskmov(struct front *f, const struct insn *in)
{
	const struct opd *data = reg_opd(in, 0), *mask = reg_opd(in, 1);
	struct vmem v = {
		.seg = in->seg_override == NO_REG ? DS : in->seg_override,
		.ad = ad_code(in), .store = 1, .bytes = data->kind == OPD_MM ? 8 : 16,
		.reg = data->reg, .mask = mask->reg,
	};

	emit(f, UOP_zext, 8, OP_T0, RDI, NONE)->c = in->adsize;
	emit_call(f, HELPER_maskmov, NONE, OP_T0, NONE, vmem_pack(v));
}

/* load: data, mask, memory; store: memory, mask, data */
void front_vec_maskmem(struct front *f, const struct insn *in)
{
	bool store = in->opd[0].kind == OPD_MEM;
	uint32_t op = insn_row(in)->opcode & 0xff;	/* 2c, 2e ps; 2d, 2f pd; 8c, 8e: by VEX.W */
	struct vmem v = {
		.seg = in->seg, .ad = ad_code(in), .store = store,
		.wide = op & 0x80 ? insn_row(in)->attr & A_W1 ? 1 : 0 : op & 1,
		.bytes = in->vex_l ? 32 : 16,
		.reg = in->opd[store ? 2 : 0].reg, .mask = in->opd[1].reg,
	};

	emit_ea(f, in, OP_T0);
	emit_call(f, HELPER_vmaskmov, NONE, OP_T0, NONE, vmem_pack(v));
}

/* data, memory, mask. Opcodes 90..93: bit 0 = indices of 8 bytes. */
void front_vec_gather(struct front *f, const struct insn *in)
{
	struct insn base = *in;
	const struct opd *data = reg_opd(in, 0), *mask = reg_opd(in, 1);
	struct vmem v = {
		.seg = in->seg, .ad = ad_code(in), .wide = insn_row(in)->attr & A_W1 ? 1 : 0,
		.bytes = in->vex_l ? 32 : 16, .reg = data->reg, .mask = mask->reg,
		.index = in->index, .iwide = insn_row(in)->opcode & 1, .scale = in->scale,
	};

	if (v.reg == v.mask || v.reg == v.index || v.mask == v.index) {
		emit_raise(f, EXC_UD);
		return;
	}
	base.index = NO_REG;
	base.scale = 0;
	emit_ea(f, &base, OP_T0);
	emit_call(f, HELPER_gather, NONE, OP_T0, NONE, vmem_pack(v));
}
