/*
 * Shared page proofs at run time: groups that cross a page, reach a read-only or missing
 * page, or a device, and whose base register wraps. What faults must fault where it stands,
 * with everything before it done.
 */
#include <criterion/criterion.h>
#include <string.h>

#include "tcg/cache.h"
#include "tcg/run.h"
#include "tests/guest_code.h"

#define END	"out 0xf4, al\n"

static uint64_t reg(const struct machine *m, int r) { return m->c->regs[r]; }

/* Until both tables know the pages: the first passes find nothing to share. */
static void warm(struct machine *m)
{
	struct cpu *c = m->c;
	uint64_t regs[NGPR];

	memcpy(regs, c->regs, sizeof(regs));
	for (int i = 0; i < 3; i++) {
		memcpy(c->regs, regs, sizeof(regs));
		cr_assert_eq(machine_run(m, M_CODE), -1);
	}
	machine_reset(m);
	memcpy(c->regs, regs, sizeof(regs));
}

GUEST(group, "mov rax, [rbx]\n mov rcx, [rbx + 8]\n add rdx, rax\n mov [rbx + 16], rcx\n mov rsi, [rbx + 24]\n" END)

static void fill(struct machine *m)
{
	for (unsigned i = 0; i < 0x8000; i += 8)
		st64(machine_mem(m, M_DATA + i), 0x100000 + i);
}

TEST_BOTH(opt_mem, a_group_may_cross_pages)
{
	GUEST_PUT(m, M_CODE, group);
	machine_map(m, M_DATA + 0x1000, (M_DATA + 0x4000) | 3);
	for (unsigned off = 0xfd0; off <= 0x1000; off += 4) {
		unsigned at = off + 16;

		machine_reset(m);
		fill(m);
		m->c->regs[RBX] = M_DATA + off;
		cr_expect_eq(machine_run(m, M_CODE), -1);
		if (off & 4)
			continue;
		cr_expect_eq(reg(m, RAX), 0x100000 + (off < 0x1000 ? off : off + 0x3000), "%x", off);
		cr_expect_eq(reg(m, RCX), 0x100000 + (off + 8 < 0x1000 ? off + 8 : off + 0x3008), "%x", off);
		cr_expect_eq(ld64(machine_mem(m, M_DATA + (at < 0x1000 ? at : at + 0x3000))), reg(m, RCX), "%x", off);
		cr_expect_eq(reg(m, RSI), 0x100000 + (off + 24 < 0x1000 ? off + 24 : off + 0x3018), "%x", off);
	}
}

/* One of 1024 places is next, by a rule that proves nothing beforehand; some lie across pages. */
GUEST(indexed, "mov esi, 3000\n 1: mov rax, [rbx + rcx * 8]\n mov rdx, [rbx + rcx * 8 + 8]\n add rax, rdx\n"
	       " mov [rbx + rcx * 8 + 16], rax\n imul ecx, ecx, 5\n inc ecx\n and ecx, 1023\n dec esi\n jnz 1b\n" END)

/* The same in C: data pages 1 and 4 have changed places. */
static void expect_indexed(const struct machine *m, unsigned at)
{
	static uint8_t flat[0x8000];
	unsigned c = 0;

	for (unsigned i = 0; i < 0x8000; i += 8)
		st64(flat + i, 0x100000 + (i >> 12 == 1 || i >> 12 == 4 ? i ^ 0x5000 : i));
	for (unsigned n = 0; n < 3000; n++) {
		uint8_t *p = flat + at + 8 * c;

		st64(p + 16, ld64(p) + ld64(p + 8));
		c = (5 * c + 1) & 1023;
	}
	for (unsigned i = 0; i < 0x8000; i += 8)
		cr_assert_eq(ld64(flat + i), ld64(machine_mem(m, M_DATA + (i >> 12 == 1 || i >> 12 == 4 ? i ^ 0x5000 : i))), "%x", i);
}

static void run_indexed(struct machine *m)
{
	GUEST_PUT(m, M_CODE, indexed);
	machine_map(m, M_DATA + 0x1000, (M_DATA + 0x4000) | 3);
	machine_map(m, M_DATA + 0x4000, (M_DATA + 0x1000) | 3);
	for (unsigned at = 0xff0; at <= 0x1008; at += 4) {
		machine_reset(m);
		fill(m);
		m->c->regs[RBX] = M_DATA + at;
		m->c->regs[RCX] = 0;
		cr_expect_eq(machine_run(m, M_CODE), -1);
		expect_indexed(m, at);
	}
}

TEST_BOTH(opt_mem, a_group_may_have_two_registers) { run_indexed(m); }

TEST_BOTH(opt_mem, a_group_may_have_two_registers_in_a_region)
{
	tcg_set_hot(m->c, 0);
	run_indexed(m);
}

/* Six pages in turns, a group over the end of each. */
GUEST(strides, "mov esi, 300\n 2: mov rbx, rdi\n mov ecx, 6\n 1: mov rax, [rbx]\n add rax, rdx\n mov [rbx + 8], rax\n"
	       " xor rdx, [rbx + 16]\n add rbx, 0x1000\n dec ecx\n jnz 1b\n dec esi\n jnz 2b\n" END)

/* The same in C; at `swap` data pages 1 and 4 have changed places. */
static void expect_strides(const struct machine *m, unsigned at, unsigned swap)
{
	static uint8_t flat[0x8000];
	uint64_t a, d = 0;

	for (unsigned i = 0; i < 0x8000; i += 8)
		st64(flat + i, 0x100000 + (i >> 12 == 1 || i >> 12 == 4 ? i ^ swap : i));
	for (unsigned n = 0; n < 1800; n++) {
		uint8_t *p = flat + at + 0x1000 * (n % 6);

		a = ld64(p) + d;
		st64(p + 8, a);
		d ^= ld64(p + 16);
	}
	cr_expect_eq(reg(m, RAX), a, "%x", at);
	cr_expect_eq(reg(m, RDX), d, "%x", at);
	for (unsigned i = 0; i < 0x8000; i += 8)
		cr_assert_eq(ld64(flat + i), ld64(machine_mem(m, M_DATA + (i >> 12 == 1 || i >> 12 == 4 ? i ^ swap : i))), "%x", i);
}

static void run_strides(struct machine *m, unsigned swap)
{
	GUEST_PUT(m, M_CODE, strides);
	machine_map(m, M_DATA + 0x1000, (M_DATA + (0x1000 ^ swap)) | 3);
	machine_map(m, M_DATA + 0x4000, (M_DATA + (0x4000 ^ swap)) | 3);
	for (unsigned at = 0xfe8; at <= 0x1000; at += 4) {
		machine_reset(m);
		fill(m);
		m->c->regs[RDX] = 0;
		m->c->regs[RDI] = M_DATA + at;
		cr_expect_eq(machine_run(m, M_CODE), -1);
		expect_strides(m, at, swap);
	}
}

TEST_BOTH(opt_mem, strides_may_cross_pages) { run_strides(m, 0x5000); }

/* Where the host has the pages side by side; elsewhere C is asked once where to go on without sharing. */
Test(opt_mem, a_group_in_a_region_shares_across_adjacent_pages)
{
	struct machine m;
	uint64_t noshare, groups;

	machine_init(&m, 64, 0, &tcg_accel);
	tcg_set_hot(m.c, 0);
	run_strides(&m, 0);
	noshare = tcg_of(m.c)->stats.noshare;
	groups = tcg_of(m.c)->stats.groups;
	run_strides(&m, 0);
	cr_expect_lt(tcg_of(m.c)->stats.noshare - noshare, 100);
	cr_expect_gt(tcg_of(m.c)->stats.groups - groups, 1000);
	noshare = tcg_of(m.c)->stats.noshare;
	run_strides(&m, 0x5000);
	cr_expect_lt(tcg_of(m.c)->stats.noshare - noshare, 100);
	machine_fini(&m);
}

GUEST(store_over, "mov [rbx], rax\n" END)

TEST_BOTH(opt_mem, a_store_over_adjacent_pages_needs_both)
{
	GUEST_PUT(m, M_CODE, store_over);
	m->c->regs[RBX] = M_DATA + 0xffc;
	m->c->regs[RAX] = 77;
	warm(m);
	cr_expect_eq(ld64(machine_mem(m, M_DATA + 0xffc)), 77);
	fill(m);
	machine_map(m, M_DATA + 0x1000, (M_DATA + 0x1000) | 1);
	cr_expect_eq(machine_run(m, M_CODE), EXC_PF);
	cr_expect_eq(m->c->cr2, M_DATA + 0x1000);
	cr_expect_eq(ld64(machine_mem(m, M_DATA + 0xff8)), 0x100ff8);
}

static int cross(struct machine *m)
{
	machine_reset(m);
	fill(m);
	m->c->regs[RBX] = M_DATA + 0xff0;
	return machine_run(m, M_CODE);
}

Test(opt_mem, c_is_asked_once_where_code_goes_on_without_sharing)
{
	struct machine m;

	machine_init(&m, 64, 0, &tcg_accel);
	GUEST_PUT(&m, M_CODE, group);
	for (int i = 0; i < 10; i++) {
		cr_assert_eq(cross(&m), -1);
		cr_expect_eq(reg(&m, RSI), 0x101008);
		cr_expect_eq(ld64(machine_mem(&m, M_DATA + 0x1000)), 0x100ff8);
	}
	/* Twice where the loop has to translate it first (sanitized builds): what it makes is noted when C finds it. */
	cr_expect_leq(tcg_of(m.c)->stats.noshare, 2);
	machine_fini(&m);
}

GUEST(group2, "mov rax, [rbx]\n mov rcx, [rbx + 8]\n sub rdx, rax\n mov [rbx + 16], rcx\n mov rdi, [rbx + 24]\n" END)

/* It stands where the other was, in host memory, too. */
TEST_BOTH(opt_mem, other_code_goes_on_in_its_own_way)
{
	for (int i = 0; i < 6; i++) {
		bool first = i % 2 == 0;

		if (first)
			GUEST_PUT(m, M_CODE, group);
		else
			GUEST_PUT(m, M_CODE, group2);
		for (int k = 0; k < 3; k++) {
			cr_assert_eq(cross(m), -1);
			cr_expect_eq(reg(m, RDX), first ? 0x100ff0 : -0x100ff0ull);
			cr_expect_eq(reg(m, first ? RSI : RDI), 0x101008);
		}
	}
}

TEST_BOTH(opt_mem, reads_of_a_group_with_a_write_need_no_writable_page)
{
	GUEST_PUT(m, M_CODE, group);
	m->c->regs[RBX] = M_DATA + 0x100;
	warm(m);
	fill(m);
	machine_map(m, M_DATA, M_DATA | 1);
	cr_expect_eq(machine_run(m, M_CODE), EXC_PF);
	cr_expect_eq(machine_frame(m).rip, M_CODE + 10);
	cr_expect_eq(machine_frame(m).error, 3);
	cr_expect_eq(m->c->cr2, M_DATA + 0x110);
	cr_expect_eq(reg(m, RAX), 0x100100);
	cr_expect_eq(reg(m, RCX), 0x100108);
	cr_expect_eq(reg(m, RDX), 0x100100);
	cr_expect_eq(reg(m, RSI), 0);
	machine_map(m, M_DATA, M_DATA | 3);		/* as a kernel copies on write */
	cr_expect_eq(machine_run(m, machine_frame(m).rip), -1);
	cr_expect_eq(reg(m, RSI), 0x100118);
	cr_expect_eq(ld64(machine_mem(m, M_DATA + 0x110)), 0x100108);
}

TEST_BOTH(opt_mem, a_group_into_a_missing_page_faults_at_its_access)
{
	GUEST_PUT(m, M_CODE, group);
	m->c->regs[RBX] = M_DATA + 0xff8;
	warm(m);
	fill(m);
	machine_map(m, M_DATA + 0x1000, 0);
	cr_expect_eq(machine_run(m, M_CODE), EXC_PF);
	cr_expect_eq(machine_frame(m).rip, M_CODE + 3);
	cr_expect_eq(m->c->cr2, M_DATA + 0x1000);
	cr_expect_eq(reg(m, RAX), 0x100ff8);
	cr_expect_eq(reg(m, RDX), 0);
}

TEST_BOTH(opt_mem, a_group_in_a_device_accesses_it_once_each)
{
	GUEST_PUT(m, M_CODE, group);
	st64(m->device, 11);
	st64(m->device + 8, 22);
	m->c->regs[RBX] = M_DEVICE;
	cr_expect_eq(machine_run(m, M_CODE), -1);
	cr_expect_eq(m->n_reads, 3);
	cr_expect_eq(m->n_writes, 1);
	cr_expect_eq(ld64(m->device + 16), 22);
	cr_expect_eq(reg(m, RAX), 11);
}

GUEST(pushes, "push rax\n push rbx\n push rcx\n push rdx\n push rsi\n push rdi\n"
      " pop r8\n pop r9\n pop r10\n pop r11\n pop r12\n pop r13\n" END)

TEST_BOTH(opt_mem, the_stack_may_cross_pages)
{
	GUEST_PUT(m, M_CODE, pushes);
	for (unsigned off = 0; off < 64; off += 4) {
		static const uint8_t regs[] = { RAX, RBX, RCX, RDX, RSI, RDI };

		machine_reset(m);
		for (unsigned i = 0; i < 6; i++)
			m->c->regs[regs[i]] = 0x1111111111111111u * (i + 1);
		m->c->regs[RSP] = M_DATA + 0x1000 + off;
		cr_expect_eq(machine_run(m, M_CODE), -1);
		for (unsigned i = 0; i < 6; i++)
			cr_expect_eq(reg(m, R8 + (int)i), 0x1111111111111111u * (6 - i), "%u", off);
		cr_expect_eq(reg(m, RSP), M_DATA + 0x1000 + off);
	}
}

TEST_BOTH(opt_mem, a_stack_overflow_faults_at_its_push)
{
	GUEST_PUT(m, M_CODE, pushes);
	m->c->regs[RSP] = M_DATA + 0x1000 + 24;
	warm(m);
	machine_map(m, M_DATA, 0);
	m->c->regs[RAX] = 77;
	cr_expect_eq(machine_run(m, M_CODE), EXC_PF);
	cr_expect_eq(machine_frame(m).rip, M_CODE + 3);
	cr_expect_eq(machine_frame(m).rsp, M_DATA + 0x1000);
	cr_expect_eq(m->c->cr2, M_DATA + 0xff8);
	cr_expect_eq(ld64(machine_mem(m, M_DATA + 0x1010)), 77);
}

/* The page becomes read-only between two runs of the same block. */
TEST_BOTH(opt_mem, a_proof_lasts_for_one_run_of_the_block)
{
	GUEST_PUT(m, M_CODE, group);
	for (int i = 0; i < 5; i++) {
		machine_reset(m);
		m->c->regs[RBX] = M_DATA + 0x100;
		warm(m);
		machine_map(m, M_DATA, M_DATA | 1);
		cr_expect_eq(machine_run(m, M_CODE), EXC_PF);
		machine_map(m, M_DATA, M_DATA | 3);
	}
}

/* 32-bit addresses wrap at 4 GiB: the base register does here, the addresses do not. */
GUEST(wrap32, ".code32\n mov eax, [ebx + 0x20900]\n add ebx, 0x1000\n mov ecx, [ebx + 0x1f904]\n"
      " mov edx, [ebx + 0x1f908]\n mov [ebx + 0x1f90c], ecx\n" END)
GUEST(wrap32_sp, ".code32\n mov esp, 0xfffffff8\n mov eax, [esp + 0x20108]\n add esp, 16\n mov ecx, [esp + 0x200fc]\n" END)

static void wrapping(const struct accel_ops *ops)
{
	struct machine m;

	machine_init(&m, 32, 0, ops);
	fill(&m);
	GUEST_PUT(&m, M_CODE, wrap32);
	m.c->regs[RBX] = 0xfffff800;
	warm(&m);
	fill(&m);
	cr_expect_eq(machine_run(&m, M_CODE), -1);
	cr_expect_eq(reg(&m, RAX), 0x100100);
	cr_expect_eq(reg(&m, RCX), 0);			/* upper half of a quadword */
	cr_expect_eq(reg(&m, RDX), 0x100108);
	machine_reset(&m);
	GUEST_PUT(&m, M_CODE, wrap32_sp);
	warm(&m);
	cr_expect_eq(machine_run(&m, M_CODE), -1);
	cr_expect_eq(reg(&m, RAX), 0x100100);
	cr_expect_eq(reg(&m, RCX), 0);
	machine_fini(&m);
}

Test(opt_mem, the_base_may_wrap_in_32_bit_code) { wrapping(&tcg_accel); }
Test(opt_mem, the_base_may_wrap_in_32_bit_code_interpreted) { wrapping(&tcg_interp_accel); }
