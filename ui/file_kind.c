/*
 * The kind of a file by signatures at known offsets. A file that is compressed
 * with gzip is looked into, as kernels are often packed so.
 *
 * Source: ECMA-119 (the volume descriptor in sector 16), Linux's boot protocol
 * (HdrS), the ELF, qcow2, cpio, xz, zstd and LZ4 specifications.
 */
#include "ui/file_kind.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <zlib.h>

#include "base/bits.h"
#include "hw/backend/block.h"
#include "hw/disk/fdc.h"

#define LOOK	0x8006		/* as far as the rows below look */

static const struct signature {
	uint32_t at, n;
	const char *bytes;
	enum file_kind kind;
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

struct look {
	unsigned char p[LOOK];		/* the first n bytes, unpacked */
	uint32_t n;
	bool packed;
	bool whole;			/* it consists of sectors */
	bool floppy;			/* of as many as a floppy disk */
};

/* False: could not be read. */
static bool look_at(const char *path, struct look *l, struct err *e)
{
	struct stat st;
	gzFile f;
	int got;

	if (stat(path, &st))
		return err_set(e, "%s: %s", path, strerror(errno));
	if (S_ISDIR(st.st_mode))
		return err_set(e, "%s is a folder; expected a disk, CD or kernel image", path);
	if (!S_ISREG(st.st_mode) && !S_ISBLK(st.st_mode))
		return err_set(e, "%s is no file and no block device; expected a disk, CD or kernel image", path);
	l->whole = !S_ISREG(st.st_mode) || st.st_size % 512 == 0;
	l->floppy = S_ISREG(st.st_mode) && fdc_is_floppy_size((uint64_t)st.st_size);
	f = gzopen(path, "rb");
	if (!f)
		return err_set(e, "%s: %s", path, strerror(errno));
	got = gzread(f, l->p, LOOK);
	l->packed = !gzdirect(f);
	gzclose(f);
	if (got < 0)
		return err_set(e, "%s: cannot be read, or is a damaged gzip file", path);
	l->n = (uint32_t)got;
	return true;
}

bool file_guess(const char *path, struct file_guess *g, struct err *e)
{
	const struct signature *s;
	const char *foreign;
	struct look l = { .n = 0 };

	if (!look_at(path, &l, e))
		return false;
	s = find(l.p, l.n);
	if (!s && !l.n)
		return err_set(e, "%s is empty; rhea-img create makes disk images", path);
	if (!l.packed && (foreign = block_foreign(l.p, l.n)))
		return err_set(e, "%s is a %s image; convert it: qemu-img convert -O qcow2 %s NEW.qcow2", path, foreign,
			       path);
	if (l.packed && (!s || s->kind == FILE_DISK || s->kind == FILE_CD))
		return err_set(e, "%s is compressed; unpack it first: gunzip -k %s", path, path);
	if (!s && !l.whole)
		return err_set(e, "%s: what is it? No image that is known, and no disk, as it is no whole number of sectors "
			       "(-drive file=%s,format=raw takes it for one)", path, path);
	*g = s ? (struct file_guess){ s->kind, s->text } :
		 l.floppy ? (struct file_guess){ FILE_FLOPPY, "floppy disk" } :
			    (struct file_guess){ FILE_DISK, "raw disk" };
	return true;
}
