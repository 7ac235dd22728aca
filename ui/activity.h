/* What the machine is doing, as one line for people. Main loop's thread, machine lock. */
#ifndef UI_ACTIVITY_H
#define UI_ACTIVITY_H

#include <stddef.h>
#include <stdint.h>

struct vm;

/* Sums as they were at the last look; all 0 before the first. */
struct activity {
	uint64_t at, cpu_ns, read, written, in, out;
};

/*
 * "tcg 97% | disk read 12.3M write 0 | net in 340 out 12": the accelerator, how much of a processor its threads take
 * (all together), bytes and frames a second; since the last look.
 */
void activity_text(const struct vm *vm, struct activity *last, char *buf, size_t n);

#endif
