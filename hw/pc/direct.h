/*
 * A kernel put into memory by the board itself, where no firmware runs.
 */
#ifndef HW_PC_DIRECT_H
#define HW_PC_DIRECT_H

#include "base/error.h"
#include "hw/pc/bytes.h"
#include "hw/pc/fwcfg.h"

struct direct;
struct machine;
struct pc_config;
struct ram;

struct direct_memory {
	uint64_t ram_size, low;		/* of which `low` bytes stand below 4 GiB */
	uint64_t acpi, acpi_size;	/* ACPI tables at the end of low memory; size 0: none */
	uint64_t rsdp;
};

/* Read the files of -kernel, -initrd and -append; `f` keeps what was read. */
struct direct *direct_new(const struct pc_config *cfg, struct fwcfg *f, const struct direct_memory *mem,
			  struct err *e);
void direct_free(struct direct *d);
/* Put everything in its place, and where to start into the start ROM (bios/microvm.S). */
void direct_load(const struct direct *d, struct machine *m, struct ram *rom);

#endif
