/* What a kernel notices of its local APICs. */
#include <criterion/criterion.h>

#include <pthread.h>
#include <string.h>

#include "tests/bench.h"

#include "cpu/cpuid.h"
#include "cpu/tsc.h"
#include "hw/intc/lapic.h"

static struct bench b;
static struct dev *apic[4];
static int eoi_vector;

#define REG(r)		(0xfee00000u + (r))
#define WANTS(i)	(atomic_load(&b.cpu[i]->request) & REQ_INTR)
#define REQUEST(i)	atomic_load(&b.cpu[i]->request)

enum { ID = 0x20, TPR = 0x80, PPR = 0xa0, EOI = 0xb0, LDR = 0xd0, DFR = 0xe0, SVR = 0xf0, ISR = 0x100, IRR = 0x200,
       ESR = 0x280, ICR = 0x300, ICR2 = 0x310, TIMER = 0x320, PERF = 0x340, LINT0 = 0x350, LINT1 = 0x360, ERR = 0x370,
       INITIAL = 0x380, CURRENT = 0x390, DIVIDE = 0x3e0 };

static void on_eoi(void *opaque, uint8_t v)
{
	(void)opaque;
	eoi_vector = v;
}

static int ack(void *opaque)
{
	(void)opaque;
	return 0x77;
}

static void be(int i)
{
	machine_set_current_cpu(b.cpu[i]);
}

static void message(uint32_t data)
{
	lapic_message(apic[0], 0xfee00000u, data);
}

static void setup(void)
{
	bench_machine(&b);
	bench_cpus(&b, 4);
	for (int i = 0; i < 4; i++) {
		apic[i] = dev_make(b.m, &lapic_type, NULL, NULL, &b.err);
		cr_assert(apic[i], "%s", b.err.msg);
		lapic_connect_cpu(apic[i], b.cpu[i]);
	}
	lapic_connect_eoi(apic[0], on_eoi, NULL);
	lapic_connect_extint(apic[0], ack, NULL);
	for (int i = 3; i >= 0; i--) {
		be(i);
		wr(REG(SVR), 0x1ff);
	}
}
static void teardown(void) { bench_close(&b); }
TestSuite(lapic, .init = setup, .fini = teardown);

Test(lapic, each_processor_sees_its_own_registers)
{
	for (int i = 0; i < 4; i++) {
		be(i);
		cr_assert_eq(rd(REG(ID)), (uint32_t)i << 24);
	}
	cr_assert_eq(rd(REG(0x30)), 0x50014);
}

Test(lapic, nobody_in_particular_sees_nothing)
{
	machine_set_current_cpu(NULL);
	cr_assert_eq(rd(REG(ID)), 0xffffffffu);
}

Test(lapic, a_message_is_accepted_served_and_ended)
{
	message(0x41);
	cr_assert(WANTS(0));
	cr_assert_eq(rd(REG(IRR + 0x20)), 2);
	cr_assert_eq(lapic_intack(apic[0]), 0x41);
	cr_assert_not(WANTS(0));
	cr_assert_eq(rd(REG(ISR + 0x20)), 2);
	cr_assert_eq(rd(REG(PPR)), 0x40);
	wr(REG(EOI), 0);
	cr_assert_eq(rd(REG(ISR + 0x20)), 0);
	cr_assert_eq(lapic_intack(apic[0]), -1);
}

Test(lapic, a_higher_class_interrupts_a_lower_one_waits)
{
	message(0x51);
	lapic_intack(apic[0]);
	message(0x52);
	cr_assert_not(WANTS(0), "same class");
	message(0x61);
	cr_assert_eq(lapic_intack(apic[0]), 0x61);
	wr(REG(EOI), 0);
	cr_assert_not(WANTS(0));
	wr(REG(EOI), 0);
	cr_assert(WANTS(0));
	cr_assert_eq(lapic_intack(apic[0]), 0x52);
}

Test(lapic, a_processor_that_does_not_exist_is_not_addressed)
{
	b.cpu[1]->absent = true;
	be(0);
	wr(REG(ICR), 0xc4500);			/* INIT to all others */
	cr_assert_not(atomic_load(&b.cpu[1]->request) & REQ_INIT);
	b.cpu[1]->absent = false;
	wr(REG(ICR), 0xc4500);
	cr_assert(atomic_load(&b.cpu[1]->request) & REQ_INIT);
}

Test(lapic, the_task_priority_holds_interrupts_back)
{
	lapic_set_cr8(apic[0], 5);
	cr_assert_eq(rd(REG(TPR)), 0x50);
	message(0x5f);
	cr_assert_not(WANTS(0));
	lapic_set_cr8(apic[0], 4);
	cr_assert(WANTS(0));
	cr_assert_eq(lapic_get_cr8(apic[0]), 4);
}

Test(lapic, only_level_triggered_vectors_tell_the_io_apic)
{
	message(0x41);
	lapic_intack(apic[0]);
	wr(REG(EOI), 0);
	cr_assert_eq(eoi_vector, 0);
	message(0xc000 | 0x42);
	lapic_intack(apic[0]);
	wr(REG(EOI), 0);
	cr_assert_eq(eoi_vector, 0x42);
}

Test(lapic, lint0_brings_the_8259_through)
{
	be(0);
	wr(REG(LINT0), 0x700);
	irq_set(lapic_lint(apic[0], 0), 1);
	cr_assert(WANTS(0));
	cr_assert_eq(lapic_intack(apic[0]), 0x77);
	irq_set(lapic_lint(apic[0], 0), 0);
	cr_assert_not(WANTS(0));
	wr(REG(LINT0), 0x10700);
	irq_set(lapic_lint(apic[0], 0), 1);
	cr_assert_not(WANTS(0));
}

Test(lapic, lint0_is_open_after_reset_on_the_first_processor_only)
{
	machine_reset_devices(b.m);
	cr_assert_eq(rd(REG(LINT0)), 0x700);
	irq_set(lapic_lint(apic[0], 0), 1);
	cr_assert(WANTS(0));
	be(1);
	cr_assert_eq(rd(REG(LINT0)), 0x10000);
}

Test(lapic, a_performance_counter_interrupts_as_its_entry_says)
{
	be(0);
	lapic_perf(apic[0]);
	cr_assert_eq(REQUEST(0), 0, "masked after reset");
	wr(REG(PERF), 0x400);
	lapic_perf(apic[0]);
	cr_assert_eq(REQUEST(0), REQ_NMI);
	cr_assert_eq(rd(REG(PERF)), 0x400, "AMD's entry stays as it is");
	wr(REG(PERF), 0x45);
	lapic_perf(apic[0]);
	cr_assert(WANTS(0));
	cr_assert_eq(rd(REG(IRR + 0x20)), 1u << 5);
	memcpy(b.cpu[0]->id.vendor, "GenuineIntel", 12);
	lapic_perf(apic[0]);
	cr_assert_eq(rd(REG(PERF)), 0x10045, "Intel's masks itself");
}

Test(lapic, lint1_is_nmi_when_told_so)
{
	irq_set(lapic_lint(apic[0], 1), 1);
	cr_assert_not(REQUEST(0) & REQ_NMI);
	irq_set(lapic_lint(apic[0], 1), 0);
	wr(REG(LINT1), 0x400);
	irq_set(lapic_lint(apic[0], 1), 1);
	cr_assert(REQUEST(0) & REQ_NMI);
}

Test(lapic, init_and_start_up_reach_the_addressed_processor)
{
	wr(REG(ICR2), 2u << 24);
	wr(REG(ICR), 0xc500);
	cr_assert(REQUEST(2) & REQ_INIT);
	wr(REG(ICR), 0x8500);			/* de-assert */
	wr(REG(ICR), 0x4608);
	cr_assert(REQUEST(2) & REQ_SIPI);
	cr_assert_eq(b.cpu[2]->sipi_vector, 8);
	cr_assert_eq(REQUEST(1), 0);
	cr_assert(b.cpu[2]->starting);
	cr_assert_eq(REQUEST(0), REQ_STARTED, "the sender waits for it");
	wr(REG(ICR), 0xc500);
	cr_assert_not(b.cpu[2]->starting);
	cr_assert_not(REQUEST(2) & REQ_SIPI);
}

Test(lapic, shorthands_address_self_all_and_others)
{
	wr(REG(ICR), 0x44041);
	cr_assert(WANTS(0) && !WANTS(1));
	be(1);
	wr(REG(ICR), 0xc4042);
	cr_assert(WANTS(2) && WANTS(3) && !WANTS(1));
	wr(REG(ICR), 0x84043);
	cr_assert(WANTS(1));
	cr_assert_eq(lapic_intack(apic[1]), 0x43);
}

Test(lapic, logical_destinations_flat_and_cluster)
{
	for (int i = 0; i < 4; i++) {
		be(i);
		wr(REG(LDR), 1u << (24 + i));
	}
	lapic_message(apic[0], 0xfee00004u | 0x6 << 12, 0x41);
	cr_assert(WANTS(1) && WANTS(2) && !WANTS(0) && !WANTS(3));
	for (int i = 0; i < 4; i++) {
		be(i);
		wr(REG(DFR), 0x0fffffff);
		wr(REG(LDR), (uint32_t)(i / 2) << 28 | 1u << (24 + i % 2));
	}
	lapic_message(apic[0], 0xfee00004u | 0x12 << 12, 0x91);
	cr_assert_eq(lapic_intack(apic[3]), 0x91);
	cr_assert_eq(lapic_intack(apic[0]), -1);
}

Test(lapic, lowest_priority_goes_round_the_least_busy)
{
	for (int i = 0; i < 4; i++) {
		be(i);
		wr(REG(LDR), 1u << (24 + i));
	}
	be(1);
	wr(REG(TPR), 0xf0);
	for (int i = 0; i < 3; i++)
		lapic_message(apic[0], 0xfee00004u | 0xf << 12, 0x141);
	cr_assert(WANTS(0) && WANTS(2) && WANTS(3));
	cr_assert_eq(rd(REG(IRR + 0x20)), 0);
}

Test(lapic, the_one_shot_timer_fires_once)
{
	wr(REG(TIMER), 0x30);
	wr(REG(DIVIDE), 0x3);			/* by 16 */
	wr(REG(INITIAL), 100);
	bench_run(&b, 15999);
	cr_assert_not(WANTS(0));
	cr_assert_eq(rd(REG(CURRENT)), 1);
	bench_run(&b, 1);
	cr_assert(WANTS(0));
	cr_assert_eq(lapic_intack(apic[0]), 0x30);
	cr_assert_eq(rd(REG(CURRENT)), 0);
	bench_run(&b, NS_PER_SEC);
	wr(REG(EOI), 0);
	cr_assert_not(WANTS(0));
}

Test(lapic, the_periodic_timer_goes_on_without_drift)
{
	wr(REG(TIMER), 0x20030);
	wr(REG(DIVIDE), 0xb);
	wr(REG(INITIAL), 10000);
	for (int i = 0; i < 1000; i++) {
		bench_run(&b, 100000);
		cr_assert_eq(lapic_intack(apic[0]), 0x30, "%d", i);
		wr(REG(EOI), 0);
	}
	cr_assert_eq(rd(REG(CURRENT)), 10000);
}

Test(lapic, a_masked_timer_counts_in_silence)
{
	wr(REG(TIMER), 0x10030);
	wr(REG(DIVIDE), 0xb);
	wr(REG(INITIAL), 100);
	bench_run(&b, 400);
	cr_assert_eq(rd(REG(CURRENT)), 60);
	cr_assert_eq(clock_next(&b.m->clock), TIME_NEVER);
	wr(REG(TIMER), 0x30);
	bench_run(&b, 600);
	cr_assert(WANTS(0));
}

Test(lapic, the_tsc_deadline_is_kept)
{
	uint64_t tsc, left;

	wr(REG(TIMER), 0x40030);
	b.cpu[0]->board.now_ns = machine_now_ns;
	b.cpu[0]->board.opaque = b.m;
	b.cpu[0]->tsc_from_clock = true;
	tsc = tsc_now(b.cpu[0]);
	cr_assert(lapic_msr_write(apic[0], 0x6e0, tsc + 5000));		/* 1 GHz: 5 us */
	bench_run(&b, 4990);
	cr_assert_not(WANTS(0));
	bench_run(&b, 20);
	cr_assert(WANTS(0));
	lapic_msr_read(apic[0], 0x6e0, &left);
	cr_assert_eq(left, 0);
	cr_assert_eq(lapic_intack(apic[0]), 0x30);
	wr(REG(EOI), 0);
	lapic_msr_write(apic[0], 0x6e0, 1);		/* long ago: at once */
	cr_assert(WANTS(0));
}

/* The offset VMRUN gives a guest is not the timer's, which may expire while the guest runs. */
Test(lapic, the_tsc_deadline_is_in_ticks_of_the_processor)
{
	wr(REG(TIMER), 0x40030);
	b.cpu[0]->board.now_ns = machine_now_ns;
	b.cpu[0]->board.opaque = b.m;
	b.cpu[0]->tsc_from_clock = true;
	cr_assert(lapic_msr_write(apic[0], 0x6e0, tsc_now(b.cpu[0]) + 5000));
	b.cpu[0]->tsc_offset -= 1000000;
	bench_run(&b, 5010);
	cr_assert(WANTS(0));
}

Test(lapic, software_disable_masks_the_vectors)
{
	wr(REG(SVR), 0xff);
	cr_assert_eq(rd(REG(TIMER)) & 0x10000, 0x10000);
	wr(REG(TIMER), 0x30);
	cr_assert_eq(rd(REG(TIMER)), 0x10030);
	message(0x41);
	cr_assert_not(WANTS(0));
}

Test(lapic, illegal_vectors_are_recorded_in_esr)
{
	wr(REG(ERR), 0xfe);
	wr(REG(ICR), 0x44005);
	cr_assert_eq(lapic_intack(apic[0]), 0xfe);
	cr_assert_eq(rd(REG(ESR)), 0);
	wr(REG(ESR), 0);
	cr_assert_eq(rd(REG(ESR)), 0x20);
	wr(REG(ESR), 0);
	cr_assert_eq(rd(REG(ESR)), 0);
}

Test(lapic, x2apic_mode_moves_the_registers_to_msrs)
{
	uint64_t v;

	cr_assert_not(lapic_msr_read(apic[1], 0x802, &v));
	be(1);
	cr_assert(lapic_msr_write(apic[1], 0x1b, 0xfee00c00));
	cr_assert(lapic_msr_read(apic[1], 0x802, &v));
	cr_assert_eq(v, 1);
	cr_assert(lapic_msr_read(apic[1], 0x80d, &v));
	cr_assert_eq(v, 2);
	cr_assert_eq(rd(REG(ID)), 0xffffffffu);
	cr_assert_not(lapic_msr_write(apic[1], 0x802, 0), "id is read-only");
	cr_assert_not(lapic_msr_write(apic[1], 0x80b, 1), "EOI takes 0 only");
	cr_assert_not(lapic_msr_write(apic[1], 0x1b, 0xfee00800), "no way straight back");
	cr_assert(lapic_msr_write(apic[1], 0x830, 3ull << 32 | 0x4041));
	cr_assert(WANTS(3));
	cr_assert_not(lapic_msr_write(apic[1], 0x83f, 0x199), "reserved bits");
	cr_assert(lapic_msr_write(apic[1], 0x83f, 0x99));
	cr_assert_eq(lapic_intack(apic[1]), 0x99);
	cr_assert(lapic_msr_write(apic[1], 0x80b, 0));
	cr_assert(lapic_msr_write(apic[1], 0x1b, 0xfee00000));
}

Test(lapic, the_base_moves_and_reserved_bits_fault)
{
	cr_assert_not(lapic_msr_write(apic[0], 0x1b, 0xfee00801));
	cr_assert_not(lapic_msr_write(apic[0], 0x1b, 1ull << 50 | 0x800));
	cr_assert(lapic_msr_write(apic[0], 0x1b, 0xfd000900));
	be(0);
	cr_assert_eq(rd(0xfd000030u), 0x50014);
	cr_assert_eq(rd(REG(0x30)), 0xffffffffu);
	be(1);
	cr_assert_eq(rd(REG(0x30)), 0x50014);
}

Test(lapic, a_disabled_apic_lets_the_8259_through)
{
	cr_assert(lapic_msr_write(apic[0], 0x1b, 0xfee00100));
	irq_set(lapic_lint(apic[0], 0), 1);
	cr_assert(WANTS(0));
	cr_assert_eq(lapic_intack(apic[0]), 0x77);
}

Test(lapic, x2apic_needs_its_cpuid_bit)
{
	b.cpu[1]->feat[CPUID_X2APIC >> 5] = 0;
	cr_assert_not(lapic_msr_write(apic[1], 0x1b, 0xfee00c00));
}

Test(lapic, the_count_survives_a_change_of_mode)
{
	wr(REG(TIMER), 0x20030);
	wr(REG(DIVIDE), 0xb);
	wr(REG(INITIAL), 10000);
	bench_run(&b, 340000);
	wr(REG(TIMER), 0x30);
	cr_assert_eq(rd(REG(CURRENT)), 6000);
	bench_run(&b, 60000);
	wr(REG(TIMER), 0x20030);
	cr_assert_eq(rd(REG(CURRENT)), 0, "zero until a new count is written");
	bench_run(&b, 10000);
	cr_assert_eq(rd(REG(CURRENT)), 0);
}

Test(lapic, the_id_is_the_first_one_again_in_x2apic_mode_and_after_disabling)
{
	be(1);
	wr(REG(ID), 9u << 24);
	cr_assert_eq(rd(REG(ID)), 9u << 24);
	lapic_msr_write(apic[1], 0x1b, 0xfee00000);
	lapic_msr_write(apic[1], 0x1b, 0xfee00800);
	cr_assert_eq(rd(REG(ID)), 1u << 24);
}

/* What a processor does at each tick, by MSRs and by memory. */
static void *tick(void *arg)
{
	int i = *(int *)arg;

	be(i);
	cr_assert_eq(lapic_intack(apic[i]), 0x51);
	if (i == 1) {
		cr_assert(lapic_msr_write(apic[i], 0x80b, 0));
		cr_assert(lapic_msr_write(apic[i], 0x832, 0x40030));
		cr_assert(lapic_msr_write(apic[i], 0x6e0, 1u << 30));
		cr_assert(lapic_msr_write(apic[i], 0x830, 3ull << 32 | 0x4061));
	} else {
		wr(REG(EOI), 0);
		wr(REG(TIMER), 0x20030);
		wr(REG(INITIAL), 1000);
		wr(REG(ICR2), 3u << 24);
		wr(REG(ICR), 0x4061);
	}
	lapic_set_cr8(apic[i], 3);
	cr_assert_eq(lapic_get_cr8(apic[i]), 3);
	return arg;
}

Test(lapic, a_processor_at_work_waits_for_no_device, .timeout = 20)
{
	pthread_t thread[2];
	int who[2] = { 1, 2 };

	cr_assert(lapic_msr_write(apic[1], 0x1b, 0xfee00c00));
	lapic_command(apic[1], 0x51);
	lapic_command(apic[2], 0x51);
	cr_assert(machine_locked(b.m), "as if a device were busy");
	for (int k = 0; k < 2; k++)
		pthread_create(&thread[k], NULL, tick, &who[k]);
	for (int k = 0; k < 2; k++)
		pthread_join(thread[k], NULL);
	be(3);
	cr_assert_eq(lapic_intack(apic[3]), 0x61);
}

static void on_eoi_locked(void *opaque, uint8_t v)
{
	cr_assert(machine_locked(b.m));
	lapic_message(opaque, 0xfee01000u, 0x8000u | v);	/* the line is still up */
}

Test(lapic, the_end_of_a_level_is_told_under_the_machine_lock)
{
	lapic_connect_eoi(apic[0], on_eoi_locked, apic[0]);
	cr_assert(lapic_msr_write(apic[1], 0x1b, 0xfee00c00));
	lapic_message(apic[0], 0xfee01000u, 0x8051);
	cr_assert_eq(lapic_intack(apic[1]), 0x51);
	machine_unlock(b.m);
	cr_assert(lapic_msr_write(apic[1], 0x80b, 0));
	machine_lock(b.m);
	cr_assert_eq(lapic_intack(apic[1]), 0x51, "again");
}
