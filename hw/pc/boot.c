/*
 * Direct kernel start: finds out the image's format, and makes the option ROM
 * (bios/bootrom.S) with its plan.
 *
 * Source: BIOS Boot Specification 1.01; fw_cfg DMA interface.
 */
#include "hw/pc/boot.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "hw/pc/bytes.h"

extern const uint8_t bios_bootrom[], bios_bootrom_end[];

/* What bios/bootrom.S expects behind its code; offsets are stated there, too. */
struct rom_plan {
	uint32_t size, npieces, protected_mode, entry;
	uint32_t eax, ebx, esi, esp, ds;
	uint32_t map, map_lead, map_count, map_unit;
	uint32_t unused;
	uint16_t gdt_limit;
	uint32_t gdt_base;
	uint16_t unused2;
	uint64_t gdt[4];
	uint64_t unused3;
	uint8_t piece[BOOT_MAX_PIECES][16];
} __attribute__((packed));
_Static_assert(offsetof(struct rom_plan, gdt_limit) == 56, "as in bios/bootrom.S");
_Static_assert(offsetof(struct rom_plan, piece) == 104, "as in bios/bootrom.S");

#define PLAN_ADDR	0x1000		/* where the ROM copies it */
#define ROM_PNP		0x20		/* offset of the PnP header */
#define ROM_PNP_LEN	32

static const uint64_t flat_gdt[4] = {
	0, 0x00cf9b000000ffff, 0x00cf93000000ffff,	/* code, data */
	0x0000890000000067,				/* 32-bit TSS at 0 */
};

bool boot_file_size(const char *path, size_t *n, struct err *e)
{
	struct stat st;

	if (stat(path, &st))
		return err_errno(e, "'%s'", path);
	if (!S_ISREG(st.st_mode) || st.st_size > INT32_MAX)
		return err_set(e, "'%s': not a file of a sensible size", path);
	*n = (size_t)st.st_size;
	return true;
}

/* The first `most` bytes, or all. */
static bool read_first(const char *path, size_t most, struct boot_file *out, struct err *e)
{
	FILE *fp = NULL;

	*out = (struct boot_file){ .path = path };
	if (!boot_file_size(path, &out->n, e))
		return false;
	if (out->n > most)
		out->n = most;
	fp = fopen(path, "rb");
	if (!fp)
		return err_errno(e, "'%s'", path);
	out->p = malloc(out->n + 1);
	if (!out->p || fread(out->p, 1, out->n, fp) != out->n) {
		free(out->p);
		fclose(fp);
		return err_set(e, "'%s': cannot be read", path);
	}
	fclose(fp);
	return true;
}

bool boot_read_file(const char *path, struct boot_file *out, struct err *e)
{
	return read_first(path, SIZE_MAX, out, e);
}

/* What has to be looked at here: of a bzImage its setup code, as fw_cfg reads the rest from the file; else all. */
static bool read_kernel(const char *path, struct boot_file *k, struct err *e)
{
	size_t size;

	if (!boot_file_size(path, &size, e) || !read_first(path, BOOT_MAX_SETUP, k, e))
		return false;
	if (!boot_is_gzip(k) && !boot_is_elf_kernel(k) && boot_is_linux(k)) {
		k->n = size;
		return true;
	}
	free(k->p);
	return boot_read_file(path, k, e);
}

void boot_piece(struct boot_job *j, uint16_t key, uint32_t n, uint64_t addr)
{
	if (!n || j->npieces == BOOT_MAX_PIECES)
		return;
	j->piece[j->npieces].key = key;
	j->piece[j->npieces].n = n;
	j->piece[j->npieces++].addr = addr;
}

static struct rom_plan make_plan(const struct boot_job *j)
{
	struct rom_plan plan = {
		.size = sizeof(plan), .npieces = (uint32_t)j->npieces,
		.protected_mode = j->protected_mode, .entry = j->entry,
		.eax = j->eax, .ebx = j->ebx, .esi = j->esi, .esp = j->esp, .ds = j->ds,
		.map = j->map_unit ? BOOT_MAP_ADDR : 0, .map_lead = j->map_lead,
		.map_count = j->map_count, .map_unit = j->map_unit,
		.gdt_limit = sizeof(flat_gdt) - 1,
		.gdt_base = PLAN_ADDR + offsetof(struct rom_plan, gdt),
	};
	memcpy(plan.gdt, flat_gdt, sizeof(flat_gdt));
	for (int i = 0; i < j->npieces; i++) {
		uint32_t control = (uint32_t)j->piece[i].key << 16 | FWCFG_DMA_SELECT | FWCFG_DMA_READ;
		st32(plan.piece[i], __builtin_bswap32(control));
		st32(plan.piece[i] + 4, __builtin_bswap32(j->piece[i].n));
		st64(plan.piece[i] + 8, __builtin_bswap64(j->piece[i].addr));
	}
	return plan;
}

/* The ROM with the plan behind it, its length and both sums filled in. */
static void add_rom(struct fwcfg *f, const struct boot_job *j)
{
	struct rom_plan plan = make_plan(j);
	struct bytes rom = { 0 };

	bytes_put(&rom, bios_bootrom, (size_t)(bios_bootrom_end - bios_bootrom));
	bytes_put(&rom, &plan, sizeof(plan));
	bytes_put8(&rom, 0);			/* room for the sum */
	bytes_align(&rom, 512);
	rom.p[2] = (uint8_t)(rom.n / 512);
	rom.p[ROM_PNP + 9] = bytes_checksum(rom.p + ROM_PNP, ROM_PNP_LEN);
	rom.p[rom.n - 1] = bytes_checksum(rom.p, rom.n);
	fwcfg_add_file(f, BOOT_ROM_FILE, rom.p, (uint32_t)rom.n);
	bytes_fini(&rom);
}

bool boot_plan(struct fwcfg *f, const struct boot_request *r, struct boot_job *j, struct err *e)
{
	struct boot_file k;
	bool ok;

	if (!read_kernel(r->kernel, &k, e))
		return err_prefix(e, "kernel");
	if (!boot_gunzip(&k, r->ram_below_4g, e))
		ok = false;
	else if (boot_is_elf_kernel(&k))
		ok = boot_elf_kernel(f, r, &k, j, e);
	else if (boot_is_linux(&k))
		ok = boot_linux(f, r, &k, j, e);
	else
		ok = err_set(e, "neither a Linux bzImage nor a multiboot or PVH image");
	free(k.p);
	return ok || err_prefix(e, "kernel '%s'", r->kernel);
}

bool boot_load(struct fwcfg *f, const struct boot_request *r, struct err *e)
{
	struct boot_job j = { 0 };

	if (!boot_plan(f, r, &j, e))
		return false;
	add_rom(f, &j);
	return true;
}
