/*
 * The DSDT's part about PCI interrupts: which line a slot's pin goes to (_PRT), and
 * devices by which the guest chooses the ISA interrupt of a line (LNKA ...).
 *
 *	pc:   pin p of slot n is line (n - 1 + p) mod 4, A to D
 *	q35:  slots 0-24: line E + (n + p) mod 4; slots 25-31: line A + p
 *
 * The links write the south bridge's route registers: A to D at 0x60-0x63, E to H at
 * 0x68-0x6b. On q35 a guest that uses the I/O APIC (it tells by _PIC) finds line A
 * at its input 16, and so on, and needs no links.
 *
 * Source: ACPI specification 6.3, 5.8.1 (_PIC), 6.2.13 (_PRT), 6.2.2 (_CRS), 6.2.16 (_SRS).
 */
#include <stdio.h>

#include "hw/pc/acpi.h"
#include "hw/pc/aml.h"
#include "hw/pc/map.h"

#define PC_LINKS	4
#define Q35_LINKS	8
#define NSLOTS		32

static int line_of(const struct acpi_config *cfg, int slot, int pin)
{
	if (!cfg->q35)
		return (slot + 3 + pin) % 4;
	return slot < 25 ? 4 + (slot + pin) % 4 : pin;
}

static void link_name(char name[5], int n)
{
	snprintf(name, 5, "LNK%c", 'A' + n);
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

static void links(struct bytes *a, int n)
{
	for (int i = 0; i < n; i++) {
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
}

/* The power-management function of the PIIX4 is wired to the SCI. */
static void link_sci(struct bytes *a)
{
	const uint32_t sci = PC_SCI;
	size_t d = link_begin(a, "LNKS", PC_LINKS);
	link_resources(a, "_PRS", &sci, 1);
	link_resources(a, "_CRS", &sci, 1);
	aml_name(a, "_STA");
	aml_int(a, 0x0b);
	aml_end(a, aml_method(a, "_DIS", 0));
	aml_end(a, aml_method(a, "_SRS", 1));
	aml_end(a, d);
}

/* ---- routing ---- */

/* { slot << 16 | any function, pin, link, 0 } or { ..., pin, 0, I/O APIC input }. */
static void route(struct bytes *a, const struct acpi_config *cfg, int slot, int pin, bool apic)
{
	int line = line_of(cfg, slot, pin);
	char link[5];
	size_t one = aml_package(a, 4);

	aml_int(a, (uint64_t)slot << 16 | 0xffff);
	aml_int(a, (uint64_t)pin);
	if (apic) {
		aml_int(a, 0);
		aml_int(a, (uint64_t)PC_PIRQ_GSI + (unsigned)line);
	} else {
		link_name(link, line);
		aml_path(a, !cfg->q35 && slot == PC_SLOT_PIIX && pin == 0 ? "LNKS" : link);
		aml_int(a, 0);
	}
	aml_end(a, one);
}

static void routing_table(struct bytes *a, const struct acpi_config *cfg, const char *name, bool apic)
{
	aml_name(a, name);
	size_t all = aml_package(a, (NSLOTS - 1) * 4);
	for (int slot = 1; slot < NSLOTS; slot++)
		for (int pin = 0; pin < 4; pin++)
			route(a, cfg, slot, pin, apic);
	aml_end(a, all);
}

/* _PIC (1): the guest uses the I/O APIC. _PRT answers for the one or the other. */
static void routing_by_mode(struct bytes *a)
{
	size_t m, c;

	aml_name(a, "\\PICF");
	aml_int(a, 0);
	m = aml_method(a, "\\_PIC", 1);
	aml_op(a, AML_STORE);
	aml_op(a, AML_ARG0);
	aml_path(a, "\\PICF");
	aml_end(a, m);
	m = aml_method(a, "_PRT", 0);
	c = aml_if(a);
	aml_path(a, "\\PICF");
	aml_op(a, AML_RETURN);
	aml_path(a, "PRTA");
	aml_end(a, c);
	aml_op(a, AML_RETURN);
	aml_path(a, "PRTP");
	aml_end(a, m);
}

/* The fields stand in the scope of the links, which use them. */
static void route_registers(struct bytes *a, int nlinks)
{
	size_t f = aml_field(a, "ISA.PIRR", 1);

	for (int i = 0; i < nlinks; i++) {
		char name[5];
		if (i == PC_LINKS)
			aml_field_unit(a, NULL, 4 * 8);
		snprintf(name, sizeof(name), "PRQ%d", i);
		aml_field_unit(a, name, 8);
	}
	aml_end(a, f);
}

void acpi_build_pci_irqs(const struct acpi_config *cfg, struct bytes *a)
{
	int nlinks = cfg->q35 ? Q35_LINKS : PC_LINKS;

	route_registers(a, nlinks);
	links(a, nlinks);
	if (cfg->q35) {
		routing_table(a, cfg, "PRTP", false);
		routing_table(a, cfg, "PRTA", true);
		routing_by_mode(a);
	} else {
		link_sci(a);
		routing_table(a, cfg, "_PRT", false);
	}
}
