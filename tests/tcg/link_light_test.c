/*
 * Links, the jump cache and look-ups when the target's page becomes another: by a changed
 * page table entry and INVLPG, by another CR3, with and without PCID, with NX; for direct
 * and indirect jumps and blocks on two pages.
 */
#include <criterion/criterion.h>
#include <string.h>

#include "cpu/mmu.h"
#include "tcg/cache.h"
#include "tcg/run.h"
#include "tests/guest_code.h"

#define END	"out 0xf4, al\n"

enum { OTHER = 0x50000, PT = M_TABLES + 0x3000, PML4_2 = M_TABLES + 0x10000 };

static uint64_t reg(const struct machine *m, int r) { return m->c->regs[r]; }

/* `mov al, n` at both ends of the page at pa, and a way back by rbp. */
static void put_page(struct machine *m, uint64_t pa, uint8_t n)
{
	MACHINE_PUT(m, pa, 0xb0, n, 0xff, 0xe5);		/* mov al, n; jmp rbp */
	MACHINE_PUT(m, pa + 0xffe, 0xb0, n);			/* goes on into the next page */
}

static void put_pages(struct machine *m)
{
	put_page(m, M_CODE + 0x1000, 1);
	put_page(m, M_CODE + 0x2000, 2);
	put_page(m, OTHER, 3);
	put_page(m, OTHER + 0x1000, 4);
}

/* r12 is the page table entry's address, r13 its new value, r14 the page. */
static void registers(struct machine *m, uint64_t page, uint64_t pte)
{
	m->c->regs[R12] = PT + page / 512;
	m->c->regs[R13] = pte;
	m->c->regs[R14] = page;
	m->c->regs[RBX] = page;
}

GUEST(direct, "lea rbp, [rip + 2f]\n mov ecx, 10\n 1: .byte 0xe9\n .long 0x41000 - (0x40000 + 17)\n"
      " 2: out 0x80, al\n cmp ecx, 5\n jne 3f\n mov [r12], r13\n invlpg [r14]\n 3: dec ecx\n jnz 1b\n" END)
GUEST(indirect, "lea rbp, [rip + 2f]\n mov ecx, 10\n 1: jmp rbx\n"
      " 2: out 0x80, al\n cmp ecx, 5\n jne 3f\n mov [r12], r13\n invlpg [r14]\n 3: dec ecx\n jnz 1b\n" END)

static void expect_switch(const struct machine *m, unsigned n, uint32_t before, uint32_t after)
{
	cr_expect_eq(m->n_outs, n);
	for (unsigned i = 0; i < n; i++)
		cr_expect_eq(m->outs[i], i <= 5 ? before : after, "jump %u: %u", i, m->outs[i]);
}

TEST_BOTH(link_light, a_direct_jump_follows_its_page)
{
	put_pages(m);
	GUEST_PUT(m, M_CODE, direct);
	registers(m, M_CODE + 0x1000, OTHER | 3);
	cr_expect_eq(machine_run(m, M_CODE), -1);
	expect_switch(m, 10, 1, 3);
}

TEST_BOTH(link_light, an_indirect_jump_follows_its_page)
{
	put_pages(m);
	GUEST_PUT(m, M_CODE, indirect);
	registers(m, M_CODE + 0x1000, OTHER | 3);
	cr_expect_eq(machine_run(m, M_CODE), -1);
	expect_switch(m, 10, 1, 3);
}

/* mov eax, 0x04XXXXb8: the instruction's last bytes are on the page that changes. */
/* The block at the end is first reached from its own page, and only then from this one. */
#define INSIDE_FIRST(jump) "lea rbp, [rip + 4f]\n mov ecx, 10\n .byte 0xe9\n .long 0x41000 - (0x40000 + 17)\n" \
	" 4: lea rbp, [rip + 2f]\n 1: " jump \
	" 2: out 0x80, al\n cmp ecx, 5\n jne 3f\n mov [r12], r13\n invlpg [r14]\n 3: dec ecx\n jnz 1b\n" END
GUEST(inside_direct, INSIDE_FIRST(".byte 0xe9\n .long 0x41040 - (0x40000 + 29)\n"))
GUEST(inside_indirect, INSIDE_FIRST("jmp rbx\n"))

static void inside_first(struct machine *m)
{
	for (int i = 0; i < 2; i++) {
		uint64_t pa = i ? OTHER : M_CODE + 0x1000;

		MACHINE_PUT(m, pa, 0xeb, 0x3e);				/* jmp 0x40 */
		MACHINE_PUT(m, pa + 0x40, 0xb0, i ? 3 : 1, 0xff, 0xe5);	/* mov al, n; jmp rbp */
	}
	registers(m, M_CODE + 0x1000, OTHER | 3);
	m->c->regs[RBX] += 0x40;
	cr_expect_eq(machine_run(m, M_CODE), -1);
	expect_switch(m, 10, 1, 3);
}

TEST_BOTH(link_light, a_block_reached_on_its_page_first_follows_it)
{
	GUEST_PUT(m, M_CODE, inside_direct);
	inside_first(m);
}

TEST_BOTH(link_light, so_does_one_that_indirect_jumps_reach_later)
{
	GUEST_PUT(m, M_CODE, inside_indirect);
	inside_first(m);
}

TEST_BOTH(link_light, a_block_follows_its_second_page)
{
	MACHINE_PUT(m, M_CODE + 0x1ffd, 0xb8, 1, 0);
	MACHINE_PUT(m, M_CODE + 0x2000, 2, 0, 0xff, 0xe5);
	MACHINE_PUT(m, OTHER, 3, 0, 0xff, 0xe5);
	GUEST_PUT(m, M_CODE, indirect);
	registers(m, M_CODE + 0x2000, OTHER | 3);
	m->c->regs[RBX] = M_CODE + 0x1ffd;
	m->on_out = NULL;
	cr_expect_eq(machine_run(m, M_CODE), -1);
	cr_expect_eq(m->n_outs, 10);
	cr_expect_eq(reg(m, RAX), 0x30001);
}

TEST_BOTH(link_light, a_block_runs_on_into_a_page_that_changes)
{
	put_pages(m);
	GUEST_PUT(m, M_CODE, indirect);
	registers(m, M_CODE + 0x2000, OTHER | 3);
	m->c->regs[RBX] = M_CODE + 0x1ffe;		/* mov al, 1, then the page's own */
	cr_expect_eq(machine_run(m, M_CODE), -1);
	expect_switch(m, 10, 2, 3);
}

TEST_BOTH(link_light, a_page_without_execute_right_faults)
{
	put_pages(m);
	GUEST_PUT(m, M_CODE, direct);
	registers(m, M_CODE + 0x1000, (M_CODE + 0x1000) | 3 | PTE_NX);
	cr_expect_eq(machine_run(m, M_CODE), EXC_PF);
	cr_expect_eq(machine_frame(m).error, 0x11);
	cr_expect_eq(m->c->cr2, M_CODE + 0x1000);
	cr_expect_eq(machine_frame(m).rip, M_CODE + 0x1000);
	cr_expect_eq(m->n_outs, 6);
}

TEST_BOTH(link_light, a_page_that_is_gone_faults)
{
	put_pages(m);
	GUEST_PUT(m, M_CODE, indirect);
	registers(m, M_CODE + 0x1000, 0);
	cr_expect_eq(machine_run(m, M_CODE), EXC_PF);
	cr_expect_eq(machine_frame(m).error, 0x10);
	cr_expect_eq(machine_frame(m).rip, M_CODE + 0x1000);
	cr_expect_eq(m->n_outs, 6);
}

/* ---- address spaces ---- */

GUEST(spaces, "lea rbp, [rip + 2f]\n mov ecx, 20\n 1: .byte 0xe9\n .long 0x41000 - (0x40000 + 17)\n"
      " 2: out 0x80, al\n xchg r12, r13\n mov cr3, r12\n dec ecx\n jnz 1b\n" END)
GUEST(spaces_ind, "lea rbp, [rip + 2f]\n mov ecx, 20\n 1: jmp rbx\n"
      " 2: out 0x80, al\n xchg r12, r13\n mov cr3, r12\n dec ecx\n jnz 1b\n" END)

/* A second set of tables, the same but for the page. */
static void second_space(struct machine *m, uint64_t page, uint64_t pte)
{
	static const uint64_t no = ~0xfffull;
	uint8_t *from = machine_mem(m, M_TABLES), *to = machine_mem(m, PML4_2);

	memcpy(to, from, 0x4000);
	for (int level = 0; level < 3; level++)
		st64(to + level * 0x1000, (PML4_2 + (uint64_t)(level + 1) * 0x1000) | (ld64(from + level * 0x1000) & ~no));
	st64(to + 0x3000 + page / 512, pte);
}

static void alternate(struct machine *m, const uint8_t *code, unsigned n, uint64_t cr4, uint64_t bits)
{
	put_pages(m);
	machine_put(m, M_CODE, code, n);
	second_space(m, M_CODE + 0x1000, OTHER | 3);
	m->c->cr4 |= cr4;
	cpu_update_mode(m->c);
	m->c->regs[R12] = m->c->cr3 | bits;
	m->c->regs[R13] = PML4_2 | bits | (bits ? 1 : 0);
	m->c->regs[RBX] = M_CODE + 0x1000;
	cr_expect_eq(machine_run(m, M_CODE), -1);
	cr_expect_eq(m->n_outs, 20);
	for (unsigned i = 0; i < 20; i++)
		cr_expect_eq(m->outs[i], i & 1 ? 3 : 1, "jump %u: %u", i, m->outs[i]);
	m->c->cr3 = M_TABLES;
}

TEST_BOTH(link_light, jumps_follow_cr3)
{
	alternate(m, guest_spaces, GUEST_SIZE(spaces), 0, 0);
	machine_reset(m);
	alternate(m, guest_spaces_ind, GUEST_SIZE(spaces_ind), 0, 0);
}

TEST_BOTH(link_light, jumps_follow_cr3_with_pcid)
{
	alternate(m, guest_spaces, GUEST_SIZE(spaces), CR4_PCIDE, BIT(63));
	machine_reset(m);
	alternate(m, guest_spaces_ind, GUEST_SIZE(spaces_ind), CR4_PCIDE, BIT(63));
}

/* The same code for two privilege levels' worth of page numbers, in both spaces, keeps its translation. */
TEST_BOTH(link_light, translations_outlive_cr3)
{
	uint64_t made;

	alternate(m, guest_spaces, GUEST_SIZE(spaces), CR4_PCIDE, BIT(63));
	machine_reset(m);
	m->n_outs = 0;
	made = tcg_of(m->c)->stats.translations;
	m->c->cr4 |= CR4_PCIDE;
	cpu_update_mode(m->c);
	m->c->regs[R12] = m->c->cr3 | BIT(63);
	m->c->regs[R13] = PML4_2 | BIT(63) | 1;
	cr_expect_eq(machine_run(m, M_CODE), -1);
	cr_expect_eq(m->n_outs, 20);
	cr_expect_eq(tcg_of(m->c)->stats.translations, made);
}

/* A CR3 write takes away what the code page table knows of pages that are not global, and nothing else. */
TEST_BOTH(link_light, code_of_global_pages_is_not_looked_up_again)
{
	struct itlb_entry *fixed = &tcg_of(m->c)->itlb[ITLB_SLOT(M_CODE)];
	struct itlb_entry *moving = &tcg_of(m->c)->itlb[ITLB_SLOT(M_CODE + 0x1000)];
	uint8_t *pte = machine_mem(m, M_TABLES) + 0x3000 + M_CODE / 512;

	put_pages(m);
	m->c->cr4 |= CR4_PGE;
	st64(pte, ld64(pte) | 0x100);
	mmu_flush(m->c, false);
	cr_assert(tcg_itlb(m->c, M_CODE) == fixed && tcg_itlb(m->c, M_CODE + 0x1000) == moving);
	mmu_set_cr3(m->c, m->c->cr3);
	cr_expect_eq(fixed->va, M_CODE);
	cr_expect_eq(moving->va, 1);
	cr_expect(x64_env(m->c)->itlb[ITLB_SLOT(M_CODE)] && !x64_env(m->c)->itlb[ITLB_SLOT(M_CODE + 0x1000)]);
	tcg_itlb(m->c, M_CODE + 0x1000);
	mmu_flush(m->c, false);
	cr_expect(fixed->va == 1 && moving->va == 1);
}
