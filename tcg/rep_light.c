/*
 * Repeated string instructions: REP movs, stos, lods; REPE/REPNE cmps, scas; ins and outs.
 *
 * Elements are done in runs that lie in one page on each side (movs and stos: or in
 * pages that the host has side by side), inside the segment and before the offset
 * wraps; so are those of movs and stos where a device is memory in all but name (a
 * VGA's planes). What has no such run (page crossing, other MMIO, watched memory, odd
 * segments) is done one element at a time by cpu/mmu.c. The registers are moved behind every run,
 * so a fault in the next one finds them exact.
 *
 * A helper returns 1 when its instruction is finished. It returns 0, to be called
 * again, if a request is pending, if it has written to translated code, if an element
 * met a data breakpoint, or behind every element if EFLAGS.TF is set.
 *
 * The runs of ins and outs are the board's, which knows what stands at the port; they
 * end where it asks for something, so that an interrupt comes where it should.
 *
 * Source: SDM vol. 2, REP; vol. 1 7.3.9.3 (fast strings). Light.
 */
#include "cpu/access.h"
#include "cpu/phys.h"
#include "cpu/seen.h"
#include "cpu/seg.h"
#include "cpu/system.h"
#include "tcg/helper.h"
#include "tcg/rep.h"

#define H(name) uint64_t h_##name(struct cpu *c, uint64_t a, uint64_t b, uint64_t imm)
#define UNUSED (void)a, (void)b

#define PAGE	4096ull
#define MAX_RUN	(16 * PAGE)	/* bytes between two looks at requests */

/* ---- counters and pointers of the instruction's address size ---- */

static uint64_t reg_get(const struct cpu *c, int reg, int adsize)
{
	return c->regs[reg] & size_mask(adsize);
}

static void reg_put(struct cpu *c, int reg, int adsize, uint64_t v)
{
	if (adsize == 2)
		c->regs[reg] = (c->regs[reg] & ~0xffffull) | (v & 0xffff);
	else
		c->regs[reg] = v & size_mask(adsize);
}

/* Move a pointer by k elements and, with RCX, the count down by k. */
static void advance(struct cpu *c, const struct rep *r, int reg, uint64_t k)
{
	uint64_t bytes = k * r->size;

	reg_put(c, reg, r->adsize, c->regs[reg] + (r->down ? 0 - bytes : bytes));
}

static void count_down(struct cpu *c, const struct rep *r, uint64_t k)
{
	reg_put(c, RCX, r->adsize, c->regs[RCX] - k);
}

/* Between runs: 1 finished, 0 call again, -1 go on. */
static int verdict(struct cpu *c, const struct rep *r, bool code)
{
	if (!reg_get(c, RCX, r->adsize))
		return !code;
	if (!code && !c->request && !c->dr6_pending && !(c->mode & MODE_TF))
		return -1;
	cpu_note_unfinished(c);
	return 0;
}

/* ---- runs ---- */

/* One side of a string instruction. */
struct side {
	int reg, seg;
	bool write;
	uint64_t va;		/* linear address of the run's lowest byte */
	uint8_t *host;		/* the same in host memory */
	uint64_t pa;		/* if code is set, its physical address */
	bool code;		/* the page holds translated code */
};

/* May bytes lo .. hi of the segment be touched without another look? */
static bool inside(const struct cpu *c, const struct side *s, uint64_t hi)
{
	const struct seg *g = &c->segs[s->seg];

	return hi < (s->write ? g->wlimit : g->rlimit);
}

/*
 * At most n elements from the pointer on that form a run; 0: there is none.
 * Sets s->va.
 */
static uint64_t run_length(const struct cpu *c, const struct rep *r, struct side *s, uint64_t n)
{
	uint64_t off = reg_get(c, s->reg, r->adsize), size = r->size, in_page, k, first;
	int shift = __builtin_ctzll(size);	/* a division would cost more than all the rest */
	bool is64 = cpu_is64(c);

	if (c->mode & MODE_TF)		/* traps behind every element */
		n = 1;
	s->va = off + (is64 && s->seg < FS ? 0 : c->segs[s->seg].base);
	if (!is64)
		s->va = (uint32_t)s->va;
	else if (!mmu_canonical(c, s->va))
		return 0;
	in_page = s->va & 4095;
	if (in_page + size > 4096 || (c->mode & MODE_AC && s->va & (size - 1)))
		return 0;
	if (r->down) {
		k = (in_page >> shift) + 1;
		if (k > (off >> shift) + 1)
			k = (off >> shift) + 1;
	} else {
		k = (4096 - in_page) >> shift;
		if (r->adsize < 8 && k > (size_mask(r->adsize) - off + 1) >> shift)
			k = (size_mask(r->adsize) - off + 1) >> shift;
	}
	if (k > n)
		k = n;
	if (!is64 && k && !inside(c, s, off + (r->down ? size : k * size) - 1))
		return 0;
	first = r->down ? (k - 1) * size : 0;
	s->va -= first;
	return k;
}

/*
 * The usual case: 64-bit code goes up, and the inline table knows the page. At most *k elements, host
 * memory for them included. Whether their address is canonical, the entry says. False: look closer.
 */
static inline bool usual(struct cpu *c, const struct rep *r, struct side *s, uint64_t *k)
{
	uint64_t in_page;

	if (r->adsize != 8 || r->down || c->mode & (MODE_TF | MODE_AC) || s->seg >= FS)
		return false;
	s->va = c->regs[s->reg];
	s->code = false;
	in_page = (4096 - (s->va & 4095)) >> __builtin_ctz(r->size);
	if (in_page < *k)
		*k = in_page;
	s->host = s->write ? acc_wptr(c, s->va, 1, cpu_mmu_idx(c)) : (uint8_t *)(uintptr_t)acc_rptr(c, s->va, 1, cpu_mmu_idx(c));
	return *k && s->host;
}

/* Find host memory for k elements from s->va on; may raise. False: there is none. */
static bool find_host(struct cpu *c, const struct rep *r, struct side *s, uint64_t k)
{
	enum mmu_idx idx = cpu_mmu_idx(c);
	int n = (int)(k * r->size);

	s->code = false;
	s->host = s->write ? acc_wptr(c, s->va, n, idx) : (uint8_t *)(uintptr_t)acc_rptr(c, s->va, n, idx);
	if (!s->host && r->down)		/* a fault is that of the first element, the highest */
		mmu_check(c, s->va + (k - 1) * r->size, r->size, s->write ? MMU_WRITE : MMU_READ, idx);
	if (!s->host)
		s->host = mmu_fill(c, s->va, n, s->write ? MMU_WRITE : MMU_READ, idx, &s->code, &s->pa);
	return s->host;
}

static uint64_t element_va(struct cpu *c, const struct rep *r, const struct side *s, enum mmu_access how)
{
	return seg_check(c, s->seg, reg_get(c, s->reg, r->adsize), r->size, how);
}

static uint64_t load_one(struct cpu *c, const struct rep *r, const struct side *s)
{
	return mmu_ld(c, element_va(c, r, s, MMU_READ), r->size, cpu_mmu_idx(c));
}

static void store_one(struct cpu *c, const struct rep *r, const struct side *s, uint64_t v)
{
	mmu_st(c, element_va(c, r, s, MMU_WRITE), r->size, v, cpu_mmu_idx(c));
}

/* Behind a run that wrote k elements, the registers being up to date. */
static void tell_code(struct cpu *c, const struct rep *r, const struct side *s, uint64_t k)
{
	if (s->code && c->code_written)
		c->code_written(c, s->pa, (int)(k * r->size));
}

/* Behind k stored elements: as verdict(). */
static int stored(struct cpu *c, const struct rep *r, const struct side *d, uint64_t k)
{
	count_down(c, r, k);
	tell_code(c, r, d, k);
	return verdict(c, r, d->code);
}

/* Element i in the order of execution. */
static uint8_t *element(const struct rep *r, const struct side *s, uint64_t k, uint64_t i)
{
	return s->host + (r->down ? k - 1 - i : i) * r->size;
}

/* n elements are done of a run of k, on both sides or on one (b NULL): for who wants to know accesses. */
static void see_run(struct cpu *c, const struct rep *r, const struct side *a, const struct side *b, uint64_t k, uint64_t n)
{
	for (uint64_t i = 0; i < n; i++) {
		uint64_t at = (r->down ? k - 1 - i : i) * r->size;

		cpu_see(c, a->va + at, r->size, a->write ? MMU_WRITE : MMU_READ);
		if (b)
			cpu_see(c, b->va + at, r->size, b->write ? MMU_WRITE : MMU_READ);
		cpu_keep_seen(c);
	}
}

static inline void see(struct cpu *c, const struct rep *r, const struct side *a, const struct side *b, uint64_t k,
		       uint64_t n)
{
	if (__builtin_expect(c->seen != NULL, 0))
		see_run(c, r, a, b, k, n);
}

/* ---- devices that are memory in all but name ---- */

#define MAX_DEVICE_RUN	1024

/* May raise, with the fault of the first element. */
static bool device_or_host(struct cpu *c, const struct rep *r, struct side *s, uint64_t k)
{
	return find_host(c, r, s, k) || phys_like_memory(c->phys, s->pa, k * r->size);
}

/* A run upwards of at most n elements, on one side or on both (s NULL: on one), one of them such a device's; 0: none. */
static uint64_t device_run(struct cpu *c, const struct rep *r, struct side *s, struct side *d, uint64_t n)
{
	uint64_t k = n < MAX_DEVICE_RUN ? n : MAX_DEVICE_RUN;

	if (r->down || !cpu_unwatched(c))
		return 0;
	if (s)
		k = run_length(c, r, s, k);
	if (k)
		k = run_length(c, r, d, k);
	if (!k || (s && !device_or_host(c, r, s, k)) || !device_or_host(c, r, d, k))
		return 0;
	return d->host && (!s || s->host) ? 0 : k;
}

static uint64_t heavy_fill(uint64_t p, uint64_t pa, uint64_t pattern, uint64_t n)
{
	phys_fill((struct phys *)p, pa, pattern, n);
	return 0;
}

static uint64_t heavy_copy(uint64_t p, uint64_t x, uint64_t unused, uint64_t unused2)
{
	(void)unused, (void)unused2;
	phys_copy((struct phys *)p, (const struct phys_copy *)x);
	return 0;
}

static void device_fill(struct cpu *c, const struct rep *r, const struct side *d, uint64_t k)
{
	uint64_t pattern = c->regs[RAX] & size_mask(r->size);

	for (unsigned bits = 8u * r->size; bits < 64; bits *= 2)
		pattern |= pattern << bits;
	cpu_call_out(c, heavy_fill, (uint64_t)c->phys, d->pa, pattern, k * r->size);
}

static void device_copy(struct cpu *c, const struct rep *r, const struct side *d, const struct side *s, uint64_t k)
{
	struct phys_copy x = { .to = d->host, .from = s->host, .to_pa = d->pa, .from_pa = s->pa, .n = k, .size = r->size };

	cpu_call_out(c, heavy_copy, (uint64_t)c->phys, (uint64_t)&x, 0, 0);
}

/* ---- movs ---- */

static void copy_up(uint8_t *d, const uint8_t *s, uint64_t k, int size)
{
	switch (size) {
	case 1: __asm__ volatile("rep movsb" : "+D"(d), "+S"(s), "+c"(k) :: "memory"); break;
	case 2: __asm__ volatile("rep movsw" : "+D"(d), "+S"(s), "+c"(k) :: "memory"); break;
	case 4: __asm__ volatile("rep movsl" : "+D"(d), "+S"(s), "+c"(k) :: "memory"); break;
	default: __asm__ volatile("rep movsq" : "+D"(d), "+S"(s), "+c"(k) :: "memory"); break;
	}
}

static void copy(const struct rep *r, const struct side *d, const struct side *s, uint64_t k)
{
	if (!r->down) {
		copy_up(d->host, s->host, k, r->size);
		return;
	}
	for (uint64_t i = 0; i < k; i++)
		st_n(element(r, d, k, i), r->size, ld_n(element(r, s, k, i), r->size));
}

/* A run of at most n elements on one side, or on both, the registers of which go on together; 0: none. May raise. */
static uint64_t run_of_one(struct cpu *c, const struct rep *r, struct side *s, uint64_t n)
{
	uint64_t k = n;

	if (usual(c, r, s, &k))
		return k;
	k = run_length(c, r, s, n);
	return k && find_host(c, r, s, k) ? k : 0;
}

static uint64_t run_of_two(struct cpu *c, const struct rep *r, struct side *s, struct side *d, uint64_t n)
{
	uint64_t k = n;

	if (usual(c, r, s, &k) && usual(c, r, d, &k))
		return k;
	k = run_length(c, r, s, n);
	if (k)
		k = run_length(c, r, d, k);
	if (k)			/* the source's start depends on the common length */
		k = run_length(c, r, s, k);
	return k && find_host(c, r, s, k) && find_host(c, r, d, k) ? k : 0;
}

/*
 * k elements of a run are on one page: as many of n as are on the pages behind it, too, that the inline table knows and the
 * host has right behind it.
 */
static uint64_t with_adjacent(struct cpu *c, const struct rep *r, const struct side *s, uint64_t k, uint64_t n)
{
	uint64_t room = PAGE - (s->va & (PAGE - 1)), most;
	enum mmu_idx idx = cpu_mmu_idx(c);
	int shift = __builtin_ctz(r->size);

	if (k == n || r->adsize != 8 || r->down || c->mode & (MODE_TF | MODE_AC) || s->seg >= FS || s->code)
		return k;
	while (room >> shift < n && room < MAX_RUN &&
	       (s->write ? acc_wptr(c, s->va + room, 1, idx) : acc_rptr(c, s->va + room, 1, idx)) == s->host + room)
		room += PAGE;
	most = room >> shift;
	return most < n ? most : n;
}

H(rep_movs)
{
	struct rep r = rep_unpack(imm);
	struct side s = { .reg = RSI, .seg = r.seg }, d = { .reg = RDI, .seg = ES, .write = true };
	uint64_t n, k;
	int end;

	UNUSED;
	while ((n = reg_get(c, RCX, r.adsize))) {
		k = run_of_two(c, &r, &s, &d, n);
		if (k) {
			k = with_adjacent(c, &r, &d, k, with_adjacent(c, &r, &s, k, n));
			copy(&r, &d, &s, k);
			see(c, &r, &s, &d, k, k);
		} else if ((k = device_run(c, &r, &s, &d, n))) {
			device_copy(c, &r, &d, &s, k);
		} else {
			d.code = false;
			k = 1;
			store_one(c, &r, &d, load_one(c, &r, &s));
			cpu_keep_seen(c);
		}
		advance(c, &r, RSI, k);
		advance(c, &r, RDI, k);
		end = stored(c, &r, &d, k);
		if (end >= 0)
			return end;
	}
	return 1;
}

/* ---- stos ---- */

static void fill_up(uint8_t *d, uint64_t v, uint64_t k, int size)
{
	switch (size) {
	case 1: __asm__ volatile("rep stosb" : "+D"(d), "+c"(k) : "a"(v) : "memory"); break;
	case 2: __asm__ volatile("rep stosw" : "+D"(d), "+c"(k) : "a"(v) : "memory"); break;
	case 4: __asm__ volatile("rep stosl" : "+D"(d), "+c"(k) : "a"(v) : "memory"); break;
	default: __asm__ volatile("rep stosq" : "+D"(d), "+c"(k) : "a"(v) : "memory"); break;
	}
}

H(rep_stos)
{
	struct rep r = rep_unpack(imm);
	struct side d = { .reg = RDI, .seg = ES, .write = true };
	uint64_t n, k;
	int end;

	UNUSED;
	while ((n = reg_get(c, RCX, r.adsize))) {
		k = run_of_one(c, &r, &d, n);
		if (k) {
			k = with_adjacent(c, &r, &d, k, n);
			fill_up(d.host, c->regs[RAX], k, r.size);
			see(c, &r, &d, NULL, k, k);
		} else if ((k = device_run(c, &r, NULL, &d, n))) {
			device_fill(c, &r, &d, k);
		} else {
			d.code = false;
			k = 1;
			store_one(c, &r, &d, c->regs[RAX]);
			cpu_keep_seen(c);
		}
		advance(c, &r, RDI, k);
		end = stored(c, &r, &d, k);
		if (end >= 0)
			return end;
	}
	return 1;
}

/* ---- lods ---- */

H(rep_lods)
{
	struct rep r = rep_unpack(imm);
	struct side s = { .reg = RSI, .seg = r.seg };
	uint64_t n, k, v, keep = r.size < 4 ? ~size_mask(r.size) : 0;
	int end;

	UNUSED;
	while ((n = reg_get(c, RCX, r.adsize))) {
		k = run_of_one(c, &r, &s, n);
		if (k) {
			v = ld_n(element(&r, &s, k, k - 1), r.size);
			see(c, &r, &s, NULL, k, k);
		} else {
			k = 1;
			v = load_one(c, &r, &s);
			cpu_keep_seen(c);
		}
		c->regs[RAX] = (c->regs[RAX] & keep) | v;
		advance(c, &r, RSI, k);
		count_down(c, &r, k);
		end = verdict(c, &r, false);
		if (end >= 0)
			return end;
	}
	return 1;
}

/* ---- cmps, scas ---- */

/* How many bytes at the start of two runs are equal, in steps of eight. */
static uint64_t equal_bytes(const uint8_t *x, const uint8_t *y, uint64_t n)
{
	uint64_t i = 0;

	while (i + 8 <= n && ld64(x + i) == ld64(y + i))
		i += 8;
	return i;
}

/* How many bytes at the start of a run go on (see struct rep) when compared with x, in steps of eight. */
static uint64_t passed_bytes(const uint8_t *p, uint64_t n, uint64_t x, bool until_equal)
{
	const uint64_t ones = 0x0101010101010101;
	uint64_t i = 0, v;

	for (; i + 8 <= n; i += 8) {
		v = ld64(p + i) ^ x * ones;
		if (until_equal ? (v - ones) & ~v & ones << 7 : v)
			break;
	}
	return i;
}

/* Behind a comparison of x with y: 1 finished, 0 call again, -1 go on. */
static int compared(struct cpu *c, const struct rep *r, uint64_t x, uint64_t y)
{
	c->cc = cc_of_sub(x, y, r->size);
	if ((x == y) == r->until_equal)
		return 1;
	return verdict(c, r, false);
}

H(rep_cmps)
{
	struct rep r = rep_unpack(imm);
	struct side s = { .reg = RSI, .seg = r.seg }, d = { .reg = RDI, .seg = ES };
	uint64_t n, k, i, x, y;
	int end;

	UNUSED;
	while ((n = reg_get(c, RCX, r.adsize))) {
		k = run_of_two(c, &r, &s, &d, n);
		if (k) {
			i = 0;
			if (!r.down && !r.until_equal) {
				i = equal_bytes(s.host, d.host, k * r.size) / r.size;
				i -= i == k;
			}
			do {
				x = ld_n(element(&r, &s, k, i), r.size);
				y = ld_n(element(&r, &d, k, i), r.size);
			} while (++i < k && (x == y) != r.until_equal);
			see(c, &r, &s, &d, k, i);
			k = i;
		} else {
			k = 1;
			x = load_one(c, &r, &s);
			y = load_one(c, &r, &d);
			cpu_keep_seen(c);
		}
		advance(c, &r, RSI, k);
		advance(c, &r, RDI, k);
		count_down(c, &r, k);
		end = compared(c, &r, x, y);
		if (end >= 0)
			return end;
	}
	return 1;
}

H(rep_scas)
{
	struct rep r = rep_unpack(imm);
	struct side d = { .reg = RDI, .seg = ES };
	uint64_t n, k, i, x = c->regs[RAX] & size_mask(r.size), y;
	int end;

	UNUSED;
	while ((n = reg_get(c, RCX, r.adsize))) {
		k = run_of_one(c, &r, &d, n);
		if (k) {
			i = r.down || r.size > 1 ? 0 : passed_bytes(d.host, k, x, r.until_equal);
			i -= i == k;
			do {
				y = ld_n(element(&r, &d, k, i), r.size);
			} while (++i < k && (x == y) != r.until_equal);
			see(c, &r, &d, NULL, k, i);
			k = i;
		} else {
			k = 1;
			y = load_one(c, &r, &d);
			cpu_keep_seen(c);
		}
		advance(c, &r, RDI, k);
		count_down(c, &r, k);
		end = compared(c, &r, x, y);
		if (end >= 0)
			return end;
	}
	return 1;
}

/* ---- ins, outs ---- */

static uint16_t port_of(const struct cpu *c)
{
	return (uint16_t)c->regs[RDX];
}

static uint64_t elements_left(const struct cpu *c, const struct rep *r)
{
	return r->once ? 1 : reg_get(c, RCX, r->adsize);
}

/* Elements of a run through a port; 0: one alone, by cpu/mmu.c. */
static uint64_t port_run(struct cpu *c, const struct rep *r, struct side *s, uint64_t n)
{
	return r->once || r->down || (n = run_of_one(c, r, s, n)) == 0 || s->code ? 0 : n;
}

/* k elements are done. 0: finished, 1: call again, -1: go on. It stops for a request, and for who wants each element. */
static int moved(struct cpu *c, const struct rep *r, int reg, uint64_t k)
{
	advance(c, r, reg, k);
	if (!r->once)
		count_down(c, r, k);
	if (r->once || !reg_get(c, RCX, r->adsize))
		return 0;
	if (!atomic_load_explicit(&c->request, memory_order_relaxed) && !(c->mode & (MODE_TF | MODE_DEBUG)) &&
	    !c->dbg.step && !c->dbg.why)
		return -1;
	cpu_note_unfinished(c);
	return 1;
}

/* Memory is checked before the port is read: reading may have an effect that must not repeat. */
static void in_one(struct cpu *c, const struct rep *r, const struct side *d)
{
	uint64_t va = element_va(c, r, d, MMU_WRITE);
	enum mmu_idx idx = cpu_mmu_idx(c);

	mmu_check(c, va, r->size, MMU_WRITE, idx);
	mmu_st(c, va, r->size, cpu_in(c, port_of(c), r->size), idx);
	cpu_keep_seen(c);
}

H(ins)
{
	struct rep r = rep_unpack(imm);
	struct side d = { .reg = RDI, .seg = ES, .write = true };
	uint64_t n, k;
	int end;

	UNUSED;
	cpu_check_port(c, port_of(c), r.size);
	while ((n = elements_left(c, &r))) {
		k = port_run(c, &r, &d, n);
		if (k) {
			k = cpu_in_run(c, port_of(c), r.size, d.host, (unsigned)k);
			see(c, &r, &d, NULL, k, k);
		} else {
			k = 1;
			in_one(c, &r, &d);
		}
		end = moved(c, &r, RDI, k);
		if (end >= 0)
			return (uint64_t)end;
	}
	return 0;
}

H(outs)
{
	struct rep r = rep_unpack(imm);
	struct side s = { .reg = RSI, .seg = r.seg };
	uint64_t n, k;
	int end;

	UNUSED;
	cpu_check_port(c, port_of(c), r.size);
	while ((n = elements_left(c, &r))) {
		k = port_run(c, &r, &s, n);
		if (k) {
			k = cpu_out_run(c, port_of(c), r.size, s.host, (unsigned)k);
			see(c, &r, &s, NULL, k, k);
		} else {
			k = 1;
			cpu_out(c, port_of(c), r.size, (uint32_t)load_one(c, &r, &s));
			cpu_keep_seen(c);
		}
		end = moved(c, &r, RSI, k);
		if (end >= 0)
			return (uint64_t)end;
	}
	return 0;
}
