/*
 * Performance counters see the instructions that guest code executes: the known number
 * in loops, calls, strings and blocks that are left in the middle, by privilege, and
 * interrupt when they overflow. Each once translated and once interpreted.
 */
#include <criterion/criterion.h>
#include <string.h>

#include "cpu/pmu.h"
#include "cpu/system.h"
#include "tcg/cache.h"
#include "tcg/run.h"
#include "tests/guest_code.h"

enum { CTL0 = 0xc0010200, INSNS_OS = 0x4200c0, INSNS_USR = 0x4100c0, INSNS = 0x4300c0, BRANCHES = 0x4300c2,
       CYCLES_USR = 0x410076, INTERRUPT = 1 << 20 };

static void set(struct machine *m, unsigned n, uint64_t ctl, uint64_t value)
{
	cr_assert(msr_set(m->c, CTL0 + 2 * n + 1, value));
	cr_assert(msr_set(m->c, CTL0 + 2 * n, ctl));
}

static uint64_t get(struct machine *m, unsigned n)
{
	uint64_t v;

	cr_assert(pmu_read(m->c, n, &v));
	return v;
}

/* What the counter has when the code before the final `out` is done; the WRMSR that enables counts, too. */
#define START "mov ecx, 0xc0010200\n xor edx, edx\n mov eax, 0x4300c0\n wrmsr\n"
#define STOP "xor ecx, ecx\n rdpmc\n out 0xf4, al\n"

GUEST(loop, START "mov ebx, 1000\n 1: add rsi, rbx\n dec ebx\n jnz 1b\n" STOP)
GUEST(calls, START "mov ebx, 100\n 1: call 2f\n lea rdi, [rip + 3f]\n jmp rdi\n 2: nop\n ret\n 3: dec ebx\n jnz 1b\n" STOP)
GUEST(strings, START "mov esi, 0x20000\n mov edi, 0x21000\n mov ecx, 1000\n rep movsb\n xor eax, eax\n cpuid\n pushf\n popf\n" STOP)
GUEST(flags, START "mov ebx, 10\n xor edi, edi\n stc\n 1: adc edi, 0\n lea ebx, [rbx - 1]\n stc\n jrcxz 2f\n 2: inc ebx\n dec ebx\n"
      "jnz 1b\n" STOP)

static uint64_t counted(struct machine *m, const uint8_t *code, unsigned n)
{
	machine_reset(m);
	set(m, 0, 0, 0);
	machine_put(m, M_CODE, code, n);
	cr_assert_eq(machine_run(m, M_CODE), -1);
	return (uint32_t)m->c->regs[RAX];
}

TEST_BOTH(pmu, known_code_counts_the_known_number)
{
	cr_expect_eq(counted(m, guest_loop, GUEST_SIZE(loop)), 2 + 1000 * 3 + 1);
	cr_expect_eq(counted(m, guest_calls, GUEST_SIZE(calls)), 2 + 100 * 7 + 1);
	cr_expect_eq(counted(m, guest_strings, GUEST_SIZE(strings)), 1 + 3 + 1 + 4 + 1);
	cr_expect_eq(counted(m, guest_flags, GUEST_SIZE(flags)), 1 + 3 + 10 * 7 + 1);
	cr_expect_eq(m->c->regs[RDI], 10, "flags survive counting");
}

TEST_BOTH(pmu, branches_count_taken_or_not)
{
	set(m, 1, BRANCHES, 0);
	counted(m, guest_calls, GUEST_SIZE(calls));
	cr_expect_eq(get(m, 1), 100 * 4);
}

/* The handler of #PF maps the page and returns: the access counts once. */
GUEST(fault, START "mov ebx, 5\n inc ebx\n inc ebx\n mov eax, [0x1ff000]\n inc ebx\n" STOP)
GUEST(handler, "add rsp, 8\n mov dword ptr [rsp + 0x100], 0\n out 0x80, al\n iretq\n")

static void map_it(struct machine *m, uint32_t v)
{
	(void)v;
	machine_map(m, 0x1ff000, 0x30000 | PTE_P | PTE_W);
}

TEST_BOTH(pmu, a_fault_does_not_count)
{
	machine_map(m, 0x1ff000, 0);
	machine_put(m, M_HANDLERS + 16 * EXC_PF, guest_handler, GUEST_SIZE(handler));
	m->on_out = map_it;
	cr_expect_eq(counted(m, guest_fault, GUEST_SIZE(fault)), 1 + 5 + 4 + 1);
}

GUEST(counts_divide, "mov ebx, 5\n inc ebx\n xor ecx, ecx\n xor edx, edx\n div ecx\n inc ebx\n")

TEST_BOTH(pmu, the_hosts_faults_do_not_count_either)
{
	set(m, 0, INSNS, 0);
	GUEST_PUT(m, M_CODE, counts_divide);
	cr_expect_eq(machine_run(m, M_CODE), EXC_DE);
	cr_expect_eq(get(m, 0), 4 + 1, "and the out of the handler");
}

GUEST(spin, "mov ebx, 500\n 1: dec ebx\n jnz 1b\n ud2\n")

static void in_user_code(const struct accel_ops *ops)
{
	struct machine m;

	machine_init(&m, 64, 3, ops);
	GUEST_PUT(&m, M_CODE, spin);
	set(&m, 0, INSNS_USR, 0);
	set(&m, 1, INSNS_OS, 0);
	set(&m, 2, CYCLES_USR, 0);
	cr_expect_eq(machine_run(&m, M_CODE), EXC_UD);
	cr_expect_eq(get(&m, 0), 1001);
	cr_expect_eq(get(&m, 1), 1, "the handler's out");
	cr_expect_gt(get(&m, 2), 0);
	machine_fini(&m);
}

Test(pmu, privilege_decides_which_counter) { in_user_code(&tcg_accel); }
Test(pmu, privilege_decides_which_counter_interpreted) { in_user_code(&tcg_interp_accel); }

static unsigned interrupts;

static void on_overflow(void *opaque, struct cpu *c)
{
	struct machine *m = opaque;

	interrupts++;
	m->irq = 0x40;
	cpu_request(c, REQ_INTR);
}

GUEST(endless, "sti\n xor ebx, ebx\n 1: inc rbx\n add rsi, rbx\n jmp 1b\n")

TEST_BOTH(pmu, an_overflow_interrupts_within_a_round)
{
	m->c->board.perf_interrupt = on_overflow;
	m->c->board.opaque = m;
	GUEST_PUT(m, M_CODE, endless);
	set(m, 0, INSNS | INTERRUPT, BIT(48) - 30000);
	cr_expect_eq(machine_run(m, M_CODE), 0x40);
	cr_expect_eq(interrupts, 1);
	cr_expect(m->c->regs[RBX] >= 9990 && m->c->regs[RBX] <= 10010, "%lu", (long)m->c->regs[RBX]);
}

TEST_BOTH(pmu, cycles_interrupt_as_well)
{
	m->c->board.perf_interrupt = on_overflow;
	m->c->board.opaque = m;
	GUEST_PUT(m, M_CODE, endless);
	set(m, 0, 0x430076 | INTERRUPT, BIT(48) - 1000000);
	cr_expect_eq(machine_run(m, M_CODE), 0x40);
	cr_expect_eq(interrupts, 1);
}

TEST_BOTH(pmu, nothing_is_counted_and_nothing_paid_when_all_are_off)
{
	uint64_t n;

	set(m, 0, INSNS & ~(1u << 22), 7);
	cr_expect_not(m->c->mode & MODE_COUNT);
	n = counted(m, guest_loop, GUEST_SIZE(loop));
	cr_expect_eq(n, 3003);
	cr_expect(m->c->mode & MODE_COUNT);
	set(m, 0, 0x430040, 7);			/* an event nobody can count */
	cr_expect_not(m->c->mode & MODE_COUNT);
	cr_expect_eq(get(m, 0), 7);
}
