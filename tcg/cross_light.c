/*
 * Code that other vCPUs write. Each vCPU has a code cache of its own, so whoever writes
 * to bytes that another one has translated must tell it, and no write may slip through
 * while translations come about:
 *
 *   reader (the translator)                writer
 *   says which page it reads               stores
 *   sets the page's code bit               fence
 *   takes the page out of all TLBs         who reads this page, or has code of these bytes?
 *   fence, reads                           tells them
 *
 * So either the reader sees the new bytes or the writer sees the reader. A store by
 * translated code to a page with code of others is made alone, and they are told behind
 * it. Those who are told drop their blocks when they poll; what serializes (SDM vol. 3A,
 * 8.1.3 and 8.3) is followed by a poll.
 *
 * What remains is a store that has found its page in the TLB, or has seen no code there,
 * and is made only after the reader is through (the host has taken its processor away in
 * between, say). So a page that a writer may have at hand is a *suspect*: the reader keeps
 * a copy from before, and until all others have been in their run loops it drops, at
 * whatever serializes and in its run loop, the blocks whose bytes differ from the copy.
 *
 * Light.
 */
#include "cpu/mmu.h"
#include "tcg/cache.h"

/* ---- the reader ---- */

static void copy_words(uint8_t *to, const uint8_t *from, unsigned n)
{
	for (unsigned i = 0; i < n; i += 8)
		st64(to + i, ld64(from + i));
}

static struct tcg *other(const struct tcg *t, unsigned i, bool *end)
{
	struct cpu *o = phys_cpu(t->cpu->phys, i);

	*end = !o;
	return o && o != t->cpu && o->ops == t->cpu->ops ? o->accel : NULL;
}

/* May a store of o's to that page be under way? If the page is fresh its code bit has just been set. */
static bool may_store(const struct tcg *o, uint64_t page, const uint8_t *host, bool fresh)
{
	return atomic_load(&o->cpu->inside) &&
	       (atomic_load(&o->storing) == page || (fresh && mmu_may_write(o->cpu, host)));
}

/* Remember the page as it is, and ask those who may write to it to come through their run loops. */
static void suspect(struct tcg *t, uint64_t page, const uint8_t *host, bool fresh)
{
	struct suspect *s = &t->suspects[t->n_suspects % SUSPECTS];
	bool any = false, end = false;

	for (unsigned i = 0; !end; i++) {
		struct tcg *o = other(t, i, &end);
		bool may = o && may_store(o, page, host, fresh);

		if (i >= SUSPECT_CPUS)
			break;
		s->waits[i] = may;
		if (!may)
			continue;
		any = true;
		s->rounds[i] = atomic_load(&o->rounds);
		atomic_fetch_or(&o->cpu->request, REQ_CALL);
	}
	if (!any)
		return;
	if (t->n_suspects == SUSPECTS)
		__builtin_trap();		/* who translates asks tcg_may_read() */
	s->ram = page;
	s->host = host;
	copy_words(s->copy, host, PAGE_SIZE);
	t->n_suspects++;
}

/* Two pages of a block and two of a region, before anybody asks again. */
bool tcg_may_read(const struct tcg *t)
{
	return t->n_suspects + 4 <= SUSPECTS;
}

void tcg_begin_read(struct tcg *t, int which, struct ram *r, uint64_t ram)
{
	struct code_page *cp = tcg_code_page(t, ram);
	uint64_t page = PAGE_OF(ram), off = page - r->id;
	bool fresh = cp && !cp->marked;

	atomic_store_explicit(&t->reading[which], page, memory_order_relaxed);
	if (fresh) {
		cp->marked = true;
		cp->idle = 0;
		cp->r = r;
		phys_set_code(t->cpu->phys, r, off);
		mmu_protect_ram_page(t->cpu, r->host + off);
	}
	if (t->cpu->ncpus == 1)
		return;
	atomic_thread_fence(memory_order_seq_cst);
	suspect(t, page, r->host + off, fresh);
}

void tcg_end_read(struct tcg *t)
{
	for (int i = 0; i < 2; i++)
		atomic_store_explicit(&t->reading[i], ~0ull, memory_order_release);
}

/* Have all that might write to it been in their run loops since? */
static bool is_cleared(const struct tcg *t, const struct suspect *s)
{
	bool end = false;

	for (unsigned i = 0; !end && i < SUSPECT_CPUS; i++) {
		struct tcg *o = other(t, i, &end);

		if (o && s->waits[i] && atomic_load(&o->cpu->inside) &&
		    atomic_load(&o->rounds) == s->rounds[i])
			return false;
	}
	return true;
}

static void compare(struct tcg *t, struct suspect *s)
{
	for (unsigned at = 0; at < PAGE_SIZE; at += 64) {
		uint64_t differ = 0;

		for (unsigned i = 0; i < 64; i += 8)
			differ |= ld64(s->copy + at + i) ^ ld64(s->host + at + i);
		if (!differ)
			continue;
		copy_words(s->copy + at, s->host + at, 64);
		tcg_smc(t, s->ram + at, 64);
	}
}

void tcg_recheck(struct tcg *t)
{
	unsigned n = 0;

	for (unsigned i = 0; i < t->n_suspects; i++) {
		bool cleared = is_cleared(t, &t->suspects[i]);

		compare(t, &t->suspects[i]);
		if (cleared)
			continue;
		if (n != i)
			copy_words((uint8_t *)&t->suspects[n], (const uint8_t *)&t->suspects[i], sizeof(struct suspect));
		n++;
	}
	t->n_suspects = n;
}

/* ---- the writer ---- */

static uint64_t chunks_hit(uint64_t off, uint64_t n)
{
	uint64_t lo = (off & (PAGE_SIZE - 1)) >> 6, hi = ((off & (PAGE_SIZE - 1)) + n - 1) >> 6;

	return (~0ull << lo) & (hi < 63 ? ~0ull >> (63 - hi) : ~0ull);
}

static bool concerns(struct tcg *o, uint64_t ram, uint64_t hit)
{
	const struct code_page *cp = tcg_code_page(o, ram);

	for (int i = 0; i < 2; i++)
		if (atomic_load_explicit(&o->reading[i], memory_order_acquire) == PAGE_OF(ram))
			return true;
	return cp && __atomic_load_n(&cp->chunks, __ATOMIC_RELAXED) & hit;
}

static bool others_hold(struct tcg *t, uint64_t ram, uint64_t n)
{
	uint64_t hit = chunks_hit(ram, n);
	bool end = false;

	for (unsigned i = 0; !end; i++) {
		struct tcg *o = other(t, i, &end);

		if (o && concerns(o, ram, hit))
			return true;
	}
	return false;
}

static uint64_t heavy_tell(uint64_t self, uint64_t r, uint64_t off, uint64_t n)
{
	struct tcg *t = (struct tcg *)self;
	uint64_t ram = ((struct ram *)r)->id + off, hit = chunks_hit(ram, n);
	bool end = false;

	for (unsigned i = 0; !end; i++) {
		struct tcg *o = other(t, i, &end);

		if (o && concerns(o, ram, hit))
			tcg_note_write(o, ram, n);
	}
	return 0;
}

void tcg_tell_others(struct tcg *t, struct ram *r, uint64_t off, uint64_t n)
{
	if (t->cpu->ncpus == 1)
		return;
	atomic_thread_fence(memory_order_seq_cst);
	if (others_hold(t, r->id + off, n))
		cpu_heavy(t->cpu, heavy_tell, (uint64_t)t, (uint64_t)r, off, n);
}

bool tcg_store_tells(struct tcg *t, struct ram *r, uint64_t off, uint64_t n)
{
	const struct code_page *cp = tcg_code_page(t, r->id + off);

	if (t->cpu->ncpus == 1)
		return false;
	atomic_store(&t->storing, PAGE_OF(r->id + off));
	return r->holders[off >> 12] > (cp && cp->marked) && others_hold(t, r->id + off, n);
}

void tcg_tell_behind(struct tcg *t)
{
	if (t->tell.n)
		tcg_tell_others(t, t->tell.r, t->tell.off, t->tell.n);
	t->tell.n = 0;
}

/* ---- locked accesses that the host cannot make ---- */

void tcg_alone(struct cpu *c)
{
	struct tcg *t = tcg_of(c);

	if (t->alone)
		return;
	t->alone_next = t->single_next = true;
	c->exc_vector = -1;
	c->unwind(c);
}
