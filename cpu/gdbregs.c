/*
 * A debugger's view of the registers.
 *
 * Which registers there are never changes while a debugger is there, whatever the guest
 * switches to: a debugger asks for them once and then expects packets of that length.
 *
 * Source: gdb's manual, "Standard Target Features", "Target Description Format".
 */
#include "cpu/gdbregs.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cpu/cpuid.h"
#include "cpu/gdbregs_priv.h"
#include "cpu/mmu.h"
#include "cpu/system.h"
#include "cpu/xstate.h"

enum which { BOTH, LONG, SHORT, AVX, LONGAVX };
enum kind {
	K_GPR, K_PC, K_FLAGS, K_SEG, K_PLAIN, K_CONTROL, K_CR8, K_DEBUG, K_BASE, K_HIDDEN, K_MSR, K_XSAVE, K_X16, K_TAGS,
	K_NONE, K_FEATURE
};

struct row {
	enum which which;
	const char *name;
	enum kind kind;
	const char *reg;	/* in cpu/regs.def */
	unsigned at;		/* in the XSAVE area; the MSR's number */
	unsigned bits;
	const char *type;
};

static const struct row rows[] = {
#define FEATURE(w, n)				{ w, n, K_FEATURE, NULL, 0, 0, NULL },
#define REG_GPR(w, n, r, b, t)			{ w, n, K_GPR, r, 0, b, t },
#define REG_PC(w, n, r, b, t)			{ w, n, K_PC, r, 0, b, t },
#define REG_FLAGS(w, n, r, b, t)		{ w, n, K_FLAGS, r, 0, b, t },
#define REG_SEG(w, n, r, b, t)			{ w, n, K_SEG, r, 0, b, t },
#define REG_PLAIN(w, n, r, b, t)		{ w, n, K_PLAIN, r, 0, b, t },
#define REG_CONTROL(w, n, r, b, t)		{ w, n, K_CONTROL, r, 0, b, t },
#define REG_CR8(w, n, at, b, t)			{ w, n, K_CR8, NULL, at, b, t },
#define REG_DEBUG(w, n, r, b, t)		{ w, n, K_DEBUG, r, 0, b, t },
#define REG_BASE(w, n, r, b, t)			{ w, n, K_BASE, r, 0, b, t },
#define REG_HIDDEN(w, n, r, b, t)		{ w, n, K_HIDDEN, r, 0, b, t },
#define REG_MSR(w, n, at, b, t)			{ w, n, K_MSR, NULL, at, b, t },
#define REG_XSAVE(w, n, at, b, t)		{ w, n, K_XSAVE, NULL, at, b, t },
#define REG_X16(w, n, at, b, t)			{ w, n, K_X16, NULL, at, b, t },
#define REG_TAGS(w, n, at, b, t)		{ w, n, K_TAGS, NULL, at, b, t },
#define REG_NONE(w, n, at, b, t)		{ w, n, K_NONE, NULL, at, b, t },
#define GDB_REG(w, n, kind, where, b, t)	REG_##kind(w, n, where, b, t)
#include "cpu/gdbregs.def"
#undef FEATURE
#undef GDB_REG
};

/* ---- which rows a processor has ---- */

enum gdb_view gdb_view_now(const struct cpu *c)
{
	bool lm = cpu_has(c, CPUID_LM), real = !(c->cr0 & CR0_PE);

	return lm && (real || c->efer & EFER_LMA) ? GDB_X86_64 : GDB_I386;
}

static bool has_row(const struct cpu *c, enum gdb_view view, const struct row *r)
{
	bool wide = view == GDB_X86_64, avx = xsave_features(c) & XF_AVX;

	switch (r->which) {
	case LONG:	return wide;
	case SHORT:	return !wide;
	case AVX:	return avx;
	case LONGAVX:	return wide && avx;
	default:	return true;
	}
}

static const struct row *row_of(const struct cpu *c, enum gdb_view view, int n)
{
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		if (rows[i].kind != K_FEATURE && has_row(c, view, &rows[i]) && n-- == 0)
			return &rows[i];
	return NULL;
}

int gdb_regs(const struct cpu *c, enum gdb_view view)
{
	int n = 0;

	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		n += rows[i].kind != K_FEATURE && has_row(c, view, &rows[i]);
	return n;
}

int gdb_reg_bytes(const struct cpu *c, enum gdb_view view, int n)
{
	const struct row *r = n < 0 ? NULL : row_of(c, view, n);

	return r ? (int)r->bits / 8 : 0;
}

/* ---- reading ---- */

static uint64_t stored(const struct cpu *c, const struct row *r)
{
	const struct cpu_reg *reg = cpu_reg_find(r->reg);

	return ld_n((const uint8_t *)c + reg->where, reg->bytes);
}

/* Outside of 64-bit code there are eight registers, of 32 bits. */
static uint64_t general(const struct cpu *c, const struct row *r)
{
	uint64_t v = stored(c, r);
	bool high = cpu_reg_find(r->reg)->where >= offsetof(struct cpu, regs[R8]);

	return cpu_is64(c) ? v : high ? 0 : (uint32_t)v;
}

static uint64_t msr(struct cpu *c, const struct row *r)
{
	uint64_t v;

	return msr_get(c, r->at, &v) ? v : 0;
}

static uint64_t value(struct cpu *c, const struct row *r)
{
	switch (r->kind) {
	case K_CR8:	return c->board.get_cr8 ? c->board.get_cr8(c->board.opaque, c) : 0;
	case K_MSR:	return msr(c, r);
	case K_GPR:	return general(c, r);
	case K_FLAGS:	return cpu_get_eflags(c);
	case K_X16:	return ld16(c->xsave + r->at);
	case K_TAGS:	return x87_tags(c);
	case K_NONE:	return ~0ull;
	default:	return stored(c, r);
	}
}

int gdb_reg_get(struct cpu *c, enum gdb_view view, int n, uint8_t buf[GDB_REG_MAX])
{
	const struct row *r = n < 0 ? NULL : row_of(c, view, n);

	if (!r)
		return 0;
	if (r->kind == K_XSAVE)
		memcpy(buf, c->xsave + r->at, r->bits / 8);
	else
		st_n(buf, (int)r->bits / 8, value(c, r));
	return (int)r->bits / 8;
}

/* ---- writing ---- */

static bool set_cr8(struct cpu *c, uint64_t v)
{
	if (v > 15 || !c->board.set_cr8)
		return false;
	c->board.set_cr8(c->board.opaque, c, v);
	return true;
}

static bool set_debug(struct cpu *c, const struct row *r, uint64_t v)
{
	int n = r->name[2] - '0';

	if (n >= 6 && v >> 32)
		return false;
	c->dr[n] = cpu_dr_value(n, v);
	return true;
}

static int seg_of(const struct cpu_reg *reg)
{
	return (int)((reg->where - offsetof(struct cpu, segs)) / sizeof(struct seg));
}

static bool set_value(struct cpu *c, const struct row *r, uint64_t v)
{
	const struct cpu_reg *reg = r->reg ? cpu_reg_find(r->reg) : NULL;

	switch (r->kind) {
	case K_GPR: case K_PC:
		if (r->kind == K_GPR && !cpu_is64(c) && reg->where >= offsetof(struct cpu, regs[R8]))
			return true;
		st64((uint8_t *)c + reg->where, cpu_is64(c) ? v : (uint32_t)v);
		return true;
	case K_FLAGS:
		if ((v ^ cpu_get_eflags(c)) & FL_VM)
			return false;
		cpu_set_eflags(c, (uint32_t)v);
		return true;
	case K_SEG:
		return gdb_set_segment(c, seg_of(reg), v);
	case K_CR8:
		return set_cr8(c, v);
	case K_DEBUG:
		return set_debug(c, r, v);
	case K_MSR:
		return msr_set(c, r->at, v);
	case K_HIDDEN:
		return gdb_set_hidden(c, reg, v);
	case K_PLAIN: case K_BASE:
		if (!mmu_canonical_reg(c, v))
			return false;
		st64((uint8_t *)c + reg->where, v);
		return true;
	case K_CONTROL:
		return gdb_set_control(c, reg, v);
	case K_X16:
		st16(c->xsave + r->at, (uint16_t)v);
		return true;
	case K_TAGS:			/* the area has one bit a register: empty or not */
		c->xsave[r->at] = 0;
		for (int i = 0; i < 8; i++)
			c->xsave[r->at] |= (uint8_t)(((v >> 2 * i & 3) != 3) << i);
		return true;
	default:
		return true;
	}
}

/* A reserved bit in MXCSR would be a fault of whoever loads it. */
static void set_xsave(struct cpu *c, const struct row *r, const uint8_t *buf)
{
	memcpy(c->xsave + r->at, buf, r->bits / 8);
	st32(c->xsave + 24, ld32(c->xsave + 24) & 0xffff);
}

/* The processor draws conclusions from it. */
static bool is_deep(const struct row *r)
{
	return r->kind == K_SEG || r->kind == K_CONTROL || r->kind == K_BASE || r->kind == K_HIDDEN ||
	       r->kind == K_DEBUG;
}

bool gdb_reg_set(struct cpu *c, enum gdb_view view, int n, const uint8_t *buf)
{
	const struct row *r = n < 0 ? NULL : row_of(c, view, n);
	uint64_t v;

	if (!r)
		return false;
	if (r->kind == K_XSAVE) {
		set_xsave(c, r, buf);
		return true;
	}
	v = ld_n(buf, (int)r->bits / 8);
	if (r->bits < 64 ? v == (value(c, r) & (BIT(r->bits) - 1)) : v == value(c, r))
		return true;		/* a packet of all registers changes few */
	if (!set_value(c, r, v))
		return false;
	if (is_deep(r))
		cpu_regs_loaded(c);
	return true;
}

/* ---- the target description ---- */

static const char types_sse[] =
	"<vector id=\"v4f\" type=\"ieee_single\" count=\"4\"/>"
	"<vector id=\"v2d\" type=\"ieee_double\" count=\"2\"/>"
	"<vector id=\"v16i8\" type=\"int8\" count=\"16\"/>"
	"<vector id=\"v8i16\" type=\"int16\" count=\"8\"/>"
	"<vector id=\"v4i32\" type=\"int32\" count=\"4\"/>"
	"<vector id=\"v2i64\" type=\"int64\" count=\"2\"/>"
	"<union id=\"vec128\">"
	"<field name=\"v4_float\" type=\"v4f\"/><field name=\"v2_double\" type=\"v2d\"/>"
	"<field name=\"v16_int8\" type=\"v16i8\"/><field name=\"v8_int16\" type=\"v8i16\"/>"
	"<field name=\"v4_int32\" type=\"v4i32\"/><field name=\"v2_int64\" type=\"v2i64\"/>"
	"<field name=\"uint128\" type=\"uint128\"/></union>";

struct flag {
	const char *name;
	int bit;
};

static const struct flag eflags[] = {
	{ "CF", 0 }, { "", 1 }, { "PF", 2 }, { "AF", 4 }, { "ZF", 6 }, { "SF", 7 }, { "TF", 8 }, { "IF", 9 },
	{ "DF", 10 }, { "OF", 11 }, { "NT", 14 }, { "RF", 16 }, { "VM", 17 }, { "AC", 18 }, { "VIF", 19 },
	{ "VIP", 20 }, { "ID", 21 },
};
static const struct flag mxcsr[] = {
	{ "IE", 0 }, { "DE", 1 }, { "ZE", 2 }, { "OE", 3 }, { "UE", 4 }, { "PE", 5 }, { "DAZ", 6 }, { "IM", 7 },
	{ "DM", 8 }, { "ZM", 9 }, { "OM", 10 }, { "UM", 11 }, { "PM", 12 }, { "FZ", 15 },
};

static void put_flags(FILE *f, const char *id, const struct flag *flags, size_t n)
{
	fprintf(f, "<flags id=\"%s\" size=\"4\">", id);
	for (size_t i = 0; i < n; i++)
		fprintf(f, "<field name=\"%s\" start=\"%d\" end=\"%d\"/>", flags[i].name, flags[i].bit, flags[i].bit);
	fputs("</flags>", f);
}

static void put_feature(FILE *f, const char *name)
{
	fprintf(f, "<feature name=\"%s\">", name);
	if (!strcmp(name, "org.gnu.gdb.i386.core"))
		put_flags(f, "i386_eflags", eflags, ARRAY_LEN(eflags));
	if (!strcmp(name, "org.gnu.gdb.i386.sse")) {
		fputs(types_sse, f);
		put_flags(f, "i386_mxcsr", mxcsr, ARRAY_LEN(mxcsr));
	}
}

char *gdb_target_xml(const struct cpu *c, enum gdb_view view)
{
	static const char *const arch[] = { [GDB_X86_64] = "i386:x86-64", [GDB_I386] = "i386", [GDB_I8086] = "i8086" };
	char *text = NULL;
	size_t n = 0;
	FILE *f = open_memstream(&text, &n);
	bool open = false;

	if (!f)
		return NULL;
	fprintf(f, "<?xml version=\"1.0\"?><!DOCTYPE target SYSTEM \"gdb-target.dtd\"><target version=\"1.0\">"
		"<architecture>%s</architecture>", arch[view]);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		const struct row *r = &rows[i];

		if (!has_row(c, view, r))
			continue;
		if (r->kind == K_FEATURE) {
			fputs(open ? "</feature>" : "", f);
			put_feature(f, r->name);
			open = true;
		} else {
			fprintf(f, "<reg name=\"%s\" bitsize=\"%u\" type=\"%s\"/>", r->name, r->bits, r->type);
		}
	}
	fputs("</feature></target>", f);
	fclose(f);
	return text;
}
