/*
 * What a file is that a user names without saying so: by its first bytes, never
 * by its name.
 */
#ifndef UI_FILE_KIND_H
#define UI_FILE_KIND_H

#include "base/error.h"

enum file_kind {
	FILE_DISK,		/* a hard disk's image */
	FILE_FLOPPY,		/* a raw disk of exactly a floppy's size */
	FILE_CD,
	FILE_KERNEL,		/* what -kernel takes */
	FILE_RAMDISK,		/* what -initrd takes */
};

struct file_guess {
	enum file_kind kind;
	const char *text;	/* "qcow2 disk" */
};

/* False with err filled: no such file, or one that no guest can start from (says what to do). */
bool file_guess(const char *path, struct file_guess *g, struct err *e);

#endif
