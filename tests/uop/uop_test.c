/*
 * File tests of passes: each *.uop beside this file holds µops, the names of the
 * passes to run, and what they must become.
 *
 *	# comment
 *	passes: flags dead
 *	live: zc                flags that the code at direct targets reads
 *	code: 32                size of the code, 64 if not given
 *	insn                    begins the next instruction
 *	mov.8     t0, 5
 *	jmp       0x1000
 *	=>
 *	insn
 *	...
 *
 * With BLESS in the environment the part behind => is written anew: tools/bless.
 */
#include <criterion/criterion.h>
#include <glob.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tcg/pass.h"

struct file {
	char before[16384];	/* everything up to => */
	char after[16384];
	char passes[128];
	uint16_t live;
	struct ir ir;
};

static uint16_t live_at(void *opaque, uint64_t rip)
{
	(void)rip;
	return *(uint16_t *)opaque;
}

static void run_flags(struct file *f) { opt_flags(&f->ir, live_at, &f->live); }
static void run_dead(struct file *f) { opt_dead(&f->ir); }
static void run_mem(struct file *f) { opt_mem(&f->ir); }
static void run_step(struct file *f) { opt_step(&f->ir); }

static const struct {
	const char *name;
	void (*run)(struct file *f);
} passes[] = {
	{ "flags", run_flags }, { "dead", run_dead }, { "mem", run_mem }, { "step", run_step },
};

static uint16_t parse_flags(const char *letters)
{
	static const char names[] = "oszapc";
	static const uint16_t masks[] = { FL_OF, FL_SF, FL_ZF, FL_AF, FL_PF, FL_CF };
	uint16_t fl = 0;

	for (; *letters; letters++)
		if (strchr(names, *letters))
			fl |= masks[strchr(names, *letters) - names];
	return fl;
}

/* One line in front of =>. */
static void parse_line(struct file *f, const char *line, const char *path)
{
	struct ir *ir = &f->ir;
	struct uop u;

	line += strspn(line, " \t");
	if (!*line || *line == '#')
		return;
	if (!strncmp(line, "passes:", 7)) {
		snprintf(f->passes, sizeof(f->passes), "%s", line + 7);
	} else if (!strncmp(line, "live:", 5)) {
		f->live = parse_flags(line + 5);
	} else if (!strcmp(line, "code: 32")) {
		ir->mode = MODE_CODE32 | MODE_PE | MODE_FLAT;
	} else if (!strcmp(line, "insn")) {
		ir->n_insns++;
	} else {
		cr_assert(uop_parse(line, &u), "%s: %s", path, line);
		cr_assert(ir->n_insns, "%s: µop in front of the first insn", path);
		u.insn = ir->n_insns - 1;
		ir->uops[ir->n_uops++] = u;
	}
}

static void read_file(struct file *f, const char *path)
{
	FILE *in = fopen(path, "r");
	char line[256], *to = f->before;

	cr_assert(in, "%s", path);
	memset(f, 0, sizeof(*f));
	f->ir.mode = MODE_CODE64 | MODE_PE | MODE_LMA | MODE_FLAT;
	while (fgets(line, sizeof(line), in)) {
		if (!strcmp(line, "=>\n")) {
			to = f->after;
			continue;
		}
		to = stpcpy(to, line);
		line[strcspn(line, "\n")] = 0;
		if (!*f->after && to >= f->before && to < f->before + sizeof(f->before))
			parse_line(f, line, path);
	}
	fclose(in);
}

static void run_passes(struct file *f, const char *path)
{
	for (char *name = strtok(f->passes, " "); name; name = strtok(NULL, " ")) {
		unsigned i = 0;

		while (i < ARRAY_LEN(passes) && strcmp(passes[i].name, name))
			i++;
		cr_assert(i < ARRAY_LEN(passes), "%s: no pass %s", path, name);
		passes[i].run(f);
		uop_verify(&f->ir, name);
	}
}

static void print(const struct file *f, char *to)
{
	for (unsigned i = 0; i < f->ir.n_uops; i++) {
		const struct uop *u = &f->ir.uops[i];

		if (!i || u->insn != u[-1].insn)
			to = stpcpy(to, "insn\n");
		to += uop_text(&f->ir, u, to, 256);
		to = stpcpy(to, "\n");
	}
}

static void bless(const struct file *f, const char *path, const char *text)
{
	FILE *out = fopen(path, "w");

	cr_assert(out, "%s", path);
	fprintf(out, "%s=>\n%s", f->before, text);
	fclose(out);
}

Test(uop, passes_make_what_the_files_say)
{
	static struct file f;
	static char text[16384];
	char pattern[512];
	glob_t g;

	snprintf(pattern, sizeof(pattern), "%.*s/*.uop", (int)(strrchr(__FILE__, '/') - __FILE__), __FILE__);
	cr_assert_eq(glob(pattern, 0, NULL, &g), 0, "%s", pattern);
	for (size_t i = 0; i < g.gl_pathc; i++) {
		*text = 0;
		read_file(&f, g.gl_pathv[i]);
		run_passes(&f, g.gl_pathv[i]);
		print(&f, text);
		if (getenv("BLESS"))
			bless(&f, g.gl_pathv[i], text);
		else
			cr_expect_str_eq(text, f.after, "%s:\n%s", g.gl_pathv[i], text);
	}
	globfree(&g);
}
