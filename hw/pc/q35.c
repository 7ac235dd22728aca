/*
 * The board `q35`: Q35 memory controller hub and ICH9.
 *
 *	PCI Express root complex, bus 0:
 *	    00.0 MCH   01.0 VGA   1f.0 ICH9 LPC   1f.2 AHCI   1f.3 SMBus
 *
 *	pin p of slots 0-24   -> PIRQ E + (slot + p) mod 4  \  I/O APIC pin 16 (A) .. 23 (H),
 *	pin p of slots 25-31  -> PIRQ A + p                 /   and the ISA interrupt the LPC bridge says
 *
 * Source: Intel 3 Series chipset and ICH9 data sheets for what the chips contain.
 */
#include "hw/intc/ioapic.h"
#include "hw/pc/acpi.h"
#include "hw/pc/map.h"
#include "hw/pc/pc_priv.h"
#include "hw/pci/ich9.h"
#include "hw/pci/mch.h"

/* Firmware puts PCI Express configuration space at PC_Q35_ECAM if RAM leaves it free. */
static uint64_t low_memory(uint64_t size)
{
	return size > PC_Q35_ECAM ? PC_Q35_RAM_SPLIT : size;
}

static bool make_chipset(struct pc *pc, struct err *e)
{
	return (pc->host = pc_part(pc, &mch_type, e, "addr=0"))
		&& (pc->isa = pc_part(pc, &ich9_type, e, "addr=%x.0,smm=%s", PC_SLOT_ICH9,
				      pc->cfg.no_smm ? "off" : "on"))
		&& (pc->pm = pc->isa)
		&& pc_part(pc, &ich9_smbus_type, e, "addr=%x.3", PC_SLOT_ICH9);
}

static int map_pci_irq(int slot, int pin)
{
	return slot < 25 ? 4 + ((slot + pin) & 3) : pin & 3;
}

static void connect(struct pc *pc)
{
	for (int i = 0; i < 16; i++)
		ich9_connect_isa(pc->isa, i, irq_or_in(&pc->line[i], LINE_PIRQ));
	for (int i = 0; i < ICH9_NPIRQ; i++) {
		ich9_connect_pirq(pc->isa, i, ioapic_in(pc->ioapic, PC_PIRQ_GSI + i));
		pc->m->pci->irq[i] = ich9_pirq(pc->isa, i);
	}
	pc->m->pci->n_irqs = ICH9_NPIRQ;
	pc->m->pci->map_irq = map_pci_irq;
}

static void describe(const struct pc *pc, struct acpi_config *a)
{
	uint16_t pm = ich9_pm_base(pc->isa);

	a->q35 = true;
	a->ecam = PC_Q35_ECAM;
	a->ecam_buses = 256;
	mch_ecam(pc->host, &a->ecam, &a->ecam_buses);
	a->pci_mem_start = (uint32_t)(a->ecam + ((uint64_t)a->ecam_buses << 20));
	if (pm)
		a->pm_base = pm;
}

const struct board board_q35 = {
	.name = "q35", .ahci_addr = "1f.2", .usb_addr = "1d.0", .vga_slot = PC_SLOT_VGA_Q35, .low = low_memory, .chipset = make_chipset, .connect = connect,
	.connect_memory = mch_connect, .describe = describe,
};
