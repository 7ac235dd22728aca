/*
 * Expressions of the monitor, by recursive descent:
 *
 *	logic = sum { (& | ^) sum }	sum = product { (+ -) product }
 *	product = unary { (* / %) unary }	unary = { - ~ + } ( number | $register | 'c' | ( logic ) )
 */
#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/spell.h"
#include "cpu/dump.h"
#include "ui/monitor_priv.h"

struct parser {
	struct monitor *mon;
	const char *p;
	FILE *out;
	bool failed;
	int depth;
};

static uint64_t logic(struct parser *s);

static char peek(struct parser *s)
{
	while (isspace((unsigned char)*s->p))
		s->p++;
	return *s->p;
}

static uint64_t fail(struct parser *s, const char *why, const char *what)
{
	if (!s->failed)
		fprintf(s->out, "%s%s\n", why, what);
	s->failed = true;
	return 0;
}

static uint64_t number(struct parser *s)
{
	char *end;
	uint64_t v;

	errno = 0;
	v = strtoull(s->p, &end, 0);
	if (errno || isalnum((unsigned char)*end))
		return fail(s, "not a number: ", s->p);
	s->p = end;
	return v;
}

static uint64_t reg(struct parser *s)
{
	char name[16], hint[64];
	struct spell near;
	uint64_t v;
	size_t n = 0;

	for (s->p++; isalnum((unsigned char)*s->p) || *s->p == '.'; s->p++)
		if (n < sizeof(name) - 1)
			name[n++] = *s->p;
	name[n] = 0;
	if (cpu_reg_by_name(mon_cpu(s->mon), name, &v))
		return v;
	spell_init(&near, name);
	for (unsigned i = 0; cpu_reg_name(i); i++)
		spell_try(&near, cpu_reg_name(i));
	if (!s->failed)
		fprintf(s->out, "no register $%s%s\n", name, spell_hint(&near, hint, sizeof(hint)));
	s->failed = true;
	return 0;
}

static uint64_t parenthesis(struct parser *s)
{
	uint64_t v;

	s->p++;
	v = logic(s);
	if (peek(s) != ')')
		return fail(s, "a ) is missing", "");
	s->p++;
	return v;
}

static uint64_t unary(struct parser *s)
{
	uint64_t v;
	char ch = peek(s);

	if (++s->depth > 100 || s->failed)
		return fail(s, "too deep", "");
	if (ch == '-' || ch == '~' || ch == '+') {
		s->p++;
		v = unary(s);
		v = ch == '-' ? -v : ch == '~' ? ~v : v;
	} else if (ch == '(') {
		v = parenthesis(s);
	} else if (ch == '$') {
		v = reg(s);
	} else if (ch == '\'' && s->p[1] && s->p[2] == '\'') {
		v = (uint8_t)s->p[1];
		s->p += 3;
	} else if (isdigit((unsigned char)ch)) {
		v = number(s);
	} else {
		v = fail(s, "expected a number or $register at: ", ch ? s->p : "the end");
	}
	s->depth--;
	return v;
}

static uint64_t product(struct parser *s)
{
	uint64_t v = unary(s);
	char op;

	while (!s->failed && ((op = peek(s)) == '*' || op == '/' || op == '%')) {
		uint64_t b;

		s->p++;
		b = unary(s);
		if (op == '*')
			v *= b;
		else if (!b)
			return fail(s, "division by zero", "");
		else
			v = op == '/' ? v / b : v % b;
	}
	return v;
}

static uint64_t sum(struct parser *s)
{
	uint64_t v = product(s);
	char op;

	while (!s->failed && ((op = peek(s)) == '+' || op == '-')) {
		uint64_t b;

		s->p++;
		b = product(s);
		v = op == '+' ? v + b : v - b;
	}
	return v;
}

static uint64_t logic(struct parser *s)
{
	uint64_t v = sum(s);
	char op;

	while (!s->failed && ((op = peek(s)) == '&' || op == '|' || op == '^')) {
		uint64_t b;

		s->p++;
		b = sum(s);
		v = op == '&' ? v & b : op == '|' ? v | b : v ^ b;
	}
	return v;
}

bool mon_expr(struct monitor *mon, const char *text, uint64_t *v, FILE *out)
{
	struct parser s = { .mon = mon, .p = text, .out = out };

	*v = logic(&s);
	if (!s.failed && peek(&s))
		fail(&s, "unexpected: ", s.p);
	return !s.failed;
}
