/*
 * The DSDT's part about processors: plain ones, or, where they come and go (hw/acpi/cpuhp.h), a
 * device with _STA, _MAT and _EJ0 for each, and the handler of the event.
 *
 * Source: ACPI specification 6.3, 5.6.6 (notification values), 6.2.11 (_MAT), 8.4 (processors),
 * 5.2.12.2 (the structure that _MAT gives).
 */
#include <stdio.h>

#include "base/bits.h"
#include "cpu/cpuid.h"
#include "hw/acpi/cpuhp.h"
#include "hw/pc/acpi.h"
#include "hw/pc/aml.h"

enum { NOTIFY_CHECK = 1, NOTIFY_EJECT = 3, STA_THERE = 0x0f };

static const char *cpu_name(char name[8], int i)
{
	snprintf(name, 8, "C%03X", (unsigned)i & 0xfff);
	return name;
}

static void plain(struct bytes *a, int n)
{
	char name[8];

	for (int i = 0; i < n; i++)
		aml_end(a, aml_processor(a, cpu_name(name, i), (uint8_t)i));
}

static void registers(struct bytes *a)
{
	static const char *const units[] = { "CHP0", "CHP1", "CHU0", "CHU1", "CHD0", "CHD1", "CHEJ" };

	aml_region(a, "CHPR", AML_SYSTEM_IO, CPUHP_PORT, CPUHP_LEN);
	size_t f = aml_field(a, "CHPR", 4);
	for (size_t i = 0; i < ARRAY_LEN(units); i++)
		aml_field_unit(a, units[i], 32);
	aml_end(a, f);
}

/* The predicate: does processor i exist? */
static void if_present(struct bytes *a, int i)
{
	aml_op(a, AML_AND);
	aml_path(a, i < 32 ? "CHP0" : "CHP1");
	aml_int(a, 1ull << (i & 31));
	aml_op(a, AML_ZERO);			/* no target */
}

static void status(struct bytes *a, int i)
{
	size_t m = aml_method(a, "_STA", 0), c = aml_if(a);

	if_present(a, i);
	aml_op(a, AML_RETURN);
	aml_int(a, STA_THERE);
	aml_end(a, c);
	aml_op(a, AML_RETURN);
	aml_int(a, 0);
	aml_end(a, m);
}

static void return_madt_entry(struct bytes *a, int i, uint32_t apic_id, bool enabled)
{
	const uint8_t lapic[] = { 0, 8, (uint8_t)i, (uint8_t)apic_id, enabled, 0, 0, 0 };
	struct bytes b = { 0 };

	bytes_put(&b, lapic, sizeof(lapic));
	aml_op(a, AML_RETURN);
	aml_buffer(a, &b);
	bytes_fini(&b);
}

static void device(struct bytes *a, const struct acpi_config *cfg, int i)
{
	uint32_t id = cpuid_apic_id((unsigned)i, (unsigned)cfg->cores, (unsigned)cfg->threads);
	char name[8];
	size_t d = aml_device(a, cpu_name(name, i)), m, c;

	aml_name(a, "_HID");
	aml_string(a, "ACPI0007");
	aml_name(a, "_UID");
	aml_int(a, (uint64_t)i);
	status(a, i);
	m = aml_method(a, "_MAT", 0);
	c = aml_if(a);
	if_present(a, i);
	return_madt_entry(a, i, id, true);
	aml_end(a, c);
	return_madt_entry(a, i, id, false);
	aml_end(a, m);
	if (i) {
		m = aml_method(a, "_EJ0", 1);
		aml_op(a, AML_STORE);
		aml_int(a, (uint64_t)i);
		aml_path(a, "CHEJ");
		aml_end(a, m);
	}
	aml_end(a, d);
}

void acpi_build_cpus(const struct acpi_config *cfg, struct bytes *a)
{
	size_t d;

	if (!cfg->cpu_hotplug) {
		plain(a, cfg->ncpus);
		return;
	}
	d = aml_device(a, "CPUS");
	aml_name(a, "_HID");
	aml_string(a, "ACPI0010");
	aml_name(a, "_CID");
	aml_eisaid(a, "PNP0A05");
	registers(a);
	for (int i = 0; i < cfg->ncpus; i++)
		device(a, cfg, i);
	aml_end(a, d);
}

/* Local0 = field; for each of its processors that is set: Notify. */
static void notify_all(struct bytes *a, const struct acpi_config *cfg, const char *field, int first, int value)
{
	char path[32], name[8];

	aml_op(a, AML_STORE);
	snprintf(path, sizeof(path), "\\_SB.CPUS.%s", field);
	aml_path(a, path);
	aml_op(a, AML_LOCAL0);
	for (int i = first; i < first + 32 && i < cfg->ncpus; i++) {
		size_t c = aml_if(a);

		aml_op(a, AML_AND);
		aml_op(a, AML_LOCAL0);
		aml_int(a, 1ull << (i & 31));
		aml_op(a, AML_ZERO);
		aml_op(a, AML_NOTIFY);
		snprintf(path, sizeof(path), "\\_SB.CPUS.%s", cpu_name(name, i));
		aml_path(a, path);
		aml_int(a, (uint64_t)value);
		aml_end(a, c);
	}
}

void acpi_build_cpu_events(const struct acpi_config *cfg, struct bytes *a)
{
	if (!cfg->cpu_hotplug)
		return;
	size_t s = aml_scope(a, "\\_GPE"), m = aml_method(a, "_E02", 0);
	notify_all(a, cfg, "CHU0", 0, NOTIFY_CHECK);
	notify_all(a, cfg, "CHU1", 32, NOTIFY_CHECK);
	notify_all(a, cfg, "CHD0", 0, NOTIFY_EJECT);
	notify_all(a, cfg, "CHD1", 32, NOTIFY_EJECT);
	aml_end(a, m);
	aml_end(a, s);
}
_Static_assert(CPUHP_GPE == 2, "the handler is called _E02");
