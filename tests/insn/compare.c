/* See compare.h. Source: capstone/x86.h. */
#include "config.h"

#ifdef CONFIG_CAPSTONE
#include "tests/insn/compare.h"

#include <stdio.h>
#include <string.h>

#include "base/late.h"
#include "cpu/cpu.h"
#include "cpu/disasm.h"

#define VA 0x1000

/* What may differ. */
#define REFUSED_HERE	"refused here"
#define REFUSED_THERE	"refused there"
#define LENGTH		"length"
#define MNEMONIC	"mnemonic"
#define OPERANDS	"number of operands"
#define OPERAND		"operand"

/* ---- names ---- */

/* Ours, theirs: the same instruction. */
static const char *const aliases[][2] = {
	{ "call far", "lcall" }, { "jmp far", "ljmp" }, { "mov", "movabs" }, { "shl", "sal" }, { "fwait", "wait" },
	{ "retf", "retfq" }, { "popad", "popal" }, { "pushad", "pushal" },
	{ "movq", "movd" }, { "vmovq", "vmovd" },
	{ "fneni", "feni8087_nop" }, { "fndisi", "fdisi8087_nop" }, { "fnsetpm", "fsetpm" },
	{ "vcvttpd2dq", "vcvttpd2dqx" }, { "vcvtpd2dq", "vcvtpd2dqx" }, { "vcvtpd2ps", "vcvtpd2psx" },
	{ "fxch4", "fxch" }, { "fxch7", "fxch" }, { "fcom2", "fcom" }, { "fcomp3", "fcomp" }, { "fcomp5", "fcomp" },
	{ "fstp1", "fstpnce" }, { "fstp8", "fstp" }, { "fstp9", "fstp" },
};

/* Without prefixes, which both write in front. */
static const char *skip_prefixes(const char *s)
{
	static const char *const prefixes[] = { "lock ", "repne ", "repe ", "rep ", "notrack ", "bnd ", "o16 ", "o32 ", "o64 ",
		"xacquire ", "xrelease ", "es ", "cs ", "ss ", "ds ", "fs ", "gs " };

	for (unsigned i = 0; i < ARRAY_LEN(prefixes); i++)
		if (!strncmp(s, prefixes[i], strlen(prefixes[i])))
			return skip_prefixes(s + strlen(prefixes[i]));
	return s;
}

/* "cmpltps", "vcmpnge_uqss": the condition is in the name. */
static bool is_compare(const char *ours, const char *theirs)
{
	const char *stem = *ours == 'v' ? "vcmp" : "cmp";
	size_t n = strlen(stem), len = strlen(theirs);

	return !strncmp(ours, stem, n) && !strncmp(theirs, stem, n) && strlen(ours) == n + 2 &&
	       !strcmp(theirs + len - 2, ours + n);
}

static bool same_name(const char *ours, const char *theirs)
{
	if (!strcmp(ours, theirs) || is_compare(ours, theirs))
		return true;
	for (unsigned i = 0; i < ARRAY_LEN(aliases); i++)
		if (!strcmp(ours, aliases[i][0]) && !strcmp(theirs, aliases[i][1]))
			return true;
	return false;
}

static bool same_mnemonic(const struct pair *p)
{
	char text[128];
	const char *row = insn_row(&p->in)->name, *theirs = skip_prefixes(p->ref->mnemonic), *ours;

	insn_text(&p->in, VA, text, sizeof(text));
	ours = skip_prefixes(text);
	text[strlen(text) - strlen(ours) + strcspn(ours, " ")] = 0;
	return same_name(ours, theirs) || same_name(row, theirs);
}

/* ---- registers ---- */

static const uint16_t gprs[4][16] = {
	{ X86_REG_AL, X86_REG_CL, X86_REG_DL, X86_REG_BL, X86_REG_SPL, X86_REG_BPL, X86_REG_SIL, X86_REG_DIL,
	  X86_REG_R8B, X86_REG_R9B, X86_REG_R10B, X86_REG_R11B, X86_REG_R12B, X86_REG_R13B, X86_REG_R14B, X86_REG_R15B },
	{ X86_REG_AX, X86_REG_CX, X86_REG_DX, X86_REG_BX, X86_REG_SP, X86_REG_BP, X86_REG_SI, X86_REG_DI,
	  X86_REG_R8W, X86_REG_R9W, X86_REG_R10W, X86_REG_R11W, X86_REG_R12W, X86_REG_R13W, X86_REG_R14W, X86_REG_R15W },
	{ X86_REG_EAX, X86_REG_ECX, X86_REG_EDX, X86_REG_EBX, X86_REG_ESP, X86_REG_EBP, X86_REG_ESI, X86_REG_EDI,
	  X86_REG_R8D, X86_REG_R9D, X86_REG_R10D, X86_REG_R11D, X86_REG_R12D, X86_REG_R13D, X86_REG_R14D, X86_REG_R15D },
	{ X86_REG_RAX, X86_REG_RCX, X86_REG_RDX, X86_REG_RBX, X86_REG_RSP, X86_REG_RBP, X86_REG_RSI, X86_REG_RDI,
	  X86_REG_R8, X86_REG_R9, X86_REG_R10, X86_REG_R11, X86_REG_R12, X86_REG_R13, X86_REG_R14, X86_REG_R15 },
};
static const uint16_t high_gprs[4] = { X86_REG_AH, X86_REG_CH, X86_REG_DH, X86_REG_BH };
static const uint16_t segs[6] = { X86_REG_ES, X86_REG_CS, X86_REG_SS, X86_REG_DS, X86_REG_FS, X86_REG_GS };

static unsigned gpr(unsigned reg, unsigned size)
{
	if (reg == NO_REG)
		return X86_REG_INVALID;
	if (reg == RIP_REG)
		return size == 4 ? X86_REG_EIP : X86_REG_RIP;
	if (reg >= REG_AH)
		return high_gprs[reg & 3];
	return gprs[size == 1 ? 0 : size == 2 ? 1 : size == 4 ? 2 : 3][reg];
}

static unsigned reg_id(const struct opd *o)
{
	switch (o->kind) {
	case OPD_REG: return gpr(o->reg, o->size);
	case OPD_SEG: return segs[o->reg];
	case OPD_CR: return X86_REG_CR0 + o->reg;
	case OPD_DR: return X86_REG_DR0 + o->reg;
	case OPD_ST: return X86_REG_ST0 + o->reg;
	case OPD_MM: return X86_REG_MM0 + o->reg;
	case OPD_XMM: return X86_REG_XMM0 + o->reg;
	default: return X86_REG_YMM0 + o->reg;
	}
}

/* ---- operands ---- */

/*
 * Segment override. Capstone reports those as well that 64-bit code ignores, even instead
 * of an FS or GS before them, which stays in force (on the host processor as well).
 */
static bool same_segment(const struct pair *p, const cs_x86_op *r)
{
	unsigned ours = p->in.seg_override == NO_REG ? X86_REG_INVALID : segs[p->in.seg_override];

	if ((p->env.mode & MODE_CODE) == MODE_CODE64 && r->mem.segment != X86_REG_INVALID &&
	    r->mem.segment != X86_REG_FS && r->mem.segment != X86_REG_GS)
		return true;
	return r->mem.segment == ours;
}

static bool same_memory(const struct pair *p, const struct opd *o, const cs_x86_op *r)
{
	const struct insn *in = &p->in;
	uint64_t mask = size_mask(in->adsize);
	bool implied = !in->has_modrm, dest = o->reg == RDI && in->base == RSI && implied;
	unsigned index = gpr(in->index, in->adsize);

	if (opd_info[insn_row(in)->opd[1]].place == PL_VSIB)
		index = (in->vex_l && opd_info[insn_row(in)->opd[1]].rsize == SZ_X ? X86_REG_YMM0 : X86_REG_XMM0) + in->index;
	if (r->type != X86_OP_MEM)
		return false;
	if (r->mem.base != (dest ? gpr(RDI, in->adsize) : gpr(in->base, in->adsize)) ||
	    r->mem.index != index || (index && r->mem.scale != 1 << in->scale))
		return false;
	if (!dest && ((uint64_t)r->mem.disp ^ (uint64_t)in->disp) & mask)
		return false;
	if (in->seg != ES && !dest && !same_segment(p, r))
		return false;
	return !o->size || o->size == r->size;
}

static bool same_immediate(const struct pair *p, const struct opd *o, const cs_x86_op *r)
{
	const struct insn *in = &p->in;
	int64_t v = o->kind == OPD_IMM2 ? in->imm2 : in->imm;
	uint64_t mask = size_mask(in->opsize < r->size ? in->opsize : r->size);

	if (o->kind == OPD_REL) {
		v = VA + in->len + in->imm;
		mask = size_mask(in->opsize);
	}
	return r->type == X86_OP_IMM && !(((uint64_t)r->imm ^ (uint64_t)v) & mask);
}

static bool same_operand(const struct pair *p, const struct opd *o, const cs_x86_op *r)
{
	switch (o->kind) {
	case OPD_MEM: return same_memory(p, o, r);
	case OPD_IMM: case OPD_IMM2: case OPD_REL: return same_immediate(p, o, r);
	default: return r->type == X86_OP_REG && r->reg == reg_id(o);
	}
}

/* ST(0) of the x87's two-operand forms, XMM0 as a mask, XLAT's and MASKMOV's memory. */
static bool is_silent(const struct pair *p, unsigned k)
{
	uint8_t code = insn_row(&p->in)->opd[k];

	return code == OC_ST0 || code == OC_XMM0 || code == OC_BXb || opd_info[code].place == PL_DIDS;
}

static const char *compare_operands(const struct pair *p)
{
	const cs_x86 *x = &p->ref->detail->x86;
	unsigned n = 0;

	for (unsigned k = 0; k < p->in.nopd; k++) {
		if (is_silent(p, k))
			continue;
		while (n < x->op_count && x->operands[n].type == X86_OP_REG && x->operands[n].reg == X86_REG_ST0 &&
		       reg_id(&p->in.opd[k]) != X86_REG_ST0)
			n++;
		if (n == x->op_count)
			return is_compare(insn_row(&p->in)->name, p->ref->mnemonic) ? NULL : OPERANDS;
		if (p->in.opd[k].kind == OPD_FAR) {
			n = x->op_count;
			break;
		}
		if (!same_operand(p, &p->in.opd[k], &x->operands[n++]))
			return OPERAND;
	}
	while (n < x->op_count && x->operands[n].type == X86_OP_REG && x->operands[n].reg == X86_REG_ST0)
		n++;
	return n < x->op_count ? OPERANDS : NULL;
}

/* ---- both ---- */

/* A pattern: ? is any letter, * at the end anything; NULL fits all. */
static bool like(const char *name, const char *pattern)
{
	if (!pattern || *pattern == '*')
		return true;
	if (!*pattern || !*name)
		return *pattern == *name;
	return (*pattern == '?' || *pattern == *name) && like(name + 1, pattern + 1);
}

enum { ANY_MODE = 7, IN16 = 1 << MODE_CODE16, IN32 = 1 << MODE_CODE32, IN64 = 1 << MODE_CODE64 };
enum { REP = PFX_REP | PFX_REPNE, WIDE = 0x40 /* 66 and REX.W */,
       SEVERAL = 0x20 /* 66, F3 or F2, and another prefix */ };

/*
 * Where capstone 4 is not the authority. what: kind of difference; prefixes: one of these is
 * there; ours, theirs: mnemonics. Which side is right was settled by the host processor
 * (legal_host_test.c: what is legal and how long it is), or by the manuals.
 */
static const struct excuse {
	const char *what;
	uint8_t modes, prefixes;
	const char *ours, *theirs, *why;
} excuses[] = {
	/* instructions that only one side has */
	{ REFUSED_HERE, ANY_MODE, 0, NULL, "xbegin", "TSX: we have none" },
	{ REFUSED_HERE, ANY_MODE, 0, NULL, "xabort", "TSX: we have none" },
	{ REFUSED_HERE, ANY_MODE, 0, NULL, "xend", "TSX: we have none" },
	{ REFUSED_HERE, ANY_MODE, 0, NULL, "xtest", "TSX: we have none" },
	{ REFUSED_HERE, ANY_MODE, 0, NULL, "k*", "AVX-512: we have none" },
	{ REFUSED_HERE, ANY_MODE, 0, NULL, "encl*", "SGX: we have none" },
	{ REFUSED_HERE, ANY_MODE, 0, NULL, "getsec", "SMX: we have none" },
	{ REFUSED_HERE, ANY_MODE, 0, NULL, "vm*", "VMX: we have none" },
	{ REFUSED_HERE, ANY_MODE, 0, NULL, "inv*", "VMX: we have none" },
	{ REFUSED_HERE, ANY_MODE, 0, NULL, "skinit", "SVM without SKINIT" },
	{ REFUSED_HERE, ANY_MODE, 0, NULL, "p?*", "3DNow!: we have none" },
	{ REFUSED_HERE, ANY_MODE, 0, NULL, "xsha*", "PadLock (VIA): we have none" },
	{ REFUSED_HERE, ANY_MODE, 0, NULL, "xcrypt*", "PadLock (VIA): we have none" },
	{ REFUSED_HERE, ANY_MODE, 0, NULL, "xstore*", "PadLock (VIA): we have none" },
	{ REFUSED_HERE, ANY_MODE, 0, NULL, "montmul", "PadLock (VIA): we have none" },
	{ REFUSED_HERE, ANY_MODE, 0, NULL, "femms", "3DNow!: we have none" },
	{ REFUSED_THERE, ANY_MODE, 0, "rdpkru", NULL, "newer than capstone 4" },
	{ REFUSED_THERE, ANY_MODE, 0, "wrpkru", NULL, "newer than capstone 4" },
	{ REFUSED_THERE, ANY_MODE, 0, "rdpid", NULL, "newer than capstone 4" },
	{ REFUSED_THERE, ANY_MODE, 0, "serialize", NULL, "newer than capstone 4" },
	{ REFUSED_THERE, ANY_MODE, 0, "clzero", NULL, "newer than capstone 4" },
	{ REFUSED_THERE, ANY_MODE, 0, "clwb", NULL, "newer than capstone 4" },
	{ REFUSED_THERE, ANY_MODE, 0, "movdir*", NULL, "newer than capstone 4" },
	{ REFUSED_THERE, ANY_MODE, 0, "xsave*", NULL, "newer than capstone 4" },
	{ REFUSED_THERE, ANY_MODE, 0, "xrstors*", NULL, "newer than capstone 4" },
	{ REFUSED_THERE, ANY_MODE, 0, "gf2p8*", NULL, "newer than capstone 4" },
	{ REFUSED_THERE, ANY_MODE, 0, "v*", NULL, "newer than capstone 4, or VEX behind a REX that does not count" },
	{ REFUSED_THERE, ANY_MODE, PFX_LOCK, "mov", NULL, "LOCK MOV CR0 is CR8 (AMD)" },
	{ REFUSED_THERE, ANY_MODE, 0, "nop", NULL, "capstone does not know all of the reserved NOPs" },
	{ REFUSED_THERE, ANY_MODE, 0, "ud?", NULL, "capstone does not know all of UD0 and UD1" },
	{ REFUSED_THERE, ANY_MODE, 0, "prefetchw", NULL, "capstone does not know all of 0F 0D" },
	{ REFUSED_THERE, ANY_MODE, 0, "?fence", NULL, "capstone wants ModRM.rm to be 0" },
	{ REFUSED_THERE, IN64, 0, "mov", NULL, "capstone refuses segment registers with REX.R" },
	{ REFUSED_THERE, IN64, 0, "sahf", NULL, "capstone has no LAHF in 64-bit code" },
	{ REFUSED_THERE, IN64, 0, "lahf", NULL, "capstone has no LAHF in 64-bit code" },
	/* what capstone does not check */
	{ REFUSED_HERE, ANY_MODE, PFX_LOCK, NULL, NULL, "capstone does not check LOCK" },
	{ REFUSED_HERE, ANY_MODE, PFX_66 | REP, NULL, NULL, "capstone ignores mandatory prefixes that fit nothing" },
	{ REFUSED_HERE, ANY_MODE, 0, NULL, "mov", "capstone has CR1, CR5 to CR7, DR8 to DR15, and loads CS" },
	{ REFUSED_HERE, IN16 | IN32, 0, NULL, "swapgs", "capstone has SWAPGS outside of 64-bit code" },
	/* 16-bit code */
	{ NULL, IN16, PFX_66 | REP, NULL, NULL, "capstone misreads 66, F2 and F3 in 16-bit code" },
	{ MNEMONIC, IN16, 0, "cbw", NULL, "capstone turns CBW and CWD round in 16-bit code" },
	{ MNEMONIC, IN16, 0, "cwd", NULL, "capstone turns CBW and CWD round in 16-bit code" },
	/* prefixes */
	{ NULL, IN64, WIDE, NULL, NULL, "capstone lets 66 cut what REX.W made wide" },
	{ OPERAND, IN64, PFX_66, "call", "call", "66 makes near branches 16 bits wide, the indirect ones as well (AMD)" },
	{ OPERAND, IN64, PFX_66, "jmp", "jmp", "66 makes near branches 16 bits wide, the indirect ones as well (AMD)" },
	{ NULL, ANY_MODE, SEVERAL, NULL, NULL, "capstone forgets 66, F3 and F2 next to other prefixes" },
	{ NULL, IN64, PFX_67, NULL, NULL, "capstone takes 67 next to REX for 66" },
	{ NULL, ANY_MODE, PFX_67, "j*", NULL, "capstone lets 67 change near branches" },
	{ NULL, ANY_MODE, PFX_67, "call", NULL, "capstone lets 67 change near branches" },
	{ NULL, ANY_MODE, PFX_67, "ret", NULL, "capstone lets 67 change near branches" },
	{ NULL, ANY_MODE, PFX_67, "loop*", NULL, "capstone lets 67 change near branches" },
	{ NULL, ANY_MODE, PFX_67, "out", NULL, "capstone lets 67 change in, out, ins, outs" },
	{ NULL, ANY_MODE, PFX_67, "in", NULL, "capstone lets 67 change in, out, ins, outs" },
	{ NULL, ANY_MODE, PFX_67, "outs", NULL, "capstone lets 67 change in, out, ins, outs" },
	{ NULL, ANY_MODE, PFX_67, "ins", NULL, "capstone lets 67 change in, out, ins, outs" },
	/* operands */
	{ LENGTH, ANY_MODE, 0, "ud?", NULL, "UD0 and UD1 have a ModRM byte (SDM)" },
	{ OPERAND, IN64, 0, "movsxd", NULL, "MOVSXD without REX.W writes 32 bits" },
	{ MNEMONIC, ANY_MODE, REP, "rdpid", NULL, "newer than capstone 4" },
	{ OPERAND, IN16 | IN32, 0, "vpblendv?", NULL, "bit 7 of a register in an immediate counts in 64-bit code only" },
	{ OPERAND, IN16 | IN32, 0, "vblendvp?", NULL, "bit 7 of a register in an immediate counts in 64-bit code only" },
	{ OPERANDS, ANY_MODE, 0, "aa?", NULL, "capstone hides the 10 of AAM and AAD" },
	{ OPERANDS, ANY_MODE, 0, "vm*", "vm*", "capstone names the implied registers of SVM" },
	{ OPERANDS, ANY_MODE, 0, "invlpga", "invlpga", "capstone names the implied registers of SVM" },
	{ OPERANDS, ANY_MODE, 0, "nop", "nop", "capstone gives some NOPs another operand" },
	{ OPERAND, ANY_MODE, 0, "nop", "nop", "capstone gives some NOPs another operand" },
	{ OPERAND, ANY_MODE, 0, "xchg", "xchg", "the operands of xchg in another order" },
	{ OPERAND, ANY_MODE, 0, "enter", "enter", "no sign: enter's and ret's first operand" },
	{ OPERAND, ANY_MODE, 0, "ret*", "ret*", "no sign: enter's and ret's first operand" },
	{ OPERAND, ANY_MODE, 0, "punpckl*", "punpckl*", "the MMX form reads 4 bytes (SDM: mm/m32)" },
	{ OPERAND, ANY_MODE, 0, "mov", "mov", "capstone gives selectors the operand size" },
	{ OPERAND, ANY_MODE, 0, "lar", "lar", "capstone gives selectors the operand size" },
	{ OPERAND, ANY_MODE, 0, "lsl", "lsl", "capstone gives selectors the operand size" },
	{ OPERAND, ANY_MODE, 0, "call far", NULL, "capstone counts only the offset of a far pointer, or nothing" },
	{ OPERAND, ANY_MODE, 0, "jmp far", NULL, "capstone counts only the offset of a far pointer, or nothing" },
	{ OPERAND, ANY_MODE, 0, "l?s", "l?s", "capstone counts only the offset of a far pointer, or nothing" },
	{ OPERAND, ANY_MODE, 0, "fnstsw", "fnstsw", "the status word has 2 bytes" },
	{ OPERAND, ANY_MODE, 0, "comis?", NULL, "COMISS reads 4 bytes, COMISD 8" },
	{ OPERAND, ANY_MODE, 0, "vcomis?", NULL, "COMISS reads 4 bytes, COMISD 8" },
	{ OPERAND, ANY_MODE, 0, "vucomis?", NULL, "COMISS reads 4 bytes, COMISD 8" },
	{ OPERAND, ANY_MODE, 0, "ucomis?", NULL, "COMISS reads 4 bytes, COMISD 8" },
};

/* Legacy prefixes and REX in front. */
static unsigned count_prefixes(const struct pair *p)
{
	static const uint8_t prefixes[] = { 0x26, 0x2e, 0x36, 0x3e, 0x64, 0x65, 0x66, 0x67, 0xf0, 0xf2, 0xf3 };
	const uint8_t *code = p->bytes;
	unsigned n = 0;

	while (n < 14 && (memchr(prefixes, code[n], sizeof(prefixes)) ||
			  ((p->env.mode & MODE_CODE) == MODE_CODE64 && code[n] >> 4 == 4)))
		n++;
	return n;
}

static bool has_prefix(const struct pair *p, uint8_t which)
{
	const struct insn *in = &p->in;

	if (which == SEVERAL)
		return in->pfx & (PFX_66 | REP) && count_prefixes(p) > 1;
	if (which == WIDE)
		return in->pfx & PFX_66 && in->rex & 8;
	return !which || in->pfx & which;
}

static bool applies(const struct excuse *x, const struct pair *p)
{
	const char *ours = strcmp(p->what, REFUSED_HERE) ? insn_row(&p->in)->name : "";
	const char *theirs = p->ref->size ? skip_prefixes(p->ref->mnemonic) : "";

	return (!x->what || !strcmp(p->what, x->what)) && x->modes >> (p->env.mode & MODE_CODE) & 1 &&
	       has_prefix(p, x->prefixes) && like(ours, x->ours) && like(theirs, x->theirs);
}

/* EVEX and XOP are known by their first bytes, VEX by having been decoded. */
static const char *excuse(const struct pair *p)
{
	const uint8_t *code = p->bytes;

	if (!strcmp(p->what, REFUSED_HERE)) {
		unsigned at = count_prefixes(p);
		if (code[at] == 0x62)
			return "AVX-512: we have none";
		if (code[at] == 0x8f)
			return "XOP: we have none";
		if (p->in.vex)
			return "capstone does not check VEX.W, L and vvvv, and has FMA4";
	}
	for (unsigned i = 0; i < ARRAY_LEN(excuses); i++)
		if (applies(&excuses[i], p))
			return excuses[i].why;
	return NULL;
}

enum pair_result pair_compare(struct pair *p, const uint8_t *b, unsigned *len)
{
	const uint8_t *code = b;
	size_t room = 15;
	uint64_t va = VA;
	p->bytes = b;
	bool ref = cs_disasm_iter(p->cs, &code, &room, &va, p->ref);
	bool ours = insn_decode(b, 15, &p->env, &p->in) == INSN_OK;

	if (!ref)
		p->ref->size = 0;
	*len = ref ? p->ref->size : ours ? p->in.len : 1;
	if (!ref && !ours) {
		p->refused++;
		return PAIR_REFUSED;
	}
	if (!ref || !ours)
		p->what = ref ? REFUSED_HERE : REFUSED_THERE;
	else if (p->in.len != p->ref->size)
		p->what = LENGTH;
	else if (!same_mnemonic(p))
		p->what = MNEMONIC;
	else
		p->what = compare_operands(p);
	if (!p->what) {
		p->same++;
		return PAIR_SAME;
	}
	const char *why = excuse(p);
	if (why) {
		p->what = why;
		p->excused++;
		return PAIR_EXCUSED;
	}
	p->differ++;
	return PAIR_DIFFER;
}

const char *pair_text(const struct pair *p, const uint8_t *b, char *buf, size_t n)
{
	char text[96] = "refused";
	size_t len = 0;

	if (strcmp(p->what, REFUSED_HERE))
		insn_text(&p->in, VA, text, sizeof(text));
	for (int i = 0; i < 12; i++)
		len += (size_t)snprintf(buf + len, n - len, "%02x ", b[i]);
	snprintf(buf + len, n - len, ": %s: %s, %u; capstone: %s %s, %u", p->what, text, p->in.len,
		 p->ref->size ? p->ref->mnemonic : "refused", p->ref->size ? p->ref->op_str : "", p->ref->size);
	return buf;
}

bool pair_open(struct pair *p, uint32_t code)
{
	struct err none;
	static const cs_mode modes[] = { [MODE_CODE16] = CS_MODE_16, [MODE_CODE32] = CS_MODE_32, [MODE_CODE64] = CS_MODE_64 };

	*p = (struct pair){ .env = { .mode = code | MODE_PE | (code == MODE_CODE64 ? MODE_LMA : 0), .feat = { ~0ull, ~0ull } } };
	p->env.feat[F_INTEL >> 6] &= ~(1ull << (F_INTEL & 63));	/* capstone's near branches are AMD's */
	if (!late_load(LATE_CAPSTONE, &none) || cs_open(CS_ARCH_X86, modes[code], &p->cs) != CS_ERR_OK)
		return false;
	cs_option(p->cs, CS_OPT_DETAIL, CS_OPT_ON);
	p->ref = cs_malloc(p->cs);
	return true;
}

void pair_close(struct pair *p)
{
	cs_free(p->ref, 1);
	cs_close(&p->cs);
}
#endif
