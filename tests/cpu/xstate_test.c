/* FXSAVE, XSAVE and FSTENV images, compared with the host's own where it can make them. */
#include <criterion/criterion.h>
#include <string.h>

#include "cpu/cpuid.h"
#include "cpu/mmu.h"
#include "cpu/system.h"
#include "tests/cpu/harness.h"

static struct bench b;
static struct cpu *c;
enum { AT = 0x20000 };
#define GP0 EXC(EXC_GP, 0)
#define TRY(expr) RAISED(&b, expr)

static void init64(void)
{
	bench_long(&b, 0);
	c = b.c;
	c->cr4 |= CR4_OSFXSR | CR4_OSXSAVE;
	c->xcr0 = 7;
	cpu_update_mode(c);
	for (int i = 32; i < 416; i++)
		c->xsave[i] = (uint8_t)(i * 13);
	for (int i = 576; i < 832; i++)
		c->xsave[i] = (uint8_t)(i * 7 + 1);
	for (int i = 0; i < 8; i++)
		memset(c->xsave + 32 + 16 * i + 10, 0, 6);
	st16(c->xsave, 0x37f);
	st16(c->xsave + 2, 3 << 11);
}

Test(xstate, fxsave_and_fxrstor_are_inverse)
{
	uint8_t saved[XSAVE_SIZE];
	init64();
	st64(c->xsave + 8, 0x123456789abc);
	memset(b.ram->host + AT, 0xee, 512);
	cpu_fxsave(c, AT, true);
	cr_expect_eq(memcmp(b.ram->host + AT + 32, c->xsave + 32, 384), 0);
	cr_expect_eq(mem(&b, AT + 8, 8), 0x123456789abc);
	cr_expect_eq(mem(&b, AT + 28, 4), 0xffff);
	cr_expect_eq(mem(&b, AT + 416, 1), 0xee, "the rest is not written");
	memcpy(saved, c->xsave, XSAVE_SIZE);
	memset(c->xsave, 0x55, 416);
	cpu_fxrstor(c, AT, true);
	cr_expect_eq(memcmp(saved, c->xsave, 28), 0);
	cr_expect_eq(memcmp(saved + 32, c->xsave + 32, 384), 0);
	cpu_fxsave(c, AT, false);
	cr_expect_eq(mem(&b, AT + 8, 8), 0x56789abc, "32-bit pointer, selector 0");
}

Test(xstate, alignment_and_reserved_mxcsr_bits_are_gp)
{
	init64();
	cr_expect_eq(TRY(cpu_fxsave(c, AT + 8, true)), GP0);
	cr_expect_eq(TRY(cpu_xsave(c, AT + 16, 7, true, 0)), GP0);
	cpu_fxsave(c, AT, true);
	mem_put(&b, AT + 24, 4, 0x10000);
	cr_expect_eq(TRY(cpu_fxrstor(c, AT, true)), GP0);
	c->cr4 &= ~CR4_OSXSAVE;
	cr_expect_eq(TRY(cpu_xsave(c, AT, 7, true, 0)), EXC(EXC_UD, 0));
}

Test(xstate, xsave_writes_what_is_asked_and_xrstor_initialises_the_rest)
{
	uint8_t saved[XSAVE_SIZE];
	init64();
	mem_put(&b, AT + 512, 8, 0x100);
	cpu_xsave(c, AT, 7, true, 0);
	cr_expect_eq(mem(&b, AT + 512, 8), 0x107, "other bits of XSTATE_BV stay");
	cr_expect_eq(memcmp(b.ram->host + AT + 576, c->xsave + 576, 256), 0);
	cr_expect_eq(TRY(cpu_xrstor(c, AT, 7, true, false)), GP0, "a bit XCR0 does not have");
	mem_put(&b, AT + 512, 8, 7);
	memcpy(saved, c->xsave, XSAVE_SIZE);
	memset(c->xsave + 32, 0, 384);
	memset(c->xsave + 576, 0, 256);
	cpu_xrstor(c, AT, 7, true, false);
	cr_expect_eq(memcmp(saved + 32, c->xsave + 32, 384), 0);
	cr_expect_eq(memcmp(saved + 576, c->xsave + 576, 256), 0);
	mem_put(&b, AT + 512, 8, 0);
	cpu_xrstor(c, AT, 5, true, false);
	cr_expect_eq(ld16(c->xsave), 0x37f);
	cr_expect_eq(ld64(c->xsave + 32), 0);
	cr_expect_eq(ld64(c->xsave + 576), 0);
	cr_expect_eq(memcmp(saved + 160, c->xsave + 160, 256), 0, "SSE was not asked for");
	cpu_xsave(c, AT, 7, true, 1);
	cr_expect_eq(mem(&b, AT + 512, 8), 3, "upper halves all zero: not in use");
}

Test(xstate, compacted_images_round_trip)
{
	uint8_t saved[XSAVE_SIZE];
	init64();
	cpu_xsave(c, AT, 7, true, 2);
	cr_expect_eq(mem(&b, AT + 520, 8), BIT(63) | 7);
	memcpy(saved, c->xsave, XSAVE_SIZE);
	memset(c->xsave + 32, 0, 384);
	memset(c->xsave + 576, 0, 256);
	st32(c->xsave + 24, 0x1f80);
	cpu_xrstor(c, AT, 7, true, false);
	cr_expect_eq(memcmp(saved + 32, c->xsave + 32, 384), 0);
	cr_expect_eq(memcmp(saved + 576, c->xsave + 576, 256), 0);
	mem_put(&b, AT + 528, 8, 1);
	cr_expect_eq(TRY(cpu_xrstor(c, AT, 7, true, false)), GP0);
}

/* Registers of all kinds, loaded into the host's x87 and stored by it. */
static void host_x87(uint8_t *fx, uint8_t *env, uint8_t *all)
{
	double zero = 0;
	__asm__ volatile("fninit; fldpi; fldl %3; fld1; fldl %3; fld1; fdivp; fldz; fchs\n"
			 "fxsave64 %0; fnstenv %1; fxrstor64 %0; fnsave %2; fninit"
			 : "=m"(*(uint8_t (*)[512])fx), "=m"(*(uint8_t (*)[28])env),
			   "=m"(*(uint8_t (*)[108])all) : "m"(zero) : "memory");
}

Test(xstate, fstenv_and_fsave_agree_with_the_host)
{
	static uint8_t fx[512] __attribute__((aligned(16)));
	uint8_t env[28], all[108];
	bench_protected(&b, 0);
	c = b.c;
	host_x87(fx, env, all);
	memcpy(c->xsave, fx, 416);
	cpu_fstenv(c, AT, 4, false);
	for (int i = 0; i < 12; i += 4)
		cr_expect_eq(mem(&b, AT + i, 2), ld16(env + i), "word %d", i);
	cr_expect_eq(ld16(c->xsave), ld16(fx) | 0x3f);
	memcpy(c->xsave, fx, 416);
	cpu_fstenv(c, AT, 4, true);
	cr_expect_eq(memcmp(b.ram->host + AT + 28, all + 28, 80), 0);
	cr_expect_eq(mem(&b, AT + 8, 2), ld16(all + 8));
	cr_expect(ld16(c->xsave) == 0x37f && c->xsave[4] == 0 && ld16(c->xsave + 2) == 0);
	cpu_fldenv(c, AT, 4, true);
	cr_expect_eq(memcmp(c->xsave + 32, fx + 32, 128), 0);
	cr_expect_eq(c->xsave[4], fx[4]);
	cr_expect_eq(ld16(c->xsave + 2), ld16(fx + 2));
}

Test(xstate, fldenv_turns_the_stack_not_the_registers)
{
	bench_protected(&b, 0);
	c = b.c;
	memset(c->xsave, 0, 416);
	c->xsave[4] = 0xff;
	for (int i = 0; i < 8; i++)
		c->xsave[32 + 16 * i] = (uint8_t)i;	/* top 0: ST(i) is register i */
	cpu_fstenv(c, AT, 4, false);
	mem_put(&b, AT + 4, 2, 3 << 11);
	cpu_fldenv(c, AT, 4, false);
	for (int i = 0; i < 8; i++)
		cr_expect_eq(c->xsave[32 + 16 * i], (i + 3) & 7);
}

Test(xstate, sixteen_bit_real_mode_environment)
{
	bench_real(&b);
	c = b.c;
	st16(c->xsave + 6, 0x123);
	st64(c->xsave + 8, 0xabcde);
	st64(c->xsave + 16, 0x54321);
	cpu_fstenv(c, AT, 2, false);
	cr_expect_eq(mem(&b, AT + 6, 2), 0xbcde);
	cr_expect_eq(mem(&b, AT + 8, 2), 0xa123);
	cr_expect_eq(mem(&b, AT + 12, 2), 0x5000);
	st64(c->xsave + 8, 0);
	cpu_fldenv(c, AT, 2, false);
	cr_expect_eq(ld64(c->xsave + 8), 0xabcde);
	cr_expect_eq(ld16(c->xsave + 6), 0x123);
}

Test(xstate, a_pending_exception_shows_in_the_summary)
{
	bench_protected(&b, 0);
	c = b.c;
	cpu_fstenv(c, AT, 4, false);
	mem_put(&b, AT, 2, 0x37e);		/* invalid unmasked */
	mem_put(&b, AT + 4, 2, 1);
	cpu_fldenv(c, AT, 4, false);
	cr_expect_eq(ld16(c->xsave + 2), 0x8081);
}

/* ---- components and formats ---- */

static void leaf_d(uint32_t sub, uint32_t out[4])
{
	cpu_cpuid(c, 0xd, sub, out);
}

Test(xstate, cpuid_describes_the_components)
{
	uint32_t r[4];
	init64();
	c->xcr0 = 0x207;
	leaf_d(0, r);
	cr_expect(r[0] == 0x207 && r[1] == 840 && r[2] == 840 && !r[3]);
	leaf_d(1, r);
	cr_expect(r[0] == 0xf && r[1] == 840 && !r[2] && !r[3]);
	c->xcr0 = 0x203;
	leaf_d(1, r);
	cr_expect_eq(r[1], 584, "compacted: no room for AVX");
	leaf_d(2, r);
	cr_expect(r[0] == 256 && r[1] == 576 && !r[2] && !r[3]);
	leaf_d(9, r);
	cr_expect(r[0] == 8 && r[1] == 832 && !r[2] && !r[3]);
	leaf_d(10, r);
	cr_expect(!r[0] && !r[1]);
	memcpy(c->id.vendor, "GenuineIntel", 12);
	leaf_d(9, r);
	cr_expect_eq(r[1], 2688);
	leaf_d(0, r);
	cr_expect(r[1] == 2696 && r[2] == 2696);
}

Test(xstate, pkru_is_saved_in_either_format)
{
	init64();
	c->xcr0 = 0x207;
	c->pkru = 0x55555554;
	cpu_xsave(c, AT, 0x207, true, 0);
	cr_expect_eq(mem(&b, AT + 832, 8), 0x55555554);
	cr_expect_eq(mem(&b, AT + 512, 8), 0x207);
	memset(b.ram->host + AT, 0, 1024);
	cpu_xsave(c, AT, 0x201, true, 2);
	cr_expect_eq(mem(&b, AT + 576, 8), 0x55555554, "right behind the header");
	cr_expect_eq(mem(&b, AT + 520, 8), BIT(63) | 0x201);
	c->pkru = 1;
	cpu_xrstor(c, AT, 0x200, true, false);
	cr_expect_eq(c->pkru, 0x55555554);
	mem_put(&b, AT + 512, 8, 1);
	cpu_xrstor(c, AT, 0x200, true, false);
	cr_expect_eq(c->pkru, 0, "initial");
	cpu_xsave(c, AT, 0x201, true, 2);
	cr_expect_eq(mem(&b, AT + 512, 8), 1, "not in use");
	cr_expect_eq(cpu_xgetbv(c, 1) & 0x200, 0);
}

Test(xstate, nothing_is_written_if_a_part_faults)
{
	init64();
	c->xcr0 = 0x207;
	c->pkru = 4;
	memcpy(c->id.vendor, "GenuineIntel", 12);
	memset(b.ram->host + 0x2f000, 0xee, 4096);
	mem_put(&b, AT_PML4 + 0x2000, 8, 0x22007);	/* pages of 4 KiB */
	for (uint64_t i = 0; i < 512; i++)
		mem_put(&b, 0x22000 + 8 * i, 8, i << 12 | (i == 0x30 ? 0 : 7));
	mmu_flush(c, false);
	cr_expect_eq(TRY(cpu_xsave(c, 0x2f800, 0x207, true, 0)) >> 16, EXC_PF, "PKRU is on the next page");
	cr_expect_eq(mem(&b, 0x2f800, 8), 0xeeeeeeeeeeeeeeee);
	cr_expect_eq(TRY(cpu_xsave(c, 0x2f800, 7, true, 0)), -1, "only what is asked for is touched");
}

Test(xstate, xsaves_and_xrstors_are_compacted)
{
	init64();
	c->xcr0 = 0x207;
	cpu_xsave(c, AT, ~0ull, true, 3);
	cr_expect_eq(mem(&b, AT + 520, 8), BIT(63) | 0x207);
	cr_expect_eq(TRY(cpu_xrstor(c, AT, ~0ull, true, true)), -1);
	mem_put(&b, AT + 520, 8, BIT(63) | 0x20f);
	cr_expect_eq(TRY(cpu_xrstor(c, AT, 7, true, true)), GP0, "a component that is not enabled");
	mem_put(&b, AT + 520, 8, BIT(63) | 1);
	cr_expect_eq(TRY(cpu_xrstor(c, AT, 1, true, true)), GP0, "XSTATE_BV beyond XCOMP_BV");
	mem_put(&b, AT + 520, 8, 0);
	mem_put(&b, AT + 512, 8, 7);
	cr_expect_eq(TRY(cpu_xrstor(c, AT, 1, true, false)), -1);
	cr_expect_eq(TRY(cpu_xrstor(c, AT, 1, true, true)), GP0, "standard format");
	cr_expect_eq(TRY(cpu_wrmsr(c, 0xda0, 0)), -1);
	cr_expect_eq(TRY(cpu_wrmsr(c, 0xda0, 0x100)), GP0, "no supervisor component exists");
}

Test(xstate, fxsave_without_xmm_under_ffxsr)
{
	init64();
	c->efer |= BIT(14);
	memset(b.ram->host + AT, 0xee, 512);
	cpu_fxsave(c, AT, true);
	cr_expect_eq(mem(&b, AT + 24, 4), ld32(c->xsave + 24), "MXCSR is saved");
	cr_expect_eq(mem(&b, AT + 160, 8), 0xeeeeeeeeeeeeeeee);
	bench_fini(&b);
	bench_long(&b, 3);
	c = b.c;
	c->efer |= BIT(14);
	memset(b.ram->host + AT, 0xee, 512);
	cpu_fxsave(c, AT, true);
	cr_expect_neq(mem(&b, AT + 160, 8), 0xeeeeeeeeeeeeeeee, "at CPL 0 only");
}
