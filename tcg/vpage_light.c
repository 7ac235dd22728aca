/*
 * Linear pages seen as code, and their numbers, which guards compare with. Light.
 *
 * Programs and libraries start at other addresses each time they are run, while their pages stay where they are in RAM.
 * So a page that comes to a new address gives up the one it was seen at longest ago: what is translated for that
 * moves (move_light.c), instead of being translated again. If that one is soon asked for again, as it is where several programs
 * that run in turns share a library, the page may be known at one address more. What is mapped now is never taken.
 * One vCPU only, as others may be in what would move; and not while somebody looks at blocks or has set breakpoints.
 */
#include "tcg/cache.h"

#define SOON	4096u	/* pages that came into the instruction TLB meanwhile: some ten milliseconds where much goes on */

static uint32_t place(uint64_t va, uint64_t ram, uint32_t user)
{
	return (uint32_t)(((va >> 12) * 31 ^ ram >> 12 ^ user) * 0x9e3779b1u) >> (32 - VPAGE_BITS);
}

static uint32_t known(const struct code_cache *k, uint64_t va, uint64_t ram, uint32_t user)
{
	uint32_t i;

	for (i = __atomic_load_n(&k->vhash[place(va, ram, user)], __ATOMIC_ACQUIRE); i; i = k->vpages[i].next) {
		const struct vpage *v = &k->vpages[i];

		if (v->va == va && v->ram == ram && v->user == user)
			break;
	}
	return i;
}

static void enter(struct code_cache *k, uint32_t i)
{
	struct vpage *v = &k->vpages[i];
	uint32_t *head = &k->vhash[place(v->va, v->ram, v->user)];

	v->next = *head;
	__atomic_store_n(head, i, __ATOMIC_RELEASE);
}

static void leave(struct code_cache *k, uint32_t i)
{
	const struct vpage *v = &k->vpages[i];
	uint32_t *p = &k->vhash[place(v->va, v->ram, v->user)];

	while (*p != i)
		p = &k->vpages[*p].next;
	*p = v->next;
}

static uint32_t make(struct code_cache *k, uint64_t va, uint64_t ram, uint32_t user)
{
	uint32_t i = k->n_vpages + 1;

	if (i == MAX_VPAGES) {		/* no number: 0 matches no guard */
		k->flush_wanted = true;
		return 0;
	}
	k->n_vpages = i;
	k->vpages[i] = (struct vpage){ .va = va, .ram = ram, .user = user, .of_ram = ~0u };
	enter(k, i);
	return i;
}

static bool is_mapped(const struct tcg *t, const struct vpage *v)
{
	const struct itlb_entry *e = &t->itlb[ITLB_SLOT(v->va)];

	return e->va == v->va && e->ram == v->ram;
}

/* What is known of a page at an address that was given up. Others may have the place, or seem to be it: no more than a guess. */
static struct lost *lost_place(struct code_cache *k, uint64_t va, uint64_t ram, uint32_t *tag)
{
	uint64_t h = (va >> 12) * 0x9e3779b97f4a7c15ull ^ (ram >> 12) * 0xc2b2ae3d27d4eb4full;

	*tag = (uint32_t)h | 1;
	return &k->lost[h >> (64 - LOST_BITS)];
}

static void lose(struct code_cache *k, const struct vpage *v)
{
	uint32_t tag;
	struct lost *l = lost_place(k, v->va, v->ram, &tag);

	*l = (struct lost){ tag, k->uses };
}

static bool was_lost_lately(struct code_cache *k, uint64_t va, uint64_t ram)
{
	uint32_t tag;
	const struct lost *l = lost_place(k, va, ram, &tag);

	return l->tag == tag && k->uses - l->at < SOON;
}

/* The address of that RAM page that is to be given up, or 0. */
static uint32_t oldest(const struct tcg *t, const struct code_page *cp)
{
	const struct code_cache *k = t->cache;
	uint32_t found = 0;
	unsigned n = 0;

	for (uint32_t i = cp->vpages; i; i = k->vpages[i].of_ram) {
		const struct vpage *v = &k->vpages[i];

		if (!v->user || !tcg_may_move(v->va))
			continue;
		n++;
		if (!is_mapped(t, v) && (!found || (int32_t)(v->used - k->vpages[found].used) < 0))
			found = i;
	}
	return n > cp->more ? found : 0;
}

static uint32_t take_over(struct tcg *t, uint64_t va, uint64_t ram)
{
	struct code_cache *k = t->cache;
	struct code_page *cp = tcg_code_page(k, ram);
	struct vpage *v;
	uint32_t i;

	if (!cp)
		return 0;
	if (was_lost_lately(k, va, ram) && cp->more < UINT8_MAX)
		cp->more++;
	i = oldest(t, cp);
	v = &k->vpages[i];
	if (!i)
		return 0;
	lose(k, v);
	tcg_move(t, i, va - v->va);
	leave(k, i);
	v->va = va;
	enter(k, i);
	return i;
}

/* comes: something is about to be run there. */
static uint32_t number(struct tcg *t, uint64_t va, uint64_t ram, uint32_t user, bool comes)
{
	struct code_cache *k = t->cache;
	uint32_t i = known(k, va, ram, user);

	if (i)
		return i;
	tcg_lock(t);
	i = k->smp ? known(k, va, ram, user) : 0;
	if (!i && comes && user && tcg_moves_blocks(t) && tcg_may_move(va))
		i = take_over(t, va, ram);
	if (!i)
		i = make(k, va, ram, user);
	tcg_unlock(t);
	return i;
}

uint32_t tcg_vpage_comes(struct tcg *t, uint64_t va, uint64_t ram, uint32_t user)
{
	uint32_t i = number(t, va, ram, user, true);

	if (!t->cache->smp)
		t->cache->vpages[i].used = ++t->cache->uses;
	return i;
}

uint64_t tcg_linear(const struct tb *tb)
{
	uint64_t va = tb->rip + tb->cs_base;

	return (tb->mode & MODE_CODE) == MODE_CODE64 ? va : (uint32_t)va;
}

/* What a block's first or second page is seen as. */
static uint64_t seen_as(const struct tb *tb, int second, uint64_t *ram, uint32_t *user)
{
	*user = (tb->mode >> MODE_CPL_SHIFT & 3) == 3;
	*ram = second ? tb_ram2(tb) : PAGE_OF(tb->ram);
	return PAGE_OF(tcg_linear(tb)) + (second ? PAGE_SIZE : 0);
}

/* The number of that page if it is mapped so now, or 0: spares two misses of the host's cache. */
static uint32_t mapped_id(const struct tcg *t, uint64_t va, uint64_t ram, uint32_t user)
{
	const struct itlb_entry *e = &t->itlb[ITLB_SLOT(va)];

	return e->va == va && e->ram == ram && e->user == user ? x64_env(t->cpu)->itlb[ITLB_SLOT(va)] : 0;
}

uint32_t tcg_guard_id(struct tcg *t, const struct tb *tb, int second)
{
	uint64_t ram, va;
	uint32_t user, id;

	va = seen_as(tb, second, &ram, &user);
	id = mapped_id(t, va, ram, user);
	if (!id)
		id = number(t, va, ram, user, false);
	return id ? id : UINT32_MAX;
}

/* ---- the blocks on a page ---- */

static struct vpage *page_of(const struct tcg *t, const struct tb *tb, int second, bool new)
{
	struct code_cache *k = t->cache;
	uint64_t ram, va;
	uint32_t user, i;

	va = seen_as(tb, second, &ram, &user);
	i = mapped_id(t, va, ram, user);
	if (!i)
		i = known(k, va, ram, user);
	if (!i && new)
		i = make(k, va, ram, user);
	return &k->vpages[i];
}

void tcg_enter_page(struct tcg *t, uint32_t n, int second)
{
	struct code_cache *k = t->cache;
	struct tb *tb = &k->tbs[n];
	struct vpage *v = page_of(t, tb, second, true);
	struct code_page *cp = tcg_code_page(k, second ? tb_ram2(tb) : tb->ram);

	if (v->of_ram == ~0u) {
		v->of_ram = cp->vpages;
		cp->vpages = (uint32_t)(v - k->vpages);
	}
	*tb_page_next(tb, second) = v->tbs;
	v->tbs = n << 1 | (uint32_t)second;
}

static bool leave_list(struct code_cache *k, uint32_t *p, uint32_t n, int second)
{
	while (*p && *p != (n << 1 | (uint32_t)second))
		p = tb_page_next(&k->tbs[*p >> 1], *p & 1);
	if (!*p)
		return false;
	*p = *tb_page_next(&k->tbs[n], second);
	return true;
}

void tcg_leave_page(struct tcg *t, uint32_t n, int second)
{
	struct code_cache *k = t->cache;

	if (!leave_list(k, &page_of(t, &k->tbs[n], second, false)->tbs, n, second))
		leave_list(k, &k->vpages[0].tbs, n, second);
}
