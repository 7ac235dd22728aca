/* ACPI tables as the firmware's loader puts them into memory. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bits.h"
#include "hw/pc/acpi.h"
#include "hw/pc/aml.h"

static struct acpi_files files;
static uint8_t *mem;		/* "guest memory": tables at TABLES, RSDP at RSDP */
#define TABLES	0x10000u
#define RSDP	0x1000u
#define MEM	0x40000u

static uint8_t *place(const char *name)
{
	return mem + (strcmp(name, "etc/acpi/rsdp") ? TABLES : RSDP);
}

/* The loader's commands, carried out. */
static void load(void)
{
	memcpy(mem + TABLES, files.tables.p, files.tables.n);
	memcpy(mem + RSDP, files.rsdp.p, files.rsdp.n);
	cr_assert_eq(files.loader.n % 128, 0);
	for (size_t at = 0; at < files.loader.n; at += 128) {
		const uint8_t *e = files.loader.p + at;
		uint8_t *to = place((const char *)e + 4);
		if (ld32(e) == 2) {
			uint8_t *p = to + ld32(e + 116);
			cr_assert_eq(e[120], 4);
			cr_assert_str_eq((const char *)e + 60, "etc/acpi/tables");
			st32(p, ld32(p) + TABLES);
		} else if (ld32(e) == 3) {
			to[ld32(e + 60)] = 0;
			to[ld32(e + 60)] = bytes_checksum(to + ld32(e + 64), ld32(e + 68));
		} else {
			cr_assert_eq(ld32(e), 1);
		}
	}
}

static void setup(void)
{
	struct acpi_config cfg = { .ncpus = 4, .cores = 3, .threads = 1, .hpet = true, .serial = { true }, .pci_mem_start = 0x80000000, .pm_base = 0x600 };
	acpi_build(&cfg, &files);
	mem = calloc(1, MEM);
	load();
}
static void teardown(void)
{
	free(mem);
	acpi_files_fini(&files);
}
TestSuite(acpi, .init = setup, .fini = teardown);

static const uint8_t *find(const char *sig)
{
	const uint8_t *rsdt = mem + ld32(mem + RSDP + 16);
	for (uint32_t off = 36; off < ld32(rsdt + 4); off += 4)
		if (!memcmp(mem + ld32(rsdt + off), sig, 4))
			return mem + ld32(rsdt + off);
	return NULL;
}

Test(acpi, every_table_sums_to_zero)
{
	static const char *const sigs[] = { "FACP", "APIC", "HPET" };
	cr_assert_eq(bytes_checksum(mem + RSDP, 20), 0);
	for (size_t i = 0; i < 3; i++) {
		const uint8_t *t = find(sigs[i]);
		cr_assert(t, "%s", sigs[i]);
		cr_expect_eq(bytes_checksum(t, ld32(t + 4)), 0, "%s", sigs[i]);
	}
	const uint8_t *dsdt = mem + ld32(find("FACP") + 40);
	cr_assert_eq(memcmp(dsdt, "DSDT", 4), 0);
	cr_assert_eq(bytes_checksum(dsdt, ld32(dsdt + 4)), 0);
}

Test(acpi, the_facs_is_aligned)
{
	uint32_t at = ld32(find("FACP") + 36);
	cr_assert_eq(at % 64, 0);
	cr_assert_eq(memcmp(mem + at, "FACS", 4), 0);
}

Test(acpi, the_madt_lists_every_processor)
{
	const uint8_t *t = find("APIC");
	static const uint8_t ids[] = { 0, 1, 2, 4 };	/* two packages with room for four cores each */
	int n = 0;
	for (uint32_t off = 44; off < ld32(t + 4); off += t[off + 1])
		if (t[off] == 0) {
			cr_expect_eq(t[off + 2], n);
			cr_expect_eq(t[off + 3], ids[n & 3]);
			n++;
		}
	cr_assert_eq(n, 4);
}

static struct bytes a;

static void expect_bytes(const char *hex)
{
	char got[256] = "";
	for (size_t i = 0; i < a.n; i++)
		sprintf(got + 2 * i, "%02x", a.p[i]);
	cr_expect_str_eq(got, hex);
	bytes_fini(&a);
}

Test(acpi, aml_numbers_take_the_shortest_form)
{
	aml_int(&a, 0);
	aml_int(&a, 1);
	aml_int(&a, 2);
	aml_int(&a, 0x1234);
	aml_int(&a, 0x12345678);
	aml_int(&a, 0x123456789a);
	expect_bytes("0001" "0a02" "0b3412" "0c78563412" "0e9a78563412000000");
}

Test(acpi, aml_names_have_segments_of_four)
{
	aml_path(&a, "A");
	aml_path(&a, "\\_SB.PCI0");
	aml_path(&a, "^X.Y.Z");
	expect_bytes("415f5f5f" "5c2e5f53425f50434930" "5e2f03" "585f5f5f" "595f5f5f" "5a5f5f5f");
}

Test(acpi, aml_package_lengths_grow_with_the_content)
{
	size_t m = aml_scope(&a, "A");
	aml_end(&a, m);
	expect_bytes("10" "05" "415f5f5f");
	m = aml_scope(&a, "A");
	bytes_grow(&a, 100);
	aml_end(&a, m);
	cr_assert_eq(a.p[1], 0x40 | 0xa);	/* 106 = 6 << 4 | 10 */
	cr_assert_eq(a.p[2], 6);
	bytes_fini(&a);
}

Test(acpi, eisa_ids_are_compressed)
{
	aml_eisaid(&a, "PNP0A03");
	expect_bytes("0c41d00a03");
}

/* The same tables for q35, ports where its firmware puts them. */
static void build_q35(void)
{
	struct acpi_config cfg = {
		.ncpus = 1, .cores = 1, .threads = 1, .q35 = true, .pm_base = 0xb000, .ecam = 0xe0000000,
		.ecam_buses = 64, .pci_mem_start = 0xc0000000,
	};
	size_t n = files.tables.n;

	teardown();
	acpi_build(&cfg, &files);
	cr_assert_eq(files.tables.n % 4096, 0);
	cr_assert_geq(files.tables.n, n);
	mem = calloc(1, MEM);
	load();
}

Test(acpi, q35_has_its_events_at_0x20_of_the_block)
{
	build_q35();
	const uint8_t *fadt = find("FACP");
	cr_assert_eq(ld32(fadt + 56), 0xb000);
	cr_assert_eq(ld32(fadt + 80), 0xb020);
	cr_assert_eq(fadt[92], 16);
	cr_assert_eq(bytes_checksum(fadt, ld32(fadt + 4)), 0);
}

Test(acpi, q35_says_where_configuration_space_is)
{
	cr_assert_null(find("MCFG"));
	build_q35();
	const uint8_t *mcfg = find("MCFG");
	cr_assert(mcfg);
	cr_assert_eq(ld64(mcfg + 44), 0xe0000000);
	cr_assert_eq(mcfg[54], 0);
	cr_assert_eq(mcfg[55], 63);
	cr_assert_eq(bytes_checksum(mcfg, ld32(mcfg + 4)), 0);
}

static bool dsdt_names(const char *name)
{
	const uint8_t *dsdt = mem + ld32(find("FACP") + 40);

	return memmem(dsdt, ld32(dsdt + 4), name, strlen(name));
}

Test(acpi, sleep_states_that_are_not_offered_have_no_name)
{
	struct acpi_config cfg = { .ncpus = 1, .cores = 1, .threads = 1, .pm_base = 0x600, .no_s3 = true };

	cr_expect(dsdt_names("_S3_") && dsdt_names("_S4_") && dsdt_names("_S5_"));
	teardown();
	acpi_build(&cfg, &files);
	mem = calloc(1, MEM);
	load();
	cr_expect(!dsdt_names("_S3_") && dsdt_names("_S4_") && dsdt_names("_S5_"));
}

/* Without firmware the board puts the tables into memory itself. */
Test(acpi, tables_placed_by_the_board_lead_to_each_other)
{
	struct acpi_config cfg = { .ncpus = 2, .cores = 2, .threads = 1, .reduced = true, .transports = 8 };

	teardown();
	acpi_build(&cfg, &files);
	uint64_t rsdp = acpi_place(&files, TABLES);
	mem = calloc(1, MEM);
	memcpy(mem + TABLES, files.tables.p, files.tables.n);
	cr_assert_eq(memcmp(mem + rsdp, "RSD PTR ", 8), 0);
	cr_assert_eq(bytes_checksum(mem + rsdp, 20), 0);
	memcpy(mem + RSDP, mem + rsdp, 20);
	const uint8_t *fadt = find("FACP");
	cr_assert(fadt && find("APIC"));
	cr_assert_eq(bytes_checksum(fadt, ld32(fadt + 4)), 0);
	cr_assert(ld32(fadt + 112) & BIT(20));		/* hardware-reduced */
	const uint8_t *dsdt = mem + ld32(fadt + 40);
	cr_assert_eq(memcmp(dsdt, "DSDT", 4), 0);
	cr_assert_eq(bytes_checksum(dsdt, ld32(dsdt + 4)), 0);
}

Test(acpi, processors_that_may_come_are_there_but_not_enabled)
{
	struct acpi_config cfg = { .ncpus = 40, .absent = BIT(1) | BIT(39), .cpu_hotplug = true, .cores = 40, .threads = 1,
				   .pci_mem_start = 0x80000000, .pm_base = 0x600 };

	teardown();
	acpi_build(&cfg, &files);
	mem = calloc(1, MEM);
	load();
	const uint8_t *madt = find("APIC");
	for (unsigned i = 0; i < 40; i++)
		cr_expect_eq(madt[44 + 8 * i + 4], i != 1 && i != 39, "processor %u", i);
	cr_expect(memmem(mem, MEM, "C027", 4) && memmem(mem, MEM, "_E02", 4));
}
