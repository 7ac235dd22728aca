/*
 * Random encodings of a row; see gen.h. Tries until the result fits 15 bytes and obeys the
 * rules no single choice can see (gather's three registers).
 * Source: SDM vol. 2 chapter 2.
 */
#include <string.h>

#include "cpu/cpu.h"
#include "tests/insn/gen.h"

struct enc {
	struct gen *g;
	const struct insn_row *row;
	uint8_t out[40];
	unsigned n;
	bool is64, code16, vex, mem, p66, p67, rex_r, rex_x, rex_b, w, l;
	bool need_rex, no_rex;		/* SPL..DIL, AH..BH among the operands */
	uint8_t reg, rm, vvvv, mod;	/* four-bit numbers, except mod */
	uint8_t opsize, adsize;
	uint8_t sib, vsib_index;
	bool has_sib;
	unsigned disp_size;
	uint32_t disp;
};

static unsigned pick(struct enc *e, unsigned n)
{
	return rng_below(&e->g->rng, n);
}

static bool coin(struct enc *e)
{
	return pick(e, 2);
}

static void byte(struct enc *e, unsigned b)
{
	e->out[e->n++] = (uint8_t)b;
}

static void random_bytes(struct enc *e, unsigned n)
{
	while (n--)
		byte(e, pick(e, 4) ? pick(e, 256) : coin(e) ? 0 : 0xff);
}

/* ---- what the row demands ---- */

static const struct opd_info *info(const struct enc *e, unsigned i)
{
	return &opd_info[e->row->opd[i]];
}

static int find_place(const struct enc *e, int place)
{
	for (unsigned i = 0; i < INSN_MAX_OPDS; i++)
		if (info(e, i)->place == place)
			return (int)i;
	return -1;
}

static bool has_modrm(const struct enc *e)
{
	return insn_has_modrm[SLOT_OPCODE(OP_BASE(e->row->opcode), e->vex)];
}

static bool choose_form(struct enc *e)
{
	uint32_t attr = e->row->attr;
	bool can_mem = has_modrm(e) && !(attr & A_REGF) && find_place(e, PL_RMR) < 0 &&
		       !OP_IS_FIXED(e->row->opcode);
	bool can_reg = !(attr & A_MEM) && find_place(e, PL_VSIB) < 0;

	if (e->g->form == GEN_ANY)
		e->mem = can_mem && (!can_reg || coin(e));
	else
		e->mem = e->g->form == GEN_MEM;
	return e->mem ? can_mem : can_reg;
}

static void choose_prefixes(struct enc *e)
{
	uint32_t attr = e->row->attr;
	bool free66 = e->row->pfx == IP_ANY || e->row->pfx == IP_OPSIZE || e->row->pfx == IP_F3 ||
		      e->row->pfx == IP_F2;

	e->p66 = !e->vex && free66 && !pick(e, 4);
	if (e->is64 && attr & (A_F64 | A_NEAR))
		e->p66 = false;
	if (!e->g->scratch)
		e->p67 = !pick(e, 5);
	e->adsize = e->is64 ? (e->p67 ? 4 : 8) : e->code16 != e->p67 ? 2 : 4;
	e->w = attr & A_W1 ? true : attr & A_W0 || (!e->is64 && !e->vex) ? false : coin(e);
	e->l = attr & A_L1 ? true : attr & A_L0 ? false : coin(e);
	if (!e->vex)
		e->l = false;
	if (!e->is64)
		e->opsize = e->code16 != e->p66 ? 2 : 4;
	else if (attr & (A_F64 | A_NEAR) || e->w)
		e->opsize = 8;
	else
		e->opsize = e->p66 ? 2 : attr & A_D64 ? 8 : 4;
}

/* ---- registers ---- */

static unsigned n_gpr(const struct enc *e)
{
	return e->is64 ? 16 : 8;
}

static bool avoided(const struct enc *e, unsigned r)
{
	return e->g->avoid >> r & 1;
}

/* Number r of a byte register is AH..BH or SPL..DIL. */
static bool is_double(const struct opd_info *oi, unsigned r)
{
	return oi->class == CL_GPR && oi->rsize == 1 && r >= 4 && r < 8;
}

/* Registers of a class that exist and are wanted. */
static bool reg_ok(const struct enc *e, const struct opd_info *oi, unsigned r)
{
	switch (oi->class) {
	case CL_GPR:
		if (is_double(oi, r) && !avoided(e, r & 3))
			return true;
		return r < n_gpr(e) && !avoided(e, r) && (e->is64 || !is_double(oi, r));
	case CL_SEG:
		return r <= GS;
	case CL_CR:
		return r < n_gpr(e) && (0x11d >> r & 1);
	case CL_VEC:
		return r < n_gpr(e);
	case CL_DR:
	case CL_MM:
	case CL_ST:
		return r < 8;
	default:
		return true;
	}
}

static unsigned random_reg(struct enc *e, const struct opd_info *oi)
{
	unsigned r;

	do
		r = pick(e, oi->class == CL_NONE ? 1 : 16);
	while (!reg_ok(e, oi, r));
	return r;
}

static void choose_high_or_low(struct enc *e, const struct opd_info *oi, unsigned r)
{
	if (!is_double(oi, r))
		return;
	bool high_ok = !avoided(e, r & 3), low_ok = e->is64 && !avoided(e, r);
	bool high = high_ok && (!low_ok || coin(e));
	e->no_rex |= high;
	e->need_rex |= !high && e->is64;
}

/* The opcode byte decides three bits. */
static bool opcode_register(struct enc *e, const struct opd_info *oi)
{
	unsigned r = e->row->opcode & 7;

	if (e->is64 && !(e->row->attr & A_B0) && coin(e))
		r |= 8;
	e->rex_b = r & 8;
	if (!reg_ok(e, oi, r))
		return false;
	choose_high_or_low(e, oi, r);
	return true;
}

static bool choose_registers(struct enc *e)
{
	for (unsigned i = 0; i < INSN_MAX_OPDS; i++) {
		const struct opd_info *oi = info(e, i);

		if (oi->place == PL_OPC && !opcode_register(e, oi))
			return false;
		if (!PL_HAS_MODRM(oi->place) || (e->mem && oi->place == PL_RM))
			continue;
		unsigned r = random_reg(e, oi);
		choose_high_or_low(e, oi, r);
		if (oi->place == PL_REG)
			e->reg = (uint8_t)r;
		else if (oi->place == PL_VVVV)
			e->vvvv = (uint8_t)r;
		else
			e->rm = (uint8_t)r;
	}
	if (e->row->reg >= 0)
		e->reg = (uint8_t)e->row->reg;
	return true;
}

/* ---- addresses ---- */

static void choose_disp(struct enc *e)
{
	e->disp = (uint32_t)rng_next(&e->g->rng);
}

static void scratch_address(struct enc *e)
{
	e->rm = e->g->base & 7;
	e->rex_b = e->g->base & 8;
	e->disp = pick(e, e->g->max_disp / 32 + 1) * 32;
	e->disp_size = e->disp < 128 && coin(e) ? 1 : e->adsize == 2 ? 2 : 4;
	e->mod = e->disp_size == 1 ? 1 : 2;
	if (find_place(e, PL_VSIB) >= 0) {
		e->has_sib = true;
		e->vsib_index = (uint8_t)pick(e, n_gpr(e));
		e->sib = (uint8_t)((e->vsib_index & 7) << 3 | e->rm);
		e->rex_x = e->vsib_index & 8;
		e->rm = 4;
	}
}

static void random_address(struct enc *e)
{
	e->mod = (uint8_t)pick(e, 3);
	e->rm = (uint8_t)pick(e, 8);
	choose_disp(e);
	if (e->adsize == 2) {
		e->disp_size = e->mod == 0 && e->rm == 6 ? 2 : e->mod;
		return;
	}
	if (find_place(e, PL_VSIB) >= 0)
		e->rm = 4;
	if (e->is64) {
		e->rex_b = coin(e);
		e->rex_x = coin(e);
	}
	e->disp_size = e->mod == 2 ? 4 : e->mod;
	if (e->rm == 4) {
		e->has_sib = true;
		e->sib = (uint8_t)pick(e, 256);
		e->vsib_index = (e->sib >> 3 & 7) | e->rex_x << 3;
	}
	if (e->mod == 0 && (e->rm == 5 || (e->has_sib && (e->sib & 7) == 5)))
		e->disp_size = 4;
}

static bool choose_address(struct enc *e)
{
	if (!e->mem) {
		e->mod = 3;
		return true;
	}
	if (e->g->scratch)
		scratch_address(e);
	else
		random_address(e);
	if (find_place(e, PL_VSIB) < 0)
		return true;
	return e->adsize != 2 && e->vsib_index != e->reg && e->vsib_index != e->vvvv && e->vvvv != e->reg;
}

/* ---- bytes ---- */

static void legacy_prefixes(struct enc *e)
{
	static const uint8_t segs[] = { 0x26, 0x2e, 0x36, 0x3e, 0x64, 0x65 };
	const struct insn_row *row = e->row;
	bool locked = row->attr & A_LOCK && e->mem && e->g->lock && coin(e);
	bool rep = row->attr & A_REP && e->g->rep && coin(e);

	if (!e->g->scratch && !pick(e, 4))
		byte(e, segs[pick(e, sizeof(segs))]);
	if (e->p67)
		byte(e, 0x67);
	if (e->p66 || (row->pfx == IP_66 && !e->vex))
		byte(e, 0x66);
	if (locked)
		byte(e, 0xf0);
	if (rep)
		byte(e, 0xf2 + pick(e, 2));
	if (!e->vex && (row->pfx == IP_F3 || row->pfx == IP_F2))
		byte(e, row->pfx == IP_F3 ? 0xf3 : 0xf2);
}

static void rex_prefix(struct enc *e)
{
	unsigned rex = 0x40 | e->w << 3 | e->rex_r << 2 | e->rex_x << 1 | e->rex_b;

	if (e->is64 && !e->no_rex && (rex != 0x40 || e->need_rex || !pick(e, 4)))
		byte(e, rex);
}

static void vex_prefix(struct enc *e)
{
	unsigned pp = e->row->pfx - IP_NONE, map = OP_MAP(OP_BASE(e->row->opcode));
	unsigned tail = (~e->vvvv & 15u) << 3 | e->l << 2 | pp;

	if (map == MAP_0F && !e->w && !e->rex_x && !e->rex_b && coin(e)) {
		byte(e, 0xc5);
		byte(e, !e->rex_r << 7 | tail);
		return;
	}
	byte(e, 0xc4);
	byte(e, !e->rex_r << 7 | !e->rex_x << 6 | !e->rex_b << 5 | map);
	byte(e, e->w << 7 | tail);
}

static void opcode_bytes(struct enc *e)
{
	uint32_t op = OP_BASE(e->row->opcode);

	if (e->vex)
		vex_prefix(e);
	else
		rex_prefix(e);
	if (!e->vex && op > 0xff)
		byte(e, 0x0f);
	if (!e->vex && op > 0xffff)
		byte(e, op >> 8 & 0xff);
	byte(e, op & 0xff);
}

static void modrm_bytes(struct enc *e)
{
	if (OP_IS_FIXED(e->row->opcode)) {
		byte(e, e->row->opcode & 0xff);
		return;
	}
	byte(e, e->mod << 6 | (e->reg & 7) << 3 | (e->rm & 7));
	if (e->has_sib)
		byte(e, e->sib);
	for (unsigned i = 0; i < e->disp_size; i++)
		byte(e, e->disp >> 8 * i);
}

static unsigned imm_size(const struct enc *e, uint8_t code)
{
	switch (code) {
	case SZ_V: return e->opsize;
	case SZ_Z: return e->opsize > 4 ? 4 : e->opsize;
	case SZ_P: return e->opsize + 2;
	default: return code;
	}
}

static void tail_bytes(struct enc *e)
{
	for (unsigned i = 0; i < INSN_MAX_OPDS; i++) {
		const struct opd_info *oi = info(e, i);

		if (oi->place == PL_IMM || oi->place == PL_IMMS || oi->place == PL_REL || oi->place == PL_FAR)
			random_bytes(e, imm_size(e, oi->rsize));
		else if (oi->place == PL_MOFFS)
			random_bytes(e, e->adsize);
		else if (oi->place == PL_IS4)
			byte(e, pick(e, n_gpr(e)) << 4);
	}
}

static bool attempt(struct enc *e)
{
	e->vex = e->row->attr & A_VEX;
	if (!choose_form(e))
		return false;
	choose_prefixes(e);
	if (!choose_registers(e) || !choose_address(e))
		return false;
	e->rex_r = e->reg & 8;
	e->rex_b |= (e->rm & 8) != 0;
	if (e->no_rex && (e->need_rex || e->w || e->rex_r || e->rex_x || e->rex_b))
		return false;
	legacy_prefixes(e);
	opcode_bytes(e);
	if (has_modrm(e))
		modrm_bytes(e);
	tail_bytes(e);
	return e->n <= 15;
}

static bool exists(const struct gen *g, const struct insn_row *row)
{
	if (g->mode == MODE_CODE64)
		return !(row->attr & A_NO64);
	return !(row->attr & A_ONLY64) && (row->attr & (A_VEX | A_W1)) != A_W1;
}

unsigned insn_gen(struct gen *g, unsigned row, uint8_t buf[15])
{
	if (!exists(g, &insn_rows[row]))
		return 0;
	for (int tries = 0; tries < 100; tries++) {
		struct enc e = {
			.g = g, .row = &insn_rows[row], .is64 = g->mode == MODE_CODE64,
			.code16 = g->mode == MODE_CODE16,
		};
		if (attempt(&e)) {
			memcpy(buf, e.out, e.n);
			return e.n;
		}
	}
	return 0;
}
