/*
 * Memory order and atomicity between vCPUs, by litmus tests: a few loads and stores on each
 * vCPU, run in many rounds on cache lines of their own. No round may end in a way that the
 * SDM (vol. 3A, 8.2.2 and 8.2.3) forbids; and the one way that x86 does reorder, a load
 * before an older store, has to be seen, or the rounds do not test anything.
 *
 * Rounds come in batches between two barriers. Each vCPU leaves what it has found in a
 * nibble a round (first value + 4 * second); the first vCPU then counts what the nibbles of
 * all make together and clears the lines. x and y are [r8] and [r9]. With two vCPUs the third nibble is
 * what is in x and y at the end.
 *
 * ROUNDS in the environment is how many (make check-litmus: ten million).
 */
#include <criterion/criterion.h>
#include <criterion/parameterized.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "cpu/system.h"
#include "tcg/cache.h"
#include "tcg/run.h"
#include "tests/guest_code.h"

#define BATCH	"512"
#define COUNTS	"0x150000"
enum { N_BATCH = 512, AT_BARRIER = M_DATA, AT_X = 0x120000, AT_Y = 0x130000, AT_OUT = 0x140000, AT_COUNTS = 0x150000 };

#define BARRIER(n) "add r11d, r13d\n lock inc dword ptr [r12]\n " n ": pause\n mov eax, [r12]\n sub eax, r11d\n js " n "b\n"

/* rsi, rdi: lines of x and y; rbx: own nibbles; r12: barrier; r13: vCPUs; r14: batches; r15: 1 on the first vCPU. */
#define LITMUS(name, body)							\
	GUEST(name, "xor r11d, r11d\n .balign 16\n 1:\n" BARRIER("2")		\
	      "mov r8, rsi\n mov r9, rdi\n mov r10, rbx\n mov ecx, " BATCH "\n"	\
	      "3: xor eax, eax\n xor edx, edx\n" body				\
	      "lea eax, [rax + rdx * 4]\n mov [r10], al\n add r8, 64\n add r9, 64\n inc r10\n dec ecx\n jnz 3b\n" \
	      BARRIER("4") "test r15d, r15d\n jz 7f\n"				\
	      "mov r8, rsi\n mov r9, rdi\n mov r10, rbx\n mov ecx, " BATCH "\n"	\
	      "5: cmp r13d, 2\n jne 6f\n mov eax, [r8]\n mov edx, [r9]\n lea eax, [rax + rdx * 4]\n mov [r10 + 0x800], al\n" \
	      "6: movzx eax, byte ptr [r10]\n movzx edx, byte ptr [r10 + 0x400]\n shl edx, 4\n or eax, edx\n" \
	      "movzx edx, byte ptr [r10 + 0x800]\n shl edx, 8\n or eax, edx\n movzx edx, byte ptr [r10 + 0xc00]\n shl edx, 12\n or eax, edx\n" \
	      "inc dword ptr [" COUNTS " + rax * 4]\n mov dword ptr [r8], 0\n mov dword ptr [r9], 0\n" \
	      "add r8, 64\n add r9, 64\n inc r10\n dec ecx\n jnz 5b\n"		\
	      "7: dec r14d\n jnz 1b\n out 0xf4, al\n")

LITMUS(write_x_read_y, "mov dword ptr [r8], 1\n mov eax, [r9]\n")
LITMUS(write_y_read_x, "mov dword ptr [r9], 1\n mov eax, [r8]\n")
LITMUS(write_x_fence_read_y, "mov dword ptr [r8], 1\n mfence\n mov eax, [r9]\n")
LITMUS(write_y_fence_read_x, "mov dword ptr [r9], 1\n mfence\n mov eax, [r8]\n")
LITMUS(swap_x_read_y, "mov edx, 1\n xchg [r8], edx\n xor edx, edx\n mov eax, [r9]\n")
LITMUS(swap_y_read_x, "mov edx, 1\n xchg [r9], edx\n xor edx, edx\n mov eax, [r8]\n")
LITMUS(write_x_lock_read_y, "mov dword ptr [r8], 1\n lock add dword ptr [rsp], 0\n mov eax, [r9]\n")
LITMUS(write_y_lock_read_x, "mov dword ptr [r9], 1\n lock add dword ptr [rsp], 0\n mov eax, [r8]\n")
LITMUS(write_x_write_y, "mov dword ptr [r8], 1\n mov dword ptr [r9], 1\n")
LITMUS(read_y_read_x, "mov eax, [r9]\n mov edx, [r8]\n")
LITMUS(read_x_read_y, "mov eax, [r8]\n mov edx, [r9]\n")
LITMUS(read_x_write_y, "mov eax, [r8]\n mov dword ptr [r9], 1\n")
LITMUS(read_y_write_x, "mov eax, [r9]\n mov dword ptr [r8], 1\n")
LITMUS(write_x1_write_y2, "mov dword ptr [r8], 1\n mov dword ptr [r9], 2\n")
LITMUS(write_y1_write_x2, "mov dword ptr [r9], 1\n mov dword ptr [r8], 2\n")
LITMUS(write_x, "mov dword ptr [r8], 1\n")
LITMUS(write_y, "mov dword ptr [r9], 1\n")
/* A vCPU sees its own store at once, others' after theirs. */
LITMUS(write_read_x_read_y, "mov dword ptr [r8], 1\n mov eax, [r8]\n mov edx, [r9]\n")
LITMUS(write_read_y_read_x, "mov dword ptr [r9], 1\n mov eax, [r9]\n mov edx, [r8]\n")

struct litmus {
	const char *name;
	const uint8_t *code[M_MAX_CPUS], *end[M_MAX_CPUS];
	int n;
	bool (*forbidden)(unsigned n0, unsigned n1, unsigned n2, unsigned n3);	/* the nibbles */
	bool (*must)(unsigned n0, unsigned n1, unsigned n2, unsigned n3);	/* be seen; may be NULL */
};

static bool never(unsigned a, unsigned b, unsigned c, unsigned d) { (void)a, (void)b, (void)c, (void)d; return false; }
static bool both_old(unsigned a, unsigned b, unsigned c, unsigned d) { (void)c, (void)d; return !(a & 3) && !(b & 3); }
static bool flag_without_data(unsigned a, unsigned b, unsigned c, unsigned d) { (void)a, (void)c, (void)d; return b == 1; }
static bool both_new(unsigned a, unsigned b, unsigned c, unsigned d) { (void)c, (void)d; return (a & 3) == 1 && (b & 3) == 1; }
static bool first_writes_last(unsigned a, unsigned b, unsigned c, unsigned d) { (void)a, (void)b, (void)d; return c == 5; }
static bool orders_differ(unsigned a, unsigned b, unsigned c, unsigned d) { (void)a, (void)b; return c == 1 && d == 1; }
static bool own_old(unsigned a, unsigned b, unsigned c, unsigned d) { (void)c, (void)d; return !(a & 1) || !(b & 1); }
static bool own_first(unsigned a, unsigned b, unsigned c, unsigned d) { (void)c, (void)d; return a == 1 && b == 1; }

#define TWO(a, b) { guest_##a, guest_##b }, { guest_##a##_end, guest_##b##_end }, 2
#define FOUR(a, b, c, d) { guest_##a, guest_##b, guest_##c, guest_##d }, \
			 { guest_##a##_end, guest_##b##_end, guest_##c##_end, guest_##d##_end }, 4

static const struct litmus tests[] = {
	{ "store buffering", TWO(write_x_read_y, write_y_read_x), never, both_old },
	{ "store buffering, mfence", TWO(write_x_fence_read_y, write_y_fence_read_x), both_old },
	{ "store buffering, xchg", TWO(swap_x_read_y, swap_y_read_x), both_old },
	{ "store buffering, lock", TWO(write_x_lock_read_y, write_y_lock_read_x), both_old },
	{ "message passing", TWO(write_x_write_y, read_y_read_x), flag_without_data },
	{ "load buffering", TWO(read_x_write_y, read_y_write_x), both_new },
	{ "2+2W", TWO(write_x1_write_y2, write_y1_write_x2), first_writes_last },
	{ "own stores first", TWO(write_read_x_read_y, write_read_y_read_x), own_old, own_first },
	{ "IRIW", FOUR(write_x, write_y, read_x_read_y, read_y_read_x), orders_differ },
};

static unsigned rounds(unsigned n)
{
	const char *s = getenv("ROUNDS");

	return s ? (unsigned)strtoul(s, NULL, 0) : n;
}

static void hot(struct cpu *c) { tcg_set_hot(c, 0); }

/* How many rounds ended as some must. */
static uint64_t check_counts(const struct machine *m, const struct litmus *l, unsigned batches)
{
	uint64_t bad = 0, wanted = 0, all = 0;

	for (unsigned k = 0; k < 0x10000; k++) {
		uint32_t n = ld32(machine_mem(m, AT_COUNTS + 4 * k));
		unsigned a = k & 15, b = k >> 4 & 15, c = k >> 8 & 15, d = k >> 12;

		all += n;
		if (l->forbidden(a, b, c, d))
			bad += n;
		if (l->must && l->must(a, b, c, d))
			wanted += n;
	}
	cr_expect_eq(all, (uint64_t)batches * N_BATCH, "%s: %lu rounds", l->name, all);
	cr_expect_eq(bad, 0, "%s: %lu of %lu rounds are forbidden", l->name, bad, all);
	if (l->must && getenv("ROUNDS"))
		fprintf(stderr, "%s: %lu of %lu\n", l->name, wanted, all);	/* a warning would be a failure */
	return wanted;
}

static uint64_t run_once(const struct litmus *l, const struct accel_ops *ops, void (*begin)(struct cpu *c), unsigned n)
{
	unsigned batches = (n + N_BATCH - 1) / N_BATCH;
	struct machine m;

	machine_init_smp(&m, l->n, ops);
	m.begin = begin;
	for (int i = 0; i < l->n; i++) {
		uint64_t *r = m.cpus[i]->regs;

		m.cpus[i]->rip = (uint64_t)(M_CODE + i * 0x1000);
		machine_put(&m, m.cpus[i]->rip, l->code[i], (unsigned)(l->end[i] - l->code[i]));
		r[RSI] = AT_X;
		r[RDI] = AT_Y;
		r[RBX] = (uint64_t)(AT_OUT + i * 0x400);
		r[R12] = AT_BARRIER;
		r[R13] = (uint64_t)l->n;
		r[R14] = batches;
		r[R15] = i == 0;
	}
	machine_run_smp(&m);
	uint64_t wanted = check_counts(&m, l, batches);
	machine_fini(&m);
	return wanted;
}

/* What must be seen is seen only while two vCPUs run at once: on a busy host that may take some runs. */
static void run_litmus(const struct litmus *l, const struct accel_ops *ops, void (*begin)(struct cpu *c), unsigned n)
{
	uint64_t wanted = run_once(l, ops, begin, n);

	if (!l->must || n < 1000000 || ops != &tcg_accel || sysconf(_SC_NPROCESSORS_ONLN) < 2)
		return;
	for (int i = 0; i < 20 && !wanted; i++)
		wanted = run_once(l, ops, begin, n);
	cr_expect_gt(wanted, 0, "%s: not seen", l->name);
}

static struct criterion_test_params indices(void)
{
	static size_t index[ARRAY_LEN(tests)];

	for (size_t i = 0; i < ARRAY_LEN(tests); i++)
		index[i] = i;
	return cr_make_param_array(size_t, index, ARRAY_LEN(tests));
}

ParameterizedTestParameters(litmus, translated) { return indices(); }
ParameterizedTest(size_t *i, litmus, translated) { run_litmus(&tests[*i], &tcg_accel, NULL, rounds(20000)); }

ParameterizedTestParameters(litmus, regions) { return indices(); }
ParameterizedTest(size_t *i, litmus, regions) { run_litmus(&tests[*i], &tcg_accel, hot, rounds(20000)); }

ParameterizedTestParameters(litmus, interpreted) { return indices(); }
ParameterizedTest(size_t *i, litmus, interpreted) { run_litmus(&tests[*i], &tcg_interp_accel, NULL, min_u64(rounds(2000), 200000)); }

/* ---- locked accesses: aligned, across a cache line, across pages near and far, of 16 bytes ---- */

/* rbp: the operand, r15: rounds. Additions of both vCPUs must all count. */
GUEST(lock_add, "1: lock add qword ptr [rbp], 3\n dec r15d\n jnz 1b\n out 0xf4, al\n")
GUEST(lock_xadd, "1: mov eax, 3\n lock xadd [rbp], rax\n dec r15d\n jnz 1b\n out 0xf4, al\n")
GUEST(lock_cas, "1: mov rax, [rbp]\n 2: lea rcx, [rax + 3]\n lock cmpxchg [rbp], rcx\n jnz 2b\n dec r15d\n jnz 1b\n out 0xf4, al\n")
GUEST(lock_inc, "1: lock inc qword ptr [rbp]\n lock inc qword ptr [rbp]\n lock inc qword ptr [rbp]\n dec r15d\n jnz 1b\n out 0xf4, al\n")
GUEST(lock_add16, "1: lock add word ptr [rbp], 3\n dec r15d\n jnz 1b\n out 0xf4, al\n")
/* All ones and all zeros in turns: what comes back is one of them. rdx counts others. */
GUEST(lock_xchg, "xor edx, edx\n 1: mov rax, r15\n and eax, 1\n neg rax\n xchg [rbp], rax\n lea rcx, [rax + 1]\n cmp rcx, 1\n jbe 2f\n inc edx\n"
      " 2: dec r15d\n jnz 1b\n out 0xf4, al\n")
/* Halves that are always equal; rdi counts others. */
GUEST(lock_cx16, "xor edi, edi\n xor eax, eax\n xor edx, edx\n"
      "1: cmp rax, rdx\n je 2f\n inc edi\n 2: lea rbx, [rax + 3]\n mov rcx, rbx\n lock cmpxchg16b [rbp]\n jnz 1b\n dec r15d\n jnz 1b\n out 0xf4, al\n")

/* Linear addresses. The second page of FAR stands elsewhere in memory; bytes behind WATCHED have a breakpoint. */
enum { ALIGNED = 0x28000, LINE = 0x2803d, NEAR = 0x28ffd, FAR = 0x2afff, FAR_PAGE = 0x2b000, FAR_AT = 0x34000, WATCHED = 0x2c000 };

static uint64_t operand(const struct machine *m, uint64_t at, int size)
{
	uint64_t v = 0;

	for (int i = 0; i < size; i++) {
		uint64_t a = at + (unsigned)i, far = a - FAR_PAGE;

		v |= (uint64_t)*machine_mem(m, far < 0x1000 ? FAR_AT + far : a) << 8 * i;
	}
	return v;
}

/* Two vCPUs run the code on an operand that is 0. */
static void run_locked(struct machine *m, const struct accel_ops *ops, const uint8_t *code, const uint8_t *end,
		       uint64_t at, unsigned n)
{
	machine_init_smp(m, 2, ops);
	machine_map(m, FAR_PAGE, FAR_AT | PTE_P | PTE_W);
	machine_put(m, M_CODE, code, (unsigned)(end - code));
	for (int i = 0; i < 2; i++) {
		m->cpus[i]->rip = M_CODE;
		m->cpus[i]->regs[RBP] = at;
		m->cpus[i]->regs[R15] = n;
		if (at == WATCHED) {
			cpu_write_dr(m->cpus[i], 0, WATCHED + 64);
			cpu_write_dr(m->cpus[i], 7, 0x10401);
		}
	}
	machine_run_smp(m);
}

static const struct {
	uint64_t at;
	unsigned rounds, size;
} places[] = { { ALIGNED, 20000, 8 }, { LINE, 20000, 8 }, { NEAR, 1000, 8 }, { FAR, 1000, 8 }, { WATCHED, 500, 8 } };

static void all_count(const struct accel_ops *ops)
{
#define ROW(code) { guest_##code, guest_##code##_end, #code }
	static const struct { const uint8_t *code, *end; const char *name; } rows[] = {
		ROW(lock_add), ROW(lock_xadd), ROW(lock_cas), ROW(lock_inc), ROW(lock_add16),
	};

	for (unsigned r = 0; r < ARRAY_LEN(rows); r++)
		for (unsigned p = 0; p < ARRAY_LEN(places); p++) {
			int size = rows[r].code == guest_lock_add16 ? 2 : 8;
			uint64_t want = 6ull * places[p].rounds & size_mask(size), got;
			struct machine m;

			run_locked(&m, ops, rows[r].code, rows[r].end, places[p].at, places[p].rounds);
			got = operand(&m, places[p].at, size);
			cr_expect_eq(got, want, "%s at %lx: %lu, not %lu", rows[r].name, places[p].at, got, want);
			machine_fini(&m);
		}
}

Test(litmus, locked_additions_all_count) { all_count(&tcg_accel); }
Test(litmus, locked_additions_all_count_interpreted) { all_count(&tcg_interp_accel); }

static void exchanges_are_whole(const struct accel_ops *ops)
{
	for (unsigned p = 0; p < ARRAY_LEN(places); p++) {
		struct machine m;

		run_locked(&m, ops, guest_lock_xchg, guest_lock_xchg_end, places[p].at, places[p].rounds);
		for (int i = 0; i < 2; i++)
			cr_expect_eq(m.cpus[i]->regs[RDX], 0, "at %lx: %lu torn", places[p].at, m.cpus[i]->regs[RDX]);
		machine_fini(&m);
	}
}

Test(litmus, exchanges_are_whole) { exchanges_are_whole(&tcg_accel); }
Test(litmus, exchanges_are_whole_interpreted) { exchanges_are_whole(&tcg_interp_accel); }

static void sixteen_bytes_are_whole(const struct accel_ops *ops, unsigned n)
{
	struct machine m;

	run_locked(&m, ops, guest_lock_cx16, guest_lock_cx16_end, ALIGNED, n);
	cr_expect_eq(m.cpus[0]->regs[RDI] + m.cpus[1]->regs[RDI], 0);
	cr_expect_eq(operand(&m, ALIGNED, 8), 6ull * n);
	cr_expect_eq(operand(&m, ALIGNED + 8, 8), 6ull * n);
	machine_fini(&m);
}

Test(litmus, sixteen_bytes_are_whole) { sixteen_bytes_are_whole(&tcg_accel, 20000); }
Test(litmus, sixteen_bytes_are_whole_interpreted) { sixteen_bytes_are_whole(&tcg_interp_accel, 500); }
