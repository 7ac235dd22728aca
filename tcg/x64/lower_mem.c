/*
 * Memory: the inline TLB probe, its slow path, and helper calls.
 *
 * The probe (five instructions after the address is in r14):
 *
 *	rorx r15, r14, 8
 *	and  r15d, slots << 4
 *	xor  r14, gs:[r15 + tag]	page offset, if the page matches
 *	cmp  r14, 4096 - n
 *	ja   slow
 *	add  r14, gs:[r15 + host]	M = [r14]
 *
 * If the address is a constant so is the entry:
 *
 *	cmp  gs:[entry.tag], page	through r15 if it takes more than 32 bits
 *	jne  slow
 *	mov  r14, gs:[entry.host]	M = [r14 + offset]
 *
 * In regions a probe compares with the entry it found last, its site (struct
 * tlb_site), so that the address does not wait for a table:
 *
 *	xor  r14, gs:[site.tag]
 *	cmp  r14, 4096 - n
 *	ja   look it up, keep it in the site
 *	mov  r14, gs:[site.add]		M = [base + r14 + displacement]
 *
 * Some have several sites, and compare with one behind the other (tcg/roam_light.c).
 *
 * The slow path undoes the xor and calls C, which returns a pointer to use
 * instead. For a write that cannot be done in place (MMIO, page crossing) that
 * is cpu->bounce; the consumer is emitted a second time there, followed by a
 * call that carries the bytes to where they belong.
 */
#include "tcg/x64/lower.h"

void lower_address(struct lower *l, const struct uop *u, int r)
{
	struct code *c = &l->c;
	int ad = 2 << (u->c >> PROBE_ADSIZE & 3);
	int scale = u->c >> PROBE_SCALE & 3;
	int size = ad == 8 ? 8 : 4;
	int base = u->a, index = u->b;
	int64_t disp = ad == 8 ? u->imm : (int32_t)u->imm;
	bool far = disp != (int32_t)disp;

	if (base == OP_NONE && index == OP_NONE) {
		mov_ri(c, r, (uint64_t)disp & size_mask(ad));
		return;
	}
	int b = base == OP_NONE ? -1 : in_reg(l, 8, base, 0, r);
	int x = index == OP_NONE ? -1 : in_reg(l, 8, index, 0, b == r ? H_TMP : r);

	if (far) {	/* only moffs and odd code; no room for a third register */
		int t = x == H_TMP ? H_M : H_TMP;

		if (x >= 0) {
			if (b >= 0) {
				ins(c, 0x8d, size, r, hop_sib(b, x, scale, 0));
			} else {
				mov_rr(c, 8, r, x);
				ins_imm(c, 0xc1, size, 4, hop_reg(r), 1, scale);
			}
			b = r;
			t = H_TMP;
		}
		mov_ri(c, t, (uint64_t)disp);
		ins(c, 0x8d, size, r, hop_sib(b, t, 0, 0));
	} else if (x >= 0 && b < 0) {	/* index alone: SIB without base */
		if (scale == 0) {
			ins(c, 0x8d, size, r, hop_mem(x, (int32_t)disp));
		} else {
			/* lea r, [0 + x * 2^scale + disp] */
			e8(c, (unsigned)((size == 8 ? 0x48 : 0x40) | (r >> 3) << 2 | (x >> 3) << 1));
			e8(c, 0x8d);
			e8(c, (unsigned)(0x04 | (r & 7) << 3));
			e8(c, (unsigned)(scale << 6 | (x & 7) << 3 | 5));
			e32(c, (uint32_t)disp);
		}
	} else if (x >= 0) {
		ins(c, 0x8d, size, r, hop_sib(b, x, scale, (int32_t)disp));
	} else if (disp || size == 4) {
		if (disp)
			ins(c, 0x8d, size, r, hop_mem(b, (int32_t)disp));
		else
			mov_rr(c, 4, r, b);
	} else {
		mov_rr(c, 8, r, b);
	}
	if (ad == 2)
		load(c, 2, r, hop_reg(r));
}

/* One host lea, if all its registers are host registers. */
static bool direct_lea(struct lower *l, const struct uop *u)
{
	int d = host_reg(l, u->d), ad = u->c >> PROBE_ADSIZE & 3;
	int size = u->size == 8 && ad == 2 ? 8 : 4;
	int b = u->a == OP_NONE ? -1 : host_reg(l, u->a), x = u->b == OP_NONE ? -1 : host_reg(l, u->b);

	if (d < 0 || u->size < 4 || ad == 0 || u->imm != (int32_t)u->imm || b < 0 || (u->b != OP_NONE && x < 0))
		return false;
	if (x < 0 && !u->imm)
		mov_rr(&l->c, size, d, b);
	else if (x < 0)
		ins(&l->c, 0x8d, size, d, hop_mem(b, (int32_t)u->imm));
	else
		ins(&l->c, 0x8d, size, d, hop_sib(b, x, u->c >> PROBE_SCALE & 3, (int32_t)u->imm));
	return true;
}

static void lea_by_r14(struct lower *l, const struct uop *u)
{
	struct code *c = &l->c;
	int d = host_reg(l, u->d);

	l->at_in_m = -1;
	lower_address(l, u, H_M);
	if (u->size == 2) {
		store(c, 2, operand(l, u->d), H_M);
		return;
	}
	if (d >= 0) {
		mov_rr(c, u->size, d, H_M);
		return;
	}
	if (u->size == 4)
		mov_rr(c, 4, H_M, H_M);
	store(c, 8, operand(l, u->d), H_M);
}

void lower_lea(struct lower *l, const struct uop *u)
{
	if (direct_lea(l, u))
		return;
	l->tmp_slot = OP_NONE;
	lea_by_r14(l, u);
	l->tmp_slot = OP_NONE;
}

/* ---- the table ---- */

/*
 * The probe's instructions up to the jump, for the linear address in r14 or r13; where the jump's rel32 is. Put as
 * bytes, because hardly anything is emitted as often.
 */
static uint8_t *look_up(struct code *c, int at, int32_t tag_off, unsigned range)
{
	static const uint8_t slot[16] = {
		0xc4, 0x43, 0xfb, 0xf0, 0xf8, TLB_ROR,		/* rorx r15, at, 8 */
		0x41, 0x81, 0xe7,				/* and r15d, slots << 4 */
		TLB_MASK & 0xff, TLB_MASK >> 8 & 0xff, TLB_MASK >> 16 & 0xff, TLB_MASK >> 24,
	};
	static const uint8_t hit[16] = {
		0x49, 0x81, 0xf8, 0, 0, 0, 0,			/* cmp at, 4096 - range */
		0x0f, 0x87,					/* ja */
	};
	unsigned r = (unsigned)at & 7;
	uint8_t *p = c->p;

	st64(p, ld64(slot));
	st64(p + 8, ld64(slot + 8));
	p[4] |= r;
	c->p = p + 13;
	alu_rm(c, ALU_XOR, 8, at, hop_gsx(H_TMP, 0, tag_off));
	p = c->p;
	st64(p, ld64(hit));
	st64(p + 8, ld64(hit + 8));
	p[2] |= r;
	st32(p + 3, 4096 - range);
	c->p = p + 13;
	return p + 9;
}

/* ---- sites ---- */

enum { AT_TAG, AT_LIMIT, AT_ALIGN };	/* why the fast path was left */

static enum x64_how how(const struct lower *l, const struct uop *u)
{
	return l->ir->mode & MODE_REGION ? l->p->how[u->insn] : HOW_TABLE;
}

/* The next `ways` sites, in one piece. */
static int32_t next_site(struct lower *l, bool write, unsigned ways)
{
	unsigned idx = l->ir->mode >> MODE_MMU_SHIFT & 3, n = (l->p->site[write] + l->out->n_sites[write]) % TLB_SITES;

	if (n + ways > TLB_SITES) {
		l->out->n_sites[write] += TLB_SITES - n;
		n = 0;
	}
	l->out->n_sites[write] += ways;
	return CPU_OFF(site[idx][write][n]);
}

/* The next site for u's probe, or 0: it has none. */
static int32_t take_site(struct lower *l, const struct uop *u, bool write)
{
	return how(l, u) == HOW_SITE ? next_site(l, write, 1) : 0;
}

static uint32_t site_number(int32_t site)
{
	return (uint32_t)(site - CPU_OFF(site)) / (uint32_t)sizeof(struct tlb_site);
}

static void cold_counted(struct lower *l, struct cold *k)
{
	bool target = k->info & ROAM_TABLE;

	cold_land(l, k);
	if (target)
		mov_rr(&l->c, 8, H_T0, H_M);
	mov_ri(&l->c, H_TMP, k->info);
	call_to(&l->c, l->x->stubs.roam);
	if (target)
		mov_rr(&l->c, 8, H_M, H_T0);
	jmp_to(&l->c, k->back + l->c.rx);
}

void lower_tally(struct lower *l, uint32_t what)
{
	struct cold *k = cold_new(l, cold_counted);
	int32_t site = next_site(l, false, 1);

	alu_ri(&l->c, ALU_SUB, 4, hop_gs(site + (int32_t)offsetof(struct tlb_site, left)), 1);
	k->at[0] = jcc_rel32(&l->c, CC_C);
	k->back = l->c.p;
	k->info = what | site_number(site);
}

#define SITE(k, f) hop_gs((k)->site + (int32_t)offsetof(struct tlb_site, f))

/* 64-bit code: the base register, if the linear address is a host register and a constant; else -1. */
static int plain_base(const struct lower *l, const struct uop *u)
{
	if (!is64(l) || u->b != OP_NONE || u->a == OP_NONE || (u->c >> PROBE_ADSIZE & 3) != 2)
		return -1;
	if (((u->d == FS || u->d == GS) && !(u->c & PROBE_NOSEG)) || u->imm != (int32_t)u->imm)
		return -1;
	return host_reg(l, u->a);
}

/* r14 has the linear address: is that the site's page, with `range` bytes? */
static void site_check(struct lower *l, struct cold *k, unsigned range)
{
	int r = k->base >= 0 ? H_M : H_TMP;

	mov_rr(&l->c, 8, r, H_M);
	alu_rm(&l->c, ALU_XOR, 8, r, SITE(k, tag));
	alu_ri(&l->c, ALU_CMP, 8, hop_reg(r), (int32_t)(4096 - range));
	k->at[AT_TAG] = jcc_rel32(&l->c, CC_A);
}

/*
 * Cold: r14 and r15 are as the inline probe leaves them, for an address `lead` bytes in front of the access. Where it
 * misses is returned. The address is made again, as another vCPU may have emptied the site since it was xored.
 */
static uint8_t *site_missed(struct lower *l, const struct cold *k, unsigned lead, unsigned range)
{
	if (k->base >= 0)
		ins(&l->c, 0x8d, 8, H_M, hop_mem(k->base, (int32_t)k->u->imm - (int32_t)lead));
	return look_up(&l->c, H_M, k->tag_off, range);
}

/*
 * Another vCPU empties the entry, then the site; so what is in the site is looked at behind a fence. Both parts of it: the
 * tag of an empty entry is that of a page with another place, which may be in the table.
 */
static void check_again(struct lower *l, const struct cold *k)
{
	struct code *c = &l->c;
	uint8_t *gone, *same;

	e8(c, 0x0f); e8(c, 0xae); e8(c, 0xf0);		/* mfence */
	rorx(c, 8, H_TMP, hop_reg(H_M), TLB_ROR);
	alu_ri(c, ALU_AND, 4, hop_reg(H_TMP), TLB_MASK);
	alu_rm(c, ALU_CMP, 8, H_M, hop_gsx(H_TMP, 0, k->tag_off));
	gone = jcc_short(c, CC_NZ);
	load(c, 8, H_TMP, hop_gsx(H_TMP, 0, k->tag_off + (int32_t)offsetof(struct tlb_entry, host)));
	alu_rm(c, ALU_SUB, 8, H_TMP, hop_reg(H_M));
	alu_rm(c, ALU_CMP, 8, H_TMP, SITE(k, add));
	same = jcc_short(c, CC_Z);
	land8(c, gone);
	load(c, 8, H_TMP, hop_gs(CPU_OFF(nowhere)));
	store(c, 8, SITE(k, tag), H_TMP);
	land8(c, same);
}

/* Cold: the entry at r15 goes into the site, and the probe begins again. */
static void fill_site(struct lower *l, const struct cold *k, bool write, uint32_t what)
{
	struct code *c = &l->c;
	uint32_t n = site_number(k->site);

	store_imm(c, 1, hop_gs(CPU_OFF(site_used) + (int32_t)(n / SITE_CHUNK)), 1);
	load(c, 8, H_M, hop_gsx(H_TMP, 0, k->tag_off));
	load(c, 8, H_TMP, hop_gsx(H_TMP, 0, k->tag_off + (int32_t)offsetof(struct tlb_entry, host)));
	alu_rm(c, ALU_SUB, 8, H_TMP, hop_reg(H_M));
	store(c, 8, SITE(k, add), H_TMP);
	store(c, 8, SITE(k, tag), H_M);
	if (write && l->p->smp)
		check_again(l, k);
	alu_ri(c, ALU_SUB, 4, SITE(k, left), 1);
	jcc_to(c, CC_NC, k->start);
	mov_ri(c, H_TMP, n | what);
	call_to(c, l->x->stubs.roam);
	jmp_to(c, k->start);
}

/*
 * Cold: none of the ways fits, the entry at r15 does. C keeps it in one, and the probe begins again. If another vCPU
 * has emptied the entry meanwhile, C is told of some other page: what it knows of that is as good.
 */
static void fill_ways(struct lower *l, const struct cold *k)
{
	struct code *c = &l->c;

	alu_rm(c, ALU_XOR, 8, H_M, hop_gsx(H_TMP, 0, k->tag_off));
	mov_ri(c, H_TMP, ROAM_FILL | site_number(k->site));
	call_to(c, l->x->stubs.roam);
	jmp_to(c, k->start);
}

/* ---- slow paths ---- */

/* r14 points to what C chose for the access: make it what the fast path has there, and go on. */
static void rejoin(struct lower *l, const struct cold *k)
{
	struct code *c = &l->c;

	if (k->form == M_FIXED) {
		ins(c, 0x8d, 8, H_M, hop_mem(H_M, -(int32_t)(k->imm & 4095)));
	} else if (k->form == M_BASE) {	/* with M_TWO r15 is 0: the stub sees to it */
		alu_rm(c, ALU_SUB, 8, H_M, hop_reg(k->base));
		if (k->u->imm)
			ins(c, 0x8d, 8, H_M, hop_mem(H_M, -(int32_t)k->u->imm));
	}
	jmp_to(c, k->back + c->rx);
}

static void cold_slow(struct lower *l, struct cold *k)
{
	struct code *c = &l->c;
	const struct uop *u = k->u;
	const uint8_t *thunk = x64_slow_thunk(l->x, k->info, k->tag_off);
	uint8_t *join[2], *missed = k->at[AT_TAG], *bounce;
	int n = 0;

	part(l, PART_miss);
	if (k->site) {
		land32(c, k->at[AT_TAG]);
		missed = site_missed(l, k, 0, u->size);
		if (k->ways)
			fill_ways(l, k);
		else
			fill_site(l, k, u->c & PROBE_W, 0);
	}
	if (k->at[AT_LIMIT]) {
		land32(c, k->at[AT_LIMIT]);
		mov_ri(c, H_TMP, k->info | SLOW_SEGCHECK);
		join[n++] = jmp_short(c);
	}
	if (k->at[AT_ALIGN]) {
		land32(c, k->at[AT_ALIGN]);
		mov_ri(c, H_TMP, k->info | SLOW_ALIGN);
		join[n++] = jmp_short(c);
	}
	land32(c, missed);
	if (k->form == M_FIXED) {
		mov_ri(c, H_M, k->imm);
		mov_ri(c, H_TMP, k->info);
		call_to(c, l->x->stubs.probe_slow);
	} else if (n || !thunk) {
		x64_make_address(c, k->tag_off);
		mov_ri(c, H_TMP, k->info);
		while (n)
			land8(c, join[--n]);
		call_to(c, l->x->stubs.probe_slow);
	} else {
		call_to(c, thunk);
	}
	if (!(u->c & PROBE_W)) {
		rejoin(l, k);
		return;
	}
	if (k->form == M_PTR) {
		jcc_to(c, CC_Z, k->back + c->rx);
	} else {
		bounce = jcc_short(c, CC_NZ);
		rejoin(l, k);
		land8(c, bounce);
	}
	l->u = u + 1;
	l->m = hop_mem(H_M, 0);
	side_mark(l, u + 1);
	lower_uop(l, u + 1);		/* the consumer again, on the bounce buffer */
	call_to(c, l->x->stubs.commit);
	jmp_to(c, k->back2 + c->rx);
}

/* Is the offset the linear address? Flat or not, code segments cannot be written. */
static bool flat(const struct lower *l, const struct uop *u)
{
	return u->c & PROBE_NOSEG || (l->ir->mode & MODE_FLAT && u->d <= DS && (is64(l) || u->d != CS));
}

/* Limit check and base: offset in r14 to linear address. */
static void segment(struct lower *l, const struct uop *u, struct cold *k)
{
	struct code *c = &l->c;
	int32_t seg = CPU_OFF(segs) + u->d * (int32_t)sizeof(struct seg);
	int32_t limit = u->c & PROBE_W ? offsetof(struct seg, wlimit) : offsetof(struct seg, rlimit);

	if (flat(l, u))
		return;
	if (!is64(l)) {
		ins(c, 0x8d, 8, H_TMP, hop_mem(H_M, u->size));
		alu_rm(c, ALU_CMP, 8, H_TMP, hop_gs(seg + limit));
		k->at[AT_LIMIT] = jcc_rel32(c, CC_A);
		alu_rm(c, ALU_ADD, 4, H_M, hop_gs(seg + (int32_t)offsetof(struct seg, base)));
	} else if (u->d == FS || u->d == GS) {
		alu_rm(c, ALU_ADD, 8, H_M, hop_gs(seg + (int32_t)offsetof(struct seg, base)));
	}
}

/* ---- shared proofs (tcg/opt_mem.c), in r13 or env->proof ---- */

/* The register that a group's leader without a site works in. */
static int leads_in(const struct uop *u)
{
	return u->aux >> PROBE_PLACE ? H_M : H_T0;
}

static struct uop range_of(const struct uop *u)
{
	struct uop range = *u;

	range.imm -= u->pad;
	return range;
}

/*
 * Cold: r14 is the range's host address, perhaps over two pages: followers find it through the site, which is empty for
 * the next leader. Then r14 is the linear address, as in front of the check.
 */
static void lend_site(struct lower *l, const struct cold *k)
{
	struct code *c = &l->c;
	struct uop range = range_of(k->u);

	load(c, 8, H_TMP, hop_gs(CPU_OFF(nowhere)));
	store(c, 8, SITE(k, tag), H_TMP);
	store(c, 8, SITE(k, add), H_M);
	l->tmp_slot = OP_NONE;
	lower_address(l, &range, H_M);
	ins(c, 0x29, 8, H_M, SITE(k, add));		/* sub */
}

static void cold_group(struct lower *l, struct cold *k)
{
	struct code *c = &l->c;
	const struct uop *u = k->u;

	part(l, PART_miss);
	land32(c, k->at[AT_TAG]);
	if (!k->site)
		mov_rr(c, 8, H_M, leads_in(u));
	if (k->site) {
		uint8_t *miss = site_missed(l, k, u->pad, u->flx);

		fill_site(l, k, u->aux & PROBE_GROUP_W, ROAM_GROUP);
		land32(c, miss);
	}
	e8(c, 0x68);				/* push info */
	e32(c, k->info);
	call_to(c, l->x->stubs.group[l->ir->mode >> MODE_MMU_SHIFT & 3][(u->aux & PROBE_GROUP_W) != 0]);
				/* does not return if nothing can be shared */
	if (k->site)
		lend_site(l, k);
	else
		mov_rr(c, 8, leads_in(u), H_M);
	jmp_to(c, k->back + c->rx);
}

bool lower_disturbs(const struct lower *l, const struct uop *u, int base)
{
	if (is_hi(u->d) || is_hi(u->a) || is_hi(u->b))	/* rotates a register back and forth */
		return true;
	if (u->op == UOP_mov || u->op == UOP_zext || u->op == UOP_sext || u->op == UOP_jmpind)
		return false;
	return uop_gprs_written(u, l->ir->insns) >> base & 1;
}

/* M is an address with the guest's base register: make it r14 if the consumer changes that first. */
static bool settle(struct lower *l, const struct uop *u)
{
	if (!lower_disturbs(l, u + 1, u->a))
		return false;
	ins(&l->c, 0x8d, 8, H_M, l->m);
	l->m = hop_mem(H_M, 0);
	return true;
}

/* The proof is made, the range's host address: keep it for the followers. */
static void keep_proof(struct lower *l, const struct uop *u)
{
	unsigned place = u->aux >> PROBE_PLACE;

	l->proof[place] = (struct proof){ .at = hop_reg(H_T0), .host = true };
	if (place) {
		l->proof[place].at = hop_gs(ENV_OFF(proof) + 8 * (int32_t)(place - 1));
		store(&l->c, 8, l->proof[place].at, H_M);
	}
	l->m = hop_mem(leads_in(u), u->pad);
}

/* It stands in a site already. r14 is the range's linear address, or is not needed. */
static void site_proof(struct lower *l, const struct uop *u, const struct cold *k)
{
	unsigned place = u->aux >> PROBE_PLACE;

	if (u->b != OP_NONE) {		/* followers would need both registers */
		alu_rm(&l->c, ALU_ADD, 8, H_M, SITE(k, add));
		if (!place)
			mov_rr(&l->c, 8, H_T0, H_M);
		keep_proof(l, u);
		return;
	}
	l->proof[place] = (struct proof){ .at = SITE(k, add), .lo = (int32_t)(u->imm - u->pad) };
	if (!place) {
		load(&l->c, 8, H_T0, SITE(k, add));
		l->proof[0].at = hop_reg(H_T0);
	}
	if (k->base < 0) {
		alu_rm(&l->c, ALU_ADD, 8, H_M, SITE(k, add));
		l->m = hop_mem(H_M, u->pad);
	} else {
		int add = place ? H_M : H_T0;

		if (place)
			load(&l->c, 8, H_M, SITE(k, add));
		l->m = hop_sib(k->base, add, 0, (int32_t)u->imm);
		settle(l, u);
	}
}

/* One look-up for the range [base + imm - pad, + flx). */
static void leader(struct lower *l, const struct uop *u)
{
	struct code *c = &l->c;
	unsigned idx = l->ir->mode >> MODE_MMU_SHIFT & 3;
	bool write = u->aux & PROBE_GROUP_W;
	struct uop range = range_of(u);
	struct cold *k;
	int at;

	flags_clobber(l, u);
	k = cold_new(l, cold_group);
	k->tag_off = tlb_tag(idx, write);
	k->info = u->size | (write ? GROUP_WRITES : 0) | (u->c & PROBE_KIND) << SLOW_KIND | idx << SLOW_IDX |
		  (uint32_t)u->d << GROUP_SEG | (uint32_t)u->pad << GROUP_LEAD | (uint32_t)u->flx << GROUP_RANGE;
	k->site = take_site(l, u, write);
	k->start = here(c);
	at = k->site ? H_M : leads_in(u);
	if (k->site && u->b == OP_NONE && !is64(l) && host_reg(l, u->a) >= 0)	/* the upper half counts in addresses below */
		mov_rr(c, 4, host_reg(l, u->a), host_reg(l, u->a));
	lower_address(l, &range, at);
	if (k->site) {
		k->base = plain_base(l, u);
		site_check(l, k, u->flx);
		k->back = c->p;
		site_proof(l, u, k);
		return;
	}
	k->at[AT_TAG] = look_up(c, at, k->tag_off, u->flx);
	alu_rm(c, ALU_ADD, 8, at, hop_gsx(H_TMP, 0, k->tag_off + (int32_t)offsetof(struct tlb_entry, host)));
	k->back = c->p;
	keep_proof(l, u);
}

static void follower(struct lower *l, const struct uop *u)
{
	unsigned place = u->aux >> PROBE_PLACE;
	int proof = !place ? H_T0 : is_slot(l, u->a) && !l->proof[place].host ? H_TMP : H_M;

	if (place)
		load(&l->c, 8, proof, l->proof[place].at);
	if (l->proof[place].host) {
		l->m = hop_mem(proof, u->pad);
		return;
	}
	l->m = hop_sib(in_reg(l, 8, u->a, 0, H_M), proof, 0, (int32_t)u->imm + l->proof[place].lo);
	if (!settle(l, u) && proof == H_TMP) {	/* the consumer may need r15 */
		ins(&l->c, 0x8d, 8, H_M, l->m);
		l->m = hop_mem(H_M, 0);
	}
}

/*
 * Is the consumer one host instruction that reads M into a register and needs
 * neither r15 nor flags from before? Then M can be [r14 + r15], which is a cycle
 * sooner than their sum.
 */
static bool reads_at_once(const struct lower *l, const struct uop *u)
{
	if (u->size < 4)
		return false;
	switch (u->op) {
	case UOP_mov: case UOP_zext: case UOP_sext:
		return u->a == OP_M && host_reg(l, u->d) >= 0;
	case UOP_add: case UOP_sub: case UOP_and: case UOP_or: case UOP_xor:
		return u->b == OP_M && u->d == u->a && host_reg(l, u->d) >= 0;
	case UOP_cmp:
		return u->b == OP_M && host_reg(l, u->a) >= 0;
	case UOP_jmpind:
		return true;
	default:
		return false;
	}
}

/* What M is once the site is known to fit. */
static void site_operand(struct lower *l, const struct uop *u, struct cold *k, bool at_once)
{
	struct code *c = &l->c;

	if (k->base >= 0) {
		load(c, 8, H_M, SITE(k, add));
		l->m = hop_sib(k->base, H_M, 0, (int32_t)u->imm);
		k->form = settle(l, u) ? M_PTR : M_BASE;
	} else if (at_once) {
		load(c, 8, H_TMP, SITE(k, add));
		l->m = hop_sib(H_M, H_TMP, 0, 0);
		k->form = M_TWO;
	} else {
		alu_rm(c, ALU_ADD, 8, H_M, SITE(k, add));
		l->m = hop_mem(H_M, 0);
	}
}

/* r14 has the linear address: which of the sites knows its page? */
static void ways_operand(struct lower *l, const struct uop *u, struct cold *k, bool at_once)
{
	struct code *c = &l->c;
	uint8_t *found[SITE_WAYS];
	unsigned n = 0;

	for (int32_t site = k->site; n < SITE_WAYS; site += (int32_t)sizeof(struct tlb_site)) {
		mov_rr(c, 8, H_TMP, H_M);
		alu_rm(c, ALU_XOR, 8, H_TMP, hop_gs(site + (int32_t)offsetof(struct tlb_site, tag)));
		alu_ri(c, ALU_CMP, 8, hop_reg(H_TMP), (int32_t)(4096 - u->size));
		load(c, 8, H_TMP, hop_gs(site + (int32_t)offsetof(struct tlb_site, add)));
		if (++n < SITE_WAYS)
			found[n - 1] = jcc_short(c, CC_BE);
	}
	k->at[AT_TAG] = jcc_rel32(c, CC_A);
	while (--n)
		land8(c, found[n - 1]);
	if (at_once) {
		l->m = hop_sib(H_M, H_TMP, 0, 0);
		k->form = M_TWO;
	} else {
		alu_rm(c, ALU_ADD, 8, H_M, hop_reg(H_TMP));
		l->m = hop_mem(H_M, 0);
	}
}

/* r14 has the linear address: look it up. */
static void table_operand(struct lower *l, const struct uop *u, struct cold *k, bool at_once)
{
	struct code *c = &l->c;
	struct hop host = hop_gsx(H_TMP, 0, k->tag_off + (int32_t)offsetof(struct tlb_entry, host));

	k->at[AT_TAG] = look_up(c, H_M, k->tag_off, u->size);
	if (at_once) {
		load(c, 8, H_TMP, host);
		l->m = hop_sib(H_M, H_TMP, 0, 0);
		k->form = M_TWO;
	} else {
		alu_rm(c, ALU_ADD, 8, H_M, host);
		l->m = hop_mem(H_M, 0);
	}
}

/* Is the linear address a constant, and nothing asked but whether its page can be accessed? */
static bool is_fixed(const struct lower *l, const struct uop *u, uint64_t *va)
{
	if (u->a != OP_NONE || u->b != OP_NONE || !flat(l, u) || u->c & PROBE_ALIGN || l->ir->mode & MODE_AC)
		return false;
	*va = (uint64_t)u->imm & size_mask(2 << (u->c >> PROBE_ADSIZE & 3));
	return (*va & 4095) + u->size <= 4096;
}

static void fixed(struct lower *l, struct cold *k, uint64_t va)
{
	struct code *c = &l->c;
	int32_t entry = k->tag_off + (int32_t)TLB_OFF(va);
	int64_t page = (int64_t)(va & ~4095ull);
	struct moves *moves = va >> 32 && page != (int32_t)page ? c->moves : NULL;	/* behind a constant that is noted */

	if (page == (int32_t)page) {
		alu_ri(c, ALU_CMP, 8, hop_gs(entry), (int32_t)page);
	} else {
		mov_ri(c, H_TMP, (uint64_t)page);
		alu_rm(c, ALU_CMP, 8, H_TMP, hop_gs(entry));
		note_move(moves, c->p - 4, true);
	}
	k->at[AT_TAG] = jcc_rel32(c, CC_NZ);
	load(c, 8, H_M, hop_gs(entry + (int32_t)offsetof(struct tlb_entry, host)));
	note_move(moves, c->p - 4, true);
	l->m = hop_mem(H_M, (int32_t)(va & 4095));
	k->form = M_FIXED;
	k->imm = va;
}

static void single(struct lower *l, const struct uop *u)
{
	struct code *c = &l->c;
	bool at_once = !(u->c & PROBE_W) && reads_at_once(l, u + 1);
	unsigned idx = l->ir->mode >> MODE_MMU_SHIFT & 3;
	bool write = u->c & PROBE_W;
	struct cold *k;
	uint64_t va;

	flags_clobber(l, u);
	k = cold_new(l, cold_slow);
	k->tag_off = tlb_tag(idx, write);
	k->info = u->size | (u->c & PROBE_KIND) << SLOW_KIND | idx << SLOW_IDX | (uint32_t)u->d << SLOW_SEG |
		  (u->c & PROBE_NOSEG ? SLOW_NOSEG : 0) | (u->c & PROBE_ALIGN ? SLOW_SSE : 0) |
		  (uop_locks(u + 1) ? SLOW_LOCK : 0) | (l->in_run ? SLOW_IN_RUN : 0);
	k->ways = how(l, u) == HOW_WAYS || how(l, u) == HOW_TRY_WAYS;
	k->site = k->ways ? next_site(l, write, SITE_WAYS) : take_site(l, u, write);
	if (how(l, u) >= HOW_TRY_WAYS)
		lower_tally(l, ROAM_WINDOW);
	k->start = here(c);
	if (!k->site && is_fixed(l, u, &va)) {
		fixed(l, k, va);
		k->back = c->p;
		if (write)
			l->pending = k;
		return;
	}
	lower_address(l, u, H_M);
	segment(l, u, k);
	if (u->c & PROBE_ALIGN || (l->ir->mode & MODE_AC && u->size > 1 && u->size <= 8)) {
		ins_imm(c, 0xf6, 1, 0, hop_reg(H_M), 1, u->size - 1);
		k->at[AT_ALIGN] = jcc_rel32(c, CC_NZ);
	}
	if (k->ways) {
		k->base = -1;
		ways_operand(l, u, k, at_once);
	} else if (k->site) {
		k->base = plain_base(l, u);
		site_check(l, k, u->size);
		site_operand(l, u, k, at_once);
	} else {
		table_operand(l, u, k, at_once);
	}
	k->back = c->p;
	if (write)
		l->pending = k;
}

void lower_probe(struct lower *l, const struct uop *u)
{
	part(l, u->aux & (PROBE_FOLLOWER | PROBE_PROVEN) ? PART_follow : u->aux & PROBE_LEADER ? PART_lead : PART_probe);
	if (u->aux & PROBE_PROVEN)
		lower_proven(l, u);
	else if (u->aux & PROBE_FOLLOWER)
		follower(l, u);
	else if (u->aux & PROBE_LEADER)
		leader(l, u);
	else
		single(l, u);
}

/* ---- C ---- */

void lower_call(struct lower *l, const struct uop *u)
{
	struct code *c = &l->c;
	uint8_t attr = helper_info[u->aux].attr;
	int r = host_reg(l, u->d);

	part(l, PART_helper);
	flags_save(l, attr & H_FL_IN ? FL_ARITH : u->fl);
	if (attr & H_FL_IN)
		flags_work_out(l);
	if (!(attr & H_NORAISE))
		set_rip(l, insn_rip(l, u));
	if (u->imm == (int32_t)u->imm) {
		store_imm(c, 8, hop_gs(CPU_OFF(tmp)), (int32_t)u->imm);
	} else {
		mov_ri(c, H_TMP, (uint64_t)u->imm);
		store(c, 8, hop_gs(CPU_OFF(tmp)), H_TMP);
	}
	if (u->a != OP_NONE) {
		int s = in_reg(l, 8, u->a, u->imm, H_M);

		mov_rr(c, 8, H_M, s);
	}
	if (u->b != OP_NONE) {
		int s = in_reg(l, 8, u->b, u->imm, H_TMP);

		mov_rr(c, 8, H_TMP, s);
	}
	call_to(c, l->x->stubs.thunk[u->aux]);
	if (u->d == OP_NONE)
		return;
	if (u->size < 4)		/* the rest of a register stays */
		store(c, u->size, operand(l, u->d), H_TMP);
	else if (r >= 0)
		mov_rr(c, u->size, r, H_TMP);
	else {
		mov_rr(c, u->size, H_TMP, H_TMP);
		store(c, 8, operand(l, u->d), H_TMP);
	}
}
