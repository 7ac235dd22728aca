/*
 * The decoder: bytes -> struct insn.
 *
 * Prefixes, opcode and ModRM select a slot (insn_ids.h); the slot's rows are tried from
 * the last to the first; the operand codes of the row that fits say what else to fetch.
 * Bytes that fit no row are #UD.
 *
 * Where processors differ: 66 cuts near branches in 64-bit code to 16 bits on AMD's and is
 * ignored by Intel's; LOCK MOV CR0 names CR8 on AMD's. Both follow the model. ES, CS, SS and DS
 * prefixes there change nothing, not even an FS or GS before them; 0f0d with a register is
 * #UD (AMD); UD0 and UD1 have a ModRM byte (Intel).
 *
 * Not modelled: far pointers in memory keep their 32 bits of offset under REX.W on AMD's
 * processors; here they have 64 on every model, as programs that write REX.W there expect
 * (and as hypervisors that emulate the access give it). #UD for mov dr4/dr5 with CR4.DE (the
 * front end's), the page fault that a longer fetch of an invalid instruction might raise.
 * Source: SDM vol. 2 chapter 2, appendix A; vol. 3A 20.1.4 (16-bit code); AMD APM vol. 3 chapter 1.
 * Light.
 */
#include "cpu/cpu.h"
#include "cpu/decode.h"

#define MAX_LEN 15
_Static_assert(INSN_WIDE == MAX_LEN + 8, "eight bytes can be read at any place of an instruction");

struct dec {
	const uint8_t *p;
	unsigned pos, end;
	const struct insn_env *env;
	const struct insn_row *row;
	struct insn *in;
	uint8_t map, op, vex_pp;
	uint8_t error;			/* enum insn_result */
	uint8_t disp_size;
	bool wide;			/* eight bytes can be read at any place of an instruction */
	bool is64, rex_w, uses_vvvv, second_imm;
	uint8_t rex_r, rex_x, rex_b;	/* 0 or 8 */
};

static bool is_protected(const struct dec *d)
{
	return (d->env->mode & (MODE_PE | MODE_VM)) == MODE_PE;
}

static bool has(const struct dec *d, unsigned feature)
{
	return d->env->feat[feature >> 6] >> (feature & 63) & 1;
}

/* ---- fetching ---- */

/* Room for n more bytes; otherwise the error is recorded. */
static bool have(struct dec *d, unsigned n)
{
	if (d->pos + n <= d->end)
		return true;
	d->error = d->pos + n > MAX_LEN ? INSN_TOO_LONG : INSN_TRUNCATED;
	return false;
}

static uint64_t fetch_n(struct dec *d, unsigned n)
{
	if (!have(d, n))
		return 0;
	uint64_t v = d->wide ? ld64(d->p + d->pos) & ~0ull >> (64 - 8 * n) : ld_n(d->p + d->pos, (int)n);
	d->pos += n;
	return v;
}

/* ---- prefixes and opcode ---- */

enum { P_NONE, P_SEG, P_66, P_67, P_LOCK, P_REP, P_REPNE, P_REX };

static const uint8_t prefix_kind[256] = {
	[0x26] = P_SEG, [0x2e] = P_SEG, [0x36] = P_SEG, [0x3e] = P_SEG, [0x64] = P_SEG, [0x65] = P_SEG,
	[0x66] = P_66, [0x67] = P_67, [0xf0] = P_LOCK, [0xf2] = P_REPNE, [0xf3] = P_REP,
	[0x40 ... 0x4f] = P_REX,
};

static void segment_prefix(struct dec *d, uint8_t b)
{
	uint8_t seg = b >= 0x64 ? FS + (b & 1) : b >> 3 & 3;

	if (!d->is64 || seg >= FS)
		d->in->seg_override = seg;
}

/* Consumes prefixes and the first opcode byte, which it returns. */
static uint8_t prefixes(struct dec *d)
{
	struct insn *in = d->in;

	if (d->wide && d->is64 && prefix_kind[d->p[0]] == P_REX && prefix_kind[d->p[1]] == P_NONE) {
		in->rex = d->p[0];	/* the usual case; what follows does it as well */
		d->pos = 2;
		return d->p[1];
	}
	for (;;) {
		if (!have(d, 1))
			return 0;
		uint8_t b = d->p[d->pos++];
		switch (prefix_kind[b]) {
		case P_NONE:
			return b;
		case P_SEG:
			segment_prefix(d, b);
			break;
		case P_66:
			in->pfx |= PFX_66;
			break;
		case P_67:
			in->pfx |= PFX_67;
			break;
		case P_LOCK:
			in->pfx |= PFX_LOCK;
			break;
		case P_REP:
			in->pfx = (in->pfx & ~PFX_REPNE) | PFX_REP;
			break;
		case P_REPNE:
			in->pfx = (in->pfx & ~PFX_REP) | PFX_REPNE;
			break;
		case P_REX:
			if (!d->is64)
				return b;
			in->rex = b;	/* counts only right before the opcode */
			continue;
		}
		in->rex = 0;
	}
}

/* C4 or C5 was fetched. False: it is LES or LDS, or an error. */
static bool vex_prefix(struct dec *d, uint8_t b)
{
	struct insn *in = d->in;

	if (!have(d, 1) || (!d->is64 && (d->p[d->pos] >> 6 != 3 || !is_protected(d))))
		return false;
	if (in->rex || in->pfx & (PFX_66 | PFX_LOCK | PFX_REP | PFX_REPNE)) {
		d->error = INSN_INVALID;
		return false;
	}
	uint8_t b1 = (uint8_t)fetch_n(d, 1), b2 = b1, map = 1;
	d->rex_r = ~b1 >> 4 & 8;
	if (b == 0xc4) {
		b2 = (uint8_t)fetch_n(d, 1);
		d->rex_x = ~b1 >> 3 & 8;
		d->rex_b = ~b1 >> 2 & 8;
		d->rex_w = b2 >> 7;
		map = b1 & 31;
	}
	if (!d->is64)
		d->rex_b = 0;
	if (d->error == INSN_OK && (map < 1 || map > 3))
		d->error = INSN_INVALID;
	if (d->error != INSN_OK)
		return false;
	in->vex = true;
	in->rex = 0x40 | d->rex_w << 3 | d->rex_r >> 1 | d->rex_x >> 2 | d->rex_b >> 3;
	in->vex_l = b2 >> 2 & 1;
	in->vex_v = ~b2 >> 3 & 15;
	d->vex_pp = b2 & 3;
	d->map = MAP_VEX_0F + map - 1;
	d->op = (uint8_t)fetch_n(d, 1);
	return true;
}

/* Sets map, op and the REX bits. */
static void opcode(struct dec *d)
{
	struct insn *in = d->in;
	uint8_t b = prefixes(d);

	if ((b & 0xfe) == 0xc4 && (vex_prefix(d, b) || d->error != INSN_OK))
		return;
	d->rex_w = in->rex >> 3 & 1;
	d->rex_r = in->rex << 1 & 8;
	d->rex_x = in->rex << 2 & 8;
	d->rex_b = in->rex << 3 & 8;
	d->map = MAP_0;
	d->op = b;
	if (b == 0x0f) {
		d->op = (uint8_t)fetch_n(d, 1);
		d->map = MAP_0F;
		if (d->op == 0x38 || d->op == 0x3a) {
			d->map = d->op == 0x38 ? MAP_0F38 : MAP_0F3A;
			d->op = (uint8_t)fetch_n(d, 1);
		}
	}
}

/* ---- the row ---- */

/* Which of the mandatory prefixes IP_* a row may have here, as bits. */
static unsigned prefixes_that_fit(const struct dec *d)
{
	unsigned have_rep = d->in->pfx & (PFX_REP | PFX_REPNE), have_66 = d->in->pfx & PFX_66;

	if (d->in->vex)		/* pp: none, 66, F3, F2 */
		return 1u << (IP_NONE + d->vex_pp);
	if (have_rep)
		return 1u << IP_ANY | 1u << (have_rep == PFX_REP ? IP_F3 : IP_F2);
	return 1u << IP_ANY | 1u << IP_OPSIZE | 1u << (have_66 ? IP_66 : IP_NONE);
}

/* Attributes of rows that do not fit. */
static uint32_t refused(const struct dec *d)
{
	uint32_t refuse = d->is64 ? A_NO64 : A_ONLY64;

	if (!is_protected(d))
		refuse |= A_PE;
	refuse |= d->rex_w ? A_W0 : A_W1;
	refuse |= d->in->vex_l ? A_L0 : A_L1;
	if (d->rex_b)
		refuse |= A_B0;
	if (d->in->has_modrm)
		refuse |= INSN_MOD(d->in) == 3 ? A_MEM : A_REGF;
	return refuse;
}

static bool fits(const struct dec *d, const struct insn_row *row, uint32_t refuse, unsigned prefix)
{
	if (row->attr & refuse || !(prefix >> row->pfx & 1))
		return false;
	if (row->reg >= 0 && row->reg != INSN_REG(d->in))
		return false;
	if (OP_IS_FIXED(row->opcode) && (row->opcode & 0xff) != d->in->modrm)
		return false;
	return has(d, row->cpuid);
}

static void find_row(struct dec *d)
{
	unsigned slot_op = d->map * 256u + d->op, slot = slot_op * 16, prefix;
	uint32_t refuse;

	d->in->has_modrm = insn_has_modrm[slot_op];
	if (d->in->has_modrm) {
		uint8_t m = d->in->modrm = (uint8_t)fetch_n(d, 1);
		slot += (m >= 0xc0 ? 8 : 0) + (m >> 3 & 7);
	}
	if (d->error != INSN_OK)
		return;
	refuse = refused(d);
	prefix = prefixes_that_fit(d);
	for (unsigned r = insn_slot[slot]; r; r--) {
		const struct insn_row *row = &insn_rows[r - 1];
		if (fits(d, row, refuse, prefix)) {
			d->row = row;
			d->in->row = (uint16_t)(r - 1);
			return;
		}
		if (r == 1 || !insn_same_slot(row, row - 1))
			break;
	}
	d->error = INSN_INVALID;
}

/* ---- sizes ---- */

static void sizes(struct dec *d)
{
	struct insn *in = d->in;
	uint32_t attr = d->row->attr;
	bool p66 = in->pfx & PFX_66 && d->row->pfx != IP_66, p67 = in->pfx & PFX_67;
	bool code16 = (d->env->mode & MODE_CODE) == MODE_CODE16;

	in->adsize = d->is64 ? (p67 ? 4 : 8) : code16 != p67 ? 2 : 4;
	if (!d->is64)
		in->opsize = code16 != p66 ? 2 : 4;
	else if (attr & A_F64 || (attr & A_NEAR && has(d, F_INTEL)) || (d->rex_w && !(attr & A_I64)))
		in->opsize = 8;
	else if (p66)
		in->opsize = 2;
	else
		in->opsize = attr & (A_D64 | A_NEAR) ? 8 : 4;
}

static uint8_t size_of(const struct dec *d, uint8_t code)
{
	uint8_t v = d->in->opsize, x = d->in->vex_l ? 32 : 16;

	switch (code) {
	case SZ_V: return v;
	case SZ_Z: return v > 4 ? 4 : v;
	case SZ_Y: return d->rex_w && d->is64 ? 8 : 4;
	case SZ_N: return d->is64 ? 8 : 4;
	case SZ_P: return v + 2;
	case SZ_A: return 2 * v;
	case SZ_S: return d->is64 ? 10 : 6;
	case SZ_X: return x;
	case SZ_HX: return x / 2;
	case SZ_QX: return x / 4;
	case SZ_EX: return x / 8;
	default: return code;
	}
}

/* ---- memory operands ---- */

/* SDM vol. 2 table 2-1. */
static const uint8_t base16[8] = { RBX, RBX, RBP, RBP, RSI, RDI, RBP, RBX };
static const uint8_t index16[8] = { RSI, RDI, RSI, RDI, NO_REG, NO_REG, NO_REG, NO_REG };

static void address16(struct dec *d)
{
	struct insn *in = d->in;
	unsigned mod = INSN_MOD(in), rm = INSN_RM(in);

	in->base = base16[rm];
	in->index = index16[rm];
	d->disp_size = mod;	/* 0, 1, 2 */
	if (mod == 0 && rm == 6) {
		in->base = NO_REG;
		d->disp_size = 2;
	}
}

static void sib(struct dec *d, unsigned mod, bool vector_index)
{
	struct insn *in = d->in;
	uint8_t b = (uint8_t)fetch_n(d, 1);

	in->scale = b >> 6;
	in->index = (b >> 3 & 7) | d->rex_x;
	if (in->index == RSP && !vector_index) {
		in->index = NO_REG;
		in->scale = 0;
	}
	in->base = (b & 7) | d->rex_b;
	if ((b & 7) == RBP && mod == 0) {
		in->base = NO_REG;
		d->disp_size = 4;
	}
}

static void address32(struct dec *d, bool vector_index)
{
	struct insn *in = d->in;
	unsigned mod = INSN_MOD(in), rm = INSN_RM(in);

	in->base = rm | d->rex_b;
	d->disp_size = mod == 2 ? 4 : mod;
	if (rm == 4) {
		sib(d, mod, vector_index);
	} else if (vector_index) {
		d->error = INSN_INVALID;
	} else if (rm == 5 && mod == 0) {
		in->base = d->is64 ? RIP_REG : NO_REG;
		d->disp_size = 4;
	}
}

static void data_segment(struct insn *in, uint8_t normally)
{
	in->seg = in->seg_override != NO_REG ? in->seg_override : normally;
}

/* ModRM's memory operand. */
static void address(struct dec *d, bool vector_index)
{
	struct insn *in = d->in;

	if (in->adsize == 2) {
		if (vector_index)
			d->error = INSN_INVALID;
		address16(d);
	} else {
		address32(d, vector_index);
	}
	if (d->disp_size)
		in->disp = sext(fetch_n(d, d->disp_size), 8 * d->disp_size);
	data_segment(in, in->base == RSP || in->base == RBP ? SS : DS);
}

/* Memory that the opcode implies. */
static void implied(struct dec *d, struct opd *o, uint8_t base, uint8_t seg)
{
	struct insn *in = d->in;

	o->kind = OPD_MEM;
	o->reg = base;
	if (base == RDI && seg == ES && in->base != NO_REG)
		return;		/* movs, cmps: the source describes the operand */
	in->base = base;
	if (seg == ES)
		in->seg = ES;
	else
		data_segment(in, seg);
}

/* ---- operands ---- */

static void reg_operand(struct dec *d, struct opd *o, uint8_t class, uint8_t low3, uint8_t rex)
{
	static const uint8_t kinds[] = {
		[CL_GPR] = OPD_REG, [CL_SEG] = OPD_SEG, [CL_CR] = OPD_CR, [CL_DR] = OPD_DR,
		[CL_ST] = OPD_ST, [CL_MM] = OPD_MM, [CL_VEC] = OPD_XMM,
	};
	o->kind = kinds[class];
	o->reg = low3 | rex;
	switch (class) {
	case CL_GPR:
		if (o->size == 1 && !d->in->rex && o->reg >= 4 && o->reg < 8)
			o->reg += REG_AH - 4;
		break;
	case CL_SEG:
		o->reg = low3;
		if (low3 > GS)
			d->error = INSN_INVALID;
		break;
	case CL_CR:
		if (!(1u << o->reg & 0x11d))
			d->error = INSN_INVALID;
		break;
	case CL_DR:
		if (rex)
			d->error = INSN_INVALID;
		break;
	case CL_ST:
	case CL_MM:
		o->reg = low3;
		break;
	case CL_VEC:
		if (o->size == 32)
			o->kind = OPD_YMM;
		break;
	}
}

static void immediate(struct dec *d, struct opd *o, bool is_signed)
{
	uint64_t v = fetch_n(d, o->size);
	int64_t x = is_signed ? sext(v, 8 * o->size) : (int64_t)v;

	if (d->second_imm) {
		o->kind = OPD_IMM2;
		d->in->imm2 = x;
	} else {
		o->kind = OPD_IMM;
		d->in->imm = x;
		d->second_imm = true;
	}
}

/* Relative targets have 32 bits in 64-bit code, whatever the operand size. */
static void target(struct dec *d, struct opd *o)
{
	o->kind = OPD_REL;
	d->in->imm = sext(fetch_n(d, o->size), 8 * o->size);
}

static void far_pointer(struct dec *d, struct opd *o)
{
	o->kind = OPD_FAR;
	d->in->imm = (int64_t)fetch_n(d, d->in->opsize);
	d->in->imm2 = (int64_t)fetch_n(d, 2);
}

static void operand(struct dec *d, struct opd *o, uint8_t code)
{
	const struct opd_info *oi = &opd_info[code];
	struct insn *in = d->in;

	o->size = oi->rsize == SZ_V ? in->opsize : size_of(d, oi->rsize);
	switch (oi->place) {
	case PL_REG:
		reg_operand(d, o, oi->class, INSN_REG(in), d->rex_r);
		break;
	case PL_RM:
		if (INSN_MOD(in) != 3) {
			o->kind = OPD_MEM;
			o->size = oi->msize == SZ_V ? in->opsize : size_of(d, oi->msize);
			break;
		}
		/* fallthrough */
	case PL_RMR:
		reg_operand(d, o, oi->class, INSN_RM(in), d->rex_b);
		break;
	case PL_VSIB:
		o->kind = OPD_MEM;
		o->size = oi->msize;
		break;
	case PL_VVVV:
		d->uses_vvvv = true;
		reg_operand(d, o, oi->class, in->vex_v & (d->is64 ? 15 : 7), 0);
		break;
	case PL_IS4:
		reg_operand(d, o, oi->class, (uint8_t)fetch_n(d, 1) >> 4 & (d->is64 ? 15 : 7), 0);
		break;
	case PL_OPC:
		reg_operand(d, o, oi->class, d->op & 7, d->rex_b);
		break;
	case PL_IMM:
	case PL_IMMS:
		immediate(d, o, oi->place == PL_IMMS);
		break;
	case PL_ONE:
		o->kind = OPD_IMM;
		in->imm = 1;
		break;
	case PL_REL:
		target(d, o);
		break;
	case PL_FAR:
		far_pointer(d, o);
		break;
	case PL_MOFFS:
		o->kind = OPD_MEM;
		o->size = size_of(d, oi->msize);
		in->disp = (int64_t)fetch_n(d, in->adsize);
		data_segment(in, DS);
		break;
	case PL_SI:
		o->size = size_of(d, oi->msize);
		implied(d, o, RSI, DS);
		break;
	case PL_DI:
		o->size = size_of(d, oi->msize);
		implied(d, o, RDI, ES);
		break;
	case PL_DIDS:
		o->size = oi->msize;
		implied(d, o, RDI, DS);
		break;
	case PL_BX:
		o->size = oi->msize;
		implied(d, o, RBX, DS);
		break;
	default:
		reg_operand(d, o, oi->class, oi->place - PL_FIX0, 0);
		break;
	}
}

/* Which of ModRM's forms need address bytes: not those that take rm as a register anyway. */
static bool addresses_memory(const struct dec *d)
{
	return d->in->has_modrm && INSN_MOD(d->in) != 3 &&
	       opd_info[d->row->opd[0]].place != PL_RMR && opd_info[d->row->opd[1]].place != PL_RMR;
}

static void operands(struct dec *d)
{
	const uint8_t *codes = d->row->opd;
	struct insn *in = d->in;

	if (addresses_memory(d))
		address(d, opd_info[codes[1]].place == PL_VSIB);
	for (unsigned i = 0; i < INSN_MAX_OPDS && codes[i] != OC__; i++) {
		operand(d, &in->opd[i], codes[i]);
		in->nopd = i + 1;
	}
}

/* ---- rules about whole instructions ---- */

/* A gather's destination, index and mask must be three registers. */
static bool gather_overlaps(const struct insn *in)
{
	return in->opd[0].reg == in->opd[2].reg || in->opd[0].reg == in->index ||
	       in->opd[2].reg == in->index;
}

static bool is_cr0(const struct opd *o)
{
	return o->kind == OPD_CR && o->reg == 0;
}

static bool lockable(const struct dec *d)
{
	const struct opd *o = d->in->opd;

	return d->row->attr & A_LOCK && (o[0].kind == OPD_MEM || is_cr0(&o[0]) || is_cr0(&o[1]));
}

static bool legal(const struct dec *d)
{
	const struct insn *in = d->in;

	if (in->pfx & PFX_LOCK && !lockable(d))
		return false;
	if (in->vex && !d->uses_vvvv && in->vex_v)
		return false;
	return opd_info[d->row->opd[1]].place != PL_VSIB || !gather_overlaps(in);
}

/* By hand, because a structure assignment may become a call of memset. */
static void clear(struct insn *in)
{
	typedef uint64_t __attribute__((may_alias)) word;
	word *w = (word *)(void *)in;

	_Static_assert(sizeof(*in) % 8 == 0, "cleared by words");
#pragma GCC unroll 16
	for (unsigned i = 0; i < sizeof(*in) / 8; i++)
		w[i] = 0;
	in->seg = DS;
	in->base = in->index = in->seg_override = NO_REG;
}

/* By prefixes, rows and operand codes. */
enum insn_result decode_any(const uint8_t *p, unsigned n, const struct insn_env *env, struct insn *in)
{
	struct dec d = {
		.p = p, .end = n < MAX_LEN ? n : MAX_LEN, .env = env, .in = in, .error = INSN_OK,
		.is64 = (env->mode & MODE_CODE) == MODE_CODE64, .wide = n >= INSN_WIDE,
	};

	clear(in);
	opcode(&d);
	if (d.error == INSN_OK)
		find_row(&d);
	if (d.error == INSN_OK) {
		sizes(&d);
		operands(&d);
	}
	if (d.error == INSN_OK && !legal(&d))
		d.error = INSN_INVALID;
	in->len = (uint8_t)d.pos;
	if (env->memo && d.error == INSN_OK && n >= INSN_WIDE)
		decode_remember(p, env, in);
	return d.error;
}
