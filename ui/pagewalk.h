/*
 * All translations of an address space, for monitors and dumps: the guest's page
 * tables from CR3 on, read without side effects. The vCPU stands.
 */
#ifndef UI_PAGEWALK_H
#define UI_PAGEWALK_H

#include <stdbool.h>
#include <stdint.h>

struct cpu;

struct page_run {
	uint64_t va, pa, size;
	uint64_t entry;			/* the last level's */
	bool user, write, nx;		/* what all levels together allow */
};

/*
 * fn for every page in ascending order of va, until it returns false. False: paging
 * is off, or there are more tables than are worth reading.
 */
bool pagewalk(struct cpu *c, bool (*fn)(void *opaque, const struct page_run *r), void *opaque);
bool pagewalk_on(const struct cpu *c);

#endif
