/*
 * µops as text, and back: for logs, the verifier's listings and file tests.
 *
 *	probe.8   rw a64 ds:[rbx + rcx*4 + 8]
 *	add.8     M, M, rdx lock
 *	lea.8     rsp, a64 [rsp - 8]
 *	jcc       0x1040 ?nz {>z}
 *	call      t0, seg_load, t0, 3
 *
 * Operands stand in the order d, a, b; an immediate operand is its number. Then
 * follow, where they are not 0: the condition (?nz), the source size (c=2) or
 * whatever else is in field c, aux, and an immediate that is no operand (a bare
 * number for the exits' targets, else imm=). {...} are the flags live behind the
 * µop, {>...} those live at an exit's target.
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tcg/uop.h"

static const char *const op_names[] = {
	"rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi",
	"r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15",
	"ah", "ch", "dh", "bh", "t0", "t1", "t2", "t3",
	[OP_M] = "M",
};
static const char *const seg_names[] = { "es", "cs", "ss", "ds", "fs", "gs" };
static const char *const cond_names[16] = {
	"o", "no", "c", "nc", "z", "nz", "be", "a", "s", "ns", "p", "np", "l", "ge", "le", "g",
};
static const char *const kind_names[] = { "-", "r", "w", "rw" };
static const char *const adsize_names[] = { "a16", "a32", "a64", "a?" };

static const struct {
	uint16_t flag;
	char letter;
} flag_letters[] = {
	{ FL_OF, 'o' }, { FL_SF, 's' }, { FL_ZF, 'z' }, { FL_AF, 'a' }, { FL_PF, 'p' }, { FL_CF, 'c' },
};

static bool has_cond(int op)
{
	return op == UOP_jcc || op == UOP_setcc || op == UOP_cmov;
}

/* Exits and their like, whose immediate is an address or number of its own. */
static bool has_target(int op)
{
	return uop_info[op].kind == K_EXIT || op == UOP_setrip || op == UOP_label || op == UOP_prove || op == UOP_rounds;
}

/* ---- writing ---- */

struct out {
	char *buf;
	int n, len;
};

static void __attribute__((format(printf, 2, 3))) put(struct out *o, const char *fmt, ...)
{
	va_list ap;
	int room = o->n > o->len ? o->n - o->len : 0;

	va_start(ap, fmt);
	o->len += vsnprintf(room ? o->buf + o->len : NULL, room, fmt, ap);
	va_end(ap);
	if (o->len >= o->n)
		o->len = o->n ? o->n - 1 : 0;
}

static void put_number(struct out *o, int64_t v)
{
	if (v > -4096 && v < 4096)
		put(o, "%lld", (long long)v);
	else
		put(o, "0x%llx", (unsigned long long)v);
}

static void put_operand(struct out *o, const struct uop *u, int op)
{
	if (op == OP_IMM)
		put_number(o, u->imm);
	else if (op < (int)ARRAY_LEN(op_names) && op_names[op])
		put(o, "%s", op_names[op]);
	else
		put(o, "op%d", op);
}

static void put_address(struct out *o, const struct uop *u)
{
	const char *plus = "";

	put(o, "[");
	if (u->a != OP_NONE) {
		put_operand(o, u, u->a);
		plus = " + ";
	}
	if (u->b != OP_NONE) {
		put(o, "%s", plus);
		put_operand(o, u, u->b);
		put(o, "*%d", 1 << (u->c >> PROBE_SCALE & 3));
		plus = " + ";
	}
	if (*plus && u->imm < 0 && u->imm > -4096)
		put(o, " - %lld", -(long long)u->imm);
	else if (u->imm || !*plus)
		put(o, "%s", plus), put_number(o, u->imm);
	put(o, "]");
}

static void put_probe(struct out *o, const struct uop *u)
{
	put(o, "%s %s %s:", kind_names[u->c & PROBE_KIND], adsize_names[u->c >> PROBE_ADSIZE & 3],
	    u->d < ARRAY_LEN(seg_names) ? seg_names[u->d] : "?s");
	put_address(o, u);
	if (u->c & PROBE_NOSEG)
		put(o, " noseg");
	if (u->c & PROBE_ALIGN)
		put(o, " align");
	if (u->aux & (PROBE_LEADER | PROBE_FOLLOWER))
		put(o, " %s proof%d", u->aux & PROBE_LEADER ? "makes" : "uses", u->aux >> PROBE_PLACE);
	if (u->aux & PROBE_PROVEN)
		put(o, " proven%d", u->aux >> PROBE_PLACE);
}

static void put_flags(struct out *o, uint16_t fl)
{
	for (unsigned i = 0; i < ARRAY_LEN(flag_letters); i++)
		if (fl & flag_letters[i].flag)
			put(o, "%c", flag_letters[i].letter);
}

static void put_plain(struct out *o, const struct uop *u)
{
	const struct uop_info *info = &uop_info[u->op];
	const int ops[3] = { u->d, u->a, u->b };
	const char *sep = "";
	bool shown = false;		/* imm */

	for (int i = 0; i < 3; i++) {
		if (!(i == 0 ? info->d : i == 1 ? info->a : info->b) || ops[i] == OP_NONE)
			continue;
		put(o, "%s", sep);
		put_operand(o, u, ops[i]);
		sep = ", ";
		shown |= ops[i] == OP_IMM;
	}
	if (has_target(u->op) && !shown && (u->op != UOP_exit && u->op != UOP_jmpind))
		put(o, u->op == UOP_raise ? "%s%lld" : "%s0x%llx", sep, (long long)u->imm), shown = true;
	if (has_cond(u->op))
		put(o, " ?%s", cond_names[u->c & 15]);
	else if (u->c)
		put(o, " c=%d", u->c);
	if (u->aux == U_LOCK && u->d == OP_M)
		put(o, " lock");
	else if (u->aux == U_INSIDE && (uop_jumps(u) || u->op == UOP_jmpind))
		put(o, " inside");
	else if (u->aux == U_FAST && (uop_jumps(u) || u->op == UOP_label))
		put(o, " fast");
	else if (u->aux)
		put(o, " aux=%d", u->aux);
	if (u->imm && !shown)
		put(o, "%simm=", *sep ? " " : ""), put_number(o, u->imm);
}

static void put_call(struct out *o, const struct uop *u)
{
	if (u->d != OP_NONE)
		put_operand(o, u, u->d), put(o, ", ");
	put(o, "%s", u->aux < HELPER_COUNT ? helper_info[u->aux].name : "?");
	if (u->a != OP_NONE)
		put(o, ", "), put_operand(o, u, u->a);
	if (u->b != OP_NONE)
		put(o, ", "), put_operand(o, u, u->b);
	put(o, " imm="), put_number(o, u->imm);
}

int uop_text(const struct ir *ir, const struct uop *u, char *buf, int n)
{
	struct out o = { buf, n, 0 };
	char name[24];

	(void)ir;
	if (n > 0)
		*buf = 0;
	if (u->op >= UOP_COUNT) {
		put(&o, "uop%d", u->op);
		return o.len;
	}
	snprintf(name, sizeof(name), u->size ? "%s.%d" : "%s", uop_info[u->op].name, u->size);
	put(&o, "%-9s ", name);
	if (u->op == UOP_probe)
		put_probe(&o, u);
	else if (u->op == UOP_plug_va)
		put(&o, "%d, %s %s:", u->aux, adsize_names[u->c >> PROBE_ADSIZE & 3], seg_names[u->pad % 6]), put_address(&o, u);
	else if (u->op == UOP_lea)
		put_operand(&o, u, u->d), put(&o, ", %s ", adsize_names[u->c >> PROBE_ADSIZE & 3]), put_address(&o, u);
	else if (u->op == UOP_call)
		put_call(&o, u);
	else
		put_plain(&o, u);
	while (o.len > 0 && o.buf[o.len - 1] == ' ')
		o.buf[--o.len] = 0;
	if (u->fl || u->flx) {
		put(&o, " {");
		put_flags(&o, u->fl);
		if (u->flx)
			put(&o, ">"), put_flags(&o, u->flx);
		put(&o, "}");
	}
	return o.len;
}

/* ---- reading ---- */

/* The next word: letters, digits and the signs inside words; or one other character. */
static int next_word(const char **p, char *word, int n)
{
	int len = 0;

	while (**p == ' ' || **p == '\t' || **p == ',')
		(*p)++;
	while (**p && strchr("abcdefghijklmnopqrstuvwxyzMABCDEF0123456789._", **p) && len < n - 1)
		word[len++] = *(*p)++;
	if (!len && **p && n > 1)
		word[len++] = *(*p)++;
	word[len] = 0;
	return len;
}

static int find(const char *word, const char *const *names, int n)
{
	for (int i = 0; i < n; i++)
		if (names[i] && !strcmp(word, names[i]))
			return i;
	return -1;
}

static bool number(const char **p, const char *word, int64_t *v)
{
	char *end, next[32];
	bool minus = !strcmp(word, "-");

	if (minus) {
		next_word(p, next, sizeof(next));
		word = next;
	}
	if (*word < '0' || *word > '9')
		return false;
	*v = (int64_t)strtoull(word, &end, 0);
	if (minus)
		*v = -*v;
	return !*end;
}

static bool parse_address(const char **p, struct uop *u)
{
	char word[32];
	int64_t v;
	int op, sign = 1;

	u->a = u->b = OP_NONE;
	if (!next_word(p, word, sizeof(word)) || strcmp(word, "["))
		return false;
	while (next_word(p, word, sizeof(word)) && strcmp(word, "]")) {
		if (!strcmp(word, "+") || !strcmp(word, "-")) {
			sign = *word == '-' ? -1 : 1;
			continue;
		}
		op = find(word, op_names, ARRAY_LEN(op_names));
		if (op >= 0 && **p == '*') {
			(*p)++;
			u->b = op;
			next_word(p, word, sizeof(word));
			u->c |= (*word == '8' ? 3 : *word == '4' ? 2 : *word == '2') << PROBE_SCALE;
		} else if (op >= 0) {
			u->a = op;
		} else if (number(p, word, &v)) {
			u->imm = sign * v;
		} else {
			return false;
		}
	}
	return true;
}

static bool parse_adsize(const char **p, struct uop *u)
{
	char word[32];
	int i;

	next_word(p, word, sizeof(word));
	i = find(word, adsize_names, 3);
	u->c |= i << PROBE_ADSIZE;
	return i >= 0;
}

static bool parse_probe(const char **p, struct uop *u)
{
	char word[32];
	int i;

	next_word(p, word, sizeof(word));
	i = find(word, kind_names, ARRAY_LEN(kind_names));
	if (i < 1)
		return false;
	u->c = i;
	if (!parse_adsize(p, u))
		return false;
	next_word(p, word, sizeof(word));
	i = find(word, seg_names, ARRAY_LEN(seg_names));
	if (i < 0)
		return false;
	u->d = i;
	if (*(*p)++ != ':' || !parse_address(p, u))
		return false;
	while (next_word(p, word, sizeof(word)) && *word != '{')
		u->c |= !strcmp(word, "noseg") ? PROBE_NOSEG : !strcmp(word, "align") ? PROBE_ALIGN : 0;
	return true;
}

static int find_helper(const char *word)
{
	for (int i = 0; i < HELPER_COUNT; i++)
		if (!strcmp(word, helper_info[i].name))
			return i;
	return -1;
}

/* "key=" or "?cond" or "lock"; the word has been read. */
static bool parse_extra(const char **p, const char *word, struct uop *u)
{
	char next[32];
	int64_t v;
	int i;

	if (!strcmp(word, "?")) {
		next_word(p, next, sizeof(next));
		i = find(next, cond_names, 16);
		u->c = i;
		return i >= 0;
	}
	if (!strcmp(word, "lock")) {
		u->aux = U_LOCK;
		return true;
	}
	if (!strcmp(word, "inside")) {
		u->aux = U_INSIDE;
		return true;
	}
	if (!strcmp(word, "fast")) {
		u->aux = U_FAST;
		return true;
	}
	if (**p != '=')
		return false;
	(*p)++;
	next_word(p, next, sizeof(next));
	if (!number(p, next, &v))
		return false;
	if (!strcmp(word, "imm"))
		u->imm = v;
	else if (!strcmp(word, "c"))
		u->c = v;
	else if (!strcmp(word, "aux"))
		u->aux = v;
	else
		return false;
	return true;
}

static bool parse_plain(const char **p, struct uop *u)
{
	const struct uop_info *info = &uop_info[u->op];
	uint8_t *slots[3];
	int n = 0, at = 0, op;
	char word[32];
	int64_t v;

	if (info->d)
		slots[n++] = &u->d;
	if (info->a)
		slots[n++] = &u->a;
	if (info->b)
		slots[n++] = &u->b;
	while (next_word(p, word, sizeof(word)) && *word != '{') {
		op = find(word, op_names, ARRAY_LEN(op_names));
		if (u->op == UOP_call && at < 2 && op < 0 && find_helper(word) >= 0) {
			u->aux = find_helper(word);
			at = 1;
		} else if (op >= 0 && at < n) {
			*slots[at++] = op;
		} else if (strcmp(word, "?") && number(p, word, &v)) {
			u->imm = v;
			if (!has_target(u->op) && at < n)
				*slots[at++] = OP_IMM;
		} else if (!parse_extra(p, word, u)) {
			return false;
		}
	}
	return true;
}

bool uop_parse(const char *line, struct uop *u)
{
	char word[32], *dot;

	*u = (struct uop) { .d = OP_NONE, .a = OP_NONE, .b = OP_NONE };
	if (!next_word(&line, word, sizeof(word)))
		return false;
	dot = strchr(word, '.');
	if (dot) {
		*dot = 0;
		u->size = atoi(dot + 1);
	}
	for (u->op = 0; u->op < UOP_COUNT; u->op++)
		if (!strcmp(word, uop_info[u->op].name))
			break;
	if (u->op == UOP_COUNT)
		return false;
	if (u->op == UOP_probe)
		return parse_probe(&line, u);
	if (u->op != UOP_lea)
		return parse_plain(&line, u);
	next_word(&line, word, sizeof(word));
	u->d = find(word, op_names, ARRAY_LEN(op_names));
	return u->d != 0xff && parse_adsize(&line, u) && parse_address(&line, u);
}
