/*
 * Walking a guest's page tables. A guest may build tables that lead to each other in
 * any number of ways, so the number of tables read is bounded; they are read from RAM
 * only.
 *
 * Source: Intel SDM vol. 3A, 4.3 to 4.5.
 */
#include "ui/pagewalk.h"

#include "base/bits.h"
#include "cpu/phys.h"
#include "cpu/pte.h"

#define MAX_TABLES 65536u

struct walk {
	struct cpu *c;
	bool (*fn)(void *opaque, const struct page_run *r);
	void *opaque;
	unsigned tables;
	int entry_size, index_bits, va_bits;
	bool stopped;
};

bool pagewalk_on(const struct cpu *c)
{
	return c->cr0 & CR0_PG;
}

static uint64_t address_of(uint64_t entry, int shift, int entry_size)
{
	uint64_t a = entry & (entry_size == 8 ? 0x000ffffffffff000ull : 0xfffff000u);

	if (shift <= 12)
		return a;
	/* PSE-36: bits 13 to 20 are address bits 32 to 39. */
	return entry_size == 8 ? a & ~(BIT(shift) - 1) : (a & 0xffc00000u) | bits(entry, 20, 13) << 32;
}

static bool is_leaf(const struct walk *w, uint64_t entry, int level, int shift)
{
	if (level == 0)
		return true;
	if (!(entry & PTE_PS) || shift > 30)
		return false;
	return w->entry_size == 8 ? !(shift == 30 && w->va_bits == 32) : (w->c->cr4 & CR4_PSE) != 0;
}

static bool table(struct walk *w, uint64_t pa, int level, const struct page_run *above)
{
	int shift = 12 + level * w->index_bits;
	unsigned n = level && w->va_bits == 32 && shift == 30 ? 4 : 1u << w->index_bits;
	struct phys_page page;

	if (++w->tables > MAX_TABLES)
		return false;
	phys_lookup(w->c->phys, pa & ~0xfffull, &page);
	for (unsigned i = 0; page.rhost && i < n && !w->stopped; i++) {
		const uint8_t *at = page.rhost + (pa & 0xfff) + i * (unsigned)w->entry_size;
		uint64_t entry = ld_n(at, w->entry_size);
		bool pdpte = w->va_bits == 32 && shift == 30;	/* has no rights of its own */
		struct page_run r = *above;

		if (!(entry & PTE_P))
			continue;
		r.entry = entry;
		r.va |= (uint64_t)i << shift;
		r.user &= pdpte || entry & PTE_U;
		r.write &= pdpte || entry & PTE_W;
		r.nx |= !pdpte && w->entry_size == 8 && entry & PTE_NX && w->c->efer & EFER_NXE;
		if (!is_leaf(w, entry, level, shift)) {
			if (!table(w, address_of(entry, 12, w->entry_size), level - 1, &r))
				return false;
			continue;
		}
		r.pa = address_of(entry, shift, w->entry_size);
		r.size = BIT(shift);
		if (w->va_bits > 32)
			r.va = (uint64_t)sext(r.va, w->va_bits);
		w->stopped = !w->fn(w->opaque, &r);
	}
	return true;
}

bool pagewalk(struct cpu *c, bool (*fn)(void *opaque, const struct page_run *r), void *opaque)
{
	struct walk w = { .c = c, .fn = fn, .opaque = opaque, .entry_size = 8, .index_bits = 9 };
	struct page_run all = { .user = true, .write = true };

	if (!pagewalk_on(c))
		return false;
	if (c->efer & EFER_LMA) {
		bool five = c->cr4 & CR4_LA57;
		w.va_bits = five ? 57 : 48;
		return table(&w, c->cr3 & 0x000ffffffffff000ull, five ? 4 : 3, &all);
	}
	w.va_bits = 32;
	if (c->cr4 & CR4_PAE)
		return table(&w, c->cr3 & 0xffffffe0u, 2, &all);
	w.entry_size = 4;
	w.index_bits = 10;
	return table(&w, c->cr3 & 0xfffff000u, 1, &all);
}
