/*
 * Blocks that move (tcg/move_light.c): for all instructions, that the places where code depends on RIP are those that
 * are noted. A block is translated at two addresses, in the same place of code memory; once the noted places of the first
 * translation are rewritten, it is the second one.
 */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "cpu/disasm.h"
#include "cpu/mmu.h"
#include "tcg/cache.h"
#include "tcg/run.h"
#include "tests/insn/gen.h"
#include "tests/machine.h"

enum { ID = 8 };	/* where the number of a page stands in a guard */

struct copy {
	uint8_t code[8192], cold[8192], moves[1 + 2 * MAX_MOVES];
	const uint8_t *at;
	struct tb tb;
};

/* Odd or even pages, so that two are not the same; only slots of the top-level table differ besides. */
static uint64_t some_address(struct rng *r, unsigned odd)
{
	return (uint64_t)(rng_below(r, 255) + 1) << 39 | (0x180000 + (2 * rng_below(r, 64) + odd) * 0x1000);
}

/* The first page of code at one linear address more. */
static void map(struct machine *m, uint64_t va)
{
	memcpy(machine_mem(m, M_TABLES + (va >> 39) * 8), machine_mem(m, M_TABLES), 8);
	st64(machine_mem(m, M_TABLES + 0x3000 + (va & 0x1fffff) / 512), M_CODE | PTE_P | PTE_W | PTE_U);
}

/* Its translation at va, which is dropped and leaves its room to the next one. */
static void translate(struct machine *m, uint64_t va, struct copy *to)
{
	struct tcg *t = tcg_of(m->c);
	struct tb *tb;

	m->c->rip = va;
	tcg_itlb(m->c, va);
	tb = tcg_translate(m->c, m->c->mode, false);
	cr_assert(tb && tb->size < sizeof(to->code) && tb->cold_size < sizeof(to->cold));
	to->tb = *tb;
	to->at = tb_code(t->cache, tb);
	memcpy(to->code, to->at - t->cache->rx, tb->size);
	memcpy(to->cold, tb_cold(t->cache, tb) - t->cache->rx, tb->cold_size);
	memcpy(to->moves, t->cache->sides + tb->side + tb->n_side, sizeof(to->moves));
	tcg_kill(t, (uint32_t)(tb - t->cache->tbs));
	tcg_take_back(t, false);
}

static bool same(struct copy *a, const struct copy *b)
{
	x64_move(a->code, a->cold, a->moves, b->tb.rip - a->tb.rip);
	if (b->tb.guard) {
		x64_move_guard(a->code, ITLB_SLOT(b->tb.rip));
		memcpy(a->code + ID, b->code + ID, 4);
	}
	return a->at == b->at && a->tb.size == b->tb.size && a->tb.cold_size == b->tb.cold_size &&
	       !memcmp(a->code, b->code, a->tb.size) && !memcmp(a->cold, b->cold, a->tb.cold_size);
}

static unsigned put_block(struct machine *m, struct gen *g, unsigned row)
{
	uint8_t *p = machine_mem(m, M_CODE);
	unsigned n = 0;

	memset(p, 0x90, 256);
	for (unsigned i = 0; i < 3; i++)
		n += insn_gen(g, i == 1 ? row : rng_below(&g->rng, n_insn_rows), p + n);
	p[n] = 0xe9;			/* a jump out of the page */
	st32(p + n + 1, 0x12345);
	return n;
}

static const char *text(struct machine *m, uint64_t va, unsigned n)
{
	struct insn_env env = { .mode = m->c->mode, .feat = { m->c->insn_feat[0], m->c->insn_feat[1] } };
	static char all[1024];
	char line[128];
	struct insn in;

	for (unsigned off = 0; off < n && insn_decode(machine_mem(m, M_CODE + off), 15, &env, &in) == INSN_OK; off += in.len) {
		insn_text(&in, va + off, line, sizeof(line));
		strcat(strcat(all, line), "\n");
	}
	return all;
}

Test(move, what_depends_on_rip_is_noted, .timeout = 120)
{
	static struct copy a, b;
	struct gen g = { .rng = { 0x1234567 }, .mode = MODE_CODE64, .lock = true, .rep = true };
	unsigned blocks = 0, moving = 0, places = 0;
	const char *cases = getenv("CASES");
	struct machine m;

	machine_init(&m, 64, 3, &tcg_accel);
	for (unsigned i = 0; i < (cases ? (unsigned)atoi(cases) : 8) * n_insn_rows; i++) {
		uint64_t to[2] = { some_address(&g.rng, 0), some_address(&g.rng, 1) };

		unsigned n = put_block(&m, &g, i % n_insn_rows);
		if (!n)
			continue;
		tcg_flush(tcg_of(m.c));
		map(&m, to[0]);
		map(&m, to[1]);
		mmu_flush(m.c, false);
		translate(&m, to[0], &a);
		translate(&m, to[1], &b);
		blocks++;
		cr_assert_eq(a.tb.moves, b.tb.moves);
		if (!a.tb.moves)
			continue;
		moving++;
		places += a.moves[0];
		cr_assert(same(&a, &b), "%s", text(&m, to[1], n));
	}
	cr_assert(moving > blocks / 2 && places > blocks / 4, "%u blocks, %u move, %u places", blocks, moving, places);
	machine_fini(&m);
}
