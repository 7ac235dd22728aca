/*
 * Asks the host processor what bytes are: an undefined instruction, an instruction that
 * wants more bytes, or one that does something.
 *
 * The bytes stand at the end of a page behind which nothing can be executed, in a child
 * process that is traced: it executes one instruction at a time, its system calls are
 * stopped before the kernel sees them, and what it does to its memory and registers hurts
 * nobody. So any bytes may be tried, except those that call the hypervisor.
 *
 * x86-64 Linux only; elsewhere, or if the kernel forbids it, probe_open() is false.
 */
#ifndef TESTS_INSN_PROBE_H
#define TESTS_INSN_PROBE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "tests/insn/host.h"

enum probe_result {
	PROBE_UD,		/* #UD */
	PROBE_MORE,		/* wants more than n bytes */
	PROBE_GP,		/* #GP without an address, or another such exception */
	PROBE_OTHER,		/* executed, or another exception */
};

struct probe {
	enum host_code code;
	pid_t child;
	uint8_t *page;		/* shared with the child, which executes it */
	uint64_t end;		/* behind the page */
};

bool probe_open(struct probe *p, enum host_code code);
void probe_close(struct probe *p);
/* What the first instruction in these n bytes (up to 32) is. */
enum probe_result probe_bytes(struct probe *p, const uint8_t *bytes, unsigned n);
/* Where RIP points after that. */
uint64_t probe_rip(const struct probe *p);

#endif
