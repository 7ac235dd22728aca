/*
 * The usual instruction, decoded in a fraction of the time: 64-bit or 32-bit code, no prefix but REX,
 * one-byte and 0F opcodes, the last row of the slot fits, operands are registers, ModRM, immediates
 * and targets. Everything else is left to cpu/decode.c, which decodes these as well, alike.
 *
 * Light.
 */
#include "cpu/cpu.h"
#include "cpu/decode.h"

struct usual {
	const uint8_t *q;		/* next byte */
	struct insn *in;
	uint8_t op, m;
	uint8_t rex_r, rex_b;		/* 0 or 8 */
	uint8_t size_y;
};

/* Attributes of rows that do not fit here, as in decode.c. */
static uint32_t refused(const struct insn_env *env, bool is64, unsigned rex, bool has_modrm, unsigned m)
{
	uint32_t refuse = A_L1 | (rex & 8 ? A_W0 : A_W1);

	if (is64)
		refuse |= A_NO64;
	else
		refuse |= A_ONLY64 | ((env->mode & (MODE_PE | MODE_VM)) == MODE_PE ? 0 : A_PE);
	if (rex & 1)
		refuse |= A_B0;
	if (has_modrm)
		refuse |= m >= 0xc0 ? A_MEM : A_REGF;
	return refuse;
}

static uint8_t opsize(bool is64, unsigned rex, uint32_t attr)
{
	if (!is64)
		return 4;
	return attr & (A_D64 | A_NEAR | A_F64) || (rex & 8 && !(attr & A_I64)) ? 8 : 4;
}

/* SIB and displacement of a 32-bit or 64-bit address. */
static void address(struct usual *u, bool is64, unsigned rex)
{
	struct insn *in = u->in;
	unsigned mod = u->m >> 6, rm = u->m & 7;

	in->base = rm | u->rex_b;
	if (rm == 4) {
		uint8_t b = *u->q++, index = (b >> 3 & 7) | (rex << 2 & 8);

		rm = b & 7;
		in->base = rm | u->rex_b;
		if (index != RSP) {
			in->index = index;
			in->scale = b >> 6;
		}
		if (rm == 5 && mod == 0) {
			in->base = NO_REG;
			mod = 2;
		}
	} else if (rm == 5 && mod == 0) {
		in->base = is64 ? RIP_REG : NO_REG;
		mod = 2;
	}
	if (mod == 1) {
		in->disp = (int8_t)*u->q++;
	} else if (mod == 2) {
		in->disp = (int32_t)ld32(u->q);
		u->q += 4;
	}
	if (in->base == RSP || in->base == RBP)
		in->seg = SS;
}

static bool reg_operand(const struct usual *u, struct opd *o, uint8_t class, unsigned reg)
{
	o->reg = (uint8_t)reg;
	if (class == CL_GPR) {
		o->kind = OPD_REG;
		if (o->size == 1 && !u->in->rex && reg >= 4)
			o->reg += REG_AH - 4;
		return true;
	}
	o->kind = OPD_XMM;
	return class == CL_VEC && o->size == 16;
}

/* Its bytes, with their sign. */
static int64_t constant(struct usual *u, uint8_t size, bool is_signed)
{
	unsigned unused = 64 - 8 * size;
	uint64_t v = ld64(u->q) << unused;

	u->q += size;
	return is_signed ? (int64_t)v >> unused : (int64_t)(v >> unused);
}

static uint8_t size_of(const struct usual *u, uint8_t code)
{
	if (code < SZ_V)
		return code;
	return code == SZ_V ? u->in->opsize : code == SZ_Z ? 4 : code == SZ_Y ? u->size_y : 0;
}

static bool operand(struct usual *u, struct opd *o, const struct opd_info *oi)
{
	struct insn *in = u->in;

	if (oi->place == PL_RM && u->m < 0xc0) {
		o->kind = OPD_MEM;
		o->size = size_of(u, oi->msize);
		return o->size || !oi->msize;
	}
	o->size = size_of(u, oi->rsize);
	if (!o->size)
		return false;
	switch (oi->place) {
	case PL_REG:
		return reg_operand(u, o, oi->class, (u->m >> 3 & 7) | u->rex_r);
	case PL_RM:
		return reg_operand(u, o, oi->class, (u->m & 7) | u->rex_b);
	case PL_OPC:
		return reg_operand(u, o, oi->class, (u->op & 7) | u->rex_b);
	case PL_IMM:
	case PL_IMMS:
		if (o != in->opd && o[-1].kind == OPD_IMM)	/* a second one */
			return false;
		o->kind = OPD_IMM;
		in->imm = constant(u, o->size, oi->place == PL_IMMS);
		return true;
	case PL_ONE:
		o->kind = OPD_IMM;
		in->imm = 1;
		return true;
	case PL_REL:
		o->kind = OPD_REL;
		in->imm = constant(u, o->size, true);
		return true;
	case PL_FIX0:
	case PL_FIX1:
	case PL_FIX2:
		return oi->class == CL_GPR && reg_operand(u, o, CL_GPR, oi->place - PL_FIX0);
	default:
		return false;
	}
}

bool decode_usual(const uint8_t *p, const struct insn_env *env, struct insn *in)
{
	bool is64 = (env->mode & MODE_CODE) == MODE_CODE64, has_modrm;
	struct usual u = { .q = p, .in = in };
	unsigned rex = 0, slot_op, slot, r;
	const struct insn_row *row;

	if (is64 && (*u.q & 0xf0) == 0x40)
		rex = *u.q++;
	slot_op = u.op = *u.q++;
	if (u.op == 0x0f)
		slot_op = MAP_0F << 8 | (u.op = *u.q++);
	else if ((u.op & 0xfe) == 0xc4)
		return false;
	slot = slot_op * 16;
	has_modrm = insn_has_modrm[slot_op];
	if (has_modrm) {
		u.m = *u.q++;
		slot += (u.m >= 0xc0 ? 8 : 0) + (u.m >> 3 & 7);
	}
	r = insn_slot[slot];
	if (!r)
		return false;
	row = &insn_rows[r - 1];
	if (row->opcode != (slot_op < 0x100 ? slot_op : 0x0f00u | u.op) ||	/* ModRM is part of it */
	    row->attr & refused(env, is64, rex, has_modrm, u.m) ||
	    row->pfx == IP_66 || row->pfx == IP_F3 || row->pfx == IP_F2 ||
	    !(env->feat[row->cpuid >> 6] >> (row->cpuid & 63) & 1))
		return false;
	in->row = (uint16_t)(r - 1);
	in->has_modrm = has_modrm;
	in->modrm = u.m;
	in->rex = (uint8_t)rex;
	in->adsize = is64 ? 8 : 4;
	in->opsize = opsize(is64, rex, row->attr);
	u.rex_r = rex << 1 & 8;
	u.rex_b = rex << 3 & 8;
	u.size_y = rex & 8 ? 8 : 4;
	if (has_modrm && u.m < 0xc0)
		address(&u, is64, rex);
	for (unsigned i = 0; i < INSN_MAX_OPDS && row->opd[i] != OC__; i++) {
		if (!operand(&u, &in->opd[i], &opd_info[row->opd[i]]))
			return false;
		in->nopd = (uint8_t)(i + 1);
	}
	in->len = (uint8_t)(u.q - p);
	return true;
}
