/*
 * Nested paging of SVM: guest-physical to system-physical addresses, by tables in
 * the format that the host's CR4 and EFER had at VMRUN.
 *
 * Every address a guest's walk meets comes through here, so the answers are kept in
 * a small table by guest-physical page (struct npt_entry), of the guest whose
 * translations are in use. As in mmu.c a denied access always walks again.
 *
 * All accesses are a user's to these tables. An access to a guest page table counts
 * as a write, whether or not the guest's walk sets a bit there.
 *
 * Not modelled: memory types, guest mode execute trap.
 * Source: AMD APM vol. 2, 15.25.
 */
#include "cpu/cpuid.h"
#include "cpu/pte.h"
#include "cpu/svm.h"
#include "cpu/tlb.h"

#define ADDRESS		0x000ffffffffff000ull

/* EXITINFO1: the low bits are those of a page fault's error code. */
#define NPF_P		0x01u
#define NPF_W		0x02u
#define NPF_U		0x04u
#define NPF_RSVD	0x08u
#define NPF_ID		0x10u
#define NPF_FINAL	BIT(32)
#define NPF_TABLE	BIT(33)

/* How the host's registers make the walk. */
struct shape {
	int levels, index_bits, entry_size;
	bool nx, fetch_bit;		/* NX exists; fetches are told apart in EXITINFO1 */
};

struct nwalk {
	uint64_t gpa;
	int n;
	uint64_t at[5], entry[5];
	int leaf;
	uint64_t pa;
	unsigned attr;			/* TR_W, TR_D, TR_NX */
	uint32_t fault;			/* NPF_P, NPF_RSVD */
};

static struct shape shape(const struct cpu *c)
{
	const struct svm_host *h = &c->svm.host;

	if (!(h->cr4 & CR4_PAE))
		return (struct shape){ 2, 10, 4, false, h->cr4 & CR4_SMEP };
	return (struct shape){ !(h->efer & EFER_LMA) ? 3 : h->cr4 & CR4_LA57 ? 5 : 4, 9, 8, h->efer & EFER_NXE,
			       h->efer & EFER_NXE || h->cr4 & CR4_SMEP };
}

static bool large_ok(const struct cpu *c, const struct shape *s, int level)
{
	if (s->levels == 2)
		return level == 1 && c->svm.host.cr4 & CR4_PSE;
	return level == 1 || (level == 2 && s->levels >= 4 && cpu_has(c, CPUID_PDPE1GB));
}

/* Bits that must be 0 in an entry. */
static uint64_t reserved(const struct cpu *c, const struct shape *s, int level, bool large)
{
	uint64_t phys = (1ull << c->phys_bits) - 1, r;

	if (s->levels == 2)
		return large && !cpu_has(c, CPUID_PSE36) ? 0x3fe000u : 0;
	r = (ADDRESS & ~phys) | (s->nx ? 0 : PTE_NX);
	if (s->levels == 3)
		r |= level == 2 ? 0xfff00000000001e6ull : 0x7ff0000000000000ull;
	if (level >= 3)
		r |= PTE_PS | PTE_G;
	else if (level == 2 && s->levels >= 4 && !large_ok(c, s, 2))
		r |= PTE_PS;
	return large ? r | (((1ull << (12 + s->index_bits * level)) - 1) & ~0x1fffull) : r;
}

static void leaf_found(const struct shape *s, struct nwalk *w, uint64_t e, int level)
{
	uint64_t in_page = (1ull << (12 + s->index_bits * level)) - 1;
	uint64_t base = e & ADDRESS & ~in_page;

	if (s->levels == 2) {
		base = e & 0xfffff000u & ~in_page;
		if (level == 1)
			base |= (e & 0x1fe000u) << 19;
	}
	w->leaf = level;
	w->pa = base | (w->gpa & in_page);
	w->attr |= e & PTE_D ? TR_D : 0;
}

/* The table of PAE pointers has no rights and no accessed bit. */
static bool is_pae_pointer(const struct shape *s, int level)
{
	return s->levels == 3 && level == 2;
}

/* False: w->fault. Reads only. */
static bool nested_tables(struct cpu *c, const struct shape *s, struct nwalk *w)
{
	uint64_t table = c->svm.ncr3 & (s->levels == 3 ? ~0x1full : ~0xfffull), perm = PTE_W | PTE_U;

	w->n = 0;
	w->fault = 0;
	w->attr = 0;
	if (s->levels < 4 && w->gpa >> 32)
		return false;
	for (int level = s->levels - 1; level >= 0; level--) {
		unsigned index = w->gpa >> (12 + s->index_bits * level) & ((1u << s->index_bits) - 1);
		uint64_t at = table + index * (unsigned)s->entry_size, e = phys_ld(c, at, s->entry_size);
		bool large = level && e & PTE_PS && large_ok(c, s, level);

		if (!(e & PTE_P))
			return false;
		if (e & reserved(c, s, level, large)) {
			w->fault = NPF_P | NPF_RSVD;
			return false;
		}
		table = s->levels == 2 ? e & 0xfffff000u : e & ADDRESS;
		if (is_pae_pointer(s, level))
			continue;
		perm &= e;
		w->attr |= e & PTE_NX ? TR_NX : 0;
		w->at[w->n] = at;
		w->entry[w->n++] = e;
		if (level == 0 || large) {
			leaf_found(s, w, e, level);
			break;
		}
	}
	w->attr |= perm & PTE_W ? TR_W : 0;
	w->fault = NPF_P;
	return perm & PTE_U;
}

static bool allowed(const struct nwalk *w, enum mmu_access how)
{
	return !(how & MMU_WRITE && !(w->attr & TR_W)) && !(how & MMU_FETCH && w->attr & TR_NX);
}

/* False: an entry changed meanwhile. */
static bool set_used(struct cpu *c, const struct shape *s, struct nwalk *w, bool dirty)
{
	for (int i = 0; i < w->n; i++) {
		uint64_t need = i == w->n - 1 && dirty ? PTE_A | PTE_D : PTE_A;

		if ((w->entry[i] & need) == need)
			continue;
		if (!phys_cas(c, w->at[i], s->entry_size, w->entry[i], w->entry[i] | need) &&
		    phys_ld(c, w->at[i], s->entry_size) != w->entry[i])
			return false;
	}
	w->attr |= dirty ? TR_D : 0;
	return true;
}

static bool nested_fault(struct cpu *c, const struct shape *s, const struct nwalk *w, enum mmu_access how, bool table)
{
	c->mmu->npf_gpa = w->gpa;
	c->mmu->npf_info = w->fault | NPF_U | (how & MMU_WRITE ? NPF_W : 0) |
			   (how & MMU_FETCH && s->fetch_bit ? NPF_ID : 0) | (table ? NPF_TABLE : NPF_FINAL);
	return false;
}

static struct npt_entry *slot(struct mmu *m, uint64_t gpa)
{
	return &m->npt[(gpa >> 12 ^ gpa >> 21) & (NPT_SLOTS - 1)];
}

static uint64_t key(const struct mmu *m, uint64_t gpa)
{
	return gpa >> 12 | m->npt_gen << 40;
}

bool mmu_nested(struct cpu *c, uint64_t *pa, enum mmu_access how, bool table, unsigned *attr)
{
	struct mmu *m = c->mmu;
	struct npt_entry *e = slot(m, *pa);
	struct nwalk w = { .gpa = *pa };
	struct shape s;

	if (e->key == key(m, *pa) && !(how & MMU_FETCH && e->pa & TR_NX) &&
	    (!(how & MMU_WRITE) || (e->pa & (TR_W | TR_D)) == (TR_W | TR_D))) {
		*pa = (e->pa & ADDRESS) | (*pa & (PAGE - 1));
		if (attr)
			*attr = (unsigned)e->pa & (TR_W | TR_D | TR_NX);
		return true;
	}
	s = shape(c);
	do {
		if (!nested_tables(c, &s, &w) || !allowed(&w, how))
			return nested_fault(c, &s, &w, how, table);
	} while (!set_used(c, &s, &w, how & MMU_WRITE));
	e->key = key(m, *pa);
	e->pa = (w.pa & ADDRESS) | w.attr;
	*pa = w.pa;
	if (attr)
		*attr = w.attr;
	return true;
}

bool mmu_nested_probe(struct cpu *c, uint64_t *pa)
{
	struct shape s = shape(c);
	struct nwalk w = { .gpa = *pa };

	if (!nested_tables(c, &s, &w))
		return false;
	*pa = w.pa;
	return true;
}
