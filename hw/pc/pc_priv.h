/*
 * The board's parts, shared by the files that connect them: board.c (devices and
 * lines), pc.c and q35.c (chipsets), pc_cpu.c (processors), pc_drives.c (disks).
 */
#ifndef HW_PC_PC_PRIV_H
#define HW_PC_PC_PRIV_H

#include <inttypes.h>
#include <stdarg.h>

#include "hw/core/dev.h"
#include "hw/pc/acpi.h"
#include "hw/core/snapshot.h"
#include "hw/pc/pc.h"
#include "hw/timer/tick.h"

struct direct;
struct pc;

enum { LINE_DEVICE, LINE_PIRQ, LINE_SCI };	/* who may pull an ISA line */

/* What a board has of its own. */
struct board {
	const char *name;			/* snapshots of other boards do not fit */
	const char *ide_addr;			/* of the PIIX IDE function; NULL: there is none */
	const char *ahci_addr;			/* of the SATA controller; NULL: there is none */
	const char *usb_addr;			/* of the USB controller */
	int vga_slot;
	uint64_t (*low)(uint64_t size);		/* how much of so much RAM stands below 4 GiB */
	/* Make host bridge, south bridge and what is in them: host, isa, pm. NULL: the board is empty. */
	bool (*chipset)(struct pc *pc, struct err *e);
	void (*connect)(struct pc *pc);		/* their interrupt lines */
	bool (*connect_memory)(struct dev *host, struct ram *ram, struct ram *rom, uint64_t low, struct err *e);
	/* A board without PCI, VGA, keyboard and firmware: what it has instead; others leave these out. */
	bool bare;
	bool (*make_devices)(struct pc *pc, struct err *e);	/* devices only this board has; any board */
	bool (*make_start)(struct pc *pc, struct err *e);	/* instead of firmware */
	void (*reset)(struct pc *pc);				/* after the devices */
	void (*fini)(struct pc *pc);
	void (*power_button)(struct pc *pc);
	/* What the tables tell of these chips: registers as they are now. */
	void (*describe)(const struct pc *pc, struct acpi_config *a);
};
extern const struct board board_i440fx, board_q35, board_microvm, board_none;

struct pc {
	struct pc_config cfg;
	const struct board *board;
	struct machine *m;
	struct cpu **cpus;
	int ncpus;

	struct ram *ram, *rom;
	uint64_t low;			/* bytes of RAM below 4 GiB */

	struct dev *host, *isa, *pm, *pic, *ioapic, *dma, *pit, *rtc, *hpet, *fwcfg, *vga, *ide;
	struct dev *lapic[PC_MAX_CPUS];
	struct dev *cpuhp;		/* processors that come and go, or NULL */
	struct dev *ged;		/* microvm: power management */
	struct acpi_files tables;	/* ... tables that stand in memory, */
	uint64_t rsdp;			/* their root, */
	struct direct *direct;		/* and the kernel */
	struct dev *flash[PC_FLASHES];	/* instead of a ROM */
	struct irq_or line[16];		/* ISA lines */
	struct tick tick;		/* in line 0 */
	struct irq_split fanout[16];	/* each to both interrupt controllers */
	struct irq_split rtc_out;	/* IRQ 8 and the power management's wake-up */
	struct port_range *ferr_port;
	struct saved_part wires, lines;
};

/* ---- board.c ---- */
/* A device with printf-style properties; NULL after a failure, with err filled. */
struct dev *pc_part(struct pc *pc, const struct dev_type *t, struct err *e, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));
/* A processor acknowledged this vector of its APIC: was it the timer's? */
void pc_tick_taken(struct pc *pc, int vector);

/* ---- pc_saved.c ---- */
/* What the board itself holds goes into snapshots. */
void pc_add_saved(struct pc *pc);

/* ---- pc_cpu.c ---- */
/* Places for processors that come later, if the user wants such. */
bool pc_cpu_places(struct pc *pc, struct err *e);
/* How many processors there are now. */
int pc_cpus_present(const struct pc *pc);
void pc_smi(void *opaque, int n, int level);
extern const struct port_ops pc_ferr_ops;

/* ---- pc_drives.c ---- */
bool pc_drives(struct pc *pc, struct err *e);
/* For the firmware: which IDE disks are too large for CHS addresses. All devices are there. */
void pc_translation(struct pc *pc);
bool pc_scsi_drives(struct pc *pc, struct err *e);	/* after the user's devices */
/* The id by which devices find cfg.drives[n]; made in buf if the user gave none. */
const char *pc_drive_name(const struct pc_drive *d, int n, bool sata, char buf[32]);

/* ---- pc_acpi.c ---- */
/* Files with the tables, for the firmware. */
void pc_acpi(struct pc *pc);

/* ---- pc_flash.c ---- */
/* Flash instead of a ROM if there is an image for it; pc->rom. Drives are there already. */
bool pc_flash(struct pc *pc, struct err *e);

#endif
