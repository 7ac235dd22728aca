/*
 * The guest's memory and registers as an ELF core file, which gdb and crash open.
 * The vCPUs stand.
 */
#ifndef UI_DUMP_H
#define UI_DUMP_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"

struct vm;

struct dump_options {
	const char *file;		/* for messages, too */
	int fd;				/* opened already, closed by the dump; -1: `file` is to be */
	bool paging;			/* segments by virtual address, too: the page tables are read */
	bool filter;			/* only guest-physical begin .. begin + length */
	uint64_t begin, length;
};

bool dump_write(struct vm *vm, const struct dump_options *o, struct err *e);

#endif
