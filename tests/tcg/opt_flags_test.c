/* Flag liveness over blocks and through their exits; dead values. */
#include <criterion/criterion.h>
#include <string.h>

#include "tcg/front.h"
#include "tcg/pass.h"

#define M64 (MODE_CODE64 | MODE_PE | MODE_LMA | MODE_FLAT | MODE_IOPL_OK)
#define A FL_ARITH

static struct ir ir;

static void translate(const uint8_t *bytes, unsigned n)
{
	struct front f = { .ir = &ir, .env.feat = { ~0ull, ~0ull } };

	memset(&ir, 0, sizeof(ir));
	ir.rip = 0x1000;
	ir.mode = M64;
	cr_assert_eq(front_block(&f, bytes, n, 64), FRONT_OK);
}
#define TRANSLATE(...) translate((const uint8_t []) { __VA_ARGS__ }, sizeof((const uint8_t []) { __VA_ARGS__ }))

/* The code at 0x1000 needs what `opaque` says, everything else no flag. */
static uint16_t live_at(void *opaque, uint64_t rip)
{
	return rip == 0x1000 ? *(uint16_t *)opaque : 0;
}

static void run(uint16_t live)
{
	opt_flags(&ir, live_at, &live);
}

Test(opt_flags, conditions_read_their_flags)
{
	static const uint16_t of_cond[8] = {
		FL_OF, FL_CF, FL_ZF, FL_CF | FL_ZF, FL_SF, FL_PF, FL_SF | FL_OF, FL_SF | FL_OF | FL_ZF,
	};

	for (int cc = 0; cc < 16; cc++) {
		TRANSLATE(0x01, 0xd8, 0x70 | cc, 0x10);		/* add eax, ebx; jcc */
		run(0);
		cr_expect_eq(ir.uops[0].fl, of_cond[cc >> 1]);
	}
}

Test(opt_flags, overwritten_flags_are_dead)
{
	TRANSLATE(0x01, 0xd8, 0x29, 0xd8, 0x72, 0xfa);		/* add; sub; jb 0x1000 */
	run(FL_ZF);
	cr_expect_eq(ir.uops[0].fl, 0);
	cr_expect_eq(ir.uops[1].fl, FL_CF | FL_ZF);
	cr_expect_eq(ir.uops[2].flx, FL_ZF);
	cr_expect_eq(ir.uops[2].fl, 0);
}

Test(opt_flags, inc_keeps_carry)
{
	TRANSLATE(0x01, 0xd8, 0xff, 0xc0, 0x72, 0x10);		/* add; inc; jb */
	run(0);
	cr_expect_eq(ir.uops[0].fl, FL_CF);
}

Test(opt_flags, shift_by_cl_may_keep_all)
{
	TRANSLATE(0x01, 0xd8, 0xd3, 0xe0, 0x74, 0x10);		/* add; shl eax, cl; je */
	run(0);
	cr_expect_eq(ir.uops[0].fl, FL_ZF);
	TRANSLATE(0x01, 0xd8, 0xc1, 0xe0, 0x03, 0x74, 0x10);	/* add; shl eax, 3; je */
	run(0);
	cr_expect_eq(ir.uops[0].fl, 0);
}

Test(opt_flags, all_flags_but_carry_survive_bt)
{
	TRANSLATE(0x01, 0xd8, 0x0f, 0xa3, 0xc8, 0x76, 0x10);	/* add; bt eax, ecx; jbe */
	run(0);
	cr_expect_eq(ir.uops[0].fl, FL_ZF);
	TRANSLATE(0x01, 0xd8, 0x0f, 0xba, 0xe0, 0x07, 0xff, 0xe0);	/* add; bt eax, 7; jmp rax */
	run(0);
	cr_expect_eq(ir.uops[0].fl, A & ~FL_CF);
}

Test(opt_flags, unknown_exits_need_everything)
{
	TRANSLATE(0x01, 0xd8, 0xff, 0xe0);			/* add; jmp rax */
	run(0);
	cr_expect_eq(ir.uops[0].fl, A);
	TRANSLATE(0x01, 0xd8, 0x0f, 0x0b);			/* add; ud2 */
	run(0);
	cr_expect_eq(ir.uops[0].fl, A);
}

static void translate_region(const uint8_t *bytes, unsigned n)
{
	struct front f = { .ir = &ir, .cs_limit = 0xffff, .env.feat = { ~0ull, ~0ull } };

	memset(&ir, 0, sizeof(ir));
	ir.rip = 0x1000;
	ir.mode = M64 | MODE_REGION;
	cr_assert(front_region(&f, bytes, n, NULL, 0));
	opt_flags(&ir, live_at, &(uint16_t){ 0 });
}
#define REGION(...) translate_region((const uint8_t []) { __VA_ARGS__ }, sizeof((const uint8_t []) { __VA_ARGS__ }))

/* Flags live at label number n of a region. */
static uint16_t at_label(unsigned n)
{
	for (const struct uop *u = ir.uops; u < ir.uops + ir.n_uops; u++)
		if (u->op == UOP_label && !n--)
			return u->fl;
	cr_assert(false);
	return 0;
}

#define NOPS	0x90, 0x90, 0x90, 0x90, 0x90, 0x90, 0x90, 0x90, 0x90, 0x90

Test(opt_flags, jumps_inside_a_region_need_what_is_read_however_far_behind_the_label)
{
	REGION(NOPS, 0x85, 0xc0, 0x75, 0xf2, 0xc3);		/* nops; test eax, eax; jnz back; ret */
	cr_expect_eq(at_label(0), 0);
	REGION(NOPS, 0x11, 0xd8, 0x75, 0xf2, 0xc3);		/* nops; adc eax, ebx; jnz back; ret */
	cr_expect_eq(at_label(0), FL_CF);
}

Test(opt_flags, what_a_loop_reads_in_its_next_round_is_needed_in_this_one)
{
	/* outer: nops; inner: nop; dec ecx; jnz inner; adc eax, ebx; jnz outer; ret */
	REGION(NOPS, 0x90, 0xff, 0xc9, 0x75, 0xfb, 0x11, 0xd8, 0x75, 0xed, 0xc3);
	cr_expect_eq(at_label(0), FL_CF);
	cr_expect_eq(at_label(1), FL_CF);
}

static uint16_t needed(const uint8_t *bytes, unsigned n)
{
	const struct insn_env env = { .mode = M64, .feat = { ~0ull, ~0ull } };

	return flags_needed(&env, bytes, n, n);
}
#define NEEDED(...) needed((const uint8_t []) { __VA_ARGS__ }, sizeof((const uint8_t []) { __VA_ARGS__ }))

Test(opt_flags, successors_need_what_they_read_first)
{
	cr_expect_eq(NEEDED(0x01, 0xd8), 0);				/* add */
	cr_expect_eq(NEEDED(0x11, 0xd8), FL_CF);			/* adc */
	cr_expect_eq(NEEDED(0x89, 0xd8, 0x39, 0xd8), 0);		/* mov; cmp */
	cr_expect_eq(NEEDED(0xff, 0xc0, 0xc3), FL_CF);			/* inc; ret */
	cr_expect_eq(NEEDED(0x0f, 0x94, 0xc0, 0x39, 0xd8), FL_ZF);	/* sete; cmp */
	cr_expect_eq(NEEDED(0xd3, 0xe0, 0x39, 0xd8), 0);		/* shl eax, cl; cmp */
	cr_expect_eq(NEEDED(0xd3, 0xe0, 0x74, 0x10), A);		/* shl eax, cl; je */
	cr_expect_eq(NEEDED(0xc1, 0xe0, 0x03), 0);			/* shl eax, 3 */
	cr_expect_eq(NEEDED(0xc1, 0xd0, 0x03, 0x39, 0xd8), FL_CF);	/* rcl eax, 3; cmp */
	cr_expect_eq(NEEDED(0xc3), A);
	cr_expect_eq(NEEDED(0x90), A);					/* code ends */
}

Test(opt_dead, overwritten_registers_are_not_computed)
{
	TRANSLATE(0x5c, 0xc3);					/* pop rsp; ret */
	opt_dead(&ir);
	cr_expect_eq(ir.uops[2].op, UOP_nop);			/* rsp + 8 */
	cr_expect_eq(ir.uops[3].op, UOP_mov);
	uop_verify(&ir, "opt_dead");
}
