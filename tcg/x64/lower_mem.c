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
 * The slow path undoes the xor and calls C, which returns a pointer to use
 * instead. For a write that cannot be done in place (MMIO, page crossing) that
 * is cpu->bounce; the consumer is emitted a second time there, followed by a
 * call that carries the bytes to where they belong.
 */
#include "tcg/x64/lower.h"

static bool is64(const struct lower *l) { return (l->ir->mode & MODE_CODE) == MODE_CODE64; }

/* base + (index << scale) + disp, cut to the address size, into register r. */
static void address(struct lower *l, const struct uop *u, int r)
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

void lower_lea(struct lower *l, const struct uop *u)
{
	struct code *c = &l->c;
	int d = host_reg(l, u->d);

	if (direct_lea(l, u))
		return;
	address(l, u, H_M);
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

/* ---- slow paths ---- */

enum { AT_TAG, AT_LIMIT, AT_ALIGN };	/* why the fast path was left */

static void cold_slow(struct lower *l, struct cold *k)
{
	struct code *c = &l->c;
	const struct uop *u = k->u;
	const uint8_t *thunk = x64_slow_thunk(l->x, k->info, k->tag_off);
	uint8_t *join[2];
	int n = 0;

	part(l, PART_miss);
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
	land32(c, k->at[AT_TAG]);
	if (n || !thunk) {
		ins(c, 0x33, 8, H_M, hop_gsx(H_TMP, 0, k->tag_off));
		mov_ri(c, H_TMP, k->info);
		while (n)
			land8(c, join[--n]);
		call_to(c, l->x->stubs.probe_slow);
	} else {
		call_to(c, thunk);
	}
	if (!(u->c & PROBE_W)) {
		if (k->imm)			/* M is [r14 + r15] */
			mov_ri(c, H_TMP, 0);
		jmp_to(c, k->back + c->rx);
		return;
	}
	jcc_to(c, CC_Z, k->back + c->rx);
	l->u = u + 1;
	l->m = hop_mem(H_M, 0);
	side_mark(l, u + 1);
	lower_uop(l, u + 1);		/* the consumer again, on the bounce buffer */
	call_to(c, l->x->stubs.commit);
	jmp_to(c, k->back2 + c->rx);
}

/* Limit check and base: offset in r14 to linear address. */
static void segment(struct lower *l, const struct uop *u, struct cold *k)
{
	struct code *c = &l->c;
	int32_t seg = CPU_OFF(segs) + u->d * (int32_t)sizeof(struct seg);
	int32_t limit = u->c & PROBE_W ? offsetof(struct seg, wlimit) : offsetof(struct seg, rlimit);

	/* flat or not, code segments cannot be written */
	if (u->c & PROBE_NOSEG || (l->ir->mode & MODE_FLAT && u->d <= DS && (is64(l) || u->d != CS)))
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

/* ---- shared proofs (tcg/opt_mem.c): host address - base register, in r13 or env->proof ---- */

static void cold_group(struct lower *l, struct cold *k)
{
	struct code *c = &l->c;
	const struct uop *u = k->u;

	part(l, PART_miss);
	land32(c, k->at[AT_TAG]);
	ins(c, 0x33, 8, H_M, hop_gsx(H_TMP, 0, k->tag_off));
	mov_ri(c, H_TMP, k->info | (uint64_t)u->pad << GROUP_LEAD | (uint64_t)u->flx << GROUP_RANGE |
			 (u->aux & PROBE_GROUP_W ? GROUP_WRITES : 0));
	call_to(c, l->x->stubs.group);		/* does not return if nothing can be shared */
	jmp_to(c, k->back + c->rx);
}

static struct hop proof_at(unsigned place)
{
	return hop_gs(ENV_OFF(proof) + 8 * (int32_t)(place - 1));
}

/* One look-up for the range [base + imm - pad, + flx). */
static void leader(struct lower *l, const struct uop *u)
{
	struct code *c = &l->c;
	unsigned idx = l->ir->mode >> MODE_MMU_SHIFT & 3;
	bool write = u->aux & PROBE_GROUP_W;
	int32_t lo = (int32_t)(u->imm - u->pad);
	unsigned place = u->aux >> PROBE_PLACE;
	int keep = place ? H_TMP : H_T0;
	struct cold *k;

	flags_clobber(l, u);
	k = cold_new(l, cold_group);
	k->tag_off = CPU_OFF(tlb) + (int32_t)(idx * sizeof(struct tlb) +
		     (write ? offsetof(struct tlb, w) : offsetof(struct tlb, r)));
	k->info = u->size | (u->c & PROBE_KIND) << SLOW_KIND | idx << SLOW_IDX | (uint32_t)u->d << SLOW_SEG;
	if (!is64(l))		/* the upper half counts in addresses below */
		if (host_reg(l, u->a) >= 0)
			mov_rr(c, 4, host_reg(l, u->a), host_reg(l, u->a));
	ins(c, 0x8d, is64(l) ? 8 : 4, H_M, hop_mem(in_reg(l, 8, u->a, 0, H_M), lo));
	rorx(c, 8, H_TMP, hop_reg(H_M), 8);
	alu_ri(c, ALU_AND, 4, hop_reg(H_TMP), (TLB_SIZE - 1) << 4);
	ins(c, 0x33, 8, H_M, hop_gsx(H_TMP, 0, k->tag_off));
	alu_ri(c, ALU_CMP, 8, hop_reg(H_M), 4096 - u->flx);
	k->at[AT_TAG] = jcc_rel32(c, CC_A);
	alu_rm(c, ALU_ADD, 8, H_M, hop_gsx(H_TMP, 0, k->tag_off + (int32_t)offsetof(struct tlb_entry, host)));
	k->back = c->p;
	mov_rr(c, 8, keep, H_M);
	alu_rm(c, ALU_SUB, 8, keep, operand(l, u->a));
	if (place)
		store(c, 8, proof_at(place), keep);
	l->m = hop_mem(H_M, u->pad);
}

/* Does the consumer change the base register before its access is made? */
static bool disturbs(const struct lower *l, const struct uop *u, int base)
{
	if (is_hi(u->d) || is_hi(u->a) || is_hi(u->b))	/* rotates a register back and forth */
		return true;
	if (u->op == UOP_mov || u->op == UOP_zext || u->op == UOP_sext || u->op == UOP_jmpind)
		return false;
	return uop_gprs_written(u, l->ir->insns) >> base & 1;
}

static void follower(struct lower *l, const struct uop *u)
{
	unsigned place = u->aux >> PROBE_PLACE;
	bool slot = is_slot(l, u->a);
	int proof = !place ? H_T0 : slot ? H_TMP : H_M;

	if (place)
		load(&l->c, 8, proof, proof_at(place));
	l->m = hop_sib(in_reg(l, 8, u->a, 0, H_M), proof, 0, (int32_t)u->imm);
	if (proof == H_TMP || disturbs(l, u + 1, u->a)) {	/* the consumer may need r15 */
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

static void single(struct lower *l, const struct uop *u)
{
	struct code *c = &l->c;
	bool at_once = !(u->c & PROBE_W) && reads_at_once(l, u + 1);
	unsigned idx = l->ir->mode >> MODE_MMU_SHIFT & 3;
	bool write = u->c & PROBE_W;
	struct cold *k;

	flags_clobber(l, u);
	k = cold_new(l, cold_slow);
	k->tag_off = CPU_OFF(tlb) + (int32_t)(idx * sizeof(struct tlb) +
		     (write ? offsetof(struct tlb, w) : offsetof(struct tlb, r)));
	k->info = u->size | (u->c & PROBE_KIND) << SLOW_KIND | idx << SLOW_IDX | (uint32_t)u->d << SLOW_SEG |
		  (u->c & PROBE_NOSEG ? SLOW_NOSEG : 0) | (u->c & PROBE_ALIGN ? SLOW_SSE : 0);
	address(l, u, H_M);
	segment(l, u, k);
	if (u->c & PROBE_ALIGN || (l->ir->mode & MODE_AC && u->size > 1 && u->size <= 8)) {
		ins_imm(c, 0xf6, 1, 0, hop_reg(H_M), 1, u->size - 1);
		k->at[AT_ALIGN] = jcc_rel32(c, CC_NZ);
	}
	rorx(c, 8, H_TMP, hop_reg(H_M), 8);
	alu_ri(c, ALU_AND, 4, hop_reg(H_TMP), (TLB_SIZE - 1) << 4);
	ins(c, 0x33, 8, H_M, hop_gsx(H_TMP, 0, k->tag_off));
	alu_ri(c, ALU_CMP, 8, hop_reg(H_M), 4096 - u->size);
	k->at[AT_TAG] = jcc_rel32(c, CC_A);
	if (at_once) {
		load(c, 8, H_TMP, hop_gsx(H_TMP, 0, k->tag_off + (int32_t)offsetof(struct tlb_entry, host)));
		l->m = hop_sib(H_M, H_TMP, 0, 0);
		k->imm = 1;
	} else {
		alu_rm(c, ALU_ADD, 8, H_M, hop_gsx(H_TMP, 0, k->tag_off + (int32_t)offsetof(struct tlb_entry, host)));
		l->m = hop_mem(H_M, 0);
	}
	k->back = c->p;
	if (write)
		l->pending = k;
}

void lower_probe(struct lower *l, const struct uop *u)
{
	part(l, u->aux & PROBE_FOLLOWER ? PART_follow : u->aux & PROBE_LEADER ? PART_lead : PART_probe);
	if (u->aux & PROBE_FOLLOWER)
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
	l->flags = FLAGS_MEM;
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
