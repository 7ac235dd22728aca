/*
 * The instruction tables as constants: rows, operand codes, and the index from opcode
 * bytes to rows. All of it is made by the compiler from the .def files, so there is
 * nothing to initialise and any thread may read it. At the end, which rows branch.
 *
 * The index uses that of two initialisers for one array element the later one counts.
 * Source: insn*.def, opds.def.
 * Light.
 */
#include "cpu/cpu.h"
#include "cpu/insn.h"

#ifdef __clang__
#pragma clang diagnostic ignored "-Winitializer-overrides"
#else
#pragma GCC diagnostic ignored "-Woverride-init"
#endif

const struct opd_info opd_info[N_OPD_CODES] = {
#define V SZ_V
#define Z SZ_Z
#define Y SZ_Y
#define N SZ_N
#define P SZ_P
#define A SZ_A
#define S SZ_S
#define X SZ_X
#define HX SZ_HX
#define QX SZ_QX
#define EX SZ_EX
#define OPD(code, place, class, rsize, msize) [OC_##code] = { PL_##place, CL_##class, rsize, msize },
#include "cpu/opds.def"
#undef OPD
#undef V
#undef Z
#undef Y
#undef N
#undef P
#undef A
#undef S
#undef X
#undef HX
#undef QX
#undef EX
};

const char *const opd_names[N_OPD_CODES] = {
#define OPD(code, place, class, rsize, msize) [OC_##code] = #code,
#include "cpu/opds.def"
#undef OPD
};

/* ---- columns ---- */

/* /r: ModRM.reg or -1; what it says about memory and register forms; its slots. */
enum {
#define R_COLUMN(r, reg, attr) R_REG_##r = reg, R_ATTR_##r = attr,
	R_COLUMN(_, -1, 0) R_COLUMN(m, -1, A_MEM) R_COLUMN(r, -1, A_REGF)
#define R_COLUMNS(n) R_COLUMN(n, n, 0) R_COLUMN(n##m, n, A_MEM) R_COLUMN(n##r, n, A_REGF)
	R_COLUMNS(0) R_COLUMNS(1) R_COLUMNS(2) R_COLUMNS(3)
	R_COLUMNS(4) R_COLUMNS(5) R_COLUMNS(6) R_COLUMNS(7)
};

/* Mandatory prefixes. */
#define PFX_COLUMN__ IP_ANY
#define PFX_COLUMN_N IP_NONE
#define PFX_COLUMN_O IP_OPSIZE
#define PFX_COLUMN_66 IP_66
#define PFX_COLUMN_F3 IP_F3
#define PFX_COLUMN_F2 IP_F2

/* Flag sets that occur in the rows. */
enum {
	FS__ = 0,
	FS_o = FL_OF, FS_s = FL_SF, FS_z = FL_ZF, FS_a = FL_AF, FS_p = FL_PF, FS_c = FL_CF,
	FS_oc = FL_OF | FL_CF, FS_os = FL_OF | FL_SF, FS_zc = FL_ZF | FL_CF, FS_ac = FL_AF | FL_CF,
	FS_oa = FL_OF | FL_AF, FS_ap = FL_AF | FL_PF, FS_zpc = FL_ZF | FL_PF | FL_CF,
	FS_osz = FL_OF | FL_SF | FL_ZF, FS_szp = FL_SF | FL_ZF | FL_PF, FS_oac = FL_OF | FL_AF | FL_CF,
	FS_osa = FL_OF | FL_SF | FL_AF, FS_ozc = FL_OF | FL_ZF | FL_CF, FS_sap = FL_SF | FL_AF | FL_PF,
	FS_szpc = FS_szp | FL_CF, FS_szap = FS_szp | FL_AF, FS_oszp = FS_szp | FL_OF,
	FS_osap = FS_osa | FL_PF, FS_oszc = FS_osz | FL_CF,
	FS_oszpc = FS_oszp | FL_CF, FS_oszap = FS_oszp | FL_AF, FS_osapc = FS_osap | FL_CF,
	FS_szapc = FS_szap | FL_CF, FS_oszapc = FL_ARITH,
};

/* Usual attribute sets. */
#define X_X87	(A_FPU | A_HOST)
#define X_MMX	(A_MMX | A_HOST)
#define X_SSE	(A_SSE | A_HOST)
#define X_SSEA	(A_SSE | A_HOST | A_ALIGN)
#define X_VEX	(A_VEX | A_SSE | A_HOST)
#define X_VEXA	(A_VEX | A_SSE | A_HOST | A_ALIGN)

const struct insn_row insn_rows[] = {
#define INSN(op, r, prefix, mnemonic, o1, o2, o3, o4, rd, wr, un, at, feature, function) { \
	.opcode = op, .reg = R_REG_##r, .pfx = PFX_COLUMN_##prefix, .cpuid = F_##feature, \
	.opd = { OC_##o1, OC_##o2, OC_##o3, OC_##o4 }, .name = mnemonic, \
	.opds = #o1 "," #o2 "," #o3 "," #o4, \
	.fl_read = FS_##rd, .fl_written = FS_##wr, .fl_undef = FS_##un, \
	.attr = (at) | R_ATTR_##r, .does = DOES_##function },
#include "cpu/insn.def"
#include "cpu/insn_x87.def"
#include "cpu/insn_sse.def"
#include "cpu/insn_vex.def"
#undef INSN
};
const unsigned n_insn_rows = ARRAY_LEN(insn_rows);
_Static_assert(ARRAY_LEN(insn_rows) == N_ROWS, "row numbers are positions in insn_rows[]");

/* ---- index ---- */

#define MODRM_OPD(code) PL_HAS_MODRM(PLACE_##code)
enum {
#define OPD(code, place, class, rsize, msize) PLACE_##code = PL_##place,
#include "cpu/opds.def"
#undef OPD
};

const uint8_t insn_has_modrm[N_SLOT_OPCODES] = {
#define INSN(op, r, pfx, name, o1, o2, o3, o4, rd, wr, un, at, cpuid, does) \
	[SLOT_OPCODE(OP_BASE(op), (at) & A_VEX)] = OP_IS_FIXED(op) || R_REG_##r >= 0 || \
		MODRM_OPD(o1) || MODRM_OPD(o2) || MODRM_OPD(o3),
#include "cpu/insn.def"
#include "cpu/insn_x87.def"
#include "cpu/insn_sse.def"
#include "cpu/insn_vex.def"
#undef INSN
};

/* First and last slot of a row among the eight memory and the eight register ones. */
#define REG_LO(op, r) (OP_IS_FIXED(op) ? (op) >> 3 & 7 : R_REG_##r < 0 ? 0 : R_REG_##r)
#define REG_HI(op, r) (OP_IS_FIXED(op) ? (op) >> 3 & 7 : R_REG_##r < 0 ? 7 : R_REG_##r)
#define SLOT0(op, at) (SLOT_OPCODE(OP_BASE(op), (at) & A_VEX) * 16)
#define MEM_OFF(op, r) ((R_ATTR_##r & A_REGF) || OP_IS_FIXED(op) ? 8 : 0)
#define REG_OFF(op, r) (R_ATTR_##r & A_MEM ? 0 : 8)
#define SLOTS(op, r, at, off) SLOT0(op, at) + off + REG_LO(op, r) ... SLOT0(op, at) + off + REG_HI(op, r)

const uint16_t insn_slot[N_SLOT_OPCODES * 16] = {
#define INSN_IN(file, op, r, at) \
	[SLOTS(op, r, at, MEM_OFF(op, r))] = ROW_ID(file, __LINE__) + 1, \
	[SLOTS(op, r, at, REG_OFF(op, r))] = ROW_ID(file, __LINE__) + 1,
#define INSN(op, r, pfx, name, o1, o2, o3, o4, rd, wr, un, at, cpuid, does) INSN_IN(INT, op, r, at)
#include "cpu/insn.def"
#undef INSN
#define INSN(op, r, pfx, name, o1, o2, o3, o4, rd, wr, un, at, cpuid, does) INSN_IN(X87, op, r, at)
#include "cpu/insn_x87.def"
#undef INSN
#define INSN(op, r, pfx, name, o1, o2, o3, o4, rd, wr, un, at, cpuid, does) INSN_IN(SSE, op, r, at)
#include "cpu/insn_sse.def"
#undef INSN
#define INSN(op, r, pfx, name, o1, o2, o3, o4, rd, wr, un, at, cpuid, does) INSN_IN(VEX, op, r, at)
#include "cpu/insn_vex.def"
#undef INSN
};

enum insn_flow insn_flow(const struct insn *in)
{
	switch (insn_row(in)->does) {
	case DOES_jcc: case DOES_jcxz: case DOES_loop: case DOES_loope: case DOES_loopne:
		return FLOW_IF;
	case DOES_jmp: case DOES_jmpind: case DOES_jmpf:
	case DOES_call: case DOES_callind: case DOES_callf: case DOES_ret: case DOES_retf: case DOES_iret:
	case DOES_syscall: case DOES_sysret: case DOES_sysenter: case DOES_sysexit:
		return FLOW_AWAY;
	default:
		return FLOW_NEXT;
	}
}

bool insn_is_shift(const struct insn_row *row)
{
	switch (row->does) {
	case DOES_shl: case DOES_shr: case DOES_sar: case DOES_rol: case DOES_ror: case DOES_rcl: case DOES_rcr:
	case DOES_shld: case DOES_shrd:
		return true;
	default:
		return false;
	}
}

uint16_t insn_flags_read(const struct insn_row *row)
{
	if (!insn_is_shift(row))
		return row->fl_read;
	return row->does == DOES_rcl || row->does == DOES_rcr ? FL_CF : 0;
}
