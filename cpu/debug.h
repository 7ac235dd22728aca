/*
 * What a debugger outside of the guest has asked of a vCPU: breakpoints,
 * watchpoints, single steps. None of it is guest state, and the guest sees
 * nothing of it: its own debug registers and TF are served besides.
 *
 * Addresses are linear. The lists change only while the vCPU stands. An
 * accelerator looks at `breaks` before an instruction is run; watchpoints are met
 * inside cpu/mmu_access.c. Either sets `why`, and the accelerator's run() then
 * comes back with ACCEL_DEBUG in front of the next instruction.
 */
#ifndef CPU_DEBUG_H
#define CPU_DEBUG_H

#include <stdbool.h>
#include <stdint.h>

struct cpu;

/* Numbers, ascending, none twice; as many as there is memory for. All 0: empty. */
struct debug_list {
	uint64_t *at;
	unsigned n, room;
};

enum debug_why { DEBUG_NOTHING, DEBUG_STEP, DEBUG_BREAK, DEBUG_WATCH };

/* Which accesses a watchpoint is for. */
enum debug_kind { DEBUG_WRITE = 1, DEBUG_READ = 2, DEBUG_ACCESS = 3 };

struct debug_watch {
	uint64_t va, n;			/* n > 0; does not wrap */
	enum debug_kind kind;
};

struct cpu_debug {
	struct debug_list breaks;
	struct debug_watch *watches;
	unsigned n_watches, room_watches;

	bool step;			/* run one instruction, then stop with DEBUG_STEP */
	bool step_irq;			/* that step takes interrupts as usual */
	bool stepped;			/* the instruction has been begun */

	enum debug_why why;		/* the reason to stop, until the debugger has taken it */
	struct debug_watch met;		/* DEBUG_WATCH: the watchpoint */
	uint64_t met_at;		/* its first byte that was accessed */

	/*
	 * The debugger has been told that it stands here: going on does not stop again
	 * for a breakpoint here. (gdb steps over its own, but takes no CS base into account.)
	 */
	bool seen;
	uint64_t seen_pc;

	/* For watchpoints: an instruction that meets one among others is begun again alone. */
	bool alone;			/* what runs is one instruction, or none: do not begin again */
	bool again;			/* to be begun again */
};

/* ---- light ---- */

/* The linear address of the next instruction. */
uint64_t debug_pc(const struct cpu *c);
/* The place of the first that is not below v; l->n if all are. */
unsigned debug_place(const struct debug_list *l, uint64_t v);
bool debug_has(const struct debug_list *l, uint64_t v);
/* Is there a breakpoint at va? */
bool debug_at_break(const struct cpu_debug *d, uint64_t va);
/* How far behind va, up to n, the next breakpoint is; n if there is none. One at va itself does not count. */
unsigned debug_next_break(const struct cpu_debug *d, uint64_t va, unsigned n);
/* Does the page of va hold watched bytes? */
bool debug_watches_page(const struct cpu_debug *d, uint64_t va);
/* An access is about to happen: does it meet a watchpoint? May unwind to the run loop. */
void debug_access(struct cpu *c, uint64_t va, uint64_t n, bool write);

/* ---- while the vCPU stands ---- */

/* One that is there already is fine. False: no memory. */
bool debug_list_add(struct debug_list *l, uint64_t v);
/* False: it is not there. */
bool debug_list_del(struct debug_list *l, uint64_t v);
/* Become the same numbers. False: no memory. */
bool debug_list_copy(struct debug_list *l, const struct debug_list *from);
void debug_list_free(struct debug_list *l);

/* False: no memory, or the range wraps. One that exists already is fine. */
bool debug_add_break(struct cpu *c, uint64_t va);
bool debug_add_watch(struct cpu *c, const struct debug_watch *w);
/* False: there is no such one. */
bool debug_del_break(struct cpu *c, uint64_t va);
bool debug_del_watch(struct cpu *c, const struct debug_watch *w);
/* Everything of the above, and steps not taken yet. */
void debug_clear(struct cpu *c);
void debug_fini(struct cpu *c);

#endif
