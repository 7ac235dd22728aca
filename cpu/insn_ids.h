/*
 * Enumerations made from the tables: operand codes, semantic functions, row numbers.
 * Rows are known by file and line (ROW_INT_<line>), because nothing else about a row
 * is short and unique; code outside cpu/ tells rows apart by insn_row().
 */
#ifndef CPU_INSN_IDS_H
#define CPU_INSN_IDS_H

/* Operand codes: OC_Eb, ... */
enum opd_code {
#define OPD(code, place, class, rsize, msize) OC_##code,
#include "cpu/opds.def"
#undef OPD
	N_OPD_CODES
};

/* Semantic functions: DOES_add, ... */
enum insn_does {
#define DOES(name) DOES_##name,
#include "cpu/does.def"
#undef DOES
	N_DOES
};

#define ROW_ID2(file, line) ROW_##file##_##line
#define ROW_ID(file, line) ROW_ID2(file, line)
enum insn_row_id {
#define INSN(...) ROW_ID(INT, __LINE__),
#include "cpu/insn.def"
#undef INSN
#define INSN(...) ROW_ID(X87, __LINE__),
#include "cpu/insn_x87.def"
#undef INSN
#define INSN(...) ROW_ID(SSE, __LINE__),
#include "cpu/insn_sse.def"
#undef INSN
#define INSN(...) ROW_ID(VEX, __LINE__),
#include "cpu/insn_vex.def"
#undef INSN
	N_ROWS
};

/* Where an operand is encoded, and what a register there is: the columns of opds.def. */
enum opd_place {
	PL_NONE,
	/* From here on the opcode has a ModRM byte. */
	PL_REG,		/* ModRM.reg */
	PL_RM,		/* ModRM.rm: register or memory */
	PL_RMR,		/* ModRM.rm: register whatever mod says */
	PL_VSIB,	/* memory with a vector index */
	PL_VVVV,	/* VEX.vvvv */
	PL_IS4,		/* bits 7..4 of an immediate byte */
	/* From here on it has none because of the operand. */
	PL_OPC,		/* low three opcode bits */
	PL_IMM, PL_IMMS,	/* zero-, sign-extended immediate */
	PL_ONE,		/* the number 1 */
	PL_REL, PL_FAR, PL_MOFFS,
	PL_SI,		/* DS:rSI, overridable */
	PL_DI,		/* ES:rDI */
	PL_DIDS,	/* DS:rDI, overridable */
	PL_BX,		/* DS:rBX, overridable */
	PL_FIX0, PL_FIX1, PL_FIX2, PL_FIX3, PL_FIX4, PL_FIX5,	/* that register number */
};
#define PL_HAS_MODRM(p) ((int)(p) >= PL_REG && (int)(p) <= PL_IS4)

enum opd_class { CL_NONE, CL_GPR, CL_SEG, CL_CR, CL_DR, CL_ST, CL_MM, CL_VEC };

/* Sizes that depend on the instruction; smaller numbers are bytes. */
enum opd_size {
	SZ_V = 0x80, SZ_Z, SZ_Y, SZ_N, SZ_P, SZ_A, SZ_S, SZ_X, SZ_HX, SZ_QX, SZ_EX,
};

struct opd_info {
	uint8_t place, class, rsize, msize;
};
extern const struct opd_info opd_info[N_OPD_CODES];
extern const char *const opd_names[N_OPD_CODES];

/*
 * Slots: the index from bytes to rows. A slot number is the opcode's (map and byte,
 * see SLOT_OPCODE), then one bit "ModRM.mod is 3", then ModRM.reg; opcodes without a
 * ModRM byte use 0 for both. insn_slot[] holds the number of the last row that may fit,
 * plus one, or 0; the other candidates stand right before that row.
 */
enum { MAP_0, MAP_0F, MAP_0F38, MAP_0F3A, MAP_VEX_0F, MAP_VEX_0F38, MAP_VEX_0F3A, N_MAPS };
#define N_SLOT_OPCODES (N_MAPS * 256)
extern const uint16_t insn_slot[N_SLOT_OPCODES * 16];
extern const uint8_t insn_has_modrm[N_SLOT_OPCODES];

/* The opcode column without a fixed ModRM byte, and whether there is one. */
#define OP_IS_FIXED(op) ((op) > 0xffff ? ((op) >> 8 & 0xff) != 0x38 && ((op) >> 8 & 0xff) != 0x3a \
				       : (op) > 0xff && (op) >> 8 != 0x0f)
#define OP_BASE(op) (OP_IS_FIXED(op) ? (op) >> 8 : (op))
#define OP_MAP(op) ((op) > 0xffff ? ((op) >> 8 & 0xff) == 0x38 ? MAP_0F38 : MAP_0F3A : \
		    (op) > 0xff ? MAP_0F : MAP_0)
/* base: an OP_BASE(). vex: 0 or 1. */
#define SLOT_OPCODE(base, vex) ((OP_MAP(base) + ((vex) ? MAP_VEX_0F - MAP_0F : 0)) * 256 + ((base) & 0xff))

#endif
