/*
 * A page of code that is seen at one address after the other, as ASLR has it: what was translated moves, and is right
 * there. Every slot of the top-level table has the same tables below it, and there pages of the program at places that
 * depend on the slot, so that it has as many addresses.
 */
#include <criterion/criterion.h>
#include <string.h>

#include "cpu/mmu.h"
#include "tcg/cache.h"
#include "tcg/run.h"
#include "tests/guest_code.h"

enum { TIMES = 12, PAGES = 3, WINDOW = 0x180000, PT = M_TABLES + 0x3000 };

static uint64_t reg(const struct machine *m, int r) { return m->c->regs[r]; }

static uint64_t address(unsigned i)
{
	return (uint64_t)(i + 1) << 39 | (WINDOW + i * (PAGES + 2) * 0x1000);
}

static void map(struct machine *m, unsigned i, unsigned page, uint64_t pa)
{
	st64(machine_mem(m, PT + (address(i) & 0x1fffff) / 512 + page * 8), pa | PTE_P | PTE_W | PTE_U);
}

static void open_machine(struct machine *m)
{
	machine_init(m, 64, 3, &tcg_accel);
	for (unsigned i = 0; i < TIMES; i++) {
		memcpy(machine_mem(m, M_TABLES + 8 * (i + 1)), machine_mem(m, M_TABLES), 8);
		for (unsigned page = 0; page < PAGES; page++)
			map(m, i, page, M_CODE + page * 0x1000);
	}
	mmu_flush(m->c, false);
}

#define TEST_USER(name)					\
	static void name(struct machine *m);		\
	Test(move, name)				\
	{						\
		struct machine m;			\
							\
		open_machine(&m);			\
		name(&m);				\
		machine_fini(&m);			\
	}						\
	static void name(struct machine *m)

/* Which addresses are mapped is asked anew, as after a switch to another program. */
static void run_at(struct machine *m, unsigned i)
{
	cr_assert_eq(cpu_cpl(m->c), 3);
	mmu_flush(m->c, false);
	cr_assert_eq(machine_run(m, address(i)), EXC_UD, "at address %u", i);
}

static void reset_run_at(struct machine *m, unsigned i)
{
	machine_reset(m);
	run_at(m, i);
}

static uint64_t translations(const struct machine *m) { return tcg_of(m->c)->stats.translations; }
static uint64_t moves(const struct machine *m) { return tcg_of(m->c)->stats.moves; }

/* What RIP is, a constant of it in memory, data beside it in all ways, calls, and jumps to the next page and back. */
GUEST(own, "1: lea rax, [rip + 1b]\n lea r8, [rip + 1b]\n mov rbx, [rip + 0x1000]\n add qword ptr [rip + 0x1100], 3\n"
      " mov rsi, [rip + 0x1100]\n call 2f\n 3: lea rdx, [rip + 3b]\n sub rcx, rdx\n jmp 4f\n 5: lea r9, [rip + 5b]\n ud2\n"
      " 2: mov rcx, [rsp]\n ret\n 4: cmp rax, rbx\n jz 5b\n .byte 0xe9\n .long 0x2000\n")
GUEST(far_page, "1: lea rdi, [rip + 1b]\n .byte 0xe9\n .long -0x2000 - 12\n")

static void put_own(struct machine *m)
{
	for (unsigned i = 0; i < 512; i++)
		st64(machine_mem(m, M_CODE + 0x1000 + 8 * i), i * 0x0101010101ull);
	GUEST_PUT(m, M_CODE, own);
	/* where the jump at the end comes to; it goes back to an `ud2` */
	GUEST_PUT(m, M_CODE + 0x2000 + GUEST_SIZE(own), far_page);
	MACHINE_PUT(m, M_CODE + GUEST_SIZE(own), 0x0f, 0x0b);
}

TEST_USER(a_program_is_right_at_each_address)
{
	uint64_t made = 0;

	put_own(m);
	for (unsigned i = 0; i < TIMES; i++) {
		uint64_t at = address(i);

		reset_run_at(m, i);
		cr_expect_eq(reg(m, RAX), at);
		cr_expect_eq(reg(m, R8), at);
		cr_expect_eq(reg(m, RBX), ld64(machine_mem(m, M_CODE + 0x1000 + 21)));
		cr_expect_eq(reg(m, RSI), ld64(machine_mem(m, M_CODE + 0x1100 + 29 + 7)), "%#lx", reg(m, RSI));
		cr_expect_eq(reg(m, RCX), 0);
		cr_expect_eq(reg(m, RDI), at + 0x2000 + GUEST_SIZE(own));
		cr_expect_eq(machine_frame(m).rip, at + GUEST_SIZE(own));
		if (i == 0)
			made = translations(m);
	}
	cr_expect_eq(translations(m), made, "%lu", translations(m));
	cr_expect_gt(moves(m), 40);
}

/* At each address another page follows. */
TEST_USER(jumps_to_other_pages_do_not_go_where_they_went)
{
	GUEST_PUT(m, M_CODE, own);
	MACHINE_PUT(m, M_CODE, 0xe9, 0xfb, 0x0f, 0, 0);			/* jmp to the next page */
	for (unsigned i = 0; i < 4; i++)
		MACHINE_PUT(m, M_CODE + 0x4000 + i * 0x1000, 0xb0, (uint8_t)i, 0x0f, 0x0b);	/* mov al, i; ud2 */
	for (unsigned i = 0; i < TIMES; i++)
		map(m, i, 1, M_CODE + 0x4000 + i * 7 % 4 * 0x1000);
	for (unsigned round = 0; round < 2; round++)
		for (unsigned i = 0; i < TIMES; i++) {
			reset_run_at(m, i);
			cr_expect_eq(reg(m, RAX) & 0xff, i * 7 % 4, "address %u", i);
			cr_expect_eq(machine_frame(m).rip, address(i) + 0x1002);
		}
}

/* r12 has the addresses of the same function, each of which calls the next one, as if another program had run in between. */
GUEST(nested, "1: out 0x80, al\n dec ecx\n jz 2f\n add r12, 8\n call [r12]\n 3: out 0x80, al\n lea rax, [rip + 3b]\n cmp rax, [rsp - 8]\n jne 4f\n"
      " inc r13\n sub r12, 8\n 2: ret\n 4: ud2\n")

static void forget_mappings(struct machine *m, uint32_t v)
{
	(void)v;
	mmu_flush(m->c, false);
}

TEST_USER(returns_go_to_addresses_that_have_moved_meanwhile)
{
	m->on_out = forget_mappings;
	GUEST_PUT(m, M_CODE + 0x100, nested);
	MACHINE_PUT(m, M_CODE, 0xff, 0x14, 0x24, 0x0f, 0x0b);		/* call [rsp]; ud2 */
	for (unsigned round = 0; round < 3; round++) {
		machine_reset(m);
		for (unsigned i = 0; i < TIMES; i++)
			st64(machine_mem(m, M_DATA + 8 * i), address((i * 5 + round) % TIMES) + 0x100);
		m->c->eflags |= FL_IOPL;
		cpu_update_mode(m->c);
		m->c->regs[RSP] = M_DATA + 0x800;
		st64(machine_mem(m, M_DATA + 0x800), address(round) + 0x100);
		m->c->regs[R12] = M_DATA;
		m->c->regs[RCX] = TIMES;
		run_at(m, round + 4);
		cr_expect_eq(machine_frame(m).rip, address(round + 4) + 3);
		cr_expect_eq(reg(m, R13), TIMES - 1);
	}
	cr_expect_gt(moves(m), 20);
}

TEST_USER(a_number_that_looks_like_an_address_stays)
{
	uint8_t code[] = { 0x48, 0x8d, 0x1d, 0, 0, 0, 0, 0x48, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0x0f, 0x0b };

	st64(code + 9, address(0) + 0x10);		/* lea rbx, [rip]; mov rax, that; ud2 */
	machine_put(m, M_CODE, code, sizeof(code));
	for (unsigned i = 0; i < TIMES; i++) {
		reset_run_at(m, i);
		cr_expect_eq(reg(m, RAX), address(0) + 0x10);
		cr_expect_eq(reg(m, RBX), address(i) + 7);
	}
}

/* Two of them in turns, by jumps that are looked up in the jump cache. */
GUEST(turns, "1: lea rax, [rip + 1b]\n add r8, rax\n dec ecx\n jz 2f\n xchg rbx, rdx\n jmp rbx\n 2: ud2\n")

TEST_USER(indirect_jumps_go_to_the_address_they_name)
{
	GUEST_PUT(m, M_CODE, turns);
	for (unsigned i = 0; i < TIMES; i++) {
		unsigned o = (i + 7) % TIMES;

		machine_reset(m);
		m->c->regs[RBX] = address(i);
		m->c->regs[RDX] = address(o);
		m->c->regs[RCX] = 21;
		run_at(m, i);
		cr_expect_eq(reg(m, R8), 11 * address(i) + 10 * address(o));
	}
}

/* Soon none has to wait for translations, nor for others to give them back. */
TEST_USER(programs_that_run_in_turns_have_blocks_of_their_own)
{
	uint64_t made = 0, moved = 0;

	GUEST_PUT(m, M_CODE, turns);
	for (unsigned round = 0; round < 10; round++) {
		if (round == 5) {
			made = translations(m);
			moved = moves(m);
		}
		for (unsigned i = 0; i < TIMES; i++) {
			machine_reset(m);
			m->c->regs[RCX] = 1;
			run_at(m, i);
			cr_expect_eq(reg(m, RAX), address(i));
		}
	}
	cr_expect_gt(moved, 0);
	cr_expect_eq(moves(m), moved);
	cr_expect_eq(translations(m), made);
}

TEST_USER(stores_to_code_that_has_moved_are_seen)
{
	MACHINE_PUT(m, M_CODE, 0xb0, 1, 0x0f, 0x0b);			/* mov al, 1; ud2 */
	reset_run_at(m, 0);
	for (unsigned i = 1; i < TIMES; i++) {
		uint64_t moved = moves(m);

		reset_run_at(m, i);
		cr_expect_eq(reg(m, RAX) & 0xff, i);
		cr_expect_gt(moves(m), moved);
		MACHINE_PUT(m, M_CODE + 1, (uint8_t)(i + 1));
		reset_run_at(m, i);
		cr_expect_eq(reg(m, RAX) & 0xff, i + 1);
	}
}

TEST_USER(a_breakpoint_at_the_new_address_stops_there)
{
	MACHINE_PUT(m, M_CODE, 0xb0, 1, 0xb1, 2, 0x0f, 0x0b);		/* mov al, 1; mov cl, 2; ud2 */
	reset_run_at(m, 0);
	machine_reset(m);
	mmu_flush(m->c, false);
	m->c->rip = address(1);
	cr_assert(debug_add_break(m->c, address(1) + 2));
	cr_assert_eq(m->c->ops->run(m->c), ACCEL_DEBUG);
	cr_expect_eq(m->c->rip, address(1) + 2);
	cr_expect(debug_del_break(m->c, address(1) + 2));
}

/* A loop that is hot becomes a region, which does not move. */
GUEST(hot, "mov ecx, 20000\n 1: lea rax, [rip + 1b]\n add r8, rax\n dec ecx\n jnz 1b\n ud2\n")

TEST_USER(loops_are_right_at_each_address)
{
	GUEST_PUT(m, M_CODE, hot);
	for (unsigned i = 0; i < TIMES; i++) {
		struct tb *tb;

		reset_run_at(m, i);
		cr_expect_eq(reg(m, R8), 20000 * (address(i) + 5));
		machine_reset(m);
		m->c->rip = address(i) + 5;
		tb = tcg_find(m->c, m->c->mode);
		if (tb && !tb->region)
			tcg_make_region(m->c, tb);
	}
	cr_expect_gt(tcg_of(m->c)->stats.regions, 2);
	cr_expect_gt(moves(m), 0);
}

TEST_USER(an_instruction_on_two_pages_is_right_at_each_address)
{
	MACHINE_PUT(m, M_CODE, 0xe9, 0xf8, 0x0f, 0, 0);			/* jmp to 0xffd */
	MACHINE_PUT(m, M_CODE + 0xffd, 0x48, 0x8d, 0x05);		/* lea rax, [rip + 0x100] */
	MACHINE_PUT(m, M_CODE + 0x1000, 0, 1, 0, 0, 0x0f, 0x0b);
	for (unsigned i = 0; i < TIMES; i++) {
		reset_run_at(m, i);
		cr_expect_eq(reg(m, RAX), address(i) + 0x1104);
	}
}
