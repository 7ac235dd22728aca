/*
 * Kernels without firmware: what the option ROM (bios/bootrom.S) does on other boards
 * is done here, at each reset: pieces of the kernel go into memory, and it is told of
 * the memory map.
 *
 *	PVH        start information at BOOT_INFO_ADDR, the map at BOOT_MAP_ADDR
 *	bzImage    its 32-bit entry: a "zero page" instead of the 16-bit setup code
 *
 * Source: Linux Documentation/arch/x86/boot.rst (32-bit protocol), zero-page.rst; Xen
 * PVH start-of-day ABI, version 1.
 */
#include "hw/pc/direct.h"

#include <stdlib.h>
#include <string.h>

#include "hw/core/bus.h"
#include "hw/pc/boot.h"
#include "hw/pc/map.h"
#include "hw/pc/pc.h"

#define ROM_REGS	0xf00		/* as in bios/microvm.S */

enum { E820_RAM = 1, E820_RESERVED = 2, E820_ACPI = 3 };
#define BASE_END	0x9fc00u

enum {	/* the zero page */
	ZP_RSDP = 0x70, ZP_E820_N = 0x1e8, ZP_HEADER = 0x1f1, ZP_HEADER_JUMP = 0x201, ZP_LOADER = 0x210,
	ZP_E820 = 0x2d0, ZP_SIZE = 0x1000,
};
enum { PVH_RSDP = 32 };
#define KERNEL_32	0x100000u	/* where a bzImage's 32-bit entry is */
#define MAP_MAX		8
#define SETUP_HEADER	(ZP_HEADER_JUMP + 1 + 0xff)	/* bytes of the setup code with all that its header may have */

struct direct {
	struct fwcfg *f;
	struct boot_job job;
	bool zero_page;
	uint32_t setup;			/* address of the zero page or of the start information */
	struct direct_memory mem;
};

struct map_entry {
	uint64_t addr, size;
	uint32_t type;
};

static int memory_map(const struct direct_memory *m, struct map_entry map[MAP_MAX])
{
	int n = 0;

	map[n++] = (struct map_entry){ 0, BASE_END, E820_RAM };
	map[n++] = (struct map_entry){ BASE_END, 0x100000 - BASE_END, E820_RESERVED };
	map[n++] = (struct map_entry){ 0x100000, m->low - m->acpi_size - 0x100000, E820_RAM };
	if (m->acpi_size)
		map[n++] = (struct map_entry){ m->acpi, m->acpi_size, E820_ACPI };
	if (m->ram_size > m->low)
		map[n++] = (struct map_entry){ PC_HOLE_END, m->ram_size - m->low, E820_RAM };
	return n;
}

struct direct *direct_new(const struct pc_config *cfg, struct fwcfg *f, const struct direct_memory *mem,
			  struct err *e)
{
	struct boot_request r = { cfg->kernel, cfg->initrd, cfg->append, mem->low - mem->acpi_size };
	struct direct *d = calloc(1, sizeof(*d));

	if (!d) {
		err_set(e, "no memory for the kernel");
		return NULL;
	}
	d->f = f;
	d->mem = *mem;
	if (!boot_plan(f, &r, &d->job, e)) {
		free(d);
		return NULL;
	}
	d->zero_page = !d->job.protected_mode;
	if (d->zero_page) {
		d->setup = (uint32_t)d->job.ds << 4;
		d->job.entry = KERNEL_32;
		d->job.esi = d->setup;
		d->job.esp = d->setup;
	} else {
		d->setup = d->job.ebx;
	}
	return d;
}

void direct_free(struct direct *d)
{
	free(d);
}

/* The setup header as the kernel brings it, the map, and where ACPI's tables begin. */
static void put_zero_page(const struct direct *d, struct machine *m)
{
	struct map_entry map[MAP_MAX];
	uint8_t page[ZP_SIZE] = { 0 }, setup[SETUP_HEADER] = { 0 };
	uint32_t n = fwcfg_read(d->f, FWCFG_SETUP_DATA, 0, setup, sizeof(setup));
	uint32_t end = ZP_HEADER_JUMP + 1u + setup[ZP_HEADER_JUMP];

	if (end > n)
		end = n;
	memcpy(page + ZP_HEADER, setup + ZP_HEADER, end - ZP_HEADER);
	page[ZP_LOADER] = 0xff;
	if (d->mem.acpi_size)
		st64(page + ZP_RSDP, d->mem.rsdp);
	page[ZP_E820_N] = (uint8_t)memory_map(&d->mem, map);
	for (int i = 0; i < page[ZP_E820_N]; i++) {
		st64(page + ZP_E820 + 20 * i, map[i].addr);
		st64(page + ZP_E820 + 20 * i + 8, map[i].size);
		st32(page + ZP_E820 + 20 * i + 16, map[i].type);
	}
	dma_write(m, d->setup, page, sizeof(page));
}

/* A whole item into memory. */
static void put_piece(const struct direct *d, struct machine *m, uint16_t key, uint64_t addr)
{
	uint8_t buf[16384];
	uint32_t pos = 0, n;

	for (; (n = fwcfg_read(d->f, key, pos, buf, sizeof(buf))); pos += n)
		dma_write(m, addr + pos, buf, n);
}

/* PVH: 24 bytes an entry, their number and the RSDP into the start information. */
static void put_pvh_map(const struct direct *d, struct machine *m)
{
	struct map_entry map[MAP_MAX];
	uint8_t table[MAP_MAX * 24] = { 0 }, count[4], rsdp[8];
	int n = memory_map(&d->mem, map);

	for (int i = 0; i < n; i++) {
		st64(table + 24 * i, map[i].addr);
		st64(table + 24 * i + 8, map[i].size);
		st32(table + 24 * i + 16, map[i].type);
	}
	st32(count, (uint32_t)n);
	st64(rsdp, d->mem.acpi_size ? d->mem.rsdp : 0);
	dma_write(m, BOOT_MAP_ADDR, table, sizeof(table));
	dma_write(m, d->job.map_count, count, sizeof(count));
	dma_write(m, d->setup + PVH_RSDP, rsdp, sizeof(rsdp));
}

void direct_load(const struct direct *d, struct machine *m, struct ram *rom)
{
	const struct boot_job *j = &d->job;
	const uint32_t regs[5] = { j->eax, j->ebx, j->esi, j->esp, j->entry };

	for (int i = 0; i < j->npieces; i++)
		if (d->zero_page && j->piece[i].key == FWCFG_SETUP_DATA)
			put_zero_page(d, m);
		else
			put_piece(d, m, j->piece[i].key, j->piece[i].addr);
	if (!d->zero_page)
		put_pvh_map(d, m);
	phys_ram_write(m->phys, rom, ROM_REGS, regs, sizeof(regs));
}
