/*
 * x87 instructions for the µop interpreter, by the x87 at hand: the guest's
 * state is loaded into the host's, the very instruction is executed there, and
 * the state is taken back. Rounding, NaNs, unmasked responses, stack faults,
 * condition codes are thus right by construction.
 *
 * An instruction is executed by one of 576 stubs, an x87 instruction and a RET
 * each: for eight opcodes, eight memory forms through RDI and 64 register forms.
 * The state travels in the 108 bytes of FRSTOR and FNSAVE, whose handling is the
 * same on every processor. FNSAVE does not wait, so that an unmasked exception
 * stays in the saved status word and never reaches the host process.
 *
 * Not modelled: hosts other than x86-64, IGNNE#, the last data pointer.
 * Source: SDM vol. 1 chapter 8, figures 8-9, 10-2; vol. 2 FRSTOR, FXSAVE.
 */
#include "cpu/fpu.h"

#include <string.h>

#include "cpu/mmu.h"
#include "cpu/phys.h"

/* ---- the image in cpu->xsave ---- */

enum { X_FCW = 0, X_FSW = 2, X_FTW = 4, X_FOP = 6, X_FIP = 8, X_FDP = 16, X_ST = 32 };

#define FCW_INIT	0x037fu
#define FSW_EXC		0x003fu		/* IE DE ZE OE UE PE */
#define FSW_SF		0x0040u
#define FSW_BUSY	0x8000u

/* Error summary and busy as masks and flags demand. */
static uint16_t summary(uint16_t fcw, uint16_t fsw)
{
	fsw &= ~(FSW_ES | FSW_BUSY);
	return fsw & ~fcw & FSW_EXC ? fsw | FSW_ES | FSW_BUSY : fsw;
}

/* ---- the host's x87 ---- */

/* Opcode D8+i, memory form /m: at (i * 8 + m) * 4; register form with ModRM r: at 256 + (i * 64 + r - 0xc0) * 4. */
extern const char x87_stubs[];
asm(".pushsection .text\n"
    ".p2align 6\n"
    "x87_stubs:\n"
    "	.set op, 0xd8\n"
    "	.rept 8\n"
    "		.set m, 0x07\n"
    "		.rept 8\n"
    "			.byte op, m, 0xc3, 0xcc\n"
    "			.set m, m + 8\n"
    "		.endr\n"
    "		.set op, op + 1\n"
    "	.endr\n"
    "	.set op, 0xd8\n"
    "	.rept 8\n"
    "		.set m, 0xc0\n"
    "		.rept 64\n"
    "			.byte op, m, 0xc3, 0xcc\n"
    "			.set m, m + 1\n"
    "		.endr\n"
    "		.set op, op + 1\n"
    "	.endr\n"
    ".popsection\n");

static const char *stub(unsigned opcode, unsigned modrm)
{
	unsigned i = opcode & 7;

	if (modrm < 0xc0)
		return x87_stubs + (i * 8 + (modrm >> 3 & 7)) * 4;
	return x87_stubs + 256 + (i * 64 + (modrm & 63)) * 4;
}

/* What FRSTOR loads and FNSAVE stores in 64-bit and 32-bit protected mode. */
struct fsave {
	uint16_t fcw, r0, fsw, r1, ftw, r2;
	uint32_t fip, fcs_fop, fdp, fds;
	uint8_t st[8][10];
};
_Static_assert(sizeof(struct fsave) == 108, "FNSAVE writes 108 bytes");

/*
 * Load s, execute the stub with RDI = mem and flags as LAHF has them in *ah,
 * store s. The host's control word is left as it was, its register stack empty.
 */
static void run(struct fsave *s, const char *code, void *mem, uint32_t *cc)
{
	uint16_t host_cw;
	uint32_t ax = *cc;

	asm volatile("fnstcw %[cw]\n\t"
		     "frstor %[s]\n\t"
		     "lea -128(%%rsp), %%rsp\n\t"	/* CALL must not touch the red zone */
		     "sahf\n\t"
		     "call *%[code]\n\t"
		     "lahf\n\t"
		     "seto %%al\n\t"
		     "lea 128(%%rsp), %%rsp\n\t"
		     "fnsave %[s]\n\t"
		     "fldcw %[cw]"
		     : [s] "+m"(*s), [cw] "=m"(host_cw), "+a"(ax)
		     : [code] "r"(code), "D"(mem)
		     : "cc", "memory", "st", "st(1)", "st(2)", "st(3)", "st(4)", "st(5)", "st(6)", "st(7)");
	*cc = (ax & 0xff00) | (ax & 1);
}

static void load_state(const struct cpu *c, struct fsave *s)
{
	const uint8_t *x = c->xsave;

	memset(s, 0, sizeof(*s));
	s->fcw = ld16(x + X_FCW);
	s->fsw = ld16(x + X_FSW) & ~(FSW_EXC | FSW_SF | FSW_ES | FSW_BUSY);
	for (int i = 0; i < 8; i++) {
		if (!(x[X_FTW] >> i & 1))
			s->ftw |= 3 << (2 * i);
		memcpy(s->st[i], x + X_ST + 16 * i, 10);
	}
}

/* Exception flags are sticky; the rest is what the instruction made of it. */
static void store_state(struct cpu *c, const struct fsave *s)
{
	uint8_t *x = c->xsave;
	uint16_t old = ld16(x + X_FSW) & (FSW_EXC | FSW_SF);

	st16(x + X_FSW, summary(s->fcw, s->fsw | old));
	x[X_FTW] = 0;
	for (int i = 0; i < 8; i++) {
		if ((s->ftw >> (2 * i) & 3) != 3)
			x[X_FTW] |= 1 << i;
		memcpy(x + X_ST + 16 * i, s->st[i], 10);
	}
}

/* ---- instructions ---- */

/* FCOMI, FUCOMI and their popping forms write ZF, PF, CF and clear OF, SF, AF. */
static bool sets_flags(unsigned opcode, unsigned modrm)
{
	return (opcode == 0xdb || opcode == 0xdf) && modrm >= 0xe8 && modrm <= 0xf7;
}

/* FERR# instead of #MF: the instruction waits for the interrupt that follows. */
static void __attribute__((noreturn)) wait_for_ferr(struct cpu *c)
{
	if (c->board.ferr)
		c->board.ferr(c->board.opaque, c);
	c->exc_vector = -1;
	c->unwind(c);
}

void fpu_check_pending(struct cpu *c)
{
	if (!(ld16(c->xsave + X_FSW) & FSW_ES))
		return;
	if (c->cr0 & CR0_NE)
		cpu_raise(c, EXC_MF);
	wait_for_ferr(c);
}

/* The registers stay where they are; the image, which begins at the stack's top, turns. */
static void fninit(struct cpu *c)
{
	uint8_t *x = c->xsave, old[8 * 16];
	unsigned top = ld16(x + X_FSW) >> 11 & 7;

	memcpy(old, x + X_ST, sizeof(old));
	for (unsigned i = 0; i < 8; i++)
		memcpy(x + X_ST + 16 * i, old + 16 * ((i - top) & 7), 16);
	st16(x + X_FCW, FCW_INIT);
	st16(x + X_FSW, 0);
	x[X_FTW] = 0;
	st16(x + X_FOP, 0);
	st64(x + X_FIP, 0);
	st64(x + X_FDP, 0);
}

/* Instructions that do not look at pending exceptions. False: another one. */
static bool no_wait(struct cpu *c, unsigned opcode, unsigned modrm, uint8_t *mem)
{
	uint8_t *x = c->xsave;
	unsigned reg = modrm >> 3 & 7;

	if (modrm < 0xc0) {
		if ((opcode != 0xd9 && opcode != 0xdd) || reg != 7)
			return false;
		st16(mem, ld16(x + (opcode == 0xd9 ? X_FCW : X_FSW)));	/* fnstcw, fnstsw m16 */
		return true;
	}
	if (opcode == 0xdf && modrm == 0xe0) {				/* fnstsw ax */
		st16(&c->regs[RAX], ld16(x + X_FSW));
		return true;
	}
	if (opcode != 0xdb || reg != 4)
		return false;
	if (modrm == 0xe2)						/* fnclex */
		st16(x + X_FSW, ld16(x + X_FSW) & ~(FSW_EXC | FSW_SF | FSW_ES | FSW_BUSY));
	else if (modrm == 0xe3)
		fninit(c);
	return true;							/* fneni, fndisi, fnsetpm: nothing */
}

static void fldcw(struct cpu *c, uint16_t v)
{
	st16(c->xsave + X_FCW, (v & 0x1f3f) | 0x40);
	st16(c->xsave + X_FSW, summary(v, ld16(c->xsave + X_FSW)));
}

void x87_exec(struct cpu *c, const struct insn *in, uint8_t *mem)
{
	unsigned opcode = insn_row(in)->opcode, modrm = in->modrm;
	struct fsave s;
	uint32_t cc = c->cc;

	if (opcode > 0xff)
		opcode >>= 8;
	if (opcode != 0x9b && no_wait(c, opcode, modrm, mem))
		return;
	fpu_check_pending(c);
	if (opcode == 0x9b)
		return;
	if (opcode == 0xd9 && modrm < 0xc0 && (modrm >> 3 & 7) == 5) {
		fldcw(c, ld16(mem));
		return;
	}
	load_state(c, &s);
	run(&s, stub(opcode, modrm), mem, &cc);
	store_state(c, &s);
	if (sets_flags(opcode, modrm))
		c->cc = cc;
	st16(c->xsave + X_FOP, (uint16_t)((opcode & 7) << 8 | modrm));
	st64(c->xsave + X_FIP, c->rip);
}

/* ---- order of faults ---- */

/* The instruction at rip, if it can be fetched: else the fault was that of fetching it. */
static bool current_insn(struct cpu *c, struct insn *in)
{
	struct insn_env env = { .mode = c->mode, .feat = { c->insn_feat[0], c->insn_feat[1] } };
	uint64_t va = cpu_is64(c) ? c->rip : (uint32_t)(c->rip + c->segs[CS].base), pa;
	uint8_t bytes[15];
	unsigned n = 0;
	uint32_t pf;

	while (n < sizeof(bytes) && mmu_fetch_page(c, (va + n) & ~4095ull, &pa, NULL, &pf)) {
		uint64_t off = (va + n) & 4095, k = min_u64(4096 - off, sizeof(bytes) - n);

		phys_read_buf(c->phys, (pa & ~4095ull) + off, bytes + n, k);
		n += (unsigned)k;
	}
	return insn_decode(bytes, n, &env, in) == INSN_OK;
}

static bool waits(const struct insn *in)
{
	switch (insn_row(in)->does) {
	case DOES_x87: case DOES_fldcw: case DOES_fldenv: case DOES_frstor:
		return true;
	case DOES_vec:			/* CVTPI2PS and CVTPI2PD do not look if the operand is in memory */
		return insn_row(in)->attr & A_MMX && !(in->opd[0].kind == OPD_XMM && in->opd[1].kind == OPD_MEM);
	default:
		return insn_row(in)->attr & A_MMX;
	}
}

void fpu_error_first(struct cpu *c)
{
	int v = c->exc_vector;
	struct insn in;

	if (!(ld16(c->xsave + X_FSW) & FSW_ES) || !(c->cr0 & CR0_NE) || c->exc_delivering >= 0)
		return;
	if ((v != EXC_PF && v != EXC_GP && v != EXC_SS && v != EXC_AC) || !current_insn(c, &in) || !waits(&in))
		return;
	c->exc_vector = EXC_MF;
	c->exc_has_error = false;
}
