/*
 * Instructions of forms that have been decoded before. See decode.h. Everything is learnt from
 * what cpu/decode.c made of the first one, so this file knows nothing of what opcodes mean.
 *
 * Light.
 */
#include "cpu/cpu.h"
#include "cpu/decode.h"

typedef uint64_t __attribute__((may_alias)) word;

/* decode_form.sel: of the bytes in which register numbers are put. */
enum { SEL_REG = 0, SEL_RM = 8 /* or of the opcode, which has no ModRM then */, SEL_NONE = 56 };

/* struct insn by words: seg, base, index and scale without memory stand in the third. */
#define PUT(field, v) ((uint64_t)(v) << 8 * (offsetof(struct insn, field) & 7))
#define NO_ADDRESS (PUT(seg, DS) | PUT(base, NO_REG) | PUT(index, NO_REG))
_Static_assert(sizeof(struct insn) == 7 * 8 && offsetof(struct insn, opd[2].reg) < 16 && offsetof(struct insn, opd[3]) >= 15 &&
	       offsetof(struct insn, seg) == 18 && offsetof(struct insn, disp) == 24 && offsetof(struct insn, modrm) == 48,
	       "struct insn is made by words");

/* What stands in front of ModRM. */
struct head {
	const uint8_t *q;		/* the byte behind the opcode */
	unsigned code, prefix, opcode;	/* indexes of decode_memo.first */
	uint8_t rex;
};

/* First bytes that are more than an opcode; the first ones are indexes of decode_memo.first. */
enum { F_OPCODE, F_66, F_F3, F_F2, F_REX, F_0F };
static const uint8_t first_byte[256] = {
	[0x66] = F_66, [0xf3] = F_F3, [0xf2] = F_F2, [0x40 ... 0x4f] = F_REX, [0x0f] = F_0F,
};

static inline bool parse(const uint8_t *p, const struct insn_env *env, struct head *h)
{
	uint32_t mode = env->mode & (MODE_CODE | MODE_PE | MODE_VM);
	unsigned b = *p++;

	*h = (struct head){ .code = mode != (MODE_CODE64 | MODE_PE) };
	if (h->code && mode != (MODE_CODE32 | MODE_PE))
		return false;
	if (first_byte[b] != F_OPCODE) {
		if (first_byte[b] <= F_F2) {
			h->prefix = first_byte[b];
			b = *p++;
		}
		if (first_byte[b] == F_REX && !h->code) {
			h->rex = (uint8_t)b;
			b = *p++;
		}
		if (b == 0x0f)
			b = 0x100 | *p++;
	}
	h->opcode = b;
	h->q = p;
	return true;
}

/* SIB and displacement of a 32-bit or 64-bit address; the byte behind it. */
static inline const uint8_t *address(const uint8_t *q, unsigned m, unsigned rex, bool is64, struct insn *in)
{
	unsigned mod = m >> 6, rm = m & 7, rex_b = rex << 3 & 8, base = rm | rex_b;

	if (rm == 4) {
		unsigned b = *q++, index = (b >> 3 & 7) | (rex << 2 & 8);

		base = (b & 7) | rex_b;
		if (index != RSP) {
			in->index = (uint8_t)index;
			in->scale = (uint8_t)(b >> 6);
		}
		if ((b & 7) == 5 && mod == 0) {
			base = NO_REG;
			mod = 2;
		}
	} else if (rm == 5 && mod == 0) {
		base = is64 ? RIP_REG : NO_REG;
		mod = 2;
	}
	in->base = (uint8_t)base;
	if (base == RSP || base == RBP)
		in->seg = SS;
	if (mod == 1) {
		in->disp = (int8_t)*q++;
	} else if (mod == 2) {
		in->disp = (int32_t)ld32(q);
		q += 4;
	}
	return q;
}

/* Without REX the byte registers 4..7 are AH..BH. */
static void high_bytes(struct insn *in, unsigned bytes)
{
	for (unsigned i = 0; i < 3; i++)
		if (bytes >> i & 1 && in->opd[i].reg >= 4)
			in->opd[i].reg += REG_AH - 4;
}

static inline const uint8_t *constant(const uint8_t *q, const struct decode_form *f, struct insn *in)
{
	unsigned unused = 64 - 8 * f->imm_size;
	uint64_t v = ld64(q) << unused;

	in->imm = f->imm_signed ? (int64_t)v >> unused : (int64_t)(v >> unused);
	return q + f->imm_size;
}

/*
 * The form, and ModRM, behind which h->q is then. If there is none *m is one that names no memory and the
 * register in the opcode, *modrm is 0. NULL: not known.
 */
static inline const struct decode_form *find_form(const uint8_t *p, const struct insn_env *env, struct head *h, unsigned *m,
						  unsigned *modrm)
{
	const struct decode_memo *memo = env->memo;
	const struct decode_form *f;
	unsigned first;

	if (!parse(p, env, h))
		return NULL;
	*m = 0xc0 | (h->opcode & 7);
	*modrm = 0;
	first = memo->first[h->code][h->prefix][h->opcode];
	f = &memo->form[(first & (DECODE_FORMS - 1)) + (h->rex >> 2 & 2)];
	if (first & DECODE_MODRM) {
		*m = *modrm = *h->q++;
		f += (*m >= 0xc0) + (first & DECODE_GROUP ? *m >> 1 & 0x1c : 0);
	}
	return f->word[0] ? f : NULL;
}

static inline bool known(const uint8_t *p, const struct insn_env *env, struct insn *in)
{
	const struct decode_form *f;
	unsigned m, modrm, rex_b;
	word *w = (word *)(void *)in;
	struct head h;
	uint64_t regs;

	f = find_form(p, env, &h, &m, &modrm);
	if (!f)
		return false;
	w[0] = f->word[0];
	w[1] = f->word[1];
	w[2] = NO_ADDRESS;
	w[3] = 0;
	w[4] = f->is_one;
	w[5] = 0;
	w[6] = f->tail | modrm | PUT(rex, h.rex);
	rex_b = h.rex << 3 & 8;
	regs = (m >> 3 & 7) | (h.rex << 1 & 8) | ((m & 7) | rex_b) << SEL_RM;
	in->opd[0].reg += (uint8_t)(regs >> f->sel[0]);
	in->opd[1].reg += (uint8_t)(regs >> f->sel[1]);
	in->opd[2].reg += (uint8_t)(regs >> f->sel[2]);
	if (f->bytes && !h.rex)
		high_bytes(in, f->bytes);
	if (m < 0xc0)
		h.q = address(h.q, m, h.rex, !h.code, in);
	if (f->imm_size)
		h.q = constant(h.q, f, in);
	in->len = (uint8_t)(h.q - p);
	return true;
}

enum insn_result insn_decode(const uint8_t *p, unsigned n, const struct insn_env *env, struct insn *in)
{
	if (env->memo && n >= INSN_WIDE && known(p, env, in))
		return INSN_OK;
	return decode_any(p, n, env, in);
}

/* Bytes of the address behind ModRM. */
static inline unsigned address_bytes(unsigned m, unsigned sib)
{
	unsigned mod = m >> 6, rm = m & 7, has_sib = rm == 4;

	if (mod)
		return has_sib + (mod == 1 ? 1 : 4);
	return has_sib + (rm == 5 || (has_sib && (sib & 7) == 5) ? 4 : 0);
}

const struct insn_row *decode_skim(const uint8_t *p, const struct insn_env *env, unsigned *len)
{
	const struct decode_form *f;
	unsigned m, modrm;
	struct head h;

	f = find_form(p, env, &h, &m, &modrm);
	if (!f)
		return NULL;
	*len = (unsigned)(h.q - p) + f->imm_size + (m < 0xc0 ? address_bytes(m, *h.q) : 0);
	return &insn_rows[(uint16_t)f->word[0]];
}

/* ---- learning ---- */

/* Candidates for the slot differ in what is not asked for here: ModRM.rm, REX.B. */
static bool depends_on_more(unsigned slot)
{
	for (unsigned r = insn_slot[slot]; r; r--) {
		const struct insn_row *row = &insn_rows[r - 1];

		if (OP_IS_FIXED(row->opcode) || row->attr & A_B0)
			return true;
		if (r == 1 || !insn_same_slot(row, row - 1))
			break;
	}
	return false;
}

/* Does ModRM.reg choose among rows? */
static bool is_group(unsigned opcode)
{
	const uint16_t *slot = &insn_slot[opcode * 16];

	for (unsigned i = 1; i < 8; i++)
		if (slot[i] != slot[0] || slot[8 + i] != slot[8])
			return true;
	return false;
}

static bool learn_register(struct decode_form *f, struct insn *t, unsigned i, const struct opd_info *oi)
{
	struct opd *o = &t->opd[i];

	if (o->kind != OPD_REG && o->kind != OPD_XMM)
		return false;
	switch (oi->place) {
	case PL_REG: f->sel[i] = SEL_REG; break;
	case PL_RM: case PL_OPC: f->sel[i] = SEL_RM; break;
	default: return oi->place >= PL_FIX0;
	}
	o->reg = 0;
	if (o->kind == OPD_REG && o->size == 1)
		f->bytes |= (uint8_t)(1u << i);
	return true;
}

static bool learn_operand(struct decode_form *f, struct insn *t, unsigned i, const struct opd_info *oi)
{
	switch (oi->place) {
	case PL_IMM: case PL_IMMS: case PL_REL:
		if (f->imm_size || t->opd[i].kind == OPD_IMM2)
			return false;
		f->imm_size = t->opd[i].size;
		f->imm_signed = oi->place != PL_IMM;
		return true;
	case PL_ONE:
		f->is_one = true;
		return true;
	case PL_RM:
		if (t->opd[i].kind == OPD_MEM)
			return true;
		break;
	}
	return learn_register(f, t, i, oi);
}

/* What is said of struct insn in decode_form. */
static bool learn(struct decode_form *f, struct insn t)
{
	const struct insn_row *row = insn_row(&t);
	const word *w = (const word *)(const void *)&t;

	*f = (struct decode_form){ .sel = { SEL_NONE, SEL_NONE, SEL_NONE } };
	if (t.nopd > 3)
		return false;
	for (unsigned i = 0; i < t.nopd; i++)
		if (!learn_operand(f, &t, i, &opd_info[row->opd[i]]))
			return false;
	t.len = t.modrm = t.rex = 0;
	f->word[0] = w[0];
	f->word[1] = w[1];
	f->tail = w[6];
	return true;
}

/* Room for the forms of an opcode. */
static unsigned first_form(struct decode_memo *memo, const struct head *h)
{
	uint16_t *first = &memo->first[h->code][h->prefix][h->opcode];
	bool group = is_group(h->opcode);
	unsigned n = group ? 32 : 4;

	if (*first)
		return *first;
	if (memo->n_forms + n + 4 > DECODE_FORMS)
		*memo = (struct decode_memo){ 0 };
	*first = (uint16_t)((memo->n_forms + 4) | (insn_has_modrm[h->opcode] ? DECODE_MODRM : 0) | (group ? DECODE_GROUP : 0));
	memo->n_forms += n;
	return *first;
}

void decode_remember(const uint8_t *p, const struct insn_env *env, const struct insn *in)
{
	static const uint8_t prefixes[DECODE_PREFIXES] = { 0, PFX_66, PFX_REP, PFX_REPNE };
	struct decode_form form, *f;
	unsigned first;
	struct head h;

	if (!parse(p, env, &h) || in->pfx != prefixes[h.prefix] || in->rex != h.rex || in->vex || in->seg_override != NO_REG ||
	    insn_row(in)->opcode != (h.opcode < 0x100 ? h.opcode : 0x0f00 | (h.opcode & 0xff)) ||
	    depends_on_more(h.opcode * 16 + (in->modrm >= 0xc0 ? 8 : 0) + (in->modrm >> 3 & 7)) || !learn(&form, *in))
		return;
	first = first_form(env->memo, &h);
	f = &env->memo->form[(first & (DECODE_FORMS - 1)) + (h.rex >> 2 & 2)];
	if (first & DECODE_MODRM)
		f += (in->modrm >= 0xc0) + (first & DECODE_GROUP ? in->modrm >> 1 & 0x1c : 0);
	*f = form;
}
