/*
 * The board `microvm`: no PCI, no firmware; a kernel and up to eight virtio devices.
 *
 *	0xfea00000  sleep, reset and event registers (hw/acpi/ged.c), I/O APIC pin 9
 *	0xfeb00000  virtio-mmio transports, a page each, I/O APIC pins 16 to 23
 *	0xfffff000  the start ROM (bios/microvm.S), which enters the kernel
 *
 * The kernel is in memory before the first instruction runs (direct.c). ACPI tables of
 * hardware-reduced kind stand at the end of low memory and tell what is where.
 *
 * Not modelled: firmware of one's own (-bios), taking timer, interrupt controllers and
 * clock of the AT away (guests that know ACPI do not use them).
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "hw/acpi/ged.h"
#include "hw/intc/ioapic.h"
#include "hw/pc/acpi.h"
#include "hw/pc/direct.h"
#include "hw/pc/map.h"
#include "hw/pc/pc_priv.h"
#include "hw/virtio/virtio_mmio.h"

#define PRIO_ROM	1
#define ROM_SIZE	0x1000u
#define ACPI_ROOM	0x10000u

extern const uint8_t bios_microvm[], bios_microvm_end[];

static uint64_t low_memory(uint64_t size)
{
	return min_u64(size, PC_RAM_SPLIT);
}

static bool no_chipset(struct pc *pc, struct err *e)
{
	if (!pc->cfg.kernel)
		return err_set(e, "the board microvm starts a kernel: -kernel FILE");
	if (pc->cfg.bios)
		return err_set(e, "the board microvm runs no firmware: leave -bios out");
	pc->cfg.no_hpet = true;
	return true;
}

/* ---- transports ---- */

static bool make_transports(struct pc *pc, struct err *e)
{
	for (int i = 0; i < MICROVM_TRANSPORTS; i++) {
		struct dev *d = pc_part(pc, &virtio_mmio_type, e, "%s", "");
		char bus[32];
		if (!d)
			return false;
		snprintf(bus, sizeof(bus), "virtio-mmio-bus.%d", i);
		virtio_mmio_place(d, MICROVM_VIRTIO + (uint64_t)i * VIRTIO_MMIO_SIZE, bus,
				  ioapic_in(pc->ioapic, MICROVM_VIRTIO_GSI + i));
	}
	return true;
}

static bool make_devices(struct pc *pc, struct err *e)
{
	pc->ged = pc_part(pc, &ged_type, e, "%s", "");
	if (!pc->ged)
		return false;
	ged_place(pc->ged, MICROVM_GED, ioapic_in(pc->ioapic, MICROVM_GED_GSI));
	return make_transports(pc, e);
}

/* ---- the kernel ---- */

static bool make_rom(struct pc *pc, struct err *e)
{
	pc->rom = phys_ram_new(pc->m->phys, "start", ROM_SIZE, e);
	if (!pc->rom)
		return false;
	memcpy(pc->rom->host, bios_microvm, min_u64((uint64_t)(bios_microvm_end - bios_microvm), ROM_SIZE));
	struct phys_range r = {
		.pa = PC_HOLE_END - ROM_SIZE, .size = ROM_SIZE, .prio = PRIO_ROM, .rram = pc->rom,
		.nowrite = true, .name = "start",
	};
	return phys_map(pc->m->phys, &r, e);
}

static void make_tables(struct pc *pc)
{
	const struct pc_config *c = &pc->cfg;
	struct acpi_config a = {
		.ncpus = c->ncpus, .cores = c->cores ? c->cores : c->ncpus,
		.threads = c->threads ? c->threads : 1, .reduced = true, .transports = MICROVM_TRANSPORTS,
	};

	for (int i = 0; i < 4; i++)
		a.serial[i] = c->serials[i];
	acpi_build(&a, &pc->tables);
	pc->rsdp = acpi_place(&pc->tables, pc->low - ACPI_ROOM);
}

static bool make_start(struct pc *pc, struct err *e)
{
	struct direct_memory mem = { .ram_size = pc->cfg.ram_size, .low = pc->low };

	if (pc->low < 16 << 20)
		return err_set(e, "the board microvm wants 16 MiB of memory or more (-m)");
	pc->fwcfg = pc_part(pc, &fwcfg_type, e, "%s", "");
	if (!pc->fwcfg || !make_rom(pc, e))
		return false;
	if (!pc->cfg.no_acpi) {
		make_tables(pc);
		mem.acpi = pc->low - ACPI_ROOM;
		mem.acpi_size = ACPI_ROOM;
		mem.rsdp = pc->rsdp;
	}
	pc->direct = direct_new(&pc->cfg, (struct fwcfg *)pc->fwcfg, &mem, e);
	return pc->direct;
}

static void load(struct pc *pc)
{
	if (!pc->direct)
		return;
	dma_write(pc->m, pc->low - ACPI_ROOM, pc->tables.tables.p, pc->tables.tables.n);
	direct_load(pc->direct, pc->m, pc->rom);
}

static void fini(struct pc *pc)
{
	direct_free(pc->direct);
	acpi_files_fini(&pc->tables);
}

static void power_button(struct pc *pc)
{
	ged_power_button(pc->ged);
}

const struct board board_microvm = {
	.name = "microvm", .bare = true, .low = low_memory, .chipset = no_chipset,
	.make_devices = make_devices, .make_start = make_start, .reset = load, .fini = fini,
	.power_button = power_button,
};
