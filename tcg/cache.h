/*
 * The code cache: translated blocks, how they are found, linked, and dropped.
 *
 * A block is known by the physical address of its first byte, its RIP, CS base
 * and mode word. Physical addresses are RAM addresses here (ram->id + offset),
 * so that they are stable and say which page's bytes matter.
 *
 * Ways to a block, fastest first:
 *   link        one block jumps to the next (link_light.c)
 *   jump cache  RIP -> code, inline in generated code; one per mode
 *   find        instruction TLB and hash table, light C (find_light.c)
 *   translate   (translate.c)
 *
 * The instruction TLB says which code page (linear page mapped to RAM page,
 * seen with user or supervisor rights) each linear page is now, by a number.
 * Every block starts with a comparison of its page's slot with the number it
 * was made for; jumps from the same page skip it, and a block that was first reached by such
 * a jump gets the comparison when somebody else comes. So jump caches and links
 * survive every change of mapping, and only the slots are forgotten.
 *
 * All vCPUs of a machine have one cache. C that changes it holds its lock (lock_light.c); generated code, look-ups
 * and translations go on meanwhile. So
 *   - what is entered is complete before it can be found (find_light.c);
 *   - a vCPU translates into a piece of code memory that is its own (piece_light.c), and what it has read is looked at
 *     again when it enters the block: who writes there meanwhile leaves a note (cross_light.c);
 *   - links are changed by one store each (x64_set_link());
 *   - whoever drops a block takes it out of all jump caches, and asks vCPUs that may be in
 *     it to come by their run loops; a processor may run old bytes until it serializes,
 *     and what serializes is followed by a look at requests;
 *   - a dropped block's memory is used again when all have been in their run loops since, with all of its piece; or
 *     at once, if its maker alone can be in it (tb->shared);
 *   - everything is dropped while all other vCPUs are outside (cpu/alone.h), and each vCPU
 *     forgets what it knew before it goes on (tcg_catch_up()).
 * Numbers in generated code (slots, sites, jump caches) are places in each vCPU's own memory.
 */
#ifndef TCG_CACHE_H
#define TCG_CACHE_H

#include <assert.h>
#include <pthread.h>
#include <time.h>

#include "cpu/phys.h"
#include "cpu/svm.h"
#include "tcg/plug.h"
#include "tcg/uop.h"
#include "tcg/x64/x64.h"

#define NO_TB	0u		/* blocks and links are numbered from 1 */
#define TB_BITS	19
#define LINK_BITS 21
#define CODE_BITS 29	/* of a distance in hot and cold code */
#define PAGE_SIZE 4096u
#define PAGE_OF(a) ((a) & ~(uint64_t)(PAGE_SIZE - 1))

/* What is asked for when a block is looked for comes first; packed, as a guest has hundreds of thousands. */
struct tb {
	uint64_t rip;
	uint64_t ram;			/* RAM address of the first byte */
	uint32_t mode;
	uint32_t cs_base, cs_limit;
	uint32_t page2;			/* number of the RAM page it goes on on: see tb_crosses() */
	uint32_t region;		/* the region that runs instead; of a region: the block it replaces; or 0 */
	uint32_t code_at, cold_at;	/* see tb_code(), tb_cold() */
	uint8_t guard;			/* bytes of the page guards: see tb_entry(); 0: none in front of code */
	int8_t jc;			/* jump cache of its mode, or -1 */
	bool shared;			/* others have come to it, too; it stays so */
	bool dead;
	uint64_t chunks;		/* of its first page: see tcg_chunks() */
	uint64_t size : 19, cold_size : 19;	/* host bytes */
	uint64_t len : 14;		/* guest bytes */
	uint64_t flow : 2;		/* enum insn_flow of its first instruction */
	uint64_t n_swaps : 3;		/* regions: see x64_unswap() */
	uint64_t n_annexes : 2;		/* ... those with the numbers behind it */
	uint64_t moves : 1;		/* it can be made one of another RIP: see move_light.c */
	uint32_t page_next;		/* (tb << 1 | which), by linear page */
	union {
		uint32_t page2_next;	/* the same of its second page */
		uint32_t guard_at;	/* it has none: a guard made later, offset in code memory, or 0 */
	};
	uint32_t first_link;		/* its exits */
	uint32_t in;			/* first link that arrives here */
	uint32_t side;			/* its packed entries: bytes of tcg->sides, */
	uint16_t n_hot_side, n_side;	/* first those of code, then those of cold; in front of them n_swaps swaps, behind them what moves */
	uint16_t maker;			/* its tcg->number */
	uint16_t needs;			/* flags read before written */
	uint8_t n_insns, n_links;
	bool calls;			/* generated code may come back into it by a return */
	uint8_t heat;			/* how often it was seen at work; HEAT_NEVER: makes no region */
};
_Static_assert(sizeof(struct tb) == 96, "packed");
_Static_assert(X64_ROOM < 1u << 19 && X64_MAX_SWAPS < 8 && IR_MAX_REGION < 256, "fields suffice");

/*
 * What a region has elsewhere, of functions that it goes into, are annexes, which have no code: they stand for
 * guest bytes in lists of pages, and their `region` is the one they belong to.
 */
static inline bool tb_is_annex(const struct tb *tb) { return !tb->n_insns; }
_Static_assert(FRONT_CALLEES < 4, "n_annexes");

#define ONE_PAGE UINT32_MAX
static inline bool tb_crosses(const struct tb *tb) { return tb->page2 != ONE_PAGE; }
/* What comes behind it on its first or second page. */
static inline uint32_t *tb_page_next(struct tb *tb, int second) { return second ? &tb->page2_next : &tb->page_next; }
/* RAM address of its second page. */
static inline uint64_t tb_ram2(const struct tb *tb) { return (uint64_t)tb->page2 << 12; }
/* For those who do not hold the lock: it may be dropped right behind. */
static inline bool tcg_is_dead(const struct tb *tb) { return __atomic_load_n(&tb->dead, __ATOMIC_RELAXED); }

/*
 * An exit (struct x64_link), packed, as a block has two. What linking changes has a word of its own:
 * the rest may be read without the lock.
 */
struct link {
	int64_t near : 33;		/* x64_link.rip, from its block's */
	uint64_t from : TB_BITS;	/* its block */
	uint64_t live : 6, flx : 6;	/* as link_pack_flags() leaves them */
	uint64_t hot : CODE_BITS, thunk : CODE_BITS, save : 6;
	uint64_t to : TB_BITS;		/* block; NO_TB: not linked */
	uint64_t next : LINK_BITS, prev : LINK_BITS;	/* among the links arriving at `to` */
	uint64_t far : 1;
};
_Static_assert(sizeof(struct link) == 24, "three words");

/* The page with code that a vCPU has stored beside code to: see slow_light.c. */
struct code_store {
	uint64_t va;			/* linear page; 1: none */
	uint64_t ram;			/* RAM page, */
	const _Atomic uint8_t *flags;	/* and its flags */
	uint32_t drops, idx;		/* cpu->drops then; enum mmu_idx of the store */
};

/*
 * A page of a device with a quick way that a vCPU has found there: holds until entries of the TLB are taken away, as
 * code_store does.
 */
struct dev_page {
	uint64_t va;			/* linear page */
	uint64_t pa;			/* physical page */
	struct phys_dev dev;
	unsigned max_size;		/* of an access; 0: no such page */
	uint32_t drops, idx;		/* cpu->drops then; enum mmu_idx */
	uint32_t pkru, pkrs;		/* of the protection keys then */
};
#define DEV_PAGES 4

/* What is known of one RAM page with code. */
struct code_page {
	uint64_t chunks;		/* bit per 64 bytes that hold translated bytes */
	bool marked;			/* stores to it take the slow path */
	bool no_peek;			/* it was ever in code_cache.no_peek: few are, and this is asked for each block */
	uint8_t idle;			/* ... and found nothing translated, so often in a row */
	uint8_t more;			/* addresses besides one at which it may be known together: see vpage_light.c */
	struct ram *r;
	uint32_t vpages;		/* linear pages that it has had blocks as: a list by their of_ram */
};
#define CP_BITS		12
#define CP_FANOUT	(1u << CP_BITS)

/*
 * A linear page seen as code: (linear page, RAM page, rights) <-> number. Number 0 is that of none: it ends
 * lists, and has the blocks that were entered when there were no numbers left, until everything is dropped.
 */
struct vpage {
	uint64_t va, ram;
	uint32_t user;
	uint32_t next;			/* of its place in vhash */
	uint32_t of_ram;		/* the next one of its RAM page; ~0: it is in no such list */
	uint32_t tbs;			/* (tb << 1 | which) list of blocks */
	uint32_t used;			/* when it last came into the instruction TLB: code_cache.uses */
};

struct itlb_entry {
	uint64_t va, ram;		/* pages; va 1: empty */
	struct ram *r;
	const uint8_t *host;
	uint32_t user;
	uint8_t listed;			/* its slot is in itlb_used[0] (bit 0), [1] (bit 1: global pages) */
};

#define HEAT_NEVER	0xff

#define NO_PEEK_BITS	12
#define NO_PEEK_SLOT(ram) ((ram) * 0x9e3779b97f4a7c15ull >> (64 - NO_PEEK_BITS))
#define ROAM_BITS	12
#define ROAM_SLOT(ram)	((ram) * 0x9e3779b97f4a7c15ull >> (64 - ROAM_BITS))
#define HASH_BITS	19
#define VPAGE_BITS	14
#define LOST_BITS	12
#define MAX_TBS		(1u << TB_BITS)
#define MAX_LINKS	(1u << LINK_BITS)
#define MAX_SIDE	(1u << 26)	/* bytes */
#define SIDE_BYTES	9u		/* an entry has no more */
#define MAX_VPAGES	(1u << 17)
#define CODE_SIZE	(192u << 20)	/* of hot and cold code with one vCPU, */
#define CODE_SIZE_SMP	(512u << 20)	/* and with several, whose pieces are never full */
_Static_assert(CODE_SIZE_SMP <= 1u << CODE_BITS, "links hold distances");
#define PIECES		512u
#define GUARDS_SIZE	(4u << 20)
#define GRANULE_BITS	10

#define TCG_USERS	256u

#define NOWHERE	(~0ull)

/* What others look at of a vCPU, by its number: it may leave meanwhile. See cross_light.c. */
struct seat {
	_Atomic uint64_t reading[2];	/* RAM pages whose bytes it is translating, or NOWHERE */
	uint64_t spoilt[2];		/* chunks of them (struct code_page) that have been written meanwhile */
	_Atomic uint64_t storing;	/* page of the last store of this round that found code on its page, or NOWHERE */
} __attribute__((aligned(64)));

/* A time in which vCPUs come by their run loops. */
struct grace {
	bool waits[TCG_USERS];		/* for the vCPU of that number - 1 to leave ... */
	uint32_t rounds[TCG_USERS];	/* ... this round of its run loop */
};

/* A page whose bytes may have been written while they were read: see cross_light.c. */
#define SUSPECTS	64u
struct suspect {
	uint64_t ram;
	const uint8_t *host;
	struct grace grace;
	uint8_t copy[PAGE_SIZE];	/* as it was before it was read */
};

/* What one vCPU fills (piece_light.c). */
struct piece {
	struct code code, cold;		/* next free bytes */
	uint8_t *code_ready, *cold_ready;	/* memory below is there */
	uint32_t first, n_tbs, max_tbs;	/* blocks: the first and last that are there; there are no more than that */
	uint32_t n_links, max_links;	/* the last exit, */
	uint32_t n_sides, max_sides;	/* and the next free byte of side tables */
	uint32_t n_live;		/* blocks that can be found */
	bool full;			/* nobody fills it any more */
	uint32_t next;			/* in a list: + 1, or 0 */
};

/* Of one vCPU. All of them uint64_t: see tcg_stats_text(). */
struct tcg_stats {
	uint64_t translations, guest_insns, guest_bytes, host_bytes, translate_ticks;	/* of the host's TSC */
	uint64_t flushes, killed, smc_stores, moves, mispeeks, slow_reads, slow_writes, mmio;
	uint64_t regions, roams, groups, noshare, finds, resolves, guards, singles, twins, spoilt, exits[8];
};

/* What is translated: blocks, and everything by which they are found. */
struct code_cache {
	_Atomic int lock;		/* see lock_light.c */
	bool smp, interp;
	unsigned n_users;
	struct tcg *user[TCG_USERS];
	struct phys *phys;
	_Atomic uint32_t generation;	/* how often everything was dropped */

	/* Code that is written (cross_light.c, run.c). */
	struct seat seat[TCG_USERS];
	_Atomic unsigned n_seats;	/* those that somebody has had */
	struct suspect *suspects;
	_Atomic unsigned n_suspects;
	pthread_mutex_t writes_lock;	/* of what follows, and of user[] beside the cache's lock */
	struct code_write {
		uint64_t ram, n;
	} writes[128];			/* by devices; a page has one */
	unsigned n_writes;		/* more than fit: everything */

	struct x64 x;
	uint8_t *code_start, *blocks_start;	/* writable mapping; first byte behind the stubs */
	intptr_t rx;			/* what to add to where code is written to get where it runs */
	size_t code_size, cold_from;	/* all bytes; cold code starts there */
	size_t trimmed;			/* bytes of code when the writable mapping was last given back */
	struct piece piece[PIECES];
	uint32_t n_pieces, max_pieces;	/* those that were ever used come first */
	uint32_t free_pieces;		/* + 1, lists: of those that can be used again, */
	uint32_t dropped_pieces, leaving_pieces;	/* that have no block any more, and whose memory is left by all ... */
	struct grace leaving;		/* ... behind this */
	uint32_t hand;			/* where the next one to be emptied is looked for */
	size_t piece_code;		/* bytes of each, hot and as many cold, */
	uint32_t piece_tbs;		/* and blocks */
	uint8_t *next_guard, *free_guard;	/* see tcg_new_guard() */
	struct tb *tbs;
	uint32_t *hash_next;		/* by block: the next one of its slot, as in hash; dense, as blocks that are others are passed often */
	struct ir **irs;		/* of interpreted blocks: owned copies */
	struct link *links;
	uint8_t *sides;			/* packed */
	struct vpage *vpages;
	_Atomic uint32_t n_vpages;
	uint32_t uses;			/* pages that came into the instruction TLB */
	struct lost {
		uint32_t tag, at;	/* of a page at an address that has been given up, and uses then */
	} lost[1u << LOST_BITS];
	_Atomic bool flush_wanted;		/* out of room: flush before the next translation */
	uint32_t without;		/* passes switched off, bit enum pass */
	uint64_t feat[2];		/* of insn_env */
	uint32_t hash[1u << HASH_BITS];	/* block | some other bits of its hash above TB_BITS */
	uint32_t *granule;		/* block that the first byte of each KiB of code lies in, or 0 */
	uint32_t vhash[1u << VPAGE_BITS];
	struct code_page *cpages[CP_FANOUT];	/* by RAM page number, two levels */
	uint32_t jc_mode[JC_TABLES];	/* mode + 1 of each jump cache, 0: free */
	struct debug_list breaks;	/* of the debugger: no block goes on behind one (see break.c) */
	uint32_t terms;			/* how often they have changed */
	struct no_peek {
		uint64_t ram;
		uint32_t hit, until;	/* when bytes it had peeked at were last stored to; end of its ban; 0: never */
	} no_peek[1u << NO_PEEK_BITS];	/* see tcg_may_peek() */
	uint32_t n_loops;		/* fast loops made so far */
	unsigned next_site[NMMU][2];	/* struct tlb_site: the ones regions get next */
	uint8_t strays[1u << ROAM_BITS];	/* times that a region with its head there was made anew for an indirect jump's targets */
	uint8_t roams[1u << ROAM_BITS];	/* enum x64_how: instructions whose accesses change pages too often for a site */
	struct perfmap *perf;
	struct plug_chunk *plug_records;	/* what µops of plugins point to */
	uint64_t plug_bytes;
	const struct plug_left **plug_left;	/* by block: see plug_stopped(); or NULL */
};

/* A vCPU that translates and runs. */
struct tcg {
	struct cpu *cpu;
	struct code_cache *cache;
	bool interp;
	uint16_t number;		/* from 1 on */
	unsigned locked;		/* so often does it hold the cache's lock */
	uint32_t generation;		/* of the cache when it last looked */
	bool apart;			/* it is translating without the lock; others change what they like */
	uint32_t terms;			/* of the cache when that began */
	struct seat *seat;
	struct piece *piece;		/* that it fills, or NULL: it takes one when it needs it */
	bool must_flush;		/* and no waiting will get it one */
	struct itlb_entry itlb[ITLB_SIZE];
	struct {
		uint16_t slot[ITLB_SIZE];
		unsigned n;
	} itlb_used[2];			/* by itlb_entry.listed: a CR3 write takes away the first ones */

	uint32_t near;			/* what tcg_tb_near() found last; only a guess */
	uint32_t last_exit;		/* unlinked exit that was just taken, if its block is still there, or 0 */
	bool single;			/* the block under way is one instruction; come back behind it */
	bool noshare_next;		/* the next block is to be one without shared proofs */
	bool single_next;		/* the next block is to be such a one */
	uint32_t met_before;		/* cpu->dr6_pending in front of it: what it adds is void if it faults */
	uint32_t current;		/* interpreter: block under way */
	bool stop;			/* interpreter: it was overwritten */
	void *jmp[5];			/* of the run loop, for unwinding */

	/* What other vCPUs look at (cross_light.c). */
	_Atomic uint32_t rounds;	/* of the run loop; no store is under way where it counts */
	bool alone_next, alone;		/* the next instruction is to run, or runs, while no other vCPU does */

	timer_t timer;			/* sample.c */
	bool has_timer;
	struct code_store stored;	/* the last one */
	struct dev_page dev_page[2][DEV_PAGES];	/* by page number; [1]: for accesses that write */
	const struct dev_page *pend_dev;	/* with PEND_DEVICE */
	uint32_t remake;		/* block whose region went to be made anew, or 0 */
	struct roam_trial {		/* roam_light.c: of the access whose site misses often */
		uint32_t slot;		/* in `roams`, + 1; 0: none */
		uint32_t listen;	/* site whose misses are listened to, + 1; 0: none */
		uint32_t at;		/* clock of the last news of it */
		uint32_t best[2];	/* time of a window with ways, with the table */
		unsigned n_windows, n_heard, n_pages;
		uint64_t page[SITE_WAYS];
	} trial;
	unsigned hot;			/* samples that make a region; 0: at once */

	struct ir *ir;			/* scratch */
	struct x64_block *block;
	struct lower *scratch;		/* tcg/x64/x64.h */
	struct decode_memo *memo;
	struct tcg_stats stats;
	uint64_t start_ns, start_ticks;	/* when the translator was made */
	struct plug_cpu *plug;		/* tcg/plug.h, or NULL */
};

static inline struct tcg *tcg_of(struct cpu *c)
{
	return c->accel;
}

/* First byte of a block's code, where it runs. */
static inline const uint8_t *tb_code(const struct code_cache *k, const struct tb *tb)
{
	return k->code_start + k->rx + tb->code_at;
}
/* Its entry for those who know that its pages are mapped as they were. */
static inline const uint8_t *tb_entry(const struct code_cache *k, const struct tb *tb) { return tb_code(k, tb) + tb->guard; }
/* Its slow paths and unlinked exits. */
static inline const uint8_t *tb_cold(const struct code_cache *k, const struct tb *tb)
{
	return k->code_start + k->rx + tb->cold_at;
}

/* ---- lock_light.c ---- */
void tcg_lock_slow(struct tcg *t);
void tcg_unlock_slow(struct tcg *t);
/* Nobody else reads or changes the cache; may be nested. Ends with an unwinding, too. Light. */
static inline void tcg_lock(struct tcg *t)
{
	if (t->cache->smp)
		tcg_lock_slow(t);
}
static inline void tcg_unlock(struct tcg *t)
{
	if (t->cache->smp)
		tcg_unlock_slow(t);
}
/* However often it was taken. */
static inline void tcg_unlock_all(struct tcg *t)
{
	while (t->locked)
		tcg_unlock_slow(t);
}

/* ---- cache.c ---- */
/* A vCPU's translator; it joins the cache of those that are there. On the vCPU's thread. */
struct tcg *tcg_new(struct cpu *c, bool interp, struct err *e);
void tcg_free(struct tcg *t);
/* Interpreted blocks: give block n a copy of its µops; take it away. */
bool tcg_keep_ir(struct code_cache *k, uint32_t n, const struct ir *ir);
void tcg_drop_ir(struct code_cache *k, uint32_t n);
/* k->cpages[n] of a struct code_cache (a cpu_heavy() function). */
uint64_t tcg_new_code_pages(uint64_t k, uint64_t n, uint64_t x, uint64_t y);
/* Drop every block. On the vCPU's thread, outside of generated code, without the lock. */
void tcg_flush(struct tcg *t);
/* Come inside (cpu/alone.h): forget what the vCPU knows of blocks that have been dropped meanwhile. */
void tcg_forget(struct tcg *t);
static inline void tcg_catch_up(struct tcg *t)
{
	if (t->generation != atomic_load_explicit(&t->cache->generation, memory_order_acquire))
		tcg_forget(t);
}
/* Blocks that take room, dropped ones too. */
uint32_t tcg_count_tbs(const struct code_cache *k);
/* Seconds that so many ticks of the host's TSC last. */
double tcg_seconds(const struct tcg *t, uint64_t ticks);
/* Now and then, from the run loop: keep memory small. idle: the guest waits. Nothing happens before so much new code. */
#define TRIM_STEP	((size_t)16 << 20)
#define TRIM_STEP_IDLE	((size_t)1 << 19)
void tcg_trim(struct tcg *t, bool idle);
/* Code memory that comes next is there: one call of the host for many pages. Light; may call what is not. */
#define READY_STEP	((size_t)64 << 10)	/* with several vCPUs, whose pieces end early: a quarter */
uint64_t tcg_make_ready(uint64_t t, uint64_t x, uint64_t y, uint64_t z);
static inline void tcg_ready(struct tcg *t)
{
	const struct piece *p = t->piece;

	if (__builtin_expect(!t->interp && (p->code.p >= p->code_ready || p->cold.p >= p->cold_ready), 0))
		cpu_heavy(t->cpu, tcg_make_ready, (uint64_t)t, 0, 0, 0);
}
/* Jump cache t is that of a mode now, and empty; its memory is not touched before that. JC_NO_MODE: of none so far. Light. */
void tcg_jc_name(struct cpu *c, unsigned t, uint32_t mode);
/* Empty the jump caches. */
void tcg_jc_flush(struct cpu *c);
/* No shared probe knows any more where to go on without sharing (struct x64_env). Light. */
void tcg_forget_fallbacks(struct cpu *c);

/* ---- translate.c ---- */
/*
 * Translate at c->rip with that mode; `single`: one instruction. Raises #PF, #GP. From the run loop. NULL:
 * everything has to go (t->must_flush), or others have to come by their run loops.
 */
struct tb *tcg_translate(struct cpu *c, uint32_t mode, bool single);
/* The same for a stub of generated code. NULL: only the run loop can do it. Raises as well. Light. */
struct tb *tcg_translate_live(struct cpu *c, uint32_t mode);
/*
 * Make a region of the loop at c->rip, which runs instead of its block `head` from
 * now on. False: not possible or not worth it. Raises like tcg_translate().
 */
bool tcg_make_region(struct cpu *c, struct tb *head);
/* Do blocks move to where their pages are seen, as things are? Light. */
bool tcg_moves_blocks(const struct tcg *t);

/* ---- break.c ---- */
/* The debugger's breakpoints may have changed: drop what was translated without regard to them. */
void tcg_take_breaks(struct tcg *t);
/* Is one on the page of va? */
bool tcg_breaks_page(const struct tcg *t, uint64_t va);

/* ---- find_light.c: without the lock ---- */
/* The block at c->rip for that mode, or NULL: not translated, or not mapped. With the lock held it is not dropped before that is let go. */
struct tb *tcg_find(struct cpu *c, uint32_t mode);
/* The code page a linear page is now; NULL: fetch faults, or no RAM there. */
struct itlb_entry *tcg_itlb(struct cpu *c, uint64_t va);
void tcg_itlb_flush(struct cpu *c, bool keep_global);
const uint8_t *tcg_cb_find(struct cpu *c);
const uint8_t *tcg_cb_deliver(struct cpu *c);
const uint8_t *tcg_cb_indirect(struct cpu *c, uint64_t at);
const uint8_t *tcg_cb_noshare(struct cpu *c);
const uint8_t *tcg_cb_resolve(struct cpu *c, uint64_t ret);
const uint8_t *tcg_cb_guard(struct cpu *c, uint64_t tb);
/* ---- vpage_light.c ---- */
/* The number of a page that is looked at as code from now on, or 0. Blocks may move to it. */
uint32_t tcg_vpage_comes(struct tcg *t, uint64_t va, uint64_t ram, uint32_t user);
/* The number that the guard of tb's first or second page compares with; out of numbers, one that no page has. */
uint32_t tcg_guard_id(struct tcg *t, const struct tb *tb, int second);
/* Linear address of tb's first byte. */
uint64_t tcg_linear(const struct tb *tb);
/* Block n is on its first or second page's list, or not any more. With the lock held. */
void tcg_enter_page(struct tcg *t, uint32_t n, int second);
void tcg_leave_page(struct tcg *t, uint32_t n, int second);

/* ---- move_light.c ---- */
/* Is that a linear address that blocks may have which move? */
bool tcg_may_move(uint64_t va);
/* All blocks on the lists of that page become those of another linear page, so much above, or are dropped. With the lock held. */
void tcg_move(struct tcg *t, uint32_t vpage, uint64_t by);

/* ---- piece_light.c ---- */
/* Room for one more block in t->piece, which may become another one. False: when all have been in their run loops, or t->must_flush. */
bool tcg_room(struct tcg *t);
/* Block n can be found from now on, or not any more. With the lock held, as what follows. */
void tcg_count_live(struct code_cache *k, uint32_t n, bool lives);
/* The vCPU fills t->piece no longer. */
void tcg_leave_piece(struct tcg *t);
/*
 * Dropped blocks that were made last make room again: what is patched and run in turns
 * then stays in the same memory. `live`: generated code is under way, and may come back to what
 * stands behind a call. Blocks that other vCPUs have come to stay, for nobody knows when they leave.
 */
void tcg_take_back(struct tcg *t, bool live);
/* What the piece's last block has of it is free. */
void tcg_give_back(struct tcg *t, struct tb *tb);
/* The block behind number n (0: the first of all), dropped or not; NO_TB behind the last one. */
uint32_t tcg_next_tb(const struct code_cache *k, uint32_t n);
/* Code memory from *p up to end, without a gap, belongs to block n: note it for tcg_tb_at(). */
void tcg_take(struct code_cache *k, uint32_t n, uint8_t **p, uint8_t *end);
/* Which block, that this vCPU is in or has just left, an executable address lies in (ret: behind a call); NO_TB if none. */
uint32_t tcg_tb_near(struct tcg *t, uint64_t ret);
/* The same with the instruction. NULL if there is none. */
const struct tb *tcg_tb_at(struct tcg *t, uint64_t ret, struct x64_side *side);
/* Where a guard can be written, X64_GUARD_ROOM bytes; NULL: no room. And tb's is not needed any more. With the lock held. */
uint8_t *tcg_new_guard(struct code_cache *k);
void tcg_free_guard(struct code_cache *k, struct tb *tb);

/* Code of that block has called C, which does not go back: RIP and registers become what they are there. Light. */
static inline void tcg_stop_at(struct cpu *c, const struct tb *tb, const struct x64_side *side)
{
	c->rip = tb->rip + side->off;
	c->pmu.left[(tb->mode & MODE_CPL) != 0] -= side->uncounted;
	x64_unswap(c, (const struct x64_swap *)(tcg_of(c)->cache->sides + tb->side) - tb->n_swaps, tb->n_swaps);
	if (__builtin_expect(tcg_of(c)->plug != NULL, 0))
		plug_stopped(tcg_of(c), (uint32_t)(tb - tcg_of(c)->cache->tbs), side->off);
}

/* Requests that cannot be taken as things are. Light. */
static inline uint32_t tcg_closed(const struct cpu *c)
{
	return (svm_intr_open(c) ? 0 : REQ_INTR) | (c->eflags & FL_IF ? 0 : REQ_VINTR) |
	       (c->gif && !c->nmi_blocked ? 0 : REQ_NMI) | (c->gif && !c->in_smm ? 0 : REQ_SMI | REQ_INIT);
}

/* Requests put aside (see run.c) count again once they can be taken. Light. */
static inline void tcg_unhold(struct cpu *c)
{
	uint32_t open;

	if (!x64_env(c)->held)
		return;
	open = ~tcg_closed(c);
	if (x64_env(c)->held & open) {
		atomic_fetch_or(&c->request, x64_env(c)->held & open);
		x64_env(c)->held &= ~open;
	}
}

/*
 * A place in the hash table, and what else of the hash an entry carries, so that
 * a chain is walked without a look at blocks that are others. Blocks that are near each
 * other in RAM have places near each other, mostly in one line of the host's cache.
 */
struct hash_key {
	uint32_t slot, tag;
};

static inline struct hash_key tcg_hash(uint64_t ram, uint64_t rip, uint32_t mode)
{
	uint64_t page = (ram >> 12 ^ (uint64_t)mode << 32) * 0x9e3779b97f4a7c15ull + (rip >> 12) * 0xc2b2ae3d27d4eb4full;
	uint64_t h = (ram ^ rip << 7 ^ (uint64_t)mode << 40) * 0x9e3779b97f4a7c15ull;

	return (struct hash_key){ ((uint32_t)(page >> (64 - HASH_BITS)) + (uint32_t)(ram >> 3 & (PAGE_SIZE / 8 - 1))) &
				  ((1u << HASH_BITS) - 1),
				  (uint32_t)(h >> 32) & ~(MAX_TBS - 1) };
}

static inline uint32_t hash_tb(uint32_t entry) { return entry & (MAX_TBS - 1); }
static inline uint32_t hash_tag(uint32_t entry) { return entry & ~(MAX_TBS - 1); }

static inline uint32_t jc_slot(uint64_t rip)
{
	uint32_t v = (uint32_t)rip;

	return ((v >> JC_BITS | v << (32 - JC_BITS)) ^ v) & (JC_SIZE - 1);
}

/* Has an indirect jump, call or return gone to rip? Of what stands in a jump cache. */
static inline bool tcg_is_met(const struct x64_env *env, int jc, uint64_t rip)
{
	uint32_t s = jc_slot(rip);

	return env->jc_met[jc][s / 8] >> s % 8 & 1;
}

static inline void tcg_set_met(struct x64_env *env, int jc, uint64_t rip, bool met)
{
	uint32_t s = jc_slot(rip);

	env->jc_met[jc][s / 8] = (uint8_t)((env->jc_met[jc][s / 8] & ~BIT(s % 8)) | (unsigned)met << s % 8);
}

/* The six arithmetic flags, without the bits between. */
static inline unsigned link_pack_flags(unsigned fl)
{
	return (fl & FL_CF) | (fl & FL_PF) >> 1 | (fl & FL_AF) >> 2 | (fl & (FL_ZF | FL_SF)) >> 3 | (fl & FL_OF) >> 6;
}

static inline uint16_t link_flags(unsigned v)
{
	return (uint16_t)((v & 1) | (v & 2) << 1 | (v & 4) << 2 | (v & 0x18) << 3 | (v & 0x20) << 6);
}

static inline uint64_t link_rip(const struct code_cache *k, const struct link *l)
{
	return k->tbs[l->from].rip + (uint64_t)(int64_t)l->near;
}

static inline void link_pack(const struct code_cache *k, struct link *l, const struct x64_link *x, uint32_t from)
{
	unsigned live = link_pack_flags(x->live), flx = x->flx == x->live ? live : link_pack_flags(x->flx);
	int64_t near = (int64_t)(x->rip - k->tbs[from].rip);

	*l = (struct link){ .near = near, .from = from, .live = live, .flx = flx,
			    .hot = x->hot, .thunk = x->thunk, .save = x->save, .far = x->far };
	assert(l->near == near && !((x->hot | x->thunk) >> CODE_BITS) && l->save == x->save);
}

static inline struct x64_link link_exit(const struct code_cache *k, const struct link *l)
{
	return (struct x64_link){ .rip = link_rip(k, l), .hot = l->hot, .thunk = l->thunk, .live = link_flags(l->live),
				  .flx = link_flags(l->flx), .save = l->save, .far = l->far };
}

/* The return address of the call that exit n is while it is not linked. */
static inline const uint8_t *tcg_link_ret(const struct code_cache *k, uint32_t n)
{
	struct x64_link x = link_exit(k, &k->links[n]);

	return x64_link_ret(&k->x, &x);
}

/* ---- side_light.c ---- */
/* Pack n entries in the order of their host code; the bytes written. counts: uncounted is kept, too. */
unsigned tcg_side_pack(uint8_t *to, const struct x64_side *s, unsigned n, bool counts);
/* The last entry at or below host_off. */
struct x64_side tcg_side_find(const uint8_t *p, const uint8_t *end, uint32_t host_off, bool counts);

/* ---- link_light.c: with the lock held, but tcg_guarded() ---- */
/* The entry of a block that looks whether its page is mapped as it was; NULL: no room for one. */
const uint8_t *tcg_guarded(struct tcg *t, struct tb *tb);
/* Is the target of exit l, which is taken in the mode of tb, on the page tb stands on? */
bool tcg_stays(const struct code_cache *k, const struct link *l);
/* Let link number n jump to block `to` directly. */
void tcg_link(struct tcg *t, uint32_t n, uint32_t to);
/* ... or ask again where it goes. */
void tcg_unlink(struct code_cache *k, uint32_t n);
/* Block n can be found by its hash, or not any more. */
void tcg_enter_hash(struct code_cache *k, uint32_t n);
void tcg_leave_hash(struct code_cache *k, uint32_t n);
/* Let region `region` run where block `head` would. */
void tcg_prefer(struct code_cache *k, uint32_t head, uint32_t region);
/* The vCPU comes to a block: if it was another one's alone, from now on all may. */
void tcg_meet(struct tcg *t, struct tb *tb);
/*
 * Forget a block: nothing finds or links to it any more, and other vCPUs that may be in it come by
 * their run loops. Its code stays (see translate.c).
 */
void tcg_kill(struct tcg *t, uint32_t tb);
/* Which chunks of its first page a block depends on. The block is complete; without the lock. */
void tcg_note_chunks(struct code_cache *k, struct tb *tb);
/* Mark a block's bytes; its pages are being read (tcg_begin_read). */
void tcg_enter_pages(struct tcg *t, uint32_t tb);
struct code_page *tcg_code_page(const struct code_cache *k, uint64_t ram);

/* ---- cross_light.c ---- */
/* Before bytes of a page are read for translation, the block's first or second: from now on stores to it are told. */
void tcg_begin_read(struct tcg *t, int which, struct ram *r, uint64_t ram);
/* What was translated can be found, or nothing was. */
void tcg_end_read(struct tcg *t);
/* Have bytes that the block depends on been written since, or could that not be known? With the lock held. */
bool tcg_is_spoilt(const struct tcg *t, const struct tb *tb);
/* Somebody writes to those chunks of a page: whoever reads it is to know. With the lock held. */
void tcg_spoil(struct code_cache *k, uint64_t page, uint64_t chunks);
/* Is somebody reading that page? */
bool tcg_is_read(const struct code_cache *k, uint64_t page);
/* Is there room for what tcg_begin_read() may have to remember? */
bool tcg_may_read(const struct tcg *t);
/* From now on wait for that vCPU to be in its run loop, and ask it to. With the lock held, as what follows. */
void tcg_wait_for(struct grace *g, struct tcg *u);
/* Have all been there? */
bool tcg_has_passed(const struct code_cache *k, const struct grace *g);
/* Nobody waits for t, which leaves. */
void tcg_stop_waiting(const struct tcg *t);
/* What has been written until now, by whomever, is what runs. With the lock held. */
void tcg_recheck(struct tcg *t);
/* The vCPU serializes. */
static inline void tcg_serialize(struct cpu *c)
{
	struct tcg *t = tcg_of(c);

	if (!t->cache->n_suspects)
		return;
	tcg_lock(t);
	tcg_recheck(t);
	tcg_unlock(t);
}
/* Translated code is about to store there, to a page with code. False: and nothing there is translated. */
bool tcg_will_store(struct tcg *t, uint64_t ram, uint64_t n);

/* ---- run.c ---- */
/* Somebody else wrote to RAM addresses that there may be code of. Any thread, no lock. Not light. */
void tcg_note_write(struct code_cache *k, uint64_t ram, uint64_t n);

/*
 * The instruction under way is to be in one piece for all vCPUs, and the host cannot do that: unless it
 * is so already it is begun again while no other vCPU runs.
 */
void tcg_alone(struct cpu *c);

/* ---- smc_light.c ---- */
/* RAM addresses [ram, ram + n) were or will be written: drop the blocks made from them. With the lock held. */
void tcg_smc(struct tcg *t, uint64_t ram, uint64_t n);
void tcg_code_written(struct cpu *c, uint64_t pa, int n);
/* Does block tb contain bytes of [ram, ram + n)? */
bool tcg_overlaps(const struct tb *tb, uint64_t ram, uint64_t n);
/*
 * The same, or did its translation look at them: to see which flags a jump's target on
 * the same page needs, up to PEEK_BYTES of it were read.
 */
#define PEEK_BYTES	32u
bool tcg_depends(struct code_cache *k, const struct tb *tb, uint64_t ram, uint64_t n);
/* Chunks (struct code_page) of its first or second page whose bytes the block depends on. */
uint64_t tcg_chunks(const struct tb *tb, int second);
/*
 * May the block at that RAM address guess by peeking what its targets need? Not for a
 * second after a guess was wrong, or after two stores in a row to bytes it peeked at: code that is
 * patched all the time would be dropped for its neighbours' sake. A page that gets other
 * contents is hit once, and is not to lose by it.
 */
bool tcg_may_peek(const struct tcg *t, uint64_t ram);
void tcg_peek_was_wrong(struct tcg *t, uint64_t ram);
void tcg_peek_was_hit(struct tcg *t, uint64_t ram);

/* ---- slow_light.c: callbacks of the stubs ---- */
uint8_t *tcg_cb_slow(struct cpu *c, uint64_t va, uint64_t info, uint64_t ret);
uint8_t *tcg_cb_group(struct cpu *c, uint64_t va, uint64_t info, uint64_t ret);
void tcg_cb_commit(struct cpu *c);
void tcg_cb_roam(struct cpu *c, uint64_t va, uint64_t what, uint64_t ret);
void tcg_cb_raise(struct cpu *c, uint64_t imm);

#endif
