/* x87 instructions on the image: cpu/fpu.c. */
#include <criterion/criterion.h>
#include <math.h>
#include <string.h>

#include "cpu/fpu.h"
#include "tests/cpu/harness.h"

static struct bench B;
static uint8_t M[16];
#define C (B.c)
#define R(expr) RAISED(&B, expr)

static void init(void)
{
	bench_protected(&B, 0);
	C->cr0 |= CR0_NE;
}

static void fini(void)
{
	bench_fini(&B);
}
TestSuite(fpu, .init = init, .fini = fini);

/* Execute an instruction of two bytes; memory forms ([eax]) use M. */
static void x(unsigned opcode, unsigned modrm)
{
	const uint8_t bytes[15] = { (uint8_t)opcode, (uint8_t)modrm };
	struct insn_env env = { .mode = C->mode, .feat = { ~0ull, ~0ull } };
	struct insn in;

	cr_assert_eq(insn_decode(bytes, sizeof(bytes), &env, &in), INSN_OK, "%02x %02x", opcode, modrm);
	x87_exec(C, &in, modrm < 0xc0 ? M : NULL);
}

static void push(double v)
{
	memcpy(M, &v, 8);
	x(0xdd, 0x00);		/* fld m64 */
}

static double pop(void)
{
	double v;

	x(0xdd, 0x18);		/* fstp m64 */
	memcpy(&v, M, 8);
	return v;
}

static unsigned fsw(void)	{ return ld16(C->xsave + 2); }
static unsigned ftw(void)	{ return C->xsave[4]; }
static unsigned top(void)	{ return fsw() >> 11 & 7; }
static void set_fcw(unsigned v)
{
	st16(M, (uint16_t)v);
	x(0xd9, 0x28);
}

Test(fpu, arithmetic_pushes_and_pops)
{
	x(0xdb, 0xe3);		/* fninit */
	push(1.5);
	push(2.25);
	cr_assert_eq(top(), 6);
	cr_assert_eq(ftw(), 0xc0);
	x(0xde, 0xc1);		/* faddp */
	cr_assert_eq(top(), 7);
	cr_assert_eq(pop(), 3.75);
	cr_assert_eq(ftw(), 0);
	cr_assert_eq(fsw() & 0xff, 0);
}

Test(fpu, stack_underflow_is_an_invalid_operation_with_sf)
{
	x(0xdb, 0xe3);
	x(0xd8, 0xc1);		/* fadd st0, st1 */
	cr_assert_eq(fsw() & 0x2ff, 0x41);
	cr_assert(isnan(pop()));
	x(0xdb, 0xe2);		/* fnclex */
	cr_assert_eq(fsw() & 0xff, 0);
}

Test(fpu, unmasked_exception_waits_for_the_next_instruction)
{
	x(0xdb, 0xe3);
	set_fcw(0x37b);		/* ZE unmasked */
	push(1);
	push(0);
	cr_assert_eq(R(x(0xde, 0xf9)), -1);		/* fdivp: 1/0 */
	cr_assert_eq(fsw() & 0x80ff, 0x8084);
	cr_assert_eq(ftw(), 0xc0, "the operands stay");
	cr_assert_eq(R(x(0xdd, 0x38)), -1);		/* fnstsw does not wait */
	cr_assert_eq(ld16(M) & 0x80ff, 0x8084);
	cr_assert_eq(R(x(0xd9, 0xc9)), EXC(EXC_MF, 0));	/* fxch does */
	cr_assert_eq(R(x(0x9b, 0)), EXC(EXC_MF, 0));
	x(0xdb, 0xe2);
	cr_assert_eq(R(x(0x9b, 0)), -1);
}

Test(fpu, loading_the_control_word_can_unmask)
{
	x(0xdb, 0xe3);
	push(1);
	push(0);
	x(0xde, 0xf9);
	cr_assert(isinf(pop()));
	cr_assert_eq(fsw() & 0xff, 0x04);
	set_fcw(0x37b);
	cr_assert_eq(fsw() & 0xff, 0x84);
	cr_assert_eq(R(x(0x9b, 0)), EXC(EXC_MF, 0));
}

Test(fpu, precision_and_rounding_control_count)
{
	x(0xdb, 0xe3);
	push(1);
	push(3);
	x(0xde, 0xf9);
	x(0xdb, 0x38);		/* fstp m80 */
	cr_assert_eq(ld64(M), 0xaaaaaaaaaaaaaaab);
	set_fcw(0x07f);		/* single */
	push(1);
	push(3);
	x(0xde, 0xf9);
	x(0xdb, 0x38);
	cr_assert_eq(ld64(M), 0xaaaaab0000000000);
	set_fcw(0xf7f);		/* towards zero */
	push(2.75);
	x(0xdb, 0x18);		/* fistp m32 */
	cr_assert_eq(ld32(M), 2);
}

Test(fpu, comparisons_write_eflags)
{
	x(0xdb, 0xe3);
	push(2);
	push(1);
	cpu_set_eflags(C, FL_OF | FL_SF | FL_AF);
	x(0xdb, 0xf1);		/* fcomi st0, st1 */
	cr_assert_eq(cpu_get_eflags(C) & FL_ARITH, FL_CF);
	x(0xda, 0xc1);		/* fcmovb st0, st1 */
	cr_assert_eq(pop(), 2);
	push(NAN);
	x(0xdf, 0xe9);		/* fucomip */
	cr_assert_eq(cpu_get_eflags(C) & FL_ARITH, FL_CF | FL_ZF | FL_PF);
	cr_assert_eq(fsw() & 1, 0);
	cr_assert_eq(pop(), 2);
}

Test(fpu, other_instructions_leave_eflags_alone)
{
	x(0xdb, 0xe3);
	cpu_set_eflags(C, FL_ARITH);
	push(1);
	x(0xd9, 0xe0);		/* fchs */
	cr_assert_eq(pop(), -1);
	cr_assert_eq(cpu_get_eflags(C) & FL_ARITH, FL_ARITH);
}

Test(fpu, fnstsw_ax_and_examine)
{
	x(0xdb, 0xe3);
	C->regs[RAX] = 0x1122334455667788;
	push(-0.0);
	x(0xd9, 0xe5);		/* fxam */
	x(0xdf, 0xe0);
	cr_assert_eq(C->regs[RAX] >> 16, 0x112233445566);
	cr_assert_eq(C->regs[RAX] & 0x4700, 0x4200);	/* zero, negative */
}

Test(fpu, bcd_and_transcendental)
{
	x(0xdb, 0xe3);
	push(-1234);
	x(0xdf, 0x30);		/* fbstp */
	cr_assert_eq(ld64(M), 0x1234);
	cr_assert_eq(ld16(M + 8), 0x8000);
	x(0xd9, 0xeb);		/* fldpi */
	x(0xd9, 0xfe);		/* fsin */
	cr_assert_lt(fabs(pop()), 1e-18);
}

Test(fpu, without_ne_the_board_hears_of_it)
{
	C->cr0 &= ~(uint64_t)CR0_NE;
	x(0xdb, 0xe3);
	set_fcw(0x37b);
	push(1);
	push(0);
	x(0xde, 0xf9);
	(void)R(x(0x9b, 0));
	cr_assert_eq(B.ferrs, 1);
	cr_assert_eq(C->exc_vector, -1, "no exception");
}
