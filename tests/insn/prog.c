/* See prog.h. */
#include "tests/insn/prog.h"

#include <string.h>

enum { FUEL = 60, TABLE = 0x400, STACK = USER_LAST + 0xc00, NO_BLOCK = -1 };
/* What RBP points at, seen from the start of the data. */
enum { BASE = 0x1000, READ_ONLY = USER_RO - BASE, HOLE = USER_HOLE - BASE, TABLE_DISP = TABLE - BASE };
/* Room for the last block and the functions. */
enum { LAST_BLOCK = USER_CODE_BYTES - 3200 };
#define ARITH (FL_CF | FL_PF | FL_AF | FL_ZF | FL_SF | FL_OF)

/* ---- bytes ---- */

static unsigned below(struct prog *p, unsigned n) { return rng_below(&p->rng, n); }
static bool one_in(struct prog *p, unsigned n) { return !below(p, n); }
static bool is64(const struct prog *p) { return p->bits == 64; }

static void byte(struct prog *p, unsigned b) { p->code[p->pc++] = (uint8_t)b; }
static void dword(struct prog *p, uint32_t v) { st32(p->code + p->pc, v); p->pc += 4; }

static void text(struct prog *p, const char *bytes, unsigned n)
{
	memcpy(p->code + p->pc, bytes, n);
	p->pc += n;
}
#define TEXT(p, s) text(p, s, sizeof(s) - 1)

/* What was written from `at` on is an instruction, or more that stay together. */
static void piece(struct prog *p, unsigned at, bool fixed)
{
	p->piece[p->n_pieces].at = (uint16_t)at;
	p->piece[p->n_pieces].n = (uint16_t)(p->pc - at);
	p->piece[p->n_pieces++].fixed = fixed;
}

static void to_block(struct prog *p, int to)
{
	p->fix[p->n_fixes].at = (uint16_t)p->pc;
	p->fix[p->n_fixes++].to = (int16_t)to;
	dword(p, 0);
}

/* ---- operands ---- */

static int fuel(const struct prog *p) { return is64(p) ? R15 : RSI; }

static int data_reg(struct prog *p)
{
	int r;

	do
		r = (int)below(p, is64(p) ? 16 : 8);
	while (r == RSP || r == RBP || r == RDI || r == fuel(p));
	return r;
}

/* To read only. */
static int any_reg(struct prog *p)
{
	return one_in(p, 8) ? RSP : one_in(p, 12) ? RBP : one_in(p, 10) ? RDI : data_reg(p);
}

static int size_of(struct prog *p)
{
	static const int sizes[] = { 1, 2, 4, 4, 4, 8, 8 };

	return sizes[below(p, is64(p) ? 7 : 5)];
}

static void prefixes(struct prog *p, int size, int reg, int rm, bool rex)
{
	unsigned v = (size == 8 ? 8 : 0) | (reg > 7 ? 4 : 0) | (rm > 7 ? 1 : 0);

	if (size == 2)
		byte(p, 0x66);
	if (v || rex)
		byte(p, 0x40 | v);
}

/* REX.W where there is one. */
static void wide(struct prog *p)
{
	if (is64(p))
		byte(p, 0x48);
}

static void opcode(struct prog *p, unsigned op)
{
	if (op > 0xff)
		byte(p, op >> 8);
	byte(p, op & 0xff);
}

/* op has the form of bytes; the one of words is the next. Bytes are low or, without REX, high halves of four. */
static void op_rr(struct prog *p, int size, unsigned op, int reg, int rm)
{
	bool rex = size == 1 && is64(p) && (reg > 3 || rm > 3) && (reg > 7 || rm > 7 || one_in(p, 2));

	if (size == 1 && !rex)
		rm = (int)below(p, 8);
	prefixes(p, size, reg, rm, rex);
	opcode(p, op | (size > 1));
	byte(p, 0xc0 | (unsigned)(reg & 7) << 3 | (unsigned)(rm & 7));
}

static int data_disp(struct prog *p)
{
	return one_in(p, 12) ? -(int)below(p, 8) : (int)below(p, 12) * 16 + (one_in(p, 3) ? (int)below(p, 16) : 0);
}

/* [base + disp]; a byte register may be AH to BH. */
static void op_based(struct prog *p, int size, unsigned op, int reg, int base, int disp)
{
	prefixes(p, size, reg, 0, size == 1 && is64(p) && reg > 3 && !one_in(p, 2));
	opcode(p, op | (size > 1));
	byte(p, 0x80 | (unsigned)(reg & 7) << 3 | (unsigned)base);
	dword(p, (uint32_t)disp);
}

static void op_rm(struct prog *p, int size, unsigned op, int reg, int disp)
{
	op_based(p, size, op, reg, RBP, disp);
}

/* Of a byte operation with a memory operand: no register whose high half is meant by chance to be RSP's. */
static int mem_reg(struct prog *p, int size)
{
	int r = data_reg(p);

	return size == 1 && !is64(p) ? r & 3 : r;
}

static void immediate(struct prog *p, int size)
{
	static const uint32_t some[] = {
		0, 1, 0x7f, 0x80, 0xff, 0x7fff, 0x8000, 0xffff, 0x7fffffff, 0x80000000, 0xffffffff, 0xffff8000, 0xffff7fff,
	};
	uint32_t v = one_in(p, 3) ? (uint32_t)rng_next(&p->rng) : some[below(p, ARRAY_LEN(some))];

	for (int i = 0; i < (size > 4 ? 4 : size); i++, v >>= 8)
		byte(p, v);
}

/* ---- instructions ---- */

/* A register that arithmetic of this size may write; RDI's low byte is DH's in 32-bit code. */
static int target(struct prog *p, int size) { return mem_reg(p, size); }

static void alu(struct prog *p)
{
	static const uint8_t ops[] = { 0, 0, 1, 2, 3, 4, 5, 5, 6, 7, 7, 7, 7 };
	unsigned op = ops[below(p, ARRAY_LEN(ops))];
	int size = size_of(p), r = target(p, size);

	switch (below(p, 6)) {
	case 0: case 1:
		op_rr(p, size, op << 3, size > 1 ? any_reg(p) : target(p, size), r);
		break;
	case 2:					/* imm8 or imm32 */
		if (size > 1 && one_in(p, 2)) {
			op_rr(p, size, 0x82, (int)op, r);
			immediate(p, 1);
			break;
		}
		/* fallthrough */
	case 3:
		op_rr(p, size, 0x80, (int)op, r);
		immediate(p, size);
		break;
	case 4:
		op_rm(p, size, op << 3 | 2, r, data_disp(p));
		break;
	default:
		op_rm(p, size, op << 3, r, data_disp(p));
		break;
	}
}

static void test(struct prog *p)
{
	int size = size_of(p), r = target(p, size);

	if (one_in(p, 2)) {
		op_rr(p, size, 0x84, one_in(p, 2) ? r : target(p, size), r);
	} else {
		op_rr(p, size, 0xf6, 0, r);
		immediate(p, size);
	}
}

static void unary(struct prog *p)
{
	int size = size_of(p);

	if (one_in(p, 3))
		op_rm(p, size, 0xfe, (int)below(p, 2), data_disp(p));
	else
		op_rr(p, size, 0xfe, (int)below(p, 2), target(p, size));
}

static void neg_not(struct prog *p)
{
	int size = size_of(p);

	op_rr(p, size, 0xf6, 2 + (int)below(p, 2), target(p, size));
}

static void shift(struct prog *p)
{
	static const uint8_t kinds[] = { 0, 1, 2, 3, 4, 5, 7 };
	int size = size_of(p), kind = kinds[below(p, ARRAY_LEN(kinds))], r = target(p, size);

	switch (below(p, 3)) {
	case 0:
		op_rr(p, size, 0xd0, kind, r);
		break;
	case 1:
		op_rr(p, size, 0xc0, kind, r);
		byte(p, one_in(p, 4) ? 0 : below(p, 7));
		break;
	default:
		op_rr(p, size, 0xd2, kind, r);
		break;
	}
}

static void bit_test(struct prog *p)
{
	int size = is64(p) && one_in(p, 2) ? 8 : 4;

	prefixes(p, size, 0, 0, false);
	TEXT(p, "\x0f\xba");
	byte(p, 0xe0 | below(p, 4) << 3);		/* bt, bts, btr, btc of eax */
	byte(p, below(p, 32));
}

static void move(struct prog *p)
{
	int size = one_in(p, 6) ? size_of(p) : is64(p) ? 8 : 4, r = target(p, size);

	switch (below(p, 6)) {
	case 0: case 1:
		op_rr(p, size, 0x88, size > 1 ? any_reg(p) : target(p, size), r);
		break;
	case 2:
		op_rr(p, size, 0xc6, 0, r);
		immediate(p, size);
		break;
	case 3: case 4:
		op_rm(p, size, 0x8a, r, data_disp(p));
		break;
	default:
		op_rm(p, size, 0x88, r, data_disp(p));
		break;
	}
}

static void lea(struct prog *p)
{
	int r = data_reg(p), b = data_reg(p);

	prefixes(p, is64(p) && one_in(p, 2) ? 8 : 4, r, b, false);
	byte(p, 0x8d);
	byte(p, 0x80 | (unsigned)(r & 7) << 3 | (unsigned)(b & 7));
	if ((b & 7) == RSP)
		byte(p, 0x24);
	dword(p, (uint32_t)rng_next(&p->rng));
}

static void extend(struct prog *p)
{
	int r = data_reg(p), s = (int)below(p, 4);

	prefixes(p, 4, r, s, false);
	TEXT(p, "\x0f");
	byte(p, one_in(p, 2) ? 0xb6 : 0xbe);
	byte(p, 0xc0 | (unsigned)(r & 7) << 3 | (unsigned)s);
}

static void set_or_move(struct prog *p)
{
	int r = data_reg(p), s = any_reg(p);

	if (one_in(p, 2)) {
		r = (int)below(p, 4);
		TEXT(p, "\x0f");
		byte(p, 0x90 | below(p, 16));
		byte(p, 0xc0 | (unsigned)r);
		return;
	}
	prefixes(p, is64(p) && one_in(p, 2) ? 8 : 4, r, s, false);
	TEXT(p, "\x0f");
	byte(p, 0x40 | below(p, 16));
	byte(p, 0xc0 | (unsigned)(r & 7) << 3 | (unsigned)(s & 7));
}

static void push_pop(struct prog *p, int r, bool pop)
{
	prefixes(p, 4, 0, r, false);
	byte(p, (pop ? 0x58 : 0x50) | (unsigned)(r & 7));
}

static void flags_as_a_value(struct prog *p)
{
	switch (below(p, 6)) {
	case 0:
		byte(p, 0x9c);
		push_pop(p, data_reg(p), true);
		break;
	case 1:
		byte(p, 0x9f);				/* lahf */
		break;
	case 2:
		byte(p, 0x9e);				/* sahf */
		break;
	case 3:
		TEXT(p, "\xf5");			/* cmc */
		break;
	case 4:
		byte(p, 0xf8 | below(p, 2));		/* clc, stc */
		break;
	default:					/* pushf, change some, popf */
		byte(p, 0x9c);
		wide(p);
		TEXT(p, "\x81\x34\x24");		/* xor [rsp], imm */
		dword(p, (uint32_t)rng_next(&p->rng) & ARITH);
		byte(p, 0x9d);
		break;
	}
}

static void adc_zero(struct prog *p)
{
	int size = is64(p) && one_in(p, 2) ? 8 : 4;

	op_rr(p, size, 0x82, 2 + (int)below(p, 2), data_reg(p));
	byte(p, 0);
}

static void push_pop_pair(struct prog *p)
{
	push_pop(p, any_reg(p), false);
	if (one_in(p, 3))
		alu(p);
	push_pop(p, data_reg(p), true);
}

static void adjust_stack(struct prog *p)
{
	unsigned by = below(p, 3) * 8;

	wide(p);
	byte(p, 0x83);
	byte(p, one_in(p, 2) ? 0xec : 0xc4);
	byte(p, by);
}

/* Strings of which maybe nothing is done, so that flags stay. */
static void string(struct prog *p)
{
	if (!is64(p))
		return;
	TEXT(p, "\x48\x8d\xb5");			/* lea rsi, [rbp + disp] */
	dword(p, (uint32_t)data_disp(p));
	TEXT(p, "\x48\x8d\xbd");
	dword(p, (uint32_t)data_disp(p));
	TEXT(p, "\xb9");
	dword(p, one_in(p, 2) ? 0 : below(p, 20));
	byte(p, 0xf2 | below(p, 2));
	byte(p, "\xa6\xae\xa4\xaa"[below(p, 4)]);		/* cmpsb, scasb, movsb, stosb */
}

/* What the walking pointer points at. */
static void walk_access(struct prog *p)
{
	static const uint8_t ops[] = { 0x02, 0x2a, 0x3a, 0x8a, 0x8a, 0x22, 0x38, 0x84, 0x12, 0x00, 0x88 };
	int size = size_of(p);

	op_based(p, size, ops[below(p, ARRAY_LEN(ops))], target(p, size), RDI, (int)below(p, 96) - 32);
}

static void walk_step(struct prog *p)
{
	switch (below(p, 8)) {
	case 0:
		wide(p);
		TEXT(p, "\x8d\xbd");			/* lea rdi, [rbp + disp] */
		dword(p, (uint32_t)data_disp(p));
		break;
	case 1: case 2: case 3:
		wide(p);
		TEXT(p, "\x8d\x7f");
		byte(p, one_in(p, 4) ? 0xf8 : 1u << below(p, 6));
		break;
	default:
		wide(p);
		byte(p, 0x83);
		byte(p, one_in(p, 4) ? 0xef : 0xc7);
		byte(p, one_in(p, 2) ? 8 : 1u << below(p, 6));
		break;
	}
}

/* Those that change ZF, or CF, and no more; and some that are done by C. */
static void odd(struct prog *p)
{
	switch (below(p, 5)) {
	case 0:
		TEXT(p, "\xb9");			/* mov ecx, */
		dword(p, one_in(p, 2) ? 0x2b : 0);
		TEXT(p, "\x0f\x02\xd1");		/* lar edx, ecx */
		break;
	case 1:
		if (is64(p) && one_in(p, 2))
			byte(p, 0x48);
		TEXT(p, "\x0f\xc7\x8d");		/* cmpxchg8b [rbp + disp], or 16b */
		dword(p, below(p, 12) * 16);
		break;
	case 2:
		TEXT(p, "\x0f\xb1\x95");		/* cmpxchg [rbp + disp], edx */
		dword(p, (uint32_t)data_disp(p));
		break;
	case 3:
		TEXT(p, "\x0f\xc1\x9d");		/* xadd [rbp + disp], ebx */
		dword(p, (uint32_t)data_disp(p));
		break;
	default:
		TEXT(p, "\x66\x0f\x2e\xc1");		/* ucomisd */
		break;
	}
}

/* Sometimes; control is to go on behind it. */
static void fault(struct prog *p)
{
	unsigned at = p->pc;
	bool store = one_in(p, 3);

	if (!one_in(p, 3)) {
		move(p);
		return;
	}
	op_rm(p, is64(p) && one_in(p, 2) ? 8 : 4, store ? 0x88 : 0x8a, data_reg(p),
	      (store ? READ_ONLY : HOLE) + (int)below(p, 4000));
	p->behind[at] = (uint16_t)p->pc;
}

static void short_skip(struct prog *p);

static void instruction(struct prog *p)
{
	static void (*const all[])(struct prog *) = {
		alu, alu, alu, alu, alu, alu, test, test, unary, unary, neg_not, shift, shift, bit_test, adc_zero,
		move, move, move, move, lea, extend, set_or_move, set_or_move, flags_as_a_value, flags_as_a_value,
		push_pop_pair, adjust_stack, string, odd, walk_access, walk_access, walk_access, walk_step,
		fault, short_skip,
	};
	unsigned at = p->pc;
	void (*make)(struct prog *) = all[below(p, ARRAY_LEN(all))];

	make(p);
	if (make != short_skip)
		piece(p, at, false);
}

/* ---- flow ---- */

/* A conditional jump over what follows. */
static void short_skip(struct prog *p)
{
	unsigned at = p->pc;

	byte(p, one_in(p, 8) ? 0xe3 : 0x70 | below(p, 16));
	byte(p, 0);
	piece(p, at, false);
	for (unsigned n = 1 + below(p, 3); n; n--)
		instruction(p);
	if (p->pc - at - 2 > 127)
		memcpy(p->code + at, "\x66\x90", 2);	/* too far */
	else
		p->code[at + 1] = (uint8_t)(p->pc - at - 2);
}

/* Take one; to the end if there is none. RCX is as it was, as flags are. */
static void pay(struct prog *p)
{
	unsigned at = p->pc, over, out;

	if (is64(p))
		TEXT(p, "\x4c\x87\xf9\x48\x8d\x49\xff\xe3");	/* xchg rcx, r15; lea rcx, [rcx - 1]; jrcxz */
	else
		TEXT(p, "\x87\xce\x8d\x49\xff\xe3");
	out = p->pc++;
	if (is64(p))
		TEXT(p, "\x4c\x87\xf9");
	else
		TEXT(p, "\x87\xce");
	byte(p, 0xeb);
	over = p->pc++;
	p->code[out] = (uint8_t)(p->pc - out - 1);
	byte(p, 0xe9);
	to_block(p, NO_BLOCK);
	p->code[over] = (uint8_t)(p->pc - over - 1);
	piece(p, at, true);
}

/* A block that may be gone to from here without paying. */
static int next_block(struct prog *p)
{
	unsigned left = p->n_blocks - (unsigned)p->block - 1;
	int to = (int)below(p, p->n_blocks);

	if (one_in(p, 3))				/* a loop, perhaps */
		to = p->block - (int)below(p, 4);
	if (to >= 0 && (p->pays[to] || to > p->block))
		return to;
	return left ? p->block + 1 + (int)below(p, left < 4 ? left : 4) : NO_BLOCK;
}

/* An entry of the table, which has blocks that pay only: by BL or a part of it, or always the same. */
static void load_target(struct prog *p, int r, int index)
{
	unsigned at = p->pc;
	bool fixed = one_in(p, 2);

	if (!fixed) {
		prefixes(p, 4, index, 0, false);
		TEXT(p, "\x0f\xb6");
		byte(p, 0xc3 | (unsigned)(index & 7) << 3);	/* movzx index, bl */
	}
	prefixes(p, is64(p) ? 8 : 4, r, fixed ? 0 : index, false);
	if (!fixed && index > 7)
		p->code[p->pc - 1] = (uint8_t)((p->code[p->pc - 1] & ~1) | 2);
	byte(p, 0x8b);
	if (fixed) {
		byte(p, 0x85 | (unsigned)(r & 7) << 3);
		dword(p, (uint32_t)TABLE_DISP + 8 * below(p, 256));
	} else {
		byte(p, 0x84 | (unsigned)(r & 7) << 3);
		byte(p, 0xc5 | (unsigned)(index & 7) << 3);	/* rbp + index * 8 */
		dword(p, (uint32_t)TABLE_DISP);
	}
	piece(p, at, true);
}

/* Flags made behind the last look at memory, with that register kept. */
static void late_flags(struct prog *p, int keep)
{
	static const uint8_t ops[] = { 0x00, 0x20, 0x28, 0x30, 0x38, 0x38, 0x38, 0x84 };
	unsigned at = p->pc;
	int r;

	do
		r = data_reg(p);
	while (r == keep);
	op_rr(p, is64(p) && one_in(p, 2) ? 8 : 4, ops[below(p, ARRAY_LEN(ops))], any_reg(p), r);
	piece(p, at, false);
}

static void indirect(struct prog *p, bool call)
{
	int r = data_reg(p);
	unsigned at;

	load_target(p, r, data_reg(p));
	if (one_in(p, 2))
		late_flags(p, r);
	at = p->pc;
	if (!call && one_in(p, 4)) {
		push_pop(p, r, false);
		byte(p, 0xc3);
	} else {
		prefixes(p, 4, 0, r, false);
		byte(p, 0xff);
		byte(p, (call ? 0xd0 : 0xe0) | (unsigned)(r & 7));
	}
	piece(p, at, true);
}

static void direct(struct prog *p, unsigned op, int to)
{
	unsigned at = p->pc;

	opcode(p, op);
	to_block(p, to);
	piece(p, at, op > 0xff);
}

static void call(struct prog *p)
{
	if (one_in(p, 3))
		indirect(p, true);
	else
		direct(p, 0xe8, next_block(p));
	p->paid = one_in(p, 2);
	if (p->paid)
		pay(p);
}

/* It comes back once. */
static void call_function(struct prog *p)
{
	direct(p, 0xe8, PROG_BLOCKS + (int)below(p, PROG_FUNCS));
}

/* A block that pays. */
static int paying_block(struct prog *p)
{
	int to = (int)below(p, p->n_blocks);

	while (!p->pays[to])
		to--;			/* the first one does */
	return to;
}

/* The function is to return to a block. */
static void change_return(struct prog *p)
{
	unsigned at = p->pc;
	int r = data_reg(p);

	prefixes(p, is64(p) ? 8 : 4, r, 0, false);
	byte(p, 0x8b);
	byte(p, 0x85 | (unsigned)(r & 7) << 3);
	dword(p, (uint32_t)TABLE_DISP + 8 * below(p, 256));
	prefixes(p, is64(p) ? 8 : 4, r, 0, false);
	byte(p, 0x89);
	byte(p, 0x04 | (unsigned)(r & 7) << 3);		/* mov [rsp], r */
	byte(p, 0x24);
	piece(p, at, true);
}

static void make_function(struct prog *p)
{
	unsigned at;

	for (unsigned n = below(p, 7); n; n--) {
		instruction(p);
		if (one_in(p, 5))
			direct(p, 0x0f80 | below(p, 16), paying_block(p));
	}
	if (one_in(p, 6))
		change_return(p);
	if (one_in(p, 2))
		late_flags(p, RSP);
	at = p->pc;
	byte(p, 0xc3);
	piece(p, at, true);
}

static void end_block(struct prog *p)
{
	unsigned at;

	switch (below(p, 12)) {
	case 0: case 1: case 2: case 3: case 4:
		direct(p, 0x0f80 | below(p, 16), next_block(p));
		break;
	case 5: case 6:
		indirect(p, false);
		return;
	case 7: case 8: case 9:
		if (!p->paid)
			break;			/* it might come back here for nothing */
		at = p->pc;
		if (one_in(p, 6))
			TEXT(p, "\xc2\x08\x00");
		else
			byte(p, 0xc3);
		piece(p, at, true);
		return;
	}
	direct(p, 0xe9, next_block(p));
	p->piece[p->n_pieces - 1].fixed = true;
}

static void make_block(struct prog *p)
{
	p->paid = p->pays[p->block];
	if (p->paid)
		pay(p);
	if (one_in(p, 3))			/* nobody in front of it need have flags */
		late_flags(p, RSP);
	for (int parts = 1 + (int)one_in(p, 3); parts; parts--) {
		for (unsigned n = below(p, 7); n; n--)
			instruction(p);
		if (one_in(p, 4))
			call(p);
		else if (one_in(p, 3))
			call_function(p);
	}
	end_block(p);
}

/* Side by side, some at the end of a page, some on another one. */
static void place_block(struct prog *p)
{
	unsigned page = p->pc & ~4095u;

	if (p->dense)
		return;
	switch (below(p, 8)) {
	case 0:
		if (p->pc < page + 4096 - 48)
			p->pc = page + 4096 - below(p, 48);
		break;
	case 1:
		p->pc = page + 4096 + below(p, 512);
		break;
	case 2: case 3:
		p->pc += below(p, 48);
		break;
	}
}

static void bind(struct prog *p)
{
	for (unsigned i = 0; i < p->n_fixes; i++) {
		uint32_t from = USER_CODE + p->fix[i].at + 4, to = USER_CODE + p->at[p->fix[i].to < 0 ? 0 : p->fix[i].to];

		if (p->fix[i].to == NO_BLOCK)
			to = is64(p) ? USER_EPI : USER_EPI32;
		st32(p->code + p->fix[i].at, to - from);
	}
}

void prog_make(struct prog *p)
{
	struct rng rng = p->rng;
	int bits = p->bits;

	memset(p, 0, sizeof(*p));
	p->rng = rng;
	p->bits = bits;
	memset(p->code, 0xcc, sizeof(p->code));
	p->n_blocks = 3 + below(p, one_in(p, 2) ? 8 : PROG_BLOCKS - 3);
	p->dense = one_in(p, 2);
	for (unsigned i = 0; i < p->n_blocks; i++)
		p->pays[i] = !i || one_in(p, 2);
	p->pc = 64 + below(p, 4096);
	for (p->block = 0; p->block < (int)p->n_blocks; p->block++) {
		place_block(p);
		if (p->pc > LAST_BLOCK)
			p->pc = LAST_BLOCK;
		if (p->pc == LAST_BLOCK)
			p->n_blocks = (unsigned)p->block + 1;	/* no more room; jumps to those are mended below */
		p->at[p->block] = (uint16_t)p->pc;
		make_block(p);
	}
	for (unsigned i = 0; i < p->n_fixes; i++)
		if (p->fix[i].to >= (int)p->n_blocks && p->fix[i].to < PROG_BLOCKS)
			p->fix[i].to = NO_BLOCK;
	for (unsigned i = 0; i < PROG_FUNCS; i++) {
		if (p->pc < LAST_BLOCK - 5000)
			place_block(p);
		p->at[PROG_BLOCKS + i] = (uint16_t)p->pc;
		make_function(p);
	}
	bind(p);
}

/* ---- states ---- */

static uint64_t value(struct prog *p)
{
	static const uint64_t some[] = { 0, 1, 2, 0x7f, 0x80, 0xff, 0x7fff, 0x8000, 0x7fffffff, 0x80000000, 0xffffffff,
		0x100000000, 0x7fffffffffffffff, 0x8000000000000000, 0xffffffffffffffff };

	return one_in(p, 3) ? rng_next(&p->rng) : some[below(p, ARRAY_LEN(some))];
}

static uint64_t some_block(struct prog *p)
{
	unsigned i;

	do
		i = below(p, p->n_blocks);
	while (!p->pays[i]);
	return USER_CODE + p->at[i];
}

void prog_state(struct prog *p, struct user_state *s, uint8_t data[USER_DATA_BYTES])
{
	uint64_t v[3] = { value(p), value(p), value(p) };
	int word = is64(p) ? 8 : 4;

	user_state_init(s);
	for (int r = 0; r < NGPR; r++)
		s->regs[r] = one_in(p, 2) ? v[below(p, 3)] : value(p);
	for (int i = 0; i < USER_DATA_BYTES; i += 8)
		st64(data + i, one_in(p, 2) ? v[below(p, 3)] : value(p));
	for (int i = 0; i < 256; i++)
		st64(data + TABLE + 8 * i, some_block(p));
	for (int i = 0; i < 4096; i += word)
		st_n(data + USER_LAST + i, word, some_block(p));
	s->regs[RBP] = USER_DATA + BASE;
	s->regs[RDI] = USER_DATA + BASE + below(p, 4096);
	s->regs[RSP] = USER_DATA + STACK;
	s->regs[fuel(p)] = 1 + below(p, FUEL);
	s->flags = 0x202 | (rng_next(&p->rng) & ARITH);
	s->rip = one_in(p, 2) ? some_block(p) : (uint64_t)USER_CODE + p->at[0];
	if (!is64(p))
		for (int r = 0; r < NGPR; r++)
			s->regs[r] = r < 8 ? (uint32_t)s->regs[r] : 0;
}
