/*
 * From guest bytes at cpu->rip to a block in the cache: fetch, front end,
 * passes, back end, registration. Light, as all that it calls but logs and the
 * interpreter's copies, so that exits of generated code get their target without leaving.
 *
 * Several vCPUs translate at once: what a block is made of and the block itself are the vCPU's own
 * until it is entered, with the lock held. If it is there by then, made by another one, or what it was made
 * of has changed, the room goes back. Who has begun again some times makes the others wait.
 */
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "cpu/mmu.h"
#include "tcg/cache.h"
#include "tcg/front.h"
#include "tcg/logs.h"
#include "tcg/pass.h"
#include "tcg/perfmap.h"
#include "tcg/plug.h"

_Static_assert((COUNT_MAX_INSNS + 1) * (FRONT_MAX_UOPS + 2) <= IR_MAX_UOPS, "counting blocks fit");

/* Guest code in reach of one block. */
struct fetch {
	uint64_t va;			/* linear address of the first byte */
	struct ram *r, *r2;
	uint64_t ram, ram2;		/* RAM addresses; ram2 ~0: not needed */
	const uint8_t *bytes;
	unsigned n;
	uint8_t buf[32];
};

/* The page of va, which whoever looked for a block has just asked for; NULL: it is not RAM. */
static const struct itlb_entry *fetch_page(struct cpu *c, uint64_t va)
{
	const struct itlb_entry *e = tcg_itlb(c, va);
	uint64_t pa;
	uint32_t pf;

	if (!e && !mmu_fetch_page(c, PAGE_OF(va), &pa, NULL, &pf))
		cpu_raise_pf(c, va, pf);
	return e;
}

static void fetch_first(struct cpu *c, struct fetch *f)
{
	bool is64 = cpu_is64(c);
	uint64_t limit = c->segs[CS].limit;
	const struct itlb_entry *page;
	unsigned off;

	f->va = is64 ? c->rip : (uint32_t)(c->rip + c->segs[CS].base);
	if (is64 ? !mmu_canonical(c, c->rip) : c->rip > limit)
		cpu_raise_err(c, EXC_GP, 0);
	page = fetch_page(c, f->va);
	off = f->va & (PAGE_SIZE - 1);
	f->n = PAGE_SIZE - off;
	if (!is64 && limit - c->rip + 1 < f->n)
		f->n = (unsigned)(limit - c->rip + 1);
	f->ram2 = ~0ull;
	if (page) {
		f->r = page->r;
		f->ram = page->ram + off;
		f->bytes = page->host + off;
	}
}

static bool page_tables(struct cpu *c, uint64_t ram)
{
	struct code_cache *k = tcg_of(c)->cache;
	uint64_t n = ram >> 12 >> CP_BITS;

	if (n >= CP_FANOUT)
		return false;
	if (__atomic_load_n(&k->cpages[n], __ATOMIC_ACQUIRE))
		return true;
	tcg_lock(tcg_of(c));
	if (!k->cpages[n])
		cpu_heavy(c, tcg_new_code_pages, (uint64_t)k, n, 0, 0);
	tcg_unlock(tcg_of(c));
	return k->cpages[n] != NULL;
}

/* Bytes of RAM are about to be looked at for translation. */
static void begin_read(struct cpu *c, int which, struct ram *r, uint64_t ram)
{
	if (r && page_tables(c, ram))
		tcg_begin_read(tcg_of(c), which, r, ram);
}

static void copy(uint8_t *to, const uint8_t *from, unsigned n)
{
	while (n--)
		*to++ = *from++;
}

/* The first instruction goes on on the next page, or ends at the CS limit. */
static void fetch_second(struct cpu *c, struct fetch *f)
{
	unsigned first = PAGE_SIZE - (f->va & (PAGE_SIZE - 1)), n = 15 - first;
	uint64_t next = PAGE_OF(f->va) + PAGE_SIZE;
	const struct itlb_entry *page;

	if (first >= 15)		/* cut by the CS limit, not by the page */
		cpu_raise_err(c, EXC_GP, 0);
	if (!cpu_is64(c)) {
		uint64_t room = c->segs[CS].limit - c->rip + 1;

		next = (uint32_t)next;
		if (room <= first)
			cpu_raise_err(c, EXC_GP, 0);
		if (n > room - first)
			n = (unsigned)(room - first);
	} else if (!mmu_canonical(c, next)) {
		cpu_raise_err(c, EXC_GP, 0);
	}
	page = fetch_page(c, next);
	copy(f->buf, f->bytes, first);
	if (page) {
		f->r2 = page->r;
		f->ram2 = page->ram;
		begin_read(c, 1, page->r, f->ram2);
		copy(f->buf + first, page->host, n);
	}
	f->bytes = f->buf;
	f->n = first + n;
}

/* opt_flags asks: what does the code at a direct target read? Only on the same page, whose bytes are guarded. */
struct peek {
	const struct insn_env *env;
	const uint8_t *page;
	uint64_t page_rip;	/* RIP of the page's first byte */
	unsigned n;
};

static uint16_t live_at(void *opaque, uint64_t rip)
{
	struct peek *p = opaque;
	uint64_t off = rip - p->page_rip;
	unsigned room;

	if (!p->page || off >= p->n)
		return FL_ARITH;
	room = (unsigned)(p->n - off);
	return flags_needed(p->env, p->page + off, room < PEEK_BYTES ? room : PEEK_BYTES, room);
}

static uint16_t live_in(const struct ir *ir)
{
	const struct uop *u = ir->uops;

	return uop_flags_read(u, ir->insns) | (u->fl & ~uop_flags_written(u, ir->insns)) |
	       (uop_info[u->op].kind == K_EXIT ? u->flx : 0);
}

/* The mode + 1 that one has or gets. */
static uint32_t name_jump_cache(struct tcg *t, int i, uint32_t mode)
{
	struct code_cache *k = t->cache;

	tcg_lock(t);
	if (!k->jc_mode[i]) {
		for (unsigned u = 0; u < k->n_users; u++)
			tcg_jc_name(k->user[u]->cpu, (unsigned)i, mode);
		__atomic_store_n(&k->jc_mode[i], mode + 1, __ATOMIC_RELEASE);
	}
	mode = k->jc_mode[i] - 1;
	tcg_unlock(t);
	return mode + 1;
}

static int jump_cache(struct tcg *t, uint32_t mode, bool single)
{
	struct code_cache *k = t->cache;

	mode &= ~MODE_TCG;
	if (single || !(mode & MODE_FLAT) || (mode & MODE_CODE) == MODE_CODE16)
		return -1;
	for (int i = 0; i < JC_TABLES; i++) {
		uint32_t has = __atomic_load_n(&k->jc_mode[i], __ATOMIC_ACQUIRE);

		if ((has ? has : name_jump_cache(t, i, mode)) == mode + 1)
			return i;
	}
	k->flush_wanted = true;		/* a new set of modes: start over */
	return -1;
}

/* n entries of the back end's side table, packed; the bytes. */
static uint16_t keep_side(struct tcg *t, const struct x64_side *s, unsigned n)
{
	struct piece *p = t->piece;
	unsigned bytes = tcg_side_pack(t->cache->sides + p->n_sides, s, n, t->ir->mode & MODE_COUNT);

	p->n_sides += bytes;
	return (uint16_t)bytes;
}

/* What of it depends on RIP: see x64_move(). */
static void keep_moves(struct tcg *t, struct tb *tb)
{
	const struct x64_block *b = t->block;
	struct piece *p = t->piece;
	uint8_t *to = t->cache->sides + p->n_sides;

	tb->moves = b->moves;
	if (!b->moves)
		return;
	*to = (uint8_t)b->n_moves;
	for (unsigned i = 0; i < b->n_moves; i++)
		st16(to + 1 + 2 * i, b->move[i]);
	p->n_sides += 1 + 2 * b->n_moves;
}

/* Copy what the back end made into the tables. */
static void keep_code(struct tcg *t, struct tb *tb, uint32_t n)
{
	struct code_cache *k = t->cache;
	const struct x64_block *b = t->block;
	struct piece *p = t->piece;

	tb->code_at = (uint32_t)(b->guarded - k->code_start - k->rx);
	tb->guard = (uint8_t)(b->entry - b->guarded);
	tb->size = b->size;
	tb->first_link = p->n_links + 1;
	tb->n_links = (uint8_t)b->n_links;
	for (unsigned i = 0; i < b->n_links; i++)
		link_pack(k, &k->links[++p->n_links], &b->links[i], n);
	tb->cold_at = (uint32_t)(b->cold - k->code_start - k->rx);
	tb->cold_size = b->cold_size;
	tb->calls = b->calls;
	tb->n_swaps = (uint8_t)b->n_swaps;
	for (unsigned i = 0; i < b->n_swaps; i++)
		((struct x64_swap *)(k->sides + p->n_sides))[i] = b->swaps[i];
	tb->side = p->n_sides += b->n_swaps;
	tb->n_hot_side = keep_side(t, b->side, b->n_hot_side);
	tb->n_side = tb->n_hot_side + keep_side(t, b->side + b->n_hot_side, b->n_side - b->n_hot_side);
	keep_moves(t, tb);
	tcg_take(k, n, &p->code.p, (uint8_t *)align_up((uintptr_t)b->end, 16));
	tcg_take(k, n, &p->cold.p, b->cold_end);
}

/* Behind it, so that they can be given back like others. */
static void keep_annexes(struct tcg *t, struct tb *tb)
{
	const struct piece *p = t->piece;

	for (unsigned i = 1; i <= tb->n_annexes; i++) {
		tb[i].first_link = p->n_links + 1;
		tb[i].side = p->n_sides;
		tb[i].code_at = (uint32_t)(p->code.p - t->cache->code_start);
		tb[i].cold_at = (uint32_t)(p->cold.p - t->cache->code_start);
	}
}

/* Debug builds: the rules of µops hold after every step. */
static void verify(const struct ir *ir, const char *after)
{
#ifdef CONFIG_DEBUG
	uop_verify(ir, after);
#else
	(void)ir;
	(void)after;
#endif
}

/* There are none if it goes on without the lock. */
static bool breaks_page(const struct tcg *t, uint64_t va)
{
	return !t->apart && tcg_breaks_page(t, va);
}

/* What both kinds of translation begin with. */
static struct front front_for(struct cpu *c, const struct fetch *f, uint32_t mode, struct peek *peek)
{
	struct tcg *t = tcg_of(c);
	unsigned off = f->va & (PAGE_SIZE - 1);

	t->ir->rip = c->rip;
	t->ir->cs_base = cpu_is64(c) ? 0 : c->segs[CS].base;
	t->ir->mode = mode;
	*peek = (struct peek){ 0 };
	/* a single step shows all flags */
	if (f->bytes != f->buf && !(mode & MODE_DEBUG) && !breaks_page(t, f->va) && tcg_may_peek(t, f->ram)) {
		peek->page = f->bytes - off;
		peek->page_rip = c->rip - off;
		peek->n = off + f->n;
	}
	return (struct front){ .ir = t->ir, .env = { mode, { t->cache->feat[0], t->cache->feat[1] }, t->memo },
			       .cs_limit = c->segs[CS].limit, .straight = t->plug, .alone = c->ncpus == 1,
			       .stop = !t->apart && t->cache->breaks.n ? debug_next_break(&c->dbg, f->va, PAGE_SIZE) : 0 };
}

/* Loops of a region that begin at an instruction are better off without a fast copy. */
static void tired_loops(const struct tcg *t, uint64_t ram, bool *tired)
{
	for (unsigned i = 0; i < t->ir->n_insns; i++)
		tired[i] = t->cache->roams[ROAM_SLOT(~(ram + t->ir->off[i]))];
}

/* False: the block is too long for what is to be put in. */
static bool run_passes(struct tcg *t, const struct fetch *f, struct peek *peek)
{
	bool tired[IR_MAX_REGION];
	struct ir *ir = t->ir;

	log_ir(ir, LOG_UOP);
	verify(ir, "front");
	if (ir->mode & MODE_COUNT) {
		opt_count(ir, t->interp);
		verify(ir, "opt_count");
	}
	if (t->plug) {
		if (!plug_translate(t->cpu, f->bytes))
			return false;
		verify(ir, "plugins");
	}
	if (t->cache->without & BIT(PASS_FLAGS))
		opt_flags_none(ir);
	else
		opt_flags(ir, live_at, peek);
	verify(ir, pass_names[PASS_FLAGS]);
	if (!(t->cache->without & BIT(PASS_DEAD)))
		opt_dead(ir);
	verify(ir, pass_names[PASS_DEAD]);
	if (!t->interp && !(ir->mode & MODE_NOSHARE) && !(t->cache->without & BIT(PASS_MEM))) {
		if (ir->mode & MODE_REGION) {
			tired_loops(t, f->ram, tired);
			opt_loop(ir, tired);
			verify(ir, "opt_loop");
		}
		opt_mem(ir);
		verify(ir, "opt_mem");
		opt_step(ir);
	}
	verify(ir, pass_names[PASS_MEM]);
	log_ir(ir, LOG_UOP_OPT);
	return true;
}

/* Front end and passes; one instruction if the page does not suffice. False: try with fewer. */
static bool make_ir(struct cpu *c, struct fetch *f, uint32_t mode, unsigned max)
{
	struct peek peek;
	struct front fr = front_for(c, f, mode, &peek);

	peek.env = &fr.env;
	if (front_block(&fr, f->bytes, f->n, max) == FRONT_TRUNCATED) {
		fetch_second(c, f);
		peek.page = NULL;
		if (front_block(&fr, f->bytes, f->n, 1) == FRONT_TRUNCATED)
			cpu_raise_err(c, EXC_GP, 0);
	}
	return run_passes(tcg_of(c), f, &peek);
}

/* Did a jump from the same page, in the same mode, ask for the block? Then it needs no guard for now. */
static bool from_own_page(const struct tcg *t, const struct tb *tb)
{
	const struct code_cache *k = t->cache;
	const struct link *l = &k->links[t->last_exit];

	return t->last_exit && !(tb->mode & MODE_TCG) && !tb_crosses(tb) && link_rip(k, l) == tb->rip &&
	       k->tbs[l->from].mode == tb->mode && k->tbs[l->from].cs_base == tb->cs_base && tcg_stays(k, l);
}

/* A region's sites: where they begin, and which instructions have how many. */
static void offer_sites(struct tcg *t, const struct tb *tb, struct x64_params *p, uint8_t *how)
{
	struct code_cache *k = t->cache;

	for (int w = 0; w < 2; w++)
		p->site[w] = k->next_site[tb->mode >> MODE_MMU_SHIFT & 3][w];
	for (unsigned i = 0; i < t->ir->n_insns; i++)
		how[i] = k->roams[ROAM_SLOT(tb->ram + t->ir->off[i])];
	p->how = how;
	p->loop = __atomic_fetch_add(&k->n_loops, t->ir->n_loops, __ATOMIC_RELAXED) + 1;
}

/* The pages of its functions are guarded, too. */
static void guard_annexes(struct tcg *t, const struct tb *tb, struct x64_params *p)
{
	for (unsigned i = 0; i < tb->n_annexes; i++)
		p->elsewhere[i] = (struct x64_page){ tb[i + 1].rip, tcg_guard_id(t, tb + i + 1, 0) };
	p->n_elsewhere = tb->n_annexes;
}

/* They have their places in every vCPU. With the lock held; who else was offered them uses the same. */
static void take_sites(struct tcg *t, const struct tb *tb)
{
	struct code_cache *k = t->cache;
	unsigned idx = tb->mode >> MODE_MMU_SHIFT & 3;
	uint32_t now = (uint32_t)__builtin_ia32_rdtsc();

	for (int w = 0; w < 2; w++)
		for (unsigned i = 0; i < t->block->n_sites[w]; i++, k->next_site[idx][w]++)
			for (unsigned u = 0; u < k->n_users; u++) {
				struct tlb_site *s = &k->user[u]->cpu->site[idx][w][k->next_site[idx][w] % TLB_SITES];

				s->left = SITE_MISSES - 1;
				s->since = now;
			}
}

/* Somebody wants to see each block, one after the other, or looks for breakpoints. */
static bool is_watched(const struct tcg *t)
{
	return t->cache->perf || t->plug || t->cache->breaks.n || log_on(LOG_UOP) || log_on(LOG_UOP_OPT) ||
	       log_on(LOG_IN_ASM) || log_on(LOG_OUT_ASM);
}

static bool wide(int64_t v) { return v >> 32 && v >> 32 != -1; }

/* Does anything depend on the instruction's address but as an address: in eight bytes, and near it? */
static bool bound_to_rip(const struct insn *in)
{
	return wide(in->imm) || wide(in->disp) || (in->base == RIP_REG && in->adsize != 8) ||
	       (insn_flow(in) != FLOW_NEXT && in->opsize == 2);
}

bool tcg_moves_blocks(const struct tcg *t)
{
	return !t->cache->smp && !t->interp && !is_watched(t);
}

/* May the block become one of another RIP? See move_light.c. */
static bool may_move(const struct tcg *t, const struct tb *tb)
{
	const struct ir *ir = t->ir;

	if (!tcg_moves_blocks(t) || tb_crosses(tb) || !tcg_may_move(tb->rip) ||
	    (tb->mode & (MODE_CODE | MODE_CPL | MODE_REGION)) != (MODE_CODE64 | MODE_CPL))
		return false;
	for (unsigned i = 0; i < ir->n_insns; i++)
		if (bound_to_rip(&ir->insns[i]))
			return false;
	return true;
}

static bool compile(struct tcg *t, struct tb *tb, uint32_t n)
{
	struct code_cache *k = t->cache;
	struct x64_params p = { .tb = n, .jc_table = tb->jc, .smp = k->smp, .moves = may_move(t, tb) };
	uint8_t how[IR_MAX_REGION];

	if (tb->mode & MODE_NOSHARE)	/* found by nobody else, but jumps on as usual */
		tb->jc = -1;

	if (!from_own_page(t, tb))
		p.page_id[0] = tcg_guard_id(t, tb, 0);
	if (tb_crosses(tb))
		p.page_id[1] = tcg_guard_id(t, tb, 1);
	if (tb->mode & MODE_REGION)
		offer_sites(t, tb, &p, how);
	guard_annexes(t, tb, &p);
	return x64_compile(t->scratch, &k->x, &t->piece->code, &t->piece->cold, t->ir, &p, t->block);
}

/* Code that is not in RAM: fetched by bytes, run once, not kept on any page. */
static void fetch_mmio(struct cpu *c, struct fetch *f)
{
	uint64_t pa;
	uint32_t pf;

	if (f->n > 15)
		f->n = 15;
	if (!mmu_fetch_page(c, PAGE_OF(f->va), &pa, NULL, &pf))
		cpu_raise_pf(c, f->va, pf);
	for (unsigned i = 0; i < f->n; i++)
		f->buf[i] = (uint8_t)phys_read(c->phys, PAGE_OF(pa) + (f->va & (PAGE_SIZE - 1)) + i, 1);
	f->bytes = f->buf;
}

/* The block that t->ir is to become; not known to anybody yet. */
static struct tb *new_tb(struct cpu *c, const struct fetch *f, uint32_t mode, bool single)
{
	struct tcg *t = tcg_of(c);
	struct tb *tb = &t->cache->tbs[t->piece->n_tbs + 1];

	*tb = (struct tb){
		.maker = t->number,
		.rip = c->rip, .cs_base = (uint32_t)t->ir->cs_base, .ram = f->ram, .page2 = (uint32_t)(f->ram2 >> 12), .mode = mode,
		.cs_limit = c->segs[CS].limit, .len = (uint16_t)t->ir->len,
		.n_insns = (uint16_t)t->ir->n_insns, .needs = live_in(t->ir),
		.jc = (int8_t)jump_cache(t, mode, single),
		.flow = (uint8_t)insn_flow(&t->ir->insns[0]),
	};
	return tb;
}

/* The same block, made by another vCPU meanwhile. */
static struct tb *twin_of(struct code_cache *k, const struct tb *tb, struct hash_key key)
{
	for (uint32_t i = k->hash[key.slot]; i; i = k->hash_next[hash_tb(i)]) {
		struct tb *o = &k->tbs[hash_tb(i)];

		if (o->ram == tb->ram && o->rip == tb->rip && o->mode == tb->mode && o->cs_base == tb->cs_base &&
		    o->cs_limit == tb->cs_limit && o->page2 == tb->page2)
			return o;
	}
	return NULL;
}

/* Does it still stand for what is there, and for its head, if it is a region? */
static bool holds(const struct tcg *t, const struct tb *tb, const struct tb *head)
{
	return !tcg_is_spoilt(t, tb) && (!t->apart || t->terms == t->cache->terms) && !(head && (head->dead || head->region));
}

/* Let block n be found, or find its twin. NULL: neither. With the lock held. */
static struct tb *publish(struct tcg *t, uint32_t n, struct tb *head)
{
	struct code_cache *k = t->cache;
	struct tb *tb = &k->tbs[n], *twin;
	struct hash_key key = tcg_hash(tb->ram, tb->rip, tb->mode);

	if (k->smp && !holds(t, tb, head)) {
		t->stats.spoilt++;
		return NULL;
	}
	if (k->smp && (twin = twin_of(k, tb, key))) {
		t->stats.twins++;
		tcg_meet(t, twin);
		return twin;
	}
	if (tb->mode & MODE_REGION)
		take_sites(t, tb);
	__atomic_store_n(&t->piece->n_tbs, n + tb->n_annexes, __ATOMIC_RELEASE);
	for (uint32_t i = n; i <= n + tb->n_annexes; i++) {
		tcg_count_live(k, i, true);
		tcg_enter_pages(t, i);
	}
	tcg_enter_hash(k, n);
	if (head)
		tcg_prefer(k, (uint32_t)(head - k->tbs), n);
	return tb;
}

/* It is kept: what others are to know of it. */
static void told(struct tcg *t, const struct tb *tb, const struct fetch *f, uint64_t t0)
{
	t->stats.translations++;
	t->stats.guest_insns += tb->n_insns;
	t->stats.guest_bytes += tb->len;
	t->stats.host_bytes += tb->size + tb->cold_size;
	t->stats.translate_ticks += __builtin_ia32_rdtsc() - t0;
	log_code(t, tb, f->bytes);
	if (!t->interp)
		perfmap_add(t->cache->perf, tb, t->block);
}

/*
 * It is complete: keep it, and let it be found, if it is of RAM; a region instead of `head`. Or give its
 * room back: the block that another vCPU has made instead, or NULL if it does not hold any more.
 */
static struct tb *enter_tb(struct tcg *t, struct tb *tb, const struct fetch *f, struct tb *head, uint64_t t0)
{
	struct code_cache *k = t->cache;
	uint32_t n = (uint32_t)(tb - k->tbs);
	bool found = f->r && page_tables(t->cpu, tb->ram) && (!tb_crosses(tb) || page_tables(t->cpu, tb_ram2(tb)));
	struct tb *known = tb;

	if (t->plug)
		k->plug_left[n] = t->plug->left_next;
	if (!t->interp)
		keep_code(t, tb, n);
	tb->dead = !found;
	if (!found)
		tb->n_annexes = 0;
	keep_annexes(t, tb);
	tcg_lock(t);
	if (found) {
		for (unsigned i = 0; i <= tb->n_annexes; i++)
			tcg_note_chunks(k, tb + i);
		known = publish(t, n, head);
	} else {
		__atomic_store_n(&t->piece->n_tbs, n, __ATOMIC_RELEASE);
	}
	if (known != tb)
		tcg_give_back(t, tb);
	tcg_unlock(t);
	if (known == tb)
		told(t, tb, f, t0);
	return known;
}

static struct tb *translate(struct cpu *c, struct fetch *f, uint32_t mode, bool single, uint64_t t0)
{
	struct tcg *t = tcg_of(c);
	unsigned max = single ? 1 : mode & MODE_COUNT ? COUNT_MAX_INSNS : IR_MAX_INSNS;
	uint32_t n = t->piece->n_tbs + 1;
	struct tb *tb;

	tcg_ready(t);
	begin_read(c, 0, f->r, f->ram);
	for (;; max = t->ir->n_insns / 2) {
		if (!make_ir(c, f, mode, max))
			continue;
		tb = new_tb(c, f, mode, single);
		if (t->interp ? tcg_keep_ir(t->cache, n, t->ir) : compile(t, tb, n))
			break;
		if (t->ir->n_insns == 1) {	/* a single instruction always fits */
			warn("no memory for translated code");
			abort();
		}
	}
	return enter_tb(t, tb, f, NULL, t0);
}

/* ---- tries ---- */

#define TRIES 3		/* the last one with the lock held */

static void begin_try(struct tcg *t, unsigned n)
{
	t->terms = __atomic_load_n(&t->cache->terms, __ATOMIC_ACQUIRE);
	t->apart = t->cache->smp && n + 1 < TRIES && !is_watched(t);
	if (!t->apart)
		tcg_lock(t);
}

static void end_try(struct tcg *t)
{
	tcg_end_read(t);
	if (!t->apart)
		tcg_unlock(t);
}

struct tb *tcg_translate(struct cpu *c, uint32_t mode, bool single)
{
	struct tcg *t = tcg_of(c);
	struct tb *tb = NULL;

	for (unsigned n = 0; n < TRIES && !tb; n++) {
		struct fetch f = { 0 };
		uint64_t t0 = __builtin_ia32_rdtsc();

		fetch_first(c, &f);
		if (!f.r)
			fetch_mmio(c, &f);
		tcg_take_back(t, false);
		if (!tcg_room(t))
			return NULL;
		begin_try(t, n);
		tb = translate(c, &f, mode, single || !f.r, t0);
		end_try(t);
	}
	return tb;
}

/* There is a reason to go slowly. */
static bool from_loop_only(const struct tcg *t)
{
#ifdef CONFIG_SANITIZED
	return true;			/* this file is not light then */
#endif
	return !t->hot || !tcg_may_read(t) || is_watched(t);
}

struct tb *tcg_translate_live(struct cpu *c, uint32_t mode)
{
	struct tcg *t = tcg_of(c);
	struct tb *tb = NULL;

	if (from_loop_only(t))
		return NULL;
	for (unsigned n = 0; n < TRIES && !tb; n++) {
		struct fetch f = { 0 };
		uint64_t t0 = __builtin_ia32_rdtsc();

		fetch_first(c, &f);
		if (!f.r)
			return NULL;
		tcg_take_back(t, true);
		if (!tcg_room(t))
			return NULL;
		begin_try(t, n);
		tb = translate(c, &f, mode, false, t0);
		end_try(t);
	}
	return tb;
}

/* ---- regions ---- */

#define MAX_MET 64	/* more ways of an indirect jump are exits */

/* RIPs behind `from` on its page that something has come to by an indirect jump. */
static unsigned met_targets(struct cpu *c, int jc, uint64_t from, unsigned len, uint64_t *met)
{
	const uint64_t *tag;
	unsigned n = 0;

	if (jc < 0)
		return 0;
	tag = x64_env(c)->jc_tag[jc];
	for (unsigned i = 0; i < JC_SIZE && n < MAX_MET; i++)
		if (tag[i] - from < len && tag[i] != JC_EMPTY(i) && tcg_is_met(x64_env(c), jc, tag[i]))
			met[n++] = tag[i];
	return n;
}

/*
 * The loop may go on on the next page: a copy of that one behind the first, if it can be fetched.
 * Nothing may be raised for code that is perhaps never reached.
 */
static void fetch_next_page(struct cpu *c, struct fetch *f, uint8_t *two)
{
	unsigned off = f->va & (PAGE_SIZE - 1);
	uint64_t next = PAGE_OF(f->va) + PAGE_SIZE, room = PAGE_SIZE, pa;
	struct phys_page pp;
	uint32_t pf;

	if (!cpu_is64(c)) {
		next = (uint32_t)next;
		room = min_u64(room, c->segs[CS].limit + 1ull - c->rip - f->n);
	}
	if (f->n != PAGE_SIZE - off || !next || !room || !mmu_canonical(c, next) || breaks_page(tcg_of(c), next) ||
	    !mmu_fetch_page(c, next, &pa, NULL, &pf))
		return;
	phys_lookup(c->phys, PAGE_OF(pa), &pp);
	if (!pp.ram)
		return;
	begin_read(c, 1, pp.ram, pp.ram->id + pp.ram_off);
	copy(two + PAGE_SIZE, pp.rhost, PAGE_SIZE);
	f->r2 = pp.ram;
	f->ram2 = pp.ram->id + pp.ram_off;
	f->n += (unsigned)room;
}

/* ---- functions that regions go into ---- */

/* Pages they stand on, copied, as they are read more than once. */
struct elsewhere {
	struct cpu *c;
	unsigned n;
	struct {
		uint64_t va, ram;
		uint8_t bytes[PAGE_SIZE];
	} page[FRONT_CALLEES];
};

/* Would a guard of that page and one of the region's own share a slot? */
static bool slot_is_taken(const struct ir *ir, uint64_t va)
{
	return va != PAGE_OF(ir->rip) && (ITLB_SLOT(va) == ITLB_SLOT(ir->rip) || ITLB_SLOT(va) == ITLB_SLOT(ir->rip + PAGE_SIZE));
}

static const uint8_t *read_elsewhere(void *opaque, uint64_t rip, unsigned *n)
{
	struct elsewhere *e = opaque;
	struct tcg *t = tcg_of(e->c);
	struct phys_page pp;
	uint64_t pa;
	uint32_t pf;
	unsigned i;

	*n = PAGE_SIZE - (rip & (PAGE_SIZE - 1));
	for (i = 0; i < e->n; i++)
		if (e->page[i].va == PAGE_OF(rip))
			return e->page[i].bytes + (rip & (PAGE_SIZE - 1));
		else if (ITLB_SLOT(e->page[i].va) == ITLB_SLOT(rip))
			return NULL;
	if (e->n == FRONT_CALLEES || slot_is_taken(t->ir, PAGE_OF(rip)) || !mmu_canonical(e->c, rip) || breaks_page(t, rip) ||
	    !mmu_fetch_page(e->c, PAGE_OF(rip), &pa, NULL, &pf))
		return NULL;
	phys_lookup(e->c->phys, PAGE_OF(pa), &pp);
	if (!pp.ram || !page_tables(e->c, pp.ram->id + pp.ram_off))
		return NULL;
	begin_read(e->c, 1, pp.ram, pp.ram->id + pp.ram_off);
	copy(e->page[i].bytes, pp.rhost, PAGE_SIZE);
	e->page[i].va = PAGE_OF(rip);
	e->page[i].ram = pp.ram->id + pp.ram_off;
	e->n++;
	return e->page[i].bytes + (rip & (PAGE_SIZE - 1));
}

/* Stores to pages of code by other vCPUs are looked for on two pages only: see cross_light.c. */
static void allow_elsewhere(struct front *fr, struct elsewhere *e)
{
	struct tcg *t = tcg_of(e->c);

	if (t->cache->smp || t->plug || !cpu_is64(e->c))
		return;
	fr->elsewhere = read_elsewhere;
	fr->opaque = e;
}

static uint64_t ram_of(const struct elsewhere *e, uint64_t rip)
{
	unsigned i = 0;

	while (e->page[i].va != PAGE_OF(rip))
		i++;
	return e->page[i].ram + (rip & (PAGE_SIZE - 1));
}

/* The region's annexes, with the numbers behind it. */
static void new_annexes(struct tcg *t, struct tb *tb, const struct front *fr, const struct elsewhere *e)
{
	for (unsigned i = 0; i < fr->n_callees; i++)
		if (fr->callee[i].used)
			tb[++tb->n_annexes] = (struct tb){
				.maker = t->number, .rip = fr->callee[i].rip, .ram = ram_of(e, fr->callee[i].rip),
				.page2 = ONE_PAGE, .mode = tb->mode, .len = (uint16_t)fr->callee[i].n, .jc = -1,
				.region = (uint32_t)(tb - t->cache->tbs),
			};
}

/* The front end's part: the loop's µops. One that stays on its page is not to depend on the next. */
static bool region_ir(struct cpu *c, struct fetch *f, struct front *fr, struct peek *peek, int jc, struct elsewhere *e)
{
	struct tcg *t = tcg_of(c);
	unsigned first = PAGE_SIZE - (f->va & (PAGE_SIZE - 1));
	uint64_t met[MAX_MET];

	*fr = front_for(c, f, c->mode | MODE_REGION, peek);
	peek->env = &fr->env;
	peek->n = (unsigned)min_u64(peek->n, PAGE_SIZE);
	allow_elsewhere(fr, e);
	if (!front_region(fr, f->bytes, f->n, met, met_targets(c, jc, c->rip, f->n, met)))
		return false;
	if (t->ir->len <= first && f->ram2 != ~0ull) {
		f->ram2 = ~0ull;
		f->r2 = NULL;
		f->n = first;
	}
	return true;
}

/* What became of it. */
enum made { MADE, NEVER, SPOILT };

static enum made make_region(struct cpu *c, struct tb *head)
{
	struct tcg *t = tcg_of(c);
	struct fetch f = { 0 };
	uint64_t t0 = __builtin_ia32_rdtsc();
	struct elsewhere others = { .c = c };
	uint8_t two[REGION_BYTES];
	struct peek peek;
	struct front fr;
	struct tb *tb;
	unsigned off;

	fetch_first(c, &f);
	if (!f.r || breaks_page(t, f.va))
		return NEVER;
	off = f.va & (PAGE_SIZE - 1);
	begin_read(c, 0, f.r, f.ram);
	copy(two, f.bytes - off, PAGE_SIZE);	/* read more than once, and somebody may be writing */
	f.bytes = two + off;
	fetch_next_page(c, &f, two);
	if (!region_ir(c, &f, &fr, &peek, head->jc, &others))
		return NEVER;
	if (!run_passes(t, &f, &peek))
		return NEVER;
	tb = new_tb(c, &f, c->mode | MODE_REGION, false);
	new_annexes(t, tb, &fr, &others);
	tb->len = (uint16_t)(t->ir->len + PEEK_BYTES < f.n ? t->ir->len + PEEK_BYTES : f.n);	/* jumps inside peek, too */
	if (!compile(t, tb, t->piece->n_tbs + 1))
		return NEVER;
	if (!enter_tb(t, tb, &f, head, t0))
		return SPOILT;
	t->stats.regions++;
	return MADE;
}

/* Others drop it, or make its region. */
static bool may_prefer(const struct tb *head)
{
	return !tcg_is_dead(head) && !__atomic_load_n(&head->region, __ATOMIC_ACQUIRE);
}

bool tcg_make_region(struct cpu *c, struct tb *head)
{
	struct tcg *t = tcg_of(c);
	enum made made = SPOILT;

	tcg_take_back(t, false);
	if (t->interp || t->cache->without & BIT(PASS_REGION) || c->mode & MODE_COUNT || !tcg_room(t))
		return false;
	for (unsigned n = 0; n < TRIES && made == SPOILT && may_prefer(head); n++) {
		begin_try(t, n);
		made = make_region(c, head);
		end_try(t);
	}
	return made != NEVER;
}
