/* The KVM interface: the clock's structure in guest memory, hypercalls, and hiding it all. */
#include <criterion/criterion.h>

#include "cpu/accel.h"
#include "cpu/cpuid.h"
#include "cpu/except.h"
#include "cpu/pv.h"
#include "cpu/system.h"
#include "cpu/tsc.h"
#include "tests/cpu/harness.h"

enum { CLOCK_AT = 0x20010, WALL_AT = 0x20100, MSR_WALL = 0x4b564d00, MSR_CLOCK = 0x4b564d01 };

static struct bench b;
static struct cpu *c;

static void init(void)
{
	bench_long(&b, 0);
	c = b.c;
}

static void fini(void)
{
	bench_fini(&b);
}

TestSuite(pv, .init = init, .fini = fini);

/* As the KVM documentation tells guests to. */
static uint64_t guest_ns(uint64_t at, uint64_t tsc)
{
	uint64_t delta = tsc - mem(&b, at + 8, 8);
	int8_t shift = (int8_t)mem(&b, at + 28, 1);

	delta = shift < 0 ? delta >> -shift : delta << shift;
	return mem(&b, at + 16, 8) + (uint64_t)((unsigned __int128)delta * (uint32_t)mem(&b, at + 24, 4) >> 32);
}

static int64_t hypercall(uint64_t nr, uint64_t a0, uint64_t a1, uint64_t a2, uint64_t a3)
{
	c->regs[RAX] = nr;
	c->regs[RBX] = a0;
	c->regs[RCX] = a1;
	c->regs[RDX] = a2;
	c->regs[RSI] = a3;
	cr_assert_eq(RAISED(&b, cpu_hypercall(c)), -1);
	return (int64_t)c->regs[RAX];
}

Test(pv, clock_turns_the_counter_into_nanoseconds)
{
	static const uint64_t khz[] = { 1000000, 2400000, 3693060, 999999, 800000, 100000, 5000 };

	for (size_t i = 0; i < ARRAY_LEN(khz); i++) {
		c->tsc_khz = khz[i];
		cr_assert(msr_set(c, MSR_CLOCK, CLOCK_AT | 1));
		cr_expect_eq(mem(&b, CLOCK_AT, 4) & 1, 0, "an even version is a finished one");
		cr_expect_eq(mem(&b, CLOCK_AT + 29, 1), 1, "all vCPUs agree");
		uint64_t hour = khz[i] * 1000 * 3600, ns = guest_ns(CLOCK_AT, hour);
		cr_expect(ns > 3599999990000ull && ns < 3600000010000ull, "%lu kHz: %lu", (long)khz[i], (long)ns);
	}
}

Test(pv, clock_version_grows_with_each_write)
{
	cr_assert(msr_set(c, MSR_CLOCK, CLOCK_AT | 1));
	uint64_t v = mem(&b, CLOCK_AT, 4);
	cr_assert(msr_set(c, MSR_CLOCK, CLOCK_AT | 1));
	cr_expect_gt(mem(&b, CLOCK_AT, 4), v);
	cr_assert(msr_set(c, MSR_CLOCK, CLOCK_AT));
	v = mem(&b, CLOCK_AT, 4);
	cr_assert(msr_set(c, 0x10, 12345));
	cr_expect_eq(mem(&b, CLOCK_AT, 4), v, "bit 0 clear: the guest's memory is its own");
}

Test(pv, clock_does_not_jump_when_the_guest_writes_its_counter)
{
	cr_assert(msr_set(c, MSR_CLOCK, CLOCK_AT | 1));
	uint64_t before = guest_ns(CLOCK_AT, tsc_now(c));
	cr_assert(msr_set(c, 0x10, 1ull << 50));
	uint64_t after = guest_ns(CLOCK_AT, tsc_now(c));
	cr_expect(after >= before && after - before < 1000000000, "%lu %lu", (long)before, (long)after);
	cr_assert(msr_set(c, 0x3b, 7));
	after = guest_ns(CLOCK_AT, tsc_now(c));
	cr_expect(after >= before && after - before < 1000000000);
}

static uint64_t wall(void *opaque)
{
	(void)opaque;
	return 1700000000ull * 1000000000 + 5;
}

Test(pv, wall_clock_is_the_time_of_day_when_the_clock_was_zero)
{
	c->board.wall_ns = wall;
	uint64_t up = pv_clock_ns(c);
	cr_assert(msr_set(c, MSR_WALL, WALL_AT));
	uint64_t start = mem(&b, WALL_AT + 4, 4) * 1000000000 + mem(&b, WALL_AT + 8, 4);
	cr_expect(wall(NULL) - start >= up && wall(NULL) - start < up + 1000000000);
	cr_expect_eq(mem(&b, WALL_AT, 4) & 1, 0);
}

Test(pv, structures_outside_memory_do_no_harm)
{
	cr_expect(msr_set(c, MSR_CLOCK, 0xfffffffffffffff1));
	cr_expect(msr_set(c, MSR_WALL, RAM_SIZE - 4));
}

Test(pv, old_and_new_numbers_are_one_register)
{
	uint64_t v;
	cr_assert(msr_set(c, 0x12, CLOCK_AT | 1));
	cr_expect(msr_get(c, MSR_CLOCK, &v) && v == (CLOCK_AT | 1));
	cpu_reset(c);
	cr_expect(msr_get(c, MSR_CLOCK, &v) && v == 0);
	cr_expect(msr_get(c, 0x4b564d05, &v) && v == 1);
	cr_expect_not(msr_set(c, 0x4b564d05, 2));
}

Test(pv, unknown_calls_and_users_are_refused)
{
	cr_expect_eq(hypercall(0xffff, 0, 0, 0, 0), -1000);
	cr_expect_eq(hypercall(10, 1, 0, 0, 0x30), -1000, "no board to send it");
	bench_fini(&b);
	bench_long(&b, 3);
	c = b.c;
	cr_expect_eq(hypercall(5, 0, 0, 0, 0), -1);
	bench_fini(&b);
	bench_protected(&b, 0);
	c = b.c;
	cr_expect_eq(hypercall(0xffff, 0, 0, 0, 0), 0xfffffc18, "32-bit code sees 32 bits");
}

Test(pv, a_yield_to_whomever_is_none_of_the_guests_business)
{
	cr_expect_eq(hypercall(11, c->apic_id, 0, 0, 0), 0);
	cr_expect_eq(hypercall(11, 77, 0, 0, 0), 0, "nobody there");
	c->feat[FEAT_KVM] &= ~(1u << (CPUID_KVM_YIELD & 31));
	cr_expect_eq(hypercall(11, c->apic_id, 0, 0, 0), -1000);
}

Test(pv, a_kick_ends_hlt_or_the_next_one)
{
	cpu_hlt(c);
	cr_expect(c->halted && !cpu_has_work(c));
	cr_expect_eq(hypercall(5, 0, c->apic_id, 0, 0), 0);
	cr_expect(cpu_has_work(c));
	cr_expect(cpu_handle_requests(c));
	c->halted = false;
	cr_expect_not(cpu_has_work(c));
	hypercall(5, 0, c->apic_id, 0, 0);
	cr_expect_not(cpu_handle_requests(c));
	cpu_hlt(c);
	cr_expect_not(c->halted, "the kick came before");
	cpu_hlt(c);
	cr_expect(c->halted, "only once");
	cr_expect_eq(hypercall(5, 0, 77, 0, 0), 0, "nobody there");
}

static uint32_t sent_to, sent_icr, n_sent;
static void send_ipi(void *opaque, struct cpu *to, uint32_t icr)
{
	(void)opaque;
	sent_to = to->apic_id;
	sent_icr = icr;
	n_sent++;
}

Test(pv, ipi_call_delivers_to_the_bits_set)
{
	c->board.send_ipi = send_ipi;
	n_sent = 0;
	c->apic_id = 70;
	cr_expect_eq(hypercall(10, 0, 1 << 6, 0, 0x40fd), 1, "bit 70");
	cr_expect(n_sent == 1 && sent_to == 70 && sent_icr == 0x40fd);
	cr_expect_eq(hypercall(10, 1 << 3, 0, 67, 0xfd), 1);
	cr_expect_eq(hypercall(10, 1 << 4, 0, 67, 0xfd), 0);
	c->apic_id = 0;
	cr_expect_eq(hypercall(10, 0xffffffff, 0, 0xffffffff, 0), 0, "bits past the last id are nobody");
	cr_expect_eq(hypercall(10, 1, 0, 0, 0x400fd), -22, "no shorthand");
}

Test(pv, hidden_it_is_not_there)
{
	struct err e;
	uint64_t v;

	cr_assert(cpuid_configure(c, "max,kvm=off", false, &e));
	cr_expect_eq(RAISED(&b, cpu_hypercall(c)), EXC(EXC_UD, 0));
	cr_expect_not(msr_get(c, MSR_CLOCK, &v));
	cr_assert(cpuid_configure(c, "max,-hypervisor", false, &e));
	cr_expect_eq(RAISED(&b, cpu_hypercall(c)), EXC(EXC_UD, 0));
	cr_assert(cpuid_configure(c, "max,-kvmclock", false, &e));
	cr_expect_not(msr_get(c, 0x12, &v));
	cr_expect_not(cpu_has(c, CPUID_KVM_STABLE));
}
