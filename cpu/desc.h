/*
 * Descriptors, stacks under segment rules, and the pieces of control transfer
 * that far jumps, interrupts, IRET and task switches share. Private to
 * cpu/{seg,far,except*,task,smm,syscall}.c. Light.
 *
 * Everything here works on local copies. A transfer computes the new CS, SS and
 * stack pointer into locals, writes memory, and only then stores registers, so
 * that a fault on the way leaves the processor as it was.
 *
 * `ext` is the EXT bit of error codes: 1 while an external event or a fault is
 * being delivered, else 0.
 */
#ifndef CPU_DESC_H
#define CPU_DESC_H

#include "cpu/access.h"
#include "cpu/cpu.h"

/* ---- descriptors ---- */

struct desc {
	uint32_t lo, hi;
	uint64_t va;		/* linear address, to set the accessed or busy bit */
};

/* System descriptor types (SDM vol. 3A, table 3-2). */
enum {
	SYS_TSS16 = 1, SYS_LDT = 2, SYS_TSS16_BUSY = 3, SYS_CALL16 = 4, SYS_TASK_GATE = 5,
	SYS_INT16 = 6, SYS_TRAP16 = 7, SYS_TSS = 9, SYS_TSS_BUSY = 11, SYS_CALL = 12,
	SYS_INT = 14, SYS_TRAP = 15,
};
#define TYPE_BUSY	2u
#define TYPE_ACCESSED	1u
#define TYPE_W		2u	/* data: writable */
#define TYPE_R		2u	/* code: readable */
#define TYPE_E		4u	/* data: expand-down */
#define TYPE_C		4u	/* code: conforming */
#define TYPE_CODE	8u

/* Attributes of descriptors, in the form of struct seg.attr. */
#define ATTR_DATA	0x93u	/* present, writable data, accessed, DPL 0 */
#define ATTR_CODE	0x9bu	/* present, readable code, accessed, DPL 0 */
#define ATTR_VM86	0xf3u
#define ATTR_DPL(n)	((uint32_t)(n) << 5)

static inline uint32_t desc_attr(const struct desc *d)	{ return d->hi >> 8 & 0xf0ff; }
static inline int desc_dpl(const struct desc *d)	{ return d->hi >> 13 & 3; }
static inline int desc_type(const struct desc *d)	{ return d->hi >> 8 & 15; }
static inline bool desc_s(const struct desc *d)		{ return d->hi >> 12 & 1; }
static inline bool desc_p(const struct desc *d)		{ return d->hi >> 15 & 1; }
static inline uint32_t desc_base(const struct desc *d)
{
	return d->lo >> 16 | (d->hi & 0xff) << 16 | (d->hi & 0xff000000);
}
static inline uint32_t desc_limit(const struct desc *d)
{
	uint32_t l = (d->lo & 0xffff) | (d->hi & 0xf0000);

	return d->hi >> 23 & 1 ? l << 12 | 0xfff : l;
}
/* Gates: the offset's low 32 bits, and the selector. */
static inline uint32_t gate_off(const struct desc *d)	{ return (d->lo & 0xffff) | (d->hi & 0xffff0000); }
static inline uint16_t gate_sel(const struct desc *d)	{ return d->lo >> 16; }

static inline bool attr_is_code(uint32_t a)		{ return (a & (SEG_S | TYPE_CODE)) == (SEG_S | TYPE_CODE); }
static inline bool attr_is_conforming(uint32_t a)	{ return attr_is_code(a) && a & TYPE_C; }
static inline bool attr_is_data(uint32_t a)		{ return (a & (SEG_S | TYPE_CODE)) == SEG_S; }
static inline bool attr_is_wdata(uint32_t a)		{ return attr_is_data(a) && a & TYPE_W; }
static inline bool sel_null(uint16_t sel)		{ return !(sel & ~3); }
#define SEL_ERR(sel, ext) (((sel) & 0xfffcu) | (uint32_t)(ext))

/* Read the descriptor of a selector. False: beyond its table (or no LDT). */
bool desc_read(struct cpu *c, uint16_t sel, struct desc *d);
/* The same; beyond the table: raise `vector` with the selector. */
void desc_get(struct cpu *c, uint16_t sel, int vector, int ext, struct desc *d);
/* Second half of a 16-byte descriptor. False: beyond the table, or its type field is not 0. */
bool desc_read_high(struct cpu *c, uint16_t sel, const struct desc *d, uint32_t *hi);
/* Set the accessed bit in memory, if it is not, and in d. */
void desc_touch(struct cpu *c, struct desc *d);
/* Write the type's busy bit of a TSS descriptor. */
void desc_set_busy(struct cpu *c, struct desc *d, bool busy);

/* ---- segment registers ---- */

/* A segment register's value from its parts, derived fields too. */
void seg_make(struct seg *s, uint16_t sel, uint64_t base, uint32_t limit, uint32_t attr);
static inline void seg_from_desc(struct seg *s, uint16_t sel, const struct desc *d)
{
	seg_make(s, sel, desc_base(d), desc_limit(d), desc_attr(d));
}
/* What MOV Sreg would load, without loading it; raises the same. `cpl` is the one to check against. */
void seg_fetch_stack(struct cpu *c, uint16_t sel, int cpl, int vector, int ext, struct seg *s);
void seg_fetch_data(struct cpu *c, uint16_t sel, int cpl, int vector, int ext, struct seg *s);
/* The value a selector gives in real or virtual-8086 mode; *s is the old one. */
void seg_real(const struct cpu *c, int seg, uint16_t sel, struct seg *s);
/* LDTR for a selector; errors raise `vector`. */
void seg_fetch_ldt(struct cpu *c, uint16_t sel, int vector, int ext, struct seg *s);
/* Are n bytes at off within the limit? Expand-down is known; types are not looked at. */
bool seg_within(const struct seg *s, uint64_t off, int n);
/* Make DS, ES, FS, GS null where CPL no longer may use them (return to an outer level). */
void seg_drop_inner(struct cpu *c, int cpl);

/* ---- modes ---- */

static inline bool in_protected(const struct cpu *c)	/* and not virtual-8086 */
{
	return (c->mode & (MODE_PE | MODE_VM)) == MODE_PE;
}
static inline bool in_vm86(const struct cpu *c)	{ return c->mode & MODE_VM; }
static inline bool in_long(const struct cpu *c)	{ return c->mode & MODE_LMA; }
static inline int cpu_iopl(const struct cpu *c)	{ return c->eflags >> 12 & 3; }

/* #GP(ext) unless rip is a fit address in code segment cs. */
void check_rip(struct cpu *c, const struct seg *cs, uint64_t rip, int ext);

/* Flags that exist. */
#define FL_ALL	0x3f7fd5u

/* Store EFLAGS; the caller calls cpu_update_mode(). */
static inline void put_eflags(struct cpu *c, uint32_t v)
{
	c->cc = cc_from_eflags(v);
	c->eflags = (v & FL_ALL & ~FL_ARITH) | 2;
}

/* ---- stacks ---- */

/*
 * A stack being pushed to or popped from. `sp` moves; nothing is stored to the
 * registers before the caller does so.
 */
struct stack {
	const struct seg *ss;	/* limits; NULL: 64-bit, canonical check only */
	uint64_t base, sp, mask;
	enum mmu_idx idx;
	uint32_t err;		/* error code of #SS */
};

/* The stack in use now, with 64-bit rules if the code is 64-bit. */
void stack_current(const struct cpu *c, struct stack *st, uint32_t err);
/* A stack of 16 or 32 bits in segment ss, for code at cpl. */
void stack_in(const struct cpu *c, struct stack *st, const struct seg *ss, uint64_t sp, int cpl, uint32_t err);
/* A stack of 64-bit mode. */
void stack_flat(struct stack *st, uint64_t sp, enum mmu_idx idx, uint32_t err);
/* Raise #SS unless n bytes below (push) or at and above (pop) the stack pointer are in the segment. */
void stack_push(struct cpu *c, struct stack *st, int n, uint64_t v);
uint64_t stack_pop(struct cpu *c, struct stack *st, int n);
/* The RSP that results: bits outside the stack's width stay, as the width demands. */
static inline uint64_t stack_rsp(const struct cpu *c, const struct stack *st)
{
	if (st->mask == 0xffff)
		return (c->regs[RSP] & ~0xffffull) | (st->sp & 0xffff);
	return st->sp & st->mask;
}

/* ---- returns to the same or an outer level ---- */

/* The code segment a RET or IRET goes back to, checked (#GP, #NP), and with it rip. */
void ret_target(struct cpu *c, uint16_t sel, uint64_t rip, struct seg *cs);
/* The stack segment that goes with it (#GP, #SS); null is fine in 64-bit mode below CPL 3. */
void ret_stack(struct cpu *c, uint16_t sel, const struct seg *cs, struct seg *ss);
/* RSP then, from the popped value of opsize bytes. */
uint64_t ret_rsp(const struct cpu *c, const struct seg *cs, const struct seg *ss, uint64_t sp, int opsize);

/* ---- TSS ---- */

/* SS and eSP of a ring, from the 16- or 32-bit TSS; checked, #TS or #SS on failure. */
void tss_ring_stack(struct cpu *c, int ring, int ext, struct seg *ss, uint32_t *sp);
/* 64-bit TSS: RSP of a ring, or of an IST entry 1..7. */
uint64_t tss_rsp(struct cpu *c, int ring, int ext);
uint64_t tss_ist(struct cpu *c, int ist, int ext);
/* 64-bit: SS of a new inner level is null, with its RPL. */
static inline void seg_null_ss(struct seg *s, int cpl)
{
	seg_make(s, (uint16_t)cpl, 0, 0, ATTR_DPL(cpl));
}

/* ---- delivery and tasks ---- */

/*
 * In cpu->dr6_pending: this instruction was INT n or SYSCALL and took TF away,
 * so that no single-step trap follows it. Not a bit of DR6.
 */
#define NO_STEP	0x80000000u
/* Also there: SYSRET has set TF, or a branch under BTF: the trap comes before the next instruction. */
#define STEP_NOW 0x40000000u

/* Task switch as cpu/seg.h has it, with the EXT bit. `next`, `eflags`: what the old TSS is to keep. */
void task_switch_ext(struct cpu *c, uint16_t tss_sel, int why, uint64_t next, uint32_t eflags, bool push_err,
		     uint32_t err, int ext);

/* An event on its way to a handler. */
struct event {
	int vector;
	bool soft;		/* INT n, INT3, INTO: the gate's DPL counts, EXT is 0 */
	bool has_error;
	uint32_t error;
	uint64_t ret;		/* return address to push */
	uint32_t flags;		/* EFLAGS image to push */
	int ext;
};
void deliver_real(struct cpu *c, const struct event *e, uint16_t image);
void deliver_legacy(struct cpu *c, const struct event *e);
void deliver_long(struct cpu *c, const struct event *e);

#endif
