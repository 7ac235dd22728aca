/*
 * The map for perf: every byte of a block's code has one name, which says what it is there for.
 */
#include "tcg/perfmap.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "tcg/run.h"
#include "tests/guest_code.h"

#define END	"out 0xf4, al\n"

GUEST(accesses, "mov rax, [rbx]\n mov rdx, [rsi + 8]\n mov rcx, [rsi + 16]\n add rax, r8\n ret\n")

struct line {
	unsigned long at;
	unsigned size;
	char name[64], part[32];
};

/* Lines about the block at M_CODE, in the order of the map. */
static unsigned read_map(struct line *l, unsigned max)
{
	char path[64], text[256];
	unsigned n = 0;
	FILE *f;

	snprintf(path, sizeof(path), "/tmp/perf-%ld.map", (long)getpid());
	f = fopen(path, "r");
	cr_assert(f);
	while (n < max && fgets(text, sizeof(text), f))
		if (sscanf(text, "%lx %x %63s %31s", &l[n].at, &l[n].size, l[n].name, l[n].part) == 4 &&
		    !strcmp(l[n].name, "guest:40000"))
			n++;
	fclose(f);
	unlink(path);
	return n;
}

static bool has(const struct line *l, unsigned n, const char *part)
{
	for (unsigned i = 0; i < n; i++)
		if (!strcmp(l[i].part, part))
			return true;
	return false;
}

Test(perfmap, every_byte_of_a_block_has_a_part)
{
	static const char *const parts[] = { "guard", "probe", "lead", "work", "return", "miss" };
	struct machine mach, *m = &mach;
	struct err e = { 0 };
	const struct code_cache *k;
	struct line l[64];
	struct tb *tb;
	unsigned n;

	machine_init(m, 64, 0, &tcg_accel);
	cr_assert(tcg_perfmap(m->c, &e));
	GUEST_PUT(m, M_CODE, accesses);
	MACHINE_PUT(m, M_CODE + 0x800, MACHINE_END);
	m->c->regs[RBX] = m->c->regs[RSI] = M_DATA;
	st64(machine_mem(m, M_STACK - 8), M_CODE + 0x800);
	m->c->regs[RSP] = M_STACK - 8;
	cr_expect_eq(machine_run(m, M_CODE), -1);
	m->c->rip = M_CODE;
	tb = tcg_find(m->c, m->c->mode);
	cr_assert(tb);
	k = tcg_of(m->c)->cache;
	n = read_map(l, ARRAY_LEN(l));
	for (unsigned i = 0; i < ARRAY_LEN(parts); i++)
		cr_expect(has(l, n, parts[i]), "%s", parts[i]);
	for (unsigned i = 0; i < n; i++) {
		bool first_cold = l[i].at == (uintptr_t)tb_cold(k, tb);

		cr_expect_gt(l[i].size, 0);
		if (i && !first_cold)
			cr_expect_eq(l[i].at, l[i - 1].at + l[i - 1].size, "line %u", i);
	}
	cr_expect_eq(l[0].at, (uintptr_t)tb_code(k, tb));
	cr_expect_eq(l[n - 1].at + l[n - 1].size, (uintptr_t)tb_cold(k, tb) + tb->cold_size);
	machine_fini(m);
}
