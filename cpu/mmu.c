/*
 * Linear-address translation (contract in cpu/mmu.h, data in cpu/tlb.h).
 *
 * A missed inline probe comes to mmu_fill(). It looks into the second-level
 * TLB, else walks the page tables; what was found is entered into the inline
 * tables of the access's mmu_idx. A read also enters the write table when a
 * write would be fine, and the other way round.
 *
 * Permissions are not part of a second-level entry's validity: it holds what
 * the tables say, and allowed() applies the access rules. A denied access
 * always walks again before it faults, so that a stale denial cannot fault.
 *
 * Not modelled: protection keys, 5-level paging, shadow stacks, memory types; a
 * store of another vCPU that passed its probe before mmu_protect_ram_page() and
 * reaches memory after it.
 * Source: Intel SDM vol. 3A chapter 4; AMD APM vol. 2 chapter 5.
 */
#include "base/log.h"
#include "cpu/cpuid.h"
#include "cpu/tlb.h"

#define PAGE		4096ull
#define PTE_P		0x001u
#define PTE_W		0x002u
#define PTE_U		0x004u
#define PTE_A		0x020u
#define PTE_D		0x040u
#define PTE_PS		0x080u
#define PTE_G		0x100u
#define PTE_NX		(1ull << 63)
#define PTE_PAT_LARGE	0x1000u

#define PF_P		0x01u
#define PF_W		0x02u
#define PF_U		0x04u
#define PF_RSVD		0x08u
#define PF_ID		0x10u

/* One walk under way. */
struct walk {
	uint64_t va;
	int n;				/* entries used */
	uint64_t at[4], entry[4];	/* their physical addresses and values */
	uint64_t perm;			/* TR_W, TR_U, TR_NX so far */
	uint64_t pa;			/* of the 4 KiB page */
	unsigned attr;
	uint64_t table;			/* the last one read */
	int leaf;			/* level of the last entry */
	uint32_t fault;			/* PF_P, PF_RSVD of a failed walk */
};

static void zero64(uint64_t *p, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		p[i] = 0;
}

static void zero(void *p, size_t n)
{
	__asm__ volatile("rep stosb" : "+D"(p), "+c"(n) : "a"(0) : "memory");
}

/* ---- what the control registers say ---- */

static uint64_t phys_mask(const struct cpu *c)
{
	return (1ull << c->phys_bits) - 1;
}

static void configure_legacy(struct cpu *c, struct mmu *m)
{
	bool pse = c->cr4 & CR4_PSE;

	m->levels = 2;
	m->index_bits = 10;
	m->entry_size = 4;
	m->table_mask = 0xfffff000u;
	m->large_ok = pse ? 1u << 1 : 0;
	m->pse36 = pse && cpu_has(c, CPUID_PSE36);
	zero64(m->rsvd, 4);
	zero64(m->rsvd_large, 4);
	/* Bits 20..13 are address bits 39..32, as far as there are such. */
	int high = !m->pse36 ? 32 : c->phys_bits > 40 ? 40 : (int)c->phys_bits;
	m->rsvd_large[1] = 0x3fe000u & ~((1ull << (13 + (high > 32 ? high - 32 : 0))) - 1);
}

static void configure_wide(struct cpu *c, struct mmu *m)
{
	bool lma = c->efer & EFER_LMA;
	uint64_t high = 0x000ffffffffff000ull & ~phys_mask(c);

	if (!lma)
		high |= 0x7ff0000000000000ull;
	if (!(c->efer & EFER_NXE))
		high |= PTE_NX;
	m->levels = lma ? 4 : 3;
	m->index_bits = 9;
	m->entry_size = 8;
	m->table_mask = 0x000ffffffffff000ull & phys_mask(c);
	m->large_ok = 1u << 1 | (lma && cpu_has(c, CPUID_PDPE1GB) ? 1u << 2 : 0);
	m->pse36 = false;
	for (int i = 0; i < 4; i++) {
		m->rsvd[i] = high;
		m->rsvd_large[i] = high;
	}
	m->rsvd_large[1] |= 0x1fe000u;
	m->rsvd_large[2] |= 0x3fffe000u;
	m->rsvd[2] |= PTE_PS;
	m->rsvd[3] |= PTE_PS;
}

static void configure(struct cpu *c)
{
	struct mmu *m = c->mmu;

	if (!(c->cr0 & CR0_PG))
		m->levels = 0;
	else if (c->cr4 & CR4_PAE)
		configure_wide(c, m);
	else
		configure_legacy(c, m);
}

/* ---- the walk ---- */

static uint64_t perm_of(uint64_t entry)
{
	return ((entry & PTE_W) ? TR_W : 0) | ((entry & PTE_U) ? TR_U : 0);
}

static int level_shift(const struct mmu *m, int level)
{
	return 12 + m->index_bits * level;
}

static void leaf_found(const struct mmu *m, struct walk *w, uint64_t e, int level)
{
	uint64_t in_page = (1ull << level_shift(m, level)) - 1;
	uint64_t base = e & m->table_mask & ~in_page;

	if (level == 1 && m->pse36)
		base |= (e & 0x1fe000u) << 19;
	w->pa = base | (w->va & in_page & ~(PAGE - 1));
	w->leaf = level;
	w->attr = (unsigned)w->perm | (e & PTE_D ? TR_D : 0) | (e & PTE_G ? TR_G : 0) |
		  (level == 1 ? TR_LARGE : 0) | (level == 2 ? TR_HUGE : 0);
}

/* Start at the top, at a PAE pointer, or where the paging-structure cache knows. Level, or -1: fault. */
static int walk_start(struct cpu *c, struct walk *w)
{
	const struct mmu *m = c->mmu;
	const struct pde_entry *p = &m->pde[w->va >> 21 & (PDE_SLOTS - 1)];

	if (p->key == (w->va << 16 >> 37 | m->pde_gen << 27)) {
		w->table = p->table;
		w->perm = p->perm;
		return 0;
	}
	w->perm = TR_W | TR_U;
	if (m->levels != 3) {
		w->table = c->cr3 & m->table_mask;
		return m->levels - 1;
	}
	uint64_t pdpte = c->pdpte[w->va >> 30 & 3];
	if (!(pdpte & PTE_P)) {
		w->fault = 0;
		return -1;
	}
	w->table = pdpte & m->table_mask;
	return 1;
}

/* False: w->fault has PF_P and PF_RSVD. Reads only. */
static bool walk_tables(struct cpu *c, struct walk *w)
{
	const struct mmu *m = c->mmu;
	int level = walk_start(c, w);

	w->n = 0;
	for (; level >= 0; level--) {
		uint64_t index = w->va >> level_shift(m, level) & ((1u << m->index_bits) - 1);
		uint64_t at = w->table + index * m->entry_size;
		uint64_t e = phys_ld(c, at, m->entry_size);
		bool large = level > 0 && e & PTE_PS && m->large_ok >> level & 1;

		if (!(e & PTE_P)) {
			w->fault = 0;
			return false;
		}
		if (e & (large ? m->rsvd_large : m->rsvd)[level]) {
			w->fault = PF_P | PF_RSVD;
			return false;
		}
		w->at[w->n] = at;
		w->entry[w->n++] = e;
		w->perm = (w->perm & perm_of(e)) | (w->perm & TR_NX) | (e & PTE_NX ? TR_NX : 0);
		if (level == 0 || large) {
			leaf_found(m, w, e, level);
			return true;
		}
		w->table = e & m->table_mask;
	}
	return false;
}

/* The access rules (SDM vol. 3A, 4.6). */
static bool allowed(const struct cpu *c, unsigned attr, enum mmu_access how, enum mmu_idx idx)
{
	bool user = idx == MMU_USER;

	if (user && !(attr & TR_U))
		return false;
	if (how & MMU_FETCH)
		return !(attr & TR_NX) && (user || !(attr & TR_U) || !(c->cr4 & CR4_SMEP));
	if (idx == MMU_KERNEL && attr & TR_U && c->cr4 & CR4_SMAP)
		return false;
	return !(how & MMU_WRITE) || attr & TR_W || (!user && !(c->cr0 & CR0_WP));
}

/* Set accessed and dirty bits of the entries used. False: one changed meanwhile, walk again. */
static bool set_used(struct cpu *c, struct walk *w, bool dirty)
{
	int size = c->mmu->entry_size;

	for (int i = 0; i < w->n; i++) {
		uint64_t need = i == w->n - 1 && dirty ? PTE_A | PTE_D : PTE_A;
		if ((w->entry[i] & need) == need)
			continue;
		if (!phys_cas(c, w->at[i], size, w->entry[i], w->entry[i] | need) &&
		    phys_ld(c, w->at[i], size) != w->entry[i])
			return false;
	}
	if (dirty)
		w->attr |= TR_D;
	return true;
}

static void remember_table(struct cpu *c, const struct walk *w)
{
	struct mmu *m = c->mmu;
	struct pde_entry *p = &m->pde[w->va >> 21 & (PDE_SLOTS - 1)];
	uint64_t perm = TR_W | TR_U;

	if (w->leaf != 0 || w->n < 2)
		return;
	for (int i = 0; i < w->n - 1; i++)
		perm = (perm & perm_of(w->entry[i])) | (perm & TR_NX) | (w->entry[i] & PTE_NX ? TR_NX : 0);
	p->key = w->va << 16 >> 37 | m->pde_gen << 27;
	p->table = w->table;
	p->perm = perm;
}

static uint32_t fault_code(const struct cpu *c, uint32_t base, enum mmu_access how, enum mmu_idx idx)
{
	bool id = c->cr4 & CR4_SMEP || (c->cr4 & CR4_PAE && c->efer & EFER_NXE);

	return base | (how & MMU_WRITE ? PF_W : 0) | (idx == MMU_USER ? PF_U : 0) |
	       (how & MMU_FETCH && id ? PF_ID : 0);
}

/* A complete translation with side effects; w->pa and w->attr on success. */
static bool walk(struct cpu *c, struct walk *w, enum mmu_access how, enum mmu_idx idx, uint32_t *pf_error)
{
	if (!c->mmu->levels) {
		w->pa = w->va & ~(PAGE - 1);
		w->attr = TR_W | TR_U | TR_D;
		return true;
	}
	do {
		if (!walk_tables(c, w)) {
			*pf_error = fault_code(c, w->fault, how, idx);
			return false;
		}
		if (!allowed(c, w->attr, how, idx)) {
			*pf_error = fault_code(c, PF_P, how, idx);
			return false;
		}
	} while (!set_used(c, w, how & MMU_WRITE));
	if (!(c->cr4 & CR4_PGE))
		w->attr &= ~TR_G;
	remember_table(c, w);
	return true;
}

bool mmu_translate(struct cpu *c, uint64_t va, enum mmu_access how, enum mmu_idx idx,
		   uint64_t *pa, uint32_t *pf_error)
{
	struct walk w = { .va = va };

	if (!walk(c, &w, how, idx, pf_error))
		return false;
	*pa = w.pa | (va & (PAGE - 1));
	return true;
}

bool mmu_probe(struct cpu *c, uint64_t va, uint64_t *pa)
{
	struct walk w = { .va = va, .pa = va & ~(PAGE - 1) };

	if (c->mmu->levels && !walk_tables(c, &w))
		return false;
	*pa = w.pa | (va & (PAGE - 1));
	return true;
}

bool mmu_load_pdptes(struct cpu *c)
{
	uint64_t v[4], rsvd = 0xfff00000000001e6ull | (0x000ffffffffff000ull & ~phys_mask(c));

	for (int i = 0; i < 4; i++) {
		v[i] = phys_ld(c, (c->cr3 & 0xffffffe0u) + 8 * i, 8);
		if (v[i] & PTE_P && v[i] & rsvd)
			return false;
	}
	for (int i = 0; i < 4; i++)
		c->pdpte[i] = v[i];
	return true;
}

/* ---- second-level TLB ---- */

static uint64_t l2_key(uint64_t va, uint32_t asid)
{
	return (va << 16 >> 28) | (uint64_t)asid << 36;
}

static struct l2_entry *l2_set(struct mmu *m, uint64_t va, uint32_t asid)
{
	uint64_t page = va >> 12;
	return m->l2[(page ^ page >> 10 ^ asid * 0x9e5u) & (L2_SETS - 1)];
}

static struct l2_entry *l2_find_asid(struct mmu *m, uint64_t va, uint32_t asid)
{
	struct l2_entry *set = l2_set(m, va, asid);
	uint64_t key = l2_key(va, asid);

	for (unsigned i = 0; i < L2_WAYS; i++)
		if (set[i].key == key)
			return &set[i];
	return NULL;
}

static struct l2_entry *l2_find(struct mmu *m, uint64_t va)
{
	struct l2_entry *e = l2_find_asid(m, va, m->asid);
	return e ? e : l2_find_asid(m, va, m->global_asid);
}

static struct l2_entry *l2_enter(struct cpu *c, const struct walk *w)
{
	struct mmu *m = c->mmu;
	uint32_t asid = w->attr & TR_G ? m->global_asid : m->asid;
	struct l2_entry *e = l2_find_asid(m, w->va, asid);
	struct phys_page pg;

	if (!e)
		e = &l2_set(m, w->va, asid)[m->victim++ % L2_WAYS];
	phys_lookup(c->phys, w->pa, &pg);
	e->key = l2_key(w->va, asid);
	e->pa = w->pa | w->attr;
	e->host = pg.rhost;
	e->ram = pg.whost == pg.rhost ? pg.wram : NULL;
	e->flags = e->ram ? &e->ram->page[pg.ram_off >> 12] : NULL;
	if (w->attr & TR_LARGE)
		m->large_seen[w->va >> 28 & 15] |= 1ull << (w->va >> 22 & 63);
	if (w->attr & TR_HUGE)
		m->huge_seen = true;
	return e;
}

static struct l2_entry *look_up(struct cpu *c, uint64_t va, enum mmu_access how, enum mmu_idx idx,
				uint32_t *pf_error)
{
	struct l2_entry *e = l2_find(c->mmu, va);
	struct walk w = { .va = va };

	if (e && allowed(c, (unsigned)e->pa, how, idx) && (!(how & MMU_WRITE) || e->pa & TR_D))
		return e;
	if (!walk(c, &w, how, idx, pf_error))
		return NULL;
	if (e)
		e->key = 0;
	return l2_enter(c, &w);
}

bool mmu_fetch_page(struct cpu *c, uint64_t va, uint64_t *pa, uint32_t *pf_error)
{
	enum mmu_idx idx = cpu_cpl(c) == 3 ? MMU_USER : MMU_KERNEL;
	const struct l2_entry *e = look_up(c, va, MMU_FETCH, idx, pf_error);

	if (!e)
		return false;
	*pa = e->pa & ~(PAGE - 1);
	return true;
}

/* ---- the inline tables ---- */

static bool watched(const struct mmu *m, uint64_t va)
{
	for (int i = 0; i < m->nwatch; i++)
		if (m->watch[i] == (va & ~(PAGE - 1)))
			return true;
	return false;
}

static void log_slot(struct mmu *m, enum mmu_idx idx, unsigned slot)
{
	uint64_t bit = 1ull << (slot & 63);

	if (m->logged[idx][slot >> 6] & bit)
		return;
	m->logged[idx][slot >> 6] |= bit;
	m->log[idx][m->nlog[idx]++] = (uint16_t)slot;
}

static void filter_add(struct mmu *m, const uint8_t *host)
{
	uint64_t n = (uint64_t)host >> 12;
	m->wfilter[n >> 6 & 63] |= 1ull << (n & 63);
}

static bool filter_has(const struct mmu *m, const uint8_t *host)
{
	uint64_t n = (uint64_t)host >> 12;
	return m->wfilter[n >> 6 & 63] >> (n & 63) & 1;
}

/* Forget all write entries; tracked pages among them count as written until now. */
static void drop_writes(struct cpu *c)
{
	struct mmu *m = c->mmu;

	for (int idx = 0; idx < NMMU; idx++)
		for (unsigned s = 0; s < TLB_SIZE; s++)
			c->tlb[idx].w[s].tag = TLB_EMPTY(s);
	for (unsigned i = 0; i < m->nlog_pages; i++)
		if (atomic_load(m->log_pages[i]) & PAGE_LOG)
			atomic_fetch_or(m->log_pages[i], PAGE_DIRTY);
	m->nlog_pages = 0;
	zero64(m->wfilter, ARRAY_LEN(m->wfilter));
}

/* May writes go straight to e's page from now on? A write that is happening marks it dirty. */
static bool writes_plain(struct cpu *c, const struct l2_entry *e, enum mmu_access how, enum mmu_idx idx)
{
	struct mmu *m = c->mmu;

	if (!e->flags || !(e->pa & TR_D) || !allowed(c, (unsigned)e->pa, MMU_WRITE, idx))
		return false;
	uint8_t f = atomic_load_explicit(e->flags, memory_order_relaxed);
	if (f & PAGE_LOG && !(f & PAGE_DIRTY)) {
		if (!(how & MMU_WRITE))
			return false;
		atomic_fetch_or(e->flags, PAGE_DIRTY);
	}
	if (f & PAGE_CODE)
		return false;
	if (f & PAGE_LOG) {
		if (m->nlog_pages == LOG_PAGES)
			drop_writes(c);
		m->log_pages[m->nlog_pages++] = e->flags;
	}
	return true;
}

/* Another vCPU sets the code bit, then looks for entries; this looks the other way round. */
static bool code_since(const struct l2_entry *e)
{
	atomic_thread_fence(memory_order_seq_cst);
	return atomic_load(e->flags) & PAGE_CODE;
}

static void enter(struct cpu *c, const struct l2_entry *e, uint64_t va, enum mmu_access how, enum mmu_idx idx)
{
	struct mmu *m = c->mmu;
	unsigned slot = TLB_OFF(va) >> 4;
	struct tlb *t = &c->tlb[idx];
	uint64_t tag = va & ~(PAGE - 1);

	t->r[slot].tag = tag;
	t->r[slot].host = (uint64_t)e->host;
	if (writes_plain(c, e, how, idx)) {
		filter_add(m, e->host);
		t->w[slot].host = (uint64_t)e->host;
		t->w[slot].tag = tag;
		if (c->ncpus > 1 && code_since(e))
			t->w[slot].tag = TLB_EMPTY(slot);
	}
	if (!(e->pa & TR_G))
		log_slot(m, idx, slot);
}

/* The translation of va for this access, entered where that is allowed; NULL host: not plain memory. */
static const struct l2_entry *fill(struct cpu *c, uint64_t va, enum mmu_access how, enum mmu_idx idx)
{
	uint32_t err;
	const struct l2_entry *e = look_up(c, va, how, idx, &err);

	if (!e)
		cpu_raise_pf(c, va, err);
	if (e->host && !watched(c->mmu, va))
		enter(c, e, va, how, idx);
	return e;
}

uint8_t *mmu_fill(struct cpu *c, uint64_t va, int n, enum mmu_access how, enum mmu_idx idx,
		  bool *code, uint64_t *pa)
{
	if (code)
		*code = false;
	if ((va & (PAGE - 1)) + n > PAGE)
		return NULL;
	const struct l2_entry *e = fill(c, va, how, idx);
	*pa = (e->pa & ~(PAGE - 1)) | (va & (PAGE - 1));
	if (!e->host || watched(c->mmu, va))
		return NULL;
	if (how & MMU_WRITE) {
		if (!e->flags)
			return NULL;
		if (code)
			*code = atomic_load_explicit(e->flags, memory_order_relaxed) & PAGE_CODE;
	}
	return e->host + (va & (PAGE - 1));
}

/* c may be running on another thread: what it loses by a race it will fill again. */
static void protect_in(struct cpu *c, const uint8_t *host_page)
{
	if (!c->mmu || !filter_has(c->mmu, host_page))
		return;
	for (int idx = 0; idx < NMMU; idx++) {
		struct tlb_entry *w = c->tlb[idx].w;
		for (unsigned s = 0; s < TLB_SIZE; s++)
			if (__atomic_load_n(&w[s].host, __ATOMIC_RELAXED) == (uint64_t)host_page)
				__atomic_store_n(&w[s].tag, TLB_EMPTY(s), __ATOMIC_RELAXED);
	}
}

void mmu_protect_ram_page(struct cpu *c, const uint8_t *host_page)
{
	struct cpu *o;

	protect_in(c, host_page);
	for (unsigned i = 0; c->ncpus > 1 && (o = phys_cpu(c->phys, i)); i++)
		if (o != c)
			protect_in(o, host_page);
}

/* ---- complete accesses ---- */

static bool hits(const struct tlb_entry *t, uint64_t va, int n)
{
	return (va ^ t->tag) <= PAGE - n;
}

static const struct tlb_entry *slot_of(const struct tlb_entry *table, uint64_t va)
{
	return &table[TLB_OFF(va) >> 4];
}

/* Breakpoints that this access meets go to DR6 when the instruction is done (SDM vol. 3B, 18.2). */
static void note_watch(struct cpu *c, uint64_t va, int n, bool write)
{
	if (!c->mmu->nwatch)
		return;
	for (int i = 0; i < 4; i++) {
		unsigned rw = c->dr[7] >> (16 + 4 * i) & 3, len = c->dr[7] >> (18 + 4 * i) & 3;
		unsigned size = len == 2 ? 8 : len + 1;
		uint64_t at = c->dr[i] & ~(uint64_t)(size - 1);

		if (!(c->dr[7] >> 2 * i & 3) || !(rw == 3 || (rw == 1 && write)))
			continue;
		if (va < at + size && at < va + n)
			c->dr6_pending |= 1u << i;
	}
}

/* Physical address of every byte of a piece that lies in one page. */
static uint64_t piece_pa(struct cpu *c, uint64_t va, enum mmu_access how, enum mmu_idx idx)
{
	const struct l2_entry *e = fill(c, va, how, idx);
	return (e->pa & ~(PAGE - 1)) | (va & (PAGE - 1));
}

static uint64_t ld_crossing(struct cpu *c, uint64_t va, int size, enum mmu_idx idx)
{
	int n1 = (int)(PAGE - (va & (PAGE - 1)));
	uint64_t pa1 = piece_pa(c, va, MMU_READ, idx);
	uint64_t pa2 = piece_pa(c, va + n1, MMU_READ, idx);
	uint64_t v = 0;

	for (int i = 0; i < size; i++)
		v |= phys_ld(c, i < n1 ? pa1 + i : pa2 + (i - n1), 1) << 8 * i;
	return v;
}

static void st_crossing(struct cpu *c, uint64_t va, int size, uint64_t v, enum mmu_idx idx)
{
	int n1 = (int)(PAGE - (va & (PAGE - 1)));
	uint64_t pa1 = piece_pa(c, va, MMU_WRITE, idx);
	uint64_t pa2 = piece_pa(c, va + n1, MMU_WRITE, idx);

	for (int i = 0; i < size; i++)
		phys_st(c, i < n1 ? pa1 + i : pa2 + (i - n1), 1, v >> 8 * i & 0xff);
}

uint64_t mmu_ld(struct cpu *c, uint64_t va, int size, enum mmu_idx idx)
{
	const struct tlb_entry *t = slot_of(c->tlb[idx].r, va);
	uint64_t pa;

	if (hits(t, va, size))
		return ld_n((uint8_t *)t->host + (va & (PAGE - 1)), size);
	note_watch(c, va, size, false);
	if ((va & (PAGE - 1)) + size > PAGE)
		return ld_crossing(c, va, size, idx);
	uint8_t *p = mmu_fill(c, va, size, MMU_READ, idx, NULL, &pa);
	return p ? ld_n(p, size) : phys_ld(c, pa, size);
}

void mmu_st(struct cpu *c, uint64_t va, int size, uint64_t v, enum mmu_idx idx)
{
	const struct tlb_entry *t = slot_of(c->tlb[idx].w, va);
	uint64_t pa;
	bool code;

	if (hits(t, va, size)) {
		st_n((uint8_t *)t->host + (va & (PAGE - 1)), size, v);
		return;
	}
	note_watch(c, va, size, true);
	if ((va & (PAGE - 1)) + size > PAGE) {
		st_crossing(c, va, size, v, idx);
		return;
	}
	uint8_t *p = mmu_fill(c, va, size, MMU_WRITE, idx, &code, &pa);
	if (!p) {
		phys_st(c, pa, size, v);
		return;
	}
	st_n(p, size, v);
	if (code && c->code_written)
		c->code_written(c, pa, size);
}

static void copy(uint8_t *to, const uint8_t *from, uint64_t n)
{
	__asm__ volatile("rep movsb" : "+D"(to), "+S"(from), "+c"(n) :: "memory");
}

/* n bytes inside one page, whose translation is known to succeed. */
static void ld_piece(struct cpu *c, uint64_t va, uint8_t *buf, int n, enum mmu_idx idx)
{
	uint64_t pa;
	uint8_t *p = mmu_fill(c, va, n, MMU_READ, idx, NULL, &pa);

	if (p) {
		copy(buf, p, n);
		return;
	}
	for (int i = 0, step; i < n; i += step) {
		step = ((pa + i) & 3) == 0 && n - i >= 4 ? 4 : 1;
		st_n(buf + i, step, phys_ld(c, pa + i, step));
	}
}

static void st_piece(struct cpu *c, uint64_t va, const uint8_t *buf, int n, enum mmu_idx idx)
{
	uint64_t pa;
	bool code;
	uint8_t *p = mmu_fill(c, va, n, MMU_WRITE, idx, &code, &pa);

	if (p) {
		copy(p, buf, n);
		if (code && c->code_written)
			c->code_written(c, pa, n);
		return;
	}
	for (int i = 0, step; i < n; i += step) {
		step = ((pa + i) & 3) == 0 && n - i >= 4 ? 4 : 1;
		phys_st(c, pa + i, step, ld_n(buf + i, step));
	}
}

static int first_piece(uint64_t va, int n)
{
	int room = (int)(PAGE - (va & (PAGE - 1)));
	return n < room ? n : room;
}

void mmu_ld_buf(struct cpu *c, uint64_t va, void *buf, int n, enum mmu_idx idx)
{
	int n1 = first_piece(va, n);

	if (n <= 0)
		return;
	note_watch(c, va, n, false);
	if (n > n1)
		mmu_check(c, va, n, MMU_READ, idx);
	ld_piece(c, va, buf, n1, idx);
	if (n > n1)
		ld_piece(c, va + n1, (uint8_t *)buf + n1, n - n1, idx);
}

void mmu_st_buf(struct cpu *c, uint64_t va, const void *buf, int n, enum mmu_idx idx)
{
	int n1 = first_piece(va, n);

	if (n <= 0)
		return;
	note_watch(c, va, n, true);
	if (n > n1)
		mmu_check(c, va, n, MMU_WRITE, idx);
	st_piece(c, va, buf, n1, idx);
	if (n > n1)
		st_piece(c, va + n1, (const uint8_t *)buf + n1, n - n1, idx);
}

void mmu_check(struct cpu *c, uint64_t va, int n, enum mmu_access how, enum mmu_idx idx)
{
	int n1 = first_piece(va, n);
	const struct tlb_entry *table = how & MMU_WRITE ? c->tlb[idx].w : c->tlb[idx].r;

	if (!hits(slot_of(table, va), va, n1))
		fill(c, va, how, idx);
	if (n > n1 && !hits(slot_of(table, va + n1), va + n1, 1))
		fill(c, va + n1, how, idx);
}

void mmu_update_watch(struct cpu *c)
{
	struct mmu *m = c->mmu;
	int n = 0;

	for (int i = 0; i < 4; i++)
		if (c->dr[7] >> 2 * i & 3 && c->dr[7] >> (16 + 4 * i) & 1)
			m->watch[n++] = c->dr[i] & ~(PAGE - 1);
	m->nwatch = n;
	for (int i = 0; i < n; i++)
		for (int idx = 0; idx < NMMU; idx++) {
			unsigned s = TLB_OFF(m->watch[i]) >> 4;
			c->tlb[idx].r[s].tag = TLB_EMPTY(s);
			c->tlb[idx].w[s].tag = TLB_EMPTY(s);
		}
}

/* ---- forgetting ---- */

static void clear_all_slots(struct cpu *c)
{
	struct mmu *m = c->mmu;

	for (int idx = 0; idx < NMMU; idx++) {
		for (unsigned s = 0; s < TLB_SIZE; s++)
			c->tlb[idx].r[s].tag = TLB_EMPTY(s);
		zero64(m->logged[idx], ARRAY_LEN(m->logged[idx]));
		m->nlog[idx] = 0;
	}
	drop_writes(c);
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
	configure(c);
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
	if ((e = l2_find_asid(m, va, m->asid)))
		e->key = 0;
	if ((e = l2_find_asid(m, va, m->global_asid)))
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
	struct l2_entry *e = l2_find_asid(m, va, m->pcid[pcid].asid);
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
