/*
 * The DSDT of the board microvm: serial ports, virtio-mmio transports, and the event
 * device that tells of the power button.
 *
 * Source: ACPI specification 6.3, 5.6.9 (generic event device), 6.1.5 (_HID), 7.4.2
 * (\\_S5); "LNRO0005" is how Linux and others know a virtio-mmio transport.
 */
#include <stdio.h>

#include "hw/acpi/ged.h"
#include "hw/pc/acpi.h"
#include "hw/pc/aml.h"
#include "hw/pc/map.h"
#include "hw/virtio/virtio_mmio.h"

static void resources(struct bytes *a, struct bytes *r)
{
	aml_name(a, "_CRS");
	aml_template(a, r);
}

static void transport(struct bytes *a, int n)
{
	const uint32_t gsi = (uint32_t)(MICROVM_VIRTIO_GSI + n);
	struct bytes r = { 0 };
	char name[8];

	snprintf(name, sizeof(name), "VR%02X", (unsigned)n & 0xff);
	size_t d = aml_device(a, name);
	aml_name(a, "_HID");
	aml_string(a, "LNRO0005");
	aml_name(a, "_UID");
	aml_int(a, (uint64_t)n);
	aml_name(a, "_CCA");
	aml_int(a, 1);
	res_mem32(&r, (uint32_t)(MICROVM_VIRTIO + (uint64_t)n * VIRTIO_MMIO_SIZE), VIRTIO_MMIO_SIZE);
	res_interrupts(&r, &gsi, 1);
	resources(a, &r);
	aml_end(a, d);
}

static void serial(struct bytes *a, int n)
{
	static const struct { uint16_t base; uint8_t irq; } com[4] = {
		{ 0x3f8, 4 }, { 0x2f8, 3 }, { 0x3e8, 4 }, { 0x2e8, 3 },
	};
	struct bytes r = { 0 };
	char name[8];

	snprintf(name, sizeof(name), "COM%d", n + 1);
	size_t d = aml_device(a, name);
	aml_name(a, "_HID");
	aml_eisaid(a, "PNP0501");
	aml_name(a, "_UID");
	aml_int(a, (uint64_t)n + 1);
	res_io(&r, com[n].base, 8);
	res_irq(&r, (uint16_t)(1 << com[n].irq));
	resources(a, &r);
	aml_end(a, d);
}

/* _EVT: clear what has happened, and tell the button. */
static void event_method(struct bytes *a)
{
	size_t m = aml_method(a, "_EVT", 1);
	aml_op(a, AML_STORE);
	aml_path(a, "EVTS");
	aml_op(a, AML_LOCAL0);
	aml_op(a, AML_STORE);
	aml_op(a, AML_LOCAL0);
	aml_path(a, "EVTS");
	size_t c = aml_if(a);
	aml_op(a, AML_AND);
	aml_op(a, AML_LOCAL0);
	aml_int(a, GED_POWER_BUTTON);
	aml_op(a, AML_ZERO);			/* no target */
	aml_op(a, AML_NOTIFY);
	aml_path(a, "\\_SB.PWRB");
	aml_int(a, 0x80);
	aml_end(a, c);
	aml_end(a, m);
}

static void events(struct bytes *a)
{
	const uint32_t gsi = MICROVM_GED_GSI;
	struct bytes r = { 0 };
	size_t d = aml_device(a, "GED");

	aml_name(a, "_HID");
	aml_string(a, "ACPI0013");
	aml_name(a, "_UID");
	aml_int(a, 0);
	res_interrupts(&r, &gsi, 1);
	resources(a, &r);
	aml_region(a, "EREG", AML_SYSTEM_MEMORY, MICROVM_GED + GED_EVENTS, 4);
	size_t f = aml_field(a, "EREG", 4);
	aml_field_unit(a, "EVTS", 32);
	aml_end(a, f);
	event_method(a);
	aml_end(a, d);
}

static void power_button(struct bytes *a)
{
	size_t d = aml_device(a, "PWRB");

	aml_name(a, "_HID");
	aml_eisaid(a, "PNP0C0C");
	aml_name(a, "_UID");
	aml_int(a, 0);
	aml_end(a, d);
}

void acpi_build_reduced_dsdt(const struct acpi_config *cfg, struct bytes *a)
{
	size_t sb = aml_scope(a, "\\_SB");

	for (int i = 0; i < 4; i++)
		if (cfg->serial[i])
			serial(a, i);
	power_button(a);
	events(a);
	for (int i = 0; i < cfg->transports; i++)
		transport(a, i);
	aml_end(a, sb);
	aml_name(a, "\\_S5");
	size_t p = aml_package(a, 4);
	aml_int(a, GED_SLEEP_OFF);
	for (int i = 0; i < 3; i++)
		aml_int(a, 0);
	aml_end(a, p);
}
