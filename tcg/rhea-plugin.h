/*
 * The interface of Rhea's plugins: shared objects that look at what the guest executes.
 * docs/plugins.md explains it with an example; this file is the contract.
 *
 * A plugin exports two symbols:
 *
 *	const int rhea_plugin_abi = RHEA_PLUGIN_ABI;
 *	int rhea_plugin_install(struct rhea_plugin *self, const struct rhea_api *api,
 *				int argc, const char *const *argv);
 *
 * and, if it likes, `const char rhea_plugin_help[]`, which -plugin FILE,help prints. install
 * is called before the machine exists; argv holds what stood behind the file's name, "key=value"
 * or bare words. It returns 0, or anything else after api->error().
 *
 * Everything else is reached through `api`. Members are only ever added at its end, and api->size
 * says how many bytes of it there are; the number RHEA_PLUGIN_ABI changes when older plugins
 * would no longer work.
 *
 * Threads. Every vCPU has one of its own, on which all of its callbacks run, so a plugin
 * needs locks for what vCPUs share. A callback must not wait for another vCPU.
 *
 * Handles (struct rhea_vcpu, rhea_block, rhea_insn) are Rhea's. Those of blocks and
 * instructions are good until the callback that got them returns.
 */
#ifndef RHEA_PLUGIN_H
#define RHEA_PLUGIN_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define RHEA_PLUGIN_ABI 1

struct rhea_plugin;
struct rhea_vcpu;
struct rhea_block;
struct rhea_insn;

/* What happens to a vCPU. */
enum rhea_event {
	RHEA_VCPU_INIT,		/* it is about to run for the first time */
	RHEA_VCPU_EXIT,		/* it has run for the last time */
	RHEA_VCPU_IDLE,		/* it goes to sleep: HLT, or waiting to be started */
	RHEA_VCPU_RESUME,	/* it has woken up */
	RHEA_N_EVENTS
};

/* Flags of a callback. */
#define RHEA_REGS	1u	/* reg_read() and the counters of other hooks are exact in it: dearer */

/* Kinds of access; an instruction that reads and writes one place makes one access with both bits. */
#define RHEA_READ	1u
#define RHEA_WRITE	2u

struct rhea_access {
	uint64_t va;		/* linear address of the first byte */
	uint32_t size;		/* bytes; they may lie on two pages */
	uint32_t how;		/* RHEA_READ | RHEA_WRITE */
	uint64_t rip;		/* of the instruction */
};

/* One entry of a trace. */
struct rhea_trace {
	uint64_t va;		/* of the instruction, or of the access */
	uint32_t tag;		/* as registered */
	uint16_t size;		/* bytes */
	uint16_t how;		/* 0: an instruction is executed; else RHEA_READ | RHEA_WRITE */
};

/*
 * 64-bit counters that every vCPU has its own of: an offset, the same for all of them.
 * 0 is no counter.
 */
typedef uint32_t rhea_counter;
/* Where a trace is kept, likewise. */
typedef uint32_t rhea_stream;

struct rhea_block_info {
	uint64_t va;		/* linear address of the first byte */
	uint64_t rip;		/* the same as an offset from CS */
	uint64_t pa;		/* guest-physical address of the first byte */
	uint32_t bytes, insns;
	uint8_t bits;		/* of the code segment: 16, 32, 64 */
	uint8_t cpl;
};

struct rhea_insn_info {
	uint64_t va, rip, pa;	/* as above */
	const uint8_t *bytes;
	uint32_t len;
	const char *name;	/* mnemonic in small letters; "(bad)" if the bytes are no instruction */
};

struct rhea_machine_info {
	const char *name;	/* of the guest; "" if it has none */
	uint32_t vcpus;
};

struct rhea_api {
	uint32_t abi, size;

	/* ---- in install() ---- */

	/* Why install fails: one line, printf-like. */
	void (*error)(struct rhea_plugin *self, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
	/*
	 * Called with every block that is translated, for whichever vCPU comes to it first: all run it. There the block_,
	 * insn_ and mem_ functions below may be used.
	 */
	void (*on_block)(struct rhea_plugin *self,
			 void (*fn)(struct rhea_vcpu *v, const struct rhea_block *b, void *data), void *data);
	void (*on_vcpu)(struct rhea_plugin *self, enum rhea_event what,
			void (*fn)(struct rhea_vcpu *v, void *data), void *data);
	/*
	 * All translations are gone, those of other vCPUs, too, which do not run meanwhile: nothing registered in
	 * blocks until now is called any more.
	 */
	void (*on_flush)(struct rhea_plugin *self, void (*fn)(struct rhea_vcpu *v, void *data), void *data);
	/* The machine ends, and no vCPU runs any more: the place for a report. */
	void (*on_exit)(struct rhea_plugin *self, void (*fn)(void *data), void *data);
	/* A stream whose entries come to fn in the order of execution, many at a time. 0: too many. */
	rhea_stream (*stream_new)(struct rhea_plugin *self,
				  void (*fn)(struct rhea_vcpu *v, const struct rhea_trace *t, size_t n, void *data),
				  void *data);

	/* ---- at any time ---- */

	/* n counters in a row, 8 bytes from one to the next, all 0; 0: no room for so many. */
	rhea_counter (*counter_new)(struct rhea_plugin *self, uint32_t n);
	/* A vCPU's counter; NULL if there is no such vCPU or it has not run. */
	uint64_t *(*counter_of)(struct rhea_plugin *self, rhea_counter c, unsigned vcpu);
	/* The sum over all vCPUs. */
	uint64_t (*counter_sum)(struct rhea_plugin *self, rhea_counter c);
	/* To the log, if -d plugin is given (or switched on by the monitor); -D FILE says where that is. */
	void (*log)(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
	/* To the same place whether or not it is given: for reports somebody asked for. */
	void (*print)(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
	struct rhea_machine_info (*machine)(struct rhea_plugin *self);
	unsigned (*vcpu_index)(const struct rhea_vcpu *v);

	/* ---- in on_block()'s callback ---- */

	struct rhea_block_info (*block_info)(const struct rhea_block *b);
	const struct rhea_insn *(*block_insn)(const struct rhea_block *b, unsigned n);	/* NULL: past the end */
	struct rhea_insn_info (*insn_info)(const struct rhea_insn *i);
	/* Disassembly in Intel syntax; the length as of snprintf. */
	int (*insn_text)(const struct rhea_insn *i, char *buf, size_t n);

	/*
	 * Whenever the block is entered. A block is executed from its first instruction to its last
	 * unless an instruction faults.
	 */
	void (*block_call)(const struct rhea_block *b, void (*fn)(struct rhea_vcpu *v, void *data), void *data,
			   unsigned flags);
	void (*block_add)(const struct rhea_block *b, rhea_counter c, int32_t n);
	/*
	 * In front of the instruction, each time the guest begins it. One that faults and is begun again
	 * by the guest is begun twice; what Rhea begins again for reasons of its own is not.
	 */
	void (*insn_call)(const struct rhea_insn *i, void (*fn)(struct rhea_vcpu *v, void *data), void *data,
			  unsigned flags);
	/* Behind the instruction, when it is complete: one that faults adds nothing. */
	void (*insn_add)(const struct rhea_insn *i, rhea_counter c, int32_t n);
	/* An entry in front of the instruction, as insn_call. */
	void (*insn_trace)(const struct rhea_insn *i, rhea_stream s, uint32_t tag);
	/*
	 * The instruction's accesses of one of the kinds in `how`, once it is complete, in their order:
	 * those of one that faults are not seen, but for the elements a repeated string instruction has done.
	 */
	void (*mem_call)(const struct rhea_insn *i, unsigned how,
			 void (*fn)(struct rhea_vcpu *v, const struct rhea_access *a, void *data), void *data);
	void (*mem_add)(const struct rhea_insn *i, unsigned how, rhea_counter c, int32_t n);
	void (*mem_trace)(const struct rhea_insn *i, unsigned how, rhea_stream s, uint32_t tag);

	/* ---- on the vCPU's thread, in any of its callbacks; registers: those with RHEA_REGS, mem_call, on_vcpu ---- */

	/* A register by its name in the manuals ("rax", "cr3", "cs", "eflags"; or "xmm0", 16 bytes): its bytes, 0: no such. */
	size_t (*reg_read)(struct rhea_vcpu *v, const char *name, void *buf, size_t n);
	/* Guest memory as the vCPU sees it, without side effects; false: not mapped, or no RAM or ROM. */
	_Bool (*mem_read)(struct rhea_vcpu *v, uint64_t va, void *buf, size_t n);
	/* The guest-physical address of a linear one; false: not mapped. *device (if not NULL): neither RAM nor ROM. */
	_Bool (*va_to_pa)(struct rhea_vcpu *v, uint64_t va, uint64_t *pa, _Bool *device);
};

#ifdef __cplusplus
}
#endif
#endif
