/*
 * Accesses that cross a page's end where the inline table knows both pages: without C, whose call alone
 * costs more than all of this.
 *
 * If the host has both pages side by side one pointer reaches the operand. Otherwise what is read is put together in
 * cpu->bounce, and what is written there is carried to both pages behind the instruction. tcg/slow_light.c does the
 * same for other sizes, and for pages that are to be found first.
 */
#include "tcg/x64/x64.h"

#define PAGE	4096
#define WIDEST	32	/* bytes of an operand */
_Static_assert(sizeof(((struct cpu *)0)->bounce) >= 2 * WIDEST, "cpu->bounce has room for as much of both pages");

static void push(struct code *c, int r) { e8(c, (unsigned)(0x50 | r)); }
static void pop(struct code *c, int r) { e8(c, (unsigned)(0x58 | r)); }

static void bounce_address(struct code *c, int r)
{
	load(c, 8, r, hop_gs(ENV_OFF(self)));
	alu_ri(c, ALU_ADD, 8, hop_reg(r), CPU_OFF(bounce));
}

/* r = where the host has linear address r, if the table knows its page; else the jump is taken. Destroys rcx. */
static uint8_t *look_up(struct code *c, int r, int32_t tag_off)
{
	uint8_t *missed;

	rorx(c, 8, RCX, hop_reg(r), TLB_ROR);
	alu_ri(c, ALU_AND, 4, hop_reg(RCX), TLB_MASK);
	alu_rm(c, ALU_XOR, 8, r, hop_gsx(RCX, 0, tag_off));
	alu_ri(c, ALU_CMP, 8, hop_reg(r), PAGE - 1);
	missed = jcc_rel32(c, CC_A);
	alu_rm(c, ALU_ADD, 8, r, hop_gsx(RCX, 0, tag_off + (int32_t)offsetof(struct tlb_entry, host)));
	return missed;
}

/*
 * rsi = the operand's first byte in the host, rdx = the second page, r14 = the linear address: r14 = a copy. Up to eight
 * bytes stand in one register, because the host is slow to read what was stored in pieces.
 */
static void join_word(struct code *c)
{
	alu_ri(c, ALU_OR, 8, hop_reg(RSI), PAGE - 1);
	load(c, 8, RAX, hop_mem(RSI, -7));
	load(c, 8, RDX, hop_mem(RDX, 0));
	mov_rr(c, 4, RCX, R14);
	ins_imm(c, 0xc1, 4, 4, hop_reg(RCX), 1, 3);	/* bits of the first page's last eight bytes in front of it, modulo 64 */
	ins(c, X_0F | 0xad, 8, RDX, hop_reg(RAX));	/* shrd rax, rdx, cl */
	store(c, 8, hop_gs(CPU_OFF(bounce)), RAX);
	bounce_address(c, R14);
}

static void join_wide(struct code *c)
{
	alu_ri(c, ALU_OR, 8, hop_reg(RSI), PAGE - 1);
	for (int i = 0; i < WIDEST; i += 8) {
		load(c, 8, RAX, hop_mem(RSI, i + 1 - WIDEST));
		load(c, 8, RCX, hop_mem(RDX, i));
		store(c, 8, hop_gs(CPU_OFF(bounce) + i), RAX);
		store(c, 8, hop_gs(CPU_OFF(bounce) + WIDEST + i), RCX);
	}
	bounce_address(c, RAX);
	alu_ri(c, ALU_OR, 8, hop_reg(R14), -PAGE);	/* less the bytes on the first page */
	ins(c, 0x8d, 8, R14, hop_sib(RAX, R14, 0, WIDEST));
}

/* eax bytes from rsi on, and from rdx on behind the page's end, will be written. */
static void await(struct code *c)
{
	store(c, 4, hop_gs(ENV_OFF(pend)), RAX);
	store(c, 8, hop_gs(ENV_OFF(pend_va)), R14);
	store(c, 8, hop_gs(ENV_OFF(pend_host[0])), RSI);
	store(c, 8, hop_gs(ENV_OFF(pend_host[1])), RDX);
}

static void leave(struct code *c)
{
	pop(c, RSI);
	pop(c, RDX);
	pop(c, RCX);
	pop(c, RAX);
}

static void make_bounce(struct code *c, unsigned kind)
{
	uint8_t *wide, *over;

	alu_ri(c, ALU_AND, 8, hop_reg(RDX), -PAGE);
	if (kind & PROBE_W)
		await(c);
	if (kind == PROBE_W) {
		bounce_address(c, R14);
	} else if (kind == PROBE_RW) {		/* of eight bytes at most */
		join_word(c);
	} else {
		alu_ri(c, ALU_CMP, 4, hop_reg(RAX), 8);
		wide = jcc_short(c, CC_A);
		join_word(c);
		over = jmp_rel32(c);
		land8(c, wide);
		join_wide(c);
		land32(c, over);
	}
	leave(c);
	if (kind & PROBE_W)
		ins(c, 0x85, 8, RSP, hop_reg(RSP));	/* not ZF: through cpu->bounce */
	else
		mov_ri(c, R15, 0);
	e8(c, 0xc3);
}

const uint8_t *x64_make_halves(struct code *c, unsigned idx, unsigned kind, const uint8_t *slow)
{
	int32_t tag_off = tlb_tag(idx, kind & PROBE_W);
	const uint8_t *at = here(c);
	uint8_t *fail[6], *apart;

	push(c, RAX);
	push(c, RCX);
	push(c, RDX);
	push(c, RSI);
	_Static_assert(SLOW_SIZE == 0xff, "a byte");
	load(c, 1, RAX, hop_reg(R15));
	ins(c, 0x8d, 8, RDX, hop_sib(R14, RAX, 0, -1));
	mov_rr(c, 4, RCX, RDX);
	alu_rm(c, ALU_XOR, 4, RCX, hop_reg(R14));
	ins_imm(c, 0xf7, 4, 0, hop_reg(RCX), 4, PAGE);			/* test: is the last byte on the next page? */
	fail[0] = jcc_rel32(c, CC_Z);
	alu_ri(c, ALU_CMP, 4, hop_reg(RAX), kind == PROBE_RW ? 8 : WIDEST);
	fail[1] = jcc_rel32(c, CC_A);
	alu_rm(c, ALU_CMP, 4, RDX, hop_reg(RAX));			/* in 32-bit code there must be one */
	fail[2] = jcc_rel32(c, CC_C);
	mov_rr(c, 8, RSI, R14);
	fail[3] = look_up(c, RSI, tag_off);
	fail[4] = look_up(c, RDX, tag_off);
	alu_ri(c, ALU_CMP, 4, hop_gs(ENV_OFF(raced)), 0);
	fail[5] = jcc_rel32(c, CC_NZ);
	ins(c, 0x8d, 8, RCX, hop_sib(RSI, RAX, 0, -1));
	alu_rm(c, ALU_CMP, 8, RCX, hop_reg(RDX));
	apart = jcc_short(c, CC_NZ);
	mov_rr(c, 8, R14, RSI);
	leave(c);
	mov_ri(c, R15, 0);						/* where M is [r14 + r15] */
	ins(c, 0x85, 4, R15, hop_reg(R15));				/* ZF: in place */
	e8(c, 0xc3);
	land8(c, apart);
	make_bounce(c, kind);
	for (int i = 0; i < 6; i++)
		land32(c, fail[i]);
	leave(c);
	jmp_to(c, slow);
	return at;
}

/* ---- behind a write ---- */

/* A piece of what is less than 2 * n bytes long: its first n bytes and its last, which may overlap. */
static void copy_ends(struct code *c, int n)
{
	load(c, n, RAX, hop_mem(RSI, 0));
	load(c, n, RDX, hop_sib(RSI, RCX, 0, -n));
	store(c, n, hop_mem(RDI, 0), RAX);
	store(c, n, hop_sib(RDI, RCX, 0, -n), RDX);
}

/* ecx bytes, 1 to 31, from rsi to rdi. Destroys rax, rdx. */
static const uint8_t *make_copy(struct code *c)
{
	const uint8_t *at = here(c);
	uint8_t *less;

	for (int n = 16; n >= 2; n /= 2) {
		alu_ri(c, ALU_CMP, 4, hop_reg(RCX), n);
		less = jcc_short(c, CC_C);
		if (n == 16) {
			for (int i = 0; i < 16; i += 8) {
				load(c, 8, RAX, hop_mem(RSI, i));
				load(c, 8, RDX, hop_sib(RSI, RCX, 0, i - 16));
				store(c, 8, hop_mem(RDI, i), RAX);
				store(c, 8, hop_sib(RDI, RCX, 0, i - 16), RDX);
			}
		} else {
			copy_ends(c, n);
		}
		e8(c, 0xc3);
		land8(c, less);
	}
	copy_ends(c, 1);
	e8(c, 0xc3);
	return at;
}

static const uint8_t kept[] = { RAX, RCX, RDX, RSI, RDI };

static void keep(struct code *c)
{
	push(c, RAX);
	e8(c, 0x9f);						/* lahf */
	ins(c, X_0F | 0x90, 1, 0, hop_reg(RAX));		/* seto al */
	for (unsigned i = 0; i < sizeof(kept); i++)
		push(c, kept[i]);
}

static void restore(struct code *c)
{
	for (unsigned i = sizeof(kept); i-- > 0;)
		pop(c, kept[i]);
	e8(c, 0x04); e8(c, 0x7f);				/* add al, 127 */
	e8(c, 0x9e);						/* sahf */
	pop(c, RAX);
}

const uint8_t *x64_make_carry(struct code *c, const uint8_t *slow)
{
	const uint8_t *copy = make_copy(c), *at = here(c);
	uint8_t *other[2];

	keep(c);
	load(c, 8, RDI, hop_gs(ENV_OFF(pend_host[0])));
	ins(c, 0x85, 8, RDI, hop_reg(RDI));
	other[0] = jcc_rel32(c, CC_Z);
	load(c, 4, RCX, hop_gs(ENV_OFF(pend)));
	alu_ri(c, ALU_CMP, 4, hop_reg(RCX), WIDEST);
	other[1] = jcc_rel32(c, CC_A);
	bounce_address(c, RSI);
	mov_rr(c, 4, RCX, RDI);
	ins(c, 0xf7, 4, 3, hop_reg(RCX));			/* neg */
	alu_ri(c, ALU_AND, 4, hop_reg(RCX), PAGE - 1);
	call_to(c, copy);
	alu_rm(c, ALU_ADD, 8, RSI, hop_reg(RCX));
	ins(c, 0xf7, 4, 3, hop_reg(RCX));
	alu_rm(c, ALU_ADD, 4, RCX, hop_gs(ENV_OFF(pend)));
	load(c, 8, RDI, hop_gs(ENV_OFF(pend_host[1])));
	call_to(c, copy);
	store_imm(c, 4, hop_gs(ENV_OFF(pend)), 0);
	restore(c);
	e8(c, 0xc3);
	for (int i = 0; i < 2; i++)
		land32(c, other[i]);
	restore(c);
	jmp_to(c, slow);
	return at;
}
