/*
 * The DSDT's part about PCI slots whose devices come and go (hw/acpi/pcihp.h): a device
 * with _EJ0 for each, and the handler of the event.
 *
 * Source: ACPI specification 6.3, 5.6.4.1 (_Exx), 5.6.6 (notification values), 6.3.3 (_EJx).
 */
#include <stdio.h>

#include "hw/acpi/pcihp.h"
#include "hw/pc/acpi.h"
#include "hw/pc/aml.h"

enum { NOTIFY_CHECK = 1, NOTIFY_EJECT = 3 };

static void registers(struct bytes *a)
{
	aml_region(a, "PHPR", AML_SYSTEM_IO, PCIHP_PORT, PCIHP_LEN);
	size_t f = aml_field(a, "PHPR", 4);
	aml_field_unit(a, "PHUP", 32);
	aml_field_unit(a, "PHDN", 32);
	aml_field_unit(a, "PHEJ", 32);
	aml_end(a, f);
}

static void slot_device(struct bytes *a, int slot)
{
	char name[8];

	snprintf(name, sizeof(name), "S%02X", (unsigned)slot & 0xff);
	size_t d = aml_device(a, name);
	aml_name(a, "_SUN");
	aml_int(a, (uint64_t)slot);
	aml_name(a, "_ADR");
	aml_int(a, (uint64_t)slot << 16);
	size_t m = aml_method(a, "_EJ0", 1);
	aml_op(a, AML_STORE);
	aml_int(a, 1ull << slot);
	aml_path(a, "PHEJ");
	aml_end(a, m);
	aml_end(a, d);
}

void acpi_build_slots(const struct acpi_config *cfg, struct bytes *a)
{
	if (!cfg->hotplug_slots)
		return;
	registers(a);
	for (int i = 0; i < 32; i++)
		if (cfg->hotplug_slots >> i & 1)
			slot_device(a, i);
}

/* If (And (local, 1 << slot)) { Notify (slot, value) } */
static void notify(struct bytes *a, enum aml_op local, int slot, int value)
{
	char path[32];
	size_t c = aml_if(a);

	snprintf(path, sizeof(path), "\\_SB.PCI0.S%02X", (unsigned)slot & 0xff);
	aml_op(a, AML_AND);
	aml_op(a, local);
	aml_int(a, 1ull << slot);
	aml_op(a, AML_ZERO);			/* no target */
	aml_op(a, AML_NOTIFY);
	aml_path(a, path);
	aml_int(a, (uint64_t)value);
	aml_end(a, c);
}

static void fetch(struct bytes *a, const char *field, enum aml_op local)
{
	aml_op(a, AML_STORE);
	aml_path(a, field);
	aml_op(a, local);
}

void acpi_build_slot_events(const struct acpi_config *cfg, struct bytes *a)
{
	if (!cfg->hotplug_slots)
		return;
	size_t s = aml_scope(a, "\\_GPE"), m = aml_method(a, "_E01", 0);
	fetch(a, "\\_SB.PCI0.PHUP", AML_LOCAL0);
	fetch(a, "\\_SB.PCI0.PHDN", AML_LOCAL1);
	for (int i = 0; i < 32; i++) {
		if (!(cfg->hotplug_slots >> i & 1))
			continue;
		notify(a, AML_LOCAL0, i, NOTIFY_CHECK);
		notify(a, AML_LOCAL1, i, NOTIFY_EJECT);
	}
	aml_end(a, m);
	aml_end(a, s);
}
_Static_assert(PCIHP_GPE == 1, "the handler is called _E01");
