/*
 * fw_cfg: how firmware asks the machine for configuration, tables and kernels.
 *
 * Items have a 16-bit key; files are items with a name, listed in a directory.
 * Firmware reads them bytewise at port 0x511 or by DMA. Items are added while
 * the board is built and stay constant, so only the position is saved. Large ones stay in their files.
 */
#ifndef HW_PC_FWCFG_H
#define HW_PC_FWCFG_H

#include "hw/core/dev.h"

enum fwcfg_key {
	FWCFG_SIGNATURE = 0x00, FWCFG_ID = 0x01, FWCFG_UUID = 0x02, FWCFG_RAM_SIZE = 0x03,
	FWCFG_NOGRAPHIC = 0x04, FWCFG_NB_CPUS = 0x05, FWCFG_MACHINE_ID = 0x06,
	FWCFG_KERNEL_ADDR = 0x07, FWCFG_KERNEL_SIZE = 0x08, FWCFG_KERNEL_CMDLINE = 0x09,
	FWCFG_INITRD_ADDR = 0x0a, FWCFG_INITRD_SIZE = 0x0b, FWCFG_BOOT_DEVICE = 0x0c,
	FWCFG_NUMA = 0x0d, FWCFG_BOOT_MENU = 0x0e, FWCFG_MAX_CPUS = 0x0f,
	FWCFG_KERNEL_ENTRY = 0x10, FWCFG_KERNEL_DATA = 0x11, FWCFG_INITRD_DATA = 0x12,
	FWCFG_CMDLINE_ADDR = 0x13, FWCFG_CMDLINE_SIZE = 0x14, FWCFG_CMDLINE_DATA = 0x15,
	FWCFG_SETUP_ADDR = 0x16, FWCFG_SETUP_SIZE = 0x17, FWCFG_SETUP_DATA = 0x18,
	FWCFG_FILE_DIR = 0x19, FWCFG_FILE_FIRST = 0x20,
	FWCFG_IRQ0_OVERRIDE = 0x8002, FWCFG_HPET = 0x8004,
};

/* Descriptor of a DMA transfer, all big-endian. */
#define FWCFG_DMA_ERROR		0x01u
#define FWCFG_DMA_READ		0x02u
#define FWCFG_DMA_SKIP		0x04u
#define FWCFG_DMA_SELECT	0x08u
#define FWCFG_DMA_WRITE		0x10u

struct fwcfg;
extern const struct dev_type fwcfg_type;

/* Set an item (data is copied). A key set again is replaced. */
void fwcfg_add(struct fwcfg *f, uint16_t key, const void *data, uint32_t n);
void fwcfg_add16(struct fwcfg *f, uint16_t key, uint16_t v);
void fwcfg_add32(struct fwcfg *f, uint16_t key, uint32_t v);
void fwcfg_add64(struct fwcfg *f, uint16_t key, uint64_t v);
/* The same, but the item takes over `data`, which malloc() made. */
void fwcfg_give(struct fwcfg *f, uint16_t key, void *data, uint32_t n);

/*
 * The same, but the item is n bytes of a file from `at` on. They are read whenever the guest asks for
 * them, so they cost no memory; a file that has changed by then is told of.
 */
bool fwcfg_give_file(struct fwcfg *f, uint16_t key, const char *path, uint64_t at, uint32_t n, struct err *e);

/* Up to n bytes of an item from pos on into `to`; how many there are. */
uint32_t fwcfg_read(struct fwcfg *f, uint16_t key, uint32_t pos, void *to, uint32_t n);

/* Add a named file (name shorter than 56) or replace it; its key, or 0 if there are too many. */
uint16_t fwcfg_add_file(struct fwcfg *f, const char *name, const void *data, uint32_t n);

/*
 * fn(opaque) is called whenever the guest selects the file, and may replace it by
 * one of the same size.
 */
void fwcfg_on_select(struct fwcfg *f, const char *name, void (*fn)(void *opaque), void *opaque);

#endif
