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

static void clear_all_slots(struct cpu *c)
{
	struct mmu *m = c->mmu;

	for (int idx = 0; idx < NMMU; idx++) {
		for (unsigned s = 0; s < TLB_SIZE; s++)
			c->tlb[idx].r[s].tag = TLB_EMPTY(s);
		zero64(m->logged[idx], ARRAY_LEN(m->logged[idx]));
		m->nlog[idx] = 0;
	}
	mmu_drop_writes(c);
}

static void clear_logged_slots(struct cpu *c)
{
	struct mmu *m = c->mmu;

	for (int idx = 0; idx < NMMU; idx++) {
		struct tlb *t = &c->tlb[idx];
		for (unsigned i = 0; i < m->nlog[idx]; i++) {
			unsigned s = m->log[idx][i];
			t->r[s].tag = t->w[s].tag = TLB_EMPTY(s);
			m->logged[idx][s >> 6] = 0;
		}
		m->nlog[idx] = 0;
	}
}

static void forget_everything(struct mmu *m)
{
	zero(m->l2, sizeof(m->l2));
	zero(m->pcid, sizeof(m->pcid));
	m->next_asid = 1;
	m->epoch = 1;
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
	m->pde_gen++;
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
		zero64(m->large_seen, ARRAY_LEN(m->large_seen));
		m->huge_seen = false;
		clear_all_slots(c);
	}
	m->asid = asid_of(m, current_pcid(c));
	told(c, ~0ull, keep_global);
}

static void drop_va(struct cpu *c, uint64_t va)
{
	struct mmu *m = c->mmu;
	unsigned s = TLB_OFF(va) >> 4;
	struct l2_entry *e;

	for (int idx = 0; idx < NMMU; idx++) {
		struct tlb *t = &c->tlb[idx];
		if (t->r[s].tag == va)
			t->r[s].tag = TLB_EMPTY(s);
		if (t->w[s].tag == va)
			t->w[s].tag = TLB_EMPTY(s);
	}
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
	if (m->huge_seen) {
		mmu_flush(c, false);
		return;
	}
	m->pde_gen++;
	drop_va(c, va);
	if (!(m->large_seen[va >> 28 & 15] >> (va >> 22 & 63) & 1)) {
		told(c, va, false);
		return;
	}
	va &= ~0x3fffffull;
	for (unsigned i = 0; i < 1024; i++)
		drop_va(c, va + i * PAGE);
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
	m->pde_gen++;
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
	if (m->huge_seen || m->large_seen[va >> 28 & 15] >> (va >> 22 & 63) & 1) {
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
	if (type == 0 && !mmu_canonical(c, va))
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
