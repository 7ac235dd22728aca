/*
 * ACPI tables of the PC board, as files that SeaBIOS's (and OVMF's) table
 * loader fetches by fw_cfg: one blob with all tables, one with the RSDP, and a
 * script that places them, fixes pointers and sums.
 */
#ifndef HW_PC_ACPI_H
#define HW_PC_ACPI_H

#include <stdbool.h>

#include "hw/pc/bytes.h"

struct acpi_config {
	int ncpus;
	int cores, threads;		/* of a package, a core: they make the APIC ids */
	bool hpet;
	bool serial[4], parallel;
	uint32_t pci_mem_start;		/* first address of the PCI memory window */
	uint64_t pci_mem64_start, pci_mem64_end;	/* window above 4 GiB; 0: none */
};

struct acpi_files {
	struct bytes tables, rsdp, loader;
};

void acpi_build(const struct acpi_config *cfg, struct acpi_files *out);
void acpi_files_fini(struct acpi_files *f);
/* The DSDT's definition block, without a table header (hw/pc/dsdt.c). */
void acpi_build_dsdt(const struct acpi_config *cfg, struct bytes *out);

#endif
