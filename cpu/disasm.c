/*
 * struct insn -> text in Intel syntax, close to what nasm accepts and what capstone prints.
 *
 * Not modelled: prefixes without effect are not shown; a size keyword is always written
 * for memory operands that have a size, so text is unambiguous though it may be longer
 * than what a person would write.
 * Source: SDM vol. 2, 3.1.1.3 for the notation; the rows for everything else.
 */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "cpu/cpu.h"
#include "cpu/disasm.h"

struct text {
	char *buf;
	size_t n, len;
};

__attribute__((format(printf, 2, 3)))
static void put(struct text *t, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	size_t room = t->len < t->n ? t->n - t->len : 0;
	int k = vsnprintf(room ? t->buf + t->len : NULL, room, fmt, ap);
	va_end(ap);
	if (k > 0)
		t->len += (size_t)k;
}

/* ---- registers ---- */

static const char *const gpr_names[4][16] = {
	{ "al", "cl", "dl", "bl", "spl", "bpl", "sil", "dil",
	  "r8b", "r9b", "r10b", "r11b", "r12b", "r13b", "r14b", "r15b" },
	{ "ax", "cx", "dx", "bx", "sp", "bp", "si", "di",
	  "r8w", "r9w", "r10w", "r11w", "r12w", "r13w", "r14w", "r15w" },
	{ "eax", "ecx", "edx", "ebx", "esp", "ebp", "esi", "edi",
	  "r8d", "r9d", "r10d", "r11d", "r12d", "r13d", "r14d", "r15d" },
	{ "rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi",
	  "r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15" },
};
static const char *const high_names[4] = { "ah", "ch", "dh", "bh" };
static const char *const seg_names[8] = { "es", "cs", "ss", "ds", "fs", "gs", "?", "?" };

static const char *gpr(unsigned reg, unsigned size)
{
	if (reg >= REG_AH)
		return high_names[reg & 3];
	return gpr_names[size == 1 ? 0 : size == 2 ? 1 : size == 4 ? 2 : 3][reg];
}

/* ---- memory ---- */

static const char *size_word(unsigned size)
{
	switch (size) {
	case 1: return "byte ";
	case 2: return "word ";
	case 4: return "dword ";
	case 8: return "qword ";
	case 10: return "tword ";
	case 16: return "oword ";
	case 32: return "yword ";
	default: return "";
	}
}

static const char *index_name(const struct insn *in, char buf[8])
{
	const struct opd_info *oi = &opd_info[insn_row(in)->opd[1]];

	if (oi->place != PL_VSIB)
		return gpr(in->index, in->adsize);
	snprintf(buf, 8, "%cmm%u", in->vex_l && oi->rsize == SZ_X ? 'y' : 'x', in->index & 15u);
	return buf;
}

static void displacement(struct text *t, const struct insn *in, bool alone)
{
	uint64_t mask = size_mask(in->adsize);

	if (alone)
		put(t, "0x%llx", (unsigned long long)((uint64_t)in->disp & mask));
	else if (in->disp < 0)
		put(t, "-0x%llx", (unsigned long long)-in->disp);
	else if (in->disp)
		put(t, "+0x%llx", (unsigned long long)in->disp);
}

/* Far pointers and descriptor tables have sizes no keyword names. */
static bool has_size_word(const struct insn *in, const struct opd *o)
{
	uint8_t size = opd_info[insn_row(in)->opd[o - in->opd]].msize;

	return size != SZ_P && size != SZ_S && size != SZ_A;
}

static void memory(struct text *t, const struct insn *in, const struct opd *o)
{
	char ibuf[8];
	bool string_dest = o->reg == RDI && in->base == RSI;

	put(t, "%s[", has_size_word(in, o) ? size_word(o->size) : "");
	if (string_dest) {
		put(t, "es:%s]", gpr(RDI, in->adsize));
		return;
	}
	if (in->seg_override != NO_REG || in->seg == ES)
		put(t, "%s:", seg_names[in->seg]);
	if (in->base == RIP_REG) {
		put(t, in->adsize == 8 ? "rip" : "eip");
	} else if (in->base != NO_REG) {
		put(t, "%s", gpr(in->base, in->adsize));
	}
	if (in->index != NO_REG) {
		put(t, "%s%s", in->base != NO_REG ? "+" : "", index_name(in, ibuf));
		if (in->adsize != 2)
			put(t, "*%u", 1u << in->scale);
	}
	displacement(t, in, in->base == NO_REG && in->index == NO_REG);
	put(t, "]");
}

/* ---- operands ---- */

static uint64_t target_of(const struct insn *in, uint64_t va)
{
	return (va + in->len + (uint64_t)in->imm) & size_mask(in->opsize);
}

static void immediate(struct text *t, const struct insn *in, int64_t imm)
{
	unsigned size = insn_row(in)->opd[0] ? in->opd[0].size : in->opsize;

	if (size == 0 || size > 8 || in->opd[0].kind == OPD_IMM)
		size = in->opsize;
	put(t, "0x%llx", (unsigned long long)((uint64_t)imm & size_mask((int)size)));
}

static void operand(struct text *t, const struct insn *in, const struct opd *o, uint64_t va)
{
	switch (o->kind) {
	case OPD_REG: put(t, "%s", gpr(o->reg, o->size)); break;
	case OPD_MEM: memory(t, in, o); break;
	case OPD_IMM: immediate(t, in, in->imm); break;
	case OPD_IMM2: put(t, "0x%llx", (unsigned long long)in->imm2); break;
	case OPD_SEG: put(t, "%s", seg_names[o->reg & 7]); break;
	case OPD_CR: put(t, "cr%u", o->reg); break;
	case OPD_DR: put(t, "dr%u", o->reg); break;
	case OPD_ST: put(t, "st%u", o->reg); break;
	case OPD_MM: put(t, "mm%u", o->reg); break;
	case OPD_XMM: put(t, "xmm%u", o->reg); break;
	case OPD_YMM: put(t, "ymm%u", o->reg); break;
	case OPD_REL: put(t, "0x%llx", (unsigned long long)target_of(in, va)); break;
	case OPD_FAR: put(t, "0x%llx:0x%llx", (unsigned long long)in->imm2, (unsigned long long)in->imm); break;
	default: break;
	}
}

/* ---- mnemonics that depend on a size ---- */

struct sized_name {
	const char *name, *b, *w, *d, *q;	/* at operand size 1, 2, 4, 8 */
	bool bare;				/* operands are implied by the name */
};
static const struct sized_name sized_names[] = {
	{ "movs", "movsb", "movsw", "movsd", "movsq", true },
	{ "cmps", "cmpsb", "cmpsw", "cmpsd", "cmpsq", true },
	{ "stos", "stosb", "stosw", "stosd", "stosq", true },
	{ "lods", "lodsb", "lodsw", "lodsd", "lodsq", true },
	{ "scas", "scasb", "scasw", "scasd", "scasq", true },
	{ "ins",  "insb",  "insw",  "insd",  "insd",  true },
	{ "outs", "outsb", "outsw", "outsd", "outsd", true },
	{ "xlat", "xlatb", "xlatb", "xlatb", "xlatb", true },
	{ "cbw",  "cbw",   "cbw",   "cwde",  "cdqe",  true },
	{ "cwd",  "cwd",   "cwd",   "cdq",   "cqo",   true },
	{ "iret", "iretw", "iretw", "iretd", "iretq", true },
	{ "pusha", "pusha", "pushaw", "pushad", "pushad", true },
	{ "popa", "popa",  "popaw", "popad", "popad", true },
	{ "pushf", "pushf", "pushfw", "pushfd", "pushfq", true },
	{ "popf", "popf",  "popfw", "popfd", "popfq", true },
	{ "sysret", "sysret", "sysret", "sysret", "o64 sysret", true },
	{ "sysexit", "sysexit", "sysexit", "sysexit", "o64 sysexit", true },
	{ "retf", "retf", "o16 retf", "o32 retf", "o64 retf", false },
	{ "cmpxchg8b", "cmpxchg8b", "cmpxchg8b", "cmpxchg8b", "cmpxchg16b", false },
};

static const struct sized_name *find_sized(const struct insn *in)
{
	const char *name = insn_row(in)->name;

	for (unsigned i = 0; i < ARRAY_LEN(sized_names); i++)
		if (!strcmp(sized_names[i].name, name))
			return &sized_names[i];
	return NULL;
}

/* The element size of a string instruction is that of its memory operand. */
static unsigned name_size(const struct insn *in)
{
	for (unsigned i = 0; i < in->nopd; i++)
		if (in->opd[i].kind == OPD_MEM && insn_row(in)->does != DOES_cmpxchg8b)
			return in->opd[i].size;
	return in->opsize;
}

static const char *jcxz_name(const struct insn *in)
{
	return in->adsize == 2 ? "jcxz" : in->adsize == 4 ? "jecxz" : "jrcxz";
}

static const char *mnemonic(const struct insn *in, bool *bare)
{
	const struct sized_name *s = find_sized(in);

	*bare = s && s->bare;
	if (insn_row(in)->does == DOES_jcxz)
		return jcxz_name(in);
	if (!s)
		return insn_row(in)->name;
	switch (name_size(in)) {
	case 1: return s->b;
	case 2: return s->w;
	case 4: return s->d;
	default: return s->q;
	}
}

static void prefixes(struct text *t, const struct insn *in, bool bare)
{
	bool compares = insn_row(in)->does == DOES_cmps || insn_row(in)->does == DOES_scas;

	if (in->pfx & PFX_LOCK)
		put(t, "lock ");
	if (insn_row(in)->attr & A_REP && in->pfx & PFX_REPNE)
		put(t, "repne ");
	if (insn_row(in)->attr & A_REP && in->pfx & PFX_REP)
		put(t, compares ? "repe " : "rep ");
	if (bare && in->seg_override != NO_REG && in->nopd)
		put(t, "%s ", seg_names[in->seg_override]);
}

int insn_text(const struct insn *in, uint64_t va, char *buf, size_t n)
{
	struct text t = { buf, n, 0 };
	bool bare;
	const char *name = mnemonic(in, &bare);

	if (n)
		buf[0] = 0;
	prefixes(&t, in, bare);
	put(&t, "%s", name);
	for (unsigned i = 0; i < in->nopd && !bare; i++) {
		if (opd_info[insn_row(in)->opd[i]].place == PL_DIDS)
			continue;	/* maskmov's destination is not written */
		put(&t, "%s", i ? ", " : " ");
		operand(&t, in, &in->opd[i], va);
	}
	return (int)t.len;
}
