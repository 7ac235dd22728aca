/*
 * Host x86-64 encoder: one call, one instruction.
 *
 * An assembler buffer has two addresses, because code memory is mapped twice:
 * bytes are written through `p`, and run at p + rx. The caller makes sure that
 * there is room. Source: SDM vol. 2, chapter 2 (formats) and appendix B.
 */
#ifndef TCG_X64_EMIT_H
#define TCG_X64_EMIT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/bits.h"
#include "cpu/cpu.h"

/* Host registers carry the numbers of enum RAX.. in cpu/cpu.h. */

/* Places in code that depend on where the guest's code stands, noted as they are written. */
#define MAX_MOVES	48u
struct moves {
	unsigned n;			/* more than MAX_MOVES: some are missing */
	struct {
		uint8_t *at;
		bool entry;		/* a displacement to an entry of the TLB, else an eight-byte immediate */
	} place[MAX_MOVES];
};

struct code {
	uint8_t *p;		/* next byte to write */
	uint8_t *end;
	intptr_t rx;		/* what to add to a write address to get where it runs */
	struct moves *moves;	/* of eight-byte immediates, or NULL */
};

static inline void note_move(struct moves *m, uint8_t *at, bool entry)
{
	if (m && m->n++ < MAX_MOVES) {
		m->place[m->n - 1].at = at;
		m->place[m->n - 1].entry = entry;
	}
}

/* A host operand that ModRM.rm can name. */
enum { HOP_REG, HOP_HI /* ah..bh */, HOP_MEM, HOP_GS, HOP_GSX };
struct hop {			/* as large as a register */
	uint8_t kind;
	uint8_t reg;		/* register, or base of memory */
	uint8_t index, scale;	/* HOP_MEM: index register or 0xff; HOP_GSX: reg << scale is the index */
	int32_t disp;
};

static inline struct hop hop_reg(int r) { return (struct hop){ HOP_REG, (uint8_t)r, 0xff, 0, 0 }; }
static inline struct hop hop_hi(int r) { return (struct hop){ HOP_HI, (uint8_t)r, 0xff, 0, 0 }; }
static inline struct hop hop_mem(int base, int32_t disp)
{
	return (struct hop){ HOP_MEM, (uint8_t)base, 0xff, 0, disp };
}
static inline struct hop hop_sib(int base, int index, int scale, int32_t disp)
{
	return (struct hop){ HOP_MEM, (uint8_t)base, (uint8_t)index, (uint8_t)scale, disp };
}
/*
 * gs points at the inline TLB for reads of user code, inside struct cpu: its probes need no displacement. All
 * offsets that functions take are offsets in struct cpu.
 */
#define GS_AT	((int32_t)offsetof(struct cpu, tlb[MMU_USER]))
/* gs:[disp - GS_AT]: a field of struct cpu. */
static inline struct hop hop_gs(int32_t disp) { return (struct hop){ HOP_GS, 0, 0xff, 0, disp }; }
/* gs:[(reg << scale) + disp - GS_AT]. */
static inline struct hop hop_gsx(int reg, int scale, int32_t disp)
{
	return (struct hop){ HOP_GSX, (uint8_t)reg, 0xff, (uint8_t)scale, disp };
}

/* Opcode argument of ins(): low byte, map and mandatory prefix. */
#define X_0F	0x100u
#define X_0F38	0x200u
#define X_0F3A	0x300u
#define X_MAP	0x300u
#define X_66	0x1000u
#define X_F3	0x2000u
#define X_F2	0x4000u
#define X_RM8	0x8000u		/* rm is a byte register although size is not 1 */
#define X_HIREG	0x10000u	/* the reg field names AH..BH (0..3) */
#define X_LOCK	0x20000u

/* One instruction of operand size 1, 2, 4 or 8 (66 and REX.W follow from it). */
void ins(struct code *c, unsigned op, int size, int reg, struct hop rm);
/* The same followed by an immediate of n bytes. */
void ins_imm(struct code *c, unsigned op, int size, int reg, struct hop rm, int n, int64_t imm);
/* VEX: map 1..3, pp 0..3, W, L. */
void ins_vex(struct code *c, int map, int pp, int w, int l, int op, int reg, int vvvv, struct hop rm);

static inline void e8(struct code *c, unsigned v) { *c->p++ = (uint8_t)v; }
static inline void e32(struct code *c, uint32_t v) { st32(c->p, v); c->p += 4; }
static inline void e64(struct code *c, uint64_t v) { st64(c->p, v); c->p += 8; }

/* Where the next byte will run. */
static inline uint8_t *here(const struct code *c) { return c->p + c->rx; }

/* Common forms. */
enum { ALU_ADD, ALU_OR, ALU_ADC, ALU_SBB, ALU_AND, ALU_SUB, ALU_XOR, ALU_CMP };
void mov_rr(struct code *c, int size, int d, int s);		/* size 4, 8; nothing if d == s and 8 */
void mov_ri(struct code *c, int d, uint64_t v);			/* shortest form */
void load(struct code *c, int size, int d, struct hop m);	/* sizes 1, 2 zero-extend */
void store(struct code *c, int size, struct hop m, int s);
void store_imm(struct code *c, int size, struct hop m, int32_t v);
void alu_ri(struct code *c, int op, int size, struct hop d, int32_t v);
void alu_rm(struct code *c, int op, int size, int d, struct hop s);	/* d op= s */
void rorx(struct code *c, int size, int d, struct hop s, int n);
void lea_rip(struct code *c, int d);				/* d = where the next instruction runs; its disp32 comes last */

/* Jumps. The returned address (writable) is that of the rel32 to fill in. */
uint8_t *jmp_rel32(struct code *c);
uint8_t *jcc_rel32(struct code *c, int cc);
void jmp_to(struct code *c, const uint8_t *rx_target);
void jcc_to(struct code *c, int cc, const uint8_t *rx_target);
void call_to(struct code *c, const uint8_t *rx_target);
/* Short forward jump: the address of its rel8, for land8(). */
uint8_t *jcc_short(struct code *c, int cc);
uint8_t *jmp_short(struct code *c);
void land8(struct code *c, uint8_t *at);
/* Make the rel32 at `at` (writable address) arrive at an executable address / here. Light. */
static inline void fix32(const struct code *c, uint8_t *at, const uint8_t *rx_target)
{
	__atomic_store_n((uint32_t *)(void *)at, (uint32_t)(rx_target - (at + 4 + c->rx)), __ATOMIC_RELEASE);
}
static inline void land32(struct code *c, uint8_t *at) { fix32(c, at, here(c)); }

#endif
