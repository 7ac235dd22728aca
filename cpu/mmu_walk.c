/*
 * Page walks and the access rules: what the tables and control registers say.
 * Nothing is remembered here but where page tables stand (struct pde_entry).
 *
 * Not modelled: shadow stacks, memory types.
 * Source: Intel SDM vol. 3A chapter 4; AMD APM vol. 2 chapter 5.
 */
#include "cpu/cpuid.h"
#include "cpu/pte.h"
#include "cpu/tlb.h"

#define PF_P		0x01u
#define PF_W		0x02u
#define PF_U		0x04u
#define PF_RSVD		0x08u
#define PF_ID		0x10u
#define PF_PK		0x20u

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
	zero64(m->rsvd, ARRAY_LEN(m->rsvd));
	zero64(m->rsvd_large, ARRAY_LEN(m->rsvd_large));
	/* Bits 20..13 are address bits 39..32, as far as there are such. */
	int high = !m->pse36 ? 32 : c->phys_bits > 40 ? 40 : (int)c->phys_bits;
	m->rsvd_large[1] = 0x3fe000u & ~((1ull << (13 + (high > 32 ? high - 32 : 0))) - 1);
}

static void configure_wide(struct cpu *c, struct mmu *m)
{
	bool lma = c->efer & EFER_LMA;
	uint64_t high = 0x000ffffffffff000ull & ~phys_mask(c);
	uint64_t amd = cpuid_is_intel(c) ? 0 : PTE_G;		/* APM vol. 2, figures 5-18 to 5-20 */

	if (!lma)
		high |= 0x7ff0000000000000ull;
	if (!(c->efer & EFER_NXE))
		high |= PTE_NX;
	m->levels = !lma ? 3 : c->cr4 & CR4_LA57 ? 5 : 4;
	m->index_bits = 9;
	m->entry_size = 8;
	m->table_mask = 0x000ffffffffff000ull & phys_mask(c);
	m->large_ok = 1u << 1 | (lma && cpu_has(c, CPUID_PDPE1GB) ? 1u << 2 : 0);
	m->pse36 = false;
	for (unsigned i = 0; i < ARRAY_LEN(m->rsvd); i++) {
		m->rsvd[i] = high;
		m->rsvd_large[i] = high;
	}
	m->rsvd_large[1] |= 0x1fe000u;
	m->rsvd_large[2] |= 0x3fffe000u;
	m->rsvd[2] |= PTE_PS;
	m->rsvd[3] |= PTE_PS | amd;
	m->rsvd[4] |= PTE_PS | amd;
}

void mmu_configure(struct cpu *c)
{
	struct mmu *m = c->mmu;
	bool lma = c->efer & EFER_LMA;

	m->keyed[0] = lma && c->cr4 & CR4_PKS;
	m->keyed[1] = lma && c->cr4 & CR4_PKE;
	m->key_rights[0] = m->keyed[0] ? (uint32_t)c->pkrs : 0;
	m->key_rights[1] = m->keyed[1] ? c->pkru : 0;
	m->log_global = c->svm.guest || c->efer & EFER_SVME;
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
	if (m->keyed[(w->perm & TR_U) != 0])
		w->attr |= (unsigned)(e >> PTE_KEY & 15) << TR_KEY;
}

/* The slot says bits 27..21 of the address; no generation gets beyond 35 bits (new_pde_gen). */
static uint64_t pde_key(const struct mmu *m, uint64_t va)
{
	return (va << 7 >> 35) | m->pde_gen << 29;
}

/* Address of a table entry for the processor: guest-physical under nested paging. */
static bool entry_address(struct cpu *c, struct walk *w, uint64_t *at)
{
	if (!c->mmu->nested)
		return true;
	if (w->quiet ? mmu_nested_probe(c, at) : mmu_nested(c, at, MMU_WRITE, true, NULL))
		return true;
	w->fault = PF_NESTED;
	return false;
}

static uint64_t pdpte_reserved(const struct cpu *c)
{
	return 0xfff00000000001e6ull | (0x000ffffffffff000ull & ~phys_mask(c));
}

/* Nested paging reads the PAE pointers at each walk (APM vol. 2, 15.25.10). */
static bool nested_pdpte(struct cpu *c, struct walk *w, uint64_t *pdpte)
{
	uint64_t at = (c->cr3 & 0xffffffe0u) + 8 * (w->va >> 30 & 3);

	if (!entry_address(c, w, &at))
		return false;
	*pdpte = phys_ld(c, at, 8);
	if (!(*pdpte & PTE_P) || !(*pdpte & pdpte_reserved(c)))
		return true;
	w->fault = PF_P | PF_RSVD;
	return false;
}

/* Start at the top, at a PAE pointer, or where the paging-structure cache knows. Level, or -1: fault. */
static int walk_start(struct cpu *c, struct walk *w)
{
	const struct mmu *m = c->mmu;
	const struct pde_entry *p = &m->pde[w->va >> 21 & (PDE_SLOTS - 1)];

	if (p->key == pde_key(m, w->va)) {
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
	if (m->nested && !nested_pdpte(c, w, &pdpte))
		return -1;
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
		uint64_t e;
		bool large;

		if (!entry_address(c, w, &at))
			return false;
		e = phys_ld(c, at, m->entry_size);
		large = level > 0 && e & PTE_PS && m->large_ok >> level & 1;

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
	p->key = pde_key(m, w->va);
	p->table = w->table;
	p->perm = perm;
}

static uint32_t fault_code(const struct cpu *c, uint32_t base, enum mmu_access how, enum mmu_idx idx)
{
	if (base & PF_NESTED)
		return PF_NESTED;
	bool id = c->cr4 & CR4_SMEP || (c->cr4 & CR4_PAE && c->efer & EFER_NXE);

	return base | (how & MMU_WRITE ? PF_W : 0) | (idx == MMU_USER ? PF_U : 0) |
	       (how & MMU_FETCH && id ? PF_ID : 0);
}

/*
 * The page itself under nested paging. What the nested tables forbid is hidden behind
 * a clear TR_D or a set TR_NX, so that such an access walks again and faults there.
 */
static bool nested_page(struct cpu *c, struct walk *w, enum mmu_access how, uint32_t *pf_error)
{
	unsigned attr;
	uint64_t pa = w->pa | (w->va & (PAGE - 1));

	if (!mmu_nested(c, &pa, how, false, &attr)) {
		*pf_error = PF_NESTED;
		return false;
	}
	w->pa = pa & ~(PAGE - 1);
	if (!(attr & TR_W) || !(attr & TR_D))
		w->attr &= ~TR_D;
	w->attr |= attr & TR_NX;
	return true;
}

bool mmu_walk(struct cpu *c, struct walk *w, enum mmu_access how, enum mmu_idx idx, uint32_t *pf_error)
{
	if (!c->mmu->levels) {
		w->pa = w->va & ~(PAGE - 1);
		w->attr = TR_W | TR_U | TR_D;
		return !c->mmu->nested || nested_page(c, w, how, pf_error);
	}
	do {
		if (!walk_tables(c, w)) {
			*pf_error = fault_code(c, w->fault, how, idx);
			return false;
		}
		if (!mmu_allowed(c, w->attr, how, idx)) {
			bool key = !(how & MMU_FETCH) && (w->attr & TR_U || idx != MMU_USER) &&
				   mmu_key_refuses(c, w->attr, how, idx);
			*pf_error = fault_code(c, PF_P | (key ? PF_PK : 0), how, idx);
			return false;
		}
	} while (!set_used(c, w, how & MMU_WRITE));
	if (!(c->cr4 & CR4_PGE))
		w->attr &= ~TR_G;
	remember_table(c, w);
	return !c->mmu->nested || nested_page(c, w, how, pf_error);
}

bool mmu_translate(struct cpu *c, uint64_t va, enum mmu_access how, enum mmu_idx idx,
		   uint64_t *pa, uint32_t *pf_error)
{
	struct walk w = { .va = va };

	if (!mmu_walk(c, &w, how, idx, pf_error))
		return false;
	*pa = w.pa | (va & (PAGE - 1));
	return true;
}

bool mmu_probe(struct cpu *c, uint64_t va, uint64_t *pa)
{
	struct walk w = { .va = va, .pa = va & ~(PAGE - 1), .quiet = true };

	if (c->mmu->levels && !walk_tables(c, &w))
		return false;
	*pa = w.pa | (va & (PAGE - 1));
	return !c->mmu->nested || mmu_nested_probe(c, pa);
}

bool mmu_load_pdptes(struct cpu *c)
{
	uint64_t v[4], rsvd = pdpte_reserved(c);

	if (c->mmu->nested)
		return true;
	for (int i = 0; i < 4; i++) {
		v[i] = phys_ld(c, (c->cr3 & 0xffffffe0u) + 8 * i, 8);
		if (v[i] & PTE_P && v[i] & rsvd)
			return false;
	}
	for (int i = 0; i < 4; i++)
		c->pdpte[i] = v[i];
	return true;
}
