/*
 * Flags across links to another page. The block there writes them first, so that nobody would
 * miss them; then the page becomes another one, whose code reads them at once: they are what the
 * last comparison on this page left, however it is left.
 */
#include <criterion/criterion.h>

#include "cpu/mmu.h"
#include "tcg/cache.h"
#include "tcg/run.h"
#include "tests/guest_code.h"

enum { NEXT = M_CODE + 0x1000, OTHER = 0x50000, PT = M_TABLES + 0x3000, N_ROUNDS = 10, N_BEFORE = 6, WRITER = 9 };

/*
 * Ten rounds: ecx mod 4 is compared with 2, the code goes to the next page, and what it leaves in al
 * comes out. With ecx 5 the page is mapped elsewhere. `leave` stands in the middle, or is jumped to.
 */
#define COMPARE	"mov edx, ecx\n and edx, 3\n cmp edx, 2\n"
#define ROUNDS(first, leave)									\
	first " lea rbp, [rip + 2f]\n mov ecx, 10\n 1: " leave					\
	" 2: out 0x80, al\n cmp ecx, 5\n jne 3f\n mov [r12], r13\n invlpg [r14]\n"		\
	" 3: dec ecx\n jnz 1b\n out 0xf4, al\n"

/* What the next page's code makes of the flags: al after comparing 0, 3, 2 and 1 with 2. */
struct reader {
	uint8_t code[12], al[N_ROUNDS - N_BEFORE];
};
static const struct reader readers[] = {
	{ { 0x9c, 0x58, 0xff, 0xe5 }, { 0x93, 0x02, 0x46, 0x97 } },				/* pushfq; pop rax; jmp rbp */
	{ { 0x0f, 0x94, 0xc0, 0xff, 0xe5 }, { 0, 0, 1, 0 } },					/* setz al; jmp rbp */
	{ { 0xb0, 0, 0x14, 0, 0xff, 0xe5 }, { 1, 0, 0, 1 } },					/* mov al, 0; adc al, 0; jmp rbp */
	{ { 0x74, 4, 0xb0, 0, 0xff, 0xe5, 0xb0, 1, 0xff, 0xe5 }, { 0, 0, 1, 0 } },		/* jz 1f; mov al, 0; jmp rbp; 1: ... */
};

/* `op`: XOR, or the second half of IMUL. */
static void run(struct machine *m, const struct reader *r, uint8_t op, uint8_t at)
{
	MACHINE_PUT(m, NEXT, 0xeb, (uint8_t)(at - 2));					/* jmp `at` */
	MACHINE_PUT(m, NEXT + at, op, 0xc0, 0xb0, WRITER, 0xff, 0xe5);	/* xor eax, eax; mov al, 9; jmp rbp */
	machine_put(m, OTHER + at, r->code, sizeof(r->code));
	m->c->regs[R12] = PT + NEXT / 512;
	m->c->regs[R13] = OTHER | PTE_P | PTE_W;
	m->c->regs[R14] = NEXT;
	m->c->regs[RBX] = NEXT + at;
	cr_expect_eq(machine_run(m, M_CODE), -1);
	cr_assert_eq(m->n_outs, N_ROUNDS);
	for (unsigned i = 0; i < N_ROUNDS; i++)
		cr_expect_eq(m->outs[i], i < N_BEFORE ? WRITER : r->al[i - N_BEFORE], "round %u: %x", i, m->outs[i]);
}

#define TEST_LEAVING(name, text, at)								\
	GUEST(name, text)									\
	TEST_BOTH(link_flags, by_##name)							\
	{											\
		GUEST_PUT(m, M_CODE, name);							\
		run(m, &readers[0], 0x31, at);							\
	}

TEST_LEAVING(jump, ROUNDS("", COMPARE "jmp guest_jump + 0x1000\n"), 0)
TEST_LEAVING(conditional_jumps, ROUNDS("", COMPARE "jbe guest_conditional_jumps + 0x1000\n"
				       " ja guest_conditional_jumps + 0x1000\n"), 0)
TEST_LEAVING(blocks_that_go_on_behind_jumps,
	     ROUNDS("", COMPARE "jb 5f\n mov eax, 1\n 5: je 6f\n mov eax, 2\n"
		    " 6: jmp guest_blocks_that_go_on_behind_jumps + 0x1000\n"), 0)
TEST_LEAVING(falling_through, ROUNDS("", "jmp 8f\n")
	     " .space 0x1000 - 8 - (. - guest_falling_through), 0x90\n 8: " COMPARE, 0)
TEST_LEAVING(indirect_jump, ROUNDS("", COMPARE "jmp rbx\n"), 0)
TEST_LEAVING(call, ROUNDS("", COMPARE "call guest_call + 0x1000\n"), 0)
TEST_LEAVING(return, ROUNDS("", "push rbx\n" COMPARE "ret\n"), 0)

/* The block there has no guard in front: it is first reached from its own page. */
TEST_LEAVING(late_guard, ROUNDS("lea rbp, [rip + 4f]\n jmp guest_late_guard + 0x1000\n 4:",
				COMPARE "jmp guest_late_guard + 0x1040\n"), 0x40)

/* Ways out of a loop, with and without a round of it. */
GUEST(loop, ROUNDS("", "mov esi, 3\n 5: " COMPARE "jb guest_loop + 0x1000\n je guest_loop + 0x1000\n"
		   " dec esi\n jnz 5b\n" COMPARE "jmp guest_loop + 0x1000\n"))

TEST_BOTH(link_flags, by_ways_out_of_a_loop)
{
	tcg_set_hot(m->c, 0);
	GUEST_PUT(m, M_CODE, loop);
	run(m, &readers[0], 0x31, 0);
	if (!tcg_of(m->c)->interp)
		cr_expect_geq(tcg_of(m->c)->stats.regions, 1);
}

/* The instruction's second half is on the page that changes: imul eax, eax becomes setz al. */
GUEST(half, ROUNDS("", COMPARE "jmp guest_half + 0xfff\n") " .space 0xfff - (. - guest_half)\n .byte 0x0f\n")

TEST_BOTH(link_flags, into_an_instruction_on_both_pages)
{
	static const struct reader set = { { 0x94, 0xc0, 0xff, 0xe5 }, { 0, 0, 1, 0 } };

	GUEST_PUT(m, M_CODE, half);
	run(m, &set, 0xaf, 0);
}

TEST_BOTH(link_flags, of_all_kinds_of_readers)
{
	for (unsigned i = 0; i < ARRAY_LEN(readers); i++) {
		machine_map(m, NEXT, NEXT | PTE_P | PTE_W);
		machine_reset(m);
		m->n_outs = 0;
		GUEST_PUT(m, M_CODE, jump);
		run(m, &readers[i], 0x31, 0);
	}
}
