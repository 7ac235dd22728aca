/*
 * Complete accesses by linear address: page crossings, MMIO, code pages, and
 * the breakpoints they meet (contract in cpu/mmu.h).
 * Source: Intel SDM vol. 3A 4.6, vol. 3B 18.2.
 */
#include "cpu/seen.h"
#include "cpu/tlb.h"

static bool hits(const struct tlb_entry *t, uint64_t va, int n)
{
	return (va ^ t->tag) <= PAGE - n;
}

/* Breakpoints that this access meets go to DR6 when the instruction is done (SDM vol. 3B, 18.2). */
static void note_watch(struct cpu *c, uint64_t va, int n, bool write)
{
	if (c->dbg.n_watches)
		debug_access(c, va, (uint64_t)n, write);
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

/* A part of an access that lies in one page. */
struct piece {
	uint8_t *host;		/* plain memory, without code if it is to be written; or NULL: */
	uint64_t pa;
};

static struct piece piece_at(struct cpu *c, uint64_t va, int n, enum mmu_access how, enum mmu_idx idx)
{
	const struct tlb_entry *t = tlb_entry(&c->tlb[idx], va, how & MMU_WRITE);
	struct piece p = { .host = NULL };
	bool code = false;

	if (hits(t, va, n)) {
		p.host = (uint8_t *)t->host + (va & (PAGE - 1));
		return p;
	}
	p.host = mmu_fill(c, va, n, how, idx, &code, &p.pa);
	if (code)
		p.host = NULL;
	return p;
}

static uint64_t ld_crossing(struct cpu *c, uint64_t va, int size, enum mmu_idx idx)
{
	int n1 = (int)(PAGE - (va & (PAGE - 1)));
	struct piece p = piece_at(c, va, n1, MMU_READ, idx), q = piece_at(c, va + n1, size - n1, MMU_READ, idx);
	uint64_t v = 0;

	for (int i = 0; i < size; i++) {
		const struct piece *x = i < n1 ? &p : &q;
		int at = i < n1 ? i : i - n1;

		v |= (x->host ? x->host[at] : phys_ld(c, x->pa + at, 1)) << 8 * i;
	}
	return v;
}

static void st_crossing(struct cpu *c, uint64_t va, int size, uint64_t v, enum mmu_idx idx)
{
	int n1 = (int)(PAGE - (va & (PAGE - 1)));
	struct piece p = piece_at(c, va, n1, MMU_WRITE, idx), q = piece_at(c, va + n1, size - n1, MMU_WRITE, idx);

	for (int i = 0; i < size; i++) {
		const struct piece *x = i < n1 ? &p : &q;
		int at = i < n1 ? i : i - n1;

		if (x->host)
			x->host[at] = v >> 8 * i & 0xff;
		else
			phys_st(c, x->pa + at, 1, v >> 8 * i & 0xff);
	}
}

uint64_t mmu_ld(struct cpu *c, uint64_t va, int size, enum mmu_idx idx)
{
	const struct tlb_entry *t = tlb_entry(&c->tlb[idx], va, false);
	uint64_t pa;

	cpu_see(c, va, size, MMU_READ);
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
	const struct tlb_entry *t = tlb_entry(&c->tlb[idx], va, true);
	uint64_t pa;
	bool code;

	cpu_see(c, va, size, MMU_WRITE);
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
	cpu_see(c, va, n, MMU_READ);
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
	cpu_see(c, va, n, MMU_WRITE);
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
	struct tlb *t = &c->tlb[idx];

	if (!hits(tlb_entry(t, va, how & MMU_WRITE), va, n1))
		mmu_enter(c, va, how, idx);
	if (n > n1 && !hits(tlb_entry(t, va + n1, how & MMU_WRITE), va + n1, 1))
		mmu_enter(c, va + n1, how, idx);
}
