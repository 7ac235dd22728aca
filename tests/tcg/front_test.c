/*
 * Guest bytes -> µops, as text: one representative of each kind of instruction,
 * where blocks end, and that the text reads back to the same µop.
 */
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "tcg/front.h"

#define M64 (MODE_CODE64 | MODE_PE | MODE_LMA | MODE_FLAT | MODE_IOPL_OK | MODE_OSFXSR)
#define M32 (MODE_CODE32 | MODE_PE | MODE_FLAT | MODE_SS32 | MODE_IOPL_OK)
#define M16 (MODE_CODE16 | MODE_IOPL_OK)
#define USER (3u << MODE_CPL_SHIFT)

static struct ir ir;

static unsigned parse_hex(const char *hex, uint8_t *bytes)
{
	unsigned n = 0, v;

	for (; sscanf(hex, "%2x", &v) == 1; hex += 2) {
		bytes[n++] = v;
		while (hex[2] == ' ')
			hex++;
	}
	return n;
}

/* Translate at 0x1000; the code segment is 64 KiB long. */
static enum front_result translate(uint32_t mode, const char *hex, unsigned max)
{
	struct front f = { .ir = &ir, .cs_limit = 0xffff, .env.feat = { ~0ull, ~0ull } };
	uint8_t bytes[64];

	memset(&ir, 0, sizeof(ir));
	ir.rip = 0x1000;
	ir.mode = mode;
	return front_block(&f, bytes, parse_hex(hex, bytes), max);
}

/* The block as one line, µops divided by "; ". */
static const char *listing(void)
{
	static char text[8192];
	char *p = text;

	*p = 0;
	for (unsigned i = 0; i < ir.n_uops; i++) {
		if (i)
			p = stpcpy(p, "; ");
		p += uop_text(&ir, &ir.uops[i], p, 256);
	}
	for (char *from = text, *to = text; (*to = *from); from++)	/* columns to single blanks */
		if (*from != ' ' || from[1] != ' ')
			to++;
	return text;
}

struct sample {
	uint32_t mode;
	const char *bytes, *uops;
};

#define RSP64(n) "lea.8 rsp, a64 [rsp " n "]"

static const struct sample samples[] = {
	/* arithmetic */
	{ M64, "4801d8", "add.8 rax, rax, rbx; jmp.8 0x1003" },
	{ M64, "0148fc", "probe.4 rw a64 ds:[rax - 4]; add.4 M, M, rcx; jmp.8 0x1003" },
	{ M64, "f0830301", "probe.4 rw a64 ds:[rbx]; add.4 M, M, 1 lock; jmp.8 0x1004" },
	{ M64, "00e5", "add.1 ch, ch, ah; jmp.8 0x1002" },
	{ M64, "3b448b10", "probe.4 r a64 ds:[rbx + rcx*4 + 16]; cmp.4 rax, M; jmp.8 0x1004" },
	{ M64, "803d0000000005", "probe.1 r a64 ds:[0x1007]; cmp.1 M, 5; jmp.8 0x1007" },
	{ M64, "f7df", "neg.4 rdi, rdi; jmp.8 0x1002" },
	{ M64, "6bc107", "imul2.4 rax, rcx, 7; jmp.8 0x1003" },
	{ M64, "f7f9", "idiv1.4 rcx; jmp.8 0x1002" },
	{ M64, "d3e0", "shl.4 rax, rax, rcx; jmp.8 0x1002" },
	{ M64, "c1e000", "mov.4 rax, rax; jmp.8 0x1003" },
	{ M64, "48c1e000", "jmp.8 0x1004" },
	{ M64, "c12000", "probe.4 rw a64 ds:[rax]; shl.4 M, M, 0; jmp.8 0x1003" },
	{ M64, "0fa5c3", "shld.4 rbx, rbx, rax c=1; jmp.8 0x1003" },
	{ M64, "99", "cwd.4 rdx, rax; jmp.8 0x1001" },
	{ M64, "480fab4b08", "mov.8 t1, 6; sarx.8 t0, rcx, t1; lea.8 t1, a64 [rbx + 8]; "
		"probe.8 rw a64 ds:[t1 + t0*8]; bts.8 M, M, rcx; jmp.8 0x1005" },
	{ M64, "0fba6010ff", "probe.4 r a64 ds:[rax + 16]; bt.4 M, 31; jmp.8 0x1005" },
	{ M64, "c4e260f2c3", "andn.4 rax, rbx, rbx; jmp.8 0x1005" },
	{ M64, "c4e270f2c0", "mov.4 t0, rax; andn.4 rax, rcx, t0; jmp.8 0x1005" },
	{ M64, "f0480fc70e", "probe.16 rw a64 ds:[rsi] align; cmpxchg16b.16 M, M lock; jmp.8 0x1005" },
	/* moves */
	{ M64, "48b88877665544332211", "mov.8 rax, 0x1122334455667788; jmp.8 0x100a" },
	{ M64, "c645ff80", "probe.1 w a64 ss:[rbp - 1]; mov.1 M, -128; jmp.8 0x1004" },
	{ M64, "480fbe0a", "probe.1 r a64 ds:[rdx]; sext.8 rcx, M c=1; jmp.8 0x1004" },
	{ M64, "4863c8", "sext.8 rcx, rax c=4; jmp.8 0x1003" },
	{ M64, "678d0408", "lea.4 rax, a32 [rax + rcx*1]; jmp.8 0x1004" },
	{ M64, "8703", "probe.4 rw a64 ds:[rbx]; xchg.4 M, M, rax lock; jmp.8 0x1002" },
	{ M64, "0f4403", "probe.4 r a64 ds:[rbx]; cmov.4 rax, rax, M ?z; jmp.8 0x1003" },
	{ M64, "0f94c4", "setcc.1 ah ?z; jmp.8 0x1003" },
	{ M64, "d7", "zext.8 t0, rax c=1; probe.1 r a64 ds:[rbx + t0*1]; mov.1 rax, M; jmp.8 0x1001" },
	/* stack */
	{ M64, "50", "probe.8 w a64 ss:[rsp - 8]; mov.8 M, rax; " RSP64("- 8") "; jmp.8 0x1001" },
	{ M64, "5c", "probe.8 r a64 ss:[rsp]; mov.8 t0, M; " RSP64("+ 8") "; mov.8 rsp, t0; jmp.8 0x1001" },
	{ M64, "8f442410", "probe.8 r a64 ss:[rsp]; mov.8 t0, M; probe.8 w a64 ss:[rsp + 24]; mov.8 M, t0; "
		RSP64("+ 8") "; jmp.8 0x1004" },
	{ M32, "c9", "probe.4 r a32 ss:[rbp]; mov.4 t0, M; lea.4 rsp, a32 [rbp + 4]; mov.4 rbp, t0; jmp.8 0x1001" },
	{ M16, "6650", "probe.4 w a16 ss:[rsp - 4]; mov.4 M, rax; lea.2 rsp, a16 [rsp - 4]; jmp.8 0x1002" },
	{ M64, "9c", "getfl.4 t0; probe.8 w a64 ss:[rsp - 8]; mov.8 M, t0; " RSP64("- 8") "; jmp.8 0x1001" },
	{ M32, "8ed8", "zext.8 t0, rax c=2; call.8 t0, seg_load, t0 imm=3; jrz.8 t0, 0x1002; setrip.8 0x1002; exit.8" },
	/* flow */
	{ M64, "7502", "jcc 0x1004 ?nz; jmp.8 0x1002" },
	{ M64, "e800010000", "probe.8 w a64 ss:[rsp - 8]; mov.8 M, 0x1005; " RSP64("- 8") "; jmp.8 0x1105 c=1" },
	{ M64, "ff1424", "probe.8 r a64 ss:[rsp]; mov.8 t0, M; probe.8 w a64 ss:[rsp - 8]; mov.8 M, 0x1003; "
		RSP64("- 8") "; jmpind.8 t0 c=1" },
	{ M64, "ff20", "probe.8 r a64 ds:[rax]; jmpind.8 M" },
	{ M32, "ffd0", "probe.4 w a32 ss:[rsp - 4]; mov.4 M, 0x1002; lea.4 rsp, a32 [rsp - 4]; jmpind.4 rax c=1" },
	{ M32, "ffd4", "zext.8 t0, rsp c=4; probe.4 w a32 ss:[rsp - 4]; mov.4 M, 0x1002; lea.4 rsp, a32 [rsp - 4]; jmpind.8 t0 c=1" },
	{ M64, "c21000", "probe.8 r a64 ss:[rsp]; jmpind.8 M c=2 imm=24" },
	{ M16, "c3", "probe.2 r a16 ss:[rsp]; zext.8 t0, M c=2; lea.2 rsp, a16 [rsp + 2]; jmpind.8 t0 c=2" },
	{ M32, "e1fe", "lea.4 rcx, a32 [rcx - 1]; jrz.4 rcx, 0x1002; jcc 0x1000 ?z; jmp.8 0x1002" },
	{ M32, "67e3fd", "jrz.2 rcx, 0x1000; jmp.8 0x1003" },
	{ M16, "e9fdef", "jmp.8 0x0" },
	{ M16, "66e900f00000", "raise 13 c=1" },
	{ M16, "660f8400f00000", "jcc 0x1007 ?nz; raise 13 c=1" },
	{ M32, "ce", "jcc 0x1001 ?no; call.8 int imm=0x20104; exit.8" },
	/* strings */
	{ M64, "a4", "probe.1 r a64 ds:[rsi]; mov.1 t0, M; probe.1 w a64 es:[rdi]; mov.1 M, t0; "
		"lea.8 rsi, a64 [rsi + 1]; lea.8 rdi, a64 [rdi + 1]; jmp.8 0x1001" },
	{ M32 | MODE_DF, "64a7", "probe.4 r a32 fs:[rsi]; mov.4 t0, M; probe.4 r a32 es:[rdi]; cmp.4 t0, M; "
		"lea.4 rsi, a32 [rsi - 4]; lea.4 rdi, a32 [rdi - 4]; jmp.8 0x1002" },
	{ M64, "f348ab", "call.8 t0, rep_stos imm=904; jrz.8 t0, 0x1000; jmp.8 0x1003" },
	/* flags and privilege */
	{ M64, "fc", "jmp.8 0x1001" },
	{ M64, "fd", "call.8 set_df imm=1024; setrip.8 0x1001; exit.8" },
	{ M64, "fb90", "orfl.4 imm=512; poll.8 0x1002; jmp.8 0x1002" },
	{ M64, "fb", "orfl.4 imm=512; call.8 set_shadow imm=0; setrip.8 0x1001; exit.8" },
	{ M64, "0f01c1", "call.8 hypercall imm=0; setrip.8 0x1003; exit.8" },
	{ M64, "0f31", "rdtsc.8; jmp.8 0x1002" },
	{ M64 | USER, "f4", "raise 13 c=1" },
	{ M16, "0f00d8", "raise 6" },
	{ M16, "0f34", "call.8 sysenter imm=0; exit.8" },	/* virtual-8086 code may, real mode is #GP */
	{ M64 | USER, "0f07", "call.8 sysret imm=4; exit.8" },	/* #UD by EFER.SCE comes first */
	{ M64 | MODE_TS, "660fefc0", "raise 7" },
	{ M64, "06", "raise 6" },
};

/* Without the fence Linux sees the counter go back between processors. */
Test(front, rdtscp_waits_for_what_is_before_it)
{
	cr_assert_eq(translate(M64, "0f01f9", 1), FRONT_OK);
	cr_expect(strstr(listing(), "fence imm=5; rdtsc.8; ") == listing(), "%s", listing());
}

Test(front, instructions_become_these_uops)
{
	for (unsigned i = 0; i < ARRAY_LEN(samples); i++) {
		const struct sample *s = &samples[i];

		cr_assert_eq(translate(s->mode, s->bytes, 64), FRONT_OK);
		cr_expect_str_eq(listing(), s->uops, "%s: %s", s->bytes, listing());
		uop_verify(&ir, "front");
	}
}

Test(front, text_reads_back)
{
	for (unsigned i = 0; i < ARRAY_LEN(samples); i++) {
		translate(samples[i].mode, samples[i].bytes, 64);
		for (unsigned k = 0; k < ir.n_uops; k++) {
			char first[256], second[256];
			struct uop u;

			uop_text(&ir, &ir.uops[k], first, sizeof(first));
			cr_assert(uop_parse(first, &u), "%s", first);
			uop_text(&ir, &u, second, sizeof(second));
			cr_expect_str_eq(first, second);
		}
	}
}

Test(front, block_ends_at_limit_and_before_truncated_instruction)
{
	cr_assert_eq(translate(M64, "9090909090", 3), FRONT_OK);
	cr_expect_eq(ir.n_insns, 3);
	cr_expect_eq(ir.len, 3);
	cr_expect_str_eq(listing(), "jmp.8 0x1003");
	cr_assert_eq(translate(M64, "9048b800", 64), FRONT_OK);
	cr_expect_eq(ir.len, 1);
	cr_expect_eq(translate(M64, "48b800", 64), FRONT_TRUNCATED);
}

/* je forward, forward, forward; nop */
Test(front, two_jumps_forward_may_stand_inside_a_block)
{
	translate(M64, "7404 7404 7404 90 c3", 64);
	cr_expect_eq(ir.n_insns, 3);
	cr_expect_str_eq(listing(), "jcc 0x1006 ?z; jcc 0x1008 ?z; jcc 0x100a ?z; jmp.8 0x1006");
	translate(M64, "90 74fd 90 c3", 64);
	cr_expect_eq(ir.n_insns, 2, "a jump back ends it");
}

/* inc eax; jne +2; dec ecx; nop; cmp eax, 9; jne back to the start; ret */
static const char loop[] = "ffc0 7502 ffc9 83f809 75f5 c3";

/* Indirect jumps have gone to its head and to what is eight bytes behind. */
static bool region(const char *hex)
{
	static const uint64_t met[] = { 0x1000, 0x1008 };
	struct front f = { .ir = &ir, .cs_limit = 0xffff, .env.feat = { ~0ull, ~0ull } };
	uint8_t bytes[64];

	memset(&ir, 0, sizeof(ir));
	ir.rip = 0x1000;
	ir.mode = M64 | MODE_REGION;
	return front_region(&f, bytes, parse_hex(hex, bytes), met, 2);
}

Test(front, a_region_is_a_loop_with_jumps_inside)
{
	cr_assert(region(loop));
	cr_expect_eq(ir.len, 11);
	cr_expect_str_eq(listing(), "label 0x1000 c=1; inc.4 rax, rax; jcc 0x1006 ?nz inside; dec.4 rcx, rcx; "
			 "label 0x1006; cmp.4 rax, 9; jcc 0x1000 ?nz inside; jmp.8 0x100b");
}

Test(front, blocks_that_do_not_lead_back_are_not_in_the_region)
{
	cr_expect_not(region("ffc0 7502 ffc9 c3"), "no loop at all");
	/* test eax; je out; dec eax; jmp back; out: push rbx; ret */
	cr_assert(region("85c0 7404 ffc8 ebf8 53 c3"));
	cr_expect_eq(ir.n_insns, 4);
}

Test(front, jumps_of_a_linkage_table_are_no_loop)
{
	/* jmp [rip + 16]; nop; nop; jmp [rip + 16] */
	cr_expect_not(region("ff2510000000 9090 ff2510000000"));
	cr_expect_not(region("ff242500200000 90 ff242500200000"), "absolute");
	/* jmp [rax]; six nops; jmp [rip + 16] */
	cr_expect(region("ff20 909090909090 ff2510000000"), "that may come back");
	cr_expect_eq(ir.n_insns, 1);
	/* inc eax; je over; jmp [rax]; nop; nop; over: jmp [rip + 16] */
	cr_expect(region("ffc0 7404 ff20 9090 ff2510000000"));
	cr_expect_eq(ir.n_insns, 3, "that one leaves");
}

Test(front, mode_that_forbids_an_instruction_raises_before_it_runs)
{
	translate(M64 | MODE_OSXSAVE, "c5f8c6c000", 64);
	cr_expect_neq(ir.uops[0].op, UOP_raise);
	translate(M64, "c5f8c6c000", 64);
	cr_expect_str_eq(listing(), "raise 6");
	translate(M64 | MODE_EM, "d9e8", 64);
	cr_expect_str_eq(listing(), "raise 7");
	translate(M64 | MODE_TS, "0fae00", 64);		/* fxsave [rax] */
	cr_expect_str_eq(listing(), "raise 7");
	translate(M64 | MODE_EM, "0fae08", 64);		/* fxrstor [rax] */
	cr_expect_str_eq(listing(), "raise 7");
}
