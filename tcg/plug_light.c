/*
 * Plugins: the helpers that are called around those of an instruction. Light.
 */
#include "tcg/cache.h"
#include "tcg/helper.h"
#include "tcg/plug.h"

#define H(name) uint64_t h_##name(struct cpu *c, uint64_t a, uint64_t b, uint64_t imm)

/* a: the instruction's struct plug_mem. */
H(plug_arm)
{
	struct plug_cpu *p = tcg_of(c)->plug;

	(void)a;
	(void)b;
	p->mem = (const struct plug_mem *)(uintptr_t)(imm & ~1ull);
	if (imm & 1)
		p->seen.n = p->seen.kept = 0;
	c->seen = &p->seen;
	return 0;
}

/*
 * A repeated string instruction that has to be begun again looks for requests first, and
 * is not begun anew in the eyes of plugins.
 */
H(plug_again)
{
	struct tcg *t = tcg_of(c);

	(void)b;
	if (a != imm)
		return 0;
	t->single_next = true;
	t->plug->open = true;
	c->exc_vector = -1;
	c->unwind(c);
}

void plug_stopped(struct tcg *t, uint32_t n, unsigned off)
{
	const struct plug_left *l = t->cache->plug_left[n];

	for (unsigned i = 0; l && i < l->n; i++)
		for (unsigned k = 0; l->at[i].off == off && k < l->at[i].n; k++)
			*(uint64_t *)(void *)(t->plug->memory + l->at[i].add[k].counter) += (uint64_t)(int64_t)l->at[i].add[k].n;
}
