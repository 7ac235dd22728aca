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
	int ncpus;			/* there can be; */
	uint64_t absent;		/* a bit for each that does not exist now */
	bool cpu_hotplug;		/* they come and go, by hw/acpi/cpuhp.h */
	int cores, threads;		/* of a package, a core: they make the APIC ids */
	bool hpet;
	bool serial[4], parallel, floppy;
	bool reduced;			/* hardware-reduced: the board microvm, */
	int transports;			/* and its virtio-mmio transports */
	bool q35;			/* chips and slots of that board; else those of pc */
	bool no_s3, no_s4;		/* these sleep states are not offered */
	uint16_t pm_base;		/* power management ports: 0x600 ... */
	uint64_t ecam;			/* q35: where configuration space is mapped, */
	unsigned ecam_buses;		/* and how many buses of it */
	uint32_t hotplug_slots;		/* of bus 0, by hw/acpi/pcihp.h; bit per slot */
	uint32_t pci_mem_start;		/* first address of the PCI memory window */
	uint64_t pci_mem64_start, pci_mem64_end;	/* window above 4 GiB; 0: none */
};

/* General-purpose events: where their block is from pm_base, and its length. */
struct acpi_gpe {
	uint8_t at, len;
};
static inline struct acpi_gpe acpi_gpe(const struct acpi_config *cfg)
{
	return cfg->q35 ? (struct acpi_gpe){ 0x20, 16 } : (struct acpi_gpe){ 0x0c, 4 };
}

struct acpi_files {
	struct bytes tables, rsdp, loader;
};

void acpi_build(const struct acpi_config *cfg, struct acpi_files *out);
void acpi_files_fini(struct acpi_files *f);
/*
 * Carry the script out for tables that begin at `pa`; the RSDP is put behind them.
 * Its address.
 */
uint64_t acpi_place(struct acpi_files *f, uint64_t pa);
/* The DSDT's definition block, without a table header (hw/pc/dsdt.c). */
void acpi_build_dsdt(const struct acpi_config *cfg, struct bytes *out);
/* The same for hardware-reduced ACPI (hw/pc/dsdt_reduced.c). */
void acpi_build_reduced_dsdt(const struct acpi_config *cfg, struct bytes *out);
/* Hot-plug slots, inside PCI0, and the handler of their event, outside (hw/pc/dsdt_slots.c). */
void acpi_build_slots(const struct acpi_config *cfg, struct bytes *out);
void acpi_build_slot_events(const struct acpi_config *cfg, struct bytes *out);
/* Processors, inside _SB, and the handler of their event, outside (hw/pc/dsdt_cpus.c). */
void acpi_build_cpus(const struct acpi_config *cfg, struct bytes *out);
void acpi_build_cpu_events(const struct acpi_config *cfg, struct bytes *out);
/* Its part about PCI interrupts, inside PCI0 (hw/pc/dsdt_irq.c). */
void acpi_build_pci_irqs(const struct acpi_config *cfg, struct bytes *out);

#endif
