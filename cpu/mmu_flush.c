/*
 * Forgetting translations: flushes, CR3, INVLPG, INVPCID (contract in cpu/mmu.h,
 * how asids make this cheap in cpu/tlb.h).
 * Source: Intel SDM vol. 3A 4.10.4; vol. 2A INVLPG, INVPCID.
 */
#include "base/log.h"
#include "cpu/tlb.h"

static void zero(void *p, size_t n)
{
	__asm__ volatile("rep stosb" : "+D"(p), "+c"(n) : "a"(0) : "memory");
}

/* The slots are empty: all of them, or those without global pages. */
static void forget_revocable(struct mmu *m, bool global)
{
	for (uint64_t left = m->revocable_any; left; left &= left - 1) {
		unsigned list = (unsigned)__builtin_ctzll(left);

		if (m->revocable[list].global && !global)
			continue;
		m->revocable[list].n = 0;
		m->revocable[list].global = false;
		m->revocable_any &= ~BIT(list);
	}
}

static void clear_logged(struct tlb *t, struct slot_log *l)
{
	for (unsigned i = 0; i < l->n; i++) {
		unsigned s = l->slot[i];
		t->r[s].tag = t->w[s].tag = TLB_EMPTY(s);
		l->logged[s >> 6] = 0;
	}
	l->n = 0;
}

static void clear_logged_slots(struct cpu *c)
{
	mmu_drop_sites(c);
	for (int idx = 0; idx < NMMU; idx++)
		clear_logged(&c->tlb[idx], &c->mmu->log[idx]);
	forget_revocable(c->mmu, false);
}

/* All there are, if global ones have been logged since they were cleared. */
static void clear_both_logs(struct cpu *c)
{
	mmu_drop_sites(c);
	for (int idx = 0; idx < NMMU; idx++) {
		clear_logged(&c->tlb[idx], &c->mmu->log[idx]);
		clear_logged(&c->tlb[idx], &c->mmu->global_log[idx]);
	}
	forget_revocable(c->mmu, true);
}

static void clear_all_slots(struct cpu *c)
{
	clear_both_logs(c);
	for (int idx = 0; idx < NMMU; idx++)
		for (unsigned s = 0; s < TLB_SIZE; s++)
			c->tlb[idx].r[s].tag = TLB_EMPTY(s);
	mmu_drop_writes(c);
}

/* ---- rights taken away ---- */

static void revoke(struct cpu *c, unsigned list, bool reads)
{
	struct revocable *r = &c->mmu->revocable[list];

	if (r->n > REVOKE_ROOM) {
		clear_all_slots(c);
		return;
	}
	mmu_drop_sites(c);
	for (unsigned i = 0; i < r->n; i++) {
		struct tlb *t = &c->tlb[r->slot[i] >> TLB_BITS];
		unsigned s = r->slot[i] & (TLB_SIZE - 1);

		t->w[s].tag = TLB_EMPTY(s);
		if (reads)
			t->r[s].tag = TLB_EMPTY(s);
	}
	if (reads || list == REVOKE_WP) {
		r->n = 0;
		r->global = false;
		c->mmu->revocable_any &= ~BIT(list);
	}
}

/* New rights of all keys of supervisor (0) or user pages (1). */
static void set_key_rights(struct cpu *c, int user, uint32_t rights)
{
	struct mmu *m = c->mmu;
	uint32_t lost = rights & ~m->key_rights[user];

	m->key_rights[user] = rights;
	if (lost & 3) {			/* pages of key 0 are in no list */
		clear_all_slots(c);
		return;
	}
	while (lost) {
		unsigned key = (unsigned)__builtin_ctz(lost) / 2, list = key + (user ? REVOKE_USER : 0);

		if (m->revocable_any >> list & 1)
			revoke(c, list, lost >> 2 * key & 1);
		lost &= ~(3u << 2 * key);
	}
}

void mmu_keys_changed(struct cpu *c)
{
	if (c->mmu->keyed[0])
		set_key_rights(c, 0, (uint32_t)c->pkrs);
	if (c->mmu->keyed[1])
		set_key_rights(c, 1, c->pkru);
}

void mmu_wp_set(struct cpu *c)
{
	if (c->mmu->revocable_any >> REVOKE_WP & 1)
		revoke(c, REVOKE_WP, false);
}

/* ---- numbers that tell old translations from new ones ---- */

static void forget_everything(struct mmu *m)
{
	zero(m->l2, sizeof(m->l2));
	for (unsigned i = 0; i < NSPACES; i++) {
		m->space[i].valid = i == m->cur;
		zero(m->space[i].pcid, sizeof(m->space[i].pcid));
	}
	m->next_asid = 1;
	m->epoch = 1;
}

/* What the walks remember about upper levels is void. */
static void new_pde_gen(struct mmu *m)
{
	if (++m->pde_gen >> 35) {
		zero(m->pde, sizeof(m->pde));
		m->pde_gen = 1;
	}
}

static uint32_t new_asid(struct mmu *m)
{
	return m->next_asid++;
}

static unsigned current_pcid(const struct cpu *c)
{
	return c->cr4 & CR4_PCIDE ? c->cr3 & 0xfff : 0;
}

/* The asid of a PCID; a fresh one if everything of it was forgotten. */
static uint32_t asid_of(struct mmu *m, unsigned pcid)
{
	if (m->pcid[pcid].epoch != m->epoch) {
		m->pcid[pcid].epoch = m->epoch;
		m->pcid[pcid].asid = new_asid(m);
	}
	return m->pcid[pcid].asid;
}

static void forget_pcid(struct mmu *m, unsigned pcid)
{
	m->pcid[pcid].epoch = 0;
}

static void told(struct cpu *c, uint64_t va, bool keep_global)
{
	if (c->mapping_changed)
		c->mapping_changed(c, va, keep_global);
}

/* Make room before the asid numbers run out: a flush needs at most two. */
static bool asids_exhausted(const struct mmu *m)
{
	return m->next_asid > (1u << ASID_BITS) - 4 || m->epoch == UINT32_MAX || !m->epoch;
}

static uint64_t heavy_log(uint64_t text, uint64_t index, uint64_t value, uint64_t unused)
{
	(void)unused;
	log_to(LOG_MMU, (const char *)text, (int)index, (unsigned long)value);
	return 0;
}

/* text: a format for the vCPU's number and an unsigned long. */
static void log_mmu(struct cpu *c, const char *text, uint64_t value)
{
	if (log_on(LOG_MMU))
		cpu_heavy(c, heavy_log, (uint64_t)text, (uint64_t)c->index, value, 0);
}

void mmu_flush(struct cpu *c, bool keep_global)
{
	struct mmu *m = c->mmu;

	log_mmu(c, "mmu cpu %d: flush, global pages kept: %lu\n", keep_global);
	mmu_configure(c);
	new_pde_gen(m);
	if (asids_exhausted(m)) {
		forget_everything(m);
		m->global_asid = new_asid(m);
		keep_global = false;
	}
	m->epoch++;
	if (keep_global) {
		clear_logged_slots(c);
	} else {
		m->global_asid = new_asid(m);
		zero64(m->large_seen, SEEN_BITS / 64);
		zero64(m->huge_seen, SEEN_BITS / 64);
		clear_all_slots(c);
	}
	m->asid = asid_of(m, current_pcid(c));
	told(c, ~0ull, keep_global);
}

/* ---- the host's translations and those of guests ---- */

static void space_leave(struct mmu *m)
{
	struct mmu_space *s = &m->space[m->cur];

	s->global_asid = m->global_asid;
	s->epoch = m->epoch;
	s->npt_gen = m->npt_gen;
}

static void space_enter(struct mmu *m, unsigned n)
{
	struct mmu_space *s = &m->space[n];

	m->cur = n;
	m->pcid = s->pcid;
	m->large_seen = s->large_seen;
	m->huge_seen = s->huge_seen;
	m->global_asid = s->global_asid;
	m->epoch = s->epoch;
	m->npt_gen = s->npt_gen;
}

/* Nothing is known of s yet. */
static void space_renew(struct mmu *m, struct mmu_space *s)
{
	s->valid = true;
	s->global_asid = new_asid(m);
	s->epoch++;
	s->npt_gen = ++m->next_npt_gen;
	zero64(s->large_seen, SEEN_BITS / 64);
	zero64(s->huge_seen, SEEN_BITS / 64);
}

static unsigned space_of(struct mmu *m, uint32_t owner)
{
	unsigned n = 0;

	for (unsigned i = 1; owner && i < NSPACES && !n; i++)
		if (m->space[i].owner == owner)
			n = i;
	if (owner && !n) {
		n = 1 + m->space_victim++ % (NSPACES - 1);
		m->space[n].owner = owner;
		m->space[n].valid = false;
	}
	return n;
}

void mmu_forget_space(struct cpu *c, uint32_t owner)
{
	for (unsigned i = 0; i < NSPACES; i++)
		if (c->mmu->space[i].owner == owner)
			c->mmu->space[i].valid = false;
}

void mmu_switch_space(struct cpu *c, uint32_t owner)
{
	struct mmu *m = c->mmu;
	bool logged = m->log_global;
	unsigned n;

	if (asids_exhausted(m) || m->next_npt_gen >> 23)
		mmu_flush_all(c);
	space_leave(m);
	n = space_of(m, owner);
	if (!m->space[n].valid)
		space_renew(m, &m->space[n]);
	space_enter(m, n);
	mmu_configure(c);
	new_pde_gen(m);
	if (logged)
		clear_both_logs(c);
	else
		clear_all_slots(c);
	m->asid = asid_of(m, current_pcid(c));
	told(c, ~0ull, false);
}

void mmu_flush_all(struct cpu *c)
{
	struct mmu *m = c->mmu;

	for (unsigned i = 0; i < NSPACES; i++)
		m->space[i].valid = i == m->cur;
	if (m->next_npt_gen >> 23) {
		zero(m->npt, sizeof(m->npt));
		m->next_npt_gen = 0;
	}
	m->npt_gen = ++m->next_npt_gen;
	mmu_flush(c, false);
}

static void drop_slots(struct cpu *c, uint64_t va)
{
	unsigned s = TLB_SLOT(va);

	for (int idx = 0; idx < NMMU; idx++) {
		struct tlb *t = &c->tlb[idx];
		if (t->r[s].tag == va)
			t->r[s].tag = TLB_EMPTY(s);
		if (t->w[s].tag == va)
			t->w[s].tag = TLB_EMPTY(s);
	}
}

static void drop_va(struct cpu *c, uint64_t va)
{
	struct mmu *m = c->mmu;
	struct l2_entry *e;

	drop_slots(c, va);
	if ((e = mmu_l2_find(m, va, m->asid)))
		e->key = 0;
	if ((e = mmu_l2_find(m, va, m->global_asid)))
		e->key = 0;
}

void mmu_flush_page(struct cpu *c, uint64_t va)
{
	struct mmu *m = c->mmu;

	va &= ~(PAGE - 1);
	log_mmu(c, "mmu cpu %d: flush of page %#lx\n", va);
	if (mmu_seen(m->huge_seen, va, 30)) {
		mmu_flush(c, false);
		return;
	}
	new_pde_gen(m);
	mmu_drop_sites(c);
	drop_va(c, va);
	if (!mmu_seen(m->large_seen, va, 22)) {
		told(c, va, false);
		return;
	}
	va &= ~0x3fffffull;
	for (unsigned i = 0; i < 1024; i++)
		drop_slots(c, va + i * PAGE);
	mmu_l2_drop_1024(m, va, m->asid);
	mmu_l2_drop_1024(m, va, m->global_asid);
	told(c, ~0ull, false);
}

void mmu_set_cr3(struct cpu *c, uint64_t v)
{
	struct mmu *m = c->mmu;

	log_mmu(c, "mmu cpu %d: CR3 = %#lx\n", v);
	if (asids_exhausted(m)) {
		mmu_flush(c, false);
		return;
	}
	new_pde_gen(m);
	if (!(c->cr4 & CR4_PCIDE) || !(v >> 63))
		forget_pcid(m, current_pcid(c));
	clear_logged_slots(c);
	m->asid = asid_of(m, current_pcid(c));
	told(c, ~0ull, true);
}

/* Forget one page of a PCID that may not be the current one. */
static void invpcid_page(struct cpu *c, unsigned pcid, uint64_t va)
{
	struct mmu *m = c->mmu;

	if (pcid == current_pcid(c)) {
		mmu_flush_page(c, va);
		return;
	}
	if (m->pcid[pcid].epoch != m->epoch)
		return;
	if (mmu_seen(m->huge_seen, va, 30) || mmu_seen(m->large_seen, va, 22)) {
		forget_pcid(m, pcid);
		return;
	}
	struct l2_entry *e = mmu_l2_find(m, va, m->pcid[pcid].asid);
	if (e)
		e->key = 0;
}

bool mmu_invpcid(struct cpu *c, int type, uint64_t pcid, uint64_t va)
{
	if (type > 3 || type < 0 || (type < 2 && pcid > 0xfff))
		return false;
	if (type < 2 && pcid && !(c->cr4 & CR4_PCIDE))
		return false;
	if (type == 0 && !mmu_canonical_reg(c, va))
		return false;
	switch (type) {
	case 0:
		invpcid_page(c, (unsigned)pcid, va & ~(PAGE - 1));
		break;
	case 1:
		forget_pcid(c->mmu, (unsigned)pcid);
		if (pcid == current_pcid(c))
			mmu_set_cr3(c, 0);
		break;
	case 2:
		mmu_flush(c, false);
		break;
	default:
		mmu_flush(c, true);
	}
	return true;
}
