/* Shared between the files that lower µops; see x64.h. */
#ifndef TCG_X64_LOWER_H
#define TCG_X64_LOWER_H

#include "tcg/x64/x64.h"

/* Where guest registers are when code begins and ends, as `regs` below. */
extern const int8_t x64_usual_regs[NGPR];

/* Host registers with a fixed role. */
#define H_T0	R13
#define H_M	R14
#define H_TMP	R15
#define H_RSP	R12	/* guest rsp */

/* A piece of code emitted into the other buffer. What cold_new() does not set its maker sets. */
struct cold {
	void (*emit)(struct lower *l, struct cold *k);
	uint8_t *at[3];		/* rel32s that come here, or NULL */
	const struct uop *u;
	uint8_t *back;		/* where the fast path goes on (writable address) */
	uint8_t *back2;		/* behind the consumer of a write probe */
	uint64_t imm;
	int flags_in;		/* enum flags_at where it was left */
	uint32_t info;
	int32_t tag_off;
	enum { M_PTR /* [r14] */, M_TWO /* [r14 + r15] */, M_BASE /* [base + r14 + imm] */,
	       M_FIXED /* [r14 + offset in page] */ } form;	/* of M behind a probe */
	const struct uop *maker;	/* of flags that are to be noted, or NULL; RSP has been moved by step since */
	int64_t step;
	/* probes with a site */
	const uint8_t *start;	/* where the probe begins */
	int32_t site;		/* its offset in struct cpu; 0: none */
	bool ways;		/* it is the first of SITE_WAYS */
	int base;		/* r14 was made from this register alone and has the tag's xor; else -1 */
};

enum flags_at { FLAGS_MEM, FLAGS_HOST };

#define MAX_COLD	(IR_MAX_UOPS + 64)

#define MAX_TABLES	4

/* Which of the places that belong to a RIP: in the ordinary body, in the fast copy, its first round. */
enum inside_to { TO_LABEL, TO_FAST, TO_FIRST_ROUND };

/* Regions: where labels are, and jumps that are to come to them. */
struct labels {
	unsigned n, n_jumps, n_tables;
	struct label {
		uint64_t rip;
		uint8_t *at;
		uint8_t to;	/* enum inside_to */
		bool table;
	} label[IR_MAX_REGION];
	struct inside {
		uint64_t rip;
		uint8_t *rel32;
		uint8_t to;
	} jump[2 * IR_MAX_REGION];
	/* Of indirect jumps (lower_table.c): the lea that wants its address, where other targets go, which are in it. */
	struct table {
		uint8_t *rel32;
		const struct cold *miss;
		uint64_t lo;
		unsigned n;
	} table[MAX_TABLES];
};

struct lower {
	struct x64 *x;
	struct code c;
	const struct ir *ir;
	const struct x64_params *p;
	const int8_t *regs;	/* host register of each guest register, or -1: in memory */
	int8_t own_regs[NGPR];	/* a region's choice */
	struct x64_block *out;
	const struct uop *u;	/* the one being lowered */
	uint8_t *base;		/* writable address that side entries count from */
	enum flags_at flags;	/* where the live arithmetic flags are */
	bool noted;		/* in memory may be a note of them only */
	const struct uop *ahead;	/* note[0] has what its register was before */
	struct hop m;		/* what OP_M is now */
	uint8_t tmp_slot;	/* slot whose whole value r15 has, too, or OP_NONE */
	bool in_run;		/* this is the fast copy */
	unsigned loop;		/* of that loop of the region */
	int8_t held[IR_MAX_LOOPS];	/* the proof of each whose tlb_run.at r13 has all the while, or -1 */
	int8_t at_in_m;		/* the one whose `at` r14 has just now, or -1 */
	struct cold *pending;	/* write probe whose consumer comes next */
	struct proof {
		struct hop at;
		bool host;	/* at is the range's host address; else what followers add to their base */
		int32_t lo;	/* and to their displacement */
	} proof[PROBE_PLACES];
	unsigned n_cold;
	bool failed;
	bool want_parts;
	enum x64_part part;	/* what is being emitted */
	unsigned first_part, first_side;	/* numbers of the buffer's first ones */
	struct moves moves;
	struct labels labels;
	struct cold cold[MAX_COLD];
};

typedef void lower_fn(struct lower *l, const struct uop *u);
#define UOP(name, ...) lower_fn lower_##name;
#include "tcg/uop.def"
#undef UOP

static inline bool is64(const struct lower *l) { return (l->ir->mode & MODE_CODE) == MODE_CODE64; }

/* Host register of an operand code, or -1 if it is a memory slot, M or an immediate. */
static inline int host_reg(const struct lower *l, int op)
{
	if (op <= R15)
		return l->regs[op];
	return op == OP_T0 ? H_T0 : -1;
}
/* Operand in a register: its own, or loaded into `scratch`. size 8 loads the whole slot. */
int in_reg(struct lower *l, int size, int op, int64_t imm, int scratch);
static inline bool is_slot(const struct lower *l, int op)
{
	return (op <= R15 && l->regs[op] < 0) || (op >= OP_T1 && op <= OP_T3);
}
static inline bool is_hi(int op) { return op >= OP_AH && op <= OP_BH; }
/* lower_swap.c: where a guest register that has no host register stands. */
struct hop swaps_slot(const struct lower *l, int r);

/* Operand as ModRM.rm (register, high byte, slot or M). */
static inline struct hop operand(const struct lower *l, int op)
{
	int r = host_reg(l, op);

	if (r >= 0)
		return hop_reg(r);
	if (op <= R15)
		return l->out->n_swaps ? swaps_slot(l, op) : hop_gs(CPU_OFF(regs) + 8 * op);
	if (op == OP_M)
		return l->m;
	if (is_hi(op))
		return hop_hi(op - OP_AH);
	return hop_gs(CPU_OFF(tmp) + 8 * (op - OP_T0));
}

/* Flags. */
void flags_save(struct lower *l, uint16_t live);	/* host -> cpu->cc if they are there and live */
void flags_leave(struct lower *l, uint16_t live);	/* the same on the way out of this code */
void flags_leave_far(struct lower *l, uint16_t live);	/* ... and in cold code: short */
void flags_restore(struct lower *l, uint16_t need);	/* cpu->cc -> host if they are not there */
void flags_clobber(struct lower *l, const struct uop *u);	/* u destroys host flags but keeps the guest's */
void flags_op(struct lower *l, const struct uop *u);	/* u is a native flag operation, as uop.def says */

/* lower_note.c: what made the flags in front of l->u if they can be noted, else NULL (as flags_maker() in tcg/uop.h). */
const struct uop *note_maker(struct lower *l, int64_t *step);
/* u is about to be lowered, which adds or subtracts memory: what will be gone by the time its flags are noted. */
void note_ahead(struct lower *l, const struct uop *u);
/* Such a note to cpu->cc. Destroys r15. */
void lower_note(struct lower *l, const struct uop *maker, int64_t step);
/* Flags in front of l->u, on the way to what is behind it, and out of this code: a note of them, if it is possible and pays. */
bool note_inside(struct lower *l);
bool note_leaving(struct lower *l);
/* cpu->cc has flags, not a note. Destroys the host's. */
void flags_work_out(struct lower *l);

/* lower_swap.c: choose a region's registers; code to come and to go. */
void swaps_choose(struct lower *l);
void swaps_enter(struct lower *l);
void swaps_leave(struct lower *l);	/* keeps the host's flags */

/* lower_exit.c: a place that jumps inside go to; such a jump, by its rel32; a look at requests that leaves at rip. */
void inside_place(struct lower *l, uint64_t rip, enum inside_to to);
void inside_jump(struct lower *l, uint8_t *rel32, uint64_t rip, enum inside_to to);
void look_at_requests(struct lower *l, uint64_t rip);

/* lower_mem.c: does u change the register before its access is made? */
bool lower_disturbs(const struct lower *l, const struct uop *u, int base);
/* lower_run.c: an access proven beforehand. */
void lower_proven(struct lower *l, const struct uop *u);

/* All code is there: let jumps inside go to their labels. */
void bind_labels(struct lower *l);

/* base + (index << scale) + disp, cut to the address size, into register r; r15 is scratch, flags stay. */
void lower_address(struct lower *l, const struct uop *u, int r);
/* Count, in the site of a read that nobody fills, and call the roam callback with `what` now and then. Destroys flags. */
void lower_tally(struct lower *l, uint32_t what);

/* lower_table.c: an indirect jump through a table of the region's labels; false: not possible, nothing done. */
bool table_jump(struct lower *l, const struct uop *u);
/* Behind all code: the tables. */
void bind_tables(struct lower *l);
/* lower_exit.c: r14 has the RIP to go on at, and the flags are saved. */
void leave_indirect(struct lower *l);

/* A µop through its lowering function. */
void lower_uop(struct lower *l, const struct uop *u);

/* What is emitted from here on is that part, if somebody wants to know. Returns what was emitted so far. */
enum x64_part part_begins(struct lower *l, enum x64_part p);
static inline enum x64_part part(struct lower *l, enum x64_part p)
{
	return l->want_parts ? part_begins(l, p) : p;
}

struct cold *cold_new(struct lower *l, void (*emit)(struct lower *, struct cold *));
void side_mark(struct lower *l, const struct uop *u);
uint64_t insn_rip(const struct lower *l, const struct uop *u);
uint64_t next_rip(const struct lower *l, const struct uop *u);
/* Set cpu->rip to a constant. */
void set_rip(struct lower *l, uint64_t rip);
/* Cold: all jumps to it land here. */
void cold_land(struct lower *l, struct cold *k);

#endif
