/*
 * Host x86-64 encoder. See emit.h.
 */
#include "tcg/x64/emit.h"

#include <assert.h>

#include "cpu/cpu.h"

static bool fits8(int64_t v) { return v == (int8_t)v; }

/* ModRM, SIB and displacement. reg: 0..7. */
static void modrm(struct code *c, int reg, const struct hop *rm)
{
	int b = rm->reg & 7;

	reg = (reg & 7) << 3;
	switch (rm->kind) {
	case HOP_REG:
		e8(c, (unsigned)(0xc0 | reg | b));
		return;
	case HOP_HI:
		e8(c, (unsigned)(0xc0 | reg | (b + 4)));
		return;
	case HOP_GS:		/* no base, no index: absolute disp32 */
		e8(c, (unsigned)(0x04 | reg));
		e8(c, 0x25);
		e32(c, (uint32_t)rm->disp);
		return;
	case HOP_GSX:
		if (rm->scale) {	/* index without a base */
			e8(c, (unsigned)(0x04 | reg));
			e8(c, (unsigned)(rm->scale << 6 | b << 3 | 5));
		} else {
			e8(c, (unsigned)(0x80 | reg | b));
			if (b == 4)
				e8(c, 0x24);
		}
		e32(c, (uint32_t)rm->disp);
		return;
	case HOP_MEM:
		break;
	}
	/* rbp and r13 have no form without a displacement; rsp and r12 need a SIB. */
	int mod = rm->disp == 0 && b != 5 ? 0 : fits8(rm->disp) ? 1 : 2;
	bool sib = rm->index != 0xff || b == 4;

	e8(c, (unsigned)(mod << 6 | reg | (sib ? 4 : b)));
	if (sib)
		e8(c, (unsigned)(rm->index == 0xff ? 0x20 | b : rm->scale << 6 | (rm->index & 7) << 3 | b));
	if (mod == 1)
		e8(c, (uint8_t)rm->disp);
	else if (mod == 2)
		e32(c, (uint32_t)rm->disp);
}

static bool rex_x(const struct hop *rm)
{
	return rm->kind == HOP_GSX ? rm->scale && rm->reg & 8 : rm->kind == HOP_MEM && rm->index != 0xff && rm->index & 8;
}

static bool rex_b(const struct hop *rm)
{
	switch (rm->kind) {
	case HOP_REG: case HOP_MEM: return rm->reg & 8;
	case HOP_GSX: return !rm->scale && rm->reg & 8;
	default: return false;
	}
}

void ins(struct code *c, unsigned op, int size, int reg, struct hop rm)
{
	unsigned rex = 0;

	if (rm.kind == HOP_GS || rm.kind == HOP_GSX)
		e8(c, 0x65);
	if (op & X_LOCK)
		e8(c, 0xf0);
	if (op & X_66 || size == 2)
		e8(c, 0x66);
	if (op & X_F3)
		e8(c, 0xf3);
	if (op & X_F2)
		e8(c, 0xf2);
	if (size == 8)
		rex |= 0x48;
	if (op & X_HIREG)
		reg += 4;
	else if (reg & 8)
		rex |= 0x44;
	else if (size == 1 && reg >= 4)
		rex |= 0x40;
	if (rex_x(&rm))
		rex |= 0x42;
	if (rex_b(&rm))
		rex |= 0x41;
	else if ((size == 1 || op & X_RM8) && rm.kind == HOP_REG && rm.reg >= 4)
		rex |= 0x40;
	if (rex) {
		/* AH..BH cannot be named beside a REX prefix; callers avoid it. */
		if (rm.kind == HOP_HI || op & X_HIREG) {
			assert(rex == 0x40);
			rex = 0;
		}
	}
	if (rex)
		e8(c, rex);
	if (op & X_MAP)
		e8(c, 0x0f);
	if ((op & X_MAP) == X_0F38)
		e8(c, 0x38);
	else if ((op & X_MAP) == X_0F3A)
		e8(c, 0x3a);
	e8(c, op & 0xff);
	modrm(c, reg, &rm);
}

void ins_imm(struct code *c, unsigned op, int size, int reg, struct hop rm, int n, int64_t imm)
{
	ins(c, op, size, reg, rm);
	if (n == 1)
		e8(c, (uint8_t)imm);
	else if (n == 2) {
		st16(c->p, (uint16_t)imm);
		c->p += 2;
	} else
		e32(c, (uint32_t)imm);
}

void ins_vex(struct code *c, int map, int pp, int w, int l, int op, int reg, int vvvv, struct hop rm)
{
	if (rm.kind == HOP_GS || rm.kind == HOP_GSX)
		e8(c, 0x65);
	e8(c, 0xc4);
	e8(c, (unsigned)((reg & 8 ? 0 : 0x80) | (rex_x(&rm) ? 0 : 0x40) | (rex_b(&rm) ? 0 : 0x20) | map));
	e8(c, (unsigned)(w << 7 | (~vvvv & 15) << 3 | l << 2 | pp));
	e8(c, (unsigned)op);
	modrm(c, reg, &rm);
}

void mov_rr(struct code *c, int size, int d, int s)
{
	if (d != s || size == 4)
		ins(c, 0x8b, size < 4 ? 4 : size, d, hop_reg(s));
}

void mov_ri(struct code *c, int d, uint64_t v)
{
	if (v >> 32 == 0) {			/* mov r32, imm32 */
		if (d & 8)
			e8(c, 0x41);
		e8(c, (unsigned)(0xb8 | (d & 7)));
		e32(c, (uint32_t)v);
	} else if ((int64_t)v == (int32_t)v) {	/* mov r64, simm32 */
		ins_imm(c, 0xc7, 8, 0, hop_reg(d), 4, (int64_t)v);
	} else {
		e8(c, d & 8 ? 0x49 : 0x48);
		e8(c, (unsigned)(0xb8 | (d & 7)));
		e64(c, v);
	}
}

void load(struct code *c, int size, int d, struct hop m)
{
	if (size == 1)
		ins(c, X_0F | X_RM8 | 0xb6, 4, d, m);
	else if (size == 2)
		ins(c, X_0F | 0xb7, 4, d, m);
	else
		ins(c, 0x8b, size, d, m);
}

void store(struct code *c, int size, struct hop m, int s)
{
	ins(c, size == 1 ? 0x88 : 0x89, size, s, m);
}

void store_imm(struct code *c, int size, struct hop m, int32_t v)
{
	ins_imm(c, size == 1 ? 0xc6 : 0xc7, size, 0, m, size > 4 ? 4 : size, v);
}

void alu_ri(struct code *c, int op, int size, struct hop d, int32_t v)
{
	if (size == 1)
		ins_imm(c, 0x80, 1, op, d, 1, v);
	else if (fits8(v))
		ins_imm(c, 0x83, size, op, d, 1, v);
	else
		ins_imm(c, 0x81, size, op, d, size > 4 ? 4 : size, v);
}

void alu_rm(struct code *c, int op, int size, int d, struct hop s)
{
	ins(c, (unsigned)(op << 3 | 2 | (size > 1)), size, d, s);
}

void rorx(struct code *c, int size, int d, struct hop s, int n)
{
	ins_vex(c, 3, 3, size == 8, 0, 0xf0, d, 0, s);
	e8(c, (unsigned)n);
}

uint8_t *jmp_rel32(struct code *c)
{
	e8(c, 0xe9);
	e32(c, 0);
	return c->p - 4;
}

uint8_t *jcc_rel32(struct code *c, int cc)
{
	e8(c, 0x0f);
	e8(c, (unsigned)(0x80 | cc));
	e32(c, 0);
	return c->p - 4;
}

void jmp_to(struct code *c, const uint8_t *rx_target) { fix32(c, jmp_rel32(c), rx_target); }
void jcc_to(struct code *c, int cc, const uint8_t *rx_target) { fix32(c, jcc_rel32(c, cc), rx_target); }

void call_to(struct code *c, const uint8_t *rx_target)
{
	e8(c, 0xe8);
	e32(c, 0);
	fix32(c, c->p - 4, rx_target);
}

static uint8_t *short_jump(struct code *c, unsigned op)
{
	e8(c, op);
	e8(c, 0);
	return c->p - 1;
}

uint8_t *jcc_short(struct code *c, int cc) { return short_jump(c, 0x70u | (unsigned)cc); }
uint8_t *jmp_short(struct code *c) { return short_jump(c, 0xeb); }

void land8(struct code *c, uint8_t *at)
{
	int64_t d = c->p - (at + 1);
	assert(fits8(d));
	*at = (uint8_t)d;
}
