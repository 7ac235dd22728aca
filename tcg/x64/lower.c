/*
 * µops to host code: the driver, operands, and where the flags are.
 *
 * Each µop has one function lower_<name>(). Most emit the host instruction of
 * the same name on the guest's own registers. Operands in memory slots (guest
 * r8-r11, T1-T3) go through r15 if the instruction cannot take them as memory.
 *
 * Flags: at every point the live arithmetic flags are either in the host's
 * EFLAGS (FLAGS_HOST) or in cpu->cc (FLAGS_MEM), perhaps as a note only
 * (lower_note.c), which readers have worked out. flags_op() and flags_clobber()
 * move them when the next host instruction demands it; `fl` of each µop tells
 * what is live behind it.
 */
#include "tcg/x64/lower.h"

/* r8-r11 are what compilers use least. */
const int8_t x64_usual_regs[NGPR] = {
	RAX, RCX, RDX, RBX, H_RSP, RBP, RSI, RDI, -1, -1, -1, -1, R8, R9, R10, R11,
};

int in_reg(struct lower *l, int size, int op, int64_t imm, int scratch)
{
	int r = host_reg(l, op);

	if (r >= 0)
		return r;
	if (op == l->tmp_slot && size >= 4)
		return H_TMP;
	if (scratch == H_TMP)
		l->tmp_slot = is_slot(l, op) ? (uint8_t)op : OP_NONE;
	if (op == OP_IMM) {
		mov_ri(&l->c, scratch, (uint64_t)imm & size_mask(size));
	} else if (is_hi(op)) {
		rorx(&l->c, 4, scratch, hop_reg(op - OP_AH), 8);
	} else if (is_slot(l, op)) {
		enum x64_part was = part(l, PART_slot);

		load(&l->c, 8, scratch, operand(l, op));
		part(l, was);
	} else {
		load(&l->c, size, scratch, operand(l, op));
	}
	return scratch;
}

/* ---- flags ---- */

void x64_emit_save(struct code *c, bool of)
{
	mov_rr(c, 8, H_TMP, RAX);
	e8(c, 0x9f);						/* lahf */
	if (of)
		ins(c, X_0F | 0x90, 1, 0, hop_reg(RAX));	/* seto al */
	store(c, 2, hop_gs(CPU_OFF(cc)), RAX);
	mov_rr(c, 8, RAX, H_TMP);
}

static void save(struct lower *l, uint16_t live, bool far)
{
	struct code *c = &l->c;

	if (live == FL_CF) {		/* setc into the byte where lahf puts CF */
		ins(c, X_0F | 0x92, 1, 0, hop_gs(CPU_OFF(cc) + 1));
		return;
	}
	l->tmp_slot = OP_NONE;
	if (far)
		call_to(c, l->x->stubs.save_flags[(live & FL_OF) != 0]);
	else
		x64_emit_save(c, live & FL_OF);
}

static void save_as(struct lower *l, uint16_t live, bool far, bool (*may_note)(struct lower *l))
{
	enum x64_part was = part(l, PART_flags);

	if (l->flags == FLAGS_HOST && live && (live == FL_CF || !may_note(l))) {
		save(l, live, far);
		l->noted = false;
	}
	l->flags = FLAGS_MEM;
	part(l, was);
}

void flags_save(struct lower *l, uint16_t live) { save_as(l, live, false, note_inside); }
void flags_leave(struct lower *l, uint16_t live) { save_as(l, live, false, note_leaving); }
void flags_leave_far(struct lower *l, uint16_t live) { save_as(l, live, true, note_leaving); }

static void restore(struct lower *l, uint16_t need)
{
	struct code *c = &l->c;

	l->tmp_slot = OP_NONE;
	if (need == FL_CF) {		/* of one byte: a wider load waits until what setc has just stored is in the host's cache */
		load(c, 1, H_TMP, hop_gs(CPU_OFF(cc) + 1));
		ins(c, 0xd1, 4, 5, hop_reg(H_TMP));		/* shr 1 */
		return;
	}
	mov_rr(c, 8, H_TMP, RAX);
	load(c, 2, RAX, hop_gs(CPU_OFF(cc)));
	if (need & FL_OF)
		alu_ri(c, ALU_ADD, 1, hop_reg(RAX), 0x7f);
	e8(c, 0x9e);						/* sahf */
	mov_rr(c, 8, RAX, H_TMP);
}

void flags_restore(struct lower *l, uint16_t need)
{
	enum x64_part was = part(l, PART_flags);

	if (l->flags == FLAGS_MEM) {
		flags_work_out(l);
		restore(l, need);
	}
	l->flags = FLAGS_HOST;
	part(l, was);
}

void flags_clobber(struct lower *l, const struct uop *u)
{
	flags_save(l, u->fl);
	l->flags = FLAGS_MEM;
}

void flags_op(struct lower *l, const struct uop *u)
{
	uint16_t rd = uop_flags_read(u, l->ir->insns);
	uint16_t wr = uop_flags_written(u, l->ir->insns);
	uint16_t need = rd | (u->fl & ~wr);

	if (need)
		flags_restore(l, need);
	l->flags = FLAGS_HOST;
}

/* ---- bookkeeping ---- */

uint64_t insn_rip(const struct lower *l, const struct uop *u)
{
	return l->ir->rip + l->ir->off[u->insn];
}

uint64_t next_rip(const struct lower *l, const struct uop *u)
{
	return insn_rip(l, u) + l->ir->insns[u->insn].len;
}

static inline void mark(struct lower *l, const struct uop *u, int uncounted)
{
	struct x64_block *o = l->out;
	unsigned n = o->n_side;
	struct x64_side *s = &o->side[n], at = { .off = l->ir->off[u->insn], .flags_host = l->flags == FLAGS_HOST && u->fl,
						 .uncounted = uncounted };

	if (n > l->first_side && s[-1].what == at.what)
		return;
	if (n == X64_MAX_SIDE) {
		l->failed = true;
		return;
	}
	s->host_off = (uint32_t)(l->c.p - l->base);
	s->what = at.what;
	o->n_side = n + 1;
}

/* Apart, as the usual case needs no registers for it. */
static __attribute__((noinline)) void mark_counted(struct lower *l, const struct uop *u)
{
	mark(l, u, uop_uncounted(l->ir, u));
}

void side_mark(struct lower *l, const struct uop *u)
{
	if (l->ir->mode & MODE_COUNT)
		mark_counted(l, u);
	else
		mark(l, u, 0);
}

enum x64_part part_begins(struct lower *l, enum x64_part p)
{
	enum x64_part was = l->part;
	struct x64_block *o = l->out;
	uint32_t off = (uint32_t)(l->c.p - l->base);
	struct x64_part_at *last = o->parts + o->n_parts - 1;

	if (p == was)
		return was;
	l->part = p;
	if (o->n_parts > l->first_part && last->host_off == off)
		last->part = (uint8_t)p;		/* nothing was emitted for the last one */
	else if (o->n_parts < X64_MAX_PARTS)
		o->parts[o->n_parts++] = (struct x64_part_at){ off, (uint8_t)p };
	return was;
}

struct cold *cold_new(struct lower *l, void (*emit)(struct lower *, struct cold *))
{
	struct cold *k = &l->cold[l->n_cold];

	if (l->n_cold + 1 < MAX_COLD)
		l->n_cold++;
	else
		l->failed = true;
	k->emit = emit;
	k->u = l->u;
	k->flags_in = l->flags;
	k->at[0] = k->at[1] = k->at[2] = NULL;
	k->form = M_PTR;
	k->maker = NULL;
	k->back = NULL;
	k->site = 0;
	return k;
}

void set_rip(struct lower *l, uint64_t rip)
{
	if ((int64_t)rip == (int32_t)rip) {
		store_imm(&l->c, 8, hop_gs(CPU_OFF(rip)), (int32_t)rip);
	} else {
		mov_ri(&l->c, H_TMP, rip);
		store(&l->c, 8, hop_gs(CPU_OFF(rip)), H_TMP);
	}
}

void cold_land(struct lower *l, struct cold *k)
{
	for (int i = 0; i < 3; i++)
		if (k->at[i])
			land32(&l->c, k->at[i]);
}

static void cold_guard(struct lower *l, struct cold *k)
{
	cold_land(l, k);
	mov_ri(&l->c, H_TMP, l->p->tb);
	jmp_to(&l->c, l->x->stubs.guard);
}

/* The pages the block stands on must still be mapped as they were (see env.h). */
static void emit_guards(struct lower *l)
{
	struct cold *k = NULL;

	part(l, PART_guard);
	for (int i = 0; i < 2; i++) {
		uint64_t va = l->ir->rip + l->ir->cs_base + (i ? l->ir->len - 1 : 0);

		if (!l->p->page_id[i])
			continue;
		ins_imm(&l->c, 0x81, 4, ALU_CMP, hop_gs(ENV_OFF(itlb) + 4 * (int32_t)ITLB_SLOT(va)), 4,
			(int32_t)l->p->page_id[i]);
		if (!k)
			k = cold_new(l, cold_guard);
		k->at[i] = jcc_rel32(&l->c, CC_NZ);
	}
	for (unsigned i = 0; i < l->p->n_elsewhere; i++) {
		ins_imm(&l->c, 0x81, 4, ALU_CMP, hop_gs(ENV_OFF(itlb) + 4 * (int32_t)ITLB_SLOT(l->p->elsewhere[i].va)), 4,
			(int32_t)l->p->elsewhere[i].id);
		cold_new(l, cold_guard)->at[0] = jcc_rel32(&l->c, CC_NZ);
	}
}

static lower_fn *const lower_fns[UOP_COUNT] = {
#define UOP(name, ...) [UOP_##name] = lower_##name,
#include "tcg/uop.def"
#undef UOP
};

void lower_uop(struct lower *l, const struct uop *u)
{
	lower_fns[u->op](l, u);
}

/*
 * Does lowering this µop know about tmp_slot? (lower_opd.h) From size 4 on, shifts by constants only. Does it leave
 * r14 alone, or say so? Some probes do both: a carry chain's next sum need not wait until it was stored and loaded.
 */
enum { KEEPS = 1, KEEPS_IMM = 2, KEEPS_M = 4, KEEPS_PROBE = 8 };
static const uint8_t keeps[UOP_COUNT] = {
	[UOP_mov] = KEEPS, [UOP_add] = KEEPS, [UOP_adc] = KEEPS, [UOP_sub] = KEEPS, [UOP_sbb] = KEEPS,
	[UOP_and] = KEEPS, [UOP_or] = KEEPS, [UOP_xor] = KEEPS, [UOP_cmp] = KEEPS, [UOP_inc] = KEEPS,
	[UOP_dec] = KEEPS, [UOP_neg] = KEEPS, [UOP_not] = KEEPS, [UOP_nop] = KEEPS,
	[UOP_lea] = KEEPS, [UOP_zext] = KEEPS, [UOP_sext] = KEEPS, [UOP_cmov] = KEEPS, [UOP_test] = KEEPS,
	[UOP_imul2] = KEEPS, [UOP_mulx] = KEEPS, [UOP_adcx] = KEEPS, [UOP_adox] = KEEPS, [UOP_rorx] = KEEPS,
	[UOP_shlx] = KEEPS, [UOP_shrx] = KEEPS, [UOP_sarx] = KEEPS, [UOP_probe] = KEEPS_PROBE,
	[UOP_shl] = KEEPS_IMM, [UOP_shr] = KEEPS_IMM, [UOP_sar] = KEEPS_IMM, [UOP_vec] = KEEPS_M, [UOP_x87] = KEEPS_M,
};

static bool keeps_tmp(const struct lower *l, const struct uop *u)
{
	unsigned k = keeps[u->op];

	if (k & KEEPS_PROBE)
		return u->aux & PROBE_PROVEN || (u->aux & PROBE_FOLLOWER && !is_slot(l, u->a));
	return u->size >= 4 && (k & KEEPS || (k & KEEPS_IMM && u->b == OP_IMM));
}

static bool keeps_m(const struct uop *u, bool keep)
{
	unsigned k = keeps[u->op];

	return k & KEEPS_PROBE ? u->aux & PROBE_PROVEN : keep || k & KEEPS_M;
}

static void lower_one(struct lower *l, const struct uop *u)
{
	struct cold *wr = l->pending;
	bool keep = keeps_tmp(l, u);

	part(l, PART_work);
	if (!keep)
		l->tmp_slot = OP_NONE;
	if (!keeps_m(u, keep))
		l->at_in_m = -1;
	l->pending = NULL;
	l->u = u;
	if (u->b == OP_M && (u->op == UOP_sub || u->op == UOP_add))
		note_ahead(l, u);
	lower_uop(l, u);
	if (wr)
		wr->back2 = l->c.p;
	if (wr || !keep)
		l->tmp_slot = OP_NONE;
}

/* Parts from number n on belong to the buffer that is to be filled. */
static void start_parts(struct lower *l, unsigned n)
{
	l->part = PART_COUNT;
	l->first_part = l->out->n_parts = n;
}

/*
 * Which instruction the hot code in front of this µop belongs to is asked for what may fault in
 * the host, calls C, or jumps. Slow paths have marks of their own. Counts change at
 * each instruction.
 */
static bool wants_mark(const struct uop *u, unsigned last, bool counts)
{
	unsigned kind = uop_info[u->op].kind;

	if (kind < K_EXIT && !counts)
		return false;
	return kind == K_HOST || u->insn != last || (counts && u[-1].op == UOP_count);
}

/*
 * What was noted, packed; constants that are not near the block's RIP do not come from it. Places of TLB entries stand
 * behind the constant that is their page.
 */
static void pack_moves(const struct lower *l, const uint8_t *hot, const uint8_t *cold, unsigned n_hot)
{
	const struct moves *m = &l->moves;
	struct x64_block *o = l->out;
	bool near = false;

	o->n_moves = 0;
	o->moves = l->p->moves && m->n <= MAX_MOVES && o->size <= X64_MOVE_PLACE && o->cold_size <= X64_MOVE_PLACE;
	for (unsigned i = 0; o->moves && i < m->n; i++) {
		const uint8_t *at = m->place[i].at;

		if (!m->place[i].entry)
			near = ld64(at) - l->ir->rip + X64_MOVES_FROM / 2 < X64_MOVES_FROM;
		if (near)
			o->move[o->n_moves++] = (uint16_t)((m->place[i].entry ? X64_MOVE_ENTRY : 0) |
							   (i < n_hot ? at - hot : (at - cold) | X64_MOVE_COLD));
	}
}

const size_t x64_scratch_size = sizeof(struct lower);

bool x64_compile(struct lower *l, struct x64 *x, const struct code *hot, const struct code *cold, const struct ir *ir,
		 const struct x64_params *p, struct x64_block *out)
{
	bool counts = ir->mode & MODE_COUNT;
	unsigned last = ~0u, n_moves;

	l->x = x;
	l->want_parts = x->want_parts;
	l->c = *hot;
	l->moves.n = 0;
	l->c.moves = p->moves ? &l->moves : NULL;
	l->ir = ir;
	l->p = p;
	l->out = out;
	swaps_choose(l);
	l->base = hot->p;
	l->flags = FLAGS_MEM;
	l->tmp_slot = OP_NONE;
	l->m = hop_mem(H_M, 0);
	l->pending = NULL;
	l->in_run = false;
	l->n_cold = 0;
	l->labels.n = l->labels.n_jumps = l->labels.n_tables = 0;
	out->n_sites[0] = out->n_sites[1] = 0;
	l->failed = false;
	out->n_links = out->n_side = l->first_side = 0;
	out->calls = false;
	start_parts(l, 0);
	out->guarded = here(hot);
	l->u = &ir->uops[0];
	emit_guards(l);
	out->entry = here(&l->c);
	l->ahead = NULL;
	l->noted = !(ir->mode & MODE_REGION) || ir->uops[0].fl;
	if (ir->mode & MODE_REGION)
		flags_work_out(l);
	swaps_enter(l);
	for (unsigned i = 0; i < ir->n_uops; i++) {
		const struct uop *u = &ir->uops[i];

		if (!i || wants_mark(u, last, counts)) {
			l->u = u;
			side_mark(l, u);
			last = u->insn;
		}
		lower_one(l, u);
	}
	out->end = l->c.p;
	out->size = (uint32_t)(l->c.p - l->base);
	out->n_hot_side = l->first_side = out->n_side;
	n_moves = l->moves.n;
	l->c = *cold;
	l->c.moves = p->moves ? &l->moves : NULL;
	l->base = cold->p;
	out->cold = here(cold);
	out->n_hot_parts = out->n_parts;
	start_parts(l, out->n_parts);
	for (unsigned i = 0; i < l->n_cold; i++) {	/* may grow while we go */
		struct cold *k = &l->cold[i];

		l->u = k->u;
		l->flags = (enum flags_at)k->flags_in;
		l->noted = true;
		l->tmp_slot = OP_NONE;
		side_mark(l, k->u);
		part(l, PART_leave);
		k->emit(l, k);
	}
	bind_labels(l);
	bind_tables(l);
	out->cold_end = l->c.p;
	out->cold_size = (uint32_t)(l->c.p - l->base);
	pack_moves(l, hot->p, cold->p, n_moves);
	return !l->failed;
}
