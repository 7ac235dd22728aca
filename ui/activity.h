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
 * "tcg, processor 97 %, disk 12.3 MB/s read 0 written, network 340 frames/s in 12 out": what has happened since
 * the last look. Of several processors the percentage is that of all together.
 */
void activity_text(const struct vm *vm, struct activity *last, char *buf, size_t n);

#endif
