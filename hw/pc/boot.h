/*
 * Direct kernel start (-kernel): Linux bzImage, multiboot 1 and PVH images,
 * packed with gzip or not.
 */
#ifndef HW_PC_BOOT_H
#define HW_PC_BOOT_H

#include "hw/pc/fwcfg.h"

/* Name of the option ROM's file, for the firmware's boot order. */
#define BOOT_ROM_FILE	"genroms/rhea-kernel.bin"

struct boot_request {
	const char *kernel, *initrd, *append;	/* initrd, append may be NULL */
	uint64_t ram_below_4g;
};

/* Read the files and put everything that starts the kernel into fw_cfg. */
bool boot_load(struct fwcfg *f, const struct boot_request *r, struct err *e);

/* ---- between boot.c and the loaders of each format ---- */

#define BOOT_MAX_PIECES	8

/* What the option ROM shall do; boot.c turns it into the ROM's own layout. */
struct boot_job {
	struct { uint16_t key; uint32_t n; uint64_t addr; } piece[BOOT_MAX_PIECES];
	int npieces;
	bool protected_mode;
	uint32_t entry;			/* linear; real mode: segment << 16 | offset */
	uint32_t eax, ebx, esi, esp;
	uint16_t ds;			/* real mode */
	uint32_t map_lead, map_count, map_unit;	/* memory map wanted if map_unit is not 0 */
};
#define BOOT_MAP_ADDR	0x2000		/* where the ROM puts the memory map */
#define BOOT_INFO_ADDR	0x3000		/* where boot information for ELF kernels goes */
#define BOOT_INFO_MAX	0x3000
#define BOOT_LOWEST	0x7c00		/* below it work firmware and ROM */

/* Read the files into fw_cfg items, and what is to be done with them into *j, which is zeroed. */
bool boot_plan(struct fwcfg *f, const struct boot_request *r, struct boot_job *j, struct err *e);

struct boot_file {
	uint8_t *p;			/* all of it; of a bzImage with a path perhaps BOOT_MAX_SETUP bytes only */
	size_t n;
	const char *path;		/* where these bytes are, or NULL: nowhere else */
};
#define BOOT_MAX_SETUP	(256u * 512)	/* setup code of a bzImage */
/* The caller's path, and p to free(). */
bool boot_read_file(const char *path, struct boot_file *out, struct err *e);
/* How large a file is. */
bool boot_file_size(const char *path, size_t *n, struct err *e);

bool boot_is_gzip(const struct boot_file *k);
/* If it is a gzip file, its contents (at most max bytes) take its place. */
bool boot_gunzip(struct boot_file *k, uint64_t max, struct err *e);

/* The item `key` (which fw_cfg has got) goes to addr. */
void boot_piece(struct boot_job *j, uint16_t key, uint32_t n, uint64_t addr);

bool boot_is_linux(const struct boot_file *k);
bool boot_linux(struct fwcfg *f, const struct boot_request *r, struct boot_file *k,
		struct boot_job *j, struct err *e);
/* A multiboot header or an ELF file with a PVH entry note. */
bool boot_is_elf_kernel(const struct boot_file *k);
bool boot_elf_kernel(struct fwcfg *f, const struct boot_request *r, struct boot_file *k,
		     struct boot_job *j, struct err *e);

#endif
