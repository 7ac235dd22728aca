/*
 * The DSDT: what stands behind the PCI host bridge and cannot be probed, how
 * PCI interrupts are routed, and the sleep states.
 *
 * PCI slot n's pin p goes to link (n - 1 + p) mod 4 of the PIIX3's four PIRQ
 * lines; the links are devices whose interrupt the guest may choose through
 * the PIIX3's configuration registers 0x60-0x63. Interrupts 5, 10 and 11 are
 * offered; the power-management function is hard-wired to the SCI.
 *
 * Not modelled: sleep states S1-S4, CPU and memory hot plug, PCI hot plug.
 * Source: ACPI specification 6.3, chapters 5.3, 6.2, 7.4, 9, 19, 20.
 */
#include <stdio.h>

#include "hw/pc/acpi.h"
#include "hw/pc/aml.h"
#include "hw/pc/map.h"

#define NLINKS	4
#define NSLOTS	32

/* ---- PCI host bridge ---- */

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

static void link_name(char name[5], int n)
{
	snprintf(name, 5, "LNK%c", 'A' + n % NLINKS);
}

/* 6.2.13: { slot << 16 | any function, pin, link, 0 } for every slot and pin. */
static void routing_table(struct bytes *a)
{
	aml_name(a, "_PRT");
	size_t all = aml_package(a, (NSLOTS - 1) * NLINKS);
	for (int slot = 1; slot < NSLOTS; slot++) {
		for (int pin = 0; pin < 4; pin++) {
			char link[5];
			size_t one = aml_package(a, 4);
			aml_int(a, (uint64_t)slot << 16 | 0xffff);
			aml_int(a, (uint64_t)pin);
			link_name(link, slot - 1 + pin);
			aml_path(a, slot == PC_SLOT_PIIX && pin == 0 ? "LNKS" : link);
			aml_int(a, 0);
			aml_end(a, one);
		}
	}
	aml_end(a, all);
}

/* ---- interrupt links ---- */

static const uint32_t link_choices[] = { 5, 10, 11 };

static void link_resources(struct bytes *a, const char *name, const uint32_t *irq, int n)
{
	struct bytes r = { 0 };
	res_interrupts(&r, irq, n);
	aml_name(a, name);
	aml_template(a, &r);
}

/* _CRS: the current number from the PIRQ register into a template. */
static void link_crs(struct bytes *a, const char *pirq)
{
	const uint32_t none = 0;
	size_t m = aml_method(a, "_CRS", 0);
	link_resources(a, "BUF0", &none, 1);
	aml_op(a, AML_CREATE_DWORD);
	aml_path(a, "BUF0");
	aml_int(a, 5);
	aml_path(a, "IRQN");
	aml_op(a, AML_AND);
	aml_path(a, pirq);
	aml_int(a, 0x0f);
	aml_path(a, "IRQN");
	aml_op(a, AML_RETURN);
	aml_path(a, "BUF0");
	aml_end(a, m);
}

static void link_srs(struct bytes *a, const char *pirq)
{
	size_t m = aml_method(a, "_SRS", 1);
	aml_op(a, AML_CREATE_DWORD);
	aml_op(a, AML_ARG0);
	aml_int(a, 5);
	aml_path(a, "IRQN");
	aml_op(a, AML_STORE);
	aml_path(a, "IRQN");
	aml_path(a, pirq);
	aml_end(a, m);
}

static void link_sta(struct bytes *a, const char *pirq)
{
	size_t m = aml_method(a, "_STA", 0);
	size_t t = aml_if(a);
	aml_op(a, AML_AND);
	aml_path(a, pirq);
	aml_int(a, 0x80);
	aml_op(a, AML_ZERO);		/* no target */
	aml_op(a, AML_RETURN);
	aml_int(a, 0x09);
	aml_end(a, t);
	aml_op(a, AML_RETURN);
	aml_int(a, 0x0b);
	aml_end(a, m);
}

static void link_dis(struct bytes *a, const char *pirq)
{
	size_t m = aml_method(a, "_DIS", 0);
	aml_op(a, AML_OR);
	aml_path(a, pirq);
	aml_int(a, 0x80);
	aml_path(a, pirq);
	aml_end(a, m);
}

static size_t link_begin(struct bytes *a, const char *name, int uid)
{
	size_t d = aml_device(a, name);
	aml_name(a, "_HID");
	aml_eisaid(a, "PNP0C0F");
	aml_name(a, "_UID");
	aml_int(a, (uint64_t)uid);
	return d;
}

static void links(struct bytes *a)
{
	for (int i = 0; i < NLINKS; i++) {
		char name[5], pirq[5];
		link_name(name, i);
		snprintf(pirq, sizeof(pirq), "PRQ%d", i);
		size_t d = link_begin(a, name, i);
		link_resources(a, "_PRS", link_choices, 3);
		link_sta(a, pirq);
		link_dis(a, pirq);
		link_crs(a, pirq);
		link_srs(a, pirq);
		aml_end(a, d);
	}

	const uint32_t sci = PC_SCI;
	size_t d = link_begin(a, "LNKS", NLINKS);
	link_resources(a, "_PRS", &sci, 1);
	link_resources(a, "_CRS", &sci, 1);
	aml_name(a, "_STA");
	aml_int(a, 0x0b);
	aml_end(a, aml_method(a, "_DIS", 0));
	aml_end(a, aml_method(a, "_SRS", 1));
	aml_end(a, d);
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
	aml_int(a, PC_SLOT_PIIX << 16);
	aml_region(a, "PIRR", AML_PCI_CONFIG, 0x60, 4);
	for (size_t i = 0; i < sizeof(isa_devs) / sizeof(isa_devs[0]); i++)
		isa_device(a, &isa_devs[i]);
	for (int i = 0; i < 4; i++)
		if (cfg->serial[i])
			isa_device(a, &serial_devs[i]);
	if (cfg->parallel)
		isa_device(a, &parallel_dev);
	aml_end(a, d);

	/* The fields stand in the scope of the links, which use them. */
	size_t f = aml_field(a, "ISA.PIRR", 1);
	for (int i = 0; i < NLINKS; i++) {
		char name[5];
		snprintf(name, sizeof(name), "PRQ%d", i);
		aml_field_unit(a, name, 8);
	}
	aml_end(a, f);
}

/* Ports and memory that belong to the board, so that nothing is placed there. */
static void board_resources(struct bytes *a)
{
	struct bytes r = { 0 };
	size_t d = aml_device(a, "MBRD");
	aml_name(a, "_HID");
	aml_eisaid(a, "PNP0C02");
	res_io(&r, 0x92, 1);
	res_io(&r, PC_SMI_PORT, 2);
	res_io(&r, 0x4d0, 2);
	res_io(&r, 0x510, 12);
	res_io(&r, PC_PM_PORT, 64);
	res_io(&r, PC_SMB_PORT, 16);
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

static void processors(struct bytes *a, int n)
{
	for (int i = 0; i < n; i++) {
		char name[8];
		snprintf(name, sizeof(name), "C%03X", (unsigned)i & 0xfff);
		aml_end(a, aml_processor(a, name, (uint8_t)i));
	}
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

static void sleep_states(struct bytes *a)
{
	sleep_state(a, "\\_S3", 1);
	sleep_state(a, "\\_S4", 2);
	sleep_state(a, "\\_S5", 0);
}

void acpi_build_dsdt(const struct acpi_config *cfg, struct bytes *a)
{
	size_t sb = aml_scope(a, "\\_SB");
	size_t pci = aml_device(a, "PCI0");
	aml_name(a, "_HID");
	aml_eisaid(a, "PNP0A03");
	aml_name(a, "_ADR");
	aml_int(a, 0);
	aml_name(a, "_UID");
	aml_int(a, 0);
	host_resources(a, cfg);
	isa_bridge(a, cfg);
	links(a);
	routing_table(a);
	board_resources(a);
	aml_end(a, pci);
	if (cfg->hpet)
		hpet(a);
	processors(a, cfg->ncpus);
	aml_end(a, sb);
	sleep_states(a);
}
