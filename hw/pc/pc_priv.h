/*
 * The board's parts, shared by the files that connect them: pc.c (devices and
 * lines), pc_cpu.c (processors), pc_drives.c (disks).
 */
#ifndef HW_PC_PC_PRIV_H
#define HW_PC_PC_PRIV_H

#include <inttypes.h>
#include <stdarg.h>

#include "hw/core/dev.h"
#include "hw/core/snapshot.h"
#include "hw/pc/pc.h"
#include "hw/timer/tick.h"

struct pc {
	struct pc_config cfg;
	struct machine *m;
	struct cpu **cpus;
	int ncpus;

	struct ram *ram, *rom;
	uint64_t low;			/* bytes of RAM below 4 GiB */

	struct dev *host, *isa, *pm, *pic, *ioapic, *dma, *pit, *rtc, *hpet, *fwcfg, *vga, *ide;
	struct dev *lapic[PC_MAX_CPUS];
	struct dev *flash[PC_FLASHES];	/* instead of a ROM */
	struct irq_or line[16];		/* ISA lines */
	struct tick tick;		/* in line 0 */
	struct irq_split fanout[16];	/* each to both interrupt controllers */
	struct irq_split rtc_out;	/* IRQ 8 and the power management's wake-up */
	struct port_range *ferr_port;
	struct drive *drive[PC_IDE_DRIVES];	/* by IDE index */
	struct saved_part wires, lines;
};

/* ---- pc.c ---- */
/* A processor acknowledged this vector of its APIC: was it the timer's? */
void pc_tick_taken(struct pc *pc, int vector);

/* ---- pc_saved.c ---- */
/* What the board itself holds goes into snapshots. */
void pc_add_saved(struct pc *pc);

/* ---- pc_cpu.c ---- */
void pc_smi(void *opaque, int n, int level);
extern const struct port_ops pc_ferr_ops;

/* ---- pc_drives.c ---- */
bool pc_drives(struct pc *pc, struct err *e);
/* The id by which devices find cfg.drives[n]; made in buf if the user gave none. */
const char *pc_drive_name(const struct pc_drive *d, int n, char buf[32]);

/* ---- pc_flash.c ---- */
/* Flash instead of a ROM if there is an image for it; pc->rom. Drives are there already. */
bool pc_flash(struct pc *pc, struct err *e);

#endif
