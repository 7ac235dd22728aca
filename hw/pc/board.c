/*
 * What all boards have in common: memory, interrupt controllers, AT devices,
 * display, the user's devices; and what people do to a board. What a board has
 * of its own (chipset, lines, slots) is a struct board: pc.c, q35.c.
 *
 *	vCPUs ---- PCI bus 0: host bridge, south bridge, VGA, cards
 *	  |            |
 *	  |       ISA lines 0-15  ---- devices at fixed ports
 *	  |         |      |
 *	  |       8259s  I/O APIC
 *	  |         |      |
 *	  +--- local APICs (8259s at LINT0 of the first)
 *
 * An ISA line is driven by its device, by the south bridge's PIRQ router and (line
 * 9) by power management; it goes to both interrupt controllers.
 *
 * Source: IBM PC/AT technical reference for ports and lines.
 */
#include "hw/pc/pc.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "hw/audio/pcspk.h"
#include "hw/char/debug.h"
#include "hw/char/parallel.h"
#include "hw/char/uart.h"
#include "hw/core/chr.h"
#include "hw/display/vga.h"
#include "hw/disk/fdc.h"
#include "hw/dma/dma.h"
#include "hw/input/i8042.h"
#include "hw/intc/ioapic.h"
#include "hw/intc/lapic.h"
#include "hw/intc/pic.h"
#include "hw/pc/firmware.h"
#include "hw/pc/map.h"
#include "hw/pc/pc_priv.h"
#include "hw/pci/acpi_pm.h"
#include "hw/pci/host.h"
#include "hw/timer/hpet.h"
#include "hw/timer/pit.h"
#include "hw/timer/rtc.h"
#include "hw/usb/uhci.h"

/* ---- parts ---- */

struct dev *pc_part(struct pc *pc, const struct dev_type *t, struct err *e, const char *fmt, ...)
{
	char props[1024];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(props, sizeof(props), fmt, ap);
	va_end(ap);
	return dev_make(pc->m, t, NULL, props, e);
}

/* ---- memory ---- */

static bool make_memory(struct pc *pc, struct err *e)
{
	struct phys *p = pc->m->phys;
	uint64_t size = pc->cfg.ram_size;

	pc->low = pc->board->low(size);
	pc->ram = phys_ram_new(p, "ram", size, e);
	if (!pc->ram)
		return err_prefix(e, "%" PRIu64 " MiB of guest memory", size >> 20);
	struct phys_range low = { .pa = 0, .size = pc->low, .rram = pc->ram, .wram = pc->ram, .name = "ram" };
	struct phys_range high = {
		.pa = PC_HOLE_END, .size = size - pc->low, .rram = pc->ram, .wram = pc->ram,
		.off = pc->low, .name = "ram-high",
	};
	/* Nothing answers in the VGA window until a card takes it. */
	struct phys_range hole = { .pa = 0xa0000, .size = 0x20000, .prio = 1, .nowrite = true, .name = "vga-hole" };
	return phys_map(p, &low, e) && (!high.size || phys_map(p, &high, e)) && phys_map(p, &hole, e);
}

/* ---- lines ---- */

/* IRQ 0 is pin 2 of the I/O APIC. */
static bool tick_open(void *opaque)
{
	struct pc *pc = opaque;

	return pic_vector(pc->pic, 0) >= 0 || ioapic_vector(pc->ioapic, 2) >= 0;
}

/* The processor that takes ticks is the first one nearly always. */
static uint64_t tick_ran(void *opaque)
{
	struct pc *pc = opaque;

	return pc->ncpus ? cpu_ran_ns(pc->cpus[0]) : 0;
}

void pc_tick_taken(struct pc *pc, int vector)
{
	if (vector >= 0 && (vector == pic_vector(pc->pic, 0) || vector == ioapic_vector(pc->ioapic, 2)))
		tick_taken(&pc->tick);
}

static void connect_isa_lines(struct pc *pc)
{
	for (int i = 0; i < 16; i++) {
		irq_split_add(&pc->fanout[i], pic_in(pc->pic, i));
		irq_split_add(&pc->fanout[i], ioapic_isa(pc->ioapic, i));
		pc->line[i].out = irq_split_in(&pc->fanout[i]);
		pc->m->isa_irq[i] = irq_or_in(&pc->line[i], LINE_DEVICE);
	}
	pc->tick = (struct tick){ .out = pc->line[0].out, .open = tick_open, .ran = tick_ran, .opaque = pc };
	pc->line[0].out = tick_in(&pc->tick);
	if (pc->board->connect)
		pc->board->connect(pc);
	if (pc->pm)
		acpi_pm_connect(pc->pm, irq_or_in(&pc->line[PC_SCI], LINE_SCI), irq_make(pc_smi, pc, 0));
}

static int ack_8259(void *opaque)
{
	return pic_intack(((struct pc *)opaque)->pic);
}

static void eoi_ioapic(void *opaque, uint8_t vector)
{
	ioapic_eoi(((struct pc *)opaque)->ioapic, vector);
}

static void connect_apics(struct pc *pc)
{
	pic_connect(pc->pic, lapic_lint(pc->lapic[0], 0));
	lapic_connect_extint(pc->lapic[0], ack_8259, pc);
	lapic_connect_eoi(pc->lapic[0], eoi_ioapic, pc);
	ioapic_connect(pc->ioapic, lapic_message, pc->lapic[0]);
	pc->m->msi = lapic_message;
	pc->m->msi_opaque = pc->lapic[0];
	pc->m->nmi = lapic_lint(pc->lapic[0], 1);
}

static void connect_timers(struct pc *pc)
{
	if (pc->hpet)
		pit_connect(pc->pit, hpet_legacy_in(pc->hpet, 0));
	irq_split_add(&pc->rtc_out, pc->hpet ? hpet_legacy_in(pc->hpet, 1) : pc->m->isa_irq[8]);
	if (pc->pm)
		irq_split_add(&pc->rtc_out, acpi_pm_rtc(pc->pm));
	rtc_connect(pc->rtc, irq_split_in(&pc->rtc_out));
}

/* ---- the board ---- */

static bool make_interrupt_controllers(struct pc *pc, struct err *e)
{
	return (pc->pic = pc_part(pc, &pic_type, e, "%s", ""))
		&& (pc->ioapic = pc_part(pc, &ioapic_type, e, "%s", ""));
}

static bool make_apics(struct pc *pc, struct err *e)
{
	for (int i = 0; i < pc->cfg.ncpus; i++)
		if (!(pc->lapic[i] = pc_part(pc, &lapic_type, e, "%s", "")))
			return false;
	return true;
}

static bool make_at_devices(struct pc *pc, struct err *e)
{
	pc->ferr_port = port_map(pc->m, 0xf0, 2, &pc_ferr_ops, pc, "fpu");
	return (pc->dma = pc_part(pc, &dma_type, e, "%s", ""))
		&& (pc->pit = pc_part(pc, &pit_type, e, "%s", ""))
		&& (pc->rtc = pc_part(pc, &rtc_type, e, "%s", ""))
		&& (pc->cfg.no_hpet || (pc->hpet = pc_part(pc, &hpet_type, e, "%s", "")))
		&& (pc->board->bare || pc_part(pc, &i8042_type, e, "%s", ""));
}

static bool make_speaker(struct pc *pc, struct err *e)
{
	struct dev *speaker;

	if (!pc->cfg.pcspk)
		return true;
	speaker = pc_part(pc, &pcspk_type, e, "audiodev=%s", pc->cfg.pcspk);
	if (!speaker)
		return false;
	pcspk_connect(speaker, pit_speaker_level, pc->pit);
	pit_connect_speaker(pc->pit, pcspk_changing, speaker);
	return true;
}

static bool make_ports(struct pc *pc, struct err *e)
{
	static const struct { unsigned base; int irq; } com[PC_MAX_SERIALS] = {
		{ 0x3f8, 4 }, { 0x2f8, 3 }, { 0x3e8, 4 }, { 0x2e8, 3 },
	};
	const struct pc_config *c = &pc->cfg;

	for (int i = 0; i < PC_MAX_SERIALS; i++)
		if (c->serials[i] && !pc_part(pc, &uart_type, e, "iobase=%#x,irq=%d,chardev=%s", com[i].base,
					   com[i].irq, c->serials[i]->id))
			return false;
	if (c->parallel && !pc_part(pc, &parallel_type, e, "chardev=%s", c->parallel->id))
		return false;
	return !c->debugcon || pc_part(pc, &debugcon_type, e, "iobase=%#x,chardev=%s",
				    c->debugcon_port ? c->debugcon_port : 0x402, c->debugcon->id);
}

#define VIDEO_BIOS "vgabios-stdvga.bin"

static bool make_display(struct pc *pc, struct err *e)
{
	char rom[512];
	if (pc->cfg.vga == PC_VGA_NONE || pc->board->bare)
		return true;
	if (!firmware_find(&pc->cfg, VIDEO_BIOS, rom, sizeof(rom), e))
		return false;
	if (!firmware_quote(rom, sizeof(rom), e))
		return false;
	pc->vga = pc_part(pc, &vga_type, e, "addr=%d,romfile=%s", pc->board->vga_slot, rom);
	return pc->vga;
}

static bool make_firmware(struct pc *pc, struct err *e)
{
	if (pc->board->make_start)
		return pc->board->make_start(pc, e);
	if (!pc_flash(pc, e) || (!pc->rom && !(pc->rom = firmware_load(&pc->cfg, pc->m, e))))
		return false;
	if (!pc->board->connect_memory(pc->host, pc->ram, pc->rom, pc->low, e))
		return false;
	pc->fwcfg = pc_part(pc, &fwcfg_type, e, "%s", "");
	if (!pc->fwcfg || !firmware_config(&pc->cfg, (struct fwcfg *)pc->fwcfg, pc->low, e))
		return false;
	pc_acpi(pc);
	firmware_cmos(&pc->cfg, dev_find_type(pc->m, &fdc_type), pc->rtc, pc->low);
	firmware_cpus((struct fwcfg *)pc->fwcfg, pc->rtc, pc_cpus_present(pc));
	pc_translation(pc);
	return true;
}

static bool make_own(struct pc *pc, struct err *e)
{
	return !pc->board->make_devices || pc->board->make_devices(pc, e);
}

static bool make_usb(struct pc *pc, struct err *e)
{
	if (pc->cfg.usb && !pc->board->usb_addr)
		return err_set(e, "the board %s has no place for a USB controller", pc->board->name);
	return !pc->cfg.usb || pc_part(pc, &uhci_type, e, "addr=%s", pc->board->usb_addr);
}

/* The expansion ROM that a card of the user's gets, or "". */
static bool default_rom(struct pc *pc, const struct pc_device *d, bool display, char *path, size_t n, struct err *e)
{
	const struct dev_type *t = dev_type_find(pc->m, d->driver);

	path[0] = 0;
	if (d->options && strstr(d->options, "romfile="))
		return true;
	if (display)
		return firmware_find(&pc->cfg, VIDEO_BIOS, path, n, e);
	if (!t || !t->boot_rom || !firmware_find_boot_rom(&pc->cfg, t->boot_rom, d->options, path, n))
		path[0] = 0;
	return true;
}

/* A card of the user's that is the only display gets the video BIOS and the screen. */
static bool make_user_device(struct pc *pc, const struct pc_device *d, struct err *e)
{
	char text[1536], rom[512];
	bool display = !pc->vga && !strcmp(d->driver, vga_type.name);

	if (!default_rom(pc, d, display, rom, sizeof(rom), e))
		return false;
	if (!firmware_quote(rom, sizeof(rom), e))
		return false;
	snprintf(text, sizeof(text), "%s%s%s%s%s", d->driver, d->options ? "," : "",
		 d->options ? d->options : "", *rom ? ",romfile=" : "", rom);
	struct dev *dev = dev_make_from(pc->m, text, e);
	if (display)
		pc->vga = dev;
	return dev;
}

static bool make_user_devices(struct pc *pc, struct err *e)
{
	for (int i = 0; i < pc->cfg.ndevices; i++)
		if (!make_user_device(pc, &pc->cfg.devices[i], e))
			return err_prefix(e, "-device %s", pc->cfg.devices[i].driver);
	return true;
}

static const struct board *const boards[] = {
	[PC_BOARD_I440FX] = &board_i440fx, [PC_BOARD_Q35] = &board_q35,
	[PC_BOARD_MICROVM] = &board_microvm, [PC_BOARD_NONE] = &board_none,
};

static bool make_board(struct pc *pc, struct err *e)
{
	bool ok = make_memory(pc, e) && pc->board->chipset(pc, e)
		&& make_interrupt_controllers(pc, e) && make_apics(pc, e);

	if (!ok)
		return false;
	connect_isa_lines(pc);
	connect_apics(pc);
	if (!make_at_devices(pc, e))
		return false;
	connect_timers(pc);
	return make_speaker(pc, e) && make_ports(pc, e) && make_display(pc, e)
		&& make_own(pc, e) && pc_cpu_places(pc, e) && pc_drives(pc, e) && make_usb(pc, e) && make_user_devices(pc, e)
		&& pc_scsi_drives(pc, e) && make_firmware(pc, e);
}

struct pc *pc_new(const struct pc_config *cfg, struct machine *m, struct err *e)
{
	struct pc *pc = calloc(1, sizeof(*pc));
	if (!pc) {
		err_set(e, "no memory for the board");
		return NULL;
	}
	pc->cfg = *cfg;
	pc->board = boards[cfg->board];
	pc->m = m;
	m->board = pc->board->name;
	pc_add_saved(pc);
	machine_lock(m);
	bool ok = !pc->board->chipset || make_board(pc, e);
	machine_unlock(m);
	if (ok)
		return pc;
	pc_free(pc);
	return NULL;
}

void pc_free(struct pc *pc)
{
	if (!pc)
		return;
	machine_lock(pc->m);
	machine_del_saved(pc->m, &pc->wires);
	machine_del_saved(pc->m, &pc->lines);
	while (pc->m->devs) {
		struct dev *last = pc->m->devs;
		while (last->next)
			last = last->next;
		dev_free(last);
	}
	port_unmap(pc->m, pc->ferr_port);
	drive_free_all(pc->m);
	machine_unlock(pc->m);
	if (pc->board->fini)
		pc->board->fini(pc);
	free(pc);
}

struct phys *pc_phys(struct pc *pc)
{
	return pc->m->phys;
}

/* ---- what people do to it ---- */

void pc_reset(struct pc *pc)
{
	machine_reset_devices(pc->m);
	if (pc->board->reset)
		pc->board->reset(pc);
	if (pc->cpuhp)
		firmware_cpus((struct fwcfg *)pc->fwcfg, pc->rtc, pc_cpus_present(pc));
	if (pc->fwcfg)			/* devices have come and gone */
		firmware_boot_order(&pc->cfg, (struct fwcfg *)pc->fwcfg, pc->rtc);
}

/* SeaBIOS resumes if the shutdown byte says so and the shadow RAM it was in is there still (pci_keep_config()). */
#define CMOS_SHUTDOWN	0x0f
#define SHUTDOWN_S3	0xfe

void pc_wake(struct pc *pc)
{
	pc->m->waking = true;
	machine_reset_devices(pc->m);
	pc->m->waking = false;
	rtc_cmos_set(pc->rtc, CMOS_SHUTDOWN, SHUTDOWN_S3);
	if (pc->pm)
		acpi_pm_woken(pc->pm);
}

void pc_set_boot_order(struct pc *pc, const char *order)
{
	pc->cfg.boot_order = order;
	if (pc->fwcfg)
		firmware_boot_order(&pc->cfg, (struct fwcfg *)pc->fwcfg, pc->rtc);
}

void pc_power_button(struct pc *pc)
{
	if (pc->pm)
		acpi_pm_power_button(pc->pm);
	else if (pc->board->power_button)
		pc->board->power_button(pc);
}

struct vga *pc_vga(struct pc *pc)
{
	return (struct vga *)pc->vga;
}

bool pc_screendump(struct pc *pc, const char *path, enum surface_format f, struct err *e)
{
	struct surface s = { 0 };
	if (!pc->vga)
		return err_set(e, "this machine has no display");
	bool ok = vga_render(pc_vga(pc), &s) ? surface_save(&s, path, f, e)
					     : err_set(e, "the display shows nothing that can be drawn");
	surface_fini(&s);
	return ok;
}
