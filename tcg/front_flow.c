/*
 * Control flow: jumps, calls, returns, loops, far transfers, software interrupts;
 * and the flags that decide how the processor goes on (IF, DF, TF by POPF).
 *
 * A target outside the code segment, or not canonical, raises #GP(0) at the jump; for
 * indirect ones that is seen when the target is looked up (tcg/find_light.c). Where an
 * instruction may change the mode the block ends with `exit`.
 *
 * Not modelled: a CALL that faults by its target has written below the stack. The branch-hint, MPX and
 * CET meanings of prefixes are ignored.
 * Source: SDM vol. 2: Jcc, JMP, CALL, RET, LOOPcc, INT n, IRET, POPF, STI.
 */
#include "cpu/except.h"
#include "tcg/front.h"

static bool code64(const struct front *f)
{
	return (f->ir->mode & MODE_CODE) == MODE_CODE64;
}

uint64_t front_target(const struct front *f, const struct insn *in)
{
	return (f->next + in->imm) & size_mask(in->opsize);
}

static bool target_faults(const struct front *f, uint64_t rip)
{
	if (code64(f))
		return (uint64_t)sext(rip, f->ir->mode & MODE_LA57 ? 57 : 48) != rip;
	return !(f->ir->mode & MODE_FLAT) && rip > f->cs_limit;
}

/* ---- direct ---- */

static void jump(struct front *f, uint64_t rip)
{
	if (target_faults(f, rip))
		emit_raise_err(f, EXC_GP, 0);
	else
		emit_jmp(f, rip);
}

void front_jmp(struct front *f, const struct insn *in)
{
	jump(f, front_target(f, in));
}

/* A conditional exit to rip; the µop's condition is the caller's. */
static struct uop *branch(struct front *f, enum uop_op op, int size, int a, uint64_t rip)
{
	struct uop *u = emit(f, op, size, OP_NONE, a, OP_NONE);

	u->imm = rip;
	return u;
}

void front_jcc(struct front *f, const struct insn *in)
{
	uint64_t rip = front_target(f, in);
	int cond = insn_row(in)->opcode & 15;

	if (target_faults(f, rip)) {
		branch(f, UOP_jcc, 0, OP_NONE, f->next)->c = cond ^ 1;
		emit_raise_err(f, EXC_GP, 0);
		return;
	}
	branch(f, UOP_jcc, 0, OP_NONE, rip)->c = cond;
	emit_jmp(f, f->next);
}

/* cond: what must hold besides a count that is not 0, or -1. */
static void loop(struct front *f, const struct insn *in, int cond)
{
	uint64_t rip = front_target(f, in);
	int size = in->adsize;

	emit_add(f, size, RCX, RCX, -1);
	if (target_faults(f, rip)) {
		if (cond >= 0)
			branch(f, UOP_jcc, 0, OP_NONE, f->next)->c = cond ^ 1;
		branch(f, UOP_jrz, size, RCX, f->next);
		emit_add(f, size, RCX, RCX, 1);
		emit_raise_err(f, EXC_GP, 0);
		return;
	}
	if (cond < 0) {
		branch(f, UOP_jrnz, size, RCX, rip);
	} else {
		branch(f, UOP_jrz, size, RCX, f->next);
		branch(f, UOP_jcc, 0, OP_NONE, rip)->c = cond;
	}
	emit_jmp(f, f->next);
}

void front_loop(struct front *f, const struct insn *in)		{ loop(f, in, -1); }
void front_loope(struct front *f, const struct insn *in)	{ loop(f, in, CC_Z); }
void front_loopne(struct front *f, const struct insn *in)	{ loop(f, in, CC_NZ); }

void front_jcxz(struct front *f, const struct insn *in)
{
	uint64_t rip = front_target(f, in);

	if (target_faults(f, rip)) {
		branch(f, UOP_jrnz, in->adsize, RCX, f->next);
		emit_raise_err(f, EXC_GP, 0);
		return;
	}
	branch(f, UOP_jrz, in->adsize, RCX, rip);
	emit_jmp(f, f->next);
}

/* ---- calls and returns ---- */

static void push_next(struct front *f, int n)
{
	emit_probe_at(f, PROBE_W, n, SS, RSP, -n, stack_size(f));
	emit(f, UOP_mov, n, OP_M, OP_IMM, OP_NONE)->imm = f->next & size_mask(n);
	emit_add_rsp(f, -n);
}

void front_call(struct front *f, const struct insn *in)
{
	uint64_t rip = front_target(f, in);

	if (target_faults(f, rip)) {
		emit_raise_err(f, EXC_GP, 0);
		return;
	}
	push_next(f, in->opsize);
	branch(f, UOP_jmp, 8, OP_NONE, rip)->c = 1;
	f->done = true;
}

/* A RIP is in `a`, that many bytes. */
static void jump_indirect(struct front *f, int a, int size, int how)
{
	emit(f, UOP_jmpind, size, OP_NONE, a, OP_NONE)->c = how;
	f->done = true;
}

/* What a call pushes goes between reading the target and going there. */
static void jump_to_operand(struct front *f, const struct insn *in, bool call)
{
	int n = in->opd[0].size, a = use(f, in, 0, PROBE_R);

	if (n < 4 || (call && (a == OP_M || a == RSP))) {
		emit(f, n == 8 ? UOP_mov : UOP_zext, 8, OP_T0, a, OP_NONE)->c = n == 8 ? 0 : n;
		a = OP_T0;
		n = 8;
	}
	if (call)
		push_next(f, in->opsize);
	jump_indirect(f, a, n, call);
}

void front_jmpind(struct front *f, const struct insn *in) { jump_to_operand(f, in, false); }
void front_callind(struct front *f, const struct insn *in) { jump_to_operand(f, in, true); }

void front_ret(struct front *f, const struct insn *in)
{
	int n = in->opsize, drop = n + (int)(in->nopd ? in->imm & 0xffff : 0);

	emit_probe_at(f, PROBE_R, n, SS, RSP, 0, stack_size(f));
	if (n == stack_size(f) && n >= 4) {
		jump_indirect(f, OP_M, n, 2);
		f->ir->uops[f->ir->n_uops - 1].imm = drop;
		return;
	}
	emit(f, n == 8 ? UOP_mov : UOP_zext, 8, OP_T0, OP_M, OP_NONE)->c = n == 8 ? 0 : n;
	emit_add_rsp(f, drop);
	jump_indirect(f, OP_T0, 8, 2);
}

/* ---- far transfers: in C, which sets cpu->rip ---- */

/* Behind a helper that has set cpu->rip. */
static void leave(struct front *f)
{
	emit(f, UOP_exit, 8, OP_NONE, OP_NONE, OP_NONE);
	f->done = true;
}

/* imm of a far transfer: instruction length | operand size << 8. */
static void far_transfer(struct front *f, const struct insn *in, enum helper h)
{
	int n = in->opsize;

	if (in->opd[0].kind == OPD_MEM) {
		emit_probe(f, in, PROBE_R, n);
		emit(f, n == 8 ? UOP_mov : UOP_zext, 8, OP_T1, OP_M, OP_NONE)->c = n == 8 ? 0 : n;
		emit_probe(f, in, PROBE_R, 2);
		f->ir->uops[f->ir->n_uops - 1].imm += n;
		emit(f, UOP_zext, 8, OP_T0, OP_M, OP_NONE)->c = 2;
	} else {
		emit(f, UOP_mov, 8, OP_T1, OP_IMM, OP_NONE)->imm = in->imm & size_mask(n);
		emit(f, UOP_mov, 8, OP_T0, OP_IMM, OP_NONE)->imm = in->imm2 & 0xffff;
	}
	emit_call(f, h, OP_NONE, OP_T1, OP_T0, in->len | n << 8);
	leave(f);
}

void front_callf(struct front *f, const struct insn *in)	{ far_transfer(f, in, HELPER_callf); }
void front_jmpf(struct front *f, const struct insn *in)		{ far_transfer(f, in, HELPER_jmpf); }

void front_retf(struct front *f, const struct insn *in)
{
	int64_t bytes = in->nopd ? in->imm & 0xffff : 0;

	emit_call(f, HELPER_retf, OP_NONE, OP_NONE, OP_NONE, in->opsize | bytes << 8);
	leave(f);
}

void front_iret(struct front *f, const struct insn *in)
{
	emit_call(f, HELPER_iret, OP_NONE, OP_NONE, OP_NONE, in->len | in->opsize << 8);
	leave(f);
}

static void software_interrupt(struct front *f, const struct insn *in, int vector, enum event_kind kind)
{
	emit_call(f, HELPER_int, OP_NONE, OP_NONE, OP_NONE, vector | in->len << 8 | kind << 16);
	leave(f);
}

void front_int(struct front *f, const struct insn *in)
{
	software_interrupt(f, in, in->imm & 0xff, EVENT_SOFT_INT);
}

void front_int1(struct front *f, const struct insn *in)	{ software_interrupt(f, in, EXC_DB, EVENT_EXCEPTION); }
void front_int3(struct front *f, const struct insn *in)	{ software_interrupt(f, in, EXC_BP, EVENT_SOFT_INT); }

void front_into(struct front *f, const struct insn *in)
{
	branch(f, UOP_jcc, 0, OP_NONE, f->next)->c = CC_NO;
	software_interrupt(f, in, EXC_OF, EVENT_SOFT_INT);
}

void front_bound(struct front *f, const struct insn *in)
{
	int n = in->opsize;

	emit_ea(f, in, OP_T0);
	emit(f, UOP_sext, 8, OP_T1, in->opd[0].reg, OP_NONE)->c = n;
	emit_call(f, HELPER_bound, OP_NONE, OP_T1, OP_T0, in->seg | n << 8 | in->adsize << 16);
}

/* ---- IF, DF, and all of them ---- */

void front_sti(struct front *f, const struct insn *in)
{
	(void)in;
	if (f->ir->mode & MODE_IOPL_OK) {
		emit(f, UOP_orfl, 4, OP_NONE, OP_NONE, OP_NONE)->imm = FL_IF;
		f->poll_next = true;
	} else {
		emit_call(f, HELPER_sti, OP_NONE, OP_NONE, OP_NONE, 0);
		emit_exit_next(f);
	}
}

void front_cli(struct front *f, const struct insn *in)
{
	(void)in;
	if (f->ir->mode & MODE_IOPL_OK)
		emit(f, UOP_andfl, 4, OP_NONE, OP_NONE, OP_NONE)->imm = (int32_t)~FL_IF;
	else
		emit_call(f, HELPER_cli, OP_NONE, OP_NONE, OP_NONE, 0);
}

/* DF is part of the mode. */
static void set_direction(struct front *f, uint32_t df)
{
	if (!(f->ir->mode & MODE_DF) == !df)
		return;
	emit_call(f, HELPER_set_df, OP_NONE, OP_NONE, OP_NONE, df);
	emit_exit_next(f);
}

void front_cld(struct front *f, const struct insn *in)	{ (void)in; set_direction(f, 0); }
void front_std(struct front *f, const struct insn *in)	{ (void)in; set_direction(f, FL_DF); }

void front_pushf(struct front *f, const struct insn *in)
{
	int n = in->opsize;

	if (f->ir->mode & MODE_VM)
		emit_call(f, HELPER_pushf, OP_T0, OP_NONE, OP_NONE, n);
	else
		emit(f, UOP_getfl, 4, OP_T0, OP_NONE, OP_NONE);
	emit_probe_at(f, PROBE_W, n, SS, RSP, -n, stack_size(f));
	emit(f, UOP_mov, n, OP_M, OP_T0, OP_NONE);
	emit_add_rsp(f, -n);
}

/*
 * The helper says whether anything has changed that a block depends on, or an
 * interrupt may have become deliverable. Usually only arithmetic flags and IF do.
 */
void front_popf(struct front *f, const struct insn *in)
{
	int n = in->opsize;

	emit_probe_at(f, PROBE_R, n, SS, RSP, 0, stack_size(f));
	emit(f, n == 8 ? UOP_mov : UOP_zext, 8, OP_T0, OP_M, OP_NONE)->c = n == 8 ? 0 : n;
	emit_call(f, HELPER_popf, OP_T0, OP_T0, OP_NONE, n);
	emit_add_rsp(f, n);
	branch(f, UOP_jrz, 8, OP_T0, f->next);
	emit_exit_next(f);
}
