/*
 * The part of the guest-physical address space that may run with guest vector
 * state live: look-ups, and loads and stores of page walks and descriptors.
 */
#include "cpu/phys_view.h"

static const struct span *find(const struct view *v, uint64_t pa)
{
	unsigned lo = 0, hi = v->n;

	while (lo < hi) {
		unsigned mid = (lo + hi) / 2;
		if (pa >= v->s[mid].end)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo < v->n && pa >= v->s[lo].pa ? &v->s[lo] : NULL;
}

const struct span *phys_span(struct phys *p, uint64_t pa)
{
	struct view *v = atomic_load_explicit(&p->view, memory_order_acquire);
	_Atomic uint32_t *hint = &v->hint[pa >> 16 & (NHINTS - 1)];
	uint32_t i = atomic_load_explicit(hint, memory_order_relaxed);

	if (i < v->n && pa >= v->s[i].pa && pa < v->s[i].end)
		return &v->s[i];
	const struct span *s = find(v, pa);
	if (s)
		atomic_store_explicit(hint, (uint32_t)(s - v->s), memory_order_relaxed);
	return s;
}

struct cpu *phys_cpu(const struct phys *p, unsigned n)
{
	return n < atomic_load_explicit(&p->ncpus, memory_order_acquire) ? p->cpus[n] : NULL;
}

void phys_lookup(struct phys *p, uint64_t pa, struct phys_page *out)
{
	uint64_t page = phys_gate(p, pa) & ~(PAGE - 1);
	const struct span *s = phys_span(p, page);

	out->rhost = out->whost = NULL;
	out->ram = out->wram = NULL;
	out->ram_off = 0;
	if (!s || s->end - page < PAGE)
		return;
	uint64_t off = s->r.off + (page - s->pa);
	out->ram_off = off;
	if (s->r.rram) {
		out->ram = s->r.rram;
		out->rhost = s->r.rram->host + off;
	}
	if (s->r.wram && !s->r.nowrite) {
		out->wram = s->r.wram;
		out->whost = s->r.wram->host + off;
	}
}

bool phys_alone(struct phys *p, uint64_t pa)
{
	const struct span *s = phys_span(p, phys_gate(p, pa));

	return s && !s->r.wram && s->r.ops && s->r.ops->alone;
}

bool phys_quick(struct phys *p, uint64_t pa, struct phys_dev *out)
{
	uint64_t page = phys_gate(p, pa) & ~(PAGE - 1);
	const struct span *s = phys_span(p, page);

	if (!s || s->end - page < PAGE || s->r.rram || s->r.wram || s->r.nowrite || !s->r.ops || !s->r.ops->read_quick)
		return false;
	*out = (struct phys_dev){ s->r.ops, s->r.opaque, s->dev_off + (page - s->pa), span_max_size(s) };
	return true;
}

bool phys_like_memory(struct phys *p, uint64_t pa, uint64_t n)
{
	const struct span *s;

	pa = phys_gate(p, pa);
	s = phys_span(p, pa);
	return s && s->end - pa >= n && !s->r.rram && !s->r.wram && s->r.ops && s->r.ops->dma;
}

/* Count and bit change together, or a bit could get lost between two vCPUs. */
void phys_set_code(struct phys *p, struct ram *r, uint64_t ram_off)
{
	phys_hold(p);
	if (!r->holders[ram_off / PAGE]++)
		atomic_fetch_or(page_flags(r, ram_off), PAGE_CODE);
	phys_let(p);
}

void phys_clear_code(struct phys *p, struct ram *r, uint64_t ram_off)
{
	phys_hold(p);
	if (!--r->holders[ram_off / PAGE])
		atomic_fetch_and(page_flags(r, ram_off), (uint8_t)~PAGE_CODE);
	phys_let(p);
}

static uint64_t heavy_read(uint64_t p, uint64_t pa, uint64_t size, uint64_t unused)
{
	(void)unused;
	return phys_read((struct phys *)p, pa, (int)size);
}

static uint64_t heavy_write(uint64_t p, uint64_t pa, uint64_t size, uint64_t v)
{
	phys_write((struct phys *)p, pa, (int)size, v);
	return 0;
}

uint64_t phys_ld(struct cpu *c, uint64_t pa, int size)
{
	struct phys_page pg;
	uint64_t at = pa & (PAGE - 1);

	phys_lookup(c->phys, pa, &pg);
	if (pg.rhost && at + size <= PAGE)
		return ld_n(pg.rhost + at, size);
	return cpu_call_out(c, heavy_read, (uint64_t)c->phys, pa, size, 0);
}

void phys_st(struct cpu *c, uint64_t pa, int size, uint64_t v)
{
	struct phys_page pg;
	uint64_t at = pa & (PAGE - 1);

	phys_lookup(c->phys, pa, &pg);
	if (!pg.whost || at + size > PAGE) {
		cpu_call_out(c, heavy_write, (uint64_t)c->phys, pa, size, v);
		return;
	}
	st_n(pg.whost + at, size, v);
	if (mark_written(pg.wram, pg.ram_off) && c->code_written)
		c->code_written(c, pa, size);
}

bool phys_cas(struct cpu *c, uint64_t pa, int size, uint64_t old, uint64_t new_)
{
	struct phys_page pg;
	bool done;

	phys_lookup(c->phys, pa, &pg);
	if (!pg.whost)
		return false;
	uint8_t *at = pg.whost + (pa & (PAGE - 1));
	if (size == 8) {
		uint64_t expect = old;
		done = __atomic_compare_exchange_n((uint64_t *)at, &expect, new_, false,
						   __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
	} else {
		uint32_t expect = (uint32_t)old;
		done = __atomic_compare_exchange_n((uint32_t *)at, &expect, (uint32_t)new_, false,
						   __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
	}
	if (done && mark_written(pg.wram, pg.ram_off) && c->code_written)
		c->code_written(c, pa, size);
	return done;
}
