/*
 * Hot loops as one piece: what goes in and out of them. All loops are regions from
 * their first round on.
 */
#include <criterion/criterion.h>
#include <string.h>

#include "cpu/mmu.h"
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

/* A loop that calls helpers, around one that works on r8: the inner one alone can have it in a host register. */
GUEST(around, "mov r15d, 30\n 1: mov ecx, 100\n 2: add r8, rcx\n dec ecx\n jnz 2b\n cpuid\n dec r15d\n jnz 1b\n" END)
enum { OUTER = M_CODE + 6, INNER = OUTER + 5 };

TEST_BOTH(region, a_loop_that_calls_helpers_does_not_hold_back_one_inside)
{
	const struct code_cache *k = tcg_of(m->c)->cache;
	bool inner = tcg_of(m->c)->interp;

	tcg_set_hot(m->c, 0);
	GUEST_PUT(m, M_CODE, around);
	machine_run(m, M_CODE);
	cr_expect_eq(reg(m, R8), 30 * 5050);
	for (uint32_t i = NO_TB; (i = tcg_next_tb(k, i)) != NO_TB;)
		if (k->tbs[i].mode & MODE_REGION) {
			cr_expect_neq(k->tbs[i].rip, OUTER);
			inner |= k->tbs[i].rip == INNER;
		}
	cr_expect(inner);
}

/* ---- sites ---- */

/* A page is mapped elsewhere between two visits to the loop that reads it. Its page-table entry is at 0x103100. */
GUEST(remaps, "mov ebx, 0x20000\n mov edx, 0x103100\n mov ecx, 3\n xor eax, eax\n"
	      " 1: mov esi, 2\n 2: shl rax, 8\n or al, [rbx]\n dec esi\n jnz 2b\n"
	      " xor qword ptr [rdx], 0x1000\n invlpg [rbx]\n dec ecx\n jnz 1b\n" END)

TEST_BOTH(region, a_loop_sees_that_its_page_is_mapped_elsewhere)
{
	tcg_set_hot(m->c, 0);
	*machine_mem(m, 0x20000) = 0x11;
	*machine_mem(m, 0x21000) = 0x22;
	GUEST_PUT(m, M_CODE, remaps);
	machine_run(m, M_CODE);
	cr_expect_eq(reg(m, RAX), 0x111122221111, "%lx", reg(m, RAX));
}

static unsigned n_filled(const struct cpu *c, int write)
{
	unsigned n = 0;

	for (int idx = 0; idx < NMMU; idx++)
		for (unsigned i = 0; i < TLB_SITES; i++)
			n += c->site[idx][write][i].tag != c->nowhere;
	return n;
}

GUEST(reads_writes, "mov esi, 0x20000\n mov edi, 0x22000\n mov ecx, 9\n 1: mov eax, [rsi]\n mov [rdi + 4], eax\n"
		    " add esi, 4\n add edi, 4\n dec ecx\n jnz 1b\n" END)	/* in 32 bits: not for a fast loop */

static struct machine *start_loop(struct machine *m)
{
	machine_init(m, 64, 0, &tcg_accel);
	tcg_set_hot(m->c, 0);
	GUEST_PUT(m, M_CODE, reads_writes);
	machine_run(m, M_CODE);
	cr_assert_eq(n_filled(m->c, 0), 1);
	cr_assert_eq(n_filled(m->c, 1), 1);
	return m;
}

Test(region, forgetting_any_page_empties_the_sites)
{
	struct machine m;
	struct cpu *c = start_loop(&m)->c;

	mmu_flush_page(c, 0x30000);
	cr_expect_eq(n_filled(c, 0) + n_filled(c, 1), 0);
	machine_fini(&m);
}

Test(region, a_page_that_gets_code_leaves_the_sites_that_write)
{
	struct machine m;
	struct cpu *c = start_loop(&m)->c;

	mmu_protect_ram_page(c, machine_mem(&m, 0x22000));
	cr_expect_eq(n_filled(c, 1), 0);
	cr_expect_eq(n_filled(c, 0), 1);
	machine_fini(&m);
}

/* ---- several sites for one access ---- */

static void all_have_ways(struct machine *m)
{
	tcg_set_hot(m->c, 0);
	memset(tcg_of(m->c)->cache->roams, HOW_WAYS, sizeof(tcg_of(m->c)->cache->roams));
}

/* The decisions that have been taken about accesses that wander. */
static unsigned n_decided(struct machine *m, enum x64_how how)
{
	unsigned n = 0;

	for (unsigned i = 0; i < ARRAY_LEN(tcg_of(m->c)->cache->roams); i++)
		n += tcg_of(m->c)->cache->roams[i] == how;
	return n;
}

/* A chain through edx pages in turns; ecx rounds. */
#define CHAIN(pages, rounds)									\
	"mov ebx, 0x20000\n mov ecx, " pages "\n 1: lea rax, [rbx + 0x1000]\n mov [rbx], rax\n add rbx, 0x1000\n"	\
	" dec ecx\n jnz 1b\n mov qword ptr [rbx - 0x1000], 0x20000\n mov ebx, 0x20000\n mov ecx, " rounds "\n"	\
	" 2: mov rbx, [rbx]\n dec ecx\n jnz 2b\n" END

GUEST(wanders_far, CHAIN("16", "16000"))

TEST_BOTH(region, an_access_that_wanders_over_many_pages_loses_its_site)
{
	tcg_set_hot(m->c, 0);
	GUEST_PUT(m, M_CODE, wanders_far);
	machine_run(m, M_CODE);
	cr_expect_eq(reg(m, RBX), 0x20000);
	if (tcg_of(m->c)->interp)
		return;
	cr_expect_eq(tcg_of(m->c)->stats.roams, 1);
	cr_expect_eq(n_decided(m, HOW_TABLE), 1);
	cr_expect_eq(tcg_of(m->c)->trial.listen, 0);
}

GUEST(wanders, CHAIN("4", "800000"))

TEST_BOTH(region, an_access_that_wanders_over_few_pages_is_tried_both_ways)
{
	tcg_set_hot(m->c, 0);
	GUEST_PUT(m, M_CODE, wanders);
	machine_run(m, M_CODE);
	cr_expect_eq(reg(m, RBX), 0x20000);
	if (tcg_of(m->c)->interp)
		return;
	cr_expect_eq(tcg_of(m->c)->stats.roams, 3, "ways, the table, what was better");
	cr_expect_eq(n_decided(m, HOW_WAYS) + n_decided(m, HOW_TABLE), 1);
	cr_expect_eq(tcg_of(m->c)->trial.slot, 0);
}

GUEST(wanders_on, CHAIN("16", "16000"))

TEST_BOTH(region, ways_that_do_no_more_go)
{
	all_have_ways(m);
	GUEST_PUT(m, M_CODE, wanders_on);
	machine_run(m, M_CODE);
	cr_expect_eq(reg(m, RBX), 0x20000);
	if (!tcg_of(m->c)->interp)
		cr_expect_eq(n_decided(m, HOW_TABLE), 1);
}

TEST_BOTH(region, a_loop_with_ways_sees_that_its_page_is_mapped_elsewhere)
{
	all_have_ways(m);
	*machine_mem(m, 0x20000) = 0x11;
	*machine_mem(m, 0x21000) = 0x22;
	GUEST_PUT(m, M_CODE, remaps);
	machine_run(m, M_CODE);
	cr_expect_eq(reg(m, RAX), 0x111122221111, "%lx", reg(m, RAX));
}

Test(region, ways_are_emptied_like_other_sites)
{
	struct machine m;

	machine_init(&m, 64, 0, &tcg_accel);
	all_have_ways(&m);
	GUEST_PUT(&m, M_CODE, reads_writes);
	machine_run(&m, M_CODE);
	cr_expect_eq(n_filled(m.c, 0), 1);
	cr_expect_eq(n_filled(m.c, 1), 1);
	mmu_protect_ram_page(m.c, machine_mem(&m, 0x22000));
	cr_expect_eq(n_filled(m.c, 0), 1);
	cr_expect_eq(n_filled(m.c, 1), 0);
	mmu_flush_page(m.c, 0x30000);
	cr_expect_eq(n_filled(m.c, 0), 0);
	machine_fini(&m);
}

/* Stores, loads and changes in place over four pages, and across two of them; no mapping behind the last one. */
GUEST(ways_of_all_kinds, "mov ecx, 64\n xor ebp, ebp\n"
	" 1: mov ebx, ecx\n and ebx, 3\n shl ebx, 12\n lea rsi, [rbx + 0x20ffc]\n mov [rsi - 8], ecx\n add [rsi - 8], ebp\n"
	" mov edi, ecx\n mov [rsi], rdi\n add rbp, [rsi]\n movzx eax, byte ptr [rsi - 8]\n add ebp, eax\n"
	" dec ecx\n jnz 1b\n" END)

TEST_BOTH(region, ways_serve_all_kinds_of_accesses)
{
	uint32_t sum = 0, low;

	all_have_ways(m);
	GUEST_PUT(m, M_CODE, ways_of_all_kinds);
	machine_run(m, M_CODE);
	for (uint32_t n = 64; n; n--) {
		low = n + sum;
		sum += n + (low & 0xff);
	}
	cr_expect_eq(reg(m, RBP), sum);
}

/* ---- requests ---- */

GUEST(nested, "mov eax, 5\n 1: mov ecx, 7\n 2: mov edx, 3\n 3: inc rbx\n dec edx\n jnz 3b\n dec ecx\n jnz 2b\n"
	      " dec eax\n jnz 1b\n" END)

Test(region, only_the_innermost_loop_looks_at_requests)
{
	struct machine m;
	unsigned looks = 0, labels = 0;

	machine_init(&m, 64, 0, &tcg_accel);
	tcg_set_hot(m.c, 0);
	GUEST_PUT(&m, M_CODE, nested);
	m.c->regs[RBX] = 0;
	machine_run(&m, M_CODE);
	cr_expect_eq(m.c->regs[RBX], 5 * 7 * 3);
	machine_put(&m, M_CODE, guest_nested, GUEST_SIZE(nested));
	m.c->rip = M_CODE + 5;
	cr_assert(tcg_make_region(m.c, tcg_translate(m.c, m.c->mode, false)));
	for (unsigned i = 0; i < tcg_of(m.c)->ir->n_uops; i++) {
		const struct uop *u = &tcg_of(m.c)->ir->uops[i];

		labels += u->op == UOP_label;
		looks += u->op == UOP_label && u->c;
	}
	cr_expect_eq(labels, 3);
	cr_expect_eq(looks, 1);
	machine_fini(&m);
}

/* ---- two pages ---- */

/* The loop begins at the end of a page; its second half adds what stands at 2: to rbx. */
GUEST(across, "xor ebx, ebx\n mov ecx, 100\n jmp 1f\n .space 0xfe0 - 12\n 1: inc rbx\n .space 0x40, 0x90\n"
	      " add rbx, 0x10\n dec ecx\n jnz 1b\n" END)
enum { ACROSS_IMM = 0xfe0 + 3 + 0x40 + 3 };

static struct tb *run_across(struct machine *m)
{
	machine_init(m, 64, 0, &tcg_accel);
	tcg_set_hot(m->c, 0);
	GUEST_PUT(m, M_CODE, across);
	cr_assert_eq(guest_across[ACROSS_IMM], 0x10);
	machine_run(m, M_CODE);
	cr_assert_eq(m->c->regs[RBX], 1700);
	for (uint32_t i = 1; i <= tcg_of(m->c)->piece->n_tbs; i++)
		if (tcg_of(m->c)->cache->tbs[i].mode & MODE_REGION)
			return &tcg_of(m->c)->cache->tbs[i];
	return NULL;
}

Test(region, a_loop_goes_on_on_the_next_page)
{
	struct machine m;
	const struct tb *region = run_across(&m);

	cr_assert_not_null(region);
	cr_expect(tb_crosses(region));
	machine_fini(&m);
}

Test(region, writing_to_the_second_page_drops_the_region)
{
	struct machine m;
	const struct tb *region = run_across(&m);

	MACHINE_PUT(&m, M_CODE + ACROSS_IMM, 0x20);
	machine_reset(&m);
	machine_run(&m, M_CODE);
	cr_expect_eq(m.c->regs[RBX], 3300);
	cr_expect(region->dead);
	machine_fini(&m);
}

Test(region, another_second_page_is_seen)
{
	struct machine m;
	const struct tb *region = run_across(&m);

	memcpy(machine_mem(&m, 0x50000), machine_mem(&m, M_CODE + 0x1000), 0x1000);
	*machine_mem(&m, 0x50000 + ACROSS_IMM - 0x1000) = 0x30;
	machine_map(&m, M_CODE + 0x1000, 0x50000 | PTE_P | PTE_W);
	machine_reset(&m);
	machine_run(&m, M_CODE);
	cr_expect_eq(m.c->regs[RBX], 4900);
	cr_expect_not(region->dead);
	machine_map(&m, M_CODE + 0x1000, (M_CODE + 0x1000) | PTE_P | PTE_W);
	machine_reset(&m);
	machine_run(&m, M_CODE);
	cr_expect_eq(m.c->regs[RBX], 1700);
	machine_map(&m, M_CODE + 0x1000, 0);
	machine_reset(&m);
	cr_expect_eq(machine_run(&m, M_CODE), EXC_PF);
	cr_expect_eq(m.c->cr2, M_CODE + 0x1000);
	machine_fini(&m);
}

/* ---- functions ---- */

static const struct tb *region_that_goes_into(const struct machine *m, unsigned functions)
{
	const struct code_cache *k = tcg_of(m->c)->cache;

	for (uint32_t i = NO_TB; (i = tcg_next_tb(k, i)) != NO_TB;)
		if (k->tbs[i].mode & MODE_REGION && k->tbs[i].n_annexes == functions)
			return &k->tbs[i];
	return NULL;
}

/* The function, pages away, adds what stands at 2: to rbx. */
GUEST(calls, "xor ebx, ebx\n mov ecx, 100\n 1: call 2f\n dec ecx\n jnz 1b\n" END " .space 0x5000 - 18\n"
	     " 2: add rbx, 0x10\n ret")
enum { CALLS_IMM = 0x5000 + 3 };

static const struct tb *run_calls(struct machine *m)
{
	machine_init(m, 64, 0, &tcg_accel);
	tcg_set_hot(m->c, 0);
	GUEST_PUT(m, M_CODE, calls);
	cr_assert_eq(guest_calls[CALLS_IMM], 0x10);
	machine_run(m, M_CODE);
	cr_assert_eq(m->c->regs[RBX], 1600);
	return region_that_goes_into(m, 1);
}

Test(region, a_function_is_part_of_the_loop_that_calls_it)
{
	struct machine m;
	const struct tb *region = run_calls(&m);

	cr_assert_not_null(region);
	cr_expect_eq(region[1].rip, M_CODE + 0x5000);
	cr_expect_eq(region[1].len, 5);
	for (unsigned i = 0; i < tcg_of(m.c)->ir->n_uops; i++)
		cr_expect_neq(tcg_of(m.c)->ir->uops[i].op == UOP_jmp && tcg_of(m.c)->ir->uops[i].c, 1, "no call is left");
	machine_fini(&m);
}

Test(region, writing_to_a_function_drops_the_region)
{
	struct machine m;
	const struct tb *region = run_calls(&m);

	MACHINE_PUT(&m, M_CODE + CALLS_IMM, 0x20);
	machine_reset(&m);
	machine_run(&m, M_CODE);
	cr_expect_eq(m.c->regs[RBX], 3200);
	cr_expect(region->dead && region[1].dead);
	machine_fini(&m);
}

Test(region, another_page_of_a_function_is_seen)
{
	struct machine m;
	const struct tb *region = run_calls(&m);

	memcpy(machine_mem(&m, 0x50000), machine_mem(&m, M_CODE + 0x5000), 0x1000);
	*machine_mem(&m, 0x50000 + CALLS_IMM - 0x5000) = 0x30;
	machine_map(&m, M_CODE + 0x5000, 0x50000 | PTE_P | PTE_W);
	machine_reset(&m);
	machine_run(&m, M_CODE);
	cr_expect_eq(m.c->regs[RBX], 4800);
	cr_expect_not(region->dead);
	machine_map(&m, M_CODE + 0x5000, (M_CODE + 0x5000) | PTE_P | PTE_W);
	machine_reset(&m);
	machine_run(&m, M_CODE);
	cr_expect_eq(m.c->regs[RBX], 1600);
	machine_map(&m, M_CODE + 0x5000, 0);
	machine_reset(&m);
	cr_expect_eq(machine_run(&m, M_CODE), EXC_PF);
	cr_expect_eq(m.c->cr2, M_CODE + 0x5000);
	machine_fini(&m);
}

/* It changes the instruction that comes next, in itself. */
GUEST(changes_itself, "xor ebx, ebx\n mov ecx, 100\n 1: call 2f\n dec ecx\n jnz 1b\n" END " .space 0x5000\n"
		      " 2: mov byte ptr [rip + 3f + 3], cl\n 3: add rbx, 0x10\n ret")

TEST_BOTH(region, a_function_may_change_itself)
{
	tcg_set_hot(m->c, 0);
	GUEST_PUT(m, M_CODE, changes_itself);
	machine_run(m, M_CODE);
	cr_expect_eq(reg(m, RBX), 5050);
}

/* It returns elsewhere in the 50th round, where ZF is read, which was made before. */
GUEST(returns_elsewhere, "xor ebx, ebx\n mov ecx, 100\n xor r8d, r8d\n lea rsi, [rip + 3f]\n"
			 " 1: call 2f\n dec ecx\n jnz 1b\n" END " 3: setz r8b\n mov r9, rsp\n" END " .space 0x5000\n"
			 " 2: inc rbx\n mov rdx, [rsp]\n cmp ebx, 50\n cmove rdx, rsi\n mov [rsp], rdx\n"
			 " mov rdx, [rsi]\n ret")

TEST_BOTH(region, a_function_may_return_elsewhere)
{
	tcg_set_hot(m->c, 0);
	GUEST_PUT(m, M_CODE, returns_elsewhere);
	machine_run(m, M_CODE);
	cr_expect_eq(reg(m, RBX), 50);
	cr_expect_eq(reg(m, RCX), 51);
	cr_expect_eq(reg(m, R8), 1);
	cr_expect_eq(reg(m, R9), reg(m, RSP));
	if (!tcg_of(m->c)->interp)
		cr_expect_not_null(region_that_goes_into(m, 1));
}

/* Every eighth time it is left in the middle, with flags, and comes back by a return of another kind. */
GUEST(left_inside, "xor ebx, ebx\n xor ebp, ebp\n mov ecx, 100\n 1: call 2f\n lea rdi, [rdi + 1]\n dec ecx\n jnz 1b\n" END
		   " .space 0x5000\n 2: inc rbx\n test bl, 7\n jz 4f\n ret\n .space 0x1000\n"
		   " 4: setz al\n movzx eax, al\n add rbp, rax\n ret 0")

TEST_BOTH(region, a_function_may_be_left_inside)
{
	tcg_set_hot(m->c, 0);
	m->c->regs[RDI] = 0;
	GUEST_PUT(m, M_CODE, left_inside);
	machine_run(m, M_CODE);
	cr_expect_eq(reg(m, RBX), 100);
	cr_expect_eq(reg(m, RBP), 100 / 8);
	cr_expect_eq(reg(m, RDI), 100);
	if (!tcg_of(m->c)->interp)
		cr_expect_not_null(region_that_goes_into(m, 1));
}

/* A load of the function faults in the end: as one of its own, with the return address on the stack. */
GUEST(faults_inside, "mov esi, 0x2ffe0\n 1: call 2f\n jmp 1b\n .space 0x5000\n 2: inc rbx\n add rsi, 8\n"
		     " 3: mov rax, [rsi]\n ret")

TEST_BOTH(region, a_fault_in_a_function_names_its_instruction)
{
	tcg_set_hot(m->c, 0);
	m->c->regs[RBX] = 0;
	machine_map(m, 0x30000, 0);
	GUEST_PUT(m, M_CODE, faults_inside);
	cr_expect_eq(machine_run(m, M_CODE), EXC_PF);
	cr_expect_eq(m->c->cr2, 0x30000);
	cr_expect_eq(reg(m, RBX), 4);
	cr_expect_eq(reg(m, RSI), 0x30000);
}

/* Those with jumps inside, and those that call, are called. */
GUEST(not_straight, "xor ebx, ebx\n mov ecx, 100\n 1: call 2f\n call 4f\n dec ecx\n jnz 1b\n" END " .space 0x5000\n"
		    " 2: test cl, 1\n jz 3f\n inc rbx\n 3: ret\n 4: call 3b\n ret")

TEST_BOTH(region, a_function_that_is_not_straight_is_called)
{
	tcg_set_hot(m->c, 0);
	GUEST_PUT(m, M_CODE, not_straight);
	machine_run(m, M_CODE);
	cr_expect_eq(reg(m, RBX), 50);
	cr_expect_null(region_that_goes_into(m, 1));
	cr_expect_null(region_that_goes_into(m, 2));
}

/* ---- indirect jumps ---- */

/*
 * Four blocks at multiples of 32 behind 2:, chosen by the bytes at rsi; the last one, which leaves, keeps the
 * flags of `makes`, the instruction in front of the jump. r8 stands in memory elsewhere; ebp tells the ways taken.
 */
#define SWITCH(name, makes)									\
	GUEST(name, "lea rbx, [rip + 2f]\n mov r8d, 1\n xor ebp, ebp\n mov edi, 0x12345\n mov r9d, 0xfffffff0\n"	\
	      " 1: movzx eax, byte ptr [rsi]\n inc rsi\n shl eax, 5\n add rax, rbx\n mov ecx, [rsi]\n mov r10d, ecx\n "	\
	      makes "\n jmp rax\n"								\
	      " .balign 32\n 2: lea ebp, [rbp * 4 + 1]\n inc r8\n jmp 1b\n"			\
	      " .balign 32\n lea ebp, [rbp * 4 + 2]\n add r8, 2\n jmp 1b\n"			\
	      " .balign 32\n lea ebp, [rbp * 4 + 3]\n cmp r8, 77\n jne 1b\n hlt\n"		\
	      " .balign 32\n lahf\n seto al\n movzx edx, ax\n" END)

SWITCH(sw_add, "add ecx, edi")
SWITCH(sw_add_imm, "add r10, 0x70000000")
SWITCH(sw_sub, "sub ecx, r9d")
SWITCH(sw_cmp, "cmp r9, rcx")
SWITCH(sw_test, "test ecx, 0x80")
SWITCH(sw_and, "and r10, rdi")
SWITCH(sw_xor, "xor ecx, r9d")
SWITCH(sw_neg, "neg ecx")
SWITCH(sw_self, "add ecx, ecx")
SWITCH(sw_lost, "add ecx, edi\n mov edi, 5")
SWITCH(sw_memory, "cmp byte ptr [rsi], 1")

struct ways {
	uint64_t ebp, r8, rcx, edx;
};

static struct ways take_ways(struct machine *m, const char ways[10])
{
	machine_reset(m);
	memcpy(machine_mem(m, M_DATA), ways, 10);
	m->c->regs[RSI] = M_DATA;
	machine_run(m, M_CODE);
	return (struct ways){ m->c->regs[RBP], m->c->regs[R8], m->c->regs[RCX], m->c->regs[RDX] };
}

static unsigned count_tables(const struct machine *m)
{
	unsigned n = 0;

	for (unsigned i = 0; i < tcg_of(m->c)->ir->n_uops; i++)
		n += tcg_of(m->c)->ir->uops[i].op == UOP_jmpind && tcg_of(m->c)->ir->uops[i].aux == U_INSIDE;
	return n;
}

#define FIRST "\0\1\2\0\1\2\2\0\3\7"
#define AGAIN "\2\1\2\0\1\2\2\0\3\x85"

static void check_switch(const uint8_t *code, unsigned n)
{
	struct machine m;
	struct ways want, got;
	struct tb *head;

	machine_init(&m, 64, 0, &tcg_interp_accel);
	machine_put(&m, M_CODE, code, n);
	take_ways(&m, FIRST);
	want = take_ways(&m, AGAIN);
	machine_fini(&m);
	machine_init(&m, 64, 0, &tcg_accel);
	tcg_set_hot(m.c, 200);
	machine_put(&m, M_CODE, code, n);
	take_ways(&m, FIRST);
	m.c->rip = M_CODE + 7 + 6 + 2 + 5 + 6;		/* label 1: */
	head = tcg_find(m.c, m.c->mode);
	cr_assert_not_null(head);
	x64_env(m.c)->jc_tag[head->jc][jc_slot(m.c->rip)] = JC_EMPTY(jc_slot(m.c->rip));
	for (uint64_t rip = M_CODE; rip < M_CODE + n; rip++)	/* the way out is not known */
		if (x64_env(m.c)->jc_tag[head->jc][jc_slot(rip)] == rip && !memcmp(code + rip - M_CODE, "\x9f", 1))
			x64_env(m.c)->jc_tag[head->jc][jc_slot(rip)] = JC_EMPTY(jc_slot(rip));
	cr_assert(tcg_make_region(m.c, head));
	cr_expect_eq(count_tables(&m), 1);
	got = take_ways(&m, AGAIN);
	cr_expect_eq(got.ebp, want.ebp);
	cr_expect_eq(got.r8, want.r8);
	cr_expect_eq(got.rcx, want.rcx);
	cr_expect_eq(got.edx, want.edx, "%lx, not %lx", got.edx, want.edx);
	machine_fini(&m);
}

#define SWITCH_TEST(name) \
	Test(region, indirect_jumps_inside_##name) { check_switch(guest_##name, GUEST_SIZE(name)); }
SWITCH_TEST(sw_add)
SWITCH_TEST(sw_add_imm)
SWITCH_TEST(sw_sub)
SWITCH_TEST(sw_cmp)
SWITCH_TEST(sw_test)
SWITCH_TEST(sw_and)
SWITCH_TEST(sw_xor)
SWITCH_TEST(sw_neg)
SWITCH_TEST(sw_self)
SWITCH_TEST(sw_lost)
SWITCH_TEST(sw_memory)

/* In the 50th round of a second run the function returns to what stands between the table's targets, and is none. */
GUEST(returns_between, "xor ebx, ebx\n lea rsi, [rip + 3f]\n lea rdi, [rip + 4f]\n lea rax, [rip + 5f]\n"
		       " 1: call 2f\n xchg rdi, rax\n jmp rdi\n 4: dec ecx\n jnz 1b\n jmp 6f\n 3: mov r9, rsp\n jmp 6f\n"
		       " 5: dec ecx\n jnz 1b\n jmp 6f\n"
		       " 2: inc rbx\n mov rdx, [rsp]\n cmp ebx, 50\n cmove rdx, rsi\n mov [rsp], rdx\n ret\n .space 0x5000\n 6:" END)

Test(region, a_function_may_return_between_the_targets_of_a_table)
{
	struct machine m;

	machine_init(&m, 64, 0, &tcg_accel);
	tcg_set_hot(m.c, 200);
	GUEST_PUT(&m, M_CODE, returns_between);
	m.c->regs[RCX] = 30;
	cr_expect_eq(machine_run(&m, M_CODE), -1);
	m.c->rip = M_CODE + 2 + 3 * 7;				/* label 1: */
	cr_assert(tcg_make_region(m.c, tcg_find(m.c, m.c->mode)));
	cr_expect_eq(count_tables(&m), 2);
	machine_reset(&m);
	m.c->regs[RCX] = 100;
	m.c->regs[R9] = 0;
	cr_expect_eq(machine_run(&m, M_CODE), -1);
	cr_expect_eq(reg(&m, RBX), 50);
	cr_expect_eq(reg(&m, RCX), 51);
	cr_expect_eq(reg(&m, R9), reg(&m, RSP));
	machine_fini(&m);
}

/* Which of four blocks is next hangs on ecx, of which the region has not met most when it is made. */
GUEST(strays, "lea rbx, [rip + 2f]\n xor ebp, ebp\n"
	      " 1: mov eax, ecx\n shr eax, 18\n shl eax, 5\n add rax, rbx\n jmp rax\n"
	      " .balign 32\n 2: add rbp, 1\n dec ecx\n jns 1b\n jmp 3f\n"
	      " .balign 32\n add rbp, 3\n dec ecx\n jmp 1b\n"
	      " .balign 32\n add rbp, 5\n dec ecx\n jmp 1b\n"
	      " .balign 32\n add rbp, 7\n dec ecx\n jmp 1b\n 3:\n" END "4: jmp 4b\n")

Test(region, targets_met_later_come_into_it)
{
	struct machine m;
	unsigned n = 0;

	machine_init(&m, 64, 0, &tcg_accel);
	tcg_set_hot(m.c, 200);
	GUEST_PUT(&m, M_CODE, strays);
	m.c->regs[RCX] = 3;
	cr_expect_eq(machine_run(&m, M_CODE), -1);
	m.c->rip = M_CODE + 7 + 2;		/* label 1: */
	cr_assert(tcg_make_region(m.c, tcg_find(m.c, m.c->mode)));
	machine_reset(&m);
	m.c->regs[RCX] = 0xfffff;
	cr_expect_eq(machine_run(&m, M_CODE), -1);
	cr_expect_eq(m.c->regs[RBP], 0x40000 * (1 + 3 + 5 + 7));
	for (unsigned i = 0; i < ARRAY_LEN(tcg_of(m.c)->cache->strays); i++)
		n += tcg_of(m.c)->cache->strays[i];
	cr_expect_eq(n, 3, "%u", n);
	cr_expect_eq(tcg_of(m.c)->stats.regions, 4);
	machine_fini(&m);
}

/* A return from an interrupt fills the jump cache, too. */
Test(region, only_indirect_jumps_meet_targets)
{
	struct machine m;
	unsigned n = 0;

	machine_init(&m, 64, 0, &tcg_accel);
	tcg_set_hot(m.c, 200);
	GUEST_PUT(&m, M_CODE, strays);
	m.c->regs[RCX] = 3;
	cr_expect_eq(machine_run(&m, M_CODE), -1);
	m.c->rip = M_CODE + 7 + 2 + 2;		/* behind the loop's first instruction */
	cr_assert_not_null(tcg_find(m.c, m.c->mode) ? tcg_find(m.c, m.c->mode) : tcg_translate(m.c, m.c->mode, false));
	atomic_store(&m.c->request, 0);
	cr_assert_not_null(tcg_cb_find(m.c));
	m.c->rip = M_CODE + 7 + 2;
	cr_assert(tcg_make_region(m.c, tcg_find(m.c, m.c->mode)));
	for (unsigned i = 0; i < tcg_of(m.c)->ir->n_uops; i++)
		n += tcg_of(m.c)->ir->uops[i].op == UOP_label && tcg_of(m.c)->ir->uops[i].aux == U_TABLE;
	cr_expect_eq(n, 1, "%u", n);
	machine_fini(&m);
}

/* ---- registers that are used, but less ---- */

/* Inner loops live in r8-r11; the outer one uses all others, and once the page at 0x1f000 is not there. */
GUEST(crowded, "mov r12d, 12\n mov r13d, 13\n mov r14d, 14\n mov r15d, 0x20010\n mov esi, 6\n mov edi, 7\n mov ebp, 9\n"
	       " mov r8d, 1\n mov r9d, 2\n mov r10d, 3\n xor eax, eax\n jmp 1f\n"
	       " 1: inc r12\n add r13, r12\n mov [r15], r13\n sub r15, 8\n xchg r14, rsi\n add edi, r14d\n mov r11d, 5\n"
	       " 2: add r8, r9\n lea r9, [r9 + r10 * 2 + 1]\n xor r10, r11\n add rax, r8\n dec r11\n jnz 2b\n"
	       " dec ebp\n jnz 1b\n" END)

TEST_BOTH(region, registers_used_less_make_room)
{
	static const struct { int r; uint64_t want[2]; } regs[] = {
		{ R12, { 21, 16 } }, { R13, { 166, 71 } }, { R15, { 0x20010 - 72, 0x1fff8 } }, { R14, { 6, 6 } }, { RSI, { 14, 14 } },
		{ RAX, { 0x1a6b5, 0x1111 } }, { R9, { 0x135, 0x69 } },
		{ RDI, { 7 + 5 * 6 + 4 * 14, 7 + 6 + 14 + 6 } }, { RBP, { 0, 6 } }, { R11, { 0, 0 } },
	};
	unsigned n_swaps = 0;

	tcg_set_hot(m->c, 0);
	for (int faults = 0; faults < 2; faults++) {
		if (faults)
			machine_map(m, 0x1f000, 0);
		machine_reset(m);
		GUEST_PUT(m, M_CODE, crowded);
		cr_expect_eq(machine_run(m, M_CODE), faults ? EXC_PF : -1);
		for (unsigned i = 0; i < ARRAY_LEN(regs); i++)
			cr_expect_eq(reg(m, regs[i].r), regs[i].want[faults], "register %d is %lx", regs[i].r, reg(m, regs[i].r));
	}
	for (uint32_t i = 1; i <= tcg_of(m->c)->piece->n_tbs; i++)
		n_swaps = max_u64(n_swaps, tcg_of(m->c)->cache->tbs[i].n_swaps);
	cr_expect_eq(n_swaps, tcg_of(m->c)->interp ? 0 : 4, "%u", n_swaps);
}
