/*
 * Host x86-64 encoder. See emit.h.
 */
#include "tcg/x64/emit.h"

#include <assert.h>

#include "cpu/cpu.h"

static bool fits8(int64_t v) { return v == (int8_t)v; }

/*
 * Bytes are put by a pointer of their own: c->p might be what each of them is written
 * to, as far as the compiler knows, and would be read again behind it.
 */
static uint8_t *put32(uint8_t *p, uint32_t v)
{
	st32(p, v);
	return p + 4;
}

/* Memory at base + index * scale + disp. */
static inline uint8_t *memory(uint8_t *p, int reg, struct hop rm)
{
	int b = rm.reg & 7;
	/* rbp and r13 have no form without a displacement; rsp and r12 need a SIB. */
	int mod = rm.disp == 0 && b != 5 ? 0 : fits8(rm.disp) ? 1 : 2;

	if (rm.index != 0xff) {
		*p++ = (uint8_t)(mod << 6 | reg | 4);
		*p++ = (uint8_t)(rm.scale << 6 | (rm.index & 7) << 3 | b);
	} else {
		*p++ = (uint8_t)(mod << 6 | reg | b);
		if (b == 4)
			*p++ = 0x24;
	}
	if (mod == 1)
		*p++ = (uint8_t)rm.disp;
	else if (mod == 2)
		p = put32(p, (uint32_t)rm.disp);
	return p;
}

/* ModRM, SIB and displacement. Without calls ins_any() saves no registers. */
static inline __attribute__((always_inline)) uint8_t *modrm(uint8_t *p, int reg, struct hop rm)
{
	int b = rm.reg & 7;

	reg = (reg & 7) << 3;
	switch (rm.kind) {
	case HOP_REG:
		*p++ = (uint8_t)(0xc0 | reg | b);
		return p;
	case HOP_HI:
		*p++ = (uint8_t)(0xc0 | reg | (b + 4));
		return p;
	case HOP_MEM:
		return memory(p, reg, rm);
	case HOP_GS:		/* no base, no index: absolute disp32 */
		*p++ = (uint8_t)(0x04 | reg);
		*p++ = 0x25;
		return put32(p, (uint32_t)(rm.disp - GS_AT));
	default:
		break;
	}
	rm.disp -= GS_AT;
	if (!rm.scale)
		return memory(p, reg, rm);
	*p++ = (uint8_t)(0x04 | reg);	/* index without a base */
	*p++ = (uint8_t)(rm.scale << 6 | b << 3 | 5);
	return put32(p, (uint32_t)rm.disp);
}

/* X and B of a REX prefix. */
static inline unsigned rex_xb(struct hop rm)
{
	switch (rm.kind) {
	case HOP_REG: return rm.reg >> 3;
	case HOP_MEM: return rm.reg >> 3 | (rm.index != 0xff ? rm.index >> 2 & 2 : 0);
	case HOP_GSX: return rm.scale ? rm.reg >> 2 & 2 : rm.reg >> 3;
	default: return 0;
	}
}

static uint8_t *prefixes(uint8_t *p, unsigned op, int size)
{
	if (op & X_LOCK)
		*p++ = 0xf0;
	if (op & X_66 || size == 2)
		*p++ = 0x66;
	if (op & X_F3)
		*p++ = 0xf3;
	if (op & X_F2)
		*p++ = 0xf2;
	return p;
}

static void ins_any(struct code *c, unsigned op, int size, int reg, struct hop rm)
{
	unsigned rex = rex_xb(rm);
	uint8_t *p = c->p;

	if (rm.kind >= HOP_GS)
		*p++ = 0x65;
	if (op & (X_LOCK | X_66 | X_F3 | X_F2) || size == 2)
		p = prefixes(p, op, size);
	if (size == 8)
		rex |= 0x48;
	if (op & X_HIREG)
		reg += 4;
	else if (reg & 8)
		rex |= 0x44;
	else if (size == 1 && reg >= 4)
		rex |= 0x40;
	if (rm.kind == HOP_REG && rm.reg >= 4 && (size == 1 || op & X_RM8))
		rex |= 0x40;
	if (rex && (rm.kind == HOP_HI || op & X_HIREG)) {
		/* AH..BH cannot be named beside a REX prefix; callers avoid it. */
		assert(rex == 0x40);
		rex = 0;
	}
	if (rex)
		*p++ = (uint8_t)(0x40 | rex);
	if (op & X_MAP) {
		*p++ = 0x0f;
		if ((op & X_MAP) != X_0F)
			*p++ = (op & X_MAP) == X_0F38 ? 0x38 : 0x3a;
	}
	*p++ = (uint8_t)op;
	c->p = modrm(p, reg, rm);
}

/* Two registers, nothing unusual. */
static void ins_rr(struct code *c, unsigned op, int size, unsigned reg, unsigned rm)
{
	unsigned rex = (size == 8 ? 0x48u : 0x40u) | (reg >> 3) << 2 | rm >> 3;
	uint8_t *p = c->p;

	if (rex != 0x40)
		*p++ = (uint8_t)rex;
	if (op & X_0F)
		*p++ = 0x0f;
	p[0] = (uint8_t)op;
	p[1] = (uint8_t)(0xc0 | (reg & 7) << 3 | (rm & 7));
	c->p = p + 2;
}

void ins(struct code *c, unsigned op, int size, int reg, struct hop rm)
{
	if (rm.kind == HOP_REG && size >= 4 && op < X_0F38)
		ins_rr(c, op, size, (unsigned)reg, rm.reg);
	else
		ins_any(c, op, size, reg, rm);
}

void ins_imm(struct code *c, unsigned op, int size, int reg, struct hop rm, int n, int64_t imm)
{
	ins(c, op, size, reg, rm);
	if (n == 1)
		*c->p = (uint8_t)imm;
	else if (n == 2)
		st16(c->p, (uint16_t)imm);
	else
		st32(c->p, (uint32_t)imm);
	c->p += n;
}

void ins_vex(struct code *c, int map, int pp, int w, int l, int op, int reg, int vvvv, struct hop rm)
{
	unsigned xb = rex_xb(rm);
	uint8_t *p = c->p;

	if (rm.kind >= HOP_GS)
		*p++ = 0x65;
	p[0] = 0xc4;
	p[1] = (uint8_t)((reg & 8 ? 0 : 0x80) | (~xb & 3) << 5 | (unsigned)map);
	p[2] = (uint8_t)(w << 7 | (~vvvv & 15) << 3 | l << 2 | pp);
	p[3] = (uint8_t)op;
	c->p = modrm(p + 4, reg, rm);
}

void mov_rr(struct code *c, int size, int d, int s)
{
	if (d != s || size == 4)
		ins(c, 0x8b, size < 4 ? 4 : size, d, hop_reg(s));
}

void mov_ri(struct code *c, int d, uint64_t v)
{
	if (v >> 32 == 0) {			/* mov r32, imm32 */
		uint8_t *p = c->p;

		if (d & 8)
			*p++ = 0x41;
		*p = (uint8_t)(0xb8 | (d & 7));
		c->p = put32(p + 1, (uint32_t)v);
	} else if ((int64_t)v == (int32_t)v) {	/* mov r64, simm32 */
		ins_imm(c, 0xc7, 8, 0, hop_reg(d), 4, (int64_t)v);
	} else {
		e8(c, d & 8 ? 0x49 : 0x48);
		e8(c, (unsigned)(0xb8 | (d & 7)));
		note_move(c->moves, c->p, false);
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

void lea_rip(struct code *c, int d)
{
	e8(c, d & 8 ? 0x4c : 0x48);
	e8(c, 0x8d);
	e8(c, (unsigned)(0x05 | (d & 7) << 3));
	e32(c, 0);
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
