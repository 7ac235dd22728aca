/*
 * Code that is written while it is translated: by its own block, ahead and behind, by
 * stores of every kind, across pages, through another mapping, by devices; and data
 * beside code, which must not cost translations.
 */
#include <criterion/criterion.h>
#include <string.h>

#include "cpu/system.h"
#include "tcg/cache.h"
#include "tcg/run.h"
#include "tests/guest_code.h"

#define END	"out 0xf4, al\n"

static uint64_t reg(const struct machine *m, int r) { return m->c->regs[r]; }

/* ---- its own block ---- */

GUEST(ahead, "lea rdi, [rip + 1f]\n mov byte ptr [rdi + 1], 5\n 1: mov al, 1\n" END)
GUEST(ahead_q, "lea rdi, [rip + 1f]\n mov rbx, 0x9090909090900500\n mov bl, 0xb0\n mov [rdi], rbx\n"
      " 1: mov al, 1\n nop\n nop\n nop\n nop\n nop\n nop\n" END)
GUEST(ahead_push, "lea rdi, [rip + 1f + 8]\n mov rbx, 0x90909090909005b0\n xchg rdi, rsp\n push rbx\n"
      " .balign 8, 0x90\n 1: mov al, 1\n nop\n nop\n nop\n nop\n nop\n nop\n xchg rdi, rsp\n" END)
GUEST(ahead_sse, "lea rdi, [rip + 1f]\n mov rbx, 0x90909090909005b0\n movq xmm0, rbx\n movq [rdi], xmm0\n"
      " 1: mov al, 1\n nop\n nop\n nop\n nop\n nop\n nop\n" END)
GUEST(ahead_x87, "fninit\n lea rdi, [rip + 1f]\n mov dword ptr [rip + 2f], 0x909005b0\n"
      " fild dword ptr [rip + 2f]\n fistp dword ptr [rdi]\n 1: mov al, 1\n nop\n nop\n" END " .balign 64\n 2: .long 0")
GUEST(ahead_xchg, "lea rdi, [rip + 1f]\n mov ebx, 0x909005b0\n xchg [rdi], ebx\n 1: mov al, 1\n nop\n nop\n" END)
GUEST(ahead_lock, "lea rdi, [rip + 1f]\n lock add byte ptr [rdi + 1], 4\n 1: mov al, 1\n" END)
GUEST(ahead_stos, "lea rdi, [rip + 1f + 1]\n mov al, 5\n mov ecx, 1\n rep stosb\n 1: mov al, 1\n" END)
GUEST(ahead_stos_1, "lea rdi, [rip + 1f + 1]\n mov al, 5\n stosb\n 1: mov al, 1\n" END)
GUEST(ahead_far, "lea rdi, [rip + 1f]\n mov byte ptr [rdi + 1], 5\n jmp 1f\n .balign 64\n 1: mov al, 1\n" END)
GUEST(ahead_call, "lea rdi, [rip + 1f]\n call 1f\n mov byte ptr [rdi + 1], 5\n call 1f\n" END " .balign 64\n 1: mov al, 1\n ret")

TEST_BOTH(smc_light, a_store_changes_what_comes_next)
{
#define ROW(name) { guest_##name, guest_##name##_end, #name }
	static const struct { const uint8_t *code, *end; const char *name; } rows[] = {
		ROW(ahead), ROW(ahead_q), ROW(ahead_push), ROW(ahead_sse), ROW(ahead_x87), ROW(ahead_xchg),
		ROW(ahead_lock), ROW(ahead_stos), ROW(ahead_stos_1), ROW(ahead_far), ROW(ahead_call),
	};

	for (unsigned i = 0; i < ARRAY_LEN(rows); i++)
		for (int again = 0; again < 2; again++) {	/* the second time the pages hold code already */
			machine_reset(m);
			machine_put(m, M_CODE, rows[i].code, (unsigned)(rows[i].end - rows[i].code));
			cr_expect_eq(machine_run(m, M_CODE), -1, "%s", rows[i].name);
			cr_expect_eq(reg(m, RAX) & 0xff, 5, "%s: %lx", rows[i].name, reg(m, RAX));
		}
}

GUEST(behind, "xor ebx, ebx\n mov ecx, 50\n 1: mov al, 0\n add bl, al\n inc byte ptr [rip + 1b + 1]\n dec ecx\n jnz 1b\n" END)

TEST_BOTH(smc_light, a_loop_may_change_itself)
{
	GUEST_PUT(m, M_CODE, behind);
	cr_expect_eq(machine_run(m, M_CODE), -1);
	cr_expect_eq(reg(m, RBX), (49 * 50 / 2) & 0xff);
}

/* ---- pages ---- */

GUEST(one, "mov al, 1\n ret")
GUEST(cross, "call rbx\n mov r8, rax\n mov rdx, 0xc302b0cccccccccc\n mov [rdi], rdx\n call rbx\n" END)

TEST_BOTH(smc_light, stores_across_pages_reach_code_of_the_second)
{
	GUEST_PUT(m, M_CODE, cross);
	GUEST_PUT(m, M_CODE + 0x3000, one);
	m->c->regs[RBX] = M_CODE + 0x3000;
	m->c->regs[RDI] = M_CODE + 0x3000 - 5;		/* int3 .. | mov al, 2; ret */
	cr_expect_eq(machine_run(m, M_CODE), -1);
	cr_expect_eq(reg(m, R8), 1);
	cr_expect_eq(reg(m, RAX), 2);
}

GUEST(cross_again, "mov rdx, 0xc301b0cccccccccc\n mov [rdi], rdx\n mov [rdi], rdx\n call rbx\n mov r8, rax\n"
		   " mov rdx, 0xc302b0cccccccccc\n mov [rdi], rdx\n call rbx\n" END)

/* Both pages are in the TLB, to be written, until one has code. */
TEST_BOTH(smc_light, pages_stored_to_together_may_become_code)
{
	GUEST_PUT(m, M_CODE, cross_again);
	m->c->regs[RBX] = M_CODE + 0x3000;
	m->c->regs[RDI] = M_CODE + 0x3000 - 5;
	cr_expect_eq(machine_run(m, M_CODE), -1);
	cr_expect_eq(reg(m, R8) & 0xff, 1);
	cr_expect_eq(reg(m, RAX) & 0xff, 2);
}

GUEST(long_one, "mov eax, 1\n ret")
GUEST(patch_b, "call rbx\n mov r8, rax\n mov byte ptr [rdi], 2\n call rbx\n" END)

TEST_BOTH(smc_light, an_instruction_may_lie_on_two_pages)
{
	GUEST_PUT(m, M_CODE, patch_b);
	GUEST_PUT(m, M_CODE + 0x2ffe, long_one);	/* b8 01 | 00 00 00 c3 */
	m->c->regs[RBX] = M_CODE + 0x2ffe;
	m->c->regs[RDI] = M_CODE + 0x3000;
	cr_expect_eq(machine_run(m, M_CODE), -1);
	cr_expect_eq(reg(m, R8), 1);
	cr_expect_eq(reg(m, RAX), 0x201);
}

TEST_BOTH(smc_light, stores_through_another_mapping_count)
{
	GUEST_PUT(m, M_CODE, patch_b);
	GUEST_PUT(m, M_CODE + 0x3000, one);
	machine_map(m, M_CODE + 0x8000, (M_CODE + 0x3000) | 3);
	m->c->regs[RBX] = M_CODE + 0x3000;
	m->c->regs[RDI] = M_CODE + 0x8001;
	cr_expect_eq(machine_run(m, M_CODE), -1);
	cr_expect_eq(reg(m, R8), 1);
	cr_expect_eq(reg(m, RAX), 2);
}

/* ---- flags: what the target needs may change with its bytes ---- */

GUEST(needs, "mov al, 0xff\n add al, 1\n mov [rdi], rbx\n jmp 1f\n .balign 64\n 1: xor eax, eax\n nop\n nop\n nop\n nop\n"
      " nop\n nop\n setc al\n" END)

TEST_BOTH(smc_light, flags_a_changed_target_needs_are_there_from_the_second_time)
{
	static const uint8_t patch[8] = { 0x0f, 0x92, 0xc0, 0xeb, 0x06, 0x90, 0x90, 0x90 };	/* setc al; jmp over */
	uint64_t original = 0;

	GUEST_PUT(m, M_CODE, needs);
	original = ld64(machine_mem(m, M_CODE + 64));
	for (int round = 0; round < 6; round++) {
		int patched = round & 1;

		machine_reset(m);
		m->c->regs[RDI] = M_CODE + 64;
		m->c->regs[RBX] = patched ? ld64(patch) : original;
		cr_expect_eq(machine_run(m, M_CODE), -1);
		if (round != 1)
			cr_expect_eq(reg(m, RAX) & 0xff, (uint64_t)patched, "round %d", round);
	}
}

GUEST(guess, "1: mov al, 0xff\n add al, 1\n mov esi, [rdx]\n jmp 2f\n .balign 64\n 2: xor eax, eax\n nop\n nop\n nop\n nop\n"
      " nop\n nop\n setc al\n" END)

TEST_BOTH(smc_light, flags_survive_when_somebody_else_changes_the_target)
{
	static const uint8_t patch[8] = { 0x0f, 0x92, 0xc0, 0xeb, 0x06, 0x90, 0x90, 0x90 };

	GUEST_PUT(m, M_CODE, guess);
	for (int patched = 0; patched < 2; patched++) {
		machine_reset(m);
		m->c->regs[RDX] = M_DATA;
		if (patched)
			machine_put(m, M_CODE + 64, patch, sizeof(patch));
		cr_expect_eq(machine_run(m, M_CODE), -1);
		cr_expect_eq(reg(m, RAX) & 0xff, (uint64_t)patched);
	}
}

/* ---- data beside code ---- */

GUEST(beside, "lea rdi, [rip + 2f]\n mov ecx, 1000\n 1: mov [rdi], ecx\n add eax, [rdi]\n dec ecx\n jnz 1b\n" END
      " ud2\n .balign 64\n 2: .long 0")

TEST_BOTH(smc_light, data_beside_code_costs_no_translation)
{
	uint64_t killed, made;

	GUEST_PUT(m, M_CODE, beside);
	machine_run(m, M_CODE);
	killed = tcg_of(m->c)->stats.killed;
	made = tcg_of(m->c)->stats.translations;
	machine_reset(m);
	cr_expect_eq(machine_run(m, M_CODE), -1);
	cr_expect_eq(reg(m, RAX), 500500);
	cr_expect_eq(tcg_of(m->c)->stats.killed, killed);
	cr_expect_eq(tcg_of(m->c)->stats.translations, made);
}

/*
 * Where such a store may go is not looked up each time: what is changed between the second and the third one, by on_out(),
 * has to be seen. The page that is stored to is the code's, at another address.
 */
#define ALIAS	(M_CODE + 0x8000)
GUEST(three, "mov [rdi], eax\n mov [rdi], eax\n mov al, 7\n out 0x80, al\n mov [rdi], ecx\n" END)
GUEST(three_ahead, "mov [rdi], eax\n mov [rdi], eax\n lea rsi, [rip + 0x8000 + 1f]\n mov byte ptr [rsi + 1], 5\n 1: mov al, 1\n" END)

static int store_beside(struct machine *m, bool wp, uint64_t pte, void (*on_out)(struct machine *, uint32_t))
{
	machine_reset(m);
	cpu_write_cr(m->c, 0, wp ? m->c->cr0 | CR0_WP : m->c->cr0 & ~(uint64_t)CR0_WP);
	machine_map(m, ALIAS, M_CODE | pte);
	st64(machine_mem(m, M_CODE + 0x800), 0);
	m->c->regs[RDI] = ALIAS + 0x800;
	m->c->regs[RAX] = 1;
	m->c->regs[RCX] = 0x12345678;
	m->on_out = on_out;
	return machine_run(m, M_CODE);
}
static uint32_t beside_now(const struct machine *m, uint64_t page) { return ld32(machine_mem(m, page + 0x800)); }

static void read_only(struct machine *m, uint32_t v) { (void)v; machine_map(m, ALIAS, M_CODE | PTE_P); }
static void elsewhere(struct machine *m, uint32_t v) { (void)v; machine_map(m, ALIAS, (M_CODE + 0x5000) | PTE_P | PTE_W); }
static void protect(struct machine *m, uint32_t v) { (void)v; cpu_write_cr(m->c, 0, m->c->cr0 | CR0_WP); }
static void log_dirty(struct machine *m, uint32_t v) { (void)v; phys_log_dirty(m->phys, m->ram, M_CODE, 0x1000, true); }
static void look_at_dirty(struct machine *m, uint32_t v) { (void)v; phys_test_clear_dirty(m->phys, m->ram, M_CODE); }

TEST_BOTH(smc_light, stores_beside_code_see_what_becomes_of_the_page)
{
	GUEST_PUT(m, M_CODE, three_ahead);
	store_beside(m, true, PTE_P | PTE_W, NULL);
	cr_expect_eq(reg(m, RAX) & 0xff, 5);

	GUEST_PUT(m, M_CODE, three);
	cr_expect_eq(store_beside(m, true, PTE_P | PTE_W, NULL), -1);
	cr_expect_eq(beside_now(m, M_CODE), 0x12345678);

	cr_expect_eq(store_beside(m, true, PTE_P | PTE_W, read_only), 14);
	cr_expect_eq(beside_now(m, M_CODE), 1);

	cr_expect_eq(store_beside(m, true, PTE_P | PTE_W, elsewhere), -1);
	cr_expect_eq(beside_now(m, M_CODE), 1);
	cr_expect_eq(beside_now(m, M_CODE + 0x5000), 0x12345678);

	cr_expect_eq(store_beside(m, false, PTE_P, protect), 14);
	cr_expect_eq(beside_now(m, M_CODE), 1);

	for (int i = 0; i < 2; i++) {
		cr_expect_eq(store_beside(m, true, PTE_P | PTE_W, i ? look_at_dirty : log_dirty), -1);
		cr_expect(phys_test_clear_dirty(m->phys, m->ram, M_CODE), "a store behind the last look");
	}
}

/* Patch and run in turns, as a guest's own translator does. */
GUEST(turns, "mov ecx, 1000\n 1: mov [rdi + 1], cl\n call rdi\n movzx eax, al\n add ebx, eax\n dec ecx\n jnz 1b\n" END)

TEST_BOTH(smc_light, code_may_be_patched_and_run_in_turns)
{
	uint64_t sum = 0;

	for (unsigned i = 1; i <= 1000; i++)
		sum += i & 0xff;
	GUEST_PUT(m, M_CODE, turns);
	GUEST_PUT(m, M_CODE + 0x3000, one);
	m->c->regs[RDI] = M_CODE + 0x3000;
	cr_expect_eq(machine_run(m, M_CODE), -1);
	cr_expect_eq(reg(m, RBX), sum);
	cr_expect_lt(tcg_of(m->c)->piece->n_tbs, 20);		/* the memory of dropped ones is used again */
}

/* ---- devices ---- */

static void patch_one(struct machine *m, uint32_t v)
{
	MACHINE_PUT(m, M_CODE + 0x3001, (uint8_t)v);
}

GUEST(dma, "call rdi\n mov bl, al\n mov al, 7\n out 0x80, al\n call rdi\n" END)

GUEST(plain, "mov al, 5\n" END)

TEST_BOTH(smc_light, a_page_whose_code_is_gone_stays_marked_for_some_stores)
{
	struct tcg *t = tcg_of(m->c);
	struct phys_page pp;
	uint64_t ram;

	GUEST_PUT(m, M_CODE, plain);
	machine_run(m, M_CODE);
	phys_lookup(m->c->phys, M_CODE, &pp);
	ram = pp.ram->id + pp.ram_off;
	cr_assert(tcg_code_page(t->cache, ram)->marked);
	tcg_smc(t, ram, 16);
	cr_expect_eq(tcg_code_page(t->cache, ram)->chunks, 0);
	for (int i = 0; i < 20; i++)
		tcg_smc(t, ram + 8, 4);
	cr_expect(tcg_code_page(t->cache, ram)->marked, "patched and run in turns is not marked each time");
	for (int i = 0; i < 100; i++)
		tcg_smc(t, ram + 8, 4);
	cr_expect_not(tcg_code_page(t->cache, ram)->marked, "data in the end");
}

TEST_BOTH(smc_light, code_written_by_a_device_is_new)
{
	GUEST_PUT(m, M_CODE, dma);
	GUEST_PUT(m, M_CODE + 0x3000, one);
	m->c->regs[RDI] = M_CODE + 0x3000;
	m->on_out = patch_one;
	cr_expect_eq(machine_run(m, M_CODE), -1);
	cr_expect_eq(reg(m, RBX), 1);
	cr_expect_eq(reg(m, RAX), 7);
}

static void patch_many(struct machine *m, uint32_t v)
{
	for (unsigned i = 0; i < 200; i++)
		MACHINE_PUT(m, M_CODE + 0x3001, (uint8_t)(v + i));
}

/* The page whose code a device changes, and so many others. */
static void patch_pages(struct machine *m, uint32_t v)
{
	struct phys_page pp;

	MACHINE_PUT(m, M_CODE + 0x3001, (uint8_t)v);
	phys_lookup(m->c->phys, 0, &pp);
	for (unsigned i = 0; i < *(unsigned *)m->opaque; i++)
		tcg_note_write(tcg_of(m->c)->cache, pp.ram->id + 0x1000 * i, 8);
}

TEST_BOTH(smc_light, many_device_writes_are_not_lost)
{
	GUEST_PUT(m, M_CODE, dma);
	GUEST_PUT(m, M_CODE + 0x3000, one);
	m->c->regs[RDI] = M_CODE + 0x3000;
	m->on_out = patch_many;
	cr_expect_eq(machine_run(m, M_CODE), -1);
	cr_expect_eq(reg(m, RAX), 7 + 199);
}

/* A page of RAM that gets other contents is written once; its next code is to be as good as any. */
TEST_BOTH(smc_light, one_store_to_peeked_bytes_bans_nobody)
{
	struct tcg *t = tcg_of(m->c);

	tcg_peek_was_hit(t, 0x1000);
	cr_expect(tcg_may_peek(t, 0x1000));
	for (int i = 0; i < 10; i++)
		tcg_peek_was_hit(t, 0x1000);
	cr_expect_not(tcg_may_peek(t, 0x1000));
	cr_expect(tcg_may_peek(t, 0x1001));
	tcg_peek_was_wrong(t, 0x1001);
	cr_expect_not(tcg_may_peek(t, 0x1001));
}

TEST_BOTH(smc_light, a_page_written_bit_by_bit_is_one_write)
{
	struct tcg *t = tcg_of(m->c);
	unsigned pages = 100;
	uint64_t flushes;

	GUEST_PUT(m, M_CODE, dma);
	GUEST_PUT(m, M_CODE + 0x3000, one);
	m->on_out = patch_many;
	for (int more = 0; more < 2; more++) {		/* and more pages than are remembered are all */
		machine_reset(m);
		m->opaque = &pages;
		m->c->regs[RDI] = M_CODE + 0x3000;
		flushes = t->stats.flushes;
		cr_expect_eq(machine_run(m, M_CODE), -1);
		cr_expect_eq(t->stats.flushes - flushes, (unsigned)more);
		cr_expect_eq(reg(m, RAX), more ? 7 : 7 + 199);
		m->on_out = patch_pages;
		pages = 200;
	}
}
