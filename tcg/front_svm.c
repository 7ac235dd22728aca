/*
 * AMD SVM in the front end: the question whether an instruction of a guest of VMRUN
 * is intercepted, put in front of it, and the instructions of SVM itself.
 *
 * Only blocks of MODE_SVM have such questions. Which intercepts are set is looked
 * up when they execute, so that a VMM may change them without new translations.
 * Source: AMD APM vol. 2, 15.7 to 15.11 and table 15-7 (what comes first), 15.33
 * (EXITINFO1 of decode assists).
 */
#include "cpu/svm.h"
#include "tcg/front.h"

#define NONE OP_NONE

/* Exit code + 1, 0: never intercepted. */
static const uint16_t codes[N_DOES] = {
#define SVM_INSN(does, code) [DOES_##does] = (code) + 1,
#include "cpu/svm.def"
};

/* EXITINFO1 of MOV CR names the general register; of what else touches CR0 nothing. */
#define INFO_MOV_CR	BIT(63)

static int64_t packed(const struct insn *in, unsigned code, unsigned more)
{
	return (int64_t)(code | (uint64_t)in->len << 16 | (uint64_t)more << 24);
}

static int constant(struct front *f, uint64_t v)
{
	emit(f, UOP_mov, 8, OP_T0, OP_IMM, NONE)->imm = (int64_t)v;
	return OP_T0;
}

/* The plain question; a: operand with EXITINFO1, or NONE for 0. */
static void ask(struct front *f, const struct insn *in, unsigned code, int a)
{
	emit_call(f, HELPER_svm_insn, NONE, a == NONE ? constant(f, 0) : a, NONE, packed(in, code, 0));
}

/* LOCK MOV CR0 names CR8 outside 64-bit code. */
static int cr_number(const struct insn *in, int k)
{
	int n = in->opd[k].reg;

	return n == 0 && in->pfx & PFX_LOCK ? 8 : n;
}

static void ask_cr0_write(struct front *f, const struct insn *in, int value, int size, uint64_t info)
{
	emit(f, UOP_zext, 8, OP_T0, value, NONE)->c = (uint8_t)size;
	emit(f, UOP_mov, 8, OP_T1, OP_IMM, NONE)->imm = (int64_t)info;
	emit_call(f, HELPER_svm_cr0_write, NONE, OP_T0, OP_T1, packed(in, SVM_CR_WRITE, 0));
}

static void ask_mov_cr(struct front *f, const struct insn *in, bool write)
{
	int n = cr_number(in, write ? 0 : 1), gpr = in->opd[write ? 1 : 0].reg;
	uint64_t info = INFO_MOV_CR | (unsigned)gpr;

	if (n != 0 && n != 2 && n != 3 && n != 4 && n != 8)
		return;					/* #UD */
	if (write && n == 0)
		ask_cr0_write(f, in, gpr, in->opd[1].size, info);
	else
		ask(f, in, (unsigned)n + (write ? SVM_CR_WRITE : SVM_CR_READ), constant(f, info));
}

/* For LMSW the selective intercept looks at no value (APM vol. 2, 15.9). */
static void ask_lmsw(struct front *f, const struct insn *in)
{
	ask(f, in, SVM_CR_WRITE, NONE);
	ask(f, in, SVM_CR0_SEL_WRITE, NONE);
}

static void ask_mov_dr(struct front *f, const struct insn *in, bool write)
{
	int n = in->opd[write ? 0 : 1].reg & 15;

	ask(f, in, (unsigned)n + (write ? SVM_DR_WRITE : SVM_DR_READ), constant(f, in->opd[write ? 1 : 0].reg));
}

static void ask_invlpg(struct front *f, const struct insn *in)
{
	emit_ea(f, in, OP_T0);
	emit_call(f, HELPER_svm_invlpg, NONE, OP_T0, NONE, packed(in, SVM_INVLPG, in->seg));
}

static void ask_invpcid(struct front *f, const struct insn *in)
{
	emit_ea(f, in, OP_T0);
	emit_call(f, HELPER_svm_invpcid, NONE, OP_T0, in->opd[0].reg, packed(in, SVM_INVPCID, in->seg));
}

/* EXITINFO1 of IN, OUT, INS, OUTS but for the port (APM vol. 2, 15.10.2). */
static unsigned io_info(const struct insn *in, bool in_dir, bool string, int size, int seg)
{
	bool rep = string && in->pfx & (PFX_REP | PFX_REPNE);
	unsigned address = in->adsize == 2 ? 7 : in->adsize == 4 ? 8 : 9;

	return (unsigned)in_dir | (unsigned)string << 2 | (unsigned)rep << 3 | (unsigned)size << 4 |
	       1u << address | (unsigned)seg << 10;
}

static void ask_io(struct front *f, const struct insn *in, int port_opd, unsigned info)
{
	if (port_opd >= 0 && in->opd[port_opd].kind == OPD_IMM)
		constant(f, in->imm & 0xff);
	else
		emit(f, UOP_zext, 8, OP_T0, RDX, NONE)->c = 2;
	emit_call(f, HELPER_svm_io, NONE, OP_T0, NONE, packed(in, SVM_IOIO, info));
}

void front_intercept(struct front *f, const struct insn *in)
{
	unsigned does = insn_row(in)->does, code = codes[does] - 1u;
	int ds = in->seg_override == NO_REG ? DS : in->seg_override;

	if (!codes[does])
		return;
	switch (does) {
	case DOES_mov_cr_read:	ask_mov_cr(f, in, false); break;
	case DOES_mov_cr_write:	ask_mov_cr(f, in, true); break;
	case DOES_mov_dr_read:	ask_mov_dr(f, in, false); break;
	case DOES_mov_dr_write:	ask_mov_dr(f, in, true); break;
	case DOES_lmsw:		ask_lmsw(f, in); break;
	case DOES_invlpg:	ask_invlpg(f, in); break;
	case DOES_invpcid:	ask_invpcid(f, in); break;
	case DOES_rdmsr:	emit_call(f, HELPER_svm_msr, NONE, NONE, NONE, packed(in, code, 0)); break;
	case DOES_wrmsr:	emit_call(f, HELPER_svm_msr, NONE, NONE, NONE, packed(in, code, 1)); break;
	case DOES_int:		ask(f, in, code, constant(f, in->imm & 0xff)); break;
	case DOES_in:		ask_io(f, in, 1, io_info(in, true, false, in->opd[0].size, 0)); break;
	case DOES_out:		ask_io(f, in, 0, io_info(in, false, false, in->opd[1].size, 0)); break;
	case DOES_ins:		ask_io(f, in, -1, io_info(in, true, true, in->opd[0].size, ES)); break;
	case DOES_outs:		ask_io(f, in, -1, io_info(in, false, true, in->opd[1].size, ds)); break;
	default:		ask(f, in, code, NONE);
	}
}

/* ---- VMRUN and its kin: the helper sets cpu->rip ---- */

static void instruction(struct front *f, const struct insn *in, unsigned code)
{
	emit_call(f, HELPER_svm_instruction, NONE, NONE, NONE, packed(in, code, in->adsize));
	emit(f, UOP_exit, 8, NONE, NONE, NONE);
	f->done = true;
}

void front_vmrun(struct front *f, const struct insn *in)	{ instruction(f, in, SVM_VMRUN); }
void front_vmload(struct front *f, const struct insn *in)	{ instruction(f, in, SVM_VMLOAD); }
void front_vmsave(struct front *f, const struct insn *in)	{ instruction(f, in, SVM_VMSAVE); }
void front_stgi(struct front *f, const struct insn *in)		{ instruction(f, in, SVM_STGI); }
void front_clgi(struct front *f, const struct insn *in)		{ instruction(f, in, SVM_CLGI); }
void front_invlpga(struct front *f, const struct insn *in)	{ instruction(f, in, SVM_INVLPGA); }

/* Outside of guests it is for the hypervisor this machine pretends to have. */
void front_vmmcall(struct front *f, const struct insn *in)
{
	if (f->ir->mode & MODE_SVM)
		instruction(f, in, SVM_VMMCALL);
	else
		front_hypercall(f, in);
}
