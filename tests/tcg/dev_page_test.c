/*
 * Devices with a quick way (mmio_ops.read_quick): generated code reaches them with the guest's vector state live,
 * by what it remembers of their page, and only as long as that is so.
 */
#include <criterion/criterion.h>
#include <string.h>

#include "cpu/mmu.h"
#include "cpu/tlb.h"
#include "tcg/run.h"
#include "tests/guest_code.h"

#define DEV	0x61000

static struct {
	struct cpu *c;
	uint8_t byte[4096];
	unsigned n_live, n_quick, n_long;
	bool refuses;
} d;

static bool read_quick(void *opaque, uint64_t off, int size, uint64_t *v)
{
	(void)opaque;
	if (d.refuses)
		return false;
	d.n_quick++;
	d.n_live += d.c->vec_live;
	*v = ld_n(d.byte + off, size);
	return true;
}

static bool write_quick(void *opaque, uint64_t off, int size, uint64_t v)
{
	(void)opaque;
	if (d.refuses)
		return false;
	d.n_quick++;
	d.n_live += d.c->vec_live;
	st_n(d.byte + off, size, v);
	return true;
}

static uint64_t read_long(void *opaque, uint64_t off, int size)
{
	(void)opaque;
	d.n_long++;
	return ld_n(d.byte + off, size);
}

static void write_long(void *opaque, uint64_t off, int size, uint64_t v)
{
	(void)opaque;
	d.n_long++;
	st_n(d.byte + off, size, v);
}

static const struct mmio_ops ops = {
	.read = read_long, .write = write_long, .max_size = 4, .read_quick = read_quick, .write_quick = write_quick,
};

static struct machine m;

static void setup(void)
{
	struct phys_range r = { .pa = DEV, .size = 0x1000, .prio = 1, .ops = &ops, .name = "quick" };
	struct err e;

	machine_init(&m, 64, 0, &tcg_accel);
	cr_assert(phys_map(m.phys, &r, &e));
	memset(&d, 0, sizeof(d));
	d.c = m.c;
}

static void teardown(void)
{
	machine_fini(&m);
}
TestSuite(dev_page, .init = setup, .fini = teardown);

GUEST(invert, "mov ecx, 256; 1: mov al, [rcx + 0x61000]; not al; mov [rcx + 0x61000], al;"
      "xor byte ptr [rcx + 0x61000], 0x0f; dec ecx; jnz 1b; out 0xf4, al")

static void expect_inverted(void)
{
	for (unsigned i = 0; i < 512; i++)
		cr_expect_eq(d.byte[i], i && i <= 256 ? 0xf0 : 0, "%u", i);
}

Test(dev_page, a_loop_goes_there_with_the_vector_state_live)
{
	GUEST_PUT(&m, M_CODE, invert);
	cr_assert_eq(machine_run(&m, M_CODE), -1);
	expect_inverted();
	cr_expect_eq(d.n_quick, 1024);
	cr_expect_geq(d.n_live, 1000, "%u", d.n_live);
	cr_expect_eq(d.n_long, 0);
}

Test(dev_page, who_is_refused_takes_the_long_way)
{
	d.refuses = true;
	GUEST_PUT(&m, M_CODE, invert);
	cr_assert_eq(machine_run(&m, M_CODE), -1);
	expect_inverted();
	cr_expect_eq(d.n_long, 1024);
	cr_expect_eq(d.n_quick, 0);
}

/* Sizes that it does not take, and addresses between. */
GUEST(odd, "mov ebx, 0x61000; mov ecx, 8; 1: mov rax, 0x1122334455667788; mov [rbx + 8], rax; mov [rbx + 0x13], eax;"
      "mov rdx, [rbx + 8]; mov esi, [rbx + 0x13]; dec ecx; jnz 1b; out 0xf4, al")

Test(dev_page, other_accesses_come_in_pieces)
{
	GUEST_PUT(&m, M_CODE, odd);
	cr_assert_eq(machine_run(&m, M_CODE), -1);
	cr_expect_eq(m.c->regs[RDX], 0x1122334455667788);
	cr_expect_eq(m.c->regs[RSI], 0x55667788);
	cr_expect_eq(ld32(d.byte + 0x13), 0x55667788);
	cr_expect_eq(ld64(d.byte + 8), 0x1122334455667788);
}

/* rdi: the page table's entry, rsi: what it becomes on the way. */
GUEST(moved, "mov ebx, 0x61000; mov byte ptr [rbx], 1; mov byte ptr [rbx], 2; mov al, [rbx]; mov al, [rbx];"
      "mov [rdi], rsi; invlpg [rbx]; mov ah, [rbx]; out 0xf4, al")	/* alone: two would share a proof */

static uint64_t entry_of(uint64_t va)
{
	for (uint64_t at = M_TABLES; at < M_RAM_SIZE; at += 8)
		if ((ld64(machine_mem(&m, at)) & 0x000ffffffffff000) == va)
			return at;
	return 0;
}

Test(dev_page, a_page_that_is_mapped_elsewhere_is_forgotten)
{
	GUEST_PUT(&m, M_CODE, moved);
	m.c->regs[RDI] = entry_of(DEV);
	m.c->regs[RSI] = M_DATA | PTE_P | PTE_W;
	cr_assert(m.c->regs[RDI]);
	*machine_mem(&m, M_DATA) = 3;
	cr_assert_eq(machine_run(&m, M_CODE), -1);
	cr_expect_eq(m.c->regs[RAX] & 0xffff, 0x0302);
	cr_expect_eq(d.byte[0], 2);
}

GUEST(protected, "mov ebx, 0x61000; mov rax, cr0; mov rdx, rax; btr rax, 16; bts rdx, 16; mov cr0, rax;"
      "mov byte ptr [rbx], 1; mov byte ptr [rbx], 2; mov cr0, rdx; mov byte ptr [rbx], 3; out 0xf4, al")

Test(dev_page, write_protection_comes_without_a_flush)
{
	GUEST_PUT(&m, M_CODE, protected);
	machine_map(&m, DEV, DEV | PTE_P);
	cr_expect_eq(machine_run(&m, M_CODE), EXC_PF);
	cr_expect_eq(d.byte[0], 2);
}

GUEST(twice, "mov ebx, 0x61000; mov byte ptr [rbx], 1; mov byte ptr [rbx], 2; out 0xf4, al")

Test(dev_page, a_device_that_goes_is_forgotten)
{
	struct phys_range r = { .pa = DEV, .size = 0x1000, .prio = 2, .rram = m.ram, .wram = m.ram, .off = M_DATA, .name = "ram" };
	struct err e;

	GUEST_PUT(&m, M_CODE, twice);
	cr_assert_eq(machine_run(&m, M_CODE), -1);
	cr_expect_eq(d.n_quick, 2);
	cr_assert(phys_map(m.phys, &r, &e));
	cr_assert_eq(machine_run(&m, M_CODE), -1);
	cr_expect_eq(d.n_quick, 2);
	cr_expect_eq(*machine_mem(&m, M_DATA), 2);
}
