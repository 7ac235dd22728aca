/* Random states; see state.h. */
#include <string.h>

#include "cpu/cpu.h"
#include "tests/insn/state.h"

#define MIDDLE (NATIVE_SCRATCH / 2)

struct gen state_gen(uint64_t seed)
{
	return (struct gen){
		.rng = { seed }, .mode = MODE_CODE64, .scratch = true, .base = STATE_BASE,
		.max_disp = STATE_MAX_DISP, .avoid = 1u << RSP | 1u << STATE_BASE,
		.lock = true, .rep = true,
	};
}

/* Numbers at the edges are as likely as any others. */
static uint64_t number(struct rng *r)
{
	static const uint64_t edges[] = {
		0, 1, 2, 0x7f, 0x80, 0xff, 0x7fff, 0x8000, 0xffff, 0x7fffffff, 0x80000000, 0xffffffff,
		0x7fffffffffffffff, 0x8000000000000000, 0xffffffffffffffff, 0x0f, 0x10, 0x99,
	};
	switch (rng_below(r, 4)) {
	case 0: return edges[rng_below(r, ARRAY_LEN(edges))];
	case 1: return rng_below(r, 256);
	default: return rng_next(r);
	}
}

static float float_number(struct rng *r)
{
	static const float some[] = { 0, 1, -1, 0.5f, 2, 3, 1e10f, -1e-10f };

	return some[rng_below(r, ARRAY_LEN(some))];
}

static void fill(struct rng *r, uint8_t *p, size_t n)
{
	for (size_t i = 0; i + 8 <= n; i += 8) {
		float f[2] = { float_number(r), float_number(r) };
		uint64_t v = number(r);
		memcpy(p + i, rng_below(r, 3) ? (void *)&v : (void *)f, 8);
	}
}

/* st0 .. st7: small integers, so that comparisons find equal ones. */
static void fill_x87(struct rng *r, struct native_state *s)
{
	s->x87[4] = 0xff;
	for (int i = 0; i < 8; i++) {
		st64(s->x87 + 32 + 16 * i, 0x8000000000000000);
		st16(s->x87 + 40 + 16 * i, (uint16_t)(0x3fff + rng_below(r, 3) + (rng_below(r, 4) ? 0 : 0x8000)));
	}
}

/* A gather's index elements must be small; its mask may be anything. */
static void fix_gather(struct rng *r, const struct insn *in, struct native_state *s)
{
	for (int i = 0; i < 32; i += 8)
		st64(s->ymm[in->index] + i, rng_below(r, 64));
}

static bool is_bit_string(const struct insn *in)
{
	unsigned does = insn_row(in)->does;

	return (does == DOES_bt || does == DOES_bts || does == DOES_btr || does == DOES_btc) &&
	       in->opd[0].kind == OPD_MEM && in->opd[1].kind == OPD_REG;
}

/* The last assignment wins where an instruction uses a register for two things. */
static void fix_addresses(struct rng *r, const struct insn *in, struct native_state *s)
{
	unsigned does = insn_row(in)->does;
	uint64_t middle = native_scratch() + MIDDLE;

	s->gpr[RSP] = middle - 1024;
	s->gpr[STATE_BASE] = middle;
	if (is_bit_string(in))
		s->gpr[in->opd[1].reg] = (uint64_t)(int64_t)((int)rng_below(r, 8192) - 4096);
	if (insn_row(in)->attr & A_REP) {
		s->gpr[RCX] = rng_below(r, 9);
		s->gpr[RSI] = middle + rng_below(r, 64);
		s->gpr[RDI] = middle + rng_below(r, 64);
	}
	if (does == DOES_vec_maskmov)
		s->gpr[RDI] = middle;
	if (does == DOES_xlat)
		s->gpr[RBX] = middle;
	if (does == DOES_loop || does == DOES_loope || does == DOES_loopne || does == DOES_jcxz)
		s->gpr[RCX] = rng_below(r, 3);
	if (does == DOES_vec_gather)
		fix_gather(r, in, s);
}

void state_random(struct rng *r, const struct insn *in, struct native_state *s)
{
	native_state_init(s);
	for (int i = 0; i < 16; i++)
		s->gpr[i] = number(r);
	s->flags = (uint32_t)rng_next(r) & FL_ARITH;
	if (insn_row(in)->attr & A_REP)
		s->flags |= (uint32_t)rng_next(r) & FL_DF;
	fill(r, s->mem, sizeof(s->mem));
	fill(r, &s->ymm[0][0], sizeof(s->ymm));
	fill_x87(r, s);
	fix_addresses(r, in, s);
}

bool state_can_run(const struct insn_row *row)
{
	static const uint16_t no[] = {
		/* the kernel, modes, thread-local storage, TF */
		DOES_syscall, DOES_sysret, DOES_sysenter, DOES_sysexit, DOES_int, DOES_int3, DOES_int1,
		DOES_iret, DOES_retf, DOES_callf, DOES_jmpf, DOES_popf, DOES_rsm, DOES_ud, DOES_lds,
		DOES_mov_sreg_load, DOES_pop_seg, DOES_wrfsbase, DOES_wrgsbase, DOES_wrpkru,
		/* depends on the machine */
		DOES_rdtsc, DOES_rdtscp, DOES_rdpmc, DOES_rdpid, DOES_rdrand, DOES_rdseed, DOES_cpuid,
		DOES_xgetbv, DOES_rdpkru, DOES_rdfsbase, DOES_rdgsbase, DOES_mov_sreg_store, DOES_push_seg,
		DOES_sldt, DOES_str, DOES_smsw, DOES_sgdt, DOES_sidt, DOES_lar, DOES_lsl, DOES_verr,
		DOES_verw, DOES_in, DOES_out, DOES_ins, DOES_outs, DOES_monitor, DOES_mwait, DOES_cli,
		DOES_sti, DOES_pushf,
		/* more than registers and scratch memory */
		DOES_fxsave, DOES_fxrstor, DOES_xsave, DOES_xrstor, DOES_xsaveopt, DOES_xsavec,
		DOES_fldenv, DOES_frstor, DOES_fnsave, DOES_fnstenv, DOES_fldcw, DOES_ldmxcsr,
	};

	if (row->attr & (A_PRIV | A_NO64))
		return false;
	for (size_t i = 0; i < ARRAY_LEN(no); i++)
		if (row->does == no[i])
			return false;
	return true;
}

bool state_can_run_insn(const struct insn *in)
{
	bool into_itself = in->opd[0].kind == OPD_REL && in->imm < 0 && in->imm >= -in->len;

	return state_can_run(insn_row(in)) && !into_itself;
}
