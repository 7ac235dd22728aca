/*
 * The DSDT: what stands behind the PCI host bridge and cannot be probed, and the
 * sleep states. How PCI interrupts are routed is in dsdt_irq.c, processors are in dsdt_cpus.c.
 *
 * Not modelled: sleep states S1-S4, memory hot plug.
 * Source: ACPI specification 6.3, chapters 5.3, 6.2, 7.4, 9, 19, 20.
 */
#include <stdio.h>

#include "hw/acpi/cpuhp.h"
#include "hw/acpi/pcihp.h"
#include "hw/pc/acpi.h"
#include "hw/pc/aml.h"
#include "hw/pc/map.h"

/* ---- PCI host bridge ---- */

/* A field of the capabilities buffer that _OSC gets as its fourth argument. */
static void osc_field(struct bytes *a, int at, const char *name)
{
	aml_op(a, AML_CREATE_DWORD);
	aml_op(a, AML_ARG3);
	aml_int(a, (uint64_t)at);
	aml_path(a, name);
}

static void osc_or(struct bytes *a, uint64_t bits)
{
	aml_op(a, AML_OR);
	aml_path(a, "CDW1");
	aml_int(a, bits);
	aml_path(a, "CDW1");
}

/*
 * PCI Firmware Specification 3.0, 4.5: the guest takes over what it asks for, of
 * native hot plug, power management events, error reporting and the capability.
 */
#define OSC_GRANTED	0x1du
#define OSC_BAD_UUID	0x04u
#define OSC_BAD_REVISION 0x08u
#define OSC_MASKED	0x10u

static void osc(struct bytes *a)
{
	static const uint8_t uuid[16] = {
		0x5b, 0x4d, 0xdb, 0x33, 0xf7, 0x1f, 0x1c, 0x40, 0x96, 0x57, 0x74, 0x41, 0xc0, 0x3d, 0xd7, 0x66,
	};
	struct bytes id = { 0 };
	size_t m = aml_method(a, "_OSC", 4), c;

	bytes_put(&id, uuid, sizeof(uuid));
	osc_field(a, 0, "CDW1");
	c = aml_if(a);
	aml_op(a, AML_LEQUAL);
	aml_op(a, AML_ARG0);
	aml_buffer(a, &id);
	osc_field(a, 8, "CDW3");
	aml_op(a, AML_AND);
	aml_path(a, "CDW3");
	aml_int(a, OSC_GRANTED);
	aml_op(a, AML_LOCAL0);
	size_t masked = aml_if(a);
	aml_op(a, AML_LNOT);
	aml_op(a, AML_LEQUAL);
	aml_op(a, AML_LOCAL0);
	aml_path(a, "CDW3");
	osc_or(a, OSC_MASKED);
	aml_end(a, masked);
	size_t revision = aml_if(a);
	aml_op(a, AML_LNOT);
	aml_op(a, AML_LEQUAL);
	aml_op(a, AML_ARG1);
	aml_op(a, AML_ONE);
	osc_or(a, OSC_BAD_REVISION);
	aml_end(a, revision);
	aml_op(a, AML_STORE);
	aml_op(a, AML_LOCAL0);
	aml_path(a, "CDW3");
	aml_end(a, c);
	c = aml_else(a);
	osc_or(a, OSC_BAD_UUID);
	aml_end(a, c);
	aml_op(a, AML_RETURN);
	aml_op(a, AML_ARG3);
	aml_end(a, m);
	bytes_fini(&id);
}

static void host_ids(struct bytes *a, const struct acpi_config *cfg)
{
	aml_name(a, "_HID");
	aml_eisaid(a, cfg->q35 ? "PNP0A08" : "PNP0A03");
	if (cfg->q35) {
		aml_name(a, "_CID");
		aml_eisaid(a, "PNP0A03");
		osc(a);
	}
	aml_name(a, "_ADR");
	aml_int(a, 0);
	aml_name(a, "_UID");
	aml_int(a, 0);
}

static void host_resources(struct bytes *a, const struct acpi_config *cfg)
{
	struct bytes r = { 0 };
	res_bus_range(&r, 0, 0xff);
	res_io(&r, 0xcf8, 8);
	res_io_window(&r, 0x0000, 0x0cf7);
	res_io_window(&r, 0x0d00, 0xffff);
	res_mem_window(&r, 0xa0000, 0xbffff, 1);
	res_mem_window(&r, cfg->pci_mem_start, PC_IOAPIC - 1, 0);
	if (cfg->pci_mem64_start)
		res_mem64_window(&r, cfg->pci_mem64_start, cfg->pci_mem64_end);
	aml_name(a, "_CRS");
	aml_template(a, &r);
}

/* ---- devices behind the ISA bridge ---- */

struct isa_dev {
	const char *name, *hid;
	struct { uint16_t base; uint8_t len; } io[4];
	int irq;		/* -1: none */
	int dma;
	int uid;		/* -1: none */
};

static const struct isa_dev isa_devs[] = {
	/* name   hid        ports                                    irq dma uid */
	{ "PIC",  "PNP0000", { { 0x20, 2 }, { 0xa0, 2 } },              2, -1, -1 },
	{ "DMAC", "PNP0200", { { 0x00, 16 }, { 0x81, 15 }, { 0xc0, 32 } }, -1, 4, -1 },
	{ "TMR",  "PNP0100", { { 0x40, 4 } },                           0, -1, -1 },
	{ "SPKR", "PNP0800", { { 0x61, 1 } },                          -1, -1, -1 },
	{ "FPU",  "PNP0C04", { { 0xf0, 1 } },                          13, -1, -1 },
	{ "RTC",  "PNP0B00", { { 0x70, 8 } },                           8, -1, -1 },
	{ "KBD",  "PNP0303", { { 0x60, 1 }, { 0x64, 1 } },              1, -1, -1 },
	{ "MOU",  "PNP0F13", { { 0, 0 } },                             12, -1, -1 },
};
static const struct isa_dev serial_devs[4] = {
	{ "COM1", "PNP0501", { { 0x3f8, 8 } },                          4, -1,  1 },
	{ "COM2", "PNP0501", { { 0x2f8, 8 } },                          3, -1,  2 },
	{ "COM3", "PNP0501", { { 0x3e8, 8 } },                          4, -1,  3 },
	{ "COM4", "PNP0501", { { 0x2e8, 8 } },                          3, -1,  4 },
};
static const struct isa_dev parallel_dev =
	{ "LPT1", "PNP0400", { { 0x378, 8 } },                          7, -1,  1 };
static const struct isa_dev floppy_dev =
	{ "FDC0", "PNP0700", { { 0x3f2, 4 }, { 0x3f7, 1 } },            6,  2, -1 };

static void isa_device(struct bytes *a, const struct isa_dev *dev)
{
	struct bytes r = { 0 };
	size_t d = aml_device(a, dev->name);
	aml_name(a, "_HID");
	aml_eisaid(a, dev->hid);
	if (dev->uid >= 0) {
		aml_name(a, "_UID");
		aml_int(a, (uint64_t)dev->uid);
	}
	aml_name(a, "_STA");
	aml_int(a, 0x0f);
	for (int i = 0; i < 4 && dev->io[i].len; i++)
		res_io(&r, dev->io[i].base, dev->io[i].len);
	if (dev->irq >= 0)
		res_irq(&r, (uint16_t)(1 << dev->irq));
	if (dev->dma >= 0)
		res_dma(&r, (uint8_t)(1 << dev->dma));
	aml_name(a, "_CRS");
	aml_template(a, &r);
	aml_end(a, d);
}

static void isa_bridge(struct bytes *a, const struct acpi_config *cfg)
{
	size_t d = aml_device(a, "ISA");
	aml_name(a, "_ADR");
	aml_int(a, (uint64_t)(cfg->q35 ? PC_SLOT_ICH9 : PC_SLOT_PIIX) << 16);
	aml_region(a, "PIRR", AML_PCI_CONFIG, 0x60, cfg->q35 ? 12 : 4);
	for (size_t i = 0; i < sizeof(isa_devs) / sizeof(isa_devs[0]); i++)
		isa_device(a, &isa_devs[i]);
	for (int i = 0; i < 4; i++)
		if (cfg->serial[i])
			isa_device(a, &serial_devs[i]);
	if (cfg->parallel)
		isa_device(a, &parallel_dev);
	if (cfg->floppy)
		isa_device(a, &floppy_dev);
	aml_end(a, d);
}

/* Ports and memory that belong to the board, so that nothing is placed there. */
static void board_resources(struct bytes *a, const struct acpi_config *cfg)
{
	struct bytes r = { 0 };
	size_t d = aml_device(a, "MBRD");
	aml_name(a, "_HID");
	aml_eisaid(a, "PNP0C02");
	res_io(&r, 0x92, 1);
	res_io(&r, PC_SMI_PORT, 2);
	res_io(&r, 0x4d0, 2);
	res_io(&r, 0x510, 12);
	res_io(&r, cfg->pm_base, cfg->q35 ? 128 : 64);
	if (cfg->q35)
		res_mem32(&r, (uint32_t)cfg->ecam, cfg->ecam_buses << 20);
	else
		res_io(&r, PC_SMB_PORT, 16);
	if (cfg->hotplug_slots)
		res_io(&r, PCIHP_PORT, PCIHP_LEN);
	if (cfg->cpu_hotplug)
		res_io(&r, CPUHP_PORT, CPUHP_LEN);
	aml_name(a, "_CRS");
	aml_template(a, &r);
	aml_end(a, d);
}

static void hpet(struct bytes *a)
{
	struct bytes r = { 0 };
	size_t d = aml_device(a, "HPET");
	aml_name(a, "_HID");
	aml_eisaid(a, "PNP0103");
	aml_name(a, "_UID");
	aml_int(a, 0);
	aml_name(a, "_STA");
	aml_int(a, 0x0f);
	res_mem32(&r, PC_HPET, 0x400);
	aml_name(a, "_CRS");
	aml_template(a, &r);
	aml_end(a, d);
}

/* ---- all of it ---- */

/* A state and its SLP_TYP on the PIIX4. */
static void sleep_state(struct bytes *a, const char *name, uint64_t type)
{
	aml_name(a, name);
	size_t p = aml_package(a, 4);
	aml_int(a, type);
	aml_int(a, type);
	aml_int(a, 0);
	aml_int(a, 0);
	aml_end(a, p);
}

static void sleep_states(struct bytes *a, const struct acpi_config *cfg)
{
	if (!cfg->no_s3)
		sleep_state(a, "\\_S3", 1);
	if (!cfg->no_s4)
		sleep_state(a, "\\_S4", 2);
	sleep_state(a, "\\_S5", 0);
}

void acpi_build_dsdt(const struct acpi_config *cfg, struct bytes *a)
{
	size_t sb = aml_scope(a, "\\_SB");
	size_t pci = aml_device(a, "PCI0");
	host_ids(a, cfg);
	host_resources(a, cfg);
	isa_bridge(a, cfg);
	acpi_build_pci_irqs(cfg, a);
	acpi_build_slots(cfg, a);
	aml_end(a, pci);
	board_resources(a, cfg);
	if (cfg->hpet)
		hpet(a);
	acpi_build_cpus(cfg, a);
	aml_end(a, sb);
	acpi_build_slot_events(cfg, a);
	acpi_build_cpu_events(cfg, a);
	sleep_states(a, cfg);
}
