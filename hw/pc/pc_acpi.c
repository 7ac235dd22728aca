/*
 * The board as its ACPI tables describe it. Firmware decides where power management
 * ports and PCI Express configuration space are, so the tables are made when it
 * selects one of their files.
 */
#include <string.h>

#include "hw/acpi/cpuhp.h"
#include "hw/pc/acpi.h"
#include "hw/pc/fwcfg.h"
#include "hw/disk/fdc.h"
#include "hw/pc/map.h"
#include "hw/pc/pc_priv.h"
#include "hw/pci/acpi_pm.h"
#include "hw/pci/pci.h"

/* SeaBIOS starts its PCI window at the first of these that RAM leaves free. */
static uint32_t pci_window(uint64_t low)
{
	return low <= 0x80000000 ? 0x80000000 : low <= 0xc0000000 ? 0xc0000000 : (uint32_t)PC_RAM_SPLIT;
}

static struct acpi_config describe(const struct pc *pc)
{
	const struct pc_config *c = &pc->cfg;
	struct acpi_config a = {
		.ncpus = c->ncpus, .cores = c->cores ? c->cores : c->ncpus,
		.threads = c->threads ? c->threads : 1, .hpet = !c->no_hpet, .parallel = c->parallel,
		.floppy = dev_find_type(pc->m, &fdc_type),
		.pci_mem_start = pci_window(pc->low), .pm_base = PC_PM_PORT,
	};

	a.no_s3 = pc->pm && !acpi_pm_has_s3(pc->pm);
	a.no_s4 = pc->pm && !acpi_pm_has_s4(pc->pm);
	a.cpu_hotplug = pc->cpuhp;
	for (int i = 0; i < c->ncpus && pc->cpuhp; i++)
		a.absent |= cpuhp_present(pc->cpuhp, i) ? 0 : 1ull << i;
	for (int i = 0; i < 4; i++)
		a.serial[i] = c->serials[i];
	if (pci_high_window(pc->m->pci, &a.pci_mem64_start, &a.pci_mem64_end)) {
		a.pci_mem64_start = align_down(a.pci_mem64_start, 1ull << 30);
		a.pci_mem64_end = align_up(a.pci_mem64_end + 1, 1ull << 30) - 1;
	} else {
		a.pci_mem64_start = 0;
	}
	pc->board->describe(pc, &a);
	return a;
}

static void refresh(void *opaque)
{
	struct pc *pc = opaque;
	struct fwcfg *f = (struct fwcfg *)pc->fwcfg;
	struct acpi_config a = describe(pc);
	struct acpi_files files;

	acpi_build(&a, &files);
	fwcfg_add_file(f, "etc/acpi/tables", files.tables.p, (uint32_t)files.tables.n);
	fwcfg_add_file(f, "etc/acpi/rsdp", files.rsdp.p, (uint32_t)files.rsdp.n);
	fwcfg_add_file(f, "etc/table-loader", files.loader.p, (uint32_t)files.loader.n);
	acpi_files_fini(&files);
}

/* "Can be entered" and SLP_TYP of each sleep state S0..S5. */
#define CAN_SLEEP	0x80

static void tell_firmware(struct pc *pc, struct fwcfg *f)
{
	uint8_t states[6] = { CAN_SLEEP, 0, 0, 1, 2, CAN_SLEEP };

	states[3] |= !pc->pm || acpi_pm_has_s3(pc->pm) ? CAN_SLEEP : 0;
	states[4] |= !pc->pm || acpi_pm_has_s4(pc->pm) ? CAN_SLEEP : 0;
	fwcfg_add_file(f, "etc/system-states", states, sizeof(states));
}

void pc_acpi(struct pc *pc)
{
	static const char *const names[] = { "etc/acpi/tables", "etc/acpi/rsdp", "etc/table-loader" };
	struct fwcfg *f = (struct fwcfg *)pc->fwcfg;

	tell_firmware(pc, f);
	if (pc->cfg.no_acpi)
		return;
	refresh(pc);
	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		fwcfg_on_select(f, names[i], refresh, pc);
}
