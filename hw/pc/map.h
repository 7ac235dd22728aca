/*
 * Where things stand on the PC board: addresses, ports and lines that more
 * than one file of hw/pc/ needs (wiring, ACPI tables, firmware files).
 */
#ifndef HW_PC_MAP_H
#define HW_PC_MAP_H

#define PC_RAM_SPLIT	0xe0000000ull	/* RAM below, the rest from 4 GiB upwards */
#define PC_HOLE_END	0x100000000ull
#define PC_IOAPIC	0xfec00000u
#define PC_HPET		0xfed00000u
#define PC_LAPIC	0xfee00000u

/* SeaBIOS programs the PIIX4's register blocks to these ports. */
#define PC_PM_PORT	0x600
#define PC_SMB_PORT	0x700

#define PC_SCI		9
#define PC_SMI_PORT	0xb2
#define PC_ACPI_ENABLE	0xf1	/* commands at PC_SMI_PORT */
#define PC_ACPI_DISABLE	0xf0

#define PC_RESET_PORT	0xcf9
#define PC_RESET_VALUE	0x06

/* Slots on PCI bus 0. */
#define PC_SLOT_PIIX	1	/* functions: 0 ISA bridge, 1 IDE, 3 power management */
#define PC_SLOT_VGA	2
#define PC_SLOT_VGA_Q35	1
#define PC_SLOT_ICH9	0x1f	/* functions: 0 LPC bridge and power management, 2 AHCI, 3 SMBus */

/* microvm */
#define MICROVM_GED	0xfea00000ull
#define MICROVM_GED_GSI	9
#define MICROVM_VIRTIO	0xfeb00000ull
#define MICROVM_VIRTIO_GSI 16
#define MICROVM_TRANSPORTS 8

/* q35: RAM ends here if it would reach firmware's place for configuration space. */
#define PC_Q35_RAM_SPLIT 0x80000000ull
#define PC_Q35_ECAM	0xb0000000ull
#define PC_PIRQ_GSI	16	/* I/O APIC pin of PIRQ A */

#endif
