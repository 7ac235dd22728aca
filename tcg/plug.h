/*
 * Plugins (contract for them: tcg/rhea-plugin.h): who they are, what they have registered, and
 * how it comes into translated code.
 *
 * A block that is translated is shown to them behind the front end; what they register is
 * kept until all translations are flushed, and plug_weave() puts µops for
 * it between those of the block. So both back ends serve them alike, and code of a machine without
 * plugins is what it is without this file. With them, blocks end at jumps, the translator is reached from
 * the run loop only, and only loops that nothing but counters hook into become regions.
 *
 * What is counted when:
 *	in front of an instruction	calls, entries of streams. Where Rhea begins an instruction again by
 *					itself (a store into its own block, a device that wants to be
 *					alone, a repeated string instruction that looks for requests) its new
 *					translation has MODE_AGAIN and nothing in front.
 *	behind it			counters and accesses. Additions wait for the next exit or call, so that
 *					instructions share one; what waits when one faults is in struct plug_left.
 *
 * Not modelled: a jump that faults because its target may not be executed has counted as complete.
 */
#ifndef TCG_PLUG_H
#define TCG_PLUG_H

#include <pthread.h>

#include "cpu/seen.h"
#include "tcg/rhea-plugin.h"
#include "tcg/uop.h"

struct code_cache;
struct tcg;

/* ---- records of translations, which µops point to ---- */

struct plug_call {
	void (*fn)(struct rhea_vcpu *v, void *data);
	void *data;
};

/* One of an instruction's memory hooks. */
struct plug_memhook {
	enum { PLUG_CALL, PLUG_ADD, PLUG_TRACE } kind;
	unsigned how;			/* RHEA_READ | RHEA_WRITE that it wants */
	void (*fn)(struct rhea_vcpu *v, const struct rhea_access *a, void *data);
	void *data;
	uint32_t at;			/* counter, stream */
	uint32_t arg;			/* addend, tag */
};

struct plug_mem {
	uint64_t rip;
	unsigned n;
	struct plug_memhook hook[];
};

/* An access that the generated code makes itself. */
struct plug_access {
	const struct plug_mem *mem;
	uint32_t size, how, slot;
};

/* Entry of a stream; an access's va is in a slot. */
struct plug_entry {
	struct rhea_trace t;
	uint32_t stream;
	int slot;			/* -1: t.va */
};

/*
 * Additions of complete instructions that translated code has not made yet when the instruction at
 * `off` faults or is left for other code: what tcg_stop_at() makes up for.
 */
struct plug_add {
	uint32_t counter;
	int32_t n;
};
struct plug_left {
	unsigned n;
	struct plug_left_at {
		uint16_t off;		/* of the instruction, from the block's start */
		uint16_t n;
		const struct plug_add *add;
	} at[];
};

/* ---- per vCPU ---- */

/* Of a stream, in the vCPU's memory. */
struct plug_stream {
	struct rhea_trace *next, *limit, *first;
};

#define PLUG_MEMORY	(256u << 20)	/* address space for a vCPU's counters and streams */
#define PLUG_ENTRIES	4096u		/* of a stream, */
#define PLUG_SLACK	(IR_MAX_UOPS + 1u)	/* and so many more that a block may append */

struct plug_cpu {
	uint8_t *memory;
	bool again;			/* the instruction at again_rip is to be begun again without its hooks in front */
	bool open;			/* ... but interrupts may come before */
	uint64_t again_rip;
	uint64_t rip;			/* of the instruction whose callback runs, */
	bool has_rip;			/* if it is not cpu->rip */
	const struct plug_mem *mem;	/* of the instruction whose accesses are noted */
	struct cpu_seen seen;
	bool asleep;			/* it was told so */
	struct rhea_block *block;	/* scratch of plug_translate() */
	const struct plug_left *left_next;	/* of the block being translated, or NULL */
};

/* ---- ui: loading and ending ---- */

#define PLUG_MAX	16		/* plugins */
#define PLUG_MAX_CPUS	256

struct plugins *plugins_new(const char *machine_name, unsigned ncpus);
/* Install a plugin from its entry; the arguments must outlive it. */
typedef int plugin_install_fn(struct rhea_plugin *self, const struct rhea_api *api, int argc, const char *const *argv);
bool plugins_add(struct plugins *p, const char *name, plugin_install_fn *install, int argc, const char *const *argv,
		 struct err *e);
/* No vCPU runs any more: let them report. Once. */
void plugins_exit(struct plugins *p);
void plugins_free(struct plugins *p);

/* ---- run loop ---- */

struct plug_cpu *plug_cpu_new(struct cpu *c, struct err *e);
void plug_cpu_free(struct plug_cpu *p);
void plug_event(struct cpu *c, enum rhea_event what);
/* cpu_wait() with events around it. */
void plug_wait(struct cpu *c);
/* The run loop has been unwound to; restart: the instruction at c->rip is begun again. */
void plug_unwound(struct cpu *c, bool restart);
/* What the next instruction's mode word gets in addition. */
uint32_t plug_mode(struct cpu *c);
/* All translations are gone, of all vCPUs; by one of them: tell the plugins. */
void plug_flushed(struct tcg *t);
/* What plug_alloc() gave, for no µop points to it any more. */
void plug_free_records(struct code_cache *cache);

/* ---- translation ---- */

/*
 * Show t->ir, made from `bytes`, to the plugins and put in what they want. False: it cannot be a region; or
 * there is no room, try with fewer instructions (with one there always is: what is too much is left out
 * with a warning).
 */
bool plug_translate(struct cpu *c, const uint8_t *bytes);
/* Block n is left in front of the instruction at that offset, not by an exit. Light. */
void plug_stopped(struct tcg *t, uint32_t n, unsigned off);

/* ---- between the files of this ---- */

struct plug_hook {
	uint16_t next;			/* of the same instruction, or 0 */
	enum { HOOK_BLOCK, HOOK_BEFORE, HOOK_AFTER, HOOK_MEM } where;
	unsigned flags;			/* RHEA_REGS */
	struct plug_memhook m;		/* its kind and arguments, whatever it hooks */
	void (*fn)(struct rhea_vcpu *v, void *data);	/* instead of m.fn, where it is no access */
};

#define PLUG_MAX_HOOKS	4096
#define PLUG_BLOCK	IR_MAX_REGION	/* instead of an instruction's number: the block's own hooks */

struct rhea_insn {
	struct rhea_block *b;
	unsigned n;
};

/* A block being shown. */
struct rhea_block {
	struct cpu *c;
	struct tcg *t;
	const struct ir *ir;
	const uint8_t *bytes;
	unsigned n_insns;
	bool overflow;
	unsigned n_hooks;		/* from 1 on */
	uint16_t first[PLUG_BLOCK + 1], last[PLUG_BLOCK + 1];	/* hooks of each instruction; the last ones: of the block */
	struct rhea_insn insn[IR_MAX_REGION];
	struct plug_hook hook[PLUG_MAX_HOOKS];
	struct uop out[IR_MAX_UOPS];	/* plug_weave()'s */
	struct plug_left_at left[IR_MAX_REGION];
	unsigned n_left;
};

/* Put the hooks of b into ir. False: no room. */
bool plug_weave(struct ir *ir, struct rhea_block *b);
/* Memory that lives as long as the translations. */
void *plug_alloc(struct tcg *t, size_t n);
/* A hook for instruction n, or PLUG_BLOCK. */
struct plug_hook *plug_hook(struct rhea_block *b, unsigned n);
extern const struct rhea_api plug_api;
/* Hand out what is in the vCPU's streams. */
void plug_drain_all(struct cpu *c);

#define PLUG_MAX_STREAMS 16
struct rhea_plugin {
	struct plugins *all;
	char name[64];
	struct err err;
	void (*on_block)(struct rhea_vcpu *v, const struct rhea_block *b, void *data);
	void *block_data;
	void (*on_vcpu[RHEA_N_EVENTS])(struct rhea_vcpu *v, void *data);
	void *vcpu_data[RHEA_N_EVENTS];
	void (*on_flush)(struct rhea_vcpu *v, void *data);
	void *flush_data;
	void (*on_exit)(void *data);
	void *exit_data;
};

struct plugins {
	char machine_name[64];
	unsigned ncpus;
	pthread_mutex_t lock;		/* for what follows */
	uint32_t used;			/* bytes of every vCPU's memory */
	uint8_t *memory[PLUG_MAX_CPUS];	/* stays until the plugins go */
	unsigned n, n_streams;
	struct rhea_plugin list[PLUG_MAX];
	struct plugin_stream {
		uint32_t at;		/* offset of its struct plug_stream */
		void (*fn)(struct rhea_vcpu *v, const struct rhea_trace *t, size_t n, void *data);
		void *data;
	} stream[PLUG_MAX_STREAMS];
};

static inline struct rhea_vcpu *plug_vcpu(struct cpu *c) { return (struct rhea_vcpu *)(void *)c; }

#endif
