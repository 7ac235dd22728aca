/*
 * The kind of a file by signatures at known offsets. A file that is compressed
 * with gzip is looked into, as kernels are often packed so.
 *
 * Source: ECMA-119 (the volume descriptor in sector 16), Linux's boot protocol
 * (HdrS), the ELF, qcow2, cpio, xz, zstd and LZ4 specifications; the magic
 * numbers of other programs' disk images as file(1) lists them.
 */
#include "ui/file_kind.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <zlib.h>

#include "base/bits.h"

#define LOOK	0x8006		/* as far as the rows below look */

enum { NOT_OURS = -1 };

static const struct signature {
	uint32_t at, n;
	const char *bytes;
	int kind;			/* enum file_kind or NOT_OURS */
	const char *text;
} signatures[] = {
	{ 0,      4, "QFI\xfb",           FILE_DISK,    "qcow2 disk" },
	{ 0x8001, 5, "CD001",             FILE_CD,      "CD image" },
	{ 0x202,  4, "HdrS",              FILE_KERNEL,  "Linux kernel" },
	{ 0,      4, "\x7f" "ELF",        FILE_KERNEL,  "ELF kernel" },
	{ 0,      5, "07070",             FILE_RAMDISK, "RAM disk" },
	{ 0,      6, "\xfd" "7zXZ\0",     FILE_RAMDISK, "RAM disk (xz)" },
	{ 0,      4, "\x28\xb5\x2f\xfd",  FILE_RAMDISK, "RAM disk (zstd)" },
	{ 0,      4, "\x02\x21\x4c\x18",  FILE_RAMDISK, "RAM disk (LZ4)" },
	{ 0,      4, "KDMV",              NOT_OURS,     "VMDK" },
	{ 0,      8, "conectix",          NOT_OURS,     "VHD" },
	{ 0,      8, "vhdxfile",          NOT_OURS,     "VHDX" },
	{ 0x40,   4, "\x7f\x10\xda\xbe",  NOT_OURS,     "VDI" },
};

static const struct signature *find(const unsigned char *p, uint32_t n)
{
	for (size_t i = 0; i < ARRAY_LEN(signatures); i++) {
		const struct signature *s = &signatures[i];
		if (s->at + s->n <= n && !memcmp(p + s->at, s->bytes, s->n))
			return s;
	}
	return NULL;
}

/* The first bytes, unpacked; whole: it consists of sectors. False: could not be read. */
static bool read_start(const char *path, unsigned char *p, uint32_t *n, bool *packed, bool *whole, struct err *e)
{
	struct stat st;
	gzFile f;
	int got;

	if (stat(path, &st))
		return err_set(e, "%s: %s", path, strerror(errno));
	if (S_ISDIR(st.st_mode))
		return err_set(e, "%s is a folder; expected a disk, CD or kernel image", path);
	*whole = !S_ISREG(st.st_mode) || st.st_size % 512 == 0;
	f = gzopen(path, "rb");
	if (!f)
		return err_set(e, "%s: %s", path, strerror(errno));
	got = gzread(f, p, LOOK);
	*packed = !gzdirect(f);
	gzclose(f);
	if (got < 0)
		return err_set(e, "%s: cannot be read, or is a damaged gzip file", path);
	*n = (uint32_t)got;
	return true;
}

bool file_guess(const char *path, struct file_guess *g, struct err *e)
{
	const struct signature *s;
	unsigned char p[LOOK];
	bool packed = false, whole = false;
	uint32_t n = 0;

	if (!read_start(path, p, &n, &packed, &whole, e))
		return false;
	s = find(p, n);
	if (!s && !n)
		return err_set(e, "%s is empty; rhea-img create makes disk images", path);
	if (s && s->kind == NOT_OURS)
		return err_set(e, "%s is a %s image; convert it: qemu-img convert -O qcow2", path, s->text);
	if (packed && (!s || s->kind == FILE_DISK || s->kind == FILE_CD))
		return err_set(e, "%s is compressed; unpack it first: gunzip -k %s", path, path);
	if (!s && !whole)
		return err_set(e, "%s: what is it? No image that is known, and no disk, as it is no whole number of sectors "
			       "(-drive file=%s,format=raw takes it for one)", path, path);
	*g = s ? (struct file_guess){ (enum file_kind)s->kind, s->text } :
		 (struct file_guess){ FILE_DISK, "raw disk" };
	return true;
}
