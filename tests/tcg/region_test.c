/*
 * Hot loops as one piece: what goes in and out of them. All loops are regions from
 * their first round on.
 */
#include <criterion/criterion.h>

#include "tcg/cache.h"
#include "tcg/run.h"
#include "tests/guest_code.h"

#define END	"out 0xf4, al\n"

static uint64_t reg(const struct machine *m, int r) { return m->c->regs[r]; }

/* r8 and r9 get the host registers of others inside the loop. */
GUEST(left_early, "mov r8d, 3\n mov r9, -9\n mov r15d, 5\n mov r10d, 10\n mov r14d, 14\n mov r13d, 13\n mov r12d, 12\n"
      " mov edi, 7\n mov esi, 6\n jmp 1f\n 1: inc r8\n add r9, r8\n jz 2f\n dec r15\n jnz 1b\n hlt\n 2: nop\n" END)

TEST_BOTH(region, registers_are_in_place_behind_a_loop_left_early)
{
	tcg_set_hot(m->c, 0);
	GUEST_PUT(m, M_CODE, left_early);
	machine_run(m, M_CODE);
	cr_expect_eq(reg(m, R8), 5);
	cr_expect_eq(reg(m, R9), 0);
	cr_expect_eq(reg(m, R15), 4);
	cr_expect_eq(reg(m, R10), 10);
	cr_expect_eq(reg(m, R14), 14);
	cr_expect_eq(reg(m, R13), 13);
	cr_expect_eq(reg(m, R12), 12);
	cr_expect_eq(reg(m, RDI), 7);
	cr_expect_eq(reg(m, RSI), 6);
	if (!tcg_of(m->c)->interp)
		cr_expect_geq(tcg_of(m->c)->stats.regions, 1);
}
