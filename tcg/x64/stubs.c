/*
 * Code that all blocks share: entry and exit of the cache, calls of C helpers,
 * slow memory accesses. Made once, in front of the blocks.
 *
 * "Pinned" are the host registers that hold guest registers. Calls of light C
 * keep rbx, rbp and r12 by the calling convention; the others are written to
 * cpu->regs and read back. rsp is a multiple of 16 in generated code.
 */
#include "tcg/x64/x64.h"

#include "tcg/x64/lower.h"

#define RETURN_STACK 0x10000	/* bytes of host stack for return addresses */
#define XSAVE_MASK 7	/* x87, SSE, AVX */

static const uint8_t pinned[] = { RAX, RCX, RDX, RSI, RDI, R12, R13, R14, R15, RBX, RBP, RSP };
#define N_VOLATILE 10	/* the first so many are not kept: C does not, and rbx holds rsp meanwhile */

static void regs_save(struct code *c, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		store(c, 8, hop_gs(CPU_OFF(regs) + 8 * pinned[i]), x64_usual_regs[pinned[i]]);
}

static void regs_load(struct code *c, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		load(c, 8, x64_usual_regs[pinned[i]], hop_gs(CPU_OFF(regs) + 8 * pinned[i]));
}

static void push(struct code *c, int r)
{
	if (r & 8)
		e8(c, 0x41);
	e8(c, (unsigned)(0x50 | (r & 7)));
}

static void pop(struct code *c, int r)
{
	if (r & 8)
		e8(c, 0x41);
	e8(c, (unsigned)(0x58 | (r & 7)));
}

static void ret(struct code *c) { e8(c, 0xc3); }
static void rsp_add(struct code *c, int n) { alu_ri(c, ALU_ADD, 8, hop_reg(RSP), n); }

/* Call C from wherever the stack pointer is; guest rbx is in cpu->regs. */
static void call_c(struct code *c, const void *fn)
{
	mov_rr(c, 8, RBX, RSP);
	alu_ri(c, ALU_AND, 8, hop_reg(RSP), -16);
	mov_ri(c, RAX, (uint64_t)(uintptr_t)fn);
	ins(c, 0xff, 4, 2, hop_reg(RAX));
	mov_rr(c, 8, RSP, RBX);
}

/* Guest vector state to memory; host defaults for mxcsr and x87. Destroys rax, rdx. */
static void vec_save(struct x64 *x, struct code *c, const uint8_t *mxcsr)
{
	mov_ri(c, RAX, x->host_avx ? XSAVE_MASK : 3);
	mov_ri(c, RDX, 0);
	ins(c, X_0F | 0xae, 8, 4, hop_gs(CPU_OFF(xsave)));	/* xsave64 */
	store_imm(c, 1, hop_gs(CPU_OFF(vec_live)), 0);
	e8(c, 0x0f); e8(c, 0xae); e8(c, 0x15);			/* ldmxcsr [rip + x] */
	e32(c, 0);
	fix32(c, c->p - 4, mxcsr);
	e8(c, 0xdb); e8(c, 0xe3);				/* fninit */
	if (x->host_avx) {
		e8(c, 0xc5); e8(c, 0xf8); e8(c, 0x77);		/* vzeroupper */
	}
}

static void vec_load(struct x64 *x, struct code *c)
{
	/* C may have changed parts of the image that were in their initial state. */
	ins_imm(c, 0x80, 1, ALU_OR, hop_gs(CPU_OFF(xsave) + 512), 1, x->host_avx ? XSAVE_MASK : 3);
	mov_ri(c, RAX, x->host_avx ? XSAVE_MASK : 3);
	mov_ri(c, RDX, 0);
	ins(c, X_0F | 0xae, 8, 5, hop_gs(CPU_OFF(xsave)));	/* xrstor64 */
	store_imm(c, 1, hop_gs(CPU_OFF(vec_live)), 1);
}

/* (v)movups between register n and its place in env: opcode 0x10 loads, 0x11 stores. */
static void move_aside(struct x64 *x, struct code *c, unsigned opcode, unsigned n)
{
	e8(c, 0x65);						/* gs */
	if (x->host_avx) {
		e8(c, 0xc5); e8(c, n & 8 ? 0x7c : 0xfc);
	} else {
		if (n & 8)
			e8(c, 0x44);
		e8(c, 0x0f);
	}
	e8(c, opcode); e8(c, 0x04 | (n & 7) << 3); e8(c, 0x25);	/* [disp32] */
	e32(c, (uint32_t)(ENV_OFF(vec[0]) - GS_AT) + 32 * n);
}

/*
 * For C that may use vector registers but neither looks at the guest's nor uses the x87, whose state is
 * the costly part: the guest's stays where it is.
 */
static void vec_aside(struct x64 *x, struct code *c, const uint8_t *mxcsr)
{
	ins(c, X_0F | 0xae, 4, 3, hop_gs(ENV_OFF(mxcsr)));	/* stmxcsr */
	for (unsigned n = 0; n < 16; n++)
		move_aside(x, c, 0x11, n);
	store_imm(c, 1, hop_gs(CPU_OFF(vec_live)), 0);
	store_imm(c, 1, hop_gs(ENV_OFF(vec_aside)), 1);
	e8(c, 0x0f); e8(c, 0xae); e8(c, 0x15);			/* ldmxcsr [rip + x] */
	e32(c, 0);
	fix32(c, c->p - 4, mxcsr);
	if (x->host_avx) {
		e8(c, 0xc5); e8(c, 0xf8); e8(c, 0x77);		/* vzeroupper */
	}
}

static void vec_back(struct x64 *x, struct code *c)
{
	for (unsigned n = 0; n < 16; n++)
		move_aside(x, c, 0x10, n);
	ins(c, X_0F | 0xae, 4, 2, hop_gs(ENV_OFF(mxcsr)));	/* ldmxcsr */
	store_imm(c, 1, hop_gs(ENV_OFF(vec_aside)), 0);
	store_imm(c, 1, hop_gs(CPU_OFF(vec_live)), 1);
}

static const uint8_t callee_saved[] = { RBX, RBP, R12, R13, R14, R15 };

#define PIECE	32	/* bytes of code that make the flags of one kind and size of note */
#define KINDS	(1 << NOTE_SIZE)

/* rax = a, rcx = b: ends in flags. */
static void make_noted(struct code *c, int kind, int size)
{
	switch (kind) {
	case NOTE_AND:
		alu_rm(c, ALU_AND, size, RAX, hop_reg(RCX));
		break;
	case NOTE_SUB:
		alu_rm(c, ALU_SUB, size, RAX, hop_reg(RCX));
		break;
	case NOTE_DIFFERENCE:
		alu_rm(c, ALU_ADD, 8, RAX, hop_reg(RCX));
		alu_rm(c, ALU_SUB, size, RAX, hop_reg(RCX));
		break;
	case NOTE_SUM:
		alu_rm(c, ALU_SUB, 8, RAX, hop_reg(RCX));
		alu_rm(c, ALU_ADD, size, RAX, hop_reg(RCX));
		break;
	case NOTE_TAKEN:
		alu_rm(c, ALU_SUB, 8, RCX, hop_reg(RAX));
		ins(c, 0xf7, 8, 3, hop_reg(RCX));			/* neg */
		alu_rm(c, ALU_SUB, size, RAX, hop_reg(RCX));
		break;
	case NOTE_GIVEN:
		alu_rm(c, ALU_SUB, 8, RCX, hop_reg(RAX));
		alu_rm(c, ALU_ADD, size, RAX, hop_reg(RCX));
		break;
	}
}

/* Code for each kind and size of a note at equal distances, then what finds it; it does what cpu_noted_cc() does. */
static const uint8_t *make_work_out(struct code *c)
{
	const uint8_t *pieces = here(c), *at;
	uint8_t *end = c->p + 4 * KINDS * PIECE, *small;

	for (int i = 0; i < 4 * KINDS; i++) {
		uint8_t *next = c->p + PIECE;

		make_noted(c, i % KINDS, 1 << i / KINDS);
		jmp_to(c, end + c->rx);
		c->p = next;
	}
	e8(c, 0x9f);							/* lahf */
	ins(c, X_0F | 0x90, 1, 0, hop_reg(RAX));			/* seto al */
	store(c, 2, hop_gs(CPU_OFF(cc)), RAX);
	pop(c, RDX);
	pop(c, RCX);
	pop(c, RAX);
	ret(c);

	at = here(c);
	push(c, RAX);
	push(c, RCX);
	push(c, RDX);
	load(c, 4, RDX, hop_gs(CPU_OFF(cc)));
	ins(c, X_0F | 0xbf, 8, RCX, hop_gs(CPU_OFF(cc) + 2));		/* movsx rcx, word */
	ins(c, 0x84, 1, RDX, hop_reg(RDX));				/* test dl, dl */
	small = jcc_short(c, CC_S ^ 1);
	load(c, 8, RCX, hop_gs(CPU_OFF(note) + 8));
	land8(c, small);
	alu_ri(c, ALU_AND, 4, hop_reg(RDX), 4 * KINDS - 1);
	ins_imm(c, 0xc1, 4, 4, hop_reg(RDX), 1, 5);			/* shl: PIECE */
	lea_rip(c, RAX);
	fix32(c, c->p - 4, pieces);
	alu_rm(c, ALU_ADD, 8, RDX, hop_reg(RAX));
	load(c, 8, RAX, hop_gs(CPU_OFF(note)));
	ins(c, 0xff, 4, 4, hop_reg(RDX));				/* jmp */
	return at;
}

static void make_enter_leave(struct x64 *x, struct code *c, const uint8_t *mxcsr)
{
	struct x64_stubs *s = &x->stubs;
	uint8_t *none;
	union { const uint8_t *p; struct x64_exit (*fn)(const uint8_t *, const uint8_t *); } u = { here(c) };

	s->enter = u.fn;
	for (int i = 0; i < 6; i++)
		push(c, callee_saved[i]);
	rsp_add(c, -8);
	store(c, 8, hop_gs(ENV_OFF(host_rsp)), RSP);
	ins(c, 0x8d, 8, H_TMP, hop_mem(RSP, -RETURN_STACK));
	store(c, 8, hop_gs(ENV_OFF(stack_limit)), H_TMP);
	mov_rr(c, 8, H_TMP, RDI);
	mov_rr(c, 8, H_M, RSI);
	push(c, H_M);			/* where a return without a call goes */
	vec_load(x, c);
	regs_load(c, sizeof(pinned));
	ins(c, 0xff, 4, 4, hop_reg(H_TMP));

	s->host_fault = here(c);
	mov_ri(c, H_M, X64_HOST_FAULT);
	s->leave = here(c);
	regs_save(c, sizeof(pinned));
	ins_imm(c, 0xf6, 1, 0, hop_gs(CPU_OFF(cc) + 1), 1, NOTE >> 8);	/* test */
	none = jcc_short(c, CC_Z);
	call_to(c, s->work_out);
	land8(c, none);
	vec_save(x, c, mxcsr);
	load(c, 8, RSP, hop_gs(ENV_OFF(host_rsp)));
	mov_rr(c, 8, RAX, H_M);
	mov_rr(c, 8, RDX, H_TMP);
	rsp_add(c, 8);
	for (int i = 5; i >= 0; i--)
		pop(c, callee_saved[i]);
	ret(c);
}

/*
 * Ask C where to go on; NULL: leave. r15, or where a call came from, is the second
 * argument. C may raise.
 */
static const uint8_t *make_lookup(struct x64 *x, struct code *c, const void *fn, enum x64_reason why, bool called)
{
	const uint8_t *at = here(c);

	if (called)
		pop(c, H_TMP);
	regs_save(c, sizeof(pinned));
	load(c, 8, RDI, hop_gs(ENV_OFF(self)));
	mov_rr(c, 8, RSI, H_TMP);
	call_c(c, fn);
	ins(c, 0x85, 8, RAX, hop_reg(RAX));
	mov_rr(c, 8, H_M, RAX);
	regs_load(c, N_VOLATILE);
	uint8_t *none = jcc_short(c, CC_Z);
	ins(c, 0xff, 4, 4, hop_reg(H_M));
	land8(c, none);
	mov_ri(c, H_M, why);
	jmp_to(c, x->stubs.leave);
	return at;
}

/* r14 = fn(cpu, r14, r15, return address). */
static void call_access(struct code *c, const void *fn)
{
	regs_save(c, sizeof(pinned));
	load(c, 8, RDI, hop_gs(ENV_OFF(self)));
	mov_rr(c, 8, RSI, H_M);
	mov_rr(c, 8, RDX, H_TMP);
	load(c, 8, RCX, hop_mem(RSP, 0));
	call_c(c, fn);
	mov_rr(c, 8, H_M, RAX);
	regs_load(c, N_VOLATILE);
}

/*
 * r14 is the start of a range, and a call was made in front of whose return address info was pushed: if the range crosses a
 * page, and it is known where to go on without sharing, go there. Destroys r15.
 */
static void fall_back(struct code *c)
{
	uint8_t *fits, *unknown;

	push(c, H_M);
	load(c, 4, H_TMP, hop_mem(RSP, 16));
	ins_imm(c, 0xc1, 4, 5, hop_reg(H_TMP), 1, GROUP_RANGE);		/* shr */
	alu_ri(c, ALU_AND, 4, hop_reg(H_M), 4095);
	alu_rm(c, ALU_ADD, 4, H_M, hop_reg(H_TMP));
	alu_ri(c, ALU_CMP, 4, hop_reg(H_M), 4096);
	fits = jcc_short(c, CC_BE);
	load(c, 8, H_TMP, hop_mem(RSP, 8));
	rorx(c, 8, H_M, hop_reg(H_TMP), 3);
	alu_ri(c, ALU_AND, 4, hop_reg(H_M), (int32_t)FALLBACK_SLOT(~0ull));
	alu_rm(c, ALU_CMP, 8, H_TMP, hop_gsx(H_M, 3, ENV_OFF(fallback_at)));
	unknown = jcc_short(c, CC_NZ);
	rsp_add(c, 24);
	ins(c, 0xff, 4, 4, hop_gsx(H_M, 3, ENV_OFF(fallback_code)));	/* jmp */
	land8(c, fits);
	land8(c, unknown);
	pop(c, H_M);
}

/*
 * The inverse of what a probe does to the address in r14, whose entry is at r15. Another vCPU may have emptied the
 * entry in between (cpu/mmu.c, protect_entry()), which makes it an address of the neighbouring entry: C, which is
 * told, has the instruction started again. Destroys r15.
 */
void x64_make_address(struct code *c, int32_t tag_off)
{
	uint8_t *same;

	ins(c, 0x33, 8, H_M, hop_gsx(H_TMP, 0, tag_off));
	ins_imm(c, 0xc1, 8, 1, hop_reg(H_M), 1, TLB_ROR);		/* ror; the address's entry is at these bits */
	alu_rm(c, ALU_XOR, 4, H_TMP, hop_reg(H_M));
	alu_ri(c, ALU_AND, 4, hop_reg(H_TMP), TLB_MASK);
	ins_imm(c, 0xc1, 8, 0, hop_reg(H_M), 1, TLB_ROR);			/* rol leaves ZF alone */
	same = jcc_short(c, CC_Z);
	store_imm(c, 4, hop_gs(ENV_OFF(raced)), 1);
	land8(c, same);
}

/* The same; without a pointer the call does not return but goes on without shared proofs. */
static const uint8_t *make_group(struct x64 *x, struct code *c, const void *fn, int idx, int write)
{
	const uint8_t *at = here(c);
	uint8_t *some;

	x64_make_address(c, tlb_tag((unsigned)idx, write));
	fall_back(c);
	load(c, 4, H_TMP, hop_mem(RSP, 8));
	call_access(c, fn);
	ins(c, 0x85, 8, H_M, hop_reg(H_M));
	some = jcc_short(c, CC_NZ);
	rsp_add(c, 16);
	jmp_to(c, x->stubs.noshare);
	land8(c, some);
	e8(c, 0xc2); e8(c, 8); e8(c, 0);	/* ret 8 */
	return at;
}

static const uint8_t *make_call(struct code *c, const void *fn)
{
	const uint8_t *at = here(c);

	call_access(c, fn);
	ret(c);
	return at;
}

/* The one that is there, or NULL, and the place of one in the table. */
static const uint8_t *find_thunk(const struct x64 *x, uint32_t info, int32_t tag_off, unsigned *slot)
{
	unsigned i;

	for (; (i = __atomic_load_n(&x->thunk_slot[*slot %= ARRAY_LEN(x->thunk_slot)], __ATOMIC_ACQUIRE)); ++*slot)
		if (x->thunk[i - 1].info == info && x->thunk[i - 1].tag_off == tag_off)
			return x->thunk[i - 1].at;
	return NULL;
}

static const uint8_t *make_slow_thunk(struct x64 *x, uint32_t info, int32_t tag_off, unsigned slot)
{
	struct code *c = &x->thunk_code;
	unsigned i = x->n_thunks;

	if (i == X64_MAX_THUNKS)
		return NULL;
	x->n_thunks++;
	x->thunk[i] = (struct x64_thunk){ info, tag_off, here(c) };
	x64_make_address(c, tag_off);
	mov_ri(c, H_TMP, info);
	jmp_to(c, info & SLOW_LOCK ? x->stubs.probe_slow : x->stubs.halves[info >> SLOW_IDX & 3][info >> SLOW_KIND & PROBE_KIND]);
	if (c->p + c->rx > x->thunk[i].at + X64_THUNK_ROOM)
		__builtin_trap();
	__atomic_store_n(&x->thunk_slot[slot], (uint16_t)(i + 1), __ATOMIC_RELEASE);
	return x->thunk[i].at;
}

/* They are made once and stay, a few dozen in all: whoever makes one has the others wait. */
const uint8_t *x64_slow_thunk(struct x64 *x, uint32_t info, int32_t tag_off)
{
	unsigned slot = (info ^ (uint32_t)tag_off) * 0x9e3779b1u >> 16;
	const uint8_t *at = find_thunk(x, info, tag_off, &slot);

	if (at)
		return at;
	while (atomic_exchange_explicit(&x->making_thunk, true, memory_order_acquire))
		__builtin_ia32_pause();
	at = find_thunk(x, info, tag_off, &slot);
	if (!at)
		at = make_slow_thunk(x, info, tag_off, slot);
	atomic_store_explicit(&x->making_thunk, false, memory_order_release);
	return at;
}

/*
 * Go on at cpu->rip in whatever mode the vCPU is now: through that mode's jump cache, if nothing
 * is to be done first that must_stop() of tcg/find_light.c and requests stand for; dispatch asks C. Not for
 * code that is run in single steps.
 */
static void make_go_on(struct x64 *x, struct code *c)
{
	uint8_t *slow[4];

	x->stubs.go_on = here(c);
	load(c, 4, H_TMP, hop_gs(CPU_OFF(request)));
	alu_rm(c, ALU_OR, 4, H_TMP, hop_gs(ENV_OFF(held)));
	alu_rm(c, ALU_OR, 4, H_TMP, hop_gs(CPU_OFF(dbg.why)));
	alu_rm(c, ALU_OR, 1, H_TMP, hop_gs(CPU_OFF(shadow)));
	alu_rm(c, ALU_OR, 1, H_TMP, hop_gs(CPU_OFF(halted)));
	slow[0] = jcc_short(c, CC_NZ);
	alu_ri(c, ALU_CMP, 4, hop_gs(CPU_OFF(exc_vector)), 0);
	slow[1] = jcc_short(c, CC_S ^ 1);
	load(c, 4, H_T0, hop_gs(CPU_OFF(mode)));
	load(c, 8, H_M, hop_gs(CPU_OFF(rip)));
	ins_imm(c, 0x69, 4, H_TMP, hop_reg(H_T0), 4, (int32_t)JC_MODE_MUL);	/* imul */
	ins_imm(c, 0xc1, 4, 5, hop_reg(H_TMP), 1, 32 - JC_MODE_BITS);		/* shr */
	alu_rm(c, ALU_CMP, 4, H_T0, hop_gsx(H_TMP, 3, ENV_OFF(jc_of[0].mode)));
	slow[2] = jcc_short(c, CC_NZ);
	load(c, 4, H_T0, hop_gsx(H_TMP, 3, ENV_OFF(jc_of[0].first)));
	x64_jump_slot(c);
	alu_rm(c, ALU_ADD, 4, H_TMP, hop_reg(H_T0));
	alu_rm(c, ALU_CMP, 8, H_M, hop_gsx(H_TMP, 3, ENV_OFF(jc_tag)));
	slow[3] = jcc_short(c, CC_NZ);
	ins(c, 0xff, 4, 4, hop_gsx(H_TMP, 3, ENV_OFF(jc_code)));		/* jmp */
	for (int i = 0; i < 4; i++)
		land8(c, slow[i]);
}

/* The stack of return addresses starts anew: a return without a call goes to `miss`. Destroys r15. */
static void empty_stack(struct code *c, const uint8_t *miss)
{
	load(c, 8, RSP, hop_gs(ENV_OFF(host_rsp)));
	x64_push_code(c, miss);
}

/*
 * A return that finds no matching call: r14 has the target, r13 names the return,
 * table t is that of the mode the code was made for. The stack of return addresses
 * starts anew.
 */
static const uint8_t *make_return_miss(struct x64 *x, struct code *c, int t)
{
	const uint8_t *at = here(c);
	uint8_t *miss[3];

	empty_stack(c, at);
	load(c, 4, H_TMP, hop_gs(ENV_OFF(jc_mode) + 4 * t));
	alu_rm(c, ALU_CMP, 4, H_TMP, hop_gs(CPU_OFF(mode)));
	miss[0] = jcc_short(c, CC_NZ);
	alu_ri(c, ALU_CMP, 4, hop_gs(CPU_OFF(request)), 0);
	miss[1] = jcc_short(c, CC_NZ);
	miss[2] = x64_jump_cached(c, t, 4);
	for (int i = 0; i < 2; i++)
		land8(c, miss[i]);
	land32(c, miss[2]);
	store(c, 8, hop_gs(CPU_OFF(rip)), H_M);
	mov_rr(c, 8, H_TMP, H_T0);
	jmp_to(c, x->stubs.indirect);
	return at;
}

/* Whatever has led to C is left behind, the stack of return addresses, too; the guest's registers are in memory. */
static void make_deliver(struct x64 *x, struct code *c, const void *fn)
{
	union { const uint8_t *p; void __attribute__((noreturn)) (*fn)(void); } u = { here(c) };
	uint8_t *none;

	x->stubs.deliver = u.fn;
	empty_stack(c, x->stubs.return_miss[0]);
	load(c, 8, RDI, hop_gs(ENV_OFF(self)));
	call_c(c, fn);
	ins(c, 0x85, 8, RAX, hop_reg(RAX));
	mov_rr(c, 8, H_M, RAX);
	regs_load(c, sizeof(pinned));
	none = jcc_short(c, CC_Z);
	ins(c, 0xff, 4, 4, hop_reg(H_M));
	land8(c, none);
	mov_ri(c, H_M, X64_LOOKUP);
	jmp_to(c, x->stubs.leave);
}

/* Called, with r13 free: return with an empty stack of return addresses. */
static const uint8_t *make_deep(struct x64 *x, struct code *c, int t)
{
	const uint8_t *at = here(c);

	pop(c, H_T0);
	empty_stack(c, x->stubs.return_miss[t]);
	ins(c, 0xff, 4, 4, hop_reg(H_T0));
	return at;
}

static void make_slow(struct x64 *x, struct code *c, const struct x64_callbacks *cb)
{
	struct x64_stubs *s = &x->stubs;

	s->probe_slow = here(c);
	call_access(c, (const void *)(uintptr_t)cb->slow);
	mov_ri(c, H_TMP, 0);		/* where M is [r14 + r15] */
	alu_ri(c, ALU_CMP, 4, hop_gs(ENV_OFF(pend)), 0);
	ret(c);
	for (unsigned i = 0; i < NMMU; i++)
		for (unsigned kind = PROBE_R; kind <= PROBE_RW; kind++)
			s->halves[i][kind] = x64_make_halves(c, i, kind, s->probe_slow);
	for (int i = 0; i < 2 * NMMU; i++)
		s->group[i / 2][i % 2] = make_group(x, c, (const void *)(uintptr_t)cb->group, i / 2, i % 2);
	s->roam = make_call(c, (const void *)(uintptr_t)cb->roam);

	s->commit = here(c);		/* keeps the host's flags */
	e8(c, 0x9c);			/* pushf */
	regs_save(c, sizeof(pinned));
	load(c, 8, RDI, hop_gs(ENV_OFF(self)));
	call_c(c, (const void *)(uintptr_t)cb->commit);
	regs_load(c, N_VOLATILE);
	e8(c, 0x9d);			/* popf */
	ret(c);
	s->commit = x64_make_carry(c, s->commit);

	s->raise = here(c);
	regs_save(c, sizeof(pinned));
	load(c, 8, RDI, hop_gs(ENV_OFF(self)));
	mov_rr(c, 8, RSI, H_M);
	call_c(c, (const void *)(uintptr_t)cb->raise);
}

/* r14 = a, r15 = b, tmp[0] = imm; result in r15. */
static const uint8_t *make_thunk(struct x64 *x, struct code *c, const struct helper_info *h, const uint8_t *mxcsr)
{
	const uint8_t *at = here(c);
	bool light = h->attr & H_LIGHT;

	regs_save(c, sizeof(pinned));
	if (!light)
		vec_save(x, c, mxcsr);
	load(c, 8, RDI, hop_gs(ENV_OFF(self)));
	mov_rr(c, 8, RSI, H_M);
	mov_rr(c, 8, RDX, H_TMP);
	load(c, 8, RCX, hop_gs(CPU_OFF(tmp)));
	call_c(c, (const void *)(uintptr_t)h->fn);
	mov_rr(c, 8, H_TMP, RAX);
	if (!light)
		vec_load(x, c);
	regs_load(c, sizeof(pinned));
	ret(c);
	return at;
}

void x64_make_stubs(struct x64 *x, struct code *c, const struct x64_callbacks *cb)
{
	struct x64_stubs *s = &x->stubs;
	const uint8_t *mxcsr;
	union { const uint8_t *p; void (*fn)(void); } u;

	s->shift_mask = here(c);
	e64(c, 15);
	e64(c, 31);
	e64(c, 63);
	mxcsr = here(c);
	e64(c, 0x1f80);
	u.p = here(c);
	s->vec_save = u.fn;
	vec_save(x, c, mxcsr);
	ret(c);
	u.p = here(c);
	s->vec_load = u.fn;
	vec_load(x, c);
	ret(c);
	u.p = here(c);
	s->vec_aside = u.fn;
	vec_aside(x, c, mxcsr);
	ret(c);
	u.p = here(c);
	s->vec_back = u.fn;
	vec_back(x, c);
	ret(c);
	s->work_out = make_work_out(c);
	make_enter_leave(x, c, mxcsr);
	make_go_on(x, c);
	s->dispatch = make_lookup(x, c, (const void *)(uintptr_t)cb->find, X64_LOOKUP, false);
	s->indirect = make_lookup(x, c, (const void *)(uintptr_t)cb->indirect, X64_LOOKUP, false);
	s->noshare = make_lookup(x, c, (const void *)(uintptr_t)cb->noshare, X64_NOSHARE, false);
	s->link = make_lookup(x, c, (const void *)(uintptr_t)cb->resolve, X64_LINK, true);
	s->guard = make_lookup(x, c, (const void *)(uintptr_t)cb->guard, X64_LOOKUP, false);
	make_slow(x, c, cb);
	for (int t = 0; t < JC_TABLES; t++) {
		s->return_miss[t] = make_return_miss(x, c, t);
		s->deep[t] = make_deep(x, c, t);
	}
	make_deliver(x, c, (const void *)(uintptr_t)cb->deliver);
	for (int of = 0; of < 2; of++) {
		s->save_flags[of] = here(c);
		x64_emit_save(c, of);
		ret(c);
	}
	x->base = (uint8_t *)align_down((uintptr_t)s->shift_mask - (uintptr_t)c->rx, 4096);
	for (int i = 0; i < HELPER_COUNT; i++)
		s->thunk[i] = make_thunk(x, c, &helper_info[i], mxcsr);
	x->thunk_code = *c;
	c->p += X64_MAX_THUNKS * X64_THUNK_ROOM;
}
