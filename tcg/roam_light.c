/*
 * What becomes of an access in a region whose site (struct tlb_site) misses often.
 *
 * It looks into the table from now on, or it has several sites, its *ways*, which are looked at
 * one behind the other. Those make its address independent of the table as long as the processor foresees
 * which of them it is; where it does not, they cost more than they save. Nobody can tell but by
 * trying, so that is what is done:
 *
 *	the next misses are listened to		more pages than ways: the table
 *	it has ways, and windows of so many accesses are timed
 *	it uses the table, and so are they
 *	what was faster stays
 *
 * Each step makes the region anew. One access is on trial at a time on a vCPU, so that no
 * other's trial changes its times; those that come meanwhile come again. What is decided holds for all vCPUs; who
 * first has its times decides. In the same way a loop loses its fast copy if runs of it are short, and a
 * region is made anew with the places that its indirect jumps leave for, if the first samples met it before those. Light.
 */
#include "tcg/cache.h"
#include "tcg/front.h"

#define ROAM_CYCLES	120u	/* host cycles between two misses of a site that is worth having */
#define LOOP_CYCLES	12u	/* and between two proofs of a fast loop */
#define STRAY_CYCLES	4000u	/* and between two indirect jumps out of a region that is good enough */
#define MAX_STRAYS	8	/* times that a region is made anew because of them */
#define LISTEN		32u	/* misses that tell whether ways will do */
#define WINDOW		4096u	/* accesses that are timed together */
#define WINDOWS		8u	/* the fastest of them counts: interrupts and new code make the others slow */
#define FORGOTTEN	100000000u	/* host cycles without news of an access on trial */

static uint32_t ticks(void) { return (uint32_t)__builtin_ia32_rdtsc(); }

static void begin(struct roam_trial *r, uint32_t slot)
{
	r->slot = slot + 1;
	r->best[0] = r->best[1] = UINT32_MAX;
	r->n_windows = 0;
	r->at = ticks();
}

/* The region that control is in goes and is made again at the next poll. With the lock held. */
static void make_anew(struct cpu *c, const struct tb *tb)
{
	struct tcg *t = tcg_of(c);

	t->remake = tb->region;
	tcg_kill(t, (uint32_t)(tb - t->cache->tbs));
	atomic_fetch_or(&c->request, REQ_SAMPLE);
}

/* The same, the access at `ret` done that way from then on. */
static void become(struct cpu *c, uint64_t ret, bool loop, enum x64_how how)
{
	struct tcg *t = tcg_of(c);
	struct x64_side side;
	const struct tb *tb = tcg_tb_at(t, ret, &side);
	uint64_t at;

	if (!tb || tb->dead)
		return;
	t->stats.roams++;
	at = tb->ram + side.off;
	at = ROAM_SLOT(loop ? ~at : at);
	if (how == HOW_TRY_WAYS)
		begin(&t->trial, (uint32_t)at);
	tcg_lock(t);
	t->cache->roams[at] = how;
	make_anew(c, tb);
	tcg_unlock(t);
}

/* Is another access on trial? */
static bool occupied(const struct roam_trial *r)
{
	return (r->slot || r->listen) && ticks() - r->at < FORGOTTEN;
}

static bool known(const struct roam_trial *r, uint64_t page)
{
	for (unsigned i = 0; i < r->n_pages; i++)
		if (r->page[i] == page)
			return true;
	return false;
}

/* One more miss of the site that is listened to, which has its new page by now. */
static void listen(struct cpu *c, struct tlb_site *s, uint64_t ret)
{
	struct roam_trial *r = &tcg_of(c)->trial;
	bool many = false;

	r->at = ticks();
	if (!known(r, s->tag)) {
		many = r->n_pages == SITE_WAYS;
		if (!many)
			r->page[r->n_pages++] = s->tag;
	}
	if (!many && ++r->n_heard < LISTEN) {
		s->left = 0;
		return;
	}
	r->listen = 0;
	s->left = SITE_MISSES - 1;
	become(c, ret, false, many ? HOW_TABLE : HOW_TRY_WAYS);
}

/* A site, or what counts a loop's proofs, has missed SITE_MISSES times. */
static void missed(struct cpu *c, struct tlb_site *s, uint32_t what, uint64_t ret)
{
	struct roam_trial *r = &tcg_of(c)->trial;
	uint32_t now = ticks(), took = now - s->since;
	uint32_t limit = what & ROAM_LOOP ? LOOP_CYCLES : ROAM_CYCLES;

	s->left = SITE_MISSES - 1;
	s->since = now;
	if (r->listen == (what & ROAM_SITE) + 1 && !(what & (ROAM_LOOP | ROAM_GROUP | ROAM_FILL))) {
		listen(c, s, ret);
	} else if (took <= limit * SITE_MISSES) {
		if (what & (ROAM_LOOP | ROAM_GROUP | ROAM_FILL)) {
			become(c, ret, what & ROAM_LOOP, HOW_TABLE);
		} else if (!occupied(r)) {
			*r = (struct roam_trial){ .listen = (what & ROAM_SITE) + 1, .at = now };
			s->left = 0;
		}
	}
}

/* The entry of va's page goes into the next of the ways from s on; the second one counts misses, the third one is told which is next. */
static void fill(struct cpu *c, struct tlb_site *s, uint64_t va, uint32_t what, uint64_t ret)
{
	unsigned n = what & ROAM_SITE, idx = n / TLB_SITES / 2, write = n / TLB_SITES % 2, way = s[2].left++ % SITE_WAYS;
	const struct tlb_entry *e = tlb_entry(&c->tlb[idx], va, write);
	uint64_t tag = e->tag;

	if ((va ^ tag) >= PAGE_SIZE)
		return;
	c->site_used[idx][write][(n % TLB_SITES + way) / SITE_CHUNK] = 1;
	s[way].add = e->host - tag;
	__atomic_store_n(&s[way].tag, tag, __ATOMIC_RELAXED);
	if (write && tcg_of(c)->cache->smp) {	/* another vCPU empties the entry, then the site */
		atomic_thread_fence(memory_order_seq_cst);
		if (__atomic_load_n(&e->tag, __ATOMIC_RELAXED) != tag)
			__atomic_store_n(&s[way].tag, c->nowhere, __ATOMIC_RELAXED);
	}
	if (!s[1].left--)
		missed(c, &s[1], what, ret);
}

/* An access on trial was made WINDOW times. */
static void window(struct cpu *c, struct tlb_site *s, uint64_t ret)
{
	struct tcg *t = tcg_of(c);
	struct roam_trial *r = &t->trial;
	uint32_t now = ticks(), took = now - s->since;
	struct x64_side side;
	const struct tb *tb = tcg_tb_at(t, ret, &side);
	uint32_t slot;
	bool table;

	s->left = WINDOW - 1;
	s->since = now;
	if (!tb)
		return;
	slot = (uint32_t)ROAM_SLOT(tb->ram + side.off);
	table = t->cache->roams[slot] == HOW_TRY_TABLE;
	if (r->slot != slot + 1) {	/* it was forgotten, or another vCPU's */
		if (!occupied(r))
			begin(r, slot);
		return;
	}
	r->at = now;
	if (r->n_windows++ && took < r->best[table])	/* the first one began elsewhere */
		r->best[table] = took;
	if (r->n_windows <= WINDOWS)
		return;
	r->n_windows = 0;
	if (!table) {
		become(c, ret, false, HOW_TRY_TABLE);
		return;
	}
	r->slot = 0;
	become(c, ret, false, r->best[0] < r->best[1] - r->best[1] / 16 ? HOW_WAYS : HOW_TABLE);
}

/*
 * SITE_MISSES times an indirect jump has left its region. If it went where the region would have gone on had that
 * been met when it was made, it is made anew, with what is known by now: a few times at most, as not
 * all that is met there is part of the loop.
 */
static void strayed(struct cpu *c, struct tlb_site *s, uint64_t rip, uint64_t ret)
{
	struct tcg *t = tcg_of(c);
	uint32_t now = ticks(), took = now - s->since;
	struct x64_side side;
	const struct tb *tb = tcg_tb_at(t, ret, &side);
	uint8_t *n;

	s->left = SITE_MISSES - 1;
	s->since = now;
	if (!tb || tb->dead || rip - tb->rip >= REGION_BYTES || took > STRAY_CYCLES * SITE_MISSES)
		return;
	tcg_set_met(x64_env(c), tb->jc, rip, true);
	n = &t->cache->strays[ROAM_SLOT(tb->ram)];
	if (*n == MAX_STRAYS)
		return;
	tcg_lock(t);
	++*n;
	make_anew(c, tb);
	tcg_unlock(t);
}

void tcg_cb_roam(struct cpu *c, uint64_t va, uint64_t what, uint64_t ret)
{
	struct tlb_site *s = &c->site[0][0][what & ROAM_SITE];

	if (what & ROAM_TABLE)
		strayed(c, s, va, ret);
	else if (what & ROAM_WINDOW)
		window(c, s, ret);
	else if (what & ROAM_FILL)
		fill(c, s, va, (uint32_t)what, ret);
	else
		missed(c, s, (uint32_t)what, ret);
}
