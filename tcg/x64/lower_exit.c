/*
 * Leaving a block: direct exits that are linked to their targets, indirect
 * jumps through the jump cache, polls, and the way back to the run loop.
 *
 * A direct exit is one jump. Unlinked, it is a call that asks C, or goes to one
 * (struct x64_link); linked, straight to the target. If live flags stand in host
 * registers the exit goes through cold code that saves them, unless the target
 * reads none and no guard stands in front of it: then linking skips that code.
 */
#include "tcg/x64/lower.h"

/* ---- direct exits ---- */

static uint32_t offset(const struct lower *l, const uint8_t *p)
{
	return (uint32_t)(p - l->x->base);
}

/*
 * Linking changes n bytes of an exit, `skip` from here, while other threads run it: they are to
 * lie in one aligned quadword, which is stored and fetched at once.
 * Source: AMD64 Architecture Programmer's Manual vol. 2, 7.6.1 "Cross-Modifying Code".
 */
static void pad(struct lower *l, unsigned skip, unsigned n)
{
	static const uint8_t nop[4][4] = { { 0x90 }, { 0x66, 0x90 }, { 0x0f, 0x1f, 0x00 }, { 0x0f, 0x1f, 0x40, 0x00 } };
	unsigned at = (uintptr_t)(l->c.p + skip) & 7;

	for (unsigned i = 0; l->p->smp && at + n > 8 && i < 8 - at; i++)
		e8(&l->c, nop[8 - at - 1][i]);
}

static uint8_t *jmp_exit(struct lower *l)
{
	pad(l, 0, 5);
	return jmp_rel32(&l->c);
}

static uint8_t *jcc_exit(struct lower *l, int cc)
{
	pad(l, 2, 4);
	return jcc_rel32(&l->c, cc);
}

/* Behind the block: [save flags,] thunk. A poll of the same exit comes to the thunk, too: C sees the request. */
static void cold_exit(struct lower *l, struct cold *k)
{
	struct x64_link *link = &l->out->links[k->info];
	struct code *c = &l->c;
	uint8_t *start = c->p;

	if (k->flags_in == FLAGS_HOST && link->flx) {
		l->flags = FLAGS_HOST;
		flags_leave_far(l, link->flx);
	}
	pad(l, 0, 5);
	link->save = (uint8_t)(c->p - start);
	link->thunk = offset(l, c->p);
	if (k->at[0])
		land32(c, k->at[0]);
	fix32(c, l->x->base + link->hot, start + c->rx);
	call_to(c, l->x->stubs.link);
}

/*
 * The jump at `at` leaves for rip; `polled`: a jump of a failed poll to the same end, or NULL.
 * One that is always taken and leaves nothing to do is its own thunk.
 */
static void add_link(struct lower *l, uint8_t *polled, uint8_t *at, uint64_t rip, uint16_t flx)
{
	struct x64_block *o = l->out;
	struct x64_link *link = &o->links[o->n_links];
	struct cold *k;

	if (o->n_links == X64_MAX_LINKS) {
		l->failed = true;
		return;
	}
	o->n_links++;
	*link = (struct x64_link){ .hot = offset(l, at), .rip = rip, .live = flx,
				   .flx = l->flags == FLAGS_HOST ? flx : 0 };
	if (at[-1] == 0xe9 && !polled && !link->flx) {
		at[-1] = 0xe8;
		fix32(&l->c, at, l->x->stubs.link);
		return;
	}
	k = cold_new(l, cold_exit);
	k->info = o->n_links - 1;
	k->at[0] = polled;
}

static void cold_leave(struct lower *l, struct cold *k)
{
	cold_land(l, k);
	swaps_leave(l);
	set_rip(l, k->imm);
	mov_ri(&l->c, H_M, X64_REQUEST);
	jmp_to(&l->c, l->x->stubs.leave);
}

/* ---- jumps inside a region ---- */

/*
 * At a label the live flags are in memory, whoever comes. Jumps that still have
 * them in host registers save them on the way. Requests are looked at where
 * jumps from behind arrive.
 */
static uint8_t *poll(struct lower *l);

void inside_place(struct lower *l, uint64_t rip, enum inside_to to)
{
	if (l->labels.n == ARRAY_LEN(l->labels.label))
		l->failed = true;
	else
		l->labels.label[l->labels.n++] = (struct label){ rip, l->c.p, (uint8_t)to, false };
}

void look_at_requests(struct lower *l, uint64_t rip)
{
	struct cold *k = cold_new(l, cold_leave);

	k->imm = rip;
	k->at[0] = poll(l);
}

void lower_label(struct lower *l, const struct uop *u)
{
	bool head = u == l->ir->uops;
	uint8_t *over = NULL;

	part(l, PART_jump);
	if (!head && uop_leaves(u - 1))
		l->flags = FLAGS_MEM;	/* nobody falls through */
	flags_save(l, u->fl);
	l->flags = FLAGS_MEM;
	if (head && u->c)		/* who enters gets one round whatever is pending */
		over = jmp_short(&l->c);
	inside_place(l, (uint64_t)u->imm, u->aux == U_FAST ? TO_FAST : TO_LABEL);
	l->labels.label[l->labels.n - 1].table = u->aux == U_TABLE;
	if (!u->c)
		return;
	look_at_requests(l, (uint64_t)u->imm);
	if (over)
		land8(&l->c, over);
}

void inside_jump(struct lower *l, uint8_t *rel32, uint64_t rip, enum inside_to to)
{
	struct labels *s = &l->labels;

	if (s->n_jumps == ARRAY_LEN(s->jump))
		l->failed = true;
	else
		s->jump[s->n_jumps++] = (struct inside){ rip, rel32, (uint8_t)to };
}

void bind_labels(struct lower *l)
{
	const struct labels *s = &l->labels;

	for (unsigned i = 0; i < s->n_jumps; i++)
		for (unsigned j = 0; j < s->n; j++)
			if (s->label[j].rip == s->jump[i].rip && s->label[j].to == s->jump[i].to)
				fix32(&l->c, s->jump[i].rel32, s->label[j].at + l->c.rx);
}

static bool stays_inside(const struct uop *u) { return u->aux == U_INSIDE || u->aux == U_FAST; }

static void inside(struct lower *l, uint8_t *rel32, const struct uop *u)
{
	inside_jump(l, rel32, (uint64_t)u->imm, u->aux == U_FAST ? TO_FAST : TO_LABEL);
}

static void cold_inside(struct lower *l, struct cold *k)
{
	cold_land(l, k);
	flags_save(l, k->u->flx);
	inside(l, jmp_rel32(&l->c), k->u);
}

/* A conditional jump on a host condition. */
static void inside_if(struct lower *l, const struct uop *u, int cc)
{
	if (l->flags == FLAGS_HOST && u->flx)
		cold_new(l, cold_inside)->at[0] = jcc_rel32(&l->c, cc);
	else
		inside(l, jcc_rel32(&l->c, cc), u);
}

/* ---- exits ---- */

/* Is a request pending? The jump taken if so. Destroys the host's flags. */
static uint8_t *poll(struct lower *l)
{
	enum x64_part was = part(l, PART_poll);
	uint8_t *pending;

	alu_ri(&l->c, ALU_CMP, 4, hop_gs(CPU_OFF(request)), 0);
	pending = jcc_rel32(&l->c, CC_NZ);
	part(l, was);
	return pending;
}

static bool backward(const struct lower *l, const struct uop *u)
{
	return (uint64_t)u->imm <= insn_rip(l, u);
}

static bool pairs_returns(const struct lower *l);
static void direct_call(struct lower *l, const struct uop *u);

void lower_jmp(struct lower *l, const struct uop *u)
{
	uint8_t *polled = NULL;

	part(l, PART_jump);
	if (stays_inside(u)) {
		flags_save(l, u->flx);
		inside(l, jmp_rel32(&l->c), u);
		return;
	}
	swaps_leave(l);
	if (u->c == 1 && pairs_returns(l)) {
		direct_call(l, u);
		return;
	}
	if (backward(l, u)) {
		flags_leave(l, u->flx);
		polled = poll(l);
	}
	add_link(l, polled, jmp_exit(l), (uint64_t)u->imm, u->flx);
}

/* Bits of cpu->cc, second byte, that decide a condition alone; 0: several bytes. */
static uint8_t cc_mask(int cond)
{
	static const uint8_t mask[8] = {
		[CC_C / 2] = FL_CF, [CC_Z / 2] = FL_ZF, [CC_BE / 2] = FL_CF | FL_ZF,
		[CC_S / 2] = FL_SF, [CC_P / 2] = FL_PF,
	};
	return mask[cond / 2];
}

/* Condition `cond` into host flags: the host condition to test. */
static int condition(struct lower *l, const struct uop *u, int cond)
{
	if (l->flags == FLAGS_MEM && cc_mask(cond)) {
		part(l, PART_flags);
		flags_work_out(l);
		ins_imm(&l->c, 0xf6, 1, 0, hop_gs(CPU_OFF(cc) + 1), 1, cc_mask(cond));
		part(l, PART_work);
		return cond & 1 ? CC_Z : CC_NZ;
	}
	flags_restore(l, cc_flags(cond) | u->fl | u->flx);
	return cond;
}

/* Go to u's target for certain; backward only past a look at requests. */
static void leave_to(struct lower *l, const struct uop *u)
{
	uint8_t *polled = NULL;

	if (backward(l, u)) {
		flags_leave(l, u->flx);
		polled = poll(l);
	}
	add_link(l, polled, jmp_exit(l), (uint64_t)u->imm, u->flx);
}

static void cold_unswap(struct lower *l, struct cold *k)
{
	cold_land(l, k);
	swaps_leave(l);
	leave_to(l, k->u);
}

/* A conditional exit on a host condition. */
static void exit_if(struct lower *l, const struct uop *u, int cc)
{
	enum flags_at flags = l->flags;
	bool noted = l->noted;
	uint8_t *over;

	if (stays_inside(u)) {
		inside_if(l, u, cc);
		return;
	}
	if (l->out->n_swaps) {
		cold_new(l, cold_unswap)->at[0] = jcc_rel32(&l->c, cc);
		return;
	}
	if (!backward(l, u)) {
		add_link(l, NULL, jcc_exit(l, cc), (uint64_t)u->imm, u->flx);
		return;
	}
	over = jcc_short(&l->c, cc ^ 1);
	leave_to(l, u);
	land8(&l->c, over);
	l->flags = flags;
	l->noted = noted;
}

void lower_jcc(struct lower *l, const struct uop *u)
{
	exit_if(l, u, condition(l, u, u->c));
}

static void jump_zero(struct lower *l, const struct uop *u, int cc)
{
	int r;

	flags_save(l, u->fl | u->flx);
	l->flags = FLAGS_MEM;
	r = in_reg(l, u->size, u->a, 0, H_TMP);
	ins(&l->c, u->size == 1 ? 0x84 : 0x85, u->size, r, hop_reg(r));
	exit_if(l, u, cc);
}

void lower_jrz(struct lower *l, const struct uop *u) { jump_zero(l, u, CC_Z); }
void lower_jrnz(struct lower *l, const struct uop *u) { jump_zero(l, u, CC_NZ); }

void lower_poll(struct lower *l, const struct uop *u)
{
	struct cold *k;

	flags_save(l, u->fl | u->flx);
	l->flags = FLAGS_MEM;
	k = cold_new(l, cold_leave);
	k->imm = (uint64_t)u->imm;
	k->at[0] = poll(l);
}

/* ---- performance counters ---- */

static void cold_count(struct lower *l, struct cold *k)
{
	cold_land(l, k);
	ins_imm(&l->c, 0x81 | X_LOCK, 4, ALU_OR, hop_gs(CPU_OFF(request)), 4, REQ_PMU);
	jmp_to(&l->c, k->back + l->c.rx);
}

void lower_count(struct lower *l, const struct uop *u)
{
	int user = l->ir->mode & MODE_CPL ? 8 : 0;
	struct cold *k;

	flags_clobber(l, u);
	if (u->c)
		alu_ri(&l->c, ALU_ADD, 8, hop_gs(CPU_OFF(pmu.branches) + user), 1);
	alu_ri(&l->c, ALU_SUB, 8, hop_gs(CPU_OFF(pmu.left) + user), (int32_t)u->imm);
	k = cold_new(l, cold_count);
	k->at[0] = jcc_rel32(&l->c, CC_S);
	k->back = l->c.p;
}

/* ---- indirect exits ---- */

void x64_jump_slot(struct code *c)
{
	rorx(c, 4, H_TMP, hop_reg(H_M), JC_BITS);
	alu_rm(c, ALU_XOR, 4, H_TMP, hop_reg(H_M));
	alu_ri(c, ALU_AND, 4, hop_reg(H_TMP), JC_SIZE - 1);
}

uint8_t *x64_jump_cached(struct code *c, int t, int ext)
{
	int32_t tag = ENV_OFF(jc_tag) + t * (int32_t)(JC_SIZE * 8);
	int32_t code = ENV_OFF(jc_code) + t * (int32_t)(JC_SIZE * 8);
	uint8_t *miss;

	x64_jump_slot(c);
	alu_rm(c, ALU_CMP, 8, H_M, hop_gsx(H_TMP, 3, tag));
	miss = jcc_rel32(c, CC_NZ);
	ins(c, 0xff, 4, ext, hop_gsx(H_TMP, 3, code));
	return miss;
}

/*
 * Calls and returns use the host's: the return address the host pushes is code
 * right behind the call, which goes on at the guest's next instruction if r14,
 * where every guest return leaves its target, says so. Anything that has come
 * between (another stack, a long jump) shows as a difference there and is looked
 * up; the host stack is emptied then. r13 tells which instruction returned. Its depth is bounded; leaving the cache
 * empties it, too.
 */
static bool pairs_returns(const struct lower *l)
{
	return l->p->jc_table >= 0;
}

void x64_push_code(struct code *c, const uint8_t *rx)
{
	lea_rip(c, H_TMP);
	fix32(c, c->p - 4, rx);
	e8(c, 0x41); e8(c, 0x57);			/* push r15 */
}

static void cold_deep(struct lower *l, struct cold *k)
{
	cold_land(l, k);
	call_to(&l->c, l->x->stubs.deep[l->p->jc_table]);
	jmp_to(&l->c, k->back + l->c.rx);
}

static void check_depth(struct lower *l)
{
	struct code *c = &l->c;
	struct cold *k = cold_new(l, cold_deep);

	alu_rm(c, ALU_CMP, 8, RSP, hop_gs(ENV_OFF(stack_limit)));
	k->at[0] = jcc_rel32(c, CC_C);
	k->back = c->p;
}

static void cold_mismatch(struct lower *l, struct cold *k)
{
	cold_land(l, k);
	jmp_to(&l->c, l->x->stubs.return_miss[l->p->jc_table]);
}

/* Where the host comes back to: right behind the call. */
static void return_site(struct lower *l, const struct uop *u)
{
	struct code *c = &l->c;
	bool is64 = (l->ir->mode & MODE_CODE) == MODE_CODE64;
	uint64_t rip = next_rip(l, u);
	struct cold *k = cold_new(l, cold_mismatch);

	part(l, PART_return);
	if (is64 && (int64_t)rip != (int32_t)rip) {
		mov_ri(c, H_TMP, rip);
		alu_rm(c, ALU_CMP, 8, H_M, hop_reg(H_TMP));
	} else {
		ins_imm(c, 0x81, is64 ? 8 : 4, ALU_CMP, hop_reg(H_M), 4, (int32_t)rip);
	}
	k->at[0] = jcc_rel32(c, CC_NZ);
	ins_imm(c, 0x81, 4, ALU_CMP, hop_gs(CPU_OFF(mode)), 4, (int32_t)(l->ir->mode & ~MODE_TCG));
	k->at[1] = jcc_rel32(c, CC_NZ);
	l->flags = FLAGS_MEM;
	add_link(l, NULL, jmp_exit(l), is64 ? rip : (uint32_t)rip, FL_ARITH);
	l->out->links[l->out->n_links - 1].far = true;
	l->out->calls = true;
}

static void direct_call(struct lower *l, const struct uop *u)
{
	struct code *c = &l->c;
	uint8_t *polled = NULL;

	part(l, PART_call);
	flags_leave(l, u->flx);
	check_depth(l);
	if (backward(l, u))
		polled = poll(l);
	pad(l, 1, 4);
	e8(c, 0xe8);
	e32(c, 0);
	add_link(l, polled, c->p - 4, (uint64_t)u->imm, u->flx);
	return_site(l, u);
}

enum { IND_JUMP, IND_CALL, IND_RETURN };	/* field c of jmpind */

/* r = an address in the code of this instruction: C finds it by that if the target is bad. */
static void name_insn(struct code *c, int r) { lea_rip(c, r); }

/* r14 has the target; not in the jump cache. */
static void cold_indirect(struct lower *l, struct cold *k)
{
	struct code *c = &l->c;

	cold_land(l, k);
	if (k->back)			/* a call: as if the host had called */
		x64_push_code(c, k->back + c->rx);
	store(c, 8, hop_gs(CPU_OFF(rip)), H_M);
	name_insn(c, H_TMP);
	jmp_to(c, l->x->stubs.indirect);
}

void leave_indirect(struct lower *l)
{
	struct cold *k;

	swaps_leave(l);
	k = cold_new(l, cold_indirect);
	k->at[0] = poll(l);
	k->at[1] = x64_jump_cached(&l->c, l->p->jc_table, 4);
}

void lower_jmpind(struct lower *l, const struct uop *u)
{
	struct code *c = &l->c;
	struct cold *k;

	part(l, u->c == IND_RETURN ? PART_return : PART_indirect);
	if (u->aux == U_INSIDE && pairs_returns(l) && table_jump(l, u))
		return;
	flags_leave(l, u->flx);
	mov_rr(c, u->size, H_M, in_reg(l, u->size, u->a, 0, H_M));
	if (u->imm)
		ins(c, 0x8d, u->size, H_RSP, hop_mem(H_RSP, (int32_t)u->imm));
	swaps_leave(l);
	if (!pairs_returns(l)) {
		k = cold_new(l, cold_indirect);
		k->at[0] = jmp_rel32(c);
		return;
	}
	if (u->c == IND_RETURN) {
		name_insn(c, H_T0);
		e8(c, 0xc3);
		return;
	}
	if (u->c == IND_CALL)
		check_depth(l);
	k = cold_new(l, cold_indirect);
	k->at[0] = poll(l);
	k->at[1] = x64_jump_cached(c, l->p->jc_table, u->c == IND_CALL ? 2 : 4);
	if (u->c == IND_CALL) {
		k->back = c->p;
		return_site(l, u);
	}
}

void lower_exit(struct lower *l, const struct uop *u)
{
	flags_save(l, u->flx | u->fl);
	l->flags = FLAGS_MEM;
	swaps_leave(l);
	jmp_to(&l->c, l->p->jc_table >= 0 ? l->x->stubs.go_on : l->x->stubs.dispatch);
}

void lower_raise(struct lower *l, const struct uop *u)
{
	flags_save(l, FL_ARITH);
	l->flags = FLAGS_MEM;
	swaps_leave(l);
	set_rip(l, insn_rip(l, u));
	mov_ri(&l->c, H_M, (uint64_t)(u->imm & 0xff) | (u->c ? 0x100 : 0) | (uint64_t)u->aux << 16);
	call_to(&l->c, l->x->stubs.raise);
}
