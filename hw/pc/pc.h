/*
 * PC boards: the classic one (i440FX host bridge, PIIX3 ISA bridge, PIIX IDE and
 * PIIX4 power management) and q35 (PCI Express, ICH9); VGA, and the AT devices
 * behind the ISA bridge.
 *
 * ui/main.c fills a struct pc_config from the command line and calls pc_new().
 * Strings and byte streams are the caller's and outlive the board.
 */
#ifndef HW_PC_PC_H
#define HW_PC_PC_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "hw/backend/drive.h"
#include "hw/display/surface.h"

struct dev;
struct machine;
struct chr;
struct cpu;
struct phys;
struct fwcfg;
struct vga;
struct pc;

enum pc_if {
	PC_IF_IDE,		/* a drive of the board's controller */
	PC_IF_VIRTIO,		/* a virtio-blk-pci device of its own */
	PC_IF_SCSI,		/* a unit of the first SCSI controller; index is the target */
	PC_IF_FLOPPY,		/* a drive of the floppy controller; index is 0 or 1 */
	PC_IF_PFLASH,		/* firmware flash; index is the unit */
	PC_IF_NONE,		/* only an image for a -device to refer to */
};

struct pc_drive {
	enum pc_if interface;
	int index;		/* IDE position 0..3 (bus * 2 + unit), SATA port 0..5, SCSI target, floppy drive, flash unit; -1: next free one */
	struct drive_options drive;	/* id NULL: made from the position */
};

/* One -device option (or its QEMU-style equivalent): driver name and the text behind it. */
struct pc_device {
	const char *driver;	/* "isa-debug-exit", "pc-testdev", ... */
	const char *options;	/* "iobase=0xf4,iosize=4", or NULL */
};

#define PC_MAX_DRIVES	16
#define PC_IDE_DRIVES	6		/* SATA ports, on boards that have those */
#define PC_SCSI_TARGETS	256
#define PC_FLOPPIES	2
#define PC_FLASHES	2
#define PC_MAX_DEVICES	32
#define PC_MAX_SERIALS	4
#define PC_MAX_CPUS	64
#define PC_CPU_ID	64		/* bytes of its name */
#define PC_MAX_SMBIOS	16
#define PC_MAX_FWCFG	16

enum pc_board { PC_BOARD_I440FX, PC_BOARD_Q35, PC_BOARD_MICROVM, PC_BOARD_NONE };
enum pc_vga { PC_VGA_STD, PC_VGA_NONE };

struct pc_config {
	enum pc_board board;
	uint64_t ram_size;		/* bytes, a multiple of 4 KiB, at least 1 MiB */
	int ncpus;			/* 1 .. PC_MAX_CPUS, those that may be added later included */
	int online;			/* so many of them are there at the start; 0: all */
	int sockets, cores, threads;	/* of the board, a socket, a core; 0: one */

	/* -kernel; NULL: boot from the firmware's devices. Multiboot: initrd is "file args,file args". */
	const char *kernel, *initrd, *append;
	const char *bios;		/* file name; NULL: bios-256k.bin */
	const char *const *dirs;	/* -L, NULL-terminated, may be NULL */

	const char *boot_order;		/* letters of "acdnp"; NULL: disk, then CD */
	bool boot_menu, boot_strict;
	int boot_splash_time;		/* milliseconds the menu waits; 0: default */
	int reboot_timeout;		/* milliseconds before a failed boot is repeated; -1: never */

	struct pc_drive drives[PC_MAX_DRIVES];
	int ndrives;
	bool empty_cd, empty_floppy;	/* drives without a medium where they are expected, if the place is free */
	const char *pflash[PC_FLASHES];	/* ids of if=none drives that are flash as well, or NULL */

	struct chr *serials[PC_MAX_SERIALS];	/* NULL: port absent */
	struct chr *parallel;		/* NULL: port absent */
	struct chr *debugcon;		/* NULL: no device at debugcon_port */
	uint16_t debugcon_port;		/* 0: 0x402 */

	const char *pcspk;		/* the audiodev where the loudspeaker is heard; NULL: nowhere */
	enum pc_vga vga;
	bool has_uuid;
	uint8_t uuid[16];		/* in the order it is printed */
	const char *name;		/* -name; may be NULL */

	bool no_acpi, no_hpet;
	bool usb;			/* the PIIX3's USB controller */
	bool no_smm;			/* firmware does not set up system-management mode */
	bool no_reboot, no_shutdown;	/* what the machine does on reset/power-off requests */

	struct pc_device devices[PC_MAX_DEVICES];
	int ndevices;

	/* -fw_cfg name=...,file= or string= */
	struct { const char *name, *file, *string; } fwcfg[PC_MAX_FWCFG];
	int nfwcfg;
	/* -smbios type=N,field=value,... */
	const char *smbios[PC_MAX_SMBIOS];
	int nsmbios;
};

/*
 * Build the board: RAM, firmware, devices. `m` is the machine the devices and
 * the physical address space belong to. NULL with err filled on failure. The
 * board is freed with pc_free() after the vCPUs stopped.
 */
struct pc *pc_new(const struct pc_config *cfg, struct machine *m, struct err *e);
void pc_free(struct pc *pc);

/*
 * Attach the vCPUs (once, before they run): after pc_new(), pc_board() tells
 * what to put into cpu_config.board, so: pc_new, cpu_new * n, pc_set_cpus.
 */
struct cpu_board;
struct cpu_board pc_cpu_board(struct pc *pc);
void pc_set_cpus(struct pc *pc, struct cpu **cpus, int n);
/* The guest-physical space for cpu_config.phys. */
struct phys *pc_phys(struct pc *pc);

/* Reset every device (machine lock, vCPUs stopped or being reset by the caller). */
void pc_reset(struct pc *pc);
/* The same for a wake-up from S3: firmware will find that it was one. */
void pc_wake(struct pc *pc);
/* Another boot order from the next reset on: letters as in pc_config, or NULL. Machine lock. */
void pc_set_boot_order(struct pc *pc, const char *order);
/* The power button (system_powerdown) and the NMI button. Machine lock. */
void pc_power_button(struct pc *pc);
void pc_nmi(struct pc *pc);

/*
 * The user has added a device while the machine runs: tell the guest. False: its place
 * is not for that; the device is freed. Machine lock.
 */
bool pc_plugged(struct pc *pc, struct dev *d, struct err *e);
/*
 * The user takes one away: at once, or, if its slot can ask the guest, when the guest
 * has let go of it. A DEVICE_DELETED event follows either way. vCPUs are held, machine lock.
 */
bool pc_unplug(struct pc *pc, struct dev *d, struct err *e);

/*
 * Processor n comes or goes while the machine runs; `id` names it towards the user. The guest is
 * told, or asked first; a DEVICE_DELETED event says when it has gone. vCPUs are held, machine lock.
 */
bool pc_plug_cpu(struct pc *pc, int n, const char *id, struct err *e);
bool pc_unplug_cpu(struct pc *pc, int n, struct err *e);
/* The name of a processor that the user has added; false: it is none. */
bool pc_cpu_id(const struct pc *pc, int n, char id[PC_CPU_ID]);

/* Write what the display shows to a file. Machine lock. False: no display, or the file failed. */
bool pc_screendump(struct pc *pc, const char *path, enum surface_format f, struct err *e);
/* The display, or NULL. */
struct vga *pc_vga(struct pc *pc);

#endif
