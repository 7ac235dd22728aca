/*
 * Monitor commands that look at memory, registers and ports: x, xp, print, i,
 * o, memsave, pmemsave. vCPUs are held while their memory map is used.
 */
#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/spell.h"
#include "cpu/cpuid.h"
#include "cpu/disasm.h"
#include "cpu/mmu.h"
#include "cpu/phys.h"
#include "ui/keyval.h"
#include "ui/monitor_priv.h"

/* "10xw": count, one of x d u o c i, one of b h w g. */
struct format {
	unsigned count;
	char kind;
	int size;
};
#define MAX_COUNT 65536

static bool parse_format(const char *s, struct format *f, FILE *out)
{
	static const char sizes[] = "bhwg";
	char *end;
	const char *at;

	if (isdigit((unsigned char)*s)) {
		unsigned long n = strtoul(s, &end, 10);
		f->count = n > MAX_COUNT ? MAX_COUNT : (unsigned)n;
		s = end;
	}
	for (; *s; s++) {
		if (strchr("xduoci", *s))
			f->kind = *s;
		else if ((at = strchr(sizes, *s)))
			f->size = 1 << (at - sizes);
		else
			break;
	}
	if (*s)
		fprintf(out, "/%s: expected a count, one of x d u o c i, and one of b h w g\n", s);
	return !*s;
}

static void print_value(uint64_t v, const struct format *f, FILE *out)
{
	int n = f->size;

	v &= size_mask(n);
	switch (f->kind) {
	case 'd': fprintf(out, "%lld", (long long)sext(v, 8 * n)); break;
	case 'u': fprintf(out, "%llu", (unsigned long long)v); break;
	case 'o': fprintf(out, "%#llo", (unsigned long long)v); break;
	case 'c': fprintf(out, isprint((int)(v & 0x7f)) && v < 0x80 ? "'%c'" : "'\\x%02x'", (int)v); break;
	default: fprintf(out, "0x%0*llx", 2 * n, (unsigned long long)v); break;
	}
}

/* n bytes at va (or at a physical address); how many could be read. */
static int read_memory(struct cpu *c, bool virtual, uint64_t va, uint8_t *buf, int n)
{
	int done = 0;

	while (done < n) {
		uint64_t pa = va + (uint64_t)done;
		int part = (int)min_u64((uint64_t)(n - done), 4096 - (pa & 4095));

		if (virtual && !mmu_probe(c, pa, &pa))
			break;
		phys_read_buf(c->phys, pa, buf + done, (uint64_t)part);
		done += part;
	}
	return done;
}

static void dump_values(struct monitor *mon, bool virtual, uint64_t at, const struct format *f, FILE *out)
{
	unsigned per_line = f->kind == 'c' ? 8 : 16 / (unsigned)f->size;
	uint8_t buf[8];

	for (unsigned i = 0; i < f->count; i++, at += (unsigned)f->size) {
		if (i % per_line == 0)
			fprintf(out, "%s%0*llx:", i ? "\n" : "", virtual && !cpu_is64(mon_cpu(mon)) ? 8 : 16,
				(unsigned long long)at);
		if (read_memory(mon_cpu(mon), virtual, at, buf, f->size) < f->size) {
			fputs(" not mapped", out);
			break;
		}
		fputc(' ', out);
		print_value(ld_n(buf, f->size), f, out);
	}
	fputc('\n', out);
}

static void dump_code(struct monitor *mon, bool virtual, uint64_t at, const struct format *f, FILE *out)
{
	struct cpu *c = mon_cpu(mon);
	struct insn_env env = { .mode = c->mode };

	cpuid_insn_features(c, env.feat);
	for (unsigned i = 0; i < f->count; i++) {
		uint8_t code[16];
		char text[100];
		struct insn in;
		int n = read_memory(c, virtual, at, code, 15);

		fprintf(out, "0x%08llx:  ", (unsigned long long)at);
		if (!n) {
			fputs("not mapped\n", out);
			return;
		}
		if (insn_decode(code, (unsigned)n, &env, &in) == INSN_OK) {
			insn_text(&in, at, text, sizeof(text));
		} else {
			in.len = 1;
			snprintf(text, sizeof(text), "(bad)");
		}
		for (int k = 0; k < 8; k++)
			fprintf(out, k < in.len ? "%02x " : "   ", code[k]);
		fprintf(out, " %s\n", text);
		at += in.len;
	}
}

static void examine(struct monitor *mon, const struct mon_args *a, bool virtual, FILE *out)
{
	struct format f = { 1, 'x', 4 };
	uint64_t at;

	if (!parse_format(a->fmt, &f, out) || !mon_expr(mon, a->rest, &at, out))
		return;
	vm_hold(mon->vm);
	(f.kind == 'i' ? dump_code : dump_values)(mon, virtual, at, &f, out);
	vm_release(mon->vm);
}

void mon_x(struct monitor *mon, const struct mon_args *a, FILE *out)
{
	examine(mon, a, true, out);
}

void mon_xp(struct monitor *mon, const struct mon_args *a, FILE *out)
{
	examine(mon, a, false, out);
}

void mon_print(struct monitor *mon, const struct mon_args *a, FILE *out)
{
	struct format f = { 1, 'x', 8 };
	uint64_t v;
	bool ok;

	if (!parse_format(a->fmt, &f, out))
		return;
	vm_hold(mon->vm);
	ok = mon_expr(mon, a->rest, &v, out);
	vm_release(mon->vm);
	if (!ok)
		return;
	if (f.kind == 'x')
		fprintf(out, "%#llx", (unsigned long long)(v & size_mask(f.size)));
	else
		print_value(v, &f, out);
	fputc('\n', out);
}

void mon_i(struct monitor *mon, const struct mon_args *a, FILE *out)
{
	struct format f = { 1, 'x', 1 };
	uint64_t port;

	if (!parse_format(a->fmt, &f, out) || !mon_expr(mon, a->rest, &port, out))
		return;
	if (port > 0xffff || f.size > 4) {
		fputs("i: expected a port up to 0xffff and a size b, h or w\n", out);
		return;
	}
	fprintf(out, "port%c[0x%04x] = ", f.size == 1 ? 'b' : f.size == 2 ? 'w' : 'l', (unsigned)port);
	print_value(port_read(mon->vm->m, (uint16_t)port, f.size), &f, out);
	fputc('\n', out);
}

void mon_o(struct monitor *mon, const struct mon_args *a, FILE *out)
{
	struct format f = { 1, 'x', 1 };
	uint64_t port, v;

	if (!parse_format(a->fmt, &f, out) || !mon_expr(mon, a->word[0], &port, out) ||
	    !mon_expr(mon, a->word[1], &v, out))
		return;
	if (port > 0xffff || f.size > 4)
		fputs("o: expected a port up to 0xffff and a size b, h or w\n", out);
	else
		port_write(mon->vm->m, (uint16_t)port, f.size, (uint32_t)v);
}

/* ---- saving to files ---- */

static bool save(struct cpu *cpu, bool virtual, uint64_t at, uint64_t size, FILE *f, struct err *e)
{
	uint8_t buf[4096];

	while (size) {
		int n = (int)min_u64(size, sizeof(buf));

		if (read_memory(cpu, virtual, at, buf, n) < n)
			return err_set(e, "Invalid addr 0x%016llx/size %llu specified: nothing is mapped there",
				       (unsigned long long)at, (unsigned long long)size);
		if (fwrite(buf, 1, (size_t)n, f) != (size_t)n)
			return err_errno(e, "writing failed");
		at += (uint64_t)n;
		size -= (uint64_t)n;
	}
	return true;
}

static struct value *save_to_file(struct cmd *c, const struct value *args, bool virtual)
{
	const char *name = val_get_str(args, "filename", "");
	uint64_t at = (uint64_t)val_get_int(args, "val", 0), size = (uint64_t)val_get_int(args, "size", 0);
	int cpu = cmd_cpu(c, args, "cpu-index");
	FILE *f;
	bool ok;

	if (cpu < 0)
		return NULL;
	if ((int64_t)size < 0)
		return cmd_fail(c, CMD_GENERIC, "size: expected a number of bytes, not %lld", (long long)size);
	f = fopen(name, "wbe");
	if (!f)
		return cmd_fail(c, CMD_GENERIC, "Could not open '%s': %s", name, strerror(errno));
	vm_hold(c->vm);
	ok = save(c->vm->vcpus[cpu].cpu, virtual, at, size, f, &c->err);
	vm_release(c->vm);
	if (fclose(f) && ok)
		ok = err_errno(&c->err, "%s", name);
	return cmd_result(ok);
}

struct value *cmd_memsave(struct cmd *c, const struct value *args)
{
	return save_to_file(c, args, true);
}

struct value *cmd_pmemsave(struct cmd *c, const struct value *args)
{
	return save_to_file(c, args, false);
}
