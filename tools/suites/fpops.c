/*
 * Does TestFloat's operations with this processor's instructions: stands between
 * testfloat_gen and testfloat_ver, on the processor that is to be tested.
 *
 *   fpops -list            one line for each thing to test: function, group,
 *                          operand type and number, what testfloat_ver is told,
 *                          rounding modes (or "fixed"), precisions
 *   fpops FUNCTION GROUP ROUNDING PRECISION
 *                          operands on standard input, one case a line; the same
 *                          with result and exception flags on standard output
 *
 * All rows of the group in fpops.def are run on each case. If one differs from
 * the first in value or flags, its result is written (testfloat_ver will complain)
 * and its form is named on standard error. Other bits of a vector's lanes hold the
 * same operand, so their flags are the scalar ones.
 *
 * Not tested: the denormal-operand flag, unmasked exceptions, DAZ and FTZ.
 * Source: TestFloat 3e, testfloat_ver.html (format of lines, flags); Intel SDM vol. 2.
 */
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum type { T_bool, T_f16, T_f32, T_f64, T_f80, T_i32, T_i64 };
static const struct {
	const char *name;	/* for testfloat_gen */
	int bytes;
} types[] = { { "bool", 1 }, { "f16", 2 }, { "f32", 4 }, { "f64", 8 }, { "extF80", 10 }, { "i32", 4 }, { "i64", 8 } };

enum group { G_sse, G_fma, G_exact, G_trunc, G_down, G_up, G_nearest, G_x87, G_x87pc, G_x87f32, G_trunc87 };
#define EVERY "near_even minMag min max"
static const struct {
	const char *name;
	const char *options;	/* of testfloat_ver */
	const char *rounding;
	const char *precision;
	bool loose_nans;	/* rows may return different NaNs */
} groups[] = {
	{ "sse",     "-exact -checkAll",                  EVERY,       "80", false },
	{ "fma",     "",                                  EVERY,       "80", true },
	{ "exact",   "-notexact -checkAll",               EVERY,       "80", false },
	{ "trunc",   "-exact -checkAll -rminMag",         "fixed",     "80", false },
	{ "down",    "-exact -checkAll -rmin",            "fixed",     "80", false },
	{ "up",      "-exact -checkAll -rmax",            "fixed",     "80", false },
	{ "nearest", "-exact -checkAll -rnear_even",      "fixed",     "80", false },
	{ "x87",     "-exact -checkInvInts",              EVERY,       "80", false },
	{ "x87pc",   "-exact -checkInvInts",              EVERY,       "80 64 32", false },
	{ "x87f32",  "-exact",                            EVERY,       "80", true },
	{ "trunc87", "-exact -checkInvInts -rminMag",     "fixed",     "80", false },
};

union value {
	uint8_t byte[32];
	uint16_t h[16];
	uint32_t w[8];
	uint64_t q[4];
} __attribute__((aligned(32)));

struct state {
	union value a, b, c, r;
	uint32_t mxcsr;
	uint16_t fcw, fsw;
};

static const uint32_t f32sign[8] __attribute__((aligned(32))) = {
	0x80000000, 0x80000000, 0x80000000, 0x80000000, 0x80000000, 0x80000000, 0x80000000, 0x80000000
};
static const uint64_t f64sign[4] __attribute__((aligned(32))) = { 1ull << 63, 1ull << 63, 1ull << 63, 1ull << 63 };

#define S_f32 "ss"
#define P_f32 "ps"
#define L_f32 4
#define S_f64 "sd"
#define P_f64 "pd"
#define L_f64 2

/* A function for each row; both units start with no flag set. */
#define OP(function, group, form, in, n, out, lanes, body) \
static void function##_##group##_##form(struct state *s) \
{ \
	__asm__ volatile("fninit; fldcw %[fcw]; ldmxcsr %[mxcsr]\n\t" body "\n\tstmxcsr %[mxcsr]; fnstsw %[fsw]" \
		: [r] "=m" (s->r), [mxcsr] "+m" (s->mxcsr), [fsw] "=m" (s->fsw) \
		: [a] "m" (s->a), [b] "m" (s->b), [c] "m" (s->c), [fcw] "m" (s->fcw), \
		  [f32sign] "m" (f32sign), [f64sign] "m" (f64sign) \
		: "xmm0", "xmm1", "xmm2", "xmm3", "eax", "cc", "memory"); \
}
#include "fpops.def"
#undef OP

static const struct row {
	const char *function;
	enum group group;
	const char *form;
	enum type in;
	int n;
	enum type out;
	int lanes;
	void (*run)(struct state *s);
} rows[] = {
#define OP(function, group, form, in, n, out, lanes, body) \
	{ #function, G_##group, #form, T_##in, n, T_##out, lanes, function##_##group##_##form },
#include "fpops.def"
#undef OP
};

/* ---- lines ---- */

/* Puts a number of `bytes` bytes, in hexadecimal at `text`, into every lane; returns what follows it. */
static char *read_value(char *text, union value *v, int bytes)
{
	uint8_t number[16] = { 0 };
	char *end = text + strspn(text, "0123456789ABCDEFabcdef");
	int digit = 0;
	for (char *p = end; p > text && digit < 2 * bytes; digit++) {
		int c = *--p;
		number[digit / 2] |= (c <= '9' ? c - '0' : (c | 0x20) - 'a' + 10) << digit % 2 * 4;
	}
	memset(v, 0, sizeof *v);
	for (int at = 0; at + bytes <= (bytes == 10 ? bytes : (int)sizeof *v); at += bytes)
		memcpy(v->byte + at, number, bytes);
	while (*end == ' ')
		end++;
	return end;
}

static void print_value(const uint8_t *p, enum type type)
{
	if (type == T_bool) {
		putchar_unlocked('0' + *p);
		return;
	}
	for (int i = types[type].bytes; i-- > 0;) {
		putchar_unlocked("0123456789ABCDEF"[p[i] >> 4]);
		putchar_unlocked("0123456789ABCDEF"[p[i] & 15]);
	}
}

/* From the order of MXCSR (IE DE ZE OE UE PE) to TestFloat's (inexact, underflow, overflow, infinite, invalid). */
static unsigned flags_of(unsigned x86)
{
	return (x86 >> 5 & 1) | (x86 >> 3 & 2) | (x86 >> 1 & 4) | (x86 << 1 & 8) | (x86 << 4 & 16);
}

static bool is_nan(const uint8_t *p, enum type type)
{
	if (type == T_f32) {
		uint32_t w;
		memcpy(&w, p, sizeof w);
		return w << 1 > 0xff000000;
	}
	if (type == T_f64) {
		uint64_t q;
		memcpy(&q, p, sizeof q);
		return q << 1 > 0xffe0000000000000;
	}
	return false;
}

static bool same(const struct row *row, const uint8_t *x, const uint8_t *y)
{
	if (groups[row->group].loose_nans && is_nan(x, row->out) && is_nan(y, row->out))
		return true;
	return memcmp(x, y, types[row->out].bytes) == 0;
}

static bool is_zero(const uint8_t *p, enum type type)
{
	static const uint8_t zero[10];
	int n = types[type].bytes;
	return memcmp(p, zero, n - 1) == 0 && !(p[n - 1] & 0x7f);
}

static bool is_infinite(const uint8_t *p, enum type type)
{
	static const uint8_t f32[] = { 0, 0, 0x80, 0x7f }, f64[] = { 0, 0, 0, 0, 0, 0, 0xf0, 0x7f };
	const uint8_t *infinity = type == T_f32 ? f32 : f64;
	int n = types[type].bytes;
	return memcmp(p, infinity, n - 1) == 0 && (p[n - 1] & 0x7f) == 0x7f;
}

/* ---- one test ---- */

struct test {
	const struct row *row[16];
	int nrows;
	unsigned rounding;	/* as MXCSR and the control word encode it */
	unsigned precision;	/* likewise, control word only */
};

static unsigned run_row(const struct test *t, const struct row *row, struct state *s)
{
	s->mxcsr = 0x1f80 | t->rounding << 13;
	s->fcw = 0x007f | t->precision << 8 | t->rounding << 10;
	memset(&s->r, 0, sizeof s->r);
	row->run(s);
	return flags_of(s->mxcsr | s->fsw);
}

/* Runs all rows on one case; leaves in `r` the first row's result, or one that differs from it. */
static unsigned run_case(const struct test *t, struct state *s, uint8_t *r)
{
	const struct row *first = t->row[0];
	int bytes = types[first->out].bytes;
	unsigned flags = run_row(t, first, s);
	memcpy(r, s->r.byte, bytes);
	for (int i = 1; i <= t->nrows; i++) {
		const struct row *row = t->row[i - 1];
		unsigned f = i == 1 ? flags : run_row(t, row, s);
		for (int lane = 0; lane < row->lanes; lane++)
			if (f != flags || !same(row, s->r.byte + lane * bytes, r)) {
				fprintf(stderr, "%s differs in lane %d\n", row->form, lane);
				memcpy(r, s->r.byte + lane * bytes, bytes);
				return f;
			}
	}
	return flags;
}

/*
 * Infinity times zero plus a quiet NaN is the NaN and no exception on x86 (SDM vol. 1,
 * "FMA Instruction Operand Order and Arithmetic Behavior"); IEEE 754 leaves it open,
 * TestFloat wants "invalid".
 */
static bool is_silent_nan(const struct state *s, enum type type, const uint8_t *r, unsigned flags)
{
	const uint8_t *a = s->a.byte, *b = s->b.byte;
	return !flags && is_nan(r, type) && is_nan(s->c.byte, type) &&
		((is_zero(a, type) && is_infinite(b, type)) || (is_infinite(a, type) && is_zero(b, type)));
}

static void run_test(const struct test *t)
{
	static struct state s;
	char line[256];
	uint8_t r[10];
	const struct row *first = t->row[0];
	union value *const operands[] = { &s.a, &s.b, &s.c };
	while (fgets(line, sizeof line, stdin)) {
		char *p = line;
		for (int i = 0; i < first->n; i++)
			p = read_value(p, operands[i], types[first->in].bytes);
		unsigned flags = run_case(t, &s, r);
		if (first->group == G_fma && is_silent_nan(&s, first->in, r, flags))
			flags = flags_of(1);
		fwrite(line, 1, strcspn(line, "\r\n"), stdout);
		putchar_unlocked(' ');
		print_value(r, first->out);
		printf(" %02X\n", flags);
	}
}

static bool row_is(const struct row *row, const char *function, const char *group)
{
	return strcmp(row->function, function) == 0 && strcmp(groups[row->group].name, group) == 0;
}

static void list(void)
{
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		const struct row *row = &rows[i];
		size_t j = 0;
		while (!row_is(&rows[j], row->function, groups[row->group].name))
			j++;
		if (j == i)
			printf("%s;%s;%s;%d;%s;%s;%s\n", row->function, groups[row->group].name, types[row->in].name,
				row->n, groups[row->group].options, groups[row->group].rounding,
				groups[row->group].precision);
	}
}

static int usage(void)
{
	fputs("usage: fpops -list | fpops FUNCTION GROUP near_even|min|max|minMag|fixed 80|64|32\n", stderr);
	return 2;
}

static bool parse(struct test *t, char **arg)
{
	/* Rows with a rounding of their own must not look at the register, which says another. */
	static const char *const roundings[] = { "near_even", "min", "max", "minMag" };
	static const char *const precisions[] = { "32", "", "64", "80" };
	for (size_t i = 0; i < sizeof rows / sizeof *rows && t->nrows < 16; i++)
		if (row_is(&rows[i], arg[0], arg[1]))
			t->row[t->nrows++] = &rows[i];
	while (t->rounding < 4 && strcmp(arg[2], roundings[t->rounding]))
		t->rounding++;
	if (strcmp(arg[2], "fixed") == 0)
		t->rounding = strcmp(arg[1], "up") ? 2 : 1;
	while (t->precision < 4 && strcmp(arg[3], precisions[t->precision]))
		t->precision++;
	return t->nrows && t->rounding < 4 && t->precision < 4;
}

int main(int argc, char **argv)
{
	struct test t = { .nrows = 0 };
	if (argc == 2 && strcmp(argv[1], "-list") == 0) {
		list();
		return 0;
	}
	if (argc != 5 || !parse(&t, argv + 1))
		return usage();
	run_test(&t);
	return 0;
}
