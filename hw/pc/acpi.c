/*
 * ACPI tables (RSDP, RSDT, FADT, FACS, MADT, HPET, MCFG) and the loader script.
 *
 * All tables but the RSDP lie in one file. Pointers in it are offsets into the
 * file until the firmware, told by the script, adds the address at which it
 * put the file, and computes the sums afterwards. The DSDT is in dsdt.c.
 *
 * Source: ACPI specification 6.3, section 5.2; 4.8 for the fixed hardware;
 * IA-PC HPET specification 1.0a, 3.2.4; the loader commands are what SeaBIOS
 * and OVMF expect in "etc/table-loader".
 */
#include "hw/pc/acpi.h"

#include <string.h>

#include "base/bits.h"
#include "cpu/cpuid.h"
#include "hw/acpi/ged.h"
#include "hw/pc/map.h"

#define FILE_TABLES	"etc/acpi/tables"
#define FILE_RSDP	"etc/acpi/rsdp"

/* ---- loader script ---- */

enum { LOAD_ALLOCATE = 1, LOAD_ADD_POINTER, LOAD_ADD_CHECKSUM };
enum { ZONE_HIGH = 1, ZONE_FSEG };
#define LOAD_ENTRY	128
#define LOAD_NAME	56

static uint8_t *load_entry(struct acpi_files *f, uint32_t command, const char *file)
{
	uint8_t *e = bytes_grow(&f->loader, LOAD_ENTRY);
	st32(e, command);
	memcpy(e + 4, file, strlen(file));
	return e + 4 + LOAD_NAME;
}

static void load_allocate(struct acpi_files *f, const char *file, uint32_t align, uint8_t zone)
{
	uint8_t *e = load_entry(f, LOAD_ALLOCATE, file);
	st32(e, align);
	e[4] = zone;
}

/* The `size` bytes at `off` of file `in` become an address: add that of the tables. */
static void load_pointer(struct acpi_files *f, const char *in, size_t off, uint8_t size)
{
	uint8_t *e = load_entry(f, LOAD_ADD_POINTER, in);
	memcpy(e, FILE_TABLES, strlen(FILE_TABLES));
	st32(e + LOAD_NAME, (uint32_t)off);
	e[LOAD_NAME + 4] = size;
}

static void load_checksum(struct acpi_files *f, const char *in, size_t off, size_t start, size_t n)
{
	uint8_t *e = load_entry(f, LOAD_ADD_CHECKSUM, in);
	st32(e, (uint32_t)off);
	st32(e + 4, (uint32_t)start);
	st32(e + 8, (uint32_t)n);
}

/* ---- table headers ---- */

enum { HDR_LENGTH = 4, HDR_CHECKSUM = 9, HDR_SIZE = 36 };

/* Append a header; the offset of the table. */
static size_t table_begin(struct acpi_files *f, const char *sig, uint8_t revision)
{
	struct bytes *t = &f->tables;
	bytes_align(t, 16);
	size_t at = t->n;
	bytes_put(t, sig, 4);
	bytes_put32(t, 0);
	bytes_put8(t, revision);
	bytes_put8(t, 0);
	bytes_put(t, "RHEA  ", 6);
	bytes_put(t, "RHEAPC  ", 8);
	bytes_put32(t, 1);
	bytes_put(t, "RHEA", 4);
	bytes_put32(t, 1);
	return at;
}

static void table_end(struct acpi_files *f, size_t at)
{
	size_t n = f->tables.n - at;
	st32(f->tables.p + at + HDR_LENGTH, (uint32_t)n);
	load_checksum(f, FILE_TABLES, at + HDR_CHECKSUM, at, n);
}

/* ---- tables ---- */

static size_t build_facs(struct acpi_files *f)
{
	bytes_align(&f->tables, 64);
	size_t at = f->tables.n;
	uint8_t *p = bytes_grow(&f->tables, 64);
	memcpy(p, "FACS", 4);
	st32(p + 4, 64);
	p[32] = 1;			/* version */
	return at;
}

static size_t build_dsdt(struct acpi_files *f, const struct acpi_config *cfg)
{
	size_t at = table_begin(f, "DSDT", 2);
	(cfg->reduced ? acpi_build_reduced_dsdt : acpi_build_dsdt)(cfg, &f->tables);
	table_end(f, at);
	return at;
}

/* 5.2.3.2 Generic Address Structure in system I/O space. */
static void put_gas(uint8_t *p, uint32_t port, int nbytes)
{
	p[0] = 1;
	p[1] = (uint8_t)(nbytes * 8);
	p[3] = (uint8_t)(nbytes == 4 ? 3 : nbytes == 2 ? 2 : 1);
	st64(p + 4, port);
}

enum {	/* offsets in the FADT, 5.2.9 */
	FADT_FACS = 36, FADT_DSDT = 40, FADT_PROFILE = 45, FADT_SCI = 46, FADT_SMI_CMD = 48,
	FADT_ENABLE = 52, FADT_DISABLE = 53, FADT_PM1A_EVT = 56, FADT_PM1A_CNT = 64,
	FADT_PM_TMR = 76, FADT_GPE0 = 80, FADT_EVT_LEN = 88, FADT_CNT_LEN = 89, FADT_TMR_LEN = 91,
	FADT_GPE0_LEN = 92, FADT_LVL2 = 96, FADT_LVL3 = 98, FADT_CENTURY = 108, FADT_ARCH = 109,
	FADT_FLAGS = 112, FADT_RESET = 116, FADT_RESET_VALUE = 128, FADT_X_EVT = 148,
	FADT_X_CNT = 172, FADT_X_TMR = 208, FADT_X_GPE0 = 220, FADT_SIZE = 244,
};
#define FADT_WBINVD	BIT(0)
#define FADT_C1		BIT(2)
#define FADT_NO_POWER_BUTTON BIT(4)	/* in fixed hardware */
#define FADT_NO_SLEEP	BIT(5)		/* no sleep button in fixed hardware */
#define FADT_RESET_REG	BIT(10)
#define ARCH_LEGACY	BIT(0)
#define ARCH_8042	BIT(1)

static void fadt_registers(uint8_t *p, const struct acpi_config *cfg)
{
	struct acpi_gpe gpe = acpi_gpe(cfg);
	uint32_t pm = cfg->pm_base;

	st32(p + FADT_PM1A_EVT, pm);
	st32(p + FADT_PM1A_CNT, pm + 4);
	st32(p + FADT_PM_TMR, pm + 8);
	st32(p + FADT_GPE0, pm + gpe.at);
	p[FADT_EVT_LEN] = 4;
	p[FADT_CNT_LEN] = 2;
	p[FADT_TMR_LEN] = 4;
	p[FADT_GPE0_LEN] = gpe.len;
	put_gas(p + FADT_X_EVT, pm, 4);
	put_gas(p + FADT_X_CNT, pm + 4, 2);
	put_gas(p + FADT_X_TMR, pm + 8, 4);
	put_gas(p + FADT_X_GPE0, pm + gpe.at, gpe.len);
	p[FADT_X_GPE0 + 3] = 1;			/* accessed by bytes */
	put_gas(p + FADT_RESET, PC_RESET_PORT, 1);
	p[FADT_RESET_VALUE] = PC_RESET_VALUE;
}

static size_t build_fadt(struct acpi_files *f, const struct acpi_config *cfg, size_t facs, size_t dsdt)
{
	size_t at = table_begin(f, "FACP", 3);
	bytes_grow(&f->tables, FADT_SIZE - HDR_SIZE);
	uint8_t *p = f->tables.p + at;
	st32(p + FADT_FACS, (uint32_t)facs);
	st32(p + FADT_DSDT, (uint32_t)dsdt);
	p[FADT_PROFILE] = 1;			/* desktop */
	st16(p + FADT_SCI, PC_SCI);
	st32(p + FADT_SMI_CMD, PC_SMI_PORT);
	p[FADT_ENABLE] = PC_ACPI_ENABLE;
	p[FADT_DISABLE] = PC_ACPI_DISABLE;
	st16(p + FADT_LVL2, 0xfff);		/* no C2, no C3 */
	st16(p + FADT_LVL3, 0xfff);
	p[FADT_CENTURY] = 0x32;
	st16(p + FADT_ARCH, ARCH_LEGACY | ARCH_8042);
	st32(p + FADT_FLAGS, FADT_WBINVD | FADT_C1 | FADT_NO_SLEEP | FADT_RESET_REG);
	fadt_registers(p, cfg);
	load_pointer(f, FILE_TABLES, at + FADT_FACS, 4);
	load_pointer(f, FILE_TABLES, at + FADT_DSDT, 4);
	table_end(f, at);
	return at;
}

/* 5.2.9 as of version 5: registers for sleep and reset, and nothing of fixed hardware. */
#define FADT5_SIZE	268
enum { FADT_SLEEP_CONTROL = 244, FADT_SLEEP_STATUS = 256 };
#define FADT_REDUCED	BIT(20)
#define ARCH_NO_VGA	BIT(2)
#define ARCH_NO_RTC	BIT(5)

static void put_memory_gas(uint8_t *p, uint64_t pa)
{
	p[0] = 0;
	p[1] = 8;
	p[3] = 1;
	st64(p + 4, pa);
}

static size_t build_reduced_fadt(struct acpi_files *f, size_t dsdt)
{
	size_t at = table_begin(f, "FACP", 5);
	bytes_grow(&f->tables, FADT5_SIZE - HDR_SIZE);
	uint8_t *p = f->tables.p + at;
	st32(p + FADT_DSDT, (uint32_t)dsdt);
	st16(p + FADT_ARCH, ARCH_NO_VGA | ARCH_NO_RTC);
	st32(p + FADT_FLAGS, FADT_WBINVD | FADT_NO_POWER_BUTTON | FADT_NO_SLEEP | FADT_RESET_REG | FADT_REDUCED);
	put_memory_gas(p + FADT_RESET, MICROVM_GED + GED_RESET);
	p[FADT_RESET_VALUE] = GED_RESET_VALUE;
	put_memory_gas(p + FADT_SLEEP_CONTROL, MICROVM_GED + GED_SLEEP_CONTROL);
	put_memory_gas(p + FADT_SLEEP_STATUS, MICROVM_GED + GED_SLEEP_STATUS);
	load_pointer(f, FILE_TABLES, at + FADT_DSDT, 4);
	table_end(f, at);
	return at;
}

static void madt_override(struct bytes *t, uint8_t irq, uint32_t gsi, uint16_t flags)
{
	bytes_put8(t, 2);
	bytes_put8(t, 10);
	bytes_put8(t, 0);
	bytes_put8(t, irq);
	bytes_put32(t, gsi);
	bytes_put16(t, flags);
}

/* 5.2.12: one entry a processor, the I/O APIC, where ISA lines differ, NMI. */
static size_t build_madt(struct acpi_files *f, const struct acpi_config *cfg)
{
	static const uint8_t level[] = { 5, 9, 10, 11 };
	struct bytes *t = &f->tables;
	size_t at = table_begin(f, "APIC", 1);
	bytes_put32(t, PC_LAPIC);
	bytes_put32(t, !cfg->reduced);		/* there are 8259s as well */
	for (int i = 0; i < cfg->ncpus; i++) {
		uint32_t id = cpuid_apic_id((unsigned)i, (unsigned)cfg->cores, (unsigned)cfg->threads);
		const uint8_t lapic[] = { 0, 8, (uint8_t)i, (uint8_t)id, !(cfg->absent >> i & 1), 0, 0, 0 };
		bytes_put(t, lapic, sizeof(lapic));
	}
	bytes_put8(t, 1);
	bytes_put8(t, 12);
	bytes_put8(t, 0);			/* I/O APIC id */
	bytes_put8(t, 0);
	bytes_put32(t, PC_IOAPIC);
	bytes_put32(t, 0);
	if (!cfg->reduced)
		madt_override(t, 0, 2, 0);
	for (size_t i = 0; i < sizeof(level) && !cfg->reduced; i++)
		madt_override(t, level[i], level[i], 0x0d);	/* active high, level */
	const uint8_t nmi[] = { 4, 6, 0xff, 0, 0, 1 };	/* LINT1 of every local APIC */
	bytes_put(t, nmi, sizeof(nmi));
	table_end(f, at);
	return at;
}

static size_t build_hpet(struct acpi_files *f)
{
	size_t at = table_begin(f, "HPET", 1);
	uint8_t *p = bytes_grow(&f->tables, 20);
	st32(p, 0x8086a201);			/* Intel, legacy routes, 64 bits, 3 timers */
	st64(p + 8, PC_HPET);
	p[5] = 64;				/* register width */
	table_end(f, at);
	return at;
}

/* PCI Firmware Specification 3.0, 4.1.2. */
static size_t build_mcfg(struct acpi_files *f, const struct acpi_config *cfg)
{
	size_t at = table_begin(f, "MCFG", 1);
	uint8_t *p = bytes_grow(&f->tables, 8 + 16);
	st64(p + 8, cfg->ecam);
	p[8 + 11] = (uint8_t)(cfg->ecam_buses - 1);
	table_end(f, at);
	return at;
}

static void build_rsdp(struct acpi_files *f, size_t rsdt)
{
	struct bytes *r = &f->rsdp;
	bytes_put(r, "RSD PTR ", 8);
	bytes_put8(r, 0);
	bytes_put(r, "RHEA  ", 6);
	bytes_put8(r, 0);			/* revision: ACPI 1.0 layout */
	bytes_put32(r, (uint32_t)rsdt);
	load_pointer(f, FILE_RSDP, 16, 4);
	load_checksum(f, FILE_RSDP, 8, 0, 20);
}

static size_t build_rsdt(struct acpi_files *f, const size_t *table, int n)
{
	size_t at = table_begin(f, "RSDT", 1);
	for (int i = 0; i < n; i++) {
		bytes_put32(&f->tables, (uint32_t)table[i]);
		load_pointer(f, FILE_TABLES, f->tables.n - 4, 4);
	}
	table_end(f, at);
	return at;
}

/*
 * Addresses that firmware chooses show in the tables, so they are built again when
 * it reads them, and a window more or less must not change the file's size.
 */
#define PAD	4096

static void pad(struct bytes *b)
{
	bytes_grow(b, PAD / 4);
	bytes_align(b, PAD);
}

void acpi_build(const struct acpi_config *cfg, struct acpi_files *f)
{
	size_t table[4];
	int n = 0;

	*f = (struct acpi_files){ 0 };
	load_allocate(f, FILE_RSDP, 16, ZONE_FSEG);
	load_allocate(f, FILE_TABLES, 64, ZONE_HIGH);
	size_t facs = cfg->reduced ? 0 : build_facs(f);
	size_t dsdt = build_dsdt(f, cfg);
	table[n++] = cfg->reduced ? build_reduced_fadt(f, dsdt) : build_fadt(f, cfg, facs, dsdt);
	table[n++] = build_madt(f, cfg);
	if (cfg->hpet)
		table[n++] = build_hpet(f);
	if (cfg->q35)
		table[n++] = build_mcfg(f, cfg);
	build_rsdp(f, build_rsdt(f, table, n));
	pad(&f->tables);
}

static uint8_t *file_bytes(struct acpi_files *f, const uint8_t *name)
{
	return strcmp((const char *)name, FILE_RSDP) ? f->tables.p : f->rsdp.p;
}

uint64_t acpi_place(struct acpi_files *f, uint64_t pa)
{
	for (size_t at = 0; at < f->loader.n; at += LOAD_ENTRY) {
		const uint8_t *e = f->loader.p + at, *a = e + 4 + LOAD_NAME;
		uint8_t *file = file_bytes(f, e + 4);
		if (ld32(e) == LOAD_ADD_POINTER) {
			uint8_t *p = file + ld32(a + LOAD_NAME);
			st32(p, ld32(p) + (uint32_t)pa);
		} else if (ld32(e) == LOAD_ADD_CHECKSUM) {
			file[ld32(a)] = 0;
			file[ld32(a)] = bytes_checksum(file + ld32(a + 4), ld32(a + 8));
		}
	}
	bytes_align(&f->tables, 16);
	uint64_t rsdp = pa + f->tables.n;
	bytes_put(&f->tables, f->rsdp.p, f->rsdp.n);
	return rsdp;
}

void acpi_files_fini(struct acpi_files *f)
{
	bytes_fini(&f->tables);
	bytes_fini(&f->rsdp);
	bytes_fini(&f->loader);
}
