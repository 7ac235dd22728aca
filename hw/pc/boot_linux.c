/*
 * Linux bzImage and zImage: the boot protocol as seen by a boot loader that
 * starts the kernel at its 16-bit entry.
 *
 *	0x10000   setup code (real mode), heap and stack above it
 *	0x20000   command line
 *	0x100000  kernel
 *	high      initial RAM disk, as high as the kernel and the firmware allow
 *
 * Not modelled: protocol versions before 2.00, setup_data lists.
 * Source: Linux Documentation/arch/x86/boot.rst.
 */
#include <stdlib.h>
#include <string.h>

#include "hw/pc/boot.h"

enum {	/* offsets in the setup header */
	H_SETUP_SECTS = 0x1f1, H_VID_MODE = 0x1fa, H_MAGIC = 0x202, H_VERSION = 0x206,
	H_LOADER = 0x210, H_LOADFLAGS = 0x211, H_RAMDISK = 0x218, H_RAMDISK_SIZE = 0x21c,
	H_HEAP_END = 0x224, H_CMDLINE = 0x228, H_INITRD_MAX = 0x22c, H_CMDLINE_SIZE = 0x238,
	H_END = 0x268,
	OLD_CL_MAGIC = 0x20, OLD_CL_OFFSET = 0x22,
};
#define LOADER_UNKNOWN	0xff
#define LOADED_HIGH	0x01
#define CAN_USE_HEAP	0x80
#define OLD_MAGIC	0xa33f

/* Firmware keeps ACPI tables and its own data at the top of low RAM. */
#define FIRMWARE_ROOM	0x80000

struct layout {
	uint32_t setup, kernel, cmdline;
};

bool boot_is_linux(const struct boot_file *k)
{
	return k->n >= H_END && !memcmp(k->p + H_MAGIC, "HdrS", 4) && ld16(k->p + H_VERSION) >= 0x200;
}

/* "vga=" in the command line is for the boot loader. */
static void video_mode(uint8_t *h, const char *cmdline)
{
	const char *v = strstr(cmdline, "vga=");
	if (!v || (v != cmdline && v[-1] != ' '))
		return;
	v += 4;
	if (!strncmp(v, "normal", 6))
		st16(h + H_VID_MODE, 0xffff);
	else if (!strncmp(v, "ext", 3))
		st16(h + H_VID_MODE, 0xfffe);
	else if (!strncmp(v, "ask", 3))
		st16(h + H_VID_MODE, 0xfffd);
	else
		st16(h + H_VID_MODE, (uint16_t)strtoul(v, NULL, 0));
}

static void set_cmdline(struct fwcfg *f, struct boot_job *j, uint8_t *h, const struct layout *l,
			const char *text)
{
	uint32_t n = (uint32_t)strlen(text) + 1;
	if (ld16(h + H_VERSION) >= 0x202) {
		st32(h + H_CMDLINE, l->cmdline);
	} else {
		st16(h + OLD_CL_MAGIC, OLD_MAGIC);
		st16(h + OLD_CL_OFFSET, (uint16_t)(l->cmdline - l->setup));
	}
	video_mode(h, text);
	fwcfg_add32(f, FWCFG_CMDLINE_ADDR, l->cmdline);
	fwcfg_add32(f, FWCFG_CMDLINE_SIZE, n);
	fwcfg_add(f, FWCFG_CMDLINE_DATA, text, n);
	boot_piece(j, FWCFG_CMDLINE_DATA, n, l->cmdline);
}

static bool add_initrd(struct fwcfg *f, const struct boot_request *r, uint8_t *h, uint32_t kernel_end,
		       struct boot_job *j, struct err *e)
{
	size_t size;
	uint64_t top = r->ram_below_4g - FIRMWARE_ROOM;
	uint64_t max = ld16(h + H_VERSION) >= 0x203 ? ld32(h + H_INITRD_MAX) : 0x37ffffff;

	if (!boot_file_size(r->initrd, &size, e))
		return err_prefix(e, "initrd");
	if (top > max + 1)
		top = max + 1;
	if (size > top || align_down(top - size, 4096) < kernel_end)
		return err_set(e, "initrd '%s' does not fit into memory; use a larger -m", r->initrd);
	uint32_t at = (uint32_t)align_down(top - size, 4096);
	uint32_t n = (uint32_t)size;
	st32(h + H_RAMDISK, at);
	st32(h + H_RAMDISK_SIZE, n);
	fwcfg_add32(f, FWCFG_INITRD_ADDR, at);
	fwcfg_add32(f, FWCFG_INITRD_SIZE, n);
	boot_piece(j, FWCFG_INITRD_DATA, n, at);
	return fwcfg_give_file(f, FWCFG_INITRD_DATA, r->initrd, 0, n, e) || err_prefix(e, "initrd");
}

static void set_loader(uint8_t *h, const struct layout *l)
{
	h[H_LOADER] = LOADER_UNKNOWN;
	if (ld16(h + H_VERSION) >= 0x201) {
		h[H_LOADFLAGS] |= CAN_USE_HEAP;
		st16(h + H_HEAP_END, (uint16_t)(l->cmdline - l->setup - 0x200));
	}
}

bool boot_linux(struct fwcfg *f, const struct boot_request *r, struct boot_file *k,
		struct boot_job *j, struct err *e)
{
	uint8_t *h = k->p;
	const char *cmdline = r->append ? r->append : "";
	uint32_t setup = ((h[H_SETUP_SECTS] ? h[H_SETUP_SECTS] : 4u) + 1) * 512;
	bool high = h[H_LOADFLAGS] & LOADED_HIGH;
	struct layout l = high ? (struct layout){ 0x10000, 0x100000, 0x20000 }
			       : (struct layout){ 0x90000, 0x10000, 0x9a000 };

	if (setup >= k->n || setup > l.cmdline - l.setup - 0x1000)
		return err_set(e, "damaged setup header");
	if (strlen(cmdline) >= (high ? 0x10000 : 0x1000))
		return err_set(e, "the command line (-append) is too long");
	uint32_t n = (uint32_t)k->n - setup;
	if (l.kernel + (uint64_t)n > r->ram_below_4g)
		return err_set(e, "does not fit into memory; use a larger -m");
	set_cmdline(f, j, h, &l, cmdline);
	if (r->initrd && !add_initrd(f, r, h, l.kernel + n, j, e))
		return false;
	set_loader(h, &l);

	fwcfg_add32(f, FWCFG_SETUP_ADDR, l.setup);
	fwcfg_add32(f, FWCFG_SETUP_SIZE, setup);
	fwcfg_add(f, FWCFG_SETUP_DATA, h, setup);
	fwcfg_add32(f, FWCFG_KERNEL_ADDR, l.kernel);
	fwcfg_add32(f, FWCFG_KERNEL_SIZE, n);
	if (!k->path)
		fwcfg_add(f, FWCFG_KERNEL_DATA, h + setup, n);
	else if (!fwcfg_give_file(f, FWCFG_KERNEL_DATA, k->path, setup, n, e))
		return false;
	boot_piece(j, FWCFG_SETUP_DATA, setup, l.setup);
	boot_piece(j, FWCFG_KERNEL_DATA, n, l.kernel);
	j->entry = (l.setup / 16 + 0x20) << 16;
	j->ds = (uint16_t)(l.setup / 16);
	j->esp = l.cmdline - l.setup - 16;
	return true;
}
