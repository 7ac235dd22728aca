/*
 * Moves: between registers, memory, the stack and segment registers; addresses;
 * exchanges; hints and fences.
 *
 * A push writes below rsp first and moves rsp afterwards, a pop reads first, so
 * that a fault leaves rsp alone. rsp is moved by lea, which keeps the flags.
 *
 * Not modelled: clflush and clwb check their address and do nothing.
 * Source: SDM vol. 2, one entry an instruction; vol. 1 6.2 (stack size), 6.6 (ENTER).
 */
#include "tcg/front.h"

static struct uop *move(struct front *f, int size, int d, int a)
{
	return emit(f, UOP_mov, size, d, a, OP_NONE);
}

/* d (8 bytes) = a of n bytes, zero-extended. */
static void widen(struct front *f, int d, int a, int n)
{
	if (n == 8)
		move(f, 8, d, a);
	else
		emit(f, UOP_zext, 8, d, a, OP_NONE)->c = n;
}

/* ---- plain moves ---- */

void front_mov(struct front *f, const struct insn *in)
{
	int size = in->opd[0].size, d, a;

	if (in->opd[1].kind == OPD_MEM) {
		a = use(f, in, 1, PROBE_R);
		d = in->opd[0].reg;
	} else {
		d = use(f, in, 0, PROBE_W);
		a = use(f, in, 1, PROBE_R);
	}
	move(f, size, d, a)->imm = signed_imm(in, size);
}

void front_movnti(struct front *f, const struct insn *in)
{
	front_mov(f, in);
}

void front_movdir64b(struct front *f, const struct insn *in)
{
	emit_ea(f, in, OP_T0);
	emit(f, UOP_zext, 8, OP_T1, in->opd[0].reg, OP_NONE)->c = in->adsize;
	emit_call(f, HELPER_movdir64b, OP_NONE, OP_T0, OP_T1, in->seg);
}

static void extend(struct front *f, const struct insn *in, enum uop_op op)
{
	int size = in->opd[0].size, n = in->opd[1].size, a = use(f, in, 1, PROBE_R);

	if (n >= size)
		move(f, size, in->opd[0].reg, a);
	else
		emit(f, op, size, in->opd[0].reg, a, OP_NONE)->c = n;
}

void front_movzx(struct front *f, const struct insn *in)	{ extend(f, in, UOP_zext); }
void front_movsx(struct front *f, const struct insn *in)	{ extend(f, in, UOP_sext); }
void front_movsxd(struct front *f, const struct insn *in)	{ extend(f, in, UOP_sext); }

void front_movbe(struct front *f, const struct insn *in)
{
	int size = in->opd[0].size;
	bool load = in->opd[1].kind == OPD_MEM;
	int d = load ? in->opd[0].reg : use(f, in, 0, PROBE_W);
	int a = load ? use(f, in, 1, PROBE_R) : in->opd[1].reg;

	emit(f, UOP_bswap, size, d, a, OP_NONE);
}

/* With a 16-bit register the result is undefined; processors clear it. */
void front_bswap(struct front *f, const struct insn *in)
{
	int r = in->opd[0].reg;

	if (in->opsize == 2)
		move(f, 2, r, OP_IMM)->imm = 0;
	else
		emit(f, UOP_bswap, in->opsize, r, r, OP_NONE);
}

void front_lea(struct front *f, const struct insn *in)
{
	emit_ea(f, in, in->opd[0].reg);
	f->ir->uops[f->ir->n_uops - 1].size = in->opd[0].size;
}

/* An exchange with memory is locked with or without the prefix. */
void front_xchg(struct front *f, const struct insn *in)
{
	bool swapped = in->opd[1].kind == OPD_MEM;
	int d = use(f, in, swapped, PROBE_RW), b = in->opd[!swapped].reg, size = in->opd[0].size;
	struct uop *u;

	if (d == b) {
		if (size == 4)
			move(f, 4, d, d);
		return;
	}
	u = emit(f, UOP_xchg, size, d, d, b);
	if (d == OP_M)
		u->aux = U_LOCK;
}

void front_cmovcc(struct front *f, const struct insn *in)
{
	int d = in->opd[0].reg, b = use(f, in, 1, PROBE_R);

	emit(f, UOP_cmov, in->opd[0].size, d, d, b)->c = insn_row(in)->opcode & 15;
}

void front_setcc(struct front *f, const struct insn *in)
{
	int d = use(f, in, 0, PROBE_W);

	emit(f, UOP_setcc, 1, d, OP_NONE, OP_NONE)->c = insn_row(in)->opcode & 15;
}

void front_xlat(struct front *f, const struct insn *in)
{
	struct uop *u;

	emit(f, UOP_zext, 8, OP_T0, RAX, OP_NONE)->c = 1;
	emit_probe_at(f, PROBE_R, 1, in->seg, RBX, 0, in->adsize);
	u = &f->ir->uops[f->ir->n_uops - 1];
	u->b = OP_T0;
	move(f, 1, RAX, OP_M);
}

/* ---- stack ---- */

/* Push n bytes of a register, temporary or immediate. */
static void push(struct front *f, int n, int a, int64_t imm)
{
	emit_probe_at(f, PROBE_W, n, SS, RSP, -n, stack_size(f));
	move(f, n, OP_M, a)->imm = imm;
	emit_add_rsp(f, -n);
}

/* M = the n bytes on top of the stack. */
static void probe_top(struct front *f, int n)
{
	emit_probe_at(f, PROBE_R, n, SS, RSP, 0, stack_size(f));
}

void front_push(struct front *f, const struct insn *in)
{
	int n = in->opsize, a = use(f, in, 0, PROBE_R);

	if (a == OP_M) {
		move(f, n, OP_T0, OP_M);
		a = OP_T0;
	}
	push(f, n, a, in->imm);
}

/* POP to memory computes its address with the rsp behind the pop. */
void front_pop(struct front *f, const struct insn *in)
{
	int n = in->opsize;

	probe_top(f, n);
	if (in->opd[0].kind == OPD_MEM) {
		struct insn behind = *in;

		if (in->base == RSP)
			behind.disp += n;
		move(f, n, OP_T0, OP_M);
		emit_probe(f, &behind, PROBE_W, n);
		move(f, n, OP_M, OP_T0);
		emit_add_rsp(f, n);
	} else if (in->opd[0].reg == RSP) {
		move(f, n, OP_T0, OP_M);
		emit_add_rsp(f, n);
		move(f, n, RSP, OP_T0);
	} else {
		move(f, n, in->opd[0].reg, OP_M);
		emit_add_rsp(f, n);
	}
}

void front_pusha(struct front *f, const struct insn *in)
{
	int n = in->opsize;

	for (int r = RAX; r <= RDI; r++) {
		emit_probe_at(f, PROBE_W, n, SS, RSP, -n * (r + 1), stack_size(f));
		move(f, n, OP_M, r);
	}
	emit_add_rsp(f, -8 * n);
}

void front_popa(struct front *f, const struct insn *in)
{
	emit_call(f, HELPER_popa, OP_NONE, OP_NONE, OP_NONE, in->opsize);
}

/* The new top of the stack must be writable, although nothing is written there. */
void front_enter(struct front *f, const struct insn *in)
{
	int n = in->opsize, level = in->imm2 & 31;

	if (level) {
		emit_call(f, HELPER_enter, OP_NONE, OP_NONE, OP_NONE, (in->imm & 0xffff) | level << 16 | n << 24);
		return;
	}
	emit_probe_at(f, PROBE_W, n, SS, RSP, -n, stack_size(f));
	move(f, n, OP_M, RBP);
	emit_probe_at(f, PROBE_RW, n, SS, RSP, -n - (in->imm & 0xffff), stack_size(f));
	move(f, n, OP_T0, OP_M);
	emit_add_rsp(f, -n);
	move(f, n, RBP, RSP);
	emit_add_rsp(f, -(in->imm & 0xffff));
}

void front_leave(struct front *f, const struct insn *in)
{
	int n = in->opsize, size = stack_size(f);

	emit_probe_at(f, PROBE_R, n, SS, RBP, 0, size);
	move(f, n, OP_T0, OP_M);
	emit_add(f, size, RSP, RBP, n);
	move(f, n, RBP, OP_T0);
}

/* ---- segment registers ---- */

static int64_t selector_at(int seg)
{
	return offsetof(struct cpu, segs) + seg * sizeof(struct seg) + offsetof(struct seg, sel);
}

/* d = the selector, zero-extended. */
static void get_selector(struct front *f, int d, int seg)
{
	emit(f, UOP_ldenv, 2, d, OP_NONE, OP_NONE)->imm = selector_at(seg);
}

/* Load seg from a (8 bytes); T0 = something that blocks depend on has changed. */
static void set_selector(struct front *f, int seg, int a)
{
	emit_call(f, HELPER_seg_load, OP_T0, a, OP_NONE, seg);
}

/* MOV and POP of SS: the next instruction sets rsp. */
static void hold_interrupts(struct front *f, int seg)
{
	if (seg == SS)
		emit_call(f, HELPER_set_shadow, OP_NONE, OP_NONE, OP_NONE, 1);
}

/*
 * In 64-bit code a load of DS or ES changes nothing a block depends on, and one of
 * FS or GS never does.
 */
static void after_selector(struct front *f, int seg)
{
	if (seg >= FS || (seg != SS && (f->ir->mode & MODE_CODE) == MODE_CODE64))
		return;
	if (seg != SS)
		emit(f, UOP_jrz, 8, OP_NONE, OP_T0, OP_NONE)->imm = f->next;
	emit_exit_next(f);
}

/* A register takes the selector at operand size, memory as 2 bytes. */
void front_mov_sreg_store(struct front *f, const struct insn *in)
{
	int d;

	get_selector(f, OP_T0, in->opd[1].reg);
	d = use(f, in, 0, PROBE_W);
	move(f, d == OP_M ? 2 : in->opd[0].size, d, OP_T0);
}

void front_mov_sreg_load(struct front *f, const struct insn *in)
{
	int seg = in->opd[0].reg, a = use(f, in, 1, PROBE_R);

	widen(f, OP_T0, a, 2);
	set_selector(f, seg, OP_T0);
	hold_interrupts(f, seg);
	after_selector(f, seg);
}

void front_push_seg(struct front *f, const struct insn *in)
{
	get_selector(f, OP_T0, in->opd[0].reg);
	push(f, in->opsize, OP_T0, 0);
}

void front_pop_seg(struct front *f, const struct insn *in)
{
	int seg = in->opd[0].reg;

	/* The new SS does not change how rsp moves: the old stack size counts. */
	probe_top(f, in->opsize);
	widen(f, OP_T0, OP_M, 2);
	set_selector(f, seg, OP_T0);
	emit_add_rsp(f, in->opsize);
	hold_interrupts(f, seg);
	after_selector(f, seg);
}

/* Which segment register an lds-like instruction loads. */
static int far_pointer_seg(uint32_t opcode)
{
	switch (opcode) {
	case 0xc4: return ES;
	case 0xc5: return DS;
	case 0x0fb2: return SS;
	case 0x0fb4: return FS;
	default: return GS;
	}
}

void front_lds(struct front *f, const struct insn *in)
{
	int n = in->opsize, seg = far_pointer_seg(insn_row(in)->opcode);

	emit_probe(f, in, PROBE_R, n);
	move(f, n, OP_T1, OP_M);
	emit_probe(f, in, PROBE_R, 2);
	f->ir->uops[f->ir->n_uops - 1].imm += n;
	widen(f, OP_T0, OP_M, 2);
	set_selector(f, seg, OP_T0);
	move(f, n, in->opd[0].reg, OP_T1);
	after_selector(f, seg);
}

/* Raise the RPL of the destination to that of the source; ZF tells whether it was lower. */
void front_arpl(struct front *f, const struct insn *in)
{
	if (in->opd[0].kind == OPD_MEM) {
		emit_ea(f, in, OP_T0);
		emit_call(f, HELPER_arpl_mem, OP_NONE, OP_T0, in->opd[1].reg, in->seg);
		return;
	}
	widen(f, OP_T0, in->opd[0].reg, 2);
	emit_call(f, HELPER_arpl, OP_T0, OP_T0, in->opd[1].reg, 0);
	move(f, 2, in->opd[0].reg, OP_T0);
}

/* ---- hints, fences, cache lines ---- */

void front_nop(struct front *f, const struct insn *in)
{
	(void)f;
	(void)in;
}

void front_prefetch(struct front *f, const struct insn *in)
{
	(void)f;
	(void)in;
}

void front_pause(struct front *f, const struct insn *in)
{
	(void)in;
	emit_call(f, HELPER_pause, OP_NONE, OP_NONE, OP_NONE, 0);
}

void front_fence(struct front *f, const struct insn *in)
{
	emit(f, UOP_fence, 0, OP_NONE, OP_NONE, OP_NONE)->imm = INSN_REG(in);
}

/* Zero the 64 bytes around DS:rAX. */
void front_clzero(struct front *f, const struct insn *in)
{
	int seg = in->seg_override == NO_REG ? DS : in->seg_override;
	bool linear = seg >= FS && (f->ir->mode & MODE_CODE) == MODE_CODE64;

	emit_add(f, in->adsize, OP_T0, RAX, 0);
	if (linear) {		/* the line is that of the linear address */
		emit(f, UOP_ldenv, 8, OP_T1, OP_NONE, OP_NONE)->imm =
			(int64_t)(offsetof(struct cpu, segs) + (size_t)seg * sizeof(struct seg) + offsetof(struct seg, base));
		emit(f, UOP_lea, 8, OP_T0, OP_T0, OP_T1)->c = 2 << PROBE_ADSIZE;
	}
	move(f, 8, OP_T1, OP_IMM)->imm = 6;
	emit(f, UOP_shrx, 8, OP_T0, OP_T0, OP_T1);
	emit(f, UOP_shlx, 8, OP_T0, OP_T0, OP_T1);
	for (int i = 0; i < 64; i += 8) {
		emit_probe_at(f, PROBE_W | (linear ? PROBE_NOSEG : 0), 8, seg, OP_T0, i, linear ? 8 : in->adsize);
		move(f, 8, OP_M, OP_IMM);
	}
}

void front_clflush(struct front *f, const struct insn *in)
{
	emit_probe(f, in, PROBE_R, 1);
	move(f, 1, OP_T0, OP_M);
}
