/*
 * Accesses at constant addresses, which know their slot of the TLB: memory, a device, a
 * crossing of pages, a page that changes, translated code, and addresses of more than 32 bits.
 */
#include <criterion/criterion.h>
#include <string.h>

#include "tcg/run.h"
#include "tests/guest_code.h"

#define END	"out 0xf4, al\n"

enum { HIGH_SLOT = 8 };		/* of the top-level table: 512 GiB up everything is seen again */

static uint64_t reg(const struct machine *m, int r) { return m->c->regs[r]; }

GUEST(low, "mov rax, [0x20010]\n add [0x20018], rax\n mov byte ptr [0x20021], 7\n movzx edx, word ptr [0x20020]\n" END)

static void put_numbers(struct machine *m)
{
	memset(machine_mem(m, M_DATA), 0, 0x3000);
	st64(machine_mem(m, M_DATA + 0x10), 0x1234567890);
	st64(machine_mem(m, M_DATA + 0x18), 5);
}

TEST_BOTH(fixed, memory_is_read_and_written)
{
	GUEST_PUT(m, M_CODE, low);
	for (int i = 0; i < 3; i++) {		/* slots empty, then filled */
		machine_reset(m);
		put_numbers(m);
		cr_expect_eq(machine_run(m, M_CODE), -1);
		cr_expect_eq(reg(m, RAX), 0x1234567890);
		cr_expect_eq(reg(m, RDX), 0x700);
		cr_expect_eq(ld64(machine_mem(m, M_DATA + 0x18)), 0x1234567895);
	}
}

/* Another page in the slot, then a missing one, then a read-only one. */
TEST_BOTH(fixed, the_page_may_change)
{
	GUEST_PUT(m, M_CODE, low);
	put_numbers(m);
	cr_expect_eq(machine_run(m, M_CODE), -1);
	st64(machine_mem(m, M_DATA + 0x2010), 99);
	machine_reset(m);
	machine_map(m, M_DATA, (M_DATA + 0x2000) | PTE_P | PTE_W);
	cr_expect_eq(machine_run(m, M_CODE), -1);
	cr_expect_eq(reg(m, RAX), 99);
	machine_reset(m);
	machine_map(m, M_DATA, 0);
	cr_expect_eq(machine_run(m, M_CODE), EXC_PF);
	cr_expect_eq(m->c->cr2, M_DATA + 0x10);
	cr_expect_eq(machine_frame(m).rip, M_CODE);
	machine_reset(m);
	machine_map(m, M_DATA, M_DATA | PTE_P);
	cr_expect_eq(machine_run(m, M_CODE), EXC_PF);
	cr_expect_eq(m->c->cr2, M_DATA + 0x18);
	cr_expect_eq(machine_frame(m).rip, M_CODE + 8);
	cr_expect_eq(reg(m, RAX), 0x1234567890);
}

GUEST(device, "mov eax, [0x60010]\n add [0x60018], rax\n" END)

TEST_BOTH(fixed, a_device_is_accessed_once_each)
{
	GUEST_PUT(m, M_CODE, device);
	st64(m->device + 0x10, 0x12);
	st64(m->device + 0x18, 0x30);
	cr_expect_eq(machine_run(m, M_CODE), -1);
	cr_expect_eq(m->n_reads, 2);
	cr_expect_eq(m->n_writes, 1);
	cr_expect_eq(reg(m, RAX), 0x12);
	cr_expect_eq(ld64(m->device + 0x18), 0x42);
}

GUEST(crossing, "mov rax, [0x20ffc]\n not rax\n mov [0x20ffc], rax\n" END)

TEST_BOTH(fixed, an_access_may_cross_pages)
{
	GUEST_PUT(m, M_CODE, crossing);
	machine_map(m, M_DATA + 0x1000, (M_DATA + 0x4000) | PTE_P | PTE_W);
	st32(machine_mem(m, M_DATA + 0xffc), 0x11111111);
	st32(machine_mem(m, M_DATA + 0x4000), 0x22222222);
	cr_expect_eq(machine_run(m, M_CODE), -1);
	cr_expect_eq(reg(m, RAX), ~0x2222222211111111u);
	cr_expect_eq(ld32(machine_mem(m, M_DATA + 0x4000)), 0xddddddddu);
}

/* The immediate of the `mov eax` behind it is stored to. */
GUEST(own_code, "mov dword ptr [0x4000c], 77\n .byte 0xb8\n .long 1\n" END)

TEST_BOTH(fixed, a_store_to_its_own_block_takes_effect)
{
	GUEST_PUT(m, M_CODE, own_code);
	cr_expect_eq(machine_run(m, M_CODE), -1);
	cr_expect_eq(reg(m, RAX) & ~0xffull, 0);
	cr_expect_eq((uint8_t)reg(m, RAX), 77);
}

GUEST(high, "movabs rax, [0x40000020010]\n movabs [0x40000020018], rax\n" END)
GUEST(not_canonical, "movabs rax, [0x1000000020010]\n" END)

TEST_BOTH(fixed, addresses_may_take_64_bits)
{
	GUEST_PUT(m, M_CODE, high);
	st64(machine_mem(m, M_TABLES + 8 * HIGH_SLOT), ld64(machine_mem(m, M_TABLES)));
	for (int i = 0; i < 3; i++) {
		machine_reset(m);
		put_numbers(m);
		cr_expect_eq(machine_run(m, M_CODE), -1);
		cr_expect_eq(reg(m, RAX), 0x1234567890);
		cr_expect_eq(ld64(machine_mem(m, M_DATA + 0x18)), 0x1234567890);
	}
	machine_reset(m);
	GUEST_PUT(m, M_CODE, not_canonical);
	cr_expect_eq(machine_run(m, M_CODE), EXC_GP);
}

GUEST(wide, ".code32\n mov eax, [0x20010]\n add [0x20018], eax\n mov ecx, [0xfffffffe]\n" END)

static void flat_32(const struct accel_ops *ops)
{
	struct machine m;

	machine_init(&m, 32, 0, ops);
	GUEST_PUT(&m, M_CODE, wide);
	for (int i = 0; i < 3; i++) {
		machine_reset(&m);
		put_numbers(&m);
		cr_expect_eq(machine_run(&m, M_CODE), EXC_GP);	/* at the last access, behind the limit */
		cr_expect_eq(reg(&m, RAX), 0x34567890);
		cr_expect_eq(ld32(machine_mem(&m, M_DATA + 0x18)), 0x34567895);
	}
	machine_fini(&m);
}

Test(fixed, in_32_bit_code) { flat_32(&tcg_accel); }
Test(fixed, in_32_bit_code_interpreted) { flat_32(&tcg_interp_accel); }
