/*
 * Fast copies of loops (tcg/opt_loop.c): the proofs in front of a run of rounds, the
 * comparisons between two rounds, and accesses that rely on them.
 *
 * A proof is the inline probe over the range that one round accesses:
 *
 *	lea  r14, [address of its first byte]
 *	(look-up as in lower_mem.c; r14 is the offset in the page, r15 the entry)
 *	r13 = host address - (moving register << scale) - displacement	-> run.at
 *	moving register + (room behind the range >> scale)		-> run.most
 *	moving register - (room before it >> scale)			-> run.least
 *
 * with which the registers are compared before a round. A run that has been left is taken up
 * again if the other registers are the same. An access is
 *
 *	mov  r14, gs:[run.at]		M = [r14 + moving << scale + displacement]
 *
 * unless r14 has that from the access before; that of the proof with most accesses stands in r13 all the while if
 * nothing else needs it.
 *
 * A register that goes in one direction has one bound, if it cannot wrap behind that: the
 * proof fails where it might. In 64-bit code bounds are signed, so that an index may count up to 0. In 32-bit code,
 * where addresses of the host do not wrap, they are not, and what goes down to 0 has both; bounds keep so far
 * from where the register wraps that it does not inside a round.
 */
#include "tcg/x64/lower.h"

#define MARGIN	(1 << 23)	/* more than a register moves in a round */
#define STEP_MAX 512		/* bytes; see check_steps() */

/* Fast loop number n of the region: a field of its run. */
static struct hop run(const struct lower *l, unsigned n, size_t field, unsigned i)
{
	return hop_gs(CPU_OFF(run) + (int32_t)((l->p->loop + n) % TLB_RUNS * sizeof(struct tlb_run) + field + 8 * i));
}
#define RUN(l, n, field, i) run(l, n, offsetof(struct tlb_run, field), i)

#define MAX_FAILS (RUN_PROOFS * 9)	/* of one proof: look_up() 2, twice; bound() 5 */

/* What one `prove` is made of. */
struct prover {
	struct lower *l;
	const struct fast_loop *f;
	unsigned n;			/* its number in the region */
	uint8_t *fail[MAX_FAILS];	/* rel32s */
	unsigned n_fails;
	bool bounded[RUN_REGS];
};

static void fails_if(struct prover *v, int cc)
{
	v->fail[v->n_fails++] = jcc_rel32(&v->l->c, cc);
}

/* in_reg(), where r15 has been used for something else since. */
static int fetch(struct lower *l, int op, int scratch)
{
	l->tmp_slot = OP_NONE;
	return in_reg(l, 8, op, 0, scratch);
}

static int reg_size(const struct lower *l) { return is64(l) ? 8 : 4; }
static int scale_of(const struct loop_proof *p) { return p->moving == p->b ? p->c >> PROBE_SCALE & 3 : 0; }

/* r14 = offset in the page, r15 = the entry's offset in the table. */
static void look_up(struct prover *v, const struct loop_proof *p)
{
	struct lower *l = v->l;
	struct code *c = &l->c;
	unsigned idx = l->ir->mode >> MODE_MMU_SHIFT & 3;
	int32_t tag = tlb_tag(idx, p->write);

	l->tmp_slot = OP_NONE;
	lower_address(l, &(struct uop){ .a = p->a, .b = p->b, .c = p->c, .imm = p->lo, .size = 8 }, H_M);
	if (p->align) {
		ins(c, 0x8d, 4, H_TMP, hop_mem(H_M, p->align_at));
		ins_imm(c, 0xf6, 1, 0, hop_reg(H_TMP), 1, p->align - 1);
		fails_if(v, CC_NZ);
	}
	rorx(c, 8, H_TMP, hop_reg(H_M), TLB_ROR);
	alu_ri(c, ALU_AND, 4, hop_reg(H_TMP), TLB_MASK);
	alu_rm(c, ALU_XOR, 8, H_M, hop_gsx(H_TMP, 0, tag));
	alu_ri(c, ALU_CMP, 8, hop_reg(H_M), 4096 - p->range);
	fails_if(v, CC_A);
	load(c, 8, H_T0, hop_gsx(H_TMP, 0, tag + (int32_t)offsetof(struct tlb_entry, host)));
}

/* r13 = the page's host address, r14 the offset in it: what accesses add to the register that moves. */
static void keep_at(struct prover *v, const struct loop_proof *p)
{
	struct lower *l = v->l;
	struct code *c = &l->c;
	int scale = scale_of(p);

	alu_rm(c, ALU_ADD, 8, H_T0, hop_reg(H_M));
	if (p->moving != OP_NONE) {
		mov_rr(c, 8, H_TMP, fetch(l, p->moving, H_TMP));
		if (scale)
			ins_imm(c, 0xc1, 8, 4, hop_reg(H_TMP), 1, scale);
		alu_rm(c, ALU_SUB, 8, H_T0, hop_reg(H_TMP));
	}
	if (p->lo)
		alu_ri(c, ALU_SUB, 8, hop_reg(H_T0), p->lo);
	store(c, 8, RUN(l, v->n, at, (unsigned)(p - v->f->proof)), H_T0);
}

/* 32-bit code, r13 was made the lower bound: it is no less than what a round takes off. */
static void stop_above_0(struct prover *v, unsigned below)
{
	struct code *c = &v->l->c;
	uint8_t *over = jcc_short(c, CC_NC), *enough;

	mov_ri(c, H_T0, 0);
	land8(c, over);
	if (!below)
		return;
	alu_ri(c, ALU_CMP, 4, hop_reg(H_T0), (int32_t)below);
	enough = jcc_short(c, CC_NC);
	mov_ri(c, H_T0, below);
	land8(c, enough);
}

/* Is the register a canonical address but for a displacement? Then it is far from where it wraps. */
static bool is_pointer(const struct lower *l, const struct loop_proof *p)
{
	return is64(l) && (p->a == p->moving ? p->b == OP_NONE : p->a == OP_NONE && !scale_of(p));
}

/* r13 was made a bound, the host's flags are those of it. The narrowest counts. */
static void keep_bound(struct prover *v, const struct loop_proof *p, unsigned i, bool up)
{
	const struct loop_reg *r = &v->f->reg[i];
	struct code *c = &v->l->c;
	int size = reg_size(v->l), wraps = size == 8 ? CC_O : CC_C;
	struct hop at = up ? RUN(v->l, v->n, most, i) : RUN(v->l, v->n, least, i);
	int32_t margin = size == 4 && up ? r->above : 0;
	uint8_t *narrower = NULL;

	if (size == 4 && !up)
		stop_above_0(v, r->below);
	else if (!is_pointer(v->l, p))
		fails_if(v, wraps);
	if (!(r->up && r->down) && (up || size == 8) && !is_pointer(v->l, p))
		margin = MARGIN;
	if (margin) {
		mov_rr(c, size, H_TMP, H_T0);
		alu_ri(c, up ? ALU_ADD : ALU_SUB, size, hop_reg(H_TMP), margin);
		fails_if(v, wraps);
	}
	if (v->bounded[i]) {
		alu_rm(c, ALU_CMP, size, H_T0, at);
		narrower = jcc_short(c, up ? (size == 8 ? CC_GE : CC_NC) : (size == 8 ? CC_LE : CC_BE));
	}
	store(c, 8, at, H_T0);
	if (narrower)
		land8(c, narrower);
}

/* r14 = offset in the page. */
static void bound(struct prover *v, const struct loop_proof *p)
{
	struct lower *l = v->l;
	struct code *c = &l->c;
	int scale = scale_of(p), size = reg_size(l);
	unsigned i = 0;

	while (v->f->reg[i].reg != p->moving)
		i++;
	mov_ri(c, H_T0, 4096 - p->range);
	alu_rm(c, ALU_SUB, 4, H_T0, hop_reg(H_M));
	if (scale)
		ins_imm(c, 0xc1, 4, 5, hop_reg(H_T0), 1, scale);
	alu_rm(c, ALU_ADD, size, H_T0, operand(l, p->moving));
	keep_bound(v, p, i, true);
	if (scale)
		ins_imm(c, 0xc1, 4, 5, hop_reg(H_M), 1, scale);
	mov_rr(c, 8, H_T0, fetch(l, p->moving, H_T0));
	if (size == 4 && v->f->reg[i].below) {
		alu_ri(c, ALU_CMP, 4, hop_reg(H_T0), v->f->reg[i].below);
		fails_if(v, CC_C);
	}
	alu_rm(c, ALU_SUB, size, H_T0, hop_reg(H_M));
	keep_bound(v, p, i, false);
	v->bounded[i] = true;
}

/* Another vCPU empties an entry, then ends the run; so what may be written is looked at behind a fence. */
static void check_again(struct prover *v)
{
	struct code *c = &v->l->c;
	bool fenced = false;

	for (unsigned i = 0; i < v->f->n_proofs; i++) {
		if (!v->f->proof[i].write)
			continue;
		if (!fenced) {
			e8(c, 0x0f); e8(c, 0xae); e8(c, 0xf0);		/* mfence */
		}
		fenced = true;
		look_up(v, &v->f->proof[i]);
	}
}

/* Keep what is to be as it is now when the run is taken up again. */
static void keep_values(struct prover *v)
{
	struct lower *l = v->l;

	for (unsigned i = 0; i < v->f->n_regs; i++)
		if (v->f->reg[i].align)
			store(&l->c, 8, RUN(l, v->n, first, i), fetch(l, v->f->reg[i].reg, H_TMP));
	for (unsigned i = 0; i < v->f->n_same; i++)
		store(&l->c, 8, RUN(l, v->n, same, i), fetch(l, v->f->same[i], H_TMP));
	if (!v->f->n_regs)
		store_imm(&l->c, 8, RUN(l, v->n, most, 0), 0);
}

/* Does the last run go on? Else falls through to what `fail` lands at. */
static void take_up(struct prover *v)
{
	struct lower *l = v->l;
	struct code *c = &l->c;
	int size = reg_size(l);

	alu_ri(c, ALU_CMP, 4, RUN(l, v->n, owner, 0), (int32_t)(l->p->loop + v->n));
	fails_if(v, CC_NZ);
	for (unsigned i = 0; i < v->f->n_regs; i++) {
		const struct loop_reg *r = &v->f->reg[i];
		int host = fetch(l, r->reg, H_TMP);

		alu_rm(c, ALU_CMP, size, host, RUN(l, v->n, most, i));
		fails_if(v, size == 8 ? CC_G : CC_A);
		alu_rm(c, ALU_CMP, size, host, RUN(l, v->n, least, i));
		fails_if(v, size == 8 ? CC_L : CC_C);
		if (!r->align)
			continue;
		mov_rr(c, 8, H_M, host);
		alu_rm(c, ALU_XOR, 8, H_M, RUN(l, v->n, first, i));
		ins_imm(c, 0xf6, 1, 0, hop_reg(H_M), 1, r->align);
		fails_if(v, CC_NZ);
	}
	if (!v->f->n_regs) {
		alu_ri(c, ALU_CMP, 8, RUN(l, v->n, most, 0), 0);
		fails_if(v, CC_S);
	}
	for (unsigned i = 0; i < v->f->n_same; i++) {
		alu_rm(c, ALU_CMP, 8, fetch(l, v->f->same[i], H_TMP), RUN(l, v->n, same, i));
		fails_if(v, CC_NZ);
	}
}

static void all_land_here(struct prover *v)
{
	while (v->n_fails)
		land32(&v->l->c, v->fail[--v->n_fails]);
}

static void begin_anew(struct prover *v)
{
	struct lower *l = v->l;

	lower_tally(l, ROAM_LOOP);
	store_imm(&l->c, 4, RUN(l, v->n, owner, 0), 0);		/* nobody's until all is proven */
	store_imm(&l->c, 1, hop_gs(CPU_OFF(run_used) + (int32_t)((l->p->loop + v->n) % TLB_RUNS)), 1);
	for (unsigned i = 0; i < v->f->n_proofs; i++) {
		const struct loop_proof *p = &v->f->proof[i];

		look_up(v, p);
		keep_at(v, p);
		if (p->moving != OP_NONE)
			bound(v, p);
	}
	keep_values(v);
	if (l->p->smp)
		check_again(v);
	store_imm(&l->c, 4, RUN(l, v->n, owner, 0), (int32_t)(l->p->loop + v->n));
}

/* ---- the proof in r13 ---- */

static bool uses_r13(const struct uop *u)
{
	if (u->a == OP_T0 || u->b == OP_T0 || (u->op != UOP_probe && u->d == OP_T0))
		return true;
	return u->op == UOP_probe && u->aux & (PROBE_LEADER | PROBE_FOLLOWER) && !(u->aux >> PROBE_PLACE);
}

/* The one of most accesses in the fast copy of loop n, or -1. */
static int proof_to_hold(const struct ir *ir, unsigned n)
{
	const struct uop *u = ir->uops, *end = u + ir->n_uops;
	unsigned uses[RUN_PROOFS] = { 0 };
	int best = -1;

	while (u->op != UOP_rounds || u->c != n)
		u++;
	for (u++; u < end && u->op != UOP_rounds; u++) {
		int i = u->aux >> PROBE_PLACE;

		if (uses_r13(u))
			return -1;
		if (u->op != UOP_probe || !(u->aux & PROBE_PROVEN))
			continue;
		uses[i]++;
		if (best < 0 || uses[i] > uses[best])
			best = i;
	}
	return best;
}

/* All is proven. */
static void first_round(struct lower *l, const struct uop *u)
{
	if (l->held[u->c] >= 0)
		load(&l->c, 8, H_T0, RUN(l, u->c, at, (unsigned)l->held[u->c]));
	inside_jump(l, jmp_rel32(&l->c), (uint64_t)u->imm, TO_FIRST_ROUND);
}

/* How far addresses move with a register at most that moves by one. */
static int widest_scale(const struct fast_loop *f, int reg)
{
	int scale = 0;

	for (unsigned i = 0; i < f->n_proofs; i++)
		if (f->proof[i].moving == reg && scale_of(&f->proof[i]) > scale)
			scale = scale_of(&f->proof[i]);
	return scale;
}

/* Registers that go up by another one: by no more than what makes a run worth its proofs. Jumps otherwise. */
static void check_steps(struct prover *v)
{
	struct code *c = &v->l->c;

	for (unsigned i = 0; i < v->f->n_regs; i++) {
		const struct loop_reg *r = &v->f->reg[i];

		if (r->step == OP_NONE)
			continue;
		ins(c, 0x8d, 8, H_TMP, hop_mem(fetch(v->l, r->step, H_TMP), -1));
		alu_ri(c, ALU_CMP, 8, hop_reg(H_TMP), STEP_MAX >> widest_scale(v->f, r->reg));
		fails_if(v, CC_NC);
	}
}

/* ---- the µops ---- */

void lower_prove(struct lower *l, const struct uop *u)
{
	struct prover v = { .l = l, .f = &l->ir->loops[u->c], .n = u->c };
	struct prover steps = v;

	part(l, PART_lead);
	l->held[u->c] = (int8_t)proof_to_hold(l->ir, u->c);
	flags_clobber(l, u);
	for (unsigned i = 0; i < v.f->n_regs && !is64(l); i++)	/* the upper half counts in addresses below */
		mov_rr(&l->c, 4, host_reg(l, v.f->reg[i].reg), host_reg(l, v.f->reg[i].reg));
	check_steps(&steps);
	take_up(&v);
	first_round(l, u);
	all_land_here(&v);
	begin_anew(&v);
	first_round(l, u);
	all_land_here(&v);
	all_land_here(&steps);
}

/* Leave the fast copy if the register is beyond a bound. */
static void keeps_to(struct lower *l, const struct uop *u, int reg, struct hop bound, int beyond)
{
	int size = reg_size(l);

	alu_rm(&l->c, ALU_CMP, size, fetch(l, reg, H_TMP), bound);
	inside_jump(l, jcc_rel32(&l->c, beyond), (uint64_t)u->imm, TO_LABEL);
}

void lower_rounds(struct lower *l, const struct uop *u)
{
	const struct fast_loop *f = &l->ir->loops[u->c];

	l->in_run = true;
	l->loop = u->c;
	part(l, PART_lead);
	flags_clobber(l, u);
	for (unsigned i = 0; i < f->n_regs; i++) {
		if (f->reg[i].up)
			keeps_to(l, u, f->reg[i].reg, RUN(l, u->c, most, i), is64(l) ? CC_G : CC_A);
		if (f->reg[i].down)
			keeps_to(l, u, f->reg[i].reg, RUN(l, u->c, least, i), is64(l) ? CC_L : CC_C);
	}
	if (!f->n_regs) {
		alu_ri(&l->c, ALU_CMP, 8, RUN(l, u->c, most, 0), 0);
		inside_jump(l, jcc_rel32(&l->c, CC_S), (uint64_t)u->imm, TO_LABEL);
	}
	if (f->looks)
		look_at_requests(l, (uint64_t)u->imm);
	inside_place(l, (uint64_t)u->imm, TO_FIRST_ROUND);
}

void lower_proven(struct lower *l, const struct uop *u)
{
	struct code *c = &l->c;
	int scale = u->pad == u->b ? u->c >> PROBE_SCALE & 3 : 0, proof = u->aux >> PROBE_PLACE;
	int at = proof == l->held[l->loop] ? H_T0 : H_M;

	if (at == H_M && proof != l->at_in_m) {
		load(c, 8, H_M, RUN(l, l->loop, at, (unsigned)proof));
		l->at_in_m = (int8_t)proof;
	}
	l->m = hop_mem(at, (int32_t)u->imm);
	if (u->pad == OP_NONE)
		return;
	l->m = hop_sib(at, in_reg(l, 8, u->pad, 0, H_TMP), scale, (int32_t)u->imm);
	if (is_slot(l, u->pad) || lower_disturbs(l, u + 1, u->pad)) {	/* the consumer may need r15 */
		ins(c, 0x8d, 8, H_M, l->m);
		l->m = hop_mem(H_M, 0);
		l->at_in_m = -1;
	}
}
