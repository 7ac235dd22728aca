/*
 * The x86-64 back end: lowers blocks of µops to host code.
 *
 * Registers in generated code: guest rax rcx rdx rbx rbp rsi rdi stand in the
 * host registers of the same name, guest r12-r15 in host r8-r11, guest rsp in host
 * r12; guest r8-r11 are memory operands at gs:. Host r13 is temporary T0, r14 holds addresses and M,
 * r15 is scratch. gs: is struct cpu. xmm, ymm, mxcsr and x87 are the guest's.
 * Arithmetic flags are in cpu->cc at block borders and in the host's between
 * producer and consumer inside a block.
 */
#ifndef TCG_X64_X64_H
#define TCG_X64_X64_H

#include "tcg/uop.h"
#include "tcg/x64/emit.h"
#include "tcg/x64/env.h"

/*
 * A direct exit of a block, to be linked to the block at rip. Unlinked, it comes to a
 * call of the stub that asks for the target: in the exit's own place, or in a thunk of the
 * cold code. The return address tells which exit it is.
 */
struct x64_link {
	uint64_t rip;
	/* Offsets in code memory. */
	uint32_t hot;		/* the rel32 that leaves the block */
	uint32_t thunk;		/* the thunk, or 0: the jump of `hot` is such a call while it is not linked */
	uint16_t live;		/* flags the target was taken to need */
	uint16_t flx;		/* those of them that this exit leaves in host registers */
	uint8_t save;		/* bytes of code in front of the thunk: flags are saved, it is aligned */
	bool far;		/* may be taken long after the block was entered: use the guarded entry */
};

/* Side table: from this place in host code on, it belongs to that instruction. */
struct x64_side {
	uint32_t host_off;	/* from guarded or cold */
	union {
		struct {
			int32_t off : 24;	/* distance of the instruction from the block's RIP */
			uint32_t flags_host : 1;	/* live flags stand in the host's */
			int32_t uncounted : 7;	/* MODE_COUNT: instructions done that performance counters do not know yet */
		};
		uint32_t what;			/* all of that */
	};
};

/* What generated code is there for; for perf (tcg/perfmap.c). */
enum x64_part {
#define PART(name, word) PART_##name,
#include "tcg/x64/parts.def"
#undef PART
	PART_COUNT
};
/* From this host offset on, code is that part. */
struct x64_part_at {
	uint32_t host_off;
	uint8_t part;
};

#define X64_MAX_LINKS	80
#define X64_MAX_SIDE	(IR_MAX_UOPS * 2 + 64)
#define X64_MAX_PARTS	(IR_MAX_UOPS * 4)	/* further changes go unseen */

/* What x64_compile() makes; reused for every block. */
struct x64_block {
	const uint8_t *guarded;	/* entry that first checks the page guards */
	const uint8_t *entry;	/* entry for jumps from the same page */
	uint8_t *end;		/* writable end; the next block may start here */
	uint32_t size;		/* host bytes from guarded */
	const uint8_t *cold;	/* slow paths and unlinked exits, in the other buffer */
	uint8_t *cold_end;
	uint32_t cold_size;
	bool calls;		/* has return sites */
	unsigned n_swaps;
	struct x64_swap swaps[X64_MAX_SWAPS];
	unsigned n_sites[2];	/* taken from x64_params.site on */
	unsigned n_links, n_side;
	unsigned n_hot_side;	/* so many of the side entries count from guarded, the others from cold */
	bool moves;		/* it can be made one of another RIP: see x64_move() */
	unsigned n_moves;
	uint16_t move[MAX_MOVES];	/* X64_MOVE_PLACE: distance from guarded or cold */
	struct x64_link links[X64_MAX_LINKS];
	struct x64_side side[X64_MAX_SIDE];
	unsigned n_parts, n_hot_parts;	/* counted as the side entries; none unless x64.want_parts */
	struct x64_part_at parts[X64_MAX_PARTS];
};

struct x64_exit {
	uint64_t reason, data;	/* enum x64_reason */
};

/* Code all blocks share, made once. Addresses are executable ones. */
struct x64_stubs {
	/* Run code; a guest return without a matching call goes to `miss`. */
	struct x64_exit (*enter)(const uint8_t *code, const uint8_t *miss);
	void (*vec_save)(void), (*vec_load)(void);	/* to and from cpu->xsave */
	void (*vec_aside)(void), (*vec_back)(void);	/* to and from env->vec, x87 apart */
	void (*deliver)(void) __attribute__((noreturn));	/* called by C that generated code has called: ask C where to go on instead */
	const uint8_t *leave, *go_on, *dispatch, *indirect, *link, *guard, *host_fault;
	const uint8_t *probe_slow, *commit, *noshare, *roam;
	const uint8_t *halves[NMMU][PROBE_KIND + 1];	/* as probe_slow, where a page may be crossed; by table and PROBE_* kind */
	const uint8_t *group[NMMU][2];	/* by table; info was pushed in front of the call */
	const uint8_t *raise;
	const uint8_t *work_out;	/* what cpu->cc notes (NOTE_*); keeps all but the host's flags */
	const uint8_t *save_flags[2];	/* all arithmetic flags to cpu->cc; 0: but OF */
	const uint8_t *deep[JC_TABLES];	/* the stack of return addresses is full: empty it */
	const uint8_t *shift_mask;	/* three uint64_t: 15, 31, 63 */
	const uint8_t *return_miss[JC_TABLES];
	const uint8_t *thunk[HELPER_COUNT];
};

/* C functions the stubs call; light. See tcg/light.c. */
struct x64_callbacks {
	const uint8_t *(*find)(struct cpu *c);				/* code at cpu->rip, or NULL */
	const uint8_t *(*indirect)(struct cpu *c, uint64_t at);	/* as find, from the indirect exit whose code is at `at` */
	const uint8_t *(*resolve)(struct cpu *c, uint64_t ret);	/* target of the unlinked exit that returns to ret, or NULL */
	const uint8_t *(*deliver)(struct cpu *c);			/* an exception was raised: as find */
	const uint8_t *(*guard)(struct cpu *c, uint64_t tb);		/* a page guard failed: as find */
	uint8_t *(*slow)(struct cpu *c, uint64_t va, uint64_t info, uint64_t ret);
	uint8_t *(*group)(struct cpu *c, uint64_t va, uint64_t info, uint64_t ret);	/* NULL: cannot be shared */
	const uint8_t *(*noshare)(struct cpu *c);	/* as find, for code without shared proofs */
	void (*roam)(struct cpu *c, uint64_t va, uint64_t what, uint64_t ret);	/* see ROAM_SITE */
	void (*commit)(struct cpu *c);
	void (*raise)(struct cpu *c, uint64_t imm);
};

/* Slow probes that differ in nothing share the code that calls C. */
#define X64_MAX_THUNKS	256
#define X64_THUNK_ROOM	64	/* bytes */
struct x64 {
	struct x64_stubs stubs;
	bool host_avx;
	bool want_parts;
	uint8_t *base;			/* writable start of code memory; links count from there */
	struct code thunk_code;		/* room for thunks, in front of the blocks */
	unsigned n_thunks;
	_Atomic bool making_thunk;
	struct x64_thunk {
		uint32_t info;
		int32_t tag_off;
		const uint8_t *at;
	} thunk[X64_MAX_THUNKS];
	uint16_t thunk_slot[2 * X64_MAX_THUNKS];	/* hash table: number of one and 1, or 0 */
};
/* r14 as a probe left it, with its entry at r15, is the linear address again. */
void x64_make_address(struct code *c, int32_t tag_off);
/* The thunk for that, or NULL if there are too many. */
const uint8_t *x64_slow_thunk(struct x64 *x, uint32_t info, int32_t tag_off);

/* info argument of the slow callback */
#define SLOW_SIZE	0xffu
#define SLOW_KIND	8	/* shift; PROBE_* kind in two bits */
#define SLOW_IDX	10	/* shift; enum mmu_idx */
#define SLOW_SEG	12	/* shift; segment register in four bits */
#define SLOW_SEGCHECK	0x10000u	/* r14 is an offset: do limit check and base first */
#define SLOW_ALIGN	0x20000u	/* misaligned where that faults: #GP(0) with SLOW_SSE, else #AC */
#define SLOW_SSE	0x40000u
#define SLOW_NOSEG	0x80000u
#define SLOW_LOCK	0x100000u	/* in one piece for all vCPUs */
#define SLOW_IN_RUN	0x200000u	/* in a fast loop: nothing may happen that ends its run */
/* and of the group callback, whose va is the range's start; SLOW_KIND, SLOW_IDX as above */
#define GROUP_SIZE	0x7fu
#define GROUP_WRITES	0x80u
#define GROUP_SEG	12	/* shift; three bits */
#define GROUP_LEAD	15	/* shift: offset of the leader's access, eight bits */
#define GROUP_RANGE	23	/* shift: bytes, nine bits */

/* How an access in a region finds its page (tcg/roam_light.c). */
enum x64_how {
	HOW_SITE,		/* as its site says */
	HOW_TABLE,		/* in the table; of a loop's first instruction: it has no fast copy */
	HOW_WAYS,		/* as one of its sites says */
	HOW_TRY_WAYS, HOW_TRY_TABLE,	/* the same, and it is counted */
};
#define SITE_WAYS	4u
/* What the roam callback is told: a site's number, and what happened there besides SITE_MISSES misses. */
#define SITE_MISSES	256u
#define ROAM_SITE	0xffffu
#define ROAM_LOOP	0x10000u	/* it is a fast loop that is counted there, and its proofs */
#define ROAM_GROUP	0x20000u	/* a group's leader, which has no ways */
#define ROAM_FILL	0x40000u	/* none of its ways has va's page */
#define ROAM_TABLE	0x100000u	/* no access, an indirect jump that left: r14, which stays, has the target */
#define ROAM_WINDOW	0x80000u	/* an access on trial was made as often as `left` said */

/*
 * Parts of the stubs (tcg/x64/halves.c). An access whose address is in r14 and info in r15: as probe_slow, or on at
 * `slow`, if that can say more.
 */
const uint8_t *x64_make_halves(struct code *c, unsigned idx, unsigned kind, const uint8_t *slow);
/*
 * What an instruction has written to cpu->bounce is carried to both pages, or on at `slow` if something else is to be done
 * with it. Keeps registers and arithmetic flags.
 */
const uint8_t *x64_make_carry(struct code *c, const uint8_t *slow);

/* Build the stubs into c. */
void x64_make_stubs(struct x64 *x, struct code *c, const struct x64_callbacks *cb);

struct x64_params {
	uint32_t tb;		/* number of this block, for its guard */
	int jc_table;		/* jump cache of its mode, or -1 */
	uint32_t page_id[2];	/* ids the guards compare with, 0: no guard of that page */
	struct x64_page {
		uint64_t va;
		uint32_t id;
	} elsewhere[FRONT_CALLEES];	/* further pages of a region */
	unsigned n_elsewhere;
	/* Regions: sites are taken round and round, for reads and for writes, from these on. */
	unsigned site[2];
	const uint8_t *how;	/* enum x64_how by instruction */
	uint32_t loop;		/* number of the first fast loop, never 0; they have runs round and round, too */
	bool smp;		/* other vCPUs run the code, too, and may empty sites and runs */
	bool moves;		/* note what depends on RIP: in [X64_MOVES_FROM, X64_MOVES_TO), no instruction makes anything of it but addresses */
};
/*
 * What lowering keeps while it works, zeroed memory at first; one for each thread that compiles. It is no
 * thread-local storage, which takes its room out of every thread's stack: libraries make some of 64 KiB (SDL).
 */
struct lower;
extern const size_t x64_scratch_size;

/*
 * Lower ir. What usually runs goes to hot, the rest to cold, so that code which
 * runs is dense; each has at least X64_ROOM bytes. False: too many exits or
 * side entries (the caller retries with fewer instructions).
 */
#define TABLE_ROOM	(64u << 10)
#define X64_ROOM	(IR_MAX_UOPS * 256u + TABLE_ROOM)
bool x64_compile(struct lower *scratch, struct x64 *x, const struct code *hot, const struct code *cold, const struct ir *ir,
		 const struct x64_params *p, struct x64_block *out);

/*
 * Jump (ext 4) or call (ext 2) to the code at RIP r14 through jump cache t.
 * Returns the rel32 of the jump taken if it is not there.
 */
uint8_t *x64_jump_cached(struct code *c, int t, int ext);
/* r15d = the slot of RIP r14 in any jump cache. */
void x64_jump_slot(struct code *c);
/* Push an executable address. Destroys r15. */
void x64_push_code(struct code *c, const uint8_t *rx);

/*
 * A guard for block tb at p, written within X64_GUARD_ROOM bytes: go on at entry if the slot of the
 * instruction-page table has that id. The first byte behind it. Light.
 */
#define X64_GUARD_ROOM 32
uint8_t *x64_make_guard(const struct x64 *x, uint8_t *p, uint32_t slot, uint32_t id, uint32_t tb, const uint8_t *entry);
/*
 * Linear addresses between which blocks may move: RIP and what is addressed from it are eight-byte constants there,
 * and canonical.
 */
#define X64_MOVES_FROM	(1ull << 33)
#define X64_MOVES_TO	((1ull << 47) - (1ull << 33))
#define X64_MOVE_PLACE	0x3fffu
#define X64_MOVE_ENTRY	0x4000u
#define X64_MOVE_COLD	0x8000u
/*
 * Make a block one of the RIP that is so much above, a multiple of the page size: the code at these writable addresses,
 * whose x64_block.n_moves and .move stand packed at m, the count in a byte. Its guards are another matter. Light.
 */
void x64_move(uint8_t *code, uint8_t *cold, const uint8_t *m, uint64_t by);
/* The guard at p, in front of code or made by x64_make_guard(), looks at that slot. Light. */
void x64_move_guard(uint8_t *p, uint32_t slot);
/* Flags in host registers to cpu->cc, all or all but OF. Destroys r15. */
void x64_emit_save(struct code *c, bool of);
/* The return address of the unlinked exit's call. Light. */
static inline const uint8_t *x64_link_ret(const struct x64 *x, const struct x64_link *l)
{
	return x->base + x->thunk_code.rx + (l->thunk ? l->thunk + 5 : l->hot + 4);
}
/* Point exit `l` at a block, or back at its thunk (target NULL). needs: flags that what it comes to may read. Light. */
void x64_set_link(const struct x64 *x, const struct x64_link *l, const uint8_t *target, uint16_t needs);

#endif
