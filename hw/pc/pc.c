/*
 * The board `pc`: i440FX and PIIX.
 *
 *	PCI bus 0:  00.0 i440FX   01.0 PIIX3   01.1 IDE   01.3 PM   02.0 VGA
 *
 *	pin p of slot n -> PIRQ (n - 1 + p) mod 4 -> ISA interrupt the PIIX3 says
 *
 * Source: Intel 82371SB/82371AB data sheets for what the chips contain.
 */
#include "hw/acpi/pcihp.h"
#include "hw/pc/acpi.h"
#include "hw/pc/map.h"
#include "hw/pc/pc_priv.h"
#include "hw/pci/i440fx.h"
#include "hw/pci/piix3.h"
#include "hw/pci/piix4_pm.h"

static uint64_t low_memory(uint64_t size)
{
	return min_u64(size, PC_RAM_SPLIT);
}

static bool make_chipset(struct pc *pc, struct err *e)
{
	return (pc->host = pc_part(pc, &i440fx_type, e, "addr=0"))
		&& (pc->isa = pc_part(pc, &piix3_type, e, "addr=%d.0", PC_SLOT_PIIX))
		&& (pc->cfg.no_acpi || (pc->pm = pc_part(pc, &piix4_pm_type, e, "addr=%d.3,smm=%s", PC_SLOT_PIIX,
						      pc->cfg.no_smm ? "off" : "on")));
}

/* PIRQ of a slot's pin: they are rotated from slot to slot. */
static int map_pci_irq(int slot, int pin)
{
	return (slot + pin + 3) & 3;	/* slot - 1 + pin */
}

static void connect(struct pc *pc)
{
	for (int i = 0; i < 16; i++)
		piix3_connect_isa(pc->isa, i, irq_or_in(&pc->line[i], LINE_PIRQ));
	for (int i = 0; i < 4; i++)
		pc->m->pci->irq[i] = piix3_pirq(pc->isa, i);
	pc->m->pci->map_irq = map_pci_irq;
}

/* Slots for cards: all that the board has not taken itself. */
static bool make_slots(struct pc *pc, struct err *e)
{
	struct dev *d;

	if (!pc->pm)
		return true;
	d = pc_part(pc, &pcihp_type, e, "%s", "");
	if (d)
		pcihp_connect(d, pc->m->pci, pc->pm);
	return d;
}

static void describe(const struct pc *pc, struct acpi_config *a)
{
	uint16_t pm = piix4_pm_base(pc->pm);

	if (pm)
		a->pm_base = pm;
	for (int slot = PC_SLOT_VGA + 1; slot < 32; slot++)
		a->hotplug_slots |= 1u << slot;
}

const struct board board_i440fx = {
	.name = "pc", .ide_addr = "1.1", .usb_addr = "1.2", .vga_slot = PC_SLOT_VGA, .low = low_memory, .chipset = make_chipset, .connect = connect,
	.make_devices = make_slots, .connect_memory = pci_host_connect, .describe = describe,
};
