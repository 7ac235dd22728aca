/*
 * Flags that leave a piece of code as a note of what they come from: written in all the ways there are, handed on in all
 * ways out, and then read, partly overwritten, or found by a fault or an exception. They are what they would be if the reader
 * stood right behind the writer.
 */
#include <criterion/criterion.h>

#include "cpu/mmu.h"
#include "tcg/cache.h"
#include "tcg/run.h"
#include "tests/guest_code.h"

enum { DATA = 0x50000, HOLE = 0x51000, NEAR = M_CODE + 0x400, FAR = M_CODE + 0x1000 };
#define ARITH (FL_CF | FL_PF | FL_AF | FL_ZF | FL_SF | FL_OF)

struct text {
	uint8_t n, code[14];
};

static const struct text writers[] = {
	{ 2, { 0x39, 0xc8 } },			/* cmp eax, ecx */
	{ 3, { 0x48, 0x39, 0xc1 } },		/* cmp rcx, rax */
	{ 3, { 0x4d, 0x39, 0xc8 } },		/* cmp r8, r9 */
	{ 4, { 0x41, 0x83, 0xf9, 0x05 } },	/* cmp r9d, 5 */
	{ 5, { 0x3d, 0x21, 0x43, 0x65, 0x87 } },	/* cmp eax, 0x87654321 */
	{ 6, { 0x48, 0x3d, 0x21, 0x43, 0x65, 0x87 } },	/* cmp rax, 0xffffffff87654321 */
	{ 4, { 0x66, 0x3d, 0x81, 0x88 } },	/* cmp ax, 0x8881 */
	{ 2, { 0x3c, 0x80 } },			/* cmp al, 0x80 */
	{ 3, { 0x4c, 0x39, 0xc8 } },		/* cmp rax, r9 */
	{ 2, { 0x38, 0xc8 } },			/* cmp al, cl */
	{ 3, { 0x40, 0x38, 0xce } },		/* cmp sil, cl */
	{ 2, { 0x38, 0xec } },			/* cmp ah, ch */
	{ 3, { 0x66, 0x39, 0xc1 } },		/* cmp cx, ax */
	{ 4, { 0x48, 0x83, 0xfc, 0x10 } },	/* cmp rsp, 16 */
	{ 2, { 0x3b, 0x07 } },			/* cmp eax, [rdi] */
	{ 2, { 0x85, 0xc8 } },			/* test eax, ecx */
	{ 3, { 0x4d, 0x85, 0xc9 } },		/* test r9, r9 */
	{ 2, { 0xa8, 0x81 } },			/* test al, 0x81 */
	{ 3, { 0x45, 0x85, 0xc1 } },		/* test r9d, r8d */
	{ 2, { 0x29, 0xc8 } },			/* sub eax, ecx */
	{ 3, { 0x45, 0x29, 0xc8 } },		/* sub r8d, r9d */
	{ 2, { 0x29, 0xc0 } },			/* sub eax, eax */
	{ 4, { 0x48, 0x83, 0xec, 0x08 } },	/* sub rsp, 8 */
	{ 3, { 0x83, 0xe8, 0x7f } },		/* sub eax, 127 */
	{ 2, { 0x01, 0xc8 } },			/* add eax, ecx */
	{ 2, { 0x01, 0xc0 } },			/* add eax, eax */
	{ 3, { 0x80, 0xc1, 0x90 } },		/* add cl, 0x90 */
	{ 4, { 0x66, 0x41, 0x01, 0xc8 } },	/* add r8w, cx */
	{ 2, { 0x21, 0xc8 } },			/* and eax, ecx */
	{ 3, { 0x4d, 0x09, 0xc8 } },		/* or r8, r9 */
	{ 2, { 0x30, 0xc8 } },			/* xor al, cl */
	{ 2, { 0xff, 0xc9 } },			/* dec ecx */
	{ 3, { 0xc1, 0xe8, 0x03 } },		/* shr eax, 3 */
	{ 2, { 0xf7, 0xd8 } },			/* neg eax */
	/* memory, of which a subtraction or a sum leaves nothing else */
	{ 2, { 0x2b, 0x07 } },			/* sub eax, [rdi] */
	{ 3, { 0x48, 0x2b, 0x0f } },		/* sub rcx, [rdi] */
	{ 2, { 0x2a, 0x07 } },			/* sub al, [rdi] */
	{ 3, { 0x66, 0x2b, 0x07 } },		/* sub ax, [rdi] */
	{ 3, { 0x44, 0x2b, 0x07 } },		/* sub r8d, [rdi] */
	{ 2, { 0x2a, 0x27 } },			/* sub ah, [rdi] */
	{ 2, { 0x03, 0x07 } },			/* add eax, [rdi] */
	{ 3, { 0x48, 0x03, 0x0f } },		/* add rcx, [rdi] */
	{ 2, { 0x02, 0x0f } },			/* add cl, [rdi] */
	{ 2, { 0x23, 0x07 } },			/* and eax, [rdi] */
	{ 2, { 0x29, 0x07 } },			/* sub [rdi], eax */
	{ 4, { 0x2b, 0x07, 0x2b, 0x0f } },	/* sub eax, [rdi]; sub ecx, [rdi] */
	/* what it is made from is gone, or has moved */
	{ 4, { 0x2b, 0x07, 0x89, 0xd0 } },	/* sub eax, [rdi]; mov eax, edx */
	{ 4, { 0x39, 0xc8, 0x89, 0xd1 } },	/* cmp eax, ecx; mov ecx, edx */
	{ 4, { 0x21, 0xc8, 0x89, 0xd0 } },	/* and eax, ecx; mov eax, edx */
	{ 4, { 0x39, 0xc8, 0x41, 0x50 } },	/* cmp eax, ecx; push r8 */
	{ 8, { 0x48, 0x83, 0xec, 0x08, 0x41, 0x50, 0x41, 0x50 } },	/* sub rsp, 8; push r8; push r8 */
	{ 8, { 0x48, 0x83, 0xc4, 0x08, 0x41, 0x58, 0x41, 0x58 } },	/* add rsp, 8; pop r8; pop r8 */
	{ 5, { 0x48, 0x39, 0xe0, 0x41, 0x50 } },	/* cmp rax, rsp; push r8 */
};

/* On to rbx, whichever way. */
static const struct text ways[] = {
	{ 2, { 0xff, 0xe3 } },					/* jmp rbx */
	{ 2, { 0xff, 0xd3 } },					/* call rbx */
	{ 2, { 0x53, 0xc3 } },					/* push rbx; ret */
	{ 4, { 0x8b, 0x37, 0xff, 0xe3 } },			/* mov esi, [rdi]; jmp rbx */
	{ 6, { 0x74, 2, 0xff, 0xe3, 0xff, 0xe3 } },		/* jz 1f; jmp rbx; 1: jmp rbx */
	{ 8, { 0x74, 3, 0x8b, 0x37, 0x90, 0x90, 0xff, 0xe3 } },	/* jz 1f; mov esi, [rdi]; nop; 1: nop; jmp rbx */
	{ 6, { 0xeb, 2, 0xff, 0xe3, 0xeb, 0xfc } },		/* jmp 2f; 1: jmp rbx; 2: jmp 1b */
	{ 6, { 0xeb, 2, 0xff, 0xe3, 0x72, 0xfc } },		/* jmp 2f; 1: jmp rbx; 2: jb 1b (and what follows) */
};

static const struct text readers[] = {
	{ 0, { 0 } },
	{ 2, { 0xff, 0xc0 } },					/* inc eax, which keeps CF */
	{ 3, { 0x83, 0xd2, 0 } },				/* adc edx, 0 */
	{ 5, { 0x9f, 0x0f, 0x90, 0xc0, 0x9e } },		/* lahf; seto al; sahf */
	{ 3, { 0x0f, 0x02, 0xd2 } },				/* lar edx, dx */
	{ 2, { 0xd2, 0xe0 } },					/* shl al, cl */
	{ 3, { 0x0f, 0x44, 0xd1 } },				/* cmovz edx, ecx */
	{ 1, { 0xf5 } },					/* cmc */
};
static const struct text jumps = { 14, { 0x70, 1, 0x90, 0x72, 1, 0x90, 0x74, 1, 0x90, 0x7a, 1, 0x90, 0x90, 0x90 } };
static const uint8_t at_end[] = { 0x9c, 0x5d, 0xe6, 0xf4 };	/* pushfq; pop rbp; out 0xf4, al */

static void load_registers(struct machine *m, unsigned with, uint64_t to)
{
	static const uint64_t values[][2] = {
		{ 5, 5 }, { 0x7fffffff, 0x8000000080000001 }, { 0x80, 0x7f }, { 0xffffffffffffffff, 1 }, { 0x1234, 0x8881 },
	};
	const uint64_t *v = values[with];

	m->c->regs[RAX] = m->c->regs[R8] = m->c->regs[RSI] = v[0];
	m->c->regs[RCX] = m->c->regs[R9] = v[1];
	m->c->regs[RDI] = DATA + 0x20;
	m->c->regs[RDX] = 0;
	m->c->regs[RBX] = to;
	m->c->regs[RBP] = HOLE;
	m->c->regs[RSP] = M_STACK - 0x100;
	machine_put(m, DATA + 0x20, &v[1], 8);
}
enum { N_VALUES = 5 };

static uint64_t put(struct machine *m, uint64_t at, const struct text *t)
{
	if (t->n)
		machine_put(m, at, t->code, t->n);
	return at + t->n;
}

static uint64_t run(struct machine *m, unsigned with, uint64_t to)
{
	machine_reset(m);
	load_registers(m, with, to);
	cr_expect_eq(machine_run(m, M_CODE), -1);
	return m->c->regs[RBP] & ARITH;
}

/* The code of M_CODE, and the reader: right behind the writer, or beyond a way out. */
static void put_all(struct machine *m, const struct text *w, const struct text *way, const struct text *r, uint64_t to)
{
	uint64_t at = put(m, M_CODE, w);

	if (way) {
		at = put(m, at, way);
		put(m, at, &(struct text){ 2, { 0xff, 0xe3 } });
		at = to;
	}
	at = put(m, at, r);
	machine_put(m, at, at_end, sizeof(at_end));
}

static void check(struct machine *m, const struct text *w, const struct text *r)
{
	uint64_t flags[N_VALUES];

	put_all(m, w, NULL, r, 0);
	for (unsigned with = 0; with < N_VALUES; with++)
		flags[with] = run(m, with, 0);
	for (unsigned i = 0; i < 2 * ARRAY_LEN(ways); i++) {
		uint64_t to = i & 1 ? FAR : NEAR;

		put_all(m, w, &ways[i / 2], r, to);
		for (unsigned with = 0; with < N_VALUES; with++)
			cr_expect_eq(run(m, with, to), flags[with], "writer %d, way %u, reader %d, values %u",
				     (int)(w - writers), i, (int)(r - readers), with);
	}
}

#define TEST_READER(name, r)									\
	TEST_BOTH(note, name)									\
	{											\
		for (unsigned i = 0; i < ARRAY_LEN(writers); i++)				\
			check(m, &writers[i], r);						\
	}

TEST_READER(read_whole, &readers[0])
TEST_READER(partly_overwritten, &readers[1])
TEST_READER(of_carry, &readers[2])
TEST_READER(loaded_to_ah, &readers[3])
TEST_READER(read_by_c, &readers[4])
TEST_READER(shifted_by_a_count, &readers[5])
TEST_READER(of_one_condition, &readers[6])
TEST_READER(changed, &readers[7])
TEST_READER(of_jumps, &jumps)

/* The block that the note comes to does not read it, but faults. */
static void check_frame(struct machine *m, const struct text *t, int vector)
{
	machine_map(m, HOLE, 0);
	for (unsigned i = 0; i < ARRAY_LEN(writers); i++)
		for (unsigned with = 0; with < N_VALUES; with++) {
			uint64_t flags;

			put_all(m, &writers[i], NULL, &readers[0], 0);
			flags = run(m, with, 0);
			put_all(m, &writers[i], &ways[0], t, FAR);
			machine_reset(m);
			load_registers(m, with, FAR);
			cr_expect_eq(machine_run(m, M_CODE), vector);
			cr_expect_eq(machine_frame(m).flags & ARITH, flags, "writer %u, values %u", i, with);
		}
}

TEST_BOTH(note, in_a_frame_of_a_page_fault)
{
	check_frame(m, &(struct text){ 3, { 0x8b, 0x55, 0 } }, EXC_PF);	/* mov edx, [rbp] */
}

TEST_BOTH(note, in_a_frame_of_an_exception)
{
	check_frame(m, &(struct text){ 2, { 0x0f, 0x0b } }, EXC_UD);
}

/* POPF sets a bit that tells notes from flags in what LAHF leaves. */
GUEST(popf, "push 0x8dd\n popfq\n jmp rbx\n")

TEST_BOTH(note, is_none_of_bits_that_a_guest_sets)
{
	GUEST_PUT(m, M_CODE, popf);
	machine_put(m, FAR, at_end, sizeof(at_end));
	cr_expect_eq(run(m, 0, FAR), ARITH);
}
