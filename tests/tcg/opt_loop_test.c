/*
 * Fast copies of loops: accesses that were proven before a number of rounds must do what
 * they do one by one, at page borders, where pages are missing, read-only, devices or code, when
 * mappings change between and behind rounds, and when registers of the addresses do. All loops are
 * regions from their first round on.
 */
#include <cpuid.h>
#include <criterion/criterion.h>
#include <signal.h>
#include <string.h>
#include <time.h>

#include "cpu/mmu.h"
#include "cpu/tlb.h"
#include "tcg/cache.h"
#include "tcg/run.h"
#include "tests/guest_code.h"

#define END	"out 0xf4, al\n"
#define PAGES	6

static uint64_t reg(const struct machine *m, int r) { return m->c->regs[r]; }

/* Six data pages, each with its own number in all bytes, mapped in another order than they stand in RAM. */
static void scatter(struct machine *m)
{
	static const unsigned order[PAGES] = { 3, 0, 5, 4, 1, 2 };

	tcg_set_hot(m->c, 0);
	for (unsigned i = 0; i < PAGES; i++) {
		machine_map(m, M_DATA + i * 0x1000, (M_DATA + order[i] * 0x1000) | 3);
		for (unsigned k = 0; k < 0x1000; k++)
			*machine_mem(m, M_DATA + order[i] * 0x1000 + k) = (uint8_t)(i * 37 + k * 11 + (k >> 8));
	}
}

static uint8_t *at(const struct machine *m, uint64_t va)
{
	static const unsigned order[PAGES] = { 3, 0, 5, 4, 1, 2 };

	return machine_mem(m, M_DATA + order[va >> 12 & 7] * 0x1000 + (va & 0xfff));
}

static uint64_t ld(const struct machine *m, uint64_t va, int n)
{
	uint64_t v = 0;

	while (n--)
		v = v << 8 | *at(m, va + (unsigned)n);
	return v;
}

static void loops_were_made(const struct machine *m)
{
	if (!tcg_of(m->c)->interp)
		cr_expect_geq(tcg_of(m->c)->cache->n_loops, 1);
}

/* ---- what is read and written ---- */

GUEST(sum_up, "mov esi, 0x20003\n mov ecx, 1500\n xor eax, eax\n 1: add rax, [rsi]\n rol rax, 7\n add rsi, 13\n dec ecx\n jnz 1b\n" END)
GUEST(sum_down, "mov esi, 0x25f00\n mov ecx, 1500\n xor eax, eax\n 1: add rax, [rsi]\n rol rax, 7\n sub rsi, 13\n dec ecx\n jnz 1b\n" END)
GUEST(sum_index, "mov esi, 0x26000\n mov rcx, -3000\n xor eax, eax\n 1: add rax, [rsi + rcx * 8 + 3]\n rol rax, 7\n"
		 " inc rcx\n cmp rcx, -1\n jnz 1b\n" END)
GUEST(sum_stride, "mov esi, 0x20003\n mov ecx, 77\n mov edx, 260\n xor eax, eax\n 1: add rax, [rsi]\n rol rax, 7\n"
		  " add rsi, rdx\n dec ecx\n jnz 1b\n" END)

static uint64_t sum(const struct machine *m, uint64_t from, int64_t step, unsigned n)
{
	uint64_t s = 0;

	for (; n--; from += (uint64_t)step) {
		s += ld(m, from, 8);
		s = s << 7 | s >> 57;
	}
	return s;
}

TEST_BOTH(opt_loop, reads_go_over_scattered_pages)
{
	scatter(m);
	GUEST_PUT(m, M_CODE, sum_up);
	cr_assert_eq(machine_run(m, M_CODE), -1);
	cr_expect_eq(reg(m, RAX), sum(m, 0x20003, 13, 1500));
	GUEST_PUT(m, M_CODE, sum_down);
	cr_assert_eq(machine_run(m, M_CODE), -1);
	cr_expect_eq(reg(m, RAX), sum(m, 0x25f00, -13, 1500));
	GUEST_PUT(m, M_CODE, sum_index);
	cr_assert_eq(machine_run(m, M_CODE), -1);
	cr_expect_eq(reg(m, RAX), sum(m, 0x26003 - 3000 * 8, 8, 2999));
	GUEST_PUT(m, M_CODE, sum_stride);
	cr_assert_eq(machine_run(m, M_CODE), -1);
	cr_expect_eq(reg(m, RAX), sum(m, 0x20003, 260, 77));
	loops_were_made(m);
}

/* More registers than the host has: some of r8-r11 stand in memory, and in r15 from one instruction to the next. */
GUEST(chains, "mov esi, 0x20008\n mov edi, 0x22008\n mov ebx, 0x24000\n mov ecx, 700\n mov rdx, 0x9e3779b97f4a7c15\n"
	      " xor ebp, ebp\n mov r8d, 1\n mov r9d, 2\n mov r10d, 3\n mov r11d, 4\n mov r12d, 5\n mov r13d, 6\n mov r14d, 7\n mov r15d, 8\n"
	      " 1: test edx, edx\n mulx r9, r8, [rsi]\n adcx r10, r8\n mulx r8, rax, [rdi]\n adcx r11, r8\n adox r10, r9\n mov [rbx], r10\n"
	      " mulx rbp, r10, r10\n adox r13, r10\n mulx r11, r10, r11\n adcx r11, rbp\n lea r9, [r10 + r11 * 2 + 5]\n movzx r8d, r9b\n cmovc r10, r9\n"
	      " shlx r9, r9, r8\n imul r11, r9\n rorx r9, r11, 13\n mov [rdi], r9\n xor r14, r9\n add r15, r10\n xor r12, r8\n add r12, rax\n"
	      " xor r12, rbp\n add r14, r13\n add r15, rcx\n xor r12, rcx\n add r13, rcx\n add r14, rax\n xor r15, rbp\n add r12, r13\n xor r13, r15\n add r14, r12\n xor r15, r14\n"
	      " add rsi, 8\n add rdi, 8\n add rbx, 8\n dec ecx\n jnz 1b\n" END)

/* a + b + carry */
static uint64_t add_on(uint64_t a, uint64_t b, bool *carry)
{
	unsigned __int128 sum = (unsigned __int128)a + b + *carry;

	*carry = (sum >> 64) != 0;
	return (uint64_t)sum;
}

TEST_BOTH(opt_loop, chains_of_sums_go_through_registers_that_stand_in_memory)
{
	const uint64_t by = 0x9e3779b97f4a7c15;
	uint64_t r[NGPR] = { [R8] = 1, 2, 3, 4, 5, 6, 7, 8 };
	unsigned eax, ebx = 0, ecx, edx;

	if (!__get_cpuid_count(7, 0, &eax, &ebx, &ecx, &edx) || !(ebx & bit_ADX))
		cr_skip_test("host without ADX");
	scatter(m);
	for (unsigned i = 0; i < 700; i++) {
		unsigned __int128 first = (unsigned __int128)by * ld(m, 0x20008 + 8 * i, 8);
		unsigned __int128 second = (unsigned __int128)by * ld(m, 0x22008 + 8 * i, 8), third, fourth;
		bool cf = false, of = false;

		r[R10] = add_on(r[R10], (uint64_t)first, &cf);
		r[R11] = add_on(r[R11], (uint64_t)(second >> 64), &cf);
		r[R10] = add_on(r[R10], (uint64_t)(first >> 64), &of);
		third = (unsigned __int128)by * r[R10];
		fourth = (unsigned __int128)by * r[R11];
		r[R10] = (uint64_t)fourth;
		r[R11] = add_on((uint64_t)(fourth >> 64), (uint64_t)(third >> 64), &cf);
		r[R9] = r[R10] + r[R11] * 2 + 5;
		r[R8] = r[R9] & 0xff;
		r[R10] = cf ? r[R9] : r[R10];
		r[R11] *= r[R9] << (r[R8] & 63);
		r[R9] = r[R11] >> 13 | r[R11] << 51;
		r[R13] = add_on(r[R13], (uint64_t)third, &of);
		r[R14] = (r[R14] ^ r[R9]) + r[R13] + (uint64_t)second;
		r[R15] = (r[R15] + r[R10] + 700 - i) ^ (uint64_t)(third >> 64);
		r[R12] = ((r[R12] ^ r[R8]) + (uint64_t)second) ^ (uint64_t)(third >> 64) ^ (700 - i);
		r[R13] += 700 - i;
		r[R12] += r[R13];
		r[R13] ^= r[R15];
		r[R14] += r[R12];
		r[R15] ^= r[R14];
	}
	GUEST_PUT(m, M_CODE, chains);
	cr_assert_eq(machine_run(m, M_CODE), -1);
	for (int i = R8; i <= R15; i++)
		cr_expect_eq(reg(m, i), r[i], "r%d", i);
	loops_were_made(m);
}

/* Steps by a register, in rdx at first: short, none, long, and another one with each visit, forth and back. */
GUEST(sum_by, "xor eax, eax\n 1: add rax, [rsi]\n rol rax, 7\n add rsi, rdx\n dec ecx\n jnz 1b\n" END)
GUEST(sum_turns, "xor eax, eax\n mov ebx, 40\n 2: mov ecx, 30\n 1: add rax, [rsi]\n add rax, [rdi * 4 + 0x20001]\n rol rax, 7\n add rsi, rdx\n add rdi, rbp\n"
		 " dec ecx\n jnz 1b\n neg rdx\n neg rbp\n dec ebx\n jnz 2b\n" END)

TEST_BOTH(opt_loop, registers_step_by_others_however_far_and_either_way)
{
	static const int64_t steps[] = { 8, 1, 0, -1, -24, 511, 512, 513, -513, 4096, 4100 };

	scatter(m);
	GUEST_PUT(m, M_CODE, sum_by);
	for (unsigned i = 0; i < ARRAY_LEN(steps); i++) {
		uint64_t from = steps[i] < 0 ? M_DATA + 0x5e03 : M_DATA + 3;
		unsigned n = steps[i] > 1024 ? 5 : steps[i] > 500 || steps[i] < -500 ? 40 : steps[i] ? 900 : 20;

		n = steps[i] * steps[i] > 100 && n == 900 ? 200 : n;
		machine_reset(m);
		m->c->regs[RSI] = from;
		m->c->regs[RDX] = (uint64_t)steps[i];
		m->c->regs[RCX] = n;
		cr_assert_eq(machine_run(m, M_CODE), -1);
		cr_expect_eq(reg(m, RAX), sum(m, from, steps[i], n), "%d", (int)steps[i]);
	}
	loops_were_made(m);
}

TEST_BOTH(opt_loop, a_run_is_not_taken_up_again_by_one_that_goes_the_other_way)
{
	uint64_t at = M_DATA + 0x2803, other = M_DATA + 0x1001, step = 40, s = 0;

	scatter(m);
	GUEST_PUT(m, M_CODE, sum_turns);
	machine_reset(m);
	m->c->regs[RSI] = at;
	m->c->regs[RDI] = 0x400;
	m->c->regs[RDX] = 40;
	m->c->regs[RBP] = 10;
	cr_assert_eq(machine_run(m, M_CODE), -1);
	for (unsigned k = 0; k < 40; k++, step = -step)
		for (unsigned i = 0; i < 30; i++, at += step, other += step) {
			s += ld(m, at, 8) + ld(m, other, 8);
			s = s << 7 | s >> 57;
		}
	cr_expect_eq(reg(m, RAX), s);
	loops_were_made(m);
}

/* One that needs for itself the register in which a proof could stand. */
GUEST(sum_pushed, "mov rsp, 0x25800\n mov esi, 0x20003\n mov ecx, 200\n xor eax, eax\n 1: push [rsi]\n pop rdx\n add rax, rdx\n add rax, [rsi + 8]\n"
		  " rol rax, 7\n add rsi, 16\n dec ecx\n jnz 1b\n" END)

TEST_BOTH(opt_loop, what_is_pushed_from_memory_is_right)
{
	uint64_t s = 0;

	scatter(m);
	GUEST_PUT(m, M_CODE, sum_pushed);
	cr_assert_eq(machine_run(m, M_CODE), -1);
	for (unsigned i = 0; i < 200; i++) {
		s += ld(m, 0x20003 + 16 * i, 8) + ld(m, 0x2000b + 16 * i, 8);
		s = s << 7 | s >> 57;
	}
	cr_expect_eq(reg(m, RAX), s);
}

GUEST(copy, "mov esi, 0x20008\n mov edi, 0x23010\n xor ecx, ecx\n 1: mov rax, [rsi + rcx * 8]\n xor rax, [rdi + rcx * 8 - 8]\n"
	    " mov [rdi + rcx * 8], rax\n inc rcx\n cmp ecx, 1024\n jnz 1b\n" END)

TEST_BOTH(opt_loop, writes_go_over_scattered_pages)
{
	uint64_t last;

	scatter(m);
	last = ld(m, 0x23008, 8);
	GUEST_PUT(m, M_CODE, copy);
	cr_assert_eq(machine_run(m, M_CODE), -1);
	for (unsigned i = 0; i < 1024; i++) {
		last ^= ld(m, 0x20008 + 8 * i, 8);
		cr_expect_eq(ld(m, 0x23010 + 8 * i, 8), last, "%u", i);
	}
	loops_were_made(m);
}

/* Flags live across the loop's end, and a way around an access and a step. */
GUEST(paths, "mov esi, 0x20ff0\n mov ecx, 64\n xor eax, eax\n xor edx, edx\n clc\n 1: adc al, [rsi]\n jnc 2f\n"
	     " inc dl\n lea rsi, [rsi + 1]\n 2: lea rsi, [rsi + 3]\n dec ecx\n jnz 1b\n" END)

TEST_BOTH(opt_loop, ways_and_flags_inside_a_round)
{
	unsigned al = 0, dl = 0, cf = 0;
	uint64_t p = 0x20ff0;

	scatter(m);
	GUEST_PUT(m, M_CODE, paths);
	cr_assert_eq(machine_run(m, M_CODE), -1);
	for (int i = 0; i < 64; i++, p += 3) {
		al += (unsigned)ld(m, p, 1) + cf;
		cf = al >> 8;
		al &= 0xff;
		dl += cf;
		p += cf;
	}
	cr_expect_eq(reg(m, RAX), al);
	cr_expect_eq(reg(m, RDX), dl);
	cr_expect_eq(reg(m, RSI), p);
	loops_were_made(m);
}

/* ---- what faults ---- */

GUEST(fill, "mov edi, 0x20000\n mov ecx, 0x2000 / 8\n xor eax, eax\n 1: inc rax\n mov [rdi], rax\n add rdi, 8\n dec ecx\n jnz 1b\n" END)

TEST_BOTH(opt_loop, a_page_that_cannot_be_written_faults_at_its_store)
{
	for (int missing = 0; missing < 2; missing++) {
		machine_reset(m);
		scatter(m);
		machine_map(m, 0x21000, missing ? 0 : M_DATA | 1);
		GUEST_PUT(m, M_CODE, fill);
		cr_assert_eq(machine_run(m, M_CODE), EXC_PF);
		cr_expect_eq(m->c->cr2, 0x21000);
		cr_expect_eq(machine_frame(m).error, missing ? 2 : 3);
		cr_expect_eq(reg(m, RDI), 0x21000);
		cr_expect_eq(reg(m, RAX), 513);
		cr_expect_eq(reg(m, RCX), 512);
		cr_expect_eq(ld(m, 0x20ff8, 8), 512);
	}
	loops_were_made(m);
}

/* The second visit begins at an address that is not aligned, on the page of the first. */
GUEST(aligned, "mov ebx, 0x20000\n mov edx, 2\n 1: mov rsi, rbx\n mov ecx, 4\n 2: movaps xmm0, [rsi]\n movaps xmm1, [rsi + 32]\n"
	       " add rsi, 16\n dec ecx\n jnz 2b\n add ebx, 0x108\n dec edx\n jnz 1b\n" END)

TEST_BOTH(opt_loop, a_run_taken_up_again_is_aligned_too)
{
	scatter(m);
	m->c->cr4 |= CR4_OSFXSR;
	GUEST_PUT(m, M_CODE, aligned);
	cr_expect_eq(machine_run(m, M_CODE), EXC_GP);
	cr_expect_eq(reg(m, RSI), 0x20108);
	cr_expect_eq(reg(m, RCX), 4);
	cr_expect_eq(reg(m, RDX), 1);
}

GUEST(wraps, ".code32\n mov esi, 0xfffffff0\n mov ecx, 8\n xor eax, eax\n 1: add eax, [esi + 0x20000 + 0x1000]\n rol eax, 3\n add esi, 4\n dec ecx\n"
	     " jnz 1b\n mov ecx, 300\n 1: add al, [ecx + 0x20ff0]\n rol eax, 3\n dec ecx\n jns 1b\n" END)

static void wrapping(const struct accel_ops *ops)
{
	struct machine m;
	uint32_t s = 0;

	machine_init(&m, 32, 0, ops);
	tcg_set_hot(m.c, 0);
	for (unsigned i = 0; i < 0x2000; i++)
		*machine_mem(&m, M_DATA + i) = (uint8_t)(i * 7 + (i >> 8));
	GUEST_PUT(&m, M_CODE, wraps);
	cr_expect_eq(machine_run(&m, M_CODE), -1);
	for (unsigned i = 0; i < 8; i++) {
		s += ld32(machine_mem(&m, M_DATA + 0xff0 + 4 * i));
		s = s << 3 | s >> 29;
	}
	for (int i = 300; i >= 0; i--) {
		s = (s & ~0xffu) | ((s + *machine_mem(&m, M_DATA + 0xff0 + (unsigned)i)) & 0xff);
		s = s << 3 | s >> 29;
	}
	cr_expect_eq((uint32_t)reg(&m, RAX), s);
	machine_fini(&m);
}

Test(opt_loop, registers_may_wrap_in_32_bit_code) { wrapping(&tcg_accel); }
Test(opt_loop, registers_may_wrap_in_32_bit_code_interpreted) { wrapping(&tcg_interp_accel); }

/* The index is changed before the access, past 0 at the begin of a page: down, and (of two ways) up. */
GUEST(wraps_within, ".code32\n mov esi, 0x21000\n mov ecx, 6\n xor eax, eax\n 1: dec ecx\n add al, [esi + ecx]\n rol eax, 3\n cmp ecx, -6\n jne 1b\n"
		    " mov ecx, -6\n 1: inc ecx\n add al, [esi + ecx - 1]\n rol eax, 3\n test al, al\n jns 2f\n inc ecx\n dec ecx\n 2: cmp ecx, 6\n jne 1b\n" END)

static void wrapping_within(const struct accel_ops *ops)
{
	struct machine m;
	uint32_t s = 0;

	machine_init(&m, 32, 0, ops);
	tcg_set_hot(m.c, 0);
	for (unsigned i = 0; i < 0x2000; i++)
		*machine_mem(&m, M_DATA + i) = (uint8_t)(i * 7 + (i >> 8));
	GUEST_PUT(&m, M_CODE, wraps_within);
	cr_expect_eq(machine_run(&m, M_CODE), -1);
	for (int i = 5; i >= -6; i--) {
		s = (s & ~0xffu) | ((s + *machine_mem(&m, M_DATA + 0x1000 + (uint64_t)i)) & 0xff);
		s = s << 3 | s >> 29;
	}
	for (int i = -6; i < 6; i++) {
		s = (s & ~0xffu) | ((s + *machine_mem(&m, M_DATA + 0x1000 + (uint64_t)i)) & 0xff);
		s = s << 3 | s >> 29;
	}
	cr_expect_eq((uint32_t)reg(&m, RAX), s);
	machine_fini(&m);
}

Test(opt_loop, registers_may_wrap_inside_a_round_of_32_bit_code) { wrapping_within(&tcg_accel); }
Test(opt_loop, registers_may_wrap_inside_a_round_of_32_bit_code_interpreted) { wrapping_within(&tcg_interp_accel); }

GUEST(indexed, ".code32\n mov esi, 0x20000\n xor ecx, ecx\n 1: inc byte ptr [esi + ecx]\n inc ecx\n cmp ecx, 40\n jne 1b\n" END)

Test(opt_loop, an_index_of_32_bit_code_may_begin_at_0)
{
	struct machine m;
	bool any = false;

	machine_init(&m, 32, 0, &tcg_accel);
	tcg_set_hot(m.c, 0);
	memset(machine_mem(&m, 0x20000), 1, 64);
	GUEST_PUT(&m, M_CODE, indexed);
	cr_expect_eq(machine_run(&m, M_CODE), -1);
	for (unsigned i = 0; i < 64; i++)
		cr_expect_eq(*machine_mem(&m, 0x20000 + i), i < 40 ? 2 : 1);
	for (unsigned n = 0; n < TLB_RUNS; n++)
		any |= m.c->run[n].owner != 0;
	cr_expect(any);
	machine_fini(&m);
}

/* ---- what changes under it ---- */

/* The page at 0x20000 is mapped elsewhere between two visits. Its page-table entry is at 0x103100. */
GUEST(remaps, "mov edx, 0x103100\n mov ebp, 3\n xor eax, eax\n 1: mov ecx, 2\n mov ebx, 0x20000\n 2: shl rax, 8\n or al, [rbx]\n inc rbx\n"
	      " dec ecx\n jnz 2b\n xor qword ptr [rdx], 0x1000\n invlpg [rbx]\n dec ebp\n jnz 1b\n" END)

TEST_BOTH(opt_loop, a_run_is_not_taken_up_again_where_its_page_is_mapped_elsewhere)
{
	tcg_set_hot(m->c, 0);
	memset(machine_mem(m, 0x20000), 0x11, 2);
	memset(machine_mem(m, 0x21000), 0x22, 2);
	GUEST_PUT(m, M_CODE, remaps);
	cr_assert_eq(machine_run(m, M_CODE), -1);
	cr_expect_eq(reg(m, RAX), 0x111122221111, "%lx", reg(m, RAX));
	loops_were_made(m);
}

/* Each visit has another base register value, or the same. */
GUEST(bases, "mov ebp, 8\n xor eax, eax\n mov ebx, 0x20000\n 1: xor ecx, ecx\n 2: rol rax, 5\n add al, [rbx + rcx]\n inc rcx\n cmp rcx, 5\n"
	     " jnz 2b\n mov edx, ebp\n and edx, 1\n shl edx, 12\n add ebx, edx\n dec ebp\n jnz 1b\n" END)

TEST_BOTH(opt_loop, a_run_is_taken_up_again_for_the_same_bases_only)
{
	uint64_t s = 0, base = 0x20000;

	scatter(m);
	GUEST_PUT(m, M_CODE, bases);
	cr_assert_eq(machine_run(m, M_CODE), -1);
	for (unsigned n = 8; n; base += (n & 1) << 12, n--)
		for (unsigned i = 0; i < 5; i++) {
			s = s << 5 | s >> 59;
			s = (s & ~0xffull) | ((s + ld(m, base + i, 1)) & 0xff);
		}
	cr_expect_eq(reg(m, RAX), s);
	loops_were_made(m);
}

/* Into a device, and back; rdx wanders, so its accesses are looked up one by one inside the fast loop. */
GUEST(device, "mov esi, 0x5fff0\n mov ecx, 8\n mov edx, 0x20000\n xor eax, eax\n 1: add rax, [rsi]\n add [rdx], rax\n xor edx, 0x20000 ^ 0x60100\n"
	      " add rsi, 4\n dec ecx\n jnz 1b\n" END)

TEST_BOTH(opt_loop, devices_are_accessed_once_a_round)
{
	scatter(m);
	for (unsigned i = 0; i < 32; i++)
		m->device[i] = (uint8_t)(i + 1);
	memset(machine_mem(m, 0x5fff0), 9, 16);
	GUEST_PUT(m, M_CODE, device);
	cr_assert_eq(machine_run(m, M_CODE), -1);
	cr_expect_eq(m->n_reads, 4 + 6 + 4, "%u", m->n_reads);	/* across the border; two in halves; of read and write */
	cr_expect_eq(m->n_writes, 4);
	cr_expect_eq(reg(m, RSI), 0x5fff0 + 32);
}

/* The loop's stores come to its own code, a page further on. */
GUEST(into_code, "mov edi, 0x3ff00\n mov ecx, 0x180\n mov edx, 0x40001 + (3f - guest_into_code)\n xor ebp, ebp\n 1: mov byte ptr [rdi], 0x90\n inc rdi\n cmp rdi, 0x40000\n jb 2f\n"
		 " mov byte ptr [rdx], 0xc5\n mov edi, 0x3ff00\n 2: nop\n 3: inc ebx\n dec ecx\n jnz 1b\n" END)

TEST_BOTH(opt_loop, stores_to_its_own_code_are_seen_at_once)
{
	tcg_set_hot(m->c, 0);
	GUEST_PUT(m, M_CODE, into_code);
	m->c->regs[RBX] = 0;
	machine_run(m, M_CODE);
	cr_expect_eq(reg(m, RBX), 0xff, "%lx", reg(m, RBX));	/* then inc ebx is inc ebp */
	cr_expect_eq(reg(m, RBP), 0x81, "%lx", reg(m, RBP));
}

/* A loop that only waits must see requests. */
GUEST(waits, "mov esi, 0x20000\n 1: cmp byte ptr [rsi], 0\n je 1b\n" END)

static void wake(union sigval v)
{
	struct machine *m = v.sival_ptr;
	const struct tcg *t = tcg_of(m->c);

	for (unsigned i = 0; i < 10000 && !t->interp && !__atomic_load_n(&t->stats.regions, __ATOMIC_RELAXED); i++)
		nanosleep(&(struct timespec){ 0, 1000000 }, NULL);
	m->irq = 0x40;
	atomic_fetch_or(&m->c->request, REQ_INTR);
}

/* On another thread, in 20 ms. */
static timer_t call_soon(struct machine *m, void (*what)(union sigval v))
{
	struct sigevent ev = { .sigev_notify = SIGEV_THREAD, .sigev_notify_function = what, .sigev_value.sival_ptr = m };
	struct itimerspec in = { .it_value = { 0, 20000000 } };
	timer_t timer;

	cr_assert_eq(timer_create(CLOCK_MONOTONIC, &ev, &timer), 0);
	timer_settime(timer, 0, &in, NULL);
	return timer;
}

TEST_BOTH(opt_loop, a_loop_that_waits_is_interrupted)
{
	timer_t timer;

	tcg_set_hot(m->c, 0);
	*machine_mem(m, 0x20000) = 0;
	GUEST_PUT(m, M_CODE, waits);
	m->c->eflags |= FL_IF;
	timer = call_soon(m, wake);
	cr_expect_eq(machine_run(m, M_CODE), 0x40);
	cr_expect(tcg_of(m->c)->interp || tcg_of(m->c)->stats.regions);
	timer_delete(timer);
}

/* The address changes by nothing, and the round does not end by itself. */
GUEST(stands, "mov esi, 0x20000\n mov edi, 0x22000\n 1: lea rsi, [rsi + 0]\n mov byte ptr [rsi], 5\n cmp byte ptr [rdi], 0\n je 1b\n" END)

/* Is there a run that has, or has not, been ended? */
static bool is_there(struct cpu *c, bool ended)
{
	for (unsigned n = 0; n < TLB_RUNS; n++)
		if (__atomic_load_n(&c->run[n].owner, __ATOMIC_RELAXED) &&
		    (__atomic_load_n(&c->run[n].most[0], __ATOMIC_RELAXED) == RUN_OVER_MOST) == ended)
			return true;
	return false;
}

/* However slow the other thread is; false: not in ten seconds. */
static bool wait_until(struct cpu *c, bool ended, bool there)
{
	for (unsigned i = 0; i < 10000 && is_there(c, ended) != there; i++)
		nanosleep(&(struct timespec){ 0, 1000000 }, NULL);
	return is_there(c, ended) == there;
}

static void end_and_wake(union sigval v)
{
	struct machine *m = v.sival_ptr;
	bool began = tcg_of(m->c)->interp || wait_until(m->c, false, true);

	mmu_end_runs(m->c);
	*(bool *)m->opaque = began && wait_until(m->c, true, false);
	__atomic_store_n(machine_mem(m, 0x22000), 1, __ATOMIC_RELAXED);
}

TEST_BOTH(opt_loop, a_run_that_another_thread_ends_is_left)
{
	bool left = false;
	timer_t timer;

	tcg_set_hot(m->c, 0);
	*machine_mem(m, 0x22000) = 0;
	GUEST_PUT(m, M_CODE, stands);
	m->opaque = &left;
	timer = call_soon(m, end_and_wake);
	cr_assert_eq(machine_run(m, M_CODE), -1);
	cr_expect(left);
	timer_delete(timer);
	loops_were_made(m);
}
