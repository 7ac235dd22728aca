/*
 * See fuzz.h: a case as text, and made smaller.
 *
 * The text has a line for each thing that is not as user_state_init() makes it:
 *
 *	bits 64
 *	at 0x40				code's offset into USER_CODE
 *	code 48 01 d8			one line for each instruction
 *	rax 0x1				rcx .. r15, flags, fs, gs
 *	fcw 0x37f			fsw, ftw, mxcsr
 *	st0 3fff8000000000000000	by place in the image: st0 is the top
 *	ymm0 00..00			64 digits, highest first
 *	mem 0x100 00 01 02		bytes at an offset into USER_DATA, the rest is 0
 *
 * and comments from # on.
 */
#include "tests/insn/fuzz.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "cpu/disasm.h"

static const char *const reg_names[] = {
	"rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi",
	"r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15", "flags", "fs", "gs",
};
enum { N_REG_NAMES = 19 };

static uint64_t *reg(struct user_state *s, unsigned i)
{
	return i < NGPR ? &s->regs[i] : i == 16 ? &s->flags : i == 17 ? &s->fs_base : &s->gs_base;
}

static const struct { const char *name; unsigned at, n; } words[] = {
	{ "fcw", X_FCW, 2 }, { "fsw", X_FSW, 2 }, { "ftw", X_FTW, 1 }, { "mxcsr", X_MXCSR, 4 },
};

/* ---- smaller ---- */

static const char *try(struct fuzz *f, struct fuzz_case *c, const char *without)
{
	user_state_summary(&c->s);
	return fuzz_analyse(f, &c->b) ? fuzz_replay(f, c, without) : NULL;
}

/* Keep a change of c if it still fails. */
#define KEEP_IF_FAILING(f, c, without, change) do {	\
	*old = *(c);					\
	change;						\
	if (!try(f, c, without))			\
		*(c) = *old;				\
} while (0)

/* NOPs in place of instructions keep all distances; without branches they go, too. */
static void fewer_insns(struct fuzz *f, struct fuzz_case *c, struct fuzz_case *old, const char *without)
{
	for (unsigned i = c->b.count; i-- > 0;)
		if (i < c->b.count)
			KEEP_IF_FAILING(f, c, without, memset(c->b.code + c->b.off[i], 0x90, c->b.in[i].len));
	for (unsigned k = c->b.n; k-- > 0;)
		if (c->b.n > 1 && c->b.code[k] == 0x90)
			KEEP_IF_FAILING(f, c, without, {
				memmove(c->b.code + k, c->b.code + k + 1, c->b.n - k - 1);
				c->b.n--;
			});
}

static void simpler_state(struct fuzz *f, struct fuzz_case *c, struct fuzz_case *old, const char *without)
{
	struct user_state plain;

	user_state_init(&plain);
	plain.regs[FUZZ_COUNTER(c->b.bits)] = 1;	/* loops must end */
	for (unsigned i = 0; i < N_REG_NAMES; i++)
		KEEP_IF_FAILING(f, c, without, *reg(&c->s, i) = *reg(&plain, i));
	for (unsigned i = 0; i < ARRAY_LEN(words); i++)
		KEEP_IF_FAILING(f, c, without, memcpy(c->s.xsave + words[i].at, plain.xsave + words[i].at, words[i].n));
	for (int i = 0; i < 8; i++)
		KEEP_IF_FAILING(f, c, without, memset(c->s.xsave + X_ST + 16 * i, 0, 16));
	for (int i = 0; i < 16; i++) {
		KEEP_IF_FAILING(f, c, without, memset(c->s.xsave + X_YMM + 16 * i, 0, 16));
		KEEP_IF_FAILING(f, c, without, memset(c->s.xsave + X_XMM + 16 * i, 0, 16));
	}
}

static void less_memory(struct fuzz *f, struct fuzz_case *c, struct fuzz_case *old, const char *without)
{
	for (unsigned n = 4096; n >= 8; n /= 8)
		for (unsigned at = 0; at < USER_DATA_BYTES; at += n) {
			unsigned k = 0;

			while (k < n && !c->mem[at + k])
				k++;
			if (k < n)
				KEEP_IF_FAILING(f, c, without, memset(c->mem + at, 0, n));
		}
}

void fuzz_minimise(struct fuzz *f, struct fuzz_case *c, const char *without)
{
	struct fuzz_case *old = malloc(sizeof(*old));

	memset(c->mem + USER_RO, 0, 2 * 4096);
	for (int i = 0; i < 2; i++) {
		fewer_insns(f, c, old, without);
		simpler_state(f, c, old, without);
	}
	less_memory(f, c, old, without);
	free(old);
	fuzz_analyse(f, &c->b);
}

/* ---- text ---- */

static void write_code(const struct fuzz_case *c, FILE *to)
{
	char line[128];

	for (unsigned i = 0; i < c->b.count; i++) {
		fprintf(to, "code");
		for (unsigned k = c->b.off[i]; k < c->b.off[i + 1]; k++)
			fprintf(to, " %02x", c->b.code[k]);
		insn_text(&c->b.in[i], user_rip(c->b.bits, c->b.at) + c->b.off[i], line, sizeof(line));
		fprintf(to, "\t# %s\n", line);
	}
}

static void write_vectors(const uint8_t *x, FILE *to)
{
	for (int i = 0; i < 8; i++)
		if (ld64(x + X_ST + 16 * i) || ld16(x + X_ST + 16 * i + 8))
			fprintf(to, "st%d %04x%016lx\n", i, ld16(x + X_ST + 16 * i + 8), ld64(x + X_ST + 16 * i));
	for (int i = 0; i < 16; i++) {
		const uint8_t *lo = x + X_XMM + 16 * i, *hi = x + X_YMM + 16 * i;

		if (ld64(lo) | ld64(lo + 8) | ld64(hi) | ld64(hi + 8))
			fprintf(to, "ymm%d %016lx%016lx%016lx%016lx\n", i, ld64(hi + 8), ld64(hi), ld64(lo + 8), ld64(lo));
	}
}

static void write_memory(const uint8_t *mem, FILE *to)
{
	for (unsigned at = 0; at < USER_DATA_BYTES; at += 16) {
		unsigned n = 16;

		if (at >= USER_RO && at < USER_LAST)
			continue;
		while (n && !mem[at + n - 1])
			n--;
		if (!n)
			continue;
		fprintf(to, "mem %#x", at);
		for (unsigned i = 0; i < n; i++)
			fprintf(to, " %02x", mem[at + i]);
		fprintf(to, "\n");
	}
}

void fuzz_case_write(const struct fuzz_case *c, const char *comment, FILE *to)
{
	struct user_state plain, s = c->s;

	user_state_init(&plain);
	fprintf(to, "# %s\nbits %d\nat %#x\n", comment, c->b.bits, c->b.at);
	write_code(c, to);
	for (unsigned i = 0; i < N_REG_NAMES; i++)
		if (*reg(&s, i) != *reg(&plain, i))
			fprintf(to, "%s %#lx\n", reg_names[i], *reg(&s, i));
	for (unsigned i = 0; i < ARRAY_LEN(words); i++)
		if (memcmp(s.xsave + words[i].at, plain.xsave + words[i].at, words[i].n))
			fprintf(to, "%s %#lx\n", words[i].name, ld_n(s.xsave + words[i].at, (int)words[i].n));
	write_vectors(s.xsave, to);
	write_memory(c->mem, to);
}

/* Bytes as pairs of digits; how many, at most max. */
static unsigned hex_bytes(const char *p, uint8_t *to, unsigned max)
{
	unsigned n = 0;

	for (;; p += 2) {
		while (isspace((unsigned char)*p))
			p++;
		if (n == max || !isxdigit((unsigned char)p[0]) || !isxdigit((unsigned char)p[1]))
			return n;
		to[n++] = (uint8_t)strtoul((char[]){ p[0], p[1], 0 }, NULL, 16);
	}
}

/* The same for one number, highest byte first. */
static bool hex_number(const char *p, uint8_t *to, unsigned n)
{
	uint8_t bytes[32];

	if (hex_bytes(p, bytes, n) != n)
		return false;
	for (unsigned i = 0; i < n; i++)
		to[i] = bytes[n - 1 - i];
	return true;
}

static bool read_vector(struct fuzz_case *c, const char *key, const char *arg)
{
	unsigned i = (unsigned)atoi(key + (key[0] == 's' ? 2 : 3));
	uint8_t v[32];

	if (!strncmp(key, "st", 2) && i < 8)
		return hex_number(arg, c->s.xsave + X_ST + 16 * i, 10);
	if (strncmp(key, "ymm", 3) || i > 15 || !hex_number(arg, v, 32))
		return false;
	memcpy(c->s.xsave + X_XMM + 16 * i, v, 16);
	memcpy(c->s.xsave + X_YMM + 16 * i, v + 16, 16);
	return true;
}

static bool read_memory(struct fuzz_case *c, const char *arg)
{
	char *end;
	uint64_t at = strtoull(arg, &end, 0);

	return at < USER_DATA_BYTES && hex_bytes(end, c->mem + at, (unsigned)(USER_DATA_BYTES - at));
}

static bool read_line(struct fuzz_case *c, const char *key, const char *arg)
{
	uint64_t v = strtoull(arg, NULL, 0);

	for (unsigned i = 0; i < N_REG_NAMES; i++)
		if (!strcmp(key, reg_names[i])) {
			*reg(&c->s, i) = v;
			return true;
		}
	for (unsigned i = 0; i < ARRAY_LEN(words); i++)
		if (!strcmp(key, words[i].name)) {
			memcpy(c->s.xsave + words[i].at, &v, words[i].n);
			return true;
		}
	if (!strcmp(key, "bits"))
		c->b.bits = (int)v;
	else if (!strcmp(key, "at"))
		c->b.at = (unsigned)v;
	else if (!strcmp(key, "code"))
		c->b.n += hex_bytes(arg, c->b.code + c->b.n, FUZZ_CODE - c->b.n);
	else if (!strcmp(key, "mem"))
		return read_memory(c, arg);
	else
		return read_vector(c, key, arg);
	return true;
}

bool fuzz_case_read(struct fuzz_case *c, FILE *from, struct err *e)
{
	char line[512], key[16];

	memset(c, 0, sizeof(*c));
	user_state_init(&c->s);
	for (int n = 1; fgets(line, sizeof(line), from); n++) {
		int at = 0;

		line[strcspn(line, "#\n")] = 0;
		if (sscanf(line, "%15s %n", key, &at) < 1)
			continue;
		if (!at || !read_line(c, key, line + at))
			return err_set(e, "line %d: %s", n, line);
	}
	if ((c->b.bits != 64 && c->b.bits != 32 && c->b.bits != 16) || !c->b.n ||
	    c->b.at > USER_CODE_BYTES - FUZZ_SLOT)
		return err_set(e, "no code, or bits or at out of range");
	c->s.segments = true;
	c->s.rip = user_rip(c->b.bits, c->b.at);
	return true;
}

/* ---- for people ---- */

static void show_bytes(const char *what, const uint8_t *const p[], int n, FILE *to)
{
	for (int i = 0, shown = 0; i < n && shown < 8; i++)
		if (p[0][i] != p[1][i] || p[0][i] != p[2][i]) {
			fprintf(to, "#   %s+%#x %02x, interpreter %02x, translated %02x\n", what, i, p[0][i], p[1][i], p[2][i]);
			shown++;
		}
}

void fuzz_show(const struct fuzz *f, const struct fuzz_case *c, FILE *to)
{
	static const char *const names[] = { "host", "interpreter", "translated" };
	const uint8_t *p[FUZZ_SIDES];

	for (int i = fuzz_hosted(f) ? 0 : 1; i < FUZZ_SIDES; i++) {
		const struct user_state *o = &f->out[i];

		fprintf(to, "#   %-11s exception %d error %#lx rip %#lx cr2 %#lx flags %#lx fs %lx gs %lx\n", names[i],
			o->vector, o->error, o->rip, o->cr2, o->flags, o->fs_base, o->gs_base);
	}
	for (int r = 0; r < NGPR; r++) {
		const struct user_state *o = f->out;

		if (o[1].regs[r] != o[2].regs[r] || (fuzz_hosted(f) && o[0].regs[r] != o[1].regs[r]))
			fprintf(to, "#   %s before %#lx, host %#lx, interpreter %#lx, translated %#lx\n", reg_names[r],
				c->s.regs[r], fuzz_hosted(f) ? o[0].regs[r] : 0, o[1].regs[r], o[2].regs[r]);
	}
	for (int i = 0; i < FUZZ_SIDES; i++)
		p[i] = f->out[fuzz_hosted(f) ? i : i ? i : 1].xsave;
	show_bytes("xsave", p, USER_XSAVE, to);
	for (int i = 0; i < FUZZ_SIDES; i++)
		p[i] = fuzz_mem(f, fuzz_hosted(f) ? (enum fuzz_side)i : i ? (enum fuzz_side)i : FUZZ_INTERP);
	show_bytes("mem", p, USER_RO, to);
	for (int i = 0; i < FUZZ_SIDES; i++)
		p[i] += USER_LAST;
	show_bytes("mem+0x4000", p, 4096, to);
}
